//! What the row of frames alone does not tell: padding that is damaged, files that were cut short, segments that are gone.
//!
//! - A pad holds nothing. If it is damaged, the row goes on where the next flush begins, and the chain proves that
//!   nothing is missing between.
//! - A segment is reserved, headed and synced before it gets its name, and never made shorter. So a file that ends before its
//!   capacity has lost bytes. If the row stops right there, nobody knows how much is lost, and offsets must not be given out again.
//! - The newest segment has nothing behind it that could tell of it. But if it has an index, that one begins at the tip.

use std::io;
use std::ops::Deref;

use super::{Damage, Scan, Stopped};
use crate::engine::segments::summary_tip;
use crate::engine::whole_file;
use crate::format::block_up;
use crate::format::frame::{FrameError, HEADER_BYTES};
use crate::format::index::{self, Gap};
use crate::format::names::{self, SegmentNumber};
use crate::format::segment::{FRAMES_AT, SegmentHeader};
use crate::limits::{BLOCK_BYTES, SEGMENT_BYTES_MIN};
use crate::log::recovery::{self, Step, Stop};
use crate::runtime::{File, Open, Runtime};
use crate::types::FilePos;

/// Where a flush can begin behind a pad that starts at or after a position: at the next block, or, if too little is left of
/// this one for a header, at the one after it.
const BLOCKS_BEHIND: u64 = 2;

impl<R: Runtime> Scan<'_, R> {
    /// Where the row goes on behind a damaged pad at the stop. Only the frame that comes next is taken: the chain tells.
    pub(super) async fn continues_behind(&self, file: &R::File, stopped: &Stopped<R::Buf>) -> io::Result<Option<u64>> {
        let block = BLOCK_BYTES as u64;
        let first = block_up(stopped.pos + 1);
        for at in (0..BLOCKS_BEHIND).map(|n| first + n * block) {
            let mut need = BLOCK_BYTES;
            loop {
                let read;
                let bytes = match stopped.seen(at, need) {
                    Some(seen) => seen,
                    None => {
                        read = file.read_at(at, need).await?;
                        &read[..]
                    }
                };
                match recovery::step(&self.tip, bytes) {
                    Step::Next(_) => return Ok(Some(at)),
                    Step::More(more) if bytes.len() == need => {
                        need = usize::try_from(block_up(more as u64)).expect("fits memory");
                    }
                    Step::More(_) | Step::Stop(_) => break,
                }
            }
        }
        Ok(None)
    }

    /// The segment that was cut short where the row stops, and where: this one, or a later one that may have gone on with
    /// it.
    pub(super) async fn cut_short(
        &self,
        at: usize,
        stopped: &Stopped<R::Buf>,
        len: u64,
        capacity: u64,
    ) -> io::Result<Option<(SegmentNumber, FilePos)>> {
        if ends_short(stopped, len, capacity) {
            return Ok(Some((self.numbers[at], FilePos(stopped.pos))));
        }
        for later in &self.numbers[at + 1..] {
            let file = self.rt.open(&self.dir.join(names::segment(*later)), Open::Read).await?;
            let len = file.len().await?;
            let block = file.read_at(0, BLOCK_BYTES).await?;
            let capacity = SegmentHeader::decode(&block).map_or(u64::MAX, |header| header.capacity);
            if len >= capacity || is_capacity(len) {
                continue;
            }
            let bytes = file.read_at(FRAMES_AT, BLOCK_BYTES).await?;
            if let Step::More(_) = recovery::step(&self.tip, &bytes) {
                return Ok(Some((*later, FilePos(FRAMES_AT))));
            }
        }
        Ok(None)
    }

    /// Looks for a segment behind the last one that only its index tells of. The log goes on behind it.
    pub(super) async fn missing_newest(&mut self) -> io::Result<()> {
        for number in self.strays.clone() {
            let Some(file) = whole_file::read(&self.rt, &self.dir.join(names::index(number))).await? else { continue };
            let Ok((summary, _)) = index::decode(&file) else { continue };
            let own = summary.group == self.group && summary.number == number;
            let follows = summary.first_index == self.tip.index && summary.first_offset == self.tip.offset;
            if !own || !follows || summary.index <= self.tip.index {
                continue;
            }
            let gap = Gap {
                from_index: self.tip.index,
                from_offset: self.tip.offset,
                to_index: summary.index,
                to_offset: summary.offset,
                from_pos: FilePos(FRAMES_AT),
                to_pos: FilePos(0),
            };
            self.lost(Damage { segment: number, gap }, None);
            self.tip = summary_tip(&summary);
            if let Some(last) = self.segments.back_mut() {
                last.note_loss_behind(gap);
                last.tip = self.tip;
                last.sealed = true;
            }
        }
        Ok(())
    }
}

/// Whether the row stops because the file ends, and the file is shorter than it was made.
pub(super) fn ends_short<B: Deref<Target = [u8]>>(stopped: &Stopped<B>, len: u64, capacity: u64) -> bool {
    // The next flush begins on a block behind what is here: if that is beyond the file, too, it tells nothing.
    let behind = match &stopped.stop {
        Stop::TornBody(header) => stopped.pos + header.frame_bytes() as u64,
        Stop::NoFrame(_) | Stop::Stranger(_) => stopped.pos,
    };
    let ends_here = matches!(stopped.stop, Stop::NoFrame(FrameError::Truncated { .. }))
        || block_up(behind) + HEADER_BYTES as u64 > len;
    ends_here && (len < capacity || !is_capacity(capacity))
}

/// Whether a whole segment can have this length.
fn is_capacity(len: u64) -> bool {
    len.is_multiple_of(SEGMENT_BYTES_MIN) && (len / SEGMENT_BYTES_MIN).is_power_of_two()
}
