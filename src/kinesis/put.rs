//! The fast way for the bodies of `PutRecords` and `PutRecord`: from the body straight into the shards' batches, without a
//! tree in between and with one copy of the data, which decodes it.
//!
//! Design constraints:
//! - The stream's name often stands behind the records, so it takes two steps: [`scan`] walks the body once and notes where
//!   things are, [`Scan::feed`] hands the records to a [`Sink`] that by then knows the stream's shards.
//! - It takes only what clients really send. On anything else (escapes in texts, members it does not know, nulls, duplicates,
//!   things of wrong types or sizes) it gives up, and the caller goes the general way, which gives the values or the exact
//!   error. So nothing here has an error message, and what is taken means the same on both ways.
//! - No byte is looked at twice without need. `scan` finds the end of the data but does not read it: whether it is base64 is
//!   seen when it is decoded, whether a key is UTF-8 when the key is handed out. So `feed` can give up too, half-way.
//! - Steady state allocates nothing: the notes go into a [`Scratch`] that is kept.
//!
//! ```text
//! body ──scan──▶ head: stream, dry run ...       ──▶ the server finds the stream
//!           └──▶ notes: key, hash key, data, ... ──feed──▶ Sink::record per record, data decoded behind its key
//! ```
//!
//! Who calls it keeps to this order: `scan`, or the general way if it gives up; [`Scan::hash_keys`], if records are routed by
//! them; make a sink; `feed`; if that gives up, drop the sink with all it took and go the general way.

mod cbor;
mod json;
#[cfg(all(test, feature = "cli"))]
mod tests;

use crate::kinesis::Encoding;
use crate::limits::{KEY_BYTES_MAX, KEY_CHARS_MAX, RECORD_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::types::HashKey;

/// Records in one `PutRecords`.
pub const PUT_RECORDS_MAX: usize = 500;

/// Longest ARN.
const ARN_BYTES_MAX: usize = 2_048;

/// Takes the records of one request: the server's router.
pub trait Sink {
    /// Where the record's data goes. The sink appends to the buffer what stands before the data (the record's header and its
    /// key) and returns it; exactly `data_len` bytes are appended then.
    ///
    /// `key` is empty if the request has none for this record, which only streams that spread records by themselves allow.
    fn record(&mut self, key: &str, explicit_hash: Option<u128>, data_len: usize) -> &mut Vec<u8>;
}

/// Which request a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `PutRecord`.
    Record,
    /// `PutRecords`.
    Records,
}

/// What a request says besides its records. All of it is within the constraints of the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutHead<'a> {
    /// `StreamName`.
    pub stream_name: Option<&'a str>,
    /// `StreamARN`.
    pub stream_arn: Option<&'a str>,
    /// `DryRun`.
    pub dry_run: bool,
    /// `SequenceNumberForOrdering` of `PutRecord`.
    pub sequence_for_ordering: Option<&'a str>,
    /// Whether a record has no partition key.
    pub is_keyless: bool,
    /// Bytes of data and keys of all records together.
    pub bytes: usize,
}

/// The body is not one for the fast way. Says nothing about whether it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusual;

/// Where things stand in the last body that was scanned. Keep one and use it again: it grows to the size of the largest
/// request, 500 records of 16 bytes and their hash keys.
#[derive(Debug, Default)]
pub struct Scratch {
    notes: Vec<Note>,
    /// The explicit hash keys of the records that have one.
    hashes: Vec<u128>,
}

/// Where a record stands in the body.
#[derive(Clone, Copy, Debug)]
struct Note {
    key_at: u32,
    data_at: u32,
    /// Bytes of the data as it stands in the body.
    data_len: u32,
    key_len: u16,
    /// Its place among the hash keys plus one, 0 if it has none.
    hash: u16,
}

/// A scanned body.
#[derive(Debug)]
pub struct Scan<'a> {
    body: &'a [u8],
    encoding: Encoding,
    head: PutHead<'a>,
    scratch: &'a Scratch,
}

/// Walks a body once and checks it against the constraints of the model, the alphabet of the data and the UTF-8 of the keys
/// excepted. `None` sends the caller the general way.
#[must_use]
pub fn scan<'a>(call: Call, encoding: Encoding, body: &'a [u8], scratch: &'a mut Scratch) -> Option<Scan<'a>> {
    // Places are noted in 32 bits.
    u32::try_from(body.len()).ok()?;
    scratch.notes.clear();
    scratch.hashes.clear();
    let head = match encoding {
        Encoding::Json => walk(call, json::Json::new(body), scratch),
        Encoding::Cbor => walk(call, cbor::Cbor::new(body), scratch),
    }?;
    Some(Scan { body, encoding, head, scratch })
}

