//! Traffic over shards that change: nothing is lost, nothing is doubled; AUTO spreads; streams on demand divide themselves.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures_lite::future::zip;
use millstream::protocol::messages::{
    CapacityMode, Distribution, HashKeys, MergeShards, MoveShard, Put, PutKeyed, ScaleStream, SettingsChange,
    ShardDescription, ShardState, SplitShard,
};
use millstream::protocol::{ErrorCode, Kind};
use millstream::runtime::Reactor;
use millstream::types::{HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, WorkerId};

use crate::world::{Conn, World, error, one, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;

/// What was acknowledged: place by record.
type Stored = BTreeMap<Vec<u8>, (ShardNumber, Offset)>;

fn home<'a>(shards: &'a [ShardDescription], key: &str) -> &'a ShardDescription {
    let hash = HashKey::of(key.as_bytes());
    let mut open = shards.iter().filter(|shard| shard.state == ShardState::Open);
    open.find(|shard| (shard.hash_start..=shard.hash_end).contains(&hash)).expect("the open shards take every key")
}

async fn keyed(conn: &mut Conn, who: &str, over: &Cell<bool>) -> Stored {
    let mut stored = Stored::new();
    for turn in 0.. {
        let all: Vec<Vec<u8>> = (0..30).map(|n| format!("{who} {turn} {n}").into_bytes()).collect();
        let body: Vec<u8> =
            all.iter().enumerate().flat_map(|(n, data)| one(&format!("{who}{turn}/{n}"), data)).collect();
        let answer = conn.call(&PutKeyed { stream: "s", record_count: 30, hash_keys: HashKeys::NONE }, &body).await;
        for (data, result) in all.into_iter().zip(answer.answer::<PutKeyed<'_>>().unwrap().unwrap().results) {
            assert_eq!(result.error, 0, "a keyed put never fails because of a reshard");
            assert_eq!(stored.insert(data, (result.shard, result.offset)), None);
        }
        if over.get() {
            break;
        }
    }
    stored
}

/// Puts by group as a client does that follows the map; with a stamp each is sent twice.
async fn direct(conn: &mut Conn, id: Option<u64>, over: &Cell<bool>) -> Stored {
    let (mut stored, mut shards) = (Stored::new(), conn.describe("s").await);
    let mut sequences: BTreeMap<ShardNumber, u32> = BTreeMap::new();
    let mut correlation = 1_000_000;
    for turn in 0.. {
        let key = format!("{id:?}{turn}");
        let data = key.clone().into_bytes();
        loop {
            let shard = *home(&shards, &key);
            let seq = sequences.entry(shard.number).or_default();
            let producer = id.map(|id| ProducerStamp { id: ProducerId(id), epoch: 1, seq: *seq });
            let put = Put { group: shard.group, producer, record_count: 1 };
            let times = if id.is_some() { 2 } else { 1 };
            for _ in 0..times {
                correlation += 1;
                conn.send(&request(correlation, &put, &one(&key, &data))).await;
            }
            let mut places = Vec::new();
            for _ in 0..times {
                let answer = conn.recv().await.unwrap();
                if answer.head.kind == Kind::Error {
                    let code = error(&answer);
                    assert!(matches!(code, ErrorCode::ShardClosed | ErrorCode::WrongShardMap), "{code:?}");
                } else {
                    let answer = answer.answer::<Put>().unwrap().unwrap();
                    places.push(answer.base_offset);
                }
            }
            if let Some(place) = places.first() {
                assert!(places.iter().all(|other| other == place), "stored once");
                *seq += 1;
                stored.insert(data, (shard.number, *place));
                break;
            }
            conn_pause(conn).await;
            shards = conn.describe("s").await;
        }
        if over.get() {
            break;
        }
    }
    stored
}

/// A moment between two looks at the map.
async fn conn_pause(conn: &mut Conn) {
    for _ in 0..3 {
        conn.ping().await;
    }
}

async fn changes(world: &World, conn: &mut Conn, over: &Cell<bool>) {
    let scale = |target| ScaleStream { stream: "s", target, plan_only: false };
    for target in [9, 2, 16, 5] {
        conn.call(&scale(target), &[]).await.answer::<ScaleStream<'_>>().unwrap().unwrap();
        let mut open: Vec<_> = conn.describe("s").await;
        open.retain(|shard| shard.state == ShardState::Open);
        open.sort_by_key(|shard| shard.hash_start);
        for (nth, shard) in (0u16..).zip(&open) {
            let to = WorkerId(nth % world.workers);
            let change = MoveShard { stream: "s", shard: shard.number, to };
            conn.call(&change, &[]).await.answer::<MoveShard<'_>>().unwrap().unwrap();
        }
        let merge = MergeShards { stream: "s", shard: open[1].number, adjacent: open[0].number };
        conn.call(&merge, &[]).await.answer::<MergeShards<'_>>().unwrap().unwrap();
        let last = open.last().unwrap();
        let split = SplitShard { stream: "s", shard: last.number, at: HashKey(last.hash_end.0 - 1_000) };
        if open.len() > 2 {
            conn.call(&split, &[]).await.answer::<SplitShard<'_>>().unwrap().unwrap();
        }
    }
    over.set(true);
}

