//! What is noted about a stream and concerns no shard: tags, encryption, monitoring, policy.

use std::collections::BTreeMap;
use std::ops::{BitAnd, BitOr, Not};

use crate::catalog::error::CatalogError;
use crate::limits::{KMS_KEY_ID_BYTES_MAX, POLICY_BYTES_MAX, TAG_KEY_CHARS_MAX, TAG_VALUE_CHARS_MAX, TAGS_MAX};

/// Tags: values by key.
pub type Tags = BTreeMap<String, String>;

/// What is noted about a stream. The node itself acts on none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its tags.
    pub tags: Tags,
    /// The key it is said to be encrypted with.
    pub encryption: Option<Encryption>,
    /// The metrics wanted for each of its shards.
    pub monitoring: ShardMetrics,
    /// Its resource policy.
    pub policy: Option<String>,
}

/// With what a stream is said to be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// The key, as the client named it.
    pub key_id: String,
}

/// A set of the shard-level metrics of Kinesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ShardMetrics(u8);

impl ShardMetrics {
    /// No metric.
    pub const NONE: Self = Self(0);
    /// All metrics.
    pub const ALL: Self = Self((1 << Self::NAMES.len()) - 1);

    /// Their names, in the order of the bits.
    pub const NAMES: [&'static str; 7] = [
        "IncomingBytes",
        "IncomingRecords",
        "OutgoingBytes",
        "OutgoingRecords",
        "WriteProvisionedThroughputExceeded",
        "ReadProvisionedThroughputExceeded",
        "IteratorAgeMilliseconds",
    ];

    /// The set with these bits, as stored; `None` if one of them means nothing.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    /// The bits, as stored.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set that Kinesis means by a name: one metric, or all of them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == "ALL" {
            return Some(Self::ALL);
        }
        Self::NAMES.iter().position(|have| *have == name).map(|at| Self(1 << at))
    }

    /// The names of the metrics in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(Self::NAMES).filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, name)| name)
    }
}

impl BitOr for ShardMetrics {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for ShardMetrics {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for ShardMetrics {
    type Output = Self;

    fn not(self) -> Self {
        Self(Self::ALL.0 & !self.0)
    }
}

/// Checks tags on their way into the log.
pub(super) fn check_tags(tags: &Tags) -> Result<(), CatalogError> {
    if tags.len() > TAGS_MAX {
        return Err(CatalogError::TagsFull);
    }
    tags.iter().try_for_each(|(key, value)| {
        check_tag_key(key)?;
        if value.chars().count() > TAG_VALUE_CHARS_MAX || !value.chars().all(is_tag_char) {
            return Err(CatalogError::TagInvalid { key: key.clone() });
        }
        Ok(())
    })
}

/// Checks the key of a tag on its way into the log.
pub(super) fn check_tag_key(key: &str) -> Result<(), CatalogError> {
    if key.is_empty() || key.chars().count() > TAG_KEY_CHARS_MAX || !key.chars().all(is_tag_char) {
        return Err(CatalogError::TagInvalid { key: key.to_owned() });
    }
    Ok(())
}

/// Letters and digits of any script, spaces, and some signs, as in Kinesis.
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// Checks the name of an encryption key on its way into the log.
pub(super) fn check_key_id(key_id: &str) -> Result<(), CatalogError> {
    match key_id.len() {
        1..=KMS_KEY_ID_BYTES_MAX => Ok(()),
        _ => Err(CatalogError::KeyIdInvalid),
    }
}

/// Checks a policy on its way into the log.
pub(super) fn check_policy(policy: &str) -> Result<(), CatalogError> {
    match policy.len() {
        1..=POLICY_BYTES_MAX => Ok(()),
        bytes => Err(CatalogError::PolicyBytes { bytes }),
    }
}
