//! The seam: everything the node wants from the machine, as traits. The same procedures run on glommio
//! (`runtime::glommio`) and in the simulator (`sim`); a tokio-backed [`Reactor`] serves clients in ordinary programs.
//!
//! The seam lies at single file and connection operations, never higher, so that the real segment and recovery code is
//! what gets simulated. Nothing outside this module names glommio, libc, a socket, a file, a clock or a random source.
//! One conformance suite (`runtime::conformance`) runs against every implementation.
//!
//! Everything is single-threaded: a worker's state is `Rc` and `Cell`, futures are not `Send`, and workers talk only
//! through bounded mailboxes.

// Futures of this seam never cross threads; a `Send` bound would be wrong, which is what the lint asks about.
#![allow(async_fn_in_trait)]

#[cfg(any(feature = "glommio", feature = "tokio"))]
mod clock;
#[cfg(any(test, feature = "sim"))]
pub mod conformance;
#[cfg(feature = "glommio")]
pub mod glommio;
pub mod local;
pub mod room;
#[cfg(feature = "tokio")]
pub mod tokio;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;

use self::room::Room;
use crate::types::{MonoUs, Slab, WallUs};

/// How urgent a task is. Implementations map the classes to scheduler queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskClass {
    /// Somebody waits for it: connections, appends, acknowledgements, pushes.
    Latency,
    /// Bulk work for somebody: cold reads, catch-up.
    Throughput,
    /// Nobody waits: retention, index writing, recycling.
    Background,
}

/// Steps that a simulated machine can be told to leave out of the code: seeded bugs, with which a test sees that its checker
/// notices what it is for. No other machine leaves out any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Puts to the parents of a reshard wait from when their end is known until the catalogue knows it.
    HoldParents,
    /// A reshard is durable before anybody acts on it: before the children are opened.
    StoreReshard,
    /// A shard that moves is let go of, with all that was accepted written, before it is opened elsewhere.
    DrainBeforeMove,
    /// A lease is granted to another one when it has run out, not before.
    AwaitLeaseEnd,
    /// A flush is synced before its puts are acknowledged.
    SyncBeforeAck,
    /// A flush is synced before readers see it.
    SyncBeforeRead,
    /// A frame is taken for the next one of a log only if it follows the one before it.
    JudgeFrames,
    /// What recovery finds and nothing proves to be synced is written once more.
    WriteAgain,
}

/// Clock, randomness, tasks and connections: what a client needs. Cheap to clone; a handle, not the thing.
pub trait Reactor: Clone + 'static {
    /// A connection's reading half.
    type ReadHalf: ReadHalf;
    /// A connection's writing half.
    type WriteHalf: WriteHalf;

    /// Monotonic time. Never goes back.
    fn now(&self) -> MonoUs;

    /// Wall-clock time. May jump either way.
    fn wall(&self) -> WallUs;

    /// Resolves once `duration` has passed. Dropping it cancels the timer.
    async fn sleep(&self, duration: Duration);

    /// Lets other ready tasks run before going on.
    async fn yield_now(&self);

    /// An unpredictable number (predictable from the seed in the simulator).
    fn random(&self) -> u64;

    /// Starts a task on this thread and forgets it. It runs until it ends or the executor stops.
    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static);

    /// Opens a TCP connection with Nagle's algorithm off.
    async fn connect(&self, addr: SocketAddr) -> io::Result<(Self::ReadHalf, Self::WriteHalf)>;
}

/// The receiving direction of a connection.
pub trait ReadHalf: 'static {
    /// Fills `room`, which must not be empty, with what has arrived: ready with the number of bytes, 0 at the end of the
    /// stream. Pending means that nothing was filled and that the task is woken when it is worth trying again; now and then
    /// also that others are let in first. One task at a time may wait.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<usize>>;

    /// Waits for bytes and appends them to the spare capacity of `into`, which must not be zero: no reallocation
    /// happens here. Resolves to the number of bytes appended, 0 at the end of the stream. Dropping it loses nothing.
    async fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        poll_fn(|cx| room::fill_spare(into, |room| self.poll_read(cx, room))).await
    }

    /// The other end's address.
    fn peer_addr(&self) -> io::Result<SocketAddr>;
}

