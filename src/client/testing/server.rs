//! The fake node's connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_lite::future::or;

use super::admin::{children_of, offset_of};
use super::{PORT, STREAM, Store};
use crate::protocol::messages::{
    CreateStreamAnswer, DeleteStreamAnswer, DescribeStreamAnswer, Get, HelloAnswer, ListStreamsAnswer, PingAnswer,
    PositionAnswer, ReadState, ShardDescription, ShardFilter, ShardState, Stat, StatsAnswer, StreamStatus,
    StreamSummary, Subscribe, SubscribeAnswer, SubscriptionEnd, UnsubscribeAnswer, UpdateStreamAnswer,
};
use crate::protocol::{
    Decoder, Encode, Envelope, ErrorAnswer, ErrorCode, Message, Next, Opcode, Request, Side, VERSION,
};
use crate::runtime::local::Notify;
use crate::runtime::{Listener, Reactor, ReadHalf, Runtime, TaskClass, WriteHalf};
use crate::sim::{HostId, Sim, SimReadHalf, SimRuntime, SimWriteHalf};
use crate::types::{GroupId, Offset, StreamId, WallUs, WorkerId};

const WORKERS: u16 = 2;

/// Listens on the shared port and, if told, on one per worker.
pub(super) fn start(sim: &Sim, host: HostId, store: &Rc<Store>) {
    let rt = sim.runtime(host);
    let direct = if store.direct.get() { WORKERS } else { 0 };
    for at in 0..=direct {
        let listener = rt.listen((sim.ip(host), PORT + at).into(), false).unwrap();
        // The shared port leads to worker 0.
        let worker = WorkerId(at.saturating_sub(1));
        let (rt, store) = (rt.clone(), Rc::clone(store));
        sim.spawn(host, async move {
            while let Ok((read, write)) = listener.accept().await {
                let link = Rc::new(Link {
                    rt: rt.clone(),
                    store: Rc::clone(&store),
                    worker,
                    direct: at > 0,
                    out: RefCell::default(),
                    over: Cell::new(false),
                    changed: Notify::new(),
                    credit: RefCell::default(),
                });
                rt.spawn(TaskClass::Latency, Rc::clone(&link).send(write));
                rt.spawn(TaskClass::Latency, link.receive(read));
            }
        });
    }
}

pub(super) struct Link {
    pub(super) rt: SimRuntime,
    pub(super) store: Rc<Store>,
    worker: WorkerId,
    /// It came in at the worker's own port.
    direct: bool,
    out: RefCell<BytesMut>,
    over: Cell<bool>,
    changed: Notify,
    /// By subscription: its balance, `None` once it is over.
    credit: RefCell<HashMap<u64, Rc<Cell<Option<i64>>>>>,
}

impl Link {
    pub(super) fn chance(&self, percent: u64) -> bool {
        percent > 0 && self.rt.random() % 100 < percent
    }

    pub(super) fn end(&self) {
        self.over.set(true);
        self.changed.notify();
    }

    pub(super) fn write(&self, envelope: Envelope, args: &impl Encode, body: &[u8]) {
        let mut out = self.out.borrow_mut();
        envelope.body(body.len() as u32, 0).encode(args, &mut *out);
        out.extend_from_slice(body);
        drop(out);
        self.changed.notify();
    }

    pub(super) fn fail(&self, opcode: u8, correlation: u64, error: &ErrorAnswer<'_>) {
        self.write(Envelope::error(opcode, correlation), error, &[]);
    }

