//! The bodies of the fuzz targets: each takes any bytes, and panics if the code under test does something it must not do.
//!
//! Random bytes never get past a checksum. So most targets sum what they were given before they decode it, and those for
//! logs build intact frames from their input and then spoil some.

pub mod catalog_command;
pub mod catalog_snapshot;
pub mod config;
mod cursor;
pub mod frame;
pub mod http_port;
pub mod index;
pub mod kinesis_head;
pub mod kinesis_input;
pub mod kinesis_put;
pub mod kinesis_texts;
pub mod native_answer;
pub mod native_port;
pub mod native_request;
mod node;
pub mod record;
pub mod recovery;
pub mod small_files;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target, by name.
pub const TARGETS: &[(&str, Body)] = &[
    ("catalog_command", catalog_command::run),
    ("catalog_snapshot", catalog_snapshot::run),
    ("config", config::run),
    ("frame", frame::run),
    ("http_port", http_port::run),
    ("index", index::run),
    ("kinesis_head", kinesis_head::run),
    ("kinesis_input", kinesis_input::run),
    ("kinesis_put", kinesis_put::run),
    ("kinesis_texts", kinesis_texts::run),
    ("native_answer", native_answer::run),
    ("native_port", native_port::run),
    ("native_request", native_request::run),
    ("record", record::run),
    ("recovery", recovery::run),
    ("small_files", small_files::run),
];
