//! DeleteStream: the end of a stream.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::protocol::Opcode;

/// Deletes a stream with all its records.
///
/// ```text
/// 0 str16 name   then u8 enforce_consumer_deletion
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteStream<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// Delete its registered consumers too. Without it, a stream that has some is not deleted.
    pub enforce_consumer_deletion: bool,
}

/// Answers a [`DeleteStream`]: the stream is gone for good and its name free; its disk space follows.
///
/// ```text
/// 0 u64 catalogue_version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteStreamAnswer {
    /// Version of the catalogue without the stream.
    pub catalogue_version: u64,
}

impl Operation for DeleteStream<'_> {
    const OPCODE: Opcode = Opcode::DeleteStream;
    type Answer<'a> = DeleteStreamAnswer;
}

impl Encode for DeleteStream<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.name.as_bytes());
        out.put_bool(self.enforce_consumer_deletion);
    }
}

impl<'a> Decode<'a> for DeleteStream<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                name: r.str16(STREAM_NAME_BYTES_MAX, "name")?,
                enforce_consumer_deletion: r.bool("enforce_consumer_deletion")?,
            })
        })
    }
}

impl Encode for DeleteStreamAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.catalogue_version);
    }
}

impl Decode<'_> for DeleteStreamAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { catalogue_version: r.u64("catalogue_version")? }))
    }
}
