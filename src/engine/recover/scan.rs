//! The scan of a log's segments: reads, judges by `log::recovery`, takes notes.

mod missing;

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::again::{Doubt, Doubtful, write_again};
use super::{Damage, Depth, Flow, Listed, Report, Segments, Sight, encode_producers};
use crate::codec::Reader;
use crate::engine::segments::{Segment, SparseIndex, summary_tip};
use crate::engine::whole_file;
use crate::format::frame::{FrameError, FrameHeader, HEADER_BYTES, Kind};
use crate::format::index::{self, Gap, Summary};
use crate::format::names::{self, SegmentNumber};
use crate::format::segment::{FRAMES_AT, SegmentHeader};
use crate::format::{block_down, block_up};
use crate::limits::{BLOCK_BYTES, SHARD_UNSYNCED_BYTES_MAX};
use crate::log::marks::Mark;
use crate::log::recovery::{self, Beyond, Step, Stop, Verdict};
use crate::log::tip::Tip;
use crate::runtime::{File, Open, Runtime, Step as LeftOut};
use crate::shard::producers::Producers;
use crate::types::{FilePos, FrameIndex, GroupId, Term, WallUs};

/// Bytes per read while scanning, once there is much. The first read is small, for the many logs that hold little; each is twice as
/// large as the one before.
const SCAN_BYTES: usize = 1 << 20;
const SCAN_BYTES_FIRST: usize = 32 << 10;

/// How far beyond a stop is looked for frames: whatever can have been in flight at once lies within.
const LOOK_BEYOND_BYTES: u64 = SHARD_UNSYNCED_BYTES_MAX as u64;

/// What a scan is for.
pub(super) enum How<'a> {
    /// Opening the log: sync, tidy up.
    Open,
    /// Looking at it: change nothing.
    Look {
        /// How closely.
        depth: Depth,
        /// Who looks.
        see: &'a mut dyn FnMut(Sight<'_>) -> Flow,
    },
}

pub(super) struct Scan<'a, R: Runtime> {
    rt: R,
    dir: PathBuf,
    group: GroupId,
    how: How<'a>,
    numbers: Vec<SegmentNumber>,
    /// Numbers of indexes that have no segment.
    strays: Vec<SegmentNumber>,
    trust: Trust,
    /// Whether there are segments before the first that is looked at.
    pub(super) begins_inside: bool,
    halted: bool,
    /// The last segment with frames is cut short, and only later ones without any tell that nothing is missing.
    proven_by_later: bool,
    /// Whether the table of producers is the one the log had here: it is from the first frame on, and behind an index.
    producers_known: bool,
    /// What may not be on the disk, in the segment that is being scanned.
    doubt: Doubt,
    /// Where the hint of a quiet log begins: see [`Found`](crate::engine::log::Found).
    pub(super) hint_in_doubt: Option<u64>,
    pub(super) tip: Tip,
    pub(super) segments: Segments<R::Map>,
    pub(super) producers: Producers,
    /// Per segment: the table of producers at its end. Only when everything is read.
    pub(super) tables: Vec<Table>,
    pub(super) report: Report,
    pub(super) reasons: Vec<Option<Stop>>,
}

/// The table of producers at the end of a segment.
pub(super) struct Table {
    pub(super) bytes: Vec<u8>,
    pub(super) known: bool,
}

/// How the next frame is judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// By the tip.
    Chain,
    /// It is the oldest one that retention left: the log begins with it.
    Oldest,
    /// It follows a gap: the row goes on with it.
    AfterGap,
}

/// Where a scan stopped.
struct Stopped<B> {
    pos: u64,
    stop: Stop,
    /// What was read last, and from where on.
    window: Option<(u64, B)>,
}

