//! Changes of the catalogue, carried out on all workers. Lives on worker 0.
//!
//! Creating a stream, in crash order: 1. the command is durable, the stream is *creating*; 2. every owner has its shards'
//! logs on disk; 3. a second command makes the stream *active*; 4. the client is told. After a crash between 1. and 3. the
//! next start goes on with 2. Deleting: 1. the stream is *deleting*, its name is free, the client is told; 2. its storage is
//! freed in the background; 3. it is forgotten. Splits, merges and moves are in `reshard`, freeing in `janitor`.
//!
//! Commands reach all workers in the order they came into force: they are handed to the links before the next one is
//! proposed. Stored values and leases (`store`) stay on this worker: nobody else needs them.

mod autoscale;
mod janitor;
mod reshard;
mod store;

pub use reshard::plan_of;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use crate::catalog::{
    Catalog, Command, ConsumerId, CreateStream, Event, Placed, Settings, Shard, Status, StoreCommand, Stream,
};
use crate::engine::catalog::CatalogLog;
use crate::runtime::local::{OneShot, Semaphore, one_shot};
use crate::runtime::{Runtime, Step, TaskClass};
use crate::server::failure::Failure;
use crate::server::leases::Deadlines;
use crate::server::mail::{AdminDone, AdminOp, Answer, Note, Op};
use crate::server::worker::Worker;
use crate::types::{MonoUs, StreamId};

/// How often [`Admin::tend`] looks.
const TEND_MS: u64 = 1_000;

/// Rounds between two looks at the traffic of streams on demand.
const AUTOSCALE_EVERY: u64 = 5;

/// Rounds between two looks at closed shards.
const EXPIRE_EVERY: u64 = 30;

/// The catalogue, and the right to change it.
pub struct Admin<R: Runtime> {
    log: Rc<CatalogLog<R>>,
    turn: Rc<Semaphore>,
    /// One task at a time brings a stream's shards where they are to be.
    resharding: RefCell<BTreeMap<StreamId, Rc<Semaphore>>>,
    /// Streams that are half created, and something kept from being finished.
    creating: RefCell<BTreeSet<StreamId>>,
    /// Streams with storage that is being freed.
    freeing: RefCell<BTreeSet<StreamId>>,
    deadlines: RefCell<Deadlines>,
    /// The lease that a claim under way takes; see [`store`].
    claimed: Cell<Option<u64>>,
}

impl<R: Runtime> Admin<R> {
    /// On an opened catalogue, at the start of the node.
    pub fn new(log: Rc<CatalogLog<R>>, now: MonoUs) -> Rc<Self> {
        Rc::new(Self {
            log,
            turn: Semaphore::new(1),
            resharding: RefCell::default(),
            creating: RefCell::default(),
            freeing: RefCell::default(),
            deadlines: RefCell::new(Deadlines::new(now)),
            claimed: Cell::new(None),
        })
    }

    /// The catalogue's log.
    pub const fn log(&self) -> &Rc<CatalogLog<R>> {
        &self.log
    }

    /// Carries out a change; resolves when it is durable and in force on every worker.
    pub async fn run(self: &Rc<Self>, worker: &Rc<Worker<R>>, op: AdminOp) -> Result<AdminDone, Failure> {
        // On a task of its own: a client that goes away must not leave a change half done.
        let (fill, done) = one_shot();
        let (this, here) = (Rc::clone(self), Rc::clone(worker));
        worker.rt.spawn(TaskClass::Latency, async move {
            let result = this.carry_out(&here, op).await;
            fill.fill(result);
        });
        done.wait().await.unwrap_or(Err(Failure::OutcomeUnknown))
    }

    /// Goes on with what a crash left half done, before anybody connects: streams that are being created. Those that the disk keeps
    /// from being finished, and everything else, are picked up by [`Admin::tend`].
    pub async fn finish(self: &Rc<Self>, worker: &Rc<Worker<R>>) {
        let creating: Vec<_> = self.log.with(|catalog| {
            let streams = catalog.streams().filter(|stream| stream.status == Status::Creating);
            streams.map(|stream| stream.id).collect()
        });
        for stream in creating {
            self.complete(worker, stream).await;
        }
    }

