//! Reading and writing little-endian fields, for everything encoded by hand: catalogue, index files, protocol messages.
//!
//! Decode errors say where they happened (`offset`), what was missing (`need`, `have`) or which value was wrong.

#![forbid(unsafe_code)]

use thiserror::Error;

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ends inside a field.
    #[error("{what}: need {need} bytes at offset {offset}, have {have}")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// Bytes it needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// A field holds a value it cannot have.
    #[error("{what} at offset {offset}: invalid value {value}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// What stood there.
        value: u64,
    },
    /// A field exceeds its limit.
    #[error("{what} at offset {offset}: {value} exceeds the limit of {max}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// What stood there.
        value: u64,
        /// The limit.
        max: u64,
    },
    /// A text is not UTF-8.
    #[error("{what} at offset {offset}: not UTF-8")]
    Utf8 {
        /// The field.
        what: &'static str,
        /// Where it starts.
        offset: usize,
    },
    /// Bytes are left after the last field.
    #[error("{extra} bytes after the end at offset {offset}")]
    Trailing {
        /// Where the message should have ended.
        offset: usize,
        /// How many bytes follow.
        extra: usize,
    },
}

/// Takes fields off the front of a byte slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

macro_rules! read_number {
    ($($name:ident: $ty:ty),*) => {$(
        #[doc = concat!("The next field, a little-endian `", stringify!($ty), "`.")]
        pub fn $name(&mut self, what: &'static str) -> Result<$ty, DecodeError> {
            let bytes = self.take(size_of::<$ty>(), what)?;
            Ok(<$ty>::from_le_bytes(bytes.try_into().expect("take returned the size asked for")))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes taken so far.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        if n > self.remaining() {
            return Err(DecodeError::Truncated { what, offset: self.at, need: n, have: self.remaining() });
        }
        let taken = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(taken)
    }

    read_number!(u8: u8, u16: u16, u32: u32, u64: u64, u128: u128);

    /// A `u8` that must be 0 or 1.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        let offset = self.at;
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(DecodeError::Invalid { what, offset, value: value.into() }),
        }
    }

    /// Bytes with a `u16` length before them, at most `max`.
    pub fn bytes16(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let offset = self.at;
        let len = usize::from(self.u16(what)?);
        Self::within(len, max, offset, what)?;
        self.take(len, what)
    }

    /// Bytes with a `u32` length before them, at most `max`.
    pub fn bytes32(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let offset = self.at;
        let len = self.u32(what)? as usize;
        Self::within(len, max, offset, what)?;
        self.take(len, what)
    }

    /// UTF-8 text with a `u16` length in bytes before it, at most `max` bytes.
    pub fn str16(&mut self, max: usize, what: &'static str) -> Result<&'a str, DecodeError> {
        let offset = self.at;
        let bytes = self.bytes16(max, what)?;
        std::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8 { what, offset })
    }

    /// A `u32` count of things that take at least `each` bytes, at most `max`: checked against what is left, so that
    /// a lying count cannot make anybody reserve memory.
    pub fn count32(&mut self, each: usize, max: usize, what: &'static str) -> Result<usize, DecodeError> {
        let offset = self.at;
        let count = self.u32(what)? as usize;
        Self::within(count, max, offset, what)?;
        let need = count.saturating_mul(each);
        if need > self.remaining() {
            return Err(DecodeError::Truncated { what, offset: self.at, need, have: self.remaining() });
        }
        Ok(count)
    }

    /// Ends the message: an error if bytes are left.
    pub const fn end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            extra => Err(DecodeError::Trailing { offset: self.at, extra }),
        }
    }

    const fn within(value: usize, max: usize, offset: usize, what: &'static str) -> Result<(), DecodeError> {
        if value > max {
            return Err(DecodeError::TooLarge { what, offset, value: value as u64, max: max as u64 });
        }
        Ok(())
    }
}

/// Appends little-endian fields to a byte vector. The counterpart of [`Reader`], field by field.
pub trait Write {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Appends a `u8`.
    fn put_u8(&mut self, v: u8) {
        self.put(&[v]);
    }
    /// Appends a `u16`.
    fn put_u16(&mut self, v: u16) {
        self.put(&v.to_le_bytes());
    }
    /// Appends a `u32`.
    fn put_u32(&mut self, v: u32) {
        self.put(&v.to_le_bytes());
    }
    /// Appends a `u64`.
    fn put_u64(&mut self, v: u64) {
        self.put(&v.to_le_bytes());
    }
    /// Appends a `u128`.
    fn put_u128(&mut self, v: u128) {
        self.put(&v.to_le_bytes());
    }
    /// Appends a `bool` as 0 or 1.
    fn put_bool(&mut self, v: bool) {
        self.put_u8(v.into());
    }
    /// Appends bytes with a `u16` length before them. Panics above 65,535 bytes: the caller checked its limit.
    fn put_bytes16(&mut self, bytes: &[u8]) {
        self.put_u16(u16::try_from(bytes.len()).expect("the caller keeps to a limit below 64 KiB"));
        self.put(bytes);
    }
    /// Appends bytes with a `u32` length before them. Panics above 4 GiB: the caller checked its limit.
    fn put_bytes32(&mut self, bytes: &[u8]) {
        self.put_u32(u32::try_from(bytes.len()).expect("the caller keeps to a limit below 4 GiB"));
        self.put(bytes);
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Write for bytes::BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is written is read back, and every truncation is an error that names the field.
    #[test]
    fn fields_round_trip_and_truncations_fail() {
        let mut out = Vec::new();
        out.put_u8(7);
        out.put_u16(300);
        out.put_u32(70_000);
        out.put_u64(1 << 40);
        out.put_u128(1 << 100);
        out.put_bool(true);
        out.put_bytes16("schön".as_bytes());
        out.put_bytes32(b"data");

        let decode = |bytes: &[u8]| -> Result<(), DecodeError> {
            let mut r = Reader::new(bytes);
            assert_eq!(r.u8("a")?, 7);
            assert_eq!(r.u16("b")?, 300);
            assert_eq!(r.u32("c")?, 70_000);
            assert_eq!(r.u64("d")?, 1 << 40);
            assert_eq!(r.u128("e")?, 1 << 100);
            assert!(r.bool("f")?);
            assert_eq!(r.str16(10, "g")?, "schön");
            assert_eq!(r.bytes32(4, "h")?, b"data");
            r.end()
        };
        decode(&out).unwrap();
        for cut in 0..out.len() {
            assert!(matches!(decode(&out[..cut]), Err(DecodeError::Truncated { .. })), "cut at {cut}");
        }
        out.push(0);
        assert_eq!(decode(&out), Err(DecodeError::Trailing { offset: out.len() - 1, extra: 1 }));
    }

    /// Goal: a count that lies is refused before anybody allocates for it.
    #[test]
    fn lying_counts_are_refused() {
        let bytes = u32::MAX.to_le_bytes();
        let err = Reader::new(&bytes).count32(8, usize::MAX, "entries").unwrap_err();
        assert!(matches!(err, DecodeError::Truncated { .. }));
        let err = Reader::new(&bytes).count32(8, 100, "entries").unwrap_err();
        assert!(matches!(err, DecodeError::TooLarge { .. }));
    }
}
