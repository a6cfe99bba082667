use std::time::Duration;

use futures_lite::future::poll_once;

use super::*;
use crate::engine::testing::Machine;
use crate::runtime::Reactor;
use crate::sim::{DiskOp, Fault, Injection};

const SEGMENT: &str = "0000000000.seg";

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

/// Goal: zeros that the disk takes its time with do not come down on frames that were written meanwhile.
#[test]
fn late_zeros_meet_no_frames() {
    const PUTS: u64 = 40;
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let node = machine.start();
        // The header of the segment and the first frame pass; the zeros that follow are late.
        let write = |skip, fault| Injection { op: DiskOp::Write, path_contains: String::new(), skip, times: 1, fault };
        machine.sim.inject(machine.host, write(2, Fault::SlowUs(50_000)));
        machine.sim.block_on(async {
            node.put(0, 3_000).await;
            // The zeros are on their way by then, and the log is not quiet yet.
            node.rt.sleep(Duration::from_millis(5)).await;
            for number in 1..PUTS {
                node.put(number, 3_000).await;
            }
        });
        machine.kill(node);
        let node = machine.start();
        let found = machine.sim.block_on(node.read_all(Offset(0))).expect("all is well");
        assert_eq!(found, (0..PUTS).collect::<Vec<_>>(), "seed {seed}");
    }
}

/// Goal: zeros that cannot be written cost speed and nothing else.
#[test]
fn zeros_that_fail_are_done_without() {
    let machine = Machine::new(1);
    let node = machine.start();
    let fault = Injection { op: DiskOp::Write, path_contains: String::new(), skip: 2, times: 1, fault: Fault::Eio };
    machine.sim.inject(machine.host, fault);
    machine.sim.block_on(async {
        node.put(0, 3_000).await;
        node.rt.sleep(Duration::from_millis(5)).await;
        for number in 1..20 {
            node.put(number, 3_000).await;
        }
        assert_eq!(node.read_all(Offset(0)).await.expect("all is well"), (0..20).collect::<Vec<_>>());
    });
}

/// Goal: a put that comes while the hint of a quiet log is on its way has a hint of its own: its frame, spoilt later, is missed.
#[test]
fn a_put_beside_the_hint_is_missed_when_it_is_spoilt() {
    for wait_ms in [60, 90, 101, 105, 110, 120, 149] {
        let machine = Machine::new(wait_ms);
        let node = machine.start();
        machine.sim.block_on(async {
            node.put(0, 100).await;
            // The hint's.
            let fault = Fault::SlowUs(50_000);
            let sync = Injection { op: DiskOp::Sync, path_contains: ".seg".to_owned(), skip: 0, times: 1, fault };
            machine.sim.inject(machine.host, sync);
            node.rt.sleep(Duration::from_millis(wait_ms)).await;
            node.put(1, 100).await;
        });
        machine.sim.run_for(Duration::from_secs(1));
        machine.kill(node);
        let mut bytes = machine.bytes(SEGMENT);
        let wanted = crate::engine::testing::data(1, 100);
        let at = bytes.windows(wanted.len()).position(|window| window == wanted).expect("it was stored");
        bytes[at] ^= 1;
        machine.set_bytes(SEGMENT, &bytes);
        let node = machine.start();
        assert_ne!(node.report.damage, [], "put {wait_ms} ms after the first one, it is gone and nobody says so");
    }
}
