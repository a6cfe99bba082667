//! Streams, shards and their placement: a deterministic state machine, commands in, events out.
//!
//! The catalogue is a log of commands, kept by the same engine as every shard's log. Each worker holds a copy of the
//! state and applies the same commands in the same order, so all copies are equal; later a Raft group replicates the
//! commands to other machines.
//!
//! Design constraints:
//! - Pure and deterministic: no clock, no randomness, no file. Time and the number of workers are in the command.
//! - Values are checked against [`crate::limits`] before a command enters the log and never again: a later build with
//!   tighter limits has to replay what this one admitted. Whether a command fits the *state* is checked on every
//!   application, and a command that does not fit changes nothing, on every copy alike.
//! - Encodings carry a version and a kind, so that both can grow.
//!
//! Operation: [`Catalog::check`] a command, write it to the log, and once it is committed [`Catalog::apply`] it on every
//! worker and act on the [`Event`]s. The life of a stream:
//!
//! ```text
//!           CreateStream            ActivateStream           DeleteStream           ForgetStream
//! (nothing) ------------> Creating ---------------> Active -------------> Deleting ------------> (nothing)
//!                            |      all its logs      ^ |     ^              ^     its storage
//!                            |      are on disk       | v     |              |     is freed
//!                            |                     Updating --|--------------|
//!                            +--------------------------------|--------------+
//! ```
//! It is updating exactly while a reshard is pending or a scaling target is set. Its name is free as soon as it is being
//! deleted. The life of a shard:
//!
//! ```text
//!            CreateStream
//! (nothing) ----------------------------> Open ---------------> Closed -------------> Expired ------------> (nothing)
//!     |                                    ^    FinishReshard          ExpireShards           ForgetShards
//!     |  Reshard             FinishReshard |    its log has            its records            its storage
//!     +------------> Pending --------------+    come to its end        have expired           is freed
//!                      its log is on disk
//! ```
//! A reshard is two commands, so that a crash between them loses nothing: with the first the children get their numbers and
//! places, and the parents go on taking puts; with the second the parents are closed, with their ends, and the children are
//! open. Whoever finds a reshard pending after a crash goes on to the second.
//!
//! Recovery: [`Catalog::decode_snapshot`], then every command in frames from [`Applied::end`] on.

#![forbid(unsafe_code)]

mod apply;
pub mod autoscale;
pub mod command;
pub mod consumer;
mod encoding;
pub mod error;
pub mod event;
mod fields;
mod fits;
pub mod metadata;
mod placement;
pub mod plan;
pub mod range;
pub mod reshard;
pub mod settings;
pub mod shard;
mod snapshot;
mod state;
pub mod store;
pub mod stream;

#[cfg(test)]
mod tests;

pub use command::{Command, CreateStream, Reshard};
pub use consumer::{Consumer, ConsumerId};
pub use error::CatalogError;
pub use event::{Event, Placed};
pub use metadata::{Encryption, Metadata, ShardMetrics, Tags};
pub use range::HashRange;
pub use reshard::ReshardOp;
pub use settings::{Bounds, CustomLimits, Distribution, Limits, Mode, Settings, SettingsChange};
pub use shard::{Shard, ShardState};
pub use state::{Applied, Catalog, FIRST_SHARD_GROUP};
pub use store::{Expect, Item, Lease, Name, Store, StoreCommand, StoreError};
pub use stream::{PendingReshard, Status, Stream};
