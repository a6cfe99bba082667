//! The node: all workers from start to stop.
//!
//! Operation:
//! 1. Worker 0 locks the data directory, begins a term and opens the catalogue; the others wait for word of it.
//! 2. Every worker opens its shards and its own port, and reports to worker 0.
//! 3. Worker 0 finishes what a crash left half done and tells everybody to take connections: the node is ready.
//! 4. When told to stop, every worker drains: requests taken up are answered, logs are synced, then it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
#[cfg(feature = "kinesis")]
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future;
use thiserror::Error;

use crate::catalog::{Catalog, Settings};
use crate::engine::catalog::{CatalogLog, CatalogOpenError};
use crate::engine::data_dir::{self, DataDir, OpenError};
use crate::engine::env::{DiskState, Env, Tuning};
use crate::engine::shards::{Known, Opened, Shards};
use crate::format::node::NodeFile;
#[cfg(feature = "kinesis")]
use crate::kinesis::access::Keys;
use crate::limits::MAILBOX_MESSAGES_MAX;
use crate::runtime::local::{self, Notify};
use crate::runtime::{ConnectedReceiver, Listener, Receiver, Runtime, Sender, TaskClass};
use crate::server::admin::Admin;
use crate::server::connection;
use crate::server::links::Link;
use crate::server::mail::{Boot, Mail, Opening, Ready};
use crate::server::worker::{Parts, Worker};
#[cfg(feature = "kinesis")]
use crate::server::{http, kinesis};
use crate::types::{StreamId, WorkerId};

/// How often a worker looks at the disk, at dead logs and, less often, at retention.
const WATCH_MS: u64 = 1_000;

/// Rounds of the watcher between two looks at retention.
const EXPIRE_EVERY: u64 = 30;

/// How long connections may take to finish when the node stops.
const DRAIN_MS: u64 = 5_000;

/// How long the last replies to other workers may take to leave when the node stops.
const LAST_REPLIES_MS: u64 = 500;

/// Free bytes below which the node reacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    /// Warn, in permille of the disk.
    pub warn: DiskLimit,
    /// Slow puts down.
    pub slow: DiskLimit,
    /// Refuse puts.
    pub refuse: DiskLimit,
}

/// An amount of disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLimit {
    /// A part of the whole, in percent.
    Percent(u8),
    /// Bytes.
    Bytes(u64),
}

impl DiskLimit {
    const fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => total / 100 * percent as u64,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl DiskLimits {
    /// How a disk stands.
    const fn judge(&self, free: u64, total: u64) -> DiskState {
        if free < self.refuse.bytes(total) {
            DiskState::Full
        } else if free < self.slow.bytes(total) {
            DiskState::Scarce
        } else if free < self.warn.bytes(total) {
            DiskState::Low
        } else {
            DiskState::Plenty
        }
    }
}

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// Where all workers listen together.
    pub listen: SocketAddr,
    /// Ports of the workers' own, by worker; 0 lets the system choose.
    pub direct_ports: Vec<u16>,
    /// What clients must present.
    pub token: Option<Vec<u8>>,
    /// Settings of streams that do not say otherwise.
    pub stream_defaults: Settings,
    /// When to react to a filling disk.
    pub disk: DiskLimits,
    /// Settings of each worker's engine.
    pub tuning: Tuning,
    /// The Kinesis API; `None` where it is turned off.
    #[cfg(feature = "kinesis")]
    pub kinesis: Option<KinesisOptions>,
}

/// Settings of the Kinesis API.
#[cfg(feature = "kinesis")]
#[derive(Clone, Debug)]
pub struct KinesisOptions {
    /// Where all workers listen together, for HTTP and, with `tls`, for HTTPS.
    pub listen: SocketAddr,
    /// Region in ARNs when a request's signature names none.
    pub region: String,
    /// Account in ARNs: 12 digits.
    pub account: String,
    /// How long streams stay in a passing status, in milliseconds; 0 for not at all.
    pub status_delay_ms: u64,
    /// The keys whose signatures are verified; `None` to take every request. Each worker makes its
    /// [`crate::kinesis::access::Access`] of it.
    pub keys: Option<Arc<Keys>>,
    /// The certificate, and what to offer in the handshake; `None` for HTTP only.
    pub tls: Option<Arc<futures_rustls::rustls::ServerConfig>>,
}

