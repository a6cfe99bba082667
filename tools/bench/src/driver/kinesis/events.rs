//! The messages of an event stream (`application/vnd.amazon.eventstream`), off the bytes as they come.
//!
//! ```text
//! u32 total length | u32 length of headers | u32 CRC of these 8 bytes | headers | payload | u32 CRC of all before it
//! header: u8 length of name | name | u8 type | value; type 7, a text: u16 length | text
//! ```
//! All numbers are big-endian.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Bytes before the headers.
const PRELUDE_BYTES: usize = 12;

/// Bytes behind the payload.
const CRC_BYTES: usize = 4;

/// More than any message of the API: 10 MiB of data in base64, and what is around it.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// The type of a header whose value is a text.
const TEXT: u8 = 7;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `event` or `exception`.
    pub kind: String,
    /// Which event, or which exception.
    pub name: String,
    /// What it says.
    pub payload: Bytes,
}

/// Why the bytes are no event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// A length cannot be.
    #[error("a message of {0} bytes")]
    Length(usize),
    /// A checksum is wrong.
    #[error("a checksum is {found:#010x}, the bytes have {computed:#010x}")]
    Checksum {
        /// What stands there.
        found: u32,
        /// What it should be.
        computed: u32,
    },
    /// The headers end early, or hold something else than texts.
    #[error("headers that make no sense")]
    Headers,
}

/// Takes the next message off `buffer`; none if it is not whole yet.
pub fn next(buffer: &mut BytesMut) -> Result<Option<Event>, EventError> {
    let Some(mut prelude) = buffer.get(..PRELUDE_BYTES) else { return Ok(None) };
    let (total, headers) = (prelude.get_u32() as usize, prelude.get_u32() as usize);
    check(prelude.get_u32(), &buffer[..8])?;
    if total > MESSAGE_BYTES_MAX || total < PRELUDE_BYTES + headers + CRC_BYTES {
        return Err(EventError::Length(total));
    }
    if buffer.len() < total {
        return Ok(None);
    }
    let mut message = buffer.split_to(total).freeze();
    let mut crc = message.split_off(total - CRC_BYTES);
    check(crc.get_u32(), &message)?;
    let payload = message.split_off(PRELUDE_BYTES + headers);
    let mut event = Event { kind: String::new(), name: String::new(), payload };
    let mut rest = &message[PRELUDE_BYTES..];
    while !rest.is_empty() {
        let (name, value) = header(&mut rest).ok_or(EventError::Headers)?;
        match name {
            ":message-type" => value.clone_into(&mut event.kind),
            ":event-type" | ":exception-type" => value.clone_into(&mut event.name),
            _ => {}
        }
    }
    Ok(Some(event))
}

fn check(found: u32, bytes: &[u8]) -> Result<(), EventError> {
    let computed = crc32fast::hash(bytes);
    if found == computed { Ok(()) } else { Err(EventError::Checksum { found, computed }) }
}

fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a str)> {
    let (len, after) = rest.split_first()?;
    let (name, after) = after.split_at_checked(usize::from(*len))?;
    let ([TEXT, high, low], after) = after.split_first_chunk()? else { return None };
    let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    *rest = after;
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The bytes of a message.
    pub fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut written = Vec::new();
        for (name, value) in headers {
            written.push(name.len() as u8);
            written.extend_from_slice(name.as_bytes());
            written.push(TEXT);
            written.extend_from_slice(&(value.len() as u16).to_be_bytes());
            written.extend_from_slice(value.as_bytes());
        }
        let total = PRELUDE_BYTES + written.len() + payload.len() + CRC_BYTES;
        let mut out = Vec::new();
        out.extend_from_slice(&(total as u32).to_be_bytes());
        out.extend_from_slice(&(written.len() as u32).to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out.extend_from_slice(&written);
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn sample() -> Vec<u8> {
        message(&[(":message-type", "event"), (":event-type", "e"), (":content-type", "x")], b"{}")
    }

    /// Goal: messages come out whole whatever pieces they arrive in, and nothing comes out early.
    #[test]
    fn messages_come_in_any_pieces() {
        let expected = Event { kind: "event".to_owned(), name: "e".to_owned(), payload: Bytes::from_static(b"{}") };
        let twice = [sample(), sample()].concat();
        for cut in 0..=twice.len() {
            let mut found = Vec::new();
            let mut buffer = BytesMut::new();
            for piece in [&twice[..cut], &twice[cut..]] {
                buffer.extend_from_slice(piece);
                while let Some(event) = next(&mut buffer).unwrap() {
                    found.push(event);
                }
            }
            assert_eq!(found, [expected.clone(), expected.clone()], "cut at {cut}");
        }
    }

    /// Goal: a flipped bit anywhere is found.
    #[test]
    fn damage_is_found() {
        let bytes = sample();
        for at in 0..bytes.len() {
            let mut damaged = BytesMut::from(&*bytes);
            damaged[at] ^= 1;
            assert!(next(&mut damaged).is_err(), "byte {at}");
        }
    }
}
