//! The handles that tasks have: listeners and the halves of connections.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BufMut;

use crate::runtime::room::Room;
use crate::runtime::{Listener, ReadHalf, WriteHalf};
use crate::sim::net::conn::Conn;
use crate::sim::process::Process;
use crate::sim::slot::Slot;

/// One side of a connection, shared by its halves.
struct End {
    process: Process,
    conn: u64,
    side: usize,
    peer: SocketAddr,
}

impl Drop for End {
    fn drop(&mut self) {
        // A crash ended it already.
        if self.process.is_alive() {
            let core = &self.process.core;
            self.process.note("close", [self.conn, self.side as u64], None);
            core.with_net(|net, wakers| net.close(core, self.conn, self.side, wakers));
        }
    }
}

/// The reading half of a simulated connection.
pub struct SimReadHalf(Rc<End>);

/// The writing half of a simulated connection.
pub struct SimWriteHalf(Rc<End>);

/// The halves of one side of a connection.
pub(super) fn halves(process: &Process, conn: u64, side: usize, peer: SocketAddr) -> (SimReadHalf, SimWriteHalf) {
    let end = Rc::new(End { process: process.clone(), conn, side, peer });
    (SimReadHalf(Rc::clone(&end)), SimWriteHalf(end))
}

impl ReadHalf for SimReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut Room<'_>) -> Poll<io::Result<usize>> {
        assert!(room.has_remaining_mut(), "no room to read into");
        let End { process, conn, side, .. } = &*self.0;
        if !process.is_alive() {
            return Poll::Pending;
        }
        let before = room.filled().len();
        let core = &process.core;
        let read = core.with_net(|net, wakers| net.read(*conn, *side, room, cx.waker(), wakers));
        let Some(result) = read else { return Poll::Pending };
        let contents = match &result {
            Ok(count) => xxhash_rust::xxh3::xxh3_64(&room.filled()[before..]) ^ *count as u64,
            Err(_) => u64::MAX,
        };
        process.note("receive", [*conn, contents], None);
        Poll::Ready(result)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.peer)
    }
}

impl WriteHalf for SimWriteHalf {
    fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let End { process, conn, side, .. } = &*self.0;
        if !process.is_alive() {
            return Poll::Pending;
        }
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let core = &process.core;
        let sent = core.net.borrow_mut().write(core, *conn, *side, slices, cx.waker());
        let Some(sent) = sent else { return Poll::Pending };
        process.note("send", [*conn, sent.as_ref().map_or(0, |count| *count as u64)], None);
        Poll::Ready(sent)
    }

    fn finish(&self) {
        self.0.end("finish", false);
    }

    fn shutdown(&self) {
        self.0.end("shutdown", true);
    }
}

impl End {
    fn end(&self, what: &'static str, both: bool) {
        let Self { process, conn, side, .. } = self;
        if process.is_alive() {
            process.note(what, [*conn, *side as u64], None);
            process.core.with_net(|net, wakers| net.end(&process.core, *conn, *side, both, wakers));
        }
    }
}

/// A listener of a simulated host.
pub struct SimListener {
    process: Process,
    number: u64,
    addr: SocketAddr,
}

impl Listener for SimListener {
    type ReadHalf = SimReadHalf;
    type WriteHalf = SimWriteHalf;

    async fn accept(&self) -> io::Result<(SimReadHalf, SimWriteHalf)> {
        self.process.alive().await;
        let core = &self.process.core;
        let conn = poll_fn(|cx| {
            if !self.process.is_alive() {
                return Poll::Pending;
            }
            core.net.borrow_mut().accept(self.number, cx.waker()).map_or(Poll::Pending, Poll::Ready)
        })
        .await?;
        self.process.note("accept", [conn, u64::from(self.addr.port())], None);
        let peer = core.net.borrow_mut().conn(conn).map(|stream| stream.sides[Conn::CLIENT].addr);
        let peer = peer.expect("a connection in the backlog is held");
        Ok(halves(&self.process, conn, Conn::SERVER, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.process.is_alive() {
            let core = &self.process.core;
            core.with_net(|net, wakers| net.unlisten(core, self.number, wakers));
        }
    }
}

/// Takes an attempt to connect back when its future is dropped.
struct Attempting<'a> {
    process: &'a Process,
    number: u64,
}

impl Drop for Attempting<'_> {
    fn drop(&mut self) {
        let forgotten = self.process.core.net.borrow_mut().forget_attempt(self.number);
        drop(forgotten);
    }
}

impl Process {
    /// Listens on an address.
    pub(crate) fn listen(&self, addr: SocketAddr, shared: bool) -> io::Result<SimListener> {
        if !self.is_alive() {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let number = self.core.number();
        let addr = self.core.net.borrow_mut().listen(number, self.host, addr, shared)?;
        self.note("listen", [number, u64::from(addr.port())], None);
        Ok(SimListener { process: self.clone(), number, addr })
    }

    /// Connects to an address.
    pub(crate) async fn connect(&self, addr: SocketAddr) -> io::Result<(SimReadHalf, SimWriteHalf)> {
        self.alive().await;
        let (number, slot) = (self.core.number(), Slot::new());
        self.note("connect", [number, u64::from(addr.port())], None);
        self.core.net.borrow_mut().connect(self, number, addr, Rc::clone(&slot))?;
        let _attempting = Attempting { process: self, number };
        slot.wait().await
    }
}
