use proptest::prelude::*;

use super::*;
use crate::kinesis::input::{Input, Value, reader::Reader};
use crate::kinesis::model::{Kind, operation, operations};
use crate::kinesis::testing::{Dice, structure, structure_to_json};
use crate::kinesis::{cbor::Reader as CborReader, input};

fn operation_of(name: &str) -> &'static Operation {
    operation(name).expect("an operation")
}

/// Writes a structure as a server would, member by member.
fn write(fields: &mut Fields<'_>, input: &Input<'_>) {
    for (member, value) in input.shape().members().iter().zip(input.members()) {
        let Some(value) = value else { continue };
        match value {
            Value::Null => {}
            Value::Bool(value) => fields.bool(member.name, *value),
            Value::Int(value) => fields.int(member.name, *value),
            Value::Time(value) => fields.time(member.name, WallUs(*value as u64 * 1_000 + 999)),
            Value::Text(text) if text.len() % 2 == 0 => fields.str(member.name, text),
            Value::Text(text) => fields.display(member.name, text),
            Value::Blob(bytes) => fields.blob(member.name, bytes),
            Value::Structure(inner) => fields.structure(member.name, |fields| write(fields, inner)),
            Value::List { kept, .. } => match member.shape.kind {
                Kind::List { member: element, .. } if matches!(element.kind, Kind::Structure(_)) => {
                    let inner = kept.iter().filter_map(Value::as_structure);
                    fields.structures(member.name, inner, |fields, inner| write(fields, inner));
                }
                _ => fields.strings(member.name, kept.iter().filter_map(Value::as_str)),
            },
            Value::Map { kept, .. } => {
                fields.map(member.name, kept.iter().filter_map(|(key, value)| Some((key.as_ref(), value.as_str()?))));
            }
        }
    }
}

/// Goal: an answer is, to the byte, what the service would write.
#[test]
fn samples() {
    let answer = |encoding| {
        Output::answer(operation_of("PutRecords"), encoding, |answer| {
            answer.int("FailedRecordCount", 0);
            answer.structures("Records", [7, 8], |record, n| {
                record.display("SequenceNumber", n);
                record.str("ShardId", "shardId-0");
            });
        })
    };
    assert_eq!(
        String::from_utf8(answer(Encoding::Json)).expect("text"),
        r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"7","ShardId":"shardId-0"},{"SequenceNumber":"8","ShardId":"shardId-0"}]}"#
    );
    assert_eq!(
        answer(Encoding::Cbor),
        b"\xbf\x71FailedRecordCount\x00\x67Records\x9f\
          \xbf\x6eSequenceNumber\x617\x67ShardId\x69shardId-0\xff\
          \xbf\x6eSequenceNumber\x618\x67ShardId\x69shardId-0\xff\xff\xff"
    );
    let everything = |encoding| {
        Output::structure(encoding, |out| {
            out.time("t", WallUs(1_700_000_000_123_999));
            out.blob("b", b"hello");
            out.bool("y", true);
            out.int("i", -1);
            out.strings("l", ["x", "é\n"]);
            out.strings("e", [""; 0]);
            out.map("m", [("k", "v"), ("\"", "")]);
            out.structure("s", |_| {});
            out.display("d", "\"");
        })
    };
    assert_eq!(
        String::from_utf8(everything(Encoding::Json)).expect("text"),
        r#"{"t":1700000000.123,"b":"aGVsbG8=","y":true,"i":-1,"l":["x","é\n"],"e":[],"m":{"k":"v","\"":""},"s":{},"d":"\""}"#
    );
    assert_eq!(
        everything(Encoding::Cbor),
        b"\xbf\x61t\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b\x61b\x45hello\x61y\xf5\x61i\x20\x61l\x9f\x61x\x63\xc3\xa9\n\xff\x61e\x9f\xff\
          \x61m\xbf\x61k\x61v\x61\"\x60\xff\x61s\xbf\xff\x61d\x61\"\xff"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Goal: every answer of every operation can be read by an independent reader of JSON and by ours of CBOR, and is what
    /// was written.
    #[test]
    fn answers_come_back(at in any::<prop::sample::Index>(), dice in proptest::collection::vec(any::<u8>(), 0..400)) {
        let with_output: Vec<_> = operations().iter().filter(|operation| operation.output.is_some()).collect();
        let operation = with_output[at.index(with_output.len())];
        let shape = operation.output.expect("filtered");
        let value = structure(shape, &mut Dice::new(dice));
        let json = Output::answer(operation, Encoding::Json, |fields| write(fields, &value));
        let read: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        prop_assert_eq!(read, structure_to_json(&value));
        let cbor = Output::answer(operation, Encoding::Cbor, |fields| write(fields, &value));
        for (encoding, body) in [(Encoding::Json, &json), (Encoding::Cbor, &cbor)] {
            prop_assert!(input::is_well_formed(encoding, body));
            let read = input::testing_decode(shape, encoding, body);
            prop_assert_eq!(read.as_ref(), Some(&value), "{:?}", encoding);
        }
    }
}

/// Goal: nothing follows an item of CBOR, so that a reader is at its end.
#[test]
fn an_empty_answer() {
    let body = Output::answer(operation_of("DescribeAccountSettings"), Encoding::Cbor, |_| {});
    assert_eq!(body, b"\xbf\xff");
    let mut reader = CborReader::new(&body).expect("bytes");
    assert_eq!((reader.skip(), reader.end()), (Ok(()), Ok(())));
}

/// Goal: a misspelt member is noticed in tests.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "PutRecordOutput has no member Shard")]
fn a_wrong_name_is_noticed() {
    Output::answer(operation_of("PutRecord"), Encoding::Json, |answer| answer.str("Shard", "s"));
}

/// Goal: a member of another type is noticed in tests.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "ShardId is a ShardId: String")]
fn a_wrong_type_is_noticed() {
    Output::answer(operation_of("PutRecord"), Encoding::Json, |answer| answer.int("ShardId", 1));
}

/// Goal: a required member that is missing is noticed in tests, also in a structure of a list.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "Shard lacks HashKeyRange, which is required")]
fn a_missing_member_is_noticed() {
    Output::answer(operation_of("ListShards"), Encoding::Cbor, |answer| {
        answer.structures("Shards", [()], |shard, ()| shard.str("ShardId", "s"));
    });
}

/// Goal: a member that stands twice is noticed in tests.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "ShardId of PutRecordOutput is written twice")]
fn a_member_twice_is_noticed() {
    Output::answer(operation_of("PutRecord"), Encoding::Json, |answer| {
        answer.str("ShardId", "s");
        answer.str("ShardId", "s");
    });
}

/// Goal: a text that is none of its shape is noticed in tests.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "\"active\" is no StreamStatus for StreamStatus")]
fn a_wrong_text_is_noticed() {
    Output::answer(operation_of("DescribeStreamSummary"), Encoding::Json, |answer| {
        answer.structure("StreamDescriptionSummary", |stream| stream.str("StreamStatus", "active"));
    });
}
