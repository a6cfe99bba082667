//! A stream with its shards, as the catalogue holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::catalog::consumer::{Consumer, ConsumerId};
use crate::catalog::event::Placed;
use crate::catalog::metadata::Metadata;
use crate::catalog::range::HashRange;
use crate::catalog::settings::Settings;
use crate::catalog::shard::{Shard, ShardState};
use crate::types::{HashKey, ShardNumber, StreamId, WallUs};

/// Microseconds in the 24 hours that Kinesis counts some changes in.
const DAY_US: u64 = 24 * 3_600_000_000;

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// The logs of its shards are being created.
    Creating = 0,
    /// It takes puts.
    Active = 1,
    /// Its storage is being freed. It takes no puts and no reads, and its name is free.
    Deleting = 2,
    /// As active, and its shards are being split or merged.
    Updating = 3,
}

impl Status {
    /// The status with this code, as stored.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Creating),
            1 => Some(Self::Active),
            2 => Some(Self::Deleting),
            3 => Some(Self::Updating),
            _ => None,
        }
    }

    /// The name that Kinesis gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
            Self::Updating => "UPDATING",
        }
    }

    /// True if a stream with it takes puts and reads.
    #[must_use]
    pub const fn is_serving(self) -> bool {
        matches!(self, Self::Active | Self::Updating)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One stream.
///
/// Invariants:
/// - The shards are in ascending order of their numbers.
/// - The ranges of the open shards cover the key space, each key once.
/// - At most one reshard is pending: with its children in the place of their parents, all of them open, the ranges cover
///   the key space as well. Creations are whole seconds apart, parents first.
/// - It is updating exactly while it serves and a reshard is pending or a scaling target is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its number.
    pub id: StreamId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: WallUs,
    /// Where it is in its life.
    pub status: Status,
    /// What was set for it.
    pub settings: Settings,
    pub(super) expired_before: WallUs,
    pub(super) scaling: Option<u32>,
    /// The last times that it was scaled, and that its mode was switched.
    pub(super) scalings: Times,
    pub(super) mode_switches: Times,
    /// The last times that a key for encryption was set that it did not have, and that encryption was stopped.
    pub(super) encryption_starts: Times,
    pub(super) encryption_stops: Times,
    pub(super) metadata: Metadata,
    pub(super) consumers: BTreeMap<String, Consumer>,
    /// Number of the next shard.
    pub(super) next_shard: ShardNumber,
    pub(super) shards: Vec<Shard>,
    /// Places in `shards` of the open ones, by range. Made by [`Stream::checked`].
    pub(super) routes: Vec<u32>,
}

/// A reshard that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingReshard {
    /// The shards that will be closed, by number. They still take puts.
    pub parents: Vec<Placed>,
    /// The shards that will take their keys, by number.
    pub children: Vec<Placed>,
}

impl Stream {
    /// The stream with its routes; `None` if an invariant is broken.
    pub(super) fn checked(mut self) -> Option<Self> {
        let ascending = self.shards.is_sorted_by(|a, b| a.number < b.number);
        let numbered = self.shards.last().is_some_and(|last| last.number < self.next_shard);
        if !ascending || !numbered {
            return None;
        }
        self.build_routes();
        let sound = covers_key_space(self.open_shards())
            && self.created_after_parents()
            && self.children_replace_parents()
            && (!self.is_changing() || matches!(self.status, Status::Updating | Status::Deleting))
            && (self.is_changing() || self.status != Status::Updating);
        sound.then_some(self)
    }

    fn created_after_parents(&self) -> bool {
        let later = |child: &Shard, parent: &Shard| parent.created.second() < child.created.second();
        let known = |child: &Shard| child.parents().filter_map(|number| self.shard(number)).all(|p| later(child, p));
        self.shards.iter().all(known)
    }

    /// True if the pending shards stand for their parents, which are open.
    fn children_replace_parents(&self) -> bool {
        let replaced: BTreeSet<_> = self.pending_shards().flat_map(Shard::parents).collect();
        let kept = self.open_shards().filter(|shard| !replaced.contains(&shard.number));
        let mut after: Vec<_> = kept.chain(self.pending_shards()).collect();
        after.sort_by_key(|shard| shard.range.start);
        let open = |number: &ShardNumber| self.shard(*number).is_some_and(Shard::is_open);
        let from_within = |child: &Shard| {
            child.parent.is_some()
                && child.parents().filter_map(|n| self.shard(n)).any(|p| p.range.overlaps(child.range))
        };
        replaced.iter().all(open) && self.pending_shards().all(from_within) && covers_key_space(after.into_iter())
    }

    /// All shards, by number, also those that nobody is to see.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard with this number, in whatever state.
    #[must_use]
    pub fn shard(&self, number: ShardNumber) -> Option<&Shard> {
        self.place(number).map(|at| &self.shards[at])
    }

    /// The open shards, by range.
    pub fn open_shards(&self) -> impl ExactSizeIterator<Item = &Shard> + DoubleEndedIterator {
        self.routes.iter().map(|at| &self.shards[*at as usize])
    }

