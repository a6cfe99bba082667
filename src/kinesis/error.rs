//! Errors as clients see them: a code, a message, a status, a body in either encoding.

use super::{Encoding, output::Output};

/// An error of a request, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", code.name(), if message.is_empty() { "" } else { ": " })]
pub struct Error {
    /// Which error it is.
    pub code: Code,
    /// What a human reads. Empty where the service sends none.
    pub message: String,
}

impl Error {
    /// An error with a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An error of which the service sends nothing but its code, such as a body that cannot be parsed.
    #[must_use]
    pub const fn bare(code: Code) -> Self {
        Self { code, message: String::new() }
    }

    /// The body: `__type` and, if there is one, `message`. `SerializationException` writes `Message`.
    #[must_use]
    pub fn body(&self, encoding: Encoding) -> Vec<u8> {
        Output::structure(encoding, |fields| {
            fields.str("__type", self.code.name());
            if !self.message.is_empty() {
                let name = if self.code == Code::SerializationException { "Message" } else { "message" };
                fields.str(name, &self.message);
            }
        })
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $status:literal,)*) => {
        /// The name of an error, which decides how a client treats it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name as in `__type` and in the header `x-amzn-ErrorType`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The HTTP status: 400 for every fault of the client, 500 and above for ours.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }
        }
    };
}

codes! {
    // Of the model.
    /// The caller may not do this.
    AccessDeniedException 400,
    /// The request was fine, but asked to be a dry run.
    DryRunOperationException 400,
    /// The shard iterator is older than five minutes.
    ExpiredIteratorException 400,
    /// The pagination token is older than five minutes.
    ExpiredNextTokenException 400,
    /// We failed; the name in the model.
    InternalFailureException 500,
    /// An argument has the right form, but a value that cannot be used here.
    InvalidArgumentException 400,
    /// The key service refuses the key.
    KMSAccessDeniedException 400,
    /// The key is disabled.
    KMSDisabledException 400,
    /// The key is in a state in which it cannot be used.
    KMSInvalidStateException 400,
    /// There is no such key.
    KMSNotFoundException 400,
    /// The account has no subscription to the key service.
    KMSOptInRequired 400,
    /// The key service throttles.
    KMSThrottlingException 400,
    /// A limit of the account or of the operation is reached.
    LimitExceededException 400,
    /// A limit of the shard is reached.
    ProvisionedThroughputExceededException 400,
    /// The resource is not in the state for this.
    ResourceInUseException 400,
    /// There is no such stream, shard or consumer.
    ResourceNotFoundException 400,
    /// The request breaks constraints of the model.
    ValidationException 400,
    // Of every service.
    /// The token of the session is no longer valid.
    ExpiredTokenException 400,
    /// The signature lacks parts.
    IncompleteSignatureException 400,
    /// We failed; the name every service uses.
    InternalFailure 500,
    /// The signature is wrong, or too old.
    InvalidSignatureException 400,
    /// There is no signature.
    MissingAuthenticationTokenException 400,
    /// The body is greater than any request may be.
    RequestEntityTooLargeException 413,
    /// The body is not what its content type says, or has values of other types than the model.
    SerializationException 400,
    /// We cannot do this now.
    ServiceUnavailable 503,
    /// Too many requests.
    ThrottlingException 400,
    /// There is no such operation.
    UnknownOperationException 400,
    /// The access key is not known.
    UnrecognizedClientException 400,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::model;

    /// Goal: every exception the model lists has a code, of exactly its name; no code stands twice.
    #[test]
    fn the_exceptions_of_the_model_have_codes() {
        let names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        for operation in model::operations() {
            for error in operation.errors {
                assert!(names.contains(error), "{error} of {}", operation.name);
            }
        }
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    /// Goal: bodies have the members clients look for, and nothing where there is no message.
    #[test]
    fn bodies() {
        let error = Error::new(Code::ResourceNotFoundException, "Stream \"s\" not found.");
        assert_eq!(
            error.body(Encoding::Json),
            br#"{"__type":"ResourceNotFoundException","message":"Stream \"s\" not found."}"#
        );
        assert_eq!(
            error.body(Encoding::Cbor),
            b"\xbf\x66__type\x78\x19ResourceNotFoundException\x67message\x75Stream \"s\" not found.\xff"
        );
        assert_eq!(Error::bare(Code::InternalFailure).body(Encoding::Json), br#"{"__type":"InternalFailure"}"#);
        let error = Error::new(Code::SerializationException, "Expected null");
        assert_eq!(error.body(Encoding::Json), br#"{"__type":"SerializationException","Message":"Expected null"}"#);
        assert_eq!(error.to_string(), "SerializationException: Expected null");
        assert_eq!(Error::bare(Code::InternalFailure).to_string(), "InternalFailure");
    }

    /// Goal: faults of the client are 400, ours are above.
    #[test]
    fn statuses() {
        assert_eq!(Code::ValidationException.status(), 400);
        assert_eq!(Code::AccessDeniedException.status(), 400);
        assert_eq!(Code::InternalFailure.status(), 500);
        assert_eq!(Code::InternalFailureException.status(), 500);
        assert_eq!(Code::ServiceUnavailable.status(), 503);
    }
}
