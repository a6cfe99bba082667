//! Small values with versions and leases: checkpoints of consumers, and who works on which shard.
//!
//! There is no time in here. A lease ends by the verdict of whoever watches it: that one sends a claim that says which
//! lease it takes the place of. Deadlines are kept in memory on a monotonic clock, so a heartbeat writes nothing, and no
//! jump of the wall clock ends a lease. Every grant has a new token; a holder that was taken over and does not know it
//! yet cannot change the value any more, for its token is not the one of the lease in force.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use bytes::Bytes;
use thiserror::Error;

use crate::limits::{
    LEASE_OWNER_BYTES_MAX, LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, STORE_BYTES_MAX, STORE_ITEMS_MAX, STORE_KEY_BYTES_MAX,
    STORE_SPACE_BYTES_MAX, STORE_VALUE_BYTES_MAX,
};

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Its version; 0 if it was claimed and never put. Greater with each put, and never reused, not by other values
    /// either: who finds the version as it was finds the value as it was.
    pub version: u64,
    /// The value itself; empty if it was never put.
    pub value: Bytes,
    /// Who holds it.
    pub lease: Option<Lease>,
}

/// The right to change a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who has it, by a name of its own choice.
    pub owner: String,
    /// Which grant it is. Greater with each grant, and never reused.
    pub token: u64,
    /// How long it lasts without a heartbeat, in milliseconds.
    pub ttl_ms: u32,
}

/// What must be there for a value to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Whatever there is, or nothing.
    #[default]
    Any,
    /// Nothing.
    Absent,
    /// This version.
    Version(u64),
}

/// Which value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The space it is in: that of one application, say.
    pub space: String,
    /// Its key in the space.
    pub key: String,
}

/// A change of the stored values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreCommand {
    /// Stores a value. A lease on it stays.
    Put {
        /// Which.
        name: Name,
        /// The new value.
        value: Bytes,
        /// What must be there.
        expect: Expect,
        /// The token of the lease on it, `None` if there is no lease.
        token: Option<u64>,
    },
    /// Removes a value, and its lease with it.
    Delete {
        /// Which; it exists.
        name: Name,
        /// What must be there.
        expect: Expect,
        /// The token of the lease on it, `None` if there is no lease.
        token: Option<u64>,
    },
    /// Takes a lease on a value, which need not exist.
    Claim {
        /// On which.
        name: Name,
        /// For whom.
        owner: String,
        /// For how long without a heartbeat, in milliseconds.
        ttl_ms: u32,
        /// The lease that it may take the place of: it has run out, or is to be stolen.
        take_from: Option<u64>,
    },
    /// Gives a lease back. The value stays.
    Release {
        /// On which.
        name: Name,
        /// The lease.
        token: u64,
    },
}

/// Why a change of the stored values was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Not 1 to 128 of the allowed characters.
    #[error(
        "a space's name has 1 to {STORE_SPACE_BYTES_MAX} of the characters a-z, A-Z, 0-9, '_', '.', ':', '-' and '/'"
    )]
    SpaceInvalid,
    /// Empty or too long.
    #[error("a key has 1 to {STORE_KEY_BYTES_MAX} bytes")]
    KeyInvalid,
    /// Too large.
    #[error("a value of {bytes} bytes: up to {STORE_VALUE_BYTES_MAX} are possible")]
    ValueBytes {
        /// What was sent.
        bytes: usize,
    },
    /// Empty or too long.
    #[error("the owner of a lease has a name of 1 to {LEASE_OWNER_BYTES_MAX} bytes")]
    OwnerInvalid,
    /// Out of range.
    #[error("a lease of {ttl_ms} ms: {LEASE_TTL_MS_MIN} to {LEASE_TTL_MS_MAX} are possible")]
    LeaseTtl {
        /// What was asked for.
        ttl_ms: u32,
    },
    /// As many values or bytes are stored as can be.
    #[error("the node stores {items} values of {bytes} bytes, its limits are {STORE_ITEMS_MAX} and {STORE_BYTES_MAX}")]
    Full {
        /// Values there are.
        items: usize,
        /// Bytes they take.
        bytes: usize,
    },
    /// There is no such value.
    #[error("there is no such value")]
    Absent,
    /// The value is not the one expected.
    #[error("the value {}", found(*current))]
    VersionWrong {
        /// The version it has, `None` if it does not exist.
        current: Option<u64>,
    },
    /// Somebody else holds the lease.
    #[error("{owner} holds the lease, its token is {token}")]
    LeaseHeld {
        /// Who.
        owner: String,
        /// By which grant.
        token: u64,
    },
    /// The lease with this token is over: it was given back or ended, or the value was deleted.
    #[error("the lease with token {token} is over")]
    LeaseOver {
        /// The token that was sent.
        token: u64,
    },
}

