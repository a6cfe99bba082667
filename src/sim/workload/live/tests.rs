//! What the workload found, in small; and that it notices what it is for.

use super::*;
use crate::client::{ConsumerOptions, ProducerOptions, Start};
use crate::types::{ShardNumber, WorkerId};

/// Goal: a registered consumer goes on when its shard moves: it once ended as if a newer subscription had taken over.
#[test]
fn a_registered_consumer_follows_a_shard_that_moves() {
    for seed in 0..5 {
        let sim = Sim::new(seed, super::super::options("live", seed));
        let world = World::new(&sim, Plan { throttled: false, jumps: false, ..Plan::draw(seed) });
        world.start_node_with(3);
        assert!(sim.run_until(|| world.ready.get(), PATIENCE));
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