impl<B: Deref<Target = [u8]>> Stopped<B> {
    /// The `len` bytes at `at`, if they were read.
    fn seen(&self, at: u64, len: usize) -> Option<&[u8]> {
        let (start, window) = self.window.as_ref()?;
        let from = usize::try_from(at.checked_sub(*start)?).ok()?;
        window.get(from..from + len)
    }
}

/// Where the row of frames goes on behind a stop.
enum Resume {
    /// Here, in the same segment.
    Here(u64, Tip),
    /// With the first frame of a later segment, counted in `numbers`.
    Later(usize, Tip),
    /// Inside a later segment, whose own start is damaged: the loss begins there, not here.
    Inside(usize),
}

/// Frames of this log behind a stop.
#[derive(Default)]
struct Sighting {
    first: Option<(u64, FrameHeader)>,
    proof: bool,
}

impl<'a, R: Runtime> Scan<'a, R> {
    /// A scan of the segments in `listed`, which are in order.
    pub(super) fn new(rt: R, group: GroupId, dir: &Path, listed: &Listed, how: How<'a>) -> Self {
        let (numbers, strays) = (listed.segments.clone(), listed.stray_indexes());
        let from_the_beginning = numbers.first().is_none_or(|first| *first == 0);
        let report = Report { segments: numbers.len(), ..Report::default() };
        Self {
            rt,
            dir: dir.to_path_buf(),
            group,
            how,
            numbers,
            strays,
            trust: if from_the_beginning { Trust::Chain } else { Trust::Oldest },
            begins_inside: false,
            halted: false,
            proven_by_later: false,
            producers_known: from_the_beginning,
            doubt: Doubt::default(),
            hint_in_doubt: None,
            tip: Tip::genesis(group),
            segments: VecDeque::new(),
            producers: Producers::new(),
            tables: Vec::new(),
            report,
            reasons: Vec::new(),
        }
    }

    pub(super) async fn run(&mut self) -> io::Result<()> {
        let mut at = 0;
        while at < self.numbers.len() && !self.halted {
            at = self.segment(at).await?;
        }
        if !self.halted {
            self.missing_newest().await?;
        }
        if matches!(self.how, How::Open) {
            self.tidy_end().await?;
        }
        // Only the last segment may be written to.
        let last = self.segments.len().saturating_sub(1);
        for (at, segment) in self.segments.iter_mut().enumerate() {
            segment.sealed |= at < last;
        }
        Ok(())
    }

    /// Segments in which nothing of this log was found. Not those that alone tell where it goes on, be it only by padding: a log that
    /// forgets that begins with offset 0 again, or misses what never was.
    pub(super) fn unused(&self) -> Vec<SegmentNumber> {
        if self.proven_by_later || self.segments.is_empty() && self.tip != Tip::genesis(self.group) {
            return Vec::new();
        }
        let kept = |number: &SegmentNumber| self.segments.iter().any(|segment| segment.number == *number);
        self.numbers.iter().filter(|number| !kept(number)).copied().collect()
    }

