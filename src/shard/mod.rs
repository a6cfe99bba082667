//! Decisions about one Kinesis shard: what to accept, whom to answer, where to start reading.
//!
//! Everything here is pure and synchronous. `shard` knows no log, no file, no clock and no catalogue: it is told facts
//! (bytes, offsets, watermarks, times) and answers with verdicts; the engine puts them into effect.
//!
//! | module | decides |
//! |---|---|
//! | [`admission`] | whether a put may be accepted now, must wait, or is refused and why |
//! | [`producers`] | whether a batch of an idempotent producer is new, a resend, or out of turn |
//! | [`acks`] | which accepted puts can be answered at a durable watermark |
//! | [`position`] | the offset a reader starts from |
//! | [`sequence`] | the sequence numbers that Kinesis clients see |
//! | [`throttle`] | whether a put, a read or a push is within the stream's limits, and if not, when it will be |
//! | [`traffic`] | how much the shard takes in and which hash keys it comes from |
//! | [`latency`] | how long puts and reads take |
//! | [`fanout`] | who of a registered consumer gets the shard's records pushed |

#![forbid(unsafe_code)]

pub mod acks;
pub mod admission;
pub mod fanout;
pub mod latency;
pub mod position;
pub mod producers;
pub mod sequence;
pub mod throttle;
pub mod traffic;
