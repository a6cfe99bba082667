//! The workload on logs: one worker's shards on one host that is killed or loses power again and again.
//!
//! Each generation opens the data directory, recovers every log, reads all of it and then puts, resends, reads, expires,
//! creates and destroys until it is done or the host goes down at some poll. Small segments roll, freed ones are used
//! again. The checker is [`super::log_oracle`].
//!
//! After each recovery it also checks the end of the log against durable hints. At each poll it checks that what the worker
//! has accepted and not synced, and the frames that it keeps for readers, stay within their bounds.
//!
//! It does not cover: the catalogue, connections, several workers, misdirected writes and decay ([`super::decay`]). The bounds
//! are those of the engine's own account; memory that it does not account for (indexes, tables of producers) is not seen.

mod clients;
mod hints;
mod janitor;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::catalog::{HashRange, Settings, Status};
use crate::engine::data_dir;
use crate::engine::env::{Env, Tuning};
use crate::engine::read::ReadError;
use crate::engine::shard::{Identity, Phase, Shard, Terms};
use crate::engine::shards::{Known, Shards, Storage};
use crate::engine::slice::Slice;
use crate::format::frame::Frame;
use crate::format::record::Records;
use crate::limits::{RECORD_BYTES_MAX, SHARD_UNSYNCED_BYTES_MAX, WORKER_UNSYNCED_BYTES_MAX};
use crate::runtime::{Reactor, Step, TaskClass};
use crate::shard::admission::PutRefusal;
use crate::sim::prng::Prng;
use crate::sim::workload::contents::{Contents, Pattern};
use crate::sim::workload::log_oracle::{End, LogOracle};
use crate::sim::{Chance, DiskFaults, DiskOp, DiskStats, Fault, HostId, Injection, Sim, SimRuntime};
use crate::types::{Durability, GroupId, HashKey, MonoUs, Offset, ProducerId, ShardNumber, StreamId, WallUs, WorkerId};

/// Where the node keeps its data.
const DATA: &str = "/data";

/// A generation that takes longer is stuck.
const GENERATION_MAX: Duration = Duration::from_secs(4 * 3600);

/// What a run looks like; drawn from the seed by [`Plan::draw`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// Logs side by side.
    pub logs: usize,
    /// Processes one after the other.
    pub generations: usize,
    /// Clients per log.
    pub clients: usize,
    /// Puts per client and generation.
    pub puts: u64,
    /// Clients wait long between puts, so that segments stay small.
    pub unhurried: bool,
    /// Level of all logs.
    pub durability: Durability,
    /// The worker's settings.
    pub tuning: Tuning,
    /// Chances of disk errors.
    pub faults: DiskFaults,
    /// A step of the engine that is left out, to prove the checker.
    pub left_out: Option<Step>,
    /// Faults aimed at chosen steps: slow ones, and such as prove the checker.
    pub aimed: Vec<Injection>,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let prng = &mut Prng::new(seed, "plan", 0);
        let faulty = prng.below(4) == 0;
        let chance = |parts| if faulty { Chance::per_million(parts) } else { Chance::NEVER };
        Self {
            logs: 1 + prng.below(3) as usize,
            generations: 3 + prng.below(8) as usize,
            clients: 1 + prng.below(4) as usize,
            puts: 5 + prng.below(60),
            unhurried: prng.below(3) > 0,
            durability: if prng.below(4) == 0 { Durability::Interval } else { Durability::Fsync },
            tuning: Tuning {
                tail_bytes_max: [0, 64 << 10, 1 << 20, 64 << 20][prng.below(4) as usize],
                recycle: prng.below(4) > 0,
                unsynced_bytes_max: [1 << 20, 24 << 20, WORKER_UNSYNCED_BYTES_MAX][prng.below(3) as usize],
                cold_bytes_max: [1 << 20, 64 << 20][prng.below(2) as usize],
                ..Tuning::default()
            },
            faults: DiskFaults {
                read_error: chance(2_000),
                write_error: chance(3_000),
                sync_error: chance(2_000),
                name_error: chance(2_000),
                slow: chance(20_000),
                slow_us: 5_000,
                ..DiskFaults::default()
            },
            left_out: None,
            // Slow syncs of directories leave room for everything else to happen before they end.
            aimed: match prng.below(6) {
                0 => vec![slow(DiskOp::SyncDir, "/shards/", 1_000 << prng.below(8))],
                // Those of the first log only: what it freed is in use elsewhere before it is freed for certain.
                1 => vec![slow(DiskOp::SyncDir, "/shards/0000000000000010", 100_000 << prng.below(10))],
                // A log's own take long: readers and crashes come before they end.
                2 => vec![slow(DiskOp::Sync, ".seg", 1_000 << prng.below(6))],
                _ => Vec::new(),
            },
        }
    }
}

