use std::sync::atomic::AtomicBool;

use super::*;
use crate::driver::Target;
use crate::driver::native::NativeDriver;
use crate::result::RunResult;
use crate::run::{Setup, run};
use crate::units::Size;
use crate::workload::Workload;

/// Bytes that a shard keeps: more than any of these runs writes.
const KEEP: usize = 64 << 20;

/// A short run against a null server that behaves like this.
fn run_against(options: Options, changes: &[&str]) -> RunResult {
    let server = NullServer::start(options).unwrap();
    let changes: Vec<_> = changes.iter().map(|text| (*text).to_owned()).collect();
    let base = Workload::default()
        .with(&["duration=500ms", "warmup=100ms", "drain=3s", "load.schedule.rate=2k"].map(str::to_owned))
        .unwrap();
    let workload = base.with(&changes).unwrap();
    let setup = Setup::new(workload, Target::Native { addr: server.addr(), token: Vec::new() });
    run::<NativeDriver>(&setup, None, &AtomicBool::new(false), &mut []).unwrap()
}

fn keeping(tamper: Tamper) -> Options {
    Options { keep_bytes: KEEP, tamper, stall: None }
}

/// Goal: everything sent is acknowledged, read by every group, verified and counted, in each way of reading and of batching.
#[test]
fn everything_is_sent_read_and_counted() {
    for changes in [
        ["read.mode=push", "read.groups=3", "batch.mode=client"],
        ["read.mode=long-poll", "read.groups=1", "batch.mode=raw"],
        ["read.mode=poll", "read.interval=20ms", "load.threads=2"],
    ] {
        let result = run_against(keeping(Tamper::None), &changes);
        assert_eq!(result.verdict.failed, Vec::<String>::new(), "{changes:?}");
        // 2,000 per second for half a second, after 200 of warm-up.
        let (put, verified) = (&result.put, result.verification.unwrap());
        assert_eq!((put.scheduled, put.sent, put.acked, put.unresolved), (1_000, 1_000, 1_000, 0), "{changes:?}");
        assert_eq!((verified.sent, verified.acked), (1_200, 1_200));
        assert!(verified.groups.iter().all(|group| group.received == 1_200), "{verified:?}");
        let groups = result.workload.read.groups;
        assert_eq!(verified.groups.len() as u32, groups);
        let latency = &result.latency;
        assert_eq!((latency.put_ack.count, latency.send_lag.count), (1_000, 1_000));
        assert_eq!(latency.put_to_get.count, 1_000 * u64::from(groups));
        let points = &result.series.points;
        assert_eq!(points.iter().map(|point| point.put_ack.count()).sum::<u64>(), 1_000);
        assert!(latency.put_to_get.min_ns > 0 && result.generator.cpu_send_s > 0.0);
    }
}

/// Goal: a server that loses, doubles, reorders or damages records fails the run, and the run says how.
#[test]
fn a_lying_server_is_found_out() {
    for (tamper, word) in [
        (Tamper::Lose(100), "lost"),
        (Tamper::Duplicate(100), "more than once"),
        (Tamper::Reorder(100), "out of order"),
        (Tamper::Corrupt(100), "damaged"),
    ] {
        // One key, and batches large enough that a neighbour is there to change places with.
        let changes = ["records.keys.count=1", "batch.linger=20ms", "drain=1s"];
        let result = run_against(keeping(tamper), &changes);
        let failed = result.verdict.failed.join("; ");
        assert!(failed.contains(word), "{tamper:?}: {failed}");
        assert_eq!(result.verdict.word(), "FAILED");
        assert!(!result.verification.unwrap().groups[0].examples.is_empty());
    }
}

/// Goal: a server that stands still shows in the latency from the intended time in full, for every record that was due
/// meanwhile, and in the actual one only for those that were under way: coordinated omission is what the latter hides.
#[test]
fn a_stall_shows_in_the_intended_latency() {
    let lasts = Duration::from_millis(300);
    // Room for one record only: while the server stands, the generator is held back.
    let changes =
        ["load.producers=1", "batch.buffer=1KiB", "records.size.bytes=900", "load.schedule.rate=1k", "read.groups=0"];
    let stalled = Options { stall: Some(Stall { before_put: 250, lasts }), ..Options::default() };
    let result = run_against(stalled, &changes);
    let above = |of: &crate::stats::Distribution, ms: u64| -> u64 {
        of.buckets.iter().filter(|(ns, _)| *ns >= ms * 1_000_000).map(|(_, count)| count).sum()
    };
    let (intended, actual) = (&result.latency.put_ack, &result.latency.put_ack_actual);
    assert_eq!(intended.count, actual.count);
    // One record a millisecond was due for 300 ms: 200 of them waited for 100 ms and more.
    assert!(above(intended, 100) >= 190, "{}", above(intended, 100));
    assert!(above(intended, 250) >= 40, "{}", above(intended, 250));
    assert!(intended.max_ns >= 290_000_000);
    // Those that were under way, one or two, waited for all of it. Nobody else had been sent.
    let under_way = above(actual, 250);
    assert!((1..=3).contains(&under_way), "{under_way}");
    assert!(above(actual, 100) <= above(intended, 100) / 10, "{}", above(actual, 100));
    // It was the server's doing, and the result says so.
    assert!(result.verdict.saturated && result.generator.blocked_share > 0.4, "{:?}", result.generator);
    assert!(result.generator.caught_up >= 190, "{}", result.generator.caught_up);
}

