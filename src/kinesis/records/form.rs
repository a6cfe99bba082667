//! The same thing in either encoding: texts, numbers, names of shards.

use crate::kinesis::{Encoding, cbor, json};
use crate::types::ShardNumber;

/// Writes the same thing in either encoding.
pub(super) struct Form<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) encoding: Encoding,
}

impl Form<'_> {
    /// Appends what stands for it in the answer's encoding.
    #[inline]
    pub(super) fn put(&mut self, json: &[u8], cbor: &[u8]) {
        let bytes = match self.encoding {
            Encoding::Json => json,
            Encoding::Cbor => cbor,
        };
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, n: u64) {
        // What is counted here, records and milliseconds, is far below 2^63.
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        match self.encoding {
            Encoding::Json => json::write::int(self.out, n),
            Encoding::Cbor => cbor::write::int(self.out, n),
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.encoding {
            Encoding::Json => json::write::text(self.out, text),
            Encoding::Cbor => cbor::write::text(self.out, text),
        }
    }
}

/// A shard's name, as [`ShardNumber`] displays it.
pub(super) fn shard_id(shard: ShardNumber) -> [u8; 20] {
    let mut name = *b"shardId-000000000000";
    let mut number = itoa::Buffer::new();
    let number = number.format(shard.0).as_bytes();
    let at = name.len() - number.len();
    name[at..].copy_from_slice(number);
    name
}
