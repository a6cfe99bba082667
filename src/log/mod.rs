//! Decisions about one log: what the next frame looks like, which frame may follow which, where a record lies, when to
//! roll, what recovery makes of what it finds. Pure and synchronous: no clock, no file, no await.
#![forbid(unsafe_code)]

pub mod blanking;
pub mod gather;
pub mod marks;
pub mod recovery;
pub mod sizing;
pub mod tip;