    /// The shards that a pending reshard will open, by number.
    pub fn pending_shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.is_pending())
    }

    /// The shards that can be read, by number: the open and the closed ones. These are what a listing shows.
    pub fn readable_shards(&self) -> impl DoubleEndedIterator<Item = &Shard> {
        self.shards.iter().filter(|shard| shard.is_readable())
    }

    /// The readable shards that were made from this one, by number.
    pub fn children(&self, of: ShardNumber) -> impl Iterator<Item = &Shard> {
        // A child has a higher number than its parents.
        let from = self.shards.partition_point(|shard| shard.number <= of);
        self.shards[from..].iter().filter(move |shard| shard.is_readable() && shard.parents().any(|p| p == of))
    }

    /// The reshard that has begun and is not finished.
    #[must_use]
    pub fn reshard_in_progress(&self) -> Option<PendingReshard> {
        let children: Vec<_> = self.pending_shards().map(Shard::placed).collect();
        if children.is_empty() {
            return None;
        }
        let parents: BTreeSet<_> = self.pending_shards().flat_map(Shard::parents).collect();
        let parents = parents.into_iter().filter_map(|number| self.shard(number)).map(Shard::placed).collect();
        Some(PendingReshard { parents, children })
    }

    /// The number of shards it is being scaled to.
    #[must_use]
    pub const fn scaling(&self) -> Option<u32> {
        self.scaling
    }

    /// Records that arrived before this are gone, whatever the retention is now: they had expired when it was changed.
    #[must_use]
    pub const fn expired_before(&self) -> WallUs {
        self.expired_before
    }

    /// What was noted about it.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The registered consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> + DoubleEndedIterator {
        self.consumers.values()
    }

    /// The consumer with this number.
    #[must_use]
    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.values().find(|consumer| consumer.id == id)
    }

    /// The consumer with this name.
    #[must_use]
    pub fn consumer_by_name(&self, name: &str) -> Option<&Consumer> {
        self.consumers.get(name)
    }

    /// The open shard that takes this key.
    #[must_use]
    pub fn route(&self, key: HashKey) -> &Shard {
        let after = self.routes.partition_point(|at| self.shards[*at as usize].range.start <= key);
        let shard = &self.shards[self.routes[after - 1] as usize];
        assert!(shard.range.contains(key), "stream {} has no shard for key {key}", self.id);
        shard
    }

    /// True if its open shards divide the key space evenly.
    #[must_use]
    pub fn is_uniform(&self, shards: u32) -> bool {
        self.routes.len() == shards as usize
            && self.open_shards().map(|shard| shard.range).eq(HashRange::uniform(shards))
    }

    /// The times that count when the key for encryption becomes `key_id`; `None` if that changes nothing.
    pub(super) fn encryption_changes(&self, key_id: Option<&str>) -> Option<&Times> {
        let current = self.metadata.encryption.as_ref().map(|encryption| encryption.key_id.as_str());
        let times = if key_id.is_some() { &self.encryption_starts } else { &self.encryption_stops };
        (key_id != current).then_some(times)
    }

    /// True while a reshard is pending or a scaling target is set.
    fn is_changing(&self) -> bool {
        self.scaling.is_some() || self.pending_shards().next().is_some()
    }

    /// Makes status and routes right after the shards or the scaling target of a serving stream have changed.
    pub(super) fn settle(&mut self) {
        self.build_routes();
        self.status = if self.is_changing() { Status::Updating } else { Status::Active };
    }

    pub(super) fn shard_mut(&mut self, number: ShardNumber) -> Option<&mut Shard> {
        self.place(number).map(|at| &mut self.shards[at])
    }

    fn place(&self, number: ShardNumber) -> Option<usize> {
        self.shards.binary_search_by_key(&number, |shard| shard.number).ok()
    }

    fn build_routes(&mut self) {
        let shards = &self.shards;
        let open = (0..).zip(shards).filter(|(_, shard)| shard.state == ShardState::Open);
        self.routes = open.map(|(at, _)| at).collect();
        self.routes.sort_by_key(|at| shards[*at as usize].range.start);
    }
}

/// True if the ranges of the shards, in this order, cover the key space, each key once.
fn covers_key_space<'a>(shards: impl Iterator<Item = &'a Shard>) -> bool {
    // The key that the next range must start with; `None` once the last key is covered.
    let mut next = Some(0_u128);
    for HashRange { start, end } in shards.map(|shard| shard.range) {
        if next != Some(start.0) || end < start {
            return false;
        }
        next = end.0.checked_add(1);
    }
    next.is_none()
}

/// The last times that something was done to a stream, oldest first, as given by the clock then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times(pub Vec<WallUs>);

impl Times {
    /// Notes another time, and forgets the oldest if there are more than `keep`.
    pub fn note(&mut self, now: WallUs, keep: usize) {
        self.0.push(now);
        let surplus = self.0.len().saturating_sub(keep);
        self.0.drain(..surplus);
    }

    /// How many of them lie in the 24 hours before `now`. Those after it do too: the clock was set back.
    pub fn in_last_day(&self, now: WallUs) -> usize {
        let since = now.0.saturating_sub(DAY_US);
        self.0.iter().filter(|time| time.0 > since).count()
    }
}
