//! The Kinesis Data Streams API as bytes: its shapes, how they are written in JSON and CBOR, what is valid, its errors, its
//! signatures. Pure: no clock, no socket; `server::kinesis` carries out what is asked, `server::http` speaks HTTP.

#![forbid(unsafe_code)]

pub mod access;
