//! The workload on a whole node: its workers are tasks of one host that is killed, loses power, is stopped and started
//! again with another number of workers; clients on other hosts speak the native protocol to it over the network.
//!
//! Producers send stamped and plain batches to the owner of a shard or to any other worker, and after a broken connection
//! send again whatever was not acknowledged. Readers get, with and without waiting, and subscribe. One client creates,
//! lists and deletes streams. Shards are checked by [`super::shard_oracle`]; besides:
//! - a batch that is resent in order is never refused: the node remembers its producers across crashes;
//! - a reader is never told that it is beyond the end, or before the horizon;
//! - a stream whose creation (deletion) was acknowledged is there (is gone) afterwards;
//! - the node starts after every crash without finding damage, stops in time when told to, and everybody gets done;
//! - once the [`Troubles`] of a process are over, the same process takes a put and hands it out within bounded time;
//! - what a disk that errs may excuse is refused as that, and by no other node.
//!
//! It does not check: retention, changes of settings, keyed puts, clients that break the protocol, how long anything takes while
//! there are troubles, and whether a refusal that troubles may excuse was due to them.

mod catalogue;
mod producers;
mod readers;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::machine::Machine;
use super::troubles::{Tally, Troubles};
use crate::engine::env::Tuning;
use crate::protocol::messages::{Get, ReadState};
use crate::protocol::{ErrorCode, Message};
use crate::runtime::{Reactor, Step};
use crate::sim::prng::Prng;
use crate::sim::workload::contents::Pattern;
use crate::sim::workload::native::{Connection, Refusal, owned};
use crate::sim::workload::shard_oracle::ShardOracle;
use crate::sim::{Chance, DiskStats, HostId, Injection, Sim, SimRuntime};
use crate::types::{GroupId, Offset, ShardNumber};

/// The stream that is written to.
const STREAM: &str = "orders";

/// A start, a stop and the last round take this long at most, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a run met.
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
    /// Pushes received.
    pub pushes: u64,
    /// Streams created and deleted.
    pub catalogue_changes: u64,
    /// Kills and power failures.
    pub crashes: u64,
    /// Clean stops.
    pub stops: u64,
    /// Times that a process was seen to go on after its troubles.
    pub probes: u64,
    /// What went wrong besides.
    pub troubles: Tally,
    /// What crashes did to the disk.
    pub disk: DiskStats,
}

/// What a run looks like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Shards of the stream.
    pub shards: u32,
    /// Processes one after the other.
    pub generations: usize,
    /// Producers; as many readers.
    pub clients: usize,
    /// Puts of each producer.
    pub puts: u64,
    /// Chance that connections break between two processes' ends.
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
        let prng = &mut Prng::new(seed, "node plan", 0);
        Self {
            shards: 1 + prng.below(4) as u32,
            generations: 3 + prng.below(10) as usize,
            clients: 1 + prng.below(3) as usize,
            puts: 50 + prng.below(250),
            cuts: if prng.coin() { Chance::percent(30) } else { Chance::NEVER },
            tuning: Tuning { tail_bytes_max: [0, 100_000, 16 << 20][prng.below(3) as usize], ..Tuning::default() },
            troubles: Troubles::draw(seed),
            left_out: None,
            aimed: Vec::new(),
        }
    }
}

/// One shard as clients know it.
struct ShardSlot {
    number: ShardNumber,
    group: Cell<GroupId>,
    oracle: RefCell<ShardOracle>,
}

struct World {
    me: Weak<Self>,
    sim: Sim,
    machine: Machine,
    plan: Plan,
    pattern: Pattern,
    prng: RefCell<Prng>,
    next_put: Cell<u64>,
    shards: RefCell<Vec<Rc<ShardSlot>>>,
    producers_left: Cell<usize>,
    clients_left: Cell<usize>,
    summary: RefCell<Summary>,
}

/// Runs the plan of `seed`.
pub fn run(seed: u64) -> Summary {
    run_plan(seed, Plan::draw(seed))
}

