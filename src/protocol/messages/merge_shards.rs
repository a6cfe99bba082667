//! MergeShards: two shards become one.

use super::{Decode, Encode, Operation, ReshardAnswer, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::protocol::Opcode;
use crate::types::ShardNumber;

/// Closes two open shards whose ranges touch, in whichever order, and opens one child for both ranges.
///
/// ```text
/// 0 str16 stream   then u32 shard   u32 adjacent
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeShards<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The shard that becomes the child's parent.
    pub shard: ShardNumber,
    /// The shard that becomes the child's adjacent parent.
    pub adjacent: ShardNumber,
}

impl Operation for MergeShards<'_> {
    const OPCODE: Opcode = Opcode::MergeShards;
    type Answer<'a> = ReshardAnswer;
}

impl Encode for MergeShards<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_u32(self.shard.0);
        out.put_u32(self.adjacent.0);
    }
}

impl<'a> Decode<'a> for MergeShards<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                shard: ShardNumber(r.u32("shard")?),
                adjacent: ShardNumber(r.u32("adjacent")?),
            })
        })
    }
}
