//! That the workloads themselves work: they depend on their seed alone, and their checkers notice what they are for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::logs::Plan;
use super::*;
use crate::engine::env::Tuning;
use crate::sim::{DiskFaults, DiskOp, Fault, Injection};
use crate::types::Durability;

/// Goal: a run depends on its seed alone: the same seed gives the same trace twice, another one another trace.
#[test]
fn logs_same_seed_same_trace() {
    let hash = |seed| logs::run(seed).trace_hash;
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
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
    for (what, seed) in caught {
        println!("{what}: caught by seed {seed:?}");
        assert!(seed.is_some(), "not noticed: {what}");
    }
}
