//! Time and randomness of the machine, for the runtimes that run on one. The only place that reads a clock.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the shell: the machine is used here and nowhere else"
)]

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::types::{MonoUs, WallUs};

/// Microseconds since the first call in this process, the same on every thread.
pub(super) fn now() -> MonoUs {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    MonoUs(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

/// Microseconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub(super) fn wall() -> WallUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallUs(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// An unpredictable number: SipHash under a key from the system's random source, a different one at each call.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}
