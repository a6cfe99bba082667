//! A node on a simulated machine: started, stopped, killed.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::catalog::Settings;
use crate::engine::env::Tuning;
use crate::runtime::local::Notify;
use crate::server::node::{DiskLimit, DiskLimits, Options, Report, Supervisor, seeds};
use crate::sim::{HostId, Sim, SimRuntime};

/// A start and a stop take this long at most, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the node listens; its workers have the ports after it.
const PORT: u16 = 7000;

/// A machine with a node, or the data of one.
pub(super) struct Machine {
    sim: Sim,
    /// Its host.
    pub(super) host: HostId,
    tuning: Tuning,
    life: Rc<Life>,
}

/// One process after the other.
#[derive(Default)]
struct Life {
    is_ready: Cell<bool>,
    is_to_stop: Cell<bool>,
    stopping: Notify,
    workers_left: Cell<u16>,
}

/// Told by worker 0 that the node is ready; tells every worker when to stop.
struct Boss(Rc<Life>);

impl Supervisor for Boss {
    fn ready(&self, report: &Report) {
        assert!(report.opened.failed.is_empty(), "shards that do not open: {:?}", report.opened.failed);
        assert!(report.opened.quarantined.is_empty(), "quarantined by a crash: {:?}", report.opened.quarantined);
        self.0.is_ready.set(true);
    }

    async fn stop(&self) {
        self.0.stopping.until(|| self.0.is_to_stop.get().then_some(())).await;
    }
}

impl Machine {
    /// A machine with an empty disk.
    pub(super) fn new(sim: &Sim, tuning: Tuning) -> Self {
        Self { sim: sim.clone(), host: sim.host("node"), tuning, life: Rc::default() }
    }

    /// Where clients find the node.
    pub(super) fn addr(&self) -> std::net::SocketAddr {
        (self.sim.ip(self.host), PORT).into()
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
        self.life.is_ready.set(false);
        self.life.is_to_stop.set(false);
        self.life.workers_left.set(workers);
        let rt = self.sim.runtime(self.host);
        for seed in seeds::<SimRuntime>(&options, workers) {
            let (life, rt) = (Rc::clone(&self.life), rt.clone());
            self.sim.spawn(self.host, async move {
                let ended = seed.run(rt, Boss(Rc::clone(&life))).await;
                assert!(ended.is_ok(), "a worker ended with {ended:?}");
                life.workers_left.set(life.workers_left.get() - 1);
            });
        }
        rt
    }

    /// Lets time go on until the node is ready; fine if it crashes meanwhile.
    pub(super) fn wait(&self, rt: &SimRuntime) {
        let started = self.sim.run_until(|| self.life.is_ready.get() || !rt.is_alive(), PATIENCE);
        assert!(started, "the node does not start");
    }

    /// Stops the node; fine if it crashes meanwhile.
    pub(super) fn stop(&self, rt: &SimRuntime) {
        self.life.is_to_stop.set(true);
        self.life.stopping.notify();
        let stopped = self.sim.run_until(|| self.life.workers_left.get() == 0 || !rt.is_alive(), PATIENCE);
        assert!(stopped, "the node does not stop: {} workers go on", self.life.workers_left.get());
    }
}
