//! Why the catalogue refuses a command.

use thiserror::Error;

use crate::catalog::consumer::ConsumerId;
use crate::catalog::range::HashRange;
use crate::catalog::settings::{Bounds, Mode};
use crate::catalog::shard::ShardState;
use crate::catalog::store::StoreError;
use crate::catalog::stream::Status;
use crate::limits::{
    AWS_ENCRYPTION_CHANGES_PER_DAY, AWS_MODE_SWITCHES_PER_DAY, AWS_SCALINGS_PER_DAY, CONSUMER_NAME_BYTES_MAX,
    GET_RECORDS_WAIT_MS_MAX, KMS_KEY_ID_BYTES_MAX, POLICY_BYTES_MAX, RECORD_BYTES_MAX, RECORD_BYTES_MIN,
    RETENTION_HOURS_MAX, RETENTION_HOURS_MIN, SHARDS_MAX, SHARDS_PER_STREAM_MAX, STREAM_NAME_BYTES_MAX, STREAMS_MAX,
    TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX, WARM_THROUGHPUT_MIB_MAX, WORKERS_MAX,
};
use crate::types::{HashKey, ShardNumber, StreamId, WallUs, WorkerId};

/// Why a command was refused. The state is as before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// Not 1 to 128 of the characters a-z, A-Z, 0-9, `_`, `.`, `-`.
    #[error("a stream name has 1 to {STREAM_NAME_BYTES_MAX} of the characters a-z, A-Z, 0-9, '_', '.' and '-'")]
    NameInvalid,
    /// A stream with this name exists.
    #[error("a stream named {name} exists, it is {status}")]
    NameTaken {
        /// The name.
        name: String,
        /// Where that stream is in its life.
        status: Status,
    },
    /// No stream has this number.
    #[error("there is no stream with number {stream}")]
    StreamUnknown {
        /// The number.
        stream: StreamId,
    },
    /// The stream's status does not allow it.
    #[error("stream {name} is {status}")]
    StatusWrong {
        /// The stream's name.
        name: String,
        /// Where it is in its life.
        status: Status,
    },
    /// Too few or too many shards for one stream.
    #[error("{count} shards: a stream can have 1 to {SHARDS_PER_STREAM_MAX}")]
    ShardCount {
        /// What was asked for, or what would come of it.
        count: u32,
    },
    /// The node holds as many streams as it can.
    #[error("the node holds {STREAMS_MAX} streams, that is its limit")]
    StreamsFull,
    /// A split would leave more open shards than a stream can have.
    #[error("the stream would have {open} open shards: up to {SHARDS_PER_STREAM_MAX} are possible")]
    StreamFull {
        /// Open shards after the change.
        open: u32,
    },
    /// The node cannot hold as many more shards.
    #[error("the node holds {have} shards, {more} more exceed its limit of {SHARDS_MAX}")]
    ShardsFull {
        /// Shards there are.
        have: usize,
        /// Shards asked for.
        more: u32,
    },
    /// The retention is out of range.
    #[error("a retention of {hours} hours: {RETENTION_HOURS_MIN} to {RETENTION_HOURS_MAX} are possible")]
    Retention {
        /// What was asked for.
        hours: u32,
    },
    /// The size of records is out of range.
    #[error("records of up to {bytes} bytes: {RECORD_BYTES_MIN} to {RECORD_BYTES_MAX} are possible")]
    RecordBytes {
        /// What was asked for.
        bytes: u32,
    },
    /// There is no worker to place shards on.
    #[error("there is no worker to place shards on")]
    NoWorkers,
    /// An update without any new value.
    #[error("the update changes nothing")]
    NothingToChange,
    /// The node's clock is wrong.
    #[error("the clock shows {now} microseconds since 1970, which cannot be")]
    Clock {
        /// What it shows.
        now: WallUs,
    },
    /// The bounds of an on-demand stream make no sense.
    #[error(
        "{} to {} shards: an on-demand stream has between 1 and {SHARDS_PER_STREAM_MAX}",
        bounds.shards_min, bounds.shards_max
    )]
    Bounds {
        /// What was asked for.
        bounds: Bounds,
    },
    /// The warm throughput is out of range.
    #[error("a warm throughput of {mib} MiB/s: up to {WARM_THROUGHPUT_MIB_MAX} are possible")]
    WarmThroughput {
        /// What was asked for.
        mib: u32,
    },
    /// An empty GetRecords would wait too long.
    #[error("a wait of {wait_ms} ms for an empty GetRecords: up to {GET_RECORDS_WAIT_MS_MAX} are possible")]
    GetRecordsWait {
        /// What was asked for.
        wait_ms: u32,
    },
    /// The settings make no sense together.
    #[error("{why}")]
    Conflict {
        /// What does not go together.
        why: &'static str,
    },
    /// The stream's mode does not allow it.
    #[error("stream {name} is in mode {mode}")]
    ModeWrong {
        /// The stream's name.
        name: String,
        /// Its mode.
        mode: Mode,
    },
    /// The stream's mode was switched too often.
    #[error("the mode of a stream can be switched {AWS_MODE_SWITCHES_PER_DAY} times in 24 hours with limits = aws")]
    ModeSwitches,
    /// The encryption of the stream was changed too often.
    #[error(
        "a key for the encryption of a stream can be set {AWS_ENCRYPTION_CHANGES_PER_DAY} times in 24 hours with limits = aws, \
         and encryption stopped as often"
    )]
    EncryptionChanges,
    /// The stream has no shard with this number, or not any more.
    #[error("stream {name} has no shard {shard}")]
    ShardUnknown {
        /// The stream's name.
        name: String,
        /// The shard.
        shard: ShardNumber,
    },
    /// Only open shards can be split, merged and moved.
    #[error("shard {shard} is {state}, not open")]
    ShardNotOpen {
        /// The shard.
        shard: ShardNumber,
        /// Where it is in its life.
        state: ShardState,
    },
    /// The shard's state does not allow it.
    #[error("shard {shard} is {state}")]
    ShardStateWrong {
        /// The shard.
        shard: ShardNumber,
        /// Where it is in its life.
        state: ShardState,
    },
    /// A command names a shard twice.
    #[error("shard {shard} is named twice")]
    ShardTwice {
        /// The shard.
        shard: ShardNumber,
    },
    /// The key would leave one child of a split empty.
    #[error("shard {shard} with keys {range} cannot be split at key {at}: both parts must have keys")]
    SplitKey {
        /// The shard.
        shard: ShardNumber,
        /// Where it was to be split.
        at: HashKey,
        /// Its range.
        range: HashRange,
    },
    /// The ranges of the shards do not touch.
    #[error("shards {shard} and {adjacent} are not adjacent")]
    NotAdjacent {
        /// The one.
        shard: ShardNumber,
        /// The other.
        adjacent: ShardNumber,
    },
    /// The stream has handed out all shard numbers.
    #[error("stream {name} has no shard numbers left")]
    ShardNumbersUsedUp {
        /// The stream's name.
        name: String,
    },
    /// No reshard of the stream has begun.
    #[error("no reshard of stream {name} has begun")]
    NotResharding {
        /// The stream's name.
        name: String,
    },
    /// The ends are not those of the parents of the reshard that has begun.
    #[error("the ends are not those of the shards of stream {name} that are split or merged")]
    EndsWrong {
        /// The stream's name.
        name: String,
    },
    /// The stream is not being scaled.
    #[error("stream {name} is not being scaled")]
    NotScaling {
        /// The stream's name.
        name: String,
    },
    /// The target is too far from what the stream has.
    #[error(
        "from {open} to {target} shards: with limits = aws, a stream can be scaled to half or twice its shards at most"
    )]
    ScaleTarget {
        /// Open shards it has.
        open: u32,
        /// What was asked for.
        target: u32,
    },
    /// The stream was scaled too often.
    #[error("a stream can be scaled {AWS_SCALINGS_PER_DAY} times in 24 hours with limits = aws")]
    Scalings,
    /// There cannot be such a worker.
    #[error("worker {worker}: a node has {WORKERS_MAX} at most, counted from 0")]
    WorkerUnknown {
        /// The worker.
        worker: WorkerId,
    },
    /// The stream has registered consumers, and nobody said to delete it all the same.
    #[error("stream {name} has {count} registered consumers")]
    HasConsumers {
        /// The stream's name.
        name: String,
        /// How many.
        count: usize,
    },
    /// Not 1 to 128 of the characters a-z, A-Z, 0-9, `_`, `.`, `-`.
    #[error("a consumer name has 1 to {CONSUMER_NAME_BYTES_MAX} of the characters a-z, A-Z, 0-9, '_', '.' and '-'")]
    ConsumerNameInvalid,
    /// The stream has a consumer with this name.
    #[error("a consumer named {name} is registered")]
    ConsumerTaken {
        /// The name.
        name: String,
    },
    /// The stream has no consumer with this number.
    #[error("there is no consumer with number {consumer}")]
    ConsumerUnknown {
        /// The number.
        consumer: ConsumerId,
    },
    /// The stream has as many consumers as it can have.
    #[error("the stream has {max} registered consumers, that is its limit")]
    ConsumersFull {
        /// The limit.
        max: usize,
    },
    /// A tag's key or value is too long, or has characters it cannot have.
    #[error(
        "tag {key:?}: a key has 1 to {TAG_KEY_CHARS_MAX} characters, a value up to {TAG_VALUE_CHARS_MAX}, of letters, \
         digits, spaces and _ . : / = + - @"
    )]
    TagInvalid {
        /// The key.
        key: String,
    },
    /// Too many tags.
    #[error("more than {TAGS_MAX} tags")]
    TagsFull,
    /// Empty or too long.
    #[error("the name of an encryption key has 1 to {KMS_KEY_ID_BYTES_MAX} bytes")]
    KeyIdInvalid,
    /// Empty or too long.
    #[error("a policy of {bytes} bytes: 1 to {POLICY_BYTES_MAX} are possible")]
    PolicyBytes {
        /// What was sent.
        bytes: usize,
    },
    /// A change of the stored values was refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CatalogError {
    /// True if the same command can succeed later without anybody changing it or anything else.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            // Creating and resharding end by themselves, a day passes, and so does a lease.
            Self::StatusWrong { status, .. } => matches!(status, Status::Creating | Status::Updating),
            Self::ModeSwitches
            | Self::EncryptionChanges
            | Self::Scalings
            | Self::Store(StoreError::LeaseHeld { .. }) => true,
            // Numbers are never reused; the others are the caller's to correct, or need somebody to delete something.
            Self::NameInvalid
            | Self::NameTaken { .. }
            | Self::StreamUnknown { .. }
            | Self::ShardCount { .. }
            | Self::StreamsFull
            | Self::StreamFull { .. }
            | Self::ShardsFull { .. }
            | Self::Retention { .. }
            | Self::RecordBytes { .. }
            | Self::NoWorkers
            | Self::NothingToChange
            | Self::Clock { .. }
            | Self::Bounds { .. }
            | Self::WarmThroughput { .. }
            | Self::GetRecordsWait { .. }
            | Self::Conflict { .. }
            | Self::ModeWrong { .. }
            | Self::ShardUnknown { .. }
            | Self::ShardNotOpen { .. }
            | Self::ShardStateWrong { .. }
            | Self::ShardTwice { .. }
            | Self::SplitKey { .. }
            | Self::NotAdjacent { .. }
            | Self::ShardNumbersUsedUp { .. }
            | Self::NotResharding { .. }
            | Self::EndsWrong { .. }
            | Self::NotScaling { .. }
            | Self::ScaleTarget { .. }
            | Self::WorkerUnknown { .. }
            | Self::HasConsumers { .. }
            | Self::ConsumerNameInvalid
            | Self::ConsumerTaken { .. }
            | Self::ConsumerUnknown { .. }
            | Self::ConsumersFull { .. }
            | Self::TagInvalid { .. }
            | Self::TagsFull
            | Self::KeyIdInvalid
            | Self::PolicyBytes { .. }
            | Self::Store(_) => false,
        }
    }
}
