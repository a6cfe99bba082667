//! The executor: one thread, tasks polled in an order that the seed decides, and time that moves only when none is ready.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::HostId;
use super::core::Core;
use super::options::Scheduling;
use super::prng::Prng;

type BoxedTask = Pin<Box<dyn Future<Output = ()>>>;

/// The future that `block_on` polls itself; tasks count from 1.
const MAIN: u64 = 0;

struct Task {
    host: HostId,
    /// The thread it runs on.
    thread: u16,
    /// Taken out while it is polled.
    future: Option<BoxedTask>,
    waker: Arc<TaskWaker>,
}

/// Tasks that want to be polled. Shared with wakers, which are `Send` by type and hence need a lock.
type Ready = Arc<Mutex<VecDeque<u64>>>;

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: Ready,
}

impl TaskWaker {
    fn new(task: u64, ready: &Ready) -> Arc<Self> {
        Arc::new(Self { task, queued: AtomicBool::new(false), ready: Arc::clone(ready) })
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.task);
        }
    }
}

/// Why the executor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What was waited for is there.
    Done,
    /// The deadline passed.
    Deadline,
    /// Nothing is ready and nothing will ever be.
    Idle,
}

/// Tasks and the order in which they run.
pub(crate) struct Executor {
    scheduling: Scheduling,
    rng: RefCell<Prng>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Ready,
    /// Threads that stand still, with their tasks that want to be polled.
    stalled: RefCell<BTreeMap<(HostId, u16), Vec<u64>>>,
    next_task: Cell<u64>,
    polls: Cell<u64>,
    polls_at_instant: Cell<(u64, u64)>,
    running: Cell<bool>,
}

impl Executor {
    pub(crate) fn new(scheduling: Scheduling, rng: Prng) -> Self {
        Self {
            scheduling,
            rng: RefCell::new(rng),
            tasks: RefCell::default(),
            ready: Ready::default(),
            stalled: RefCell::default(),
            next_task: Cell::new(MAIN + 1),
            polls: Cell::new(0),
            polls_at_instant: Cell::new((0, 0)),
            running: Cell::new(false),
        }
    }

    /// Adds a task of a thread of a host.
    pub(crate) fn spawn(&self, host: HostId, thread: u16, future: BoxedTask) -> u64 {
        let id = self.next_task.replace(self.next_task.get() + 1);
        let waker = TaskWaker::new(id, &self.ready);
        waker.wake_by_ref();
        self.tasks.borrow_mut().insert(id, Task { host, thread, future: Some(future), waker });
        id
    }

    /// Takes a host's tasks out, for the caller to drop while nothing is borrowed.
    pub(crate) fn take_tasks(&self, host: HostId) -> Vec<impl Sized> {
        self.stalled.borrow_mut().retain(|(stalled, _), _| *stalled != host);
        let mut tasks = self.tasks.borrow_mut();
        let ids: Vec<u64> = tasks.iter().filter(|(_, task)| task.host == host).map(|(&id, _)| id).collect();
        ids.iter().filter_map(|id| tasks.remove(id)).collect()
    }

    /// Takes all tasks out.
    pub(crate) fn take_all_tasks(&self) -> impl Sized {
        self.tasks.take()
    }

    /// How many tasks there are.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// How many polls there were.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.rng.borrow().fingerprint()
    }

    // ---- threads that stand still

    /// Polls no task of a thread until [`Executor::resume`]. False if it stands still already.
    pub(crate) fn stall(&self, host: HostId, thread: u16) -> bool {
        let mut stalled = self.stalled.borrow_mut();
        let is_new = !stalled.contains_key(&(host, thread));
        stalled.entry((host, thread)).or_default();
        is_new
    }

    /// A thread goes on.
    pub(crate) fn resume(&self, host: HostId, thread: u16) {
        let waiting = self.stalled.borrow_mut().remove(&(host, thread));
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).extend(waiting.into_iter().flatten());
    }

    /// Puts a task aside if its thread stands still.
    fn put_aside(&self, id: u64) -> bool {
        let mut stalled = self.stalled.borrow_mut();
        if stalled.is_empty() {
            return false;
        }
        let thread = self.tasks.borrow().get(&id).map(|task| (task.host, task.thread));
        let waiting = thread.and_then(|thread| stalled.get_mut(&thread));
        let is_stalled = waiting.is_some();
        waiting.into_iter().for_each(|waiting| waiting.push(id));
        is_stalled
    }

    /// The task that runs next.
    fn pick(&self) -> Option<u64> {
        loop {
            let id = self.pick_ready()?;
            if !self.put_aside(id) {
                return Some(id);
            }
        }
    }

    fn pick_ready(&self) -> Option<u64> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.scheduling, ready.len()) {
            (_, 0) => None,
            (Scheduling::Fifo, _) | (Scheduling::Random, 1) => ready.pop_front(),
            (Scheduling::Random, count) => {
                let chosen = self.rng.borrow_mut().below(count as u64) as usize;
                ready.swap_remove_back(chosen)
            }
        }
    }

    fn count_poll(&self, core: &Core) {
        self.polls.set(self.polls.get() + 1);
        let (at, count) = self.polls_at_instant.get();
        let count = if at == core.now_us() { count + 1 } else { 1 };
        self.polls_at_instant.set((core.now_us(), count));
        if self.polls.get() > core.options.polls_max {
            core.fail(&format!("the budget of {} polls is used up", core.options.polls_max));
        }
        if count > core.options.polls_per_instant_max {
            core.fail(&format!("{count} polls without time moving: tasks wake each other for ever"));
        }
    }
}

