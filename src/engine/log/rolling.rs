//! Rolling over: the next segment is made ready before it is needed, and a sealed one gets its index.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use super::{CHECKPOINT_BYTES, Log, Next, Prepared, State};
use crate::engine::recover::encode_producers;
use crate::engine::segments::{Segment, SparseIndex};
use crate::engine::whole_file;
use crate::format::index;
use crate::format::names::{self, SegmentNumber};
use crate::format::segment::{FRAMES_AT, SegmentHeader};
use crate::limits::BLOCK_BYTES;
use crate::log::blanking::Blanking;
use crate::log::sizing;
use crate::runtime::{File, Open, Runtime, TaskClass};
use crate::shard::admission::PutRefusal;
use crate::types::Slab;

impl<R: Runtime> Log<R> {
    pub(super) async fn roll(&self, len: u64) -> io::Result<(SegmentNumber, u64)> {
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
        // Zeros that came down later could meet the file in its next life.
        self.changed.until(|| self.state.borrow().blanking.is_quiet().then_some(())).await;
        let mut state = self.state.borrow_mut();
        let sealed = state.segments.back_mut().filter(|last| !last.sealed).map(|last| {
            last.sealed = true;
            last.number
        });
        let now = self.env.rt.wall();
        let segment = Segment::empty(prepared.number, prepared.capacity, state.committed_tip, now);
        let place = (segment.number, segment.end_pos);
        state.blanking = if prepared.is_reused { Blanking::needless() } else { Blanking::from(segment.end_pos) };
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
    pub(super) async fn prepare(&self, flush_bytes: u64) -> io::Result<Prepared> {
        let now = self.env.rt.wall();
        let room = self.env.room_on_disk().await;
        let (number, capacity) = {
            let mut state = self.state.borrow_mut();
            let last = state.segments.back().map(|last| (last.capacity, now.0.saturating_sub(last.started.0)));
            let number = state.next_number;
            state.next_number += 1;
            let wanted = sizing::modest(sizing::next_capacity(last), room.unwrap_or(u64::MAX));
            (number, sizing::fitting(wanted, flush_bytes))
        };
        let header = SegmentHeader { group: self.group, number, created: now, capacity };
        let spare = self.env.take_spare(capacity);
        let is_new = spare.is_none();
        let path = spare.unwrap_or_else(|| self.dir.join(names::temporary(&names::segment(number))));
        match self.make_segment(&path, is_new, &header).await {
            Ok(file) => {
                self.env.keep_file(self.group, number, Rc::new(file));
                self.env.took_space();
            }
            Err(error) => {
                // The next try takes another number: what was reserved for this one would be missing until the next start.
                let _ = self.env.rt.remove(&path).await;
                return Err(error);
            }
        }
        Ok(Prepared { number, capacity, is_reused: !is_new })
    }

    /// Steps in crash order: 1. reserve, 2. write and sync the first block, 3. rename, 4. sync the directory. Before 3. a
    /// crash leaves a temporary file or a spare, both removed on start; after it an empty segment, also removed.
    pub(super) async fn make_segment(&self, path: &Path, is_new: bool, header: &SegmentHeader) -> io::Result<R::File> {
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
    pub(super) fn job(&self, state: &mut State<R>, work: impl Future<Output = ()> + 'static) {
        state.jobs += 1;
        let log = self.me();
        self.env.rt.spawn(TaskClass::Background, async move {
            work.await;
            log.state.borrow_mut().jobs -= 1;
            log.changed.notify();
        });
    }

    /// Prepares the next segment in time, blanks the blocks to come, and saves the index of a long active one. Nothing is
    /// being written to the active segment meanwhile.
    pub(super) fn look_ahead(&self) {
        let mut state = self.state.borrow_mut();
        let Some(active) = state.segments.back() else { return };
        let (number, capacity) = (active.number, active.capacity);
        let half_full = active.end_pos > active.capacity / 2;
        let unsaved = active.end_pos - active.indexed_pos.max(FRAMES_AT) > CHECKPOINT_BYTES;
        let end_pos = active.end_pos;
        if half_full && matches!(state.next, Next::Missing) {
            state.next = Next::Preparing;
            let log = self.me();
            self.job(&mut state, async move {
                // Without waiting: the writer may hold a turn while it waits for this. It makes the segment itself then.
                let turn = log.env.file_turns.try_acquire(1);
                let next = match &turn {
                    Some(_) => log.prepare(0).await.map(Next::Ready),
                    None => Ok(Next::Missing),
                };
                let next = match next {
                    Ok(next) => next,
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
        let flush_bytes = state.buffer_bytes as u64;
        if let Some(range) = state.blanking.next(end_pos, capacity, flush_bytes) {
            let log = self.me();
            self.job(&mut state, async move {
                // Without waiting, as above.
                let turn = log.env.file_turns.try_acquire(1);
                let written = match &turn {
                    Some(_) => Some(log.blank(number, range).await),
                    None => None,
                };
                log.state.borrow_mut().blanking.done(written);
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

    /// Overwrites a part of a segment with zeros; whether that worked. It is not synced: the next sync of the writer does that,
    /// and a failure that concerns frames is one that the writer meets.
    async fn blank(&self, number: SegmentNumber, range: Range<u64>) -> bool {
        let rt = &self.env.rt;
        let bytes = usize::try_from(range.end - range.start).expect("a few blocks");
        let mut zeros = rt.alloc(bytes);
        zeros.put_zeros(0..bytes);
        let zeros = rt.freeze(zeros, bytes);
        let written = async { self.file(number).await?.write_at(&zeros, range.start).await };
        written
            .await
            .inspect_err(
                |error| tracing::warn!(group = %self.group, segment = number, %error, "could not blank a segment"),
            )
            .is_ok()
    }

    /// Saves the index of a sealed segment (with the producers as of its end), or of the active one as it is now.
    ///
    /// Derived data: a failure is logged, the next start scans instead.
    pub(super) async fn save_index(&self, sealed: Option<(SegmentNumber, Vec<u8>)>) {
        let _turn = self.saving.acquire(1).await;
        let _file_turn = self.env.file_turns.acquire(1).await;
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
}
