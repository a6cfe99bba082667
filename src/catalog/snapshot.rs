//! The state as bytes: what a node starts from instead of replaying the catalogue's log from the beginning.
//!
//! ```text
//!  0 u32 magic "MSC1"   4 u32 CRC-32 (IEEE) of bytes 8..bytes   8 u64 bytes, this header included
//! 16 u16 version        18 6 bytes zero
//! 24 u64 catalogue version   32 u64 applied end, a frame index   40 u64 applied term
//! 48 u64 next stream         56 u64 next group                   64 u32 streams, by number; each:
//!   u64 number   str16 name   u64 created, in us   settings as in commands   u8 status   3 bytes zero
//!   u32 next shard   u32 shards, by number; each:
//!     u32 number   u16 placed on   u8 fields: 1 parent, 2 adjacent parent, 4 closed   u8 zero
//!     u64 group    u128 first key  u128 last key   u64 created, in us
//!     then the fields there are: u32 parent   u32 adjacent parent   u64 end offset, u64 closed, in us
//! ```
//! Zeros may follow, so that the file can end on a block. Decoding checks every invariant of the state, but no limit: a
//! build with tighter ones must still start.

use crate::catalog::command::{check_name, put_settings, read_settings, zero};
use crate::catalog::range::HashRange;
use crate::catalog::state::{Applied, Catalog, Counters, FIRST_SHARD_GROUP};
use crate::catalog::stream::{Closed, Shard, Status, Stream, StreamHead};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::types::{FrameIndex, GroupId, HashKey, Offset, ShardNumber, StreamId, Term, WallUs, WorkerId};

const MAGIC: u32 = u32::from_le_bytes(*b"MSC1");
const VERSION: u16 = 1;

/// Where the part under the checksum starts.
const SUMMED_FROM: usize = 8;

/// Fewest bytes of a stream and of a shard, to check counts against what is there.
const STREAM_BYTES_MIN: usize = 8 + 2 + 8 + 12 + 4 + 4 + 4;
const SHARD_BYTES_MIN: usize = 8 + 8 + 16 + 16 + 8;

