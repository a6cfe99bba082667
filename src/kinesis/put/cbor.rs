//! CBOR, as far as the fast way takes it: maps and lists of either kind, texts and byte strings in one piece.

use super::{Blob, Text, Tokens};

/// The types of things.
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;

/// Ends a map or list of unknown length.
const BREAK: u8 = 0xff;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;

/// A CBOR body from `at` on.
pub(super) struct Cbor<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Cbor<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { body, at: 0 }
    }

    /// The length or count that begins a thing of this type; `Some(None)` if it is said to be unknown.
    #[inline(always)]
    fn head(&mut self, kind: u8) -> Option<Option<u64>> {
        let first = *self.body.get(self.at)?;
        if first >> 5 != kind {
            return None;
        }
        self.at += 1;
        let bytes = match first & 0x1f {
            small @ 0..24 => return Some(Some(small.into())),
            long @ 24..=27 => 1 << (long - 24),
            31 => return Some(None),
            _ => return None,
        };
        let number = self.body.get(self.at..self.at + bytes)?;
        self.at += bytes;
        Some(Some(number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
    }

    /// A text or a byte string.
    #[inline(always)]
    fn string(&mut self, kind: u8) -> Option<Text<'a>> {
        let len = usize::try_from(self.head(kind)??).ok()?;
        let bytes = self.body[self.at..].get(..len)?;
        let string = Text { at: self.at, bytes };
        self.at += len;
        Some(string)
    }

    /// Whether a map or list goes on. Takes what ends it.
    #[inline]
    fn goes_on(&mut self, left: &mut Option<u64>) -> Option<bool> {
        match left {
            Some(0) => Some(false),
            Some(n) => {
                *n -= 1;
                Some(true)
            }
            None if *self.body.get(self.at)? == BREAK => {
                self.at += 1;
                Some(false)
            }
            None => Some(true),
        }
    }
}

impl<'a> Tokens<'a> for Cbor<'a> {
    /// How many members or items are left, if that was said.
    type Level = Option<u64>;

    #[inline]
    fn open_map(&mut self) -> Option<Option<u64>> {
        self.head(MAP)
    }

    #[inline]
    fn open_list(&mut self) -> Option<Option<u64>> {
        self.head(LIST)
    }

    #[inline(always)]
    fn name(&mut self, left: &mut Option<u64>) -> Option<Option<&'a [u8]>> {
        Some(if self.goes_on(left)? { Some(self.string(TEXT)?.bytes) } else { None })
    }

    #[inline]
    fn item(&mut self, left: &mut Option<u64>) -> Option<bool> {
        self.goes_on(left)
    }

    #[inline(always)]
    fn text(&mut self) -> Option<Text<'a>> {
        self.string(TEXT)
    }

    #[inline(always)]
    fn blob(&mut self) -> Option<Blob> {
        let Text { at, bytes } = self.string(BYTES)?;
        Some(Blob { at, len: bytes.len(), decoded_len: bytes.len() })
    }

    fn boolean(&mut self) -> Option<bool> {
        let byte = *self.body.get(self.at)?;
        self.at += 1;
        match byte {
            FALSE => Some(false),
            TRUE => Some(true),
            _ => None,
        }
    }

    fn end(self) -> Option<()> {
        (self.at == self.body.len()).then_some(())
    }
}
