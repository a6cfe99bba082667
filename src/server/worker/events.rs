//! What a command in force, or the catalogue's procedures, ask of the owner of shards.

use std::rc::Rc;

use super::Worker;
use crate::catalog::{Event, Placed};
use crate::engine::log::{DrainError, End};
use crate::engine::shard::Phase;
use crate::engine::shards::{HandOver, Known, Storage};
use crate::runtime::Runtime;
use crate::runtime::local::join_all;
use crate::server::failure::Failure;
use crate::server::mail::Op;
use crate::types::{GroupId, StreamId, WorkerId};

impl<R: Runtime> Worker<R> {
    /// Does what a command in force asks of the owner of shards.
    pub async fn act(&self, events: Vec<Event>) -> Result<(), Failure> {
        for event in events {
            match event {
                Event::StreamCreating { shards, .. } => {
                    for shard in shards.iter().filter(|shard| self.is_own(shard)) {
                        // As it is now: creating the one before took its time.
                        let Some(known) = self.living(shard.group) else { continue };
                        self.shards.create(&known).await?;
                        self.catch_up(shard.group);
                    }
                }
                Event::StreamUpdated { stream, settings, expired_before } => {
                    for group in self.own_of(stream) {
                        if let Some(shard) = self.shards.get(group) {
                            shard.set_settings(settings, expired_before);
                        }
                    }
                }
                Event::ReshardFinished { closed, opened, .. } => {
                    for known in self.own(&closed) {
                        if let Phase::Closed(end) = known.terms.phase {
                            self.shards.close(known.id.group, end);
                        }
                    }
                    for known in self.own(&opened) {
                        self.shards.open_up(known.id.group);
                    }
                }
                Event::StreamDeleting { shards, .. } | Event::ShardsExpired { shards, .. } => {
                    for known in self.own(&shards) {
                        self.pipes.drop_shard(known.id.group);
                        // The storage goes in the background; the catalogue's janitor waits for it.
                        drop(self.shards.free(known.id.group));
                    }
                }
                Event::ShardMoved { shard, .. } => {
                    if self.is_own(&shard)
                        && let Err(error) = self.adopt(shard.group).await
                    {
                        // It is this worker's now, and nobody else's: tried again until it opens.
                        tracing::error!(group = %shard.group, %error, "a shard that moved here cannot be opened yet");
                        self.astray.borrow_mut().insert(shard.group);
                    }
                }
                Event::ConsumerDeregistered { consumer, .. } => self.pipes.drop_consumer(consumer),
                // Nothing that an owner of shards has a part in. The logs of children are made before their parents close.
                Event::ReshardBegun { .. }
                | Event::StreamActive { .. }
                | Event::StreamForgotten { .. }
                | Event::ScalingBegun { .. }
                | Event::ScalingEnded { .. }
                | Event::ShardsForgotten { .. }
                | Event::MetadataUpdated { .. }
                | Event::ConsumerRegistered { .. }
                | Event::Stored { .. } => {}
            }
        }
        Ok(())
    }

    /// Brings a shard that took its time to open up to what has come into force since.
    fn catch_up(&self, group: GroupId) {
        match (self.living(group), self.shards.get(group)) {
            (Some(known), Some(shard)) => shard.set_settings(known.terms.settings, known.terms.expired_before),
            (Some(_), None) => {}
            // Deleted, or expired: when that came into force there was nothing to free yet.
            (None, _) => drop(self.shards.free(group)),
        }
    }

    /// A shard whose storage is not to be freed.
    fn living(&self, group: GroupId) -> Option<Known> {
        let catalog = self.catalog.borrow();
        let known = catalog.shard(group).map(|(stream, shard)| Known::of(stream, shard));
        known.filter(|known| known.storage != Storage::Free)
    }

    fn is_own(&self, shard: &Placed) -> bool {
        WorkerId(shard.placed_on.0 % self.count) == self.id
    }

