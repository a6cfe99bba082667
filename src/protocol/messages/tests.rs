//! Every type of args against its committed bytes, written by hand from PROTOCOL.md. A sample changes only together
//! with the protocol's version.

use super::testing::{check, refused};
use super::*;
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::types::{GroupId, HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, StreamId, WallUs, WorkerId};

const ARRIVAL: WallUs = WallUs(0x0006_0a24_181e_4000);
const SETTINGS: StreamSettings = StreamSettings {
    retention_hours: 24,
    record_bytes_max: 1 << 20,
    durability: Durability::Interval,
    limits: StreamLimits::Custom(CustomLimits {
        write_records_s: 1,
        write_bytes_s: 2,
        read_calls_s: 3,
        read_bytes_s: 4,
        fanout_bytes_s: 5,
    }),
    mode: CapacityMode::OnDemand { shards_min: 6, shards_max: 7 },
    distribution: Distribution::Auto,
    warm_throughput_mib: 8,
    get_records_wait_ms: 9,
};
/// [`SETTINGS`], behind retention, record bytes and durability.
const SETTINGS_REST: &str = "02 0100000000000000 0200000000000000 0300000000000000 0400000000000000 0500000000000000
    01 06000000 07000000 01 08000000 09000000";
/// The same with nothing given.
const NO_SETTINGS_REST: &str = "00 0000000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000
    00 00000000 00000000 00 00000000 00000000";

