//! Subscribe: frames of one shard pushed as they are committed. The pushes carry a [`super::ReadState`] and frames.

use super::{Decode, Encode, Operation, Start, put_shard, read_shard, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::protocol::{ErrorAnswer, Opcode};
use crate::types::{GroupId, HashKey, Offset, ShardNumber};

/// Children that a shard can have: a split makes two.
const CHILDREN_MAX: usize = 2;

/// Asks for everything from `start` on. The request's correlation names the subscription from now on.
///
/// ```text
/// 0 u64 group   8 u8 start   9 u64 value   17 u64 consumer   25 u32 credit
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The shard.
    pub group: GroupId,
    /// Where to start, as in [`super::Position`].
    pub start: Start,
    /// The registered consumer on whose behalf; 0 for none.
    pub consumer: u64,
    /// Bytes of frames that may be pushed before the first [`super::Credit`].
    pub credit: u32,
}

/// Answers a [`Subscribe`]; pushes follow it.
///
/// ```text
/// 0 u64 from   8 u64 horizon   16 u64 end_offset
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeAnswer {
    /// Offset of the first record that will be pushed.
    pub from: Offset,
    /// Offset of the oldest record kept.
    pub horizon: Offset,
    /// Offset after the last committed record.
    pub end_offset: Offset,
}

/// The args of a subscription's last push, which has no body.
///
/// ```text
/// 0 u64 next_offset   8 u8 failed   if failed: the args of an error answer
/// else: u32 count, count × { u32 number, u64 group, u128 hash_start, u128 hash_end, u32 parent, u32 adjacent_parent }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionEnd<'a> {
    /// Offset after the last record pushed: where to subscribe again.
    pub next_offset: Offset,
    /// Why the node ended it; `None` at the end of a closed shard, when everything was pushed.
    pub error: Option<ErrorAnswer<'a>>,
    /// At the end of a closed shard: the shards that go on with its keys. Not sent beside an error.
    pub children: Vec<ChildShard>,
}

/// A shard that goes on where a closed one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildShard {
    /// Its number in the stream.
    pub number: ShardNumber,
    /// Its incarnation.
    pub group: GroupId,
    /// First hash key of its range.
    pub hash_start: HashKey,
    /// Last hash key of its range.
    pub hash_end: HashKey,
    /// The shard it was split or merged from. 4,294,967,295 on the wire if there is none.
    pub parent: Option<ShardNumber>,
    /// The other shard it was merged from. 4,294,967,295 on the wire if there is none.
    pub adjacent_parent: Option<ShardNumber>,
}

impl Operation for Subscribe {
    const OPCODE: Opcode = Opcode::Subscribe;
    type Answer<'a> = SubscribeAnswer;
}

impl Encode for Subscribe {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.group.0);
        self.start.encode(out);
        out.put_u64(self.consumer);
        out.put_u32(self.credit);
    }
}

impl Decode<'_> for Subscribe {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                group: GroupId(r.u64("group")?),
                start: Start::read(r)?,
                consumer: r.u64("consumer")?,
                credit: r.u32("credit")?,
            })
        })
    }
}

impl Encode for SubscribeAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.from.0);
        out.put_u64(self.horizon.0);
        out.put_u64(self.end_offset.0);
    }
}

impl Decode<'_> for SubscribeAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                from: Offset(r.u64("from")?),
                horizon: Offset(r.u64("horizon")?),
                end_offset: Offset(r.u64("end_offset")?),
            })
        })
    }
}

impl Encode for SubscriptionEnd<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.next_offset.0);
        out.put_bool(self.error.is_some());
        if let Some(error) = &self.error {
            return error.encode(out);
        }
        out.put_u32(self.children.len() as u32);
        for child in &self.children {
            child.encode(out);
        }
    }
}

impl<'a> Decode<'a> for SubscriptionEnd<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let next_offset = Offset(r.u64("next_offset")?);
            if r.bool("failed")? {
                return Ok(Self { next_offset, error: Some(ErrorAnswer::read(r)?), children: Vec::new() });
            }
            let count = r.count32(ChildShard::BYTES, CHILDREN_MAX, "children")?;
            let children = (0..count).map(|_| ChildShard::read(r)).collect::<Result<_, _>>()?;
            Ok(Self { next_offset, error: None, children })
        })
    }
}

impl ChildShard {
    const BYTES: usize = 4 + 8 + 16 + 16 + 4 + 4;

    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.number.0);
        out.put_u64(self.group.0);
        out.put_u128(self.hash_start.0);
        out.put_u128(self.hash_end.0);
        put_shard(out, self.parent);
        put_shard(out, self.adjacent_parent);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: ShardNumber(r.u32("number")?),
            group: GroupId(r.u64("group")?),
            hash_start: HashKey(r.u128("hash_start")?),
            hash_end: HashKey(r.u128("hash_end")?),
            parent: read_shard(r, "parent")?,
            adjacent_parent: read_shard(r, "adjacent_parent")?,
        })
    }
}
