//! What workers say to each other. Everything here can cross threads: frames travel as copies, everything else by value.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::catalog::plan::Plan;
use crate::catalog::{
    Catalog, Command, Consumer, Item, ReshardOp, Settings, SettingsChange, Shard, ShardMetrics, StoreCommand, Tags,
};
use crate::engine::log::{End, Receipt};
use crate::engine::shards::Opened;
use crate::format::node::NodeFile;
use crate::protocol::messages::ReadState;
use crate::server::failure::Failure;
use crate::server::pipes::{Asked, Held};
use crate::server::worker::{EachPut, Via};
use crate::shard::fanout::Ticket;
use crate::shard::position::{Bounds, Start};
use crate::types::{GroupId, Offset, ProducerStamp, ShardNumber, StreamId, Traffic, WorkerId};

/// One message.
pub enum Mail {
    /// Worker 0 has opened the data directory and the catalogue: open your shards.
    Boot(Box<Boot>),
    /// The data directory cannot be opened: stop.
    Abort,
    /// The sender's shards are open.
    Ready(Box<Ready>),
    /// All workers are ready: take connections.
    Start(Box<Opening>),
    /// Do this and reply.
    Request {
        /// The sender's number for it.
        id: u64,
        /// What to do.
        op: Op,
    },
    /// What came of a request.
    Reply {
        /// The number the request came with.
        id: u64,
        /// What came of it.
        answer: Answer,
    },
}

/// What every worker needs to know to begin.
pub struct Boot {
    /// The node's identity and term.
    pub node: NodeFile,
    /// The catalogue.
    pub catalog: Catalog,
}

/// What a worker has opened.
pub struct Ready {
    /// The worker's own port.
    pub direct_port: u16,
    /// Its shards.
    pub opened: Opened,
}

/// What every worker needs to know to take connections.
#[derive(Clone)]
pub struct Opening {
    /// The direct ports, by worker.
    pub ports: Vec<u16>,
    /// Shards that were found damaged, of all workers.
    pub quarantined: BTreeSet<GroupId>,
}

/// An operation on another worker.
pub enum Op {
    /// Store a batch.
    Put {
        /// The shard.
        group: GroupId,
        /// The stamp of an idempotent producer.
        producer: Option<ProducerStamp>,
        /// Records in the body.
        record_count: u32,
        /// CRC-32 of the body, if its producer summed it.
        body_crc: Option<u32>,
        /// The records.
        body: Bytes,
        /// Whether each record passes the stream's limits, or does not, by itself.
        each: bool,
    },
    /// Read frames.
    Get {
        /// The shard.
        group: GroupId,
        /// The first record wanted.
        from: Offset,
        /// How much at most.
        bytes_max: u32,
        /// On whose account.
        via: Via,
    },
    /// Wait until there is something to read. Apart from [`Op::Get`], so that waiting holds no room for bytes.
    Wait {
        /// The shard.
        group: GroupId,
        /// The first record wanted.
        from: Offset,
        /// How long at most.
        wait_ms: u32,
        /// On whose account.
        via: Via,
    },
    /// Wait until a subscription that may not be sent records has something to learn.
    Watch {
        /// The shard.
        group: GroupId,
        /// The pipe of a registered consumer that it reads through.
        pipe: Option<Held>,
        /// Where the shard ends, if the subscription knows that.
        end: Option<Offset>,
    },
    /// Resolve a position.
    Position {
        /// The shard.
        group: GroupId,
        /// Where to start.
        start: Start,
    },
    /// Give a consumer's pipe from a shard to a new subscription.
    TakePipe(Asked),
    /// A subscription through a pipe has ended.
    LeavePipe(Held),
    /// Counters of one shard, of a stream's shards, or of all.
    Stats(Scope),
    /// What the shards of a stream that take puts take in.
    Traffic(StreamId),
    /// Make the logs of shards that are pending, where there are none yet.
    Make(Vec<GroupId>),
    /// Hold puts to a shard, and say where it ends once everything accepted is durable.
    Seal(GroupId),
    /// Let puts in again.
    Unseal(GroupId),
    /// Let go of a shard that another worker will open.
    HandOver(GroupId),
    /// Take a shard back that no other worker has opened.
    TakeBack(GroupId),
    /// Free the storage of shards; they are turned away already.
    Free(Vec<GroupId>),
    /// A shard was found damaged: it is described so, and is not changed any more.
    Quarantine(GroupId),
    /// Change the catalogue. For worker 0.
    Admin(AdminOp),
    /// A command is in force: take it over, and do what it asks of the owner of shards.
    Apply(Command),
}

/// Whose counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All shards of the worker, and its own.
    Worker,
    /// The shards of one stream.
    Stream(StreamId),
    /// One shard.
    Shard(GroupId),
}

