//! The segments of one log, and where in them a record lies.

use std::collections::VecDeque;

use crate::format::index::{self, Entry, Gap, Summary};
use crate::format::names::SegmentNumber;
use crate::format::segment::FRAMES_AT;
use crate::limits::INDEX_INTERVAL_BYTES;
use crate::log::gather::FramePlace;
use crate::log::marks::Mark;
use crate::log::tip::Tip;
use crate::types::{FilePos, FrameIndex, Offset, WallUs};

/// Where a segment's sparse index is.
pub enum SparseIndex<M> {
    /// In memory: the segment is being written, or was until a moment ago.
    Memory(Vec<Entry>),
    /// In its file, checked when the log was opened, not mapped yet.
    File,
    /// In its file, mapped.
    Mapped(M),
}

/// One segment, as far as it is committed.
pub struct Segment<M> {
    /// Its number.
    pub number: SegmentNumber,
    /// Bytes reserved for it.
    pub capacity: u64,
    /// When its first flush was placed; decides the size of the next one.
    pub started: WallUs,
    /// Before its first frame.
    pub first: Mark,
    /// Arrival of its first frame; `None` while it has none.
    pub first_arrival: Option<WallUs>,
    /// The tip after its last committed frame.
    pub tip: Tip,
    /// File position after it, pads included.
    pub end_pos: u64,
    /// Its sparse index.
    pub index: SparseIndex<M>,
    /// Losses found in it.
    pub gaps: Vec<Gap>,
    /// Up to where its index file covers it; 0 if there is none.
    pub indexed_pos: u64,
    /// Nothing more will be written to it.
    pub sealed: bool,
}

impl<M> Segment<M> {
    /// A segment without frames that follows `tip`.
    pub const fn empty(number: SegmentNumber, capacity: u64, tip: Tip, now: WallUs) -> Self {
        Self {
            number,
            capacity,
            started: now,
            first: Mark { index: tip.index, offset: tip.offset },
            first_arrival: None,
            tip,
            end_pos: FRAMES_AT,
            index: SparseIndex::Memory(Vec::new()),
            gaps: Vec::new(),
            indexed_pos: 0,
            sealed: false,
        }
    }

    /// The segment that an index file describes.
    pub fn from_summary(summary: &Summary, capacity: u64) -> Self {
        Self {
            number: summary.number,
            capacity,
            started: summary.first_arrival,
            first: Mark { index: summary.first_index, offset: summary.first_offset },
            first_arrival: Some(summary.first_arrival),
            tip: summary_tip(summary),
            end_pos: summary.end_pos.0,
            index: SparseIndex::File,
            gaps: summary.gaps.clone(),
            indexed_pos: summary.end_pos.0,
            sealed: summary.complete,
        }
    }

    /// What its index file says.
    pub fn summary(&self, producers: Vec<u8>) -> Summary {
        Summary {
            group: self.tip.group,
            number: self.number,
            complete: self.sealed,
            first_index: self.first.index,
            first_offset: self.first.offset,
            first_arrival: self.first_arrival.unwrap_or(self.tip.arrival),
            term: self.tip.term,
            index: self.tip.index,
            offset: self.tip.offset,
            chain: self.tip.chain,
            arrival: self.tip.arrival,
            log_bytes: self.tip.log_bytes,
            end_pos: FilePos(self.end_pos),
            gaps: self.gaps.clone(),
            producers,
        }
    }

    /// Takes note of a frame at `pos`: an entry for the sparse index if it is due.
    pub fn note_frame(&mut self, offset: Offset, arrival: WallUs, frame: FrameIndex, pos: u64) {
        if self.first_arrival.is_none() {
            self.first_arrival = Some(arrival);
        }
        let SparseIndex::Memory(entries) = &mut self.index else {
            panic!("segment {} is written to, but its index is not in memory", self.number);
        };
        let due = entries.last().is_none_or(|last| pos >= last.pos().0 + INDEX_INTERVAL_BYTES);
        if due {
            entries.push(Entry::new(offset, arrival, frame, FilePos(pos)));
        }
    }

    /// Takes note of a committed flush at `pos`.
    pub fn note_flush(&mut self, frames: &[FramePlace], pos: u64, len: usize, tip: Tip) {
        for frame in frames {
            self.note_frame(frame.base_offset, frame.arrival, frame.index, pos + u64::from(frame.start));
        }
        if self.first_arrival.is_none() {
            self.first_arrival = Some(tip.arrival);
        }
        self.tip = tip;
        self.end_pos = pos + len as u64;
    }

    /// Takes note of a loss behind its last frame, in whichever file that is missed: readers look for losses where the
    /// records before them are, and take its position for one in that file.
    pub fn note_loss_behind(&mut self, gap: Gap) {
        self.gaps.push(Gap { from_pos: FilePos(self.end_pos), ..gap });
    }

    /// Whether it has any frame.
    pub const fn has_frames(&self) -> bool {
        self.first.index.0 < self.tip.index.0
    }

    /// Where to start walking towards `offset`. `None` if the index has to be mapped first.
    pub fn start_for_offset(&self, offset: Offset) -> Option<u64>
    where
        M: std::ops::Deref<Target = [u8]>,
    {
        self.with_entries(|entries| index::before_offset(entries, offset).map_or(FRAMES_AT, |entry| entry.pos().0))
    }

    /// Where to start walking towards the first record that arrived at or after `time`. `None` if the index has to be
    /// mapped first.
    pub fn start_for_time(&self, time: WallUs) -> Option<u64>
    where
        M: std::ops::Deref<Target = [u8]>,
    {
        self.with_entries(|entries| index::before_time(entries, time).map_or(FRAMES_AT, |entry| entry.pos().0))
    }

    fn with_entries<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> Option<T>
    where
        M: std::ops::Deref<Target = [u8]>,
    {
        match &self.index {
            SparseIndex::Memory(entries) => Some(look(entries)),
            SparseIndex::File => None,
            // A mapped file that no longer decodes was damaged after it was checked: walk from the start instead.
            SparseIndex::Mapped(map) => Some(look(index::decode_entries(map).unwrap_or(&[]))),
        }
    }
}

/// The tip after the last frame that an index covers.
pub const fn summary_tip(summary: &Summary) -> Tip {
    Tip {
        group: summary.group,
        term: summary.term,
        index: summary.index,
        offset: summary.offset,
        chain: summary.chain,
        arrival: summary.arrival,
        log_bytes: summary.log_bytes,
    }
}

/// The segment that holds `offset`, or the last one with records before it; counted in `segments`, which are in order.
pub fn locate<M>(segments: &VecDeque<Segment<M>>, offset: Offset) -> Option<usize> {
    segments.partition_point(|segment| segment.first.offset <= offset).checked_sub(1)
}
