//! What is seen while a run runs: on a terminal a few lines that are drawn again twice a second, else a line every few
//! seconds.
//!
//! It costs nothing noticeable: it is told once per slice, on the thread that controls the run, merges a handful of
//! histograms, and draws less than a kilobyte.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::human;
use crate::result::RunResult;
use crate::run::{Observer, Plan, Slice};
use crate::stats::{Distribution, Histogram};
use crate::summary;

/// Percentiles are those of the last so many seconds.
const WINDOW_NS: u64 = 10_000_000_000;

/// Without a terminal there is a line per so many seconds.
const LINE_EVERY_NS: u64 = 5_000_000_000;

/// Rates that the little plot shows.
const SPARKS: usize = 40;

/// Draws per second at most.
const DRAWS_PER_SECOND: u8 = 2;

/// The live view: an observer of the run.
pub struct Live {
    state: State,
    out: Out,
}

enum Out {
    /// Lines on a terminal: the view and below it the bar.
    Terminal { screen: MultiProgress, lines: Vec<ProgressBar>, bar: ProgressBar },
    /// A line now and then.
    Lines { out: Box<dyn Write>, next_ns: u64 },
}

/// What the last seconds were like.
#[derive(Debug, Default)]
struct State {
    closed: bool,
    warmup_ns: u64,
    total_ns: u64,
    recent: VecDeque<Kept>,
    sparks: VecDeque<f64>,
    failed: u64,
}

impl Live {
    /// On standard error, so that the summary on standard output can go elsewhere: drawn if it is a terminal, else lines.
    #[must_use]
    pub fn stderr() -> Self {
        if io::stderr().is_terminal() {
            let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
            let line =
                || ProgressBar::new(0).with_style(ProgressStyle::with_template("{msg}").expect("a valid template"));
            let lines: Vec<_> = (0..LINES).map(|_| screen.add(line())).collect();
            let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {msg}").expect("a valid template");
            let bar = screen.add(ProgressBar::new(0).with_style(style.progress_chars("━━╌")));
            Self { state: State::default(), out: Out::Terminal { screen, lines, bar } }
        } else {
            Self::lines(Box::new(io::stderr()))
        }
    }

    /// As lines of text to any place.
    #[must_use]
    pub fn lines(out: Box<dyn Write>) -> Self {
        Self { state: State::default(), out: Out::Lines { out, next_ns: LINE_EVERY_NS } }
    }

    fn say(&mut self, text: &str) {
        match &mut self.out {
            // Above the view; it scrolls away with what came before.
            Out::Terminal { screen, .. } => drop(screen.println(text)),
            Out::Lines { out, .. } => drop(writeln!(out, "{text}")),
        }
    }
}

impl Observer for Live {
    fn started(&mut self, plan: &Plan<'_>) {
        let workload = plan.workload;
        self.state = State {
            closed: workload.load.closed.is_some(),
            warmup_ns: workload.warmup.0,
            total_ns: workload.warmup.0 + workload.duration.0,
            ..State::default()
        };
        if let Out::Lines { next_ns, .. } = &mut self.out {
            *next_ns = LINE_EVERY_NS;
        }
        if let Out::Terminal { lines, bar, .. } = &self.out {
            // A search runs several times under one view.
            lines.iter().for_each(ProgressBar::reset);
            bar.reset();
            bar.set_length(self.state.total_ns / 1_000_000);
        }
        let mark = if self.state.closed { format!(", {}", summary::CLOSED) } else { String::new() };
        self.say(&format!("{} on {} ({}){mark}", workload.name, plan.target, plan.server));
    }

    fn slice(&mut self, slice: &Slice) {
        self.state.add(slice);
        match &mut self.out {
            Out::Terminal { lines, bar, .. } => {
                for (line, text) in lines.iter().zip(self.state.view()) {
                    line.set_message(text);
                }
                bar.set_position(slice.end_ns.min(self.state.total_ns) / 1_000_000);
                bar.set_message(self.state.time());
            }
            Out::Lines { out, next_ns } => {
                if slice.end_ns >= *next_ns {
                    *next_ns = slice.end_ns + LINE_EVERY_NS - slice.end_ns % LINE_EVERY_NS;
                    // Somebody who closed the pipe does not want it; the run goes on.
                    let _ = writeln!(out, "{}", self.state.line());
                }
            }
        }
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }

    fn finished(&mut self, _result: &RunResult) {
        if let Out::Terminal { screen, lines, bar } = &self.out {
            lines.iter().for_each(ProgressBar::finish_and_clear);
            bar.finish_and_clear();
            let _ = screen.clear();
        }
    }
}

/// Lines of the view above the bar.
const LINES: usize = 5;

/// What is kept of a slice: a whole one is a megabyte of histograms.
#[derive(Debug)]
struct Kept {
    start_ns: u64,
    end_ns: u64,
    acked: u64,
    acked_bytes: u64,
    received: u64,
    received_bytes: u64,
    put_ack: Histogram,
    put_to_get: Histogram,
}

