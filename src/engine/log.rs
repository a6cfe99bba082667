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

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_lite::future;

use crate::engine::env::{Env, TailHolder};
use crate::engine::read::Horizon;
use crate::engine::recover::encode_producers;
use crate::engine::segments::{Segment, SparseIndex};
use crate::engine::whole_file;
use crate::format::index::{self, Gap};
use crate::format::names::{self, SegmentNumber};
use crate::format::segment::{FRAMES_AT, SegmentHeader};
use crate::limits::{
    BLOCK_BYTES, FLUSH_BYTES_MAX, QUIET_HINT_AFTER_US, SHARD_UNSYNCED_BYTES_MAX, SYNC_INTERVAL_US,
    WORKER_UNSYNCED_BYTES_MAX,
};
use crate::log::gather::{Batch, Flush, FramePlace, Gather, Placed, Reign};
use crate::log::marks::{Mark, Marks};
use crate::log::sizing;
use crate::log::tip::Tip;
use crate::runtime::local::{self, Notify, Semaphore};
use crate::runtime::{File, Open, Runtime, TaskClass};
use crate::shard::acks::PendingAcks;
use crate::shard::admission::{Admission, Admit, PutRefusal};
use crate::shard::producers::{Producers, Verdict};
use crate::types::{Durability, FrameIndex, GroupId, MonoUs, Offset, ProducerStamp, WallUs};

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
    accepted: Producers,
    committed: Producers,
    next: Next,
    next_number: SegmentNumber,
    buffer_bytes: usize,
    writing: bool,
    /// Background tasks under way: preparing a segment, saving an index.
    jobs: usize,
    hinted: bool,
    synced_at: MonoUs,
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
    me: Weak<Self>,
}

