//! Requests of one connection, each carried out and answered. Puts are taken one after the other, in the order they were
//! sent; everything that may take long runs on a task of its own, so that answers come as they are ready.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_lite::future;

use crate::catalog::{self, Status};
use crate::engine::log::{Ack, AckSink, OutcomeUnknown, Receipt};
use crate::engine::shard::Put as ShardPut;
use crate::limits::SUBSCRIPTIONS_PER_CONNECTION_MAX;
use crate::protocol::messages::{
    CreateStream, CreateStreamAnswer, Credit, DeleteStreamAnswer, DescribeStream, DescribeStreamAnswer, Get,
    ListStreams, ListStreamsAnswer, PingAnswer, Position, PositionAnswer, Put, PutAnswer, PutKeyed, SettingsChange,
    ShardDescription, ShardState, Start, Stat, Stats, StatsAnswer, StreamSettings, StreamStatus, StreamSummary,
    Subscribe, SubscribeAnswer, Unsubscribe, UnsubscribeAnswer, UpdateStream, UpdateStreamAnswer,
};
use crate::protocol::{Encode, ErrorAnswer, ErrorCode, Message, Opcode, Request};
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::mail::{AdminOp, Answer, Op, Scope};
use crate::server::outbox::Outbox;
use crate::server::put_keyed;
use crate::server::subscription::Subscription;
use crate::server::worker::{Got, Home, Worker};
use crate::shard::position;

/// Streams or shards on one page of an answer.
const PAGE_MAX: u32 = crate::limits::PAGE_MAX;

/// The requests of one connection.
pub struct Requests<R: Runtime> {
    worker: Rc<Worker<R>>,
    outbox: Rc<Outbox<R>>,
    put_answers: Rc<PutAnswers<R>>,
    subscriptions: Rc<RefCell<BTreeMap<u64, Rc<Subscription>>>>,
}

/// Answers puts straight from the log's writer: no task, no allocation per put.
struct PutAnswers<R: Runtime>(Rc<Outbox<R>>);

impl<R: Runtime> AckSink for PutAnswers<R> {
    fn acked(&self, correlation: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        match outcome {
            Ok(receipt) => self.0.answer(Opcode::Put, correlation, &put_answer(&receipt)),
            Err(OutcomeUnknown) => {
                self.0.fail(Opcode::Put as u8, correlation, &Failure::OutcomeUnknown.answer());
            }
        }
    }
}

impl<R: Runtime> Requests<R> {
    /// No request yet.
    pub fn new(worker: Rc<Worker<R>>, outbox: Rc<Outbox<R>>) -> Self {
        let put_answers = Rc::new(PutAnswers(Rc::clone(&outbox)));
        Self { worker, outbox, put_answers, subscriptions: Rc::default() }
    }

    /// Ends all subscriptions. While the node is stopping they end by themselves, with a last push that says so.
    pub fn end(&self) {
        if !self.worker.is_draining() {
            for subscription in self.subscriptions.borrow().values() {
                subscription.cancel();
            }
        }
    }

    /// Resolves when every request is answered and every subscription has ended, or the connection is over.
    pub async fn settled(&self) {
        self.outbox.settled(|| self.subscriptions.borrow().is_empty()).await;
    }

