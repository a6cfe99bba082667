//! Was everything that was acknowledged received, once, in order and whole? Pure: knows no clock and no driver.
//!
//! Per producer and key, records are numbered 0, 1, 2, ... A [`Ledger`] keeps what producers know: how many were sent, and
//! which were *not* acknowledged. A [`Reader`] keeps what a group received: the number that is expected next, and the gaps
//! below it. Neither keeps what went well, so memory depends on producers × keys and on what went wrong, never on the
//! length of a run; and what went wrong is bounded by [`GAPS_MAX`], beyond which the run has failed anyway.
//!
//! ```text
//! received n = expected   in order; n+1 is expected
//!          n > expected   a gap opens: expected..n; it closes when they come late, or is a loss in the end
//!          n in a gap     out of order: a later one of the same key was there first
//!          n otherwise    a duplicate
//! ```
//! In the end a number is **lost** if it is in a gap or beyond the last one received, was sent, and was neither refused nor
//! left without a known outcome. A number that was refused ("certainly not stored") and is received is **stored though
//! refused**: the refusal was a lie.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::payload::{PayloadError, Tag};

/// Ranges of missing numbers that one reader remembers, and ranges of failed ones that the ledger does.
pub const GAPS_MAX: usize = 1 << 20;

/// Examples kept of each kind of violation.
const EXAMPLES_MAX: usize = 5;

/// Sets of numbers as disjoint ranges, per lane, with a bound on all of them together.
#[derive(Clone, Debug, Default)]
struct Ranges {
    /// `(lane, start)` → end.
    ranges: BTreeMap<(u64, u64), u64>,
    overflowed: bool,
}

impl Ranges {
    /// Adds numbers that are not in the set. Ranges that touch become one.
    fn insert(&mut self, lane: u64, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&(_, before), &until)) = self.ranges.range((lane, 0)..(lane, start)).next_back()
            && until == start
        {
            start = before;
        }
        if let Some(until) = self.ranges.remove(&(lane, end)) {
            end = until;
        }
        if self.ranges.len() >= GAPS_MAX && !self.ranges.contains_key(&(lane, start)) {
            self.overflowed = true;
            return;
        }
        self.ranges.insert((lane, start), end);
    }

    /// Takes a number out; whether it was in.
    fn remove(&mut self, lane: u64, number: u64) -> bool {
        let found = self.ranges.range((lane, 0)..=(lane, number)).next_back().map(|(&(_, start), &end)| (start, end));
        let Some((start, end)) = found.filter(|(_, end)| number < *end) else { return false };
        self.ranges.remove(&(lane, start));
        if start < number {
            self.ranges.insert((lane, start), number);
        }
        if number + 1 < end {
            self.ranges.insert((lane, number + 1), end);
        }
        true
    }

    fn contains(&self, lane: u64, number: u64) -> bool {
        let found = self.ranges.range((lane, 0)..=(lane, number)).next_back();
        found.is_some_and(|(_, end)| number < *end)
    }

    fn of(&self, lane: u64) -> impl Iterator<Item = Range<u64>> {
        self.ranges.range((lane, 0)..=(lane, u64::MAX)).map(|(&(_, start), &end)| start..end)
    }

    /// How many numbers of `range` are not in the set.
    fn missing_in(&self, lane: u64, range: Range<u64>) -> u64 {
        let covered: u64 =
            self.of(lane).map(|own| own.end.min(range.end).saturating_sub(own.start.max(range.start))).sum();
        (range.end - range.start) - covered
    }
}

/// What producers know of the records they sent. One per sending thread; threads have producers of their own.
#[derive(Clone, Debug)]
pub struct Ledger {
    keys: u32,
    first_producer: u32,
    /// Next number per producer and key.
    next: Vec<u64>,
    /// Per producer and key, the number after the highest that was acknowledged.
    acked_until: Vec<u64>,
    refused: Ranges,
    unknown: Ranges,
    /// Records acknowledged.
    acked: u64,
}

impl Ledger {
    /// The ledger of `producers` producers, numbered from `first_producer` on.
    #[must_use]
    pub fn new(first_producer: u32, producers: u32, keys: u32) -> Self {
        let lanes = producers as usize * keys as usize;
        Self {
            keys,
            first_producer,
            next: vec![0; lanes],
            acked_until: vec![0; lanes],
            refused: Ranges::default(),
            unknown: Ranges::default(),
            acked: 0,
        }
    }

    /// The number of the next record of a producer and key.
    pub fn next(&mut self, producer: u32, key: u32) -> u64 {
        let at = self.at(producer, key);
        let seq = self.next[at];
        self.next[at] += 1;
        seq
    }

    const fn at(&self, producer: u32, key: u32) -> usize {
        (producer - self.first_producer) as usize * self.keys as usize + key as usize
    }

