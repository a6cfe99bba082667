//! What one HTTP connection may hold of answers: turns to make a large one, and a bound on what waits to be sent.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::body::Channel;
use crate::limits::OUTBOX_BYTES_MAX;
use crate::runtime::local::{Notify, Semaphore};
#[cfg(test)]
use crate::server::waiting::Waiting;
use crate::server::waiting::{Share, Turn};

/// Large answers that one connection has in the making, each of up to 14 MiB of JSON: together with what already waits to be
/// sent, this bounds the memory that a client can hold by not reading. As many as a native connection's reads.
const TURNS: usize = 4;

/// The answers of one connection, as far as memory is concerned. A handle; clones are the same.
#[derive(Clone, Debug)]
pub struct Turns(Rc<State>);

#[derive(Debug)]
struct State {
    turns: Rc<Semaphore>,
    /// Requests are taken up one after the other once there is room again.
    gate: Rc<Semaphore>,
    /// Bytes handed to the connection that its client has not taken, a part of what waits on the worker.
    share: Share,
    /// Bytes that the client has taken, ever.
    taken: Cell<u64>,
    over: Cell<bool>,
    changed: Notify,
    /// Bodies that are still being made, to be ended with the connection.
    channels: RefCell<BTreeMap<u64, Rc<Channel>>>,
    next_channel: Cell<u64>,
}

impl Turns {
    /// Those of a new connection; what waits for it is to be `share`.
    #[must_use]
    pub fn new(share: Share) -> Self {
        Self(Rc::new(State {
            turns: Semaphore::new(TURNS),
            gate: Semaphore::new(1),
            share,
            taken: Cell::new(0),
            over: Cell::new(false),
            changed: Notify::new(),
            channels: RefCell::default(),
            next_channel: Cell::new(0),
        }))
    }

    /// The turn to read bulk bytes and make an answer of them: taken when not too many are being made and not too much
    /// waits to be sent. `None` if the connection is over. To be held until the body was handed over: what waits counts from
    /// then on.
    pub async fn take(&self, asked: u32) -> Option<Turn> {
        let permit = self.0.turns.acquire(1).await;
        self.has_room().await.then(|| Turn { leave: self.0.share.leave(asked), _permit: permit })
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.over.get()
    }

    /// Waits until a further request may be taken up; false if the connection is over.
    pub(super) async fn admit(&self) -> bool {
        let _gate = self.0.gate.acquire(1).await;
        self.has_room().await
    }

    async fn has_room(&self) -> bool {
        let condition = || match self.0.over.get() {
            true => Some(false),
            false => (self.0.share.held() < OUTBOX_BYTES_MAX).then_some(true),
        };
        self.0.changed.until(condition).await
    }

    /// Bytes that wait to be sent, and all that were sent before them.
    pub(super) fn progress(&self) -> (usize, u64) {
        (self.0.share.held(), self.0.taken.get())
    }

    /// Ends the bodies that are still being made: their clients read an orderly end.
    pub(super) fn end_streams(&self) {
        // Taken out first: what is woken may end and come here itself.
        let channels: Vec<_> = self.0.channels.borrow().values().cloned().collect();
        channels.iter().for_each(|channel| channel.end());
    }

    /// The connection is over.
    pub(super) fn end(&self) {
        self.0.over.set(true);
        self.0.changed.notify();
        self.end_streams();
    }

    pub(super) fn enter(&self, channel: &Rc<Channel>) -> u64 {
        let key = self.0.next_channel.replace(self.0.next_channel.get() + 1);
        self.0.channels.borrow_mut().insert(key, Rc::clone(channel));
        key
    }

    pub(super) fn leave(&self, key: u64) {
        self.0.channels.borrow_mut().remove(&key);
    }

    fn sent(&self, count: usize) {
        let State { share, taken, changed, .. } = &*self.0;
        let before = share.held();
        share.let_go(count);
        taken.set(taken.get() + count as u64);
        if before >= OUTBOX_BYTES_MAX && before - count < OUTBOX_BYTES_MAX {
            changed.notify();
        }
    }
}

#[cfg(test)]
impl Turns {
    /// Those of the only connection there is.
    pub(super) fn alone() -> Self {
        Self::new(Waiting::new(usize::MAX, || crate::types::MonoUs(0)).share())
    }
}

/// Bytes on their way to the client, which count until they are sent or given up.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    turns: Turns,
}

impl Piece {
    pub(super) fn new(bytes: Bytes, turns: &Turns) -> Self {
        turns.0.share.hold(bytes.len());
        Self { bytes, turns: turns.clone() }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.turns.0.share.took(count);
        self.turns.sent(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.turns.sent(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    /// Goal: no further request and no turn while too much waits; both come when enough was sent or given up.
    #[test]
    fn what_waits_is_bounded() {
        block_on(async {
            let turns = Turns::alone();
            let mut piece = Piece::new(Bytes::from(vec![0; OUTBOX_BYTES_MAX + 10]), &turns);
            let (mut admitted, mut turn) = (Box::pin(turns.admit()), Box::pin(turns.take(1)));
            assert!(poll_once(&mut admitted).await.is_none());
            assert!(poll_once(&mut turn).await.is_none());
            piece.advance(10);
            assert!(poll_once(&mut turn).await.is_none(), "exactly the bound is too much");
            piece.advance(1);
            assert!(admitted.await);
            assert!(turn.await.is_some());
            assert_eq!(turns.progress(), (OUTBOX_BYTES_MAX - 1, 11));
            drop(piece);
            assert_eq!(turns.progress(), (0, OUTBOX_BYTES_MAX as u64 + 10));
        });
    }

    /// Goal: only so many turns at a time; a connection that is over gives none, and says so to who waits.
    #[test]
    fn turns_are_counted_and_end() {
        block_on(async {
            let turns = Turns::alone();
            let mut held = Vec::new();
            for _ in 0..TURNS {
                held.push(turns.take(1).await.unwrap());
            }
            let mut waiting = Box::pin(turns.take(1));
            assert!(poll_once(&mut waiting).await.is_none());
            held.pop();
            assert!(poll_once(&mut waiting).await.flatten().is_some());
            let piece = Piece::new(Bytes::from(vec![0; OUTBOX_BYTES_MAX]), &turns);
            let mut waiting = Box::pin(turns.admit());
            assert!(poll_once(&mut waiting).await.is_none());
            turns.end();
            assert!(!waiting.await);
            assert!(turns.is_over() && turns.take(1).await.is_none());
            drop(piece);
        });
    }
}
