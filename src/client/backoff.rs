//! Waits between attempts: exponential, with jitter, bounded. Pure: randomness is an argument.

use std::time::Duration;

/// The first wait, before jitter.
const FIRST_MS: u64 = 20;

/// The longest wait.
const LONGEST_MS: u64 = 2_000;

/// How long to wait before the next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Forgets the failures: something succeeded.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure. The wait doubles with each and lies between half and all of that, so that clients that failed
    /// together do not come back together. Never less than `at_least_ms`, which the node asked for.
    pub(super) fn next(&mut self, random: u64, at_least_ms: u32) -> Duration {
        let full = (FIRST_MS << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        let jittered = full / 2 + random % (full / 2 + 1);
        Duration::from_millis(jittered.max(at_least_ms.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: waits grow, stay within their bounds whatever the random number, and start over after a success.
    #[test]
    fn grows_within_bounds() {
        let mut backoff = Backoff::default();
        for n in 0..40 {
            let full = (FIRST_MS << n.min(16)).min(LONGEST_MS);
            let (low, high) = (backoff.clone().next(0, 0), backoff.clone().next(full / 2, 0));
            assert_eq!((low.as_millis() as u64, high.as_millis() as u64), (full / 2, full));
            assert!(backoff.next(u64::MAX, 0) <= high);
        }
        backoff.reset();
        assert!(backoff.next(0, 0).as_millis() as u64 <= FIRST_MS);
        assert_eq!(backoff.next(0, 5_000), Duration::from_secs(5));
    }
}
