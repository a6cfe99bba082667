//! The state as bytes.

use super::*;
use crate::codec::DecodeError;

/// Goal: a snapshot gives back the whole state, indexes included, also with zeros after it.
#[test]
fn snapshots_round_trip() {
    let catalog = varied();
    let mut bytes = catalog.encode_snapshot();
    assert_eq!(Catalog::decode_snapshot(&bytes).as_ref(), Ok(&catalog));
    bytes.resize(4096, 0);
    assert_eq!(Catalog::decode_snapshot(&bytes).as_ref(), Ok(&catalog));
    bytes[4095] = 1;
    assert!(matches!(Catalog::decode_snapshot(&bytes), Err(DecodeError::Trailing { .. })));
    let empty = Catalog::new();
    assert_eq!(Catalog::decode_snapshot(&empty.encode_snapshot()), Ok(empty));
}

/// Goal: the committed bytes of a snapshot, so that the format cannot drift unnoticed.
#[test]
fn committed_snapshot() {
    let mut catalog = Catalog::new();
    catalog.apply(&create("ab", 1)).unwrap();
    catalog.advance(FrameIndex(0), Term(3));
    let hex: String = catalog.encode_snapshot().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = concat!(
        "4d534331",
        "a822da05",
        "ed00000000000000",
        "0300",
        "000000000000",
        "0100000000000000",
        "0100000000000000",
        "0300000000000000",
        "0200000000000000",
        "1100000000000000",
        "0100000000000000",
        "0000000000000000",
        "0000000000000000",
        "01000000",
        "0100000000000000",
        "02006162",
        "00401e18240a0600",
        "180000000000100000000000",
        "00000000",
        "00000000",
        "0000000000000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "00000000",
        "0000",
        "00",
        "00",
        "00",
        "00000000",
        "01000000",
        "01000000",
        "00000000",
        "0000",
        "00",
        "00",
        "1000000000000000",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "00401e18240a0600",
        "00000000",
    );
    assert_eq!(hex, expected);
}

/// Goal: a snapshot of version 2, byte for byte as it was committed then, gives the state it gave.
#[test]
fn snapshot_of_version_2() {
    let hex = concat!(
        "4d534331",
        "fdbf3ef2",
        "e100000000000000",
        "0200",
        "000000000000",
        "0100000000000000",
        "0100000000000000",
        "0300000000000000",
        "0200000000000000",
        "1100000000000000",
        "0100000000000000",
        "0000000000000000",
        "0000000000000000",
        "01000000",
        "0100000000000000",
        "02006162",
        "00401e18240a0600",
        "180000000000100000000000",
        "00000000",
        "0000000000000000",
        "00000000",
        "00000000",
        "00000000",
        "0000",
        "00",
        "00",
        "00",
        "00000000",
        "01000000",
        "01000000",
        "00000000",
        "0000",
        "00",
        "00",
        "1000000000000000",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "00401e18240a0600",
        "00000000",
    );
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut catalog = Catalog::new();
    catalog.apply(&create("ab", 1)).unwrap();
    catalog.advance(FrameIndex(0), Term(3));
    assert_eq!(Catalog::decode_snapshot(&bytes), Ok(catalog));
    for cut in 16..bytes.len() {
        let error = Catalog::decode_snapshot(&resealed(bytes[..cut].to_vec())).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "cut at {cut}: {error}");
    }
}

/// Goal: a snapshot of version 1, byte for byte as it was committed then, gives the state it gave.
#[test]
fn snapshot_of_version_1() {
    let hex = concat!(
        "4d534331",
        "af214e4c",
        "a800000000000000",
        "0100",
        "000000000000",
        "0100000000000000",
        "0100000000000000",
        "0300000000000000",
        "0200000000000000",
        "1100000000000000",
        "01000000",
        "0100000000000000",
        "02006162",
        "00401e18240a0600",
        "180000000000100000000000",
        "00000000",
        "01000000",
        "01000000",
        "00000000",
        "0000",
        "00",
        "00",
        "1000000000000000",
        "00000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffff",
        "00401e18240a0600",
    );
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
    let mut catalog = Catalog::new();
    catalog.apply(&create("ab", 1)).unwrap();
    catalog.advance(FrameIndex(0), Term(3));
    assert_eq!(Catalog::decode_snapshot(&bytes), Ok(catalog));
    for cut in 16..bytes.len() {
        let error = Catalog::decode_snapshot(&resealed(bytes[..cut].to_vec())).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "cut at {cut}: {error}");
    }
    for (at, byte, name) in [
        (97, 1, "settings reserved"),
        (100, 3, "shards of stream"),
        (118, 1, "shard fields"),
        (119, 1, "shard reserved"),
    ] {
        let mut wrong = bytes.clone();
        wrong[at] = byte;
        match Catalog::decode_snapshot(&resealed(wrong)) {
            Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name, "byte {at}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Goal: every truncation and every flipped bit of a snapshot is an error.
#[test]
fn damaged_snapshots_are_refused() {
    let bytes = varied().encode_snapshot();
    for cut in 0..bytes.len() {
        assert!(Catalog::decode_snapshot(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Catalog::decode_snapshot(&damaged).is_err(), "bit {bit}");
    }
}

/// `bytes` with the header of a snapshot made right for what follows it.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = bytes.len() as u64;
    bytes[8..16].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Goal: with the checksum made right, every truncation is still an error and no byte at any place is a panic: whoever
/// writes a snapshot wrong is told so.
#[test]
fn wrong_snapshots_are_refused_without_a_panic() {
    let bytes = varied().encode_snapshot();
    for cut in 16..bytes.len() {
        let error = Catalog::decode_snapshot(&resealed(bytes[..cut].to_vec())).unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "cut at {cut}: {error}");
    }
    for at in 16..bytes.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut wrong = bytes.clone();
            wrong[at] = byte;
            if let Ok(catalog) = Catalog::decode_snapshot(&resealed(wrong.clone())) {
                assert_eq!(catalog.encode_snapshot(), resealed(wrong), "byte {byte:#x} at {at}");
            }
        }
    }
}

