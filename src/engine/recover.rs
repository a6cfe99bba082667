//! Recovery: from the files of a log to a log that can go on. Reads; every verdict is `log::recovery`'s.
//!
//! Operation:
//! 1. Remove temporary files. List segments and their indexes.
//! 2. Take over each segment that a complete, linking index describes. Scan the others from where their index ends: each
//!    frame must continue the tip.
//! 3. Where the row of frames stops, try the start of the next segment: rolling over leaves exactly this picture.
//! 4. If that is no continuation either, look beyond: end, cut or damage (see the table in `log::recovery`).
//! 5. Sync what was scanned, so that nothing is served that a power failure could still take back.
//!
//! The files of a log are changed only by removing leftovers of preparations: 1. above, and segments behind the end that
//! hold no frame of this log.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use thiserror::Error;

use crate::codec::{DecodeError, Reader, Write};
use crate::engine::env::Env;
use crate::engine::log::Found;
use crate::engine::segments::{Segment, SparseIndex, summary_tip};
use crate::engine::whole_file;
use crate::format::frame::{FrameHeader, Kind};
use crate::format::index::{self, Gap, Summary};
use crate::format::names::{self, SegmentNumber};
use crate::format::segment::{FRAMES_AT, SegmentHeader};
use crate::format::{block_down, block_up, sealed};
use crate::limits::{BLOCK_BYTES, SHARD_UNSYNCED_BYTES_MAX};
use crate::log::marks::Mark;
use crate::log::recovery::{self, Beyond, Step, Stop, Verdict};
use crate::log::tip::Tip;
use crate::runtime::{File, Open, Runtime};
use crate::shard::producers::Producers;
use crate::types::{FilePos, GroupId, WallUs};

/// Bytes per read while scanning.
const SCAN_BYTES: usize = 1 << 20;

/// How far beyond a stop is looked for frames: whatever can have been in flight at once lies within.
const LOOK_BEYOND_BYTES: u64 = SHARD_UNSYNCED_BYTES_MAX as u64;

/// What recovery did, for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments found.
    pub segments: usize,
    /// Bytes that had to be scanned.
    pub scanned_bytes: u64,
    /// Data frames seen while scanning.
    pub scanned_frames: u64,
    /// A write that never finished was left behind.
    pub cut: bool,
    /// Losses found that the operator has not accepted.
    pub damage: Vec<Damage>,
}

/// One loss, with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment in which it starts.
    pub segment: SegmentNumber,
    /// What is lost.
    pub gap: Gap,
}

/// Why a log cannot be opened at all.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The directory does not exist.
    #[error("the directory {0} is missing")]
    Missing(PathBuf),
    /// The machine said no.
    #[error("cannot read the log in {dir}: {error}")]
    Io {
        /// The log's directory.
        dir: PathBuf,
        /// What came of it.
        error: io::Error,
    },
}

/// Opens the log in `dir`.
///
/// When it resolves, everything found is durable. Dropping it leaves the files as they were, or with fewer leftovers.
pub async fn recover<R: Runtime>(
    env: &Rc<Env<R>>,
    group: GroupId,
    dir: &Path,
) -> Result<(Found<R>, Report), RecoverError> {
    let io = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            RecoverError::Missing(dir.to_path_buf())
        } else {
            RecoverError::Io { dir: dir.to_path_buf(), error }
        }
    };
    let names = env.rt.list(dir).await.map_err(io)?;
    let io = |error| RecoverError::Io { dir: dir.to_path_buf(), error };
    for name in names.iter().filter(|name| names::is_temporary(name)) {
        env.rt.remove(&dir.join(name)).await.map_err(io)?;
    }
    let mut numbers: Vec<_> = names.iter().filter_map(|name| names::parse_segment(name)).collect();
    numbers.sort_unstable();
    let mut scan = Scan {
        env: Rc::clone(env),
        dir: dir.to_path_buf(),
        group,
        numbers,
        tip: Tip::genesis(group),
        trust: Trust::Chain,
        segments: VecDeque::new(),
        producers: Producers::new(),
        report: Report::default(),
    };
    scan.report.segments = scan.numbers.len();
    scan.run().await.map_err(io)?;
    let accepted = read_losses(&env.rt, dir).await.map_err(io)?;
    scan.report.damage.retain(|damage| !accepted.contains(damage));
    let damage = scan.report.damage.iter().map(|damage| damage.gap).collect();
    let next_number = scan.numbers.last().map_or(0, |last| last + 1);
    let found = Found { segments: scan.segments, next_number, tip: scan.tip, producers: scan.producers, damage };
    Ok((found, scan.report))
}

