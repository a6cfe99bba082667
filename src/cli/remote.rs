//! Talking to a node: finding it, and turning what goes wrong into an exit code.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::cli::args::NodeArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::node::read_token;
use crate::client::{Client, ClientOptions, Error};
use crate::protocol::{ErrorClass, ErrorCode};
use crate::runtime::tokio::{TokioReactor, block_on};

/// A client of the command line.
pub type Remote = Client<TokioReactor>;

/// Connects to the node and does `work` with it.
pub fn with<T>(args: &NodeArgs, work: impl AsyncFnOnce(Remote) -> Result<T, Failure>) -> Result<T, Failure> {
    let addr = lookup(args)?;
    let token = match &args.auth_token_file {
        Some(path) => read_token(path)?.reveal().as_bytes().to_vec(),
        None => Vec::new(),
    };
    let options = ClientOptions {
        name: concat!("millstream-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        token,
        retry_for: args.retry_for,
        ..ClientOptions::default()
    };
    let done = block_on(async |rt| {
        let client = Client::connect(rt, addr, options).await.map_err(|error| failure(&error))?;
        work(client).await
    });
    done.map_err(|error| Failure::new(Exit::Failure, error))?
}

fn lookup(args: &NodeArgs) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| Failure::new(Exit::Unavailable, format_args!("cannot find {}: {why}", args.node));
    let mut found =
        (args.node.host.as_str(), args.node.port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("the name has no address".to_owned()))
}

/// The failure that an error of the client is.
#[must_use]
pub fn failure(error: &Error) -> Failure {
    let hint = match error.code() {
        Some(ErrorCode::Unauthorized) => ": the node wants another token, see --auth-token-file",
        _ => "",
    };
    Failure::new(exit_of(error), format_args!("{error}{hint}"))
}

fn exit_of(error: &Error) -> Exit {
    match error {
        Error::Connect { .. } | Error::Lost(_) | Error::Timeout { .. } => Exit::Unavailable,
        Error::OutcomeUnknown(_) => Exit::Unknown,
        Error::Damaged { .. } | Error::Frames(_) => Exit::Damaged,
        Error::StreamGone(_) => Exit::NotFound,
        Error::Record(_) | Error::Argument(_) => Exit::Usage,
        Error::Expired(cause) => exit_of(cause),
        Error::Protocol(_) | Error::BeforeHorizon { .. } | Error::Closed => Exit::Failure,
        Error::TakenOver | Error::LeaseLost => Exit::Failure,
        Error::Node(answer) => match (answer.known(), answer.class) {
            (Some(ErrorCode::StreamNotFound | ErrorCode::ShardNotFound), _) => Exit::NotFound,
            (Some(ErrorCode::ShardQuarantined | ErrorCode::DataLost), _) => Exit::Damaged,
            (Some(ErrorCode::Draining | ErrorCode::Timeout), _) => Exit::Unavailable,
            (Some(ErrorCode::LimitExceeded), _) => Exit::Refused,
            (_, ErrorClass::Full | ErrorClass::RetryAfter | ErrorClass::RetryNow) => Exit::Refused,
            (_, ErrorClass::OutcomeUnknown) => Exit::Unknown,
            (_, ErrorClass::CallerBug) => Exit::Usage,
            (_, ErrorClass::Gone) => Exit::NotFound,
            (_, ErrorClass::RefreshMap | ErrorClass::Conflict) => Exit::Failure,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::ErrorAnswer;

    /// Goal: scripts can tell what is not there, what is full, what is damaged and what nobody knows.
    #[test]
    fn exit_codes_tell_the_kinds_apart() {
        let node = |code| exit_of(&Error::Node(Arc::new(ErrorAnswer::new(code))));
        assert_eq!(node(ErrorCode::StreamNotFound), Exit::NotFound);
        assert_eq!(node(ErrorCode::DiskFull), Exit::Refused);
        assert_eq!(node(ErrorCode::ShardQuarantined), Exit::Damaged);
        assert_eq!(node(ErrorCode::LogFailed), Exit::Unknown);
        assert_eq!(node(ErrorCode::InvalidArgument), Exit::Usage);
        assert_eq!(node(ErrorCode::Draining), Exit::Unavailable);
        let lost = Error::Lost(Arc::new(std::io::ErrorKind::ConnectionReset.into()));
        assert_eq!(exit_of(&lost), Exit::Unavailable);
        assert_eq!(exit_of(&Error::OutcomeUnknown(Arc::new(lost))), Exit::Unknown);
    }
}
