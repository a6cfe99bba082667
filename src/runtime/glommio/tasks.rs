//! The tasks of one worker, so that they end with it.
//!
//! Trap: a glommio executor that goes away leaks every task that waits for something, with all it holds: descriptors,
//! locks, memory. So each task is on this list until it ends, and [`Tasks::stop`] drops those that are left while the
//! executor still runs.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use ::glommio::{Task, TaskQueueHandle};

/// How long dropped tasks may take to be gone. They need one turn of the executor each.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Tasks {
    list: RefCell<HashMap<u64, Task<()>>>,
    next: Cell<u64>,
    live: Rc<Cell<usize>>,
    stopped: Cell<bool>,
}

/// Lives in a task's future, so that the count falls when the future is dropped, however that happens.
struct Live(Rc<Cell<usize>>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Tasks {
    pub(super) fn spawn(self: &Rc<Self>, queue: TaskQueueHandle, task: impl Future<Output = ()> + 'static) {
        if self.stopped.get() {
            return;
        }
        let key = self.next.replace(self.next.get() + 1);
        self.live.set(self.live.get() + 1);
        let live = Live(Rc::clone(&self.live));
        let tasks = Rc::downgrade(self);
        let task = async move {
            task.await;
            if let Some(tasks) = tasks.upgrade() {
                // Detached, not dropped: dropping would cancel the task that is just ending.
                let task = tasks.list.borrow_mut().remove(&key);
                task.map(Task::detach);
            }
            drop(live);
        };
        // It only schedules, so the task is on the list before it first runs.
        let task = ::glommio::spawn_local_into(task, queue).expect("the queues live as long as the executor");
        self.list.borrow_mut().insert(key, task);
    }

    /// Drops every task that is left and refuses new ones.
    pub(super) async fn stop(&self) {
        self.stopped.set(true);
        let left = self.list.take();
        // Dropped, not awaited. Trap: a handle that is awaited while another thread wakes the task may free it under
        // that thread's hands.
        drop(left);
        let deadline = super::super::clock::now().0 + STOP_PATIENCE.as_micros() as u64;
        while self.live.get() > 0 && super::super::clock::now().0 < deadline {
            ::glommio::timer::sleep(Duration::from_micros(100)).await;
        }
        if self.live.get() > 0 {
            tracing::warn!(tasks = self.live.get(), "tasks are still there at the end of a worker");
        }
    }
}
