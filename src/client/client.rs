//! The client: catalogue operations, a connection per worker, and the way to producers and consumers.

mod consumers;
mod metadata;
mod reshard;
mod store;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

pub use consumers::RegisteredConsumer;
pub use metadata::Metadata;
pub use store::{Item, Leased};

use super::backoff::Backoff;
use super::connection::{Connection, result};
use super::consumer::{Consumer, ConsumerOptions};
use super::error::{Error, Result};
use super::merged::Merged;
use super::producer::{Producer, ProducerOptions};
use super::session::NodeInfo;
use super::shard_map::ShardMap;
use crate::limits::{AUTH_TOKEN_BYTES_MAX, HELLO_TEXT_BYTES_MAX, STREAM_NAME_BYTES_MAX};
use crate::protocol::messages::{
    CreateStream, CreateStreamAnswer, DeleteStream, DescribeStream, ListStreams, Ping, Position, PositionAnswer,
    SettingsChange, ShardDescription, ShardFilter, Start, Stats, StreamSettings, StreamStatus, UpdateStream,
};
use crate::protocol::{ErrorClass, Operation};
use crate::runtime::Reactor;
use crate::runtime::local::{Permit, Semaphore};
use crate::types::{ShardNumber, StreamId, WallUs, WorkerId};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Shown in the node's logs and metrics: name and version of the program.
    pub name: String,
    /// The authentication token; empty if the node asks for none.
    pub token: Vec<u8>,
    /// Time for a connection and its handshake.
    pub connect_timeout: Duration,
    /// Time for one answer. A get that waits for records has its waiting time on top.
    pub request_timeout: Duration,
    /// Time in which operations that change nothing, and errors that ask for a retry, are tried again.
    pub retry_for: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            name: concat!("millstream-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
            token: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            retry_for: Duration::from_secs(30),
        }
    }
}

/// A stream in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: StreamStatus,
    /// Its shards that take records.
    pub open_shards: u32,
}

/// A stream and its shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// Its number.
    pub id: StreamId,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: StreamStatus,
    /// When it was created.
    pub created: WallUs,
    /// Its settings.
    pub settings: StreamSettings,
    /// Version of the catalogue this was read from.
    pub catalogue_version: u64,
    /// How many open shards a scaling that is under way will lead to.
    pub scaling_target: Option<u32>,
    /// How many registered consumers it has.
    pub consumers: u32,
    /// Records that arrived before are gone, whatever the retention is now. 0 if the retention never was raised.
    pub expired_before: WallUs,
    /// Its shards.
    pub shards: ShardMap,
}

/// A client of one node. A handle, cheap to clone; its connections close with the last one.
///
/// After errors which say that nothing was done, and pass, every operation is tried again, on a new connection if need be,
/// until [`ClientOptions::retry_for`] is over. When it is not known whether an operation was carried out (the connection
/// was lost, no answer came in time), it is tried again only if it may be carried out twice: reads, and changes that say so.
/// From the others that error comes back ([`Error::is_outcome_unknown`]); what tells then is said at each.
pub struct Client<R: Reactor> {
    shared: Rc<Shared<R>>,
}

impl<R: Reactor> std::fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("addr", &self.shared.addr)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl<R: Reactor> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}

struct Shared<R: Reactor> {
    rt: R,
    addr: SocketAddr,
    options: ClientOptions,
    /// The connection to the address that all workers share.
    main: Slot<R>,
    /// Those to the workers' own ports, opened on demand.
    workers: RefCell<BTreeMap<WorkerId, Rc<Slot<R>>>>,
    node: RefCell<Rc<NodeInfo>>,
}

/// A place for one connection, which one task at a time opens.
struct Slot<R: Reactor> {
    connection: RefCell<Option<Connection<R>>>,
    opening: Rc<Semaphore>,
}

impl<R: Reactor> Slot<R> {
    fn new() -> Self {
        Self { connection: RefCell::default(), opening: Semaphore::new(1) }
    }

    fn alive(&self) -> Option<Connection<R>> {
        self.connection.borrow().clone().filter(|connection| !connection.is_closed())
    }

    /// The live connection, or the right to open one.
    async fn alive_or_turn(&self) -> Result<Connection<R>, Permit> {
        if let Some(connection) = self.alive() {
            return Ok(connection);
        }
        let turn = self.opening.acquire(1).await;
        self.alive().ok_or(turn)
    }
}

