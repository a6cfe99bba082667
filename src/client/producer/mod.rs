//! The producer: batches records per shard and delivers each batch once, whatever happens to connections and node.
//!
//! - **Batching** is natural: a batch is sent as soon as the shard's window has a place, and everything put meanwhile goes
//!   into the next one. [`ProducerOptions::linger`] makes batches wait on purpose.
//! - **Back-pressure**: [`Producer::send`] waits while [`ProducerOptions::buffer_bytes_max`] are queued or on their way.
//! - **Once, in order**: each batch carries a stamp (producer id, epoch, number in its shard). After a lost connection, a
//!   restart of the node or an error that passes, everything unacknowledged is sent again in order with the same stamps,
//!   until [`ProducerOptions::delivery_timeout`] is over. A shard stores a stamp once.
//! - Records with the same partition key keep their order. When a batch fails, those behind it go on.
//! - When shards are split or merged, what is not stored yet goes to the children, in order, and later records of its keys
//!   come behind it. When a shard moves to another worker, its batches follow with the same stamps. A stream that is
//!   throttled or not active is waited for. The application sees none of this, unless the time for delivery is over.
//! - In a stream that spreads records by itself ([`Distribution::Auto`]) keys and hash keys do not matter, and have no order:
//!   each batch goes to the next open shard.
//!
//! A record fails with [`Error::OutcomeUnknown`] if it was sent and nobody can tell whether it was stored; every other
//! error means that it was not.

mod batch;
mod lane;
mod maps;
mod pump;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

pub use batch::Ticket;
#[doc(hidden)]
pub use batch::build_body;
use batch::{NewRecord, Place};
use lane::{Lane, LaneLimits};
use maps::{Asked, Maps};

use super::client::Client;
use super::error::{Error, Result};
use super::shard_map::ShardMap;
use crate::format::record::{RecordError, check_key};
use crate::limits::{FRAME_RECORDS_MAX, PRODUCER_KEEP_US};
use crate::protocol::messages::{Distribution, PutAnswer, ShardDescription};
use crate::runtime::local::{Notify, Permit, Semaphore};
use crate::runtime::{Reactor, TaskClass};
use crate::types::{Durability, GroupId, HashKey, Offset, ProducerId, ShardNumber, WallUs};

/// What a record takes of the buffer beyond its encoding: its part of tickets and bookkeeping.
const RECORD_OVERHEAD_BYTES: usize = 32;

/// A batch is not resent in the last seconds before a shard may forget its producer: it may be under way that long.
const DELIVERY_US_MAX: u64 = PRODUCER_KEEP_US - 10_000_000;

/// How a producer behaves.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A batch is closed at this size; a larger record gets a batch of its own.
    pub batch_bytes_max: usize,
    /// A batch is closed at this number of records.
    pub batch_records_max: u32,
    /// How long a batch waits for more records although it could be sent.
    pub linger: Duration,
    /// Bytes of records that may be queued or unacknowledged; puts wait beyond it.
    pub buffer_bytes_max: usize,
    /// How long a record may take from the put to its acknowledgement. At most 50 s: a shard remembers producers for 60.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            batch_bytes_max: 512 << 10,
            batch_records_max: FRAME_RECORDS_MAX,
            linger: Duration::ZERO,
            buffer_bytes_max: 32 << 20,
            delivery_timeout: Duration::from_secs(45),
        }
    }
}

/// A stored record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The shard it went to.
    pub shard: ShardNumber,
    /// Its offset there. `None` in the rare case that the node knows it is stored and has forgotten where.
    pub offset: Option<Offset>,
    /// When it arrived; `None` as for the offset.
    pub arrival: Option<WallUs>,
    /// What the acknowledgement stands for; `None` as for the offset.
    pub durability: Option<Durability>,
    /// It had been stored by an earlier send whose answer was lost.
    pub duplicate: bool,
}

impl Ack {
    fn of(shard: ShardNumber, answer: Option<PutAnswer>, record: u32) -> Self {
        Self {
            shard,
            offset: answer.map(|answer| answer.base_offset.plus(record.into())),
            arrival: answer.map(|answer| answer.arrival),
            durability: answer.map(|answer| answer.durability),
            duplicate: answer.is_none_or(|answer| answer.duplicate),
        }
    }
}

