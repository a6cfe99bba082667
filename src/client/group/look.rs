//! Looking for shards to take: reads what there is, asks the plan, carries out this member's part.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use super::assignment::{self, Assignment};
use super::checkpoint::Checkpoint;
use super::member::{Shared, held_token};
use super::{GroupEvent, plan, status};
use crate::client::client::{Item, StreamDescription};
use crate::client::error::{Error, Result};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{Expect, ShardState};
use crate::runtime::local::join_all;
use crate::runtime::{Reactor, TaskClass};
use crate::types::ShardNumber;

/// Time between two looks one right after the other: members that were woken by the same thing spread out.
const HURRY_MS: u64 = 50;

/// Smallest share of a shard in the budget.
const SHARE_BYTES_MIN: u32 = 64 << 10;

/// Looks again and again, until the group is over.
pub(super) async fn run<R: Reactor>(shared: Rc<Shared<R>>) {
    let rt = shared.client.reactor().clone();
    while !shared.stopped.get() && !shared.leaving.get() {
        shared.hurried.set(false);
        let wait = match shared.look().await {
            Ok(wait) => wait,
            Err(error @ Error::StreamGone(_)) => return shared.fail(error),
            Err(error) => {
                tracing::debug!(%error, "the group cannot be looked at");
                shared.interval()
            }
        };
        let hurried = async {
            shared.changed.until(|| shared.hurried.get().then_some(())).await;
            rt.sleep(Duration::from_millis(HURRY_MS + rt.random() % HURRY_MS)).await;
        };
        or(shared.sleep(wait), hurried).await;
    }
}

/// One shard's item, read.
struct Seen {
    number: ShardNumber,
    item: Item,
    checkpoint: Checkpoint,
}

