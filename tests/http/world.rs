//! A worker with nothing but a front end and a small handler, and raw connections from another host.

use std::cell::Cell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Response, StatusCode};
use millstream::catalog::{Catalog, Settings};
use millstream::engine::env::{Env, Tuning};
use millstream::engine::shards::Shards;
use millstream::format::node::NodeFile;
use millstream::runtime::local::Notify;
use millstream::runtime::{Listener, Reactor, ReadHalf, Runtime, TaskClass, WriteHalf};
use millstream::server::http::{AsSent, Body, Front, Sender, Turns, stream};
use millstream::server::node::{DiskLimit, DiskLimits, Options};
use millstream::server::worker::{self, Worker};
use millstream::sim::{HostId, NetOptions, Sim, SimOptions, SimReadHalf, SimRuntime, SimWriteHalf};
use millstream::types::{Term, WallUs, WorkerId};

/// A worker without shards.
pub fn worker<R: Runtime>(rt: &R) -> Rc<Worker<R>> {
    let percent = DiskLimit::Percent;
    let options = Options {
        data: PathBuf::from("/data"),
        listen: ([127, 0, 0, 1], 0).into(),
        direct_ports: Vec::new(),
        token: None,
        stream_defaults: Settings::default(),
        disk: DiskLimits { warn: percent(10), slow: percent(5), refuse: percent(3) },
        tuning: Tuning::default(),
        kinesis: None,
    };
    let env = Env::new(rt.clone(), WorkerId(0), options.data.clone(), Term(1), options.tuning);
    let parts = worker::Parts {
        id: WorkerId(0),
        options: Rc::new(options),
        node: NodeFile { node_id: 1, term: Term(1), created: WallUs(0) },
        shards: Shards::new(env),
        catalog: Catalog::new(),
        links: vec![None],
        admin: None,
    };
    Worker::new(rt.clone(), parts)
}

/// What the handler saw, and what it waits for.
#[derive(Default)]
pub struct Probe {
    /// Calls that have begun.
    pub begun: Cell<usize>,
    /// Calls that have ended, answered or not.
    pub ended: Cell<usize>,
    /// Streams that have begun.
    pub streams: Cell<usize>,
    /// Streams whose client went.
    pub gone: Cell<usize>,
    /// Large answers in the making, and the most there were.
    pub making: Cell<usize>,
    pub making_max: Cell<usize>,
    /// `/wait` goes on.
    pub go: Cell<bool>,
    pub changed: Notify,
}

impl Probe {
    pub fn go(&self) {
        self.go.set(true);
        self.changed.notify();
    }
}

struct Call<'a>(&'a Probe);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.ended.set(self.0.ended.get() + 1);
    }
}

/// Answers by path: `/echo` with the body, `/len` with its length and that of what was sent, `/wait` once it may, `/never`, `/big/N` with
/// N bytes for which it took a turn, `/stream` with events.
pub async fn handle<R: Runtime>(
    probe: &Rc<Probe>,
    worker: &Rc<Worker<R>>,
    parts: Parts,
    body: Bytes,
    turns: &Turns,
) -> Response<Body> {
    probe.begun.set(probe.begun.get() + 1);
    let _call = Call(probe);
    let path = parts.uri.path();
    let mut response = match path {
        "/echo" => Response::new(Body::Whole(body)),
        "/len" => {
            let sent = parts.extensions.get::<AsSent>().map_or(body.len(), |sent| sent.0.len());
            Response::new(Body::from(format!("{} {sent}", body.len()).into_bytes()))
        }
        "/wait" => {
            probe.changed.until(|| probe.go.get().then_some(())).await;
            Response::new(Body::from("waited"))
        }
        "/never" => std::future::pending().await,
        "/stream" => {
            let (sender, body) = stream(turns);
            probe.streams.set(probe.streams.get() + 1);
            worker.rt.spawn(TaskClass::Latency, events(worker.rt.clone(), Rc::clone(probe), sender, turns.clone()));
            Response::new(body)
        }
        _ => match path.strip_prefix("/big/").and_then(|len| len.parse().ok()) {
            Some(len) => {
                let Some(_turn) = turns.take(1 << 20).await else { return Response::new(Body::empty()) };
                probe.making.set(probe.making.get() + 1);
                probe.making_max.set(probe.making_max.get().max(probe.making.get()));
                worker.rt.sleep(Duration::from_millis(1)).await;
                probe.making.set(probe.making.get() - 1);
                Response::new(Body::from(vec![b'x'; len]))
            }
            None => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        },
    };
    response.headers_mut().insert("x-path", path.parse().unwrap());
    response
}

