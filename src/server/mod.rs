//! Procedures at the edge: the node, its workers, connections of the native protocol.
//!
//! A worker owns its shards and its connections. A request for a shard of another worker is forwarded through a bounded
//! mailbox ([`links`]) and answered as if it had been local. `server` holds no decision about data: it translates between
//! the protocol and typed operations of the engine.
//!
//! | module | what it is |
//! |---|---|
//! | [`node`] | start, readiness, drain and stop of all workers |
//! | [`worker`] | one worker: operations on shards, here or elsewhere |
//! | [`links`], [`mail`] | messages between workers |
//! | [`admin`] | changes of the catalogue, carried out on all workers |
//! | [`leases`], [`pipes`] | who holds what, for how long: stored values, registered consumers |
//! | [`router`] | records for a stream, each to its shard: shares, their fates, resharding meanwhile |
//! | [`connection`], [`requests`], [`outbox`], [`subscription`] | one native connection |
//! | `http` | connections of HTTP/1.1 and HTTP/2, with and without TLS: the transport of the Kinesis API |
//! | `kinesis` | the operations of the Kinesis API, carried out against the worker |
//! | [`failure`] | what can go wrong, and what each protocol says then |
#![forbid(unsafe_code)]

pub mod admin;
pub mod connection;
pub mod failure;
#[cfg(feature = "kinesis")]
pub mod http;
#[cfg(feature = "kinesis")]
pub mod kinesis;
pub mod leases;
pub mod links;
pub mod mail;
pub mod node;
pub mod outbox;
pub mod pipes;
pub mod put_keyed;
pub mod requests;
pub mod router;
pub mod subscription;
pub mod waiting;
pub mod worker;