fn found(current: Option<u64>) -> String {
    current.map_or_else(|| "does not exist".to_owned(), |version| format!("has version {version}"))
}

/// All stored values.
///
/// Invariants: no space is empty; versions and tokens are not above the counter; the sums are those of the items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    spaces: BTreeMap<String, BTreeMap<String, Item>>,
    /// The last version or token that was handed out.
    counter: u64,
    items: usize,
    bytes: usize,
}

impl Store {
    /// Nothing stored, after this version or token.
    pub(super) fn after(counter: u64) -> Self {
        Self { counter, ..Self::default() }
    }

    /// A value.
    #[must_use]
    pub fn get(&self, space: &str, key: &str) -> Option<&Item> {
        self.spaces.get(space)?.get(key)
    }

    /// The values of a space with their keys in order, from the one after `key` on (from the first one without).
    pub fn items_after(&self, space: &str, key: Option<&str>) -> impl Iterator<Item = (&str, &Item)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.spaces.get(space).map(|items| items.range::<str, _>((from, Bound::Unbounded)));
        range.into_iter().flatten().map(|(key, item)| (key.as_str(), item))
    }

    /// The spaces in which something is stored, in order.
    pub fn spaces(&self) -> impl ExactSizeIterator<Item = &str> {
        self.spaces.keys().map(String::as_str)
    }

    /// Number of values in all spaces.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// Bytes of all values, with their names and owners.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn counter(&self) -> u64 {
        self.counter
    }

    pub(super) fn items_in(&self, space: &str) -> usize {
        self.spaces.get(space).map_or(0, BTreeMap::len)
    }

    /// Decides whether a command leaves enough room.
    pub(super) fn admits(&self, command: &StoreCommand) -> Result<(), StoreError> {
        let (name, value, owner) = match command {
            StoreCommand::Put { name, value, .. } => (name, Some(value.len()), None),
            StoreCommand::Claim { name, owner, .. } => (name, None, Some(owner.len())),
            StoreCommand::Delete { .. } | StoreCommand::Release { .. } => return Ok(()),
        };
        let old = self.get(&name.space, &name.key);
        let value = value.or(old.map(|item| item.value.len())).unwrap_or(0);
        let owner = owner.or(old.map(|item| item.owner_bytes())).unwrap_or(0);
        let before = old.map_or(0, |item| name.bytes() + item.bytes());
        let bytes = self.bytes - before + name.bytes() + value + owner;
        // What does not grow is let in even when a build before this one had larger limits.
        let grows = bytes > self.bytes || old.is_none();
        if grows && (bytes > STORE_BYTES_MAX || self.items + usize::from(old.is_none()) > STORE_ITEMS_MAX) {
            return Err(StoreError::Full { items: self.items, bytes: self.bytes });
        }
        Ok(())
    }

    /// Checks a command against what is stored.
    pub(super) fn fits(&self, command: &StoreCommand) -> Result<(), StoreError> {
        let Name { space, key } = command.name();
        let item = self.get(space, key);
        let lease = item.and_then(|item| item.lease.as_ref());
        match command {
            StoreCommand::Put { expect, token, .. } => {
                fenced(lease, *token)?;
                expect.met_by(item)
            }
            StoreCommand::Delete { expect, token, .. } => {
                fenced(lease, *token)?;
                if item.is_none() {
                    return Err(StoreError::Absent);
                }
                expect.met_by(item)
            }
            StoreCommand::Claim { take_from, .. } => match lease {
                Some(lease) if *take_from != Some(lease.token) => Err(lease.held()),
                _ => Ok(()),
            },
            StoreCommand::Release { token, .. } => match lease {
                Some(lease) if lease.token == *token => Ok(()),
                _ => Err(StoreError::LeaseOver { token: *token }),
            },
        }
    }

    /// Applies a command that fits. Gives the version and the token of the value afterwards, if it has them.
    pub(super) fn apply(&mut self, command: &StoreCommand) -> (Option<u64>, Option<u64>) {
        let name = command.name();
        let mut item = self.take(name).unwrap_or_default();
        match command {
            StoreCommand::Delete { .. } => return (None, None),
            StoreCommand::Put { value, .. } => {
                item.version = self.count();
                item.value = value.clone();
            }
            StoreCommand::Claim { owner, ttl_ms, .. } => {
                item.lease = Some(Lease { owner: owner.clone(), token: self.count(), ttl_ms: *ttl_ms });
            }
            StoreCommand::Release { .. } => item.lease = None,
        }
        let outcome = (Some(item.version), item.lease.as_ref().map(|lease| lease.token));
        self.put(name.clone(), item).expect("the value before was taken");
        outcome
    }

    /// Adds a value. An error names what is wrong with it; the store is then of no use.
    pub(super) fn put(&mut self, name: Name, item: Item) -> Result<(), &'static str> {
        if item.version > self.counter {
            return Err("stored version");
        }
        if item.lease.as_ref().is_some_and(|lease| lease.token == 0 || lease.token > self.counter) {
            return Err("lease token");
        }
        let bytes = name.bytes() + item.bytes();
        match self.spaces.entry(name.space).or_default().entry(name.key) {
            Entry::Occupied(_) => return Err("stored key"),
            Entry::Vacant(place) => place.insert(item),
        };
        self.items += 1;
        self.bytes += bytes;
        Ok(())
    }

    fn take(&mut self, name: &Name) -> Option<Item> {
        let items = self.spaces.get_mut(&name.space)?;
        let item = items.remove(&name.key)?;
        if items.is_empty() {
            self.spaces.remove(&name.space);
        }
        self.items -= 1;
        self.bytes -= name.bytes() + item.bytes();
        Some(item)
    }

    const fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

