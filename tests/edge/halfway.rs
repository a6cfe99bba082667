//! Changes that something comes between, half-way: somebody else's change.

use std::time::Duration;

use millstream::protocol::ErrorCode;
use millstream::protocol::messages::{
    CreateStream, DeleteStream, DeregisterConsumer, RegisterConsumer, SettingsChange,
};
use millstream::runtime::Reactor;

use crate::world::{World, request};

const CREATE: CreateStream<'static> = CreateStream { name: "s", shards: 4, settings: SettingsChange::NONE };
const DELETE: DeleteStream<'static> = DeleteStream { name: "s", enforce_consumer_deletion: true };

/// Goal: a change that was in force is not answered as refused because somebody else took it back before all workers had
/// carried it out: who registered a consumer is told which one, though it is deregistered by then; who created a stream that is
/// deleted by then is not told that there is none.
#[test]
fn taken_back_before_it_is_answered() {
    let world = World::new(3);
    world.sim.block_on(async {
        let (mut first, mut second) = (world.worker(0).await, world.worker(0).await);
        // Long enough for a change to come into force on the worker that decides.
        let (a_while, stall) = (Duration::from_millis(100), Duration::from_secs(1));

        world.sim.stall(world.node, 2, stall);
        first.send(&request(70, &CREATE, &[])).await;
        world.rt().sleep(a_while).await;
        second.send(&request(70, &DELETE, &[])).await;
        let message = first.recv().await.unwrap();
        let refusal = message.answer::<CreateStream<'_>>().unwrap().unwrap_err();
        assert_eq!(refusal.known(), Some(ErrorCode::Timeout), "it was in force");
        second.recv().await.unwrap().answer::<DeleteStream<'_>>().unwrap().unwrap();

        first.create("s", 4, SettingsChange::NONE).await;
        world.sim.stall(world.node, 2, stall);
        first.send(&request(71, &RegisterConsumer { stream: "s", name: "c", tags: vec![] }, &[])).await;
        world.rt().sleep(a_while).await;
        second.send(&request(71, &DeregisterConsumer { stream: "s", name: "c" }, &[])).await;
        let message = first.recv().await.unwrap();
        let registered = message.answer::<RegisterConsumer<'_>>().unwrap().unwrap().consumer;
        assert_eq!(registered.name, "c");
        second.recv().await.unwrap().answer::<DeregisterConsumer<'_>>().unwrap().unwrap();
    });
}
