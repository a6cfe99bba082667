//! Which shards a group reads, and in which order: a shard that was split or merged is read to its end before those that go
//! on with its keys. So the records of a key keep their order over every change of the shards. Pure.
//!
//! A shard is due once none of its parents is still to be read. Parents come to light when their own parents end: one that has
//! not come to light yet is waited for, one that is older than all that the group began with is gone.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use crate::driver::{From, ShardRef};

/// The shards of one group.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// Shards with lower numbers either were there in the beginning, or were gone.
    first_later: u32,
    /// Every shard that was found.
    known: BTreeSet<u32>,
    /// Those that are read, or wait.
    unfinished: BTreeSet<u32>,
    waiting: Vec<ShardRef>,
}

impl Lineage {
    /// The shards that are there in the beginning. From the end on all are due at once: nothing old is read, and whatever is
    /// made later goes on with them.
    #[must_use]
    pub fn new(shards: &[ShardRef], from: From) -> Self {
        let known: BTreeSet<_> = shards.iter().map(|shard| shard.number).collect();
        let without_parents = |shard: &ShardRef| ShardRef { number: shard.number, parents: Vec::new() };
        let waiting = match from {
            From::Start => shards.to_vec(),
            From::End => shards.iter().map(without_parents).collect(),
        };
        let first_later = known.last().map_or(0, |last| last + 1);
        Self { first_later, unfinished: known.clone(), known, waiting }
    }

    /// The shards that are to be begun now; each is given once.
    pub fn due(&mut self) -> Vec<u32> {
        let Self { first_later, known, unfinished, waiting } = self;
        let is_to_come = |parent: &u32| parent >= first_later && !known.contains(parent);
        let is_due = |shard: &mut ShardRef| {
            !shard.parents.iter().any(|parent| unfinished.contains(parent) || is_to_come(parent))
        };
        waiting.extract_if(.., is_due).map(|shard| shard.number).collect()
    }

    /// A shard was read to its end; these go on with its keys. The other parent of a merge may have told of them before.
    pub fn ended(&mut self, shard: u32, children: Vec<ShardRef>) {
        for child in children {
            if self.known.insert(child.number) {
                self.unfinished.insert(child.number);
                self.waiting.push(child);
            }
        }
        self.unfinished.remove(&shard);
    }

    /// How many shards were found.
    #[must_use]
    pub fn found(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u32, parents: &[u32]) -> ShardRef {
        ShardRef { number, parents: parents.to_vec() }
    }

    /// Goal: children are due when their parent ended, a merged shard when both did, whoever told of it, and once.
    #[test]
    fn children_after_all_their_parents() {
        let mut lineage = Lineage::new(&[shard(0, &[]), shard(1, &[])], From::Start);
        assert_eq!(lineage.due(), [0, 1]);
        lineage.ended(0, vec![shard(2, &[0]), shard(3, &[0])]);
        assert_eq!(lineage.due(), [2, 3]);
        // 4 was merged from 3 and 1.
        lineage.ended(1, vec![shard(4, &[3, 1])]);
        assert_eq!(lineage.due(), Vec::<u32>::new());
        lineage.ended(3, vec![shard(4, &[3, 1])]);
        assert_eq!(lineage.due(), [4]);
        assert_eq!(lineage.due(), Vec::<u32>::new());
        assert_eq!(lineage.found(), 5);
    }

    /// Goal: a merged shard waits for a parent that nobody has told of yet, though that has a lower number.
    #[test]
    fn a_parent_that_is_not_known_yet_is_waited_for() {
        let mut lineage = Lineage::new(&[shard(0, &[]), shard(1, &[])], From::Start);
        lineage.due();
        // 0 was split into 2 and 3, 1 into 4 and 5, then 3 and 4 merged into 6; the reader of 1 is faster.
        lineage.ended(1, vec![shard(4, &[1]), shard(5, &[1])]);
        assert_eq!(lineage.due(), [4, 5]);
        lineage.ended(4, vec![shard(6, &[3, 4])]);
        assert_eq!(lineage.due(), Vec::<u32>::new());
        lineage.ended(0, vec![shard(2, &[0]), shard(3, &[0])]);
        assert_eq!(lineage.due(), [2, 3]);
        lineage.ended(3, vec![shard(6, &[3, 4])]);
        assert_eq!(lineage.due(), [6]);
    }

    /// Goal: of what is there in the beginning, parents come first, and those that are gone are nobody's; from the end on there
    /// is no order among them.
    #[test]
    fn what_is_there_in_the_beginning() {
        let shards = [shard(3, &[1]), shard(4, &[1]), shard(7, &[4, 5])];
        let mut lineage = Lineage::new(&shards, From::Start);
        assert_eq!(lineage.due(), [3, 4], "1 and 5 are gone");
        lineage.ended(4, vec![shard(7, &[4, 5])]);
        assert_eq!(lineage.due(), [7]);
        let mut lineage = Lineage::new(&shards, From::End);
        assert_eq!(lineage.due(), [3, 4, 7]);
        lineage.ended(4, vec![shard(7, &[4, 5])]);
        assert_eq!(lineage.due(), Vec::<u32>::new());
        lineage.ended(7, vec![shard(8, &[7])]);
        assert_eq!(lineage.due(), [8]);
    }
}
