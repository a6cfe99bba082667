//! One shard that this member has: the lease, the checkpoint, and the task that reads.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::or;

use super::checkpoint::Checkpoint;
use super::member::{Item, Shared};
use super::{GroupBatch, GroupEvent, GroupItem};
use crate::client::consumer::{Consumer, ConsumerOptions, Stop};
use crate::client::error::{Error, Result};
use crate::client::merged::ShardError;
use crate::protocol::messages::{Expect, ShardDescription, Start};
use crate::runtime::Reactor;
use crate::runtime::local::Semaphore;
use crate::types::{MonoUs, Offset};

/// A shard whose lease this member has.
///
/// Invariant: `noted <= processed <= delivered`, in the order of the shard.
pub(super) struct Assignment {
    pub(super) shard: ShardDescription,
    pub(super) key: String,
    pub(super) token: u64,
    /// When the renewal that was last answered was asked for.
    pub(super) renewed: Cell<MonoUs>,
    /// Version of the item: nobody else changes it.
    version: Cell<u64>,
    /// The durable checkpoint.
    noted: Cell<Offset>,
    /// How far the application is.
    pub(super) processed: Cell<Offset>,
    /// Behind the last batch handed out.
    pub(super) delivered: Cell<Offset>,
    /// The end of a closed shard, once everything was handed out.
    all_delivered: Cell<bool>,
    pub(super) over: Cell<bool>,
    /// One put at a time.
    putting: Rc<Semaphore>,
}

impl Assignment {
    pub(super) fn new(shard: ShardDescription, key: String, token: u64, version: u64, renewed: MonoUs) -> Self {
        Self {
            shard,
            key,
            token,
            renewed: Cell::new(renewed),
            version: Cell::new(version),
            noted: Cell::new(Offset(0)),
            processed: Cell::new(Offset(0)),
            delivered: Cell::new(Offset(0)),
            all_delivered: Cell::new(false),
            over: Cell::new(false),
            putting: Semaphore::new(1),
        }
    }

    /// Every record was processed: the end is to be noted.
    fn is_finished(&self) -> bool {
        self.all_delivered.get() && self.processed.get() >= self.delivered.get()
    }
}

/// Reads a shard from `from` on until its end, or until it is lost.
pub(super) async fn read<R: Reactor>(
    shared: Rc<Shared<R>>,
    assignment: Rc<Assignment>,
    from: Checkpoint,
    bytes_max: u32,
) {
    let over = shared.changed.until(|| (assignment.over.get() || shared.stopped.get()).then_some(()));
    or(read_to_end(&shared, &assignment, from, bytes_max), over).await;
}

async fn read_to_end<R: Reactor>(
    shared: &Rc<Shared<R>>,
    assignment: &Rc<Assignment>,
    from: Checkpoint,
    bytes_max: u32,
) {
    let number = assignment.shard.number;
    let start = match from {
        Checkpoint::Horizon => Start::Horizon,
        Checkpoint::Latest => Start::Latest,
        Checkpoint::At(offset) => Start::At(offset),
        Checkpoint::Ended => unreachable!("a shard that was read to its end is not read again"),
    };
    let options = ConsumerOptions {
        mode: shared.options.mode,
        stop: Stop::Never,
        bytes_max,
        consumer: shared.options.consumer,
        ..ConsumerOptions::default()
    };
    let mut consumer = loop {
        let (client, stream) = (shared.client.clone(), &shared.stream);
        match Consumer::open_shard(client, stream, assignment.shard, start, options.clone()).await {
            Ok(consumer) => break consumer,
            Err(error) => {
                if shared.trouble(assignment, error).await {
                    return;
                }
            }
        }
    };
    for place in [&assignment.noted, &assignment.processed, &assignment.delivered] {
        place.set(consumer.position());
    }
    while let Some(item) = consumer.next_batch().await {
        match item {
            Ok(records) => {
                let end = records.end_offset();
                let batch = GroupBatch { shard: number, records, end, token: assignment.token };
                shared.hand_on(assignment, Ok(GroupItem::Batch(batch))).await;
            }
            Err(error @ (Error::BeforeHorizon { horizon: resume } | Error::Damaged { resume })) => {
                shared.hand_on(assignment, Err(ShardError { shard: number, error })).await;
                consumer.seek(resume);
            }
            Err(error) => {
                if shared.trouble(assignment, error).await {
                    return;
                }
            }
        }
    }
    assignment.all_delivered.set(true);
    shared.finish(assignment).await;
}

