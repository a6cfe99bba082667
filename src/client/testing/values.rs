//! The fake node's store: values with versions and leases, as section 9 of PROTOCOL.md says. Pure: time is an argument.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::protocol::messages::{Expect, Lease, StoreItem};
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::types::MonoUs;

#[derive(Debug, Default)]
pub(in crate::client) struct Values {
    items: BTreeMap<(String, String), Value>,
    last_token: u64,
    last_version: u64,
    /// Puts that were refused because their lease was lost.
    pub(in crate::client) fenced: u64,
}

#[derive(Clone, Debug, Default)]
struct Value {
    version: u64,
    value: Bytes,
    lease: Option<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    token: u64,
    ttl_ms: u32,
    until: MonoUs,
    owner: String,
}

type Refusal = ErrorAnswer<'static>;

impl Values {
    /// After a restart every lease lasts for its whole time again.
    pub(super) fn restarted(&mut self, now: MonoUs) {
        for held in self.items.values_mut().filter_map(|item| item.lease.as_mut()) {
            held.until = now.plus(u64::from(held.ttl_ms) * 1_000);
        }
    }

    fn allowed(&self, at: &(String, String), expect: Expect, token: Option<u64>) -> Result<(), Refusal> {
        let item = self.items.get(at);
        match (item.and_then(|item| item.lease.as_ref()), token) {
            (None, None) => {}
            (None, Some(_)) => return Err(ErrorAnswer::new(ErrorCode::LeaseLost)),
            (Some(held), None) => return Err(ErrorAnswer::new(ErrorCode::LeaseHeld).details(held.token, 0)),
            (Some(held), Some(token)) if held.token == token => {}
            (Some(held), Some(_)) => return Err(ErrorAnswer::new(ErrorCode::LeaseLost).details(held.token, 0)),
        }
        let version = item.map(|item| item.version);
        let fits = match expect {
            Expect::Any => true,
            Expect::Absent => version.is_none(),
            Expect::Version(expected) => version == Some(expected),
        };
        let mismatch = ErrorAnswer::new(ErrorCode::VersionMismatch);
        if fits { Ok(()) } else { Err(mismatch.details(version.unwrap_or(0), version.is_some().into())) }
    }

    pub(super) fn put(
        &mut self,
        at: (String, String),
        value: &[u8],
        expect: Expect,
        token: Option<u64>,
    ) -> Result<u64, Refusal> {
        if let Err(error) = self.allowed(&at, expect, token) {
            self.fenced += u64::from(error.known() == Some(ErrorCode::LeaseLost));
            return Err(error);
        }
        self.last_version += 1;
        let item = self.items.entry(at).or_default();
        (item.version, item.value) = (self.last_version, Bytes::copy_from_slice(value));
        Ok(item.version)
    }

    pub(super) fn delete(
        &mut self,
        at: &(String, String),
        expect: Expect,
        token: Option<u64>,
    ) -> Result<bool, Refusal> {
        self.allowed(at, expect, token)?;
        Ok(self.items.remove(at).is_some())
    }

    pub(super) fn claim(
        &mut self,
        at: (String, String),
        owner: &str,
        ttl_ms: u32,
        take_from: Option<u64>,
        now: MonoUs,
    ) -> Result<u64, Refusal> {
        let item = self.items.entry(at).or_default();
        if let Some(held) = &item.lease
            && held.until > now
            && take_from != Some(held.token)
        {
            let remaining = held.until.since(now) / 1_000;
            let message = held.owner.clone();
            return Err(ErrorAnswer::new(ErrorCode::LeaseHeld).details(held.token, remaining).message(message));
        }
        self.last_token += 1;
        let until = now.plus(u64::from(ttl_ms) * 1_000);
        item.lease = Some(Held { token: self.last_token, ttl_ms, until, owner: owner.to_owned() });
        Ok(self.last_token)
    }

    pub(super) fn renew(&mut self, at: &(String, String), token: u64, now: MonoUs) -> bool {
        let held = self.items.get_mut(at).and_then(|item| item.lease.as_mut());
        match held.filter(|held| held.token == token) {
            Some(held) => held.until = now.plus(u64::from(held.ttl_ms) * 1_000),
            None => return false,
        }
        true
    }

    pub(super) fn release(&mut self, at: &(String, String), token: u64) -> Result<(), Refusal> {
        let item = self.items.get_mut(at);
        match item {
            Some(item) if item.lease.as_ref().is_some_and(|held| held.token == token) => item.lease = None,
            _ => return Err(ErrorAnswer::new(ErrorCode::LeaseLost)),
        }
        Ok(())
    }

    /// The items of a space, by key.
    pub(super) fn items<'a>(&'a self, space: &'a str, now: MonoUs) -> impl Iterator<Item = StoreItem<'a>> {
        let of_space = self.items.iter().filter(move |((of, _), _)| of == space);
        of_space.map(move |((_, key), item)| StoreItem {
            version: item.version,
            key,
            value: &item.value,
            lease: item.lease.as_ref().map(|held| Lease {
                token: held.token,
                ttl_ms: held.ttl_ms,
                remaining_ms: (held.until.since(now) / 1_000) as u32,
                owner: &held.owner,
            }),
        })
    }
}
