//! The CBOR of Kinesis to and from JSON values, so that one test speaks both. Independent of the code that is tested.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};

/// Members that are bytes, and that are times.
const BLOBS: &[&str] = &["Data"];
const TIMES: &[&str] = &["Timestamp", "StreamCreationTimestamp"];

fn head(out: &mut Vec<u8>, major: u8, n: u64) {
    let major = major << 5;
    match n {
        0..=23 => out.push(major | n as u8),
        24..=0xff => out.extend([major | 24, n as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((n as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(n.to_be_bytes());
        }
    }
}

/// Writes a value as the Java SDK does: maps of indefinite length, times as tagged milliseconds.
pub fn encode(value: &Value, name: &str, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Value::Number(number) if TIMES.contains(&name) => {
            let ms = (number.as_f64().unwrap() * 1_000.0).round() as i64;
            out.push(0xc1);
            if ms < 0 {
                head(out, 1, (-1 - ms) as u64);
            } else {
                out.push(0x1b);
                out.extend((ms as u64).to_be_bytes());
            }
        }
        Value::Number(number) => match number.as_i64() {
            Some(n) if n >= 0 => head(out, 0, n as u64),
            Some(n) => head(out, 1, (-1 - n) as u64),
            None => {
                out.push(0xfb);
                out.extend(number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::String(text) if BLOBS.contains(&name) => {
            let bytes = STANDARD.decode(text).unwrap();
            head(out, 2, bytes.len() as u64);
            out.extend(bytes);
        }
        Value::String(text) => {
            head(out, 3, text.len() as u64);
            out.extend(text.as_bytes());
        }
        Value::Array(items) => {
            head(out, 4, items.len() as u64);
            items.iter().for_each(|item| encode(item, "", out));
        }
        Value::Object(members) => {
            out.push(0xbf);
            for (name, value) in members {
                head(out, 3, name.len() as u64);
                out.extend(name.as_bytes());
                encode(value, name, out);
            }
            out.push(0xff);
        }
    }
}

/// Reads a value: bytes become base64, tagged milliseconds become seconds.
pub fn decode(bytes: &[u8]) -> Value {
    let mut at = 0;
    let value = read(bytes, &mut at);
    assert_eq!(at, bytes.len(), "nothing follows");
    value
}

fn number(bytes: &[u8], at: &mut usize, info: u8) -> u64 {
    let width = match info {
        0..=23 => return info.into(),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => panic!("not a number: {info}"),
    };
    let taken = &bytes[*at..*at + width];
    *at += width;
    taken.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn read(bytes: &[u8], at: &mut usize) -> Value {
    let first = bytes[*at];
    *at += 1;
    let (major, info) = (first >> 5, first & 31);
    match major {
        0 => json!(number(bytes, at, info)),
        1 => json!(-1 - number(bytes, at, info) as i64),
        2 | 3 => {
            let len = number(bytes, at, info) as usize;
            let taken = &bytes[*at..*at + len];
            *at += len;
            Value::String(if major == 2 {
                STANDARD.encode(taken)
            } else {
                std::str::from_utf8(taken).unwrap().to_owned()
            })
        }
        4 => {
            let mut items = Vec::new();
            if info == 31 {
                while bytes[*at] != 0xff {
                    items.push(read(bytes, at));
                }
                *at += 1;
            } else {
                (0..number(bytes, at, info)).for_each(|_| items.push(read(bytes, at)));
            }
            Value::Array(items)
        }
        5 => {
            assert_eq!(info, 31, "answers have maps of indefinite length");
            let mut members = Map::new();
            while bytes[*at] != 0xff {
                let Value::String(name) = read(bytes, at) else { panic!("a name is a text") };
                let value = read(bytes, at);
                assert!(members.insert(name, value).is_none(), "no member stands twice");
            }
            *at += 1;
            Value::Object(members)
        }
        6 => {
            assert_eq!(info, 1, "the tag of times");
            assert!(bytes[*at] >> 5 == 0, "whole milliseconds");
            let ms = read(bytes, at).as_u64().unwrap();
            Value::Number(Number::from_f64(ms as f64 / 1_000.0).unwrap())
        }
        _ => match info {
            20 => Value::Bool(false),
            21 => Value::Bool(true),
            _ => panic!("not in answers: {first:#x}"),
        },
    }
}
