//! Commands as bytes.
//!
//! ```text
//! 0 u8 version   1 u8 kind   2 u16 zero   then by kind, integers little-endian, composite fields as in `fields`:
//!  1 CreateStream        str16 name   u32 shards   settings   u64 now, in us   u16 workers   tags
//!  2 ActivateStream      u64 stream
//!  3 UpdateStream        u64 stream   u64 now   u8 fields, then those, in this order: 1 retention, 2 record size,
//!                        4 durability, 8 limits, 16 mode, 32 distribution, 64 warm throughput, 128 get records wait
//!  4 DeleteStream        u64 stream   u8 enforce
//!  5 ForgetStream        u64 stream
//! 16 Reshard             u64 stream   u8 by node   u64 now   u16 workers
//!                        list of: u8 0, split   u32 shard   u128 key   or   u8 1, merge   u32 shard   u32 adjacent shard
//! 17 FinishReshard       u64 stream   u64 now   list of: u32 shard   u64 end
//! 18 MoveShard           u64 stream   u32 shard   u16 worker
//! 19 ScaleStream         u64 stream   u32 target   u64 now
//! 20 ExpireShards        u64 stream   list of: u32 shard
//! 21 ForgetShards        u64 stream   list of: u32 shard
//! 22 ScaleDone           u64 stream
//! 24 TagStream           u64 stream   option of: u64 consumer   tags to set   list of: str16 key to remove
//! 25 SetEncryption       u64 stream   u64 now   option of: str16 key
//! 26 SetMonitoring       u64 stream   u8 metrics
//! 27 SetPolicy           u64 stream   option of: u64 consumer   option of: str16 policy
//! 32 RegisterConsumer    u64 stream   str16 name   tags   u64 now
//! 33 DeregisterConsumer  u64 stream   u64 consumer
//! 48 Put      str16 space   str16 key   expect   option of: u64 token   bytes16 value
//! 49 Delete   str16 space   str16 key   expect   option of: u64 token
//! 50 Claim    str16 space   str16 key   str16 owner   u32 ms   option of: u64 token of the lease to take the place of
//! 51 Release  str16 space   str16 key   u64 token
//!
//! expect: u8 0 anything, 1 nothing, 2 this version   u64 version, if 2
//! ```
//! The frame around it carries the checksum. A kind this build does not know ends the replay with an error: a copy that
//! skipped it would not be a copy any more. Version 1 had kinds 1 to 5 only: CreateStream without tags, UpdateStream
//! without the time and with fields 1 to 4, DeleteStream without a flag, settings without limits, mode and distribution.
//! Version 2 had settings without the wait of an empty GetRecords, UpdateStream without its field, SetEncryption without the
//! time.

use bytes::Bytes;

use crate::catalog::command::{Command, CreateStream, Reshard, check_consumer_name, check_name};
use crate::catalog::consumer::ConsumerId;
use crate::catalog::fields::{
    TEXT_MAX, put_change, put_list, put_option, put_settings, put_tags, put_text_option, read_change, read_list,
    read_option, read_settings, read_tags, read_text, read_text_option, zero,
};
use crate::catalog::metadata::{ShardMetrics, Tags};
use crate::catalog::reshard::ReshardOp;
use crate::catalog::store::{Expect, Name, StoreCommand};
use crate::codec::{DecodeError, Reader, Write};
use crate::types::{HashKey, Offset, ShardNumber, StreamId, WallUs, WorkerId};

/// Version of the encoding that is written. Those before it are read as well.
const VERSION: u8 = 3;

const CREATE_STREAM: u8 = 1;
const ACTIVATE_STREAM: u8 = 2;
const UPDATE_STREAM: u8 = 3;
const DELETE_STREAM: u8 = 4;
const FORGET_STREAM: u8 = 5;
const RESHARD: u8 = 16;
const FINISH_RESHARD: u8 = 17;
const MOVE_SHARD: u8 = 18;
const SCALE_STREAM: u8 = 19;
const EXPIRE_SHARDS: u8 = 20;
const FORGET_SHARDS: u8 = 21;
const SCALE_DONE: u8 = 22;
const TAG_STREAM: u8 = 24;
const SET_ENCRYPTION: u8 = 25;
const SET_MONITORING: u8 = 26;
const SET_POLICY: u8 = 27;
const REGISTER_CONSUMER: u8 = 32;
const DEREGISTER_CONSUMER: u8 = 33;
const STORE_PUT: u8 = 48;
const STORE_DELETE: u8 = 49;
const STORE_CLAIM: u8 = 50;
const STORE_RELEASE: u8 = 51;

