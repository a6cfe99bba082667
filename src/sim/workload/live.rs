//! The workload on streams that live: a whole node, as in [`super::node`], whose stream is split, merged, scaled and moved
//! while the real client puts and reads, and while the node is killed, loses power, and is stopped and started with another
//! number of workers.
//!
//! Producers put records under a few keys. Administrators split, merge, scale, move shards, change settings and metadata,
//! register and deregister consumers; another stream is created, used, deleted and created again at once. Readers follow
//! the stream from its first record on, parents before children, by get, by push and as registered consumers. In the end
//! everything is read once more, shard by shard; the wall clock jumps beyond the retention, and it is looked at again.
//! - What readers must see is said in `ledger`, what must hold of the shards in `lineage`.
//! - Puts never fail: whatever the node refuses, passes before their time is over.
//! - A change that succeeded is there afterwards; one that is refused was refused for a reason that it can have.
//! - In calm times, and so after every crash, reshards and scalings that had begun are finished within seconds.
//! - With limits on writes no shard takes more than they allow, and producers get everything through.
//! - After the retention closed shards are gone, with their directories; records from before are read by nobody.
//! - Once the [`Troubles`] of a process are over, the same process takes a record within bounded time.
//!
//! It does not check: how long anything takes while there are troubles, durability by interval, explicit hash keys, limits
//! on reads and pacing, how on-demand streams are scaled (only that it does no harm), quarantined shards, stored values and
//! leases.

mod administrators;
mod audit;
mod ledger;
mod lineage;
mod passers;
mod producers;
mod readers;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use self::ledger::Ledger;
use self::lineage::Lineage;
use super::machine::Machine;
use super::troubles::{Tally, Troubles};
use crate::client::{
    Client, ClientOptions, CustomLimits, Error, SettingsChange, StreamDescription, StreamLimits, StreamStatus,
};
use crate::engine::env::Tuning;
use crate::protocol::ErrorCode;
use crate::runtime::{Reactor, Step};
use crate::sim::prng::Prng;
use crate::sim::{Chance, DiskStats, HostId, Injection, Sim, SimRuntime};

/// The stream that is written to.
const STREAM: &str = "orders";

/// A start, a stop and the last round take this long at most, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// A reshard that has begun is finished, and a put is acknowledged, this long after the start of the node or the end of its
/// troubles, in virtual time: the node looks every second, connections of a host that lost power break after two, stalls and
/// partitions are over after two and a half, and a client that gave up on a connection waits before the next one.
const SETTLED: Duration = Duration::from_secs(20);

/// Limits of a throttled plan.
const THROTTLE: CustomLimits =
    CustomLimits { write_records_s: 100, write_bytes_s: 300_000, read_calls_s: 0, read_bytes_s: 0, fanout_bytes_s: 0 };

/// What a run met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records acknowledged as stored before.
    pub duplicates: u64,
    /// Records read and checked.
    pub records_read: u64,
    /// Shards the stream ever had.
    pub shards: usize,
    /// Changes of streams, shards and consumers that succeeded.
    pub changes: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Shards moved.
    pub moves: u64,
    /// Kills and power failures.
    pub crashes: u64,
    /// Clean stops.
    pub stops: u64,
    /// What went wrong besides.
    pub troubles: Tally,
    /// What crashes did to the disk.
    pub disk: DiskStats,
}

