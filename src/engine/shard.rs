//! One shard on its worker: its log, its settings, its counters.

mod meter;

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;
use thiserror::Error;

pub use self::meter::rates;
use self::meter::{Load, Meter, Wanted};
use crate::catalog::{Distribution, HashRange, Limits, Settings};
use crate::engine::env::{DiskState, Env};
use crate::engine::log::{Ack, AppendError, DrainError, End, Log, StampError};
use crate::engine::read::{Frames, Portion, ReadError};
use crate::engine::slice::Slice;
use crate::format::frame::Frame;
use crate::format::record::{self, RecordError, Records};
use crate::limits::AWS_GET_RECORDS_MAX;
use crate::log::gather::Batch;
use crate::runtime::{Runtime, Step};
use crate::shard::admission::PutRefusal;
use crate::shard::latency::Latency;
use crate::shard::position::{Bounds, Start, StartError};
use crate::shard::throttle::Throttled;
use crate::types::{GroupId, MonoUs, Offset, ProducerStamp, ShardNumber, StreamId, Traffic, WallUs};

/// With a scarce disk, each put waits this long.
const SCARCE_DELAY_MS: u64 = 20;

/// Where a shard is in its life, as far as puts are concerned. Outlives the log: one that died and was recovered is held or
/// closed as the one before it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It takes puts.
    #[default]
    Open,
    /// It will take puts once its parents are closed.
    Pending,
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
    /// CRC-32 of the body, as its producer summed it. `None` for a body that the node has made of records itself: it is summed
    /// when it is stored, once.
    pub body_crc: Option<u32>,
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
    /// The stream's limits allow no such put yet.
    #[error(transparent)]
    Throttled(#[from] Throttled),
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

/// What a shard counted since it was opened here.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records stored.
    pub put_records: Cell<u64>,
    /// Bytes of bodies stored.
    pub put_bytes: Cell<u64>,
    /// Puts turned away, those beyond the limits apart.
    pub put_refused: Cell<u64>,
    /// Records turned away because they went beyond the stream's limits.
    pub put_throttled: Cell<u64>,
    /// Bytes of frames handed to readers.
    pub read_bytes: Cell<u64>,
    /// Reads that handed out frames.
    pub reads: Cell<u64>,
    /// Reads turned away because they went beyond the stream's limits.
    pub reads_throttled: Cell<u64>,
    /// How far behind the newest record the last read ended, in milliseconds between their arrivals; 0 at the tip.
    pub iterator_age_ms: Cell<u64>,
    /// How long reads took, without the wait for records.
    pub read_latency: RefCell<Latency>,
}

/// Which records of a row are within the stream's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Whether each passes, in the order they were asked for.
    pub passed: Vec<bool>,
    /// When the first of those that did not would pass.
    pub retry_after_us: u64,
}

/// What a shard is opened with, besides its log.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The stream's settings.
    pub settings: Settings,
    /// Records that arrived before this are gone, whatever the retention is: they had expired when it was raised.
    pub expired_before: WallUs,
    /// The hash keys it takes.
    pub range: HashRange,
    /// Where it is in its life.
    pub phase: Phase,
}

/// A shard. Shared by `Rc` on its worker.
pub struct Shard<R: Runtime> {
    /// Whose shard it is.
    pub id: Identity,
    /// What it counted.
    pub counters: Counters,
    env: Rc<Env<R>>,
    log: Rc<Log<R>>,
    range: HashRange,
    settings: Cell<Settings>,
    expired_before: Cell<WallUs>,
    phase: Cell<Phase>,
    /// How often its dead log was tried to be recovered, in vain.
    pub(super) reopened_in_vain: Cell<u32>,
    /// Whether there is anything to meter: what a put looks at.
    metered: Cell<bool>,
    meter: RefCell<Option<Box<Meter>>>,
}

