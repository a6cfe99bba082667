//! On-demand streams: which shards to split and which to merge, from the traffic of each.
//!
//! A shard's load is its share of what a shard is meant to take (1 MiB/s and 1,000 records/s unless told otherwise), in bytes
//! or in records, whichever is more.
//!
//! ```text
//! load of a shard, fast average          0 %        25 %                                 80 %        100 %
//! two neighbours together, both          |--- merge --|------------- leave alone -------------|
//! averages                                            one shard                          |-- split -->
//!
//! decision  when                                                     and only if
//! split     at 80 % or more for 15 s, the shard is 30 s old          there are fewer than shards_max; at least 15 % of the
//!                                                                    traffic leaves the busier side
//! merge     together below 25 % by the fast and the slow average     there are more than shards_min
//!           for 10 min, both are 15 min old
//! split     fewer open than shards_min                               the shard has two keys
//! merge     more open than shards_max                                always: the bound is the operator's word
//! keep      a split was due but there is no room, or no gain         said once in 15 min
//! ```
//! Why this does not flap: what a merge makes has less than a third of the load that splits it, and what a split makes is too
//! young for a merge until its slow average knows its traffic. Why it follows growth: each hot shard is split, so that a round
//! doubles the stream, and 45 s later the next one may. No shard is in two decisions of a round.
//!
//! A split cuts where the traffic halves, by the samples of [`Traffic`]: even within a part, and a single key that stands out
//! weighs where it is. A shard whose traffic is one key's is not split: the half with the key would be as hot as the whole.
//!
//! The [`Autoscaler`] of a stream remembers since when each shard has been hot or cold, and nothing else; started anew it
//! decides a little later. It takes part in no durable state.

mod cut;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use self::cut::Cut;
use super::range::HashRange;
use crate::types::{HashKey, MonoUs, ShardNumber, Traffic};

const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// At this load or above a shard is hot.
const HOT_PERCENT: u64 = 80;

/// Below this load together, two neighbours are cold.
const COLD_PERCENT: u64 = 25;

/// Hot for this long before it is split.
const HOT_FOR_US: u64 = 15 * SECOND_US;

/// Cold for this long before they are merged.
const COLD_FOR_US: u64 = 10 * MINUTE_US;

/// Younger shards are not split: their averages do not know them yet.
const SPLIT_AGE_US: u64 = 30 * SECOND_US;

/// Younger shards are not merged: their slow averages do not know them yet.
const MERGE_AGE_US: u64 = 15 * MINUTE_US;

/// How often a hot shard that is kept is spoken of.
const KEEP_EVERY_US: u64 = 15 * MINUTE_US;

/// What a stream is scaled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Fewest open shards. Warm throughput is a floor here.
    pub shards_min: u32,
    /// Most open shards; not below `shards_min`.
    pub shards_max: u32,
    /// Bytes a second that a shard is meant to take; above 0.
    pub shard_bytes_s: u64,
    /// Records a second that a shard is meant to take; above 0.
    pub shard_records_s: u64,
}

impl Policy {
    /// Between these bounds, with shards of 1 MiB/s and 1,000 records/s as in Kinesis.
    #[must_use]
    pub const fn new(shards_min: u32, shards_max: u32) -> Self {
        Self { shards_min, shards_max, shard_bytes_s: 1 << 20, shard_records_s: 1_000 }
    }
}

/// One open shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLoad {
    /// Its number.
    pub shard: ShardNumber,
    /// Its range.
    pub range: HashRange,
    /// What it takes in.
    pub traffic: Traffic,
    /// How long it has been taking puts.
    pub age_us: u64,
}