fn slow(op: DiskOp, path: &str, us: u64) -> Injection {
    Injection { op, path_contains: path.to_owned(), skip: 0, times: u32::MAX, fault: Fault::SlowUs(us) }
}

/// What a run met, to show that it met anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// Puts acknowledged.
    pub acked: u64,
    /// Puts answered as stored before.
    pub duplicates: u64,
    /// Records read and checked.
    pub records_read: u64,
    /// Kills and power failures.
    pub crashes: u64,
    /// Logs that recovery left something behind of.
    pub cuts: u64,
    /// Segments freed by retention.
    pub freed_bytes: u64,
    /// Logs that died of a disk error and were opened again.
    pub reopened: u64,
    /// Most bytes that were accepted and not synced.
    pub unsynced_bytes_max: u64,
    /// Most segments that a log had.
    pub segments_max: u64,
    /// What crashes did to the disk.
    pub disk: DiskStats,
}

/// One log as the workload knows it, across processes.
pub(super) struct Slot {
    pub(super) id: Identity,
    pub(super) status: Cell<Status>,
    pub(super) oracle: RefCell<LogOracle>,
    producers: RefCell<Vec<Producer>>,
    /// The log is being opened again, and the checker does not know yet where it ends.
    reopening: Cell<bool>,
    /// Wall-clock times, and where the log ended then.
    moments: RefCell<Vec<(WallUs, Offset)>>,
}

/// An idempotent producer, as it survives the node's crashes.
struct Producer {
    id: ProducerId,
    epoch: u32,
    next: u32,
    /// The last batches, unacknowledged ones included.
    recent: VecDeque<(u32, Contents)>,
    /// Sequence number of the first one that was never acknowledged.
    unacked: Rc<Cell<u32>>,
}

/// Everything that outlives a process.
pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) host: HostId,
    pub(super) plan: Plan,
    pub(super) pattern: Pattern,
    pub(super) slots: RefCell<Vec<Rc<Slot>>>,
    prng: RefCell<Prng>,
    next_put: Cell<u64>,
    next_group: Cell<u64>,
    finished: Cell<bool>,
    /// The worker of the living process.
    env: RefCell<Weak<Env<SimRuntime>>>,
    pub(super) summary: RefCell<Summary>,
}

/// Runs the plan of `seed`.
pub fn run(seed: u64) -> Summary {
    run_plan(seed, Plan::draw(seed))
}

/// Runs a plan.
pub fn run_plan(seed: u64, plan: Plan) -> Summary {
    let sim = Sim::new(seed, super::options("logs", seed));
    let world = World::new(&sim, seed, plan);
    for generation in 0..world.plan.generations {
        let last = generation + 1 == world.plan.generations;
        world.generation(!last);
    }
    world.close()
}

