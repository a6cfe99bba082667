//! The edge of a whole node on the simulator, from raw connections: bad input, bounds, forwarding, draining, live
//! streams, consumers, limits, the store.
#![cfg(feature = "sim")]

mod administration;
mod bounds;
mod consumers;
mod ending;
mod forwarding;
mod halfway;
mod input;
#[cfg(all(feature = "kinesis", feature = "cli"))]
mod kinesis;
mod limits;
mod live;
mod store;
mod traffic;
mod world;
