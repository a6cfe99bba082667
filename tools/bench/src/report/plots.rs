//! The plots of a run and of a search.

use super::axis::Scale;
use super::chart::{Axis, Chart, Hover, Line, Look, Mark};
use super::heat;
use crate::human;
use crate::result::{Metric, Point, RunResult, Sweep};
use crate::stats::series::Bins;
use crate::stats::{ABOVE_MIN, Distribution};

/// Size of a plot that has the page's width.
const WIDE: (f64, f64) = (1080.0, 330.0);

/// Size of one of two side by side.
const HALF: (f64, f64) = (530.0, 270.0);

/// The percentiles drawn over time, with their colours.
const OVER_TIME: [(f64, u8); 3] = [(50.0, 1), (99.0, 3), (99.9, 4)];

/// A percentile over time is drawn if the run gives at least this many points of it.
const WINDOWS_MIN: usize = 4;

/// The plots of a run, each as HTML.
pub fn of(run: &RunResult) -> Vec<String> {
    let mut html = vec![wide(&curve(run))];
    let metrics = [(Metric::PutAck, "Put-ack"), (Metric::PutToGet, "Put-to-get")];
    let seen = metrics.iter().filter(|(metric, _)| run.latency.get(*metric).count > 0);
    let seen: Vec<_> = seen.collect();
    let scale = shared_scale(run, seen.iter().map(|(metric, _)| *metric));
    if run.series.points.is_empty() {
        return html;
    }
    html.extend(seen.iter().map(|(metric, name)| latency_over_time(run, *metric, name, scale).render()));
    html.push(throughput(run, "Records", |point| (point.scheduled, point.acked, point.received), rate_text).render());
    html.push(throughput(run, "Data", |point| (0, point.acked_bytes, point.received_bytes), human::byte_rate).render());
    html.extend(seen.iter().map(|(metric, name)| heat_map(run, *metric, name, scale)));
    html
}

/// The plots of a search.
pub fn of_sweep(sweep: &Sweep) -> Vec<String> {
    vec![wide(&latency_against_rate(sweep))]
}

fn wide(chart: &Chart) -> String {
    format!("<div class=\"wide\">{}</div>", chart.render())
}

fn rate_text(rate: f64) -> String {
    format!("{}/s", human::rate(rate))
}

fn latency_axis(scale: Scale) -> Axis {
    Axis::new(scale, "", |ns| round(&human::duration(ns.round() as u64)))
}

/// The text of a round number: without decimals that are zero, and nothing but 0 for zero.
fn round(text: &str) -> String {
    if text.starts_with("0 ") || text.starts_with("0.0") {
        return "0".to_owned();
    }
    match text.split_once('.') {
        Some((whole, rest)) => {
            let unit = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (decimals, unit) = rest.split_at(unit);
            match decimals.trim_end_matches('0') {
                "" => format!("{whole}{unit}"),
                decimals => format!("{whole}.{decimals}{unit}"),
            }
        }
        None => text.to_owned(),
    }
}

/// Latency against percentile: the further right, the rarer.
fn curve(run: &RunResult) -> Chart {
    let latency = &run.latency;
    let closed = run.verdict.closed_loop;
    let all = [
        ("put-ack", &latency.put_ack, 1, Look::Solid),
        ("put-ack, actual", &latency.put_ack_actual, 1, Look::Dashed),
        ("put-to-get", &latency.put_to_get, 2, Look::Solid),
        ("put-to-get, actual", &latency.put_to_get_actual, 2, Look::Dashed),
    ];
    // A closed loop intends to send when it sends: both are the same.
    let is_shown = |look: Look, count: u64| count > ABOVE_MIN && !(closed && look == Look::Dashed);
    let shown: Vec<_> =
        all.into_iter().filter(|(_, distribution, _, look)| is_shown(*look, distribution.count)).collect();
    let lines: Vec<_> = shown
        .iter()
        .map(|(name, distribution, colour, look)| Line {
            name: (*name).to_owned(),
            colour: *colour,
            look: *look,
            points: curve_points(distribution),
        })
        .collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let nines = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let low = points().map(|(_, ns)| *ns).fold(f64::INFINITY, f64::min);
    let high = points().map(|(_, ns)| *ns).fold(1.0, f64::max);
    let names = [
        (0.0, "0 %"),
        (50.0, "50 %"),
        (90.0, "90 %"),
        (99.0, "99 %"),
        (99.9, "99.9 %"),
        (99.99, "99.99 %"),
        (99.999, "99.999 %"),
        (99.9999, "99.9999 %"),
    ];
    let ticks = names.iter().map(|(p, name)| (rarity(p / 100.0), (*name).to_owned()));
    let hover = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999, 99.9999]
        .into_iter()
        .filter(|p| shown.iter().any(|(_, distribution, _, _)| distribution.percentile(*p).is_some()));
    let hover: Vec<_> = hover.collect();
    Chart {
        title: if closed { "Latency by percentile (CLOSED)" } else { "Latency by percentile" }.to_owned(),
        note: if closed {
            "The next record is sent when one is acknowledged: not what a user at a given rate would see. A curve ends \
             where fewer than 100 samples lie above."
        } else {
            "Solid: from the intended time. Dashed: from the actual time of sending. A curve ends where fewer than 100 \
             samples lie above."
        }
        .to_owned(),
        width: WIDE.0,
        height: WIDE.1,
        x: Axis {
            scale: Scale::Linear { min: 0.0, max: nines },
            ticks: ticks.filter(|(x, _)| *x <= nines * 1.001).collect(),
            name: "percentile".to_owned(),
        },
        y: latency_axis(Scale::log_around(if low.is_finite() { low } else { 1e3 }, high)),
        lines,
        marks: Vec::new(),
        below: String::new(),
        aside: String::new(),
        hover: Some(Hover {
            at: hover.iter().map(|p| (rarity(p / 100.0), format!("{p} %"))).collect(),
            rows: shown
                .iter()
                .map(|(name, distribution, colour, _)| {
                    let texts =
                        hover.iter().map(|p| distribution.percentile(*p).map_or_else(String::new, human::duration));
                    ((*name).to_owned(), *colour, texts.collect())
                })
                .collect(),
        }),
    }
}

