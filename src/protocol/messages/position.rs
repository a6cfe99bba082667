//! Position: from a place in words to an offset.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::protocol::Opcode;
use crate::types::{GroupId, Offset, WallUs};

/// Asks which offset a reader starts from.
///
/// ```text
/// 0 u64 group   8 u8 start   9 u64 value
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The shard.
    pub group: GroupId,
    /// The place.
    pub start: Start,
}

/// A place in a shard. On the wire a code and a value, 0 where the place has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// Code 0: the oldest record kept.
    Horizon,
    /// Code 1: after the newest committed record.
    Latest,
    /// Code 2: the record with this offset.
    At(Offset),
    /// Code 3: the record after the one with this offset.
    After(Offset),
    /// Code 4: the first record that arrived at this time or later.
    AtTime(WallUs),
}

/// Answers a [`Position`].
///
/// ```text
/// 0 u64 offset   8 u64 horizon   16 u64 end_offset
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionAnswer {
    /// Where to read from.
    pub offset: Offset,
    /// Offset of the oldest record kept.
    pub horizon: Offset,
    /// Offset after the last committed record.
    pub end_offset: Offset,
}

impl Start {
    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        let (code, value) = match *self {
            Self::Horizon => (0, 0),
            Self::Latest => (1, 0),
            Self::At(offset) => (2, offset.0),
            Self::After(offset) => (3, offset.0),
            Self::AtTime(time) => (4, time.0),
        };
        out.put_u8(code);
        out.put_u64(value);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.offset();
        let (code, value) = (r.u8("start")?, r.u64("value")?);
        match (code, value) {
            (0, 0) => Ok(Self::Horizon),
            (1, 0) => Ok(Self::Latest),
            (0 | 1, _) => Err(DecodeError::Invalid { what: "value", offset: offset + 1, value }),
            (2, _) => Ok(Self::At(Offset(value))),
            (3, _) => Ok(Self::After(Offset(value))),
            (4, _) => Ok(Self::AtTime(WallUs(value))),
            _ => Err(DecodeError::Invalid { what: "start", offset, value: code.into() }),
        }
    }
}

impl Operation for Position {
    const OPCODE: Opcode = Opcode::Position;
    type Answer<'a> = PositionAnswer;
}

impl Encode for Position {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.group.0);
        self.start.encode(out);
    }
}

impl Decode<'_> for Position {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { group: GroupId(r.u64("group")?), start: Start::read(r)? }))
    }
}

impl Encode for PositionAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.offset.0);
        out.put_u64(self.horizon.0);
        out.put_u64(self.end_offset.0);
    }
}

impl Decode<'_> for PositionAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                offset: Offset(r.u64("offset")?),
                horizon: Offset(r.u64("horizon")?),
                end_offset: Offset(r.u64("end_offset")?),
            })
        })
    }
}
