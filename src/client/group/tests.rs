use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::client::testing::{Faults, STREAM, World, options};
use crate::client::{ClientOptions, Producer, ProducerOptions};
use crate::sim::{HostId, SimRuntime};

const TTL: Duration = Duration::from_secs(3);

fn group_options() -> GroupOptions {
    let checkpoint_every = Some(Duration::from_millis(200));
    GroupOptions { lease_ttl: TTL, checkpoint_every, ..GroupOptions::default() }
}

/// What an application has processed, in order: member, shard, offset, key, data.
type Log = Rc<RefCell<Vec<(usize, ShardNumber, u64, String, String)>>>;

/// A process that runs one member, record after record.
struct Member {
    host: HostId,
    shards: Rc<RefCell<Vec<ShardNumber>>>,
    leave: Rc<Cell<bool>>,
    left: Rc<Cell<bool>>,
}

struct App {
    world: World,
    log: Log,
    members: Vec<Member>,
}

impl App {
    fn new(seed: u64, shards: u32) -> Self {
        Self { world: World::new(seed, shards), log: Log::default(), members: Vec::new() }
    }

    fn join(&mut self, options: GroupOptions) -> usize {
        let number = self.members.len();
        let host = self.world.sim.host(&format!("member-{number}"));
        let member = Member { host, shards: Rc::default(), leave: Rc::default(), left: Rc::default() };
        let (rt, addr, log) = (self.world.sim.runtime(host), self.world.addr(), Rc::clone(&self.log));
        let (shards, leave, left) = (Rc::clone(&member.shards), Rc::clone(&member.leave), Rc::clone(&member.left));
        self.world.sim.spawn(host, async move {
            let client = Client::connect(rt.clone(), addr, options_of_client()).await.unwrap();
            let mut group = client.group("billing", STREAM, options).await.unwrap();
            while !leave.get() {
                let nap = Duration::from_millis(50);
                let batch = super::super::connection::within(&rt, nap, group.next()).await;
                *shards.borrow_mut() = group.shards();
                let Some(batch) = batch else { continue };
                let mut batch = batch.unwrap().unwrap();
                while let Some(record) = batch.records.next_record() {
                    let record = record.unwrap();
                    let data = String::from_utf8(record.data().to_vec()).unwrap();
                    log.borrow_mut().push((number, record.shard, record.offset.0, record.key().to_owned(), data));
                }
                rt.sleep(Duration::from_micros(rt.random() % 3_000)).await;
            }
            shards.borrow_mut().clear();
            group.leave().await.unwrap();
            left.set(true);
        });
        self.members.push(member);
        number
    }

    /// Every record of every shard was processed.
    fn is_complete(&self) -> bool {
        let log = self.log.borrow();
        let seen: BTreeSet<_> = log.iter().map(|(_, shard, offset, ..)| (shard.0, *offset)).collect();
        let shards = self.world.store.shards.borrow();
        let mut all = shards.iter().flat_map(|shard| (0..shard.end().0).map(|at| (shard.description.number.0, at)));
        all.all(|record| seen.contains(&record))
    }

    /// Runs until everything is processed.
    fn complete(&self, what: &str) {
        // Looked at now and then: the log is long.
        for _ in 0..600 {
            if self.is_complete() {
                return;
            }
            self.world.sim.run_for(Duration::from_millis(200));
        }
        panic!("{what}: records are missing");
    }

    fn held(&self, member: usize) -> usize {
        self.members[member].shards.borrow().len()
    }

    /// Runs until these members have that many shards each.
    fn balance(&self, want: &[(usize, usize)], within: Duration) {
        let is_so = || want.iter().all(|(member, count)| self.held(*member) == *count);
        let have = || want.iter().map(|(member, _)| self.held(*member)).collect::<Vec<_>>();
        assert!(self.world.sim.run_until(is_so, within), "{:?} instead of {want:?}", have());
    }

