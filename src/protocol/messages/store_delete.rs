//! StoreDelete: the end of a small value.

use super::{Decode, Encode, Expect, Operation, read_token, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_SPACE_BYTES_MAX};
use crate::protocol::Opcode;

/// Deletes an item with its lease, under the conditions of [`super::StorePut`].
///
/// ```text
/// 0 str16 space   then str16 key   u8 expect   u64 version   u64 token
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDelete<'a> {
    /// The space.
    pub space: &'a str,
    /// The key.
    pub key: &'a str,
    /// What must be there.
    pub expect: Expect,
    /// The lease the sender holds; `None` if the item has none. 0 on the wire for none.
    pub token: Option<u64>,
}

/// Answers a [`StoreDelete`]: nothing is under the key, durably.
///
/// ```text
/// 0 u8 existed
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreDeleteAnswer {
    /// There was an item until now.
    pub existed: bool,
}

impl Operation for StoreDelete<'_> {
    const OPCODE: Opcode = Opcode::StoreDelete;
    type Answer<'a> = StoreDeleteAnswer;
}

impl Encode for StoreDelete<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_bytes16(self.key.as_bytes());
        self.expect.encode(out);
        out.put_u64(self.token.unwrap_or(0));
    }
}

impl<'a> Decode<'a> for StoreDelete<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                space: r.str16(STORE_SPACE_BYTES_MAX, "space")?,
                key: r.str16(STORE_KEY_BYTES_MAX, "key")?,
                expect: Expect::read(r)?,
                token: read_token(r, "token")?,
            })
        })
    }
}

impl Encode for StoreDeleteAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bool(self.existed);
    }
}

impl Decode<'_> for StoreDeleteAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { existed: r.bool("existed")? }))
    }
}
