//! Throughput limits, retention, statistics.

use std::time::Duration;

use millstream::protocol::messages::{
    CreateStream, CustomLimits, DeleteStream, DescribeStream, Get, HashKeys, Position, PutKeyed, SettingsChange,
    ShardFilter, SplitShard, Start, Stats, StreamLimits, Subscribe, UpdateStream,
};
use millstream::protocol::{ErrorCode, Kind};
use millstream::runtime::Reactor;
use millstream::types::{HashKey, Offset, ShardNumber};

use crate::world::{Conn, World, one, put, records, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;
const HOUR: Duration = Duration::from_secs(3_600);

const fn limits(limits: StreamLimits) -> SettingsChange {
    SettingsChange { limits: Some(limits), ..NO_CHANGE }
}

const fn write_records(write_records_s: u64) -> StreamLimits {
    let none = CustomLimits { write_records_s, write_bytes_s: 0, read_calls_s: 0, read_bytes_s: 0, fanout_bytes_s: 0 };
    StreamLimits::Custom(none)
}

async fn update(conn: &mut Conn, settings: SettingsChange) {
    conn.call(&UpdateStream { name: "s", settings }, &[]).await.answer::<UpdateStream<'_>>().unwrap().unwrap();
}

/// Goal: a put beyond the limits is refused as a whole, and says to the microsecond when it passes; at every port, for the
/// limits of Kinesis and custom ones, and as soon as they change.
#[test]
fn puts_are_throttled() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, limits(StreamLimits::Aws)).await[0].group;
        let mut expected = 0;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            update(&mut conn, limits(StreamLimits::Aws)).await;
            world.rt().sleep(Duration::from_secs(2)).await;
            conn.put(group, "k", &vec![0; (1 << 20) - 1]).await;
            expected += 1;
            let body = one("k", &[0; (1 << 19) - 1]);
            let refusal = conn.refused(&put(group), &body).await;
            assert_eq!(refusal.code, ErrorCode::Throttled);
            let (wait_us, ms) = (refusal.details.0, u64::from(refusal.retry_after_ms));
            assert!((400_000..=500_000).contains(&wait_us), "{wait_us}");
            assert_eq!(ms, wait_us.div_ceil(1_000), "the same, rounded up");
            let end = conn.call(&Position { group, start: Start::Latest }, &[]).await;
            let end = end.answer::<Position>().unwrap().unwrap().offset;
            assert_eq!(end.0, expected as u64, "nothing was stored");
            world.rt().sleep(Duration::from_millis(ms)).await;
            conn.call(&put(group), &body).await.answer::<millstream::protocol::messages::Put>().unwrap().unwrap();
            expected += 1;

            update(&mut conn, limits(write_records(2))).await;
            world.rt().sleep(Duration::from_secs(2)).await;
            for _ in 0..2 {
                conn.put(group, "k", b"").await;
                expected += 1;
            }
            let refusal = conn.refused(&put(group), &one("k", b"")).await;
            assert_eq!(refusal.code, ErrorCode::Throttled);
            assert!((490_000..=500_000).contains(&refusal.details.0), "{}", refusal.details.0);
            update(&mut conn, limits(StreamLimits::None)).await;
            for _ in 0..20 {
                conn.put(group, "k", b"").await;
                expected += 1;
            }
            assert_eq!(conn.read_all(group).await.len(), expected);
        }
        assert_eq!(conn.stat(Stats::Stream("s"), "put_records_throttled_total").await, 8);
        assert!(conn.stat(Stats::Node, "put_latency_us_p50").await > 0);
        assert!(
            conn.stat(Stats::Node, "put_latency_us_p99").await >= conn.stat(Stats::Node, "put_latency_us_p50").await
        );
    });
}

/// Goal: a keyed put beyond the limits stores what they allow, in its order, and each record is told what became of it.
#[test]
fn keyed_puts_are_throttled_by_record() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let shards = conn.create("s", 3, limits(write_records(10))).await;
        let mut before = [0; 3];
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            world.rt().sleep(Duration::from_secs(2)).await;
            let mut scratch = Vec::new();
            let keys: Vec<_> = (0..60).map(|n| Some(shards[n % 3].hash_start)).collect();
            let body: Vec<u8> = (0..60u8).flat_map(|n| one("k", &[n])).collect();
            let put = PutKeyed { stream: "s", record_count: 60, hash_keys: HashKeys::collect(keys, &mut scratch) };
            let answer = conn.call(&put, &body).await;
            let results = answer.answer::<PutKeyed<'_>>().unwrap().unwrap().results;
            for (at, shard) in shards.iter().enumerate() {
                let stored = conn.read_all(shard.group).await;
                let new: Vec<_> = stored[before[at]..].iter().map(|record| (record.0, record.2[0])).collect();
                before[at] = stored.len();
                assert_eq!(new.len(), 10);
                let mine: Vec<_> = (0..60u8).filter(|n| usize::from(n % 3) == at).collect();
                let told = mine.iter().filter(|n| results[usize::from(**n)].error == 0);
                let told: Vec<_> = told.map(|n| (results[usize::from(*n)].offset, *n)).collect();
                assert_eq!(told, new, "what is told is what is stored");
                for n in mine {
                    let result = results[usize::from(n)];
                    assert_eq!(result.shard, shard.number);
                    assert!(result.error == 0 || result.error == ErrorCode::Throttled as u16);
                }
            }
        }
        assert_eq!(conn.stat(Stats::Node, "put_records_throttled_total").await, 4 * 30);
    });
}

