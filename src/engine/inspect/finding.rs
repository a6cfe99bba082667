//! What a verification finds, each with its place and its weight.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::catalog::CatalogError;
use crate::codec::DecodeError;
use crate::engine::recover::Damage;
use crate::format::frame::FrameHeader;
use crate::format::index::{Gap, IndexError};
use crate::format::names::SegmentNumber;
use crate::format::node::NodeFileError;
use crate::format::record::RecordError;
use crate::log::recovery::Stop;
use crate::types::{FilePos, GroupId, Offset, ShardNumber};

/// A shard as its stream knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardName {
    /// The stream's name.
    pub stream: String,
    /// The shard's number in it.
    pub number: ShardNumber,
}

impl fmt::Display for ShardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.number)
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong with what was acknowledged, and a start puts it in order by itself.
    Note,
    /// Nothing is lost, but somebody should look at it.
    Warning,
    /// Something stored is damaged or missing.
    Loss,
    /// The node, or one shard, does not open.
    Fatal,
}

/// One finding.
#[derive(Debug)]
pub struct Finding {
    /// The log it is about, if it is about one.
    pub group: Option<GroupId>,
    /// The shard, if the catalogue knows one of this group.
    pub shard: Option<ShardName>,
    /// The file or directory.
    pub path: PathBuf,
    /// What was found.
    pub what: What,
}

/// What was found.
#[derive(Debug, Error)]
pub enum What {
    /// No node file.
    #[error("the node file is missing{}", if *other { "; its copy serves" } else { ": this is not a whole data directory" })]
    NodeFileMissing {
        /// The other copy can be read.
        other: bool,
    },
    /// A node file that cannot be read.
    #[error("the node file is damaged: {error}{}", if *other { "; its copy serves, and the next start sets this one aside" } else { "" })]
    NodeFileDamaged {
        /// What is wrong.
        error: NodeFileError,
        /// The other copy can be read.
        other: bool,
    },
    /// Taken out of use by a start or a repair.
    #[error("was taken out of use because it is damaged or belongs to nothing; nobody reads it any more")]
    SetAside,
    /// A loss in the catalogue's log that loses nothing.
    #[error("{0}, but a snapshot covers these commands: nothing is missing")]
    Covered(Damage),
    /// A loss in the catalogue's log.
    #[error("{0}, and no snapshot covers these commands: the catalogue does not open")]
    Uncovered(Damage),
    /// A repair of the catalogue was cut off.
    #[error("a repair of the catalogue was cut off; the catalogue does not open until another one finishes it")]
    HalfRepaired,
    /// A shard's directory that shows that commands of the catalogue are missing.
    #[error("the catalogue has never made a shard of this group: it has lost commands, and does not open")]
    ShardForgotten,
    /// A file or directory of another kind.
    #[error("this is no part of a data directory")]
    Stranger,
    /// Was being written when the node stopped.
    #[error("was being written when the node stopped; the next start removes it")]
    Temporary,
    /// The catalogue has a shard whose directory is not there.
    #[error("the directory of a shard of the catalogue is missing")]
    ShardMissing,
    /// A shard's directory that the catalogue does not know.
    #[error("the catalogue knows no shard of this group")]
    ShardUnknown,
    /// The log cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The first block of a segment is damaged.
    #[error("the first block of the segment is damaged: {0}; its frames are judged by themselves")]
    SegmentHeader(String),
    /// Frames are lost.
    #[error("{}", lost(gap, reason.as_ref(), *accepted, *at_start))]
    Lost {
        /// The segment in which the loss starts.
        segment: SegmentNumber,
        /// What is lost.
        gap: Gap,
        /// What stands there.
        reason: Option<Stop>,
        /// The operator has accepted it.
        accepted: bool,
        /// A start notices it and quarantines the shard. If not, the segment's index spares it the look, and readers of
        /// these offsets are told.
        at_start: bool,
    },
    /// An index tells of a loss that is not there.
    #[error(
        "the index tells of a loss of offsets {} to {} that the segment does not have; `rebuild-index` puts it right",
        gap.from_offset,
        gap.to_offset
    )]
    LossHealed {
        /// The loss.
        gap: Gap,
    },
    /// Padding that is damaged.
    #[error("the padding at position {pos} is damaged; it holds nothing, and the log goes on behind it")]
    Padding {
        /// Where it starts.
        pos: FilePos,
    },
    /// A write that never finished.
    #[error("a write that never finished lies at position {pos}; it was never acknowledged, a start leaves it behind")]
    Unfinished {
        /// Where it starts.
        pos: FilePos,
    },
    /// A body whose checksum is right does not hold the records promised.
    #[error("the frame at position {pos} (offsets {} to {}) does not hold the records it promises: {error}", header.base_offset, header.end_offset())]
    Records {
        /// Where the frame is.
        pos: FilePos,
        /// Its header.
        header: Box<FrameHeader>,
        /// What is wrong.
        error: RecordError,
    },
    /// A sealed segment without an index.
    #[error("the sealed segment has no index; the next start scans the segment and writes it")]
    IndexMissing,
    /// An index that cannot be read.
    #[error("the index is damaged and not used: {0}; the next start scans the segment")]
    IndexDamaged(IndexError),
    /// An index that does not fit its segment.
    #[error("the index does not fit its segment ({0}); `rebuild-index` puts it right")]
    IndexWrong(&'static str),
    /// An index without a segment.
    #[error("there is no segment to this index")]
    IndexStray,
    /// A segment without frames of its log.
    #[error("the segment holds no frame of this log: prepared and not used, or cut off; the next start removes it")]
    Unused,
    /// The list of accepted losses cannot be read.
    #[error("the list of accepted losses is damaged: {0}; the log does not open until a repair sets it aside")]
    LossesDamaged(String),
    /// A snapshot of the catalogue cannot be read.
    #[error("the snapshot is damaged: {0}; an older one is used")]
    Snapshot(DecodeError),
    /// A snapshot of more than the log holds.
    #[error("the snapshot covers commands up to offset {next}, the log ends at {end}")]
    SnapshotAhead {
        /// The offset after the last command in the snapshot.
        next: Offset,
        /// The end of the log.
        end: Offset,
    },
    /// Commands are missing between the snapshot and the log.
    #[error("the commands from offset {from} to {to} are missing")]
    CommandsMissing {
        /// The first one missing.
        from: Offset,
        /// The first one there.
        to: Offset,
    },
    /// A command that cannot be read.
    #[error("the command at offset {offset} cannot be read: {error}")]
    CommandDamaged {
        /// Where it is.
        offset: Offset,
        /// What is wrong.
        error: DecodeError,
    },
    /// A command that does not fit the state.
    #[error("the command at offset {offset} does not fit the state before it: {error}")]
    CommandUnfit {
        /// Where it is.
        offset: Offset,
        /// What is wrong.
        error: CatalogError,
    },
}