/// What the operator is told once the node is ready.
#[derive(Clone, Debug)]
pub struct Report {
    /// The node's identity and term.
    pub node: NodeFile,
    /// Whether the data directory is new.
    pub is_new: bool,
    /// Where all workers listen.
    pub listen: SocketAddr,
    /// Where each worker listens on its own.
    pub direct: Vec<SocketAddr>,
    /// Where all workers listen for the Kinesis API, if it is on.
    pub kinesis: Option<SocketAddr>,
    /// Streams there are.
    pub streams: usize,
    /// What opening the shards found, all workers together.
    pub opened: Opened,
    /// The data directory.
    pub data: PathBuf,
    /// The names of the streams whose shards are damaged or did not open.
    pub names: BTreeMap<StreamId, String>,
}

/// Why the node did not start, or did not stop cleanly.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The data directory.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogOpenError),
    /// A port.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
    /// Another worker failed, and says why itself.
    #[error("another worker could not start")]
    Aborted,
}

/// Everything one worker takes with it to its thread.
pub struct Seed<R: Runtime> {
    /// Which worker it becomes.
    pub id: WorkerId,
    options: Options,
    senders: Vec<Option<R::Sender<Mail>>>,
    receivers: Vec<Option<R::Receiver<Mail>>>,
}

/// Who is told that the node is ready, and tells it to stop. One per worker, on its thread.
pub trait Supervisor: 'static {
    /// Worker 0 only: the node takes connections.
    fn ready(&self, report: &Report);
    /// Resolves when the node is to stop.
    fn stop(&self) -> impl Future<Output = ()>;
}

/// The seeds of `workers` workers, linked with each other.
pub fn seeds<R: Runtime>(options: &Options, workers: u16) -> Vec<Seed<R>> {
    assert!(workers > 0, "a node has at least one worker");
    // All mailboxes together hold a bounded number of messages, however many workers there are.
    let capacity = (MAILBOX_MESSAGES_MAX / usize::from(workers)).max(16);
    let count = usize::from(workers);
    let mut seeds: Vec<Seed<R>> = (0..workers)
        .map(|id| Seed {
            id: WorkerId(id),
            options: options.clone(),
            senders: (0..count).map(|_| None).collect(),
            receivers: (0..count).map(|_| None).collect(),
        })
        .collect();
    for from in 0..count {
        for to in (0..count).filter(|to| *to != from) {
            let (sender, receiver) = R::mailbox(capacity);
            seeds[from].senders[to] = Some(sender);
            seeds[to].receivers[from] = Some(receiver);
        }
    }
    seeds
}

impl<R: Runtime> Seed<R> {
    /// Runs the worker until the node stops.
    pub async fn run(self, rt: R, supervisor: impl Supervisor) -> Result<(), NodeError> {
        let Self { id, options, senders, receivers } = self;
        let options = Rc::new(options);
        let (links, mut inboxes) = connect(&rt, senders, receivers).await;
        let result = if id == WorkerId(0) {
            lead(&rt, &options, &links, &mut inboxes, &supervisor).await
        } else {
            follow(&rt, id, &options, &links, &mut inboxes, &supervisor).await
        };
        links.iter().flatten().for_each(|link| link.close());
        // The last replies still leave, unless the other worker takes none.
        let sent = async {
            local::join_all(links.iter().flatten().map(|link| link.ended())).await;
        };
        future::or(sent, rt.sleep(Duration::from_millis(LAST_REPLIES_MS))).await;
        result
    }
}

type Inbox<R> = <<R as Runtime>::Receiver<Mail> as Receiver<Mail>>::Connected;
type Links = Vec<Option<Rc<Link>>>;

/// Binds all mailboxes to this thread, both directions at once: each end waits for its other one.
async fn connect<R: Runtime>(
    rt: &R,
    senders: Vec<Option<R::Sender<Mail>>>,
    receivers: Vec<Option<R::Receiver<Mail>>>,
) -> (Links, Vec<Option<Inbox<R>>>) {
    let sending = local::join_all(senders.into_iter().enumerate().map(async |(to, sender)| {
        let link = Link::new(WorkerId(u16::try_from(to).expect("workers are bounded")));
        let sender = sender?.connect().await;
        link.run(rt, sender);
        Some(link)
    }));
    let receiving = local::join_all(receivers.into_iter().map(async |receiver| Some(receiver?.connect().await)));
    future::zip(sending, receiving).await
}

