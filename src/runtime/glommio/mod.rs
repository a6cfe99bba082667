//! The shell: the runtime on glommio, one executor per worker thread, io_uring and direct I/O below it.
//!
//! Files and connections go through io_uring; names, directories, maps and locks through a few threads that may block.
//! Where glommio 0.9 has a trap, the comment at the place says so.
//!
//! Start: [`preflight`] says what is missing on this machine, [`launch::launch`] starts the workers.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the shell: the machine is used here and nowhere else"
)]
#![expect(
    unsafe_code,
    reason = "system calls, lent descriptors and uninitialised buffers; each block says why it is sound"
)]

mod blocking;
mod buffer;
mod devices;
mod directory;
mod file;
pub mod launch;
mod mailbox;
mod net;
pub mod preflight;
mod relay;
pub mod signals;
mod tasks;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use ::glommio::{Latency, Shares, TaskQueueHandle};

pub use self::buffer::{Buf, BufMut};
pub use self::directory::{Lock, Map};
pub use self::file::File;
pub use self::mailbox::{ConnectedReceiver, ConnectedSender, Receiver, Sender};
pub use self::net::{Listener, ReadHalf, WriteHalf, port_becomes_free, port_is_free};

use self::blocking::Blocking;
use self::devices::Devices;
use self::tasks::{Panic, Tasks};
use super::{DiskSpace, Open, Reactor, Runtime, TaskClass, clock};
use crate::types::{MonoUs, WallUs};

/// Tasks give way to other queues, and the executor looks for completed I/O, after this long at the latest.
const PREEMPT_AFTER: Duration = Duration::from_millis(2);

/// Trap: an executor that finds itself preempted before it ran anything takes that for "nothing to do" and may sleep
/// with runnable tasks (`run_task_queues` in 0.9). It takes a pause of [`PREEMPT_AFTER`] at the wrong microsecond, as a
/// busy machine has them. A timer that goes off all the time ends such a sleep.
const HEARTBEAT: Duration = Duration::from_millis(5);

/// One timer is not enough: it is set again by a task, and that task may be among those that were not run. Then no timer is
/// left, and the worker sleeps for ever (seen in nodes that started on a machine with six others under load). Of this
/// many timers, each a heartbeat behind the one before, all have to go off at the wrong microsecond in a row.
const HEARTBEATS: u32 = 16;

/// The runtime of one worker; lives on its executor's thread.
#[derive(Clone, Debug)]
pub struct GlommioRuntime {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    latency: TaskQueueHandle,
    throughput: TaskQueueHandle,
    background: TaskQueueHandle,
    tasks: Rc<Tasks>,
    blocking: Rc<Blocking>,
    devices: Devices,
}

impl GlommioRuntime {
    /// Must run inside an executor.
    fn start(name: &str) -> io::Result<Self> {
        let executor = ::glommio::executor();
        let inner = Inner {
            latency: executor.create_task_queue(Shares::Static(1000), Latency::Matters(PREEMPT_AFTER), "latency"),
            throughput: executor.create_task_queue(Shares::Static(400), Latency::NotImportant, "throughput"),
            background: executor.create_task_queue(Shares::Static(50), Latency::NotImportant, "background"),
            tasks: Rc::default(),
            blocking: Rc::new(Blocking::start(name)?),
            devices: Devices::default(),
        };
        let runtime = Self { inner: Rc::new(inner) };
        for nth in 1..=HEARTBEATS {
            // Asked once here and now, which sets the timer: a task that was not run yet has set none. In the queue for what
            // is urgent, so that the timer is set again soon.
            let mut first = Box::pin(::glommio::timer::sleep(HEARTBEAT * nth));
            let is_over = first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            runtime.spawn(TaskClass::Latency, async move {
                if !is_over {
                    first.await;
                }
                loop {
                    ::glommio::timer::sleep(HEARTBEAT * HEARTBEATS).await;
                }
            });
        }
        Ok(runtime)
    }

    /// Ends all tasks and lets the ring finish what their ends started: closing files, cancelling operations.
    async fn stop(&self) -> Option<Panic> {
        let panic = self.inner.tasks.stop().await;
        ::glommio::timer::sleep(Duration::from_millis(1)).await;
        panic
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: &Path,
        call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = path.to_owned();
        self.inner.blocking.run(move || call(&path)).await
    }
}

impl Reactor for GlommioRuntime {
    type ReadHalf = ReadHalf;
    type WriteHalf = WriteHalf;

    fn now(&self) -> MonoUs {
        clock::now()
    }

    fn wall(&self) -> WallUs {
        clock::wall()
    }

    async fn sleep(&self, duration: Duration) {
        ::glommio::timer::sleep(duration).await;
    }

    async fn yield_now(&self) {
        // The whole queue gives way: yielding inside it would let only tasks of the same class run.
        ::glommio::executor().yield_task_queue_now().await;
    }

    fn random(&self) -> u64 {
        clock::random()
    }

    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        let queue = match class {
            TaskClass::Latency => self.inner.latency,
            TaskClass::Throughput => self.inner.throughput,
            TaskClass::Background => self.inner.background,
        };
        self.inner.tasks.spawn(queue, task);
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<(ReadHalf, WriteHalf)> {
        net::connect(addr).await
    }
}

impl Runtime for GlommioRuntime {
    type BufMut = BufMut;
    type Buf = Buf;
    type File = File;
    type Map = Map;
    type Lock = Lock;
    type Listener = Listener;
    type Sender<T: Send + 'static> = Sender<T>;
    type Receiver<T: Send + 'static> = Receiver<T>;

    fn alloc(&self, len: usize) -> BufMut {
        BufMut::new(len)
    }

    fn freeze(&self, buf: BufMut, len: usize) -> Buf {
        buf.freeze(len)
    }

    async fn open(&self, path: &Path, how: Open) -> io::Result<File> {
        self.inner.devices.introduce(path, &self.inner.blocking).await;
        File::open(path, how, Rc::clone(&self.inner.blocking)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let to = to.to_owned();
        self.blocking(from, move |from| std::fs::rename(from, to)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, |path| std::fs::remove_file(path)).await
    }

    async fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, |path| std::fs::remove_dir(path)).await
    }

    async fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, directory::create).await
    }

    async fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.blocking(path, directory::sync).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.blocking(path, directory::list).await
    }

    async fn map(&self, path: &Path) -> io::Result<Map> {
        self.blocking(path, directory::map).await
    }

    async fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.blocking(path, directory::lock).await
    }

    async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace> {
        self.blocking(path, directory::space).await
    }

    fn listen(&self, addr: SocketAddr, shared: bool) -> io::Result<Listener> {
        Listener::bind(addr, shared)
    }

    fn mailbox<T: Send + 'static>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        mailbox::mailbox(capacity)
    }
}
