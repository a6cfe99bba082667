//! What was asked of the stored values, what was answered, what was seen; and whether all of it can be true. Pure.
//!
//! Versions and tokens are drawn from one counter, so that the puts and claims that are known to have come into force stand
//! in one order. What must hold of that order, and of the times at which things were asked and answered:
//! - A number is given once. What was asked after something was answered has the higher number, over crashes too.
//! - A value that is seen is the one that was put under that version, every byte of it; what was refused is never seen.
//! - A put that names a version replaced that version: none lies between. So no compare-and-set is lost, or done twice.
//! - A put that names a token has the latest claim before it, and its lease was not given back before: whoever was taken over
//!   changes nothing any more. A put that names none found no lease.
//! - A lease is followed by another one only when it was given back, taken by name, or had run out: its time after the last
//!   renewal that was granted has passed.
//! - A renewal is granted only to the latest claim, and refused only if there may be a later one, or none.
//! - What was acknowledged stays: whoever looks later sees it, or what came after it.
//!
//! Deletions and releases have no number; where one may lie, what it would explain is let pass. Not checked: that a
//! refusal names the version, token or time that there is.

use std::collections::{BTreeMap, BTreeSet};

use crate::client::Expect;
use crate::types::MonoUs;

/// Number of an attempt.
pub(super) type Id = usize;

/// A change that was asked for.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A value was to be stored.
    Put { value: Vec<u8>, expect: Expect, token: Option<u64> },
    /// An item was to be deleted.
    Delete { expect: Expect, token: Option<u64> },
    /// A lease was to be taken.
    Claim { take_from: Option<u64>, ttl_us: u64 },
    /// A lease was to be given back.
    Release { token: u64 },
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody can tell, or not yet.
    Unknown,
    /// It certainly changed nothing.
    Refused,
    /// It is in force.
    Done,
}

#[derive(Clone, Debug)]
struct Attempt {
    key: String,
    what: What,
    sent: MonoUs,
    done: Option<MonoUs>,
    outcome: Outcome,
    /// Version or token, once known.
    number: Option<u64>,
    /// When it was first known to be in force: by its answer, or because somebody saw it.
    known: Option<MonoUs>,
}

#[derive(Clone, Debug)]
struct Renewal {
    key: String,
    token: u64,
    sent: MonoUs,
    done: MonoUs,
    held: bool,
}

/// An item as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) version: u64,
    pub(super) value: Vec<u8>,
    /// Token and owner.
    pub(super) lease: Option<(u64, String)>,
}

#[derive(Clone, Debug)]
struct Sight {
    key: String,
    sent: MonoUs,
    done: MonoUs,
    item: Option<Seen>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    attempts: Vec<Attempt>,
    renewals: Vec<Renewal>,
    sights: Vec<Sight>,
}

/// The value that a put stores: its number first, so that whoever sees it knows the put.
pub(super) fn value_of(id: Id, count: u64) -> Vec<u8> {
    format!("{id} {count} {}", "x".repeat(id * 7 % 90)).into_bytes()
}

/// The count in a value.
pub(super) fn count_of(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.split(' ').nth(1)?.parse().ok()
}

/// What the claimant calls itself: the number of the claim.
pub(super) fn owner_of(id: Id) -> String {
    format!("claim-{id}")
}

impl History {
    /// The number of the next attempt.
    pub(super) fn next(&self) -> Id {
        self.attempts.len()
    }

    /// A change is sent.
    pub(super) fn sent(&mut self, key: &str, what: What, now: MonoUs) -> Id {
        let (key, outcome) = (key.to_owned(), Outcome::Unknown);
        self.attempts.push(Attempt { key, what, sent: now, done: None, outcome, number: None, known: None });
        self.attempts.len() - 1
    }

    /// Its outcome, with the version or token if it has one.
    pub(super) fn done(&mut self, id: Id, outcome: Outcome, number: Option<u64>, now: MonoUs) {
        let attempt = &mut self.attempts[id];
        (attempt.done, attempt.outcome, attempt.number) = (Some(now), outcome, number);
        attempt.known = (outcome == Outcome::Done).then_some(now);
    }