impl<R: Reactor> Client<R> {
    /// Connects to the node at `addr`, the address its workers share.
    ///
    /// # Errors
    /// At once if the node does not answer or refuses: only later connections are tried again.
    pub async fn connect(rt: R, addr: SocketAddr, options: ClientOptions) -> Result<Self> {
        if options.name.len() > HELLO_TEXT_BYTES_MAX {
            return Err(Error::Argument("the client's name is too long"));
        }
        if options.token.len() > AUTH_TOKEN_BYTES_MAX {
            return Err(Error::Argument("the token is too long"));
        }
        let first = Connection::open(&rt, addr, &options.name, &options.token, options.connect_timeout).await?;
        let node = RefCell::new(Rc::clone(first.node()));
        let main = Slot { connection: RefCell::new(Some(first)), ..Slot::new() };
        Ok(Self { shared: Rc::new(Shared { rt, addr, options, main, workers: RefCell::default(), node }) })
    }

    /// What the node said of itself when it was last connected to.
    #[must_use]
    pub fn node(&self) -> Rc<NodeInfo> {
        Rc::clone(&self.shared.node.borrow())
    }

    /// The reactor this client runs on.
    #[must_use]
    pub fn reactor(&self) -> &R {
        &self.shared.rt
    }

    /// How this client behaves.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.shared.options
    }

    /// Creates a stream whose shards divide the hash keys evenly. When this resolves it takes records. On demand, 0 shards
    /// stand for as many as such a stream begins with.
    ///
    /// Not repeated when the outcome is unknown: `StreamExists` might then be about a stream of somebody else.
    /// [`Client::describe_stream`] tells.
    pub async fn create_stream(&self, name: &str, shards: u32, settings: SettingsChange) -> Result<CreateStreamAnswer> {
        check_name(name)?;
        self.change(&CreateStream { name, shards, settings }, |answer| answer).await
    }

    /// Changes settings of a stream; gives all of them as they are then. Repeated when the outcome is unknown: what is set
    /// twice is as set once.
    pub async fn update_stream(&self, name: &str, settings: SettingsChange) -> Result<StreamSettings> {
        check_name(name)?;
        self.ask(&UpdateStream { name, settings }, |answer| answer.settings).await
    }

    /// Deletes a stream with all its records; with `enforce_consumer_deletion` also one that has registered consumers,
    /// which otherwise is refused with `HasConsumers`. The name is free when this resolves.
    ///
    /// Not repeated when the outcome is unknown: somebody may have created another stream of the name meanwhile.
    pub async fn delete_stream(&self, name: &str, enforce_consumer_deletion: bool) -> Result<()> {
        check_name(name)?;
        self.change(&DeleteStream { name, enforce_consumer_deletion }, |_| ()).await
    }

    /// All streams in the byte order of their names, read page by page.
    pub async fn list_streams(&self) -> Result<Vec<StreamInfo>> {
        let mut streams: Vec<StreamInfo> = Vec::new();
        loop {
            let after = streams.last().map_or(String::new(), |stream| stream.name.clone());
            let page = ListStreams { after: &after, limit: 0 };
            let (more, count) = (self.ask(&page, |answer| {
                let count = answer.streams.len();
                streams.extend(answer.streams.iter().map(|stream| StreamInfo {
                    name: stream.name.to_owned(),
                    status: stream.status,
                    open_shards: stream.open_shards,
                }));
                (answer.more, count)
            }))
            .await?;
            if !more || count == 0 {
                return Ok(streams);
            }
        }
    }

    /// A stream with all its shards, read page by page from one version of the catalogue.
    pub async fn describe_stream(&self, name: &str) -> Result<StreamDescription> {
        self.describe(name, ShardNumber(0), ShardFilter::All).await
    }

    /// A stream with those of its shards that take records, in one answer however many were closed: the map to route by.
    pub async fn describe_open_shards(&self, name: &str) -> Result<StreamDescription> {
        self.describe(name, ShardNumber(0), ShardFilter::Open).await
    }

    /// A stream with its shards from this number on. Children have higher numbers than their parents.
    pub async fn describe_shards_from(&self, name: &str, first: ShardNumber) -> Result<StreamDescription> {
        self.describe(name, first, ShardFilter::All).await
    }

    /// A stream with one shard, if it is listed, and those that were split or merged from it.
    pub async fn describe_family(&self, name: &str, number: ShardNumber) -> Result<StreamDescription> {
        self.describe(name, number, ShardFilter::Family).await
    }

    /// One shard of a stream, in whatever state; `None` if it is not listed, or not any more.
    pub async fn describe_shard(&self, name: &str, number: ShardNumber) -> Result<Option<ShardDescription>> {
        check_name(name)?;
        let one = DescribeStream { name, from_shard: number, limit: 1, filter: ShardFilter::All };
        let found = self.ask(&one, |answer| answer.shards.first().copied()).await?;
        Ok(found.filter(|shard| shard.number == number))
    }

    async fn describe(&self, name: &str, first: ShardNumber, filter: ShardFilter) -> Result<StreamDescription> {
        check_name(name)?;
        let mut shards: Vec<ShardDescription> = Vec::new();
        let mut version = None;
        loop {
            let from_shard = shards.last().map_or(first, |shard| ShardNumber(shard.number.0 + 1));
            let read = |answer: <DescribeStream<'_> as Operation>::Answer<'_>| {
                let description = StreamDescription {
                    id: answer.stream,
                    name: answer.name.to_owned(),
                    status: answer.status,
                    created: answer.created,
                    settings: answer.settings,
                    catalogue_version: answer.catalogue_version,
                    scaling_target: Some(answer.scaling_target).filter(|target| *target != 0),
                    consumers: answer.consumers,
                    expired_before: answer.expired_before,
                    shards: ShardMap::default(),
                };
                (description, answer.shards, answer.more)
            };
            let (description, page, more) =
                self.ask(&DescribeStream { name, from_shard, limit: 0, filter }, read).await?;
            if version.is_some_and(|version| version != description.catalogue_version) {
                // The catalogue changed between two pages.
                (shards, version) = (Vec::new(), None);
                continue;
            }
            version = Some(description.catalogue_version);
            let last = !more || page.is_empty();
            shards.extend(page);
            if last {
                return Ok(StreamDescription { shards: ShardMap::new(shards), ..description });
            }
        }
    }

    /// Asks for a sign of life; gives the node's wall clock.
    pub async fn ping(&self) -> Result<WallUs> {
        self.ask(&Ping, |answer| answer.wall).await
    }

    /// Counters of the node, a stream or a shard, by name.
    pub async fn stats(&self, of: Stats<'_>) -> Result<Vec<(String, u64)>> {
        self.ask(&of, |answer| answer.stats.iter().map(|stat| (stat.name.to_owned(), stat.value)).collect()).await
    }

    /// The offset that a place in a shard stands for now, and the shard's bounds.
    pub async fn position(&self, shard: &ShardDescription, start: Start) -> Result<PositionAnswer> {
        let operation = Position { group: shard.group, start };
        self.retry(true, async || {
            let connection = self.connection_to(shard.worker).await?;
            let message = connection.call(&operation, self.shared.options.request_timeout).await?;
            result::<Position, _>(&message, |answer| answer)
        })
        .await
    }

    /// A producer for a stream.
    pub async fn producer(&self, stream: &str, options: ProducerOptions) -> Result<Producer<R>> {
        Producer::open(self.clone(), stream, options).await
    }

    /// A consumer of one shard of a stream, from a place on.
    pub async fn consumer(
        &self,
        stream: &str,
        shard: ShardNumber,
        start: Start,
        options: ConsumerOptions,
    ) -> Result<Consumer<R>> {
        Consumer::open(self.clone(), stream, shard, start, options).await
    }

    /// A consumer of all shards of a stream, each from the same kind of place on. Offsets differ from shard to shard:
    /// [`Start::At`] and [`Start::After`] are for single shards.
    pub async fn merged(&self, stream: &str, start: Start, options: ConsumerOptions) -> Result<Merged<R>> {
        Merged::open(self.clone(), stream, start, options).await
    }

    /// A connection to the worker that owns a shard: to its own port, or to the shared address if that cannot be reached
    /// (any worker forwards what is another's).
    pub async fn connection_to(&self, worker: WorkerId) -> Result<Connection<R>> {
        let slot = Rc::clone(self.shared.workers.borrow_mut().entry(worker).or_insert_with(|| Rc::new(Slot::new())));
        let _turn = match slot.alive_or_turn().await {
            Ok(connection) => return Ok(connection),
            Err(turn) => turn,
        };
        let connection = match self.open_direct(worker).await {
            Some(connection) => connection,
            None => {
                // The handshake there brings the ports of now: a node that restarted may have new ones.
                let before = self.direct_port(worker);
                let main = self.main().await?;
                match (self.direct_port(worker) != before, main.node().worker == worker) {
                    (true, false) => self.open_direct(worker).await.unwrap_or(main),
                    _ => main,
                }
            }
        };
        *slot.connection.borrow_mut() = Some(connection.clone());
        Ok(connection)
    }

    /// The connection to the shared address.
    async fn main(&self) -> Result<Connection<R>> {
        let slot = &self.shared.main;
        let _turn = match slot.alive_or_turn().await {
            Ok(connection) => return Ok(connection),
            Err(turn) => turn,
        };
        let connection = self.open(self.shared.addr).await?;
        *self.shared.node.borrow_mut() = Rc::clone(connection.node());
        *slot.connection.borrow_mut() = Some(connection.clone());
        Ok(connection)
    }

    fn direct_port(&self, worker: WorkerId) -> Option<u16> {
        let node = self.shared.node.borrow();
        node.direct_ports.get(usize::from(worker.0)).copied().filter(|port| *port != 0)
    }

    async fn open_direct(&self, worker: WorkerId) -> Option<Connection<R>> {
        let addr = SocketAddr::new(self.shared.addr.ip(), self.direct_port(worker)?);
        let node_id = self.shared.node.borrow().node_id;
        match self.open(addr).await {
            Ok(connection) if (connection.node().node_id, connection.node().worker) == (node_id, worker) => {
                Some(connection)
            }
            // Somebody else got the port.
            Ok(_) => None,
            Err(why) => {
                tracing::debug!(%addr, %why, "a worker's own port cannot be reached");
                None
            }
        }
    }

    async fn open(&self, addr: SocketAddr) -> Result<Connection<R>> {
        let ClientOptions { name, token, connect_timeout, .. } = &self.shared.options;
        Connection::open(&self.shared.rt, addr, name, token, *connect_timeout).await
    }

    /// An operation that may be carried out twice, because it changes nothing or sets what it set before: tried again
    /// whatever the reason, as long as it passes.
    async fn ask<O: Operation, T>(&self, operation: &O, mut read: impl FnMut(O::Answer<'_>) -> T) -> Result<T> {
        self.retry(true, async || self.once(operation, &mut read).await).await
    }

    /// An operation that may not be carried out twice: tried again only if it certainly did nothing.
    async fn change<O: Operation, T>(&self, operation: &O, mut read: impl FnMut(O::Answer<'_>) -> T) -> Result<T> {
        self.retry(false, async || self.once(operation, &mut read).await).await
    }

    async fn once<O: Operation, T>(&self, operation: &O, read: impl FnMut(O::Answer<'_>) -> T) -> Result<T> {
        let connection = self.main().await?;
        let message = connection.call(operation, self.shared.options.request_timeout).await?;
        result::<O, _>(&message, read)
    }

    async fn retry<T>(&self, harmless: bool, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let Shared { rt, options, .. } = &*self.shared;
        let deadline = rt.now().plus(options.retry_for.as_micros() as u64);
        let mut backoff = Backoff::default();
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again = match error.class() {
                ErrorClass::RetryNow | ErrorClass::RetryAfter => true,
                ErrorClass::OutcomeUnknown => harmless,
                // Where the shard is now is the caller's to find out.
                ErrorClass::RefreshMap => false,
                ErrorClass::CallerBug | ErrorClass::Gone | ErrorClass::Full | ErrorClass::Conflict => false,
            };
            let wait = backoff.next(rt.random(), error.retry_after_ms());
            if !again || rt.now().plus(wait.as_micros() as u64) >= deadline {
                return Err(error);
            }
            rt.sleep(wait).await;
        }
    }
}

/// The node checks names by its own rules; here only what cannot be sent is refused.
fn check_name(name: &str) -> Result<()> {
    check_length(name, STREAM_NAME_BYTES_MAX, "a stream's name has 1 to 128 bytes")
}

/// Refuses what no message has room for.
fn check_length(text: &str, bytes_max: usize, rule: &'static str) -> Result<()> {
    if text.is_empty() || text.len() > bytes_max { Err(Error::Argument(rule)) } else { Ok(()) }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
