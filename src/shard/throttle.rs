//! How much a shard takes and gives per second: token buckets, in integers.
//!
//! A bucket holds one second's allowance at most and starts full, so a burst of one second passes at once. Its level counts
//! in millionths of a unit (a record, a call, a byte): at a rate of `r` units a second exactly `r` millionths come back each
//! microsecond. Nothing is ever rounded, so nothing drifts, and the moment at which a refused attempt succeeds is exact.
//!
//! ```text
//! legend: r = the rate per second, which is also what the bucket holds; l = its level, below 0 in debt
//!
//! asked for             passes when                 then
//! put of n <= r         l >= n                      l - n
//! put of n > r          l = r (full)                r - n: in debt, which the following puts wait for
//! a read call           l >= 1 call, bytes l >= 0   l - 1 call
//! a read of n <= r      (it was let through)        l - n
//! a read of n > r       (it was let through)        min(l, 0) - n: what was saved up is lost
//! a push                l >= a tenth of r           l - n
//! ```
//! - A put is a record or a batch to one shard: all of it passes or none. Records and bytes have a bucket each and both must
//!   agree; a refusal takes from neither. With the limits of AWS a record may be larger than a second's bytes (10 MiB against
//!   1 MiB): it waits for a full bucket and leaves 9 s of debt.
//! - Nobody knows the size of a read before it was made, so a read is asked for as a call and pays for its bytes afterwards.
//!   The last row but one makes what AWS documents of it: after a read of 10 MiB at 2 MiB/s, 5 s of refusals, however idle
//!   the shard had been.
//! - A push is paced, not refused. It waits for a tenth of a second's allowance so that portions stay worth sending.
//! - Rates change online: the level stays, in units, and is cut to what the bucket now holds.
//! - Should the clock jump ahead the bucket is full and no more. Should it jump back the level stays and grows from there on.

use thiserror::Error;

use crate::types::MonoUs;

/// Millionths: of a unit in a level, of a second in a microsecond.
const MILLION: u64 = 1_000_000;

/// Rates above this many units a second, 2^40, count as this: a level then fits an `i64` with room for debt.
const RATE_MAX: u64 = 1 << 40;

/// What a shard takes and gives per second. 0 anywhere: as much as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Records put.
    pub write_records_s: u64,
    /// Bytes put, data and keys.
    pub write_bytes_s: u64,
    /// Read calls, not counting those of registered consumers.
    pub read_calls_s: u64,
    /// Bytes read by such calls.
    pub read_bytes_s: u64,
    /// Bytes pushed to each registered consumer.
    pub fanout_bytes_s: u64,
}

impl Rates {
    /// No limits.
    pub const NONE: Self =
        Self { write_records_s: 0, write_bytes_s: 0, read_calls_s: 0, read_bytes_s: 0, fanout_bytes_s: 0 };

    /// The limits of a Kinesis shard.
    pub const AWS: Self = Self {
        write_records_s: 1_000,
        write_bytes_s: 1 << 20,
        read_calls_s: 5,
        read_bytes_s: 2 << 20,
        fanout_bytes_s: 2 << 20,
    };
}

/// Refused for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the shard's rate is exceeded; there is room in {retry_after_us} us")]
pub struct Throttled {
    /// The same attempt this much later passes, unless others come before it; any earlier it does not.
    pub retry_after_us: u64,
}

/// One bucket. Invariant: the level is at most the rate times a million.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Units a second, 0 if unlimited.
    rate: u64,
    /// Millionths of units.
    level: i64,
    /// When the level was that.
    at: MonoUs,
}

/// A size as a difference of levels.
fn millionths(units: u64) -> i64 {
    i64::try_from(units.saturating_mul(MILLION)).unwrap_or(i64::MAX)
}

impl Bucket {
    fn new(rate: u64, now: MonoUs) -> Self {
        let rate = rate.min(RATE_MAX);
        Self { rate, level: millionths(rate), at: now }
    }

    fn set(&mut self, rate: u64, now: MonoUs) {
        self.refill(now);
        let was_unlimited = self.rate == 0;
        self.rate = rate.min(RATE_MAX);
        let full = millionths(self.rate);
        self.level = if was_unlimited { full } else { self.level.min(full) };
    }

