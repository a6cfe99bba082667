//! One member: its heartbeat, what it has, and what it hands out. Three tasks run beside the readers: one renews all leases
//! at once, one looks for shards to take, one notes what was processed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::assignment::Assignment;
use super::{GroupEvent, GroupItem, GroupOptions, look, status};
use crate::client::client::Client;
use crate::client::connection::within;
use crate::client::error::{Error, Result};
use crate::client::merged::ShardError;
use crate::protocol::messages::Expect;
use crate::runtime::local::{Notify, join_all};
use crate::runtime::{Reactor, TaskClass};
use crate::types::{MonoUs, Offset, ShardNumber, StreamId};

/// Renewals in the time of a lease: one may get lost, and one more be late.
const RENEWALS_PER_TTL: u32 = 3;

/// How long a member that leaves tries to give a shard back.
const LEAVE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Shared<R: Reactor> {
    pub(super) client: Client<R>,
    /// The space in the store.
    pub(super) application: String,
    pub(super) stream: String,
    pub(super) stream_id: StreamId,
    pub(super) options: GroupOptions,
    /// What this member calls itself.
    pub(super) me: String,
    /// The lease of the member itself, and when its renewal was asked for.
    pub(super) heart: Cell<(u64, MonoUs)>,
    pub(super) assigned: RefCell<BTreeMap<ShardNumber, Rc<Assignment>>>,
    /// What is to be handed out, in order; at most one batch of each shard.
    pub(super) queue: RefCell<VecDeque<Item>>,
    /// Something above changed.
    pub(super) changed: Notify,
    /// The group is over: nobody wants anything any more.
    pub(super) stopped: Cell<bool>,
    /// No new shards: it is about to leave.
    pub(super) leaving: Cell<bool>,
    /// Looks that are asked for before their time.
    pub(super) hurried: Cell<bool>,
    /// Why nothing can be read any more; told once.
    fatal: RefCell<Option<Error>>,
}

/// Something to be handed out.
pub(super) struct Item {
    pub(super) item: Result<GroupItem, ShardError>,
    /// The shard it was read from; an event is of none.
    pub(super) of: Option<Rc<Assignment>>,
    pub(super) taken: Rc<Cell<bool>>,
}

impl<R: Reactor> Shared<R> {
    pub(super) async fn join(
        client: Client<R>,
        application: &str,
        stream: &str,
        options: GroupOptions,
    ) -> Result<Rc<Self>> {
        let description = client.describe_stream(stream).await?;
        let rt = client.reactor().clone();
        let me = format!("{:016x}", rt.random());
        status::begin(&client, application, &description, options.start, &me).await?;
        let shared = Rc::new(Self {
            client,
            application: application.to_owned(),
            stream: stream.to_owned(),
            stream_id: description.id,
            options,
            me,
            heart: Cell::new((0, rt.now())),
            assigned: RefCell::default(),
            queue: RefCell::default(),
            changed: Notify::new(),
            stopped: Cell::new(false),
            leaving: Cell::new(false),
            hurried: Cell::new(false),
            fatal: RefCell::default(),
        });
        shared.show().await?;
        rt.spawn(TaskClass::Latency, beat(Rc::clone(&shared)));
        rt.spawn(TaskClass::Latency, look::run(Rc::clone(&shared)));
        rt.spawn(TaskClass::Latency, note(Rc::clone(&shared)));
        Ok(shared)
    }

    /// Time between two renewals, and between two looks.
    pub(super) fn interval(&self) -> Duration {
        self.options.lease_ttl / RENEWALS_PER_TTL
    }

    fn member_key(&self) -> String {
        status::member_key(self.stream_id, &self.me)
    }

