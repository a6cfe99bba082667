//! `millstream serve`: from settings to a running node, and to a clean end.

#![expect(clippy::disallowed_methods, reason = "reads settings before the node runs; nothing here runs on a worker")]

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::catalog::Settings;
use crate::cli::exit::{Exit, Failure};
use crate::cli::kinesis;
use crate::cli::serve::ServeArgs;
use crate::config::{
    Bytes, Config, Descriptors, LogFormat, LogLevel, Memory, Placement, Reserve, Token, VARIABLE_PREFIX, Value as _,
    Wanted,
};
use crate::engine::env::Tuning;
use crate::engine::shard::Identity;
use crate::format::names;
use crate::runtime::glommio::launch::{LaunchError, LaunchOptions, join_all, launch};
use crate::runtime::glommio::{GlommioRuntime, port_becomes_free, port_is_free, preflight, signals};
use crate::server::node::{self, DiskLimit, DiskLimits, NodeError, Options, Report, Seed, Supervisor};

/// Runs a node until it is told to stop.
pub fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    let file_text = match &args.config {
        Some(path) => Some(read_text(path)?),
        None => None,
    };
    let variables = std::env::vars().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
    let loaded = args.load(variables, file_text)?;
    if args.print_config {
        return io::stdout().write_all(loaded.to_toml().as_bytes()).map_err(Failure::from_output);
    }
    let config = loaded.config;
    start_log(&config);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let (options, places, memory) = prepare(&config)?;
    let stop = signals::on_termination().map_err(|error| Failure::new(Exit::Failure, error))?;
    let cpus: Vec<usize> = places.iter().map(|place| usize::from(place.cpu)).collect();
    let launch_options = LaunchOptions {
        cpus: cpus.clone(),
        spin_before_park: Duration::from_micros(config.spin_us.0.into()),
        name: "millstream".to_owned(),
        ..LaunchOptions::default()
    };
    let workers = u16::try_from(places.len()).expect("CPUs are counted in 16 bits");
    let seeds = node::seeds::<GlommioRuntime>(&options, workers).into_iter().map(|seed| {
        let kinesis = options.kinesis.as_ref().map(kinesis::describe);
        let herald = Herald { begun, cpus: cpus.clone(), memory, kinesis, stop: stop.clone() };
        move |rt: GlommioRuntime| run(seed, rt, herald)
    });
    let running = launch(&launch_options, seeds.collect()).map_err(|error| launch_failure(&error))?;
    // A worker that has ended while nobody asked for it has failed, or panicked before it would lie: its shards are gone from
    // the node, so the whole node stops, and whoever started it starts it again.
    let ended = join_all(running, || {
        if stop.requests() == 0 {
            stop.request();
        }
    });
    let mut failures = Vec::new();
    for result in ended {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failures.push(node_failure(&error)),
            Err(error) => failures.push(launch_failure(&error)),
        }
    }
    // One worker says why; the others only say that it did.
    failures.sort_by_key(|failure| failure.messages.is_empty());
    match failures.into_iter().next() {
        None => say("stopped cleanly\n"),
        Some(failure) => Err(failure),
    }
}

async fn run(seed: Seed<GlommioRuntime>, rt: GlommioRuntime, herald: Herald) -> Result<(), NodeError> {
    let stop = herald.stop.clone();
    let result = seed.run(rt, herald).await;
    if result.is_err() {
        // The others must not go on without this one.
        stop.request();
    }
    result
}

