//! The highest rate that holds an objective: doubling until it is missed, then halving the distance.
//!
//! The search itself is pure: it is told of each probe and says which rate comes next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};

use crate::driver::Driver;
use crate::human;
use crate::node::Node;
use crate::result::{Objective, Probe, RunResult, SCHEMA, Sweep};
use crate::run::{self, Observer, Setup};
use crate::stats::ABOVE_MIN;
use crate::summary::metric_name;
use crate::units::Time;

/// Probes at most.
const PROBES_MAX: u32 = 24;

/// A probe has to acknowledge this share of its rate.
const ACHIEVED_MIN: f64 = 0.99;

/// For the sake of its percentile a probe is made longer than the workload says, up to so many times.
const LONGER_MAX: u64 = 10;

/// The search: rates tried, and what is left between the best and the worst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The highest rate that held.
    pub best: Option<f64>,
    /// The lowest that did not.
    pub worst: Option<f64>,
    /// The search ends when best and worst are this close, as a share of the worst.
    precision: f64,
    first: f64,
}

impl Search {
    /// A search that begins at `first`.
    #[must_use]
    pub const fn new(first: f64, precision: f64) -> Self {
        Self { best: None, worst: None, precision, first }
    }

    /// The rate to try; `None` when the search is over.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        match (self.best, self.worst) {
            (None, None) => Some(self.first),
            (Some(best), None) => Some(best * 2.0),
            // Nothing held yet: further down, until less than a record per second is left.
            (None, Some(worst)) => (worst > 1.0).then_some(worst / 2.0),
            (Some(best), Some(worst)) => (worst - best > worst * self.precision).then(|| (best + worst) / 2.0),
        }
    }

    /// What became of a rate.
    pub fn tried(&mut self, rate: f64, held: bool) {
        if held {
            self.best = Some(self.best.map_or(rate, |best| best.max(rate)));
        } else {
            self.worst = Some(self.worst.map_or(rate, |worst| worst.min(rate)));
        }
    }
}

/// How long a probe at a rate has to be so that its percentile has enough samples above it, also where random times bring a few
/// less than were to be expected.
#[must_use]
pub fn needed(percentile: f64, rate: f64) -> Time {
    let samples = ABOVE_MIN as f64 / (1.0 - percentile / 100.0);
    Time(((samples + 5.0 * samples.sqrt()) / rate * 1e9) as u64)
}

/// Why a run does not hold an objective at a rate; nothing if it does.
#[must_use]
pub fn missed(result: &RunResult, objective: &Objective, rate: f64) -> Vec<String> {
    let mut missed = Vec::new();
    missed.extend(result.verdict.failed.iter().cloned());
    missed.extend(result.verdict.invalid.iter().cloned());
    match result.latency.get(objective.metric).percentile(objective.percentile) {
        None => missed.push(format!("too few samples for p{}", objective.percentile)),
        Some(ns) if ns > objective.ns_max => missed.push(format!(
            "{} p{} is {}",
            metric_name(objective.metric),
            objective.percentile,
            human::duration(ns)
        )),
        Some(_) => {}
    }
    let errors = result.put.failed + result.put.unknown + result.put.unresolved;
    if errors > 0 {
        missed.push(format!("{errors} puts without success"));
    }
    if result.put.records_per_s < rate * ACHIEVED_MIN {
        missed.push(format!("{:.0} records per second acknowledged of {rate:.0}", result.put.records_per_s));
    }
    missed
}

/// Searches. Every probe is a run with a stream of its own.
pub fn find_max<D: Driver>(
    setup: &Setup,
    objective: Objective,
    precision: f64,
    node: Option<&Arc<Mutex<Node>>>,
    interrupt: &AtomicBool,
    observers: &mut [&mut dyn Observer],
) -> Result<Sweep> {
    ensure!(!setup.workload.is_closed(), "a closed loop has no rate to search for");
    ensure!(!setup.existing, "every probe needs a stream of its own");
    ensure!(precision > 0.0 && precision < 1.0, "the precision is a share between 0 and 1");
    let first = setup.workload.load.schedule.rate();
    let mut search = Search::new(first, precision);
    let mut probes = Vec::new();
    let longest = Time(setup.workload.duration.0.saturating_mul(LONGER_MAX));
    let percentile = objective.percentile;
    ensure!(
        needed(percentile, first) <= longest,
        "{first:.0} records per second are too few for p{percentile}: {:.0} s would have to be measured; begin with a higher \
         --rate, or give a longer --duration",
        needed(percentile, first).0 as f64 / 1e9
    );
    while let Some(rate) = search.next().filter(|_| probes.len() < PROBES_MAX as usize) {
        let needed = needed(percentile, rate);
        if needed > longest {
            // Down here nothing could be said.
            break;
        }
        let mut workload = setup.workload.clone();
        workload.duration = workload.duration.max(needed);
        workload.load.schedule = workload.load.schedule.at_rate(rate);
        let fresh = Setup::new(workload, setup.target.clone());
        let probe = Setup {
            stream: fresh.stream,
            run_id: fresh.run_id,
            workload: fresh.workload,
            // Once is enough.
            calibrate: setup.calibrate && probes.is_empty(),
            ..setup.clone()
        };
        let seconds = probe.workload.duration.0 as f64 / 1e9;
        observers
            .iter_mut()
            .for_each(|observer| observer.note(&format!("trying {rate:.0} records per second for {seconds:.0} s")));
        let run = run::run::<D>(&probe, node, interrupt, observers)?;
        if interrupt.load(Ordering::Relaxed) {
            break;
        }
        let missed = missed(&run, &objective, rate);
        search.tried(rate, missed.is_empty());
        probes.push(Probe { rate, missed, run });
    }
    let limit = probes.iter().filter(|probe| Some(probe.rate) == search.worst);
    let limited_by_generator = limit.clone().any(|probe| !probe.run.verdict.invalid.is_empty());
    Ok(Sweep { schema: SCHEMA, objective, best_rate: search.best, limited_by_generator, probes })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search against a server that holds up to `limit`; gives the best rate and the number of probes.
    fn search(first: f64, limit: f64) -> (Option<f64>, u32) {
        let (mut search, mut probes) = (Search::new(first, 0.05), 0);
        while let Some(rate) = search.next() {
            search.tried(rate, rate <= limit);
            probes += 1;
            assert!(probes < 100, "it does not end");
        }
        (search.best, probes)
    }

    /// Goal: the search finds the limit to 5 %, from below and from above, with few probes, and gives up at nothing.
    #[test]
    fn the_limit_is_found() {
        for (first, limit) in [(1_000.0, 63_123.0), (1_000_000.0, 63_123.0), (1_000.0, 1_000.0), (10.0, 12.0)] {
            let (best, probes) = search(first, limit);
            let best = best.unwrap();
            assert!(best <= limit && best >= limit * 0.9, "{best} of {limit}");
            assert!(probes <= PROBES_MAX, "{probes}");
        }
        assert_eq!(search(1_000.0, 0.1).0, None);
    }

    /// Goal: a probe is long enough for its percentile: 10,000 records and some for p99, 200 and some for the median.
    #[test]
    fn probes_are_long_enough() {
        let seconds = |percentile, rate| needed(percentile, rate).0 as f64 / 1e9;
        assert!((10.0..11.0).contains(&seconds(99.0, 1_000.0)), "{}", seconds(99.0, 1_000.0));
        assert!((2.0..3.0).contains(&seconds(50.0, 100.0)));
        assert!((99.0..102.0).contains(&seconds(99.99, 10_000.0)));
    }
}
