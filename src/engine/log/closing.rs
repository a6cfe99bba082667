//! Closing a log: holding puts back, learning the end, letting go of the files.
//!
//! Closing, in crash order: 1. puts are held (they wait, nobody is refused); 2. everything accepted is written and synced,
//! whatever the level of durability, and the end is known; 3. the catalogue learns the end; 4. puts are refused. A crash
//! before 3. leaves an open log; after it nothing is stored behind the end, because nothing was let in since 1.
//!
//! Leaving, for a log that another worker (or a recovery on this one) takes over: 1. puts are refused, 2. the writer and
//! every background task have ended, 3. nobody opens a file any more, 4. the open ones are closed. Recovery elsewhere
//! waits for the last handle ([`File::settled`](crate::runtime::File::settled)).

use std::io;
use std::rc::Rc;

use super::Log;
use crate::format::names::SegmentNumber;
use crate::runtime::Runtime;
use crate::shard::admission::PutRefusal;
use crate::types::{Offset, WallUs};

/// Where a log ends that takes no more puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// One past the last record.
    pub offset: Offset,
    /// When the last record arrived; zero if there never was one.
    pub last_arrival: WallUs,
}

/// Why the end of a log cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrainError {
    /// It refuses puts for a reason under which its end is not certain, or not the last one.
    #[error(transparent)]
    Refused(PutRefusal),
    /// Somebody let puts in again.
    #[error("the shard took puts again while it was being closed")]
    NotHeld,
}

impl<R: Runtime> Log<R> {
    /// Lets puts wait from now on, in their order; nothing is refused. What was accepted is written, synced (whatever the
    /// level) and acknowledged without delay.
    pub fn hold(&self) {
        self.state.borrow_mut().admission.hold(true);
        self.work.notify();
    }

    /// Ends a hold: puts go on in the order they came.
    pub fn unhold(&self) {
        self.state.borrow_mut().admission.hold(false);
        self.changed.notify();
    }

    /// Resolves to the end of a held log once everything in it is durable. The log is still held then: let puts in
    /// again with [`Log::unhold`], or turn them away with [`Log::refuse`]. A log that is closed already answers at once.
    ///
    /// On an error the hold is lifted. Dropping it leaves the hold in place.
    pub async fn drain(&self) -> Result<End, DrainError> {
        let drained = || {
            let state = self.state.borrow();
            match state.admission.refusal() {
                Some(PutRefusal::Closed) => {}
                Some(refusal) => return Some(Err(DrainError::Refused(refusal))),
                None if !state.admission.is_held() => return Some(Err(DrainError::NotHeld)),
                None => {}
            }
            let end = state.marks.committed();
            let is_drained = state.marks.accepted() == end && state.marks.durable() == end;
            let last_arrival = state.segments.back().map_or(WallUs(0), |segment| segment.tip.arrival);
            is_drained.then_some(Ok(End { offset: end.offset, last_arrival }))
        };
        let result = self.changed.until(drained).await;
        if result.is_err() {
            self.unhold();
        }
        result
    }

    /// Closes a held log: [`Log::drain`], then puts are refused for the reason given and everybody who waits is woken.
    ///
    /// When it resolves to the end, no record is ever stored behind it and no crash takes one before it.
    pub async fn close(&self, refusal: PutRefusal) -> Result<End, DrainError> {
        let end = self.drain().await?;
        // Nothing was awaited since the log was drained.
        self.refuse(refusal);
        self.unhold();
        Ok(end)
    }

    /// Ends everything this log does with its files: another one takes its place. Reads fail with
    /// [`ReadError::Away`](crate::engine::read::ReadError::Away) from then on. Puts are refused by then.
    ///
    /// When it resolves, no handle of the log is open but those of reads under way, which close them when they end.
    pub(in crate::engine) async fn leave(&self) {
        self.stop_writer().await;
        self.save_last_index().await;
        self.let_go().await;
    }

    /// As [`Log::leave`], for a log whose files nobody opens again.
    pub(in crate::engine) async fn leave_for_good(&self) {
        self.stop_writer().await;
        self.let_go().await;
        self.abandon();
    }

    async fn let_go(&self) {
        self.left.set(true);
        self.opened().await;
        self.env.forget_group(self.group);
    }

    /// Undoes [`Log::leave`]: nobody could take its place. Only reads are served.
    pub(in crate::engine) fn come_back(&self) {
        self.left.set(false);
    }

    /// Lets go of the memory of a log that has left.
    pub(in crate::engine) fn abandon(&self) {
        assert!(self.left.get(), "a log that is in use has to keep its memory");
        let mut state = self.state.borrow_mut();
        state.tail.clear();
        state.segments.clear();
    }

    /// Whether the files are no longer this log's to open.
    pub(in crate::engine) fn has_left(&self) -> bool {
        self.left.get()
    }

    /// The open file of a segment. Fails once the log has left.
    pub(in crate::engine) async fn file(&self, number: SegmentNumber) -> io::Result<Rc<R::File>> {
        let away = || io::Error::other("the shard's log is opened by another worker");
        if self.left.get() {
            return Err(away());
        }
        if let Some(file) = self.env.open_file(self.group, number) {
            return Ok(file);
        }
        let opening = Opening::begin(self);
        let file = self.env.open(self.group, number, &self.dir).await;
        drop(opening);
        if self.left.get() {
            self.env.forget_file(self.group, number);
            return Err(away());
        }
        file
    }

    /// Takes part in the log's files for a while: [`Log::leave`] waits until the part is dropped. `None` once the log is
    /// being stopped.
    pub(in crate::engine) fn part(&self) -> Option<Part<'_, R>> {
        if self.stopping.get() {
            return None;
        }
        self.state.borrow_mut().jobs += 1;
        Some(Part(self))
    }

    /// Whether whoever has a [`Part`] should come to an end.
    pub(in crate::engine) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Resolves once no file is being opened: one that is must not be renamed or removed.
    pub(in crate::engine) async fn opened(&self) {
        self.changed.until(|| (self.opening.get() == 0).then_some(())).await;
    }
}

/// A background task's part in the files of a log.
pub(in crate::engine) struct Part<'a, R: Runtime>(&'a Log<R>);

impl<R: Runtime> Drop for Part<'_, R> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().jobs -= 1;
        self.0.changed.notify();
    }
}

/// A file being opened.
struct Opening<'a, R: Runtime>(&'a Log<R>);

impl<'a, R: Runtime> Opening<'a, R> {
    fn begin(log: &'a Log<R>) -> Self {
        log.opening.set(log.opening.get() + 1);
        Self(log)
    }
}

impl<R: Runtime> Drop for Opening<'_, R> {
    fn drop(&mut self) {
        let log = self.0;
        log.opening.set(log.opening.get() - 1);
        log.changed.notify();
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
