//! Ping: a sign of life.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::protocol::Opcode;
use crate::types::WallUs;

/// Asks for a sign of life. No args.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping;

/// Answers a [`Ping`].
///
/// ```text
/// 0 u64 wall_us
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingAnswer {
    /// The node's wall clock.
    pub wall: WallUs,
}

impl Operation for Ping {
    const OPCODE: Opcode = Opcode::Ping;
    type Answer<'a> = PingAnswer;
}

impl Encode for Ping {
    fn encode<W: Write>(&self, _: &mut W) {}
}

impl Decode<'_> for Ping {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |_| Ok(Self))
    }
}

impl Encode for PingAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.wall.0);
    }
}

impl Decode<'_> for PingAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { wall: WallUs(r.u64("wall_us")?) }))
    }
}
