//! Which partition key a record gets.

#![forbid(unsafe_code)]

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Keys at most: each producer and group keeps a number per key.
pub const KEYS_MAX: u32 = 1 << 20;

/// A distribution over numbered keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Keys {
    /// Each as often as any other.
    Uniform {
        /// How many.
        count: u32,
    },
    /// Key k as often as 1 / (k + 1)^exponent says.
    Zipf {
        /// How many.
        count: u32,
        /// The exponent; 1 is the classic.
        exponent: f64,
    },
    /// Key 0 gets a share of all records, the others share the rest evenly.
    Hot {
        /// How many, the hot one included.
        count: u32,
        /// The hot key's share, 0 to 1.
        share: f64,
    },
}

impl Default for Keys {
    fn default() -> Self {
        Self::Uniform { count: 1_000 }
    }
}

impl Keys {
    /// How many keys there are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        match *self {
            Self::Uniform { count } | Self::Zipf { count, .. } | Self::Hot { count, .. } => count,
        }
    }

    /// Whether the values make sense.
    pub fn check(&self) -> Result<()> {
        let count = self.count();
        ensure!((1..=KEYS_MAX).contains(&count), "count: {count} keys; use 1 to {KEYS_MAX}");
        match *self {
            Self::Uniform { .. } => {}
            Self::Zipf { exponent, .. } => {
                ensure!((0.0..=10.0).contains(&exponent), "exponent: {exponent}; use 0 to 10");
            }
            Self::Hot { count, share } => {
                ensure!((0.0..=1.0).contains(&share), "share: {share}; use 0 to 1");
                ensure!(count > 1 || share == 1.0, "count: a share needs other keys beside the hot one");
            }
        }
        Ok(())
    }

    /// A way to draw keys in constant time.
    #[must_use]
    pub fn draw(&self) -> DrawKey {
        let count = self.count();
        let weights: Vec<f64> = match *self {
            Self::Uniform { .. } => return DrawKey::Uniform(count),
            Self::Zipf { exponent, .. } => (0..count).map(|k| f64::from(k + 1).powf(-exponent)).collect(),
            Self::Hot { share, .. } => {
                let rest = (1.0 - share) / f64::from(count.max(2) - 1);
                (0..count).map(|k| if k == 0 { share } else { rest }).collect()
            }
        };
        DrawKey::Alias(Alias::new(&weights))
    }
}

/// Draws keys.
#[derive(Clone, Debug)]
pub enum DrawKey {
    /// Evenly among this many.
    Uniform(u32),
    /// By weight.
    Alias(Alias),
}

impl DrawKey {
    /// The next record's key.
    pub fn next(&self, rng: &mut Rng) -> u32 {
        match self {
            Self::Uniform(count) => rng.below(u64::from(*count)) as u32,
            Self::Alias(alias) => alias.draw(rng),
        }
    }
}

/// Draws by weight in constant time (Vose's alias method): each slot holds its own number with a probability, and
/// another number with the rest.
#[derive(Clone, Debug)]
pub struct Alias {
    slots: Vec<(f64, u32)>,
}

impl Alias {
    /// For numbers 0.. with these weights, not all of them 0.
    #[must_use]
    pub fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let mut share: Vec<f64> = weights.iter().map(|weight| weight * weights.len() as f64 / sum).collect();
        let mut slots: Vec<(f64, u32)> = (0..weights.len()).map(|at| (1.0, at as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|at| share[*at] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            slots[poor] = (share[poor], rich as u32);
            share[rich] -= 1.0 - share[poor];
            if share[rich] < 1.0 { small.push(rich) } else { large.push(rich) }
        }
        Self { slots }
    }

    /// The next number.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        let at = rng.below(self.slots.len() as u64) as usize;
        let (own, other) = self.slots[at];
        if rng.unit() < own { at as u32 } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(keys: Keys) -> Vec<f64> {
        keys.check().unwrap();
        let (draw, mut rng, n) = (keys.draw(), Rng::new(11), 400_000);
        let mut counts = vec![0_u32; keys.count() as usize];
        (0..n).for_each(|_| counts[draw.next(&mut rng) as usize] += 1);
        counts.iter().map(|count| f64::from(*count) / f64::from(n)).collect()
    }

    /// Goal: keys come as often as their distribution says.
    #[test]
    fn shares_are_as_described() {
        for share in shares(Keys::Uniform { count: 10 }) {
            assert!((share - 0.1).abs() < 0.005, "{share}");
        }
        let zipf = shares(Keys::Zipf { count: 100, exponent: 1.0 });
        let harmonic: f64 = (1..=100).map(|k| 1.0 / f64::from(k)).sum();
        for (k, share) in zipf.iter().enumerate() {
            let expected = 1.0 / (k as f64 + 1.0) / harmonic;
            assert!((share - expected).abs() < 0.004, "{k}: {share} instead of {expected}");
        }
        let hot = shares(Keys::Hot { count: 11, share: 0.5 });
        assert!((hot[0] - 0.5).abs() < 0.005 && (hot[5] - 0.05).abs() < 0.004, "{hot:?}");
        assert_eq!(shares(Keys::Hot { count: 1, share: 1.0 }), [1.0]);
    }

    /// Goal: distributions that mean nothing are refused.
    #[test]
    fn nonsense_is_refused() {
        for keys in [
            Keys::Uniform { count: 0 },
            Keys::Uniform { count: KEYS_MAX + 1 },
            Keys::Zipf { count: 5, exponent: f64::NAN },
            Keys::Hot { count: 5, share: 1.5 },
            Keys::Hot { count: 1, share: 0.5 },
        ] {
            assert!(keys.check().is_err(), "{keys:?}");
        }
    }
}
