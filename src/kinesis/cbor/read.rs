//! A reader of CBOR (RFC 8949) that hands out one token at a time, liberal where clients differ: definite and indefinite
//! lengths, any length of number, tags are passed over. Nothing is allocated but strings that come in chunks.

use std::borrow::Cow;

use crate::kinesis::input::reader::{self, DEPTH_MAX, Malformed, Open, Token};

/// Reads one CBOR item.
pub(crate) struct Reader<'a> {
    /// What is left to read.
    rest: &'a [u8],
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

const BREAK: u8 = 0xff;

/// The head of an item.
enum Head {
    /// A major type and its number.
    Number(u8, u64),
    /// A major type of indefinite length.
    Indefinite(u8),
    /// False, true, null, undefined.
    Simple(u8),
    Float(f64),
    Break,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        // Checked against what is there, so a length costs nothing before its bytes have come.
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn big_endian(&mut self, length: u64) -> Result<u64, Malformed> {
        Ok(self.take(length)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        Ok(match (major, info) {
            (7, 20..=23) => Head::Simple(info),
            (7, 25) => Head::Float(half(self.big_endian(2)? as u16)),
            (7, 26) => Head::Float(f64::from(f32::from_bits(self.big_endian(4)? as u32))),
            (7, 27) => Head::Float(f64::from_bits(self.big_endian(8)?)),
            (7, 31) => Head::Break,
            (BYTES | TEXT | ARRAY | MAP, 31) => Head::Indefinite(major),
            (UNSIGNED..=TAG, 0..=23) => Head::Number(major, u64::from(info)),
            (UNSIGNED..=TAG, 24..=27) => Head::Number(major, self.big_endian(1 << (info - 24))?),
            _ => return Err(Malformed),
        })
    }

    /// The head of an item, behind its tags.
    fn untagged(&mut self) -> Result<Head, Malformed> {
        loop {
            match self.head()? {
                Head::Number(TAG, _) => {}
                head => return Ok(head),
            }
        }
    }

    /// The bytes of a string of the major type `wanted` that comes in chunks.
    fn chunks(&mut self, wanted: u8, mut each: impl FnMut(&'a [u8]) -> Result<(), Malformed>) -> Result<(), Malformed> {
        loop {
            match self.head()? {
                Head::Break => return Ok(()),
                Head::Number(major, length) if major == wanted => each(self.take(length)?)?,
                _ => return Err(Malformed),
            }
        }
    }

    fn text_in_chunks(&mut self) -> Result<String, Malformed> {
        let mut text = String::new();
        self.chunks(TEXT, |chunk| {
            text.push_str(utf8(chunk)?);
            Ok(())
        })?;
        Ok(text)
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), Malformed> {
        match self.untagged()? {
            Head::Number(BYTES, length) => self.take(length).map(|_| ()),
            Head::Number(TEXT, length) => utf8(self.take(length)?).map(|_| ()),
            Head::Indefinite(BYTES) => self.chunks(BYTES, |_| Ok(())),
            Head::Indefinite(TEXT) => self.chunks(TEXT, |chunk| utf8(chunk).map(|_| ())),
            Head::Number(ARRAY, length) => self.skip_elements(Open::of_length(length), depth),
            Head::Indefinite(ARRAY) => self.skip_elements(Open::of_unknown_length(), depth),
            Head::Number(MAP, length) => self.skip_entries(Open::of_length(length), depth),
            Head::Indefinite(MAP) => self.skip_entries(Open::of_unknown_length(), depth),
            Head::Break => Err(Malformed),
            Head::Number(..) | Head::Indefinite(_) | Head::Simple(_) | Head::Float(_) => Ok(()),
        }
    }

    fn skip_elements(&mut self, mut open: Open, depth: usize) -> Result<(), Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        while reader::Reader::element(self, &mut open)? {
            self.skip_within(depth)?;
        }
        Ok(())
    }

    fn skip_entries(&mut self, mut open: Open, depth: usize) -> Result<(), Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        while reader::Reader::key(self, &mut open)?.is_some() {
            self.skip_within(depth)?;
        }
        Ok(())
    }
}

impl<'a> reader::Reader<'a> for Reader<'a> {
    const BLOBS_ARE_TEXTS: bool = false;
    /// Whole numbers are milliseconds.
    const MILLIS_OF_INT: i64 = 1;

    fn new(body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { rest: body })
    }

    fn token(&mut self) -> Result<Token<'a>, Malformed> {
        Ok(match self.untagged()? {
            // What does not fit is cut to the nearest that does.
            Head::Number(UNSIGNED, value) => Token::Int(i64::try_from(value).unwrap_or(i64::MAX)),
            Head::Number(NEGATIVE, value) => Token::Int(i64::try_from(value).map_or(i64::MIN, |value| !value)),
            Head::Number(BYTES, length) => Token::Bytes(Cow::Borrowed(self.take(length)?)),
            Head::Number(TEXT, length) => Token::Text(Cow::Borrowed(utf8(self.take(length)?)?)),
            Head::Indefinite(BYTES) => {
                let mut bytes = Vec::new();
                self.chunks(BYTES, |chunk| {
                    bytes.extend_from_slice(chunk);
                    Ok(())
                })?;
                Token::Bytes(Cow::Owned(bytes))
            }
            Head::Indefinite(TEXT) => Token::Text(Cow::Owned(self.text_in_chunks()?)),
            Head::Number(ARRAY, length) => Token::List(Open::of_length(length)),
            Head::Indefinite(ARRAY) => Token::List(Open::of_unknown_length()),
            Head::Number(MAP, length) => Token::Map(Open::of_length(length)),
            Head::Indefinite(MAP) => Token::Map(Open::of_unknown_length()),
            Head::Simple(20) => Token::Bool(false),
            Head::Simple(21) => Token::Bool(true),
            Head::Simple(_) => Token::Null,
            Head::Float(value) => Token::Float(value),
            Head::Break | Head::Number(..) | Head::Indefinite(_) => return Err(Malformed),
        })
    }

    fn element(&mut self, open: &mut Open) -> Result<bool, Malformed> {
        if let Some(left) = open.left {
            open.left = left.checked_sub(1);
            return if open.left.is_some() { Ok(true) } else { Ok(false) };
        }
        if self.rest.first() == Some(&BREAK) {
            self.rest = &self.rest[1..];
            return Ok(false);
        }
        Ok(true)
    }

    fn key(&mut self, open: &mut Open) -> Result<Option<Cow<'a, str>>, Malformed> {
        if !self.element(open)? {
            return Ok(None);
        }
        match self.untagged()? {
            Head::Number(TEXT, length) => Ok(Some(Cow::Borrowed(utf8(self.take(length)?)?))),
            Head::Indefinite(TEXT) => Ok(Some(Cow::Owned(self.text_in_chunks()?))),
            _ => Err(Malformed),
        }
    }

    fn skip(&mut self) -> Result<(), Malformed> {
        self.skip_within(DEPTH_MAX)
    }

    fn end(&mut self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// A float of 16 bits: 1 of sign, 5 of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
