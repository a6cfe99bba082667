//! Freeing whole logs in the background: deleted streams, expired shards.
//!
//! One file at a time, with a pause after each segment that is longer while the worker has something better to do: freeing
//! a thousand segments takes a minute and costs nobody his latency.
//!
//! In crash order: 1. the catalogue says that the storage goes, 2. files go one by one, then the directory, 3. the directory
//! above is synced, 4. whoever waits is told, and the catalogue forgets the log. A crash before 4. leaves a part of the
//! files and a catalogue that still knows: the next start goes on with 2. What cannot be removed is tried again and
//! never reported as gone, so that no directory is left that nobody knows of.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future;

use crate::engine::env::Env;
use crate::engine::log::Log;
use crate::engine::retention::remove_if_there;
use crate::engine::turns::Turns;
use crate::format::names;
use crate::runtime::local::Notify;
use crate::runtime::{Runtime, TaskClass};
use crate::types::GroupId;

/// Pause after a segment: 2 ms. Also how long is looked whether the worker has something better to do.
const PAUSE: Duration = Duration::from_millis(2);

/// Further pause if it had: with segments of 256 MiB that still frees 5 GB/s.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The logs of one worker whose storage is being freed. Shared by `Rc`.
pub struct Freeing<R: Runtime> {
    env: Rc<Env<R>>,
    turns: Rc<Turns>,
    queue: RefCell<VecDeque<Leftover<R>>>,
    /// Groups in the queue and the one being freed.
    pending: RefCell<BTreeSet<GroupId>>,
    running: Cell<bool>,
    stopping: Cell<bool>,
    changed: Notify,
}

/// A log to be freed.
struct Leftover<R: Runtime> {
    group: GroupId,
    /// If it was open: puts under way are still answered.
    log: Option<Rc<Log<R>>>,
}

impl<R: Runtime> Freeing<R> {
    /// Nothing to be freed yet.
    pub fn new(env: Rc<Env<R>>, turns: Rc<Turns>) -> Rc<Self> {
        Rc::new(Self {
            env,
            turns,
            queue: RefCell::default(),
            pending: RefCell::default(),
            running: Cell::new(false),
            stopping: Cell::new(false),
            changed: Notify::new(),
        })
    }

    /// Takes a log to be freed; one that was taken already is not taken twice. Its puts are refused by then.
    pub fn add(self: &Rc<Self>, group: GroupId, log: Option<Rc<Log<R>>>) {
        if !self.pending.borrow_mut().insert(group) {
            return;
        }
        self.queue.borrow_mut().push_back(Leftover { group, log });
        if !self.stopping.get() && !self.running.replace(true) {
            let this = Rc::clone(self);
            self.env.rt.spawn(TaskClass::Background, async move { this.run().await });
        }
    }

    /// Resolves once nothing is left of a log that was taken, also after a power failure: true. False if the node stops
    /// before that; the next start has to go on with it. Dropping it changes nothing.
    pub async fn gone(&self, group: GroupId) -> bool {
        let gone = || {
            if !self.pending.borrow().contains(&group) {
                return Some(true);
            }
            self.stopping.get().then_some(false)
        };
        self.changed.until(gone).await
    }

    /// Logs that are not gone yet.
    pub fn pending(&self) -> usize {
        self.pending.borrow().len()
    }

    /// Ends the freeing between two files; the next start goes on with it.
    pub async fn stop(&self) {
        self.stopping.set(true);
        self.changed.notify();
        self.changed.until(|| (!self.running.get()).then_some(())).await;
    }

    async fn run(&self) {
        while !self.stopping.get() {
            let Some(leftover) = self.queue.borrow_mut().pop_front() else { break };
            let removed = self.remove(&leftover).await;
            match removed {
                Ok(true) => {
                    self.pending.borrow_mut().remove(&leftover.group);
                    self.changed.notify();
                }
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(group = %leftover.group, %error, "could not free a log; trying again");
                    self.queue.borrow_mut().push_back(leftover);
                    self.pause(RETRY_PAUSE).await;
                }
            }
        }
        self.running.set(false);
        self.changed.notify();
    }

    /// Removes the files of a log and its directory. False if it was told to stop on the way.
    async fn remove(&self, leftover: &Leftover<R>) -> io::Result<bool> {
        let _turn = self.turns.take(leftover.group).await;
        if let Some(log) = &leftover.log {
            log.leave_for_good().await;
        }
        let rt = &self.env.rt;
        let dir = names::shard_dir(&self.env.data, leftover.group);
        let mut files = match rt.list(&dir).await {
            Ok(files) => files,
            // Gone, but perhaps not for certain yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                rt.sync_dir(&names::shards_dir(&self.env.data)).await?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        files.sort_unstable();
        for name in files {
            if self.stopping.get() {
                return Ok(false);
            }
            remove_if_there(rt, &dir.join(&name)).await?;
            if names::parse_segment(&name).is_some() {
                let before = self.env.uses();
                self.pause(PAUSE).await;
                if self.env.uses() != before {
                    self.pause(BUSY_PAUSE).await;
                }
            }
        }
        rt.remove_dir(&dir).await?;
        rt.sync_dir(&names::shards_dir(&self.env.data)).await?;
        Ok(true)
    }

    async fn pause(&self, pause: Duration) {
        let stopped = self.changed.until(|| self.stopping.get().then_some(()));
        future::or(stopped, self.env.rt.sleep(pause)).await;
    }
}
