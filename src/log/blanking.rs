//! How far ahead of the frames a new segment's blocks are overwritten with zeros. File systems reserve space as extents that
//! count as unwritten; the sync after the first write to a block of one has to put through the journal that it is written now,
//! which costs about as much again as the sync itself, and holds up every other sync of the file system. With small flushes a
//! block of zeros a few flushes ahead turns one journal entry per flush into one per dozens.
//!
//! Zeros are what these blocks read as anyway: nothing on disk changes its meaning, and a crash half-way leaves what it would
//! have left without.
//!
//! Invariant: zeros and frames are never on their way to the same blocks. [`Blanking::next`] only hands out what lies behind
//! everything written so far, and the writer asks [`Blanking::is_clear`] before it writes.
//!
//! Not done where it does not pay: large flushes (the zeros would cost more than they save), and segments that were used
//! before, whose blocks are written already.

use std::ops::Range;

use crate::limits::BLOCK_BYTES;

/// Most that is blanked at once: small enough that a put behind it waits for little more than its own write.
const STEP_BYTES_MAX: u64 = 256 << 10;

/// With flushes larger than this nothing is blanked.
const FLUSH_BYTES_MAX: u64 = 64 << 10;

/// The blank blocks of the segment that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blanking {
    /// Blocks before this position were written, with frames or zeros.
    to: u64,
    /// Zeros on their way to the disk.
    under_way: Option<Range<u64>>,
}

impl Blanking {
    /// A segment of which nothing is known behind `end`.
    #[must_use]
    pub const fn from(end: u64) -> Self {
        Self { to: end, under_way: None }
    }

    /// A segment whose blocks are not worth the effort: they were all written before, or writing zeros failed.
    #[must_use]
    pub const fn needless() -> Self {
        Self::from(u64::MAX)
    }

    /// What to overwrite with zeros now, if anything: `end` is where the next frame goes, and nothing is being written behind
    /// it; `flush_bytes` is the usual size of a flush. To be followed by [`Blanking::done`].
    pub fn next(&mut self, end: u64, capacity: u64, flush_bytes: u64) -> Option<Range<u64>> {
        // Behind the next flush: it would have to wait for the zeros.
        let from = self.to.max(end + flush_bytes);
        if flush_bytes > FLUSH_BYTES_MAX || self.under_way.is_some() || from >= capacity {
            return None;
        }
        // A segment with little in it, as one of ten thousand quiet shards has, gets little.
        let step = (end / 2).clamp(2 * flush_bytes, STEP_BYTES_MAX).next_multiple_of(BLOCK_BYTES as u64);
        if from - end > flush_bytes.max(step / 2) {
            return None;
        }
        let range = from..(from + step).min(capacity);
        self.under_way = Some(range.clone());
        Some(range)
    }

    /// The zeros handed out last are written; or failed to be, and then it is left at that; or (`None`) were not tried.
    pub fn done(&mut self, written: Option<bool>) {
        if let Some(range) = self.under_way.take() {
            match written {
                Some(true) => self.to = range.end,
                Some(false) => self.to = u64::MAX,
                None => {}
            }
        }
    }

    /// Whether frames may be written to this range now.
    #[must_use]
    pub fn is_clear(&self, range: &Range<u64>) -> bool {
        self.under_way.as_ref().is_none_or(|zeros| range.end <= zeros.start || zeros.end <= range.start)
    }

    /// Whether no zeros are on their way.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.under_way.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = BLOCK_BYTES as u64;
    const CAPACITY: u64 = 1 << 20;

    /// Goal: a log that grows by small flushes finds nearly all of them blanked, in few steps; zeros never come down on frames,
    /// nor behind the end of the file.
    #[test]
    fn small_flushes_are_blanked_ahead_of() {
        let mut blanking = Blanking::from(BLOCK);
        let (mut end, mut steps, mut unwritten) = (BLOCK, 0, 0);
        while end + BLOCK <= CAPACITY {
            unwritten += u64::from(blanking.to < end + BLOCK);
            assert!(blanking.is_clear(&(end..end + BLOCK)));
            end += BLOCK;
            if let Some(range) = blanking.next(end, CAPACITY, BLOCK) {
                assert!(range.start >= end && range.end <= CAPACITY && range.start < range.end, "{range:?} at {end}");
                assert!(!blanking.is_clear(&range) && !blanking.is_quiet());
                blanking.done(Some(true));
                steps += 1;
            }
        }
        assert_eq!(blanking.to, CAPACITY);
        assert!(unwritten <= 2 && steps < 20, "{unwritten} of {} flushes, {steps} steps", CAPACITY / BLOCK);
    }

