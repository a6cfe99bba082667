//! Why an operation of the client failed, and what can be done about it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use super::session::ProtocolError;
use crate::format::frame::FrameError;
use crate::format::record::RecordError;
use crate::protocol::{ErrorAnswer, ErrorClass, ErrorCode};
use crate::types::{GroupId, Offset};

/// Result of an operation of the client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. Cheap to clone: one failed batch fails many records.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// No connection could be opened.
    #[error("cannot connect to {addr}: {error}")]
    Connect {
        /// Where to.
        addr: SocketAddr,
        /// Why not.
        error: Arc<io::Error>,
    },
    /// The connection ended before the answer came.
    #[error("the connection was lost: {0}")]
    Lost(Arc<io::Error>),
    /// No answer came in time.
    #[error("no answer within {millis} ms")]
    Timeout {
        /// How long the client waited.
        millis: u64,
    },
    /// The node sent what the protocol does not allow.
    #[error("the node broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The node answered with an error.
    #[error(transparent)]
    Node(Arc<ErrorAnswer<'static>>),
    /// A record that no stream takes, or (for its size) not this one. It was not sent.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// An argument that no node takes. Nothing was sent.
    #[error("{0}")]
    Argument(&'static str),
    /// Whether the records were stored is not known: their time ran out after they were sent, before an answer came.
    #[error("whether the records were stored is not known: {0}")]
    OutcomeUnknown(Arc<Error>),
    /// The records were not stored, and their time ran out.
    #[error("the records were not stored in time: {0}")]
    Expired(Arc<Error>),
    /// The records from here up to the horizon are gone: older than the retention.
    #[error("the position is older than the retention, which begins at offset {horizon}")]
    BeforeHorizon {
        /// The oldest record there is.
        horizon: Offset,
    },
    /// The records from here up to `resume` are damaged on the node and lost.
    #[error("records are lost up to offset {resume}")]
    Damaged {
        /// The first intact record after them.
        resume: Offset,
    },
    /// The stream, or this incarnation of its shard, does not exist, or exists no more.
    #[error("the stream or its shard is gone: {0}")]
    StreamGone(Arc<ErrorAnswer<'static>>),
    /// A newer subscription of the same registered consumer reads the shard now.
    #[error("a newer subscription of the consumer took over")]
    TakenOver,
    /// The lease is another's now, or nobody's: whoever held it must stop working on what it stood for.
    #[error("the lease is lost")]
    LeaseLost,
    /// What a reader received is not what the shard's log can hold.
    #[error("damaged frames arrived: {0}")]
    Frames(#[from] FramesError),
    /// The producer, consumer or client was closed.
    #[error("closed")]
    Closed,
}

/// What is wrong with frames that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramesError {
    /// A frame's header or body is damaged.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The records of an intact frame are not well-formed.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// The frame belongs to another shard.
    #[error("a frame of group {have} arrived for group {expected}")]
    Group {
        /// What was asked for.
        expected: GroupId,
        /// What the frame says.
        have: GroupId,
    },
    /// Records are missing or repeated.
    #[error("offset {have} arrived where {expected} was due")]
    Offset {
        /// The offset that was due.
        expected: Offset,
        /// The one that arrived.
        have: Offset,
    },
}

impl Error {
    /// The node's error, with those that a consumer or a caller has to tell apart under their own name.
    #[must_use]
    pub fn node(answer: ErrorAnswer<'_>) -> Self {
        match answer.known() {
            Some(ErrorCode::BeforeHorizon) => Self::BeforeHorizon { horizon: Offset(answer.detail_a) },
            Some(ErrorCode::DataLost) => Self::Damaged { resume: Offset(answer.detail_a) },
            Some(ErrorCode::SubscriptionTakenOver) => Self::TakenOver,
            Some(ErrorCode::LeaseLost) => Self::LeaseLost,
            Some(ErrorCode::StreamNotFound) => Self::StreamGone(Arc::new(answer.into_owned())),
            _ => Self::Node(Arc::new(answer.into_owned())),
        }
    }

    /// How to react, in the classes of the protocol.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            // Nobody listens now; a node that restarts will.
            Self::Connect { .. } => ErrorClass::RetryAfter,
            // The request may have arrived.
            Self::Lost(_) | Self::Timeout { .. } => ErrorClass::OutcomeUnknown,
            // What the node did before it sent nonsense is anybody's guess.
            Self::Protocol(_) => ErrorClass::OutcomeUnknown,
            Self::Node(answer) => answer.class,
            // The same values stay wrong.
            Self::Record(_) | Self::Argument(_) => ErrorClass::CallerBug,
            Self::OutcomeUnknown(_) => ErrorClass::OutcomeUnknown,
            // The wait was the caller's choice, and may be made again.
            Self::Expired(_) => ErrorClass::RetryAfter,
            // Deleted for good; the error says where to go on.
            Self::BeforeHorizon { .. } | Self::Damaged { .. } | Self::StreamGone(_) => ErrorClass::Gone,
            // Somebody else goes on; taking it back is a decision, not a retry.
            Self::TakenOver | Self::LeaseLost => ErrorClass::Gone,
            // Damaged under way: the next copy will likely be whole.
            Self::Frames(_) => ErrorClass::RetryNow,
            // The caller closed it.
            Self::Closed => ErrorClass::CallerBug,
        }
    }

    /// Whether the same request may succeed later without anybody doing something about it. For a put without a
    /// producer stamp, [`Error::is_outcome_unknown`] is to be asked first.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.class() {
            // Nothing was done, and the reason passes.
            ErrorClass::RetryNow | ErrorClass::RetryAfter | ErrorClass::RefreshMap => true,
            // Reading again is harmless, and stamped puts are stored once.
            ErrorClass::OutcomeUnknown => true,
            // The same request fails the same way until somebody acts.
            ErrorClass::CallerBug | ErrorClass::Gone | ErrorClass::Full | ErrorClass::Conflict => false,
        }
    }

    /// Whether the request may have been carried out.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        self.class() == ErrorClass::OutcomeUnknown
    }

    /// The error's number, if it is an error of the node and known to this code.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Node(answer) | Self::StreamGone(answer) => answer.known(),
            Self::BeforeHorizon { .. } => Some(ErrorCode::BeforeHorizon),
            Self::Damaged { .. } => Some(ErrorCode::DataLost),
            Self::TakenOver => Some(ErrorCode::SubscriptionTakenOver),
            Self::LeaseLost => Some(ErrorCode::LeaseLost),
            Self::OutcomeUnknown(error) | Self::Expired(error) => error.code(),
            _ => None,
        }
    }

    /// The wait that the node asks for before a retry, in milliseconds; 0 if it asks for none.
    #[must_use]
    pub fn retry_after_ms(&self) -> u32 {
        match self {
            Self::Node(answer) | Self::StreamGone(answer) => answer.retry_after_ms,
            _ => 0,
        }
    }

    pub(super) fn lost(kind: io::ErrorKind, why: &'static str) -> Self {
        Self::Lost(Arc::new(io::Error::new(kind, why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: errors a caller must tell apart have their own arm with the node's details, and keep code and class.
    #[test]
    fn the_nodes_errors_keep_their_meaning() {
        for code in ErrorCode::ALL {
            let error = Error::node(ErrorAnswer::new(*code).details(7, 0));
            assert_eq!(error.class(), code.class(), "{code}");
            assert_eq!(error.code(), Some(*code));
        }
        let error = Error::node(ErrorAnswer::new(ErrorCode::BeforeHorizon).details(7, 0));
        assert!(matches!(error, Error::BeforeHorizon { horizon: Offset(7) }));
        assert!(Error::node(ErrorAnswer::new(ErrorCode::Draining)).retry_after_ms() > 0);
    }

    /// Goal: what may have happened is never called undone, and only what passes by itself is retried.
    #[test]
    fn classes() {
        let lost = Error::lost(io::ErrorKind::ConnectionReset, "x");
        assert!(lost.is_outcome_unknown() && lost.is_retryable());
        let expired = Error::Expired(Arc::new(lost.clone()));
        assert!(!expired.is_outcome_unknown());
        assert!(Error::OutcomeUnknown(Arc::new(lost)).is_outcome_unknown());
        assert!(!Error::Record(RecordError::KeyEmpty { record: 0 }).is_retryable());
        assert!(!Error::node(ErrorAnswer::new(ErrorCode::DiskFull)).is_retryable());
    }
}
