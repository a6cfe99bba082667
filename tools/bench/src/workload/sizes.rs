//! How many bytes of data a record has.

#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::keys::Alias;
use crate::rng::Rng;
use crate::units::Size;

/// The largest record of any stream.
const BYTES_MAX: u64 = millstream::limits::RECORD_BYTES_MAX as u64 - millstream::limits::KEY_BYTES_MAX as u64;

/// A distribution of sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sizes {
    /// All the same.
    Fixed {
        /// The size.
        bytes: Size,
    },
    /// Every size between two, both included, as often as any other.
    Uniform {
        /// The smallest.
        min: Size,
        /// The largest.
        max: Size,
    },
    /// Many small ones and a long tail: the logarithm is normally distributed. What lies outside the bounds becomes them.
    LogNormal {
        /// Half are smaller.
        median: Size,
        /// Deviation of the natural logarithm.
        sigma: f64,
        /// The smallest.
        min: Size,
        /// The largest.
        max: Size,
    },
    /// Several sizes by weight.
    Mixed {
        /// The sizes.
        parts: Vec<Part>,
    },
}

/// A size of a mix.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The size.
    pub bytes: Size,
    /// How often, relative to the others.
    pub weight: f64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Fixed { bytes: Size(1_024) }
    }
}

impl Sizes {
    /// The smallest size that can come.
    #[must_use]
    pub fn smallest(&self) -> u64 {
        match self {
            Self::Fixed { bytes } => bytes.0,
            Self::Uniform { min, .. } | Self::LogNormal { min, .. } => min.0,
            Self::Mixed { parts } => parts.iter().map(|part| part.bytes.0).min().unwrap_or(0),
        }
    }

    /// The largest size that can come.
    #[must_use]
    pub fn largest(&self) -> u64 {
        match self {
            Self::Fixed { bytes } => bytes.0,
            Self::Uniform { max, .. } | Self::LogNormal { max, .. } => max.0,
            Self::Mixed { parts } => parts.iter().map(|part| part.bytes.0).max().unwrap_or(0),
        }
    }

    /// Whether the values make sense.
    pub fn check(&self) -> Result<()> {
        ensure!(self.smallest() <= self.largest(), "the smallest size is above the largest");
        ensure!(self.largest() <= BYTES_MAX, "{} bytes; a record has at most {BYTES_MAX}", self.largest());
        match self {
            Self::Fixed { .. } | Self::Uniform { .. } => {}
            Self::LogNormal { sigma, median, .. } => {
                ensure!((0.0..=10.0).contains(sigma) && median.0 > 0, "sigma is 0 to 10, the median above 0");
            }
            Self::Mixed { parts } => {
                let weights_fit = parts.iter().all(|part| part.weight >= 0.0 && part.weight.is_finite());
                let sum: f64 = parts.iter().map(|part| part.weight).sum();
                ensure!(weights_fit && sum > 0.0, "parts: weights are 0 or more, and not all 0");
            }
        }
        Ok(())
    }

    /// A way to draw sizes.
    #[must_use]
    pub fn draw(&self) -> DrawSize {
        match self {
            Self::Fixed { bytes } => DrawSize::Fixed(bytes.0 as usize),
            Self::Uniform { min, max } => DrawSize::Uniform(min.0, max.0),
            Self::LogNormal { median, sigma, min, max } => DrawSize::LogNormal {
                ln_median: (median.0 as f64).ln(),
                sigma: *sigma,
                min: min.0 as f64,
                max: max.0 as f64,
            },
            Self::Mixed { parts } => {
                let weights: Vec<_> = parts.iter().map(|part| part.weight).collect();
                let bytes = parts.iter().map(|part| part.bytes.0 as usize).collect();
                DrawSize::Mixed(bytes, Alias::new(&weights))
            }
        }
    }
}

/// Draws sizes.
#[derive(Clone, Debug)]
pub enum DrawSize {
    /// Always this one.
    Fixed(usize),
    /// Between two, both included.
    Uniform(u64, u64),
    /// With a normally distributed logarithm.
    LogNormal {
        /// Logarithm of the median.
        ln_median: f64,
        /// Deviation of the logarithm.
        sigma: f64,
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// By weight.
    Mixed(Vec<usize>, Alias),
}

impl DrawSize {
    /// The next record's size.
    pub fn next(&self, rng: &mut Rng) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform(min, max) => (min + rng.below(max - min + 1)) as usize,
            Self::LogNormal { ln_median, sigma, min, max } => {
                (ln_median + sigma * rng.normal()).exp().clamp(*min, *max) as usize
            }
            Self::Mixed(bytes, alias) => bytes[alias.draw(rng) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sizes: &Sizes) -> Vec<usize> {
        sizes.check().unwrap();
        let (draw, mut rng) = (sizes.draw(), Rng::new(5));
        let mut drawn: Vec<_> = (0..100_000).map(|_| draw.next(&mut rng)).collect();
        drawn.sort_unstable();
        assert!(drawn[0] as u64 >= sizes.smallest() && drawn[drawn.len() - 1] as u64 <= sizes.largest());
        drawn
    }

    /// Goal: sizes come as described and never leave their bounds.
    #[test]
    fn sizes_are_as_described() {
        assert!(drawn(&Sizes::Fixed { bytes: Size(100) }).iter().all(|bytes| *bytes == 100));
        let uniform = drawn(&Sizes::Uniform { min: Size(100), max: Size(299) });
        assert_eq!((uniform[0], uniform[uniform.len() - 1]), (100, 299));
        assert!(uniform[50_000].abs_diff(200) < 5);
        let log = Sizes::LogNormal { median: Size(1_000), sigma: 1.0, min: Size(64), max: Size(100_000) };
        let log = drawn(&log);
        assert!(log[50_000].abs_diff(1_000) < 30, "{}", log[50_000]);
        // One deviation up: 84.13 % are below e times the median.
        assert!(log[84_134].abs_diff(2_718) < 80, "{}", log[84_134]);
        let parts = vec![Part { bytes: Size(100), weight: 99.0 }, Part { bytes: Size(1 << 20), weight: 1.0 }];
        let large = drawn(&Sizes::Mixed { parts }).iter().filter(|bytes| **bytes == 1 << 20).count();
        assert!(large.abs_diff(1_000) < 150, "{large}");
    }

    /// Goal: sizes that no stream takes, and mixes of nothing, are refused.
    #[test]
    fn nonsense_is_refused() {
        for sizes in [
            Sizes::Fixed { bytes: Size(11 << 20) },
            Sizes::Uniform { min: Size(200), max: Size(100) },
            Sizes::LogNormal { median: Size(100), sigma: f64::NAN, min: Size(1), max: Size(2) },
            Sizes::Mixed { parts: vec![] },
            Sizes::Mixed { parts: vec![Part { bytes: Size(100), weight: 0.0 }] },
        ] {
            assert!(sizes.check().is_err(), "{sizes:?}");
        }
    }
}