impl<R: Reactor> Shared<R> {
    /// Queues what a shard brought, and waits until it was taken.
    async fn hand_on(&self, assignment: &Rc<Assignment>, item: Result<GroupItem, ShardError>) {
        let taken = Rc::new(Cell::new(false));
        let of = Rc::clone(assignment);
        self.queue.borrow_mut().push_back(Item { item, of: Some(of), taken: Rc::clone(&taken) });
        self.changed.notify();
        self.changed.until(|| taken.get().then_some(())).await;
    }

    /// A shard cannot be read now: tells so, and waits before the next try. `true` if the retention has taken it whole.
    async fn trouble(self: &Rc<Self>, assignment: &Rc<Assignment>, error: Error) -> bool {
        if matches!(error, Error::StreamGone(_)) {
            let first = assignment.shard.number;
            let described = self.client.describe_family(&self.stream, first).await;
            let is_listed = |map: &crate::client::ShardMap| map.shard(first).is_some();
            if described.is_ok_and(|stream| stream.id == self.stream_id && !is_listed(&stream.shards)) {
                // Nothing of it is left to be read.
                self.forget(assignment);
                return true;
            }
        }
        let told = ShardError { shard: assignment.shard.number, error };
        self.hand_on(assignment, Err(told)).await;
        self.client.reactor().sleep(self.interval()).await;
        false
    }

    /// Notes the end of a shard once every record was processed, and gives it back. Tried again with the next automatic
    /// checkpoints if it fails.
    pub(super) async fn finish(self: &Rc<Self>, assignment: &Rc<Assignment>) {
        if assignment.over.get() || !assignment.is_finished() {
            return;
        }
        if let Err(error) = self.put(assignment, Checkpoint::Ended).await {
            tracing::debug!(shard = %assignment.shard.number, %error, "the end of a shard is not noted yet");
            return;
        }
        if assignment.over.replace(true) {
            return;
        }
        self.assigned.borrow_mut().remove(&assignment.shard.number);
        self.event(GroupEvent::ShardEnded(assignment.shard.number));
        // It runs out by itself if this fails; nobody wants it any more.
        let _ = self.client.lease_release(&self.application, &assignment.key, assignment.token).await;
        self.hurry();
    }

    /// Notes what was processed.
    pub(super) async fn flush(self: &Rc<Self>, assignment: &Rc<Assignment>) -> Result<()> {
        let processed = assignment.processed.get();
        if !assignment.over.get() && processed > assignment.noted.get() {
            self.put(assignment, Checkpoint::At(processed)).await?;
        }
        self.finish(assignment).await;
        Ok(())
    }

    /// Stores a checkpoint under the lease. What was asked for and whose outcome is not known is looked up, so that no old
    /// one ever comes after a new one.
    pub(super) async fn put(self: &Rc<Self>, assignment: &Rc<Assignment>, checkpoint: Checkpoint) -> Result<()> {
        let _turn = assignment.putting.acquire(1).await;
        let (client, space, key) = (&self.client, &self.application, &assignment.key);
        let (value, token) = (checkpoint.encode(), assignment.token);
        let stored = loop {
            if assignment.over.get() {
                return Err(Error::LeaseLost);
            }
            let expect = Expect::Version(assignment.version.get());
            let error = match client.store_put(space, key, &value, expect, Some(token)).await {
                Ok(version) => break version,
                Err(error) => error,
            };
            let is_conflict = error.code() == Some(crate::protocol::ErrorCode::VersionMismatch);
            if matches!(error, Error::LeaseLost) {
                self.lose(assignment);
                return Err(error);
            }
            if !is_conflict && !error.is_outcome_unknown() {
                return Err(error);
            }
            let item = client.store_get(space, key).await?;
            match item.filter(|item| item.lease.as_ref().is_some_and(|lease| lease.token == token)) {
                None => {
                    self.lose(assignment);
                    return Err(Error::LeaseLost);
                }
                Some(item) if item.value == value => break item.version,
                Some(item) => assignment.version.set(item.version),
            }
        };
        assignment.version.set(stored);
        if let Checkpoint::At(offset) = checkpoint {
            assignment.noted.set(offset);
        }
        Ok(())
    }
}
