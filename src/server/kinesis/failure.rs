//! What Kinesis says to each failure: one exhaustive match. Texts as the real service words them, as far as they are public.

use crate::catalog::{CatalogError, Mode, Status};
use crate::engine::catalog::ProposeError;
use crate::engine::read::ReadError;
use crate::engine::shard::{PositionError, PutError};
use crate::kinesis::error::{Code, Error};
use crate::limits::{AWS_SCALINGS_PER_DAY, SHARDS_PER_STREAM_MAX, TAGS_MAX};
use crate::server::failure::Failure;
use crate::shard::admission::PutRefusal;
use crate::shard::position::StartError;
use crate::types::ShardNumber;

/// What a request was about, for the messages.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The account.
    pub account: &'a str,
    /// The stream's name.
    pub stream: &'a str,
    /// The shard, if it was about one.
    pub shard: Option<ShardNumber>,
    /// The consumer's name, if it was about one.
    pub consumer: Option<&'a str>,
}

impl<'a> About<'a> {
    /// A request about a stream.
    pub const fn stream(account: &'a str, stream: &'a str) -> Self {
        Self { account, stream, shard: None, consumer: None }
    }

    /// About one of its shards.
    pub const fn shard(self, shard: ShardNumber) -> Self {
        Self { shard: Some(shard), ..self }
    }

    /// About one of its consumers.
    pub const fn consumer(self, consumer: &'a str) -> Self {
        Self { consumer: Some(consumer), ..self }
    }

    /// There is no such stream.
    pub fn no_stream(&self) -> Error {
        let Self { account, stream, .. } = self;
        Error::new(Code::ResourceNotFoundException, format!("Stream {stream} under account {account} not found."))
    }

    /// There is such a stream already.
    pub fn exists(&self) -> Error {
        let Self { account, stream, .. } = self;
        Error::new(Code::ResourceInUseException, format!("Stream {stream} under account {account} already exists."))
    }

    /// The stream is in a state that does not allow it.
    pub fn not_active(&self, status: Status) -> Error {
        let Self { account, stream, .. } = self;
        let text = format!("Stream {stream} under account {account} not ACTIVE, instead in state {status}");
        Error::new(Code::ResourceInUseException, text)
    }

    /// There is no such shard; `shard` as the client named it.
    pub fn no_shard(&self, shard: impl std::fmt::Display) -> Error {
        let Self { account, stream, .. } = self;
        let text = format!("Could not find shard {shard} in stream {stream} under account {account}.");
        Error::new(Code::ResourceNotFoundException, text)
    }

    /// A reader asks for a shard that does not exist, be it that its stream does not.
    pub fn nothing_to_read(&self, shard: impl std::fmt::Display) -> Error {
        let Self { account, stream, .. } = self;
        let text = format!("Shard {shard} in stream {stream} under account {account} does not exist");
        Error::new(Code::ResourceNotFoundException, text)
    }

    /// The stream has no such consumer.
    pub fn no_consumer(&self, consumer: impl std::fmt::Display) -> Error {
        let Self { account, stream, .. } = self;
        let text = format!("Consumer {consumer}, account {account} not found under stream {stream}.");
        Error::new(Code::ResourceNotFoundException, text)
    }

    /// The shard's rate is exceeded.
    pub fn rate_exceeded(&self) -> Error {
        Error::new(Code::ProvisionedThroughputExceededException, self.rate_exceeded_text())
    }

    /// As [`About::rate_exceeded`], for one record of several.
    pub fn rate_exceeded_text(&self) -> String {
        let Self { account, stream, shard, .. } = self;
        let shard = shard.unwrap_or_default();
        format!("Rate exceeded for shard {shard} in stream {stream} under account {account}.")
    }

    /// The consumer has a subscription to the shard.
    pub fn subscribed(&self) -> Error {
        let Self { account, stream, shard, consumer } = self;
        let (shard, consumer) = (shard.unwrap_or_default(), consumer.unwrap_or_default());
        let text =
            format!("Another active subscription exists for this consumer: {account}:{stream}:{shard}:{consumer}");
        Error::new(Code::ResourceInUseException, text)
    }

    /// The stream has a consumer of this name already.
    pub fn consumer_exists(&self, name: &str) -> Error {
        let Self { account, stream, .. } = self;
        let text = format!("Consumer {name} under stream {stream} and account {account} already exists.");
        Error::new(Code::ResourceInUseException, text)
    }

