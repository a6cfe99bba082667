//! Putting: records gather into the bodies of the next PutRecords of their lane while one is under way. Only a full buffer
//! makes a send wait.
//!
//! The body is JSON, written once per record as it comes: `{"StreamName":"s","Records":[` record `,` record `]}`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use millstream::runtime::local::{Notify, Permit, Semaphore};
use tokio::time::Instant;

use super::super::{Done, Failure, Outgoing, Producer, Sent};
use super::api::{Api, kind, not_understood};
use super::messages::PutRecordsAnswer;
use crate::workload::Batch;

/// Most records of one PutRecords.
const RECORDS_MAX: u32 = 500;

/// Most bytes of keys and data in one PutRecords: below the 5 MiB that older endpoints take.
const BYTES_MAX: usize = (5 << 20) - (64 << 10);

/// Requests that a producer has under way, each for other keys.
const LANES: usize = 4;

/// A batch, of one record or more, that waits for its turn. The last one of a lane takes more records.
struct Waiting {
    body: Vec<u8>,
    /// Keys and data, as the API counts them.
    bytes: usize,
    sent: Vec<Sent>,
    permit: Permit,
    since: Instant,
}

struct Lane {
    waiting: RefCell<VecDeque<Waiting>>,
    /// Told of every record, and of the end.
    changed: Notify,
}

struct Shared {
    api: Rc<Api>,
    head: Vec<u8>,
    records_max: u32,
    bytes_max: usize,
    linger: Duration,
    timeout: Duration,
    done: Done,
    lanes: Vec<Lane>,
    budget: Rc<Semaphore>,
    /// The producer is gone: what is queued still goes out.
    closed: Cell<bool>,
    /// Nothing lingers until the queues are empty.
    hurry: Cell<bool>,
}

/// Puts records into a stream.
pub struct KinesisProducer {
    shared: Rc<Shared>,
}

impl Drop for KinesisProducer {
    fn drop(&mut self) {
        self.shared.closed.set(true);
        self.shared.lanes.iter().for_each(|lane| lane.changed.notify());
    }
}

impl KinesisProducer {
    /// A producer whose lanes are tasks of this thread.
    pub(super) fn new(api: Rc<Api>, stream: &str, batch: &Batch, done: Done) -> Self {
        let name = serde_json::to_string(stream).expect("text is JSON");
        let lane = || Lane { waiting: RefCell::default(), changed: Notify::new() };
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let shared = Rc::new(Shared {
            api,
            head: format!("{{\"StreamName\":{name},\"Records\":[").into_bytes(),
            records_max: batch.records.clamp(1, RECORDS_MAX),
            bytes_max: size(batch.bytes.0).clamp(1, BYTES_MAX),
            linger: Duration::from_nanos(batch.linger.0),
            timeout: Duration::from_nanos(batch.timeout.0),
            done,
            lanes: (0..LANES).map(|_| lane()).collect(),
            budget: Semaphore::new(size(batch.buffer.0)),
            closed: Cell::new(false),
            hurry: Cell::new(false),
        });
        for lane in 0..LANES {
            tokio::task::spawn_local(Rc::clone(&shared).run(lane));
        }
        Self { shared }
    }
}

impl Producer for KinesisProducer {
    async fn send(&self, record: Outgoing<'_>, sent: Sent) -> Result<(), Failure> {
        let shared = &*self.shared;
        let bytes = record.key.len() + record.data.len();
        // Most of the time there is room, and no other task may run before the record has its place.
        let permit = match shared.budget.try_acquire(bytes) {
            Some(permit) => permit,
            None => shared.budget.acquire(bytes).await,
        };
        let lane = &shared.lanes[sent.key as usize % LANES];
        let mut waiting = lane.waiting.borrow_mut();
        match waiting.back_mut().filter(|last| shared.takes(last, bytes)) {
            Some(last) => {
                last.body.push(b',');
                write_record(&mut last.body, record);
                last.bytes += bytes;
                last.sent.push(sent);
                last.permit.merge(permit);
            }
            None => {
                let mut body = shared.head.clone();
                write_record(&mut body, record);
                waiting.push_back(Waiting { body, bytes, sent: vec![sent], permit, since: Instant::now() });
            }
        }
        drop(waiting);
        lane.changed.notify();
        Ok(())
    }

