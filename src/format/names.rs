//! Names of files and directories in a data directory, in both directions.
//!
//! ```text
//! DATA/LOCK                      held by the running node
//! DATA/node, node.copy           identity, format version, term
//! DATA/reserve                   space for the next start, should the disk be full by then; holds nothing
//! DATA/catalog/                  the catalogue's log and its snapshots (snapshot-<offset>)
//! DATA/shards/<group>/           one shard's log: <segment>.seg, <segment>.idx, losses
//! DATA/quarantine/               what a repair took out of use
//! DATA/spare/                    freed segments, kept to be used again
//! ```
//! Groups are 16 hex digits, segments 10 decimal digits, so that names sort as numbers do. A name that ends in `.tmp` is
//! a file somebody was writing when the node stopped; it is removed on start.

use std::path::{Path, PathBuf};

use crate::types::GroupId;

/// Number of a segment in its log: 0, 1, 2, ...
pub type SegmentNumber = u64;

/// The lock file.
#[must_use]
pub fn lock_file(data: &Path) -> PathBuf {
    data.join("LOCK")
}

/// The node file.
#[must_use]
pub fn node_file(data: &Path) -> PathBuf {
    data.join(NODE)
}

/// The file that keeps space for the next start.
#[must_use]
pub fn reserve_file(data: &Path) -> PathBuf {
    data.join("reserve")
}

/// The name of the node file.
pub const NODE: &str = "node";

/// The name of its copy.
pub const NODE_COPY: &str = "node.copy";

/// The directory of the catalogue's log.
#[must_use]
pub fn catalog_dir(data: &Path) -> PathBuf {
    data.join("catalog")
}

/// The directory of all shards.
#[must_use]
pub fn shards_dir(data: &Path) -> PathBuf {
    data.join("shards")
}

/// The directory of freed segments.
#[must_use]
pub fn spare_dir(data: &Path) -> PathBuf {
    data.join("spare")
}

/// The directory of one shard's log.
#[must_use]
pub fn shard_dir(data: &Path, group: GroupId) -> PathBuf {
    shards_dir(data).join(format!("{:016x}", group.0))
}

/// The group whose directory has this name.
#[must_use]
pub fn parse_shard_dir(name: &str) -> Option<GroupId> {
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok().map(GroupId)).flatten()
}

/// A segment's file name.
#[must_use]
pub fn segment(number: SegmentNumber) -> String {
    format!("{number:010}.seg")
}

/// The name of a segment's index.
#[must_use]
pub fn index(number: SegmentNumber) -> String {
    format!("{number:010}.idx")
}

/// The number of the segment with this file name.
#[must_use]
pub fn parse_segment(name: &str) -> Option<SegmentNumber> {
    parse_number(name.strip_suffix(".seg")?)
}

/// The number of the segment whose index has this file name.
#[must_use]
pub fn parse_index(name: &str) -> Option<SegmentNumber> {
    parse_number(name.strip_suffix(".idx")?)
}

/// The name of the file that lists losses the operator has accepted.
pub const LOSSES: &str = "losses";

/// The directory of what was taken out of use because it is damaged, or belongs to nothing any more.
#[must_use]
pub fn quarantine_dir(data: &Path) -> PathBuf {
    data.join("quarantine")
}

/// What comes behind the name of a file that was set aside because it is damaged; a number may follow.
const ASIDE: &str = ".damaged";

/// The name under which a file is set aside, the `n`th time, counted from 0.
#[must_use]
pub fn aside(name: &str, n: usize) -> String {
    if n == 0 { format!("{name}{ASIDE}") } else { format!("{name}{ASIDE}-{n}") }
}

/// Whether a file was set aside because it is damaged.
#[must_use]
pub fn is_set_aside(name: &str) -> bool {
    name.contains(ASIDE)
}

/// The state of a catalogue that a repair is beginning anew.
pub const BEGUN_ANEW: &str = "begun-anew";

/// A catalogue snapshot's name; `next` is the offset of the first command it does not contain.
#[must_use]
pub fn snapshot(next: u64) -> String {
    format!("snapshot-{next:020}")
}

/// The offset in a snapshot's name.
#[must_use]
pub fn parse_snapshot(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("snapshot-")?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// The name under which `name` is written before it is renamed to it.
#[must_use]
pub fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// Whether a file of this name was being written when the node stopped.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp")
}

fn parse_number(digits: &str) -> Option<u64> {
    (digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every name is read back as what it was made from, and strangers are not taken for ours.
    #[test]
    fn names_round_trip() {
        assert_eq!(parse_segment(&segment(7)), Some(7));
        assert_eq!(parse_index(&index(7)), Some(7));
        assert_eq!(parse_snapshot(&snapshot(9)), Some(9));
        let dir = shard_dir(Path::new("d"), GroupId(255));
        assert_eq!(parse_shard_dir(dir.file_name().unwrap().to_str().unwrap()), Some(GroupId(255)));
        assert!(is_temporary(&temporary(&segment(1))));
        for stranger in ["lost+found", "7.seg", "0000000001.seg.tmp", "00000000x1.seg", "+000000001.seg"] {
            assert_eq!(parse_segment(stranger), None, "{stranger}");
        }
    }
}
