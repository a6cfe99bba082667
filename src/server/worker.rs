//! One worker: its shards, its copy of the catalogue, its links to the others; operations on shards, wherever they live.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_lite::future;

use crate::catalog::{Catalog, Event};
use crate::engine::log::{Ack, AckSink, OutcomeUnknown, Receipt};
use crate::engine::shard::{Put, Shard};
use crate::engine::shards::{Known, Shards};
use crate::format::node::NodeFile;
use crate::limits::{GET_WAIT_MS_MAX, READ_BYTES_MAX, RECEIVE_BUDGET_BYTES};
use crate::protocol::messages::ReadState;
use crate::runtime::local::{Fill, Notify, Permit, Semaphore, one_shot};
use crate::runtime::{Runtime, TaskClass};
use crate::server::admin::Admin;
use crate::server::failure::{Failure, PUT_WAIT_MS};
use crate::server::links::Link;
use crate::server::mail::{AdminDone, AdminOp, Answer, Mail, Op, Scope};
use crate::server::node::Options;
use crate::server::outbox::{Body, Outbox};
use crate::shard::position::{Bounds, Start};
use crate::types::{GroupId, MonoUs, Offset, ProducerStamp, StreamId, WorkerId};

/// Frames and where the reader stands after them.
pub struct Got<R: Runtime> {
    /// Whole data frames.
    pub body: Body<R>,
    /// Where the reader stands.
    pub state: ReadState,
    /// The connection's turn to read; to be held until the body was handed over.
    pub _turn: Option<Permit>,
}

/// Where a shard lives.
pub enum Home<R: Runtime> {
    /// Here.
    Here(Rc<Shard<R>>),
    /// On another worker.
    There(Rc<Link>),
}

/// One worker. Shared by `Rc` on its thread.
pub struct Worker<R: Runtime> {
    /// The machine.
    pub rt: R,
    /// Which worker it is.
    pub id: WorkerId,
    /// How many there are.
    pub count: u16,
    /// The node's settings.
    pub options: Rc<Options>,
    /// The node's identity.
    pub node: NodeFile,
    /// Its shards.
    pub shards: Rc<Shards<R>>,
    /// Its copy of the catalogue.
    pub catalog: RefCell<Catalog>,
    /// The way to the other workers, by number; its own place is empty.
    pub links: Vec<Option<Rc<Link>>>,
    /// The catalogue itself, on worker 0.
    pub admin: Option<Rc<Admin<R>>>,
    /// Every worker's own port.
    pub direct_ports: RefCell<Vec<u16>>,
    /// Shards that were found damaged on start, of all workers.
    pub quarantined: RefCell<BTreeSet<GroupId>>,
    /// Connections it serves.
    pub connections: Cell<usize>,
    /// Memory for requests that are still arriving.
    pub receive_budget: Rc<Semaphore>,
    /// Told when the node begins to stop.
    pub changed: Notify,
    draining: Cell<bool>,
    started: MonoUs,
    lanes: RefCell<BTreeMap<GroupId, VecDeque<ForwardedPut>>>,
}

/// A forwarded put that waits for room behind others of its shard.
struct ForwardedPut {
    link: Rc<Link>,
    id: u64,
    producer: Option<ProducerStamp>,
    record_count: u32,
    body_crc: u32,
    body: Bytes,
}

impl ForwardedPut {
    fn ack(&self) -> Ack {
        Ack { sink: Rc::new(ReplyWithReceipt(Rc::clone(&self.link))), token: self.id }
    }

    fn refuse(&self, failure: Failure) {
        self.link.post(Mail::Reply { id: self.id, answer: Answer::Put(Err(failure)) });
    }

    fn as_put(&self) -> Put<'_> {
        Put { body: &self.body, body_crc: self.body_crc, record_count: self.record_count, producer: self.producer }
    }
}

/// What a worker is made of.
pub struct Parts<R: Runtime> {
    /// Which worker it is.
    pub id: WorkerId,
    /// The node's settings.
    pub options: Rc<Options>,
    /// The node's identity.
    pub node: NodeFile,
    /// Its shards, opened.
    pub shards: Rc<Shards<R>>,
    /// Its copy of the catalogue.
    pub catalog: Catalog,
    /// The way to the other workers.
    pub links: Vec<Option<Rc<Link>>>,
    /// The catalogue itself, on worker 0.
    pub admin: Option<Rc<Admin<R>>>,
}

