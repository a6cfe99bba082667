//! later
use crate::world::{World, post};
/// Goal: x
#[test]
fn dbg_half() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).init();
    let world = World::new();
    world.sim.block_on(async {
        let mut half = world.connect().await;
        half.send(&post("/echo", b"whole")[..30]).await;
        world.sleep_ms(10).await;
        world.worker.drain();
        world.sleep_ms(10).await;
        half.send(&post("/echo", b"whole")[30..]).await;
        assert_eq!(half.answer().await.unwrap().text(), "whole");
    });
}
