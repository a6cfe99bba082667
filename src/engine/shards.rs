//! The shards of one worker: opening them on start, creating, removing, expiring.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::catalog::{self, ShardState, Status, Stream};
use crate::engine::env::Env;
use crate::engine::freeing::Freeing;
use crate::engine::log::{DrainError, End, Found, Log};
use crate::engine::recover::{self, RecoverError, Report};
use crate::engine::shard::{Identity, Phase, Shard, Terms};
use crate::engine::turns::Turns;
use crate::engine::whole_file;
use crate::format::names;
use crate::runtime::local;
use crate::runtime::{Runtime, Step};
use crate::shard::admission::PutRefusal;
use crate::types::{GroupId, Offset};

/// Logs that are recovered side by side: enough to keep the disk busy, few enough to keep memory small.
const RECOVER_AT_ONCE: usize = 16;

/// What has to be done about the storage of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// It is to be made, or was being made when the node stopped: then it may have taken puts.
    Make,
    /// It is there.
    Open,
    /// It is to be freed.
    Free,
}

/// A shard, as its owner has to know it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Whose shard it is.
    pub id: Identity,
    /// What its log has to be.
    pub storage: Storage,
    /// What it is opened with.
    pub terms: Terms,
}

impl Known {
    /// A shard, as the catalogue knows it.
    #[must_use]
    pub fn of(stream: &Stream, shard: &catalog::Shard) -> Self {
        let (phase, storage) = match shard.state {
            ShardState::Pending => (Phase::Pending, Storage::Make),
            ShardState::Open => (Phase::Open, Storage::Open),
            ShardState::Closed { end, .. } => (Phase::Closed(end), Storage::Open),
            ShardState::Expired => (Phase::Open, Storage::Free),
        };
        let storage = match stream.status {
            Status::Creating => Storage::Make,
            Status::Active | Status::Updating => storage,
            Status::Deleting => Storage::Free,
        };
        Self {
            id: Identity { stream: stream.id, number: shard.number, group: shard.group },
            storage,
            terms: Terms {
                settings: stream.settings,
                expired_before: stream.expired_before(),
                range: shard.range,
                phase,
            },
        }
    }
}

/// What opening the shards of a worker found.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// Shards opened.
    pub shards: usize,
    /// Records in them.
    pub records: u64,
    /// Bytes that had to be scanned.
    pub scanned_bytes: u64,
    /// Shards where a write that never finished was left behind.
    pub cut: usize,
    /// Shards that take no puts because of damage, with what was found.
    pub quarantined: Vec<(Identity, Report)>,
    /// Shards that could not be opened at all, with the reason: every read fails, and those that the disk refused are tried
    /// again.
    pub failed: Vec<(Identity, String)>,
}

impl Opened {
    /// Adds what another worker found.
    pub fn add(&mut self, other: Self) {
        self.shards += other.shards;
        self.records += other.records;
        self.scanned_bytes += other.scanned_bytes;
        self.cut += other.cut;
        self.quarantined.extend(other.quarantined);
        self.failed.extend(other.failed);
    }
}

/// What came of handing a shard over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// Another worker may take it.
    Done,
    /// There is no such shard here; nothing keeps another worker from taking it.
    NotHere,
    /// It is being closed, and goes on here until that is decided. Nothing was changed.
    Sealed,
}

/// The shards of one worker.
pub struct Shards<R: Runtime> {
    env: Rc<Env<R>>,
    by_group: RefCell<BTreeMap<GroupId, Rc<Shard<R>>>>,
    turns: Rc<Turns>,
    freeing: Rc<Freeing<R>>,
}

impl<R: Runtime> Shards<R> {
    /// No shards yet.
    pub fn new(env: Rc<Env<R>>) -> Rc<Self> {
        let turns = Rc::new(Turns::default());
        let freeing = Freeing::new(Rc::clone(&env), Rc::clone(&turns));
        Rc::new(Self { env, by_group: RefCell::default(), turns, freeing })
    }

