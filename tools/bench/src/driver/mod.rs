//! What a run needs of a server, and who provides it: one [`Driver`] per protocol.
//!
//! Everything of a driver lives on one thread, inside the `LocalSet` of [`millstream::runtime::tokio::block_on`]; a run
//! with several generator threads connects once in each. Futures are not `Send`.
//!
//! A driver measures nothing. It hands records to the server as it was told to, says what became of each, and hands over
//! what it receives, in order. Times are taken by the caller: before [`Producer::send`], in [`Done`], and in the visitor of
//! [`Consumer::next`]; so a driver calls these at once when it knows, never later.

pub mod kinesis;
pub mod native;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use thiserror::Error;

use crate::workload::{Batch, ChangeKind, Changes, Durability, Read};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node, by the native protocol: host and port.
    Native {
        /// Its address.
        addr: std::net::SocketAddr,
        /// The authentication token; empty if it wants none.
        token: Vec<u8>,
    },
    /// An endpoint that speaks Kinesis: its URL.
    Kinesis {
        /// Its address, as `http://127.0.0.1:4567`.
        url: String,
    },
}

/// A stream to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSpec {
    /// Its name.
    pub name: String,
    /// Its shards.
    pub shards: u32,
    /// When puts are acknowledged; the server's default if not given.
    pub durability: Option<Durability>,
    /// The largest record, key and data together; the server's default if not given.
    pub record_bytes_max: Option<u32>,
}

/// What a server says of itself and of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Name and version.
    pub server: String,
    /// What an acknowledgement stands for: `fsync`, `interval`, `none`, `unknown`.
    pub durability: String,
    /// Settings, as far as it tells.
    pub settings: BTreeMap<String, String>,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// A short name to count by, the same for errors of one kind: `throttled`, `lost_connection`, `timeout`.
    pub kind: Cow<'static, str>,
    /// What happened, for people.
    pub message: String,
    /// The request may have been carried out.
    pub outcome_unknown: bool,
}

impl Failure {
    /// A failure that certainly changed nothing.
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), message: message.into(), outcome_unknown: false }
    }
}

/// A record to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The partition key.
    pub key: &'a str,
    /// The data.
    pub data: &'a [u8],
}

/// What the caller wants to know again when a record's outcome is known. A driver keeps it beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Number of its producer.
    pub producer: u32,
    /// Number of its key: a driver may keep what it computes of a key under it.
    pub key: u32,
    /// Number of the record among those of this producer and key.
    pub seq: u64,
    /// When the schedule wanted it sent.
    pub intended_ns: u64,
    /// When it was handed to [`Producer::send`].
    pub actual_ns: u64,
    /// Bytes of data.
    pub bytes: u32,
}

/// Told of records whose outcome became known together: stored, or why not. Called at once, from the driver's task.
pub type Done = Rc<dyn Fn(&[Sent], Result<(), &Failure>)>;

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first record that is kept.
    Start,
    /// After the last one.
    End,
}

/// A shard, and those that were split or merged into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardRef {
    /// Its number.
    pub number: u32,
    /// Those it goes on with the keys of, one or two; none if it was there from the beginning.
    pub parents: Vec<u32>,
}

/// What a call of [`Consumer::next`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Records handed to the visitor. None is no error: nothing came in time.
    pub records: u64,
    /// The shard is over: [`Consumer::children`] go on with its keys.
    pub ended: bool,
}

/// A way to talk to a server. One value per thread.
#[expect(async_fn_in_trait, reason = "everything stays on one thread")]
pub trait Driver: Sized + 'static {
    /// Sends.
    type Producer: Producer;
    /// Receives.
    type Consumer: Consumer;

    /// Its name in results: `native`, `kinesis`.
    const NAME: &'static str;

    /// Connects.
    async fn connect(target: &Target) -> Result<Self, Failure>;

    /// What the server says of itself and of a stream.
    async fn info(&self, stream: &str) -> Result<ServerInfo, Failure>;

    /// Creates a stream; when this resolves it takes records. One of that name is an error.
    async fn create_stream(&self, spec: &StreamSpec) -> Result<(), Failure>;

    /// Deletes a stream with its records.
    async fn delete_stream(&self, name: &str) -> Result<(), Failure>;

    /// The shards of a stream that can be read, closed ones too, by number.
    async fn shards(&self, stream: &str) -> Result<Vec<ShardRef>, Failure>;

    /// Changes a stream that is in use; `dice` decides what the kind leaves open. When this resolves the change is made.
    ///
    /// # Errors
    /// When it was refused: because another change is under way, or because the driver has no such change.
    async fn change(&self, stream: &str, change: ChangeKind, limits: &Changes, dice: u64) -> Result<(), Failure> {
        let _ = (stream, limits, dice);
        Err(Failure::new("unsupported", format!("{}: the {} driver changes no streams", change.name(), Self::NAME)))
    }

    /// A producer. `done` is told of every record for which [`Producer::send`] resolved with success, exactly once.
    async fn producer(&self, stream: &str, batch: &Batch, done: Done) -> Result<Self::Producer, Failure>;

    /// A consumer of one shard. When this resolves its place in the shard is fixed: records put from then on are received.
    async fn consumer(&self, stream: &str, shard: u32, from: From, read: &Read) -> Result<Self::Consumer, Failure>;
}

/// Sends records to a stream, in the order of [`Producer::send`] for each key.
#[expect(async_fn_in_trait, reason = "everything stays on one thread")]
pub trait Producer: 'static {
    /// Takes a record. Resolves at the first poll unless the server holds the producer back ([`Batch::buffer`] is full): a
    /// wait in here is back-pressure, and is measured as such. Dropping it before it resolves takes no record.
    ///
    /// # Errors
    /// When the record was not taken; it is certainly not stored then, and [`Done`] is not told.
    async fn send(&self, record: Outgoing<'_>, sent: Sent) -> Result<(), Failure>;

    /// Takes a record if that needs no wait and nothing is wrong with it. False: it was not taken, and [`Producer::send`] is to
    /// be called. Spares the usual case what a future costs.
    fn send_now(&self, record: &Outgoing<'_>, sent: &Sent) -> bool {
        let _ = (record, sent);
        false
    }

    /// Called when nothing more will be sent for now: whatever waits to become a fuller batch goes out.
    fn flush(&self);
}

/// Receives the records of one shard.
#[expect(async_fn_in_trait, reason = "everything stays on one thread")]
pub trait Consumer: 'static {
    /// Waits for records and hands each to `visit` (key, data), in the order of the shard, all in one go. Goes on by itself
    /// after what passes. Dropping it before it resolves loses nothing that was not visited.
    ///
    /// # Errors
    /// What did not pass. The caller counts it and calls again.
    async fn next(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Failure>;

    /// The shards that go on with the keys of this one, once it is over.
    ///
    /// # Errors
    /// What did not pass. The caller counts it and calls again.
    async fn children(&mut self) -> Result<Vec<ShardRef>, Failure>;
}
