use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::kinesis::input::Input;
use crate::kinesis::model;

/// Keeps what it is fed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    records: Vec<(String, Option<u128>, usize)>,
    data: Vec<u8>,
}

impl Sink for Kept {
    fn record(&mut self, key: &str, explicit_hash: Option<u128>, data_len: usize) -> &mut Vec<u8> {
        self.records.push((key.to_owned(), explicit_hash, data_len));
        &mut self.data
    }
}

impl Kept {
    fn add(&mut self, key: &str, explicit_hash: Option<u128>, data: &[u8]) {
        self.record(key, explicit_hash, data.len()).extend_from_slice(data);
    }
}

/// What a body gives on the fast way, which is what it gives on the general way.
fn take(call: Call, encoding: Encoding, body: &[u8]) -> Option<Kept> {
    let mut scratch = Scratch::default();
    let scan = scan(call, encoding, body, &mut scratch)?;
    let mut kept = Kept::default();
    scan.feed(&mut kept).ok()?;
    let mut hash_keys = vec![HashKey(1)];
    scan.hash_keys(&mut hash_keys);
    let hash_key = |key: &str, explicit: Option<u128>| explicit.map_or_else(|| HashKey::of(key.as_bytes()), HashKey);
    assert_eq!(hash_keys, kept.records.iter().map(|(key, explicit, _)| hash_key(key, *explicit)).collect::<Vec<_>>());
    assert_eq!(kept.records.len(), scan.record_count());
    assert_eq!(general(call, encoding, body), Some((*scan.head(), kept.clone())), "{}", body.escape_ascii());
    Some(kept)
}

/// What a body gives on the general way, with the data written to one place one after the other; `None` if it is not valid.
fn general(call: Call, encoding: Encoding, body: &[u8]) -> Option<(PutHead<'_>, Kept)> {
    fn stays<'a>(text: Option<&str>, body: &'a [u8]) -> Option<&'a str> {
        // A text that the fast way takes stands in the body as it is.
        let text = text?;
        let at = body.windows(text.len()).position(|window| window == text.as_bytes()).expect("it stands in the body");
        std::str::from_utf8(&body[at..at + text.len()]).ok()
    }
    let name = match call {
        Call::Record => "PutRecord",
        Call::Records => "PutRecords",
    };
    let input = Input::decode(model::operation(name).unwrap(), encoding, body).ok()?;
    let records: Vec<&Input<'_>> = match call {
        Call::Record => vec![&input],
        Call::Records => input.structures("Records")?.collect(),
    };
    let mut kept = Kept::default();
    for record in &records {
        let hash = record.str("ExplicitHashKey").map(|hash| hash.parse()).transpose().ok()?;
        kept.add(record.str("PartitionKey").unwrap_or(""), hash, record.blob("Data").unwrap());
    }
    let ordering = if call == Call::Record { input.str("SequenceNumberForOrdering") } else { None };
    let head = PutHead {
        stream_name: stays(input.str("StreamName"), body),
        stream_arn: stays(input.str("StreamARN"), body),
        dry_run: input.bool("DryRun").unwrap_or(false),
        sequence_for_ordering: stays(ordering, body),
        is_keyless: kept.records.iter().any(|(key, ..)| key.is_empty()),
        bytes: kept.records.iter().map(|(key, _, len)| key.len() + len).sum(),
    };
    Some((head, kept))
}

fn takes(call: Call, body: &str) -> bool {
    take(call, Encoding::Json, body.as_bytes()).is_some()
}

/// What a `PutRecords` in JSON says, by a parser that builds a tree; `None` if it is not valid.
fn reference(body: &[u8]) -> Option<Kept> {
    let Value::Object(body) = serde_json::from_slice(body).ok()? else { return None };
    let mut kept = Kept::default();
    for record in body.get("Records")?.as_array()? {
        let data = base64_simd::STANDARD.decode_to_vec(record.get("Data")?.as_str()?).ok()?;
        let key = record.get("PartitionKey").map_or(Some(""), Value::as_str)?;
        let hash = match record.get("ExplicitHashKey") {
            Some(hash) => Some(hash.as_str()?.parse().ok()?),
            None => None,
        };
        kept.add(key, hash, &data);
    }
    Some(kept)
}

