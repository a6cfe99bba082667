//! The same thing in either encoding: texts, numbers, names of shards.

use crate::kinesis::Encoding;
use crate::types::ShardNumber;

/// Writes the same thing in either encoding.
pub(super) struct Form<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) encoding: Encoding,
}

impl Form<'_> {
    /// Appends what stands for it in the answer's encoding.
    #[inline]
    pub(super) fn put(&mut self, json: &[u8], cbor: &[u8]) {
        let bytes = match self.encoding {
            Encoding::Json => json,
            Encoding::Cbor => cbor,
        };
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn number(&mut self, n: usize) {
        match self.encoding {
            Encoding::Json => self.out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
            Encoding::Cbor => cbor_head(self.out, UNSIGNED, n),
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.encoding {
            Encoding::Json => {
                self.out.push(b'"');
                json_text(self.out, text);
                self.out.push(b'"');
            }
            Encoding::Cbor => cbor_text(self.out, text),
        }
    }
}

/// A shard's name, as [`ShardNumber`] displays it.
pub(super) fn shard_id(shard: ShardNumber) -> [u8; 20] {
    let mut name = *b"shardId-000000000000";
    let mut number = itoa::Buffer::new();
    let number = number.format(shard.0).as_bytes();
    let at = name.len() - number.len();
    name[at..].copy_from_slice(number);
    name
}

/// Appends a text in JSON without the quotes around it: as it is, unless something in it must be escaped, which is rare.
#[inline]
pub(super) fn json_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // Without an early end it takes many bytes at a time.
    let is_plain = bytes.iter().fold(true, |so_far, byte| so_far & !must_be_escaped(*byte));
    if is_plain {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(out, bytes);
    }
}

const fn must_be_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cold]
fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            ..0x20 => {
                out.extend_from_slice(br"\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
            }
            _ => out.push(byte),
        }
    }
}

/// CBOR's types of things.
const UNSIGNED: u8 = 0;
pub(super) const BYTES: u8 = 2;
const TEXT: u8 = 3;

/// Begins a thing of a type with its length, or is a number.
#[inline]
pub(super) fn cbor_head(out: &mut Vec<u8>, kind: u8, n: usize) {
    let first = kind << 5;
    match n {
        0..24 => out.push(first | n as u8),
        24..0x100 => out.extend_from_slice(&[first | 24, n as u8]),
        0x100..0x1_0000 => {
            let [high, low] = (n as u16).to_be_bytes();
            out.extend_from_slice(&[first | 25, high, low]);
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(first | 26);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(first | 27);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
}

/// A CBOR text.
#[inline]
pub(super) fn cbor_text(out: &mut Vec<u8>, text: &str) {
    cbor_head(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}