    /// The numbers of each key were first processed in the order in which they were put.
    fn check_order(&self) {
        let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (.., key, data) in self.log.borrow().iter() {
            let (numbers, number) = (order.entry(key.clone()).or_default(), data.parse().unwrap());
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        for (key, numbers) in order {
            assert!(numbers.is_sorted(), "{key}: {numbers:?}");
        }
    }
}

fn options_of_client() -> ClientOptions {
    options()
}

async fn put(producer: &Producer<SimRuntime>, numbers: std::ops::Range<u64>) {
    for n in numbers {
        producer.put_detached(&format!("key-{}", n % 23), n.to_string().as_bytes()).await.unwrap();
    }
    producer.flush().await.unwrap();
}

/// Goal: one member has all; whoever joins gets its share; whoever leaves hands over at once, and nothing is processed
/// twice by that.
#[test]
fn members_share_and_hand_over() {
    let mut app = App::new(1, 6);
    (0..6).for_each(|shard| app.world.fill(shard, 50));
    app.join(group_options());
    app.balance(&[(0, 6)], TTL);
    app.complete("alone");
    app.world.sim.run_for(Duration::from_secs(1));
    app.join(group_options());
    app.balance(&[(0, 3), (1, 3)], 6 * TTL);
    app.join(group_options());
    app.balance(&[(0, 2), (1, 2), (2, 2)], 6 * TTL);
    (0..6).for_each(|shard| app.world.fill(shard, 50));
    app.complete("three");
    assert_eq!(app.log.borrow().len(), 600);
    app.world.sim.run_for(Duration::from_secs(1));
    app.members[1].leave.set(true);
    assert!(app.world.sim.run_until(|| app.members[1].left.get(), Duration::from_secs(1)));
    app.balance(&[(0, 3), (2, 3)], TTL / 2);
    (0..6).for_each(|shard| app.world.fill(shard, 50));
    app.complete("two");
    assert_eq!(app.log.borrow().len(), 900, "nothing was under way when shards changed hands");
}

/// Goal: the shards of a member whose process dies, and of one that is cut off, go to the others within the time of a
/// lease, and no record is skipped.
#[test]
fn the_dead_are_inherited_from() {
    for seed in 0..6 {
        let mut app = App::new(100 + seed, 4);
        app.join(group_options());
        app.join(group_options());
        app.balance(&[(0, 2), (1, 2)], 6 * TTL);
        (0..4).for_each(|shard| app.world.fill(shard, 300));
        app.world.sim.run_for(Duration::from_millis(20 * seed));
        let (dead, by_silence) = (app.members[0].host, seed % 2 == 0);
        match by_silence {
            true => app.world.sim.partition(app.world.node, dead, true),
            false => app.world.sim.kill(dead),
        }
        app.balance(&[(1, 4)], TTL + TTL / 2);
        app.complete("one is dead");
        if by_silence {
            app.world.sim.partition(app.world.node, dead, false);
            app.balance(&[(0, 2), (1, 2)], 20 * TTL);
        }
        (0..4).for_each(|shard| app.world.fill(shard, 30));
        app.complete("after that");
    }
}

/// Goal: a member that was taken over from cannot note anything any more, is told so, and goes on with its other shards.
#[test]
fn the_old_owner_is_fenced() {
    let world = World::new(2, 1);
    world.fill(0, 30);
    world.sim.block_on(async {
        let client = world.client().await;
        let manual = GroupOptions { checkpoint_every: None, ..group_options() };
        let mut group = client.group("billing", STREAM, manual).await.unwrap();
        let first = group.next().await.unwrap().unwrap();
        group.checkpoint(&first).await.unwrap();
        let second = group.next().await.unwrap().unwrap();
        // Another takes it, as a thief does.
        let key = status::shard_key(crate::types::StreamId(1), ShardNumber(0));
        let item = client.store_get("billing", &key).await.unwrap().unwrap();
        assert_eq!(Checkpoint::decode(&item.value), Ok(Checkpoint::At(first.end_offset())));
        let token = item.lease.map(|lease| lease.token);
        client.lease_claim("billing", &key, "thief", TTL, token).await.unwrap();
        let error = group.checkpoint(&second).await.unwrap_err();
        assert!(matches!(error, Error::LeaseLost), "{error}");
        assert_eq!(world.store.values.borrow().fenced, 1);
        assert!(group.shards().is_empty());
        assert!(matches!(group.checkpoint(&second).await, Err(Error::LeaseLost)));
        // The thief never renews: the shard comes back, with the checkpoint that was durable.
        let again = group.next().await.unwrap().unwrap();
        assert_eq!(again.records.next_offset(), first.end_offset());
        let horizon = GroupEvent::Assigned(ShardNumber(0), Checkpoint::Horizon);
        let later = GroupEvent::Assigned(ShardNumber(0), Checkpoint::At(first.end_offset()));
        assert_eq!(group.take_events(), [horizon, GroupEvent::Lost(ShardNumber(0)), later]);
        group.leave().await.unwrap();
    });
}

/// Goal: while shards are split, merged and moved under traffic, and members come and die and the node restarts, no record
/// is skipped and each key is processed in order: parents before children.
#[test]
fn reshards_under_way() {
    for seed in 0..8 {
        let mut app = App::new(300 + seed, 4);
        let faults = Faults { lose: 2, refuse: 3, reorder: 20, ..Faults::default() };
        app.world.store.faults.set(faults);
        for _ in 0..3 {
            app.join(group_options());
        }
        let producer = app.world.sim.block_on(async {
            let options = ProducerOptions { batch_bytes_max: 300, ..ProducerOptions::default() };
            app.world.client().await.producer(STREAM, options).await.unwrap()
        });
        let mut next = 0;
        for step in 0..10 {
            app.world.sim.block_on(put(&producer, next..next + 100));
            next += 100;
            match step {
                1 => app.world.split(0),
                2 => app.world.split(2),
                3 => app.world.merge(1, 3 + 3),
                4 => app.world.move_shard(4),
                5 => app.world.sim.kill(app.members[(seed % 3) as usize].host),
                6 => app.world.restart(),
                7 => drop(app.join(group_options())),
                8 => app.world.merge(4, 5),
                _ => {}
            }
            app.world.sim.run_for(Duration::from_millis(300));
        }
        app.complete(&format!("seed {seed}"));
        app.check_order();
        let status =
            app.world.sim.block_on(async { app.world.client().await.group_status("billing", STREAM).await.unwrap() });
        assert_eq!(status.shards.len(), app.world.store.shards.borrow().len());
    }
}

/// Goal: many members settle on even shares, and when the node restarts they keep what they have.
#[test]
fn many_members_and_a_restart() {
    let mut app = App::new(4, 32);
    (0..32).for_each(|shard| app.world.fill(shard, 20));
    for _ in 0..8 {
        app.join(group_options());
    }
    let even: Vec<_> = (0..8).map(|member| (member, 4)).collect();
    app.balance(&even, 20 * TTL);
    app.complete("many");
    let before: Vec<_> = app.members.iter().map(|member| member.shards.borrow().clone()).collect();
    app.world.restart();
    app.world.sim.run_for(3 * TTL);
    app.balance(&even, TTL);
    let after: Vec<_> = app.members.iter().map(|member| member.shards.borrow().clone()).collect();
    assert_eq!(before, after);
    (0..32).for_each(|shard| app.world.fill(shard, 20));
    app.complete("after the restart");
}

/// Goal: where an application begins is fixed once, for all members; status shows members and places; a reset is refused
/// while somebody is alive, and moves every shard when nobody is.
#[test]
fn beginning_status_and_reset() {
    let world = World::new(5, 2);
    world.fill(0, 40);
    world.sim.block_on(async {
        let client = world.client().await;
        let latest = GroupOptions { start: Start::Latest, ..group_options() };
        let mut group = client.group("billing", STREAM, latest).await.unwrap();
        world.fill(0, 10);
        let batch = group.next().await.unwrap().unwrap();
        assert_eq!((batch.shard, batch.records.next_offset()), (ShardNumber(0), Offset(40)));
        let status = client.group_status("billing", STREAM).await.unwrap();
        assert_eq!((status.members.len(), &*status.members[0].name), (1, group.member()));
        assert_eq!(status.members[0].shards, 2);
        let error = client.group_reset("billing", STREAM, Start::Horizon).await.unwrap_err();
        assert_eq!(error.code(), Some(crate::protocol::ErrorCode::LeaseHeld));
        group.leave().await.unwrap();
        let status = client.group_status("billing", STREAM).await.unwrap();
        assert_eq!(status.members, []);
        assert!(status.shards.iter().all(|shard| shard.owner.is_none()));
        assert_eq!(status.shards[0].checkpoint, Checkpoint::At(Offset(40)), "the batch in hand was not given back");
        client.group_reset("billing", STREAM, Start::Horizon).await.unwrap();
        // What it begins with is decided: this start is not looked at.
        let latest = GroupOptions { start: Start::Latest, ..group_options() };
        let mut group = client.group("billing", STREAM, latest).await.unwrap();
        assert_eq!(group.next().await.unwrap().unwrap().records.next_offset(), Offset(0));
        world.store.deleted.set(true);
        while let Some(item) = group.next().await {
            if let Err(error) = item {
                assert!(matches!(error.error, Error::StreamGone(_)), "{error}");
            }
        }
        let wrong = GroupOptions { start: Start::At(Offset(0)), ..group_options() };
        assert!(matches!(client.group("billing", STREAM, wrong).await, Err(Error::Argument(_))));
    });
}
