//! DescribeConsumer: one registered consumer.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{CONSUMER_NAME_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::Opcode;
use crate::types::WallUs;

/// Asks for a consumer by name.
///
/// ```text
/// 0 str16 stream   then str16 name
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribeConsumer<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer's name.
    pub name: &'a str,
}

/// A registered consumer. Answers a [`DescribeConsumer`].
///
/// ```text
/// 0 u64 id   8 u64 created_us   16 str16 name
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerDescription<'a> {
    /// Its number: what [`super::Subscribe`] names. Never 0, never reused.
    pub id: u64,
    /// When it was registered.
    pub created: WallUs,
    /// Its name.
    pub name: &'a str,
}

impl Operation for DescribeConsumer<'_> {
    const OPCODE: Opcode = Opcode::DescribeConsumer;
    type Answer<'a> = ConsumerDescription<'a>;
}

impl Encode for DescribeConsumer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_bytes16(self.name.as_bytes());
    }
}

impl<'a> Decode<'a> for DescribeConsumer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                name: r.str16(CONSUMER_NAME_BYTES_MAX, "name")?,
            })
        })
    }
}

impl Encode for ConsumerDescription<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.id);
        out.put_u64(self.created.0);
        out.put_bytes16(self.name.as_bytes());
    }
}

impl<'a> Decode<'a> for ConsumerDescription<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, Self::read)
    }
}

impl<'a> ConsumerDescription<'a> {
    /// Fewest bytes of one: with an empty name.
    pub(super) const BYTES_MIN: usize = 8 + 8 + 2;

    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: r.u64("id")?,
            created: WallUs(r.u64("created_us")?),
            name: r.str16(CONSUMER_NAME_BYTES_MAX, "name")?,
        })
    }
}
