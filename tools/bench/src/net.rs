//! `millstream-bench net`: what the network between client and server can do, without a node.
//!
//! Without an address it measures loopback, both ends in this process. On a link, one machine runs `net --server` and the
//! other `net --connect ADDR`. Two measurements on one TCP connection each, with blocking sockets and Nagle off:
//!
//! - **round trips**: a message of so many bytes there and back, one at a time. A put that needs no disk cannot be faster.
//! - **bandwidth**: writes of so many bytes in one direction, until the receiver has counted the last byte. Upwards is the
//!   direction of puts, downwards that of reads.
//!
//! Under each row stands the sockperf or iperf3 command that does the same, to check this tool with.

#[cfg(test)]
mod tests;
mod wire;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::wire::{CONNECTIONS_MAX, Job, Order, SIZE_MAX};
use crate::disk::seconds;
use crate::human;
use crate::stats::{Distribution, Histogram};
use crate::table::Table;
use crate::units::Size;

/// Version of [`NetReport`] as JSON.
pub const NET_SCHEMA: u32 = 1;

/// Round trips before a row is measured.
const WARM_UP_TRIPS: usize = 100;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the other end may be silent before the measurement is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The arguments of `net`.
#[derive(Clone, Debug, clap::Args)]
pub struct NetArgs {
    /// Answers measurements of other machines until it is interrupted.
    #[arg(long, conflicts_with_all = ["connect", "json"])]
    pub server: bool,

    /// Measures against a `net --server` at this address; loopback within this process unless given.
    #[arg(long, value_name = "ADDR")]
    pub connect: Option<SocketAddr>,

    /// Where `--server` listens.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:7907")]
    pub listen: SocketAddr,

    /// Bytes of the messages of round trips.
    #[arg(long, value_delimiter = ',', default_value = "64,1KiB,16KiB", value_parser = message_size)]
    pub messages: Vec<u32>,

    /// Bytes of the writes of the bandwidth.
    #[arg(long, value_delimiter = ',', default_value = "64KiB,256KiB,1MiB", value_parser = message_size)]
    pub writes: Vec<u32>,

    /// Seconds per row.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,

    /// Also writes the figures to this file as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Round trips of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// Bytes of a message, the same in both directions.
    pub message_bytes: u32,
    /// Messages there and back per second.
    pub per_second: f64,
    /// Time of one.
    pub latency: Distribution,
    /// The equivalent sockperf command.
    pub equivalent: String,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client to the server, as puts do.
    Up,
    /// From the server to the client, as reads do.
    Down,
}

/// Bandwidth with writes of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bytes of a write.
    pub write_bytes: u32,
    /// Which way.
    pub direction: Direction,
    /// Bytes that arrived.
    pub bytes: u64,
    /// Bytes per second, from the first write until the receiver had the last byte.
    pub bytes_per_second: f64,
    /// The equivalent iperf3 command.
    pub equivalent: String,
}

/// All rows with where they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetReport {
    /// [`NET_SCHEMA`].
    pub schema: u32,
    /// The server's address.
    pub server: SocketAddr,
    /// Where it runs, seen from the client.
    pub placement: String,
    /// Seconds asked for per row.
    pub seconds_per_row: f64,
    /// The round trips.
    pub round_trips: Vec<RoundTrips>,
    /// The bandwidths.
    pub bandwidth: Vec<Bandwidth>,
}

/// Why the network could not be measured.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct NetError {
    /// What was tried.
    what: String,
    /// What the system said.
    source: io::Error,
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> NetError {
    let what = what.into();
    move |source| NetError { what, source }
}

/// Measures and prints, or serves.
///
/// # Errors
/// What [`run`] says.
pub fn main(args: &NetArgs) -> anyhow::Result<ExitCode> {
    let report = run(args)?;
    print!("{}", report.render());
    Ok(ExitCode::SUCCESS)
}

/// Runs as the arguments say: as a server it does not return unless it fails, else it gives the figures.
///
/// # Errors
/// [`NetError`].
pub fn run(args: &NetArgs) -> Result<NetReport, NetError> {
    if args.server {
        let listener = TcpListener::bind(args.listen).map_err(failed(format!("listening on {}", args.listen)))?;
        let addr = listener.local_addr().map_err(failed("the listener"))?;
        eprintln!("answering on {addr}; on the other machine: millstream-bench net --connect ADDRESS:{}", addr.port());
        return Err(failed("accepting")(serve(&listener)));
    }
    let report = match args.connect {
        Some(addr) => measure(args, addr)?,
        None => {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(failed("listening on loopback"))?;
            let addr = listener.local_addr().map_err(failed("the listener"))?;
            // It ends with the process, or when nobody can connect any more.
            thread::spawn(move || serve(&listener));
            measure(args, addr)?
        }
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("numbers and texts");
        fs::write(path, text).map_err(failed(path.display().to_string()))?;
    }
    Ok(report)
}

/// Answers connections until accepting fails.
fn serve(listener: &TcpListener) -> io::Error {
    let mut answering: Vec<thread::JoinHandle<()>> = Vec::new();
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        answering.retain(|thread| !thread.is_finished());
        if answering.len() >= CONNECTIONS_MAX {
            // Closed at once: the client sees an end instead of waiting.
            continue;
        }
        answering.push(thread::spawn(move || {
            let peer = stream.peer_addr();
            if let Err(error) = wire::answer(stream) {
                eprintln!("{}: {error}", peer.map_or_else(|_| "a connection".to_owned(), |peer| peer.to_string()));
            }
        }));
    }
}

