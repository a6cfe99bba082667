use proptest::prelude::*;

use super::*;
use crate::format::frame::FrameError;
use crate::format::record;
use crate::types::{Chain, FrameIndex, Term};

const GROUP: GroupId = GroupId(5);

fn frame(base: u64, count: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for n in base..base + count {
        record::encode(&format!("k{n}"), &vec![n as u8; n as usize % 7], &mut body);
    }
    wrap(base, count as u32, &body)
}

fn wrap(base: u64, record_count: u32, body: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        commit_hint: FrameIndex(0),
        durable_hint: FrameIndex(0),
        kind: if record_count > 0 { Kind::Data } else { Kind::NoOp },
        flags: 0,
        body_len: body.len() as u32,
        body_crc: crc32fast::hash(body),
        record_count,
        group_id: GROUP,
        term: Term(1),
        index: FrameIndex(1),
        base_offset: Offset(base),
        arrival_us: WallUs(base),
        chain: Chain(0),
        producer: None,
        log_bytes: 0,
    };
    let mut bytes = vec![0; HEADER_BYTES];
    header.encode(&mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

/// All records, or the first error.
fn read(body: Vec<u8>, from: u64, end: u64) -> Result<Vec<Record>, FramesError> {
    let mut frames = Frames::new(ShardNumber(2), GROUP, body.into(), Offset(from), Offset(end));
    let mut records = Vec::new();
    while let Some(mut batch) = frames.next()? {
        let borrowed: Result<Vec<_>, _> =
            batch.records().map(|item| item.map(|(o, r)| (o, r.key.to_owned(), r.data.to_vec()))).collect();
        let before = records.len();
        while let Some(record) = batch.next_record() {
            records.push(record?);
        }
        let owned: Vec<_> =
            records[before..].iter().map(|r: &Record| (r.offset, r.key().to_owned(), r.data().to_vec())).collect();
        assert_eq!(borrowed.unwrap(), owned, "both ways to read give the same");
    }
    Ok(records)
}

/// Goal: records come out in order with offset, arrival, key and data, from the one asked for, in whatever frame it lies.
#[test]
fn starts_where_asked() {
    let body = [frame(10, 5), wrap(15, 0, b""), frame(15, 3)].concat();
    for from in 10..15 {
        let records = read(body.clone(), from, 18).unwrap();
        assert_eq!(records.len() as u64, 18 - from);
        for (record, offset) in records.iter().zip(from..) {
            assert_eq!((record.offset, record.shard), (Offset(offset), ShardNumber(2)));
            assert_eq!(
                (record.key(), record.data()),
                (&*format!("k{offset}"), &vec![offset as u8; offset as usize % 7][..])
            );
            assert_eq!(record.arrival.0, if offset < 15 { 10 } else { 15 });
            assert_eq!(record.clone().into_data(), record.data());
        }
    }
    assert!(read(vec![], 7, 7).unwrap().is_empty());
}

/// Goal: records are slices of what was received, not copies.
#[test]
fn records_are_slices() {
    let body: Bytes = frame(0, 3).into();
    let range = body.as_ptr_range();
    let mut frames = Frames::new(ShardNumber(0), GROUP, body.clone(), Offset(0), Offset(3));
    let mut batch = frames.next().unwrap().unwrap();
    while let Some(record) = batch.next_record() {
        assert!(range.contains(&record.unwrap().key().as_ptr()));
    }
}

/// Goal: a gap, a repetition, a frame that ends before the start, too few and too many records than the node said: errors.
#[test]
fn offsets_must_be_dense() {
    let offset = |result: Result<Vec<Record>, FramesError>| match result {
        Err(FramesError::Offset { expected, have }) => (expected.0, have.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(offset(read([frame(0, 2), frame(3, 1)].concat(), 0, 4)), (2, 3));
    assert_eq!(offset(read([frame(0, 2), frame(1, 2)].concat(), 0, 3)), (2, 1));
    assert_eq!(offset(read(frame(5, 2), 4, 7)), (4, 5));
    assert_eq!(offset(read(frame(5, 2), 7, 7)), (7, 5));
    assert_eq!(offset(read(frame(5, 2), 5, 8)), (8, 7));
    assert_eq!(offset(read(frame(5, 2), 5, 6)), (6, 7));
    assert_eq!(offset(read(vec![], 5, 6)), (6, 5));
}

/// Goal: a frame of another shard, and bodies whose records are not what the header says, are errors.
#[test]
fn foreign_and_lying_frames_are_refused() {
    let mut frames = Frames::new(ShardNumber(0), GroupId(6), frame(0, 1).into(), Offset(0), Offset(1));
    assert_eq!(frames.next().unwrap_err(), FramesError::Group { expected: GroupId(6), have: GROUP });
    let mut one = Vec::new();
    record::encode("k", b"", &mut one);
    let mut frames = Frames::new(ShardNumber(0), GROUP, wrap(0, 2, &one).into(), Offset(0), Offset(2));
    let mut batch = frames.next().unwrap().unwrap();
    assert!(batch.next_record().unwrap().is_ok());
    assert!(matches!(batch.next_record(), Some(Err(FramesError::Record(RecordError::Count { .. })))));
    assert!(batch.next_record().is_none());
}

proptest! {
    /// Goal: every truncation and every flipped bit is an error, never a panic and never another record.
    #[test]
    fn damage_is_an_error(cut in 0..1_000_usize, bit in 0..8_000_usize) {
        let body = [frame(0, 3), frame(3, 2)].concat();
        let cut = cut % body.len();
        prop_assert!(read(body[..cut].to_vec(), 0, 5).is_err());
        let mut flipped = body;
        let bit = bit % (flipped.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(flipped, 0, 5).is_err());
    }
}

/// Goal: a frame header that claims more than there is says how much.
#[test]
fn truncation_names_the_need() {
    let whole = frame(0, 3);
    let need = whole.len();
    let error = read(whole[..need - 1].to_vec(), 0, 3).unwrap_err();
    assert_eq!(error, FramesError::Frame(FrameError::Truncated { need, have: need - 1 }));
}
