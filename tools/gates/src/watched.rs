//! A runtime that tells [`sides`](crate::sides) whenever its tasks enter the node's code, and whenever that calls the machine.
//!
//! What is not told apart: waking a task, and the memory of buffers that the node lets go of. Both happen in the middle of
//! the node's code and are counted with it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use millstream::runtime::room::Room;
use millstream::runtime::{DiskSpace, File, Listener, Open, Reactor, ReadHalf, Runtime, Step, TaskClass, WriteHalf};
use millstream::types::{MonoUs, WallUs};

use crate::sides::{gate_machine_call, gate_node_turn, watch_box};

/// A task of the node.
struct Task<F>(Option<Pin<Box<F>>>);

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        gate_node_turn(&mut self.0, cx)
    }
}

/// An operation of the machine that takes time. Made, polled and dropped on its side.
struct Operation<F>(Option<Pin<Box<F>>>);

impl<F: Future> Operation<F> {
    fn new(operation: F) -> Self {
        Self(gate_machine_call(|| Some(watch_box(operation))))
    }
}

impl<F: Future> Future for Operation<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let operation = self.0.as_mut().expect("an operation is there until it is dropped");
        gate_machine_call(|| operation.as_mut().poll(cx))
    }
}

impl<F> Drop for Operation<F> {
    fn drop(&mut self) {
        gate_machine_call(|| self.0 = None);
    }
}

/// The runtime `R`, watched.
#[derive(Clone)]
pub struct Watched<R>(pub R);

impl<R: Reactor> Reactor for Watched<R> {
    type ReadHalf = WatchedRead<R::ReadHalf>;
    type WriteHalf = WatchedWrite<R::WriteHalf>;

    fn now(&self) -> MonoUs {
        gate_machine_call(|| self.0.now())
    }

    fn wall(&self) -> WallUs {
        gate_machine_call(|| self.0.wall())
    }

    async fn sleep(&self, duration: Duration) {
        Operation::new(self.0.sleep(duration)).await;
    }

    async fn yield_now(&self) {
        Operation::new(self.0.yield_now()).await;
    }

    fn random(&self) -> u64 {
        gate_machine_call(|| self.0.random())
    }

    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        gate_machine_call(|| self.0.spawn(class, Task(Some(watch_box(task)))));
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<(Self::ReadHalf, Self::WriteHalf)> {
        Operation::new(self.0.connect(addr)).await.map(halves)
    }
}

fn halves<A, B>((read, write): (A, B)) -> (WatchedRead<A>, WatchedWrite<B>) {
    (WatchedRead(read), WatchedWrite(write))
}

impl<R: Runtime> Runtime for Watched<R> {
    type BufMut = R::BufMut;
    type Buf = R::Buf;
    type File = WatchedFile<R::File>;
    type Map = R::Map;
    type Lock = R::Lock;
    type Listener = WatchedListener<R::Listener>;
    // A node of one worker has no mailboxes.
    type Sender<T: Send + 'static> = R::Sender<T>;
    type Receiver<T: Send + 'static> = R::Receiver<T>;

    fn alloc(&self, len: usize) -> R::BufMut {
        gate_machine_call(|| self.0.alloc(len))
    }

    fn freeze(&self, buf: R::BufMut, len: usize) -> R::Buf {
        gate_machine_call(|| self.0.freeze(buf, len))
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<Self::File> {
        Operation::new(self.0.open(path, how)).await.map(WatchedFile)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Operation::new(self.0.rename(from, to)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        Operation::new(self.0.remove(path)).await
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Operation::new(self.0.remove_dir(path)).await
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        Operation::new(self.0.create_dir(path)).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Operation::new(self.0.sync_dir(path)).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Operation::new(self.0.list(path)).await
    }

    async fn map(&self, path: &Path) -> io::Result<R::Map> {
        Operation::new(self.0.map(path)).await
    }

    async fn lock(&self, path: &Path) -> io::Result<R::Lock> {
        Operation::new(self.0.lock(path)).await
    }

    async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace> {
        Operation::new(self.0.disk_space(path)).await
    }

    fn listen(&self, addr: SocketAddr, shared: bool) -> io::Result<Self::Listener> {
        gate_machine_call(|| self.0.listen(addr, shared)).map(WatchedListener)
    }

    fn leaves_out(&self, step: Step) -> bool {
        gate_machine_call(|| self.0.leaves_out(step))
    }

    fn mailbox<T: Send + 'static>(capacity: usize) -> (R::Sender<T>, R::Receiver<T>) {
        R::mailbox(capacity)
    }
}

/// A file, watched.
pub struct WatchedFile<F>(F);

impl<F: File> File for WatchedFile<F> {
    type Buf = F::Buf;

    async fn write_at(&self, buf: &F::Buf, pos: u64) -> io::Result<()> {
        Operation::new(self.0.write_at(buf, pos)).await
    }

    async fn read_at(&self, pos: u64, len: usize) -> io::Result<F::Buf> {
        Operation::new(self.0.read_at(pos, len)).await
    }

    async fn sync(&self) -> io::Result<()> {
        Operation::new(self.0.sync()).await
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        Operation::new(self.0.allocate(len)).await
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        Operation::new(self.0.truncate(len)).await
    }

    async fn len(&self) -> io::Result<u64> {
        Operation::new(self.0.len()).await
    }

    async fn data_from(&self, pos: u64) -> io::Result<Option<u64>> {
        Operation::new(self.0.data_from(pos)).await
    }

    async fn settled(&self) -> io::Result<()> {
        Operation::new(self.0.settled()).await
    }
}

/// A listening socket, watched.
pub struct WatchedListener<L>(L);

impl<L: Listener> Listener for WatchedListener<L> {
    type ReadHalf = WatchedRead<L::ReadHalf>;
    type WriteHalf = WatchedWrite<L::WriteHalf>;

    async fn accept(&self) -> io::Result<(Self::ReadHalf, Self::WriteHalf)> {
        Operation::new(self.0.accept()).await.map(halves)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        gate_machine_call(|| self.0.local_addr())
    }
}

/// The receiving direction of a connection, watched.
pub struct WatchedRead<H>(H);

impl<H: ReadHalf> ReadHalf for WatchedRead<H> {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<usize>> {
        gate_machine_call(|| self.0.poll_read(cx, room))
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        gate_machine_call(|| self.0.peer_addr())
    }
}

/// The sending direction of a connection, watched.
pub struct WatchedWrite<H>(H);

impl<H: WriteHalf> WriteHalf for WatchedWrite<H> {
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        gate_machine_call(|| self.0.poll_write(cx, slices))
    }

    fn finish(&self) {
        gate_machine_call(|| self.0.finish());
    }

    fn shutdown(&self) {
        gate_machine_call(|| self.0.shutdown());
    }
}