    /// A renewal was answered.
    pub(super) fn renewed(&mut self, key: &str, token: u64, (sent, done): (MonoUs, MonoUs), held: bool) {
        self.renewals.push(Renewal { key: key.to_owned(), token, sent, done, held });
    }

    /// Somebody looked.
    pub(super) fn saw(&mut self, key: &str, (sent, done): (MonoUs, MonoUs), item: Option<Seen>) {
        self.sights.push(Sight { key: key.to_owned(), sent, done, item });
    }

    /// How many puts of a key there were that came into force, and that may have.
    pub(super) fn puts_of(&self, key: &str) -> (u64, u64) {
        let of = |outcome| {
            let puts = self.attempts.iter().filter(|a| a.key == key && matches!(a.what, What::Put { .. }));
            puts.filter(|attempt| attempt.outcome == outcome).count() as u64
        };
        (of(Outcome::Done), of(Outcome::Unknown))
    }

    /// Attempts that came into force and those of unknown outcome.
    pub(super) fn counts(&self) -> (u64, u64) {
        let of = |outcome| self.attempts.iter().filter(|attempt| attempt.outcome == outcome).count() as u64;
        (of(Outcome::Done), of(Outcome::Unknown))
    }

    /// Leases taken.
    pub(super) fn grants(&self) -> u64 {
        let is_grant = |a: &&Attempt| matches!(a.what, What::Claim { .. }) && a.outcome == Outcome::Done;
        self.attempts.iter().filter(is_grant).count() as u64
    }

    /// What cannot be true.
    pub(super) fn check(mut self) -> Result<(), String> {
        self.learn()?;
        self.numbers_ascend()?;
        let keys: BTreeSet<_> = self.attempts.iter().map(|attempt| attempt.key.clone()).collect();
        keys.iter().try_for_each(|key| self.of(key).check())
    }

    /// Finds the attempts whose effect was seen.
    fn learn(&mut self) -> Result<(), String> {
        for sight in &self.sights {
            let Some(Seen { version, value, lease }) = &sight.item else { continue };
            if *version > 0 {
                let id = std::str::from_utf8(value).ok().and_then(|text| text.split(' ').next()?.parse::<Id>().ok());
                let put = id.and_then(|id| self.attempts.get_mut(id));
                let put = put.ok_or_else(|| format!("a value that nobody put: {sight:?}"))?;
                if !matches!(&put.what, What::Put { value: put, .. } if put == value) || put.key != sight.key {
                    return Err(format!("a value that is not the one that was put: {sight:?}, {put:?}"));
                }
                put.learn(*version, sight.done)?;
            }
            if let Some((token, owner)) = lease {
                let id = owner.strip_prefix("claim-").and_then(|id| id.parse::<Id>().ok());
                let claim = id.and_then(|id| self.attempts.get_mut(id));
                let claim = claim.ok_or_else(|| format!("a lease that nobody claimed: {sight:?}"))?;
                if !matches!(claim.what, What::Claim { .. }) || claim.key != sight.key {
                    return Err(format!("a lease that is not the one that was claimed: {sight:?}, {claim:?}"));
                }
                claim.learn(*token, sight.done)?;
            }
        }
        Ok(())
    }

    fn numbers_ascend(&self) -> Result<(), String> {
        let mut by_number: BTreeMap<u64, &Attempt> = BTreeMap::new();
        let mut by_known = Vec::new();
        for attempt in &self.attempts {
            let (Some(number), Some(known)) = (attempt.number, attempt.known) else { continue };
            if let Some(other) = by_number.insert(number, attempt) {
                return Err(format!("number {number} twice: {other:?}, {attempt:?}"));
            }
            by_known.push((known, number));
        }
        by_known.sort_unstable();
        let mut by_sent: Vec<_> = by_number.iter().map(|(number, attempt)| (attempt.sent, *number)).collect();
        by_sent.sort_unstable();
        let (mut before, mut highest) = (by_known.into_iter().peekable(), 0);
        for (sent, number) in by_sent {
            while let Some((_, known)) = before.next_if(|(known, _)| *known < sent) {
                highest = highest.max(known);
            }
            if number < highest {
                let (one, other) = (by_number[&number], by_number[&highest]);
                return Err(format!("what was asked later has the lower number: {one:?}, {other:?}"));
            }
        }
        Ok(())
    }

