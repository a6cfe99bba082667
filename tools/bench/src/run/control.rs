//! What the threads of a run share: when it starts and ends, and what the readers wait for. Everything that measures is
//! per thread; this is looked at, not written, while the load runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::verify::Ledger;

/// The plan of a run, once it is known.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The load begins.
    pub start_ns: u64,
    /// The measured time begins.
    pub measure_ns: u64,
    /// Length of a slice.
    pub interval_ns: u64,
}

/// Shared by all threads of a run.
#[derive(Debug, Default)]
pub struct Control {
    times: OnceLock<Times>,
    /// The load ends; earlier than planned if the run is interrupted.
    end_ns: AtomicU64,
    /// When to stop waiting for what is still on its way.
    drained_ns: AtomicU64,
    /// Everything ends now.
    stop: AtomicBool,
    /// What was sent, once nothing more will be.
    ledgers: OnceLock<Vec<Ledger>>,
    /// Records of the backlog.
    pub backlog_records: AtomicU64,
    /// Gaps between acknowledgements, and between records received; kept only in runs with faults.
    pub gaps: Option<[Mutex<Gap>; 2]>,
}

/// What a gap lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Acknowledgements.
    Acks = 0,
    /// Records received.
    Records = 1,
}

/// The longest time between two events, over all threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gap {
    last_ns: u64,
    /// The longest since it was last taken.
    longest_ns: u64,
}

impl Control {
    /// For a run that does or does not tell of gaps.
    #[must_use]
    pub fn new(with_gaps: bool) -> Self {
        Self { gaps: with_gaps.then(Default::default), ..Self::default() }
    }

    /// Starts the load.
    pub fn begin(&self, times: Times, end_ns: u64) {
        self.end_ns.store(end_ns, Ordering::Release);
        self.times.set(times).expect("a run begins once");
    }

    /// When the load begins, once everybody is ready.
    pub fn times(&self) -> Option<Times> {
        self.times.get().copied()
    }

    /// The load ends at this time at the latest.
    pub fn end_by(&self, ns: u64) {
        self.end_ns.fetch_min(ns, Ordering::AcqRel);
    }

    /// When the load ends.
    pub fn end_ns(&self) -> u64 {
        self.end_ns.load(Ordering::Acquire)
    }

    /// Nobody waits beyond this time any more.
    pub fn drain_by(&self, ns: u64) {
        self.drained_ns.store(ns, Ordering::Release);
    }

    /// Whether waiting is over at `now`.
    pub fn is_drained(&self, now: u64) -> bool {
        let until = self.drained_ns.load(Ordering::Acquire);
        self.stop.load(Ordering::Acquire) || (until > 0 && now >= until)
    }

    /// Ends everything at once.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether a record intended for this time belongs to the measured time.
    pub fn is_measured(&self, intended_ns: u64) -> bool {
        self.times.get().is_some_and(|times| intended_ns >= times.measure_ns) && intended_ns < self.end_ns()
    }

    /// Tells readers what was sent.
    pub fn sent(&self, ledgers: Vec<Ledger>) {
        self.ledgers.set(ledgers).expect("producers end once");
    }

    /// What was sent, once producers have ended.
    pub fn ledgers(&self) -> Option<&[Ledger]> {
        self.ledgers.get().map(Vec::as_slice)
    }

    /// Something arrived at `now`.
    pub fn event(&self, between: Between, now: u64) {
        if let Some(gaps) = &self.gaps {
            let mut gap = gaps[between as usize].lock().unwrap_or_else(PoisonError::into_inner);
            if gap.last_ns > 0 {
                gap.longest_ns = gap.longest_ns.max(now.saturating_sub(gap.last_ns));
            }
            gap.last_ns = gap.last_ns.max(now);
        }
    }

    /// The longest gap since this was last asked; a gap that lasts belongs to the next answer.
    pub fn take_gap(&self, between: Between) -> Option<u64> {
        let gap = &mut *self.gaps.as_ref()?[between as usize].lock().unwrap_or_else(PoisonError::into_inner);
        Some(std::mem::take(&mut gap.longest_ns))
    }
}
