use super::*;
use crate::engine::read::ReadError;
use crate::engine::testing::{GROUP, Machine, Node, log_dir};
use crate::format::frame::{HEADER_BYTES, Kind};
use crate::format::segment::FRAMES_AT;
use crate::limits::BLOCK_BYTES;
use crate::shard::admission::PutRefusal;
use crate::sim::{DiskOp, Fault, Injection};
use crate::types::{Offset, WallUs};

/// Records of this size: about eight fill the smallest segment.
const LEN: usize = 120_000;

fn put_all(machine: &Machine, node: &Node, numbers: std::ops::Range<u64>) {
    machine.sim.block_on(async {
        for number in numbers {
            node.put(number, LEN).await;
        }
    });
}

fn read_from(machine: &Machine, node: &Node, from: u64) -> Result<Vec<u64>, ReadError> {
    machine.sim.block_on(node.read_all(Offset(from)))
}

fn all(numbers: std::ops::Range<u64>) -> Vec<u64> {
    numbers.collect()
}

/// A machine whose log has these records, killed right after the last was acknowledged and all indexes were saved.
fn written(seed: u64, records: u64) -> Machine {
    let machine = Machine::new(seed);
    let node = machine.start();
    put_all(&machine, &node, 0..records);
    machine.sim.run_for(std::time::Duration::from_secs(1));
    machine.kill(node);
    machine
}

fn positions(machine: &Machine) -> Vec<(SegmentNumber, u64, FrameHeader)> {
    let rt = machine.sim.runtime(machine.host);
    let mut out = Vec::new();
    let mut see = |sight: Sight<'_>| {
        if let Sight::Frame { segment, pos, header, .. } = sight {
            out.push((segment, pos.0, *header));
        }
        Flow::Continue(())
    };
    machine.sim.block_on(examine(&rt, GROUP, &log_dir(), Depth::Everything, None, &mut see)).expect("the log is there");
    out
}

/// Goal: what was acknowledged is there after a kill and after a clean stop, over several segments.
#[test]
fn restarts_keep_everything() {
    let machine = written(1, 30);
    let node = machine.start();
    assert_eq!(node.report.damage, []);
    assert!(!node.report.cut);
    assert_eq!(read_from(&machine, &node, 0).unwrap(), all(0..30));
    put_all(&machine, &node, 30..40);
    machine.stop(node);
    let node = machine.start();
    assert_eq!(read_from(&machine, &node, 0).unwrap(), all(0..40));
    assert_eq!(read_from(&machine, &node, 13).unwrap(), all(13..40));
}

/// Goal: the start of the next segment is damaged and the segment before it has no index: everything behind the damage
/// stays, and is not taken for a segment that was prepared and never used.
#[test]
fn a_damaged_first_frame_is_no_unused_segment() {
    for torn_body in [true, false] {
        let machine = written(2, 20);
        let names = machine.names();
        assert!(names.contains(&"0000000001.seg".to_owned()), "{names:?}");
        machine.remove("0000000000.idx");
        let next = machine.names().contains(&"0000000001.idx".to_owned());
        if next {
            machine.remove("0000000001.idx");
        }
        let first = positions(&machine).into_iter().find(|(segment, ..)| *segment == 1).unwrap();
        machine.flip("0000000001.seg", if torn_body { first.1 + 1_000 } else { first.1 + 70 });
        let node = machine.start();
        assert_eq!(node.log.refusal(), Some(PutRefusal::Quarantined));
        assert_eq!(node.report.damage.len(), 1, "{:?}", node.report.damage);
        let Damage { segment, gap } = node.report.damage[0];
        assert_eq!((segment, gap.from_pos.0), (1, FRAMES_AT));
        assert_eq!(gap.from_offset, first.2.base_offset);
        assert_eq!(gap.to_offset, first.2.end_offset());
        assert_eq!(read_from(&machine, &node, gap.to_offset.0).unwrap(), all(gap.to_offset.0..20));
        assert!(matches!(
            read_from(&machine, &node, 0),
            Err(ReadError::Damaged { from, resume, segment: 1, pos: FRAMES_AT }) if from == gap.from_offset && resume == gap.to_offset
        ));
    }
}

