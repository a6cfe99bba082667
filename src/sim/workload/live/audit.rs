//! What the workload on streams that live looks at in the end: every shard, and then what the retention leaves.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::ledger::Pass;
use super::{PATIENCE, STREAM, THROTTLE, World};
use crate::client::{Client, ClientOptions, ConsumerOptions, Mode, Record, ShardDescription, ShardState, Start, Stop};
use crate::format::names;
use crate::runtime::Reactor;
use crate::sim::{HostId, SimRuntime};
use crate::types::{Offset, ShardNumber};

/// Puts after the clock jumped beyond the retention.
const LATE_PUTS: usize = 20;

/// What one shard took in.
#[derive(Clone, Copy)]
struct Intake {
    first_us: u64,
    last_us: u64,
    records: u64,
    bytes: u64,
    largest: u64,
}

impl World {
    /// Reads every shard from its beginning to its end, parents before children; records before `from` have expired.
    pub(super) fn look(&self, from: u64) {
        let rt = self.sim.runtime(self.sim.host("auditor"));
        self.sim.block_on(async {
            let client = Client::connect(rt.clone(), self.addr(), ClientOptions::default()).await.expect("it listens");
            let description = self.describe(&client).await.expect("nothing crashes");
            let mut pass = Pass::new("the auditor".to_owned(), from);
            let mut intakes: BTreeMap<ShardNumber, Intake> = BTreeMap::new();
            // Children have higher numbers than their parents.
            for shard in description.shards.all() {
                self.look_at(&client, shard, &mut pass, |record| {
                    let bytes = (record.key().len() + record.data().len()) as u64;
                    let at_us = record.arrival.0;
                    let none = Intake { first_us: at_us, last_us: at_us, records: 0, bytes: 0, largest: 0 };
                    let intake = intakes.entry(record.shard).or_insert(none);
                    intake.last_us = at_us;
                    intake.records += 1;
                    intake.bytes += bytes;
                    intake.largest = intake.largest.max(bytes);
                })
                .await;
            }
            pass.is_whole(&self.ledger.borrow(), &self.lineage.borrow());
            self.summary.borrow_mut().records_read += pass.len();
            if self.plan.throttled && from == 0 {
                self.check_intakes(&intakes);
            }
        });
    }

    async fn look_at(
        &self,
        client: &Client<SimRuntime>,
        shard: &ShardDescription,
        pass: &mut Pass,
        mut each: impl FnMut(&Record),
    ) {
        let mode = if self.draw(2) == 0 { Mode::Get } else { Mode::Push };
        let stop = if shard.state == ShardState::Closed { Stop::Never } else { Stop::AtEnd };
        let options = ConsumerOptions { mode, stop, ..ConsumerOptions::default() };
        let position = client.position(shard, Start::Horizon).await.expect("nothing crashes");
        if let Some(end) = shard.closed {
            assert_eq!(position.end_offset, end.offset, "the end of {} as it is told", shard.number);
        }
        if !self.may_expire.get() {
            assert_eq!(position.offset, Offset(0), "{} begins later, and nothing has expired", shard.number);
        }
        pass.begins(shard.number, position.offset);
        let consumer = client.consumer(STREAM, shard.number, Start::Horizon, options).await;
        let mut consumer = consumer.expect("nothing crashes");
        while let Some(record) = consumer.next().await {
            let record = record.expect("nothing crashes");
            pass.see(&self.ledger.borrow(), &self.lineage.borrow(), &record);
            each(&record);
        }
        assert_eq!(consumer.position(), position.end_offset, "{} was read to its end", shard.number);
        if shard.state == ShardState::Closed {
            let children = consumer.children().await.expect("nothing crashes");
            assert!(!children.is_empty(), "{} is closed and has children", shard.number);
        }
    }

    /// No shard took more than its limits allow: what one second allows at once, and then what the time allows. A start
    /// and a move begin with a full allowance.
    fn check_intakes(&self, intakes: &BTreeMap<ShardNumber, Intake>) {
        let bursts = 1 + self.starts.get() + self.summary.borrow().moves;
        for (shard, intake) in intakes {
            let us = intake.last_us - intake.first_us;
            let allowed = |per_second: u64| per_second * bursts + per_second * us / 1_000_000 + 1;
            let (records, bytes) = (allowed(THROTTLE.write_records_s), allowed(THROTTLE.write_bytes_s));
            assert!(intake.records <= records, "{shard} took {} records in {us} us", intake.records);
            assert!(intake.bytes <= bytes + intake.largest, "{shard} took {} bytes in {us} us", intake.bytes);
        }
    }

    /// The wall clock jumps beyond the retention, and the node crashes once more.
    pub(super) fn beyond_retention(self: &Rc<Self>, host: HostId) {
        let rt = self.start_and_wait();
        self.may_expire.set(true);
        self.sim.jump_wall(self.machine.host, 49 * 3_600 * 1_000_000);
        let from = self.ledger.borrow().next();
        let put = Rc::new(Cell::new(false));
        let process = self.sim.runtime(host);
        let (world, is_put) = (Rc::clone(self), Rc::clone(&put));
        self.sim.spawn(host, async move {
            let client = world.connect(&process).await;
            let producer = world.producer(&client).await;
            let mut waiting = VecDeque::new();
            for _ in 0..LATE_PUTS {
                waiting.push_back(world.put(&producer, u64::MAX).await);
                process.sleep(Duration::from_micros(world.draw(100_000))).await;
            }
            world.settle_tickets(&mut waiting, 0).await;
            is_put.set(true);
        });
        // Around the first look at closed shards after the jump.
        self.sim.run_until(|| !rt.is_alive(), Duration::from_micros(self.draw(40_000_000)));
        self.sim.power_loss(self.machine.host);
        let rt = self.start_and_wait();
        assert!(self.sim.run_until(|| put.get(), PATIENCE), "late records are not delivered");
        self.sim.run_for(Duration::from_secs(65));
        self.over.set(true);
        assert!(self.sim.run_until(|| self.clients_left.get() == 0, PATIENCE), "the last client does not get done");
        self.look(from);
        self.check_storage();
        self.stop_node(&rt);
    }

    /// Nothing is left of what is over.
    fn check_storage(&self) {
        let rt = self.sim.runtime(self.sim.host("auditor"));
        let listed: BTreeSet<_> = self.sim.block_on(async {
            let client = Client::connect(rt.clone(), self.addr(), ClientOptions::default()).await.expect("it listens");
            let names: Vec<_> = client.list_streams().await.expect("nothing crashes");
            assert_eq!(names.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(), [STREAM]);
            let description = self.describe(&client).await.expect("nothing crashes");
            for shard in description.shards.all() {
                assert_eq!(shard.state, ShardState::Open, "{} is older than the retention", shard.number);
            }
            description.shards.all().iter().map(|shard| shard.group).collect()
        });
        let shards = names::shards_dir(Path::new("/data"));
        for (path, _) in self.sim.files(self.machine.host) {
            let Ok(below) = Path::new(&path).strip_prefix(&shards) else { continue };
            let name = below.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
            let group = names::parse_shard_dir(name);
            assert!(group.is_some_and(|group| listed.contains(&group)), "{path} belongs to nobody");
        }
    }
}