/// How rare a share is: 0 at the start, 1 at 90 %, 2 at 99 %, 3 at 99.9 %.
fn rarity(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// Rarity and latency of each recorded value, as far as 100 samples lie above it.
pub(super) fn curve_points(distribution: &Distribution) -> Vec<(f64, f64)> {
    // The highest rank that 100 samples lie above.
    let limit = distribution.count.saturating_sub(ABOVE_MIN);
    let mut points = Vec::with_capacity(distribution.buckets.len() + 1);
    let mut seen = 0;
    for (ns, count) in &distribution.buckets {
        if seen >= limit {
            break;
        }
        if seen == 0 {
            points.push((0.0, *ns as f64));
        }
        seen += count;
        points.push((rarity(seen.min(limit) as f64 / distribution.count as f64), *ns as f64));
    }
    points
}

/// One scale for both metrics, so that the plots side by side compare.
fn shared_scale(run: &RunResult, metrics: impl Iterator<Item = Metric>) -> Scale {
    let mut low = f64::INFINITY;
    let mut high: f64 = 1.0;
    for metric in metrics {
        for point in &run.series.points {
            let bins = &bins(point, metric).0;
            if let (Some(first), Some(last)) = (bins.first(), bins.last()) {
                low = low.min(Bins::lower_ns(first.0));
                high = high.max(Bins::lower_ns(last.0 + 1));
            }
        }
    }
    Scale::log_around(if low.is_finite() { low } else { 1e3 }, high)
}

pub(super) fn bins(point: &Point, metric: Metric) -> &Bins {
    match metric {
        Metric::PutAck => &point.put_ack,
        Metric::PutToGet => &point.put_to_get,
    }
}

pub(super) fn time_axis(run: &RunResult) -> Axis {
    let seconds = (run.series.points.len() as u64 * run.series.interval_ms) as f64 / 1e3;
    let (unit, name) = match seconds {
        long if long >= 7_200.0 => (3_600.0, "h"),
        long if long >= 300.0 => (60.0, "min"),
        _ => (1.0, "s"),
    };
    // Round in the unit that is shown: a tick of 200 s is no number of minutes.
    let ticks = Scale::Linear { min: 0.0, max: seconds.max(0.001) / unit }.ticks();
    Axis {
        scale: Scale::Linear { min: 0.0, max: seconds.max(0.001) },
        ticks: ticks.into_iter().map(|tick| (tick * unit, format!("{} {name}", (tick * 1e3).round() / 1e3))).collect(),
        name: "time since the warm-up".to_owned(),
    }
}

fn middle(point: &Point, run: &RunResult) -> f64 {
    (point.start_ms as f64 + run.series.interval_ms as f64 / 2.0) / 1e3
}

fn second(point: &Point) -> String {
    format!("{} s", point.start_ms as f64 / 1e3)
}

/// What was done to the node, across a plot over time.
pub(super) fn faults(run: &RunResult) -> Vec<Mark> {
    let mark = |fault: &crate::result::FaultOutcome| Mark {
        name: fault.kind.clone(),
        vertical: true,
        at: fault.at_ms as f64 / 1e3,
    };
    run.faults.iter().map(mark).collect()
}

fn latency_over_time(run: &RunResult, metric: Metric, name: &str, scale: Scale) -> Chart {
    let points = &run.series.points;
    let mut lines = Vec::new();
    let max = |point: &Point| bins(point, metric).0.last().map_or(f64::NAN, |(bin, _)| Bins::lower_ns(bin + 1));
    lines.push(Line {
        name: "max".to_owned(),
        colour: 5,
        look: Look::Thin,
        points: points.iter().map(|point| (middle(point, run), max(point))).collect(),
    });
    for (p, colour) in OVER_TIME {
        if let Some((slices, line)) = windows(run, metric, p) {
            let span = slices as u64 * run.series.interval_ms;
            let per = if slices == 1 { String::new() } else { format!(" of {} s", span as f64 / 1e3) };
            lines.push(Line { name: format!("p{p}{per}"), colour, look: Look::Solid, points: line });
        }
    }
    let texts = |p: f64| {
        points.iter().map(move |point| bins(point, metric).percentile(p).map_or_else(String::new, human::duration))
    };
    let mut rows = vec![("max".to_owned(), 5, points.iter().map(|point| duration_text(max(point))).collect())];
    rows.extend(OVER_TIME.iter().map(|(p, colour)| (format!("p{p}"), *colour, texts(*p).collect())));
    rows.push((
        "samples".to_owned(),
        5,
        points.iter().map(|point| human::count(bins(point, metric).count())).collect(),
    ));
    Chart {
        title: format!("{name} over time{}", closed(run)),
        note: "From coarse bins: up to 4.4 % too high. A percentile covers as many slices as it needs samples."
            .to_owned(),
        width: HALF.0,
        height: HALF.1,
        x: time_axis(run),
        y: latency_axis(scale),
        lines,
        marks: faults(run),
        below: String::new(),
        aside: String::new(),
        hover: Some(Hover { at: points.iter().map(|point| (middle(point, run), second(point))).collect(), rows }),
    }
}

fn closed(run: &RunResult) -> &'static str {
    if run.verdict.closed_loop { " (CLOSED)" } else { "" }
}

