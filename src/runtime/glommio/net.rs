//! TCP: connections in two halves, listening sockets.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::glommio::net::{TcpListener, TcpStream};
use bytes::BufMut;
use futures_lite::io::{AsyncRead, AsyncWrite};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::file::into_io;
use super::relay::relay;
use crate::runtime;
use crate::runtime::room::Room;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Slices that one `sendmsg` takes at most (`UIO_MAXIOV` of the kernel).
const SLICES_PER_CALL: usize = 1024;

/// A connection; both halves hold it, the last one closes it.
///
/// Reading and writing wait on different sources of the stream, so both may be pending at once. The borrow lasts for
/// one poll at most.
struct Connection {
    stream: RefCell<TcpStream>,
    /// Asked for once: the kernel forgets it when the other end resets.
    peer: Option<SocketAddr>,
}

impl Connection {
    fn split(stream: TcpStream) -> io::Result<(ReadHalf, WriteHalf)> {
        stream.set_nodelay(true).map_err(into_io)?;
        let peer = stream.peer_addr().ok();
        let connection = Rc::new(Self { stream: RefCell::new(stream), peer });
        let reader = ReadHalf { connection: Rc::clone(&connection), turn: Turn::default() };
        Ok((reader, WriteHalf { connection, turn: Turn::default() }))
    }

    /// Lends the descriptor for calls that glommio does not offer.
    fn with_socket<T>(&self, call: impl FnOnce(SockRef<'_>) -> T) -> T {
        let stream = self.stream.borrow();
        // SAFETY: the stream owns the descriptor and is borrowed until the call is over.
        let fd = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        call(SockRef::from(&fd))
    }
}

/// The receiving direction.
pub struct ReadHalf {
    connection: Rc<Connection>,
    turn: Turn,
}

/// The sending direction.
pub struct WriteHalf {
    connection: Rc<Connection>,
    turn: Turn,
}

pub(super) async fn connect(addr: SocketAddr) -> io::Result<(ReadHalf, WriteHalf)> {
    Connection::split(relay(TcpStream::connect(addr)).await.map_err(into_io)?)
}

/// Lets others in when the executor wants that: a connection that always has bytes ready, or room to send, would otherwise
/// never let go of it.
#[derive(Default)]
struct Turn {
    /// Others were let in and this one has not gone on since.
    given: bool,
}

impl Turn {
    /// Pending when others come first; the task is woken again.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::take(&mut self.given) {
            // It looks once, at its first poll, and is pending only after it has woken the task.
            let polled = pin!(::glommio::executor().yield_if_needed()).poll(cx);
            self.given = polled.is_pending();
            return polled;
        }
        Poll::Ready(())
    }
}

impl runtime::ReadHalf for ReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<usize>> {
        if !room.has_remaining_mut() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to read into")));
        }
        ready!(self.turn.poll(cx));
        // SAFETY: nothing is uninitialised here. glommio passes pointer and length to `recv` and reads nothing from it;
        // zeroing up to a quarter of a megabyte per call instead would cost more than the call.
        let bytes = unsafe {
            let bytes = room.chunk_mut();
            std::slice::from_raw_parts_mut(bytes.as_mut_ptr(), bytes.len())
        };
        let n = ready!(Pin::new(&mut *self.connection.stream.borrow_mut()).poll_read(cx, bytes))?;
        // SAFETY: `recv` said that it initialised `n` bytes.
        unsafe { room.advance_mut(n) };
        Poll::Ready(Ok(n))
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.peer.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl runtime::WriteHalf for WriteHalf {
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(first) = slices.iter().position(|slice| !slice.is_empty()) else { return Poll::Ready(Ok(0)) };
        let slices = &slices[first..];
        ready!(self.turn.poll(cx));
        let now = &slices[..slices.len().min(SLICES_PER_CALL)];
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            match self.connection.with_socket(|socket| socket.send_vectored_with_flags(now, flags)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Waits for room, and sends the first slice (never an empty one) or a part of it when there is some.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Pin::new(&mut *self.connection.stream.borrow_mut()).poll_write(cx, &slices[0]);
                }
                result => return Poll::Ready(result),
            }
        }
    }

    fn finish(&self) {
        // The only error is that it is not connected any more, which is what was wanted.
        let _ = self.connection.with_socket(|socket| socket.shutdown(std::net::Shutdown::Write));
    }

    fn shutdown(&self) {
        // The only error is that it is not connected any more, which is what was wanted.
        let _ = self.connection.with_socket(|socket| socket.shutdown(std::net::Shutdown::Both));
    }
}

type Accepting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// A listening socket.
pub struct Listener {
    listener: Rc<TcpListener>,
    /// The accept under way. Kept here, not in the caller's future: an `accept` that the kernel has completed while its
    /// future was dropped would lose the connection and leak the descriptor.
    accepting: RefCell<Option<Accepting>>,
}

impl Listener {
    pub(super) fn bind(addr: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket = bound_socket(addr, shared)?;
        socket.listen(BACKLOG)?;
        // SAFETY: the descriptor is a listening TCP socket that nobody else owns from here on.
        let listener = unsafe { TcpListener::from_raw_fd(socket.into_raw_fd()) };
        Ok(Self { listener: Rc::new(listener), accepting: RefCell::new(None) })
    }
}

/// Own sockets instead of `TcpListener::bind`, which always shares the port: two nodes would then split one port's
/// connections between them without a word.
fn bound_socket(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the previous run that still linger do not keep the port; somebody who listens does.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket)
}

/// Fails with [`io::ErrorKind::AddrInUse`] if anybody listens on `addr`, shared or not. A node asks before its workers
/// share the port among themselves.
///
/// # Errors
/// What binding answers.
pub fn port_is_free(addr: SocketAddr) -> io::Result<()> {
    bound_socket(addr, false)?.listen(1)
}

/// As [`port_is_free`], but waits up to `patience` while somebody listens on `addr`. A node that was killed keeps its ports
/// beyond the end of its process, until the kernel has taken its rings apart. Blocks the thread: for the time before the
/// workers start.
///
/// # Errors
/// What binding answers, at last.
pub fn port_becomes_free(addr: SocketAddr, patience: Duration) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match port_is_free(addr) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

impl runtime::Listener for Listener {
    type ReadHalf = ReadHalf;
    type WriteHalf = WriteHalf;

    async fn accept(&self) -> io::Result<(ReadHalf, WriteHalf)> {
        let stream = poll_fn(|cx| {
            let mut slot = self.accepting.borrow_mut();
            let accepting = slot.get_or_insert_with(|| {
                let listener = Rc::clone(&self.listener);
                Box::pin(relay(async move { listener.accept().await.map_err(into_io) }))
            });
            let result = std::task::ready!(accepting.as_mut().poll(cx));
            *slot = None;
            Poll::Ready(result)
        })
        .await?;
        Connection::split(stream)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr().map_err(into_io)
    }
}
