//! `millstream-instructions LOAD COUNT`: a node and a client on the simulator, so many operations, the end.
//!
//! Everything that the simulator decides by chance is fixed, so that two operations of a kind differ as little as they can, and
//! two runs do not differ at all.

use std::cell::Cell;
use std::process::ExitCode;

use millstream::runtime::local::{Fill, one_shot};
use millstream::runtime::{Reactor, TaskClass};
use millstream::server::node::{Report, Supervisor, seeds};
use millstream::sim::{Chance, DiskOptions, NetOptions, Scheduling, Sim, SimOptions, SimRuntime, Span};
use millstream_gates::load::{Addresses, Client, Load};
use millstream_gates::node;
use millstream_gates::watched::Watched;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A machine without chance.
fn machine() -> SimOptions {
    SimOptions {
        scheduling: Scheduling::Fifo,
        timer_late_us_max: 0,
        polls_max: u64::MAX,
        trace_tail: 0,
        disk: DiskOptions {
            read_us: Span::us(50, 50),
            write_us: Span::us(50, 50),
            sync_us: Span::us(200, 200),
            name_us: Span::us(20, 20),
            ..DiskOptions::default()
        },
        net: NetOptions {
            latency_us: Span::us(50, 50),
            loopback_us: Span::us(10, 10),
            buffer_bytes: 1 << 20,
            split: Chance::NEVER,
            short_read: Chance::NEVER,
            delay: Chance::NEVER,
            ..NetOptions::default()
        },
        ..SimOptions::default()
    }
}

/// Is told once that the node is ready.
struct Boss(Cell<Option<Fill<()>>>);

impl Supervisor for Boss {
    fn ready(&self, _: &Report) {
        self.0.take().expect("a node gets ready once").fill(());
    }

    async fn stop(&self) {
        std::future::pending().await
    }
}

fn run(load: Load, count: usize) {
    let sim = Sim::new(1, machine());
    let (host, peer) = (sim.host("node"), sim.host("client"));
    sim.create_dir_all(host, "/data").expect("a fresh disk");
    let addresses = Addresses { native: (sim.ip(host), 7_000).into(), kinesis: (sim.ip(host), 4_567).into() };
    let (fill, ready) = one_shot();
    let seed =
        seeds::<Watched<SimRuntime>>(&node::options("/data".into(), addresses, load), 1).pop().expect("a worker");
    let (worker, boss) = (Watched(sim.runtime(host)), Boss(Cell::new(Some(fill))));
    let rt = worker.clone();
    rt.spawn(TaskClass::Latency, async move { seed.run(worker, boss).await.expect("the node runs") });
    let rt = sim.runtime(peer);
    sim.block_on(async {
        ready.wait().await.expect("the node starts");
        let mut client = Client::new(&rt, addresses, load).await;
        client.operate(count).await;
    });
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [load, count] => Load::named(load).zip(count.parse().ok()),
        _ => None,
    };
    let Some((load, count)) = parsed else {
        let names: Vec<_> = Load::ALL.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: millstream-instructions LOAD COUNT, with a LOAD of {}", names.join(", "));
        return ExitCode::from(2);
    };
    run(load, count);
    ExitCode::SUCCESS
}
