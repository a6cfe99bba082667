//! The deterministic simulator behind the runtime seam: hosts with faulty disks and clocks, a faulty network, one thread,
//! one seed.
//!
//! # Constraints
//! - The same seed and the same workload give the same trace, event by event ([`Sim::trace_hash`]). Nothing here reads a
//!   clock, draws from the system, or depends on an address or on the order of a hash map.
//! - Virtual time moves only when no task is ready, and then to the next timer or end of an operation. A simulated hour
//!   of waiting costs nothing. A yield takes up to a microsecond, so that spinning ends, too.
//! - The code under test is the real one: everything above [`crate::runtime::Runtime`].
//!
//! # What goes wrong
//! - **Order**: any ready task may run next; operations end in any order; timers fire late; a thread stands still
//!   ([`Sim::stall`]).
//! - **Crashes**: [`Sim::kill`] and [`Sim::power_loss`], at once, after a time or at the n-th poll of the host's tasks,
//!   which is to say at any await. The disk's rules are in [`disk`]; what it did is counted in [`DiskStats`].
//! - **Disk**: by chance ([`DiskFaults`]) or aimed ([`Injection`]): EIO, a full disk, slow and hung operations, misdirected
//!   writes; [`Sim::flip_bit`] for decay.
//! - **Network**: segmentation, latency, back-pressure, delays, [`Sim::cut_connections`], [`Sim::partition`].
//! - **Clocks**: [`Sim::jump_wall`].
//!
//! # What is not simulated
//! The time that computing takes, memory pressure, and corruption of bytes in the network.
//!
//! # Example
//! ```
//! use millstream::runtime::{Reactor, Runtime};
//! use millstream::sim::{Sim, SimOptions};
//!
//! let sim = Sim::new(42, SimOptions::default());
//! let host = sim.host("node");
//! let runtime = sim.runtime(host);
//! let waited = sim.block_on(async move {
//!     let start = runtime.now();
//!     runtime.sleep(std::time::Duration::from_secs(3600)).await;
//!     runtime.now().since(start)
//! });
//! assert!(waited >= 3_600_000_000);
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "wakers must be Send by type; one thread holds these locks"
)]
#![forbid(unsafe_code)]

mod copy;
mod core;
pub mod disk;
mod executor;
mod fs;
mod mailbox;
mod net;
mod options;
mod prng;
mod process;
mod runtime;
mod slot;
mod trace;
pub mod workload;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use self::core::{Core, Crash, Due, Host};
use self::disk::Disk;
pub use self::disk::DiskStats;
use self::disk::tree::file_at;
use self::executor::Stop;
pub use self::fs::{SimBuf, SimBufMut, SimFile, SimLock, SimMap};
pub use self::mailbox::{SimConnectedReceiver, SimConnectedSender, SimReceiver, SimSender};
pub use self::net::stream::{SimListener, SimReadHalf, SimWriteHalf};
pub use self::options::{
    Chance, DiskFaults, DiskOp, DiskOptions, Fault, Injection, NetOptions, Scheduling, SimOptions, Span,
};
use self::prng::Prng;
use self::process::Process;
pub use self::runtime::SimRuntime;
use crate::runtime::{Reactor, Step, TaskClass};
use crate::types::MonoUs;

/// A simulated machine, counted from 1. Its address is 10.0.0.1, 10.0.0.2, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u16);

impl HostId {
    const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// A simulation. Clones are handles to the same one, for drivers that are tasks themselves; dropping the first one, as
/// returned by [`Sim::new`], ends it and drops all tasks.
pub struct Sim {
    core: Rc<Core>,
    owner: bool,
}

impl Clone for Sim {
    fn clone(&self) -> Self {
        Self { core: Rc::clone(&self.core), owner: false }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if !self.owner {
            return;
        }
        // Tasks hold runtimes, which hold the core: without this they would keep each other alive.
        for host in &*self.core.hosts.borrow() {
            host.incarnation.set(u64::MAX);
        }
        let tasks = self.core.executor.take_all_tasks();
        drop(tasks);
        self.core.clear_due();
        let net = self.core.net.borrow_mut().clear();
        drop(net);
        for host in &*self.core.hosts.borrow() {
            host.disk.borrow_mut().interrupt();
        }
    }
}

impl Sim {
    /// A simulation without hosts.
    #[must_use]
    pub fn new(seed: u64, options: SimOptions) -> Self {
        Self { core: Core::new(seed, options), owner: true }
    }

