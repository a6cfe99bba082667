//! Millstream: a streaming storage node for bare-metal Linux with the data model of Amazon Kinesis Data Streams.
//!
//! The modules, bottom-up. Arrows between them run downwards only; `tests/tidy.rs` holds the list.

pub mod types;

pub mod limits;

pub mod codec;

pub mod format;

pub mod runtime;

pub mod catalog;
pub mod log;
pub mod shard;

pub mod protocol;

#[cfg(feature = "kinesis")]
pub mod kinesis;

#[cfg(feature = "sim")]
pub mod sim;

pub mod engine;

pub mod server;

pub mod client;

#[cfg(feature = "config")]
pub mod config;

#[cfg(feature = "cli")]
pub mod cli;
