//! A node on a simulated machine: started, stopped, killed, and vexed while it runs.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::troubles::{Stirrer, Tally, Troubles};
use crate::catalog::Settings;
use crate::engine::env::Tuning;
use crate::runtime::local::Notify;
use crate::server::node::{DiskLimit, DiskLimits, Options, Report, Supervisor, seeds};
use crate::sim::{HostId, Sim, SimRuntime};

/// A start and a stop take this long at most, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// A start whose disk hangs is helped after this time, in virtual time: several in a row are over before clients give up.
const HUNG_START: Duration = Duration::from_secs(10);

/// Once the troubles are over, a client is served within this time, in virtual time.
const PROGRESS: Duration = Duration::from_secs(30);

/// Where the node listens; its workers have the ports after it.
const PORT: u16 = 7000;

/// A machine with a node, or the data of one.
pub(super) struct Machine {
    sim: Sim,
    /// Its host.
    pub(super) host: HostId,
    tuning: Tuning,
    stirrer: Stirrer,
    life: Rc<Life>,
}

/// One process after the other.
#[derive(Default)]
struct Life {
    is_ready: Cell<bool>,
    is_to_stop: Cell<bool>,
    stopping: Notify,
    workers: Cell<u16>,
    workers_left: Cell<u16>,
    /// The disk errs while the node starts: it may give up, and so may shards.
    may_fail: Cell<bool>,
    has_failed: Cell<bool>,
    /// Its files were spoilt: the node may say so, in whatever way.
    may_be_damaged: Cell<bool>,
    /// Shards that the start found damaged, or could not open.
    quarantined: Cell<usize>,
    /// Why workers gave up.
    errors: RefCell<Vec<String>>,
    addrs: RefCell<Vec<SocketAddr>>,
}

/// Told by worker 0 that the node is ready; tells every worker when to stop.
struct Boss(Rc<Life>);

impl Supervisor for Boss {
    fn ready(&self, report: &Report) {
        let failed = &report.opened.failed;
        let quarantined = &report.opened.quarantined;
        let is_damaged = self.0.may_be_damaged.get();
        assert!(failed.is_empty() || self.0.may_fail.get() || is_damaged, "shards that do not open: {failed:?}");
        assert!(quarantined.is_empty() || is_damaged, "quarantined by a crash: {quarantined:?}");
        self.0.quarantined.set(failed.len() + quarantined.len());
        let mut addrs = report.direct.clone();
        addrs.push(report.listen);
        self.0.addrs.replace(addrs);
        self.0.is_ready.set(true);
    }

    async fn stop(&self) {
        self.0.stopping.until(|| self.0.is_to_stop.get().then_some(())).await;
    }
}

impl Machine {
    /// A machine with an empty disk, and what goes wrong with it.
    pub(super) fn new(sim: &Sim, tuning: Tuning, troubles: Troubles) -> Self {
        let host = sim.host("node");
        Self { sim: sim.clone(), host, tuning, stirrer: Stirrer::new(sim, host, troubles), life: Rc::default() }
    }

    /// Where clients find the node.
    pub(super) fn addr(&self) -> SocketAddr {
        (self.sim.ip(self.host), PORT).into()
    }

    /// Where the node and each of its workers said that they listen; empty before the first start.
    pub(super) fn addrs(&self) -> Vec<SocketAddr> {
        self.life.addrs.borrow().clone()
    }

    /// Workers of the last process.
    pub(super) fn workers(&self) -> u16 {
        self.life.workers.get()
    }

    /// Starts the node's process.
    pub(super) fn start(&self, workers: u16) -> SimRuntime {
        let limit = DiskLimit::Bytes(0);
        let options = Options {
            data: PathBuf::from("/data"),
            listen: self.addr(),
            direct_ports: (1..=workers).map(|n| PORT + n).collect(),
            token: None,
            stream_defaults: Settings::default(),
            disk: DiskLimits { warn: limit, slow: limit, refuse: limit },
            tuning: self.tuning,
            #[cfg(feature = "kinesis")]
            kinesis: None,
        };
        let life = &self.life;
        life.is_ready.set(false);
        life.is_to_stop.set(false);
        life.has_failed.set(false);
        life.workers.set(workers);
        life.workers_left.set(workers);
        self.stirrer.end();
        life.may_fail.set(self.stirrer.begins_with_start());
        if life.may_fail.get() {
            self.stirrer.begin();
        }
        let rt = self.sim.runtime(self.host);
        for seed in seeds::<SimRuntime>(&options, workers) {
            let (life, rt) = (Rc::clone(life), rt.on_thread(seed.id.0));
            self.sim.spawn_on(&rt.clone(), async move {
                let ended = seed.run(rt, Boss(Rc::clone(&life))).await;
                if let Err(error) = ended {
                    assert!(life.may_fail.get() || life.may_be_damaged.get(), "a worker ended with {error:?}");
                    life.has_failed.set(true);
                    life.errors.borrow_mut().push(error.to_string());
                }
                life.workers_left.set(life.workers_left.get() - 1);
            });
        }
        rt
    }