impl What {
    /// How much it weighs.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Temporary | Self::SetAside | Self::IndexMissing | Self::Unused | Self::Unfinished { .. } => {
                Severity::Note
            }
            // Accepted by somebody who was told; nothing changes any more.
            Self::Lost { accepted: true, .. } => Severity::Note,
            Self::Stranger
            | Self::ShardUnknown
            | Self::Covered(_)
            | Self::NodeFileMissing { other: true }
            | Self::NodeFileDamaged { other: true, .. }
            | Self::SegmentHeader(_)
            | Self::Padding { .. }
            | Self::IndexDamaged(_)
            | Self::IndexWrong(_)
            | Self::IndexStray
            | Self::LossHealed { .. }
            | Self::Snapshot(_) => Severity::Warning,
            Self::Lost { accepted: false, .. } | Self::Records { .. } | Self::ShardMissing => Severity::Loss,
            Self::NodeFileMissing { other: false }
            | Self::NodeFileDamaged { other: false, .. }
            | Self::HalfRepaired
            | Self::Uncovered(_)
            | Self::ShardForgotten
            | Self::Unreadable(_)
            | Self::LossesDamaged(_)
            | Self::SnapshotAhead { .. }
            | Self::CommandsMissing { .. }
            | Self::CommandDamaged { .. }
            | Self::CommandUnfit { .. } => Severity::Fatal,
        }
    }
}

fn lost(gap: &Gap, reason: Option<&Stop>, accepted: bool, at_start: bool) -> String {
    let reason = match reason {
        Some(Stop::NoFrame(error)) => format!("no frame there: {error}"),
        Some(Stop::Stranger(mismatch)) => format!("the frame there {mismatch}"),
        Some(Stop::TornBody(_)) => "the frame's body is not the one its header promises".to_owned(),
        None => "as its index tells".to_owned(),
    };
    let then = match (accepted, at_start) {
        (true, _) => "accepted by the operator",
        (false, true) => "a start quarantines the shard",
        (false, false) => "a start does not notice it, readers of these offsets are told",
    };
    if gap.is_open_ended() {
        return format!(
            "lost: offsets from {} on (frames from {} on), nobody knows how many: the file has lost its end, at position {} \
             ({reason}); {then}",
            gap.from_offset, gap.from_index, gap.from_pos
        );
    }
    let resumes = match gap.to_pos {
        FilePos(0) => "intact frames resume in a later segment".to_owned(),
        pos => format!("intact frames resume at position {pos}"),
    };
    format!(
        "lost: offsets {} to {} (frames {} to {}), at position {} ({reason}); {resumes}; {then}",
        gap.from_offset, gap.to_offset, gap.from_index, gap.to_index, gap.from_pos
    )
}