/// Runs a plan.
pub fn run_plan(seed: u64, plan: Plan) -> Summary {
    let sim = Sim::new(seed, super::options("node", seed));
    let machine = Machine::new(&sim, plan.tuning, plan.troubles);
    let node = machine.host;
    for injection in &plan.aimed {
        sim.inject(node, injection.clone());
    }
    if let Some(step) = plan.left_out {
        sim.leave_out(node, step);
    }
    let hosts = [sim.host("client-1"), sim.host("client-2")];
    let world = Rc::new_cyclic(|me| World {
        me: Weak::clone(me),
        sim: sim.clone(),
        machine,
        pattern: Pattern::default(),
        prng: RefCell::new(Prng::new(seed, "node workload", 0)),
        next_put: Cell::new(0),
        shards: RefCell::default(),
        producers_left: Cell::new(plan.clients),
        clients_left: Cell::new(0),
        summary: RefCell::default(),
        plan,
    });
    let start = |host: usize, task: Task| {
        let rt = sim.runtime(hosts[host % 2]);
        world.clients_left.set(world.clients_left.get() + 1);
        let (world, process) = (Rc::clone(&world), rt.clone());
        sim.spawn(rt.host(), async move {
            match task {
                Task::SetUp => world.set_up(&process).await,
                Task::Produce(number) => world.produce(&process, number).await,
                Task::Get => world.get(&process).await,
                Task::Subscribe => world.subscribe(&process).await,
                Task::Administer => world.administer(&process).await,
            }
            world.clients_left.set(world.clients_left.get() - 1);
        });
    };
    start(0, Task::SetUp);
    start(1, Task::Administer);
    for client in 0..world.plan.clients {
        start(client, Task::Produce(client as u64));
        start(client + 1, if client % 2 == 0 { Task::Subscribe } else { Task::Get });
    }
    for _ in 1..world.plan.generations {
        world.generation(&hosts);
    }
    world.last_generation();
    let mut summary = *world.summary.borrow();
    summary.troubles = world.machine.tally();
    summary.disk = sim.disk_stats(node);
    summary.trace_hash = sim.trace_hash();
    summary
}

#[derive(Clone, Copy)]
enum Task {
    SetUp,
    Produce(u64),
    Get,
    Subscribe,
    Administer,
}

impl World {
    fn draw(&self, below: u64) -> u64 {
        self.prng.borrow_mut().below(below)
    }

    // ---- the node

    fn start_node(&self) -> SimRuntime {
        self.machine.start(1 + self.draw(3) as u16)
    }

    fn start_and_wait(&self) -> SimRuntime {
        self.machine.start_and_wait(1 + self.draw(3) as u16)
    }

    /// One process of the node, until it crashes or is stopped.
    fn generation(&self, hosts: &[HostId]) {
        let node = self.machine.host;
        let rt = self.start_node();
        let power = self.draw(2) == 0;
        if self.draw(3) > 0 {
            let polls = 1 + self.draw(1 << (5 + self.draw(7)));
            if power {
                self.sim.power_loss_after_polls(node, polls);
            } else {
                self.sim.kill_after_polls(node, polls);
            }
        }
        self.machine.wait(&rt);
        for _ in 0..1 + self.draw(5) {
            let a_while = Duration::from_micros(self.draw(40_000));
            self.sim.run_until(|| !rt.is_alive() || self.clients_left.get() == 0, a_while);
            self.machine.stir(hosts);
            for host in hosts {
                self.sim.cut_connections(*host, self.plan.cuts);
            }
        }
        if self.draw(3) == 0 {
            self.goes_on(&rt);
        }
        if rt.is_alive() && self.draw(2) == 0 {
            self.machine.stop(&rt);
            self.summary.borrow_mut().stops += 1;
        }
        if rt.is_alive() {
            if power {
                self.sim.power_loss(node);
            } else {
                self.sim.kill(node);
            }
        }
        self.summary.borrow_mut().crashes += 1;
    }

    /// The troubles end, and the same process serves everybody within bounded time; fine if it crashes meanwhile.
    fn goes_on(&self, rt: &SimRuntime) {
        self.machine.end_troubles();
        if self.shards.borrow().is_empty() || !self.machine.is_whole() {
            return;
        }
        let world = self.me.upgrade().expect("it runs");
        let done = self.machine.serves(rt, async move |process| world.probe(&process).await);
        self.summary.borrow_mut().probes += u64::from(done);
    }

