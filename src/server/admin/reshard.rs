//! Splitting, merging, scaling and moving shards while they are in use.
//!
//! A reshard, in crash order:
//! 1. A command adds the children, *pending*. Their owners make their logs; the parents go on taking puts.
//! 2. Puts to the parents are held: they wait, nobody is refused. What was accepted becomes durable, and the ends are known.
//! 3. A command closes the parents at these ends and opens the children. It is durable before anybody acts on it.
//! 4. Puts that waited are refused as closed; producers fetch the map and go on with the children.
//!
//! A crash between 1. and 3. leaves open parents: the next start goes on with 2. Nothing can be stored behind an end, since
//! from 2. on nothing is let in, and if 3. is refused puts are let in again only after it certainly did not come into force.
//!
//! Scaling is a target in the catalogue and as many such rounds as it takes, planned anew from what is there before each:
//! a crash in the middle costs nothing but the round it was in.
//!
//! A move, in crash order: 1. the owner refuses puts as *moving*, finishes what it accepted and lets go of the files; 2. a
//! command names the new owner, which opens the log before the command counts as done. A crash before 2. leaves the shard
//! where it was.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use super::Admin;
use crate::catalog::plan::{self, Plan, Step};
use crate::catalog::{Catalog, CatalogError, Command, PendingReshard, Placed, Reshard, ReshardOp, Shard, Stream};
use crate::engine::catalog::ProposeError;
use crate::engine::log::End;
use crate::runtime::local::{Semaphore, join_all, one_shot};
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::mail::{AdminDone, Answer, Op};
use crate::server::worker::Worker;
use crate::types::{GroupId, ShardNumber, StreamId, WorkerId};

/// How long a client waits for its own reshard before it is told that it goes on without it.
const RESHARD_WAIT_MS: u64 = 10_000;

/// The same for a scaling, which is many of them.
const SCALE_WAIT_MS: u64 = 120_000;

/// Pause between two tries to finish a reshard that something keeps from being finished.
const RETRY_MS: u64 = 100;

/// What brings a stream's shards further.
enum Next {
    /// A reshard has begun: close these, and let the children in.
    Finish(PendingReshard),
    /// The next round of a scaling.
    Begin(Vec<ReshardOp>),
    /// The target is reached without a round.
    Reached,
    /// Nothing is to be done.
    Nothing,
}

impl Next {
    fn of(catalog: &Catalog, stream: StreamId) -> Self {
        let Some(stream) = catalog.stream(stream).filter(|stream| stream.status.is_serving()) else {
            return Self::Nothing;
        };
        if let Some(pending) = stream.reshard_in_progress() {
            return Self::Finish(pending);
        }
        let Some(target) = stream.scaling() else { return Self::Nothing };
        let open: Vec<_> = stream.open_shards().map(|shard| shard.range).collect();
        match plan::next_round(&open, target) {
            Some(round) => Self::Begin(round.steps.iter().map(|step| op(stream, *step)).collect()),
            None => Self::Reached,
        }
    }
}

/// How a stream comes to a number of equal shards.
pub fn plan_of(stream: &Stream, target: u32) -> Plan {
    let open: Vec<_> = stream.open_shards().map(|shard| shard.range).collect();
    Plan::new(&open, target)
}

/// A step of a plan, which names ranges, as an operation on the shards that have these ranges.
fn op(stream: &Stream, step: Step) -> ReshardOp {
    match step {
        Step::Split { range, at } => ReshardOp::Split { shard: stream.route(range.start).number, at },
        Step::Merge { left, right } => {
            let (shard, adjacent) = (stream.route(left.start).number, stream.route(right.start).number);
            ReshardOp::Merge { shard, adjacent }
        }
    }
}

