//! Runs against a real node, started from the binary: `MILLSTREAM_BIN`, or `millstream` beside the tests. `cargo test
//! --workspace` builds it; `cargo build` does too.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use millstream_bench::driver::Target;
use millstream_bench::driver::native::NativeDriver;
use millstream_bench::findmax::find_max;
use millstream_bench::node::{Node, NodeOptions};
use millstream_bench::result::{Metric, Objective, RunResult};
use millstream_bench::run::{Setup, run};
use millstream_bench::workload::{Workload, presets};

/// On the disk that the code is on: one with direct I/O.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory can be made")
}

fn node(dir: &Path) -> Arc<Mutex<Node>> {
    let options = NodeOptions {
        binary: None,
        data: Some(dir.join("data")),
        args: ["--workers", "1"].map(str::to_owned).to_vec(),
    };
    Arc::new(Mutex::new(Node::start(&options).expect("a node")))
}

fn setup(preset: &str, changes: &[&str], node: &Mutex<Node>) -> Setup {
    let changes: Vec<_> = changes.iter().map(|text| (*text).to_owned()).collect();
    let workload: Workload = presets::preset(preset).unwrap().with(&changes).unwrap();
    Setup::new(workload, Target::Native { addr: node.lock().unwrap().addr(), token: Vec::new() })
}

fn measure(preset: &str, changes: &[&str], node: &Arc<Mutex<Node>>) -> RunResult {
    run::<NativeDriver>(&setup(preset, changes, node), Some(node), &AtomicBool::new(false), &mut []).unwrap()
}

/// Goal: the smoke preset on a real node loses nothing, and its result says what was measured.
#[test]
fn smoke() {
    let dir = scratch();
    let node = node(dir.path());
    let result = measure("smoke", &["duration=1s"], &node);
    assert_eq!(result.verdict.failed, Vec::<String>::new());
    assert_eq!((result.put.scheduled, result.put.acked), (500, 500));
    assert_eq!((result.target.driver.as_str(), result.target.durability.as_str()), ("native", "fsync"));
    assert!(result.target.started_by_run && result.target.server.starts_with("millstream "));
    assert!(result.node.as_ref().is_some_and(|node| node.rss_bytes > 1 << 20), "{:?}", result.node);
    // What is written can be read again as it was.
    let json = serde_json::to_string(&result).unwrap();
    let again: RunResult = serde_json::from_str(&json).unwrap();
    assert_eq!(again.put, result.put);
    assert_eq!(again.latency, result.latency);
    let node = Arc::into_inner(node).unwrap().into_inner().unwrap();
    node.stop().unwrap();
}

/// Goal: a node that is killed and started again under load loses nothing it acknowledged, and the gap is told.
#[test]
fn restart() {
    let dir = scratch();
    let node = node(dir.path());
    let before = node.lock().unwrap().pid();
    let changes = ["duration=3s", "warmup=500ms", "load.schedule.rate=500", "fault=[{kind='kill-restart', at='1s'}]"];
    let result = measure("restart", &[&changes[..], &["drain=60s"]].concat(), &node);
    assert_eq!(result.verdict.failed, Vec::<String>::new());
    assert_ne!(node.lock().unwrap().pid(), before);
    let fault = &result.faults[0];
    assert!(fault.at_ms >= 1_000 && fault.ready_after_ms.is_some(), "{fault:?}");
    // Nothing is acknowledged while nobody is there.
    assert!(fault.ack_gap_ms >= fault.ready_after_ms.map(|ms| ms / 2) && fault.ack_gap_ms > Some(0), "{fault:?}");
    assert!(fault.receive_gap_ms > Some(0), "{fault:?}");
    assert!(result.put.acked > 0 && result.put.unresolved == 0, "{:?}", result.put);
}