    fn of<'a>(&'a self, key: &str) -> OfKey<'a> {
        let attempts: Vec<_> = self.attempts.iter().filter(|attempt| attempt.key == key).collect();
        let numbered = |is: fn(&What) -> bool| {
            let some = attempts.iter().filter(|attempt| is(&attempt.what));
            some.filter_map(|attempt| Some((attempt.number?, *attempt))).collect::<BTreeMap<_, _>>()
        };
        OfKey {
            puts: numbered(|what| matches!(what, What::Put { .. })),
            claims: numbered(|what| matches!(what, What::Claim { .. })),
            renewals: self.renewals.iter().filter(|renewal| renewal.key == key).collect(),
            sights: self.sights.iter().filter(|sight| sight.key == key).collect(),
            attempts,
        }
    }
}

impl Attempt {
    fn learn(&mut self, number: u64, at: MonoUs) -> Result<(), String> {
        if self.outcome == Outcome::Refused || self.number.is_some_and(|known| known != number) || self.sent > at {
            return Err(format!("seen as {number} at {at:?}: {self:?}"));
        }
        self.number = Some(number);
        self.known = Some(self.known.map_or(at, |known| known.min(at)));
        Ok(())
    }

    fn may_be_in_force(&self) -> bool {
        self.outcome != Outcome::Refused
    }
}

/// What concerns one item.
struct OfKey<'a> {
    attempts: Vec<&'a Attempt>,
    /// By version.
    puts: BTreeMap<u64, &'a Attempt>,
    /// By token.
    claims: BTreeMap<u64, &'a Attempt>,
    renewals: Vec<&'a Renewal>,
    sights: Vec<&'a Sight>,
}

