use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::format::frame::Kind;
use crate::format::record;
use crate::kinesis::{input, model, testing};
use crate::types::{Chain, FrameIndex, GroupId, HashKey, Term};

/// The one thing that is written in CBOR at the start of `bytes`, as it would be in JSON: byte strings in base64, times in
/// seconds. Takes it off.
fn cbor(bytes: &mut &[u8]) -> Value {
    fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(n);
        *bytes = rest;
        taken
    }
    let first = take(bytes, 1)[0];
    let (kind, info) = (first >> 5, first & 0x1f);
    let number = match info {
        ..24 => Some(u64::from(info)),
        24..28 => Some(take(bytes, 1 << (info - 24)).iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))),
        _ => None,
    };
    let goes_on = |bytes: &mut &[u8]| {
        assert_eq!(number, None, "maps and lists are of unknown length");
        let is_end = bytes[0] == 0xff;
        if is_end {
            take(bytes, 1);
        }
        !is_end
    };
    match (kind, number) {
        (0, Some(n)) => n.into(),
        (2, Some(n)) => base64_simd::STANDARD.encode_to_string(take(bytes, n as usize)).into(),
        (3, Some(n)) => std::str::from_utf8(take(bytes, n as usize)).unwrap().into(),
        (4, _) => {
            let mut items = Vec::new();
            while goes_on(bytes) {
                items.push(cbor(bytes));
            }
            items.into()
        }
        (5, _) => {
            let mut members = serde_json::Map::new();
            while goes_on(bytes) {
                let name = cbor(bytes).as_str().unwrap().to_owned();
                assert!(!members.contains_key(&name), "{name} stands there twice");
                let value = cbor(bytes);
                members.insert(name, value);
            }
            members.into()
        }
        (6, Some(1)) => {
            let ms = cbor(bytes).as_u64().expect("a time is an integer");
            (ms as f64 / 1_000.0).into()
        }
        _ => panic!("{first:#04x} is in no answer"),
    }
}

/// What was written in both encodings, which must agree.
fn both(write: impl Fn(&mut Vec<u8>, Encoding)) -> Value {
    let [json, cbor_bytes] = Encoding::ALL.map(|encoding| {
        let mut out = Vec::new();
        write(&mut out, encoding);
        out
    });
    let json: Value = serde_json::from_slice(&json).unwrap_or_else(|e| panic!("{e}: {}", json.escape_ascii()));
    let mut rest = &cbor_bytes[..];
    assert_eq!(cbor(&mut rest), json);
    assert!(rest.is_empty(), "{rest:02x?} left over");
    json
}

/// The same, whole answers of an operation: they are also what its model says.
fn answer(operation: &str, write: impl Fn(&mut Vec<u8>, Encoding)) -> Value {
    let shape = model::operation(operation).and_then(|operation| operation.output).unwrap();
    let json = both(&write);
    for encoding in Encoding::ALL {
        let mut out = Vec::new();
        write(&mut out, encoding);
        let decoded = input::testing_decode(shape, encoding, &out).expect("a structure of its shape");
        // Its constraints are not asked: by the model no count of failed records is 0, which is the usual one.
        // Nothing that the model does not know was written, or it would be missing here.
        let decoded = testing::structure_to_json(&decoded);
        assert_eq!(decoded, json, "{encoding:?}");
    }
    json
}

fn text(write: impl Fn(&mut Vec<u8>, Encoding)) -> String {
    let mut out = Vec::new();
    write(&mut out, Encoding::Json);
    String::from_utf8(out).unwrap()
}

/// A frame with these records.
fn frame(base: u64, arrival_ms: u64, records: &[(String, Vec<u8>)], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    records.iter().for_each(|(key, data)| record::encode(key, data, &mut body));
    let header = FrameHeader {
        commit_hint: FrameIndex(0),
        durable_hint: FrameIndex(0),
        kind: if records.is_empty() { Kind::NoOp } else { Kind::Data },
        flags: 0,
        body_len: u32::try_from(body.len()).unwrap(),
        body_crc: crc32fast::hash(&body),
        record_count: u32::try_from(records.len()).unwrap(),
        group_id: GroupId(7),
        term: Term(1),
        index: FrameIndex(base),
        base_offset: Offset(base),
        arrival_us: WallUs(arrival_ms * 1_000 + 999),
        chain: Chain(0),
        producer: None,
        log_bytes: 0,
    };
    let mut bytes = [0; HEADER_BYTES];
    header.encode(&mut bytes);
    out.extend_from_slice(&bytes);
    out.extend_from_slice(&body);
}