const SPLIT: u8 = 0;
const MERGE: u8 = 1;

const EXPECT_ANY: u8 = 0;
const EXPECT_ABSENT: u8 = 1;
const EXPECT_VERSION: u8 = 2;

impl Command {
    /// The bytes of the command.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.encode_to(&mut out);
        out
    }

    /// Appends the bytes of the command. Panics when a text is longer than 65,535 bytes: limits were checked.
    pub fn encode_to(&self, out: &mut impl Write) {
        out.put(&[VERSION, self.kind(), 0, 0]);
        match self {
            Self::CreateStream(create) => put_create(out, create),
            Self::Reshard(reshard) => put_reshard(out, reshard),
            Self::Store(command) => put_store(out, command),
            Self::ActivateStream { stream } | Self::ForgetStream { stream } | Self::ScaleDone { stream } => {
                out.put_u64(stream.0);
            }
            Self::UpdateStream { stream, change, now } => {
                out.put_u64(stream.0);
                out.put_u64(now.0);
                put_change(out, change);
            }
            Self::DeleteStream { stream, enforce } => {
                out.put_u64(stream.0);
                out.put_bool(*enforce);
            }
            Self::FinishReshard { stream, ends, now } => {
                out.put_u64(stream.0);
                out.put_u64(now.0);
                put_list(out, ends, |out, (shard, end)| {
                    out.put_u32(shard.0);
                    out.put_u64(end.0);
                });
            }
            Self::MoveShard { stream, shard, to } => {
                out.put_u64(stream.0);
                out.put_u32(shard.0);
                out.put_u16(to.0);
            }
            Self::ScaleStream { stream, target, now } => {
                out.put_u64(stream.0);
                out.put_u32(*target);
                out.put_u64(now.0);
            }
            Self::ExpireShards { stream, shards } | Self::ForgetShards { stream, shards } => {
                out.put_u64(stream.0);
                put_list(out, shards, |out, shard| out.put_u32(shard.0));
            }
            Self::TagStream { stream, consumer, set, remove } => {
                out.put_u64(stream.0);
                put_consumer_option(out, *consumer);
                put_tags(out, set);
                put_list(out, remove, |out, key| out.put_bytes16(key.as_bytes()));
            }
            Self::SetEncryption { stream, key_id, now } => {
                out.put_u64(stream.0);
                out.put_u64(now.0);
                put_text_option(out, key_id.as_deref());
            }
            Self::SetMonitoring { stream, metrics } => {
                out.put_u64(stream.0);
                out.put_u8(metrics.bits());
            }
            Self::SetPolicy { stream, consumer, policy } => {
                out.put_u64(stream.0);
                put_consumer_option(out, *consumer);
                put_text_option(out, policy.as_deref());
            }
            Self::RegisterConsumer { stream, name, tags, now } => {
                out.put_u64(stream.0);
                out.put_bytes16(name.as_bytes());
                put_tags(out, tags);
                out.put_u64(now.0);
            }
            Self::DeregisterConsumer { stream, consumer } => {
                out.put_u64(stream.0);
                out.put_u64(consumer.0);
            }
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::CreateStream(_) => CREATE_STREAM,
            Self::ActivateStream { .. } => ACTIVATE_STREAM,
            Self::UpdateStream { .. } => UPDATE_STREAM,
            Self::DeleteStream { .. } => DELETE_STREAM,
            Self::ForgetStream { .. } => FORGET_STREAM,
            Self::Reshard(_) => RESHARD,
            Self::FinishReshard { .. } => FINISH_RESHARD,
            Self::MoveShard { .. } => MOVE_SHARD,
            Self::ScaleStream { .. } => SCALE_STREAM,
            Self::ExpireShards { .. } => EXPIRE_SHARDS,
            Self::ForgetShards { .. } => FORGET_SHARDS,
            Self::ScaleDone { .. } => SCALE_DONE,
            Self::TagStream { .. } => TAG_STREAM,
            Self::SetEncryption { .. } => SET_ENCRYPTION,
            Self::SetMonitoring { .. } => SET_MONITORING,
            Self::SetPolicy { .. } => SET_POLICY,
            Self::RegisterConsumer { .. } => REGISTER_CONSUMER,
            Self::DeregisterConsumer { .. } => DEREGISTER_CONSUMER,
            Self::Store(StoreCommand::Put { .. }) => STORE_PUT,
            Self::Store(StoreCommand::Delete { .. }) => STORE_DELETE,
            Self::Store(StoreCommand::Claim { .. }) => STORE_CLAIM,
            Self::Store(StoreCommand::Release { .. }) => STORE_RELEASE,
        }
    }

    /// Reads a command. The input holds nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.u8("command version")?;
        if version == 0 || version > VERSION {
            return Err(DecodeError::Invalid { what: "command version", offset: 0, value: version.into() });
        }
        let kind = r.u8("command kind")?;
        zero(r.u16("command reserved")?.into(), "command reserved", 2)?;
        if version == 1 && kind > FORGET_STREAM {
            return Err(DecodeError::Invalid { what: "command kind", offset: 1, value: kind.into() });
        }
        let command = match kind {
            CREATE_STREAM => Self::CreateStream(read_create(&mut r, version.into())?),
            STORE_PUT..=STORE_RELEASE => Self::Store(read_store(&mut r, kind)?),
            _ => read_of_stream(&mut r, kind, version.into())?,
        };
        r.end()?;
        Ok(command)
    }
}

