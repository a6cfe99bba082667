//! The batches of one shard, from the first record to the acknowledgement: what to send next, and what an answer means.
//! Pure: no clock, no I/O; the pump does what it says.
//!
//! ```text
//! filling -> ready -> window -> settled
//!            no stamp  stamped, sent, perhaps sent again
//! ```
//!
//! A *round* is one pass over the window. Anything that breaks the order in which the shard takes the batches (a lost
//! connection, a refusal that passes, a gap) starts a new round, which sends the whole window again, in order, with the
//! same stamps: what is stored already is answered as a duplicate. Errors of older rounds say nothing about this one.
//!
//! ```text
//! answer to a batch                    what happens
//! stored, duplicate, forgotten         settled
//! retry now, retry after, gap          new round, after a wait
//! outcome unknown (lost, timeout)      marked, new round, after a wait
//! refresh the map                      stale: nothing is sent until the map is known
//! shard closed                         also: it and those behind it are not stored
//! gap before the window                the shard lost what it had acknowledged: new epoch
//! producer unknown                     new epoch; a gap, while the first batch of the epoch is in the window
//! fenced                               the producer is over
//! anything else                        the batch is refused; once it is the oldest: failed, and a new epoch
//! ```
//!
//! **A shard that was closed** remembers its producers. If a batch may be stored in it, the lane is *closing*: it sends
//! those that may be, and no others, until each is answered as stored or as refused by the closed shard. What is left then
//! certainly is not stored, and the pump takes it to the children.
//!
//! **A new epoch** starts when no answer is outstanding any more. Batches that certainly are not stored go back to the
//! queue and get stamps of the new epoch. Those that were sent and may be stored fail with an unknown outcome: sent under
//! a new stamp they might be stored twice.
//!
//! Invariants:
//! - Stamps of the window ascend by one from `next_seq - window.len()` at most `window_max` back: the shard remembers
//!   that many.
//! - Behind a refused batch nothing is sent.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::super::error::Error;
use super::batch::{Batch, Fate, NewRecord, Outcome, Place, SealedBatch};
use crate::protocol::messages::{Put, PutAnswer, ShardDescription};
use crate::protocol::{ErrorClass, ErrorCode};
use crate::runtime::local::Permit;
use crate::types::{MonoUs, ProducerId, ProducerStamp};

/// Sizes and times of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneLimits {
    pub(super) batch_bytes_max: usize,
    pub(super) batch_records_max: u32,
    pub(super) linger_us: u64,
    pub(super) delivery_us: u64,
    /// Batches that may be unanswered, as the node says.
    pub(super) window_max: u32,
}

/// The batches of one shard.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shard: ShardDescription,
    producer: ProducerId,
    limits: LaneLimits,
    filling: Option<Batch>,
    ready: VecDeque<SealedBatch>,
    window: VecDeque<Stamped>,
    epoch: u32,
    next_seq: u32,
    round: u32,
    /// Sends without an answer, of all rounds.
    unanswered: u32,
    /// A new epoch is due.
    reopening: bool,
    /// The map that led here is old.
    stale: bool,
    /// The shard is closed; what became of batches that may be stored is being asked.
    closing: bool,
    /// The first batch of this epoch that the closed shard refused: it and all behind it are not stored.
    closed_at: Option<u32>,
    /// What went wrong last: the reason when time runs out.
    last_error: Option<Error>,
    /// Size of the last full batch: what the next one reserves.
    expected_bytes: usize,
    /// What became of batches since it was last asked.
    pub(super) settled: Settled,
}

#[derive(Debug)]
struct Stamped {
    seq: u32,
    batch: SealedBatch,
    /// Sent in this round.
    sent: bool,
    /// Sent, and the answer never came or did not tell.
    maybe_stored: bool,
    refused: Option<Error>,
}

/// Counts of what became of batches.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) records_stored: u64,
    pub(super) bytes_stored: u64,
    pub(super) records_failed: u64,
    /// The first failure of a batch with records that nobody holds a ticket of.
    pub(super) detached_error: Option<Error>,
}

