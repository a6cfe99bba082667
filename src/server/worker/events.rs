//! What a command in force, or the catalogue's procedures, ask of the owner of shards.

use std::rc::Rc;

use super::Worker;
use crate::catalog::{Event, Placed};
use crate::engine::log::DrainError;
use crate::engine::shard::Phase;
use crate::engine::shards::{HandOver, Known, Storage};
use crate::runtime::Runtime;
use crate::runtime::local::join_all;
use crate::server::failure::Failure;
use crate::types::{GroupId, Offset, StreamId, WorkerId};

impl<R: Runtime> Worker<R> {
    /// Does what a command in force asks of the owner of shards.
    pub async fn act(&self, events: Vec<Event>) -> Result<(), Failure> {
        for event in events {
            match event {
                Event::StreamCreating { shards, .. } | Event::ReshardBegun { children: shards, .. } => {
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
                    if self.is_own(&shard) {
                        self.adopt(shard.group).await?;
                    }
                }
                Event::ConsumerDeregistered { consumer, .. } => self.pipes.drop_consumer(consumer),
                // Nothing that an owner of shards has a part in.
                Event::StreamActive { .. }
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

    fn own_of(&self, stream: StreamId) -> Vec<GroupId> {
        let catalog = self.catalog.borrow();
        let Some(stream) = catalog.stream(stream) else { return Vec::new() };
        let own = stream.shards().iter().filter(|shard| shard.worker(self.count) == self.id);
        own.map(|shard| shard.group).collect()
    }

    /// Holds puts to a shard; resolves to its end once everything accepted is durable.
    pub async fn seal(&self, group: GroupId) -> Result<Offset, Failure> {
        match self.shards.seal(group).await {
            Some(end) => Ok(end?.offset),
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
            let (stream, shard) = catalog.shard(group).ok_or(Failure::ShardUnknown(group))?;
            Known::of(stream, shard)
        };
        let report = self.shards.adopt(known).await?;
        if !report.damage.is_empty() {
            tracing::error!(%group, damage = report.damage.len(), "a shard that moved is damaged");
            self.quarantined.borrow_mut().insert(group);
        }
        self.catch_up(group);
        Ok(())
    }

    /// Resolves once the storage of shards is gone; false if the node stops before that.
    pub(super) async fn free(self: &Rc<Self>, groups: Vec<GroupId>) -> bool {
        let freeing: Vec<_> = groups.into_iter().map(|group| self.shards.free(group)).collect();
        join_all(freeing).await.into_iter().all(|is_gone| is_gone)
    }
}