    fn refill(&mut self, now: MonoUs) {
        let gained = i64::try_from(now.since(self.at).saturating_mul(self.rate)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(gained).min(millionths(self.rate));
        self.at = now;
    }

    /// Microseconds until the level is `wanted`, which the bucket can hold; 0 if it is.
    fn wait_us(&mut self, now: MonoUs, wanted: i64) -> u64 {
        if self.rate == 0 {
            return 0;
        }
        self.refill(now);
        let missing = wanted.saturating_sub(self.level);
        u64::try_from(missing).map_or(0, |missing| missing.div_ceil(self.rate))
    }

    /// Microseconds until `units` may be taken, 0 if they may be now.
    fn wait_for_us(&mut self, now: MonoUs, units: u64) -> u64 {
        // Nothing is let through by any bucket, be it in debt.
        if units == 0 { 0 } else { self.wait_us(now, millionths(units.min(self.rate))) }
    }

    fn take(&mut self, units: u64) {
        if self.rate > 0 {
            self.level = self.level.saturating_sub(millionths(units));
        }
    }
}

/// Passes if there is nothing to wait for.
fn verdict(retry_after_us: u64) -> Result<(), Throttled> {
    if retry_after_us == 0 { Ok(()) } else { Err(Throttled { retry_after_us }) }
}

/// What a shard takes.
#[derive(Clone, Copy, Debug)]
pub struct WriteLimiter {
    records: Bucket,
    bytes: Bucket,
}

impl WriteLimiter {
    /// A limiter with a second's allowance saved up.
    #[must_use]
    pub fn new(rates: &Rates, now: MonoUs) -> Self {
        Self { records: Bucket::new(rates.write_records_s, now), bytes: Bucket::new(rates.write_bytes_s, now) }
    }

    /// Other rates from now on.
    pub fn set(&mut self, rates: &Rates, now: MonoUs) {
        self.records.set(rates.write_records_s, now);
        self.bytes.set(rates.write_bytes_s, now);
    }

    /// Asks for a put of `records` with `bytes` in all, keys included. All of it passes, or it is refused and costs nothing.
    pub fn put(&mut self, now: MonoUs, records: u64, bytes: u64) -> Result<(), Throttled> {
        let records_us = self.records.wait_for_us(now, records);
        let bytes_us = self.bytes.wait_for_us(now, bytes);
        verdict(records_us.max(bytes_us))?;
        self.records.take(records);
        self.bytes.take(bytes);
        Ok(())
    }
}

/// What a shard gives to those who ask for it.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimiter {
    calls: Bucket,
    bytes: Bucket,
}

impl ReadLimiter {
    /// A limiter with a second's allowance saved up.
    #[must_use]
    pub fn new(rates: &Rates, now: MonoUs) -> Self {
        Self { calls: Bucket::new(rates.read_calls_s, now), bytes: Bucket::new(rates.read_bytes_s, now) }
    }

    /// Other rates from now on.
    pub fn set(&mut self, rates: &Rates, now: MonoUs) {
        self.calls.set(rates.read_calls_s, now);
        self.bytes.set(rates.read_bytes_s, now);
    }

    /// Asks for a read. A refused one costs nothing.
    pub fn call(&mut self, now: MonoUs) -> Result<(), Throttled> {
        let calls_us = self.calls.wait_for_us(now, 1);
        let bytes_us = self.bytes.wait_us(now, 0);
        verdict(calls_us.max(bytes_us))?;
        self.calls.take(1);
        Ok(())
    }

    /// Asks for a read that no call stands for: only what was read before counts.
    pub fn push(&mut self, now: MonoUs) -> Result<(), Throttled> {
        verdict(self.bytes.wait_us(now, 0))
    }

    /// The read that was let through gave this many bytes.
    pub fn took(&mut self, now: MonoUs, bytes: u64) {
        self.bytes.refill(now);
        if bytes > self.bytes.rate {
            self.bytes.level = self.bytes.level.min(0);
        }
        self.bytes.take(bytes);
    }
}

/// What a shard pushes to one registered consumer.
#[derive(Clone, Copy, Debug)]
pub struct FanoutLimiter {
    bytes: Bucket,
}

/// How a push goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// This many bytes may go now. A frame may go beyond it rather than be cut: it leaves debt.
    Now {
        /// Above 0.
        bytes: u64,
    },
    /// None before that much later.
    Later {
        /// Above 0.
        after_us: u64,
    },
}

impl FanoutLimiter {
    /// A limiter with a second's allowance saved up.
    #[must_use]
    pub fn new(rates: &Rates, now: MonoUs) -> Self {
        Self { bytes: Bucket::new(rates.fanout_bytes_s, now) }
    }

    /// Another rate from now on.
    pub fn set(&mut self, rates: &Rates, now: MonoUs) {
        self.bytes.set(rates.fanout_bytes_s, now);
    }

    /// How much may be pushed now, or when to ask again.
    pub fn pace(&mut self, now: MonoUs) -> Pace {
        if self.bytes.rate == 0 {
            return Pace::Now { bytes: u64::MAX };
        }
        let portion = (self.bytes.rate / 10).max(1);
        match self.bytes.wait_for_us(now, portion) {
            // Whole bytes: a level of a portion or more is not negative.
            0 => Pace::Now { bytes: self.bytes.level.unsigned_abs() / MILLION },
            after_us => Pace::Later { after_us },
        }
    }

    /// This many bytes were pushed.
    pub fn took(&mut self, now: MonoUs, bytes: u64) {
        self.bytes.refill(now);
        self.bytes.take(bytes);
    }
}

#[cfg(test)]
mod tests;
