//! GetMetadata: what a stream or consumer carries along.

use super::{Decode, Encode, Operation, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{
    CONSUMER_NAME_BYTES_MAX, ENCRYPTION_KEY_BYTES_MAX, POLICY_BYTES_MAX, STREAM_NAME_BYTES_MAX, TAG_KEY_BYTES_MAX,
    TAG_VALUE_BYTES_MAX, TAGS_MAX,
};
use crate::protocol::Opcode;

/// Asks for what is carried along with a stream or one of its consumers. The node stores it and does nothing with it.
///
/// ```text
/// 0 str16 stream   then str16 consumer
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetMetadata<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer; empty for the stream itself.
    pub consumer: &'a str,
}

/// Answers a [`GetMetadata`]. Consumers have tags only.
///
/// ```text
/// 0 u32 count, count × { str16 key, str16 value }   then str16 encryption_key   u8 monitoring   str16 policy
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMetadataAnswer<'a> {
    /// Tags, by key.
    pub tags: Vec<Tag<'a>>,
    /// Name of the key that records are said to be encrypted with; empty if they are not.
    pub encryption_key: &'a str,
    /// The metrics per shard that are switched on, one bit each: see [`super::MetadataChange::Monitoring`].
    pub monitoring: u8,
    /// The policy, as it was set; empty if there is none.
    pub policy: &'a str,
}

/// A key and a value that mean something to whoever set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag<'a> {
    /// The key: not empty, and each only once.
    pub key: &'a str,
    /// The value; may be empty.
    pub value: &'a str,
}

impl Operation for GetMetadata<'_> {
    const OPCODE: Opcode = Opcode::GetMetadata;
    type Answer<'a> = GetMetadataAnswer<'a>;
}

impl Encode for GetMetadata<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_bytes16(self.consumer.as_bytes());
    }
}

impl<'a> Decode<'a> for GetMetadata<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                consumer: r.str16(CONSUMER_NAME_BYTES_MAX, "consumer")?,
            })
        })
    }
}

impl Encode for GetMetadataAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        Tag::encode_all(&self.tags, out);
        out.put_bytes16(self.encryption_key.as_bytes());
        out.put_u8(self.monitoring);
        out.put_bytes16(self.policy.as_bytes());
    }
}

impl<'a> Decode<'a> for GetMetadataAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                tags: Tag::read_all(r)?,
                encryption_key: r.str16(ENCRYPTION_KEY_BYTES_MAX, "encryption_key")?,
                monitoring: r.u8("monitoring")?,
                policy: r.str16(POLICY_BYTES_MAX, "policy")?,
            })
        })
    }
}

impl<'a> Tag<'a> {
    pub(super) fn encode_all<W: Write>(tags: &[Self], out: &mut W) {
        out.put_u32(tags.len() as u32);
        for tag in tags {
            out.put_bytes16(tag.key.as_bytes());
            out.put_bytes16(tag.value.as_bytes());
        }
    }

    pub(super) fn read_all(r: &mut Reader<'a>) -> Result<Vec<Self>, DecodeError> {
        let count = r.count32(2 + 2, TAGS_MAX, "tags")?;
        let tag = |r: &mut Reader<'a>| {
            Ok(Self { key: r.str16(TAG_KEY_BYTES_MAX, "tag key")?, value: r.str16(TAG_VALUE_BYTES_MAX, "tag value")? })
        };
        (0..count).map(|_| tag(r)).collect()
    }
}