impl<R: Runtime> Admin<R> {
    /// Splits or merges on behalf of a client. Resolves when the children take puts.
    pub(super) async fn reshard(
        self: &Rc<Self>,
        worker: &Rc<Worker<R>>,
        name: &str,
        op: ReshardOp,
    ) -> Result<AdminDone, Failure> {
        let stream = self.begin(worker, name, vec![op], false).await?;
        let (first, second) = match op {
            ReshardOp::Split { shard, .. } => (shard, shard),
            ReshardOp::Merge { shard, adjacent } => (shard, adjacent),
        };
        self.settle_within(worker, stream, RESHARD_WAIT_MS).await?;
        self.log.with(|catalog| {
            let found = catalog.stream(stream).ok_or_else(|| Failure::StreamUnknown(name.to_owned()))?;
            let is_child = |shard: &&Shard| shard.parents().any(|parent| parent == first || parent == second);
            let children = found.shards().iter().filter(is_child).cloned().collect();
            Ok(AdminDone::Resharded { version: catalog.version(), children })
        })
    }

    /// Begins a reshard of shards that can be closed now.
    pub(super) async fn begin(
        &self,
        worker: &Rc<Worker<R>>,
        name: &str,
        ops: Vec<ReshardOp>,
        by_node: bool,
    ) -> Result<StreamId, Failure> {
        let (stream, groups) = self.with_stream(name, |stream| {
            let parents = ops.iter().flat_map(|op| match *op {
                ReshardOp::Split { shard, .. } => [shard, shard],
                ReshardOp::Merge { shard, adjacent } => [shard, adjacent],
            });
            let groups: Vec<_> = parents.filter_map(|number| stream.shard(number)).map(|s| s.group).collect();
            (stream.id, groups)
        })?;
        // The end of a damaged log is not known: it would keep the stream from being changed until it is repaired.
        if let Some(group) = groups.into_iter().find(|group| worker.quarantined.borrow().contains(group)) {
            return Err(Failure::Quarantined(group));
        }
        let (now, workers) = (worker.rt.wall(), worker.count);
        self.propose(worker, Command::Reshard(Reshard { stream, ops, by_node, now, workers })).await?;
        Ok(stream)
    }

    /// Brings a stream to a number of equal shards. Resolves when it has them.
    pub(super) async fn scale(
        self: &Rc<Self>,
        worker: &Rc<Worker<R>>,
        name: &str,
        target: u32,
    ) -> Result<AdminDone, Failure> {
        let (stream, damaged) = self.with_stream(name, |stream| {
            let quarantined = worker.quarantined.borrow();
            let damaged = stream.open_shards().map(|shard| shard.group).find(|group| quarantined.contains(group));
            (stream.id, damaged)
        })?;
        // The end of a damaged log is not known; the stream would be updating until it is repaired.
        if let Some(group) = damaged {
            return Err(Failure::Quarantined(group));
        }
        let command = Command::ScaleStream { stream, target, now: worker.rt.wall() };
        // Of the shards as they were when it came into force: nobody has taken a step yet.
        let plan =
            self.propose_and(worker, command, |catalog| catalog.stream(stream).map(|s| plan_of(s, target))).await?;
        self.settle_within(worker, stream, SCALE_WAIT_MS).await?;
        let plan = plan.ok_or_else(|| Failure::StreamUnknown(name.to_owned()))?;
        // It may have ended because the stream was deleted.
        let version = self.with_stream(name, |_| self.log.with(Catalog::version))?;
        Ok(AdminDone::Scaled { version, plan })
    }

    /// [`Admin::settle`], for a client that does not wait for ever: what has begun goes on without it.
    async fn settle_within(self: &Rc<Self>, worker: &Rc<Worker<R>>, stream: StreamId, ms: u64) -> Result<(), Failure> {
        let (fill, settled) = one_shot();
        let (this, here) = (Rc::clone(self), Rc::clone(worker));
        let deadline = worker.rt.now().plus(ms * 1_000);
        worker.rt.spawn(TaskClass::Latency, async move {
            loop {
                match this.settle(&here, stream).await {
                    Ok(()) => return fill.fill(Ok(())),
                    // It does not go on: the stream was deleted, or a scaling given up.
                    Err(Failure::Catalog(error)) if !error.is_retryable() => {
                        return fill.fill(Err(Failure::Catalog(error)));
                    }
                    // From then on it is tended with everything else.
                    Err(_) if here.rt.now() >= deadline || here.is_draining() => return,
                    Err(error) => tracing::warn!(%stream, %error, "a reshard cannot be finished yet"),
                }
                here.rt.sleep(Duration::from_millis(RETRY_MS)).await;
            }
        });
        let settled = async { settled.wait().await.unwrap_or(Err(Failure::StillUnderWay)) };
        let late = async {
            future::or(worker.rt.sleep(Duration::from_millis(ms)), worker.drained()).await;
            Err(Failure::StillUnderWay)
        };
        future::or(settled, late).await
    }