    /// Takes in segment `at` (counted in `numbers`); gives the one to go on with.
    async fn segment(&mut self, at: usize) -> io::Result<usize> {
        let number = self.numbers[at];
        let how = if matches!(self.how, How::Open) { Open::Write } else { Open::Read };
        let file = self.rt.open(&self.dir.join(names::segment(number)), how).await?;
        let len = file.len().await?;
        let header = self.header(&file, number, len).await?;
        let mut segment = Segment::empty(number, header.capacity, self.tip, header.created);
        // A frame of the log in this segment proves that everything before it was synced.
        self.doubt.clear();
        let mut pos = FRAMES_AT;
        if !self.reads_everything()
            && let Some((summary, entries, producers)) = self.usable_index(number, &file, len).await?
        {
            segment = Segment::from_summary(&summary, header.capacity);
            self.tip = summary_tip(&summary);
            self.trust = Trust::Chain;
            self.producers = producers;
            for gap in &summary.gaps {
                self.lost(Damage { segment: number, gap: *gap }, None);
            }
            if summary.complete {
                self.segments.push_back(segment);
                return Ok(at + 1);
            }
            segment.index = SparseIndex::Memory(entries);
            pos = summary.end_pos.0;
        }
        if matches!(self.how, How::Open) {
            // A write that a killed node had under way must not land behind the scan, on top of what comes next.
            file.settled().await?;
        }
        loop {
            let stopped = self.walk(&file, &mut segment, pos, len).await?;
            segment.end_pos = stopped.pos;
            segment.tip = self.tip;
            if self.halted {
                return Ok(self.numbers.len());
            }
            if let Some(next) = self.continues_in(at + 1).await? {
                segment.sealed = true;
                let has_frames = segment.has_frames();
                self.keep(file, segment).await?;
                // But for what follows, that would be a loss of nobody knows how much.
                self.proven_by_later |= has_frames && missing::ends_short(&stopped, len, header.capacity);
                return Ok(next);
            }
            if let Some(next) = self.continues_behind(&file, &stopped).await? {
                self.see(Sight::Padding { segment: number, pos: FilePos(stopped.pos) });
                pos = next;
                continue;
            }
            let (beyond, resume) = self.look_beyond(at, &file, &stopped, len).await?;
            // A segment is freed only once the next one has a durable frame: what the oldest that is left begins with was one.
            let was_durable = self.trust == Trust::Oldest
                && !self.begins_inside
                && matches!(&stopped.stop, Stop::TornBody(header) if header.index > FrameIndex(0));
            let beyond = if was_durable { Beyond::Proven } else { beyond };
            if let Some(Resume::Inside(later)) = resume
                && beyond == Beyond::Proven
            {
                segment.sealed = true;
                self.keep(file, segment).await?;
                return Ok(later);
            }
            let verdict = recovery::verdict(&stopped.stop, beyond);
            if verdict != Verdict::Damage
                && let Some((short, at)) = self.cut_short(at, &stopped, len, header.capacity).await?
            {
                self.see(Sight::Stop { segment: short, pos: at, stop: &stopped.stop, verdict: Verdict::Damage });
                let gap = open_ended(&self.tip, at);
                self.lost(Damage { segment: short, gap }, Some(stopped.stop));
                segment.note_loss_behind(gap);
                segment.sealed = true;
                self.keep(file, segment).await?;
                return Ok(self.numbers.len());
            }
            self.see(Sight::Stop { segment: number, pos: FilePos(stopped.pos), stop: &stopped.stop, verdict });
            match verdict {
                Verdict::End => {
                    // Appending goes on behind the last block; a scan can only have ended inside one after a cut.
                    segment.sealed = stopped.pos != block_up(stopped.pos) || header.created == WallUs(0);
                    self.write_end_again(&file, &segment).await?;
                    self.keep(file, segment).await?;
                    return Ok(self.numbers.len());
                }
                Verdict::Cut => {
                    tracing::warn!(
                        group = %self.group, segment = number, position = stopped.pos,
                        "a write that never finished was left behind"
                    );
                    self.report.cut = true;
                    segment.sealed = true;
                    self.write_end_again(&file, &segment).await?;
                    self.keep(file, segment).await?;
                    return Ok(self.numbers.len());
                }
                Verdict::Damage => {
                    let (to_pos, tip, next) = match resume {
                        Some(Resume::Here(pos, tip)) => (pos, tip, None),
                        Some(Resume::Later(later, tip)) => (0, tip, Some(later)),
                        Some(Resume::Inside(_)) | None => unreachable!("damage is proven by a frame to resume at"),
                    };
                    // Behind a torn body in this segment the header's chain goes on; everything else is taken on trust.
                    let chained = next.is_none() && matches!(stopped.stop, Stop::TornBody(_));
                    self.trust = if chained { Trust::Chain } else { Trust::AfterGap };
                    let gap = Gap {
                        from_index: self.tip.index,
                        from_offset: self.tip.offset,
                        to_index: tip.index,
                        to_offset: tip.offset,
                        from_pos: FilePos(stopped.pos),
                        to_pos: FilePos(to_pos),
                    };
                    self.lost(Damage { segment: number, gap }, Some(stopped.stop));
                    segment.gaps.push(gap);
                    self.tip = tip;
                    // What proves the loss proves that everything before it was synced.
                    self.doubt.clear();
                    match next {
                        None => pos = to_pos,
                        Some(later) => {
                            segment.sealed = true;
                            segment.tip = tip;
                            self.keep(file, segment).await?;
                            return Ok(later);
                        }
                    }
                }
            }
        }
    }

