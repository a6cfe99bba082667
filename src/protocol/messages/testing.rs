//! What every encoded type is held to.

use std::fmt::Debug;

use super::{Decode, Encode};
use crate::codec::DecodeError;

/// Bytes from hex digits; spaces and line ends are for the eye.
pub fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Hex digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Holds `value` to the rules of an encoded type: the committed `sample`, the round trip, size computed = size written,
/// every truncation and every extra byte an error.
pub fn check<T: Encode + Decode<'static> + PartialEq + Debug>(value: &T, sample: &str) {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    assert_eq!(hex(&bytes), hex(&unhex(sample)), "{value:?} is not encoded as committed");
    assert_eq!(value.encoded_bytes(), bytes.len(), "{value:?}: size computed is not size written");
    // Values borrow from the bytes; a test may leak some.
    let bytes: &'static [u8] = bytes.leak();
    assert_eq!(&T::decode(bytes).unwrap(), value);
    for cut in 0..bytes.len() {
        assert!(T::decode(&bytes[..cut]).is_err(), "{value:?} cut at {cut} of {}", bytes.len());
    }
    let longer: &'static [u8] = [bytes, &[0]].concat().leak();
    assert!(matches!(T::decode(longer), Err(DecodeError::Trailing { extra: 1, .. })), "{value:?} with a byte more");
}

/// The field that decoding `hex` as a `T` complains about.
pub fn refused<T: Decode<'static> + Debug>(hex: &str) -> &'static str {
    match T::decode(unhex(hex).leak()).unwrap_err() {
        DecodeError::Truncated { what, .. }
        | DecodeError::Invalid { what, .. }
        | DecodeError::TooLarge { what, .. }
        | DecodeError::Utf8 { what, .. } => what,
        DecodeError::Trailing { .. } => "trailing",
    }
}