/// Checks the machine and turns settings into what the node wants to know.
fn prepare(config: &Config) -> Result<(Options, Vec<Placement>, Memory), Failure> {
    let unfit = |error: preflight::PreflightError| Failure::new(Exit::Failure, error);
    if let Err(error) = preflight::refuse_huge_pages() {
        tracing::debug!(%error, "the kernel may use huge pages");
    }
    preflight::check_io_uring().map_err(unfit)?;
    let online = preflight::online_cpus().map_err(unfit)?;
    let online: Vec<u16> = online.into_iter().filter_map(|cpu| u16::try_from(cpu).ok()).collect();
    let places = config.placement(&online).map_err(|error| Failure::new(Exit::Usage, error))?;
    preflight::check_memlock(places.len()).map_err(unfit)?;
    let descriptors = descriptors(places.len())?;
    let memory = memory(config, places.len())?;
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    if !config.data.exists() {
        std::fs::create_dir(&config.data).map_err(|error| {
            Failure::new(
                Exit::Failure,
                format_args!("cannot create the data directory {}: {error}", config.data.display()),
            )
        })?;
    }
    preflight::check_directory(&config.data).map_err(unfit)?;
    let token = match &config.auth_token_file {
        Some(path) => Some(read_token(path)?.reveal().as_bytes().to_vec()),
        None => None,
    };
    let listen = settle_port(config.listen, "--listen")?;
    let kinesis = kinesis::prepare(config, |addr| settle_port(addr, "--kinesis-listen"))?;
    for place in places.iter().filter(|place| place.direct_port != 0) {
        settle_port(SocketAddr::new(listen.ip(), place.direct_port), "--direct-port")?;
    }
    let options = Options {
        data: config.data.clone(),
        listen,
        direct_ports: places.iter().map(|place| place.direct_port).collect(),
        token,
        stream_defaults: Settings {
            retention_hours: config.stream_retention.0,
            record_bytes_max: config.stream_record_max.0,
            durability: config.stream_durability,
            ..Settings::default()
        },
        disk: DiskLimits {
            warn: disk_limit(config.disk_warn),
            slow: disk_limit(config.disk_slow),
            refuse: disk_limit(config.disk_refuse),
        },
        tuning: Tuning {
            tail_bytes_max: size(memory.tail),
            unsynced_bytes_max: size(memory.unsynced),
            cold_bytes_max: size(memory.cold),
            answers_bytes_max: size(memory.answers),
            arriving_bytes_max: size(memory.arriving),
            open_files_max: descriptors.files,
            connections_max: descriptors.connections,
            ..Tuning::default()
        },
        kinesis,
    };
    Ok((options, places, memory))
}

/// What each of `workers` may use.
fn memory(config: &Config, workers: usize) -> Result<Memory, Failure> {
    let wanted =
        Wanted { memory: config.memory.given(), tail: config.tail_cache.given(), answers: config.answers_max.given() };
    let limit = preflight::memory_limit();
    let memory = Memory::divide(&wanted, limit, workers).map_err(|error| Failure::new(Exit::Usage, error))?;
    let total = memory.total.saturating_mul(workers as u64);
    if let Some(limit) = limit.filter(|limit| total > *limit) {
        tracing::warn!(
            total,
            limit,
            "under full load the workers may use more memory than there is: set `memory`, or start fewer"
        );
    }
    Ok(memory)
}

/// What each of `workers` may have open.
fn descriptors(workers: usize) -> Result<Descriptors, Failure> {
    let limit = preflight::raise_file_limit().map_err(|error| {
        Failure::new(Exit::Failure, format_args!("cannot raise the limit on open files to what is allowed: {error}"))
    })?;
    let descriptors = Descriptors::divide(usize::try_from(limit).unwrap_or(usize::MAX), workers)
        .map_err(|error| Failure::new(Exit::Failure, error))?;
    if !descriptors.is_ample() {
        let Descriptors { files, connections } = descriptors;
        tracing::warn!(limit, files, connections, "few open files are allowed; so many connections each worker serves");
    }
    Ok(descriptors)
}

const fn disk_limit(reserve: Reserve) -> DiskLimit {
    match reserve {
        Reserve::Percent(percent) => DiskLimit::Percent(percent),
        Reserve::Bytes(bytes) => DiskLimit::Bytes(bytes.0),
    }
}

/// How long a port may be taken before that is an error. A node that was killed keeps its ports for some milliseconds after
/// its process is gone, until the kernel has taken its rings apart; who restarts it at once must not fail over that.
const PORT_WAIT: Duration = Duration::from_secs(3);