    /// Makes a stream active that is half created, or notes that this is still to be done.
    async fn complete(&self, worker: &Rc<Worker<R>>, stream: StreamId) {
        let shards: Option<Vec<Placed>> = self.log.with(|catalog| {
            let found = catalog.stream(stream).filter(|stream| stream.status == Status::Creating)?;
            Some(found.shards().iter().map(Shard::placed).collect())
        });
        // Deleted meanwhile, or active after all.
        let Some(shards) = shards else { return };
        let completed = async {
            // The owners made the logs when they opened their shards, but for those that the disk refused. Once the stream is
            // active a log that is not there counts as lost.
            self.make(worker, &shards).await?;
            self.propose(worker, Command::ActivateStream { stream }).await
        };
        if let Err(error) = completed.await {
            tracing::error!(%stream, %error, "could not finish creating a stream; it is tried again");
            self.creating.borrow_mut().insert(stream);
        }
    }

    /// Looks after what needs no client: snapshots, streams half created, reshards that are not finished, storage to be freed, closed
    /// shards that expire, streams on demand. Ends when the node stops.
    pub async fn tend(self: Rc<Self>, worker: Rc<Worker<R>>) {
        let mut scalers = autoscale::Autoscalers::default();
        let mut looked_at = None;
        for round in 0_u64.. {
            // Nothing is left to be done that was not when this version of the catalogue was last looked at.
            if self.log.is_in_question() {
                let _turn = self.turn.acquire(1).await;
                if let Err(error) = self.resolve(&worker).await {
                    tracing::warn!(%error, "whether a change of the catalogue came into force is not known yet");
                }
            }
            for stream in std::mem::take(&mut *self.creating.borrow_mut()) {
                let (this, here) = (Rc::clone(&self), Rc::clone(&worker));
                worker.rt.spawn(TaskClass::Background, async move { this.complete(&here, stream).await });
            }
            let version = Some(self.log.with(|catalog| catalog.version()));
            if version != looked_at {
                let (resharded, freed) = (self.resume_reshards(&worker), self.free_leftovers(&worker));
                let is_done = resharded && freed;
                looked_at = version.filter(|_| is_done);
            }
            if round % AUTOSCALE_EVERY == AUTOSCALE_EVERY - 1 {
                self.autoscale(&worker, &mut scalers).await;
            }
            if round % EXPIRE_EVERY == 0 {
                self.expire_shards(&worker).await;
            }
            self.log.tend().await;
            future::or(worker.rt.sleep(Duration::from_millis(TEND_MS)), worker.drained()).await;
            if worker.is_draining() {
                return;
            }
        }
    }

