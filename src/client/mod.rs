//! The native client: sans-IO session, routing to the owning worker, batching producer, consumers by get and by push.
//!
//! Everything is generic over one parameter, the [`Reactor`](crate::runtime::Reactor): the same client runs in ordinary
//! programs (on tokio), inside the node's own tools and in the simulator. As everything behind that seam it belongs to
//! one thread: handles are cheap to clone and are not `Send`.
//!
//! Reading order, from the bytes up: [`session`] (what one connection says and hears, pure), [`connection`] (a session
//! driven over a socket), [`shard_map`] (which shard a key belongs to), [`client`] (catalogue operations, a connection per
//! worker), [`producer`] (batches, stamps, resends), [`consumer`] (one shard), [`merged`] (all shards of a
//! stream), [`group`] (members of an application that share them).
//!
//! ```no_run
//! # #[cfg(feature = "tokio")] {
//! use millstream::client::{Client, ClientOptions, ConsumerOptions, ProducerOptions, Start};
//! use millstream::runtime::tokio::block_on;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! block_on(async |rt| -> Result<(), millstream::client::Error> {
//!     let client = Client::connect(rt, "127.0.0.1:7411".parse().unwrap(), ClientOptions::default()).await?;
//!     let producer = client.producer("orders", ProducerOptions::default()).await?;
//!     let ack = producer.put("user-1", b"hello").await?;
//!     println!("stored in {} at offset {:?}", ack.shard, ack.offset);
//!
//!     let mut consumer = client.consumer("orders", ack.shard, Start::Horizon, ConsumerOptions::default()).await?;
//!     if let Some(record) = consumer.next().await.transpose()? {
//!         println!("{} {}: {} bytes", record.offset, record.key(), record.data().len());
//!     }
//!     producer.close().await
//! })??;
//! # Ok(()) }
//! # }
//! ```

#[allow(clippy::module_inception, reason = "the noun of this file is the client")]
pub mod client;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod group;
pub mod merged;
pub mod producer;
pub mod session;
pub mod shard_map;

#[cfg(all(test, feature = "sim"))]
mod testing;

mod backoff;

pub use client::{Client, ClientOptions, Item, Leased, Metadata, RegisteredConsumer, StreamDescription, StreamInfo};
pub use consumer::{Consumer, ConsumerOptions, FrameBatch, Mode, Record, Stop};
pub use error::{Error, FramesError, Result};
pub use merged::Merged;
pub use producer::{Ack, Producer, ProducerOptions, Ticket};
pub use session::NodeInfo;
pub use shard_map::ShardMap;

pub use crate::protocol::messages::{
    CapacityMode, ChildShard, CustomLimits, Distribution, Expect, MetadataChange, ReshardAnswer, ScaleKind, ScaleStep,
    ScaleStreamAnswer, SettingsChange, ShardDescription, ShardEnd, ShardState, Start, StreamLimits, StreamSettings,
    StreamStatus, Tag,
};
