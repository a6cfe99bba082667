//! What a run says in the end: one JSON document with everything that is needed to judge it, and to draw it.
//!
//! Units are in the names. Latencies are nanoseconds. Definitions are in README.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stats::{Bins, Distribution};
use crate::verify::Verification;
use crate::workload::Workload;

/// Version of this document. Grows when a field changes its meaning or goes away; new fields do not change it.
pub const SCHEMA: u32 = 1;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`] of the tool that wrote this.
    pub schema: u32,
    /// Version of the tool.
    pub tool_version: String,
    /// The command line, so that the run can be repeated.
    pub command: Vec<String>,
    /// A random number that names the run; it is in every record.
    pub run_id: u64,
    /// When it started: milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// What the person running it called it.
    pub label: Option<String>,
    /// The workload, complete.
    pub workload: Workload,
    /// What was measured.
    pub target: TargetInfo,
    /// The machine.
    pub environment: Environment,
    /// Whether the figures can be used, and for what.
    pub verdict: Verdict,
    /// Time measured, in seconds: the workload's duration unless it was cut short.
    pub measured_s: f64,
    /// What producers did in the measured time.
    pub put: PutTotals,
    /// What each group of consumers did.
    pub read: Vec<ReadTotals>,
    /// The latencies of the measured time.
    pub latency: Latencies,
    /// What became of every record of the whole run, warm-up and backlog included.
    pub verification: Option<Verification>,
    /// The measured time in slices.
    pub series: Series,
    /// The generator itself.
    pub generator: GeneratorInfo,
    /// The node's use of the machine, if it is a process of this machine and known.
    pub node: Option<NodeUse>,
    /// Share of this machine's CPU time, from 0 to 1, that its hypervisor gave to others in the measured time; `None` if the
    /// kernel does not tell.
    #[serde(default)]
    pub stolen_share: Option<f64>,
    /// Reading of the backlog, if the workload has one: one entry per group.
    pub catch_up: Vec<CatchUp>,
    /// What was done to the node.
    pub faults: Vec<FaultOutcome>,
    /// What was done to the stream, if the workload changes it.
    #[serde(default)]
    pub changes: Option<ChangeTotals>,
}

/// Changes of the stream while it was in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeTotals {
    /// Those made, by kind.
    pub made: BTreeMap<String, u64>,
    /// Those that were not, by kind and reason.
    pub refused: BTreeMap<String, u64>,
    /// The longest that one took, in milliseconds.
    pub longest_ms: u64,
}

/// Runs at several rates: what `--find-max` gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// [`SCHEMA`] of the tool that wrote this.
    pub schema: u32,
    /// What had to hold.
    pub objective: Objective,
    /// Every rate tried, in the order tried.
    pub probes: Vec<Probe>,
    /// The highest rate that held, in records per second.
    pub best_rate: Option<f64>,
    /// The search ended at what the generator can do, not at what the server can.
    pub limited_by_generator: bool,
}

/// One rate of a [`Sweep`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Records per second.
    pub rate: f64,
    /// Why the objective was missed; empty if it was met.
    pub missed: Vec<String>,
    /// The run.
    pub run: RunResult,
}

/// What a run has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Of which latency.
    pub metric: Metric,
    /// At which percentile, 0 to 100.
    pub percentile: f64,
    /// The most it may be.
    pub ns_max: u64,
}

/// A latency of [`Latencies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// From the intended time to the acknowledgement.
    PutAck,
    /// From the intended time to a consumer.
    PutToGet,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TargetInfo {
    /// The driver: `native`, `kinesis`.
    pub driver: String,
    /// Where it is: an address or URL.
    pub address: String,
    /// The stream's name.
    pub stream: String,
    /// What it calls itself, with its version.
    pub server: String,
    /// What an acknowledgement stands for, as the server says: `fsync`, `interval`, `none`, `unknown`.
    pub durability: String,
    /// Settings of server and stream, as far as known.
    pub settings: BTreeMap<String, String>,
    /// The run started the node itself.
    pub started_by_run: bool,
}

/// The machine, as far as it can be found out. `env` fills it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Facts by name, in the order of a report: `kernel`, `cpu`, `cpus`, `governor`, `memory`, ...
    pub facts: BTreeMap<String, String>,
    /// Where the node's data lies, if it is on this machine: device, model, file system, mount options.
    pub storage: BTreeMap<String, String>,
    /// Where client and server run: same machine, CPUs each is bound to.
    pub placement: BTreeMap<String, String>,
}

/// Whether the figures can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Why the figures must not be used. Empty for a valid run.
    pub invalid: Vec<String>,
    /// Why the run failed: records lost, doubled, out of order, damaged. Empty if everything held.
    pub failed: Vec<String>,
    /// The load was closed: latencies say nothing of what a user at a given rate would see.
    pub closed_loop: bool,
    /// The server did not take the rate: it held the generator back, so that records were sent after their time.
    pub saturated: bool,
    /// The run was interrupted; the figures are those of the time until then.
    pub interrupted: bool,
    /// What is to be known beside: errors, things that could not be measured.
    pub notes: Vec<String>,
}

