//! The state as bytes: what a node starts from instead of replaying the catalogue's log from the beginning.
//!
//! ```text
//!  0 u32 magic "MSC1"   4 u32 CRC-32 (IEEE) of bytes 8..bytes   8 u64 bytes, this header included
//! 16 u16 version        18 6 bytes zero
//! 24 u64 catalogue version   32 u64 applied end, a frame index   40 u64 applied term
//! 48 u64 next stream         56 u64 next group                   64 u64 next consumer
//! 72 u64 latest creation of a consumer that is gone, in us       80 u64 last version or token of a stored value
//! 88 list of streams, by number:
//!   u64 number   str16 name   u64 created, in us   settings   u8 status   3 bytes zero   u64 expired before, in us
//!   u32 scaling target, or 0   list of u64 times of scalings   list of u64 times of switches of the mode
//!   list of u64 times of keys set for encryption   list of u64 times of encryption stopped
//!   tags   option of: str16 encryption key   u8 metrics   option of: str16 policy
//!   list of consumers, by name:
//!     u64 number   str16 name   u64 created, in us   tags   option of: str16 policy
//!   u32 next shard   list of shards, by number:
//!     u32 number   u16 placed on   u8 fields: 1 parent, 2 adjacent parent   u8 state: 0 open, 1 pending, 2 closed, 3 expired
//!     u64 group    u128 first key  u128 last key   u64 created, in us
//!     then the fields there are: u32 parent   u32 adjacent parent   if closed: u64 end offset, u64 closed, in us
//! then list of spaces of stored values, by name:
//!   str16 name   list of values, by key:
//!     str16 key   u64 version   bytes16 value   option of a lease: str16 owner   u64 token   u32 ms
//! ```
//! Composite fields are as in `fields`. Version 1 has no fields from 64 to 87, none of a stream between its status and its
//! next shard, settings without limits, mode and distribution, all shards open (a zero instead of the state), and no spaces.
//! Version 2 has settings without the wait of an empty GetRecords, and no times of encryption.
//!
//! Zeros may follow, so that the file can end on a block. Decoding checks every invariant of the state, but no limit: a
//! build with tighter ones must still start.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::catalog::consumer::{Consumer, ConsumerId};
use crate::catalog::encoding::{read_consumer_name, read_metrics, read_stream_name};
use crate::catalog::fields::{
    TEXT_MAX, put_list, put_option, put_settings, put_tags, put_text_option, read_list, read_option, read_settings,
    read_tags, read_text, read_text_option, read_zeros, zero,
};
use crate::catalog::metadata::{Encryption, Metadata};
use crate::catalog::range::HashRange;
use crate::catalog::shard::{Shard, ShardState};
use crate::catalog::state::{Applied, Catalog, Counters, FIRST_SHARD_GROUP};
use crate::catalog::store::{Item, Lease, Name};
use crate::catalog::stream::{Status, Stream, Times};
use crate::codec::{DecodeError, Reader, Write};
use crate::types::{FrameIndex, GroupId, HashKey, Offset, ShardNumber, StreamId, Term, WallUs, WorkerId};

const MAGIC: u32 = u32::from_le_bytes(*b"MSC1");

/// Version of the encoding that is written. Those before it are read as well.
const VERSION: u16 = 3;

/// Where the part under the checksum starts.
const SUMMED_FROM: usize = 8;

/// Fewest bytes of what there are lists of, in any version, to check counts against what is there.
const STREAM_BYTES_MIN: usize = 8 + 2 + 8 + 12 + 4 + 4 + 4;
const SHARD_BYTES_MIN: usize = 8 + 8 + 16 + 16 + 8;
const CONSUMER_BYTES_MIN: usize = 8 + 2 + 8 + 2 + 1;
const SPACE_BYTES_MIN: usize = 2 + 4;
const ITEM_BYTES_MIN: usize = 2 + 8 + 2 + 1;

const HAS_PARENT: u8 = 1;
const HAS_ADJACENT_PARENT: u8 = 2;

const OPEN: u8 = 0;
const PENDING: u8 = 1;
const CLOSED: u8 = 2;
const EXPIRED: u8 = 3;

