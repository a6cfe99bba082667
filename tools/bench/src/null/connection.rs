//! One connection of the null server.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use millstream::protocol::messages::{
    CreateStreamAnswer, DeleteStreamAnswer, DescribeStreamAnswer, Get, HelloAnswer, Limits, ListStreamsAnswer,
    PingAnswer, PositionAnswer, Put, PutAnswer, ReadState, Start, StatsAnswer, StreamStatus, StreamSummary,
    SubscribeAnswer, UnsubscribeAnswer,
};
use millstream::protocol::{
    Encode, Envelope, ErrorAnswer, ErrorCode, HEAD_BYTES, Head, Opcode, Request, Side, VERSION,
};
use millstream::runtime::local::Notify;
use millstream::types::{Durability, Offset, WallUs, WorkerId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::spawn_local;

use super::store::{Shard, Store, defaults, wall};

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// Bytes of one push.
const PUSH_BYTES_MAX: usize = 1 << 20;

struct Link {
    store: Rc<Store>,
    out: RefCell<BytesMut>,
    over: Cell<bool>,
    changed: Notify,
    /// Credit of each subscription; `None` once it is over.
    credit: RefCell<HashMap<u64, Rc<Cell<Option<i64>>>>>,
}

pub(super) async fn run(store: Rc<Store>, stream: TcpStream) {
    let (read, write) = stream.into_split();
    let link = Rc::new(Link {
        store,
        out: RefCell::default(),
        over: Cell::new(false),
        changed: Notify::new(),
        credit: RefCell::default(),
    });
    spawn_local(Rc::clone(&link).send(write));
    // A client that leaves, or speaks nonsense, is gone: nothing else to be done.
    let _ = link.receive(read).await;
    link.over.set(true);
    link.changed.notify();
    link.credit.take().values().for_each(|balance| balance.set(None));
    link.store.wake_readers();
}

/// Received bytes that were not dealt with yet.
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn skip(&mut self, bytes: usize) {
        self.start += bytes;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Receives what is there; at least a whole message of `need` bytes has room.
    async fn receive(&mut self, read: &OwnedReadHalf, need: usize) -> io::Result<()> {
        if self.start > 0 && self.bytes.len() - self.start < need.max(READ_BYTES / 2) {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.start < need {
            self.bytes.resize(self.start + need, 0);
        }
        loop {
            read.readable().await?;
            match read.try_read(&mut self.bytes[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Link {
    async fn send(self: Rc<Self>, mut half: OwnedWriteHalf) {
        loop {
            let next = self.changed.until(|| {
                let out = self.out.borrow_mut().split();
                match out.is_empty() {
                    false => Some(Some(out)),
                    true => self.over.get().then_some(None),
                }
            });
            let Some(bytes) = next.await else { break };
            if half.write_all(&bytes).await.is_err() {
                break;
            }
        }
    }

    async fn receive(self: &Rc<Self>, read: OwnedReadHalf) -> io::Result<()> {
        let mut inbox = Inbox { bytes: vec![0; READ_BYTES], start: 0, end: 0 };
        loop {
            let head = self.head(&mut inbox, &read).await?;
            let args_end = HEAD_BYTES + head.args_len as usize;
            while inbox.filled().len() < args_end {
                inbox.receive(&read, args_end).await?;
            }
            let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
            let args = &inbox.filled()[HEAD_BYTES..args_end];
            head.check(args).map_err(|error| invalid(error.to_string()))?;
            let request = Request::decode(&head, args).map_err(|error| invalid(error.to_string()))?;
            if let Request::Put(put) = request {
                inbox.skip(args_end);
                self.put(&head, &put, &mut inbox, &read).await?;
            } else {
                self.answer(head.correlation, &request);
                inbox.skip(args_end);
            }
        }
    }

    async fn head(&self, inbox: &mut Inbox, read: &OwnedReadHalf) -> io::Result<Head> {
        while inbox.filled().len() < HEAD_BYTES {
            inbox.receive(read, HEAD_BYTES).await?;
        }
        let head = Head::decode(inbox.filled(), Side::Server);
        head.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    async fn put(&self, head: &Head, put: &Put, inbox: &mut Inbox, read: &OwnedReadHalf) -> io::Result<()> {
        let (store, body_len) = (&self.store, head.body_len as usize);
        let shard = store.shard(put.group);
        let keep = store.options.keep_bytes > 0;
        let mut base = None;
        if keep {
            while inbox.filled().len() < body_len {
                inbox.receive(read, body_len).await?;
            }
            let body = &inbox.filled()[..body_len];
            base = shard.as_ref().map(|shard| shard.keep(body, head.body_crc, put.record_count, &store.options));
            inbox.skip(body_len);
        } else {
            let mut left = body_len;
            loop {
                let bytes = left.min(inbox.filled().len());
                inbox.skip(bytes);
                left -= bytes;
                if left == 0 {
                    break;
                }
                inbox.receive(read, 1).await?;
            }
        }
        let number = store.puts.replace(store.puts.get() + 1);
        if let Some(stall) = store.options.stall.filter(|stall| stall.before_put == number) {
            // The point of it: the whole server stands still.
            std::thread::sleep(stall.lasts);
        }
        match shard {
            Some(shard) => {
                let answer = PutAnswer {
                    base_offset: base.unwrap_or_else(|| shard.forget(put.record_count)),
                    record_count: put.record_count,
                    arrival: wall(),
                    durability: Durability::Interval,
                    duplicate: false,
                };
                self.write(Envelope::answer(Opcode::Put, head.correlation), &answer, &[]);
            }
            None => self.fail(Opcode::Put, head.correlation, ErrorCode::ShardNotFound),
        }
        Ok(())
    }

    fn answer(self: &Rc<Self>, correlation: u64, request: &Request<'_>) {
        let (store, opcode) = (&self.store, request.opcode());
        let ok = Envelope::answer(opcode, correlation);
        match *request {
            Request::Hello(_) => {
                let answer = HelloAnswer {
                    version: VERSION,
                    features: 0,
                    node_id: 0,
                    node_version: concat!("null-", env!("CARGO_PKG_VERSION")),
                    worker: WorkerId(0),
                    direct_ports: Vec::new(),
                    limits: Limits::default(),
                    wall: wall(),
                    catalogue_version: 1,
                };
                self.write(ok, &answer, &[]);
            }
            Request::Ping(_) => self.write(ok, &PingAnswer { wall: wall() }, &[]),
            Request::Stats(_) => self.write(ok, &StatsAnswer { stats: Vec::new() }, &[]),
            Request::Get(get) => drop(spawn_local(Rc::clone(self).get(get, correlation))),
            Request::Position(position) => match store.shard(position.group) {
                Some(shard) => {
                    let (horizon, end_offset) = (shard.horizon(), shard.end());
                    let offset = place(&shard, position.start);
                    self.write(ok, &PositionAnswer { offset, horizon, end_offset }, &[]);
                }
                None => self.fail(opcode, correlation, ErrorCode::ShardNotFound),
            },
            Request::Subscribe(subscribe) => match store.shard(subscribe.group) {
                Some(shard) => {
                    let balance = Rc::new(Cell::new(Some(i64::from(subscribe.credit))));
                    self.credit.borrow_mut().insert(correlation, Rc::clone(&balance));
                    let (horizon, end_offset) = (shard.horizon(), shard.end());
                    let from = place(&shard, subscribe.start);
                    self.write(ok, &SubscribeAnswer { from, horizon, end_offset }, &[]);
                    spawn_local(Rc::clone(self).push(from, shard, correlation, balance));
                }
                None => self.fail(opcode, correlation, ErrorCode::ShardNotFound),
            },
            Request::Credit(credit) => {
                if let Some(balance) = self.credit.borrow().get(&credit.subscription) {
                    balance.set(balance.get().map(|bytes| bytes + i64::from(credit.bytes)));
                }
                store.wake_readers();
            }
            Request::Unsubscribe(unsubscribe) => {
                let balance = self.credit.borrow_mut().remove(&unsubscribe.subscription);
                let existed = balance.is_some_and(|balance| balance.take().is_some());
                store.wake_readers();
                self.write(ok, &UnsubscribeAnswer { existed }, &[]);
            }
            Request::CreateStream(create) => {
                let mut settings = defaults();
                settings.record_bytes_max = create.settings.record_bytes_max.unwrap_or(settings.record_bytes_max);
                match store.create(create.name, create.shards, settings) {
                    Some(stream) => self.write(ok, &CreateStreamAnswer { stream, catalogue_version: 1 }, &[]),
                    None => self.fail(opcode, correlation, ErrorCode::StreamExists),
                }
            }
            Request::DeleteStream(delete) => match store.delete(delete.name) {
                true => self.write(ok, &DeleteStreamAnswer { catalogue_version: 1 }, &[]),
                false => self.fail(opcode, correlation, ErrorCode::StreamNotFound),
            },
            Request::ListStreams(_) => {
                let names = store.names();
                let streams = names
                    .iter()
                    .map(|(name, open_shards)| StreamSummary {
                        name,
                        status: StreamStatus::Active,
                        open_shards: *open_shards,
                    })
                    .collect();
                self.write(ok, &ListStreamsAnswer { streams, more: false }, &[]);
            }
            Request::DescribeStream(describe) => match store.stream(describe.name) {
                Some(stream) => {
                    let rest = stream.shards.iter().filter(|shard| shard.number >= describe.from_shard);
                    let answer = DescribeStreamAnswer {
                        stream: stream.id,
                        name: describe.name,
                        status: StreamStatus::Active,
                        created: wall(),
                        settings: stream.settings,
                        catalogue_version: 1,
                        open_shards: stream.shards.len() as u32,
                        scaling_target: 0,
                        consumers: 0,
                        expired_before: WallUs(0),
                        shards: rest.clone().take(millstream::limits::SHARD_PAGE_MAX as usize).copied().collect(),
                        more: rest.count() > millstream::limits::SHARD_PAGE_MAX as usize,
                    };
                    self.write(ok, &answer, &[]);
                }
                None => self.fail(opcode, correlation, ErrorCode::StreamNotFound),
            },
            // What no workload asks for. Puts are dealt with before they come here.
            _ => {
                self.fail(opcode, correlation, ErrorCode::UnsupportedOpcode);
            }
        }
    }

    async fn get(self: Rc<Self>, get: Get, correlation: u64) {
        let Some(shard) = self.store.shard(get.group) else {
            return self.fail(Opcode::Get, correlation, ErrorCode::ShardNotFound);
        };
        let some = shard.changed.until(|| (shard.end() > get.from || self.over.get()).then_some(()));
        // Without records the answer is empty, after the wait.
        let _ = tokio::time::timeout(Duration::from_millis(get.wait_ms.into()), some).await;
        if get.from < shard.horizon() {
            let error = ErrorAnswer::new(ErrorCode::BeforeHorizon).details(shard.horizon().0, 0);
            return self.write(Envelope::error(Opcode::Get as u8, correlation), &error, &[]);
        }
        let (frames, next) = shard.read(get.from, get.bytes_max as usize);
        self.write(Envelope::answer(Opcode::Get, correlation), &state(&shard, next), &frames);
    }

    async fn push(self: Rc<Self>, from: Offset, shard: Rc<Shard>, id: u64, balance: Rc<Cell<Option<i64>>>) {
        let mut next = from;
        loop {
            let more = || match balance.get() {
                None => Some(false),
                Some(bytes) => (bytes > 0 && shard.end() > next).then_some(true),
            };
            if !shard.changed.until(more).await {
                return;
            }
            if next < shard.horizon() {
                // The reader is slower than the memory is large. It learns that by a gap in the offsets.
                next = shard.horizon();
            }
            let (frames, after) = shard.read(next, PUSH_BYTES_MAX);
            balance.set(balance.get().map(|bytes| bytes - frames.len() as i64));
            self.write(Envelope::push(id), &state(&shard, after), &frames);
            next = after;
            // One reader's backlog does not keep the others waiting.
            tokio::task::yield_now().await;
        }
    }

    fn write(&self, envelope: Envelope, args: &impl Encode, body: &[u8]) {
        let mut out = self.out.borrow_mut();
        envelope.body(body.len() as u32, 0).encode(args, &mut *out);
        out.extend_from_slice(body);
        drop(out);
        self.changed.notify();
    }

    fn fail(&self, opcode: Opcode, correlation: u64, code: ErrorCode) {
        self.write(Envelope::error(opcode as u8, correlation), &ErrorAnswer::new(code), &[]);
    }
}

fn state(shard: &Shard, next_offset: Offset) -> ReadState {
    ReadState {
        next_offset,
        end_offset: shard.end(),
        horizon: shard.horizon(),
        last_arrival: wall(),
        wall: wall(),
        end_of_shard: false,
    }
}

/// The offset that a place in words stands for.
fn place(shard: &Shard, start: Start) -> Offset {
    match start {
        Start::Horizon | Start::AtTime(_) => shard.horizon(),
        Start::Latest => shard.end(),
        Start::At(offset) => offset,
        Start::After(offset) => offset.plus(1),
    }
}
