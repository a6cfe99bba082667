//! The constraints of the model, with the messages of the service.
//!
//! `2 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular
//! expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy constraint: Member must have length
//! greater than or equal to 1`
//!
//! As recorded from the service: members are named by their path in lower camel case, elements of lists by their number from
//! 1 and `member`; at most ten errors are told; elements of lists and maps of texts are not told one by one, but as one
//! constraint of the list. In one thing we differ: very long values are cut, so that an error is not as long as its request.

#[cfg(test)]
mod tests;

use std::fmt::{self, Write};

use super::error::{Code, Error};
use super::input::{Input, Value};
use super::model::{Kind, Member, Shape};

/// How many errors are told.
const ERRORS_MAX: usize = 10;

/// How much of a value is told, in bytes.
const SHOWN_MAX: usize = 4_096;

/// Checks a decoded request.
pub(super) fn input(input: &Input<'_>) -> Result<(), Error> {
    let mut errors = Errors { told: Vec::new(), path: String::new() };
    errors.structure(input);
    let count = errors.told.len();
    if count == 0 {
        return Ok(());
    }
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("{count} validation error{plural} detected: {}", errors.told.join("; "));
    Err(Error::new(Code::ValidationException, message))
}

/// The length of a text as the constraints count it: in characters, whatever their length in bytes.
#[must_use]
pub(super) fn length(text: &str) -> u64 {
    text.chars().count() as u64
}

/// A text as messages have it: cut where it is very long.
pub(super) fn shown(text: &str) -> &str {
    match text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= SHOWN_MAX).last() {
        Some(end) => &text[..end],
        None => "",
    }
}

struct Errors {
    told: Vec<String>,
    /// Where the walk is: `records.1.member`.
    path: String,
}

impl Errors {
    fn tell(&mut self, value: &dyn fmt::Display, constraint: fmt::Arguments<'_>) {
        if self.told.len() < ERRORS_MAX {
            let mut text = "Value ".to_owned();
            let value = value.to_string();
            let _ = if value == "null" { text.write_str("null") } else { write!(text, "'{}'", shown(&value)) };
            let _ = write!(text, " at '{}' failed to satisfy constraint: {constraint}", self.path);
            self.told.push(text);
        }
    }

    /// Goes one step down the path and back.
    fn within(&mut self, step: fmt::Arguments<'_>, check: impl FnOnce(&mut Self)) {
        let from = self.path.len();
        if from > 0 {
            self.path.push('.');
        }
        let _ = self.path.write_fmt(step);
        check(self);
        self.path.truncate(from);
    }

    fn structure(&mut self, input: &Input<'_>) {
        for (member, value) in input.shape().members().iter().zip(input.members()) {
            if self.told.len() == ERRORS_MAX {
                return;
            }
            if value.is_none() && !member.required {
                continue;
            }
            self.within(format_args!("{}", LowerFirst(member.name)), |errors| errors.member(member, value.as_ref()));
        }
    }

    fn member(&mut self, member: &Member, value: Option<&Value<'_>>) {
        match value {
            Some(value) => self.value(member.shape, value),
            None => self.tell(&"null", format_args!("Member must not be null")),
        }
    }

    fn value(&mut self, shape: &'static Shape, value: &Value<'_>) {
        match value {
            Value::Null => self.tell(&"null", format_args!("Member must not be null")),
            Value::Structure(input) => self.structure(input),
            Value::List { kept, count } => {
                let shown = ShownList(shape, kept);
                self.bounds("length", &shown, *count, shape);
                let Kind::List { member, .. } = shape.kind else { return };
                if matches!(member.kind, Kind::Structure(_)) {
                    for (at, element) in kept.iter().enumerate() {
                        self.within(format_args!("{}.member", at + 1), |errors| errors.value(member, element));
                    }
                } else if !kept.iter().all(|element| is_valid(member, element)) {
                    self.tell(&shown, format_args!("Member must satisfy constraint: [{}]", Constraints(member)));
                }
            }
            Value::Map { kept, count } => {
                let shown = ShownMap(kept);
                self.bounds("length", &shown, *count, shape);
                let Kind::Map { key, value, .. } = shape.kind else { return };
                if !kept.iter().all(|(text, _)| is_valid_text(key, text)) {
                    self.tell(&shown, format_args!("Map keys must satisfy constraint: [{}]", Constraints(key)));
                }
                if !kept.iter().all(|(_, entry)| is_valid(value, entry)) {
                    self.tell(&shown, format_args!("Map value must satisfy constraint: [{}]", Constraints(value)));
                }
            }
            Value::Text(text) => {
                let Kind::String { pattern, values, .. } = shape.kind else { return };
                if let Some(pattern) = pattern
                    && !pattern.matches(text)
                {
                    let regex = pattern.regex();
                    self.tell(text, format_args!("Member must satisfy regular expression pattern: {regex}"));
                }
                self.bounds("length", text, length(text), shape);
                if !values.is_empty() && !values.contains(&text.as_ref()) {
                    let values = values.join(", ");
                    self.tell(text, format_args!("Member must satisfy enum value set: [{values}]"));
                }
            }
            Value::Blob(bytes) => self.bounds("length", &ShownBlob(bytes.len()), bytes.len() as u64, shape),
            Value::Int(value) => self.bounds("value", value, *value, shape),
            Value::Bool(_) | Value::Time(_) => {}
        }
    }