impl<R: Runtime> Worker<R> {
    /// A worker ready to serve.
    pub fn new(rt: R, parts: Parts<R>) -> Rc<Self> {
        let Parts { id, options, node, shards, catalog, links, admin } = parts;
        let started = rt.now();
        Rc::new(Self {
            rt,
            id,
            count: u16::try_from(links.len()).expect("workers are bounded"),
            options,
            node,
            shards,
            catalog: RefCell::new(catalog),
            links,
            admin,
            direct_ports: RefCell::default(),
            quarantined: RefCell::default(),
            connections: Cell::new(0),
            receive_budget: Semaphore::new(RECEIVE_BUDGET_BYTES),
            changed: Notify::new(),
            draining: Cell::new(false),
            started,
            lanes: RefCell::default(),
        })
    }

    /// Whether the node is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Begins to stop: connections finish what they have taken up and take up nothing more.
    pub fn drain(&self) {
        self.draining.set(true);
        self.changed.notify();
    }

    /// Resolves when the node begins to stop.
    pub async fn drained(&self) {
        self.changed.until(|| self.draining.get().then_some(())).await;
    }

    /// Where the shard of this incarnation lives.
    pub fn home(&self, group: GroupId) -> Result<Home<R>, Failure> {
        if let Some(shard) = self.shards.get(group) {
            return Ok(Home::Here(shard));
        }
        let catalog = self.catalog.borrow();
        let (stream, shard) = catalog.shard(group).ok_or(Failure::ShardUnknown(group))?;
        let owner = shard.worker(self.count);
        match &self.links[usize::from(owner.0)] {
            Some(link) => Ok(Home::There(Rc::clone(link))),
            // Ours, and not open: about to be, or on its way out.
            None => Err(Failure::StreamNotActive(stream.status)),
        }
    }

    /// Reads frames for the client of `outbox`; if there are none, waits for them up to `wait_ms`.
    pub async fn get(
        &self,
        group: GroupId,
        from: Offset,
        bytes_max: u32,
        wait_ms: u32,
        outbox: &Outbox<R>,
    ) -> Result<Got<R>, Failure> {
        let (bytes_max, wait_ms) = (bytes_max.min(READ_BYTES_MAX), wait_ms.min(GET_WAIT_MS_MAX));
        match self.home(group)? {
            Home::Here(shard) => {
                self.wait_here(&shard, from, wait_ms).await;
                let turn = outbox.read_turn().await.ok_or(Failure::Draining)?;
                let got = self.read_here(&shard, from, bytes_max).await?;
                Ok(Got { _turn: Some(turn), ..got })
            }
            Home::There(link) => {
                if wait_ms > 0 {
                    let waited = async { link.call(Op::Wait { group, from, wait_ms }).await.map(drop) };
                    let drained = async {
                        self.drained().await;
                        Ok(())
                    };
                    future::or(waited, drained).await?;
                }
                let turn = outbox.read_turn().await.ok_or(Failure::Draining)?;
                match link.call(Op::Get { group, from, bytes_max }).await? {
                    Answer::Get(got) => {
                        let (bytes, state) = got?;
                        Ok(Got { body: Body::Copied(bytes), state, _turn: Some(turn) })
                    }
                    _ => unreachable!("a get is answered as a get"),
                }
            }
        }
    }

    async fn wait_here(&self, shard: &Shard<R>, from: Offset, wait_ms: u32) {
        let wait = async {
            shard.wait_for(from, Duration::from_millis(wait_ms.into())).await;
        };
        // A stopping node lets nobody wait.
        future::or(wait, self.drained()).await;
    }

    async fn read_here(&self, shard: &Shard<R>, from: Offset, bytes_max: u32) -> Result<Got<R>, Failure> {
        let frames = shard.read(from, bytes_max as usize).await?;
        let Bounds { horizon, end } = shard.bounds().await?;
        let state = ReadState {
            next_offset: frames.next,
            end_offset: end,
            horizon,
            last_arrival: frames.last_arrival,
            wall: self.rt.wall(),
            end_of_shard: shard.is_end(frames.next),
        };
        let body = if frames.slices.is_empty() { Body::Empty } else { Body::Frames(frames.slices) };
        Ok(Got { body, state, _turn: None })
    }