    /// The consumer is being registered or deregistered.
    pub fn consumer_not_active(&self) -> Error {
        let Self { account, stream, consumer, .. } = self;
        let consumer = consumer.unwrap_or_default();
        let text = format!("Consumer {consumer} under stream {stream}, account {account} is not in ACTIVE status.");
        Error::new(Code::ResourceInUseException, text)
    }

    fn under_way(&self, text: &str) -> Error {
        let Self { account, stream, .. } = self;
        Error::new(Code::ResourceInUseException, format!("Stream {stream} under account {account}: {text}"))
    }
}

/// We failed.
fn internal(failure: impl std::fmt::Display) -> Error {
    // Clients try again. Who looks at their logs is told what the node's say too.
    Error::new(Code::InternalFailureException, format!("Internal service failure: {failure}"))
}

fn unavailable() -> Error {
    Error::new(Code::ServiceUnavailable, "The node is stopping.")
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgumentException, text)
}

fn limit(text: impl Into<String>) -> Error {
    Error::new(Code::LimitExceededException, text)
}

/// What a client is told.
pub fn error(failure: &Failure, about: &About<'_>) -> Error {
    match failure {
        Failure::Put(error) => put(error, about),
        // Slow down: what the client does on either is the same, and this one it does without being told twice.
        Failure::Overloaded => about.rate_exceeded(),
        Failure::Read(error) | Failure::Position(PositionError::Read(error)) => read(error, about),
        Failure::Position(PositionError::Start(error)) => start(*error),
        Failure::StreamUnknown(_) => about.no_stream(),
        Failure::StreamNotActive(status) => about.not_active(*status),
        Failure::ShardUnknown(_) => match about.shard {
            Some(shard) => about.no_shard(shard),
            None => about.no_stream(),
        },
        Failure::Quarantined(_) => about.under_way("a shard is damaged and has to be repaired first"),
        Failure::Drain(_) => about.not_active(Status::Updating),
        Failure::StillUnderWay => about.not_active(Status::Updating),
        Failure::ConsumerUnknown(consumer) => about.no_consumer(about.consumer.unwrap_or(consumer)),
        Failure::PipeInUse(_) | Failure::TakenOver => about.subscribed(),
        Failure::Catalog(error) | Failure::Propose(ProposeError::Refused(error)) => catalog(error, about),
        Failure::WorkerGone(_) | Failure::Draining => unavailable(),
        Failure::Invalid(text) => invalid(*text),
        Failure::OutcomeUnknown
        | Failure::InForce
        | Failure::ShardMoving(_)
        | Failure::Recover(_)
        | Failure::LeaseHeld { .. }
        | Failure::LeaseLost { .. }
        | Failure::Propose(ProposeError::Closed(_) | ProposeError::NotStored | ProposeError::OutcomeUnknown)
        | Failure::Io(_) => internal(failure),
    }
}

fn put(error: &PutError, about: &About<'_>) -> Error {
    match error {
        PutError::Throttled(_) => about.rate_exceeded(),
        PutError::Refused(PutRefusal::Creating | PutRefusal::Deleting) => about.no_stream(),
        PutError::Refused(PutRefusal::Stopping) => unavailable(),
        PutError::Record(error) => invalid(error.to_string()),
        PutError::Refused(
            PutRefusal::Quarantined
            | PutRefusal::Closed
            | PutRefusal::Moving
            | PutRefusal::DiskFull { .. }
            | PutRefusal::Dead,
        )
        | PutError::Stamp(_)
        | PutError::Checksum { .. } => internal(error),
    }
}

fn read(error: &ReadError, about: &About<'_>) -> Error {
    match error {
        ReadError::Throttled(_) => about.rate_exceeded(),
        ReadError::BeforeHorizon { .. }
        | ReadError::BeyondEnd { .. }
        | ReadError::Damaged { .. }
        | ReadError::Away
        | ReadError::Io(_) => internal(error),
    }
}

fn start(error: StartError) -> Error {
    match error {
        StartError::BeforeHorizon { .. } | StartError::BeyondEnd { .. } => invalid(error.to_string()),
    }
}

