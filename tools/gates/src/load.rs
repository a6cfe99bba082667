//! The operations whose cost is taken, from the client's end: one kind at a time, one after the other, the same bytes each time.

use std::io::IoSlice;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use millstream::format::record;
use millstream::protocol::messages::{
    CreateStream, Credit, DescribeStream, Get, Hello, Put, SettingsChange, ShardFilter, Start, Subscribe,
};
use millstream::protocol::{Decoder, Envelope, Kind, Message, Next, Operation, Side, VERSION, VERSION_MIN};
use millstream::runtime::{Reactor, ReadHalf, WriteHalf};
use millstream::types::{GroupId, Offset, ShardNumber};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A put of one record, the next one after its answer: each is a commit of its own.
    Put,
    /// Puts of one record, [`IN_FLIGHT`] of them sent at once.
    PutMany,
    /// A put of [`RECORDS`] records.
    PutBatch,
    /// A get of one frame that is still in memory.
    Get,
    /// A get of one frame that is read from the disk.
    GetCold,
    /// A put as in [`Load::Put`], pushed to [`SUBSCRIBERS`] connections.
    Push,
    /// A `PutRecords` of [`RECORDS`] records in JSON.
    KinesisPut,
    /// A `GetRecords` that gives [`RECORDS`] records in JSON.
    KinesisGet,
}

/// Puts under way at a time in [`Load::PutMany`].
pub const IN_FLIGHT: usize = 32;

/// Records of one request where there are several.
pub const RECORDS: u32 = 100;

/// Connections that are pushed to in [`Load::Push`].
pub const SUBSCRIBERS: usize = 4;

/// A record's data.
const DATA_BYTES: usize = 102;

/// Base64 of three bytes; [`DATA_BYTES`] is a multiple of that.
const BASE64_OF_3: &str = "QUJD";

/// What a subscription may be sent ahead. Granted again when half of it is used up.
const CREDIT: u32 = 1 << 20;

impl Load {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("put", Self::Put),
        ("put_many", Self::PutMany),
        ("put_batch", Self::PutBatch),
        ("get", Self::Get),
        ("get_cold", Self::GetCold),
        ("push", Self::Push),
        ("kinesis_put", Self::KinesisPut),
        ("kinesis_get", Self::KinesisGet),
    ];

    /// The load with a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, load)| *load)
    }
}

/// A client that is ready for one kind of load.
pub struct Client<C: Reactor> {
    load: Load,
    group: GroupId,
    conn: Connection<C>,
    subscribers: Vec<Subscriber<C>>,
    http: Option<Http<C>>,
    /// The body of a native put, or a whole HTTP request.
    body: Vec<u8>,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For the native protocol.
    pub native: SocketAddr,
    /// For the Kinesis API.
    pub kinesis: SocketAddr,
}

impl<C: Reactor> Client<C> {
    /// Connects, makes a stream of one shard, and does what comes before the first operation.
    pub async fn new(rt: &C, node: Addresses, load: Load) -> Self {
        let mut conn = Connection::open(rt, node.native).await;
        let group = conn.create().await;
        let mut client = Self { load, group, conn, subscribers: Vec::new(), http: None, body: records(1) };
        match load {
            Load::Put | Load::PutMany => {}
            Load::PutBatch => client.body = records(RECORDS),
            Load::Get => client.put(1).await,
            Load::GetCold => {
                client.put(1).await;
                // What follows pushes the first frame out of memory.
                client.body = records(RECORDS);
                for _ in 0..8 {
                    client.put(RECORDS).await;
                }
            }
            Load::Push => {
                for _ in 0..SUBSCRIBERS {
                    client.subscribers.push(Subscriber::open(rt, node.native, group).await);
                }
            }
            Load::KinesisPut => {
                client.http = Some(Http::open(rt, node.kinesis).await);
                client.body = request("PutRecords", &put_records());
            }
            Load::KinesisGet => {
                let mut http = Http::open(rt, node.kinesis).await;
                http.call(&request("PutRecords", &put_records())).await;
                let input = r#"{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}"#;
                let answer = http.call(&request("GetShardIterator", input)).await;
                let answer = String::from_utf8(answer).expect("JSON is UTF-8");
                client.body = request("GetRecords", &answer);
                client.http = Some(http);
            }
        }
        client
    }

