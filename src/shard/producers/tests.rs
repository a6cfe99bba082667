use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const NOW: WallUs = WallUs(1_000_000_000);

fn stamp(id: u64, epoch: u32, seq: u32) -> ProducerStamp {
    ProducerStamp { id: ProducerId(id), epoch, seq }
}

/// A table that noted batches `0..n` of producer 1 in epoch 5; batch `s` has 2 records from offset `10 * s` on.
fn noted(n: u32) -> Producers {
    let mut table = Producers::new();
    for seq in 0..n {
        table.note(stamp(1, 5, seq), Offset(10 * u64::from(seq)), 2, NOW);
    }
    table
}

fn encoded(table: &Producers) -> Vec<u8> {
    let mut out = Vec::new();
    table.encode(&mut out);
    assert_eq!(out.len(), table.encoded_bytes());
    out
}

fn decoded(bytes: &[u8]) -> Result<Producers, DecodeError> {
    let mut r = Reader::new(bytes);
    let table = Producers::decode(&mut r)?;
    r.end()?;
    Ok(table)
}

/// Goal: every row of the table of verdicts, at its edges, for a producer with 20 batches in epoch 5.
#[test]
fn every_row_of_the_table() {
    let table = noted(20);
    let duplicate = |seq: u64| Verdict::Duplicate { base_offset: Offset(10 * seq), record_count: 2 };
    let rows = [
        (stamp(1, 5, 20), Verdict::Fresh),
        (stamp(1, 5, 19), duplicate(19)),
        (stamp(1, 5, 12), duplicate(12)),
        (stamp(1, 5, 11), Verdict::DuplicateForgotten),
        (stamp(1, 5, 0), Verdict::DuplicateForgotten),
        (stamp(1, 5, 21), Verdict::Gap { expected: 20 }),
        (stamp(1, 5, u32::MAX), Verdict::NumbersUsedUp),
        (stamp(1, 4, 20), Verdict::Fenced { current_epoch: 5 }),
        (stamp(1, 4, 0), Verdict::Fenced { current_epoch: 5 }),
        (stamp(1, 6, 0), Verdict::Fresh),
        (stamp(1, 6, 20), Verdict::UnknownProducer),
        (stamp(2, 0, 0), Verdict::Fresh),
        (stamp(2, 9, 0), Verdict::Fresh),
        (stamp(2, 5, 1), Verdict::UnknownProducer),
        (stamp(2, 5, u32::MAX), Verdict::NumbersUsedUp),
    ];
    for (stamp, verdict) in rows {
        assert_eq!(table.check(stamp, NOW), verdict, "{stamp:?}");
    }
}

/// Goal: a new epoch starts over at 0 and fences off the old one, whose batches cannot be mistaken for its own.
#[test]
fn a_new_epoch_starts_over() {
    let mut table = noted(3);
    table.note(stamp(1, 6, 0), Offset(500), 1, NOW);
    assert_eq!(table.check(stamp(1, 6, 0), NOW), Verdict::Duplicate { base_offset: Offset(500), record_count: 1 });
    assert_eq!(table.check(stamp(1, 6, 1), NOW), Verdict::Fresh);
    assert_eq!(table.check(stamp(1, 6, 2), NOW), Verdict::Gap { expected: 1 });
    assert_eq!(table.check(stamp(1, 5, 3), NOW), Verdict::Fenced { current_epoch: 6 });
}

/// Goal: an epoch ends one short of 2^32 batches, and its window works up to the last of them.
#[test]
fn numbers_do_not_wrap() {
    let mut table = Producers::new();
    for seq in u32::MAX - 10..u32::MAX {
        table.note(stamp(1, 0, seq), Offset(seq.into()), 1, NOW);
    }
    let last = u32::MAX - 1;
    let duplicate = Verdict::Duplicate { base_offset: Offset(last.into()), record_count: 1 };
    assert_eq!(table.check(stamp(1, 0, last), NOW), duplicate);
    assert_eq!(table.check(stamp(1, 0, u32::MAX), NOW), Verdict::NumbersUsedUp);
    table.note(stamp(1, 0, u32::MAX), Offset(0), 1, NOW);
    assert_eq!(table.check(stamp(1, 0, last), NOW), duplicate);
    assert_eq!(table.check(stamp(1, 1, 0), NOW), Verdict::Fresh);
}

