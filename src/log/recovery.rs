//! What recovery makes of the bytes it finds. The procedure (`engine::recovery`) reads; every verdict is given here.
//!
//! A frame is accepted iff magic, checksums, group, index, term, chain, offsets and times all fit the tip. Where the row
//! of accepted frames stops, one question is left: is this the end, a write that never finished, or damage? What lies
//! beyond answers it. Each frame says which frames were durable when it was written (its *durable hint*), so a frame
//! beyond the stop whose hint covers the stop proves that something durable is missing there.
//!
//! | at the stop | beyond: nothing of this log | beyond: frames, none proves a loss | beyond: a frame proves a loss |
//! |---|---|---|---|
//! | zeros, garbage, end of file | End | Cut | Damage |
//! | an intact frame that does not follow (stale) | End | Cut | Damage |
//! | the next frame's header, its body torn | Cut | Cut | Damage |
//!
//! With one exception, which the procedure knows of: the first frame of the oldest segment that retention left was durable.
//!
//! *End*: appending goes on here. *Cut*: what is beyond was never acknowledged; it is left behind, appending goes on in a
//! new segment. *Damage*: nothing is cut; the shard is quarantined, frames beyond stay readable, the gap is reported.
//!
//! Frames beyond count only at block boundaries (each flush starts on one), with a group, term and index that this log
//! can have, so leftovers of recycled segments and of cut tails prove nothing.

use crate::format::frame::{FrameError, FrameHeader, HEADER_BYTES, MAGIC};
use crate::log::tip::{Mismatch, Tip};

/// What the next bytes of a log are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next frame (or a pad), intact.
    Next(FrameHeader),
    /// Cannot be said before this many bytes are there, counted from the same position.
    More(usize),
    /// Not the next frame.
    Stop(Stop),
}

/// Why the row of accepted frames stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No intact header.
    NoFrame(FrameError),
    /// An intact header that does not follow.
    Stranger(Mismatch),
    /// The header follows, the body is not the one it promises. Its length can be relied on.
    TornBody(FrameHeader),
}

/// Like [`step`], for a frame whose predecessor is not there: the oldest one that retention left, or the first one behind
/// damage. Its place and its chain are taken on trust; of the tip, only the group counts.
#[must_use]
pub fn adopt(tip: &Tip, bytes: &[u8]) -> Step {
    match FrameHeader::decode(bytes) {
        Ok(header) if header.group_id != tip.group => {
            Step::Stop(Stop::Stranger(Mismatch::Group { expected: tip.group, have: header.group_id }))
        }
        Ok(header) => with_body(header, bytes),
        Err(FrameError::Truncated { .. }) => Step::More(HEADER_BYTES),
        Err(error) => Step::Stop(Stop::NoFrame(error)),
    }
}

/// Judges the bytes at the next position. `bytes` may hold less than a frame: see [`Step::More`].
#[must_use]
pub fn step(tip: &Tip, bytes: &[u8]) -> Step {
    // A stop is decided on four bytes where possible: zeros after the end are the usual case.
    if let Some(magic) = bytes.first_chunk::<4>() {
        let magic = u32::from_le_bytes(*magic);
        if magic != MAGIC {
            return Step::Stop(Stop::NoFrame(FrameError::Magic(magic)));
        }
    }
    let header = match FrameHeader::decode(bytes) {
        Ok(header) => header,
        Err(FrameError::Truncated { .. }) => return Step::More(HEADER_BYTES),
        Err(error) => return Step::Stop(Stop::NoFrame(error)),
    };
    if let Err(mismatch) = tip.judge(&header) {
        return Step::Stop(Stop::Stranger(mismatch));
    }
    with_body(header, bytes)
}

fn with_body(header: FrameHeader, bytes: &[u8]) -> Step {
    let Some(body) = bytes.get(HEADER_BYTES..header.frame_bytes()) else {
        return Step::More(header.frame_bytes());
    };
    match header.check_body(body) {
        Ok(()) => Step::Next(header),
        Err(_) => Step::Stop(Stop::TornBody(header)),
    }
}

/// Whether the bytes at a block boundary beyond the stop start with a frame that this log can have written after the tip.
/// Its body is not looked at: the header alone proves that the node had come this far.
#[must_use]
pub fn beyond(tip: &Tip, bytes: &[u8]) -> Option<FrameHeader> {
    let header = FrameHeader::decode(bytes).ok()?;
    let possible = header.group_id == tip.group
        && header.term >= tip.term
        && header.index >= tip.index
        && header.base_offset >= tip.offset
        && header.arrival_us >= tip.arrival;
    possible.then_some(header)
}

