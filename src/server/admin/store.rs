//! Stored values and leases: checkpoints of consumers, and who works on which shard.
//!
//! The values are part of the catalogue's log, and of no other worker's copy: everybody asks this one. When leases run out
//! is known in memory only ([`Deadlines`](crate::server::leases::Deadlines)).

use std::rc::Rc;

use super::Admin;
use crate::catalog::store::{check_key, check_space};
use crate::catalog::{Catalog, CatalogError, Command, Event, Expect, Item, Lease, Name, StoreCommand, StoreError};
use crate::runtime::{Runtime, Step};
use crate::server::failure::Failure;
use crate::server::mail::{StoreDone, StoreOp, Stored};
use crate::server::worker::Worker;
use crate::types::MonoUs;

impl<R: Runtime> Admin<R> {
    pub(super) async fn store(&self, worker: &Rc<Worker<R>>, op: StoreOp) -> Result<StoreDone, Failure> {
        let now = worker.rt.now();
        match op {
            StoreOp::Change(StoreCommand::Claim { name, owner, ttl_ms, take_from }) => {
                self.claim(worker, name, owner, ttl_ms, take_from).await
            }
            StoreOp::Change(command) => self.put_or_release(worker, command).await,
            StoreOp::Get { space, key } => {
                check_space(&space).and_then(|()| check_key(&key)).map_err(|error| Failure::Catalog(error.into()))?;
                Ok(self.log.with(|catalog| {
                    let item = catalog.store().get(&space, &key);
                    let items = item.map(|item| self.stored(now, &space, &key, item)).into_iter().collect();
                    StoreDone::Items(items, false)
                }))
            }
            StoreOp::List { space, prefix, after, limit } if space.is_empty() => {
                Ok(self.log.with(|catalog| spaces(catalog, &prefix, &after, limit)))
            }
            StoreOp::List { space, prefix, after, limit } => {
                check_space(&space).map_err(|error| Failure::Catalog(error.into()))?;
                Ok(self.log.with(|catalog| self.list(catalog, now, (&space, &prefix, &after), limit)))
            }
            StoreOp::Renew { space, renewals } => self.renew(worker, &space, &renewals).await,
        }
    }

    async fn put_or_release(&self, worker: &Rc<Worker<R>>, command: StoreCommand) -> Result<StoreDone, Failure> {
        let name = command.name().clone();
        let (is_deletion, takes_nothing, is_fenced) = match &command {
            StoreCommand::Delete { expect, token, .. } => {
                (true, !matches!(expect, Expect::Version(_)), token.is_some())
            }
            StoreCommand::Put { token, .. } => (false, false, token.is_some()),
            StoreCommand::Claim { .. } | StoreCommand::Release { .. } => (false, false, true),
        };
        let _turn = self.turn.acquire(1).await;
        self.resolve(worker).await?;
        let version = match self.change(command).await {
            Ok((version, _)) => version,
            Err(Failure::Catalog(CatalogError::Store(error))) => {
                return match error {
                    // Nothing there, and nothing else was wanted.
                    StoreError::Absent if is_deletion && takes_nothing => Ok(StoreDone::Deleted(false)),
                    StoreError::LeaseHeld { owner, token } if !is_fenced => {
                        Err(self.lease_held(worker.rt.now(), &name, owner, token))
                    }
                    StoreError::LeaseHeld { .. } | StoreError::LeaseOver { .. } => {
                        Err(Failure::LeaseLost { current: self.token_of(&name) })
                    }
                    error => Err(Failure::Catalog(error.into())),
                };
            }
            Err(failure) => return Err(failure),
        };
        if self.token_of(&name) == 0 {
            self.deadlines.borrow_mut().forget(&name.space, &name.key);
        }
        Ok(if is_deletion { StoreDone::Deleted(true) } else { StoreDone::Version(version.unwrap_or(0)) })
    }

    /// The token of the lease there is on a value; 0 if there is none.
    pub(super) fn token_of(&self, name: &Name) -> u64 {
        self.log.with(|catalog| {
            let lease = catalog.store().get(&name.space, &name.key).and_then(|item| item.lease.as_ref());
            lease.map_or(0, |lease| lease.token)
        })
    }

