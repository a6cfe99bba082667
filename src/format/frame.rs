//! The frame: 128 bytes of header and a body. The unit of append, checksum, replication, read and push.
//!
//! Design constraints:
//! - One encoding on disk, on the wire and in the reader's hands.
//! - The header's checksum is apart from the body's, so that the body is summed once, by whoever built it.
//! - The chain makes every frame prove its predecessor: no stale frame of a recycled segment passes for a live one.
//!
//! ```text
//!   0 u32 magic            4 u32 header_crc      CRC-32 (IEEE) of bytes 8..128
//!   8 u64 commit_hint     16 u64 durable_hint    local to the replica, outside the chain
//!  24 u8 version  25 u8 kind  26 u16 flags  28 u32 body_len      replicated from here on
//!  32 u32 body_crc        36 u32 record_count   40 u64 group_id
//!  48 u64 term            56 u64 index
//!  64 u64 base_offset     72 u64 arrival_us
//!  80 u64 chain           = XXH3-64 of bytes 24..128 with the predecessor's chain in this field
//!  88 u64 producer_id     96 u32 producer_epoch 100 u32 producer_seq
//! 104 u64 log_bytes      112 16 bytes zero
//! ```

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits::{FRAME_BODY_BYTES_MAX, FRAME_RECORDS_MAX};
use crate::types::{Chain, FrameIndex, GroupId, Offset, ProducerId, ProducerStamp, Term, WallUs};

/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 128;

/// First four bytes of every frame: "MSF1".
pub const MAGIC: u32 = u32::from_le_bytes(*b"MSF1");

/// The version of the frame format that this code writes, and the only one it reads.
pub const VERSION: u8 = 1;

const REPLICATED_FROM: usize = 24;
const CHAIN_AT: std::ops::Range<usize> = 80..88;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Records.
    Data = 0,
    /// Opens a term.
    NoOp = 1,
    /// A change of the replica set. Reserved: written by no version yet.
    Membership = 2,
    /// A change of the log itself (seal, trim). Carries no records.
    Control = 3,
    /// Fills a flush up to the block boundary. Local: has no place in the chain and no index of its own; its `index`,
    /// `base_offset`, `log_bytes` and `chain` repeat those the next frame starts from.
    Pad = 255,
}

impl Kind {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Data),
            1 => Some(Self::NoOp),
            2 => Some(Self::Membership),
            3 => Some(Self::Control),
            255 => Some(Self::Pad),
            _ => None,
        }
    }
}

/// A decoded frame header. See the module's drawing for the fields' places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Index of the last frame known committed when this one was written. Local to the replica.
    pub commit_hint: FrameIndex,
    /// Every frame with an index *below* this was durable when this one was written. Local to the replica. Damage below
    /// any durable hint is never cut silently.
    pub durable_hint: FrameIndex,
    /// What the frame is for.
    pub kind: Kind,
    /// Reserved, 0.
    pub flags: u16,
    /// Bytes of the body that follows the header.
    pub body_len: u32,
    /// CRC-32 (IEEE) of the body.
    pub body_crc: u32,
    /// Records in the body.
    pub record_count: u32,
    /// The shard incarnation the frame belongs to.
    pub group_id: GroupId,
    /// The reign it was written in.
    pub term: Term,
    /// Its place in the log.
    pub index: FrameIndex,
    /// Offset of its first record (or of the next record, for frames without any).
    pub base_offset: Offset,
    /// When it arrived; never decreases within a shard.
    pub arrival_us: WallUs,
    /// Running hash up to and including this frame's replicated header.
    pub chain: Chain,
    /// The stamp of an idempotent producer, if one sent it.
    pub producer: Option<ProducerStamp>,
    /// Header and body bytes of all replicated frames before this one.
    pub log_bytes: u64,
}

