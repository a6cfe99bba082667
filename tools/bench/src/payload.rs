//! What each record carries, so that whoever reads it can tell who sent it, as which, when, and whether it is whole.
//!
//! ```text
//!  0 u64 checksum     XXH3-64 of bytes 8..48; its seed is XXH3-64 of the filler, XORed with the run's number
//!  8 u64 run          number of the run: records of others in the same stream are told apart
//! 16 u32 producer     20 u32 key         numbers; the partition key is `k` and the key's number
//! 24 u64 seq          0, 1, 2, ... per producer and key
//! 32 u64 intended_ns  when the schedule wanted it sent     40 u64 actual_ns  when it was
//! 48 filler           random bytes that no compression makes smaller
//! ```
//! The filler has a checksum of its own so that a generator need not compute it for every record: it knows its fillers.
//!
//! Integers are little-endian. Times are CLOCK_MONOTONIC of the machine. The checksum is another one than the node's
//! (CRC-32), so that an error in one cannot hide in the other.

#![forbid(unsafe_code)]

use thiserror::Error;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::rng::Rng;

/// Bytes before the filler.
pub const HEADER_BYTES: usize = 48;

/// Bytes of a block, which holds the places of all records of a size; one place if they are larger.
const BLOCK_BYTES: usize = 1 << 20;

/// Places are no smaller.
const PLACE_BYTES_MIN: usize = 1 << 10;

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Who sent it.
    pub producer: u32,
    /// Number of its partition key.
    pub key: u32,
    /// Its number among the records of this producer and key.
    pub seq: u64,
    /// When the schedule wanted it sent.
    pub intended_ns: u64,
    /// When it was handed to the driver.
    pub actual_ns: u64,
}

/// Why bytes are not a record of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Too short for a header.
    #[error("{have} bytes are too few")]
    Short {
        /// Bytes there.
        have: usize,
    },
    /// It says that it is of another run, and is whole as such.
    #[error("a record of run {run:#x}")]
    OtherRun {
        /// The run.
        run: u64,
    },
    /// The checksum does not match.
    #[error("checksum is {computed:#018x}, the record says {stored:#018x}")]
    Checksum {
        /// What the record says.
        stored: u64,
        /// What its bytes give.
        computed: u64,
    },
    /// The partition key is not the one the record was sent with.
    #[error("sent with key {sent}, received with another")]
    Key {
        /// Number of the key it was sent with.
        sent: u32,
    },
}

/// Writes records. They are never copied: a record's header is written in front of filler that lies there already.
#[derive(Debug)]
pub struct Writer {
    run: u64,
    rng: Rng,
    /// By the binary logarithm of the places' size.
    blocks: Vec<Option<Block>>,
}

/// Random bytes, in places of equal size that take turns.
#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    place_bytes: usize,
    next: usize,
    /// Of each place: how long its filler was last time, and the filler's checksum.
    fillers: Vec<Option<(usize, u64)>>,
}

impl Block {
    fn new(place_bytes: usize, rng: &mut Rng) -> Self {
        let mut bytes = vec![0; place_bytes.max(BLOCK_BYTES)];
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&rng.number().to_le_bytes());
        }
        let fillers = vec![None; bytes.len() / place_bytes];
        Self { bytes, place_bytes, next: 0, fillers }
    }

    /// The next place, cut to so many bytes, and the checksum of its filler.
    fn place(&mut self, bytes: usize) -> (&mut [u8], u64) {
        let at = self.next;
        self.next = (at + 1) % self.fillers.len();
        let place = &mut self.bytes[at * self.place_bytes..][..bytes];
        let (_, checksum) = match self.fillers[at].filter(|(known, _)| *known == bytes) {
            Some(filler) => filler,
            None => *self.fillers[at].insert((bytes, xxh3_64(&place[HEADER_BYTES..]))),
        };
        (place, checksum)
    }
}

impl Writer {
    /// A writer of records of this run.
    #[must_use]
    pub fn new(run: u64, rng: &mut Rng) -> Self {
        Self { run, rng: Rng::new(rng.number()), blocks: Vec::new() }
    }

    /// A record of `bytes` bytes, [`HEADER_BYTES`] at least.
    pub fn write(&mut self, tag: &Tag, bytes: usize) -> &[u8] {
        let bytes = bytes.max(HEADER_BYTES);
        let place_bytes = bytes.next_power_of_two().max(PLACE_BYTES_MIN);
        let class = place_bytes.trailing_zeros() as usize;
        if self.blocks.len() <= class {
            self.blocks.resize_with(class + 1, || None);
        }
        let block = self.blocks[class].get_or_insert_with(|| Block::new(place_bytes, &mut self.rng));
        let (record, filler) = block.place(bytes);
        record[8..16].copy_from_slice(&self.run.to_le_bytes());
        record[16..20].copy_from_slice(&tag.producer.to_le_bytes());
        record[20..24].copy_from_slice(&tag.key.to_le_bytes());
        record[24..32].copy_from_slice(&tag.seq.to_le_bytes());
        record[32..40].copy_from_slice(&tag.intended_ns.to_le_bytes());
        record[40..48].copy_from_slice(&tag.actual_ns.to_le_bytes());
        let checksum = xxh3_64_with_seed(&record[8..HEADER_BYTES], filler ^ self.run);
        record[..8].copy_from_slice(&checksum.to_le_bytes());
        record
    }
}