    /// The worker's context.
    pub const fn env(&self) -> &Rc<Env<R>> {
        &self.env
    }

    /// The shard of this incarnation.
    pub fn get(&self, group: GroupId) -> Option<Rc<Shard<R>>> {
        self.by_group.borrow().get(&group).cloned()
    }

    /// All shards, by incarnation.
    pub fn all(&self) -> Vec<Rc<Shard<R>>> {
        self.by_group.borrow().values().cloned().collect()
    }

    /// Opens shards, several at a time. One that fails does not keep the others from opening: it refuses everything.
    pub async fn open(&self, known: Vec<Known>) -> Opened {
        let opened = RefCell::new(Opened::default());
        let next = Cell::new(0);
        let lane = || async {
            while let Some(known) = known.get(next.replace(next.get() + 1)) {
                self.open_one(*known, &opened).await;
            }
        };
        local::join_all((0..RECOVER_AT_ONCE.min(known.len())).map(|_| lane())).await;
        opened.into_inner()
    }

    async fn open_one(&self, known: Known, opened: &RefCell<Opened>) {
        let group = known.id.group;
        match known.storage {
            Storage::Free => {
                self.freeing.add(group, None);
                return;
            }
            Storage::Make => {
                // Whoever was making it when the node stopped may not have told anybody: go on with it.
                match self.create(&known).await {
                    Ok(report) if report.damage.is_empty() => {}
                    Ok(report) => opened.borrow_mut().quarantined.push((known.id, report)),
                    Err(error) => opened.borrow_mut().failed.push((known.id, error.to_string())),
                }
                return;
            }
            Storage::Open => {}
        }
        let _turn = self.turns.take(group).await;
        let (found, report) = match self.recover(group).await {
            Ok(found) => found,
            Err(error) => {
                opened.borrow_mut().failed.push((known.id, error.to_string()));
                self.insert(self.unopened(&known, &error));
                return;
            }
        };
        let shard = self.shard_on(known.id, found, known.terms);
        let log = shard.log();
        let mut opened = opened.borrow_mut();
        opened.shards += 1;
        opened.records += log.marks().committed().offset.0 - log.first_offset().0;
        opened.scanned_bytes += report.scanned_bytes;
        opened.cut += usize::from(report.cut);
        if !report.damage.is_empty() {
            opened.quarantined.push((known.id, report));
        }
        self.insert(shard);
    }

    async fn recover(&self, group: GroupId) -> Result<(Found<R>, Report), RecoverError> {
        recover::recover(&self.env, group, &names::shard_dir(&self.env.data, group)).await
    }

    fn shard_on(&self, id: Identity, found: Found<R>, terms: Terms) -> Rc<Shard<R>> {
        let dir = names::shard_dir(&self.env.data, id.group);
        let log = Log::new(Rc::clone(&self.env), dir, found, terms.settings.durability);
        Shard::new(Rc::clone(&self.env), id, log, terms)
    }

    /// A shard whose log cannot be opened. What the disk refuses today it may give tomorrow: see [`Shards::reopen_dead`]. A
    /// directory that is gone comes back by somebody's hand only.
    fn unopened(&self, known: &Known, error: &RecoverError) -> Rc<Shard<R>> {
        let refusal = match error {
            RecoverError::Io { .. } => PutRefusal::Dead,
            RecoverError::Missing(_) => PutRefusal::Quarantined,
        };
        let dir = names::shard_dir(&self.env.data, known.id.group);
        let log = Log::unopened(Rc::clone(&self.env), dir, known.id.group, refusal);
        Shard::new(Rc::clone(&self.env), known.id, log, known.terms)
    }

