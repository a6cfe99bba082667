//! Requests: a body in either encoding becomes an [`Input`], type-checked and validated against the operation's shape.
//!
//! ```text
//!   body --reader--> tokens --decode, driven by the shape--> Value --validate--> Input
//!            |                        |                                  |
//!     not JSON / CBOR          another type                    breaks a constraint
//!   SerializationException   SerializationException            ValidationException
//!     without a message        with a message          "N validation errors detected: ..."
//! ```
//!
//! Liberal as the service is: unknown members are passed over, `null` is as good as absent, of a member that stands twice
//! the last counts. Everything is bounded: what is unknown by its depth, lists and maps by their greatest length (further
//! elements are checked and counted, but not kept), texts and blobs by the body they come from.

mod base64;
mod decode;
pub(crate) mod reader;
#[cfg(all(test, feature = "cli"))]
mod tests;
mod value;

use std::borrow::Cow;

use super::error::{Code, Error};
use super::model::{Kind, Operation, Shape};
use super::{Encoding, cbor, json, validate};
use decode::Fault;
use reader::{Malformed, Reader};
pub(crate) use value::Value;

/// A decoded structure, valid as far as the model can say. Texts and bytes are borrowed from the body where they stand there
/// as they are.
///
/// Asking for a member the shape does not have, or as another type, is a bug of ours: it panics in debug builds, and gives
/// `None` in others.
#[derive(Clone, Debug, PartialEq)]
pub struct Input<'a> {
    shape: &'static Shape,
    /// One slot for each member of the shape, in its order.
    members: Box<[Option<Value<'a>>]>,
}

/// Whether a body is one whole document of the encoding, whatever it says.
#[must_use]
pub fn is_well_formed(encoding: Encoding, body: &[u8]) -> bool {
    fn read<'a, R: Reader<'a>>(body: &'a [u8]) -> Result<(), Malformed> {
        let mut reader = R::new(body)?;
        reader.skip()?;
        reader.end()
    }
    match encoding {
        Encoding::Json => read::<json::Reader<'_>>(body).is_ok(),
        Encoding::Cbor => read::<cbor::Reader<'_>>(body).is_ok(),
    }
}

/// Decodes a structure of any shape without validating it, for tests of what was written.
#[cfg(all(test, feature = "cli"))]
pub(super) fn testing_decode<'a>(shape: &'static Shape, encoding: Encoding, body: &'a [u8]) -> Option<Input<'a>> {
    match encoding {
        Encoding::Json => decode::whole::<json::Reader<'_>>(shape, body).ok(),
        Encoding::Cbor => decode::whole::<cbor::Reader<'_>>(shape, body).ok(),
    }
}

impl<'a> Input<'a> {
    /// Decodes and validates the body of a request.
    ///
    /// # Errors
    ///
    /// `SerializationException` if the body cannot be parsed (no message) or has a value of a wrong type (with one);
    /// `ValidationException` if it breaks constraints.
    pub fn decode(operation: &'static Operation, encoding: Encoding, body: &'a [u8]) -> Result<Self, Error> {
        let decoded = match encoding {
            Encoding::Json => decode::whole::<json::Reader<'_>>(operation.input, body),
            Encoding::Cbor => decode::whole::<cbor::Reader<'_>>(operation.input, body),
        };
        let input = decoded.map_err(|fault| match fault {
            // The service parses the whole body before it looks at types.
            Fault::Type(message) if is_well_formed(encoding, body) => Error::new(Code::SerializationException, message),
            Fault::Type(_) | Fault::Malformed => Error::bare(Code::SerializationException),
        })?;
        validate::input(&input)?;
        Ok(input)
    }

    pub(super) fn new(shape: &'static Shape) -> Self {
        Self { shape, members: std::iter::repeat_with(|| None).take(shape.members().len()).collect() }
    }

    pub(super) fn shape(&self) -> &'static Shape {
        self.shape
    }

    pub(super) fn members(&self) -> &[Option<Value<'a>>] {
        &self.members
    }

    pub(super) fn members_mut(&mut self) -> &mut [Option<Value<'a>>] {
        &mut self.members
    }

    /// The value of a member, which must be of one of the `kinds` the caller can take.
    fn value(&self, name: &str, is_wanted: impl Fn(&Kind) -> bool) -> Option<&Value<'a>> {
        let Some((at, member)) = self.shape.member(name) else {
            debug_assert!(false, "{} has no member {name}", self.shape.name);
            return None;
        };
        debug_assert!(is_wanted(&member.shape.kind), "{name} of {} is a {:?}", self.shape.name, member.shape.kind);
        self.members[at].as_ref()
    }

    /// Whether the member is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name, |_| true).is_some()
    }

    /// A text.
    #[must_use]
    pub fn str(&self, name: &str) -> Option<&str> {
        self.value(name, |kind| matches!(kind, Kind::String { .. }))?.as_str()
    }

    /// A whole number.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.value(name, |kind| matches!(kind, Kind::Integer { .. } | Kind::Long { .. }))? {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// True or false.
    #[must_use]
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.value(name, |kind| matches!(kind, Kind::Boolean))? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A time: milliseconds since the Unix epoch, perhaps before it.
    #[must_use]
    pub fn time_ms(&self, name: &str) -> Option<i64> {
        match self.value(name, |kind| matches!(kind, Kind::Timestamp))? {
            Value::Time(value) => Some(*value),
            _ => None,
        }
    }

    /// Bytes.
    #[must_use]
    pub fn blob(&self, name: &str) -> Option<&[u8]> {
        match self.value(name, |kind| matches!(kind, Kind::Blob { .. }))? {
            Value::Blob(value) => Some(value),
            _ => None,
        }
    }

    /// A structure.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<&Input<'a>> {
        self.value(name, |kind| matches!(kind, Kind::Structure(_)))?.as_structure()
    }

    /// A list of texts.
    #[must_use]
    pub fn strings(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let is_wanted =
            |kind: &Kind| matches!(kind, Kind::List { member, .. } if matches!(member.kind, Kind::String { .. }));
        match self.value(name, is_wanted)? {
            Value::List { kept, .. } => Some(kept.iter().filter_map(Value::as_str)),
            _ => None,
        }
    }

    /// A list of structures. A valid list has no nulls, so the count is that of the elements sent.
    #[must_use]
    pub fn structures(&self, name: &str) -> Option<impl ExactSizeIterator<Item = &Input<'a>>> {
        let is_wanted =
            |kind: &Kind| matches!(kind, Kind::List { member, .. } if matches!(member.kind, Kind::Structure(_)));
        match self.value(name, is_wanted)? {
            Value::List { kept, .. } => Some(
                kept.iter().map(|value| value.as_structure().expect("validated lists of structures hold structures")),
            ),
            _ => None,
        }
    }

    /// A map of texts, sorted by key.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
        match self.value(name, |kind| matches!(kind, Kind::Map { .. }))? {
            Value::Map { kept, .. } => {
                Some(kept.iter().filter_map(|(key, value)| Some((Cow::as_ref(key), value.as_str()?))))
            }
            _ => None,
        }
    }
}
