//! The fast way of `PutRecords`: a body of 500 records of 1 KiB, walked, routed by the MD5 of its keys and decoded into one
//! batch per shard. Throughput is that of the body as it arrives.

use std::hint::black_box;

use base64_simd::STANDARD;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream::format::record::{encode_header, encoded_bytes};
use millstream::kinesis::Encoding;
use millstream::kinesis::put::{Call, Scratch, Sink, scan};
use millstream::types::HashKey;

const RECORDS: usize = 500;
const DATA_BYTES: usize = 1 << 10;

/// One batch per shard, as a router of a stream of four shards.
struct Shares<'a> {
    batches: &'a mut [Vec<u8>; 4],
    hash_keys: std::slice::Iter<'a, HashKey>,
}

impl Sink for Shares<'_> {
    fn record(&mut self, key: &str, _: Option<u128>, data_len: usize) -> &mut Vec<u8> {
        let hash_key = self.hash_keys.next().expect("one per record");
        let share = &mut self.batches[(hash_key.0 >> 126) as usize];
        share.reserve(encoded_bytes(key.len(), data_len));
        share.extend_from_slice(&encode_header(key.len(), data_len));
        share.extend_from_slice(key.as_bytes());
        share
    }
}

fn data(n: usize) -> Vec<u8> {
    (0..DATA_BYTES).map(|i| (i * 31 + n * 7) as u8).collect()
}

fn key(n: usize) -> String {
    format!("device-{n:09}")
}

fn json() -> Vec<u8> {
    let record = |n| format!(r#"{{"Data": "{}", "PartitionKey": "{}"}}"#, STANDARD.encode_to_string(data(n)), key(n));
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    format!(r#"{{"Records": [{}], "StreamName": "a-stream"}}"#, records.join(", ")).into_bytes()
}

fn cbor() -> Vec<u8> {
    let mut body = b"\xbf\x67Records\x9f".to_vec();
    for n in 0..RECORDS {
        body.extend_from_slice(b"\xbf\x64Data\x59");
        body.extend_from_slice(&(DATA_BYTES as u16).to_be_bytes());
        body.extend_from_slice(&data(n));
        body.extend_from_slice(b"\x6cPartitionKey\x70");
        body.extend_from_slice(key(n).as_bytes());
        body.push(0xff);
    }
    body.extend_from_slice(b"\xff\x6aStreamName\x68a-stream\xff");
    body
}

fn kinesis_put(c: &mut Criterion) {
    let mut group = c.benchmark_group("kinesis_put");
    for (name, encoding, body) in [("json", Encoding::Json, json()), ("cbor", Encoding::Cbor, cbor())] {
        group.throughput(Throughput::Bytes(body.len() as u64));
        let mut scratch = Scratch::default();
        group.bench_with_input(BenchmarkId::new("scan", name), &body, |b, body| {
            b.iter(|| {
                let scan = scan(Call::Records, encoding, black_box(body), &mut scratch).expect("a usual body");
                scan.head().bytes
            });
        });
        let (mut batches, mut hash_keys) = (Default::default(), Vec::new());
        group.bench_with_input(BenchmarkId::new("scan_feed", name), &body, |b, body| {
            b.iter(|| {
                let batches: &mut [Vec<u8>; 4] = black_box(&mut batches);
                batches.iter_mut().for_each(Vec::clear);
                let scan = scan(Call::Records, encoding, black_box(body), &mut scratch).expect("a usual body");
                scan.hash_keys(&mut hash_keys);
                scan.feed(&mut Shares { batches, hash_keys: hash_keys.iter() }).expect("base64");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kinesis_put);
criterion_main!(benches);