/// What a producer has achieved so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records acknowledged.
    pub records_stored: u64,
    /// Bytes of batches acknowledged.
    pub bytes_stored: u64,
    /// Records that failed, or whose outcome is not known.
    pub records_failed: u64,
}

/// A producer for one stream.
///
/// Dropping it takes nothing back: what was put is still delivered in the background, until it is stored or its time is
/// over. [`Producer::close`] waits for that.
///
/// ```no_run
/// # use millstream::client::{Client, ProducerOptions, Result};
/// # use millstream::runtime::Reactor;
/// # async fn example<R: Reactor>(client: &Client<R>) -> Result<()> {
/// let producer = client.producer("orders", ProducerOptions::default()).await?;
/// // Waits for room only; the record goes with the next batch.
/// let ticket = producer.send("user-1", b"first").await?;
/// // Nobody waits for this one: its failure is what flush or close returns.
/// producer.put_detached("user-2", b"second").await?;
/// println!("stored at {:?}", ticket.wait().await?.offset);
/// producer.close().await
/// # }
/// ```
pub struct Producer<R: Reactor> {
    shared: Rc<Shared<R>>,
}

impl<R: Reactor> std::fmt::Debug for Producer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("stream", &self.shared.stream)
            .field("id", &self.shared.id)
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

struct Shared<R: Reactor> {
    client: Client<R>,
    stream: String,
    id: ProducerId,
    limits: LaneLimits,
    budget: Rc<Semaphore>,
    map: RefCell<Rc<ShardMap>>,
    /// The version of the catalogue that the map is of.
    map_version: Cell<u64>,
    maps: Maps,
    record_bytes_max: Cell<u32>,
    distribution: Cell<Distribution>,
    /// With [`Distribution::Auto`]: place of the shard, among the open ones, whose batch is being filled.
    turn: Cell<usize>,
    lanes: RefCell<BTreeMap<GroupId, Rc<LaneCell>>>,
    /// Lanes of shards that the map no longer has and that still hold records: keys of their ranges wait behind those.
    retiring: RefCell<Vec<Rc<LaneCell>>>,
    /// Where stamps go on in shards whose lane is gone: a lane may be begun anew, and no stamp is used twice.
    epochs: RefCell<BTreeMap<GroupId, u32>>,
    /// Flushes that run: nothing lingers meanwhile.
    flushes: Cell<u32>,
    closed: Cell<bool>,
    /// Why nothing can be put any more.
    failed: RefCell<Option<Error>>,
    progress: Cell<Progress>,
    detached_error: RefCell<Option<Error>>,
}

/// A lane, and the bell of its pump.
#[derive(Debug)]
struct LaneCell {
    lane: RefCell<Lane>,
    changed: Notify,
    /// Not to send before this time, in microseconds of the reactor's clock.
    wait_until_us: Cell<u64>,
    /// What it waits for to learn what became of its shard.
    asked: Cell<Option<Asked>>,
    /// It holds nothing and never will again.
    over: Cell<bool>,
    backoff: Cell<super::backoff::Backoff>,
}

impl<R: Reactor> Producer<R> {
    pub(super) async fn open(client: Client<R>, stream: &str, options: ProducerOptions) -> Result<Self> {
        let description = client.describe_open_shards(stream).await?;
        let node = client.node();
        let body_bytes_max = node.limits.frame_body_bytes_max as usize;
        let limits = LaneLimits {
            batch_bytes_max: options.batch_bytes_max.clamp(1, body_bytes_max),
            batch_records_max: options.batch_records_max.clamp(1, FRAME_RECORDS_MAX),
            linger_us: options.linger.as_micros() as u64,
            delivery_us: (options.delivery_timeout.as_micros() as u64).clamp(1, DELIVERY_US_MAX),
            window_max: node.limits.producer_window.max(1),
        };
        // 0 stands for no producer.
        let id = ProducerId(client.reactor().random().max(1));
        let shared = Shared {
            client,
            stream: stream.to_owned(),
            id,
            limits,
            budget: Semaphore::new(options.buffer_bytes_max.max(1)),
            map: RefCell::new(Rc::new(description.shards)),
            map_version: Cell::new(description.catalogue_version),
            maps: Maps::default(),
            record_bytes_max: Cell::new(description.settings.record_bytes_max),
            distribution: Cell::new(description.settings.distribution),
            turn: Cell::new(0),
            lanes: RefCell::default(),
            retiring: RefCell::default(),
            epochs: RefCell::default(),
            flushes: Cell::new(0),
            closed: Cell::new(false),
            failed: RefCell::default(),
            progress: Cell::default(),
            detached_error: RefCell::default(),
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    /// The stream this producer puts to.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.shared.stream
    }

    /// The id in this producer's stamps.
    #[must_use]
    pub fn id(&self) -> ProducerId {
        self.shared.id
    }

    /// What this producer has achieved so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress.get()
    }

