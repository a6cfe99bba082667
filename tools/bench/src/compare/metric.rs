//! What is compared of runs, and what has to be alike.

use std::collections::BTreeMap;

use crate::human;
use crate::result::{RunResult, Sweep};
use crate::summary;

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// Something that is compared.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as in `--gate`.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Which direction is good.
    pub better: Better,
    /// The figure of a run, if it has one.
    of: fn(&RunResult) -> Option<f64>,
    /// As text.
    pub show: fn(f64) -> String,
}

const fn rate(
    name: &'static str,
    what: &'static str,
    of: fn(&RunResult) -> Option<f64>,
    show: fn(f64) -> String,
) -> Metric {
    Metric { name, what, better: Better::Higher, of, show }
}

const fn cost(
    name: &'static str,
    what: &'static str,
    of: fn(&RunResult) -> Option<f64>,
    show: fn(f64) -> String,
) -> Metric {
    Metric { name, what, better: Better::Lower, of, show }
}

fn duration(ns: f64) -> String {
    human::duration(ns.round() as u64)
}

fn count(value: f64) -> String {
    human::count(value.round() as u64)
}

macro_rules! percentile {
    ($latency:ident, $p:literal) => {
        |run| run.latency.$latency.percentile($p).map(|ns| ns as f64)
    };
}

fn read(run: &RunResult, of: fn(&crate::result::ReadTotals) -> f64) -> Option<f64> {
    (!run.read.is_empty()).then(|| run.read.iter().map(of).sum())
}

/// The name of the one figure of a search.
const BEST_RATE: &str = "best_rate";

/// Everything that is compared, in the order shown.
pub const METRICS: [Metric; 14] = [
    rate(BEST_RATE, "of a search: the highest rate that held", |_| None, human::rate),
    rate("put_records_per_s", "records acknowledged per second", |run| Some(run.put.records_per_s), human::rate),
    rate("put_bytes_per_s", "data acknowledged per second", |run| Some(run.put.bytes_per_s), human::byte_rate),
    rate(
        "read_records_per_s",
        "records read per second, all groups",
        |run| read(run, |read| read.records_per_s),
        human::rate,
    ),
    rate(
        "read_bytes_per_s",
        "data read per second, all groups",
        |run| read(run, |read| read.bytes_per_s),
        human::byte_rate,
    ),
    cost("put_ack_p50", "from the intended time to the acknowledgement", percentile!(put_ack, 50.0), duration),
    cost("put_ack_p99", "the same", percentile!(put_ack, 99.0), duration),
    cost("put_ack_p99.9", "the same", percentile!(put_ack, 99.9), duration),
    cost("put_to_get_p50", "from the intended time to a consumer", percentile!(put_to_get, 50.0), duration),
    cost("put_to_get_p99", "the same", percentile!(put_to_get, 99.0), duration),
    cost("put_to_get_p99.9", "the same", percentile!(put_to_get, 99.9), duration),
    cost(
        "put_errors",
        "records refused, or without a known outcome",
        |run| Some((run.put.failed + run.put.unknown + run.put.unresolved) as f64),
        count,
    ),
    cost("node_cpu_ns_per_record", "CPU time of the node per record acknowledged", node_cpu, duration),
    cost(
        "node_rss_bytes",
        "memory of the node at the end",
        |run| run.node.as_ref().map(|node| node.rss_bytes as f64),
        human::decimal_bytes,
    ),
];

fn node_cpu(run: &RunResult) -> Option<f64> {
    let node = run.node.as_ref()?;
    (run.put.acked > 0).then(|| node.cpu_s * 1e9 / run.put.acked as f64)
}

/// One run, or one search, as far as it is compared.
#[derive(Clone, Debug)]
pub struct Sample {
    values: BTreeMap<&'static str, f64>,
    /// The run's number.
    pub id: u64,
    /// Why it must not be compared.
    pub bad: Option<String>,
    /// Its load was closed.
    pub closed: bool,
    /// What has to be the same on both sides.
    conditions: Vec<(&'static str, String)>,
}

impl Sample {
    /// Of a run.
    #[must_use]
    pub fn of_run(run: &RunResult) -> Self {
        let values = METRICS.iter().filter_map(|metric| Some((metric.name, (metric.of)(run)?)));
        let why: Vec<_> = run.verdict.failed.iter().chain(&run.verdict.invalid).map(String::as_str).collect();
        Self {
            values: values.collect(),
            id: run.run_id,
            bad: (!run.verdict.is_good()).then(|| format!("{}: {}", summary::verdict_word(run), why.join("; "))),
            closed: run.verdict.closed_loop,
            conditions: conditions(run),
        }
    }

    /// Of a search: its rate alone. The runs in it are at rates of its own choice.
    #[must_use]
    pub fn of_sweep(sweep: &Sweep) -> Self {
        let mut conditions = vec![("objective", summary::objective(&sweep.objective))];
        if let Some(probe) = sweep.probes.first() {
            let rated = self::conditions(&probe.run);
            conditions.extend(rated.into_iter().filter(|(name, _)| *name != "workload"));
        }
        Self {
            values: sweep.best_rate.map(|rate| (BEST_RATE, rate)).into_iter().collect(),
            id: sweep.probes.first().map_or(0, |probe| probe.run.run_id),
            bad: sweep.limited_by_generator.then(|| "the search ended at what the generator can do".to_owned()),
            closed: false,
            conditions,
        }
    }

    /// The figure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }

    /// In what another one is not like this one: name, this one's, the other's.
    pub fn unlike<'a>(&'a self, other: &'a Self) -> Vec<(&'static str, &'a str, &'a str)> {
        let of = |sample: &'a Self, name: &str| {
            sample.conditions.iter().find(|(own, _)| *own == name).map_or("-", |(_, value)| value.as_str())
        };
        let mut names: Vec<_> = self.conditions.iter().chain(&other.conditions).map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        let pairs = names.into_iter().map(|name| (name, of(self, name), of(other, name)));
        pairs.filter(|(_, own, other)| own != other).collect()
    }
}

/// Versions of server and tool may differ: that is what one compares.
fn conditions(run: &RunResult) -> Vec<(&'static str, String)> {
    let mut workload = run.workload.clone();
    workload.description.clear();
    workload.seed = 0;
    let text = toml::to_string(&workload).unwrap_or_default();
    let fact = |name: &str| run.environment.facts.get(name).cloned().unwrap_or_default();
    vec![
        // The whole text would drown the table; its hash tells that they differ.
        ("workload", format!("{} ({:08x})", workload.name, crc32fast::hash(text.as_bytes()))),
        ("durability", summary::or_unknown(&run.target.durability).to_owned()),
        ("driver", run.target.driver.clone()),
        ("kernel", fact("kernel")),
        ("cpu", fact("cpu")),
        ("governor", fact("governor")),
    ]
}
