//! Heads of requests, with and without access keys: signatures by header and by query, chunked payloads.
//!
//! The input is lines: method, path, query, then headers as `name:value`; an empty line, then the body.

use http::{HeaderMap, HeaderName, HeaderValue};
use millstream::kinesis::access::{Access, Key, Keys, Secret};
use millstream::kinesis::request::{Head, check};
use millstream::types::WallUs;

/// Runs one input.
pub fn run(data: &[u8]) {
    let split = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..split], data.get(split + 2..).unwrap_or_default());
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (method, path, query) = (line(), line(), line());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
    let query = (!query.is_empty()).then_some(query);
    let head = Head { method, path, query, authority: None, headers: &headers };
    let key = Key {
        name: "fuzz".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        allow: None,
    };
    let keys = Keys::new(vec![key]).expect("there is one");
    // The moment at which AWS's own examples were signed.
    let now = WallUs(1_440_938_160_000_000);
    for access in [Access::new(None), Access::new(Some(&keys))] {
        let _ = check(&head, &access, now, body);
    }
}
