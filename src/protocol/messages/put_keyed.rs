//! PutKeyed: records for a stream, each to the shard of its hash key.

use super::{Decode, Encode, Operation, read_durability, whole};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{PUT_KEYED_RECORDS_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::{ErrorCode, Opcode};
use crate::types::{Durability, HashKey, Offset, ShardNumber, WallUs};

/// Bytes of one explicit hash key: whether it is given, and the key.
const HASH_KEY_BYTES: usize = 1 + 16;

/// Bytes of one record's result.
const RESULT_BYTES: usize = 4 + 2 + 8 + 8;

/// Appends the records in the body to a stream. The node routes each by its partition key, or by its explicit hash key.
/// Some may be stored and others not.
///
/// ```text
/// 0 str16 stream   then u32 record_count   u32 count, count × { u8 given, u128 hash_key }
/// body: records (see `format::record`)
/// ```
/// The count of hash keys is `record_count`, or 0 if no record has one. A key that is not given is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutKeyed<'a> {
    /// The stream's name.
    pub stream: &'a str,
    /// Records in the body, at most [`PUT_KEYED_RECORDS_MAX`].
    pub record_count: u32,
    /// Explicit hash keys.
    pub hash_keys: HashKeys<'a>,
}

/// Explicit hash keys of the records of a [`PutKeyed`], as they are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashKeys<'a> {
    bytes: &'a [u8],
}

impl<'a> HashKeys<'a> {
    /// No record has one.
    pub const NONE: HashKeys<'static> = HashKeys { bytes: &[] };

    /// Encodes one entry per record into `scratch`, which the result borrows.
    pub fn collect(keys: impl IntoIterator<Item = Option<HashKey>>, scratch: &'a mut Vec<u8>) -> Self {
        scratch.clear();
        for key in keys {
            scratch.put_bool(key.is_some());
            scratch.put_u128(key.map_or(0, |key| key.0));
        }
        HashKeys { bytes: scratch }
    }

    /// The explicit hash key of record number `record`, if it has one.
    #[must_use]
    pub fn get(&self, record: u32) -> Option<HashKey> {
        let start = record as usize * HASH_KEY_BYTES;
        let (given, key) = self.bytes.get(start..start + HASH_KEY_BYTES)?.split_first()?;
        (*given != 0).then(|| HashKey(u128::from_le_bytes(key.try_into().expect("an entry has 17 bytes"))))
    }

    fn count(&self) -> u32 {
        (self.bytes.len() / HASH_KEY_BYTES) as u32
    }

    fn read(r: &mut Reader<'a>, record_count: u32) -> Result<Self, DecodeError> {
        let offset = r.offset();
        let count = r.count32(HASH_KEY_BYTES, record_count as usize, "hash_keys")?;
        if count != 0 && count != record_count as usize {
            return Err(DecodeError::Invalid { what: "hash_keys", offset, value: count as u64 });
        }
        let offset = r.offset();
        let bytes = r.take(count * HASH_KEY_BYTES, "hash_keys")?;
        for (record, entry) in bytes.chunks_exact(HASH_KEY_BYTES).enumerate() {
            if entry[0] > 1 || (entry[0] == 0 && entry[1..] != [0; 16]) {
                let offset = offset + record * HASH_KEY_BYTES;
                return Err(DecodeError::Invalid { what: "hash_key", offset, value: entry[0].into() });
            }
        }
        Ok(Self { bytes })
    }
}

/// Answers a [`PutKeyed`].
///
/// ```text
/// 0 u8 durability   1 u32 count, count × { u32 shard, u16 error, u64 offset, u64 arrival_us }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutKeyedAnswer {
    /// What the acknowledgement stands for.
    pub durability: Durability,
    /// One result per record, in the request's order.
    pub results: Vec<RecordResult>,
}

/// What became of one record of a [`PutKeyed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordResult {
    /// The shard the record was routed to.
    pub shard: ShardNumber,
    /// Number of the error that kept it from being stored (see [`ErrorCode::from_code`]); 0 if it is stored.
    pub error: u16,
    /// Its offset in the shard; 0 if it is not stored.
    pub offset: Offset,
    /// When it arrived; 0 if it is not stored.
    pub arrival: WallUs,
}

impl RecordResult {
    /// A stored record.
    #[must_use]
    pub const fn stored(shard: ShardNumber, offset: Offset, arrival: WallUs) -> Self {
        Self { shard, error: 0, offset, arrival }
    }

    /// A record that is not stored, or (by the class of `error`) may not be.
    #[must_use]
    pub const fn failed(shard: ShardNumber, error: ErrorCode) -> Self {
        Self { shard, error: error as u16, offset: Offset(0), arrival: WallUs(0) }
    }
}

impl Operation for PutKeyed<'_> {
    const OPCODE: Opcode = Opcode::PutKeyed;
    type Answer<'a> = PutKeyedAnswer;
}

impl Encode for PutKeyed<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_bytes16(self.stream.as_bytes());
        out.put_u32(self.record_count);
        out.put_u32(self.hash_keys.count());
        out.put(self.hash_keys.bytes);
    }
}

impl<'a> Decode<'a> for PutKeyed<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let stream = r.str16(STREAM_NAME_BYTES_MAX, "stream")?;
            let offset = r.offset();
            let record_count = r.u32("record_count")?;
            if record_count > PUT_KEYED_RECORDS_MAX {
                let (value, max) = (record_count.into(), PUT_KEYED_RECORDS_MAX.into());
                return Err(DecodeError::TooLarge { what: "record_count", offset, value, max });
            }
            Ok(Self { stream, record_count, hash_keys: HashKeys::read(r, record_count)? })
        })
    }
}

impl Encode for PutKeyedAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u8(self.durability as u8);
        out.put_u32(self.results.len() as u32);
        for result in &self.results {
            out.put_u32(result.shard.0);
            out.put_u16(result.error);
            out.put_u64(result.offset.0);
            out.put_u64(result.arrival.0);
        }
    }
}

impl Decode<'_> for PutKeyedAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let durability = read_durability(r)?;
            let count = r.count32(RESULT_BYTES, PUT_KEYED_RECORDS_MAX as usize, "results")?;
            let results = (0..count).map(|_| {
                Ok(RecordResult {
                    shard: ShardNumber(r.u32("shard")?),
                    error: r.u16("error")?,
                    offset: Offset(r.u64("offset")?),
                    arrival: WallUs(r.u64("arrival_us")?),
                })
            });
            Ok(Self { durability, results: results.collect::<Result<_, _>>()? })
        })
    }
}
