//! Pieces of CBOR, appended to a buffer.

/// Begins a map; ended by [`BREAK`].
pub const MAP: u8 = 0xbf;
/// Begins a list; ended by [`BREAK`].
pub const LIST: u8 = 0x9f;
/// Ends a map or a list.
pub const BREAK: u8 = 0xff;

/// Tag 1: a time.
const TIME: u8 = 0xc1;

/// The longest head of an item: its type and a number of 64 bits.
const HEAD_BYTES_MAX: usize = 9;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;

/// The head of an item of a major type, and its length: numbers in the shortest form.
fn head(major: u8, value: u64) -> ([u8; HEAD_BYTES_MAX], usize) {
    let mut head = [0; HEAD_BYTES_MAX];
    let major = major << 5;
    let bytes = value.to_be_bytes();
    let (info, length) = match value {
        0..=23 => (value as u8, 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    head[0] = major | info;
    head[1..=length].copy_from_slice(&bytes[8 - length..]);
    (head, 1 + length)
}

fn push_head(out: &mut Vec<u8>, major: u8, value: u64) {
    let (head, length) = head(major, value);
    out.extend_from_slice(&head[..length]);
}

/// A text.
pub fn text(out: &mut Vec<u8>, text: &str) {
    push_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Makes a text of what was appended to `out` since it had `from` bytes.
pub fn text_since(out: &mut Vec<u8>, from: usize) {
    let (head, length) = head(TEXT, (out.len() - from) as u64);
    out.extend_from_slice(&head[..length]);
    out[from..].rotate_right(length);
}

/// Bytes.
pub fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    push_head(out, BYTES, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A whole number.
pub fn int(out: &mut Vec<u8>, value: i64) {
    if value >= 0 {
        push_head(out, UNSIGNED, value as u64);
    } else {
        // -1 is 0, -2 is 1, ...
        push_head(out, NEGATIVE, !(value as u64));
    }
}

/// True or false.
pub fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xf5 } else { 0xf4 });
}

/// A time: tag 1 and whole milliseconds, always in 64 bits. A fraction after the tag breaks clients.
pub fn time(out: &mut Vec<u8>, millis: u64) {
    out.extend_from_slice(&[TIME, 0x1b]);
    out.extend_from_slice(&millis.to_be_bytes());
}
