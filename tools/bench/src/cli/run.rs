//! `run`: a workload against a server.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::exit;
use crate::driver::kinesis::{self, Kinesis};
use crate::driver::native::NativeDriver;
use crate::driver::{Driver, Target};
use crate::findmax::find_max;
use crate::live::Live;
use crate::node::{Node, NodeOptions};
use crate::result::{Metric, Objective, RunResult, Sweep};
use crate::run::{self, Observer, Setup};
use crate::units::{Rate, Size, Time};
use crate::workload::Workload;
use crate::workload::presets::preset;
use crate::{hlog, report, summary};

const EXAMPLES: &str = "\
Examples:
  millstream-bench run --preset smoke --start-node
  millstream-bench run --preset latency --node 127.0.0.1:4566 --rate 5k --duration 1m
  millstream-bench run --preset latency --find-max --p99 5ms --start-node
  millstream-bench run --preset throughput --set batch.bytes=256KiB --set records.size.bytes=100
  millstream-bench run --workload mine.toml --json mine.json

Any value of a workload can be set by its path in the TOML form: see `millstream-bench presets latency`.";

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The workload: a preset.
    #[arg(long, value_name = "NAME", conflicts_with = "workload")]
    preset: Option<String>,
    /// The workload: a TOML file.
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// Set a value of the workload, as load.schedule.rate=5k. May be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Records per second, all producers together.
    #[arg(long)]
    rate: Option<Rate>,
    /// Time measured.
    #[arg(long)]
    duration: Option<Time>,
    /// Time before measuring starts.
    #[arg(long)]
    warmup: Option<Time>,
    /// Bytes of data of each record.
    #[arg(long, value_name = "SIZE")]
    record_size: Option<Size>,
    /// Shards of the stream.
    #[arg(long)]
    shards: Option<u32>,
    /// Producers.
    #[arg(long)]
    producers: Option<u32>,
    /// Groups of consumers; each reads everything.
    #[arg(long)]
    groups: Option<u32>,
    /// How consumers read: poll, long-poll or push.
    #[arg(long, value_name = "MODE", value_parser = ["poll", "long-poll", "push"])]
    read: Option<String>,
    /// A closed loop with this many records in flight, instead of a schedule. Shows what a server takes at most; its
    /// latencies are not those of a user.
    #[arg(long, value_name = "IN_FLIGHT", conflicts_with = "rate")]
    closed: Option<u32>,

    /// Address of the node.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4566", conflicts_with = "start_node")]
    node: String,
    /// Instead of a node: an endpoint that speaks the Kinesis API, as http://127.0.0.1:4567. Consumers poll then,
    /// unless --read push is given: then they are registered, and SubscribeToShard brings the records.
    /// Credentials and region come from the environment, as AWS_ACCESS_KEY_ID; without them requests are signed with
    /// made-up ones.
    #[arg(long, value_name = "URL", conflicts_with_all = ["node", "start_node", "auth_token_file"])]
    kinesis: Option<String>,
    /// File with the token that the node wants to see.
    #[arg(long, value_name = "FILE")]
    auth_token_file: Option<PathBuf>,
    /// Start a node for the run: this binary, or the one beside this program.
    #[arg(long, value_name = "BINARY", num_args = 0..=1)]
    start_node: Option<Option<PathBuf>>,
    /// Data directory of the node that is started. [default: a new one here, removed in the end]
    #[arg(long, value_name = "DIR", requires = "start_node")]
    node_dir: Option<PathBuf>,
    /// An argument for the node that is started. May be repeated.
    #[arg(long, value_name = "ARG", requires = "start_node", allow_hyphen_values = true)]
    node_arg: Vec<String>,
    /// Process of the node, to measure what it uses. Known for a node that is started.
    #[arg(long, value_name = "PID", conflicts_with = "start_node")]
    node_pid: Option<u32>,
    /// Name of the stream. [default: one of the run's own]
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The stream exists already; readers begin at its end, and it is left there.
    #[arg(long, requires = "stream")]
    existing: bool,
    /// Leave the stream in the end.
    #[arg(long)]
    keep_stream: bool,

    /// Search the highest rate that holds an objective, from the workload's rate on.
    #[arg(long)]
    find_max: bool,
    /// The objective: this percentile ...
    #[arg(long, default_value_t = 99.0)]
    percentile: f64,
    /// ... of this latency: put-ack or put-to-get ...
    #[arg(long, default_value = "put-ack", value_parser = ["put-ack", "put-to-get"])]
    metric: String,
    /// ... is at most this. Without --find-max a run that misses it exits with 5.
    #[arg(long, value_name = "TIME", alias = "p99")]
    objective: Option<Time>,
    /// The search ends when it is this close, as a share.
    #[arg(long, default_value_t = 0.05)]
    precision: f64,

    /// What to call this run in reports.
    #[arg(long)]
    label: Option<String>,
    /// Do not measure the generator against the null server first.
    #[arg(long)]
    no_calibration: bool,
    /// Write the result as JSON to this file; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report to this file: one HTML page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write HdrHistogram logs to STEM.put-ack.hlog and so on; not of a search.
    #[arg(long, value_name = "STEM", conflicts_with = "find_max")]
    hlog: Option<PathBuf>,
}

