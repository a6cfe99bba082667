//! What the workload found, in small; and that it notices what it is for.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::client::{ConsumerOptions, ProducerOptions, Start};
use crate::sim::{DiskOp, Fault};
use crate::types::{ShardNumber, WorkerId};

/// Goal: a registered consumer goes on when its shard moves: it once ended as if a newer subscription had taken over.
#[test]
fn a_registered_consumer_follows_a_shard_that_moves() {
    for seed in 0..5 {
        let sim = Sim::new(seed, super::super::options("live", seed));
        let world =
            World::new(&sim, Plan { throttled: false, jumps: false, troubles: Troubles::NONE, ..Plan::draw(seed) });
        world.machine.start(3);
        assert!(sim.run_until(|| world.machine.is_ready(), PATIENCE));
        let rt = sim.runtime(sim.host("client"));
        sim.block_on(async {
            let client = Client::connect(rt.clone(), world.addr(), ClientOptions::default()).await.unwrap();
            client.create_stream(STREAM, 1, SettingsChange::default()).await.unwrap();
            let id = client.register_consumer(STREAM, "reader", &[]).await.unwrap().id;
            let options = ConsumerOptions { consumer: Some(id), ..ConsumerOptions::default() };
            let mut consumer = client.consumer(STREAM, ShardNumber(0), Start::Horizon, options).await.unwrap();
            let producer = client.producer(STREAM, ProducerOptions::default()).await.unwrap();
            for round in 0..6 {
                let data = [round as u8];
                producer.put("key", &data).await.unwrap();
                assert_eq!(consumer.next().await.unwrap().unwrap().data(), data);
                client.move_shard(STREAM, ShardNumber(0), WorkerId(round % 3)).await.unwrap();
            }
        });
    }
}

/// Goal: a run depends on its seed alone, the client included: what a broken connection left was once told in any order.
#[test]
fn same_seed_same_trace() {
    let hash = |seed| run(seed).trace_hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}

/// Goal: a node stops although a subscription is paced: its worker once tried to read again and again, without a pause.
#[test]
fn a_paced_subscription_does_not_keep_a_node_from_stopping() {
    let sim = Sim::new(1, super::super::options("live", 1));
    let world = World::new(&sim, Plan { troubles: Troubles::NONE, ..Plan::draw(1) });
    let node = world.machine.start(1);
    assert!(sim.run_until(|| world.machine.is_ready(), PATIENCE));
    let rt = sim.runtime(sim.host("client"));
    let consumer = sim.block_on(async {
        let client = Client::connect(rt.clone(), world.addr(), ClientOptions::default()).await.unwrap();
        let limits = CustomLimits { read_bytes_s: 1_000, ..CustomLimits::default() };
        let settings = SettingsChange { limits: Some(StreamLimits::Custom(limits)), ..SettingsChange::default() };
        client.create_stream(STREAM, 1, settings).await.unwrap();
        let producer = client.producer(STREAM, ProducerOptions::default()).await.unwrap();
        for _ in 0..10 {
            producer.put("key", &[7; 5_000]).await.unwrap();
        }
        let options = ConsumerOptions::default();
        let mut consumer = client.consumer(STREAM, ShardNumber(0), Start::Horizon, options).await.unwrap();
        consumer.next().await.unwrap().unwrap();
        consumer
    });
    // The first read left a debt.
    sim.run_for(Duration::from_millis(10));
    world.stop_node(&node);
    drop(consumer);
}

/// Goal: a producer that closes, or gets an answer that was overtaken, while shards are split and merged uses no stamp
/// twice: the shard took what was sent under such a stamp for a duplicate, and it was lost.
#[test]
fn no_stamp_is_used_twice() {
    for seed in [17, 24] {
        run_plan(seed, Plan { troubles: Troubles::NONE, ..Plan::draw(seed) });
    }
}

/// Goal: the checker notices what a node forgets that does not sync.
#[test]
fn missing_syncs_are_noticed() {
    let skipped =
        Injection { op: DiskOp::Sync, path_contains: ".seg".to_owned(), skip: 0, times: u32::MAX, fault: Fault::Skip };
    let caught = (0..10).find(|seed| {
        let plan = Plan { aimed: vec![skipped.clone()], troubles: Troubles::NONE, ..Plan::draw(*seed) };
        catch_unwind(AssertUnwindSafe(|| run_plan(*seed, plan))).is_err()
    });
    println!("caught by seed {caught:?}");
    assert!(caught.is_some(), "nothing is synced, and nobody notices");
}

/// Goal: the checker notices each step that keeps records whole and in order while shards change: that puts to parents wait
/// until the reshard is in the catalogue, that it is durable before the children open, that a shard that moves is let go of.
#[test]
fn missing_steps_of_reshards_and_moves_are_noticed() {
    for step in [Step::HoldParents, Step::StoreReshard, Step::DrainBeforeMove] {
        let caught = (0..60).find(|seed| {
            let plan = Plan { left_out: Some(step), troubles: Troubles::NONE, ..Plan::draw(*seed) };
            catch_unwind(AssertUnwindSafe(|| run_plan(*seed, plan))).is_err()
        });
        println!("{step:?}: caught by seed {caught:?}");
        assert!(caught.is_some(), "not noticed: {step:?} is left out");
    }
}
