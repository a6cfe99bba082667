//! The record: how a partition key and its data lie in a frame's body. A body is nothing but records, one after the
//! other, so bodies can be joined by appending.
//!
//! ```text
//! 0 u32 data_len    4 u16 key_len    6 u16 flags, zero    8 key (UTF-8), then data
//! ```

use thiserror::Error;

use crate::limits::{FRAME_RECORDS_MAX, KEY_BYTES_MAX, KEY_CHARS_MAX};

/// Bytes before a record's key.
pub const RECORD_HEADER_BYTES: usize = 8;

/// One record, borrowed from a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The partition key, 1 to 256 characters; empty for a record without one, in a stream that spreads records by itself.
    pub key: &'a str,
    /// The data, possibly empty.
    pub data: &'a [u8],
}

/// Why a body is not a row of records, or a record cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The body ends inside a record.
    #[error("record {record} needs {need} bytes at body offset {offset}, the body has {have}")]
    Truncated {
        /// Number of the record in the body.
        record: u32,
        /// Where it starts.
        offset: usize,
        /// Bytes it needs.
        need: u64,
        /// Bytes that are left.
        have: usize,
    },
    /// Reserved bits are set.
    #[error("record {record}: reserved flags {flags:#06x} are set")]
    Flags {
        /// Number of the record in the body.
        record: u32,
        /// What stood there.
        flags: u16,
    },
    /// No partition key.
    #[error("record {record}: the partition key is empty")]
    KeyEmpty {
        /// Number of the record in the body.
        record: u32,
    },
    /// The partition key has more than 256 characters.
    #[error("record {record}: the partition key is longer than {KEY_CHARS_MAX} characters")]
    KeyTooLong {
        /// Number of the record in the body.
        record: u32,
    },
    /// The partition key is not UTF-8.
    #[error("record {record}: the partition key is not UTF-8")]
    KeyUtf8 {
        /// Number of the record in the body.
        record: u32,
    },
    /// Key and data together exceed the stream's limit.
    #[error("record {record}: {bytes} bytes of key and data exceed the stream's limit of {max}")]
    TooLarge {
        /// Number of the record in the body.
        record: u32,
        /// Bytes of key and data.
        bytes: u64,
        /// The stream's limit.
        max: u32,
    },
    /// The number of records is not the promised one, is zero, or exceeds the limit of a frame.
    #[error("{have} records, {expected} were promised; 1 to {FRAME_RECORDS_MAX} are possible")]
    Count {
        /// How many were promised.
        expected: u32,
        /// How many there are.
        have: u32,
    },
}

/// Checks a partition key: not empty, at most 256 characters.
pub fn check_key(key: &str, record: u32) -> Result<(), RecordError> {
    if key.is_empty() {
        return Err(RecordError::KeyEmpty { record });
    }
    check_key_length(key, record)
}

fn check_key_length(key: &str, record: u32) -> Result<(), RecordError> {
    // A key of up to 256 bytes cannot have more characters than that: most keys are never counted.
    if key.len() > KEY_CHARS_MAX && (key.len() > KEY_BYTES_MAX || key.chars().count() > KEY_CHARS_MAX) {
        return Err(RecordError::KeyTooLong { record });
    }
    Ok(())
}

/// Bytes that a record takes in a body.
#[must_use]
pub const fn encoded_bytes(key_len: usize, data_len: usize) -> usize {
    RECORD_HEADER_BYTES + key_len + data_len
}

/// The record's header: the 8 bytes before key and data.
///
/// Panics when a length exceeds its field: the caller checked the limits.
#[must_use]
pub fn encode_header(key_len: usize, data_len: usize) -> [u8; RECORD_HEADER_BYTES] {
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&u32::try_from(data_len).expect("data below 4 GiB").to_le_bytes());
    header[4..6].copy_from_slice(&u16::try_from(key_len).expect("keys have at most 1,024 bytes").to_le_bytes());
    header
}

/// Appends a record to a body. Checks nothing but the width of its fields.
pub fn encode(key: &str, data: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(&encode_header(key.len(), data.len()));
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(data);
}

/// Walks the records of a body. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    body: &'a [u8],
    at: usize,
    record: u32,
}

impl<'a> Records<'a> {
    /// The records of `body`.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0, record: 0 }
    }

    /// Where the next record starts in the body.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let (record, offset) = (self.record, self.at);
        let rest = &self.body[self.at..];
        let truncated = |need| RecordError::Truncated { record, offset, need, have: rest.len() };
        let Some((header, payload)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Err(truncated(RECORD_HEADER_BYTES as u64));
        };
        let data_len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let key_len = usize::from(u16::from_le_bytes([header[4], header[5]]));
        let flags = u16::from_le_bytes([header[6], header[7]]);
        if flags != 0 {
            return Err(RecordError::Flags { record, flags });
        }
        if payload.len() < key_len + data_len {
            return Err(truncated((RECORD_HEADER_BYTES + key_len + data_len) as u64));
        }
        let (key, data) = payload[..key_len + data_len].split_at(key_len);
        let key = std::str::from_utf8(key).map_err(|_| RecordError::KeyUtf8 { record })?;
        check_key_length(key, record)?;
        self.at += RECORD_HEADER_BYTES + key_len + data_len;
        self.record += 1;
        Ok(Record { key, data })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.body.len() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.at = self.body.len();
        }
        Some(item)
    }
}

