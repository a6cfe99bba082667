use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::kinesis::model::{operation, operations};
use crate::kinesis::testing::{Dice, structure, structure_to_cbor, structure_to_json};

fn operation_of(name: &str) -> &'static Operation {
    operation(name).expect("an operation")
}

fn decode<'a>(name: &str, body: &'a str) -> Result<Input<'a>, Error> {
    Input::decode(operation_of(name), Encoding::Json, body.as_bytes())
}

/// The message of the `SerializationException` of a body in JSON; empty if it has none.
fn refusal(name: &str, body: &str) -> String {
    let error = decode(name, body).expect_err(body);
    assert_eq!(error.code, Code::SerializationException, "{body}: {}", error.message);
    error.message
}

/// Goal: members of every kind come out as they went in.
#[test]
fn members() {
    let body = r#"{"StreamName":"s\u0041","ShardCount":4,"StreamModeDetails":{"StreamMode":"ON_DEMAND"},"Tags":{"b":"1","a":"2"}}"#;
    let input = decode("CreateStream", body).expect("valid");
    assert_eq!(input.str("StreamName"), Some("sA"));
    assert_eq!(input.int("ShardCount"), Some(4));
    assert_eq!(input.int("WarmThroughputMiBps"), None);
    assert!(input.has("Tags"));
    assert!(!input.has("MaxRecordSizeInKiB"));
    assert_eq!(input.structure("StreamModeDetails").and_then(|mode| mode.str("StreamMode")), Some("ON_DEMAND"));
    assert!(input.map("Tags").expect("there").eq([("a", "2"), ("b", "1")]));

    let body = r#"{"Records":[{"Data":"aGVsbG8=","PartitionKey":"k"},{"Data":"","PartitionKey":"l","ExplicitHashKey":"0"}],"DryRun":true}"#;
    let input = decode("PutRecords", body).expect("valid");
    let records = input.structures("Records").expect("there");
    assert_eq!(records.len(), 2);
    let records: Vec<_> = records.map(|record| (record.blob("Data"), record.str("ExplicitHashKey"))).collect();
    assert_eq!(records, [(Some(&b"hello"[..]), None), (Some(&b""[..]), Some("0"))]);
    assert_eq!(input.bool("DryRun"), Some(true));

    let input = decode("ListShards", r#"{"StreamCreationTimestamp":1700000000.123}"#).expect("valid");
    assert_eq!(input.time_ms("StreamCreationTimestamp"), Some(1_700_000_000_123));
    let input = decode("RemoveTagsFromStream", r#"{"TagKeys":["x","y"]}"#).expect("valid");
    assert!(input.strings("TagKeys").expect("there").eq(["x", "y"]));
}

/// Goal: a request as the Java SDK writes it is read: maps of indefinite length, bytes, times as tag 1 and milliseconds.
#[test]
fn the_dialect_of_java() {
    let body = b"\xbf\x6aStreamName\x61s\x67Records\x9f\xbf\x64Data\x45hello\x6cPartitionKey\x61k\xff\xff\xff";
    let input = Input::decode(operation_of("PutRecords"), Encoding::Cbor, body).expect("valid");
    assert_eq!(input.str("StreamName"), Some("s"));
    let records: Vec<_> = input.structures("Records").expect("there").map(|record| record.blob("Data")).collect();
    assert_eq!(records, [Some(&b"hello"[..])]);
    assert!(matches!(input.members().last(), Some(Some(Value::Text(Cow::Borrowed(_))))));

    let body = b"\xbf\x77StreamCreationTimestamp\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b\xff";
    let input = Input::decode(operation_of("ListShards"), Encoding::Cbor, body).expect("valid");
    assert_eq!(input.time_ms("StreamCreationTimestamp"), Some(1_700_000_000_123));
}

/// Goal: unknown members are passed over whatever they hold, null is absent, of two the last counts.
#[test]
fn liberal() {
    let body = r#"{"x":{"y":[1,{"StreamName":"no"},"\"]}"]},"StreamName":"a","StreamName":"b","StreamARN":null,"":0,"streamName":3}"#;
    let input = decode("DeleteStream", body).expect("valid");
    assert_eq!(input.str("StreamName"), Some("b"));
    assert_eq!(input.str("StreamARN"), None);
    let input = decode("DeleteStream", r#"{"StreamName":"a","StreamName":null}"#).expect("valid");
    assert_eq!(input.str("StreamName"), None);
    let input = decode("AddTagsToStream", r#"{"Tags":{"k":"1","k":"2"}}"#).expect("valid");
    assert!(input.map("Tags").expect("there").eq([("k", "2")]));
}

/// Goal: values of another type are refused in the service's words.
#[test]
fn types() {
    const LIST: &str = "Start of list found where not expected";
    const MAP: &str = "Start of structure or map found where not expected.";
    #[rustfmt::skip]
    let cases = [
        ("DeleteStream", "StreamName", "23", "NUMBER_VALUE can not be converted to a String"),
        ("DeleteStream", "StreamName", "34.56", "NUMBER_VALUE can not be converted to a String"),
        ("DeleteStream", "StreamName", "true", "TRUE_VALUE can not be converted to a String"),
        ("DeleteStream", "StreamName", "false", "FALSE_VALUE can not be converted to a String"),
        ("DeleteStream", "StreamName", "[]", LIST),
        ("DeleteStream", "StreamName", "{}", MAP),
        ("CreateStream", "ShardCount", r#""23""#, "STRING_VALUE can not be converted to an Integer"),
        ("CreateStream", "ShardCount", "true", "TRUE_VALUE can not be converted to an Integer"),
        ("CreateStream", "ShardCount", "[1]", LIST),
        ("CreateStream", "ShardCount", "{}", MAP),
        ("DeleteStream", "EnforceConsumerDeletion", "1", "NUMBER_VALUE can not be converted to a Boolean"),
        ("DeleteStream", "EnforceConsumerDeletion", r#""23""#, "STRING_VALUE can not be converted to an Boolean"),
        ("DeleteStream", "EnforceConsumerDeletion", "[]", LIST),
        ("GetShardIterator", "Timestamp", r#""2020-01-01""#, "STRING_VALUE can not be converted to milliseconds since epoch"),
        ("GetShardIterator", "Timestamp", "true", "TRUE_VALUE can not be converted to milliseconds since epoch"),
        ("PutRecord", "Data", "23", "NUMBER_VALUE can not be converted to a Blob"),
        ("PutRecord", "Data", "[]", LIST),
        ("PutRecord", "Data", r#""23456""#, "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
        ("PutRecord", "Data", r#""=+/=""#, "'=+/=' can not be converted to a Blob: Invalid Base64 character: '='"),
        ("PutRecord", "Data", r#""ab\nc""#, "'ab\nc' can not be converted to a Blob: Invalid Base64 character: '\n'"),
        ("PutRecord", "Data", r#""ab_-""#, "'ab_-' can not be converted to a Blob: Invalid Base64 character: '_'"),
        ("PutRecord", "Data", r#""+/+=""#, "'+/+=' can not be converted to a Blob: Invalid last non-pad Base64 character dectected"),
        ("PutRecord", "Data", r#""a===""#, "'a===' can not be converted to a Blob: Invalid Base64 character: '='"),
        ("PutRecords", "Records", r#""23""#, "Expected list or null"),
        ("PutRecords", "Records", "true", "Expected list or null"),
        ("PutRecords", "Records", "-1", "Expected list or null"),
        ("PutRecords", "Records", "{}", MAP),
        ("PutRecords", "Records", "[1]", "Expected null"),
        ("PutRecords", "Records", "[[]]", LIST),
        ("PutRecords", "Records", r#"[{"Data":1}]"#, "NUMBER_VALUE can not be converted to a Blob"),
        ("AddTagsToStream", "Tags", r#""23""#, "Expected map or null"),
        ("AddTagsToStream", "Tags", "1.5", "Expected map or null"),
        ("AddTagsToStream", "Tags", "[]", LIST),
        ("AddTagsToStream", "Tags", r#"{"a":1}"#, "NUMBER_VALUE can not be converted to a String"),
        ("RemoveTagsFromStream", "TagKeys", "[{}]", MAP),
        ("CreateStream", "StreamModeDetails", "true", "Expected null"),
        ("CreateStream", "StreamModeDetails", "[]", LIST),
    ];
    for (name, member, value, message) in cases {
        assert_eq!(refusal(name, &format!(r#"{{"{member}":{value}}}"#)), message, "{name} {member} {value}");
    }
    assert_eq!(refusal("ListStreams", "[]"), LIST);
    let cbor =
        |body: &'static [u8]| Input::decode(operation_of("PutRecord"), Encoding::Cbor, body).expect_err("a type");
    assert_eq!(cbor(b"\xa1\x64Data\x64AAAA").message, "STRING_VALUE can not be converted to a Blob");
    assert_eq!(cbor(b"\xa1\x6cPartitionKey\x41a").message, "BINARY_VALUE can not be converted to a String");
    assert_eq!(cbor(b"\x80").message, LIST);
}

/// Goal: a body that cannot be parsed is refused without a message, also if a type is wrong before.
#[test]
fn malformed() {
    for body in ["", "hello", "1", "null", "\"{}\"", "{", "{}}", r#"{"StreamName":23"#, r#"{"StreamName":23,}"#] {
        assert_eq!(refusal("DeleteStream", body), "", "{body}");
    }
    let error = Input::decode(operation_of("ListStreams"), Encoding::Cbor, b"").expect_err("empty");
    assert_eq!(error, Error::bare(Code::SerializationException));
}

/// Goal: what can be converted is, as in the service: broken numbers are cut, texts say yes and no.
#[test]
fn conversions() {
    let count = |value: &str| {
        let body = format!(r#"{{"MaxResults":{value}}}"#);
        Some(decode("ListShards", &body).ok()?.int("MaxResults").expect("there"))
    };
    assert_eq!(count("1.9"), Some(1));
    assert_eq!(count("1e3"), Some(1_000));
    assert_eq!(count("0.9"), None, "0 is too small");
    let flag = |value: &str| {
        let body = format!(r#"{{"EnforceConsumerDeletion":{value}}}"#);
        decode("DeleteStream", &body).ok()?.bool("EnforceConsumerDeletion")
    };
    for (value, expected) in
        [("true", true), (r#""TRUE""#, true), (r#""Yes""#, true), (r#""0""#, false), (r#""f""#, false)]
    {
        assert_eq!(flag(value), Some(expected), "{value}");
    }
    let time = |value: &str| {
        let body = format!(r#"{{"StreamCreationTimestamp":{value}}}"#);
        decode("ListShards", &body).ok()?.time_ms("StreamCreationTimestamp")
    };
    assert_eq!(time("1700000000"), Some(1_700_000_000_000));
    assert_eq!(time("1.7E9"), Some(1_700_000_000_000));
    assert_eq!(time("1.700000000123E9"), Some(1_700_000_000_123));
    assert_eq!(time("-1.5"), Some(-1_500));
    assert_eq!(time("1e300"), Some((1 << 53) - 1));
    assert_eq!(time("-99999999999999999999"), Some(-((1 << 53) - 1)));
    let time = |value: &[u8]| {
        let body = [b"\xa1\x77StreamCreationTimestamp", value].concat();
        Input::decode(operation_of("ListShards"), Encoding::Cbor, &body).ok()?.time_ms("StreamCreationTimestamp")
    };
    assert_eq!(time(b"\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b"), Some(1_700_000_000_123));
    assert_eq!(
        time(b"\xc1\xfb\x41\xd9\x54\xfc\x40\x00\x00\x00"),
        Some(1_700_000_000_000),
        "broken numbers are seconds"
    );
    assert_eq!(time(b"\xc1\xf9\x7e\x00"), None, "not a number");
}

/// Goal: asking for what the shape does not have is noticed in tests.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "DeleteStreamInput has no member Name")]
fn an_unknown_member_is_our_bug() {
    let input = decode("DeleteStream", r#"{"StreamName":"s"}"#).expect("valid");
    let _ = input.str("Name");
}

/// Goal: asking for a member as another type is noticed in tests, also if it is absent.
#[test]
#[cfg_attr(not(debug_assertions), ignore = "checked in debug builds only")]
#[should_panic(expected = "ShardCount of CreateStreamInput is a Integer")]
fn another_type_is_our_bug() {
    let input = decode("CreateStream", r#"{"StreamName":"s"}"#).expect("valid");
    let _ = input.str("ShardCount");
}

/// Goal: every beginning of a body is refused, in both encodings and for every operation, and none panics.
#[test]
fn truncations() {
    for (seed, operation) in operations().iter().enumerate() {
        // All members there: the dice say yes.
        let sample =
            || structure(operation.input, &mut Dice::new((0..400).map(|n| (n * 7 + seed * 2) as u8 | 1).collect()));
        let json = structure_to_json(&sample()).to_string();
        let mut cbor = Vec::new();
        structure_to_cbor(&mut cbor, &sample(), &mut Dice::new(vec![]));
        for (encoding, body) in [(Encoding::Json, json.as_bytes()), (Encoding::Cbor, &cbor[..])] {
            assert!(Input::decode(operation, encoding, body).is_ok(), "{} {json}", operation.name);
            for length in 0..body.len() {
                let error = Input::decode(operation, encoding, &body[..length]).expect_err("truncated");
                assert_eq!(error, Error::bare(Code::SerializationException), "{} {length}", operation.name);
                assert!(!is_well_formed(encoding, &body[..length]));
            }
        }
    }
}

fn any_operation() -> impl Strategy<Value = &'static Operation> {
    (0..operations().len()).prop_map(|at| &operations()[at])
}

/// Pieces that come close to a request.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u12",
        b"\\ud834",
        b" ",
        b"null",
        b"true",
        b"-",
        b"1",
        b"1e9",
        b".5",
        b"\"StreamName\"",
        b"\"Records\":[",
        b"\"Tags\":{",
        b"{\"Data\":\"",
        b"AAAA",
        b"=",
        b"\xff",
        b"\xbf",
        b"\x9f",
        b"\xa1",
        b"\x81",
        b"\x5f",
        b"\x7f",
        b"\x5b",
        b"\xff\xff\xff\xff",
        b"\x6aStreamName",
        b"\x67Records",
        b"\x64Data",
        b"\x64Tags",
        b"\xc1",
        b"\x1b",
        b"\xfb",
        b"\xf6",
        b"\x00",
        b"\x41x",
    ];
    let piece = prop_oneof![
        4 => (0..PIECES.len()).prop_map(|at| PIECES[at].to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Whatever the bytes are: both decoders come to an end, and agree with themselves on what is well-formed.
fn survive(operation: &'static Operation, bytes: &[u8]) {
    for encoding in Encoding::ALL {
        let is_well_formed = is_well_formed(encoding, bytes);
        match Input::decode(operation, encoding, bytes) {
            Ok(_) => assert!(is_well_formed),
            Err(error) if error.code == Code::ValidationException => assert!(is_well_formed),
            Err(error) => {
                assert_eq!(error.code, Code::SerializationException);
                assert!(is_well_formed || error.message.is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Goal: no bytes make a decoder panic.
    #[test]
    fn random_bytes(operation in any_operation(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survive(operation, &bytes);
    }

    /// Goal: no bytes that resemble a request make a decoder panic.
    #[test]
    fn random_pieces(operation in any_operation(), bytes in pieces()) {
        survive(operation, &bytes);
        survive(operation, &[b"{", &bytes[..]].concat());
        survive(operation, &[b"\xbf", &bytes[..]].concat());
    }

    /// Goal: a valid request decodes to itself from both encodings, in every form of CBOR; with a byte changed, nothing panics.
    #[test]
    fn both_encodings(
        operation in any_operation(),
        dice in proptest::collection::vec(any::<u8>(), 0..300),
        form in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let input = structure(operation.input, &mut Dice::new(dice));
        let mut json = structure_to_json(&input).to_string().into_bytes();
        prop_assert_eq!(&Input::decode(operation, Encoding::Json, &json).expect("valid"), &input);
        let mut cbor = Vec::new();
        structure_to_cbor(&mut cbor, &input, &mut Dice::new(form));
        prop_assert_eq!(&Input::decode(operation, Encoding::Cbor, &cbor).expect("valid"), &input);
        for body in [&mut json, &mut cbor] {
            let at = at.index(body.len());
            body[at] = byte;
            survive(operation, body);
        }
    }

    /// Goal: an invalid request gets the same answer in both encodings.
    #[test]
    fn both_encodings_refuse_alike(
        operation in any_operation(),
        dice in proptest::collection::vec(any::<u8>(), 0..300),
        spoil in any::<prop::sample::Index>(),
        with in 0..6,
    ) {
        let mut input = structure(operation.input, &mut Dice::new(dice));
        if !input.members().is_empty() {
            let at = spoil.index(input.members().len());
            input.members_mut()[at] = match with {
                0 => None,
                1 => Some(Value::Text("no such ; value".into())),
                2 => Some(Value::Int(-5)),
                3 => Some(Value::Bool(true)),
                4 => Some(Value::List { kept: vec![Value::Null], count: 1 }),
                _ => Some(Value::Map { kept: vec![("".into(), Value::Null)], count: 1 }),
            };
        }
        // A text is a blob to JSON only, a whole number of a time is of another unit.
        let is_alike = input.shape().members().iter().zip(input.members()).all(|(member, value)| match member.shape.kind {
            Kind::Blob { .. } => !matches!(value, Some(Value::Text(_))),
            Kind::Timestamp => !matches!(value, Some(Value::Int(_))),
            _ => true,
        });
        prop_assume!(is_alike);
        let json = structure_to_json(&input).to_string();
        let mut cbor = Vec::new();
        structure_to_cbor(&mut cbor, &input, &mut Dice::new(vec![]));
        let from_json = Input::decode(operation, Encoding::Json, json.as_bytes());
        let from_cbor = Input::decode(operation, Encoding::Cbor, &cbor);
        prop_assert_eq!(from_json, from_cbor);
    }

    /// Goal: our reader of JSON takes exactly what an independent one takes.
    #[test]
    fn as_an_independent_reader(bytes in pieces()) {
        for bytes in [&bytes[..], &[b"[", &bytes[..], b"]"].concat(), &[b"{\"a\":", &bytes[..], b"}"].concat()] {
            // The other one refuses numbers that are too great for a float, and so do no others.
            let theirs = serde_json::from_slice::<serde_json::Value>(bytes);
            let is_out_of_range = theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range"));
            prop_assert!(is_out_of_range || theirs.is_ok() == is_well_formed(Encoding::Json, bytes), "{:?}", bytes);
        }
    }
}

/// Goal: a deep unknown member is passed over up to a depth, and refused beyond, so that no stack is at risk.
#[test]
fn deep_unknown_members() {
    let nested = |depth: usize| format!(r#"{{"x":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(decode("ListStreams", &nested(64)).is_ok());
    assert_eq!(refusal("ListStreams", &nested(65)), "");
    assert_eq!(refusal("ListStreams", &nested(1_000_000)), "");
    // The body itself is one level, so what is well-formed by itself is one level less deep inside it.
    assert!(is_well_formed(Encoding::Json, nested(63).as_bytes()));
    assert_eq!(
        decode("ListStreams", &json!({"x": {"y": [1, 2, {"z": null}]}}).to_string()).map(|input| input.has("Limit")),
        Ok(false)
    );
}
