//! Calls that may block (names, directories, maps, locks), on threads of their own.
//!
//! Not glommio's `spawn_blocking`: dropping its future loses the result without dropping it (a lock would stay held for
//! good), and its threads panic when they finish a call after the executor has gone.

use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

/// Threads per worker. A directory sync waits for the file system's journal, and several that wait together share one
/// commit: creating thousands of shards takes a quarter of the time.
const THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of one worker. Dropping it finishes what was asked for and ends them.
#[derive(Debug)]
pub(super) struct Blocking {
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<thread::JoinHandle<()>>,
}

struct Answer<R> {
    value: Option<thread::Result<R>>,
    waker: Option<Waker>,
}

impl Blocking {
    pub(super) fn start(name: &str) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut blocking = Self { jobs: Some(sender), threads: Vec::with_capacity(THREADS) };
        for number in 0..THREADS {
            let receiver = Arc::clone(&receiver);
            let thread = thread::Builder::new().name(format!("{name}-io{number}")).spawn(move || {
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match job {
                        Ok(job) => job(),
                        Err(mpsc::RecvError) => return,
                    }
                }
            })?;
            blocking.threads.push(thread);
        }
        Ok(blocking)
    }

    /// Runs `call` on one of the threads. Dropping the future lets it run all the same and drops its result. A panic of
    /// `call` goes on in the caller.
    pub(super) async fn run<R: Send + 'static>(&self, call: impl FnOnce() -> R + Send + 'static) -> R {
        let answer = Arc::new(Mutex::new(Answer { value: None, waker: None }));
        let reply = Arc::clone(&answer);
        let job: Job = Box::new(move || {
            let value = catch_unwind(AssertUnwindSafe(call));
            let waker = {
                let mut answer = reply.lock().unwrap_or_else(PoisonError::into_inner);
                answer.value = Some(value);
                answer.waker.take()
            };
            // Before the wake-up: whoever gave up on the answer must find it dropped by then.
            drop(reply);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        self.jobs.as_ref().expect("taken only by drop").send(job).expect("the threads end only after the sender");
        poll_fn(|cx| {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            match answer.value.take() {
                Some(Ok(value)) => Poll::Ready(value),
                Some(Err(panic)) => resume_unwind(panic),
                None => {
                    answer.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        self.jobs.take();
        for thread in self.threads.drain(..) {
            // Jobs catch their panics, so there is nothing to learn from the result.
            let _ = thread.join();
        }
    }
}
