//! How large a shard's next segment is: small for an idle shard, large for a busy one.

use crate::format::segment::FRAMES_AT;
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

/// A segment that filled within this time is followed by a larger one.
const FAST_US: u64 = 60_000_000;

/// A segment that took longer than this is followed by a smaller one.
const SLOW_US: u64 = 3_600_000_000;

/// Capacity of the segment after one of `last` bytes that took `filled_in_us` to fill. `None` for the first segment.
/// Always a power of two times the smallest size, so that freed segments fit those who look for one.
#[must_use]
pub fn next_capacity(last: Option<(u64, u64)>) -> u64 {
    match last {
        None => SEGMENT_BYTES_MIN,
        Some((last, filled_in_us)) if filled_in_us < FAST_US => (last * 4).min(SEGMENT_BYTES_MAX),
        Some((last, filled_in_us)) if filled_in_us > SLOW_US => (last / 4).max(SEGMENT_BYTES_MIN),
        Some((last, _)) => last,
    }
}

/// `capacity`, lowered until a segment takes no more than a sixteenth of the `room` bytes that puts may still take: reserving
/// space must not be what fills the disk.
#[must_use]
pub fn modest(mut capacity: u64, room: u64) -> u64 {
    while capacity > SEGMENT_BYTES_MIN && capacity > room / 16 {
        capacity /= 4;
    }
    capacity.max(SEGMENT_BYTES_MIN)
}

/// `capacity`, raised until one flush of `flush_bytes` fits.
#[must_use]
pub fn fitting(capacity: u64, flush_bytes: u64) -> u64 {
    let mut capacity = capacity.max(SEGMENT_BYTES_MIN);
    while capacity - FRAMES_AT < flush_bytes {
        capacity *= 2;
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a busy shard reaches the largest segment in four steps, an idle one stays at the smallest.
    #[test]
    fn sizes_follow_the_rate() {
        let mut sizes = vec![next_capacity(None)];
        for _ in 0..5 {
            sizes.push(next_capacity(Some((*sizes.last().unwrap(), 1_000_000))));
        }
        assert_eq!(sizes.iter().map(|s| s >> 20).collect::<Vec<_>>(), [1, 4, 16, 64, 256, 256]);
        assert_eq!(next_capacity(Some((64 << 20, FAST_US))), 64 << 20);
        assert_eq!(next_capacity(Some((1 << 20, u64::MAX))), 1 << 20);
        assert_eq!(next_capacity(Some((16 << 20, u64::MAX))), 4 << 20);
    }

    /// Goal: on a small or filling disk segments get smaller, down to the smallest, and stay of a size that others use too.
    #[test]
    fn segments_are_modest() {
        assert_eq!(modest(256 << 20, u64::MAX), 256 << 20);
        assert_eq!(modest(256 << 20, 4 << 30), 256 << 20);
        assert_eq!(modest(256 << 20, (4 << 30) - 1), 64 << 20);
        assert_eq!(modest(64 << 20, 100 << 20), 4 << 20);
        assert_eq!(modest(16 << 20, 0), 1 << 20);
        assert_eq!(modest(1 << 20, 0), 1 << 20);
    }

    /// Goal: the largest flush fits the segment made for it.
    #[test]
    fn a_large_flush_gets_a_large_segment() {
        assert_eq!(fitting(1 << 20, 4096), 1 << 20);
        assert_eq!(fitting(1 << 20, 1 << 20), 2 << 20);
        assert_eq!(fitting(1 << 20, 10 << 20), 16 << 20);
    }
}