fn measure(args: &NetArgs, server: SocketAddr) -> Result<NetReport, NetError> {
    let row_time = Duration::from_secs_f64(args.seconds);
    let mut round_trips = Vec::with_capacity(args.messages.len());
    for &bytes in &args.messages {
        let what = format!("round trips of {bytes} bytes with {server}");
        round_trips.push(measure_trips(server, bytes, row_time).map_err(failed(what))?);
    }
    let mut bandwidth = Vec::with_capacity(args.writes.len() * 2);
    for direction in [Direction::Up, Direction::Down] {
        for &bytes in &args.writes {
            let what = format!("writes of {bytes} bytes with {server}");
            bandwidth.push(measure_bandwidth(server, bytes, direction, row_time).map_err(failed(what))?);
        }
    }
    Ok(NetReport {
        schema: NET_SCHEMA,
        server,
        placement: crate::env::placement(server),
        seconds_per_row: args.seconds,
        round_trips,
        bandwidth,
    })
}

fn connect(server: SocketAddr, order: Order) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(&order.encode())?;
    Ok(stream)
}

fn measure_trips(server: SocketAddr, bytes: u32, row_time: Duration) -> io::Result<RoundTrips> {
    let mut stream = connect(server, Order { job: Job::Echo, bytes, millis: 0 })?;
    let mut message = vec![0x5a; bytes as usize];
    let mut trip = |histogram: Option<&mut Histogram>| {
        let start = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        let taken = start.elapsed();
        if let Some(histogram) = histogram {
            histogram.record(u64::try_from(taken.as_nanos()).unwrap_or(u64::MAX));
        }
        io::Result::Ok(())
    };
    for _ in 0..WARM_UP_TRIPS {
        trip(None)?;
    }
    let mut latency = Histogram::new();
    let start = Instant::now();
    while start.elapsed() < row_time {
        trip(Some(&mut latency))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(RoundTrips {
        message_bytes: bytes,
        per_second: latency.count() as f64 / seconds,
        latency: latency.distribution(),
        equivalent: format!(
            "sockperf server --tcp -i {ip}  and  sockperf ping-pong --tcp -i {ip} -m {bytes} -t {}",
            row_time.as_secs_f64().ceil(),
            ip = server.ip(),
        ),
    })
}

fn measure_bandwidth(
    server: SocketAddr,
    write_bytes: u32,
    direction: Direction,
    row_time: Duration,
) -> io::Result<Bandwidth> {
    let start = Instant::now();
    let bytes = match direction {
        Direction::Up => {
            let mut stream = connect(server, Order { job: Job::Sink, bytes: write_bytes, millis: 0 })?;
            let buffer = vec![0x5a; write_bytes as usize];
            while start.elapsed() < row_time {
                stream.write_all(&buffer)?;
            }
            stream.shutdown(std::net::Shutdown::Write)?;
            let mut counted = [0; 8];
            stream.read_exact(&mut counted)?;
            u64::from_le_bytes(counted)
        }
        Direction::Down => {
            let millis = u32::try_from(row_time.as_millis()).unwrap_or(u32::MAX);
            let mut stream = connect(server, Order { job: Job::Source, bytes: write_bytes, millis })?;
            wire::drain(&mut stream, write_bytes)?
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let reverse = if direction == Direction::Down { " --reverse" } else { "" };
    Ok(Bandwidth {
        write_bytes,
        direction,
        bytes,
        bytes_per_second: bytes as f64 / seconds,
        equivalent: format!(
            "iperf3 --server  and  iperf3 --client {} --no-delay --length {write_bytes} --time {}{reverse}",
            server.ip(),
            row_time.as_secs_f64().ceil(),
        ),
    })
}

impl NetReport {
    /// The tables and under them the commands, as printed.
    #[must_use]
    pub fn render(&self) -> String {
        let mut trips = Table::new(&["round trip", "per second", "p50", "p90", "p99", "p99.9", "max"]);
        for row in &self.round_trips {
            let latency = |p: f64| human::percentile(&row.latency, p);
            trips.row(vec![
                human::binary_bytes(row.message_bytes.into()),
                human::rate(row.per_second),
                latency(50.0),
                latency(90.0),
                latency(99.0),
                latency(99.9),
                human::duration(row.latency.max_ns),
            ]);
        }
        let mut bandwidth = Table::new(&["write", "direction", "bandwidth"]);
        for row in &self.bandwidth {
            bandwidth.row(vec![
                human::binary_bytes(row.write_bytes.into()),
                if row.direction == Direction::Up { "up (puts)" } else { "down (reads)" }.to_owned(),
                human::byte_rate(row.bytes_per_second),
            ]);
        }
        let mut out = format!(
            "One TCP connection with {} ({}), {} s per row\n\n{}{}\n\n{}\nThe same with other tools:\n",
            self.server,
            self.placement,
            self.seconds_per_row,
            trips.render(),
            human::ABSENT_NOTE,
            bandwidth.render(),
        );
        let equivalents = self.round_trips.iter().map(|row| &row.equivalent);
        for line in equivalents.chain(self.bandwidth.iter().map(|row| &row.equivalent)) {
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

fn message_size(text: &str) -> Result<u32, String> {
    let Size(bytes) = text.parse()?;
    match u32::try_from(bytes) {
        Ok(bytes) if (1..=SIZE_MAX).contains(&bytes) => Ok(bytes),
        _ => Err(format!("a size from 1 byte to {}", human::binary_bytes(SIZE_MAX.into()))),
    }
}
