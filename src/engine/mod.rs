//! Procedures on one worker: the writer and the reader of a log, recovery, retention, shards, the catalogue's log.
//!
//! Everything here is generic over one `R: Runtime` and runs unchanged in the simulator. The rule throughout: decide under
//! a short borrow, drop it, then await; after an await nothing decided before it is taken for granted.
//!
//! `engine` knows no protocol: it takes typed operations and gives typed results.
#![forbid(unsafe_code)]

pub mod catalog;
pub mod data_dir;
pub mod env;
pub mod freeing;
pub mod inspect;
pub mod log;
pub mod read;
pub mod recover;
pub mod retention;
pub mod segments;
pub mod shard;
pub mod shards;
pub mod slice;
#[cfg(all(test, feature = "sim"))]
pub(crate) mod testing;
pub mod turns;
pub mod whole_file;
