//! The native protocol: bytes on the wire. PROTOCOL.md is its reference; a test keeps the two together.
//!
//! Design constraints:
//! - Lengths are believed only after they were compared with their limits, and waited for only after the checksum over
//!   them matched. Nothing is allocated for a claim.
//! - A message's fields (args) and its bulk bytes (body) are apart: a body is never parsed to find its end, never copied,
//!   and summed once, by whoever built it.
//! - Requests decode into values that borrow from what was received. Decoding a put or a get allocates nothing.
//!
//! ```text
//!  0 u32 magic "MSN1"     4 u32 head_crc     CRC-32 (IEEE) of bytes 8..32+args_len
//!  8 u8 version   9 u8 opcode   10 u16 flags
//! 12 u32 args_len        16 u32 body_len    20 u32 body_crc
//! 24 u64 correlation
//! 32 args, then body
//! ```
//!
//! Reading goes through [`Decoder`] (bytes to [`Message`]) and [`Message::request`] or [`Message::answer`] (message to
//! typed value); writing goes through [`Envelope`]. `protocol` knows no socket and no clock: server and client bring both.

#![forbid(unsafe_code)]

mod decoder;
mod error;
mod header;
pub mod messages;
mod opcode;
mod request;
mod version;

pub use decoder::{BodyChecksumMismatch, Decoder, Message, Next};
pub use error::{ErrorAnswer, ErrorClass, ErrorCode};
pub use header::{Envelope, HEAD_BYTES, Head, HeadError, Kind, MAGIC, Side};
pub use messages::{Decode, Encode, Operation};
pub use opcode::Opcode;
pub use request::{Request, RequestError};
pub use version::{FEATURES, VERSION, VERSION_MIN, negotiate};