/// What a run looks like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Shards the stream begins with.
    pub shards: u32,
    /// Processes one after the other.
    pub generations: usize,
    /// Producers; as many readers.
    pub clients: usize,
    /// Puts of each producer.
    pub puts: u64,
    /// Those who change the stream at the same time.
    pub administrators: u64,
    /// Whether writes are limited, and these limits stay.
    pub throttled: bool,
    /// Whether the wall clock jumps by seconds between two processes.
    pub jumps: bool,
    /// Chance that connections break.
    pub cuts: Chance,
    /// Each worker's settings.
    pub tuning: Tuning,
    /// What goes wrong besides.
    pub troubles: Troubles,
    /// A step of the node that is left out, to prove the checker.
    pub left_out: Option<Step>,
    /// Faults aimed at chosen steps, to prove the checker.
    pub aimed: Vec<Injection>,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let prng = &mut Prng::new(seed, "live plan", 0);
        let throttled = prng.below(5) == 0;
        Self {
            shards: 1 + prng.below(4) as u32,
            generations: 2 + prng.below(8) as usize,
            clients: 1 + prng.below(3) as usize,
            puts: 50 + prng.below(200),
            administrators: 1 + prng.below(2),
            throttled,
            jumps: !throttled && prng.coin(),
            cuts: if prng.coin() { Chance::percent(30) } else { Chance::NEVER },
            tuning: Tuning { tail_bytes_max: [0, 100_000, 16 << 20][prng.below(3) as usize], ..Tuning::default() },
            troubles: Troubles::draw(seed),
            left_out: None,
            aimed: Vec::new(),
        }
    }
}

struct World {
    me: Weak<Self>,
    sim: Sim,
    machine: Machine,
    plan: Plan,
    prng: RefCell<Prng>,
    ledger: RefCell<Ledger>,
    lineage: RefCell<Lineage>,
    /// Processes of the node so far.
    starts: Cell<u64>,
    created: Cell<bool>,
    /// Whether closed shards may be gone.
    may_expire: Cell<bool>,
    /// Administrators have a rest.
    calm: Cell<bool>,
    administering: Cell<usize>,
    /// The stream was seen at rest.
    settled: Cell<bool>,
    over: Cell<bool>,
    /// Times that a process was to go on after its troubles.
    probes: Cell<u64>,
    producers_left: Cell<usize>,
    clients_left: Cell<usize>,
    /// Those who are not done.
    at_work: RefCell<BTreeSet<String>>,
    summary: RefCell<Summary>,
}

/// Runs the plan of `seed`.
pub fn run(seed: u64) -> Summary {
    run_plan(seed, Plan::draw(seed))
}

/// Runs a plan.
pub fn run_plan(seed: u64, plan: Plan) -> Summary {
    let sim = Sim::new(seed, super::options("live", seed));
    let hosts = [sim.host("client-1"), sim.host("client-2")];
    let world = World::new(&sim, plan);
    let mut host = hosts.iter().copied().cycle();
    let mut start = |task| world.start(host.next().expect("endless"), task);
    start(Task::SetUp);
    start(Task::Watch);
    start(Task::Pass);
    for number in 0..world.plan.administrators {
        start(Task::Administer(number));
    }
    for number in 0..world.plan.clients {
        start(Task::Produce(number as u64));
        start(Task::Read(number as u64));
    }
    for _ in 1..world.plan.generations {
        world.generation(&hosts);
    }
    world.last_generation();
    world.beyond_retention(hosts[0]);
    let mut summary = *world.summary.borrow();
    summary.shards = world.lineage.borrow().len();
    summary.troubles = world.machine.tally();
    summary.disk = sim.disk_stats(world.machine.host);
    summary.trace_hash = sim.trace_hash();
    summary
}

#[derive(Clone, Copy, Debug)]
enum Task {
    SetUp,
    Watch,
    Pass,
    Administer(u64),
    Produce(u64),
    Read(u64),
    Probe(u64),
}

