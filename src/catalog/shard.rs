//! A shard, as the catalogue holds it.

use std::fmt;

use crate::catalog::event::Placed;
use crate::catalog::range::HashRange;
use crate::types::{GroupId, Offset, ShardNumber, WallUs, WorkerId};

/// Where a shard is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShardState {
    /// A reshard that has begun will open it. Its log is being made, or is made; nobody puts to it or reads it.
    Pending,
    /// It takes puts.
    Open,
    /// It was split or merged. It can be read until the retention of the stream has passed.
    Closed {
        /// One past its last record.
        end: Offset,
        /// When it was closed.
        at: WallUs,
    },
    /// Its records are past the retention. Nobody reads it any more, and its storage is being freed.
    Expired,
}

impl ShardState {
    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Closed { .. } => "closed",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number in the stream.
    pub number: ShardNumber,
    /// Its incarnation: names its log.
    pub group: GroupId,
    /// The hash keys it takes (or will take, or took).
    pub range: HashRange,
    /// The worker it was placed on; see [`Shard::worker`].
    pub placed_on: WorkerId,
    /// When it was created. In whole seconds always later than the creation of its parents.
    pub created: WallUs,
    /// The shard it was split or merged from. It stays named here when it is long gone.
    pub parent: Option<ShardNumber>,
    /// The other shard it was merged from.
    pub adjacent_parent: Option<ShardNumber>,
    /// Where it is in its life.
    pub state: ShardState,
}

impl Shard {
    /// The worker that owns the shard on a node with `workers` of them: the one it was placed on, wrapped around when
    /// the node has fewer workers now.
    #[must_use]
    pub fn worker(&self, workers: u16) -> WorkerId {
        WorkerId(self.placed_on.0 % workers)
    }

    /// True if it takes puts.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, ShardState::Open)
    }

    /// True if a reshard that has begun will open it.
    #[must_use]
    pub const fn is_pending(&self) -> bool {
        matches!(self.state, ShardState::Pending)
    }

    /// True if it can be read: it is open or closed.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        matches!(self.state, ShardState::Open | ShardState::Closed { .. })
    }

    /// True if it counts as load of its worker: it takes puts, or will soon. Closed shards are read at most, and less
    /// and less.
    #[must_use]
    pub(super) const fn is_load(&self) -> bool {
        matches!(self.state, ShardState::Open | ShardState::Pending)
    }

    /// The shards it was made from.
    pub fn parents(&self) -> impl Iterator<Item = ShardNumber> + use<> {
        self.parent.into_iter().chain(self.adjacent_parent)
    }

    /// Which one it is, and where.
    #[must_use]
    pub const fn placed(&self) -> Placed {
        Placed { group: self.group, shard: self.number, placed_on: self.placed_on }
    }
}