    /// The right to reshard or move shards of a stream: one task at a time.
    fn shard_turn(&self, stream: StreamId) -> Rc<Semaphore> {
        Rc::clone(self.resharding.borrow_mut().entry(stream).or_insert_with(|| Semaphore::new(1)))
    }

    /// Brings a stream's shards where the catalogue wants them, round by round. Resolves when nothing is left to do.
    ///
    /// Not to be dropped half-way: a command that has been written must be acted upon. On an error whoever calls it next
    /// goes on.
    pub(super) async fn settle(&self, worker: &Rc<Worker<R>>, stream: StreamId) -> Result<(), Failure> {
        let _turn = self.shard_turn(stream).acquire(1).await;
        {
            // Whether the last step was taken may not be known yet.
            let _turn = self.turn.acquire(1).await;
            self.resolve(worker).await?;
        }
        loop {
            match self.log.with(|catalog| Next::of(catalog, stream)) {
                Next::Finish(pending) => self.finish_reshard(worker, stream, &pending).await?,
                Next::Begin(ops) => {
                    let (now, workers) = (worker.rt.wall(), worker.count);
                    let reshard = Reshard { stream, ops, by_node: true, now, workers };
                    match self.propose(worker, Command::Reshard(reshard)).await {
                        // The node has no room for so many shards: it would not go on by itself, and keep the stream
                        // from every other change.
                        Err(Failure::Catalog(error)) if !error.is_retryable() => {
                            tracing::error!(%stream, %error, "a scaling is given up");
                            self.propose(worker, Command::ScaleDone { stream }).await?;
                            return Err(Failure::Catalog(error));
                        }
                        begun => begun?,
                    }
                }
                Next::Reached => self.propose(worker, Command::ScaleDone { stream }).await?,
                Next::Nothing => return Ok(()),
            }
        }
    }

    /// Closes the parents and opens the children.
    async fn finish_reshard(
        &self,
        worker: &Rc<Worker<R>>,
        stream: StreamId,
        pending: &PendingReshard,
    ) -> Result<(), Failure> {
        let PendingReshard { parents, children } = pending;
        self.make(worker, children).await?;
        let sealing = parents.iter().map(async |parent| {
            let end = self.seal(worker, self.owner(worker, parent.group)?, parent.group).await?;
            Ok::<_, Failure>((parent.shard, end))
        });
        let sealed: Result<Vec<(ShardNumber, End)>, Failure> = join_all(sealing).await.into_iter().collect();
        let result = match sealed {
            Ok(sealed) => {
                // Nothing in a shard arrived after it was closed, whatever became of the clock: it expires as a whole.
                let last = sealed.iter().map(|(_, end)| end.last_arrival).max().unwrap_or_default();
                let now = worker.rt.wall().max(last);
                let ends = sealed.into_iter().map(|(shard, end)| (shard, end.offset)).collect();
                self.propose(worker, Command::FinishReshard { stream, ends, now }).await
            }
            Err(error) => Err(error),
        };
        match &result {
            // Whether the parents are closed is not known yet, and is found out before the next try. Were they let in again,
            // records could be stored behind an end that counts. So it is when a worker did not do all that the end asks.
            Ok(()) | Err(Failure::Propose(ProposeError::OutcomeUnknown) | Failure::InForce) => {}
            Err(_) => {
                for parent in parents {
                    if let Ok(owner) = self.owner(worker, parent.group) {
                        self.unseal(worker, owner, parent.group);
                    }
                }
            }
        }
        result
    }

    fn owner(&self, worker: &Worker<R>, group: GroupId) -> Result<WorkerId, Failure> {
        self.log.with(|catalog| {
            let (_, shard) = catalog.shard(group).ok_or(Failure::ShardUnknown(group))?;
            Ok(shard.worker(worker.count))
        })
    }