    /// Grants a lease that nobody has, that has run out, or that is to be taken from its holder.
    ///
    /// Whether it has run out is decided in the claim's turn, and stays so until the claim is in force or has failed: a
    /// holder who renews meanwhile waits ([`Admin::renew`]). Nobody is told that a lease lasts which another one then gets.
    async fn claim(
        &self,
        worker: &Rc<Worker<R>>,
        name: Name,
        owner: String,
        ttl_ms: u32,
        take_from: Option<u64>,
    ) -> Result<StoreDone, Failure> {
        let _turn = self.turn.acquire(1).await;
        self.resolve(worker).await?;
        let held = self.log.with(|catalog| {
            let lease = catalog.store().get(&name.space, &name.key)?.lease.clone()?;
            let left_us = self.left_us(worker.rt.now(), &name.space, &name.key, &lease);
            Some((lease, left_us))
        });
        let take_from = match held {
            Some((lease, 0)) => Some(lease.token),
            Some((lease, _)) if worker.rt.leaves_out(Step::AwaitLeaseEnd) => Some(lease.token),
            Some((lease, left_us)) if take_from != Some(lease.token) => {
                return Err(Failure::LeaseHeld { owner: lease.owner, token: lease.token, left_us });
            }
            _ => take_from,
        };
        self.claimed.set(take_from);
        let changed = self.change(StoreCommand::Claim { name: name.clone(), owner, ttl_ms, take_from }).await;
        self.claimed.set(None);
        let (_, token) = changed?;
        let token = token.expect("a claim that came into force granted a lease");
        let now = worker.rt.now();
        self.deadlines.borrow_mut().extend(now, &name.space, &name.key, token, ttl_ms);
        self.log.with(|catalog| {
            let item = catalog.store().get(&name.space, &name.key).expect("nothing came in between");
            Ok(StoreDone::Claimed(token, self.stored(now, &name.space, &name.key, item)))
        })
    }

    /// Lets leases last for their full time again; says which are still held.
    async fn renew(&self, worker: &Worker<R>, space: &str, renewals: &[(String, u64)]) -> Result<StoreDone, Failure> {
        check_space(space).map_err(|error| Failure::Catalog(error.into()))?;
        // Somebody is taking one of them: what comes of it is known when it is their turn no more.
        while renewals.iter().any(|(_, token)| self.claimed.get() == Some(*token)) {
            drop(self.turn.acquire(1).await);
        }
        let now = worker.rt.now();
        Ok(self.log.with(|catalog| {
            let renew = |(key, token): &(String, u64)| {
                let lease = catalog.store().get(space, key).and_then(|item| item.lease.as_ref());
                let Some(lease) = lease.filter(|lease| lease.token == *token) else { return false };
                self.deadlines.borrow_mut().extend(now, space, key, *token, lease.ttl_ms);
                true
            };
            StoreDone::Held(renewals.iter().map(renew).collect())
        }))
    }

    fn lease_held(&self, now: MonoUs, name: &Name, owner: String, token: u64) -> Failure {
        let left_us = self.log.with(|catalog| {
            let lease = catalog.store().get(&name.space, &name.key).and_then(|item| item.lease.as_ref());
            lease.map_or(0, |lease| self.left_us(now, &name.space, &name.key, lease))
        });
        Failure::LeaseHeld { owner, token, left_us }
    }

    /// Puts a command into force, in the caller's turn. No other worker is told: none has the values.
    async fn change(&self, command: StoreCommand) -> Result<(Option<u64>, Option<u64>), Failure> {
        let events = self.log.propose(&Command::Store(command)).await?;
        match events.as_slice() {
            [Event::Stored { version, token }] => Ok((*version, *token)),
            events => unreachable!("a stored value changed with {events:?}"),
        }
    }

    fn left_us(&self, now: MonoUs, space: &str, key: &str, lease: &Lease) -> u64 {
        self.deadlines.borrow().left_us(now, space, key, lease.token, lease.ttl_ms)
    }

    fn stored(&self, now: MonoUs, space: &str, key: &str, item: &Item) -> Stored {
        let left_us = item.lease.as_ref().map_or(0, |lease| self.left_us(now, space, key, lease));
        // Up: 0 says that the lease has run out.
        let remaining_ms = u32::try_from(left_us.div_ceil(1_000)).unwrap_or(u32::MAX);
        Stored { key: key.to_owned(), item: item.clone(), remaining_ms }
    }

    fn list(
        &self,
        catalog: &Catalog,
        now: MonoUs,
        (space, prefix, after): (&str, &str, &str),
        limit: usize,
    ) -> StoreDone {
        // Keys with the prefix lie side by side; those before them are skipped at once.
        let from = if after < prefix { prefix } else { after };
        let first = (after < prefix).then(|| catalog.store().get(space, prefix).map(|item| (prefix, item))).flatten();
        let rest = catalog.store().items_after(space, (!from.is_empty()).then_some(from));
        let mut items: Vec<_> = first
            .into_iter()
            .chain(rest)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit + 1)
            .map(|(key, item)| self.stored(now, space, key, item))
            .collect();
        let more = items.len() > limit;
        items.truncate(limit);
        StoreDone::Items(items, more)
    }
}

/// The spaces in which something is stored, each as an item without a value.
fn spaces(catalog: &Catalog, prefix: &str, after: &str, limit: usize) -> StoreDone {
    let found = catalog.store().spaces().filter(|space| space.starts_with(prefix) && *space > after);
    let mut items: Vec<_> = found
        .take(limit + 1)
        .map(|space| Stored { key: space.to_owned(), item: Item::default(), remaining_ms: 0 })
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    StoreDone::Items(items, more)
}
