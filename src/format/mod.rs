//! Bytes at rest: frames, records, segments, index files, file names. Everything here is pure; FORMAT.md shows the bytes.
//!
//! `format` knows no clock, no file and no runtime. It turns facts into bytes and bytes into facts or errors.
#![forbid(unsafe_code)]
#![forbid(unsafe_code)]

pub mod frame;
pub mod index;
pub mod names;
pub mod node;
pub mod record;
pub mod sealed;
pub mod segment;

use crate::limits::BLOCK_BYTES;

/// `bytes` rounded up to the block size.
#[must_use]
pub const fn block_up(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES as u64)
}

/// `bytes` rounded down to the block size.
#[must_use]
pub const fn block_down(bytes: u64) -> u64 {
    bytes - bytes % BLOCK_BYTES as u64
}
