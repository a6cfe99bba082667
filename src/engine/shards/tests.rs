use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_lite::future::poll_once;

use super::*;
use crate::catalog::{CustomLimits, HashRange, Limits, Settings};
use crate::engine::data_dir::{self, DataDir};
use crate::engine::env::Tuning;
use crate::engine::log::{Ack, AckSink, OutcomeUnknown, Receipt};
use crate::engine::read::ReadError;
use crate::engine::shard::{Put, PutError};
use crate::format::frame::Frame;
use crate::format::record::{self, Records};
use crate::format::segment::FRAMES_AT;
use crate::runtime::Reactor;
use crate::runtime::local::{Fill, one_shot};
use crate::shard::throttle::Throttled;
use crate::sim::{DiskOp, Fault, HostId, Injection, Sim, SimOptions, SimRuntime};
use crate::types::{Durability, HashKey, ProducerId, ProducerStamp, ShardNumber, StreamId, WallUs, WorkerId};

mod memory;

const GROUP: GroupId = GroupId(16);
const HOUR_US: u64 = 3_600_000_000;

/// A machine with the workers of one node.
struct Machine {
    sim: Sim,
    host: HostId,
}

struct Node {
    rt: SimRuntime,
    workers: Vec<Rc<Shards<SimRuntime>>>,
    _data: DataDir<SimRuntime>,
}

fn machine(seed: u64) -> Machine {
    let sim = Sim::new(seed, SimOptions::default());
    let host = sim.host("node");
    Machine { sim, host }
}

impl Machine {
    fn start(&self, workers: u16, tuning: Tuning) -> Node {
        let rt = self.sim.runtime(self.host);
        self.sim.block_on(async {
            let data = data_dir::open(&rt, "/data".as_ref()).await.expect("the directory opens");
            let worker = |id| {
                let env = Env::new(rt.clone(), WorkerId(id), data.path.clone(), data.node.term, tuning);
                Shards::new(env)
            };
            Node { rt: rt.clone(), workers: (0..workers).map(worker).collect(), _data: data }
        })
    }

    /// Files of all shards.
    fn files(&self) -> usize {
        self.sim.files(self.host).iter().filter(|(path, _)| path.starts_with("/data/shards/")).count()
    }

    fn inject(&self, op: DiskOp, path: &str, times: u32, fault: Fault) {
        self.sim.inject(self.host, Injection { op, path_contains: path.to_owned(), skip: 0, times, fault });
    }
}

fn known(group: GroupId, storage: Storage, settings: Settings) -> Known {
    let id = Identity { stream: StreamId(1), number: ShardNumber(0), group };
    let range = HashRange { start: HashKey(0), end: HashKey(u128::MAX) };
    Known { id, storage, terms: Terms { settings, expired_before: WallUs(0), range, phase: Phase::Open } }
}

struct Waiter(RefCell<Option<Fill<Result<Receipt, OutcomeUnknown>>>>);

impl AckSink for Waiter {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        if let Some(fill) = self.0.take() {
            fill.fill(outcome);
        }
    }
}

/// Puts one record that carries `number`, with `len` bytes of data.
async fn put(
    shard: &Shard<SimRuntime>,
    number: u64,
    len: usize,
    producer: Option<ProducerStamp>,
) -> Result<Receipt, PutError> {
    let mut data = vec![7; len.max(8)];
    data[..8].copy_from_slice(&number.to_le_bytes());
    let mut body = Vec::new();
    record::encode("key", &data, &mut body);
    shard.room(body.len(), producer).await?;
    let put = Put { body: &body, body_crc: Some(crc32fast::hash(&body)), record_count: 1, producer };
    let (fill, answer) = one_shot();
    shard.put(&put, Ack { sink: Rc::new(Waiter(RefCell::new(Some(fill)))), token: 0 })?;
    answer.wait().await.expect("an answer").map_err(|OutcomeUnknown| PutError::Refused(PutRefusal::Dead))
}