/// Goal: Gets beyond five a second, or after too many bytes, are refused with the time to wait; subscriptions are paced and
/// take no Gets away.
#[test]
fn reads_are_throttled() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        for _ in 0..8 {
            conn.put(group, "k", &vec![1; (1 << 20) - 1]).await;
        }
        update(&mut conn, limits(StreamLimits::Aws)).await;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            world.rt().sleep(Duration::from_secs(20)).await;
            let get = Get { group, from: Offset(8), bytes_max: 1, wait_ms: 0 };
            for _ in 0..5 {
                conn.call(&get, &[]).await.answer::<Get>().unwrap().unwrap();
            }
            let refusal = conn.refused(&get, &[]).await;
            assert_eq!(refusal.code, ErrorCode::Throttled);
            assert!((180_000..=200_000).contains(&refusal.details.0), "{}", refusal.details.0);
            assert_eq!(u64::from(refusal.retry_after_ms), refusal.details.0.div_ceil(1_000));
            world.rt().sleep(Duration::from_secs(2)).await;
            // 4 MiB at 2 MiB/s: two seconds of nothing.
            let large = Get { group, from: Offset(0), bytes_max: 4 << 20, wait_ms: 0 };
            let bytes = conn.call(&large, &[]).await.body.len();
            let refusal = conn.refused(&get, &[]).await;
            let expected = (bytes as u64 * 1_000_000) / (2 << 20);
            assert!(refusal.details.0.abs_diff(expected) < 60_000, "{} for {bytes}", refusal.details.0);

            world.rt().sleep(Duration::from_secs(20)).await;
            let before = world.sim.now();
            let subscribe = Subscribe { group, start: Start::Horizon, consumer: 0, credit: 64 << 20 };
            conn.send(&request(900, &subscribe, &[])).await;
            assert_eq!(conn.recv().await.unwrap().head.kind, Kind::Answer);
            let mut got = 0;
            while got < 8 {
                let push = conn.recv().await.unwrap();
                assert_eq!(push.head.kind, Kind::Push);
                got += records(&push.body).len();
            }
            let took = world.sim.now().since(before);
            assert!((1_500_000..6_000_000).contains(&took), "8 MiB took {took} us");
        }
        assert!(conn.stat(Stats::Shard(group), "reads_throttled_total").await >= 8);
    });
}

/// Goal: retention is exact at read time, to the microsecond of the node's clock; raising it brings nothing back, lowering
/// it ends what is too old at once.
#[test]
fn retention() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        let horizon = async |conn: &mut Conn| {
            let answer = conn.call(&Position { group, start: Start::Horizon }, &[]).await;
            answer.answer::<Position>().unwrap().unwrap().offset
        };
        let first = conn.put(group, "k", b"0").await.arrival;
        world.rt().sleep(HOUR).await;
        conn.put(group, "k", b"1").await;
        let wall = async |conn: &mut Conn| {
            let answer = conn.call(&millstream::protocol::messages::Ping, &[]).await;
            answer.answer::<millstream::protocol::messages::Ping>().unwrap().unwrap().wall.0
        };
        let left = first.0 + 24 * 3_600_000_000 - wall(&mut conn).await;
        world.rt().sleep(Duration::from_micros(left - 100_000)).await;
        assert_eq!(horizon(&mut conn).await, Offset(0));
        world.rt().sleep(Duration::from_millis(101)).await;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            assert_eq!(horizon(&mut conn).await, Offset(1));
            let refusal = conn.refused(&Get { group, from: Offset(0), bytes_max: 1, wait_ms: 0 }, &[]).await;
            assert_eq!((refusal.code, refusal.details.0), (ErrorCode::BeforeHorizon, 1));
        }
        update(&mut conn, SettingsChange { retention_hours: Some(48), ..NO_CHANGE }).await;
        assert_eq!(horizon(&mut conn).await, Offset(1), "a longer retention brings nothing back");
        let answer = conn
            .call(&DescribeStream { name: "s", from_shard: ShardNumber(0), limit: 0, filter: ShardFilter::All }, &[])
            .await;
        assert!(answer.answer::<DescribeStream<'_>>().unwrap().unwrap().expired_before.0 > first.0);
        world.rt().sleep(HOUR * 20).await;
        assert_eq!(horizon(&mut conn).await, Offset(1));
        update(&mut conn, SettingsChange { retention_hours: Some(24), ..NO_CHANGE }).await;
        for addr in world.ports() {
            assert_eq!(horizon(&mut world.open(addr).await).await, Offset(2), "a shorter one is in force at once");
        }
        let wrong = UpdateStream { name: "s", settings: SettingsChange { retention_hours: Some(23), ..NO_CHANGE } };
        assert_eq!(conn.fails(&wrong, &[]).await, ErrorCode::InvalidArgument);
    });
}

