//! Waiting for SIGTERM and SIGINT.

use std::future::poll_fn;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};

/// Tells when the process was asked to end. Clones share one state and may go to any thread.
#[derive(Clone, Debug)]
pub struct Termination {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    requests: usize,
    waiters: Vec<Waker>,
}

/// Takes over SIGTERM and SIGINT for the rest of the process's life. A handler may do next to nothing, so it writes a
/// byte to a socket; a thread reads it and wakes the waiters.
///
/// # Errors
/// When the sockets, the handlers or the thread cannot be made.
pub fn on_termination() -> io::Result<Termination> {
    let (mut reader, writer) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    let termination = Termination::new();
    let told = termination.clone();
    thread::Builder::new().name("millstream-signals".to_owned()).spawn(move || {
        let mut byte = [0; 1];
        while reader.read_exact(&mut byte).is_ok() {
            told.request();
        }
    })?;
    Ok(termination)
}

impl Termination {
    /// One that only [`Termination::request`] triggers: for tests and for nodes embedded in other programs.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Asks the process to end, as a signal does.
    pub fn request(&self) {
        let waiters = {
            let mut state = self.lock();
            state.requests += 1;
            std::mem::take(&mut state.waiters)
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// How often the process was asked. A second time means that somebody does not want to wait for the drain.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.lock().requests
    }

    /// Resolves once the process was asked at least `times` times. On glommio, await it in a task of a worker.
    pub async fn requested(&self, times: usize) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.requests >= times {
                return Poll::Ready(());
            }
            if !state.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiters.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Termination {
    fn default() -> Self {
        Self::new()
    }
}