/// Names one send of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendId {
    epoch: u32,
    round: u32,
    seq: u32,
}

/// A send to be made.
#[derive(Clone, Debug)]
pub(super) struct Send {
    pub(super) id: SendId,
    pub(super) put: Put,
    pub(super) body: Bytes,
    /// When the answer comes too late.
    pub(super) deadline: MonoUs,
}

/// What an answer asks of the pump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// All is well.
    GoOn,
    /// Nothing beyond what the lane's state says.
    Nothing,
    /// Wait before the next send, at least so many milliseconds.
    Wait { at_least_ms: u32 },
    /// A newer incarnation took over.
    Fenced,
}

impl Lane {
    pub(super) fn new(shard: ShardDescription, producer: ProducerId, limits: LaneLimits) -> Self {
        Self {
            shard,
            producer,
            limits,
            filling: None,
            ready: VecDeque::new(),
            window: VecDeque::new(),
            epoch: 0,
            next_seq: 0,
            round: 0,
            unanswered: 0,
            reopening: false,
            stale: false,
            closing: false,
            closed_at: None,
            last_error: None,
            expected_bytes: 1 << 10,
            settled: Settled::default(),
        }
    }

    /// The same, after a lane of the same shard that ended with the epoch before.
    pub(super) fn beginning_at(self, epoch: u32) -> Self {
        Self { epoch, ..self }
    }

    /// The first epoch that no stamp of this lane is of.
    pub(super) fn epoch_after(&self) -> u32 {
        self.epoch.checked_add(1).expect("a producer does not live through four billion epochs")
    }

    /// Appends a record to the batch being filled, or to a new one.
    pub(super) fn append(&mut self, record: &NewRecord<'_>, permit: Option<Permit>, now: MonoUs) -> Place {
        let bytes = record.encoded_bytes();
        let has_room = |batch: &Batch| {
            batch.bytes() + bytes <= self.limits.batch_bytes_max && batch.records() < self.limits.batch_records_max
        };
        if self.filling.as_ref().is_some_and(|batch| !has_room(batch)) {
            self.seal();
        }
        let reserve = self.expected_bytes.max(bytes);
        let batch = self.filling.get_or_insert_with(|| Batch::new(now, reserve));
        let number = batch.push(record, permit);
        let place = (Rc::clone(&batch.outcome), number);
        if batch.bytes() >= self.limits.batch_bytes_max || batch.records() >= self.limits.batch_records_max {
            self.seal();
        }
        place
    }

