//! Recovery: from the files of a log to a log that can go on. Reads; every verdict is `log::recovery`'s.
//!
//! Operation:
//! 1. Remove temporary files. List segments and their indexes.
//! 2. Take over each segment that a complete, linking index describes. Scan the others from where their index ends: each
//!    frame must continue the tip.
//! 3. Where the row of frames stops, look for a later segment that goes on: rolling over leaves exactly this picture, now
//!    and then with a segment between that was prepared and never used.
//! 4. If there is none, look beyond: end, cut or damage (see the table in `log::recovery`). What the frames alone do not tell,
//!    damaged padding, files cut short and a newest segment that is gone, is in `scan::missing`.
//! 5. Write once more, byte for byte, what nothing proves to have been synced (see `again`), and sync what was scanned, so
//!    that nothing is served that a power failure could still take back. Save the indexes of sealed segments that had none,
//!    so that the next start does not scan them again.
//!
//! What can be read of a log stays as it is. Leftovers of preparations are removed (1. above, and segments behind the
//! end that hold no frame of this log), and indexes are written, which are derived data.
//!
//! The same scan serves the operator's tools, which change nothing: as a rehearsal of a start ([`Depth::Start`]), and
//! frame by frame without regard to indexes ([`Depth::Everything`]).

mod again;
mod losses;
mod scan;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use thiserror::Error;

pub(in crate::engine) use self::again::write_again;
pub use self::losses::{accept_losses, decode_losses, encode_losses, read_losses};
use self::scan::{How, Scan};
use crate::engine::env::Env;
use crate::engine::log::Found;
use crate::engine::segments::Segment;
use crate::format::frame::FrameHeader;
use crate::format::index::Gap;
use crate::format::names::{self, SegmentNumber};
use crate::format::segment::{SegmentError, SegmentHeader};
use crate::log::recovery::{Stop, Verdict};
use crate::log::tip::Tip;
use crate::runtime::Runtime;
use crate::shard::producers::Producers;
use crate::types::{FilePos, GroupId, Offset};

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

impl Damage {
    /// Whether all frames lost here are among those of one of `others`. Where they are said to lie does not matter: that
    /// depends on which indexes there are. A loss of nobody knows how much is only among the very same one.
    #[must_use]
    pub fn is_among(&self, others: &[Self]) -> bool {
        let covers = |other: &Self| {
            let (lost, by) = (&self.gap, &other.gap);
            if lost.is_open_ended() {
                return by.is_open_ended() && by.from_index == lost.from_index;
            }
            by.from_index <= lost.from_index && lost.to_index <= by.to_index
        };
        others.iter().any(covers)
    }

