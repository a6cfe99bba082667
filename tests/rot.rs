//! A sample of what the simulator sweeps (`just rot`), on the real binary and real files: one file spoilt in one place, then
//! `log verify`, a start, a reader, `log repair`, another start, a put.
#![allow(clippy::disallowed_methods, reason = "spoils files; runs in no node")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Node, Process, free_port, run, scratch, serve};

/// What is done to a file: to its bytes, or `None` to remove it.
type Spoil = Option<fn(&mut Vec<u8>)>;

const RECORDS: usize = 12;

fn record(n: usize) -> String {
    format!("record-{n:02}-{}", "x".repeat(100 + n))
}

/// A data directory with two streams, filled in two runs and stopped cleanly.
fn fill(data: &Path) {
    for half in 0..2 {
        let node = Node::small(data, &[]);
        if half == 0 {
            node.run(&["stream", "create", "orders"]).code(0);
            node.run(&["stream", "create", "other"]).code(0);
            node.run_with(&["put", "other", "--key", "k"], b"other\n").code(0);
        }
        for n in (0..RECORDS).skip(half * RECORDS / 2).take(RECORDS / 2) {
            node.run_with(&["put", "orders", "--quiet", "--key", "k"], record(n).as_bytes()).code(0);
        }
        node.stop("TERM");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a writable tree");
    for entry in fs::read_dir(from).expect("a readable directory") {
        let entry = entry.expect("a readable directory");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("there is room");
        }
    }
}

/// The path of a file in `data`, given how it ends, the largest one first.
fn find(data: &Path, place: &str) -> PathBuf {
    let (dir, name) = place.rsplit_once('/').unwrap_or(("", place));
    let dir = data.join(dir);
    let dirs = if place.starts_with("shards/") {
        fs::read_dir(data.join("shards"))
            .expect("there are shards")
            .map(|entry| entry.expect("readable").path())
            .collect()
    } else {
        vec![dir]
    };
    let files = dirs.iter().flat_map(|dir| fs::read_dir(dir).expect("it is there"));
    let files = files.map(|entry| entry.expect("readable").path());
    let is_it = |path: &PathBuf| {
        let file = path.file_name().expect("a file").to_string_lossy().into_owned();
        // No name stands for the snapshots.
        if name.is_empty() {
            file.starts_with("snapshot-")
        } else {
            file == name || (name == ".seg" && file.ends_with(name))
        }
    };
    let mut files: Vec<_> = files.filter(is_it).collect();
    files.sort();
    // The stream "orders" holds more blocks that are not zero.
    let weight = |path: &PathBuf| fs::read(path).expect("readable").iter().filter(|byte| **byte == b'x').count();
    files.sort_by_cached_key(weight);
    files.pop().unwrap_or_else(|| panic!("no {place}"))
}

/// The lines of what a reader of "orders" gets.
fn read(node: &Node) -> Vec<String> {
    let got = node.run(&["get", "orders", "--from", "horizon", "--raw"]);
    assert!([Some(0), Some(5)].contains(&got.status.code()), "{got:?}");
    got.out.lines().map(ToOwned::to_owned).collect()
}

fn check(base: &Path, place: &str, what: &str, spoil: Spoil) {
    let dir = scratch();
    let data = dir.path().join("data");
    copy(base, &data);
    let file = find(&data, place);
    let mut bytes = fs::read(&file).expect("readable");
    match spoil {
        Some(spoil) => {
            spoil(&mut bytes);
            fs::write(&file, &bytes).expect("writable");
        }
        None => fs::remove_file(&file).expect("it is there"),
    }
    let about = format!("{place}, {what}");
    let text = data.to_str().expect("UTF-8");
    let verified = run(["log", "verify", text]);
    let (is_loss, is_fatal) = (verified.out.contains("LOSS: "), verified.out.contains("FATAL: "));
    assert_eq!(verified.status.code(), Some(if is_loss || is_fatal { 5 } else { 0 }), "{about}: {verified:?}");
    let all: Vec<String> = (0..RECORDS).map(record).collect();
    let mut served = all.clone();
    if is_fatal {
        let command = serve(&data, &format!("127.0.0.1:{}", free_port()), &["--workers", "1"]);
        let refused = Process::start(command, b"").wait();
        assert!(!refused.status.success(), "{about}: it starts in spite of {}", verified.out);
        assert!(refused.err.contains("millstream log repair"), "{about}: {}", refused.err);
    } else {
        let node = Node::small(&data, &[]);
        served = read(&node);
        assert!(served.iter().all(|line| all.contains(line)), "{about}: {served:?}");
        assert_eq!(served.len() < all.len(), is_loss, "{about}: {served:?}; {}", verified.out);
        let ended = node.stop("TERM");
        assert_eq!(ended.out.contains("DAMAGED"), is_loss, "{about}: {}", ended.out);
        assert!(!is_loss || ended.out.contains("orders/shardId-000000000000 in "), "{about}: {}", ended.out);
    }
    let spoilt = is_loss || is_fatal;
    let told = run(["log", "repair", text, "--yes"]).code(0).out;
    assert_eq!(told.contains("nothing was deleted"), spoilt, "{about}: {told}");
    run(["log", "verify", text]).code(0);
    let node = Node::small(&data, &[]);
    assert_eq!(read(&node), served, "{about}: after the repair");
    node.run_with(&["put", "orders", "--key", "k"], b"after\n").code(0);
    let after = read(&node);
    assert_eq!((&after[..served.len()], &after[served.len()..]), (&served[..], &["after".to_owned()][..]), "{about}");
    node.stop("TERM");
}

