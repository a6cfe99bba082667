//! What hyper reads from and writes to: a socket, with or without TLS, and what was looked at before hyper got it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::rt::ReadBufCursor;

use super::socket::Socket;
use super::tls::Tls;
use crate::runtime::Runtime;
use crate::runtime::room::{Room, fill_cursor};

/// What a client of HTTP/2 sends first, and no client of HTTP/1.1 ever does.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1, or something that HTTP/1.1 has to refuse.
    One,
    /// HTTP/2.
    Two,
}

/// A connection for hyper.
pub(super) struct Wire<R: Runtime> {
    socket: Rc<Socket<R>>,
    tls: Option<Tls>,
    /// Looked at already.
    seen: Bytes,
    /// It speaks HTTP/2, for which hyper reads a little at a time.
    framed: bool,
    closed: bool,
    leaves_end: bool,
}

impl<R: Runtime> Wire<R> {
    pub(super) fn new(socket: &Rc<Socket<R>>, tls: Option<Tls>) -> Self {
        Self { socket: Rc::clone(socket), tls, seen: Bytes::new(), framed: false, closed: false, leaves_end: false }
    }

    /// The end of the connection is left to the client, which ends it once it has read everything: a client of HTTP/2 that
    /// says it goes, as that of JavaScript does after each request, drops what it has not read yet when we end first.
    pub(super) fn leave_end(&mut self) {
        self.leaves_end = true;
    }

    /// Which HTTP the client speaks, whatever was agreed on in the handshake: some clients agree on nothing and speak HTTP/2.
    /// What was read to find out is read again. `None` if the client has left without a word.
    pub(super) async fn version(&mut self) -> io::Result<Option<Version>> {
        let (mut first, mut len) = ([0; PREFACE.len()], 0);
        let version = loop {
            if first[..len] != PREFACE[..len] {
                break Version::One;
            }
            if len == PREFACE.len() {
                break Version::Two;
            }
            let mut room = Room::new(&mut first[len..]);
            let n = match &mut self.tls {
                Some(tls) => poll_fn(|cx| tls.poll_read(cx, &self.socket, &mut room)).await?,
                None => poll_fn(|cx| self.socket.poll_read(cx, &mut room, false)).await?,
            };
            match (n, len) {
                (0, 0) => return Ok(None),
                (0, _) => break Version::One,
                _ => len += n,
            }
        };
        self.seen = Bytes::copy_from_slice(&first[..len]);
        self.framed = version == Version::Two;
        Ok(Some(version))
    }
}

impl<R: Runtime> hyper::rt::Read for Wire<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut cursor: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let Self { socket, tls, seen, framed, .. } = self.get_mut();
        if !seen.is_empty() {
            let n = seen.len().min(cursor.remaining());
            cursor.put_slice(&seen[..n]);
            seen.advance(n);
            if seen.is_empty() {
                *seen = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        ready!(fill_cursor(&mut cursor, |room| match tls {
            Some(tls) => tls.poll_read(cx, socket, room),
            None => socket.poll_read(cx, room, *framed),
        }))?;
        Poll::Ready(Ok(()))
    }
}

impl<R: Runtime> hyper::rt::Write for Wire<R> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, tls, .. } = self.get_mut();
        match tls {
            Some(tls) => tls.poll_write(cx, socket, slices),
            None => socket.poll_write(cx, slices),
        }
    }

    /// Whatever is gathered leaves when the connection's task has nothing more to do for now.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, tls, closed, leaves_end, .. } = self.get_mut();
        if *leaves_end && !socket.is_draining() {
            return socket.poll_flush(cx);
        }
        if let Some(tls) = tls
            && !*closed
        {
            ready!(tls.poll_close(cx, socket))?;
        }
        *closed = true;
        ready!(socket.poll_flush(cx))?;
        socket.finish();
        Poll::Ready(Ok(()))
    }
}