    /// Nothing is queued or on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.filling.is_none() && self.ready.is_empty() && self.window.is_empty()
    }

    /// The map is old, and every answer is in: the pump should get a new one.
    pub(super) fn wants_map(&self) -> bool {
        let told = self.closing && !self.has_unknown();
        (self.stale || told) && self.unanswered == 0
    }

    /// Whether the shard has to be asked what became of a batch.
    pub(super) fn has_unknown(&self) -> bool {
        self.window.iter().any(|stamped| stamped.maybe_stored)
    }

    /// No batch was begun, so that the next record would begin one.
    pub(super) fn is_between_batches(&self) -> bool {
        self.filling.is_none()
    }

    /// Whole batches wait for a place in the window.
    pub(super) fn has_backlog(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The shard is closed: from now on only what may be stored in it is sent, to learn whether it is.
    pub(super) fn ask_closed(&mut self, shard: ShardDescription) {
        (self.shard, self.stale, self.closing) = (shard, false, true);
    }

    /// The shard still takes records: goes on as before.
    pub(super) fn still_open(&mut self, shard: ShardDescription) {
        (self.shard, self.stale) = (shard, false);
    }

    /// When something happens by itself: a batch has lingered, or its time is over.
    pub(super) fn next_deadline(&self) -> Option<MonoUs> {
        let expiry = self.oldest_created().map(|created| created.plus(self.limits.delivery_us));
        let linger = match self.limits.linger_us {
            0 => None,
            linger => self.filling.as_ref().map(|batch| batch.created.plus(linger)),
        };
        [expiry, linger].into_iter().flatten().min()
    }

    /// Whether [`Lane::next_send`] has something. With `hurry`, nothing lingers.
    pub(super) fn can_send(&self, now: MonoUs, hurry: bool) -> bool {
        if self.stale || self.reopening {
            return false;
        }
        self.resend_at().is_some() || (self.has_place() && (!self.ready.is_empty() || self.is_due(now, hurry)))
    }

    /// The next send, if there is one: batches of the window first, then new ones.
    pub(super) fn next_send(&mut self, now: MonoUs, hurry: bool) -> Option<Send> {
        if !self.can_send(now, hurry) {
            return None;
        }
        let at = match self.resend_at() {
            Some(at) => at,
            None => {
                if self.ready.is_empty() {
                    self.seal();
                }
                if self.next_seq == u32::MAX {
                    // The last number is never used. The window is empty (see `has_place`).
                    self.next_epoch();
                }
                let batch = self.ready.pop_front()?;
                let seq = self.next_seq;
                self.next_seq += 1;
                self.window.push_back(Stamped { seq, batch, sent: false, maybe_stored: false, refused: None });
                self.window.len() - 1
            }
        };
        let stamped = &mut self.window[at];
        stamped.sent = true;
        self.unanswered += 1;
        let stamp = ProducerStamp { id: self.producer, epoch: self.epoch, seq: stamped.seq };
        Some(Send {
            id: SendId { epoch: self.epoch, round: self.round, seq: stamped.seq },
            put: Put { group: self.shard.group, producer: Some(stamp), record_count: stamped.batch.records },
            body: stamped.batch.body.clone(),
            deadline: stamped.batch.created.plus(self.limits.delivery_us),
        })
    }

    /// The send was not made: no connection.
    pub(super) fn not_sent(&mut self, error: Error) {
        self.unanswered -= 1;
        self.last_error = Some(error);
        self.new_round();
    }

    /// No connection can be opened.
    pub(super) fn no_connection(&mut self, error: Error) {
        self.last_error = Some(error);
    }

    /// An answer, or the lack of one.
    pub(super) fn answered(&mut self, id: SendId, answer: Result<PutAnswer, Error>) -> Reaction {
        assert!(self.unanswered > 0, "an answer to no send: {id:?}");
        self.unanswered -= 1;
        // Epochs change only when nothing is unanswered.
        assert_eq!(id.epoch, self.epoch, "an answer to an epoch that is over");
        let Some(at) = self.window.iter().position(|stamped| stamped.seq == id.seq) else {
            // Another send of it was answered before.
            return Reaction::Nothing;
        };
        let error = match answer {
            Ok(answer) => {
                self.store(at, Some(answer));
                return Reaction::GoOn;
            }
            Err(error) => error,
        };
        self.last_error = Some(error.clone());
        let current = id.round == self.round;
        let retry = |lane: &mut Self| {
            if !current {
                return Reaction::Nothing;
            }
            lane.new_round();
            Reaction::Wait { at_least_ms: error.retry_after_ms() }
        };
        match error.code() {
            Some(ErrorCode::DuplicateForgotten) => {
                self.store(at, None);
                return Reaction::GoOn;
            }
            Some(ErrorCode::ProducerGap) if current => return self.gap(&error),
            Some(ErrorCode::ProducerGap) => return Reaction::Nothing,
            // It has never had a batch of this epoch: the first one, in the window still, was refused and is to be sent again. As with
            // a gap; a new epoch would give up what may be stored.
            Some(ErrorCode::ProducerUnknown) if id.seq > 0 && self.window[0].seq == 0 => return retry(self),
            Some(ErrorCode::ProducerUnknown) => {
                self.reopening = true;
                return Reaction::Nothing;
            }
            Some(ErrorCode::ProducerFenced) => return Reaction::Fenced,
            _ => {}
        }
        match error.class() {
            ErrorClass::RetryNow | ErrorClass::RetryAfter => retry(self),
            ErrorClass::OutcomeUnknown => {
                self.window[at].maybe_stored = self.closed_at.is_none_or(|first| id.seq < first);
                retry(self)
            }
            ErrorClass::RefreshMap => {
                if error.code() == Some(ErrorCode::ShardClosed) {
                    self.refused_by_closed(id.seq);
                }
                self.stale = true;
                self.new_round();
                Reaction::Nothing
            }
            ErrorClass::CallerBug | ErrorClass::Gone | ErrorClass::Full | ErrorClass::Conflict => {
                self.window[at].refused = Some(error);
                Reaction::Nothing
            }
        }
    }

    /// A closed shard answers batches it has with their offsets: this one it has not, nor any behind it.
    fn refused_by_closed(&mut self, seq: u32) {
        let first = self.closed_at.map_or(seq, |first| first.min(seq));
        self.closed_at = Some(first);
        for stamped in self.window.iter_mut().filter(|stamped| stamped.seq >= first) {
            stamped.maybe_stored = false;
        }
    }

    /// Ends what has run out of time, and starts a new epoch if one is due and nothing is outstanding. To be called
    /// after every change, and at [`Lane::next_deadline`].
    pub(super) fn settle(&mut self, now: MonoUs) {
        self.expire(now);
        let refused = self.window.front().is_some_and(|oldest| oldest.refused.is_some());
        if self.unanswered > 0 || !(self.reopening || refused) {
            return;
        }
        // Nothing behind a batch that certainly is not stored can be stored.
        let certain = refused && !self.window[0].maybe_stored;
        let mut again = Vec::new();
        for stamped in std::mem::take(&mut self.window) {
            let unknown = stamped.maybe_stored && !certain;
            match stamped.refused {
                // Only the oldest has had its last word; others behind it are asked again.
                Some(error) if again.is_empty() && !unknown => self.fail(&stamped.batch, error),
                _ if unknown => {
                    let why = self.reason();
                    self.fail(&stamped.batch, Error::OutcomeUnknown(Arc::new(why)));
                }
                _ => again.push(stamped.batch),
            }
        }
        for batch in again.into_iter().rev() {
            self.ready.push_front(batch);
        }
        self.next_epoch();
    }

    /// Fails everything: the stream is gone, or the producer is over.
    pub(super) fn fail_all(&mut self, error: &Error) {
        for stamped in std::mem::take(&mut self.window) {
            let error = match stamped.maybe_stored {
                true => Error::OutcomeUnknown(Arc::new(error.clone())),
                false => error.clone(),
            };
            self.fail(&stamped.batch, error);
        }
        self.seal();
        for batch in std::mem::take(&mut self.ready) {
            self.fail(&batch, error.clone());
        }
    }

    /// Gives up the shard: takes out, in order, what is to be routed anew. What may be stored in the shard fails.
    pub(super) fn retire(&mut self) -> Vec<SealedBatch> {
        assert_eq!(self.unanswered, 0, "answers are outstanding");
        let mut moving = Vec::new();
        for stamped in std::mem::take(&mut self.window) {
            match stamped.maybe_stored {
                true => {
                    let why = Error::OutcomeUnknown(Arc::new(self.reason()));
                    self.fail(&stamped.batch, why);
                }
                false => moving.push(stamped.batch),
            }
        }
        self.seal();
        moving.extend(std::mem::take(&mut self.ready));
        moving
    }

    /// The outcomes of all that is queued or on its way.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = &Rc<Outcome>> {
        let window = self.window.iter().map(|stamped| &stamped.batch.outcome);
        let ready = self.ready.iter().map(|batch| &batch.outcome);
        window.chain(ready).chain(self.filling.as_ref().map(|batch| &batch.outcome))
    }

    fn seal(&mut self) {
        if let Some(batch) = self.filling.take() {
            self.expected_bytes = batch.bytes();
            self.ready.push_back(batch.seal());
        }
    }

    fn is_due(&self, now: MonoUs, hurry: bool) -> bool {
        self.filling.as_ref().is_some_and(|batch| hurry || now.since(batch.created) >= self.limits.linger_us)
    }

    /// Whether the window takes one more batch.
    fn has_place(&self) -> bool {
        if self.closing {
            return false;
        }
        let refused = self.window.iter().any(|stamped| stamped.refused.is_some());
        let back = self.window.front().map_or(0, |oldest| self.next_seq - oldest.seq);
        !refused && back < self.limits.window_max && (self.next_seq < u32::MAX || self.window.is_empty())
    }

    /// The first batch of the window that was not sent in this round, unless a refused one is before it.
    fn resend_at(&self) -> Option<usize> {
        let wanted = match self.closing {
            true => self.window.iter().rposition(|stamped| stamped.maybe_stored).map_or(0, |last| last + 1),
            false => self.window.len(),
        };
        let sendable = self.window.iter().take(wanted).take_while(|stamped| stamped.refused.is_none());
        sendable.enumerate().find(|(_, stamped)| !stamped.sent).map(|(at, _)| at)
    }

    fn new_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        for stamped in &mut self.window {
            stamped.sent = false;
        }
    }

    fn next_epoch(&mut self) {
        self.epoch = self.epoch_after();
        (self.next_seq, self.reopening, self.closed_at) = (0, false, None);
        self.new_round();
    }

    fn gap(&mut self, error: &Error) -> Reaction {
        let expected = match error {
            Error::Node(answer) => answer.detail_a,
            _ => return Reaction::Nothing,
        };
        let oldest = self.window.front().map_or(self.next_seq, |stamped| stamped.seq);
        if expected >= oldest.into() {
            self.new_round();
            return Reaction::Wait { at_least_ms: 0 };
        }
        // What is missing was acknowledged, so it is not sent again, and nothing behind it can be stored any more.
        tracing::warn!(shard = %self.shard.number, expected, oldest, "the shard lost acknowledged batches");
        for stamped in &mut self.window {
            stamped.maybe_stored = false;
        }
        self.reopening = true;
        Reaction::Nothing
    }

    fn expire(&mut self, now: MonoUs) {
        let over = |created: MonoUs| created.plus(self.limits.delivery_us) <= now;
        let first_alive = self.window.iter().position(|stamped| !over(stamped.batch.created));
        let expired = first_alive.unwrap_or(self.window.len());
        if expired > 0 && self.window[0].refused.is_none() {
            let why = Arc::new(self.reason());
            self.window[0].refused = Some(Error::Expired(why));
        }
        if self.filling.as_ref().is_some_and(|batch| over(batch.created)) {
            self.seal();
        }
        while self.ready.front().is_some_and(|batch| batch.created.plus(self.limits.delivery_us) <= now) {
            let why = Error::Expired(Arc::new(self.reason()));
            if let Some(batch) = self.ready.pop_front() {
                self.fail(&batch, why);
            }
        }
    }

    fn oldest_created(&self) -> Option<MonoUs> {
        // An expired batch that waits for its last answer does not wake anybody by itself.
        let window = self.window.front().filter(|stamped| stamped.refused.is_none()).map(|s| s.batch.created);
        let ready = self.ready.front().map(|batch| batch.created);
        let filling = self.filling.as_ref().map(|batch| batch.created);
        [window, ready, filling].into_iter().flatten().min()
    }

    fn store(&mut self, at: usize, answer: Option<PutAnswer>) {
        let Some(stamped) = self.window.remove(at) else { return };
        self.settled.records_stored += u64::from(stamped.batch.records);
        self.settled.bytes_stored += stamped.batch.body.len() as u64;
        stamped.batch.outcome.resolve(Fate::Stored(self.shard.number, answer));
    }

    fn fail(&mut self, batch: &SealedBatch, error: Error) {
        self.settled.records_failed += u64::from(batch.records);
        if batch.detached {
            self.settled.detached_error.get_or_insert_with(|| error.clone());
        }
        batch.outcome.resolve(Fate::Failed(error));
    }

    /// What went wrong last.
    pub(super) fn reason(&self) -> Error {
        self.last_error.clone().unwrap_or(Error::Timeout { millis: self.limits.delivery_us / 1_000 })
    }
}

#[cfg(test)]
mod tests;
