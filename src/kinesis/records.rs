//! The answers that carry records, or one line per record: `GetRecords`, the events of `SubscribeToShard`, `PutRecords`.
//! Written straight from stored frames into the answer's buffer, in either encoding.
//!
//! Design constraints:
//! - Data goes from the frame to its place in the answer by one copy, which encodes it.
//! - Whatever does not change from one record to the next is written once, into a template that is copied: all but the digits
//!   of the sequence number, the data and the key. See [`SequenceDigits`].
//! - Compact JSON, and maps and lists of unknown length in CBOR, as the service sends them; members in the order of its model.
//!
//! An answer of `GetRecords` is made of [`begin`], [`write_records`] and [`end`]: what comes after the records depends on how
//! many there were.

mod answer;
mod form;
mod results;
mod template;
#[cfg(all(test, feature = "cli"))]
mod tests;

pub use answer::{After, ChildShard, begin, end};
pub use results::{PutResult, Stored, write_put_record, write_put_records};

use crate::format::frame::{FrameHeader, HEADER_BYTES};
use crate::format::record::Records;
use crate::kinesis::Encoding;
use crate::shard::sequence::{SequenceDigits, SequenceNumber};
use crate::types::{Offset, ShardNumber, WallUs};
use template::Template;

/// Data and keys in one answer of `GetRecords` at most, as in Kinesis.
pub const GET_RECORDS_BYTES_MAX: usize = 10 << 20;

/// Records in one answer of `GetRecords` at most, as in Kinesis.
pub const GET_RECORDS_MAX: usize = 10_000;

/// Bytes that a record takes in an answer beside its data, more or less.
const RECORD_OVERHEAD: usize = 200;

/// Which records are wanted, and what their frames do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// When the shard was created.
    pub created: WallUs,
    /// The shard.
    pub shard: ShardNumber,
    /// The first offset that is wanted.
    pub from: Offset,
    /// Records at most.
    pub records_max: usize,
    /// Bytes of data and keys at most. The first record is written whatever its size.
    pub bytes_max: usize,
    /// Whether the stream is encrypted.
    pub is_encrypted: bool,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub count: usize,
    /// Their data and keys, in bytes.
    pub bytes: usize,
    /// The offset to go on from: behind the last record, or the one that was asked for if there was none.
    pub next: Offset,
    /// The last record's number.
    pub last: Option<SequenceNumber>,
    /// When the last record arrived.
    pub last_arrival: Option<WallUs>,
}

/// Appends the list of records: `[...]`. `slices` hold whole frames in order, which the engine has verified.
///
/// Panics if they do not: the engine hands out nothing else.
pub fn write_records<'a>(
    out: &mut Vec<u8>,
    encoding: Encoding,
    page: &Page,
    slices: impl Iterator<Item = &'a [u8]> + Clone,
) -> Written {
    out.reserve(estimate(page, slices.clone()));
    match encoding {
        Encoding::Json => write::<template::Json>(out, page, slices),
        Encoding::Cbor => write::<template::Cbor>(out, page, slices),
    }
}

/// Bytes of the answer, so that its buffer is not copied while it grows; too few are no harm. All frames may be far more than
/// a small number of records takes.
fn estimate<'a>(page: &Page, slices: impl Iterator<Item = &'a [u8]>) -> usize {
    const SMALL: usize = 16 << 10;
    let stored = slices.map(<[u8]>::len).sum::<usize>();
    stored.min(page.bytes_max).min(page.records_max.saturating_mul(SMALL)) / 2 * 3
}

fn write<'a, T: Template>(out: &mut Vec<u8>, page: &Page, slices: impl Iterator<Item = &'a [u8]>) -> Written {
    let mut writer = Writer::<T>::new(page);
    out.push(T::OPEN);
    for slice in slices {
        let mut rest = slice;
        while !rest.is_empty() {
            let header = FrameHeader::decode(rest).expect("the engine hands out verified frames");
            let (frame, after) = rest.split_at(header.frame_bytes());
            rest = after;
            if !writer.frame(out, &header, &frame[HEADER_BYTES..]) {
                out.push(T::CLOSE);
                return writer.written;
            }
        }
    }
    out.push(T::CLOSE);
    writer.written
}

struct Writer<'p, T> {
    page: &'p Page,
    template: T,
    digits: SequenceDigits,
    written: Written,
}

impl<'p, T: Template> Writer<'p, T> {
    fn new(page: &'p Page) -> Self {
        Self {
            page,
            template: T::new(page.is_encrypted),
            digits: SequenceDigits::new(SequenceNumber::start(page.created, page.shard)),
            written: Written { count: 0, bytes: 0, next: page.from, last: None, last_arrival: None },
        }
    }

    /// Writes a frame's records. False once the page is full.
    fn frame(&mut self, out: &mut Vec<u8>, header: &FrameHeader, body: &[u8]) -> bool {
        let Page { created, shard, records_max, bytes_max, .. } = *self.page;
        let arrival = header.arrival_us;
        // Frames without records end where they begin, so they are passed over too.
        if header.end_offset() <= self.written.next {
            return true;
        }
        self.template.set_arrival(arrival);
        let mut offset = header.base_offset;
        for record in Records::new(body) {
            let record = record.expect("the engine hands out verified frames");
            if offset >= self.written.next {
                let bytes = record.key.len() + record.data.len();
                let is_over = self.written.count > 0 && self.written.bytes + bytes > bytes_max;
                if is_over || self.written.count >= records_max {
                    return false;
                }
                let number = SequenceNumber::of(created, shard, offset, arrival);
                self.digits.go_to(number);
                out.reserve(record.data.len() / 3 * 4 + record.key.len() + RECORD_OVERHEAD);
                self.template.write(out, self.written.count == 0, &self.digits, &record);
                self.written.count += 1;
                self.written.bytes += bytes;
                self.written.next = offset.plus(1);
                self.written.last = Some(number);
                self.written.last_arrival = Some(arrival);
            }
            offset = offset.plus(1);
        }
        true
    }
}
