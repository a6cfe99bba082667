//! The tasks of one worker, so that they end with it, and so that a panic of one ends the worker in order.
//!
//! Two traps of glommio 0.9. An executor that goes away leaks every task that waits for something, with all it holds:
//! descriptors, locks, memory. And a panic that unwinds through an executor with runnable tasks aborts the process.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::glommio::{Task, TaskQueueHandle};

use crate::runtime::local::Notify;

/// How long dropped tasks may take to be gone. They need one turn of the executor each.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What a panicking task said.
pub(super) type Panic = Box<dyn Any + Send>;

#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Those that have not ended.
    list: RefCell<HashMap<u64, Task<()>>>,
    next: Cell<u64>,
    state: Rc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Futures that were spawned and not dropped yet.
    live: Cell<usize>,
    /// Set once; from then on no task is polled and none is started.
    stopped: Cell<bool>,
    panic: RefCell<Option<Panic>>,
    panicked: Notify,
}

/// Lives in a task's future, so that the count falls when the future is dropped, however that happens.
struct Live(Rc<State>);

impl Live {
    fn new(state: &Rc<State>) -> Self {
        state.live.set(state.live.get() + 1);
        Self(Rc::clone(state))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get() - 1);
    }
}

impl Tasks {
    pub(super) fn spawn(self: &Rc<Self>, queue: TaskQueueHandle, task: impl Future<Output = ()> + 'static) {
        if self.state.stopped.get() {
            return;
        }
        let key = self.next.replace(self.next.get() + 1);
        let live = Live::new(&self.state);
        let tasks = Rc::downgrade(self);
        let task = async move {
            live.0.run(task).await;
            if let Some(tasks) = tasks.upgrade() {
                let task = tasks.list.borrow_mut().remove(&key);
                // Detached, not dropped: dropping would cancel the task that is just ending.
                task.map(Task::detach);
            }
        };
        // It only schedules, so the task is on the list before it first runs.
        let task = ::glommio::spawn_local_into(task, queue).expect("the queues live as long as the executor");
        self.list.borrow_mut().insert(key, task);
    }

    /// Resolves when a task has panicked. No task has run since.
    pub(super) async fn panicked(&self) {
        self.state.panicked.until(|| self.state.panic.borrow().is_some().then_some(())).await;
    }

    /// Drops every task that is left and refuses new ones. Gives what a task panicked with, if one did.
    pub(super) async fn stop(&self) -> Option<Panic> {
        self.state.stopped.set(true);
        // Dropped, not awaited. Trap: a handle that is awaited while another thread wakes the task may free it under
        // that thread's hands.
        drop(self.list.take());
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.state.live.get() > 0 && Instant::now() < deadline {
            ::glommio::timer::sleep(Duration::from_micros(100)).await;
        }
        if self.state.live.get() > 0 {
            tracing::warn!(tasks = self.state.live.get(), "tasks are still there at the end of a worker");
        }
        self.state.panic.take()
    }
}

impl State {
    async fn run(&self, task: impl Future<Output = ()>) {
        let mut task = pin!(task);
        poll_fn(|cx| {
            if self.stopped.get() {
                return Poll::Pending;
            }
            // The task is not polled again and no other is polled at all, so nobody sees what the panic left behind but
            // destructors.
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(poll) => poll,
                Err(panic) => {
                    self.stopped.set(true);
                    *self.panic.borrow_mut() = Some(panic);
                    self.panicked.notify();
                    Poll::Ready(())
                }
            }
        })
        .await;
    }
}
