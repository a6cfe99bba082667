//! One subscription: frames of a shard pushed as they are committed, as long as the client has granted credit.
//!
//! A slow client holds one push in memory at most: the next frames are read when credit and room in the outbox allow it,
//! from memory if they are still there, else from disk. Producers and other readers never wait for it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use crate::catalog::Shard;
use crate::limits::{GET_WAIT_MS_MAX, READ_BYTES_MAX, SUBSCRIBE_CREDIT_BYTES_MAX};
use crate::protocol::Envelope;
use crate::protocol::messages::{ChildShard, SubscriptionEnd};
use crate::runtime::Runtime;
use crate::runtime::local::Notify;
use crate::server::failure::Failure;
use crate::server::outbox::{Body, Outbox};
use crate::server::pipes::Held;
use crate::server::worker::{Got, Via, Worker, wait_out};
use crate::types::{GroupId, Offset, WorkerId};

/// How long a subscription leaves a shard alone that lets nobody wait.
const REOPEN_PAUSE_MS: u64 = 50;

/// How often, and after what pause, the children of a closed shard are looked for.
const CHILDREN_TRIES: u32 = 500;
const CHILDREN_PAUSE_MS: u64 = 2;

/// What a subscription reads.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The shard.
    pub group: GroupId,
    /// Who had the shard when the subscription began: it ends when the shard moves, so that the client can move after it.
    pub owner: Option<WorkerId>,
    /// The first record.
    pub from: Offset,
    /// The pipe of the registered consumer that it reads for.
    pub pipe: Option<Held>,
}

/// What the connection and the pushing task share.
pub struct Subscription {
    correlation: u64,
    credit: Cell<i64>,
    cancelled: Cell<bool>,
    changed: Notify,
}

impl Subscription {
    /// A subscription named `correlation` with its first credit.
    pub fn new(correlation: u64, credit: u32) -> Rc<Self> {
        let credit = i64::from(credit.min(SUBSCRIBE_CREDIT_BYTES_MAX));
        Rc::new(Self { correlation, credit: Cell::new(credit), cancelled: Cell::new(false), changed: Notify::new() })
    }

    /// Grants more credit; what exceeds the limit is lost.
    pub fn grant(&self, bytes: u32) {
        let credit = self.credit.get() + i64::from(bytes);
        self.credit.set(credit.min(i64::from(SUBSCRIBE_CREDIT_BYTES_MAX)));
        self.changed.notify();
    }

    /// Ends it without a last push.
    pub fn cancel(&self) {
        self.cancelled.set(true);
        self.changed.notify();
    }

    /// Pushes until the subscription is cancelled, the connection is over, the end of a closed shard is reached, or nothing
    /// more can be read.
    pub async fn run<R: Runtime>(self: Rc<Self>, worker: Rc<Worker<R>>, outbox: Rc<Outbox<R>>, source: Source) {
        let mut next = source.from;
        let mut watching = Watching::default();
        let end = loop {
            let pushed = async { Some(self.push(&worker, &outbox, &source, next, &mut watching).await) };
            let cancelled = async {
                self.changed.until(|| self.cancelled.get().then_some(())).await;
                None
            };
            let over = async {
                outbox.over().await;
                None
            };
            match future::or(future::or(cancelled, over), pushed).await {
                None => return,
                Some(Ok(Pushed { next: after, is_end: false })) => next = after,
                Some(Ok(Pushed { next: after, is_end: true })) => {
                    next = after;
                    break None;
                }
                Some(Err(failure)) => break Some(failure),
            }
        };
        let children = if end.is_none() { children(&worker, source.group).await } else { Vec::new() };
        let children = children.iter().map(child).collect();
        let last = SubscriptionEnd { next_offset: next, error: end.map(|failure| worker.error(&failure)), children };
        outbox.push(Envelope::last_push(self.correlation), &last, Body::Empty);
    }

