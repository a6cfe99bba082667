//! The args of every message: one file per request and its answer.
//!
//! Fields lie one after the other, little-endian, without padding. Text and bytes have a `u16` length before them,
//! lists a `u32` count. The args end with the last field: a byte more is as wrong as a byte less.

mod create_stream;
mod credit;
mod delete_stream;
mod deregister_consumer;
mod describe_consumer;
mod describe_stream;
mod get;
mod get_metadata;
mod hello;
mod lease_claim;
mod lease_release;
mod lease_renew;
mod list_consumers;
mod list_streams;
mod merge_shards;
mod move_shard;
mod ping;
mod position;
mod put;
mod put_keyed;
mod register_consumer;
mod scale_stream;
mod set_metadata;
mod settings;
mod split_shard;
mod stats;
mod store_delete;
mod store_get;
mod store_list;
mod store_put;
mod subscribe;
#[cfg(test)]
pub(super) mod testing;
mod unsubscribe;
mod update_stream;

pub use create_stream::{CreateStream, CreateStreamAnswer};
pub use credit::Credit;
pub use delete_stream::{DeleteStream, DeleteStreamAnswer};
pub use deregister_consumer::{DeregisterConsumer, DeregisterConsumerAnswer};
pub use describe_consumer::{ConsumerDescription, DescribeConsumer};
pub use describe_stream::{DescribeStream, DescribeStreamAnswer, ShardDescription, ShardEnd, ShardFilter, ShardState};
pub use get::{Get, ReadState};
pub use get_metadata::{GetMetadata, GetMetadataAnswer, Tag};
pub use hello::{Hello, HelloAnswer, Limits};
pub use lease_claim::{LeaseClaim, LeaseClaimAnswer};
pub use lease_release::{LeaseRelease, LeaseReleaseAnswer};
pub use lease_renew::{LeaseRenew, LeaseRenewAnswer, Renewal};
pub use list_consumers::{ListConsumers, ListConsumersAnswer};
pub use list_streams::{ListStreams, ListStreamsAnswer, StreamStatus, StreamSummary};
pub use merge_shards::MergeShards;
pub use move_shard::{MoveShard, MoveShardAnswer};
pub use ping::{Ping, PingAnswer};
pub use position::{Position, PositionAnswer, Start};
pub use put::{Put, PutAnswer};
pub use put_keyed::{HashKeys, PutKeyed, PutKeyedAnswer, RecordResult};
pub use register_consumer::{RegisterConsumer, RegisterConsumerAnswer};
pub use scale_stream::{ScaleKind, ScaleStep, ScaleStream, ScaleStreamAnswer};
pub use set_metadata::{MetadataChange, SetMetadata, SetMetadataAnswer};
pub use settings::{CapacityMode, CustomLimits, Distribution, SettingsChange, StreamLimits, StreamSettings};
pub use split_shard::{ReshardAnswer, SplitShard};
pub use stats::{Stat, Stats, StatsAnswer};
pub use store_delete::{StoreDelete, StoreDeleteAnswer};
pub use store_get::{Lease, StoreGet, StoreGetAnswer, StoreItem};
pub use store_list::{StoreList, StoreListAnswer};
pub use store_put::{Expect, StorePut, StorePutAnswer};
pub use subscribe::{ChildShard, Subscribe, SubscribeAnswer, SubscriptionEnd};
pub use unsubscribe::{Unsubscribe, UnsubscribeAnswer};
pub use update_stream::{UpdateStream, UpdateStreamAnswer};

use super::Opcode;
use crate::codec::{DecodeError, Reader, Write};
use crate::types::{Durability, ShardNumber};

/// Args that can be written.
pub trait Encode {
    /// Appends the args to `out`.
    fn encode<W: Write>(&self, out: &mut W);

    /// How many bytes [`Encode::encode`] appends.
    fn encoded_bytes(&self) -> usize {
        let mut count = Count(0);
        self.encode(&mut count);
        count.0
    }
}

/// Args that can be read, borrowing from the bytes they are read from.
pub trait Decode<'a>: Sized {
    /// The value that `args` holds, all of them.
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError>;
}

/// A request that is answered.
pub trait Operation: Encode {
    /// Its number.
    const OPCODE: Opcode;
    /// What answers it.
    type Answer<'a>: Decode<'a>;
}

/// Counts what is written to it.
struct Count(usize);

impl Write for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Reads a one-byte code that must be one of those `from_code` knows.
pub(super) fn read_code<T>(
    r: &mut Reader<'_>,
    what: &'static str,
    from_code: impl FnOnce(u8) -> Option<T>,
) -> Result<T, DecodeError> {
    let offset = r.offset();
    let code = r.u8(what)?;
    from_code(code).ok_or(DecodeError::Invalid { what, offset, value: code.into() })
}

fn read_durability(r: &mut Reader<'_>) -> Result<Durability, DecodeError> {
    read_code(r, "durability", Durability::from_code)
}

/// Stands for "no shard". No stream gets that many.
const NO_SHARD: u32 = u32::MAX;

/// Writes a shard's number, or what stands for none.
fn put_shard<W: Write>(out: &mut W, shard: Option<ShardNumber>) {
    out.put_u32(shard.map_or(NO_SHARD, |shard| shard.0));
}

/// Reads a shard's number, or what stands for none.
fn read_shard(r: &mut Reader<'_>, what: &'static str) -> Result<Option<ShardNumber>, DecodeError> {
    let number = r.u32(what)?;
    Ok((number != NO_SHARD).then_some(ShardNumber(number)))
}

/// Reads the number of a lease, 0 if there is none.
fn read_token(r: &mut Reader<'_>, what: &'static str) -> Result<Option<u64>, DecodeError> {
    Ok(Some(r.u64(what)?).filter(|token| *token != 0))
}

/// Decodes args with `read`, which takes the fields, and refuses what is left over.
fn whole<'a, T>(
    args: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut r = Reader::new(args);
    let value = read(&mut r)?;
    r.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
