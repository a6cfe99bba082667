//! The data directory that is spoilt, and what a node on it has to serve.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::catalog::Settings;
use crate::engine::env::Tuning;
use crate::engine::inspect::Inspector;
use crate::format::frame::{FrameHeader, Kind};
use crate::format::record;
use crate::format::segment::FRAMES_AT;
use crate::format::{block_up, names};
use crate::protocol::messages::{CreateStream, DescribeStream, Expect, Put, SettingsChange, ShardFilter, StorePut};
use crate::runtime::Reactor;
use crate::runtime::local::Notify;
use crate::server::node::{DiskLimit, DiskLimits, Options, Report, Supervisor, seeds};
use crate::sim::workload::native::Connection;
use crate::sim::{HostId, Sim, SimRuntime};
use crate::types::{GroupId, ShardNumber};

/// Where the node keeps its data.
pub(super) const DATA: &str = "/data";

/// Where it listens.
const PORT: u16 = 7_000;

/// How the node ended before its files were spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was stopped.
    Stopped,
    /// It was killed, when it had had nothing to do for a while.
    Killed,
}

/// A data directory.
pub struct Image {
    pub(super) sim: Sim,
    pub(super) host: HostId,
    /// Every shard with its records, by offset.
    pub(super) shards: Vec<Shard>,
    /// Stored values of the space "app".
    pub(super) values: BTreeMap<String, Vec<u8>>,
    /// Where the batch lies that was lost before: the file, and its bytes up to the next flush.
    pub(super) lost_at: Option<(String, std::ops::Range<u64>)>,
    /// How the node ended.
    pub(super) ending: Ending,
}

/// A shard and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) stream: &'static str,
    pub(super) number: ShardNumber,
    pub(super) group: GroupId,
    pub(super) records: Vec<(String, Vec<u8>)>,
    /// Offsets lost before anything was spoilt, and accepted.
    pub(super) lost: Vec<std::ops::Range<u64>>,
}

/// A node's process.
pub(super) struct Running {
    sim: Sim,
    life: Rc<Life>,
    pub(super) addr: SocketAddr,
    pub(super) report: Report,
}

#[derive(Default)]
struct Life {
    ready: RefCell<Option<Report>>,
    failed: RefCell<Option<String>>,
    is_to_stop: Cell<bool>,
    is_over: Cell<bool>,
    stopping: Notify,
}

struct Boss(Rc<Life>);

impl Supervisor for Boss {
    fn ready(&self, report: &Report) {
        *self.0.ready.borrow_mut() = Some(report.clone());
    }

    async fn stop(&self) {
        self.0.stopping.until(|| self.0.is_to_stop.get().then_some(())).await;
    }
}

/// Starts a node; gives it once it is ready, or why it is not.
pub(super) fn start(sim: &Sim, host: HostId) -> Result<Running, String> {
    let limit = DiskLimit::Bytes(0);
    let addr = (sim.ip(host), PORT).into();
    let options = Options {
        data: DATA.into(),
        listen: addr,
        direct_ports: Vec::new(),
        token: None,
        stream_defaults: Settings::default(),
        disk: DiskLimits { warn: limit, slow: limit, refuse: limit },
        tuning: Tuning { tail_bytes_max: 0, ..Tuning::default() },
        #[cfg(feature = "kinesis")]
        kinesis: None,
    };
    let life: Rc<Life> = Rc::default();
    for seed in seeds::<SimRuntime>(&options, 1) {
        let (rt, life) = (sim.runtime(host), Rc::clone(&life));
        sim.spawn(host, async move {
            if let Err(error) = seed.run(rt, Boss(Rc::clone(&life))).await {
                *life.failed.borrow_mut() = Some(error.to_string());
            }
            life.is_over.set(true);
        });
    }
    let began = sim.run_until(|| life.ready.borrow().is_some() || life.is_over.get(), Duration::from_secs(300));
    assert!(began, "the node neither starts nor says why not");
    if let Some(error) = life.failed.take() {
        return Err(error);
    }
    let report = life.ready.take().expect("it is ready");
    Ok(Running { sim: sim.clone(), life, addr, report })
}

impl Running {
    /// Stops it, as an operator would.
    pub(super) fn stop(self) {
        self.life.is_to_stop.set(true);
        self.life.stopping.notify();
        let over = self.sim.run_until(|| self.life.is_over.get(), Duration::from_secs(300));
        assert!(over, "the node does not stop");
        assert_eq!(self.life.failed.take(), None);
    }
}

/// Data of a record: told from others by every byte, nowhere a run of zeros.
pub(super) fn data(salt: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (salt.wrapping_mul(37) + at.wrapping_mul(11) + at / 256) as u8 | 1).collect()
}

/// Puts one batch of records.
pub(super) async fn put(
    connection: &mut Connection,
    group: GroupId,
    records: &[(String, Vec<u8>)],
) -> Result<u64, String> {
    let mut body = Vec::new();
    records.iter().for_each(|(key, data)| record::encode(key, data, &mut body));
    let record_count = u32::try_from(records.len()).expect("batches are small");
    let number = connection.send(&Put { group, producer: None, record_count }, &body).await.expect("it is connected");
    let message = connection.receive(number).await.expect("it is connected");
    let answer = message.answer::<Put>().expect("the answer is well-formed");
    answer.map(|answer| answer.base_offset.0).map_err(|error| error.message.into_owned())
}

/// Batches, each as the lengths of its records.
type Batches = &'static [&'static [usize]];

/// A batch of which eight fill a segment.
const LARGE: &[usize] = &[130_000];

