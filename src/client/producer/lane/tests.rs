use super::*;
use crate::protocol::ErrorAnswer;
use crate::protocol::messages::ShardState;
use crate::types::{Durability, GroupId, HashKey, Offset, ShardNumber, WallUs, WorkerId};

const NOW: MonoUs = MonoUs(1_000);

fn lane() -> Lane {
    let shard = ShardDescription {
        number: ShardNumber(0),
        group: GroupId(5),
        hash_start: HashKey(0),
        hash_end: HashKey(u128::MAX),
        worker: WorkerId(0),
        state: ShardState::Open,
        parent: None,
        adjacent_parent: None,
        created: WallUs(0),
        closed: None,
    };
    let limits = LaneLimits {
        batch_bytes_max: 1 << 10,
        batch_records_max: 1,
        linger_us: 0,
        delivery_us: 1_000_000,
        window_max: 3,
    };
    Lane::new(shard, ProducerId(9), limits)
}

/// A lane with this many batches of one record.
fn with(batches: u32) -> Lane {
    let mut lane = lane();
    for _ in 0..batches {
        lane.append(&NewRecord { key: "k", data: b"x", explicit: None, detached: false }, None, NOW);
    }
    lane
}

/// Everything the lane sends now, as epoch and number.
fn sends(lane: &mut Lane) -> Vec<(Send, (u32, u32))> {
    let mut sends = Vec::new();
    while let Some(send) = lane.next_send(NOW, false) {
        let stamp = send.put.producer.unwrap();
        sends.push((send, (stamp.epoch, stamp.seq)));
    }
    sends
}

fn stamps(sends: &[(Send, (u32, u32))]) -> Vec<(u32, u32)> {
    sends.iter().map(|(_, stamp)| *stamp).collect()
}

fn stored() -> Result<PutAnswer, Error> {
    let (base_offset, arrival) = (Offset(0), WallUs(0));
    Ok(PutAnswer { base_offset, record_count: 1, arrival, durability: Durability::Fsync, duplicate: false })
}

fn refused(code: ErrorCode, detail: u64) -> Result<PutAnswer, Error> {
    Err(Error::node(ErrorAnswer::new(code).details(detail, 0)))
}

fn lost() -> Result<PutAnswer, Error> {
    Err(Error::lost(std::io::ErrorKind::ConnectionReset, "gone"))
}

/// Goal: the window is counted from the oldest unanswered batch, whatever was answered behind it: a shard remembers no
/// more than that many.
#[test]
fn the_window_is_a_distance() {
    let mut lane = with(6);
    let first = sends(&mut lane);
    assert_eq!(stamps(&first), [(0, 0), (0, 1), (0, 2)]);
    assert_eq!(lane.answered(first[1].0.id, stored()), Reaction::GoOn);
    assert_eq!(lane.answered(first[2].0.id, stored()), Reaction::GoOn);
    assert!(sends(&mut lane).is_empty(), "batch 0 might have to be sent again");
    lane.answered(first[0].0.id, stored());
    assert_eq!(stamps(&sends(&mut lane)), [(0, 3), (0, 4), (0, 5)]);
}

/// Goal: after a lost answer the whole window is sent again, once, in order, with the same stamps and bytes.
#[test]
fn a_lost_answer_resends_the_window() {
    let mut lane = with(3);
    let first = sends(&mut lane);
    assert_eq!(lane.answered(first[1].0.id, lost()), Reaction::Wait { at_least_ms: 0 });
    // Those of the same connection: the new round is running already.
    assert_eq!(lane.answered(first[0].0.id, lost()), Reaction::Nothing);
    assert_eq!(lane.answered(first[2].0.id, lost()), Reaction::Nothing);
    let second = sends(&mut lane);
    assert_eq!(stamps(&second), stamps(&first));
    assert!(first.iter().zip(&second).all(|(a, b)| a.0.body == b.0.body && a.0.put == b.0.put));
    for (send, _) in &second {
        assert_eq!(lane.answered(send.id, stored()), Reaction::GoOn);
    }
    assert!(lane.is_empty());
    assert_eq!((lane.settled.records_stored, lane.settled.records_failed), (3, 0));
}

