//! A load that rides over the deaths of its node, and the proof that nothing of it was lost.
//!
//! Producers put records whose bytes follow from their names; a reader by push watches. Both use the ordinary client, which
//! waits while the node is away. A thread strikes the node down again and again, at random moments measured in
//! acknowledgements and microseconds, and brings it up anew. The seed of the moments does not replay a run, since the
//! machine decides the rest.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_lite::future::{or, zip};
use millstream::client::{
    Client, ClientOptions, ConsumerOptions, Merged, Mode, ProducerOptions, Record, SettingsChange, Start, Stop,
};
use millstream::runtime::Reactor;
use millstream::runtime::local::{Notify, join_all};
use millstream::runtime::tokio::{TokioReactor, block_on};
use millstream_disk::Dice;

use super::{Ended, Node, PATIENCE};

/// The stream that the load uses.
pub const STREAM: &str = "events";
const SHARDS: u32 = 4;
const PRODUCERS: usize = 3;
const KEYS_PER_PRODUCER: u64 = 8;
/// Records of a producer that are on their way together.
const WINDOW: usize = 64;

/// Where a record lies: shard and offset.
pub type Place = (u32, u64);

/// A record's name: its key and its number among those of this key. Its data follows from it.
pub type Name = (String, u64);

/// The data of a record: its name, then bytes that follow from it. Mostly small, sometimes larger than a block.
pub fn data_of((key, number): &Name) -> Vec<u8> {
    let mut dice = Dice::new(key.bytes().fold(*number, |sum, byte| sum.wrapping_mul(257) + u64::from(byte)));
    let length = if dice.roll(64) == 0 { dice.roll(40_000) } else { dice.roll(600) };
    let mut data = format!("{key} {number} ").into_bytes();
    data.extend((0..length).map(|_| dice.next() as u8));
    data
}

/// The name of a record that was read, whose bytes must be those that were put.
fn name_of(record: &Record) -> Name {
    let mut words = record.data().split(|byte| *byte == b' ').skip(1);
    let number = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    let name = (record.key().to_owned(), number.expect("a record with its number"));
    assert_eq!(record.data(), data_of(&name), "{name:?} at {} {} has other bytes", record.shard, record.offset);
    name
}

/// A seed that no run had before.
pub fn fresh_seed() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock past 1970").as_nanos() as u64
}

/// When to strike.
pub struct Moments {
    /// Also for what else the striker has to choose.
    pub dice: Dice,
    /// One for each acknowledgement.
    acks: Receiver<()>,
}

impl Moments {
    /// Lets some acknowledgements go by, and then a part of the next.
    fn await_strike(&mut self) {
        for _ in 0..self.dice.roll(400) {
            self.acks.recv_timeout(PATIENCE).expect("acknowledgements go on");
        }
        let pause_us = self.dice.roll(20_000);
        self.pass(Duration::from_micros(pause_us));
    }

    /// Lets a moment pass in which the load goes on.
    pub fn pass(&self, moment: Duration) {
        let until = Instant::now() + moment;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.acks.recv_timeout(left) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("the load has ended"),
            }
        }
    }
}

/// Strikes the node down and gives the one that took its place. Runs on a thread of its own.
pub trait Striker: Send + 'static {
    /// Does it once. What the node that died had said is added to `ended`.
    fn strike(&mut self, node: Node, moments: &mut Moments, ended: &mut Vec<Ended>) -> Node;
}

/// The striker's thread, which is waited for also when the test fails: it ends the node that it has started.
struct Running<S>(Option<JoinHandle<(S, Node, Vec<Ended>)>>);

