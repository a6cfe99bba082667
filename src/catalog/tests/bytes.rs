//! Commands as bytes.

use super::*;
use crate::codec::DecodeError;

const STREAM: StreamId = StreamId(0x0102);
const TIME: WallUs = WallUs(0x0605_0403_0201);

fn created() -> CreateStream {
    CreateStream {
        name: "ab.c".to_owned(),
        shard_count: 3,
        settings: Settings {
            retention_hours: 48,
            record_bytes_max: 2 << 20,
            durability: Durability::Interval,
            ..Settings::default()
        },
        tags: Tags::new(),
        now: TIME,
        workers: 16,
    }
}

fn on_demand() -> Settings {
    Settings {
        limits: Limits::Custom(CustomLimits {
            write_records_s: 1,
            write_bytes_s: 2,
            read_calls_s: 3,
            read_bytes_s: 4,
            fanout_bytes_s: 5,
        }),
        mode: Mode::OnDemand(Bounds { shards_min: 6, shards_max: 7 }),
        distribution: Distribution::Auto,
        warm_throughput_mib: 8,
        get_records_wait_ms: 9,
        ..Settings::default()
    }
}

/// One of each command, and of each choice in it.
fn samples() -> Vec<(Command, &'static str)> {
    let stream = STREAM;
    let change = |change: SettingsChange| Command::UpdateStream { stream, change, now: TIME };
    let Settings { limits, mode, distribution, warm_throughput_mib, get_records_wait_ms, .. } = on_demand();
    let all = SettingsChange {
        record_bytes_max: Some(1024),
        durability: Some(Durability::Fsync),
        retention_hours: Some(24),
        limits: Some(limits),
        mode: Some(mode),
        distribution: Some(distribution),
        warm_throughput_mib: Some(warm_throughput_mib),
        get_records_wait_ms: Some(get_records_wait_ms),
    };
    let plain = SettingsChange {
        limits: Some(Limits::Aws),
        mode: Some(Mode::Provisioned),
        distribution: Some(Distribution::PartitionKey),
        ..SettingsChange::default()
    };
    let ops = vec![
        ReshardOp::Split { shard: ShardNumber(1), at: HashKey(2) },
        ReshardOp::Merge { shard: ShardNumber(3), adjacent: ShardNumber(4) },
    ];
    let shards = vec![ShardNumber(5), ShardNumber(6)];
    let consumer = ConsumerId(7);
    let store = |command| Command::Store(command);
    let name = || name("s/p", "k");
    let value = || "v".into();
    vec![
        (
            Command::CreateStream(created()),
            "03010000040061622e630300000030000000000020000100000000000000010203040506000010000000",
        ),
        (
            Command::CreateStream(CreateStream {
                shard_count: 0,
                settings: on_demand(),
                tags: tags(&[("k", "v"), ("l", "")]),
                ..created()
            }),
            "03010000040061622e630000000018000000000010000002010101000000020000000000000003000000040000000000000005000000000000000600000007000000080000000900000001020304050600001000020001006b01007601006c0000",
        ),
        (Command::ActivateStream { stream }, "030200000201000000000000"),
        (
            change(SettingsChange { retention_hours: Some(72), ..SettingsChange::default() }),
            "03030000020100000000000001020304050600000148000000",
        ),
        (
            change(all),
            "0303000002010000000000000102030405060000ff180000000004000000020100000002000000000000000300000004000000000000000500000000000000010600000007000000010800000009000000",
        ),
        (change(plain), "030300000201000000000000010203040506000038010000"),
        (Command::DeleteStream { stream, enforce: false }, "03040000020100000000000000"),
        (Command::DeleteStream { stream, enforce: true }, "03040000020100000000000001"),
        (Command::ForgetStream { stream }, "030500000201000000000000"),
        (
            Command::Reshard(Reshard { stream, ops, by_node: true, now: TIME, workers: 16 }),
            "031000000201000000000000010102030405060000100002000000000100000002000000000000000000000000000000010300000004000000",
        ),
        (
            Command::FinishReshard { stream, ends: vec![(ShardNumber(8), Offset(9))], now: TIME },
            "031100000201000000000000010203040506000001000000080000000900000000000000",
        ),
        (
            Command::MoveShard { stream, shard: ShardNumber(10), to: WorkerId(11) },
            "0312000002010000000000000a0000000b00",
        ),
        (Command::ScaleStream { stream, target: 12, now: TIME }, "0313000002010000000000000c0000000102030405060000"),
        (Command::ExpireShards { stream, shards: shards.clone() }, "031400000201000000000000020000000500000006000000"),
        (Command::ForgetShards { stream, shards }, "031500000201000000000000020000000500000006000000"),
        (Command::ScaleDone { stream }, "031600000201000000000000"),
        (
            Command::TagStream { stream, consumer: None, set: tags(&[("k", "v")]), remove: vec!["gone".to_owned()] },
            "03180000020100000000000000010001006b010076010000000400676f6e65",
        ),
        (
            Command::TagStream { stream, consumer: Some(consumer), set: Tags::new(), remove: Vec::new() },
            "031800000201000000000000010700000000000000000000000000",
        ),
        (
            Command::SetEncryption { stream, key_id: Some("key".to_owned()), now: TIME },
            "03190000020100000000000001020304050600000103006b6579",
        ),
        (Command::SetEncryption { stream, key_id: None, now: TIME }, "031900000201000000000000010203040506000000"),
        (Command::SetMonitoring { stream, metrics: ShardMetrics::ALL }, "031a000002010000000000007f"),
        (
            Command::SetPolicy { stream, consumer: None, policy: Some("{}".to_owned()) },
            "031b00000201000000000000000102007b7d",
        ),
        (
            Command::SetPolicy { stream, consumer: Some(consumer), policy: None },
            "031b0000020100000000000001070000000000000000",
        ),
        (
            Command::RegisterConsumer { stream, name: "c".to_owned(), tags: tags(&[("k", "v")]), now: TIME },
            "032000000201000000000000010063010001006b0100760102030405060000",
        ),
        (Command::DeregisterConsumer { stream, consumer }, "0321000002010000000000000700000000000000"),
        (
            store(StoreCommand::Put { name: name(), value: value(), expect: Expect::Any, token: None }),
            "033000000300732f7001006b0000010076",
        ),
        (
            store(StoreCommand::Put { name: name(), value: value(), expect: Expect::Version(13), token: Some(14) }),
            "033000000300732f7001006b020d00000000000000010e00000000000000010076",
        ),
        (
            store(StoreCommand::Delete { name: name(), expect: Expect::Absent, token: None }),
            "033100000300732f7001006b0100",
        ),
        (
            store(StoreCommand::Delete { name: name(), expect: Expect::Any, token: Some(14) }),
            "033100000300732f7001006b00010e00000000000000",
        ),
        (
            store(StoreCommand::Claim { name: name(), owner: "me".to_owned(), ttl_ms: 15, take_from: Some(16) }),
            "033200000300732f7001006b02006d650f000000011000000000000000",
        ),
        (store(StoreCommand::Release { name: name(), token: 17 }), "033300000300732f7001006b1100000000000000"),
    ]
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Goal: the committed bytes of every command, in both directions, so that the format cannot drift unnoticed.
#[test]
fn committed_commands() {
    for (command, bytes) in samples() {
        assert_eq!(hex(&command.encode()), bytes, "{command:?}");
        assert_eq!(Command::decode(&command.encode()).as_ref(), Ok(&command));
    }
}

/// Goal: the commands of version 1 mean what they meant, byte for byte as they were committed then.
#[test]
fn commands_of_version_1() {
    let stream = STREAM;
    let change = SettingsChange { retention_hours: Some(72), ..SettingsChange::default() };
    let all = SettingsChange {
        record_bytes_max: Some(1024),
        durability: Some(Durability::Fsync),
        retention_hours: Some(24),
        ..SettingsChange::default()
    };
    let samples: [(Command, &[u8]); 6] = [
        (
            Command::CreateStream(created()),
            b"\x01\x01\0\0\x04\0ab.c\x03\0\0\0\x30\0\0\0\0\0\x20\0\x01\0\0\0\x01\x02\x03\x04\x05\x06\0\0\x10\0",
        ),
        (Command::ActivateStream { stream }, b"\x01\x02\0\0\x02\x01\0\0\0\0\0\0"),
        (Command::UpdateStream { stream, change, now: WallUs(0) }, b"\x01\x03\0\0\x02\x01\0\0\0\0\0\0\x01\x48\0\0\0"),
        (
            Command::UpdateStream { stream, change: all, now: WallUs(0) },
            b"\x01\x03\0\0\x02\x01\0\0\0\0\0\0\x07\x18\0\0\0\0\x04\0\0\0",
        ),
        (Command::DeleteStream { stream, enforce: true }, b"\x01\x04\0\0\x02\x01\0\0\0\0\0\0"),
        (Command::ForgetStream { stream }, b"\x01\x05\0\0\x02\x01\0\0\0\0\0\0"),
    ];
    for (command, bytes) in samples {
        assert_eq!(Command::decode(bytes).as_ref(), Ok(&command));
        for cut in 0..bytes.len() {
            assert!(
                matches!(Command::decode(&bytes[..cut]), Err(DecodeError::Truncated { .. })),
                "{command:?} at {cut}"
            );
        }
        assert_eq!(
            Command::decode(&[bytes, b"\0"].concat()),
            Err(DecodeError::Trailing { offset: bytes.len(), extra: 1 })
        );
    }
    // What it did not have.
    for (bytes, name) in [
        (&b"\x01\x03\0\0\x02\x01\0\0\0\0\0\0\x08\0"[..], "update fields"),
        (b"\x01\x10\0\0\x02\x01\0\0\0\0\0\0", "command kind"),
        (b"\x01\x30\0\0\x02\x01\0\0\0\0\0\0", "command kind"),
        (b"\x01\x01\0\0\x04\0ab.c\x03\0\0\0\x30\0\0\0\0\0\x20\0\x01\x01\0\0", "settings reserved"),
    ] {
        match Command::decode(bytes) {
            Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Goal: the commands of version 2 that have changed since mean what they meant, byte for byte as they were committed then.
#[test]
fn commands_of_version_2() {
    let stream = STREAM;
    let Settings { limits, mode, distribution, warm_throughput_mib, .. } = on_demand();
    let all = SettingsChange {
        record_bytes_max: Some(1024),
        durability: Some(Durability::Fsync),
        retention_hours: Some(24),
        limits: Some(limits),
        mode: Some(mode),
        distribution: Some(distribution),
        warm_throughput_mib: Some(warm_throughput_mib),
        get_records_wait_ms: None,
    };
    let samples = [
        (
            Command::CreateStream(created()),
            "02010000040061622e6303000000300000000000200001000000010203040506000010000000",
        ),
        (
            Command::CreateStream(CreateStream {
                shard_count: 0,
                settings: Settings { get_records_wait_ms: 0, ..on_demand() },
                tags: tags(&[("k", "v"), ("l", "")]),
                ..created()
            }),
            "02010000040061622e6300000000180000000000100000020101010000000200000000000000030000000400000000000000050000000000000006000000070000000800000001020304050600001000020001006b01007601006c0000",
        ),
        (
            Command::UpdateStream { stream, change: all, now: TIME },
            "02030000020100000000000001020304050600007f1800000000040000000201000000020000000000000003000000040000000000000005000000000000000106000000070000000108000000",
        ),
        (
            Command::SetEncryption { stream, key_id: Some("key".to_owned()), now: WallUs(0) },
            "0219000002010000000000000103006b6579",
        ),
        (Command::SetEncryption { stream, key_id: None, now: WallUs(0) }, "02190000020100000000000000"),
    ];
    for (command, hex) in samples {
        let bytes = unhex(hex);
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
        for cut in 0..bytes.len() {
            let error = Command::decode(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{command:?} cut at {cut}: {error}");
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(Command::decode(&longer), Err(DecodeError::Trailing { offset: bytes.len(), extra: 1 }));
    }
    // What it did not have.
    let error = Command::decode(&unhex("0203000002010000000000000102030405060000800a000000")).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { what: "update fields", .. }), "{error}");
}

/// Goal: every truncation of every command is an error, and so is a byte too many.
#[test]
fn truncated_commands_are_refused() {
    for (command, _) in samples() {
        let bytes = command.encode();
        for cut in 0..bytes.len() {
            let error = Command::decode(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{command:?} cut at {cut}: {error}");
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(Command::decode(&longer), Err(DecodeError::Trailing { offset: bytes.len(), extra: 1 }));
    }
}

/// Goal: impossible fields are refused by name, unknown kinds and versions first of all.
#[test]
fn impossible_commands_are_refused() {
    let sample = |kind: u8| {
        let bytes = samples().into_iter().map(|(command, _)| command.encode());
        bytes.into_iter().find(|bytes| bytes[1] == kind).unwrap()
    };
    for (kind, at, byte, name) in [
        (1, 0, 0, "command version"),
        (1, 0, 4, "command version"),
        (2, 1, 0, "command kind"),
        (2, 1, 6, "command kind"),
        (2, 1, 23, "command kind"),
        (2, 1, 52, "command kind"),
        (1, 2, 1, "command reserved"),
        (1, 7, b'/', "stream name"),
        (1, 10, 0, "shard count"),
        (1, 22, 2, "durability"),
        (1, 23, 3, "limits"),
        (1, 24, 2, "mode"),
        (1, 25, 2, "distribution"),
        (1, 25, 1, "distribution"),
        (1, 38, 0, "workers"),
        (3, 20, 0, "update fields"),
        (4, 12, 2, "enforce"),
        (16, 12, 2, "by node"),
        (16, 21, 0, "workers"),
        (16, 27, 2, "operation"),
        (19, 12, 0, "target"),
        (24, 12, 2, "consumer"),
        (25, 20, 2, "encryption key"),
        (26, 12, 128, "metrics"),
        (32, 14, b'/', "consumer name"),
        (48, 12, 3, "expect"),
        (48, 13, 2, "token"),
    ] {
        let mut damaged = sample(kind);
        damaged[at] = byte;
        match Command::decode(&damaged) {
            Err(DecodeError::Invalid { what, .. }) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    // Tags in the wrong order, and bounds without a number of shards between them.
    let Command::CreateStream(mut create) = samples().swap_remove(1).0 else { unreachable!() };
    let mut bytes = Command::CreateStream(create.clone()).encode();
    let first_key = bytes.len() - 9;
    assert_eq!(bytes[first_key], b'k');
    bytes[first_key] = b'l';
    let error = Command::decode(&bytes).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { what: "tag key", .. }), "{error}");
    create.settings.mode = Mode::OnDemand(Bounds { shards_min: 8, shards_max: 7 });
    let error = Command::decode(&Command::CreateStream(create).encode()).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { what: "bounds", .. }), "{error}");
}
