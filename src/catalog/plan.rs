//! From the shards that are open to any number of uniform ones, by the fewest splits and merges.
//!
//! ```text
//! legend: B = the inner boundaries of the open ranges, T = those of HashRange::uniform(target)
//!
//! 2 to 3 shards         B  |           .           |
//!                       T  |       .       .       |
//!
//! in T, not in B        a split there
//! in B, not in T        a merge of its two neighbours
//! in both               nothing
//! ```
//! The fewest: a split adds one inner boundary and takes none away, a merge takes one away and adds none. So every way needs at
//! least |T \ B| splits and |B \ T| merges, and the plan has exactly these.
//!
//! Steps are carried out in rounds; within one, no shard takes part in two steps. Each round takes every step it can:
//! - A range with boundaries of T inside is split at the middle one of them, so k boundaries take ceil(log2(k + 1)) rounds.
//! - Of the others, neighbours within one range of the target merge in pairs, so k of them take ceil(log2 k) rounds. Never
//!   across a boundary of T, which therefore is split first: no shard grows larger than it is going to be.
//!
//! At any time the boundaries are a part of B and T together, so there are never more open shards than |B and T| + 1: below now
//! and target added up. The next round is a function of the open ranges and the target alone; after a crash the plan goes on
//! where it was, and a plan begun for another target is turned around at any point.

use std::fmt;

use super::range::HashRange;
use crate::types::HashKey;

/// One split or one merge. Names ranges: shards that the plan makes have no number yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The shard with this range becomes two.
    Split {
        /// The shard's range.
        range: HashRange,
        /// First key of the second one.
        at: HashKey,
    },
    /// Two neighbours become one.
    Merge {
        /// The range of the lower one.
        left: HashRange,
        /// The range of the upper one.
        right: HashRange,
    },
}

/// Steps that can be carried out together: no shard is in two of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Round {
    /// In the order of their ranges. Never empty.
    pub steps: Vec<Step>,
}

/// All rounds with what an operator wants to know of them. [`Display`](fmt::Display) writes a line for each step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Open shards now.
    pub from: u32,
    /// Open shards afterwards.
    pub to: u32,
    /// In their order; none if the ranges are uniform already.
    pub rounds: Vec<Round>,
}

/// The rounds that turn the `open` ranges into the uniform ones of `target` shards.
///
/// Panics unless the ranges cover the key space in ascending order, each key once, or if `target` is 0.
#[must_use]
pub fn rounds(open: &[HashRange], target: u32) -> Vec<Round> {
    let mut open = open.to_vec();
    let mut rounds = Vec::new();
    while let Some(round) = next_round(&open, target) {
        open = round.apply(&open);
        rounds.push(round);
    }
    rounds
}

/// The first of the [`rounds`]; `None` if the ranges are the uniform ones. Panics as it does.
#[must_use]
pub fn next_round(open: &[HashRange], target: u32) -> Option<Round> {
    assert_covering(open);
    let targets: Vec<HashKey> = HashRange::uniform(target).skip(1).map(|range| range.start).collect();
    let mut steps = Vec::new();
    // Boundaries of the target below the range that is looked at.
    let mut below = 0;
    // The neighbour to the left, if it is free to merge.
    let mut free: Option<HashRange> = None;
    for range in open {
        let is_kept = below > 0 && targets[below - 1] == range.start;
        let inside = targets[below..].partition_point(|boundary| *boundary <= range.end);
        // The boundary at the end of this range, if it is one, belongs to the next range's start.
        let next = range.end.0.checked_add(1).map(HashKey);
        let pieces = inside + 1;
        if inside > 0 {
            steps.push(Step::Split { range: *range, at: targets[below + pieces / 2 - 1] });
            free = None;
        } else if let Some(left) = free.take_if(|_| !is_kept) {
            steps.push(Step::Merge { left, right: *range });
        } else {
            free = Some(*range);
        }
        below += inside;
        if targets.get(below).copied() == next && next.is_some() {
            below += 1;
        }
    }
    (!steps.is_empty()).then_some(Round { steps })
}

fn assert_covering(open: &[HashRange]) {
    let mut next = Some(HashKey(0));
    for range in open {
        assert!(next == Some(range.start), "the range {range} does not begin where the one before it ends");
        assert!(range.start <= range.end, "the range {range} is empty");
        next = range.end.0.checked_add(1).map(HashKey);
    }
    assert!(next.is_none(), "the ranges end before the key space does");
}

impl Step {
    /// The ranges that it leaves, in order; a merge leaves one.
    #[must_use]
    pub fn results(self) -> (HashRange, Option<HashRange>) {
        match self {
            Self::Split { range, at } => {
                let left = HashRange { start: range.start, end: HashKey(at.0 - 1) };
                (left, Some(HashRange { start: at, end: range.end }))
            }
            Self::Merge { left, right } => (HashRange { start: left.start, end: right.end }, None),
        }
    }

    /// Where the first range that it takes starts.
    fn start(self) -> HashKey {
        match self {
            Self::Split { range, .. } => range.start,
            Self::Merge { left, .. } => left.start,
        }
    }
}

impl Round {
    /// The `open` ranges after the round, which was made for them.
    #[must_use]
    pub fn apply(&self, open: &[HashRange]) -> Vec<HashRange> {
        let mut after = Vec::with_capacity(open.len() + self.steps.len());
        let mut steps = self.steps.iter().copied().peekable();
        let mut open = open.iter().copied();
        while let Some(range) = open.next() {
            let Some(step) = steps.next_if(|step| step.start() == range.start) else {
                after.push(range);
                continue;
            };
            if matches!(step, Step::Merge { .. }) {
                open.next();
            }
            let (first, second) = step.results();
            after.push(first);
            after.extend(second);
        }
        assert!(steps.next().is_none(), "the round was made for other ranges");
        after
    }

    /// Splits in the round.
    #[must_use]
    pub fn splits(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Split { .. })).count()
    }

    /// Merges in the round.
    #[must_use]
    pub fn merges(&self) -> usize {
        self.steps.len() - self.splits()
    }
}

impl Plan {
    /// The plan of the [`rounds`]. Panics as they do.
    #[must_use]
    pub fn new(open: &[HashRange], target: u32) -> Self {
        let from = u32::try_from(open.len()).expect("a stream's shards are counted in 32 bits");
        Self { from, to: target, rounds: rounds(open, target) }
    }
}

/// A number with its noun.
struct Count(usize, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { range, at } => write!(f, "split {range} at {at}"),
            Self::Merge { left, right } => write!(f, "merge {left} with {right}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let splits = self.rounds.iter().map(Round::splits).sum();
        let merges = self.rounds.iter().map(Round::merges).sum();
        let (splits, merges) = (Count(splits, "split"), Count(merges, "merge"));
        let rounds = Count(self.rounds.len(), "round");
        let from = Count(self.from as usize, "shard");
        writeln!(f, "from {from} to {}: {splits} and {merges} in {rounds}", self.to)?;
        let mut open = self.from as usize;
        for (number, round) in (1..).zip(&self.rounds) {
            open = open + round.splits() - round.merges();
            writeln!(f, "round {number}, then {} open", Count(open, "shard"))?;
            round.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