/// Goal: a file that was cut inside a frame, with a later segment that proves the loss, costs this frame and ends the scan.
#[test]
fn a_file_cut_inside_a_frame_costs_that_frame() {
    // In its header's block, right behind its header, deep in its body.
    for keep in [HEADER_BYTES as u64, HEADER_BYTES as u64 + 1, BLOCK_BYTES as u64, 100_001] {
        let machine = written(2, 20);
        let frames = positions(&machine);
        let mut in_first = frames.iter().filter(|(segment, _, header)| *segment == 0 && header.kind == Kind::Data);
        let (_, pos, header) = in_first.next_back().unwrap();
        let bytes = machine.bytes("0000000000.seg");
        machine.set_bytes("0000000000.seg", &bytes[..usize::try_from(pos + keep).unwrap()]);
        for name in machine.names().into_iter().filter(|name| name.ends_with(".idx")) {
            machine.remove(&name);
        }
        let node = machine.start();
        assert_eq!(node.log.refusal(), Some(PutRefusal::Quarantined), "{keep} bytes of the frame");
        let [Damage { segment: 0, gap }] = node.report.damage[..] else { panic!("{:?}", node.report.damage) };
        assert_eq!((gap.from_pos.0, gap.from_offset, gap.to_offset), (*pos, header.base_offset, header.end_offset()));
        assert_eq!(read_from(&machine, &node, gap.to_offset.0).unwrap(), all(gap.to_offset.0..20));
    }
}

/// Goal: a loss at the start of a later file, which is gone or was cut short there, hides nothing of the segment before it: its records
/// and their times are found, after the first start and after the next one, which learns of the loss from the index.
#[test]
fn a_loss_in_the_next_file_hides_nothing_before_it() {
    for is_gone in [true, false] {
        let machine = Machine::new(5);
        let node = machine.start();
        let mut arrivals = Vec::new();
        machine.sim.block_on(async {
            for number in 0..80 {
                arrivals.push(node.put(number, LEN).await.arrival);
            }
        });
        machine.sim.run_for(std::time::Duration::from_secs(1));
        machine.kill(node);
        let frames = positions(&machine);
        let lost = frames.iter().find(|(segment, ..)| *segment == 1).expect("there are three").2.base_offset;
        machine.remove("0000000002.seg");
        if is_gone {
            machine.remove("0000000001.seg");
        } else {
            let bytes = machine.bytes("0000000001.seg");
            machine.set_bytes("0000000001.seg", &bytes[..BLOCK_BYTES]);
            for name in machine.names().into_iter().filter(|name| name.ends_with(".idx")) {
                machine.remove(&name);
            }
        }
        for start in ["first", "second"] {
            let node = machine.start();
            let [Damage { gap, .. }] = node.report.damage[..] else { panic!("{:?}", node.report.damage) };
            assert_eq!((gap.from_offset, gap.is_open_ended()), (lost, !is_gone));
            machine.sim.block_on(async {
                for offset in (0..lost.0).map(Offset) {
                    let frames = node.log.read(offset, 1_usize, WallUs(0)).await;
                    let frames = frames.unwrap_or_else(|error| panic!("{start} start, offset {offset}: {error}"));
                    assert_eq!(frames.next, Offset(offset.0 + 1), "{start} start");
                    let arrival = arrivals[usize::try_from(offset.0).unwrap()];
                    assert_eq!(node.log.seek_time(arrival).await.unwrap(), offset, "{start} start");
                }
            });
            machine.kill(node);
        }
    }
}

