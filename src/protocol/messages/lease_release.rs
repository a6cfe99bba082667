//! LeaseRelease: a lease given back before it runs out.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_SPACE_BYTES_MAX};
use crate::protocol::Opcode;

/// Gives a lease back, so that others need not wait for its end. The item stays.
///
/// ```text
/// 0 str16 space   then str16 key   u64 token
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRelease<'a> {
    /// The space.
    pub space: &'a str,
    /// The key.
    pub key: &'a str,
    /// The lease.
    pub token: u64,
}

/// Answers a [`LeaseRelease`]: nobody holds the item, durably. No args.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseReleaseAnswer;

impl Operation for LeaseRelease<'_> {
    const OPCODE: Opcode = Opcode::LeaseRelease;
    type Answer<'a> = LeaseReleaseAnswer;
}

impl Encode for LeaseRelease<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_bytes16(self.key.as_bytes());
        out.put_u64(self.token);
    }
}

impl<'a> Decode<'a> for LeaseRelease<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                space: r.str16(STORE_SPACE_BYTES_MAX, "space")?,
                key: r.str16(STORE_KEY_BYTES_MAX, "key")?,
                token: r.u64("token")?,
            })
        })
    }
}

impl Encode for LeaseReleaseAnswer {
    fn encode<W: Write>(&self, _: &mut W) {}
}

impl Decode<'_> for LeaseReleaseAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |_| Ok(Self))
    }
}