fn numbers(slices: &[crate::engine::slice::Slice<<SimRuntime as Runtime>::Buf>]) -> Vec<u64> {
    let mut out = Vec::new();
    for slice in slices {
        let mut rest: &[u8] = slice;
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).expect("readers get intact frames");
            for record in Records::new(frame.body) {
                let data = record.expect("readers get intact records").data;
                out.push(u64::from_le_bytes(data[..8].try_into().expect("eight bytes")));
            }
            rest = after;
        }
    }
    out
}

async fn read_all(shard: &Shard<SimRuntime>) -> Vec<u64> {
    let (mut out, mut at) = (Vec::new(), shard.bounds().await.expect("the disk works").horizon);
    loop {
        let frames = shard.read(at, 1 << 20).await.expect("the disk works");
        if frames.bytes == 0 {
            return out;
        }
        out.extend(numbers(&frames.slices));
        at = frames.next;
    }
}

/// Goal: a shard moves to and fro between two workers while producers and readers use it: each producer's batches are stored
/// once and in order, readers see all of them, and nobody is stuck.
#[test]
fn a_shard_moves_under_traffic() {
    for seed in 0..6_u64 {
        let machine = machine(seed);
        let tuning = Tuning { tail_bytes_max: if seed % 2 == 0 { 0 } else { 64 << 20 }, ..Tuning::default() };
        let node = Rc::new(machine.start(2, tuning));
        let settings = Settings {
            durability: if seed % 3 == 0 { Durability::Interval } else { Durability::Fsync },
            ..Settings::default()
        };
        let known = known(GROUP, Storage::Open, settings);
        machine.sim.block_on(async { node.workers[0].create(&known).await.expect("the disk works") });
        let current = move |node: &Node| node.workers.iter().find_map(|shards| shards.get(GROUP));
        let (left, moved) = (Rc::new(Cell::new(4)), Rc::new(Cell::new(0)));
        for producer in 0..4_u64 {
            let (node, left) = (Rc::clone(&node), Rc::clone(&left));
            machine.sim.spawn(machine.host, async move {
                for seq in 0..60_u32 {
                    let stamp = ProducerStamp { id: ProducerId(producer + 1), epoch: 0, seq };
                    let len = [100, 30_000, 150_000][(seq as usize + producer as usize) % 3];
                    loop {
                        // Sometimes nobody has it for a moment: the client asks again.
                        let Some(shard) = current(&node) else {
                            node.rt.sleep(Duration::from_micros(50)).await;
                            continue;
                        };
                        match put(&shard, producer << 32 | u64::from(seq), len, Some(stamp)).await {
                            Ok(_) => break,
                            Err(PutError::Refused(PutRefusal::Moving)) => {
                                node.rt.sleep(Duration::from_micros(50)).await;
                            }
                            Err(error) => panic!("seed {seed}: {error}"),
                        }
                    }
                }
                left.set(left.get() - 1);
            });
        }
        let seen = Rc::new(RefCell::new(Vec::new()));
        {
            let (node, seen) = (Rc::clone(&node), Rc::clone(&seen));
            machine.sim.spawn(machine.host, async move {
                let mut at = Offset(0);
                loop {
                    let Some(shard) = current(&node) else {
                        node.rt.sleep(Duration::from_micros(50)).await;
                        continue;
                    };
                    shard.wait_for(at, Duration::from_millis(50)).await;
                    match shard.read(at, 1 << 20).await {
                        // Nothing, and nothing to wait for: the shard is on its way.
                        Ok(frames) if frames.bytes == 0 => node.rt.sleep(Duration::from_micros(50)).await,
                        Ok(frames) => {
                            seen.borrow_mut().extend(numbers(&frames.slices));
                            at = frames.next;
                        }
                        Err(ReadError::Away) => node.rt.sleep(Duration::from_micros(50)).await,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
            });
        }
        {
            let (node, left, moved) = (Rc::clone(&node), Rc::clone(&left), Rc::clone(&moved));
            machine.sim.spawn(machine.host, async move {
                let mut at = 0;
                while left.get() > 0 {
                    node.rt.sleep(Duration::from_millis(3)).await;
                    assert_eq!(node.workers[at].hand_over(GROUP).await, HandOver::Done, "seed {seed}");
                    assert_eq!(node.workers[at].hand_over(GROUP).await, HandOver::NotHere, "seed {seed}");
                    at = 1 - at;
                    let report = node.workers[at].adopt(known).await.expect("seed {seed}: it opens elsewhere");
                    assert_eq!(report.damage, [], "seed {seed}");
                    moved.set(moved.get() + 1);
                }
            });
        }
        let all_read = || seen.borrow().len() >= 240 && left.get() == 0;
        assert!(machine.sim.run_until(all_read, Duration::from_secs(60)), "seed {seed}: {} seen", seen.borrow().len());
        assert!(moved.get() > 3, "seed {seed}: moved {} times", moved.get());
        for producer in 0..4 {
            let of_it: Vec<_> = seen.borrow().iter().filter(|number| *number >> 32 == producer).copied().collect();
            let expected: Vec<_> = (0..60).map(|seq| producer << 32 | seq).collect();
            assert_eq!(of_it, expected, "seed {seed}: producer {producer}");
        }
    }
}

/// Goal: storage is freed in the background, wherever the node dies on the way: the next start goes on with it, nothing is
/// left, nothing else is touched, and nobody is told that it is gone before it is.
#[test]
fn freeing_survives_crashes() {
    let mut half_way = 0;
    for seed in 0..20_u64 {
        let machine = machine(50 + seed);
        let node = machine.start(1, Tuning::default());
        let other = GroupId(17);
        machine.sim.block_on(async {
            for group in [GROUP, other] {
                node.workers[0]
                    .create(&known(group, Storage::Open, Settings::default()))
                    .await
                    .expect("the disk works");
                let shard = node.workers[0].get(group).expect("it was made");
                for number in 0..30 {
                    put(&shard, number, 150_000, None).await.expect("it is open");
                }
            }
        });
        let before = machine.files();
        let gone = Rc::new(Cell::new(false));
        let (shards, told) = (Rc::clone(&node.workers[0]), Rc::clone(&gone));
        machine.sim.spawn(machine.host, async move { told.set(shards.free(GROUP).await) });
        if seed % 2 == 0 {
            machine.sim.power_loss_after_polls(machine.host, 3 + seed * 3);
        } else {
            machine.sim.kill_after_polls(machine.host, 3 + seed * 3);
        }
        machine.sim.run_for(Duration::from_secs(2));
        // If the crash is still to come, it comes now.
        machine.sim.kill(machine.host);
        drop(node);
        let left = machine.files();
        half_way += usize::from(left < before && left > before / 2 && !gone.get());
        let node = machine.start(1, Tuning::default());
        machine.sim.block_on(async {
            let shards = &node.workers[0];
            let all = vec![
                known(GROUP, Storage::Free, Settings::default()),
                known(other, Storage::Open, Settings::default()),
            ];
            let opened = shards.open(all).await;
            assert_eq!((opened.shards, opened.failed.len()), (1, 0));
            assert!(shards.get(GROUP).is_none());
            assert!(shards.free(GROUP).await, "seed {seed}");
            assert_eq!(shards.freeing(), 0);
            // Again, after the catalogue has crashed before it could forget.
            assert!(shards.free(GROUP).await);
            let names = node.rt.list("/data/shards".as_ref()).await.expect("the disk works");
            assert_eq!(names, ["0000000000000011"], "seed {seed}");
            let shard = shards.get(other).expect("it was opened");
            assert_eq!(read_all(&shard).await, (0..30).collect::<Vec<_>>(), "seed {seed}");
        });
    }
    assert!(half_way > 0, "no crash hit the freeing");
}

/// Goal: what cannot be removed is tried again, and is never reported as gone; whoever reads or waits at the shard is
/// turned away at once.
#[test]
fn a_failed_removal_is_tried_again() {
    let machine = machine(70);
    let node = machine.start(1, Tuning::default());
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        shards.create(&known(GROUP, Storage::Open, Settings::default())).await.expect("the disk works");
        let shard = shards.get(GROUP).expect("it was made");
        put(&shard, 0, 1_000, None).await.expect("it is open");
        machine.inject(DiskOp::Remove, ".seg", 3, Fault::Eio);
        let mut waiting = Box::pin(shard.wait_for(Offset(1), Duration::from_secs(20)));
        assert!(poll_once(&mut waiting).await.is_none());
        let began = node.rt.now();
        let freed = shards.free(GROUP);
        assert!(shards.get(GROUP).is_none());
        assert_eq!(put(&shard, 1, 10, None).await, Err(PutError::Refused(PutRefusal::Deleting)));
        assert!(!waiting.await, "it was woken");
        assert!(freed.await);
        assert!(node.rt.now().since(began) > 3_000_000, "three tries failed");
        assert!(matches!(shard.read(Offset(0), 1).await, Err(ReadError::Away)));
        assert_eq!(machine.files(), 0);
    });
}