/// The sending direction of a connection. Dropping both halves closes it.
pub trait WriteHalf: 'static {
    /// Sends from `slices`, in order, without copying them in user space: ready with the number of bytes that the kernel
    /// took, at least one if there is one. Pending as for [`ReadHalf::poll_read`].
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends all of `slices`, in order, without copying them in user space. `slices` is consumed as it goes. When it
    /// resolves the kernel holds the bytes. Dropping it midway leaves an unknown part sent: the connection is then useless.
    async fn write_all(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = slices;
        // Takes empty slices off the front, so that nothing to send is done at once.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match poll_fn(|cx| self.poll_write(cx, rest)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => IoSlice::advance_slices(&mut rest, sent),
            }
        }
        Ok(())
    }

    /// Ends this direction: the other end reads what was sent, then the end of the stream. Receiving goes on.
    fn finish(&self);

    /// Ends both directions at once; a pending read of the other half resolves with 0 or an error.
    fn shutdown(&self);
}

/// Everything a node needs: a [`Reactor`] with files, listeners and mailboxes.
pub trait Runtime: Reactor {
    /// An aligned buffer being filled. To be seen whole it is cleared where nothing was written yet.
    type BufMut: Slab + AsMut<[u8]> + 'static;
    /// A shared, read-only, cheap-to-clone buffer.
    type Buf: Clone + Deref<Target = [u8]> + 'static;
    /// An open file. Dropping it closes the file; no data is lost by that, nothing is synced by it either.
    type File: File<Buf = Self::Buf>;
    /// A sealed file mapped read-only.
    type Map: Deref<Target = [u8]> + 'static;
    /// An exclusive hold on a path; released when dropped or when the process dies.
    type Lock: 'static;
    /// A listening TCP socket.
    type Listener: Listener<ReadHalf = Self::ReadHalf, WriteHalf = Self::WriteHalf>;
    /// The sending end of a mailbox; `Send` so that it can be handed to its worker's thread.
    type Sender<T: Send + 'static>: Sender<T>;
    /// The receiving end of a mailbox.
    type Receiver<T: Send + 'static>: Receiver<T>;

    /// An aligned buffer of `len` bytes, a positive multiple of [`crate::limits::BLOCK_BYTES`].
    fn alloc(&self, len: usize) -> Self::BufMut;

    /// Ends the filling of `buf`: its first `len` bytes become shareable. `len` is a multiple of the block size.
    fn freeze(&self, buf: Self::BufMut, len: usize) -> Self::Buf;

    /// Opens the file at `path` for direct I/O.
    async fn open(&self, path: &Path, how: Open) -> io::Result<Self::File>;

    /// Renames a file, replacing `to`. Durable after [`Runtime::sync_dir`] of the directory (of both, if they differ).
    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`Runtime::sync_dir`].
    async fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. Durable after [`Runtime::sync_dir`] of its parent.
    async fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory; its parent must exist. Fine if it exists already. Durable after [`Runtime::sync_dir`] of the parent.
    async fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    async fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Names of the files and directories in a directory, in no particular order.
    async fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Maps a file that will not change any more.
    async fn map(&self, path: &Path) -> io::Result<Self::Map>;

    /// Takes the exclusive lock at `path`, creating the file. [`io::ErrorKind::WouldBlock`] if somebody holds it.
    async fn lock(&self, path: &Path) -> io::Result<Self::Lock>;

    /// Free and total bytes of the file system that holds `path`, as an unprivileged writer sees them.
    async fn disk_space(&self, path: &Path) -> io::Result<DiskSpace>;

    /// Listens on `addr`. With `shared`, other workers may listen on the same address and the kernel spreads
    /// connections over them. Port 0 picks a free one.
    fn listen(&self, addr: SocketAddr, shared: bool) -> io::Result<Self::Listener>;

    /// Whether the machine leaves this step out.
    #[inline]
    fn leaves_out(&self, step: Step) -> bool {
        let _ = step;
        false
    }

    /// A mailbox between two workers that holds `capacity` messages.
    fn mailbox<T: Send + 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>);
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Open {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; it must not exist.
    CreateNew,
}

