use super::*;

/// Every shape that can be reached from `shape`, itself included.
fn reach(shape: &'static Shape, each: &mut impl FnMut(&'static Shape)) {
    each(shape);
    match &shape.kind {
        Kind::Structure(members) => members.iter().for_each(|member| reach(member.shape, each)),
        Kind::List { member, .. } => reach(member, each),
        Kind::Map { key, value, .. } => {
            reach(key, each);
            reach(value, each);
        }
        _ => {}
    }
}

/// Goal: operations are found by exactly their name; queues and channels are left out.
#[test]
fn operations_are_found() {
    assert_eq!(operations().len(), 40);
    assert!(operations().is_sorted_by(|a, b| a.name < b.name));
    for operation in operations() {
        assert!(std::ptr::eq(super::operation(operation.name).expect("itself"), operation));
        assert!(operation.errors.is_sorted());
    }
    for name in ["", "putRecord", "PutRecord ", "CreateQueue", "ListChannels", "Zzz"] {
        assert!(super::operation(name).is_none(), "{name}");
    }
    assert!(super::operation("DeleteStream").is_some_and(|operation| operation.output.is_none()));
}

/// Goal: inputs and outputs are structures, names of members are distinct, and a member's bit fits the check of outputs.
#[test]
fn structures_are_sound() {
    for operation in operations() {
        assert!(matches!(operation.input.kind, Kind::Structure(_)), "{}", operation.name);
        assert!(operation.output.is_none_or(|output| matches!(output.kind, Kind::Structure(_))), "{}", operation.name);
        for shape in [Some(operation.input), operation.output].into_iter().flatten() {
            reach(shape, &mut |shape| {
                let members = shape.members();
                assert!(members.len() <= 64, "{}", shape.name);
                for (at, member) in members.iter().enumerate() {
                    assert_eq!(shape.member(member.name).map(|(at, _)| at), Some(at), "{}", shape.name);
                    assert!(member.name.is_ascii(), "{}", member.name);
                }
            });
        }
    }
}

/// Goal: what a request can make us keep is bounded: every list and map of an input has a greatest length, and maps are of
/// texts to texts.
#[test]
fn inputs_are_bounded() {
    for operation in operations() {
        reach(operation.input, &mut |shape| match shape.kind {
            Kind::List { max, .. } => assert!(max.is_some_and(|max| max <= 500), "{}", shape.name),
            Kind::Map { key, value, max, .. } => {
                assert!(max.is_some_and(|max| max <= 500), "{}", shape.name);
                assert!(matches!(key.kind, Kind::String { .. }), "{}", shape.name);
                assert!(matches!(value.kind, Kind::String { .. }), "{}", shape.name);
            }
            _ => {}
        });
    }
}

/// Goal: bounds are in order, and values of enumerations are distinct and satisfy nothing else.
#[test]
fn constraints_are_sound() {
    let in_order = |min: Option<u64>, max: Option<u64>| min.zip(max).is_none_or(|(min, max)| min <= max);
    for operation in operations() {
        for shape in [Some(operation.input), operation.output].into_iter().flatten() {
            reach(shape, &mut |shape| match shape.kind {
                Kind::List { min, max, .. } | Kind::Map { min, max, .. } | Kind::Blob { min, max } => {
                    assert!(in_order(min, max), "{}", shape.name);
                }
                Kind::String { min, max, pattern, values } => {
                    assert!(in_order(min, max), "{}", shape.name);
                    let distinct: std::collections::BTreeSet<_> = values.iter().collect();
                    assert_eq!(distinct.len(), values.len(), "{}", shape.name);
                    assert!(values.is_empty() || pattern.is_none(), "{}", shape.name);
                }
                Kind::Integer { min, max } | Kind::Long { min, max } => {
                    assert!(min.zip(max).is_none_or(|(min, max)| min <= max), "{}", shape.name);
                }
                Kind::Structure(_) | Kind::Boolean | Kind::Timestamp => {}
            });
        }
    }
}

/// Goal: a few rows are as the official documentation has them, so that a generator gone wrong is seen.
#[test]
fn some_rows() {
    let put = operation("PutRecords").expect("an operation").input;
    let (_, records) = put.member("Records").expect("a member");
    assert!(records.required);
    let Kind::List { member: entry, min: Some(1), max: Some(500) } = records.shape.kind else { panic!("{records:?}") };
    let order: Vec<_> = entry.members().iter().map(|member| (member.name, member.required)).collect();
    assert_eq!(order, [("PartitionKey", false), ("ExplicitHashKey", false), ("Data", true)]);
    assert!(put.members().last().is_some_and(|member| member.name == "StreamName" && !member.required));
    let data = entry.member("Data").expect("a member").1.shape;
    assert!(matches!(data.kind, Kind::Blob { min: Some(0), max: Some(10_485_760) }));
    let subscribe = operation("SubscribeToShard").expect("an operation");
    let (_, stream) = subscribe.output.expect("an output").member("EventStream").expect("a member");
    assert!(stream.shape.member("SubscribeToShardEvent").is_some());
}