/// Goal: the whole way of closing a shard: sealed it lets wait, its end survives that its log dies meanwhile, closed it
/// refuses, and readers are told that they have come to the end, also after a restart and when all has expired.
#[test]
fn a_closed_shard_stays_closed() {
    let machine = machine(80);
    let node = machine.start(1, Tuning::default());
    let settings = Settings { durability: Durability::Interval, ..Settings::default() };
    let end = machine.sim.block_on(async {
        let shards = &node.workers[0];
        shards.create(&known(GROUP, Storage::Open, settings)).await.expect("the disk works");
        let shard = shards.get(GROUP).expect("it was made");
        for number in 0..5 {
            put(&shard, number, 1_000, None).await.expect("it is open");
        }
        let end = shards.seal(GROUP).await.expect("it is here").expect("the disk works");
        assert_eq!(end.offset, Offset(5));
        assert_eq!(shards.hand_over(GROUP).await, HandOver::Sealed);
        let mut waiting = Box::pin(put(&shard, 5, 10, None));
        assert!(poll_once(&mut waiting).await.is_none());
        // The hint of a log that goes quiet fails: the log dies, sealed as it is.
        machine.inject(DiskOp::Write, ".seg", 1, Fault::Eio);
        assert_eq!(waiting.await, Err(PutError::Refused(PutRefusal::Dead)));
        shards.reopen_dead().await;
        let shard = shards.get(GROUP).expect("it was opened again");
        assert_eq!(shard.log().refusal(), None);
        let mut waiting = Box::pin(put(&shard, 5, 10, None));
        assert!(poll_once(&mut waiting).await.is_none(), "sealed as the one before it");
        assert!(!shard.is_end(end.offset));
        shards.close(GROUP, end.offset);
        assert_eq!(waiting.await, Err(PutError::Refused(PutRefusal::Closed)));
        assert!(shard.is_end(end.offset) && !shard.is_end(Offset(4)));
        assert!(shard.is_closed());
        end.offset
    });
    machine.sim.power_loss(machine.host);
    drop(node);
    let node = machine.start(1, Tuning::default());
    let mut closed = known(GROUP, Storage::Open, settings);
    closed.terms.phase = Phase::Closed(end);
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        let opened = shards.open(vec![closed]).await;
        assert_eq!((opened.shards, opened.quarantined.len()), (1, 0));
        let shard = shards.get(GROUP).expect("it was opened");
        assert_eq!(put(&shard, 6, 10, None).await, Err(PutError::Refused(PutRefusal::Closed)));
        assert_eq!(read_all(&shard).await, [0, 1, 2, 3, 4]);
        machine.sim.jump_wall(machine.host, 25 * HOUR_US as i64);
        shards.expire().await;
        let bounds = shard.bounds().await.expect("the disk works");
        assert_eq!((bounds.horizon, bounds.end), (end, end));
        assert!(matches!(shard.read(Offset(0), 1).await, Err(ReadError::BeforeHorizon { horizon }) if horizon == end));
        let frames = shard.read(end, 1).await.expect("the end can be read");
        assert!(frames.bytes == 0 && shard.is_end(frames.next));
        // Moved, it is closed elsewhere, too.
        assert_eq!(shards.hand_over(GROUP).await, HandOver::Done);
        shards.adopt(closed).await.expect("it opens");
        let shard = shards.get(GROUP).expect("it was adopted");
        assert_eq!(shard.log().refusal(), Some(PutRefusal::Closed));
    });
    drop(node);
    machine.sim.kill(machine.host);
    // Records that are missing at the end are never passed off as a shard that was read to its end.
    let node = machine.start(1, Tuning::default());
    closed.terms.phase = Phase::Closed(Offset(end.0 + 1));
    machine.sim.block_on(async {
        node.workers[0].open(vec![closed]).await;
        let shard = node.workers[0].get(GROUP).expect("it was opened");
        assert_eq!(shard.log().refusal(), Some(PutRefusal::Quarantined));
        assert!(!shard.is_end(end));
    });
}

