//! Registered consumers: readers of a stream with a pipe of their own from each shard.

use std::fmt;

use crate::catalog::metadata::Tags;
use crate::types::WallUs;

/// A registered consumer, as the catalogue numbers them over all streams. Never reused; names are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A registered consumer of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its number.
    pub id: ConsumerId,
    /// Its name; no other consumer of the stream has it.
    pub name: String,
    /// When it was registered. The ARN is made of the name and the second of this; no two consumers of one name, be it of
    /// different times or streams, have the same second.
    pub created: WallUs,
    /// Its tags.
    pub tags: Tags,
    /// Its resource policy.
    pub policy: Option<String>,
}
