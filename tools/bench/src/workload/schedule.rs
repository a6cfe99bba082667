//! When records are to be sent: the intended times of an open loop.
//!
//! A schedule is a pure function of its description, the seed and the thread's place among the threads. It knows no clock
//! and never looks at how the server does. Times are nanoseconds from the start of the load.

#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::rng::Rng;
use crate::units::{Rate, Time};

/// Records per second at most: a record per nanosecond.
const RATE_MAX: f64 = 1e9;

/// When records are to be sent, all producers together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// At equal distances.
    Fixed {
        /// Records per second.
        rate: Rate,
    },
    /// At random, independent of each other: what many independent users make.
    Poisson {
        /// Records per second on average.
        rate: Rate,
    },
    /// Many at once, then none until the next burst.
    Burst {
        /// Time from one burst to the next.
        every: Time,
        /// Records of a burst, all intended for the same moment.
        records: u64,
    },
    /// Equal distances at one rate after the other; the last one stays.
    Step {
        /// The rates.
        steps: Vec<Step>,
    },
}

/// A rate for a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Records per second.
    pub rate: Rate,
    /// How long.
    pub lasts: Time,
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Fixed { rate: Rate(1_000.0) }
    }
}

impl Schedule {
    /// Whether the values make sense.
    pub fn check(&self) -> Result<()> {
        let rate_fits =
            |rate: Rate| ensure_rate(rate.0).then_some(()).ok_or_else(|| anyhow::anyhow!("rate: {rate}; above 0"));
        match self {
            Self::Fixed { rate } | Self::Poisson { rate } => rate_fits(*rate)?,
            Self::Burst { every, records } => {
                ensure!(every.0 > 0 && *records > 0, "a burst has records, and a time to the next one");
            }
            Self::Step { steps } => {
                ensure!(!steps.is_empty(), "steps: there is none");
                for step in steps {
                    rate_fits(step.rate)?;
                    ensure!(step.lasts.0 > 0, "lasts: a step takes some time");
                }
            }
        }
        Ok(())
    }

    /// Records per second on average; of the first step if there are several.
    #[must_use]
    pub fn rate(&self) -> f64 {
        match self {
            Self::Fixed { rate } | Self::Poisson { rate } => rate.0,
            Self::Burst { every, records } => *records as f64 / every.secs(),
            Self::Step { steps } => steps.first().map_or(0.0, |step| step.rate.0),
        }
    }

    /// The same schedule at another average rate. A burst keeps its size and comes more or less often.
    #[must_use]
    pub fn at_rate(&self, rate: f64) -> Self {
        match self {
            Self::Fixed { .. } | Self::Step { .. } => Self::Fixed { rate: Rate(rate) },
            Self::Poisson { .. } => Self::Poisson { rate: Rate(rate) },
            Self::Burst { records, .. } => {
                Self::Burst { every: Time((*records as f64 / rate * 1e9).round().max(1.0) as u64), records: *records }
            }
        }
    }

    /// The part of a thread: number `thread` of `threads`. All parts together are the schedule.
    #[must_use]
    pub fn times(&self, thread: u32, threads: u32, seed: u64) -> Times {
        let (at, of) = (u64::from(thread), u64::from(threads));
        let kind = match self {
            Self::Fixed { rate } => Kind::Steps { steps: vec![(rate.0, u64::MAX)], step: 0, start: 0, first: 0 },
            Self::Step { steps } => {
                let mut steps: Vec<_> = steps.iter().map(|step| (step.rate.0, step.lasts.0)).collect();
                if let Some(last) = steps.last_mut() {
                    last.1 = u64::MAX;
                }
                Kind::Steps { steps, step: 0, start: 0, first: 0 }
            }
            Self::Poisson { rate } => {
                Kind::Poisson { mean_ns: 1e9 * of as f64 / rate.0, at_ns: 0.0, rng: Rng::part(seed, at) }
            }
            Self::Burst { every, records } => Kind::Burst { every: every.0, records: *records },
        };
        Times { kind, next: at, of }
    }
}

fn ensure_rate(rate: f64) -> bool {
    rate > 0.0 && rate <= RATE_MAX
}

/// The intended times of one thread, ascending, without end.
#[derive(Clone, Debug)]
pub struct Times {
    kind: Kind,
    /// Number of this thread's next record among all records.
    next: u64,
    /// Threads, so the distance to this thread's record after it.
    of: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    Steps {
        /// Rate, and how long it lasts.
        steps: Vec<(f64, u64)>,
        step: usize,
        /// When the step begins.
        start: u64,
        /// Number of the step's first record.
        first: u64,
    },
    Poisson {
        mean_ns: f64,
        at_ns: f64,
        rng: Rng,
    },
    Burst {
        every: u64,
        records: u64,
    },
}

