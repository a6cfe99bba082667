//! The summary: what a run says on the terminal, and the words for it that the other outputs use, too.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::human;
use crate::result::{Metric, Objective, RunResult, SCHEMA, Sweep};
use crate::stats::Distribution;
use crate::table::Table;
use crate::workload::Schedule;

/// How a closed loop is marked everywhere.
pub const CLOSED: &str = "CLOSED LOOP";

/// What a file of results holds.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// One run.
    Run(Box<RunResult>),
    /// A search.
    Sweep(Box<Sweep>),
}

/// Reads a result.
///
/// # Errors
/// The file cannot be read, is no result, or is of a later schema than this tool knows.
pub fn load_file(path: &Path) -> anyhow::Result<Loaded> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
        #[serde(default)]
        probes: Option<serde::de::IgnoredAny>,
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let what = || format!("{} is not a result of millstream-bench run", path.display());
    let found: Schema = serde_json::from_str(&text).with_context(what)?;
    if found.schema != SCHEMA {
        bail!("{} has schema {}, this tool knows {SCHEMA}", path.display(), found.schema);
    }
    Ok(if found.probes.is_some() {
        Loaded::Sweep(Box::new(serde_json::from_str(&text).with_context(what)?))
    } else {
        Loaded::Run(Box::new(serde_json::from_str(&text).with_context(what)?))
    })
}

/// A fact, or "unknown" if it is empty.
#[must_use]
pub fn or_unknown(fact: &str) -> &str {
    if fact.is_empty() { crate::env::UNKNOWN } else { fact }
}

/// The verdict in a word: `VALID`, `INVALID`, `FAILED`, with what else holds.
#[must_use]
pub fn verdict_word(run: &RunResult) -> String {
    let verdict = &run.verdict;
    let mut words = Vec::new();
    if !verdict.failed.is_empty() {
        words.push("FAILED");
    }
    if !verdict.invalid.is_empty() {
        words.push("INVALID");
    }
    if words.is_empty() {
        words.push("VALID");
    }
    if verdict.saturated {
        words.push("SATURATED");
    }
    if verdict.interrupted {
        words.push("INTERRUPTED");
    }
    words.join(", ")
}

/// The load in a sentence.
#[must_use]
pub fn load(run: &RunResult) -> String {
    let workload = &run.workload;
    let load = match workload.load.closed {
        Some(closed) => format!("{CLOSED}, {} in flight per thread", closed.in_flight),
        None => match &workload.load.schedule {
            Schedule::Fixed { rate } => format!("open loop, {} records/s at equal distances", human::rate(rate.0)),
            Schedule::Poisson { rate } => format!("open loop, {} records/s at random times", human::rate(rate.0)),
            Schedule::Burst { every, records } => {
                format!("open loop, bursts of {} records every {every}", human::count(*records))
            }
            Schedule::Step { steps } => {
                let rates: Vec<_> = steps.iter().map(|step| human::rate(step.rate.0)).collect();
                format!("open loop, steps of {} records/s", rates.join(", "))
            }
        },
    };
    format!(
        "{load}; {}, {}, {}; {} {} at {}, measured for {:.1} s.",
        some(workload.stream.shards, "shard"),
        some(workload.load.producers, "producer"),
        some(workload.read.groups, "consumer group"),
        run.target.driver,
        or_unknown(&run.target.server),
        run.target.address,
        run.measured_s
    )
}

fn some(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The latency's name in texts.
#[must_use]
pub const fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::PutAck => "put-ack",
        Metric::PutToGet => "put-to-get",
    }
}

/// An objective in words: `put-to-get p99 <= 5.00 ms`.
#[must_use]
pub fn objective(objective: &Objective) -> String {
    format!("{} p{} <= {}", metric_name(objective.metric), objective.percentile, human::duration(objective.ns_max))
}

/// The latencies of a run with their names, in the order to show them.
#[must_use]
pub fn latencies(run: &RunResult) -> Vec<(&'static str, &Distribution)> {
    let latency = &run.latency;
    let mut all = vec![
        ("put-ack", &latency.put_ack),
        ("put-ack, actual", &latency.put_ack_actual),
        ("put-to-get", &latency.put_to_get),
        ("put-to-get, actual", &latency.put_to_get_actual),
    ];
    // A closed loop intends to send when it sends.
    if !run.verdict.closed_loop {
        all.push(("send lag", &latency.send_lag));
    }
    all
}

/// Facts by name.
pub type Facts = Vec<(String, String)>;

/// Everything about a run that is not a latency, by heading.
#[must_use]
pub fn facts(run: &RunResult) -> Vec<(&'static str, Facts)> {
    vec![
        ("Throughput and errors", throughput(run)),
        ("Verification", verification(run)),
        ("Generator and node", generator(run)),
        ("Faults", faults(run)),
        ("Changes", changes(run)),
        ("Server", server(run)),
        ("Machine", maps([&run.environment.facts, &run.environment.storage, &run.environment.placement])),
    ]
}

