//! The map of a producer's stream: one fetch at a time for all lanes, and of the open shards only.
//!
//! A lane that finds its map old asks for the next fetch and waits as for anything else. A fetch serves every lane that asked
//! before it began; who asks while one is under way gets the one after it, because its answer may be older than the question.
//! A lane whose shard is not in the map any more needs none: a shard that was closed stays closed. So however many lanes a
//! reshard closes, and however many shards were closed before, it costs a fetch or two of the shards that are open.
//!
//! A closed shard is not in the map. A lane that has to know where it is, to ask it what became of a batch, looks it up.

use std::cell::Cell;
use std::rc::Rc;

use super::pump::back_off;
use super::{LaneCell, Shared};
use crate::client::client::StreamDescription;
use crate::client::connection::within;
use crate::client::error::{Error, Result};
use crate::protocol::messages::ShardDescription;
use crate::runtime::local::join_all;
use crate::runtime::{Reactor, TaskClass};

/// Closed shards that are looked up at the same time.
const LOOKUPS_MAX: usize = 64;

/// What a lane waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The fetch with this number, or any after it.
    Fetch(u64),
    /// Its shard to be looked up.
    LookUp,
}

/// Which fetches there were, and which one is wanted. They are numbered from 1.
///
/// Invariant: `wanted` is at most one above `begun`.
#[derive(Debug, Default)]
pub(super) struct Maps {
    begun: Cell<u64>,
    wanted: Cell<u64>,
    /// A task fetches.
    is_fetching: Cell<bool>,
}

impl<R: Reactor> Shared<R> {
    /// Has the lane told what became of its shard, by a map that is not older than now. Its bell rings once it was told, or
    /// nothing can be learned.
    pub(super) fn ask_for_map(self: &Rc<Self>, cell: &Rc<LaneCell>) {
        let is_known_to_be_closed = self.is_retiring(cell);
        if is_known_to_be_closed {
            if let Some(shard) = self.tell(cell) {
                cell.asked.set(Some(Asked::LookUp));
                let (shared, cell) = (Rc::clone(self), Rc::clone(cell));
                self.client.reactor().spawn(TaskClass::Latency, async move {
                    shared.look_up(vec![(Rc::clone(&cell), shard)]).await;
                    cell.asked.set(None);
                    cell.changed.notify();
                });
            }
            return;
        }
        let maps = &self.maps;
        let next = maps.begun.get() + 1;
        cell.asked.set(Some(Asked::Fetch(next)));
        maps.wanted.set(next);
        if !maps.is_fetching.replace(true) {
            self.client.reactor().spawn(TaskClass::Latency, fetch(Rc::clone(self)));
        }
    }

    /// The lanes that a fetch serves, those that are over by now left out.
    fn askers(&self, number: u64) -> Vec<Rc<LaneCell>> {
        let (lanes, retiring) = (self.lanes.borrow(), self.retiring.borrow());
        let all = lanes.values().chain(retiring.iter());
        let is_served = |asked| matches!(asked, Some(Asked::Fetch(asked)) if asked <= number);
        all.filter(|cell| is_served(cell.asked.get())).cloned().collect()
    }

    /// Takes over a map unless it is older than the one there is: the first answer may come from a worker that is behind the
    /// one that answered before. Its shards must not come back, nor those of the newer one go: a lane that is begun anew uses
    /// its stamps again, and what it sends is taken for what was stored under them.
    fn take_over(&self, description: StreamDescription) {
        if description.catalogue_version >= self.map_version.get() {
            self.map_version.set(description.catalogue_version);
            self.record_bytes_max.set(description.settings.record_bytes_max);
            self.distribution.set(description.settings.distribution);
            self.adopt(Rc::new(description.shards));
        }
    }

    /// Tells a lane what the map says about its shard. `Some` if that is not enough: the shard is closed and may hold what it
    /// did not acknowledge.
    fn tell(self: &Rc<Self>, cell: &Rc<LaneCell>) -> Option<ShardDescription> {
        let shard = cell.lane.borrow().shard;
        let listed = {
            let map = self.map.borrow();
            map.shard(shard.number).filter(|listed| listed.group == shard.group).copied()
        };
        match listed {
            Some(listed) => {
                cell.lane.borrow_mut().still_open(listed);
                back_off(self, cell, 0);
            }
            None if cell.lane.borrow().has_unknown() => return Some(shard),
            None => self.reroute(cell),
        }
        None
    }

    /// Tells a lane whose shard is not open what became of the shard.
    fn tell_closed(self: &Rc<Self>, cell: &Rc<LaneCell>, shard: ShardDescription, found: Option<ShardDescription>) {
        match found.filter(|found| found.group == shard.group) {
            Some(found) if cell.lane.borrow().has_unknown() => {
                cell.lane.borrow_mut().ask_closed(found);
                back_off(self, cell, 0);
            }
            _ => self.reroute(cell),
        }
    }

    /// The lanes could not be told: they wait, and ask again.
    fn refuse(self: &Rc<Self>, cells: &[Rc<LaneCell>], error: &Error) {
        if !error.is_retryable() {
            return self.fail(error.clone());
        }
        for cell in cells {
            cell.lane.borrow_mut().no_connection(error.clone());
            back_off(self, cell, 0);
        }
    }

    /// Waits for an answer, but not for longer than one is waited for: whoever asked has batches that expire.
    async fn answer<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.client.options().request_timeout;
        let late = Error::Timeout { millis: limit.as_millis() as u64 };
        within(self.client.reactor(), limit, answer).await.unwrap_or(Err(late))
    }

    /// Looks closed shards up, for lanes that have to ask them something.
    async fn look_up(self: &Rc<Self>, cells: Vec<(Rc<LaneCell>, ShardDescription)>) {
        for some in cells.chunks(LOOKUPS_MAX) {
            let asked = some.iter().map(|(_, shard)| self.client.describe_shard(&self.stream, shard.number));
            let found = self.answer(async { Ok(join_all(asked).await) }).await;
            let found = found.unwrap_or_else(|error| vec![Err(error); some.len()]);
            for ((cell, shard), found) in some.iter().zip(found) {
                if cell.over.get() {
                    continue;
                }
                match found {
                    Ok(found) => self.tell_closed(cell, *shard, found),
                    Err(error) => self.refuse(std::slice::from_ref(cell), &error),
                }
            }
        }
    }
}

/// Fetches until nobody wants a newer map.
async fn fetch<R: Reactor>(shared: Rc<Shared<R>>) {
    let maps = &shared.maps;
    loop {
        let number = maps.begun.get() + 1;
        maps.begun.set(number);
        assert!(maps.wanted.get() <= number, "fetch {} is wanted, {number} begins", maps.wanted.get());
        let described = shared.answer(shared.client.describe_open_shards(&shared.stream)).await;
        let askers = shared.askers(number);
        match described {
            Err(error) => shared.refuse(&askers, &error),
            Ok(description) => {
                shared.take_over(description);
                let closed = askers.iter().filter_map(|cell| Some((Rc::clone(cell), shared.tell(cell)?)));
                let closed: Vec<_> = closed.collect();
                shared.look_up(closed).await;
            }
        }
        for cell in askers {
            cell.asked.set(None);
            cell.changed.notify();
        }
        if maps.wanted.get() <= number {
            maps.is_fetching.set(false);
            return;
        }
    }
}