    /// Puts a record and waits until it is stored. Dropping this once it waited for the acknowledgement takes nothing back.
    ///
    /// One record at a time waits for the disk each time: use [`Producer::send`] to have many on their way.
    pub async fn put(&self, key: &str, data: &[u8]) -> Result<Ack> {
        self.send(key, data).await?.wait().await
    }

    /// Queues a record, as soon as the buffer has room for it. When this resolves the record has its place in the order of
    /// its key; the ticket waits for its acknowledgement. Dropping this before puts nothing.
    pub async fn send(&self, key: &str, data: &[u8]) -> Result<Ticket> {
        self.enqueue(&NewRecord { key, data, explicit: None, detached: false }).await.map(Ticket::new)
    }

    /// As [`Producer::send`], with the hash key given instead of taken from the partition key.
    pub async fn send_explicit(&self, key: &str, hash_key: HashKey, data: &[u8]) -> Result<Ticket> {
        self.enqueue(&NewRecord { key, data, explicit: Some(hash_key), detached: false }).await.map(Ticket::new)
    }

    /// As [`Producer::send`], for a record that nobody asks about: its failure is what [`Producer::flush`] returns.
    pub async fn put_detached(&self, key: &str, data: &[u8]) -> Result<()> {
        self.enqueue(&NewRecord { key, data, explicit: None, detached: true }).await.map(drop)
    }

    /// As [`Producer::put_detached`], with the hash key given instead of taken from the partition key.
    pub async fn put_detached_explicit(&self, key: &str, hash_key: HashKey, data: &[u8]) -> Result<()> {
        self.enqueue(&NewRecord { key, data, explicit: Some(hash_key), detached: true }).await.map(drop)
    }

    /// Sends what is queued without lingering, and waits until the fate of every record put before is known.
    ///
    /// # Errors
    /// The first failure of detached records since the last flush. Failures of others are their tickets' matter.
    pub async fn flush(&self) -> Result<()> {
        let _hurry = Hurry::new(&self.shared);
        let outcomes: Vec<_> = {
            let (lanes, retiring) = (self.shared.lanes.borrow(), self.shared.retiring.borrow());
            let all = lanes.values().chain(retiring.iter());
            all.flat_map(|cell| cell.lane.borrow().outcomes().cloned().collect::<Vec<_>>()).collect()
        };
        for outcome in outcomes {
            outcome.settled().await;
        }
        self.shared.detached_error.take().map_or(Ok(()), Err)
    }

    /// Flushes, and ends the producer.
    pub async fn close(self) -> Result<()> {
        self.shared.closed.set(true);
        self.flush().await
    }

    async fn enqueue(&self, record: &NewRecord<'_>) -> Result<Place> {
        check_key(record.key, 0)?;
        let (bytes, max) = ((record.key.len() + record.data.len()) as u64, self.shared.record_bytes_max.get());
        if bytes > u64::from(max) {
            return Err(RecordError::TooLarge { record: 0, bytes, max }.into());
        }
        let permit = self.shared.budget.acquire(record.encoded_bytes() + RECORD_OVERHEAD_BYTES).await;
        if let Some(error) = &*self.shared.failed.borrow() {
            return Err(error.clone());
        }
        self.shared.append(record, Some(permit))
    }
}

impl<R: Reactor> Drop for Producer<R> {
    fn drop(&mut self) {
        self.shared.closed.set(true);
        self.shared.wake_all();
    }
}

/// While it lives, nothing lingers.
struct Hurry<'a, R: Reactor>(&'a Shared<R>);