/// A body to be, its members in an order of its own.
#[derive(Clone, Debug)]
enum Node {
    Map(Vec<(&'static str, Node)>),
    List(Vec<Node>),
    Text(String),
    Data(Vec<u8>),
    Bool(bool),
}

impl Node {
    /// As JSON: compact, or with spaces as Python writes it.
    fn json(&self, is_spaced: bool, out: &mut String) {
        let (comma, colon) = if is_spaced { (", ", ": ") } else { (",", ":") };
        match self {
            Self::Map(members) => {
                out.push('{');
                for (nth, (name, value)) in members.iter().enumerate() {
                    out.push_str(if nth > 0 { comma } else { "" });
                    out.push_str(&format!("\"{name}\"{colon}"));
                    value.json(is_spaced, out);
                }
                out.push('}');
            }
            Self::List(items) => {
                out.push('[');
                for (nth, item) in items.iter().enumerate() {
                    out.push_str(if nth > 0 { comma } else { "" });
                    item.json(is_spaced, out);
                }
                out.push(']');
            }
            Self::Text(text) => out.push_str(&format!("\"{text}\"")),
            Self::Data(data) => out.push_str(&format!("\"{}\"", base64_simd::STANDARD.encode_to_string(data))),
            Self::Bool(value) => out.push_str(&value.to_string()),
        }
    }

    /// As CBOR: maps and lists of unknown length like the Java SDK's, or of a known one.
    fn cbor(&self, is_definite: bool, out: &mut Vec<u8>) {
        let head = |kind: u8, n: usize, out: &mut Vec<u8>| match n {
            ..24 => out.push(kind << 5 | n as u8),
            24..256 => out.extend_from_slice(&[kind << 5 | 24, n as u8]),
            _ => {
                out.push(kind << 5 | 27);
                out.extend_from_slice(&(n as u64).to_be_bytes());
            }
        };
        let open = |kind: u8, n: usize, out: &mut Vec<u8>| match is_definite {
            true => head(kind, n, out),
            false => out.push(kind << 5 | 31),
        };
        let text = |text: &str, out: &mut Vec<u8>| {
            head(3, text.len(), out);
            out.extend_from_slice(text.as_bytes());
        };
        match self {
            Self::Map(members) => {
                open(5, members.len(), out);
                for (name, value) in members {
                    text(name, out);
                    value.cbor(is_definite, out);
                }
                out.extend_from_slice(if is_definite { b"" } else { b"\xff" });
            }
            Self::List(items) => {
                open(4, items.len(), out);
                items.iter().for_each(|item| item.cbor(is_definite, out));
                out.extend_from_slice(if is_definite { b"" } else { b"\xff" });
            }
            Self::Text(value) => text(value, out),
            Self::Data(data) => {
                head(2, data.len(), out);
                out.extend_from_slice(data);
            }
            Self::Bool(value) => out.push(0xf4 + u8::from(*value)),
        }
    }

    /// In all forms of both encodings.
    fn forms(&self) -> [(Encoding, Vec<u8>); 4] {
        [false, true]
            .into_iter()
            .flat_map(|form| {
                let (mut json, mut cbor) = (String::new(), Vec::new());
                self.json(form, &mut json);
                self.cbor(form, &mut cbor);
                [(Encoding::Json, json.into_bytes()), (Encoding::Cbor, cbor)]
            })
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }
}

/// Goal: what the SDKs really send is taken, with everything it says: Python's spaces, the members in any order.
#[test]
fn bodies_of_real_clients() {
    let python = concat!(
        r#"{"Records": [{"Data": "aGVsbG8=", "PartitionKey": "a"}, {"Data": "", "PartitionKey": "schlüssel", "#,
        r#""ExplicitHashKey": "340282366920938463463374607431768211455"}], "StreamName": "s.1_a-B"}"#
    );
    let python = python.as_bytes();
    let mut scratch = Scratch::default();
    let scan = scan(Call::Records, Encoding::Json, python, &mut scratch).unwrap();
    let head = PutHead { stream_name: Some("s.1_a-B"), bytes: 6 + 10, ..PutHead::default() };
    assert_eq!(*scan.head(), head);
    let mut expected = Kept::default();
    expected.add("a", None, b"hello");
    expected.add("schlüssel", Some(u128::MAX), b"");
    assert_eq!(take(Call::Records, Encoding::Json, python), Some(expected));

    // The Java SDK: {"StreamName": "s", "Data": h'68656c6c6f', "PartitionKey": "k", "SequenceNumberForOrdering": "0"}.
    let java =
        b"\xbf\x6aStreamName\x61s\x64Data\x45hello\x6cPartitionKey\x61k\x78\x19SequenceNumberForOrdering\x610\xff";
    let mut scratch = Scratch::default();
    let scan = super::scan(Call::Record, Encoding::Cbor, java, &mut scratch).unwrap();
    assert_eq!((scan.head().stream_name, scan.head().sequence_for_ordering), (Some("s"), Some("0")));
    let mut expected = Kept::default();
    expected.add("k", None, b"hello");
    assert_eq!(take(Call::Record, Encoding::Cbor, java), Some(expected));
}

/// Goal: a request says what it says about its stream, however it names it.
#[test]
fn heads() {
    let arn = "arn:aws:kinesis:eu-west-1:000000000000:stream/s";
    let body = format!(r#"{{"DryRun":true,"StreamARN":"{arn}","Data":"AAA="}}"#);
    let mut scratch = Scratch::default();
    let scan = scan(Call::Record, Encoding::Json, body.as_bytes(), &mut scratch).unwrap();
    let head = PutHead { stream_arn: Some(arn), dry_run: true, is_keyless: true, bytes: 2, ..PutHead::default() };
    assert_eq!(*scan.head(), head);
}

/// Goal: what is unusual or invalid goes the general way, each for its own reason.
#[test]
fn unusual_bodies_are_left() {
    let record = r#"{"Data":"aGVsbG8=","PartitionKey":"a"}"#;
    let records = |list: &str| format!(r#"{{"Records":[{list}],"StreamName":"s"}}"#);
    let with = |member: &str| records(&format!(r#"{{"Data":"aGVsbG8=",{member}}}"#));
    let key = |key: &str| with(&format!(r#""PartitionKey":"{key}""#));
    let hash = |hash: &str| with(&format!(r#""PartitionKey":"a","ExplicitHashKey":"{hash}""#));
    let data = |data: &str| records(&format!(r#"{{"Data":"{data}","PartitionKey":"a"}}"#));
    let name = |name: &str| format!(r#"{{"StreamName":"{name}","Records":[{record}]}}"#);
    let arn = |arn: &str| format!(r#"{{"StreamARN":"{arn}","Records":[{record}]}}"#);
    let many = |n| records(&vec![record; n].join(","));
    let arn_start = "arn:aws:kinesis:eu-west-1:000000000000:stream/";

    for body in [
        records(record),
        format!(" {{ \"Records\"\t:\r\n [ {record} , {record} ] }} \n"),
        many(500),
        key("x"),
        key(&"é".repeat(256)),
        key(&"k".repeat(256)),
        hash("0"),
        hash("340282366920938463463374607431768211455"),
        data(""),
        data("AA=="),
        data("++//"),
        name(&"n".repeat(128)),
        arn(&format!("{arn_start}s")),
        arn("arn:aws-cn:kinesis::000000000000:stream/s"),
    ] {
        assert!(takes(Call::Records, &body), "{body}");
        assert!(reference(body.as_bytes()).is_some(), "{body}");
    }
    for body in [
        String::new(),
        "null".into(),
        "[]".into(),
        "{}".into(),
        records(""),
        many(501),
        r#"{"Records":null}"#.into(),
        format!(r#"{{"Records":[{record}],"Records":[{record}]}}"#),
        format!(r#"{{"Records":[],"Records":[{record}]}}"#),
        format!("{{\"Records\":[{record}]}} x"),
        format!("{{\"Records\":[{record},]}}"),
        format!("{{\"Records\":[,{record}]}}"),
        format!("{{\"Records\":[{record}],}}"),
        format!("{{\"Records\":[{record} {record}]}}"),
        format!("{{\"Records\":[{record}}}"),
        format!("{{\"Records\":[{record}],\"StreamName\"}}"),
        format!("{{\"Records\":[{record}] \"StreamName\":\"s\"}}"),
        records(r#"{"PartitionKey":"a"}"#),
        records("{}"),
        records("null"),
        with(r#""PartitionKey":"a","PartitionKey":"a""#),
        with(r#""PartitionKey":"a","Unknown":"a""#),
        with(r#""PartitionKey":null"#),
        with(r#""PartitionKey":1"#),
        with(r#""partitionKey":"a""#),
        key(""),
        key(r"\u0041"),
        key(r#"\""#),
        key("a\u{1f}"),
        key(&"é".repeat(257)),
        key(&"k".repeat(1025)),
        hash(""),
        hash("00"),
        hash("-1"),
        hash("+1"),
        hash("1a"),
        hash("340282366920938463463374607431768211456"),
        hash("1000000000000000000000000000000000000000"),
        data("A"),
        data("AAA"),
        data("AA="),
        data("AB=="),
        data("===="),
        data("AA==AA=="),
        data("AAA\\"),
        data("AA\\/"),
        data("AAA\\\""),
        data("AA-_"),
        data("AAA\n"),
        data("AAAAAAA\u{fc}AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        name(""),
        name("a b"),
        name("ä"),
        name(&"n".repeat(129)),
        arn(""),
        arn("arn:aws:kinesis:eu-west-1:00000000000:stream/s"),
        arn("arn:aws:kinesis:eu-west-1:000000000000:stream/"),
        arn(&format!("{arn_start}s/consumer/c:1")),
        arn(&format!("{arn_start}s:1")),
        arn("arn:aws:sns:eu-west-1:000000000000:stream/s"),
        format!(r#"{{"DryRun":"true","Records":[{record}]}}"#),
        format!(r#"{{"DryRun":tru,"Records":[{record}]}}"#),
        format!(r#"{{"DryRun":truefalse,"Records":[{record}]}}"#),
        format!(r#"{{"StreamId":"abc","Records":[{record}]}}"#),
        format!(r#"{{"SequenceNumberForOrdering":"0","Records":[{record}]}}"#),
        record.to_owned(),
    ] {
        assert!(!takes(Call::Records, &body), "{body}");
    }
    assert!(takes(Call::Record, record));
    for body in [
        r#"{"Data":"","SequenceNumberForOrdering":"01"}"#,
        r#"{"Data":"","SequenceNumberForOrdering":""}"#,
        r#"{"SequenceNumberForOrdering":"1"}"#,
        r#"{"Data":"","Records":[]}"#,
        "{}",
    ] {
        assert!(!takes(Call::Record, body), "{body}");
    }
}

/// Goal: keys that are not UTF-8 are left, in both encodings, though they are not read while scanning.
#[test]
fn keys_that_are_no_utf8_are_left() {
    let json = b"{\"Data\":\"\",\"PartitionKey\":\"\xc3\"}";
    assert_eq!(take(Call::Record, Encoding::Json, json), None);
    let cbor = b"\xa2\x64Data\x40\x6cPartitionKey\x61\xc3";
    assert_eq!(take(Call::Record, Encoding::Cbor, cbor), None);
}

/// Goal: what CBOR can say and these bodies do not is left: pieces of strings, tags, nulls, other types, false lengths.
#[test]
fn unusual_cbor_is_left() {
    let fine = b"\xa2\x64Data\x41x\x6cPartitionKey\x61k";
    assert!(take(Call::Record, Encoding::Cbor, fine).is_some());
    let bodies: &[&[u8]] = &[
        b"",
        b"\xa0",
        b"\xbf\xff",
        b"\xa2\x64Data\x5f\x41x\xff\x6cPartitionKey\x61k",
        b"\xa2\x64Data\x41x\x6cPartitionKey\x7f\x61k\xff",
        b"\xa2\x64Data\x41x\x6cPartitionKey\x41k",
        b"\xa2\x64Data\x61x\x6cPartitionKey\x61k",
        b"\xa2\x64Data\xc1\x41x\x6cPartitionKey\x61k",
        b"\xa2\x64Data\xf6\x6cPartitionKey\x61k",
        b"\xa2\x44Data\x41x\x6cPartitionKey\x61k",
        b"\xa3\x64Data\x41x\x6cPartitionKey\x61k",
        b"\xa1\x64Data\x41x\x6cPartitionKey\x61k",
        b"\xbf\x64Data\x41x\x6cPartitionKey\x61k",
        b"\xa2\x64Data\x41x\x6cPartitionKey\x61k\0",
        b"\xa2\x64Data\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa2\x64Data\x5c\x6cPartitionKey\x61k",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x64Data\x41x",
    ];
    for body in bodies {
        assert_eq!(take(Call::Record, Encoding::Cbor, body), None, "{body:02x?}");
    }
}

/// Goal: data beyond the limit is left, data at the limit is taken.
#[test]
fn the_largest_data() {
    for (len, is_taken) in [(RECORD_BYTES_MAX as usize, true), (RECORD_BYTES_MAX as usize + 1, false)] {
        let body = Node::Map(vec![("Data", Node::Data(vec![7; len]))]);
        for (encoding, body) in body.forms() {
            assert_eq!(take(Call::Record, encoding, &body).is_some(), is_taken);
        }
    }
}

fn records_of_any_kind() -> impl Strategy<Value = Node> {
    let key = prop_oneof![
        4 => "[a-z0-9-]{1,40}".prop_map(Some),
        1 => "[^\"\\\\\\x00-\\x1f]{1,20}".prop_map(Some),
        1 => Just(None),
    ];
    let data = proptest::collection::vec(any::<u8>(), 0..200);
    (key, data, proptest::option::of(any::<u128>()), 0..3_usize).prop_map(|(key, data, hash, order)| {
        let mut members = vec![("Data", Node::Data(data))];
        members.extend(key.map(|key| ("PartitionKey", Node::Text(key))));
        members.extend(hash.map(|hash| ("ExplicitHashKey", Node::Text(hash.to_string()))));
        let order = order % members.len();
        members.rotate_left(order);
        Node::Map(members)
    })
}

fn bodies() -> impl Strategy<Value = Node> {
    let records = proptest::collection::vec(records_of_any_kind(), 1..12);
    (records, any::<bool>(), proptest::option::of(any::<bool>()), 0..3_usize).prop_map(
        |(records, is_named, dry_run, order)| {
            let mut members = vec![("Records", Node::List(records))];
            members.extend(is_named.then(|| ("StreamName", Node::Text("a-stream".into()))));
            members.extend(dry_run.map(|dry_run| ("DryRun", Node::Bool(dry_run))));
            let order = order % members.len();
            members.rotate_left(order);
            Node::Map(members)
        },
    )
}

proptest! {
    /// Goal: a valid body gives the same records as a parser that builds a tree, in both encodings and in all their forms.
    #[test]
    fn both_encodings_agree_with_the_reference(body in bodies()) {
        let forms = body.forms();
        let expected = reference(&forms[0].1);
        prop_assert!(expected.is_some());
        for (encoding, body) in &forms {
            prop_assert_eq!(&take(Call::Records, *encoding, body), &expected);
        }
    }

    /// Goal: damaged bodies never panic, and one that is taken all the same means what it means on the general way and what
    /// the reference says it means.
    #[test]
    fn damage_is_never_misread(
        body in bodies(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u8>(), prop::sample::select(b"\"\\{}[],:= \n0f\xff\xf6\x5f\x7f".to_vec())]), 1..4),
    ) {
        for (encoding, mut damaged) in body.forms() {
            for (at, byte) in &changes {
                let at = at.index(damaged.len());
                damaged[at] = *byte;
            }
            take(Call::Record, encoding, &damaged);
            let taken = take(Call::Records, encoding, &damaged);
            if encoding == Encoding::Json && taken.is_some() {
                prop_assert_eq!(taken, reference(&damaged));
            }
        }
    }

    /// Goal: random bytes never panic.
    #[test]
    fn noise_never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for encoding in Encoding::ALL {
            take(Call::Record, encoding, &body);
            take(Call::Records, encoding, &body);
        }
    }
}

proptest! {
    // Each case is as many as its body has bytes.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Goal: every truncation is left to the general way.
    #[test]
    fn every_truncation_is_left(body in bodies()) {
        for (encoding, body) in body.forms() {
            for cut in 0..body.len() {
                prop_assert_eq!(take(Call::Records, encoding, &body[..cut]), None, "cut at {}", cut);
            }
        }
    }
}
