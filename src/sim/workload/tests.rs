//! That the workloads themselves work: they depend on their seed alone, and their checkers notice what they are for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::path::{Path, PathBuf};

use super::logs::Plan;
use super::*;
use crate::engine::env::{Env, Tuning};
use crate::sim::{DiskFaults, DiskOp, Fault, Injection, Sim};
use crate::types::{Durability, Term, WorkerId};

/// Goal: a run depends on its seed alone: the same seed gives the same trace twice, another one another trace.
#[test]
fn logs_same_seed_same_trace() {
    let hash = |seed| logs::run(seed).trace_hash;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

/// Goal: the same for whole nodes with clients.
#[test]
fn node_same_seed_same_trace() {
    let hash = |seed| node::run(seed).trace_hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// Goal: a segment that can be used again is gone from its log for certain: were it still there after a power failure,
/// another log's frames would be found in it.
#[test]
fn a_spare_segment_is_gone_from_its_log() {
    const BYTES: usize = 1 << 20;
    for seed in 0..20 {
        let sim = Sim::new(seed, SimOptions::default());
        let host = sim.host("node");
        let path = "/data/shards/0000000000000010/0000000000.seg";
        sim.write_file(host, path, &[1; BYTES]).expect("an empty disk");
        sim.create_dir_all(host, "/data/spare").expect("an empty disk");
        let env = Env::new(sim.runtime(host), WorkerId(0), PathBuf::from("/data"), Term(1), Tuning::default());
        sim.block_on(env.free_segment(Path::new(path), BYTES as u64)).expect("no faults");
        assert!(env.take_spare(BYTES as u64).is_some());
        sim.power_loss(host);
        assert!(sim.files(host).iter().all(|(left, _)| left != path), "seed {seed}: the log has it back");
    }
}

/// Seeds until one fails, at most `max`, with the disk leaving out a step of the code.
fn caught_after(max: u64, op: DiskOp, path: &str, every: u32) -> Option<u64> {
    // Each injection lets `skip` operations pass that no earlier one takes, then hits one: every n-th is left out.
    let skipped = Injection { op, path_contains: path.to_owned(), skip: every - 1, times: 1, fault: Fault::Skip };
    (0..max).find(|seed| {
        let plan = Plan {
            durability: Durability::Fsync,
            faults: DiskFaults::default(),
            tuning: Tuning { tail_bytes_max: 0, ..Tuning::default() },
            aimed: vec![skipped.clone(); if every == 1 { 20_000 } else { 50 }],
            ..Plan::draw(*seed)
        };
        catch_unwind(AssertUnwindSafe(|| logs::run_plan(*seed, plan))).is_err()
    })
}

/// Nodes until one fails, with the disk leaving out a step of the code each time.
fn caught_node(op: DiskOp, path: &str) -> Option<u64> {
    let skipped = Injection { op, path_contains: path.to_owned(), skip: 0, times: u32::MAX, fault: Fault::Skip };
    (0..30).find(|seed| {
        let plan = node::Plan { aimed: vec![skipped.clone()], ..node::Plan::draw(*seed) };
        catch_unwind(AssertUnwindSafe(|| node::run_plan(*seed, plan))).is_err()
    })
}

/// Goal: the checker notices code that acknowledges before it syncs, does not sync directories, or loses a write. Without
/// this, seeds that pass prove nothing.
#[test]
fn missing_steps_are_noticed() {
    let caught = [
        ("no segment is synced", caught_after(10, DiskOp::Sync, ".seg", 1)),
        ("every fourth sync of a segment is left out", caught_after(30, DiskOp::Sync, ".seg", 4)),
        ("no directory of a log is synced", caught_after(20, DiskOp::SyncDir, "/shards/", 1)),
        ("one write in thirty does not happen", caught_after(20, DiskOp::Write, ".seg", 30)),
    ];
    let caught = caught.into_iter().chain([
        ("no segment of the node is synced", caught_node(DiskOp::Sync, ".seg")),
        ("no directory of the node is synced", caught_node(DiskOp::SyncDir, "/data")),
    ]);
    for (what, seed) in caught {
        println!("{what}: caught by seed {seed:?}");
        assert!(seed.is_some(), "not noticed: {what}");
    }
}
