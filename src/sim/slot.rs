//! Where the result of an operation waits for the future that asked for it.
//!
//! Unlike `runtime::local::OneShot`, filling hands the waker out instead of calling it: the simulator fills while it
//! holds its own state borrowed, and wakes after that.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// A result that arrives once, or never if the process is killed first.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    value: RefCell<Option<T>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Slot<T> {
    /// Nothing there yet.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self { value: RefCell::new(None), waker: RefCell::new(None) })
    }

    /// Puts the result in; the caller wakes whom it gets back.
    #[must_use]
    pub(crate) fn fill(&self, value: T) -> Option<Waker> {
        *self.value.borrow_mut() = Some(value);
        self.waker.take()
    }

    /// Resolves with the result.
    pub(crate) async fn wait(&self) -> T {
        poll_fn(|cx| match self.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
