//! The workload on rot: a whole node's data directory, one file of it spoilt in one place, and the node started again.
//!
//! A node is filled through its native port: several streams and shards, records with and without an index, a shard with an accepted
//! loss, stored values, snapshots. It is stopped, or killed once it was quiet. Then, for each case by itself, one byte
//! of one file is changed, a sector or a block is cleared, a file is cut short at some length, has garbage appended, or is gone.
//! The checker asks:
//!
//! - **Verify sees it**: `log verify` reports the damage, unless it lies in bytes that carry nothing (see below), and changes nothing.
//! - **The node starts**, and verify has said which shards it quarantines. Where verify says that it refuses, it refuses, and its
//!   message names the place and the way out.
//! - **No wrong byte**: each record is served byte for byte, or reported as damaged.
//! - **Nothing is lost in silence**: what is not served is reported by verify with stream, shard, offsets and a file. Every stream,
//!   shard and stored value is there.
//! - **Repair ends it**: after `log repair` nothing is left to be repaired, verify reports no loss but those accepted, the node
//!   starts, all records that were intact are served, every shard takes puts.
//! - **Nothing is deleted**: the spoilt file is still there, byte for byte, under its name or set aside.
//!
//! Bytes that carry nothing, in which damage may go unnoticed: a segment behind its last frame, the last padding included; whole
//! segments that were prepared and not used; what follows the payload of a file that is replaced as a whole; the empty file `LOCK`. And an index is derived:
//! a start writes it again.
//!
//! It does not check damage in several places at once, nor to the last frames of a log before its quiet hint was written.
//! Three kinds of loss cannot be seen by anybody, and are left out: the oldest segments of a log that are gone with
//! their indexes (as if expired), the newest one that is gone without an index, and a directory that is gone.

mod cases;
mod image;
mod look;

pub use self::cases::{Case, Spoilt, cases};
pub use self::image::{Ending, Image};

/// What a run met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Cases tried.
    pub cases: usize,
    /// The node did not start before the repair.
    pub refused: usize,
    /// It quarantined a shard.
    pub quarantined: usize,
    /// It started, and lost records were met by readers only.
    pub read: usize,
    /// Verify noticed something.
    pub noticed: usize,
    /// Records lost, all cases together.
    pub lost_records: u64,
}

/// Tries one case of `image`. What it finds wrong is a panic that names the case.
pub fn run(image: &Image, case: &Case, summary: &mut Summary) {
    summary.cases += 1;
    look::run(image, case, summary);
}
