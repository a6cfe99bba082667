//! Ranges of hash keys as people read them: the leading digits in hexadecimal, which tell shards apart and show at a
//! glance where the key space is divided. Exact numbers are in the JSON.

use crate::types::HashKey;

/// Digits that are shown of a key.
const DIGITS: usize = 8;

/// Digits that are shown behind the leading ones where these are not enough.
const LAST_DIGITS: usize = 4;

/// A range: `40000000..-7fffffff..`, or `7fffffff..fffe-..ffff` if it is so narrow that its ends begin alike.
#[must_use]
pub fn range(start: HashKey, end: HashKey) -> String {
    match is_narrow(start, end) {
        true => format!("{}-..{}", key(start, true), last(end)),
        false => format!("{}-{}", key(start, false), key(end, false)),
    }
}

/// A key inside a range: `60000000..`, with its last digits where it is next to an end of it.
#[must_use]
pub fn within(start: HashKey, at: HashKey, end: HashKey) -> String {
    key(at, is_narrow(start, at) || is_narrow(at, end))
}

fn key(key: HashKey, with_last: bool) -> String {
    let first = format!("{:032x}", key.0)[..DIGITS].to_owned();
    if with_last { format!("{first}..{}", last(key)) } else { format!("{first}..") }
}

fn last(key: HashKey) -> String {
    format!("{:032x}", key.0).split_off(32 - LAST_DIGITS)
}

/// The share of all keys that a range has: `25.0%`.
#[must_use]
pub fn share(start: HashKey, end: HashKey) -> String {
    let percent = ((end.0 - start.0) as f64 + 1.0) / 2f64.powi(128) * 100.0;
    if percent < 0.05 { "<0.1%".to_owned() } else { format!("{percent:.1}%") }
}

/// Whether the shown digits of the ends are the same.
fn is_narrow(start: HashKey, end: HashKey) -> bool {
    let shift = 128 - 4 * DIGITS;
    start.0 >> shift == end.0 >> shift
}

/// The first key of the upper half of a range; `None` if it has one key only.
#[must_use]
pub fn middle(start: HashKey, end: HashKey) -> Option<HashKey> {
    let width = end.0.checked_sub(start.0)?;
    (width > 0).then(|| HashKey(start.0 + width / 2 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: ranges are short, and those of a few keys can be told from others.
    #[test]
    fn ranges_are_short() {
        let quarter = 1u128 << 126;
        assert_eq!(range(HashKey(quarter), HashKey(2 * quarter - 1)), "40000000..-7fffffff..");
        assert_eq!(within(HashKey(0), HashKey(quarter), HashKey(u128::MAX)), "40000000..");
        assert_eq!(range(HashKey(5), HashKey(0x1236)), "00000000..0005-..1236");
        assert_eq!(within(HashKey(0), HashKey(0x1234), HashKey(u128::MAX)), "00000000..1234");
        assert_eq!(share(HashKey(0), HashKey(u128::MAX)), "100.0%");
        assert_eq!(share(HashKey(0), HashKey(quarter - 1)), "25.0%");
        assert_eq!(share(HashKey(1), HashKey(1)), "<0.1%");
    }

    /// Goal: the middle leaves both halves keys, and is the one a power of two is halved at.
    #[test]
    fn middles_divide() {
        assert_eq!(middle(HashKey(0), HashKey(u128::MAX)), Some(HashKey(1 << 127)));
        assert_eq!(middle(HashKey(7), HashKey(8)), Some(HashKey(8)));
        assert_eq!(middle(HashKey(7), HashKey(9)), Some(HashKey(9)));
        assert_eq!(middle(HashKey(u128::MAX), HashKey(u128::MAX)), None);
    }
}