impl World {
    pub(super) fn new(sim: &Sim, seed: u64, plan: Plan) -> Rc<Self> {
        let host = sim.host("node");
        for injection in &plan.aimed {
            sim.inject(host, injection.clone());
        }
        if let Some(step) = plan.left_out {
            sim.leave_out(host, step);
        }
        let world = Rc::new(Self {
            sim: sim.clone(),
            host,
            pattern: Pattern::default(),
            slots: RefCell::default(),
            prng: RefCell::new(Prng::new(seed, "workload", 0)),
            next_put: Cell::new(0),
            next_group: Cell::new(16),
            finished: Cell::new(false),
            env: RefCell::default(),
            summary: RefCell::default(),
            plan,
        });
        for _ in 0..world.plan.logs {
            world.add_slot();
        }
        world
    }

    fn add_slot(&self) -> Rc<Slot> {
        let group = self.next_group.replace(self.next_group.get() + 1);
        let id = Identity { stream: StreamId(group), number: ShardNumber(0), group: GroupId(group) };
        let producer = |n| Producer {
            id: ProducerId(group * 100 + n),
            epoch: 0,
            next: 0,
            recent: VecDeque::new(),
            unacked: Rc::default(),
        };
        let slot = Rc::new(Slot {
            id,
            status: Cell::new(Status::Creating),
            oracle: RefCell::new(LogOracle::new(
                format!("seed {}, log {group}", self.sim.seed()),
                self.plan.durability,
            )),
            producers: RefCell::new((1..=self.plan.clients as u64).map(producer).collect()),
            reopening: Cell::new(false),
            moments: RefCell::default(),
        });
        self.slots.borrow_mut().push(Rc::clone(&slot));
        slot
    }

    pub(super) fn close(&self) -> Summary {
        let mut summary = *self.summary.borrow();
        summary.disk = self.sim.disk_stats(self.host);
        summary.trace_hash = self.sim.trace_hash();
        summary
    }

    pub(super) fn draw(&self, below: u64) -> u64 {
        self.prng.borrow_mut().below(below)
    }

    fn settings(&self) -> Settings {
        Settings { record_bytes_max: RECORD_BYTES_MAX, durability: self.plan.durability, ..Settings::default() }
    }

    pub(super) fn known(&self) -> Vec<Known> {
        self.slots.borrow().iter().map(|slot| self.known_as(slot)).collect()
    }

    pub(super) fn known_as(&self, slot: &Slot) -> Known {
        let storage = match slot.status.get() {
            Status::Creating => Storage::Make,
            Status::Deleting => Storage::Free,
            _ => Storage::Open,
        };
        let range = HashRange { start: HashKey(0), end: HashKey(u128::MAX) };
        let terms = Terms { settings: self.settings(), expired_before: WallUs(0), range, phase: Phase::Open };
        Known { id: slot.id, storage, terms }
    }

    /// One process, from its start to its end, by crash if `crash`.
    pub(super) fn generation(self: &Rc<Self>, crash: bool) {
        let power = self.draw(2) == 0;
        // Recovery takes tens of polls, a whole generation a few thousand.
        let polls = crash.then(|| 1 + self.draw(1 << (4 + self.draw(9))));
        self.process(polls, power);
    }

    /// One process, from its start to its end: at the given poll of its tasks if it comes to that, else when it is done.
    pub(super) fn process(self: &Rc<Self>, polls: Option<u64>, power: bool) {
        self.finished.set(false);
        match polls {
            Some(polls) if power => self.sim.power_loss_after_polls(self.host, polls),
            Some(polls) => self.sim.kill_after_polls(self.host, polls),
            None => {}
        }
        let rt = self.sim.runtime(self.host);
        let world = Rc::clone(self);
        let process = rt.clone();
        self.sim.spawn(self.host, async move { world.live(process).await });
        let is_over = || {
            self.check_bounds();
            self.finished.get() || !rt.is_alive()
        };
        let ended = self.sim.run_until(is_over, GENERATION_MAX);
        assert!(ended, "the process is stuck");
        if self.finished.get() && rt.is_alive() {
            // A clean stop: nothing is left to be lost.
            self.crash(power);
        }
        self.note_crash(power);
    }

