//! Members of an application that share the shards of a stream: what the Kinesis Client Library does, on the node's store.
//!
//! - The **space** of the store is named like the application. It holds one item per shard with the checkpoint as value and
//!   the lease of the member that reads it (`shard/<stream>/<number>`), one per member with the lease as its heartbeat
//!   (`member/<stream>/<id>`), and one that says that the application has begun (`group/<stream>`). A stream stands there
//!   by its number, so a new stream of an old name is begun anew.
//! - [`plan`] decides, purely, what one member does next; `member` does it.
//! - Every checkpoint carries the lease's token: from the moment another member has the shard, those of the old one are
//!   refused, whatever it believes.
//! - A shard that is split or merged is read to its end, and that is noted, before any member begins with its children. So
//!   a member that processes batches in the order given sees the records of each partition key in order.
//!
//! **At least once.** No record is skipped: a shard always goes on from its last durable checkpoint. What is handed out
//! twice are records behind that, and only when a shard changes hands or its member starts anew:
//! - After a death, or a lease that ran out: every batch that was handed out and whose checkpoint was not durable. With
//!   automatic checkpoints that is the batch in hand and those of the last [`GroupOptions::checkpoint_every`].
//! - When a shard is stolen for balance: the same. The old member may go on with the batch in hand meanwhile; it gets no
//!   further one once it knows, a third of the lease's time later at most.
//! - After [`Group::leave`] with automatic checkpoints: nothing but the batch in hand, if next was not called after it.
//!
//! Memory: one frame per shard here, and a share of [`GroupOptions::bytes_max`] in each shard's consumer.

#![forbid(unsafe_code)]

mod assignment;
mod checkpoint;
mod look;
mod member;
pub mod plan;
mod status;

use std::rc::Rc;
use std::time::Duration;

pub use checkpoint::Checkpoint;
use member::Shared;
pub use status::{GroupMember, GroupShard, GroupStatus};

use super::client::Client;
use super::consumer::{FrameBatch, Mode};
use super::error::{Error, Result};
use super::merged::ShardError;
use crate::limits::{LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, READ_BYTES_MAX};
use crate::protocol::messages::Start;
use crate::runtime::Reactor;
use crate::types::{Offset, ShardNumber};

/// How a member behaves.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// Where an application begins that has not read this stream before. Shards that appear later are read from their first
    /// record on.
    pub start: Start,
    /// After how long without a sign of life the shards of a member go to others. All members should have the same.
    pub lease_ttl: Duration,
    /// Note by itself how far the application is: a batch counts as processed when the next one is asked for, and is noted
    /// this much later at most. `None`: only [`Group::checkpoint`] does.
    pub checkpoint_every: Option<Duration>,
    /// How records come.
    pub mode: Mode,
    /// By push: the registered consumer on whose behalf.
    pub consumer: Option<u64>,
    /// Bytes that may be under way or waiting, over all shards of the stream; a shard gets 64 KiB at least.
    pub bytes_max: u32,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            start: Start::Horizon,
            lease_ttl: Duration::from_secs(10),
            checkpoint_every: Some(Duration::from_secs(1)),
            mode: Mode::Push,
            consumer: None,
            bytes_max: 4 * READ_BYTES_MAX,
        }
    }
}

/// What happens to the shards of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// It reads this shard from now on, from this checkpoint.
    Assigned(ShardNumber, Checkpoint),
    /// It reads it no more: another member does, or may. What was not noted of it will be given to that one.
    Lost(ShardNumber),
    /// Every record of it was processed, and that is noted. Its children follow, here or at other members.
    ShardEnded(ShardNumber),
}

/// What comes next: see [`Group::next_item`].
#[derive(Debug)]
pub enum GroupItem {
    /// Records to be processed.
    Batch(GroupBatch),
    /// Something happened to a shard. Batches that come later were read after it.
    Event(GroupEvent),
}

/// Records of a shard that this member has.
#[derive(Debug)]
pub struct GroupBatch {
    /// The shard.
    pub shard: ShardNumber,
    /// The records.
    pub records: FrameBatch,
    end: Offset,
    token: u64,
}

impl GroupBatch {
    /// Offset behind the last record: where the shard goes on once this batch is noted as processed.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end
    }
}

/// Events kept for [`Group::take_events`]; an application that never asks loses the oldest.
const EVENTS_MAX: usize = 4_096;

