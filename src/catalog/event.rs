//! What workers have to do after a command was applied.

use crate::catalog::stream::Settings;
use crate::types::{GroupId, ShardNumber, StreamId, WorkerId};

/// A shard and where it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placed {
    /// Its incarnation: names its log.
    pub group: GroupId,
    /// Its number in the stream.
    pub shard: ShardNumber,
    /// The worker it was placed on, before wrapping: see [`Shard::worker`](super::Shard::worker).
    pub placed_on: WorkerId,
}

/// A change that workers act upon. The state is the new one already, so an event says only what it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Owners create the logs of their shards; when all have, somebody sends `ActivateStream`.
    StreamCreating {
        /// The stream.
        stream: StreamId,
        /// All its shards.
        shards: Vec<Placed>,
    },
    /// Owners let puts in.
    StreamActive {
        /// The stream.
        stream: StreamId,
    },
    /// Owners take over the new settings.
    StreamUpdated {
        /// The stream.
        stream: StreamId,
        /// All its settings, old and new.
        settings: Settings,
    },
    /// Owners turn puts and reads away and free the storage of their shards; when all have, somebody sends
    /// `ForgetStream`.
    StreamDeleting {
        /// The stream.
        stream: StreamId,
        /// All its shards.
        shards: Vec<Placed>,
    },
    /// The stream and its name are gone from the state.
    StreamForgotten {
        /// The stream.
        stream: StreamId,
        /// The shards it had.
        shards: Vec<Placed>,
    },
}
