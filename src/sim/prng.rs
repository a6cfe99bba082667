//! The simulator's random numbers: xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64.
//!
//! Each consumer (scheduler, timers, network, each host's disk and `Reactor::random`) draws from a stream of its own, so
//! that one more draw in one place does not shift every other decision of a seed.

use super::options::{Chance, Span};

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Prng {
    state: [u64; 4],
}

/// Scrambles a number (the output step of splitmix64).
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Prng {
    /// The stream called `label` (and `number`, say of a host) of `seed`.
    pub(crate) fn new(seed: u64, label: &str, number: u64) -> Self {
        let mut at = mix(seed) ^ mix(number).rotate_left(17);
        for byte in label.bytes() {
            at = mix(at ^ u64::from(byte));
        }
        let mut word = || {
            at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(at)
        };
        Self { state: [word(), word(), word(), word()] }
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `span`, both ends included.
    pub(crate) fn within(&mut self, span: Span) -> u64 {
        span.min_us + self.below(span.max_us.saturating_sub(span.min_us) + 1)
    }

    /// Heads or tails.
    pub(crate) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// Whether something of that chance happens. Draws only if it can.
    pub(crate) fn happens(&mut self, chance: Chance) -> bool {
        chance.per_million > 0 && self.below(1_000_000) < u64::from(chance.per_million)
    }

    /// What all draws so far led to; two streams that drew differently differ here.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.state.iter().fold(0, |sum, &word| mix(sum ^ word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the generator is the published one (reference output for the state 1, 2, 3, 4).
    #[test]
    fn is_xoshiro256_star_star() {
        let mut prng = Prng { state: [1, 2, 3, 4] };
        let drawn: Vec<_> = (0..5).map(|_| prng.next()).collect();
        assert_eq!(drawn, [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240, 1_216_172_134_540_287_360]);
    }

    /// Goal: streams of one seed are unrelated; the same stream repeats; bounds hold.
    #[test]
    fn streams_differ_and_repeat() {
        assert_eq!(Prng::new(7, "disk", 1).next(), Prng::new(7, "disk", 1).next());
        let firsts: std::collections::BTreeSet<_> = [(7, "disk", 1), (7, "disk", 2), (7, "net", 1), (8, "disk", 1)]
            .map(|(seed, label, number)| Prng::new(seed, label, number).next())
            .into();
        assert_eq!(firsts.len(), 4);
        let mut prng = Prng::new(1, "bounds", 0);
        let span = Span { min_us: 5, max_us: 7 };
        let seen: std::collections::BTreeSet<_> = (0..100).map(|_| prng.within(span)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7]);
        assert!(!prng.happens(Chance::NEVER));
        assert!(prng.happens(Chance::ALWAYS));
    }
}
