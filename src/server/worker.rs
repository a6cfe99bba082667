//! One worker: its shards, its copy of the catalogue, its links to the others; operations on shards, wherever they live.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

mod events;
mod puts;
mod reads;
mod stats;

pub use puts::{EachPut, Waiter};
pub use reads::{Got, Via, wait_out};

use crate::catalog::{Catalog, CatalogError, Command, Event, Status};
use crate::engine::shard::Shard;
use crate::engine::shards::Shards;
use crate::format::node::NodeFile;
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::runtime::local::{Notify, Semaphore};
use crate::runtime::{Runtime, TaskClass};
use crate::server::admin::Admin;
use crate::server::failure::Failure;
#[cfg(feature = "kinesis")]
use crate::server::kinesis::Front;
use crate::server::links::Link;
use crate::server::mail::{AdminDone, AdminOp, Answer, Mail, Op};
use crate::server::node::Options;
use crate::server::pipes::Pipes;
use crate::server::waiting::Waiting;
use crate::types::{GroupId, MonoUs, WorkerId};
use puts::{ForwardedPut, Lanes};

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
    /// The pipes of registered consumers from its shards.
    pub pipes: Pipes,
    /// Connections it serves.
    pub connections: Cell<usize>,
    /// Connections that were too many, since that was last reported.
    pub turned_away: Cell<u64>,
    /// Memory for requests that are still arriving.
    pub receive_budget: Rc<Semaphore>,
    /// Memory of answers that wait for their clients.
    pub waiting: Rc<Waiting>,
    /// Told when the node begins to stop.
    pub changed: Notify,
    /// Its side of the Kinesis API, if that is turned on.
    #[cfg(feature = "kinesis")]
    pub kinesis: Option<Front>,
    draining: Cell<bool>,
    started: MonoUs,
    lanes: Lanes,
    /// Shards that moved here and could not be opened yet.
    astray: RefCell<BTreeSet<GroupId>>,
    /// Where the next record goes in streams that spread records evenly.
    pub(super) spread: Cell<u32>,
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
        let clock = rt.clone();
        let waiting = Waiting::new(options.tuning.answers_bytes_max, move || clock.now());
        let receive_budget = Semaphore::new(options.tuning.arriving_bytes_max);
        #[cfg(feature = "kinesis")]
        let kinesis = options.kinesis.as_ref().map(|kinesis| Front::new(kinesis, node.node_id));
        Rc::new(Self {
            #[cfg(feature = "kinesis")]
            kinesis,
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
            pipes: Pipes::new(id),
            connections: Cell::new(0),
            turned_away: Cell::new(0),
            receive_budget,
            waiting,
            changed: Notify::new(),
            draining: Cell::new(false),
            started,
            lanes: Lanes::default(),
            astray: RefCell::default(),
            spread: Cell::new(0),
        })
    }

    /// Whether the node is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether one more connection may be served; one that may not is counted.
    pub fn has_place(&self) -> bool {
        let has_place = self.connections.get() < self.options.tuning.connections_max;
        if !has_place {
            self.turned_away.set(self.turned_away.get() + 1);
        }
        has_place
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
        let (_, shard) = catalog.shard(group).ok_or(Failure::ShardUnknown(group))?;
        let owner = shard.worker(self.count);
        match &self.links[usize::from(owner.0)] {
            Some(link) => Ok(Home::There(Rc::clone(link))),
            // Ours, and not open: about to be, or on its way out or in.
            None => {
                drop(catalog);
                Err(self.not_here(group))
            }
        }
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
        // Worker 0 was gone before it answered: what became of the change is not known here.
        match link.call(Op::Admin(op)).await.map_err(|_| Failure::OutcomeUnknown)? {
            Answer::Admin(done) => done,
            _ => unreachable!("a change is answered as a change"),
        }
    }

    /// Takes a command that is in force over into this worker's copy of the catalogue.
    pub fn apply(&self, command: &Command) -> Result<Vec<Event>, CatalogError> {
        #[cfg(feature = "kinesis")]
        if let Some(front) = &self.kinesis {
            front.passing.saw(command, &self.catalog.borrow(), self.rt.wall());
        }
        self.catalog.borrow_mut().apply(command)
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
            Op::Put { group, producer, record_count, body_crc, body, each } => {
                let put = ForwardedPut { link, id, producer, record_count, body_crc, body, each };
                self.put_in_order(group, put);
            }
            Op::Apply(command) => {
                // The copy changes here and now, so that commands are taken over in the order they came into force.
                let events = self.apply(&command);
                self.rt.spawn(TaskClass::Background, async move {
                    let done = match events {
                        Ok(events) => worker.act(events).await,
                        Err(error) => Err(error.into()),
                    };
                    link.post(Mail::Reply { id, answer: Answer::Done(done) });
                });
            }
            op => self.rt.spawn(TaskClass::Latency, async move {
                let answer = worker.serve_async(op).await;
                link.post(Mail::Reply { id, answer });
            }),
        }
    }

    /// Carries out what another worker, or the catalogue on this one, asks for.
    pub async fn serve_async(self: &Rc<Self>, op: Op) -> Answer {
        match op {
            Op::Wait { group, from, wait_ms, via } => {
                if let Some(shard) = self.shards.get(group) {
                    self.wait_here(&shard, from, wait_ms, via).await;
                }
                Answer::Waited
            }
            Op::Watch { group, pipe, end } => Answer::Watched(self.watch_here(group, pipe, end).await),
            Op::Get { group, from, bytes_max, via } => Answer::Get(match self.shards.get(group) {
                Some(shard) => self.read_here(&shard, from, bytes_max, via).await.map(Got::copied),
                None => Err(self.not_here(group)),
            }),
            Op::Position { group, start } => Answer::Position(match self.shards.get(group) {
                Some(shard) => shard.position(start).await.map_err(Failure::from),
                None => Err(self.not_here(group)),
            }),
            Op::TakePipe(asked) => Answer::Pipe(self.take_pipe_here(asked)),
            Op::LeavePipe(held) => {
                self.pipes.leave(held);
                Answer::Done(Ok(()))
            }
            Op::Stats(scope) => Answer::Stats(self.stats_here(scope)),
            Op::Traffic(stream) => Answer::Traffic(self.traffic(stream)),
            Op::Seal(group) => Answer::Sealed(self.seal(group).await),
            Op::Unseal(group) => {
                self.shards.unseal(group);
                Answer::Done(Ok(()))
            }
            Op::Make(groups) => Answer::Done(self.make(groups).await),
            Op::HandOver(group) => Answer::Done(self.hand_over(group).await),
            Op::TakeBack(group) => Answer::Done(self.adopt(group).await),
            Op::Free(groups) => Answer::Freed(self.free(groups).await),
            Op::Quarantine(group) => {
                self.quarantined.borrow_mut().insert(group);
                Answer::Done(Ok(()))
            }
            Op::Admin(op) => Answer::Admin(self.admin(op).await),
            Op::Put { .. } | Op::Apply(_) => unreachable!("served in order"),
        }
    }

    /// What the native protocol answers to a failure. Who has to look at the map again is told how new it has to be.
    pub fn error(&self, failure: &Failure) -> ErrorAnswer<'static> {
        let answer = failure.answer();
        match answer.known() {
            Some(ErrorCode::ShardClosed | ErrorCode::WrongShardMap) => {
                answer.details(self.catalog.borrow().version(), 0)
            }
            _ => answer,
        }
    }

    /// Who has the shard, by this worker's copy of the catalogue.
    pub fn owner(&self, group: GroupId) -> Option<WorkerId> {
        self.catalog.borrow().shard(group).map(|(_, shard)| shard.worker(self.count))
    }

    /// Why a shard that was asked for is not where it was thought to be.
    pub fn not_here(&self, group: GroupId) -> Failure {
        match self.catalog.borrow().shard(group) {
            Some((stream, _)) if stream.status == Status::Deleting => Failure::ShardUnknown(group),
            Some((_, shard)) if shard.is_readable() => Failure::ShardMoving(group),
            Some((stream, shard)) if shard.is_pending() => Failure::StreamNotActive(stream.status),
            _ => Failure::ShardUnknown(group),
        }
    }
}
