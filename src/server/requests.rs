//! Requests of one connection, each carried out and answered. Puts are taken one after the other, in the order they were
//! sent; everything that may take long runs on a task of its own, so that answers come as they are ready.

mod consumers;
mod store;
mod streams;
mod translate;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_lite::future;

use crate::catalog::ConsumerId;
use crate::engine::log::{Ack, AckSink, OutcomeUnknown, Receipt};
use crate::engine::shard::Put as ShardPut;
use crate::limits::SUBSCRIPTIONS_PER_CONNECTION_MAX;
use crate::protocol::messages::{
    Credit, Get, PingAnswer, Position, PositionAnswer, Put, PutAnswer, PutKeyed, Stat, Stats, StatsAnswer, Subscribe,
    SubscribeAnswer, Unsubscribe, UnsubscribeAnswer,
};
use crate::protocol::{Encode, ErrorAnswer, ErrorCode, Message, Opcode, Request};
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::mail::{AdminDone, AdminOp, Answer, Op, Scope};
use crate::server::outbox::Outbox;
use crate::server::put_keyed;
use crate::server::subscription::{Source, Subscription};
use crate::server::worker::{Got, Home, Via, Worker};
use crate::shard::fanout::Manner;
use crate::shard::position::Bounds;

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
            return match request {
                // Never answered; and what is under way ends with the credit it has.
                Request::Credit(_) => self.outbox.answered(),
                _ => self.outbox.fail(opcode, correlation, &Failure::Draining.answer()),
            };
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
            Request::ListStreams(list) => self.list_streams(&list, correlation),
            Request::DescribeStream(describe) => self.describe_stream(&describe, correlation),
            Request::CreateStream(create) => self.create_stream(&create, correlation),
            Request::UpdateStream(update) => self.update_stream(&update, correlation),
            Request::DeleteStream(delete) => self.delete_stream(&delete, correlation),
            Request::SplitShard(split) => self.split_shard(&split, correlation),
            Request::MergeShards(merge) => self.merge_shards(&merge, correlation),
            Request::ScaleStream(scale) => self.scale_stream(&scale, correlation),
            Request::MoveShard(change) => self.move_shard(&change, correlation),
            Request::GetMetadata(get) => self.get_metadata(&get, correlation),
            Request::SetMetadata(set) => self.set_metadata(set, correlation),
            Request::RegisterConsumer(register) => self.register_consumer(&register, correlation),
            Request::DeregisterConsumer(deregister) => self.deregister_consumer(&deregister, correlation),
            Request::ListConsumers(list) => self.list_consumers(&list, correlation),
            Request::DescribeConsumer(describe) => self.describe_consumer(&describe, correlation),
            Request::StorePut(put) => self.store_put(&put, correlation),
            Request::StoreGet(get) => self.store_get(&get, correlation),
            Request::StoreList(list) => self.store_list(&list, correlation),
            Request::StoreDelete(delete) => self.store_delete(&delete, correlation),
            Request::LeaseClaim(claim) => self.lease_claim(&claim, correlation),
            Request::LeaseRenew(renew) => self.lease_renew(&renew, correlation),
            Request::LeaseRelease(release) => self.lease_release(&release, correlation),
        }
    }

    async fn put(&self, put: &Put, message: &Message) {
        let correlation = message.head.correlation;
        let failed = match self.worker.home(put.group) {
            Ok(Home::Here(shard)) => {
                let batch = ShardPut {
                    body: &message.body,
                    body_crc: Some(message.head.body_crc),
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
                    body_crc: Some(message.head.body_crc),
                    // Copied out: the part of the receive buffer would keep all of it alive on another thread.
                    body: bytes::Bytes::copy_from_slice(&message.body),
                    each: false,
                };
                let (answer, outbox) = (link.send(op, Some(room)), Rc::clone(&self.outbox));
                let worker = Rc::clone(&self.worker);
                self.worker.rt.spawn(TaskClass::Latency, async move {
                    match answer.wait().await {
                        Some(Answer::Put(Ok((Some(receipt), _)))) => {
                            outbox.answer(Opcode::Put, correlation, &put_answer(&receipt));
                        }
                        Some(Answer::Put(Err(failure))) => {
                            outbox.fail(Opcode::Put as u8, correlation, &worker.error(&failure));
                        }
                        Some(_) => unreachable!("a put as a whole is answered with a receipt"),
                        None => outbox.fail(Opcode::Put as u8, correlation, &Failure::OutcomeUnknown.answer()),
                    }
                });
                None
            }
            Err(failure) => Some(failure),
        };
        if let Some(failure) = failed {
            self.fail(Opcode::Put, correlation, &failure);
        }
    }

    async fn put_keyed(&self, put: &PutKeyed<'_>, message: &Message) {
        let correlation = message.head.correlation;
        match put_keyed::take(&self.worker, put, &message.body, message.head.body_crc).await {
            Ok(taken) => {
                let (outbox, worker) = (Rc::clone(&self.outbox), Rc::clone(&self.worker));
                self.worker.rt.spawn(TaskClass::Latency, async move {
                    outbox.answer(Opcode::PutKeyed, correlation, &put_keyed::answer(&worker, taken).await);
                });
            }
            Err(error) => self.outbox.fail(Opcode::PutKeyed as u8, correlation, &error),
        }
    }

    fn get(&self, get: Get, correlation: u64) {
        let (worker, outbox) = (Rc::clone(&self.worker), Rc::clone(&self.outbox));
        self.worker.rt.spawn(TaskClass::Latency, async move {
            let turn = async |asked| outbox.read_turn(asked).await;
            let got =
                async { Some(worker.get(get.group, get.from, get.bytes_max, get.wait_ms, Via::Call, turn).await) };
            // Nobody waits for records on behalf of a client that is gone.
            let over = async {
                outbox.over().await;
                None
            };
            match future::or(over, got).await {
                Some(Ok(Got { body, state, _turn })) => outbox.answer_with(Opcode::Get, correlation, &state, body),
                Some(Err(failure)) => outbox.fail(Opcode::Get as u8, correlation, &worker.error(&failure)),
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
            let limit =
                if code == ErrorCode::TooManySubscriptions { SUBSCRIPTIONS_PER_CONNECTION_MAX as u64 } else { 0 };
            let error = ErrorAnswer::new(code).details(limit, 0);
            return self.outbox.fail(Opcode::Subscribe as u8, correlation, &error);
        }
        let subscription = Subscription::new(correlation, subscribe.credit);
        subscriptions.insert(correlation, Rc::clone(&subscription));
        drop(subscriptions);
        let (worker, outbox, all) = (Rc::clone(&self.worker), Rc::clone(&self.outbox), Rc::clone(&self.subscriptions));
        self.worker.rt.spawn(TaskClass::Latency, async move {
            match open_source(&worker, &subscribe).await {
                Ok((source, bounds)) => {
                    let answer = SubscribeAnswer { from: source.from, horizon: bounds.horizon, end_offset: bounds.end };
                    outbox.answer(Opcode::Subscribe, correlation, &answer);
                    Rc::clone(&subscription).run(Rc::clone(&worker), Rc::clone(&outbox), source).await;
                    if let Some(held) = source.pipe {
                        worker.leave_pipe(held);
                    }
                }
                Err(failure) => outbox.fail(Opcode::Subscribe as u8, correlation, &worker.error(&failure)),
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
        let start = translate::start(request.start);
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

    fn answer_later<A: Encode + 'static>(
        &self,
        opcode: Opcode,
        correlation: u64,
        work: impl Future<Output = Result<A, Failure>> + 'static,
    ) {
        let (outbox, worker) = (Rc::clone(&self.outbox), Rc::clone(&self.worker));
        self.worker.rt.spawn(TaskClass::Latency, async move {
            match work.await {
                Ok(answer) => outbox.answer(opcode, correlation, &answer),
                Err(failure) => outbox.fail(opcode as u8, correlation, &worker.error(&failure)),
            }
        });
    }

    /// Has worker 0 carry something out; `answer` says what came of it.
    fn admin(
        &self,
        op: AdminOp,
        opcode: Opcode,
        correlation: u64,
        answer: impl FnOnce(&Worker<R>, &Outbox<R>, AdminDone) + 'static,
    ) {
        let (outbox, worker) = (Rc::clone(&self.outbox), Rc::clone(&self.worker));
        self.worker.rt.spawn(TaskClass::Latency, async move {
            match worker.admin(op).await {
                Ok(done) => answer(&worker, &outbox, done),
                Err(failure) => outbox.fail(opcode as u8, correlation, &worker.error(&failure)),
            }
        });
    }

    fn fail(&self, opcode: Opcode, correlation: u64, failure: &Failure) {
        self.outbox.fail(opcode as u8, correlation, &self.worker.error(failure));
    }
}

/// Things on one page of an answer: 0 stands for as many as there can be.
fn page(limit: u32, max: u32) -> usize {
    let limit = if limit == 0 { max } else { limit.min(max) };
    limit as usize
}

/// Finds where a subscription begins, and takes the pipe it reads through.
async fn open_source<R: Runtime>(worker: &Rc<Worker<R>>, subscribe: &Subscribe) -> Result<(Source, Bounds), Failure> {
    let group = subscribe.group;
    let owner = worker.owner(group);
    let (from, bounds) = worker.position(group, translate::start(subscribe.start)).await?;
    let pipe = match subscribe.consumer {
        0 => None,
        consumer => Some(worker.take_pipe(group, ConsumerId(consumer), Manner::Native).await?),
    };
    Ok((Source { group, owner, from, pipe }, bounds))
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
