//! The consumer of one shard, by get or by push.
//!
//! - Offsets are dense: a record that is missing, repeated or damaged is an error, never skipped.
//! - After a lost connection or an error that passes it goes on where it was.
//! - Memory is bounded: by get, one answer being read and one on its way; by push, the credit. Either may hold one
//!   largest frame more.
//! - At the end of a closed shard it is done, and [`Consumer::children`] tells the shards that go on with its keys.
//! - A shard that moves to another worker is followed there.
//! - Every method may be dropped at any await and called again: no record is lost by it.

mod frames;

use std::time::Duration;

use bytes::Bytes;

use frames::Frames;
pub use frames::{FrameBatch, Record};

use super::backoff::Backoff;
use super::client::Client;
use super::connection::{Connection, Pending, Push, Subscription, result};
use super::error::{Error, Result};
use crate::limits::READ_BYTES_MAX;
use crate::protocol::messages::{ChildShard, Get, ReadState, ShardDescription, Start, Subscribe, SubscribeAnswer};
use crate::protocol::{ErrorAnswer, ErrorClass, ErrorCode};
use crate::runtime::Reactor;
use crate::types::{MonoUs, Offset, ShardNumber};

/// How records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The client asks; the node waits for records for a while before it answers without any.
    Get,
    /// The node sends records as they are committed.
    #[default]
    Push,
}

/// When a consumer is done, apart from the end of a closed shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stop {
    /// Never: it waits for records to come.
    #[default]
    Never,
    /// After the last record that the shard had when the consumer was opened.
    AtEnd,
}

/// How a consumer behaves.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// How records come.
    pub mode: Mode,
    /// When it is done.
    pub stop: Stop,
    /// By get: bytes of one answer. By push: the credit, so the bytes that may be under way. The node caps both.
    pub bytes_max: u32,
    /// By get: how long the node waits for records before it answers without any.
    pub wait: Duration,
    /// How long to try again after errors that pass, before they are reported.
    pub retry_for: Duration,
    /// By push: the registered consumer ([`crate::client::RegisteredConsumer::id`]) on whose behalf it reads, with a pipe of
    /// its own in the shard. Its newest subscription reads; the one before ends with [`Error::TakenOver`].
    pub consumer: Option<u64>,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            stop: Stop::default(),
            bytes_max: READ_BYTES_MAX,
            wait: Duration::from_secs(10),
            retry_for: Duration::from_secs(60),
            consumer: None,
        }
    }
}

/// A consumer of one shard.
///
/// ```no_run
/// # use millstream::client::{Client, ConsumerOptions, Error, Result, Start};
/// # use millstream::runtime::Reactor;
/// # use millstream::types::ShardNumber;
/// # async fn example<R: Reactor>(client: &Client<R>) -> Result<()> {
/// let options = ConsumerOptions::default();
/// let mut consumer = client.consumer("orders", ShardNumber(0), Start::Horizon, options).await?;
/// while let Some(record) = consumer.next().await {
///     match record {
///         Ok(record) => println!("{}: {}", record.offset, record.key()),
///         // The retention overtook this reader: go on with what is left.
///         Err(Error::BeforeHorizon { horizon }) => consumer.seek(horizon),
///         Err(error) => return Err(error),
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Consumer<R: Reactor> {
    client: Client<R>,
    stream: String,
    shard: ShardDescription,
    options: ConsumerOptions,
    /// Offset of the next record to take out of a frame.
    next: Offset,
    /// Where it is done.
    until: Option<Offset>,
    ended: bool,
    /// What the end of the subscription said; `None` if the stream has to be asked.
    children: Option<Vec<ChildShard>>,
    /// The frame that [`Consumer::next`] is in.
    batch: Option<FrameBatch>,
    chunk: Option<Chunk>,
    source: Source<R>,
    state: Option<ReadState>,
    backoff: Backoff,
    failing_since: Option<MonoUs>,
}