struct Scan<R: Runtime> {
    env: Rc<Env<R>>,
    dir: PathBuf,
    group: GroupId,
    numbers: Vec<SegmentNumber>,
    tip: Tip,
    trust: Trust,
    segments: VecDeque<Segment<R::Map>>,
    producers: Producers,
    report: Report,
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
struct Stopped {
    pos: u64,
    stop: Stop,
}

/// Where the row of frames goes on.
enum Resume {
    /// Here, in the same segment.
    Here(u64, Tip),
    /// In a later segment, counted in `numbers`.
    Later(usize, Tip),
}

impl<R: Runtime> Scan<R> {
    async fn run(&mut self) -> io::Result<()> {
        if self.numbers.first().is_some_and(|first| *first > 0) {
            self.trust = Trust::Oldest;
        }
        let mut at = 0;
        while at < self.numbers.len() {
            at = self.segment(at).await?;
        }
        self.tidy_end().await
    }

    /// Takes in segment `at` (counted in `numbers`); gives the one to go on with.
    async fn segment(&mut self, at: usize) -> io::Result<usize> {
        let number = self.numbers[at];
        let file = self.env.rt.open(&self.dir.join(names::segment(number)), Open::Write).await?;
        let len = file.len().await?;
        let header = self.header(&file, number, len).await?;
        let mut segment = Segment::empty(number, header.capacity, self.tip, header.created);
        let mut pos = FRAMES_AT;
        if let Some((summary, entries)) = self.usable_index(number, &file, len).await? {
            segment = Segment::from_summary(&summary, header.capacity);
            self.tip = summary_tip(&summary);
            self.trust = Trust::Chain;
            if let Ok(producers) = Producers::decode(&mut Reader::new(&summary.producers)) {
                self.producers = producers;
            }
            for gap in &summary.gaps {
                self.report.damage.push(Damage { segment: number, gap: *gap });
            }
            if summary.complete {
                self.segments.push_back(segment);
                return Ok(at + 1);
            }
            segment.index = SparseIndex::Memory(entries);
            pos = summary.end_pos.0;
        }
        loop {
            let stopped = self.walk(&file, &mut segment, pos, len).await?;
            segment.end_pos = stopped.pos;
            segment.tip = self.tip;
            if let Some(tip) = self.continues_in(at + 1).await? {
                debug_assert_eq!(tip, self.tip);
                segment.sealed = true;
                self.sync_and_keep(file, segment).await?;
                return Ok(at + 1);
            }
            let (beyond, resume) = self.look_beyond(at, &file, &stopped, len).await?;
            match recovery::verdict(&stopped.stop, beyond) {
                Verdict::End => {
                    // Appending goes on behind the last block; a scan can only have ended inside one after a cut.
                    segment.sealed = stopped.pos != block_up(stopped.pos) || header.created == WallUs(0);
                    self.sync_and_keep(file, segment).await?;
                    return Ok(self.numbers.len());
                }
                Verdict::Cut => {
                    tracing::warn!(
                        group = %self.group, segment = number, position = stopped.pos,
                        "a write that never finished was left behind"
                    );
                    self.report.cut = true;
                    segment.sealed = true;
                    self.sync_and_keep(file, segment).await?;
                    return Ok(self.numbers.len());
                }
                Verdict::Damage => {
                    let resume = resume.expect("damage is proven by a frame to resume at");
                    // An intact header says what follows it, even if it was taken on trust itself.
                    self.trust = match (&stopped.stop, &resume) {
                        (Stop::TornBody(_), Resume::Here(..)) => Trust::Chain,
                        _ => Trust::AfterGap,
                    };
                    let (to_pos, tip) = match &resume {
                        Resume::Here(pos, tip) => (*pos, *tip),
                        Resume::Later(_, tip) => (0, *tip),
                    };
                    let gap = Gap {
                        from_index: self.tip.index,
                        from_offset: self.tip.offset,
                        to_index: tip.index,
                        to_offset: tip.offset,
                        from_pos: FilePos(stopped.pos),
                        to_pos: FilePos(to_pos),
                    };
                    self.report.damage.push(Damage { segment: number, gap });
                    segment.gaps.push(gap);
                    self.tip = tip;
                    match resume {
                        Resume::Here(resume_at, _) => pos = resume_at,
                        Resume::Later(next, _) => {
                            segment.sealed = true;
                            segment.tip = tip;
                            self.sync_and_keep(file, segment).await?;
                            return Ok(next);
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
    ) -> io::Result<Stopped> {
        let mut need = BLOCK_BYTES;
        'windows: loop {
            let start = block_down(pos);
            let want = block_up((need as u64 + (pos - start)).max(SCAN_BYTES as u64));
            let want = want.min(block_up(len).saturating_sub(start));
            let window = file.read_at(start, usize::try_from(want).expect("fits memory")).await?;
            self.report.scanned_bytes += window.len() as u64;
            let ends = start + window.len() as u64 >= len;
            loop {
                let bytes = window.get((pos - start) as usize..).unwrap_or_default();
                if self.trust != Trust::Chain
                    && let Ok(header) = FrameHeader::decode(bytes)
                    && header.group_id == self.group
                {
                    if self.trust == Trust::Oldest {
                        segment.first = Mark { index: header.index, offset: header.base_offset };
                    }
                    self.tip = before(&header);
                }
                let step = match self.trust {
                    Trust::Chain => recovery::step(&self.tip, bytes),
                    Trust::Oldest | Trust::AfterGap => recovery::adopt(&self.tip, bytes),
                };
                match step {
                    Step::Next(header) => {
                        self.trust = Trust::Chain;
                        self.note(segment, &header, pos);
                        pos += header.frame_bytes() as u64;
                    }
                    Step::More(more) if !ends => {
                        need = more;
                        continue 'windows;
                    }
                    Step::More(more) => {
                        let error = crate::format::frame::FrameError::Truncated { need: more, have: bytes.len() };
                        return Ok(Stopped { pos, stop: Stop::NoFrame(error) });
                    }
                    Step::Stop(stop) => return Ok(Stopped { pos, stop }),
                }
            }
        }
    }

    fn note(&mut self, segment: &mut Segment<R::Map>, header: &FrameHeader, pos: u64) {
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

    /// Whether segment `at` starts with the frame that comes next.
    async fn continues_in(&self, at: usize) -> io::Result<Option<Tip>> {
        let Some(number) = self.numbers.get(at) else { return Ok(None) };
        let file = self.env.rt.open(&self.dir.join(names::segment(*number)), Open::Read).await?;
        let (mut pos, mut need) = (FRAMES_AT, BLOCK_BYTES);
        loop {
            let window = file.read_at(pos, need).await?;
            match recovery::step(&self.tip, &window) {
                // A pad alone continues nothing: it is no frame of the row. But a log that went quiet when its segment was
                // full says so at the start of the next one, and frames follow.
                Step::Next(header) if header.kind == Kind::Pad => {
                    pos = block_up(pos + header.frame_bytes() as u64);
                    need = BLOCK_BYTES;
                }
                Step::Next(_) => return Ok(Some(self.tip)),
                Step::More(more) if window.len() == need => {
                    need = usize::try_from(block_up(more as u64)).expect("fits memory");
                }
                Step::More(_) | Step::Stop(_) => return Ok(None),
            }
        }
    }

    /// What lies beyond a stop, and where reading could resume.
    async fn look_beyond(
        &self,
        at: usize,
        file: &R::File,
        stopped: &Stopped,
        len: u64,
    ) -> io::Result<(Beyond, Option<Resume>)> {
        let mut found = Beyond::Nothing;
        let mut resume = None;
        if let Stop::TornBody(header) = &stopped.stop {
            // The header says where the next frame starts: if damage is proven, only this frame is lost.
            resume = Some(Resume::Here(stopped.pos + header.frame_bytes() as u64, Tip::after(header)));
        }
        let first = block_up(stopped.pos);
        let end = len.min(stopped.pos + LOOK_BEYOND_BYTES);
        let mut start = first;
        while start < end {
            let want = (end - start).min(SCAN_BYTES as u64);
            let window = file.read_at(start, usize::try_from(block_up(want)).expect("fits memory")).await?;
            for (block, bytes) in window.chunks(BLOCK_BYTES).enumerate() {
                let Some(header) = recovery::beyond(&self.tip, bytes) else { continue };
                let pos = start + (block * BLOCK_BYTES) as u64;
                resume.get_or_insert(Resume::Here(pos, before(&header)));
                if recovery::proves_loss(&self.tip, &header) {
                    return Ok((Beyond::Proven, resume));
                }
                found = Beyond::Unproven;
            }
            if window.is_empty() {
                break;
            }
            start += window.len() as u64;
        }
        for later in at + 1..self.numbers.len() {
            let path = self.dir.join(names::segment(self.numbers[later]));
            let file = self.env.rt.open(&path, Open::Read).await?;
            let window = file.read_at(0, 2 * BLOCK_BYTES).await?;
            let Some(header) = recovery::beyond(&self.tip, window.get(BLOCK_BYTES..).unwrap_or_default()) else {
                continue;
            };
            resume.get_or_insert(Resume::Later(later, before(&header)));
            if recovery::proves_loss(&self.tip, &header) {
                return Ok((Beyond::Proven, resume));
            }
            found = Beyond::Unproven;
        }
        Ok((found, resume))
    }

    /// The first block. Damaged, it is replaced by what is known: frames prove themselves. Such a segment is not written
    /// to any more; it has no creation time.
    async fn header(&self, file: &R::File, number: SegmentNumber, len: u64) -> io::Result<SegmentHeader> {
        let block = file.read_at(0, BLOCK_BYTES).await?;
        let error = match SegmentHeader::decode(&block) {
            Ok(header) if header.group == self.group && header.number == number => return Ok(header),
            Ok(header) => format!("it is segment {} of group {}", header.number, header.group),
            Err(error) => error.to_string(),
        };
        tracing::error!(group = %self.group, segment = number, error, "the first block of a segment is damaged");
        Ok(SegmentHeader { group: self.group, number, created: WallUs(0), capacity: len })
    }

    /// The index of a segment, if it is intact, links to the tip, and its last entry is really in the segment.
    async fn usable_index(
        &self,
        number: SegmentNumber,
        file: &R::File,
        len: u64,
    ) -> io::Result<Option<(Summary, Vec<index::Entry>)>> {
        let Some(bytes) = whole_file::read(&self.env.rt, &self.dir.join(names::index(number))).await? else {
            return Ok(None);
        };
        let (summary, entries) = match index::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::warn!(group = %self.group, segment = number, %error, "an index is not usable and is rebuilt");
                return Ok(None);
            }
        };
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
        Ok(matches.then(|| (summary, entries.to_vec())))
    }

    async fn sync_and_keep(&mut self, file: R::File, segment: Segment<R::Map>) -> io::Result<()> {
        if segment.has_frames() {
            file.sync().await?;
            self.segments.push_back(segment);
        }
        Ok(())
    }

    /// Removes segments without frames of this log: prepared and never used, or left behind by a cut.
    async fn tidy_end(&mut self) -> io::Result<()> {
        let kept: Vec<_> = self.segments.iter().map(|segment| segment.number).collect();
        let mut removed = false;
        for number in self.numbers.iter().filter(|number| !kept.contains(number)) {
            if self.report.damage.is_empty() {
                self.env.rt.remove(&self.dir.join(names::segment(*number))).await?;
                removed = true;
            }
        }
        if removed {
            self.env.rt.sync_dir(&self.dir).await?;
        }
        // Only the last segment may be written to.
        let last = self.segments.len().saturating_sub(1);
        for (at, segment) in self.segments.iter_mut().enumerate() {
            segment.sealed |= at < last;
        }
        Ok(())
    }
}

/// The tip right before a frame that is taken on trust, as far as the frame knows it. The chain is that after the frame.
fn before(header: &FrameHeader) -> Tip {
    Tip {
        group: header.group_id,
        term: header.term,
        index: header.index,
        offset: header.base_offset,
        chain: header.chain,
        arrival: header.arrival_us,
        log_bytes: header.log_bytes,
    }
}

const LOSSES_MAGIC: u32 = u32::from_le_bytes(*b"MSL1");

/// Losses that the operator has accepted (`millstream log repair`): the log is used as it is.
pub async fn read_losses<R: Runtime>(rt: &R, dir: &Path) -> io::Result<Vec<Damage>> {
    let Some(file) = whole_file::read(rt, &dir.join(names::LOSSES)).await? else { return Ok(Vec::new()) };
    let invalid =
        |error: String| io::Error::new(io::ErrorKind::InvalidData, format!("file {}: {error}", names::LOSSES));
    let (_, payload) = sealed::open(LOSSES_MAGIC, 1, &file).map_err(|error| invalid(error.to_string()))?;
    decode_losses(payload).map_err(|error| invalid(error.to_string()))
}

fn decode_losses(payload: &[u8]) -> Result<Vec<Damage>, DecodeError> {
    let mut r = Reader::new(payload);
    let count = r.count32(56, 65_536, "losses")?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        out.push(Damage {
            segment: r.u64("segment")?,
            gap: Gap {
                from_index: crate::types::FrameIndex(r.u64("from_index")?),
                from_offset: crate::types::Offset(r.u64("from_offset")?),
                to_index: crate::types::FrameIndex(r.u64("to_index")?),
                to_offset: crate::types::Offset(r.u64("to_offset")?),
                from_pos: FilePos(r.u64("from_pos")?),
                to_pos: FilePos(r.u64("to_pos")?),
            },
        });
    }
    r.end()?;
    Ok(out)
}

/// Accepts losses: from the next start on, the log is used as it is. Changes no segment.
pub async fn accept_losses<R: Runtime>(rt: &R, dir: &Path, losses: &[Damage]) -> io::Result<()> {
    let mut all = read_losses(rt, dir).await?;
    all.extend(losses.iter().filter(|loss| !all.contains(loss)).copied().collect::<Vec<_>>());
    let mut payload = Vec::new();
    payload.put_u32(u32::try_from(all.len()).expect("losses are bounded"));
    for Damage { segment, gap } in &all {
        payload.put_u64(*segment);
        payload.put_u64(gap.from_index.0);
        payload.put_u64(gap.from_offset.0);
        payload.put_u64(gap.to_index.0);
        payload.put_u64(gap.to_offset.0);
        payload.put_u64(gap.from_pos.0);
        payload.put_u64(gap.to_pos.0);
    }
    whole_file::replace(rt, dir, names::LOSSES, &sealed::seal(LOSSES_MAGIC, 1, &payload)).await
}
