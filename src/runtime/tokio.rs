//! A [`Reactor`] on tokio, so that clients run in ordinary programs: current-thread runtime, tasks in a `LocalSet`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the shell: the machine is used here and nowhere else"
)]

use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::tokio::net::TcpStream;
use bytes::BufMut;

use super::room::Room;
use super::{Reactor, TaskClass, clock};
use crate::types::{MonoUs, WallUs};

/// A handle to the tokio runtime of this thread. Use it inside a [`LocalSet`](::tokio::task::LocalSet), as [`block_on`]
/// does.
#[derive(Clone, Copy, Debug)]
pub struct TokioReactor {
    /// Bound to its thread, as every reactor.
    _not_send: PhantomData<*const ()>,
}

impl TokioReactor {
    /// The reactor of the `LocalSet` that the caller runs in. Its methods panic outside one.
    #[must_use]
    pub const fn current() -> Self {
        Self { _not_send: PhantomData }
    }
}

/// Runs `work` on a tokio runtime of its own on this thread. Tasks that are left when it ends are dropped.
///
/// # Errors
/// When the runtime's descriptors cannot be made.
pub fn block_on<T>(work: impl AsyncFnOnce(TokioReactor) -> T) -> io::Result<T> {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(::tokio::task::LocalSet::new().block_on(&runtime, work(TokioReactor::current())))
}

/// What a thread beside the reactor brings, in its order: for input that can only be read by blocking.
#[derive(Debug)]
pub struct FromThread<T>(::tokio::sync::mpsc::Receiver<T>);

/// Takes what the thread brings. Waits while `capacity` of it is not taken; `false` once nobody wants any more.
pub type Bring<'a, T> = &'a dyn Fn(T) -> bool;

/// Runs `work` on a thread of its own, which ends when it returns. At most `capacity` values wait to be taken.
pub fn from_thread<T: Send + 'static>(
    capacity: usize,
    work: impl FnOnce(Bring<'_, T>) + Send + 'static,
) -> io::Result<FromThread<T>> {
    let (sender, receiver) = ::tokio::sync::mpsc::channel(capacity);
    std::thread::Builder::new()
        .name("millstream-input".to_owned())
        .spawn(move || work(&|value| sender.blocking_send(value).is_ok()))?;
    Ok(FromThread(receiver))
}

impl<T> FromThread<T> {
    /// The next value; `None` once the thread has ended and everything was taken. Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<T> {
        self.0.recv().await
    }
}

impl Reactor for TokioReactor {
    type ReadHalf = ReadHalf;
    type WriteHalf = WriteHalf;

    fn now(&self) -> MonoUs {
        clock::now()
    }

    fn wall(&self) -> WallUs {
        clock::wall()
    }

    async fn sleep(&self, duration: Duration) {
        ::tokio::time::sleep(duration).await;
    }

    async fn yield_now(&self) {
        ::tokio::task::yield_now().await;
    }

    fn random(&self) -> u64 {
        clock::random()
    }

    /// tokio knows no classes.
    fn spawn(&self, _class: TaskClass, task: impl Future<Output = ()> + 'static) {
        ::tokio::task::spawn_local(task);
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<(ReadHalf, WriteHalf)> {
        split(TcpStream::connect(addr).await?)
    }
}

/// The two halves of a connection. Not tokio's own: dropping its writing half alone would end that direction.
fn split(stream: TcpStream) -> io::Result<(ReadHalf, WriteHalf)> {
    stream.set_nodelay(true)?;
    let stream = Rc::new(stream);
    Ok((ReadHalf(Rc::clone(&stream)), WriteHalf(stream)))
}

/// The receiving direction.
#[derive(Debug)]
pub struct ReadHalf(Rc<TcpStream>);

/// The sending direction.
#[derive(Debug)]
pub struct WriteHalf(Rc<TcpStream>);

impl super::ReadHalf for ReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<usize>> {
        if !room.has_remaining_mut() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to read into")));
        }
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }
}

impl super::WriteHalf for WriteHalf {
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn finish(&self) {
        // The only error is that it is not connected any more, which is what was wanted.
        let _ = socket2::SockRef::from(&*self.0).shutdown(Shutdown::Write);
    }

    fn shutdown(&self) {
        // The only error is that it is not connected any more, which is what was wanted.
        let _ = socket2::SockRef::from(&*self.0).shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests;