    /// Has the owners make the logs of new shards, where they are not there yet.
    pub(super) async fn make(&self, worker: &Rc<Worker<R>>, shards: &[Placed]) -> Result<(), Failure> {
        let mut by_owner: BTreeMap<WorkerId, Vec<GroupId>> = BTreeMap::new();
        for shard in shards {
            by_owner.entry(WorkerId(shard.placed_on.0 % worker.count)).or_default().push(shard.group);
        }
        let making = by_owner.into_iter().map(|(owner, groups)| self.ask(worker, owner, Op::Make(groups)));
        join_all(making).await.into_iter().collect()
    }

    async fn seal(&self, worker: &Worker<R>, owner: WorkerId, group: GroupId) -> Result<End, Failure> {
        match &worker.links[usize::from(owner.0)] {
            None => worker.seal(group).await,
            Some(link) => match link.call(Op::Seal(group)).await? {
                Answer::Sealed(end) => end,
                _ => unreachable!("a seal is answered as a seal"),
            },
        }
    }

    fn unseal(&self, worker: &Worker<R>, owner: WorkerId, group: GroupId) {
        match &worker.links[usize::from(owner.0)] {
            None => worker.shards.unseal(group),
            // Nobody waits for the answer; what is sent to a worker that is gone is of no use to it.
            Some(link) => drop(link.send(Op::Unseal(group), None)),
        }
    }

    /// Moves a shard to another worker. Resolves when it serves there.
    pub(super) async fn move_shard(
        self: &Rc<Self>,
        worker: &Rc<Worker<R>>,
        name: &str,
        shard: ShardNumber,
        to: WorkerId,
    ) -> Result<AdminDone, Failure> {
        if to.0 >= worker.count {
            return Err(Failure::Invalid("the node has no such worker"));
        }
        let stream = self.with_stream(name, |stream| stream.id)?;
        let _turn = self.shard_turn(stream).acquire(1).await;
        // Where it is now that nobody else moves it.
        let found =
            self.with_stream(name, |stream| stream.shard(shard).filter(|shard| shard.is_readable()).cloned())?;
        let found = found.ok_or_else(|| CatalogError::ShardUnknown { name: name.to_owned(), shard })?;
        let from = found.worker(worker.count);
        if from == to {
            return Ok(self.version_done());
        }
        if worker.quarantined.borrow().contains(&found.group) {
            return Err(Failure::Quarantined(found.group));
        }
        let command = Command::MoveShard { stream, shard, to };
        // Before the shard is disturbed.
        self.log.with(|catalog| catalog.check(&command))?;
        let group = found.group;
        self.ask(worker, from, Op::HandOver(group)).await?;
        let moved = self.propose(worker, command).await;
        if moved.is_err() && self.owner(worker, group).is_ok_and(|owner| owner == from) {
            self.ask(worker, from, Op::TakeBack(group)).await?;
        }
        moved?;
        Ok(self.version_done())
    }

    /// Has a worker do something.
    async fn ask(&self, worker: &Rc<Worker<R>>, who: WorkerId, op: Op) -> Result<(), Failure> {
        let answer = match &worker.links[usize::from(who.0)] {
            None => worker.serve_async(op).await,
            Some(link) => link.call(op).await?,
        };
        match answer {
            Answer::Done(done) => done,
            _ => unreachable!("it is answered as done"),
        }
    }

    /// Goes on with reshards that something kept from being finished: a crash, a failed log. True if there are none.
    pub(super) fn resume_reshards(self: &Rc<Self>, worker: &Rc<Worker<R>>) -> bool {
        let under_way = self.log.with(|catalog| {
            let changing = |stream: &&Stream| stream.reshard_in_progress().is_some() || stream.scaling().is_some();
            catalog.streams().filter(changing).map(|stream| stream.id).collect::<Vec<_>>()
        });
        let is_done = under_way.is_empty();
        // Nobody waits for these any more.
        self.resharding.borrow_mut().retain(|_, turn| Rc::strong_count(turn) > 1);
        for stream in under_way {
            if self.resharding.borrow().contains_key(&stream) {
                continue;
            }
            let (this, here) = (Rc::clone(self), Rc::clone(worker));
            worker.rt.spawn(TaskClass::Background, async move {
                if let Err(error) = this.settle(&here, stream).await {
                    tracing::warn!(%stream, %error, "a reshard cannot be finished yet");
                }
            });
        }
        is_done
    }
}
