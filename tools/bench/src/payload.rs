//! What each record carries, so that whoever reads it can tell who sent it, as which, when, and whether it is whole.
//!
//! ```text
//!  0 u64 checksum     XXH3-64 of bytes 8.. with the run's number as seed
//!  8 u64 run          number of the run: records of others in the same stream are told apart
//! 16 u32 producer     20 u32 key         numbers; the partition key is `k` and the key's number
//! 24 u64 seq          0, 1, 2, ... per producer and key
//! 32 u64 intended_ns  when the schedule wanted it sent     40 u64 actual_ns  when it was
//! 48 filler           cut from a block of random bytes that no compression makes smaller
//! ```
//! Integers are little-endian. Times are CLOCK_MONOTONIC of the machine. The checksum is another one than the node's
//! (CRC-32), so that an error in one cannot hide in the other.

#![forbid(unsafe_code)]

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::rng::Rng;

/// Bytes before the filler.
pub const HEADER_BYTES: usize = 48;

/// Bytes of the block that filler is cut from; larger records repeat it.
const BLOCK_BYTES: usize = 1 << 20;

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

/// Writes records.
#[derive(Debug)]
pub struct Writer {
    run: u64,
    block: Vec<u8>,
    /// The record written last.
    record: Vec<u8>,
    /// Where the next filler is cut.
    at: usize,
}

impl Writer {
    /// A writer of records of this run.
    #[must_use]
    pub fn new(run: u64, rng: &mut Rng) -> Self {
        let mut block = vec![0; BLOCK_BYTES];
        for word in block.chunks_exact_mut(8) {
            word.copy_from_slice(&rng.number().to_le_bytes());
        }
        Self { run, block, record: Vec::new(), at: 0 }
    }

    /// A record of `bytes` bytes, [`HEADER_BYTES`] at least.
    pub fn write(&mut self, tag: &Tag, bytes: usize) -> &[u8] {
        let filler = bytes.saturating_sub(HEADER_BYTES);
        self.record.clear();
        let record = &mut self.record;
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&self.run.to_le_bytes());
        record.extend_from_slice(&tag.producer.to_le_bytes());
        record.extend_from_slice(&tag.key.to_le_bytes());
        record.extend_from_slice(&tag.seq.to_le_bytes());
        record.extend_from_slice(&tag.intended_ns.to_le_bytes());
        record.extend_from_slice(&tag.actual_ns.to_le_bytes());
        let mut left = filler;
        while left > 0 {
            let cut = left.min(BLOCK_BYTES - self.at);
            record.extend_from_slice(&self.block[self.at..self.at + cut]);
            self.at = (self.at + cut) % BLOCK_BYTES;
            left -= cut;
        }
        let checksum = xxh3_64_with_seed(&record[8..], self.run);
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
    let computed = xxh3_64_with_seed(&data[8..], run);
    if stored != computed {
        // Whole under its own run's number it is a stranger, not a damaged one of ours.
        let stranger = its_run != run && stored == xxh3_64_with_seed(&data[8..], its_run);
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

    /// Goal: a record of any size comes back with its tag, also when it is larger than the block its filler is cut from.
    #[test]
    fn round_trip() {
        for bytes in [HEADER_BYTES, 49, 1_024, BLOCK_BYTES + 100, 3 * BLOCK_BYTES] {
            let data = record(bytes);
            assert_eq!(data.len(), bytes);
            assert_eq!(read(7, &key_text(17), &data), Ok(TAG), "{bytes}");
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
