//! Subscribe: frames of one shard pushed as they are committed. The pushes carry a [`super::ReadState`] and frames.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::protocol::{ErrorAnswer, Opcode};
use crate::types::{GroupId, Offset};

/// Asks for everything from `from` on. The request's correlation names the subscription from now on.
///
/// ```text
/// 0 u64 group   8 u64 from   16 u32 credit
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The shard.
    pub group: GroupId,
    /// Offset of the first record wanted.
    pub from: Offset,
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
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionEnd<'a> {
    /// Offset after the last record pushed: where to subscribe again.
    pub next_offset: Offset,
    /// Why the node ended it; `None` at the end of a closed shard, when everything was pushed.
    pub error: Option<ErrorAnswer<'a>>,
}

impl Operation for Subscribe {
    const OPCODE: Opcode = Opcode::Subscribe;
    type Answer<'a> = SubscribeAnswer;
}

impl Encode for Subscribe {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.group.0);
        out.put_u64(self.from.0);
        out.put_u32(self.credit);
    }
}

impl Decode<'_> for Subscribe {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self { group: GroupId(r.u64("group")?), from: Offset(r.u64("from")?), credit: r.u32("credit")? })
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
            error.encode(out);
        }
    }
}

impl<'a> Decode<'a> for SubscriptionEnd<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let next_offset = Offset(r.u64("next_offset")?);
            let error = if r.bool("failed")? { Some(ErrorAnswer::read(r)?) } else { None };
            Ok(Self { next_offset, error })
        })
    }
}
