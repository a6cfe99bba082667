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
        ..Settings::default()
    }
}

/// One of each command, and of each choice in it.
fn samples() -> Vec<(Command, &'static str)> {
    let stream = STREAM;
    let change = |change: SettingsChange| Command::UpdateStream { stream, change, now: TIME };
    let Settings { limits, mode, distribution, warm_throughput_mib, .. } = on_demand();
    let all = SettingsChange {
        record_bytes_max: Some(1024),
        durability: Some(Durability::Fsync),
        retention_hours: Some(24),
        limits: Some(limits),
        mode: Some(mode),
        distribution: Some(distribution),
        warm_throughput_mib: Some(warm_throughput_mib),
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
        (Command::CreateStream(created()), "@"),
        (
            Command::CreateStream(CreateStream {
                shard_count: 0,
                settings: on_demand(),
                tags: tags(&[("k", "v"), ("l", "")]),
                ..created()
            }),
            "@",
        ),
        (Command::ActivateStream { stream }, "@"),
        (change(SettingsChange { retention_hours: Some(72), ..SettingsChange::default() }), "@"),
        (change(all), "@"),
        (change(plain), "@"),
        (Command::DeleteStream { stream, enforce: false }, "@"),
        (Command::DeleteStream { stream, enforce: true }, "@"),
        (Command::ForgetStream { stream }, "@"),
        (Command::Reshard(Reshard { stream, ops, by_node: true, now: TIME, workers: 16 }), "@"),
        (Command::FinishReshard { stream, ends: vec![(ShardNumber(8), Offset(9))], now: TIME }, "@"),
        (Command::MoveShard { stream, shard: ShardNumber(10), to: WorkerId(11) }, "@"),
        (Command::ScaleStream { stream, target: 12, now: TIME }, "@"),
        (Command::ExpireShards { stream, shards: shards.clone() }, "@"),
        (Command::ForgetShards { stream, shards }, "@"),
        (Command::ScaleDone { stream }, "@"),
        (Command::TagStream { stream, consumer: None, set: tags(&[("k", "v")]), remove: vec!["gone".to_owned()] }, "@"),
        (Command::TagStream { stream, consumer: Some(consumer), set: Tags::new(), remove: Vec::new() }, "@"),
        (Command::SetEncryption { stream, key_id: Some("key".to_owned()) }, "@"),
        (Command::SetEncryption { stream, key_id: None }, "@"),
        (Command::SetMonitoring { stream, metrics: ShardMetrics::ALL }, "@"),
        (Command::SetPolicy { stream, consumer: None, policy: Some("{}".to_owned()) }, "@"),
        (Command::SetPolicy { stream, consumer: Some(consumer), policy: None }, "@"),
        (Command::RegisterConsumer { stream, name: "c".to_owned(), tags: tags(&[("k", "v")]), now: TIME }, "@"),
        (Command::DeregisterConsumer { stream, consumer }, "@"),
        (store(StoreCommand::Put { name: name(), value: value(), expect: Expect::Any, token: None }), "@"),
        (store(StoreCommand::Put { name: name(), value: value(), expect: Expect::Version(13), token: Some(14) }), "@"),
        (store(StoreCommand::Delete { name: name(), expect: Expect::Absent, token: None }), "@"),
        (store(StoreCommand::Delete { name: name(), expect: Expect::Any, token: Some(14) }), "@"),
        (store(StoreCommand::Claim { name: name(), owner: "me".to_owned(), ttl_ms: 15, take_from: Some(16) }), "@"),
        (store(StoreCommand::Release { name: name(), token: 17 }), "@"),
    ]
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
        (1, 0, 3, "command version"),
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
        (1, 34, 0, "workers"),
        (3, 20, 0, "update fields"),
        (3, 20, 128, "update fields"),
        (4, 12, 2, "enforce"),
        (16, 12, 2, "by node"),
        (16, 21, 0, "workers"),
        (16, 27, 2, "operation"),
        (19, 12, 0, "target"),
        (24, 12, 2, "consumer"),
        (25, 12, 2, "encryption key"),
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
