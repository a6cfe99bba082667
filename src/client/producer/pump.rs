//! What drives a lane: one task per shard that opens connections, sends what the lane says, and waits.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use super::lane::{Lane, Reaction, Send, SendId};
use super::{LaneCell, Shared};
use crate::client::connection::{Connection, result};
use crate::client::error::{Error, Result};
use crate::client::shard_map::ShardMap;
use crate::protocol::messages::{Put, PutAnswer};
use crate::runtime::{Reactor, TaskClass};
use crate::types::{MonoUs, WorkerId};

/// What the lane wants done next.
enum Step {
    /// Nothing before the bell or this time.
    Wait(Option<MonoUs>),
    Send,
    AskForMap,
    Stop,
}

/// Drives `cell` until the producer is closed and the lane empty, or the lane's shard is gone.
pub(super) async fn run<R: Reactor>(shared: Rc<Shared<R>>, cell: Rc<LaneCell>) {
    let rt = shared.client.reactor().clone();
    // Beside the worker it leads to: the shard may move.
    let mut connection: Option<(WorkerId, Connection<R>)> = None;
    loop {
        match next_step(&shared, &cell) {
            Step::Stop => return,
            Step::AskForMap => shared.ask_for_map(&cell),
            Step::Wait(until) => wait(&shared, &cell, until).await,
            Step::Send => {
                let worker = cell.lane.borrow().shard.worker;
                let live = connection.take().filter(|(to, connection)| *to == worker && !connection.is_closed());
                let opened = match live {
                    Some((_, connection)) => Ok(connection),
                    None => shared.client.connection_to(worker).await,
                };
                match opened {
                    Ok(opened) => {
                        // Opening takes time: what to send is asked after it.
                        let send = cell.lane.borrow_mut().next_send(rt.now(), shared.hurry());
                        if let Some(send) = send {
                            deliver(&shared, &cell, &opened, send).await;
                        }
                        connection = Some((worker, opened));
                    }
                    Err(error) => not_connected(&shared, &cell, error),
                }
            }
        }
    }
}

fn next_step<R: Reactor>(shared: &Shared<R>, cell: &LaneCell) -> Step {
    if cell.over.get() {
        // What it held went to other lanes.
        return Step::Stop;
    }
    let now = shared.client.reactor().now();
    let mut lane = cell.lane.borrow_mut();
    lane.settle(now);
    shared.collect(&mut lane);
    if lane.is_empty() && (shared.closed.get() || shared.is_retiring(cell)) {
        drop(lane);
        shared.forget(cell);
        return Step::Stop;
    }
    let wait_until = MonoUs(cell.wait_until_us.get());
    let deadline = lane.next_deadline();
    let blocked = wait_until > now;
    let has_asked = cell.asked.get().is_some();
    if lane.wants_map() && !blocked && !has_asked {
        return Step::AskForMap;
    }
    if lane.can_send(now, shared.hurry()) && !blocked {
        return Step::Send;
    }
    let until = match blocked {
        true => Some(deadline.map_or(wait_until, |deadline| deadline.min(wait_until))),
        false => deadline,
    };
    Step::Wait(until)
}

/// Waits for the bell, or for `until`.
async fn wait<R: Reactor>(shared: &Shared<R>, cell: &LaneCell, until: Option<MonoUs>) {
    let rt = shared.client.reactor();
    let mut rung = false;
    // The first look is before any wait: what is asked for is a ring after it.
    let bell = cell.changed.until(|| std::mem::replace(&mut rung, true).then_some(()));
    match until {
        None => bell.await,
        Some(until) => {
            // At least a little: a deadline that has passed and changed nothing must not spin.
            let left = Duration::from_micros(until.since(rt.now()).max(100));
            or(bell, rt.sleep(left)).await;
        }
    }
}

/// Queues a batch at the connection and leaves its answer to a task of its own.
async fn deliver<R: Reactor>(shared: &Rc<Shared<R>>, cell: &Rc<LaneCell>, connection: &Connection<R>, send: Send) {
    let rt = shared.client.reactor();
    let left = Duration::from_micros(send.deadline.since(rt.now()));
    let timeout = shared.client.options().request_timeout.min(left);
    match connection.send(&send.put, Some(send.body), timeout).await {
        Ok(mut pending) => {
            let (shared, cell) = (Rc::clone(shared), Rc::clone(cell));
            rt.spawn(TaskClass::Latency, async move {
                let message = pending.wait().await;
                let answer = message.and_then(|message| result::<Put, _>(&message, |answer| answer));
                answered(&shared, &cell, send.id, answer);
            });
        }
        Err(error) => {
            cell.lane.borrow_mut().not_sent(error);
            back_off(shared, cell, 0);
        }
    }
}