/// The batches that are put to each shard, by stream: before the restart and after it.
const BATCHES: [(&str, u32, Batches, Batches); 4] = [
    // Small batches in two shards.
    ("alpha", 2, &[&[40], &[300, 20]], &[&[90, 10, 700]]),
    // Two segments and an index.
    ("beta", 1, &[LARGE; 9], &[&[50]]),
    // One that has lost a batch before, and whose operator has accepted it.
    ("gamma", 1, &[&[100], &[200], &[60]], &[&[70]]),
    // One that is made after the restart.
    ("delta", 1, &[], &[&[10, 200]]),
];

impl Image {
    /// Fills a node and ends it.
    pub fn new(ending: Ending) -> Self {
        let sim = Sim::new(11, crate::sim::workload::options("rot", 11));
        let (host, peer) = (sim.host("node"), sim.host("client"));
        let mut this = Self { sim, host, shards: Vec::new(), values: BTreeMap::new(), lost_at: None, ending };
        this.fill(peer, false);
        this.lose_a_batch();
        this.fill(peer, true);
        this
    }

    /// One process of the node: before the restart, or after it.
    fn fill(&mut self, peer: HostId, again: bool) {
        let sim = self.sim.clone();
        let running = start(&sim, self.host).expect("nothing is spoilt yet");
        let rt = sim.runtime(peer);
        sim.block_on(async {
            let mut connection = Connection::open(&rt, running.addr).await.expect("the node listens");
            for (stream, shards, before, after) in BATCHES {
                if again == before.is_empty() {
                    self.create(&mut connection, stream, shards).await;
                }
                let batches = if again { after } else { before };
                for shard in self.shards.iter_mut().filter(|shard| shard.stream == stream) {
                    for lens in batches {
                        let at = shard.records.len() as u64;
                        let record =
                            |(n, len): (u64, &usize)| (format!("key-{}", at + n), data(at + n + shard.group.0, *len));
                        let records: Vec<_> = (0..).zip(*lens).map(record).collect();
                        assert_eq!(put(&mut connection, shard.group, &records).await, Ok(at));
                        shard.records.extend(records);
                        // Slowly, so that segments stay at their smallest.
                        rt.sleep(Duration::from_secs(10)).await;
                    }
                }
            }
            let keys = if again { ["one", "three"] } else { ["one", "two"] };
            for key in keys {
                let value = format!("{key} {again}").into_bytes();
                let put = StorePut { space: "app", key, value: &value, expect: Expect::Any, token: None };
                let number = connection.send(&put, &[]).await.expect("it is connected");
                let message = connection.receive(number).await.expect("it is connected");
                message.answer::<StorePut<'_>>().expect("well-formed").expect("it is stored");
                self.values.insert(key.to_owned(), value);
            }
        });
        if again && self.ending == Ending::Killed {
            sim.run_for(Duration::from_secs(30));
            sim.kill(self.host);
        } else {
            running.stop();
            sim.kill(self.host);
        }
    }

    async fn create(&mut self, connection: &mut Connection, stream: &'static str, shards: u32) {
        let create = CreateStream { name: stream, shards, settings: SettingsChange::default() };
        let number = connection.send(&create, &[]).await.expect("it is connected");
        let message = connection.receive(number).await.expect("it is connected");
        message.answer::<CreateStream<'_>>().expect("well-formed").expect("it is created");
        for (number, group) in describe(connection, stream).await.expect("it was created") {
            self.shards.push(Shard { stream, number, group, records: Vec::new(), lost: Vec::new() });
        }
    }

    /// Spoils the second batch of the stream "gamma", and accepts that.
    fn lose_a_batch(&mut self) {
        let shard = self.shards.iter_mut().find(|shard| shard.stream == "gamma").expect("it was created");
        let path = names::shard_dir(Path::new(DATA), shard.group).join(names::segment(0));
        let file = self.sim.read_file(self.host, &path).expect("it was written to");
        let second = frames(&file).into_iter().filter(|(_, header)| header.kind == Kind::Data).nth(1);
        let (pos, header) = second.expect("three batches were put");
        shard.lost.push(header.base_offset.0..header.end_offset().0);
        let end = block_up(pos + header.frame_bytes() as u64);
        self.lost_at = Some((path.display().to_string(), pos..end));
        self.sim.flip_bit(self.host, &path, pos + 150, 2).expect("it is there");
        let rt = self.sim.runtime(self.host);
        self.sim.block_on(async {
            let inspector = Inspector::open(rt, Path::new(DATA)).await.expect("nobody holds it");
            let remedies = inspector.remedies().await.expect("it can be looked at");
            assert_eq!(remedies.len(), 1, "{remedies:?}");
            inspector.apply(&remedies[0]).await.expect("the disk works");
        });
        self.sim.kill(self.host);
    }
}

/// The shards of a stream, or why the node does not say.
pub(super) async fn describe(connection: &mut Connection, name: &str) -> Result<Vec<(ShardNumber, GroupId)>, String> {
    let describe = DescribeStream { name, from_shard: ShardNumber(0), limit: 100, filter: ShardFilter::All };
    let number = connection.send(&describe, &[]).await.expect("it is connected");
    let message = connection.receive(number).await.expect("it is connected");
    let answer = message.answer::<DescribeStream<'_>>().expect("well-formed");
    answer
        .map(|answer| answer.shards.iter().map(|shard| (shard.number, shard.group)).collect())
        .map_err(|error| error.message.into_owned())
}

/// The frames of a segment, with their positions, as far as they follow each other by their lengths.
pub(super) fn frames(file: &[u8]) -> Vec<(u64, FrameHeader)> {
    let mut out = Vec::new();
    let mut pos = FRAMES_AT as usize;
    while let Some(Ok(header)) = file.get(pos..).map(FrameHeader::decode) {
        out.push((pos as u64, header));
        pos += header.frame_bytes();
    }
    out
}
