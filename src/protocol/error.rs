//! Errors on the wire: a stable code, a class that says how to react, and the AWS exception it becomes.

use std::borrow::Cow;
use std::fmt;

use super::{Decode, Encode};
use crate::codec::{DecodeError, Reader, Write};
use crate::format::record::RecordError;
use crate::limits::ERROR_MESSAGE_BYTES_MAX;

/// How a client reacts to an error. Sent beside the code, so that a client older than a code still does the right thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ErrorClass {
    /// Nothing was done. Send the same again at once, on a new connection if this one closes.
    RetryNow = 1,
    /// Nothing was done. Send the same again after the time the error names.
    RetryAfter = 2,
    /// Nothing was done. The client's shard map is old: describe the stream again, then send to the right shard.
    RefreshMap = 3,
    /// Nothing was done, and the same request will never succeed.
    CallerBug = 4,
    /// What the request names does not exist, or exists no more.
    Gone = 5,
    /// Nothing was done. There is no room; room comes only when something is deleted or raised.
    Full = 6,
    /// The request may or may not have happened. A put with a producer stamp is sent again safely.
    OutcomeUnknown = 7,
    /// Nothing was done. The present state forbids it; look at it (the details say what it is) and decide.
    Conflict = 8,
}

impl ErrorClass {
    /// The class with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::RetryNow),
            2 => Some(Self::RetryAfter),
            3 => Some(Self::RefreshMap),
            4 => Some(Self::CallerBug),
            5 => Some(Self::Gone),
            6 => Some(Self::Full),
            7 => Some(Self::OutcomeUnknown),
            8 => Some(Self::Conflict),
            _ => None,
        }
    }
}

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal,)*) => {
        /// What went wrong. Numbers are stable and never reused; 0 means no error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $($(#[doc = $doc])* $name = $code,)*
        }

        impl ErrorCode {
            /// Every code, by number.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The error with this number.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The error's name, as in PROTOCOL.md and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// What the error and its details mean, as in PROTOCOL.md.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

error_codes! {
    /// The bytes are not a message: magic, flags, direction or correlation.
    BadHead = 1,
    /// No common protocol version. Details: oldest and newest version of the node.
    UnsupportedVersion = 2,
    /// The checksum over head and args does not match.
    HeadChecksum = 3,
    /// A length exceeds the protocol's limit. Details: length, limit.
    TooLarge = 4,
    /// The first request of a connection was not a Hello.
    HelloExpected = 5,
    /// The token is missing or wrong.
    Unauthorized = 6,
    /// The worker has all the connections it takes.
    TooManyConnections = 7,
    /// The handshake, or a request that had begun to arrive, was not complete in time.
    TooSlow = 8,

    /// The operation's number is unknown to this node. Details: the number.
    UnsupportedOpcode = 32,
    /// The args are not those of the operation.
    Malformed = 33,
    /// The body's checksum does not match. Details: stored, computed.
    BodyChecksum = 34,
    /// A record is not well-formed. Details: number of the record in the request.
    BadRecord = 35,
    /// A record exceeds the stream's limit. Details: number of the record in the request, the limit.
    RecordTooLarge = 36,
    /// An argument has a value it cannot have.
    InvalidArgument = 37,

    /// No stream has this name.
    StreamNotFound = 64,
    /// A stream of this name exists.
    StreamExists = 65,
    /// The stream is being created or deleted.
    StreamNotActive = 66,
    /// No shard on this node has this group or number.
    ShardNotFound = 67,
    /// The shard has moved or the key's range belongs to another shard. Details: version of the catalogue.
    WrongShardMap = 68,
    /// The shard is closed: it takes no records. Its children do. Details: version of the catalogue.
    ShardClosed = 69,
    /// The shard's log is damaged; it takes no records until it is repaired.
    ShardQuarantined = 70,
    /// Records from the asked offset on are lost. Details: the first intact offset after them.
    DataLost = 71,
    /// The offset is older than the retention. Details: the horizon.
    BeforeHorizon = 72,
    /// The offset is beyond the next one to be committed. Details: that one.
    BeyondEnd = 73,
    /// Shards of the stream are being split, merged or scaled already.
    ReshardInProgress = 74,
    /// The stream's capacity mode does not allow it: an on-demand stream divides itself.
    WrongMode = 75,
    /// The stream has no consumer of this name or number.
    ConsumerNotFound = 76,
    /// The stream has a consumer of this name.
    ConsumerExists = 77,
    /// The stream has registered consumers, and their deletion was not asked for. Details: how many.
    HasConsumers = 78,
    /// A newer subscription of the same consumer to the same shard took this one's place.
    SubscriptionTakenOver = 79,

    /// A limit on streams, shards or settings is reached. Details: the limit.
    LimitExceeded = 96,
    /// The connection has all the subscriptions it can have. Details: the limit.
    TooManySubscriptions = 97,
    /// The connection has too many unanswered requests. Details: the limit.
    TooManyInFlight = 98,
    /// The shard takes records faster than it can store them.
    ShardOverloaded = 99,
    /// The worker, or the way to it, has no room for the request now.
    WorkerOverloaded = 100,
    /// The disk has reached its reserve. Reads and deletions go on.
    DiskFull = 101,
    /// The stream's throughput limit is used up. Details: microseconds until it allows more.
    Throttled = 102,
    /// The store has no room for another value. Details: the limit, in items or bytes.
    StoreFull = 103,

    /// The item is not of the expected version. Details: its version, and 1 if there is an item, 0 if not.
    VersionMismatch = 112,
    /// The lease is held. Details: its token, milliseconds it still lasts. The message names the holder.
    LeaseHeld = 113,
    /// The token is not the one of the item's lease. Details: the token of that lease, 0 if there is none.
    LeaseLost = 114,

    /// A newer incarnation of this producer exists. Details: its epoch.
    ProducerFenced = 128,
    /// The batch is not the producer's next one. Details: the expected sequence.
    ProducerGap = 129,
    /// The shard does not know this producer, or no more: start a new epoch with sequence 0.
    ProducerUnknown = 130,
    /// The batch was stored before, so long ago that its offset is forgotten.
    DuplicateForgotten = 131,

    /// The shard's log could not be written or synced.
    LogFailed = 160,
    /// The node is stopping.
    Draining = 161,
    /// The request took longer than the node waits.
    Timeout = 162,
    /// Something is wrong inside the node.
    Internal = 163,
}

impl ErrorCode {
    /// How to react.
    #[must_use]
    pub const fn class(self) -> ErrorClass {
        match self {
            // The sender's code writes wrong bytes; it will write them again.
            Self::BadHead | Self::UnsupportedOpcode | Self::Malformed | Self::HelloExpected => ErrorClass::CallerBug,
            // No wait changes what either end speaks.
            Self::UnsupportedVersion => ErrorClass::CallerBug,
            // The bytes were damaged under way: the next copy will likely be whole.
            Self::HeadChecksum | Self::BodyChecksum => ErrorClass::RetryNow,
            // The same request stays too large.
            Self::TooLarge | Self::RecordTooLarge => ErrorClass::CallerBug,
            // The same token stays wrong.
            Self::Unauthorized => ErrorClass::CallerBug,
            // Connections end all the time.
            Self::TooManyConnections => ErrorClass::RetryAfter,
            // The request never became whole, so nothing was done; the path is slow, so not at once.
            Self::TooSlow => ErrorClass::RetryAfter,
            // The same values stay wrong.
            Self::BadRecord | Self::InvalidArgument => ErrorClass::CallerBug,
            // The name means nothing until somebody creates it: not for this request to wait for.
            Self::StreamNotFound => ErrorClass::Gone,
            // Whether the existing one will do is the caller's decision.
            Self::StreamExists => ErrorClass::Conflict,
            // Changes of a stream take milliseconds.
            Self::StreamNotActive => ErrorClass::RetryAfter,
            // The map says which shards exist now and where.
            Self::ShardNotFound | Self::WrongShardMap | Self::ShardClosed => ErrorClass::RefreshMap,
            // An operator has to repair it; other shards of the stream are fine.
            Self::ShardQuarantined => ErrorClass::RetryAfter,
            // The records are lost for good; the details say where to go on.
            Self::DataLost => ErrorClass::Gone,
            // The records were deleted for good; the details say where to go on.
            Self::BeforeHorizon => ErrorClass::Gone,
            // Nobody handed out this offset.
            Self::BeyondEnd => ErrorClass::CallerBug,
            // Something has to be deleted or a limit raised first.
            Self::LimitExceeded | Self::DiskFull => ErrorClass::Full,
            // The client holds what is too many; waiting frees nothing by itself.
            Self::TooManySubscriptions => ErrorClass::CallerBug,
            // Answers on their way free places.
            Self::TooManyInFlight => ErrorClass::RetryAfter,
            // Queues drain in milliseconds.
            Self::ShardOverloaded | Self::WorkerOverloaded => ErrorClass::RetryAfter,
            // The one under way has to end first, and may change what this one is about.
            Self::ReshardInProgress => ErrorClass::Conflict,
            // Whether to change the mode is the caller's decision.
            Self::WrongMode => ErrorClass::Conflict,
            // The name means nothing until somebody registers it.
            Self::ConsumerNotFound => ErrorClass::Gone,
            // Whether the existing ones will do, or may go, is the caller's decision.
            Self::ConsumerExists | Self::HasConsumers => ErrorClass::Conflict,
            // The newer one reads on; two would take the pipe from each other for ever.
            Self::SubscriptionTakenOver => ErrorClass::Gone,
            // Something has to be deleted first.
            Self::StoreFull => ErrorClass::Full,
            // The caller decides by what is there now.
            Self::VersionMismatch | Self::LeaseHeld => ErrorClass::Conflict,
            // Tokens never come back: whoever held this one must stop.
            Self::LeaseLost => ErrorClass::Gone,
            // The allowance grows with time; the error says how long.
            Self::Throttled => ErrorClass::RetryAfter,
            // The newer incarnation owns the sequence; this one must stop.
            Self::ProducerFenced => ErrorClass::Gone,
            // The producer goes on from what the shard expects.
            Self::ProducerGap => ErrorClass::Conflict,
            // A new epoch starts at sequence 0.
            Self::ProducerUnknown => ErrorClass::Conflict,
            // The batch is stored; only where is forgotten.
            Self::DuplicateForgotten => ErrorClass::Gone,
            // What a failed write or sync left behind is known after recovery.
            Self::LogFailed => ErrorClass::OutcomeUnknown,
            // The request was not started; the node will be back or another takes over.
            Self::Draining => ErrorClass::RetryAfter,
            // It may still happen.
            Self::Timeout => ErrorClass::OutcomeUnknown,
            // After a fault nothing is promised.
            Self::Internal => ErrorClass::OutcomeUnknown,
        }
    }

    /// Whether the node closes the connection after this error.
    #[must_use]
    pub const fn closes_connection(self) -> bool {
        match self {
            // Where the next message starts is unknown.
            Self::BadHead | Self::UnsupportedVersion | Self::HeadChecksum | Self::TooLarge => true,
            // The connection never opened.
            Self::HelloExpected | Self::Unauthorized | Self::TooManyConnections => true,
            // The rest of the message would still arrive.
            Self::TooSlow => true,
            _ => false,
        }
    }

    /// The exception of the Kinesis API that says the same.
    #[must_use]
    pub const fn aws_exception(self) -> &'static str {
        match self {
            Self::BadHead | Self::HeadChecksum | Self::Malformed | Self::BodyChecksum => "SerializationException",
            Self::UnsupportedVersion | Self::UnsupportedOpcode | Self::HelloExpected => "UnknownOperationException",
            Self::TooLarge | Self::BadRecord | Self::RecordTooLarge | Self::WrongMode => "ValidationException",
            Self::Unauthorized => "AccessDeniedException",
            Self::InvalidArgument | Self::BeyondEnd => "InvalidArgumentException",
            Self::StreamNotFound
            | Self::ShardNotFound
            | Self::WrongShardMap
            | Self::ShardClosed
            | Self::ConsumerNotFound => "ResourceNotFoundException",
            Self::StreamExists
            | Self::StreamNotActive
            | Self::ReshardInProgress
            | Self::ConsumerExists
            | Self::HasConsumers
            | Self::SubscriptionTakenOver => "ResourceInUseException",
            // Kinesis knows no lost record; an iterator that leads nowhere is renewed by the caller in both cases.
            Self::DataLost | Self::BeforeHorizon => "ExpiredIteratorException",
            Self::LimitExceeded | Self::TooManySubscriptions | Self::TooManyConnections | Self::StoreFull => {
                "LimitExceededException"
            }
            Self::TooManyInFlight | Self::ShardOverloaded | Self::WorkerOverloaded | Self::Throttled => {
                "ProvisionedThroughputExceededException"
            }
            // Idempotent producers are not part of the Kinesis API.
            Self::ProducerFenced | Self::ProducerGap | Self::ProducerUnknown | Self::DuplicateForgotten => {
                "InvalidArgumentException"
            }
            // Nor is the store.
            Self::VersionMismatch | Self::LeaseHeld | Self::LeaseLost => "InvalidArgumentException",
            Self::ShardQuarantined | Self::DiskFull | Self::LogFailed | Self::Internal => "InternalFailure",
            Self::Draining | Self::Timeout | Self::TooSlow => "ServiceUnavailable",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The args of an error answer.
///
/// ```text
/// 0 u16 code   2 u8 class   3 u32 retry_after_ms   7 u64 detail_a   15 u64 detail_b   23 str16 message
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorAnswer<'a> {
    /// The number of the error; [`ErrorAnswer::known`] is the error, unless the node is newer than this code.
    pub code: u16,
    /// How to react.
    pub class: ErrorClass,
    /// For [`ErrorClass::RetryAfter`]: how long to wait, in milliseconds. Otherwise 0.
    pub retry_after_ms: u32,
    /// First detail; each code says what it is.
    pub detail_a: u64,
    /// Second detail.
    pub detail_b: u64,
    /// For a human. At most [`ERROR_MESSAGE_BYTES_MAX`] bytes.
    pub message: Cow<'a, str>,
}

/// What a retry waits for when nothing better is known.
const RETRY_AFTER_MS_DEFAULT: u32 = 100;

impl<'a> ErrorAnswer<'a> {
    /// An error without details. Errors to be retried later start with a wait of 100 ms.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Self {
        let class = code.class();
        let retry_after_ms = if matches!(class, ErrorClass::RetryAfter) { RETRY_AFTER_MS_DEFAULT } else { 0 };
        Self { code: code as u16, class, retry_after_ms, detail_a: 0, detail_b: 0, message: Cow::Borrowed("") }
    }

    /// With details.
    #[must_use]
    pub fn details(self, a: u64, b: u64) -> Self {
        Self { detail_a: a, detail_b: b, ..self }
    }

    /// With a wait before the retry.
    #[must_use]
    pub fn retry_after(self, ms: u32) -> Self {
        Self { retry_after_ms: ms, ..self }
    }

    /// With an explanation; what exceeds the limit is cut off.
    #[must_use]
    pub fn message(self, message: impl Into<Cow<'a, str>>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The error, if this code knows it.
    #[must_use]
    pub const fn known(&self) -> Option<ErrorCode> {
        ErrorCode::from_code(self.code)
    }

    /// The same error, owning its message.
    #[must_use]
    pub fn into_owned(self) -> ErrorAnswer<'static> {
        ErrorAnswer { message: Cow::Owned(self.message.into_owned()), ..self }
    }
}

impl fmt::Display for ErrorAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(code) => f.write_str(code.name())?,
            None => write!(f, "error {}", self.code)?,
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ErrorAnswer<'_> {}

impl From<RecordError> for ErrorAnswer<'static> {
    fn from(error: RecordError) -> Self {
        let (code, a, b) = match error {
            RecordError::TooLarge { record, max, .. } => (ErrorCode::RecordTooLarge, record, max),
            RecordError::Truncated { record, .. }
            | RecordError::Flags { record, .. }
            | RecordError::KeyEmpty { record }
            | RecordError::KeyTooLong { record }
            | RecordError::KeyUtf8 { record } => (ErrorCode::BadRecord, record, 0),
            RecordError::Count { expected, have } => (ErrorCode::BadRecord, expected.min(have), 0),
        };
        ErrorAnswer::new(code).details(a.into(), b.into()).message(error.to_string())
    }
}

