use futures_lite::future::poll_once;

use super::*;
use crate::engine::testing::Machine;

/// Goal: a batch taken under `fsync` is synced before it is acknowledged as such, although the level was relaxed while it
/// was on its way; and a batch acknowledged under `interval` is not called synced because its resend came under `fsync`.
#[test]
fn an_answer_names_the_level_it_was_given_at() {
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(async {
            // A sync a moment ago: the next one by interval is not due yet.
            node.put(0, 100).await;
            let mut put = Box::pin(node.put(1, 100));
            assert!(poll_once(&mut put).await.is_none());
            node.log.set_durability(Durability::Interval);
            let receipt = put.await;
            assert_eq!(receipt.durability, Durability::Fsync);
            assert!(
                node.log.marks().durable().offset > receipt.base_offset,
                "seed {seed}: acknowledged before the sync"
            );

            let first = node.put_stamped(2, 100, Some(0)).await;
            assert_eq!(first.durability, Durability::Interval);
            node.log.set_durability(Durability::Fsync);
            let again = node.put_stamped(2, 100, Some(0)).await;
            assert!(again.duplicate);
            let is_synced = node.log.marks().durable().offset > again.base_offset;
            assert!(is_synced || again.durability == Durability::Interval, "seed {seed}: a resend is called synced");
        });
    }
}