impl RunArgs {
    fn workload(&self) -> Result<Workload> {
        let base = match (&self.preset, &self.workload) {
            (Some(name), _) => preset(name)?,
            (None, Some(file)) => {
                let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
                Workload::from_toml(&text).with_context(|| format!("{}", file.display()))?
            }
            (None, None) => Workload::default(),
        };
        let mut workload = base;
        if let Some(rate) = self.rate {
            workload.load.closed = None;
            workload.load.schedule = workload.load.schedule.at_rate(rate.0);
        }
        // The API has no way to wait for records.
        let polls = self.kinesis.is_some().then(|| "read.mode=poll".to_owned());
        let flags = [
            polls,
            self.duration.map(|value| format!("duration={value}")),
            self.warmup.map(|value| format!("warmup={value}")),
            self.record_size.map(|value| format!("records.size={{kind='fixed', bytes='{value}'}}")),
            self.shards.map(|value| format!("stream.shards={value}")),
            self.producers.map(|value| format!("load.producers={value}")),
            self.groups.map(|value| format!("read.groups={value}")),
            self.read.as_ref().map(|value| format!("read.mode={value}")),
            self.closed.map(|value| format!("load.closed.in_flight={value}")),
        ];
        let changes: Vec<_> = flags.into_iter().flatten().chain(self.set.iter().cloned()).collect();
        workload.with(&changes)
    }

    fn objective(&self) -> Result<Option<Objective>> {
        let metric = if self.metric == "put-ack" { Metric::PutAck } else { Metric::PutToGet };
        ensure!((0.0..100.0).contains(&self.percentile), "--percentile is from 0 to below 100");
        ensure!(!self.find_max || self.objective.is_some(), "--find-max needs an objective, as --p99 5ms");
        Ok(self.objective.map(|time| Objective { metric, percentile: self.percentile, ns_max: time.0 }))
    }
}

pub(super) fn main(args: RunArgs) -> Result<ExitCode> {
    let workload = args.workload()?;
    let objective = args.objective()?;
    ensure!(
        objective.is_none_or(|objective| objective.metric == Metric::PutAck) || workload.read.groups > 0,
        "put-to-get needs somebody who reads: --groups 1"
    );
    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(exit::ERROR), Arc::clone(&interrupt))?;
        signal_hook::flag::register(signal, Arc::clone(&interrupt))?;
    }
    let token = match &args.auth_token_file {
        Some(file) => fs::read_to_string(file).with_context(|| format!("{}", file.display()))?.trim().into(),
        None => Vec::new(),
    };
    let node = match &args.start_node {
        Some(binary) => {
            let options =
                NodeOptions { binary: binary.clone(), data: args.node_dir.clone(), args: args.node_arg.clone() };
            Some(Node::start(&options)?)
        }
        None => None,
    };
    let addr = match (&args.kinesis, &node) {
        (Some(url), _) => resolve(&kinesis::host_and_port(url)?)?,
        (None, Some(node)) => node.addr(),
        (None, None) => resolve(&args.node)?,
    };
    let target = match &args.kinesis {
        Some(url) => Target::Kinesis { url: url.clone() },
        None => Target::Native { addr, token },
    };
    let mut setup = Setup::new(workload, target);
    setup.command = std::env::args().collect();
    setup.label = args.label.clone();
    setup.existing = args.existing;
    setup.keep_stream = args.keep_stream;
    setup.node_pid = args.node_pid;
    setup.environment =
        crate::env::detect(addr, node.as_ref().map(Node::data), node.as_ref().map(Node::pid).or(args.node_pid));
    setup.calibrate = !args.no_calibration;
    if let Some(stream) = &args.stream {
        setup.stream.clone_from(stream);
    }
    let node = node.map(|node| Arc::new(Mutex::new(node)));
    let code = match &setup.target {
        Target::Native { .. } => measure::<NativeDriver>(&args, &setup, objective, node.as_ref(), &interrupt)?,
        Target::Kinesis { .. } => measure::<Kinesis>(&args, &setup, objective, None, &interrupt)?,
    };
    if let Some(node) = node.and_then(Arc::into_inner) {
        node.into_inner().map_err(|_| anyhow::anyhow!("a fault panicked"))?.stop()?;
    }
    Ok(ExitCode::from(code))
}

