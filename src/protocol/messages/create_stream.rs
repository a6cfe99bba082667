//! CreateStream: a new stream.

use super::{Decode, Encode, Operation, SettingsChange, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::protocol::Opcode;
use crate::types::StreamId;

/// Creates a stream whose shards divide the hash keys evenly.
///
/// ```text
/// 0 str16 name   then u32 shards   65 bytes settings
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateStream<'a> {
    /// The name, not used by another stream.
    pub name: &'a str,
    /// How many shards. 0 in [`super::CapacityMode::OnDemand`] for as many as such a stream begins with.
    pub shards: u32,
    /// Settings that shall not be the default.
    pub settings: SettingsChange,
}

/// Answers a [`CreateStream`]: the stream is active and durable.
///
/// ```text
/// 0 u64 stream_id   8 u64 catalogue_version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateStreamAnswer {
    /// The stream's number.
    pub stream: StreamId,
    /// Version of the catalogue with the stream in it.
    pub catalogue_version: u64,
}

impl Operation for CreateStream<'_> {
    const OPCODE: Opcode = Opcode::CreateStream;
    type Answer<'a> = CreateStreamAnswer;
}

impl Encode for CreateStream<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.name.as_bytes());
        out.put_u32(self.shards);
        self.settings.encode(out);
    }
}

impl<'a> Decode<'a> for CreateStream<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                name: r.str16(STREAM_NAME_BYTES_MAX, "name")?,
                shards: r.u32("shards")?,
                settings: SettingsChange::read(r)?,
            })
        })
    }
}

impl Encode for CreateStreamAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.stream.0);
        out.put_u64(self.catalogue_version);
    }
}

impl Decode<'_> for CreateStreamAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self { stream: StreamId(r.u64("stream_id")?), catalogue_version: r.u64("catalogue_version")? })
        })
    }
}
