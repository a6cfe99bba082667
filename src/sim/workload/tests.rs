//! That the workloads themselves work.

use super::*;

/// Goal: a run depends on its seed alone: the same seed gives the same trace twice, another one another trace.
#[test]
fn logs_same_seed_same_trace() {
    assert_eq!(logs::run(1).trace_hash, logs::run(1).trace_hash);
    assert_ne!(logs::run(1).trace_hash, logs::run(2).trace_hash);
}
