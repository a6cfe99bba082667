//! How long something takes, in 32 counters: a histogram over powers of two of microseconds.
//!
//! ```text
//! counter     0     1     2       3       ...   n                   ...   31
//! counts us   0     1     2..=3   4..=7   ...   2^(n-1)..=2^n - 1   ...   2^30 and more (18 minutes)
//! ```
//! 144 bytes and two additions per value, so that each shard has its own; exact enough to tell 2 ms from 5 ms, which is what
//! an operator asks. Counters stop at their largest value instead of starting over.

/// The counters.
const COUNTERS: usize = 32;

/// A histogram of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    counters: [u32; COUNTERS],
    count: u64,
    sum_us: u64,
}

impl Latency {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one value.
    pub fn record(&mut self, us: u64) {
        let counter = (u64::BITS - us.leading_zeros()) as usize;
        let counter = &mut self.counters[counter.min(COUNTERS - 1)];
        *counter = counter.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Counts all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (counter, more) in self.counters.iter_mut().zip(other.counters) {
            *counter = counter.saturating_add(more);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Values counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, in microseconds.
    #[must_use]
    pub const fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// About the value that a share `q` (0 to 1) of all values does not exceed, in microseconds: it lies between the same
    /// two powers of two, spread evenly there. 0 without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> u64 {
        // Of the counters, not of `count`: they stop counting earlier.
        let total: u64 = self.counters.iter().copied().map(u64::from).sum();
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut below = 0;
        for (n, counter) in self.counters.iter().copied().enumerate() {
            let here = u64::from(counter);
            if here > 0 && below + here >= rank {
                let lowest = if n == 0 { 0 } else { 1_u64 << (n - 1) };
                // As many values as the lowest is: 2^(n-1) of them. Below 2^30 times 2^32, so nothing overflows.
                return lowest + lowest.saturating_sub(1) * (rank - below) / here;
            }
            below += here;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Latency {
        let mut latency = Latency::new();
        values.iter().for_each(|us| latency.record(*us));
        latency
    }

    /// Goal: known values at known quantiles, the edges among them.
    #[test]
    fn quantiles() {
        // (values, q, quantile)
        let table: [(&[u64], f64, u64); 10] = [
            (&[], 0.5, 0),
            (&[0], 0.99, 0),
            (&[1], 0.0, 1),
            (&[1, 1, 1, 1000], 0.75, 1),
            (&[1, 1, 1, 1000], 0.76, 1023),
            (&[4, 5, 6, 7], 0.5, 5),
            (&[4, 5, 6, 7], 1.0, 7),
            (&[100, 200, 300, 400], 1.0, 511),
            (&[u64::MAX], 0.5, (1 << 31) - 1),
            (&[5], f64::NAN, 7),
        ];
        for (values, q, expected) in table {
            assert_eq!(of(values).quantile(q), expected, "{values:?} {q}");
        }
    }

    /// Goal: a counter that is full stays full, and the histogram still answers.
    #[test]
    fn counters_saturate() {
        let mut latency = of(&[3, u64::MAX, u64::MAX]);
        assert_eq!((latency.count(), latency.sum_us()), (3, u64::MAX));
        for _ in 0..70 {
            let copy = latency;
            latency.merge(&copy);
        }
        assert_eq!((latency.count(), latency.sum_us()), (u64::MAX, u64::MAX));
        assert_eq!(latency.quantile(0.5), 3);
        latency.record(3);
        assert_eq!(latency.counters[2], u32::MAX);
        assert!(latency.quantile(0.51) >= 1 << 30);
    }

    proptest! {
        /// Goal: a quantile lies between the same powers of two as the value it stands for, and merging two histograms is
        /// counting all their values in one.
        #[test]
        fn quantiles_are_within_a_factor_of_two(
            mut a in prop::collection::vec(0..1_u64 << 30, 1..100),
            b in prop::collection::vec(0..5_000_u64, 0..100),
            q in 0.0..=1.0_f64,
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            a.extend(b);
            prop_assert_eq!(merged, of(&a));
            prop_assert_eq!(merged.count(), a.len() as u64);
            prop_assert_eq!(merged.sum_us(), a.iter().sum::<u64>());
            a.sort_unstable();
            let exact = a[((q * a.len() as f64).ceil() as usize).max(1) - 1];
            prop_assert_eq!(merged.quantile(q).leading_zeros(), exact.leading_zeros());
        }
    }
}