/// Goal: a generator that stands still by itself makes the run invalid, and its lateness is in the intended latency.
#[test]
fn a_generator_that_falls_behind_is_invalid() {
    // A hundred million records per second are more than any generator sends.
    let changes = ["load.schedule.rate=100M", "duration=50ms", "warmup=0s", "drain=100ms", "read.groups=0"];
    let result = run_against(Options::default(), &changes);
    assert!(!result.verdict.invalid.is_empty(), "{:?}", result.put);
    let late = result.generator.late + result.generator.caught_up;
    assert!(late > result.put.scheduled / 2, "{late} of {}", result.put.scheduled);
}

/// Goal: a closed loop keeps its number in flight and is marked.
#[test]
fn closed_loops_are_marked() {
    let result = run_against(keeping(Tamper::None), &["load.closed.in_flight=32", "duration=200ms"]);
    assert!(result.verdict.closed_loop && result.verdict.failed.is_empty(), "{:?}", result.verdict);
    assert!(result.put.acked >= 32 && result.put.scheduled == result.put.sent);
    assert_eq!(result.latency.put_ack.buckets, result.latency.put_ack_actual.buckets);
}

/// Goal: a backlog is read from its start, verified, and kept out of the latencies.
#[test]
fn backlogs_are_caught_up_with() {
    let result = run_against(keeping(Tamper::None), &["backlog.bytes=2MiB", "duration=300ms"]);
    assert_eq!(result.verdict.failed, Vec::<String>::new());
    let backlog = Size(2 << 20).0 / 1_024;
    assert_eq!(result.catch_up[0].records, backlog);
    assert!(result.catch_up[0].seconds.is_some_and(|seconds| seconds > 0.0));
    let verified = result.verification.unwrap();
    assert_eq!(verified.acked, backlog + 800);
    assert_eq!(verified.groups[0].received, backlog + 800);
    assert_eq!(result.latency.put_to_get.count, 600);
}

/// Goal: a run that is interrupted has the figures of the time until then, and is complete in itself.
#[test]
fn interrupted_runs_have_their_figures() {
    struct Interrupt<'a>(&'a AtomicBool);
    impl crate::run::Observer for Interrupt<'_> {
        fn slice(&mut self, slice: &crate::run::Slice) {
            if !slice.warmup {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
    let server = NullServer::start(keeping(Tamper::None)).unwrap();
    let changes = ["duration=1h", "warmup=100ms", "load.schedule.rate=500"].map(str::to_owned);
    let workload = Workload::default().with(&changes).unwrap();
    let setup = Setup::new(workload, Target::Native { addr: server.addr(), token: Vec::new() });
    let interrupt = AtomicBool::new(false);
    let result = run::<NativeDriver>(&setup, None, &interrupt, &mut [&mut Interrupt(&interrupt)]).unwrap();
    assert!(result.verdict.interrupted && result.verdict.failed.is_empty(), "{:?}", result.verdict);
    assert!(result.measured_s >= 1.0 && result.measured_s < 600.0, "{}", result.measured_s);
    assert!(result.put.acked >= 400 && result.put.acked == result.put.sent, "{:?}", result.put);
    assert_eq!(result.verification.unwrap().groups[0].lost, 0);
}

/// Goal: a run that is given up before its load begins ends, with all its threads, and says why.
#[test]
fn runs_given_up_early_end() {
    let server = NullServer::start(Options::default()).unwrap();
    let setup = Setup::new(Workload::default(), Target::Native { addr: server.addr(), token: Vec::new() });
    let error = run::<NativeDriver>(&setup, None, &AtomicBool::new(true), &mut []).unwrap_err();
    assert!(error.to_string().contains("interrupted before"), "{error}");
}
