//! Latencies as histograms, and what may be said of them.
//!
//! - [`Histogram`] records; three significant digits, 1 ns to an hour, memory independent of the number of values.
//! - [`Distribution`] is what a result holds: percentiles only where at least [`ABOVE_MIN`] samples lie above, and the
//!   recorded values themselves, so that nothing has to be believed that cannot be computed again.
//! - [`series`] cuts the measured time into slices of bounded number.

pub mod series;

use hdrhistogram::Histogram as Hdr;
use serde::{Deserialize, Serialize};

pub use series::{Bins, SeriesBuilder};

/// A percentile is given only if at least this many samples lie above it.
pub const ABOVE_MIN: u64 = 100;

/// The percentiles a distribution gives, if it may.
pub const PERCENTILES: [f64; 9] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999, 99.9999];

/// The longest latency told apart, in nanoseconds: an hour. Longer ones count as this.
const NS_MAX: u64 = 3_600_000_000_000;

/// Latencies being recorded, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    hdr: Hdr<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { hdr: Hdr::new_with_bounds(1, NS_MAX, 3).expect("bounds within what the histogram takes") }
    }

    /// Records a latency. 0 counts as 1 ns.
    pub fn record(&mut self, ns: u64) {
        self.hdr.saturating_record(ns.max(1));
    }

    /// Adds all values of another one.
    pub fn add(&mut self, other: &Self) {
        self.hdr.add(&other.hdr).expect("both have the same bounds");
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.hdr.len()
    }

    /// The histogram itself, as for `.hlog` files.
    #[must_use]
    pub const fn hdr(&self) -> &Hdr<u64> {
        &self.hdr
    }

    /// What may be said of the values.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let count = self.hdr.len();
        if count == 0 {
            return Distribution::default();
        }
        let buckets: Vec<_> =
            self.hdr.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect();
        let mut distribution = Distribution {
            count,
            min_ns: self.hdr.min(),
            mean_ns: self.hdr.mean(),
            max_ns: self.hdr.max(),
            percentiles: Vec::new(),
            buckets,
        };
        distribution.percentiles = PERCENTILES
            .iter()
            .filter_map(|p| distribution.percentile(*p).map(|ns| Percentile { percentile: *p, ns }))
            .collect();
        distribution
    }
}

/// Recorded latencies. All zero if nothing was recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Samples.
    pub count: u64,
    /// The shortest, within the histogram's resolution.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: f64,
    /// The longest, within the histogram's resolution.
    pub max_ns: u64,
    /// The percentiles of [`PERCENTILES`] that may be given.
    pub percentiles: Vec<Percentile>,
    /// Every recorded value, as the upper end of its bucket, and how often: ascending. Enough to merge distributions and
    /// to compute any percentile again.
    pub buckets: Vec<(u64, u64)>,
}

/// A percentile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// Which, 0 to 100.
    pub percentile: f64,
    /// Its value.
    pub ns: u64,
}

impl Distribution {
    /// The smallest recorded value that at least `percentile` percent of the samples do not exceed. `None` if fewer than
    /// [`ABOVE_MIN`] samples are ranked above it: there is too little to say.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<u64> {
        let rank = rank(percentile, self.count);
        if self.count - rank < ABOVE_MIN {
            return None;
        }
        let mut seen = 0;
        self.buckets.iter().find_map(|(ns, count)| {
            seen += count;
            (seen >= rank).then_some(*ns)
        })
    }

    /// This distribution and another one as one.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let mut histogram = Histogram::new();
        for (ns, count) in self.buckets.iter().chain(&other.buckets) {
            histogram.hdr.saturating_record_n(*ns, *count);
        }
        histogram.distribution()
    }
}

/// How many samples a percentile covers: at least one, so that percentile 0 is the minimum.
fn rank(percentile: f64, count: u64) -> u64 {
    // The share is rounded to a billionth first: 99.9 % of 1,000 are 999 samples, not 1,000 because of a binary fraction.
    let share = (percentile * 1e7).round() as u128;
    let rank = (share * u128::from(count)).div_ceil(1_000_000_000);
    (rank as u64).clamp(count.min(1), count)
}

#[cfg(test)]
mod tests;