    /// Resolves a position.
    pub async fn position(&self, group: GroupId, start: Start) -> Result<(Offset, Bounds), Failure> {
        match self.home(group)? {
            Home::Here(shard) => Ok(shard.position(start).await?),
            Home::There(link) => match link.call(Op::Position { group, start }).await? {
                Answer::Position(position) => position,
                _ => unreachable!("a position is answered as a position"),
            },
        }
    }

    /// Waits for room and stores a batch; `ack` is called once it is durable. An error means that nothing was taken.
    pub async fn put_here(&self, shard: &Shard<R>, put: &Put<'_>, ack: Ack) -> Result<(), Failure> {
        let room = async { Some(shard.room(put.body.len(), put.producer).await) };
        let late = async {
            self.rt.sleep(Duration::from_millis(PUT_WAIT_MS)).await;
            None
        };
        match future::or(room, late).await {
            Some(room) => room?,
            None => return Err(Failure::Overloaded),
        }
        // Nothing is awaited between the room and the put.
        Ok(shard.put(put, ack)?)
    }

    /// Stores a batch on a shard of this worker and waits until it is durable.
    pub async fn put_and_wait(&self, shard: &Shard<R>, put: &Put<'_>) -> Result<Receipt, Failure> {
        let (fill, answer) = one_shot();
        self.put_here(shard, put, Ack { sink: Rc::new(Waiter(RefCell::new(Some(fill)))), token: 0 }).await?;
        answer.wait().await.and_then(Result::ok).ok_or(Failure::OutcomeUnknown)
    }

    /// Counters, of all workers together.
    pub async fn stats(&self, scope: Scope) -> Result<Vec<(&'static str, u64)>, Failure> {
        let mut sum: Vec<(&'static str, u64)> = match scope {
            Scope::Shard(group) => match self.home(group)? {
                Home::Here(_) => return self.stats_here(scope),
                Home::There(link) => match link.call(Op::Stats(scope)).await? {
                    Answer::Stats(stats) => return stats,
                    _ => unreachable!("stats are answered as stats"),
                },
            },
            Scope::Worker | Scope::Stream(_) => self.stats_here(scope)?,
        };
        for link in self.links.iter().flatten() {
            let Answer::Stats(stats) = link.call(Op::Stats(scope)).await? else {
                unreachable!("stats are answered as stats");
            };
            for ((_, total), (_, value)) in sum.iter_mut().zip(stats?) {
                *total += value;
            }
        }
        if scope == Scope::Worker {
            let catalog = self.catalog.borrow();
            sum.push(("uptime_seconds", self.rt.now().since(self.started) / 1_000_000));
            sum.push(("workers", u64::from(self.count)));
            sum.push(("streams", catalog.streams().len() as u64));
            sum.push(("catalogue_version", catalog.version()));
        }
        Ok(sum)
    }

    /// Counters of this worker's shards. Always the same names in the same order.
    fn stats_here(&self, scope: Scope) -> Result<Vec<(&'static str, u64)>, Failure> {
        let shards: Vec<_> = match scope {
            Scope::Worker => self.shards.all(),
            Scope::Stream(stream) => self.shards.all().into_iter().filter(|shard| shard.id.stream == stream).collect(),
            Scope::Shard(group) => vec![self.shards.get(group).ok_or(Failure::ShardUnknown(group))?],
        };
        let sum = |of: &dyn Fn(&Shard<R>) -> u64| shards.iter().map(|shard| of(shard)).sum::<u64>();
        let mut stats = vec![
            ("shards", shards.len() as u64),
            ("shards_refusing_puts", sum(&|shard| shard.log().refusal().is_some().into())),
            ("records", sum(&|shard| shard.log().marks().committed().offset.0 - shard.log().first_offset().0)),
            ("disk_bytes", sum(&|shard| shard.log().disk_bytes())),
            ("put_records_total", sum(&|shard| shard.counters.put_records.get())),
            ("put_bytes_total", sum(&|shard| shard.counters.put_bytes.get())),
            ("puts_refused_total", sum(&|shard| shard.counters.put_refused.get())),
            ("reads_total", sum(&|shard| shard.counters.reads.get())),
            ("read_bytes_total", sum(&|shard| shard.counters.read_bytes.get())),
        ];
        if scope == Scope::Worker {
            stats.push(("connections", self.connections.get() as u64));
            stats.push(("tail_bytes", self.shards.env().tail_bytes() as u64));
        }
        Ok(stats)
    }