/// The start of worker 0.
async fn lead<R: Runtime>(
    rt: &R,
    options: &Rc<Options>,
    links: &Links,
    inboxes: &mut [Option<Inbox<R>>],
    supervisor: &impl Supervisor,
) -> Result<(), NodeError> {
    let opened = open(rt, options).await;
    let Leader { dir, env, catalog } = match opened {
        Ok(leader) => leader,
        Err(error) => {
            links.iter().flatten().for_each(|link| link.post(Mail::Abort));
            return Err(error);
        }
    };
    for link in links.iter().flatten() {
        link.post(Mail::Boot(Box::new(Boot { node: dir.node, catalog: catalog.copy() })));
    }
    let admin = Admin::new(catalog, rt.now());
    let boot = Boot { node: dir.node, catalog: admin.log().copy() };
    let started = start(rt, WorkerId(0), options, links, env, boot, Some(Rc::clone(&admin))).await;
    let (worker, listeners, opened) = match started {
        Ok(started) => started,
        Err(error) => {
            links.iter().flatten().for_each(|link| link.post(Mail::Abort));
            return Err(error);
        }
    };
    let mut direct = vec![listeners.direct.local_addr().map_err(|error| listen_error(options.listen, error))?];
    let mut total = opened;
    for inbox in inboxes.iter().flatten() {
        match inbox.recv().await {
            Some(Mail::Ready(ready)) => {
                direct.push(SocketAddr::new(options.listen.ip(), ready.direct_port));
                total.add(ready.opened);
            }
            _ => {
                links.iter().flatten().for_each(|link| link.post(Mail::Abort));
                return Err(NodeError::Aborted);
            }
        }
    }
    let opening = Opening {
        ports: direct.iter().map(SocketAddr::port).collect(),
        quarantined: total.quarantined.iter().map(|(id, _)| id.group).collect(),
    };
    for link in links.iter().flatten() {
        link.post(Mail::Start(Box::new(opening.clone())));
    }
    opening.tell(&worker);
    receive_all(&worker, inboxes);
    admin.finish(&worker).await;
    rt.spawn(TaskClass::Background, Rc::clone(&admin).tend(Rc::clone(&worker)));
    let listen = listeners.shared.local_addr().map_err(|error| listen_error(options.listen, error))?;
    #[cfg(feature = "kinesis")]
    let kinesis = listeners.kinesis.as_ref().map(Listener::local_addr).transpose();
    #[cfg(not(feature = "kinesis"))]
    let kinesis = Ok(None);
    let kinesis = kinesis.map_err(|error| listen_error(options.listen, error))?;
    let streams = worker.catalog.borrow().streams().len();
    let names = names_of(&worker.catalog.borrow(), &total);
    let (data, opened) = (options.data.clone(), total);
    let (node, is_new) = (dir.node, dir.is_new);
    supervisor.ready(&Report { node, is_new, listen, direct, kinesis, streams, opened, data, names });
    serve(&worker, listeners, supervisor).await;
    admin.log().stop().await;
    drop(dir);
    Ok(())
}

/// The names of the streams that something was found to be wrong with.
fn names_of(catalog: &Catalog, opened: &Opened) -> BTreeMap<StreamId, String> {
    let quarantined = opened.quarantined.iter().map(|(id, _)| id.stream);
    let failed = opened.failed.iter().map(|(id, _)| id.stream);
    quarantined.chain(failed).filter_map(|id| Some((id, catalog.stream(id)?.name.clone()))).collect()
}

impl Opening {
    fn tell<R: Runtime>(self, worker: &Worker<R>) {
        *worker.direct_ports.borrow_mut() = self.ports;
        *worker.quarantined.borrow_mut() = self.quarantined;
    }
}

struct Leader<R: Runtime> {
    dir: DataDir<R>,
    env: Rc<Env<R>>,
    catalog: Rc<CatalogLog<R>>,
}

async fn open<R: Runtime>(rt: &R, options: &Options) -> Result<Leader<R>, NodeError> {
    let dir = data_dir::open(rt, &options.data).await?;
    let env = Env::new(rt.clone(), WorkerId(0), options.data.clone(), dir.node.term, options.tuning);
    let (catalog, _) = CatalogLog::open(Rc::clone(&env)).await?;
    Ok(Leader { dir, env, catalog })
}