/// Goal: a success of an older round counts, and its errors do not start another one.
#[test]
fn late_answers_of_older_rounds() {
    let mut lane = with(2);
    let first = sends(&mut lane);
    lane.answered(first[0].0.id, refused(ErrorCode::ShardOverloaded, 0));
    let second = sends(&mut lane);
    assert_eq!(lane.answered(first[1].0.id, refused(ErrorCode::ProducerGap, 0)), Reaction::Nothing);
    assert!(sends(&mut lane).is_empty());
    assert_eq!(lane.answered(second[0].0.id, stored()), Reaction::GoOn);
    assert_eq!(lane.answered(second[1].0.id, refused(ErrorCode::DuplicateForgotten, 0)), Reaction::GoOn);
    assert!(lane.is_empty());
}

/// Goal: a batch refused for good fails alone, once those before it are settled; those behind it get a new epoch, and only
/// after the last answer is in.
#[test]
fn a_refused_batch_fails_alone() {
    let mut lane = with(3);
    let first = sends(&mut lane);
    lane.answered(first[1].0.id, refused(ErrorCode::DiskFull, 0));
    lane.settle(NOW);
    assert_eq!(lane.settled.records_failed, 0, "the one before it is not settled");
    lane.answered(first[0].0.id, stored());
    lane.settle(NOW);
    assert_eq!(lane.settled.records_failed, 0, "an answer is outstanding");
    lane.answered(first[2].0.id, refused(ErrorCode::ProducerGap, 1));
    lane.settle(NOW);
    assert_eq!((lane.settled.records_stored, lane.settled.records_failed), (1, 1));
    assert_eq!(stamps(&sends(&mut lane)), [(1, 0)]);
}

/// Goal: when the shard does not know the producer, what may be stored fails as unknown and the rest goes on in a new
/// epoch; without anything unknown, nothing fails.
#[test]
fn an_unknown_producer_starts_over() {
    for unknown in [false, true] {
        let mut lane = with(3);
        let first = sends(&mut lane);
        let earlier = if unknown { lost() } else { refused(ErrorCode::ShardOverloaded, 0) };
        lane.answered(first[0].0.id, earlier);
        lane.answered(first[1].0.id, refused(ErrorCode::ProducerGap, 0));
        lane.answered(first[2].0.id, refused(ErrorCode::ProducerGap, 0));
        let second = sends(&mut lane);
        for (send, _) in &second {
            lane.answered(send.id, refused(ErrorCode::ProducerUnknown, 0));
        }
        lane.settle(NOW);
        assert_eq!(lane.settled.records_failed, u64::from(unknown));
        let seqs: Vec<_> = (0..3 - u32::from(unknown)).map(|seq| (1, seq)).collect();
        assert_eq!(stamps(&sends(&mut lane)), seqs);
    }
}

/// Goal: when the first batch of an epoch is refused for a while, those behind it come from a producer that the shard has never heard
/// of. That is a gap: the window is sent again as it was, whatever may be stored of it. It was given up as unknown.
#[test]
fn an_unknown_producer_whose_first_batch_was_refused_goes_on() {
    let mut lane = with(3);
    for (send, _) in sends(&mut lane) {
        lane.answered(send.id, lost());
    }
    for _ in 0..2 {
        let again = sends(&mut lane);
        assert_eq!(stamps(&again), [(0, 0), (0, 1), (0, 2)]);
        lane.answered(again[0].0.id, refused(ErrorCode::ShardOverloaded, 0));
        lane.answered(again[1].0.id, refused(ErrorCode::ProducerUnknown, 0));
        lane.answered(again[2].0.id, refused(ErrorCode::ProducerUnknown, 0));
        lane.settle(NOW);
    }
    for (send, _) in sends(&mut lane) {
        assert_eq!(lane.answered(send.id, stored()), Reaction::GoOn);
    }
    lane.settle(NOW);
    assert_eq!((lane.settled.records_stored, lane.settled.records_failed), (3, 0));
}

