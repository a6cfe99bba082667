//! JSON, as far as the fast way takes it: texts without escapes, data in base64 with padding.

use base64_simd::STANDARD;
use memchr::memchr;

use super::{Blob, Text, Tokens, Unusual};

/// A JSON body from `at` on.
pub(super) struct Json<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Json<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// The next byte that is no white space.
    #[inline(always)]
    fn token(&mut self) -> Option<u8> {
        loop {
            let byte = *self.body.get(self.at)?;
            self.at += 1;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
        }
    }

    #[inline]
    fn expect(&mut self, token: u8) -> Option<()> {
        (self.token()? == token).then_some(())
    }

    /// The text behind an opening quote, and its closing quote. Eight bytes at a time: member names and keys are short, and
    /// have no escapes or control characters.
    #[inline(always)]
    fn quoted(&mut self) -> Option<Text<'a>> {
        let at = self.at;
        let mut end = at;
        loop {
            let Some(eight) = self.body.get(end..).and_then(<[u8]>::first_chunk) else {
                end += self.body[end..].iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
                break;
            };
            let found = special(u64::from_le_bytes(*eight));
            if found != 0 {
                end += found.trailing_zeros() as usize / 8;
                break;
            }
            end += 8;
        }
        if self.body[end] != b'"' {
            return None;
        }
        self.at = end + 1;
        Some(Text { at, bytes: &self.body[at..end] })
    }
}

/// The top bit of the first byte that is a quote, a backslash or a control character; perhaps of later ones, wrongly too.
#[inline]
const fn special(eight: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Bytes below n: taking n from each leaves the top bit set there. What is borrowed moves upwards, to later bytes.
    const fn below(eight: u64, n: u64) -> u64 {
        eight.wrapping_sub(ONES * n) & !eight
    }
    let quotes = below(eight ^ (ONES * b'"' as u64), 1);
    let backslashes = below(eight ^ (ONES * b'\\' as u64), 1);
    (quotes | backslashes | below(eight, 0x20)) & (ONES * 0x80)
}

impl<'a> Tokens<'a> for Json<'a> {
    /// Whether nothing has been taken from it.
    type Level = bool;

    #[inline]
    fn open_map(&mut self) -> Option<bool> {
        self.expect(b'{').map(|()| true)
    }

    #[inline]
    fn open_list(&mut self) -> Option<bool> {
        self.expect(b'[').map(|()| true)
    }

    #[inline(always)]
    fn name(&mut self, is_new: &mut bool) -> Option<Option<&'a [u8]>> {
        match (self.token()?, *is_new) {
            (b'}', _) => return Some(None),
            (b'"', true) => *is_new = false,
            (b',', false) => self.expect(b'"')?,
            _ => return None,
        }
        let name = self.quoted()?.bytes;
        self.expect(b':')?;
        Some(Some(name))
    }

    #[inline]
    fn item(&mut self, is_new: &mut bool) -> Option<bool> {
        match (self.token()?, *is_new) {
            (b']', _) => Some(false),
            (b',', false) => Some(true),
            (_, true) => {
                *is_new = false;
                // The first item begins with this token.
                self.at -= 1;
                Some(true)
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn text(&mut self) -> Option<Text<'a>> {
        self.expect(b'"')?;
        self.quoted()
    }

    /// Data: long, so its end is searched with the widest registers there are. Escapes and control characters in it are no
    /// base64 and are met when it is decoded; a quote behind a backslash ends it too early, with the backslash in it.
    #[inline(always)]
    fn blob(&mut self) -> Option<Blob> {
        self.expect(b'"')?;
        let rest = &self.body[self.at..];
        let len = memchr(b'"', rest)?;
        let decoded_len = STANDARD.decoded_length(&rest[..len]).ok()?;
        let blob = Blob { at: self.at, len, decoded_len };
        self.at += len + 1;
        Some(blob)
    }

    fn boolean(&mut self) -> Option<bool> {
        let (word, value): (&[u8], bool) = match self.token()? {
            b't' => (b"rue", true),
            b'f' => (b"alse", false),
            _ => return None,
        };
        let end = self.at + word.len();
        if self.body.get(self.at..end)? != word {
            return None;
        }
        self.at = end;
        Some(value)
    }

    fn end(mut self) -> Option<()> {
        if self.token().is_none() { Some(()) } else { None }
    }
}

/// Bytes of base64 when decoded. Its length and padding were checked.
#[inline]
pub(super) fn decoded_len(data: &[u8]) -> usize {
    let padding = data.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    data.len() / 4 * 3 - padding
}

/// Appends the data. Only what is in the alphabet, padded to groups of four, with no bits left over.
#[inline]
pub(super) fn decode(data: &[u8], out: &mut Vec<u8>) -> Result<(), Unusual> {
    // Appending reserves exactly what it needs, which would copy the buffer for every record.
    out.reserve(data.len() / 4 * 3);
    STANDARD.decode_append(data, out).map_err(|_| Unusual)
}