/// Space on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// A file opened for direct I/O. Positions and lengths are multiples of [`crate::limits::BLOCK_BYTES`] unless said otherwise.
#[expect(clippy::len_without_is_empty, reason = "an asynchronous length; nobody asks whether a file is empty")]
pub trait File: 'static {
    /// The shared buffers it reads into and writes from.
    type Buf;

    /// Writes the whole of `buf` at `pos`. When it resolves the bytes were handed to the disk: a killed process does
    /// not lose them, a power failure may lose or tear them. Several may run concurrently on disjoint ranges. Dropping
    /// it may or may not write.
    async fn write_at(&self, buf: &Self::Buf, pos: u64) -> io::Result<()>;

    /// Reads `len` bytes at `pos`; fewer only at the end of the file, where what there is comes back.
    async fn read_at(&self, pos: u64, len: usize) -> io::Result<Self::Buf>;

    /// Makes every write durable that had resolved before this was called, and the file's length (fdatasync). After
    /// an error nothing is known about earlier writes, and trying again proves nothing.
    async fn sync(&self) -> io::Result<()>;

    /// Reserves disk space for the first `len` bytes and grows the file to at least `len`. New bytes read as zero.
    async fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts or extends the file to `len` bytes (any number).
    async fn truncate(&self, len: u64) -> io::Result<()>;

    /// Length in bytes.
    async fn len(&self) -> io::Result<u64>;

    /// Where, at `pos` or behind it, the first bytes are that may be other than zero, as far as the file system knows without
    /// reading: what is only reserved is passed over. `None`: zeros to the end.
    async fn data_from(&self, pos: u64) -> io::Result<Option<u64>>;

    /// Resolves once this is the only handle through which anybody can write to the file: what a process that was killed
    /// had under way has landed, or never will. The kernel gives up a dead process's locks and ports before its writes, so
    /// neither tells. For a file opened for writing. [`io::ErrorKind::TimedOut`] if another handle stays for seconds.
    async fn settled(&self) -> io::Result<()>;
}

/// A listening socket.
pub trait Listener: 'static {
    /// A connection's reading half.
    type ReadHalf;
    /// A connection's writing half.
    type WriteHalf;

    /// The next connection, with Nagle's algorithm off. Errors may be passing (a connection gone before it was
    /// accepted, descriptors exhausted): the caller waits a little and goes on.
    async fn accept(&self) -> io::Result<(Self::ReadHalf, Self::WriteHalf)>;

    /// Where it listens, with the real port.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// The sending end of a mailbox. One task at a time may wait on it.
pub trait Sender<T>: Send + 'static {
    /// What sending happens through, once the end sits on its worker's thread.
    type Connected: ConnectedSender<T>;
    /// Binds the end to this thread; resolves when both ends are bound.
    async fn connect(self) -> Self::Connected;
}

/// A bound sending end.
pub trait ConnectedSender<T>: 'static {
    /// Sends unless the mailbox is full or the receiver gone; gives the message back then.
    fn try_send(&self, message: T) -> Result<(), T>;
    /// Waits for room and sends; gives the message back when the receiver is gone.
    async fn send(&self, message: T) -> Result<(), T>;
}

/// The receiving end of a mailbox.
pub trait Receiver<T>: Send + 'static {
    /// What receiving happens through, once the end sits on its worker's thread.
    type Connected: ConnectedReceiver<T>;
    /// Binds the end to this thread; resolves when both ends are bound.
    async fn connect(self) -> Self::Connected;
}

/// A bound receiving end.
pub trait ConnectedReceiver<T>: 'static {
    /// The next message; `None` once the sender is gone and the mailbox empty.
    async fn recv(&self) -> Option<T>;
}
