//! The commands: what the catalogue's log holds, one per record. Their bytes are in `encoding`.

use crate::catalog::consumer::ConsumerId;
use crate::catalog::error::CatalogError;
use crate::catalog::metadata::{ShardMetrics, Tags, check_key_id, check_policy, check_tag_key, check_tags};
use crate::catalog::reshard::ReshardOp;
use crate::catalog::settings::{Settings, SettingsChange};
use crate::catalog::store::StoreCommand;
use crate::limits::{
    CONSUMER_NAME_BYTES_MAX, SHARDS_PER_STREAM_MAX, STREAM_NAME_BYTES_MAX, TAGS_MAX, WALL_US_MAX, WORKERS_MAX,
};
use crate::types::{Offset, ShardNumber, StreamId, WallUs, WorkerId};

/// A change of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Adds a stream; see [`CreateStream`].
    CreateStream(CreateStream),
    /// Opens a stream, once the logs of all its shards exist on disk.
    ActivateStream {
        /// The stream; it is being created.
        stream: StreamId,
    },
    /// Changes settings of a stream.
    UpdateStream {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// At least one new value.
        change: SettingsChange,
        /// When.
        now: WallUs,
    },
    /// Takes a stream out of service, frees its name and starts the freeing of its storage.
    DeleteStream {
        /// The stream; it is active, updating or being created.
        stream: StreamId,
        /// Whether to delete it with its registered consumers, if it has any.
        enforce: bool,
    },
    /// Removes what is left of a stream, once the storage of all its shards is freed.
    ForgetStream {
        /// The stream; it is being deleted.
        stream: StreamId,
    },
    /// Begins splits and merges; see [`Reshard`].
    Reshard(Reshard),
    /// Ends a reshard, once the parents take no more puts and their logs have come to their ends, and the logs of the
    /// children exist on disk.
    FinishReshard {
        /// The stream; a reshard of it has begun.
        stream: StreamId,
        /// Of each parent the end: one past its last record.
        ends: Vec<(ShardNumber, Offset)>,
        /// When.
        now: WallUs,
    },
    /// Moves a shard to another worker.
    MoveShard {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The shard; it is open or closed, and no reshard of it has begun.
        shard: ShardNumber,
        /// The worker to place it on; not the one it is on.
        to: WorkerId,
    },
    /// Sets how many shards of equal ranges a stream is to have. Reshards bring it there, round by round; the one that
    /// does it clears the target. If the stream is there already, nothing is set.
    ScaleStream {
        /// The stream; it is active and provisioned.
        stream: StreamId,
        /// The number of shards.
        target: u32,
        /// When.
        now: WallUs,
    },
    /// Marks shards that closed longer ago than the retention, and starts the freeing of their storage.
    ExpireShards {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The shards; all of them are closed.
        shards: Vec<ShardNumber>,
    },
    /// Removes shards, once their storage is freed.
    ForgetShards {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The shards; all of them have expired.
        shards: Vec<ShardNumber>,
    },
    /// Gives up the scaling of a stream, wherever it is. A reshard that has begun is not given up.
    ScaleDone {
        /// The stream; it is being scaled.
        stream: StreamId,
    },
    /// Sets and removes tags.
    TagStream {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The consumer whose tags are meant; those of the stream itself without.
        consumer: Option<ConsumerId>,
        /// Tags to set.
        set: Tags,
        /// Keys to remove, before others are set; those that are not there do not matter.
        remove: Vec<String>,
    },
    /// Notes with what a stream is said to be encrypted.
    SetEncryption {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The key; `None` for no encryption.
        key_id: Option<String>,
        /// When.
        now: WallUs,
    },
    /// Notes which metrics are wanted for each shard.
    SetMonitoring {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// All of them.
        metrics: ShardMetrics,
    },
    /// Notes a resource policy.
    SetPolicy {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The consumer whose policy is meant; that of the stream itself without.
        consumer: Option<ConsumerId>,
        /// The policy; `None` for none.
        policy: Option<String>,
    },
    /// Registers a consumer.
    RegisterConsumer {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The consumer's name; no other one of the stream has it.
        name: String,
        /// Its tags.
        tags: Tags,
        /// When.
        now: WallUs,
    },
    /// Removes a consumer.
    DeregisterConsumer {
        /// The stream; it is active or updating.
        stream: StreamId,
        /// The consumer.
        consumer: ConsumerId,
    },
    /// Changes a stored value.
    Store(StoreCommand),
}

/// Adds a stream with shards of equal ranges, placed on the least loaded workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateStream {
    /// Its name; no other stream has it.
    pub name: String,
    /// Number of its shards; 0 for as many as an on-demand stream starts with.
    pub shard_count: u32,
    /// Its settings.
    pub settings: Settings,
    /// Its tags.
    pub tags: Tags,
    /// When it is created.
    pub now: WallUs,
    /// Number of workers of the node.
    pub workers: u16,
}