impl<'a> Scan<'a> {
    /// What the request says besides its records.
    #[must_use]
    pub const fn head(&self) -> &PutHead<'a> {
        &self.head
    }

    /// How many records there are: 1 to 500.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.scratch.notes.len()
    }

    /// The hash keys of all records, in order: the explicit one where there is one. Computed side by side, which takes a
    /// fraction of the time that a sink needs to compute them one by one. Replaces what is in `out`.
    pub fn hash_keys(&self, out: &mut Vec<HashKey>) {
        out.clear();
        let notes = &self.scratch.notes;
        HashKey::of_each(notes.iter().map(|note| self.slice(note.key_at, note.key_len.into())), out);
        for (note, hash_key) in notes.iter().zip(out) {
            if let Some(explicit) = self.explicit_hash(note) {
                *hash_key = HashKey(explicit);
            }
        }
    }

    /// Hands all records to `sink`, in order. After an error the sink has some of them, the last perhaps without its data:
    /// drop it.
    pub fn feed<S: Sink>(&self, sink: &mut S) -> Result<(), Unusual> {
        match self.encoding {
            Encoding::Json => self.each(sink, json::decoded_len, json::decode),
            Encoding::Cbor => self.each(sink, <[u8]>::len, |data, out| {
                out.extend_from_slice(data);
                Ok(())
            }),
        }
    }

    #[inline]
    fn each<S: Sink>(
        &self,
        sink: &mut S,
        decoded_len: impl Fn(&[u8]) -> usize,
        decode: impl Fn(&[u8], &mut Vec<u8>) -> Result<(), Unusual>,
    ) -> Result<(), Unusual> {
        for note in &self.scratch.notes {
            let key = std::str::from_utf8(self.slice(note.key_at, note.key_len.into())).map_err(|_| Unusual)?;
            let data = self.slice(note.data_at, note.data_len as usize);
            let data_len = decoded_len(data);
            let out = sink.record(key, self.explicit_hash(note), data_len);
            let start = out.len();
            decode(data, out)?;
            debug_assert_eq!(out.len() - start, data_len, "the sink was told how much would come");
        }
        Ok(())
    }

    #[inline]
    fn slice(&self, at: u32, len: usize) -> &'a [u8] {
        &self.body[at as usize..at as usize + len]
    }

    #[inline]
    fn explicit_hash(&self, note: &Note) -> Option<u128> {
        usize::from(note.hash).checked_sub(1).map(|place| self.scratch.hashes[place])
    }
}

/// A text in the body.
#[derive(Clone, Copy, Debug)]
struct Text<'a> {
    at: usize,
    /// Not checked to be UTF-8.
    bytes: &'a [u8],
}

/// Data in the body.
#[derive(Clone, Copy, Debug)]
struct Blob {
    at: usize,
    /// Bytes as it stands there.
    len: usize,
    /// Bytes when decoded.
    decoded_len: usize,
}

/// Takes one thing after the other off the front of a body in one of the encodings. Every function returns `None` where the
/// fast way ends.
trait Tokens<'a> {
    /// A map or list that was opened and not closed yet.
    type Level;

    fn open_map(&mut self) -> Option<Self::Level>;
    fn open_list(&mut self) -> Option<Self::Level>;
    /// The name of the map's next member, whose value comes next; `Some(None)` at its end.
    fn name(&mut self, level: &mut Self::Level) -> Option<Option<&'a [u8]>>;
    /// Whether the list has another item, which comes next.
    fn item(&mut self, level: &mut Self::Level) -> Option<bool>;
    fn text(&mut self) -> Option<Text<'a>>;
    fn blob(&mut self) -> Option<Blob>;
    fn boolean(&mut self) -> Option<bool>;
    /// Nothing follows.
    fn end(self) -> Option<()>;
}

/// The members of a record met so far.
#[derive(Default)]
struct Record<'a> {
    key: Option<Text<'a>>,
    hash: Option<u128>,
    data: Option<Blob>,
}

impl<'a> Record<'a> {
    /// Takes the member's value, if it is a member of a record.
    #[inline(always)]
    fn member<T: Tokens<'a>>(&mut self, name: &[u8], tokens: &mut T) -> Option<()> {
        match name {
            b"Data" => {
                once(&mut self.data, tokens.blob().filter(|data| data.decoded_len <= RECORD_BYTES_MAX as usize)?)
            }
            b"PartitionKey" => once(&mut self.key, tokens.text().filter(|key| is_key(key.bytes))?),
            b"ExplicitHashKey" => once(&mut self.hash, hash_key(tokens.text()?.bytes)?),
            _ => None,
        }
    }

    #[inline(always)]
    fn note(self, head: &mut PutHead<'_>, scratch: &mut Scratch) -> Option<()> {
        let data = self.data?;
        let key = self.key.unwrap_or(Text { at: 0, bytes: &[] });
        head.is_keyless |= key.bytes.is_empty();
        head.bytes += key.bytes.len() + data.decoded_len;
        let hash = self.hash.map_or(0, |hash| {
            scratch.hashes.push(hash);
            scratch.hashes.len()
        });
        // No place is beyond 32 bits, because the body is not; a key has 1,024 bytes at most, a request 500 hash keys.
        scratch.notes.push(Note {
            key_at: key.at as u32,
            data_at: data.at as u32,
            data_len: data.len as u32,
            key_len: key.bytes.len() as u16,
            hash: hash as u16,
        });
        Some(())
    }
}