/// An event of 10 bytes every 10 ms.
async fn events<R: Runtime>(rt: R, probe: Rc<Probe>, sender: Sender, turns: Turns) {
    for number in 0_u32.. {
        let Some(_turn) = turns.take(1 << 20).await else { break };
        if !sender.send(format!("event{number:5}").into_bytes().into()).await {
            break;
        }
        rt.sleep(Duration::from_millis(10)).await;
    }
    probe.gone.set(probe.gone.get() + 1);
}

pub struct World {
    pub sim: Sim,
    pub peer: HostId,
    pub worker: Rc<Worker<SimRuntime>>,
    pub probe: Rc<Probe>,
    pub addr: SocketAddr,
}

impl World {
    pub fn new() -> Self {
        Self::with(NetOptions { backlog: 4096, ..NetOptions::default() })
    }

    pub fn with(net: NetOptions) -> Self {
        let sim = Sim::new(7, SimOptions { net, ..SimOptions::default() });
        let (node, peer) = (sim.host("node"), sim.host("client"));
        let rt = sim.runtime(node);
        let worker = worker(&rt);
        let probe: Rc<Probe> = Rc::default();
        let handler = {
            let probe = Rc::clone(&probe);
            async move |worker: &Rc<Worker<SimRuntime>>, parts: Parts, body: Bytes, turns: &Turns| {
                handle(&probe, worker, parts, body, turns).await
            }
        };
        let listener = rt.listen((sim.ip(node), 4_567).into(), true).unwrap();
        let addr = listener.local_addr().unwrap();
        Front::start(&worker, None, handler).listen(listener);
        Self { sim, peer, worker, probe, addr }
    }

    pub fn rt(&self) -> SimRuntime {
        self.sim.runtime(self.peer)
    }

    pub async fn connect(&self) -> Conn {
        let (read, write) = self.rt().connect(self.addr).await.unwrap();
        Conn { read, write, buffer: BytesMut::new() }
    }

    pub async fn sleep_ms(&self, ms: u64) {
        self.rt().sleep(Duration::from_millis(ms)).await;
    }

    /// Waits until `condition` holds.
    pub async fn until(&self, condition: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if condition() {
                return;
            }
            self.sleep_ms(1).await;
        }
        panic!("it never came to that");
    }
}

/// A raw connection.
pub struct Conn {
    pub read: SimReadHalf,
    pub write: SimWriteHalf,
    pub buffer: BytesMut,
}

/// An answer of HTTP/1.1.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Conn {
    /// Sends bytes; says whether the node still took them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.write.write_all(&mut [IoSlice::new(bytes.as_ref())]).await.is_ok()
    }

    /// Reads once; `false` at the end, orderly or not.
    pub async fn more(&mut self) -> bool {
        self.buffer.reserve(64 << 10);
        matches!(self.read.read(&mut self.buffer).await, Ok(1..))
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        self.buffer.split().to_vec()
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(at + 2);
                return Some(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub async fn exactly(&mut self, len: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < len {
            if !self.more().await {
                return None;
            }
        }
        Some(self.buffer.split_to(len).to_vec())
    }

    /// The head of the next answer; `None` when the node has closed.
    pub async fn head(&mut self) -> Option<Answer> {
        let first = self.line().await?;
        let status = first.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{first}"))[..3].parse().unwrap();
        let mut head = String::new();
        loop {
            match self.line().await?.as_str() {
                "" => return Some(Answer { status, head, body: Vec::new() }),
                line => head.extend([line, "\r\n"]),
            }
        }
    }

    /// The next chunk of a chunked body; empty is the last one.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let len = usize::from_str_radix(&self.line().await?, 16).unwrap();
        let mut chunk = self.exactly(len + 2).await?;
        chunk.truncate(len);
        Some(chunk)
    }

    /// The next answer, whole.
    pub async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        match answer.header("content-length") {
            Some(len) => answer.body = self.exactly(len.parse().unwrap()).await?,
            None => loop {
                match self.chunk().await? {
                    chunk if chunk.is_empty() => break,
                    chunk => answer.body.extend(chunk),
                }
            },
        }
        Some(answer)
    }

    /// Posts a body and gives the answer.
    pub async fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.send(post(path, body)).await;
        self.answer().await.expect("the connection is usable")
    }
}

/// A request with a body of known length.
pub fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Bytes that are recognisable anywhere.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}
