//! Too few descriptors, and too little memory that may be locked.
//!
//! A node that may have few descriptors divides them: clients cannot take those that its files need. It says so, turns the
//! clients away that are too many, goes on for the others, and takes new ones once there is room again.
//!
//! Not checked here: descriptors that the whole machine is out of (ENFILE).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::common::{BINARY, Node, Process, free_port, run, scratch, serve, through};
use crate::{all_is_well, until};

/// Descriptors that the process has open.
fn descriptors(node: &Node) -> usize {
    fs::read_dir(format!("/proc/{}/fd", node.process.id())).expect("it runs").count()
}

/// Goal: clients that take every descriptor they can get keep nobody from what the node has taken on: records of others are
/// stored and read, also where that needs new files; the node says what is going on; new clients are served again once the
/// others have left; nothing acknowledged is lost.
#[test]
fn clients_cannot_take_the_descriptors_of_files() {
    let dir = scratch();
    let data = dir.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let node = Node::ready(&data, through("ulimit -n 160 && exec \"$@\"", &serve(&data, &listen, &["--workers", "1"])));
    for stream in ["orders", "others"] {
        node.run(&["stream", "create", stream]).code(0);
    }
    let (producer, mut to) = Process::start_fed(node.command(&["put", "orders", "--key", "k", "--batch", "1"]));
    let mut reader = Process::start(node.command(&["get", "orders", "--follow", "--from", "horizon", "--raw"]), b"");
    writeln!(to, "first").expect("it reads");
    reader.line_with("first");

    // Each is an attempt to connect that the system answers, whether the node takes it or not.
    let mut hogs: Vec<_> = (0..400).map(|_| TcpStream::connect(node.addr).expect("there is a queue")).collect();
    node.process.says(&["connections"]);
    let turned_away = |hog: &mut TcpStream| {
        hog.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
        matches!(hog.read(&mut [0; 256]), Ok(1..))
    };
    until(&node, "some are turned away with an answer", || hogs.iter_mut().any(turned_away));
    println!("{} descriptors with 400 clients", descriptors(&node));
    // Enough for several new segments, each a new file.
    let line = "x".repeat(50_000);
    for number in 0..200 {
        writeln!(to, "{number} {line}").expect("it reads");
    }
    for number in 0..200 {
        let line = reader.line().expect("it reads on");
        assert!(line.starts_with(&format!("{number} ")), "{}", &line[..20]);
    }
    drop(hogs);
    until(&node, "new clients are served", || node.run(&["stream", "list", "--retry-for", "1s"]).status.success());
    node.run_with(&["put", "others", "--quiet"], b"on\n").code(0);
    drop(to);
    producer.wait().code(0);
    reader.signal("INT");
    reader.wait();
    let read = node.run(&["get", "orders", "--raw"]).code(0).out;
    assert_eq!(read.lines().count(), 201);
    let ended = node.stop("TERM");
    assert!(!ended.err.contains("the log failed"), "{}", ended.err);
    all_is_well(&[ended]);
    run(["log", "verify", data.to_str().expect("UTF-8")]).code(0);
}

/// Goal: more shards than descriptors work, put and read, and after a restart.
#[test]
fn more_shards_than_descriptors_work() {
    let dir = scratch();
    let data = dir.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let start = || {
        let command = serve(&data, &listen, &["--workers", "1"]);
        Node::ready(&data, through("ulimit -n 160 && exec \"$@\"", &command))
    };
    let node = start();
    node.run(&["stream", "create", "many", "--shards", "300"]).code(0);
    let records: String = (0..3_000).map(|number| format!("{number}\n")).collect();
    node.run_with(&["put", "many", "--quiet"], records.as_bytes()).code(0);
    let mut ended = vec![];
    let sorted = |node: &Node| {
        let read = node.run(&["get", "many", "--raw"]).code(0).out;
        let mut numbers: Vec<u32> = read.lines().map(|line| line.parse().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    };
    assert!(sorted(&node).into_iter().eq(0..3_000));
    println!("{} descriptors with 300 shards", descriptors(&node));
    ended.push(node.kill());
    let node = start();
    assert!(sorted(&node).into_iter().eq(0..3_000));
    node.run_with(&["put", "many", "--quiet"], b"3000\n3001\n3002\n").code(0);
    assert!(sorted(&node).into_iter().eq(0..3_003));
    ended.push(node.stop("TERM"));
    for ended in &ended {
        assert!(!ended.err.contains("the log failed"), "{}", ended.err);
    }
    all_is_well(&ended);
}

/// Goal: too few descriptors to work with are a reason not to start, with the way out.
#[test]
fn too_few_descriptors_are_refused() {
    let dir = scratch();
    let command = serve(dir.path(), "127.0.0.1:0", &["--workers", "1"]);
    let ended = Process::start(through("ulimit -n 40 && exec \"$@\"", &command), b"").wait();
    ended.code(1).complains(&["open files", "40", "ulimit -n", "LimitNOFILE"]);
}

/// Goal: with exactly the locked memory that the node asks for, and no right to more, it works under load, large records
/// included.
#[test]
fn the_least_memory_to_lock_is_enough() {
    let dir = tempfile::Builder::new().prefix("millstream-").tempdir().expect("a directory can be made");
    let (binary, data) = (dir.path().join("millstream"), dir.path().join("data"));
    fs::copy(BINARY, &binary).expect("a copy");
    fs::create_dir(&data).expect("a directory");
    for (path, mode) in [(dir.path(), 0o755), (binary.as_path(), 0o755), (data.as_path(), 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is this process's");
    }
    let listen = format!("127.0.0.1:{}", free_port());
    let workers = if std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1) { "2" } else { "1" };
    let limited = |kib: u64| {
        let serving = serve(&data, &listen, &["--workers", workers]);
        let mut inner = Command::new(&binary);
        inner.args(serving.get_args());
        let mut command = through(&format!("ulimit -l {kib} && exec \"$@\""), &inner);
        command.current_dir(dir.path());
        if fs::metadata("/proc/self").expect("there is one").uid() == 0 {
            // Root may lock what it likes.
            command.uid(65_534).gid(65_534);
        }
        command
    };
    let refused = Process::start(limited(64), b"").wait().code(1);
    let needed = refused.err.split("need at least ").nth(1).and_then(|rest| rest.split(' ').next());
    let needed: u64 = needed.and_then(|kib| kib.parse().ok()).unwrap_or_else(|| panic!("{refused:?}"));

    let node = Node::ready(&data, limited(needed));
    node.run(&["stream", "create", "orders", "--shards", "8"]).code(0);
    let records: String = (0..20_000).map(|n| format!("{n} {}\n", "x".repeat(n % 3_000))).collect();
    node.run_with(&["put", "orders", "--quiet"], records.as_bytes()).code(0);
    let large = vec![b'y'; 900_000];
    for _ in 0..20 {
        node.run_with(&["put", "orders", "--quiet"], &large).code(0);
    }
    assert_eq!(node.run(&["get", "orders", "--raw"]).code(0).out.lines().count(), 20_020);
    println!("{needed} KiB of memlock");
    all_is_well(&[node.stop("TERM")]);
}
