//! Whatever is sent to the port of the Kinesis API, in whatever pieces, the node goes on answering others.
//!
//! The input is pieces, each behind its length in two bytes.

use super::cursor::Cursor;
use super::node::Node;

const HEALTHY: &[u8] = b"POST / HTTP/1.1\r\nHost: n\r\nContent-Type: application/x-amz-json-1.1\r\n\
    X-Amz-Target: Kinesis_20131202.ListStreams\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

/// Runs one input.
pub fn run(data: &[u8]) {
    let node = Node::start();
    let mut cursor = Cursor(data);
    let mut pieces = Vec::new();
    while !cursor.is_empty() {
        let len = usize::from(cursor.short());
        pieces.push(cursor.take(len));
    }
    node.disturb(node.kinesis, &pieces);
    let answer = node.exchange(node.kinesis, &[HEALTHY], |got| got.ends_with(b"}"));
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", answer.escape_ascii());
}
