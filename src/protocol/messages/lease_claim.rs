//! LeaseClaim: an item to oneself, for a while.

use super::{Decode, Encode, Operation, StoreItem, read_token, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_OWNER_BYTES_MAX, STORE_SPACE_BYTES_MAX};
use crate::protocol::Opcode;

/// Takes the lease of an item: one that nobody holds, one that has run out, or the one named in `take_from`. An item that
/// does not exist is created with an empty value and version 0.
///
/// ```text
/// 0 str16 space   then str16 key   str16 owner   u32 ttl_ms   u64 take_from
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseClaim<'a> {
    /// The space.
    pub space: &'a str,
    /// The key.
    pub key: &'a str,
    /// What the sender calls itself, for those who look. The node compares tokens only.
    pub owner: &'a str,
    /// How long the lease lasts from each renewal, in milliseconds.
    pub ttl_ms: u32,
    /// Token of the lease that may be taken from its holder though it has not run out. 0 on the wire for none.
    pub take_from: Option<u64>,
}

/// Answers a [`LeaseClaim`]: the lease is the sender's, durably; no other token changes the item from now on.
///
/// ```text
/// 0 u64 token   8 item, as in the answer to StoreGet
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseClaimAnswer<'a> {
    /// The new lease's number.
    pub token: u64,
    /// The item, and in it the lease.
    pub item: StoreItem<'a>,
}

impl Operation for LeaseClaim<'_> {
    const OPCODE: Opcode = Opcode::LeaseClaim;
    type Answer<'a> = LeaseClaimAnswer<'a>;
}

impl Encode for LeaseClaim<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_bytes16(self.key.as_bytes());
        out.put_bytes16(self.owner.as_bytes());
        out.put_u32(self.ttl_ms);
        out.put_u64(self.take_from.unwrap_or(0));
    }
}

impl<'a> Decode<'a> for LeaseClaim<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                space: r.str16(STORE_SPACE_BYTES_MAX, "space")?,
                key: r.str16(STORE_KEY_BYTES_MAX, "key")?,
                owner: r.str16(STORE_OWNER_BYTES_MAX, "owner")?,
                ttl_ms: r.u32("ttl_ms")?,
                take_from: read_token(r, "take_from")?,
            })
        })
    }
}

impl Encode for LeaseClaimAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.token);
        self.item.encode(out);
    }
}

impl<'a> Decode<'a> for LeaseClaimAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { token: r.u64("token")?, item: StoreItem::read(r)? }))
    }
}
