//! Starting workers: one pinned thread with one executor each.

use std::any::Any;
use std::io;
use std::panic::resume_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::future::or;

use ::glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use super::GlommioRuntime;
use super::preflight::{self, PreflightError};
use crate::runtime::local::one_shot;
use crate::runtime::{Reactor, TaskClass};

/// How the workers run.
#[derive(Clone, Debug)]
pub struct LaunchOptions {
    /// The CPU of each worker; as many as there are workers.
    pub cpus: Vec<usize>,
    /// I/O memory of a worker that is registered with the kernel, in bytes. Registering saves the kernel a page walk per
    /// small operation, and costs memlock three times this. Larger buffers come from the allocator.
    pub io_memory: usize,
    /// Operations that each of a worker's three rings takes in one submission. More wait in user space.
    pub ring_depth: usize,
    /// How long an idle worker looks for work before it sleeps. Costs CPU, saves the microseconds of a wake-up.
    pub spin_before_park: Duration,
    /// Name of the threads, followed by the worker's number. The kernel shows 15 bytes of it.
    pub name: String,
}

impl Default for LaunchOptions {
    /// Fits eight workers into the usual 8 MiB of memlock: 3 * 256 KiB each, with room for the rings of old kernels.
    fn default() -> Self {
        Self {
            cpus: Vec::new(),
            io_memory: 256 << 10,
            ring_depth: 128,
            spin_before_park: Duration::ZERO,
            name: "millstream".to_owned(),
        }
    }
}

/// Why workers did not start or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The machine lacks something.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The numbers do not fit.
    #[error("{workers} workers need as many CPUs, {cpus} are given")]
    CpuCount {
        /// Workers to start.
        workers: usize,
        /// CPUs listed.
        cpus: usize,
    },
    /// An executor did not start.
    #[error("worker {worker} did not start: {source}")]
    Start {
        /// Which one.
        worker: usize,
        /// Why not.
        source: io::Error,
    },
    /// A worker stopped at a broken invariant.
    #[error("worker {worker} panicked: {message}")]
    Panicked {
        /// Which one.
        worker: usize,
        /// What it said.
        message: String,
    },
}

/// A running worker.
#[derive(Debug)]
pub struct Worker<T> {
    number: usize,
    thread: thread::JoinHandle<Option<T>>,
}

impl<T> Worker<T> {
    /// Waits for its end.
    ///
    /// # Errors
    /// [`LaunchError::Panicked`].
    pub fn join(self) -> Result<T, LaunchError> {
        match self.thread.join() {
            Ok(value) => Ok(value.expect("a worker that was handed out was told to go")),
            Err(panic) => Err(LaunchError::Panicked { worker: self.number, message: message(panic.as_ref()) }),
        }
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// How often [`join_all`] looks.
const JOIN_PAUSE: Duration = Duration::from_millis(20);

/// Waits for the end of all workers. `first` is called when the first one has ended, whatever the reason: the others may
/// have to be told.
pub fn join_all<T>(workers: Vec<Worker<T>>, first: impl FnOnce()) -> Vec<Result<T, LaunchError>> {
    while !workers.iter().any(Worker::is_finished) {
        std::thread::sleep(JOIN_PAUSE);
    }
    first();
    workers.into_iter().map(Worker::join).collect()
}

/// Starts one worker per element of `workers`, worker `i` pinned to `options.cpus[i]`. Either all start or none.
///
/// A worker runs until its future ends. Tasks that are left then are dropped; all it had opened is closed.
///
/// # Errors
/// What [`preflight`] finds, or that an executor did not start.
pub fn launch<T, F, Fut>(options: &LaunchOptions, workers: Vec<F>) -> Result<Vec<Worker<T>>, LaunchError>
where
    T: Send + 'static,
    F: FnOnce(GlommioRuntime) -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    if workers.len() != options.cpus.len() {
        return Err(LaunchError::CpuCount { workers: workers.len(), cpus: options.cpus.len() });
    }
    preflight::check_io_uring()?;
    preflight::check_memlock(workers.len())?;
    preflight::check_cpus(&options.cpus)?;

    let mut starting = Vec::with_capacity(workers.len());
    for (number, (work, &cpu)) in workers.into_iter().zip(&options.cpus).enumerate() {
        // Each thread says whether its executor started, then waits for the word that all did.
        let (ready_tx, ready) = mpsc::sync_channel(1);
        let (go, go_rx) = mpsc::sync_channel::<()>(1);
        let (options, name) = (options.clone(), format!("{}-{number}", options.name));
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let executor = match executor(&options, Placement::Fixed(cpu)) {
                    Ok(executor) => executor,
                    Err(error) => {
                        let _ = ready_tx.send(Err(error));
                        return None;
                    }
                };
                let _ = ready_tx.send(Ok(()));
                go_rx.recv().ok()?;
                Some(run(executor, name, work))
            })
            .map_err(|source| LaunchError::Start { worker: number, source })?;
        starting.push((number, thread, ready, go));
    }
    // An error drops all the `go` ends, and the threads that wait for one end.
    for (number, _, ready, _) in &starting {
        let source = match ready.recv() {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(mpsc::RecvError) => io::Error::other("its thread panicked while it started"),
        };
        return Err(LaunchError::Start { worker: *number, source });
    }
    let workers = starting.into_iter().map(|(number, thread, _, go)| {
        // It waits for this and nothing else, so it is there to take it.
        let _ = go.send(());
        Worker { number, thread }
    });
    Ok(workers.collect())
}