fn measure<D: Driver>(
    args: &RunArgs,
    setup: &Setup,
    objective: Option<Objective>,
    node: Option<&Arc<Mutex<Node>>>,
    interrupt: &AtomicBool,
) -> Result<u8> {
    let mut live = Live::stderr();
    let mut logs = args.hlog.as_deref().map(hlog::Writer::new);
    let mut observers: Vec<&mut dyn Observer> = vec![&mut live];
    observers.extend(logs.as_mut().map(|logs| logs as &mut dyn Observer));
    match objective.filter(|_| args.find_max) {
        Some(objective) => {
            let sweep = find_max::<D>(setup, objective, args.precision, node, interrupt, &mut observers)?;
            write_json(args, &sweep)?;
            write_html(args, || report::sweep_page(&sweep))?;
            for probe in &sweep.probes {
                let missed = if probe.missed.is_empty() { "held".to_owned() } else { probe.missed.join("; ") };
                say(args, &format!("{:>12.0}/s  {missed}", probe.rate));
            }
            Ok(found(&sweep))
        }
        None => {
            let result = run::run::<D>(setup, node, interrupt, &mut observers)?;
            write_json(args, &result)?;
            write_html(args, || report::run_page(&result))?;
            if let Some(logs) = logs {
                logs.finish()?;
            }
            say(args, summary::render(&result).trim_end());
            Ok(code(&result, objective))
        }
    }
}

fn write_json(args: &RunArgs, value: &impl serde::Serialize) -> Result<()> {
    let Some(path) = &args.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(value)? + "\n";
    if path.as_os_str() == "-" {
        print!("{text}");
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("{}", path.display()))
}

fn write_html(args: &RunArgs, page: impl FnOnce() -> String) -> Result<()> {
    let Some(path) = &args.html else { return Ok(()) };
    fs::write(path, page()).with_context(|| format!("{}", path.display()))
}

/// On standard output, unless the result goes there.
fn say(args: &RunArgs, text: &str) {
    if args.json.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        eprintln!("{text}");
    } else {
        println!("{text}");
    }
}

/// The exit code of a run: what is worst comes first.
fn code(result: &RunResult, objective: Option<Objective>) -> u8 {
    let missed = objective.is_some_and(|objective| {
        let ns = result.latency.get(objective.metric).percentile(objective.percentile);
        ns.is_none_or(|ns| ns > objective.ns_max)
    });
    match &result.verdict {
        verdict if !verdict.failed.is_empty() => exit::FAILED,
        verdict if !verdict.invalid.is_empty() => exit::INVALID,
        _ if missed => exit::MISSED,
        _ => exit::GOOD,
    }
}

fn found(sweep: &Sweep) -> u8 {
    match sweep.best_rate {
        Some(rate) => eprintln!("highest rate that holds: {rate:.0} records per second"),
        None => eprintln!("no rate holds the objective"),
    }
    if sweep.limited_by_generator {
        eprintln!("the search ended at the limit of the generator, not of the server");
    }
    if sweep.best_rate.is_some() { exit::GOOD } else { exit::MISSED }
}

fn resolve(text: &str) -> Result<SocketAddr> {
    let mut found = text.to_socket_addrs().with_context(|| format!("`{text}` is not an address with a port"))?;
    match found.next() {
        Some(addr) => Ok(addr),
        None => bail!("`{text}` has no address"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::units::Rate;
    use crate::workload::{ReadMode, Schedule};

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: RunArgs,
    }

    fn workload(args: &[&str]) -> Result<Workload> {
        Cli::try_parse_from(["run"].iter().chain(args))?.args.workload()
    }

    /// Goal: flags change a preset, and a rate keeps the kind of its schedule.
    #[test]
    fn flags_change_presets() {
        let args = ["--preset", "latency", "--rate", "5k", "--record-size", "100", "--read", "poll", "--groups", "3"];
        let workload = workload(&args).unwrap();
        assert_eq!(workload.load.schedule, Schedule::Poisson { rate: Rate(5_000.0) });
        assert_eq!((workload.records.size.largest(), workload.read.groups), (100, 3));
        assert_eq!(workload.read.mode, ReadMode::Poll);
        assert!(!workload.is_closed());
    }

    /// Goal: over Kinesis consumers poll, unless something else is asked for.
    #[test]
    fn kinesis_polls() {
        let url = ["--preset", "latency", "--kinesis", "http://127.0.0.1:4567"];
        assert_eq!(workload(&url).unwrap().read.mode, ReadMode::Poll);
        assert_eq!(workload(&[&url[..], &["--read", "push"]].concat()).unwrap().read.mode, ReadMode::Push);
        assert!(workload(&[&url[..], &["--start-node"]].concat()).is_err());
    }

    /// Goal: a rate makes a closed preset open, and a closed loop has to be asked for.
    #[test]
    fn closed_is_explicit() {
        assert!(!workload(&[]).unwrap().is_closed());
        assert!(workload(&["--closed", "64"]).unwrap().is_closed());
        assert!(!workload(&["--preset", "throughput", "--rate", "10k"]).unwrap().is_closed());
        assert!(workload(&["--closed", "64", "--rate", "5"]).is_err());
    }
}
