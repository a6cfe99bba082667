//! SplitShard: one shard becomes two.

use super::{Decode, Encode, Operation, ShardDescription, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{PAGE_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;
use crate::types::{HashKey, ShardNumber};

/// Closes an open shard and opens two children in its place: one for the keys below `at`, one for those from `at` on.
///
/// ```text
/// 0 str16 stream   then u32 shard   u128 at
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitShard<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The shard to divide.
    pub shard: ShardNumber,
    /// First hash key of the second child: above the shard's first one, at most its last one.
    pub at: HashKey,
}

/// Answers a [`SplitShard`] and a [`super::MergeShards`]: the parents are closed and the children open, durably.
///
/// ```text
/// 0 u64 catalogue_version   8 u32 count, count × shard, as in the answer to DescribeStream
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReshardAnswer {
    /// Version of the catalogue with the children in it.
    pub catalogue_version: u64,
    /// The children, by number.
    pub children: Vec<ShardDescription>,
}

impl Operation for SplitShard<'_> {
    const OPCODE: Opcode = Opcode::SplitShard;
    type Answer<'a> = ReshardAnswer;
}

impl Encode for SplitShard<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_u32(self.shard.0);
        out.put_u128(self.at.0);
    }
}

impl<'a> Decode<'a> for SplitShard<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                shard: ShardNumber(r.u32("shard")?),
                at: HashKey(r.u128("at")?),
            })
        })
    }
}

impl Encode for ReshardAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.catalogue_version);
        out.put_u32(self.children.len() as u32);
        for child in &self.children {
            child.encode(out);
        }
    }
}

impl Decode<'_> for ReshardAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let catalogue_version = r.u64("catalogue_version")?;
            let count = r.count32(ShardDescription::BYTES, PAGE_MAX as usize, "children")?;
            let children = (0..count).map(|_| ShardDescription::read(r)).collect::<Result<_, _>>()?;
            Ok(Self { catalogue_version, children })
        })
    }
}