/// Runs `work` on an executor on this thread, not pinned: for tools and tests.
///
/// # Errors
/// As [`launch`].
pub fn run_unpinned<T: 'static, Fut>(work: impl FnOnce(GlommioRuntime) -> Fut + 'static) -> Result<T, LaunchError>
where
    Fut: Future<Output = T> + 'static,
{
    preflight::check_io_uring()?;
    preflight::check_memlock(1)?;
    let options = LaunchOptions::default();
    let executor = executor(&options, Placement::Unbound).map_err(|source| LaunchError::Start { worker: 0, source })?;
    Ok(run(executor, options.name, work))
}

/// The trap that [`super::HEARTBEAT`] guards against has a first chance before any heartbeat beats: when a pause of this
/// length hits an executor between its first look at I/O and its first task, it sleeps for ever without having begun. With
/// 2 ms, as the queue for what is urgent has, one start in some thousand hung on a machine under load.
const START_PREEMPT_AFTER: Duration = Duration::from_millis(250);

fn executor(options: &LaunchOptions, placement: Placement) -> io::Result<LocalExecutor> {
    LocalExecutorBuilder::new(placement)
        .io_memory(options.io_memory)
        .ring_depth(options.ring_depth)
        .spin_before_park(options.spin_before_park)
        .preempt_timer(START_PREEMPT_AFTER)
        // glommio's own blocking thread stays idle: see `blocking`. Unbound, so that it would not sit on the worker's CPU.
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
        .map_err(super::file::into_io)
}

/// Runs `work` to its end, and then everything down. A panic of any task of the worker goes on in the caller, when the
/// executor has nothing left to run.
fn run<T: 'static, Fut>(executor: LocalExecutor, name: String, work: impl FnOnce(GlommioRuntime) -> Fut + 'static) -> T
where
    Fut: Future<Output = T> + 'static,
{
    let result = executor.run(async move {
        let runtime = GlommioRuntime::start(&name).expect("threads for blocking calls can be started");
        // A task of its own, in the queue for what is urgent, and never this future itself: other threads may hold
        // wakers of it, and the handle of this one is awaited (see `tasks`).
        let (fill, done) = one_shot();
        let task = runtime.clone();
        runtime.spawn(TaskClass::Latency, async move { fill.fill(work(task).await) });
        let panicked = async {
            runtime.inner.tasks.panicked().await;
            None
        };
        let value = or(done.wait(), panicked).await;
        let panic = runtime.stop().await;
        match (value, panic) {
            (Some(value), None) => Ok(value),
            (_, Some(panic)) => Err(panic),
            (None, None) => unreachable!("the task fills its value in or panics"),
        }
    });
    drop(executor);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no message".to_owned(),
    }
}
