//! One log: takes puts into memory, writes and syncs what has gathered, and only then makes it visible and acknowledges it.
//!
//! ```text
//! append ──> gather ──> queue of flushes ──> write + sync ──> committed: tail frames, index entries, acknowledgements
//!            (one aligned buffer)            (one at a time: what arrives meanwhile gathers for the next)
//! ```
//! One writer task exists while there is work. It takes everything that has gathered, writes it with one write per buffer
//! side by side, syncs once, publishes, and looks again: that is group commit without a timer.
//!
//! Operation in crash order, for one round of the writer: 1. writes resolve, 2. sync resolves, 3. marks move, readers and
//! producers learn of it. A crash before 2. loses only what nobody was told of.
//!
//! A failed write or sync kills the log: every waiter is told that the outcome is unknown, nothing more is accepted, and
//! only a recovery from disk makes a new log. The sync is never tried again.

mod closing;
mod rolling;
mod writer;

pub use closing::{DrainError, End};

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use futures_lite::future;

use crate::engine::env::{Env, TailHolder};
use crate::engine::read::Horizon;
use crate::engine::segments::Segment;
use crate::format::index::Gap;
use crate::format::names::SegmentNumber;
use crate::format::segment::FRAMES_AT;
use crate::limits::{BLOCK_BYTES, SHARD_UNSYNCED_BYTES_MAX};
use crate::log::blanking::Blanking;
use crate::log::gather::{Batch, Flush, FramePlace, Gather, Placed, Reign};
use crate::log::marks::{Mark, Marks};
use crate::log::tip::Tip;
use crate::runtime::local::{Notify, Semaphore};
use crate::runtime::{Runtime, TaskClass};
use crate::shard::acks::PendingAcks;
use crate::shard::admission::{Admission, Admit, PutRefusal};
use crate::shard::latency::Latency;
use crate::shard::producers::{Producers, Verdict};
use crate::types::{Durability, FrameIndex, GroupId, MonoUs, Offset, ProducerStamp, Slab, WallUs};

/// Index entries of an active segment are saved when this much was written since, so that recovery scans little.
const CHECKPOINT_BYTES: u64 = 32 << 20;

/// On a clean stop the index is saved if recovery would otherwise scan more than this.
const CHECKPOINT_AT_STOP_BYTES: u64 = 1 << 20;

/// What a producer is told once its batch is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Records stored.
    pub record_count: u32,
    /// When they arrived.
    pub arrival: WallUs,
    /// The batch had been stored before; the offsets are those of then.
    pub duplicate: bool,
    /// The level the acknowledgement is given at.
    pub durability: Durability,
}

/// The log died before the batch was known to be durable: it may or may not be found after recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeUnknown;

/// Who is told what became of a put.
pub trait AckSink {
    /// Called once per put, in the order of the log. Must not call back into the log.
    fn acked(&self, token: u64, outcome: Result<Receipt, OutcomeUnknown>);
}

/// An acknowledgement to be given.
pub struct Ack {
    /// To whom.
    pub sink: Rc<dyn AckSink>,
    /// Which of its puts.
    pub token: u64,
}

struct Waiting {
    ack: Ack,
    receipt: Receipt,
    /// When the put itself arrived; the receipt names the arrival of its frame.
    arrived: WallUs,
}

/// Why a stamped batch is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// A newer incarnation of the producer has written.
    #[error("the producer was fenced off by epoch {current}")]
    Fenced {
        /// The newest epoch.
        current: u32,
    },
    /// Batches before this one are missing.
    #[error("batch {expected} of this producer has to come first")]
    Gap {
        /// The sequence number that comes next.
        expected: u32,
    },
    /// The batch was stored, so long ago that its offsets are forgotten.
    #[error("this batch was stored before; its offsets are no longer known")]
    Forgotten,
    /// The shard does not know this producer (any more), and the batch is not its first.
    #[error("the shard does not know this producer; start a new epoch with sequence 0")]
    Unknown,
    /// The epoch has no sequence number left.
    #[error("the epoch has no sequence number left; start a new one")]
    NumbersUsedUp,
    /// The shard remembers as many producers as it can, and all of them wrote a moment ago.
    #[error("the shard remembers as many producers as it can; try again later")]
    Full,
}

