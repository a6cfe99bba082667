//! The workload on decay: a whole node is filled and ends, one place of one of its files is spoilt, or was by a write that
//! landed elsewhere, and the node starts again. Then a bit turns over while it runs.
//!
//! The place may be anywhere below the data directory: a segment, an index, the catalogue's log, its snapshots, the node's own
//! file. The checker asks:
//! - no reader is ever handed a wrong byte, nor a record at another offset than the one it was acknowledged at;
//! - damage is said: each acknowledged record is read or lies in what a reader is told to be lost, or its shard is named as
//!   one that does not open; the catalogue is whole, or the node does not start and says why;
//! - damage stays where it is: what was spoilt in one file costs no other shard a record, and no stream or value is gone;
//! - a shard found damaged takes no puts.
//!
//! It does not check how much around the spoilt place is given up ([`super::damage`] does), several places at once, and the
//! last flush and hint before an end that was no stop: without a hint behind it damage cannot be told from a write that never
//! finished. So nothing is spoilt before the logs went quiet.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::machine::Machine;
use super::troubles::Troubles;
use crate::client::{Client, ClientOptions, Expect, SettingsChange, StreamStatus};
use crate::engine::env::Tuning;
use crate::format::frame::Frame;
use crate::format::record::Records;
use crate::limits::BLOCK_BYTES;
use crate::protocol::messages::{Get, Put};
use crate::protocol::{ErrorCode, Message};
use crate::runtime::Reactor;
use crate::sim::prng::Prng;
use crate::sim::workload::contents::{Contents, DATA_BYTES_MIN, Pattern};
use crate::sim::workload::native::{Connection, Refusal, owned};
use crate::sim::workload::shard_oracle::ShardOracle;
use crate::sim::{DiskOp, Fault, Injection, Sim, SimRuntime};
use crate::types::{GroupId, Offset};

const STREAM: &str = "orders";
const SPACE: &str = "app";
const VALUES: u64 = 3;

/// Streams that are created besides; every other one is deleted again.
const OTHERS: u64 = 4;

/// Kinds of files, by a part of their path.
const KINDS: [&str; 6] = [".seg", ".idx", "/catalog/", ".snapshot", "node", ""];

/// The node starts in this time, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a run met.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The file that was spoilt; nothing if a write went elsewhere.
    pub path: Option<String>,
    /// Acknowledged records that a reader was told to be lost.
    pub lost_records: u64,
    /// Records read and checked.
    pub records_read: u64,
    /// Shards that were found damaged by the start.
    pub quarantined: usize,
    /// Why the node did not start, if it did not.
    pub refused: Option<String>,
}

