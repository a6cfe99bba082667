//! That the workloads themselves work: they depend on their seed alone, and their checkers notice what they are for.

mod reports;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::logs::Plan;
use super::troubles::Troubles;
use super::*;
use crate::engine::env::{Env, Tuning};
use crate::engine::log::{Ack, AckSink, Log, OutcomeUnknown, Receipt};
use crate::engine::{data_dir, recover};
use crate::format::frame::HEADER_BYTES;
use crate::format::names;
use crate::format::record::{self, RECORD_HEADER_BYTES};
use crate::format::segment::FRAMES_AT;
use crate::limits::{SEGMENT_BYTES_MIN, SHARD_UNSYNCED_BYTES_MAX};
use crate::log::gather::Batch;
use crate::runtime::local::{Fill, one_shot};
use crate::runtime::{Reactor, Runtime, Step};
use crate::sim::{Chance, DiskFaults, DiskOp, Fault, Injection, Sim, SimRuntime};
use crate::types::{Durability, GroupId, Offset, Term, WallUs, WorkerId};

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

const GROUP: GroupId = GroupId(16);

/// A log on a simulated host, opened.
async fn open_log(rt: &SimRuntime, durability: Durability) -> Rc<Log<SimRuntime>> {
    let dir = data_dir::open(rt, Path::new("/data")).await.expect("no faults");
    let env = Env::new(rt.clone(), WorkerId(0), dir.path.clone(), dir.node.term, Tuning::default());
    let path = names::shard_dir(&env.data, GROUP);
    rt.create_dir(&path).await.expect("no faults");
    rt.sync_dir(&names::shards_dir(&env.data)).await.expect("no faults");
    let (found, report) = recover::recover(&env, GROUP, &path).await.expect("no faults");
    assert_eq!(report.damage, []);
    Log::new(env, path, found, durability)
}

/// Puts one record with a body of so many bytes, and waits for the acknowledgement.
async fn put(log: &Log<SimRuntime>, body_bytes: usize) {
    struct Sink(RefCell<Option<Fill<Result<Receipt, OutcomeUnknown>>>>);
    impl AckSink for Sink {
        fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
            self.0.take().expect("answered once").fill(outcome);
        }
    }
    let mut body = Vec::new();
    record::encode("k", &vec![7; body_bytes - RECORD_HEADER_BYTES - 1], &mut body);
    log.room(body.len()).await.expect("it is open");
    let (fill, answer) = one_shot();
    let (body_crc, sink) = (crc32fast::hash(&body), Rc::new(Sink(RefCell::new(Some(fill)))));
    let batch = Batch { body: &body, body_crc, record_count: 1, producer: None, arrival: WallUs(1) };
    log.append(&batch, Ack { sink, token: 0 }).expect("there is room");
    answer.wait().await.expect("an answer").expect("no faults");
}

/// Body of a first put that fills the first segment to the last byte, so that whatever comes next begins the second one.
const FILLING: usize = SEGMENT_BYTES_MIN as usize - FRAMES_AT as usize - 2 * HEADER_BYTES;

/// Goal: a segment that begins with the hint of a log that went quiet belongs to the log: recovery removed it once, with
/// all that had been acknowledged in it.
#[test]
fn a_segment_that_begins_with_a_hint_is_kept() {
    let sim = Sim::new(1, SimOptions::default());
    let host = sim.host("node");
    let rt = sim.runtime(host);
    sim.block_on(async {
        let log = open_log(&rt, Durability::Fsync).await;
        put(&log, FILLING).await;
        rt.sleep(Duration::from_secs(1)).await;
        put(&log, 100).await;
    });
    sim.kill(host);
    let rt = sim.runtime(host);
    // With the first segment's index nobody asks how the second one begins.
    let index = names::shard_dir(Path::new("/data"), GROUP).join(names::index(0));
    sim.block_on(rt.remove(&index)).expect("it was saved");
    let log = sim.block_on(open_log(&rt, Durability::Fsync));
    assert_eq!(log.marks().committed().offset, Offset(2));
}

/// Goal: with interval durability, what retention leaves carries the offsets on even if the power takes what is visible
/// and not synced: a log began again at offset 0 once.
#[test]
fn retention_leaves_something_durable() {
    for seed in 0..20 {
        let sim = Sim::new(seed, SimOptions::default());
        let host = sim.host("node");
        let rt = sim.runtime(host);
        sim.block_on(async {
            let log = open_log(&rt, Durability::Interval).await;
            // The second put rolls over, which syncs the first; its own sync comes an interval later.
            put(&log, FILLING).await;
            put(&log, 100).await;
            assert_eq!(log.marks().durable().offset, Offset(1));
            log.expire(WallUs(u64::MAX)).await.expect("no faults");
        });
        sim.power_loss(host);
        let rt = sim.runtime(host);
        let log = sim.block_on(open_log(&rt, Durability::Interval));
        assert!(log.marks().committed().offset >= Offset(1), "seed {seed}: the log begins again");
    }
}

/// Goal: the same for whole nodes whose files decay.
#[test]
fn decay_same_seed_same_outcome() {
    let outcome = |seed| format!("{:?}", decay::run(seed));
    assert_eq!(outcome(5), outcome(5));
}

