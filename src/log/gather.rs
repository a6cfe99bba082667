//! Gathering puts into one flush: frames are laid one after the other into an aligned buffer, small puts are merged into
//! one frame, and a pad fills up to the block boundary. One memcpy per put, no re-encoding, and no second checksum pass over
//! more than 1 KiB: the checksum of a merged body is combined from those of its parts.
//!
//! ```text
//! | no-op (first of a term) | frame | frame ............ | merged frame: put put put | pad |
//! 0                                                                         block boundary
//! ```

use crate::format::block_up;
use crate::format::frame::{FrameHeader, HEADER_BYTES, Kind};
use crate::limits::{BLOCK_BYTES, FRAME_RECORDS_MAX, MERGE_BODY_BYTES_MAX, MERGED_FRAME_BYTES_MAX};
use crate::log::marks::Mark;
use crate::log::tip::{Draft, Tip};
use crate::types::{FrameIndex, Offset, ProducerStamp, Slab, Term, WallUs};

/// Bodies up to this size, which were checked against their sum a moment ago, are summed once more when they are merged. Combining
/// takes a multiplication of polynomials for each bit that is set in the length, and one of these as long as summing this much.
const SUM_AGAIN_BYTES_MAX: usize = 1 << 10;

/// A put, checked, about to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The records.
    pub body: &'a [u8],
    /// CRC-32 of the body.
    pub body_crc: u32,
    /// Records in the body, at least 1.
    pub record_count: u32,
    /// The stamp, if the producer is idempotent: such a batch keeps a frame of its own.
    pub producer: Option<ProducerStamp>,
    /// When it arrived.
    pub arrival: WallUs,
}

/// Where a put went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The mark that must become durable before it is acknowledged.
    pub end: Mark,
    /// Arrival of the frame it is in.
    pub arrival: WallUs,
}

/// One data frame in a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// Its index.
    pub index: FrameIndex,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset after its last record.
    pub end_offset: Offset,
    /// When it arrived.
    pub arrival: WallUs,
    /// Its producer's stamp.
    pub producer: Option<ProducerStamp>,
    /// Where its header starts, counted from the start of the flush.
    pub start: u32,
    /// Where its body ends.
    pub end: u32,
}

/// The terms a flush is written under: the reign, and what was durable when it was gathered.
#[derive(Clone, Copy, Debug)]
pub struct Reign {
    /// The node's term.
    pub term: Term,
    /// Frames below this index are durable.
    pub durable: FrameIndex,
}

/// A flush being gathered. The buffer itself is passed to each call, so that this stays free of the runtime.
///
/// Invariants: `used` bytes of the buffer are laid out; the open frame, if any, is the last one; the tip stands before
/// the open frame.
#[derive(Debug, Default)]
pub struct Gather {
    used: usize,
    frames: Vec<FramePlace>,
    open: Option<OpenFrame>,
}

#[derive(Debug)]
struct OpenFrame {
    start: usize,
    draft: Draft,
    durable: FrameIndex,
    crc: crc32fast::Hasher,
}

/// A flush that is ready to be written.
#[derive(Debug)]
pub struct Flush {
    /// Bytes of the buffer that are written: a multiple of the block size.
    pub len: usize,
    /// Its data frames, in order.
    pub frames: Vec<FramePlace>,
    /// The mark after it.
    pub end: Mark,
    /// The tip after it.
    pub tip: Tip,
}

impl Gather {
    /// An empty flush.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was placed yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Bytes of a buffer that a flush of one body of `body_len` bytes needs, whatever the tip.
    #[must_use]
    pub const fn bytes_for(body_len: usize) -> usize {
        padded(HEADER_BYTES + HEADER_BYTES + body_len)
    }

    /// Whether a put of `body_len` bytes still fits into a buffer of `capacity` bytes.
    #[must_use]
    pub const fn fits(&self, capacity: usize, body_len: usize) -> bool {
        padded(self.used + HEADER_BYTES + HEADER_BYTES + body_len) <= capacity
    }

    /// The mark after everything placed, when `tip` is the log's tip.
    #[must_use]
    pub fn accepted(&self, tip: &Tip) -> Mark {
        match &self.open {
            None => Mark { index: tip.index, offset: tip.offset },
            Some(open) => {
                Mark { index: tip.index.plus(1), offset: tip.offset.plus(u64::from(open.draft.record_count)) }
            }
        }
    }

    /// Places a put. The caller asked [`Gather::fits`].
    pub fn place(
        &mut self,
        buffer: &mut (impl Slab + ?Sized),
        tip: &mut Tip,
        reign: Reign,
        batch: &Batch<'_>,
    ) -> Placed {
        assert!(
            self.fits(buffer.capacity(), batch.body.len()),
            "a put of {} bytes was not asked for",
            batch.body.len()
        );
        assert!(batch.record_count > 0, "a put without records");
        if tip.term < reign.term {
            self.place_no_op(buffer, tip, reign, batch.arrival);
        }
        let base_offset = if let Some(base) = self.merge(buffer, tip, batch) {
            base
        } else {
            self.close(buffer, tip, reign.term);
            self.open(buffer, reign, batch);
            tip.offset
        };
        let arrival = self.open.as_ref().map_or(batch.arrival, |open| open.draft.arrival).max(tip.arrival);
        let placed = Placed { base_offset, end: self.accepted(tip), arrival };
        if batch.producer.is_some() || batch.body.len() > MERGE_BODY_BYTES_MAX {
            self.close(buffer, tip, reign.term);
        }
        placed
    }