/// Goal: limits refuse whole puts with the time to wait, and store nothing of them; resends and batches out of turn are not
/// charged; records asked for one by one pass one by one; without limits nobody is asked.
#[test]
fn puts_within_limits() {
    let machine = machine(90);
    let node = machine.start(1, Tuning::default());
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        let limits = Limits::Custom(CustomLimits { write_records_s: 10, ..CustomLimits::default() });
        let settings = Settings { limits, ..Settings::default() };
        shards.create(&known(GROUP, Storage::Open, settings)).await.expect("the disk works");
        let shard = shards.get(GROUP).expect("it was made");
        let stamp = |seq| Some(ProducerStamp { id: ProducerId(9), epoch: 0, seq });
        for seq in 0..10 {
            put(&shard, 0, 100, stamp(seq)).await.expect("within a second's allowance");
        }
        let at = shard.log().marks().accepted();
        let Err(PutError::Throttled(Throttled { retry_after_us })) = put(&shard, 0, 100, stamp(10)).await else {
            panic!("beyond the limit");
        };
        assert!((50_000..=100_000).contains(&retry_after_us), "{retry_after_us}");
        assert_eq!(shard.log().marks().accepted(), at, "nothing was stored");
        assert_eq!(shard.counters.put_throttled.get(), 1);
        for seq in 3..10 {
            assert!(put(&shard, 0, 100, stamp(seq)).await.expect("a resend costs nothing").duplicate);
        }
        assert!(matches!(put(&shard, 0, 100, stamp(12)).await, Err(PutError::Stamp(_))), "told what is wrong with it");
        node.rt.sleep(Duration::from_micros(retry_after_us)).await;
        put(&shard, 0, 100, stamp(10)).await.expect("when it was told to");
        node.rt.sleep(Duration::from_millis(350)).await;
        let admitted = shard.admit_records(&[50; 6]).expect("there are limits");
        assert_eq!(admitted.passed, [true, true, true, false, false, false]);
        assert!((1..=100_000).contains(&admitted.retry_after_us));
        assert_eq!(shard.counters.put_throttled.get(), 4);
        let sample = shard.put_latency();
        assert_eq!(sample.count(), 11);
        assert!(sample.quantile(0.5) > 0);
        shard.set_settings(Settings::default(), WallUs(0));
        assert_eq!(shard.admit_records(&[50; 6]), None);
        assert_eq!(shard.traffic(), None);
        for _ in 0..50 {
            put(&shard, 0, 100, None).await.expect("no limits any more");
        }
    });
}

