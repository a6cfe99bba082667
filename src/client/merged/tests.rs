use std::collections::BTreeMap;

use super::*;
use crate::client::testing::{STREAM, World, check_filled};
use crate::client::{Mode, Stop};
use crate::types::Offset;

fn options(mode: Mode) -> ConsumerOptions {
    ConsumerOptions { mode, stop: Stop::AtEnd, bytes_max: 4_000, ..ConsumerOptions::default() }
}

/// Goal: every record of every shard comes once, in the order of its shard, and then it ends.
#[test]
fn all_shards_in_their_order() {
    for mode in [Mode::Get, Mode::Push] {
        let world = World::new(1, 5);
        for (shard, count) in [300, 0, 17, 300, 1].into_iter().enumerate() {
            world.fill(shard, count);
        }
        world.sim.block_on(async {
            let client = world.client().await;
            let mut merged = client.merged(STREAM, Start::Horizon, options(mode)).await.unwrap();
            assert_eq!(merged.shards().len(), 5);
            let mut due: BTreeMap<ShardNumber, u64> = BTreeMap::new();
            while let Some(record) = merged.next().await {
                let record = record.unwrap();
                let due = due.entry(record.shard).or_default();
                check_filled(&record, *due);
                *due += 1;
            }
            assert_eq!(due.into_values().collect::<Vec<_>>(), [300, 17, 300, 1]);
        });
    }
}

/// Goal: a small shard is not starved by a large one.
#[test]
fn a_small_shard_has_its_turn() {
    let world = World::new(2, 2);
    world.fill(0, 5_000);
    world.fill(1, 10);
    world.sim.block_on(async {
        let client = world.client().await;
        let mut merged = client.merged(STREAM, Start::Horizon, options(Mode::Get)).await.unwrap();
        let mut before = 0;
        while merged.next().await.unwrap().unwrap().shard == ShardNumber(0) {
            before += 1;
        }
        assert!(before < 1_000, "{before} records of the large shard came first");
    });
}

/// Goal: one shard's loss carries its name, what is intact behind it still comes, and the others go on; dropping it all
/// ends the tasks.
#[test]
fn an_error_is_of_one_shard() {
    let world = World::new(3, 2);
    world.fill(0, 30);
    world.fill(1, 30);
    world.store.shards.borrow_mut()[1].lost = Some((Offset(10), Offset(20)));
    world.sim.block_on(async {
        let client = world.client().await;
        let mut merged = client.merged(STREAM, Start::Horizon, options(Mode::Push)).await.unwrap();
        let (mut errors, mut records) = (Vec::new(), 0);
        while let Some(record) = merged.next().await {
            match record {
                Ok(_) => records += 1,
                Err(error) => errors.push(error),
            }
        }
        assert_eq!(records, 50, "ten are lost");
        assert!(matches!(&errors[..], [ShardError { shard: ShardNumber(1), error: Error::Damaged { .. } }]));

        let forever = ConsumerOptions { stop: Stop::Never, ..options(Mode::Push) };
        let merged = client.merged(STREAM, Start::Latest, forever).await.unwrap();
        let shared = Rc::downgrade(&merged.shared);
        drop(merged);
        client.reactor().sleep(std::time::Duration::from_millis(10)).await;
        assert!(shared.upgrade().is_none(), "a task lives on");
        let error = client.merged(STREAM, Start::At(Offset(0)), options(Mode::Get)).await.unwrap_err();
        assert!(matches!(error, Error::Argument(_)));
    });
}

