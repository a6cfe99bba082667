//! A bounded queue between two workers.
//!
//! Not glommio's `shared_channel`, because in 0.9 it breaks what [`crate::runtime::Sender`] promises: a sender that waits for room
//! is never told that the receiver is gone (it spins at full speed instead), each poll of a waiting receiver stores one
//! more waker (a task panics at the 32,767th), a message left behind lives until *both* ends are gone, the capacity is
//! rounded up to a power of two, and waiting for the other end to connect burns the core.
//!
//! A mutex held for a few instructions and one stored waker per end do better: an uncontended lock costs about as much
//! as the atomics of a lock-free queue, and a parked executor is woken once per run of messages, not once per message.
//! glommio's wakers may be woken from any thread: the wake-up travels through the owner's queue and its eventfd.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::runtime;

/// The sending end, not yet bound to a thread.
#[derive(Debug)]
pub struct Sender<T>(SendEnd<T>);

/// The sending end on its worker's thread.
#[derive(Debug)]
pub struct ConnectedSender<T>(SendEnd<T>);

/// The receiving end, not yet bound to a thread.
#[derive(Debug)]
pub struct Receiver<T>(ReceiveEnd<T>);

/// The receiving end on its worker's thread.
#[derive(Debug)]
pub struct ConnectedReceiver<T>(ReceiveEnd<T>);

/// A mailbox for `capacity` messages.
pub(super) fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a mailbox holds at least one message");
    let state = State { queue: VecDeque::new(), sender: Side::default(), receiver: Side::default() };
    let shared = Arc::new(Shared { capacity, state: Mutex::new(state) });
    (Sender(SendEnd(Arc::clone(&shared))), Receiver(ReceiveEnd(shared)))
}

#[derive(Debug)]
struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    sender: Side,
    receiver: Side,
}

/// What is known of one end.
#[derive(Debug, Default)]
struct Side {
    phase: Phase,
    /// Who waits at this end: for the other one to connect, for room, or for a message.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Unbound,
    Bound,
    Gone,
}

impl Side {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }
}

impl<T> Shared<T> {
    /// No code of others runs under the lock, so a poisoned one still guards a sound queue.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds the end that `mine` picks and waits until the other is bound or gone.
    async fn connect(&self, mine: fn(&mut State<T>) -> (&mut Side, &mut Side)) {
        let other = {
            let mut state = self.lock();
            let (mine, other) = mine(&mut state);
            mine.phase = Phase::Bound;
            other.waker.take()
        };
        wake(other);
        poll_fn(|cx| {
            let mut state = self.lock();
            let (mine, other) = mine(&mut state);
            if other.phase != Phase::Unbound {
                return Poll::Ready(());
            }
            mine.wait(cx);
            Poll::Pending
        })
        .await;
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[derive(Debug)]
struct SendEnd<T>(Arc<Shared<T>>);

impl<T> SendEnd<T> {
    /// Sends if there is room; `Err(Some)` when full, with the caller registered if it gave a context.
    fn push(&self, message: T, cx: Option<&Context<'_>>) -> Result<(), Refused<T>> {
        let receiver = {
            let mut state = self.0.lock();
            if state.receiver.phase == Phase::Gone {
                return Err(Refused::Closed(message));
            }
            if state.queue.len() >= self.0.capacity {
                if let Some(cx) = cx {
                    state.sender.wait(cx);
                }
                return Err(Refused::Full(message));
            }
            state.queue.push_back(message);
            state.receiver.waker.take()
        };
        wake(receiver);
        Ok(())
    }
}

enum Refused<T> {
    Full(T),
    Closed(T),
}

impl<T> Drop for SendEnd<T> {
    fn drop(&mut self) {
        let (mine, receiver) = {
            let mut state = self.0.lock();
            state.sender.phase = Phase::Gone;
            (state.sender.waker.take(), state.receiver.waker.take())
        };
        drop(mine);
        wake(receiver);
    }
}

#[derive(Debug)]
struct ReceiveEnd<T>(Arc<Shared<T>>);

impl<T> Drop for ReceiveEnd<T> {
    fn drop(&mut self) {
        let (mine, sender, unread) = {
            let mut state = self.0.lock();
            state.receiver.phase = Phase::Gone;
            (state.receiver.waker.take(), state.sender.waker.take(), std::mem::take(&mut state.queue))
        };
        drop((mine, unread));
        wake(sender);
    }
}

impl<T: Send + 'static> runtime::Sender<T> for Sender<T> {
    type Connected = ConnectedSender<T>;

    async fn connect(self) -> ConnectedSender<T> {
        self.0.0.connect(|state| (&mut state.sender, &mut state.receiver)).await;
        ConnectedSender(self.0)
    }
}

impl<T: Send + 'static> runtime::Receiver<T> for Receiver<T> {
    type Connected = ConnectedReceiver<T>;

    async fn connect(self) -> ConnectedReceiver<T> {
        self.0.0.connect(|state| (&mut state.receiver, &mut state.sender)).await;
        ConnectedReceiver(self.0)
    }
}

impl<T: Send + 'static> runtime::ConnectedSender<T> for ConnectedSender<T> {
    fn try_send(&self, message: T) -> Result<(), T> {
        self.0.push(message, None).map_err(|refused| match refused {
            Refused::Full(message) | Refused::Closed(message) => message,
        })
    }

    async fn send(&self, message: T) -> Result<(), T> {
        let mut message = Some(message);
        poll_fn(|cx| match message.take() {
            None => unreachable!("polled after it resolved"),
            Some(unsent) => match self.0.push(unsent, Some(cx)) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(Refused::Closed(unsent)) => Poll::Ready(Err(unsent)),
                Err(Refused::Full(unsent)) => {
                    message = Some(unsent);
                    Poll::Pending
                }
            },
        })
        .await
    }
}

impl<T: Send + 'static> runtime::ConnectedReceiver<T> for ConnectedReceiver<T> {
    async fn recv(&self) -> Option<T> {
        poll_fn(|cx| {
            let (message, sender) = {
                let mut state = self.0.0.lock();
                match state.queue.pop_front() {
                    Some(message) => (message, state.sender.waker.take()),
                    None if state.sender.phase == Phase::Gone => return Poll::Ready(None),
                    None => {
                        state.receiver.wait(cx);
                        return Poll::Pending;
                    }
                }
            };
            wake(sender);
            Poll::Ready(Some(message))
        })
        .await
    }
}
