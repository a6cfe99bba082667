//! The sweep: a small scenario runs once to count how often tasks of the node are polled. Then it runs once for each of these
//! polls with the process killed, or the power cut, right after it: at every await that it ever comes to.
//!
//! | scenario | what happens in it |
//! |---|---|
//! | [`Scenario::Node`] | two workers start; a stream is created, put to, split, put to; a value is stored twice; all is read |
//! | [`Scenario::Log`] | one log takes stamped and plain puts of two clients, is read, expires, rolls over |
//!
//! After the crash the node starts again, the clients go on and get done. Then the power fails once more, at rest, and
//! everything is looked at again. Of the node it is checked that
//! - each record that was acknowledged is there once, and the records under one key in the order they were put;
//! - the value that was stored last is the one that is read; the split that succeeded is there;
//! - the node starts each time without finding damage, and everybody gets done.
//!
//! The log is held to [`super::log_oracle`].
//!
//! It does not check: two crashes close together (the other workloads have them), other orders of the same tasks (the seed
//! fixes one), disk errors, and streams, settings and sizes beyond those of the scenario.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::logs;
use super::machine::Machine;
use super::troubles::Troubles;
use crate::client::{
    Client, ClientOptions, ConsumerOptions, Error, Expect, ProducerOptions, SettingsChange, ShardState, Start, Stop,
    StreamStatus,
};
use crate::engine::env::Tuning;
use crate::protocol::ErrorCode;
use crate::runtime::Reactor;
use crate::sim::{DiskFaults, HostId, Sim, SimRuntime};
use crate::types::{Durability, HashKey, ShardNumber};

const STREAM: &str = "orders";
const SPACE: &str = "app";
const KEY: &str = "value";

/// Records that are put before the split, and as many after it.
const RECORDS: u64 = 4;

/// The whole scenario is done in this time, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A whole node with a client.
    Node,
    /// The log of one shard.
    Log,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The process is killed.
    Kill,
    /// The power fails.
    PowerLoss,
}

/// At how many polls the scenario can be ended, with this seed.
#[must_use]
pub fn points(scenario: Scenario, seed: u64) -> u64 {
    run(scenario, seed, None)
}

/// Runs the scenario and ends it right after the `poll`-th poll, counted from 1.
pub fn run_at(scenario: Scenario, seed: u64, how: How, poll: u64) {
    run(scenario, seed, Some((how, poll)));
}

/// Gives the polls until the scenario was done, or ended.
fn run(scenario: Scenario, seed: u64, end: Option<(How, u64)>) -> u64 {
    let mut options = super::options("sweep", seed);
    if let Some((how, poll)) = end {
        options.replay_hint = format!(
            "MILLSTREAM_SIM_SEED={seed} MILLSTREAM_SIM_SWEEP={scenario:?}:{how:?}:{poll} cargo test --test simulation sweep"
        );
    }
    let sim = Sim::new(seed, options);
    match scenario {
        Scenario::Node => run_node(&sim, end),
        Scenario::Log => run_log(&sim, seed, end),
    }
}

fn run_log(sim: &Sim, seed: u64, end: Option<(How, u64)>) -> u64 {
    let plan = logs::Plan {
        logs: 1,
        clients: 2,
        puts: 6,
        unhurried: false,
        durability: Durability::Fsync,
        tuning: Tuning { tail_bytes_max: 64 << 10, ..Tuning::default() },
        faults: DiskFaults::NONE,
        aimed: Vec::new(),
        ..logs::Plan::draw(seed)
    };
    let world = logs::World::new(sim, seed, plan);
    let power = end.is_some_and(|(how, _)| how == How::PowerLoss);
    world.process(end.map(|(_, poll)| poll), power);
    let polls = sim.host_polls(world.host);
    world.process(None, true);
    world.process(None, true);
    polls
}

fn run_node(sim: &Sim, end: Option<(How, u64)>) -> u64 {
    let machine = Machine::new(sim, Tuning { tail_bytes_max: 0, ..Tuning::default() }, Troubles::NONE);
    let (node, client) = (machine.host, sim.host("client"));
    let actor = Rc::new(Actor { machine, sim: sim.clone(), acked: Cell::new(0), stored: RefCell::default() });
    match end {
        Some((How::Kill, poll)) => sim.kill_after_polls(node, poll),
        Some((How::PowerLoss, poll)) => sim.power_loss_after_polls(node, poll),
        None => {}
    }
    let rt = actor.machine.start(2);
    let done = Rc::new(Cell::new(false));
    {
        let (actor, done, rt) = (Rc::clone(&actor), Rc::clone(&done), sim.runtime(client));
        sim.spawn(client, async move {
            actor.act(&rt).await;
            done.set(true);
        });
    }
    let over = sim.run_until(|| done.get() || !rt.is_alive(), PATIENCE);
    assert!(over, "the client does not get done");
    if rt.is_alive() {
        // What the node does when it is left alone: hints, indexes.
        sim.run_until(|| !rt.is_alive(), Duration::from_millis(300));
    }
    let polls = sim.host_polls(node);
    if rt.is_alive() {
        sim.kill(node);
    }
    // As many workers as before, or fewer: shards find another owner.
    let rt = actor.machine.start_and_wait(1 + u16::try_from(polls % 2).expect("one or two"));
    assert!(sim.run_until(|| done.get(), PATIENCE), "the client does not get done after the crash");
    actor.audit();
    assert!(rt.is_alive(), "nothing crashes");
    sim.power_loss(node);
    actor.machine.start_and_wait(2);
    actor.audit();
    polls
}

