//! The Kinesis Data Streams API as bytes: its shapes, how they are written in JSON and CBOR, what is valid, its errors, its
//! signatures. Pure: no clock, no socket; `server::kinesis` carries out what is asked, `server::http` speaks HTTP.
//!
//! One table of shapes ([`model`]), written by a generator from the official service model, drives everything that goes
//! over the wire in both encodings:
//!
//! ```text
//!   body -> input::Input::decode -> (types: SerializationException) -> (constraints: ValidationException) -> server
//!   body <- output::Output       <- answer of the server           error::Error::body <- its errors
//! ```

#![forbid(unsafe_code)]

pub mod access;
pub mod arn;
pub mod cbor;
pub mod date;
pub mod error;
pub mod event_stream;
pub mod input;
pub mod iterator;
pub mod json;
pub mod model;
pub mod output;
pub mod put;
pub mod records;
pub mod request;
pub mod seal;
pub mod sigv4;
#[cfg(all(test, feature = "cli"))]
mod testing;
pub mod token;
mod validate;

/// How the bodies of a request and of its answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// AWS JSON 1.1: what most SDKs speak.
    Json,
    /// AWS CBOR 1.1: what the Java SDK speaks, and with it the Kinesis Client Library.
    Cbor,
}

impl Encoding {
    /// Both, for tests and tables.
    pub const ALL: [Self; 2] = [Self::Json, Self::Cbor];

    /// The `Content-Type` of bodies in this encoding.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// The encoding of a `Content-Type`; its parameters (`; charset=utf-8`) are not looked at.
    #[must_use]
    pub fn of_content_type(value: &str) -> Option<Self> {
        let name = value.split(';').next().unwrap_or("").trim();
        Self::ALL.into_iter().find(|encoding| name.eq_ignore_ascii_case(encoding.content_type()))
    }
}