/// Goal: every pattern takes what it should and nothing else, the whole text through.
#[test]
fn patterns() {
    let long_number = "9".repeat(129);
    let stream = "arn:aws:kinesis:us-east-1:123456789012:stream/s";
    #[rustfmt::skip]
    let cases: &[(Pattern, &[&str], &[&str])] = &[
        (Pattern::Name, &["a", "A-z_0.9", "."], &["", "a b", "é", "a/b", "a\n", "\n"]),
        (Pattern::HashKey,
            &["0", "1", "10", "340282366920938463463374607431768211455", "999999999999999999999999999999999999999"],
            &["", "00", "01", "-1", "1.0", "x", "1000000000000000000000000000000000000000", "0\n", "٣"]),
        (Pattern::SequenceNumber, &["0", "5", &long_number], &["", "01", "1e3", &(long_number.clone() + "9")]),
        (Pattern::StreamId, &["abcdefghij0123456789-xyz"], &["", "abcdefghij0123456789-xy", "abcdefghij0123456789-xyzz",
            "Abcdefghij0123456789-xyz", "abcdefghij012345678-xyzz", "abcdefghij0123456789xyz-"]),
        (Pattern::StreamArn,
            &[stream, "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a/b", "arn:aws:kinesis::123456789012:stream/s",
              "arn:awsX:kinesis:kinesis:kinesis:1:123456789012:stream/s", "arn:aws:kinesis:a b:123456789012:stream/s",
              "arn:aws:kinesis:r:123456789012:stream/x:123456789012:stream/s",
              "arn:aws:kinesis:r:123456789012:stream/x y:123456789012:stream/s"],
            &["", "arn:aws:kinesis:us-east-1:123456789012:stream/", "arn:aws:kinesis:us-east-1:12345678901:stream/s",
              "arn:aws:kinesis:us-east-1:1234567890123:stream/s", "arn:aws:firehose:us-east-1:123456789012:stream/s",
              "arn:aws:kinesis:us-east-1:123456789012:stream/a b", " arn:aws:kinesis:us-east-1:123456789012:stream/s",
              "arn:aws:kinesis:us-east-1:123456789012:stream/s\n", "arn:aws:kinesis:us\n-east-1:123456789012:stream/s",
              "arn:aws:kinesis:us-east-1:12345678901x:stream/s", "arn:aws\n:kinesis:us-east-1:123456789012:stream/s",
              "arn:aws:kinesis:123456789012:stream/s", "arn:aws:kinesis:r:123456789012:channel/s"]),
        (Pattern::ResourceArn,
            &[stream, "arn:aws:kinesis:r:123456789012:channel/c", "arn:aws:kinesis:r:123456789012:x:queue/q",
              "arn:aws:kinesis:r:123456789012:stream/s/consumer/c:1", "arn:aws:kinesis:r:123456789012:upstream/s",
              "arn:aws:kinesis:r:123456789012:stream/a b/stream/c"],
            &["", "arn:aws:kinesis:r:123456789012:topic/c", "arn:aws:kinesis:r:123456789012:stream/",
              "arn:aws:kinesis:r:123456789012:stream/a b", "arn:aws:kinesis:r:123456789012:queue",
              "arn:aws:kinesis:r:123456789012:\nqueue/q", "arn:aws:kinesis:r:1234:queue/q"]),
        (Pattern::ConsumerArn,
            &["arn:aws:kinesis:us-east-1:123456789012:stream/s/consumer/c:1700000000",
              "arn:aws:kinesis:r:123456789012:x/stream/a.b-c_d/consumer/e:0",
              "arn:aws:kinesis:r:123456789012:x stream/s/consumer/c:1"],
            &["", stream, "arn:aws:kinesis:r:123456789012:stream/s/consumer/c", "arn:aws:kinesis:r:123456789012:stream/s/consumer/c:",
              "arn:aws:kinesis:r:123456789012:stream/s/consumer/c:1x", "arn:aws:kinesis:r:123456789012:stream/s/consumer/:1",
              "arn:aws:kinesis:r:123456789012:stream//consumer/c:1", "arn:aws:kinesis:r:123456789012:stream/a/b/consumer/c:1",
              "arn:aws:kinesis:r:1234:stream/s/consumer/c:1", "arn:aws:kinesis:r:123456789012:\nstream/s/consumer/c:1",
              "arn:aws:kinesis:r:123456789012:stream/s/consumer/c d:1"]),
    ];
    for (pattern, good, bad) in cases {
        for text in *good {
            assert!(pattern.matches(text), "{pattern:?} refuses {text:?}");
        }
        for text in *bad {
            assert!(!pattern.matches(text), "{pattern:?} takes {text:?}");
        }
    }
}