const CREATED: WallUs = WallUs(1_699_999_999_000_000);

fn page(from: u64) -> Page {
    Page {
        created: CREATED,
        shard: ShardNumber(3),
        from: Offset(from),
        records_max: GET_RECORDS_MAX,
        bytes_max: GET_RECORDS_BYTES_MAX,
        is_encrypted: false,
    }
}

fn small(key: &str, data: &[u8]) -> (String, Vec<u8>) {
    (key.to_owned(), data.to_vec())
}

/// Goal: the committed text of a page in JSON and the bytes of one in CBOR, so that neither drifts unnoticed.
#[test]
fn committed_samples() {
    let mut frames = Vec::new();
    frame(0, 1_700_000_000_123, &[small("a", b"hello"), small("\"b\\\n\u{1}ü", b"")], &mut frames);
    let slices = || std::iter::once(&frames[..]);
    let json = text(|out, encoding| {
        write_records(out, encoding, &page(0), slices());
    });
    let number =
        |offset| SequenceNumber::of(CREATED, ShardNumber(3), Offset(offset), WallUs(1_700_000_000_000_000)).to_string();
    let expected = [
        r#"[{"SequenceNumber":""#,
        &number(0),
        r#"","ApproximateArrivalTimestamp":1700000000.123,"Data":"aGVsbG8=","PartitionKey":"a"},"#,
        r#"{"SequenceNumber":""#,
        &number(1),
        r#"","ApproximateArrivalTimestamp":1700000000.123,"Data":"","PartitionKey":"\"b\\\n\u0001ü"}]"#,
    ];
    assert_eq!(json, expected.concat());

    let mut cbor = Vec::new();
    let one = Page { records_max: 1, is_encrypted: true, ..page(0) };
    write_records(&mut cbor, Encoding::Cbor, &one, slices());
    let number = number(0);
    let expected = [
        b"\x9f\xbf\x6eSequenceNumber\x78\x38",
        number.as_bytes(),
        b"\x78\x1bApproximateArrivalTimestamp\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b",
        b"\x64Data\x45hello\x6cPartitionKey\x61a\x6eEncryptionType\x63KMS\xff\xff",
    ];
    assert_eq!(cbor.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());
}

/// Goal: nothing to read is an empty list, from where it was asked for.
#[test]
fn nothing() {
    let written = Written { count: 0, bytes: 0, next: Offset(9), last: None, last_arrival: None };
    let mut old = Vec::new();
    frame(7, 1, &[small("a", b""), small("b", b"")], &mut old);
    for slices in [&[][..], &[&[][..]], &[&old]] {
        let json = both(|out, encoding| {
            assert_eq!(write_records(out, encoding, &page(9), slices.iter().copied()), written);
        });
        assert_eq!(json, json!([]));
    }
}

/// Goal: a record larger than the bound is handed out alone; otherwise the bound holds to the byte.
#[test]
fn bytes_are_bounded() {
    let mut frames = Vec::new();
    frame(0, 1, &[small("k", &[1; 99]), small("k", &[2; 9]), small("k", &[3; 9])], &mut frames);
    let count = |from, bytes_max| {
        let page = Page { bytes_max, ..page(from) };
        let written = write_records(&mut Vec::new(), Encoding::Cbor, &page, std::iter::once(&frames[..]));
        assert_eq!(written.next, Offset(from + written.count as u64));
        (written.count, written.bytes)
    };
    assert_eq!(count(0, 50), (1, 100));
    assert_eq!(count(0, 109), (1, 100));
    assert_eq!(count(0, 110), (2, 110));
    assert_eq!(count(1, 20), (2, 20));
    assert_eq!(count(1, 19), (1, 10));
}

