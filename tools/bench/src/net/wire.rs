//! What the two ends say to each other: one order of 16 bytes, then the job.
//!
//! ```text
//!  0  u32  magic "MSBN", little-endian as all numbers
//!  4  u32  job: 1 echo, 2 sink, 3 source
//!  8  u32  bytes of a message or write
//! 12  u32  milliseconds, of a source; else 0
//! ```
//!
//! An echo ends when the client closes; a sink when the client has shut its side, then it answers with the count of bytes
//! as a u64; a source when its time is over.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Largest message or write: 16 MiB, which a server allocates because a stranger says so.
pub const SIZE_MAX: u32 = 16 << 20;

/// Connections answered at a time.
pub const CONNECTIONS_MAX: usize = 16;

/// Longest time a source sends: a day.
const SOURCE_MILLIS_MAX: u32 = 86_400_000;

/// How long a client may be silent before it is taken for gone.
const IDLE_MAX: Duration = Duration::from_secs(60);

const MAGIC: u32 = u32::from_le_bytes(*b"MSBN");

/// What the server is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Send each message back.
    Echo,
    /// Take bytes and count them.
    Sink,
    /// Send bytes.
    Source,
}

/// The first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub job: Job,
    /// Bytes of a message or write.
    pub bytes: u32,
    /// For how long, of a source.
    pub millis: u32,
}

impl Order {
    /// Bytes of an order.
    pub const LEN: usize = 16;

    /// As sent.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LEN] {
        let job = match self.job {
            Job::Echo => 1_u32,
            Job::Sink => 2,
            Job::Source => 3,
        };
        let mut bytes = [0; Self::LEN];
        for (field, value) in bytes.chunks_exact_mut(4).zip([MAGIC, job, self.bytes, self.millis]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// As received.
    ///
    /// # Errors
    /// `InvalidData` if it is not an order, or one beyond the limits.
    pub fn decode(bytes: [u8; Self::LEN]) -> io::Result<Self> {
        let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let refused = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
        if field(0) != MAGIC {
            return refused("not a millstream-bench net client");
        }
        let job = match field(4) {
            1 => Job::Echo,
            2 => Job::Sink,
            3 => Job::Source,
            _ => return refused("an unknown job"),
        };
        let order = Self { job, bytes: field(8), millis: field(12) };
        if !(1..=SIZE_MAX).contains(&order.bytes) {
            return refused("a size beyond the limit");
        }
        if order.millis > SOURCE_MILLIS_MAX {
            return refused("a time beyond the limit");
        }
        Ok(order)
    }
}

/// Does what the client orders, until it is done.
///
/// # Errors
/// What the connection says, or that the order is none.
pub fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    let mut order = [0; Order::LEN];
    stream.read_exact(&mut order)?;
    let order = Order::decode(order)?;
    match order.job {
        Job::Echo => echo(&mut stream, order.bytes),
        Job::Sink => {
            let counted = drain(&mut stream, order.bytes)?;
            stream.write_all(&counted.to_le_bytes())
        }
        Job::Source => {
            let buffer = vec![0x5a; order.bytes as usize];
            let (start, time) = (Instant::now(), Duration::from_millis(order.millis.into()));
            while start.elapsed() < time {
                stream.write_all(&buffer)?;
            }
            Ok(())
        }
    }
}

fn echo(stream: &mut TcpStream, bytes: u32) -> io::Result<()> {
    let mut message = vec![0; bytes as usize];
    loop {
        // The end between two messages is the end of the job; within one it is an error.
        let first = stream.read(&mut message)?;
        if first == 0 {
            return Ok(());
        }
        stream.read_exact(&mut message[first..])?;
        stream.write_all(&message)?;
    }
}

/// Reads to the end and counts.
///
/// # Errors
/// What the connection says.
pub fn drain(stream: &mut TcpStream, bytes: u32) -> io::Result<u64> {
    let mut buffer = vec![0; bytes as usize];
    let mut counted = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(counted),
            n => counted += n as u64,
        }
    }
}