fn walk<'a, T: Tokens<'a>>(call: Call, mut tokens: T, scratch: &mut Scratch) -> Option<PutHead<'a>> {
    let (mut head, mut dry_run, mut only) = (PutHead::default(), None, Record::default());
    let mut level = tokens.open_map()?;
    while let Some(name) = tokens.name(&mut level)? {
        match name {
            b"Records" if call == Call::Records && scratch.notes.is_empty() => {
                records(&mut tokens, &mut head, scratch)?
            }
            b"StreamName" => once(&mut head.stream_name, ascii(tokens.text()?, is_stream_name)?)?,
            b"StreamARN" => once(&mut head.stream_arn, ascii(tokens.text()?, is_stream_arn)?)?,
            b"DryRun" => once(&mut dry_run, tokens.boolean()?)?,
            b"SequenceNumberForOrdering" if call == Call::Record => {
                once(&mut head.sequence_for_ordering, ascii(tokens.text()?, |text| is_number(text, 129))?)?;
            }
            name if call == Call::Record => only.member(name, &mut tokens)?,
            _ => return None,
        }
    }
    tokens.end()?;
    if call == Call::Record {
        only.note(&mut head, scratch)?;
    }
    head.dry_run = dry_run.unwrap_or(false);
    (!scratch.notes.is_empty()).then_some(head)
}

fn records<'a, T: Tokens<'a>>(tokens: &mut T, head: &mut PutHead<'a>, scratch: &mut Scratch) -> Option<()> {
    let mut list = tokens.open_list()?;
    while tokens.item(&mut list)? {
        if scratch.notes.len() == PUT_RECORDS_MAX {
            return None;
        }
        let mut record = Record::default();
        let mut level = tokens.open_map()?;
        while let Some(name) = tokens.name(&mut level)? {
            record.member(name, tokens)?;
        }
        record.note(head, scratch)?;
    }
    // An empty list is an error, and must not pass for one that was not met yet.
    (!scratch.notes.is_empty()).then_some(())
}

/// Sets what was not set yet: which of two members of one name counts is for the general way to say.
#[inline]
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    if place.is_some() {
        return None;
    }
    *place = Some(value);
    Some(())
}

/// A text that `is_fine`, which must allow ASCII only.
fn ascii<'a>(text: Text<'a>, is_fine: impl Fn(&[u8]) -> bool) -> Option<&'a str> {
    if is_fine(text.bytes) { std::str::from_utf8(text.bytes).ok() } else { None }
}

/// 1 to 256 characters. Which bytes make characters is checked when the key is handed out.
#[inline(always)]
fn is_key(key: &[u8]) -> bool {
    if key.len() <= KEY_CHARS_MAX {
        return !key.is_empty();
    }
    // Every character has one byte that continues no other.
    key.len() <= KEY_BYTES_MAX && key.iter().filter(|byte| **byte & 0xc0 != 0x80).count() <= KEY_CHARS_MAX
}

/// `0|([1-9]\d{0,n-1})`.
fn is_number(text: &[u8], digits_max: usize) -> bool {
    match text {
        b"0" => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < digits_max && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// A hash key. None above 2^128 - 1 either, which the pattern allows and the service does not.
fn hash_key(text: &[u8]) -> Option<u128> {
    if !is_number(text, 39) {
        return None;
    }
    text.iter().try_fold(0_u128, |sum, digit| sum.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
}

/// `[a-zA-Z0-9_.-]+`, 1 to 128.
fn is_stream_name(text: &[u8]) -> bool {
    (1..=STREAM_NAME_BYTES_MAX).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

/// `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`, but only as such names really look: what stands for `.*` has no colon in it, and
/// the name is one of a stream.
fn is_stream_arn(text: &[u8]) -> bool {
    if text.len() > ARN_BYTES_MAX || !text.is_ascii() {
        return false;
    }
    let mut parts = text.split(|byte| *byte == b':');
    let mut part = || parts.next().unwrap_or(b"");
    part() == b"arn"
        && part().starts_with(b"aws")
        && part() == b"kinesis"
        && !part().iter().any(u8::is_ascii_control)
        && is_account(part())
        && part().strip_prefix(b"stream/").is_some_and(is_stream_name)
        && parts.next().is_none()
}

fn is_account(text: &[u8]) -> bool {
    text.len() == 12 && text.iter().all(u8::is_ascii_digit)
}