/// Goal: what stands around the records, in the order of the model, and never more than one way to go on.
#[test]
fn whole_answers() {
    let whole = |after: After<'_>| {
        let written = text(|out, encoding| {
            begin(out, encoding);
            write_records(out, encoding, &page(0), std::iter::empty());
            end(out, encoding, 1_234, &after);
        });
        let write = |out: &mut Vec<u8>, encoding| {
            begin(out, encoding);
            write_records(out, encoding, &page(0), std::iter::empty());
            end(out, encoding, 1_234, &after);
        };
        match after {
            // That of an event is no operation's.
            After::Continuation(_) => both(write),
            _ => answer("GetRecords", write),
        };
        written
    };
    assert_eq!(
        whole(After::Iterator("AAAA+/=")),
        r#"{"Records":[],"NextShardIterator":"AAAA+/=","MillisBehindLatest":1234}"#
    );
    let number = SequenceNumber::start(CREATED, ShardNumber(3));
    assert_eq!(
        whole(After::Continuation(number)),
        format!(r#"{{"Records":[],"ContinuationSequenceNumber":"{number}","MillisBehindLatest":1234}}"#)
    );
    let child = |shard, parents, first, last| ChildShard {
        shard: ShardNumber(shard),
        parents,
        first: HashKey(first),
        last: HashKey(last),
    };
    let (one, two) = ([ShardNumber(3)], [ShardNumber(3), ShardNumber(4_294_967_295)]);
    let expected = [
        r#"{"Records":[],"MillisBehindLatest":1234,"ChildShards":["#,
        r#"{"ShardId":"shardId-000000000005","ParentShards":["shardId-000000000003"],"#,
        r#""HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"9"}},"#,
        r#"{"ShardId":"shardId-000000000006","ParentShards":["shardId-000000000003","shardId-004294967295"],"#,
        r#""HashKeyRange":{"StartingHashKey":"10","EndingHashKey":"340282366920938463463374607431768211455"}}]}"#,
    ];
    assert_eq!(whole(After::Children(&[child(5, &one, 0, 9), child(6, &two, 10, u128::MAX)])), expected.concat());
}

fn stored(shard: u32, offset: u64) -> Stored {
    Stored {
        shard: ShardNumber(shard),
        created: WallUs(1_700_000_000_000_000 + u64::from(shard) * 1_000_000),
        offset: Offset(offset),
        arrival: WallUs(1_700_000_123_000_000),
    }
}