/// Goal: the only frame of the oldest segment that retention left was durable when the one before it was freed. Its damage is told, at
/// this start and the next, and not taken for a write that never finished, after which the log would begin with offset 0 again.
#[test]
fn the_oldest_frame_is_no_unfinished_write() {
    let machine = Machine::new(12);
    let node = machine.start();
    let mut number = 0;
    while !machine.names().contains(&"0000000001.seg".to_owned())
        || !positions(&machine).iter().any(|(segment, ..)| *segment == 1)
    {
        put_all(&machine, &node, number..number + 1);
        number += 1;
    }
    machine.kill(node);
    let frames = positions(&machine);
    let first = frames.iter().find(|(segment, _, header)| *segment == 1 && header.kind == Kind::Data).unwrap();
    machine.flip("0000000001.seg", first.1 + 1_000);
    // While the one before it is there, it may be an unfinished write, from wherever one begins to look.
    for from in [None, Some(1)] {
        let rt = machine.sim.runtime(machine.host);
        let mut quiet = |_: Sight<'_>| Flow::Continue(());
        let dir = log_dir();
        let look = examine(&rt, GROUP, &dir, Depth::Everything, from, &mut quiet);
        let report = machine.sim.block_on(look).expect("the log is there").report;
        assert_eq!((report.cut, report.damage), (true, vec![]), "from {from:?}");
    }
    machine.remove("0000000000.seg");
    machine.remove("0000000000.idx");
    for start in ["first", "second"] {
        let node = machine.start();
        let [Damage { segment: 1, gap }] = node.report.damage[..] else { panic!("{start}: {:?}", node.report.damage) };
        assert_eq!((gap.from_offset, gap.to_offset), (first.2.base_offset, first.2.end_offset()), "{start} start");
        assert_eq!(node.log.first_offset(), first.2.base_offset, "{start} start");
        assert_eq!(node.log.marks().committed().offset, first.2.end_offset(), "{start} start");
        assert_eq!(node.log.refusal(), Some(PutRefusal::Quarantined), "{start} start");
        machine.kill(node);
    }
}

/// Goal: padding holds nothing, so damage to it costs nothing: the flush behind it, the last one and without a word after it, stays.
#[test]
fn damaged_padding_costs_nothing() {
    // The pad's header, its body, the record's length chosen so that the pad fills a whole block more.
    for (seed, len, in_pad) in [(30, 500, 70), (31, 500, 300), (32, 3_750, 20), (33, 3_750, 3_000)] {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(async {
            for number in 0..2 {
                node.put(number, len).await;
            }
        });
        machine.kill(node);
        let pads = positions(&machine).into_iter().filter(|(.., header)| header.kind == Kind::Pad);
        let pads: Vec<_> = pads.map(|(_, pos, _)| pos).collect();
        assert_eq!(pads.len(), 2, "nothing was written behind the last put");
        machine.flip("0000000000.seg", pads[0] + in_pad);
        let node = machine.start();
        assert_eq!((node.report.damage.len(), node.report.cut), (0, false), "seed {seed}");
        assert_eq!(read_from(&machine, &node, 0).unwrap(), all(0..2), "seed {seed}");
    }
}

/// Goal: a flush that did not fit the segment prepared for it went to one of its own: the empty one in between hides
/// nothing from a start without indexes.
#[test]
fn an_empty_segment_in_between_hides_nothing() {
    let machine = written(3, 12);
    // As a crash leaves it that came before the segment that was too small could be freed.
    let next = machine.bytes("0000000001.seg");
    machine.set_bytes("0000000002.seg", &renumbered(&next, 2));
    let mut empty = vec![0; next.len()];
    empty[..BLOCK_BYTES].copy_from_slice(&next[..BLOCK_BYTES]);
    machine.set_bytes("0000000001.seg", &empty);
    for name in machine.names() {
        if name.ends_with(".idx") {
            machine.remove(&name);
        }
    }
    let node = machine.start();
    assert_eq!(node.report.damage, []);
    assert!(!node.report.cut);
    assert_eq!(read_from(&machine, &node, 0).unwrap(), all(0..12));
    assert!(!machine.names().contains(&"0000000001.seg".to_owned()), "the unused one is removed");
}

fn renumbered(segment: &[u8], number: SegmentNumber) -> Vec<u8> {
    let header = SegmentHeader::decode(segment).unwrap();
    let mut out = segment.to_vec();
    SegmentHeader { number, ..header }.encode(&mut out);
    out
}