    /// Whether a request that came in here meets a shard that moved away. At the shared port it is forwarded.
    fn moved_away(&self, owner: WorkerId) -> Result<(), ErrorAnswer<'static>> {
        match self.direct && self.worker != owner {
            true => Err(ErrorAnswer::new(ErrorCode::WrongShardMap).details(self.store.version.get(), 0)),
            false => Ok(()),
        }
    }

    async fn send(self: Rc<Self>, mut half: SimWriteHalf) {
        loop {
            let next = self.changed.until(|| {
                let out = self.out.borrow_mut().split();
                match out.is_empty() {
                    false => Some(Some(out)),
                    true => self.over.get().then_some(None),
                }
            });
            let Some(bytes) = next.await else { break };
            if half.write_all(&mut [IoSlice::new(&bytes)]).await.is_err() {
                break;
            }
        }
        self.end();
        half.shutdown();
    }

    async fn receive(self: Rc<Self>, mut half: SimReadHalf) {
        let (mut decoder, mut buffer) = (Decoder::new(Side::Server), BytesMut::new());
        loop {
            while let Next::Message(message) = decoder.next(&mut buffer).unwrap() {
                self.answer(&message);
                if self.over.get() {
                    return;
                }
            }
            buffer.reserve(4_096);
            match half.read(&mut buffer).await {
                Ok(0) | Err(_) => return self.end(),
                Ok(_) => {}
            }
        }
    }

    fn answer(self: &Rc<Self>, message: &Message) {
        let (store, correlation) = (&self.store, message.head.correlation);
        let ok = |opcode: Opcode| Envelope::answer(opcode, correlation);
        let request = message.request().unwrap();
        let opcode = request.opcode();
        let wall = self.rt.wall();
        let gone = || self.fail(opcode as u8, correlation, &ErrorAnswer::new(ErrorCode::StreamNotFound));
        match request {
            Request::Hello(hello) if hello.token != &store.token.borrow()[..] => {
                self.fail(opcode as u8, correlation, &ErrorAnswer::new(ErrorCode::Unauthorized));
                self.end();
            }
            Request::Hello(_) => {
                let ports = if store.direct.get() { (1..=WORKERS).map(|at| PORT + at).collect() } else { vec![] };
                let answer = HelloAnswer {
                    version: VERSION,
                    features: 0,
                    node_id: 7,
                    node_version: "fake",
                    worker: self.worker,
                    direct_ports: ports,
                    limits: store.limits.get(),
                    wall,
                    catalogue_version: store.version.get(),
                };
                self.write(ok(opcode), &answer, &[]);
            }
            Request::Ping(_) => self.write(ok(opcode), &PingAnswer { wall }, &[]),
            Request::Stats(_) => {
                let answer =
                    StatsAnswer { stats: vec![Stat { name: "shards", value: store.shards.borrow().len() as u64 }] };
                self.write(ok(opcode), &answer, &[]);
            }
            Request::Put(put) => {
                message.check_body().unwrap();
                self.put(&put, &message.body, correlation);
            }
            Request::Get(get) => {
                let link = Rc::clone(self);
                self.rt.spawn(TaskClass::Latency, async move { link.get(get, correlation).await });
            }
            Request::Position(position) => {
                store.positions.set(store.positions.get() + 1);
                let shards = store.shards.borrow();
                let Some(shard) = shards.iter().find(|shard| shard.description.group == position.group) else {
                    return self.fail(opcode as u8, correlation, &ErrorAnswer::new(ErrorCode::ShardNotFound));
                };
                let (horizon, end_offset, offset) = (shard.horizon, shard.end(), offset_of(shard, position.start));
                self.write(ok(opcode), &PositionAnswer { offset, horizon, end_offset }, &[]);
            }
            Request::Subscribe(subscribe) => match self.subscribe(&subscribe) {
                Err(error) => self.fail(opcode as u8, correlation, &error),
                Ok((answer, serial)) => {
                    let balance = Rc::new(Cell::new(Some(subscribe.credit.into())));
                    self.credit.borrow_mut().insert(correlation, Rc::clone(&balance));
                    self.write(ok(opcode), &answer, &[]);
                    let link = Rc::clone(self);
                    self.rt.spawn(TaskClass::Latency, async move {
                        link.push(subscribe, answer.from, serial, correlation, &balance).await;
                    });
                }
            },
            Request::Credit(credit) => {
                if let Some(balance) = self.credit.borrow().get(&credit.subscription) {
                    balance.set(balance.get().map(|bytes| bytes + i64::from(credit.bytes)));
                }
                self.store.changed.notify();
            }
            Request::Unsubscribe(unsubscribe) => {
                let balance = self.credit.borrow_mut().remove(&unsubscribe.subscription);
                let existed = balance.is_some_and(|balance| balance.take().is_some());
                self.store.changed.notify();
                self.write(ok(opcode), &UnsubscribeAnswer { existed }, &[]);
            }
            Request::CreateStream(_) | Request::UpdateStream(_) | Request::DeleteStream(_) => {
                store.catalogue_calls.set(store.catalogue_calls.get() + 1);
                if store.lose_change.get() {
                    return self.end();
                }
                if let Some(error) = store.script.borrow_mut().pop() {
                    return self.fail(opcode as u8, correlation, &error);
                }
                match request {
                    Request::CreateStream(_) => {
                        self.write(ok(opcode), &CreateStreamAnswer { stream: StreamId(1), catalogue_version: 2 }, &[]);
                    }
                    Request::UpdateStream(_) => {
                        let answer = UpdateStreamAnswer { settings: store.settings.get(), catalogue_version: 2 };
                        self.write(ok(opcode), &answer, &[]);
                    }
                    _ => {
                        store.deleted.set(true);
                        self.write(ok(opcode), &DeleteStreamAnswer { catalogue_version: 2 }, &[]);
                    }
                }
            }
            Request::ListStreams(list) => {
                let names = ["audit", STREAM, "users"];
                let rest: Vec<_> = names.into_iter().filter(|name| *name > list.after).collect();
                let status = StreamStatus::Active;
                let page = rest.iter().take(store.page.get());
                let streams = page.map(|name| StreamSummary { name, status, open_shards: 1 }).collect();
                self.write(ok(opcode), &ListStreamsAnswer { streams, more: rest.len() > store.page.get() }, &[]);
            }
            Request::DescribeStream(describe) if describe.name != STREAM || store.deleted.get() => gone(),
            Request::DescribeStream(describe) => {
                let now = || store.shards.borrow().iter().map(|shard| shard.description).collect();
                let late = store.described_late.take();
                let (version, all): (_, Vec<_>) = late.unwrap_or_else(|| (store.version.get(), now()));
                let is_wanted = |shard: &ShardDescription| match describe.filter {
                    ShardFilter::All => true,
                    ShardFilter::Open => shard.state == ShardState::Open,
                    ShardFilter::Family => {
                        let from = describe.from_shard;
                        shard.number == from || [shard.parent, shard.adjacent_parent].contains(&Some(from))
                    }
                };
                let rest = all.into_iter().filter(|shard| shard.number >= describe.from_shard).filter(is_wanted);
                let page = match describe.limit {
                    0 => store.page.get(),
                    limit => store.page.get().min(limit as usize),
                };
                let rest: Vec<_> = rest.collect();
                let (calls, listed) = store.described.get();
                store.described.set((calls + 1, listed + rest.len().min(page) as u64));
                let answer = DescribeStreamAnswer {
                    stream: StreamId(1),
                    name: STREAM,
                    status: StreamStatus::Active,
                    created: WallUs(0),
                    settings: store.settings.get(),
                    catalogue_version: version,
                    open_shards: store.open_shards(),
                    scaling_target: store.scaling.get().unwrap_or(0),
                    consumers: store.consumers.borrow().len() as u32,
                    expired_before: WallUs(0),
                    shards: rest.iter().copied().take(page).collect(),
                    more: rest.len() > page,
                };
                self.write(ok(opcode), &answer, &[]);
            }
            Request::PutKeyed(_) => unreachable!("the client routes by itself"),
            other => self.administer(&other, correlation),
        }
    }

    /// Consents to a subscription; gives its number in the pipe of its consumer.
    fn subscribe(&self, subscribe: &Subscribe) -> Result<(SubscribeAnswer, u64), ErrorAnswer<'static>> {
        let store = &self.store;
        let shards = store.shards.borrow();
        let shard = shards.iter().find(|shard| shard.description.group == subscribe.group);
        let shard = shard.ok_or_else(|| ErrorAnswer::new(ErrorCode::ShardNotFound))?;
        self.moved_away(shard.description.worker)?;
        let is_known = store.consumers.borrow().iter().any(|(id, _)| *id == subscribe.consumer);
        if subscribe.consumer != 0 && !is_known {
            return Err(ErrorAnswer::new(ErrorCode::ConsumerNotFound));
        }
        let (from, horizon) = (offset_of(shard, subscribe.start), shard.horizon);
        if from < horizon {
            return Err(ErrorAnswer::new(ErrorCode::BeforeHorizon).details(horizon.0, 0));
        }
        let mut pipes = store.pipes.borrow_mut();
        let serial = pipes.entry((subscribe.consumer, subscribe.group)).or_default();
        *serial += 1;
        store.changed.notify();
        Ok((SubscribeAnswer { from, horizon, end_offset: shard.end() }, *serial))
    }

    fn put(self: &Rc<Self>, put: &crate::protocol::messages::Put, body: &[u8], correlation: u64) {
        let (store, faults) = (&self.store, self.store.faults.get());
        store.puts_at.borrow_mut().push((self.worker, put.group));
        let fail = |error: &ErrorAnswer<'_>| self.fail(Opcode::Put as u8, correlation, error);
        if let Some(error) = store.script.borrow_mut().pop() {
            return fail(&error);
        }
        if self.chance(faults.refuse) {
            return fail(&ErrorAnswer::new(ErrorCode::ShardOverloaded).retry_after(5));
        }
        let answer = {
            let mut shards = store.shards.borrow_mut();
            let shard = shards.iter_mut().find(|shard| shard.description.group == put.group);
            match shard {
                Some(_) if store.deleted.get() => Err(ErrorAnswer::new(ErrorCode::ShardNotFound)),
                None => Err(ErrorAnswer::new(ErrorCode::ShardNotFound)),
                Some(shard) if self.moved_away(shard.description.worker).is_err() => {
                    Err(ErrorAnswer::new(ErrorCode::WrongShardMap))
                }
                Some(shard) => shard.put(put, body, self.rt.wall()),
            }
        };
        store.changed.notify();
        if store.silent.get() {
            return;
        }
        if self.chance(faults.lose) {
            return self.end();
        }
        let answer = match answer {
            Ok(_) if self.chance(faults.unknown) => Err(ErrorAnswer::new(ErrorCode::Timeout)),
            answer => answer,
        };
        let late = if self.chance(faults.reorder) { self.rt.random() % 20_000 } else { 0 };
        let link = Rc::clone(self);
        self.rt.spawn(TaskClass::Latency, async move {
            if late > 0 {
                link.rt.sleep(Duration::from_micros(late)).await;
            }
            match answer {
                Ok(answer) => link.write(Envelope::answer(Opcode::Put, correlation), &answer, &[]),
                Err(error) => link.fail(Opcode::Put as u8, correlation, &error),
            }
        });
    }

    /// Frames from `from` on, and where the reader stands after them. Without frames: nothing is there yet.
    fn read(&self, group: GroupId, from: Offset, bytes_max: i64) -> Result<(ReadState, Bytes), ErrorAnswer<'static>> {
        let shards = self.store.shards.borrow();
        let shard = shards.iter().find(|shard| shard.description.group == group);
        let shard = shard.ok_or_else(|| ErrorAnswer::new(ErrorCode::ShardNotFound))?;
        self.moved_away(shard.description.worker)?;
        if from < shard.horizon {
            return Err(ErrorAnswer::new(ErrorCode::BeforeHorizon).details(shard.horizon.0, 0));
        }
        if let Some((first, resume)) = shard.lost
            && (first..resume).contains(&from)
        {
            return Err(ErrorAnswer::new(ErrorCode::DataLost).details(resume.0, 0));
        }
        let mut body = BytesMut::new();
        let mut next_offset = from;
        for (base, end, frame) in &shard.frames {
            let stop = shard.lost.is_some_and(|(first, resume)| (first..resume).contains(base));
            let full = !body.is_empty() && (body.len() + frame.len()) as i64 > bytes_max;
            if *end <= from {
                continue;
            }
            if stop || full {
                break;
            }
            body.extend_from_slice(frame);
            next_offset = *end;
        }
        if !body.is_empty() && self.chance(self.store.faults.get().damage) {
            let at = self.rt.random() as usize % body.len();
            body[at] ^= 1 << (self.rt.random() % 8);
        }
        let end_of_shard = shard.description.state == ShardState::Closed && next_offset == shard.end();
        let state = ReadState {
            next_offset,
            end_offset: shard.end(),
            horizon: shard.horizon,
            last_arrival: WallUs(0),
            wall: self.rt.wall(),
            end_of_shard,
        };
        Ok((state, body.freeze()))
    }

    async fn get(self: Rc<Self>, get: Get, correlation: u64) {
        let ready = self.store.changed.until(|| match self.read(get.group, get.from, get.bytes_max.into()) {
            Ok((state, body)) if body.is_empty() && !state.end_of_shard => None,
            result => Some(result),
        });
        let waited = or(ready, async {
            self.rt.sleep(Duration::from_millis(get.wait_ms.into())).await;
            self.read(get.group, get.from, get.bytes_max.into())
        });
        match waited.await {
            Ok((state, body)) => self.write(Envelope::answer(Opcode::Get, correlation), &state, &body),
            Err(error) => self.fail(Opcode::Get as u8, correlation, &error),
        }
    }

    async fn push(
        self: Rc<Self>,
        subscribe: Subscribe,
        mut from: Offset,
        serial: u64,
        correlation: u64,
        balance: &Cell<Option<i64>>,
    ) {
        let pipe = (subscribe.consumer, subscribe.group);
        loop {
            let ready = self.store.changed.until(|| {
                let Some(credit) = balance.get() else { return Some(None) };
                let is_of_consumer = subscribe.consumer != 0;
                if is_of_consumer && self.store.pipes.borrow().get(&pipe) != Some(&serial) {
                    return Some(Some(Err(ErrorAnswer::new(ErrorCode::SubscriptionTakenOver))));
                }
                let is_known = self.store.consumers.borrow().iter().any(|(id, _)| *id == subscribe.consumer);
                if is_of_consumer && !is_known {
                    return Some(Some(Err(ErrorAnswer::new(ErrorCode::ConsumerNotFound))));
                }
                let read = self.read(subscribe.group, from, credit.min(2_000));
                match read {
                    Ok((state, body)) if body.is_empty() && !state.end_of_shard => None,
                    // The last push needs no credit.
                    Ok((_, body)) if credit <= 0 && !body.is_empty() => None,
                    result => Some(Some(result)),
                }
            });
            let end = |error: Option<ErrorAnswer<'static>>| {
                let shards = self.store.shards.borrow();
                let closed = shards.iter().find(|shard| shard.description.group == subscribe.group);
                let closed = closed.filter(|_| error.is_none()).map(|shard| shard.description.number);
                let children = closed.map_or(Vec::new(), |number| children_of(&shards, number));
                let end = SubscriptionEnd { next_offset: from, error, children };
                self.write(Envelope::last_push(correlation), &end, &[]);
            };
            match ready.await {
                None => return,
                Some(Err(error)) => return end(Some(error)),
                Some(Ok((_, body))) if body.is_empty() => return end(None),
                Some(Ok((state, body))) => {
                    let left = balance.get().unwrap_or(0) - body.len() as i64;
                    balance.set(balance.get().map(|_| left));
                    let ahead = i64::from(subscribe.credit) - left;
                    self.store.pushed_ahead_max.set(self.store.pushed_ahead_max.get().max(ahead));
                    from = state.next_offset;
                    self.write(Envelope::push(correlation), &ReadState { end_of_shard: false, ..state }, &body);
                }
            }
        }
    }
}