impl<R: Reactor> Shared<R> {
    /// One look. Says when the next one is due.
    async fn look(self: &Rc<Self>) -> Result<Duration> {
        let description = self.client.describe_stream(&self.stream).await?;
        if description.id != self.stream_id {
            return Err(crate::client::consumer::gone("the stream was deleted and created again"));
        }
        let members = self.client.store_list(&self.application, &status::member_key(self.stream_id, "")).await?;
        let items = self.client.store_list(&self.application, &status::shard_prefix(self.stream_id)).await?;
        let seen = items.into_iter().filter_map(|item| {
            let number = status::shard_of(self.stream_id, &item.key)?;
            match Checkpoint::decode(&item.value) {
                Ok(checkpoint) => Some(Seen { number, item, checkpoint }),
                Err(error) => {
                    tracing::warn!(shard = %number, %error, "a checkpoint cannot be read; the shard is left alone");
                    None
                }
            }
        });
        let seen: Vec<_> = seen.collect();
        let turn = self.turn(&description, &members, &seen);
        let workable = description.shards.all().len();
        let stolen = turn.steal.len();
        let claims = turn.claim.iter().map(|number| (*number, None));
        let steals = turn.steal.iter().map(|(number, _)| {
            let lease = seen.iter().find(|seen| seen.number == *number).and_then(|seen| seen.item.lease.as_ref());
            (*number, lease.map(|lease| lease.token))
        });
        // A claim whose answer was lost.
        let orphans = seen.iter().filter_map(|seen| {
            let lease =
                seen.item.lease.as_ref().filter(|lease| lease.owner == self.me && !lease.remaining.is_zero())?;
            let is_known = self.assigned.borrow().contains_key(&seen.number);
            (!is_known && seen.checkpoint != Checkpoint::Ended).then_some((seen.number, Some(lease.token)))
        });
        let wanted: Vec<_> = claims.chain(steals).chain(orphans).collect();
        let taken = join_all(wanted.into_iter().map(|(number, take_from)| {
            let shard = description.shards.shard(number).copied();
            self.take(shard, take_from, workable)
        }));
        for error in taken.await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a shard was not taken");
        }
        if stolen > 0 {
            self.hurry();
        }
        self.tidy(&description, &members, &seen).await;
        let of_others = seen.iter().filter_map(|seen| seen.item.lease.as_ref()).filter(|lease| lease.owner != self.me);
        let first = of_others.map(|lease| lease.remaining).filter(|remaining| !remaining.is_zero()).min();
        let interval = self.interval();
        Ok(first.map_or(interval, |first| interval.min(first + Duration::from_millis(HURRY_MS))))
    }

    fn turn<'a>(
        &'a self,
        description: &StreamDescription,
        members: &'a [Item],
        seen: &'a [Seen],
    ) -> plan::Turn<&'a str> {
        let is_alive = |item: &&Item| item.lease.as_ref().is_some_and(|lease| !lease.remaining.is_zero());
        let alive: Vec<&str> = members
            .iter()
            .filter(is_alive)
            .filter_map(|item| item.key.strip_prefix(&*status::member_key(self.stream_id, "")))
            .collect();
        let listed = description.shards.all().iter().filter(|shard| shard.state != ShardState::Pending);
        let shards: Vec<_> = listed
            .map(|shard| {
                let seen = seen.iter().find(|seen| seen.number == shard.number);
                let lease = match seen.and_then(|seen| seen.item.lease.as_ref()) {
                    None => plan::Lease::None,
                    Some(lease) if lease.remaining.is_zero() => plan::Lease::Expired,
                    Some(lease) => plan::Lease::Held(&*lease.owner),
                };
                plan::Shard {
                    number: shard.number,
                    parents: [shard.parent, shard.adjacent_parent],
                    checkpoint: seen.map_or(plan::Checkpoint::None, |seen| seen.checkpoint.for_plan()),
                    lease,
                }
            })
            .collect();
        let mut turn = plan::turn(&*self.me, &alive, &shards);
        // Its own leases that ran out are renewed, not claimed anew, as long as nobody takes them.
        turn.claim.retain(|number| !self.assigned.borrow().contains_key(number));
        turn
    }

    /// Claims a shard and begins to read it, from the checkpoint that the claim's answer shows.
    async fn take(
        self: &Rc<Self>,
        shard: Option<crate::protocol::messages::ShardDescription>,
        take_from: Option<u64>,
        shards: usize,
    ) -> Result<()> {
        let Some(shard) = shard else { return Ok(()) };
        let (space, key) = (&self.application, status::shard_key(self.stream_id, shard.number));
        let asked = self.client.reactor().now();
        let item = match self.client.lease_claim(space, &key, &self.me, self.options.lease_ttl, take_from).await {
            Ok(item) => item,
            // Another was faster.
            Err(error) if held_token(&error).is_some() => return Ok(()),
            Err(error) => {
                if error.is_outcome_unknown() {
                    self.hurry();
                }
                return Err(error);
            }
        };
        let token = item.lease.as_ref().map_or(0, |lease| lease.token);
        let checkpoint = Checkpoint::decode(&item.value).unwrap_or(Checkpoint::Ended);
        if checkpoint == Checkpoint::Ended || self.leaving.get() || self.stopped.get() {
            return self.client.lease_release(space, &key, token).await;
        }
        let assignment = Rc::new(Assignment::new(shard, key, token, item.version, asked));
        let before = self.assigned.borrow_mut().insert(shard.number, Rc::clone(&assignment));
        if let Some(before) = before {
            self.forget(&before);
            self.event(GroupEvent::Lost(shard.number));
        }
        self.event(GroupEvent::Assigned(shard.number, checkpoint));
        let share = (self.options.bytes_max / shards.max(1) as u32).max(SHARE_BYTES_MIN);
        let reading = assignment::read(Rc::clone(self), assignment, checkpoint, share);
        self.client.reactor().spawn(TaskClass::Latency, reading);
        Ok(())
    }

    /// Removes the items of members that died and of shards that the retention has taken. Whoever is not dead after all
    /// notices, and shows itself again.
    async fn tidy(&self, description: &StreamDescription, members: &[Item], seen: &[Seen]) {
        let is_gone = |seen: &&Seen| description.shards.shard(seen.number).is_none();
        let is_over = |item: &&Item| item.lease.as_ref().is_none_or(|lease| lease.remaining.is_zero());
        let gone = seen.iter().filter(is_gone).map(|seen| &seen.item);
        for item in members.iter().chain(gone).filter(is_over) {
            let token = item.lease.as_ref().map(|lease| lease.token);
            let expect = Expect::Version(item.version);
            match self.client.store_delete(&self.application, &item.key, expect, token).await {
                Ok(_) => {}
                // It changed since it was read.
                Err(error) if error.class() == ErrorCode::VersionMismatch.class() => {}
                Err(error) => tracing::debug!(key = item.key, %error, "an item is not tidied away"),
            }
        }
    }
}
