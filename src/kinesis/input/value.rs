//! A decoded value.

use std::borrow::Cow;

use super::Input;

/// A value of a request, of the type its shape says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// Stands in lists and maps only, and only until validation.
    Null,
    Bool(bool),
    Int(i64),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    Text(Cow<'a, str>),
    Blob(Cow<'a, [u8]>),
    Structure(Input<'a>),
    List {
        /// As many elements as the list may have.
        kept: Vec<Value<'a>>,
        /// How many there were.
        count: u64,
    },
    Map {
        /// As many entries as the map may have, sorted by key.
        kept: Vec<(Cow<'a, str>, Value<'a>)>,
        /// How many there were, as far as they are known to be distinct.
        count: u64,
    },
}

impl<'a> Value<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_structure(&self) -> Option<&Input<'a>> {
        match self {
            Self::Structure(input) => Some(input),
            _ => None,
        }
    }
}