/// A command that begins with the number of a stream.
fn read_of_stream(r: &mut Reader<'_>, kind: u8, version: u16) -> Result<Command, DecodeError> {
    Ok(match kind {
        ACTIVATE_STREAM => Command::ActivateStream { stream: read_stream(r)? },
        UPDATE_STREAM => {
            let stream = read_stream(r)?;
            let now = if version == 1 { WallUs(0) } else { read_time(r)? };
            Command::UpdateStream { stream, change: read_change(r, version)?, now }
        }
        DELETE_STREAM => {
            let stream = read_stream(r)?;
            // No stream had consumers then.
            let enforce = version == 1 || r.bool("enforce")?;
            Command::DeleteStream { stream, enforce }
        }
        FORGET_STREAM => Command::ForgetStream { stream: read_stream(r)? },
        RESHARD => Command::Reshard(read_reshard(r)?),
        FINISH_RESHARD => {
            let (stream, now) = (read_stream(r)?, read_time(r)?);
            let ends = read_list(r, 12, "ends", |r| Ok((read_shard(r)?, Offset(r.u64("end")?))))?;
            Command::FinishReshard { stream, ends, now }
        }
        MOVE_SHARD => {
            Command::MoveShard { stream: read_stream(r)?, shard: read_shard(r)?, to: WorkerId(r.u16("worker")?) }
        }
        SCALE_STREAM => {
            let stream = read_stream(r)?;
            let target = positive(r, "target", |r, what| r.u32(what))?;
            Command::ScaleStream { stream, target, now: read_time(r)? }
        }
        EXPIRE_SHARDS => {
            Command::ExpireShards { stream: read_stream(r)?, shards: read_list(r, 4, "shards", read_shard)? }
        }
        FORGET_SHARDS => {
            Command::ForgetShards { stream: read_stream(r)?, shards: read_list(r, 4, "shards", read_shard)? }
        }
        SCALE_DONE => Command::ScaleDone { stream: read_stream(r)? },
        TAG_STREAM => Command::TagStream {
            stream: read_stream(r)?,
            consumer: read_consumer_option(r)?,
            set: read_tags(r)?,
            remove: read_list(r, 2, "tag keys", |r| read_text(r, "tag key"))?,
        },
        SET_ENCRYPTION => {
            let stream = read_stream(r)?;
            let now = if version < 3 { WallUs(0) } else { read_time(r)? };
            Command::SetEncryption { stream, key_id: read_text_option(r, "encryption key")?, now }
        }
        SET_MONITORING => Command::SetMonitoring { stream: read_stream(r)?, metrics: read_metrics(r)? },
        SET_POLICY => Command::SetPolicy {
            stream: read_stream(r)?,
            consumer: read_consumer_option(r)?,
            policy: read_text_option(r, "policy")?,
        },
        REGISTER_CONSUMER => Command::RegisterConsumer {
            stream: read_stream(r)?,
            name: read_consumer_name(r)?,
            tags: read_tags(r)?,
            now: read_time(r)?,
        },
        DEREGISTER_CONSUMER => {
            Command::DeregisterConsumer { stream: read_stream(r)?, consumer: ConsumerId(r.u64("consumer")?) }
        }
        value => return Err(DecodeError::Invalid { what: "command kind", offset: 1, value: value.into() }),
    })
}