/// What is spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// One bit of a file whose path contains this.
    Bit(&'static str),
    /// One block of it becomes zeros.
    Block(&'static str),
    /// A write to such a file lands elsewhere in it, so many writes after the first.
    Misdirect(&'static str, u32),
}

struct Slot {
    group: GroupId,
    oracle: RefCell<ShardOracle>,
}

struct World {
    sim: Sim,
    machine: Machine,
    pattern: Pattern,
    prng: RefCell<Prng>,
    slots: RefCell<Vec<Rc<Slot>>>,
    puts: RefCell<u64>,
    summary: RefCell<Summary>,
}

/// Spoils what the seed decides.
pub fn run(seed: u64) -> Summary {
    let prng = &mut Prng::new(seed, "decay plan", 0);
    let kind = KINDS[prng.below(KINDS.len() as u64) as usize];
    let spoil = match prng.below(5) {
        0 | 1 => Spoil::Bit(kind),
        2 => Spoil::Block(kind),
        _ => Spoil::Misdirect([".seg", "/shards/", "/catalog/"][prng.below(3) as usize], prng.below(12) as u32),
    };
    run_with(seed, spoil)
}

/// Spoils one thing.
pub fn run_with(seed: u64, spoil: Spoil) -> Summary {
    let sim = Sim::new(seed, super::options("decay", seed));
    let machine = Machine::new(&sim, Tuning { tail_bytes_max: 0, ..Tuning::default() }, Troubles::NONE);
    let world = Rc::new(World {
        machine,
        pattern: Pattern::default(),
        prng: RefCell::new(Prng::new(seed, "decay workload", 0)),
        slots: RefCell::default(),
        puts: RefCell::new(0),
        summary: RefCell::default(),
        sim: sim.clone(),
    });
    world.fill(spoil);
    match spoil {
        Spoil::Bit(kind) | Spoil::Block(kind) => world.spoil(kind, matches!(spoil, Spoil::Bit(_))),
        Spoil::Misdirect(..) => {}
    }
    if world.start() {
        world.look();
        // And once more under the node's feet.
        world.spoil("/shards/", true);
        world.look();
    }
    world.summary.take()
}

impl World {
    fn draw(&self, below: u64) -> u64 {
        self.prng.borrow_mut().below(below)
    }

    fn slots(&self) -> Vec<Rc<Slot>> {
        self.slots.borrow().clone()
    }

    // ---- before

    /// A node that is used, goes quiet and ends.
    fn fill(&self, spoil: Spoil) {
        let node = self.machine.host;
        let rt = self.machine.start_and_wait(1 + self.draw(2) as u16);
        if let Spoil::Misdirect(kind, skip) = spoil {
            let injection = Injection {
                op: DiskOp::Write,
                path_contains: kind.to_owned(),
                skip,
                times: 1,
                fault: Fault::Misdirect,
            };
            self.sim.inject(node, injection);
        }
        let client = self.sim.runtime(self.sim.host("client"));
        self.sim.block_on(async {
            self.fill_catalogue(&client).await;
            self.put_all(&client).await.expect("nothing crashes");
        });
        self.sim.clear_injections(node);
        // Everybody says on disk that everything is durable.
        self.sim.run_for(Duration::from_secs(1));
        if self.draw(3) > 0 {
            self.machine.stop(&rt);
        }
        self.sim.kill(node);
    }

    async fn fill_catalogue(&self, rt: &SimRuntime) {
        let client = self.client(rt).await;
        client
            .create_stream(STREAM, 1 + self.draw(3) as u32, SettingsChange::default())
            .await
            .expect("nothing crashes");
        for number in 0..OTHERS {
            let name = format!("other-{number}");
            client.create_stream(&name, 1, SettingsChange::default()).await.expect("nothing crashes");
            if number % 2 == 1 {
                client.delete_stream(&name, false).await.expect("nothing crashes");
            }
        }
        for number in 0..VALUES {
            let (key, value) = (format!("key-{number}"), format!("value-{number}"));
            client.store_put(SPACE, &key, value.as_bytes(), Expect::Any, None).await.expect("nothing crashes");
        }
        let stream = loop {
            let stream = client.describe_stream(STREAM).await.expect("nothing crashes");
            if stream.status == StreamStatus::Active {
                break stream;
            }
            rt.sleep(Duration::from_millis(2)).await;
        };
        let slot = |number, group| {
            let oracle = RefCell::new(ShardOracle::new(format!("seed {}, {number}", self.sim.seed())));
            Rc::new(Slot { group, oracle })
        };
        let slots = stream.shards.all().iter().map(|shard| slot(shard.number, shard.group)).collect();
        self.slots.replace(slots);
    }

    async fn put_all(&self, rt: &SimRuntime) -> io::Result<()> {
        let mut connection = Connection::open(rt, self.machine.addr()).await?;
        let slots = self.slots();
        for _ in 0..30 + self.draw(30) {
            let slot = &slots[self.draw(slots.len() as u64) as usize];
            if let Err(refusal) = self.put(&mut connection, slot).await? {
                panic!("the node refused: {refusal:?}");
            }
            if self.draw(8) == 0 {
                rt.sleep(Duration::from_millis(self.draw(300))).await;
            }
        }
        // The last flush and the hint behind it are not where a write goes astray: see above.
        self.sim.clear_injections(self.machine.host);
        for slot in &slots {
            self.put(&mut connection, slot).await?.expect("a healthy node");
        }
        Ok(())
    }

    async fn put(&self, connection: &mut Connection, slot: &Slot) -> io::Result<Result<(), Refusal>> {
        let id = self.puts.replace_with(|id| *id + 1);
        let below = [300, 5_000, 120_000][self.draw(3) as usize];
        let contents = Contents { id, sizes: [DATA_BYTES_MIN + self.draw(below) as u32].into() };
        slot.oracle.borrow_mut().sends(&contents, None);
        let put = Put { group: slot.group, producer: None, record_count: 1 };
        let number = connection.send(&put, &self.pattern.body(&contents)).await?;
        let message = connection.receive(number).await?;
        Ok(match message.answer::<Put>().expect("well-formed") {
            Ok(receipt) => {
                slot.oracle.borrow_mut().acked(&contents, receipt.base_offset);
                Ok(())
            }
            Err(refusal) => Err(owned(refusal)),
        })
    }

    async fn client(&self, rt: &SimRuntime) -> Client<SimRuntime> {
        Client::connect(rt.clone(), self.machine.addr(), ClientOptions::default()).await.expect("it listens")
    }

    // ---- the damage

    /// Inverts a bit or zeroes a block of a file whose path contains `kind`.
    fn spoil(&self, kind: &str, is_bit: bool) {
        let node = self.machine.host;
        let mut files = self.sim.files(node);
        files.retain(|(path, len)| path.contains(kind) && *len > 0 && !path.contains("/spare/"));
        if files.is_empty() {
            return;
        }
        let (path, _) = files.swap_remove(self.draw(files.len() as u64) as usize);
        let bytes = self.sim.read_file(node, &path).expect("it is listed");
        // Beyond what was ever written there is nothing to be spoilt.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        let at = self.draw(used as u64);
        if is_bit {
            self.sim.flip_bit(node, &path, at, self.draw(8) as u8).expect("it is listed");
        } else {
            let mut bytes = bytes;
            let start = at as usize / BLOCK_BYTES * BLOCK_BYTES;
            let end = (start + BLOCK_BYTES).min(bytes.len());
            bytes[start..end].fill(0);
            self.sim.write_file(node, &path, &bytes).expect("it is listed");
        }
        self.summary.borrow_mut().path.get_or_insert(path);
    }

    // ---- after

    /// Whether the node starts. If it does not, it says that it found damage.
    fn start(&self) -> bool {
        self.machine.expect_damage();
        let rt = self.machine.start(1 + self.draw(2) as u16);
        let is_over = || self.machine.is_ready() || self.machine.has_ended();
        assert!(self.sim.run_until(is_over, PATIENCE), "the node does neither start nor give up");
        let mut summary = self.summary.borrow_mut();
        summary.quarantined = self.machine.quarantined();
        if !self.machine.has_failed() {
            return true;
        }
        let said = self.machine.errors().join("; ");
        let spoilt = summary.path.clone().unwrap_or_default();
        assert!(said.contains("damaged"), "{spoilt} was spoilt, the node says {said:?}");
        assert!(!spoilt.contains("/shards/"), "{spoilt} belongs to one shard, and the node does not start: {said}");
        summary.refused = Some(said);
        drop(rt);
        false
    }

    /// Reads everything there is.
    fn look(&self) {
        let rt = self.sim.runtime(self.sim.host("auditor"));
        self.sim.block_on(async {
            self.look_at_catalogue(&rt).await;
            let mut connection = Connection::open(&rt, self.machine.addr()).await.expect("it listens");
            for slot in self.slots() {
                self.look_at(&mut connection, &slot).await.expect("nothing crashes");
            }
        });
    }

    async fn look_at_catalogue(&self, rt: &SimRuntime) {
        let client = self.client(rt).await;
        let streams = client.list_streams().await.expect("nothing crashes");
        let names: BTreeSet<_> = streams.into_iter().map(|stream| stream.name).collect();
        let others = (0..OTHERS).step_by(2).map(|number| format!("other-{number}"));
        assert_eq!(names, others.chain([STREAM.to_owned()]).collect(), "the streams that were created and not deleted");
        for number in 0..VALUES {
            let item = client.store_get(SPACE, &format!("key-{number}")).await.expect("nothing crashes");
            assert_eq!(&*item.expect("it was stored").value, format!("value-{number}").as_bytes());
        }
    }

    /// Reads a shard from its beginning to its end, jumping over what is said to be lost; then puts to it.
    async fn look_at(&self, connection: &mut Connection, slot: &Slot) -> io::Result<()> {
        let must = slot.oracle.borrow().must();
        let (mut at, mut lost) = (Offset(0), 0);
        let end = loop {
            let get = Get { group: slot.group, from: at, bytes_max: 1 << 20, wait_ms: 0 };
            let number = connection.send(&get, &[]).await?;
            let message = connection.receive(number).await?;
            match message.answer::<Get>().expect("well-formed") {
                Ok(state) => {
                    let next = self.check(slot, &message, at);
                    assert_eq!(next, state.next_offset, "an answer says where to go on");
                    if next == at {
                        break state.end_offset;
                    }
                    at = next;
                }
                Err(refusal) if refusal.code == ErrorCode::DataLost as u16 => {
                    let resume = Offset(refusal.detail_a);
                    assert!(resume > at, "reading at {at} comes to nothing: {refusal:?}");
                    lost += resume.0.min(must.0) - at.0.min(must.0);
                    at = resume;
                }
                // Of a shard that does not open at all, nothing is said but this.
                Err(refusal) if refusal.code == ErrorCode::Internal as u16 && self.machine.quarantined() > 0 => {
                    self.summary.borrow_mut().lost_records += must.0;
                    return Ok(());
                }
                Err(refusal) => panic!("offset {at}: {refusal:?}"),
            }
        };
        assert_eq!(at, end, "nothing to read before the end");
        assert!(
            end >= must,
            "the shard ends at {end}, up to {must} it was acknowledged, and nothing is said to be lost"
        );
        self.summary.borrow_mut().lost_records += lost;
        match self.put(connection, slot).await? {
            Ok(()) => {}
            Err(refusal) => {
                let is_quarantined =
                    refusal.code == ErrorCode::ShardQuarantined as u16 && self.machine.quarantined() > 0;
                assert!(is_quarantined, "the node refused: {refusal:?}");
            }
        }
        Ok(())
    }

    /// Checks the frames of an answer; gives the offset after them.
    fn check(&self, slot: &Slot, message: &Message, from: Offset) -> Offset {
        let (mut next, mut rest): (_, &[u8]) = (from, &message.body);
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).expect("a reader gets whole, intact frames");
            rest = after;
            let mut offset = frame.header.base_offset;
            assert!(offset <= next && next < frame.header.end_offset(), "{next} was due, {offset} came");
            for record in Records::new(frame.body) {
                let record = record.expect("records were checked when they were put");
                slot.oracle.borrow_mut().saw(&self.pattern, offset, record.key, record.data);
                offset = offset.plus(1);
                self.summary.borrow_mut().records_read += 1;
            }
            next = offset;
        }
        next
    }
}