impl<R: Runtime> Log<R> {
    /// A log as recovery found it. Everything found must have been synced.
    pub fn new(env: Rc<Env<R>>, dir: PathBuf, found: Found<R>, durability: Durability) -> Rc<Self> {
        let Found { segments, next_number, tip, producers, damage } = found;
        let mut admission = Admission::new();
        if !damage.is_empty() {
            admission.refuse(PutRefusal::Quarantined);
        }
        let now = env.rt.now();
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
                accepted: producers.clone(),
                committed: producers,
                next: Next::Missing,
                next_number,
                buffer_bytes: BLOCK_BYTES,
                writing: false,
                jobs: 0,
                hinted: true,
                synced_at: now,
            }),
            horizon: Cell::default(),
            changed: Notify::new(),
            work: Notify::new(),
            turnstile: Semaphore::new(1),
            saving: Semaphore::new(1),
            durability: Cell::new(durability),
            stopping: Cell::new(false),
            me: me.clone(),
        })
    }

    /// The shard incarnation this log belongs to.
    pub const fn group(&self) -> GroupId {
        self.group
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
    pub async fn room(&self, body_len: usize) -> Result<(), PutRefusal> {
        if self.turnstile.free() == 1
            && let Some(answer) = self.try_room(body_len)
        {
            return answer;
        }
        let _turn = self.turnstile.acquire(1).await;
        let here = self.changed.until(|| self.try_room(body_len));
        let elsewhere = self.env.room.until(|| self.try_room(body_len));
        future::or(here, elsewhere).await
    }

    /// What [`Log::room`] would say without waiting; `None` if it would wait.
    pub fn try_room(&self, body_len: usize) -> Option<Result<(), PutRefusal>> {
        let state = self.state.borrow();
        if let Some(refusal) = state.admission.refusal() {
            return Some(Err(refusal));
        }
        let fits = state.buffer.as_ref().is_some_and(|buffer| state.gather.fits(buffer.as_ref().len(), body_len));
        let (unsynced, more) = (state.admission.accepted_unsynced(), state.buffer_for(body_len));
        let room = fits
            || unsynced == 0
            || (unsynced + more <= SHARD_UNSYNCED_BYTES_MAX
                && self.env.unsynced.get() + more <= WORKER_UNSYNCED_BYTES_MAX);
        room.then_some(Ok(()))
    }

    /// Takes a put. The caller has checked the records and awaited [`Log::room`]; `ack` is called once the batch is
    /// durable (or the log dies). A batch with a known stamp is not stored again.
    ///
    /// Panics if there is no room.
    pub fn append(&self, batch: &Batch<'_>, ack: Ack) -> Result<(), AppendError> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Some(refusal) = state.admission.refusal() {
            return Err(AppendError::Refused(refusal));
        }
        let durability = self.durability.get();
        if let Some(stamp) = batch.producer
            && let Some((base_offset, record_count)) = known_batch(&state.accepted, stamp, batch.arrival)?
        {
            let receipt = Receipt { base_offset, record_count, arrival: batch.arrival, duplicate: true, durability };
            // Acknowledged when everything accepted so far is durable, the first copy included.
            let end = state.gather.accepted(&state.tip).index;
            if state.marks.committed().index >= end {
                ack.sink.acked(ack.token, Ok(receipt));
            } else {
                state.acks.push(end, Waiting { ack, receipt });
            }
            return Ok(());
        }
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
        state.acks.push(placed.end.index, Waiting { ack, receipt });
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
        let fits =
            state.buffer.as_ref().is_some_and(|buffer| state.gather.fits(buffer.as_ref().len(), batch.body.len()));
        if !fits {
            state.seal_gather(&self.env.rt, reign);
            let bytes = state.buffer_for(batch.body.len());
            match state.admission.admit(bytes).map_err(AppendError::Refused)? {
                Admit::Now => self.env.unsynced.set(self.env.unsynced.get() + bytes),
                Admit::Wait => panic!("a put of {} bytes did not wait for room", batch.body.len()),
            }
            state.buffer = Some(self.env.rt.alloc(bytes));
        }
        let buffer = state.buffer.as_mut().expect("there is one, or one was just made");
        let placed = state.gather.place(buffer.as_mut(), &mut state.tip, reign, batch);
        state.marks.accept(placed.end);
        Ok(placed)
    }

    /// Waits until everything accepted is durable, says so on disk, saves the index if that spares the next start a long
    /// scan, and stops the writer. The log takes no puts afterwards.
    pub async fn stop(&self) {
        self.refuse(PutRefusal::Stopping);
        self.stop_writer().await;
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

    /// Lets go of the memory of a dead log that another one takes the place of.
    pub(super) fn abandon(&self) {
        assert_eq!(self.refusal(), Some(PutRefusal::Dead), "only a dead log is abandoned");
        self.state.borrow_mut().tail.clear();
    }

    fn me(&self) -> Rc<Self> {
        self.me.upgrade().expect("a method of the log runs, so the log lives")
    }

    async fn run_writer(self: Rc<Self>) {
        loop {
            let flushes = self.take_flushes();
            let result = if flushes.is_empty() {
                match self.idle().await {
                    Idle::Work => continue,
                    Idle::Sync => self.sync_written().await,
                    Idle::Hint => self.write_hint().await,
                    Idle::End => break,
                }
            } else {
                self.commit(flushes).await
            };
            if let Err(error) = result {
                self.die(&error);
                break;
            }
        }
        self.changed.notify();
    }

    /// Everything that has gathered, ready to be written.
    fn take_flushes(&self) -> VecDeque<Queued<R>> {
        let mut state = self.state.borrow_mut();
        let reign = Reign { term: self.env.term, durable: state.marks.durable().index };
        state.seal_gather(&self.env.rt, reign);
        let flushes = std::mem::take(&mut state.queue);
        if !flushes.is_empty() {
            // The next buffer is as large as what gathered during one round, so that a round is one write or few.
            let gathered: usize = flushes.iter().map(|queued| queued.flush.len).sum();
            let smoothed = (state.buffer_bytes + gathered) / 2;
            state.buffer_bytes = smoothed.next_multiple_of(BLOCK_BYTES).clamp(BLOCK_BYTES, FLUSH_BYTES_MAX);
        }
        flushes
    }

    /// What the writer does when nothing has gathered.
    async fn idle(&self) -> Idle {
        let (unsynced, hinted, since_sync) = {
            let state = self.state.borrow();
            let unsynced = state.marks.written() > state.marks.durable();
            (unsynced, state.hinted, self.env.rt.now().since(state.synced_at))
        };
        let (then, wait_us) = if unsynced {
            (Idle::Sync, SYNC_INTERVAL_US.saturating_sub(since_sync))
        } else if !hinted {
            (Idle::Hint, QUIET_HINT_AFTER_US)
        } else {
            // Nothing was awaited since nothing was found: no put can have slipped in between.
            self.state.borrow_mut().writing = false;
            return Idle::End;
        };
        if self.stopping.get() || wait_us == 0 {
            return then;
        }
        let work = async {
            self.work
                .until(|| {
                    let state = self.state.borrow();
                    let due = !state.gather.is_empty() || !state.queue.is_empty();
                    (due || self.stopping.get()).then_some(())
                })
                .await;
            Idle::Work
        };
        let timer = async {
            self.env.rt.sleep(Duration::from_micros(wait_us)).await;
            then
        };
        future::or(work, timer).await
    }

    /// Writes, syncs and publishes flushes, segment by segment.
    async fn commit(&self, mut flushes: VecDeque<Queued<R>>) -> io::Result<()> {
        while let Some(first) = flushes.front() {
            let (number, mut pos) = self.place_for(first.flush.len as u64).await?;
            let file = self.env.file(self.group, number, &self.dir).await?;
            let capacity = self.state.borrow().segments.back().map_or(0, |segment| segment.capacity);
            let mut run = Vec::new();
            while let Some(next) = flushes.front()
                && pos + next.flush.len as u64 <= capacity
            {
                let len = next.flush.len as u64;
                run.extend(flushes.pop_front().map(|queued| (pos, queued)));
                pos += len;
            }
            let writes = run.iter().map(|(pos, queued)| file.write_at(&queued.buffer, *pos));
            for written in local::join_all(writes).await {
                written?;
            }
            let sync_now = {
                let mut state = self.state.borrow_mut();
                let end = run.last().expect("the first flush fits the place made for it").1.flush.end;
                state.marks.write(end);
                match self.durability.get() {
                    Durability::Fsync => true,
                    Durability::Interval => self.env.rt.now().since(state.synced_at) >= SYNC_INTERVAL_US,
                }
            };
            if sync_now {
                self.sync_file(&file).await?;
            }
            self.publish(run);
        }
        self.look_ahead();
        Ok(())
    }

    /// The active segment and the position in it where a flush of `len` bytes goes. Rolls over if it does not fit.
    async fn place_for(&self, len: u64) -> io::Result<(SegmentNumber, u64)> {
        {
            let state = self.state.borrow();
            if let Some(active) = state.segments.back()
                && !active.sealed
                && active.end_pos + len <= active.capacity
            {
                return Ok((active.number, active.end_pos));
            }
        }
        self.sync_written().await?;
        self.roll(len).await
    }

    async fn roll(&self, len: u64) -> io::Result<(SegmentNumber, u64)> {
        // Wait for a preparation under way: two tasks making the same file would be in each other's way.
        self.changed.until(|| (!matches!(self.state.borrow().next, Next::Preparing)).then_some(())).await;
        let next = std::mem::replace(&mut self.state.borrow_mut().next, Next::Missing);
        let prepared = match next {
            Next::Ready(prepared) if prepared.capacity - FRAMES_AT >= len => prepared,
            Next::Ready(too_small) => {
                self.env.forget_file(self.group, too_small.number);
                let path = self.dir.join(names::segment(too_small.number));
                if let Err(error) = self.env.free_segment(&path, too_small.capacity).await {
                    // Recovery knows an empty segment for what it is.
                    tracing::warn!(path = %path.display(), %error, "could not free a segment that is too small");
                }
                self.prepare(len).await?
            }
            Next::Missing | Next::Preparing => self.prepare(len).await?,
        };
        let mut state = self.state.borrow_mut();
        let sealed = state.segments.back_mut().filter(|last| !last.sealed).map(|last| {
            last.sealed = true;
            last.number
        });
        let now = self.env.rt.wall();
        let segment = Segment::empty(prepared.number, prepared.capacity, state.committed_tip, now);
        let place = (segment.number, segment.end_pos);
        state.segments.push_back(segment);
        if let Some(number) = sealed {
            // Taken now: the table stands exactly at the end of the sealed segment.
            let producers = encode_producers(&state.committed);
            let log = self.me();
            self.job(&mut state, async move { log.save_index(Some((number, producers))).await });
        }
        Ok(place)
    }

    /// Creates the next segment's file: reserved, headed, synced, named.
    async fn prepare(&self, flush_bytes: u64) -> io::Result<Prepared> {
        let now = self.env.rt.wall();
        let (number, capacity) = {
            let mut state = self.state.borrow_mut();
            let last = state.segments.back().map(|last| (last.capacity, now.0.saturating_sub(last.started.0)));
            let number = state.next_number;
            state.next_number += 1;
            (number, sizing::fitting(sizing::next_capacity(last), flush_bytes))
        };
        let header = SegmentHeader { group: self.group, number, created: now, capacity };
        let spare = self.env.take_spare(capacity);
        let is_new = spare.is_none();
        let path = spare.unwrap_or_else(|| self.dir.join(names::temporary(&names::segment(number))));
        match self.make_segment(&path, is_new, &header).await {
            Ok(file) => self.env.keep_file(self.group, number, Rc::new(file)),
            Err(error) => {
                // The next try takes another number: what was reserved for this one would be missing until the next start.
                let _ = self.env.rt.remove(&path).await;
                return Err(error);
            }
        }
        Ok(Prepared { number, capacity })
    }

    /// Steps in crash order: 1. reserve, 2. write and sync the first block, 3. rename, 4. sync the directory. Before 3. a
    /// crash leaves a temporary file or a spare, both removed on start; after it an empty segment, also removed.
    async fn make_segment(&self, path: &Path, is_new: bool, header: &SegmentHeader) -> io::Result<R::File> {
        let rt = &self.env.rt;
        let file = rt.open(path, if is_new { Open::CreateNew } else { Open::Write }).await?;
        if is_new {
            file.allocate(header.capacity).await?;
        }
        let mut block = rt.alloc(BLOCK_BYTES);
        header.encode(block.as_mut());
        file.write_at(&rt.freeze(block, BLOCK_BYTES), 0).await?;
        file.sync().await?;
        rt.rename(path, &self.dir.join(names::segment(header.number))).await?;
        rt.sync_dir(&self.dir).await?;
        Ok(file)
    }

    /// Runs something in the background that must have ended before the log can be destroyed.
    fn job(&self, state: &mut State<R>, work: impl Future<Output = ()> + 'static) {
        state.jobs += 1;
        let log = self.me();
        self.env.rt.spawn(TaskClass::Background, async move {
            work.await;
            log.state.borrow_mut().jobs -= 1;
            log.changed.notify();
        });
    }

    /// Prepares the next segment in time, and saves the index of a long active one.
    fn look_ahead(&self) {
        let mut state = self.state.borrow_mut();
        let Some(active) = state.segments.back() else { return };
        let half_full = active.end_pos > active.capacity / 2;
        let unsaved = active.end_pos - active.indexed_pos.max(FRAMES_AT) > CHECKPOINT_BYTES;
        let end_pos = active.end_pos;
        if half_full && matches!(state.next, Next::Missing) {
            state.next = Next::Preparing;
            let log = self.me();
            self.job(&mut state, async move {
                let next = match log.prepare(0).await {
                    Ok(prepared) => Next::Ready(prepared),
                    Err(error) => {
                        // The writer tries again when it needs the segment; then the error counts.
                        tracing::warn!(group = %log.group, %error, "could not prepare the next segment");
                        Next::Missing
                    }
                };
                log.state.borrow_mut().next = next;
                log.changed.notify();
            });
        }
        if unsaved {
            if let Some(active) = state.segments.back_mut() {
                active.indexed_pos = end_pos;
            }
            let log = self.me();
            self.job(&mut state, async move { log.save_index(None).await });
        }
    }

    /// Saves the index of a sealed segment (with the producers as of its end), or of the active one as it is now.
    ///
    /// Derived data: a failure is logged, the next start scans instead.
    async fn save_index(&self, sealed: Option<(SegmentNumber, Vec<u8>)>) {
        let _turn = self.saving.acquire(1).await;
        let file = {
            let state = self.state.borrow();
            if state.admission.refusal() == Some(PutRefusal::Dead) {
                // Another log may have taken its place.
                return;
            }
            let found = match &sealed {
                Some((number, _)) => state.segments.iter().find(|segment| segment.number == *number),
                None => state.segments.back(),
            };
            // Only what is durable may be covered: recovery does not look behind an index.
            let Some(segment) = found.filter(|segment| {
                segment.has_frames() && (segment.sealed || state.marks.durable() == state.marks.committed())
            }) else {
                return;
            };
            let SparseIndex::Memory(entries) = &segment.index else { return };
            let producers = match &sealed {
                Some((_, producers)) => producers.clone(),
                None => encode_producers(&state.committed),
            };
            let summary = segment.summary(producers);
            (segment.number, summary.end_pos.0, index::encode(&summary, entries))
        };
        let (number, end_pos, contents) = file;
        match whole_file::replace(&self.env.rt, &self.dir, &names::index(number), &contents).await {
            Ok(()) => {
                let mut state = self.state.borrow_mut();
                if let Some(segment) = state.segments.iter_mut().find(|segment| segment.number == number) {
                    segment.indexed_pos = end_pos;
                    if sealed.is_some() {
                        // From here on the file serves; the memory is free for the active segment.
                        segment.index = SparseIndex::File;
                    }
                }
            }
            Err(error) => tracing::warn!(group = %self.group, segment = number, %error, "could not save an index"),
        }
    }

    async fn sync_file(&self, file: &R::File) -> io::Result<()> {
        let written = self.state.borrow().marks.written();
        file.sync().await?;
        let mut state = self.state.borrow_mut();
        state.marks.sync(written);
        state.synced_at = self.env.rt.now();
        Ok(())
    }

    /// Syncs what was written without a sync, if anything was.
    async fn sync_written(&self) -> io::Result<()> {
        let number = {
            let state = self.state.borrow();
            if state.marks.written() == state.marks.durable() {
                return Ok(());
            }
            state.segments.back().expect("something was written").number
        };
        let file = self.env.file(self.group, number, &self.dir).await?;
        self.sync_file(&file).await
    }

    /// Makes a run of flushes visible: they are written, and as durable as the level asks for.
    fn publish(&self, run: Vec<(u64, Queued<R>)>) {
        for (pos, Queued { flush, buffer, admitted }) in run {
            let kept = {
                let mut guard = self.state.borrow_mut();
                let state = &mut *guard;
                let segment = state.segments.back_mut().expect("the flush was written to it");
                segment.note_flush(&flush.frames, pos, flush.len, flush.tip);
                for frame in &flush.frames {
                    if let Some(stamp) = frame.producer {
                        let records = u32::try_from(frame.end_offset.0 - frame.base_offset.0).expect("bounded");
                        state.committed.note(stamp, frame.base_offset, records, frame.arrival);
                    }
                }
                state.committed_tip = flush.tip;
                state.marks.commit(flush.end);
                state.admission.synced(admitted);
                self.env.unsynced.set(self.env.unsynced.get() - admitted);
                let kept = !flush.frames.is_empty();
                if kept {
                    state.tail.push_back(TailFlush { buffer, frames: flush.frames });
                }
                kept
            };
            if kept {
                // Outside the borrow: this may come back and ask this very log to drop its oldest flush.
                let holder: Weak<dyn TailHolder> = self.me.clone();
                self.env.keep_tail(holder, admitted);
            }
        }
        {
            let mut guard = self.state.borrow_mut();
            let state = &mut *guard;
            let committed = state.marks.committed().index;
            for Waiting { ack, receipt } in state.acks.release(committed) {
                ack.sink.acked(ack.token, Ok(receipt));
            }
        }
        self.changed.notify();
        self.env.room.notify();
    }

    /// Writes one pad block that says that everything so far is durable: from now on damage to the last frames cannot be
    /// taken for a write that never finished.
    async fn write_hint(&self) -> io::Result<()> {
        let (number, pos) = self.place_for(BLOCK_BYTES as u64).await?;
        let (tip, durable) = {
            let state = self.state.borrow();
            (state.committed_tip, state.marks.durable().index)
        };
        let mut block = self.env.rt.alloc(BLOCK_BYTES);
        Gather::quiet(block.as_mut(), &tip, durable);
        let file = self.env.file(self.group, number, &self.dir).await?;
        file.write_at(&self.env.rt.freeze(block, BLOCK_BYTES), pos).await?;
        file.sync().await?;
        let mut state = self.state.borrow_mut();
        let active = state.segments.back_mut().expect("the block was written to it");
        active.end_pos = pos + BLOCK_BYTES as u64;
        state.hinted = true;
        Ok(())
    }

    fn die(&self, error: &io::Error) {
        tracing::error!(group = %self.group, dir = %self.dir.display(), %error, "the log failed and takes no more puts");
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        state.admission.refuse(PutRefusal::Dead);
        state.writing = false;
        state.queue.clear();
        state.buffer = None;
        // What the writer held at the time is gone too.
        self.env.unsynced.set(self.env.unsynced.get() - state.admission.accepted_unsynced());
        for Waiting { ack, .. } in state.acks.fail_all() {
            ack.sink.acked(ack.token, Err(OutcomeUnknown));
        }
    }
}

impl<R: Runtime> State<R> {
    /// Bytes of the buffer that is made for a put of `body_len` bytes when none has room.
    fn buffer_for(&self, body_len: usize) -> usize {
        Gather::bytes_for(body_len).max(self.buffer_bytes)
    }

    fn seal_gather(&mut self, rt: &R, reign: Reign) {
        if let Some(mut buffer) = self.buffer.take() {
            let admitted = buffer.as_ref().len();
            let flush = self.gather.seal(buffer.as_mut(), &mut self.tip, reign);
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
