//! Why the catalogue refuses a command.

use thiserror::Error;

use crate::catalog::stream::Status;
use crate::limits::{
    RECORD_BYTES_MAX, RECORD_BYTES_MIN, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN, SHARDS_MAX, SHARDS_PER_STREAM_MAX,
    STREAM_NAME_BYTES_MAX, STREAMS_MAX,
};
use crate::types::StreamId;

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
    #[error("{count} shards: a stream can be created with 1 to {SHARDS_PER_STREAM_MAX}")]
    ShardCount {
        /// What was asked for.
        count: u32,
    },
    /// The node holds as many streams as it can.
    #[error("the node holds {STREAMS_MAX} streams, that is its limit")]
    StreamsFull,
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
}

impl CatalogError {
    /// True if the same command can succeed later without anybody changing it.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            // Creating and deleting end by themselves.
            Self::NameTaken { status, .. } => matches!(status, Status::Deleting),
            Self::StatusWrong { status, .. } => matches!(status, Status::Creating),
            // Numbers are never reused; the others are the caller's to correct, or need somebody to delete streams.
            Self::StreamUnknown { .. }
            | Self::NameInvalid
            | Self::ShardCount { .. }
            | Self::StreamsFull
            | Self::ShardsFull { .. }
            | Self::Retention { .. }
            | Self::RecordBytes { .. }
            | Self::NoWorkers
            | Self::NothingToChange => false,
        }
    }
}
