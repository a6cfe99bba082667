//! The workload on a whole node: its workers are tasks of one host that is killed, loses power, is stopped and started
//! again with another number of workers; clients on other hosts speak the native protocol to it over the network.
//!
//! Producers send stamped and plain batches to the owner of a shard or to any other worker, and after a broken connection
//! send again whatever was not acknowledged. Readers get, with and without waiting, and subscribe. One client creates,
//! lists and deletes streams. Shards are checked by [`super::shard_oracle`]; besides:
//! - a batch that is resent in order is never refused: the node remembers its producers across crashes;
//! - a reader is never told that it is beyond the end, or before the horizon;
//! - a stream whose creation (deletion) was acknowledged is there (is gone) afterwards;
//! - the node starts after every crash without finding damage, stops in time when told to, and everybody gets done.
//!
//! It does not cover disk errors, retention, changes of settings, keyed puts, and clients that break the protocol.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::catalog::Settings;
use crate::engine::env::Tuning;
use crate::format::frame::Frame;
use crate::format::record::Records;
use crate::limits::PRODUCER_WINDOW;
use crate::protocol::messages::{
    CreateStream, DeleteStream, DescribeStream, Get, ListStreams, Put, ReadState, SettingsChange, StreamStatus,
    Subscribe, SubscriptionEnd,
};
use crate::protocol::{Decode, ErrorCode, Kind, Message};
use crate::runtime::Reactor;
use crate::runtime::local::Notify;
use crate::server::node::{DiskLimit, DiskLimits, Options, Report, Supervisor, seeds};
use crate::sim::prng::Prng;
use crate::sim::workload::contents::{Contents, DATA_BYTES_MIN, Pattern};
use crate::sim::workload::native::{Connection, Refusal, owned};
use crate::sim::workload::shard_oracle::ShardOracle;
use crate::sim::{Chance, DiskStats, HostId, Injection, Sim, SimRuntime};
use crate::types::{GroupId, Offset, ProducerId, ProducerStamp, ShardNumber};

/// The stream that is written to.
const STREAM: &str = "orders";

/// Names of streams that come and go.
const PASSING: [&str; 3] = ["a", "b", "c"];

/// Where the node listens.
const PORT: u16 = 7000;

/// A start, a stop and the last round take this long at most, in virtual time.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// What is known about a stream that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    There,
    Gone,
    /// A change was asked for and not answered.
    Unknown,
}

