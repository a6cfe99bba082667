//! The engine of a run.

use crate::result::RunResult;
use crate::stats::Histogram;
use crate::workload::Workload;

/// Watches a run: the live view, the files that are written along the way. Called on one thread, not on those that measure.
pub trait Observer {
    /// The load begins.
    fn started(&mut self, plan: &Plan<'_>) {
        let _ = plan;
    }

    /// A slice of the run is over. Slices come in order, about once per [`Plan::interval_ms`].
    fn slice(&mut self, slice: &Slice) {
        let _ = slice;
    }

    /// Something happened that people should know: a phase, a fault, a warning.
    fn note(&mut self, text: &str) {
        let _ = text;
    }

    /// The run is over.
    fn finished(&mut self, result: &RunResult) {
        let _ = result;
    }
}

/// What is about to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// Length of a slice.
    pub interval_ms: u64,
    /// The driver and address.
    pub target: &'a str,
    /// What the server calls itself.
    pub server: &'a str,
    /// When the load begins: CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// The same moment on the wall clock: milliseconds since the Unix epoch.
    pub start_unix_ms: u64,
}

/// What happened in a slice of the run, all threads together. Histograms are of this slice alone.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// When it began: nanoseconds from [`Plan::start_ns`].
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// It lies in the warm-up, and does not count.
    pub warmup: bool,
    /// Records the schedule had.
    pub scheduled: u64,
    /// Records handed to the driver.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Bytes of data acknowledged.
    pub acked_bytes: u64,
    /// Records that failed or whose outcome is unknown.
    pub failed: u64,
    /// Records received, all groups together.
    pub received: u64,
    /// Bytes of data received, all groups together.
    pub received_bytes: u64,
    /// From the intended time to the acknowledgement.
    pub put_ack: Histogram,
    /// From the actual time to the acknowledgement.
    pub put_ack_actual: Histogram,
    /// From the intended time until a consumer has the record.
    pub put_to_get: Histogram,
    /// From the actual time until a consumer has the record.
    pub put_to_get_actual: Histogram,
    /// From the intended to the actual time.
    pub send_lag: Histogram,
}
