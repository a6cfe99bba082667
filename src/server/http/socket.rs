//! The connection below TLS and HTTP: what was read ahead, and what is gathered to be sent.
//!
//! Small writes are gathered and leave together when the connection's task has nothing more to do for now, so that the
//! frames of many HTTP/2 streams, the records of TLS and the answers to pipelined requests share system calls. Large ones
//! leave at once, behind what was gathered, from where they lie.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};

use super::marks::Marks;
use crate::runtime::room::{Room, fill_spare};
use crate::runtime::{ReadHalf, Runtime, WriteHalf};

/// What is read ahead at a time, of TLS and of HTTP/2: they ask for 4 or 8 KiB, which would be a system call each.
const AHEAD_BYTES: usize = 64 << 10;

/// So much is gathered before it is sent.
const GATHER_BYTES_MAX: usize = 64 << 10;

/// A write of more than this is not copied. A full HTTP/2 frame is below it.
const SMALL_BYTES_MAX: usize = 20 << 10;

/// Slices that one write takes; hyper brings up to 64.
const SLICES_MAX: usize = 65;

/// A connection. Its borrows last for one poll at most.
pub(super) struct Socket<R: Runtime> {
    reader: RefCell<R::ReadHalf>,
    writer: RefCell<R::WriteHalf>,
    ahead: RefCell<BytesMut>,
    gathered: RefCell<BytesMut>,
    marks: Rc<Marks>,
}

impl<R: Runtime> Socket<R> {
    pub(super) fn new((reader, writer): (R::ReadHalf, R::WriteHalf), marks: &Rc<Marks>) -> Rc<Self> {
        Rc::new(Self {
            reader: RefCell::new(reader),
            writer: RefCell::new(writer),
            ahead: RefCell::default(),
            gathered: RefCell::default(),
            marks: Rc::clone(marks),
        })
    }

    fn receive(&self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<usize>> {
        let n = ready!(self.reader.borrow_mut().poll_read(cx, room))?;
        if n > 0 {
            self.marks.received();
        }
        Poll::Ready(Ok(n))
    }

    /// Fills `room`; ready with 0 at the end. With `ahead`, what is small is not asked of the kernel.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, room: &mut Room<'_>, ahead: bool) -> Poll<io::Result<usize>> {
        if ahead && room.remaining_mut() < AHEAD_BYTES {
            ready!(self.poll_read_ahead(cx))?;
        }
        let mut ahead = self.ahead.borrow_mut();
        if ahead.is_empty() {
            return self.receive(cx, room);
        }
        let n = ahead.len().min(room.remaining_mut());
        room.put_slice(&ahead[..n]);
        ahead.advance(n);
        Poll::Ready(Ok(n))
    }

    /// Sees that something was read ahead, unless the stream has ended.
    fn poll_read_ahead(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ahead = self.ahead.borrow_mut();
        if ahead.is_empty() {
            ahead.reserve(AHEAD_BYTES);
            let filled = fill_spare(&mut ahead, |room| self.receive(cx, room));
            if ahead.is_empty() {
                // An idle connection holds no buffer.
                *ahead = BytesMut::new();
            }
            ready!(filled)?;
        }
        Poll::Ready(Ok(()))
    }

    /// The first bytes of what comes, at most as many as `into` takes; they are read again afterwards.
    pub(super) fn poll_first(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = ready!(self.receive(cx, &mut Room::new(into)))?;
        self.ahead.borrow_mut().extend_from_slice(&into[..n]);
        Poll::Ready(Ok(n))
    }

    /// Hands `take` what was read ahead, once there is something; at the end of the stream, nothing. Forgets what `take`
    /// says that it took.
    pub(super) fn poll_ahead<T>(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> io::Result<(usize, T)>,
    ) -> Poll<io::Result<T>> {
        ready!(self.poll_read_ahead(cx))?;
        let mut ahead = self.ahead.borrow_mut();
        let (taken, value) = take(&ahead)?;
        ahead.advance(taken);
        Poll::Ready(Ok(value))
    }

    /// Takes bytes of `slices` to be sent: ready with how many, at least one.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut gathered = self.gathered.borrow_mut();
        if total <= SMALL_BYTES_MAX && gathered.len() + total <= GATHER_BYTES_MAX {
            slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
            return Poll::Ready(Ok(total));
        }
        loop {
            let mut all = [IoSlice::new(&[]); SLICES_MAX];
            let count = slices.len().min(SLICES_MAX - 1);
            all[0] = IoSlice::new(&gathered);
            all[1..=count].copy_from_slice(&slices[..count]);
            let sent = ready!(self.send(cx, &all[..=count]))?;
            let of_gathered = sent.min(gathered.len());
            Self::forget(&mut gathered, of_gathered);
            if sent > of_gathered {
                return Poll::Ready(Ok(sent - of_gathered));
            }
        }
    }

    /// Lets `fill` add to what is gathered, once there is room.
    pub(super) fn poll_gather<T>(
        &self,
        cx: &mut Context<'_>,
        fill: impl FnOnce(&mut BytesMut) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if self.gathered.borrow().len() >= GATHER_BYTES_MAX {
            ready!(self.poll_flush(cx))?;
        }
        Poll::Ready(fill(&mut self.gathered.borrow_mut()))
    }

    /// Sends what was gathered.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.gathered.borrow_mut();
        while !gathered.is_empty() {
            let sent = ready!(self.send(cx, &[IoSlice::new(&gathered)]))?;
            Self::forget(&mut gathered, sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what was sent; an idle connection holds no buffer.
    fn forget(gathered: &mut BytesMut, sent: usize) {
        gathered.advance(sent);
        if gathered.is_empty() {
            *gathered = BytesMut::new();
        }
    }

    fn send(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = self.writer.borrow_mut().poll_write(cx, slices);
        self.marks.wrote(polled.is_ready());
        match ready!(polled)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            sent => Poll::Ready(Ok(sent)),
        }
    }

    /// Whether the node is stopping.
    pub(super) fn is_draining(&self) -> bool {
        self.marks.is_draining()
    }

    /// The other end reads what was sent, then the end.
    pub(super) fn finish(&self) {
        self.writer.borrow().finish();
    }

    /// Takes in and forgets what the client sends, until it ends.
    pub(super) fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 4096];
        while let Ok(1..) = ready!(self.reader.borrow_mut().poll_read(cx, &mut Room::new(&mut bytes))) {}
        Poll::Ready(())
    }
}