/// The last slices as one.
struct Recent {
    seconds: f64,
    sum: Kept,
}

impl Recent {
    fn rate(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(1e-9)
    }
}

impl State {
    fn add(&mut self, slice: &Slice) {
        self.failed += slice.failed;
        let seconds = (slice.end_ns.saturating_sub(slice.start_ns)) as f64 / 1e9;
        self.sparks.push_back(slice.acked as f64 / seconds.max(1e-9));
        if self.sparks.len() > SPARKS {
            self.sparks.pop_front();
        }
        self.recent.push_back(Kept {
            start_ns: slice.start_ns,
            end_ns: slice.end_ns,
            acked: slice.acked,
            acked_bytes: slice.acked_bytes,
            received: slice.received,
            received_bytes: slice.received_bytes,
            put_ack: slice.put_ack.clone(),
            put_to_get: slice.put_to_get.clone(),
        });
        while self.recent.front().is_some_and(|first| first.start_ns + WINDOW_NS < slice.end_ns) {
            self.recent.pop_front();
        }
    }

    fn recent(&self) -> Recent {
        let total = |of: fn(&Kept) -> u64| self.recent.iter().map(of).sum::<u64>();
        let merged = |of: fn(&Kept) -> &Histogram| {
            let mut all = Histogram::new();
            self.recent.iter().for_each(|slice| all.add(of(slice)));
            all
        };
        let sum = Kept {
            start_ns: self.recent.front().map_or(0, |slice| slice.start_ns),
            end_ns: self.now_ns(),
            acked: total(|slice| slice.acked),
            acked_bytes: total(|slice| slice.acked_bytes),
            received: total(|slice| slice.received),
            received_bytes: total(|slice| slice.received_bytes),
            put_ack: merged(|slice| &slice.put_ack),
            put_to_get: merged(|slice| &slice.put_to_get),
        };
        let span = sum.end_ns.saturating_sub(sum.start_ns);
        Recent { seconds: span as f64 / 1e9, sum }
    }

    /// The lines of the view.
    fn view(&self) -> [String; LINES] {
        let recent = self.recent();
        let sum = &recent.sum;
        let rates = |records: u64, bytes: u64| {
            let (records, bytes) = (human::rate(recent.rate(records)), human::byte_rate(recent.rate(bytes)));
            format!("{records:>12}/s {bytes:>12}")
        };
        [
            format!("{}  {}", self.phase(), self.errors()),
            format!("put        {}  {}", rates(sum.acked, sum.acked_bytes), sparks(&self.sparks)),
            format!("get        {}", rates(sum.received, sum.received_bytes)),
            format!("put-ack    {}", percentiles(&sum.put_ack)),
            format!("put-to-get {}", percentiles(&sum.put_to_get)),
        ]
    }

    /// The same as one line.
    fn line(&self) -> String {
        let recent = self.recent();
        let sum = &recent.sum;
        format!(
            "{} {} | put {}/s {} | get {}/s {} | put-ack {} | put-to-get {} | {}",
            self.time(),
            self.phase(),
            human::rate(recent.rate(sum.acked)),
            human::byte_rate(recent.rate(sum.acked_bytes)),
            human::rate(recent.rate(sum.received)),
            human::byte_rate(recent.rate(sum.received_bytes)),
            percentiles(&sum.put_ack),
            percentiles(&sum.put_to_get),
            self.errors()
        )
    }

    fn now_ns(&self) -> u64 {
        self.recent.back().map_or(0, |slice| slice.end_ns)
    }

    fn phase(&self) -> String {
        let phase = match self.now_ns() {
            now if now <= self.warmup_ns => "warm-up",
            now if now <= self.total_ns => "measuring",
            _ => "draining",
        };
        let mark = if self.closed { format!(" {}", summary::CLOSED) } else { String::new() };
        format!("{phase}{mark}")
    }

    fn errors(&self) -> String {
        if self.failed == 0 { "no errors".to_owned() } else { format!("{} FAILED", human::count(self.failed)) }
    }

    fn time(&self) -> String {
        format!("{:.0}/{:.0} s", self.now_ns() as f64 / 1e9, self.total_ns as f64 / 1e9)
    }
}

fn percentiles(histogram: &Histogram) -> String {
    let distribution: Distribution = histogram.distribution();
    if distribution.count == 0 {
        return "nothing yet".to_owned();
    }
    let given = [50.0, 99.0, 99.9].into_iter().filter_map(|p| Some((p, distribution.percentile(p)?)));
    let mut texts: Vec<_> = given.map(|(p, ns)| format!("p{p} {}", human::duration(ns))).collect();
    texts.push(format!("max {}", human::duration(distribution.max_ns)));
    texts.join("  ")
}

/// Rates as little bars, the highest full.
fn sparks(rates: &VecDeque<f64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = rates.iter().copied().fold(0.0, f64::max);
    let bar = |rate: &f64| {
        let share = if most > 0.0 { rate / most } else { 0.0 };
        BARS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1]
    };
    rates.iter().map(bar).collect()
}