/// An address to listen on. All workers share one port, so a free one must be found before they start; and sharing would
/// hide that another program has it.
fn settle_port(listen: SocketAddr, flag: &str) -> Result<SocketAddr, Failure> {
    let fail = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => format!("; another program listens there, choose another port with {flag}"),
            _ => String::new(),
        };
        Failure::new(Exit::Failure, format_args!("cannot listen on {listen}: {error}{hint}"))
    };
    if listen.port() == 0 {
        return TcpListener::bind(listen).and_then(|listener| listener.local_addr()).map_err(fail);
    }
    match port_is_free(listen) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            tracing::info!(%listen, "the port is taken; waiting {PORT_WAIT:?} for a killed node to let go of it");
            port_becomes_free(listen, PORT_WAIT).map_err(fail)?;
        }
        other => other.map_err(fail)?,
    }
    Ok(listen)
}

/// Reads the token in a file.
pub fn read_token(path: &Path) -> Result<Token, Failure> {
    Token::from_file_text(&read_text(path)?)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("token file {}: {error}", path.display())))
}

/// The text of a file that a setting names.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("cannot read {}: {error}", path.display())))
}

fn start_log(config: &Config) {
    let level = match config.log_level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_target(false);
    // Fails only if a log was started before: then that one serves.
    let _ = match config.log_format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

fn node_failure(error: &NodeError) -> Failure {
    match error {
        NodeError::Aborted => Failure { exit: Exit::Failure, messages: Vec::new() },
        NodeError::Data(_) | NodeError::Catalog(_) | NodeError::Listen { .. } => Failure::new(Exit::Failure, error),
    }
}

fn launch_failure(error: &LaunchError) -> Failure {
    Failure::new(Exit::Failure, error)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::from_output)
}

/// Tells the operator that the node is ready, and the node that it is to stop.
struct Herald {
    begun: Instant,
    cpus: Vec<usize>,
    memory: Memory,
    /// What is said of the Kinesis API, if it is on.
    kinesis: Option<String>,
    stop: signals::Termination,
}

impl Supervisor for Herald {
    fn ready(&self, report: &Report) {
        let text = describe(report, &self.cpus, &self.memory, self.kinesis.as_deref(), self.begun.elapsed());
        // A closed standard output is no reason not to serve.
        let _ = say(&text);
    }

    async fn stop(&self) {
        self.stop.requested(1).await;
    }
}

/// What the operator reads once the node is ready.
fn describe(report: &Report, cpus: &[usize], memory: &Memory, kinesis: Option<&str>, took: Duration) -> String {
    let Report { node, is_new, listen, direct, streams, opened, data, names: streams_named, kinesis: _ } = report;
    let mut out = String::new();
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let cpus = list(&mut cpus.iter().map(ToString::to_string));
    let direct = list(&mut direct.iter().map(ToString::to_string));
    let found = if *is_new { "new" } else { "found" };
    let mut line = |name: &str, text: String| writeln!(out, "  {name:<9} {text}").expect("a string takes all");
    line("node", format!("{:032x}, term {}, data directory {found}", node.node_id, node.term));
    line("listen", format!("{listen} (native protocol, all workers)"));
    line("direct", format!("{direct} (one per worker, on CPU {cpus})"));
    if let Some(kinesis) = kinesis {
        line("kinesis", kinesis.to_owned());
    }
    let size = |bytes: u64| Bytes(bytes >> 20 << 20).show();
    line(
        "memory",
        format!(
            "at most {} for each worker under full load, {} of it for the newest frames",
            size(memory.total),
            size(memory.tail)
        ),
    );
    line(
        "recovered",
        format!(
            "{streams} streams, {} shards, {} records; {} bytes scanned, {} unfinished writes left behind",
            opened.shards, opened.records, opened.scanned_bytes, opened.cut
        ),
    );
    let shard = |id: &Identity| {
        let stream = streams_named.get(&id.stream).cloned().unwrap_or_else(|| id.stream.to_string());
        format!("{stream}/{} in {}", id.number, names::shard_dir(data, id.group).display())
    };
    for (id, report) in &opened.quarantined {
        for damage in &report.damage {
            line("DAMAGED", format!("{}: {damage}; it takes no puts until `millstream log repair`", shard(id)));
        }
    }
    for (id, reason) in &opened.failed {
        line("FAILED", format!("{}: {reason}; see `millstream log verify` and `millstream log repair`", shard(id)));
    }
    format!("millstream {} is ready after {:.3} s\n{out}", env!("CARGO_PKG_VERSION"), took.as_secs_f64())
}