fn duration_text(ns: f64) -> String {
    if ns.is_finite() { human::duration(ns as u64) } else { String::new() }
}

/// A percentile over time, over windows of so few slices as give most of them enough samples: slices and points. `None` if
/// not even a few windows have enough.
fn windows(run: &RunResult, metric: Metric, p: f64) -> Option<(usize, Vec<(f64, f64)>)> {
    let points = &run.series.points;
    let mut slices = 1;
    while points.len() / slices >= WINDOWS_MIN {
        let line = points.chunks(slices).map(|window| {
            let mut all = Bins::default();
            window.iter().for_each(|point| all.add(bins(point, metric)));
            let first = window.first().map_or(0, |point| point.start_ms) as f64;
            let span = (window.len() as u64 * run.series.interval_ms) as f64;
            ((first + span / 2.0) / 1e3, all.percentile(p).map_or(f64::NAN, |ns| ns as f64))
        });
        let line: Vec<_> = line.collect();
        let given = line.iter().filter(|(_, ns)| ns.is_finite()).count();
        if given * 10 >= line.len() * 9 {
            return Some((slices, line));
        }
        slices *= 2;
    }
    None
}

/// Scheduled, acknowledged and read per second; what a run has not is not drawn.
fn throughput(
    run: &RunResult,
    what: &str,
    of: impl Fn(&Point) -> (u64, u64, u64),
    text: impl Fn(f64) -> String,
) -> Chart {
    let groups = run.workload.read.groups.max(1);
    let end_ms = run.measured_s * 1e3;
    // What comes after the load has ended is no rate.
    let points: Vec<_> = run.series.points.iter().filter(|point| (point.start_ms as f64) < end_ms).collect();
    let per_second = |point: &Point, count: u64| {
        // The last slice may have been cut short.
        let span = (end_ms - point.start_ms as f64).clamp(1.0, run.series.interval_ms as f64);
        count as f64 * 1e3 / span
    };
    let series = |pick: fn((u64, u64, u64)) -> u64, share: f64| -> Vec<f64> {
        points.iter().map(|point| per_second(point, pick(of(point))) * share).collect()
    };
    let read = if groups == 1 { "read".to_owned() } else { format!("read, mean of {groups} groups") };
    let mut all = vec![("scheduled".to_owned(), 5, Look::Dashed, series(|(scheduled, _, _)| scheduled, 1.0))];
    all.push(("acknowledged".to_owned(), 1, Look::Broad, series(|(_, acked, _)| acked, 1.0)));
    all.push((read, 2, Look::Solid, series(|(_, _, received)| received, 1.0 / f64::from(groups))));
    // A closed loop has no schedule.
    let has_schedule = !run.verdict.closed_loop;
    all.retain(|(_, _, look, values)| {
        values.iter().any(|value| *value > 0.0) && (has_schedule || *look != Look::Dashed)
    });
    let max = all.iter().flat_map(|(_, _, _, values)| values).copied().fold(0.0, f64::max);
    let at: Vec<_> = points.iter().map(|point| (middle(point, run), second(point))).collect();
    let lines = all.iter().map(|(name, colour, look, values)| Line {
        name: name.clone(),
        colour: *colour,
        look: *look,
        points: at.iter().map(|(x, _)| *x).zip(values.iter().copied()).collect(),
    });
    let rows = all
        .iter()
        .map(|(name, colour, _, values)| (name.clone(), *colour, values.iter().map(|value| text(*value)).collect()));
    Chart {
        title: format!("{what} per second{}", closed(run)),
        note: String::new(),
        width: HALF.0,
        height: HALF.1,
        x: time_axis(run),
        y: Axis::new(Scale::from_zero(max), "", |value| round(&text(value))),
        lines: lines.collect(),
        marks: faults(run),
        below: String::new(),
        aside: String::new(),
        hover: Some(Hover { rows: rows.collect(), at }),
    }
}