    /// Claims the item of the member itself: from now on others count it in.
    async fn show(&self) -> Result<()> {
        let (rt, key) = (self.client.reactor(), self.member_key());
        let mut take_from = None;
        loop {
            let asked = rt.now();
            let claimed =
                self.client.lease_claim(&self.application, &key, &self.me, self.options.lease_ttl, take_from).await;
            match claimed {
                Ok(item) => {
                    self.heart.set((item.lease.map_or(0, |lease| lease.token), asked));
                    return Ok(());
                }
                // Nobody else has this name: an answer was lost.
                Err(error) => match held_token(&error) {
                    Some(token) if take_from != Some(token) => take_from = Some(token),
                    _ if error.is_outcome_unknown() && !self.stopped.get() => {
                        rt.sleep(Duration::from_millis(50 + rt.random() % 50)).await;
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    pub(super) fn hurry(&self) {
        self.hurried.set(true);
        self.changed.notify();
    }

    pub(super) fn event(&self, event: GroupEvent) {
        let item = Item { item: Ok(GroupItem::Event(event)), of: None, taken: Rc::default() };
        self.queue.borrow_mut().push_back(item);
        self.changed.notify();
    }

    /// Another member has the shard, or may.
    pub(super) fn lose(&self, assignment: &Assignment) {
        if assignment.over.get() {
            return;
        }
        self.forget(assignment);
        self.event(GroupEvent::Lost(assignment.shard.number));
        self.hurry();
    }

    /// Works no more on a shard: what it has brought is not handed out.
    pub(super) fn forget(&self, assignment: &Assignment) {
        assignment.over.set(true);
        let mut assigned = self.assigned.borrow_mut();
        if assigned.get(&assignment.shard.number).is_some_and(|current| current.token == assignment.token) {
            assigned.remove(&assignment.shard.number);
        }
        let is_other = |item: &Item| item.of.as_ref().is_none_or(|of| of.token != assignment.token);
        self.queue.borrow_mut().retain(is_other);
        self.changed.notify();
    }

    /// Ends the group with an error, which is told once.
    pub(super) fn fail(&self, error: Error) {
        tracing::debug!(stream = %self.stream, %error, "the group is over");
        self.fatal.borrow_mut().get_or_insert(error);
        self.stop();
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
        self.changed.notify();
    }

    /// Whether the lease may have run out unnoticed: then another may be reading already.
    fn is_in_doubt(&self, assignment: &Assignment) -> bool {
        let ttl = self.options.lease_ttl.as_micros() as u64;
        assignment.renewed.get().plus(ttl) <= self.client.reactor().now()
    }

    /// The next thing to be handed out. Batches of shards in doubt wait until the doubt is over.
    pub(super) async fn next(&self) -> Option<Result<GroupItem, ShardError>> {
        let item = self.changed.until(|| {
            let mut queue = self.queue.borrow_mut();
            let is_due = |item: &Item| item.of.as_ref().is_none_or(|of| !self.is_in_doubt(of));
            let at = queue.iter().position(is_due);
            match at.and_then(|at| queue.remove(at)) {
                Some(item) => Some(Ok(item)),
                None if self.stopped.get() => Some(Err(self.fatal.borrow_mut().take())),
                None => None,
            }
        });
        match item.await {
            Ok(Item { item, of, taken }) => {
                if let (Ok(GroupItem::Batch(batch)), Some(of)) = (&item, &of) {
                    of.delivered.set(batch.end_offset());
                }
                taken.set(true);
                self.changed.notify();
                Some(item)
            }
            Err(error) => {
                // It concerns no shard more than another: the first stands for all.
                let shard = self.assigned.borrow().keys().next().copied().unwrap_or(ShardNumber(0));
                error.map(|error| Err(ShardError { shard, error }))
            }
        }
    }

    /// The application is done with a batch.
    pub(super) fn processed(self: &Rc<Self>, shard: ShardNumber, token: u64, end: Offset) {
        let found = self.assigned.borrow().get(&shard).filter(|current| current.token == token).cloned();
        let Some(assignment) = found else { return };
        assignment.processed.set(end);
        let shared = Rc::clone(self);
        self.client.reactor().spawn(TaskClass::Latency, async move { shared.finish(&assignment).await });
    }

    pub(super) async fn checkpoint(
        self: &Rc<Self>,
        shard: ShardNumber,
        token: Option<u64>,
        offset: Offset,
    ) -> Result<()> {
        let found = self.assigned.borrow().get(&shard).cloned();
        let Some(assignment) = found.filter(|current| token.is_none_or(|token| token == current.token)) else {
            return Err(Error::LeaseLost);
        };
        if offset > assignment.delivered.get() {
            return Err(Error::Argument("a checkpoint lies behind what was handed out"));
        }
        self.put(&assignment, super::Checkpoint::At(offset)).await?;
        assignment.processed.set(offset);
        self.finish(&assignment).await;
        Ok(())
    }

    /// Gives everything back.
    pub(super) async fn leave(self: &Rc<Self>) -> Result<()> {
        self.leaving.set(true);
        let assigned: Vec<_> = self.assigned.borrow().values().cloned().collect();
        let given_back = join_all(assigned.iter().map(async |assignment| {
            let noted = match self.options.checkpoint_every {
                Some(_) => self.flush(assignment).await,
                None => Ok(()),
            };
            if assignment.over.get() {
                return noted;
            }
            self.forget(assignment);
            noted.and(self.client.lease_release(&self.application, &assignment.key, assignment.token).await)
        }));
        let rt = self.client.reactor();
        let late = || Error::Timeout { millis: LEAVE_MAX.as_millis() as u64 };
        let given_back = within(rt, LEAVE_MAX, given_back).await.ok_or_else(late);
        self.stop();
        let (token, _) = self.heart.get();
        let key = self.member_key();
        let gone = self.client.store_delete(&self.application, &key, Expect::Any, Some(token));
        let gone = within(rt, LEAVE_MAX, gone).await.ok_or_else(late)?;
        given_back?.into_iter().collect::<Result<()>>()?;
        gone.map(drop)
    }
}

/// The token in the way of a claim.
pub(super) fn held_token(error: &Error) -> Option<u64> {
    match error {
        Error::Node(answer) if error.code() == Some(crate::protocol::ErrorCode::LeaseHeld) => Some(answer.detail_a),
        _ => None,
    }
}

/// Renews every lease, again and again. Ends work on those that are lost.
async fn beat<R: Reactor>(shared: Rc<Shared<R>>) {
    let rt = shared.client.reactor().clone();
    while !shared.stopped.get() {
        let asked = rt.now();
        let (heart, _) = shared.heart.get();
        let assigned: Vec<_> = shared.assigned.borrow().values().cloned().collect();
        let member = shared.member_key();
        let mine = assigned.iter().map(|assignment| (&*assignment.key, assignment.token));
        let leases: Vec<_> = std::iter::once((&*member, heart)).chain(mine).collect();
        let renewal = shared.client.lease_renew(&shared.application, &leases);
        // Not to be kept from the next one by a connection that hangs.
        match within(&rt, shared.interval(), renewal).await {
            Some(Ok(held)) => {
                for (assignment, held) in assigned.iter().zip(&held[1..]) {
                    match held {
                        true => assignment.renewed.set(asked),
                        false => shared.lose(assignment),
                    }
                }
                match held[0] {
                    true => shared.heart.set((heart, asked)),
                    // Taken for dead and tidied away. Its shards are asked about one by one, above.
                    false if !shared.leaving.get() => {
                        if let Some(Err(error)) = within(&rt, shared.interval(), shared.show()).await {
                            tracing::debug!(%error, "a member cannot show itself");
                        }
                    }
                    false => {}
                }
            }
            Some(Err(error)) => tracing::debug!(%error, "leases are not renewed"),
            None => tracing::debug!("leases are not renewed in time"),
        }
        shared.changed.notify();
        let next = asked.plus(shared.interval().as_micros() as u64);
        let left = Duration::from_micros(next.since(rt.now())).max(Duration::from_millis(10));
        shared.sleep(left).await;
    }
}

/// Notes what was processed, again and again; ends of shards with manual checkpoints, too.
async fn note<R: Reactor>(shared: Rc<Shared<R>>) {
    let every = shared.options.checkpoint_every.unwrap_or(shared.interval()).max(Duration::from_millis(10));
    while !shared.stopped.get() {
        shared.sleep(every).await;
        let assigned: Vec<_> = shared.assigned.borrow().values().cloned().collect();
        let is_automatic = shared.options.checkpoint_every.is_some();
        let flushed = assigned.iter().map(async |assignment| match is_automatic {
            true => shared.flush(assignment).await,
            false => {
                shared.finish(assignment).await;
                Ok(())
            }
        });
        for error in join_all(flushed).await.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a checkpoint is not noted yet");
        }
    }
}

impl<R: Reactor> Shared<R> {
    /// Sleeps, or until the group is over.
    pub(super) async fn sleep(&self, duration: Duration) {
        let stopped = self.changed.until(|| self.stopped.get().then_some(()));
        within(self.client.reactor(), duration, stopped).await;
    }
}
