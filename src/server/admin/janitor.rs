//! What is over: deleted streams, and closed shards whose records have all expired. Their storage is freed in the
//! background on the workers that own it; then the catalogue forgets them.
//!
//! In crash order: 1. the catalogue says that it is over, nobody reads it any more; 2. the storage is freed; 3. the catalogue
//! forgets it. After a crash before 3. the next start goes on with 2.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Admin;
use crate::catalog::{Catalog, Command, Shard, ShardState, Status, Stream};
use crate::runtime::local::join_all;
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op};
use crate::server::worker::Worker;
use crate::types::{GroupId, ShardNumber, StreamId, WallUs, WorkerId};

/// What is over of one stream.
struct Leftover {
    stream: StreamId,
    /// All of it, or only these shards.
    shards: Option<Vec<ShardNumber>>,
    groups: Vec<(WorkerId, GroupId)>,
}

impl Leftover {
    fn of(stream: &Stream, workers: u16) -> Option<Self> {
        let is_over = stream.status == Status::Deleting;
        let shards: Vec<&Shard> =
            stream.shards().iter().filter(|shard| is_over || shard.state == ShardState::Expired).collect();
        if shards.is_empty() {
            return None;
        }
        Some(Self {
            stream: stream.id,
            shards: (!is_over).then(|| shards.iter().map(|shard| shard.number).collect()),
            groups: shards.iter().map(|shard| (shard.worker(workers), shard.group)).collect(),
        })
    }
}

impl<R: Runtime> Admin<R> {
    /// Starts to free what is over and not being freed yet. True if there is nothing of that kind.
    pub(super) fn free_leftovers(self: &Rc<Self>, worker: &Rc<Worker<R>>) -> bool {
        let found: Vec<Leftover> = self.log.with(|catalog| {
            let freeing = self.freeing.borrow();
            let streams = catalog.streams().filter(|stream| !freeing.contains(&stream.id));
            streams.filter_map(|stream| Leftover::of(stream, worker.count)).collect()
        });
        let is_done = found.is_empty() && self.freeing.borrow().is_empty();
        for leftover in found {
            self.freeing.borrow_mut().insert(leftover.stream);
            let (this, here) = (Rc::clone(self), Rc::clone(worker));
            worker.rt.spawn(TaskClass::Background, async move {
                let stream = leftover.stream;
                if let Err(error) = this.free(&here, leftover).await {
                    tracing::warn!(%stream, %error, "what is left of a stream is not freed yet");
                }
                this.freeing.borrow_mut().remove(&stream);
            });
        }
        is_done
    }

    async fn free(&self, worker: &Rc<Worker<R>>, leftover: Leftover) -> Result<(), Failure> {
        let mut by_owner: BTreeMap<WorkerId, Vec<GroupId>> = BTreeMap::new();
        for (owner, group) in leftover.groups {
            by_owner.entry(owner).or_default().push(group);
        }
        let freed = join_all(by_owner.into_iter().map(async |(owner, groups)| {
            let answer = match &worker.links[usize::from(owner.0)] {
                None => worker.serve_async(Op::Free(groups)).await,
                Some(link) => link.call(Op::Free(groups)).await?,
            };
            match answer {
                Answer::Freed(true) => Ok(()),
                // The next start goes on with it.
                Answer::Freed(false) => Err(Failure::Draining),
                _ => unreachable!("freeing is answered as freeing"),
            }
        }));
        freed.await.into_iter().collect::<Result<Vec<()>, Failure>>()?;
        let stream = leftover.stream;
        self.propose(
            worker,
            match leftover.shards {
                None => Command::ForgetStream { stream },
                Some(shards) => Command::ForgetShards { stream, shards },
            },
        )
        .await
    }

    /// Ends the life of closed shards whose records have all expired.
    pub(super) async fn expire_shards(self: &Rc<Self>, worker: &Rc<Worker<R>>) {
        let now = worker.rt.wall();
        let expired = self.log.with(|catalog| expired(catalog, now));
        for (stream, shards) in expired {
            let count = shards.len();
            match self.propose(worker, Command::ExpireShards { stream, shards }).await {
                Ok(()) => tracing::info!(%stream, shards = count, "closed shards have expired"),
                Err(error) => tracing::warn!(%stream, %error, "closed shards that have expired are kept"),
            }
        }
        self.free_leftovers(worker);
    }
}

/// The closed shards that have nothing left to read: everything in them arrived before they were closed.
fn expired(catalog: &Catalog, now: WallUs) -> Vec<(StreamId, Vec<ShardNumber>)> {
    let serving = catalog.streams().filter(|stream| stream.status.is_serving());
    let of_stream = serving.map(|stream| {
        let cutoff = now.0.saturating_sub(stream.settings.retention_us()).max(stream.expired_before().0);
        let is_over = |shard: &&Shard| matches!(shard.state, ShardState::Closed { at, .. } if at.0 < cutoff);
        (stream.id, stream.shards().iter().filter(is_over).map(|shard| shard.number).collect::<Vec<_>>())
    });
    of_stream.filter(|(_, shards)| !shards.is_empty()).collect()
}
