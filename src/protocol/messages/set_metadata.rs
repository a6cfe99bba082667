//! SetMetadata: other tags, another encryption key, monitoring or policy.

use super::{Decode, Encode, Operation, Tag, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{
    CONSUMER_NAME_BYTES_MAX, ENCRYPTION_KEY_BYTES_MAX, POLICY_BYTES_MAX, STREAM_NAME_BYTES_MAX, TAG_KEY_BYTES_MAX,
    TAGS_MAX,
};
use crate::protocol::Opcode;

/// Changes one thing of what is carried along with a stream or one of its consumers. Consumers have tags only.
///
/// ```text
/// 0 str16 stream   then str16 consumer   u8 change   then by change:
/// 0 list of { str16 key, str16 value } set, list of str16 remove
/// 1 str16 encryption_key   2 u8 monitoring   3 str16 policy
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetMetadata<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer; empty for the stream itself.
    pub consumer: &'a str,
    /// What changes.
    pub change: MetadataChange<'a>,
}

/// A change of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataChange<'a> {
    /// Code 0: some tags.
    Tags {
        /// Tags to add, or to give another value.
        set: Vec<Tag<'a>>,
        /// Keys of tags to remove; those without a tag are passed over.
        remove: Vec<&'a str>,
    },
    /// Code 1: the name of the encryption key; empty to have none.
    Encryption(&'a str),
    /// Code 2: the metrics per shard that shall be on, all others off. Bit 0 IncomingBytes, 1 IncomingRecords,
    /// 2 OutgoingBytes, 3 OutgoingRecords, 4 WriteProvisionedThroughputExceeded, 5 ReadProvisionedThroughputExceeded,
    /// 6 IteratorAgeMilliseconds.
    Monitoring(u8),
    /// Code 3: the policy; empty to have none.
    Policy(&'a str),
}

/// Answers a [`SetMetadata`]: the change is durable.
///
/// ```text
/// 0 u64 catalogue_version
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMetadataAnswer {
    /// Version of the catalogue with the change in it.
    pub catalogue_version: u64,
}

impl Operation for SetMetadata<'_> {
    const OPCODE: Opcode = Opcode::SetMetadata;
    type Answer<'a> = SetMetadataAnswer;
}

impl Encode for SetMetadata<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_bytes16(self.consumer.as_bytes());
        self.change.encode(out);
    }
}

impl<'a> Decode<'a> for SetMetadata<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                stream: r.str16(STREAM_NAME_BYTES_MAX, "stream")?,
                consumer: r.str16(CONSUMER_NAME_BYTES_MAX, "consumer")?,
                change: MetadataChange::read(r)?,
            })
        })
    }
}

impl<'a> MetadataChange<'a> {
    fn encode<W: Write>(&self, out: &mut W) {
        match self {
            Self::Tags { set, remove } => {
                out.put_u8(0);
                Tag::encode_all(set, out);
                out.put_u32(remove.len() as u32);
                for key in remove {
                    out.put_bytes16(key.as_bytes());
                }
            }
            Self::Encryption(key) => {
                out.put_u8(1);
                out.put_bytes16(key.as_bytes());
            }
            Self::Monitoring(bits) => {
                out.put_u8(2);
                out.put_u8(*bits);
            }
            Self::Policy(policy) => {
                out.put_u8(3);
                out.put_bytes16(policy.as_bytes());
            }
        }
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let offset = r.offset();
        match r.u8("change")? {
            0 => {
                let set = Tag::read_all(r)?;
                let count = r.count32(2, TAGS_MAX, "remove")?;
                let remove = (0..count).map(|_| r.str16(TAG_KEY_BYTES_MAX, "tag key")).collect::<Result<_, _>>()?;
                Ok(Self::Tags { set, remove })
            }
            1 => Ok(Self::Encryption(r.str16(ENCRYPTION_KEY_BYTES_MAX, "encryption_key")?)),
            2 => Ok(Self::Monitoring(r.u8("monitoring")?)),
            3 => Ok(Self::Policy(r.str16(POLICY_BYTES_MAX, "policy")?)),
            code => Err(DecodeError::Invalid { what: "change", offset, value: code.into() }),
        }
    }
}

impl Encode for SetMetadataAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.catalogue_version);
    }
}

impl Decode<'_> for SetMetadataAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| Ok(Self { catalogue_version: r.u64("catalogue_version")? }))
    }
}
