//! A thread that sends: paces, stamps, hands to the driver, and takes down what became of each record.
//!
//! Nothing here waits for the server, except where [`Producer::send`] does: that wait is back-pressure. It is timed, and the
//! records behind it keep their intended times. Until the thread is back on its schedule, it is *making up*: what is late
//! then is late because of the server. What is late otherwise is late because of the generator.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use anyhow::{Context, Result};
use millstream::runtime::local::Notify;

use super::control::{Between, Control, Times};
use super::recorder::{Recorder, cut_slices};
use super::{Message, Setup};
use crate::clock::now_ns;
use crate::driver::{Done, Driver, Failure, Outgoing, Producer, Sent};
use crate::pace::Pacer;
use crate::payload::{Tag, Writer, key_text};
use crate::rng::Rng;
use crate::verify::Ledger;
use crate::workload::keys::DrawKey;
use crate::workload::sizes::DrawSize;
use crate::workload::{Closed, Workload};

/// Records handed over before other tasks of the thread get a turn: the connection has to be served too.
const TURN_RECORDS: u32 = 64;

/// What a sending thread did, in the measured time unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct SendTotals {
    /// Records that the schedule had.
    pub scheduled: u64,
    /// Records handed to the driver.
    pub sent: u64,
    /// Of these, acknowledged at any time.
    pub acked: u64,
    /// Bytes of these.
    pub acked_bytes: u64,
    /// Acknowledged within the measured time, whenever intended.
    pub acked_within: u64,
    /// Bytes of these.
    pub acked_within_bytes: u64,
    /// Certainly not stored.
    pub failed: u64,
    /// Outcome unknown.
    pub unknown: u64,
    /// Records by kind of error.
    pub errors: BTreeMap<String, u64>,
    /// Records late because of the generator.
    pub late: u64,
    /// Records late because of back-pressure.
    pub held_back: u64,
    /// Records sent while making up.
    pub caught_up: u64,
    /// Time spent waiting for the server.
    pub blocked_ns: u64,
    /// Time from a wait for the server until back on schedule, the wait included.
    pub making_up_ns: u64,
    /// CPU time.
    pub cpu_ns: f64,
}

/// Told at the end of a sending thread.
#[derive(Debug)]
pub struct SendEnd {
    /// What it did.
    pub totals: SendTotals,
    /// What it knows of its records.
    pub ledger: Ledger,
}

/// What the thread's tasks share.
struct State {
    control: Arc<Control>,
    recorder: Rc<RefCell<Recorder>>,
    ledger: RefCell<Ledger>,
    totals: RefCell<SendTotals>,
    in_flight: Cell<u64>,
    changed: Notify,
    late_after_ns: u64,
}

/// Which producers a thread has: as even as it goes.
fn share(thread: u32, workload: &Workload) -> std::ops::Range<u32> {
    let (producers, threads) = (u64::from(workload.load.producers), u64::from(workload.load.threads));
    let at = |thread: u32| (u64::from(thread) * producers / threads) as u32;
    at(thread)..at(thread + 1)
}

/// Runs a sending thread to its end.
pub(super) async fn run<D: Driver>(
    setup: &Setup,
    number: u32,
    thread: usize,
    control: Arc<Control>,
    to: Sender<(usize, Message)>,
) -> Result<()> {
    let workload = &setup.workload;
    let producers = share(number, workload);
    let driver = D::connect(&setup.target).await.context("a producer cannot connect")?;
    let state = Rc::new(State {
        recorder: Recorder::new(Arc::clone(&control), workload.load.closed.is_some()),
        ledger: RefCell::new(Ledger::new(producers.start, producers.len() as u32, workload.records.keys.count())),
        totals: RefCell::default(),
        in_flight: Cell::new(0),
        changed: Notify::new(),
        late_after_ns: workload.validity.late_after.0,
        control,
    });
    let mut opened = Vec::new();
    for _ in producers.clone() {
        let done = state.done();
        opened
            .push(driver.producer(&setup.stream, &workload.batch, done).await.context("a producer cannot be opened")?);
    }
    let mut sender = Generator::<D> {
        state: Rc::clone(&state),
        producers: opened,
        first: producers.start,
        turn: 0,
        keys: workload.records.keys.draw(),
        sizes: workload.records.size.draw(),
        key_texts: (0..workload.records.keys.count()).map(key_text).collect(),
        rng: Rng::part(workload.seed, u64::from(number) + 1_000),
        writer: Writer::new(setup.run_id, &mut Rng::part(workload.seed, u64::from(number) + 2_000)),
        making_up_since: None,
    };
    to.send((thread, Message::Ready)).context("the run is over")?;
    let times = super::started(&state.control).await?;
    state.recorder.borrow_mut().begin(times);
    let slices = cut_slices(Rc::clone(&state.recorder), Arc::clone(&state.control), times, thread, to.clone());
    tokio::task::spawn_local(slices);
    match workload.load.closed {
        Some(closed) => sender.closed(closed).await?,
        None => {
            let schedule = workload.load.schedule.times(number, workload.load.threads, workload.seed);
            sender.open(times, schedule).await?;
        }
    }
    state.settled().await;
    let slice = state.recorder.borrow_mut().take(times);
    let mut totals = state.totals.borrow().clone();
    totals.cpu_ns = state.recorder.borrow().cpu_ns;
    let ledger = {
        let mut ledger = state.ledger.borrow_mut();
        if state.in_flight.get() > 0 {
            ledger.given_up();
        }
        ledger.clone()
    };
    // The run may have been given up meanwhile.
    let _ = to.send((thread, Message::Slice(Box::new(slice))));
    let _ = to.send((thread, Message::Sent(Box::new(SendEnd { totals, ledger }))));
    Ok(())
}

