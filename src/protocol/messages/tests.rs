//! Every type of args against its committed bytes, written by hand from PROTOCOL.md. A sample changes only together
//! with the protocol's version.

use super::testing::{check, refused};
use super::*;
use crate::protocol::{ErrorAnswer, ErrorCode};
use crate::types::{GroupId, HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, StreamId, WallUs, WorkerId};

const ARRIVAL: WallUs = WallUs(0x0006_0a24_181e_4000);
const SETTINGS: StreamSettings =
    StreamSettings { retention_hours: 24, record_bytes_max: 1 << 20, durability: Durability::Interval };

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
        &Subscribe { group: GroupId(9), from: Offset(5), credit: 65536 },
        "0900000000000000 0500000000000000 00000100",
    );
    check(
        &SubscribeAnswer { from: Offset(5), horizon: Offset(1), end_offset: Offset(9) },
        "0500000000000000 0100000000000000 0900000000000000",
    );
    check(&SubscriptionEnd { next_offset: Offset(9), error: None }, "0900000000000000 00");
    let error = ErrorAnswer::new(ErrorCode::StreamNotFound).message("s");
    check(
        &SubscriptionEnd { next_offset: Offset(9), error: Some(error) },
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
        "0100 73 04000000 00 00000000 00000000 00",
    );
    check(&CreateStreamAnswer { stream: StreamId(3), catalogue_version: 8 }, "0300000000000000 0800000000000000");
    let settings =
        SettingsChange { retention_hours: Some(48), record_bytes_max: None, durability: Some(Durability::Interval) };
    check(&UpdateStream { name: "s", settings }, "0100 73 05 30000000 00000000 01");
    check(&UpdateStreamAnswer { settings: SETTINGS, catalogue_version: 8 }, "18000000 00001000 01 0800000000000000");
    check(&DeleteStream { name: "s" }, "0100 73");
    check(&DeleteStreamAnswer { catalogue_version: 8 }, "0800000000000000");
    type Update = UpdateStream<'static>;
    assert_eq!(refused::<Update>("0100 73 08 00000000 00000000 00"), "given");
    assert_eq!(refused::<Update>("0100 73 00 01000000 00000000 00"), "retention_hours");
    assert_eq!(refused::<Update>("0100 73 01 01000000 01000000 00"), "record_bytes_max");
    assert_eq!(refused::<Update>("0100 73 01 01000000 00000000 01"), "durability");
    assert_eq!(refused::<Update>("0100 73 04 00000000 00000000 02"), "durability");
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

/// Goal: descriptions are encoded as committed.
#[test]
fn describe_stream() {
    check(&DescribeStream { name: "s", from_shard: ShardNumber(2), limit: 10 }, "0100 73 02000000 0a000000");
    let shard = ShardDescription {
        number: ShardNumber(2),
        group: GroupId(9),
        hash_start: HashKey(0),
        hash_end: HashKey(u128::MAX),
        worker: WorkerId(1),
        state: ShardState::Closed,
        parent: Some(ShardNumber(0)),
        adjacent_parent: None,
    };
    check(
        &DescribeStreamAnswer {
            stream: StreamId(3),
            name: "s",
            status: StreamStatus::Updating,
            created: ARRIVAL,
            settings: SETTINGS,
            catalogue_version: 8,
            shards: vec![shard],
            more: false,
        },
        "0300000000000000 0100 73 02 00401e18240a0600 18000000 00001000 01 0800000000000000 01000000
         02000000 0900000000000000 00000000000000000000000000000000 ffffffffffffffffffffffffffffffff
         0100 01 00000000 ffffffff 00",
    );
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
    use crate::limits::STREAM_NAME_BYTES_MAX;
    use crate::limits::{ARGS_BYTES_MAX, PAGE_MAX, PUT_KEYED_RECORDS_MAX, STAT_NAME_BYTES_MAX, STATS_MAX};

    let name = "n".repeat(STREAM_NAME_BYTES_MAX);
    let result = RecordResult::failed(ShardNumber(0), ErrorCode::Internal);
    let results = vec![result; PUT_KEYED_RECORDS_MAX as usize];
    let mut scratch = Vec::new();
    let hash_keys = HashKeys::collect((0..PUT_KEYED_RECORDS_MAX).map(|_| None), &mut scratch);
    let stream = StreamSummary { name: &name, status: StreamStatus::Active, open_shards: 1 };
    let stat_name = "n".repeat(STAT_NAME_BYTES_MAX);
    for bytes in [
        PutKeyed { stream: &name, record_count: PUT_KEYED_RECORDS_MAX, hash_keys }.encoded_bytes(),
        PutKeyedAnswer { durability: Durability::Fsync, results }.encoded_bytes(),
        ListStreamsAnswer { streams: vec![stream; PAGE_MAX as usize], more: true }.encoded_bytes(),
        StatsAnswer { stats: vec![Stat { name: &stat_name, value: 1 }; STATS_MAX] }.encoded_bytes(),
    ] {
        assert!(bytes <= ARGS_BYTES_MAX as usize, "{bytes}");
    }
}