fn answered<R: Reactor>(shared: &Rc<Shared<R>>, cell: &Rc<LaneCell>, id: SendId, answer: Result<PutAnswer>) {
    let reaction = cell.lane.borrow_mut().answered(id, answer);
    match reaction {
        Reaction::GoOn => {
            let mut backoff = cell.backoff.get();
            backoff.reset();
            cell.backoff.set(backoff);
        }
        Reaction::Nothing => {}
        Reaction::Wait { at_least_ms } => back_off(shared, cell, at_least_ms),
        Reaction::Fenced => {
            let why = cell.lane.borrow().reason();
            shared.fail(why);
        }
    }
    shared.collect(&mut cell.lane.borrow_mut());
    cell.changed.notify();
}

fn not_connected<R: Reactor>(shared: &Rc<Shared<R>>, cell: &LaneCell, error: Error) {
    if error.is_retryable() {
        cell.lane.borrow_mut().no_connection(error);
        back_off(shared, cell, 0);
    } else {
        // The token is refused, or nothing common is spoken: no other connection will fare better.
        shared.fail(error);
    }
}

pub(super) fn back_off<R: Reactor>(shared: &Shared<R>, cell: &LaneCell, at_least_ms: u32) {
    let rt = shared.client.reactor();
    let mut backoff = cell.backoff.get();
    let wait = backoff.next(rt.random(), at_least_ms);
    cell.backoff.set(backoff);
    cell.wait_until_us.set(rt.now().plus(wait.as_micros() as u64).0);
}

impl<R: Reactor> Shared<R> {
    fn hurry(&self) -> bool {
        self.flushes.get() > 0 || self.closed.get()
    }

    pub(super) fn is_retiring(&self, cell: &LaneCell) -> bool {
        self.retiring.borrow().iter().any(|other| std::ptr::eq(&**other, cell))
    }

    /// Routes by `map` from now on. Lanes of shards it no longer has keep the keys of their ranges until they are empty.
    pub(super) fn adopt(&self, map: Rc<ShardMap>) {
        let mut lanes = self.lanes.borrow_mut();
        let open: BTreeSet<_> = map.open().iter().map(|shard| shard.group).collect();
        let gone = lanes.extract_if(.., |group, _| !open.contains(group)).map(|(_, cell)| cell);
        self.retiring.borrow_mut().extend(gone);
        for cell in lanes.values() {
            let mut lane = cell.lane.borrow_mut();
            // Moved, it is the same shard with the same stamps, at another worker.
            if let Some(shard) = map.shard(lane.shard.number) {
                lane.shard = *shard;
            }
        }
        *self.map.borrow_mut() = map;
    }

    /// Moves everything a retiring lane holds to the lanes of the shards that took its range over. Synchronous: records
    /// put later come behind them. If one of those lanes had ended with the producer, it is begun anew.
    pub(super) fn reroute(self: &Rc<Self>, cell: &Rc<LaneCell>) {
        let moving = cell.lane.borrow_mut().retire();
        self.forget(cell);
        for batch in moving {
            batch.scatter(|record, permit| {
                let place = self.append(record, permit);
                if let Err(error) = &place {
                    let mut progress = self.progress.get();
                    progress.records_failed += 1;
                    self.progress.set(progress);
                    if record.detached {
                        self.detached_error.borrow_mut().get_or_insert_with(|| error.clone());
                    }
                }
                place
            });
        }
    }

    fn forget(&self, cell: &LaneCell) {
        let (group, epoch) = {
            let lane = cell.lane.borrow();
            (lane.shard.group, lane.epoch_after())
        };
        cell.over.set(true);
        self.epochs.borrow_mut().insert(group, epoch);
        self.retiring.borrow_mut().retain(|other| !std::ptr::eq(&**other, cell));
        self.lanes.borrow_mut().retain(|_, other| !std::ptr::eq(&**other, cell));
    }

    /// Ends the producer: every record that is not acknowledged fails.
    pub(super) fn fail(&self, error: Error) {
        tracing::debug!(stream = %self.stream, %error, "the producer is over");
        self.failed.borrow_mut().get_or_insert_with(|| error.clone());
        self.closed.set(true);
        let cells: Vec<_> = self.lanes.borrow().values().chain(self.retiring.borrow().iter()).cloned().collect();
        for cell in cells {
            let lane: &mut Lane = &mut cell.lane.borrow_mut();
            lane.fail_all(&error);
            self.collect(lane);
            cell.changed.notify();
        }
    }
}
