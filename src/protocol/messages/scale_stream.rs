//! ScaleStream: another number of even shards.

use super::{Decode, Encode, Operation, read_code, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{SCALE_STEPS_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;
use crate::types::HashKey;

/// Splits and merges, by the shortest way, until the stream has `target` open shards of even ranges.
///
/// ```text
/// 0 str16 stream   then u32 target   u8 plan_only
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleStream<'a> {
    /// The stream.
    pub stream: &'a str,
    /// How many open shards there shall be.
    pub target: u32,
    /// Answer with the steps and take none.
    pub plan_only: bool,
}

/// Answers a [`ScaleStream`]: the last step is done and durable. With `plan_only` nothing was done.
///
/// ```text
/// 0 u32 open_shards   4 u64 catalogue_version   12 u32 count, count × { u16 round, u8 kind, u128 start, u128 at, u128 end }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleStreamAnswer {
    /// Open shards before the first step.
    pub open_shards: u32,
    /// Version of the catalogue after the last step; with `plan_only` the one the plan was made for.
    pub catalogue_version: u64,
    /// The steps as planned, by round. None if the shards are as wanted.
    pub steps: Vec<ScaleStep>,
}

/// One split or merge. Shards that do not exist yet have no number, so it names ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleStep {
    /// Steps of the same round, counted from 0, are taken together.
    pub round: u16,
    /// What is done.
    pub kind: ScaleKind,
    /// First hash key of the range to split, or of the lower one to merge.
    pub start: HashKey,
    /// The boundary made or removed: first hash key of the upper range.
    pub at: HashKey,
    /// Last hash key of the range to split, or of the upper one to merge.
    pub end: HashKey,
}

/// What a [`ScaleStep`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ScaleKind {
    /// One shard becomes two.
    Split = 0,
    /// Two shards become one.
    Merge = 1,
}

impl ScaleKind {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Split),
            1 => Some(Self::Merge),
            _ => None,
        }
    }
}

impl Operation for ScaleStream<'_> {
    const OPCODE: Opcode = Opcode::ScaleStream;
    type Answer<'a> = ScaleStreamAnswer;
}

impl Encode for ScaleStream<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_u32(self.target);
        out.put_bool(self.plan_only);
    }
}

impl<'a> Decode<'a> for ScaleStream<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                target: r.u32("target")?,
                plan_only: r.bool("plan_only")?,
            })
        })
    }
}

impl Encode for ScaleStreamAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.open_shards);
        out.put_u64(self.catalogue_version);
        out.put_u32(self.steps.len() as u32);
        for step in &self.steps {
            step.encode(out);
        }
    }
}

impl Decode<'_> for ScaleStreamAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let (open_shards, catalogue_version) = (r.u32("open_shards")?, r.u64("catalogue_version")?);
            let count = r.count32(ScaleStep::BYTES, SCALE_STEPS_MAX, "steps")?;
            let steps = (0..count).map(|_| ScaleStep::read(r)).collect::<Result<_, _>>()?;
            Ok(Self { open_shards, catalogue_version, steps })
        })
    }
}

impl ScaleStep {
    const BYTES: usize = 2 + 1 + 3 * 16;

    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u16(self.round);
        out.put_u8(self.kind as u8);
        out.put_u128(self.start.0);
        out.put_u128(self.at.0);
        out.put_u128(self.end.0);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            round: r.u16("round")?,
            kind: read_code(r, "kind", ScaleKind::from_code)?,
            start: HashKey(r.u128("start")?),
            at: HashKey(r.u128("at")?),
            end: HashKey(r.u128("end")?),
        })
    }
}