/// Goal: replay may overlap what the table knows, and may start in the middle of a producer's batches.
#[test]
fn replay_overlaps_and_starts_anywhere() {
    let mut table = noted(5);
    table.note(stamp(1, 5, 3), Offset(9999), 9, NOW);
    table.note(stamp(1, 4, 7), Offset(9999), 9, NOW);
    assert_eq!(encoded(&table), encoded(&noted(5)));

    let mut middle = Producers::new();
    middle.note(stamp(1, 5, 17), Offset(170), 2, NOW);
    assert_eq!(middle.check(stamp(1, 5, 18), NOW), Verdict::Fresh);
    assert_eq!(middle.check(stamp(1, 5, 17), NOW), Verdict::Duplicate { base_offset: Offset(170), record_count: 2 });
    assert_eq!(middle.check(stamp(1, 5, 16), NOW), Verdict::DuplicateForgotten);

    // A hole: what lies before it is not remembered, least of all under a wrong offset.
    middle.note(stamp(1, 5, 20), Offset(200), 2, NOW);
    for seq in [17, 18, 19] {
        assert_eq!(middle.check(stamp(1, 5, seq), NOW), Verdict::DuplicateForgotten);
    }
    assert_eq!(middle.check(stamp(1, 5, 20), NOW), Verdict::Duplicate { base_offset: Offset(200), record_count: 2 });
}

/// Goal: a full table refuses new producers until the one that wrote longest ago has been idle long enough, then forgets
/// exactly that one.
#[test]
fn the_least_recent_producer_is_forgotten() {
    let mut table = Producers::with_capacity(3);
    for (id, arrival) in [(1, 0), (2, 10), (3, 20)] {
        table.note(stamp(id, 0, 0), Offset(id), 1, WallUs(arrival));
    }
    table.note(stamp(1, 0, 1), Offset(9), 1, WallUs(30));

    let idle = |us: u64| WallUs(10 + us);
    assert_eq!(table.check(stamp(4, 0, 0), idle(PRODUCER_KEEP_US - 1)), Verdict::Full);
    assert_eq!(table.check(stamp(2, 1, 0), idle(PRODUCER_KEEP_US - 1)), Verdict::Fresh);
    let now = idle(PRODUCER_KEEP_US);
    assert_eq!(table.check(stamp(4, 0, 0), now), Verdict::Fresh);
    table.note(stamp(4, 0, 0), Offset(30), 1, now);

    assert_eq!(table.len(), 3);
    assert_eq!(table.check(stamp(2, 0, 1), now), Verdict::UnknownProducer);
    for (id, seq) in [(1, 1), (3, 0), (4, 0)] {
        assert!(matches!(table.check(stamp(id, 0, seq), now), Verdict::Duplicate { .. }), "{id}");
    }
}

/// Goal: the committed bytes of a snapshot, so that the format cannot drift unnoticed.
#[test]
fn committed_sample() {
    let mut table = Producers::new();
    table.note(stamp(7, 2, 0), Offset(256), 3, WallUs(16));
    table.note(stamp(9, 0, 0), Offset(259), 1, WallUs(17));
    table.note(stamp(7, 2, 1), Offset(260), 4, WallUs(18));
    #[rustfmt::skip]
    let sample = [
        1, 0, 0, 0, 2, 0, 0, 0,
        9, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  1, 0, 0, 0,  17, 0, 0, 0, 0, 0, 0, 0,  1,
        3, 1, 0, 0, 0, 0, 0, 0,  1, 0, 0, 0,
        7, 0, 0, 0, 0, 0, 0, 0,  2, 0, 0, 0,  2, 0, 0, 0,  18, 0, 0, 0, 0, 0, 0, 0,  2,
        0, 1, 0, 0, 0, 0, 0, 0,  3, 0, 0, 0,
        4, 1, 0, 0, 0, 0, 0, 0,  4, 0, 0, 0,
    ];
    assert_eq!(encoded(&table), sample);
    assert_eq!(encoded(&decoded(&sample).unwrap()), sample);
}