/// Goal: each invariant that a snapshot could break is checked by name.
#[test]
fn invariants_are_checked_on_decode() {
    let mut catalog = Catalog::new();
    catalog.apply(&create("ab", 2)).unwrap();
    catalog.apply(&create("cd", 1)).unwrap();
    let bytes = catalog.encode_snapshot();
    let first = 92;
    let shard = first + 85;
    let second = shard + 2 * 56;
    for (at, byte, name) in [
        (16, 0, "snapshot version"),
        (16, 4, "snapshot version"),
        (18, 1, "snapshot reserved"),
        (56, 15, "next group"),
        (48, 2, "stream number"),
        (first, 0, "stream number"),
        (second, 1, "stream number"),
        (first + 10, b' ', "stream name"),
        (first + 36, 4, "stream status"),
        (first + 36, 3, "shards of stream"),
        (first + 37, 1, "stream reserved"),
        (first + 48, 1, "shards of stream"),
        (first + 71, 128, "metrics"),
        (first + 77, 1, "shards of stream"),
        (shard, 1, "shards of stream"),
        (shard + 6, 4, "shard fields"),
        (shard + 7, 1, "shards of stream"),
        (shard + 7, 3, "shards of stream"),
        (shard + 7, 4, "shard state"),
        (shard + 8, 15, "shard group"),
        (shard + 8, 17, "shard group"),
        (shard + 8, 19, "shard group"),
        (shard + 16, 1, "shards of stream"),
        (shard + 32, 0, "shards of stream"),
        (shard + 56 + 47, 0, "shard range"),
    ] {
        refused(&bytes, at, byte, name);
    }
    // Two streams of one name; it is no error if one of them is being deleted.
    let mut wrong = bytes;
    wrong[second + 10..second + 12].copy_from_slice(b"ab");
    let error = Catalog::decode_snapshot(&resealed(wrong.clone())).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { what: "stream name", .. }), "{error}");
    wrong[first + 36] = Status::Deleting as u8;
    Catalog::decode_snapshot(&resealed(wrong)).unwrap();

    let bytes = varied().encode_snapshot();
    refused(&bytes, 64, 1, "consumer number");
    refused(&bytes, 80, 2, "stored version");
    refused(&bytes, 80, 1, "lease token");
}

fn refused(bytes: &[u8], at: usize, byte: u8, name: &str) {
    let mut wrong = bytes.to_vec();
    wrong[at] = byte;
    match Catalog::decode_snapshot(&resealed(wrong)) {
        Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name, "byte {at}"),
        other => panic!("{name}: {other:?}"),
    }
}

/// Goal: a reshard that no commands could have begun is refused: children must stand for their parents, and be younger.
#[test]
fn impossible_reshards_are_refused() {
    type Harm = fn(&mut Vec<Shard>);
    let harms: [(&str, Harm); 7] = [
        ("a child as old as its parent", |shards| shards[1].created = shards[0].created),
        ("a child in the same second", |shards| {
            shards[1].created.0 = shards[0].created.0 / 1_000_000 * 1_000_000 + 999_999
        }),
        ("a child without a parent", |shards| shards[1].parent = None),
        ("a parent that is closed", |shards| {
            shards[0].state = ShardState::Closed { end: Offset(0), at: NOW };
        }),
        ("keys in no child", |shards| shards[1].range.end.0 -= 1),
        ("keys in two children", |shards| shards[2].range.start.0 -= 1),
        ("one child only", |shards| {
            shards.pop();
        }),
    ];
    for (what, harm) in harms {
        let mut catalog = varied();
        let sound = catalog.encode_snapshot();
        let stream = catalog.streams.get_mut(&StreamId(1)).unwrap();
        harm(&mut stream.shards);
        let bytes = catalog.encode_snapshot();
        assert_ne!(bytes, sound);
        let error = Catalog::decode_snapshot(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Invalid { what: "shards of stream", .. }), "{what}: {error}");
    }
}
