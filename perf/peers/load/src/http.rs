//! The same HTTP request again and again, for servers of the Kinesis API: one request at a time on each connection. The cheapest
//! client there is, so that the server is what is measured: of an answer it reads the head, and has the kernel throw the
//! body away (`MSG_TRUNC`), which spares the copy.
//!
//! Every answer must have status 200 and a body about as long as the first one's; any other ends the run. What the first
//! one says is for the caller to look at.

use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::report::{CpuTime, CpuUse};
use crate::{Error, options};

/// A request that takes longer ends the run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that are thrown away by one call at most.
const DISCARD_BYTES: usize = 1 << 20;

/// A head that is longer is no answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Args {
    /// Where the server is.
    address: SocketAddr,
    /// The whole request, head and body.
    request: PathBuf,
    /// Connections, each with a thread of its own.
    connections: usize,
    /// Time measured.
    seconds: f64,
    /// Time before it.
    warm_up: f64,
    /// The server's process.
    server_pid: Option<u32>,
}

impl Args {
    /// The words behind `http`.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Error> {
        let (Some(address), Some(request)) = (args.next(), args.next()) else {
            return Err("usage: peers-load http ADDRESS REQUEST-FILE [name value]...".into());
        };
        let mut parsed = Self {
            address: address.parse()?,
            request: request.into(),
            connections: 8,
            seconds: 10.0,
            warm_up: 2.0,
            server_pid: None,
        };
        options(args, |name, value| {
            match name {
                "connections" => parsed.connections = value.parse::<usize>()?.max(1),
                "seconds" => parsed.seconds = value.parse()?,
                "warm-up" => parsed.warm_up = value.parse()?,
                "server-pid" => parsed.server_pid = Some(value.parse()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(parsed)
    }
}

/// What all connections share.
#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
}

/// Runs the load; the figures as one JSON object.
pub fn run(args: &Args) -> Result<String, Error> {
    let request = std::fs::read(&args.request)?;
    let shared = Shared::default();
    std::thread::scope(|scope| {
        let start = || scope.spawn(|| connection(args.address, &request, &shared));
        let connections: Vec<_> = (0..args.connections).map(|_| start()).collect();
        let failed = || connections.iter().any(std::thread::ScopedJoinHandle::is_finished);
        wait(Duration::from_secs_f64(args.warm_up), failed);
        let (begun, cpu) = (Instant::now(), CpuTime::now(args.server_pid));
        let (requests, bytes) = (shared.requests.load(Relaxed), shared.bytes.load(Relaxed));
        wait(Duration::from_secs_f64(args.seconds), failed);
        let (requests, bytes) = (shared.requests.load(Relaxed) - requests, shared.bytes.load(Relaxed) - bytes);
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), CpuTime::now(args.server_pid).since(&cpu));
        shared.stop.store(true, Relaxed);
        for connection in connections {
            connection.join().map_err(|_| "a connection panicked")??;
        }
        let CpuUse { client, server } = cpu;
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.3}"));
        Ok(format!(
            "{{\"requests\":{requests},\"seconds\":{seconds:.3},\"answer_bytes\":{bytes},\"client_cpu\":{},\"server_cpu\":{}}}",
            number(client),
            number(server),
        ))
    })
}

/// Waits, but no longer than until a connection has ended before its time.
fn wait(time: Duration, failed: impl Fn() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end && !failed() {
        std::thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
    }
}

fn connection(address: SocketAddr, request: &[u8], shared: &Shared) -> io::Result<()> {
    let mut connection = Connection::open(address)?;
    let mut usual = None;
    while !shared.stop.load(Relaxed) {
        connection.socket.write_all(request)?;
        let bytes = connection.answer()?;
        let usual = *usual.get_or_insert(bytes);
        // A time or a number in it may have a digit more.
        if bytes.abs_diff(usual) > 64 {
            return Err(io::Error::other(format!("an answer of {bytes} bytes, the first had {usual}")));
        }
        shared.requests.fetch_add(1, Relaxed);
        shared.bytes.fetch_add(bytes, Relaxed);
    }
    Ok(())
}

struct Connection {
    socket: Socket,
    /// Bytes that were received and not looked at yet.
    head: Vec<u8>,
    discarded: Box<[MaybeUninit<u8>]>,
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.connect(&SockAddr::from(address))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, head: Vec::new(), discarded: Box::new_uninit_slice(DISCARD_BYTES) })
    }

    /// Takes an answer; the bytes of its body.
    fn answer(&mut self) -> io::Result<u64> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(format!("answered `{status}`")));
        }
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().map_err(io::Error::other)?);
            }
        }
        match length {
            Some(length) => {
                self.discard(length)?;
                Ok(length)
            }
            None => self.chunks(),
        }
    }

    /// A body whose length nobody said in advance.
    fn chunks(&mut self) -> io::Result<u64> {
        let mut bytes = 0;
        loop {
            let line = self.until(b"\r\n")?;
            let size = std::str::from_utf8(&line).map_err(io::Error::other)?;
            let size = size.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            self.discard(size + 2)?;
            bytes += size;
            if size == 0 {
                return Ok(bytes);
            }
        }
    }

    /// Takes bytes up to and with `end`.
    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.head.windows(end.len()).position(|bytes| bytes == end) {
                let rest = self.head.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.head, rest));
            }
            if self.head.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("no end of the head"));
            }
            // Little: what of the body comes with it is copied in vain.
            let mut some = [0; 2048];
            let n = io::Read::read(&mut self.socket, &mut some)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.head.extend_from_slice(&some[..n]);
        }
    }

    /// Throws bytes away, those received already first.
    fn discard(&mut self, bytes: u64) -> io::Result<()> {
        let here = self.head.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.head.drain(..here);
        let mut left = bytes - here as u64;
        while left > 0 {
            let room = usize::try_from(left).map_or(DISCARD_BYTES, |left| left.min(DISCARD_BYTES));
            match self.socket.recv_with_flags(&mut self.discarded[..room], libc::MSG_TRUNC) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => left -= n as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