fn put_create(out: &mut impl Write, create: &CreateStream) {
    out.put_bytes16(create.name.as_bytes());
    out.put_u32(create.shard_count);
    put_settings(out, &create.settings);
    out.put_u64(create.now.0);
    out.put_u16(create.workers);
    put_tags(out, &create.tags);
}

fn read_create(r: &mut Reader<'_>, version: u16) -> Result<CreateStream, DecodeError> {
    let name = read_stream_name(r)?;
    let offset = r.offset();
    let shard_count = r.u32("shard count")?;
    let settings = read_settings(r, version)?;
    if shard_count == 0 && !settings.mode.is_on_demand() {
        return Err(DecodeError::Invalid { what: "shard count", offset, value: 0 });
    }
    let now = read_time(r)?;
    let workers = positive(r, "workers", |r, what| r.u16(what))?;
    let tags = if version == 1 { Tags::new() } else { read_tags(r)? };
    Ok(CreateStream { name, shard_count, settings, tags, now, workers })
}

fn put_reshard(out: &mut impl Write, reshard: &Reshard) {
    out.put_u64(reshard.stream.0);
    out.put_bool(reshard.by_node);
    out.put_u64(reshard.now.0);
    out.put_u16(reshard.workers);
    put_list(out, &reshard.ops, |out, op| match op {
        ReshardOp::Split { shard, at } => {
            out.put_u8(SPLIT);
            out.put_u32(shard.0);
            out.put_u128(at.0);
        }
        ReshardOp::Merge { shard, adjacent } => {
            out.put_u8(MERGE);
            out.put_u32(shard.0);
            out.put_u32(adjacent.0);
        }
    });
}

fn read_reshard(r: &mut Reader<'_>) -> Result<Reshard, DecodeError> {
    let stream = read_stream(r)?;
    let by_node = r.bool("by node")?;
    let now = read_time(r)?;
    let workers = positive(r, "workers", |r, what| r.u16(what))?;
    let ops = read_list(r, 9, "operations", |r| {
        let offset = r.offset();
        match r.u8("operation")? {
            SPLIT => Ok(ReshardOp::Split { shard: read_shard(r)?, at: HashKey(r.u128("split key")?) }),
            MERGE => Ok(ReshardOp::Merge { shard: read_shard(r)?, adjacent: read_shard(r)? }),
            value => Err(DecodeError::Invalid { what: "operation", offset, value: value.into() }),
        }
    })?;
    Ok(Reshard { stream, ops, by_node, now, workers })
}

fn put_store(out: &mut impl Write, command: &StoreCommand) {
    let Name { space, key } = command.name();
    out.put_bytes16(space.as_bytes());
    out.put_bytes16(key.as_bytes());
    match command {
        StoreCommand::Put { value, expect, token, .. } => {
            put_expect(out, *expect);
            put_token_option(out, *token);
            out.put_bytes16(value);
        }
        StoreCommand::Delete { expect, token, .. } => {
            put_expect(out, *expect);
            put_token_option(out, *token);
        }
        StoreCommand::Claim { owner, ttl_ms, take_from, .. } => {
            out.put_bytes16(owner.as_bytes());
            out.put_u32(*ttl_ms);
            put_token_option(out, *take_from);
        }
        StoreCommand::Release { token, .. } => out.put_u64(*token),
    }
}

