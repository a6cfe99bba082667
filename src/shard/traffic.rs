//! How much a shard takes in, and which hash keys it comes from: what a split is decided by.
//!
//! Averages fade in steps of a second. At the end of each, `average += (rate - average) / 2^n`: with n = 4 it follows within
//! about 15 s, with n = 10 within about 15 minutes. Integers with 16 bits of fraction, so that equal input gives equal output
//! on any machine; a pause of many seconds is made up for in one step.
//!
//! Which keys the bytes belong to is learned from samples. The shard's bytes are cut in stretches of [`SAMPLE_BYTES`], of each
//! stretch one byte is chosen, and the record it belongs to is the sample:
//!
//! ```text
//! frames     |  a   |          b             |  c  |    d     |
//! stretches  |    0     |    1     |    2     |    3     |
//! chosen          x        x                x   x                b is asked for two, c for one, d for one, a for none
//! ```
//! Each byte is as likely as any other, so a key is sampled in proportion to its bytes however they are framed; the MD5 of a
//! key is paid once in 16 KiB. The choice is a function of a seed and the stretch's number: the same puts give the same samples.
//!
//! A sample counts in one of [`Traffic::PARTS`] equal parts of the shard's range, and votes on whether one key holds the
//! majority (Boyer and Moore: a key with more than half of the samples always wins). Each minute all counts are halved.
//!
//! A put costs some additions and no allocation; a sample one division; the halving 64 shifts once a minute.

use crate::types::{HashKey, HotKey, MonoUs, Traffic};

/// One sample is taken of this many bytes.
pub const SAMPLE_BYTES: u64 = 16 << 10;

const SECOND_US: u64 = 1_000_000;

/// Seconds after which the counts of samples are halved: a shard at 1 MiB/s is then known by some thousand samples.
const HALVE_AFTER_S: u64 = 60;

/// Fewer samples than this say nothing about the share of a single key.
const VOTES_MIN: u32 = 16;

/// An average of a rate; `N` is its slowness: it fades by a share of 2^-N each second.
#[derive(Clone, Copy, Debug, Default)]
struct Average<const N: u32> {
    /// With 16 bits of fraction.
    fixed: u64,
}

impl<const N: u32> Average<N> {
    /// A second of `rate` has passed, and then `idle_s` seconds without anything.
    fn second(&mut self, rate: u64, idle_s: u64) {
        let rate = rate.min(u64::MAX >> 17) << 16;
        // Rounded towards the rate in both directions, so that a steady one is reached and nothing at all is 0 in the end.
        self.fixed = if rate > self.fixed {
            self.fixed + (rate - self.fixed).div_ceil(1 << N)
        } else {
            self.fixed - (self.fixed - rate).div_ceil(1 << N)
        };
        if idle_s > 0 {
            let kept = u128::from(self.fixed) * u128::from(Self::kept_after(idle_s));
            self.fixed = (kept >> 32) as u64;
        }
    }

    /// (1 - 2^-N)^seconds with 32 bits of fraction.
    fn kept_after(seconds: u64) -> u64 {
        let (mut kept, mut factor, mut left) = (1_u64 << 32, (1_u64 << 32) - (1 << (32 - N)), seconds);
        while left > 0 && kept > 0 {
            if left & 1 == 1 {
                kept = (kept * factor) >> 32;
            }
            // Both are at most 2^32, and `factor` is below it: the products fit.
            factor = (factor * factor) >> 32;
            left >>= 1;
        }
        kept
    }

    /// Units a second.
    const fn get(self) -> u64 {
        (self.fixed + (1 << 15)) >> 16
    }
}

/// A vote on which key holds the majority of the samples.
#[derive(Clone, Copy, Debug, Default)]
struct Vote {
    key: HashKey,
    /// What the key is ahead by. At 0 the next key takes its place.
    lead: u32,
    /// Samples of the key since it took its place.
    hits: u32,
    /// All samples since then.
    all: u32,
}

impl Vote {
    fn cast(&mut self, key: HashKey) {
        if self.lead == 0 {
            *self = Self { key, lead: 1, hits: 1, all: 1 };
            return;
        }
        self.all = self.all.saturating_add(1);
        if key == self.key {
            self.lead = self.lead.saturating_add(1);
            self.hits = self.hits.saturating_add(1);
        } else {
            self.lead -= 1;
        }
    }

    fn halve(&mut self) {
        self.lead /= 2;
        self.hits /= 2;
        self.all /= 2;
    }

    fn hot(&self) -> Option<HotKey> {
        if self.lead == 0 || self.all < VOTES_MIN {
            return None;
        }
        let permille = u64::from(self.hits) * 1_000 / u64::from(self.all);
        Some(HotKey { key: self.key, permille: permille.min(1_000) as u16 })
    }
}

