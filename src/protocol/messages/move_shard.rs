//! MoveShard: a shard changes its worker.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::protocol::Opcode;
use crate::types::{ShardNumber, WorkerId};

/// Gives a shard to another worker, while it is in use. Its group stays the same.
///
/// ```text
/// 0 str16 stream   then u32 shard   u16 to
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveShard<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The shard.
    pub shard: ShardNumber,
    /// The worker that shall own it.
    pub to: WorkerId,
}

/// Answers a [`MoveShard`]: the worker owns the shard, durably.
///
/// ```text
/// 0 u64 catalogue_version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveShardAnswer {
    /// Version of the catalogue with the shard at its new place.
    pub catalogue_version: u64,
}

impl Operation for MoveShard<'_> {
    const OPCODE: Opcode = Opcode::MoveShard;
    type Answer<'a> = MoveShardAnswer;
}

impl Encode for MoveShard<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_u32(self.shard.0);
        out.put_u16(self.to.0);
    }
}

impl<'a> Decode<'a> for MoveShard<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                shard: ShardNumber(r.u32("shard")?),
                to: WorkerId(r.u16("to")?),
            })
        })
    }
}

impl Encode for MoveShardAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.catalogue_version);
    }
}

impl Decode<'_> for MoveShardAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { catalogue_version: r.u64("catalogue_version")? }))
    }
}
