//! Mailboxes between the workers of a node. Their ends are `Send` by type, hence a lock, which is never contended here.
//! Nothing but the scheduler decides when a message is seen.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::runtime::{ConnectedReceiver, ConnectedSender, Receiver, Sender};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Not,
    Yes,
    Gone,
}

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    ends: [Bound; 2],
    wakers: [Option<Waker>; 2],
}

const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// One end's hold on the mailbox; dropping it tells the other end.
struct End<T> {
    state: Arc<Mutex<State<T>>>,
    which: usize,
}

impl<T> End<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the other end, after the lock is released.
    fn wake_other(&self) {
        let waker = self.state().wakers[1 - self.which].take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wait<R>(&self, state: &mut State<T>, cx: &Context<'_>) -> Poll<R> {
        state.wakers[self.which] = Some(cx.waker().clone());
        Poll::Pending
    }

    async fn bind(&self) {
        self.state().ends[self.which] = Bound::Yes;
        self.wake_other();
        poll_fn(|cx| {
            let mut state = self.state();
            if state.ends[1 - self.which] == Bound::Not { self.wait(&mut state, cx) } else { Poll::Ready(()) }
        })
        .await;
    }

    fn other_is_gone(state: &State<T>, which: usize) -> bool {
        state.ends[1 - which] == Bound::Gone
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.state();
            state.ends[self.which] = Bound::Gone;
            state.wakers[self.which] = None;
            if self.which == RECEIVER { std::mem::take(&mut state.queue) } else { VecDeque::new() }
        };
        // Messages may hold anything, ends of this very mailbox included: dropped without the lock.
        drop(unread);
        self.wake_other();
    }
}

/// A mailbox for `capacity` messages.
pub(crate) fn mailbox<T: Send + 'static>(capacity: usize) -> (SimSender<T>, SimReceiver<T>) {
    assert!(capacity > 0, "a mailbox holds at least one message");
    let state =
        Arc::new(Mutex::new(State { queue: VecDeque::new(), capacity, ends: [Bound::Not; 2], wakers: [None, None] }));
    let end = |which| End { state: Arc::clone(&state), which };
    (SimSender(end(SENDER)), SimReceiver(end(RECEIVER)))
}

/// The sending end.
pub struct SimSender<T: Send + 'static>(End<T>);

/// The receiving end.
pub struct SimReceiver<T: Send + 'static>(End<T>);

/// The bound sending end.
pub struct SimConnectedSender<T: Send + 'static>(End<T>);

/// The bound receiving end.
pub struct SimConnectedReceiver<T: Send + 'static>(End<T>);

impl<T: Send + 'static> Sender<T> for SimSender<T> {
    type Connected = SimConnectedSender<T>;

    async fn connect(self) -> SimConnectedSender<T> {
        self.0.bind().await;
        SimConnectedSender(self.0)
    }
}

impl<T: Send + 'static> Receiver<T> for SimReceiver<T> {
    type Connected = SimConnectedReceiver<T>;

    async fn connect(self) -> SimConnectedReceiver<T> {
        self.0.bind().await;
        SimConnectedReceiver(self.0)
    }
}

impl<T: Send + 'static> ConnectedSender<T> for SimConnectedSender<T> {
    fn try_send(&self, message: T) -> Result<(), T> {
        {
            let mut state = self.0.state();
            if End::other_is_gone(&state, SENDER) || state.queue.len() >= state.capacity {
                return Err(message);
            }
            state.queue.push_back(message);
        }
        self.0.wake_other();
        Ok(())
    }

    async fn send(&self, message: T) -> Result<(), T> {
        let mut message = Some(message);
        poll_fn(|cx| {
            let waiting = message.take().expect("polled after it was sent");
            let Err(back) = self.try_send(waiting) else { return Poll::Ready(Ok(())) };
            let mut state = self.0.state();
            if End::other_is_gone(&state, SENDER) {
                return Poll::Ready(Err(back));
            }
            message = Some(back);
            self.0.wait(&mut state, cx)
        })
        .await
    }
}

impl<T: Send + 'static> ConnectedReceiver<T> for SimConnectedReceiver<T> {
    async fn recv(&self) -> Option<T> {
        let message = poll_fn(|cx| {
            let mut state = self.0.state();
            match state.queue.pop_front() {
                Some(message) => Poll::Ready(Some(message)),
                None if End::other_is_gone(&state, RECEIVER) => Poll::Ready(None),
                None => self.0.wait(&mut state, cx),
            }
        })
        .await;
        if message.is_some() {
            self.0.wake_other();
        }
        message
    }
}
