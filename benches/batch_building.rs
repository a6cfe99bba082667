//! Building the body of a batch in the client's producer: one copy of each record. The hash key and the checksum, which a
//! producer computes too, have benches of their own.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream::client::producer::build_body;
use millstream::format::record::{Terms, check_body, encoded_bytes};

/// The producer's usual size of a batch.
const BATCH_BYTES: usize = 512 << 10;

fn batch_building(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_building");
    for data_bytes in [100, 1 << 10, 64 << 10] {
        let data = vec![0x5a; data_bytes];
        let keys: Vec<_> = (0..1000).map(|n| format!("key-{n:06}")).collect();
        let count = BATCH_BYTES / encoded_bytes(keys[0].len(), data_bytes);
        let records = || keys.iter().cycle().take(count).map(|key| (key.as_str(), &data[..]));
        let body = build_body(records(), BATCH_BYTES);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("build", data_bytes), &(), |b, ()| {
            b.iter(|| build_body(black_box(records()), BATCH_BYTES));
        });
        // What the node does with it in return, beside the checksum: every record is looked at, its data is not.
        let count = u32::try_from(count).expect("a batch has few records");
        group.bench_with_input(BenchmarkId::new("check", data_bytes), &body, |b, body| {
            let terms = Terms { record_bytes_max: u32::MAX, keyless: false };
            b.iter(|| check_body(black_box(body), count, terms));
        });
    }
    group.finish();
}

criterion_group!(benches, batch_building);
criterion_main!(benches);
