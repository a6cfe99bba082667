//! What workers have to do after a command was applied.

use crate::catalog::consumer::ConsumerId;
use crate::catalog::settings::Settings;
use crate::types::{GroupId, ShardNumber, StreamId, WallUs, WorkerId};

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
        /// Records that arrived before this are gone, whatever the retention is.
        expired_before: WallUs,
    },
    /// Owners turn puts and reads away and free the storage of their shards; when all have, somebody sends
    /// `ForgetStream`. The name is free already.
    StreamDeleting {
        /// The stream.
        stream: StreamId,
        /// All its shards, in whatever state.
        shards: Vec<Placed>,
    },
    /// The stream is gone from the state.
    StreamForgotten {
        /// The stream.
        stream: StreamId,
        /// The shards it had.
        shards: Vec<Placed>,
    },
    /// Somebody has the owners of the children create their logs, learns the ends of the parents, and sends
    /// `FinishReshard`.
    ReshardBegun {
        /// The stream.
        stream: StreamId,
        /// The shards that are split or merged, by number. They still take puts.
        parents: Vec<Placed>,
        /// The shards that will take their keys, by number.
        children: Vec<Placed>,
    },
    /// Owners of the closed shards turn puts away and wake all who wait; owners of the opened ones let puts in.
    ReshardFinished {
        /// The stream.
        stream: StreamId,
        /// The parents, by number. Their ends are in the state.
        closed: Vec<Placed>,
        /// The children, by number.
        opened: Vec<Placed>,
    },
    /// Somebody carries out reshards until the stream has that many shards of equal ranges.
    ScalingBegun {
        /// The stream.
        stream: StreamId,
        /// Their number.
        target: u32,
    },
    /// The stream is no longer being scaled: it has come to its target, or it has been given up.
    ScalingEnded {
        /// The stream.
        stream: StreamId,
    },
    /// The owner before hands the shard over to the new one.
    ShardMoved {
        /// The stream.
        stream: StreamId,
        /// The shard, where it is now.
        shard: Placed,
        /// Where it was, before wrapping.
        from: WorkerId,
    },
    /// Owners turn reads away and free the storage of these; when all have, somebody sends `ForgetShards`.
    ShardsExpired {
        /// The stream.
        stream: StreamId,
        /// The shards.
        shards: Vec<Placed>,
    },
    /// The shards are gone from the state.
    ShardsForgotten {
        /// The stream.
        stream: StreamId,
        /// The shards.
        shards: Vec<Placed>,
    },
    /// Something was noted that concerns no shard: tags, encryption, monitoring or a policy.
    MetadataUpdated {
        /// The stream.
        stream: StreamId,
    },
    /// Owners let the consumer subscribe.
    ConsumerRegistered {
        /// The stream.
        stream: StreamId,
        /// The new consumer.
        consumer: ConsumerId,
    },
    /// Owners end the consumer's subscriptions.
    ConsumerDeregistered {
        /// The stream.
        stream: StreamId,
        /// The consumer; it is gone from the state.
        consumer: ConsumerId,
    },
    /// A stored value is as the command wanted it. For whoever sent the command: workers need not act.
    Stored {
        /// The version it has now; `None` if it is gone.
        version: Option<u64>,
        /// The token of its lease, if it has one now.
        token: Option<u64>,
    },
}