impl Verdict {
    /// Whether the figures can be used and nothing went wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.invalid.is_empty() && self.failed.is_empty()
    }

    /// The one word for tables: `FAILED`, `INVALID`, `saturated`, `interrupted`, `ok`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            _ if !self.failed.is_empty() => "FAILED",
            _ if !self.invalid.is_empty() => "INVALID",
            _ if self.saturated => "saturated",
            _ if self.interrupted => "interrupted",
            _ => "ok",
        }
    }
}

/// What producers did in the measured time: records whose intended time lies in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PutTotals {
    /// Records the schedule had; in closed loop those sent.
    pub scheduled: u64,
    /// Records handed to the driver.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Bytes of data acknowledged.
    pub acked_bytes: u64,
    /// Records that were certainly not stored.
    pub failed: u64,
    /// Records of which nobody can tell whether they were stored.
    pub unknown: u64,
    /// Records without an outcome when the run ended.
    pub unresolved: u64,
    /// Acknowledged records per second of the measured time.
    pub records_per_s: f64,
    /// Acknowledged bytes per second of the measured time.
    pub bytes_per_s: f64,
    /// Errors by kind, and how many records each hit.
    pub errors: BTreeMap<String, u64>,
    /// Sends that a driver repeated; `None` if it does not say, as the native library.
    #[serde(default)]
    pub retries: Option<u64>,
}

/// What a group of consumers did in the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReadTotals {
    /// The group's number.
    pub group: u32,
    /// Records received.
    pub received: u64,
    /// Bytes of data received.
    pub received_bytes: u64,
    /// Records per second of the measured time.
    pub records_per_s: f64,
    /// Bytes per second of the measured time.
    pub bytes_per_s: f64,
    /// Errors by kind that a consumer met and went on from, or ended with.
    pub errors: BTreeMap<String, u64>,
    /// Shards read: those there were in the beginning, and those that were split or merged from them.
    #[serde(default)]
    pub shards: u64,
}

/// Latencies. "Intended" is counted from the time the schedule wanted the record to be sent, "actual" from when it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// From the intended time to the acknowledgement. In closed loop the same as the actual one.
    pub put_ack: Distribution,
    /// From the actual time to the acknowledgement.
    pub put_ack_actual: Distribution,
    /// From the intended time until a consumer has the record; all groups together.
    pub put_to_get: Distribution,
    /// From the actual time until a consumer has the record.
    pub put_to_get_actual: Distribution,
    /// From the intended to the actual time.
    pub send_lag: Distribution,
}

impl Latencies {
    /// The latency a metric names.
    #[must_use]
    pub const fn get(&self, metric: Metric) -> &Distribution {
        match metric {
            Metric::PutAck => &self.put_ack,
            Metric::PutToGet => &self.put_to_get,
        }
    }
}

/// The measured time, and the drain behind it, in slices of equal length.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Length of a slice.
    pub interval_ms: u64,
    /// The slices. At most [`crate::stats::series::POINTS_MAX`]: a longer run has longer slices.
    pub points: Vec<Point>,
}

/// One slice. Things count in the slice they happened in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its start, from the end of the warm-up.
    pub start_ms: u64,
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
    /// Put-ack latencies, from the intended time.
    pub put_ack: Bins,
    /// Put-to-get latencies, from the intended time.
    pub put_to_get: Bins,
}

/// The generator itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorInfo {
    /// How late the timer woke, measured before the run: waits of 1 ms.
    pub timer: Distribution,
    /// CPU time of the threads that send, in the measured time.
    pub cpu_send_s: f64,
    /// CPU time of the threads that receive and verify, in the measured time.
    pub cpu_receive_s: f64,
    /// Share of the measured time in which back-pressure held the generator back.
    pub blocked_share: f64,
    /// Records that the generator itself sent late: see README.md, "INVALID".
    pub late: u64,
    /// Records sent while it made up for time that back-pressure had taken.
    pub caught_up: u64,
    /// The same workload, closed, against the null server in this process.
    pub calibration: Option<Calibration>,
}

/// What the generator can do, and costs, when the server costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Records per second of one sending thread.
    pub records_per_s: f64,
    /// Bytes of data per second of one sending thread.
    pub bytes_per_s: f64,
    /// CPU time of the sending thread for one record.
    pub cpu_ns_per_record: f64,
}

/// What a process used in the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeUse {
    /// Its number.
    pub pid: u32,
    /// CPU time, user and system, in seconds.
    pub cpu_s: f64,
    /// Memory at the end: resident bytes.
    pub rss_bytes: u64,
    /// The generator's CPU time divided by the node's.
    pub generator_cpu_ratio: f64,
}

/// How a group read the backlog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CatchUp {
    /// The group's number.
    pub group: u32,
    /// Records of the backlog that were read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Time from the group's start to the last record of the backlog; `None` if it did not get there.
    pub seconds: Option<f64>,
    /// Bytes per second over that time.
    pub bytes_per_s: f64,
}

/// What a fault did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultOutcome {
    /// What was done.
    pub kind: String,
    /// When, in milliseconds from the end of the warm-up.
    pub at_ms: u64,
    /// Time until the node said that it was ready again, in milliseconds.
    pub ready_after_ms: Option<u64>,
    /// Longest time without an acknowledgement that began or ended after it, in milliseconds.
    pub ack_gap_ms: Option<u64>,
    /// Longest time without a record received that began or ended after it, in milliseconds.
    pub receive_gap_ms: Option<u64>,
}
