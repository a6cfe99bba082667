//! One load for several servers: the same records, schedule, clock and histogram; only the lines that speak the server's
//! protocol differ. Prints one JSON object. `../run` calls it, in pairs, and makes ratios.
//!
//! ```text
//! peers-load TARGET ADDRESS [name value]...
//!   TARGET      millstream | nats | redis
//!   partitions  ordered logs written to: shards, JetStream streams, Redis streams        1
//!   size        bytes of a record's data, at least 16                                    1000
//!   rate        records per second, evenly spaced: an open loop                          1000
//!   in-flight   instead of a rate: this many unacknowledged records at all times, a closed loop
//!   seconds     measured                                                                 10
//!   warm-up     seconds before that                                                      2
//!   server-pid  process whose CPU time is reported
//! ```
//! or, for servers of the Kinesis API,
//! ```text
//! peers-load http ADDRESS REQUEST-FILE [connections 8] [seconds 10] [warm-up 2] [server-pid PID]
//! ```
//! One thread, one connection for putting and one for getting where the protocol's usual clients have two. The sender waits
//! for a record's time by polling, because timers of a millisecond would be most of what is measured: it keeps its CPU busy
//! in an open loop, so it belongs on another CPU than the server.

mod http;
mod meter;
mod millstream;
mod nats;
mod pace;
mod redis;
mod report;
mod wire;

use std::process::ExitCode;

/// Why a run did not come to its end.
pub type Error = Box<dyn std::error::Error>;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Args {
    /// Which protocol.
    pub target: String,
    /// Where the server is.
    pub address: std::net::SocketAddr,
    /// Ordered logs.
    pub partitions: usize,
    /// Bytes of data of a record.
    pub size: usize,
    /// How records are sent.
    pub pace: pace::Pace,
    /// Time measured.
    pub seconds: f64,
    /// Time before it.
    pub warm_up: f64,
    /// The server's process.
    pub server_pid: Option<u32>,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Error> {
        let (Some(target), Some(address)) = (args.next(), args.next()) else {
            return Err("usage: peers-load TARGET ADDRESS [name value]...".into());
        };
        let mut parsed = Self {
            target,
            address: address.parse()?,
            partitions: 1,
            size: 1000,
            pace: pace::Pace::Rate(1000.0),
            seconds: 10.0,
            warm_up: 2.0,
            server_pid: None,
        };
        options(args, |name, value| {
            match name {
                "partitions" => parsed.partitions = value.parse::<usize>()?.max(1),
                "size" => parsed.size = value.parse::<usize>()?.max(meter::STAMP_BYTES),
                "rate" => parsed.pace = pace::Pace::Rate(value.parse()?),
                "in-flight" => parsed.pace = pace::Pace::InFlight(value.parse::<usize>()?.max(1)),
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

/// Takes words as names with values; `set` says whether there is such a name.
pub fn options(
    mut words: impl Iterator<Item = String>,
    mut set: impl FnMut(&str, &str) -> Result<bool, Error>,
) -> Result<(), Error> {
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{name}` needs a value"))?;
        if !set(&name, &value)? {
            return Err(format!("there is no `{name}`").into());
        }
    }
    Ok(())
}

fn run() -> Result<(), Error> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "http").is_some() {
        println!("{}", http::run(&http::Args::parse(words)?)?);
        return Ok(());
    }
    let args = Args::parse(words)?;
    let report = ::millstream::runtime::tokio::block_on(async |rt| match args.target.as_str() {
        "millstream" => pace::run(&args, millstream::Target::connect(rt, &args).await?).await,
        "nats" => pace::run(&args, nats::Target::connect(&args).await?).await,
        "redis" => pace::run(&args, redis::Target::connect(&args).await?).await,
        other => Err(format!("there is no target `{other}`").into()),
    })??;
    println!("{report}");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers-load: {error}");
            ExitCode::FAILURE
        }
    }
}
