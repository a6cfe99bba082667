//! ListConsumers: a stream's consumers, by name.

use super::{ConsumerDescription, Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Write};
use crate::limits::{CONSUMER_NAME_BYTES_MAX, PAGE_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;

/// Asks for consumers in the byte order of their names.
///
/// ```text
/// 0 str16 stream   then str16 after   u32 limit
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListConsumers<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Names up to and including this one are left out; empty for all.
    pub after: &'a str,
    /// How many at most; 0 stands for, and more is capped to, [`PAGE_MAX`].
    pub limit: u32,
}

/// Answers a [`ListConsumers`].
///
/// ```text
/// 0 u32 count, count × consumer, as it answers DescribeConsumer   then u8 more
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListConsumersAnswer<'a> {
    /// The consumers.
    pub consumers: Vec<ConsumerDescription<'a>>,
    /// There are more after the last one.
    pub more: bool,
}

impl Operation for ListConsumers<'_> {
    const OPCODE: Opcode = Opcode::ListConsumers;
    type Answer<'a> = ListConsumersAnswer<'a>;
}

impl Encode for ListConsumers<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_bytes16(self.after.as_bytes());
        out.put_u32(self.limit);
    }
}

impl<'a> Decode<'a> for ListConsumers<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                after: r.str16(CONSUMER_NAME_BYTES_MAX, "after")?,
                limit: r.u32("limit")?,
            })
        })
    }
}

impl Encode for ListConsumersAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.consumers.len() as u32);
        for consumer in &self.consumers {
            consumer.encode(out);
        }
        out.put_bool(self.more);
    }
}

impl<'a> Decode<'a> for ListConsumersAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let count = r.count32(ConsumerDescription::BYTES_MIN, PAGE_MAX as usize, "consumers")?;
            let consumers = (0..count).map(|_| ConsumerDescription::read(r)).collect::<Result<_, _>>()?;
            Ok(Self { consumers, more: r.bool("more")? })
        })
    }
}
