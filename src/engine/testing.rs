//! What tests of the engine share: one simulated machine with a data directory, and logs on it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::engine::data_dir::{self, DataDir};
use crate::engine::env::{Env, Tuning};
use crate::engine::log::{Ack, AckSink, AppendError, Log, OutcomeUnknown, Receipt};
use crate::engine::read::ReadError;
use crate::engine::recover::{self, Report};
use crate::engine::whole_file;
use crate::format::frame::Frame;
use crate::format::{names, record};
use crate::log::gather::Batch;
use crate::runtime::local::{Fill, one_shot};
use crate::runtime::{Reactor, Runtime};
use crate::shard::admission::PutRefusal;
use crate::sim::{HostId, Sim, SimOptions, SimRuntime};
use crate::types::{Durability, GroupId, Offset, ProducerId, ProducerStamp, WallUs, WorkerId};

/// The shard that tests write to.
pub const GROUP: GroupId = GroupId(16);

/// A simulated machine with a data directory at `/data`.
pub struct Machine {
    pub sim: Sim,
    pub host: HostId,
}

/// A node on it that has opened the directory, with one log.
pub struct Node {
    pub rt: SimRuntime,
    pub env: Rc<Env<SimRuntime>>,
    pub log: Rc<Log<SimRuntime>>,
    pub report: Report,
    _data: DataDir<SimRuntime>,
}

struct Waiter(RefCell<Option<Fill<Result<Receipt, OutcomeUnknown>>>>);

impl AckSink for Waiter {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        if let Some(fill) = self.0.take() {
            fill.fill(outcome);
        }
    }
}

impl Machine {
    pub fn new(seed: u64) -> Self {
        let sim = Sim::new(seed, SimOptions::default());
        let host = sim.host("node");
        Self { sim, host }
    }

    /// The path of a file of the log.
    pub fn path(&self, name: &str) -> PathBuf {
        log_dir().join(name)
    }

    /// Opens the directory and the log, creating them if need be.
    pub fn start(&self) -> Node {
        let rt = self.sim.runtime(self.host);
        self.sim.block_on(async {
            let data = data_dir::open(&rt, "/data".as_ref()).await.expect("the directory opens");
            let env = Env::new(rt.clone(), WorkerId(0), data.path.clone(), data.node.term, Tuning::default());
            whole_file::create_dir(&rt, &log_dir()).await.expect("the disk works");
            let (found, report) = recover::recover(&env, GROUP, &log_dir()).await.expect("the log opens");
            let log = Log::new(Rc::clone(&env), log_dir(), found, Durability::Fsync);
            Node { rt, env, log, report, _data: data }
        })
    }

    /// Ends the process without a word, and what it was doing.
    pub fn kill(&self, node: Node) {
        drop(node);
        self.sim.kill(self.host);
    }

    /// Stops the node as an operator would.
    pub fn stop(&self, node: Node) {
        self.sim.block_on(node.log.stop());
        // Indexes of sealed segments may still be on their way.
        self.sim.run_for(Duration::from_secs(1));
        self.kill(node);
    }

    /// The bytes of one of the log's files.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.sim.read_file(self.host, self.path(name)).expect("the file is there")
    }

    /// Stores one of the log's files.
    pub fn set_bytes(&self, name: &str, bytes: &[u8]) {
        self.sim.write_file(self.host, self.path(name), bytes).expect("the disk works");
    }

    /// Turns a bit over.
    pub fn flip(&self, name: &str, at: u64) {
        self.sim.flip_bit(self.host, self.path(name), at, 3).expect("the file is there");
    }

    /// Cuts one of the log's files short.
    pub fn cut(&self, name: &str, len: u64) {
        self.sim.set_len(self.host, self.path(name), len).expect("the file is there");
    }

    /// Removes one of the log's files.
    pub fn remove(&self, name: &str) {
        let rt = self.sim.runtime(self.host);
        self.sim.block_on(async {
            rt.remove(&self.path(name)).await.expect("the file is there");
            rt.sync_dir(&log_dir()).await.expect("the disk works");
        });
    }

    /// Names of the log's files, in order.
    pub fn names(&self) -> Vec<String> {
        let dir = format!("{}/", log_dir().display());
        let files = self.sim.files(self.host).into_iter();
        files.filter_map(|(path, _)| path.strip_prefix(&dir).map(str::to_owned)).collect()
    }
}

