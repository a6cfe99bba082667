use super::*;
use crate::kinesis::{Encoding, model::operation};

/// What the service answers to a body in JSON: empty if nothing is wrong with it.
fn answer(name: &str, body: &str) -> String {
    let operation = operation(name).expect("an operation");
    match Input::decode(operation, Encoding::Json, body.as_bytes()) {
        Ok(_) => String::new(),
        Err(error) => {
            assert_eq!(error.code, Code::ValidationException, "{}", error.message);
            error.message
        }
    }
}

const LONG: &str = "Member must have length less than or equal to";
const SHORT: &str = "Member must have length greater than or equal to";
const REGEX: &str = "Member must satisfy regular expression pattern:";
const NULL: &str = "Member must not be null";
const NAME: &str = "[a-zA-Z0-9_.-]+";

/// A value, where it stands, the constraint it breaks.
type Told<'a> = (&'a str, &'a str, String);

fn errors(errors: &[Told<'_>]) -> String {
    let count = errors.len();
    let plural = if count == 1 { "" } else { "s" };
    let told = errors.iter().map(|(value, path, constraint)| {
        let value = if *value == "null" { "null".to_owned() } else { format!("'{value}'") };
        format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}")
    });
    format!("{count} validation error{plural} detected: {}", told.collect::<Vec<_>>().join("; "))
}