impl<R: Runtime> Shard<R> {
    /// A shard on a recovered log.
    pub fn new(env: Rc<Env<R>>, id: Identity, log: Rc<Log<R>>, terms: Terms) -> Rc<Self> {
        let Terms { settings, expired_before, range, phase } = terms;
        match phase {
            Phase::Open => {}
            Phase::Pending => log.refuse(PutRefusal::Creating),
            Phase::Sealed => log.hold(),
            // Where it ends is not known, and it says so itself.
            Phase::Closed(_) if !log.is_open() => {}
            Phase::Closed(end) if log.marks().committed().offset == end => log.refuse(PutRefusal::Closed),
            // What it has is not what it had. Its readers must not be told that they have read all of it.
            Phase::Closed(end) => {
                let found = log.marks().committed().offset;
                tracing::error!(group = %id.group, %found, expected = %end, "a closed shard does not end where it did");
                log.refuse(PutRefusal::Quarantined);
            }
        }
        let shard = Self {
            id,
            counters: Counters::default(),
            env,
            log,
            range,
            settings: Cell::new(settings),
            expired_before: Cell::new(expired_before),
            phase: Cell::new(phase),
            reopened_in_vain: Cell::new(0),
            metered: Cell::new(false),
            meter: RefCell::new(None),
        };
        shard.set_meter();
        Rc::new(shard)
    }