/// Begins splits and merges, each of other shards. The children are created on the least loaded workers and take no puts
/// yet; the parents go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshard {
    /// The stream; it is active, or being scaled and no reshard has begun.
    pub stream: StreamId,
    /// At least one.
    pub ops: Vec<ReshardOp>,
    /// True if the node decided on it: a round of a scaling, or a stream on demand.
    pub by_node: bool,
    /// When.
    pub now: WallUs,
    /// Number of workers of the node.
    pub workers: u16,
}

impl Command {
    /// Checks the values against the limits of this build. For commands on their way into the log, not out of it.
    pub fn check_limits(&self) -> Result<(), CatalogError> {
        match self {
            Self::CreateStream(create) => create.check_limits(),
            Self::UpdateStream { change, now, .. } => {
                if change.is_empty() {
                    return Err(CatalogError::NothingToChange);
                }
                check_time(*now)?;
                change.check_limits()
            }
            Self::Reshard(Reshard { ops, now, workers, .. }) => {
                if *workers == 0 {
                    return Err(CatalogError::NoWorkers);
                }
                check_time(*now)?;
                check_some(ops)
            }
            Self::FinishReshard { now, .. } => check_time(*now),
            Self::MoveShard { to, .. } if usize::from(to.0) >= WORKERS_MAX => {
                Err(CatalogError::WorkerUnknown { worker: *to })
            }
            Self::ScaleStream { target, now, .. } => {
                check_time(*now)?;
                check_shard_count(*target)
            }
            Self::ExpireShards { shards, .. } | Self::ForgetShards { shards, .. } => check_some(shards),
            Self::TagStream { set, remove, .. } => {
                if set.is_empty() {
                    check_some(remove)?;
                }
                if remove.len() > TAGS_MAX {
                    return Err(CatalogError::TagsFull);
                }
                check_tags(set)?;
                remove.iter().try_for_each(|key| check_tag_key(key))
            }
            Self::SetEncryption { key_id, now, .. } => {
                check_time(*now)?;
                key_id.as_deref().map_or(Ok(()), check_key_id)
            }
            Self::SetPolicy { policy, .. } => policy.as_deref().map_or(Ok(()), check_policy),
            Self::RegisterConsumer { name, tags, now, .. } => {
                check_consumer_name(name)?;
                check_tags(tags)?;
                check_time(*now)
            }
            Self::Store(command) => Ok(command.check_limits()?),
            Self::ActivateStream { .. }
            | Self::DeleteStream { .. }
            | Self::ForgetStream { .. }
            | Self::MoveShard { .. }
            | Self::ScaleDone { .. }
            | Self::SetMonitoring { .. }
            | Self::DeregisterConsumer { .. } => Ok(()),
        }
    }
}

impl CreateStream {
    fn check_limits(&self) -> Result<(), CatalogError> {
        check_name(&self.name)?;
        check_shard_count(self.shards())?;
        if self.workers == 0 {
            return Err(CatalogError::NoWorkers);
        }
        check_tags(&self.tags)?;
        check_time(self.now)?;
        self.settings.check_limits()
    }

    /// Number of its shards: what was asked for, or else what an on-demand stream starts with.
    #[must_use]
    pub fn shards(&self) -> u32 {
        match (self.shard_count, self.settings.initial_shards()) {
            (0, Some(initial)) => initial,
            (count, _) => count,
        }
    }
}

/// Checks a stream name: 1 to 128 of the characters a-z, A-Z, 0-9, `_`, `.`, `-`, as in Kinesis.
pub fn check_name(name: &str) -> Result<(), CatalogError> {
    if is_name(name, STREAM_NAME_BYTES_MAX) { Ok(()) } else { Err(CatalogError::NameInvalid) }
}

/// Checks the name of a consumer: 1 to 128 of the characters a-z, A-Z, 0-9, `_`, `.`, `-`, as in Kinesis.
pub fn check_consumer_name(name: &str) -> Result<(), CatalogError> {
    if is_name(name, CONSUMER_NAME_BYTES_MAX) { Ok(()) } else { Err(CatalogError::ConsumerNameInvalid) }
}

fn is_name(name: &str, bytes_max: usize) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    (1..=bytes_max).contains(&name.len()) && name.bytes().all(allowed)
}

const fn check_shard_count(count: u32) -> Result<(), CatalogError> {
    if count == 0 || count > SHARDS_PER_STREAM_MAX {
        return Err(CatalogError::ShardCount { count });
    }
    Ok(())
}

const fn check_time(now: WallUs) -> Result<(), CatalogError> {
    if now.0 > WALL_US_MAX {
        return Err(CatalogError::Clock { now });
    }
    Ok(())
}

const fn check_some<T>(things: &[T]) -> Result<(), CatalogError> {
    if things.is_empty() { Err(CatalogError::NothingToChange) } else { Ok(()) }
}