/// Goal: a loss that was accepted stays accepted when the same frames are missed from another place, because an index came
/// or went meanwhile.
#[test]
fn acceptance_does_not_depend_on_indexes() {
    let machine = written(4, 60);
    let names = machine.names();
    assert!(names.contains(&"0000000002.seg".to_owned()), "{names:?}");
    let lost = machine.bytes("0000000001.seg");
    machine.remove("0000000001.seg");
    let indexed = machine.start();
    assert_eq!(indexed.report.damage.len(), 1);
    let accepted = indexed.report.damage.clone();
    machine.kill(indexed);
    let rt = machine.sim.runtime(machine.host);
    machine.sim.block_on(accept_losses(&rt, &log_dir(), &accepted)).unwrap();
    for name in machine.names().into_iter().filter(|name| name.ends_with(".idx")) {
        machine.remove(&name);
    }
    let node = machine.start();
    assert_eq!(node.log.refusal(), None, "{accepted:?}");
    // And when the segment comes back from a backup, so do its records.
    machine.kill(node);
    machine.set_bytes("0000000001.seg", &lost);
    let node = machine.start();
    assert_eq!(read_from(&machine, &node, 0).unwrap(), all(0..60));
}

/// Goal: a start saves the index of a sealed segment that has none, as the node would have written it.
#[test]
fn a_start_saves_missing_indexes() {
    let machine = written(5, 30);
    let original = machine.bytes("0000000000.idx");
    machine.remove("0000000000.idx");
    machine.kill(machine.start());
    assert!(machine.bytes("0000000000.idx") == original);
}

/// Goal: wherever a process dies or the power goes while records are written, what was acknowledged is there afterwards, in
/// order, once; and so after the next such crash on what was left.
#[test]
fn crashes_anywhere_lose_nothing_acknowledged() {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;
    for seed in 0..8_u64 {
        let machine = Machine::new(1_000 + seed);
        let mut kept = 0;
        for round in 0..4_u64 {
            let node = Rc::new(machine.start());
            assert_eq!(node.report.damage, [], "seed {seed} round {round}");
            let there = read_from(&machine, &node, 0).unwrap_or_else(|e| panic!("seed {seed} round {round}: {e}"));
            assert!(there.len() as u64 >= kept, "seed {seed} round {round}: {} of {kept}", there.len());
            assert_eq!(there, all(0..there.len() as u64), "seed {seed} round {round}");
            let (acked, start) = (Rc::new(Cell::new(0)), there.len() as u64);
            let (count, writer) = (Rc::clone(&acked), Rc::clone(&node));
            let sizes = [300, 5_000, 90_000, 700_000];
            machine.sim.spawn(machine.host, async move {
                for number in start..start + 40 {
                    writer.put(number, sizes[((number * 7 + seed) % 4) as usize]).await;
                    count.set(number + 1);
                }
            });
            let polls = 20 + (seed * 37 + round * 101) % 400;
            if (seed + round) % 2 == 0 {
                machine.sim.power_loss_after_polls(machine.host, polls);
            } else {
                machine.sim.kill_after_polls(machine.host, polls);
            }
            machine.sim.run_for(Duration::from_secs(5));
            kept = acked.get().max(start);
            drop(node);
            machine.sim.power_loss(machine.host);
        }
    }
}

fn fail(machine: &Machine, op: DiskOp, skip: u32, times: u32) {
    let injection = Injection { op, path_contains: ".seg".to_owned(), skip, times, fault: Fault::Eio };
    machine.sim.inject(machine.host, injection);
}