    /// What it would be opened with now.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            settings: self.settings.get(),
            expired_before: self.expired_before.get(),
            range: self.range,
            phase: self.phase.get(),
        }
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
        if self.env.rt.leaves_out(Step::HoldParents) {
            self.log.unhold();
        }
        result
    }

    pub(super) fn unseal(&self) {
        if self.phase.get() == Phase::Sealed {
            self.phase.set(Phase::Open);
            self.log.unhold();
        }
    }

    /// Lets puts into a shard whose parents are closed.
    pub(super) fn open_up(&self) {
        if self.phase.get() == Phase::Pending {
            self.phase.set(Phase::Open);
            self.log.admit_again(PutRefusal::Creating);
        }
    }

    /// Closes the shard at its end, for good.
    pub(super) fn close(&self, end: Offset) {
        let accepted = self.log.marks().accepted().offset;
        let is_held = !self.env.rt.leaves_out(Step::HoldParents);
        assert!(accepted == end || !is_held, "shard {} has {accepted} records and ends at {end}", self.id.group);
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

    /// Takes over new settings, and what they have made expire for good.
    pub fn set_settings(&self, settings: Settings, expired_before: WallUs) {
        self.settings.set(settings);
        self.expired_before.set(expired_before.max(self.expired_before.get()));
        self.log.set_durability(settings.durability);
        self.set_meter();
    }

    fn set_meter(&self) {
        let wanted = Wanted::by(&self.settings.get());
        let (now, seed) = (self.env.rt.now(), self.id.group.0);
        let mut meter = self.meter.borrow_mut();
        match &mut *meter {
            _ if !wanted.is_any() => *meter = None,
            Some(meter) => meter.set(&wanted, self.range, seed, now),
            None => *meter = Some(Box::new(Meter::new(&wanted, self.range, seed, now))),
        }
        self.metered.set(meter.is_some());
    }

    fn with_meter<T>(&self, look: impl FnOnce(&mut Meter, MonoUs) -> T) -> Option<T> {
        let now = self.env.rt.now();
        self.meter.borrow_mut().as_deref_mut().map(|meter| look(meter, now))
    }

    /// Whether puts and reads are counted against limits, or for a stream on demand.
    pub fn is_metered(&self) -> bool {
        self.metered.get()
    }

    /// What is known of its traffic; only shards of on-demand streams keep count.
    pub fn traffic(&self) -> Option<Traffic> {
        self.with_meter(Meter::traffic).flatten()
    }

    /// How long puts took from their arrival to their acknowledgement.
    pub fn put_latency(&self) -> Latency {
        self.log.put_latency()
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
    ///
    /// All of it is within the stream's limits, or none is stored. The resend of a batch that is stored already is charged
    /// nothing.
    pub fn put(&self, put: &Put<'_>, ack: Ack) -> Result<(), PutError> {
        self.counted(put, self.try_put(put, ack, true))
    }

    /// As [`Shard::put`], for records that [`Shard::admit_records`] has let through.
    pub fn put_admitted(&self, put: &Put<'_>, ack: Ack) -> Result<(), PutError> {
        self.counted(put, self.try_put(put, ack, false))
    }

    /// Asks for records one by one, as a put by key does: `bytes` are those of each one's data and key. `None` if the
    /// stream has no limits: all pass.
    ///
    /// Those that pass are charged. Store them with [`Shard::put_admitted`].
    pub fn admit_records(&self, bytes: &[u64]) -> Option<Admitted> {
        if !self.metered.get() {
            return None;
        }
        let mut retry_after_us = 0;
        let passed: Vec<bool> = self.with_meter(|meter, now| {
            let mut ask = |bytes: &u64| {
                let asked = meter.put(now, 1, *bytes);
                if let Err(Throttled { retry_after_us: us }) = asked
                    && (retry_after_us == 0 || us < retry_after_us)
                {
                    retry_after_us = us;
                }
                asked.is_ok()
            };
            bytes.iter().map(&mut ask).collect()
        })?;
        let refused = passed.iter().filter(|passed| !**passed).count() as u64;
        self.counters.put_throttled.set(self.counters.put_throttled.get() + refused);
        Some(Admitted { passed, retry_after_us })
    }

    fn counted(&self, put: &Put<'_>, result: Result<(), PutError>) -> Result<(), PutError> {
        let records = u64::from(put.record_count);
        match result {
            Ok(()) => {
                self.counters.put_records.set(self.counters.put_records.get() + records);
                self.counters.put_bytes.set(self.counters.put_bytes.get() + put.body.len() as u64);
            }
            Err(PutError::Throttled(_)) => {
                self.counters.put_throttled.set(self.counters.put_throttled.get() + records);
            }
            Err(_) => self.counters.put_refused.set(self.counters.put_refused.get() + 1),
        }
        result
    }

    fn try_put(&self, put: &Put<'_>, ack: Ack, charge: bool) -> Result<(), PutError> {
        let computed = crc32fast::hash(put.body);
        if let Some(stored) = put.body_crc.filter(|stored| *stored != computed) {
            return Err(PutError::Checksum { stored, computed });
        }
        record::check_body(put.body, put.record_count, record_terms(&self.settings.get()))?;
        let batch = Batch {
            body: put.body,
            body_crc: computed,
            record_count: put.record_count,
            producer: put.producer,
            arrival: self.env.rt.wall(),
        };
        let append = |ack| {
            self.log.append(&batch, ack).map_err(|error| match error {
                AppendError::Refused(refusal) => PutError::Refused(refusal),
                AppendError::Stamp(stamp) => PutError::Stamp(stamp),
            })
        };
        // What is not stored costs nothing: a resend, a batch out of turn, anything that the log refuses.
        if !self.metered.get() || !self.log.would_store(put.producer) {
            return append(ack);
        }
        let load = Load { body: put.body, records: put.record_count };
        if charge && let Some(asked) = self.with_meter(|meter, now| meter.put(now, load.records, load.bytes())) {
            asked?;
        }
        append(ack)?;
        self.with_meter(|meter, now| meter.stored(now, load));
        Ok(())
    }

    /// Records that arrived before this have expired.
    pub fn cutoff(&self) -> WallUs {
        let retained = self.env.rt.wall().0.saturating_sub(self.settings.get().retention_us());
        WallUs(retained).max(self.expired_before.get())
    }

    /// As [`Shard::read`], within the stream's limits: a read beyond them is [`ReadError::Throttled`]. For reads that a
    /// client asks for; pushes to registered consumers have limits of their own.
    pub async fn get(&self, from: Offset, bytes_max: usize) -> Result<Frames<R::Buf>, ReadError> {
        let records_max = match self.settings.get().limits {
            Limits::Aws => AWS_GET_RECORDS_MAX,
            Limits::None | Limits::Custom(_) => u64::MAX,
        };
        self.read_within(from, Portion { records_max, ..Portion::from(bytes_max) }, Meter::read).await
    }

    /// As [`Shard::get`], for a push that shares the bytes of those who ask, and is no call of anybody.
    pub async fn push(&self, from: Offset, bytes_max: usize) -> Result<Frames<R::Buf>, ReadError> {
        self.read_within(from, Portion::from(bytes_max), Meter::push).await
    }

    /// As [`Shard::get`], for a client of Kinesis: `limit` records if there are as many, in as few bytes. The last frame may
    /// have more records than that, and only those up to the limit are charged. With `is_more` it goes on with what an earlier
    /// get began, and is no call of its own.
    pub async fn get_records(
        &self,
        from: Offset,
        bytes_max: usize,
        limit: u64,
        is_more: bool,
    ) -> Result<Frames<R::Buf>, ReadError> {
        self.ask(if is_more { Meter::push } else { Meter::read })?;
        let mut frames = self.read(from, Portion { records_enough: limit, ..Portion::from(bytes_max) }).await?;
        // From disk they come a piece at a time.
        while frames.bytes > 0 && frames.bytes < bytes_max && frames.next.0 - from.0 < limit {
            let left =
                Portion { records_enough: limit - (frames.next.0 - from.0), ..Portion::from(bytes_max - frames.bytes) };
            match self.read(frames.next, left).await {
                // The first frame is handed out whatever its size; then it is somebody else's turn to get it.
                Ok(more) if more.bytes > 0 && frames.bytes + more.bytes <= bytes_max => frames.extend(more),
                // What was read is good; the next call meets the error itself.
                Ok(_) | Err(_) => break,
            }
        }
        if self.metered.get() {
            let bytes = records_bytes(&frames.slices, from, limit);
            self.with_meter(|meter, now| meter.took(now, bytes));
        }
        Ok(frames)
    }

    /// Asks for a read within the stream's limits.
    fn ask(&self, ask: impl FnOnce(&mut Meter, MonoUs) -> Result<(), Throttled>) -> Result<(), ReadError> {
        if self.metered.get()
            && let Some(Err(throttled)) = self.with_meter(ask)
        {
            self.counters.reads_throttled.set(self.counters.reads_throttled.get() + 1);
            return Err(throttled.into());
        }
        Ok(())
    }

    async fn read_within(
        &self,
        from: Offset,
        portion: Portion,
        ask: impl FnOnce(&mut Meter, MonoUs) -> Result<(), Throttled>,
    ) -> Result<Frames<R::Buf>, ReadError> {
        self.ask(ask)?;
        let frames = self.read(from, portion).await?;
        self.with_meter(|meter, now| meter.took(now, frames.bytes as u64));
        Ok(frames)
    }

    /// Committed frames from `from` on, as many as the portion takes, at least one if there is any.
    pub async fn read(&self, from: Offset, portion: impl Into<Portion>) -> Result<Frames<R::Buf>, ReadError> {
        let began = self.env.rt.now();
        let frames = self.log.read(from, portion, self.cutoff()).await?;
        self.counters.read_latency.borrow_mut().record(self.env.rt.now().since(began));
        let is_tip = frames.next >= self.log.marks().committed().offset;
        let behind_us = self.log.last_arrival().0.saturating_sub(frames.last_arrival.0);
        self.counters.iterator_age_ms.set(if is_tip || frames.bytes == 0 { 0 } else { behind_us / 1_000 });
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

/// The records that a stream takes.
#[must_use]
pub fn record_terms(settings: &Settings) -> record::Terms {
    let keyless = settings.distribution == Distribution::Auto;
    record::Terms { record_bytes_max: settings.record_bytes_max, keyless }
}

/// Bytes of data and keys of so many records from an offset on.
fn records_bytes<B: Deref<Target = [u8]>>(slices: &[Slice<B>], from: Offset, limit: u64) -> u64 {
    let (mut bytes, mut left) = (0, limit);
    for slice in slices {
        let mut rest: &[u8] = slice;
        while left > 0
            && !rest.is_empty()
            && let Ok((frame, after)) = Frame::split(rest)
        {
            let skip = from.0.saturating_sub(frame.header.base_offset.0);
            for record in Records::new(frame.body).flatten().skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
                if left == 0 {
                    break;
                }
                left -= 1;
                bytes += (record.key.len() + record.data.len()) as u64;
            }
            rest = after;
        }
    }
    bytes
}
