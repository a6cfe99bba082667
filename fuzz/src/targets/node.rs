//! A whole node in the simulator, for what strangers send to its ports.

use std::cell::RefCell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use millstream::catalog::Settings;
use millstream::engine::env::Tuning;
use millstream::runtime::local::Notify;
use millstream::runtime::{Reactor, ReadHalf, WriteHalf};
use millstream::server::node::{DiskLimit, DiskLimits, KinesisOptions, Options, Report, Supervisor, seeds};
use millstream::sim::{Sim, SimOptions, SimReadHalf, SimRuntime, SimWriteHalf};

/// How long an answer is waited for, in virtual time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node with one worker, ready.
pub struct Node {
    sim: Sim,
    peer: SimRuntime,
    /// Where it takes native connections.
    pub native: SocketAddr,
    /// Where it takes HTTP.
    pub kinesis: SocketAddr,
}

#[derive(Clone, Default)]
struct Boss(Rc<(RefCell<Option<Report>>, Notify)>);

impl Supervisor for Boss {
    fn ready(&self, report: &Report) {
        *self.0.0.borrow_mut() = Some(report.clone());
        self.0.1.notify();
    }

    async fn stop(&self) {
        std::future::pending().await
    }
}

impl Node {
    /// Starts it on an empty disk.
    pub fn start() -> Self {
        let sim = Sim::new(7, SimOptions::default());
        let (host, peer) = (sim.host("node"), sim.host("peer"));
        let limit = DiskLimit::Bytes(0);
        let options = Options {
            data: "/data".into(),
            listen: (sim.ip(host), 7_000).into(),
            direct_ports: Vec::new(),
            token: None,
            stream_defaults: Settings::default(),
            disk: DiskLimits { warn: limit, slow: limit, refuse: limit },
            tuning: Tuning::default(),
            kinesis: Some(KinesisOptions {
                listen: (sim.ip(host), 4_567).into(),
                region: "us-east-1".to_owned(),
                account: "000000000000".to_owned(),
                status_delay_ms: 0,
                keys: None,
                tls: None,
            }),
        };
        let boss = Boss::default();
        for seed in seeds::<SimRuntime>(&options, 1) {
            let (rt, boss) = (sim.runtime(host), boss.clone());
            sim.spawn(host, async move { seed.run(rt, boss).await.expect("the node runs") });
        }
        let report = sim.block_on(boss.0.1.until(|| boss.0.0.borrow().clone()));
        let kinesis = report.kinesis.expect("it is on");
        Self { peer: sim.runtime(peer), sim, native: report.listen, kinesis }
    }

    /// Sends pieces over one connection, a moment apart, and gives what came back until the node closed it or `ends` says so.
    pub fn exchange(&self, addr: SocketAddr, pieces: &[&[u8]], mut ends: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        self.sim.block_on(async {
            let (mut reader, mut writer) = self.peer.connect(addr).await.expect("the node takes connections");
            let mut got = BytesMut::new();
            for piece in pieces {
                if send(&mut writer, piece).await.is_err() {
                    break;
                }
                self.peer.sleep(Duration::from_millis(1)).await;
            }
            let deadline = self.peer.sleep(PATIENCE);
            let all = async {
                while !ends(&got) && receive(&mut reader, &mut got).await {}
                got.to_vec()
            };
            let late = async {
                deadline.await;
                Vec::new()
            };
            futures_lite::future::or(all, late).await
        })
    }

    /// Sends pieces, waits a moment, and hangs up.
    pub fn disturb(&self, addr: SocketAddr, pieces: &[&[u8]]) {
        self.sim.block_on(async {
            let (reader, mut writer) = self.peer.connect(addr).await.expect("the node takes connections");
            for piece in pieces {
                if send(&mut writer, piece).await.is_err() {
                    break;
                }
                self.peer.sleep(Duration::from_millis(1)).await;
            }
            self.peer.sleep(Duration::from_millis(50)).await;
            drop((reader, writer));
        });
    }
}

async fn send(writer: &mut SimWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(&mut [IoSlice::new(bytes)]).await
}

/// Whether something arrived.
async fn receive(reader: &mut SimReadHalf, got: &mut BytesMut) -> bool {
    got.reserve(64 << 10);
    matches!(reader.read(got).await, Ok(len) if len > 0)
}