/// Goal: the limits of a Kinesis shard for reads: five calls a second, and a large read is paid off before the next one. How
/// far behind a reader is, is what its last read says.
#[test]
fn reads_within_limits() {
    let machine = machine(91);
    let node = machine.start(1, Tuning::default());
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        let settings = Settings { limits: Limits::Aws, ..Settings::default() };
        shards.create(&known(GROUP, Storage::Open, settings)).await.expect("the disk works");
        let shard = shards.get(GROUP).expect("it was made");
        for number in 0..5 {
            put(&shard, number, 900_000, None).await.expect("one a second is within the limits");
            node.rt.sleep(Duration::from_secs(1)).await;
        }
        let frames = shard.get(Offset(0), 1).await.expect("the first call");
        assert_eq!(frames.next, Offset(1));
        let age = shard.counters.iterator_age_ms.get();
        assert!((4_000..4_100).contains(&age), "{age}");
        for _ in 0..4 {
            shard.get(Offset(5), 1).await.expect("within five calls");
        }
        assert_eq!(shard.counters.iterator_age_ms.get(), 0);
        assert!(matches!(shard.get(Offset(5), 1).await, Err(ReadError::Throttled(_))));
        assert_eq!(shard.counters.reads_throttled.get(), 1);
        shard.read(Offset(0), 1).await.expect("a push is not a call");
        node.rt.sleep(Duration::from_secs(3)).await;
        shard.get(Offset(0), 4 << 20).await.expect("the allowance is back");
        let Err(ReadError::Throttled(Throttled { retry_after_us })) = shard.get(Offset(0), 1).await else {
            panic!("3.6 MB at 2 MiB/s");
        };
        assert!((1_500_000..2_300_000).contains(&retry_after_us), "{retry_after_us}");
        assert!(shard.counters.read_latency.borrow().count() >= 7);
    });
}

