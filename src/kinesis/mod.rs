//! The Kinesis Data Streams API as bytes: its shapes, how they are written in JSON and CBOR, what is valid, its errors, its
//! signatures. Pure: no clock, no socket; `server::kinesis` carries out what is asked, `server::http` speaks HTTP.

#![forbid(unsafe_code)]

pub mod event_stream;
pub mod put;
pub mod records;

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
}
