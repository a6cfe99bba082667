//! Reading a log: from the flushes still in memory, else from disk. Frames are handed out as stored, as slices of the
//! buffer they were written from or read into; nothing is copied.
//!
//! What comes from disk is verified before it leaves: header, place in the log, body checksum. A reader is never given a
//! wrong byte; it is told which offsets are damaged and where intact ones resume.

use std::rc::Rc;

use thiserror::Error;

use crate::engine::log::Log;
use crate::engine::segments::{self, SparseIndex};
use crate::engine::slice::Slice;
use crate::format::frame::{FrameHeader, HEADER_BYTES, Kind};
use crate::format::names::{self, SegmentNumber};
use crate::format::{block_down, block_up};
use crate::limits::{BLOCK_BYTES, COLD_READ_BYTES, FRAME_BODY_BYTES_MAX};
use crate::log::gather::FramePlace;
use crate::runtime::{File, Runtime};
use crate::shard::throttle::Throttled;
use crate::types::{FrameIndex, Offset, WallUs};

/// Frames read from a log.
#[derive(Debug)]
pub struct Frames<B> {
    /// Whole data frames as stored, in order; each slice holds one or more.
    pub slices: Vec<Slice<B>>,
    /// Bytes of all slices.
    pub bytes: usize,
    /// Offset to go on from. The first frame may start before the offset asked for: the reader skips.
    pub next: Offset,
    /// Arrival of the last frame handed out.
    pub last_arrival: WallUs,
}

impl<B> Frames<B> {
    const fn none(at: Offset) -> Self {
        Self { slices: Vec::new(), bytes: 0, next: at, last_arrival: WallUs(0) }
    }

    /// Appends what follows right after these.
    pub(super) fn extend(&mut self, more: Self) {
        self.slices.extend(more.slices);
        self.bytes += more.bytes;
        (self.next, self.last_arrival) = (more.next, more.last_arrival);
    }
}

/// How much a read hands out: whole frames up to these bounds, the first one whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Bytes of frames.
    pub bytes_max: usize,
    /// Records from the one on that was asked for.
    pub records_max: u64,
    /// Records that are enough: the frame that brings as many is the last one, be it with more.
    pub records_enough: u64,
}

impl From<usize> for Portion {
    fn from(bytes_max: usize) -> Self {
        Self { bytes_max, records_max: u64::MAX, records_enough: u64::MAX }
    }
}

impl Portion {
    /// Whether a frame of `len` bytes that ends at `end` goes beyond it, behind `bytes` taken from `from` to `next`.
    const fn is_full(self, bytes: usize, len: usize, from: Offset, next: Offset, end: Offset) -> bool {
        bytes > 0
            && (bytes + len > self.bytes_max
                || end.0 - from.0 > self.records_max
                || next.0 - from.0 >= self.records_enough)
    }
}

/// Why nothing can be read at an offset.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The record has expired, or its segment is gone.
    #[error("offset is before the horizon {horizon}")]
    BeforeHorizon {
        /// The oldest offset that can be read.
        horizon: Offset,
    },
    /// Nothing was ever stored there.
    #[error("offset is beyond the end {end}")]
    BeyondEnd {
        /// The offset of the next record.
        end: Offset,
    },
    /// The disk no longer holds what was stored there.
    #[error("records from offset {from} to {resume} are damaged: segment {segment}, position {pos}")]
    Damaged {
        /// The first offset that cannot be read.
        from: Offset,
        /// The first intact offset after it.
        resume: Offset,
        /// In which segment the damage starts.
        segment: SegmentNumber,
        /// Where in it.
        pos: u64,
    },
    /// The log is being opened by another worker, or again on this one. Trying again finds it where it is then.
    #[error("the shard is being opened by another worker; look up where it is and try again")]
    Away,
    /// The stream's limits allow no further read yet.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The disk said no.
    #[error("reading failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A horizon that was looked up: the record at `offset` arrived at `arrival`, the one before it before `cutoff`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Horizon {
    cutoff: WallUs,
    offset: Offset,
    arrival: WallUs,
}