/// Goal: the message is, to the letter, one that was recorded from the service.
#[test]
fn a_recorded_message() {
    assert_eq!(
        answer("PutRecords", r#"{"StreamName":"","Records":[]}"#),
        "3 validation errors detected: Value '[]' at 'records' failed to satisfy constraint: \
         Member must have length greater than or equal to 1; \
         Value '' at 'streamName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; \
         Value '' at 'streamName' failed to satisfy constraint: \
         Member must have length greater than or equal to 1"
    );
    assert_eq!(
        answer("PutRecords", r#"{"StreamName":"s","Records":[{"PartitionKey":"","Data":""}]}"#),
        "1 validation error detected: Value '' at 'records.1.member.partitionKey' failed to satisfy constraint: \
         Member must have length greater than or equal to 1"
    );
}

/// Goal: each constraint of the model gives its message, at its path, members in the order that was recorded, and what is
/// just within gives none.
#[test]
fn constraints() {
    let a = |count: usize| "a".repeat(count);
    let (a128, a129, a256, a257) = (a(128), a(129), a(256), a(257));
    #[rustfmt::skip]
    let cases: Vec<(&str, String, Vec<Told<'_>>)> = vec![
        // What is required.
        ("PutRecords", "{}".into(), vec![("null", "records", NULL.into())]),
        ("PutRecord", "{}".into(), vec![("null", "data", NULL.into())]),
        ("SplitShard", "{}".into(), vec![("null", "newStartingHashKey", NULL.into()), ("null", "shardToSplit", NULL.into())]),
        ("GetShardIterator", "{}".into(), vec![("null", "shardId", NULL.into()), ("null", "shardIteratorType", NULL.into())]),
        ("CreateStream", r#"{"StreamName":null}"#.into(), vec![("null", "streamName", NULL.into())]),
        ("RegisterStreamConsumer", "{}".into(), vec![("null", "streamARN", NULL.into()), ("null", "consumerName", NULL.into())]),
        // Members of structures in structures and in lists.
        ("CreateStream", r#"{"StreamName":"s","StreamModeDetails":{}}"#.into(),
            vec![("null", "streamModeDetails.streamMode", NULL.into())]),
        ("CreateStream", r#"{"StreamName":"s","StreamModeDetails":{"StreamMode":"on_demand"}}"#.into(),
            vec![("on_demand", "streamModeDetails.streamMode", "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]".into())]),
        ("PutRecords", r#"{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"AA=="},{"ExplicitHashKey":"01"}, null]}"#.into(),
            vec![("01", "records.2.member.explicitHashKey", format!(r"{REGEX} ^(0|([1-9]\d{{0,38}}))$")),
                ("null", "records.2.member.data", NULL.into()), ("null", "records.3.member", NULL.into())]),
        // Lengths of texts, in characters.
        ("DeleteStream", format!(r#"{{"StreamName":"{a128}"}}"#), vec![]),
        ("DeleteStream", format!(r#"{{"StreamName":"{a129}"}}"#), vec![(&a129, "streamName", format!("{LONG} 128"))]),
        ("PutRecord", format!(r#"{{"PartitionKey":"{}","Data":""}}"#, "€".repeat(256)), vec![]),
        ("PutRecord", format!(r#"{{"PartitionKey":"{a257}","Data":"","StreamName":"{a129}"}}"#),
            vec![(&a257, "partitionKey", format!("{LONG} 256")), (&a129, "streamName", format!("{LONG} 128"))]),
        ("PutRecord", r#"{"StreamName":"","PartitionKey":"","Data":"","ExplicitHashKey":"","SequenceNumberForOrdering":""}"#.into(),
            vec![("", "sequenceNumberForOrdering", format!(r"{REGEX} ^(0|([1-9]\d{{0,128}}))$")), ("", "partitionKey", format!("{SHORT} 1")),
                ("", "explicitHashKey", format!(r"{REGEX} ^(0|([1-9]\d{{0,38}}))$")), ("", "streamName", format!("{REGEX} {NAME}")),
                ("", "streamName", format!("{SHORT} 1"))]),
        // Enumerations.
        ("GetShardIterator", r#"{"StreamName":"","ShardIteratorType":"","ShardId":"","StartingSequenceNumber":""}"#.into(),
            vec![("", "shardId", format!("{REGEX} {NAME}")), ("", "shardId", format!("{SHORT} 1")),
                ("", "shardIteratorType", "Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]".into()),
                ("", "startingSequenceNumber", format!(r"{REGEX} ^(0|([1-9]\d{{0,128}}))$")),
                ("", "streamName", format!("{REGEX} {NAME}")), ("", "streamName", format!("{SHORT} 1"))]),
        // Numbers.
        ("DescribeStream", r#"{"StreamName":"s","Limit":1}"#.into(), vec![]),
        ("DescribeStream", r#"{"StreamName":"s","Limit":10000}"#.into(), vec![]),
        ("DescribeStream", r#"{"StreamName":"s","Limit":0}"#.into(),
            vec![("0", "limit", "Member must have value greater than or equal to 1".into())]),
        ("DescribeStream", r#"{"StreamName":"s","Limit":10001}"#.into(),
            vec![("10001", "limit", "Member must have value less than or equal to 10000".into())]),
        ("ListStreams", r#"{"Limit":100000000000}"#.into(),
            vec![("2147483647", "limit", "Member must have value less than or equal to 10000".into())]),
        ("UpdateMaxRecordSize", r#"{"MaxRecordSizeInKiB":1023}"#.into(),
            vec![("1023", "maxRecordSizeInKiB", "Member must have value greater than or equal to 1024".into())]),
        // Lists of texts.
        ("RemoveTagsFromStream", r#"{"StreamName":"s","TagKeys":[]}"#.into(), vec![("[]", "tagKeys", format!("{SHORT} 1"))]),
        ("RemoveTagsFromStream", r#"{"StreamName":"s","TagKeys":["a","","b"]}"#.into(),
            vec![("[a, , b]", "tagKeys", format!("Member must satisfy constraint: [{LONG} 128, {SHORT} 1]"))]),
        ("RemoveTagsFromStream", r#"{"StreamName":"s","TagKeys":["a",null]}"#.into(),
            vec![("[a, null]", "tagKeys", format!("Member must satisfy constraint: [{LONG} 128, {SHORT} 1]"))]),
        ("EnableEnhancedMonitoring", r#"{"StreamName":"s","ShardLevelMetrics":["ALL","All"]}"#.into(),
            vec![("[ALL, All]", "shardLevelMetrics", "Member must satisfy constraint: [Member must satisfy enum value set: [IncomingBytes, \
                IncomingRecords, OutgoingBytes, OutgoingRecords, WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded, \
                IteratorAgeMilliseconds, ALL]]".into())]),
        // Maps.
        ("AddTagsToStream", r#"{"StreamName":"s","Tags":{}}"#.into(), vec![("{}", "tags", format!("{SHORT} 1"))]),
        ("AddTagsToStream", format!(r#"{{"StreamName":"s","Tags":{{"{a128}":"{a256}"}}}}"#), vec![]),
        ("AddTagsToStream", r#"{"StreamName":"s","Tags":{"b":"1","":"2"}}"#.into(),
            vec![("{=2, b=1}", "tags", format!("Map keys must satisfy constraint: [{LONG} 128, {SHORT} 1]"))]),
        ("AddTagsToStream", r#"{"StreamName":"s","Tags":{"b":null}}"#.into(),
            vec![("{b=null}", "tags", format!("Map value must satisfy constraint: [{LONG} 256, {SHORT} 0]"))]),
        // ARNs.
        ("DescribeStream", r#"{"StreamARN":"arn:aws:kinesis:r:123456789012:stream/s"}"#.into(), vec![]),
        ("DescribeStream", r#"{"StreamARN":"s"}"#.into(),
            vec![("s", "streamARN", format!(r"{REGEX} arn:aws.*:kinesis:.*:\d{{12}}:stream/\S+"))]),
    ];
    for (name, body, expected) in cases {
        let expected = if expected.is_empty() { String::new() } else { errors(&expected) };
        assert_eq!(answer(name, &body), expected, "{name} {body}");
    }
}

/// Goal: lists that are too long say so without being kept: all elements are counted, those beyond the limit dropped.
#[test]
fn long_lists() {
    let keys: Vec<_> = (0..51).map(|n| format!("\"{n}\"")).collect();
    let message = answer("RemoveTagsFromStream", &format!(r#"{{"TagKeys":[{}]}}"#, keys.join(",")));
    assert!(message.starts_with("1 validation error detected: Value '[0, 1, 2,"), "{message}");
    assert!(
        message
            .ends_with("at 'tagKeys' failed to satisfy constraint: Member must have length less than or equal to 50")
    );

    let entry = r#"{"PartitionKey":"k","Data":""}"#;
    assert_eq!(answer("PutRecords", &format!(r#"{{"Records":[{}]}}"#, vec![entry; 500].join(","))), "");
    let message = answer("PutRecords", &format!(r#"{{"Records":[{}]}}"#, vec![entry; 501].join(",")));
    assert!(message.contains("PutRecordsRequestEntry@"), "{message}");
    assert!(
        message
            .ends_with("at 'records' failed to satisfy constraint: Member must have length less than or equal to 500")
    );

    let tags: Vec<_> = (0..201).map(|n| format!("\"{n}\":\"\"")).collect();
    let message = answer("TagResource", &format!(r#"{{"Tags":{{{}}}}}"#, tags.join(",")));
    assert!(message.contains("Member must have length less than or equal to 200"), "{message}");
    assert_eq!(answer("AddTagsToStream", &format!(r#"{{"Tags":{{{}}}}}"#, vec!["\"k\":\"v\""; 201].join(","))), "");
}

/// Goal: blobs are measured in bytes and shown as the service shows them.
#[test]
fn blobs() {
    let operation = operation("PutRecord").expect("an operation");
    let body = |length: usize| {
        let head = [b"\xbf\x64Data\x5a".as_slice(), &(length as u32).to_be_bytes()].concat();
        [head, vec![0; length], b"\xff".to_vec()].concat()
    };
    assert!(Input::decode(operation, Encoding::Cbor, &body(10_485_760)).is_ok());
    let error = Input::decode(operation, Encoding::Cbor, &body(10_485_761)).expect_err("too long");
    let shown = "java.nio.HeapByteBuffer[pos=0 lim=10485761 cap=10485761]";
    assert_eq!(error.message, errors(&[(shown, "data", format!("{LONG} 10485760"))]));
}

/// Goal: at most ten errors are told.
#[test]
fn ten_errors() {
    let entry = r#"{"PartitionKey":"","ExplicitHashKey":"x"}"#;
    let message = answer("PutRecords", &format!(r#"{{"Records":[{}]}}"#, vec![entry; 400].join(",")));
    assert!(message.starts_with("10 validation errors detected: "), "{message}");
    assert_eq!(message.matches("failed to satisfy").count(), 10);
    assert!(message.ends_with("'records.4.member.partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"));
}

/// Goal: a message is bounded, whatever its request is; a cut falls between characters.
#[test]
fn long_values_are_cut() {
    let message = answer("DeleteStream", &format!(r#"{{"StreamName":"{}"}}"#, "€".repeat(1_000_000)));
    assert!(message.starts_with("2 validation errors detected: Value '€€"));
    assert!(message.len() < 2 * (SHOWN_MAX + 200), "{}", message.len());
    assert_eq!(shown("a€"), "a€");
    assert_eq!(shown(&"€".repeat(SHOWN_MAX)).len(), SHOWN_MAX / 3 * 3);
    assert_eq!(shown(""), "");
}