/// Keeps one shard's [`Traffic`].
#[derive(Clone, Debug)]
pub struct Recorder {
    first: HashKey,
    part_width: u128,
    /// The second that is being added up has begun then.
    second_at: MonoUs,
    bytes: u64,
    records: u64,
    bytes_fast: Average<4>,
    records_fast: Average<4>,
    bytes_slow: Average<10>,
    records_slow: Average<10>,
    /// Seconds since the counts were halved.
    seconds: u64,
    parts: [u32; Traffic::PARTS],
    vote: Vote,
    seed: u64,
    /// Bytes of frames that were offered for samples.
    offered: u64,
}

impl Recorder {
    /// A recorder for a shard with the hash keys from `first` to `last`. Any seed is as good as another; two shards with the
    /// same one choose the same positions of their bytes.
    #[must_use]
    pub fn new(first: HashKey, last: HashKey, seed: u64, now: MonoUs) -> Self {
        assert!(first <= last, "a shard's range [{first}, {last}] is not empty");
        Self {
            first,
            part_width: Traffic::part_width(first, last),
            second_at: now,
            bytes: 0,
            records: 0,
            bytes_fast: Average::default(),
            records_fast: Average::default(),
            bytes_slow: Average::default(),
            records_slow: Average::default(),
            seconds: 0,
            parts: [0; Traffic::PARTS],
            vote: Vote::default(),
            seed,
            offered: 0,
        }
    }

    /// A put of `records` with `bytes` in all, keys included, was accepted.
    pub fn record(&mut self, now: MonoUs, records: u64, bytes: u64) {
        self.advance(now);
        self.records = self.records.saturating_add(records);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The positions in the next `bytes` that the shard takes in (a frame's body, say) whose records are samples: ascending,
    /// counted from 0, most of the time none. For each, the caller looks up the record that covers it and gives its hash key to
    /// [`Recorder::sample`].
    pub fn samples(&mut self, bytes: u64) -> Samples {
        let from = self.offered;
        // Starts over at the end of all numbers: 16 EiB of one shard.
        self.offered = from.checked_add(bytes).unwrap_or(0);
        Samples { seed: self.seed, from, to: self.offered, stretch: from / SAMPLE_BYTES }
    }

    /// The hash key of a sampled record. One outside of the shard's range, which the put should not have brought, counts at
    /// the nearest end.
    pub fn sample(&mut self, key: HashKey) {
        let part = key.0.saturating_sub(self.first.0) / self.part_width;
        let part = &mut self.parts[part.min(Traffic::PARTS as u128 - 1) as usize];
        *part = part.saturating_add(1);
        self.vote.cast(key);
    }

    /// What is known by now.
    pub fn traffic(&mut self, now: MonoUs) -> Traffic {
        self.advance(now);
        Traffic {
            bytes_s: self.bytes_fast.get(),
            records_s: self.records_fast.get(),
            bytes_s_slow: self.bytes_slow.get(),
            records_s_slow: self.records_slow.get(),
            parts: self.parts,
            hot: self.vote.hot(),
        }
    }

    /// Closes the second if it is over. A clock that jumps back makes it last longer, at most until the clock is where it was.
    fn advance(&mut self, now: MonoUs) {
        let seconds = now.since(self.second_at) / SECOND_US;
        if seconds == 0 {
            return;
        }
        let idle_s = seconds - 1;
        let (bytes, records) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.records));
        self.bytes_fast.second(bytes, idle_s);
        self.records_fast.second(records, idle_s);
        self.bytes_slow.second(bytes, idle_s);
        self.records_slow.second(records, idle_s);
        self.second_at = self.second_at.plus(seconds * SECOND_US);
        self.seconds += seconds;
        let halvings = self.seconds / HALVE_AFTER_S;
        self.seconds %= HALVE_AFTER_S;
        // After 32 halvings every count is 0.
        for _ in 0..halvings.min(u32::BITS.into()) {
            self.parts.iter_mut().for_each(|part| *part /= 2);
            self.vote.halve();
        }
    }
}

/// Positions of samples. See [`Recorder::samples`].
#[derive(Clone, Copy, Debug)]
pub struct Samples {
    seed: u64,
    from: u64,
    to: u64,
    /// The stretch whose byte comes next.
    stretch: u64,
}

impl Iterator for Samples {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        loop {
            let start = self.stretch.checked_mul(SAMPLE_BYTES)?;
            if start >= self.to {
                return None;
            }
            let chosen = start + mix(self.seed ^ self.stretch) % SAMPLE_BYTES;
            self.stretch += 1;
            if (self.from..self.to).contains(&chosen) {
                return Some(chosen - self.from);
            }
        }
    }
}

/// Spreads neighbouring numbers over all numbers (the finaliser of SplitMix64).
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests;