impl<'a, R: Reactor> Hurry<'a, R> {
    fn new(shared: &'a Shared<R>) -> Self {
        shared.flushes.set(shared.flushes.get() + 1);
        shared.wake_all();
        Self(shared)
    }
}

impl<R: Reactor> Drop for Hurry<'_, R> {
    fn drop(&mut self) {
        self.0.flushes.set(self.0.flushes.get() - 1);
    }
}

impl<R: Reactor> Shared<R> {
    /// Appends a record to the lane of its shard. Synchronous: the order of calls is the order of records.
    fn append(self: &Rc<Self>, record: &NewRecord<'_>, permit: Option<Permit>) -> Result<Place> {
        let cell = match self.distribution.get() {
            Distribution::PartitionKey => self.lane_of_key(record.hash_key())?,
            Distribution::Auto => self.lane_in_turn()?,
        };
        let place = cell.lane.borrow_mut().append(record, permit, self.client.reactor().now());
        cell.changed.notify();
        Ok(place)
    }

    fn lane_of_key(self: &Rc<Self>, key: HashKey) -> Result<Rc<LaneCell>> {
        if let Some(cell) = self.retiring_lane(key) {
            return Ok(cell);
        }
        let map = Rc::clone(&self.map.borrow());
        map.route(key).map(|shard| self.lane(shard)).ok_or(Error::Argument("no shard takes this hash key"))
    }

    /// The lane whose batch is being filled. Between two batches the next one that has no backlog, if there is any.
    fn lane_in_turn(self: &Rc<Self>) -> Result<Rc<LaneCell>> {
        let map = Rc::clone(&self.map.borrow());
        let (open, turn) = (map.open(), self.turn.get());
        if open.is_empty() {
            return Err(Error::Argument("the stream has no open shard"));
        }
        let current = self.lane(&open[turn % open.len()]);
        if !current.lane.borrow().is_between_batches() {
            return Ok(current);
        }
        let has_backlog = |at: &usize| {
            let lanes = self.lanes.borrow();
            lanes.get(&open[at % open.len()].group).is_some_and(|cell| cell.lane.borrow().has_backlog())
        };
        let next = (turn + 1..=turn + open.len()).find(|at| !has_backlog(at)).unwrap_or(turn + 1);
        self.turn.set(next % open.len());
        Ok(self.lane(&open[next % open.len()]))
    }

    fn retiring_lane(&self, key: HashKey) -> Option<Rc<LaneCell>> {
        let retiring = self.retiring.borrow();
        let holds = |cell: &&Rc<LaneCell>| {
            let shard = cell.lane.borrow().shard;
            shard.hash_start <= key && key <= shard.hash_end
        };
        retiring.iter().find(holds).cloned()
    }

    fn lane(self: &Rc<Self>, shard: &ShardDescription) -> Rc<LaneCell> {
        if let Some(cell) = self.lanes.borrow().get(&shard.group) {
            return Rc::clone(cell);
        }
        let epoch = self.epochs.borrow().get(&shard.group).copied().unwrap_or(0);
        let cell = Rc::new(LaneCell {
            lane: RefCell::new(Lane::new(*shard, self.id, self.limits).beginning_at(epoch)),
            changed: Notify::new(),
            wait_until_us: Cell::new(0),
            asked: Cell::new(None),
            over: Cell::new(false),
            backoff: Cell::default(),
        });
        self.lanes.borrow_mut().insert(shard.group, Rc::clone(&cell));
        let rt = self.client.reactor();
        rt.spawn(TaskClass::Latency, pump::run(Rc::clone(self), Rc::clone(&cell)));
        cell
    }

    fn wake_all(&self) {
        for cell in self.lanes.borrow().values().chain(self.retiring.borrow().iter()) {
            cell.changed.notify();
        }
    }

    /// Takes over what became of a lane's batches.
    fn collect(&self, lane: &mut Lane) {
        let settled = std::mem::take(&mut lane.settled);
        let mut progress = self.progress.get();
        progress.records_stored += settled.records_stored;
        progress.bytes_stored += settled.bytes_stored;
        progress.records_failed += settled.records_failed;
        self.progress.set(progress);
        if let Some(error) = settled.detached_error {
            self.detached_error.borrow_mut().get_or_insert(error);
        }
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