    /// Goal: a segment with one small flush in it is given a few blocks, not a quarter of a megabyte.
    #[test]
    fn a_quiet_shard_costs_little() {
        assert_eq!(Blanking::from(BLOCK).next(2 * BLOCK, CAPACITY, BLOCK), Some(3 * BLOCK..5 * BLOCK));
    }

    /// Goal: while zeros are on their way nothing else is handed out, and only what they are not going to may be written.
    #[test]
    fn zeros_and_frames_keep_apart() {
        let mut blanking = Blanking::from(BLOCK);
        let zeros = blanking.next(100 * BLOCK, CAPACITY, 4 * BLOCK).unwrap();
        assert_eq!(zeros, 104 * BLOCK..154 * BLOCK);
        assert!(blanking.is_clear(&(100 * BLOCK..104 * BLOCK)), "the next flush waits");
        assert_eq!(blanking.next(100 * BLOCK, CAPACITY, BLOCK), None);
        assert!(blanking.is_clear(&(90 * BLOCK..104 * BLOCK)) && blanking.is_clear(&(154 * BLOCK..155 * BLOCK)));
        assert!(!blanking.is_clear(&(90 * BLOCK..105 * BLOCK)) && !blanking.is_clear(&(153 * BLOCK..155 * BLOCK)));
        blanking.done(Some(true));
        assert!(blanking.is_clear(&zeros) && blanking.is_quiet());
        // Enough is left ahead.
        assert_eq!(blanking.next(110 * BLOCK, CAPACITY, 4 * BLOCK), None);
    }

    /// Goal: nothing is blanked where it does not pay or did not work.
    #[test]
    fn needless_zeros_are_not_written() {
        assert_eq!(Blanking::from(BLOCK).next(BLOCK, CAPACITY, FLUSH_BYTES_MAX + BLOCK), None);
        assert_eq!(Blanking::needless().next(BLOCK, CAPACITY, BLOCK), None);
        let mut failed = Blanking::from(BLOCK);
        failed.next(BLOCK, CAPACITY, BLOCK).unwrap();
        failed.done(Some(false));
        assert_eq!(failed.next(BLOCK, CAPACITY, BLOCK), None);
        assert!(failed.is_clear(&(0..CAPACITY)));
    }

    /// Goal: wherever the writer stands, up to the very end of the segment, what is handed out is whole blocks of it, and some.
    #[test]
    fn no_zeros_are_not_handed_out() {
        for (to, end) in
            (1..=CAPACITY / BLOCK).flat_map(|to| [(to, CAPACITY), (to, CAPACITY - BLOCK), (to, to * BLOCK)])
        {
            if let Some(range) = Blanking::from(to * BLOCK).next(end, CAPACITY, BLOCK) {
                let len = range.end.checked_sub(range.start).expect("forwards");
                assert!(len > 0 && len % BLOCK == 0 && range.end <= CAPACITY, "{range:?} at {end}");
            }
        }
    }

    /// Goal: zeros that were not tried are handed out again.
    #[test]
    fn what_was_not_tried_comes_again() {
        let mut blanking = Blanking::from(BLOCK);
        let zeros = blanking.next(10 * BLOCK, CAPACITY, BLOCK);
        blanking.done(None);
        assert_eq!(blanking.next(10 * BLOCK, CAPACITY, BLOCK), zeros);
    }

    /// Goal: a writer that overtook the zeros goes on blanking from where it is.
    #[test]
    fn the_writer_may_overtake() {
        let mut blanking = Blanking::from(BLOCK);
        blanking.next(10 * BLOCK, CAPACITY, BLOCK).unwrap();
        blanking.done(Some(true));
        let next = blanking.next(50 * BLOCK, CAPACITY, BLOCK).unwrap();
        assert_eq!(next.start, 51 * BLOCK);
    }
}
