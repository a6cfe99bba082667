//! What reports on other systems found, each as what it would be here. A test is named after the project and the number of the
//! report in it.

use std::rc::Rc;

use futures_lite::future::poll_once;

use super::*;
use crate::engine::testing::Machine;
use crate::runtime::Reactor;
use crate::sim::workload::decay::{self, Spoil};
use crate::sim::workload::sweep::{self, How, Scenario};
use crate::sim::{DiskOp, Fault, Injection};

fn inject(machine: &Machine, op: DiskOp, path: &str, skip: u32, fault: Fault) {
    machine.sim.inject(machine.host, Injection { op, path_contains: path.to_owned(), skip, times: 1, fault });
}

fn all(machine: &Machine, node: &crate::engine::testing::Node) -> Vec<u64> {
    machine.sim.block_on(node.read_all(Offset(0))).expect("the log is intact")
}

/// Goal: nats-server 7549, errors of single bits in the files of a stream cost acknowledged records that were nowhere near, and
/// the rest of the stream. Here a bit costs the flush that it is in, wherever it is; a bit in an index costs nothing, one in the
/// catalogue no stream.
#[test]
fn one_bit_costs_what_it_hit_nats_7549() {
    let mut hits = 0;
    for seed in 0..6 {
        let lost = |kind| decay::run_with(seed, Spoil::Bit(kind)).lost_records;
        // One put each is in a flush; and a second bit turns over while the node runs.
        let of_segment = lost(".seg");
        assert!(of_segment <= 2, "seed {seed}: {of_segment} records are lost");
        assert!(lost(".idx") <= 1, "seed {seed}: an index is derived data");
        assert!(lost("/catalog/") <= 1, "seed {seed}: the catalogue has no records");
        hits += of_segment;
    }
    assert!(hits > 0, "no bit hit a record");
}

/// Goal: nats-server 7564, acknowledged records were lost because syncs came minutes later by default. Here the power fails right
/// after the acknowledgement: of records, and of what the catalogue acknowledges.
#[test]
fn acknowledged_is_synced_nats_7564() {
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(async {
            for number in 0..5 {
                node.put(number, 5_000).await;
            }
        });
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        assert_eq!(all(&machine, &node), (0..5).collect::<Vec<_>>(), "seed {seed}");
    }
    let points = sweep::points(Scenario::Node, 7564);
    sweep::run_at(Scenario::Node, 7564, How::PowerLoss, points);
}

/// Goal: nats-server 7567, after one machine crashed readers of a stream were told different stories. Here what a reader saw
/// before the power failed stands at the same offsets afterwards, under whatever is put then.
#[test]
fn a_crash_changes_no_story_nats_7567() {
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let node = Rc::new(machine.start());
        let writer = Rc::clone(&node);
        machine.sim.spawn(machine.host, async move {
            for number in 0..1_000 {
                writer.put(number, 3_000).await;
            }
        });
        machine.sim.run_for(Duration::from_micros(2_000 + seed * 700));
        let seen = all(&machine, &node);
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        machine.sim.block_on(async {
            for number in 5_000..5_010 {
                node.put(number, 3_000).await;
            }
        });
        let after = all(&machine, &node);
        assert!(after.starts_with(&seen), "seed {seed}: {seen:?} was read before the crash, {after:?} after it");
    }
}

/// Goal: Redpanda 16105, a sync that raced a truncation and an append was counted for what had been written in the meantime.
/// Here a log takes more while a sync is under way: the sync counts for what was written when it began, and no more.
#[test]
fn a_sync_counts_for_what_it_began_with_redpanda_16105() {
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(async {
            node.put(0, 100).await;
            inject(&machine, DiskOp::Sync, ".seg", 0, Fault::SlowUs(50_000));
            let mut first = Box::pin(node.put(1, 100));
            assert!(poll_once(&mut first).await.is_none());
            node.rt.sleep(Duration::from_millis(10)).await;
            let mut second = Box::pin(node.put(2, 100));
            assert!(poll_once(&mut second).await.is_none());
            first.await;
            assert_eq!(node.log.marks().durable().offset, Offset(2), "seed {seed}");
            assert!(poll_once(&mut second).await.is_none(), "seed {seed}: acknowledged by a sync that began before");
            second.await;
        });
    }
}

/// Goal: the same with the log cut and written anew in between: a write fails while another one of the same round is still under
/// way, the log is recovered and appended to. Neither does the late write come down on what is stored then, nor is what it
/// belonged to taken for stored.
#[test]
fn a_late_write_hits_nothing_redpanda_16105() {
    const LARGE: usize = 1_200_000;
    for seed in 0..20 {
        let machine = Machine::new(seed);
        let node = machine.start();
        let kept = machine.sim.block_on(async {
            // Large: among flushes of this size no zeros are written, and the writes below are those of frames.
            node.put(0, LARGE).await;
            inject(&machine, DiskOp::Sync, ".seg", 0, Fault::SlowUs(5_000));
            let mut before = Box::pin(node.put(1, 100));
            assert!(poll_once(&mut before).await.is_none());
            // Both gather while the sync takes its time: one round of two writes.
            let (mut one, mut other) = (Box::pin(node.try_put(2, LARGE, None)), Box::pin(node.try_put(3, LARGE, None)));
            node.rt.sleep(Duration::from_millis(1)).await;
            assert!(poll_once(&mut one).await.is_none());
            assert!(poll_once(&mut other).await.is_none());
            inject(&machine, DiskOp::Write, ".seg", 0, Fault::Eio);
            inject(&machine, DiskOp::Write, ".seg", 0, Fault::SlowUs(400_000));
            before.await;
            assert!(one.await.is_err());
            assert!(other.await.is_err());
            let (log, report) = node.recover().await;
            assert_eq!(report.damage, [], "seed {seed}");
            for _ in 0..5 {
                put(&log, 5_000).await;
            }
            log.marks().committed().offset
        });
        machine.sim.run_for(Duration::from_millis(30));
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        assert_eq!(node.report.damage, [], "seed {seed}");
        assert!(node.log.marks().committed().offset >= kept, "seed {seed}: the log ends before {kept}");
    }
}

/// Goal: Redpanda 17895, a request to append that was delivered late cut off what had been committed since. Here a late copy of
/// an old batch is answered as the duplicate it is; the log stays as it was, and so after the power failed.
#[test]
fn a_late_copy_cuts_nothing_redpanda_17895() {
    for seed in 0..10 {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(async {
            let mut receipts = Vec::new();
            for seq in 0..6 {
                receipts.push(node.put_stamped(seq.into(), 2_000, Some(seq)).await);
            }
            for seq in [0, 3, 5, 1] {
                let again = node.put_stamped(seq.into(), 2_000, Some(seq)).await;
                assert!(again.duplicate, "seed {seed}, batch {seq}");
                assert_eq!(again.base_offset, receipts[seq as usize].base_offset, "seed {seed}, batch {seq}");
            }
            assert_eq!(node.log.marks().accepted().offset, Offset(6));
        });
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        assert_eq!(all(&machine, &node), (0..6).collect::<Vec<_>>(), "seed {seed}");
    }
}