/// Says why a run failed, unless the panic already did.
struct Guard<'a> {
    core: &'a Core,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.core.executor.running.set(false);
        if std::thread::panicking() && !self.core.failed.get() {
            eprintln!("{}", self.core.report());
        }
    }
}

impl Core {
    /// Panics with everything that helps to find out why.
    pub(crate) fn fail(&self, why: &str) -> ! {
        self.failed.set(true);
        panic!("{why}\n{}", self.report());
    }

    /// Runs until `future` is done.
    pub(crate) fn block_on<F: Future>(self: &Rc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut output = None;
        let main = TaskWaker::new(MAIN, &self.executor.ready);
        main.wake_by_ref();
        let mut poll_main = || {
            main.queued.store(false, Ordering::Relaxed);
            let waker = Waker::from(Arc::clone(&main));
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => output = Some(value),
                Poll::Pending => {}
            }
            output.is_some()
        };
        let stop = self.run(&mut poll_main, &mut || false, None);
        match output {
            Some(output) => output,
            None => {
                debug_assert_eq!(stop, Stop::Idle);
                self.fail("deadlock: no task is ready, no timer runs, no I/O is under way, and the main future waits");
            }
        }
    }

    /// Runs until `stop` says so, `deadline_us` has come, or nothing can ever happen again. With neither bound reached
    /// time stands at the deadline.
    pub(crate) fn run_tasks(self: &Rc<Self>, stop: &mut dyn FnMut() -> bool, deadline_us: Option<u64>) -> Stop {
        self.run(&mut || false, stop, deadline_us)
    }

    fn run(
        self: &Rc<Self>,
        poll_main: &mut dyn FnMut() -> bool,
        stop: &mut dyn FnMut() -> bool,
        deadline_us: Option<u64>,
    ) -> Stop {
        assert!(!self.executor.running.replace(true), "a simulation cannot run inside itself");
        let _guard = Guard { core: self };
        loop {
            if stop() {
                return Stop::Done;
            }
            if let Some(task) = self.executor.pick() {
                self.executor.count_poll(self);
                if task == MAIN {
                    self.note(None, "poll main", [0; 2], None);
                    if poll_main() {
                        return Stop::Done;
                    }
                } else {
                    self.poll_task(task);
                }
                continue;
            }
            match (self.next_due_us(), deadline_us) {
                (Some(due), Some(deadline)) if due > deadline => {
                    self.advance_to(deadline.max(self.now_us()));
                    return Stop::Deadline;
                }
                (Some(due), _) => {
                    self.advance_to(due);
                    self.fire_due();
                }
                (None, Some(deadline)) => {
                    self.advance_to(deadline.max(self.now_us()));
                    return Stop::Idle;
                }
                (None, None) => return Stop::Idle,
            }
        }
    }

    fn poll_task(self: &Rc<Self>, id: u64) {
        let Some((host, mut future, waker)) = self
            .executor
            .tasks
            .borrow_mut()
            .get_mut(&id)
            .and_then(|task| Some((task.host, task.future.take()?, Arc::clone(&task.waker))))
        else {
            // Woken after it ended, or after its host went down.
            return;
        };
        waker.queued.store(false, Ordering::Relaxed);
        self.note(Some(host), "poll", [id, 0], None);
        let done = future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker))).is_ready();
        let finished = {
            let mut tasks = self.executor.tasks.borrow_mut();
            match tasks.get_mut(&id) {
                Some(task) if !done => {
                    task.future = Some(future);
                    None
                }
                // Done, or its host went down in this very poll.
                _ => Some((tasks.remove(&id), future)),
            }
        };
        if done {
            self.note(Some(host), "task ends", [id, 0], None);
        }
        drop(finished);
        if let Some(how) = self.burn_fuse(host) {
            self.crash(host, how);
        }
    }
}