/// Goal: with the limits of a Kinesis shard a get hands out 10,000 records at most, from memory and from disk, and never less
/// than one frame; without them there is no such bound.
#[test]
fn gets_of_many_records() {
    for tail_bytes_max in [0, 64 << 20] {
        let machine = machine(93);
        let node = machine.start(1, Tuning { tail_bytes_max, ..Tuning::default() });
        machine.sim.block_on(async {
            let shards = &node.workers[0];
            shards.create(&known(GROUP, Storage::Open, Settings::default())).await.expect("the disk works");
            let shard = shards.get(GROUP).expect("it was made");
            for records in [6_000, 4_000, 12_000, 100] {
                let mut body = Vec::new();
                (0..records).for_each(|_| record::encode("key", b"data", &mut body));
                let put =
                    Put { body: &body, body_crc: Some(crc32fast::hash(&body)), record_count: records, producer: None };
                shard.room(body.len(), None).await.expect("it is open");
                let (fill, answer) = one_shot();
                let sink = Rc::new(Waiter(RefCell::new(Some(fill))));
                shard.put(&put, Ack { sink, token: 0 }).expect("it is open");
                answer.wait().await.expect("an answer").expect("the disk works");
            }
            let next = async |from: u64| {
                node.rt.sleep(Duration::from_secs(2)).await;
                shard.get(Offset(from), 4 << 20).await.expect("within the limits").next.0
            };
            assert_eq!(next(0).await, 22_100);
            shard.set_settings(Settings { limits: Limits::Aws, ..Settings::default() }, WallUs(0));
            assert_eq!([next(0).await, next(1).await], [10_000, 10_000]);
            assert_eq!([next(10_000).await, next(21_999).await, next(22_000).await], [22_000, 22_100, 22_100]);
        });
    }
}