impl Catalog {
    /// The state as bytes, with its checksum.
    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.streams().len() * 128 + self.shard_count() * 64);
        out.put_u32(MAGIC);
        out.put(&[0; 4 + 8]);
        out.put_u16(VERSION);
        out.put(&[0; 6]);
        out.put_u64(self.version());
        out.put_u64(self.applied().end.0);
        out.put_u64(self.applied().term.0);
        out.put_u64(self.next_stream.0);
        out.put_u64(self.next_group.0);
        out.put_u64(self.next_consumer.0);
        out.put_u64(self.consumers_gone.0);
        out.put_u64(self.store.counter());
        out.put_u32(u32::try_from(self.streams().len()).expect("the number of streams is limited"));
        for stream in self.streams() {
            put_stream(&mut out, stream);
        }
        put_store(&mut out, self);
        let bytes = out.len() as u64;
        out[8..16].copy_from_slice(&bytes.to_le_bytes());
        let crc = crc32fast::hash(&out[SUMMED_FROM..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a snapshot, with or without zeros after it.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(checked(bytes)?);
        r.take(16, "snapshot header")?;
        let version = r.u16("snapshot version")?;
        if version == 0 || version > VERSION {
            return Err(DecodeError::Invalid { what: "snapshot version", offset: 16, value: version.into() });
        }
        read_zeros(&mut r, 6, "snapshot reserved")?;
        let mut catalog = Self::with_counters(read_counters(&mut r, version)?);
        let mut consumers = BTreeSet::new();
        let mut last = StreamId(0);
        for _ in 0..r.count32(STREAM_BYTES_MIN, usize::MAX, "streams")? {
            let offset = r.offset();
            let stream = read_stream(&mut r, version, &catalog)?;
            let id = stream.id;
            if id <= last {
                return Err(DecodeError::Invalid { what: "stream number", offset, value: id.0 });
            }
            if let Some(twice) = stream.consumers().find(|consumer| !consumers.insert(consumer.id)) {
                return Err(DecodeError::Invalid { what: "consumer number", offset, value: twice.id.0 });
            }
            last = id;
            catalog.insert(stream).map_err(|what| DecodeError::Invalid { what, offset, value: id.0 })?;
        }
        if version > 1 {
            read_store(&mut r, &mut catalog)?;
        }
        r.end()?;
        Ok(catalog)
    }
}

/// The snapshot without the zeros after it, once its checksum is found right.
fn checked(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut r = Reader::new(bytes);
    let magic = r.u32("snapshot magic")?;
    if magic != MAGIC {
        return Err(DecodeError::Invalid { what: "snapshot magic", offset: 0, value: magic.into() });
    }
    let crc = r.u32("snapshot checksum")?;
    let len = r.u64("snapshot bytes")?;
    let too_short = DecodeError::Invalid { what: "snapshot bytes", offset: 8, value: len };
    let rest = usize::try_from(len).ok().and_then(|len| len.checked_sub(r.offset())).ok_or(too_short)?;
    r.take(rest, "snapshot")?;
    let (snapshot, after) = bytes.split_at(r.offset());
    if crc32fast::hash(&snapshot[SUMMED_FROM..]) != crc {
        return Err(DecodeError::Invalid { what: "snapshot checksum", offset: 4, value: crc.into() });
    }
    if after.iter().any(|byte| *byte != 0) {
        return Err(DecodeError::Trailing { offset: snapshot.len(), extra: after.len() });
    }
    Ok(snapshot)
}

fn read_counters(r: &mut Reader<'_>, version: u16) -> Result<Counters, DecodeError> {
    let catalogue_version = r.u64("catalogue version")?;
    let applied = Applied { end: FrameIndex(r.u64("applied end")?), term: Term(r.u64("applied term")?) };
    let next_stream = StreamId(r.u64("next stream")?);
    let offset = r.offset();
    let next_group = GroupId(r.u64("next group")?);
    if next_group < FIRST_SHARD_GROUP {
        return Err(DecodeError::Invalid { what: "next group", offset, value: next_group.0 });
    }
    let (next_consumer, consumers_gone, stored) = match version {
        1 => (ConsumerId(1), WallUs(0), 0),
        _ => (ConsumerId(r.u64("next consumer")?), WallUs(r.u64("latest consumer")?), r.u64("last stored version")?),
    };
    let version = catalogue_version;
    Ok(Counters { version, applied, next_stream, next_group, next_consumer, consumers_gone, stored })
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    out.put_u64(stream.id.0);
    out.put_bytes16(stream.name.as_bytes());
    out.put_u64(stream.created.0);
    put_settings(out, &stream.settings);
    out.put(&[stream.status as u8, 0, 0, 0]);
    out.put_u64(stream.expired_before.0);
    out.put_u32(stream.scaling.unwrap_or(0));
    let changes = [&stream.encryption_starts, &stream.encryption_stops];
    for Times(times) in [&stream.scalings, &stream.mode_switches].into_iter().chain(changes) {
        put_list(out, times, |out, time| out.put_u64(time.0));
    }
    put_metadata(out, &stream.metadata);
    out.put_u32(u32::try_from(stream.consumers.len()).expect("the number of consumers is limited"));
    for consumer in stream.consumers() {
        put_consumer(out, consumer);
    }
    out.put_u32(stream.next_shard.0);
    put_list(out, stream.shards(), put_shard);
}

