mod golden;
mod property;

use super::*;
use crate::codec::DecodeError;
use crate::limits::{SHARDS_MAX, SHARDS_PER_STREAM_MAX, STREAM_NAME_BYTES_MAX, STREAMS_MAX};
use crate::types::{Durability, FrameIndex, GroupId, HashKey, Offset, ShardNumber, StreamId, Term, WallUs, WorkerId};

const NOW: WallUs = WallUs(1_700_000_000_000_000);

fn create(name: &str, shard_count: u32) -> Command {
    Command::CreateStream(CreateStream {
        name: name.to_owned(),
        shard_count,
        settings: Settings::default(),
        now: NOW,
        workers: 2,
    })
}

fn samples() -> Vec<(Command, &'static [u8])> {
    let settings = Settings { retention_hours: 48, record_bytes_max: 2 << 20, durability: Durability::Interval };
    let change = SettingsChange { retention_hours: Some(72), ..SettingsChange::default() };
    let all =
        SettingsChange { record_bytes_max: Some(1024), durability: Some(Durability::Fsync), retention_hours: Some(24) };
    let stream = StreamId(0x0102);
    vec![
        (
            Command::CreateStream(CreateStream {
                name: "ab.c".to_owned(),
                shard_count: 3,
                settings,
                now: WallUs(0x0605_0403_0201),
                workers: 16,
            }),
            b"\x01\x01\0\0\x04\0ab.c\x03\0\0\0\x30\0\0\0\0\0\x20\0\x01\0\0\0\x01\x02\x03\x04\x05\x06\0\0\x10\0",
        ),
        (Command::ActivateStream { stream }, b"\x01\x02\0\0\x02\x01\0\0\0\0\0\0"),
        (Command::UpdateStream { stream, change }, b"\x01\x03\0\0\x02\x01\0\0\0\0\0\0\x01\x48\0\0\0"),
        (Command::UpdateStream { stream, change: all }, b"\x01\x03\0\0\x02\x01\0\0\0\0\0\0\x07\x18\0\0\0\0\x04\0\0\0"),
        (Command::DeleteStream { stream }, b"\x01\x04\0\0\x02\x01\0\0\0\0\0\0"),
        (Command::ForgetStream { stream }, b"\x01\x05\0\0\x02\x01\0\0\0\0\0\0"),
    ]
}

/// Goal: the committed bytes of every command, in both directions, so that the format cannot drift unnoticed.
#[test]
fn committed_commands() {
    for (command, bytes) in samples() {
        assert_eq!(command.encode(), bytes, "{command:?}");
        assert_eq!(Command::decode(bytes).as_ref(), Ok(&command));
    }
}

