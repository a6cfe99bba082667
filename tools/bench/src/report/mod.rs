//! The report: one HTML file that needs nothing else, neither network nor other files, and can be mailed and archived.
//!
//! Plots are inline SVG with the page's own colours, light and dark; a small script shows the values under the pointer. The
//! page forbids itself to load anything (a content security policy in its head). Every number comes from a [`RunResult`]
//! or [`Sweep`] through the same functions that print the summary, and no percentile appears with fewer than 100 samples
//! above it: a curve ends there.

mod axis;
mod chart;
mod heat;
mod plots;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::human;
use crate::result::{Metric, RunResult, Sweep};
use crate::summary;

/// The arguments of `report`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Results of `run` or of a search, as JSON. Several runs make one page.
    #[arg(required = true)]
    pub results: Vec<PathBuf>,

    /// The page to write.
    #[arg(long, short, default_value = "report.html")]
    pub output: PathBuf,

    /// Heading of the page.
    #[arg(long, default_value = "Millstream measurements")]
    pub title: String,
}

/// Writes the page for results that were measured before.
///
/// # Errors
/// A file cannot be read or written, or is no result.
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let mut page = Page::new(&args.title);
    for path in &args.results {
        match summary::load_file(path)? {
            summary::Loaded::Run(run) => page.run(&run),
            summary::Loaded::Sweep(sweep) => page.sweep(&sweep),
        }
    }
    let html = page.finish();
    std::fs::write(&args.output, html).with_context(|| format!("writing {}", args.output.display()))?;
    println!("{}", args.output.display());
    Ok(ExitCode::SUCCESS)
}

/// The page of one run.
#[must_use]
pub fn run_page(run: &RunResult) -> String {
    let mut page = Page::new(&format!("{} on {}", run.workload.name, run.target.driver));
    page.run(run);
    page.finish()
}

/// The page of a search.
#[must_use]
pub fn sweep_page(sweep: &Sweep) -> String {
    let mut page = Page::new("Highest rate");
    page.sweep(sweep);
    page.finish()
}

/// A page being written.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), body: String::new() }
    }

    /// Adds a run.
    pub fn run(&mut self, run: &RunResult) {
        let out = &mut self.body;
        out.push_str("<section>");
        head(run, out);
        tiles(run, out);
        out.push_str("<div class=\"charts\">");
        for chart in plots::of(run) {
            out.push_str(&chart);
        }
        out.push_str("</div>");
        tables::of(run, out);
        out.push_str("</section>\n");
    }

    /// Adds a search: the sweep, and in full the run at the highest rate that held.
    pub fn sweep(&mut self, sweep: &Sweep) {
        let out = &mut self.body;
        out.push_str("<section>");
        let objective = summary::objective(&sweep.objective);
        let found = sweep
            .best_rate
            .map_or_else(|| "no rate held it".to_owned(), |rate| format!("{} records/s hold it", human::rate(rate)));
        let _ = write!(out, "<div class=\"head\"><h1>Highest rate with {}</h1>", escape(&objective));
        badge(out, if sweep.best_rate.is_some() { "" } else { "bad" }, &found);
        out.push_str("</div>");
        if sweep.limited_by_generator {
            out.push_str(
                "<p class=\"why warn\">The search ended at what the generator can do: the server may do more.</p>",
            );
        }
        out.push_str("<div class=\"charts\">");
        for chart in plots::of_sweep(sweep) {
            out.push_str(&chart);
        }
        out.push_str("</div>");
        tables::probes(sweep, out);
        out.push_str("</section>\n");
        let best = sweep.probes.iter().rfind(|probe| Some(probe.rate) == sweep.best_rate);
        if let Some(best) = best {
            self.run(&best.run);
        }
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n<style>{style}</style></head>\n\
             <body><header class=\"page\"><span><b>millstream-bench</b> {title}</span><button id=\"theme\" type=\"button\">light / dark</button></header>\n\
             <main>{body}</main>\n<footer>Latencies are counted from the intended time unless they are called actual. \
             Written by millstream-bench {version}.</footer>\n<script>{script}</script></body></html>\n",
            title = escape(&self.title),
            style = include_str!("style.css"),
            body = self.body,
            version = env!("CARGO_PKG_VERSION"),
            script = include_str!("script.js"),
        )
    }
}

/// Name, verdict and what the figures stand for.
fn head(run: &RunResult, out: &mut String) {
    let title = run.label.as_deref().unwrap_or(&run.workload.name);
    let _ = write!(out, "<div class=\"head\"><h1>{}</h1>", escape(title));
    let word = summary::verdict_word(run);
    let kind = match run.verdict.is_good() {
        false => "bad",
        true if run.verdict.saturated || run.verdict.interrupted => "warn",
        true => "",
    };
    badge(out, kind, &word);
    if run.verdict.closed_loop {
        badge(out, "warn", summary::CLOSED);
    }
    badge(out, "plain", &format!("durability: {}", summary::or_unknown(&run.target.durability)));
    let _ = write!(out, "</div><p class=\"lead\">{}", escape(&summary::load(run)));
    if !run.workload.description.is_empty() {
        let _ = write!(out, "<br>{}", escape(&run.workload.description));
    }
    out.push_str("</p>");
    for why in run.verdict.failed.iter().chain(&run.verdict.invalid) {
        let _ = write!(out, "<p class=\"why\">{}</p>", escape(why));
    }
    for note in &run.verdict.notes {
        let _ = write!(out, "<p class=\"why warn\">{}</p>", escape(note));
    }
}

fn badge(out: &mut String, kind: &str, text: &str) {
    let _ = write!(out, "<span class=\"badge {kind}\">{}</span>", escape(text));
}

/// The figures that people look for first.
fn tiles(run: &RunResult, out: &mut String) {
    out.push_str("<div class=\"tiles\">");
    let closed = if run.verdict.closed_loop { ", CLOSED" } else { "" };
    tile(out, "Put", &format!("{}/s", human::rate(run.put.records_per_s)), &format!("records acknowledged{closed}"));
    tile(out, "Put", &human::byte_rate(run.put.bytes_per_s), &format!("data acknowledged{closed}"));
    for (name, metric) in [("Put-ack", Metric::PutAck), ("Put-to-get", Metric::PutToGet)] {
        let latency = run.latency.get(metric);
        if latency.count == 0 {
            continue;
        }
        for p in [50.0, 99.0] {
            // A dash explains itself here: not all readers know the rule.
            let few = latency.percentile(p).is_none();
            let note = if few {
                "too few samples".to_owned()
            } else {
                format!("max {}{closed}", human::duration(latency.max_ns))
            };
            tile(out, &format!("{name} p{p}"), &human::percentile(latency, p), &note);
        }
    }
    out.push_str("</div>");
}

fn tile(out: &mut String, name: &str, value: &str, note: &str) {
    let _ = write!(
        out,
        "<div class=\"tile\"><small>{}</small><strong>{}</strong><em>{}</em></div>",
        escape(name),
        escape(value),
        escape(note)
    );
}

/// A text as HTML, also within an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
