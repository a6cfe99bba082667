//! The file system turns read-only under the running node, as ext4 does when it finds an error in itself or its disk fails.
//!
//! Nobody can turn it back under the node: the kernel refuses `remount,rw` after that, and refuses `remount,ro` while files
//! are open for writing. So the node has to be restarted on a file system that was mounted anew; until then it says so,
//! refuses puts with an error of its own, and serves reads.

use millstream_disk::{Kind, Mounted};

use crate::common::{Ended, Node, run, scratch};
use crate::{Home, all_is_well, mounted, until};

fn lines(node: &Node) -> Vec<String> {
    node.run(&["get", "orders", "--raw"]).code(0).out.lines().map(str::to_owned).collect()
}

/// Puts one record: how it ended.
fn put(node: &Node, record: &str) -> Ended {
    node.run_with(&["put", "orders", "--key", "k", "--quiet", "--retry-for", "2s"], record.as_bytes())
}

/// Writing stops by `strike`; the node meets that, and after `heal` and a new mount everything is as before.
fn survives(mounted: &mut Mounted, strike: impl FnOnce(&Mounted), heal: impl FnOnce(&Mounted)) {
    let home = Home::new(&["--workers", "1"]);
    let node = home.start(mounted);
    node.run(&["stream", "create", "orders"]).code(0);
    let mut stored: Vec<String> = (0..50).map(|number| format!("record-{number}")).collect();
    node.run_with(&["put", "orders", "--key", "k", "--quiet"], stored.join("\n").as_bytes()).code(0);

    // While files are open for writing, the kernel lets nobody do it.
    let busy = mounted.remount("ro").expect_err("the node has files open");
    assert!(busy.contains("busy"), "{busy}");
    put(&node, "record-50").code(0);
    stored.push("record-50".to_owned());

    strike(mounted);
    // What one put finds depends on whether the log has died yet. None is stored.
    until(&node, "puts fail", || !put(&node, "doubtful").status.success());
    let ended = put(&node, "refused");
    println!("{}", ended.err.trim());
    assert!([6, 7].contains(&ended.status.code().expect("it was not killed")), "{ended:?}");
    node.process.says(&["the log failed"]);
    // Reads go on. A put before the file system had noticed anything may have been stored.
    let read = lines(&node);
    assert_eq!(read[..stored.len()], stored);
    assert!(read[stored.len()..].iter().all(|line| line == "doubtful"), "{read:?}");
    stored = read;
    node.run(&["stream", "describe", "orders"]).code(0);
    node.process.says(&["cannot be recovered yet", "Reads go on", "kernel's log"]);
    heal(mounted);
    match mounted.remount("rw") {
        Ok(()) => until(&node, "puts go on by themselves", || put(&node, "healed").status.success()),
        Err(refused) => println!("{refused}"),
    }
    // It goes when it is told to, whatever its disk says.
    node.process.signal("TERM");
    let ended = node.process.wait();
    assert!(!ended.err.contains("panicked at"), "{}", ended.err);
    println!("{}", ended.err);

    mounted.unmount().expect("nobody has it open any more");
    mounted.mount().expect("the journal is whole");
    let node = home.start(mounted);
    let read = lines(&node);
    assert_eq!(read[..stored.len()], stored);
    put(&node, "after").code(0);
    assert_eq!(lines(&node).last().map(String::as_str), Some("after"));
    all_is_well(&[node.stop("TERM")]);
    run(["log", "verify", mounted.path().join("data").to_str().expect("UTF-8")]).code(0);
}

/// Goal: ext4 that found an error in itself and went read-only.
#[test]
fn an_error_of_the_file_system_is_survived() {
    let dir = scratch();
    let Some(mut mounted) = mounted(Kind::Ext4, 256, dir.path()) else { return };
    survives(&mut mounted, |mounted| mounted.break_down().expect("ext4 can be told"), |_| {});
}

/// Goal: a disk that takes no more writes, and then does again.
#[test]
fn a_disk_that_takes_no_writes_is_survived() {
    let dir = scratch();
    let Some(mut mounted) = mounted(Kind::Ext4, 256, dir.path()) else { return };
    survives(&mut mounted, |mounted| mounted.disk.fail_writes(true), |mounted| mounted.disk.fail_writes(false));
}
