//! Just enough HTTP to ask the Kinesis API of a node.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::common::{Node, PATIENCE};

/// Asks one operation: the status, and the answer.
pub fn ask(addr: SocketAddr, operation: &str, input: &Value) -> (u16, Value) {
    let body = input.to_string();
    let mut stream = TcpStream::connect(addr).expect("the node listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: Kinesis_20131202.{operation}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the request leaves");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, in time");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("an answer in JSON") })
}

/// Where the node's Kinesis API is.
pub fn kinesis_addr(node: &Node) -> SocketAddr {
    let line = node.report.lines().find_map(|line| line.trim().strip_prefix("kinesis")).expect("the API is on");
    line.split_whitespace().next().and_then(|addr| addr.parse().ok()).expect("an address")
}