/// What a log is opened with, as recovery found it.
pub struct Found<R: Runtime> {
    /// Segments with frames, in order. The last one may be written to if it is not sealed.
    pub segments: VecDeque<Segment<R::Map>>,
    /// The number the next new segment gets.
    pub next_number: SegmentNumber,
    /// The tip after the last frame.
    pub tip: Tip,
    /// Idempotent producers after the last frame.
    pub producers: Producers,
    /// Losses that the operator has not accepted: the log takes no puts.
    pub damage: Vec<Gap>,
    /// Where the hint of a quiet log begins in the last segment, if it may not be on the disk though it can be read. It is
    /// written once more before a frame is to stand behind it.
    pub hint_in_doubt: Option<u64>,
}

/// A flush kept in memory for readers.
pub(super) struct TailFlush<B> {
    pub(super) buffer: B,
    pub(super) frames: Vec<FramePlace>,
}

pub(super) struct State<R: Runtime> {
    pub(super) marks: Marks,
    pub(super) segments: VecDeque<Segment<R::Map>>,
    pub(super) tail: VecDeque<TailFlush<R::Buf>>,
    pub(super) damage: Vec<Gap>,
    tip: Tip,
    committed_tip: Tip,
    gather: Gather,
    buffer: Option<R::BufMut>,
    queue: VecDeque<Queued<R>>,
    acks: PendingAcks<FrameIndex, Waiting>,
    admission: Admission,
    latency: Latency,
    accepted: Producers,
    committed: Producers,
    next: Next,
    next_number: SegmentNumber,
    /// Of the segment that is written to.
    blanking: Blanking,
    buffer_bytes: usize,
    writing: bool,
    /// Frames below this index were taken under a level that promises a sync: they are synced before they are acknowledged,
    /// whatever level is in force by then.
    sync_promised: FrameIndex,
    /// Background tasks under way: preparing a segment, saving an index.
    jobs: usize,
    hinted: bool,
    synced_at: MonoUs,
    hint_in_doubt: Option<u64>,
}

struct Queued<R: Runtime> {
    flush: Flush,
    buffer: R::Buf,
    admitted: usize,
}

/// The segment after the active one.
enum Next {
    Missing,
    Preparing,
    Ready(Prepared),
}

/// A segment's file, ready to be written to.
#[derive(Clone, Copy)]
struct Prepared {
    number: SegmentNumber,
    capacity: u64,
    /// It was another segment before: its blocks are written.
    is_reused: bool,
}

/// What the writer does next when nothing has gathered.
enum Idle {
    /// Something has gathered.
    Work,
    /// Sync what was written.
    Sync,
    /// Tell the disk how much is durable.
    Hint,
    /// Nothing is left to do.
    End,
}

/// What a put finds in a log.
enum Room {
    /// It would be refused.
    Refused(PutRefusal),
    /// It has to wait.
    Full,
    /// It can go in.
    Free,
}

/// Why a put is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log takes no puts.
    #[error(transparent)]
    Refused(PutRefusal),
    /// The producer's stamp is not the one that comes next.
    #[error(transparent)]
    Stamp(#[from] StampError),
}

/// One log. Lives on one worker, shared by `Rc`.
pub struct Log<R: Runtime> {
    pub(super) env: Rc<Env<R>>,
    pub(super) dir: PathBuf,
    pub(super) group: GroupId,
    pub(super) state: RefCell<State<R>>,
    pub(super) horizon: Cell<Horizon>,
    changed: Notify,
    work: Notify,
    turnstile: Rc<Semaphore>,
    /// Held while an index is saved: two tasks writing the same file would be in each other's way.
    saving: Rc<Semaphore>,
    durability: Cell<Durability>,
    stopping: Cell<bool>,
    /// The files are no longer this log's to open: another one takes its place, here or on another worker.
    left: Cell<bool>,
    /// Whether it could be opened at all.
    is_open: bool,
    /// Files being opened right now.
    opening: Cell<usize>,
    me: Weak<Self>,
}

