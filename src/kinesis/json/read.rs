//! A strict reader of JSON (RFC 8259) that hands out one token at a time. Nothing is allocated but texts with escapes.

use std::borrow::Cow;

use crate::kinesis::input::reader::{self, DEPTH_MAX, Malformed, Open, Token};

/// Reads one JSON document.
pub(crate) struct Reader<'a> {
    /// The whole of it; known to be UTF-8, so that every span between quotes is.
    text: &'a str,
    at: usize,
}

/// A text as it stands between its quotes.
struct Span<'a> {
    raw: &'a str,
    has_escapes: bool,
}

impl<'a> Reader<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    /// The next byte that is no blank.
    fn next(&mut self) -> Result<u8, Malformed> {
        while let Some(byte) = self.peek() {
            self.at += 1;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(byte);
            }
        }
        Err(Malformed)
    }

    fn word(&mut self, rest: &str, token: Token<'a>) -> Result<Token<'a>, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(rest.as_bytes()) {
            return Err(Malformed);
        }
        self.at += rest.len();
        Ok(token)
    }

    /// The text whose opening quote was read.
    fn span(&mut self) -> Result<Span<'a>, Malformed> {
        let from = self.at;
        let mut has_escapes = false;
        loop {
            let rest = &self.bytes()[self.at..];
            self.at += memchr::memchr2(b'"', b'\\', rest).ok_or(Malformed)?;
            if self.bytes()[self.at] == b'"' {
                break;
            }
            has_escapes = true;
            self.at += 1;
            self.escape()?;
        }
        let raw = &self.text[from..self.at];
        self.at += 1;
        // Bytes below the blank must be escaped. Without early exit, for the sake of vector instructions.
        let has_control = |block: &[u8]| block.iter().fold(false, |found, byte| found | (*byte < 0x20));
        if raw.as_bytes().chunks(32).any(has_control) {
            return Err(Malformed);
        }
        Ok(Span { raw, has_escapes })
    }

    /// The character whose backslash was read.
    fn escape(&mut self) -> Result<char, Malformed> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                let second = match unit {
                    0xd800..=0xdbff if self.bytes()[self.at..].starts_with(b"\\u") => {
                        self.at += 2;
                        Some(self.hex()?)
                    }
                    _ => None,
                };
                // Halves of a pair alone are no text.
                let mut chars = char::decode_utf16([Some(unit), second].into_iter().flatten());
                let decoded = chars.next().and_then(Result::ok).ok_or(Malformed)?;
                if chars.next().is_some() {
                    return Err(Malformed);
                }
                decoded
            }
            _ => return Err(Malformed),
        })
    }

    fn hex(&mut self) -> Result<u16, Malformed> {
        let digits = self.bytes().get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        digits.iter().try_fold(0, |value, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or(Malformed)?;
            Ok(value << 4 | digit as u16)
        })
    }

    /// The text whose opening quote was read, decoded.
    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let span = self.span()?;
        if !span.has_escapes {
            return Ok(Cow::Borrowed(span.raw));
        }
        // An escape is never shorter than its character.
        let mut decoded = String::with_capacity(span.raw.len());
        let mut inner = Reader { text: span.raw, at: 0 };
        while let Some(found) = memchr::memchr(b'\\', &inner.bytes()[inner.at..]) {
            decoded.push_str(&inner.text[inner.at..inner.at + found]);
            inner.at += found + 1;
            decoded.push(inner.escape()?);
        }
        decoded.push_str(&inner.text[inner.at..]);
        Ok(Cow::Owned(decoded))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from { Err(Malformed) } else { Ok(()) }
    }

    /// The number whose first byte was read.
    fn number(&mut self) -> Result<Token<'a>, Malformed> {
        self.at -= 1;
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            is_whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            is_whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let written = &self.text[from..self.at];
        if is_whole {
            // What does not fit is cut to the nearest that does, as the service does.
            let nearest = if written.starts_with('-') { i64::MIN } else { i64::MAX };
            return Ok(Token::Int(written.parse().unwrap_or(nearest)));
        }
        written.parse().map(Token::Float).map_err(|_| Malformed)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Malformed> {
        match self.next()? {
            b'"' => self.span().map(|_| ()),
            b'[' => {
                let mut open = Open::of_unknown_length();
                let depth = depth.checked_sub(1).ok_or(Malformed)?;
                while reader::Reader::element(self, &mut open)? {
                    self.skip_within(depth)?;
                }
                Ok(())
            }
            b'{' => {
                let mut open = Open::of_unknown_length();
                let depth = depth.checked_sub(1).ok_or(Malformed)?;
                while self.entry(&mut open)? {
                    self.span()?;
                    self.colon()?;
                    self.skip_within(depth)?;
                }
                Ok(())
            }
            _ => {
                self.at -= 1;
                reader::Reader::token(self).map(|_| ())
            }
        }
    }

    /// Whether a map goes on; if so, the opening quote of the key was read.
    fn entry(&mut self, open: &mut Open) -> Result<bool, Malformed> {
        match (self.next()?, std::mem::replace(&mut open.is_first, false)) {
            (b'}', _) => Ok(false),
            (b'"', true) => Ok(true),
            (b',', false) if self.next()? == b'"' => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn colon(&mut self) -> Result<(), Malformed> {
        if self.next()? == b':' { Ok(()) } else { Err(Malformed) }
    }
}

impl<'a> reader::Reader<'a> for Reader<'a> {
    const BLOBS_ARE_TEXTS: bool = true;
    /// Whole numbers are seconds.
    const MILLIS_OF_INT: i64 = 1_000;

    fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
        Ok(Self { text, at: 0 })
    }

    fn token(&mut self) -> Result<Token<'a>, Malformed> {
        match self.next()? {
            b'"' => self.string().map(Token::Text),
            b'{' => Ok(Token::Map(Open::of_unknown_length())),
            b'[' => Ok(Token::List(Open::of_unknown_length())),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("rue", Token::Bool(true)),
            b'f' => self.word("alse", Token::Bool(false)),
            b'n' => self.word("ull", Token::Null),
            _ => Err(Malformed),
        }
    }

    fn element(&mut self, open: &mut Open) -> Result<bool, Malformed> {
        let byte = self.next()?;
        match (byte, std::mem::replace(&mut open.is_first, false)) {
            (b']', _) => Ok(false),
            (_, true) => {
                self.at -= 1;
                Ok(true)
            }
            (b',', false) => {
                // What follows a comma is an element: `[1,]` is malformed, which its token says.
                Ok(true)
            }
            _ => Err(Malformed),
        }
    }

    fn key(&mut self, open: &mut Open) -> Result<Option<Cow<'a, str>>, Malformed> {
        if !self.entry(open)? {
            return Ok(None);
        }
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_within(DEPTH_MAX)
    }

    fn end(&mut self) -> Result<(), Malformed> {
        if self.next().is_ok() { Err(Malformed) } else { Ok(()) }
    }
}