fn read_store(r: &mut Reader<'_>, kind: u8) -> Result<StoreCommand, DecodeError> {
    let name = Name { space: read_text(r, "space")?, key: read_text(r, "key")? };
    Ok(match kind {
        STORE_PUT => {
            let (expect, token) = (read_expect(r)?, read_token_option(r)?);
            let value = Bytes::copy_from_slice(r.bytes16(TEXT_MAX, "value")?);
            StoreCommand::Put { name, value, expect, token }
        }
        STORE_DELETE => StoreCommand::Delete { name, expect: read_expect(r)?, token: read_token_option(r)? },
        STORE_CLAIM => StoreCommand::Claim {
            name,
            owner: read_text(r, "owner")?,
            ttl_ms: r.u32("lease time")?,
            take_from: read_token_option(r)?,
        },
        _ => StoreCommand::Release { name, token: r.u64("token")? },
    })
}

fn put_expect(out: &mut impl Write, expect: Expect) {
    match expect {
        Expect::Any => out.put_u8(EXPECT_ANY),
        Expect::Absent => out.put_u8(EXPECT_ABSENT),
        Expect::Version(version) => {
            out.put_u8(EXPECT_VERSION);
            out.put_u64(version);
        }
    }
}

fn read_expect(r: &mut Reader<'_>) -> Result<Expect, DecodeError> {
    let offset = r.offset();
    match r.u8("expect")? {
        EXPECT_ANY => Ok(Expect::Any),
        EXPECT_ABSENT => Ok(Expect::Absent),
        EXPECT_VERSION => Ok(Expect::Version(r.u64("expected version")?)),
        value => Err(DecodeError::Invalid { what: "expect", offset, value: value.into() }),
    }
}

fn put_token_option(out: &mut impl Write, token: Option<u64>) {
    put_option(out, token, |out, token| out.put_u64(token));
}

fn read_token_option(r: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    read_option(r, "token", |r| r.u64("token"))
}

fn put_consumer_option(out: &mut impl Write, consumer: Option<ConsumerId>) {
    put_option(out, consumer, |out, consumer| out.put_u64(consumer.0));
}

fn read_consumer_option(r: &mut Reader<'_>) -> Result<Option<ConsumerId>, DecodeError> {
    read_option(r, "consumer", |r| r.u64("consumer").map(ConsumerId))
}

pub(super) fn read_metrics(r: &mut Reader<'_>) -> Result<ShardMetrics, DecodeError> {
    let offset = r.offset();
    let bits = r.u8("metrics")?;
    ShardMetrics::from_bits(bits).ok_or(DecodeError::Invalid { what: "metrics", offset, value: bits.into() })
}

pub(super) fn read_stream_name(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    let offset = r.offset();
    let name = read_text(r, "stream name")?;
    match check_name(&name) {
        Ok(()) => Ok(name),
        Err(_) => Err(DecodeError::Invalid { what: "stream name", offset, value: name.len() as u64 }),
    }
}

pub(super) fn read_consumer_name(r: &mut Reader<'_>) -> Result<String, DecodeError> {
    let offset = r.offset();
    let name = read_text(r, "consumer name")?;
    match check_consumer_name(&name) {
        Ok(()) => Ok(name),
        Err(_) => Err(DecodeError::Invalid { what: "consumer name", offset, value: name.len() as u64 }),
    }
}

fn read_stream(r: &mut Reader<'_>) -> Result<StreamId, DecodeError> {
    r.u64("stream").map(StreamId)
}

fn read_shard(r: &mut Reader<'_>) -> Result<ShardNumber, DecodeError> {
    r.u32("shard").map(ShardNumber)
}

fn read_time(r: &mut Reader<'_>) -> Result<WallUs, DecodeError> {
    r.u64("time").map(WallUs)
}

fn positive<'a, T: Default + PartialEq>(
    r: &mut Reader<'a>,
    what: &'static str,
    read: impl FnOnce(&mut Reader<'a>, &'static str) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let offset = r.offset();
    let value = read(r, what)?;
    if value == T::default() {
        return Err(DecodeError::Invalid { what, offset, value: 0 });
    }
    Ok(value)
}
