//! What all logs of one worker share: the runtime, the data directory, the term, open files, the memory budget of tail
//! frames, spare segments, and the disk's state.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use crate::format::names::{self, SegmentNumber};
use crate::limits;
use crate::runtime::local::{Notify, Semaphore};
use crate::runtime::{File, Open, Runtime};
use crate::shard::admission::PutRefusal;
use crate::types::{GroupId, Term, WorkerId};

/// Spare segments that a worker keeps, and their bytes.
const SPARES_MAX: usize = 8;
const SPARE_BYTES_MAX: u64 = 1 << 30;

/// How the disk stands, as last looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskState {
    /// Enough room.
    #[default]
    Plenty,
    /// The operator is warned.
    Low,
    /// Puts are slowed down, so that readers and retention get ahead.
    Scarce,
    /// Puts are refused; reads and administration go on.
    Full,
}

/// Settings of a worker.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Tail frames kept in memory, in bytes.
    pub tail_bytes_max: usize,
    /// Bytes that all logs together may have accepted and not yet synced: room for the largest frame at least.
    pub unsynced_bytes_max: usize,
    /// Bytes of cold reads under way at a time.
    pub cold_bytes_max: usize,
    /// Whether freed segments are used again. On the reference disk writes to used blocks sync twice as fast.
    pub recycle: bool,
    /// Segment files kept open; the one not used for longest is closed first.
    pub open_files_max: usize,
    /// Connections served at a time.
    pub connections_max: usize,
    /// Answers that may wait for clients that read slowly, in bytes.
    pub answers_bytes_max: usize,
    /// Bytes of requests that are still arriving.
    pub arriving_bytes_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            tail_bytes_max: limits::TAIL_CACHE_BYTES,
            unsynced_bytes_max: limits::WORKER_UNSYNCED_BYTES_MAX,
            cold_bytes_max: limits::COLD_READS_BYTES_MAX,
            recycle: true,
            open_files_max: limits::OPEN_FILES_PER_WORKER_MAX,
            connections_max: limits::CONNECTIONS_PER_WORKER_MAX,
            answers_bytes_max: limits::WORKER_ANSWERS_BYTES_MAX,
            arriving_bytes_max: limits::RECEIVE_BUDGET_BYTES,
        }
    }
}

/// Something that keeps frames in memory and can let go of the oldest.
pub trait TailHolder {
    /// Drops the oldest flush kept.
    fn drop_oldest_tail(&self);
}

/// The shared context of one worker's logs.
pub struct Env<R: Runtime> {
    /// The machine.
    pub rt: R,
    /// Which worker this is.
    pub worker: WorkerId,
    /// The data directory.
    pub data: PathBuf,
    /// The term this node opened the directory in.
    pub term: Term,
    /// Settings.
    pub tuning: Tuning,
    /// How the disk stands; set by the worker's watcher.
    pub disk: Cell<DiskState>,
    /// Whether a segment took space on the disk since somebody looked at it.
    pub space_taken: Cell<bool>,
    /// Told when [`Env::space_taken`] becomes true.
    pub worth_a_look: Notify,
    /// Who uses a file, whether it is still at hand or not: as many at a time as may be kept open. One turn each, never two.
    pub file_turns: Rc<Semaphore>,
    /// Bytes that all logs have accepted and not yet synced.
    pub unsynced: Cell<usize>,
    /// Told when [`Env::unsynced`] shrinks.
    pub room: Notify,
    /// Who waits for other logs to become durable: one at a time, first come first served.
    pub room_line: Rc<Semaphore>,
    /// Room for cold reads, in bytes.
    pub cold_room: Rc<Semaphore>,
    disk_numbers: Cell<(u64, u64)>,
    files: RefCell<BTreeMap<(GroupId, SegmentNumber), OpenFile<R>>>,
    uses: Cell<u64>,
    tail_bytes: Cell<usize>,
    tail_queue: RefCell<VecDeque<(Weak<dyn TailHolder>, usize)>>,
    spares: RefCell<Vec<(u64, PathBuf)>>,
    spare_counter: Cell<u64>,
}

struct OpenFile<R: Runtime> {
    file: Rc<R::File>,
    used: u64,
}

impl<R: Runtime> Env<R> {
    /// The context of worker `worker` on an opened data directory.
    pub fn new(rt: R, worker: WorkerId, data: PathBuf, term: Term, tuning: Tuning) -> Rc<Self> {
        Rc::new(Self {
            rt,
            worker,
            data,
            term,
            tuning,
            disk: Cell::default(),
            space_taken: Cell::default(),
            worth_a_look: Notify::new(),
            file_turns: Semaphore::new(tuning.open_files_max),
            unsynced: Cell::default(),
            room: Notify::new(),
            room_line: Semaphore::new(1),
            cold_room: Semaphore::new(tuning.cold_bytes_max),
            disk_numbers: Cell::default(),
            files: RefCell::default(),
            uses: Cell::default(),
            tail_bytes: Cell::default(),
            tail_queue: RefCell::default(),
            spares: RefCell::default(),
            spare_counter: Cell::default(),
        })
    }

    /// The open file of a segment, if it is at hand.
    pub fn open_file(&self, group: GroupId, number: SegmentNumber) -> Option<Rc<R::File>> {
        self.uses.set(self.uses.get() + 1);
        let mut files = self.files.borrow_mut();
        let open = files.get_mut(&(group, number))?;
        open.used = self.uses.get();
        Some(Rc::clone(&open.file))
    }

