//! DeregisterConsumer: the end of a consumer.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{CONSUMER_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;

/// Takes a consumer from a stream and ends its subscriptions.
///
/// ```text
/// 0 str16 stream   then str16 name
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeregisterConsumer<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer's name.
    pub name: &'a str,
}

/// Answers a [`DeregisterConsumer`]: the consumer is gone for good and its name free.
///
/// ```text
/// 0 u64 catalogue_version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeregisterConsumerAnswer {
    /// Version of the catalogue without the consumer.
    pub catalogue_version: u64,
}

impl Operation for DeregisterConsumer<'_> {
    const OPCODE: Opcode = Opcode::DeregisterConsumer;
    type Answer<'a> = DeregisterConsumerAnswer;
}

impl Encode for DeregisterConsumer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_bytes16(self.name.as_bytes());
    }
}

impl<'a> Decode<'a> for DeregisterConsumer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                name: r.str16(CONSUMER_NAME_BYTES_MAX, "name")?,
            })
        })
    }
}

impl Encode for DeregisterConsumerAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.catalogue_version);
    }
}

impl Decode<'_> for DeregisterConsumerAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { catalogue_version: r.u64("catalogue_version")? }))
    }
}
