//! Tokens to values, driven by the shape. The messages are those of the service, as far as they were recorded, grammar and
//! all.

use std::borrow::Cow;

use super::reader::{Malformed, Open, Reader, Token};
use super::{Input, Value, base64};
use crate::kinesis::model::{Kind, Shape};

/// Why a body is no value of a shape.
pub(super) enum Fault {
    /// It is not what its content type says.
    Malformed,
    /// A value is of another type; the message of the service.
    Type(String),
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A whole body, which must be a structure.
pub(super) fn whole<'a, R: Reader<'a>>(shape: &'static Shape, body: &'a [u8]) -> Result<Input<'a>, Fault> {
    let mut reader = R::new(body)?;
    let input = match reader.token()? {
        Token::Map(open) => structure(&mut reader, shape, open)?,
        token @ Token::List(_) => return Err(unexpected(&token, "")),
        _ => return Err(Fault::Malformed),
    };
    reader.end()?;
    Ok(input)
}

fn structure<'a, R: Reader<'a>>(reader: &mut R, shape: &'static Shape, mut open: Open) -> Result<Input<'a>, Fault> {
    let mut input = Input::new(shape);
    while let Some(key) = reader.key(&mut open)? {
        match shape.member(&key) {
            Some((at, member)) => input.members_mut()[at] = value(reader, member.shape)?,
            None => reader.skip()?,
        }
    }
    Ok(input)
}

/// The next value; `None` for null.
fn value<'a, R: Reader<'a>>(reader: &mut R, shape: &'static Shape) -> Result<Option<Value<'a>>, Fault> {
    let token = reader.token()?;
    if token == Token::Null {
        return Ok(None);
    }
    let value = match (&shape.kind, token) {
        (Kind::Structure(_), Token::Map(open)) => Value::Structure(structure(reader, shape, open)?),
        (Kind::List { member, max, .. }, Token::List(open)) => list(reader, member, *max, open)?,
        (Kind::Map { value, max, .. }, Token::Map(open)) => map(reader, value, *max, open)?,
        (Kind::String { .. }, Token::Text(text)) => Value::Text(text),
        (Kind::Integer { .. }, token) => Value::Int(int(token, "an Integer")?.clamp(i32::MIN.into(), i32::MAX.into())),
        (Kind::Long { .. }, token) => Value::Int(int(token, "a Long")?),
        (Kind::Boolean, token) => Value::Bool(boolean(token)?),
        (Kind::Blob { .. }, Token::Bytes(bytes)) => Value::Blob(bytes),
        (Kind::Blob { .. }, Token::Text(text)) if R::BLOBS_ARE_TEXTS => {
            Value::Blob(Cow::Owned(base64::decode(&text).map_err(Fault::Type)?))
        }
        (Kind::Timestamp, token) => Value::Time(time::<R>(token)?),
        (Kind::Structure(_), token) => return Err(unexpected(&token, "Expected null")),
        (Kind::List { .. }, token) => return Err(unexpected(&token, "Expected list or null")),
        (Kind::Map { .. }, token) => return Err(unexpected(&token, "Expected map or null")),
        (Kind::String { .. }, token) => return Err(inconvertible(&token, "a String")),
        (Kind::Blob { .. }, token) => return Err(inconvertible(&token, "a Blob")),
    };
    Ok(Some(value))
}

fn list<'a, R: Reader<'a>>(
    reader: &mut R,
    member: &'static Shape,
    max: Option<u64>,
    mut open: Open,
) -> Result<Value<'a>, Fault> {
    let (mut kept, mut count) = (Vec::new(), 0);
    while reader.element(&mut open)? {
        let element = value(reader, member)?.unwrap_or(Value::Null);
        count += 1;
        if max.is_none_or(|max| count <= max) {
            kept.push(element);
        }
    }
    Ok(Value::List { kept, count })
}

fn map<'a, R: Reader<'a>>(
    reader: &mut R,
    shape: &'static Shape,
    max: Option<u64>,
    mut open: Open,
) -> Result<Value<'a>, Fault> {
    let (mut kept, mut count) = (Vec::<(Cow<'a, str>, Value<'a>)>::new(), 0);
    while let Some(key) = reader.key(&mut open)? {
        let entry = value(reader, shape)?.unwrap_or(Value::Null);
        match kept.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => kept[at].1 = entry,
            Err(at) => {
                count += 1;
                if max.is_none_or(|max| count <= max) {
                    kept.insert(at, (key, entry));
                }
            }
        }
    }
    Ok(Value::Map { kept, count })
}

fn int(token: Token<'_>, wanted: &str) -> Result<i64, Fault> {
    match token {
        Token::Int(value) => Ok(value),
        // Cut off, and to the nearest that fits.
        Token::Float(value) if !value.is_nan() => Ok(value as i64),
        token => Err(inconvertible(&token, wanted)),
    }
}

fn boolean(token: Token<'_>) -> Result<bool, Fault> {
    match token {
        Token::Bool(value) => Ok(value),
        Token::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => Ok(true),
            "false" | "no" | "n" | "f" | "0" => Ok(false),
            _ => Err(inconvertible(&Token::Text(text), "an Boolean")),
        },
        token => Err(inconvertible(&token, "a Boolean")),
    }
}

/// Times are cut to about 285,000 years around the epoch, so that they are still times in microseconds.
const MILLIS_MAX: i64 = (1 << 53) - 1;

fn time<'a, R: Reader<'a>>(token: Token<'a>) -> Result<i64, Fault> {
    let millis = match token {
        Token::Int(value) => value.saturating_mul(R::MILLIS_OF_INT),
        // To the nearest millisecond: floats of today's seconds are exact to less than a microsecond.
        Token::Float(seconds) if !seconds.is_nan() => (seconds * 1_000.0).round() as i64,
        token => return Err(inconvertible(&token, "milliseconds since epoch")),
    };
    Ok(millis.clamp(-MILLIS_MAX, MILLIS_MAX))
}

/// A value that stands where a list, a map or a structure should.
fn unexpected(token: &Token<'_>, otherwise: &str) -> Fault {
    let message = match token {
        Token::List(_) => "Start of list found where not expected",
        Token::Map(_) => "Start of structure or map found where not expected.",
        _ => otherwise,
    };
    Fault::Type(message.to_owned())
}

/// A value that stands where a single value of another type should.
fn inconvertible(token: &Token<'_>, wanted: &str) -> Fault {
    let found = match token {
        Token::Bool(true) => "TRUE_VALUE",
        Token::Bool(false) => "FALSE_VALUE",
        Token::Int(_) | Token::Float(_) => "NUMBER_VALUE",
        Token::Bytes(_) => "BINARY_VALUE",
        Token::Text(_) | Token::Null => "STRING_VALUE",
        Token::List(_) | Token::Map(_) => return unexpected(token, ""),
    };
    Fault::Type(format!("{found} can not be converted to {wanted}"))
}
