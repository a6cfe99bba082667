//! The first block of a segment file. It says whose segment this is and nothing about its contents, so that a segment can
//! be prepared, synced and named before anybody knows which frame will be its first: rolling over costs no sync.
//!
//! ```text
//!  0 u32 magic "MSS1"   4 u32 crc = CRC-32 of bytes 8..4096   8 u32 version
//! 12 u32 zero          16 u64 group_id   24 u64 number   32 u64 created_us   40 u64 capacity    48.. zero
//! ```
//! Frames follow from byte 4,096. A segment ends where no frame continues the chain; the next one starts there.

use thiserror::Error;

use crate::codec::{Reader, Write};
use crate::format::names::SegmentNumber;
use crate::limits::BLOCK_BYTES;
use crate::types::{GroupId, WallUs};

/// First four bytes of a segment: "MSS1".
pub const MAGIC: u32 = u32::from_le_bytes(*b"MSS1");

/// The version of the segment format that this code writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// Where the first frame starts.
pub const FRAMES_AT: u64 = BLOCK_BYTES as u64;

/// A decoded segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose log it is part of.
    pub group: GroupId,
    /// Its number in that log.
    pub number: SegmentNumber,
    /// When it was prepared.
    pub created: WallUs,
    /// Bytes reserved for it, this block included.
    pub capacity: u64,
}

/// Why a block is not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// Shorter than a block.
    #[error("the first block has {0} bytes, not {BLOCK_BYTES}")]
    Truncated(usize),
    /// The magic is another one.
    #[error("magic is {0:#010x}, not {MAGIC:#010x}")]
    Magic(u32),
    /// The checksum does not match.
    #[error("header checksum is {computed:#010x}, the header says {stored:#010x}")]
    Crc {
        /// What the header says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A version this code does not read.
    #[error("segment version {0}, this code reads {VERSION}")]
    Version(u32),
}

impl SegmentHeader {
    /// Writes the header to the first block of `out`. Panics if `out` is shorter.
    pub fn encode(&self, out: &mut [u8]) {
        let mut bytes = Vec::with_capacity(48);
        bytes.put_u32(MAGIC);
        bytes.put_u32(0);
        bytes.put_u32(VERSION);
        bytes.put_u32(0);
        bytes.put_u64(self.group.0);
        bytes.put_u64(self.number);
        bytes.put_u64(self.created.0);
        bytes.put_u64(self.capacity);
        let block = &mut out[..BLOCK_BYTES];
        block.fill(0);
        block[..bytes.len()].copy_from_slice(&bytes);
        let crc = crc32fast::hash(&block[8..]);
        block[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// The header in the first block of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        let Some(block) = bytes.get(..BLOCK_BYTES) else {
            return Err(SegmentError::Truncated(bytes.len()));
        };
        let mut r = Reader::new(block);
        let mut fields = || -> Result<_, crate::codec::DecodeError> {
            let (magic, stored, version) = (r.u32("magic")?, r.u32("crc")?, r.u32("version")?);
            r.u32("zero")?;
            let header = Self {
                group: GroupId(r.u64("group")?),
                number: r.u64("number")?,
                created: WallUs(r.u64("created")?),
                capacity: r.u64("capacity")?,
            };
            Ok((magic, stored, version, header))
        };
        let Ok((magic, stored, version, header)) = fields() else {
            return Err(SegmentError::Truncated(bytes.len()));
        };
        if magic != MAGIC {
            return Err(SegmentError::Magic(magic));
        }
        let computed = crc32fast::hash(&block[8..]);
        if stored != computed {
            return Err(SegmentError::Crc { stored, computed });
        }
        if version != VERSION {
            return Err(SegmentError::Version(version));
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a header comes back; every flipped byte of the block, its zeros included, is refused.
    #[test]
    fn round_trip_and_every_flip() {
        let header = SegmentHeader { group: GroupId(3), number: 9, created: WallUs(77), capacity: 1 << 20 };
        let mut block = vec![0xaa; BLOCK_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        for at in 0..BLOCK_BYTES {
            let mut damaged = block.clone();
            damaged[at] ^= 0x10;
            assert!(SegmentHeader::decode(&damaged).is_err(), "byte {at}");
        }
        assert!(SegmentHeader::decode(&block[..BLOCK_BYTES - 1]).is_err());
    }
}