impl World {
    fn new(sim: &Sim, plan: Plan) -> Rc<Self> {
        let seed = sim.seed();
        let machine = Machine::new(sim, plan.tuning, plan.troubles);
        for injection in &plan.aimed {
            sim.inject(machine.host, injection.clone());
        }
        if let Some(step) = plan.left_out {
            sim.leave_out(machine.host, step);
        }
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            sim: sim.clone(),
            machine,
            prng: RefCell::new(Prng::new(seed, "live workload", 0)),
            ledger: RefCell::default(),
            lineage: RefCell::default(),
            starts: Cell::new(0),
            created: Cell::new(false),
            may_expire: Cell::new(false),
            calm: Cell::new(false),
            administering: Cell::new(0),
            settled: Cell::new(false),
            over: Cell::new(false),
            probes: Cell::new(0),
            producers_left: Cell::new(plan.clients),
            clients_left: Cell::new(0),
            at_work: RefCell::default(),
            summary: RefCell::default(),
            plan,
        })
    }

    fn draw(&self, below: u64) -> u64 {
        self.prng.borrow_mut().below(below)
    }

    fn start(self: &Rc<Self>, host: HostId, task: Task) {
        let rt = self.sim.runtime(host);
        self.clients_left.set(self.clients_left.get() + 1);
        let (world, process) = (Rc::clone(self), rt.clone());
        self.at_work.borrow_mut().insert(format!("{task:?}"));
        self.sim.spawn(rt.host(), async move {
            match task {
                Task::SetUp => world.set_up(&process).await,
                Task::Watch => world.watch(&process).await,
                Task::Pass => world.pass(&process).await,
                Task::Administer(number) => world.administer(&process, number).await,
                Task::Produce(number) => world.produce(&process, number).await,
                Task::Read(number) => world.read(&process, number).await,
                Task::Probe(number) => world.probe(&process, number).await,
            }
            world.clients_left.set(world.clients_left.get() - 1);
            world.at_work.borrow_mut().remove(&format!("{task:?}"));
        });
    }

    // ---- the node

    fn start_node(&self) -> SimRuntime {
        let workers = 1 + self.draw(3) as u16;
        self.starts.set(self.starts.get() + 1);
        self.machine.start(workers)
    }

    /// One process of the node, until it crashes or is stopped.
    fn generation(&self, hosts: &[HostId]) {
        if self.plan.jumps && self.draw(2) == 0 {
            self.sim.jump_wall(self.machine.host, self.draw(20_000_000).cast_signed() - 10_000_000);
        }
        let rt = self.start_node();
        let power = self.draw(2) == 0;
        if self.draw(3) > 0 {
            let polls = 1 + self.draw(1 << (5 + self.draw(10)));
            if power {
                self.sim.power_loss_after_polls(self.machine.host, polls);
            } else {
                self.sim.kill_after_polls(self.machine.host, polls);
            }
        }
        self.machine.wait(&rt);
        for _ in 0..1 + self.draw(5) {
            let a_while = Duration::from_micros(self.draw(150_000));
            self.sim.run_until(|| !rt.is_alive() || self.clients_left.get() == 0, a_while);
            self.machine.stir(hosts);
            for host in hosts {
                self.sim.cut_connections(*host, self.plan.cuts);
            }
        }
        if self.draw(4) == 0 && self.machine.is_ready() && self.machine.is_whole() {
            self.machine.end_troubles();
            self.settle(&rt);
            self.goes_on(&rt);
        }
        if rt.is_alive() && self.draw(2) == 0 {
            self.stop_node(&rt);
        }
        if rt.is_alive() {
            if power {
                self.sim.power_loss(self.machine.host);
            } else {
                self.sim.kill(self.machine.host);
            }
        }
        self.summary.borrow_mut().crashes += 1;
    }

    /// Waits until nobody changes anything: then the node finishes what has begun; fine if it crashes meanwhile.
    fn settle(&self, rt: &SimRuntime) {
        self.calm.set(true);
        let idle = self.sim.run_until(|| self.administering.get() == 0 || !rt.is_alive(), PATIENCE);
        assert!(idle, "an administrator's call does not end");
        self.settled.set(!self.created.get());
        let settled = self.sim.run_until(|| self.settled.get() || !rt.is_alive(), SETTLED);
        assert!(settled, "a reshard that has begun is not finished");
        self.calm.set(false);
    }

    /// The troubles are over, and the same process takes a record within bounded time; fine if it crashes meanwhile.
    fn goes_on(&self, rt: &SimRuntime) {
        if !self.created.get() || !rt.is_alive() {
            return;
        }
        let world = self.me.upgrade().expect("it runs");
        let number = self.probes.replace(self.probes.get() + 1);
        let task = Task::Probe(number);
        world.start(self.sim.host("probe"), task);
        let is_done = || !self.at_work.borrow().contains(&format!("{task:?}"));
        let went_on = self.sim.run_until(|| is_done() || !rt.is_alive(), SETTLED);
        assert!(went_on, "the troubles are over, and a put takes longer than {SETTLED:?}");
    }

    /// Stops the node; fine if it crashes meanwhile.
    fn stop_node(&self, rt: &SimRuntime) {
        self.machine.stop(rt);
        self.summary.borrow_mut().stops += 1;
    }

    /// Starts the node and waits for it.
    fn start_and_wait(&self) -> SimRuntime {
        let workers = 1 + self.draw(3) as u16;
        self.starts.set(self.starts.get() + 1);
        self.machine.start_and_wait(workers)
    }

    /// The process in which everybody gets done, and everything is looked at once more.
    fn last_generation(&self) {
        let rt = self.start_and_wait();
        // The one that watches goes on.
        let done = self.sim.run_until(|| self.clients_left.get() == 1, PATIENCE);
        assert!(done, "they do not get done: {:?}", self.at_work.borrow());
        self.settle(&rt);
        self.look(0);
        self.stop_node(&rt);
        // What a clean stop left has to be there again without any scan finding fault with it.
        self.sim.power_loss(self.machine.host);
        let rt = self.start_and_wait();
        self.look(0);
        self.stop_node(&rt);
    }

    // ---- clients

    fn addr(&self) -> SocketAddr {
        self.machine.addr()
    }

    async fn connect(&self, rt: &SimRuntime) -> Client<SimRuntime> {
        loop {
            if let Ok(client) = Client::connect(rt.clone(), self.addr(), ClientOptions::default()).await {
                return client;
            }
            rt.sleep(Duration::from_micros(1_000 + self.draw(20_000))).await;
        }
    }

    async fn set_up(&self, rt: &SimRuntime) {
        let client = self.connect(rt).await;
        let limits = self.plan.throttled.then_some(StreamLimits::Custom(THROTTLE));
        let settings = SettingsChange { limits, ..SettingsChange::default() };
        while let Err(error) = client.create_stream(STREAM, self.plan.shards, settings).await {
            if error.code() == Some(ErrorCode::StreamExists) {
                break;
            }
            assert!(error.is_retryable(), "the stream is not created: {error}");
        }
        loop {
            let description = client.describe_stream(STREAM).await;
            match description {
                Ok(found) if found.status != StreamStatus::Creating => break,
                Ok(_) => {}
                Err(error) => assert!(error.is_retryable(), "the stream is not described: {error}"),
            }
            rt.sleep(Duration::from_millis(5)).await;
        }
        self.created.set(true);
    }

    /// Waits until the stream is there.
    async fn stream(&self, rt: &SimRuntime) -> Client<SimRuntime> {
        while !self.created.get() {
            rt.sleep(Duration::from_millis(5)).await;
        }
        self.connect(rt).await
    }

    /// Looks at the shards all the time.
    async fn watch(&self, rt: &SimRuntime) {
        let client = self.stream(rt).await;
        while !self.over.get() {
            let was_calm = self.calm.get() && self.administering.get() == 0;
            if let Some(description) = self.describe(&client).await
                && was_calm
                && description.status == StreamStatus::Active
            {
                assert_eq!(description.scaling_target, None, "an active stream is being scaled");
                self.settled.set(true);
            }
            // Nothing much changes any more.
            let pace = if self.producers_left.get() == 0 { 20 } else { 1 };
            rt.sleep(Duration::from_micros(pace * self.draw(30_000))).await;
        }
    }

    /// The stream as it is described now, after a check; `None` if the node does not answer in time.
    async fn describe(&self, client: &Client<SimRuntime>) -> Option<StreamDescription> {
        match client.describe_stream(STREAM).await {
            Ok(description) => {
                self.lineage.borrow_mut().observe(&description, self.may_expire.get());
                Some(description)
            }
            Err(error) => {
                passes(&error, &[]);
                None
            }
        }
    }
}

/// An error that does not pass, and is none of `codes`, breaks a promise.
fn passes(error: &Error, codes: &[ErrorCode]) {
    let is_expected = error.code().is_some_and(|code| codes.contains(&code));
    assert!(is_expected || error.is_retryable(), "the node refused: {error}, {error:?}");
}
