//! The shards of one worker: opening them on start, creating, removing, expiring.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::catalog::{Settings, Status};
use crate::engine::env::Env;
use crate::engine::log::{Found, Log};
use crate::engine::recover::{self, Report};
use crate::engine::shard::{Identity, Shard};
use crate::engine::{retention, whole_file};
use crate::format::index::Gap;
use crate::format::names;
use crate::log::tip::Tip;
use crate::runtime::Runtime;
use crate::runtime::local;
use crate::shard::admission::PutRefusal;
use crate::shard::producers::Producers;
use crate::types::{FilePos, FrameIndex, GroupId, Offset};

/// Logs that are recovered side by side: enough to keep the disk busy, few enough to keep memory small.
const RECOVER_AT_ONCE: usize = 16;

/// A shard to be opened, as the catalogue knows it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Whose shard it is.
    pub id: Identity,
    /// The stream's settings.
    pub settings: Settings,
    /// The stream's status.
    pub status: Status,
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
    /// Shards that could not be opened at all, with the reason.
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

/// The shards of one worker.
pub struct Shards<R: Runtime> {
    env: Rc<Env<R>>,
    by_group: RefCell<BTreeMap<GroupId, Rc<Shard<R>>>>,
}

impl<R: Runtime> Shards<R> {
    /// No shards yet.
    pub fn new(env: Rc<Env<R>>) -> Rc<Self> {
        Rc::new(Self { env, by_group: RefCell::default() })
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
        let dir = names::shard_dir(&self.env.data, known.id.group);
        if known.status == Status::Creating {
            // Whoever was creating it when the node stopped had told nobody: begin again.
            if let Err(error) = self.create(known.id, known.settings).await {
                opened.borrow_mut().failed.push((known.id, error.to_string()));
            }
            return;
        }
        if known.status == Status::Deleting {
            if let Err(error) = retention::remove_log(&self.env.rt, &dir).await {
                opened.borrow_mut().failed.push((known.id, error.to_string()));
            }
            return;
        }
        let (found, report) = match recover::recover(&self.env, known.id.group, &dir).await {
            Ok(found) => found,
            Err(error) => {
                opened.borrow_mut().failed.push((known.id, error.to_string()));
                (unreadable(known.id.group), Report::default())
            }
        };
        {
            let mut opened = opened.borrow_mut();
            opened.shards += 1;
            opened.records +=
                found.tip.offset.0 - found.segments.front().map_or(found.tip.offset.0, |s| s.first.offset.0);
            opened.scanned_bytes += report.scanned_bytes;
            opened.cut += usize::from(report.cut);
            if !report.damage.is_empty() {
                opened.quarantined.push((known.id, report));
            }
        }
        self.insert(self.shard_on(known.id, known.settings, found));
    }

    fn shard_on(&self, id: Identity, settings: Settings, found: Found<R>) -> Rc<Shard<R>> {
        let dir = names::shard_dir(&self.env.data, id.group);
        let log = Log::new(Rc::clone(&self.env), dir, found, settings.durability);
        Shard::new(Rc::clone(&self.env), id, log, settings)
    }

    /// Creates the log of a new shard. When it resolves, the log is durable. Fine to call again after a crash.
    pub async fn create(&self, id: Identity, settings: Settings) -> io::Result<()> {
        let dir = names::shard_dir(&self.env.data, id.group);
        whole_file::create_dir(&self.env.rt, &dir).await?;
        let found = Found {
            segments: std::collections::VecDeque::new(),
            next_number: 0,
            tip: Tip::genesis(id.group),
            producers: Producers::new(),
            damage: Vec::new(),
        };
        self.insert(self.shard_on(id, settings, found));
        Ok(())
    }

    fn insert(&self, shard: Rc<Shard<R>>) {
        self.by_group.borrow_mut().insert(shard.id.group, shard);
    }

    /// Turns puts and reads of a shard away and frees its storage.
    pub async fn destroy(&self, group: GroupId) -> io::Result<()> {
        let shard = self.by_group.borrow_mut().remove(&group);
        match shard {
            Some(shard) => shard.log().destroy().await,
            None => retention::remove_log(&self.env.rt, &names::shard_dir(&self.env.data, group)).await,
        }
    }

    /// Recovers the logs of shards that died: they are usable again when this resolves. One that cannot be recovered yet
    /// stays dead, for the next call.
    pub async fn reopen_dead(&self) {
        for shard in self.all() {
            if shard.log().refusal() == Some(PutRefusal::Dead) {
                self.reopen(&shard).await;
            }
        }
    }

    async fn reopen(&self, dead: &Rc<Shard<R>>) {
        let id = dead.id;
        dead.log().stop_writer().await;
        // Only now: what was being prepared when the log died had opened its file, too.
        self.env.forget_group(id.group);
        let (found, report) = match recover::recover(&self.env, id.group, dead.log().dir()).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(group = %id.group, %error, "a failed shard cannot be recovered yet");
                return;
            }
        };
        // The stream may have been deleted meanwhile; then there is nothing to put in its place.
        if !self.get(id.group).is_some_and(|current| Rc::ptr_eq(&current, dead)) {
            return;
        }
        dead.log().abandon();
        self.insert(self.shard_on(id, dead.settings(), found));
        tracing::warn!(group = %id.group, scanned_bytes = report.scanned_bytes, damage = report.damage.len(), "a failed shard was recovered");
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

/// A log of which nothing can be read: it refuses puts, and every read fails.
fn unreadable<R: Runtime>(group: GroupId) -> Found<R> {
    let nothing = Gap {
        from_index: FrameIndex(0),
        from_offset: Offset(0),
        to_index: FrameIndex(0),
        to_offset: Offset(0),
        from_pos: FilePos(0),
        to_pos: FilePos(0),
    };
    Found {
        segments: std::collections::VecDeque::new(),
        next_number: 0,
        tip: Tip::genesis(group),
        producers: Producers::new(),
        damage: vec![nothing],
    }
}
