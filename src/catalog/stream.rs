//! A stream with its shards, as the catalogue holds it.

use std::fmt;

use crate::catalog::range::HashRange;
use crate::limits::{RECORD_BYTES_DEFAULT, RETENTION_HOURS_MIN};
use crate::types::{Durability, GroupId, HashKey, Offset, ShardNumber, StreamId, WallUs, WorkerId};

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// The logs of its shards are being created.
    Creating = 0,
    /// It takes puts.
    Active = 1,
    /// Its storage is being freed. It takes no puts and no reads.
    Deleting = 2,
}

impl Status {
    /// The status with this code, as stored.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Creating),
            1 => Some(Self::Active),
            2 => Some(Self::Deleting),
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
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What can be set per stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Hours that records are kept.
    pub retention_hours: u32,
    /// Largest record, data and key together, in bytes.
    pub record_bytes_max: u32,
    /// When puts are acknowledged.
    pub durability: Durability,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention_hours: RETENTION_HOURS_MIN,
            record_bytes_max: RECORD_BYTES_DEFAULT,
            durability: Durability::default(),
        }
    }
}

impl Settings {
    /// Hours that records are kept, in microseconds.
    #[must_use]
    pub const fn retention_us(&self) -> u64 {
        self.retention_hours as u64 * 3_600_000_000
    }
}

/// New values for some of the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SettingsChange {
    /// Hours that records are kept.
    pub retention_hours: Option<u32>,
    /// Largest record, data and key together, in bytes.
    pub record_bytes_max: Option<u32>,
    /// When puts are acknowledged.
    pub durability: Option<Durability>,
}

impl SettingsChange {
    /// True if it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `settings` with the new values.
    #[must_use]
    pub fn applied_to(&self, settings: Settings) -> Settings {
        Settings {
            retention_hours: self.retention_hours.unwrap_or(settings.retention_hours),
            record_bytes_max: self.record_bytes_max.unwrap_or(settings.record_bytes_max),
            durability: self.durability.unwrap_or(settings.durability),
        }
    }
}

/// How a shard ended that was split or merged. No command of this version closes shards; snapshots can carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Closed {
    /// One past its last record.
    pub end: Offset,
    /// When it was closed.
    pub at: WallUs,
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number in the stream.
    pub number: ShardNumber,
    /// Its incarnation: names its log.
    pub group: GroupId,
    /// The hash keys it takes (or took, once closed).
    pub range: HashRange,
    /// The worker it was placed on; see [`Shard::worker`].
    pub placed_on: WorkerId,
    /// When it was created.
    pub created: WallUs,
    /// The shard it was split or merged from.
    pub parent: Option<ShardNumber>,
    /// The other shard it was merged from.
    pub adjacent_parent: Option<ShardNumber>,
    /// How it ended, if it did.
    pub closed: Option<Closed>,
}

impl Shard {
    /// The worker that owns the shard on a node with `workers` of them: the one it was placed on, wrapped around when
    /// the node has fewer workers now.
    #[must_use]
    pub fn worker(&self, workers: u16) -> WorkerId {
        WorkerId(self.placed_on.0 % workers)
    }
}

/// One stream.
///
/// Invariants:
/// - The shards are in ascending order of their numbers.
/// - The ranges of the open shards cover the key space, each key once.
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
    /// Number of the next shard.
    pub(super) next_shard: ShardNumber,
    shards: Vec<Shard>,
    /// Places in `shards` of the open ones, by range.
    routes: Vec<u32>,
}

/// The identity of a stream, for [`Stream::new`].
pub(super) struct StreamHead {
    pub id: StreamId,
    pub name: String,
    pub created: WallUs,
    pub status: Status,
    pub settings: Settings,
    pub next_shard: ShardNumber,
}

impl Stream {
    /// A stream with these shards; `None` if they break an invariant.
    pub(super) fn new(head: StreamHead, shards: Vec<Shard>) -> Option<Self> {
        let StreamHead { id, name, created, status, settings, next_shard } = head;
        let ascending = shards.is_sorted_by(|a, b| a.number < b.number);
        let numbered = shards.last().is_some_and(|last| last.number < next_shard);
        let mut routes: Vec<u32> = (0..).zip(&shards).filter(|(_, s)| s.closed.is_none()).map(|(at, _)| at).collect();
        routes.sort_by_key(|at| shards[*at as usize].range.start);
        let ranges = routes.iter().map(|at| shards[*at as usize].range);
        if !ascending || !numbered || !covers_key_space(ranges) {
            return None;
        }
        Some(Self { id, name, created, status, settings, next_shard, shards, routes })
    }

    /// All shards, by number.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard with this number.
    #[must_use]
    pub fn shard(&self, number: ShardNumber) -> Option<&Shard> {
        let at = self.shards.binary_search_by_key(&number, |shard| shard.number).ok()?;
        Some(&self.shards[at])
    }

    /// The open shards, by range.
    pub fn open_shards(&self) -> impl ExactSizeIterator<Item = &Shard> + DoubleEndedIterator {
        self.routes.iter().map(|at| &self.shards[*at as usize])
    }

    /// The open shard that takes this key.
    #[must_use]
    pub fn route(&self, key: HashKey) -> &Shard {
        let after = self.routes.partition_point(|at| self.shards[*at as usize].range.start <= key);
        let shard = &self.shards[self.routes[after - 1] as usize];
        assert!(shard.range.contains(key), "stream {} has no shard for key {key}", self.id);
        shard
    }
}

/// True if the ranges, in this order, cover the key space, each key once.
fn covers_key_space(ranges: impl Iterator<Item = HashRange>) -> bool {
    // The key that the next range must start with; `None` once the last key is covered.
    let mut next = Some(0_u128);
    for range in ranges {
        if next != Some(range.start.0) || range.end < range.start {
            return false;
        }
        next = range.end.0.checked_add(1);
    }
    next.is_none()
}