    /// Resolves once there is credit: to false. Or, since a last push needs none, once the shard has ended at `from`: to
    /// true, or to why the subscription ends.
    async fn wait_for_credit<'a, R: Runtime>(
        &self,
        worker: &'a Rc<Worker<R>>,
        source: &Source,
        from: Offset,
        watching: &mut Watching<'a>,
    ) -> Result<bool, Failure> {
        while self.credit.get() <= 0 {
            if worker.is_draining() {
                return Err(Failure::Draining);
            }
            let Source { group, pipe, .. } = *source;
            let end = watching.end;
            if end == Some(from) {
                return Ok(true);
            }
            let watch = watching.watch.get_or_insert_with(|| Box::pin(worker.watch(group, pipe, end)));
            let granted = async {
                let granted = self.changed.until(|| (self.credit.get() > 0).then_some(()));
                future::or(granted, worker.drained()).await;
                None
            };
            let watched = async { Some(watch.await) };
            if let Some(watched) = future::or(granted, watched).await {
                watching.watch = None;
                watching.end = watched?;
            }
        }
        Ok(false)
    }

    /// One push, when there is something to push and leave to push it.
    async fn push<'a, R: Runtime>(
        &self,
        worker: &'a Rc<Worker<R>>,
        outbox: &Outbox<R>,
        source: &Source,
        from: Offset,
        watching: &mut Watching<'a>,
    ) -> Result<Pushed, Failure> {
        if self.wait_for_credit(worker, source, from, watching).await? {
            return Ok(Pushed { next: from, is_end: true });
        }
        if worker.owner(source.group) != source.owner {
            return Err(worker.not_here(source.group));
        }
        let bytes_max = self.credit.get().clamp(1, READ_BYTES_MAX.into());
        let bytes_max = u32::try_from(bytes_max).expect("clamped to a u32");
        let began = worker.rt.now();
        let Source { group, pipe, .. } = *source;
        let via = pipe.map_or(Via::Shared, Via::Pipe);
        let turn = async |asked| outbox.read_turn(asked).await;
        let got = worker.get(group, from, bytes_max, GET_WAIT_MS_MAX, via, turn).await;
        let Got { body, state, _turn } = match got {
            Ok(got) => got,
            // A push that meets the stream's limits is paced, not refused.
            Err(failure) => {
                wait_out(worker, failure).await?;
                return Ok(Pushed { next: from, is_end: false });
            }
        };
        if worker.is_draining() && body.is_empty() {
            return Err(Failure::Draining);
        }
        let is_empty = body.is_empty();
        if !is_empty {
            self.credit.set(self.credit.get() - body.len() as i64);
            outbox.push(Envelope::push(self.correlation), &state, body);
        }
        if is_empty && !state.end_of_shard {
            if worker.home(group).is_err() {
                return Err(Failure::ShardUnknown(group));
            }
            if worker.rt.now().since(began) < u64::from(GET_WAIT_MS_MAX) * 1_000 {
                // Nothing to read and no wait: the log is dead and about to be opened again.
                worker.rt.sleep(Duration::from_millis(REOPEN_PAUSE_MS)).await;
            }
        }
        Ok(Pushed { next: state.next_offset, is_end: state.end_of_shard })
    }
}

/// A look at a shard that is under way; see [`Worker::watch`].
type Watch<'a> = Pin<Box<dyn Future<Output = Result<Option<Offset>, Failure>> + 'a>>;

/// What a subscription without credit waits for. One look at the shard is under way at most, however often credit comes and
/// goes meanwhile.
#[derive(Default)]
struct Watching<'a> {
    watch: Option<Watch<'a>>,
    /// Where the shard ends, once it is known to be closed.
    end: Option<Offset>,
}

/// What came of one push.
struct Pushed {
    /// The offset after it.
    next: Offset,
    /// The shard is closed and everything of it was pushed.
    is_end: bool,
}

/// The shards that go on with the keys of a closed one. Empty only if the node stops.
pub async fn children<R: Runtime>(worker: &Worker<R>, group: GroupId) -> Vec<Shard> {
    // The owner of the shard may have learned of the reshard a moment before this worker.
    for _ in 0..CHILDREN_TRIES {
        let found = known_children(worker, group);
        if !found.is_empty() || worker.is_draining() {
            return found;
        }
        worker.rt.sleep(Duration::from_millis(CHILDREN_PAUSE_MS)).await;
    }
    Vec::new()
}

fn known_children<R: Runtime>(worker: &Worker<R>, group: GroupId) -> Vec<Shard> {
    let catalog = worker.catalog.borrow();
    let Some((stream, parent)) = catalog.shard(group) else { return Vec::new() };
    stream.children(parent.number).cloned().collect()
}

fn child(shard: &Shard) -> ChildShard {
    ChildShard {
        number: shard.number,
        group: shard.group,
        hash_start: shard.range.start,
        hash_end: shard.range.end,
        parent: shard.parent,
        adjacent_parent: shard.adjacent_parent,
    }
}