/// Goal: a closed shard is listed and read until the retention has passed, and then it is gone, with its storage.
#[test]
fn closed_shards_expire() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, NO_CHANGE).await[0].group;
        conn.put(group, "k", b"0").await;
        let split = SplitShard { stream: "s", shard: ShardNumber(0), at: HashKey(1 << 127) };
        conn.call(&split, &[]).await.answer::<SplitShard<'_>>().unwrap().unwrap();
        world.rt().sleep(HOUR * 24 - Duration::from_secs(60)).await;
        assert_eq!(conn.describe("s").await.len(), 3);
        assert_eq!(conn.read_all(group).await.len(), 1);
        world.rt().sleep(Duration::from_secs(180)).await;
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let answer = conn
                .call(
                    &DescribeStream { name: "s", from_shard: ShardNumber(0), limit: 0, filter: ShardFilter::All },
                    &[],
                )
                .await;
            let shards = answer.answer::<DescribeStream<'_>>().unwrap().unwrap().shards;
            assert_eq!(shards.iter().map(|shard| shard.number.0).collect::<Vec<_>>(), [1, 2]);
            assert_eq!(
                conn.fails(&Get { group, from: Offset(0), bytes_max: 1, wait_ms: 0 }, &[]).await,
                ErrorCode::ShardNotFound
            );
        }
        let dir = format!("/shards/{:016x}", group.0);
        assert!(world.sim.files(world.node).iter().all(|(path, _)| !path.contains(&dir)));
    });
}

/// Goal: the storage of a deleted stream is freed in the background, after a kill half-way too; its name is free at once.
#[test]
fn deleted_streams_are_freed() {
    for wait_us in [None, Some(0), Some(300), Some(1_500), Some(5_000)] {
        let world = World::new(3);
        let old: Vec<String> = world.sim.block_on(async {
            let mut conn = world.worker(2).await;
            let shards = conn.create("s", 6, NO_CHANGE).await;
            for shard in &shards {
                conn.put(shard.group, "k", b"old").await;
            }
            let delete = DeleteStream { name: "s", enforce_consumer_deletion: false };
            conn.call(&delete, &[]).await.answer::<DeleteStream<'_>>().unwrap().unwrap();
            if let Some(wait_us) = wait_us {
                world.rt().sleep(Duration::from_micros(wait_us)).await;
            } else {
                let create = CreateStream { name: "s", shards: 1, settings: NO_CHANGE };
                conn.call(&create, &[]).await.answer::<CreateStream<'_>>().unwrap().unwrap();
            }
            shards.iter().map(|shard| format!("/shards/{:016x}", shard.group.0)).collect()
        });
        if wait_us.is_some() {
            world.sim.kill(world.node);
            world.start();
        }
        world.sim.block_on(async {
            let mut conn = world.worker(1).await;
            if wait_us.is_some() {
                conn.create("s", 1, NO_CHANGE).await;
            }
            let group = conn.describe("s").await[0].group;
            assert!(conn.read_all(group).await.is_empty());
            world.rt().sleep(Duration::from_secs(10)).await;
            assert_eq!(conn.stat(Stats::Node, "logs_being_freed").await, 0);
        });
        let files = world.sim.files(world.node);
        assert!(files.iter().all(|(path, _)| !old.iter().any(|old| path.contains(old))), "{files:?}");
    }
}

/// Goal: subscriptions share the bytes of Gets and not their number: many small pushes leave all five calls, and are not late.
#[test]
fn pushes_are_no_calls() {
    let world = World::new(3);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = conn.create("s", 1, limits(StreamLimits::Aws)).await[0].group;
        for addr in world.ports() {
            let mut reader = world.open(addr).await;
            let subscribe = Subscribe { group, start: Start::Latest, consumer: 0, credit: 1 << 20 };
            reader.send(&request(900, &subscribe, &[])).await;
            assert_eq!(reader.recv().await.unwrap().head.kind, Kind::Answer);
            let before = world.sim.now();
            for _ in 0..20 {
                conn.put(group, "k", b"").await;
                assert_eq!(reader.recv().await.unwrap().head.kind, Kind::Push);
            }
            assert!(world.sim.now().since(before) < 500_000);
            for _ in 0..5 {
                let get = Get { group, from: Offset(0), bytes_max: 1, wait_ms: 0 };
                reader.call(&get, &[]).await.answer::<Get>().unwrap().unwrap();
            }
            world.rt().sleep(Duration::from_secs(2)).await;
        }
    });
}
