//! What the null server knows: streams, and per shard the newest frames.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use millstream::catalog::HashRange;
use millstream::format::frame::{FrameHeader, HEADER_BYTES, Kind};
use millstream::format::record::{self, Records};
use millstream::protocol::messages::{
    CapacityMode, Distribution, ShardDescription, ShardState, StreamLimits, StreamSettings,
};
use millstream::runtime::local::Notify;
use millstream::types::{
    Chain, Durability, FrameIndex, GroupId, Offset, ShardNumber, StreamId, Term, WallUs, WorkerId,
};

use super::{Options, Tamper};

pub(super) struct Store {
    pub(super) options: Options,
    streams: RefCell<BTreeMap<String, Rc<Stream>>>,
    shards: RefCell<BTreeMap<GroupId, Rc<Shard>>>,
    groups: Cell<u64>,
    /// Puts answered, over all shards.
    pub(super) puts: Cell<u64>,
}

pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) settings: StreamSettings,
    pub(super) shards: Vec<ShardDescription>,
}

/// A shard: its end, and the newest of its frames, headers included.
#[derive(Default)]
pub(super) struct Shard {
    group: GroupId,
    end: Cell<u64>,
    /// Records received so far: the count that tampering goes by.
    seen: Cell<u64>,
    frames: RefCell<VecDeque<Kept>>,
    bytes: Cell<usize>,
    pub(super) changed: Notify,
}

struct Kept {
    base: u64,
    bytes: Bytes,
}

impl Store {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            streams: RefCell::default(),
            shards: RefCell::default(),
            groups: Cell::new(100),
            puts: Cell::new(0),
        }
    }

    pub(super) fn create(&self, name: &str, count: u32, settings: StreamSettings) -> Option<StreamId> {
        if self.streams.borrow().contains_key(name) {
            return None;
        }
        let id = StreamId(self.groups.get());
        let describe = |(number, range): (usize, HashRange)| {
            let group = GroupId(self.groups.get());
            self.groups.set(group.0 + 1);
            self.shards.borrow_mut().insert(group, Rc::new(Shard { group, ..Shard::default() }));
            ShardDescription {
                number: ShardNumber(number as u32),
                group,
                hash_start: range.start,
                hash_end: range.end,
                worker: WorkerId(0),
                state: ShardState::Open,
                parent: None,
                adjacent_parent: None,
                created: wall(),
                closed: None,
            }
        };
        let shards = HashRange::uniform(count.max(1)).enumerate().map(describe).collect();
        self.streams.borrow_mut().insert(name.to_owned(), Rc::new(Stream { id, settings, shards }));
        Some(id)
    }

    pub(super) fn delete(&self, name: &str) -> bool {
        let Some(stream) = self.streams.borrow_mut().remove(name) else { return false };
        let mut shards = self.shards.borrow_mut();
        stream.shards.iter().for_each(|shard| drop(shards.remove(&shard.group)));
        true
    }

    pub(super) fn stream(&self, name: &str) -> Option<Rc<Stream>> {
        self.streams.borrow().get(name).cloned()
    }

    pub(super) fn names(&self) -> Vec<(String, u32)> {
        self.streams.borrow().iter().map(|(name, stream)| (name.clone(), stream.shards.len() as u32)).collect()
    }

    /// Lets everybody who waits for records look again.
    pub(super) fn wake_readers(&self) {
        self.shards.borrow().values().for_each(|shard| shard.changed.notify());
    }

    pub(super) fn shard(&self, group: GroupId) -> Option<Rc<Shard>> {
        self.shards.borrow().get(&group).cloned()
    }
}

impl Shard {
    pub(super) fn end(&self) -> Offset {
        Offset(self.end.get())
    }

    pub(super) fn horizon(&self) -> Offset {
        Offset(self.frames.borrow().front().map_or(self.end.get(), |kept| kept.base))
    }

    /// Counts records that are not kept; gives the offset of the first.
    pub(super) fn forget(&self, records: u32) -> Offset {
        let base = self.end();
        self.end.set(base.0 + u64::from(records));
        base
    }

