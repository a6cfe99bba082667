//! TLS between the socket and HTTP. rustls has no sockets: it is fed what was read ahead, and what it wants to send is
//! gathered. Nothing here waits but for the socket.

use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use futures_rustls::rustls::{ServerConfig, ServerConnection};

use super::socket::Socket;
use crate::runtime::Runtime;

/// The first byte of every TLS connection: a handshake record. No HTTP request begins with it.
pub(super) const FIRST_BYTE: u8 = 0x16;

/// One side of a TLS connection.
pub(super) struct Tls {
    // Boxed: it is a kilobyte, and most connections have none.
    session: Box<ServerConnection>,
}

impl Tls {
    /// Shakes hands.
    ///
    /// # Errors
    /// What the client said that it should not have, or did not say; it has been told, or will be by the next flush.
    pub(super) async fn accept<R: Runtime>(config: Arc<ServerConfig>, socket: &Socket<R>) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut tls = Self { session: Box::new(session) };
        poll_fn(|cx| {
            while tls.session.is_handshaking() {
                if ready!(tls.poll_feed(cx, socket))? == 0 {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof)));
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        Ok(tls)
    }

    /// Takes in ciphertext; ready with how much, 0 at the end of the stream.
    fn poll_feed<R: Runtime>(&mut self, cx: &mut Context<'_>, socket: &Socket<R>) -> Poll<io::Result<usize>> {
        let session = &mut self.session;
        let fed = ready!(socket.poll_ahead(cx, |mut ahead| {
            let n = session.read_tls(&mut ahead)?;
            Ok((n, n))
        }))?;
        let processed = session.process_new_packets();
        // Also when it failed: an alert says why.
        ready!(self.poll_gather(cx, socket))?;
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Poll::Ready(Ok(fed))
    }

    /// Hands what rustls wants to send to the socket.
    fn poll_gather<R: Runtime>(&mut self, cx: &mut Context<'_>, socket: &Socket<R>) -> Poll<io::Result<()>> {
        if !self.session.wants_write() {
            return Poll::Ready(Ok(()));
        }
        socket.poll_gather(cx, |gathered| {
            while self.session.wants_write() {
                self.session.write_tls(&mut Gather(gathered))?;
            }
            Ok(())
        })
    }

    /// Fills `room` with plaintext; ready with 0 at the end.
    pub(super) fn poll_read<R: Runtime>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket<R>,
        room: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut reader = self.session.reader();
            match reader.fill_buf() {
                Ok(plain) => {
                    let n = plain.len().min(room.remaining_mut());
                    room.put_slice(&plain[..n]);
                    reader.consume(n);
                    return Poll::Ready(Ok(n));
                }
                // The client has gone without saying so. HTTP tells by itself whether something is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_feed(cx, socket))?;
        }
    }

    /// Takes plaintext of `slices` to be sent: ready with how much, at least one byte.
    pub(super) fn poll_write<R: Runtime>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Socket<R>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let session = &mut self.session;
        socket.poll_gather(cx, |gathered| {
            let n = session.writer().write_vectored(slices)?;
            while session.wants_write() {
                session.write_tls(&mut Gather(gathered))?;
            }
            Ok(n)
        })
    }

    /// Says that nothing more will be sent.
    pub(super) fn poll_close<R: Runtime>(&mut self, cx: &mut Context<'_>, socket: &Socket<R>) -> Poll<io::Result<()>> {
        self.session.send_close_notify();
        self.poll_gather(cx, socket)
    }
}

/// Appends.
struct Gather<'a>(&'a mut BytesMut);

impl Write for Gather<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.reserve(slices.iter().map(|slice| slice.len()).sum());
        Ok(slices.iter().map(|slice| self.0.extend_from_slice(slice)).zip(slices).map(|((), slice)| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