    /// Creates the log of a new shard; tells what was there, if it had been created before. When it resolves, the log is durable. Fine
    /// to call again after a crash.
    pub async fn create(&self, known: &Known) -> io::Result<Report> {
        let id = known.id;
        if self.get(id.group).is_some() {
            return Ok(Report::default());
        }
        let dir = names::shard_dir(&self.env.data, id.group);
        whole_file::create_dir(&self.env.rt, &dir).await?;
        // Not taken for empty: it may have taken puts already when the node stopped before its stream was active.
        let (found, report) = self.recover(id.group).await.map_err(|error| match error {
            RecoverError::Io { error, .. } => error,
            RecoverError::Missing(_) => io::ErrorKind::NotFound.into(),
        })?;
        self.insert(self.shard_on(id, found, known.terms));
        Ok(report)
    }

    fn insert(&self, shard: Rc<Shard<R>>) {
        self.by_group.borrow_mut().insert(shard.id.group, shard);
    }

    /// Turns puts and reads of a shard away at once and has its storage freed in the background. Resolves to true once
    /// nothing is left of it, also after a power failure: the catalogue may forget the shard then, not before. False if the
    /// node stops before that.
    ///
    /// Puts under way are still answered. Fine to call for a shard that was freed already, or is being freed, as those of
    /// deleted streams are from the start on. Dropping it changes nothing.
    pub fn free(&self, group: GroupId) -> impl Future<Output = bool> + 'static {
        let shard = self.by_group.borrow_mut().remove(&group);
        let log = shard.map(|shard| Rc::clone(shard.log()));
        if let Some(log) = &log {
            log.refuse(PutRefusal::Deleting);
        }
        self.freeing.add(group, log);
        let freeing = Rc::clone(&self.freeing);
        async move { freeing.gone(group).await }
    }

    /// Logs whose storage is being freed.
    pub fn freeing(&self) -> usize {
        self.freeing.pending()
    }

    /// Seals a shard: puts wait, and once everything accepted is durable this resolves to the end. `None` if the shard is
    /// not here. Then either [`Shards::close`] or [`Shards::unseal`] has to follow.
    ///
    /// On an error puts go on. Dropping it leaves the shard sealed.
    pub async fn seal(&self, group: GroupId) -> Option<Result<End, DrainError>> {
        let shard = self.get(group)?;
        Some(shard.seal().await)
    }

    /// Lets puts into a sealed shard again, in the order they came.
    pub fn unseal(&self, group: GroupId) {
        if let Some(shard) = self.get(group) {
            shard.unseal();
        }
    }

    /// Closes a sealed shard at the end that [`Shards::seal`] resolved to, once the catalogue knows it: puts are refused as
    /// [`PutRefusal::Closed`], everybody who waits is woken.
    ///
    /// Panics if the shard ends elsewhere: records would be lost.
    pub fn close(&self, group: GroupId, end: Offset) {
        if let Some(shard) = self.get(group) {
            shard.close(end);
        }
    }

    /// Lets puts into a shard whose parents are closed.
    pub fn open_up(&self, group: GroupId) {
        if let Some(shard) = self.get(group) {
            shard.open_up();
        }
    }

    /// Gives a shard up, so that another worker can [`Shards::adopt`] it. Puts are refused as [`PutRefusal::Moving`] at
    /// once, what was accepted is still written and acknowledged, everybody who waits is woken, and reads fail with
    /// [`ReadError::Away`](crate::engine::read::ReadError::Away).
    ///
    /// When it resolves, this worker has nothing of the log in memory, and no file of it open but for reads that end by
    /// themselves. Dropping it leaves a shard that refuses puts: call it again.
    pub async fn hand_over(&self, group: GroupId) -> HandOver {
        let _turn = self.turns.take(group).await;
        let Some(shard) = self.get(group) else { return HandOver::NotHere };
        if shard.phase() == Phase::Sealed {
            return HandOver::Sealed;
        }
        shard.log().refuse(PutRefusal::Moving);
        if !self.env.rt.leaves_out(Step::DrainBeforeMove) {
            shard.log().leave().await;
            shard.log().abandon();
        }
        self.by_group.borrow_mut().remove(&group);
        HandOver::Done
    }

    /// Opens a shard that another worker has handed over, or that could not be opened before. One that is here already
    /// is left alone.
    ///
    /// On an error the shard is nowhere: call it again, here or where it came from.
    pub async fn adopt(&self, known: Known) -> Result<Report, RecoverError> {
        let _turn = self.turns.take(known.id.group).await;
        if self.get(known.id.group).is_some() {
            return Ok(Report::default());
        }
        let (found, report) = self.recover(known.id.group).await?;
        self.insert(self.shard_on(known.id, found, known.terms));
        Ok(report)
    }

    /// Recovers the logs of shards that died: they are usable again when this resolves, but for those that it gives, which
    /// turned out to be damaged. One that cannot be recovered yet stays dead, for the next call.
    pub async fn reopen_dead(&self) -> Vec<GroupId> {
        let mut damaged = Vec::new();
        for shard in self.all() {
            if shard.log().refusal() == Some(PutRefusal::Dead) && self.reopen(&shard).await {
                damaged.push(shard.id.group);
            }
        }
        damaged
    }

    /// Says whether it is damaged.
    async fn reopen(&self, dead: &Rc<Shard<R>>) -> bool {
        let id = dead.id;
        let _turn = self.turns.take(id.group).await;
        // The stream may have been deleted meanwhile, or the shard moved; then there is nothing to put in its place.
        let is_current = || self.get(id.group).is_some_and(|current| Rc::ptr_eq(&current, dead));
        if !is_current() {
            return false;
        }
        // Reads, too, pause: a file that one of them has open for writing cannot settle.
        dead.log().leave().await;
        let dir = names::shard_dir(&self.env.data, id.group);
        let (found, report) = match recover::recover(&self.env, id.group, &dir).await {
            Ok(found) => found,
            Err(error) => {
                dead.log().come_back();
                let tries = dead.reopened_in_vain.get() + 1;
                dead.reopened_in_vain.set(tries);
                // It is tried every second; an hour of that is worth a dozen lines.
                if tries.is_power_of_two() {
                    tracing::warn!(group = %id.group, tries, %error, "a failed shard cannot be recovered yet{}", remedy(&error));
                }
                return false;
            }
        };
        if !is_current() {
            return false;
        }
        dead.log().abandon();
        self.insert(self.shard_on(id, found, dead.terms()));
        tracing::warn!(group = %id.group, scanned_bytes = report.scanned_bytes, damage = report.damage.len(), "a failed shard was recovered");
        !report.damage.is_empty()
    }

    /// Frees what has expired. Resolves to the bytes freed.
    pub async fn expire(&self) -> u64 {
        let mut freed = 0;
        for shard in self.all() {
            match shard.log().expire(shard.cutoff()).await {
                Ok(bytes) => freed += bytes,
                Err(error) => tracing::warn!(group = %shard.id.group, %error, "could not free expired segments"),
            }
        }
        freed
    }

    /// Stops all logs once everything accepted is durable.
    pub async fn stop(&self) {
        self.freeing.stop().await;
        let shards = self.all();
        let next = Cell::new(0);
        let lane = || async {
            while let Some(shard) = shards.get(next.replace(next.get() + 1)) {
                shard.log().stop().await;
            }
        };
        local::join_all((0..RECOVER_AT_ONCE.min(shards.len())).map(|_| lane())).await;
    }
}

/// What an operator can do about it.
fn remedy(error: &RecoverError) -> &'static str {
    match error {
        RecoverError::Io { error, .. } if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            ": its file system is read-only, see the kernel's log; stop the node, repair and mount it anew. Reads go on"
        }
        RecoverError::Io { .. } => ": its disk fails, see the kernel's log. It is tried again and again. Reads go on",
        _ => "",
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