impl<R: Runtime> Log<R> {
    /// A log as recovery found it. Everything found must have been synced.
    pub fn new(env: Rc<Env<R>>, dir: PathBuf, found: Found<R>, durability: Durability) -> Rc<Self> {
        Self::build(env, dir, found, durability, true)
    }

    /// A log that could not be opened: every read fails, puts are refused for the reason given. It is not taken for an empty one.
    /// As [`PutRefusal::Dead`] it is tried again like one whose disk failed later.
    pub fn unopened(env: Rc<Env<R>>, dir: PathBuf, group: GroupId, refusal: PutRefusal) -> Rc<Self> {
        let found = Found {
            segments: VecDeque::new(),
            next_number: 0,
            tip: Tip::genesis(group),
            producers: Producers::new(),
            damage: Vec::new(),
            hint_in_doubt: None,
        };
        let log = Self::build(env, dir, found, Durability::Fsync, false);
        log.refuse(refusal);
        log
    }

    fn build(env: Rc<Env<R>>, dir: PathBuf, found: Found<R>, durability: Durability, is_open: bool) -> Rc<Self> {
        let Found { segments, next_number, tip, producers, damage, hint_in_doubt } = found;
        let mut admission = Admission::new();
        if !damage.is_empty() {
            admission.refuse(PutRefusal::Quarantined);
        }
        let now = env.rt.now();
        // Blocks behind the end may be any: written, if the segment was another one before.
        let blanking = Blanking::from(segments.back().map_or(0, |last| last.end_pos));
        Rc::new_cyclic(|me| Self {
            env,
            dir,
            group: tip.group,
            state: RefCell::new(State {
                marks: Marks::recovered(Mark { index: tip.index, offset: tip.offset }),
                segments,
                tail: VecDeque::new(),
                damage,
                tip,
                committed_tip: tip,
                gather: Gather::new(),
                buffer: None,
                queue: VecDeque::new(),
                acks: PendingAcks::new(),
                admission,
                latency: Latency::new(),
                accepted: producers.clone(),
                committed: producers,
                next: Next::Missing,
                next_number,
                blanking,
                buffer_bytes: BLOCK_BYTES,
                writing: false,
                sync_promised: FrameIndex(0),
                jobs: 0,
                hinted: true,
                synced_at: now,
                hint_in_doubt,
            }),
            horizon: Cell::default(),
            changed: Notify::new(),
            work: Notify::new(),
            turnstile: Semaphore::new(1),
            saving: Semaphore::new(1),
            durability: Cell::new(durability),
            stopping: Cell::new(false),
            left: Cell::new(false),
            is_open,
            opening: Cell::new(0),
            me: me.clone(),
        })
    }

    /// The shard incarnation this log belongs to.
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The level acknowledgements are given at.
    pub fn durability(&self) -> Durability {
        self.durability.get()
    }

    /// Changes the level for puts from now on.
    pub fn set_durability(&self, level: Durability) {
        self.durability.set(level);
        self.work.notify();
    }

    /// Whether it could be opened. Of one that could not, nothing is known: neither where it ends nor what it holds.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The watermarks.
    pub fn marks(&self) -> Marks {
        self.state.borrow().marks
    }

    /// The offset of the first record that is still there, leaving out of account that it may have expired.
    pub fn first_offset(&self) -> Offset {
        let state = self.state.borrow();
        state.segments.front().map_or(state.tip.offset, |segment| segment.first.offset)
    }

    /// Arrival of the last committed frame; zero if there never was one.
    pub fn last_arrival(&self) -> WallUs {
        self.state.borrow().segments.back().map_or(WallUs(0), |segment| segment.tip.arrival)
    }

    /// How long puts took from their arrival to their acknowledgement.
    pub fn put_latency(&self) -> Latency {
        self.state.borrow().latency
    }

    /// Bytes of frames on disk, pads included.
    pub fn disk_bytes(&self) -> u64 {
        self.state.borrow().segments.iter().map(|segment| segment.end_pos).sum()
    }

