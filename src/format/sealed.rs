//! The envelope of small files that are written once and replaced whole: magic, version, length, checksum, payload.
//!
//! ```text
//! 0 u32 magic    4 u32 crc = CRC-32 of bytes 8..20+len    8 u32 version    12 u64 payload_len    20 payload
//! ```
//! The file is padded with zeros to the block size, since it is written by direct I/O.

use thiserror::Error;

/// Bytes before the payload.
pub const ENVELOPE_BYTES: usize = 20;

/// Why a file is not what its name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealedError {
    /// The file is shorter than its envelope, or than the payload the envelope promises.
    #[error("need {need} bytes, have {have}")]
    Truncated {
        /// Bytes needed.
        need: u64,
        /// Bytes there.
        have: u64,
    },
    /// The magic is another one.
    #[error("magic is {have:#010x}, not {expected:#010x}")]
    Magic {
        /// The one expected.
        expected: u32,
        /// The one there.
        have: u32,
    },
    /// The checksum does not match.
    #[error("checksum is {computed:#010x}, the file says {stored:#010x}")]
    Crc {
        /// What the file says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// Written by a version that this code does not read.
    #[error("version {have}, this code reads up to {max}")]
    Version {
        /// The file's version.
        have: u32,
        /// The newest that can be read.
        max: u32,
    },
}

/// Puts `payload` into its envelope.
#[must_use]
pub fn seal(magic: u32, version: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; ENVELOPE_BYTES];
    out.extend_from_slice(payload);
    out[0..4].copy_from_slice(&magic.to_le_bytes());
    out[8..12].copy_from_slice(&version.to_le_bytes());
    out[12..20].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let crc = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The payload of a file and its version, checked. Bytes after the payload are the padding and are not looked at.
pub fn open(magic: u32, version_max: u32, file: &[u8]) -> Result<(u32, &[u8]), SealedError> {
    let have = file.len() as u64;
    let Some(head) = file.first_chunk::<ENVELOPE_BYTES>() else {
        return Err(SealedError::Truncated { need: ENVELOPE_BYTES as u64, have });
    };
    let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if u32_at(0) != magic {
        return Err(SealedError::Magic { expected: magic, have: u32_at(0) });
    }
    let len = u64::from_le_bytes(head[12..20].try_into().expect("eight bytes"));
    let Some(end) = len.checked_add(ENVELOPE_BYTES as u64).filter(|end| *end <= have) else {
        return Err(SealedError::Truncated { need: len.saturating_add(ENVELOPE_BYTES as u64), have });
    };
    let end = usize::try_from(end).expect("no longer than the file in memory");
    let (stored, computed) = (u32_at(4), crc32fast::hash(&file[8..end]));
    if stored != computed {
        return Err(SealedError::Crc { stored, computed });
    }
    let version = u32_at(8);
    if version == 0 || version > version_max {
        return Err(SealedError::Version { have: version, max: version_max });
    }
    Ok((version, &file[ENVELOPE_BYTES..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a payload comes back, padding or not; every flip and truncation of the file is refused.
    #[test]
    fn flips_and_truncations_are_refused() {
        let mut file = seal(7, 1, b"payload");
        for cut in 0..file.len() {
            assert!(open(7, 1, &file[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(7, 1, &damaged).is_err(), "bit {bit}");
        }
        file.resize(4096, 0);
        assert_eq!(open(7, 1, &file), Ok((1, &b"payload"[..])));
        assert_eq!(open(7, 1, &seal(7, 2, b"")), Err(SealedError::Version { have: 2, max: 1 }));
    }
}