/// Goal: hello and its answer are encoded as committed.
#[test]
fn hello() {
    check(
        &Hello { version_min: 1, version_max: 2, features: 3, client: "ab", token: b"\xff" },
        "01 02 0300000000000000 0200 6162 0100 ff",
    );
    check(
        &HelloAnswer {
            version: 1,
            features: 2,
            node_id: 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100,
            node_version: "0.1",
            worker: WorkerId(1),
            direct_ports: vec![7001, 7002],
            limits: Limits {
                frame_body_bytes_max: 1,
                put_keyed_records_max: 2,
                in_flight_max: 3,
                producer_window: 4,
                get_wait_ms_max: 5,
                read_bytes_max: 6,
                credit_bytes_max: 7,
                subscriptions_max: 8,
            },
            wall: ARRIVAL,
            catalogue_version: 9,
        },
        "01 0200000000000000 000102030405060708090a0b0c0d0e0f 0300 302e31 0100 02000000 591b 5a1b
         01000000 02000000 03000000 04000000 05000000 06000000 07000000 08000000
         00401e18240a0600 0900000000000000",
    );
    assert_eq!(refused::<Hello<'static>>("01 01 0000000000000000 8100"), "client");
    assert_eq!(refused::<Hello<'static>>("01 01 0000000000000000 0000 0101"), "token");
}

/// Goal: ping and its answer are encoded as committed.
#[test]
fn ping() {
    check(&Ping, "");
    check(&PingAnswer { wall: ARRIVAL }, "00401e18240a0600");
}

/// Goal: put and its answer are encoded as committed; producer fields without a producer are refused.
#[test]
fn put() {
    let stamp = ProducerStamp { id: ProducerId(7), epoch: 2, seq: 11 };
    check(
        &Put { group: GroupId(9), producer: Some(stamp), record_count: 3 },
        "0900000000000000 0700000000000000 02000000 0b000000 03000000",
    );
    check(
        &Put { group: GroupId(9), producer: None, record_count: 3 },
        "0900000000000000 0000000000000000 00000000 00000000 03000000",
    );
    let answer = PutAnswer {
        base_offset: Offset(500),
        record_count: 3,
        arrival: ARRIVAL,
        durability: Durability::Fsync,
        duplicate: true,
    };
    check(&answer, "f401000000000000 03000000 00401e18240a0600 00 01");
    assert_eq!(refused::<Put>("0900000000000000 0000000000000000 01000000 00000000 03000000"), "producer_epoch");
    assert_eq!(refused::<Put>("0900000000000000 0000000000000000 00000000 01000000 03000000"), "producer_seq");
    assert_eq!(refused::<PutAnswer>("f401000000000000 03000000 00401e18240a0600 02 01"), "durability");
    assert_eq!(refused::<PutAnswer>("f401000000000000 03000000 00401e18240a0600 00 02"), "duplicate");
}

/// Goal: keyed put and its answer are encoded as committed; hash keys are one per record or none.
#[test]
fn put_keyed() {
    let mut scratch = Vec::new();
    let hash_keys = HashKeys::collect([None, Some(HashKey(5))], &mut scratch);
    assert_eq!([0, 1, 2].map(|record| hash_keys.get(record)), [None, Some(HashKey(5)), None]);
    let scratch: &'static [u8] = scratch.leak();
    let hash_keys = PutKeyed::decode([b"\x01\0s\x02\0\0\0\x02\0\0\0", scratch].concat().leak()).unwrap().hash_keys;
    check(
        &PutKeyed { stream: "s", record_count: 2, hash_keys },
        "0100 73 02000000 02000000 00 00000000000000000000000000000000 01 05000000000000000000000000000000",
    );
    check(&PutKeyed { stream: "s", record_count: 2, hash_keys: HashKeys::NONE }, "0100 73 02000000 00000000");
    assert_eq!(HashKeys::NONE.get(0), None);
    check(
        &PutKeyedAnswer {
            durability: Durability::Fsync,
            results: vec![
                RecordResult::stored(ShardNumber(3), Offset(500), ARRIVAL),
                RecordResult::failed(ShardNumber(1), ErrorCode::ShardOverloaded),
            ],
        },
        "00 02000000 03000000 0000 f401000000000000 00401e18240a0600
         01000000 6300 0000000000000000 0000000000000000",
    );
    type Keyed = PutKeyed<'static>;
    assert_eq!(refused::<Keyed>("0100 73 11270000 00000000"), "record_count");
    assert_eq!(refused::<Keyed>("0100 73 02000000 03000000"), "hash_keys");
    assert_eq!(refused::<Keyed>("0100 73 02000000 01000000 01 05000000000000000000000000000000"), "hash_keys");
    assert_eq!(refused::<Keyed>("0100 73 01000000 01000000 02 05000000000000000000000000000000"), "hash_key");
    assert_eq!(refused::<Keyed>("0100 73 01000000 01000000 00 05000000000000000000000000000000"), "hash_key");
    assert_eq!(refused::<Keyed>("0100 ff 01000000 00000000"), "stream");
    assert_eq!(refused::<PutKeyedAnswer>("00 ffffffff"), "results");
}

/// Goal: get and the state it answers with are encoded as committed.
#[test]
fn get() {
    check(
        &Get { group: GroupId(9), from: Offset(500), bytes_max: 4096, wait_ms: 1000 },
        "0900000000000000 f401000000000000 00100000 e8030000",
    );
    let state = ReadState {
        next_offset: Offset(503),
        end_offset: Offset(600),
        horizon: Offset(10),
        last_arrival: ARRIVAL,
        wall: ARRIVAL.plus(7_999),
        end_of_shard: false,
    };
    check(&state, "f701000000000000 5802000000000000 0a00000000000000 00401e18240a0600 3f5f1e18240a0600 00");
    assert_eq!(state.millis_behind(), 7);
    assert_eq!(ReadState { next_offset: Offset(600), ..state }.millis_behind(), 0);
}

/// Goal: every place is encoded as committed; values without meaning are refused.
#[test]
fn position() {
    for (start, hex) in [
        (Start::Horizon, "00 0000000000000000"),
        (Start::Latest, "01 0000000000000000"),
        (Start::At(Offset(5)), "02 0500000000000000"),
        (Start::After(Offset(5)), "03 0500000000000000"),
        (Start::AtTime(ARRIVAL), "04 00401e18240a0600"),
    ] {
        check(&Position { group: GroupId(9), start }, &format!("0900000000000000 {hex}"));
    }
    check(
        &PositionAnswer { offset: Offset(5), horizon: Offset(1), end_offset: Offset(9) },
        "0500000000000000 0100000000000000 0900000000000000",
    );
    assert_eq!(refused::<Position>("0900000000000000 05 0000000000000000"), "start");
    assert_eq!(refused::<Position>("0900000000000000 00 0100000000000000"), "value");
}

/// Goal: everything about a subscription is encoded as committed.
#[test]
fn subscriptions() {
    check(
        &Subscribe { group: GroupId(9), start: Start::After(Offset(5)), consumer: 7, credit: 65536 },
        "0900000000000000 03 0500000000000000 0700000000000000 00000100",
    );
    check(
        &SubscribeAnswer { from: Offset(5), horizon: Offset(1), end_offset: Offset(9) },
        "0500000000000000 0100000000000000 0900000000000000",
    );
    let child = ChildShard {
        number: ShardNumber(2),
        group: GroupId(10),
        hash_start: HashKey(1),
        hash_end: HashKey(3),
        parent: Some(ShardNumber(0)),
        adjacent_parent: Some(ShardNumber(1)),
    };
    check(
        &SubscriptionEnd { next_offset: Offset(9), error: None, children: vec![child] },
        "0900000000000000 00 01000000 02000000 0a00000000000000 01000000000000000000000000000000
         03000000000000000000000000000000 00000000 01000000",
    );
    assert_eq!(refused::<SubscriptionEnd<'static>>("0900000000000000 00 03000000"), "children");
    let error = ErrorAnswer::new(ErrorCode::StreamNotFound).message("s");
    check(
        &SubscriptionEnd { next_offset: Offset(9), error: Some(error), children: Vec::new() },
        "0900000000000000 01 4000 05 00000000 0000000000000000 0000000000000000 0100 73",
    );
    check(&Credit { subscription: 4, bytes: 65536 }, "0400000000000000 00000100");
    check(&Unsubscribe { subscription: 4 }, "0400000000000000");
    check(&UnsubscribeAnswer { existed: true }, "01");
}

/// Goal: creation, change and deletion of a stream are encoded as committed; settings that are not given are 0.
#[test]
fn stream_changes() {
    check(
        &CreateStream { name: "s", shards: 4, settings: SettingsChange::default() },
        &format!("0100 73 04000000 00 00000000 00000000 00 {NO_SETTINGS_REST}"),
    );
    check(&CreateStreamAnswer { stream: StreamId(3), catalogue_version: 8 }, "0300000000000000 0800000000000000");
    let settings = SettingsChange {
        retention_hours: Some(48),
        durability: Some(Durability::Interval),
        limits: Some(SETTINGS.limits),
        mode: Some(SETTINGS.mode),
        distribution: Some(SETTINGS.distribution),
        warm_throughput_mib: Some(SETTINGS.warm_throughput_mib),
        get_records_wait_ms: Some(SETTINGS.get_records_wait_ms),
        ..SettingsChange::NONE
    };
    check(&UpdateStream { name: "s", settings }, &format!("0100 73 fd 30000000 00000000 01 {SETTINGS_REST}"));
    check(
        &UpdateStreamAnswer { settings: SETTINGS, catalogue_version: 8 },
        &format!("18000000 00001000 01 {SETTINGS_REST} 0800000000000000"),
    );
    check(&DeleteStream { name: "s", enforce_consumer_deletion: true }, "0100 73 01");
    check(&DeleteStreamAnswer { catalogue_version: 8 }, "0800000000000000");
    type Update = UpdateStream<'static>;
    for (start, field) in [
        ("00 01000000 00000000 00", "retention_hours"),
        ("01 01000000 01000000 00", "record_bytes_max"),
        ("01 01000000 00000000 01", "durability"),
        ("04 00000000 00000000 02", "durability"),
    ] {
        assert_eq!(refused::<Update>(&format!("0100 73 {start} {NO_SETTINGS_REST}")), field);
    }
    let numbers = "0000000000000000".repeat(5);
    for (given, rest, field) in [
        ("00", format!("01 {numbers} 00 00000000 00000000 00 00000000 00000000"), "limits"),
        ("08", format!("03 {numbers} 00 00000000 00000000 00 00000000 00000000"), "limits"),
        ("08", format!("01 01{} 00 00000000 00000000 00 00000000", &numbers[2..]), "limits"),
        ("00", format!("00 {numbers} 01 00000000 00000000 00 00000000 00000000"), "mode"),
        ("10", format!("00 {numbers} 02 00000000 00000000 00 00000000 00000000"), "mode"),
        ("10", format!("00 {numbers} 00 01000000 00000000 00 00000000 00000000"), "mode"),
        ("00", format!("00 {numbers} 00 00000000 00000000 01 00000000 00000000"), "distribution"),
        ("20", format!("00 {numbers} 00 00000000 00000000 02 00000000 00000000"), "distribution"),
        ("00", format!("00 {numbers} 00 00000000 00000000 00 01000000 00000000"), "warm_throughput_mib"),
        ("7f", format!("00 {numbers} 00 00000000 00000000 00 00000000 01000000"), "get_records_wait_ms"),
    ] {
        assert_eq!(refused::<Update>(&format!("0100 73 {given} 00000000 00000000 00 {rest}")), field);
    }
    assert_eq!(refused::<Update>("8100"), "name");
}

/// Goal: listings are encoded as committed; counts that lie are refused before anything is reserved for them.
#[test]
fn list_streams() {
    check(&ListStreams { after: "s", limit: 10 }, "0100 73 0a000000");
    let streams = vec![StreamSummary { name: "t", status: StreamStatus::Active, open_shards: 4 }];
    check(&ListStreamsAnswer { streams, more: true }, "01000000 0100 74 01 04000000 01");
    assert_eq!(refused::<ListStreamsAnswer<'static>>("e8030000"), "streams");
    assert_eq!(refused::<ListStreamsAnswer<'static>>("e9030000"), "streams");
    assert_eq!(refused::<ListStreamsAnswer<'static>>("01000000 0100 74 04 04000000 01"), "status");
}

/// A shard of the tests below.
const SHARD: &str = "02000000 0900000000000000 00000000000000000000000000000000 ffffffffffffffffffffffffffffffff
    0100 01 00000000 ffffffff 0400000000000000 0500000000000000 0600000000000000";

/// Goal: descriptions are encoded as committed.
#[test]
fn describe_stream() {
    check(
        &DescribeStream { name: "s", from_shard: ShardNumber(2), limit: 10, filter: ShardFilter::Open },
        "0100 73 02000000 0a000000 01",
    );
    assert_eq!(refused::<DescribeStream<'static>>("0100 73 02000000 0a000000 03"), "filter");
    let shard = ShardDescription {
        number: ShardNumber(2),
        group: GroupId(9),
        hash_start: HashKey(0),
        hash_end: HashKey(u128::MAX),
        worker: WorkerId(1),
        state: ShardState::Closed,
        parent: Some(ShardNumber(0)),
        adjacent_parent: None,
        created: WallUs(4),
        closed: Some(ShardEnd { at: WallUs(5), offset: Offset(6) }),
    };
    check(
        &DescribeStreamAnswer {
            stream: StreamId(3),
            name: "s",
            status: StreamStatus::Updating,
            created: ARRIVAL,
            settings: SETTINGS,
            catalogue_version: 8,
            open_shards: 1,
            scaling_target: 2,
            consumers: 3,
            expired_before: WallUs(7),
            shards: vec![shard],
            more: false,
        },
        &format!(
            "0300000000000000 0100 73 02 00401e18240a0600 18000000 00001000 01 {SETTINGS_REST} 0800000000000000
             01000000 02000000 03000000 0700000000000000 01000000 {SHARD} 00",
        ),
    );
    check(
        &ReshardAnswer { catalogue_version: 8, children: vec![shard] },
        &format!("0800000000000000 01000000 {SHARD}"),
    );
    check(
        &ReshardAnswer {
            catalogue_version: 8,
            children: vec![ShardDescription { state: ShardState::Pending, closed: None, ..shard }],
        },
        &format!("0800000000000000 01000000 {SHARD}")
            .replace("0100 01 ", "0100 03 ")
            .replace("0500000000000000 0600000000000000", "0000000000000000 0000000000000000"),
    );
    let open_with_an_end = SHARD.replace("0500000000000000 06", "0000000000000000 06");
    assert_eq!(refused::<ReshardAnswer>(&format!("0800000000000000 01000000 {open_with_an_end}")), "end_offset");
}

/// Goal: changes of shards are encoded as committed.
#[test]
fn reshards() {
    check(
        &SplitShard { stream: "s", shard: ShardNumber(2), at: HashKey(5) },
        "0100 73 02000000 05000000000000000000000000000000",
    );
    check(&MergeShards { stream: "s", shard: ShardNumber(2), adjacent: ShardNumber(3) }, "0100 73 02000000 03000000");
    check(&ScaleStream { stream: "s", target: 4, plan_only: true }, "0100 73 04000000 01");
    let step = |round, kind| ScaleStep { round, kind, start: HashKey(1), at: HashKey(2), end: HashKey(3) };
    let range = "01000000000000000000000000000000 02000000000000000000000000000000 03000000000000000000000000000000";
    check(
        &ScaleStreamAnswer {
            open_shards: 6,
            catalogue_version: 8,
            steps: vec![step(0, ScaleKind::Split), step(1, ScaleKind::Merge)],
        },
        &format!("06000000 0800000000000000 02000000 0000 00 {range} 0100 01 {range}"),
    );
    assert_eq!(refused::<ScaleStreamAnswer>(&format!("06000000 0800000000000000 01000000 0000 02 {range}")), "kind");
    assert_eq!(refused::<ScaleStreamAnswer>("06000000 0800000000000000 214e0000"), "steps");
    check(&MoveShard { stream: "s", shard: ShardNumber(2), to: WorkerId(1) }, "0100 73 02000000 0100");
    check(&MoveShardAnswer { catalogue_version: 8 }, "0800000000000000");
}

/// Goal: metadata is encoded as committed, and bounded.
#[test]
fn metadata() {
    let tag = Tag { key: "k", value: "" };
    check(&GetMetadata { stream: "s", consumer: "" }, "0100 73 0000");
    check(
        &GetMetadataAnswer { tags: vec![tag], encryption_key: "e", monitoring: 3, policy: "{}" },
        "01000000 0100 6b 0000 0100 65 03 0200 7b7d",
    );
    for (change, hex) in [
        (MetadataChange::Tags { set: vec![tag], remove: vec!["r"] }, "00 01000000 0100 6b 0000 01000000 0100 72"),
        (MetadataChange::Encryption("e"), "01 0100 65"),
        (MetadataChange::Monitoring(127), "02 7f"),
        (MetadataChange::Policy("{}"), "03 0200 7b7d"),
    ] {
        check(&SetMetadata { stream: "s", consumer: "c", change }, &format!("0100 73 0100 63 {hex}"));
    }
    check(&SetMetadataAnswer { catalogue_version: 8 }, "0800000000000000");
    type Set = SetMetadata<'static>;
    assert_eq!(refused::<Set>("0100 73 0000 04"), "change");
    assert_eq!(refused::<Set>("0100 73 0000 00 33000000"), "tags");
    assert_eq!(refused::<Set>("0100 73 0000 00 00000000 33000000"), "remove");
    assert_eq!(refused::<Set>("0100 73 0000 00 01000000 0102 0000"), "tag key");
    assert_eq!(refused::<Set>("0100 73 0000 00 01000000 0100 6b 0104"), "tag value");
    assert_eq!(refused::<Set>("0100 73 0000 01 0108"), "encryption_key");
    assert_eq!(refused::<Set>("0100 73 0000 03 0150"), "policy");
}

/// Goal: everything about consumers is encoded as committed.
#[test]
fn consumers() {
    let consumer = ConsumerDescription { id: 7, created: ARRIVAL, name: "c" };
    let hex = "0700000000000000 00401e18240a0600 0100 63";
    check(&DescribeConsumer { stream: "s", name: "c" }, "0100 73 0100 63");
    check(&consumer, hex);
    check(
        &RegisterConsumer { stream: "s", name: "c", tags: vec![Tag { key: "k", value: "v" }] },
        "0100 73 0100 63 01000000 0100 6b 0100 76",
    );
    check(&RegisterConsumerAnswer { catalogue_version: 8, consumer }, &format!("0800000000000000 {hex}"));
    check(&DeregisterConsumer { stream: "s", name: "c" }, "0100 73 0100 63");
    check(&DeregisterConsumerAnswer { catalogue_version: 8 }, "0800000000000000");
    check(&ListConsumers { stream: "s", after: "b", limit: 10 }, "0100 73 0100 62 0a000000");
    check(&ListConsumersAnswer { consumers: vec![consumer], more: true }, &format!("01000000 {hex} 01"));
    assert_eq!(refused::<DescribeConsumer<'static>>("0100 73 8100"), "name");
    assert_eq!(refused::<ListConsumersAnswer<'static>>("e9030000"), "consumers");
}

/// Goal: everything about the store is encoded as committed; conditions without meaning are refused.
#[test]
fn store() {
    let (space, key) = ("a", "k");
    for (expect, token, hex) in [
        (Expect::Any, None, "00 0000000000000000 0000000000000000"),
        (Expect::Absent, None, "01 0000000000000000 0000000000000000"),
        (Expect::Version(0), Some(9), "02 0000000000000000 0900000000000000"),
    ] {
        check(&StorePut { space, key, value: b"v", expect, token }, &format!("0100 61 0100 6b 0100 76 {hex}"));
        check(&StoreDelete { space, key, expect, token }, &format!("0100 61 0100 6b {hex}"));
    }
    check(&StorePutAnswer { version: 2 }, "0200000000000000");
    check(&StoreDeleteAnswer { existed: true }, "01");
    check(&StoreGet { space, key }, "0100 61 0100 6b");
    check(&StoreGetAnswer { item: None }, "00");
    let lease = Lease { token: 9, ttl_ms: 10_000, remaining_ms: 16, owner: "m" };
    let free = StoreItem { version: 2, key, value: b"v", lease: None };
    let (free_hex, held_hex) = (
        "0200000000000000 0100 6b 0100 76 00",
        "0200000000000000 0100 6b 0100 76 01 0900000000000000 10270000 10000000 0100 6d",
    );
    check(&StoreGetAnswer { item: Some(free) }, &format!("01 {free_hex}"));
    let held = StoreItem { lease: Some(lease), ..free };
    check(&StoreList { space, prefix: "k", after: "", limit: 3 }, "0100 61 0100 6b 0000 03000000");
    check(&StoreListAnswer { items: vec![free, held], more: false }, &format!("02000000 {free_hex} {held_hex} 00"));
    check(
        &LeaseClaim { space, key, owner: "m", ttl_ms: 10_000, take_from: Some(8) },
        "0100 61 0100 6b 0100 6d 10270000 0800000000000000",
    );
    check(&LeaseClaimAnswer { token: 9, item: held }, &format!("0900000000000000 {held_hex}"));
    check(
        &LeaseRenew { space, renewals: vec![Renewal { key, token: 9 }] },
        "0100 61 01000000 0100 6b 0900000000000000",
    );
    check(&LeaseRenewAnswer { held: vec![true, false] }, "02000000 01 00");
    check(&LeaseRelease { space, key, token: 9 }, "0100 61 0100 6b 0900000000000000");
    check(&LeaseReleaseAnswer, "");

    type Put = StorePut<'static>;
    assert_eq!(refused::<Put>("8100"), "space");
    assert_eq!(refused::<Put>("0100 61 0101"), "key");
    assert_eq!(refused::<Put>("0100 61 0100 6b 0110"), "value");
    assert_eq!(refused::<Put>("0100 61 0100 6b 0000 01 0100000000000000 0000000000000000"), "version");
    assert_eq!(refused::<Put>("0100 61 0100 6b 0000 03 0000000000000000 0000000000000000"), "expect");
    assert_eq!(refused::<StoreListAnswer<'static>>("c9000000"), "items");
    assert_eq!(refused::<LeaseClaim<'static>>("0100 61 0100 6b 8100"), "owner");
    assert_eq!(refused::<LeaseRenew<'static>>("0100 61 e9030000"), "renewals");
}

/// Goal: statistics are encoded as committed.
#[test]
fn stats() {
    check(&Stats::Node, "00");
    check(&Stats::Stream("s"), "01 0100 73");
    check(&Stats::Shard(GroupId(9)), "02 0900000000000000");
    let stats = vec![Stat { name: "a_b", value: 5 }, Stat { name: "c", value: 6 }];
    check(&StatsAnswer { stats }, "02000000 0300 615f62 0500000000000000 0100 63 0600000000000000");
    assert_eq!(refused::<Stats<'static>>("03"), "scope");
}

/// Goal: the largest messages the limits allow fit the limit on args, so that no server has to truncate one.
#[test]
fn the_largest_args_fit() {
    use crate::limits::{
        ARGS_BYTES_MAX, ENCRYPTION_KEY_BYTES_MAX, LEASE_RENEWALS_MAX, PAGE_MAX, POLICY_BYTES_MAX,
        PUT_KEYED_RECORDS_MAX, SCALE_STEPS_MAX, SHARD_PAGE_MAX, STAT_NAME_BYTES_MAX, STATS_MAX, STORE_KEY_BYTES_MAX,
        STORE_OWNER_BYTES_MAX, STORE_PAGE_MAX, STORE_SPACE_BYTES_MAX, STORE_VALUE_BYTES_MAX, STREAM_NAME_BYTES_MAX,
        TAG_KEY_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX,
    };

    let name = "n".repeat(STREAM_NAME_BYTES_MAX);
    let result = RecordResult::failed(ShardNumber(0), ErrorCode::Internal);
    let results = vec![result; PUT_KEYED_RECORDS_MAX as usize];
    let mut scratch = Vec::new();
    let hash_keys = HashKeys::collect((0..PUT_KEYED_RECORDS_MAX).map(|_| None), &mut scratch);
    let stream = StreamSummary { name: &name, status: StreamStatus::Active, open_shards: 1 };
    let step = ScaleStep { round: 0, kind: ScaleKind::Split, start: HashKey(0), at: HashKey(0), end: HashKey(0) };
    let (tag_key, tag_value) = ("k".repeat(TAG_KEY_BYTES_MAX), "v".repeat(TAG_VALUE_BYTES_MAX));
    let tags = vec![Tag { key: &tag_key, value: &tag_value }; TAGS_MAX];
    let (encryption, policy) = ("e".repeat(ENCRYPTION_KEY_BYTES_MAX), "p".repeat(POLICY_BYTES_MAX));
    let (space, key) = ("s".repeat(STORE_SPACE_BYTES_MAX), "k".repeat(STORE_KEY_BYTES_MAX));
    let owner = "o".repeat(STORE_OWNER_BYTES_MAX);
    let lease = Lease { token: 1, ttl_ms: 1, remaining_ms: 1, owner: &owner };
    let item = StoreItem { version: 1, key: &key, value: &[0; STORE_VALUE_BYTES_MAX], lease: Some(lease) };
    let stat_name = "n".repeat(STAT_NAME_BYTES_MAX);
    let shard = ShardDescription {
        number: ShardNumber(0),
        group: GroupId(1),
        hash_start: HashKey(0),
        hash_end: HashKey(0),
        worker: WorkerId(0),
        state: ShardState::Open,
        parent: None,
        adjacent_parent: None,
        created: ARRIVAL,
        closed: None,
    };
    let description = DescribeStreamAnswer {
        stream: StreamId(1),
        name: &name,
        status: StreamStatus::Active,
        created: ARRIVAL,
        settings: SETTINGS,
        catalogue_version: 1,
        open_shards: 1,
        scaling_target: 0,
        consumers: 0,
        expired_before: ARRIVAL,
        shards: vec![shard; SHARD_PAGE_MAX as usize],
        more: true,
    };
    for bytes in [
        PutKeyed { stream: &name, record_count: PUT_KEYED_RECORDS_MAX, hash_keys }.encoded_bytes(),
        PutKeyedAnswer { durability: Durability::Fsync, results }.encoded_bytes(),
        ListStreamsAnswer { streams: vec![stream; PAGE_MAX as usize], more: true }.encoded_bytes(),
        description.encoded_bytes(),
        StatsAnswer { stats: vec![Stat { name: &stat_name, value: 1 }; STATS_MAX] }.encoded_bytes(),
        ScaleStreamAnswer { open_shards: 1, catalogue_version: 1, steps: vec![step; SCALE_STEPS_MAX] }.encoded_bytes(),
        GetMetadataAnswer { tags, encryption_key: &encryption, monitoring: 0, policy: &policy }.encoded_bytes(),
        StoreListAnswer { items: vec![item; STORE_PAGE_MAX as usize], more: true }.encoded_bytes(),
        LeaseRenew { space: &space, renewals: vec![Renewal { key: &key, token: 1 }; LEASE_RENEWALS_MAX] }
            .encoded_bytes(),
    ] {
        assert!(bytes <= ARGS_BYTES_MAX as usize, "{bytes}");
    }
}
