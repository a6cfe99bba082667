//! All shards of a stream as one row of records, each tagged with its shard.
//!
//! Fair: a shard that has much does not keep the others waiting, because one frame of each is taken in turn. Records of one
//! shard keep their order; between shards there is none. Bounded: a shard holds one frame here and a share of
//! [`ConsumerOptions::bytes_max`] in its consumer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures_lite::future::or;
use thiserror::Error;

use super::client::Client;
use super::consumer::{Consumer, ConsumerOptions, FrameBatch, Record};
use super::error::{Error, Result};
use crate::protocol::messages::{ShardDescription, Start};
use crate::runtime::local::{Notify, join_all};
use crate::runtime::{Reactor, TaskClass};
use crate::types::ShardNumber;

/// Smallest share of a shard.
const SHARE_BYTES_MIN: u32 = 64 << 10;

/// What ended the reading of one shard.
#[derive(Clone, Debug, Error)]
#[error("{shard}: {error}")]
pub struct ShardError {
    /// The shard.
    pub shard: ShardNumber,
    /// Why.
    #[source]
    pub error: Error,
}

/// A consumer of all the shards a stream has when it is opened.
pub struct Merged<R: Reactor> {
    shared: Rc<Shared>,
    shards: Vec<ShardDescription>,
    batch: Option<FrameBatch>,
    _reactor: std::marker::PhantomData<R>,
}

impl<R: Reactor> std::fmt::Debug for Merged<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merged")
            .field("shards", &self.shards)
            .field("reading", &self.shared.reading)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Shared {
    /// What shards have brought, at most one each.
    ready: RefCell<VecDeque<(usize, Result<FrameBatch, ShardError>)>>,
    /// By shard: its last one was taken.
    taken: RefCell<Vec<bool>>,
    /// Shards that are not done.
    reading: Cell<usize>,
    dropped: Cell<bool>,
    /// Something is ready, or nobody reads any more.
    arrived: Notify,
    /// Something was taken, or nobody wants it any more.
    room: Notify,
}

impl<R: Reactor> Merged<R> {
    pub(super) async fn open(client: Client<R>, stream: &str, start: Start, options: ConsumerOptions) -> Result<Self> {
        if matches!(start, Start::At(_) | Start::After(_)) {
            return Err(Error::Argument("an offset is a place in one shard, not in all of a stream"));
        }
        let shards = client.describe_stream(stream).await?.shards.all().to_vec();
        let share = (options.bytes_max / shards.len().max(1) as u32).max(SHARE_BYTES_MIN.min(options.bytes_max));
        let options = ConsumerOptions { bytes_max: share, ..options };
        let opening =
            shards.iter().map(|shard| Consumer::open_shard(client.clone(), stream, *shard, start, options.clone()));
        let consumers = join_all(opening).await.into_iter().collect::<Result<Vec<_>>>()?;
        let shared = Rc::new(Shared::default());
        shared.taken.borrow_mut().resize(consumers.len(), true);
        shared.reading.set(consumers.len());
        for (at, consumer) in consumers.into_iter().enumerate() {
            client.reactor().spawn(TaskClass::Latency, feed(Rc::clone(&shared), at, consumer));
        }
        Ok(Self { shared, shards, batch: None, _reactor: std::marker::PhantomData })
    }

    /// The shards that are read.
    #[must_use]
    pub fn shards(&self) -> &[ShardDescription] {
        &self.shards
    }

    /// The next record of any shard; `None` once all are done. Records that are gone are told of as an error, and what is left
    /// behind them comes; a shard with any other error is done after it, the others go on.
    /// Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<Result<Record, ShardError>> {
        loop {
            if let Some(batch) = &mut self.batch {
                let shard = batch.shard;
                if let Some(record) = batch.next_record() {
                    return Some(record.map_err(|error| ShardError { shard, error: error.into() }));
                }
            }
            match self.next_batch().await? {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next records, as many as lie in one frame. What [`Merged::next`] has left of a frame comes first.
    pub async fn next_batch(&mut self) -> Option<Result<FrameBatch, ShardError>> {
        if let Some(batch) = self.batch.take().filter(|batch| !batch.is_empty()) {
            return Some(Ok(batch));
        }
        let shared = &self.shared;
        let arrived = shared.arrived.until(|| match shared.ready.borrow_mut().pop_front() {
            Some(item) => Some(Some(item)),
            None => (shared.reading.get() == 0).then_some(None),
        });
        let (at, item) = arrived.await?;
        shared.taken.borrow_mut()[at] = true;
        shared.room.notify();
        Some(item)
    }
}

impl<R: Reactor> Drop for Merged<R> {
    fn drop(&mut self) {
        self.shared.dropped.set(true);
        self.shared.room.notify();
    }
}

/// Brings one shard's frames, one at a time.
async fn feed<R: Reactor>(shared: Rc<Shared>, at: usize, mut consumer: Consumer<R>) {
    let shard = consumer.shard().number;
    loop {
        let dropped = shared.room.until(|| shared.dropped.get().then_some(()));
        let next = or(consumer.next_batch(), async {
            dropped.await;
            None
        });
        let Some(item) = next.await else { break };
        let (failed, resume) = match &item {
            Ok(_) => (false, None),
            // What is intact behind a loss still comes.
            Err(Error::BeforeHorizon { horizon: next } | Error::Damaged { resume: next }) => (false, Some(*next)),
            Err(_) => (true, None),
        };
        shared.taken.borrow_mut()[at] = false;
        shared.ready.borrow_mut().push_back((at, item.map_err(|error| ShardError { shard, error })));
        shared.arrived.notify();
        if failed {
            break;
        }
        shared.room.until(|| (shared.taken.borrow()[at] || shared.dropped.get()).then_some(())).await;
        if let Some(offset) = resume {
            consumer.seek(offset);
        }
    }
    shared.reading.set(shared.reading.get() - 1);
    shared.arrived.notify();
}

#[cfg(all(test, feature = "sim"))]
mod tests;
