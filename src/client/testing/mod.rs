//! A node made of a vector per shard, behind the simulator's network: answers as the protocol says, and misbehaves where
//! it is told to. The verdicts on producers are the real ones.

mod admin;
mod server;
mod values;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::client::Metadata;
use crate::client::{Client, ClientOptions, Record};
use crate::format::frame::{FrameHeader, HEADER_BYTES, Kind};
use crate::format::record;
use crate::protocol::messages::{
    CapacityMode, Distribution, Limits, Put, PutAnswer, ShardDescription, ShardState, StreamLimits, StreamSettings,
};
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::runtime::Reactor;
use crate::runtime::local::Notify;
use crate::shard::producers::{Producers, Verdict};
use crate::sim::{HostId, Sim, SimOptions, SimRuntime};
use crate::types::{
    Chain, Durability, FrameIndex, GroupId, HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, Term, WallUs,
    WorkerId,
};

pub(super) const STREAM: &str = "orders";
pub(super) const PORT: u16 = 7_000;

/// What the node does wrong, in percent of puts or answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Puts refused with an error that passes.
    pub(super) refuse: u64,
    /// Puts stored, and the connection closed instead of an answer.
    pub(super) lose: u64,
    /// Puts stored, and answered with an unknown outcome.
    pub(super) unknown: u64,
    /// Answers that come late, after later ones.
    pub(super) reorder: u64,
    /// Frames handed out with a bit flipped.
    pub(super) damage: u64,
}

/// What a node keeps when its process dies.
pub(super) struct Store {
    pub(super) shards: RefCell<Vec<FakeShard>>,
    pub(super) faults: Cell<Faults>,
    pub(super) changed: Notify,
    /// The next puts are answered with these, first one first.
    pub(super) script: RefCell<Vec<ErrorAnswer<'static>>>,
    pub(super) limits: Cell<Limits>,
    /// Whether the workers' own ports are told and listened on.
    pub(super) direct: Cell<bool>,
    pub(super) token: RefCell<Vec<u8>>,
    pub(super) page: Cell<usize>,
    pub(super) deleted: Cell<bool>,
    /// Most bytes that were pushed and not given back as credit.
    pub(super) pushed_ahead_max: Cell<i64>,
    /// Requests seen, by worker.
    pub(super) puts_at: RefCell<Vec<(WorkerId, GroupId)>>,
    pub(super) catalogue_calls: Cell<u32>,
    /// A catalogue change is carried out, and the connection closed instead of an answer.
    pub(super) lose_change: Cell<bool>,
    /// Puts are taken and never answered.
    pub(super) silent: Cell<bool>,
    /// Requests to the store, and others of the catalogue that came with version 2, are neither taken nor answered.
    pub(super) mute: Cell<bool>,
    /// Version of the catalogue.
    pub(super) version: Cell<u64>,
    pub(super) settings: Cell<StreamSettings>,
    pub(super) scaling: Cell<Option<u32>>,
    pub(super) metadata: RefCell<Metadata>,
    pub(super) consumers: RefCell<Vec<(u64, String)>>,
    /// By consumer and shard: number of the newest subscription.
    pub(super) pipes: RefCell<BTreeMap<(u64, GroupId), u64>>,
    pub(super) values: RefCell<values::Values>,
    /// Position requests seen.
    pub(super) positions: Cell<u32>,
    /// The next description is this one, of that version: the worker that answers is behind.
    pub(super) described_late: RefCell<Option<(u64, Vec<ShardDescription>)>>,
    /// Descriptions asked for, and the shards listed in them.
    pub(super) described: Cell<(u64, u64)>,
}

pub(super) struct FakeShard {
    pub(super) description: ShardDescription,
    pub(super) producers: Producers,
    /// The epochs that producers had last, and those that the shard has forgotten since.
    epochs: BTreeMap<ProducerId, u32>,
    forgotten: BTreeMap<ProducerId, u32>,
    pub(super) frames: Vec<(Offset, Offset, Bytes)>,
    pub(super) horizon: Offset,
    /// Records from here up to the other offset are lost.
    pub(super) lost: Option<(Offset, Offset)>,
}