fn read_stream(r: &mut Reader<'_>, version: u16, catalog: &Catalog) -> Result<Stream, DecodeError> {
    let start = r.offset();
    let id = StreamId(r.u64("stream number")?);
    if id >= catalog.next_stream {
        return Err(DecodeError::Invalid { what: "stream number", offset: start, value: id.0 });
    }
    let name = read_stream_name(r)?;
    let created = WallUs(r.u64("stream created")?);
    let settings = read_settings(r, version)?;
    let offset = r.offset();
    let code = r.u8("stream status")?;
    let invalid = DecodeError::Invalid { what: "stream status", offset, value: code.into() };
    let status = Status::from_code(code).ok_or(invalid)?;
    read_zeros(r, 3, "stream reserved")?;
    let mut stream = Stream {
        id,
        name,
        created,
        status,
        settings,
        expired_before: WallUs(0),
        scaling: None,
        scalings: Times::default(),
        mode_switches: Times::default(),
        encryption_starts: Times::default(),
        encryption_stops: Times::default(),
        metadata: Metadata::default(),
        consumers: BTreeMap::new(),
        next_shard: ShardNumber(0),
        shards: Vec::new(),
        routes: Vec::new(),
    };
    if version > 1 {
        stream.expired_before = WallUs(r.u64("expired before")?);
        stream.scaling = Some(r.u32("scaling target")?).filter(|target| *target != 0);
        stream.scalings = read_times(r, "scalings")?;
        stream.mode_switches = read_times(r, "mode switches")?;
        if version > 2 {
            stream.encryption_starts = read_times(r, "encryption starts")?;
            stream.encryption_stops = read_times(r, "encryption stops")?;
        }
        stream.metadata = read_metadata(r)?;
        stream.consumers = read_consumers(r, catalog.next_consumer)?;
    }
    stream.next_shard = ShardNumber(r.u32("next shard")?);
    stream.shards = read_list(r, SHARD_BYTES_MIN, "shards", |r| read_shard(r, version, catalog.next_group))?;
    stream.checked().ok_or(DecodeError::Invalid { what: "shards of stream", offset: start, value: id.0 })
}

fn read_times(r: &mut Reader<'_>, what: &'static str) -> Result<Times, DecodeError> {
    read_list(r, 8, what, |r| r.u64(what).map(WallUs)).map(Times)
}

fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    put_tags(out, &metadata.tags);
    put_text_option(out, metadata.encryption.as_ref().map(|encryption| encryption.key_id.as_str()));
    out.put_u8(metadata.monitoring.bits());
    put_text_option(out, metadata.policy.as_deref());
}

fn read_metadata(r: &mut Reader<'_>) -> Result<Metadata, DecodeError> {
    Ok(Metadata {
        tags: read_tags(r)?,
        encryption: read_text_option(r, "encryption key")?.map(|key_id| Encryption { key_id }),
        monitoring: read_metrics(r)?,
        policy: read_text_option(r, "policy")?,
    })
}

fn put_consumer(out: &mut Vec<u8>, consumer: &Consumer) {
    out.put_u64(consumer.id.0);
    out.put_bytes16(consumer.name.as_bytes());
    out.put_u64(consumer.created.0);
    put_tags(out, &consumer.tags);
    put_text_option(out, consumer.policy.as_deref());
}

fn read_consumers(r: &mut Reader<'_>, next: ConsumerId) -> Result<BTreeMap<String, Consumer>, DecodeError> {
    let mut consumers = BTreeMap::<String, Consumer>::new();
    for _ in 0..r.count32(CONSUMER_BYTES_MIN, usize::MAX, "consumers")? {
        let offset = r.offset();
        let id = ConsumerId(r.u64("consumer number")?);
        if id >= next {
            return Err(DecodeError::Invalid { what: "consumer number", offset, value: id.0 });
        }
        let offset = r.offset();
        let name = read_consumer_name(r)?;
        if consumers.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(DecodeError::Invalid { what: "consumer name", offset, value: id.0 });
        }
        let created = WallUs(r.u64("consumer created")?);
        let (tags, policy) = (read_tags(r)?, read_text_option(r, "policy")?);
        consumers.insert(name.clone(), Consumer { id, name, created, tags, policy });
    }
    Ok(consumers)
}

fn put_shard(out: &mut Vec<u8>, shard: &Shard) {
    let field = |present: bool, bit: u8| if present { bit } else { 0 };
    out.put_u32(shard.number.0);
    out.put_u16(shard.placed_on.0);
    out.put_u8(field(shard.parent.is_some(), HAS_PARENT) | field(shard.adjacent_parent.is_some(), HAS_ADJACENT_PARENT));
    out.put_u8(match shard.state {
        ShardState::Open => OPEN,
        ShardState::Pending => PENDING,
        ShardState::Closed { .. } => CLOSED,
        ShardState::Expired => EXPIRED,
    });
    out.put_u64(shard.group.0);
    out.put_u128(shard.range.start.0);
    out.put_u128(shard.range.end.0);
    out.put_u64(shard.created.0);
    for parent in shard.parents() {
        out.put_u32(parent.0);
    }
    if let ShardState::Closed { end, at } = shard.state {
        out.put_u64(end.0);
        out.put_u64(at.0);
    }
}

