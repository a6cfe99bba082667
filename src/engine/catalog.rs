//! The catalogue's log: commands are stored by the same log engine as records, and applied once they are durable.
//!
//! Operation: a command is checked against the state, appended, synced, applied, in this order and one at a time. On start
//! the newest readable snapshot is loaded and the commands after it are applied again. After a while a new snapshot is
//! written and what the one before it covers is freed.
//!
//! Whatever is older than some seconds is stored twice: in the log and in a snapshot, which is written at the start, when
//! nothing has changed for a while, and at the end. So damage to one of them loses nothing: what a snapshot covers may be
//! damaged in the log, and what the log covers in a snapshot. Where both are gone the catalogue does not open, because a
//! command applied to another state than it was checked against could give one stream's shards to another.
//!
//! When a write or a sync of the log fails, whether the command at its end came into force is an open question, and no
//! other one is taken before it is answered: the log is recovered from the disk, as after a crash, and the command is found
//! in it or not. If the disk is too bad for that, [`CatalogLog::settle`] tries again.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use thiserror::Error;

use crate::catalog::{Catalog, CatalogError, Command, Event};
use crate::engine::env::Env;
use crate::engine::log::{Ack, AckSink, AppendError, Log, OutcomeUnknown, Receipt};
use crate::engine::read::ReadError;
use crate::engine::recover::{self, Damage, RecoverError, Report};
use crate::engine::whole_file;
use crate::format::frame::Frame;
use crate::format::names;
use crate::format::record::{self, Records};
use crate::limits::READ_BYTES_MAX;
use crate::log::gather::Batch;
use crate::runtime::Runtime;
use crate::runtime::local::{Fill, Semaphore, one_shot};
use crate::shard::admission::PutRefusal;
use crate::types::{CATALOG_GROUP, Durability, FrameIndex, MonoUs, Offset, WallUs};

/// Commands between two snapshots: replaying as many takes milliseconds.
const SNAPSHOT_EVERY: u64 = 4096;

/// A snapshot is written when no command has come for so long: from then on a damaged log loses nothing.
const QUIET_US: u64 = 10_000_000;

/// And while commands keep coming, so long after the first one that no snapshot covers.
const BUSY_US: u64 = 300_000_000;

/// Snapshots that are kept: should the newest be damaged, the one before it serves, and the log since.
const SNAPSHOTS_KEPT: usize = 2;

/// The partition key that commands are stored under.
const KEY: &str = "catalog";

/// The catalogue with its log. Lives on one worker.
pub struct CatalogLog<R: Runtime> {
    env: Rc<Env<R>>,
    log: RefCell<Rc<Log<R>>>,
    state: RefCell<Catalog>,
    turn: Rc<Semaphore>,
    snapshot_at: Cell<Offset>,
    /// Commands that no snapshot covers, as last looked at.
    dirty: Cell<Option<Dirty>>,
    /// A command of which nobody knows whether it came into force, and where it stands if it did.
    question: RefCell<Option<(Command, Offset)>>,
}

/// Commands that no snapshot covers.
#[derive(Clone, Copy)]
struct Dirty {
    /// The end of the log.
    end: Offset,
    /// When the first of them was seen.
    since: MonoUs,
    /// When the last of them was seen.
    changed: MonoUs,
}