/// The partition key with this number.
#[must_use]
pub fn key_text(key: u32) -> String {
    format!("k{key:06}")
}

/// The tag of a record of `run` that came with `key`, if it is whole.
pub fn read(run: u64, key: &str, data: &[u8]) -> Result<Tag, PayloadError> {
    if data.len() < HEADER_BYTES {
        return Err(PayloadError::Short { have: data.len() });
    }
    let u32_at = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"));
    let (stored, its_run) = (u64_at(0), u64_at(8));
    let filler = xxh3_64(&data[HEADER_BYTES..]);
    let checksum = |run: u64| xxh3_64_with_seed(&data[8..HEADER_BYTES], filler ^ run);
    let computed = checksum(run);
    if stored != computed {
        // Whole under its own run's number it is a stranger, not a damaged one of ours.
        let stranger = its_run != run && stored == checksum(its_run);
        return Err(if stranger {
            PayloadError::OtherRun { run: its_run }
        } else {
            PayloadError::Checksum { stored, computed }
        });
    }
    let tag =
        Tag { producer: u32_at(16), key: u32_at(20), seq: u64_at(24), intended_ns: u64_at(32), actual_ns: u64_at(40) };
    if key_number(key) != Some(tag.key) {
        return Err(PayloadError::Key { sent: tag.key });
    }
    Ok(tag)
}

/// The number in a partition key.
fn key_number(key: &str) -> Option<u32> {
    key.strip_prefix('k')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { producer: 3, key: 17, seq: 1 << 40, intended_ns: 5, actual_ns: 9 };

    fn record(bytes: usize) -> Vec<u8> {
        Writer::new(7, &mut Rng::new(1)).write(&TAG, bytes).to_vec()
    }

    /// Goal: a record of any size comes back with its tag, also when it is larger than a block.
    #[test]
    fn round_trip() {
        for bytes in [HEADER_BYTES, 49, 1_024, BLOCK_BYTES + 100, 3 * BLOCK_BYTES] {
            let data = record(bytes);
            assert_eq!(data.len(), bytes);
            assert_eq!(read(7, &key_text(17), &data), Ok(TAG), "{bytes}");
        }
    }

    /// Goal: records that take their turns in the same places, of sizes that change, are each whole when they are handed out.
    #[test]
    fn places_are_used_again() {
        let mut writer = Writer::new(7, &mut Rng::new(1));
        for seq in 0..5_000 {
            let bytes = [1_024, 1_000, 1_024, 5_000, HEADER_BYTES][seq as usize % 5];
            let tag = Tag { seq, ..TAG };
            let data = writer.write(&tag, bytes);
            assert_eq!(data.len(), bytes);
            assert_eq!(read(7, &key_text(17), data), Ok(tag), "{seq}");
        }
    }

    /// Goal: every flipped bit and every truncation is noticed.
    #[test]
    fn damage_is_noticed() {
        let data = record(100);
        for bit in 0..data.len() * 8 {
            let mut damaged = data.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(read(7, &key_text(17), &damaged), Err(PayloadError::Checksum { .. })), "bit {bit}");
        }
        for cut in 0..data.len() {
            assert!(read(7, &key_text(17), &data[..cut]).is_err(), "cut at {cut}");
        }
    }

    /// Goal: a record under another key, and one of another run, are told from a damaged one.
    #[test]
    fn strangers_are_told_apart() {
        let data = record(100);
        assert_eq!(read(7, &key_text(18), &data), Err(PayloadError::Key { sent: 17 }));
        assert_eq!(read(7, "other", &data), Err(PayloadError::Key { sent: 17 }));
        assert_eq!(read(8, &key_text(17), &data), Err(PayloadError::OtherRun { run: 7 }));
    }

    /// Goal: the checksum is the one that is documented, on short inputs and on those that take the vectorised way; values of another
    /// implementation.
    #[test]
    fn the_checksum_is_xxh3() {
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(xxh3_64(&[7; 976]), 0xad5c_3e1c_0857_caeb);
    }

    /// Goal: filler does not compress: a server that compresses must not look better than it is.
    #[test]
    fn filler_has_no_pattern() {
        let data = record(64 << 10);
        let mut counts = [0_u32; 256];
        data[HEADER_BYTES..].iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let expected = (data.len() - HEADER_BYTES) as f64 / 256.0;
        let chi2: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(chi2 < 400.0, "{chi2}");
    }
}