/// Goal: a shard that lost acknowledged batches gets the rest in a new epoch: they certainly are not stored.
#[test]
fn a_gap_before_the_window_starts_over() {
    let mut lane = with(3);
    let first = sends(&mut lane);
    lane.answered(first[0].0.id, stored());
    lane.answered(first[1].0.id, lost());
    lane.answered(first[2].0.id, lost());
    for (send, _) in sends(&mut lane) {
        assert_eq!(lane.answered(send.id, refused(ErrorCode::ProducerGap, 0)), Reaction::Nothing);
    }
    lane.settle(NOW);
    assert_eq!(stamps(&sends(&mut lane)), [(1, 0), (1, 1)]);
    assert_eq!(lane.settled.records_failed, 0);
}

/// Goal: an old map stops the lane until every answer is in; what a closed shard refused, and what lies behind that, is
/// certainly not stored and can move.
#[test]
fn a_stale_lane_stops_and_hands_over() {
    let mut lane = with(4);
    let first = sends(&mut lane);
    lane.answered(first[0].0.id, refused(ErrorCode::ShardClosed, 0));
    assert!(sends(&mut lane).is_empty() && !lane.wants_map());
    lane.answered(first[1].0.id, lost());
    lane.answered(first[2].0.id, refused(ErrorCode::ShardClosed, 0));
    assert!(lane.wants_map() && !lane.has_unknown());
    assert_eq!(lane.retire().len(), 4);
    assert_eq!(lane.settled.records_failed, 0);
}

/// Goal: what may be stored in a shard that was closed is asked there again, alone and with its stamps, before the rest
/// moves: stored or refused, but never unknown.
#[test]
fn a_closed_shard_tells_what_it_has() {
    let mut lane = with(4);
    let first = sends(&mut lane);
    lane.answered(first[0].0.id, lost());
    lane.answered(first[1].0.id, lost());
    lane.answered(first[2].0.id, refused(ErrorCode::WrongShardMap, 0));
    assert!(lane.wants_map() && lane.has_unknown());
    lane.ask_closed(lane.shard);
    let second = sends(&mut lane);
    assert_eq!(stamps(&second), [(0, 0), (0, 1)], "the third is certainly not stored");
    lane.answered(second[0].0.id, stored());
    assert!(!lane.wants_map());
    lane.answered(second[1].0.id, refused(ErrorCode::ShardClosed, 0));
    assert!(lane.wants_map() && !lane.has_unknown() && sends(&mut lane).is_empty());
    assert_eq!(lane.retire().len(), 3);
    assert_eq!((lane.settled.records_stored, lane.settled.records_failed), (1, 0));
}

/// Goal: time over fails what was not sent as expired, and wakes the pump for nothing before.
#[test]
fn expiry() {
    let mut lane = with(5);
    let first = sends(&mut lane);
    assert_eq!(lane.next_deadline(), Some(NOW.plus(1_000_000)));
    lane.settle(NOW.plus(999_999));
    assert_eq!(lane.settled.records_failed, 0);
    lane.settle(NOW.plus(1_000_000));
    assert_eq!(lane.settled.records_failed, 2, "those that were never sent");
    assert_eq!(lane.next_deadline(), None, "only answers can change anything");
    for (send, _) in &first {
        lane.answered(send.id, lost());
    }
    lane.settle(NOW.plus(1_000_000));
    assert_eq!(lane.settled.records_failed, 5);
    assert!(lane.is_empty());
}

/// Goal: the last number of an epoch is never used: the next epoch follows once the window is empty.
#[test]
fn numbers_run_out_in_good_order() {
    let mut lane = with(3);
    lane.next_seq = u32::MAX - 1;
    let first = sends(&mut lane);
    assert_eq!(stamps(&first), [(0, u32::MAX - 1)]);
    lane.answered(first[0].0.id, stored());
    assert_eq!(stamps(&sends(&mut lane)), [(1, 0), (1, 1)]);
}