/// Why a command did not come into force.
#[derive(Debug, Error)]
pub enum ProposeError {
    /// It does not fit the state.
    #[error(transparent)]
    Refused(#[from] CatalogError),
    /// The log takes no commands.
    #[error("the catalogue takes no changes: {0}")]
    Closed(PutRefusal),
    /// The log died, and was recovered without the command: it is certainly not in force.
    #[error("the catalogue's log failed; the change did not come into force")]
    NotStored,
    /// The log died and cannot be recovered yet; the command may or may not be found then.
    #[error("the catalogue's log failed; whether the change came into force shows when it is recovered")]
    OutcomeUnknown,
}

/// What an operator can do about a catalogue that does not open.
const WAY_OUT: &str =
    "restore the directory `catalog` from a backup, or see `millstream log verify` and `millstream log repair`";

/// Why the catalogue cannot be opened.
#[derive(Debug, Error)]
pub enum CatalogOpenError {
    /// Its log cannot be recovered.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// Its log is damaged where no snapshot helps: streams may be missing.
    #[error("the catalogue in {dir} is damaged, and no snapshot covers the loss: {damage}; {WAY_OUT}")]
    Damaged {
        /// Its directory.
        dir: PathBuf,
        /// The first loss.
        damage: Damage,
    },
    /// The newest snapshot holds commands that the log does not: its end is gone.
    #[error(
        "the log of the catalogue in {dir} ends at offset {end}, its newest snapshot at {next}: the log has lost its end; {WAY_OUT}"
    )]
    Behind {
        /// Its directory.
        dir: PathBuf,
        /// The end of the log.
        end: Offset,
        /// The offset after the last command in the snapshot.
        next: Offset,
    },
    /// A repair began it anew and was cut off.
    #[error("a repair of the catalogue in {dir} was cut off; finish it with `millstream log repair`")]
    HalfRepaired {
        /// Its directory.
        dir: PathBuf,
    },
    /// There are shards that it has not made yet.
    #[error("{dir} holds a shard that the catalogue has never made: the catalogue has lost streams; {WAY_OUT}")]
    Forgotten {
        /// The shard's directory.
        dir: PathBuf,
    },
    /// Its log cannot be read.
    #[error("cannot read the catalogue's log: {0}")]
    Read(#[from] ReadError),
    /// A command or a snapshot was written by a newer version, or by a faulty one.
    #[error("cannot apply the catalogue's command at offset {offset}: {reason}")]
    Command {
        /// Where it is.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// No snapshot can be read and the log no longer reaches back to the beginning.
    #[error("no snapshot of the catalogue can be read, and its log starts at offset {0}")]
    NoSnapshot(Offset),
    /// The machine said no.
    #[error("cannot open the catalogue: {0}")]
    Io(#[from] io::Error),
}

impl<R: Runtime> CatalogLog<R> {
    /// Opens the catalogue of a data directory.
    pub async fn open(env: Rc<Env<R>>) -> Result<(Rc<Self>, Report), CatalogOpenError> {
        let dir = names::catalog_dir(&env.data);
        if env.rt.list(&dir).await?.iter().any(|name| name == names::BEGUN_ANEW) {
            return Err(CatalogOpenError::HalfRepaired { dir });
        }
        let Loaded { state, next, unreadable } = load_snapshot(&env).await?;
        let (mut found, mut report) = recover::recover(&env, CATALOG_GROUP, &dir).await?;
        for damage in report.damage.extract_if(.., |damage| damage.is_covered(next)) {
            tracing::error!(
                dir = %dir.display(), %damage,
                "the catalogue's log is damaged; a snapshot covers what is lost, so nothing is missing"
            );
        }
        if let Some(damage) = report.damage.first() {
            return Err(CatalogOpenError::Damaged { dir, damage: *damage });
        }
        found.damage.clear();
        let log = Log::new(Rc::clone(&env), dir.clone(), found, Durability::Fsync);
        let end = log.marks().committed().offset;
        if end < next {
            return Err(CatalogOpenError::Behind { dir, end, next });
        }
        let this = Self {
            env,
            log: RefCell::new(log),
            state: RefCell::new(state),
            turn: Semaphore::new(1),
            snapshot_at: Cell::new(next),
            dirty: Cell::default(),
            question: RefCell::default(),
        };
        this.replay(next).await?;
        this.check_directories().await?;
        // Not before: it may be that of a newer version, which then is to start again.
        for next in unreadable {
            let aside = whole_file::set_aside(&this.env.rt, &dir, &names::snapshot(next)).await?;
            tracing::error!(aside, "the damaged snapshot was set aside");
        }
        if end > next {
            this.snapshot().await;
        }
        Ok((Rc::new(this), report))
    }

    /// A directory is made after the command that makes its shard, and gone before the one that forgets it. So one of a group that
    /// was never given out says that commands are missing; the next stream made would write over it.
    async fn check_directories(&self) -> Result<(), CatalogOpenError> {
        let dir = names::shards_dir(&self.env.data);
        let there = match self.env.rt.list(&dir).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            there => there?,
        };
        for name in there {
            if names::parse_shard_dir(&name).is_some_and(|group| !self.state.borrow().has_made(group)) {
                return Err(CatalogOpenError::Forgotten { dir: dir.join(name) });
            }
        }
        Ok(())
    }

    /// Writes a snapshot if one is due: commands have come since the last one, and none for a while. To be called once in a
    /// while.
    pub async fn tend(&self) {
        let now = self.env.rt.now();
        let end = self.log().marks().committed().offset;
        if end <= self.snapshot_at.get() {
            return self.dirty.set(None);
        }
        let dirty = match self.dirty.get() {
            Some(dirty) if dirty.end == end => dirty,
            Some(dirty) => Dirty { end, changed: now, ..dirty },
            None => Dirty { end, since: now, changed: now },
        };
        self.dirty.set(Some(dirty));
        if now.since(dirty.changed) < QUIET_US && now.since(dirty.since) < BUSY_US {
            return;
        }
        let _turn = self.turn.acquire(1).await;
        if !self.is_in_question() {
            self.snapshot().await;
        }
        self.dirty.set(None);
    }

    /// The state, with every command that came into force.
    pub fn with<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.state.borrow())
    }

    /// A copy of the state for a worker: everything but the stored values, whose changes no worker is told.
    pub fn copy(&self) -> Catalog {
        self.state.borrow().clone().without_store()
    }

    /// Puts a command into force. When it resolves to events, the command is durable and applied.
    ///
    /// Commands are taken one at a time, in the order of the calls. Dropping it may still put the command into force.
    /// While an earlier one is in question, none is taken: [`CatalogLog::settle`] comes first.
    pub async fn propose(&self, command: &Command) -> Result<Vec<Event>, ProposeError> {
        let _turn = self.turn.acquire(1).await;
        if self.question.borrow().is_some() {
            return Err(ProposeError::Closed(PutRefusal::Dead));
        }
        // It may have died without a command in it.
        self.revive().await?;
        self.state.borrow().check(command)?;
        let mut body = Vec::new();
        record::encode(KEY, &command.encode(), &mut body);
        let log = self.log();
        log.room(body.len()).await.map_err(ProposeError::Closed)?;
        let (fill, answer) = one_shot();
        let batch = Batch {
            body: &body,
            body_crc: crc32fast::hash(&body),
            record_count: 1,
            producer: None,
            arrival: self.env.rt.wall(),
        };
        let sink: Rc<dyn AckSink> = Rc::new(Waiter(RefCell::new(Some(fill))));
        let at = log.marks().accepted().offset;
        log.append(&batch, Ack { sink, token: 0 }).map_err(|error| match error {
            AppendError::Refused(refusal) => ProposeError::Closed(refusal),
            AppendError::Stamp(_) => unreachable!("commands carry no stamp"),
        })?;
        let Some(receipt) = answer.wait().await.and_then(Result::ok) else {
            *self.question.borrow_mut() = Some((command.clone(), at));
            return match self.answer_question().await {
                Ok(Some((_, events))) => Ok(events),
                Ok(None) => Err(ProposeError::NotStored),
                Err(error) => {
                    tracing::error!(%error, "whether a change of the catalogue came into force is not known yet");
                    Err(ProposeError::OutcomeUnknown)
                }
            };
        };
        let events = self.apply(command);
        if receipt.base_offset.0 >= self.snapshot_at.get().0 + SNAPSHOT_EVERY {
            self.snapshot().await;
        }
        Ok(events)
    }

    /// Whether it is not known if a command came into force.
    pub fn is_in_question(&self) -> bool {
        self.question.borrow().is_some()
    }

    /// Finds out whether a command came into force whose proposer was told [`ProposeError::OutcomeUnknown`]: gives it with
    /// its events if it did, and nothing if it did not, or if there is none. On an error it is still in question.
    ///
    /// Dropping it leaves the question open, or answered and applied: not to be dropped.
    pub async fn settle(&self) -> Result<Option<(Command, Vec<Event>)>, ProposeError> {
        let _turn = self.turn.acquire(1).await;
        self.answer_question().await
    }

    /// In the caller's turn.
    async fn answer_question(&self) -> Result<Option<(Command, Vec<Event>)>, ProposeError> {
        if self.question.borrow().is_none() {
            return Ok(None);
        }
        self.revive().await?;
        let question = self.question.borrow_mut().take();
        let (command, at) = question.expect("only who has the turn answers it");
        if self.log().marks().committed().offset <= at {
            tracing::warn!("a change of the catalogue was not stored when its log failed");
            return Ok(None);
        }
        tracing::warn!("a change of the catalogue was stored although its log failed");
        let events = self.apply(&command);
        Ok(Some((command, events)))
    }

    /// Recovers the log if it died. In the caller's turn.
    async fn revive(&self) -> Result<(), ProposeError> {
        let dead = self.log();
        if dead.refusal() != Some(PutRefusal::Dead) {
            return Ok(());
        }
        let dir = names::catalog_dir(&self.env.data);
        dead.leave().await;
        let reason = match recover::recover(&self.env, CATALOG_GROUP, &dir).await {
            Ok((mut found, report)) if report.damage.iter().all(|damage| damage.is_covered(self.snapshot_at.get())) => {
                found.damage.clear();
                dead.abandon();
                *self.log.borrow_mut() = Log::new(Rc::clone(&self.env), dir, found, Durability::Fsync);
                tracing::warn!(scanned_bytes = report.scanned_bytes, "the catalogue's log failed and was recovered");
                return Ok(());
            }
            Ok((_, report)) => format!("it is damaged: {:?}", report.damage),
            Err(error) => error.to_string(),
        };
        dead.come_back();
        tracing::error!(reason, "the catalogue's log failed and cannot be recovered yet");
        Err(ProposeError::Closed(PutRefusal::Dead))
    }

    /// Applies a command that is durable at the end of the log.
    fn apply(&self, command: &Command) -> Vec<Event> {
        let mut state = self.state.borrow_mut();
        let events = state.apply(command).expect("it was checked, and nothing came in between");
        let applied = self.log().marks().committed().index;
        state.advance(FrameIndex(applied.0 - 1), self.env.term);
        events
    }

    fn log(&self) -> Rc<Log<R>> {
        Rc::clone(&self.log.borrow())
    }

    /// Stops the log once everything is durable; writes a snapshot if that spares the next start a replay.
    pub async fn stop(&self) {
        let _turn = self.turn.acquire(1).await;
        let log = self.log();
        if log.marks().committed().offset > self.snapshot_at.get() && !self.is_in_question() {
            self.snapshot().await;
        }
        log.stop().await;
    }

    async fn replay(&self, from: Offset) -> Result<(), CatalogOpenError> {
        let mut at = from;
        loop {
            let frames = match self.log().read(at, READ_BYTES_MAX as usize, WallUs(0)).await {
                Err(ReadError::BeforeHorizon { horizon }) => return Err(CatalogOpenError::NoSnapshot(horizon)),
                frames => frames?,
            };
            if frames.slices.is_empty() {
                return Ok(());
            }
            for slice in &frames.slices {
                let mut rest: &[u8] = slice;
                while !rest.is_empty() {
                    let (frame, after) = Frame::split(rest)
                        .map_err(|error| CatalogOpenError::Command { offset: at, reason: error.to_string() })?;
                    self.replay_frame(&frame, from)?;
                    rest = after;
                }
            }
            at = frames.next;
        }
    }

    fn replay_frame(&self, frame: &Frame<'_>, from: Offset) -> Result<(), CatalogOpenError> {
        let mut state = self.state.borrow_mut();
        for (number, record) in Records::new(frame.body).enumerate() {
            let offset = frame.header.base_offset.plus(number as u64);
            if offset < from {
                continue;
            }
            let fail = |reason: String| CatalogOpenError::Command { offset, reason };
            let record = record.map_err(|error| fail(error.to_string()))?;
            let command = Command::decode(record.data).map_err(|error| fail(error.to_string()))?;
            state.apply(&command).map_err(|error| fail(error.to_string()))?;
        }
        if frame.header.index >= state.applied().end {
            state.advance(frame.header.index, frame.header.term);
        }
        Ok(())
    }

    /// Writes a snapshot and frees what older ones cover. A failure is logged: the log still has everything.
    async fn snapshot(&self) {
        if let Err(error) = self.try_snapshot().await {
            tracing::warn!(%error, "could not write a snapshot of the catalogue");
        }
    }

    async fn try_snapshot(&self) -> io::Result<()> {
        let dir = names::catalog_dir(&self.env.data);
        let next = self.log().marks().committed().offset;
        let contents = self.state.borrow().encode_snapshot();
        whole_file::replace(&self.env.rt, &dir, &names::snapshot(next.0), &contents).await?;
        self.snapshot_at.set(next);
        let snapshots = list_snapshots(&self.env).await?;
        let Some(old) = snapshots.len().checked_sub(SNAPSHOTS_KEPT) else { return Ok(()) };
        for next in &snapshots[..old] {
            self.env.rt.remove(&dir.join(names::snapshot(*next))).await?;
        }
        self.log().trim(Offset(snapshots[old])).await?;
        Ok(())
    }
}

