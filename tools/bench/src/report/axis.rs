//! Scales: from values to pixels, with ticks at numbers that people like.

/// How values become positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Equal steps are equal distances.
    Linear {
        /// Value at the low end.
        min: f64,
        /// Value at the high end.
        max: f64,
    },
    /// Equal ratios are equal distances.
    Log {
        /// Value at the low end, above 0.
        min: f64,
        /// Value at the high end.
        max: f64,
    },
}

impl Scale {
    /// From 0 to a round number above `max`.
    #[must_use]
    pub fn from_zero(max: f64) -> Self {
        let max = if max > 0.0 && max.is_finite() { max } else { 1.0 };
        let step = round_step(max);
        Self::Linear { min: 0.0, max: (max * 1.02 / step).ceil() * step }
    }

    /// A logarithmic scale that holds both values with room, and at least a factor of ten.
    #[must_use]
    pub fn log_around(min: f64, max: f64) -> Self {
        let (min, max) = (min.max(1.0), max.max(min).max(1.0));
        let (low, high) = (floor_125(min / 1.05), ceil_125(max * 1.05));
        if high / low >= 10.0 { Self::Log { min: low, max: high } } else { Self::Log { min: low, max: low * 10.0 } }
    }

    /// Where a value lies between the ends: 0 to 1. Values beyond an end lie on it.
    #[must_use]
    pub fn place(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { min, max } => (value - min) / (max - min),
            Self::Log { min, max } => (value.max(min) / min).ln() / (max / min).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Values for ticks, ascending, within the ends.
    #[must_use]
    pub fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear { min, max } => {
                let step = round_step(max - min);
                let first = (min / step).ceil() as i64;
                let last = (max / step * (1.0 + 1e-9)).floor() as i64;
                (first..=last).map(|nth| nth as f64 * step).collect()
            }
            Self::Log { min, max } => {
                let decades = (max / min).log10();
                let steps: &[f64] = match decades {
                    d if d <= 3.05 => &[1.0, 2.0, 5.0],
                    _ => &[1.0],
                };
                let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
                let all = (first..=last).flat_map(|exp| steps.iter().map(move |step| step * 10_f64.powi(exp)));
                all.filter(|tick| *tick >= min * (1.0 - 1e-9) && *tick <= max * (1.0 + 1e-9)).collect()
            }
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts the span into four to ten parts.
fn round_step(span: f64) -> f64 {
    let rough = span / 5.0;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * magnitude >= rough * 0.999).unwrap_or(10.0);
    step * magnitude
}

fn floor_125(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.log10().floor());
    let digit = [5.0, 2.0, 1.0].into_iter().find(|digit| digit * magnitude <= value * (1.0 + 1e-9)).unwrap_or(1.0);
    digit * magnitude
}

fn ceil_125(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.log10().floor());
    let digit =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * magnitude >= value * (1.0 - 1e-9)).unwrap_or(10.0);
    digit * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a scale from zero ends at a round number above the largest value, also for silly values.
    #[test]
    fn linear_scales() {
        assert_eq!(Scale::from_zero(9_300.0), Scale::Linear { min: 0.0, max: 10_000.0 });
        assert_eq!(Scale::from_zero(9_300.0).ticks(), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0, 10_000.0]);
        assert_eq!(Scale::from_zero(0.0).ticks().first(), Some(&0.0));
        for silly in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!((2..20).contains(&Scale::from_zero(silly).ticks().len()), "{silly}");
        }
    }

    /// Goal: a logarithmic scale holds its values, has equal distances for equal ratios, and a bearable number of ticks.
    #[test]
    fn log_scales() {
        let scale = Scale::log_around(120e3, 4e6);
        assert_eq!(scale, Scale::Log { min: 100e3, max: 5e6 });
        assert_eq!(scale.ticks(), [100e3, 200e3, 500e3, 1e6, 2e6, 5e6]);
        let (a, b, c) = (scale.place(200e3), scale.place(400e3), scale.place(800e3));
        assert!(((b - a) - (c - b)).abs() < 1e-12);
        assert_eq!((scale.place(0.0), scale.place(1e12)), (0.0, 1.0));
        for (min, max) in [(1.0, 1.0), (1.0, 3.6e12), (0.0, 0.0), (5e5, 5.1e5)] {
            let scale = Scale::log_around(min, max);
            assert!((2..=14).contains(&scale.ticks().len()), "{scale:?}: {:?}", scale.ticks());
        }
    }
}