    /// A number that grows with every write and every cold read: how a task that can wait sees that others cannot.
    pub fn uses(&self) -> u64 {
        self.uses.get()
    }

    /// Opens the file of a segment and keeps it at hand.
    pub async fn open(&self, group: GroupId, number: SegmentNumber, dir: &Path) -> io::Result<Rc<R::File>> {
        let file = Rc::new(self.rt.open(&dir.join(names::segment(number)), Open::Write).await?);
        self.keep_file(group, number, Rc::clone(&file));
        Ok(file)
    }

    /// Keeps a file at hand that was just opened.
    pub fn keep_file(&self, group: GroupId, number: SegmentNumber, file: Rc<R::File>) {
        let mut files = self.files.borrow_mut();
        files.insert((group, number), OpenFile { file, used: self.uses.get() });
        if files.len() > self.tuning.open_files_max {
            // A scan of a thousand entries, once per file opened beyond the limit: far cheaper than the open itself.
            let oldest = files.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| *key);
            if let Some(key) = oldest {
                files.remove(&key);
            }
        }
    }

    /// Forgets the open file of a segment that is about to be removed or recycled.
    pub fn forget_file(&self, group: GroupId, number: SegmentNumber) {
        self.files.borrow_mut().remove(&(group, number));
    }

    /// Forgets all open files of a log.
    pub fn forget_group(&self, group: GroupId) {
        self.files.borrow_mut().retain(|(owner, _), _| *owner != group);
    }

    /// The refusal that puts get while the disk is full.
    pub fn disk_full(&self) -> PutRefusal {
        let (free_bytes, reserve_bytes) = self.disk_numbers.get();
        PutRefusal::DiskFull { free_bytes, reserve_bytes }
    }

    /// Takes note of how the disk stands: free bytes, and those that puts must leave alone.
    pub fn set_disk(&self, state: DiskState, free_bytes: u64, reserve_bytes: u64) {
        self.disk.set(state);
        self.disk_numbers.set((free_bytes, reserve_bytes));
    }

    /// Bytes that puts may still take: what is free above the reserve, as the disk says now. `None` if it does not say.
    pub async fn room_on_disk(&self) -> Option<u64> {
        let (_, reserve_bytes) = self.disk_numbers.get();
        match self.rt.disk_space(&self.data).await {
            Ok(space) => Some(space.free_bytes.saturating_sub(reserve_bytes)),
            Err(error) => {
                tracing::debug!(%error, "could not look at the disk");
                None
            }
        }
    }

    /// Has the worker look at the disk soon: a segment took space there.
    pub fn took_space(&self) {
        self.space_taken.set(true);
        self.worth_a_look.notify();
    }

    /// Accounts for a flush kept in memory, and makes the oldest go while there are too many.
    pub fn keep_tail(&self, holder: Weak<dyn TailHolder>, bytes: usize) {
        self.tail_queue.borrow_mut().push_back((holder, bytes));
        self.tail_bytes.set(self.tail_bytes.get() + bytes);
        while self.tail_bytes.get() > self.tuning.tail_bytes_max {
            let Some((oldest, bytes)) = self.tail_queue.borrow_mut().pop_front() else { break };
            self.tail_bytes.set(self.tail_bytes.get() - bytes);
            if let Some(holder) = oldest.upgrade() {
                holder.drop_oldest_tail();
            }
        }
    }

    /// Bytes of tail frames kept in memory.
    pub fn tail_bytes(&self) -> usize {
        self.tail_bytes.get()
    }

    /// A spare segment file of exactly `capacity` bytes, if there is one. It is the caller's now.
    pub fn take_spare(&self, capacity: u64) -> Option<PathBuf> {
        let mut spares = self.spares.borrow_mut();
        let at = spares.iter().position(|(bytes, _)| *bytes == capacity)?;
        Some(spares.swap_remove(at).1)
    }

    /// Frees a segment file: keeps it as a spare if there is room for it, removes it otherwise. The name is gone from
    /// its directory when this resolves, durably once the caller syncs the directory.
    pub async fn free_segment(&self, path: &Path, capacity: u64) -> io::Result<()> {
        let kept: u64 = self.spares.borrow().iter().map(|(bytes, _)| bytes).sum();
        let room = self.spares.borrow().len() < SPARES_MAX && kept + capacity <= SPARE_BYTES_MAX;
        if !self.tuning.recycle || !room || self.disk.get() > DiskState::Plenty {
            return self.rt.remove(path).await;
        }
        // The segment was cut to its contents when it was sealed; only a file of full length can be taken up again.
        let file = self.rt.open(path, Open::Write).await?;
        if file.len().await? != capacity {
            drop(file);
            return self.rt.remove(path).await;
        }
        drop(file);
        let number = self.spare_counter.get();
        self.spare_counter.set(number + 1);
        let spare = names::spare_dir(&self.data).join(format!("{:05}-{number:010}", self.worker.0));
        self.rt.rename(path, &spare).await?;
        // Gone for certain before another log writes to it: after a power failure it would have the file back, with
        // somebody else's frames.
        if let Some(dir) = path.parent() {
            self.rt.sync_dir(dir).await?;
        }
        self.spares.borrow_mut().push((capacity, spare));
        Ok(())
    }

    /// Lets go of the spares, for their space.
    pub async fn drop_spares(&self) {
        let spares = self.spares.take();
        for (_, path) in spares {
            if let Err(error) = self.rt.remove(&path).await {
                tracing::warn!(path = %path.display(), %error, "could not remove a spare segment");
            }
        }
    }
}
