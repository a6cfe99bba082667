//! Files, locks, maps and buffers as the runtime seam wants them, on top of the model in [`super::disk`].

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::disk::node::FileNode;
use super::disk::tree::{dir_at, file_at};
use super::disk::{Disk, Landing, Space};
use super::options::DiskOp;
use super::process::Process;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{DiskSpace, File, Open};
use crate::types::Slab;

/// How long [`File::settled`] waits: 10 s, as the shell does.
const SETTLE_TRIES: u32 = 1_000;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

/// A buffer being filled. Aligned as for O_DIRECT, so that nothing above the seam learns otherwise here.
#[derive(Debug)]
pub struct SimBufMut {
    bytes: Vec<u8>,
    start: usize,
}

impl SimBufMut {
    /// `len` zeros at a multiple of the block size.
    pub(crate) fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start <= BLOCK_BYTES, "bytes can be aligned");
        let mut buf = Self { bytes, start };
        buf.bytes.truncate(start + len);
        buf
    }

    /// The first `len` bytes, to be shared.
    pub(crate) fn freeze(self, len: usize) -> SimBuf {
        SimBuf(Bytes::from(self.bytes).slice(self.start..self.start + len))
    }
}

impl Slab for SimBufMut {
    fn capacity(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.as_mut().put(at, bytes);
    }

    fn put_zeros(&mut self, range: Range<usize>) {
        self.as_mut().put_zeros(range);
    }
}

impl AsMut<[u8]> for SimBufMut {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

/// A shared buffer.
#[derive(Clone, Debug)]
pub struct SimBuf(Bytes);

impl Deref for SimBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The contents of a file at the time it was mapped.
#[derive(Debug)]
pub struct SimMap(Vec<u8>);

impl Deref for SimMap {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An open file's hold on its space.
struct Handle {
    process: Process,
    node: Rc<FileNode>,
    space: Rc<Space>,
    writable: bool,
}

impl Handle {
    fn new(process: &Process, node: Rc<FileNode>, space: &Rc<Space>, writable: bool) -> Self {
        node.handles.set(node.handles.get() + 1);
        node.writers.set(node.writers.get() + u32::from(writable));
        Self { process: process.clone(), node, space: Rc::clone(space), writable }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A crash closed everything already.
        if self.process.is_alive() {
            self.node.writers.set(self.node.writers.get() - u32::from(self.writable));
            self.node.release(&self.node.handles, &self.space);
        }
    }
}

/// An open file of a simulated disk.
pub struct SimFile {
    handle: Handle,
    path: Rc<str>,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        // EBADF, as from a descriptor opened for reading.
        if self.handle.writable { Ok(()) } else { Err(io::Error::from_raw_os_error(9)) }
    }

    fn node(&self) -> Rc<FileNode> {
        Rc::clone(&self.handle.node)
    }
}

impl File for SimFile {
    type Buf = SimBuf;

    async fn write_at(&self, buf: &SimBuf, pos: u64) -> io::Result<()> {
        self.check_writable()?;
        check_aligned(pos, buf.len())?;
        let (node, data) = (self.node(), buf.0.clone());
        // The contents enter the trace with the length: a byte that differs between two runs of a seed shows here.
        let contents = xxhash_rust::xxh3::xxh3_64(&data) ^ data.len() as u64;
        self.handle
            .process
            .disk_op(DiskOp::Write, &self.path, [pos, contents], move |disk, landing| {
                disk.write(&node, pos, data, landing)
            })
            .await
    }

    async fn read_at(&self, pos: u64, len: usize) -> io::Result<SimBuf> {
        check_aligned(pos, len)?;
        let node = self.node();
        self.handle
            .process
            .whole_disk_op(DiskOp::Read, &self.path, [pos, len as u64], move |_| {
                let bytes = node.state.borrow().visible().read(pos, len);
                let mut buf = SimBufMut::zeroed(bytes.len());
                buf.as_mut().copy_from_slice(&bytes);
                Ok(buf.freeze(bytes.len()))
            })
            .await
    }

    async fn sync(&self) -> io::Result<()> {
        let node = self.node();
        let mark = node.state.borrow().mark();
        self.handle
            .process
            .disk_op(DiskOp::Sync, &self.path, [mark, 0], move |disk, landing| disk.sync(&node, mark, landing))
            .await
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let node = self.node();
        self.handle
            .process
            .whole_disk_op(DiskOp::Allocate, &self.path, [len, 0], move |disk| disk.allocate(&node, len))
            .await
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let node = self.node();
        self.handle
            .process
            .whole_disk_op(DiskOp::Truncate, &self.path, [len, 0], move |disk| {
                node.change(&disk.space, |state| state.truncate(len));
                Ok(())
            })
            .await
    }

