//! Unsubscribe: the client's end of a subscription.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::protocol::Opcode;

/// Ends a subscription. No push of it follows the answer.
///
/// ```text
/// 0 u64 subscription
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Correlation of the subscribe.
    pub subscription: u64,
}

/// Answers an [`Unsubscribe`].
///
/// ```text
/// 0 u8 existed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeAnswer {
    /// Whether it was still alive; if not, its last push came before this answer, or it never existed.
    pub existed: bool,
}

impl Operation for Unsubscribe {
    const OPCODE: Opcode = Opcode::Unsubscribe;
    type Answer<'a> = UnsubscribeAnswer;
}

impl Encode for Unsubscribe {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.subscription);
    }
}

impl Decode<'_> for Unsubscribe {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { subscription: r.u64("subscription")? }))
    }
}

impl Encode for UnsubscribeAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bool(self.existed);
    }
}

impl Decode<'_> for UnsubscribeAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { existed: r.bool("existed")? }))
    }
}
