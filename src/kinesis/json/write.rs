//! Pieces of JSON, appended to a buffer.

/// Bytes looked at together for something to escape.
const BLOCK: usize = 32;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A text in quotes.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    inside(out, text);
    out.push(b'"');
}

/// What stands between the quotes of a text.
pub fn inside(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if !bytes.chunks(BLOCK).any(block_needs_escape) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Without early exit, so that the compiler does a block in a few vector instructions.
fn block_needs_escape(block: &[u8]) -> bool {
    block.iter().fold(false, |found, byte| found | needs_escape(*byte))
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// A whole number.
pub fn int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A time: seconds with exactly three decimals, so that no rounding of floats meets it.
pub fn time(out: &mut Vec<u8>, millis: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(millis / 1_000).as_bytes());
    let rest = millis % 1_000;
    let digit = |n: u64| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

/// Bytes in base64, in quotes.
pub fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    base64_simd::STANDARD.encode_append(bytes, out);
    out.push(b'"');
}