    async fn len(&self) -> io::Result<u64> {
        let node = self.node();
        self.handle
            .process
            .whole_disk_op(DiskOp::Len, &self.path, [0; 2], move |_| Ok(node.state.borrow().visible().len()))
            .await
    }

    async fn data_from(&self, pos: u64) -> io::Result<Option<u64>> {
        let node = self.node();
        self.handle
            .process
            .whole_disk_op(DiskOp::Len, &self.path, [pos, 0], move |_| {
                let state = node.state.borrow();
                let contents = state.visible();
                let len = usize::try_from(contents.len().saturating_sub(pos)).expect("files are small");
                let found = contents.read(pos, len).iter().position(|byte| *byte != 0);
                Ok(found.map(|at| pos + (at / BLOCK_BYTES * BLOCK_BYTES) as u64))
            })
            .await
    }

    /// A write in flight when its process dies lands then or never, so only handles of the living process are waited for.
    async fn settled(&self) -> io::Result<()> {
        self.check_writable()?;
        for _ in 0..SETTLE_TRIES {
            if self.handle.node.writers.get() == 1 {
                return Ok(());
            }
            self.handle.process.sleep(SETTLE_PAUSE).await;
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "somebody else still has the file open for writing"))
    }
}

/// What O_DIRECT demands.
fn check_aligned(pos: u64, len: usize) -> io::Result<()> {
    if pos.is_multiple_of(BLOCK_BYTES as u64) && len.is_multiple_of(BLOCK_BYTES) {
        return Ok(());
    }
    let message = format!("position {pos} and length {len} must be multiples of {BLOCK_BYTES}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// An exclusive hold on a path.
pub struct SimLock {
    process: Process,
    file: u64,
    locks: Rc<RefCell<BTreeSet<u64>>>,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        // A crash freed it already, and somebody else may hold it now.
        if self.process.is_alive() {
            self.locks.borrow_mut().remove(&self.file);
        }
    }
}

impl Process {
    /// Opens or creates a file.
    pub(crate) async fn open(&self, path: &Path, how: Open) -> io::Result<SimFile> {
        let (text, path, process) = (text(path)?, path.to_owned(), self.clone());
        let open = move |disk: &mut Disk| {
            let node = disk.open(&path, how)?;
            Ok(Handle::new(&process, node, &disk.space, how != Open::Read))
        };
        let handle = self.whole_disk_op(DiskOp::Open, &text, [how as u64, 0], open).await?;
        Ok(SimFile { handle, path: text })
    }

    /// Runs an operation on the name `path`.
    pub(crate) async fn name_op<T: 'static>(
        &self,
        op: DiskOp,
        path: &Path,
        effect: impl FnOnce(&mut Disk, &Path) -> io::Result<T> + 'static,
    ) -> io::Result<T> {
        let (text, path) = (text(path)?, path.to_owned());
        self.whole_disk_op(op, &text, [0; 2], move |disk| effect(disk, &path)).await
    }

    /// Makes the names in a directory durable.
    pub(crate) async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.alive().await;
        let dir = dir_at(&self.disk().borrow().root, path)?;
        let (mark, text) = (dir.mark(), text(path)?);
        self.disk_op(DiskOp::SyncDir, &text, [mark, 0], move |_, landing| match landing {
            Landing::Whole | Landing::Misdirected => {
                dir.sync(mark);
                Ok(())
            }
            Landing::Failed(error) => Err(error),
            Landing::Interrupted | Landing::Skipped => Ok(()),
        })
        .await
    }

    /// Reads a whole file.
    pub(crate) async fn map(&self, path: &Path) -> io::Result<SimMap> {
        self.name_op(DiskOp::Map, path, |disk, path| {
            let file = file_at(&disk.root, path)?;
            let state = file.state.borrow();
            let len = usize::try_from(state.visible().len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
            Ok(SimMap(state.visible().read(0, len)))
        })
        .await
    }

    /// Takes a lock.
    pub(crate) async fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let process = self.clone();
        self.name_op(DiskOp::Lock, path, move |disk, path| {
            let file = disk.open_or_create(path)?.id;
            if !disk.locks.borrow_mut().insert(file) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(SimLock { process, file, locks: Rc::clone(&disk.locks) })
        })
        .await
    }

    /// Free and total space.
    pub(crate) async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.name_op(DiskOp::Space, path, |disk, path| {
            if dir_at(&disk.root, path).is_err() {
                file_at(&disk.root, path)?;
            }
            Ok(disk.disk_space())
        })
        .await
    }
}

/// A path as text; no system call takes one with a zero byte.
fn text(path: &Path) -> io::Result<Rc<str>> {
    let text = path.to_str().filter(|text| !text.contains('\0'));
    text.map(Rc::from).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