    /// Takes a request. Resolves when the next one may be taken; the answer may come later.
    pub async fn take(&self, message: Message) {
        let (opcode, correlation) = (message.head.opcode, message.head.correlation);
        let request = match message.request() {
            Ok(request) => request,
            Err(error) => return self.outbox.fail(opcode, correlation, &error.answer()),
        };
        if self.worker.is_draining() {
            return self.outbox.fail(opcode, correlation, &Failure::Draining.answer());
        }
        match request {
            Request::Put(put) => self.put(&put, &message).await,
            Request::PutKeyed(put) => self.put_keyed(&put, &message).await,
            Request::Credit(Credit { subscription, bytes }) => {
                if let Some(subscription) = self.subscriptions.borrow().get(&subscription) {
                    subscription.grant(bytes);
                }
                self.outbox.answered();
            }
            Request::Unsubscribe(Unsubscribe { subscription }) => {
                let found = self.subscriptions.borrow_mut().remove(&subscription);
                if let Some(subscription) = &found {
                    subscription.cancel();
                }
                let answer = UnsubscribeAnswer { existed: found.is_some() };
                self.outbox.answer(Opcode::Unsubscribe, correlation, &answer);
            }
            Request::Ping(_) => {
                self.outbox.answer(Opcode::Ping, correlation, &PingAnswer { wall: self.worker.rt.wall() });
            }
            Request::Hello(_) => {
                let error = ErrorAnswer::new(ErrorCode::InvalidArgument).message("the handshake is over");
                self.outbox.fail(opcode, correlation, &error);
            }
            Request::Get(get) => self.get(get, correlation),
            Request::Subscribe(subscribe) => self.subscribe(subscribe, correlation),
            Request::Position(position) => self.position(position, correlation),
            Request::Stats(stats) => self.stats(stats, correlation),
            Request::ListStreams(list) => self.list(&list, correlation),
            Request::DescribeStream(describe) => self.describe(&describe, correlation),
            Request::CreateStream(CreateStream { name, shards, settings }) => {
                let op = AdminOp::Create { name: name.to_owned(), shards, settings: change(settings) };
                self.admin(op, Opcode::CreateStream, correlation, |done| CreateStreamAnswer {
                    stream: done.stream,
                    catalogue_version: done.version,
                });
            }
            Request::UpdateStream(UpdateStream { name, settings }) => {
                let op = AdminOp::Update { name: name.to_owned(), change: change(settings) };
                self.admin(op, Opcode::UpdateStream, correlation, |done| UpdateStreamAnswer {
                    settings: stream_settings(&done.settings),
                    catalogue_version: done.version,
                });
            }
            Request::DeleteStream(delete) => {
                let op = AdminOp::Delete { name: delete.name.to_owned() };
                self.admin(op, Opcode::DeleteStream, correlation, |done| DeleteStreamAnswer {
                    catalogue_version: done.version,
                });
            }
        }
    }