    /// Why the log takes no puts, if it does not.
    pub fn refusal(&self) -> Option<PutRefusal> {
        self.state.borrow().admission.refusal()
    }

    /// Stops taking puts, for the reason given. What was accepted is still written and acknowledged.
    pub fn refuse(&self, refusal: PutRefusal) {
        self.state.borrow_mut().admission.refuse(refusal);
        self.changed.notify();
    }

    /// Takes puts again that were refused for this reason, and no other one.
    pub(in crate::engine) fn admit_again(&self, refusal: PutRefusal) {
        let mut state = self.state.borrow_mut();
        if state.admission.refusal() == Some(refusal) {
            state.admission.reopen();
        }
        drop(state);
        self.changed.notify();
    }

    /// Losses found by recovery that the operator has not accepted.
    pub fn damage(&self) -> Vec<Gap> {
        self.state.borrow().damage.clone()
    }

    /// Resolves with what `condition` returns; it is looked at again whenever the marks moved or the log changed its mind
    /// about puts.
    pub async fn until<T>(&self, condition: impl FnMut() -> Option<T>) -> T {
        self.changed.until(condition).await
    }

    /// Resolves once a put of `body_len` bytes has room, first come first served. The room is not reserved: append
    /// before the next await. Fails if the log takes no puts.
    ///
    /// Dropping it gives up the place in the queue.
    pub async fn room(&self, body_len: usize) -> Result<(), PutRefusal> {
        if let Some(answer) = self.try_room(body_len) {
            return answer;
        }
        let _turn = self.turnstile.acquire(1).await;
        loop {
            // First what this log has to say, then the line of those who wait for others: nobody stands in it for nothing.
            self.changed.until(|| (!matches!(self.room_here(body_len), Room::Full)).then_some(())).await;
            if let Some(answer) = self.has_room(body_len) {
                return answer;
            }
            let _place = self.env.room_line.acquire(1).await;
            let first = || match self.room_here(body_len) {
                Room::Free if !self.env_has_room(body_len) => None,
                room => Some(room),
            };
            match future::or(self.changed.until(first), self.env.room.until(first)).await {
                Room::Free => return Ok(()),
                Room::Refused(refusal) => return Err(refusal),
                Room::Full => {}
            }
        }
    }

    /// What [`Log::room`] would say without waiting; `None` if it would wait. Nobody passes those who wait already.
    pub fn try_room(&self, body_len: usize) -> Option<Result<(), PutRefusal>> {
        if self.turnstile.free() == 0 {
            return None;
        }
        self.has_room(body_len)
    }

    fn has_room(&self, body_len: usize) -> Option<Result<(), PutRefusal>> {
        match self.room_here(body_len) {
            Room::Refused(refusal) => Some(Err(refusal)),
            Room::Full => None,
            Room::Free => {
                // Nobody passes those who wait for the other logs, but for a put that takes no more memory.
                let elsewhere = self.env.room_line.free() > 0 && self.env_has_room(body_len);
                (elsewhere || self.state.borrow().fits(body_len)).then_some(Ok(()))
            }
        }
    }

    /// What a put would find in this log, whatever the others hold.
    fn room_here(&self, body_len: usize) -> Room {
        let state = self.state.borrow();
        if let Some(refusal) = state.admission.refusal() {
            return Room::Refused(refusal);
        }
        let (unsynced, more) = (state.admission.accepted_unsynced(), state.buffer_for(body_len));
        let room = unsynced == 0 || state.fits(body_len) || unsynced + more <= SHARD_UNSYNCED_BYTES_MAX;
        if room && !state.admission.is_held() { Room::Free } else { Room::Full }
    }

    /// Whether the worker's logs together leave room for a put.
    fn env_has_room(&self, body_len: usize) -> bool {
        let state = self.state.borrow();
        let (unsynced, more) = (self.env.unsynced.get(), state.buffer_for(body_len));
        // The first one has room whatever its size, so that none waits for ever.
        unsynced == 0 || state.fits(body_len) || unsynced + more <= self.env.tuning.unsynced_bytes_max
    }