    fn bounds(&mut self, of: &str, shown: &dyn fmt::Display, measure: impl Into<i128>, shape: &Shape) {
        let (min, max) = bounds(shape);
        let measure = measure.into();
        if let Some(min) = min
            && measure < min
        {
            self.tell(shown, format_args!("Member must have {of} greater than or equal to {min}"));
        }
        if let Some(max) = max
            && measure > max
        {
            self.tell(shown, format_args!("Member must have {of} less than or equal to {max}"));
        }
    }
}

/// The bounds of whatever of a shape is bounded.
fn bounds(shape: &Shape) -> (Option<i128>, Option<i128>) {
    match shape.kind {
        Kind::List { min, max, .. }
        | Kind::Map { min, max, .. }
        | Kind::String { min, max, .. }
        | Kind::Blob { min, max } => (min.map(i128::from), max.map(i128::from)),
        Kind::Integer { min, max } | Kind::Long { min, max } => (min.map(i128::from), max.map(i128::from)),
        Kind::Structure(_) | Kind::Boolean | Kind::Timestamp => (None, None),
    }
}

/// Whether an element of a list or a value of a map is valid, where only that is told.
fn is_valid(shape: &Shape, value: &Value<'_>) -> bool {
    value.as_str().is_some_and(|text| is_valid_text(shape, text))
}

/// Whether a text satisfies every constraint of its shape.
pub(super) fn is_valid_text(shape: &Shape, text: &str) -> bool {
    let Kind::String { pattern, values, .. } = shape.kind else { return false };
    let (min, max) = bounds(shape);
    let length = i128::from(length(text));
    pattern.is_none_or(|pattern| pattern.matches(text))
        && (values.is_empty() || values.contains(&text))
        && min.is_none_or(|min| length >= min)
        && max.is_none_or(|max| length <= max)
}

/// `StreamName` as `streamName`.
struct LowerFirst(&'static str);

impl fmt::Display for LowerFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, rest) = self.0.split_at(1);
        write!(f, "{}{rest}", first.to_ascii_lowercase())
    }
}

/// The constraints of a shape of texts, as they are told for lists and maps of them.
struct Constraints(&'static Shape);

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind::String { min, max, pattern, values } = self.0.kind else { return Ok(()) };
        let told = [
            max.map(|max| format!("Member must have length less than or equal to {max}")),
            min.map(|min| format!("Member must have length greater than or equal to {min}")),
            pattern.map(|pattern| format!("Member must satisfy regular expression pattern: {}", pattern.regex())),
            (!values.is_empty()).then(|| format!("Member must satisfy enum value set: [{}]", values.join(", "))),
        ];
        f.write_str(&told.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Bytes as Java prints them.
struct ShownBlob(usize);

impl fmt::Display for ShownBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", self.0)
    }
}

/// A list as Java prints it: structures by their class and a hash.
struct ShownList<'v>(&'static Shape, &'v [Value<'v>]);

impl fmt::Display for ShownList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind::List { member, .. } = self.0.kind else { return Ok(()) };
        f.write_char('[')?;
        for (at, element) in self.1.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match element {
                Value::Text(text) => f.write_str(text)?,
                Value::Structure(_) => write!(f, "com.amazonaws.kinesis.v20131202.{}@{at:x}", member.name)?,
                _ => f.write_str("null")?,
            }
        }
        f.write_char(']')
    }
}

/// A map as Java prints it.
struct ShownMap<'v, K>(&'v [(K, Value<'v>)]);

impl<K: fmt::Display> fmt::Display for ShownMap<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (at, (key, value)) in self.0.iter().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            write!(f, "{separator}{key}={}", value.as_str().unwrap_or("null"))?;
        }
        f.write_char('}')
    }
}
