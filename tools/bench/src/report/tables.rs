//! The tables of the report: the same texts as the summary, for all who want the number and not the picture.

use std::fmt::Write as _;

use super::escape;
use crate::human::{self, ABSENT};
use crate::result::{RunResult, Sweep};
use crate::stats::PERCENTILES;
use crate::summary;

/// A fact of more characters than this has a line of its own.
const LINE_MAX: usize = 66;

/// All tables of a run.
pub fn of(run: &RunResult, out: &mut String) {
    latencies(run, out);
    for (title, facts) in summary::facts(run) {
        if facts.is_empty() {
            continue;
        }
        let _ = write!(out, "<h2>{}</h2><dl class=\"box facts\">", escape(title));
        for (name, value) in facts {
            let long = if name.len() + value.len() > LINE_MAX { " class=\"long\"" } else { "" };
            let _ = write!(out, "<div{long}><dt>{}</dt><dd>{}</dd></div>", escape(&name), escape(&value));
        }
        out.push_str("</dl>");
    }
    let workload = toml::to_string(&run.workload).unwrap_or_else(|error| error.to_string());
    let _ = write!(
        out,
        "<details><summary>Workload and command line</summary><pre>{}</pre><pre>{}</pre></details>",
        escape(&workload),
        escape(&run.command.join(" "))
    );
}

fn latencies(run: &RunResult, out: &mut String) {
    let rows: Vec<_> = summary::latencies(run).into_iter().filter(|(_, distribution)| distribution.count > 0).collect();
    let shown: Vec<_> = PERCENTILES
        .iter()
        .filter(|p| rows.iter().any(|(_, distribution)| distribution.percentile(**p).is_some()))
        .collect();
    let closed = if run.verdict.closed_loop { " (CLOSED loop)" } else { "" };
    let _ = write!(out, "<h2>Latency{closed}</h2><div class=\"box\"><table><tr><th></th><th>samples</th><th>mean</th>");
    for p in &shown {
        let _ = write!(out, "<th>p{p}</th>");
    }
    out.push_str("<th>max</th></tr>");
    let mut dashes = false;
    for (name, distribution) in rows {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td>",
            escape(name),
            human::count(distribution.count),
            human::duration(distribution.mean_ns.round() as u64)
        );
        for p in &shown {
            dashes |= distribution.percentile(**p).is_none();
            cell(&human::percentile(distribution, **p), out);
        }
        let _ = write!(out, "<td>{}</td></tr>", human::duration(distribution.max_ns));
    }
    out.push_str("</table></div>");
    if dashes {
        let _ = write!(out, "<p class=\"note\">{}</p>", escape(human::ABSENT_NOTE));
    }
}

fn cell(text: &str, out: &mut String) {
    let class = if text == ABSENT { " class=\"absent\"" } else { "" };
    let _ = write!(out, "<td{class}>{}</td>", escape(text));
}

/// The rates of a search, in the order tried.
pub fn probes(sweep: &Sweep, out: &mut String) {
    out.push_str("<h2>Rates tried</h2><div class=\"box\"><table><tr><th>offered</th><th>acknowledged</th><th>p50</th>");
    let p = sweep.objective.percentile;
    let _ = write!(out, "<th>p{p}</th><th>max</th><th>objective</th></tr>");
    for probe in &sweep.probes {
        let latency = probe.run.latency.get(sweep.objective.metric);
        let _ = write!(
            out,
            "<tr><td>{}/s</td><td>{}/s</td>",
            human::rate(probe.rate),
            human::rate(probe.run.put.records_per_s)
        );
        cell(&human::percentile(latency, 50.0), out);
        cell(&human::percentile(latency, p), out);
        let missed = if probe.missed.is_empty() { "held".to_owned() } else { probe.missed.join("; ") };
        let _ = write!(out, "<td>{}</td><td>{}</td></tr>", human::duration(latency.max_ns), escape(&missed));
    }
    out.push_str("</table></div>");
}
