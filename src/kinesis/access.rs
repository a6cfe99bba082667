//! Who may call: the access keys whose signatures are verified, and what each of them may do.
//!
//! [`Keys`] is what was configured, shared by all workers. Each worker makes an [`Access`] of it, which remembers the signing
//! keys it derived.

use std::fmt;
use std::sync::Arc;

/// A secret access key. Shows nothing of itself.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Wraps the secret.
    #[must_use]
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, to derive signing keys from.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One access key: a user, as AWS would call it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The user's name, as it appears in refusals.
    pub name: String,
    /// What requests name the key by.
    pub access_key_id: String,
    /// What they are signed with.
    pub secret: Secret,
    /// What it may do; `None` for everything.
    pub allow: Option<Vec<Rule>>,
}

/// One permission: these actions on these streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of names of operations, without `kinesis:`. `*` stands for any characters, `?` for one.
    pub actions: Vec<String>,
    /// Patterns of names of streams.
    pub streams: Vec<String>,
}

/// All access keys of a node. No two have the same id.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<Key>);

/// Two keys have this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateId(pub String);

impl Keys {
    /// Takes the keys, if no two have the same id.
    pub fn new(keys: Vec<Key>) -> Result<Self, DuplicateId> {
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|other| other.access_key_id == key.access_key_id) {
                return Err(DuplicateId(key.access_key_id.clone()));
            }
        }
        Ok(Self(keys))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, so that nobody gets in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys, in the order they were given in.
    #[must_use]
    pub fn as_slice(&self) -> &[Key] {
        &self.0
    }
}

/// What a worker checks requests with.
#[derive(Debug)]
pub enum Access {
    /// No keys are configured: signatures are not verified, and everybody may do everything.
    Open,
    /// Requests are signed with one of these keys.
    Keys(Arc<Keys>),
}

impl Access {
    /// Access by these keys, open if there is no list of them at all.
    #[must_use]
    pub fn new(keys: Option<Arc<Keys>>) -> Self {
        keys.map_or(Self::Open, Self::Keys)
    }
}