    /// Whether everything lost here lies before `offset`.
    #[must_use]
    pub const fn is_covered(&self, offset: Offset) -> bool {
        !self.gap.is_open_ended() && self.gap.to_offset.0 <= offset.0
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, gap } = self;
        if gap.is_open_ended() {
            write!(f, "offsets from {} on are lost, nobody knows how many", gap.from_offset)?;
        } else {
            write!(f, "offsets {} to {} are lost", gap.from_offset, gap.to_offset)?;
        }
        write!(f, " ({}, position {})", names::segment(*segment), gap.from_pos)
    }
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
/// When it resolves, everything found is durable. Dropping it leaves the files as they were, or with fewer leftovers and
/// more indexes.
pub async fn recover<R: Runtime>(
    env: &Rc<Env<R>>,
    group: GroupId,
    dir: &Path,
) -> Result<(Found<R>, Report), RecoverError> {
    let listed = list(&env.rt, dir).await?;
    let io = |error| RecoverError::Io { dir: dir.to_path_buf(), error };
    for name in &listed.temporary {
        match env.rt.remove(&dir.join(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    // Beyond every index, too: one that has lost its segment must never be taken for that of a new one.
    let last = listed.segments.last().max(listed.indexes.last());
    let next_number = last.map_or(0, |last| last + 1);
    let mut scan = Scan::new(env.rt.clone(), group, dir, &listed, How::Open);
    scan.run().await.map_err(io)?;
    let accepted = read_losses(&env.rt, dir).await.map_err(io)?;
    scan.report.damage.retain(|damage| !damage.is_among(&accepted));
    let damage = scan.report.damage.iter().map(|damage| damage.gap).collect();
    let found = Found {
        segments: scan.segments,
        next_number,
        tip: scan.tip,
        producers: scan.producers,
        damage,
        hint_in_doubt: scan.hint_in_doubt,
    };
    Ok((found, scan.report))
}

/// How closely a log is looked at without changing anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// As a start would: a complete index spares a segment the scan.
    Start,
    /// Every frame of every segment.
    Everything,
}

/// What is seen on the way through a log.
#[derive(Debug)]
pub enum Sight<'a> {
    /// A segment begins.
    Segment {
        /// Its number.
        number: SegmentNumber,
        /// What its first block says.
        header: Result<SegmentHeader, SegmentError>,
        /// Length of the file.
        len: u64,
    },
    /// The next frame of the row, or a pad, intact.
    Frame {
        /// In which segment.
        segment: SegmentNumber,
        /// Where in it.
        pos: FilePos,
        /// Its header.
        header: &'a FrameHeader,
        /// Its body, checksum verified.
        body: &'a [u8],
    },
    /// Padding that is damaged. The next flush follows it all the same, so nothing is lost.
    Padding {
        /// In which segment.
        segment: SegmentNumber,
        /// Where in it.
        pos: FilePos,
    },
    /// The row stops, for an end, a cut or damage. Not shown where it simply goes on in another segment.
    Stop {
        /// In which segment.
        segment: SegmentNumber,
        /// Where in it.
        pos: FilePos,
        /// Why.
        stop: &'a Stop,
        /// What it means.
        verdict: Verdict,
    },
}

/// What the walk through a log should do after a sight.
pub type Flow = std::ops::ControlFlow<()>;

/// A log as it lies on disk, unchanged.
pub struct Examined<M> {
    /// Segments with frames, in order.
    pub segments: Vec<ExaminedSegment<M>>,
    /// The tip after the last frame.
    pub tip: Tip,
    /// What a recovery would report, accepted losses included.
    pub report: Report,
    /// Why the row stopped at each loss, as far as it was seen; `None` where only an index tells of it.
    pub reasons: Vec<Option<Stop>>,
    /// Segments without frames of this log: prepared and not used, or only unfinished writes in them. A start removes them
    /// unless there is damage.
    pub unused: Vec<SegmentNumber>,
    /// Files that were being written when the node stopped. A start removes them.
    pub temporary: Vec<String>,
    /// Files that are no part of a log.
    pub strangers: Vec<String>,
    /// Index files without a segment.
    pub stray_indexes: Vec<SegmentNumber>,
}

/// One segment of an examined log.
pub struct ExaminedSegment<M> {
    /// What was found in it.
    pub segment: Segment<M>,
    /// The encoded table of idempotent producers at its end. Empty unless everything was read.
    pub producers: Vec<u8>,
    /// Whether that is the table the log had: the frames that made it are all there, or an index told of it.
    pub producers_known: bool,
}

/// Reads the log in `dir` and changes nothing. `see` is shown every sight on the way and may end it early; what is
/// returned then covers what was seen.
///
/// `from`, if given, is a segment to begin with: its first frame is taken on trust.
pub async fn examine<R: Runtime>(
    rt: &R,
    group: GroupId,
    dir: &Path,
    depth: Depth,
    from: Option<SegmentNumber>,
    see: &mut dyn FnMut(Sight<'_>) -> Flow,
) -> Result<Examined<R::Map>, RecoverError> {
    let mut listed = list(rt, dir).await?;
    let stray_indexes = listed.stray_indexes();
    let all = listed.segments.len();
    listed.segments.retain(|number| from.is_none_or(|from| *number >= from));
    let mut scan = Scan::new(rt.clone(), group, dir, &listed, How::Look { depth, see });
    scan.begins_inside = listed.segments.len() < all;
    scan.run().await.map_err(|error| RecoverError::Io { dir: dir.to_path_buf(), error })?;
    let unused = scan.unused();
    let mut tables = scan.tables.into_iter();
    let segments = scan.segments.into_iter().map(|segment| match tables.next() {
        Some(scan::Table { bytes, known }) => ExaminedSegment { segment, producers: bytes, producers_known: known },
        None => ExaminedSegment { segment, producers: Vec::new(), producers_known: false },
    });
    Ok(Examined {
        segments: segments.collect(),
        tip: scan.tip,
        report: scan.report,
        reasons: scan.reasons,
        unused,
        temporary: listed.temporary,
        strangers: listed.strangers,
        stray_indexes,
    })
}

/// The files of a log, by kind.
#[derive(Default)]
struct Listed {
    segments: Vec<SegmentNumber>,
    indexes: Vec<SegmentNumber>,
    temporary: Vec<String>,
    strangers: Vec<String>,
}

impl Listed {
    /// Indexes that have no segment.
    fn stray_indexes(&self) -> Vec<SegmentNumber> {
        self.indexes.iter().filter(|number| !self.segments.contains(number)).copied().collect()
    }
}

async fn list<R: Runtime>(rt: &R, dir: &Path) -> Result<Listed, RecoverError> {
    let names = rt.list(dir).await.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            RecoverError::Missing(dir.to_path_buf())
        } else {
            RecoverError::Io { dir: dir.to_path_buf(), error }
        }
    })?;
    let mut listed = Listed::default();
    for name in names {
        if let Some(number) = names::parse_segment(&name) {
            listed.segments.push(number);
        } else if let Some(number) = names::parse_index(&name) {
            listed.indexes.push(number);
        } else if names::is_temporary(&name) {
            listed.temporary.push(name);
        } else if name != names::LOSSES && names::parse_snapshot(&name).is_none() && !names::is_set_aside(&name) {
            listed.strangers.push(name);
        }
    }
    listed.segments.sort_unstable();
    listed.indexes.sort_unstable();
    listed.temporary.sort_unstable();
    listed.strangers.sort_unstable();
    Ok(listed)
}

/// The encoded table of producers.
pub(super) fn encode_producers(producers: &Producers) -> Vec<u8> {
    let mut out = Vec::with_capacity(producers.encoded_bytes());
    producers.encode(&mut out);
    out
}

/// Segments found, for [`Found`].
type Segments<M> = VecDeque<Segment<M>>;

#[cfg(all(test, feature = "sim"))]
mod tests;