    /// Keeps records as a frame; gives the offset of the first as the client is to believe it.
    pub(super) fn keep(&self, body: &[u8], body_crc: u32, records: u32, options: &Options) -> Offset {
        let base = self.end();
        let (body, body_crc, records) = match self.tamper(body, records, options.tamper) {
            Some((tampered, records)) => {
                let crc = crc32fast::hash(&tampered);
                (tampered, crc, records)
            }
            None => (Bytes::copy_from_slice(body), body_crc, records),
        };
        if records > 0 {
            let bytes = frame(self.group, base, &body, body_crc, records);
            self.bytes.set(self.bytes.get() + bytes.len());
            self.end.set(base.0 + u64::from(records));
            let mut frames = self.frames.borrow_mut();
            frames.push_back(Kept { base: base.0, bytes });
            while self.bytes.get() > options.keep_bytes && frames.len() > 1 {
                let oldest = frames.pop_front().expect("more than one");
                self.bytes.set(self.bytes.get() - oldest.bytes.len());
            }
        }
        self.changed.notify();
        base
    }

    /// The body as it is kept, if it is not the one received.
    fn tamper(&self, body: &[u8], records: u32, tamper: Tamper) -> Option<(Bytes, u32)> {
        let first = self.seen.get();
        self.seen.set(first + u64::from(records));
        let every = match tamper {
            Tamper::None => return None,
            Tamper::Lose(every) | Tamper::Duplicate(every) | Tamper::Reorder(every) | Tamper::Corrupt(every) => every,
        };
        let hit = |at: usize| (first + at as u64 + 1).is_multiple_of(every);
        let mut all: Vec<(String, Vec<u8>)> = Records::new(body)
            .map_while(Result::ok)
            .map(|record| (record.key.to_owned(), record.data.to_vec()))
            .collect();
        for at in (0..all.len()).rev().filter(|at| hit(*at)) {
            match tamper {
                Tamper::None => {}
                Tamper::Lose(_) => drop(all.remove(at)),
                Tamper::Duplicate(_) => all.insert(at, all[at].clone()),
                Tamper::Reorder(_) => {
                    let same = all[..at].iter().rposition(|(key, _)| *key == all[at].0);
                    all.swap(at, same.unwrap_or(at.saturating_sub(1)));
                }
                Tamper::Corrupt(_) => {
                    if let Some(byte) = all[at].1.last_mut() {
                        *byte ^= 1;
                    }
                }
            }
        }
        let mut out = Vec::with_capacity(body.len());
        all.iter().for_each(|(key, data)| record::encode(key, data, &mut out));
        Some((out.into(), all.len() as u32))
    }

    /// Frames from the one that holds `from` on, as many as fit, at least one if there is one; and the offset after them.
    pub(super) fn read(&self, from: Offset, bytes_max: usize) -> (BytesMut, Offset) {
        let frames = self.frames.borrow();
        let mut out = BytesMut::new();
        let mut next = from;
        let first = frames.partition_point(|kept| kept.base <= from.0).saturating_sub(1);
        for (at, kept) in frames.iter().enumerate().skip(first) {
            let end = frames.get(at + 1).map_or(self.end.get(), |after| after.base);
            if end <= from.0 {
                continue;
            }
            if !out.is_empty() && out.len() + kept.bytes.len() > bytes_max {
                break;
            }
            out.put_slice(&kept.bytes);
            next = Offset(end);
        }
        (out, next)
    }
}

fn frame(group: GroupId, base: Offset, body: &[u8], body_crc: u32, records: u32) -> Bytes {
    let header = FrameHeader {
        commit_hint: FrameIndex(0),
        durable_hint: FrameIndex(0),
        kind: Kind::Data,
        flags: 0,
        body_len: body.len() as u32,
        body_crc,
        record_count: records,
        group_id: group,
        term: Term(1),
        index: FrameIndex(base.0),
        base_offset: base,
        arrival_us: wall(),
        chain: Chain(0),
        producer: None,
        log_bytes: 0,
    };
    let mut bytes = BytesMut::zeroed(HEADER_BYTES);
    bytes.reserve(body.len());
    header.encode(&mut bytes);
    bytes.put_slice(body);
    bytes.freeze()
}

pub(super) fn wall() -> WallUs {
    WallUs(crate::clock::unix_ms() * 1_000)
}

pub(super) const fn defaults() -> StreamSettings {
    StreamSettings {
        retention_hours: millstream::limits::RETENTION_HOURS_MIN,
        record_bytes_max: millstream::limits::RECORD_BYTES_MAX,
        durability: Durability::Interval,
        limits: StreamLimits::None,
        mode: CapacityMode::Provisioned,
        distribution: Distribution::PartitionKey,
        warm_throughput_mib: 0,
        get_records_wait_ms: 0,
    }
}