    /// A record was acknowledged.
    pub fn acked(&mut self, producer: u32, key: u32, seq: u64) {
        let at = self.at(producer, key);
        self.acked_until[at] = self.acked_until[at].max(seq + 1);
        self.acked += 1;
    }

    /// Every record was acknowledged.
    pub fn all_acked(&mut self) {
        self.acked_until.clone_from(&self.next);
        self.acked = self.next.iter().sum();
    }

    /// Nobody waits for outcomes any more: of records without one nobody can tell whether they are or will be stored. Those of a
    /// producer and key are acknowledged in their order, so these are the ones behind the last that was.
    pub fn given_up(&mut self) {
        let first = lane(self.first_producer, self.keys, 0);
        for (at, (&until, &next)) in self.acked_until.iter().zip(&self.next).enumerate() {
            let lane = first + at as u64;
            for seq in until..next {
                if !self.refused.contains(lane, seq) && !self.unknown.contains(lane, seq) {
                    self.unknown.insert(lane, seq..seq + 1);
                }
            }
        }
    }

    /// A record was certainly not stored.
    pub fn refused(&mut self, producer: u32, key: u32, seq: u64) {
        let lane = lane(producer, self.keys, key);
        self.refused.insert(lane, seq..seq + 1);
    }

    /// Nobody can tell whether a record was stored.
    pub fn unknown(&mut self, producer: u32, key: u32, seq: u64) {
        let lane = lane(producer, self.keys, key);
        self.unknown.insert(lane, seq..seq + 1);
    }

    /// Whether it forgot failures because there were too many.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.refused.overflowed || self.unknown.overflowed
    }

    fn lanes(&self) -> impl Iterator<Item = (u64, u64)> {
        let first = lane(self.first_producer, self.keys, 0);
        self.next.iter().enumerate().map(move |(at, next)| (first + at as u64, *next))
    }
}

/// A producer's records of one key.
fn lane(producer: u32, keys: u32, key: u32) -> u64 {
    u64::from(producer) * u64::from(keys) + u64::from(key)
}

/// What a group of consumers received.
#[derive(Clone, Debug)]
pub struct Reader {
    keys: u32,
    /// Next number expected, per producer and key.
    next: Vec<u64>,
    gaps: Ranges,
    received: u64,
    duplicates: u64,
    reordered: u64,
    corrupt: u64,
    strangers: u64,
    examples: Vec<String>,
}

impl Reader {
    /// A reader of the records of `producers` producers.
    #[must_use]
    pub fn new(producers: u32, keys: u32) -> Self {
        Self {
            keys,
            next: vec![0; producers as usize * keys as usize],
            gaps: Ranges::default(),
            received: 0,
            duplicates: 0,
            reordered: 0,
            corrupt: 0,
            strangers: 0,
            examples: Vec::new(),
        }
    }

    /// A record of this run, whole.
    pub fn received(&mut self, tag: &Tag) {
        let at = u64::from(tag.producer) * u64::from(self.keys) + u64::from(tag.key);
        let Some(next) = self.next.get_mut(at as usize).filter(|_| tag.key < self.keys) else {
            self.corrupt += 1;
            self.example(|| format!("no such producer and key: {tag:?}"));
            return;
        };
        self.received += 1;
        let expected = *next;
        if tag.seq == expected {
            *next += 1;
        } else if tag.seq > expected {
            *next = tag.seq + 1;
            self.gaps.insert(at, expected..tag.seq);
        } else if self.gaps.remove(at, tag.seq) {
            self.reordered += 1;
            self.example(|| format!("out of order: {} came after {} of {}", tag.seq, expected - 1, name(tag)));
        } else {
            self.duplicates += 1;
            self.example(|| format!("duplicate: {} of {}", tag.seq, name(tag)));
        }
    }

    /// Bytes that are not a whole record of this run.
    pub fn damaged(&mut self, key: &str, error: &PayloadError) {
        match error {
            PayloadError::OtherRun { .. } => self.strangers += 1,
            PayloadError::Short { .. } | PayloadError::Checksum { .. } | PayloadError::Key { .. } => self.corrupt += 1,
        }
        self.example(|| format!("damaged, with key {key:?}: {error}"));
    }

