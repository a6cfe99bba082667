//! The tip: everything the next frame of a log depends on. Appending stamps frames from it, recovery judges frames
//! against it; both advance it the same way, which is what makes recovery find exactly what was appended.

use thiserror::Error;

use crate::format::frame::{FrameHeader, Kind};
use crate::types::{Chain, FrameIndex, GroupId, Offset, ProducerStamp, Term, WallUs};

/// The state of a log after its last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Whose log it is.
    pub group: GroupId,
    /// Term of the last frame.
    pub term: Term,
    /// Index of the next frame.
    pub index: FrameIndex,
    /// Offset of the next record.
    pub offset: Offset,
    /// Chain after the last frame.
    pub chain: Chain,
    /// Arrival of the last frame.
    pub arrival: WallUs,
    /// Header and body bytes of all replicated frames so far.
    pub log_bytes: u64,
}

/// Why an intact frame is not the one that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// Another log's frame.
    #[error("belongs to group {have}, not {expected}")]
    Group {
        /// The log's.
        expected: GroupId,
        /// The frame's.
        have: GroupId,
    },
    /// Not the next index.
    #[error("has index {have}, not {expected}")]
    Index {
        /// The next one.
        expected: FrameIndex,
        /// The frame's.
        have: FrameIndex,
    },
    /// From an older term than its predecessor.
    #[error("has term {have}, older than {expected}")]
    Term {
        /// The predecessor's.
        expected: Term,
        /// The frame's.
        have: Term,
    },
    /// Does not continue the chain.
    #[error("does not continue the chain")]
    Chain,
    /// Does not continue the offsets, the arrival times or the byte count: written by a faulty node.
    #[error("continues the chain, but not {0}")]
    Field(&'static str),
}

/// The facts of a frame to be stamped; everything else comes from the tip.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// What it is for.
    pub kind: Kind,
    /// Bytes of its body.
    pub body_len: u32,
    /// CRC-32 of its body.
    pub body_crc: u32,
    /// Records in its body.
    pub record_count: u32,
    /// The producer's stamp.
    pub producer: Option<ProducerStamp>,
    /// When it arrived; raised to the predecessor's if the clock went back.
    pub arrival: WallUs,
}

impl Tip {
    /// The tip right before a frame that is taken on trust, as far as the frame knows it. The chain is that after the frame.
    #[must_use]
    pub const fn before(header: &FrameHeader) -> Self {
        Self {
            group: header.group_id,
            term: header.term,
            index: header.index,
            offset: header.base_offset,
            chain: header.chain,
            arrival: header.arrival_us,
            log_bytes: header.log_bytes,
        }
    }

    /// The tip of a log without frames.
    #[must_use]
    pub const fn genesis(group: GroupId) -> Self {
        Self {
            group,
            term: Term(0),
            index: FrameIndex(0),
            offset: Offset(0),
            // Not zero, so that not even a first frame fits into the log of another group.
            chain: Chain(group.0),
            arrival: WallUs(0),
            log_bytes: 0,
        }
    }

    /// The header of the next frame. The tip does not move: see [`Tip::advance`].
    #[must_use]
    pub fn stamp(&self, draft: Draft, term: Term, durable_hint: FrameIndex) -> FrameHeader {
        assert!(term >= self.term, "a log in term {} is appended to in term {term}", self.term);
        let local = draft.kind == Kind::Pad;
        let mut header = FrameHeader {
            commit_hint: durable_hint,
            durable_hint,
            kind: draft.kind,
            flags: 0,
            body_len: draft.body_len,
            body_crc: draft.body_crc,
            record_count: draft.record_count,
            group_id: self.group,
            term: if local { self.term } else { term },
            index: self.index,
            base_offset: self.offset,
            arrival_us: if local { self.arrival } else { draft.arrival.max(self.arrival) },
            chain: self.chain,
            producer: draft.producer,
            log_bytes: self.log_bytes,
        };
        if !local {
            header.chain = header.chain_after(self.chain);
        }
        header
    }

