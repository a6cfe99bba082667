//! Protects glommio's I/O futures from being polled for other reasons than their own.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls `future` only when it asked for it.
///
/// Trap: in glommio 0.9 a future that waits for a disk operation, an `accept` or a `connect` stores one more clone of
/// the waker at *each* poll (`Source::add_waiter_many`), and a task counts its wakers in an `i16`. A task that selects
/// over such a future and something busy panics at poll 32,767: a flush that stalls for a few seconds beside a lively
/// queue is enough. Behind this, the inner future is polled once at first and once per wake-up of its own.
pub(super) async fn relay<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let relay = Arc::new(Relay { woken: AtomicBool::new(true), outer: Mutex::new(None) });
    let waker = Waker::from(Arc::clone(&relay));
    std::future::poll_fn(move |cx| {
        // Registered before the flag is read: a wake-up in between finds the new waker.
        relay.register(cx.waker());
        if !relay.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

struct Relay {
    woken: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Relay {
    fn register(&self, waker: &Waker) {
        let mut outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner);
        if !outer.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *outer = Some(waker.clone());
        }
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = outer {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once, yield_now};
    use std::cell::Cell;

    /// Goal: polls from outside do not reach the inner future; its own wake-up does, exactly once.
    #[test]
    fn polls_only_when_asked() {
        let (polls, stored) = (Cell::new(0), Cell::new(None::<Waker>));
        let inner = std::future::poll_fn(|cx| {
            polls.set(polls.get() + 1);
            stored.set(Some(cx.waker().clone()));
            if polls.get() == 2 { Poll::Ready(7) } else { Poll::Pending }
        });
        block_on(async {
            let mut relayed = Box::pin(relay(inner));
            for _ in 0..40_000 {
                assert_eq!(poll_once(&mut relayed).await, None);
            }
            assert_eq!(polls.get(), 1);
            stored.take().expect("registered at the first poll").wake();
            yield_now().await;
            assert_eq!(poll_once(&mut relayed).await, Some(7));
            assert_eq!(polls.get(), 2);
        });
    }
}
