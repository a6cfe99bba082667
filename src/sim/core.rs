//! What everything in a simulation shares: virtual time, the queue of events to come, the trace and the hosts.
//!
//! No user code runs while any of this is borrowed: futures are polled and dropped, and wakers called, in between.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::Waker;

use super::HostId;
use super::disk::Disk;
use super::executor::Executor;
use super::net::{NetEvent, Network};
use super::options::SimOptions;
use super::prng::{Prng, mix};
use super::trace::{Event, Trace};
use crate::runtime::Step;
use crate::types::{MonoUs, WallUs};

/// Virtual time at the start. Not 0, so that code which takes 0 for "never" is found out.
const START_US: u64 = 1_000_000;

/// How a host goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process is killed, the machine goes on.
    Kill,
    /// The machine loses power.
    PowerLoss,
}

/// Something that happens at a time.
pub(crate) enum Due {
    /// A timer.
    Wake(Waker),
    /// A disk operation ends.
    Disk(HostId, u64),
    /// The network does something.
    Net(NetEvent),
    /// A host goes down.
    Crash(HostId, Crash),
    /// A thread that stood still goes on.
    Resume(HostId, u16),
    /// A partition heals.
    Heal(HostId, HostId),
}

/// When something is due; the number keeps the order of what is due at once.
pub(crate) type DueAt = (u64, u64);

/// A machine.
pub(crate) struct Host {
    pub(crate) name: Rc<str>,
    pub(crate) incarnation: Rc<Cell<u64>>,
    pub(crate) disk: Rc<RefCell<Disk>>,
    pub(crate) random: Prng,
    pub(crate) wall_offset_us: i64,
    /// Steps that its processes leave out.
    pub(crate) left_out: Vec<Step>,
    /// Polls of its tasks until it goes down, and how.
    pub(crate) fuse: Option<(u64, Crash)>,
    pub(crate) polls: u64,
}

/// The shared state of a simulation.
pub(crate) struct Core {
    pub(crate) seed: u64,
    pub(crate) options: SimOptions,
    pub(crate) executor: Executor,
    pub(crate) net: RefCell<Network>,
    pub(crate) hosts: RefCell<Vec<Host>>,
    pub(crate) trace: RefCell<Trace>,
    timer_rng: RefCell<Prng>,
    now_us: Cell<u64>,
    numbers: Cell<u64>,
    due: RefCell<BTreeMap<DueAt, Due>>,
    /// A panic with a report is under way.
    pub(crate) failed: Cell<bool>,
}

impl Core {
    pub(crate) fn new(seed: u64, options: SimOptions) -> Rc<Self> {
        Rc::new(Self {
            seed,
            executor: Executor::new(options.scheduling, Prng::new(seed, "scheduler", 0)),
            net: RefCell::new(Network::new(options.net, Prng::new(seed, "network", 0))),
            hosts: RefCell::default(),
            trace: RefCell::new(Trace::new(seed, options.trace_tail)),
            timer_rng: RefCell::new(Prng::new(seed, "timers", 0)),
            now_us: Cell::new(START_US),
            numbers: Cell::new(0),
            due: RefCell::default(),
            failed: Cell::new(false),
            options,
        })
    }

    /// A number never given out before.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    // ---- time

    pub(crate) fn now_us(&self) -> u64 {
        self.now_us.get()
    }

    pub(crate) fn now(&self) -> MonoUs {
        MonoUs(self.now_us.get())
    }

    pub(crate) fn wall(&self, host: HostId) -> WallUs {
        let offset = self.hosts.borrow()[host.index()].wall_offset_us;
        WallUs((self.options.wall_start.0 + self.now_us() - START_US).saturating_add_signed(offset))
    }

    /// Virtual time becomes `at_us`.
    pub(crate) fn advance_to(&self, at_us: u64) {
        assert!(at_us >= self.now_us(), "virtual time never goes back");
        self.now_us.set(at_us);
    }

    /// How late a timer fires.
    pub(crate) fn timer_late_us(&self) -> u64 {
        self.timer_rng.borrow_mut().below(self.options.timer_late_us_max + 1)
    }

    /// Whether a yield lets time pass, or only others run that are ready now.
    pub(crate) fn yield_takes_time(&self) -> bool {
        self.timer_rng.borrow_mut().coin()
    }

    // ---- events to come

    /// Lets something happen `after_us` from now.
    pub(crate) fn schedule(&self, after_us: u64, due: Due) -> DueAt {
        self.schedule_at(self.now_us() + after_us, due)
    }

    /// Lets something happen at a time, which is not in the past.
    pub(crate) fn schedule_at(&self, at_us: u64, due: Due) -> DueAt {
        let key = (at_us.max(self.now_us()), self.number());
        self.due.borrow_mut().insert(key, due);
        key
    }

    /// Takes an event back.
    pub(crate) fn cancel(&self, key: DueAt) -> Option<Due> {
        self.due.borrow_mut().remove(&key)
    }

    /// When the next event is due.
    pub(crate) fn next_due_us(&self) -> Option<u64> {
        self.due.borrow().first_key_value().map(|(key, _)| key.0)
    }

    /// The next event that is due by now.
    fn take_due(&self) -> Option<Due> {
        let mut due = self.due.borrow_mut();
        let first = due.first_entry()?;
        (first.key().0 <= self.now_us()).then(|| first.remove())
    }

