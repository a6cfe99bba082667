//! Tasks that hyper starts: one for each HTTP/2 stream, on the worker's own thread.

use crate::runtime::{Runtime, TaskClass};

/// Starts tasks on the worker.
#[derive(Clone)]
pub(super) struct Executor<R>(pub(super) R);

impl<R: Runtime, F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Executor<R> {
    fn execute(&self, task: F) {
        self.0.spawn(TaskClass::Latency, task);
    }
}
