//! Waiting until a moment, more exactly than the timers of an async runtime: those of tokio tick in milliseconds.
//!
//! A [`Pacer`] is a timerfd on CLOCK_MONOTONIC, armed with an absolute time, so that neither the arming nor the runtime's
//! own timers add to it. What it reaches on a machine is measured before every run, by [`Pacer::measure`], and what it
//! reached in the run is in the result as send lag.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::now_ns;
use crate::stats::Histogram;

/// Wakes one task at given moments.
#[derive(Debug)]
pub struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// A pacer on the runtime of the calling task.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the descriptor belongs to the `OwnedFd` given away here, which gives out the same one, open, until the
        // `AsyncFd` is dropped.
        #[expect(unsafe_code, reason = "the runtime has no other way to wait for a descriptor")]
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self { timer })
    }

    /// Resolves at `at_ns` of CLOCK_MONOTONIC, or at once if that is over. Never too early.
    pub async fn until(&self, at_ns: u64) -> io::Result<()> {
        if now_ns() >= at_ns {
            return Ok(());
        }
        let time = Timespec { tv_sec: (at_ns / 1_000_000_000) as i64, tv_nsec: (at_ns % 1_000_000_000) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: time };
        rustix::time::timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.timer.readable().await?;
            // Reading tells a real expiry from a readiness that is left over from an earlier one.
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if let Ok(read) = read {
                read?;
            }
            if now_ns() >= at_ns {
                return Ok(());
            }
        }
    }

    /// How late it wakes on this machine now: `waits` waits of `length_ns` each.
    pub async fn measure(&self, waits: u32, length_ns: u64) -> io::Result<Histogram> {
        let mut late = Histogram::new();
        for _ in 0..waits {
            let at = now_ns() + length_ns;
            self.until(at).await?;
            late.record(now_ns() - at);
        }
        Ok(late)
    }
}

#[cfg(test)]
mod tests {
    use millstream::runtime::tokio::block_on;

    use super::*;

    /// Goal: a wait never ends early, not even right after another one, and a moment that is over is not waited for.
    #[test]
    fn never_early() {
        block_on(async |_| {
            let pacer = Pacer::new().unwrap();
            for ns in [1, 50_000, 300_000, 1_000_000, 20_000] {
                let at = now_ns() + ns;
                pacer.until(at).await.unwrap();
                assert!(now_ns() >= at);
            }
            pacer.until(1).await.unwrap();
        })
        .unwrap();
    }

    /// Goal: waits far below a millisecond are possible. A tokio timer would take a millisecond for each of these.
    #[test]
    fn finer_than_a_millisecond() {
        block_on(async |_| {
            let pacer = Pacer::new().unwrap();
            // The best of many: a busy machine makes any single wait long.
            let late = pacer.measure(200, 100_000).await.unwrap();
            let best = late.distribution().min_ns;
            assert!(best < 800_000, "{best} ns");
        })
        .unwrap();
    }
}