    fn flush(&self) {
        self.shared.hurry.set(self.shared.lanes.iter().any(|lane| !lane.waiting.borrow().is_empty()));
        self.shared.lanes.iter().for_each(|lane| lane.changed.notify());
    }
}

impl Shared {
    /// Whether the batch takes a record of so many bytes more.
    fn takes(&self, batch: &Waiting, bytes: usize) -> bool {
        batch.sent.len() < self.records_max as usize && batch.bytes + bytes <= self.bytes_max
    }

    /// One request after the other, until the producer is gone and nothing is left.
    async fn run(self: Rc<Self>, lane: usize) {
        let lane = &self.lanes[lane];
        loop {
            let more = || {
                let is_empty = lane.waiting.borrow().is_empty();
                (!is_empty || self.closed.get()).then_some(())
            };
            lane.changed.until(more).await;
            self.linger(lane).await;
            let next = lane.waiting.borrow_mut().pop_front();
            let Some(mut batch) = next else { return };
            batch.body.extend_from_slice(b"]}");
            let answer = self.api.send("PutRecords", Bytes::from(batch.body), self.timeout).await;
            // Room first: whoever learns of the outcome may want to send the next record.
            drop(batch.permit);
            match answer {
                Ok(answer) => self.settle(&batch.sent, &answer),
                Err(failure) => (self.done)(&batch.sent, Err(&failure)),
            }
            if self.lanes.iter().all(|lane| lane.waiting.borrow().is_empty()) {
                self.hurry.set(false);
            }
        }
    }

    /// Waits for a full batch, but no longer than asked for.
    async fn linger(&self, lane: &Lane) {
        let since = lane.waiting.borrow().front().map(|batch| batch.since);
        let (false, Some(since)) = (self.linger.is_zero(), since) else { return };
        let enough = || {
            let waiting = lane.waiting.borrow();
            // Full when a record like the ones in it would not fit any more.
            let is_full = |batch: &Waiting| !self.takes(batch, batch.bytes / batch.sent.len());
            let is_ready = waiting.len() > 1 || waiting.front().is_none_or(is_full);
            (is_ready || self.hurry.get() || self.closed.get()).then_some(())
        };
        let _ = tokio::time::timeout_at(since + self.linger, lane.changed.until(enough)).await;
    }

    /// Tells of each record what the answer says of it: those of one fate that stand together, together.
    fn settle(&self, sent: &[Sent], answer: &[u8]) {
        let answer = match serde_json::from_slice::<PutRecordsAnswer<'_>>(answer) {
            Ok(answer) => answer,
            Err(error) => return (self.done)(sent, Err(&not_understood("PutRecords", &error))),
        };
        let results = answer.records;
        if results.len() != sent.len() {
            let what = format!("{} results for {} records", results.len(), sent.len());
            return (self.done)(sent, Err(&not_understood("PutRecords", &what)));
        }
        let mut at = 0;
        for run in results.chunk_by(|a, b| a.error_code == b.error_code) {
            let (part, first) = (&sent[at..at + run.len()], &run[0]);
            at += run.len();
            match first.error_code.as_deref() {
                None => (self.done)(part, Ok(())),
                Some(code) => {
                    let text = first.error_message.as_deref().unwrap_or_default();
                    let failure = Failure::new(kind(code), format!("PutRecords: {code} {text}"));
                    // "Internal failure" of a record says nothing about whether it was stored.
                    let outcome_unknown = failure.kind == "server_error";
                    (self.done)(part, Err(&Failure { outcome_unknown, ..failure }));
                }
            }
        }
    }
}

/// Appends `{"Data":"...","PartitionKey":"..."}`.
fn write_record(body: &mut Vec<u8>, record: Outgoing<'_>) {
    body.extend_from_slice(b"{\"Data\":\"");
    let at = body.len();
    body.resize(at + base64::encoded_len(record.data.len(), true).expect("records are small"), 0);
    STANDARD.encode_slice(record.data, &mut body[at..]).expect("as long as said");
    body.extend_from_slice(b"\",\"PartitionKey\":");
    serde_json::to_writer(&mut *body, record.key).expect("text is JSON");
    body.push(b'}');
}