/// Seeds until one fails, at most `max`, with a step of the engine left out.
fn caught_without(max: u64, step: Step) -> Option<u64> {
    (0..max).find(|seed| {
        let plan = Plan::draw(*seed);
        let fault = |parts| if step == Step::WriteAgain { Chance::per_million(parts) } else { Chance::NEVER };
        let faults = DiskFaults { sync_error: fault(20_000), ..DiskFaults::default() };
        let tuning = Tuning { tail_bytes_max: 0, ..Tuning::default() };
        // A sync that takes its time leaves room for a reader and a crash before it ends.
        let slow = Fault::SlowUs(20_000);
        let slow =
            Injection { op: DiskOp::Sync, path_contains: ".seg".to_owned(), skip: 0, times: u32::MAX, fault: slow };
        let aimed = if step == Step::SyncBeforeRead { vec![slow] } else { Vec::new() };
        let plan = Plan { durability: Durability::Fsync, faults, tuning, left_out: Some(step), aimed, ..plan };
        catch_unwind(AssertUnwindSafe(|| logs::run_plan(*seed, plan))).is_err()
    })
}

/// Goal: the checker notices an engine that acknowledges before it syncs, serves what is not synced, or trusts what can be read
/// behind a sync that failed.
#[test]
fn seeded_bugs_are_noticed() {
    for step in [Step::SyncBeforeAck, Step::SyncBeforeRead, Step::WriteAgain] {
        let caught = caught_without(30, step);
        println!("{step:?}: caught by seed {caught:?}");
        assert!(caught.is_some(), "not noticed: {step:?} is left out");
    }
}

/// Goal: an engine that takes stale frames for its own is noticed: the segment it writes to was used before, and what is left in
/// it behind the end looks like the log's own frames, which it was.
#[test]
fn a_stale_frame_that_is_trusted_is_noticed() {
    const PUTS: u64 = 430;
    let is_right = |step: Option<Step>| {
        let machine = crate::engine::testing::Machine::new(1);
        let node = machine.start();
        machine.sim.block_on(async {
            let mut arrivals = Vec::new();
            for number in 0..PUTS {
                // A put and the hint behind it are two blocks; the pace keeps segments small.
                arrivals.push(node.put(number, 1_000).await.arrival);
                node.rt.sleep(Duration::from_millis(1_200)).await;
                if number == 300 {
                    let freed = node.log.expire(arrivals[260]).await.expect("no faults");
                    assert!(freed > SEGMENT_BYTES_MIN, "two segments can be used again, not {freed} bytes");
                }
            }
        });
        machine.kill(node);
        step.into_iter().for_each(|step| machine.sim.leave_out(machine.host, step));
        let node = machine.start();
        let first = node.log.first_offset();
        let read = machine.sim.block_on(node.read_all(first)).expect("the log is intact");
        read == (first.0..PUTS).collect::<Vec<_>>()
    };
    assert!(is_right(None));
    let trusting = catch_unwind(AssertUnwindSafe(|| is_right(Some(Step::JudgeFrames))));
    assert!(!trusting.unwrap_or(false), "stale frames were trusted, and nobody noticed");
}

/// Goal: a whole node's checker notices the same two in what clients are told.
#[test]
fn seeded_bugs_of_a_node_are_noticed() {
    for step in [Step::SyncBeforeAck, Step::SyncBeforeRead] {
        let caught = (0..30).find(|seed| {
            // A sync that takes its time leaves room for a reader and a crash before it ends.
            let slow = Fault::SlowUs(20_000);
            let slow =
                Injection { op: DiskOp::Sync, path_contains: ".seg".to_owned(), skip: 0, times: u32::MAX, fault: slow };
            let aimed = if step == Step::SyncBeforeRead { vec![slow] } else { Vec::new() };
            let plan = node::Plan { left_out: Some(step), aimed, troubles: Troubles::NONE, ..node::Plan::draw(*seed) };
            catch_unwind(AssertUnwindSafe(|| node::run_plan(*seed, plan))).is_err()
        });
        println!("{step:?}: caught by seed {caught:?}");
        assert!(caught.is_some(), "not noticed: {step:?} is left out");
    }
}

/// Goal: a disk that hangs does not let memory grow: puts wait at the bound of their shard, and all get through afterwards.
#[test]
fn a_hung_disk_holds_puts_back() {
    const PUTS: u64 = 60;
    let machine = crate::engine::testing::Machine::new(1);
    let node = Rc::new(machine.start());
    let hang = Injection { op: DiskOp::Sync, path_contains: ".seg".to_owned(), skip: 0, times: 1, fault: Fault::Hang };
    machine.sim.inject(machine.host, hang);
    let done = Rc::new(Cell::new(0));
    for number in 0..PUTS {
        let (node, done) = (Rc::clone(&node), Rc::clone(&done));
        machine.sim.spawn(machine.host, async move {
            node.put(number, 1 << 20).await;
            done.set(done.get() + 1);
        });
    }
    let unsynced_max = Cell::new(0);
    let look = || {
        unsynced_max.set(unsynced_max.get().max(node.env.unsynced.get()));
        false
    };
    machine.sim.run_until(look, Duration::from_secs(10));
    assert_eq!(done.get(), 0, "nothing is acknowledged while the sync hangs");
    let max = unsynced_max.get();
    assert!((SHARD_UNSYNCED_BYTES_MAX / 2..=SHARD_UNSYNCED_BYTES_MAX).contains(&max), "{max} bytes were held");
    machine.sim.release_hung(machine.host);
    assert!(
        machine.sim.run_until(|| done.get() == PUTS, Duration::from_secs(10)),
        "{} of {PUTS} got through",
        done.get()
    );
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
        let plan = node::Plan { aimed: vec![skipped.clone()], troubles: Troubles::NONE, ..node::Plan::draw(*seed) };
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
