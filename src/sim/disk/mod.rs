//! A host's disk: a pure model of what completed, what is durable, and what a crash leaves. It knows no task and no
//! timer; the module `fs` decides when an operation completes and calls in here then.
//!
//! ```text
//! operation completes     a write is visible, unsynced      a killed process loses nothing that completed
//! sync of the file        data, length, reservation         of operations that had completed before the sync began
//! sync of the directory   names                             of changes that had completed before the sync began
//! power failure           unsynced data                     each write lost, kept, or torn at 512-byte sectors
//!                         unsynced lengths, names           a prefix is kept, per file and per directory
//! ```
//!
//! A rename between directories is two changes: without a sync of both, a power failure may leave the file under both
//! names, or under none.

pub(crate) mod image;
pub(crate) mod node;
pub(crate) mod tree;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;

use self::node::{FileNode, FileState, Mood};
use self::tree::{Dir, Node, dir_at, file_at, parent_of};
use super::options::{DiskFaults, DiskOp, DiskOptions, Fault, Injection, Span, enospc};
use super::prng::Prng;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{DiskSpace, Open};

/// What crashes and faults did to a disk so far, to show that a workload met them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Operations that completed, failed ones included.
    pub operations: u64,
    /// Faults that were drawn or injected.
    pub faults: u64,
    /// Operations in flight when their process ended.
    pub interrupted: u64,
    /// Unsynced writes that a power failure dropped wholly.
    pub writes_lost: u64,
    /// Unsynced writes that a power failure spared wholly.
    pub writes_kept: u64,
    /// Unsynced writes of which a power failure left some sectors.
    pub writes_torn: u64,
    /// Unsynced creations, renames and removals that a power failure undid.
    pub names_lost: u64,
    /// Unsynced creations, renames and removals that a power failure spared.
    pub names_kept: u64,
}

/// Disk space in use, in blocks. Apart from [`Disk`] so that a closing file can book while the disk is at work.
#[derive(Debug, Default)]
pub(crate) struct Space {
    used_blocks: Cell<u64>,
}

impl Space {
    /// A file's use went from `before` to `after` blocks.
    pub(crate) fn book(&self, before: u64, after: u64) {
        let used = (self.used_blocks.get() + after).checked_sub(before);
        self.used_blocks.set(used.expect("more space freed than was used"));
    }
}

/// How an operation ends.
#[derive(Debug)]
pub(crate) enum Landing {
    /// As asked.
    Whole,
    /// With this error.
    Failed(io::Error),
    /// As asked, but in the wrong place.
    Misdirected,
    /// Nothing happens, and success is reported. Only writes and syncs can be skipped; the rest ends as asked.
    Skipped,
    /// Its process died while it was under way; nobody waits for the result.
    Interrupted,
}

/// When and how an operation that was just asked for will end.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Time it takes; `None` if it hangs.
    pub(crate) takes_us: Option<u64>,
    /// How it ends.
    pub(crate) landing: Landing,
}

/// An operation under way: what to do when it ends. Returns whom to wake.
pub(crate) type Effect = Box<dyn FnOnce(&mut Disk, Landing) -> Option<Waker>>;

/// A host's disk.
pub(crate) struct Disk {
    /// The top directory.
    pub(crate) root: Rc<Dir>,
    /// Space in use.
    pub(crate) space: Rc<Space>,
    /// Files that are locked, by number.
    pub(crate) locks: Rc<RefCell<BTreeSet<u64>>>,
    /// Sizes and times.
    pub(crate) options: DiskOptions,
    /// Faults that were aimed.
    pub(crate) injections: Vec<Injection>,
    /// What happened so far.
    pub(crate) stats: DiskStats,
    /// Its own stream of random numbers.
    pub(crate) rng: Prng,
    pending: BTreeMap<u64, (Landing, Effect)>,
    hung: BTreeSet<u64>,
    next_file: u64,
    power_failures: u64,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new(options: DiskOptions, rng: Prng) -> Self {
        Self {
            root: Rc::default(),
            space: Rc::default(),
            locks: Rc::default(),
            options,
            injections: Vec::new(),
            stats: DiskStats::default(),
            rng,
            pending: BTreeMap::new(),
            hung: BTreeSet::new(),
            next_file: 0,
            power_failures: 0,
        }
    }

    // ---- operations under way

    /// Decides how an operation will end.
    pub(crate) fn judge(&mut self, op: DiskOp, path: &str) -> Verdict {
        let DiskOptions { read_us, write_us, sync_us, name_us, faults, .. } = self.options;
        let takes = match op {
            DiskOp::Read | DiskOp::Map => read_us,
            DiskOp::Write => write_us,
            DiskOp::Sync | DiskOp::SyncDir => sync_us,
            _ => name_us,
        };
        let takes_us = self.rng.within(Span { min_us: takes.min_us.max(1), max_us: takes.max_us.max(1) });
        let mut verdict = Verdict { takes_us: Some(takes_us), landing: Landing::Whole };
        let Some(fault) = self.injected(op, path).or_else(|| drawn(faults, op, &mut self.rng)) else {
            return verdict;
        };
        self.stats.faults += 1;
        match fault {
            Fault::Eio => verdict.landing = Landing::Failed(super::options::eio()),
            Fault::NoSpace => verdict.landing = Landing::Failed(enospc()),
            Fault::SlowUs(us) => verdict.takes_us = Some(takes_us + us),
            Fault::Hang => verdict.takes_us = None,
            Fault::Misdirect => verdict.landing = Landing::Misdirected,
            Fault::Skip => verdict.landing = Landing::Skipped,
        }
        verdict
    }

