//! The node file, lists of accepted losses, first blocks of segments, names: what is accepted is written as the same again,
//! and a file with a byte changed is refused.

use millstream::engine::recover::{decode_losses, encode_losses};
use millstream::format::node::NodeFile;
use millstream::format::segment::SegmentHeader;
use millstream::format::{names, sealed};
use millstream::limits::BLOCK_BYTES;

use super::cursor::Cursor;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut cursor = Cursor(data);
    let (mode, at, with) = (cursor.byte(), usize::from(cursor.short()), cursor.byte());
    let rest = cursor.0;
    match mode % 4 {
        0 => {
            let _ = NodeFile::decode(rest);
            let file = sealed::seal(u32::from_le_bytes(*b"MSNF"), 1, rest);
            if let Ok(node) = NodeFile::decode(&file) {
                assert_eq!(node.encode(), file);
                refuses(file, at, with, |file| NodeFile::decode(file).is_ok());
            }
        }
        1 => {
            let _ = decode_losses(rest);
            let file = sealed::seal(u32::from_le_bytes(*b"MSL1"), 1, rest);
            if let Ok(losses) = decode_losses(&file) {
                assert_eq!(encode_losses(&losses), file);
                refuses(file, at, with, |file| decode_losses(file).is_ok());
            }
        }
        2 => {
            let mut block = rest.to_vec();
            block.resize(BLOCK_BYTES, 0);
            block[..4].copy_from_slice(b"MSS1");
            let crc = crc32fast::hash(&block[8..]);
            block[4..8].copy_from_slice(&crc.to_le_bytes());
            if let Ok(header) = SegmentHeader::decode(&block) {
                let mut again = vec![0; BLOCK_BYTES];
                header.encode(&mut again);
                assert_eq!(SegmentHeader::decode(&again), Ok(header));
                refuses(block, at, with, |block| SegmentHeader::decode(block).is_ok());
            }
        }
        _ => {
            let Ok(name) = std::str::from_utf8(rest) else { return };
            if let Some(number) = names::parse_segment(name) {
                assert_eq!(names::parse_segment(&names::segment(number)), Some(number));
            }
            if let Some(number) = names::parse_index(name) {
                assert_eq!(names::parse_index(&names::index(number)), Some(number));
            }
            if let Some(next) = names::parse_snapshot(name) {
                assert_eq!(names::parse_snapshot(&names::snapshot(next)), Some(next));
            }
            let _ = (names::parse_shard_dir(name), names::is_temporary(name));
        }
    }
}

fn refuses(mut file: Vec<u8>, at: usize, with: u8, accepts: impl Fn(&[u8]) -> bool) {
    let at = at % file.len();
    if file[at] != with {
        file[at] = with;
        assert!(!accepts(&file), "byte {at} is {with}");
    }
}
