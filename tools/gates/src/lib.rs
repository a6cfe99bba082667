//! What one operation of a node costs, in units that no clock measures.
//!
//! - `millstream-instructions` runs a node on the simulator, does so many operations and ends; `perf/instructions` counts its
//!   instructions under callgrind.
//! - `tests/allocations.rs` runs a node on the real machine and counts the allocations of its worker.
//!
//! Both are about the node's code, not about the machine below it: [`watched`] puts itself between the two, at the seam, and
//! [`sides`] knows at any time on which side of it the thread is.

pub mod load;
pub mod node;
pub mod sides;
pub mod watched;
