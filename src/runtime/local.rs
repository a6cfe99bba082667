//! Waiting inside one worker: wake-ups, one-shot answers and counted permits for single-threaded tasks. No I/O, no
//! threads, no allocation once warm; the same code on every runtime.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Wakes everybody who waits. A waiter states its condition, and it is looked at again after each [`Notify::notify`]:
///
/// ```
/// # use millstream::runtime::local::Notify;
/// # async fn example(notify: &Notify, durable: &std::cell::Cell<u64>) {
/// notify.until(|| (durable.get() > 7).then_some(())).await;
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Notify {
    waiters: RefCell<Vec<Waker>>,
}

impl Notify {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiters: RefCell::new(Vec::new()) }
    }

    /// Lets every waiter look at its condition again.
    pub fn notify(&self) {
        // Taken out first: a waker may run code that waits again.
        let mut woken = self.waiters.take();
        for waker in woken.drain(..) {
            waker.wake();
        }
        let mut waiters = self.waiters.borrow_mut();
        if waiters.is_empty() {
            *waiters = woken;
        }
    }

    /// Resolves with what `condition` returns, as soon as it returns something. Dropping it stops the waiting.
    pub async fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        poll_fn(|cx| {
            if let Some(value) = condition() {
                return Poll::Ready(value);
            }
            let mut waiters = self.waiters.borrow_mut();
            if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiters.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// Runs futures side by side until all have ended; gives their results in order. One future costs no allocation beyond
/// the result.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures = futures.into_iter();
    let Some(first) = futures.next() else { return Vec::new() };
    let Some(second) = futures.next() else { return vec![first.await] };
    let mut running: Vec<_> =
        [first, second].into_iter().chain(futures).map(|future| (Some(Box::pin(future)), None)).collect();
    poll_fn(|cx| {
        let mut pending = false;
        for (future, result) in &mut running {
            if let Some(polled) = future {
                match polled.as_mut().poll(cx) {
                    Poll::Ready(value) => (*future, *result) = (None, Some(value)),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().map(|(_, result)| result.expect("all futures have ended")).collect()
}

/// A value that arrives once.
#[derive(Debug)]
pub struct OneShot<T> {
    slot: Rc<Slot<T>>,
}

/// Fills a [`OneShot`]. Dropped without a value, the receiver learns that none will come.
#[derive(Debug)]
pub struct Fill<T> {
    slot: Rc<Slot<T>>,
}

#[derive(Debug)]
struct Slot<T> {
    value: RefCell<Option<T>>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A pair of ends for one value.
#[must_use]
pub fn one_shot<T>() -> (Fill<T>, OneShot<T>) {
    let slot = Rc::new(Slot { value: RefCell::new(None), closed: Cell::new(false), waker: RefCell::new(None) });
    (Fill { slot: Rc::clone(&slot) }, OneShot { slot })
}

impl<T> Fill<T> {
    /// Hands the value over.
    pub fn fill(self, value: T) {
        *self.slot.value.borrow_mut() = Some(value);
    }

    /// Whether nobody waits for the value any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        Rc::strong_count(&self.slot) == 1
    }
}

impl<T> Drop for Fill<T> {
    fn drop(&mut self) {
        self.slot.closed.set(true);
        if let Some(waker) = self.slot.waker.take() {
            waker.wake();
        }
    }
}

impl<T> OneShot<T> {
    /// Resolves with the value, or `None` if the other end was dropped without one.
    pub async fn wait(self) -> Option<T> {
        self.take().await
    }

    /// As [`OneShot::wait`], for a receiver that may stop waiting and come back: dropping it loses nothing. The value
    /// comes once, then `None`.
    pub async fn take(&self) -> Option<T> {
        poll_fn(|cx| {
            if let Some(value) = self.slot.value.take() {
                return Poll::Ready(Some(value));
            }
            if self.slot.closed.get() {
                return Poll::Ready(None);
            }
            *self.slot.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// A counted number of permits, handed out in the order they were asked for.
#[derive(Debug)]
pub struct Semaphore {
    free: Cell<usize>,
    total: usize,
    queue: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    permits: usize,
    granted: Cell<bool>,
    abandoned: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Permits held; given back on drop.
#[derive(Debug)]
pub struct Permit {
    semaphore: Rc<Semaphore>,
    permits: usize,
}

impl Semaphore {
    /// A semaphore with `total` free permits.
    #[must_use]
    pub fn new(total: usize) -> Rc<Self> {
        Rc::new(Self { free: Cell::new(total), total, queue: RefCell::new(VecDeque::new()) })
    }

    /// Permits that nobody holds.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.get()
    }

    /// Takes `permits` if they are free and nobody waits. More than there are in all counts as all.
    #[must_use]
    pub fn try_acquire(self: &Rc<Self>, permits: usize) -> Option<Permit> {
        let permits = permits.min(self.total);
        if !self.queue.borrow().is_empty() || self.free.get() < permits {
            return None;
        }
        self.free.set(self.free.get() - permits);
        Some(Permit { semaphore: Rc::clone(self), permits })
    }

    /// Waits for `permits`. More than there are in all counts as all. Dropping it leaves the queue.
    pub async fn acquire(self: &Rc<Self>, permits: usize) -> Permit {
        if let Some(permit) = self.try_acquire(permits) {
            return permit;
        }
        struct Guard<'a>(&'a Rc<Semaphore>, Rc<Waiter>);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                if self.1.abandoned.get() {
                    return;
                }
                self.1.abandoned.set(true);
                if self.1.granted.get() {
                    self.0.free.set(self.0.free.get() + self.1.permits);
                }
                self.0.grant();
            }
        }
        let permits = permits.min(self.total);
        let waiter = Rc::new(Waiter {
            permits,
            granted: Cell::new(false),
            abandoned: Cell::new(false),
            waker: RefCell::new(None),
        });
        self.queue.borrow_mut().push_back(Rc::clone(&waiter));
        let guard = Guard(self, waiter);
        poll_fn(|cx| {
            if guard.1.granted.get() {
                return Poll::Ready(());
            }
            *guard.1.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        // From here on the permit carries the duty to give back.
        guard.1.abandoned.set(true);
        Permit { semaphore: Rc::clone(self), permits }
    }

    fn grant(&self) {
        loop {
            let next = {
                let mut queue = self.queue.borrow_mut();
                match queue.front() {
                    None => return,
                    Some(waiter) if waiter.abandoned.get() => {
                        queue.pop_front();
                        continue;
                    }
                    Some(waiter) if waiter.permits > self.free.get() => return,
                    Some(_) => queue.pop_front(),
                }
            };
            if let Some(waiter) = next {
                self.free.set(self.free.get() - waiter.permits);
                waiter.granted.set(true);
                if let Some(waker) = waiter.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

impl Permit {
    /// Takes over the permits of `other`, which are then given back together with these.
    ///
    /// Panics if they come from different semaphores.
    pub fn merge(&mut self, mut other: Permit) {
        assert!(Rc::ptr_eq(&self.semaphore, &other.semaphore), "permits of different semaphores do not mix");
        self.permits += std::mem::take(&mut other.permits);
    }

    /// How many are held.
    #[must_use]
    pub const fn permits(&self) -> usize {
        self.permits
    }

    /// Gives `permits` of these back early; never more than are held.
    pub fn release(&mut self, permits: usize) {
        let permits = permits.min(self.permits);
        self.permits -= permits;
        self.semaphore.free.set(self.semaphore.free.get() + permits);
        self.semaphore.grant();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.release(self.permits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once, zip};

    /// Goal: a waiter resolves after the notify that makes its condition true, not before.
    #[test]
    fn notify_wakes_when_the_condition_holds() {
        block_on(async {
            let (notify, value) = (Notify::new(), Cell::new(0));
            let waiting = notify.until(|| (value.get() >= 2).then_some(value.get()));
            let stepping = async {
                for step in 1..=2 {
                    value.set(step);
                    notify.notify();
                    futures_lite::future::yield_now().await;
                }
            };
            assert_eq!(zip(waiting, stepping).await.0, 2);
        });
    }

    /// Goal: futures run side by side, and their results come in their order.
    #[test]
    fn join_all_runs_side_by_side() {
        block_on(async {
            let (notify, turn) = (Notify::new(), Cell::new(2));
            let wait_for_turn = |n: u32| {
                let (notify, turn) = (&notify, &turn);
                async move {
                    notify.until(|| (turn.get() == n).then_some(())).await;
                    turn.set(n.wrapping_sub(1));
                    notify.notify();
                    n * 10
                }
            };
            // Each waits for the one behind it: in a row this would never end.
            assert_eq!(join_all((0..3).map(wait_for_turn)).await, [0, 10, 20]);
            assert_eq!(join_all([async { 7 }]).await, [7]);
            assert!(join_all(Vec::<std::future::Ready<u8>>::new()).await.is_empty());
        });
    }

    /// Goal: a one-shot delivers its value, and tells when none will come.
    #[test]
    fn one_shot_delivers_or_closes() {
        block_on(async {
            let (fill, wait) = one_shot();
            fill.fill(7);
            assert_eq!(wait.wait().await, Some(7));
            let (fill, wait) = one_shot::<u8>();
            drop(fill);
            assert_eq!(wait.wait().await, None);
        });
    }

    /// Goal: permits are granted in order; a waiter that gives up neither blocks the queue nor keeps permits.
    #[test]
    fn semaphore_is_fair_and_survives_cancellation() {
        block_on(async {
            let sem = Semaphore::new(4);
            let held = sem.acquire(3).await;
            let mut big = Box::pin(sem.acquire(4));
            assert!(poll_once(&mut big).await.is_none());
            let mut small = Box::pin(sem.acquire(1));
            assert!(poll_once(&mut small).await.is_none(), "behind the big one, though one permit is free");
            drop(big);
            let small = small.await;
            drop(held);
            assert_eq!(sem.free(), 3);
            drop(small);
            assert_eq!(sem.free(), 4);
            let mut late = Box::pin(sem.acquire(4));
            let permit = poll_once(&mut late).await.expect("all are free");
            let mut waiting = Box::pin(sem.acquire(2));
            assert!(poll_once(&mut waiting).await.is_none());
            drop(permit);
            drop(waiting);
            assert_eq!(sem.free(), 4, "granted to a future that was then dropped");
            let mut both = sem.acquire(1).await;
            both.merge(sem.acquire(2).await);
            assert_eq!(sem.free(), 1);
            drop(both);
            assert_eq!(sem.free(), 4, "merged permits come back together");
        });
    }
}