/// Goal: a record is returned up to the very moment it expires and never afterwards, from memory and from disk, also when
/// its frame arrived in pieces around that moment; and a longer retention does not bring it back.
#[test]
fn retention_is_exact_and_final() {
    for tail_bytes_max in [0, 64 << 20] {
        let machine = machine(92);
        let node = machine.start(1, Tuning { tail_bytes_max, ..Tuning::default() });
        machine.sim.block_on(async {
            let shards = &node.workers[0];
            shards.create(&known(GROUP, Storage::Open, Settings::default())).await.expect("the disk works");
            let shard = shards.get(GROUP).expect("it was made");
            // Two puts in one frame: the second one's record arrived with the frame.
            let mut blocker = Box::pin(put(&shard, 0, 700_000, None));
            assert!(poll_once(&mut blocker).await.is_none());
            let mut first = Box::pin(put(&shard, 1, 100, None));
            assert!(poll_once(&mut first).await.is_none());
            let mut second = Box::pin(put(&shard, 2, 100, None));
            assert!(poll_once(&mut second).await.is_none());
            blocker.await.expect("it is open");
            let (first, second) = (first.await.expect("it is open"), second.await.expect("it is open"));
            assert_eq!(first.arrival, second.arrival, "one frame");
            node.rt.sleep(Duration::from_secs(1)).await;
            let last = put(&shard, 3, 100, None).await.expect("it is open");
            let log = shard.log();
            let at = |cutoff: u64| log.read(Offset(1), 1 << 20, WallUs(cutoff));
            let read = at(first.arrival.0).await.expect("not yet expired");
            assert_eq!(numbers(&read.slices), [1, 2, 3]);
            for cutoff in [first.arrival.0 + 1, last.arrival.0] {
                let found = at(cutoff).await;
                assert!(matches!(found, Err(ReadError::BeforeHorizon { horizon }) if horizon == last.base_offset));
            }
            // A day after the first frame arrived, give or take what the clock of the simulation has moved on.
            let day_us = 24 * HOUR_US;
            machine.sim.jump_wall(machine.host, (first.arrival.0 + day_us + 500_000) as i64 - node.rt.wall().0 as i64);
            assert_eq!(read_all(&shard).await, [3]);
            let expired_before = WallUs(node.rt.wall().0 - day_us);
            let longer = Settings { retention_hours: 48, ..Settings::default() };
            shard.set_settings(longer, expired_before);
            assert_eq!(read_all(&shard).await, [3], "what had expired stays so");
            node.rt.sleep(Duration::from_secs(5)).await;
            assert_eq!(read_all(&shard).await, [3], "what had not is kept for longer");
            shard.set_settings(longer, WallUs(0));
            assert_eq!(shard.bounds().await.expect("the disk works").horizon, last.base_offset, "it never goes back");
        });
    }
}