/// Goal: readers follow a stream that is split, merged, scaled and moved under load, whose limits and retention change: every
/// record once, in order, over many ends of shards, by push, long poll and poll.
#[test]
fn mixed() {
    let dir = scratch();
    let options = NodeOptions {
        binary: None,
        data: Some(dir.path().join("data")),
        args: ["--workers", "2"].map(str::to_owned).to_vec(),
    };
    let node = Arc::new(Mutex::new(Node::start(&options).expect("a node")));
    for mode in ["push", "long-poll", "poll"] {
        let mode = format!("read.mode={mode}");
        let quick =
            ["duration=3s", "warmup=200ms", "load.schedule.rate=400", "changes.every=60ms", "changes.shards_max=6"];
        let result = measure("mixed", &[&quick[..], &["stream.shards=3", &mode]].concat(), &node);
        assert_eq!(result.verdict.failed, Vec::<String>::new(), "{mode}");
        assert_eq!((result.put.failed, result.put.unknown, result.put.unresolved), (0, 0, 0), "{mode}");
        let changes = result.changes.as_ref().expect("it changes the stream");
        assert!(changes.made.values().sum::<u64>() >= 5, "{mode}: {changes:?}");
        // Two groups, each of which read shards that were not there in the beginning.
        assert!(result.read.iter().all(|read| read.shards > 3), "{mode}: {changes:?}, {:?}", result.read);
    }
}

/// Goal: the workload that kills a node is refused on a node that the run did not start.
#[test]
fn only_own_nodes_are_killed() {
    let workload = presets::preset("restart").unwrap();
    let target = Target::Native { addr: ([127, 0, 0, 1], 9).into(), token: Vec::new() };
    let error = run::<NativeDriver>(&Setup::new(workload, target), None, &AtomicBool::new(false), &mut []).unwrap_err();
    assert!(error.to_string().contains("--start-node"), "{error}");
}

/// Goal: the search ends with every probe in its result, and an objective nobody can hold ends without a rate.
#[test]
fn searches_end() {
    let dir = scratch();
    let node = node(dir.path());
    let mut setup = setup("smoke", &["duration=500ms", "warmup=100ms", "load.schedule.rate=400"], &node);
    setup.workload.stream.shards = 1;
    let impossible = Objective { metric: Metric::PutAck, percentile: 50.0, ns_max: 1 };
    let interrupt = AtomicBool::new(false);
    let sweep = find_max::<NativeDriver>(&setup, impossible, 0.5, Some(&node), &interrupt, &mut []).unwrap();
    assert_eq!(sweep.best_rate, None);
    assert_eq!(sweep.probes.first().map(|probe| probe.rate), Some(400.0));
    assert!(sweep.probes.iter().all(|probe| !probe.missed.is_empty()));
    // Each was as long as its median needed; the next one down would have needed more than ten times what was asked for.
    assert!(sweep.probes.iter().all(|probe| !probe.missed[0].contains("too few samples")), "{:?}", sweep.probes);
    assert_eq!(sweep.probes.last().map(|probe| probe.rate), Some(100.0));
    let rare = Objective { percentile: 99.9, ..impossible };
    let error = find_max::<NativeDriver>(&setup, rare, 0.5, Some(&node), &interrupt, &mut []).unwrap_err();
    assert!(error.to_string().contains("400 records per second are too few for p99.9"), "{error}");
}

/// Goal: the command says what it found by its exit code and its JSON, and a node that is not there is an error.
#[test]
fn the_command() {
    let dir = scratch();
    let bench = || Command::new(env!("CARGO_BIN_EXE_millstream-bench"));
    let json = dir.path().join("run.json");
    let ran = bench()
        .args(["run", "--preset", "smoke", "--duration", "500ms", "--warmup", "100ms", "--no-calibration", "--json"])
        .arg(&json)
        // A busy machine shall not make this test fail: the generator may be as late as it likes.
        .args(["--set", "validity.late_after=10s", "--start-node", "--node-arg=--workers", "--node-arg=1"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let result: RunResult = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((result.put.acked, result.verdict.word()), (250, "ok"));
    assert!(result.command.contains(&"--preset".to_owned()));
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["run.json"], "the node's directory is removed");
    let nobody = bench().args(["run", "--node", "127.0.0.1:1", "--no-calibration"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}