    /// Changes the catalogue, wherever it lives.
    pub async fn admin(self: &Rc<Self>, op: AdminOp) -> Result<AdminDone, Failure> {
        if self.is_draining() {
            return Err(Failure::Draining);
        }
        if let Some(admin) = &self.admin {
            return admin.run(self, op).await;
        }
        let link = self.links[0].as_ref().expect("every worker but 0 has a link to 0");
        match link.call(Op::Admin(op)).await? {
            Answer::Admin(done) => done,
            _ => unreachable!("a change is answered as a change"),
        }
    }

    /// Does what a command in force asks of the owner of shards.
    pub async fn act(&self, events: Vec<Event>) -> Result<(), Failure> {
        for event in events {
            match event {
                Event::StreamCreating { stream, .. } => {
                    for known in self.own_shards(stream) {
                        self.shards.create(&known).await?;
                    }
                }
                Event::StreamActive { .. } => {}
                Event::StreamUpdated { stream, settings, expired_before } => {
                    for known in self.own_shards(stream) {
                        if let Some(shard) = self.shards.get(known.id.group) {
                            shard.set_settings(settings, expired_before);
                        }
                    }
                }
                Event::StreamDeleting { stream, .. } => {
                    for known in self.own_shards(stream) {
                        // Turned away at once, freed in the background: see `free_stream`.
                        drop(self.shards.free(known.id.group));
                    }
                }
                Event::StreamForgotten { .. } => {}
                // Nobody proposes the commands that these come from.
                Event::ReshardBegun { .. }
                | Event::ReshardFinished { .. }
                | Event::ScalingBegun { .. }
                | Event::ScalingEnded { .. }
                | Event::ShardMoved { .. }
                | Event::ShardsExpired { .. }
                | Event::ShardsForgotten { .. }
                | Event::MetadataUpdated { .. }
                | Event::ConsumerRegistered { .. }
                | Event::ConsumerDeregistered { .. }
                | Event::Stored { .. } => {}
            }
        }
        Ok(())
    }

    /// Frees the storage of this worker's shards of a stream. Resolves to true once nothing is left of them, to false if the
    /// node stops before that.
    pub async fn free_stream(&self, stream: StreamId) -> bool {
        let freed: Vec<_> = self.own_shards(stream).iter().map(|known| self.shards.free(known.id.group)).collect();
        for freed in freed {
            if !freed.await {
                return false;
            }
        }
        true
    }

    fn own_shards(&self, stream: StreamId) -> Vec<Known> {
        let catalog = self.catalog.borrow();
        let Some(stream) = catalog.stream(stream) else { return Vec::new() };
        let own = stream.shards().iter().filter(|shard| shard.worker(self.count) == self.id);
        own.map(|shard| Known::of(stream, shard)).collect()
    }

    /// Takes a message from another worker.
    pub fn receive(self: &Rc<Self>, from: WorkerId, mail: Mail) {
        let link = self.links[usize::from(from.0)].as_ref().expect("mail comes from others");
        match mail {
            Mail::Reply { id, answer } => link.answered(id, answer),
            Mail::Request { id, op } => self.serve(Rc::clone(link), id, op),
            Mail::Boot(_) | Mail::Abort | Mail::Ready(_) | Mail::Start(_) => {
                unreachable!("the node has started already")
            }
        }
    }

