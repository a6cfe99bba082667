//! The header of a frame: written once per put, read and checked once per frame that a reader or a recovery meets. The
//! body plays no part here but in `split`, which sums it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millstream::format::frame::{Frame, FrameHeader, HEADER_BYTES, Kind};
use millstream::log::tip::{Draft, Tip};
use millstream::types::{FrameIndex, GroupId, ProducerId, ProducerStamp, Term, WallUs};

fn draft(body: &[u8]) -> Draft {
    Draft {
        kind: Kind::Data,
        body_len: u32::try_from(body.len()).expect("a small body"),
        body_crc: crc32fast::hash(body),
        record_count: 1,
        producer: Some(ProducerStamp { id: ProducerId(7), epoch: 1, seq: 9 }),
        arrival: WallUs(1_767_225_600_000_000),
    }
}

fn frame(c: &mut Criterion) {
    let body = vec![0x5a; 1 << 10];
    let tip = Tip::genesis(GroupId(16));
    let draft = draft(&body);
    let header = tip.stamp(draft, Term(1), FrameIndex(0));
    let mut bytes = vec![0; HEADER_BYTES];
    header.encode(&mut bytes);
    bytes.extend_from_slice(&body);

    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Elements(1));
    group.bench_function("stamp", |b| {
        b.iter(|| black_box(&tip).stamp(black_box(draft), Term(1), FrameIndex(0)));
    });
    group.bench_function("encode", |b| {
        let mut out = [0; HEADER_BYTES];
        b.iter(|| black_box(&header).encode(black_box(&mut out)));
    });
    group.bench_function("decode", |b| b.iter(|| FrameHeader::decode(black_box(&bytes))));
    group.bench_function("judge", |b| b.iter(|| black_box(&tip).judge(black_box(&header))));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("split_1KiB", |b| b.iter(|| Frame::split(black_box(&bytes)).map(|(frame, _)| frame.header)));
    group.finish();
}

criterion_group!(benches, frame);
criterion_main!(benches);