    /// What the worker holds in memory stays within its bounds, at each moment.
    fn check_bounds(&self) {
        let Some(env) = self.env.borrow().upgrade() else { return };
        let (unsynced, tail) = (env.unsynced.get(), env.tail_bytes());
        let logs = self.slots.borrow().len().max(self.plan.logs);
        // The first one has room whatever its size.
        let together = self.plan.tuning.unsynced_bytes_max.max(SHARD_UNSYNCED_BYTES_MAX);
        let unsynced_max = (logs * SHARD_UNSYNCED_BYTES_MAX).min(together);
        assert!(unsynced <= unsynced_max, "{unsynced} bytes are accepted and not synced, of {unsynced_max}");
        let tail_max = self.plan.tuning.tail_bytes_max;
        assert!(tail <= tail_max, "{tail} bytes of frames are kept in memory, of {tail_max}");
        let mut summary = self.summary.borrow_mut();
        summary.unsynced_bytes_max = summary.unsynced_bytes_max.max(unsynced as u64);
    }

    fn crash(&self, power: bool) {
        if power {
            self.sim.power_loss(self.host);
        } else {
            self.sim.kill(self.host);
        }
    }

    fn note_crash(&self, power: bool) {
        self.summary.borrow_mut().crashes += 1;
        // A log that died of a disk error syncs nothing before it is opened again: how long ago is no measure then.
        let now = if self.plan.faults.write_error == Chance::NEVER { self.sim.now() } else { MonoUs(0) };
        let how = if power { End::PowerLoss(now) } else { End::Kill };
        for slot in &*self.slots.borrow() {
            slot.oracle.borrow_mut().crashed(how);
        }
    }

    async fn live(self: Rc<Self>, rt: SimRuntime) {
        self.sim.set_disk_faults(self.host, DiskFaults::default());
        let dir = data_dir::open(&rt, Path::new(DATA)).await.expect("the data directory opens after any crash");
        let env = Env::new(rt.clone(), WorkerId(0), PathBuf::from(DATA), dir.node.term, self.plan.tuning);
        self.env.replace(Rc::downgrade(&env));
        let shards = Shards::new(env);
        let opened = shards.open(self.known()).await;
        assert!(opened.failed.is_empty(), "shards that do not open: {:?}", opened.failed);
        assert!(opened.quarantined.is_empty(), "quarantined by a mere crash: {:?}", opened.quarantined);
        self.summary.borrow_mut().cuts += opened.cut as u64;
        for slot in self.slots.take() {
            if slot.status.get() == Status::Deleting {
                // Opening goes on with the deletion.
                self.add_slot();
                continue;
            }
            slot.status.set(Status::Active);
            self.slots.borrow_mut().push(slot);
        }
        for slot in self.slots() {
            if shards.get(slot.id.group).is_none() {
                shards.create(&self.known_as(&slot)).await.expect("no faults");
                slot.status.set(Status::Active);
            }
            let shard = shards.get(slot.id.group).expect("it was opened");
            self.check_recovered(&slot, &shard).await;
        }
        self.sim.set_disk_faults(self.host, self.plan.faults);
        let busy = Rc::new(Cell::new(0));
        for slot in self.slots() {
            for client in 0..self.plan.clients {
                let (world, slot, shards) = (Rc::clone(&self), Rc::clone(&slot), Rc::clone(&shards));
                self.start(&rt, &busy, async move { world.client(&shards, &slot, client).await });
            }
            let (world, shards) = (Rc::clone(&self), Rc::clone(&shards));
            self.start(&rt, &busy, async move { world.reader(&shards, &slot).await });
        }
        let (world, janitor) = (Rc::clone(&self), Rc::clone(&shards));
        self.start(&rt, &busy, async move { world.janitor(&janitor).await });
        while busy.get() > 0 {
            rt.sleep(Duration::from_millis(20)).await;
        }
        self.sim.set_disk_faults(self.host, DiskFaults::default());
        self.stop(&shards).await;
        drop(dir);
        self.finished.set(true);
    }