impl Item {
    fn owner_bytes(&self) -> usize {
        self.lease.as_ref().map_or(0, |lease| lease.owner.len())
    }

    fn bytes(&self) -> usize {
        self.value.len() + self.owner_bytes()
    }
}

impl Name {
    const fn bytes(&self) -> usize {
        self.space.len() + self.key.len()
    }
}

impl Lease {
    fn held(&self) -> StoreError {
        StoreError::LeaseHeld { owner: self.owner.clone(), token: self.token }
    }
}

impl Expect {
    fn met_by(self, item: Option<&Item>) -> Result<(), StoreError> {
        let met = match self {
            Self::Any => true,
            Self::Absent => item.is_none(),
            Self::Version(version) => item.is_some_and(|item| item.version == version),
        };
        if met { Ok(()) } else { Err(StoreError::VersionWrong { current: item.map(|item| item.version) }) }
    }
}

/// Decides whether who comes with this token may change a value with this lease.
fn fenced(lease: Option<&Lease>, token: Option<u64>) -> Result<(), StoreError> {
    match (lease, token) {
        (None, None) => Ok(()),
        (Some(lease), Some(token)) if lease.token == token => Ok(()),
        (_, Some(token)) => Err(StoreError::LeaseOver { token }),
        (Some(lease), None) => Err(lease.held()),
    }
}

/// Checks the name of a space: 1 to 128 of the characters `a-z`, `A-Z`, `0-9`, `_`, `.`, `:`, `-` and `/`.
pub fn check_space(space: &str) -> Result<(), StoreError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.:-/".contains(&c);
    let fits = (1..=STORE_SPACE_BYTES_MAX).contains(&space.len());
    if fits && space.bytes().all(allowed) { Ok(()) } else { Err(StoreError::SpaceInvalid) }
}

/// Checks a key: 1 to 256 bytes.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if (1..=STORE_KEY_BYTES_MAX).contains(&key.len()) { Ok(()) } else { Err(StoreError::KeyInvalid) }
}

impl StoreCommand {
    /// The value that it is about.
    #[must_use]
    pub const fn name(&self) -> &Name {
        match self {
            Self::Put { name, .. }
            | Self::Delete { name, .. }
            | Self::Claim { name, .. }
            | Self::Release { name, .. } => name,
        }
    }

    /// Checks the values against the limits of this build.
    pub(super) fn check_limits(&self) -> Result<(), StoreError> {
        let Name { space, key } = self.name();
        check_space(space)?;
        check_key(key)?;
        match self {
            Self::Put { value, .. } if value.len() > STORE_VALUE_BYTES_MAX => {
                Err(StoreError::ValueBytes { bytes: value.len() })
            }
            Self::Claim { owner, .. } if owner.is_empty() || owner.len() > LEASE_OWNER_BYTES_MAX => {
                Err(StoreError::OwnerInvalid)
            }
            Self::Claim { ttl_ms, .. } if !(LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX).contains(ttl_ms) => {
                Err(StoreError::LeaseTtl { ttl_ms: *ttl_ms })
            }
            _ => Ok(()),
        }
    }
}