impl<S> Running<S> {
    fn join(mut self) -> (S, Node, Vec<Ended>) {
        self.0.take().expect("taken once").join().expect("every restart succeeds")
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        // Its own failure has been printed.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

/// What producers and reader know.
#[derive(Default)]
struct Known {
    /// By place what was acknowledged there.
    acked: RefCell<BTreeMap<Place, Name>>,
    /// Acknowledged, and the node has forgotten where it is.
    placeless: RefCell<Vec<Name>>,
    /// What the reader saw, in its order.
    seen: RefCell<Vec<(Place, Name)>>,
    /// Records put, once all producers are done.
    total: Cell<Option<usize>>,
    ended: Notify,
}

async fn produce(client: Client<TokioReactor>, number: usize, known: &Known, acks: Sender<()>, done: &AtomicBool) {
    let producer = client.producer(STREAM, ProducerOptions::default()).await.expect("a producer");
    let mut under_way = VecDeque::new();
    let mut count = 0;
    while !done.load(Ordering::Acquire) || !under_way.is_empty() {
        if !done.load(Ordering::Acquire) && under_way.len() < WINDOW {
            let name: Name = (format!("p{number}-{}", count % KEYS_PER_PRODUCER), count / KEYS_PER_PRODUCER);
            let ticket = producer.send(&name.0, &data_of(&name)).await.expect("a put is taken");
            under_way.push_back((ticket, name));
            count += 1;
            continue;
        }
        let (ticket, name) = under_way.pop_front().expect("checked above");
        let ack = ticket.wait().await.unwrap_or_else(|error| panic!("{name:?} was not stored: {error}"));
        match ack.offset {
            Some(offset) => {
                let before = known.acked.borrow_mut().insert((ack.shard.0, offset.0), name);
                assert_eq!(before, None, "two records were acknowledged at {} {offset}", ack.shard);
            }
            None => known.placeless.borrow_mut().push(name),
        }
        // Nobody counts them any more once the last strike is over.
        let _ = acks.send(());
    }
    producer.close().await.expect("nothing failed");
}

/// Reads by push from the first record to the last one that was put.
async fn watch(mut records: Merged<TokioReactor>, known: &Known) {
    let all_seen = || known.total.get() == Some(known.seen.borrow().len());
    while !all_seen() {
        let next = async { Some(records.next().await) };
        let ended = async {
            known.ended.until(|| all_seen().then_some(())).await;
            None
        };
        let Some(record) = or(next, ended).await else { break };
        let record = record.expect("nobody closed the shards").expect("reading goes on");
        known.seen.borrow_mut().push(((record.shard.0, record.offset.0), name_of(&record)));
    }
}

/// Runs the load until the striker is done, everything is acknowledged and the reader has seen it.
async fn load(rt: TokioReactor, addr: SocketAddr, known: &Known, acks: Sender<()>, done: &AtomicBool) {
    let connect = async || Client::connect(rt, addr, ClientOptions::default()).await.expect("the node is there");
    let client = connect().await;
    client.create_stream(STREAM, SHARDS, SettingsChange::default()).await.expect("a new stream");
    let options = ConsumerOptions { mode: Mode::Push, stop: Stop::Never, ..ConsumerOptions::default() };
    let reader = client.merged(STREAM, Start::Horizon, options).await.expect("a reader");
    let mut clients = Vec::new();
    for _ in 0..PRODUCERS {
        clients.push(connect().await);
    }
    let producing = async {
        let all = clients.into_iter().enumerate().map(|(at, client)| produce(client, at, known, acks.clone(), done));
        join_all(all).await;
        known.total.set(Some(known.acked.borrow().len() + known.placeless.borrow().len()));
        known.ended.notify();
    };
    zip(producing, watch(reader, known)).await;
}

/// What a load left behind.
pub struct Ridden<S> {
    /// What struck.
    pub striker: S,
    /// What the struck ones said.
    pub ended: Vec<Ended>,
    acked: BTreeMap<Place, Name>,
    placeless: Vec<Name>,
    seen: Vec<(Place, Name)>,
}

/// Runs a load on `node` and has it struck `strikes` times; each may take `each` on a busy machine. Gives the node that the
/// last strike has left running.
pub fn ride<S: Striker>(node: Node, strikes: u32, each: Duration, seed: u64, mut striker: S) -> (Node, Ridden<S>) {
    let (addr, mut node) = (node.addr, node);
    let (sender, acks) = channel();
    let done = Arc::new(AtomicBool::new(false));
    let is_done = Arc::clone(&done);
    let running = Running(Some(std::thread::spawn(move || {
        let (mut moments, mut ended) = (Moments { dice: Dice::new(seed), acks }, Vec::new());
        for _ in 0..strikes {
            moments.await_strike();
            node = striker.strike(node, &mut moments, &mut ended);
        }
        is_done.store(true, Ordering::Release);
        (striker, node, ended)
    })));
    let known = Known::default();
    block_on(async |rt| {
        let limit = async {
            rt.sleep(PATIENCE * 2 + each * strikes).await;
            panic!("the load does not end; seed {seed:#x}");
        };
        or(load(rt, addr, &known, sender, &done), limit).await;
    })
    .expect("a reactor");
    let (striker, node, ended) = running.join();
    let Known { acked, placeless, seen, .. } = known;
    let (acked, placeless, seen) = (acked.into_inner(), placeless.into_inner(), seen.into_inner());
    (node, Ridden { striker, ended, acked, placeless, seen })
}

impl<S> Ridden<S> {
    /// Asserts that the node at `addr`, started on what is left, has everything that was acknowledged once, in order, byte for
    /// byte, and nothing else, and that the reader saw exactly that. Gives the number of records.
    pub fn check(&mut self, addr: SocketAddr) -> usize {
        let stored = check_order(read_all(addr), "afterwards");
        let seen = check_order(std::mem::take(&mut self.seen), "the reader");
        for (place, name) in &self.acked {
            assert_eq!(stored.get(place), Some(name), "acknowledged at {place:?}, and not there");
        }
        for name in &self.placeless {
            assert_eq!(stored.values().filter(|stored| *stored == name).count(), 1, "acknowledged {name:?}");
        }
        let told = self.acked.len() + self.placeless.len();
        assert_eq!(stored.len(), told, "records that nobody was told of, or twice");
        assert_eq!(seen, stored, "the reader saw something else");
        println!("{} records, {} of them acknowledged without a place", stored.len(), self.placeless.len());
        stored.len()
    }
}

/// All records, by get: `(place, name)` in the order in which they come.
pub fn read_all(addr: SocketAddr) -> Vec<(Place, Name)> {
    let read = async |rt| {
        let client = Client::connect(rt, addr, ClientOptions::default()).await.expect("the node is there");
        let options = ConsumerOptions { mode: Mode::Get, stop: Stop::AtEnd, ..ConsumerOptions::default() };
        let mut records = client.merged(STREAM, Start::Horizon, options).await.expect("a reader");
        let mut all = Vec::new();
        while let Some(record) = records.next().await {
            let record = record.expect("everything can be read");
            all.push(((record.shard.0, record.offset.0), name_of(&record)));
        }
        all
    };
    block_on(read).expect("a reactor")
}

/// Offsets of each shard come one after the other from 0, numbers of each key too; gives what lies where.
fn check_order(records: Vec<(Place, Name)>, who: &str) -> BTreeMap<Place, Name> {
    let (mut offsets, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for ((shard, offset), (key, number)) in &records {
        let next = offsets.entry(*shard).or_insert(0);
        assert_eq!(offset, next, "{who}: shard {shard} goes on at another offset");
        *next += 1;
        let next = numbers.entry(key.clone()).or_insert(0);
        assert_eq!(number, next, "{who}: {key} goes on with another record, at shard {shard} offset {offset}");
        *next += 1;
    }
    records.into_iter().collect()
}
