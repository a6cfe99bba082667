//! The HTTP front end's transport: raw bytes over simulated connections, and real clients against the real shell. What
//! requests of Kinesis mean is tested elsewhere; here a small handler answers.

#![cfg(feature = "kinesis")]

mod bounds;
mod frames;
mod http1;
mod http2;
mod shell;
mod world;
