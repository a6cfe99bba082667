//! Values made up from a few random bytes, and independent ways to write them.

use serde_json::{Map, Number, Value as Json};

use super::input::{Input, Value};
use super::model::{Kind, Pattern, Shape};

/// Random choices, taken from bytes that a property test shrinks. An empty supply always chooses the first.
pub struct Dice {
    bytes: std::vec::IntoIter<u8>,
}

impl Dice {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter() }
    }

    pub fn below(&mut self, sides: usize) -> usize {
        usize::from(self.bytes.next().unwrap_or(0)) % sides
    }

    pub fn chance(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn number(&mut self) -> i64 {
        (0..self.below(9)).fold(0, |value, _| value << 8 | self.below(256) as i64)
    }
}

/// A valid value of a shape.
pub fn sample(shape: &'static Shape, dice: &mut Dice) -> Value<'static> {
    match shape.kind {
        Kind::Structure(_) => Value::Structure(structure(shape, dice)),
        Kind::List { member, min, .. } => {
            let count = min.unwrap_or(0) + dice.below(4) as u64;
            Value::List { kept: (0..count).map(|_| sample(member, dice)).collect(), count }
        }
        Kind::Map { key, value, min, .. } => {
            let count = min.unwrap_or(0) as usize + dice.below(4);
            let texts = (0..count).map(|_| (text(key, dice).into(), Value::Text(text(value, dice).into())));
            let kept: std::collections::BTreeMap<std::borrow::Cow<'_, str>, _> = texts.collect();
            let count = kept.len() as u64;
            Value::Map { kept: kept.into_iter().collect(), count }
        }
        Kind::String { .. } => Value::Text(text(shape, dice).into()),
        Kind::Integer { min, max } | Kind::Long { min, max } => {
            let max = max.unwrap_or(if matches!(shape.kind, Kind::Long { .. }) { i64::MAX } else { i32::MAX.into() });
            Value::Int(dice.number().clamp(min.unwrap_or(i32::MIN.into()), max))
        }
        Kind::Boolean => Value::Bool(dice.chance()),
        Kind::Blob { .. } => Value::Blob((0..dice.below(40)).map(|_| dice.below(256) as u8).collect()),
        Kind::Timestamp => Value::Time(dice.number().rem_euclid(4_000_000_000_000)),
    }
}

pub fn structure(shape: &'static Shape, dice: &mut Dice) -> Input<'static> {
    let mut input = Input::new(shape);
    for (at, member) in shape.members().iter().enumerate() {
        if member.required || dice.chance() {
            input.members_mut()[at] = Some(sample(member.shape, dice));
        }
    }
    input
}

/// A valid text.
fn text(shape: &Shape, dice: &mut Dice) -> String {
    const ACCOUNT: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/";
    let Kind::String { min, max, pattern, values } = shape.kind else { panic!("{} is no text", shape.name) };
    if !values.is_empty() {
        return values[dice.below(values.len())].to_owned();
    }
    let pick = |from: &[&str], dice: &mut Dice| from[dice.below(from.len())].to_owned();
    match pattern {
        Some(Pattern::Name) => pick(&["a", "shardId-000000000001", "A.b_c-9"], dice),
        Some(Pattern::StreamArn | Pattern::ResourceArn) => format!("{ACCOUNT}{}", pick(&["s", "a/b"], dice)),
        Some(Pattern::ConsumerArn) => format!("{ACCOUNT}s/consumer/c:1700000000"),
        Some(Pattern::StreamId) => "abcdefghij0123456789-xyz".to_owned(),
        Some(Pattern::HashKey) => pick(&["0", "340282366920938463463374607431768211455"], dice),
        Some(Pattern::SequenceNumber) => pick(&["0", "49680476456914844056497598001272619744059254248218558466"], dice),
        None => {
            let count = min.unwrap_or(0) as usize + dice.below(20);
            let count = count.min(max.unwrap_or(20) as usize);
            (0..count).map(|_| ['a', '"', '\\', '\n', '\u{1}', 'é', '€', '𝄞', '/', '\u{7f}'][dice.below(10)]).collect()
        }
    }
}

/// The value as JSON, by other means than ours.
pub fn to_json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Time(value) => Json::Number(Number::from_f64(*value as f64 / 1_000.0).expect("a finite time")),
        Value::Text(text) => Json::from(text.as_ref()),
        Value::Blob(bytes) => Json::from(base64_simd::STANDARD.encode_to_string(bytes)),
        Value::Structure(input) => structure_to_json(input),
        Value::List { kept, .. } => kept.iter().map(to_json).collect(),
        Value::Map { kept, .. } => {
            Json::Object(kept.iter().map(|(key, value)| (key.to_string(), to_json(value))).collect())
        }
    }
}

