//! Get: frames of one shard.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::protocol::Opcode;
use crate::types::{GroupId, Offset, WallUs};

/// Reads committed frames of a shard, from the one that holds `from` on.
///
/// ```text
/// 0 u64 group   8 u64 from   16 u32 bytes_max   20 u32 wait_ms
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Get {
    /// The shard.
    pub group: GroupId,
    /// Offset of the first record wanted.
    pub from: Offset,
    /// Bytes of frames wanted at most. Capped by the node's limit; the first frame is handed out whatever its size.
    pub bytes_max: u32,
    /// If there is nothing to hand out: how long to wait for it, in milliseconds. Capped by the node's limit.
    pub wait_ms: u32,
}

/// Where a reader stands after a get or a push. The body of the message is whole frames, possibly none.
///
/// ```text
///  0 u64 next_offset    8 u64 end_offset   16 u64 horizon
/// 24 u64 last_arrival_us   32 u64 wall_us   40 u8 end_of_shard
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// Offset after the last record handed out: what to ask for next.
    pub next_offset: Offset,
    /// Offset after the last committed record of the shard.
    pub end_offset: Offset,
    /// Offset of the oldest record the retention keeps.
    pub horizon: Offset,
    /// Arrival of the last frame handed out; 0 if there was none.
    pub last_arrival: WallUs,
    /// The node's wall clock.
    pub wall: WallUs,
    /// The shard is closed and `next_offset` is its end: nothing will ever follow.
    pub end_of_shard: bool,
}

impl ReadState {
    /// How far the reader is behind the shard's end, in milliseconds: 0 once it has everything.
    #[must_use]
    pub fn millis_behind(&self) -> u64 {
        if self.next_offset >= self.end_offset || self.last_arrival.0 == 0 {
            return 0;
        }
        self.wall.millis().saturating_sub(self.last_arrival.millis())
    }
}

impl Operation for Get {
    const OPCODE: Opcode = Opcode::Get;
    type Answer<'a> = ReadState;
}

impl Encode for Get {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.group.0);
        out.put_u64(self.from.0);
        out.put_u32(self.bytes_max);
        out.put_u32(self.wait_ms);
    }
}

impl Decode<'_> for Get {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                group: GroupId(r.u64("group")?),
                from: Offset(r.u64("from")?),
                bytes_max: r.u32("bytes_max")?,
                wait_ms: r.u32("wait_ms")?,
            })
        })
    }
}

impl Encode for ReadState {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.next_offset.0);
        out.put_u64(self.end_offset.0);
        out.put_u64(self.horizon.0);
        out.put_u64(self.last_arrival.0);
        out.put_u64(self.wall.0);
        out.put_bool(self.end_of_shard);
    }
}

impl Decode<'_> for ReadState {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                next_offset: Offset(r.u64("next_offset")?),
                end_offset: Offset(r.u64("end_offset")?),
                horizon: Offset(r.u64("horizon")?),
                last_arrival: WallUs(r.u64("last_arrival_us")?),
                wall: WallUs(r.u64("wall_us")?),
                end_of_shard: r.bool("end_of_shard")?,
            })
        })
    }
}