/// A change of the catalogue, or a look at what only worker 0 knows, as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminOp {
    /// Create a stream.
    Create {
        /// Its name.
        name: String,
        /// Its number of shards.
        shards: u32,
        /// Settings that differ from the node's defaults.
        settings: SettingsChange,
        /// Its tags.
        tags: Tags,
    },
    /// Change settings.
    Update {
        /// The stream's name.
        name: String,
        /// What changes.
        change: SettingsChange,
    },
    /// Delete a stream with everything in it.
    Delete {
        /// The stream's name.
        name: String,
        /// Whether registered consumers go with it.
        enforce: bool,
    },
    /// Split or merge shards.
    Reshard {
        /// The stream's name.
        name: String,
        /// What to split or merge.
        op: ReshardOp,
    },
    /// Bring a stream to a number of equal shards.
    Scale {
        /// The stream's name.
        name: String,
        /// How many.
        target: u32,
    },
    /// Move a shard to another worker.
    Move {
        /// The stream's name.
        name: String,
        /// The shard.
        shard: ShardNumber,
        /// The worker.
        to: WorkerId,
    },
    /// Note something about a stream, or about a consumer of it.
    Note {
        /// The stream's name.
        name: String,
        /// The consumer's name, if it is about one.
        consumer: Option<String>,
        /// What.
        note: Note,
    },
    /// Register a consumer.
    Register {
        /// The stream's name.
        name: String,
        /// The consumer's name.
        consumer: String,
        /// Its tags.
        tags: Tags,
    },
    /// Remove a consumer.
    Deregister {
        /// The stream's name.
        name: String,
        /// The consumer's name.
        consumer: String,
    },
    /// Stored values and leases.
    Store(StoreOp),
}

/// Something carried along with a stream or a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Tags to set, and keys of tags to remove.
    Tags(Tags, Vec<String>),
    /// The encryption key; `None` for no encryption.
    Encryption(Option<String>),
    /// The metrics wanted for each shard.
    Monitoring(ShardMetrics),
    /// The resource policy; `None` for none.
    Policy(Option<String>),
}

/// An operation on stored values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Change a value or a lease.
    Change(StoreCommand),
    /// Read a value.
    Get {
        /// Its space.
        space: String,
        /// Its key.
        key: String,
    },
    /// Read the values of a space, by key.
    List {
        /// The space.
        space: String,
        /// What the keys begin with.
        prefix: String,
        /// Keys up to this one are left out.
        after: String,
        /// How many at most.
        limit: usize,
    },
    /// Let leases last for their full time again.
    Renew {
        /// The space.
        space: String,
        /// Keys, and the tokens of the leases on them.
        renewals: Vec<(String, u64)>,
    },
}

/// What a change of the catalogue led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminDone {
    /// Of [`AdminOp::Create`] and [`AdminOp::Update`].
    Stream {
        /// The stream.
        stream: StreamId,
        /// Its settings.
        settings: Settings,
        /// The catalogue's version after the change.
        version: u64,
    },
    /// Of [`AdminOp::Reshard`].
    Resharded {
        /// The catalogue's version after the change.
        version: u64,
        /// The shards that were opened.
        children: Vec<Shard>,
    },
    /// Of [`AdminOp::Scale`].
    Scaled {
        /// The catalogue's version after the last step.
        version: u64,
        /// The steps that were taken.
        plan: Plan,
    },
    /// Of [`AdminOp::Register`].
    Registered {
        /// The catalogue's version after the change.
        version: u64,
        /// The consumer.
        consumer: Consumer,
    },
    /// Of [`AdminOp::Store`].
    Store(StoreDone),
    /// Of all others: the catalogue's version after the change.
    Version(u64),
}

/// What came of an operation on stored values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreDone {
    /// The version a value has now.
    Version(u64),
    /// There is no value now; whether there was one.
    Deleted(bool),
    /// The lease that was granted, and the value it is on.
    Claimed(u64, Stored),
    /// Values, and whether there are more.
    Items(Vec<Stored>, bool),
    /// By lease: whether it is still held.
    Held(Vec<bool>),
}

/// A stored value as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Version and value, and who has the lease.
    pub item: Item,
    /// Milliseconds that the lease still lasts, if there is one.
    pub remaining_ms: u32,
}

/// What came of an operation.
pub enum Answer {
    /// Of [`Op::Put`]: what was stored, and which records passed the stream's limits if each was looked at by itself. No
    /// receipt if none passed.
    Put(Result<(Option<Receipt>, EachPut), Failure>),
    /// Of [`Op::Get`]: frames, and where the reader stands.
    Get(Result<(Bytes, ReadState), Failure>),
    /// Of [`Op::Wait`]: look again.
    Waited,
    /// Of [`Op::Watch`]: where the shard ends, if it is closed.
    Watched(Result<Option<Offset>, Failure>),
    /// Of [`Op::Position`].
    Position(Result<(Offset, Bounds), Failure>),
    /// Of [`Op::TakePipe`].
    Pipe(Result<Ticket, Failure>),
    /// Of [`Op::Stats`].
    Stats(Result<Vec<(&'static str, u64)>, Failure>),
    /// Of [`Op::Traffic`].
    Traffic(Vec<(ShardNumber, Traffic)>),
    /// Of [`Op::Seal`].
    Sealed(Result<End, Failure>),
    /// Of [`Op::Admin`].
    Admin(Result<AdminDone, Failure>),
    /// Of [`Op::Free`]: whether everything is gone; not if the node stops before that.
    Freed(bool),
    /// Of all others.
    Done(Result<(), Failure>),
}
