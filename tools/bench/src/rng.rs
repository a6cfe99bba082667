//! Randomness of workloads: xoshiro256++, written out here so that a seed gives the same workload with every version of
//! every dependency.

#![forbid(unsafe_code)]

/// A generator of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // SplitMix64 spreads the seed, as the authors of xoshiro advise.
        let mut x = seed;
        let state = std::array::from_fn(|_| {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The generator of one of many parts of a workload: independent of those of the others.
    #[must_use]
    pub fn part(seed: u64, part: u64) -> Self {
        Self::new(Self::new(seed).number() ^ Self::new(part.wrapping_add(1)).number())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of one part in 2^64/n is far below what any run could show.
        ((u128::from(self.number()) * u128::from(n)) >> 64) as u64
    }

    /// Exponentially distributed with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Normally distributed with mean 0 and deviation 1.
    pub fn normal(&mut self) -> f64 {
        // Box-Muller; the other half of the pair is not kept, so that one number costs one call.
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the generator is the published one, so that seeds mean the same for ever.
    #[test]
    fn the_sequence_is_fixed() {
        // First output of xoshiro256++ for the state 1, 2, 3, 4, from the reference implementation.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        assert_eq!((rng.number(), rng.number()), (41_943_041, 58_720_359));
        assert_eq!(Rng::new(5).number(), Rng::new(5).number());
        assert_ne!(Rng::part(5, 0).number(), Rng::part(5, 1).number());
    }

    /// Goal: the distributions have the moments they promise.
    #[test]
    fn moments() {
        let mut rng = Rng::new(3);
        let n = 200_000;
        let mean = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || rng.unit()) - 0.5).abs() < 0.005);
        assert!((mean(&mut || rng.exponential()) - 1.0).abs() < 0.01);
        assert!(mean(&mut || rng.normal()).abs() < 0.01);
        assert!((mean(&mut || rng.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((0..1_000).all(|_| rng.below(7) < 7));
    }
}
