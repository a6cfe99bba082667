//! `compare A B`: two runs or two sets of runs, and whether a difference is more than noise.
//!
//! The rule, which `--help` states, too: with five runs or more on both sides, a difference counts if the exact rank test
//! (Mann-Whitney, as a permutation test) gives it a chance of less than 1 in 100. With two to four on a side it is called
//! "apart" if the ranges do not overlap, with the chance of that by luck beside it. One run on a side proves nothing.

mod metric;
mod rank;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};

use self::metric::{Better, METRICS, Metric, Sample};
use crate::cli::exit;
use crate::human;
use crate::summary::{self, Loaded};
use crate::table::Table;

/// Runs of a side from which on the rank test decides.
const RANK_TEST_FROM: usize = 5;

/// The rank test's limit. With this, five against five differ only if all of one side are beyond all of the other.
const CHANCE_MAX: f64 = 0.01;

/// Runs of a side at most.
const RUNS_MAX: usize = 50;

const HELP: &str = "\
A and B are results of `run` or of a search as JSON, or directories of such
results: the runs of a set. A is what was, B what is. Shown for each metric:
the median of each side, the range, the change of the medians, and its meaning:

  better, worse  Five runs or more on each side, and an exact two-sided rank
                 test (Mann-Whitney, over all ways to deal the runs to two
                 sides) gives the difference a chance of less than 1 in 100.
                 Of a dozen metrics, one in eight comparisons of equals still
                 shows one: judge by the metric that you asked about.
  apart          Two to four runs on a side, and the ranges do not overlap.
                 The chance of that by luck stands beside it.
  noise          Neither.
  one run        One run on a side: whatever the change, it may be noise.

A percentile is compared if every run of both sides has at least 100 samples
above it. Not compared, unless --force is given: runs that are INVALID or
FAILED, a run that is there twice, and sides that differ in workload,
durability, driver or machine.

Gates: --gate put_to_get_p99=10 breaks if B's median is worse than A's by more
than 10 % and the difference is more than noise (worse, or apart).

Exit codes:
  0  no gate broke
  1  a result cannot be read
  2  wrong arguments
  4  the sides cannot be compared, or a gate cannot be decided: it would have
     broken, but one side is one run; or not every run has the figure
  5  a gate broke";

/// The arguments of `compare`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = after_help(), after_help = "The rules, the metrics and the exit codes: --help")]
pub struct Args {
    /// What was: a result or a directory of results.
    pub a: PathBuf,

    /// What is: a result or a directory of results.
    pub b: PathBuf,

    /// Exit with 5 if this metric became worse by more than so many percent. May be repeated.
    #[arg(long, value_name = "METRIC=PCT")]
    pub gate: Vec<Gate>,

    /// Compare although runs are bad or the sides are not alike.
    #[arg(long)]
    pub force: bool,
}

fn after_help() -> String {
    let names = METRICS.iter().map(|metric| format!("  {:24} {}", metric.name, metric.what));
    format!("{HELP}\n\nMetrics:\n{}", names.collect::<Vec<_>>().join("\n"))
}

/// A limit for the worsening of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    metric: &'static Metric,
    /// As a fraction.
    limit: f64,
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, percent) = text.split_once('=').ok_or("write METRIC=PERCENT, as put_ack_p99=10")?;
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.ok_or_else(|| format!("there is no metric `{name}`; --help lists them"))?;
        match percent.trim_end_matches('%').trim().parse() {
            Ok(percent) if (0.0..=1e6).contains(&percent) => Ok(Self { metric, limit: percent / 100.0 }),
            _ => Err(format!("`{percent}` is not a percentage")),
        }
    }
}