    /// Starts the node and waits for it, without troubles.
    pub(super) fn start_and_wait(&self, workers: u16) -> SimRuntime {
        let rt = self.start(workers);
        self.stirrer.end();
        self.life.may_fail.set(false);
        assert!(self.sim.run_until(|| self.is_ready(), PATIENCE), "the node does not start");
        rt
    }

    /// Whether the node takes requests.
    pub(super) fn is_ready(&self) -> bool {
        self.life.is_ready.get()
    }

    /// Lets time go on until the node is ready; fine if it crashes meanwhile, or gives up where that may be. The troubles
    /// begin then.
    pub(super) fn wait(&self, rt: &SimRuntime) {
        let life = &self.life;
        let is_over = || life.is_ready.get() || life.has_failed.get() || !rt.is_alive();
        // An operation that hangs keeps it from starting.
        if life.may_fail.get() && !self.sim.run_until(is_over, HUNG_START) {
            self.stirrer.end();
        }
        assert!(self.sim.run_until(is_over, PATIENCE), "the node does not start");
        if life.has_failed.get() && rt.is_alive() {
            self.stirrer.note_failed_start();
            self.sim.kill(self.host);
        }
        self.stirrer.begin();
    }

    /// Something may go wrong now with the machine, or between it and the hosts of clients.
    pub(super) fn stir(&self, clients: &[HostId]) {
        self.stirrer.stir(self.life.workers.get(), clients);
    }

    /// What went wrong so far.
    pub(super) fn tally(&self) -> Tally {
        self.stirrer.tally()
    }

    /// A client of its own asks for something from the process `rt`, and has it within bounded time; fine if the process crashes
    /// meanwhile. Whether the client came to its end.
    pub(super) fn serves(&self, rt: &SimRuntime, ask: impl AsyncFnOnce(SimRuntime) + 'static) -> bool {
        let (client, done) = (self.sim.runtime(self.sim.host("probe")), Rc::new(Cell::new(false)));
        let (is_done, process) = (Rc::clone(&done), client.clone());
        self.sim.spawn_on(&client, async move {
            ask(process).await;
            is_done.set(true);
        });
        let went_on = self.sim.run_until(|| done.get() || !rt.is_alive(), PROGRESS);
        assert!(went_on, "the troubles are over, and what is asked for takes longer than {PROGRESS:?}");
        self.sim.kill(client.host());
        done.get()
    }

    /// Nothing goes wrong any more.
    pub(super) fn end_troubles(&self) {
        self.stirrer.end();
    }

    /// Whether a disk operation may fail.
    pub(super) fn is_disk_bad(&self) -> bool {
        self.stirrer.is_disk_bad()
    }

    /// Whether all shards were open when the node was ready.
    pub(super) fn is_whole(&self) -> bool {
        !self.life.may_fail.get()
    }

    /// From now on the node may find that its files were spoilt.
    pub(super) fn expect_damage(&self) {
        self.life.may_be_damaged.set(true);
    }

    /// Whether a worker gave up.
    pub(super) fn has_failed(&self) -> bool {
        self.life.has_failed.get()
    }

    /// Whether every worker has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.life.workers_left.get() == 0
    }

    /// Why workers gave up.
    pub(super) fn errors(&self) -> Vec<String> {
        self.life.errors.borrow().clone()
    }

    /// Shards that the start found damaged, or could not open.
    pub(super) fn quarantined(&self) -> usize {
        self.life.quarantined.get()
    }

    /// Whether the last process was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.life.is_to_stop.get()
    }

    /// Stops the node; fine if it crashes meanwhile. Ends the troubles.
    pub(super) fn stop(&self, rt: &SimRuntime) {
        self.stirrer.end();
        self.life.is_to_stop.set(true);
        self.life.stopping.notify();
        let stopped = self.sim.run_until(|| self.life.workers_left.get() == 0 || !rt.is_alive(), PATIENCE);
        assert!(stopped, "the node does not stop: {} workers go on", self.life.workers_left.get());
    }
}