    /// A clean stop: afterwards everything taken is there.
    async fn stop(&self, shards: &Rc<Shards<SimRuntime>>) {
        shards.stop().await;
        for shard in shards.all() {
            if shard.log().refusal() == Some(PutRefusal::Stopping) {
                let slot = self.slots().into_iter().find(|slot| slot.id == shard.id).expect("open logs are known");
                let mut oracle = slot.oracle.borrow_mut();
                let end = oracle.end();
                assert_eq!(shard.log().marks().durable().offset, end, "a clean stop makes everything durable");
                oracle.recovered(shard.log().first_offset(), end);
            }
        }
    }

    fn start(&self, rt: &SimRuntime, busy: &Rc<Cell<u32>>, task: impl Future<Output = ()> + 'static) {
        let busy = Rc::clone(busy);
        busy.set(busy.get() + 1);
        rt.spawn(TaskClass::Latency, async move {
            task.await;
            busy.set(busy.get() - 1);
        });
    }

    pub(super) fn slots(&self) -> Vec<Rc<Slot>> {
        self.slots.borrow().clone()
    }

    /// Compares all of a recovered log with what it must hold.
    async fn check_recovered(&self, slot: &Slot, shard: &Shard<SimRuntime>) {
        let log = shard.log();
        let (first, end) = (log.first_offset(), log.marks().committed().offset);
        slot.oracle.borrow_mut().recovered(first, end);
        let (hint, durable) = (self.durable_hint(slot.id.group), log.marks().durable().index);
        assert!(
            durable >= hint,
            "log {}: {durable:?} is where it ends, a frame says that {hint:?} is durable",
            slot.id.group
        );
        let mut at = first;
        while at < end {
            at = self.read(slot, shard, at).await.unwrap_or_else(|error| panic!("offset {at} after recovery: {error}"));
        }
        assert_eq!(at, end, "the log reads on beyond its end");
    }

    /// Reads once from `at` and checks what comes; gives the offset to go on from.
    pub(super) async fn read(&self, slot: &Slot, shard: &Shard<SimRuntime>, at: Offset) -> Result<Offset, ReadError> {
        let bytes_max = [1, 4_096, 100_000, 4 << 20][self.draw(4) as usize];
        let frames = shard.log().read(at, bytes_max, WallUs(0)).await?;
        let mut oracle = slot.oracle.borrow_mut();
        let mut next = None;
        for slice in &frames.slices {
            self.check_frames(&oracle, slice, at, &mut next);
        }
        let next = next.unwrap_or(at);
        assert_eq!(next, frames.next, "a read ends where it says");
        oracle.reach(next, self.sim.now());
        Ok(next)
    }

    fn check_frames<B: std::ops::Deref<Target = [u8]>>(
        &self,
        oracle: &LogOracle,
        slice: &Slice<B>,
        from: Offset,
        next: &mut Option<Offset>,
    ) {
        let mut rest: &[u8] = slice;
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).expect("a reader gets whole, intact frames");
            rest = after;
            let base = frame.header.base_offset;
            match *next {
                None => assert!(base <= from && from < frame.header.end_offset(), "{from} was asked for, got {base}"),
                Some(next) => assert_eq!(base, next, "frames are handed out without a hole"),
            }
            let mut offset = base;
            for record in Records::new(frame.body) {
                let record = record.expect("records were checked when they were put");
                oracle.saw(&self.pattern, offset, record.key, record.data);
                offset = offset.plus(1);
                self.summary.borrow_mut().records_read += 1;
            }
            assert_eq!(offset, frame.header.end_offset(), "the frame says how many records it has");
            *next = Some(offset);
        }
    }
}
