//! SIGKILL of the real binary under load: what was acknowledged is there afterwards, once, in order, byte for byte, and
//! nothing that a reader saw disappears.
//!
//! A thread kills the node again and again, at random moments measured in acknowledgements and microseconds, sometimes
//! while it still recovers, and starts it anew. Producers and a reader by push ride over that with the ordinary client.
//! The seed of the moments is printed; it does not replay a run, since the machine decides the rest.
//!
//! Not checked here: loss of power. A killed process leaves its writes to the kernel; the simulator drops them.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Ended, Node, PATIENCE, Process, free_port, run, scratch, serve};
use futures_lite::future::{or, zip};
use millstream::client::{
    Client, ClientOptions, ConsumerOptions, Merged, Mode, ProducerOptions, Record, SettingsChange, Start, Stop,
};
use millstream::runtime::Reactor;
use millstream::runtime::local::{Notify, join_all};
use millstream::runtime::tokio::{TokioReactor, block_on};

const STREAM: &str = "events";
const SHARDS: u32 = 4;
const PRODUCERS: usize = 3;
const KEYS_PER_PRODUCER: u64 = 8;
/// Records of a producer that are on their way together.
const WINDOW: usize = 64;
/// Kills, unless MILLSTREAM_KILLS says otherwise.
const KILLS: u32 = 40;

/// Where a record lies: shard and offset.
type Place = (u32, u64);

/// A record's name: its key and its number among those of this key. Its data follows from it.
type Name = (String, u64);

/// Small and fast, and the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// The data of a record: its name, then bytes that follow from it. Mostly small, sometimes larger than a block.
fn data_of((key, number): &Name) -> Vec<u8> {
    let seed = key.bytes().fold(number + 1, |sum, byte| sum.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(byte));
    let mut dice = Dice(seed | 1);
    let length = if dice.roll(64) == 0 { dice.roll(40_000) } else { dice.roll(600) };
    let mut data = format!("{key} {number} ").into_bytes();
    data.extend((0..length).map(|_| dice.roll(256) as u8));
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

/// What the killer's thread needs, and what it says when it is done.
struct Killer {
    data: PathBuf,
    listen: String,
    kills: u32,
    dice: Dice,
    /// One for each acknowledgement.
    acks: Receiver<()>,
    /// Set once no more kills come.
    done: Arc<AtomicBool>,
}

impl Killer {
    /// Kills and restarts; gives the node that is left running, and what the killed ones said.
    fn run(mut self, mut node: Node) -> (Node, Vec<Ended>) {
        let mut killed = Vec::new();
        for _ in 0..self.kills {
            for _ in 0..self.dice.roll(400) {
                self.acks.recv_timeout(PATIENCE).expect("acknowledgements go on");
            }
            self.pass(Duration::from_micros(self.dice.0 % 20_000));
            killed.push(node.kill());
            if self.dice.roll(4) == 0 {
                // Another one, which mostly comes to die while it recovers.
                let process = Process::start(serve(&self.data, &self.listen, &[]), b"");
                self.pass(Duration::from_micros(self.dice.0 % 300_000));
                killed.push(process.kill());
            }
            node = Node::start(&self.data, &self.listen, &[]);
        }
        self.done.store(true, Ordering::Release);
        (node, killed)
    }

    /// Lets a moment pass in which the load goes on.
    fn pass(&self, moment: Duration) {
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

/// The killer's thread, which is waited for also when the test fails: it ends the node that it has started.
struct Running(Option<JoinHandle<(Node, Vec<Ended>)>>);

impl Running {
    fn join(mut self) -> (Node, Vec<Ended>) {
        self.0.take().expect("taken once").join().expect("every restart succeeds")
    }
}

impl Drop for Running {
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
        // Nobody counts them any more once the last kill is over.
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

/// Runs the load until the killer is done, everything is acknowledged and the reader has seen it.
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

/// All records, by get: `(place, name)` in the order in which they come.
async fn read_all(rt: TokioReactor, addr: SocketAddr) -> Vec<(Place, Name)> {
    let client = Client::connect(rt, addr, ClientOptions::default()).await.expect("the node is there");
    let options = ConsumerOptions { mode: Mode::Get, stop: Stop::AtEnd, ..ConsumerOptions::default() };
    let mut records = client.merged(STREAM, Start::Horizon, options).await.expect("a reader");
    let mut all = Vec::new();
    while let Some(record) = records.next().await {
        let record = record.expect("everything can be read");
        all.push(((record.shard.0, record.offset.0), name_of(&record)));
    }
    all
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

/// Goal: killed at any moment, the node keeps every acknowledged record once, in order and byte for byte, shows no reader
/// what it then loses, and opens again without damage.
#[test]
fn acknowledged_records_survive_sigkill() {
    let kills = std::env::var("MILLSTREAM_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    let seed = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock past 1970").as_nanos() as u64 | 1;
    println!("{kills} kills, seed {seed:#x}");
    let dir = scratch();
    let data = dir.path().join("data");
    let node = Node::start(&data, &format!("127.0.0.1:{}", free_port()), &[]);
    let (addr, listen) = (node.addr, node.addr.to_string());
    let (sender, acks) = channel();
    let done = Arc::new(AtomicBool::new(false));
    let killer =
        Killer { data: data.clone(), listen: listen.clone(), kills, dice: Dice(seed), acks, done: done.clone() };
    let killer = Running(Some(std::thread::spawn(move || killer.run(node))));

    let known = Known::default();
    block_on(async |rt| {
        let limit = async {
            rt.sleep(PATIENCE * 2 + Duration::from_secs(4) * kills).await;
            panic!("the load does not end; seed {seed:#x}");
        };
        or(load(rt, addr, &known, sender, &done), limit).await;
    })
    .expect("a reactor");
    let (node, mut ended) = killer.join();
    ended.push(node.kill());

    // What is there, as the next node reads it from its disk.
    let node = Node::start(&data, &listen, &[]);
    let stored = check_order(block_on(async |rt| read_all(rt, addr).await).expect("a reactor"), "afterwards");
    ended.push(node.stop("TERM"));

    let (acked, placeless) = (known.acked.into_inner(), known.placeless.into_inner());
    let seen = check_order(known.seen.into_inner(), "the reader");
    println!("{} records, {} of them acknowledged without a place", stored.len(), placeless.len());
    assert!(stored.len() >= kills as usize, "there was no load");
    for (place, name) in &acked {
        assert_eq!(stored.get(place), Some(name), "acknowledged at {place:?}, and not there");
    }
    for name in &placeless {
        assert_eq!(stored.values().filter(|stored| *stored == name).count(), 1, "acknowledged {name:?}");
    }
    assert_eq!(stored.len(), acked.len() + placeless.len(), "records that nobody was told of, or twice");
    assert_eq!(seen, stored, "the reader saw something else");
    for Ended { out, err, .. } in &ended {
        assert!(!out.contains("DAMAGED") && !out.contains("FAILED"), "{out}");
        assert!(!err.contains("panicked at"), "{err}");
    }
    let data = data.to_str().expect("a path in UTF-8");
    run(["log", "verify", data]).code(0);
}