    async fn carry_out(self: &Rc<Self>, worker: &Rc<Worker<R>>, op: AdminOp) -> Result<AdminDone, Failure> {
        match op {
            AdminOp::Create { name, shards, settings, tags } => {
                let settings = settings.applied_to(worker.options.stream_defaults);
                let create = CreateStream {
                    name: name.clone(),
                    shard_count: shards,
                    settings,
                    tags,
                    now: worker.rt.wall(),
                    workers: worker.count,
                };
                let created = async {
                    let look = |catalog: &Catalog| catalog.stream_by_name(&name).expect("it was created").id;
                    let stream = self.propose_and(worker, Command::CreateStream(create), look).await?;
                    // The stream is there. That it is not active yet is no refusal of the request.
                    self.propose(worker, Command::ActivateStream { stream }).await.map_err(in_force)?;
                    Ok(self.stream_done(stream, settings))
                };
                let created = created.await;
                if matches!(created, Err(Failure::InForce)) {
                    // It is gone on with from time to time, until it is active or deleted.
                    let stream = self.with_stream(&name, |stream| stream.id);
                    self.creating.borrow_mut().extend(stream.ok());
                }
                created
            }
            AdminOp::Update { name, change } => {
                let stream = self.with_stream(&name, |stream| stream.id)?;
                let now = worker.rt.wall();
                let look = |catalog: &Catalog| catalog.stream(stream).expect("it was updated").settings;
                let update = Command::UpdateStream { stream, change, now };
                let settings = self.propose_and(worker, update, look).await?;
                Ok(self.stream_done(stream, settings))
            }
            AdminOp::Delete { name, enforce } => {
                let stream = self.with_stream(&name, |stream| stream.id)?;
                self.propose(worker, Command::DeleteStream { stream, enforce }).await?;
                self.free_leftovers(worker);
                Ok(self.version_done())
            }
            AdminOp::Reshard { name, op } => self.reshard(worker, &name, op).await,
            AdminOp::Scale { name, target } => self.scale(worker, &name, target).await,
            AdminOp::Move { name, shard, to } => self.move_shard(worker, &name, shard, to).await,
            AdminOp::Note { name, consumer, note } => {
                let (stream, consumer) = self.with_consumer(&name, consumer.as_deref())?;
                let command = match note {
                    Note::Tags(set, remove) => Command::TagStream { stream, consumer, set, remove },
                    Note::Policy(policy) => Command::SetPolicy { stream, consumer, policy },
                    Note::Encryption(_) | Note::Monitoring(_) if consumer.is_some() => {
                        return Err(Failure::Invalid("a consumer has tags and a policy, nothing else"));
                    }
                    Note::Encryption(key_id) => Command::SetEncryption { stream, key_id, now: worker.rt.wall() },
                    Note::Monitoring(metrics) => Command::SetMonitoring { stream, metrics },
                };
                self.propose(worker, command).await?;
                Ok(self.version_done())
            }
            AdminOp::Register { name, consumer, tags } => {
                let stream = self.with_stream(&name, |stream| stream.id)?;
                let now = worker.rt.wall();
                let register = Command::RegisterConsumer { stream, name: consumer.clone(), tags, now };
                // As it came into force: others may have deregistered it, or registered another one, before this is answered.
                let look = |catalog: &Catalog| {
                    let found = catalog.stream(stream).and_then(|stream| stream.consumer_by_name(&consumer));
                    let consumer = found.expect("it was registered").clone();
                    AdminDone::Registered { version: catalog.version(), consumer }
                };
                self.propose_and(worker, register, look).await
            }
            AdminOp::Deregister { name, consumer } => {
                let (stream, id) = self.with_consumer(&name, Some(&consumer))?;
                let consumer = id.ok_or(Failure::ConsumerUnknown(consumer))?;
                self.propose(worker, Command::DeregisterConsumer { stream, consumer }).await?;
                Ok(self.version_done())
            }
            AdminOp::Store(op) => self.store(worker, op).await.map(AdminDone::Store),
        }
    }

    /// Finds out what became of a command whose outcome was not known, and acts upon it if it came into force. In the
    /// caller's turn; what the command asks of the workers is done in the background.
    async fn resolve(&self, worker: &Rc<Worker<R>>) -> Result<(), Failure> {
        if !self.log.is_in_question() {
            return Ok(());
        }
        let Some((command, _)) = self.log.settle().await? else { return Ok(()) };
        match &command {
            // No other worker has the values. The lease lasts for its time from now on.
            Command::Store(command) => {
                if let (StoreCommand::Claim { name, ttl_ms, .. }, now) = (command, worker.rt.now()) {
                    let token = self.token_of(name);
                    self.deadlines.borrow_mut().extend(now, &name.space, &name.key, token, *ttl_ms);
                }
            }
            _ => {
                let (events, answers) = self.spread(worker, &command)?;
                let here = Rc::clone(worker);
                worker.rt.spawn(TaskClass::Background, async move {
                    if let Err(error) = done(&here, events, answers).await {
                        tracing::error!(%error, "a change of the catalogue that is in force was not carried out");
                    }
                });
            }
        }
        Ok(())
    }

