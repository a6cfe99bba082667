use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::units::Time;
use crate::workload::Workload;

/// Text that can be looked at while it is written.
#[derive(Clone, Default)]
struct Page(Rc<RefCell<Vec<u8>>>);

impl Page {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.borrow().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slice(second: u64, records: u64, ns: u64) -> Slice {
    let mut slice = Slice {
        start_ns: second * 1_000_000_000,
        end_ns: (second + 1) * 1_000_000_000,
        acked: records,
        acked_bytes: records * 1_000,
        received: records,
        received_bytes: records * 1_000,
        ..Slice::default()
    };
    (0..records).for_each(|_| slice.put_ack.record(ns));
    slice
}

fn started(live: &mut Live, workload: &Workload) {
    live.started(&Plan {
        workload,
        interval_ms: 1_000,
        target: "native x",
        server: "y",
        start_ns: 0,
        start_unix_ms: 0,
    });
}

fn workload() -> Workload {
    Workload { warmup: Time::from_secs(2), duration: Time::from_secs(20), ..Workload::default() }
}

/// Goal: without a terminal there is one line per five seconds, with rates and percentiles of the last ten.
#[test]
fn a_line_every_few_seconds() {
    let page = Page::default();
    let mut live = Live::lines(Box::new(page.clone()));
    started(&mut live, &workload());
    for second in 0..20 {
        live.slice(&slice(second, 300, if second < 10 { 1_000_000 } else { 3_000_000 }));
    }
    let lines = page.lines();
    assert_eq!(lines.len(), 1 + 4, "{lines:#?}");
    assert_eq!(lines[0], "custom on native x (y)");
    assert!(lines[1].starts_with("5/22 s measuring | put 300/s 300 kB/s | get 300/s"), "{}", lines[1]);
    assert!(lines[2].contains("put-ack p50 1.00 ms  max 1.00 ms"), "3,000 samples give no p99: {}", lines[2]);
    assert!(lines[4].contains("put-ack p50 3.00 ms"), "the first ten seconds are out: {}", lines[4]);
    assert!(lines[4].contains("put-to-get nothing yet") && lines[4].ends_with("no errors"), "{}", lines[4]);
}

/// Goal: phases follow the clock, errors add up over the whole run, and a closed loop is marked in every line.
#[test]
fn phases_errors_and_closed() {
    let page = Page::default();
    let mut live = Live::lines(Box::new(page.clone()));
    let mut closed = workload();
    closed.warmup = Time::from_secs(5);
    closed.load.closed = Some(crate::workload::Closed { in_flight: 8 });
    started(&mut live, &closed);
    for second in 0..30 {
        live.slice(&Slice { failed: 7, ..slice(second, 10, 5_000) });
    }
    live.note("the node was killed");
    let lines = page.lines();
    assert!(lines[1].starts_with("5/25 s warm-up CLOSED LOOP |") && lines[1].ends_with("| 35 FAILED"), "{}", lines[1]);
    assert!(lines[2].starts_with("10/25 s measuring CLOSED LOOP |"), "{}", lines[2]);
    assert!(
        lines[6].starts_with("30/25 s draining CLOSED LOOP |") && lines[6].ends_with("| 210 FAILED"),
        "{}",
        lines[6]
    );
    assert_eq!(lines.last().unwrap(), "the node was killed");
}

/// Goal: memory does not grow with the run: only the last seconds are kept.
#[test]
fn only_the_last_seconds_are_kept() {
    let mut state = State::default();
    for second in 0..10_000 {
        state.add(&slice(second, 1, 1_000));
    }
    assert!(state.recent.len() <= 11 && state.sparks.len() == SPARKS);
    assert!((state.recent().rate(state.recent().sum.acked) - 1.0).abs() < 1e-9);
}

/// Goal: the little plot is as high as the rate, and a rate of zero is still there.
#[test]
fn sparks_are_rates() {
    let sparks = |rates: &[f64]| super::sparks(&rates.iter().copied().collect());
    assert_eq!(sparks(&[0.0, 50.0, 100.0]), "▁▄█");
    assert_eq!(sparks(&[0.0, 0.0]), "▁▁");
    assert_eq!(sparks(&[]), "");
}
