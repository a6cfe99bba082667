//! The checksum of a body: the one pass over a put's bytes that the node makes before it copies them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn body_crc(c: &mut Criterion) {
    let mut group = c.benchmark_group("body_crc");
    for bytes in [128, 1 << 10, 16 << 10, 512 << 10] {
        let body: Vec<u8> = (0..bytes).map(|at| (at * 31) as u8).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_with_input(BenchmarkId::from_parameter(bytes), &body, |b, body| {
            b.iter(|| crc32fast::hash(black_box(body)));
        });
    }
    // Small puts that share a frame: the sum of the whole is combined from those of its parts.
    let (first, second) = (crc32fast::hash(b"first"), [0x5a; 1 << 10]);
    let mut part = crc32fast::Hasher::new();
    part.update(&second);
    group.throughput(Throughput::Elements(1));
    group.bench_function("combine", |b| {
        b.iter(|| {
            let mut whole = crc32fast::Hasher::new_with_initial(black_box(first));
            whole.combine(black_box(&part));
            whole.finalize()
        });
    });
    group.finish();
}

criterion_group!(benches, body_crc);
criterion_main!(benches);
