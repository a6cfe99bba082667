//! A disk of the tests' own under a real file system.
//!
//! ```text
//! the node ── io_uring, O_DIRECT ── ext4 or XFS ── loop device ── one file on FUSE ── this process: platter
//! ```
//! The kernel's own code runs from the node's system calls down to the loop device, journal and replay included. What the
//! device keeps is decided here: writes are remembered until the next flush, and [`Disk::cut`] drops, keeps, tears and
//! reorders what came after the last one, at sectors of 512 bytes, by a seed. From then on the handles that were open get
//! I/O errors; who opens the file again finds what has survived, as after the power came back.
//!
//! Start with [`platter`] (what survives), then [`served`] (the file), then [`mounted`] (loop device, file system, and that
//! nothing of it is left behind).
//!
//! What it does not do: break the promise of a flush that was answered, unless it is told to; tear a sector; fail reads.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool of the tests; runs in no node")]

pub mod dice;
pub mod filler;
pub mod mounted;
pub mod platter;
pub mod served;

pub use dice::Dice;
pub use filler::Filler;
pub use mounted::{Kind, Mounted, Unavailable};
pub use platter::{Cut, Survival};
pub use served::Disk;
