//! A connection whose writes gather while one is under way, as the usual clients of these servers do it.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// Bytes that may gather before a sender waits.
const OUT_BYTES_MAX: usize = 8 << 20;

/// The sending side.
#[derive(Clone)]
pub struct Writer {
    out: Rc<Out>,
}

#[derive(Default)]
struct Out {
    buffer: RefCell<BytesMut>,
    more: Notify,
    room: Notify,
}

/// The receiving side.
pub struct Reader {
    half: OwnedReadHalf,
    buffer: BytesMut,
}

/// Connects; the writer's task runs until the connection breaks.
pub async fn connect(address: SocketAddr) -> io::Result<(Writer, Reader)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (half, mut sink) = stream.into_split();
    let out = Rc::new(Out::default());
    let writer = Writer { out: Rc::clone(&out) };
    spawn_local(async move {
        loop {
            let bytes = out.buffer.take();
            if bytes.is_empty() {
                out.more.notified().await;
                continue;
            }
            out.room.notify_waiters();
            if sink.write_all(&bytes).await.is_err() {
                // The reader meets the end of the connection too, and says so.
                return;
            }
        }
    });
    Ok((writer, Reader { half, buffer: BytesMut::with_capacity(1 << 20) }))
}

impl Writer {
    /// Queues what `write` appends.
    pub async fn send(&self, write: impl FnOnce(&mut BytesMut)) {
        while self.out.buffer.borrow().len() > OUT_BYTES_MAX {
            self.out.room.notified().await;
        }
        write(&mut self.out.buffer.borrow_mut());
        self.out.more.notify_one();
    }
}

impl Reader {
    /// The next line, without its end.
    pub async fn line(&mut self) -> io::Result<BytesMut> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(searched + at);
                self.buffer.advance(2);
                return Ok(line);
            }
            searched = self.buffer.len().saturating_sub(1);
            self.fill().await?;
        }
    }

    /// The next `len` bytes, and the line end behind them.
    pub async fn block(&mut self, len: usize) -> io::Result<BytesMut> {
        while self.buffer.len() < len + 2 {
            self.fill().await?;
        }
        let block = self.buffer.split_to(len);
        self.buffer.advance(2);
        Ok(block)
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(64 << 10);
        match self.half.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
