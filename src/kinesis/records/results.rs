//! The answers of `PutRecords` and `PutRecord`.

use std::borrow::Cow;

use super::form::{Form, shard_id};
use crate::kinesis::Encoding;
use crate::shard::sequence::{SequenceDigits, SequenceNumber};
use crate::types::{Offset, ShardNumber, WallUs};

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The shard.
    pub shard: ShardNumber,
    /// When the shard was created.
    pub created: WallUs,
    /// The record's offset.
    pub offset: Offset,
    /// When it arrived.
    pub arrival: WallUs,
}

impl Stored {
    /// The record's sequence number.
    #[must_use]
    pub fn number(&self) -> SequenceNumber {
        SequenceNumber::of(self.created, self.shard, self.offset, self.arrival)
    }
}

/// What became of one record of `PutRecords`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutResult<'a> {
    /// It is stored.
    Stored(Stored),
    /// It is not.
    Failed {
        /// The name of an error.
        code: &'a str,
        /// What a human reads.
        message: Cow<'a, str>,
    },
}

/// Appends the answer of `PutRecords`: one result per record, in the order of the request.
///
/// In JSON it begins with `{"FailedRecordCount":`, without a space: some clients search the text for it.
pub fn write_put_records<'a>(
    out: &mut Vec<u8>,
    encoding: Encoding,
    is_encrypted: bool,
    results: impl Iterator<Item = PutResult<'a>> + Clone,
) {
    let mut form = Form { out, encoding };
    let (mut count, mut failed) = (0, 0);
    for result in results.clone() {
        count += 1;
        failed += u64::from(matches!(result, PutResult::Failed { .. }));
    }
    form.out.reserve(count * 128 + 64);
    form.put(br#"{"FailedRecordCount":"#, b"\xbf\x71FailedRecordCount");
    form.number(failed);
    form.put(br#","Records":["#, b"\x67Records\x9f");
    let mut rows = Rows::default();
    for (nth, result) in results.enumerate() {
        if nth > 0 {
            form.put(b",", b"");
        }
        match result {
            PutResult::Stored(stored) => {
                form.put(br#"{"SequenceNumber":""#, b"\xbf\x6eSequenceNumber\x78\x38");
                rows.digits(stored.number()).append_to(form.out);
                form.put(br#"","ShardId":""#, b"\x67ShardId\x74");
                form.out.extend_from_slice(&shard_id(stored.shard));
                form.put(br#""}"#, b"\xff");
            }
            PutResult::Failed { code, message } => {
                form.put(br#"{"ErrorCode":"#, b"\xbf\x69ErrorCode");
                form.text(code);
                form.put(br#","ErrorMessage":"#, b"\x6cErrorMessage");
                form.text(&message);
                form.put(b"}", b"\xff");
            }
        }
    }
    form.put(b"]", b"\xff");
    end(&mut form, is_encrypted);
}

/// Appends the answer of `PutRecord`.
pub fn write_put_record(out: &mut Vec<u8>, encoding: Encoding, is_encrypted: bool, stored: &Stored) {
    let mut form = Form { out, encoding };
    form.put(br#"{"ShardId":""#, b"\xbf\x67ShardId\x74");
    form.out.extend_from_slice(&shard_id(stored.shard));
    form.put(br#"","SequenceNumber":""#, b"\x6eSequenceNumber\x78\x38");
    SequenceDigits::new(stored.number()).append_to(form.out);
    form.put(b"\"", b"");
    end(&mut form, is_encrypted);
}

fn end(form: &mut Form<'_>, is_encrypted: bool) {
    if is_encrypted {
        form.put(br#","EncryptionType":"KMS""#, b"\x6eEncryptionType\x63KMS");
    }
    form.put(b"}", b"\xff");
}

/// Rows of sequence numbers, one per shard: within a request the records of each follow each other. Shards whose numbers end
/// in the same four bits share a row, which makes it slower, not wrong.
#[derive(Default)]
struct Rows([Option<SequenceDigits>; 16]);

impl Rows {
    fn digits(&mut self, number: SequenceNumber) -> &SequenceDigits {
        let row = &mut self.0[number.shard().0 as usize % 16];
        let digits = row.get_or_insert_with(|| SequenceDigits::new(number));
        digits.go_to(number);
        digits
    }
}