/// Compares, prints, and says by the exit code what became of the gates.
///
/// # Errors
/// A result cannot be read.
pub fn main(args: &Args) -> Result<ExitCode> {
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let comparison = Comparison::new(&a, &b);
    print!("{}", comparison.render());
    if !comparison.obstacles.is_empty() && !args.force {
        println!("\nnot compared for gates or conclusions: see above; --force does it all the same");
        return Ok(ExitCode::from(exit::INVALID));
    }
    let mut code = exit::GOOD;
    for gate in &args.gate {
        let (outcome, text) = comparison.gate(gate);
        println!("gate {}: {text}", gate.metric.name);
        // A gate that broke weighs more than one that cannot be decided.
        code = code.max(match outcome {
            Outcome::Held => exit::GOOD,
            Outcome::Undecided => exit::INVALID,
            Outcome::Broke => exit::MISSED,
        });
    }
    Ok(ExitCode::from(code))
}

/// The samples of one side.
fn load(path: &Path) -> Result<Vec<Sample>> {
    if !path.is_dir() {
        return Ok(vec![sample(summary::load_file(path)?)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        let file = entry.with_context(|| format!("reading {}", path.display()))?.path();
        if file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    files.sort();
    let mut samples = Vec::new();
    for file in files {
        match summary::load_file(&file) {
            Ok(loaded) => samples.push(sample(loaded)),
            // A directory of results also holds those of `disk` and `net`.
            Err(error) => eprintln!("left out: {error:#}"),
        }
    }
    ensure!(!samples.is_empty(), "{} holds no results", path.display());
    if samples.len() > RUNS_MAX {
        bail!("{} holds {} results; at most {RUNS_MAX} are compared", path.display(), samples.len());
    }
    Ok(samples)
}

fn sample(loaded: Loaded) -> Sample {
    match loaded {
        Loaded::Run(run) => Sample::of_run(&run),
        Loaded::Sweep(sweep) => Sample::of_sweep(&sweep),
    }
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// More than noise, by the rank test.
    Differs { chance: f64 },
    /// The ranges do not overlap, and there are few runs.
    Apart { chance: f64 },
    /// No more than noise.
    Noise,
    /// One run on a side.
    OneRun,
}

impl Meaning {
    fn of(a: &[f64], b: &[f64]) -> Self {
        let fewest = a.len().min(b.len());
        if fewest < 2 {
            return Self::OneRun;
        }
        let chance = rank::chance(a, b);
        if fewest >= RANK_TEST_FROM {
            return if chance < CHANCE_MAX { Self::Differs { chance } } else { Self::Noise };
        }
        let ((a_min, a_max), (b_min, b_max)) = (range(a), range(b));
        if a_max < b_min || b_max < a_min { Self::Apart { chance } } else { Self::Noise }
    }

    const fn is_more_than_noise(self) -> bool {
        matches!(self, Self::Differs { .. } | Self::Apart { .. })
    }
}

/// One metric of both sides.
#[derive(Clone, Debug)]
struct Row {
    metric: &'static Metric,
    a: Vec<f64>,
    b: Vec<f64>,
    meaning: Meaning,
}

impl Row {
    /// The change of the medians as a fraction of A's. `None` if A's is zero.
    fn change(&self) -> Option<f64> {
        let (a, b) = (median(&self.a), median(&self.b));
        if a == b {
            return Some(0.0);
        }
        (a != 0.0).then(|| (b - a) / a)
    }

    /// By how much it became worse, as a fraction; negative if better. From zero anything worse is infinitely worse.
    fn worsening(&self) -> f64 {
        let sign = if self.metric.better == Better::Lower { 1.0 } else { -1.0 };
        let change = self.change().unwrap_or_else(|| f64::INFINITY.copysign(median(&self.b)));
        change * sign
    }

    fn word(&self) -> String {
        let direction = if self.worsening() > 0.0 { "worse" } else { "better" };
        match self.meaning {
            Meaning::Differs { chance } => format!("{direction} (chance {})", percent(chance)),
            Meaning::Apart { chance } => format!("apart, {direction}; few runs (chance {})", percent(chance)),
            Meaning::Noise => "noise".to_owned(),
            Meaning::OneRun => "one run: cannot tell".to_owned(),
        }
    }
}

fn percent(share: f64) -> String {
    if share < 0.001 { "< 0.1 %".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Held,
    Broke,
    Undecided,
}

/// Both sides, metric by metric.
#[derive(Clone, Debug)]
struct Comparison {
    runs: (usize, usize),
    closed: bool,
    /// Why the sides should not be compared.
    obstacles: Vec<String>,
    rows: Vec<Row>,
}

impl Comparison {
    fn new(a: &[Sample], b: &[Sample]) -> Self {
        let mut obstacles = Vec::new();
        for (side, samples) in [("A", a), ("B", b)] {
            let bad = samples.iter().filter_map(|sample| sample.bad.as_ref());
            obstacles.extend(bad.map(|why| format!("{side} has a run that cannot be used: {why}")));
        }
        // A copy of a run makes any difference look certain.
        let mut ids: Vec<_> = a.iter().chain(b).map(|sample| sample.id).collect();
        ids.sort_unstable();
        let twice = ids.windows(2).filter(|pair| pair[0] == pair[1]);
        obstacles.extend(twice.map(|pair| format!("run {:016x} is there twice", pair[0])));
        if let Some(first) = a.first() {
            let mut unlike: Vec<String> = Vec::new();
            for sample in a.iter().chain(b) {
                for (name, own, other) in first.unlike(sample) {
                    let text = format!("not alike in {name}: {own} / {other}");
                    if !unlike.contains(&text) {
                        unlike.push(text);
                    }
                }
            }
            obstacles.extend(unlike);
        }
        let row = |metric: &'static Metric| {
            let values =
                |samples: &[Sample]| samples.iter().map(|sample| sample.get(metric.name)).collect::<Option<Vec<_>>>();
            let (a, b) = (values(a)?, values(b)?);
            let meaning = Meaning::of(&a, &b);
            Some(Row { metric, a, b, meaning })
        };
        Self {
            runs: (a.len(), b.len()),
            closed: a.iter().chain(b).any(|sample| sample.closed),
            obstacles,
            rows: METRICS.iter().filter_map(row).collect(),
        }
    }

    fn render(&self) -> String {
        let mut out = format!("A: {}, B: {}; medians, ranges in brackets\n", runs(self.runs.0), runs(self.runs.1));
        if self.closed {
            let _ = writeln!(out, "{}: latencies are not those of a user at a given rate", summary::CLOSED);
        }
        for obstacle in &self.obstacles {
            let _ = writeln!(out, "! {obstacle}");
        }
        out.push('\n');
        let mut table = Table::new(&["metric", "A", "", "B", "", "change", "meaning"]);
        for row in &self.rows {
            let show = row.metric.show;
            let spread = |values: &[f64]| match range(values) {
                (min, max) if values.len() > 1 => format!("[{} .. {}]", show(min), show(max)),
                _ => String::new(),
            };
            let mark = if self.closed { " (CLOSED)" } else { "" };
            table.row(vec![
                format!("{}{mark}", row.metric.name),
                show(median(&row.a)),
                spread(&row.a),
                show(median(&row.b)),
                spread(&row.b),
                row.change().map_or_else(|| "from 0".to_owned(), human::signed_percent),
                row.word(),
            ]);
        }
        out.push_str(&table.render());
        out
    }

    fn gate(&self, gate: &Gate) -> (Outcome, String) {
        let Some(row) = self.rows.iter().find(|row| row.metric.name == gate.metric.name) else {
            return (Outcome::Undecided, "undecided: not every run has this figure".to_owned());
        };
        let limit = percent(gate.limit);
        let worsening = row.worsening();
        if worsening <= gate.limit {
            return (Outcome::Held, format!("held: not worse by more than {limit}"));
        }
        let by = if worsening.is_finite() { format!("by {}", percent(worsening)) } else { "from zero".to_owned() };
        match row.meaning {
            Meaning::OneRun => {
                (Outcome::Undecided, format!("undecided: worse {by}, but one run on a side proves nothing"))
            }
            meaning if meaning.is_more_than_noise() => {
                (Outcome::Broke, format!("BROKE: worse {by}, more than {limit}"))
            }
            _ => (Outcome::Held, format!("held: worse {by}, but that is noise")),
        }
    }
}

fn runs(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

/// The middle value, or the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(*value), max.max(*value)))
}
