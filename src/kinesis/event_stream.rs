//! Event streams (`application/vnd.amazon.eventstream`): how `SubscribeToShard` answers, in either encoding of its events.
//!
//! ```text
//! u32 total_len | u32 headers_len | u32 CRC-32 of these 8 bytes | headers | payload | u32 CRC-32 of everything before
//! header: u8 name_len | name | u8 7, a text | u16 len | value                                      (all big-endian)
//! ```
//!
//! The payload is written in place: room for the lengths is left first, they and the checksums are filled in behind it.

use crate::kinesis::Encoding;

/// The `Content-Type` of an answer that is an event stream.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Bytes of a message beside its headers and its payload.
pub const MESSAGE_OVERHEAD: usize = PRELUDE_BYTES + 4;

/// Both lengths and their checksum.
const PRELUDE_BYTES: usize = 12;

/// The type of a header whose value is a text.
const TEXT: u8 = 7;

/// Appends the message that comes first, before any event: some clients wait for it, some fail without it.
pub fn initial_response(out: &mut Vec<u8>, encoding: Encoding) {
    event(out, encoding, "initial-response", |out| {
        out.extend_from_slice(match encoding {
            Encoding::Json => b"{}",
            Encoding::Cbor => b"\xbf\xff",
        });
    });
}

/// Appends an event, such as `SubscribeToShardEvent`. `payload` appends its body and nothing else to the buffer.
pub fn event<T>(out: &mut Vec<u8>, encoding: Encoding, name: &str, payload: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    message(out, encoding, [(":message-type", "event"), (":event-type", name)], payload)
}

/// Appends an error, the last message of its stream. `name` is one of the exceptions of the event stream; `payload` appends
/// the body of the error.
pub fn exception<T>(out: &mut Vec<u8>, encoding: Encoding, name: &str, payload: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    message(out, encoding, [(":message-type", "exception"), (":exception-type", name)], payload)
}

fn message<T>(
    out: &mut Vec<u8>,
    encoding: Encoding,
    headers: [(&str, &str); 2],
    payload: impl FnOnce(&mut Vec<u8>) -> T,
) -> T {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (name, value) in headers {
        header(out, name, value);
    }
    header(out, ":content-type", encoding.content_type());
    let headers_len = out.len() - start - PRELUDE_BYTES;
    let result = payload(out);
    let total_len = out.len() + 4 - start;
    let message = &mut out[start..];
    message[..4].copy_from_slice(&be32(total_len));
    message[4..8].copy_from_slice(&be32(headers_len));
    let prelude_crc = crc32fast::hash(&message[..8]);
    message[8..PRELUDE_BYTES].copy_from_slice(&prelude_crc.to_be_bytes());
    let crc = crc32fast::hash(message);
    out.extend_from_slice(&crc.to_be_bytes());
    result
}

fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(u8::try_from(name.len()).expect("names of headers are ours, and short"));
    out.extend_from_slice(name.as_bytes());
    out.push(TEXT);
    out.extend_from_slice(&u16::try_from(value.len()).expect("values of headers are ours, and short").to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn be32(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("an event holds one answer, far below 4 GiB").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that botocore's parser of event streams takes.
    const INITIAL_RESPONSE: &str = "0000007200000060ab820d9e0d3a6d6573736167652d747970650700056576656e740b3a6576656e742d74\
        797065070010696e697469616c2d726573706f6e73650d3a636f6e74656e742d7479706507001a6170706c69636174696f6e2f782d616d7a2d6a\
        736f6e2d312e317b7de16e66e4";
    const IN_USE: &str = "000000960000006e916e41860d3a6d6573736167652d74797065070009657863657074696f6e0f3a657863657074696f6e\
        2d747970650700165265736f75726365496e557365457863657074696f6e0d3a636f6e74656e742d7479706507001a6170706c69636174696f6e\
        2f782d616d7a2d6a736f6e2d312e317b226d657373616765223a2274616b656e206f766572227d70cf29e7";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    type Decoded<'a> = (Vec<(String, String)>, &'a [u8], &'a [u8]);

    /// The headers and the payload of the message at the start of `bytes`, and what follows it; `None` if it is damaged.
    fn decode(bytes: &[u8]) -> Option<Decoded<'_>> {
        let u32_at = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (total, headers_len) = (u32_at(0)? as usize, u32_at(4)? as usize);
        if u32_at(8)? != crc32fast::hash(&bytes[..8]) || bytes.len() < total {
            return None;
        }
        let (message, rest) = bytes.split_at(total);
        let (message, crc) = message.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*crc) != crc32fast::hash(message) {
            return None;
        }
        let (mut headers, payload) = message[PRELUDE_BYTES..].split_at_checked(headers_len)?;
        let mut found = Vec::new();
        while !headers.is_empty() {
            let mut take = |n: usize| headers.split_off(..n);
            let name_len = take(1)?[0];
            let name = take(name_len.into())?;
            assert_eq!(take(1)?, [TEXT]);
            let value_len = u16::from_be_bytes(take(2)?.try_into().ok()?);
            let value = take(value_len.into())?;
            found.push([name, value].map(|text| String::from_utf8(text.to_vec()).unwrap()).into());
        }
        Some((found, payload, rest))
    }

    /// Goal: the bytes are those that real clients read.
    #[test]
    fn known_messages() {
        let mut out = b"before".to_vec();
        initial_response(&mut out, Encoding::Json);
        assert_eq!(hex(&out[6..]), INITIAL_RESPONSE);
        let mut out = Vec::new();
        exception(&mut out, Encoding::Json, "ResourceInUseException", |out| {
            out.extend_from_slice(br#"{"message":"taken over"}"#);
        });
        assert_eq!(hex(&out), IN_USE);
    }
    /// Goal: messages that follow each other are told apart, the payload is written in place, and what writing it results
    /// in is handed on.
    #[test]
    fn messages_follow_each_other() {
        let mut out = Vec::new();
        initial_response(&mut out, Encoding::Cbor);
        let written = event(&mut out, Encoding::Cbor, "SubscribeToShardEvent", |out| {
            out.extend_from_slice(&[7; 1000]);
            1000
        });
        assert_eq!(written, 1000);
        let (first, payload, rest) = decode(&out).unwrap();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let content_type = text(":content-type", "application/x-amz-cbor-1.1");
        let kind = text(":message-type", "event");
        assert_eq!(first, [kind.clone(), text(":event-type", "initial-response"), content_type.clone()]);
        assert_eq!(payload, b"\xbf\xff");
        let (second, payload, rest) = decode(rest).unwrap();
        assert_eq!(second, [kind, text(":event-type", "SubscribeToShardEvent"), content_type]);
        assert_eq!(payload, [7; 1000]);
        assert!(rest.is_empty());
    }

    /// Goal: every truncation and every flipped bit of a message is seen by who reads it.
    #[test]
    fn damage_is_seen() {
        let mut message = Vec::new();
        event(&mut message, Encoding::Json, "e", |out| out.extend_from_slice(b"{}"));
        assert!(decode(&message).is_some());
        for cut in 0..message.len() {
            assert_eq!(decode(&message[..cut]), None, "cut at {cut}");
        }
        for bit in 0..message.len() * 8 {
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
    }
}