    /// Whether a batch, with this stamp if it has one, would be stored now: neither refused nor known nor out of turn.
    pub fn would_store(&self, stamp: Option<ProducerStamp>) -> bool {
        let state = self.state.borrow();
        let is_fresh = |stamp| state.accepted.check(stamp, self.env.rt.wall()) == Verdict::Fresh;
        state.admission.refusal().is_none() && stamp.is_none_or(is_fresh)
    }

    /// Whether a batch with this stamp is stored (or on its way to the disk) and a resend of it is answered as a duplicate:
    /// such a resend needs no room, and [`Log::append`] takes it even from a log that is closed or moving.
    pub fn has_stored(&self, stamp: ProducerStamp) -> bool {
        let state = self.state.borrow();
        if state.admission.refusal().is_some_and(|refusal| !refusal.knows_duplicates()) {
            return false;
        }
        match state.accepted.check(stamp, self.env.rt.wall()) {
            Verdict::Duplicate { .. } | Verdict::DuplicateForgotten => true,
            Verdict::Fresh
            | Verdict::Gap { .. }
            | Verdict::Fenced { .. }
            | Verdict::UnknownProducer
            | Verdict::NumbersUsedUp
            | Verdict::Full => false,
        }
    }

    /// Takes a put. The caller has checked the records and awaited [`Log::room`]; `ack` is called once the batch is
    /// durable (or the log dies). A batch with a known stamp is not stored again; it is answered as the duplicate it is
    /// also when the log is closed or moving, see [`Log::has_stored`].
    ///
    /// Panics if there is no room.
    pub fn append(&self, batch: &Batch<'_>, ack: Ack) -> Result<(), AppendError> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let known = batch.producer.map(|stamp| known_batch(&state.accepted, stamp, batch.arrival));
        if let Some(refusal) = state.admission.refusal() {
            let is_stored = matches!(known, Some(Ok(Some(_)) | Err(StampError::Forgotten)));
            if !is_stored || !refusal.knows_duplicates() {
                return Err(AppendError::Refused(refusal));
            }
        }
        let durability = self.durability.get();
        if let Some((base_offset, record_count)) = known.transpose()?.flatten() {
            // Acknowledged when everything accepted so far is durable, the first copy included.
            let end = state.gather.accepted(&state.tip).index;
            // What was committed under a weaker level is not synced because a stronger one is in force now.
            let is_synced = state.marks.committed().index < end || state.marks.durable().index >= end;
            let durability = if is_synced { durability } else { Durability::Interval };
            let receipt = Receipt { base_offset, record_count, arrival: batch.arrival, duplicate: true, durability };
            if state.marks.committed().index >= end {
                ack.sink.acked(ack.token, Ok(receipt));
            } else {
                state.promise_sync(durability, end);
                state.acks.push(end, Waiting { ack, receipt, arrived: batch.arrival });
            }
            return Ok(());
        }
        assert!(!state.admission.is_held(), "a put of {} bytes did not wait for the hold to end", batch.body.len());
        let placed = self.place(state, batch)?;
        if let Some(stamp) = batch.producer {
            state.accepted.note(stamp, placed.base_offset, batch.record_count, placed.arrival);
        }
        let receipt = Receipt {
            base_offset: placed.base_offset,
            record_count: batch.record_count,
            arrival: placed.arrival,
            duplicate: false,
            durability,
        };
        state.promise_sync(durability, placed.end.index);
        state.acks.push(placed.end.index, Waiting { ack, receipt, arrived: batch.arrival });
        state.hinted = false;
        if state.writing {
            self.work.notify();
        } else {
            state.writing = true;
            self.env.rt.spawn(TaskClass::Latency, self.me().run_writer());
        }
        Ok(())
    }