/// What the snapshots say.
struct Loaded {
    /// The state to replay from.
    state: Catalog,
    /// The offset of the first command that it does not contain.
    next: Offset,
    /// Newer snapshots, which cannot be read.
    unreadable: Vec<u64>,
}

async fn load_snapshot<R: Runtime>(env: &Env<R>) -> io::Result<Loaded> {
    let mut unreadable = Vec::new();
    for next in list_snapshots(env).await?.into_iter().rev() {
        let path = names::catalog_dir(&env.data).join(names::snapshot(next));
        let Some(file) = whole_file::read(&env.rt, &path).await? else { continue };
        match Catalog::decode_snapshot(&file) {
            Ok(state) => return Ok(Loaded { state, next: Offset(next), unreadable }),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a snapshot of the catalogue is damaged; using an older one");
                unreadable.push(next);
            }
        }
    }
    Ok(Loaded { state: Catalog::new(), next: Offset(0), unreadable })
}

async fn list_snapshots<R: Runtime>(env: &Env<R>) -> io::Result<Vec<u64>> {
    let names = env.rt.list(&names::catalog_dir(&env.data)).await?;
    let mut snapshots: Vec<_> = names.iter().filter_map(|name| names::parse_snapshot(name)).collect();
    snapshots.sort_unstable();
    Ok(snapshots)
}

struct Waiter(RefCell<Option<Fill<Result<Receipt, OutcomeUnknown>>>>);

impl AckSink for Waiter {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        if let Some(fill) = self.0.take() {
            fill.fill(outcome);
        }
    }
}
