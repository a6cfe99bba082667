//! What a connection is waiting for, and since when: one look a second ends those that wait too long, instead of a timer for
//! every step of every connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use thiserror::Error;

use super::turns::Turns;
use crate::limits::{HANDSHAKE_US_MAX, HTTP_IDLE_US_MAX, HTTP_LINGER_US, REQUEST_ARRIVAL_US_MAX, SEND_STALL_US_MAX};
use crate::types::MonoUs;

/// What the client's next move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To begin a request; it may take its time.
    Idle,
    /// To go on with a TLS handshake.
    Handshake,
    /// To go on with a request's head that it has begun.
    Head,
    /// None: requests are being answered. Bodies have a deadline of their own.
    Busy,
    /// To read why the connection ends.
    Lingering,
}

/// Why a connection is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Ended {
    /// No request for a long time.
    #[error("it was idle for too long")]
    Idle,
    /// The handshake or a request's head took too long.
    #[error("the handshake or the head of a request took too long")]
    TooSlow,
    /// The client takes none of its answers.
    #[error("the client takes no answers")]
    Stalled,
    /// The client takes its answers slowly, and the worker needs the memory.
    #[error("the client takes its answers slowly, and memory is short")]
    TooMuchWaits,
    /// It has had its time to read why the connection ends.
    #[error("the client did not close it in time")]
    Lingered,
}

/// The time as of the last look at all connections: within a second, for nothing.
pub(super) type Clock = Rc<Cell<MonoUs>>;

/// The state of one connection as far as others look at it.
pub(super) struct Marks {
    clock: Clock,
    phase: Cell<Phase>,
    since: Cell<MonoUs>,
    /// Bytes that come in need not be a request: an HTTP/2 client may keep its connection alive.
    framed: Cell<bool>,
    /// Since when the socket has no room.
    blocked: Cell<Option<MonoUs>>,
    /// What the client had taken of its answers when that was last seen to grow, and when that was.
    taken: Cell<(u64, MonoUs)>,
    requests: Cell<usize>,
    /// A request was answered without having been read in full.
    unread: Cell<bool>,
    ended: Cell<Option<Ended>>,
    draining: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Its answers.
    pub(super) turns: Turns,
}