impl State {
    /// What is called when outcomes become known.
    fn done(self: &Rc<Self>) -> Done {
        let state = Rc::clone(self);
        Rc::new(move |sents, outcome| {
            let now = now_ns();
            match outcome {
                Ok(()) => state.stored(sents, now),
                Err(failure) => sents.iter().for_each(|sent| state.failed(sent, failure)),
            }
            state.in_flight.set(state.in_flight.get() - sents.len() as u64);
            state.changed.notify();
        })
    }

    fn stored(&self, sents: &[Sent], now: u64) {
        let recorder = &mut *self.recorder.borrow_mut();
        let totals = &mut *self.totals.borrow_mut();
        let ledger = &mut *self.ledger.borrow_mut();
        let within = self.control.is_measured(now);
        for sent in sents {
            ledger.acked(sent.producer, sent.key, sent.seq);
            recorder.slice.acked += 1;
            recorder.slice.acked_bytes += u64::from(sent.bytes);
            if within {
                totals.acked_within += 1;
                totals.acked_within_bytes += u64::from(sent.bytes);
            }
            if self.control.is_measured(sent.intended_ns) {
                totals.acked += 1;
                totals.acked_bytes += u64::from(sent.bytes);
                recorder.slice.put_ack.record(now.saturating_sub(sent.intended_ns));
                if !recorder.is_closed {
                    recorder.slice.put_ack_actual.record(now.saturating_sub(sent.actual_ns));
                }
            }
        }
        self.control.event(Between::Acks, now);
    }

    fn failed(&self, sent: &Sent, failure: &Failure) {
        let mut ledger = self.ledger.borrow_mut();
        let mut totals = self.totals.borrow_mut();
        let measured = self.control.is_measured(sent.intended_ns);
        if failure.outcome_unknown {
            ledger.unknown(sent.producer, sent.key, sent.seq);
            totals.unknown += u64::from(measured);
        } else {
            ledger.refused(sent.producer, sent.key, sent.seq);
            totals.failed += u64::from(measured);
        }
        self.recorder.borrow_mut().slice.failed += 1;
        if measured {
            match totals.errors.get_mut(&*failure.kind) {
                Some(count) => *count += 1,
                None => drop(totals.errors.insert(failure.kind.clone().into_owned(), 1)),
            }
        }
    }

    /// Waits until every record has an outcome, or nobody waits any more.
    async fn settled(&self) {
        while self.in_flight.get() > 0 && !self.control.is_drained(now_ns()) {
            let settled = self.changed.until(|| (self.in_flight.get() == 0).then_some(()));
            // Looked at again now and then: the end of the waiting is not announced.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(20), settled).await;
        }
    }
}

/// Resolves when nobody waits any more.
async fn given_up(control: &Control) -> Result<(), Failure> {
    while !control.is_drained(now_ns()) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Failure::new("not_taken", "the server took no more records until the end of the run"))
}

/// Makes records and hands them over.
struct Generator<D: Driver> {
    state: Rc<State>,
    producers: Vec<D::Producer>,
    first: u32,
    /// Whose turn it is.
    turn: usize,
    keys: DrawKey,
    sizes: DrawSize,
    key_texts: Vec<String>,
    rng: Rng,
    writer: Writer,
    /// Since when it is making up for back-pressure, if it is.
    making_up_since: Option<u64>,
}

impl<D: Driver> Generator<D> {
    /// The open loop.
    async fn open(&mut self, times: Times, schedule: crate::workload::schedule::Times) -> Result<()> {
        let pacer = Pacer::new()?;
        let mut since_wait = 0;
        for offset in schedule {
            let intended = times.start_ns + offset;
            if intended >= self.state.control.end_ns() {
                break;
            }
            let mut now = now_ns();
            if now < intended {
                self.on_schedule(now);
                self.producers.iter().for_each(Producer::flush);
                pacer.until(intended).await?;
                since_wait = 0;
                now = now_ns();
            } else if since_wait >= TURN_RECORDS {
                tokio::task::yield_now().await;
                since_wait = 0;
                now = now_ns();
            }
            since_wait += 1;
            // Interrupted meanwhile, or given up: what is due is not sent any more.
            if intended >= self.state.control.end_ns() {
                break;
            }
            if self.state.control.is_drained(now) {
                self.skipped(intended);
                continue;
            }
            self.release(intended, now).await;
        }
        self.on_schedule(now_ns());
        self.producers.iter().for_each(Producer::flush);
        Ok(())
    }