    /// The seed it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.core.seed
    }

    // ---- hosts

    /// Adds a machine with an empty disk. `name` is for people.
    pub fn host(&self, name: &str) -> HostId {
        let mut hosts = self.core.hosts.borrow_mut();
        let number = u16::try_from(hosts.len() + 1).expect("at most 65,535 hosts");
        let stream = |label| Prng::new(self.core.seed, label, u64::from(number));
        hosts.push(Host {
            name: name.into(),
            incarnation: Rc::new(Cell::new(0)),
            disk: Rc::new(RefCell::new(Disk::new(self.core.options.disk, stream("disk")))),
            random: stream("random"),
            wall_offset_us: 0,
            left_out: Vec::new(),
            fuse: None,
            polls: 0,
        });
        HostId(number)
    }

    /// The name a host was given.
    #[must_use]
    pub fn host_name(&self, host: HostId) -> String {
        self.core.hosts.borrow()[host.index()].name.to_string()
    }

    /// A host's address in the network.
    #[must_use]
    pub const fn ip(&self, host: HostId) -> IpAddr {
        net::ip_of(host)
    }

    /// The machine as a process sees it that is started on `host` now. All workers of a node share one host.
    #[must_use]
    pub fn runtime(&self, host: HostId) -> SimRuntime {
        SimRuntime { process: Process::of(&self.core, host), thread: 0 }
    }

    /// Starts a task on a host, in its living process. `task` should use a runtime of that process.
    pub fn spawn(&self, host: HostId, task: impl Future<Output = ()> + 'static) {
        let id = self.core.executor.spawn(host, 0, Box::pin(task));
        self.core.note(Some(host), "spawn", [id, u64::MAX], None);
    }

    /// Starts a task on the thread of a runtime, in its process.
    pub fn spawn_on(&self, rt: &SimRuntime, task: impl Future<Output = ()> + 'static) {
        rt.spawn(TaskClass::Latency, task);
    }

    // ---- running