/// What to do. [`Display`](fmt::Display) makes a line for the log of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Split a shard.
    Split {
        /// Which.
        shard: ShardNumber,
        /// The first key of its second child.
        at: HashKey,
        /// Why.
        reason: SplitReason,
    },
    /// Merge two neighbours.
    Merge {
        /// The lower one.
        left: ShardNumber,
        /// The upper one.
        right: ShardNumber,
        /// Why.
        reason: MergeReason,
    },
    /// Leave a shard as it is although it is hot.
    Keep {
        /// Which.
        shard: ShardNumber,
        /// Why.
        reason: KeepReason,
    },
}

/// Rates and what they amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Bytes a second.
    pub bytes_s: u64,
    /// Records a second.
    pub records_s: u64,
    /// Of what a shard is meant to take.
    pub percent: u64,
}

/// Why a shard is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitReason {
    /// It takes more than a shard is meant to.
    Hot {
        /// What it takes.
        load: Load,
        /// For how long it has been hot.
        for_s: u64,
        /// How much of its bytes goes to the first child, in thousandths; `None` if too little is known and the range is halved.
        below_permille: Option<u16>,
    },
    /// The stream has fewer shards than it should.
    BelowMin {
        /// Open shards.
        open: u32,
        /// How many there should be.
        min: u32,
    },
}

/// Why two neighbours are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeReason {
    /// They take little.
    Cold {
        /// What both take together.
        load: Load,
        /// For how long they have been cold.
        for_s: u64,
    },
    /// The stream has more shards than it may.
    AboveMax {
        /// Open shards.
        open: u32,
        /// How many there may be.
        max: u32,
    },
}

/// Why a hot shard is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// Nearly all it takes belongs to one key.
    OneKey {
        /// What it takes.
        load: Load,
        /// The key.
        key: HashKey,
        /// The key's share, in thousandths.
        permille: u16,
    },
    /// The stream has as many shards as it may.
    AtMax {
        /// What it takes.
        load: Load,
        /// How many shards there may be.
        max: u32,
    },
}

/// What is remembered of an open shard.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    hot_since: Option<MonoUs>,
    /// Since when it has been cold together with its upper neighbour, and which that is.
    cold_since: Option<(ShardNumber, MonoUs)>,
    kept_at: Option<MonoUs>,
}

/// Decides for one stream.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    policy: Policy,
    watched: BTreeMap<ShardNumber, Watch>,
}

/// One round of decisions in the making. Counts as if all were carried out.
struct Round {
    decisions: Vec<Decision>,
    taken: BTreeSet<ShardNumber>,
    open: u32,
    after: u32,
}

