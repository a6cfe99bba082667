//! What a stream or a consumer carries along: tags, encryption key, monitoring, policy.

use std::collections::BTreeMap;

use super::{Client, check_name};
use crate::client::error::{Error, Result};
use crate::limits::{
    CONSUMER_NAME_BYTES_MAX, ENCRYPTION_KEY_BYTES_MAX, POLICY_BYTES_MAX, TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX,
    TAGS_MAX,
};
use crate::protocol::messages::{GetMetadata, MetadataChange, SetMetadata};
use crate::runtime::Reactor;

/// What a stream or a consumer carries along. The node keeps it and does not act by it. Consumers have tags only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Values by key.
    pub tags: BTreeMap<String, String>,
    /// The key that records are said to be encrypted with.
    pub encryption_key: Option<String>,
    /// The metrics per shard that are on, one bit each: see [`MetadataChange::Monitoring`].
    pub monitoring: u8,
    /// The policy.
    pub policy: Option<String>,
}

impl<R: Reactor> Client<R> {
    /// What a stream carries along, or with `consumer` that one of its consumers.
    pub async fn metadata(&self, stream: &str, consumer: Option<&str>) -> Result<Metadata> {
        let consumer = check(stream, consumer)?;
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.ask(&GetMetadata { stream, consumer }, |answer| Metadata {
            tags: answer.tags.iter().map(|tag| (tag.key.to_owned(), tag.value.to_owned())).collect(),
            encryption_key: text(answer.encryption_key),
            monitoring: answer.monitoring,
            policy: text(answer.policy),
        })
        .await
    }

    /// Changes one thing of what a stream or a consumer carries along, all of it or nothing. Repeated when the outcome is
    /// unknown: what is set twice is as set once.
    pub async fn set_metadata(&self, stream: &str, consumer: Option<&str>, change: MetadataChange<'_>) -> Result<()> {
        let consumer = check(stream, consumer)?;
        check_change(&change)?;
        self.ask(&SetMetadata { stream, consumer, change }, |_| ()).await
    }
}

fn check<'a>(stream: &str, consumer: Option<&'a str>) -> Result<&'a str> {
    check_name(stream)?;
    match consumer {
        // Empty, it would stand for the stream.
        Some(name) if name.is_empty() || name.len() > CONSUMER_NAME_BYTES_MAX => {
            Err(Error::Argument("a consumer's name has 1 to 128 bytes"))
        }
        consumer => Ok(consumer.unwrap_or("")),
    }
}

/// Refuses what no message has room for. The node has finer rules.
fn check_change(change: &MetadataChange<'_>) -> Result<()> {
    let (fits, rule) = match change {
        MetadataChange::Tags { set, remove } => {
            let fits = |tag: &crate::protocol::messages::Tag<'_>| {
                tag.key.len() <= TAG_KEY_BYTES_MAX && tag.value.len() <= TAG_VALUE_BYTES_MAX
            };
            let few = set.len() <= TAGS_MAX && remove.len() <= TAGS_MAX;
            let short = set.iter().all(fits) && remove.iter().all(|key| key.len() <= TAG_KEY_BYTES_MAX);
            (few && short, "at most 50 tags, keys of 128 and values of 256 characters")
        }
        MetadataChange::Encryption(key) => {
            (key.len() <= ENCRYPTION_KEY_BYTES_MAX, "an encryption key's name has at most 2,048 bytes")
        }
        MetadataChange::Monitoring(_) => (true, ""),
        MetadataChange::Policy(policy) => (policy.len() <= POLICY_BYTES_MAX, "a policy has at most 20 KiB"),
    };
    if fits { Ok(()) } else { Err(Error::Argument(rule)) }
}
