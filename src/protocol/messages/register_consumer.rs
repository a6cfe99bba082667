//! RegisterConsumer: a consumer with a pipe of its own.

use super::{ConsumerDescription, Decode, Encode, Operation, Tag, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{CONSUMER_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;

/// Gives a stream a consumer, whose subscriptions share no throughput with other readers.
///
/// ```text
/// 0 str16 stream   then str16 name   u32 count, count × { str16 key, str16 value }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterConsumer<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer's name, not used by another one of the stream.
    pub name: &'a str,
    /// Its tags.
    pub tags: Vec<Tag<'a>>,
}

/// Answers a [`RegisterConsumer`]: the consumer is durable, and may subscribe.
///
/// ```text
/// 0 u64 catalogue_version   8 consumer, as it answers DescribeConsumer
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterConsumerAnswer<'a> {
    /// Version of the catalogue with the consumer in it.
    pub catalogue_version: u64,
    /// The consumer.
    pub consumer: ConsumerDescription<'a>,
}

impl Operation for RegisterConsumer<'_> {
    const OPCODE: Opcode = Opcode::RegisterConsumer;
    type Answer<'a> = RegisterConsumerAnswer<'a>;
}

impl Encode for RegisterConsumer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_bytes16(self.name.as_bytes());
        Tag::encode_all(&self.tags, out);
    }
}

impl<'a> Decode<'a> for RegisterConsumer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                name: r.str16(CONSUMER_NAME_BYTES_MAX, "name")?,
                tags: Tag::read_all(r)?,
            })
        })
    }
}

impl Encode for RegisterConsumerAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.catalogue_version);
        self.consumer.encode(out);
    }
}

impl<'a> Decode<'a> for RegisterConsumerAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self { catalogue_version: r.u64("catalogue_version")?, consumer: ConsumerDescription::read(r)? })
        })
    }
}
