//! The workload on stored values and leases: a whole node, as in [`super::node`], whose store is put to, claimed and read by
//! clients on other machines, while the node is killed, loses power, and is stopped and started with another number of
//! workers.
//!
//! Members claim leases, renew them, put under them, give them back, pause for longer than they last and go on as if
//! nothing had been, steal from each other. Setters put, compare and set, and delete values, with and without conditions.
//! Counters count by comparing and setting. Everybody reads. Everything that was asked and answered is noted; whether it
//! can be true is said in `history`.
//!
//! Once the [`Troubles`] of a process are over, the same process takes a value and gives it back within bounded time.
//!
//! It does not check: a store that is full, listings of many pages, how long anything takes while there are troubles.

mod history;
mod members;
mod setters;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use self::history::{History, Id, Outcome, Seen, What};
use super::machine::Machine;
use super::troubles::{Tally, Troubles};
use crate::client::{Client, ClientOptions, Error, Expect, Item};
use crate::engine::env::Tuning;
use crate::protocol::ErrorCode;
use crate::runtime::{Reactor, Step};
use crate::sim::prng::Prng;
use crate::sim::{Chance, DiskStats, HostId, Injection, Sim, SimRuntime};
use crate::types::MonoUs;

/// The space that everything is in.
const SPACE: &str = "app";

/// Everybody gets done in this time, in virtual time.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a run met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Hash over everything that happened.
    pub trace_hash: u64,
    /// Changes that came into force.
    pub done: u64,
    /// Changes whose outcome the client was not told.
    pub unknown: u64,
    /// Leases granted.
    pub grants: u64,
    /// Reads of one item or of all.
    pub reads: u64,
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
    /// Processes one after the other.
    pub generations: usize,
    /// Those who claim leases.
    pub members: u64,
    /// Those who set values, and as many who count.
    pub setters: u64,
    /// Items of each kind.
    pub items: u64,
    /// What each client does.
    pub acts: u64,
    /// How long leases last.
    pub ttl: Duration,
    /// Whether the wall clock jumps between two processes.
    pub jumps: bool,
    /// Chance that connections break.
    pub cuts: Chance,
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
        let prng = &mut Prng::new(seed, "values plan", 0);
        Self {
            generations: 2 + prng.below(8) as usize,
            members: 2 + prng.below(3),
            setters: 1 + prng.below(3),
            items: 1 + prng.below(3),
            acts: 20 + prng.below(60),
            ttl: Duration::from_millis(1_000 + prng.below(1_000)),
            jumps: prng.coin(),
            cuts: if prng.coin() { Chance::percent(30) } else { Chance::NEVER },
            troubles: Troubles::draw(seed),
            left_out: None,
            aimed: Vec::new(),
        }
    }
}

struct World {
    sim: Sim,
    machine: Machine,
    plan: Plan,
    prng: RefCell<Prng>,
    history: RefCell<History>,
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
    let sim = Sim::new(seed, super::options("values", seed));
    let hosts = [sim.host("client-1"), sim.host("client-2")];
    let machine = Machine::new(&sim, Tuning::default(), plan.troubles);
    for injection in &plan.aimed {
        sim.inject(machine.host, injection.clone());
    }
    if let Some(step) = plan.left_out {
        sim.leave_out(machine.host, step);
    }
    let world = Rc::new(World {
        prng: RefCell::new(Prng::new(seed, "values workload", 0)),
        sim: sim.clone(),
        machine,
        history: RefCell::default(),
        clients_left: Cell::new(0),
        at_work: RefCell::default(),
        summary: RefCell::default(),
        plan,
    });
    let mut host = hosts.iter().copied().cycle();
    let mut start = |task| world.start(host.next().expect("endless"), task);
    for number in 0..world.plan.members {
        start(Task::Lead(number));
    }
    for number in 0..world.plan.setters {
        start(Task::Set(number));
        start(Task::Count(number));
    }
    for _ in 1..world.plan.generations {
        world.generation(&hosts);
    }
    world.last_generation();
    let history = world.history.take();
    let mut summary = *world.summary.borrow();
    (summary.done, summary.unknown) = history.counts();
    summary.grants = history.grants();
    if let Err(wrong) = history.check() {
        // Within the simulation, so that it tells how to run the seed again.
        sim.block_on(async { panic!("{wrong}") });
    }
    summary.troubles = world.machine.tally();
    summary.disk = sim.disk_stats(world.machine.host);
    summary.trace_hash = sim.trace_hash();
    summary
}

#[derive(Clone, Copy, Debug)]
enum Task {
    Lead(u64),
    Set(u64),
    Count(u64),
}

/// Stores a value and reads it; in a space of its own.
async fn probe_store(rt: &SimRuntime, addr: SocketAddr) -> Result<bool, Error> {
    let client = Client::connect(rt.clone(), addr, ClientOptions::default()).await?;
    client.store_put("probe", "value", b"there", Expect::Any, None).await?;
    let item = client.store_get("probe", "value").await?;
    Ok(item.is_some_and(|item| &*item.value == b"there"))
}

