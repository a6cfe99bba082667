//! Bytes at rest: frames, records, segments, index files, file names. Everything here is pure; FORMAT.md shows the bytes.
//!
//! `format` knows no clock, no file and no runtime. It turns facts into bytes and bytes into facts or errors.

#![forbid(unsafe_code)]

pub mod frame;
pub mod record;