/// Goal: puts by group, stamped puts that are sent twice, and keyed puts, at every port, over shards that are scaled, split,
/// merged and moved: everything acknowledged is where it was said to be, once, and nothing else is there.
#[test]
fn nothing_is_lost_or_doubled() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut admin = world.worker(0).await;
        admin.create("s", 3, NO_CHANGE).await;
        let over = Cell::new(false);
        let ports = world.ports();
        let writers = async {
            let mut all: Vec<std::pin::Pin<Box<dyn Future<Output = Stored> + '_>>> = Vec::new();
            for (nth, addr) in ports.iter().enumerate() {
                let (mut a, mut b, mut c) = (world.open(*addr).await, world.open(*addr).await, world.open(*addr).await);
                let over = &over;
                all.push(Box::pin(async move { keyed(&mut a, &format!("keyed{nth}"), over).await }));
                all.push(Box::pin(async move { direct(&mut b, Some(nth as u64 + 1), over).await }));
                if nth == 1 {
                    all.push(Box::pin(async move { direct(&mut c, None, over).await }));
                }
            }
            millstream::runtime::local::join_all(all).await
        };
        let (stored, ()) = zip(writers, changes(&world, &mut admin, &over)).await;
        let mut expected: Stored = stored.into_iter().flatten().collect();
        assert!(expected.len() > 1_000, "{}", expected.len());
        for shard in admin.describe("s").await {
            for (offset, key, data) in admin.read_all(shard.group).await {
                assert_eq!(expected.remove(&data), Some((shard.number, offset)), "{key}");
                let hash = HashKey::of(key.as_bytes());
                assert!((shard.hash_start..=shard.hash_end).contains(&hash));
            }
        }
        assert!(expected.is_empty(), "lost: {}", expected.len());
    });
}

fn on_demand(distribution: Distribution) -> SettingsChange {
    SettingsChange {
        mode: Some(CapacityMode::OnDemand { shards_min: 0, shards_max: 0 }),
        distribution: Some(distribution),
        ..NO_CHANGE
    }
}

/// Goal: AUTO spreads records of one key evenly over all shards, from every port.
#[test]
fn auto_spreads_evenly() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let shards = conn.create("s", 0, on_demand(Distribution::Auto)).await;
        assert_eq!(shards.len(), 4);
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            for _ in 0..100 {
                let body: Vec<u8> = (0..4u8).flat_map(|n| one("same", &[n; 1_000])).collect();
                let put = PutKeyed { stream: "s", record_count: 4, hash_keys: HashKeys::NONE };
                let answer = conn.call(&put, &body).await;
                assert!(
                    answer.answer::<PutKeyed<'_>>().unwrap().unwrap().results.iter().all(|result| result.error == 0)
                );
            }
        }
        let mut sizes = Vec::new();
        for shard in &shards {
            sizes.push(conn.read_all(shard.group).await.len());
        }
        assert_eq!(sizes.iter().sum::<usize>(), 1_600);
        assert!(sizes.iter().all(|size| (360..=440).contains(size)), "{sizes:?}");
    });
}

/// Goal: traffic on a few keys makes their shard split, and when it is gone the shards are merged again, by the node itself.
#[test]
fn on_demand_follows_traffic() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(1).await;
        let shards = conn.create("s", 0, on_demand(Distribution::PartitionKey)).await;
        let keys: Vec<String> = (0..1_000).map(|n| format!("k{n}")).collect();
        let hot: Vec<_> = keys.iter().filter(|key| home(&shards, key).number == ShardNumber(2)).take(40).collect();
        let data = vec![7; 20_000];
        let body: Vec<u8> = hot.iter().flat_map(|key| one(key, &data)).collect();
        for _ in 0..600 {
            // 0.8 MB each half second.
            let put = PutKeyed { stream: "s", record_count: 40, hash_keys: HashKeys::NONE };
            let answer = conn.call(&put, &body).await;
            assert!(answer.answer::<PutKeyed<'_>>().unwrap().unwrap().results.iter().all(|result| result.error == 0));
            world.rt().sleep(Duration::from_millis(400)).await;
            if conn.describe("s").await.len() > 4 {
                break;
            }
        }
        let after = conn.describe("s").await;
        assert!(after.len() > 4, "the hot shard was split");
        assert_eq!(after[2].state, ShardState::Closed);
        assert!(after[4..].iter().take(2).all(|child| child.parent == Some(ShardNumber(2))));
        let count = async |conn: &mut Conn| {
            conn.describe("s").await.iter().filter(|shard| shard.state == ShardState::Open).count()
        };
        assert!(count(&mut conn).await > 4);
        for _ in 0..200 {
            world.rt().sleep(Duration::from_secs(60)).await;
            if count(&mut conn).await == 4 {
                return;
            }
        }
        panic!("cold shards were not merged");
    });
}
