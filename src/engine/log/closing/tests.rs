use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::poll_once;

use super::*;
use crate::engine::log::{AppendError, StampError};
use crate::engine::testing::{Machine, Node};
use crate::runtime::Reactor;
use crate::sim::{DiskOp, Fault, Injection};
use crate::types::Durability;

/// What a log that is closed under traffic let in: the offsets that were acknowledged.
type Acked = Rc<RefCell<Vec<Offset>>>;

/// Starts producers that put until they are refused. They count down `left` when they have ended.
fn producers(machine: &Machine, node: &Rc<Node>, left: &Rc<Cell<usize>>, acked: &Acked) {
    for producer in 0..left.get() as u64 {
        let (node, left, acked) = (Rc::clone(node), Rc::clone(left), Rc::clone(acked));
        machine.sim.spawn(machine.host, async move {
            for number in 0.. {
                let len = [40, 3_000, 70_000][(number + producer) as usize % 3];
                match node.try_put(number, len, None).await {
                    Ok(receipt) => acked.borrow_mut().push(receipt.base_offset),
                    Err(AppendError::Refused(PutRefusal::Closed)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            left.set(left.get() - 1);
        });
    }
}

/// Goal: closing under traffic. Every acknowledged record lies below the end, nothing is accepted behind it, everything is
/// durable, and everybody who waits for room is refused; whatever the level.
#[test]
fn a_log_closes_under_traffic() {
    for seed in 0..12 {
        let machine = Machine::new(seed);
        let node = Rc::new(machine.start());
        if seed % 2 == 1 {
            node.log.set_durability(Durability::Interval);
        }
        let (left, acked) = (Rc::new(Cell::new(5)), Acked::default());
        producers(&machine, &node, &left, &acked);
        let end = machine.sim.block_on(async {
            node.rt.sleep(Duration::from_micros(200 + seed * 731)).await;
            node.log.hold();
            assert_eq!(node.log.try_room(1), None, "seed {seed}");
            let end = node.log.close(PutRefusal::Closed).await.expect("the disk works");
            let marks = node.log.marks();
            assert_eq!(marks.accepted(), marks.durable(), "seed {seed}");
            assert_eq!(end.offset, marks.accepted().offset, "seed {seed}");
            assert_eq!(end.last_arrival, node.log.last_arrival());
            end
        });
        assert!(machine.sim.run_until(|| left.get() == 0, Duration::from_secs(1)), "seed {seed}: somebody still waits");
        assert!(acked.borrow().iter().all(|offset| *offset < end.offset), "seed {seed}");
        assert_eq!(acked.borrow().len() as u64, end.offset.0, "seed {seed}: all that is stored was acknowledged");
        assert_eq!(node.log.marks().accepted().offset, end.offset, "seed {seed}");
    }
}

/// Goal: an end that was told outlives a power failure right after it, although producers were promised less.
#[test]
fn an_end_outlives_a_power_failure() {
    for seed in 0..10 {
        let machine = Machine::new(100 + seed);
        let node = Rc::new(machine.start());
        node.log.set_durability(Durability::Interval);
        let (left, acked) = (Rc::new(Cell::new(3)), Acked::default());
        producers(&machine, &node, &left, &acked);
        let end = machine.sim.block_on(async {
            node.rt.sleep(Duration::from_micros(5_000 + seed * 999)).await;
            node.log.hold();
            node.log.close(PutRefusal::Closed).await.expect("the disk works")
        });
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        assert_eq!(node.log.marks().committed().offset, end.offset, "seed {seed}");
        assert!(end.offset > Offset(0));
    }
}

/// Goal: a hold delays nothing that was accepted and refuses nobody; afterwards puts go on in the order they came, and one
/// that comes then does not pass those who waited.
#[test]
fn puts_keep_their_order_over_a_hold() {
    let machine = Machine::new(7);
    let node = machine.start();
    machine.sim.block_on(async {
        let mut before = Box::pin(node.put(0, 500));
        assert!(poll_once(&mut before).await.is_none());
        node.log.hold();
        assert_eq!(before.await.base_offset, Offset(0));
        let mut waiting: Vec<_> = (1..=5).map(|number| Box::pin(node.put(number, 90_000))).collect();
        for put in &mut waiting {
            assert!(poll_once(put).await.is_none());
        }
        node.rt.sleep(Duration::from_secs(1)).await;
        assert_eq!(node.log.marks().accepted().offset, Offset(1), "held");
        assert_eq!(node.log.refusal(), None);
        node.log.unhold();
        assert_eq!(node.log.try_room(1), None, "nobody passes those who wait");
        let receipts = crate::runtime::local::join_all(waiting).await;
        let offsets: Vec<_> = receipts.iter().map(|receipt| receipt.base_offset.0).collect();
        assert_eq!(offsets, [1, 2, 3, 4, 5]);
        assert_eq!(node.log.try_room(1), Some(Ok(())));
    });
}

/// Goal: a closed or moving log answers the resend of a batch it has stored as a duplicate, names those whose offsets it
/// no longer knows, and refuses everything else, a batch behind a gap included.
#[test]
fn resends_to_a_closed_log() {
    for refusal in [PutRefusal::Closed, PutRefusal::Moving] {
        let machine = Machine::new(11);
        let node = machine.start();
        machine.sim.block_on(async {
            let mut stored = Vec::new();
            for seq in 0..12 {
                stored.push(node.put_stamped(u64::from(seq), 300, Some(seq)).await.base_offset);
            }
            node.log.hold();
            // Also while it is held: a resend needs no decision.
            assert!(node.log.has_stored(Node::stamp(11)));
            let end = node.log.close(refusal).await.expect("the disk works");
            for seq in 4..12 {
                assert!(node.log.has_stored(Node::stamp(seq)));
                let receipt = node.append(0, 300, Some(seq)).await.expect("it is stored");
                assert!(receipt.duplicate);
                assert_eq!(receipt.base_offset, stored[seq as usize]);
            }
            assert_eq!(node.append(0, 300, Some(3)).await, Err(AppendError::Stamp(StampError::Forgotten)));
            for seq in [Some(12), Some(13), Some(u32::MAX), None] {
                assert!(!seq.is_some_and(|seq| node.log.has_stored(Node::stamp(seq))));
                assert_eq!(node.append(0, 300, seq).await, Err(AppendError::Refused(refusal)), "{seq:?}");
            }
            assert_eq!(node.log.marks().accepted().offset, end.offset);
            node.log.refuse(PutRefusal::Deleting);
            assert!(!node.log.has_stored(Node::stamp(11)));
            assert_eq!(
                node.append(0, 300, Some(11)).await,
                Err(AppendError::Refused(PutRefusal::Deleting)),
                "nobody is sent elsewhere"
            );
        });
    }
}

/// Goal: a log that dies while it is being closed, or was dead before, or let puts in again, has no end; the hold is
/// lifted.
#[test]
fn no_end_without_a_drained_log() {
    let machine = Machine::new(13);
    let node = machine.start();
    machine.sim.block_on(async {
        node.put(0, 300).await;
        node.log.hold();
        assert_eq!(node.log.drain().await.map(|end| end.offset), Ok(Offset(1)));
        node.log.unhold();
        assert_eq!(node.log.drain().await, Err(DrainError::NotHeld));
        let path_contains = ".seg".to_owned();
        let injection = Injection { op: DiskOp::Sync, path_contains, skip: 0, times: 1, fault: Fault::Eio };
        machine.sim.inject(machine.host, injection);
        let mut put = Box::pin(node.try_put(1, 300, None));
        assert!(poll_once(&mut put).await.is_none());
        node.log.hold();
        let dead = Err(DrainError::Refused(PutRefusal::Dead));
        assert_eq!(node.log.close(PutRefusal::Closed).await, dead);
        assert!(!node.log.state.borrow().admission.is_held());
        node.log.hold();
        assert_eq!(node.log.close(PutRefusal::Closed).await, dead);
        assert_eq!(node.log.refusal(), Some(PutRefusal::Dead));
    });
}
