//! The checker of one log whose driver knows in which order the log took puts.
//!
//! It keeps what every offset must hold, and three bounds: `must` (acknowledged or seen by a reader), `safe` (what must
//! survive a power failure although `durability = interval`) and `end` (taken by the log). After a crash the log must end
//! at a border between two puts, somewhere from `must` (or `safe`) to `end`. With the order known this says it all:
//!
//! - what was acknowledged or seen is there, byte for byte, once and in order;
//! - what was not is there as a whole or not at all, and never without what the log took before it;
//! - offsets are dense;
//! - a resend is stored once, answered with the offsets of the first time, also after a crash.
//!
//! With `durability = interval`, a killed process loses nothing acknowledged either; a power failure may take back the
//! puts of the last interval, the newest ones first. If a disk error stopped the log before, that interval counts from
//! then.
//!
//! It does not check: arrival times other than that they never decrease, when something becomes visible, how long
//! anything takes, and whether producers are told the best reason when their stamp is refused after their batches have
//! expired.

use std::collections::BTreeMap;

use crate::limits::{PRODUCER_WINDOW, SYNC_INTERVAL_US};
use crate::sim::workload::contents::{Contents, Pattern};
use crate::types::{Durability, MonoUs, Offset, ProducerId, ProducerStamp};

/// What is granted beyond the interval: timers fire late, and a sync takes its time.
const INTERVAL_SLACK_US: u64 = 30_000;

/// A put that the log took.
#[derive(Debug)]
struct Stored {
    contents: Contents,
    stamp: Option<ProducerStamp>,
    base: Offset,
}

/// What the log knows about a producer.
#[derive(Debug, Default)]
struct Known {
    epoch: u32,
    /// Batches of this epoch: base offset and records.
    batches: Vec<(Offset, u32)>,
}

/// What the log has to answer to a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It is stored, at this offset.
    Fresh(Offset),
    /// It is stored already.
    Duplicate(Offset),
    /// Its stamp is refused.
    Refused,
    /// Its producer's batches have expired: any of the above.
    Any,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed, or its log died: what was handed to the disk is there.
    Kill,
    /// The power failed. What became visible a whole interval before this time was synced.
    PowerLoss(MonoUs),
}

/// What one log must hold. Methods panic where a promise is broken.
#[derive(Debug)]
pub struct LogOracle {
    name: String,
    durability: Durability,
    stored: Vec<Stored>,
    producers: BTreeMap<ProducerId, Known>,
    end: Offset,
    must: Offset,
    safe: Offset,
    /// When `must` reached which offset, for those not known to be safe.
    reached: Vec<(MonoUs, Offset)>,
    expired_to: Offset,
    first: Offset,
}

impl LogOracle {
    /// An empty log. `name` is for people.
    #[must_use]
    pub fn new(name: String, durability: Durability) -> Self {
        Self {
            name,
            durability,
            stored: Vec::new(),
            producers: BTreeMap::new(),
            end: Offset(0),
            must: Offset(0),
            safe: Offset(0),
            reached: Vec::new(),
            expired_to: Offset(0),
            first: Offset(0),
        }
    }

    /// One past everything the log took.
    #[must_use]
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// One past what must be there.
    #[must_use]
    pub const fn must(&self) -> Offset {
        self.must
    }

    // ---- what the log is asked

    /// What the log has to answer to a put.
    #[must_use]
    pub fn expect(&self, stamp: Option<ProducerStamp>) -> Expect {
        let Some(stamp) = stamp else { return Expect::Fresh(self.end) };
        let Some(known) = self.producers.get(&stamp.id) else {
            return if stamp.seq == 0 { Expect::Fresh(self.end) } else { Expect::Refused };
        };
        let remembered = &known.batches[known.batches.len().saturating_sub(PRODUCER_WINDOW)..];
        if remembered.iter().any(|(base, _)| *base < self.first) {
            return Expect::Any;
        }
        if stamp.epoch < known.epoch {
            return Expect::Refused;
        }
        if stamp.epoch > known.epoch {
            return if stamp.seq == 0 { Expect::Fresh(self.end) } else { Expect::Refused };
        }
        let (seq, next) = (stamp.seq as usize, known.batches.len());
        if seq == next {
            Expect::Fresh(self.end)
        } else if seq < next && next - seq <= PRODUCER_WINDOW {
            Expect::Duplicate(known.batches[seq].0)
        } else {
            Expect::Refused
        }
    }

