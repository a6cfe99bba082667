//! Who reads what: what one member of an application does next so that all of them share the shards.
//!
//! Nobody leads. Each member looks at the same facts, the members alive and the leases, computes the same plan for all of them,
//! and carries out its own part by compare-and-set. With equal views no two reach for the same shard; with views of different
//! age they may, one of them wins, and both look again. The plan never decides that somebody is dead: a lease has run out, or
//! it has not.
//!
//! ```text
//! legend: workable = not read to its end, and each parent was, or is gone (retention took it)
//!         share = workable shards / members alive, rounded up
//!
//! shard                          lease             what this member does
//! read to its end                any               nothing
//! a parent not read to its end   any               nothing: its parents first, or keys lose their order
//! workable                       mine              goes on reading
//! workable                       none or run out   claim, if the plan gives it to this member
//! workable                       another's         steal, if it has nothing left to claim, is below the share, and that
//!                                                  one has at least two more; one in a round
//! ```
//! Shards without an owner go, lowest number first, to whoever has the fewest, so all are claimed in one round. Steals take one
//! shard from whoever has the most. A steal lowers the sum of the squares of what each has by at least 2, so they end, and when
//! they do no member has two more than another. Nothing is ever released for balance: its owner reads on until the thief has
//! the lease, and is fenced off by its token then.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::ShardNumber;

/// Shards that one member steals in one round.
pub const STEALS_PER_ROUND_MAX: usize = 1;

/// How far the application has read a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Not begun.
    None,
    /// Somewhere.
    At,
    /// To its end: the shard is closed and every record was processed.
    Ended,
}

/// Who has a shard. `M` names a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lease<M> {
    /// Nobody.
    None,
    /// This member, be it alive or not.
    Held(M),
    /// Nobody any more: the lease has run out.
    Expired,
}

/// One shard, as the application knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard<M> {
    /// Its number.
    pub number: ShardNumber,
    /// The shards it was made of. One that is not listed is gone.
    pub parents: [Option<ShardNumber>; 2],
    /// How far it was read.
    pub checkpoint: Checkpoint,
    /// Who reads it.
    pub lease: Lease<M>,
}

/// What one member does now. [`Default`] is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<M> {
    /// Shards without an owner that it claims.
    pub claim: Vec<ShardNumber>,
    /// Shards that it takes, and from whom.
    pub steal: Vec<(ShardNumber, M)>,
}

impl<M> Default for Turn<M> {
    fn default() -> Self {
        Self { claim: Vec::new(), steal: Vec::new() }
    }
}

/// What `me` does now. `alive` are the members with a heartbeat, in any order; `me` is one of them, listed or not. `shards`
/// are those of the stream that retention has left, in any order.
#[must_use]
pub fn turn<M: Copy + Ord>(me: M, alive: &[M], shards: &[Shard<M>]) -> Turn<M> {
    let mut plan = Plan::new(me, alive, shards);
    let mut turn = Turn { claim: plan.claims(me), steal: Vec::new() };
    for _ in 0..STEALS_PER_ROUND_MAX {
        turn.steal.extend(plan.steals(me));
    }
    turn
}

/// What all members do, as far as one of them knows.
struct Plan<M> {
    /// Workable shards of each member alive; those to be claimed and stolen are added as they are dealt out.
    held: BTreeMap<M, BTreeSet<ShardNumber>>,
    /// Workable shards without an owner.
    free: BTreeSet<ShardNumber>,
    /// The most that a member needs to have.
    share: usize,
}

impl<M: Copy + Ord> Plan<M> {
    fn new(me: M, alive: &[M], shards: &[Shard<M>]) -> Self {
        let open: BTreeSet<_> =
            shards.iter().filter(|shard| shard.checkpoint != Checkpoint::Ended).map(|shard| shard.number).collect();
        let is_workable = |shard: &&Shard<M>| {
            let parents_are_done = !shard.parents.iter().flatten().any(|parent| open.contains(parent));
            open.contains(&shard.number) && parents_are_done
        };
        let mut held: BTreeMap<_, _> = alive.iter().chain([&me]).map(|member| (*member, BTreeSet::new())).collect();
        let mut free = BTreeSet::new();
        let mut workable = 0_usize;
        for shard in shards.iter().filter(is_workable) {
            workable += 1;
            match shard.lease {
                Lease::None | Lease::Expired => {
                    free.insert(shard.number);
                }
                // One without a heartbeat keeps what it has until its lease runs out.
                Lease::Held(owner) => {
                    held.entry(owner).and_modify(|shards| {
                        shards.insert(shard.number);
                    });
                }
            }
        }
        let share = workable.div_ceil(held.len());
        Self { held, free, share }
    }

    /// Deals out what is free; what of it goes to `me`.
    fn claims(&mut self, me: M) -> Vec<ShardNumber> {
        let mut mine = Vec::new();
        for shard in std::mem::take(&mut self.free) {
            let (member, shards) =
                self.held.iter_mut().min_by_key(|(member, shards)| (shards.len(), **member)).expect("I am a member");
            shards.insert(shard);
            if *member == me {
                mine.push(shard);
            }
        }
        mine
    }

    /// Lets everybody steal one shard, those with the fewest first; what of it goes to `me`.
    fn steals(&mut self, me: M) -> Option<(ShardNumber, M)> {
        let mut thieves: Vec<_> = self.held.iter().map(|(member, shards)| (shards.len(), *member)).collect();
        thieves.sort_unstable();
        let mut mine = None;
        for (has, thief) in thieves {
            let richest = self.held.iter_mut().max_by_key(|(member, shards)| (shards.len(), **member));
            let (victim, shards) = richest.expect("I am a member");
            if has >= self.share || shards.len() < has + 2 {
                continue;
            }
            // The newest: least of it has been read.
            let (victim, shard) = (*victim, shards.pop_last().expect("it has two more than another"));
            if let Some(shards) = self.held.get_mut(&thief) {
                shards.insert(shard);
            }
            if thief == me {
                mine = Some((shard, victim));
            }
        }
        mine
    }
}

#[cfg(test)]
mod tests;
