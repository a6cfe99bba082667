//! A whole node on one simulated host, and raw connections from another.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use millstream::catalog::Settings;
use millstream::engine::env::Tuning;
use millstream::format::frame::Frame;
use millstream::format::record::{self, Records};
use millstream::protocol::messages::{
    CreateStream, Credit, DescribeStream, Get, Hello, Ping, Put, PutAnswer, ReadState, SettingsChange,
    ShardDescription, ShardFilter, Stats,
};
use millstream::protocol::{
    Decode, Decoder, Envelope, ErrorAnswer, ErrorCode, Kind, Message, Next, Operation, Side, VERSION, VERSION_MIN,
};
use millstream::runtime::local::Notify;
use millstream::runtime::{Reactor, ReadHalf, WriteHalf};
use millstream::server::node::{self, DiskLimit, DiskLimits, Options, Report, Supervisor};
use millstream::sim::{HostId, NetOptions, Sim, SimOptions, SimReadHalf, SimRuntime, SimWriteHalf};
use millstream::types::{GroupId, Offset, ShardNumber};

pub struct World {
    pub sim: Sim,
    pub node: HostId,
    pub peer: HostId,
    pub workers: u16,
    pub options: Options,
    control: RefCell<Rc<Control>>,
}

#[derive(Default)]
struct Control {
    report: RefCell<Option<Report>>,
    stop: Cell<bool>,
    ended: Cell<u16>,
    changed: Notify,
}

struct Boss(Rc<Control>);

impl Supervisor for Boss {
    fn ready(&self, report: &Report) {
        *self.0.report.borrow_mut() = Some(report.clone());
        self.0.changed.notify();
    }

    async fn stop(&self) {
        self.0.changed.until(|| self.0.stop.get().then_some(())).await;
    }
}

impl World {
    /// A node that is ready.
    pub fn new(workers: u16) -> Self {
        Self::with(workers, |_| {})
    }

    pub fn with(workers: u16, change: impl FnOnce(&mut Options)) -> Self {
        let sim = Sim::new(
            7,
            SimOptions { net: NetOptions { backlog: 4096, ..NetOptions::default() }, ..SimOptions::default() },
        );
        let (node, peer) = (sim.host("node"), sim.host("client"));
        sim.create_dir_all(node, "/data").unwrap();
        let percent = DiskLimit::Percent;
        let mut options = Options {
            data: "/data".into(),
            listen: (sim.ip(node), 7_000).into(),
            direct_ports: Vec::new(),
            token: None,
            stream_defaults: Settings::default(),
            disk: DiskLimits { warn: percent(10), slow: percent(5), refuse: percent(3) },
            tuning: Tuning::default(),
            #[cfg(feature = "kinesis")]
            kinesis: None,
        };
        change(&mut options);
        let world = Self { sim, node, peer, workers, options, control: RefCell::default() };
        world.start();
        world
    }

    /// Starts the node's process and waits until it is ready.
    pub fn start(&self) {
        let control: Rc<Control> = Rc::default();
        *self.control.borrow_mut() = Rc::clone(&control);
        for seed in node::seeds::<SimRuntime>(&self.options, self.workers) {
            // A thread each, as in earnest: one can be made to stand still.
            let (rt, control) = (self.sim.runtime(self.node).on_thread(seed.id.0), Rc::clone(&control));
            self.sim.spawn_on(&rt.clone(), async move {
                seed.run(rt, Boss(Rc::clone(&control))).await.expect("the node runs");
                control.ended.set(control.ended.get() + 1);
                control.changed.notify();
            });
        }
        self.sim.block_on(control.changed.until(|| control.report.borrow().is_some().then_some(())));
    }

    /// Tells the node to stop.
    pub fn stop(&self) {
        let control = self.control.borrow();
        control.stop.set(true);
        control.changed.notify();
    }