    /// The process in which everybody gets done, and everything is looked at once more.
    fn last_generation(&self) {
        let rt = self.start_and_wait();
        let done = self.sim.run_until(|| self.clients_left.get() == 0, PATIENCE);
        assert!(done, "{} clients do not get done", self.clients_left.get());
        self.look();
        self.machine.stop(&rt);
        // What a clean stop left has to be there again without any scan finding fault with it.
        self.sim.power_loss(self.machine.host);
        let rt = self.start_and_wait();
        self.look();
        self.machine.stop(&rt);
    }

    /// Reads every shard from its beginning to its end.
    fn look(&self) {
        let host = self.sim.host("auditor");
        let rt = self.sim.runtime(host);
        self.sim.block_on(async {
            let mut connection = Connection::open(&rt, self.any_addr().expect("ready")).await.expect("it listens");
            for slot in self.slots() {
                let mut at = Offset(0);
                loop {
                    let request = Get { group: slot.group.get(), from: at, bytes_max: 1 << 20, wait_ms: 0 };
                    let number = connection.send(&request, &[]).await.expect("nothing crashes");
                    let message = connection.receive(number).await.expect("nothing crashes");
                    let state = answer_to_get(&message).unwrap_or_else(|refusal| panic!("{refusal:?}"));
                    let next = self.check_body(&slot, &message, at);
                    assert_eq!(next, state.next_offset, "an answer says where to go on");
                    if next == at {
                        assert_eq!(at, state.end_offset, "nothing to read before the end");
                        break;
                    }
                    at = next;
                }
                slot.oracle.borrow().read_whole(at);
            }
        });
    }

    // ---- clients

    fn any_addr(&self) -> Option<SocketAddr> {
        let addrs = self.machine.addrs();
        if addrs.is_empty() {
            return None;
        }
        Some(addrs[self.draw(addrs.len() as u64) as usize])
    }

    async fn connect(&self, rt: &SimRuntime) -> Connection {
        loop {
            if let Some(addr) = self.any_addr()
                && let Ok(connection) = Connection::open(rt, addr).await
            {
                return connection;
            }
            rt.sleep(Duration::from_micros(1_000 + self.draw(20_000))).await;
        }
    }

    fn slots(&self) -> Vec<Rc<ShardSlot>> {
        self.shards.borrow().clone()
    }

    /// Waits until the stream is there.
    async fn stream(&self, rt: &SimRuntime) -> Vec<Rc<ShardSlot>> {
        while self.shards.borrow().is_empty() {
            rt.sleep(Duration::from_millis(5)).await;
        }
        self.slots()
    }
}

/// What a node says whose disk errs.
const DISK_ERRORS: [ErrorCode; 7] = [
    ErrorCode::LogFailed,
    ErrorCode::ShardOverloaded,
    ErrorCode::WorkerOverloaded,
    ErrorCode::WrongShardMap,
    ErrorCode::Internal,
    ErrorCode::ShardQuarantined,
    // A change that is in force and could not be carried out yet.
    ErrorCode::Timeout,
];

impl World {
    /// A refusal that is not one of `codes`, nor owed to the disk, breaks a promise.
    fn allow(&self, refusal: &Refusal, codes: &[ErrorCode]) {
        let is = |codes: &[ErrorCode]| codes.iter().any(|code| *code as u16 == refusal.code);
        let is_disk = is(&DISK_ERRORS) && self.machine.is_disk_bad();
        // A worker that stood still while the node stopped passed a put on to one that was gone: it cannot tell what became of it.
        let is_late = is(&[ErrorCode::LogFailed]) && self.plan.troubles.stalls;
        assert!(is(codes) || is_disk || is_late, "the node refused: {refusal:?}");
    }
}

fn answer_to_get(message: &Message) -> Result<ReadState, Refusal> {
    message.answer::<Get>().expect("well-formed").map_err(owned)
}
