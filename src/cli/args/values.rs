//! Values of arguments that several commands take.

use std::str::FromStr;

use crate::cli::moment::duration;
use crate::config::{Bytes, Value};
use crate::limits::GET_RECORDS_WAIT_MS_MAX;
use crate::types::{HashKey, ShardNumber, WorkerId};

/// What a shard's id begins with.
const SHARD_ID: &str = "shardId-";

/// Parses an argument as the setting of the same kind is parsed, with the same message.
pub fn setting<T: Value>(text: &str) -> Result<T, String> {
    T::parse(text).map_err(|problem| format!("`{text}` {problem}"))
}

/// Parses a shard: `7` or `shardId-000000000007`.
pub fn shard(text: &str) -> Result<ShardNumber, String> {
    let digits = text.strip_prefix(SHARD_ID).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number);
    number
        .map(ShardNumber)
        .ok_or_else(|| format!("`{text}` is not a shard; write its number like 7 or its id like {}", ShardNumber(7)))
}

/// Parses a hash key: decimal, as Kinesis writes them, or hexadecimal after `0x`.
pub fn hash_key(text: &str) -> Result<HashKey, String> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    let key = u128::from_str_radix(digits, radix).ok().filter(|_| is_number);
    key.map(HashKey).ok_or_else(|| {
        format!("`{text}` is not a hash key; write a number below 2^128 in decimal, or in hexadecimal after 0x")
    })
}

/// Parses a worker's number.
pub fn worker(text: &str) -> Result<WorkerId, String> {
    let number = text.parse().map(WorkerId);
    number.map_err(|_| format!("`{text}` is not a worker; workers are numbered from 0"))
}

/// Parses a size in bytes as a number: `64KiB`, `1MB`.
pub fn size(text: &str) -> Result<u64, String> {
    setting(text).map(|Bytes(bytes)| bytes)
}

/// Parses how long an empty GetRecords waits, in milliseconds: `200ms`, `5s`, 0 for not at all.
pub fn get_records_wait(text: &str) -> Result<u32, String> {
    let ms = if text == "0" { 0 } else { duration(text)?.as_millis() };
    let ms = u32::try_from(ms).ok().filter(|ms| *ms <= GET_RECORDS_WAIT_MS_MAX);
    ms.ok_or_else(|| format!("`{text}` is too long; {GET_RECORDS_WAIT_MS_MAX}ms at most"))
}

/// A key and a value, as `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The part before the first `=`.
    pub key: String,
    /// The part after it.
    pub value: String,
}

impl FromStr for KeyValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err(format!("`{text}` is not a tag; write it like team=billing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a shard is named by its number or as every output shows it; anything else is refused with both forms.
    #[test]
    fn shards_have_two_names() {
        for (text, number) in [("7", 7), ("shardId-000000000007", 7), ("0", 0), ("shardId-12", 12)] {
            assert_eq!(shard(text), Ok(ShardNumber(number)), "{text}");
        }
        for text in ["", "shardId-", "-1", "+1", "x", "4294967296", "shardid-1", "1 "] {
            assert!(shard(text).unwrap_err().contains("shardId-000000000007"), "{text}");
        }
    }

    /// Goal: hash keys are read in both notations up to the last one, and nothing beyond.
    #[test]
    fn hash_keys_have_two_notations() {
        let half = 1u128 << 127;
        for text in [half.to_string(), format!("0x{half:x}"), format!("0x{half:X}")] {
            assert_eq!(hash_key(&text), Ok(HashKey(half)));
        }
        assert_eq!(hash_key("0"), Ok(HashKey(0)));
        assert_eq!(hash_key(&format!("0x{}", "f".repeat(32))), Ok(HashKey(u128::MAX)));
        let above = format!("0x1{}", "0".repeat(32));
        for text in ["", "0x", "ff", "-1", "+1", "0x+1", "340282366920938463463374607431768211456", &above] {
            assert!(hash_key(text).unwrap_err().contains("0x"), "{text}");
        }
    }

    /// Goal: the wait of an empty GetRecords is a length of time up to the limit, or 0 for none.
    #[test]
    fn waits_are_lengths_of_time() {
        for (text, ms) in [("0", 0), ("0ms", 0), ("200ms", 200), ("20s", 20_000), ("20000ms", 20_000)] {
            assert_eq!(get_records_wait(text), Ok(ms), "{text}");
        }
        for text in ["200", "", "-1s", "20001ms", "1d", "99999999999d"] {
            assert!(get_records_wait(text).is_err(), "{text}");
        }
    }

    /// Goal: a tag is split at its first equals sign; without a key it is none.
    #[test]
    fn tags_are_split_once() {
        let tag = |key: &str, value: &str| Ok(KeyValue { key: key.to_owned(), value: value.to_owned() });
        assert_eq!("a=b=c".parse(), tag("a", "b=c"));
        assert_eq!("a=".parse(), tag("a", ""));
        for text in ["", "a", "=b"] {
            assert!(text.parse::<KeyValue>().is_err(), "{text}");
        }
    }
}