/// Goal: whatever one file has become, the real node serves what is intact, verify says what is lost, and a repair ends it.
#[test]
fn one_spoilt_file_is_contained_and_repaired() {
    let dir = scratch();
    let base = dir.path().join("base");
    fs::create_dir(&base).expect("a writable tree");
    fill(&base);
    let cases: [(&str, &str, Spoil); 17] = [
        (
            "shards/.seg",
            "a byte of a record",
            Some(|bytes| {
                let at = bytes.windows(9).position(|window| window == b"record-03").expect("it is in there");
                bytes[at + 15] ^= 4;
            }),
        ),
        ("shards/.seg", "a byte of the first block", Some(|bytes| bytes[30] ^= 1)),
        ("shards/.seg", "a byte of the first frame", Some(|bytes| bytes[4_096 + 60] = 0xff)),
        ("shards/.seg", "a sector", Some(|bytes| bytes[8_192..8_704].fill(0))),
        ("shards/.seg", "a block", Some(|bytes| bytes[12_288..16_384].fill(0))),
        ("shards/.seg", "cut short in the middle", Some(|bytes| bytes.truncate(17_000))),
        ("shards/.seg", "cut short to nothing", Some(|bytes| bytes.clear())),
        ("shards/.seg", "longer", Some(|bytes| bytes.extend([7; 5_000]))),
        ("catalog/0000000000.seg", "a byte", Some(|bytes| bytes[4_096 + 200] ^= 1)),
        ("catalog/0000000000.seg", "cut short", Some(|bytes| bytes.truncate(9_000))),
        ("catalog/0000000000.seg", "gone", None),
        ("catalog/", "a byte of a snapshot", Some(|bytes| bytes[60] ^= 1)),
        ("node", "a byte", Some(|bytes| bytes[25] ^= 1)),
        ("node", "empty", Some(|bytes| bytes.clear())),
        ("node", "gone", None),
        ("node.copy", "a byte", Some(|bytes| bytes[40] ^= 0x80)),
        ("node.copy", "gone", None),
    ];
    for (place, what, spoil) in cases {
        check(&base, place, what, spoil);
    }
}

/// Goal: with both node files damaged nothing starts, and a repair writes them anew, in a term above all before.
#[test]
fn a_node_without_a_node_file_is_given_a_new_one() {
    let dir = scratch();
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("a writable tree");
    fill(&data);
    for name in ["node", "node.copy"] {
        fs::write(data.join(name), [1; 4_096]).expect("writable");
    }
    let text = data.to_str().expect("UTF-8");
    run(["log", "verify", text]).code(5);
    let command = serve(&data, &format!("127.0.0.1:{}", free_port()), &["--workers", "1"]);
    let refused = Process::start(command, b"").wait();
    assert!(!refused.status.success() && refused.err.contains("millstream log repair"), "{refused:?}");
    let told = run(["log", "repair", text, "--yes"]).code(0).out;
    assert!(told.contains("no node file can be read"), "{told}");
    for name in ["node.damaged", "node.copy.damaged"] {
        assert_eq!(fs::read(data.join(name)).expect("set aside"), [1; 4_096]);
    }
    let node = Node::small(&data, &[]);
    assert_eq!(read(&node), (0..RECORDS).map(record).collect::<Vec<_>>());
    assert!(node.report.contains("term 4"), "{}", node.report);
}