/// The start of any other worker.
async fn follow<R: Runtime>(
    rt: &R,
    id: WorkerId,
    options: &Rc<Options>,
    links: &Links,
    inboxes: &mut [Option<Inbox<R>>],
    supervisor: &impl Supervisor,
) -> Result<(), NodeError> {
    let leader = inboxes[0].as_ref().expect("every worker but 0 hears from 0");
    let to_leader = links[0].as_ref().expect("every worker but 0 speaks to 0");
    let boot = match leader.recv().await {
        Some(Mail::Boot(boot)) => *boot,
        _ => return Err(NodeError::Aborted),
    };
    let env = Env::new(rt.clone(), id, options.data.clone(), boot.node.term, options.tuning);
    let (worker, listeners, opened) = match start(rt, id, options, links, env, boot, None).await {
        Ok(started) => started,
        Err(error) => {
            to_leader.post(Mail::Abort);
            return Err(error);
        }
    };
    let direct = listeners.direct.local_addr().map_err(|error| listen_error(options.listen, error))?;
    to_leader.post(Mail::Ready(Box::new(Ready { direct_port: direct.port(), opened })));
    match leader.recv().await {
        Some(Mail::Start(opening)) => opening.tell(&worker),
        _ => return Err(NodeError::Aborted),
    }
    receive_all(&worker, inboxes);
    serve(&worker, listeners, supervisor).await;
    Ok(())
}

struct Listeners<R: Runtime> {
    shared: R::Listener,
    direct: R::Listener,
    #[cfg(feature = "kinesis")]
    kinesis: Option<R::Listener>,
}

fn listen_error(addr: SocketAddr, error: std::io::Error) -> NodeError {
    NodeError::Listen { addr, error }
}

/// Opens the worker's shards and ports.
async fn start<R: Runtime>(
    rt: &R,
    id: WorkerId,
    options: &Rc<Options>,
    links: &Links,
    env: Rc<Env<R>>,
    boot: Boot,
    admin: Option<Rc<Admin<R>>>,
) -> Result<(Rc<Worker<R>>, Listeners<R>, Opened), NodeError> {
    let Boot { node, catalog } = boot;
    let port = options.direct_ports.get(usize::from(id.0)).copied().unwrap_or(0);
    let direct = SocketAddr::new(options.listen.ip(), port);
    let listeners = Listeners {
        shared: rt.listen(options.listen, true).map_err(|error| listen_error(options.listen, error))?,
        direct: rt.listen(direct, false).map_err(|error| listen_error(direct, error))?,
        #[cfg(feature = "kinesis")]
        kinesis: match &options.kinesis {
            Some(KinesisOptions { listen, .. }) => {
                Some(rt.listen(*listen, true).map_err(|error| listen_error(*listen, error))?)
            }
            None => None,
        },
    };
    let shards = Shards::new(env);
    let count = u16::try_from(links.len()).expect("workers are bounded");
    let opened = shards.open(own_shards(&catalog, id, count)).await;
    let parts = Parts { id, options: Rc::clone(options), node, shards, catalog, links: links.clone(), admin };
    Ok((Worker::new(rt.clone(), parts), listeners, opened))
}

fn own_shards(catalog: &Catalog, id: WorkerId, count: u16) -> Vec<Known> {
    catalog.shards_on(id, count).map(|(stream, shard)| Known::of(stream, shard)).collect()
}

/// From now on messages of other workers are requests and replies.
fn receive_all<R: Runtime>(worker: &Rc<Worker<R>>, inboxes: &mut [Option<Inbox<R>>]) {
    for (from, inbox) in inboxes.iter_mut().enumerate() {
        let Some(inbox) = inbox.take() else { continue };
        let from = WorkerId(u16::try_from(from).expect("workers are bounded"));
        let here = Rc::clone(worker);
        worker.rt.spawn(TaskClass::Latency, async move {
            while let Some(mail) = inbox.recv().await {
                here.receive(from, mail);
            }
            if let Some(link) = &here.links[usize::from(from.0)] {
                link.close();
            }
        });
    }
}