    /// The log took a put, for the first time.
    pub fn took(&mut self, contents: Contents, stamp: Option<ProducerStamp>) {
        let base = self.end;
        self.end = base.plus(contents.records().into());
        let stored = Stored { contents, stamp, base };
        self.note_producer(&stored);
        self.stored.push(stored);
    }

    fn note_producer(&mut self, Stored { contents, stamp, base }: &Stored) {
        let Some(stamp) = stamp else { return };
        let known = self.producers.entry(stamp.id).or_default();
        if known.epoch != stamp.epoch || stamp.seq == 0 {
            *known = Known { epoch: stamp.epoch, batches: Vec::new() };
        }
        known.batches.push((*base, contents.records()));
    }

    /// The log answered a put, at `now`: everything up to its end must be there from now on.
    pub fn acked(&mut self, contents: &Contents, base: Offset, now: MonoUs) {
        let at = self.at(base).unwrap_or_else(|| self.broken(&format!("put {} acknowledged at {base}", contents.id)));
        let stored = &self.stored[at];
        if stored.contents.id != contents.id || stored.base != base {
            self.broken(&format!(
                "put {} was acknowledged at offset {base}, where put {} is",
                contents.id, stored.contents.id
            ));
        }
        self.reach(base.plus(contents.records().into()), now);
    }

    /// A reader was handed the record at `offset`.
    pub fn saw(&self, pattern: &Pattern, offset: Offset, key: &str, data: &[u8]) {
        let Some(at) = self.at(offset) else {
            self.broken(&format!("a reader got a record at offset {offset}, the log took {} so far", self.end));
        };
        let Stored { contents, base, .. } = &self.stored[at];
        let n = u32::try_from(offset.0 - base.0).expect("puts are small");
        if key != contents.key(n) || data != pattern.data(contents, n) {
            self.broken(&format!(
                "offset {offset} has to hold record {n} of put {}; a reader got key {key:?} and {} bytes of {:?}",
                contents.id,
                data.len(),
                crate::sim::workload::contents::mark(data)
            ));
        }
    }

    /// Readers have seen everything below `to`, at `now`: it must not disappear.
    pub fn reach(&mut self, to: Offset, now: MonoUs) {
        if to > self.end {
            self.broken(&format!("offset {to} was reached, the log took {} so far", self.end));
        }
        if to <= self.must {
            return;
        }
        self.must = to;
        match self.durability {
            Durability::Fsync => self.safe = to,
            Durability::Interval => self.reached.push((now, to)),
        }
    }

    /// Everything below `offset` may be freed from now on.
    pub fn may_expire(&mut self, offset: Offset) {
        self.expired_to = self.expired_to.max(offset);
    }

    /// The log says that it starts at `first`.
    pub fn starts_at(&mut self, first: Offset) {
        if first > self.expired_to {
            self.broken(&format!("the log starts at {first}, only records before {} expired", self.expired_to));
        }
        self.first = self.first.max(first);
    }

    // ---- crashes

    /// The process ended.
    pub fn crashed(&mut self, how: End) {
        let End::PowerLoss(now) = how else { return };
        let safe = self.reached.iter().rev().find(|(at, _)| now.since(*at) > SYNC_INTERVAL_US + INTERVAL_SLACK_US);
        self.safe = safe.map_or(self.safe, |(_, to)| self.safe.max(*to));
        self.must = self.safe;
        self.reached.clear();
    }

    /// The log was recovered: it holds what lies before `end`, durably.
    pub fn recovered(&mut self, first: Offset, end: Offset) {
        if end < self.must {
            self.broken(&format!(
                "the log ends at {end} after recovery; up to {} it was promised ({})",
                self.must, self.durability
            ));
        }
        if end > self.end {
            self.broken(&format!("the log ends at {end} after recovery, it only took {}", self.end));
        }
        let kept = self.stored.partition_point(|stored| stored.base < end);
        if let Some(last) = kept.checked_sub(1).map(|at| &self.stored[at])
            && last.base.plus(last.contents.records().into()) != end
        {
            self.broken(&format!("the log ends at {end} after recovery, within put {}", last.contents.id));
        }
        self.stored.truncate(kept);
        (self.end, self.must, self.safe) = (end, end, end);
        self.reached.clear();
        self.producers.clear();
        for stored in std::mem::take(&mut self.stored) {
            self.note_producer(&stored);
            self.stored.push(stored);
        }
        self.starts_at(first);
    }