    /// Ends the flush with a pad and hands it out; the gather is empty again afterwards.
    pub fn seal(&mut self, buffer: &mut (impl Slab + ?Sized), tip: &mut Tip, reign: Reign) -> Flush {
        self.close(buffer, tip, reign.term);
        self.pad(buffer, tip, reign);
        let len = std::mem::take(&mut self.used);
        assert!(len as u64 == block_up(len as u64), "a flush of {len} bytes does not end on a block");
        Flush {
            len,
            frames: std::mem::take(&mut self.frames),
            end: Mark { index: tip.index, offset: tip.offset },
            tip: *tip,
        }
    }

    /// Lays out a flush of one pad block and nothing else: it carries the durable hint to disk when a log goes quiet.
    pub fn quiet(buffer: &mut [u8], tip: &Tip, durable: FrameIndex) {
        let block = &mut buffer[..BLOCK_BYTES];
        block.fill(0);
        pad(tip, durable, BLOCK_BYTES - HEADER_BYTES).encode(block);
    }

    fn merge(&mut self, buffer: &mut (impl Slab + ?Sized), tip: &Tip, batch: &Batch<'_>) -> Option<Offset> {
        let open = self.open.as_mut()?;
        let body_len = open.draft.body_len as usize + batch.body.len();
        let records = open.draft.record_count + batch.record_count;
        let mergeable = batch.producer.is_none()
            && batch.body.len() <= MERGE_BODY_BYTES_MAX
            && body_len <= MERGED_FRAME_BYTES_MAX
            && records <= FRAME_RECORDS_MAX;
        if !mergeable {
            return None;
        }
        let base = tip.offset.plus(u64::from(open.draft.record_count));
        buffer.put(self.used, batch.body);
        self.used += batch.body.len();
        if batch.body.len() <= SUM_AGAIN_BYTES_MAX {
            open.crc.update(batch.body);
        } else {
            open.crc.combine(&crc32fast::Hasher::new_with_initial_len(batch.body_crc, batch.body.len() as u64));
        }
        open.draft.body_len = u32::try_from(body_len).expect("below the merge limit");
        open.draft.record_count = records;
        Some(base)
    }

    fn open(&mut self, buffer: &mut (impl Slab + ?Sized), reign: Reign, batch: &Batch<'_>) {
        let start = self.used;
        let body_at = start + HEADER_BYTES;
        buffer.put(body_at, batch.body);
        self.used = body_at + batch.body.len();
        self.open = Some(OpenFrame {
            start,
            draft: Draft {
                kind: Kind::Data,
                body_len: u32::try_from(batch.body.len()).expect("bodies are bounded"),
                body_crc: batch.body_crc,
                record_count: batch.record_count,
                producer: batch.producer,
                arrival: batch.arrival,
            },
            durable: reign.durable,
            crc: crc32fast::Hasher::new_with_initial_len(batch.body_crc, batch.body.len() as u64),
        });
    }

    /// Writes the open frame's header and moves the tip past it.
    fn close(&mut self, buffer: &mut (impl Slab + ?Sized), tip: &mut Tip, term: Term) {
        let Some(open) = self.open.take() else { return };
        let draft = Draft { body_crc: open.crc.finalize(), ..open.draft };
        let header = tip.stamp(draft, term, open.durable);
        buffer.put(open.start, &encoded(&header));
        self.frames.push(FramePlace {
            index: header.index,
            base_offset: header.base_offset,
            end_offset: header.end_offset(),
            arrival: header.arrival_us,
            producer: header.producer,
            start: u32::try_from(open.start).expect("flushes are bounded"),
            end: u32::try_from(open.start + header.frame_bytes()).expect("flushes are bounded"),
        });
        tip.advance(&header);
    }

    fn place_no_op(&mut self, buffer: &mut (impl Slab + ?Sized), tip: &mut Tip, reign: Reign, arrival: WallUs) {
        assert!(self.open.is_none(), "a term begins before its first frame");
        let draft = Draft {
            kind: Kind::NoOp,
            body_len: 0,
            body_crc: crc32fast::hash(&[]),
            record_count: 0,
            producer: None,
            arrival,
        };
        let header: FrameHeader = tip.stamp(draft, reign.term, reign.durable);
        buffer.put(self.used, &encoded(&header));
        self.used += HEADER_BYTES;
        tip.advance(&header);
    }

    fn pad(&mut self, buffer: &mut (impl Slab + ?Sized), tip: &Tip, reign: Reign) {
        let end = padded(self.used);
        if end > self.used {
            let body_at = self.used + HEADER_BYTES;
            buffer.put(self.used, &encoded(&pad(tip, reign.durable, end - body_at)));
            buffer.put_zeros(body_at..end);
            self.used = end;
        }
    }
}

/// Where a flush of `used` bytes ends once it is padded: a pad is at least a header long.
const fn padded(used: usize) -> usize {
    if used as u64 == block_up(used as u64) { used } else { block_up((used + HEADER_BYTES) as u64) as usize }
}

/// The header of a pad with a body of so many zeros.
fn pad(tip: &Tip, durable: FrameIndex, body_len: usize) -> FrameHeader {
    static ZEROS: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
    let draft = Draft {
        kind: Kind::Pad,
        body_len: u32::try_from(body_len).expect("a pad is shorter than two blocks"),
        body_crc: crc32fast::hash(&ZEROS[..body_len]),
        record_count: 0,
        producer: None,
        arrival: tip.arrival,
    };
    tip.stamp(draft, tip.term, durable)
}

fn encoded(header: &FrameHeader) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    header.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
