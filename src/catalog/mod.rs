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
//!                            |      all its logs      ^ |                    ^     its storage
//!                            |      are on disk       +-+ UpdateStream       |     is freed
//!                            +-----------------------------------------------+
//! ```
//! A name is taken until its stream is forgotten, as in Kinesis.
//!
//! Recovery: [`Catalog::decode_snapshot`], then every command in frames from [`Applied::end`] on.

#![forbid(unsafe_code)]

pub mod autoscale;
pub mod command;
pub mod error;
pub mod event;
mod placement;
pub mod plan;
pub mod range;
mod snapshot;
mod state;
pub mod stream;

#[cfg(test)]
mod tests;

pub use command::{Command, CreateStream};
pub use error::CatalogError;
pub use event::{Event, Placed};
pub use range::HashRange;
pub use state::{Applied, Catalog, FIRST_SHARD_GROUP};
pub use stream::{Closed, Settings, SettingsChange, Shard, Status, Stream};