/// What a stream takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Key and data together, in bytes.
    pub record_bytes_max: u32,
    /// Whether records need no key: the stream spreads them by itself.
    pub keyless: bool,
}

/// Checks a whole body before it is stored: the records are well-formed, as many as promised, each one that the stream
/// takes. Touches the record headers and keys only, not the data.
pub fn check_body(body: &[u8], record_count: u32, terms: Terms) -> Result<(), RecordError> {
    let Terms { record_bytes_max, keyless } = terms;
    let mut have = 0;
    for record in Records::new(body) {
        let record = record?;
        if record.key.is_empty() && !keyless {
            return Err(RecordError::KeyEmpty { record: have });
        }
        let bytes = (record.key.len() + record.data.len()) as u64;
        if bytes > u64::from(record_bytes_max) {
            return Err(RecordError::TooLarge { record: have, bytes, max: record_bytes_max });
        }
        have += 1;
    }
    if have != record_count || have == 0 || have > FRAME_RECORDS_MAX {
        return Err(RecordError::Count { expected: record_count, have });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_body(body: &[u8], record_count: u32, record_bytes_max: u32) -> Result<(), RecordError> {
        super::check_body(body, record_count, Terms { record_bytes_max, keyless: false })
    }

    fn body(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, data) in records {
            encode(key, data, &mut out);
        }
        out
    }

    /// Goal: records come back as written; joining two bodies gives the records of both.
    #[test]
    fn bodies_round_trip_and_join() {
        let mut joined = body(&[("a", b"1"), ("schlüssel", b"")]);
        joined.extend_from_slice(&body(&[("c", &[7; 3000])]));
        let records: Vec<_> = Records::new(&joined).map(Result::unwrap).collect();
        assert_eq!(records.len(), 3);
        assert_eq!(records[1], Record { key: "schlüssel", data: b"" });
        assert_eq!(records[2].data, [7; 3000]);
        check_body(&joined, 3, 3001).unwrap();
    }

    /// Goal: the committed bytes of one record, so that the format cannot drift unnoticed.
    #[test]
    fn committed_sample() {
        assert_eq!(body(&[("ab", b"xyz")]), b"\x03\0\0\0\x02\0\0\0abxyz");
    }

    /// Goal: every truncation inside a record is an error, never a panic and never a shorter record.
    #[test]
    fn every_truncation_is_refused() {
        let whole = body(&[("key", b"some data")]);
        for cut in 1..whole.len() {
            assert!(check_body(&whole[..cut], 1, 100).is_err(), "cut at {cut}");
        }
        assert_eq!(check_body(&[], 1, 100), Err(RecordError::Count { expected: 1, have: 0 }));
    }

    /// Goal: each rule of a record has its own error.
    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(check_body(&body(&[("", b"x")]), 1, 100), Err(RecordError::KeyEmpty { record: 0 }));
        super::check_body(&body(&[("", b"x")]), 1, Terms { record_bytes_max: 100, keyless: true }).unwrap();
        let (fits, too_long) = ("é".repeat(256), "é".repeat(257));
        check_body(&body(&[(&fits, b"x")]), 1, 1000).unwrap();
        assert_eq!(check_body(&body(&[(&too_long, b"x")]), 1, 1000), Err(RecordError::KeyTooLong { record: 0 }));
        assert_eq!(
            check_body(&body(&[("a", b"x"), ("k", &[0; 100])]), 2, 100),
            Err(RecordError::TooLarge { record: 1, bytes: 101, max: 100 })
        );
        assert_eq!(check_body(&body(&[("a", b"x")]), 2, 100), Err(RecordError::Count { expected: 2, have: 1 }));
        let mut flagged = body(&[("a", b"x")]);
        flagged[6] = 1;
        assert_eq!(check_body(&flagged, 1, 100), Err(RecordError::Flags { record: 0, flags: 1 }));
        let mut wrong = body(&[("a", b"x")]);
        wrong[8] = 0xff;
        assert_eq!(check_body(&wrong, 1, 100), Err(RecordError::KeyUtf8 { record: 0 }));
        let mut lying = body(&[("a", b"x")]);
        lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(check_body(&lying, 1, 100), Err(RecordError::Truncated { .. })));
    }
}
