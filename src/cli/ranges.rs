//! Ranges of hash keys as people read them: the leading digits in hexadecimal, which tell shards apart and show at a
//! glance where the key space is divided. Exact numbers are in the JSON.

use crate::types::HashKey;

/// Digits that are shown of a key.
const DIGITS: usize = 8;

/// The leading digits of a key: `40000000..`; all 32 of a key that others share them with, as `exact` says.
fn shown(key: HashKey, exact: bool) -> String {
    let digits = format!("{:032x}", key.0);
    if exact { digits } else { format!("{}..", &digits[..DIGITS]) }
}

/// A range: `40000000..-7fffffff..`. One so narrow that its ends begin alike is shown with all digits.
#[must_use]
pub fn range(start: HashKey, end: HashKey) -> String {
    let exact = is_narrow(start, end);
    format!("{}-{}", shown(start, exact), shown(end, exact))
}

/// A key inside a range: `60000000..`, or with all digits where the range has them.
#[must_use]
pub fn within(start: HashKey, key: HashKey, end: HashKey) -> String {
    shown(key, is_narrow(start, end) || is_narrow(start, key) || is_narrow(key, end))
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

    /// Goal: ranges are short where that tells them apart and exact where it does not.
    #[test]
    fn ranges_are_short_or_exact() {
        let quarter = 1u128 << 126;
        assert_eq!(range(HashKey(quarter), HashKey(2 * quarter - 1)), "40000000..-7fffffff..");
        assert_eq!(within(HashKey(0), HashKey(quarter), HashKey(u128::MAX)), "40000000..");
        let narrow = range(HashKey(5), HashKey(6));
        assert_eq!(narrow, format!("{:032x}-{:032x}", 5, 6));
        assert_eq!(within(HashKey(0), HashKey(1), HashKey(u128::MAX)), format!("{:032x}", 1));
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
