//! Answers of `GetRecords` and `PutRecords`: 1,000 records of 1 KiB from stored frames, one record in each or 50, and the
//! results of 500 records in four shards. Throughput is that of the data of the records, or in records.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream::format::frame::{FrameHeader, HEADER_BYTES, Kind};
use millstream::format::record;
use millstream::kinesis::Encoding;
use millstream::kinesis::records::{
    GET_RECORDS_BYTES_MAX, GET_RECORDS_MAX, Page, PutResult, Stored, write_put_records, write_records,
};
use millstream::types::{Chain, FrameIndex, GroupId, Offset, ShardNumber, Term, WallUs};

const RECORDS: usize = 1_000;
const DATA_BYTES: usize = 1 << 10;
const CREATED: WallUs = WallUs(1_700_000_000_000_000);

/// Frames with so many records each, a millisecond between them.
fn frames(each: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for base in (0..RECORDS).step_by(each) {
        let mut body = Vec::new();
        for n in base..base + each {
            let data: Vec<_> = (0..DATA_BYTES).map(|i| (i * 31 + n * 7) as u8).collect();
            record::encode(&format!("device-{n:09}"), &data, &mut body);
        }
        let header = FrameHeader {
            commit_hint: FrameIndex(0),
            durable_hint: FrameIndex(0),
            kind: Kind::Data,
            flags: 0,
            body_len: u32::try_from(body.len()).expect("a small body"),
            body_crc: crc32fast::hash(&body),
            record_count: u32::try_from(each).expect("a small frame"),
            group_id: GroupId(16),
            term: Term(1),
            index: FrameIndex(base as u64),
            base_offset: Offset(base as u64),
            arrival_us: CREATED.plus(10_000_000 + base as u64 * 1_000),
            chain: Chain(0),
            producer: None,
            log_bytes: 0,
        };
        let mut bytes = [0; HEADER_BYTES];
        header.encode(&mut bytes);
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&body);
    }
    out
}

fn kinesis_records(c: &mut Criterion) {
    let page = Page {
        created: CREATED,
        shard: ShardNumber(3),
        from: Offset(0),
        records_max: GET_RECORDS_MAX,
        bytes_max: GET_RECORDS_BYTES_MAX,
        is_encrypted: false,
    };
    let mut group = c.benchmark_group("kinesis_records");
    for each in [1, 50] {
        let frames = frames(each);
        group.throughput(Throughput::Bytes((RECORDS * DATA_BYTES) as u64));
        for (name, encoding) in [("json", Encoding::Json), ("cbor", Encoding::Cbor)] {
            let mut out = Vec::new();
            group.bench_with_input(BenchmarkId::new(name, each), &frames, |b, frames| {
                b.iter(|| {
                    out.clear();
                    let written = write_records(&mut out, encoding, &page, std::iter::once(&black_box(frames)[..]));
                    assert_eq!(written.count, RECORDS);
                });
            });
        }
    }
    let results: Vec<_> = (0..500)
        .map(|n| Stored {
            shard: ShardNumber(n % 4),
            created: CREATED,
            offset: Offset(u64::from(n / 4)),
            arrival: CREATED.plus(10_000_000),
        })
        .collect();
    group.throughput(Throughput::Elements(500));
    for (name, encoding) in [("json", Encoding::Json), ("cbor", Encoding::Cbor)] {
        let mut out = Vec::new();
        group.bench_with_input(BenchmarkId::new("put_results", name), &results, |b, results| {
            b.iter(|| {
                out.clear();
                let results = black_box(results).iter().map(|stored| PutResult::Stored(*stored));
                write_put_records(&mut out, encoding, false, results);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kinesis_records);
criterion_main!(benches);
