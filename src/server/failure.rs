//! Everything an operation can fail with, and what the native protocol says then: one exhaustive match.

use thiserror::Error;

use crate::catalog::{CatalogError, Status, StoreError};
use crate::engine::catalog::ProposeError;
use crate::engine::log::{DrainError, StampError};
use crate::engine::read::ReadError;
use crate::engine::recover::RecoverError;
use crate::engine::shard::{PositionError, PutError};
use crate::limits::{
    AWS_ENCRYPTION_CHANGES_PER_DAY, AWS_MODE_SWITCHES_PER_DAY, AWS_SCALINGS_PER_DAY, SHARDS_MAX, SHARDS_PER_STREAM_MAX,
    STORE_BYTES_MAX, STORE_ITEMS_MAX, STREAMS_MAX, TAGS_MAX,
};
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::shard::admission::PutRefusal;
use crate::shard::fanout::InUse;
use crate::shard::position::StartError;
use crate::shard::throttle::Throttled;
use crate::types::{GroupId, WorkerId};

/// How long a put waits for room in its shard before it is turned away.
pub const PUT_WAIT_MS: u64 = 5_000;

/// Why an operation failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// The batch is not stored.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The log died, or the worker that has it ended, while a batch or a change was on its way to the disk.
    #[error("the log failed or its worker is gone; the change may or may not be in force")]
    OutcomeUnknown,
    /// The shard's disk did not keep up.
    #[error("the shard takes no more puts until earlier ones are durable")]
    Overloaded,
    /// Nothing can be read there.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The position cannot be resolved.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// No such stream.
    #[error("there is no stream named {0}")]
    StreamUnknown(String),
    /// The stream is being created or deleted.
    #[error("the stream is {0}")]
    StreamNotActive(Status),
    /// No such shard, or no longer.
    #[error("there is no shard with group {0}")]
    ShardUnknown(GroupId),
    /// The shard is changing its worker.
    #[error("shard with group {0} is moving to another worker")]
    ShardMoving(GroupId),
    /// The shard is damaged, and cannot be split, merged or moved before it is repaired.
    #[error("shard with group {0} is damaged")]
    Quarantined(GroupId),
    /// The shard does not come to an end.
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// The shard cannot be opened where it moved to.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A reshard takes longer than a client is kept waiting.
    #[error("the shards are still being split and merged; it goes on")]
    StillUnderWay,
    /// The change is in force, durably, and a worker has not done what it asks: the node stops, or a disk failed. It goes on, at
    /// the next start at the latest. Never said to have been refused: whoever asked would ask again.
    #[error("the change is in force; carrying it out goes on")]
    InForce,
    /// The stream has no such consumer.
    #[error("the stream has no consumer {0}")]
    ConsumerUnknown(String),
    /// The consumer subscribed to the shard a moment ago.
    #[error(transparent)]
    PipeInUse(#[from] InUse),
    /// A newer subscription of the consumer has the pipe now.
    #[error("a newer subscription of the same consumer took over")]
    TakenOver,
    /// Somebody holds the lease. Said as the holder's name alone: clients compare it with their own.
    #[error("{owner}")]
    LeaseHeld {
        /// Who.
        owner: String,
        /// By which grant.
        token: u64,
        /// Microseconds until it runs out.
        left_us: u64,
    },
    /// The lease with the token that was sent is over.
    #[error("the lease is over: it was given back, has been taken over, or never was")]
    LeaseLost {
        /// The token of the lease there is; 0 if there is none.
        current: u64,
    },
    /// The catalogue takes no such change.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The catalogue takes no changes at all.
    #[error(transparent)]
    Propose(ProposeError),
    /// The worker that owns the shard is gone: the node is stopping.
    #[error("worker {0} is stopping")]
    WorkerGone(WorkerId),
    /// The node is stopping.
    #[error("the node is stopping")]
    Draining,
    /// A request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The machine said no.
    #[error("internal failure: {0}")]
    Io(#[from] std::io::Error),
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Refused(error) => Self::Catalog(error),
            other => Self::Propose(other),
        }
    }
}

impl From<PutRefusal> for Failure {
    fn from(refusal: PutRefusal) -> Self {
        Self::Put(PutError::Refused(refusal))
    }
}