/// Takes connections until the node stops, then drains.
async fn serve<R: Runtime>(worker: &Rc<Worker<R>>, listeners: Listeners<R>, supervisor: &impl Supervisor) {
    let stopped = Rc::new(Notify::new());
    // Before the first put: on a full disk it is refused, not tried.
    look_at_disk(worker).await;
    for listener in [listeners.shared, listeners.direct] {
        let serving = Rc::clone(worker);
        let serve = move |halves| connection::serve(Rc::clone(&serving), halves);
        worker.rt.spawn(TaskClass::Latency, accept(Rc::clone(worker), listener, serve));
    }
    #[cfg(feature = "kinesis")]
    if let (Some(listener), Some(options)) = (listeners.kinesis, &worker.options.kinesis) {
        http::Front::start(worker, options.tls.clone(), kinesis::handle).listen(listener);
    }
    let watching = Rc::clone(worker);
    worker.rt.spawn(TaskClass::Background, async move { watch(watching).await });
    supervisor.stop().await;
    worker.drain();
    let quiet = async {
        while worker.connections.get() > 0 {
            worker.rt.sleep(Duration::from_millis(5)).await;
        }
    };
    future::or(quiet, worker.rt.sleep(Duration::from_millis(DRAIN_MS))).await;
    worker.shards.stop().await;
    stopped.notify();
}

/// Serves the connections of a listener until the node begins to stop.
pub(super) async fn accept<R: Runtime, S: Future<Output = ()> + 'static>(
    worker: Rc<Worker<R>>,
    listener: R::Listener,
    serve: impl Fn((R::ReadHalf, R::WriteHalf)) -> S,
) {
    loop {
        let accepted = async { Some(listener.accept().await) };
        let drained = async {
            worker.drained().await;
            None
        };
        match future::or(drained, accepted).await {
            None => return,
            Some(Ok(halves)) => worker.rt.spawn(TaskClass::Latency, serve(halves)),
            Some(Err(error)) => {
                // Out of descriptors, or the client is gone already: neither is helped by trying at once.
                tracing::warn!(%error, "could not accept a connection");
                worker.rt.sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Has the worker know how the disk stands.
async fn look_at_disk<R: Runtime>(worker: &Worker<R>) {
    let env = worker.shards.env();
    env.space_taken.set(false);
    match worker.rt.disk_space(&env.data).await {
        Ok(space) => {
            let state = worker.options.disk.judge(space.free_bytes, space.total_bytes);
            if state != env.disk.get() {
                tracing::warn!(worker = %worker.id, ?state, free_bytes = space.free_bytes, "the disk's state changed");
            }
            env.set_disk(state, space.free_bytes, worker.options.disk.refuse.bytes(space.total_bytes));
            if state > DiskState::Low {
                env.drop_spares().await;
            }
        }
        Err(error) => tracing::warn!(%error, "could not look at the disk"),
    }
}

/// Waits for the next round of [`watch`], and meanwhile looks at the disk whenever a segment took space there: a fast writer
/// fills a small disk between two rounds.
async fn pause<R: Runtime>(worker: &Worker<R>) {
    let env = worker.shards.env();
    let begun = worker.rt.now();
    loop {
        let left_ms = WATCH_MS.saturating_sub(worker.rt.now().since(begun) / 1_000);
        if left_ms == 0 || worker.is_draining() {
            return;
        }
        let rest = future::or(worker.rt.sleep(Duration::from_millis(left_ms)), worker.drained());
        future::or(rest, env.worth_a_look.until(|| env.space_taken.get().then_some(()))).await;
        if env.space_taken.get() {
            look_at_disk(worker).await;
        }
    }
}

/// Says how many connections were turned away since the last time.
fn report_connections<R: Runtime>(worker: &Worker<R>) {
    let turned_away = worker.turned_away.take();
    if turned_away > 0 {
        let max = worker.options.tuning.connections_max;
        tracing::warn!(worker = %worker.id, turned_away, max, "connections were turned away: there are as many as may be");
    }
}

/// Looks after the disk, dead logs and retention.
async fn watch<R: Runtime>(worker: Rc<Worker<R>>) {
    for round in 0u64.. {
        if worker.is_draining() {
            return;
        }
        look_at_disk(&worker).await;
        report_connections(&worker);
        worker.waiting.make_room();
        for group in worker.shards.reopen_dead().await {
            worker.quarantine(group).await;
        }
        worker.adopt_astray().await;
        worker.pipes.forget_idle(worker.rt.now());
        if round % EXPIRE_EVERY == 0 {
            let freed = worker.shards.expire().await;
            if freed > 0 {
                tracing::info!(worker = %worker.id, freed_bytes = freed, "expired segments were freed");
            }
        }
        pause(&worker).await;
    }
}
