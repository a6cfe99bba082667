//! StoreGet: a small value and its lease.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_OWNER_BYTES_MAX, STORE_SPACE_BYTES_MAX, STORE_VALUE_BYTES_MAX};
use crate::protocol::Opcode;

/// Reads the item under a key.
///
/// ```text
/// 0 str16 space   then str16 key
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreGet<'a> {
    /// The space.
    pub space: &'a str,
    /// The key.
    pub key: &'a str,
}

/// Answers a [`StoreGet`].
///
/// ```text
/// 0 u8 found   if found: item
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreGetAnswer<'a> {
    /// The item, if there is one.
    pub item: Option<StoreItem<'a>>,
}

/// A small value with its key.
///
/// ```text
/// 0 u64 version   8 str16 key   then bytes16 value   u8 leased
/// if leased: u64 token   u32 ttl_ms   u32 remaining_ms   str16 owner
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreItem<'a> {
    /// Grows with every put; 0 if a lease was claimed and nothing put yet.
    pub version: u64,
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// The lease, if somebody has taken one and not given it back.
    pub lease: Option<Lease<'a>>,
}

/// A lease of an item: its holder alone may change the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease<'a> {
    /// Its number. Later leases have higher ones, over all keys and spaces; never 0.
    pub token: u64,
    /// How long it lasts from each renewal, in milliseconds.
    pub ttl_ms: u32,
    /// How long it still lasts, by the node's clock, in milliseconds. At 0 anybody may claim it; until then it is held.
    pub remaining_ms: u32,
    /// Who holds it, as the holder calls itself.
    pub owner: &'a str,
}

impl Operation for StoreGet<'_> {
    const OPCODE: Opcode = Opcode::StoreGet;
    type Answer<'a> = StoreGetAnswer<'a>;
}

impl Encode for StoreGet<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_bytes16(self.key.as_bytes());
    }
}

impl<'a> Decode<'a> for StoreGet<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self { space: r.str16(STORE_SPACE_BYTES_MAX, "space")?, key: r.str16(STORE_KEY_BYTES_MAX, "key")? })
        })
    }
}

impl Encode for StoreGetAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bool(self.item.is_some());
        if let Some(item) = &self.item {
            item.encode(out);
        }
    }
}

impl<'a> Decode<'a> for StoreGetAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { item: if r.bool("found")? { Some(StoreItem::read(r)?) } else { None } }))
    }
}

impl<'a> StoreItem<'a> {
    /// Fewest bytes of one: an empty key and value, no lease.
    pub(super) const BYTES_MIN: usize = 8 + 2 + 2 + 1;

    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.version);
        out.put_bytes16(self.key.as_bytes());
        out.put_bytes16(self.value);
        out.put_bool(self.lease.is_some());
        if let Some(lease) = &self.lease {
            out.put_u64(lease.token);
            out.put_u32(lease.ttl_ms);
            out.put_u32(lease.remaining_ms);
            out.put_bytes16(lease.owner.as_bytes());
        }
    }

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: r.u64("version")?,
            key: r.str16(STORE_KEY_BYTES_MAX, "key")?,
            value: r.bytes16(STORE_VALUE_BYTES_MAX, "value")?,
            lease: if r.bool("leased")? { Some(Lease::read(r)?) } else { None },
        })
    }
}

impl<'a> Lease<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            token: r.u64("token")?,
            ttl_ms: r.u32("ttl_ms")?,
            remaining_ms: r.u32("remaining_ms")?,
            owner: r.str16(STORE_OWNER_BYTES_MAX, "owner")?,
        })
    }
}