fn read_shard(r: &mut Reader<'_>, version: u16, next_group: GroupId) -> Result<Shard, DecodeError> {
    let number = ShardNumber(r.u32("shard number")?);
    let placed_on = WorkerId(r.u16("shard worker")?);
    let offset = r.offset();
    let fields = r.u8("shard fields")?;
    let known = if version == 1 { 0 } else { HAS_PARENT | HAS_ADJACENT_PARENT };
    if fields & !known != 0 {
        return Err(DecodeError::Invalid { what: "shard fields", offset, value: fields.into() });
    }
    let state_at = r.offset();
    let state = r.u8("shard state")?;
    if version == 1 {
        zero(state.into(), "shard reserved", state_at)?;
    }
    let offset = r.offset();
    let group = GroupId(r.u64("shard group")?);
    if group < FIRST_SHARD_GROUP || group >= next_group {
        return Err(DecodeError::Invalid { what: "shard group", offset, value: group.0 });
    }
    let offset = r.offset();
    let range = HashRange { start: HashKey(r.u128("first key")?), end: HashKey(r.u128("last key")?) };
    if range.end < range.start {
        return Err(DecodeError::Invalid { what: "shard range", offset, value: number.0.into() });
    }
    let created = WallUs(r.u64("shard created")?);
    let mut parent = |bit, what| (fields & bit != 0).then(|| r.u32(what).map(ShardNumber)).transpose();
    let (parent, adjacent_parent) =
        (parent(HAS_PARENT, "shard parent")?, parent(HAS_ADJACENT_PARENT, "shard adjacent parent")?);
    let state = match state {
        OPEN => ShardState::Open,
        PENDING => ShardState::Pending,
        CLOSED => ShardState::Closed { end: Offset(r.u64("shard end")?), at: WallUs(r.u64("shard closed")?) },
        EXPIRED => ShardState::Expired,
        value => return Err(DecodeError::Invalid { what: "shard state", offset: state_at, value: value.into() }),
    };
    Ok(Shard { number, group, range, placed_on, created, parent, adjacent_parent, state })
}

fn put_store(out: &mut Vec<u8>, catalog: &Catalog) {
    let store = catalog.store();
    out.put_u32(u32::try_from(store.spaces().len()).expect("the number of stored values is limited"));
    for space in store.spaces() {
        out.put_bytes16(space.as_bytes());
        out.put_u32(u32::try_from(store.items_in(space)).expect("the number of stored values is limited"));
        for (key, item) in store.items_after(space, None) {
            out.put_bytes16(key.as_bytes());
            out.put_u64(item.version);
            out.put_bytes16(&item.value);
            put_option(out, item.lease.as_ref(), |out, lease| {
                out.put_bytes16(lease.owner.as_bytes());
                out.put_u64(lease.token);
                out.put_u32(lease.ttl_ms);
            });
        }
    }
}

fn read_store(r: &mut Reader<'_>, catalog: &mut Catalog) -> Result<(), DecodeError> {
    let mut last_space = None;
    for _ in 0..r.count32(SPACE_BYTES_MIN, usize::MAX, "spaces")? {
        let offset = r.offset();
        let space = read_text(r, "space")?;
        let items = r.count32(ITEM_BYTES_MIN, usize::MAX, "stored values")?;
        if items == 0 || last_space.as_ref().is_some_and(|last| *last >= space) {
            return Err(DecodeError::Invalid { what: "space", offset, value: items as u64 });
        }
        let mut last_key: Option<String> = None;
        for n in 0..items as u64 {
            let offset = r.offset();
            let key = read_text(r, "key")?;
            if last_key.is_some_and(|last| last >= key) {
                return Err(DecodeError::Invalid { what: "key", offset, value: n });
            }
            let item = read_item(r)?;
            last_key = Some(key.clone());
            let name = Name { space: space.clone(), key };
            catalog.store.put(name, item).map_err(|what| DecodeError::Invalid { what, offset, value: n })?;
        }
        last_space = Some(space);
    }
    Ok(())
}

fn read_item(r: &mut Reader<'_>) -> Result<Item, DecodeError> {
    let version = r.u64("stored version")?;
    let value = Bytes::copy_from_slice(r.bytes16(TEXT_MAX, "value")?);
    let lease = read_option(r, "lease", |r| {
        Ok(Lease { owner: read_text(r, "owner")?, token: r.u64("lease token")?, ttl_ms: r.u32("lease time")? })
    })?;
    Ok(Item { version, value, lease })
}