/// One member of an application. It renews its leases and looks for its share in the background, as long as this lives;
/// dropped without [`Group::leave`], it is dead to the others when its lease has run out.
///
/// ```no_run
/// # use millstream::client::{Client, Result};
/// # use millstream::client::group::GroupOptions;
/// # use millstream::runtime::Reactor;
/// # async fn example<R: Reactor>(client: &Client<R>) -> Result<()> {
/// let mut group = client.group("billing", "orders", GroupOptions::default()).await?;
/// while let Some(batch) = group.next().await {
///     let mut batch = batch.map_err(|error| error.error)?;
///     while let Some(record) = batch.records.next_record() {
///         let record = record?;
///         println!("{} {} {}", record.shard, record.offset, record.key());
///     }
///     // Asking for the next one says that this one is processed.
/// }
/// group.leave().await
/// # }
/// ```
pub struct Group<R: Reactor> {
    shared: Rc<Shared<R>>,
    /// The batch that the application has: its shard, token and end.
    in_hand: Option<(ShardNumber, u64, Offset)>,
    events: Vec<GroupEvent>,
}

impl<R: Reactor> std::fmt::Debug for Group<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("member", &self.member()).field("shards", &self.shards()).finish_non_exhaustive()
    }
}

impl<R: Reactor> Group<R> {
    pub(super) async fn join(
        client: Client<R>,
        application: &str,
        stream: &str,
        options: GroupOptions,
    ) -> Result<Self> {
        let ttl_ms = options.lease_ttl.as_millis();
        if !(u128::from(LEASE_TTL_MS_MIN)..=u128::from(LEASE_TTL_MS_MAX)).contains(&ttl_ms) {
            return Err(Error::Argument("a lease lasts from 1 s to 600 s"));
        }
        status::check_start(options.start)?;
        let shared = Shared::join(client, application, stream, options).await?;
        Ok(Self { shared, in_hand: None, events: Vec::new() })
    }

    /// What this member calls itself, new with every join.
    #[must_use]
    pub fn member(&self) -> &str {
        &self.shared.me
    }

    /// The shards that this member has now.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardNumber> {
        self.shared.assigned.borrow().keys().copied().collect()
    }

    /// The next records of any shard that this member has. `None` after an error that ended the group: the stream is gone.
    ///
    /// Batches of one shard come in order, and none of a shard that was lost meanwhile. With automatic checkpoints asking
    /// says that the batch before was processed. What happened to shards is kept for [`Group::take_events`]. Dropping this
    /// loses nothing.
    ///
    /// # Errors
    /// Of one shard: what is lost in it, or why it cannot be read now. The group goes on, with that shard too.
    pub async fn next(&mut self) -> Option<Result<GroupBatch, ShardError>> {
        loop {
            match self.next_item().await? {
                Ok(GroupItem::Batch(batch)) => return Some(Ok(batch)),
                Ok(GroupItem::Event(event)) => {
                    if self.events.len() >= EVENTS_MAX {
                        self.events.remove(0);
                    }
                    self.events.push(event);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// As [`Group::next`], with what happens to shards in its place among the batches.
    pub async fn next_item(&mut self) -> Option<Result<GroupItem, ShardError>> {
        if let Some((shard, token, end)) = self.in_hand.take()
            && self.shared.options.checkpoint_every.is_some()
        {
            self.shared.processed(shard, token, end);
        }
        let item = self.shared.next().await?;
        if let Ok(GroupItem::Batch(batch)) = &item {
            self.in_hand = Some((batch.shard, batch.token, batch.end));
        }
        Some(item)
    }

    /// What happened to shards since this was last asked, up to the batch that [`Group::next`] gave last.
    pub fn take_events(&mut self) -> Vec<GroupEvent> {
        std::mem::take(&mut self.events)
    }

    /// Notes that a batch, and everything of its shard before it, is processed. Durable when this resolves.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the shard is another member's by now, who will get these records again. The group goes on
    /// with its other shards. After any other error the checkpoint may be asked for again.
    pub async fn checkpoint(&self, batch: &GroupBatch) -> Result<()> {
        self.shared.checkpoint(batch.shard, Some(batch.token), batch.end).await
    }

    /// As [`Group::checkpoint`], within a batch: `offset` is the first record not processed.
    pub async fn checkpoint_at(&self, shard: ShardNumber, offset: Offset) -> Result<()> {
        self.shared.checkpoint(shard, None, offset).await
    }

    /// Leaves: notes what is processed (with automatic checkpoints) and gives the shards back, so that others take them over
    /// at once.
    ///
    /// # Errors
    /// What could not be noted or given back; the leases run out by themselves then.
    pub async fn leave(self) -> Result<()> {
        self.shared.leave().await
    }
}

impl<R: Reactor> Drop for Group<R> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl<R: Reactor> Client<R> {
    /// Joins an application that reads a stream: `application` names it, and with it its space in the store.
    pub async fn group(&self, application: &str, stream: &str, options: GroupOptions) -> Result<Group<R>> {
        Group::join(self.clone(), application, stream, options).await
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
