//! DescribeStream: one stream and its shards, which together are the map a client routes by.

use super::{Decode, Encode, Operation, StreamSettings, StreamStatus, put_shard, read_code, read_shard, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{SHARD_PAGE_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;
use crate::types::{GroupId, HashKey, Offset, ShardNumber, StreamId, WallUs, WorkerId};

/// Asks for a stream and its shards by number.
///
/// ```text
/// 0 str16 name   then u32 from_shard   u32 limit   u8 filter
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribeStream<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// Shards with lower numbers are left out; 0 for all.
    pub from_shard: ShardNumber,
    /// How many shards at most; 0 stands for, and more is capped to, [`SHARD_PAGE_MAX`].
    pub limit: u32,
    /// Which shards.
    pub filter: ShardFilter,
}

/// Which shards of a stream are described.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ShardFilter {
    /// All of them.
    #[default]
    All = 0,
    /// Those that have a range to themselves: what a producer routes by. Damaged ones that are not closed among them.
    Open = 1,
    /// The shard with the number `from_shard`, and those that were split or merged from it.
    Family = 2,
}

impl ShardFilter {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::All),
            1 => Some(Self::Open),
            2 => Some(Self::Family),
            _ => None,
        }
    }
}

/// Answers a [`DescribeStream`].
///
/// ```text
/// 0 u64 stream_id   8 str16 name   then u8 status   u64 created_us   68 bytes settings   u64 catalogue_version
/// u32 open_shards   u32 scaling_target   u32 consumers   u64 expired_before_us
/// u32 count, count × { u32 number, u64 group, u128 hash_start, u128 hash_end, u16 worker, u8 state,
///                      u32 parent, u32 adjacent_parent, u64 created_us, u64 closed_us, u64 end_offset }   u8 more
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
    /// All its open shards, those of other pages too.
    pub open_shards: u32,
    /// How many open shards a scaling that is under way will lead to; 0 if there is none.
    pub scaling_target: u32,
    /// Its registered consumers.
    pub consumers: u32,
    /// Records that arrived before are gone, whatever the retention is now. 0 if it never was raised.
    pub expired_before: WallUs,
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
    /// When it was created: later than its parents, by a second at least.
    pub created: WallUs,
    /// Its end, if it is closed.
    pub closed: Option<ShardEnd>,
}

/// The end of a closed shard. On the wire two zeros if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardEnd {
    /// When it was closed.
    pub at: WallUs,
    /// Offset after its last record.
    pub offset: Offset,
}

/// What can be done with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ShardState {
    /// Takes records and hands them out.
    Open = 0,
    /// Hands out records only.
    Closed = 1,
    /// Damaged: hands out what is intact. It may be closed besides.
    Quarantined = 2,
    /// Child of a split or merge that is under way: takes and hands out nothing yet.
    Pending = 3,
}

impl ShardState {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Open),
            1 => Some(Self::Closed),
            2 => Some(Self::Quarantined),
            3 => Some(Self::Pending),
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
        out.put_u8(self.filter as u8);
    }
}

impl<'a> Decode<'a> for DescribeStream<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                name: r.str16(STREAM_NAME_BYTES_MAX, "name")?,
                from_shard: ShardNumber(r.u32("from_shard")?),
                limit: r.u32("limit")?,
                filter: read_code(r, "filter", ShardFilter::from_code)?,
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
        out.put_u32(self.open_shards);
        out.put_u32(self.scaling_target);
        out.put_u32(self.consumers);
        out.put_u64(self.expired_before.0);
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
                open_shards: r.u32("open_shards")?,
                scaling_target: r.u32("scaling_target")?,
                consumers: r.u32("consumers")?,
                expired_before: WallUs(r.u64("expired_before_us")?),
                shards: {
                    let count = r.count32(ShardDescription::BYTES, SHARD_PAGE_MAX as usize, "shards")?;
                    (0..count).map(|_| ShardDescription::read(r)).collect::<Result<_, _>>()?
                },
                more: r.bool("more")?,
            })
        })
    }
}

impl ShardDescription {
    pub(super) const BYTES: usize = 4 + 8 + 16 + 16 + 2 + 1 + 4 + 4 + 8 + 8 + 8;

    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.number.0);
        out.put_u64(self.group.0);
        out.put_u128(self.hash_start.0);
        out.put_u128(self.hash_end.0);
        out.put_u16(self.worker.0);
        out.put_u8(self.state as u8);
        put_shard(out, self.parent);
        put_shard(out, self.adjacent_parent);
        out.put_u64(self.created.0);
        out.put_u64(self.closed.map_or(0, |end| end.at.0));
        out.put_u64(self.closed.map_or(0, |end| end.offset.0));
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: ShardNumber(r.u32("number")?),
            group: GroupId(r.u64("group")?),
            hash_start: HashKey(r.u128("hash_start")?),
            hash_end: HashKey(r.u128("hash_end")?),
            worker: WorkerId(r.u16("worker")?),
            state: read_code(r, "state", ShardState::from_code)?,
            parent: read_shard(r, "parent")?,
            adjacent_parent: read_shard(r, "adjacent_parent")?,
            created: WallUs(r.u64("created_us")?),
            closed: ShardEnd::read(r)?,
        })
    }
}

impl ShardEnd {
    fn read(r: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let (at, offset) = (WallUs(r.u64("closed_us")?), r.offset());
        match (at, r.u64("end_offset")?) {
            (WallUs(0), 0) => Ok(None),
            (WallUs(0), value) => Err(DecodeError::Invalid { what: "end_offset", offset, value }),
            (at, end) => Ok(Some(Self { at, offset: Offset(end) })),
        }
    }
}