    fn serve(self: &Rc<Self>, link: Rc<Link>, id: u64, op: Op) {
        let worker = Rc::clone(self);
        match op {
            Op::Put { group, producer, record_count, body_crc, body } => {
                self.put_in_order(group, ForwardedPut { link, id, producer, record_count, body_crc, body });
            }
            Op::Apply(command) => {
                // The copy changes here and now, so that commands are taken over in the order they came into force.
                let events = self.catalog.borrow_mut().apply(&command);
                self.rt.spawn(TaskClass::Background, async move {
                    let done = match events {
                        Ok(events) => worker.act(events).await,
                        Err(error) => Err(error.into()),
                    };
                    link.post(Mail::Reply { id, answer: Answer::Applied(done) });
                });
            }
            op => self.rt.spawn(TaskClass::Latency, async move {
                let answer = worker.serve_async(op).await;
                link.post(Mail::Reply { id, answer });
            }),
        }
    }

    async fn serve_async(self: &Rc<Self>, op: Op) -> Answer {
        match op {
            Op::Wait { group, from, wait_ms } => {
                if let Some(shard) = self.shards.get(group) {
                    self.wait_here(&shard, from, wait_ms).await;
                }
                Answer::Waited
            }
            Op::Get { group, from, bytes_max } => Answer::Get(match self.shards.get(group) {
                Some(shard) => {
                    let got = self.read_here(&shard, from, bytes_max).await;
                    got.map(|Got { body, state, .. }| (copied(&body), state))
                }
                None => Err(Failure::ShardUnknown(group)),
            }),
            Op::Position { group, start } => Answer::Position(match self.shards.get(group) {
                Some(shard) => shard.position(start).await.map_err(Failure::from),
                None => Err(Failure::ShardUnknown(group)),
            }),
            Op::Stats(scope) => Answer::Stats(self.stats_here(scope)),
            Op::FreeStream(stream) => Answer::Applied(match self.free_stream(stream).await {
                true => Ok(()),
                false => Err(Failure::Draining),
            }),
            Op::Admin(op) => Answer::Admin(self.admin(op).await),
            Op::Put { .. } | Op::Apply(_) => unreachable!("served in order"),
        }
    }

    /// Stores a forwarded batch behind those of its shard that came before it. Never waits: what has no room is queued,
    /// in an amount that the link bounds.
    fn put_in_order(self: &Rc<Self>, group: GroupId, put: ForwardedPut) {
        let mut lanes = self.lanes.borrow_mut();
        if let Some(lane) = lanes.get_mut(&group) {
            lane.push_back(put);
            return;
        }
        if let Some(shard) = self.shards.get(group)
            && let Some(Ok(())) = shard.try_room(put.body.len())
        {
            drop(lanes);
            if let Err(error) = shard.put(&put.as_put(), put.ack()) {
                put.refuse(error.into());
            }
            return;
        }
        lanes.insert(group, VecDeque::from([put]));
        let worker = Rc::clone(self);
        self.rt.spawn(TaskClass::Latency, async move { worker.run_lane(group).await });
    }

    async fn run_lane(&self, group: GroupId) {
        loop {
            let next = {
                let mut lanes = self.lanes.borrow_mut();
                let next = lanes.get_mut(&group).and_then(VecDeque::pop_front);
                if next.is_none() {
                    lanes.remove(&group);
                }
                next
            };
            let Some(put) = next else { return };
            let result = match self.shards.get(group) {
                Some(shard) => self.put_here(&shard, &put.as_put(), put.ack()).await,
                None => Err(Failure::ShardUnknown(group)),
            };
            if let Err(failure) = result {
                put.refuse(failure);
            }
        }
    }
}

fn copied<R: Runtime>(body: &Body<R>) -> Bytes {
    match body {
        Body::Empty => Bytes::new(),
        Body::Copied(bytes) => bytes.clone(),
        Body::Frames(slices) => {
            let mut bytes = BytesMut::with_capacity(body.len());
            slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
            bytes.freeze()
        }
    }
}

/// Replies to a forwarded put.
struct ReplyWithReceipt(Rc<Link>);

impl AckSink for ReplyWithReceipt {
    fn acked(&self, id: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        let answer = Answer::Put(outcome.map_err(|OutcomeUnknown| Failure::OutcomeUnknown));
        self.0.post(Mail::Reply { id, answer });
    }
}

/// Hands a receipt to a waiting task.
pub struct Waiter(pub RefCell<Option<Fill<Result<Receipt, OutcomeUnknown>>>>);

impl AckSink for Waiter {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        if let Some(fill) = self.0.take() {
            fill.fill(outcome);
        }
    }
}
