//! Base64 of blobs in JSON, with the reasons the service gives.

use crate::kinesis::validate::shown;

/// The bytes of a blob.
///
/// # Errors
///
/// The message of the `SerializationException`.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    base64_simd::STANDARD.decode_to_vec(text).map_err(|_| {
        let reason = reason(text.as_bytes());
        format!("'{}' can not be converted to a Blob: {reason}", shown(text))
    })
}

/// What is wrong with a text that is not base64.
fn reason(text: &[u8]) -> String {
    if !text.len().is_multiple_of(4) {
        return format!("Base64 encoded length is expected a multiple of 4 bytes but found: {}", text.len());
    }
    // Up to two signs of padding, at the very end.
    let padding = text.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match text[..text.len() - padding].iter().find(|byte| !is_digit(byte)) {
        Some(byte) => format!("Invalid Base64 character: '{}'", char::from(*byte)),
        // Its spelling is the service's.
        None => "Invalid last non-pad Base64 character dectected".to_owned(),
    }
}
