//! Input of `millstream put`: cut into records, each with its partition key.
//!
//! Records are taken as they are: only the delimiter is removed, an empty line is a record without data, and a last
//! line needs no delimiter.

use std::io::{self, BufRead, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::args::InputArgs;
use crate::limits::{KEY_CHARS_MAX, RECORD_BYTES_MAX};

/// A record to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRecord {
    /// Its partition key.
    pub key: String,
    /// Its data.
    pub data: Vec<u8>,
}

/// Why input is not what it was said to be. Records are counted from 1, so with newlines that is the line.
#[derive(Debug, Error)]
#[error("record {record}: {problem}")]
pub struct InputError {
    /// The record's number.
    pub record: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a record.
#[derive(Debug, Error)]
pub enum Problem {
    /// It could not be read.
    #[error("cannot read the input: {0}")]
    Read(#[from] io::Error),
    /// It is longer than any stream takes. Reading stopped there.
    #[error("longer than {max} bytes")]
    TooLong {
        /// The longest that is read.
        max: u64,
    },
    /// It is not JSON, or not of the shape that is needed.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The key's field is missing or neither text nor a number.
    #[error("no text or number in the field `{0}`")]
    NoKey(String),
    /// A JSON record with neither or both of `data` and `base64`.
    #[error("needs either \"data\" or \"base64\"")]
    NoData,
    /// What stands in `base64` is something else.
    #[error("\"base64\": {0}")]
    Base64(#[from] base64::DecodeError),
    /// A key no stream takes.
    #[error("the partition key has {0} characters; 1 to {KEY_CHARS_MAX} are possible")]
    KeyLength(usize),
}

/// A record as `get --json` prints it. Other fields are ignored, so that its output can be put again.
#[derive(Deserialize)]
struct JsonRecord {
    key: String,
    data: Option<String>,
    base64: Option<String>,
}

/// A JSON record needs up to 6 bytes for a byte (`\u0000`) and some for its other fields.
const JSON_BYTES_MAX: u64 = 6 * RECORD_BYTES_MAX as u64 + (16 << 10);

/// Where a record's key comes from.
#[derive(Clone, Debug)]
enum Shape {
    /// The same for all.
    Key(String),
    /// This path of fields of the JSON object in the data.
    Field(String),
    /// The record's number.
    Number,
    /// Key and data are fields of a JSON object.
    Json,
}

/// Reads records off a stream of bytes. Memory is bounded by the largest record.
#[derive(Debug)]
pub struct InputRecords<R> {
    input: R,
    delimiter: u8,
    shape: Shape,
    record: u64,
    taken: u64,
}

impl<R: BufRead> InputRecords<R> {
    /// The records of `input`, made as `args` say.
    pub fn new(input: R, args: &InputArgs) -> Self {
        let shape = match (&args.key, &args.key_field) {
            _ if args.json_records => Shape::Json,
            (Some(key), _) => Shape::Key(key.clone()),
            (None, Some(field)) => Shape::Field(field.clone()),
            (None, None) => Shape::Number,
        };
        Self { input, delimiter: if args.null { 0 } else { b'\n' }, shape, record: 0, taken: 0 }
    }

    /// Bytes of input taken so far, delimiters included.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    fn read(&mut self) -> Result<Option<InputRecord>, Problem> {
        let max = if matches!(self.shape, Shape::Json) { JSON_BYTES_MAX } else { u64::from(RECORD_BYTES_MAX) };
        let mut bytes = Vec::new();
        // One more for the delimiter.
        self.taken += self.input.by_ref().take(max + 1).read_until(self.delimiter, &mut bytes)? as u64;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.last() == Some(&self.delimiter) {
            bytes.pop();
        }
        if bytes.len() as u64 > max {
            return Err(Problem::TooLong { max });
        }
        let record = match &self.shape {
            Shape::Key(key) => InputRecord { key: key.clone(), data: bytes },
            Shape::Number => InputRecord { key: self.record.to_string(), data: bytes },
            Shape::Field(field) => InputRecord { key: key_in(&bytes, field)?, data: bytes },
            Shape::Json => from_json(&bytes)?,
        };
        match record.key.chars().count() {
            1..=KEY_CHARS_MAX => Ok(Some(record)),
            count => Err(Problem::KeyLength(count)),
        }
    }
}

impl<R: BufRead> Iterator for InputRecords<R> {
    type Item = Result<InputRecord, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.record += 1;
        self.read().map_err(|problem| InputError { record: self.record, problem }).transpose()
    }
}

fn from_json(line: &[u8]) -> Result<InputRecord, Problem> {
    let record: JsonRecord = serde_json::from_slice(line)?;
    let data = match (record.data, record.base64) {
        (Some(data), None) => data.into_bytes(),
        (None, Some(base64)) => BASE64.decode(base64)?,
        _ => return Err(Problem::NoData),
    };
    Ok(InputRecord { key: record.key, data })
}

/// The key in `field` of a JSON object. A field whose name has dots in it is found before they are taken for a path.
fn key_in(data: &[u8], field: &str) -> Result<String, Problem> {
    let object: Value = serde_json::from_slice(data)?;
    let value = object.get(field).or_else(|| field.split('.').try_fold(&object, |value, name| value.get(name)));
    match value {
        Some(Value::String(key)) => Ok(key.clone()),
        Some(Value::Number(key)) => Ok(key.to_string()),
        _ => Err(Problem::NoKey(field.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(input: &[u8], args: &InputArgs) -> Vec<(String, Vec<u8>)> {
        InputRecords::new(input, args).map(|record| record.map(|r| (r.key, r.data)).unwrap()).collect()
    }

    fn problem(input: &[u8], args: &InputArgs) -> String {
        InputRecords::new(input, args).find_map(Result::err).unwrap().to_string()
    }

    fn own(key: &str, data: &[u8]) -> (String, Vec<u8>) {
        (key.to_owned(), data.to_vec())
    }

    /// Goal: lines arrive byte for byte: carriage returns, empty lines and bytes that are no UTF-8 included.
    #[test]
    fn lines_are_taken_as_they_are() {
        let args = InputArgs { key: Some("k".to_owned()), ..InputArgs::default() };
        let expected = [own("k", b"a\r"), own("k", b""), own("k", b"\xff\0b"), own("k", b"end")];
        assert_eq!(records(b"a\r\n\n\xff\0b\nend", &args), expected);
        assert_eq!(records(b"", &args), []);
    }

    /// Goal: without a key records are numbered; with --null a newline is data.
    #[test]
    fn numbered_keys_and_null_delimiters() {
        let args = InputArgs { null: true, ..InputArgs::default() };
        assert_eq!(records(b"a\nb\0c\0", &args), [own("1", b"a\nb"), own("2", b"c")]);
    }

    /// Goal: keys come out of JSON objects, from nested fields too, and the data stays as written.
    #[test]
    fn keys_from_fields() {
        let args = |field: &str| InputArgs { key_field: Some(field.to_owned()), ..InputArgs::default() };
        let line = br#"{ "id": 7, "user": {"name": "ann"}, "a.b": "dotted" }"#;
        assert_eq!(records(line, &args("id")), [own("7", line)]);
        assert_eq!(records(line, &args("user.name")), [own("ann", line)]);
        assert_eq!(records(line, &args("a.b")), [own("dotted", line)]);
        assert_eq!(problem(line, &args("user")), "record 1: no text or number in the field `user`");
        assert!(problem(b"{}\nx", &args("id")).starts_with("record 1: no text"));
        assert!(problem(b"{\"id\":1}\nx", &args("id")).starts_with("record 2: expected value"));
    }

    /// Goal: JSON records give text or base64, ignore what `get --json` adds, and are refused without exactly one of both.
    #[test]
    fn json_records() {
        let args = InputArgs { json_records: true, ..InputArgs::default() };
        let input = b"{\"key\":\"a\",\"data\":\"x\\ny\",\"shard\":3}\n{\"base64\":\"/wA=\",\"key\":\"b\"}\n";
        assert_eq!(records(input, &args), [own("a", b"x\ny"), own("b", b"\xff\0")]);
        assert_eq!(problem(br#"{"key":"a"}"#, &args), "record 1: needs either \"data\" or \"base64\"");
        assert_eq!(
            problem(br#"{"key":"a","data":"","base64":""}"#, &args),
            "record 1: needs either \"data\" or \"base64\""
        );
        assert!(problem(br#"{"key":"a","base64":"*"}"#, &args).starts_with("record 1: \"base64\": "));
        assert!(problem(br#"{"data":"x"}"#, &args).contains("missing field `key`"));
        assert!(problem(br#"{"key":"","data":"x"}"#, &args).contains("0 characters"));
    }

    /// Goal: the longest record passes, one byte more is refused without reading on; so are keys over 256 characters.
    #[test]
    fn limits_hold() {
        let args = InputArgs { key: Some("k".to_owned()), ..InputArgs::default() };
        let mut line = vec![b'x'; RECORD_BYTES_MAX as usize];
        line.push(b'\n');
        assert_eq!(records(&line, &args).len(), 1);
        line.insert(0, b'x');
        assert_eq!(problem(&line, &args), format!("record 1: longer than {RECORD_BYTES_MAX} bytes"));
        let key = |count: usize| InputArgs { key: Some("é".repeat(count)), ..InputArgs::default() };
        assert_eq!(records(b"x", &key(256)).len(), 1);
        assert!(problem(b"x", &key(257)).contains("257 characters"));
    }
}
