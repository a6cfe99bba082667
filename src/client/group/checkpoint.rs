//! How far an application has read a shard, as a value in the store.
//!
//! ```text
//! 0 u8 version (1)   1 u8 kind   2 u64 offset, 0 where the kind has none
//! ```
//! An item without a value was claimed and nothing was noted yet: that is the horizon.

use super::plan;
use crate::codec::{DecodeError, Reader, Write};
use crate::types::Offset;

/// Version of the encoding.
const VERSION: u8 = 1;

/// Where to go on in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Kind 0: at the oldest record kept.
    Horizon,
    /// Kind 1: behind the newest record. Only ever set by hand: groups note offsets.
    Latest,
    /// Kind 2: at this record, the first one not processed.
    At(Offset),
    /// Kind 3: nowhere. The shard is closed and every record was processed.
    Ended,
}

impl Checkpoint {
    /// The value to be stored.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let (kind, offset) = match self {
            Self::Horizon => (0, 0),
            Self::Latest => (1, 0),
            Self::At(offset) => (2, offset.0),
            Self::Ended => (3, 0),
        };
        let mut out = Vec::with_capacity(10);
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_u64(offset);
        out
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// If it is not a checkpoint, or one of a later version: not for this code to guess at.
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        if value.is_empty() {
            return Ok(Self::Horizon);
        }
        let mut r = Reader::new(value);
        let version = r.u8("version")?;
        if version != VERSION {
            return Err(DecodeError::Invalid { what: "version", offset: 0, value: version.into() });
        }
        let (kind, offset) = (r.u8("kind")?, r.u64("offset")?);
        r.end()?;
        match (kind, offset) {
            (0, 0) => Ok(Self::Horizon),
            (1, 0) => Ok(Self::Latest),
            (2, offset) => Ok(Self::At(Offset(offset))),
            (3, 0) => Ok(Self::Ended),
            (kind, _) => Err(DecodeError::Invalid { what: "kind", offset: 1, value: kind.into() }),
        }
    }

    pub(super) fn for_plan(self) -> plan::Checkpoint {
        match self {
            Self::Horizon => plan::Checkpoint::None,
            Self::Latest | Self::At(_) => plan::Checkpoint::At,
            Self::Ended => plan::Checkpoint::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every checkpoint comes back from its stored form, whose bytes stay what they are; and what is no checkpoint is
    /// refused, every truncation too.
    #[test]
    fn round_trip() {
        let all = [Checkpoint::Horizon, Checkpoint::Latest, Checkpoint::At(Offset(0x0102)), Checkpoint::Ended];
        for checkpoint in all {
            let value = checkpoint.encode();
            assert_eq!(Checkpoint::decode(&value), Ok(checkpoint));
            for len in 1..value.len() {
                assert!(Checkpoint::decode(&value[..len]).is_err());
            }
            assert!(Checkpoint::decode(&[&value[..], &[0]].concat()).is_err());
        }
        assert_eq!(Checkpoint::At(Offset(0x0102)).encode(), [1, 2, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Checkpoint::decode(&[]), Ok(Checkpoint::Horizon));
        for wrong in [[2, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 0, 0, 0, 0, 0, 0], [1, 3, 1, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Checkpoint::decode(&wrong).is_err());
        }
    }
}
