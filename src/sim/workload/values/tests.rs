//! That the workload notices what it is for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::sim::{DiskOp, Fault};

fn caught(max: u64, harm: impl Fn(Plan) -> Plan) -> Option<u64> {
    (0..max).find(|seed| {
        let plan = harm(Plan::draw(*seed));
        catch_unwind(AssertUnwindSafe(|| run_plan(*seed, plan))).is_err()
    })
}

/// Goal: a run depends on its seed alone.
#[test]
fn same_seed_same_trace() {
    let hash = |seed| run(seed).trace_hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// Goal: the checker notices what a node forgets that does not sync, and leases that are granted too early.
#[test]
fn missing_steps_are_noticed() {
    let skipped =
        Injection { op: DiskOp::Sync, path_contains: ".seg".to_owned(), skip: 0, times: u32::MAX, fault: Fault::Skip };
    let unsynced = caught(10, |plan| Plan { aimed: vec![skipped.clone()], ..plan });
    let early = caught(10, |plan| Plan { left_out: Some(Step::AwaitLeaseEnd), ..plan });
    for (what, seed) in [("nothing is synced", unsynced), ("leases are granted before they ran out", early)] {
        println!("{what}: caught by seed {seed:?}");
        assert!(seed.is_some(), "not noticed: {what}");
    }
}
