//! What can be read and may yet not be on the disk: recovery writes it once more.
//!
//! A disk that fails a sync may report the next one as done and lose what the first one was to cover, although it can be read
//! until the power goes. Whoever opens a log does not know how its last writer ended: the process may have been killed between
//! a sync that failed and what it would have done about it. So only what is proven to have been synced is taken as it is:
//! - frames below a *durable hint*: the frame or pad that carries it was written when they were synced;
//! - whatever lies in an earlier segment than a frame of the log: a log rolls over when it has synced;
//! - what an index covers: it is saved for durable frames only.
//!
//! What lies behind, in the last segment, is written again, byte for byte, and synced before anybody is told of it. It is what
//! can have been in flight, a few megabytes at most. A crash in the middle changes nothing: the bytes are the same.
//!
//! A log that went quiet has nothing to be written: the hint in its last block covers every frame. Only this block itself is in
//! doubt. Nobody is told of it, so it can stay as it is until a frame is to stand behind it, which would be cut off from the
//! log if the block were gone. It is written again with the first flush. Ten thousand quiet logs open without a write.

use std::collections::VecDeque;
use std::io;

use crate::format::frame::{FrameHeader, Kind};
use crate::format::{block_down, block_up};
use crate::limits::{BLOCK_BYTES, COLD_READ_BYTES};
use crate::runtime::File;
use crate::types::FrameIndex;

/// Where a flush, or the hint of a quiet log, begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    index: FrameIndex,
    pos: u64,
    is_pad: bool,
}

/// What is not proven to be synced, as far as one segment was scanned.
///
/// Invariant: all starts but the first one may still be in doubt; they are in order.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    starts: VecDeque<Start>,
    hint: FrameIndex,
}

/// The end of a log that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubtful {
    /// Frames, from the block at this position on.
    Frames(u64),
    /// Only what says that all frames are durable.
    Hint(u64),
}

impl Doubt {
    /// The frame or pad at `pos` belongs to the log.
    pub(super) fn note(&mut self, header: &FrameHeader, pos: u64) {
        self.hint = self.hint.max(header.durable_hint);
        // Each flush begins on a block; what is inside of one is as durable as its beginning.
        if pos.is_multiple_of(BLOCK_BYTES as u64) {
            self.starts.push_back(Start { index: header.index, pos, is_pad: header.kind == Kind::Pad });
        }
        // A hint stands at the end of a flush, so a flush whose successor begins below it is covered.
        while self.starts.get(1).is_some_and(|next| next.index < self.hint) {
            self.starts.pop_front();
        }
    }

    /// Everything so far was synced.
    pub(super) fn clear(&mut self) {
        self.starts.clear();
    }

    /// What is in doubt of a log whose next frame has this index.
    pub(super) fn end(&self, next: FrameIndex) -> Option<Doubtful> {
        let ends = self.starts.iter().skip(1).map(|start| start.index).chain([next]);
        let in_doubt =
            |(start, end): &(&Start, FrameIndex)| if start.is_pad { *end >= self.hint } else { *end > self.hint };
        let mut starts = self.starts.iter().zip(ends).filter(in_doubt).map(|(start, _)| start);
        let first = starts.next()?;
        let has_frames = !first.is_pad || starts.any(|start| !start.is_pad);
        Some(if has_frames { Doubtful::Frames(first.pos) } else { Doubtful::Hint(first.pos) })
    }
}

/// Writes the blocks from `from` to `end` once more, as they can be read. They are durable with the next sync that succeeds.
pub(in crate::engine) async fn write_again<F: File>(file: &F, from: u64, end: u64) -> io::Result<()> {
    let mut at = block_down(from);
    while at < end {
        let len = usize::try_from(block_up(end - at)).unwrap_or(usize::MAX).min(COLD_READ_BYTES);
        let bytes = file.read_at(at, len).await?;
        file.write_at(&bytes, at).await?;
        at += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tip::{Draft, Tip};
    use crate::types::{GroupId, Term, WallUs};

    const BLOCK: u64 = BLOCK_BYTES as u64;

    /// A header with this index and hint.
    fn header(kind: Kind, index: u64, hint: u64) -> FrameHeader {
        let draft = Draft { kind, body_len: 0, body_crc: 0, record_count: 1, producer: None, arrival: WallUs(1) };
        let tip = Tip { index: FrameIndex(index), ..Tip::genesis(GroupId(1)) };
        tip.stamp(draft, Term(1), FrameIndex(hint))
    }

    /// What is in doubt of a log of these frames, each with kind, index, hint and position in blocks.
    fn end_of(frames: &[(Kind, u64, u64, f64)], next: u64) -> Option<Doubtful> {
        let mut doubt = Doubt::default();
        for (kind, index, hint, at) in frames {
            doubt.note(&header(*kind, *index, *hint), (at * BLOCK as f64) as u64);
        }
        doubt.end(FrameIndex(next))
    }

    /// Goal: in doubt is what no hint covers, from the block on where its flush begins; of a quiet log only the hint itself.
    #[test]
    fn hints_end_the_doubt() {
        use Doubtful::{Frames, Hint};
        use Kind::{Data, Pad};
        assert_eq!(end_of(&[], 0), None);
        // One flush of two frames and a pad.
        let first = [(Data, 0, 0, 1.0), (Data, 1, 0, 1.5), (Pad, 2, 0, 1.75)];
        assert_eq!(end_of(&first, 2), Some(Frames(BLOCK)));
        // A second one, written when the first one was synced.
        let second = [first.as_slice(), &[(Data, 2, 2, 2.0), (Pad, 3, 2, 2.5)]].concat();
        assert_eq!(end_of(&second, 3), Some(Frames(2 * BLOCK)));
        // Two side by side, of which neither knows that the other one is synced.
        let side_by_side = [second.as_slice(), &[(Data, 3, 2, 3.0), (Pad, 4, 2, 3.5)]].concat();
        assert_eq!(end_of(&side_by_side, 4), Some(Frames(2 * BLOCK)));
        // Quiet.
        let quiet = [second.as_slice(), &[(Pad, 3, 3, 3.0)]].concat();
        assert_eq!(end_of(&quiet, 3), Some(Hint(3 * BLOCK)));
        // On from there: the hint is not proven before something behind the next frame says so.
        let on = [quiet.as_slice(), &[(Data, 3, 3, 4.0), (Pad, 4, 3, 4.5)]].concat();
        assert_eq!(end_of(&on, 4), Some(Frames(3 * BLOCK)));
        let quiet_again = [on.as_slice(), &[(Pad, 4, 4, 5.0)]].concat();
        assert_eq!(end_of(&quiet_again, 4), Some(Hint(5 * BLOCK)));
    }
}