impl FakeShard {
    fn new(number: u32, hash_start: u128, hash_end: u128) -> Self {
        let description = ShardDescription {
            number: ShardNumber(number),
            group: GroupId(100 + u64::from(number)),
            hash_start: HashKey(hash_start),
            hash_end: HashKey(hash_end),
            worker: WorkerId((number % 2) as u16),
            state: ShardState::Open,
            parent: None,
            adjacent_parent: None,
            created: WallUs(0),
            closed: None,
        };
        Self {
            description,
            producers: Producers::new(),
            epochs: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            frames: Vec::new(),
            horizon: Offset(0),
            lost: None,
        }
    }

    pub(super) fn end(&self) -> Offset {
        self.frames.last().map_or(Offset(0), |(_, end, _)| *end)
    }

    fn put(&mut self, put: &Put, body: &[u8], arrival: WallUs) -> Result<PutAnswer, ErrorAnswer<'static>> {
        let answer = |base_offset, record_count, duplicate| PutAnswer {
            base_offset,
            record_count,
            arrival,
            durability: Durability::Fsync,
            duplicate,
        };
        let error = ErrorAnswer::new;
        if let Some(stamp) = put.producer {
            if self.forgotten.get(&stamp.id).is_some_and(|epoch| stamp.epoch <= *epoch) {
                return Err(error(ErrorCode::ProducerUnknown));
            }
            self.epochs.insert(stamp.id, stamp.epoch);
            match self.producers.check(stamp, arrival) {
                Verdict::Fresh => {}
                Verdict::Duplicate { base_offset, record_count } => return Ok(answer(base_offset, record_count, true)),
                Verdict::DuplicateForgotten => return Err(error(ErrorCode::DuplicateForgotten)),
                Verdict::Gap { expected } => return Err(error(ErrorCode::ProducerGap).details(expected.into(), 0)),
                Verdict::Fenced { current_epoch } => {
                    return Err(error(ErrorCode::ProducerFenced).details(current_epoch.into(), 0));
                }
                Verdict::UnknownProducer | Verdict::NumbersUsedUp => return Err(error(ErrorCode::ProducerUnknown)),
                Verdict::Full => return Err(error(ErrorCode::ShardOverloaded)),
            }
        }
        if self.description.state != ShardState::Open {
            return Err(error(ErrorCode::ShardClosed));
        }
        let base = self.end();
        self.append(body, put.record_count, put.producer, arrival);
        if let Some(stamp) = put.producer {
            self.producers.note(stamp, base, put.record_count, arrival);
        }
        Ok(answer(base, put.record_count, false))
    }

    pub(super) fn append(&mut self, body: &[u8], records: u32, producer: Option<ProducerStamp>, arrival: WallUs) {
        let base = self.end();
        let header = FrameHeader {
            commit_hint: FrameIndex(0),
            durable_hint: FrameIndex(0),
            kind: Kind::Data,
            flags: 0,
            body_len: body.len() as u32,
            body_crc: crc32fast::hash(body),
            record_count: records,
            group_id: self.description.group,
            term: Term(1),
            index: FrameIndex(self.frames.len() as u64),
            base_offset: base,
            arrival_us: arrival,
            chain: Chain(0),
            producer,
            log_bytes: 0,
        };
        let mut frame = vec![0; HEADER_BYTES];
        header.encode(&mut frame);
        frame.extend_from_slice(body);
        self.frames.push((base, base.plus(records.into()), frame.into()));
    }

    /// Forgets its producers. A real shard forgets one only long after its last batch; a forgotten batch 0 would look new.
    pub(super) fn forget_producers(&mut self) {
        (self.producers, self.forgotten) = (Producers::new(), self.epochs.clone());
    }

    /// Every record, in order.
    pub(super) fn records(&self) -> Vec<(String, Vec<u8>)> {
        let bodies = self.frames.iter().map(|(_, _, frame)| &frame[HEADER_BYTES..]);
        let records = bodies.flat_map(record::Records::new).map(Result::unwrap);
        records.map(|record| (record.key.to_owned(), record.data.to_vec())).collect()
    }
}

/// A node and a client's host in one simulation.
pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) node: HostId,
    pub(super) peer: HostId,
    pub(super) store: Rc<Store>,
}

