//! Small values with versions and leases: what programs agree upon through the node.

use std::time::Duration;

use bytes::Bytes;

use super::{Client, check_length};
use crate::client::error::{Error, Result};
use crate::limits::{
    LEASE_RENEWALS_MAX, STORE_KEY_BYTES_MAX, STORE_OWNER_BYTES_MAX, STORE_SPACE_BYTES_MAX, STORE_VALUE_BYTES_MAX,
};
use crate::protocol::messages::{
    Expect, LeaseClaim, LeaseRelease, LeaseRenew, Renewal, StoreDelete, StoreGet, StoreItem, StoreList,
    StoreListAnswer, StorePut,
};
use crate::runtime::Reactor;

/// A small value under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: String,
    /// Grows with every put; 0 if nothing was put yet, only a lease claimed.
    pub version: u64,
    /// The value.
    pub value: Bytes,
    /// The lease, if somebody has taken one and not given it back.
    pub lease: Option<Leased>,
}

/// The lease of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Its number. Later leases have higher ones; never 0.
    pub token: u64,
    /// How long it lasts from each renewal.
    pub ttl: Duration,
    /// How long it still lasts, by the node's clock. At zero anybody may claim it.
    pub remaining: Duration,
    /// Who holds it, as the holder calls itself.
    pub owner: String,
}

impl From<StoreItem<'_>> for Item {
    fn from(item: StoreItem<'_>) -> Self {
        let lease = item.lease.map(|lease| Leased {
            token: lease.token,
            ttl: Duration::from_millis(lease.ttl_ms.into()),
            remaining: Duration::from_millis(lease.remaining_ms.into()),
            owner: lease.owner.to_owned(),
        });
        Self { key: item.key.to_owned(), version: item.version, value: Bytes::copy_from_slice(item.value), lease }
    }
}

impl<R: Reactor> Client<R> {
    /// Stores a value, if what is there is as expected and the lease, if there is one, is the `token`; gives the item's
    /// version.
    ///
    /// # Errors
    /// `VersionMismatch`, `LeaseHeld` and `LeaseLost` say why not. Not repeated when the outcome is unknown: a put that is
    /// sent again may overwrite what somebody put in between. [`Client::store_get`] tells.
    pub async fn store_put(
        &self,
        space: &str,
        key: &str,
        value: &[u8],
        expect: Expect,
        token: Option<u64>,
    ) -> Result<u64> {
        check_key(space, key)?;
        if value.len() > STORE_VALUE_BYTES_MAX {
            return Err(Error::Argument("a value has at most 4 KiB"));
        }
        self.change(&StorePut { space, key, value, expect, token }, |answer| answer.version).await
    }

    /// The item under a key, if there is one.
    pub async fn store_get(&self, space: &str, key: &str) -> Result<Option<Item>> {
        check_key(space, key)?;
        self.ask(&StoreGet { space, key }, |answer| answer.item.map(Item::from)).await
    }

    /// All items of a space whose keys begin with `prefix`, by key, read page by page. Between two pages items may change.
    pub async fn store_list(&self, space: &str, prefix: &str) -> Result<Vec<Item>> {
        check_length(space, STORE_SPACE_BYTES_MAX, SPACE_RULE)?;
        if prefix.len() > STORE_KEY_BYTES_MAX {
            return Err(Error::Argument(KEY_RULE));
        }
        let mut items: Vec<Item> = Vec::new();
        loop {
            let after = items.last().map_or(String::new(), |item| item.key.clone());
            let read = |answer: StoreListAnswer<'_>| {
                let page: Vec<_> = answer.items.into_iter().map(Item::from).collect();
                (page, answer.more)
            };
            let (page, more) = self.ask(&StoreList { space, prefix, after: &after, limit: 0 }, read).await?;
            let last = !more || page.is_empty();
            items.extend(page);
            if last {
                return Ok(items);
            }
        }
    }

    /// Deletes an item with its lease, under the conditions of [`Client::store_put`]; says whether there was one.
    ///
    /// Not repeated when the outcome is unknown: an item that somebody put in between would go too.
    pub async fn store_delete(&self, space: &str, key: &str, expect: Expect, token: Option<u64>) -> Result<bool> {
        check_key(space, key)?;
        self.change(&StoreDelete { space, key, expect, token }, |answer| answer.existed).await
    }

    /// Takes the lease of an item that nobody holds, whose lease has run out, or has the token `take_from`; gives the item
    /// with the new lease. An item that does not exist is created, empty.
    ///
    /// # Errors
    /// `LeaseHeld` if somebody holds it. Not repeated when the outcome is unknown: if `LeaseHeld` then names the own
    /// `owner`, the claim is repeated with that token as `take_from`. So two incarnations of a program need two names.
    pub async fn lease_claim(
        &self,
        space: &str,
        key: &str,
        owner: &str,
        ttl: Duration,
        take_from: Option<u64>,
    ) -> Result<Item> {
        check_key(space, key)?;
        check_length(owner, STORE_OWNER_BYTES_MAX, "an owner has 1 to 128 bytes")?;
        let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
        self.change(&LeaseClaim { space, key, owner, ttl_ms, take_from }, |answer| answer.item.into()).await
    }

    /// Lets leases (key and token) last for their full time again; says for each whether it is still held. Many are
    /// renewed by as few requests as possible. Repeated when the outcome is unknown.
    pub async fn lease_renew(&self, space: &str, leases: &[(&str, u64)]) -> Result<Vec<bool>> {
        for (key, _) in leases {
            check_key(space, key)?;
        }
        let mut held = Vec::with_capacity(leases.len());
        for leases in leases.chunks(LEASE_RENEWALS_MAX) {
            let renewals = leases.iter().map(|(key, token)| Renewal { key, token: *token }).collect();
            let page = self.ask(&LeaseRenew { space, renewals }, |answer| answer.held).await?;
            if page.len() != leases.len() {
                return Err(Error::Protocol(crate::client::session::ProtocolError::Count));
            }
            held.extend(page);
        }
        Ok(held)
    }

    /// Gives a lease back before it runs out. The item stays.
    ///
    /// Not repeated when the outcome is unknown. Asking again does no harm: it fails with `LeaseLost` if it had happened.
    pub async fn lease_release(&self, space: &str, key: &str, token: u64) -> Result<()> {
        check_key(space, key)?;
        self.change(&LeaseRelease { space, key, token }, |_| ()).await
    }
}

const SPACE_RULE: &str = "a space has 1 to 128 bytes";
const KEY_RULE: &str = "a key has 1 to 256 bytes";

fn check_key(space: &str, key: &str) -> Result<()> {
    check_length(space, STORE_SPACE_BYTES_MAX, SPACE_RULE)?;
    check_length(key, STORE_KEY_BYTES_MAX, KEY_RULE)
}