/// Goal: a process is killed between a sync that failed and what it would have done about it. What the next one reads, and so
/// hands to readers and to producers that send again, is there after the power failed, though the disk had lost it already.
#[test]
fn a_failed_sync_before_a_kill_takes_back_nothing_that_is_read() {
    for seed in 0..40 {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(async {
            node.put_stamped(0, LEN, Some(0)).await;
            fail(&machine, DiskOp::Sync, 0, 1);
            assert!(node.try_put(1, LEN, Some(1)).await.is_err());
        });
        machine.kill(node);
        let node = machine.start();
        let seen = read_from(&machine, &node, 0).unwrap();
        let again = machine.sim.block_on(node.put_stamped(1, LEN, Some(1)));
        assert_eq!(again.duplicate, seen.len() == 2, "seed {seed}");
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        assert_eq!(node.report.damage, [], "seed {seed}");
        assert_eq!(read_from(&machine, &node, 0).unwrap(), [0, 1], "seed {seed}: {seen:?} was read before");
    }
}

/// Goal: the same for the hint of a log that went quiet: what is stored behind it is not cut off by its loss.
#[test]
fn a_hint_whose_sync_failed_cuts_nothing_off() {
    for seed in 0..40 {
        let machine = Machine::new(seed);
        let node = machine.start();
        machine.sim.block_on(node.put(0, LEN));
        fail(&machine, DiskOp::Sync, 0, 1);
        machine.sim.run_for(std::time::Duration::from_secs(1));
        assert_eq!(node.log.refusal(), Some(PutRefusal::Dead), "the hint was not synced");
        machine.kill(node);
        let node = machine.start();
        machine.sim.block_on(node.put(1, 100));
        machine.sim.power_loss(machine.host);
        drop(node);
        let node = machine.start();
        assert_eq!(node.report.damage, [], "seed {seed}");
        assert_eq!(read_from(&machine, &node, 0).unwrap(), [0, 1], "seed {seed}");
    }
}

/// Goal: a log that went quiet, or ended with a stop, opens without a write, and sooner or later so does each log that nobody
/// puts to: making sure costs only who was killed at work.
#[test]
fn a_quiet_log_opens_without_a_write() {
    for is_stopped in [true, false] {
        let machine = Machine::new(9);
        let node = machine.start();
        put_all(&machine, &node, 0..20);
        if is_stopped {
            machine.stop(node);
        } else {
            machine.sim.run_for(std::time::Duration::from_secs(1));
            machine.kill(node);
        }
        fail(&machine, DiskOp::Write, 0, u32::MAX);
        let node = machine.start();
        assert_eq!(read_from(&machine, &node, 0).unwrap(), all(0..20));
        machine.sim.clear_injections(machine.host);
        machine.sim.block_on(node.put(20, LEN));
    }
}

/// Goal: looking for a time behind a known gap finds the record behind it, not the gap and not the end; and frames larger
/// than a window, up to the very end of a segment, are read and scanned like others.
#[test]
fn times_behind_a_gap_and_large_frames() {
    use crate::runtime::Reactor;
    use std::time::Duration;
    let machine = Machine::new(6);
    let node = machine.start();
    let mut times = Vec::new();
    machine.sim.block_on(async {
        for number in 0..12 {
            let len = if number == 7 { 5_000_000 } else { 2_000 };
            times.push(node.put(number, len).await.arrival);
            node.rt.sleep(Duration::from_secs(1)).await;
        }
    });
    machine.kill(node);
    let frames = positions(&machine);
    let (segment, pos, _) =
        frames.iter().find(|(.., header)| header.base_offset == Offset(3) && header.record_count > 0).unwrap();
    machine.flip(&names::segment(*segment), pos + 60);
    for name in machine.names().into_iter().filter(|name| name.ends_with(".idx")) {
        machine.remove(&name);
    }
    let node = machine.start();
    assert_eq!(node.report.damage.len(), 1);
    machine.sim.block_on(async {
        for (offset, time) in (0..).zip(&times).filter(|(offset, _)| *offset != 3) {
            assert_eq!(node.log.seek_time(*time).await.unwrap(), Offset(offset));
        }
        assert_eq!(node.log.seek_time(times[3]).await.unwrap(), Offset(4), "what is lost has no time");
    });
    assert_eq!(read_from(&machine, &node, 4).unwrap(), all(4..12));
}