fn heat_map(run: &RunResult, metric: Metric, name: &str, scale: Scale) -> String {
    let mut chart = Chart {
        title: format!("{name}: where the samples are{}", closed(run)),
        note: String::new(),
        width: HALF.0,
        height: HALF.1,
        x: time_axis(run),
        y: latency_axis(scale),
        lines: Vec::new(),
        marks: faults(run),
        below: String::new(),
        aside: String::new(),
        hover: None,
    };
    let heat = heat::Heat::new(run, metric);
    chart.below = heat.draw(&chart);
    chart.note = heat.note();
    chart.aside = heat.legend();
    chart.render()
}

fn latency_against_rate(sweep: &Sweep) -> Chart {
    let mut probes: Vec<_> = sweep.probes.iter().collect();
    probes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let objective = sweep.objective;
    let name = crate::summary::metric_name(objective.metric);
    let mut wanted = vec![(50.0, 1_u8), (99.0, 3), (99.9, 4)];
    if !wanted.iter().any(|(p, _)| *p == objective.percentile) {
        wanted.push((objective.percentile, 2));
        wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let value = |run: &RunResult, p: f64| run.latency.get(objective.metric).percentile(p);
    let lines: Vec<_> = wanted
        .iter()
        .map(|(p, colour)| Line {
            name: format!("{name} p{p}"),
            colour: *colour,
            look: Look::Dotted,
            points: probes.iter().filter_map(|probe| Some((probe.rate, value(&probe.run, *p)? as f64))).collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let values = || lines.iter().flat_map(|line| line.points.iter().map(|(_, ns)| *ns));
    let limit = objective.ns_max as f64;
    let scale = Scale::log_around(values().fold(limit, f64::min), values().fold(limit, f64::max));
    let rates = Scale::from_zero(probes.last().map_or(1.0, |probe| probe.rate));
    let mut marks =
        vec![Mark { name: format!("objective {}", human::duration(objective.ns_max)), vertical: false, at: limit }];
    if let Some(best) = sweep.best_rate {
        marks.push(Mark { name: format!("{}/s", human::rate(best)), vertical: true, at: best });
    }
    let mut rows: Vec<_> = wanted
        .iter()
        .map(|(p, colour)| {
            let texts = probes.iter().map(|probe| value(&probe.run, *p).map_or_else(String::new, human::duration));
            (format!("{name} p{p}"), *colour, texts.collect::<Vec<_>>())
        })
        .collect();
    let held = |missed: &[String]| if missed.is_empty() { "held".to_owned() } else { "missed".to_owned() };
    rows.push(("objective".to_owned(), 5, probes.iter().map(|probe| held(&probe.missed)).collect()));
    Chart {
        title: "Latency against rate".to_owned(),
        note: "Each dot is a run of its own at that rate.".to_owned(),
        width: WIDE.0,
        height: WIDE.1 + 40.0,
        x: Axis::new(rates, "records per second offered", |rate| round(&human::rate(rate))),
        y: latency_axis(scale),
        lines,
        marks,
        below: String::new(),
        aside: String::new(),
        hover: Some(Hover { at: probes.iter().map(|probe| (probe.rate, rate_text(probe.rate))).collect(), rows }),
    }
}