    async fn put(&self, put: &Put, message: &Message) {
        let correlation = message.head.correlation;
        let failed = match self.worker.home(put.group) {
            Ok(Home::Here(shard)) => {
                let batch = ShardPut {
                    body: &message.body,
                    body_crc: message.head.body_crc,
                    record_count: put.record_count,
                    producer: put.producer,
                };
                let ack = Ack { sink: Rc::clone(&self.put_answers) as Rc<dyn AckSink>, token: correlation };
                self.worker.put_here(&shard, &batch, ack).await.err()
            }
            Ok(Home::There(link)) => {
                let room = link.room(message.body.len(), false).await;
                let op = Op::Put {
                    group: put.group,
                    producer: put.producer,
                    record_count: put.record_count,
                    body_crc: message.head.body_crc,
                    // Copied out: the part of the receive buffer would keep all of it alive on another thread.
                    body: bytes::Bytes::copy_from_slice(&message.body),
                };
                let (answer, outbox) = (link.send(op, Some(room)), Rc::clone(&self.outbox));
                self.worker.rt.spawn(TaskClass::Latency, async move {
                    match answer.wait().await {
                        Some(Answer::Put(Ok(receipt))) => {
                            outbox.answer(Opcode::Put, correlation, &put_answer(&receipt));
                        }
                        Some(Answer::Put(Err(failure))) => {
                            outbox.fail(Opcode::Put as u8, correlation, &failure.answer());
                        }
                        Some(_) => unreachable!("a put is answered as a put"),
                        None => outbox.fail(Opcode::Put as u8, correlation, &Failure::OutcomeUnknown.answer()),
                    }
                });
                None
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = failed {
            self.outbox.fail(Opcode::Put as u8, correlation, &failure.answer());
        }
    }

    async fn put_keyed(&self, put: &PutKeyed<'_>, message: &Message) {
        let correlation = message.head.correlation;
        match put_keyed::take(&self.worker, put, &message.body, message.head.body_crc).await {
            Ok(taken) => {
                let outbox = Rc::clone(&self.outbox);
                self.worker.rt.spawn(TaskClass::Latency, async move {
                    outbox.answer(Opcode::PutKeyed, correlation, &taken.done().await);
                });
            }
            Err(error) => self.outbox.fail(Opcode::PutKeyed as u8, correlation, &error),
        }
    }

    fn get(&self, get: Get, correlation: u64) {
        let (worker, outbox) = (Rc::clone(&self.worker), Rc::clone(&self.outbox));
        self.worker.rt.spawn(TaskClass::Latency, async move {
            let got = async { Some(worker.get(get.group, get.from, get.bytes_max, get.wait_ms, &outbox).await) };
            // Nobody waits for records on behalf of a client that is gone.
            let over = async {
                outbox.over().await;
                None
            };
            match future::or(over, got).await {
                Some(Ok(Got { body, state, _turn })) => outbox.answer_with(Opcode::Get, correlation, &state, body),
                Some(Err(failure)) => outbox.fail(Opcode::Get as u8, correlation, &failure.answer()),
                None => outbox.answered(),
            }
        });
    }

    fn subscribe(&self, subscribe: Subscribe, correlation: u64) {
        let mut subscriptions = self.subscriptions.borrow_mut();
        let error = if subscriptions.len() >= SUBSCRIPTIONS_PER_CONNECTION_MAX {
            Some(ErrorCode::TooManySubscriptions)
        } else if subscriptions.contains_key(&correlation) {
            Some(ErrorCode::InvalidArgument)
        } else {
            None
        };
        if let Some(code) = error {
            return self.outbox.fail(Opcode::Subscribe as u8, correlation, &ErrorAnswer::new(code));
        }
        let Subscribe { group, from, credit } = subscribe;
        let subscription = Subscription::new(correlation, credit);
        subscriptions.insert(correlation, Rc::clone(&subscription));
        drop(subscriptions);
        let (worker, outbox, all) = (Rc::clone(&self.worker), Rc::clone(&self.outbox), Rc::clone(&self.subscriptions));
        self.worker.rt.spawn(TaskClass::Latency, async move {
            match worker.position(group, position::Start::At(from)).await {
                Ok((from, bounds)) => {
                    let answer = SubscribeAnswer { from, horizon: bounds.horizon, end_offset: bounds.end };
                    outbox.answer(Opcode::Subscribe, correlation, &answer);
                    Rc::clone(&subscription).run(worker, Rc::clone(&outbox), group, from).await;
                }
                Err(failure) => outbox.fail(Opcode::Subscribe as u8, correlation, &failure.answer()),
            }
            // The client may have ended it and named another one the same since.
            let mut all = all.borrow_mut();
            if all.get(&correlation).is_some_and(|other| Rc::ptr_eq(other, &subscription)) {
                all.remove(&correlation);
            }
            drop(all);
            outbox.look_again();
        });
    }

    fn position(&self, request: Position, correlation: u64) {
        let start = match request.start {
            Start::Horizon => position::Start::Horizon,
            Start::Latest => position::Start::Latest,
            Start::At(offset) => position::Start::At(offset),
            Start::After(offset) => position::Start::After(offset),
            Start::AtTime(time) => position::Start::AtTime(time),
        };
        let worker = Rc::clone(&self.worker);
        self.answer_later(Opcode::Position, correlation, async move {
            let (offset, bounds) = worker.position(request.group, start).await?;
            Ok(PositionAnswer { offset, horizon: bounds.horizon, end_offset: bounds.end })
        });
    }

    fn stats(&self, stats: Stats<'_>, correlation: u64) {
        let scope = match stats {
            Stats::Node => Ok(Scope::Worker),
            Stats::Shard(group) => Ok(Scope::Shard(group)),
            Stats::Stream(name) => self
                .worker
                .catalog
                .borrow()
                .stream_by_name(name)
                .map(|stream| Scope::Stream(stream.id))
                .ok_or_else(|| Failure::StreamUnknown(name.to_owned())),
        };
        let worker = Rc::clone(&self.worker);
        self.answer_later(Opcode::Stats, correlation, async move {
            let stats = worker.stats(scope?).await?;
            Ok(StatsAnswer { stats: stats.into_iter().map(|(name, value)| Stat { name, value }).collect() })
        });
    }

    fn list(&self, list: &ListStreams<'_>, correlation: u64) {
        let catalog = self.worker.catalog.borrow();
        let limit = list.limit.clamp(1, PAGE_MAX) as usize;
        let after = (!list.after.is_empty()).then_some(list.after);
        let mut streams: Vec<_> = catalog
            .streams_after(after)
            .take(limit + 1)
            .map(|stream| StreamSummary {
                name: &stream.name,
                status: stream_status(stream.status),
                open_shards: u32::try_from(stream.open_shards().len()).unwrap_or(u32::MAX),
            })
            .collect();
        let more = streams.len() > limit;
        streams.truncate(limit);
        self.outbox.answer(Opcode::ListStreams, correlation, &ListStreamsAnswer { streams, more });
    }

    fn describe(&self, describe: &DescribeStream<'_>, correlation: u64) {
        let catalog = self.worker.catalog.borrow();
        let Some(stream) = catalog.stream_by_name(describe.name) else {
            let failure = Failure::StreamUnknown(describe.name.to_owned());
            return self.outbox.fail(Opcode::DescribeStream as u8, correlation, &failure.answer());
        };
        let limit = describe.limit.clamp(1, PAGE_MAX) as usize;
        let from = stream.shards().partition_point(|shard| shard.number < describe.from_shard);
        let page = &stream.shards()[from..];
        let quarantined = self.worker.quarantined.borrow();
        let shards = page.iter().take(limit).map(|shard| ShardDescription {
            number: shard.number,
            group: shard.group,
            hash_start: shard.range.start,
            hash_end: shard.range.end,
            worker: shard.worker(self.worker.count),
            state: if !shard.is_open() {
                ShardState::Closed
            } else if quarantined.contains(&shard.group) {
                ShardState::Quarantined
            } else {
                ShardState::Open
            },
            parent: shard.parent,
            adjacent_parent: shard.adjacent_parent,
        });
        let answer = DescribeStreamAnswer {
            stream: stream.id,
            name: &stream.name,
            status: stream_status(stream.status),
            created: stream.created,
            settings: stream_settings(&stream.settings),
            catalogue_version: catalog.version(),
            shards: shards.collect(),
            more: page.len() > limit,
        };
        self.outbox.answer(Opcode::DescribeStream, correlation, &answer);
    }

    fn admin<A: Encode + 'static>(
        &self,
        op: AdminOp,
        opcode: Opcode,
        correlation: u64,
        answer: impl FnOnce(&crate::server::mail::AdminDone) -> A + 'static,
    ) {
        let worker = Rc::clone(&self.worker);
        self.answer_later(opcode, correlation, async move { worker.admin(op).await.map(|done| answer(&done)) });
    }

    fn answer_later<A: Encode + 'static>(
        &self,
        opcode: Opcode,
        correlation: u64,
        work: impl Future<Output = Result<A, Failure>> + 'static,
    ) {
        let outbox = Rc::clone(&self.outbox);
        self.worker.rt.spawn(TaskClass::Latency, async move {
            match work.await {
                Ok(answer) => outbox.answer(opcode, correlation, &answer),
                Err(failure) => outbox.fail(opcode as u8, correlation, &failure.answer()),
            }
        });
    }
}

const fn put_answer(receipt: &Receipt) -> PutAnswer {
    PutAnswer {
        base_offset: receipt.base_offset,
        record_count: receipt.record_count,
        arrival: receipt.arrival,
        durability: receipt.durability,
        duplicate: receipt.duplicate,
    }
}

const fn stream_status(status: Status) -> StreamStatus {
    match status {
        Status::Creating => StreamStatus::Creating,
        Status::Active => StreamStatus::Active,
        Status::Deleting => StreamStatus::Deleting,
        Status::Updating => StreamStatus::Updating,
    }
}

const fn stream_settings(settings: &catalog::Settings) -> StreamSettings {
    StreamSettings {
        retention_hours: settings.retention_hours,
        record_bytes_max: settings.record_bytes_max,
        durability: settings.durability,
    }
}

fn change(settings: SettingsChange) -> catalog::SettingsChange {
    catalog::SettingsChange {
        retention_hours: settings.retention_hours,
        record_bytes_max: settings.record_bytes_max,
        durability: settings.durability,
        ..catalog::SettingsChange::default()
    }
}
