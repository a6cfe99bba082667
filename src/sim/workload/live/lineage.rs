//! What must hold of a stream's shards in every description of it, whoever gave it and whenever.
//!
//! - Shards that take records cover the hash keys, each key once.
//! - What a shard is never changes: its number, group, range and parents. It goes from pending to open to closed and is
//!   then gone, and never back. An end, once told, stays.
//! - A split leaves the two halves of its parent's range, a merge the joined ranges. Children are pending while a parent is
//!   open, and take records when all are closed.
//! - A child's sequence numbers are all larger than its parents'.
//!
//! It does not check that states are those of one moment of the node: a worker may describe an older version.

use std::collections::BTreeMap;

use crate::catalog::HashRange;
use crate::client::{ShardDescription, ShardEnd, ShardState, StreamDescription};
use crate::shard::sequence::SequenceNumber;
use crate::types::{HashKey, Offset, ShardNumber, WallUs};

/// All shards that a stream ever had, as they were described.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    shards: BTreeMap<ShardNumber, Seen>,
    /// The newest version described.
    version: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first: ShardDescription,
    /// The furthest state, in the newest version that has it.
    stage: Stage,
    end: Option<ShardEnd>,
}

/// How far a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Pending,
    Open,
    Closed,
    Gone,
}

fn stage(shard: &ShardDescription) -> Stage {
    match shard.state {
        ShardState::Pending => Stage::Pending,
        ShardState::Open => Stage::Open,
        ShardState::Closed => Stage::Closed,
        ShardState::Quarantined => panic!("{} is quarantined, and nothing was damaged", shard.number),
    }
}

fn range(shard: &ShardDescription) -> HashRange {
    HashRange { start: shard.hash_start, end: shard.hash_end }
}

fn parents(shard: &ShardDescription) -> impl Iterator<Item = ShardNumber> {
    shard.parent.into_iter().chain(shard.adjacent_parent)
}

impl Lineage {
    /// Somebody described the stream. Whether closed shards may have expired is `may_expire`.
    pub(super) fn observe(&mut self, description: &StreamDescription, may_expire: bool) {
        let all = description.shards.all();
        assert_covered(all);
        let is_news = description.catalogue_version >= self.version;
        self.version = self.version.max(description.catalogue_version);
        for shard in all {
            let now = stage(shard);
            assert_eq!(now >= Stage::Closed, shard.closed.is_some(), "{shard:?}: closed ones have an end, others none");
            let seen = self.shards.entry(shard.number).or_insert(Seen { first: *shard, stage: now, end: None });
            let first = &seen.first;
            assert_eq!(
                (first.group, range(first), first.parent, first.adjacent_parent, first.created),
                (shard.group, range(shard), shard.parent, shard.adjacent_parent, shard.created),
                "{} is not what it was",
                shard.number
            );
            if let Some(end) = shard.closed {
                assert_eq!(*seen.end.get_or_insert(end), end, "the end of {} changed", shard.number);
            }
            if is_news {
                assert!(now >= seen.stage, "{} was {:?} and is {now:?}", shard.number, seen.stage);
                seen.stage = now;
            }
        }
        if is_news {
            for (number, seen) in &mut self.shards {
                if description.shards.shard(*number).is_none() {
                    let may_be_gone = may_expire && seen.stage >= Stage::Closed;
                    assert!(may_be_gone, "{number} was {:?} and is gone", seen.stage);
                    seen.stage = Stage::Gone;
                }
            }
        }
        for shard in all {
            self.check_family(description, shard);
        }
    }

    fn check_family(&self, description: &StreamDescription, child: &ShardDescription) {
        for number in parents(child) {
            let Some(parent) = self.shards.get(&number) else {
                panic!("{} has a parent {number} that nobody ever saw", child.number);
            };
            let end = parent.end.map_or(WallUs(u64::MAX), |end| end.at);
            let last = SequenceNumber::end(parent.first.created, number, end);
            let first = SequenceNumber::start(child.created, child.number);
            assert!(last.to_string() < first.to_string(), "{} has numbers below those of {number}", child.number);
            if let Some(parent) = description.shards.shard(number) {
                let is_open = stage(parent) == Stage::Open;
                assert_eq!(is_open, stage(child) == Stage::Pending, "{parent:?} is a parent of {child:?}");
            }
        }
        let Some(parent) = child.parent.map(|number| self.shards[&number].first) else { return };
        match child.adjacent_parent.map(|number| self.shards[&number].first) {
            Some(adjacent) => {
                let joined = range(&parent).joined(range(&adjacent));
                assert_eq!(joined, Some(range(child)), "{} is not what its parents were", child.number);
            }
            None => {
                let siblings: Vec<_> = description.shards.all().iter().filter(|s| s.parent == child.parent).collect();
                // One of two may be gone.
                if let [one, other] = siblings.as_slice() {
                    let halves = range(&parent).split(one.hash_start.max(other.hash_start));
                    assert_eq!(halves, Some((range(one), range(other))), "halves of {}", parent.number);
                }
            }
        }
    }

    /// Whether a record of this partition key belongs into the shard.
    pub(super) fn check_routed(&self, shard: ShardNumber, key: &str) {
        // Nobody may have described a shard yet that a reader was told of by its parent.
        if let Some(seen) = self.shards.get(&shard) {
            let hash = HashKey::of(key.as_bytes());
            assert!(range(&seen.first).contains(hash), "{key} hashes to {hash:?} and was found in {shard}");
        }
    }

    /// The end of a shard, if one was told.
    pub(super) fn end(&self, shard: ShardNumber) -> Option<Offset> {
        self.shards.get(&shard).and_then(|seen| seen.end).map(|end| end.offset)
    }

    /// The parents of a shard.
    pub(super) fn parents(&self, shard: ShardNumber) -> Vec<ShardNumber> {
        self.shards.get(&shard).map(|seen| parents(&seen.first).collect()).unwrap_or_default()
    }

    /// Shards that there ever were.
    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }
}

fn assert_covered(all: &[ShardDescription]) {
    let mut open: Vec<_> = all.iter().filter(|shard| stage(shard) == Stage::Open).map(range).collect();
    open.sort_by_key(|range| range.start);
    assert_eq!(open.first().map(|range| range.start), Some(HashKey(0)), "the first keys have no shard");
    assert_eq!(open.last().map(|range| range.end), Some(HashKey(u128::MAX)), "the last keys have no shard");
    for pair in open.windows(2) {
        assert_eq!(pair[0].end.0.checked_add(1), Some(pair[1].start.0), "between two shards that take records");
    }
}
