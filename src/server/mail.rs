//! What workers say to each other. Everything here can cross threads: frames travel as copies, everything else by value.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::catalog::{Catalog, Command, Settings, SettingsChange};
use crate::engine::log::Receipt;
use crate::engine::shards::Opened;
use crate::format::node::NodeFile;
use crate::protocol::messages::ReadState;
use crate::server::failure::Failure;
use crate::shard::position::{Bounds, Start};
use crate::types::{GroupId, Offset, ProducerStamp, StreamId};

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
        /// CRC-32 of the body.
        body_crc: u32,
        /// The records.
        body: Bytes,
    },
    /// Read frames.
    Get {
        /// The shard.
        group: GroupId,
        /// The first record wanted.
        from: Offset,
        /// How much at most.
        bytes_max: u32,
    },
    /// Wait until there is something to read. Apart from [`Op::Get`], so that waiting holds no room for bytes.
    Wait {
        /// The shard.
        group: GroupId,
        /// The first record wanted.
        from: Offset,
        /// How long at most.
        wait_ms: u32,
    },
    /// Resolve a position.
    Position {
        /// The shard.
        group: GroupId,
        /// Where to start.
        start: Start,
    },
    /// Counters of one shard, of a stream's shards, or of all.
    Stats(Scope),
    /// Change the catalogue. For worker 0.
    Admin(AdminOp),
    /// A command is in force: take it over, and do what it asks of the owner of shards.
    Apply(Command),
    /// Free the storage of the shards of a deleted stream; answered once nothing is left of them.
    FreeStream(StreamId),
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

/// A change of the catalogue, as a client asks for it.
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
    },
}

/// What a change of the catalogue led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminDone {
    /// The stream.
    pub stream: StreamId,
    /// Its settings.
    pub settings: Settings,
    /// The catalogue's version after the change.
    pub version: u64,
}

/// What came of an operation.
pub enum Answer {
    /// Of [`Op::Put`].
    Put(Result<Receipt, Failure>),
    /// Of [`Op::Get`]: frames, and where the reader stands.
    Get(Result<(Bytes, ReadState), Failure>),
    /// Of [`Op::Wait`]: look again.
    Waited,
    /// Of [`Op::Position`].
    Position(Result<(Offset, Bounds), Failure>),
    /// Of [`Op::Stats`].
    Stats(Result<Vec<(&'static str, u64)>, Failure>),
    /// Of [`Op::Admin`].
    Admin(Result<AdminDone, Failure>),
    /// Of [`Op::Apply`].
    Applied(Result<(), Failure>),
}