/// Goal: every truncation of every command is an error, and so is a byte too many.
#[test]
fn truncated_commands_are_refused() {
    for (command, bytes) in samples() {
        for cut in 0..bytes.len() {
            let error = Command::decode(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{command:?} cut at {cut}: {error}");
        }
        let longer = [bytes, b"\0"].concat();
        assert_eq!(Command::decode(&longer), Err(DecodeError::Trailing { offset: bytes.len(), extra: 1 }));
    }
}

/// Goal: impossible fields are refused by name, unknown kinds and versions first of all.
#[test]
fn impossible_commands_are_refused() {
    let create = samples()[0].1;
    let update = samples()[2].1;
    for (bytes, at, byte, name) in [
        (create, 0, 2, "command version"),
        (create, 1, 0, "command kind"),
        (create, 1, 16, "command kind"),
        (create, 2, 1, "command reserved"),
        (create, 7, b'/', "stream name"),
        (create, 10, 0, "shard count"),
        (create, 22, 2, "durability"),
        (create, 25, 1, "settings reserved"),
        (create, 34, 0, "workers"),
        (update, 12, 0, "update fields"),
        (update, 12, 8, "update fields"),
    ] {
        let mut damaged = bytes.to_vec();
        damaged[at] = byte;
        match Command::decode(&damaged) {
            Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A catalogue with a stream in each status, and lineage that no command of this version makes.
fn varied() -> Catalog {
    let mut catalog = Catalog::new();
    for (index, command) in [
        create("a", 1),
        create("b", 3),
        create("gone", 1),
        create("c", 2),
        Command::ActivateStream { stream: StreamId(1) },
        Command::DeleteStream { stream: StreamId(2) },
        Command::DeleteStream { stream: StreamId(3) },
        Command::ForgetStream { stream: StreamId(3) },
    ]
    .iter()
    .enumerate()
    {
        catalog.check(command).unwrap();
        catalog.apply(command).unwrap();
        catalog.advance(FrameIndex(index as u64), Term(1));
    }
    let shard = |number, start, end| Shard {
        number: ShardNumber(number),
        group: catalog.next_group.plus(number.into()),
        range: HashRange { start: HashKey(start), end: HashKey(end) },
        placed_on: WorkerId(number as u16),
        created: NOW,
        parent: None,
        adjacent_parent: None,
        closed: None,
    };
    let middle = 1 << 127;
    let closed = Some(Closed { end: Offset(77), at: WallUs(NOW.0 + 5) });
    let shards = vec![
        Shard { closed, ..shard(1, 0, middle - 1) },
        Shard { closed, ..shard(2, middle, u128::MAX) },
        Shard { parent: Some(ShardNumber(1)), adjacent_parent: Some(ShardNumber(2)), closed, ..shard(3, 0, u128::MAX) },
        Shard { parent: Some(ShardNumber(3)), ..shard(4, 9, u128::MAX) },
        Shard { parent: Some(ShardNumber(3)), ..shard(6, 0, 8) },
    ];
    let head = stream::StreamHead {
        id: catalog.next_stream,
        name: "d".to_owned(),
        created: NOW,
        status: Status::Active,
        settings: Settings { durability: Durability::Interval, ..Settings::default() },
        next_shard: ShardNumber(7),
    };
    catalog.next_stream = StreamId(catalog.next_stream.0 + 1);
    catalog.next_group = catalog.next_group.plus(7);
    catalog.insert(Stream::new(head, shards).unwrap()).unwrap();
    catalog
}

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
    assert_eq!(hex, expected);
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
    let first = 68;
    let shard = first + 8 + 4 + 8 + 12 + 4 + 4 + 4;
    let second = shard + 2 * 56;
    for (at, byte, name) in [
        (16, 2, "snapshot version"),
        (18, 1, "snapshot reserved"),
        (56, 15, "next group"),
        (48, 2, "stream number"),
        (first, 0, "stream number"),
        (second, 1, "stream number"),
        (first + 10, b' ', "stream name"),
        (first + 32, 3, "stream status"),
        (first + 33, 1, "stream reserved"),
        (first + 36, 1, "shards of stream"),
        (shard, 1, "shards of stream"),
        (shard + 6, 8, "shard fields"),
        (shard + 7, 1, "shard reserved"),
        (shard + 8, 15, "shard group"),
        (shard + 8, 17, "shard group"),
        (shard + 8, 19, "shard group"),
        (shard + 16, 1, "shards of stream"),
        (shard + 32, 0, "shards of stream"),
    ] {
        let mut wrong = bytes.clone();
        wrong[at] = byte;
        match Catalog::decode_snapshot(&resealed(wrong)) {
            Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name, "byte {at}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    // Two streams of one name.
    let mut wrong = bytes;
    wrong[second + 10..second + 12].copy_from_slice(b"ab");
    let error = Catalog::decode_snapshot(&resealed(wrong)).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { what: "stream name", .. }), "{error}");
}

/// Goal: names follow the rule of Kinesis, at its edges.
#[test]
fn names() {
    let longest = "x".repeat(STREAM_NAME_BYTES_MAX);
    for name in ["a", "A-Z_0.9", ".", "-", longest.as_str()] {
        assert_eq!(Catalog::new().check(&create(name, 1)), Ok(()), "{name}");
    }
    let too_long = "x".repeat(STREAM_NAME_BYTES_MAX + 1);
    for name in ["", "a b", "a/b", "ä", "a\n", too_long.as_str()] {
        assert_eq!(Catalog::new().check(&create(name, 1)), Err(CatalogError::NameInvalid), "{name}");
    }
}

/// Goal: the limits of the node hold exactly; and at them, lookups and snapshots work over everything.
#[test]
fn a_full_node() {
    let mut catalog = Catalog::new();
    let mut add = |name: &str, shard_count| {
        let command = create(name, shard_count);
        catalog.check(&command).and_then(|()| catalog.apply(&command)).map(drop)
    };
    let wide = (SHARDS_MAX / SHARDS_PER_STREAM_MAX as usize) - 1;
    (0..wide).for_each(|n| add(&format!("wide-{n}"), SHARDS_PER_STREAM_MAX).unwrap());
    assert_eq!(
        add("wider", SHARDS_PER_STREAM_MAX + 1),
        Err(CatalogError::ShardCount { count: SHARDS_PER_STREAM_MAX + 1 })
    );
    // The rest of the streams take one shard each, the last but one what is left.
    let narrow = STREAMS_MAX - wide - 1;
    (0..narrow).for_each(|n| add(&format!("narrow-{n:05}"), 1).unwrap());
    let have = wide * SHARDS_PER_STREAM_MAX as usize + narrow;
    let left = (SHARDS_MAX - have) as u32;
    assert_eq!(add("rest", left + 1), Err(CatalogError::ShardsFull { have, more: left + 1 }));
    add("rest", left).unwrap();
    assert_eq!(add("more", 1), Err(CatalogError::StreamsFull));

    assert_eq!(catalog.shard_count(), SHARDS_MAX);
    assert_eq!(catalog.loads(2), [SHARDS_MAX as u32 / 2; 2]);
    for n in 0..SHARDS_MAX as u64 {
        let group = FIRST_SHARD_GROUP.plus(n);
        let (stream, shard) = catalog.shard(group).unwrap();
        assert_eq!(shard.group, group);
        assert_eq!(catalog.route(stream.id, shard.range.start), Some(shard));
        assert_eq!(catalog.route(stream.id, shard.range.end), Some(shard));
    }
    assert_eq!(catalog.shard(FIRST_SHARD_GROUP.plus(SHARDS_MAX as u64)), None);
    assert_eq!(catalog.shard(GroupId(15)), None);
    assert_eq!(catalog.shards_on(WorkerId(1), 2).count(), SHARDS_MAX / 2);
    let names: Vec<_> = catalog.streams_after(Some("narrow-00100")).take(3).map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["narrow-00101", "narrow-00102", "narrow-00103"]);
    let bytes = catalog.encode_snapshot();
    assert!(bytes.len() < 8 << 20, "{} bytes", bytes.len());
    assert_eq!(Catalog::decode_snapshot(&bytes), Ok(catalog));
}

/// Goal: a command that an older build admitted is replayed whatever today's limits are.
#[test]
fn replay_knows_no_limits() {
    let mut command = create("old", 1);
    let Command::CreateStream(create) = &mut command else { unreachable!() };
    create.settings.retention_hours = 1_000_000;
    let mut catalog = Catalog::new();
    assert_eq!(catalog.check(&command), Err(CatalogError::Retention { hours: 1_000_000 }));
    catalog.apply(&command).unwrap();
    assert_eq!(Catalog::decode_snapshot(&catalog.encode_snapshot()), Ok(catalog));
}

/// Goal: a frame of the catalogue cannot be applied twice unnoticed.
#[test]
#[should_panic(expected = "was applied before")]
fn frames_are_applied_in_order() {
    let mut catalog = Catalog::new();
    catalog.advance(FrameIndex(0), Term(1));
    catalog.advance(FrameIndex(0), Term(1));
}

/// Goal: commands, events and the state itself can go to another thread.
#[test]
fn copies_can_be_shipped() {
    fn shippable<T: Send + Clone + 'static>() {}
    shippable::<Command>();
    shippable::<Event>();
    shippable::<Catalog>();
}
