//! When leases run out. Lives in the memory of worker 0, on the monotonic clock.
//!
//! The catalogue knows who holds a lease and with which token, and nothing of time: a lease ends only when somebody else
//! claims it, and whether it had run out by then is the verdict of this clock. So
//! - a heartbeat costs no write to the disk;
//! - no jump of the wall clock ends a lease early, or keeps one alive;
//! - after a restart every lease gets one full time to live again: its holder may be alive and has had no way to say so.

use std::collections::BTreeMap;

use crate::types::MonoUs;

/// A lease's place: space and key.
type Place = (String, String);

#[derive(Clone, Copy, Debug)]
struct Deadline {
    token: u64,
    at: MonoUs,
}

/// The deadlines of leases that were claimed or renewed since the node started.
///
/// Invariant: there is one for each lease granted since the start at most; those of leases that ended are forgotten when
/// that is noticed.
#[derive(Debug)]
pub struct Deadlines {
    started: MonoUs,
    by_place: BTreeMap<Place, Deadline>,
}

impl Deadlines {
    /// No lease was heard of since the start.
    #[must_use]
    pub const fn new(started: MonoUs) -> Self {
        Self { started, by_place: BTreeMap::new() }
    }

    /// A lease was granted or renewed: it holds for `ttl_ms` from now on.
    pub fn extend(&mut self, now: MonoUs, space: &str, key: &str, token: u64, ttl_ms: u32) {
        let at = now.plus(u64::from(ttl_ms) * 1_000);
        self.by_place.insert((space.to_owned(), key.to_owned()), Deadline { token, at });
    }

    /// The lease has ended: released, or its item was deleted.
    pub fn forget(&mut self, space: &str, key: &str) {
        self.by_place.remove(&(space.to_owned(), key.to_owned()));
    }

    /// Microseconds that the lease with this token still holds; 0 when it has run out.
    #[must_use]
    pub fn left_us(&self, now: MonoUs, space: &str, key: &str, token: u64, ttl_ms: u32) -> u64 {
        let known = self.by_place.get(&(space.to_owned(), key.to_owned())).filter(|known| known.token == token);
        // Not heard of since the start, or under another token: granted before the start.
        let at = known.map_or(self.started.plus(u64::from(ttl_ms) * 1_000), |known| known.at);
        at.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL_MS: u32 = 10;

    fn left(deadlines: &Deadlines, now: u64, token: u64) -> u64 {
        deadlines.left_us(MonoUs(now), "app", "shard-1", token, TTL_MS)
    }

    /// Goal: a lease runs out its time to live after the last renewal, not before and not later.
    #[test]
    fn a_renewed_lease_holds_for_its_time() {
        let mut deadlines = Deadlines::new(MonoUs(0));
        deadlines.extend(MonoUs(1_000), "app", "shard-1", 7, TTL_MS);
        assert_eq!(left(&deadlines, 1_000, 7), 10_000);
        assert_eq!(left(&deadlines, 10_999, 7), 1);
        assert_eq!(left(&deadlines, 11_000, 7), 0);
        deadlines.extend(MonoUs(10_500), "app", "shard-1", 7, TTL_MS);
        assert_eq!(left(&deadlines, 11_000, 7), 9_500);
    }

    /// Goal: after a restart a lease nobody renewed yet gets one full time to live, counted from the start.
    #[test]
    fn a_restart_gives_one_full_time() {
        let deadlines = Deadlines::new(MonoUs(500_000));
        assert_eq!(left(&deadlines, 500_000, 3), 10_000);
        assert_eq!(left(&deadlines, 509_999, 3), 1);
        assert_eq!(left(&deadlines, 510_000, 3), 0);
    }

    /// Goal: what was noted for one holder says nothing about another one, or about another place.
    #[test]
    fn deadlines_belong_to_a_token_and_a_place() {
        let mut deadlines = Deadlines::new(MonoUs(0));
        deadlines.extend(MonoUs(90_000), "app", "shard-1", 7, TTL_MS);
        assert_eq!(left(&deadlines, 95_000, 8), 0);
        assert_eq!(deadlines.left_us(MonoUs(95_000), "app", "shard-2", 7, TTL_MS), 0);
        deadlines.forget("app", "shard-1");
        assert_eq!(left(&deadlines, 95_000, 7), 0);
    }
}