impl Encode for ErrorAnswer<'_> {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u16(self.code);
        out.put_u8(self.class as u8);
        out.put_u32(self.retry_after_ms);
        out.put_u64(self.detail_a);
        out.put_u64(self.detail_b);
        let mut cut = self.message.len().min(ERROR_MESSAGE_BYTES_MAX);
        while !self.message.is_char_boundary(cut) {
            cut -= 1;
        }
        out.put_bytes16(&self.message.as_bytes()[..cut]);
    }
}

impl<'a> ErrorAnswer<'a> {
    pub(super) fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            code: r.u16("code")?,
            class: super::messages::read_code(r, "class", ErrorClass::from_code)?,
            retry_after_ms: r.u32("retry_after_ms")?,
            detail_a: r.u64("detail_a")?,
            detail_b: r.u64("detail_b")?,
            message: Cow::Borrowed(r.str16(ERROR_MESSAGE_BYTES_MAX, "message")?),
        })
    }
}

impl<'a> Decode<'a> for ErrorAnswer<'a> {
    fn decode(args: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(args);
        let answer = Self::read(&mut r)?;
        r.end()?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::testing;
    use super::*;

    /// Goal: the committed bytes of an error answer, its round trip and its truncations.
    #[test]
    fn encoding() {
        let error = ErrorAnswer::new(ErrorCode::BeforeHorizon).details(4_000, 0).message("gone");
        testing::check(&error, "48000500000000a00f0000000000000000000000000000 0400676f6e65");
        testing::check(
            &ErrorAnswer::new(ErrorCode::ShardOverloaded),
            "6300026400000000000000000000000000000000000000 0000",
        );
    }

    /// Goal: numbers and errors agree in both directions, and 0 means no error.
    #[test]
    fn codes_round_trip() {
        for code in 0..=u16::MAX {
            if let Some(error) = ErrorCode::from_code(code) {
                assert_eq!(error as u16, code);
            }
        }
        assert!(ErrorCode::ALL.iter().all(|error| ErrorCode::from_code(*error as u16) == Some(*error)));
        assert_eq!(ErrorCode::from_code(0), None);
        for class in 0..=u8::MAX {
            if let Some(known) = ErrorClass::from_code(class) {
                assert_eq!(known as u8, class);
            }
        }
        assert!(ErrorCode::ALL.iter().all(|error| ErrorClass::from_code(error.class() as u8) == Some(error.class())));
    }

    /// Goal: an error of a newer node still says how to react.
    #[test]
    fn unknown_code_keeps_its_class() {
        let newer = ErrorAnswer { code: 60_000, ..ErrorAnswer::new(ErrorCode::Draining) };
        let mut bytes = Vec::new();
        newer.encode(&mut bytes);
        let read = ErrorAnswer::decode(&bytes).unwrap();
        assert_eq!(read.known(), None);
        assert_eq!(read.class, ErrorClass::RetryAfter);
    }

    /// Goal: a message that is too long is cut between characters, never refused by the reader.
    #[test]
    fn long_messages_are_cut() {
        let long = "é".repeat(ERROR_MESSAGE_BYTES_MAX);
        let mut bytes = Vec::new();
        ErrorAnswer::new(ErrorCode::Internal).message(format!("x{long}")).encode(&mut bytes);
        assert_eq!(ErrorAnswer::decode(&bytes).unwrap().message.len(), ERROR_MESSAGE_BYTES_MAX - 1);
    }
}
