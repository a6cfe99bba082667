//! All requests as one type, for a server to match on.

use thiserror::Error;

use super::messages::{
    CreateStream, Credit, DeleteStream, DeregisterConsumer, DescribeConsumer, DescribeStream, Get, GetMetadata, Hello,
    LeaseClaim, LeaseRelease, LeaseRenew, ListConsumers, ListStreams, MergeShards, MoveShard, Ping, Position, Put,
    PutKeyed, RegisterConsumer, ScaleStream, SetMetadata, SplitShard, Stats, StoreDelete, StoreGet, StoreList,
    StorePut, Subscribe, Unsubscribe, UpdateStream,
};
use super::{Decode, Encode, ErrorAnswer, ErrorCode, Head, Opcode};
use crate::codec::{DecodeError, Write};

macro_rules! requests {
    ($($name:ident $(<$life:lifetime>)?),* $(,)?) => {
        /// A decoded request, borrowing from what was received.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is the message type of its name")]
        pub enum Request<'a> {
            $($name($name $(<$life>)?),)*
        }

        impl<'a> Request<'a> {
            fn decode_args(opcode: Opcode, args: &'a [u8]) -> Result<Self, DecodeError> {
                match opcode {
                    $(Opcode::$name => $name::decode(args).map(Self::$name),)*
                }
            }

            /// Which operation it is.
            #[must_use]
            pub const fn opcode(&self) -> Opcode {
                match self {
                    $(Self::$name(_) => Opcode::$name,)*
                }
            }
        }

        impl Encode for Request<'_> {
            fn encode<W: Write>(&self, out: &mut W) {
                match self {
                    $(Self::$name(request) => request.encode(out),)*
                }
            }
        }
    };
}

requests! {
    Hello<'a>, Ping, Stats<'a>, Put, PutKeyed<'a>, Get, Position, Subscribe, Credit, Unsubscribe, CreateStream<'a>,
    UpdateStream<'a>, DeleteStream<'a>, ListStreams<'a>, DescribeStream<'a>, SplitShard<'a>, MergeShards<'a>, ScaleStream<'a>, MoveShard<'a>,
    GetMetadata<'a>, SetMetadata<'a>, RegisterConsumer<'a>, DeregisterConsumer<'a>, ListConsumers<'a>,
    DescribeConsumer<'a>, StorePut<'a>, StoreGet<'a>, StoreList<'a>, StoreDelete<'a>, LeaseClaim<'a>, LeaseRenew<'a>,
    LeaseRelease<'a>,
}

/// Why an intact message is not a request this node can read. The connection stays usable: the lengths were right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// No operation has this number.
    #[error("no operation has the number {0}")]
    Opcode(u8),
    /// The args are not those of the operation.
    #[error("{}: {error}", .opcode.name())]
    Args {
        /// The operation.
        opcode: Opcode,
        /// What is wrong.
        error: DecodeError,
    },
    /// A body, or the checksum of one, where none belongs.
    #[error("{} takes no body", .0.name())]
    Body(Opcode),
}

impl RequestError {
    /// The error that answers the request.
    #[must_use]
    pub fn answer(&self) -> ErrorAnswer<'static> {
        let (code, detail) = match *self {
            Self::Opcode(opcode) => (ErrorCode::UnsupportedOpcode, opcode.into()),
            Self::Args { error: DecodeError::TooLarge { value, .. }, .. } => (ErrorCode::InvalidArgument, value),
            Self::Args { .. } | Self::Body(_) => (ErrorCode::Malformed, 0),
        };
        ErrorAnswer::new(code).details(detail, 0).message(self.to_string())
    }
}

impl<'a> Request<'a> {
    /// The request behind a verified head.
    pub fn decode(head: &Head, args: &'a [u8]) -> Result<Self, RequestError> {
        let opcode = Opcode::from_code(head.opcode).ok_or(RequestError::Opcode(head.opcode))?;
        if !opcode.request_has_body() && (head.body_len != 0 || head.body_crc != 0) {
            return Err(RequestError::Body(opcode));
        }
        Self::decode_args(opcode, args).map_err(|error| RequestError::Args { opcode, error })
    }
}

#[cfg(test)]
mod tests;
