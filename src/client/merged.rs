//! All shards of a stream as one row of records, each tagged with its shard.
//!
//! - Fair: a shard that has much does not keep the others waiting, because one frame of each is taken in turn.
//! - In order: records of one shard keep their order, and a shard that was split or merged is read to its end before its
//!   children begin. So the records of a partition key keep their order, too. Between other shards there is none.
//! - Complete: shards that appear later are read from their first record on, unless it stops at the end of now
//!   ([`Stop::AtEnd`]).
//! - Bounded: a shard holds one frame here and a share of [`ConsumerOptions::bytes_max`] in its consumer. Children live on
//!   what their parents leave.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use thiserror::Error;

use super::backoff::Backoff;
use super::client::Client;
use super::consumer::{Consumer, ConsumerOptions, FrameBatch, Record, Stop};
use super::error::{Error, Result};
use crate::protocol::messages::{ShardDescription, ShardState, Start};
use crate::runtime::local::{Notify, join_all};
use crate::runtime::{Reactor, TaskClass};
use crate::types::ShardNumber;

/// Smallest share of a shard.
const SHARE_BYTES_MIN: u32 = 64 << 10;

/// Time between two looks at children that are still being opened: that takes milliseconds.
const PENDING_WAIT: Duration = Duration::from_millis(20);

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

/// A consumer of all the shards of a stream.
pub struct Merged<R: Reactor> {
    shared: Rc<Shared<R>>,
    batch: Option<FrameBatch>,
}

impl<R: Reactor> std::fmt::Debug for Merged<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merged")
            .field("stream", &self.shared.stream)
            .field("reading", &self.shared.reading)
            .finish_non_exhaustive()
    }
}

struct Shared<R: Reactor> {
    client: Client<R>,
    stream: String,
    options: ConsumerOptions,
    /// What shards have brought, at most one each.
    ready: RefCell<VecDeque<Item>>,
    /// Every shard with a lower number was seen. Those with a higher one were not, or were pending: no reshard begins while
    /// another is pending, so that pending shards have the highest numbers.
    next_unseen: Cell<ShardNumber>,
    /// Shards that are read, or wait for their parents.
    unfinished: RefCell<BTreeSet<ShardNumber>>,
    waiting: RefCell<Vec<Next<R>>>,
    /// Bytes of the budget that no shard has.
    free_bytes: Cell<u32>,
    /// Tasks that bring frames or look for children.
    reading: Cell<usize>,
    dropped: Cell<bool>,
    /// Something is ready, or nobody reads any more.
    arrived: Notify,
    /// Something was taken, or nobody wants it any more.
    room: Notify,
}

struct Item {
    batch: Result<FrameBatch, ShardError>,
    /// To be set once it is handed out.
    taken: Rc<Cell<bool>>,
}

/// A shard to be read.
enum Next<R: Reactor> {
    /// Opened when all began: its place is fixed.
    Opened(Box<Consumer<R>>, u32),
    /// Seen later.
    Child(ShardDescription),
}

impl<R: Reactor> Next<R> {
    fn shard(&self) -> &ShardDescription {
        match self {
            Self::Opened(consumer, _) => consumer.shard(),
            Self::Child(shard) => shard,
        }
    }
}

impl<R: Reactor> Merged<R> {
    pub(super) async fn open(client: Client<R>, stream: &str, start: Start, options: ConsumerOptions) -> Result<Self> {
        if matches!(start, Start::At(_) | Start::After(_)) {
            return Err(Error::Argument("an offset is a place in one shard, not in all of a stream"));
        }
        let map = match start {
            // Of closed ones nothing is new.
            Start::Latest => client.describe_open_shards(stream).await?.shards,
            _ => client.describe_stream(stream).await?.shards,
        };
        let shards: Vec<_> = map.all().iter().filter(|shard| is_seen(shard)).copied().collect();
        let share = (options.bytes_max / shards.len().max(1) as u32).max(SHARE_BYTES_MIN.min(options.bytes_max));
        let each = ConsumerOptions { bytes_max: share, ..options.clone() };
        let opening =
            shards.iter().map(|shard| Consumer::open_shard(client.clone(), stream, *shard, start, each.clone()));
        let consumers = join_all(opening).await.into_iter().collect::<Result<Vec<_>>>()?;
        let numbers: BTreeSet<_> = shards.iter().map(|shard| shard.number).collect();
        let shared = Rc::new(Shared {
            client,
            stream: stream.to_owned(),
            free_bytes: Cell::new(if shards.is_empty() { options.bytes_max } else { 0 }),
            options,
            ready: RefCell::default(),
            next_unseen: Cell::new(ShardNumber(numbers.last().map_or(0, |last| last.0 + 1))),
            unfinished: RefCell::new(numbers),
            waiting: RefCell::new(consumers.into_iter().map(|one| Next::Opened(Box::new(one), share)).collect()),
            reading: Cell::new(0),
            dropped: Cell::new(false),
            arrived: Notify::new(),
            room: Notify::new(),
        });
        shared.begin();
        Ok(Self { shared, batch: None })
    }

    /// The shards that are being read, or wait for their parents.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardNumber> {
        self.shared.unfinished.borrow().iter().copied().collect()
    }

    /// The next record of any shard; `None` once all are done. Records that are gone are told of as an error, and what is left
    /// behind them comes; a shard with any other error is done after it, and the others go on.
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
        let Item { batch, taken } = arrived.await?;
        taken.set(true);
        shared.room.notify();
        Some(batch)
    }
}

impl<R: Reactor> Drop for Merged<R> {
    fn drop(&mut self) {
        self.shared.dropped.set(true);
        self.shared.waiting.borrow_mut().clear();
        self.shared.room.notify();
    }
}