    /// Hands a command in force to every worker's copy of the catalogue. Without a pause: the next one comes after it.
    fn spread(&self, worker: &Worker<R>, command: &Command) -> Result<(Vec<Event>, Vec<OneShot<Answer>>), Failure> {
        let links = worker.links.iter().flatten();
        let answers = links.map(|link| link.send(Op::Apply(command.clone()), None)).collect();
        let events = worker.apply(command)?;
        Ok((events, answers))
    }

    /// Puts a command into force on every worker, and waits until each has done what it asks. Fails with [`Failure::InForce`] once
    /// the command counts.
    async fn propose(&self, worker: &Rc<Worker<R>>, command: Command) -> Result<(), Failure> {
        self.propose_and(worker, command, |_| ()).await
    }

    /// As [`Admin::propose`]; looks at the catalogue as the command left it, before any other one.
    async fn propose_and<T>(
        &self,
        worker: &Rc<Worker<R>>,
        command: Command,
        look: impl FnOnce(&Catalog) -> T,
    ) -> Result<T, Failure> {
        let (looked, (events, answers)) = {
            let turn = self.turn.acquire(1).await;
            self.resolve(worker).await?;
            if worker.rt.leaves_out(Step::StoreReshard) && matches!(command, Command::FinishReshard { .. }) {
                let (rt, log, command) = (worker.rt.clone(), Rc::clone(&self.log), command.clone());
                worker.rt.spawn(TaskClass::Background, async move {
                    let _turn = turn;
                    rt.sleep(Duration::from_millis(50)).await;
                    let _ = log.propose(&command).await;
                });
            } else {
                self.log.propose(&command).await?;
            }
            let looked = self.log.with(look);
            (looked, self.spread(worker, &command)?)
        };
        done(worker, events, answers).await.map_err(in_force)?;
        Ok(looked)
    }

    /// Looks at a stream by its name.
    fn with_stream<T>(&self, name: &str, look: impl FnOnce(&Stream) -> T) -> Result<T, Failure> {
        self.log.with(|catalog| {
            let stream = catalog.stream_by_name(name).ok_or_else(|| Failure::StreamUnknown(name.to_owned()))?;
            Ok(look(stream))
        })
    }

    fn with_consumer(&self, name: &str, consumer: Option<&str>) -> Result<(StreamId, Option<ConsumerId>), Failure> {
        self.with_stream(name, |stream| {
            let Some(consumer) = consumer else { return Ok((stream.id, None)) };
            let found = stream.consumer_by_name(consumer);
            let found = found.ok_or_else(|| Failure::ConsumerUnknown(consumer.to_owned()))?;
            Ok((stream.id, Some(found.id)))
        })?
    }

    fn stream_done(&self, stream: StreamId, settings: Settings) -> AdminDone {
        AdminDone::Stream { stream, settings, version: self.log.with(|catalog| catalog.version()) }
    }

    fn version_done(&self) -> AdminDone {
        AdminDone::Version(self.log.with(|catalog| catalog.version()))
    }
}

/// What is told of an error that came after a command was in force.
fn in_force(error: Failure) -> Failure {
    tracing::warn!(%error, "a change of the catalogue is in force and not carried out yet");
    Failure::InForce
}

/// Resolves once every worker has done what a command asks.
async fn done<R: Runtime>(
    worker: &Rc<Worker<R>>,
    events: Vec<Event>,
    answers: Vec<OneShot<Answer>>,
) -> Result<(), Failure> {
    worker.act(events).await?;
    for answer in answers {
        match answer.wait().await {
            Some(Answer::Done(done)) => done?,
            Some(_) => unreachable!("a command is answered as a command"),
            None => return Err(Failure::Draining),
        }
    }
    Ok(())
}