impl Failure {
    /// What the native protocol answers.
    pub fn answer(&self) -> ErrorAnswer<'static> {
        let (code, a, b) = match self {
            Self::Put(PutError::Record(error)) => return ErrorAnswer::from(*error),
            Self::Put(PutError::Checksum { stored, computed }) => {
                (ErrorCode::BodyChecksum, u64::from(*stored), u64::from(*computed))
            }
            Self::Put(PutError::Refused(refusal)) => refused(*refusal),
            Self::Put(PutError::Stamp(stamp)) => stamped(*stamp),
            Self::Put(PutError::Throttled(Throttled { retry_after_us })) => (ErrorCode::Throttled, *retry_after_us, 0),
            Self::OutcomeUnknown => (ErrorCode::LogFailed, 0, 0),
            Self::Overloaded => (ErrorCode::ShardOverloaded, 0, 0),
            Self::Read(error) | Self::Position(PositionError::Read(error)) => read(error),
            Self::Position(PositionError::Start(StartError::BeforeHorizon { horizon })) => {
                (ErrorCode::BeforeHorizon, horizon.0, 0)
            }
            Self::Position(PositionError::Start(StartError::BeyondEnd { end })) => (ErrorCode::BeyondEnd, end.0, 0),
            Self::StreamUnknown(_) => (ErrorCode::StreamNotFound, 0, 0),
            Self::StreamNotActive(_) => (ErrorCode::StreamNotActive, 0, 0),
            Self::ShardUnknown(_) => (ErrorCode::ShardNotFound, 0, 0),
            Self::ShardMoving(_) => (ErrorCode::WrongShardMap, 0, 0),
            Self::Quarantined(_) => (ErrorCode::ShardQuarantined, 0, 0),
            Self::Drain(DrainError::Refused(refusal)) => refused(*refusal),
            Self::Drain(DrainError::NotHeld) => (ErrorCode::ReshardInProgress, 0, 0),
            Self::Recover(_) => (ErrorCode::Internal, 0, 0),
            Self::StillUnderWay | Self::InForce => (ErrorCode::Timeout, 0, 0),
            Self::ConsumerUnknown(_) => (ErrorCode::ConsumerNotFound, 0, 0),
            Self::PipeInUse(InUse { retry_after_us }) => (ErrorCode::Throttled, *retry_after_us, 0),
            Self::TakenOver => (ErrorCode::SubscriptionTakenOver, 0, 0),
            Self::LeaseHeld { token, left_us, .. } => (ErrorCode::LeaseHeld, *token, left_us.div_ceil(1_000)),
            Self::LeaseLost { current } => (ErrorCode::LeaseLost, *current, 0),
            Self::Catalog(error) => catalog(error),
            Self::Propose(ProposeError::Closed(refusal)) => refused(*refusal),
            // The next one will likely be stored.
            Self::Propose(ProposeError::NotStored) => (ErrorCode::WorkerOverloaded, 0, 0),
            Self::Propose(ProposeError::OutcomeUnknown) => (ErrorCode::LogFailed, 0, 0),
            Self::Propose(ProposeError::Refused(error)) => catalog(error),
            Self::WorkerGone(_) | Self::Draining => (ErrorCode::Draining, 0, 0),
            Self::Invalid(_) => (ErrorCode::InvalidArgument, 0, 0),
            Self::Io(_) => (ErrorCode::Internal, 0, 0),
        };
        let answer = ErrorAnswer::new(code).details(a, b).message(self.to_string());
        match code {
            // The first detail says exactly when there is room.
            ErrorCode::Throttled => answer.retry_after(u32::try_from(a.div_ceil(1_000)).unwrap_or(u32::MAX)),
            _ => answer,
        }
    }
}

fn refused(refusal: PutRefusal) -> (ErrorCode, u64, u64) {
    match refusal {
        PutRefusal::Creating | PutRefusal::Deleting => (ErrorCode::StreamNotActive, 0, 0),
        PutRefusal::Quarantined => (ErrorCode::ShardQuarantined, 0, 0),
        PutRefusal::Closed => (ErrorCode::ShardClosed, 0, 0),
        PutRefusal::Moving => (ErrorCode::WrongShardMap, 0, 0),
        PutRefusal::DiskFull { free_bytes, reserve_bytes } => (ErrorCode::DiskFull, free_bytes, reserve_bytes),
        PutRefusal::Stopping => (ErrorCode::Draining, 0, 0),
        // Refused before anything was taken: the batch is certainly not stored, and recovery is under way.
        PutRefusal::Dead => (ErrorCode::ShardOverloaded, 0, 0),
    }
}

fn stamped(error: StampError) -> (ErrorCode, u64, u64) {
    match error {
        StampError::Fenced { current } => (ErrorCode::ProducerFenced, current.into(), 0),
        StampError::Gap { expected } => (ErrorCode::ProducerGap, expected.into(), 0),
        StampError::Forgotten => (ErrorCode::DuplicateForgotten, 0, 0),
        StampError::Unknown | StampError::NumbersUsedUp => (ErrorCode::ProducerUnknown, 0, 0),
        StampError::Full => (ErrorCode::ShardOverloaded, 0, 0),
    }
}

