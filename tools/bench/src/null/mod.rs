//! The null server: speaks the native protocol and does nothing. What a run reaches against it is what the generator, the
//! client library and the loopback cost, and nothing else.
//!
//! By default the records of a put are received and forgotten: not summed, not copied, not kept. With
//! [`Options::keep_bytes`] each shard keeps the newest frames in memory, so that consumers have something to read; with
//! [`Options::tamper`] and [`Options::stall`] it misbehaves on purpose, which is how the tool is tested.

mod connection;
mod store;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_lite::future::or;
use millstream::runtime::tokio::block_on;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use store::Store;

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Bytes of frames each shard keeps for readers, the newest ones. 0 keeps nothing, and puts cost next to nothing.
    pub keep_bytes: usize,
    /// What it does to records. Only what is kept can be tampered with.
    pub tamper: Tamper,
    /// Everything stops once, for a time.
    pub stall: Option<Stall>,
}

/// Damage on purpose: to the record behind every so many, counted per shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tamper {
    /// None.
    #[default]
    None,
    /// It is acknowledged and not kept.
    Lose(u64),
    /// It is kept twice.
    Duplicate(u64),
    /// It changes places with the record of the same key that came before it, or with its neighbour.
    Reorder(u64),
    /// A bit of its data is flipped, and everything around it is summed anew.
    Corrupt(u64),
}

impl std::str::FromStr for Tamper {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not like lose:1000, duplicate:1000, reorder:1000 or corrupt:1000");
        let (kind, every) = text.split_once(':').ok_or_else(wrong)?;
        let every = every.parse().ok().filter(|every| *every > 0).ok_or_else(wrong)?;
        match kind {
            "lose" => Ok(Self::Lose(every)),
            "duplicate" => Ok(Self::Duplicate(every)),
            "reorder" => Ok(Self::Reorder(every)),
            "corrupt" => Ok(Self::Corrupt(every)),
            _ => Err(wrong()),
        }
    }
}

/// The server's thread sleeps: nothing is received, answered or pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Before the answer to this put, counted from 0 over all shards.
    pub before_put: u64,
    /// How long.
    pub lasts: Duration,
}

/// A null server on a thread of this process. Ends when it is dropped.
#[derive(Debug)]
pub struct NullServer {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NullServer {
    /// Starts it on a free port of the loopback.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("null-server".to_owned()).spawn(move || {
            let served = block_on(async |_| {
                let stopped = async {
                    // An error says that the handle is gone, which means the same.
                    let _ = stopped.await;
                    Ok(())
                };
                or(serve(listener, options), stopped).await
            });
            if let Err(error) = served.and_then(|ended| ended) {
                eprintln!("the null server ended: {error}");
            }
        })?;
        Ok(Self { addr, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Serves until the listener fails. Runs inside [`block_on`].
pub async fn serve(listener: std::net::TcpListener, options: Options) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let store = Rc::new(Store::new(options));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(connection::run(Rc::clone(&store), stream));
    }
}

#[cfg(test)]
mod tests;
