//! A record in an answer, in each encoding. What is the same for all records of a frame is made once and copied.
//!
//! ```text
//! ,{"SequenceNumber":"<digits>","ApproximateArrivalTimestamp":1700000000.123,"Data":"<data>","PartitionKey":"<key>"}
//! ├───── start ─────┤         ├───────────────────── middle ───────────────────────┤                             ├┤ tail
//! ```

use base64_simd::STANDARD;

use crate::format::record::Record;
use crate::kinesis::{cbor, json};
use crate::shard::sequence::SequenceDigits;
use crate::types::WallUs;

/// A record's form in one of the encodings.
pub(super) trait Template {
    /// Opens a list.
    const OPEN: u8;
    /// Closes a list.
    const CLOSE: u8;

    fn new(is_encrypted: bool) -> Self;

    /// The records that follow arrived then.
    fn set_arrival(&mut self, arrival: WallUs);

    /// Appends a record.
    fn write(&self, out: &mut Vec<u8>, is_first: bool, digits: &SequenceDigits, record: &Record<'_>);
}

/// What stands between the digits of the sequence number and the data.
struct Middle {
    bytes: Vec<u8>,
    /// Bytes before the time.
    time_at: usize,
    arrival_ms: Option<u64>,
}

impl Middle {
    fn new(before_time: &[u8]) -> Self {
        Self { bytes: before_time.to_vec(), time_at: before_time.len(), arrival_ms: None }
    }

    /// If this is not the time that stands there: cuts it off, for the new one to be appended.
    fn turns_to(&mut self, arrival_ms: u64) -> bool {
        let is_new = self.arrival_ms != Some(arrival_ms);
        if is_new {
            self.arrival_ms = Some(arrival_ms);
            self.bytes.truncate(self.time_at);
        }
        is_new
    }
}

/// JSON.
pub(super) struct Json {
    middle: Middle,
    tail: &'static [u8],
}

impl Template for Json {
    const OPEN: u8 = b'[';
    const CLOSE: u8 = b']';

    fn new(is_encrypted: bool) -> Self {
        let tail: &[u8] = if is_encrypted { br#"","EncryptionType":"KMS"}"# } else { br#""}"# };
        Self { middle: Middle::new(br#"","ApproximateArrivalTimestamp":"#), tail }
    }

    fn set_arrival(&mut self, arrival: WallUs) {
        let ms = arrival.millis();
        if self.middle.turns_to(ms) {
            json::write::time(&mut self.middle.bytes, ms);
            self.middle.bytes.extend_from_slice(br#","Data":""#);
        }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, is_first: bool, digits: &SequenceDigits, record: &Record<'_>) {
        const START: &[u8] = br#",{"SequenceNumber":""#;
        // The comma stands between records only.
        out.extend_from_slice(&START[usize::from(is_first)..]);
        digits.append_to(out);
        out.extend_from_slice(&self.middle.bytes);
        STANDARD.encode_append(record.data, out);
        // In streams that spread records by themselves some have none.
        if !record.key.is_empty() {
            out.extend_from_slice(br#"","PartitionKey":""#);
            json::write::inside(out, record.key);
        }
        out.extend_from_slice(self.tail);
    }
}

/// CBOR.
pub(super) struct Cbor {
    middle: Middle,
    tail: &'static [u8],
}

impl Template for Cbor {
    const OPEN: u8 = cbor::write::LIST;
    const CLOSE: u8 = cbor::write::BREAK;

    fn new(is_encrypted: bool) -> Self {
        let tail: &[u8] = if is_encrypted { b"\x6eEncryptionType\x63KMS\xff" } else { b"\xff" };
        Self { middle: Middle::new(b"\x78\x1bApproximateArrivalTimestamp"), tail }
    }

    fn set_arrival(&mut self, arrival: WallUs) {
        let ms = arrival.millis();
        if self.middle.turns_to(ms) {
            cbor::write::time(&mut self.middle.bytes, ms);
            self.middle.bytes.extend_from_slice(b"\x64Data");
        }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>, _: bool, digits: &SequenceDigits, record: &Record<'_>) {
        out.extend_from_slice(b"\xbf\x6eSequenceNumber\x78\x38");
        digits.append_to(out);
        out.extend_from_slice(&self.middle.bytes);
        cbor::write::blob(out, record.data);
        if !record.key.is_empty() {
            out.extend_from_slice(b"\x6cPartitionKey");
            cbor::write::text(out, record.key);
        }
        out.extend_from_slice(self.tail);
    }
}