    /// Resolves when all workers have ended.
    pub async fn stopped(&self) {
        let control = Rc::clone(&self.control.borrow());
        control.changed.until(|| (control.ended.get() == self.workers).then_some(())).await;
    }

    pub fn rt(&self) -> SimRuntime {
        self.sim.runtime(self.peer)
    }

    /// The ports: the shared one, then each worker's.
    pub fn ports(&self) -> Vec<SocketAddr> {
        let control = self.control.borrow();
        let report = control.report.borrow();
        let report = report.as_ref().unwrap();
        std::iter::once(report.listen).chain(report.direct.iter().copied()).collect()
    }

    pub async fn connect(&self, addr: SocketAddr) -> Conn {
        let (read, write) = self.rt().connect(addr).await.unwrap();
        Conn { read, write, buffer: BytesMut::new(), decoder: Decoder::new(Side::Client), next: 1 }
    }

    /// A connection that has said Hello.
    pub async fn open(&self, addr: SocketAddr) -> Conn {
        let mut conn = self.connect(addr).await;
        conn.call(&HELLO, &[]).await.answer::<Hello<'_>>().unwrap().unwrap();
        conn
    }

    /// A connection that has said Hello to worker `id`.
    pub async fn worker(&self, id: u16) -> Conn {
        self.open(self.ports()[usize::from(id) + 1]).await
    }
}

pub const HELLO: Hello<'static> =
    Hello { version_min: VERSION_MIN, version_max: VERSION, features: 0, client: "edge", token: b"" };

/// What a request was refused with.
#[derive(Debug)]
pub struct Refusal {
    pub code: ErrorCode,
    pub retry_after_ms: u32,
    pub details: (u64, u64),
    pub message: String,
}

/// A raw connection.
pub struct Conn {
    read: SimReadHalf,
    pub write: SimWriteHalf,
    buffer: BytesMut,
    decoder: Decoder,
    next: u64,
}

