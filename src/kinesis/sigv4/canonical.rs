//! The canonical form of a request: what a signature is made over, independent of how a request is written.
//!
//! ```text
//! POST                                 the method
//! /                                    the path, normalised and encoded (once more than on the wire)
//!                                      the query, sorted; without the signature
//! host:localhost:4567                  each signed header, in the order of the list
//! x-amz-date:20150830T123600Z
//!
//! host;x-amz-date                      the list
//! e3b0c442...                          the hash of the body, or what stands in its place
//! ```

use crate::kinesis::request::{Head, Headers};

/// What a canonical request is made from besides the request itself.
pub(super) struct Parts<'a> {
    /// Names of the headers that are signed, as the caller lists them.
    pub signed_headers: &'a str,
    /// The last line.
    pub payload: &'a str,
}

/// Writes the canonical request.
pub(super) fn request<H: Headers + ?Sized>(head: &Head<'_, H>, parts: &Parts<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    out.extend_from_slice(head.method.as_bytes());
    out.push(b'\n');
    path(&mut out, head.path);
    out.push(b'\n');
    query(&mut out, head.query.unwrap_or(""));
    out.push(b'\n');
    for name in parts.signed_headers.split(';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        header(&mut out, head, name);
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(parts.signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(parts.payload.as_bytes());
    out
}

/// Empty segments and `.` go, `..` takes one back; then everything is encoded that is not a letter, digit or `-._~/`, percent
/// signs included: every service but S3 encodes paths twice.
fn path(out: &mut Vec<u8>, path: &str) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        encode(out, segment.as_bytes());
    }
    let is_directory = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if segments.is_empty() || is_directory {
        out.push(b'/');
    }
}

/// Sorted by encoded name, then by encoded value. The signature itself, in a query that is signed, is left out.
fn query(out: &mut Vec<u8>, query: &str) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name);
        if name != b"X-Amz-Signature" {
            let encoded = |bytes: &[u8]| {
                let mut encoded = Vec::with_capacity(bytes.len());
                encode(&mut encoded, bytes);
                encoded
            };
            pairs.push((encoded(&name), encoded(&decode(value))));
        }
    }
    pairs.sort();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// All values of a header, joined by commas; each without blanks around it, and with one for several inside.
fn header<H: Headers + ?Sized>(out: &mut Vec<u8>, head: &Head<'_, H>, name: &str) {
    // HTTP/2 has the host in a pseudo header of its own. The SDK for JavaScript signs it under that name, others as `host`.
    let is_in_target = name == ":authority" || name == "host" && head.headers.values(name).next().is_none();
    let target = head.authority.filter(|_| is_in_target).map(str::as_bytes);
    for (at, value) in head.headers.values(name).chain(target).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        for (at, word) in value.split(is_blank).filter(|word| !word.is_empty()).enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
}

/// Encodes what is not unreserved in RFC 3986.
fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Decodes `%xx`. Anything else, a plus sign included, stands for itself.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let pair = match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (byte, after) = pair.unwrap_or((*byte, after));
        out.push(byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Goal: paths come out as in the test suite of AWS, whose folder `normalize-path` these cases are from.
    #[test]
    fn paths_are_normalised() {
        let table = [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/example/..", "/"),
            ("/example1/example2/../..", "/"),
            ("/./example", "/example"),
            ("//example//", "/example/"),
            ("/./", "/"),
            ("/example%20space/", "/example%2520space/"),
            ("/example/./", "/example/"),
            ("/a/b/.", "/a/b/"),
            ("/ሴ", "/%E1%88%B4"),
            ("/-._~0123456789ABCxyz", "/-._~0123456789ABCxyz"),
        ];
        for (wire, canonical) in table {
            assert_eq!(text(|out| path(out, wire)), canonical, "{wire}");
        }
    }

    /// Goal: queries are sorted as encoded, by name and then by value, and lose nothing but the signature.
    #[test]
    fn queries_are_sorted() {
        let table = [
            ("", ""),
            ("Param2=value2&Param1=value1", "Param1=value1&Param2=value2"),
            ("Param1=value2&Param1=Value1", "Param1=Value1&Param1=value2"),
            ("b&a=&&c=d=e", "a=&b=&c=d%3De"),
            ("a=%2f%2F", "a=%2F%2F"),
            ("a=b%zz%4", "a=b%25zz%254"),
            ("ሴ=bar", "%E1%88%B4=bar"),
            ("X-Amz-Signature=abc&X-Amz-Date=d", "X-Amz-Date=d"),
            ("X-Amz-%53ignature=abc", ""),
        ];
        for (wire, canonical) in table {
            assert_eq!(text(|out| query(out, wire)), canonical, "{wire}");
        }
    }

    /// Goal: values of headers are trimmed, blanks inside collapse, repeated headers are joined in their order, and the host
    /// comes from wherever the protocol has it.
    #[test]
    fn headers_are_trimmed_and_joined() {
        let headers = [("my-header1", " value1  value2 "), ("my-header1", "\"a   b\""), ("empty", "  ")];
        let head =
            Head { method: "POST", path: "/", query: None, authority: Some("example:4567"), headers: &headers[..] };
        assert_eq!(text(|out| header(out, &head, "my-header1")), "value1 value2,\"a b\"");
        assert_eq!(text(|out| header(out, &head, "empty")), "");
        assert_eq!(text(|out| header(out, &head, "missing")), "");
        assert_eq!(text(|out| header(out, &head, "host")), "example:4567");
        assert_eq!(text(|out| header(out, &head, ":authority")), "example:4567");
        let headers = [("host", "other")];
        let head =
            Head { method: "POST", path: "/", query: None, authority: Some("example:4567"), headers: &headers[..] };
        assert_eq!(text(|out| header(out, &head, "host")), "other");
        assert_eq!(text(|out| header(out, &head, ":authority")), "example:4567");
    }
}