    /// Records received, duplicates included.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.received
    }

    /// Whether everything is there that the ledgers say was acknowledged.
    #[must_use]
    pub fn is_complete(&self, ledgers: &[Ledger]) -> bool {
        self.lost(ledgers, |_, _| {}) == 0
    }

    /// Records lost. `found` is called with the lane and the first lost number of each range.
    fn lost(&self, ledgers: &[Ledger], mut found: impl FnMut(u64, u64)) -> u64 {
        let mut lost = 0;
        for ledger in ledgers {
            for (lane, sent) in ledger.lanes() {
                let next = self.next.get(lane as usize).copied().unwrap_or(0).min(sent);
                for range in self.gaps.of(lane).chain(std::iter::once(next..sent)).filter(|range| !range.is_empty()) {
                    let not_refused = ledger.refused.missing_in(lane, range.clone());
                    let without_outcome = (range.end - range.start) - ledger.unknown.missing_in(lane, range.clone());
                    let here = not_refused - without_outcome;
                    if here > 0 {
                        let first = range
                            .clone()
                            .find(|n| !ledger.refused.contains(lane, *n) && !ledger.unknown.contains(lane, *n));
                        found(lane, first.unwrap_or(range.start));
                    }
                    lost += here;
                }
            }
        }
        lost
    }

    /// Refused records that were received all the same.
    fn stored_though_refused(&self, ledgers: &[Ledger]) -> u64 {
        let mut count = 0;
        for ledger in ledgers {
            for (&(lane, start), &end) in &ledger.refused.ranges {
                let next = self.next.get(lane as usize).copied().unwrap_or(0);
                let range = start..end.min(next).max(start);
                count += self.gaps.missing_in(lane, range);
            }
        }
        count
    }

    /// The verdict, when nothing more will come.
    #[must_use]
    pub fn finish(self, ledgers: &[Ledger]) -> Findings {
        let mut examples = self.examples.clone();
        let mut losses = 0;
        let lost = self.lost(ledgers, |lane, number| {
            losses += 1;
            if losses <= EXAMPLES_MAX {
                let (producer, key) = (lane / u64::from(self.keys), lane % u64::from(self.keys));
                examples.push(format!("lost: {number} of producer {producer}, key {key}"));
            }
        });
        Findings {
            received: self.received,
            lost,
            duplicates: self.duplicates,
            reordered: self.reordered,
            corrupt: self.corrupt,
            strangers: self.strangers,
            stored_though_refused: self.stored_though_refused(ledgers),
            overflowed: self.gaps.overflowed,
            examples,
        }
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }
}

fn name(tag: &Tag) -> String {
    format!("producer {}, key {}", tag.producer, tag.key)
}

/// What one group found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Records received, duplicates included.
    pub received: u64,
    /// Acknowledged records that never came.
    pub lost: u64,
    /// Records that came again.
    pub duplicates: u64,
    /// Records that came after a later one of the same producer and key.
    pub reordered: u64,
    /// Records that are not what was sent.
    pub corrupt: u64,
    /// Records of another run in the same stream. Not a violation: the stream was not empty.
    pub strangers: u64,
    /// Records that came although their put was refused.
    pub stored_though_refused: u64,
    /// More went wrong than can be remembered: the numbers are lower bounds.
    pub overflowed: bool,
    /// Some of what went wrong, for people.
    pub examples: Vec<String>,
}

impl Findings {
    /// Whether everything held.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.lost == 0
            && self.duplicates == 0
            && self.reordered == 0
            && self.corrupt == 0
            && self.stored_though_refused == 0
            && !self.overflowed
    }
}

/// What became of every record of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Records sent.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Records that were certainly not stored.
    pub refused: u64,
    /// Records whose outcome nobody knows.
    pub unknown: u64,
    /// More puts failed than can be remembered: losses cannot be told from failures, and the run counts as failed.
    pub overflowed: bool,
    /// What each group found.
    pub groups: Vec<Findings>,
}

impl Verification {
    /// The verdict on a whole run.
    #[must_use]
    pub fn new(ledgers: &[Ledger], readers: Vec<Reader>) -> Self {
        let count = |ranges: &Ranges| ranges.ranges.iter().map(|(&(_, start), &end)| end - start).sum::<u64>();
        Self {
            sent: ledgers.iter().flat_map(Ledger::lanes).map(|(_, sent)| sent).sum(),
            acked: ledgers.iter().map(|ledger| ledger.acked).sum(),
            refused: ledgers.iter().map(|ledger| count(&ledger.refused)).sum(),
            unknown: ledgers.iter().map(|ledger| count(&ledger.unknown)).sum(),
            overflowed: ledgers.iter().any(Ledger::overflowed),
            groups: readers.into_iter().map(|reader| reader.finish(ledgers)).collect(),
        }
    }

    /// Why the run failed; empty if everything held.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.overflowed {
            failures.push(format!("more than {GAPS_MAX} puts failed: losses cannot be told from failures"));
        }
        for (group, found) in self.groups.iter().enumerate() {
            let kinds = [
                (found.lost, "acknowledged and lost"),
                (found.duplicates, "received more than once"),
                (found.reordered, "out of order within a key"),
                (found.corrupt, "damaged"),
                (found.stored_though_refused, "refused and stored all the same"),
            ];
            for (count, what) in kinds.iter().filter(|(count, _)| *count > 0) {
                failures.push(format!("group {group}: {count} records {what}"));
            }
            if found.overflowed {
                failures.push(format!("group {group}: more than {GAPS_MAX} gaps"));
            }
        }
        failures
    }
}

#[cfg(test)]
mod tests;
