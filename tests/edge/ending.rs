//! Ends: of the node, of connections with work under way.

use std::time::Duration;

use millstream::protocol::messages::{Get, Put, SettingsChange, ShardState, Start, Stats, Subscribe, SubscriptionEnd};
use millstream::protocol::{Decode, ErrorCode, Kind};
use millstream::runtime::Reactor;
use millstream::types::{GroupId, Offset};

use crate::world::{World, credit, error, one, put, request};

const NO_CHANGE: SettingsChange = SettingsChange::NONE;

/// Goal: a stopping node answers what it has taken up and nothing else, no credit that comes now, ends subscriptions with or without
/// credit, and loses nothing.
#[test]
fn draining() {
    let world = World::new(2);
    let groups: Vec<GroupId> = world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let groups: Vec<_> = conn.create("s", 4, NO_CHANGE).await.iter().map(|shard| shard.group).collect();
        for group in &groups {
            conn.put(*group, "k", b"before").await;
        }
        let mut busy = world.worker(0).await;
        for (nth, group) in (0u64..).zip(&groups) {
            let get = Get { group: *group, from: Offset(1), bytes_max: 100, wait_ms: 20_000 };
            busy.send(&request(10 + nth, &get, &[])).await;
            busy.send(&request(
                20 + nth,
                &Subscribe { group: *group, start: Start::At(Offset(0)), consumer: 0, credit: 0 },
                &[],
            ))
            .await;
            busy.send(&request(
                30 + nth,
                &Subscribe { group: *group, start: Start::At(Offset(1)), consumer: 0, credit: 99 },
                &[],
            ))
            .await;
        }
        for _ in 0..8 {
            assert_eq!(busy.recv().await.unwrap().head.kind, Kind::Answer);
        }
        let before = world.sim.now();
        // The worker stands still: when it goes on, the node is stopping, and the credits have come.
        world.sim.stall(world.node, 0, Duration::from_millis(5));
        world.stop();
        for nth in 30..34 {
            busy.send(&credit(nth, nth, 1)).await;
        }
        let (mut gets, mut ends) = (0, 0);
        while let Some(message) = busy.recv().await {
            match message.head.kind {
                Kind::Answer => gets += 1,
                // Of a shard of the other worker, which has ended meanwhile.
                Kind::Error if message.head.correlation < 20 => {
                    assert_eq!(error(&message), ErrorCode::Draining);
                    gets += 1;
                }
                Kind::LastPush => {
                    let end = SubscriptionEnd::decode(&message.args).unwrap();
                    assert_eq!(end.error.unwrap().known(), Some(ErrorCode::Draining));
                    assert_eq!(end.next_offset.0, u64::from(message.head.correlation >= 30));
                    ends += 1;
                }
                other => panic!("{other:?} of {}", message.head.correlation),
            }
        }
        assert_eq!((gets, ends), (4, 8));
        assert!(conn.recv().await.is_none(), "idle connections are closed");
        world.stopped().await;
        assert!(world.sim.now().since(before) < 1_000_000, "nothing was waited for in vain");
        groups
    });
    world.sim.kill(world.node);
    world.start();
    world.sim.block_on(async {
        let mut conn = world.worker(1).await;
        for group in groups {
            assert_eq!(conn.read_all(group).await.len(), 1);
        }
    });
}

/// Goal: puts that were taken when the node is told to stop are answered as stored, and are stored.
#[test]
fn draining_with_puts_under_way() {
    let world = World::new(2);
    let (groups, acked) = world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let groups: Vec<_> = conn.create("s", 4, NO_CHANGE).await.iter().map(|shard| shard.group).collect();
        let puts: Vec<u8> = (0..400u64)
            .flat_map(|nth| request(1_000 + nth, &put(groups[nth as usize % 4]), &one("k", &nth.to_le_bytes())))
            .collect();
        conn.send(&puts).await;
        conn.recv().await.unwrap();
        world.stop();
        let mut acked = 1;
        while let Some(message) = conn.recv().await {
            match message.answer::<Put>().unwrap() {
                Ok(_) => acked += 1,
                Err(error) => assert_eq!(error.known(), Some(ErrorCode::Draining)),
            }
        }
        world.stopped().await;
        (groups, acked)
    });
    world.sim.kill(world.node);
    world.start();
    world.sim.block_on(async {
        let mut conn = world.worker(1).await;
        let mut found = 0;
        for group in groups {
            found += conn.read_all(group).await.len();
        }
        assert_eq!(found, acked);
    });
}

/// Goal: clients that leave with requests under way leave nothing behind, and what they put is stored.
#[test]
fn leaving_with_requests_under_way() {
    let world = World::new(2);
    world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let groups: Vec<_> = conn.create("s", 2, NO_CHANGE).await.iter().map(|shard| shard.group).collect();
        for turn in 0..20 {
            let mut leaving = world.worker(turn % 2).await;
            for (nth, group) in (0u64..).zip(&groups) {
                leaving.send(&request(1 + nth, &put(*group), &one("k", b"1"))).await;
                let get = Get { group: *group, from: Offset(90), bytes_max: 100, wait_ms: 20_000 };
                leaving.send(&request(10 + nth, &get, &[])).await;
                let get = Get { group: *group, from: Offset(0), bytes_max: 100, wait_ms: 20_000 };
                leaving.send(&request(20 + nth, &get, &[])).await;
                leaving
                    .send(&request(
                        30 + nth,
                        &Subscribe { group: *group, start: Start::At(Offset(0)), consumer: 0, credit: 1 << 20 },
                        &[],
                    ))
                    .await;
            }
            world.rt().sleep(Duration::from_millis(2)).await;
        }
        world.rt().sleep(Duration::from_secs(5)).await;
        assert_eq!(conn.stat(Stats::Node, "connections").await, 1);
        for group in groups {
            assert_eq!(conn.read_all(group).await.len(), 20);
        }
    });
}

/// Goal: a shard that is found damaged on start is known as such by every worker, and the others take puts.
#[test]
fn a_damaged_shard_is_known_everywhere() {
    let world = World::new(2);
    let groups: Vec<GroupId> = world.sim.block_on(async {
        let mut conn = world.worker(0).await;
        let groups: Vec<_> = conn.create("s", 2, NO_CHANGE).await.iter().map(|shard| shard.group).collect();
        for _ in 0..3 {
            conn.put(groups[1], "k", &[7; 5_000]).await;
            world.rt().sleep(Duration::from_millis(300)).await;
        }
        world.stop();
        world.stopped().await;
        groups
    });
    world.sim.kill(world.node);
    let damaged = format!("{:016x}", groups[1].0);
    let files = world.sim.files(world.node);
    let of_shard = files.iter().filter(|(path, len)| path.contains(&damaged) && *len >= 1 << 20);
    for (path, _) in of_shard {
        world.sim.flip_bit(world.node, path, 4096 + 2_000, 3).unwrap();
    }
    world.start();
    world.sim.block_on(async {
        for addr in world.ports() {
            let mut conn = world.open(addr).await;
            let states: Vec<_> = conn.describe("s").await.iter().map(|shard| shard.state).collect();
            assert_eq!(states, [ShardState::Open, ShardState::Quarantined], "{files:?}");
            conn.put(groups[0], "k", b"1").await;
            assert_eq!(conn.fails(&put(groups[1]), &one("k", b"1")).await, ErrorCode::ShardQuarantined);
        }
    });
}