    /// Takes all events back.
    pub(crate) fn clear_due(&self) {
        let due = self.due.take();
        drop(due);
    }

    /// Lets everything happen that is due by now.
    pub(crate) fn fire_due(self: &Rc<Self>) {
        while let Some(due) = self.take_due() {
            match due {
                Due::Wake(waker) => waker.wake(),
                Due::Disk(host, number) => self.complete_disk_op(host, number),
                Due::Net(event) => self.net_event(event),
                Due::Crash(host, how) => self.crash(host, how),
                Due::Heal(a, b) => {
                    self.note(Some(a), "partition", [b.0.into(), 0], None);
                    self.net.borrow_mut().partition(self, a, b, false);
                }
                Due::Resume(host, thread) => {
                    self.note(Some(host), "thread goes on", [thread.into(), 0], None);
                    self.executor.resume(host, thread);
                }
            }
        }
    }

    fn complete_disk_op(&self, host: HostId, number: u64) {
        let disk = self.disk(host);
        let waker = disk.borrow_mut().complete(number);
        self.note(Some(host), "disk op ends", [number, u64::from(waker.is_some())], None);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // ---- hosts

    pub(crate) fn disk(&self, host: HostId) -> Rc<RefCell<Disk>> {
        Rc::clone(&self.hosts.borrow()[host.index()].disk)
    }

    pub(crate) fn random(&self, host: HostId) -> u64 {
        let drawn = self.hosts.borrow_mut()[host.index()].random.next();
        self.note(Some(host), "random", [drawn, 0], None);
        drawn
    }

    /// Counts a poll of one of the host's tasks; tells whether the host goes down now.
    pub(crate) fn burn_fuse(&self, host: HostId) -> Option<Crash> {
        let host = &mut self.hosts.borrow_mut()[host.index()];
        host.polls += 1;
        let (polls_left, how) = host.fuse?;
        if polls_left > 1 {
            host.fuse = Some((polls_left - 1, how));
            return None;
        }
        host.fuse = None;
        Some(how)
    }

    /// A host goes down, and is up again at once as a new incarnation with no tasks.
    ///
    /// 1. The incarnation changes: what the old one still holds can no longer act.
    /// 2. Its connections, listeners and attempts to connect end.
    /// 3. Its tasks are dropped.
    /// 4. Disk operations under way take effect or not.
    /// 5. Without power, what was not synced is lost, kept or torn.
    pub(crate) fn crash(self: &Rc<Self>, host: HostId, how: Crash) {
        let (disk, stats_before) = {
            let host = &mut self.hosts.borrow_mut()[host.index()];
            host.incarnation.set(host.incarnation.get() + 1);
            host.fuse = None;
            let stats = host.disk.borrow().stats;
            (Rc::clone(&host.disk), stats)
        };
        self.note(Some(host), if how == Crash::Kill { "kill" } else { "power loss" }, [0; 2], None);
        self.with_net(|net, wakers| net.host_down(self, host, how, wakers));
        let tasks = self.executor.take_tasks(host);
        drop(tasks);
        let mut disk = disk.borrow_mut();
        disk.interrupt();
        if how == Crash::PowerLoss {
            disk.lose_power();
        }
        let stats = disk.stats;
        self.note(
            Some(host),
            "disk after crash",
            [stats.interrupted - stats_before.interrupted, stats.writes_torn - stats_before.writes_torn],
            None,
        );
    }

    // ---- network

    /// Works on the network and wakes whom that concerns afterwards.
    pub(crate) fn with_net<T>(&self, work: impl FnOnce(&mut Network, &mut Vec<Waker>) -> T) -> T {
        let mut wakers = Vec::new();
        let result = work(&mut self.net.borrow_mut(), &mut wakers);
        for waker in wakers {
            waker.wake();
        }
        result
    }

    // ---- trace

    /// Adds an event to the trace.
    pub(crate) fn note(&self, host: Option<HostId>, what: &'static str, numbers: [u64; 2], text: Option<&Rc<str>>) {
        let event = Event { at_us: self.now_us(), host, what, numbers, text: text.map(Rc::clone) };
        self.trace.borrow_mut().add(event);
    }

    /// The hash over everything that happened and was drawn so far.
    pub(crate) fn trace_hash(&self) -> u64 {
        let mut hash = self.trace.borrow().hash();
        for drawn in [
            self.executor.fingerprint(),
            self.net.borrow().fingerprint(),
            self.timer_rng.borrow().fingerprint(),
            self.now_us(),
        ] {
            hash = mix(hash ^ drawn);
        }
        for host in &*self.hosts.borrow() {
            hash = mix(hash ^ host.random.fingerprint());
            hash = mix(hash ^ host.disk.borrow().rng.fingerprint());
        }
        hash
    }

    /// What to print when a run fails.
    pub(crate) fn report(&self) -> String {
        let trace = self.trace.borrow();
        let hung: usize = self.hosts.borrow().iter().map(|host| host.disk.borrow().hung()).sum();
        format!(
            "simulation failed: seed {}, {} us of virtual time, {} events, {} tasks, {} hung disk operations\n\
             last events:\n  {}\nto replay: {} (seed {})",
            self.seed,
            self.now_us() - START_US,
            trace.count(),
            self.executor.tasks(),
            hung,
            trace.tail().join("\n  "),
            self.options.replay_hint,
            self.seed,
        )
    }
}