impl<R: Reactor> Shared<R> {
    /// Begins with every waiting shard none of whose parents is still to be read.
    fn begin(self: &Rc<Self>) {
        let unfinished = self.unfinished.borrow();
        let is_due = |next: &mut Next<R>| {
            let parents = [next.shard().parent, next.shard().adjacent_parent];
            !parents.iter().flatten().any(|parent| unfinished.contains(parent))
        };
        let due: Vec<_> = self.waiting.borrow_mut().extract_if(.., is_due).collect();
        drop(unfinished);
        let children = due.iter().filter(|next| matches!(next, Next::Child(_))).count() as u32;
        let each = (self.free_bytes.get() / children.max(1)).max(SHARE_BYTES_MIN.min(self.options.bytes_max));
        for next in due {
            let share = match &next {
                Next::Opened(_, share) => *share,
                Next::Child(_) => {
                    self.free_bytes.set(self.free_bytes.get().saturating_sub(each));
                    each
                }
            };
            self.reading.set(self.reading.get() + 1);
            self.client.reactor().spawn(TaskClass::Latency, feed(Rc::clone(self), next, share));
        }
    }

    /// Hands on what a shard brought, and waits until it was taken.
    async fn hand_on(&self, batch: Result<FrameBatch, ShardError>) {
        let taken = Rc::new(Cell::new(false));
        self.ready.borrow_mut().push_back(Item { batch, taken: Rc::clone(&taken) });
        self.arrived.notify();
        self.room.until(|| (taken.get() || self.dropped.get()).then_some(())).await;
    }

    /// Reads one shard to its end, and remembers its children.
    async fn read(&self, next: Next<R>, share: u32) {
        let shard = *next.shard();
        let failed = |error| Err(ShardError { shard: shard.number, error });
        let mut consumer = match next {
            Next::Opened(consumer, _) => *consumer,
            Next::Child(shard) => loop {
                let options = ConsumerOptions { bytes_max: share, ..self.options.clone() };
                match Consumer::open_shard(self.client.clone(), &self.stream, shard, Start::Horizon, options).await {
                    Ok(consumer) => break consumer,
                    Err(error) => {
                        let passes = error.is_retryable();
                        self.hand_on(failed(error)).await;
                        if !passes || self.dropped.get() {
                            return;
                        }
                    }
                }
            },
        };
        while let Some(item) = consumer.next_batch().await {
            let (is_over, resume) = match &item {
                Ok(_) => (false, None),
                // What is intact behind a loss still comes.
                Err(Error::BeforeHorizon { horizon: next } | Error::Damaged { resume: next }) => (false, Some(*next)),
                Err(_) => (true, None),
            };
            self.hand_on(item.map_err(|error| ShardError { shard: shard.number, error })).await;
            if is_over {
                return;
            }
            if let Some(offset) = resume {
                consumer.seek(offset);
            }
        }
        if self.options.stop == Stop::AtEnd {
            return;
        }
        let rt = self.client.reactor();
        let (mut since, mut backoff) = (rt.now(), Backoff::default());
        while let Err(error) = self.find_children(&mut consumer).await {
            let passes = error.is_retryable();
            let wait = backoff.next(rt.random(), error.retry_after_ms());
            // As long as for records, however long the client tries.
            if passes && Duration::from_micros(rt.now().since(since)) + wait < self.options.retry_for {
                rt.sleep(wait).await;
            } else {
                self.hand_on(failed(error)).await;
                (since, backoff) = (rt.now(), Backoff::default());
            }
            if !passes || self.dropped.get() {
                return;
            }
        }
    }

    /// Queues the shards that nobody has seen yet, once a shard with children was read to its end: they descend from those
    /// that are known. The other one of two parents may have found them before.
    async fn find_children(&self, consumer: &mut Consumer<R>) -> Result<()> {
        let children = consumer.children().await?;
        if children.iter().all(|child| child.number < self.next_unseen.get()) {
            return Ok(());
        }
        let map = loop {
            let map = self.client.describe_shards_from(&self.stream, self.next_unseen.get()).await?.shards;
            // The one who told of the end may be ahead of the one who describes.
            if map.children(consumer.shard().number).all(|child| child.state != ShardState::Pending) {
                break map;
            }
            self.client.reactor().sleep(PENDING_WAIT).await;
        };
        // Not only the children: that of a merge may have another parent that nobody has seen yet, and waits for it, too.
        for child in map.all().iter().filter(|shard| is_seen(shard)) {
            // Somebody else may have found it meanwhile.
            if child.number >= self.next_unseen.get() {
                self.next_unseen.set(ShardNumber(child.number.0 + 1));
                self.unfinished.borrow_mut().insert(child.number);
                self.waiting.borrow_mut().push(Next::Child(*child));
            }
        }
        Ok(())
    }
}

/// Whether a shard can be read, so that it will not be looked for again.
fn is_seen(shard: &ShardDescription) -> bool {
    shard.state != ShardState::Pending
}

/// Brings one shard's frames, one at a time, and then begins with its children.
async fn feed<R: Reactor>(shared: Rc<Shared<R>>, next: Next<R>, share: u32) {
    let shard = next.shard().number;
    let dropped = shared.room.until(|| shared.dropped.get().then_some(()));
    or(shared.read(next, share), dropped).await;
    shared.unfinished.borrow_mut().remove(&shard);
    shared.free_bytes.set(shared.free_bytes.get().saturating_add(share));
    if !shared.dropped.get() {
        shared.begin();
    }
    shared.reading.set(shared.reading.get() - 1);
    shared.arrived.notify();
}

#[cfg(all(test, feature = "sim"))]
mod tests;
