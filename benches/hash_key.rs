//! The hash key of a partition key: MD5, once per record, in the client (or in the node, for puts by key).

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream::types::HashKey;

fn hash_key(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash_key");
    group.throughput(Throughput::Elements(1));
    // MD5 works in blocks of 64 bytes, 9 of which are taken by its padding.
    for bytes in [8, 36, 55, 256] {
        let key = "k".repeat(bytes);
        group.bench_with_input(BenchmarkId::from_parameter(bytes), &key, |b, key| {
            b.iter(|| HashKey::of(black_box(key.as_bytes())));
        });
    }
    // As many keys as one PutRecords brings.
    let keys: Vec<_> = (0..500).map(|n| format!("device-{n:09}")).collect();
    let mut hashes = Vec::new();
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("500_keys_of_16", |b| {
        b.iter(|| {
            hashes.clear();
            HashKey::of_each(black_box(&keys).iter().map(|key| key.as_bytes()), &mut hashes);
        });
    });
    group.finish();
}

criterion_group!(benches, hash_key);
criterion_main!(benches);
