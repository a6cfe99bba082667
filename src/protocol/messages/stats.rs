//! Stats: counters of the node, a stream or a shard.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{STAT_NAME_BYTES_MAX, STATS_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;
use crate::types::GroupId;

/// Fewest bytes of a value: an empty name and the number.
const STAT_BYTES_MIN: usize = 2 + 8;

/// Asks for counters.
///
/// ```text
/// 0 u8 scope   1 scope 0 (node): nothing; 1 (stream): str16 name; 2 (shard): u64 group
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stats<'a> {
    /// Of the whole node.
    Node,
    /// Of the stream with this name, all shards together.
    Stream(&'a str),
    /// Of one shard.
    Shard(GroupId),
}

/// Answers a [`Stats`].
///
/// ```text
/// 0 u32 count, count × { str16 name, u64 value }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsAnswer<'a> {
    /// The values. Order and presence may differ between nodes; names keep their meaning.
    pub stats: Vec<Stat<'a>>,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Its name in snake_case, unit last: `put_bytes_total`, `sync_latency_us_max`.
    pub name: &'a str,
    /// Its value.
    pub value: u64,
}

impl Operation for Stats<'_> {
    const OPCODE: Opcode = Opcode::Stats;
    type Answer<'a> = StatsAnswer<'a>;
}

impl Encode for Stats<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        match self {
            Self::Node => out.put_u8(0),
            Self::Stream(name) => {
                out.put_u8(1);
                out.put_bytes16(name.as_bytes());
            }
            Self::Shard(group) => {
                out.put_u8(2);
                out.put_u64(group.0);
            }
        }
    }
}

impl<'a> Decode<'a> for Stats<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| match r.u8("scope")? {
            0 => Ok(Self::Node),
            1 => Ok(Self::Stream(r.str16(STREAM_NAME_BYTES_MAX, "name")?)),
            2 => Ok(Self::Shard(GroupId(r.u64("group")?))),
            scope => Err(DecodeError::Invalid { what: "scope", offset: 0, value: scope.into() }),
        })
    }
}

impl Encode for StatsAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.stats.len() as u32);
        for stat in &self.stats {
            out.put_bytes16(stat.name.as_bytes());
            out.put_u64(stat.value);
        }
    }
}

impl<'a> Decode<'a> for StatsAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let count = r.count32(STAT_BYTES_MIN, STATS_MAX, "stats")?;
            let stats =
                (0..count).map(|_| Ok(Stat { name: r.str16(STAT_NAME_BYTES_MAX, "name")?, value: r.u64("value")? }));
            Ok(Self { stats: stats.collect::<Result<_, _>>()? })
        })
    }
}