impl World {
    pub(super) fn new(seed: u64, shards: u32) -> Self {
        let sim = Sim::new(seed, SimOptions::default());
        let (node, peer) = (sim.host("node"), sim.host("client"));
        let width = u128::MAX / u128::from(shards);
        let last = |number| if number + 1 == shards { u128::MAX } else { width * u128::from(number + 1) - 1 };
        let make = |number| FakeShard::new(number, width * u128::from(number), last(number));
        let store = Rc::new(Store {
            shards: RefCell::new((0..shards).map(make).collect()),
            faults: Cell::default(),
            changed: Notify::new(),
            script: RefCell::default(),
            limits: Cell::default(),
            direct: Cell::new(true),
            token: RefCell::default(),
            page: Cell::new(1_000),
            deleted: Cell::new(false),
            pushed_ahead_max: Cell::new(0),
            puts_at: RefCell::default(),
            catalogue_calls: Cell::new(0),
            lose_change: Cell::new(false),
            silent: Cell::new(false),
            mute: Cell::new(false),
            version: Cell::new(1),
            settings: Cell::new(settings()),
            scaling: Cell::default(),
            metadata: RefCell::default(),
            consumers: RefCell::default(),
            pipes: RefCell::default(),
            values: RefCell::default(),
            positions: Cell::default(),
            described_late: RefCell::default(),
            described: Cell::default(),
        });
        let world = Self { sim, node, peer, store };
        world.start();
        world
    }

    /// Starts the node's process.
    pub(super) fn start(&self) {
        server::start(&self.sim, self.node, &self.store);
    }

    /// Kills the node's process and starts the next one.
    pub(super) fn restart(&self) {
        self.sim.kill(self.node);
        self.start();
        self.store.values.borrow_mut().restarted(self.sim.runtime(self.node).now());
    }

    pub(super) fn runtime(&self) -> SimRuntime {
        self.sim.runtime(self.peer)
    }

    pub(super) fn addr(&self) -> std::net::SocketAddr {
        (self.sim.ip(self.node), PORT).into()
    }

    pub(super) async fn client(&self) -> Client<SimRuntime> {
        Client::connect(self.runtime(), self.addr(), options()).await.unwrap()
    }

    /// Puts `count` records straight into a shard, a frame per ten of them: `k0`, `k1`, ... with their number as data.
    pub(super) fn fill(&self, shard: usize, count: u64) {
        let mut shards = self.store.shards.borrow_mut();
        let mut number = shards[shard].end().0;
        let end = number + count;
        while number < end {
            let upto = (number + 10).min(end);
            let mut body = Vec::new();
            for n in number..upto {
                record::encode(&format!("k{n}"), n.to_string().as_bytes(), &mut body);
            }
            shards[shard].append(&body, (upto - number) as u32, None, WallUs(1_000_000 + number));
            number = upto;
        }
        drop(shards);
        self.store.changed.notify();
    }

    /// Closes a shard that has no children.
    pub(super) fn close_shard(&self, shard: usize) {
        self.store.finish(&[shard], &[], self.wall());
    }

    /// Closes a shard and divides its range among two new ones.
    pub(super) fn split(&self, shard: usize) {
        let ShardDescription { number, hash_start, hash_end, .. } = self.store.shards.borrow()[shard].description;
        let middle = HashKey(hash_start.0 + (hash_end.0 - hash_start.0) / 2 + 1);
        self.store.split(number, middle, self.wall()).unwrap();
    }

    /// Closes two shards and gives their range to a new one.
    pub(super) fn merge(&self, shard: usize, adjacent: usize) {
        let number = |at: usize| ShardNumber(at as u32);
        self.store.merge(number(shard), number(adjacent), self.wall()).unwrap();
    }

    /// Gives a shard to the other worker.
    pub(super) fn move_shard(&self, shard: usize) {
        let ShardDescription { number, worker, .. } = self.store.shards.borrow()[shard].description;
        self.store.move_to(number, WorkerId(1 - worker.0)).unwrap();
    }

    fn wall(&self) -> WallUs {
        self.sim.runtime(self.node).wall()
    }
}

fn settings() -> StreamSettings {
    StreamSettings {
        retention_hours: 24,
        record_bytes_max: 64 << 10,
        durability: Durability::Fsync,
        limits: StreamLimits::None,
        mode: CapacityMode::Provisioned,
        distribution: Distribution::PartitionKey,
        warm_throughput_mib: 0,
        get_records_wait_ms: 0,
    }
}

pub(super) fn options() -> ClientOptions {
    ClientOptions {
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(3),
        retry_for: Duration::from_secs(10),
        ..ClientOptions::default()
    }
}

/// Checks that a record is the one [`World::fill`] put at its offset.
pub(super) fn check_filled(record: &Record, offset: u64) {
    assert_eq!(record.offset, Offset(offset));
    assert_eq!((record.key(), record.data()), (&*format!("k{offset}"), offset.to_string().as_bytes()));
}