fn catalog(error: &CatalogError, about: &About<'_>) -> Error {
    let About { account, stream, .. } = about;
    match error {
        CatalogError::NameTaken { .. } => about.exists(),
        CatalogError::StreamUnknown { .. } => about.no_stream(),
        CatalogError::StatusWrong { status: Status::Deleting, .. } => about.no_stream(),
        CatalogError::StatusWrong { status, .. } => about.not_active(*status),
        CatalogError::ShardUnknown { shard, .. } => about.no_shard(shard),
        CatalogError::ModeWrong { mode, .. } => {
            let mode = match mode {
                Mode::OnDemand(_) => "On-Demand",
                Mode::Provisioned => "Provisioned",
            };
            let text = format!("Request is invalid. Stream {stream} under account {account} is in {mode} mode.");
            Error::new(Code::ValidationException, text)
        }
        CatalogError::ShardNotOpen { shard, .. } | CatalogError::ShardStateWrong { shard, .. } => invalid(format!(
            "Shard {shard} in stream {stream} under account {account} has already been merged or split, and thus is not \
             eligible for merging or splitting."
        )),
        CatalogError::SplitKey { shard, at, range } => invalid(format!(
            "NewStartingHashKey {at} used in SplitShard() on shard {shard} in stream {stream} under account {account} is not \
             both greater than one plus the shard's StartingHashKey {} and less than the shard's EndingHashKey {}.",
            range.start, range.end
        )),
        CatalogError::NotAdjacent { shard, adjacent } => not_adjacent(about, *shard, *adjacent),
        CatalogError::ShardTwice { shard } => not_adjacent(about, *shard, *shard),
        CatalogError::ScaleTarget { open, target } => {
            let way = if target > open { "up over double" } else { "down below half" };
            limit(format!(
                "UpdateShardCount cannot scale {way} your current open shard count. Current open shard count: {open}, \
                 Target shard count: {target}"
            ))
        }
        CatalogError::Scalings => limit(format!(
            "You have exceeded the limit of {AWS_SCALINGS_PER_DAY} UpdateShardCount calls in a rolling 24-hour period for \
             stream {stream} under account {account}."
        )),
        CatalogError::ShardCount { count } => limit(format!(
            "Target shard count or number of open shards cannot be greater than {SHARDS_PER_STREAM_MAX}. Target shard count: \
             {count}"
        )),
        CatalogError::HasConsumers { count, .. } => {
            about.under_way(&format!("{count} registered consumers have to be deregistered first"))
        }
        CatalogError::ConsumerTaken { name } => about.consumer_exists(name),
        CatalogError::ConsumerUnknown { consumer } => match about.consumer {
            Some(consumer) => about.no_consumer(consumer),
            None => about.no_consumer(consumer),
        },
        CatalogError::TagInvalid { .. } => invalid(
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - @ :.",
        ),
        CatalogError::TagsFull => invalid(format!(
            "Failed to add tags to stream {stream} under account {account} because a given stream cannot have more than \
             {TAGS_MAX} tags associated with it."
        )),
        CatalogError::StreamsFull
        | CatalogError::StreamFull { .. }
        | CatalogError::ShardsFull { .. }
        | CatalogError::ModeSwitches
        | CatalogError::EncryptionChanges
        | CatalogError::ConsumersFull { .. }
        | CatalogError::ShardNumbersUsedUp { .. } => limit(error.to_string()),
        CatalogError::RecordBytes { .. } => Error::new(Code::ValidationException, error.to_string()),
        CatalogError::NameInvalid
        | CatalogError::Retention { .. }
        | CatalogError::GetRecordsWait { .. }
        | CatalogError::NothingToChange
        | CatalogError::Bounds { .. }
        | CatalogError::WarmThroughput { .. }
        | CatalogError::Conflict { .. }
        | CatalogError::ConsumerNameInvalid
        | CatalogError::KeyIdInvalid
        | CatalogError::PolicyBytes { .. } => invalid(error.to_string()),
        CatalogError::NoWorkers
        | CatalogError::Clock { .. }
        | CatalogError::NotResharding { .. }
        | CatalogError::EndsWrong { .. }
        | CatalogError::NotScaling { .. }
        | CatalogError::WorkerUnknown { .. }
        | CatalogError::Store(_) => internal(error),
    }
}

fn not_adjacent(about: &About<'_>, one: ShardNumber, other: ShardNumber) -> Error {
    let About { account, stream, .. } = about;
    invalid(format!(
        "Shards {one} and {other} in stream {stream} under account {account} are not an adjacent pair of shards eligible for \
         merging"
    ))
}