impl<R: Reactor> std::fmt::Debug for Consumer<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("stream", &self.stream)
            .field("shard", &self.shard)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// One answer or push.
#[derive(Debug)]
struct Chunk {
    frames: Frames,
    bytes: u32,
    end_of_shard: bool,
}

enum Source<R: Reactor> {
    None,
    /// A get that was sent.
    Get(Connection<R>, Pending<R>),
    /// A subscription, and the bytes dealt with and not given back as credit yet.
    Push(Subscription<R>, u32),
}

impl<R: Reactor> Consumer<R> {
    pub(super) async fn open(
        client: Client<R>,
        stream: &str,
        shard: ShardNumber,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<Self> {
        let Some(shard) = client.describe_shard(stream, shard).await? else {
            return Err(gone("the stream has no such shard"));
        };
        Self::open_shard(client, stream, shard, start, options).await
    }

    pub(super) async fn open_shard(
        client: Client<R>,
        stream: &str,
        shard: ShardDescription,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<Self> {
        if options.consumer.is_some() && options.mode == Mode::Get {
            return Err(Error::Argument("a registered consumer reads by push"));
        }
        let mut consumer = Self {
            client,
            stream: stream.to_owned(),
            shard,
            next: Offset(0),
            until: None,
            options,
            ended: false,
            children: None,
            batch: None,
            chunk: None,
            source: Source::None,
            state: None,
            backoff: Backoff::default(),
            failing_since: None,
        };
        consumer.begin(start).await?;
        Ok(consumer)
    }

    /// Finds the offset that `start` stands for now, by as few questions as possible.
    async fn begin(&mut self, start: Start) -> Result<()> {
        match (start, self.options.stop, self.options.mode) {
            (Start::At(offset), Stop::Never, _) => self.next = offset,
            (Start::After(offset), Stop::Never, _) => self.next = offset.plus(1),
            // The node starts a subscription at any place, and says which offset that is.
            (Start::Horizon | Start::Latest | Start::AtTime(_), _, Mode::Push) => loop {
                let begun = async {
                    let connection = self.client.connection_to(self.shard.worker).await?;
                    self.subscribe(connection, start).await
                };
                match begun.await {
                    Ok(answer) => {
                        self.next = answer.from;
                        self.until = (self.options.stop == Stop::AtEnd).then_some(answer.end_offset);
                        return Ok(());
                    }
                    Err(error) => self.recover(error).await?,
                }
            },
            // As in reading: a shard that moves, or is being recovered, is back in a moment.
            _ => loop {
                match self.client.position(&self.shard, start).await {
                    Ok(position) => {
                        self.next = position.offset;
                        self.until = (self.options.stop == Stop::AtEnd).then_some(position.end_offset);
                        return Ok(());
                    }
                    Err(error) => self.recover(error).await?,
                }
            },
        }
        Ok(())
    }

    /// The shard this consumer reads.
    #[must_use]
    pub fn shard(&self) -> &ShardDescription {
        &self.shard
    }

    /// Offset of the record that comes next: where to start again later.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.batch.as_ref().map_or(self.next, FrameBatch::next_offset)
    }

    /// What the node last said about the shard; `None` before the first answer.
    #[must_use]
    pub fn state(&self) -> Option<&ReadState> {
        self.state.as_ref()
    }

    /// Goes on from another offset: after an error that says where, or to read again.
    pub fn seek(&mut self, offset: Offset) {
        (self.batch, self.chunk, self.source) = (None, None, Source::None);
        (self.next, self.ended, self.children, self.failing_since) = (offset, false, None, None);
    }

    /// Whether everything of a closed shard was handed out.
    #[must_use]
    pub fn is_at_end_of_shard(&self) -> bool {
        self.ended && self.batch.as_ref().is_none_or(FrameBatch::is_empty) && self.chunk.is_none()
    }

    /// The shards that go on with the keys of this one, once it is at its end; none before. By push the node has told them;
    /// otherwise the stream is described until it shows the shard as closed.
    ///
    /// Per key, the order holds if a child is read after all its parents: that of a merge has two.
    pub async fn children(&mut self) -> Result<Vec<ChildShard>> {
        if !self.is_at_end_of_shard() {
            return Ok(Vec::new());
        }
        loop {
            if let Some(children) = &self.children {
                return Ok(children.clone());
            }
            let map = self.client.describe_family(&self.stream, self.shard.number).await?.shards;
            let is_closed = map.shard(self.shard.number).is_none_or(|shard| shard.closed.is_some());
            if is_closed {
                let child = |shard: &ShardDescription| ChildShard {
                    number: shard.number,
                    group: shard.group,
                    hash_start: shard.hash_start,
                    hash_end: shard.hash_end,
                    parent: shard.parent,
                    adjacent_parent: shard.adjacent_parent,
                };
                self.children = Some(map.children(self.shard.number).map(child).collect());
            } else {
                // The description is older than the end: the node asked is not the shard's worker.
                let rt = self.client.reactor();
                rt.sleep(self.backoff.next(rt.random(), 0)).await;
            }
        }
    }

    /// The next record; `None` once the consumer is done: see [`Stop`], or at the end of a closed shard.
    ///
    /// # Errors
    /// [`Error::BeforeHorizon`] and [`Error::Damaged`] say where [`Consumer::seek`] may go on; [`Error::StreamGone`]; and
    /// what did not pass within [`ConsumerOptions::retry_for`]. Called again, it tries again; after [`Error::TakenOver`] that
    /// takes the pipe back.
    pub async fn next(&mut self) -> Option<Result<Record>> {
        loop {
            if let Some(record) = self.batch.as_mut().and_then(FrameBatch::next_record) {
                return Some(record.map_err(Error::from));
            }
            match self.next_batch().await? {
                Ok(batch) => self.batch = Some(batch),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// The next records, as many as lie in one frame: as [`Consumer::next`], with less work per record. What
    /// [`Consumer::next`] has left of a frame comes first.
    pub async fn next_batch(&mut self) -> Option<Result<FrameBatch>> {
        if let Some(batch) = self.batch.take().filter(|batch| !batch.is_empty()) {
            return Some(Ok(batch));
        }
        loop {
            if self.until.is_some_and(|until| self.next >= until) {
                self.source = Source::None;
                return None;
            }
            let brought = match &mut self.chunk {
                Some(chunk) => match chunk.frames.next() {
                    Ok(Some(batch)) => {
                        self.next = batch.end_offset();
                        return Some(Ok(batch));
                    }
                    Ok(None) => {
                        self.chunk_done();
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                },
                None if self.ended => return None,
                None => self.fetch().await,
            };
            if let Err(error) = brought {
                (self.chunk, self.source) = (None, Source::None);
                if let Err(error) = self.recover(error).await {
                    return Some(Err(error));
                }
            }
        }
    }

    /// Brings the next answer or push; the chunk is there when this resolves, unless nothing came in time.
    async fn fetch(&mut self) -> Result<()> {
        match &mut self.source {
            Source::None => {
                let connection = self.client.connection_to(self.shard.worker).await?;
                self.start(connection, self.next).await
            }
            Source::Get(connection, pending) => {
                let message = pending.wait().await?;
                let connection = connection.clone();
                self.source = Source::None;
                let state = result::<Get, _>(&message, |state| state)?;
                self.arrived(state, message.body);
                if state.end_of_shard || self.until.is_some_and(|until| state.next_offset >= until) {
                    return Ok(());
                }
                // Asked for while these records are being read.
                self.start(connection, state.next_offset).await
            }
            Source::Push(subscription, _) => {
                match subscription.next().await? {
                    Push::Frames(state, body) => self.arrived(state, body),
                    Push::EndOfShard { children, .. } => {
                        (self.ended, self.children, self.source) = (true, Some(children), Source::None);
                    }
                }
                Ok(())
            }
        }
    }

    async fn start(&mut self, connection: Connection<R>, from: Offset) -> Result<()> {
        let (group, limits) = (self.shard.group, connection.node().limits);
        match self.options.mode {
            Mode::Get => {
                let wait_ms = (self.options.wait.as_millis() as u32).min(limits.get_wait_ms_max);
                let get = Get { group, from, bytes_max: self.options.bytes_max, wait_ms };
                let timeout = self.client.options().request_timeout + Duration::from_millis(wait_ms.into());
                let pending = connection.send(&get, None, timeout).await?;
                self.source = Source::Get(connection, pending);
            }
            Mode::Push => drop(self.subscribe(connection, Start::At(from)).await?),
        }
        Ok(())
    }

    async fn subscribe(&mut self, connection: Connection<R>, start: Start) -> Result<SubscribeAnswer> {
        let credit = self.options.bytes_max.clamp(1, connection.node().limits.credit_bytes_max);
        let consumer = self.options.consumer.unwrap_or(0);
        let subscribe = Subscribe { group: self.shard.group, start, consumer, credit };
        let (subscription, answer) = connection.subscribe(&subscribe, self.client.options().request_timeout).await?;
        if answer.from >= answer.end_offset {
            // Nothing to be pushed yet is as good a sign as the empty answer to a get. Without it the next interruption, however much
            // later, would be taken for the same one that never passed.
            self.failing_since = None;
            self.backoff.reset();
        }
        self.source = Source::Push(subscription, 0);
        Ok(answer)
    }

    fn arrived(&mut self, state: ReadState, body: Bytes) {
        (self.state, self.failing_since) = (Some(state), None);
        self.backoff.reset();
        let bytes = body.len() as u32;
        let frames = Frames::new(self.shard.number, self.shard.group, body, self.next, state.next_offset);
        self.chunk = Some(Chunk { frames, bytes, end_of_shard: state.end_of_shard });
    }

    /// Everything of a chunk was handed out: its bytes become credit again, half a window at a time.
    fn chunk_done(&mut self) {
        let Some(chunk) = self.chunk.take() else { return };
        self.ended |= chunk.end_of_shard;
        if let Source::Push(subscription, owed) = &mut self.source {
            *owed = owed.saturating_add(chunk.bytes);
            if *owed >= self.options.bytes_max / 2 {
                subscription.credit(std::mem::take(owed));
            }
        }
    }

    /// Waits before another try, or gives the error back.
    async fn recover(&mut self, error: Error) -> Result<()> {
        let rt = self.client.reactor().clone();
        let since = *self.failing_since.get_or_insert(rt.now());
        let wait = self.backoff.next(rt.random(), error.retry_after_ms());
        let passes = error.is_retryable();
        let over = rt.now().since(since) + wait.as_micros() as u64 > self.options.retry_for.as_micros() as u64;
        if !passes || over {
            self.failing_since = None;
            return Err(error);
        }
        tracing::debug!(shard = %self.shard.number, %error, "reading is interrupted");
        rt.sleep(wait).await;
        if error.class() == ErrorClass::RefreshMap {
            match self.client.describe_shard(&self.stream, self.shard.number).await {
                Ok(found) => {
                    let found = found.filter(|shard| shard.group == self.shard.group);
                    self.shard = found.ok_or_else(|| gone("the shard is gone"))?;
                }
                // The client gives up sooner, or later, than this may: the next try is made where the shard was.
                Err(error) if error.is_retryable() => {
                    tracing::debug!(shard = %self.shard.number, %error, "where the shard is now is not known");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

pub(super) fn gone(message: &'static str) -> Error {
    Error::StreamGone(std::sync::Arc::new(ErrorAnswer::new(ErrorCode::ShardNotFound).message(message)))
}

#[cfg(all(test, feature = "sim"))]
mod tests;
