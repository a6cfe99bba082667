//! Nothing unbounded: a client that misbehaves meets a limit, and costs the others nothing.

use std::time::Duration;

use millstream::engine::env::Tuning;
use millstream::limits::{CONNECTIONS_PER_WORKER_MAX, OUTBOX_BYTES_MAX, SEND_STALL_US_MAX};
use millstream::protocol::messages::{
    Get, HashKeys, Put, PutKeyed, ReadState, SettingsChange, Start, Stats, Subscribe,
};
use millstream::protocol::{ErrorCode, Kind};
use millstream::runtime::Reactor;
use millstream::runtime::local::join_all;
use millstream::sim::{DiskOp, Fault, Injection};
use millstream::types::{GroupId, Offset, WorkerId};

use crate::world::{Conn, World, credit, one, put, records, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;

/// A shard of each worker.
async fn shards(world: &World, conn: &mut Conn) -> Vec<GroupId> {
    let shards = conn.create("s", 8, NO_CHANGE).await;
    let of = |worker| shards.iter().find(|shard| shard.worker == WorkerId(worker)).unwrap().group;
    (0..world.workers).map(of).collect()
}

/// Goal: many who wait for records of another worker hold up nobody else's requests to it.
#[test]
fn forwarded_long_polls_hold_up_nobody() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let there = shards(&world, &mut conn).await[1];
        let mut waiting = world.worker(0).await;
        for correlation in 1..=200 {
            let get = Get { group: there, from: Offset(0), bytes_max: u32::MAX, wait_ms: 20_000 };
            waiting.send(&request(correlation, &get, &[])).await;
            let subscribe = Subscribe { group: there, start: Start::At(Offset(0)), consumer: 0, credit: u32::MAX };
            waiting.send(&request(1_000 + correlation, &subscribe, &[])).await;
        }
        world.rt().sleep(Duration::from_millis(500)).await;
        let before = world.sim.now();
        conn.put(there, "k", b"1").await;
        assert!(world.sim.now().since(before) < 1_000_000);
        for _ in 0..600 {
            assert_ne!(waiting.recv().await.unwrap().head.kind, Kind::Error);
        }
    });
}

/// Goal: when all that waits on a worker is too much, those who have read slowly for longest are disconnected, long before their
/// own time is up; the newest of them and those who read stay.
#[test]
fn who_reads_slowly_makes_room() {
    const DEAF: u64 = 5;
    let world = World::with(1, |options| options.tuning.answers_bytes_max = 3 * OUTBOX_BYTES_MAX);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = shards(&world, &mut conn).await[0];
        for _ in 0..8 {
            conn.put(group, "k", &vec![1; 1_000_000]).await;
        }
        let get = Get { group, from: Offset(0), bytes_max: u32::MAX, wait_ms: 0 };
        let mut deaf = Vec::new();
        for _ in 0..DEAF {
            let mut one = world.worker(0).await;
            let gets: Vec<u8> = (1..=100).flat_map(|correlation| request(correlation, &get, &[])).collect();
            one.send(&gets).await;
            deaf.push(one);
            world.rt().sleep(Duration::from_secs(2)).await;
        }
        let left = conn.stat(Stats::Node, "connections").await - 1;
        assert!((1..=3).contains(&left), "{left} of {DEAF} hold a full outbox each");
        conn.send(&request(77, &get, &[])).await;
        assert_ne!(conn.recv().await.unwrap().head.kind, Kind::Error);
        // The last one to come still gets its answers.
        assert_ne!(deaf.pop().unwrap().recv().await.unwrap().head.kind, Kind::Error);
    });
}

