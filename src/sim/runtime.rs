//! The runtime seam on a simulated host.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::fs::{SimBuf, SimBufMut, SimFile, SimLock, SimMap};
use super::mailbox::{SimReceiver, SimSender, mailbox};
use super::net::stream::{SimListener, SimReadHalf, SimWriteHalf};
use super::options::DiskOp;
use super::process::Process;
use super::{HostId, disk::tree::dir_at};
use crate::limits::BLOCK_BYTES;
use crate::runtime::{DiskSpace, Open, Reactor, Runtime, Step, TaskClass};
use crate::types::{MonoUs, Slab, WallUs};

/// A process on a simulated host, as its code sees the machine. Once the host went down, it and everything made with it is
/// dead: operations never resolve, tasks are not started.
#[derive(Clone)]
pub struct SimRuntime {
    pub(crate) process: Process,
    /// The thread that its tasks run on.
    pub(crate) thread: u16,
}

impl SimRuntime {
    /// The host it runs on.
    #[must_use]
    pub const fn host(&self) -> HostId {
        self.process.host
    }

    /// The same process on another of its threads: its tasks stand still together, see [`super::Sim::stall`].
    #[must_use]
    pub fn on_thread(&self, thread: u16) -> Self {
        Self { thread, ..self.clone() }
    }

    /// Which process of that host it is: 0, and one more with each time the host went down.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        self.process.incarnation()
    }

    /// Whether the host has not gone down since.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }
}

impl Reactor for SimRuntime {
    type ReadHalf = SimReadHalf;
    type WriteHalf = SimWriteHalf;

    fn now(&self) -> MonoUs {
        self.process.core.now()
    }

    fn wall(&self) -> WallUs {
        self.process.core.wall(self.process.host)
    }

    async fn sleep(&self, duration: Duration) {
        self.process.sleep(duration).await;
    }

    async fn yield_now(&self) {
        self.process.yield_now().await;
    }

    fn random(&self) -> u64 {
        self.process.core.random(self.process.host)
    }

    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        if self.process.is_alive() {
            let id = self.process.core.executor.spawn(self.process.host, self.thread, Box::pin(task));
            self.process.note("spawn", [id, class as u64], None);
        }
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<(SimReadHalf, SimWriteHalf)> {
        self.process.connect(addr).await
    }
}

impl Runtime for SimRuntime {
    type BufMut = SimBufMut;
    type Buf = SimBuf;
    type File = SimFile;
    type Map = SimMap;
    type Lock = SimLock;
    type Listener = SimListener;
    type Sender<T: Send + 'static> = SimSender<T>;
    type Receiver<T: Send + 'static> = SimReceiver<T>;

    fn leaves_out(&self, step: Step) -> bool {
        self.process.core.hosts.borrow()[self.host().index()].left_out.contains(&step)
    }

    fn alloc(&self, len: usize) -> SimBufMut {
        assert!(len > 0, "a buffer of no bytes");
        assert!(len.is_multiple_of(BLOCK_BYTES), "a buffer of {len} bytes is not made of blocks");
        SimBufMut::zeroed(len)
    }

    fn freeze(&self, buf: SimBufMut, len: usize) -> SimBuf {
        let have = buf.capacity();
        assert!(len <= have, "{len} of {have} bytes cannot be frozen");
        assert!(len.is_multiple_of(BLOCK_BYTES), "{len} bytes are not made of blocks");
        buf.freeze(len)
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<SimFile> {
        self.process.open(path, how).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let to = to.to_owned();
        self.process.name_op(DiskOp::Rename, from, move |disk, from| disk.rename(from, &to)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.process.name_op(DiskOp::Remove, path, |disk, path| disk.remove(path)).await
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.process.name_op(DiskOp::RemoveDir, path, |disk, path| disk.remove_dir(path)).await
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.process.name_op(DiskOp::CreateDir, path, |disk, path| disk.create_dir(path)).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.process.sync_dir(path).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.process
            .name_op(DiskOp::List, path, |disk, path| {
                // In no particular order, says the seam: let nobody rely on one.
                let mut names = dir_at(&disk.root, path)?.names();
                for last in (1..names.len()).rev() {
                    names.swap(last, disk.rng.below(last as u64 + 1) as usize);
                }
                Ok(names)
            })
            .await
    }

    async fn map(&self, path: &Path) -> io::Result<SimMap> {
        self.process.map(path).await
    }

    async fn lock(&self, path: &Path) -> io::Result<SimLock> {
        self.process.lock(path).await
    }

    async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.process.disk_space(path).await
    }

    fn listen(&self, addr: SocketAddr, shared: bool) -> io::Result<SimListener> {
        self.process.listen(addr, shared)
    }

    fn mailbox<T: Send + 'static>(capacity: usize) -> (SimSender<T>, SimReceiver<T>) {
        mailbox(capacity)
    }
}
