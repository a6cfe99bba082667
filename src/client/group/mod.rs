//! Members of an application that share the shards of a stream.
//!
//! [`plan`] decides, purely, what one member does next.

#![forbid(unsafe_code)]

pub mod plan;
