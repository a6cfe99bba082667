//! Finding the place of an offset or of a time in a segment: the first step of every read that the memory does not serve.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::format::index::{self, Entry, Summary};
use millstream::limits::{INDEX_INTERVAL_BYTES, SEGMENT_BYTES_MAX};
use millstream::types::{Chain, FilePos, FrameIndex, GroupId, Offset, Term, WallUs};

const RECORDS_PER_ENTRY: u64 = 64;
const US_PER_ENTRY: u64 = 500;

/// The index file of a full segment of the largest size.
fn file() -> Vec<u8> {
    let count = SEGMENT_BYTES_MAX / INDEX_INTERVAL_BYTES;
    let entries: Vec<_> = (0..count)
        .map(|n| {
            let (offset, arrival) = (Offset(n * RECORDS_PER_ENTRY), WallUs(n * US_PER_ENTRY));
            Entry::new(offset, arrival, FrameIndex(n), FilePos(n * INDEX_INTERVAL_BYTES))
        })
        .collect();
    let summary = Summary {
        group: GroupId(16),
        number: 0,
        complete: true,
        first_index: FrameIndex(0),
        first_offset: Offset(0),
        first_arrival: WallUs(0),
        term: Term(1),
        index: FrameIndex(count),
        offset: Offset(count * RECORDS_PER_ENTRY),
        chain: Chain(1),
        arrival: WallUs(count * US_PER_ENTRY),
        log_bytes: SEGMENT_BYTES_MAX,
        end_pos: FilePos(SEGMENT_BYTES_MAX),
        gaps: Vec::new(),
        producers: Vec::new(),
    };
    index::encode(&summary, &entries)
}

fn index_lookup(c: &mut Criterion) {
    let file = file();
    let entries = index::decode_entries(&file).expect("an index file");
    let count = entries.len() as u64;

    let mut group = c.benchmark_group("index_lookup");
    group.throughput(Throughput::Elements(1));
    // A step that is prime to the number of entries: every lookup is somewhere else, and all places have their turn.
    let mut at = 0;
    let mut next = move || {
        at = (at + 2_654_435_761) % count;
        at
    };
    group.bench_function("by_offset", |b| {
        b.iter(|| index::before_offset(black_box(entries), Offset(next() * RECORDS_PER_ENTRY + 7)));
    });
    group.bench_function("by_time", |b| {
        b.iter(|| index::before_time(black_box(entries), WallUs(next() * US_PER_ENTRY + 7)));
    });
    group.bench_function("entries_of_file", |b| b.iter(|| index::decode_entries(black_box(&file)).map(<[Entry]>::len)));
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("check_file", |b| b.iter(|| index::decode(black_box(&file)).map(|(_, found)| found.len())));
    group.finish();
}

criterion_group!(benches, index_lookup);
criterion_main!(benches);