/// Goal: every truncation of a snapshot is an error, and so is each field with an impossible value.
#[test]
fn bad_snapshots_are_refused() {
    let mut table = noted(3);
    table.note(stamp(2, 0, 0), Offset(99), 1, NOW);
    let bytes = encoded(&table);
    for cut in 0..bytes.len() {
        assert!(matches!(decoded(&bytes[..cut]), Err(DecodeError::Truncated { .. })), "cut at {cut}");
    }
    let refused = |at: usize, byte: u8, name: &str| {
        let mut damaged = bytes.clone();
        damaged[at] = byte;
        match decoded(&damaged) {
            Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
    };
    let second = 8 + PRODUCER_BYTES + 3 * BATCH_BYTES;
    refused(0, 2, "producers version");
    refused(3, 1, "producers version");
    refused(8, 0, "producer id");
    refused(second, 1, "producer id");
    refused(8 + PRODUCER_BYTES - 1, 0, "producer batches");
    refused(8 + PRODUCER_BYTES - 1, 4, "producer batches");
    let mut lying = bytes.clone();
    lying[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decoded(&lying), Err(DecodeError::Truncated { .. })));
}

/// Goal: a table at its bound stays small, in memory and in its snapshot.
#[test]
fn a_full_table_is_small() {
    let mut table = Producers::new();
    for id in 1..=PRODUCERS_PER_SHARD_MAX as u64 + 100 {
        for seq in 0..10 {
            table.note(stamp(id, 0, seq), Offset(0), 1, NOW);
        }
    }
    assert_eq!(table.len(), PRODUCERS_PER_SHARD_MAX);
    assert_eq!(size_of::<Slot>(), 136);
    assert!(table.slots.capacity() <= PRODUCERS_PER_SHARD_MAX);
    assert!(table.encoded_bytes() < 128 << 10);
}

/// What a test shard does to its table.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A producer sends its batch with this number, new or old, in or out of turn; some records.
    Send { id: u64, epoch: u32, seq: u32, records: u32 },
    /// A producer sends what is next in its epoch.
    SendNext { id: u64, records: u32 },
    /// A producer starts a new epoch.
    NewEpoch { id: u64 },
    /// The active segment is sealed: a snapshot is taken.
    Seal,
    /// The node restarts: the last snapshot, then the frames after it.
    Restart,
    /// Time passes.
    Wait { us: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 1..6_u64;
    let step = prop_oneof![
        4 => (id.clone(), 0..3_u32, 0..14_u32, 1..5_u32)
            .prop_map(|(id, epoch, seq, records)| Step::Send { id, epoch, seq, records }),
        12 => (id.clone(), 1..5_u32).prop_map(|(id, records)| Step::SendNext { id, records }),
        1 => id.prop_map(|id| Step::NewEpoch { id }),
        1 => Just(Step::Seal),
        1 => Just(Step::Restart),
        2 => (0..PRODUCER_KEEP_US).prop_map(|us| Step::Wait { us }),
    ];
    prop::collection::vec(step, 1..200)
}

/// One stored batch of the log.
#[derive(Clone, Copy, Debug)]
struct Frame {
    stamp: ProducerStamp,
    base_offset: Offset,
    record_count: u32,
    arrival: WallUs,
}

/// The naive model: the log itself, searched from the front.
#[derive(Default)]
struct Model {
    log: Vec<Frame>,
}

impl Model {
    /// Where the batch was stored last. A forgotten producer may have started over with the same stamps.
    fn find(&self, stamp: ProducerStamp) -> Option<&Frame> {
        self.log.iter().rev().find(|frame| frame.stamp == stamp)
    }

    /// The producer's epoch and next number.
    fn state(&self, id: u64) -> Option<(u32, u32)> {
        let last = self.log.iter().rev().find(|frame| frame.stamp.id.0 == id)?;
        Some((last.stamp.epoch, last.stamp.seq + 1))
    }

    /// Arrival of the last batch of each of the producers that wrote last, newest first.
    fn recent(&self) -> Vec<(u64, WallUs)> {
        let mut recent: Vec<(u64, WallUs)> = Vec::new();
        for frame in self.log.iter().rev() {
            if recent.iter().all(|(id, _)| *id != frame.stamp.id.0) {
                recent.push((frame.stamp.id.0, frame.arrival));
            }
        }
        recent
    }