struct Actor {
    machine: Machine,
    sim: Sim,
    /// Records below this number were acknowledged.
    acked: Cell<u64>,
    /// The value that was stored last.
    stored: RefCell<String>,
}

/// Tries until it succeeds; an error has to pass by itself.
async fn insist<T, F: Future<Output = Result<T, Error>>>(rt: &SimRuntime, mut attempt: impl FnMut() -> F) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let passes = error.is_retryable() || error.is_outcome_unknown();
                assert!(passes, "the node refused: {error}, {error:?}");
                rt.sleep(Duration::from_millis(3)).await;
            }
        }
    }
}

impl Actor {
    async fn connect(&self, rt: &SimRuntime) -> Client<SimRuntime> {
        loop {
            match Client::connect(rt.clone(), self.machine.addr(), ClientOptions::default()).await {
                Ok(client) => return client,
                Err(_) => rt.sleep(Duration::from_millis(3)).await,
            }
        }
    }

    async fn act(&self, rt: &SimRuntime) {
        let client = self.connect(rt).await;
        self.create(&client, rt).await;
        self.put(&client, rt).await;
        self.store(&client, rt, "first").await;
        self.split(&client, rt).await;
        self.put(&client, rt).await;
        self.store(&client, rt, "second").await;
        self.read(&client, rt).await;
    }

    async fn create(&self, client: &Client<SimRuntime>, rt: &SimRuntime) {
        insist(rt, async || match client.create_stream(STREAM, 1, SettingsChange::default()).await {
            Err(error) if error.code() == Some(ErrorCode::StreamExists) => Ok(()),
            answer => answer.map(|_| ()),
        })
        .await;
        while insist(rt, || client.describe_stream(STREAM)).await.status != StreamStatus::Active {
            rt.sleep(Duration::from_millis(3)).await;
        }
    }

    async fn put(&self, client: &Client<SimRuntime>, rt: &SimRuntime) {
        let producer = insist(rt, || client.producer(STREAM, ProducerOptions::default())).await;
        for _ in 0..RECORDS {
            let number = self.acked.get();
            let put = producer.put(&format!("key-{}", number % 2), number.to_string().as_bytes()).await;
            put.unwrap_or_else(|error| panic!("record {number} was not delivered: {error}"));
            self.acked.set(number + 1);
        }
        producer.close().await.expect("every record was delivered");
    }

    async fn store(&self, client: &Client<SimRuntime>, rt: &SimRuntime, value: &str) {
        insist(rt, || client.store_put(SPACE, KEY, value.as_bytes(), Expect::Any, None)).await;
        value.clone_into(&mut self.stored.borrow_mut());
    }

    async fn split(&self, client: &Client<SimRuntime>, rt: &SimRuntime) {
        let first = ShardNumber(0);
        loop {
            let stream = insist(rt, || client.describe_stream(STREAM)).await;
            let is_closed = stream.shards.shard(first).is_some_and(|shard| shard.state == ShardState::Closed);
            if is_closed && stream.status == StreamStatus::Active {
                return;
            }
            // Of one that is under way already nothing new can be learnt here.
            let _ = client.split_shard(STREAM, first, HashKey(1 << 127)).await;
            rt.sleep(Duration::from_millis(3)).await;
        }
    }

    /// Reads everything and checks it.
    async fn read(&self, client: &Client<SimRuntime>, rt: &SimRuntime) {
        let options = ConsumerOptions { stop: Stop::AtEnd, ..ConsumerOptions::default() };
        let mut merged = insist(rt, || client.merged(STREAM, Start::Horizon, options.clone())).await;
        let (mut numbers, mut last) = (Vec::new(), [None; 2]);
        while let Some(record) = merged.next().await {
            let record = record.unwrap_or_else(|error| panic!("a record is not read: {error}"));
            let text = std::str::from_utf8(record.data()).expect("a number");
            let number: u64 = text.parse().expect("a number");
            assert_eq!(record.key(), format!("key-{}", number % 2), "the key of record {number}");
            let before = last[(number % 2) as usize].replace(number);
            assert!(before < Some(number), "record {number} came after {before:?}");
            numbers.push(number);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..self.acked.get()).collect::<Vec<_>>(), "what was acknowledged is there, once");
        let item = insist(rt, || client.store_get(SPACE, KEY)).await.expect("it was stored");
        assert_eq!(&*item.value, self.stored.borrow().as_bytes(), "the value that was stored last");
    }

    fn audit(&self) {
        let host: HostId = self.sim.host("auditor");
        let rt = self.sim.runtime(host);
        self.sim.block_on(async {
            let client = self.connect(&rt).await;
            self.read(&client, &rt).await;
            let stream = insist(&rt, || client.describe_stream(STREAM)).await;
            assert_eq!(stream.shards.open().len(), 2, "the split that succeeded is there");
        });
    }
}
