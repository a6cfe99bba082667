//! Puts on their way from the receive buffer of a connection to a request: head, checksums, args, body.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millstream::format::record;
use millstream::protocol::messages::Put;
use millstream::protocol::{Decoder, Envelope, Next, Request, Side};
use millstream::types::{GroupId, ProducerId, ProducerStamp};

/// Bytes that a connection may have received at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// One put message of `records` records with `data_bytes` of data each.
fn message(records: u32, data_bytes: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for number in 0..records {
        record::encode(&format!("key-{number:06}"), &vec![0x5a; data_bytes], &mut body);
    }
    let put = Put {
        group: GroupId(16),
        producer: Some(ProducerStamp { id: ProducerId(7), epoch: 1, seq: 9 }),
        record_count: records,
    };
    let len = u32::try_from(body.len()).expect("a small body");
    let mut out = Vec::new();
    Envelope::request::<Put>(5).body(len, crc32fast::hash(&body)).encode(&put, &mut out);
    out.extend_from_slice(&body);
    out
}

/// Takes all messages off the buffer; gives the records announced.
fn parse(mut buffer: BytesMut) -> u32 {
    let mut decoder = Decoder::new(Side::Server);
    let mut records = 0;
    while let Next::Message(message) = decoder.next(&mut buffer).expect("a good message") {
        let Ok(Request::Put(put)) = message.request() else { panic!("a put") };
        message.check_body().expect("the body is intact");
        records += put.record_count;
    }
    records
}

fn protocol_parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("protocol_parse");
    for (name, records, data_bytes) in [("1x100B", 1, 100), ("1x1KiB", 1, 1 << 10), ("128x1KiB", 128, 1 << 10)] {
        let message = message(records, data_bytes);
        let messages = BUFFER_BYTES / message.len();
        let received = message.repeat(messages);
        group.throughput(Throughput::ElementsAndBytes { elements: messages as u64, bytes: received.len() as u64 });
        group.bench_with_input(BenchmarkId::new("put", name), &received, |b, received| {
            b.iter_batched(|| BytesMut::from(&received[..]), |buffer| parse(black_box(buffer)), BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, protocol_parse);
criterion_main!(benches);