const HAS_PARENT: u8 = 1;
const HAS_ADJACENT_PARENT: u8 = 2;
const HAS_CLOSED: u8 = 4;

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
        out.put_u32(u32::try_from(self.streams().len()).expect("the number of streams is limited"));
        for stream in self.streams() {
            put_stream(&mut out, stream);
        }
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
        if version != VERSION {
            return Err(DecodeError::Invalid { what: "snapshot version", offset: 16, value: version.into() });
        }
        read_zeros(&mut r, 6, "snapshot reserved")?;
        let mut catalog = Self::with_counters(read_counters(&mut r)?);
        let mut last = StreamId(0);
        for _ in 0..r.count32(STREAM_BYTES_MIN, usize::MAX, "streams")? {
            let offset = r.offset();
            let stream = read_stream(&mut r, &catalog)?;
            let id = stream.id;
            if id <= last {
                return Err(DecodeError::Invalid { what: "stream number", offset, value: id.0 });
            }
            last = id;
            catalog.insert(stream).map_err(|what| DecodeError::Invalid { what, offset, value: id.0 })?;
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

fn read_counters(r: &mut Reader<'_>) -> Result<Counters, DecodeError> {
    let version = r.u64("catalogue version")?;
    let applied = Applied { end: FrameIndex(r.u64("applied end")?), term: Term(r.u64("applied term")?) };
    let next_stream = StreamId(r.u64("next stream")?);
    let offset = r.offset();
    let next_group = GroupId(r.u64("next group")?);
    if next_group < FIRST_SHARD_GROUP {
        return Err(DecodeError::Invalid { what: "next group", offset, value: next_group.0 });
    }
    Ok(Counters { version, applied, next_stream, next_group })
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    out.put_u64(stream.id.0);
    out.put_bytes16(stream.name.as_bytes());
    out.put_u64(stream.created.0);
    put_settings(out, &stream.settings);
    out.put(&[stream.status as u8, 0, 0, 0]);
    out.put_u32(stream.next_shard.0);
    out.put_u32(u32::try_from(stream.shards().len()).expect("the number of shards is limited"));
    for shard in stream.shards() {
        put_shard(out, shard);
    }
}

fn read_stream(r: &mut Reader<'_>, catalog: &Catalog) -> Result<Stream, DecodeError> {
    let start = r.offset();
    let id = StreamId(r.u64("stream number")?);
    if id >= catalog.next_stream {
        return Err(DecodeError::Invalid { what: "stream number", offset: start, value: id.0 });
    }
    let offset = r.offset();
    let name = r.str16(STREAM_NAME_BYTES_MAX, "stream name")?.to_owned();
    if check_name(&name).is_err() {
        return Err(DecodeError::Invalid { what: "stream name", offset, value: name.len() as u64 });
    }
    let created = WallUs(r.u64("stream created")?);
    let settings = read_settings(r)?;
    let offset = r.offset();
    let code = r.u8("stream status")?;
    let invalid = DecodeError::Invalid { what: "stream status", offset, value: code.into() };
    let status = Status::from_code(code).ok_or(invalid)?;
    read_zeros(r, 3, "stream reserved")?;
    let next_shard = ShardNumber(r.u32("next shard")?);
    let count = r.count32(SHARD_BYTES_MIN, usize::MAX, "shards")?;
    let mut shards = Vec::with_capacity(count);
    for _ in 0..count {
        shards.push(read_shard(r, catalog.next_group)?);
    }
    let head = StreamHead { id, name, created, status, settings, next_shard };
    Stream::new(head, shards).ok_or(DecodeError::Invalid { what: "shards of stream", offset: start, value: id.0 })
}

fn put_shard(out: &mut Vec<u8>, shard: &Shard) {
    let field = |present: bool, bit: u8| if present { bit } else { 0 };
    out.put_u32(shard.number.0);
    out.put_u16(shard.placed_on.0);
    out.put_u8(
        field(shard.parent.is_some(), HAS_PARENT)
            | field(shard.adjacent_parent.is_some(), HAS_ADJACENT_PARENT)
            | field(shard.closed.is_some(), HAS_CLOSED),
    );
    out.put_u8(0);
    out.put_u64(shard.group.0);
    out.put_u128(shard.range.start.0);
    out.put_u128(shard.range.end.0);
    out.put_u64(shard.created.0);
    for parent in [shard.parent, shard.adjacent_parent].into_iter().flatten() {
        out.put_u32(parent.0);
    }
    if let Some(closed) = shard.closed {
        out.put_u64(closed.end.0);
        out.put_u64(closed.at.0);
    }
}

fn read_shard(r: &mut Reader<'_>, next_group: GroupId) -> Result<Shard, DecodeError> {
    let number = ShardNumber(r.u32("shard number")?);
    let placed_on = WorkerId(r.u16("shard worker")?);
    let offset = r.offset();
    let fields = r.u8("shard fields")?;
    if fields & !(HAS_PARENT | HAS_ADJACENT_PARENT | HAS_CLOSED) != 0 {
        return Err(DecodeError::Invalid { what: "shard fields", offset, value: fields.into() });
    }
    read_zeros(r, 1, "shard reserved")?;
    let offset = r.offset();
    let group = GroupId(r.u64("shard group")?);
    if group < FIRST_SHARD_GROUP || group >= next_group {
        return Err(DecodeError::Invalid { what: "shard group", offset, value: group.0 });
    }
    let range = HashRange { start: HashKey(r.u128("first key")?), end: HashKey(r.u128("last key")?) };
    let created = WallUs(r.u64("shard created")?);
    let mut parent = |bit, what| (fields & bit != 0).then(|| r.u32(what).map(ShardNumber)).transpose();
    let (parent, adjacent_parent) =
        (parent(HAS_PARENT, "shard parent")?, parent(HAS_ADJACENT_PARENT, "shard adjacent parent")?);
    let closed = if fields & HAS_CLOSED != 0 { Some(read_closed(r)?) } else { None };
    Ok(Shard { number, group, range, placed_on, created, parent, adjacent_parent, closed })
}

fn read_closed(r: &mut Reader<'_>) -> Result<Closed, DecodeError> {
    Ok(Closed { end: Offset(r.u64("shard end")?), at: WallUs(r.u64("shard closed")?) })
}

fn read_zeros(r: &mut Reader<'_>, n: usize, what: &'static str) -> Result<(), DecodeError> {
    let offset = r.offset();
    r.take(n, what)?.iter().try_for_each(|byte| zero((*byte).into(), what, offset))
}