fn read(error: &ReadError) -> (ErrorCode, u64, u64) {
    match error {
        ReadError::BeforeHorizon { horizon } => (ErrorCode::BeforeHorizon, horizon.0, 0),
        ReadError::BeyondEnd { end } => (ErrorCode::BeyondEnd, end.0, 0),
        ReadError::Damaged { from, resume, .. } => (ErrorCode::DataLost, resume.0, from.0),
        ReadError::Throttled(Throttled { retry_after_us }) => (ErrorCode::Throttled, *retry_after_us, 0),
        ReadError::Away => (ErrorCode::WrongShardMap, 0, 0),
        ReadError::Io(_) => (ErrorCode::Internal, 0, 0),
    }
}

fn catalog(error: &CatalogError) -> (ErrorCode, u64, u64) {
    let plain = |code| (code, 0, 0);
    let limit = |limit: u64| (ErrorCode::LimitExceeded, limit, 0);
    match error {
        CatalogError::NameTaken { .. } => plain(ErrorCode::StreamExists),
        CatalogError::StreamUnknown { .. } => plain(ErrorCode::StreamNotFound),
        // A change of its shards that is under way forbids another one; anything else comes and goes by itself.
        CatalogError::StatusWrong { status: Status::Updating, .. } => plain(ErrorCode::ReshardInProgress),
        CatalogError::StatusWrong { .. } => plain(ErrorCode::StreamNotActive),
        CatalogError::StreamsFull => limit(STREAMS_MAX as u64),
        CatalogError::StreamFull { .. } => limit(SHARDS_PER_STREAM_MAX.into()),
        CatalogError::ShardsFull { .. } => limit(SHARDS_MAX as u64),
        CatalogError::ModeSwitches => limit(AWS_MODE_SWITCHES_PER_DAY as u64),
        CatalogError::EncryptionChanges => limit(AWS_ENCRYPTION_CHANGES_PER_DAY as u64),
        CatalogError::Scalings => limit(AWS_SCALINGS_PER_DAY as u64),
        CatalogError::ShardNumbersUsedUp { .. } => limit(u32::MAX.into()),
        CatalogError::TagsFull => limit(TAGS_MAX as u64),
        CatalogError::ConsumersFull { max } => limit(*max as u64),
        CatalogError::ShardUnknown { .. } => plain(ErrorCode::ShardNotFound),
        CatalogError::ModeWrong { .. } => plain(ErrorCode::WrongMode),
        CatalogError::HasConsumers { count, .. } => (ErrorCode::HasConsumers, *count as u64, 0),
        CatalogError::ConsumerTaken { .. } => plain(ErrorCode::ConsumerExists),
        CatalogError::ConsumerUnknown { .. } => plain(ErrorCode::ConsumerNotFound),
        CatalogError::Store(error) => store(error),
        CatalogError::NameInvalid
        | CatalogError::ShardCount { .. }
        | CatalogError::Retention { .. }
        | CatalogError::RecordBytes { .. }
        | CatalogError::NoWorkers
        | CatalogError::NothingToChange
        | CatalogError::Clock { .. }
        | CatalogError::Bounds { .. }
        | CatalogError::WarmThroughput { .. }
        | CatalogError::GetRecordsWait { .. }
        | CatalogError::Conflict { .. }
        | CatalogError::ShardNotOpen { .. }
        | CatalogError::ShardStateWrong { .. }
        | CatalogError::ShardTwice { .. }
        | CatalogError::SplitKey { .. }
        | CatalogError::NotAdjacent { .. }
        | CatalogError::NotResharding { .. }
        | CatalogError::EndsWrong { .. }
        | CatalogError::NotScaling { .. }
        | CatalogError::ScaleTarget { .. }
        | CatalogError::WorkerUnknown { .. }
        | CatalogError::ConsumerNameInvalid
        | CatalogError::TagInvalid { .. }
        | CatalogError::KeyIdInvalid
        | CatalogError::PolicyBytes { .. } => plain(ErrorCode::InvalidArgument),
    }
}

fn store(error: &StoreError) -> (ErrorCode, u64, u64) {
    match error {
        StoreError::Full { items, .. } if *items >= STORE_ITEMS_MAX => {
            (ErrorCode::StoreFull, STORE_ITEMS_MAX as u64, 0)
        }
        StoreError::Full { .. } => (ErrorCode::StoreFull, STORE_BYTES_MAX as u64, 0),
        StoreError::Absent | StoreError::VersionWrong { current: None } => (ErrorCode::VersionMismatch, 0, 0),
        StoreError::VersionWrong { current: Some(version) } => (ErrorCode::VersionMismatch, *version, 1),
        StoreError::LeaseHeld { token, .. } => (ErrorCode::LeaseLost, *token, 0),
        StoreError::LeaseOver { .. } => (ErrorCode::LeaseLost, 0, 0),
        StoreError::SpaceInvalid
        | StoreError::KeyInvalid
        | StoreError::ValueBytes { .. }
        | StoreError::OwnerInvalid
        | StoreError::LeaseTtl { .. } => (ErrorCode::InvalidArgument, 0, 0),
    }
}