    /// Those of the shards that are this worker's, as the catalogue has them now.
    fn own(&self, shards: &[Placed]) -> Vec<Known> {
        let catalog = self.catalog.borrow();
        let own = shards.iter().filter(|shard| self.is_own(shard));
        own.filter_map(|shard| catalog.shard(shard.group)).map(|(stream, shard)| Known::of(stream, shard)).collect()
    }

    pub(super) fn own_of(&self, stream: StreamId) -> Vec<GroupId> {
        let catalog = self.catalog.borrow();
        let Some(stream) = catalog.stream(stream) else { return Vec::new() };
        let own = stream.shards().iter().filter(|shard| shard.worker(self.count) == self.id);
        own.map(|shard| shard.group).collect()
    }

    /// Opens shards that moved here and could not be opened before.
    pub async fn adopt_astray(&self) {
        let astray = std::mem::take(&mut *self.astray.borrow_mut());
        for group in astray {
            match self.adopt(group).await {
                // It is there, or its stream is not any more.
                Ok(()) | Err(Failure::ShardUnknown(_)) => {}
                Err(error) => {
                    tracing::warn!(%group, %error, "a shard that moved here cannot be opened yet");
                    self.astray.borrow_mut().insert(group);
                }
            }
        }
    }

    /// Makes the logs of new shards that are not there yet.
    pub(super) async fn make(&self, groups: Vec<GroupId>) -> Result<(), Failure> {
        for group in groups {
            if self.shards.get(group).is_some() {
                continue;
            }
            let known = self.living(group).filter(|known| known.storage == Storage::Make);
            self.shards.create(&known.ok_or(Failure::ShardUnknown(group))?).await?;
            self.catch_up(group);
        }
        Ok(())
    }

    /// Holds puts to a shard; resolves to its end once everything accepted is durable.
    pub async fn seal(&self, group: GroupId) -> Result<End, Failure> {
        match self.shards.seal(group).await {
            Some(end) => Ok(end?),
            None => Err(self.not_here(group)),
        }
    }

    /// Lets go of a shard that another worker will open.
    pub(super) async fn hand_over(&self, group: GroupId) -> Result<(), Failure> {
        match self.shards.hand_over(group).await {
            HandOver::Done => {}
            HandOver::NotHere => return Err(self.not_here(group)),
            HandOver::Sealed => return Err(Failure::Drain(DrainError::NotHeld)),
        }
        self.pipes.drop_shard(group);
        Ok(())
    }

    /// Opens a shard that another worker has let go of.
    pub(super) async fn adopt(&self, group: GroupId) -> Result<(), Failure> {
        let known = {
            let catalog = self.catalog.borrow();
            let serving = catalog.shard(group).filter(|(stream, _)| stream.status.is_serving());
            let (stream, shard) = serving.ok_or(Failure::ShardUnknown(group))?;
            Known::of(stream, shard)
        };
        let report = self.shards.adopt(known).await?;
        self.catch_up(group);
        if !report.damage.is_empty() {
            tracing::error!(%group, damage = report.damage.len(), "a shard that moved is damaged");
            self.quarantine(group).await;
        }
        Ok(())
    }

    /// Lets every worker know that a shard is damaged. Resolves when they do, but for those that are stopping.
    pub async fn quarantine(&self, group: GroupId) {
        self.quarantined.borrow_mut().insert(group);
        let telling = self.links.iter().flatten().map(|link| link.send(Op::Quarantine(group), None).wait());
        join_all(telling.collect::<Vec<_>>()).await;
    }

    /// Resolves once the storage of shards is gone; false if the node stops before that.
    pub(super) async fn free(self: &Rc<Self>, groups: Vec<GroupId>) -> bool {
        let freeing: Vec<_> = groups.into_iter().map(|group| self.shards.free(group)).collect();
        join_all(freeing).await.into_iter().all(|is_gone| is_gone)
    }
}
