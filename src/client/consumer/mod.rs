//! The consumer of one shard, by get or by push.
//!
//! - Offsets are dense: a record that is missing, repeated or damaged is an error, never skipped.
//! - After a lost connection or an error that passes it goes on where it was.
//! - Memory is bounded: by get, one answer being read and one on its way; by push, the credit. Either may hold one
//!   largest frame more.
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
use crate::protocol::messages::{Get, ReadState, ShardDescription, Start, Subscribe};
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
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            stop: Stop::default(),
            bytes_max: READ_BYTES_MAX,
            wait: Duration::from_secs(10),
            retry_for: Duration::from_secs(60),
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
        let description = client.describe_stream(stream).await?;
        let Some(shard) = description.shards.shard(shard).copied() else {
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
        let position = client.position(&shard, start).await?;
        Ok(Self {
            client,
            stream: stream.to_owned(),
            shard,
            next: position.offset,
            until: (options.stop == Stop::AtEnd).then_some(position.end_offset),
            options,
            ended: false,
            batch: None,
            chunk: None,
            source: Source::None,
            state: None,
            backoff: Backoff::default(),
            failing_since: None,
        })
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
        (self.next, self.ended, self.failing_since) = (offset, false, None);
    }

    /// The next record; `None` once the consumer is done: see [`Stop`], or at the end of a closed shard.
    ///
    /// # Errors
    /// [`Error::BeforeHorizon`] and [`Error::Damaged`] say where [`Consumer::seek`] may go on; [`Error::StreamGone`]; and
    /// what did not pass within [`ConsumerOptions::retry_for`]. Called again, it tries again.
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
                    Push::EndOfShard { .. } => (self.ended, self.source) = (true, Source::None),
                }
                Ok(())
            }
        }
    }

    async fn start(&mut self, connection: Connection<R>, from: Offset) -> Result<()> {
        let (group, limits) = (self.shard.group, connection.node().limits);
        let timeout = self.client.options().request_timeout;
        match self.options.mode {
            Mode::Get => {
                let wait_ms = (self.options.wait.as_millis() as u32).min(limits.get_wait_ms_max);
                let get = Get { group, from, bytes_max: self.options.bytes_max, wait_ms };
                let timeout = timeout + Duration::from_millis(wait_ms.into());
                let pending = connection.send(&get, None, timeout).await?;
                self.source = Source::Get(connection, pending);
            }
            Mode::Push => {
                let credit = self.options.bytes_max.clamp(1, limits.credit_bytes_max);
                let subscribe = Subscribe { group, start: Start::At(from), consumer: 0, credit };
                let (subscription, _) = connection.subscribe(&subscribe, timeout).await?;
                self.source = Source::Push(subscription, 0);
            }
        }
        Ok(())
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
            let description = self.client.describe_stream(&self.stream).await?;
            let found = description.shards.shard(self.shard.number).filter(|shard| shard.group == self.shard.group);
            self.shard = *found.ok_or_else(|| gone("the shard is gone"))?;
        }
        Ok(())
    }
}

fn gone(message: &'static str) -> Error {
    Error::StreamGone(std::sync::Arc::new(ErrorAnswer::new(ErrorCode::ShardNotFound).message(message)))
}

#[cfg(all(test, feature = "sim"))]
mod tests;