/// The bytes of a request.
pub fn request<O: Operation>(correlation: u64, args: &O, body: &[u8]) -> Vec<u8> {
    let crc = if body.is_empty() { 0 } else { crc32fast::hash(body) };
    let mut bytes = Vec::new();
    let envelope = Envelope::request::<O>(correlation);
    envelope.body(body.len() as u32, crc).encode(args, &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes of a Credit.
pub fn credit(correlation: u64, subscription: u64, bytes: u32) -> Vec<u8> {
    let mut out = Vec::new();
    Envelope::credit(correlation).encode(&Credit { subscription, bytes }, &mut out);
    out
}

/// One record, as a body.
pub fn one(key: &str, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    record::encode(key, data, &mut body);
    body
}

pub fn put(group: GroupId) -> Put {
    Put { group, producer: None, record_count: 1 }
}

pub fn error(message: &Message) -> ErrorCode {
    assert_eq!(message.head.kind, Kind::Error, "opcode {}", message.head.opcode);
    ErrorAnswer::decode(&message.args).unwrap().known().unwrap()
}

/// The records of frames, with their offsets.
pub fn records(mut frames: &[u8]) -> Vec<(Offset, String, Vec<u8>)> {
    let mut found = Vec::new();
    while !frames.is_empty() {
        let (frame, rest) = Frame::split(frames).unwrap();
        for (nth, record) in Records::new(frame.body).enumerate() {
            let record = record.unwrap();
            found.push((frame.header.base_offset.plus(nth as u64), record.key.to_owned(), record.data.to_vec()));
        }
        frames = rest;
    }
    found
}

impl Conn {
    /// Sends bytes; says whether the node still took them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.write.write_all(&mut [IoSlice::new(bytes)]).await.is_ok()
    }

    /// The next message; `None` when the node has closed.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            match self.decoder.next(&mut self.buffer).unwrap() {
                Next::Message(message) => return Some(message),
                Next::Need(need) => self.buffer.reserve(need),
            }
            match self.read.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads once, past the decoder.
    pub async fn read_some(&mut self, into: &mut BytesMut) -> usize {
        self.read.read(into).await.unwrap_or(0)
    }

    /// Sends a request and gives the next message, which answers it.
    pub async fn call<O: Operation>(&mut self, args: &O, body: &[u8]) -> Message {
        let correlation = self.next;
        self.next += 1;
        self.send(&request(correlation, args, body)).await;
        let answer = self.recv().await.expect("the connection is usable");
        assert_eq!(answer.head.correlation, correlation);
        answer
    }

    /// The error that answers a request, with its details.
    pub async fn refused<O: Operation>(&mut self, args: &O, body: &[u8]) -> Refusal {
        let message = self.call(args, body).await;
        let code = error(&message);
        let answer = ErrorAnswer::decode(&message.args).unwrap();
        let details = (answer.detail_a, answer.detail_b);
        Refusal { code, retry_after_ms: answer.retry_after_ms, details, message: answer.message.to_string() }
    }

    /// The error that answers a request.
    pub async fn fails<O: Operation>(&mut self, args: &O, body: &[u8]) -> ErrorCode {
        error(&self.call(args, body).await)
    }

    /// The error that answers a request, if it is one.
    pub async fn fails_or_not<O: Operation>(&mut self, args: &O) -> Option<ErrorCode> {
        let answer = self.call(args, &[]).await;
        (answer.head.kind == Kind::Error).then(|| error(&answer))
    }

    /// Fails unless the connection can still be used.
    pub async fn ping(&mut self) {
        self.call(&Ping, &[]).await.answer::<Ping>().unwrap().unwrap();
    }

    /// The error of the connection, which the node closes after it.
    pub async fn ends_with(&mut self) -> Option<ErrorCode> {
        let last = self.recv().await;
        if let Some(last) = &last {
            assert_eq!(last.head.correlation, 0);
            assert!(self.recv().await.is_none(), "closed after the error");
        }
        last.map(|last| error(&last))
    }

    pub async fn create(&mut self, name: &str, shards: u32, settings: SettingsChange) -> Vec<ShardDescription> {
        let answer = self.call(&CreateStream { name, shards, settings }, &[]).await;
        answer.answer::<CreateStream<'_>>().unwrap().unwrap();
        self.describe(name).await
    }

    pub async fn describe(&mut self, name: &str) -> Vec<ShardDescription> {
        let mut shards: Vec<ShardDescription> = Vec::new();
        loop {
            let from_shard = ShardNumber(shards.len() as u32);
            let answer =
                self.call(&DescribeStream { name, from_shard, limit: 1_000, filter: ShardFilter::All }, &[]).await;
            let answer = answer.answer::<DescribeStream<'_>>().unwrap().unwrap();
            shards.extend(answer.shards);
            if !answer.more {
                return shards;
            }
        }
    }

    pub async fn put(&mut self, group: GroupId, key: &str, data: &[u8]) -> PutAnswer {
        self.call(&put(group), &one(key, data)).await.answer::<Put>().unwrap().unwrap()
    }

    /// Everything in a shard.
    pub async fn read_all(&mut self, group: GroupId) -> Vec<(Offset, String, Vec<u8>)> {
        let (mut all, mut from) = (Vec::new(), Offset(0));
        loop {
            let answer = self.call(&Get { group, from, bytes_max: 4 << 20, wait_ms: 0 }, &[]).await;
            let state: ReadState = answer.answer::<Get>().unwrap().unwrap();
            all.extend(records(&answer.body));
            from = state.next_offset;
            if from == state.end_offset {
                return all;
            }
        }
    }

    pub async fn stat(&mut self, of: Stats<'_>, name: &str) -> u64 {
        let answer = self.call(&of, &[]).await;
        let stats = answer.answer::<Stats<'_>>().unwrap().unwrap().stats;
        stats.iter().find(|stat| stat.name == name).map(|stat| stat.value).unwrap()
    }
}
