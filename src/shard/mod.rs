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

#![forbid(unsafe_code)]

pub mod acks;
pub mod admission;
pub mod position;
pub mod producers;
pub mod sequence;