/// Goal: the answers of puts are as compact as clients expect, whatever became of the records.
#[test]
fn answers_of_puts() {
    let (a, b) = (stored(0, 5), stored(12, 0));
    let one = text(|out, encoding| write_put_record(out, encoding, false, &a));
    let (number_a, number_b) = (a.number(), b.number());
    assert_eq!(one, format!(r#"{{"ShardId":"shardId-000000000000","SequenceNumber":"{number_a}"}}"#));
    let fine = [PutResult::Stored(a), PutResult::Stored(b)];
    let expected = format!(
        r#"{{"FailedRecordCount":0,"Records":[{{"SequenceNumber":"{number_a}","ShardId":"shardId-000000000000"}},{{"SequenceNumber":"{number_b}","ShardId":"shardId-000000000012"}}]}}"#
    );
    assert_eq!(text(|out, encoding| write_put_records(out, encoding, false, fine.iter().cloned())), expected);
    let failed = PutResult::Failed { code: "InternalFailure", message: "say \"why\"".into() };
    let mixed = [failed.clone(), fine[0].clone(), failed];
    let expected = format!(
        r#"{{"FailedRecordCount":2,"Records":[{{"ErrorCode":"InternalFailure","ErrorMessage":"say \"why\""}},{{"SequenceNumber":"{number_a}","ShardId":"shardId-000000000000"}},{{"ErrorCode":"InternalFailure","ErrorMessage":"say \"why\""}}],"EncryptionType":"KMS"}}"#
    );
    assert_eq!(text(|out, encoding| write_put_records(out, encoding, true, mixed.iter().cloned())), expected);
    for is_encrypted in [false, true] {
        answer("PutRecord", |out, encoding| write_put_record(out, encoding, is_encrypted, &a));
        answer("PutRecords", |out, encoding| write_put_records(out, encoding, is_encrypted, mixed.iter().cloned()));
    }
}

fn any_records() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let key = prop_oneof![4 => "[a-z0-9-]{1,40}", 1 => ".{1,40}", 1 => "[\\x00-\\x7f]{1,20}"];
    proptest::collection::vec((key, proptest::collection::vec(any::<u8>(), 0..300)), 0..6)
}

proptest! {
    /// Goal: both encodings say the same, and that is what is stored, from the offset and within the bounds that were asked
    /// for, however frames and slices lie.
    #[test]
    fn pages_show_what_is_stored(
        frames in proptest::collection::vec((any_records(), 0..1_500_u64, any::<bool>()), 0..8),
        start in prop_oneof![Just(0), any::<u32>().prop_map(u64::from)],
        skip in 0..12_u64,
        records_max in 1..20_usize,
        bytes_max in prop_oneof![0..2_000_usize, Just(GET_RECORDS_BYTES_MAX)],
        is_encrypted: bool,
    ) {
        let page = Page { records_max, bytes_max, is_encrypted, ..page(start + skip) };
        let (mut slices, mut stored) = (vec![Vec::new()], Vec::new());
        let (mut offset, mut arrival) = (start, 1_700_000_000_000);
        for (records, pause, is_new_slice) in &frames {
            if *is_new_slice {
                slices.push(Vec::new());
            }
            arrival += pause;
            frame(offset, arrival, records, slices.last_mut().unwrap());
            for (key, data) in records {
                stored.push((offset, arrival, key, data));
                offset += 1;
            }
        }
        let (mut expected, mut bytes, mut last) = (Vec::new(), 0, None);
        for (offset, arrival, key, data) in stored {
            let is_over = !expected.is_empty() && bytes + key.len() + data.len() > bytes_max;
            if offset < page.from.0 {
                continue;
            }
            if is_over || expected.len() == records_max {
                break;
            }
            bytes += key.len() + data.len();
            let time = WallUs(arrival * 1_000 + 999);
            let number = SequenceNumber::of(CREATED, ShardNumber(3), Offset(offset), time);
            last = Some((number, time));
            let mut record = json!({
                "SequenceNumber": number.to_string(),
                "ApproximateArrivalTimestamp": arrival as f64 / 1_000.0,
                "Data": base64_simd::STANDARD.encode_to_string(data),
                "PartitionKey": key,
            });
            if is_encrypted {
                record["EncryptionType"] = "KMS".into();
            }
            expected.push(record);
        }
        let count = expected.len();
        let json = answer("GetRecords", |out, encoding| {
            begin(out, encoding);
            let written = write_records(out, encoding, &page, slices.iter().map(|slice| &slice[..]));
            let expected = Written {
                count,
                bytes,
                next: page.from.plus(count as u64),
                last: last.map(|(number, _)| number),
                last_arrival: last.map(|(_, arrival)| arrival),
            };
            assert_eq!(written, expected);
            end(out, encoding, 0, &After::Iterator("AAAA"));
        });
        let expected = json!({ "Records": expected, "NextShardIterator": "AAAA", "MillisBehindLatest": 0 });
        prop_assert_eq!(json, expected);
    }

    /// Goal: the results of a put stand in its order with the right numbers, however many shards take turns.
    #[test]
    fn results_of_puts(shards in proptest::collection::vec(0..40_u32, 1..100)) {
        let mut offsets = [0; 40];
        let results: Vec<_> = shards
            .iter()
            .map(|shard| {
                let offset = &mut offsets[*shard as usize];
                *offset += 1;
                stored(*shard, *offset)
            })
            .collect();
        let json = answer("PutRecords", |out, encoding| {
            write_put_records(out, encoding, false, results.iter().map(|stored| PutResult::Stored(*stored)));
        });
        let expected: Vec<_> = results
            .iter()
            .map(|stored| json!({ "SequenceNumber": stored.number().to_string(), "ShardId": stored.shard.to_string() }))
            .collect();
        prop_assert_eq!(json, json!({ "FailedRecordCount": 0, "Records": expected }));
    }
}