/// Goal: a log that died is opened again although a reader looks at its last segment all the time; reads that would keep its
/// file open fail with an error that clients retry.
#[test]
fn a_dead_log_opens_again_under_readers() {
    let machine = machine(93);
    let node = Rc::new(machine.start(1, Tuning { tail_bytes_max: 0, ..Tuning::default() }));
    let stop = Rc::new(Cell::new(false));
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        shards.create(&known(GROUP, Storage::Open, Settings::default())).await.expect("the disk works");
        let shard = shards.get(GROUP).expect("it was made");
        put(&shard, 0, 10_000, None).await.expect("it is open");
        for _ in 0..3 {
            let (node, stop) = (Rc::clone(&node), Rc::clone(&stop));
            machine.sim.spawn(machine.host, async move {
                while !stop.get() {
                    let shard = node.workers[0].get(GROUP).expect("it is there");
                    match shard.read(Offset(0), 1).await {
                        Ok(_) => {}
                        Err(ReadError::Away) => node.rt.sleep(Duration::from_millis(1)).await,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        machine.inject(DiskOp::Sync, ".seg", 1, Fault::Eio);
        assert_eq!(put(&shard, 1, 10, None).await, Err(PutError::Refused(PutRefusal::Dead)));
        let began = node.rt.now();
        shards.reopen_dead().await;
        assert!(node.rt.now().since(began) < 1_000_000, "nobody keeps the file open");
        let shard = shards.get(GROUP).expect("it was opened again");
        put(&shard, 2, 10, None).await.expect("it is open");
        stop.set(true);
    });
}

/// Goal: what recovery finds behind a sync that failed is on the disk for certain before anybody is told that it is stored. A
/// disk that reports a failed sync may lose what it was to cover when the power goes, though it could be read and the next
/// sync succeeded: the log was then damaged in the middle, and what a producer was told to be stored was gone.
#[test]
fn what_a_failed_sync_leaves_is_made_sure_of() {
    for seed in 0..20 {
        let machine = machine(seed);
        let node = machine.start(1, Tuning::default());
        let settings = Settings::default();
        let found = machine.sim.block_on(async {
            let shards = &node.workers[0];
            shards.create(&known(GROUP, Storage::Open, settings)).await.expect("the disk works");
            let shard = shards.get(GROUP).expect("it was made");
            put(&shard, 0, 10, None).await.expect("it is open");
            machine.inject(DiskOp::Sync, ".seg", 1, Fault::Eio);
            assert_eq!(put(&shard, 1, 9_000, None).await, Err(PutError::Refused(PutRefusal::Dead)));
            shards.reopen_dead().await;
            let shard = shards.get(GROUP).expect("it was opened again");
            put(&shard, 2, 10, None).await.expect("it is open");
            read_all(&shard).await
        });
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start(1, Tuning::default());
        machine.sim.block_on(async {
            let opened = node.workers[0].open(vec![known(GROUP, Storage::Open, settings)]).await;
            assert_eq!((opened.shards, opened.quarantined.len()), (1, 0), "seed {seed}");
            let shard = node.workers[0].get(GROUP).expect("it was opened");
            assert_eq!(read_all(&shard).await, found, "seed {seed}");
        });
    }
}

/// Goal: a shard whose disk errs when the node starts is no empty shard: its reads fail, readers are not told that there is nothing
/// or that they are beyond the end. Once the disk can be read it is opened, without a restart.
#[test]
fn a_shard_that_cannot_be_read_at_the_start_is_opened_later() {
    let machine = machine(3);
    let node = machine.start(1, Tuning::default());
    let settings = Settings::default();
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        shards.create(&known(GROUP, Storage::Open, settings)).await.expect("the disk works");
        let shard = shards.get(GROUP).expect("it was made");
        put(&shard, 0, 10, None).await.expect("it is open");
        put(&shard, 1, 10, None).await.expect("it is open");
    });
    drop(node);
    machine.sim.kill(machine.host);
    let node = machine.start(1, Tuning::default());
    machine.inject(DiskOp::Read, ".seg", 1, Fault::Eio);
    machine.sim.block_on(async {
        let shards = &node.workers[0];
        let opened = shards.open(vec![known(GROUP, Storage::Open, settings)]).await;
        assert_eq!((opened.failed.len(), opened.quarantined.len()), (1, 0));
        let shard = shards.get(GROUP).expect("it is known");
        for from in [0, 1, 2, 7] {
            let read = shard.log().read(Offset(from), 1 << 20, WallUs(0)).await;
            assert!(matches!(read, Err(ReadError::Io(_))), "offset {from}");
        }
        assert!(shard.log().seek_time(WallUs(0)).await.is_err());
        assert!(shard.log().horizon(WallUs(0)).await.is_err());
        assert_eq!(put(&shard, 2, 10, None).await, Err(PutError::Refused(PutRefusal::Dead)));
        assert_eq!(shards.reopen_dead().await, []);
        let shard = shards.get(GROUP).expect("it was opened");
        put(&shard, 2, 10, None).await.expect("it is open");
        assert_eq!(read_all(&shard).await, [0, 1, 2]);
    });
}

/// Goal: a shard that is made again, because the node stopped before its stream was active, keeps what it had acknowledged by
/// then: it was once begun anew, over its records.
#[test]
fn a_shard_that_is_made_again_keeps_its_records() {
    let machine = machine(4);
    for round in 0..3 {
        let node = machine.start(1, Tuning::default());
        machine.sim.block_on(async {
            let shards = &node.workers[0];
            let opened = shards.open(vec![known(GROUP, Storage::Make, Settings::default())]).await;
            assert!(opened.failed.is_empty());
            let shard = shards.get(GROUP).expect("it was made");
            assert_eq!(read_all(&shard).await, (0..round).collect::<Vec<_>>());
            put(&shard, round, 10, None).await.expect("it is open");
        });
        drop(node);
        machine.sim.kill(machine.host);
    }
    // And what it has lost is told of as of any other.
    let segment = names::shard_dir("/data".as_ref(), GROUP).join(names::segment(0));
    machine.sim.flip_bit(machine.host, segment, FRAMES_AT + 130, 3).expect("it is there");
    let node = machine.start(1, Tuning::default());
    machine.sim.block_on(async {
        let opened = node.workers[0].open(vec![known(GROUP, Storage::Make, Settings::default())]).await;
        assert_eq!(opened.quarantined.len(), 1);
    });
}