    fn place(&self, state: &mut State<R>, batch: &Batch<'_>) -> Result<Placed, AppendError> {
        let reign = Reign { term: self.env.term, durable: state.marks.durable().index };
        if !state.fits(batch.body.len()) {
            state.seal_gather(&self.env.rt, reign);
            let bytes = state.buffer_for(batch.body.len());
            match state.admission.admit(bytes).map_err(AppendError::Refused)? {
                Admit::Now => self.env.unsynced.set(self.env.unsynced.get() + bytes),
                Admit::Wait => panic!("a put of {} bytes did not wait for room", batch.body.len()),
            }
            state.buffer = Some(self.env.rt.alloc(bytes));
        }
        let buffer = state.buffer.as_mut().expect("there is one, or one was just made");
        let placed = state.gather.place(buffer, &mut state.tip, reign, batch);
        state.marks.accept(placed.end);
        Ok(placed)
    }

    /// Waits until everything accepted is durable, says so on disk, saves the index if that spares the next start a long
    /// scan, and stops the writer. The log takes no puts afterwards.
    pub async fn stop(&self) {
        self.refuse(PutRefusal::Stopping);
        self.stop_writer().await;
        self.save_last_index().await;
    }

    /// Saves the index of the active segment if that spares whoever opens the log next a long scan.
    async fn save_last_index(&self) {
        let unsaved = {
            let state = self.state.borrow();
            state.segments.back().is_some_and(|last| {
                !last.sealed && last.end_pos - last.indexed_pos.max(FRAMES_AT) > CHECKPOINT_AT_STOP_BYTES
            })
        };
        if unsaved {
            self.save_index(None).await;
        }
    }

    /// Resolves once everything accepted is durable (or the log died) and nothing is being prepared or saved. Puts are
    /// refused by then.
    pub(super) async fn stop_writer(&self) {
        self.stopping.set(true);
        self.work.notify();
        let idle = || {
            let state = self.state.borrow();
            (!state.writing && state.jobs == 0).then_some(())
        };
        self.changed.until(idle).await;
        drop(self.saving.acquire(1).await);
    }

    fn me(&self) -> Rc<Self> {
        self.me.upgrade().expect("a method of the log runs, so the log lives")
    }
}

impl<R: Runtime> State<R> {
    /// Bytes of the buffer that is made for a put of `body_len` bytes when none has room.
    fn buffer_for(&self, body_len: usize) -> usize {
        Gather::bytes_for(body_len).max(self.buffer_bytes)
    }

    /// Whether a put has room in the buffer that is gathering: it takes no more memory then.
    fn fits(&self, body_len: usize) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| self.gather.fits(buffer.capacity(), body_len))
    }

    fn promise_sync(&mut self, durability: Durability, end: FrameIndex) {
        match durability {
            Durability::Fsync => self.sync_promised = self.sync_promised.max(end),
            Durability::Interval => {}
        }
    }

    fn seal_gather(&mut self, rt: &R, reign: Reign) {
        if let Some(mut buffer) = self.buffer.take() {
            let admitted = buffer.capacity();
            let flush = self.gather.seal(&mut buffer, &mut self.tip, reign);
            let buffer = rt.freeze(buffer, flush.len);
            self.queue.push_back(Queued { flush, buffer, admitted });
        }
    }
}

impl<R: Runtime> TailHolder for Log<R> {
    fn drop_oldest_tail(&self) {
        self.state.borrow_mut().tail.pop_front();
    }
}

/// The place of a batch that was stored before, `None` for a new one.
fn known_batch(producers: &Producers, stamp: ProducerStamp, now: WallUs) -> Result<Option<(Offset, u32)>, StampError> {
    match producers.check(stamp, now) {
        Verdict::Fresh => Ok(None),
        Verdict::Duplicate { base_offset, record_count } => Ok(Some((base_offset, record_count))),
        Verdict::DuplicateForgotten => Err(StampError::Forgotten),
        Verdict::Gap { expected } => Err(StampError::Gap { expected }),
        Verdict::Fenced { current_epoch } => Err(StampError::Fenced { current: current_epoch }),
        Verdict::UnknownProducer => Err(StampError::Unknown),
        Verdict::NumbersUsedUp => Err(StampError::NumbersUsedUp),
        Verdict::Full => Err(StampError::Full),
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
