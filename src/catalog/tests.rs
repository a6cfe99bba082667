mod bytes;
mod golden;
mod property;
mod snapshots;

use super::*;
use crate::limits::{SHARDS_MAX, SHARDS_PER_STREAM_MAX, STREAM_NAME_BYTES_MAX, STREAMS_MAX};
use crate::types::{Durability, FrameIndex, GroupId, HashKey, Offset, ShardNumber, StreamId, Term, WallUs, WorkerId};

const NOW: WallUs = WallUs(1_700_000_000_000_000);

const HALF: HashKey = HashKey(1 << 127);

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn name(space: &str, key: &str) -> Name {
    Name { space: space.to_owned(), key: key.to_owned() }
}

fn put(catalog: &mut Catalog, command: &Command) -> Vec<Event> {
    catalog.check(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    catalog.apply(command).unwrap()
}

fn create(name: &str, shard_count: u32) -> Command {
    Command::CreateStream(CreateStream {
        name: name.to_owned(),
        shard_count,
        settings: Settings::default(),
        tags: Tags::new(),
        now: NOW,
        workers: 2,
    })
}

/// A catalogue with a stream in each status, a shard in each state, and everything that can be noted.
fn varied() -> Catalog {
    let mut catalog = Catalog::new();
    let [one, two, three, four] = [1, 2, 3, 5].map(StreamId);
    let split = |stream, shard, at, now| {
        let ops = vec![ReshardOp::Split { shard: ShardNumber(shard), at: HashKey(at) }];
        Command::Reshard(Reshard { stream, ops, by_node: true, now, workers: 3 })
    };
    let custom =
        CustomLimits { write_records_s: 1, write_bytes_s: 2, read_calls_s: 3, read_bytes_s: 4, fanout_bytes_s: 5 };
    let on_demand = SettingsChange {
        durability: Some(Durability::Interval),
        retention_hours: Some(48),
        limits: Some(Limits::Custom(custom)),
        mode: Some(Mode::OnDemand(Bounds { shards_min: 1, shards_max: 9 })),
        distribution: Some(Distribution::Auto),
        warm_throughput_mib: Some(2),
        get_records_wait_ms: Some(200),
        ..SettingsChange::default()
    };
    let shards = |numbers: &[u32]| numbers.iter().copied().map(ShardNumber).collect::<Vec<_>>();
    let ends = |ends: &[(u32, u64)]| ends.iter().map(|(shard, end)| (ShardNumber(*shard), Offset(*end))).collect();
    let merge = vec![ReshardOp::Merge { shard: ShardNumber(2), adjacent: ShardNumber(1) }];
    let value = || "value".into();
    for (index, command) in [
        create("a", 1),
        create("b", 3),
        create("gone", 1),
        create("c", 2),
        Command::ActivateStream { stream: one },
        Command::DeleteStream { stream: two, enforce: false },
        Command::DeleteStream { stream: three, enforce: false },
        Command::ForgetStream { stream: three },
        create("b", 1),
        Command::ActivateStream { stream: four },
        Command::UpdateStream { stream: four, change: on_demand, now: NOW },
        split(four, 0, 9, NOW),
        Command::FinishReshard { stream: four, ends: ends(&[(0, 77)]), now: NOW },
        Command::Reshard(Reshard { stream: four, ops: merge, by_node: true, now: NOW, workers: 3 }),
        Command::FinishReshard { stream: four, ends: ends(&[(2, 0), (1, u64::MAX)]), now: WallUs(NOW.0 + 5) },
        Command::ExpireShards { stream: four, shards: shards(&[0, 2]) },
        Command::ForgetShards { stream: four, shards: shards(&[0]) },
        Command::MoveShard { stream: four, shard: ShardNumber(3), to: WorkerId(7) },
        split(four, 3, HALF.0 + 1, WallUs(NOW.0 + 9)),
        Command::ScaleStream { stream: one, target: 2, now: NOW },
        split(one, 0, HALF.0, NOW),
        Command::TagStream { stream: one, consumer: None, set: tags(&[("k", "v"), ("l", "")]), remove: Vec::new() },
        Command::SetEncryption { stream: one, key_id: Some("alias/key".to_owned()), now: NOW },
        Command::SetMonitoring { stream: one, metrics: ShardMetrics::ALL },
        Command::SetPolicy { stream: one, consumer: None, policy: Some("{}".to_owned()) },
        Command::RegisterConsumer { stream: one, name: "x".to_owned(), tags: tags(&[("k", "v")]), now: NOW },
        Command::RegisterConsumer { stream: one, name: "y".to_owned(), tags: Tags::new(), now: NOW },
        Command::DeregisterConsumer { stream: one, consumer: ConsumerId(2) },
        Command::SetPolicy { stream: one, consumer: Some(ConsumerId(1)), policy: Some("{ }".to_owned()) },
        Command::Store(StoreCommand::Put { name: name("s", "k"), value: value(), expect: Expect::Absent, token: None }),
        Command::Store(StoreCommand::Claim {
            name: name("s", "k"),
            owner: "me".to_owned(),
            ttl_ms: 1000,
            take_from: None,
        }),
        Command::Store(StoreCommand::Put { name: name("t", "k"), value: value(), expect: Expect::Any, token: None }),
    ]
    .iter()
    .enumerate()
    {
        put(&mut catalog, command);
        catalog.advance(FrameIndex(index as u64), Term(1));
    }
    catalog
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

/// Goal: with the limits of AWS, 25 keys are set and 25 stops made within 24 hours and not one more of either, also over a
/// restart; what changes nothing does not count, nor does anything without these limits, though it is remembered.
#[test]
fn encryption_changes_are_counted() {
    const STREAM: StreamId = StreamId(1);
    let at = |minutes: u64| WallUs(NOW.0 + minutes * 60_000_000);
    let encrypt = |key: Option<u64>, now| Command::SetEncryption {
        stream: STREAM,
        key_id: key.map(|key| format!("key-{key}")),
        now,
    };
    let limits = |limits| {
        let change = SettingsChange { limits: Some(limits), ..SettingsChange::default() };
        Command::UpdateStream { stream: STREAM, change, now: NOW }
    };
    let mut catalog = Catalog::new();
    for command in [create("a", 1), Command::ActivateStream { stream: STREAM }, limits(Limits::Aws)] {
        put(&mut catalog, &command);
    }
    for n in 0..25 {
        put(&mut catalog, &encrypt(Some(n), at(2 * n)));
        put(&mut catalog, &encrypt(Some(n), at(2 * n)));
        put(&mut catalog, &encrypt(None, at(2 * n + 1)));
        put(&mut catalog, &encrypt(None, at(2 * n + 1)));
    }
    let mut catalog = Catalog::decode_snapshot(&catalog.encode_snapshot()).unwrap();
    const DAY: u64 = 24 * 60;
    let refused = Err(CatalogError::EncryptionChanges);
    assert!(CatalogError::EncryptionChanges.is_retryable());
    assert_eq!(catalog.check(&encrypt(Some(0), at(50))), refused);
    assert_eq!(catalog.check(&encrypt(None, at(50))), Ok(()), "it is not encrypted");
    assert_eq!(catalog.check(&encrypt(Some(0), WallUs(at(DAY).0 - 1))), refused);
    put(&mut catalog, &encrypt(Some(0), at(DAY)));
    assert_eq!(catalog.check(&encrypt(Some(0), at(DAY))), Ok(()), "nothing changes");
    assert_eq!(catalog.check(&encrypt(Some(1), at(DAY))), refused);
    assert_eq!(catalog.check(&encrypt(None, at(DAY))), refused);
    put(&mut catalog, &encrypt(None, at(DAY + 1)));
    put(&mut catalog, &limits(Limits::None));
    put(&mut catalog, &encrypt(Some(1), at(DAY + 1)));
    put(&mut catalog, &limits(Limits::Aws));
    assert_eq!(catalog.check(&encrypt(Some(2), at(DAY + 2))), refused, "what came without limits counts later");
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