    fn injected(&mut self, op: DiskOp, path: &str) -> Option<Fault> {
        let hit = self
            .injections
            .iter_mut()
            .find(|injection| injection.op == op && injection.times > 0 && path.contains(&injection.path_contains))?;
        if hit.skip > 0 {
            hit.skip -= 1;
            return None;
        }
        hit.times -= 1;
        Some(hit.fault)
    }

    /// Notes an operation as under way.
    pub(crate) fn begin(&mut self, number: u64, landing: Landing, hangs: bool, effect: Effect) {
        self.pending.insert(number, (landing, effect));
        if hangs {
            self.hung.insert(number);
        }
    }

    /// The operation's time has come. Does nothing if a crash ended it before.
    pub(crate) fn complete(&mut self, number: u64) -> Option<Waker> {
        let (landing, effect) = self.pending.remove(&number)?;
        self.stats.operations += 1;
        effect(self, landing)
    }

    /// The operations that hang; they no longer do.
    pub(crate) fn release_hung(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.hung)
    }

    /// How many operations hang.
    pub(crate) fn hung(&self) -> usize {
        self.hung.len()
    }

    // ---- crashes

    /// The process ended: operations under way may still take effect, wholly or in part; locks are free.
    pub(crate) fn interrupt(&mut self) {
        self.hung.clear();
        for (_, (_, effect)) in std::mem::take(&mut self.pending) {
            self.stats.interrupted += 1;
            let waker = effect(self, Landing::Interrupted);
            assert!(waker.is_none(), "nobody waits for an interrupted operation");
        }
        self.locks.borrow_mut().clear();
        self.forget_handles();
    }

    /// The power failed, after [`Disk::interrupt`].
    pub(crate) fn lose_power(&mut self) {
        self.power_failures += 1;
        let mood = Mood::draw(&mut self.rng);
        let root = Rc::clone(&self.root);
        root.lose_power(self.power_failures, mood, &mut self.rng, &mut self.stats);
        self.forget_handles();
    }

    /// Counts names and space anew from what is visible; no process has a file open.
    fn forget_handles(&self) {
        let root = Rc::clone(&self.root);
        root.visit("", &mut |_, file| {
            file.links.set(0);
            file.handles.set(0);
            file.writers.set(0);
        });
        let mut used = 0;
        root.visit("", &mut |_, file| {
            if file.links.replace(file.links.get() + 1) == 0 {
                used += file.state.borrow().visible().used_blocks();
            }
        });
        self.space.used_blocks.set(used);
    }

    // ---- what operations do

    /// Free and total space.
    pub(crate) fn disk_space(&self) -> DiskSpace {
        let used = self.space.used_blocks.get() * BLOCK_BYTES as u64;
        let total_bytes = self.options.capacity_bytes;
        DiskSpace { free_bytes: total_bytes.saturating_sub(used), total_bytes }
    }

    fn check_space(&self, blocks: u64) -> io::Result<()> {
        if blocks > 0 && blocks * BLOCK_BYTES as u64 > self.disk_space().free_bytes { Err(enospc()) } else { Ok(()) }
    }

    /// Finds or creates a file.
    pub(crate) fn open(&mut self, path: &Path, how: Open) -> io::Result<Rc<FileNode>> {
        match how {
            Open::Read | Open::Write => file_at(&self.root, path),
            Open::CreateNew => {
                let (dir, name) = parent_of(&self.root, path)?;
                if dir.get(name).is_some() {
                    return Err(ErrorKind::AlreadyExists.into());
                }
                let file = self.new_file(FileState::default());
                dir.add(name, &Node::File(Rc::clone(&file)), &self.space);
                Ok(file)
            }
        }
    }

    /// Finds a file or creates an empty one.
    pub(crate) fn open_or_create(&mut self, path: &Path) -> io::Result<Rc<FileNode>> {
        match self.open(path, Open::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => self.open(path, Open::CreateNew),
            other => other,
        }
    }

    fn new_file(&mut self, state: FileState) -> Rc<FileNode> {
        self.next_file += 1;
        FileNode::new(self.next_file, state)
    }

    /// A write ends.
    pub(crate) fn write(&mut self, file: &FileNode, pos: u64, data: Bytes, landing: Landing) -> io::Result<()> {
        let space = Rc::clone(&self.space);
        let blocks = (data.len() / BLOCK_BYTES) as u64;
        match landing {
            Landing::Whole => {
                self.check_space(file.state.borrow().visible().blocks_needed(pos, data.len() as u64))?;
                file.change(&space, |state| state.write(pos, data));
                Ok(())
            }
            Landing::Misdirected => {
                let file_blocks = file.state.borrow().visible().len() / BLOCK_BYTES as u64;
                let wrong = self.rng.below(file_blocks.saturating_sub(blocks) + 2) * BLOCK_BYTES as u64;
                file.change(&space, |state| state.write(wrong, data));
                Ok(())
            }
            Landing::Skipped => Ok(()),
            Landing::Failed(error) => {
                if error.kind() != ErrorKind::StorageFull {
                    file.change(&space, |state| state.write_sectors(pos, &data, || self.rng.coin()));
                }
                Err(error)
            }
            Landing::Interrupted => {
                let landed = match self.rng.below(4) {
                    0 => 0,
                    1 => self.rng.below(blocks + 1),
                    _ => blocks,
                };
                let landed = landed as usize * BLOCK_BYTES;
                self.check_space(file.state.borrow().visible().blocks_needed(pos, landed as u64))?;
                if landed > 0 {
                    file.change(&space, |state| state.write(pos, data.slice(..landed)));
                }
                Ok(())
            }
        }
    }

    /// A sync that began at `mark` ends.
    pub(crate) fn sync(&mut self, file: &FileNode, mark: u64, landing: Landing) -> io::Result<()> {
        match landing {
            Landing::Whole | Landing::Misdirected => file.state.borrow_mut().sync(mark),
            Landing::Failed(error) => {
                file.state.borrow_mut().fail_sync(mark, &mut self.rng);
                return Err(error);
            }
            // Whether it still reached the medium shows at a power failure, for each write by itself.
            Landing::Interrupted | Landing::Skipped => {}
        }
        Ok(())
    }

    /// Reserves space.
    pub(crate) fn allocate(&self, file: &FileNode, len: u64) -> io::Result<()> {
        self.check_space(file.state.borrow().visible().blocks_needed(0, len))?;
        file.change(&self.space, |state| state.reserve(len));
        Ok(())
    }

    /// Renames a file, replacing `to`.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = parent_of(&self.root, from)?;
        let (to_dir, to_name) = parent_of(&self.root, to)?;
        let node = match from_dir.get(from_name) {
            Some(Node::File(file)) => Node::File(file),
            Some(Node::Dir(_)) => return Err(ErrorKind::IsADirectory.into()),
            None => return Err(ErrorKind::NotFound.into()),
        };
        if matches!(to_dir.get(to_name), Some(Node::Dir(_))) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !Rc::ptr_eq(&from_dir, &to_dir) {
            to_dir.add(to_name, &node, &self.space);
            from_dir.remove(from_name, &self.space);
        } else if from_name != to_name {
            from_dir.rename(from_name, to_name, &self.space);
        }
        Ok(())
    }

    /// Removes a file.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        file_at(&self.root, path)?;
        let (dir, name) = parent_of(&self.root, path)?;
        dir.remove(name, &self.space);
        Ok(())
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = parent_of(&self.root, path)?;
        if !dir_at(&self.root, path)?.names().is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        parent.remove(name, &self.space);
        Ok(())
    }

    /// Creates a directory if it does not exist.
    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        if dir_at(&self.root, path).is_ok() {
            return Ok(());
        }
        let (parent, name) = parent_of(&self.root, path)?;
        if parent.get(name).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        parent.add(name, &Node::Dir(Rc::default()), &self.space);
        Ok(())
    }

    // ---- for tests

    /// Stores a durable file, and the directories it needs.
    pub(crate) fn put(&mut self, path: &Path, contents: &[u8]) -> io::Result<()> {
        self.put_state(path, FileState::durable(contents))
    }

    /// Stores a file as it is, and the directories it needs.
    pub(crate) fn put_state(&mut self, path: &Path, state: FileState) -> io::Result<()> {
        self.put_dir(path.parent().unwrap_or_else(|| Path::new("")))?;
        let file = self.new_file(state);
        let (dir, name) = parent_of(&self.root, path)?;
        self.space.book(0, file.state.borrow().visible().used_blocks());
        dir.add(name, &Node::File(file), &self.space);
        dir.sync(dir.mark());
        Ok(())
    }

    /// Creates a durable directory, and the ones above it.
    pub(crate) fn put_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut at = PathBuf::new();
        for component in path.components() {
            at.push(component);
            self.create_dir(&at)?;
            if let Some(parent) = at.parent() {
                let parent = dir_at(&self.root, parent)?;
                parent.sync(parent.mark());
            }
        }
        Ok(())
    }
}

fn drawn(faults: DiskFaults, op: DiskOp, rng: &mut Prng) -> Option<Fault> {
    let error = match op {
        DiskOp::Read | DiskOp::Map => faults.read_error,
        DiskOp::Write => faults.write_error,
        DiskOp::Sync => faults.sync_error,
        _ => faults.name_error,
    };
    if rng.happens(error) {
        Some(Fault::Eio)
    } else if op == DiskOp::Write && rng.happens(faults.misdirected_write) {
        Some(Fault::Misdirect)
    } else if rng.happens(faults.hang) {
        Some(Fault::Hang)
    } else if rng.happens(faults.slow) {
        Some(Fault::SlowUs(faults.slow_us))
    } else {
        None
    }
}
