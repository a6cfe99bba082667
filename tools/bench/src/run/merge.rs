//! Slices of many threads become slices of the run.

use std::collections::BTreeMap;

use super::control::Times;
use super::{Observer, Slice};
use crate::result::Point;
use crate::stats::{Bins, Histogram, SeriesBuilder};

/// Merges slices by the time they began, and hands each on when no thread can add to it any more.
#[derive(Debug)]
pub(super) struct Merge {
    times: Times,
    /// By the number of the slice.
    open: BTreeMap<u64, Slice>,
    /// Per thread: the number of the slice it is in; `u64::MAX` when it has ended.
    progress: Vec<u64>,
    /// All samples of the measured time.
    pub(super) total: Slice,
    pub(super) series: SeriesBuilder,
}

impl Merge {
    pub(super) fn new(times: Times, threads: usize) -> Self {
        Self {
            times,
            open: BTreeMap::new(),
            progress: vec![0; threads],
            total: Slice::default(),
            series: SeriesBuilder::new(super::INTERVAL_MS),
        }
    }

    /// A thread's slice.
    pub(super) fn add(&mut self, thread: usize, slice: Slice, observers: &mut [&mut dyn Observer]) {
        self.progress[thread] = self.number(slice.end_ns);
        let number = self.number(slice.start_ns);
        let into = self.open.entry(number).or_insert_with(|| Slice {
            start_ns: slice.start_ns,
            end_ns: slice.end_ns,
            warmup: slice.warmup,
            ..Slice::default()
        });
        add(into, &slice);
        self.hand_on(observers);
    }

    /// A thread will send no more.
    pub(super) fn ended(&mut self, thread: usize, observers: &mut [&mut dyn Observer]) {
        self.progress[thread] = u64::MAX;
        self.hand_on(observers);
    }

    /// Whether a thread has said its last.
    pub(super) fn has_ended(&self, thread: usize) -> bool {
        self.progress[thread] == u64::MAX
    }

    /// The number of the slice that this moment lies in. Cuts are made at their time or a little later, never before.
    fn number(&self, ns: u64) -> u64 {
        let (start, interval) = (self.times.start_ns, self.times.interval_ns);
        // Aligned to the start of the measured time, which is a cut.
        let phase = (self.times.measure_ns - start) % interval;
        (ns.saturating_sub(start) + interval - phase) / interval
    }

    fn hand_on(&mut self, observers: &mut [&mut dyn Observer]) {
        let until = self.progress.iter().copied().min().unwrap_or(u64::MAX);
        while let Some(first) = self.open.first_entry().filter(|first| *first.key() < until) {
            let mut slice = first.remove();
            add(&mut self.total, &slice);
            if slice.start_ns >= self.times.measure_ns {
                self.series.add(&point(&slice, (slice.start_ns - self.times.measure_ns) / 1_000_000));
            }
            slice.start_ns = slice.start_ns.saturating_sub(self.times.start_ns);
            slice.end_ns = slice.end_ns.saturating_sub(self.times.start_ns);
            observers.iter_mut().for_each(|observer| observer.slice(&slice));
        }
    }
}

fn add(into: &mut Slice, from: &Slice) {
    into.start_ns = into.start_ns.min(from.start_ns);
    into.end_ns = into.end_ns.max(from.end_ns);
    into.scheduled += from.scheduled;
    into.sent += from.sent;
    into.acked += from.acked;
    into.acked_bytes += from.acked_bytes;
    into.failed += from.failed;
    into.received += from.received;
    into.received_bytes += from.received_bytes;
    let pairs: [(&mut Histogram, &Histogram); 5] = [
        (&mut into.put_ack, &from.put_ack),
        (&mut into.put_ack_actual, &from.put_ack_actual),
        (&mut into.put_to_get, &from.put_to_get),
        (&mut into.put_to_get_actual, &from.put_to_get_actual),
        (&mut into.send_lag, &from.send_lag),
    ];
    for (into, from) in pairs {
        into.add(from);
    }
}

fn point(slice: &Slice, start_ms: u64) -> Point {
    Point {
        start_ms,
        scheduled: slice.scheduled,
        sent: slice.sent,
        acked: slice.acked,
        acked_bytes: slice.acked_bytes,
        failed: slice.failed,
        received: slice.received,
        received_bytes: slice.received_bytes,
        put_ack: Bins::of(&slice.put_ack),
        put_to_get: Bins::of(&slice.put_to_get),
    }
}
