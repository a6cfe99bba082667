//! A record in an answer, in each encoding: everything before its data stands in a template, in which only the digits of the
//! sequence number change from one record to the next.
//!
//! ```text
//! ,{"SequenceNumber":"<56 digits>","ApproximateArrivalTimestamp":1700000000.123,"Data":"  <data>  ","PartitionKey":"<key>"}
//! ├─────────────────────────────── template ─────────────────────────────────────────┤
//! ```

use base64_simd::STANDARD;

use super::form::{BYTES, cbor_head, cbor_text, json_text};
use crate::format::record::Record;
use crate::shard::sequence::SEQUENCE_DIGITS;
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
    fn write(&mut self, out: &mut Vec<u8>, is_first: bool, digits: &[u8; SEQUENCE_DIGITS], record: &Record<'_>);
}

/// Room for everything before the data: 132 bytes of JSON with the longest time, 133 of CBOR.
const HEAD_BYTES_MAX: usize = 160;

/// Everything before the data.
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
    arrival_ms: Option<u64>,
}

impl Head {
    /// A head that begins with `start`, the digits and `middle`; the time comes next.
    fn new(start: &[u8], middle: &[u8]) -> Self {
        let mut head = Self { bytes: [0; HEAD_BYTES_MAX], len: 0, arrival_ms: None };
        head.push(start);
        head.push(&[b'0'; SEQUENCE_DIGITS]);
        head.push(middle);
        head
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Whether the time is not this one; if so it is to be written at `at`.
    fn turns_to(&mut self, arrival_ms: u64, at: usize) -> bool {
        let is_new = self.arrival_ms != Some(arrival_ms);
        if is_new {
            self.arrival_ms = Some(arrival_ms);
            self.len = at;
        }
        is_new
    }
}

/// JSON.
pub(super) struct Json {
    head: Head,
    tail: &'static [u8],
}

const JSON_START: &[u8] = br#",{"SequenceNumber":""#;
const JSON_MIDDLE: &[u8] = br#"","ApproximateArrivalTimestamp":"#;
const JSON_TIME_AT: usize = JSON_START.len() + SEQUENCE_DIGITS + JSON_MIDDLE.len();

impl Template for Json {
    const OPEN: u8 = b'[';
    const CLOSE: u8 = b']';

    fn new(is_encrypted: bool) -> Self {
        let tail: &[u8] = if is_encrypted { br#"","EncryptionType":"KMS"}"# } else { br#""}"# };
        Self { head: Head::new(JSON_START, JSON_MIDDLE), tail }
    }

    /// Seconds, with as many digits of the milliseconds as matter.
    fn set_arrival(&mut self, arrival: WallUs) {
        let ms = arrival.millis();
        if !self.head.turns_to(ms, JSON_TIME_AT) {
            return;
        }
        self.head.push(itoa::Buffer::new().format(ms / 1_000).as_bytes());
        let fraction = [b'.', digit(ms / 100), digit(ms / 10), digit(ms)];
        let digits = fraction.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
        // A point alone says nothing.
        self.head.push(&fraction[..if digits == 1 { 0 } else { digits }]);
        self.head.push(br#","Data":""#);
    }

    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, is_first: bool, digits: &[u8; SEQUENCE_DIGITS], record: &Record<'_>) {
        self.head.bytes[JSON_START.len()..][..SEQUENCE_DIGITS].copy_from_slice(digits);
        // The comma stands between records only.
        out.extend_from_slice(&self.head.bytes[usize::from(is_first)..self.head.len]);
        STANDARD.encode_append(record.data, out);
        out.extend_from_slice(br#"","PartitionKey":""#);
        json_text(out, record.key);
        out.extend_from_slice(self.tail);
    }
}

fn digit(n: u64) -> u8 {
    b'0' + (n % 10) as u8
}

/// CBOR.
pub(super) struct Cbor {
    head: Head,
    tail: &'static [u8],
}

const CBOR_START: &[u8] = b"\xbf\x6eSequenceNumber\x78\x38";
const CBOR_MIDDLE: &[u8] = b"\x78\x1bApproximateArrivalTimestamp\xc1\x1b";
const CBOR_TIME_AT: usize = CBOR_START.len() + SEQUENCE_DIGITS + CBOR_MIDDLE.len();

impl Template for Cbor {
    const OPEN: u8 = 0x9f;
    const CLOSE: u8 = 0xff;

    fn new(is_encrypted: bool) -> Self {
        let tail: &[u8] = if is_encrypted { b"\x6eEncryptionType\x63KMS\xff" } else { b"\xff" };
        Self { head: Head::new(CBOR_START, CBOR_MIDDLE), tail }
    }

    /// Tag 1 and milliseconds, as the Java SDK reads it.
    fn set_arrival(&mut self, arrival: WallUs) {
        let ms = arrival.millis();
        if !self.head.turns_to(ms, CBOR_TIME_AT) {
            return;
        }
        self.head.push(&ms.to_be_bytes());
        self.head.push(b"\x64Data");
    }

    #[inline]
    fn write(&mut self, out: &mut Vec<u8>, _: bool, digits: &[u8; SEQUENCE_DIGITS], record: &Record<'_>) {
        self.head.bytes[CBOR_START.len()..][..SEQUENCE_DIGITS].copy_from_slice(digits);
        out.extend_from_slice(&self.head.bytes[..self.head.len]);
        cbor_head(out, BYTES, record.data.len());
        out.extend_from_slice(record.data);
        out.extend_from_slice(b"\x6cPartitionKey");
        cbor_text(out, record.key);
        out.extend_from_slice(self.tail);
    }
}
