//! A run that never happened, for the tests of what is made of runs.

use std::collections::BTreeMap;

use crate::result::{
    Calibration, Environment, FaultOutcome, GeneratorInfo, Latencies, Metric, NodeUse, Objective, Point, Probe,
    PutTotals, ReadTotals, RunResult, SCHEMA, Series, Sweep, TargetInfo, Verdict,
};
use crate::rng::Rng;
use crate::stats::{Bins, Histogram};
use crate::verify::{Findings, Verification};
use crate::workload::{Schedule, Workload};

/// Slices of a sample run, each a second.
pub const SECONDS: u64 = 40;

/// Records of each second.
pub const RATE: u64 = 3_000;

/// A run at [`RATE`] for [`SECONDS`] whose latencies are `slower` times those of another; two thirds through, the node
/// stalled for 40 ms, which only the latency from the intended time shows.
pub fn run(seed: u64, slower: f64) -> RunResult {
    run_at(RATE, seed, slower)
}

/// The same with so many records per second.
pub fn run_at(rate: u64, seed: u64, slower: f64) -> RunResult {
    let mut rng = Rng::new(seed);
    let mut all: [Histogram; 5] = std::array::from_fn(|_| Histogram::new());
    let mut points = Vec::new();
    for second in 0..SECONDS {
        let (mut ack, mut get) = (Histogram::new(), Histogram::new());
        for record in 0..rate {
            // Most take about 250 us, few much longer: a log-normal body with a heavier tail.
            let tail = if rng.unit() < 0.01 { 4.0 + rng.unit() * 6.0 } else { 1.0 };
            let actual = 250e3 * (rng.normal() * 0.22).exp() * tail * slower;
            let stalled = second == SECONDS * 2 / 3 && record < rate / 25;
            let lag =
                2e3 + rng.unit() * 6e3 + if stalled { 40e6 * (1.0 - record as f64 * 25.0 / rate as f64) } else { 0.0 };
            let push = 90e3 * (0.7 + rng.unit() * 0.8);
            ack.record((actual + lag) as u64);
            get.record((actual + lag + push) as u64);
            for (histogram, ns) in all.iter_mut().zip([actual + lag, actual, actual + lag + push, actual + push, lag]) {
                histogram.record(ns as u64);
            }
        }
        let jitter = rng.below(60);
        points.push(Point {
            start_ms: second * 1_000,
            scheduled: rate,
            sent: rate,
            acked: rate - 30 + jitter,
            acked_bytes: (rate - 30 + jitter) * 1_024,
            failed: 0,
            received: rate - 30 + jitter,
            received_bytes: (rate - 30 + jitter) * 1_024,
            put_ack: Bins::of(&ack),
            put_to_get: Bins::of(&get),
        });
    }
    let records = rate * SECONDS;
    let [put_ack, put_ack_actual, put_to_get, put_to_get_actual, send_lag] =
        all.map(|histogram| histogram.distribution());
    let mut workload = Workload { name: "latency".to_owned(), ..Workload::default() };
    workload.description = "Put-ack and put-to-get at a moderate rate.".to_owned();
    workload.load.schedule = Schedule::Poisson { rate: crate::units::Rate(rate as f64) };
    RunResult {
        schema: SCHEMA,
        tool_version: "0.1.0".to_owned(),
        command: ["millstream-bench", "run", "latency"].map(str::to_owned).to_vec(),
        run_id: seed,
        started_unix_ms: 1_790_000_000_000 + seed * 60_000,
        label: None,
        workload,
        target: TargetInfo {
            driver: "native".to_owned(),
            address: "127.0.0.1:7001".to_owned(),
            stream: "bench".to_owned(),
            server: "millstream 0.1.0".to_owned(),
            durability: "fsync".to_owned(),
            settings: map([("workers", "2"), ("segment_bytes", "")]),
            started_by_run: true,
        },
        environment: Environment {
            facts: map([("kernel", "6.18.1"), ("cpu", "AMD EPYC 9654"), ("governor", "unknown")]),
            storage: map([("disk_device", "/dev/nvme0n1p2"), ("disk_file_system", "ext4")]),
            placement: map([("server", "same machine, loopback")]),
        },
        verdict: Verdict::default(),
        measured_s: SECONDS as f64,
        put: PutTotals {
            scheduled: records,
            sent: records,
            acked: records,
            acked_bytes: records * 1_024,
            records_per_s: rate as f64,
            bytes_per_s: (rate * 1_024) as f64,
            retries: Some(3),
            ..PutTotals::default()
        },
        read: vec![ReadTotals {
            received: records,
            received_bytes: records * 1_024,
            records_per_s: rate as f64,
            bytes_per_s: (rate * 1_024) as f64,
            ..ReadTotals::default()
        }],
        latency: Latencies { put_ack, put_ack_actual, put_to_get, put_to_get_actual, send_lag },
        verification: Some(Verification {
            sent: records,
            acked: records,
            groups: vec![Findings { received: records, ..Findings::default() }],
            ..Verification::default()
        }),
        series: Series { interval_ms: 1_000, points },
        generator: GeneratorInfo {
            cpu_send_s: 1.2,
            cpu_receive_s: 0.9,
            blocked_share: 0.001,
            calibration: Some(Calibration { records_per_s: 2.4e6, bytes_per_s: 2.4e9, cpu_ns_per_record: 410.0 }),
            ..GeneratorInfo::default()
        },
        node: Some(NodeUse { pid: 7, cpu_s: 4.1, rss_bytes: 96 << 20, generator_cpu_ratio: 0.51 }),
        stolen_share: Some(0.002),
        catch_up: Vec::new(),
        faults: vec![FaultOutcome { kind: "stall".to_owned(), at_ms: SECONDS * 2_000 / 3, ..FaultOutcome::default() }],
        changes: None,
    }
}

/// A search that found [`RATE`] times four.
pub fn sweep() -> Sweep {
    let objective = Objective { metric: Metric::PutToGet, percentile: 99.0, ns_max: 5_000_000 };
    let probe = |(factor, slower): (u64, f64)| {
        let mut run = run(factor, slower);
        let rate = (RATE * factor) as f64;
        run.put.records_per_s = rate;
        let p99 = run.latency.put_to_get.percentile(99.0).unwrap_or(u64::MAX);
        let missed = if p99 > objective.ns_max { vec!["p99 is above the objective".to_owned()] } else { Vec::new() };
        Probe { rate, missed, run }
    };
    let probes = [(1, 1.0), (2, 1.1), (4, 1.6), (8, 6.0), (6, 2.9), (5, 2.3)].map(probe);
    Sweep {
        schema: SCHEMA,
        objective,
        probes: probes.to_vec(),
        best_rate: Some((RATE * 5) as f64),
        limited_by_generator: false,
    }
}

fn map<const N: usize>(facts: [(&str, &str); N]) -> BTreeMap<String, String> {
    facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