fn fact(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn throughput(run: &RunResult) -> Facts {
    let put = &run.put;
    let mut facts = vec![
        fact("scheduled", human::count(put.scheduled)),
        fact("sent", human::count(put.sent)),
        fact("acknowledged", human::count(put.acked)),
        fact("acknowledged per second", human::rate(put.records_per_s)),
        fact("data per second", human::byte_rate(put.bytes_per_s)),
        fact("failed", human::count(put.failed)),
        fact("outcome unknown", human::count(put.unknown)),
        fact("without outcome at the end", human::count(put.unresolved)),
        fact("retries", put.retries.map_or_else(|| crate::env::UNKNOWN.to_owned(), human::count)),
    ];
    facts.extend(put.errors.iter().map(|(kind, count)| fact(&format!("put error: {kind}"), human::count(*count))));
    for read in &run.read {
        let value = format!("{}/s, {}", human::rate(read.records_per_s), human::byte_rate(read.bytes_per_s));
        facts.push(fact(&format!("group {} read", read.group), value));
        let errors = read.errors.iter();
        facts.extend(
            errors.map(|(kind, count)| fact(&format!("group {} error: {kind}", read.group), human::count(*count))),
        );
    }
    for each in &run.catch_up {
        let time = each.seconds.map_or_else(|| "not caught up".to_owned(), |seconds| format!("{seconds:.2} s"));
        let value = format!("{time}, {} records, {}", human::count(each.records), human::byte_rate(each.bytes_per_s));
        facts.push(fact(&format!("group {} backlog", each.group), value));
    }
    facts
}

fn verification(run: &RunResult) -> Facts {
    let Some(found) = &run.verification else { return vec![fact("verification", "nothing was read: NOT VERIFIED")] };
    let mut facts = vec![
        fact("records sent", human::count(found.sent)),
        fact("acknowledged", human::count(found.acked)),
        fact("refused", human::count(found.refused)),
        fact("outcome unknown", human::count(found.unknown)),
    ];
    for (group, each) in found.groups.iter().enumerate() {
        let word = if each.is_good() { "ok" } else { "FAILED" };
        let value = format!(
            "{word}: {} received, {} lost, {} duplicate, {} out of order, {} damaged, {} stored though refused",
            human::count(each.received),
            human::count(each.lost),
            human::count(each.duplicates),
            human::count(each.reordered),
            human::count(each.corrupt),
            human::count(each.stored_though_refused)
        );
        facts.push(fact(&format!("group {group}"), value));
        facts
            .extend(each.examples.iter().map(|example| fact(&format!("group {group}, for example"), example.as_str())));
    }
    facts
}

fn generator(run: &RunResult) -> Facts {
    let generator = &run.generator;
    let mut facts = vec![
        fact("generator CPU, sending", format!("{:.2} s", generator.cpu_send_s)),
        fact("generator CPU, receiving", format!("{:.2} s", generator.cpu_receive_s)),
        fact("timer late by, p50", human::percentile(&generator.timer, 50.0)),
        fact("timer late by, max", human::duration(generator.timer.max_ns)),
        fact("held back by the server", format!("{:.1} % of the time", generator.blocked_share * 100.0)),
        fact("sent late by the generator", human::count(generator.late)),
        fact("caught up after being held back", human::count(generator.caught_up)),
    ];
    if let Some(calibration) = &generator.calibration {
        let value =
            format!("{}/s, {}", human::rate(calibration.records_per_s), human::byte_rate(calibration.bytes_per_s));
        facts.push(fact("one sending thread, null server, CLOSED", value));
        facts.push(fact("generator CPU per record", format!("{:.0} ns", calibration.cpu_ns_per_record)));
    }
    match &run.node {
        Some(node) => {
            facts.push(fact("node CPU", format!("{:.2} s", node.cpu_s)));
            facts.push(fact("node memory", human::decimal_bytes(node.rss_bytes as f64)));
            facts.push(fact("generator CPU / node CPU", format!("{:.2}", node.generator_cpu_ratio)));
        }
        None => facts.push(fact("node CPU", crate::env::UNKNOWN)),
    }
    let stolen = run.stolen_share.map(|share| format!("{:.1} %", share * 100.0));
    facts.push(fact("CPU time taken by the hypervisor", stolen.unwrap_or_else(|| crate::env::UNKNOWN.to_owned())));
    facts
}

fn changes(run: &RunResult) -> Facts {
    let Some(changes) = &run.changes else { return Vec::new() };
    let list = |counts: &std::collections::BTreeMap<String, u64>| {
        let each: Vec<_> = counts.iter().map(|(name, count)| format!("{} {name}", human::count(*count))).collect();
        if each.is_empty() { "none".to_owned() } else { each.join(", ") }
    };
    let shards = run.read.iter().map(|read| read.shards).max().unwrap_or_default();
    vec![
        fact("changes made", list(&changes.made)),
        fact("changes refused", list(&changes.refused)),
        fact("longest change", format!("{} ms", changes.longest_ms)),
        fact("shards read per group", human::count(shards)),
    ]
}

fn faults(run: &RunResult) -> Facts {
    let millis = |value: Option<u64>| value.map_or_else(|| crate::env::UNKNOWN.to_owned(), |ms| format!("{ms} ms"));
    let each = run.faults.iter().map(|fault| {
        let value = format!(
            "ready after {}, no acknowledgement for {}, nothing received for {}",
            millis(fault.ready_after_ms),
            millis(fault.ack_gap_ms),
            millis(fault.receive_gap_ms)
        );
        fact(&format!("{} at {:.1} s", fault.kind, fault.at_ms as f64 / 1e3), value)
    });
    each.collect()
}

fn server(run: &RunResult) -> Facts {
    let target = &run.target;
    let mut facts = vec![
        fact("driver", target.driver.as_str()),
        fact("address", target.address.as_str()),
        fact("server", or_unknown(&target.server)),
        fact("durability", or_unknown(&target.durability)),
        fact("stream", target.stream.as_str()),
        fact("started by the run", if target.started_by_run { "yes" } else { "no" }),
        fact("tool", format!("millstream-bench {}", run.tool_version)),
        fact("run", format!("{:016x}", run.run_id)),
    ];
    facts.extend(maps([&target.settings]));
    facts
}

fn maps<'a>(maps: impl IntoIterator<Item = &'a std::collections::BTreeMap<String, String>>) -> Facts {
    maps.into_iter().flatten().map(|(name, value)| fact(&name.replace('_', " "), or_unknown(value))).collect()
}