impl Autoscaler {
    /// An autoscaler that has seen nothing yet.
    ///
    /// Panics on a policy whose bounds cross or whose shards are meant to take nothing.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let mut scaler = Self { policy, watched: BTreeMap::new() };
        scaler.set(policy);
        scaler
    }

    /// Another policy from now on. Panics as [`Autoscaler::new`] does.
    pub fn set(&mut self, policy: Policy) {
        assert!(policy.shards_min <= policy.shards_max, "bounds that cross: {policy:?}");
        assert!(policy.shard_bytes_s > 0, "a shard that may take nothing is always hot: {policy:?}");
        assert!(policy.shard_records_s > 0, "a shard that may take nothing is always hot: {policy:?}");
        self.policy = policy;
    }

    /// What to do now. `loads` are all open shards in the order of their ranges; call it every few seconds, and not while a
    /// reshard of the stream is under way. Decisions that are not carried out are made again once they have been due anew.
    pub fn observe(&mut self, now: MonoUs, loads: &[ShardLoad]) -> Vec<Decision> {
        self.watch(now, loads);
        let open = u32::try_from(loads.len()).expect("a stream's shards are counted in 32 bits");
        let mut round = Round { decisions: Vec::new(), taken: BTreeSet::new(), open, after: open };
        self.split_hot(now, loads, &mut round);
        self.split_to_min(loads, &mut round);
        self.merge(now, loads, &mut round);
        for shard in &round.taken {
            self.watched.insert(*shard, Watch::default());
        }
        round.decisions
    }

    /// Notes who has turned hot or cold, and who no longer is.
    fn watch(&mut self, now: MonoUs, loads: &[ShardLoad]) {
        let mut watched = BTreeMap::new();
        for (n, load) in loads.iter().enumerate() {
            let mut watch = self.watched.remove(&load.shard).unwrap_or_default();
            let is_hot = self.load(&[*load], fast).percent >= HOT_PERCENT;
            watch.hot_since = is_hot.then(|| watch.hot_since.unwrap_or(now));
            watch.cold_since = loads.get(n + 1).filter(|right| self.is_cold(load, right)).map(|right| {
                let known = watch.cold_since.filter(|(neighbour, _)| *neighbour == right.shard);
                known.unwrap_or((right.shard, now))
            });
            watched.insert(load.shard, watch);
        }
        self.watched = watched;
    }

    fn is_cold(&self, left: &ShardLoad, right: &ShardLoad) -> bool {
        let pair = [*left, *right];
        [fast, slow].into_iter().all(|average| self.load(&pair, average).percent < COLD_PERCENT)
    }

    /// The load of some shards together, by one of the averages.
    fn load(&self, shards: &[ShardLoad], average: fn(&Traffic) -> (u64, u64)) -> Load {
        let (bytes_s, records_s) = shards.iter().fold((0_u64, 0_u64), |(bytes, records), shard| {
            let (more_bytes, more_records) = average(&shard.traffic);
            (bytes.saturating_add(more_bytes), records.saturating_add(more_records))
        });
        let percent = |rate: u64, of: u64| rate.saturating_mul(100) / of;
        let percent = percent(bytes_s, self.policy.shard_bytes_s).max(percent(records_s, self.policy.shard_records_s));
        Load { bytes_s, records_s, percent }
    }

    fn split_hot(&mut self, now: MonoUs, loads: &[ShardLoad], round: &mut Round) {
        let is_due = |shard: &&ShardLoad| {
            let hot_since = self.watched[&shard.shard].hot_since;
            hot_since.is_some_and(|since| now.since(since) >= HOT_FOR_US) && shard.age_us >= SPLIT_AGE_US
        };
        let mut due: Vec<_> = loads.iter().filter(is_due).map(|shard| (self.load(&[*shard], fast), shard)).collect();
        // The hottest first, should there not be room for all.
        due.sort_by_key(|(load, shard)| (std::cmp::Reverse(load.percent), shard.shard));
        for (load, shard) in due {
            let cut = Cut::of(shard);
            let keep = match cut {
                Some(cut) if cut.is_gain() && round.after < self.policy.shards_max => {
                    let hot_since = self.watched[&shard.shard].hot_since.unwrap_or(now);
                    let for_s = now.since(hot_since) / SECOND_US;
                    let reason = SplitReason::Hot { load, for_s, below_permille: cut.below_permille };
                    round.split(shard.shard, cut.at, reason);
                    continue;
                }
                Some(cut) if cut.is_gain() => KeepReason::AtMax { load, max: self.policy.shards_max },
                _ => {
                    let hot = shard.traffic.hot;
                    let key = hot.map_or(shard.range.start, |hot| hot.key);
                    KeepReason::OneKey { load, key, permille: hot.map_or(1_000, |hot| hot.permille) }
                }
            };
            let watch = self.watched.get_mut(&shard.shard).expect("every open shard is watched");
            if watch.kept_at.is_none_or(|at| now.since(at) >= KEEP_EVERY_US) {
                watch.kept_at = Some(now);
                round.decisions.push(Decision::Keep { shard: shard.shard, reason: keep });
            }
        }
    }

    fn split_to_min(&self, loads: &[ShardLoad], round: &mut Round) {
        if round.after >= self.policy.shards_min {
            return;
        }
        // The busiest first, among equals the widest.
        let mut free: Vec<_> = loads.iter().filter(|shard| !round.taken.contains(&shard.shard)).collect();
        free.sort_by_key(|shard| {
            let width = shard.range.end.0 - shard.range.start.0;
            (std::cmp::Reverse((self.load(&[**shard], fast).percent, width)), shard.shard)
        });
        for shard in free {
            if round.after >= self.policy.shards_min {
                return;
            }
            let reason = SplitReason::BelowMin { open: round.open, min: self.policy.shards_min };
            if let Some(cut) = Cut::of(shard).filter(|cut| cut.is_gain()).or_else(|| Cut::middle(shard.range)) {
                round.split(shard.shard, cut.at, reason);
            }
        }
    }

    fn merge(&self, now: MonoUs, loads: &[ShardLoad], round: &mut Round) {
        let mut pairs: Vec<_> = loads.windows(2).map(|pair| (self.load(pair, fast), &pair[0], &pair[1])).collect();
        // The coldest first, should not all be merged.
        pairs.sort_by_key(|(load, left, _)| (load.percent, left.shard));
        // Splits of this round do not count here: should they fail, the stream must not fall below its bound.
        let mut after = round.open;
        for (load, left, right) in pairs {
            if round.taken.contains(&left.shard) || round.taken.contains(&right.shard) {
                continue;
            }
            let cold_for_us = self.watched[&left.shard].cold_since.map_or(0, |(_, since)| now.since(since));
            let is_old = left.age_us >= MERGE_AGE_US && right.age_us >= MERGE_AGE_US;
            let reason = if after > self.policy.shards_max {
                MergeReason::AboveMax { open: round.open, max: self.policy.shards_max }
            } else if after > self.policy.shards_min && is_old && cold_for_us >= COLD_FOR_US {
                MergeReason::Cold { load, for_s: cold_for_us / SECOND_US }
            } else {
                continue;
            };
            after -= 1;
            round.taken.extend([left.shard, right.shard]);
            round.decisions.push(Decision::Merge { left: left.shard, right: right.shard, reason });
        }
    }
}

