//! HTTP connections.

pub mod body;
pub mod turns;
