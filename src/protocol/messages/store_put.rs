//! StorePut: a small value, compared and set.

use super::{Decode, Encode, Operation, read_token, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{STORE_KEY_BYTES_MAX, STORE_SPACE_BYTES_MAX, STORE_VALUE_BYTES_MAX};
use crate::protocol::Opcode;

/// Stores a value under a key, if what is there is as expected and the lease, if there is one, is the sender's.
///
/// ```text
/// 0 str16 space   then str16 key   bytes16 value   u8 expect   u64 version   u64 token
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorePut<'a> {
    /// The space the key lives in. It need not be created.
    pub space: &'a str,
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// What must be there.
    pub expect: Expect,
    /// The lease the sender holds; `None` if the item has none. 0 on the wire for none.
    pub token: Option<u64>,
}

/// What must be under a key for a change to happen. On the wire a code and a version, 0 where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Code 0: whatever there is or is not.
    Any,
    /// Code 1: nothing.
    Absent,
    /// Code 2: an item of this version.
    Version(u64),
}

/// Answers a [`StorePut`]: the value is durable.
///
/// ```text
/// 0 u64 version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorePutAnswer {
    /// The item's version now. It grows with every put.
    pub version: u64,
}

impl Operation for StorePut<'_> {
    const OPCODE: Opcode = Opcode::StorePut;
    type Answer<'a> = StorePutAnswer;
}

impl Encode for StorePut<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.space.as_bytes());
        out.put_bytes16(self.key.as_bytes());
        out.put_bytes16(self.value);
        self.expect.encode(out);
        out.put_u64(self.token.unwrap_or(0));
    }
}

impl<'a> Decode<'a> for StorePut<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                space: r.str16(STORE_SPACE_BYTES_MAX, "space")?,
                key: r.str16(STORE_KEY_BYTES_MAX, "key")?,
                value: r.bytes16(STORE_VALUE_BYTES_MAX, "value")?,
                expect: Expect::read(r)?,
                token: read_token(r, "token")?,
            })
        })
    }
}

impl Expect {
    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        let (code, version) = match *self {
            Self::Any => (0, 0),
            Self::Absent => (1, 0),
            Self::Version(version) => (2, version),
        };
        out.put_u8(code);
        out.put_u64(version);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.offset();
        let (code, version) = (r.u8("expect")?, r.u64("version")?);
        match (code, version) {
            (0, 0) => Ok(Self::Any),
            (1, 0) => Ok(Self::Absent),
            (0 | 1, _) => Err(DecodeError::Invalid { what: "version", offset: offset + 1, value: version }),
            (2, _) => Ok(Self::Version(version)),
            _ => Err(DecodeError::Invalid { what: "expect", offset, value: code.into() }),
        }
    }
}

impl Encode for StorePutAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.version);
    }
}

impl Decode<'_> for StorePutAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { version: r.u64("version")? }))
    }
}
