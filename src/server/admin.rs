//! Changes of the catalogue, carried out on all workers. Lives on worker 0.
//!
//! Creating a stream, in crash order: 1. the command is durable, the stream is *creating*; 2. every owner has its shards'
//! logs on disk; 3. a second command makes the stream *active*; 4. the client is told. After a crash between 1. and 3. the
//! next start goes on with 2. Deleting is the same in reverse: *deleting*, the client is told, storage freed, forgotten.
//!
//! Commands reach all workers in the order they came into force: they are handed to the links before the next one is
//! proposed.

use std::rc::Rc;

use crate::catalog::{Command, CreateStream, Settings, Status, Tags};
use crate::engine::catalog::CatalogLog;
use crate::runtime::local::{OneShot, Semaphore};
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::mail::{AdminDone, AdminOp, Answer, Op};
use crate::server::worker::Worker;
use crate::types::StreamId;

/// The catalogue, and the right to change it.
pub struct Admin<R: Runtime> {
    log: Rc<CatalogLog<R>>,
    turn: Rc<Semaphore>,
}

impl<R: Runtime> Admin<R> {
    /// On an opened catalogue.
    pub fn new(log: Rc<CatalogLog<R>>) -> Rc<Self> {
        Rc::new(Self { log, turn: Semaphore::new(1) })
    }

    /// The catalogue's log.
    pub const fn log(&self) -> &Rc<CatalogLog<R>> {
        &self.log
    }

    /// Carries out a change; resolves when it is durable and in force on every worker.
    pub async fn run(self: &Rc<Self>, worker: &Rc<Worker<R>>, op: AdminOp) -> Result<AdminDone, Failure> {
        // On a task of its own: a client that goes away must not leave a change half done.
        let (fill, done) = crate::runtime::local::one_shot();
        let (this, here) = (Rc::clone(self), Rc::clone(worker));
        worker.rt.spawn(TaskClass::Latency, async move {
            let result = this.carry_out(&here, op).await;
            fill.fill(result);
        });
        done.wait().await.unwrap_or(Err(Failure::Draining))
    }

    /// Finishes what a crash left half done: streams that are being created or deleted.
    pub async fn finish(self: &Rc<Self>, worker: &Rc<Worker<R>>) {
        let unfinished: Vec<_> = self.log.with(|catalog| {
            let streams = catalog.streams().filter(|stream| !stream.status.is_serving());
            streams.map(|stream| (stream.id, stream.name.clone(), stream.status)).collect()
        });
        for (stream, name, status) in unfinished {
            let result = match status {
                // The owners created the logs when they opened their shards.
                Status::Creating => self.propose(worker, Command::ActivateStream { stream }).await,
                // They go on freeing the storage of these.
                Status::Deleting => {
                    self.forget_when_freed(worker, stream);
                    Ok(())
                }
                Status::Active | Status::Updating => Ok(()),
            };
            if let Err(error) = result {
                tracing::error!(stream = name, %error, "could not finish what the last run began");
            }
        }
    }

    async fn carry_out(self: &Rc<Self>, worker: &Rc<Worker<R>>, op: AdminOp) -> Result<AdminDone, Failure> {
        match op {
            AdminOp::Create { name, shards, settings } => {
                let settings = settings.applied_to(worker.options.stream_defaults);
                let create = CreateStream {
                    name: name.clone(),
                    shard_count: shards,
                    settings,
                    tags: Tags::new(),
                    now: worker.rt.wall(),
                    workers: worker.count,
                };
                self.propose(worker, Command::CreateStream(create)).await?;
                let stream = self.id_of(&name)?.0;
                self.propose(worker, Command::ActivateStream { stream }).await?;
                Ok(self.done(stream, settings))
            }
            AdminOp::Update { name, change } => {
                let (stream, settings) = self.id_of(&name)?;
                self.propose(worker, Command::UpdateStream { stream, change, now: worker.rt.wall() }).await?;
                Ok(self.done(stream, change.applied_to(settings)))
            }
            AdminOp::Delete { name } => {
                let (stream, settings) = self.id_of(&name)?;
                self.propose(worker, Command::DeleteStream { stream, enforce: false }).await?;
                self.forget_when_freed(worker, stream);
                Ok(self.done(stream, settings))
            }
        }
    }

    /// Has all owners free the storage of a deleted stream, in the background, and lets the catalogue forget it afterwards.
    /// If the node stops before that, the next start goes on with it.
    fn forget_when_freed(self: &Rc<Self>, worker: &Rc<Worker<R>>, stream: StreamId) {
        let (this, here) = (Rc::clone(self), Rc::clone(worker));
        worker.rt.spawn(TaskClass::Background, async move {
            let elsewhere: Vec<_> =
                here.links.iter().flatten().map(|link| link.send(Op::FreeStream(stream), None)).collect();
            let mut freed = here.free_stream(stream).await;
            for answer in elsewhere {
                freed &= matches!(answer.wait().await, Some(Answer::Applied(Ok(()))));
            }
            if freed && let Err(error) = this.propose(&here, Command::ForgetStream { stream }).await {
                tracing::warn!(%stream, %error, "a deleted stream is forgotten by the next start only");
            }
        });
    }

    /// Puts a command into force on every worker, and waits until each has done what it asks.
    async fn propose(&self, worker: &Rc<Worker<R>>, command: Command) -> Result<(), Failure> {
        let (applied, answers): (_, Vec<OneShot<Answer>>) = {
            let _turn = self.turn.acquire(1).await;
            self.log.propose(&command).await?;
            let answers =
                worker.links.iter().flatten().map(|link| link.send(Op::Apply(command.clone()), None)).collect();
            let events = worker.catalog.borrow_mut().apply(&command)?;
            (events, answers)
        };
        worker.act(applied).await?;
        for answer in answers {
            match answer.wait().await {
                Some(Answer::Applied(done)) => done?,
                Some(_) => unreachable!("a command is answered as a command"),
                None => return Err(Failure::Draining),
            }
        }
        Ok(())
    }

    fn id_of(&self, name: &str) -> Result<(StreamId, Settings), Failure> {
        self.log.with(|catalog| {
            let stream = catalog.stream_by_name(name).ok_or_else(|| Failure::StreamUnknown(name.to_owned()))?;
            Ok((stream.id, stream.settings))
        })
    }

    fn done(&self, stream: StreamId, settings: Settings) -> AdminDone {
        AdminDone { stream, settings, version: self.log.with(|catalog| catalog.version()) }
    }
}