    /// Whether an intact frame is the one that comes next (or, for a pad, repeats the tip).
    pub fn judge(&self, header: &FrameHeader) -> Result<(), Mismatch> {
        if header.group_id != self.group {
            return Err(Mismatch::Group { expected: self.group, have: header.group_id });
        }
        if header.index != self.index {
            return Err(Mismatch::Index { expected: self.index, have: header.index });
        }
        if header.term < self.term {
            return Err(Mismatch::Term { expected: self.term, have: header.term });
        }
        let chain = if header.kind == Kind::Pad { self.chain } else { header.chain_after(self.chain) };
        if header.chain != chain {
            return Err(Mismatch::Chain);
        }
        if header.base_offset != self.offset {
            return Err(Mismatch::Field("the offsets"));
        }
        if header.arrival_us < self.arrival {
            return Err(Mismatch::Field("the arrival times"));
        }
        if header.log_bytes != self.log_bytes {
            return Err(Mismatch::Field("the byte count"));
        }
        Ok(())
    }

    /// Moves the tip past a frame that was stamped or judged by it. Pads do not move it.
    pub fn advance(&mut self, header: &FrameHeader) {
        if header.kind == Kind::Pad {
            return;
        }
        assert!(header.index == self.index, "frame {} does not follow {}", header.index, self.index);
        *self = Self::after(header);
    }

    /// The tip right after `header`, taken on trust: where reading resumes behind damage, or in the first segment that
    /// retention left.
    #[must_use]
    pub fn after(header: &FrameHeader) -> Self {
        let (index, bytes) =
            if header.kind == Kind::Pad { (header.index, 0) } else { (header.index.plus(1), header.frame_bytes()) };
        Self {
            group: header.group_id,
            term: header.term,
            index,
            offset: header.end_offset(),
            chain: header.chain,
            arrival: header.arrival_us,
            log_bytes: header.log_bytes + bytes as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(records: u32, arrival: u64) -> Draft {
        Draft {
            kind: Kind::Data,
            body_len: 20,
            body_crc: 1,
            record_count: records,
            producer: None,
            arrival: WallUs(arrival),
        }
    }

    /// Goal: what is stamped is accepted, moves the tip as expected, and is accepted only once.
    #[test]
    fn stamped_frames_are_the_ones_that_follow() {
        let mut tip = Tip::genesis(GroupId(5));
        let first = tip.stamp(data(3, 100), Term(1), FrameIndex(0));
        tip.judge(&first).unwrap();
        tip.advance(&first);
        assert_eq!((tip.index, tip.offset, tip.log_bytes), (FrameIndex(1), Offset(3), 148));
        assert!(matches!(tip.judge(&first), Err(Mismatch::Index { .. })));

        let second = tip.stamp(data(1, 50), Term(2), FrameIndex(1));
        assert_eq!(second.arrival_us, WallUs(100), "time does not go back within a shard");
        tip.judge(&second).unwrap();
        assert_eq!(Tip::after(&second), {
            tip.advance(&second);
            tip
        });
    }

    /// Goal: pads repeat the tip, do not move it, and one written before the tip moved on is refused.
    #[test]
    fn pads_are_local() {
        let mut tip = Tip::genesis(GroupId(5));
        let pad = tip.stamp(Draft { kind: Kind::Pad, record_count: 0, ..data(0, 7) }, Term(1), FrameIndex(0));
        let before = tip;
        tip.judge(&pad).unwrap();
        tip.advance(&pad);
        assert_eq!(tip, before);
        assert_eq!(Tip::after(&pad), before);
        tip.advance(&tip.stamp(data(1, 1), Term(1), FrameIndex(0)));
        assert!(tip.judge(&pad).is_err());
    }

    /// Goal: a frame of another group, another history or an older term is refused, each with its reason.
    #[test]
    fn strangers_are_refused() {
        let mut tip = Tip::genesis(GroupId(5));
        let other = Tip::genesis(GroupId(6)).stamp(data(1, 1), Term(1), FrameIndex(0));
        assert!(matches!(tip.judge(&other), Err(Mismatch::Group { .. })));
        tip.advance(&tip.stamp(data(1, 1), Term(3), FrameIndex(0)));
        let stale = Tip { term: Term(2), ..tip }.stamp(data(1, 1), Term(2), FrameIndex(0));
        assert!(matches!(tip.judge(&stale), Err(Mismatch::Term { .. })));
        let forked = Tip { chain: Chain(1), ..tip }.stamp(data(1, 1), Term(3), FrameIndex(0));
        assert_eq!(tip.judge(&forked), Err(Mismatch::Chain));
    }
}