impl OfKey<'_> {
    fn check(&self) -> Result<(), String> {
        for (version, put) in &self.puts {
            self.replaced_what_it_named(*version, put)?;
            self.had_the_lease_it_named(*version, put)?;
        }
        self.versions_are_replaced_once()?;
        self.leases_follow_each_other()?;
        self.renewals.iter().try_for_each(|renewal| self.renewal_is_right(renewal))?;
        self.sights.iter().try_for_each(|sight| self.sight_is_right(sight))
    }

    /// The item may have been deleted by something that may lie after `from` and before `until`.
    fn may_be_deleted(&self, from: MonoUs, until: MonoUs) -> bool {
        let may = |attempt: &&&Attempt| {
            let over = (attempt.outcome == Outcome::Done).then_some(attempt.done).flatten();
            attempt.may_be_in_force() && attempt.sent < until && over.is_none_or(|over| over > from)
        };
        self.attempts.iter().filter(|attempt| matches!(attempt.what, What::Delete { .. })).any(|a| may(&a))
    }

    /// The lease may have been given back, or deleted with its item, before `until`.
    fn may_be_over(&self, lease: u64, until: MonoUs) -> bool {
        let ends = |what: &What| match what {
            What::Release { token } => *token == lease,
            What::Delete { token, .. } => *token == Some(lease),
            What::Put { .. } | What::Claim { .. } => false,
        };
        let mut ending = self.attempts.iter().filter(|attempt| ends(&attempt.what));
        ending.any(|attempt| attempt.may_be_in_force() && attempt.sent < until)
    }

    /// The lease certainly was given back, or deleted with its item, before `from`.
    fn is_over(&self, lease: u64, from: MonoUs) -> bool {
        let ends = |what: &What| match what {
            What::Release { token } => *token == lease,
            What::Delete { token, .. } => *token == Some(lease),
            What::Put { .. } | What::Claim { .. } => false,
        };
        let mut ending = self.attempts.iter().filter(|attempt| ends(&attempt.what));
        ending.any(|attempt| attempt.known.is_some_and(|known| known < from))
    }

    /// Somebody claimed it and was not answered, nor was the lease ever seen.
    fn may_be_claimed_unseen(&self, until: MonoUs) -> bool {
        let is_unseen = |attempt: &&&Attempt| attempt.number.is_none() && attempt.outcome == Outcome::Unknown;
        let claims = self.attempts.iter().filter(|attempt| matches!(attempt.what, What::Claim { .. }));
        claims.filter(is_unseen).any(|attempt| attempt.sent < until)
    }

    /// Somebody put a value and was not answered, nor was the value ever seen.
    fn may_be_put_unseen(&self, until: MonoUs) -> bool {
        let mut puts = self.attempts.iter().filter(|attempt| matches!(attempt.what, What::Put { .. }));
        puts.any(|put| put.number.is_none() && put.outcome == Outcome::Unknown && put.sent < until)
    }

    fn replaced_what_it_named(&self, version: u64, put: &Attempt) -> Result<(), String> {
        let What::Put { expect, .. } = &put.what else { unreachable!("puts have versions") };
        let known = put.known.expect("it has a version");
        let before = self.puts.range(..version).next_back();
        match (expect, before) {
            (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
            (Expect::Version(named), Some((found, _))) if named == found => Ok(()),
            // A claim alone makes an item, too, of version 0.
            (Expect::Version(0), None) => Ok(()),
            (Expect::Absent, Some((_, found))) if self.may_be_deleted(found.sent, known) => Ok(()),
            (Expect::Version(0), Some((_, found))) if self.may_be_deleted(found.sent, known) => Ok(()),
            // A put that nobody was told of had the version, and this one guessed it.
            (Expect::Version(named), before)
                if before.is_none_or(|(found, _)| found < named) && self.may_be_put_unseen(known) =>
            {
                Ok(())
            }
            (expect, before) => Err(format!("a put with {expect:?} replaced {before:?}: {put:?}")),
        }
    }

    fn had_the_lease_it_named(&self, version: u64, put: &Attempt) -> Result<(), String> {
        let What::Put { token, .. } = &put.what else { unreachable!("puts have versions") };
        let known = put.known.expect("it has a version");
        let latest = self.claims.range(..version).next_back().map(|(token, _)| *token);
        match (token, latest) {
            (None, None) => Ok(()),
            (None, Some(latest)) if self.may_be_over(latest, known) => Ok(()),
            (Some(token), Some(latest)) if *token == latest && !self.is_over(latest, put.sent) => Ok(()),
            (token, latest) => Err(format!("a put with lease {token:?} while {latest:?} was in force: {put:?}")),
        }
    }

    /// Of all that named one version, one at most came into force.
    fn versions_are_replaced_once(&self) -> Result<(), String> {
        let mut replaced: BTreeMap<u64, &Attempt> = BTreeMap::new();
        for attempt in self.attempts.iter().filter(|attempt| attempt.known.is_some()) {
            let (What::Put { expect, .. } | What::Delete { expect, .. }) = &attempt.what else { continue };
            let Expect::Version(named @ 1..) = expect else { continue };
            if let Some(other) = replaced.insert(*named, attempt) {
                return Err(format!("version {named} was replaced twice: {other:?}, {attempt:?}"));
            }
        }
        Ok(())
    }

    fn leases_follow_each_other(&self) -> Result<(), String> {
        for ((one, first), (_, second)) in self.claims.iter().zip(self.claims.iter().skip(1)) {
            let What::Claim { take_from, .. } = second.what else { unreachable!("claims have tokens") };
            let What::Claim { ttl_us, .. } = first.what else { unreachable!("claims have tokens") };
            let until = second.known.expect("it has a token");
            let is_stolen_unseen = self.attempts.iter().any(|attempt| {
                let What::Claim { take_from, .. } = attempt.what else { return false };
                take_from == Some(*one) && attempt.outcome == Outcome::Unknown && attempt.sent < until
            });
            if take_from == Some(*one) || is_stolen_unseen || self.may_be_over(*one, until) {
                continue;
            }
            let granted = self.renewals.iter().filter(|renewal| renewal.held && renewal.token == *one);
            let last = granted.map(|renewal| renewal.sent).max().unwrap_or(first.sent).max(first.sent);
            if until < last.plus(ttl_us) {
                return Err(format!("a lease lasted from {last:?} on and was taken: {first:?}, {second:?}"));
            }
        }
        Ok(())
    }

    fn renewal_is_right(&self, renewal: &Renewal) -> Result<(), String> {
        let Renewal { token, sent, done, held, .. } = *renewal;
        let later = self.claims.range(token + 1..);
        let wrong = |why: &str| Err(format!("{why}: {renewal:?}, {:?}", self.claims.get(&token)));
        if held {
            let mut later = later.filter(|(_, claim)| claim.known.is_some_and(|known| known < sent));
            return match later.next() {
                Some(_) => wrong("a lease that was taken over was renewed"),
                None if self.is_over(token, sent) => wrong("a lease that was given back was renewed"),
                None => Ok(()),
            };
        }
        let mut later = later.filter(|(_, claim)| claim.sent < done);
        let is_lost = later.next().is_some() || self.may_be_over(token, done) || self.may_be_claimed_unseen(done);
        if is_lost { Ok(()) } else { wrong("a lease that was granted is gone") }
    }

    fn sight_is_right(&self, sight: &Sight) -> Result<(), String> {
        let Sight { sent, done, item, .. } = sight;
        let version = item.as_ref().map_or(0, |item| item.version);
        // What was known to be there before anybody looked.
        let known = |(number, attempt): (&u64, &&Attempt)| {
            attempt.known.is_some_and(|known| known < *sent).then_some((*number, attempt.sent))
        };
        if let Some((acked, acked_sent)) = self.puts.iter().filter_map(known).max()
            && version < acked
            && !(version == 0 && self.may_be_deleted(acked_sent, *done))
        {
            return Err(format!("version {acked} is gone: {sight:?}, {:?}", self.puts[&acked]));
        }
        let token = item.as_ref().and_then(|item| item.lease.as_ref()).map_or(0, |(token, _)| *token);
        if let Some((granted, granted_sent)) = self.claims.iter().filter_map(known).max()
            && token < granted
        {
            // Somebody else may have come and gone while the answer was under way.
            let mut later = self.claims.range(granted..).filter(|(_, claim)| claim.sent < *done);
            let is_explained = token == 0 && later.any(|(token, _)| self.may_be_over(*token, *done));
            let went_with_item = item.is_none() && self.may_be_deleted(granted_sent, *done);
            if !is_explained && !went_with_item {
                return Err(format!("lease {granted} is gone: {sight:?}, {:?}", self.claims[&granted]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL_US: u64 = 1_000;

    /// A history in which each thing takes a microsecond, one after the other.
    #[derive(Default)]
    struct Story {
        history: History,
        now: u64,
    }

    impl Story {
        fn tick(&mut self) -> MonoUs {
            self.now += 1;
            MonoUs(self.now)
        }

        fn did(&mut self, what: What, outcome: Outcome, number: Option<u64>) -> Id {
            let sent = self.tick();
            let id = self.history.sent("k", what, sent);
            let done = self.tick();
            self.history.done(id, outcome, number, done);
            id
        }

        fn put(&mut self, expect: Expect, token: Option<u64>, version: u64) -> Id {
            let value = value_of(self.history.next(), 0);
            self.did(What::Put { value, expect, token }, Outcome::Done, Some(version))
        }

        fn claim(&mut self, take_from: Option<u64>, token: u64) -> Id {
            self.did(What::Claim { take_from, ttl_us: TTL_US }, Outcome::Done, Some(token))
        }

        fn renew(&mut self, token: u64, held: bool) {
            let times = (self.tick(), self.tick());
            self.history.renewed("k", token, times, held);
        }

        fn see(&mut self, put: Option<(Id, u64)>, lease: Option<(Id, u64)>) {
            let times = (self.tick(), self.tick());
            let item = put.or(lease.map(|_| (0, 0))).map(|(id, version)| Seen {
                version,
                value: if version == 0 { Vec::new() } else { value_of(id, 0) },
                lease: lease.map(|(id, token)| (token, owner_of(id))),
            });
            self.history.saw("k", times, item);
        }

        fn wait(&mut self) {
            self.now += TTL_US;
        }

        fn fails(self, why: &str) {
            let error = self.history.check().expect_err(why);
            assert!(error.contains(why), "{error}");
        }
    }

    /// Goal: a life as it should be is let pass: puts in turn, a lease that runs out, one that is stolen, one given back.
    #[test]
    fn what_is_right_passes() {
        let mut story = Story::default();
        let first = story.put(Expect::Absent, None, 1);
        story.see(Some((first, 1)), None);
        let second = story.put(Expect::Version(1), None, 2);
        let claim = story.claim(None, 3);
        story.see(Some((second, 2)), Some((claim, 3)));
        story.renew(3, true);
        let third = story.put(Expect::Version(2), Some(3), 4);
        story.wait();
        let other = story.claim(None, 5);
        story.renew(3, false);
        story.did(
            What::Put { value: value_of(story.history.next(), 0), expect: Expect::Any, token: Some(3) },
            Outcome::Refused,
            None,
        );
        story.see(Some((third, 4)), Some((other, 5)));
        story.claim(Some(5), 6);
        story.did(What::Release { token: 6 }, Outcome::Done, None);
        story.put(Expect::Any, None, 7);
        story.did(What::Delete { expect: Expect::Version(7), token: None }, Outcome::Done, None);
        story.see(None, None);
        story.put(Expect::Absent, None, 8);
        story.history.check().unwrap();
    }

    /// Goal: what has an unknown outcome may be in force or not; once it is seen it is in force.
    #[test]
    fn unknown_outcomes_may_be_either() {
        let mut story = Story::default();
        story.put(Expect::Absent, None, 1);
        let value = value_of(1, 0);
        let unknown = story.did(What::Put { value, expect: Expect::Version(1), token: None }, Outcome::Unknown, None);
        let mut seen = Story { history: story.history.clone(), now: story.now };
        story.put(Expect::Version(1), None, 2);
        story.history.check().unwrap();
        seen.see(Some((unknown, 2)), None);
        seen.put(Expect::Version(2), None, 3);
        let mut lost = Story { history: seen.history.clone(), now: seen.now };
        seen.history.check().unwrap();
        lost.put(Expect::Version(1), None, 4);
        lost.fails("replaced");
    }

    /// Goal: each promise that is broken is noticed.
    #[test]
    fn what_is_wrong_is_noticed() {
        type Tell = fn(&mut Story);
        let broken: [(&str, Tell); 12] = [
            ("twice", |story| {
                story.put(Expect::Any, None, 2);
                story.claim(None, 2);
            }),
            ("lower number", |story| {
                story.put(Expect::Any, None, 5);
                story.put(Expect::Any, None, 4);
            }),
            ("replaced", |story| {
                story.put(Expect::Version(1), None, 2);
                story.put(Expect::Version(1), None, 3);
            }),
            ("replaced twice", |story| {
                story.put(Expect::Version(1), None, 2);
                story.did(What::Delete { expect: Expect::Version(1), token: None }, Outcome::Done, None);
            }),
            ("in force", |story| {
                story.claim(None, 2);
                story.claim(Some(2), 3);
                story.put(Expect::Any, Some(2), 4);
            }),
            ("in force", |story| {
                story.claim(None, 2);
                story.put(Expect::Any, None, 3);
            }),
            ("in force", |story| {
                story.claim(None, 2);
                story.did(What::Release { token: 2 }, Outcome::Done, None);
                story.put(Expect::Any, Some(2), 3);
            }),
            ("was taken", |story| {
                story.claim(None, 2);
                story.now += TTL_US - 10;
                story.renew(2, true);
                story.now += 20;
                story.claim(None, 3);
            }),
            ("taken over was renewed", |story| {
                story.claim(None, 2);
                story.claim(Some(2), 3);
                story.renew(2, true);
            }),
            ("is gone", |story| {
                story.claim(None, 2);
                story.renew(2, false);
            }),
            ("version 2 is gone", |story| {
                story.put(Expect::Version(1), None, 2);
                story.see(Some((0, 1)), None);
            }),
            ("lease 2 is gone", |story| {
                story.claim(None, 2);
                story.see(Some((0, 1)), None);
            }),
        ];
        for (why, tell) in broken {
            let mut story = Story::default();
            story.put(Expect::Absent, None, 1);
            tell(&mut story);
            story.fails(why);
        }
        // A value that was refused, and one that is not what was put.
        let mut story = Story::default();
        let what = What::Put { value: value_of(0, 0), expect: Expect::Any, token: None };
        let refused = story.did(what, Outcome::Refused, None);
        story.see(Some((refused, 1)), None);
        story.fails("seen as");
        let mut story = Story::default();
        story.put(Expect::Any, None, 1);
        let times = (story.tick(), story.tick());
        story.history.saw("k", times, Some(Seen { version: 1, value: b"0 1 ".to_vec(), lease: None }));
        story.fails("not the one that was put");
    }
}
