//! The disk as one file on FUSE, for a loop device to stand on.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};

use crate::dice::Dice;
use crate::platter::{Cut, Platter, Survival};

/// The name of the file.
pub const NAME: &str = "disk";

const FILE: INodeNo = INodeNo(2);

/// The kernel may keep what it knows of the file: its size never changes.
const KEPT: Duration = Duration::from_secs(3600);

/// What the disk counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes taken.
    pub writes: u64,
    /// Bytes of these.
    pub written_bytes: u64,
    /// Flushes answered with success.
    pub flushes: u64,
    /// Requests answered with an error: the power was gone, or the disk was told to fail.
    pub failed: u64,
}

#[derive(Default)]
struct State {
    platter: Platter,
    /// Grows with each loss of power. A handle belongs to the life in which it was opened.
    life: u64,
    lies: bool,
    fails_writes: bool,
    flush_takes: Duration,
    counts: Counts,
}

/// A disk. Clones are the same one.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    bytes: u64,
}

impl Disk {
    /// An empty disk of `bytes` bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self { state: Arc::default(), bytes }
    }

    /// Serves it as the file [`NAME`] in `dir`, until the session is dropped.
    pub(crate) fn serve(&self, dir: &Path) -> std::io::Result<BackgroundSession> {
        fuser::spawn_mount(File(self.clone()), dir, &Config::default())
    }

    /// Loses power, now: every request of whoever has the disk open fails from here on.
    pub fn cut(&self, survival: Survival, dice: &mut Dice) -> Cut {
        let mut state = self.state();
        state.life += 1;
        state.platter.cut(survival, dice)
    }

    /// From now on flushes are answered and not done, or done again.
    pub fn lie_about_flushes(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// From now on writes and flushes fail, or work again.
    pub fn fail_writes(&self, fails: bool) {
        self.state().fails_writes = fails;
    }

    /// From now on a flush takes this long. Until it is over nothing of it is certain, so that a loss of power finds more that
    /// is not.
    pub fn slow_flushes(&self, takes: Duration) {
        self.state().flush_takes = takes;
    }

    /// What it counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; a test that failed elsewhere still has its disk to unmount.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, life: u64, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut state = self.state();
        state.alive(life)?;
        let mut bytes = vec![0; len.min(self.bytes.saturating_sub(at) as usize)];
        state.platter.read(at, &mut bytes);
        Ok(bytes)
    }

    fn write(&self, life: u64, at: u64, data: &[u8]) -> Result<u32, Errno> {
        let mut state = self.state();
        state.alive(life)?;
        state.works()?;
        if at + data.len() as u64 > self.bytes {
            return Err(Errno::ENOSPC);
        }
        state.platter.write(at, data);
        state.counts.writes += 1;
        state.counts.written_bytes += data.len() as u64;
        Ok(u32::try_from(data.len()).expect("FUSE counts in 32 bits"))
    }

    fn flush(&self, life: u64) -> Result<(), Errno> {
        let (covers, takes) = {
            let mut state = self.state();
            state.alive(life)?;
            (state.platter.written(), state.flush_takes)
        };
        std::thread::sleep(takes);
        let mut state = self.state();
        state.alive(life)?;
        state.works()?;
        if !state.lies {
            state.platter.flush(covers);
        }
        state.counts.flushes += 1;
        Ok(())
    }
}

impl State {
    fn alive(&mut self, life: u64) -> Result<(), Errno> {
        if life == self.life { Ok(()) } else { self.failed() }
    }

    fn works(&mut self) -> Result<(), Errno> {
        if self.fails_writes { self.failed() } else { Ok(()) }
    }

    fn failed(&mut self) -> Result<(), Errno> {
        self.counts.failed += 1;
        Err(Errno::EIO)
    }
}

/// The file system: a directory with one file.
struct File(Disk);

impl File {
    fn attributes(&self, node: INodeNo) -> FileAttr {
        let is_file = node == FILE;
        let size = if is_file { self.0.bytes } else { 0 };
        FileAttr {
            ino: node,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for File {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&KEPT, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&KEPT, &self.attributes(node));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // No cache between the loop device and the platter: it would outlive a loss of power.
        reply.opened(FileHandle(self.0.state().life), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(handle.0, at, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        at: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(handle.0, at, data) {
            Ok(len) => reply.written(len),
            Err(error) => reply.error(error),
        }
    }

    // What close(2) calls; says nothing about what survives.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        match self.0.flush(handle.0) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }
}