impl Node {
    /// The log recovered in the process that saw it die.
    pub async fn recover(&self) -> (Rc<Log<SimRuntime>>, Report) {
        self.log.leave().await;
        let (found, report) = recover::recover(&self.env, GROUP, &log_dir()).await.expect("the log opens");
        (Log::new(Rc::clone(&self.env), log_dir(), found, Durability::Fsync), report)
    }

    /// Puts one record of `len` bytes that can be told from others, as a batch of its own, and waits for the answer.
    pub async fn put(&self, number: u64, len: usize) -> Receipt {
        self.put_stamped(number, len, None).await
    }

    /// As [`Node::put`], with the stamp of a producer.
    pub async fn put_stamped(&self, number: u64, len: usize, seq: Option<u32>) -> Receipt {
        self.try_put(number, len, seq).await.expect("the log takes puts")
    }

    /// The stamp of batch `seq`.
    pub const fn stamp(seq: u32) -> ProducerStamp {
        ProducerStamp { id: ProducerId(77), epoch: 1, seq }
    }

    /// As [`Node::put_stamped`], by a log that may refuse it.
    pub async fn try_put(&self, number: u64, len: usize, seq: Option<u32>) -> Result<Receipt, AppendError> {
        self.log.room(record::encoded_bytes(3, len)).await.map_err(AppendError::Refused)?;
        self.append(number, len, seq).await
    }

    /// As [`Node::try_put`], without waiting for room.
    pub async fn append(&self, number: u64, len: usize, seq: Option<u32>) -> Result<Receipt, AppendError> {
        let mut body = Vec::new();
        record::encode("key", &data(number, len), &mut body);
        let (fill, answer) = one_shot();
        let batch = Batch {
            body: &body,
            body_crc: crc32fast::hash(&body),
            record_count: 1,
            producer: seq.map(Self::stamp),
            arrival: self.rt.wall(),
        };
        let sink: Rc<dyn AckSink> = Rc::new(Waiter(RefCell::new(Some(fill))));
        self.log.append(&batch, Ack { sink, token: 0 })?;
        answer.wait().await.expect("the log answers").map_err(|OutcomeUnknown| AppendError::Refused(PutRefusal::Dead))
    }

    /// All records from `from` on, by number.
    pub async fn read_all(&self, from: Offset) -> Result<Vec<u64>, ReadError> {
        let mut out = Vec::new();
        let mut at = from;
        loop {
            let frames = self.log.read(at, 1 << 20, WallUs(0)).await?;
            if frames.slices.is_empty() {
                return Ok(out);
            }
            for slice in &frames.slices {
                let mut rest: &[u8] = slice;
                while !rest.is_empty() {
                    let (frame, after) = Frame::split(rest).expect("readers get intact frames");
                    for record in record::Records::new(frame.body) {
                        let data = record.expect("readers get intact records").data;
                        out.push(u64::from_le_bytes(data[..8].try_into().expect("eight bytes")));
                    }
                    rest = after;
                }
            }
            at = frames.next;
        }
    }
}

/// The directory of the log.
pub fn log_dir() -> PathBuf {
    names::shard_dir("/data".as_ref(), GROUP)
}

/// The data of record `number`: nowhere a block of zeros, nowhere like that of another record.
pub fn data(number: u64, len: usize) -> Vec<u8> {
    let mut out: Vec<u8> = (0..len as u64).map(|at| (number.wrapping_mul(31) + at * 7 + 1) as u8 | 1).collect();
    out[..8].copy_from_slice(&number.to_le_bytes());
    out
}