pub fn structure_to_json(input: &Input<'_>) -> Json {
    let members = input.shape().members().iter().zip(input.members());
    let there = members.filter_map(|(member, value)| Some((member.name.to_owned(), to_json(value.as_ref()?))));
    Json::Object(there.collect::<Map<_, _>>())
}

/// The value as CBOR, in any of the forms clients may send.
pub fn to_cbor(out: &mut Vec<u8>, value: &Value<'_>, dice: &mut Dice) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Value::Int(value) if *value < 0 => head(out, 1, !*value as u64, dice),
        Value::Int(value) => head(out, 0, *value as u64, dice),
        Value::Time(value) => {
            out.push(0xc1);
            head(out, 0, u64::try_from(*value).expect("a time after the epoch"), dice);
        }
        Value::Text(text) => string(out, 3, text.as_bytes(), dice),
        Value::Blob(bytes) => string(out, 2, bytes, dice),
        Value::Structure(input) => structure_to_cbor(out, input, dice),
        Value::List { kept, .. } => container(out, 4, kept.len(), dice, |out, at, dice| to_cbor(out, &kept[at], dice)),
        Value::Map { kept, .. } => container(out, 5, kept.len(), dice, |out, at, dice| {
            string(out, 3, kept[at].0.as_bytes(), dice);
            to_cbor(out, &kept[at].1, dice);
        }),
    }
}

pub fn structure_to_cbor(out: &mut Vec<u8>, input: &Input<'_>, dice: &mut Dice) {
    let members = input.shape().members().iter().zip(input.members());
    let there: Vec<_> = members.filter_map(|(member, value)| Some((member.name, value.as_ref()?))).collect();
    container(out, 5, there.len(), dice, |out, at, dice| {
        string(out, 3, there[at].0.as_bytes(), dice);
        to_cbor(out, there[at].1, dice);
    });
}

/// A head with its number in any of the lengths that hold it.
fn head(out: &mut Vec<u8>, major: u8, value: u64, dice: &mut Dice) {
    let shortest = [0x18, 0x100, 0x1_0000, 0x1_0000_0000].iter().filter(|bound| value >= **bound).count();
    let form = shortest + dice.below(5 - shortest);
    match form {
        0 => out.push(major << 5 | value as u8),
        _ => {
            out.push(major << 5 | (23 + form as u8));
            out.extend_from_slice(&value.to_be_bytes()[8 - (1 << (form - 1))..]);
        }
    }
}

fn string(out: &mut Vec<u8>, major: u8, bytes: &[u8], dice: &mut Dice) {
    if dice.below(4) == 1 {
        out.push(major << 5 | 31);
        // Chunks of texts are texts.
        let middle =
            std::str::from_utf8(bytes).map_or(bytes.len() / 2, |text| text.floor_char_boundary(bytes.len() / 2));
        for chunk in [&bytes[..middle], &bytes[middle..]] {
            head(out, major, chunk.len() as u64, dice);
            out.extend_from_slice(chunk);
        }
        out.push(0xff);
    } else {
        head(out, major, bytes.len() as u64, dice);
        out.extend_from_slice(bytes);
    }
}

fn container(
    out: &mut Vec<u8>,
    major: u8,
    count: usize,
    dice: &mut Dice,
    mut each: impl FnMut(&mut Vec<u8>, usize, &mut Dice),
) {
    let is_definite = dice.chance();
    if is_definite {
        head(out, major, count as u64, dice);
    } else {
        out.push(major << 5 | 31);
    }
    (0..count).for_each(|at| each(out, at, dice));
    if !is_definite {
        out.push(0xff);
    }
}