    /// Does so many operations.
    pub async fn operate(&mut self, count: usize) {
        match self.load {
            Load::PutMany => {
                assert!(count.is_multiple_of(IN_FLIGHT), "{count} puts are not whole rounds of {IN_FLIGHT}");
                for _ in 0..count / IN_FLIGHT {
                    self.put_many().await;
                }
            }
            _ => {
                for _ in 0..count {
                    self.operation().await;
                }
            }
        }
    }

    async fn operation(&mut self) {
        match self.load {
            Load::PutMany => unreachable!("these go in rounds"),
            Load::Put => self.put(1).await,
            Load::PutBatch => self.put(RECORDS).await,
            Load::Get | Load::GetCold => {
                // The first frame is handed out whatever its size, so this is one frame.
                let get = Get { group: self.group, from: Offset(0), bytes_max: 1, wait_ms: 0 };
                let answer = self.conn.call(&get, &[]).await;
                assert!(!answer.body.is_empty());
            }
            Load::Push => {
                self.put(1).await;
                for subscriber in &mut self.subscribers {
                    subscriber.pushed().await;
                }
            }
            Load::KinesisPut | Load::KinesisGet => {
                let answer = self.http.as_mut().expect("it is connected").call(&self.body).await;
                assert!(answer.len() > RECORDS as usize * 50, "{}", String::from_utf8_lossy(&answer));
            }
        }
    }

    async fn put(&mut self, record_count: u32) {
        let put = Put { group: self.group, producer: None, record_count };
        let answer = self.conn.call(&put, &self.body).await;
        let stored = answer.answer::<Put>().expect("a put's answer").expect("stored");
        assert_eq!(stored.record_count, record_count);
    }

    async fn put_many(&mut self) {
        let put = Put { group: self.group, producer: None, record_count: 1 };
        let mut bytes = Vec::new();
        for _ in 0..IN_FLIGHT {
            self.conn.encode(&put, &self.body, &mut bytes);
        }
        self.conn.send(&bytes).await;
        for _ in 0..IN_FLIGHT {
            self.conn.recv().await.answer::<Put>().expect("a put's answer").expect("stored");
        }
    }
}

/// The body of a put.
fn records(count: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for number in 0..count {
        record::encode(&format!("key-{number:04}"), &[0x5a; DATA_BYTES], &mut body);
    }
    body
}

/// A native connection.
struct Connection<C: Reactor> {
    read: C::ReadHalf,
    write: C::WriteHalf,
    buffer: BytesMut,
    decoder: Decoder,
    next: u64,
}

impl<C: Reactor> Connection<C> {
    async fn open(rt: &C, addr: SocketAddr) -> Self {
        let (read, write) = rt.connect(addr).await.expect("the node listens");
        let (buffer, decoder) = (BytesMut::new(), Decoder::new(Side::Client));
        let mut conn = Self { read, write, buffer, decoder, next: 1 };
        let hello = Hello { version_min: VERSION_MIN, version_max: VERSION, features: 0, client: "gates", token: b"" };
        conn.call(&hello, &[]).await.answer::<Hello<'_>>().expect("an answer to hello").expect("welcome");
        conn
    }

    /// The shard of a new stream, or of the one that is there.
    async fn create(&mut self) -> GroupId {
        let create = CreateStream { name: "s", shards: 1, settings: SettingsChange::NONE };
        self.call(&create, &[]).await.answer::<CreateStream<'_>>().expect("an answer").expect("created");
        let describe = DescribeStream { name: "s", from_shard: ShardNumber(0), limit: 1, filter: ShardFilter::All };
        let answer = self.call(&describe, &[]).await;
        answer.answer::<DescribeStream<'_>>().expect("an answer").expect("described").shards[0].group
    }