    /// The closed loop: intended is when it happens.
    async fn closed(&mut self, closed: Closed) -> Result<()> {
        let state = Rc::clone(&self.state);
        let limit = u64::from(closed.in_flight);
        let mut since_wait = 0;
        loop {
            let now = now_ns();
            if now >= state.control.end_ns() {
                break;
            }
            if state.in_flight.get() >= limit {
                self.producers.iter().for_each(Producer::flush);
                let room = state.changed.until(|| (state.in_flight.get() < limit).then_some(()));
                // A server that stopped answering must not keep the loop from its end.
                let left = std::time::Duration::from_nanos(state.control.end_ns().saturating_sub(now));
                let _ = tokio::time::timeout(left.min(std::time::Duration::from_millis(50)), room).await;
                since_wait = 0;
                continue;
            }
            if since_wait >= TURN_RECORDS {
                tokio::task::yield_now().await;
                since_wait = 0;
                continue;
            }
            since_wait += 1;
            self.release(now, now).await;
            // There is no schedule to be back on.
            self.making_up_since = None;
        }
        self.producers.iter().for_each(Producer::flush);
        Ok(())
    }

    /// Hands one record over.
    async fn release(&mut self, intended_ns: u64, now: u64) {
        let state = Rc::clone(&self.state);
        let measured = state.control.is_measured(intended_ns);
        let at = self.turn;
        self.turn = (self.turn + 1) % self.producers.len();
        let (producer, key) = (self.first + at as u32, self.keys.next(&mut self.rng));
        let bytes = self.sizes.next(&mut self.rng);
        let seq = state.ledger.borrow_mut().next(producer, key);
        let lag = now.saturating_sub(intended_ns);
        self.note_lag(lag, measured);
        let sent = Sent { producer, key, seq, intended_ns, actual_ns: now, bytes: bytes as u32 };
        let data = self.writer.write(&Tag { producer, key, seq, intended_ns, actual_ns: now }, bytes);
        let outgoing = Outgoing { key: &self.key_texts[key as usize], data };
        state.in_flight.set(state.in_flight.get() + 1);
        if self.producers[at].send_now(&outgoing, &sent) {
            return;
        }
        let (outcome, blocked) = {
            let mut send = pin!(self.producers[at].send(outgoing, sent));
            match futures_lite::future::poll_once(&mut send).await {
                Some(outcome) => (outcome, None),
                None => {
                    let from = now_ns();
                    // Given up, the record was not taken: that is what the trait promises of a dropped send.
                    let outcome = futures_lite::future::or(&mut send, given_up(&state.control)).await;
                    (outcome, Some((from, now_ns())))
                }
            }
        };
        if let Some((from, until)) = blocked {
            self.making_up_since.get_or_insert(from);
            if measured {
                state.totals.borrow_mut().blocked_ns += until - from;
            }
        }
        if let Err(failure) = outcome {
            state.in_flight.set(state.in_flight.get() - 1);
            state.failed(&sent, &failure);
        }
    }

    fn note_lag(&self, lag: u64, measured: bool) {
        let mut recorder = self.state.recorder.borrow_mut();
        recorder.slice.scheduled += 1;
        recorder.slice.sent += 1;
        if measured {
            recorder.slice.send_lag.record(lag);
            let mut totals = self.state.totals.borrow_mut();
            totals.scheduled += 1;
            totals.sent += 1;
            let late = u64::from(lag > self.state.late_after_ns);
            if self.making_up_since.is_some() {
                totals.caught_up += 1;
                totals.held_back += late;
            } else {
                totals.late += late;
            }
        }
    }

    /// A record that was due and is not sent any more.
    fn skipped(&self, intended_ns: u64) {
        self.state.recorder.borrow_mut().slice.scheduled += 1;
        if self.state.control.is_measured(intended_ns) {
            let mut totals = self.state.totals.borrow_mut();
            totals.scheduled += 1;
            match self.making_up_since.is_some() {
                true => totals.held_back += 1,
                false => totals.late += 1,
            }
        }
    }

    /// Nothing is due at `now`: whatever back-pressure took was made up for.
    fn on_schedule(&mut self, now: u64) {
        if let Some(since) = self.making_up_since.take() {
            let times = self.state.control.times().expect("the load runs");
            let inside = now.min(self.state.control.end_ns()).saturating_sub(since.max(times.measure_ns));
            self.state.totals.borrow_mut().making_up_ns += inside;
        }
    }
}
