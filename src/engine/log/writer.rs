//! The writer: takes what has gathered, writes it, syncs it, publishes it, and looks again.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_lite::future;

use super::{Idle, Log, OutcomeUnknown, Queued, State, TailFlush, Waiting};
use crate::engine::env::TailHolder;
use crate::engine::recover::write_again;
use crate::format::names::SegmentNumber;
use crate::limits::{BLOCK_BYTES, FLUSH_BYTES_MAX, QUIET_HINT_AFTER_US, SYNC_INTERVAL_US};
use crate::log::gather::{Gather, Reign};
use crate::runtime::local;
use crate::runtime::{File, Runtime, Step};
use crate::shard::admission::PutRefusal;
use crate::types::Durability;

impl<R: Runtime> Log<R> {
    pub(super) async fn run_writer(self: Rc<Self>) {
        // Empty between two rounds; its room is used again.
        let mut flushes = VecDeque::new();
        loop {
            self.take_flushes(&mut flushes);
            let result = if flushes.is_empty() {
                match self.idle().await {
                    Idle::Work => continue,
                    Idle::Sync => self.in_turn(self.sync_written()).await.inspect(|()| self.changed.notify()),
                    Idle::Hint => self.in_turn(self.write_hint()).await,
                    Idle::End => break,
                }
            } else {
                self.in_turn(self.commit(&mut flushes)).await
            };
            if let Err(error) = result {
                self.die(&error);
                break;
            }
        }
        self.changed.notify();
    }

    /// Uses files when it is this log's turn: see [`Env::file_turns`](crate::engine::env::Env::file_turns).
    async fn in_turn<T>(&self, work: impl Future<Output = T>) -> T {
        let _turn = self.env.file_turns.acquire(1).await;
        work.await
    }

    /// Moves everything that has gathered, ready to be written, to `flushes`, which is empty.
    pub(super) fn take_flushes(&self, flushes: &mut VecDeque<Queued<R>>) {
        let mut state = self.state.borrow_mut();
        let reign = Reign { term: self.env.term, durable: state.marks.durable().index };
        state.seal_gather(&self.env.rt, reign);
        std::mem::swap(&mut state.queue, flushes);
        if !flushes.is_empty() {
            // The next buffer is as large as what gathered during one round, so that a round is one write or few.
            let gathered: usize = flushes.iter().map(|queued| queued.flush.len).sum();
            let smoothed = (state.buffer_bytes + gathered) / 2;
            state.buffer_bytes = smoothed.next_multiple_of(BLOCK_BYTES).clamp(BLOCK_BYTES, FLUSH_BYTES_MAX);
        }
    }

