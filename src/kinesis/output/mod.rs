//! Answers, in both encodings from one description.
//!
//! ```
//! use millstream::kinesis::{Encoding, output::Output};
//!
//! let body = Output::structure(Encoding::Json, |answer| {
//!     answer.structure("StreamDescriptionSummary", |stream| {
//!         stream.str("StreamName", "orders");
//!         stream.int("OpenShardCount", 4);
//!     });
//! });
//! assert_eq!(body, br#"{"StreamDescriptionSummary":{"StreamName":"orders","OpenShardCount":4}}"#);
//! ```
//!
//! JSON is compact, since some clients search it as text; CBOR has maps and lists of indefinite length, as the service
//! writes them. Members that are absent are simply not written: nothing is ever null.

mod check;
#[cfg(all(test, feature = "cli"))]
mod tests;

use std::fmt::{self, Write};

use super::model::{Operation, Shape};
use super::{Encoding, cbor, json};
use crate::types::WallUs;
use check::{Check, Written};

/// Writes the bodies of answers.
pub struct Output;

impl Output {
    /// A body of its own shape, such as that of an error.
    pub fn structure(encoding: Encoding, write: impl FnOnce(&mut Fields<'_>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        Self::append(&mut out, encoding, None, write);
        out
    }

    /// The answer of an operation. Debug builds panic if what is written is not its output: a member it does not have or
    /// has as another type, one that stands twice, a required one that is missing, a text that breaks its constraints.
    pub fn answer(operation: &'static Operation, encoding: Encoding, write: impl FnOnce(&mut Fields<'_>)) -> Vec<u8> {
        debug_assert!(operation.output.is_some(), "{} answers with an empty body", operation.name);
        let mut out = Vec::with_capacity(256);
        Self::append(&mut out, encoding, operation.output, write);
        out
    }

    /// Appends a structure to a buffer, checked as an answer is if its shape is given.
    pub fn append(
        out: &mut Vec<u8>,
        encoding: Encoding,
        shape: Option<&'static Shape>,
        write: impl FnOnce(&mut Fields<'_>),
    ) {
        let mut fields = Fields { out, encoding, is_first: true, check: Check::new(shape) };
        fields.open();
        write(&mut fields);
        fields.close();
    }
}

/// The members of a structure that is being written.
pub struct Fields<'o> {
    out: &'o mut Vec<u8>,
    encoding: Encoding,
    is_first: bool,
    check: Check,
}

impl Fields<'_> {
    fn open(&mut self) {
        self.out.push(match self.encoding {
            Encoding::Json => b'{',
            Encoding::Cbor => cbor::write::MAP,
        });
    }

    fn close(&mut self) {
        self.check.close();
        self.out.push(match self.encoding {
            Encoding::Json => b'}',
            Encoding::Cbor => cbor::write::BREAK,
        });
    }

    /// What stands before a value, and the shape of the value if it is known.
    fn name(&mut self, name: &'static str, written: Written<'_>) -> Option<&'static Shape> {
        let shape = self.check.member(name, written);
        self.key(name);
        shape
    }

    fn key(&mut self, name: &str) {
        match self.encoding {
            Encoding::Json => {
                if !self.is_first {
                    self.out.push(b',');
                }
                json::write::text(self.out, name);
                self.out.push(b':');
            }
            Encoding::Cbor => cbor::write::text(self.out, name),
        }
        self.is_first = false;
    }

    fn text(&mut self, value: &str) {
        match self.encoding {
            Encoding::Json => json::write::text(self.out, value),
            Encoding::Cbor => cbor::write::text(self.out, value),
        }
    }

    /// A text.
    pub fn str(&mut self, name: &'static str, value: &str) {
        self.name(name, Written::Text(&value));
        self.text(value);
    }

    /// A text, from what shows itself as one: sequence numbers, ARNs.
    pub fn display(&mut self, name: &'static str, value: impl fmt::Display) {
        self.name(name, Written::Text(&value));
        match self.encoding {
            Encoding::Json => {
                self.out.push(b'"');
                let _ = write!(Inside(self.out), "{value}");
                self.out.push(b'"');
            }
            Encoding::Cbor => {
                let from = self.out.len();
                let _ = write!(Plain(self.out), "{value}");
                cbor::write::text_since(self.out, from);
            }
        }
    }

    /// A whole number.
    pub fn int(&mut self, name: &'static str, value: i64) {
        self.name(name, Written::Int);
        match self.encoding {
            Encoding::Json => json::write::int(self.out, value),
            Encoding::Cbor => cbor::write::int(self.out, value),
        }
    }

    /// True or false.
    pub fn bool(&mut self, name: &'static str, value: bool) {
        self.name(name, Written::Bool);
        match self.encoding {
            Encoding::Json => self.out.extend_from_slice(if value { b"true" } else { b"false" }),
            Encoding::Cbor => cbor::write::bool(self.out, value),
        }
    }

    /// A time, in whole milliseconds: seconds with a fraction in JSON, milliseconds in CBOR.
    pub fn time(&mut self, name: &'static str, value: WallUs) {
        self.name(name, Written::Time);
        match self.encoding {
            Encoding::Json => json::write::time(self.out, value.millis()),
            Encoding::Cbor => cbor::write::time(self.out, value.millis()),
        }
    }

    /// Bytes.
    pub fn blob(&mut self, name: &'static str, value: &[u8]) {
        self.name(name, Written::Blob);
        match self.encoding {
            Encoding::Json => json::write::blob(self.out, value),
            Encoding::Cbor => cbor::write::blob(self.out, value),
        }
    }

    /// A structure.
    pub fn structure(&mut self, name: &'static str, write: impl FnOnce(&mut Fields<'_>)) {
        let shape = self.name(name, Written::Structure);
        Output::append(self.out, self.encoding, shape, write);
    }

    /// A list, `each` writing its elements.
    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        let (open, close) = match self.encoding {
            Encoding::Json => (b'[', b']'),
            Encoding::Cbor => (cbor::write::LIST, cbor::write::BREAK),
        };
        self.out.push(open);
        for (at, item) in items.into_iter().enumerate() {
            if at > 0 && self.encoding == Encoding::Json {
                self.out.push(b',');
            }
            each(self, item);
        }
        self.out.push(close);
    }

    /// A list of texts.
    pub fn strings(&mut self, name: &'static str, items: impl IntoIterator<Item = impl AsRef<str>>) {
        let shape = self.name(name, Written::List);
        self.list(items, |fields, item| {
            check::element(shape, Written::Text(&item.as_ref()));
            fields.text(item.as_ref());
        });
    }

    /// A list of structures, `write` writing each.
    pub fn structures<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Fields<'_>, T),
    ) {
        let shape = self.name(name, Written::List);
        self.list(items, |fields, item| {
            let shape = check::element(shape, Written::Structure);
            Output::append(fields.out, fields.encoding, shape, |fields| write(fields, item));
        });
    }

    /// A map of texts.
    pub fn map<'t>(&mut self, name: &'static str, items: impl IntoIterator<Item = (&'t str, &'t str)>) {
        self.name(name, Written::Map);
        Output::append(self.out, self.encoding, None, |fields| {
            for (key, value) in items {
                fields.key(key);
                fields.text(value);
            }
        });
    }
}

/// Formats into a text of JSON.
struct Inside<'o>(&'o mut Vec<u8>);

impl Write for Inside<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        json::write::inside(self.0, text);
        Ok(())
    }
}

/// Formats as it is.
struct Plain<'o>(&'o mut Vec<u8>);

impl Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