    /// The verdict, with nothing forgotten that a table of `capacity` would remember.
    fn check(&self, stamp: ProducerStamp, now: WallUs, capacity: usize) -> Verdict {
        let recent = self.recent();
        let remembered = recent.iter().take(capacity).any(|(id, _)| *id == stamp.id.0);
        let state = self.state(stamp.id.0).filter(|_| remembered);
        match state {
            None if stamp.seq > 0 => Verdict::UnknownProducer,
            None if recent.len() >= capacity && now.0 - recent[capacity - 1].1.0 < PRODUCER_KEEP_US => Verdict::Full,
            None => Verdict::Fresh,
            Some((epoch, _)) if stamp.epoch < epoch => Verdict::Fenced { current_epoch: epoch },
            Some((epoch, _)) if stamp.epoch > epoch && stamp.seq > 0 => Verdict::UnknownProducer,
            Some((epoch, _)) if stamp.epoch > epoch => Verdict::Fresh,
            Some((_, next)) if stamp.seq > next => Verdict::Gap { expected: next },
            Some((_, next)) if stamp.seq == next => Verdict::Fresh,
            Some((_, next)) if next - stamp.seq > PRODUCER_WINDOW as u32 => Verdict::DuplicateForgotten,
            Some(_) => {
                let frame = self.find(stamp).expect("all before next is stored");
                Verdict::Duplicate { base_offset: frame.base_offset, record_count: frame.record_count }
            }
        }
    }
}

/// A shard under test: table, model, and what is needed to restart.
struct Shard {
    table: Producers,
    model: Model,
    snapshot: Vec<u8>,
    sealed: usize,
    end: u64,
    now: WallUs,
    capacity: usize,
}

impl Shard {
    fn new(capacity: usize) -> Self {
        let table = Producers::with_capacity(capacity);
        let snapshot = encoded(&table);
        Self { table, model: Model::default(), snapshot, sealed: 0, end: 0, now: NOW, capacity }
    }

    fn send(&mut self, stamp: ProducerStamp, record_count: u32) {
        let verdict = self.table.check(stamp, self.now);
        assert_eq!(verdict, self.model.check(stamp, self.now, self.capacity), "{stamp:?}");
        if verdict == Verdict::Fresh {
            if let Some(frame) = self.model.find(stamp) {
                let age = self.now.0 - frame.arrival.0;
                assert!(age >= PRODUCER_KEEP_US, "{stamp:?} is stored twice within {age} us");
            }
            let base_offset = Offset(self.end);
            self.end += u64::from(record_count);
            self.table.note(stamp, base_offset, record_count, self.now);
            self.model.log.push(Frame { stamp, base_offset, record_count, arrival: self.now });
        }
    }

    fn step(&mut self, step: Step) {
        self.now.0 += 1;
        match step {
            Step::Send { id, epoch, seq, records } => self.send(stamp(id, epoch, seq), records),
            Step::SendNext { id, records } => {
                let (epoch, next) = self.model.state(id).unwrap_or((0, 0));
                self.send(stamp(id, epoch, next), records);
            }
            Step::NewEpoch { id } => {
                let epoch = self.model.state(id).map_or(0, |(epoch, _)| epoch + 1);
                self.send(stamp(id, epoch, 0), 1);
            }
            Step::Seal => {
                self.snapshot = encoded(&self.table);
                self.sealed = self.model.log.len();
            }
            Step::Restart => {
                let before = encoded(&self.table);
                self.table = decoded(&self.snapshot).unwrap();
                self.table.capacity = self.capacity;
                for frame in &self.model.log[self.sealed..] {
                    self.table.note(frame.stamp, frame.base_offset, frame.record_count, frame.arrival);
                }
                assert_eq!(encoded(&self.table), before, "a restart changed the table");
            }
            Step::Wait { us } => self.now.0 += us,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Goal: under resends, reordering, new epochs, sealing and restarts the verdicts are those of a model that searches
    /// the whole log; and no batch is stored twice, unless its producer was forgotten after the promised time.
    #[test]
    fn agrees_with_the_naive_model(steps in steps(), capacity in 1..7_usize) {
        let mut shard = Shard::new(capacity);
        for step in steps {
            shard.step(step);
        }
    }

    /// Goal: with room for all producers every batch is stored exactly once, in order, in each epoch.
    #[test]
    fn stored_once_and_in_order(steps in steps()) {
        let mut shard = Shard::new(100);
        for step in steps {
            shard.step(step);
        }
        let mut next: HashMap<(u64, u32), u32> = HashMap::new();
        for frame in &shard.model.log {
            let expected = next.entry((frame.stamp.id.0, frame.stamp.epoch)).or_default();
            prop_assert_eq!(frame.stamp.seq, *expected);
            *expected += 1;
        }
    }
}