    /// Follows the row of frames from `pos` on.
    async fn walk(
        &mut self,
        file: &R::File,
        segment: &mut Segment<R::Map>,
        mut pos: u64,
        len: u64,
    ) -> io::Result<Stopped<R::Buf>> {
        let mut need = BLOCK_BYTES;
        let mut usual = SCAN_BYTES_FIRST;
        'windows: loop {
            let start = block_down(pos);
            // Whole blocks, also behind a frame larger than a window.
            let want = block_up((need as u64 + (pos - start)).max(usual as u64));
            usual = SCAN_BYTES.min(2 * usual);
            let want = want.min(block_up(len).saturating_sub(start));
            if want == 0 {
                let stop = Stop::NoFrame(FrameError::Truncated { need: HEADER_BYTES, have: 0 });
                return Ok(Stopped { pos, stop, window: None });
            }
            let window = file.read_at(start, usize::try_from(want).expect("fits memory")).await?;
            self.report.scanned_bytes += window.len() as u64;
            let ends = start + window.len() as u64 >= len || (window.len() as u64) < want;
            let stop = loop {
                let bytes = window.get((pos - start) as usize..).unwrap_or_default();
                if self.trust != Trust::Chain
                    && let Ok(header) = FrameHeader::decode(bytes)
                    && header.group_id == self.group
                {
                    if self.trust == Trust::Oldest {
                        segment.first = Mark { index: header.index, offset: header.base_offset };
                    }
                    self.tip = Tip::before(&header);
                }
                let step = match self.trust {
                    Trust::Chain if !self.rt.leaves_out(LeftOut::JudgeFrames) => recovery::step(&self.tip, bytes),
                    Trust::Chain | Trust::Oldest | Trust::AfterGap => recovery::adopt(&self.tip, bytes),
                };
                match step {
                    Step::Next(header) => {
                        self.trust = Trust::Chain;
                        self.note(segment, &header, pos);
                        let body = &bytes[HEADER_BYTES..header.frame_bytes()];
                        self.see(Sight::Frame { segment: segment.number, pos: FilePos(pos), header: &header, body });
                        pos += header.frame_bytes() as u64;
                        if self.halted {
                            break Stop::NoFrame(FrameError::Truncated { need: 0, have: 0 });
                        }
                    }
                    Step::More(more) if !ends => {
                        need = more;
                        continue 'windows;
                    }
                    // The file ends inside the frame. If its header is whole, that tells what is lost, and the search for
                    // what lies beyond must not take it for a frame to resume at.
                    Step::More(need) => {
                        let truncated = FrameError::Truncated { need, have: bytes.len() };
                        break FrameHeader::decode(bytes).map_or(Stop::NoFrame(truncated), Stop::TornBody);
                    }
                    Step::Stop(stop) => break stop,
                }
            };
            return Ok(Stopped { pos, stop, window: Some((start, window)) });
        }
    }

    fn note(&mut self, segment: &mut Segment<R::Map>, header: &FrameHeader, pos: u64) {
        self.doubt.note(header, pos);
        if header.kind == Kind::Data {
            self.report.scanned_frames += 1;
            segment.note_frame(header.base_offset, header.arrival_us, header.index, pos);
            if let Some(stamp) = header.producer {
                self.producers.note(stamp, header.base_offset, header.record_count, header.arrival_us);
            }
        } else if header.kind != Kind::Pad && segment.first_arrival.is_none() {
            segment.first_arrival = Some(header.arrival_us);
        }
        self.tip.advance(header);
    }

    fn lost(&mut self, damage: Damage, reason: Option<Stop>) {
        self.report.damage.push(damage);
        self.reasons.push(reason);
        // What the lost frames did to the table is lost with them.
        self.producers_known = false;
    }

    fn see(&mut self, sight: Sight<'_>) {
        if let How::Look { see, .. } = &mut self.how {
            self.halted |= see(sight).is_break();
        }
    }

    const fn reads_everything(&self) -> bool {
        matches!(self.how, How::Look { depth: Depth::Everything, .. })
    }

    /// The segment from `at` on that starts with what comes next. Those before it hold nothing: a segment that was prepared
    /// and then was too small for a flush stays empty until the next start.
    async fn continues_in(&self, at: usize) -> io::Result<Option<usize>> {
        for later in at..self.numbers.len() {
            let file = self.rt.open(&self.dir.join(names::segment(self.numbers[later])), Open::Read).await?;
            let mut need = 2 * BLOCK_BYTES;
            loop {
                let window = file.read_at(0, need).await?;
                match recovery::step(&self.tip, window.get(BLOCK_BYTES..).unwrap_or_default()) {
                    Step::Next(_) => return Ok(Some(later)),
                    Step::More(more) if window.len() == need => {
                        need = usize::try_from(block_up((BLOCK_BYTES + more) as u64)).expect("fits memory");
                    }
                    Step::More(_) | Step::Stop(_) => break,
                }
            }
        }
        Ok(None)
    }

    /// What lies beyond a stop, and where reading could resume.
    async fn look_beyond(
        &self,
        at: usize,
        file: &R::File,
        stopped: &Stopped<R::Buf>,
        len: u64,
    ) -> io::Result<(Beyond, Option<Resume>)> {
        // The header of a torn frame says where the next one starts: if damage is proven, only this frame is lost.
        let mut resume: Option<(Resume, Term)> = match &stopped.stop {
            Stop::TornBody(header) => {
                Some((Resume::Here(stopped.pos + header.frame_bytes() as u64, Tip::after(header)), header.term))
            }
            Stop::NoFrame(_) | Stop::Stranger(_) => None,
        };
        let end = len.min(stopped.pos + LOOK_BEYOND_BYTES);
        let own = self.frames_beyond(file, block_up(stopped.pos), end).await?;
        let mut found = Beyond::Nothing;
        if let Some((pos, header)) = own.first {
            found = Beyond::Unproven;
            resume.get_or_insert((Resume::Here(pos, Tip::before(&header)), header.term));
        }
        if own.proof {
            return Ok((Beyond::Proven, resume.map(|(resume, _)| resume)));
        }
        for later in at + 1..self.numbers.len() {
            let path = self.dir.join(names::segment(self.numbers[later]));
            let file = self.rt.open(&path, Open::Read).await?;
            let end = file.len().await?.min(FRAMES_AT + LOOK_BEYOND_BYTES);
            let sighting = self.frames_beyond(&file, FRAMES_AT, end).await?;
            let Some((pos, header)) = sighting.first else { continue };
            found = Beyond::Unproven;
            // What an older term left unfinished in this segment was cut off by the start that began the newer one: it is
            // no part of the row, however well it looks.
            if resume.as_ref().is_none_or(|(_, term)| *term < header.term) {
                let follows = self.tip.judge(&header).is_ok();
                let there = if pos == FRAMES_AT && !follows {
                    Resume::Later(later, Tip::before(&header))
                } else {
                    Resume::Inside(later)
                };
                resume = Some((there, header.term));
            }
            if sighting.proof {
                return Ok((Beyond::Proven, resume.map(|(resume, _)| resume)));
            }
        }
        Ok((found, resume.map(|(resume, _)| resume)))
    }

    /// The first frame that this log can have written at a block boundary from `start` to `end`, and whether one of them
    /// proves a loss.
    async fn frames_beyond(&self, file: &R::File, mut start: u64, end: u64) -> io::Result<Sighting> {
        let mut sighting = Sighting::default();
        let mut usual = SCAN_BYTES_FIRST;
        // Nearly all of what lies there was reserved and never written: that need not be read.
        while let Some(data) = file.data_from(start).await?
            && data < end
        {
            start = block_down(data).max(start);
            let want = block_up((end - start).min(usual as u64));
            usual = SCAN_BYTES.min(2 * usual);
            let window = file.read_at(start, usize::try_from(want).expect("fits memory")).await?;
            for (block, bytes) in window.chunks(BLOCK_BYTES).enumerate() {
                let Some(header) = recovery::beyond(&self.tip, bytes) else { continue };
                sighting.first.get_or_insert((start + (block * BLOCK_BYTES) as u64, header));
                if recovery::proves_loss(&self.tip, &header) {
                    sighting.proof = true;
                    return Ok(sighting);
                }
            }
            if window.is_empty() {
                break;
            }
            start += window.len() as u64;
        }
        Ok(sighting)
    }

    /// The first block. Damaged, it is replaced by what is known: frames prove themselves. Such a segment is not written
    /// to any more; it has no creation time.
    async fn header(&mut self, file: &R::File, number: SegmentNumber, len: u64) -> io::Result<SegmentHeader> {
        let block = file.read_at(0, BLOCK_BYTES).await?;
        let decoded = SegmentHeader::decode(&block);
        self.see(Sight::Segment { number, header: decoded, len });
        let error = match decoded {
            Ok(header) if header.group == self.group && header.number == number => return Ok(header),
            Ok(header) => format!("it is segment {} of group {}", header.number, header.group),
            Err(error) => error.to_string(),
        };
        if matches!(self.how, How::Open) {
            tracing::error!(group = %self.group, segment = number, error, "the first block of a segment is damaged");
        }
        Ok(SegmentHeader { group: self.group, number, created: WallUs(0), capacity: len })
    }

    /// The index of a segment, if it is intact, links to the tip, and its last entry is really in the segment.
    async fn usable_index(
        &self,
        number: SegmentNumber,
        file: &R::File,
        len: u64,
    ) -> io::Result<Option<(Summary, Vec<index::Entry>, Producers)>> {
        let Some(bytes) = whole_file::read(&self.rt, &self.dir.join(names::index(number))).await? else {
            return Ok(None);
        };
        let (summary, entries) = match index::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::warn!(group = %self.group, segment = number, %error, "an index is not usable and is rebuilt");
                return Ok(None);
            }
        };
        // A table that cannot be read must not be replaced by an older one: resends would be stored twice.
        let Ok(producers) = Producers::decode(&mut Reader::new(&summary.producers)) else { return Ok(None) };
        let own = summary.group == self.group && summary.number == number && summary.end_pos.0 <= block_up(len);
        let links = self.trust == Trust::Oldest
            || (summary.first_index == self.tip.index && summary.first_offset == self.tip.offset);
        let Some(last) = entries.last().filter(|_| own && links) else { return Ok(None) };
        let start = block_down(last.pos().0);
        let window = file.read_at(start, 2 * BLOCK_BYTES).await?;
        let there = window.get((last.pos().0 - start) as usize..).and_then(|bytes| FrameHeader::decode(bytes).ok());
        let matches = there.is_some_and(|header| {
            header.group_id == self.group && header.index == last.index() && header.base_offset == last.offset()
        });
        Ok(matches.then(|| (summary, entries.to_vec(), producers)))
    }

    /// Writes what is in doubt at the end of the log once more. The sync that follows makes it durable.
    async fn write_end_again(&mut self, file: &R::File, segment: &Segment<R::Map>) -> io::Result<()> {
        if !matches!(self.how, How::Open) || !segment.has_frames() || self.rt.leaves_out(LeftOut::WriteAgain) {
            return Ok(());
        }
        match self.doubt.end(self.tip.index) {
            Some(Doubtful::Frames(from)) => write_again(file, from, segment.end_pos).await,
            Some(Doubtful::Hint(from)) => {
                self.hint_in_doubt = Some(from).filter(|_| !segment.sealed);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Adds a segment that was scanned to those found, unless it holds nothing.
    async fn keep(&mut self, file: R::File, mut segment: Segment<R::Map>) -> io::Result<()> {
        if !segment.has_frames() {
            return Ok(());
        }
        self.proven_by_later = false;
        match self.how {
            How::Open => {
                // What a hint or a later segment covers was synced before that was written.
                if let Some(Doubtful::Frames(_)) = self.doubt.end(self.tip.index) {
                    file.sync().await?;
                }
                // With damage it is looked at again at each start: a restored file must not be masked by what an index says.
                if segment.sealed && segment.gaps.is_empty() && segment.first_arrival.is_some() {
                    self.save_index(&mut segment).await;
                }
            }
            How::Look { depth: Depth::Start, .. } => {}
            How::Look { depth: Depth::Everything, .. } => {
                self.tables.push(Table { bytes: encode_producers(&self.producers), known: self.producers_known });
                if !self.producers_known {
                    self.adopt_producers(&segment).await?;
                }
            }
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// Writes the index of a sealed segment that has none. It is derived data: if that fails, the next start scans again.
    async fn save_index(&self, segment: &mut Segment<R::Map>) {
        let SparseIndex::Memory(entries) = &segment.index else { return };
        let contents = index::encode(&segment.summary(encode_producers(&self.producers)), entries);
        match whole_file::replace(&self.rt, &self.dir, &names::index(segment.number), &contents).await {
            Ok(()) => {
                segment.indexed_pos = segment.end_pos;
                segment.index = SparseIndex::File;
            }
            Err(error) => {
                tracing::warn!(group = %self.group, segment = segment.number, %error, "could not save an index");
            }
        }
    }

    /// Takes the table of producers over from the segment's index, if that fits the segment in everything else.
    async fn adopt_producers(&mut self, segment: &Segment<R::Map>) -> io::Result<()> {
        let Some(bytes) = whole_file::read(&self.rt, &self.dir.join(names::index(segment.number))).await? else {
            return Ok(());
        };
        let Ok((summary, _)) = index::decode(&bytes) else { return Ok(()) };
        let same = Summary { gaps: segment.gaps.clone(), complete: true, ..summary.clone() }
            == Summary { complete: true, ..segment.summary(summary.producers.clone()) };
        if same
            && summary.complete
            && let Ok(producers) = Producers::decode(&mut Reader::new(&summary.producers))
        {
            self.producers = producers;
            self.producers_known = true;
        }
        Ok(())
    }

    /// Removes segments without frames of this log: prepared and never used, or left behind by a cut.
    async fn tidy_end(&mut self) -> io::Result<()> {
        let unused = self.unused();
        if unused.is_empty() || !self.report.damage.is_empty() {
            return Ok(());
        }
        for number in unused {
            self.rt.remove(&self.dir.join(names::segment(number))).await?;
        }
        self.rt.sync_dir(&self.dir).await
    }
}

/// A loss from the tip on, nobody knows of how much.
const fn open_ended(tip: &Tip, pos: FilePos) -> Gap {
    Gap {
        from_index: tip.index,
        from_offset: tip.offset,
        to_index: tip.index,
        to_offset: tip.offset,
        from_pos: pos,
        to_pos: FilePos(0),
    }
}