/// Why bytes are not a frame header, or a body is not the one its header promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Fewer bytes than a header, or than the body it promises.
    #[error("need {need} bytes, have {have}")]
    Truncated {
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// The first four bytes are not the magic.
    #[error("magic is {0:#010x}, not {MAGIC:#010x}")]
    Magic(u32),
    /// The header's checksum does not match.
    #[error("header checksum is {computed:#010x}, the header says {stored:#010x}")]
    HeaderCrc {
        /// What the header says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A version this code does not read.
    #[error("frame version {0}, this code reads {VERSION}")]
    Version(u8),
    /// A field of an intact header holds a value it cannot have.
    #[error("field {field} has the invalid value {value}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The body's checksum does not match.
    #[error("body checksum is {computed:#010x}, the header says {stored:#010x}")]
    BodyCrc {
        /// What the header says.
        stored: u32,
        /// What the body gives.
        computed: u32,
    },
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: U32,
    header_crc: U32,
    commit_hint: U64,
    durable_hint: U64,
    version: u8,
    kind: u8,
    flags: U16,
    body_len: U32,
    body_crc: U32,
    record_count: U32,
    group_id: U64,
    term: U64,
    index: U64,
    base_offset: U64,
    arrival_us: U64,
    chain: U64,
    producer_id: U64,
    producer_epoch: U32,
    producer_seq: U32,
    log_bytes: U64,
    zero: [u8; 16],
}

const _: () = assert!(size_of::<Raw>() == HEADER_BYTES);

impl FrameHeader {
    /// Writes the header, with its checksum, to the first [`HEADER_BYTES`] of `out`.
    ///
    /// Panics if `out` is shorter.
    pub fn encode(&self, out: &mut [u8]) {
        let mut raw = self.raw();
        raw.chain = U64::new(self.chain.0);
        raw.header_crc = U32::new(crc32fast::hash(&raw.as_bytes()[8..]));
        out[..HEADER_BYTES].copy_from_slice(raw.as_bytes());
    }

    /// The header at the start of `bytes`, checked for itself: magic, checksum, version, and every field in its range.
    /// The body is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let Ok((raw, _)) = Raw::ref_from_prefix(bytes) else {
            return Err(FrameError::Truncated { need: HEADER_BYTES, have: bytes.len() });
        };
        if raw.magic.get() != MAGIC {
            return Err(FrameError::Magic(raw.magic.get()));
        }
        let computed = crc32fast::hash(&raw.as_bytes()[8..]);
        let stored = raw.header_crc.get();
        if stored != computed {
            return Err(FrameError::HeaderCrc { stored, computed });
        }
        if raw.version != VERSION {
            return Err(FrameError::Version(raw.version));
        }
        let invalid = |field, value| Err(FrameError::Field { field, value });
        let Some(kind) = Kind::from_code(raw.kind) else {
            return invalid("kind", raw.kind.into());
        };
        if raw.flags.get() != 0 {
            return invalid("flags", raw.flags.get().into());
        }
        if raw.body_len.get() > FRAME_BODY_BYTES_MAX {
            return invalid("body_len", raw.body_len.get().into());
        }
        let records = raw.record_count.get();
        if records > FRAME_RECORDS_MAX || (records > 0) != (kind == Kind::Data) {
            return invalid("record_count", records.into());
        }
        let producer = match raw.producer_id.get() {
            0 if raw.producer_epoch.get() != 0 => {
                return invalid("producer_epoch", raw.producer_epoch.get().into());
            }
            0 if raw.producer_seq.get() != 0 => {
                return invalid("producer_seq", raw.producer_seq.get().into());
            }
            0 => None,
            id => {
                Some(ProducerStamp { id: ProducerId(id), epoch: raw.producer_epoch.get(), seq: raw.producer_seq.get() })
            }
        };
        if raw.zero != [0; 16] {
            return invalid("zero", 1);
        }
        Ok(Self {
            commit_hint: FrameIndex(raw.commit_hint.get()),
            durable_hint: FrameIndex(raw.durable_hint.get()),
            kind,
            flags: 0,
            body_len: raw.body_len.get(),
            body_crc: raw.body_crc.get(),
            record_count: records,
            group_id: GroupId(raw.group_id.get()),
            term: Term(raw.term.get()),
            index: FrameIndex(raw.index.get()),
            base_offset: Offset(raw.base_offset.get()),
            arrival_us: WallUs(raw.arrival_us.get()),
            chain: Chain(raw.chain.get()),
            producer,
            log_bytes: raw.log_bytes.get(),
        })
    }

    /// What the chain is after this frame when it was `previous` before. The header's own `chain` plays no part.
    #[must_use]
    pub fn chain_after(&self, previous: Chain) -> Chain {
        let mut raw = self.raw();
        raw.chain = U64::new(previous.0);
        Chain(xxh3_64(&raw.as_bytes()[REPLICATED_FROM..]))
    }

    /// Checks that `body` is the one this header promises.
    pub fn check_body(&self, body: &[u8]) -> Result<(), FrameError> {
        if body.len() != self.body_len as usize {
            return Err(FrameError::Truncated { need: self.body_len as usize, have: body.len() });
        }
        let computed = crc32fast::hash(body);
        if computed != self.body_crc {
            return Err(FrameError::BodyCrc { stored: self.body_crc, computed });
        }
        Ok(())
    }

    /// Bytes of header and body together.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.body_len as usize
    }

    /// Offset after the last record of this frame.
    #[must_use]
    pub const fn end_offset(&self) -> Offset {
        self.base_offset.plus(self.record_count as u64)
    }

    /// The header with its checksum and chain fields still zero.
    fn raw(&self) -> Raw {
        let stamp = self.producer.unwrap_or(ProducerStamp { id: ProducerId(0), epoch: 0, seq: 0 });
        Raw {
            magic: U32::new(MAGIC),
            header_crc: U32::ZERO,
            commit_hint: U64::new(self.commit_hint.0),
            durable_hint: U64::new(self.durable_hint.0),
            version: VERSION,
            kind: self.kind as u8,
            flags: U16::new(self.flags),
            body_len: U32::new(self.body_len),
            body_crc: U32::new(self.body_crc),
            record_count: U32::new(self.record_count),
            group_id: U64::new(self.group_id.0),
            term: U64::new(self.term.0),
            index: U64::new(self.index.0),
            base_offset: U64::new(self.base_offset.0),
            arrival_us: U64::new(self.arrival_us.0),
            chain: U64::ZERO,
            producer_id: U64::new(stamp.id.0),
            producer_epoch: U32::new(stamp.epoch),
            producer_seq: U32::new(stamp.seq),
            log_bytes: U64::new(self.log_bytes),
            zero: [0; 16],
        }
    }
}

