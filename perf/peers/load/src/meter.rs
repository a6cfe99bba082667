//! What was sent, acknowledged and received, and how long it took from the time a record was *due*.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::sync::Notify;

/// Bytes at the front of every record: when it was due in nanoseconds, and its number in its partition.
pub const STAMP_BYTES: usize = 16;

/// Longest latency that is told apart, in nanoseconds.
const NS_MAX: u64 = 100_000_000_000;

/// A record that is sent this much after it was due is late: the load program could not keep its own schedule, or the server
/// held it back.
pub const LATE_NS: u64 = 1_000_000;

/// The measurement. Acknowledgements come in the order of sending within a partition, and so do records: all three
/// servers promise that, and whoever breaks it fails the run.
pub struct Meter {
    start: Instant,
    /// The time that counts, in nanoseconds since the start.
    window: (u64, u64),
    partitions: Vec<RefCell<Partition>>,
    put: RefCell<Histogram<u64>>,
    get: RefCell<Histogram<u64>>,
    acked_in_window: Cell<u64>,
    received_in_window: Cell<u64>,
    in_flight: Cell<usize>,
    due_in_window: Cell<u64>,
    late_in_window: Cell<u64>,
    failure: RefCell<Option<String>>,
    /// Told at every acknowledgement and record.
    pub changed: Notify,
}

#[derive(Default)]
struct Partition {
    /// When the records were due that are not acknowledged yet.
    pending: VecDeque<u64>,
    sent: u64,
    received: u64,
}

impl Meter {
    /// A meter whose window begins after `warm_up` seconds.
    pub fn new(partitions: usize, warm_up: f64, seconds: f64) -> Self {
        let histogram = || RefCell::new(Histogram::new_with_max(NS_MAX, 3).expect("a valid range"));
        let ns = |s: f64| (s * 1e9) as u64;
        Self {
            start: Instant::now(),
            window: (ns(warm_up), ns(warm_up + seconds)),
            partitions: (0..partitions).map(|_| RefCell::default()).collect(),
            put: histogram(),
            get: histogram(),
            acked_in_window: Cell::default(),
            received_in_window: Cell::default(),
            in_flight: Cell::default(),
            due_in_window: Cell::default(),
            late_in_window: Cell::default(),
            failure: RefCell::default(),
            changed: Notify::new(),
        }
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// First and last nanosecond that count.
    pub fn window(&self) -> (u64, u64) {
        self.window
    }

    /// Writes the stamp of the next record of `partition`, due at `due`, and takes note that it is sent.
    pub fn send(&self, partition: usize, due: u64, record: &mut [u8]) {
        let mut state = self.partitions[partition].borrow_mut();
        record[..8].copy_from_slice(&due.to_le_bytes());
        record[8..STAMP_BYTES].copy_from_slice(&state.sent.to_le_bytes());
        state.sent += 1;
        state.pending.push_back(due);
        self.in_flight.set(self.in_flight.get() + 1);
        if self.counts(due) {
            self.due_in_window.set(self.due_in_window.get() + 1);
            let is_late = self.now().saturating_sub(due) > LATE_NS;
            self.late_in_window.set(self.late_in_window.get() + u64::from(is_late));
        }
    }

    /// The oldest unacknowledged record of `partition` is stored.
    pub fn acked(&self, partition: usize) {
        let now = self.now();
        let Some(due) = self.partitions[partition].borrow_mut().pending.pop_front() else {
            return self.fail("an acknowledgement too many".to_owned());
        };
        self.in_flight.set(self.in_flight.get() - 1);
        if self.counts(due) {
            self.put.borrow_mut().saturating_record(now.saturating_sub(due).max(1));
        }
        if self.counts(now) {
            self.acked_in_window.set(self.acked_in_window.get() + 1);
        }
        self.changed.notify_waiters();
    }

    /// A record of `partition` has come back.
    pub fn received(&self, partition: usize, record: &[u8]) {
        let now = self.now();
        let Some((stamp, _)) = record.split_first_chunk::<STAMP_BYTES>() else {
            return self.fail(format!("a record of {} bytes", record.len()));
        };
        let [due, number] = [&stamp[..8], &stamp[8..]].map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes")));
        let mut state = self.partitions[partition].borrow_mut();
        if number != state.received {
            self.fail(format!("partition {partition}: record {number} came in place of {}", state.received));
        }
        state.received += 1;
        if self.counts(due) {
            self.get.borrow_mut().saturating_record(now.saturating_sub(due).max(1));
        }
        if self.counts(now) {
            self.received_in_window.set(self.received_in_window.get() + 1);
        }
        self.changed.notify_waiters();
    }

    /// Ends the run with a reason.
    pub fn fail(&self, reason: String) {
        self.failure.borrow_mut().get_or_insert(reason);
        self.changed.notify_waiters();
    }

    /// Why the run has to end.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Records sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether everything sent was acknowledged and received.
    pub fn is_settled(&self) -> bool {
        let whole = |p: &RefCell<Partition>| p.borrow().pending.is_empty() && p.borrow().received == p.borrow().sent;
        self.partitions.iter().all(whole)
    }

    /// Records sent, acknowledged in the window, received in the window.
    pub fn counts_of_records(&self) -> (u64, u64, u64) {
        let sent = self.partitions.iter().map(|p| p.borrow().sent).sum();
        (sent, self.acked_in_window.get(), self.received_in_window.get())
    }

    /// Share of the records that were handed over more than [`LATE_NS`] after they were due.
    pub fn late_share(&self) -> f64 {
        self.late_in_window.get() as f64 / self.due_in_window.get().max(1) as f64
    }

    /// Latencies from due to acknowledged.
    pub fn put(&self) -> Histogram<u64> {
        self.put.borrow().clone()
    }

    /// Latencies from due to received.
    pub fn get(&self) -> Histogram<u64> {
        self.get.borrow().clone()
    }

    fn counts(&self, at: u64) -> bool {
        (self.window.0..self.window.1).contains(&at)
    }
}
