//! A client of the Kinesis API: HTTP/1.1 on a raw connection, in either encoding, with values of JSON at this end.

use std::collections::BTreeMap;
use std::io::IoSlice;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};
use hmac::{Hmac, Mac};
use millstream::kinesis::Encoding;
use millstream::kinesis::date::Moment;
use millstream::runtime::{Reactor, ReadHalf, WriteHalf};
use millstream::server::node::{KinesisOptions, Options};
use millstream::sim::{SimReadHalf, SimRuntime, SimWriteHalf};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cbor;
use crate::world::World;

pub const ACCOUNT: &str = "000000000000";

/// A node with three workers that speaks the Kinesis API.
pub fn world() -> World {
    world_with(|_| {})
}

pub fn world_with(change: impl FnOnce(&mut Options)) -> World {
    World::with(3, |options| {
        options.kinesis = Some(KinesisOptions {
            listen: (options.listen.ip(), 4_567).into(),
            region: "us-east-1".to_owned(),
            account: ACCOUNT.to_owned(),
            status_delay_ms: 0,
            keys: None,
            tls: None,
        });
        change(options);
    })
}

pub fn arn(stream: &str) -> String {
    format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{stream}")
}

pub fn base64(data: impl AsRef<[u8]>) -> String {
    STANDARD.encode(data)
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// One connection.
pub struct Api {
    read: SimReadHalf,
    write: SimWriteHalf,
    buffer: BytesMut,
    pub encoding: Encoding,
    rt: SimRuntime,
    /// Access key and secret that requests are signed with.
    pub key: Option<(&'static str, &'static str)>,
}

impl Api {
    pub async fn open(world: &World, encoding: Encoding) -> Self {
        let addr = world.options.kinesis.as_ref().unwrap().listen;
        let (read, write) = world.rt().connect(addr).await.unwrap();
        Self { read, write, buffer: BytesMut::new(), encoding, rt: world.rt(), key: None }
    }

    async fn send(&mut self, operation: &str, input: &Value) {
        let mut body = Vec::new();
        match self.encoding {
            Encoding::Json => body = input.to_string().into_bytes(),
            Encoding::Cbor => cbor::encode(input, "", &mut body),
        }
        let mut head = format!(
            "POST / HTTP/1.1\r\nHost: node:4567\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n",
            self.encoding.content_type(),
            body.len()
        );
        if let Some(key) = self.key {
            head += &sign(key, Moment::of(self.rt.wall()), operation, &body);
        }
        head += "\r\n";
        self.write.write_all(&mut [IoSlice::new(head.as_bytes()), IoSlice::new(&body)]).await.unwrap();
    }

    /// Reads on; false at the end of the connection.
    async fn more(&mut self) -> bool {
        self.buffer.reserve(16 << 10);
        matches!(self.read.read(&mut self.buffer).await, Ok(1..))
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8(self.buffer.split_to(end).to_vec()).unwrap();
                self.buffer.advance(2);
                return line;
            }
            assert!(self.more().await, "the answer ends early: {:?}", self.buffer);
        }
    }

    async fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let status = self.line().await.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else { return (status, headers) };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    async fn body(&mut self, status: u16, headers: BTreeMap<String, String>) -> Answer {
        let length: usize = headers["content-length"].parse().unwrap();
        while self.buffer.len() < length {
            assert!(self.more().await, "the body ends early");
        }
        let bytes = self.buffer.split_to(length);
        assert!(headers.contains_key("x-amzn-requestid") && headers.contains_key("x-amz-id-2"), "{headers:?}");
        let body = if bytes.is_empty() { Value::Null } else { decode(self.encoding, &bytes) };
        Answer { status, headers, body }
    }

    /// Carries out an operation.
    pub async fn call(&mut self, operation: &str, input: Value) -> Answer {
        self.send(operation, &input).await;
        let (status, headers) = self.head().await;
        self.body(status, headers).await
    }

    /// The answer of an operation that succeeds.
    pub async fn ok(&mut self, operation: &str, input: Value) -> Value {
        let answer = self.call(operation, input).await;
        assert_eq!(answer.status, 200, "{operation}: {:?}", answer.body);
        answer.body
    }

    /// The error of an operation that fails: its code and its message.
    pub async fn fails(&mut self, operation: &str, input: Value) -> (String, String) {
        let answer = self.call(operation, input).await;
        assert!(answer.status >= 400, "{operation}: {:?}", answer.body);
        error(&answer)
    }

    /// The code of the error of an operation that fails.
    pub async fn code(&mut self, operation: &str, input: Value) -> String {
        self.fails(operation, input).await.0
    }

    pub async fn create(&mut self, name: &str, shards: u32) {
        self.ok("CreateStream", json!({"StreamName": name, "ShardCount": shards})).await;
    }

    /// Puts one record: its shard and its sequence number.
    pub async fn put(&mut self, stream: &str, key: &str, data: &str) -> (String, String) {
        let input = json!({"StreamName": stream, "PartitionKey": key, "Data": base64(data)});
        let put = self.ok("PutRecord", input).await;
        (text(&put["ShardId"]), text(&put["SequenceNumber"]))
    }

    pub async fn iterator(&mut self, stream: &str, shard: &str, kind: &str) -> String {
        let input = json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": kind});
        text(&self.ok("GetShardIterator", input).await["ShardIterator"])
    }

    /// The data of all records of a shard, read `limit` at a time to its end or its tip.
    pub async fn read_all(&mut self, stream: &str, shard: &str, limit: usize) -> Vec<String> {
        let mut iterator = self.iterator(stream, shard, "TRIM_HORIZON").await;
        let mut all = Vec::new();
        loop {
            let got = self.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": limit})).await;
            all.extend(data(&got));
            match got.get("NextShardIterator") {
                Some(next) if got["MillisBehindLatest"] != 0 => iterator = text(next),
                _ => return all,
            }
        }
    }

    /// Subscribes; the connection is then taken by the events.
    pub async fn subscribe(mut self, input: Value) -> Result<Events, Answer> {
        self.send("SubscribeToShard", &input).await;
        let (status, headers) = self.head().await;
        if status != 200 {
            return Err(self.body(status, headers).await);
        }
        assert_eq!(headers["content-type"], "application/vnd.amazon.eventstream");
        let mut events = Events { api: self, bytes: BytesMut::new() };
        let first = events.next().await.unwrap();
        assert_eq!((first.kind.as_str(), &first.body), ("initial-response", &json!({})));
        Ok(events)
    }
}