    fn at(&self, offset: Offset) -> Option<usize> {
        if offset >= self.end {
            return None;
        }
        self.stored.partition_point(|stored| stored.base <= offset).checked_sub(1)
    }

    fn broken(&self, what: &str) -> ! {
        panic!("{}: a promise is broken: {what}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn put(id: u64, records: usize) -> Contents {
        Contents { id, sizes: Rc::from(vec![20; records]) }
    }

    /// A log that took puts 0 to 3 of two records each, with stamps, and acknowledged the first two.
    fn sample(durability: Durability) -> LogOracle {
        let mut log = LogOracle::new("log".to_owned(), durability);
        for id in 0..4 {
            log.took(put(id, 2), Some(stamp(id as u32)));
        }
        log.acked(&put(1, 2), Offset(2), MonoUs(1_000_000));
        log
    }

    fn stamp(seq: u32) -> ProducerStamp {
        ProducerStamp { id: ProducerId(9), epoch: 0, seq }
    }

    fn outcome(check: impl FnOnce(&mut LogOracle), durability: Durability) -> bool {
        let mut log = sample(durability);
        let check = std::panic::AssertUnwindSafe(|| check(&mut log));
        std::panic::catch_unwind(check).is_ok()
    }

    /// Goal: the bounds of what a crash may leave are exact: not less than promised, not more than taken, whole puts.
    #[test]
    fn bounds_are_exact() {
        let ends: Vec<_> = (0..10)
            .filter(|end| {
                outcome(
                    |log| {
                        log.crashed(End::Kill);
                        log.recovered(Offset(0), Offset(*end));
                    },
                    Durability::Fsync,
                )
            })
            .collect();
        assert_eq!(ends, [4, 6, 8]);
    }

    /// Goal: with interval durability a power failure may take the last interval back, and no more; a kill takes nothing.
    #[test]
    fn an_interval_may_be_lost() {
        let recovers = |how, end| {
            outcome(
                |log| {
                    log.crashed(how);
                    log.recovered(Offset(0), Offset(end));
                },
                Durability::Interval,
            )
        };
        assert!(recovers(End::PowerLoss(MonoUs(1_000_001)), 0));
        assert!(!recovers(End::PowerLoss(MonoUs(2_000_000)), 2));
        assert!(recovers(End::PowerLoss(MonoUs(2_000_000)), 4));
        assert!(!recovers(End::Kill, 2));
    }

    /// Goal: what the log has to say to each stamp, before and after a crash took the last batch.
    #[test]
    fn stamps() {
        let mut log = sample(Durability::Fsync);
        let answers = |log: &LogOracle| (2..5).map(|seq| log.expect(Some(stamp(seq)))).collect::<Vec<_>>();
        assert_eq!(
            answers(&log),
            [Expect::Duplicate(Offset(4)), Expect::Duplicate(Offset(6)), Expect::Fresh(Offset(8))]
        );
        log.crashed(End::Kill);
        log.recovered(Offset(0), Offset(6));
        assert_eq!(answers(&log), [Expect::Duplicate(Offset(4)), Expect::Fresh(Offset(6)), Expect::Refused]);
    }

    /// Goal: a wrong byte, a wrong place, a wrong offset in an answer and a horizon that ran ahead are each noticed.
    #[test]
    fn lies_are_noticed() {
        let pattern = Pattern::default();
        let data = pattern.data(&put(1, 2), 1);
        let key = put(1, 2).key(1);
        let level = Durability::Fsync;
        assert!(outcome(|log| log.saw(&pattern, Offset(3), &key, &data), level));
        assert!(!outcome(|log| log.saw(&pattern, Offset(2), &key, &data), level));
        assert!(!outcome(|log| log.saw(&pattern, Offset(3), &key, &data[1..]), level));
        assert!(!outcome(|log| log.saw(&pattern, Offset(9), &key, &data), level));
        assert!(!outcome(|log| log.acked(&put(3, 2), Offset(4), MonoUs(0)), level));
        assert!(!outcome(|log| log.starts_at(Offset(1)), level));
    }
}
