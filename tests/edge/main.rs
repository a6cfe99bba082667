//! The edge of a whole node on the simulator, from raw connections: bad input, bounds, forwarding, draining.
#![cfg(feature = "sim")]

mod bounds;
mod ending;
mod forwarding;
mod input;
mod world;