/// The headers that sign a request.
fn sign((id, secret): (&str, &str), now: Moment, operation: &str, body: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mac = |key: &[u8], text: &str| {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
    };
    let date = now.basic().to_string();
    let scope = format!("{}/eu-west-1/kinesis/aws4_request", &date[..8]);
    let signed = "host;x-amz-date;x-amz-target";
    let canonical = format!(
        "POST\n/\n\nhost:node:4567\nx-amz-date:{date}\nx-amz-target:Kinesis_20131202.{operation}\n\n{signed}\n{}",
        hex(&Sha256::digest(body))
    );
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &text));
    format!(
        "X-Amz-Date: {date}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, \
         Signature={signature}\r\n"
    )
}

fn decode(encoding: Encoding, bytes: &[u8]) -> Value {
    match encoding {
        Encoding::Json => serde_json::from_slice(bytes).unwrap(),
        Encoding::Cbor => cbor::decode(bytes),
    }
}

pub fn error(answer: &Answer) -> (String, String) {
    let (code, message) = (&answer.body["__type"], &answer.body["message"]);
    assert_eq!(answer.headers["x-amzn-errortype"], text(code));
    (text(code), message.as_str().unwrap_or_default().to_owned())
}

/// A text that is there.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// A list that is there.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// The data of records.
pub fn data(got: &Value) -> Vec<String> {
    let of = |record: &Value| String::from_utf8(STANDARD.decode(text(&record["Data"])).unwrap()).unwrap();
    list(&got["Records"]).iter().map(of).collect()
}

/// A subscription.
pub struct Events {
    api: Api,
    bytes: BytesMut,
}

/// One message of it.
#[derive(Debug)]
pub struct Event {
    /// The name of the event, or of the exception.
    pub kind: String,
    pub is_exception: bool,
    pub body: Value,
}

impl Events {
    /// The next message; `None` at an orderly end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(total) = self.bytes.first_chunk().map(|total| u32::from_be_bytes(*total) as usize)
                && self.bytes.len() >= total
            {
                let message = self.bytes.split_to(total);
                return Some(self.parse(&message));
            }
            let line = self.api.line().await;
            let length = usize::from_str_radix(&line, 16).unwrap();
            while self.api.buffer.len() < length + 2 {
                assert!(self.api.more().await, "the stream breaks off");
            }
            self.bytes.extend_from_slice(&self.api.buffer.split_to(length));
            self.api.buffer.advance(2);
            if length == 0 {
                assert!(self.bytes.is_empty());
                return None;
            }
        }
    }

    fn parse(&self, message: &[u8]) -> Event {
        let (content, crc) = message.split_last_chunk::<4>().unwrap();
        assert_eq!(crc32fast::hash(content), u32::from_be_bytes(*crc));
        let headers_len = u32::from_be_bytes(message[4..8].try_into().unwrap()) as usize;
        assert_eq!(crc32fast::hash(&message[..8]), u32::from_be_bytes(message[8..12].try_into().unwrap()));
        let (mut headers, payload) = content[12..].split_at(headers_len);
        let mut found = BTreeMap::new();
        while !headers.is_empty() {
            let name = headers.split_to_text(1);
            assert_eq!(headers.get_u8(), 7);
            found.insert(name, headers.split_to_text(2));
        }
        assert_eq!(found[":content-type"], self.api.encoding.content_type());
        let is_exception = found[":message-type"] == "exception";
        let kind = found[if is_exception { ":exception-type" } else { ":event-type" }].clone();
        Event { kind, is_exception, body: decode(self.api.encoding, payload) }
    }
}

trait SplitText {
    fn split_to_text(&mut self, width: usize) -> String;
}

impl SplitText for &[u8] {
    fn split_to_text(&mut self, width: usize) -> String {
        let len = self.get_uint(width) as usize;
        let (taken, rest) = self.split_at(len);
        *self = rest;
        String::from_utf8(taken.to_vec()).unwrap()
    }
}