impl Iterator for Times {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let number = self.next;
        self.next += self.of;
        match &mut self.kind {
            Kind::Steps { steps, step, start, first } => loop {
                let (rate, lasts) = steps[*step];
                // Each time from its number, not from the one before: errors do not add up.
                let after = ((number - *first) as f64 / rate * 1e9).round() as u64;
                if after < lasts {
                    return start.checked_add(after);
                }
                // The next step's first record is the first one that does not fit into this.
                *first += (rate * (lasts as f64 / 1e9)).ceil() as u64;
                *start += lasts;
                *step += 1;
            },
            Kind::Poisson { mean_ns, at_ns, rng } => {
                *at_ns += *mean_ns * rng.exponential();
                Some(at_ns.round() as u64)
            }
            Kind::Burst { every, records } => (number / *records).checked_mul(*every),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All times below `until`, of `threads` threads together, in order.
    fn times(schedule: &Schedule, threads: u32, until: Time) -> Vec<u64> {
        schedule.check().unwrap();
        let of = |thread| schedule.times(thread, threads, 1).take_while(|at| *at < until.0);
        let mut all: Vec<_> = (0..threads).flat_map(of).collect();
        assert!((0..threads).all(|thread| of(thread).is_sorted()));
        all.sort_unstable();
        all
    }

    /// Goal: a fixed rate gives exactly its number of records, evenly spaced, however many threads share it, and does not
    /// drift.
    #[test]
    fn fixed_is_exact() {
        for threads in [1, 3] {
            for rate in [1.0, 7.0, 999.0, 12_345.0] {
                let all = times(&Schedule::Fixed { rate: Rate(rate) }, threads, Time::from_secs(10));
                assert_eq!(all.len() as f64, rate * 10.0, "{rate} by {threads}");
                let gap = 1e9 / rate;
                assert!(all.windows(2).all(|pair| ((pair[1] - pair[0]) as f64 - gap).abs() <= 1.0), "{rate}");
            }
        }
        let late = Schedule::Fixed { rate: Rate(3.0) }.times(0, 1, 1).nth(3_000_000).unwrap();
        assert_eq!(late, 1_000_000_000_000_000);
    }

    /// Goal: a Poisson schedule has its rate, exponential gaps, and is the same for the same seed.
    #[test]
    fn poisson_has_its_rate_and_spread() {
        for threads in [1, 4] {
            let schedule = Schedule::Poisson { rate: Rate(10_000.0) };
            let all = times(&schedule, threads, Time::from_secs(20));
            assert!(all.len().abs_diff(200_000) < 2_000, "{}", all.len());
            let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "an exponential's deviation is its mean");
            let long = gaps.iter().filter(|gap| **gap > 3.0 * mean).count() as f64 / gaps.len() as f64;
            assert!((long - (-3.0_f64).exp()).abs() < 0.004, "{long}");
            assert_eq!(all, times(&schedule, threads, Time::from_secs(20)));
        }
    }

    /// Goal: bursts have their size at their time, also when threads share them.
    #[test]
    fn bursts_are_whole() {
        let schedule = Schedule::Burst { every: Time::from_millis(100), records: 50 };
        for threads in [1, 3] {
            let all = times(&schedule, threads, Time::from_secs(1));
            assert_eq!(all.len(), 500);
            for (at, burst) in all.chunks(50).enumerate() {
                assert!(burst.iter().all(|time| *time == at as u64 * 100_000_000));
            }
        }
    }

    /// Goal: each step has its rate for its time, without a gap or a double between two, and the last one stays.
    #[test]
    fn steps_follow_each_other() {
        let step = |rate, secs| Step { rate: Rate(rate), lasts: Time::from_secs(secs) };
        let schedule = Schedule::Step { steps: vec![step(100.0, 2), step(1_000.0, 1), step(33.0, 1)] };
        for threads in [1, 2, 3] {
            let all = times(&schedule, threads, Time::from_secs(6));
            let within = |from: u64, to: u64| {
                all.iter().filter(|at| (from * 1_000_000_000..to * 1_000_000_000).contains(*at)).count()
            };
            let counts = (within(0, 2), within(2, 3), within(3, 4), within(4, 5), within(5, 6));
            assert_eq!(counts, (200, 1_000, 33, 33, 33), "{threads} threads");
        }
    }

    /// Goal: another rate changes the rate and not the kind.
    #[test]
    fn at_rate_keeps_the_kind() {
        for schedule in [
            Schedule::Fixed { rate: Rate(5.0) },
            Schedule::Poisson { rate: Rate(5.0) },
            Schedule::Burst { every: Time::from_secs(1), records: 5 },
        ] {
            let faster = schedule.at_rate(50.0);
            assert!((faster.rate() - 50.0).abs() < 1e-6);
            assert_eq!(std::mem::discriminant(&faster), std::mem::discriminant(&schedule));
        }
    }

    /// Goal: schedules without records or time are refused.
    #[test]
    fn nonsense_is_refused() {
        for schedule in [
            Schedule::Fixed { rate: Rate(0.0) },
            Schedule::Poisson { rate: Rate(f64::NAN) },
            Schedule::Burst { every: Time(0), records: 5 },
            Schedule::Burst { every: Time(5), records: 0 },
            Schedule::Step { steps: vec![] },
        ] {
            assert!(schedule.check().is_err(), "{schedule:?}");
        }
    }
}