/// A stretch of a segment that is walked frame by frame.
struct Walk {
    number: SegmentNumber,
    /// Where to start.
    pos: u64,
    /// Where the segment's committed bytes end.
    end: u64,
    /// Index of the segment's first frame: a frame with a smaller one is a leftover.
    first_index: FrameIndex,
    /// Index after its last frame.
    end_index: FrameIndex,
}

impl<R: Runtime> Log<R> {
    /// Committed frames from `from` on, as many as the portion takes, at least one if there is any. Frames that arrived
    /// before `cutoff` have expired.
    ///
    /// May run concurrently with anything. Dropping it changes nothing.
    pub async fn read(
        &self,
        from: Offset,
        portion: impl Into<Portion>,
        cutoff: WallUs,
    ) -> Result<Frames<R::Buf>, ReadError> {
        self.unless_away(self.read_here(from, portion.into(), cutoff).await)
    }

    /// What a look at the files came to, unless the log left them meanwhile: then an error means nothing.
    fn unless_away<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        result.map_err(|error| if self.has_left() { ReadError::Away } else { error })
    }

    async fn read_here(&self, from: Offset, portion: Portion, cutoff: WallUs) -> Result<Frames<R::Buf>, ReadError> {
        loop {
            match self.look(from) {
                Look::There => {}
                Look::Nothing => return Ok(Frames::none(from)),
                Look::Before => return Err(ReadError::BeforeHorizon { horizon: self.horizon(cutoff).await? }),
                Look::Wrong(error) => return Err(error),
            }
            let frames = match self.read_tail(from, portion) {
                Some(frames) => Ok(frames),
                None => self.read_cold(from, portion).await,
            };
            match frames {
                Ok((_, first_arrival)) if first_arrival < cutoff => {
                    return Err(ReadError::BeforeHorizon { horizon: self.horizon(cutoff).await? });
                }
                Ok((frames, _)) => return Ok(frames),
                // The segment was freed while it was read: look again, the horizon has moved.
                Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    if self.first_offset() <= from {
                        return Err(ReadError::Io(error));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether there is a log to look at.
    fn readable(&self) -> Result<(), ReadError> {
        if self.has_left() {
            return Err(ReadError::Away);
        }
        if !self.is_open() {
            return Err(ReadError::Io(std::io::Error::other("the shard's log could not be opened")));
        }
        Ok(())
    }

    /// What there is at `from`, as far as memory knows.
    fn look(&self, from: Offset) -> Look {
        if let Err(error) = self.readable() {
            return Look::Wrong(error);
        }
        let state = self.state.borrow();
        let end = state.marks.committed().offset;
        if from == end {
            return Look::Nothing;
        }
        if from > end {
            return Look::Wrong(ReadError::BeyondEnd { end });
        }
        if state.segments.front().is_none_or(|segment| from < segment.first.offset) {
            return Look::Before;
        }
        for segment in &state.segments {
            if let Some(gap) = segment.gaps.iter().find(|gap| gap.from_offset <= from && from < gap.to_offset) {
                let (resume, pos) = (gap.to_offset, gap.from_pos.0);
                return Look::Wrong(ReadError::Damaged { from, resume, segment: segment.number, pos });
            }
        }
        Look::There
    }

    /// The first offset whose record arrived at `cutoff` or later: the trim horizon when `cutoff` is now less the
    /// retention. The end if there is none.
    ///
    /// Costs a look at the disk only when the horizon has moved since it was last asked for.
    pub async fn horizon(&self, cutoff: WallUs) -> Result<Offset, ReadError> {
        self.readable()?;
        let (first, arrival) = {
            let state = self.state.borrow();
            let Some(segment) = state.segments.front() else { return Ok(state.marks.committed().offset) };
            (segment.first.offset, segment.first_arrival)
        };
        if arrival.is_none_or(|arrival| arrival >= cutoff) {
            return Ok(first);
        }
        let known = self.horizon.get();
        if known.cutoff <= cutoff && cutoff <= known.arrival && first <= known.offset {
            return Ok(known.offset);
        }
        let (offset, arrival) = self.seek(cutoff).await?;
        if let Some(arrival) = arrival {
            self.horizon.set(Horizon { cutoff, offset, arrival });
        }
        Ok(offset)
    }

    /// The offset of the first record that arrived at `time` or later; the end if there is none.
    pub async fn seek_time(&self, time: WallUs) -> Result<Offset, ReadError> {
        self.seek(time).await.map(|(offset, _)| offset)
    }

    /// As [`Log::seek_time`], with the arrival of the record found.
    async fn seek(&self, time: WallUs) -> Result<(Offset, Option<WallUs>), ReadError> {
        self.readable()?;
        let found = self.unless_away(self.seek_here(time).await)?;
        // A log that left on the way may have looked at what is no longer there.
        if self.has_left() { Err(ReadError::Away) } else { Ok(found) }
    }

    async fn seek_here(&self, time: WallUs) -> Result<(Offset, Option<WallUs>), ReadError> {
        let target = {
            let state = self.state.borrow();
            let end = state.marks.committed().offset;
            let at = state.segments.partition_point(|segment| segment.tip.arrival < time);
            let Some(segment) = state.segments.get(at) else { return Ok((end, None)) };
            if segment.first_arrival.is_none_or(|arrival| arrival >= time) {
                return Ok((segment.first.offset, segment.first_arrival));
            }
            if let Some(oldest) = state.tail.front()
                && oldest.frames.first().is_some_and(|frame| frame.arrival < time)
            {
                let mut frames = state.tail.iter().flat_map(|flush| &flush.frames);
                let found = frames.find(|frame| frame.arrival >= time);
                return Ok(found.map_or((end, None), |frame| (frame.base_offset, Some(frame.arrival))));
            }
            segment.number
        };
        self.map_index(target).await;
        let plan = {
            let state = self.state.borrow();
            state.segments.iter().find(|segment| segment.number == target).map(|segment| {
                let pos = segment.start_for_time(time).unwrap_or(crate::format::segment::FRAMES_AT);
                let jumps: Vec<_> = segment.gaps.iter().map(|gap| (gap.from_pos.0, gap.to_pos.0)).collect();
                (walk_of(segment, pos), segment.tip.offset, jumps)
            })
        };
        let Some((mut walk, end, jumps)) = plan else { return Ok((self.first_offset(), None)) };
        // In this order: nobody waits for memory with a turn that a writer could use.
        let _memory = self.env.cold_room.acquire(COLD_READ_BYTES).await;
        let _turn = self.env.file_turns.acquire(1).await;
        let file = match self.file(target).await {
            Ok(file) => file,
            // Freed meanwhile, so everything in it is older than what is there now.
            Err(_) if !self.has_segment(target) => return Ok((self.first_offset(), None)),
            Err(error) => return Err(error.into()),
        };
        // The offset before the frame at hand: at a damaged header, reading from there reports the damage.
        let mut reached = None;
        while walk.pos < walk.end {
            let (window, start) = self.window(&file, walk.pos, HEADER_BYTES, walk.end).await?;
            let before = walk.pos;
            while let Some(bytes) = window.get((walk.pos - start) as usize..).filter(|left| left.len() >= HEADER_BYTES)
                && walk.pos < walk.end
            {
                // A known gap is jumped over: who looks for a time behind it must not end up before it.
                if let Some((_, to_pos)) = jumps.iter().find(|(from_pos, _)| *from_pos == walk.pos) {
                    if *to_pos == 0 {
                        return Ok((end, None));
                    }
                    walk.pos = *to_pos;
                    continue;
                }
                let Some(header) = self.check_header(&walk, bytes) else {
                    return Ok((reached.unwrap_or(self.first_offset()), None));
                };
                if header.kind == Kind::Data && header.arrival_us >= time {
                    return Ok((header.base_offset, Some(header.arrival_us)));
                }
                reached = Some(header.end_offset());
                walk.pos += header.frame_bytes() as u64;
            }
            if walk.pos == before {
                break;
            }
        }
        Ok((end, None))
    }

    /// Reads from the flushes in memory: the frames, and the first one's arrival. `None` if they start after `from`.
    fn read_tail(&self, from: Offset, portion: Portion) -> Option<(Frames<R::Buf>, WallUs)> {
        let state = self.state.borrow();
        let oldest = state.tail.front()?.frames.first()?;
        if from < oldest.base_offset {
            return None;
        }
        let at = state.tail.partition_point(|flush| flush.frames.last().is_some_and(|frame| frame.end_offset <= from));
        let mut out = Frames::none(from);
        let mut first_arrival = None;
        'flushes: for flush in state.tail.range(at..) {
            let skip = flush.frames.partition_point(|frame| frame.end_offset <= from);
            let mut run: Option<(usize, usize)> = None;
            for frame in &flush.frames[skip..] {
                let FramePlace { start, end, .. } = *frame;
                let (start, end) = (start as usize, end as usize);
                if portion.is_full(out.bytes, end - start, from, out.next, frame.end_offset) {
                    push_run(&mut out, &flush.buffer, run);
                    break 'flushes;
                }
                run = match run {
                    Some((first, last)) if last == start => Some((first, end)),
                    other => {
                        push_run(&mut out, &flush.buffer, other);
                        Some((start, end))
                    }
                };
                out.bytes += end - start;
                out.next = frame.end_offset;
                out.last_arrival = frame.arrival;
                first_arrival.get_or_insert(frame.arrival);
            }
            push_run(&mut out, &flush.buffer, run);
        }
        Some((out, first_arrival?))
    }

    async fn read_cold(&self, from: Offset, portion: Portion) -> Result<(Frames<R::Buf>, WallUs), ReadError> {
        let number = {
            let state = self.state.borrow();
            let at = segments::locate(&state.segments, from).expect("the caller checked the first offset");
            state.segments[at].number
        };
        self.map_index(number).await;
        let plan = {
            let state = self.state.borrow();
            state.segments.iter().find(|segment| segment.number == number).map(|segment| {
                let mut pos = segment.start_for_offset(from).unwrap_or(crate::format::segment::FRAMES_AT);
                // A known gap is jumped over: walking into it would find the damage again.
                let jump = segment.gaps.iter().rfind(|gap| gap.to_offset <= from && gap.to_pos.0 > pos);
                pos = jump.map_or(pos, |gap| pos.max(gap.to_pos.0));
                let stop = segment.gaps.iter().find(|gap| gap.from_offset > from).map(|gap| gap.from_pos.0);
                let mut walk = walk_of(segment, pos);
                walk.end = stop.map_or(walk.end, |stop| walk.end.min(stop));
                walk
            })
        };
        let Some(mut walk) = plan else {
            return Err(ReadError::BeforeHorizon { horizon: self.first_offset() });
        };
        let mut need = HEADER_BYTES;
        loop {
            // In this order, as above, and both given back before more is asked for.
            let _memory = self.env.cold_room.acquire(need.max(COLD_READ_BYTES)).await;
            let _turn = self.env.file_turns.acquire(1).await;
            let file = self.file(number).await?;
            let (window, start) = self.window(&file, walk.pos, need, walk.end).await?;
            let before = walk.pos;
            let found = self.collect(&mut walk, &window, start, from, portion);
            match found {
                Ok(Collected { frames, first_arrival: Some(arrival), .. }) => return Ok((frames, arrival)),
                Ok(Collected { .. }) if walk.pos >= walk.end => {
                    // The frame with `from` should have been here: its header was jumped over by damage nobody knows of.
                    return Err(self.damaged(from, &walk).await);
                }
                Ok(Collected { need: more, .. }) => {
                    if walk.pos == before && more <= need {
                        return Err(self.damaged(from, &walk).await);
                    }
                    need = more;
                }
                Err(Damage) => match self.resume_after(&walk).await? {
                    // Nothing that was asked for is lost: the walk began further back than that.
                    Some((pos, offset)) if offset <= from => {
                        (walk.pos, need) = (pos, HEADER_BYTES);
                    }
                    _ => return Err(self.damaged(from, &walk).await),
                },
            }
        }
    }

    /// Takes whole, verified frames out of a window that starts at file position `start`.
    fn collect(
        &self,
        walk: &mut Walk,
        window: &R::Buf,
        start: u64,
        from: Offset,
        portion: Portion,
    ) -> Result<Collected<R::Buf>, Damage> {
        let mut out = Collected { frames: Frames::none(from), first_arrival: None, need: HEADER_BYTES };
        let mut run: Option<(usize, usize)> = None;
        while walk.pos < walk.end {
            let at = (walk.pos - start) as usize;
            let Some(bytes) = window.get(at..).filter(|bytes| bytes.len() >= HEADER_BYTES) else { break };
            let Some(header) = self.check_header(walk, bytes) else {
                if out.frames.bytes > 0 {
                    break;
                }
                return Err(Damage);
            };
            let len = header.frame_bytes();
            let wanted = header.kind == Kind::Data && header.end_offset() > from;
            if wanted {
                if portion.is_full(out.frames.bytes, len, from, out.frames.next, header.end_offset()) {
                    break;
                }
                let Some(body) = bytes.get(HEADER_BYTES..len) else {
                    out.need = len;
                    break;
                };
                if header.check_body(body).is_err() {
                    if out.frames.bytes > 0 {
                        break;
                    }
                    return Err(Damage);
                }
                run = match run {
                    Some((first, last)) if last == at => Some((first, at + len)),
                    other => {
                        push_run(&mut out.frames, window, other);
                        Some((at, at + len))
                    }
                };
                out.frames.bytes += len;
                out.frames.next = header.end_offset();
                out.frames.last_arrival = header.arrival_us;
                out.first_arrival.get_or_insert(header.arrival_us);
            }
            walk.pos += len as u64;
        }
        push_run(&mut out.frames, window, run);
        Ok(out)
    }

    /// The header at the walk's position, if it can be one of this segment's frames.
    fn check_header(&self, walk: &Walk, bytes: &[u8]) -> Option<FrameHeader> {
        let header = FrameHeader::decode(bytes).ok()?;
        let fits = header.group_id == self.group
            && header.index >= walk.first_index
            && header.index <= walk.end_index
            && walk.pos + header.frame_bytes() as u64 <= block_up(walk.end);
        fits.then_some(header)
    }

    /// Bytes of a segment from `pos` on, at least `need` unless the segment ends: a buffer, and the position it starts at.
    async fn window(&self, file: &Rc<R::File>, pos: u64, need: usize, end: u64) -> std::io::Result<(R::Buf, u64)> {
        let start = block_down(pos);
        let want = ((pos - start) + need.max(COLD_READ_BYTES) as u64).min(block_up(end) - start);
        let len = usize::try_from(block_up(want)).expect("a window fits memory");
        debug_assert!(len <= FRAME_BODY_BYTES_MAX as usize + HEADER_BYTES + COLD_READ_BYTES + 2 * BLOCK_BYTES);
        Ok((file.read_at(start, len).await?, start))
    }

    /// The error for damage at the walk's position: what is lost, and where intact frames resume.
    async fn damaged(&self, from: Offset, walk: &Walk) -> ReadError {
        if !self.has_segment(walk.number) {
            // Freed while it was read, and perhaps already in use by another log.
            return ReadError::BeforeHorizon { horizon: self.first_offset() };
        }
        let resume = match self.resume_after(walk).await {
            Ok(Some((_, offset))) => offset,
            Ok(None) => self.after_segment(walk.number),
            Err(error) => return ReadError::Io(error),
        };
        tracing::error!(
            group = %self.group, dir = %self.dir.display(), segment = walk.number, position = walk.pos, %from, %resume,
            "stored records are damaged"
        );
        ReadError::Damaged { from, resume, segment: walk.number, pos: walk.pos }
    }

    fn has_segment(&self, number: SegmentNumber) -> bool {
        self.state.borrow().segments.iter().any(|segment| segment.number == number)
    }

    /// Where in the segment intact frames go on after damage at the walk's position, and with which offset.
    async fn resume_after(&self, walk: &Walk) -> std::io::Result<Option<(u64, Offset)>> {
        let file = self.file(walk.number).await?;
        let mut pos = walk.pos;
        // If the header is intact and only the body is not, the next frame is right behind it.
        let (window, start) = self.window(&file, pos, HEADER_BYTES, walk.end).await?;
        if let Some(header) = window.get((pos - start) as usize..).and_then(|bytes| self.check_header(walk, bytes)) {
            return Ok(Some((pos + header.frame_bytes() as u64, header.end_offset())));
        }
        pos = block_down(pos) + BLOCK_BYTES as u64;
        while pos < walk.end {
            let (window, start) = self.window(&file, pos, HEADER_BYTES, walk.end).await?;
            for (block, bytes) in window.chunks(BLOCK_BYTES).enumerate() {
                let at = Walk { pos: start + (block * BLOCK_BYTES) as u64, ..*walk };
                if let Some(header) = self.check_header(&at, bytes) {
                    return Ok(Some((at.pos, header.base_offset)));
                }
            }
            pos = start + window.len().max(BLOCK_BYTES) as u64;
        }
        Ok(None)
    }

    /// The first offset behind a segment.
    fn after_segment(&self, number: SegmentNumber) -> Offset {
        let state = self.state.borrow();
        let after = state.segments.iter().find(|segment| segment.number > number);
        after.map_or(state.marks.committed().offset, |segment| segment.first.offset)
    }

    /// Maps the index of a sealed segment, if it is in a file. A segment whose index cannot be mapped is walked from its
    /// start.
    async fn map_index(&self, number: SegmentNumber) {
        let in_file = {
            let state = self.state.borrow();
            let segment = state.segments.iter().find(|segment| segment.number == number);
            segment.is_some_and(|segment| matches!(segment.index, SparseIndex::File))
        };
        if !in_file {
            return;
        }
        match self.env.rt.map(&self.dir.join(names::index(number))).await {
            Ok(map) => {
                let mut state = self.state.borrow_mut();
                if let Some(segment) = state.segments.iter_mut().find(|segment| segment.number == number)
                    && matches!(segment.index, SparseIndex::File)
                {
                    segment.index = SparseIndex::Mapped(map);
                }
            }
            Err(error) => tracing::warn!(group = %self.group, segment = number, %error, "could not map an index"),
        }
    }
}

/// What memory knows about an offset.
enum Look {
    There,
    Nothing,
    Before,
    Wrong(ReadError),
}

struct Collected<B> {
    frames: Frames<B>,
    /// Arrival of the first frame taken, `None` if none was.
    first_arrival: Option<WallUs>,
    /// Bytes that the next window needs from the walk's position on.
    need: usize,
}

struct Damage;

fn push_run<B: Clone + std::ops::Deref<Target = [u8]>>(out: &mut Frames<B>, buffer: &B, run: Option<(usize, usize)>) {
    if let Some((start, end)) = run {
        out.slices.push(Slice::new(buffer.clone(), start..end));
    }
}

const fn walk_of<M>(segment: &segments::Segment<M>, pos: u64) -> Walk {
    Walk {
        number: segment.number,
        pos,
        end: segment.end_pos,
        first_index: segment.first.index,
        end_index: segment.tip.index,
    }
}