impl Round {
    fn split(&mut self, shard: ShardNumber, at: HashKey, reason: SplitReason) {
        self.after += 1;
        self.taken.insert(shard);
        self.decisions.push(Decision::Split { shard, at, reason });
    }
}

fn fast(traffic: &Traffic) -> (u64, u64) {
    (traffic.bytes_s, traffic.records_s)
}

fn slow(traffic: &Traffic) -> (u64, u64) {
    (traffic.bytes_s_slow, traffic.records_s_slow)
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes_s, records_s, percent } = self;
        write!(f, "{} KiB/s and {records_s} records/s, {percent} % of a shard's share", bytes_s >> 10)
    }
}

/// Thousandths as per cent.
struct Percent(u16);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} %", self.0 / 10, self.0 % 10)
    }
}

impl fmt::Display for SplitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hot { load, for_s, below_permille } => {
                write!(f, "takes {load}, hot for {for_s} s; ")?;
                match below_permille {
                    Some(below) => write!(f, "{} of its bytes lie below", Percent(*below)),
                    None => write!(f, "too few samples to tell where its bytes lie, so its range is halved"),
                }
            }
            Self::BelowMin { open, min } => write!(f, "{open} shards are open, at least {min} are wanted"),
        }
    }
}

impl fmt::Display for MergeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cold { load, for_s } => write!(f, "take together {load}, cold for {for_s} s"),
            Self::AboveMax { open, max } => write!(f, "{open} shards are open, at most {max} are allowed"),
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneKey { load, key, permille } => {
                let share = Percent(*permille);
                write!(f, "takes {load}, but {share} of its bytes belong to the hash key {key}: a split would not help")
            }
            Self::AtMax { load, max } => write!(f, "takes {load}, but the stream has all the {max} shards it may have"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Split { shard, at, reason } => write!(f, "split {shard} at {at}: {reason}"),
            Self::Merge { left, right, reason } => write!(f, "merge {left} with {right}: {reason}"),
            Self::Keep { shard, reason } => write!(f, "keep {shard}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