impl Marks {
    pub(super) fn new(clock: &Clock, turns: Turns) -> Rc<Self> {
        Rc::new(Self {
            clock: Rc::clone(clock),
            phase: Cell::new(Phase::Idle),
            since: Cell::new(clock.get()),
            framed: Cell::new(false),
            blocked: Cell::new(None),
            taken: Cell::new((0, clock.get())),
            requests: Cell::new(0),
            unread: Cell::new(false),
            ended: Cell::new(None),
            draining: Cell::new(false),
            waker: RefCell::default(),
            turns,
        })
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    /// A TLS handshake begins.
    pub(super) fn shaking_hands(&self) {
        self.enter(Phase::Handshake);
    }

    /// What comes next is a request.
    pub(super) fn idle(&self) {
        self.enter(Phase::Idle);
    }

    /// The connection speaks HTTP/2.
    pub(super) fn framed(&self) {
        self.framed.set(true);
        self.idle();
    }

    /// Whether the connection speaks HTTP/2.
    pub(super) fn is_framed(&self) -> bool {
        self.framed.get()
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        if self.phase.get() == Phase::Idle {
            self.enter(if self.framed.get() { Phase::Idle } else { Phase::Head });
        }
    }

    /// A request's head is complete. It lasts until the guard is dropped.
    pub(super) fn request(self: &Rc<Self>) -> Requested {
        self.requests.set(self.requests.get() + 1);
        self.phase.set(Phase::Busy);
        Requested(Rc::clone(self))
    }

    /// A request is answered without having been read in full: its client may go on sending.
    pub(super) fn leave_unread(&self) {
        self.unread.set(true);
    }

    /// The connection ends by our side. Says whether the client may still be sending, so that closing at once could reset
    /// the connection before the client has read the answer.
    pub(super) fn lingers(&self) -> bool {
        // One of HTTP/2 ends in the midst of whatever its client sends.
        let framed = self.framed.get() && !self.draining.get();
        let lingers = self.unread.get() || matches!(self.phase.get(), Phase::Head | Phase::Handshake) || framed;
        self.enter(Phase::Lingering);
        lingers
    }

    /// The socket took bytes, or has no room.
    pub(super) fn wrote(&self, any: bool) {
        match (any, self.blocked.get()) {
            (true, Some(_)) => self.blocked.set(None),
            (false, None) => self.blocked.set(Some(self.clock.get())),
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// Whether the connection has to end, and why.
    fn overdue(&self) -> Option<Ended> {
        let now = self.clock.get();
        let (held, taken) = self.turns.progress();
        if held == 0 || taken != self.taken.get().0 {
            self.taken.set((taken, now));
        }
        let stalled = now.since(self.taken.get().1);
        let blocked = self.blocked.get().map_or(0, |since| now.since(since));
        if stalled.max(blocked) > SEND_STALL_US_MAX {
            return Some(Ended::Stalled);
        }
        let (most, ended) = match self.phase.get() {
            Phase::Idle => (HTTP_IDLE_US_MAX, Ended::Idle),
            Phase::Handshake => (HANDSHAKE_US_MAX, Ended::TooSlow),
            // A node that stops does not wait for all of a request that has hardly begun.
            Phase::Head if self.draining.get() => (HTTP_LINGER_US, Ended::TooSlow),
            Phase::Head => (REQUEST_ARRIVAL_US_MAX, Ended::TooSlow),
            Phase::Lingering => (HTTP_LINGER_US, Ended::Lingered),
            Phase::Busy => return None,
        };
        (now.since(self.since.get()) > most).then_some(ended)
    }

    /// Looks once, as the clock stands now.
    pub(super) fn look(&self) {
        if self.ended.get().is_none()
            && let Some(ended) = self.overdue()
        {
            self.ended.set(Some(ended));
            self.wake();
        }
    }

    /// Ends the connection for the sake of the worker's memory.
    pub(super) fn give_up(&self) {
        if self.ended.get().is_none() {
            self.ended.set(Some(Ended::TooMuchWaits));
            self.wake();
        }
    }

    /// The node begins to stop.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.turns.end_streams();
        self.wake();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether the connection is ended from outside; if not, the task of `cx` is woken when it is, and when the node begins
    /// to stop.
    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Option<Ended> {
        let ended = self.ended.get();
        if ended.is_none() {
            let mut waker = self.waker.borrow_mut();
            match &mut *waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                waker => *waker = Some(cx.waker().clone()),
            }
        }
        ended
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A request that is being answered, until the last byte of its answer was handed over.
pub(super) struct Requested(Rc<Marks>);

impl Drop for Requested {
    fn drop(&mut self) {
        let marks = &self.0;
        marks.requests.set(marks.requests.get() - 1);
        if marks.requests.get() == 0 && marks.phase.get() == Phase::Busy {
            marks.idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(clock: &Clock, us: u64, marks: &Marks) -> Option<Ended> {
        clock.set(MonoUs(us));
        marks.look();
        marks.ended.get()
    }

    /// Goal: who begins a request has to finish its head in time, however much of it comes in; who does not begin one may
    /// take longer, but not for ever.
    #[test]
    fn heads_and_idleness() {
        let clock = Clock::default();
        let marks = Marks::new(&clock, Turns::alone());
        assert_eq!(at(&clock, HTTP_IDLE_US_MAX, &marks), None);
        marks.received();
        let began = HTTP_IDLE_US_MAX;
        assert_eq!(at(&clock, began + REQUEST_ARRIVAL_US_MAX, &marks), None);
        marks.received();
        assert_eq!(at(&clock, began + REQUEST_ARRIVAL_US_MAX + 1, &marks), Some(Ended::TooSlow));

        let clock = Clock::default();
        let marks = Marks::new(&clock, Turns::alone());
        marks.received();
        let request = marks.request();
        assert_eq!(at(&clock, 10 * HTTP_IDLE_US_MAX, &marks), None, "it is our turn");
        drop(request);
        assert_eq!(at(&clock, 11 * HTTP_IDLE_US_MAX, &marks), None);
        assert_eq!(at(&clock, 11 * HTTP_IDLE_US_MAX + 1, &marks), Some(Ended::Idle));
    }

    /// Goal: a handshake has its own time, and a client of HTTP/2 that keeps its connection alive is not slow.
    #[test]
    fn handshakes_and_frames() {
        let clock = Clock::default();
        let marks = Marks::new(&clock, Turns::alone());
        marks.shaking_hands();
        marks.received();
        assert_eq!(at(&clock, HANDSHAKE_US_MAX, &marks), None);
        marks.framed();
        for round in 1..10 {
            assert_eq!(at(&clock, round * HTTP_IDLE_US_MAX, &marks), None);
            marks.received();
        }
        let marks = Marks::new(&clock, Turns::alone());
        marks.shaking_hands();
        assert_eq!(at(&clock, clock.get().0 + HANDSHAKE_US_MAX + 1, &marks), Some(Ended::TooSlow));
    }

    /// Goal: a client that takes nothing is ended, whether its socket is full or its window; one that takes a little is not.
    #[test]
    fn stalls() {
        let clock = Clock::default();
        let marks = Marks::new(&clock, Turns::alone());
        let _request = marks.request();
        marks.wrote(false);
        assert_eq!(at(&clock, SEND_STALL_US_MAX, &marks), None);
        marks.wrote(true);
        marks.wrote(false);
        assert_eq!(at(&clock, 2 * SEND_STALL_US_MAX, &marks), None);
        marks.wrote(false);
        assert_eq!(at(&clock, 2 * SEND_STALL_US_MAX + 1, &marks), Some(Ended::Stalled));

        let clock = Clock::default();
        let marks = Marks::new(&clock, Turns::alone());
        let _request = marks.request();
        let mut piece = crate::server::http::turns::Piece::new(bytes::Bytes::from_static(b"xyz"), &marks.turns);
        assert_eq!(at(&clock, SEND_STALL_US_MAX, &marks), None);
        bytes::Buf::advance(&mut piece, 1);
        assert_eq!(at(&clock, SEND_STALL_US_MAX + 1, &marks), None);
        assert_eq!(at(&clock, 2 * SEND_STALL_US_MAX + 2, &marks), Some(Ended::Stalled));
        drop(piece);
    }
}
