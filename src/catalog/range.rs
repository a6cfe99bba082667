//! Ranges of hash keys: how the key space is dealt out to shards.

use std::fmt;

use crate::types::HashKey;

/// A range of hash keys, both ends included. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashRange {
    /// The first key.
    pub start: HashKey,
    /// The last key; not below `start`.
    pub end: HashKey,
}

impl HashRange {
    /// The whole key space.
    pub const ALL: Self = Self { start: HashKey(0), end: HashKey(u128::MAX) };

    /// True if the key lies in the range.
    #[must_use]
    pub fn contains(self, key: HashKey) -> bool {
        self.start <= key && key <= self.end
    }

    /// True if some key lies in both ranges.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The range in two, the second one starting with `at`; `None` if one of them would be empty.
    #[must_use]
    pub fn split(self, at: HashKey) -> Option<(Self, Self)> {
        let within = self.start < at && at <= self.end;
        within.then(|| (Self { start: self.start, end: HashKey(at.0 - 1) }, Self { start: at, end: self.end }))
    }

    /// Both ranges in one; `None` unless one of them begins where the other ends.
    #[must_use]
    pub fn joined(self, other: Self) -> Option<Self> {
        let (low, high) = if self.start <= other.start { (self, other) } else { (other, self) };
        let adjacent = low.end.0.checked_add(1) == Some(high.start.0);
        adjacent.then_some(Self { start: low.start, end: high.end })
    }

    /// The key space in `count` ranges as Kinesis deals it out: each floor(2^128 / count) keys wide, the last one
    /// taking what is left over.
    ///
    /// Panics when `count` is 0.
    pub fn uniform(count: u32) -> impl ExactSizeIterator<Item = Self> {
        assert!(count > 0, "a stream has at least one shard");
        let parts = u128::from(count);
        // 2^128 does not fit; 2^128 - 1 does, and its quotient is one short exactly when the parts divide 2^128. The
        // single part of all 2^128 keys wraps to width 0, which nothing below needs: it is the last one.
        let divides = u128::MAX % parts == parts - 1;
        let width = (u128::MAX / parts).wrapping_add(divides.into());
        (0..count).map(move |n| {
            let start = width.wrapping_mul(n.into());
            let end = if n == count - 1 { u128::MAX } else { start + (width - 1) };
            Self { start: HashKey(start), end: HashKey(end) }
        })
    }
}

impl fmt::Display for HashRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Goal: the ranges that the real service hands out for 1 to 4 shards.
    #[test]
    fn ranges_of_the_real_service() {
        let ranges = |count| HashRange::uniform(count).map(|range| range.to_string()).collect::<Vec<_>>();
        assert_eq!(ranges(1), ["[0, 340282366920938463463374607431768211455]"]);
        assert_eq!(
            ranges(2),
            [
                "[0, 170141183460469231731687303715884105727]",
                "[170141183460469231731687303715884105728, 340282366920938463463374607431768211455]",
            ]
        );
        assert_eq!(
            ranges(3),
            [
                "[0, 113427455640312821154458202477256070484]",
                "[113427455640312821154458202477256070485, 226854911280625642308916404954512140969]",
                "[226854911280625642308916404954512140970, 340282366920938463463374607431768211455]",
            ]
        );
        assert_eq!(ranges(4)[1], "[85070591730234615865843651857942052864, 170141183460469231731687303715884105727]");
    }

    /// Goal: a split leaves no part empty, a merge takes neighbours only, and the one undoes the other.
    #[test]
    fn splits_and_merges() {
        let range = |start, end| HashRange { start: HashKey(start), end: HashKey(end) };
        assert_eq!(range(4, 9).split(HashKey(5)), Some((range(4, 4), range(5, 9))));
        assert_eq!(range(4, 9).split(HashKey(9)), Some((range(4, 8), range(9, 9))));
        for at in [3, 4, 10] {
            assert_eq!(range(4, 9).split(HashKey(at)), None, "{at}");
        }
        assert_eq!(range(4, 4).split(HashKey(4)), None);
        assert_eq!(range(4, 8).joined(range(9, 9)), Some(range(4, 9)));
        assert_eq!(range(9, 9).joined(range(4, 8)), Some(range(4, 9)));
        for apart in [range(10, 12), range(8, 12), range(4, 8), range(0, 2)] {
            assert_eq!(range(4, 8).joined(apart), None, "{apart}");
        }
        assert_eq!(range(5, u128::MAX).joined(range(0, 3)), None);
        assert!(range(4, 8).overlaps(range(8, 9)) && range(8, 9).overlaps(range(4, 8)));
        assert!(!range(4, 8).overlaps(range(9, 9)) && !range(9, 9).overlaps(range(4, 8)));
    }

    proptest! {
        /// Goal: for any number of shards the ranges cover the key space, each key once, and all but the last are equally
        /// wide.
        #[test]
        fn uniform_ranges_cover_the_key_space(count in prop_oneof![1..40_u32, 1..20_000_u32]) {
            let ranges: Vec<_> = HashRange::uniform(count).collect();
            prop_assert_eq!(ranges.len(), count as usize);
            prop_assert_eq!(ranges[0].start.0, 0);
            prop_assert_eq!(ranges[ranges.len() - 1].end.0, u128::MAX);
            let width = ranges[0].end.0 - ranges[0].start.0;
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].end.0 + 1, pair[1].start.0);
                prop_assert_eq!(pair[0].end.0 - pair[0].start.0, width);
            }
            let last = ranges[ranges.len() - 1];
            prop_assert!((last.end.0 - last.start.0).abs_diff(width) < u128::from(count));
        }
    }
}