/// The summary of a run, as printed.
#[must_use]
pub fn render(run: &RunResult) -> String {
    let mut out = String::new();
    let name = run.label.as_deref().unwrap_or(&run.workload.name);
    let closed = if run.verdict.closed_loop { format!("  {CLOSED}") } else { String::new() };
    let _ = writeln!(out, "{name}: {}{closed}  durability: {}", verdict_word(run), or_unknown(&run.target.durability));
    for why in run.verdict.failed.iter().chain(&run.verdict.invalid).chain(&run.verdict.notes) {
        let _ = writeln!(out, "  {why}");
    }
    let _ = writeln!(out, "{}\n", load(run));
    out.push_str(&rates(run));
    out.push('\n');
    out.push_str(&latency_table(run));
    let put = &run.put;
    let _ = writeln!(
        out,
        "\nerrors: {} failed, {} outcome unknown, {} without outcome; {} retries",
        human::count(put.failed),
        human::count(put.unknown),
        human::count(put.unresolved),
        put.retries.map_or_else(|| crate::env::UNKNOWN.to_owned(), human::count)
    );
    for (kind, count) in run.put.errors.iter().chain(run.read.iter().flat_map(|read| &read.errors)) {
        let _ = writeln!(out, "  {kind}: {}", human::count(*count));
    }
    for (name, value) in
        verification(run).into_iter().filter(|(name, _)| name.starts_with("group") || name == "verification")
    {
        let _ = writeln!(out, "verification, {name}: {value}");
    }
    for (name, value) in faults(run).into_iter().chain(changes(run)) {
        let _ = writeln!(out, "{name}: {value}");
    }
    out
}

fn rates(run: &RunResult) -> String {
    let mark = if run.verdict.closed_loop { " (CLOSED)" } else { "" };
    let mut table = Table::new(&["", "records/s", "bytes/s", "records"]);
    let put = &run.put;
    let row = |name: String, records: f64, bytes: f64, count: u64| {
        vec![name, human::rate(records), human::byte_rate(bytes), human::count(count)]
    };
    table.row(row(format!("put{mark}"), put.records_per_s, put.bytes_per_s, put.acked));
    for read in &run.read {
        table.row(row(format!("get, group {}{mark}", read.group), read.records_per_s, read.bytes_per_s, read.received));
    }
    table.render()
}

/// The percentiles of the terminal: a line of a terminal holds no more.
const SHOWN: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];

fn latency_table(run: &RunResult) -> String {
    let mark = if run.verdict.closed_loop { " (CLOSED)" } else { "" };
    let mut header = vec!["latency".to_owned(), "samples".to_owned()];
    header.extend(SHOWN.iter().map(|p| format!("p{p}")));
    header.push("max".to_owned());
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let mut dashes = false;
    for (name, distribution) in latencies(run).into_iter().filter(|(_, distribution)| distribution.count > 0) {
        let mut row = vec![format!("{name}{mark}"), human::count(distribution.count)];
        for p in SHOWN {
            let text = human::percentile(distribution, p);
            dashes |= text == human::ABSENT;
            row.push(text);
        }
        row.push(human::duration(distribution.max_ns));
        table.row(row);
    }
    let mut out = table.render();
    if dashes {
        let _ = writeln!(out, "{}", human::ABSENT_NOTE);
    }
    out
}
