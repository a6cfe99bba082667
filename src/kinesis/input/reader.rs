//! What the two encodings have in common for who reads them.

use std::borrow::Cow;

/// How deep what the model does not know may be nested. Everything the model knows is a handful deep.
pub(crate) const DEPTH_MAX: usize = 64;

/// The body is not what its content type says. The service gives no reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What comes next in a body.
#[derive(Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    /// A whole number, cut to 64 bits.
    Int(i64),
    /// A number written with a fraction or an exponent.
    Float(f64),
    Text(Cow<'a, str>),
    /// Only CBOR has them.
    Bytes(Cow<'a, [u8]>),
    /// The elements follow.
    List(Open),
    /// The entries follow.
    Map(Open),
}

/// A list or a map that is being read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Open {
    /// How many elements or entries are to come, where that was said. An exhausted count never gives a second end.
    pub left: Option<u64>,
    /// Whether none was read yet.
    pub is_first: bool,
}

impl Open {
    pub(crate) const fn of_length(length: u64) -> Self {
        Self { left: Some(length), is_first: true }
    }

    pub(crate) const fn of_unknown_length() -> Self {
        Self { left: None, is_first: true }
    }
}

/// Reads a body, token by token. Whoever gets a [`Token::List`] calls [`element`](Self::element) until it says false, and
/// reads a value each time it says true; a [`Token::Map`] likewise with [`key`](Self::key).
pub(crate) trait Reader<'a>: Sized {
    /// Whether blobs are texts in base64; else they are bytes, and a text is none.
    const BLOBS_ARE_TEXTS: bool;
    /// How many milliseconds a whole number stands for where a time is wanted. Broken numbers are seconds.
    const MILLIS_OF_INT: i64;

    /// Before the first byte of `body`.
    fn new(body: &'a [u8]) -> Result<Self, Malformed>;
    /// The next value, or the beginning of one.
    fn token(&mut self) -> Result<Token<'a>, Malformed>;
    /// Whether a list has another element.
    fn element(&mut self, open: &mut Open) -> Result<bool, Malformed>;
    /// The key of the next entry of a map.
    fn key(&mut self, open: &mut Open) -> Result<Option<Cow<'a, str>>, Malformed>;
    /// Passes over a whole value, of whatever kind.
    fn skip(&mut self) -> Result<(), Malformed>;
    /// Nothing may follow.
    fn end(&mut self) -> Result<(), Malformed>;
}
