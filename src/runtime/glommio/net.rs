//! TCP: connections in two halves, listening sockets.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::glommio::net::{TcpListener, TcpStream};
use bytes::BytesMut;
use futures_lite::io::{AsyncRead, AsyncWrite};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::file::into_io;
use super::relay::relay;
use crate::runtime;

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
        Ok((ReadHalf(Rc::clone(&connection)), WriteHalf(connection)))
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
pub struct ReadHalf(Rc<Connection>);

/// The sending direction.
pub struct WriteHalf(Rc<Connection>);

pub(super) async fn connect(addr: SocketAddr) -> io::Result<(ReadHalf, WriteHalf)> {
    Connection::split(relay(TcpStream::connect(addr)).await.map_err(into_io)?)
}

impl runtime::ReadHalf for ReadHalf {
    async fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        if into.capacity() == into.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to read into"));
        }
        // A connection that always has bytes ready would otherwise never let go of the executor.
        ::glommio::executor().yield_if_needed().await;
        let n = poll_fn(|cx| {
            let room = into.spare_capacity_mut();
            // SAFETY: the memory is valid for writes of its length. glommio passes pointer and length to `recv` and
            // reads nothing from it; zeroing up to a quarter of a megabyte per call instead would cost more than the call.
            let room = unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<u8>(), room.len()) };
            Pin::new(&mut *self.0.stream.borrow_mut()).poll_read(cx, room)
        })
        .await?;
        // SAFETY: `recv` said that it initialised `n` bytes of the spare capacity. No await lies in between.
        unsafe { into.set_len(into.len() + n) };
        Ok(n)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl runtime::WriteHalf for WriteHalf {
    async fn write_all(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = slices;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            ::glommio::executor().yield_if_needed().await;
            let now = &rest[..rest.len().min(SLICES_PER_CALL)];
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            let sent = match self.0.with_socket(|socket| socket.send_vectored_with_flags(now, flags)) {
                // Waits for room, and sends the first slice (never an empty one) or a part of it when there is some.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| Pin::new(&mut *self.0.stream.borrow_mut()).poll_write(cx, &rest[0])).await
                }
                result => result,
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut rest, n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn shutdown(&self) {
        // The only error is that it is not connected any more, which is what was wanted.
        let _ = self.0.with_socket(|socket| socket.shutdown(std::net::Shutdown::Both));
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