struct World {
    sim: Sim,
    node: HostId,
    plan: Plan,
    pattern: Pattern,
    prng: RefCell<Prng>,
    next_put: Cell<u64>,
    /// Where the node said it listens.
    addrs: RefCell<Vec<SocketAddr>>,
    ready: Cell<bool>,
    stop: Cell<bool>,
    stopping: Notify,
    workers_left: Cell<u16>,
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
    let node = sim.host("node");
    for injection in &plan.aimed {
        sim.inject(node, injection.clone());
    }
    let hosts = [sim.host("client-1"), sim.host("client-2")];
    let world = Rc::new(World {
        sim: sim.clone(),
        node,
        pattern: Pattern::default(),
        prng: RefCell::new(Prng::new(seed, "node workload", 0)),
        next_put: Cell::new(0),
        addrs: RefCell::default(),
        ready: Cell::new(false),
        stop: Cell::new(false),
        stopping: Notify::new(),
        workers_left: Cell::new(0),
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

/// Told by worker 0 that the node is ready; tells every worker when to stop.
struct Boss(Rc<World>);

impl Supervisor for Boss {
    fn ready(&self, report: &Report) {
        assert!(report.opened.failed.is_empty(), "shards that do not open: {:?}", report.opened.failed);
        assert!(report.opened.quarantined.is_empty(), "quarantined by a crash: {:?}", report.opened.quarantined);
        let mut addrs = report.direct.clone();
        addrs.push(report.listen);
        self.0.addrs.replace(addrs);
        self.0.ready.set(true);
    }

    async fn stop(&self) {
        self.0.stopping.until(|| self.0.stop.get().then_some(())).await;
    }
}

impl World {
    fn draw(&self, below: u64) -> u64 {
        self.prng.borrow_mut().below(below)
    }

    // ---- the node

    fn start_node(self: &Rc<Self>) -> SimRuntime {
        let workers = 1 + self.draw(3) as u16;
        let ip = self.sim.ip(self.node);
        let limit = DiskLimit::Bytes(0);
        let options = Options {
            data: "/data".into(),
            listen: (ip, PORT).into(),
            direct_ports: (1..=workers).map(|n| PORT + n).collect(),
            token: None,
            stream_defaults: Settings::default(),
            disk: DiskLimits { warn: limit, slow: limit, refuse: limit },
            tuning: self.plan.tuning,
        };
        self.ready.set(false);
        self.stop.set(false);
        self.workers_left.set(workers);
        let rt = self.sim.runtime(self.node);
        for seed in seeds::<SimRuntime>(&options, workers) {
            let (world, rt) = (Rc::clone(self), rt.clone());
            self.sim.spawn(self.node, async move {
                let ended = seed.run(rt, Boss(Rc::clone(&world))).await;
                assert!(ended.is_ok(), "a worker ended with {ended:?}");
                world.workers_left.set(world.workers_left.get() - 1);
            });
        }
        rt
    }

    /// One process of the node, until it crashes or is stopped.
    fn generation(self: &Rc<Self>, hosts: &[HostId]) {
        let rt = self.start_node();
        let power = self.draw(2) == 0;
        if self.draw(3) > 0 {
            let polls = 1 + self.draw(1 << (5 + self.draw(7)));
            if power {
                self.sim.power_loss_after_polls(self.node, polls);
            } else {
                self.sim.kill_after_polls(self.node, polls);
            }
        }
        let started = self.sim.run_until(|| self.ready.get() || !rt.is_alive(), PATIENCE);
        assert!(started, "the node does not start");
        for _ in 0..1 + self.draw(5) {
            let a_while = Duration::from_micros(self.draw(40_000));
            self.sim.run_until(|| !rt.is_alive() || self.clients_left.get() == 0, a_while);
            for host in hosts {
                self.sim.cut_connections(*host, self.plan.cuts);
            }
        }
        if rt.is_alive() && self.draw(2) == 0 {
            self.stop_node(&rt);
        }
        if rt.is_alive() {
            if power {
                self.sim.power_loss(self.node);
            } else {
                self.sim.kill(self.node);
            }
        }
        self.summary.borrow_mut().crashes += 1;
    }

    /// Stops the node; fine if it crashes meanwhile.
    fn stop_node(&self, rt: &SimRuntime) {
        self.stop.set(true);
        self.stopping.notify();
        let stopped = self.sim.run_until(|| self.workers_left.get() == 0 || !rt.is_alive(), PATIENCE);
        assert!(stopped, "the node does not stop: {} workers go on", self.workers_left.get());
        self.summary.borrow_mut().stops += 1;
    }

    /// The process in which everybody gets done, and everything is looked at once more.
    fn last_generation(self: &Rc<Self>) {
        let rt = self.start_node();
        assert!(self.sim.run_until(|| self.ready.get(), PATIENCE), "the node does not start");
        let done = self.sim.run_until(|| self.clients_left.get() == 0, PATIENCE);
        assert!(done, "{} clients do not get done", self.clients_left.get());
        self.look();
        self.stop_node(&rt);
        // What a clean stop left has to be there again without any scan finding fault with it.
        self.sim.power_loss(self.node);
        let rt = self.start_node();
        assert!(self.sim.run_until(|| self.ready.get(), PATIENCE), "the node does not start after a clean stop");
        self.look();
        self.stop_node(&rt);
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
        let addrs = self.addrs.borrow();
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

    async fn set_up(&self, rt: &SimRuntime) {
        loop {
            let mut connection = self.connect(rt).await;
            if self.try_set_up(&mut connection).await.is_ok_and(|done| done) {
                return;
            }
            rt.sleep(Duration::from_millis(2)).await;
        }
    }

    async fn try_set_up(&self, connection: &mut Connection) -> io::Result<bool> {
        let create = CreateStream { name: STREAM, shards: self.plan.shards, settings: SettingsChange::default() };
        let number = connection.send(&create, &[]).await?;
        let message = connection.receive(number).await?;
        if let Err(refusal) = message.answer::<CreateStream<'_>>().expect("well-formed") {
            allow(&owned(refusal), &[ErrorCode::StreamExists, ErrorCode::Draining]);
        }
        let describe = DescribeStream { name: STREAM, from_shard: ShardNumber(0), limit: 100 };
        let number = connection.send(&describe, &[]).await?;
        let message = connection.receive(number).await?;
        let Ok(stream) = message.answer::<DescribeStream<'_>>().expect("well-formed") else { return Ok(false) };
        if stream.status != StreamStatus::Active {
            return Ok(false);
        }
        assert_eq!(stream.shards.len(), self.plan.shards as usize);
        let slot = |shard: &crate::protocol::messages::ShardDescription| {
            let name = format!("seed {}, {}", self.sim.seed(), shard.number);
            let oracle = RefCell::new(ShardOracle::new(name));
            Rc::new(ShardSlot { number: shard.number, group: Cell::new(shard.group), oracle })
        };
        self.shards.replace(stream.shards.iter().map(slot).collect());
        Ok(true)
    }

    fn contents(&self) -> Contents {
        let id = self.next_put.replace(self.next_put.get() + 1);
        let below = [200, 5_000, 60_000, 400_000][[0, 0, 0, 1, 1, 2, 2, 3][self.draw(8) as usize]];
        let records = 1 + self.draw(3);
        Contents { id, sizes: (0..records).map(|_| DATA_BYTES_MIN + (self.draw(below) / records) as u32).collect() }
    }

    async fn produce(&self, rt: &SimRuntime, number: u64) {
        let slots = self.stream(rt).await;
        let mut lanes: Vec<Lane> = slots
            .into_iter()
            .map(|slot| Lane {
                id: ProducerId(1_000 * (number + 1) + u64::from(slot.number.0) + 1),
                slot,
                next: 0,
                unacked: VecDeque::new(),
            })
            .collect();
        let mut left = self.plan.puts;
        while left > 0 || lanes.iter().any(|lane| !lane.unacked.is_empty()) {
            let mut connection = self.connect(rt).await;
            // An error ends the connection, and the next one begins with what was not acknowledged.
            let _ = self.produce_on(rt, &mut connection, &mut lanes, &mut left).await;
            rt.sleep(Duration::from_micros(self.draw(5_000))).await;
        }
        self.producers_left.set(self.producers_left.get() - 1);
    }

    async fn produce_on(
        &self,
        rt: &SimRuntime,
        connection: &mut Connection,
        lanes: &mut [Lane],
        left: &mut u64,
    ) -> io::Result<()> {
        for lane in lanes.iter_mut() {
            let again = lane.unacked.len();
            self.put_row(connection, lane, again).await?;
        }
        while *left > 0 && self.draw(30) > 0 {
            let lane = &mut lanes[self.draw(self.plan.shards.into()) as usize];
            if self.draw(5) == 0 {
                *left -= 1;
                self.put_plain(connection, lane).await?;
                continue;
            }
            let row = (1 + self.draw(PRODUCER_WINDOW as u64)).min(*left);
            for _ in 0..row {
                *left -= 1;
                lane.unacked.push_back((lane.next, self.contents()));
                lane.next += 1;
            }
            self.put_row(connection, lane, row as usize).await?;
            rt.sleep(Duration::from_micros(self.draw(3_000))).await;
        }
        Ok(())
    }

    /// Sends the first `count` unacknowledged batches of a lane one behind the other, and takes their answers.
    async fn put_row(&self, connection: &mut Connection, lane: &mut Lane, count: usize) -> io::Result<()> {
        let mut row = Vec::new();
        for (seq, contents) in lane.unacked.iter().take(count).cloned() {
            let stamp = ProducerStamp { id: lane.id, epoch: 0, seq };
            lane.slot.oracle.borrow_mut().sends(&contents, Some(stamp));
            let put = Put { group: lane.slot.group.get(), producer: Some(stamp), record_count: contents.records() };
            row.push((connection.send(&put, &self.pattern.body(&contents)).await?, seq, contents));
        }
        let mut turned_away = false;
        for (number, seq, contents) in row {
            let message = connection.receive(number).await?;
            match message.answer::<Put>().expect("well-formed") {
                Ok(receipt) => {
                    lane.slot.oracle.borrow_mut().acked(&contents, receipt.base_offset);
                    assert_eq!(receipt.record_count, contents.records(), "the answer counts the records");
                    lane.unacked.retain(|(other, _)| *other != seq);
                    let mut summary = self.summary.borrow_mut();
                    summary.acked += 1;
                    summary.duplicates += u64::from(receipt.duplicate);
                }
                Err(refusal) => {
                    let gap = refusal.code == ErrorCode::ProducerGap as u16;
                    if !gap || !turned_away {
                        allow(&owned(refusal), &[ErrorCode::Draining, ErrorCode::ShardOverloaded]);
                    }
                    turned_away = true;
                }
            }
        }
        if turned_away { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// A batch without a stamp: never sent again.
    async fn put_plain(&self, connection: &mut Connection, lane: &Lane) -> io::Result<()> {
        let contents = self.contents();
        lane.slot.oracle.borrow_mut().sends(&contents, None);
        let put = Put { group: lane.slot.group.get(), producer: None, record_count: contents.records() };
        let number = connection.send(&put, &self.pattern.body(&contents)).await?;
        let message = connection.receive(number).await?;
        match message.answer::<Put>().expect("well-formed") {
            Ok(receipt) => {
                lane.slot.oracle.borrow_mut().acked(&contents, receipt.base_offset);
                self.summary.borrow_mut().acked += 1;
            }
            Err(refusal) => allow(&owned(refusal), &[ErrorCode::Draining, ErrorCode::ShardOverloaded]),
        }
        Ok(())
    }

    /// Whether readers have nothing left to wait for.
    fn is_read(&self, slot: &ShardSlot, at: Offset) -> bool {
        self.producers_left.get() == 0 && at >= slot.oracle.borrow().must()
    }

    async fn get(&self, rt: &SimRuntime) {
        for slot in self.stream(rt).await {
            let mut at = Offset(0);
            while !self.is_read(&slot, at) {
                let mut connection = self.connect(rt).await;
                let _ = self.get_on(&mut connection, &slot, &mut at).await;
                rt.sleep(Duration::from_micros(self.draw(5_000))).await;
            }
        }
    }

    async fn get_on(&self, connection: &mut Connection, slot: &ShardSlot, at: &mut Offset) -> io::Result<()> {
        while !self.is_read(slot, *at) && self.draw(40) > 0 {
            let from = if self.draw(4) == 0 { Offset(self.draw(at.0 + 1)) } else { *at };
            let bytes_max = [1, 5_000, 1 << 20][self.draw(3) as usize];
            let get = Get { group: slot.group.get(), from, bytes_max, wait_ms: self.draw(100) as u32 };
            let number = connection.send(&get, &[]).await?;
            let message = connection.receive(number).await?;
            match answer_to_get(&message) {
                Ok(state) => {
                    let next = self.check_body(slot, &message, from);
                    assert_eq!(next, state.next_offset, "an answer says where to go on");
                    *at = (*at).max(next);
                }
                Err(refusal) => {
                    allow(&refusal, &[ErrorCode::Draining]);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
        }
        Ok(())
    }

    /// Checks the frames in a body that were asked for from `from` on; gives the offset after them.
    fn check_body(&self, slot: &ShardSlot, message: &Message, from: Offset) -> Offset {
        let mut next = from;
        let mut is_first = true;
        let mut rest: &[u8] = &message.body;
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).expect("a reader gets whole, intact frames");
            rest = after;
            assert_eq!(frame.header.group_id, slot.group.get(), "frames of the shard that was asked for");
            let base = frame.header.base_offset;
            let follows = if is_first { base <= from && from < frame.header.end_offset() } else { base == next };
            assert!(follows, "a frame with offset {base} where {next} was due");
            let mut offset = base;
            for record in Records::new(frame.body) {
                let record = record.expect("records were checked when they were put");
                slot.oracle.borrow_mut().saw(&self.pattern, offset, record.key, record.data);
                offset = offset.plus(1);
                self.summary.borrow_mut().records_read += 1;
            }
            next = frame.header.end_offset();
            is_first = false;
        }
        next
    }

    async fn subscribe(&self, rt: &SimRuntime) {
        let slots = self.stream(rt).await;
        let mut at = vec![Offset(0); slots.len()];
        while slots.iter().zip(&at).any(|(slot, at)| !self.is_read(slot, *at)) {
            let mut connection = self.connect(rt).await;
            for (slot, at) in slots.iter().zip(&mut at) {
                if !self.is_read(slot, *at) {
                    let _ = self.subscribe_on(rt, &mut connection, slot, at).await;
                }
            }
            rt.sleep(Duration::from_micros(self.draw(5_000))).await;
        }
    }

    async fn subscribe_on(
        &self,
        rt: &SimRuntime,
        connection: &mut Connection,
        slot: &ShardSlot,
        at: &mut Offset,
    ) -> io::Result<()> {
        let credit = 1 + self.draw(200_000) as u32;
        let number = connection.send(&Subscribe { group: slot.group.get(), from: *at, credit }, &[]).await?;
        let message = connection.receive(number).await?;
        if let Err(refusal) = message.answer::<Subscribe>().expect("well-formed") {
            allow(&owned(refusal), &[ErrorCode::Draining]);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        while !self.is_read(slot, *at) && self.draw(60) > 0 {
            let pushed = async { Some(connection.receive(number).await) };
            let quiet = async {
                rt.sleep(Duration::from_millis(200)).await;
                None
            };
            let Some(message) = futures_lite::future::or(pushed, quiet).await else { return Ok(()) };
            let message = message?;
            match message.head.kind {
                Kind::Push => {
                    let state = ReadState::decode(&message.args).expect("well-formed");
                    *at = self.check_body(slot, &message, *at);
                    assert_eq!(*at, state.next_offset, "a push says where it ends");
                    self.summary.borrow_mut().pushes += 1;
                    connection.grant(number, message.body.len() as u32).await?;
                }
                Kind::LastPush => {
                    let end = SubscriptionEnd::decode(&message.args).expect("well-formed");
                    allow(&owned(end.error.expect("nothing else ends it")), &[ErrorCode::Draining]);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                kind => panic!("{kind:?} on a subscription"),
            }
        }
        Ok(())
    }

    // ---- the catalogue

    async fn administer(&self, rt: &SimRuntime) {
        let mut streams: BTreeMap<&str, Presence> = PASSING.iter().map(|name| (*name, Presence::Gone)).collect();
        for _ in 0..self.plan.puts / 4 {
            let mut connection = self.connect(rt).await;
            let _ = self.administer_on(&mut connection, &mut streams).await;
            rt.sleep(Duration::from_micros(self.draw(20_000))).await;
        }
    }

    async fn administer_on(
        &self,
        connection: &mut Connection,
        streams: &mut BTreeMap<&str, Presence>,
    ) -> io::Result<()> {
        while self.draw(5) > 0 {
            let name = PASSING[self.draw(PASSING.len() as u64) as usize];
            let before = streams[name];
            let after = match self.draw(3) {
                0 => {
                    streams.insert(name, Presence::Unknown);
                    let create =
                        CreateStream { name, shards: 1 + self.draw(5) as u32, settings: SettingsChange::default() };
                    let number = connection.send(&create, &[]).await?;
                    let message = connection.receive(number).await?;
                    let refusal = message.answer::<CreateStream<'_>>().expect("well-formed").err().map(owned);
                    settle(before, refusal, ErrorCode::StreamExists, Presence::Gone, Presence::There)
                }
                1 => {
                    streams.insert(name, Presence::Unknown);
                    let number = connection.send(&DeleteStream { name }, &[]).await?;
                    let message = connection.receive(number).await?;
                    let refusal = message.answer::<DeleteStream<'_>>().expect("well-formed").err().map(owned);
                    settle(before, refusal, ErrorCode::StreamNotFound, Presence::There, Presence::Gone)
                }
                _ => {
                    self.list(connection, streams).await?;
                    continue;
                }
            };
            self.summary.borrow_mut().catalogue_changes += 1;
            streams.insert(name, after);
        }
        Ok(())
    }

    async fn list(&self, connection: &mut Connection, streams: &BTreeMap<&str, Presence>) -> io::Result<()> {
        let number = connection.send(&ListStreams { after: "", limit: 100 }, &[]).await?;
        let message = connection.receive(number).await?;
        let Ok(list) = message.answer::<ListStreams<'_>>().expect("well-formed") else { return Ok(()) };
        for (name, presence) in streams {
            let listed = list.streams.iter().find(|stream| stream.name == *name);
            match presence {
                Presence::Unknown => {}
                Presence::Gone => assert_eq!(listed, None, "stream {name} was deleted"),
                Presence::There => {
                    let active = listed.is_some_and(|stream| stream.status == StreamStatus::Active);
                    assert!(active, "stream {name} was created; it is listed as {listed:?}");
                }
            }
        }
        Ok(())
    }
}

/// A producer's batches for one shard.
struct Lane {
    slot: Rc<ShardSlot>,
    id: ProducerId,
    next: u32,
    unacked: VecDeque<(u32, Contents)>,
}

/// What is known after a change was answered: it leads to `result`, and `needs` the stream to be there, or not.
fn settle(
    before: Presence,
    refusal: Option<Refusal>,
    not_possible: ErrorCode,
    needs: Presence,
    result: Presence,
) -> Presence {
    let Some(refusal) = refusal else {
        assert!(
            before == needs || before == Presence::Unknown,
            "it was {before:?}, and a change to {result:?} succeeded"
        );
        return result;
    };
    if refusal.code == not_possible as u16 {
        assert_ne!(before, needs, "{refusal:?}");
        // An unanswered change may still be under way.
        return before;
    }
    if before == Presence::Unknown {
        allow(&refusal, &[ErrorCode::Draining, ErrorCode::StreamNotActive]);
    } else {
        allow(&refusal, &[ErrorCode::Draining]);
    }
    Presence::Unknown
}

/// A refusal that is not one of `codes` breaks a promise.
fn allow(refusal: &Refusal, codes: &[ErrorCode]) {
    assert!(codes.iter().any(|code| *code as u16 == refusal.code), "the node refused: {refusal:?}");
}

fn answer_to_get(message: &Message) -> Result<ReadState, Refusal> {
    message.answer::<Get>().expect("well-formed").map_err(owned)
}