    /// What the writer does when nothing has gathered.
    pub(super) async fn idle(&self) -> Idle {
        let is_unsynced = |state: &State<R>| state.marks.written() > state.marks.durable();
        let (unsynced, held, hinted, since_sync) = {
            let state = self.state.borrow();
            let since_sync = self.env.rt.now().since(state.synced_at);
            (is_unsynced(&state), state.admission.is_held(), state.hinted, since_sync)
        };
        let (then, wait_us) = if unsynced {
            // Whoever holds puts waits for everything to be durable.
            (Idle::Sync, if held { 0 } else { SYNC_INTERVAL_US.saturating_sub(since_sync) })
        } else if !hinted {
            (Idle::Hint, QUIET_HINT_AFTER_US)
        } else {
            // Nothing was awaited since nothing was found: no put can have slipped in between.
            let mut state = self.state.borrow_mut();
            state.writing = false;
            // A quiet log keeps no room for its next flushes.
            state.queue.shrink_to_fit();
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
                    let awaited = state.admission.is_held() && is_unsynced(&state);
                    (due || awaited || self.stopping.get()).then_some(())
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

    /// Writes, syncs and publishes flushes, segment by segment, until none is left.
    pub(super) async fn commit(&self, flushes: &mut VecDeque<Queued<R>>) -> io::Result<()> {
        while let Some(first) = flushes.front() {
            let (number, pos) = self.place_for(first.flush.len as u64).await?;
            let file = self.file(number).await?;
            let capacity = self.state.borrow().segments.back().map_or(0, |segment| segment.capacity);
            // Those of this segment: so many, up to there.
            let (mut count, mut end_pos) = (0, pos);
            while let Some(next) = flushes.get(count)
                && end_pos + next.flush.len as u64 <= capacity
            {
                count += 1;
                end_pos += next.flush.len as u64;
            }
            let end = flushes.range(..count).next_back().expect("the first flush fits the place made for it").flush.end;
            self.clear(pos..end_pos).await;
            if count == 1 {
                file.write_at(&flushes[0].buffer, pos).await?;
            } else {
                let mut next_pos = pos;
                let writes = flushes.range(..count).map(|queued| {
                    let pos = next_pos;
                    next_pos += queued.flush.len as u64;
                    file.write_at(&queued.buffer, pos)
                });
                for written in local::join_all(writes).await {
                    written?;
                }
            }
            let sync_now = {
                let mut state = self.state.borrow_mut();
                state.marks.write(end);
                match self.durability.get() {
                    Durability::Fsync => true,
                    Durability::Interval if state.sync_promised > state.marks.committed().index => true,
                    Durability::Interval => self.env.rt.now().since(state.synced_at) >= SYNC_INTERVAL_US,
                }
            };
            let early = self.env.rt.leaves_out(Step::SyncBeforeRead);
            if early {
                self.show(pos, flushes.drain(..count));
                self.changed.notify();
            }
            if sync_now && !self.env.rt.leaves_out(Step::SyncBeforeAck) {
                self.sync_file(&file).await?;
            }
            if !early {
                self.show(pos, flushes.drain(..count));
            }
            self.answer();
        }
        self.look_ahead();
        Ok(())
    }

    /// Resolves once no zeros are on their way to this part of the active segment.
    async fn clear(&self, range: Range<u64>) {
        if !self.state.borrow().blanking.is_clear(&range) {
            self.changed.until(|| self.state.borrow().blanking.is_clear(&range).then_some(())).await;
        }
    }

    /// The active segment and the position in it where a flush of `len` bytes goes. Rolls over if it does not fit.
    pub(super) async fn place_for(&self, len: u64) -> io::Result<(SegmentNumber, u64)> {
        let (active, in_doubt) = {
            let mut state = self.state.borrow_mut();
            let active = state.segments.back().filter(|last| !last.sealed && last.end_pos + len <= last.capacity);
            let place = active.map(|active| (active.number, active.end_pos));
            (place, state.hint_in_doubt.take())
        };
        let Some((number, pos)) = active else {
            // The row of frames goes on in the next segment, whatever becomes of a hint in this one.
            self.sync_written().await?;
            return self.roll(len).await;
        };
        if let Some(from) = in_doubt {
            // The sync that makes the flush durable covers it, too.
            write_again(&*self.file(number).await?, from, pos).await?;
        }
        Ok((number, pos))
    }

    /// Syncs the file that was written to.
    pub(super) async fn sync_file(&self, file: &R::File) -> io::Result<()> {
        let written = self.state.borrow().marks.written();
        file.sync().await?;
        let mut state = self.state.borrow_mut();
        state.marks.sync(written);
        state.synced_at = self.env.rt.now();
        Ok(())
    }

    /// Syncs what was written without a sync, if anything was.
    pub(super) async fn sync_written(&self) -> io::Result<()> {
        let number = {
            let state = self.state.borrow();
            if state.marks.written() == state.marks.durable() {
                return Ok(());
            }
            state.segments.back().expect("something was written").number
        };
        let file = self.file(number).await?;
        self.sync_file(&file).await
    }

    /// Makes a run of flushes visible that begins at `pos`: they are written, and as durable as the level asks for. [`Log::answer`]
    /// wakes those who wait.
    fn show(&self, mut pos: u64, run: impl Iterator<Item = Queued<R>>) {
        for Queued { flush, buffer, admitted } in run {
            let kept = {
                let mut guard = self.state.borrow_mut();
                let state = &mut *guard;
                let segment = state.segments.back_mut().expect("the flush was written to it");
                segment.note_flush(&flush.frames, pos, flush.len, flush.tip);
                pos += flush.len as u64;
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
    }

    /// Acknowledges what is visible, and wakes readers and those who wait for room.
    fn answer(&self) {
        {
            let mut guard = self.state.borrow_mut();
            let state = &mut *guard;
            let committed = state.marks.committed().index;
            let now = self.env.rt.wall();
            for Waiting { ack, receipt, arrived } in state.acks.release(committed) {
                state.latency.record(now.0.saturating_sub(arrived.0));
                ack.sink.acked(ack.token, Ok(receipt));
            }
        }
        self.changed.notify();
        self.env.room.notify();
    }

    /// Writes one pad block that says that everything so far is durable: from now on damage to the last frames cannot be
    /// taken for a write that never finished.
    pub(super) async fn write_hint(&self) -> io::Result<()> {
        let (number, pos) = self.place_for(BLOCK_BYTES as u64).await?;
        self.clear(pos..pos + BLOCK_BYTES as u64).await;
        let (tip, durable) = {
            let state = self.state.borrow();
            (state.committed_tip, state.marks.durable().index)
        };
        let mut block = self.env.rt.alloc(BLOCK_BYTES);
        Gather::quiet(block.as_mut(), &tip, durable);
        let file = self.file(number).await?;
        file.write_at(&self.env.rt.freeze(block, BLOCK_BYTES), pos).await?;
        file.sync().await?;
        let mut state = self.state.borrow_mut();
        let active = state.segments.back_mut().expect("the block was written to it");
        active.end_pos = pos + BLOCK_BYTES as u64;
        // What was put meanwhile lies behind the hint, and needs another one.
        state.hinted = state.gather.is_empty() && state.queue.is_empty();
        Ok(())
    }

    pub(super) fn die(&self, error: &io::Error) {
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
        self.env.room.notify();
    }
}
