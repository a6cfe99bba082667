//! DescribeStream: one stream and its shards, which together are the map a client routes by.

use super::{Decode, Encode, Operation, StreamSettings, StreamStatus, read_code, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{PAGE_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;
use crate::types::{GroupId, HashKey, ShardNumber, StreamId, WallUs, WorkerId};

/// Bytes of one shard.
const SHARD_BYTES: usize = 4 + 8 + 16 + 16 + 2 + 1 + 4 + 4;

/// Stands for "no parent". No stream gets that many shards.
const NO_SHARD: u32 = u32::MAX;

/// Asks for a stream and its shards by number.
///
/// ```text
/// 0 str16 name   then u32 from_shard   u32 limit
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribeStream<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// Shards with lower numbers are left out; 0 for all.
    pub from_shard: ShardNumber,
    /// How many shards at most; 0 stands for, and more is capped to, [`PAGE_MAX`].
    pub limit: u32,
}

/// Answers a [`DescribeStream`].
///
/// ```text
/// 0 u64 stream_id   8 str16 name   then u8 status   u64 created_us   9 bytes settings   u64 catalogue_version
/// u32 count, count × { u32 number, u64 group, u128 hash_start, u128 hash_end, u16 worker, u8 state,
///                      u32 parent, u32 adjacent_parent }   u8 more
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeStreamAnswer<'a> {
    /// The stream's number.
    pub stream: StreamId,
    /// Its name.
    pub name: &'a str,
    /// Its status.
    pub status: StreamStatus,
    /// When it was created.
    pub created: WallUs,
    /// Its settings.
    pub settings: StreamSettings,
    /// Version of the catalogue this was read from. Pages of one listing may differ: start over if they do.
    pub catalogue_version: u64,
    /// Shards by number.
    pub shards: Vec<ShardDescription>,
    /// There are more after the last one.
    pub more: bool,
}

/// A shard in a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its number in the stream.
    pub number: ShardNumber,
    /// Its incarnation: what puts and gets name.
    pub group: GroupId,
    /// First hash key of its range.
    pub hash_start: HashKey,
    /// Last hash key of its range.
    pub hash_end: HashKey,
    /// The worker that owns it.
    pub worker: WorkerId,
    /// Its state.
    pub state: ShardState,
    /// The shard it was split or merged from. 4,294,967,295 on the wire if there is none.
    pub parent: Option<ShardNumber>,
    /// The other shard it was merged from. 4,294,967,295 on the wire if there is none.
    pub adjacent_parent: Option<ShardNumber>,
}

/// What can be done with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ShardState {
    /// Takes records and hands them out.
    Open = 0,
    /// Hands out records only.
    Closed = 1,
    /// Damaged: hands out what is intact.
    Quarantined = 2,
}

impl ShardState {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Open),
            1 => Some(Self::Closed),
            2 => Some(Self::Quarantined),
            _ => None,
        }
    }
}

impl Operation for DescribeStream<'_> {
    const OPCODE: Opcode = Opcode::DescribeStream;
    type Answer<'a> = DescribeStreamAnswer<'a>;
}

impl Encode for DescribeStream<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.name.as_bytes());
        out.put_u32(self.from_shard.0);
        out.put_u32(self.limit);
    }
}

impl<'a> Decode<'a> for DescribeStream<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                name: r.str16(STREAM_NAME_BYTES_MAX, "name")?,
                from_shard: ShardNumber(r.u32("from_shard")?),
                limit: r.u32("limit")?,
            })
        })
    }
}

impl Encode for DescribeStreamAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.stream.0);
        out.put_bytes16(self.name.as_bytes());
        out.put_u8(self.status as u8);
        out.put_u64(self.created.0);
        self.settings.encode(out);
        out.put_u64(self.catalogue_version);
        out.put_u32(self.shards.len() as u32);
        for shard in &self.shards {
            shard.encode(out);
        }
        out.put_bool(self.more);
    }
}

impl<'a> Decode<'a> for DescribeStreamAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: StreamId(r.u64("stream_id")?),
                name: r.str16(STREAM_NAME_BYTES_MAX, "name")?,
                status: read_code(r, "status", StreamStatus::from_code)?,
                created: WallUs(r.u64("created_us")?),
                settings: StreamSettings::read(r)?,
                catalogue_version: r.u64("catalogue_version")?,
                shards: {
                    let count = r.count32(SHARD_BYTES, PAGE_MAX as usize, "shards")?;
                    (0..count).map(|_| ShardDescription::read(r)).collect::<Result<_, _>>()?
                },
                more: r.bool("more")?,
            })
        })
    }
}

impl ShardDescription {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.number.0);
        out.put_u64(self.group.0);
        out.put_u128(self.hash_start.0);
        out.put_u128(self.hash_end.0);
        out.put_u16(self.worker.0);
        out.put_u8(self.state as u8);
        out.put_u32(self.parent.map_or(NO_SHARD, |shard| shard.0));
        out.put_u32(self.adjacent_parent.map_or(NO_SHARD, |shard| shard.0));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let optional = |number| (number != NO_SHARD).then_some(ShardNumber(number));
        Ok(Self {
            number: ShardNumber(r.u32("number")?),
            group: GroupId(r.u64("group")?),
            hash_start: HashKey(r.u128("hash_start")?),
            hash_end: HashKey(r.u128("hash_end")?),
            worker: WorkerId(r.u16("worker")?),
            state: read_code(r, "state", ShardState::from_code)?,
            parent: optional(r.u32("parent")?),
            adjacent_parent: optional(r.u32("adjacent_parent")?),
        })
    }
}
