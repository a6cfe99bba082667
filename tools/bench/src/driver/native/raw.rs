//! Batches made here and sent as plain puts, without stamps and so without resends: what the protocol costs at least.
//!
//! A batch goes out when it is full, or when the caller says that nothing more comes for now. Two tasks per shard: one
//! sends, in order; one waits for the answers, in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use millstream::client::connection::{Pending, result};
use millstream::client::{Client, Error, ShardDescription};
use millstream::format::record::{encode_header, encoded_bytes};
use millstream::protocol::messages::Put;
use millstream::runtime::local::{Notify, Permit, Semaphore};
use millstream::runtime::tokio::TokioReactor;
use millstream::runtime::{Reactor, TaskClass};

use super::lanes::Lanes;
use super::{Done, Failure, Outgoing, Sent, failure};
use crate::workload::Batch;

/// A producer that makes its own batches.
pub struct RawProducer {
    lanes: Lanes,
    shards: Vec<Rc<Shard>>,
    budget: Rc<Semaphore>,
    bytes_max: usize,
    records_max: usize,
    record_bytes_max: u32,
}

impl std::fmt::Debug for RawProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawProducer").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// An answer on its way; or why nothing was sent.
type Answer = Result<Pending<TokioReactor>, Error>;

/// One shard's batches.
#[derive(Default)]
struct Shard {
    filling: RefCell<Filling>,
    full: RefCell<VecDeque<Filling>>,
    sent: RefCell<VecDeque<(Answer, Filling)>>,
    /// Batches that are done with: the next ones are made in the same memory, while the caches know it.
    spare: RefCell<Vec<Filling>>,
    to_send: Notify,
    to_settle: Notify,
}

/// A batch: its records as they are sent, and what is to be told of each.
#[derive(Default)]
struct Filling {
    body: BytesMut,
    sents: Vec<Sent>,
    /// Its share of the buffer: room for a full batch while it is filled, then what it takes. Given back when its outcome is known.
    permit: Option<Permit>,
}

impl RawProducer {
    pub(super) async fn open(
        client: &Client<TokioReactor>,
        stream: &str,
        batch: &Batch,
        done: Done,
    ) -> Result<Self, Error> {
        let described = client.describe_stream(stream).await?;
        let record_bytes_max = described.settings.record_bytes_max;
        let lanes = Lanes::new(described.shards);
        let timeout = batch.timeout.duration();
        let start = |description: &ShardDescription| {
            let shard = Rc::new(Shard::default());
            let rt = client.reactor();
            rt.spawn(TaskClass::Latency, send(Rc::clone(&shard), client.clone(), *description, timeout));
            rt.spawn(TaskClass::Latency, settle(Rc::clone(&shard), Rc::clone(&done)));
            shard
        };
        let shards = lanes.map().open().iter().map(start).collect();
        let body_bytes_max = client.node().limits.frame_body_bytes_max as usize;
        Ok(Self {
            lanes,
            shards,
            budget: Semaphore::new(batch.buffer.0 as usize),
            bytes_max: (batch.bytes.0 as usize).min(body_bytes_max),
            records_max: batch.records as usize,
            record_bytes_max,
        })
    }

    pub(super) async fn send(&self, record: Outgoing<'_>, sent: Sent) -> Result<(), Failure> {
        if !self.takes(&record) {
            return Err(Failure::new("argument", "the record is larger than the stream takes"));
        }
        while !self.send_now(&record, &sent) {
            // What waits for room must not wait for itself.
            self.flush();
            drop(self.budget.acquire(self.room(&record)).await);
        }
        Ok(())
    }

    pub(super) fn send_now(&self, record: &Outgoing<'_>, sent: &Sent) -> bool {
        if !self.takes(record) {
            return false;
        }
        let encoded = encoded_bytes(record.key.len(), record.data.len());
        let shard = &self.shards[self.lanes.of(sent.key, record.key)];
        let mut filling = shard.filling.borrow_mut();
        if !filling.sents.is_empty() && filling.body.len() + encoded > self.bytes_max {
            shard.seal(&mut filling);
        }
        if filling.sents.is_empty() {
            let Some(permit) = self.budget.try_acquire(self.room(record)) else { return false };
            *filling = shard.spare.borrow_mut().pop().unwrap_or_default();
            filling.permit = Some(permit);
            filling.body.reserve(self.bytes_max.max(encoded));
        }
        filling.body.put_slice(&encode_header(record.key.len(), record.data.len()));
        filling.body.put_slice(record.key.as_bytes());
        filling.body.put_slice(record.data);
        filling.sents.push(*sent);
        if filling.body.len() >= self.bytes_max || filling.sents.len() >= self.records_max {
            shard.seal(&mut filling);
        }
        true
    }

    fn takes(&self, record: &Outgoing<'_>) -> bool {
        (record.key.len() + record.data.len()) as u64 <= u64::from(self.record_bytes_max)
    }

    /// The room for a batch that begins with `record`.
    fn room(&self, record: &Outgoing<'_>) -> usize {
        self.bytes_max.max(encoded_bytes(record.key.len(), record.data.len()))
    }

    pub(super) fn flush(&self) {
        for shard in &self.shards {
            let mut filling = shard.filling.borrow_mut();
            if !filling.sents.is_empty() {
                shard.seal(&mut filling);
            }
        }
    }
}

impl Shard {
    fn seal(&self, filling: &mut Filling) {
        if let Some(permit) = &mut filling.permit {
            permit.release(permit.permits().saturating_sub(filling.body.len()));
        }
        self.full.borrow_mut().push_back(std::mem::take(filling));
        self.to_send.notify();
    }
}

async fn send(shard: Rc<Shard>, client: Client<TokioReactor>, description: ShardDescription, timeout: Duration) {
    loop {
        let mut batch = shard.to_send.until(|| shard.full.borrow_mut().pop_front()).await;
        let put = Put { group: description.group, producer: None, record_count: batch.sents.len() as u32 };
        let body = batch.body.split().freeze();
        let pending = match client.connection_to(description.worker).await {
            Ok(connection) => connection.send(&put, Some(body), timeout).await,
            Err(error) => Err(error),
        };
        shard.sent.borrow_mut().push_back((pending, batch));
        shard.to_settle.notify();
    }
}

async fn settle(shard: Rc<Shard>, done: Done) {
    loop {
        let (pending, mut batch) = shard.to_settle.until(|| shard.sent.borrow_mut().pop_front()).await;
        let outcome = match pending {
            Ok(mut pending) => match pending.wait().await {
                Ok(message) => result::<Put, _>(&message, |answer| answer.record_count),
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        batch.permit = None;
        match outcome {
            Ok(_) => done(&batch.sents, Ok(())),
            Err(error) => done(&batch.sents, Err(&failure(error))),
        }
        batch.sents.clear();
        shard.spare.borrow_mut().push(batch);
    }
}