    /// Runs until `future` is done. It belongs to no host, so no crash ends it, and needs not be `'static`.
    ///
    /// Panics with the seed, the last events and the replay hint when nothing can ever happen again, or when a budget of
    /// [`SimOptions`] is used up.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.core.block_on(future)
    }

    /// Runs until `condition` holds, which is looked at after each poll. Gives up and returns false after `within` of
    /// virtual time, or as soon as nothing can ever happen again.
    pub fn run_until(&self, mut condition: impl FnMut() -> bool, within: Duration) -> bool {
        let deadline_us = self.core.now_us() + micros(within);
        let stop = self.core.run_tasks(&mut condition, Some(deadline_us));
        stop == Stop::Done || condition()
    }

    /// Runs for `duration` of virtual time.
    pub fn run_for(&self, duration: Duration) {
        let deadline_us = self.core.now_us() + micros(duration);
        self.core.run_tasks(&mut || false, Some(deadline_us));
    }

    /// Runs until nothing can ever happen again. Does not end where something happens periodically.
    pub fn run_until_idle(&self) {
        self.core.run_tasks(&mut || false, None);
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> MonoUs {
        self.core.now()
    }

    /// Polls of tasks so far.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.core.executor.polls()
    }

    /// Polls of one host's tasks so far: what [`Sim::kill_after_polls`] counts in.
    #[must_use]
    pub fn host_polls(&self, host: HostId) -> u64 {
        self.core.hosts.borrow()[host.index()].polls
    }

    // ---- trace

    /// The hash over everything that happened and was drawn so far. Equal for equal runs.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.core.trace_hash()
    }

    /// How many events there were.
    #[must_use]
    pub fn trace_count(&self) -> u64 {
        self.core.trace.borrow().count()
    }

    /// The last events, oldest first.
    #[must_use]
    pub fn trace_tail(&self) -> Vec<String> {
        self.core.trace.borrow().tail()
    }

    /// Adds an event of the workload's own to the trace.
    pub fn note(&self, text: &str) {
        self.core.note(None, "note", [0; 2], Some(&text.into()));
    }

    // ---- crashes

    /// Kills the process on a host. Its tasks are dropped; disk operations under way may still take effect; its
    /// connections end. The host is up again at once: [`Sim::runtime`] gives the next process.
    pub fn kill(&self, host: HostId) {
        self.core.crash(host, Crash::Kill);
    }

    /// Cuts a host's power: as [`Sim::kill`], and of what was not synced, some is lost or torn. Peers of its connections
    /// hear nothing for a while.
    pub fn power_loss(&self, host: HostId) {
        self.core.crash(host, Crash::PowerLoss);
    }

    /// Kills a host's process right after the `polls`-th poll of its tasks from now (at least the first).
    pub fn kill_after_polls(&self, host: HostId, polls: u64) {
        self.core.hosts.borrow_mut()[host.index()].fuse = Some((polls, Crash::Kill));
    }

    /// Cuts a host's power right after the `polls`-th poll of its tasks from now (at least the first).
    pub fn power_loss_after_polls(&self, host: HostId, polls: u64) {
        self.core.hosts.borrow_mut()[host.index()].fuse = Some((polls, Crash::PowerLoss));
    }

    /// Kills a host's process after a time, whatever it does then.
    pub fn kill_after(&self, host: HostId, after: Duration) {
        self.core.schedule(micros(after), Due::Crash(host, Crash::Kill));
    }

    /// Cuts a host's power after a time, whatever it does then.
    pub fn power_loss_after(&self, host: HostId, after: Duration) {
        self.core.schedule(micros(after), Due::Crash(host, Crash::PowerLoss));
    }

    /// Lets one thread of a host's process stand still for a while, as one does that the kernel gives no time to. What it
    /// had asked the disk and the network for goes on. One that stands still already is left alone.
    pub fn stall(&self, host: HostId, thread: u16, lasts: Duration) {
        if self.core.executor.stall(host, thread) {
            self.core.note(Some(host), "thread stalls", [thread.into(), micros(lasts)], None);
            self.core.schedule(micros(lasts), Due::Resume(host, thread));
        }
    }

    // ---- clocks

    /// Moves a host's wall clock. Monotonic time is not touched.
    pub fn jump_wall(&self, host: HostId, delta_us: i64) {
        self.core.note(Some(host), "wall clock jumps", [delta_us.cast_unsigned(), 0], None);
        self.core.hosts.borrow_mut()[host.index()].wall_offset_us += delta_us;
    }

    // ---- seeded bugs

    /// Has the processes of a host leave out a step of the code from now on.
    pub fn leave_out(&self, host: HostId, step: Step) {
        self.core.hosts.borrow_mut()[host.index()].left_out.push(step);
    }

    // ---- disks

    /// Changes sizes, times and chances of faults of a host's disk, from the next operation on.
    pub fn set_disk(&self, host: HostId, options: DiskOptions) {
        self.core.disk(host).borrow_mut().options = options;
    }

    /// Changes how much a host's disk holds.
    pub fn set_disk_capacity(&self, host: HostId, bytes: u64) {
        self.core.disk(host).borrow_mut().options.capacity_bytes = bytes;
    }

    /// Bytes in use on a host's disk.
    #[must_use]
    pub fn disk_used(&self, host: HostId) -> u64 {
        let space = self.core.disk(host).borrow().disk_space();
        space.total_bytes.saturating_sub(space.free_bytes)
    }

    /// Changes the chances of faults of a host's disk, from the next operation on.
    pub fn set_disk_faults(&self, host: HostId, faults: DiskFaults) {
        self.core.disk(host).borrow_mut().options.faults = faults;
    }

    /// Aims a fault at coming operations. Several may be aimed; the first that matches counts.
    pub fn inject(&self, host: HostId, injection: Injection) {
        self.core.disk(host).borrow_mut().injections.push(injection);
    }

    /// Takes all aimed faults back.
    pub fn clear_injections(&self, host: HostId) {
        self.core.disk(host).borrow_mut().injections.clear();
    }

    /// Lets a host's hung operations end, each after an ordinary time.
    pub fn release_hung(&self, host: HostId) {
        let disk = self.core.disk(host);
        let mut disk = disk.borrow_mut();
        for number in disk.release_hung() {
            let span = disk.options.write_us;
            let takes_us = disk.rng.within(span);
            self.core.schedule(takes_us, Due::Disk(host, number));
        }
    }

    /// What crashes and faults did to a host's disk so far.
    #[must_use]
    pub fn disk_stats(&self, host: HostId) -> DiskStats {
        self.core.disk(host).borrow().stats
    }

    /// Inverts one stored bit of a file, durably. Nothing happens where nothing was ever written.
    pub fn flip_bit(&self, host: HostId, path: impl AsRef<Path>, byte: u64, bit: u8) -> io::Result<()> {
        assert!(bit < 8, "a byte has bits 0 to 7");
        let disk = self.core.disk(host);
        let file = file_at(&disk.borrow().root, path.as_ref())?;
        file.state.borrow_mut().flip(byte, bit);
        self.core.note(Some(host), "bit flips", [byte, u64::from(bit)], None);
        Ok(())
    }

    /// The contents of a file as they can be read now, synced or not.
    pub fn read_file(&self, host: HostId, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let disk = self.core.disk(host);
        let file = file_at(&disk.borrow().root, path.as_ref())?;
        let state = file.state.borrow();
        Ok(state.visible().read(0, usize::try_from(state.visible().len()).expect("fits the address space")))
    }

    /// Stores a durable file, and the directories it needs, at once. Replaces what was there.
    pub fn write_file(&self, host: HostId, path: impl AsRef<Path>, contents: &[u8]) -> io::Result<()> {
        self.core.disk(host).borrow_mut().put(path.as_ref(), contents)
    }

    /// Creates a durable directory, and those above it, at once.
    pub fn create_dir_all(&self, host: HostId, path: impl AsRef<Path>) -> io::Result<()> {
        self.core.disk(host).borrow_mut().put_dir(path.as_ref())
    }

    /// Paths and lengths of all files that can be seen now, in order.
    #[must_use]
    pub fn files(&self, host: HostId) -> Vec<(String, u64)> {
        let root = Rc::clone(&self.core.disk(host).borrow().root);
        let mut files = Vec::new();
        root.visit("", &mut |path, file| files.push((path.to_owned(), file.state.borrow().visible().len())));
        files
    }

    // ---- network

    /// Changes the network, from the next segment on.
    pub fn set_net(&self, options: NetOptions) {
        self.core.net.borrow_mut().options = options;
    }

    /// Resets each connection of a host with that chance, at both ends. Returns how many.
    pub fn cut_connections(&self, host: HostId, chance: Chance) -> usize {
        self.core.with_net(|net, wakers| net.cut(&self.core, host, chance, wakers))
    }

    /// Stops all traffic between two hosts for a while.
    pub fn partition_for(&self, a: HostId, b: HostId, lasts: Duration) {
        self.partition(a, b, true);
        self.core.schedule(micros(lasts), Due::Heal(a, b));
    }

    /// Stops all traffic between two hosts, or lets it flow again. What was under way arrives then.
    pub fn partition(&self, a: HostId, b: HostId, on: bool) {
        self.core.note(Some(a), "partition", [u64::from(b.0), u64::from(on)], None);
        self.core.net.borrow_mut().partition(&self.core, a, b, on);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a simulation lasts less than 584,000 years")
}
