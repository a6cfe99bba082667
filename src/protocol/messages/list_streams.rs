//! ListStreams: the streams of the node, by name.

use super::{Decode, Encode, Operation, read_code, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{PAGE_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;

/// Fewest bytes of an entry: an empty name, status, shard count.
const ENTRY_BYTES_MIN: usize = 2 + 1 + 4;

/// Asks for streams in the byte order of their names.
///
/// ```text
/// 0 str16 after   then u32 limit
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListStreams<'a> {
    /// Names up to and including this one are left out; empty for all.
    pub after: &'a str,
    /// How many at most; 0 stands for, and more is capped to, [`PAGE_MAX`].
    pub limit: u32,
}

/// Answers a [`ListStreams`].
///
/// ```text
/// 0 u32 count, count × { str16 name, u8 status, u32 open_shards }   then u8 more
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListStreamsAnswer<'a> {
    /// The streams.
    pub streams: Vec<StreamSummary<'a>>,
    /// There are more after the last one.
    pub more: bool,
}

/// A stream in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its status.
    pub status: StreamStatus,
    /// Its shards that take records.
    pub open_shards: u32,
}

/// What a stream is going through, as in Kinesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum StreamStatus {
    /// Not yet usable.
    Creating = 0,
    /// Usable.
    Active = 1,
    /// Usable, while its shards or settings change.
    Updating = 2,
    /// No longer usable.
    Deleting = 3,
}

impl StreamStatus {
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Creating),
            1 => Some(Self::Active),
            2 => Some(Self::Updating),
            3 => Some(Self::Deleting),
            _ => None,
        }
    }
}

impl Operation for ListStreams<'_> {
    const OPCODE: Opcode = Opcode::ListStreams;
    type Answer<'a> = ListStreamsAnswer<'a>;
}

impl Encode for ListStreams<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.after.as_bytes());
        out.put_u32(self.limit);
    }
}

impl<'a> Decode<'a> for ListStreams<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { after: r.str16(STREAM_NAME_BYTES_MAX, "after")?, limit: r.u32("limit")? }))
    }
}

impl Encode for ListStreamsAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.streams.len() as u32);
        for stream in &self.streams {
            out.put_bytes16(stream.name.as_bytes());
            out.put_u8(stream.status as u8);
            out.put_u32(stream.open_shards);
        }
        out.put_bool(self.more);
    }
}

impl<'a> Decode<'a> for ListStreamsAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let count = r.count32(ENTRY_BYTES_MIN, PAGE_MAX as usize, "streams")?;
            let streams = (0..count).map(|_| {
                Ok(StreamSummary {
                    name: r.str16(STREAM_NAME_BYTES_MAX, "name")?,
                    status: read_code(r, "status", StreamStatus::from_code)?,
                    open_shards: r.u32("open_shards")?,
                })
            });
            Ok(Self { streams: streams.collect::<Result<_, _>>()?, more: r.bool("more")? })
        })
    }
}
