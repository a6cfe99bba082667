//! Credit: room for more pushes.

use super::{Decode, Encode, whole};
use crate::codec::{DecodeError, Write};

/// Adds to the credit of a subscription, up to the node's limit. Not answered; ignored if the subscription is over.
///
/// ```text
/// 0 u64 subscription   8 u32 bytes
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Correlation of the subscribe.
    pub subscription: u64,
    /// Bytes of frames that may be pushed in addition.
    pub bytes: u32,
}

impl Encode for Credit {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.subscription);
        out.put_u32(self.bytes);
    }
}

impl Decode<'_> for Credit {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { subscription: r.u64("subscription")?, bytes: r.u32("bytes")? }))
    }
}
