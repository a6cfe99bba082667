//! The index file beside a segment: where in the segment records lie, and a summary that spares recovery the scan.
//! Derived data: checked on open, rebuilt from the segment when absent or wrong, never a source of truth.
//!
//! Payload of the envelope (see [`crate::format::sealed`]):
//!
//! ```text
//! u64 group    u64 segment number    u8 complete
//! u64 first_index   u64 first_offset   u64 first_arrival_us
//! u64 term   u64 index   u64 offset   u64 chain   u64 arrival_us   u64 log_bytes     the tip after the last frame covered
//! u64 end_pos                                                                        file position after it
//! u32 gaps, each: u64 from_index  u64 from_offset  u64 to_index  u64 to_offset  u64 from_pos  u64 to_pos
//! u32 length of the producer table, and the table (see `shard::producers`)
//! u32 entries, each: u64 offset  u64 arrival_us  u64 index  u64 pos
//! ```

use thiserror::Error;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::codec::{DecodeError, Reader, Write};
use crate::format::names::SegmentNumber;
use crate::format::sealed::{self, SealedError};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::types::{Chain, FilePos, FrameIndex, GroupId, Offset, Term, WallUs};

const MAGIC: u32 = u32::from_le_bytes(*b"MSI1");
const VERSION: u32 = 1;

/// Largest producer table that is read back.
const PRODUCERS_BYTES_MAX: usize = 4 << 20;

/// Most entries that are read back: four times what the largest segment holds at the usual interval.
const ENTRIES_MAX: usize = 4 * (SEGMENT_BYTES_MAX / crate::limits::INDEX_INTERVAL_BYTES) as usize;

/// Most gaps that are read back.
const GAPS_MAX: usize = 65_536;

/// One entry: the frame at `pos` has this index, its first record this offset and arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Entry {
    offset: U64,
    arrival_us: U64,
    index: U64,
    pos: U64,
}

impl Entry {
    /// An entry for the frame at `pos`.
    #[must_use]
    pub const fn new(offset: Offset, arrival: WallUs, index: FrameIndex, pos: FilePos) -> Self {
        Self {
            offset: U64::new(offset.0),
            arrival_us: U64::new(arrival.0),
            index: U64::new(index.0),
            pos: U64::new(pos.0),
        }
    }

    /// Offset of the frame's first record.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        Offset(self.offset.get())
    }

    /// Arrival of the frame.
    #[must_use]
    pub const fn arrival(&self) -> WallUs {
        WallUs(self.arrival_us.get())
    }

    /// Index of the frame.
    #[must_use]
    pub const fn index(&self) -> FrameIndex {
        FrameIndex(self.index.get())
    }

    /// Where the frame starts in the segment.
    #[must_use]
    pub const fn pos(&self) -> FilePos {
        FilePos(self.pos.get())
    }
}

/// Frames that are lost: damage that recovery found before the end of what had been durable. Where nobody knows how many, it
/// ends where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Index of the first frame lost.
    pub from_index: FrameIndex,
    /// Offset of the first record lost.
    pub from_offset: Offset,
    /// Index of the first frame after the gap.
    pub to_index: FrameIndex,
    /// Offset of the first record after the gap.
    pub to_offset: Offset,
    /// Where the damage starts in its segment.
    pub from_pos: FilePos,
    /// Where reading resumes: in the same segment, or 0 if in a later one.
    pub to_pos: FilePos,
}

impl Gap {
    /// Bytes of a gap.
    pub const BYTES: usize = 6 * 8;

    /// Whether nobody knows how much is lost: a file lost its end, and nothing behind it tells.
    #[must_use]
    pub const fn is_open_ended(&self) -> bool {
        self.from_index.0 == self.to_index.0
    }

    /// Appends the gap, its fields in the order of the type.
    pub fn encode(&self, out: &mut impl Write) {
        let Self { from_index, from_offset, to_index, to_offset, from_pos, to_pos } = self;
        for field in [from_index.0, from_offset.0, to_index.0, to_offset.0, from_pos.0, to_pos.0] {
            out.put_u64(field);
        }
    }