/// Goal: a client that asks for much and reads nothing is held to its outbox and disconnected in the end; others go on.
#[test]
fn who_never_reads_is_bounded() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let groups = shards(&world, &mut conn).await;
        for group in &groups {
            for _ in 0..8 {
                conn.put(*group, "k", &vec![1; 1_000_000]).await;
            }
        }
        for group in &groups {
            let before = conn.stat(Stats::Shard(*group), "read_bytes_total").await;
            let mut deaf = world.worker(0).await;
            let get = Get { group: *group, from: Offset(0), bytes_max: u32::MAX, wait_ms: 0 };
            let gets: Vec<u8> = (1..=1_000).flat_map(|correlation| request(correlation, &get, &[])).collect();
            deaf.send(&gets).await;
            world.rt().sleep(Duration::from_secs(5)).await;
            conn.put(*group, "k", b"others go on").await;
            let read = conn.stat(Stats::Shard(*group), "read_bytes_total").await - before;
            // What waits, and a read under way for each turn, each a little more than it asked for.
            let most = OUTBOX_BYTES_MAX as u64 + 6 * (5 << 20);
            assert!(read > 1 << 20 && read < most, "{read} bytes were read for it");
            world.rt().sleep(Duration::from_micros(SEND_STALL_US_MAX)).await;
            assert_eq!(conn.stat(Stats::Node, "connections").await, 1, "it was disconnected");
        }
    });
}

/// Goal: a client that reads slowly, but reads, is not taken for one that does not.
#[test]
fn who_reads_slowly_is_kept() {
    let world = World::new(1);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = shards(&world, &mut conn).await[0];
        for _ in 0..4 {
            conn.put(group, "k", &vec![1; 1_000_000]).await;
        }
        let mut slow = world.worker(0).await;
        slow.send(&request(1, &Get { group, from: Offset(0), bytes_max: u32::MAX, wait_ms: 0 }, &[])).await;
        let mut got = bytes::BytesMut::with_capacity(64 << 10);
        let mut total = 0;
        while total < 4_000_000 {
            let read = slow.read_some(&mut got).await;
            assert!(read > 0, "disconnected after {total} bytes");
            total += read;
            got.clear();
            world.rt().sleep(Duration::from_millis(2_000)).await;
        }
    });
}

/// Goal: one connection more than the worker takes is refused with its error, and there is room again afterwards.
#[test]
fn too_many_connections() {
    let world = World::new(1);
    world.sim.block_on(async {
        let mut all = Vec::new();
        while all.len() < CONNECTIONS_PER_WORKER_MAX {
            let batch = (0..500).map(|_| world.connect(world.ports()[1]));
            all.extend(join_all(batch).await);
        }
        let mut refused = world.connect(world.ports()[0]).await;
        assert_eq!(refused.ends_with().await, Some(ErrorCode::TooManyConnections));
        drop(all);
        world.rt().sleep(Duration::from_secs(3)).await;
        world.worker(0).await.ping().await;
    });
}

/// Goal: a body that comes in drops is given up when the time for a request is over, however steadily it drops.
#[test]
fn a_request_arrives_in_time_or_not_at_all() {
    let world = World::new(1);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let group = shards(&world, &mut conn).await[0];
        let mut slow = world.worker(0).await;
        let bytes = request(9, &put(group), &one("k", &[1; 200_000]));
        slow.send(&bytes[..1000]).await;
        let before = world.sim.now();
        for byte in bytes[1000..].chunks(1).take(7) {
            slow.send(byte).await;
            world.rt().sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(slow.ends_with().await, Some(ErrorCode::TooSlow));
        assert!(world.sim.now().since(before) < 36_000_000);
        assert!(conn.read_all(group).await.is_empty());
    });
}

/// Goal: a subscriber who falls behind what is kept in memory gets everything, in order, from disk.
#[test]
fn a_slow_subscriber_gets_everything() {
    let world = World::with(2, |options| options.tuning = Tuning { tail_bytes_max: 0, ..Tuning::default() });
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        for group in shards(&world, &mut conn).await {
            let mut slow = world.worker(0).await;
            slow.send(&request(7, &Subscribe { group, start: Start::At(Offset(0)), consumer: 0, credit: 1 }, &[]))
                .await;
            assert_eq!(slow.recv().await.unwrap().head.kind, Kind::Answer);
            for number in 0..300u32 {
                conn.put(group, "k", &number.to_le_bytes().repeat(100)).await;
            }
            let mut all = Vec::new();
            while all.len() < 300 {
                let push = slow.recv().await.unwrap();
                assert_eq!(push.head.kind, Kind::Push);
                all.extend(records(&push.body));
                slow.send(&credit(8, 7, push.head.body_len)).await;
            }
            for (nth, (offset, _, data)) in all.iter().enumerate() {
                assert_eq!((offset.0, &data[..4]), (nth as u64, &(nth as u32).to_le_bytes()[..]));
            }
        }
    });
}