/// Goal: a reader that follows a thousand reshards asks for each shard's family once, and lists what it has not seen once: no
/// description grows with the shards that were closed before.
#[test]
fn following_costs_the_same_however_many_were_closed() {
    const ROUNDS: usize = 300;
    for (mode, start) in [(Mode::Get, Start::Horizon), (Mode::Push, Start::Horizon), (Mode::Get, Start::Latest)] {
        let world = World::new(5, 1);
        let forever = ConsumerOptions { stop: Stop::Never, ..options(mode) };
        world.sim.block_on(async {
            let client = world.client().await;
            if start == Start::Latest {
                // Closed before it begins: not even listed then.
                (0..ROUNDS).for_each(|n| {
                    world.split(3 * n);
                    world.merge(3 * n + 1, 3 * n + 2);
                });
            }
            let before = world.store.shards.borrow().len();
            let mut merged = client.merged(STREAM, start, forever).await.unwrap();
            let (_, listed) = world.store.described.get();
            assert_eq!(listed, 1, "the open shard");
            for round in 0..ROUNDS {
                let last = before - 1 + 3 * round;
                world.fill(last, 1);
                world.split(last);
                world.fill(last + 1, 1);
                world.fill(last + 2, 1);
                world.merge(last + 1, last + 2);
            }
            for _ in 0..3 * ROUNDS {
                merged.next().await.unwrap().unwrap();
            }
            let (calls, listed) = world.store.described.get();
            let made = 3 * ROUNDS as u64;
            assert!(calls <= 3 * made + 10, "{calls} descriptions of {made} shards");
            assert!(listed <= 6 * made + 10, "{listed} shards listed, {made} made");
        });
    }
}

/// Goal: a merged reader follows splits and merges to the end, every record once, children after their parents; memory and
/// all, it waits for more afterwards.
#[test]
fn reshards_are_followed() {
    for mode in [Mode::Get, Mode::Push] {
        let world = World::new(4, 2);
        world.fill(0, 300);
        world.fill(1, 5);
        world.sim.block_on(async {
            let client = world.client().await;
            let forever = ConsumerOptions { stop: Stop::Never, ..options(mode) };
            let mut merged = client.merged(STREAM, Start::Horizon, forever).await.unwrap();
            world.split(0);
            world.fill(2, 20);
            world.fill(3, 20);
            world.merge(3, 1);
            world.fill(4, 7);
            world.move_shard(2);
            let mut due: BTreeMap<u32, u64> = BTreeMap::new();
            for _ in 0..352 {
                let record = merged.next().await.unwrap().unwrap();
                let shard = record.shard.0;
                check_filled(&record, *due.entry(shard).or_default());
                *due.get_mut(&shard).unwrap() += 1;
                let has = |shard: u32| due.get(&shard).copied().unwrap_or(0);
                assert!(!matches!(shard, 2 | 3) || has(0) == 300, "a child before its parent");
                assert!(shard != 4 || (has(3), has(1)) == (20, 5), "a child before its parents");
            }
            assert_eq!(merged.shards(), [ShardNumber(2), ShardNumber(4)]);
        });
    }
}

/// Goal: a node that is away for longer than the client tries, and not as long as a reader does, is nobody's error, whatever was
/// being asked when it went: where a shard is now, what its children are, their first records.
#[test]
fn a_node_that_is_away_while_shards_change_is_waited_for() {
    let away = crate::client::testing::options().retry_for + Duration::from_secs(5);
    for (mode, moment) in [Mode::Get, Mode::Push].into_iter().flat_map(|mode| (0..60).map(move |n| (mode, n * 40))) {
        let world = World::new(moment, 2);
        world.fill(0, 30);
        world.fill(1, 30);
        world.sim.block_on(async {
            let client = world.client().await;
            let options = ConsumerOptions { stop: Stop::Never, ..options(mode) };
            let mut merged = client.merged(STREAM, Start::Horizon, options).await.unwrap();
            let troubles = async {
                client.reactor().sleep(Duration::from_secs(1)).await;
                world.split(0);
                world.move_shard(1);
                for shard in 1..4 {
                    world.fill(shard, 20);
                }
                client.reactor().sleep(Duration::from_micros(moment)).await;
                world.sim.kill(world.node);
                client.reactor().sleep(away).await;
                world.start();
            };
            let reading = async {
                for _ in 0..30 + 50 + 40 {
                    merged.next().await.unwrap().unwrap();
                }
            };
            futures_lite::future::zip(reading, troubles).await;
        });
    }
}
