//! The measured time in slices, of which there are never more than [`POINTS_MAX`]: when they run out, neighbours become
//! one and the slices twice as long. Memory does not depend on the length of a run.

use serde::{Deserialize, Serialize};

use super::Histogram;
use crate::result::{Point, Series};

/// Slices at most.
pub const POINTS_MAX: usize = 600;

/// Bins per doubling: each is 4.4 % wider than the one before.
const BINS_PER_OCTAVE: f64 = 16.0;

/// A coarse histogram for one slice: `(bin, count)`, ascending. Bin `b` holds latencies from `2^(b/16)` ns to below
/// `2^((b+1)/16)` ns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins(pub Vec<(u16, u64)>);

impl Bins {
    /// The bin of a latency.
    #[must_use]
    pub fn bin(ns: u64) -> u16 {
        ((ns.max(1) as f64).log2() * BINS_PER_OCTAVE).floor() as u16
    }

    /// The lower end of a bin, in nanoseconds.
    #[must_use]
    pub fn lower_ns(bin: u16) -> f64 {
        (f64::from(bin) / BINS_PER_OCTAVE).exp2()
    }

    /// The bins of a histogram.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        let mut bins: Vec<(u16, u64)> = Vec::new();
        for value in histogram.hdr().iter_recorded() {
            let (bin, count) = (Self::bin(value.value_iterated_to()), value.count_at_value());
            match bins.last_mut() {
                Some(last) if last.0 == bin => last.1 += count,
                _ => bins.push((bin, count)),
            }
        }
        Self(bins)
    }

    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Adds the samples of another one.
    pub fn add(&mut self, other: &Self) {
        for (bin, count) in &other.0 {
            match self.0.binary_search_by_key(bin, |(bin, _)| *bin) {
                Ok(at) => self.0[at].1 += count,
                Err(at) => self.0.insert(at, (*bin, *count)),
            }
        }
    }

    /// A percentile, as the upper end of its bin: at most 4.4 % too high. `None` with fewer than
    /// [`super::ABOVE_MIN`] samples above it.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<u64> {
        let count = self.count();
        let rank = super::rank(percentile, count);
        if count - rank < super::ABOVE_MIN {
            return None;
        }
        let mut seen = 0;
        self.0.iter().find_map(|(bin, count)| {
            seen += count;
            (seen >= rank).then(|| Self::lower_ns(bin + 1).ceil() as u64)
        })
    }
}

/// Slices being collected.
#[derive(Clone, Debug)]
pub struct SeriesBuilder {
    interval_ms: u64,
    points: Vec<Point>,
}

impl SeriesBuilder {
    /// No slices yet, each `interval_ms` long at first.
    #[must_use]
    pub const fn new(interval_ms: u64) -> Self {
        Self { interval_ms, points: Vec::new() }
    }

    /// Adds what happened at `point.start_ms`, in milliseconds from the end of the warm-up.
    pub fn add(&mut self, point: &Point) {
        let mut at = (point.start_ms / self.interval_ms) as usize;
        while at >= POINTS_MAX {
            self.halve();
            at = (point.start_ms / self.interval_ms) as usize;
        }
        while self.points.len() <= at {
            let start_ms = self.points.len() as u64 * self.interval_ms;
            self.points.push(Point { start_ms, ..Point::default() });
        }
        merge(&mut self.points[at], point);
    }

    /// What was collected.
    #[must_use]
    pub fn finish(self) -> Series {
        Series { interval_ms: self.interval_ms, points: self.points }
    }

    fn halve(&mut self) {
        self.interval_ms *= 2;
        let mut halved: Vec<Point> = Vec::with_capacity(POINTS_MAX);
        for (at, point) in self.points.drain(..).enumerate() {
            match halved.last_mut() {
                Some(last) if at % 2 == 1 => merge(last, &point),
                _ => halved.push(point),
            }
        }
        self.points = halved;
    }
}

/// Adds the counts of `from`; the start stays.
fn merge(into: &mut Point, from: &Point) {
    into.scheduled += from.scheduled;
    into.sent += from.sent;
    into.acked += from.acked;
    into.acked_bytes += from.acked_bytes;
    into.failed += from.failed;
    into.received += from.received;
    into.received_bytes += from.received_bytes;
    into.put_ack.add(&from.put_ack);
    into.put_to_get.add(&from.put_to_get);
}
