//! Where to split a shard: at the key where its traffic halves.

use super::{HashRange, ShardLoad};
use crate::types::{HashKey, Traffic};

/// A split that leaves more than this on one side is no gain.
const SIDE_PERMILLE_MAX: u64 = 850;

/// Fewer samples than this do not tell where the traffic halves; the range is halved then.
const SAMPLES_MIN: u64 = 32;

/// Where a shard can be split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// The first key of the second child.
    pub(super) at: HashKey,
    /// The share of the first, in thousandths, if it is known.
    pub(super) below_permille: Option<u16>,
}

impl Cut {
    /// The cut that comes nearest to halves of the traffic; `None` for a range of one key.
    pub(super) fn of(shard: &ShardLoad) -> Option<Self> {
        let HashRange { start, end } = shard.range;
        let middle = Self::middle(shard.range)?;
        let samples: u64 = shard.traffic.parts.iter().copied().map(u64::from).sum();
        if samples < SAMPLES_MIN {
            return Some(middle);
        }
        let mass = Mass::of(shard);
        // The lowest cut with at least half below it. What lies below only grows with the cut.
        let (mut low, mut high) = (start.0 + 1, end.0);
        while low < high {
            let cut = low + (high - low) / 2;
            if mass.below(cut) * 2 < mass.total {
                low = cut + 1;
            } else {
                high = cut;
            }
        }
        // A key of weight may make the one before it the better one.
        let off = |cut: u128| (mass.below(cut) * 2).abs_diff(mass.total);
        let at = if low > start.0 + 1 && off(low - 1) < off(low) { low - 1 } else { low };
        let permille = mass.below(at) * 1_000 / mass.total;
        Some(Self { at: HashKey(at), below_permille: Some(permille as u16) })
    }

    /// The middle of a range; `None` for a range of one key.
    pub(super) fn middle(HashRange { start, end }: HashRange) -> Option<Self> {
        let half = (end.0 - start.0).div_ceil(2);
        (half > 0).then(|| Self { at: HashKey(start.0 + half), below_permille: None })
    }

    /// True if neither side keeps nearly everything.
    pub(super) fn is_gain(self) -> bool {
        self.below_permille.is_none_or(|below| {
            let below = u64::from(below);
            below.max(1_000 - below) <= SIDE_PERMILLE_MAX
        })
    }
}

/// Bits of fraction that a sample is divided into.
const FRACTION_BITS: u32 = 16;

/// A shard's samples as a distribution over its keys: even within a part, but for the key that stands out. In fractions of a
/// sample, as integers: a split key is the same on every machine.
pub(super) struct Mass {
    start: u128,
    end: u128,
    part_width: u128,
    parts: [u64; Traffic::PARTS],
    hot: Option<(u128, u64)>,
    pub(super) total: u64,
}

impl Mass {
    pub(super) fn of(shard: &ShardLoad) -> Self {
        let HashRange { start, end } = shard.range;
        let part_width = Traffic::part_width(start, end);
        // 32 bits of count, 16 of fraction and 6 for their sum.
        let mut parts = shard.traffic.parts.map(|count| u64::from(count) << FRACTION_BITS);
        let total = parts.iter().sum::<u64>();
        let hot = shard.traffic.hot.filter(|hot| shard.range.contains(hot.key)).map(|hot| {
            let part = &mut parts[((hot.key.0 - start.0) / part_width) as usize];
            // Share and parts are estimates of their own; no more than there is.
            let mass = (total / 1_000 * u64::from(hot.permille)).min(*part);
            *part -= mass;
            (hot.key.0, mass)
        });
        Self { start: start.0, end: end.0, part_width, parts, hot, total }
    }

    /// What belongs to keys below `cut`, a key of the range.
    pub(super) fn below(&self, cut: u128) -> u64 {
        let offset = cut - self.start;
        let part = (offset / self.part_width) as usize;
        let part_start = part as u128 * self.part_width;
        // The last part may be narrower. One is added last: the whole key space does not fit.
        let width = (self.part_width - 1).min(self.end - self.start - part_start) + 1;
        // A part is up to 2^122 keys wide; 2^64 steps of it are fine enough and leave room to multiply.
        let shift = (u128::BITS - width.leading_zeros()).saturating_sub(u64::BITS);
        let inside = u128::from(self.parts[part]) * ((offset - part_start) >> shift) / (width >> shift);
        let hot = self.hot.filter(|(key, _)| *key < cut).map_or(0, |(_, mass)| mass);
        self.parts[..part].iter().sum::<u64>() + inside as u64 + hot
    }
}
