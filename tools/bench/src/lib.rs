//! The measuring tool of Millstream: drives a node, or any endpoint that speaks Kinesis, with one workload description, and
//! measures put-ack and put-to-get latency, throughput and errors. README.md defines every figure.
//!
//! Reading order: [`workload`] (what is done), [`payload`] and [`verify`] (how a record is told apart and accounted for),
//! [`stats`] (how latencies are kept), [`pace`] (how intended times are met), [`driver`] (how a server is reached),
//! [`run`] (how all of it becomes a [`result::RunResult`]).
//!
//! A run is threads: producers and consumers have their own, each with a reactor of its own; one more listens to them.
//! What they send it once per slice is what an [`run::Observer`] sees: the live view, the files.

pub mod cli;
pub mod clock;
pub mod compare;
pub mod disk;
pub mod driver;
pub mod env;
pub mod findmax;
pub mod hlog;
pub mod human;
pub mod live;
pub mod net;
pub mod node;
pub mod null;
pub mod pace;
pub mod payload;
pub mod process;
pub mod report;
pub mod result;
pub mod rng;
pub mod run;
pub mod stats;
pub mod summary;
pub mod table;
#[cfg(test)]
mod testing;
pub mod units;
pub mod validity;
pub mod verify;
pub mod workload;