/// Goal: a flood of tiny puts on one connection is stored in its order, here and through another worker.
#[test]
fn a_flood_of_tiny_puts() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        for group in shards(&world, &mut conn).await {
            let mut flood = world.worker(0).await;
            const COUNT: u64 = 6_000;
            let bytes: Vec<u8> =
                (1..=COUNT).flat_map(|nth| request(nth, &put(group), &one("k", &nth.to_le_bytes()))).collect();
            assert!(flood.send(&bytes).await);
            let mut seen = vec![false; COUNT as usize];
            for _ in 0..COUNT {
                let answer = flood.recv().await.unwrap();
                let nth = answer.head.correlation - 1;
                assert_eq!(answer.answer::<Put>().unwrap().unwrap().base_offset, Offset(nth));
                assert!(!std::mem::replace(&mut seen[nth as usize], true), "one answer each");
            }
            let all = conn.read_all(group).await;
            assert!(all.iter().zip(1u64..).all(|((_, _, data), nth)| *data == nth.to_le_bytes()));
            assert_eq!(all.len() as u64, COUNT);
        }
    });
}

/// Goal: a keyed put with more shares for a worker than may be under way to it is stored, and nobody waits for ever.
#[test]
fn a_keyed_put_over_very_many_shards() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let groups: Vec<_> = conn.create("wide", 2_200, NO_CHANGE).await;
        let keys: Vec<_> = groups.iter().map(|shard| Some(shard.hash_start)).collect();
        let mut scratch = Vec::new();
        let hash_keys = HashKeys::collect(keys.iter().copied(), &mut scratch);
        let body = one("k", b"x").repeat(keys.len());
        let put = PutKeyed { stream: "wide", record_count: keys.len() as u32, hash_keys };
        let answer = conn.call(&put, &body).await;
        let answer = answer.answer::<PutKeyed<'_>>().unwrap().unwrap();
        assert!(answer.results.iter().zip(&groups).all(|(result, shard)| {
            result.error == 0 && result.offset == Offset(0) && result.shard == shard.number
        }));
    });
}

/// Goal: a shard whose log died does not keep its worker busy, and its subscribers go on when it is back.
#[test]
fn a_dead_log_holds_up_nobody() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        for group in shards(&world, &mut conn).await {
            let mut reader = world.worker(0).await;
            reader
                .send(&request(7, &Subscribe { group, start: Start::At(Offset(0)), consumer: 0, credit: 1 << 20 }, &[]))
                .await;
            assert_eq!(reader.recv().await.unwrap().head.kind, Kind::Answer);
            let injection =
                Injection { op: DiskOp::Write, path_contains: String::new(), skip: 0, times: 1, fault: Fault::Eio };
            world.sim.inject(world.node, injection);
            assert_eq!(conn.fails(&put(group), &one("k", b"lost")).await, ErrorCode::LogFailed);
            conn.ping().await;
            world.rt().sleep(Duration::from_secs(3)).await;
            conn.put(group, "k", b"there").await;
            let mut last = Vec::new();
            while last != b"there" {
                let push = reader.recv().await.unwrap();
                assert_eq!(push.head.kind, Kind::Push);
                last = records(&push.body).pop().unwrap().2;
            }
            let get = Get { group, from: Offset(0), bytes_max: 100, wait_ms: 0 };
            let _: ReadState = conn.call(&get, &[]).await.answer::<Get>().unwrap().unwrap();
        }
    });
}