    fn encode<O: Operation>(&mut self, args: &O, body: &[u8], out: &mut Vec<u8>) -> u64 {
        let (correlation, crc) = (self.next, crc32fast::hash(body));
        self.next += 1;
        let len = u32::try_from(body.len()).expect("a small body");
        let crc = if len == 0 { 0 } else { crc };
        Envelope::request::<O>(correlation).body(len, crc).encode(args, out);
        out.extend_from_slice(body);
        correlation
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.write.write_all(&mut [IoSlice::new(bytes)]).await.expect("the node reads");
    }

    async fn recv(&mut self) -> Message {
        loop {
            match self.decoder.next(&mut self.buffer).expect("the node keeps to the protocol") {
                Next::Message(message) => {
                    assert_ne!(message.head.kind, Kind::Error, "opcode {}", message.head.opcode);
                    return message;
                }
                Next::Need(need) => self.buffer.reserve(need),
            }
            let got = self.read.read(&mut self.buffer).await.expect("the node answers");
            assert_ne!(got, 0, "the node has closed the connection");
        }
    }

    async fn call<O: Operation>(&mut self, args: &O, body: &[u8]) -> Message {
        let mut bytes = Vec::new();
        let correlation = self.encode(args, body, &mut bytes);
        self.send(&bytes).await;
        let answer = self.recv().await;
        assert_eq!(answer.head.correlation, correlation);
        answer
    }
}

/// A connection with one subscription.
struct Subscriber<C: Reactor> {
    conn: Connection<C>,
    subscription: u64,
    /// Bytes pushed since credit was granted last.
    pushed: u32,
}

impl<C: Reactor> Subscriber<C> {
    async fn open(rt: &C, addr: SocketAddr, group: GroupId) -> Self {
        let mut conn = Connection::open(rt, addr).await;
        let subscription = conn.next;
        let subscribe = Subscribe { group, start: Start::Latest, consumer: 0, credit: CREDIT };
        conn.call(&subscribe, &[]).await;
        Self { conn, subscription, pushed: 0 }
    }

    async fn pushed(&mut self) {
        let push = self.conn.recv().await;
        assert_eq!(push.head.kind, Kind::Push);
        self.pushed += u32::try_from(push.body.len()).expect("a push is bounded");
        if self.pushed > CREDIT / 2 {
            let credit = Credit { subscription: self.subscription, bytes: std::mem::take(&mut self.pushed) };
            let mut bytes = Vec::new();
            Envelope::credit(self.conn.next).encode(&credit, &mut bytes);
            self.conn.next += 1;
            self.conn.send(&bytes).await;
        }
    }
}

/// A connection of HTTP/1.1.
struct Http<C: Reactor> {
    read: C::ReadHalf,
    write: C::WriteHalf,
    buffer: BytesMut,
}

/// The bytes of a request, with the headers that a client sends which does not sign.
fn request(operation: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: node:4567\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn put_records() -> String {
    let data = BASE64_OF_3.repeat(DATA_BYTES / 3);
    let record = |number| format!(r#"{{"Data":"{data}","PartitionKey":"key-{number:04}"}}"#);
    let records: Vec<String> = (0..RECORDS).map(record).collect();
    format!(r#"{{"StreamName":"s","Records":[{}]}}"#, records.join(","))
}

impl<C: Reactor> Http<C> {
    async fn open(rt: &C, addr: SocketAddr) -> Self {
        let (read, write) = rt.connect(addr).await.expect("the node listens");
        Self { read, write, buffer: BytesMut::new() }
    }

    /// Sends a request; gives the body of its answer, which is a success.
    async fn call(&mut self, request: &[u8]) -> Vec<u8> {
        self.write.write_all(&mut [IoSlice::new(request)]).await.expect("the node reads");
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let length: usize = length.trim().parse().expect("a number");
        while self.buffer.len() < end + length {
            self.more().await;
        }
        self.buffer.advance(end);
        self.buffer.split_to(length).to_vec()
    }

    async fn more(&mut self) {
        self.buffer.reserve(64 << 10);
        let got = self.read.read(&mut self.buffer).await.expect("the node answers");
        assert_ne!(got, 0, "the node has closed the connection");
    }
}
