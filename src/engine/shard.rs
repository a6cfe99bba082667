//! One shard on its worker: its log, its settings, its counters.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;
use thiserror::Error;

use crate::catalog::Settings;
use crate::engine::env::{DiskState, Env};
use crate::engine::log::{Ack, AppendError, DrainError, End, Log, StampError};
use crate::engine::read::{Frames, ReadError};
use crate::format::record::{self, RecordError};
use crate::log::gather::Batch;
use crate::runtime::Runtime;
use crate::shard::admission::PutRefusal;
use crate::shard::position::{Bounds, Start, StartError};
use crate::types::{GroupId, Offset, ProducerStamp, ShardNumber, StreamId, WallUs};

/// With a scarce disk, each put waits this long.
const SCARCE_DELAY_MS: u64 = 20;

/// Where a shard is in its life, as far as puts are concerned. Outlives the log: one that died and was recovered is held or
/// closed as the one before it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It takes puts.
    #[default]
    Open,
    /// Puts wait: its end is being agreed upon.
    Sealed,
    /// It was split or merged; nothing is ever stored from this offset on.
    Closed(Offset),
}

/// Whose shard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The stream.
    pub stream: StreamId,
    /// Its number in the stream.
    pub number: ShardNumber,
    /// Its incarnation.
    pub group: GroupId,
}

/// A batch to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The records.
    pub body: &'a [u8],
    /// CRC-32 of the body, as its producer summed it.
    pub body_crc: u32,
    /// Records in the body.
    pub record_count: u32,
    /// The stamp of an idempotent producer.
    pub producer: Option<ProducerStamp>,
}