    /// Takes a gap off `r`.
    pub fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            from_index: FrameIndex(r.u64("from_index")?),
            from_offset: Offset(r.u64("from_offset")?),
            to_index: FrameIndex(r.u64("to_index")?),
            to_offset: Offset(r.u64("to_offset")?),
            from_pos: FilePos(r.u64("from_pos")?),
            to_pos: FilePos(r.u64("to_pos")?),
        })
    }
}

/// What the index says about its segment as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whose segment.
    pub group: GroupId,
    /// Which one.
    pub number: SegmentNumber,
    /// Whether the segment is sealed, so that nothing follows `end_pos`.
    pub complete: bool,
    /// Index of the first frame.
    pub first_index: FrameIndex,
    /// Offset of the first record (or of the next one, if the segment has none).
    pub first_offset: Offset,
    /// Arrival of the first frame.
    pub first_arrival: WallUs,
    /// Term of the last frame covered.
    pub term: Term,
    /// Index after it.
    pub index: FrameIndex,
    /// Offset after it.
    pub offset: Offset,
    /// Chain after it.
    pub chain: Chain,
    /// Its arrival.
    pub arrival: WallUs,
    /// Log bytes after it.
    pub log_bytes: u64,
    /// File position after it, pads included.
    pub end_pos: FilePos,
    /// Losses found in this segment.
    pub gaps: Vec<Gap>,
    /// The table of idempotent producers after the last frame covered.
    pub producers: Vec<u8>,
}

/// Why an index file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IndexError {
    /// The envelope is damaged.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The payload is damaged.
    #[error(transparent)]
    Payload(#[from] DecodeError),
}

/// The bytes of an index file.
#[must_use]
pub fn encode(summary: &Summary, entries: &[Entry]) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(160 + summary.gaps.len() * Gap::BYTES + summary.producers.len() + size_of_val(entries));
    out.put_u64(summary.group.0);
    out.put_u64(summary.number);
    out.put_bool(summary.complete);
    out.put_u64(summary.first_index.0);
    out.put_u64(summary.first_offset.0);
    out.put_u64(summary.first_arrival.0);
    out.put_u64(summary.term.0);
    out.put_u64(summary.index.0);
    out.put_u64(summary.offset.0);
    out.put_u64(summary.chain.0);
    out.put_u64(summary.arrival.0);
    out.put_u64(summary.log_bytes);
    out.put_u64(summary.end_pos.0);
    out.put_u32(u32::try_from(summary.gaps.len()).expect("gaps are bounded"));
    for gap in &summary.gaps {
        gap.encode(&mut out);
    }
    out.put_bytes32(&summary.producers);
    out.put_u32(u32::try_from(entries.len()).expect("entries are bounded"));
    out.put(entries.as_bytes());
    sealed::seal(MAGIC, VERSION, &out)
}

/// The summary and the entries of an index file.
pub fn decode(file: &[u8]) -> Result<(Summary, &[Entry]), IndexError> {
    let (_, payload) = sealed::open(MAGIC, VERSION, file)?;
    let mut r = Reader::new(payload);
    let mut summary = Summary {
        group: GroupId(r.u64("group")?),
        number: r.u64("number")?,
        complete: r.bool("complete")?,
        first_index: FrameIndex(r.u64("first_index")?),
        first_offset: Offset(r.u64("first_offset")?),
        first_arrival: WallUs(r.u64("first_arrival")?),
        term: Term(r.u64("term")?),
        index: FrameIndex(r.u64("index")?),
        offset: Offset(r.u64("offset")?),
        chain: Chain(r.u64("chain")?),
        arrival: WallUs(r.u64("arrival")?),
        log_bytes: r.u64("log_bytes")?,
        end_pos: FilePos(r.u64("end_pos")?),
        gaps: Vec::new(),
        producers: Vec::new(),
    };
    for _ in 0..r.count32(Gap::BYTES, GAPS_MAX, "gaps")? {
        summary.gaps.push(Gap::read(&mut r)?);
    }
    summary.producers = r.bytes32(PRODUCERS_BYTES_MAX, "producers")?.to_vec();
    let count = r.count32(size_of::<Entry>(), ENTRIES_MAX, "entries")?;
    let bytes = r.take(count * size_of::<Entry>(), "entries")?;
    r.end()?;
    let entries = <[Entry]>::ref_from_bytes(bytes).expect("entries have no alignment and a whole number was taken");
    Ok((summary, entries))
}

