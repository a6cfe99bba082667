//! What a shard with limits, or of an on-demand stream, keeps count of. Other shards have none of this: to them it costs
//! one branch per put.

use crate::catalog::{HashRange, Limits, Settings};
use crate::format::record::{RECORD_HEADER_BYTES, Records};
use crate::shard::throttle::{Rates, ReadLimiter, Throttled, WriteLimiter};
use crate::shard::traffic::Recorder;
use crate::types::{HashKey, MonoUs, Traffic};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Limits of puts and reads.
    pub(super) rates: Rates,
    /// Traffic and where in the range it falls.
    pub(super) traffic: bool,
}

impl Wanted {
    /// What the settings of a stream want.
    pub(super) fn by(settings: &Settings) -> Self {
        Self { rates: rates(&settings.limits), traffic: settings.mode.is_on_demand() }
    }

    /// Whether there is anything to count.
    pub(super) fn is_any(&self) -> bool {
        self.traffic || self.rates != Rates::NONE
    }
}

/// The limits of a stream as rates.
#[must_use]
pub fn rates(limits: &Limits) -> Rates {
    match limits {
        Limits::None => Rates::NONE,
        Limits::Aws => Rates::AWS,
        Limits::Custom(limits) => Rates {
            write_records_s: limits.write_records_s.into(),
            write_bytes_s: limits.write_bytes_s,
            read_calls_s: limits.read_calls_s.into(),
            read_bytes_s: limits.read_bytes_s,
            fanout_bytes_s: limits.fanout_bytes_s,
        },
    }
}

/// The counts.
pub(super) struct Meter {
    write: WriteLimiter,
    read: ReadLimiter,
    traffic: Option<Recorder>,
}

/// A row of records that is put.
#[derive(Clone, Copy)]
pub(super) struct Load<'a> {
    /// The records, checked.
    pub(super) body: &'a [u8],
    /// Their number.
    pub(super) records: u32,
}

impl Load<'_> {
    /// Bytes of data and keys, which is what Kinesis counts.
    pub(super) fn bytes(&self) -> u64 {
        (self.body.len() - self.records as usize * RECORD_HEADER_BYTES) as u64
    }
}

impl Meter {
    /// A meter with a second's allowance saved up.
    pub(super) fn new(wanted: &Wanted, range: HashRange, seed: u64, now: MonoUs) -> Self {
        Self {
            write: WriteLimiter::new(&wanted.rates, now),
            read: ReadLimiter::new(&wanted.rates, now),
            traffic: wanted.traffic.then(|| Recorder::new(range.start, range.end, seed, now)),
        }
    }

    /// Counts something else from now on.
    pub(super) fn set(&mut self, wanted: &Wanted, range: HashRange, seed: u64, now: MonoUs) {
        self.write.set(&wanted.rates, now);
        self.read.set(&wanted.rates, now);
        if !wanted.traffic {
            self.traffic = None;
        } else if self.traffic.is_none() {
            self.traffic = Some(Recorder::new(range.start, range.end, seed, now));
        }
    }

    /// Asks for a put: all of it passes, or none.
    pub(super) fn put(&mut self, now: MonoUs, records: u32, bytes: u64) -> Result<(), Throttled> {
        self.write.put(now, u64::from(records), bytes)
    }

    /// Asks for a read.
    pub(super) fn read(&mut self, now: MonoUs) -> Result<(), Throttled> {
        self.read.call(now)
    }

    /// Asks for a push that shares the allowance of reads.
    pub(super) fn push(&mut self, now: MonoUs) -> Result<(), Throttled> {
        self.read.push(now)
    }

    /// A read gave so many bytes.
    pub(super) fn took(&mut self, now: MonoUs, bytes: u64) {
        self.read.took(now, bytes);
    }

    /// A put was stored.
    pub(super) fn stored(&mut self, now: MonoUs, load: Load<'_>) {
        let Some(traffic) = &mut self.traffic else { return };
        traffic.record(now, load.records.into(), load.bytes());
        let mut chosen = traffic.samples(load.body.len() as u64).peekable();
        if chosen.peek().is_none() {
            return;
        }
        // One walk for all samples of the body; they are in ascending order.
        let mut records = Records::new(load.body);
        while let Some(at) = chosen.peek()
            && let Some(Ok(record)) = records.next()
        {
            let end = records.offset() as u64;
            if *at >= end {
                continue;
            }
            let key = HashKey::of(record.key.as_bytes());
            while chosen.next_if(|at| *at < end).is_some() {
                traffic.sample(key);
            }
        }
    }

    /// What is known of the traffic, if it is counted.
    pub(super) fn traffic(&mut self, now: MonoUs) -> Option<Traffic> {
        self.traffic.as_mut().map(|traffic| traffic.traffic(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record;

    /// Goal: samples belong to the keys that the bytes belong to, however the records are framed.
    #[test]
    fn samples_follow_the_bytes() {
        let whole = HashRange::uniform(1).next().expect("one range");
        let wanted = Wanted { rates: Rates::NONE, traffic: true };
        let mut meter = Meter::new(&wanted, whole, 7, MonoUs(0));
        for _ in 0..100 {
            let mut body = Vec::new();
            record::encode("small", &[1; 100], &mut body);
            record::encode("large", &vec![2; 60_000], &mut body);
            record::encode("small", &[3; 100], &mut body);
            meter.stored(MonoUs(0), Load { body: &body, records: 3 });
        }
        let traffic = meter.traffic(MonoUs(1_000_000)).expect("it is counted");
        let hot = traffic.hot.expect("one key has nearly everything");
        assert_eq!(hot.key, HashKey::of(b"large"));
        assert!(hot.permille > 950, "{hot:?}");
        let samples: u32 = traffic.parts.iter().sum();
        assert!((350..380).contains(&samples), "one in 16 KiB of 6 MB: {samples}");
        assert!(traffic.bytes_s > 0 && traffic.records_s > 0);
    }

    /// Goal: bytes are those of data and keys, as in Kinesis, without our own headers.
    #[test]
    fn headers_are_not_counted() {
        let mut body = Vec::new();
        record::encode("four", &[0; 96], &mut body);
        record::encode("four", &[0; 96], &mut body);
        assert_eq!(Load { body: &body, records: 2 }.bytes(), 200);
    }
}