impl World {
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
                Task::Lead(number) => world.lead(&process, number).await,
                Task::Set(number) => world.set(&process, number).await,
                Task::Count(number) => world.count(&process, number).await,
            }
            world.clients_left.set(world.clients_left.get() - 1);
            world.at_work.borrow_mut().remove(&format!("{task:?}"));
        });
    }

    fn start_node(&self) -> SimRuntime {
        self.machine.start(1 + self.draw(3) as u16)
    }

    /// One process of the node, until it crashes or is stopped.
    fn generation(&self, hosts: &[HostId]) {
        let node = self.machine.host;
        if self.plan.jumps && self.draw(2) == 0 {
            self.sim.jump_wall(node, self.draw(7_200_000_000).cast_signed() - 3_600_000_000);
        }
        let rt = self.start_node();
        let power = self.draw(2) == 0;
        if self.draw(3) > 0 {
            let polls = 1 + self.draw(1 << (5 + self.draw(10)));
            if power {
                self.sim.power_loss_after_polls(node, polls);
            } else {
                self.sim.kill_after_polls(node, polls);
            }
        }
        self.machine.wait(&rt);
        for _ in 0..1 + self.draw(5) {
            // Long enough for leases to run out, now and then.
            let a_while = Duration::from_micros(self.draw([50_000, 200_000, 3_000_000][self.draw(3) as usize]));
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
        if self.draw(4) == 0 {
            // Nobody is there for longer than leases last.
            self.sim.run_for(self.plan.ttl + Duration::from_micros(self.draw(2_000_000)));
        }
    }

    /// The troubles end, and the same process takes a value and gives it back within bounded time; fine if it crashes
    /// meanwhile.
    fn goes_on(&self, rt: &SimRuntime) {
        self.machine.end_troubles();
        if !self.machine.is_ready() {
            return;
        }
        let addr = self.machine.addr();
        let done = self.machine.serves(rt, async move |process| {
            while !probe_store(&process, addr).await.is_ok_and(|is_there| is_there) {
                process.sleep(Duration::from_millis(10)).await;
            }
        });
        self.summary.borrow_mut().probes += u64::from(done);
    }

    /// The process in which everybody gets done, and everything is looked at over two more crashes.
    fn last_generation(&self) {
        self.machine.start_and_wait(1 + self.draw(3) as u16);
        let done = self.sim.run_until(|| self.clients_left.get() == 0, PATIENCE);
        assert!(done, "they do not get done: {:?}", self.at_work.borrow());
        self.look();
        self.sim.power_loss(self.machine.host);
        let rt = self.machine.start_and_wait(1 + self.draw(3) as u16);
        self.look();
        self.machine.stop(&rt);
        self.sim.power_loss(self.machine.host);
        let rt = self.machine.start_and_wait(1 + self.draw(3) as u16);
        self.look();
        self.counters_are_right();
        self.machine.stop(&rt);
    }

    /// Looks at every item.
    fn look(&self) {
        let rt = self.sim.runtime(self.sim.host("auditor"));
        self.sim.block_on(async {
            let client = self.connect(&rt).await;
            for key in self.keys() {
                self.get(&client, &key).await.expect("nothing crashes");
            }
            self.list(&client).await.expect("nothing crashes");
        });
    }

    /// Each acknowledged step was counted, and no step twice.
    fn counters_are_right(&self) {
        let rt = self.sim.runtime(self.sim.host("auditor"));
        let counts: Vec<_> = self.sim.block_on(async {
            let client = self.connect(&rt).await;
            let mut counts = Vec::new();
            for key in (0..self.plan.items).map(|item| format!("counter-{item}")) {
                let item = client.store_get(SPACE, &key).await.expect("nothing crashes");
                counts.push((item.map_or(0, |item| history::count_of(&item.value).expect("a count")), key));
            }
            counts
        });
        for (count, key) in counts {
            let (done, unknown) = self.history.borrow().puts_of(&key);
            assert!((done..=done + unknown).contains(&count), "{key} is at {count}, {done} steps, {unknown} unknown");
        }
    }

    /// The keys there may be.
    fn keys(&self) -> Vec<String> {
        let kinds = ["lease", "value", "counter"];
        kinds.iter().flat_map(|kind| (0..self.plan.items).map(move |item| format!("{kind}-{item}"))).collect()
    }

    // ---- clients

    async fn connect(&self, rt: &SimRuntime) -> Client<SimRuntime> {
        loop {
            if let Ok(client) = Client::connect(rt.clone(), self.machine.addr(), ClientOptions::default()).await {
                return client;
            }
            rt.sleep(Duration::from_micros(1_000 + self.draw(20_000))).await;
        }
    }

    /// Notes a change that is sent.
    fn sent(&self, client: &Client<SimRuntime>, key: &str, what: What) -> Id {
        self.history.borrow_mut().sent(key, what, client.reactor().now())
    }

    /// Notes what became of it; gives the answer if it came into force.
    fn done<T>(
        &self,
        client: &Client<SimRuntime>,
        id: Id,
        answer: Result<T, Error>,
        number: impl Fn(&T) -> Option<u64>,
    ) -> Result<T, Error> {
        let now = client.reactor().now();
        let (outcome, number) = match &answer {
            Ok(answer) => (Outcome::Done, number(answer)),
            Err(error) if error.is_outcome_unknown() => (Outcome::Unknown, None),
            Err(error) => {
                let known = [ErrorCode::VersionMismatch, ErrorCode::LeaseHeld, ErrorCode::LeaseLost];
                let is_expected = error.code().is_some_and(|code| known.contains(&code));
                assert!(is_expected || error.is_retryable(), "the node refused: {error}, {error:?}");
                (Outcome::Refused, None)
            }
        };
        self.history.borrow_mut().done(id, outcome, number, now);
        answer
    }

    async fn put(
        &self,
        client: &Client<SimRuntime>,
        key: &str,
        count: u64,
        (expect, token): (Expect, Option<u64>),
    ) -> Result<u64, Error> {
        let value = history::value_of(self.history.borrow().next(), count);
        let id = self.sent(client, key, What::Put { value: value.clone(), expect, token });
        let answer = client.store_put(SPACE, key, &value, expect, token).await;
        self.done(client, id, answer, |version| Some(*version))
    }

    async fn delete(
        &self,
        client: &Client<SimRuntime>,
        key: &str,
        (expect, token): (Expect, Option<u64>),
    ) -> Result<bool, Error> {
        let id = self.sent(client, key, What::Delete { expect, token });
        let answer = client.store_delete(SPACE, key, expect, token).await;
        self.done(client, id, answer, |_| None)
    }

    /// The token of the lease.
    async fn claim(&self, client: &Client<SimRuntime>, key: &str, take_from: Option<u64>) -> Result<u64, Error> {
        let ttl = self.plan.ttl;
        let what = What::Claim { take_from, ttl_us: ttl.as_micros() as u64 };
        let id = self.sent(client, key, what);
        let answer = client.lease_claim(SPACE, key, &history::owner_of(id), ttl, take_from).await;
        let token = |item: &Item| item.lease.as_ref().map(|lease| lease.token);
        let item = self.done(client, id, answer, token)?;
        Ok(token(&item).expect("a claim that was granted has a lease"))
    }

    async fn release(&self, client: &Client<SimRuntime>, key: &str, token: u64) -> Result<(), Error> {
        let id = self.sent(client, key, What::Release { token });
        let answer = client.lease_release(SPACE, key, token).await;
        self.done(client, id, answer, |()| None)
    }

    /// Whether the lease is still held; `None` if that is not to be learnt.
    async fn renew(&self, client: &Client<SimRuntime>, key: &str, token: u64) -> Option<bool> {
        let sent = client.reactor().now();
        match client.lease_renew(SPACE, &[(key, token)]).await {
            Ok(held) => {
                let times = (sent, client.reactor().now());
                self.history.borrow_mut().renewed(key, token, times, held[0]);
                Some(held[0])
            }
            Err(error) => {
                assert!(error.is_retryable(), "a renewal is refused: {error}");
                None
            }
        }
    }

    async fn get(&self, client: &Client<SimRuntime>, key: &str) -> Result<Option<Item>, Error> {
        let sent = client.reactor().now();
        let item = client.store_get(SPACE, key).await.inspect_err(|error| {
            assert!(error.is_retryable(), "an item is not read: {error}");
        })?;
        self.saw(key, (sent, client.reactor().now()), item.as_ref());
        Ok(item)
    }

    /// Looks at all items at once.
    async fn list(&self, client: &Client<SimRuntime>) -> Result<(), Error> {
        let sent = client.reactor().now();
        let items = client.store_list(SPACE, "").await.inspect_err(|error| {
            assert!(error.is_retryable(), "items are not listed: {error}");
        })?;
        let times = (sent, client.reactor().now());
        let keys = self.keys();
        assert!(items.iter().all(|item| keys.contains(&item.key)), "an item that nobody made: {items:?}");
        for key in keys {
            self.saw(&key, times, items.iter().find(|item| item.key == key));
        }
        Ok(())
    }

    fn saw(&self, key: &str, times: (MonoUs, MonoUs), item: Option<&Item>) {
        self.summary.borrow_mut().reads += 1;
        let item = item.map(|item| Seen {
            version: item.version,
            value: item.value.to_vec(),
            lease: item.lease.as_ref().map(|lease| (lease.token, lease.owner.clone())),
        });
        self.history.borrow_mut().saw(key, times, item);
    }
}