/// Whether a frame beyond the stop proves that a durable frame is missing at the stop.
#[must_use]
pub fn proves_loss(tip: &Tip, beyond: &FrameHeader) -> bool {
    beyond.durable_hint > tip.index
}

/// What lies beyond the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Beyond {
    /// Nothing that this log can have written.
    Nothing,
    /// Frames, none of which proves a loss.
    Unproven,
    /// A frame that proves a loss.
    Proven,
}

/// The verdict on a stop: see the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The log ends here, cleanly.
    End,
    /// A write that never finished; never acknowledged.
    Cut,
    /// Durable frames are missing.
    Damage,
}

/// The module's table.
#[must_use]
pub const fn verdict(stop: &Stop, beyond: Beyond) -> Verdict {
    match (stop, beyond) {
        (_, Beyond::Proven) => Verdict::Damage,
        (_, Beyond::Unproven) | (Stop::TornBody(_), Beyond::Nothing) => Verdict::Cut,
        (Stop::NoFrame(_) | Stop::Stranger(_), Beyond::Nothing) => Verdict::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::Kind;
    use crate::log::tip::Draft;
    use crate::types::{FrameIndex, GroupId, Term, WallUs};

    fn frame(tip: &Tip, durable: u64, body: &[u8]) -> (FrameHeader, Vec<u8>) {
        let header = tip.stamp(
            Draft {
                kind: Kind::Data,
                body_len: body.len() as u32,
                body_crc: crc32fast::hash(body),
                record_count: 1,
                producer: None,
                arrival: WallUs(5),
            },
            Term(2),
            FrameIndex(durable),
        );
        let mut bytes = vec![0; HEADER_BYTES];
        header.encode(&mut bytes);
        bytes.extend_from_slice(body);
        (header, bytes)
    }

    /// Goal: every combination of the table gives its one verdict.
    #[test]
    fn the_table() {
        let (header, _) = frame(&Tip::genesis(GroupId(9)), 0, b"x");
        let stops = [Stop::NoFrame(FrameError::Magic(0)), Stop::Stranger(Mismatch::Chain), Stop::TornBody(header)];
        let rows: Vec<Vec<_>> = stops
            .iter()
            .map(|stop| {
                [Beyond::Nothing, Beyond::Unproven, Beyond::Proven].map(|beyond| verdict(stop, beyond)).to_vec()
            })
            .collect();
        use Verdict::{Cut, Damage, End};
        assert_eq!(rows, [[End, Cut, Damage], [End, Cut, Damage], [Cut, Cut, Damage]]);
    }

    /// Goal: whatever part of a frame has arrived, the step asks for more or decides, and the whole is accepted once.
    #[test]
    fn a_frame_in_parts() {
        let tip = Tip::genesis(GroupId(9));
        let (header, bytes) = frame(&tip, 0, b"some body");
        for cut in 0..bytes.len() {
            assert!(matches!(step(&tip, &bytes[..cut]), Step::More(need) if need > cut), "cut at {cut}");
        }
        assert_eq!(step(&tip, &bytes), Step::Next(header));
        assert!(matches!(step(&Tip::after(&header), &bytes), Step::Stop(Stop::Stranger(_))));
        let mut torn = bytes.clone();
        torn[HEADER_BYTES] ^= 1;
        assert_eq!(step(&tip, &torn), Step::Stop(Stop::TornBody(header)));
    }

    /// Goal: a later frame proves a loss only if it was written when the missing one was already durable; frames of an
    /// older term, of an earlier place or of another log say nothing.
    #[test]
    fn only_later_frames_prove_a_loss() {
        let mut tip = Tip::genesis(GroupId(9));
        for _ in 0..3 {
            tip.advance(&frame(&tip, 0, b"x").0);
        }
        let mut later = tip;
        later.advance(&frame(&tip, 3, b"x").0);
        let seen = |durable| beyond(&tip, &frame(&later, durable, b"x").1);
        assert!(!proves_loss(&tip, &seen(3).unwrap()));
        assert!(proves_loss(&tip, &seen(4).unwrap()));
        assert_eq!(beyond(&Tip { term: Term(3), ..tip }, &frame(&later, 4, b"x").1), None);
        assert_eq!(beyond(&Tip { group: GroupId(8), ..tip }, &frame(&later, 4, b"x").1), None);
        assert_eq!(beyond(&tip, &frame(&Tip::genesis(GroupId(9)), 4, b"x").1), None);
        assert_eq!(beyond(&tip, &[0; 4096]), None);
    }
}