/// A frame as it lies in memory: a checked header and the bytes of its body.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header.
    pub header: FrameHeader,
    /// The body, checksum verified.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, header and body verified, and what follows it.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), FrameError> {
        let header = FrameHeader::decode(bytes)?;
        let end = header.frame_bytes();
        if bytes.len() < end {
            return Err(FrameError::Truncated { need: end, have: bytes.len() });
        }
        let body = &bytes[HEADER_BYTES..end];
        header.check_body(body)?;
        Ok((Self { header, body }, &bytes[end..]))
    }
}

const _: () = assert!(CHAIN_AT.start == std::mem::offset_of!(Raw, chain));

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> FrameHeader {
        FrameHeader {
            commit_hint: FrameIndex(5),
            durable_hint: FrameIndex(6),
            kind: Kind::Data,
            flags: 0,
            body_len: 5,
            body_crc: crc32fast::hash(b"hello"),
            record_count: 1,
            group_id: GroupId(9),
            term: Term(3),
            index: FrameIndex(7),
            base_offset: Offset(40),
            arrival_us: WallUs(1_700_000_000_000_000),
            chain: Chain(0),
            producer: Some(ProducerStamp { id: ProducerId(77), epoch: 2, seq: 11 }),
            log_bytes: 4_000,
        }
    }

    fn sealed() -> (FrameHeader, Vec<u8>) {
        let mut header = sample();
        header.chain = header.chain_after(Chain(123));
        let mut bytes = vec![0; HEADER_BYTES];
        header.encode(&mut bytes);
        bytes.extend_from_slice(b"hello");
        (header, bytes)
    }

    /// Goal: a header comes back as it was, and the chain of the decoded header is the one it was sealed with.
    #[test]
    fn round_trip() {
        let (header, bytes) = sealed();
        let (frame, rest) = Frame::split(&bytes).unwrap();
        assert_eq!(frame.header, header);
        assert_eq!(frame.body, b"hello");
        assert!(rest.is_empty());
        assert_eq!(frame.header.chain_after(Chain(123)), header.chain);
        assert_ne!(frame.header.chain_after(Chain(124)), header.chain);
    }

    /// Goal: every truncation and every flipped bit of header and body is an error.
    #[test]
    fn every_truncation_and_flip_is_refused() {
        let (_, bytes) = sealed();
        for cut in 0..bytes.len() {
            assert!(Frame::split(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::split(&damaged).is_err(), "bit {bit}");
        }
    }

    /// Goal: the hints are local: they do not enter the chain, everything from byte 24 on does.
    #[test]
    fn chain_covers_exactly_the_replicated_part() {
        let base = sample();
        let chain = base.chain_after(Chain(1));
        let hints = FrameHeader { commit_hint: FrameIndex(99), durable_hint: FrameIndex(98), ..base };
        assert_eq!(hints.chain_after(Chain(1)), chain);
        for other in [
            FrameHeader { body_crc: 1, ..base },
            FrameHeader { index: FrameIndex(8), ..base },
            FrameHeader { term: Term(4), ..base },
            FrameHeader { group_id: GroupId(10), ..base },
            FrameHeader { producer: None, ..base },
            FrameHeader { log_bytes: 1, ..base },
        ] {
            assert_ne!(other.chain_after(Chain(1)), chain, "{other:?}");
        }
    }

    /// Goal: intact headers with impossible fields are refused by name, so that a claimed length never reserves memory.
    #[test]
    fn impossible_fields_are_refused() {
        let refuse = |header: FrameHeader, name: &str| {
            let mut bytes = [0; HEADER_BYTES];
            header.encode(&mut bytes);
            match FrameHeader::decode(&bytes) {
                Err(FrameError::Field { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        };
        refuse(FrameHeader { body_len: u32::MAX, ..sample() }, "body_len");
        refuse(FrameHeader { record_count: 0, ..sample() }, "record_count");
        refuse(FrameHeader { record_count: FRAME_RECORDS_MAX + 1, ..sample() }, "record_count");
        refuse(FrameHeader { kind: Kind::NoOp, ..sample() }, "record_count");
        refuse(FrameHeader { flags: 1, ..sample() }, "flags");
    }
}