/// The entries of an index file that was checked by [`decode`] before: finds them at the end of the payload without
/// summing the file again. `None` if the lengths make no sense.
#[must_use]
pub fn decode_entries(file: &[u8]) -> Option<&[Entry]> {
    // Up to the gaps the payload has a fixed length; gaps and producer table say theirs.
    const GAPS_AT: usize = sealed::ENVELOPE_BYTES + 2 * 8 + 1 + 10 * 8;
    let mut r = Reader::new(file.get(GAPS_AT..)?);
    let gaps = r.count32(Gap::BYTES, GAPS_MAX, "gaps").ok()?;
    r.take(gaps * Gap::BYTES, "gaps").ok()?;
    r.bytes32(PRODUCERS_BYTES_MAX, "producers").ok()?;
    let count = r.count32(size_of::<Entry>(), ENTRIES_MAX, "entries").ok()?;
    <[Entry]>::ref_from_bytes(r.take(count * size_of::<Entry>(), "entries").ok()?).ok()
}

/// The last entry whose frame starts at or before `offset`: walking from there finds the record.
#[must_use]
pub fn before_offset(entries: &[Entry], offset: Offset) -> Option<&Entry> {
    entries[..entries.partition_point(|entry| entry.offset() <= offset)].last()
}

/// The last entry whose frame arrived strictly before `time`: walking from there finds the first record at or after it.
#[must_use]
pub fn before_time(entries: &[Entry], time: WallUs) -> Option<&Entry> {
    entries[..entries.partition_point(|entry| entry.arrival() < time)].last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Summary, Vec<Entry>) {
        let summary = Summary {
            group: GroupId(1),
            number: 2,
            complete: true,
            first_index: FrameIndex(3),
            first_offset: Offset(4),
            first_arrival: WallUs(5),
            term: Term(6),
            index: FrameIndex(7),
            offset: Offset(8),
            chain: Chain(9),
            arrival: WallUs(10),
            log_bytes: 11,
            end_pos: FilePos(12),
            gaps: vec![Gap {
                from_index: FrameIndex(4),
                from_offset: Offset(5),
                to_index: FrameIndex(6),
                to_offset: Offset(7),
                from_pos: FilePos(8),
                to_pos: FilePos(9),
            }],
            producers: vec![1, 2, 3],
        };
        let entries = (0..5).map(|i| Entry::new(Offset(i * 10), WallUs(i * 100), FrameIndex(i), FilePos(i))).collect();
        (summary, entries)
    }

    /// Goal: an index comes back; every truncation is refused, and so is a lying payload inside a good envelope.
    #[test]
    fn round_trip_and_truncations() {
        let (summary, entries) = sample();
        let file = encode(&summary, &entries);
        let (back, back_entries) = decode(&file).unwrap();
        assert_eq!((&back, back_entries), (&summary, &entries[..]));
        assert_eq!(decode_entries(&file), Some(&entries[..]));
        for cut in 0..file.len() {
            assert!(decode(&file[..cut]).is_err(), "cut at {cut}");
            assert!(decode_entries(&file[..cut]).is_none(), "cut at {cut}");
        }
        let payload = &file[sealed::ENVELOPE_BYTES..];
        for cut in 0..payload.len() {
            let resealed = sealed::seal(MAGIC, VERSION, &payload[..cut]);
            assert!(matches!(decode(&resealed), Err(IndexError::Payload(_))), "payload cut at {cut}");
        }
    }

    /// Goal: lookups give the last entry from which a forward walk still meets what is looked for.
    #[test]
    fn lookups_start_before_what_they_look_for() {
        let (_, entries) = sample();
        let offset = |at| before_offset(&entries, Offset(at)).map(|e| e.offset().0);
        assert_eq!((offset(0), offset(9), offset(10), offset(99)), (Some(0), Some(0), Some(10), Some(40)));
        let time = |at| before_time(&entries, WallUs(at)).map(|e| e.arrival().0);
        assert_eq!((time(0), time(100), time(101), time(999)), (None, Some(0), Some(100), Some(400)));
    }
}