/// Why a batch is not stored. Nothing of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PutError {
    /// The shard takes no puts.
    #[error(transparent)]
    Refused(#[from] PutRefusal),
    /// The stamp is not the next one.
    #[error(transparent)]
    Stamp(#[from] StampError),
    /// The body is not the one its producer summed.
    #[error("body checksum is {computed:#010x}, the request says {stored:#010x}")]
    Checksum {
        /// What the request says.
        stored: u32,
        /// What the body gives.
        computed: u32,
    },
    /// The body is not a row of records that the stream takes.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Why a position cannot be resolved.
#[derive(Debug, Error)]
pub enum PositionError {
    /// Out of the shard's bounds.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The log could not be looked at.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What a shard counted since the node started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records stored.
    pub put_records: Cell<u64>,
    /// Bytes of bodies stored.
    pub put_bytes: Cell<u64>,
    /// Puts turned away.
    pub put_refused: Cell<u64>,
    /// Bytes of frames handed to readers.
    pub read_bytes: Cell<u64>,
    /// Reads that handed out frames.
    pub reads: Cell<u64>,
}

/// A shard. Shared by `Rc` on its worker.
pub struct Shard<R: Runtime> {
    /// Whose shard it is.
    pub id: Identity,
    /// What it counted.
    pub counters: Counters,
    env: Rc<Env<R>>,
    log: Rc<Log<R>>,
    settings: Cell<Settings>,
    phase: Cell<Phase>,
}

impl<R: Runtime> Shard<R> {
    /// A shard on a recovered log.
    pub fn new(env: Rc<Env<R>>, id: Identity, log: Rc<Log<R>>, settings: Settings, phase: Phase) -> Rc<Self> {
        match phase {
            Phase::Open => {}
            Phase::Sealed => log.hold(),
            Phase::Closed(end) if log.marks().committed().offset == end => log.refuse(PutRefusal::Closed),
            // What it has is not what it had. Its readers must not be told that they have read all of it.
            Phase::Closed(end) => {
                let found = log.marks().committed().offset;
                tracing::error!(group = %id.group, %found, expected = %end, "a closed shard does not end where it did");
                log.refuse(PutRefusal::Quarantined);
            }
        }
        Rc::new(Self {
            id,
            counters: Counters::default(),
            env,
            log,
            settings: Cell::new(settings),
            phase: Cell::new(phase),
        })
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Holds puts (they wait, nobody is refused) and resolves to the end once everything below it is durable, whatever the
    /// level. Go on with [`Shards::close`](crate::engine::shards::Shards::close) once the end is agreed upon, or with
    /// [`Shards::unseal`](crate::engine::shards::Shards::unseal).
    ///
    /// On an error puts go on. Dropping it leaves the shard sealed.
    pub(super) async fn seal(&self) -> Result<End, DrainError> {
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Sealed);
            self.log.hold();
        }
        let result = self.log.drain().await;
        if result.is_err() {
            self.unseal();
        }
        result
    }

    pub(super) fn unseal(&self) {
        if self.phase.get() == Phase::Sealed {
            self.phase.set(Phase::Open);
            self.log.unhold();
        }
    }

    /// Closes the shard at its end, for good.
    pub(super) fn close(&self, end: Offset) {
        let accepted = self.log.marks().accepted().offset;
        assert_eq!(accepted, end, "shard {} took records behind its end", self.id.group);
        self.phase.set(Phase::Closed(end));
        self.log.refuse(PutRefusal::Closed);
        self.log.unhold();
    }

    /// Whether a reader that has come to `next` has read all there will ever be.
    pub fn is_end(&self, next: Offset) -> bool {
        self.phase.get() == Phase::Closed(next)
    }

    /// Its log.
    pub const fn log(&self) -> &Rc<Log<R>> {
        &self.log
    }

    /// Its settings.
    pub fn settings(&self) -> Settings {
        self.settings.get()
    }

    /// Takes over new settings.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.set(settings);
        self.log.set_durability(settings.durability);
    }

    /// What [`Shard::room`] would say without waiting; `None` if it would wait, or has to look closer.
    pub fn try_room(&self, body_len: usize) -> Option<Result<(), PutRefusal>> {
        if self.env.disk.get() > DiskState::Low {
            return None;
        }
        self.log.try_room(body_len)
    }

    /// Resolves once a put of `body_len` bytes has room: see [`Log::room`]. Slows down while disk space is scarce, refuses
    /// while there is none. A resend of a batch that is stored already needs no room, see [`Log::has_stored`].
    pub async fn room(&self, body_len: usize, stamp: Option<ProducerStamp>) -> Result<(), PutRefusal> {
        if let Some(Ok(())) = self.try_room(body_len) {
            return Ok(());
        }
        let is_stored = || stamp.is_some_and(|stamp| self.log.has_stored(stamp));
        if is_stored() {
            return Ok(());
        }
        let room = match self.env.disk.get() {
            DiskState::Plenty | DiskState::Low => self.log.room(body_len).await,
            DiskState::Scarce => {
                self.env.rt.sleep(Duration::from_millis(SCARCE_DELAY_MS)).await;
                self.log.room(body_len).await
            }
            DiskState::Full => Err(self.env.disk_full()),
        };
        match room {
            // Its first copy may have been taken while this one waited.
            Err(_) if is_stored() => Ok(()),
            Err(refusal) => {
                self.counters.put_refused.set(self.counters.put_refused.get() + 1);
                Err(refusal)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Checks a batch and takes it; `ack` is called once it is stored as durably as the stream asks for. Await
    /// [`Shard::room`] right before.
    pub fn put(&self, put: &Put<'_>, ack: Ack) -> Result<(), PutError> {
        let result = self.try_put(put, ack);
        match result {
            Ok(()) => {
                self.counters.put_records.set(self.counters.put_records.get() + u64::from(put.record_count));
                self.counters.put_bytes.set(self.counters.put_bytes.get() + put.body.len() as u64);
            }
            Err(_) => self.counters.put_refused.set(self.counters.put_refused.get() + 1),
        }
        result
    }

    fn try_put(&self, put: &Put<'_>, ack: Ack) -> Result<(), PutError> {
        let computed = crc32fast::hash(put.body);
        if computed != put.body_crc {
            return Err(PutError::Checksum { stored: put.body_crc, computed });
        }
        record::check_body(put.body, put.record_count, self.settings.get().record_bytes_max)?;
        let batch = Batch {
            body: put.body,
            body_crc: put.body_crc,
            record_count: put.record_count,
            producer: put.producer,
            arrival: self.env.rt.wall(),
        };
        self.log.append(&batch, ack).map_err(|error| match error {
            AppendError::Refused(refusal) => PutError::Refused(refusal),
            AppendError::Stamp(stamp) => PutError::Stamp(stamp),
        })
    }

    /// Records that arrived before this have expired.
    pub fn cutoff(&self) -> WallUs {
        WallUs(self.env.rt.wall().0.saturating_sub(self.settings.get().retention_us()))
    }

    /// Up to `bytes_max` bytes of committed frames from `from` on, at least one frame if there is any.
    pub async fn read(&self, from: Offset, bytes_max: usize) -> Result<Frames<R::Buf>, ReadError> {
        let frames = self.log.read(from, bytes_max, self.cutoff()).await?;
        if frames.bytes > 0 {
            self.counters.reads.set(self.counters.reads.get() + 1);
            self.counters.read_bytes.set(self.counters.read_bytes.get() + frames.bytes as u64);
        }
        Ok(frames)
    }

    /// Resolves once a record at `offset` is committed, the shard takes no more puts, or `wait` has passed. Says whether
    /// there is something to read.
    pub async fn wait_for(&self, offset: Offset, wait: Duration) -> bool {
        let there = || self.log.marks().committed().offset > offset;
        if there() || wait.is_zero() {
            return there();
        }
        let committed = self.log.until(|| (there() || self.is_closed()).then_some(()));
        future::or(committed, self.env.rt.sleep(wait)).await;
        there()
    }

    /// Whether nothing more will be committed behind the end by this log: nobody should wait for it.
    pub fn is_closed(&self) -> bool {
        match self.log.refusal() {
            Some(
                PutRefusal::Closed
                | PutRefusal::Moving
                | PutRefusal::Deleting
                | PutRefusal::Stopping
                | PutRefusal::Dead,
            ) => true,
            None | Some(PutRefusal::Creating | PutRefusal::Quarantined | PutRefusal::DiskFull { .. }) => false,
        }
    }

    /// The oldest readable offset, and the offset after the newest record.
    pub async fn bounds(&self) -> Result<Bounds, ReadError> {
        let horizon = self.log.horizon(self.cutoff()).await?;
        let end = self.log.marks().committed().offset;
        Ok(Bounds { horizon: horizon.min(end), end })
    }

    /// The offset that a reader who wants to start at `start` begins with, and the bounds it was found in.
    pub async fn position(&self, start: Start) -> Result<(Offset, Bounds), PositionError> {
        let by_time = match start.time() {
            Some(time) => Some(self.log.seek_time(time).await?),
            None => None,
        };
        let bounds = self.bounds().await?;
        Ok((start.resolve(bounds, by_time)?, bounds))
    }
}
