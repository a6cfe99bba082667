//! PROTOCOL.md is what client authors trust, so its tables and test vectors come from the code. This test compares them;
//! with `MILLSTREAM_BLESS=1` it writes them.

#![allow(clippy::disallowed_methods, reason = "reads and writes a document; runs in no node")]

mod generated;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::BytesMut;
use millstream::format::{frame, record};
use millstream::limits;
use millstream::protocol::messages::{
    CapacityMode, ChildShard, ConsumerDescription, CreateStream, CreateStreamAnswer, Credit, CustomLimits,
    DeleteStream, DeleteStreamAnswer, DeregisterConsumer, DeregisterConsumerAnswer, DescribeConsumer, DescribeStream,
    DescribeStreamAnswer, Distribution, Expect, Get, GetMetadata, GetMetadataAnswer, HashKeys, Hello, HelloAnswer,
    Lease, LeaseClaim, LeaseClaimAnswer, LeaseRelease, LeaseReleaseAnswer, LeaseRenew, LeaseRenewAnswer, Limits,
    ListConsumers, ListConsumersAnswer, ListStreams, ListStreamsAnswer, MergeShards, MetadataChange, MoveShard,
    MoveShardAnswer, Ping, PingAnswer, Position, PositionAnswer, Put, PutAnswer, PutKeyed, PutKeyedAnswer, ReadState,
    RecordResult, RegisterConsumer, RegisterConsumerAnswer, Renewal, ReshardAnswer, ScaleKind, ScaleStep, ScaleStream,
    ScaleStreamAnswer, SetMetadata, SetMetadataAnswer, SettingsChange, ShardDescription, ShardEnd, ShardFilter,
    ShardState, SplitShard, Start, Stat, Stats, StatsAnswer, StoreDelete, StoreDeleteAnswer, StoreGet, StoreGetAnswer,
    StoreItem, StoreList, StoreListAnswer, StorePut, StorePutAnswer, StreamLimits, StreamSettings, StreamStatus,
    StreamSummary, Subscribe, SubscribeAnswer, SubscriptionEnd, Tag, Unsubscribe, UnsubscribeAnswer, UpdateStream,
    UpdateStreamAnswer,
};
use millstream::protocol::{
    Decoder, Encode, Envelope, ErrorAnswer, ErrorCode, HEAD_BYTES, Head, Kind, Next, Opcode, Operation, Side, VERSION,
    VERSION_MIN,
};
use millstream::types::{
    Chain, Durability, FrameIndex, GroupId, HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, StreamId, Term,
    WallUs, WorkerId,
};

const GROUP: GroupId = GroupId(17);
const ARRIVAL: WallUs = WallUs(1_767_225_600_000_000);

/// Goal: every table and vector of PROTOCOL.md is what the code produces, and nothing generated is missing from it.
#[test]
fn the_document_is_what_the_code_does() {
    generated::check("PROTOCOL.md", parts());
}

/// Goal: every operation has a vector; each is a message that the decoder takes and whose request or body checks out.
#[test]
fn the_vectors_decode() {
    let mut shown = BTreeSet::new();
    for (name, bytes) in vectors() {
        let side = if bytes[10] == 0 { Side::Server } else { Side::Client };
        let message = match Decoder::new(side).next(&mut BytesMut::from(&bytes[..])) {
            Ok(Next::Message(message)) => message,
            other => panic!("{name}: {other:?}"),
        };
        match message.head.kind {
            Kind::Request => {
                assert_eq!(message.request().unwrap().opcode() as u8, message.head.opcode, "{name}");
                message.check_body().unwrap();
                shown.insert(message.head.opcode);
            }
            Kind::Answer | Kind::Push if !message.body.is_empty() => {
                frame::Frame::split(&message.body).unwrap();
            }
            Kind::Answer | Kind::Error | Kind::Push | Kind::LastPush => assert!(message.body.is_empty(), "{name}"),
        }
    }
    assert!(shown.into_iter().eq(Opcode::ALL.iter().map(|opcode| *opcode as u8)));
}

fn parts() -> Vec<(String, String)> {
    let mut parts = vec![
        ("operations".to_owned(), operations()),
        ("errors".to_owned(), errors()),
        ("limits".to_owned(), limits_table()),
        ("hash keys".to_owned(), hash_keys()),
        ("refused heads".to_owned(), refused_heads()),
    ];
    parts.extend(vectors().into_iter().map(|(name, bytes)| (name.to_owned(), dump(&bytes))));
    parts
}

fn operations() -> String {
    let mut out = "| opcode | operation | body of the request | |\n|--:|---|---|---|\n".to_owned();
    for opcode in Opcode::ALL {
        let body = if opcode.request_has_body() { "records" } else { "none" };
        writeln!(out, "| {} | {} | {body} | {} |", *opcode as u8, opcode.name(), opcode.meaning()).unwrap();
    }
    out
}

fn errors() -> String {
    let mut out = "| code | name | class | closes | AWS exception | meaning |\n|--:|---|---|---|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        let closes = if code.closes_connection() { "yes" } else { "" };
        let (number, name, class, aws) = (*code as u16, code.name(), code.class(), code.aws_exception());
        writeln!(out, "| {number} | {name} | {class:?} | {closes} | {aws} | {} |", code.meaning()).unwrap();
    }
    out
}

fn limits_table() -> String {
    let mut out = "| limit | value |\n|---|--:|\n".to_owned();
    for (what, value) in [
        ("args of a message, bytes", limits::ARGS_BYTES_MAX.into()),
        ("body of a request, bytes", Side::Server.body_bytes_max().into()),
        ("body of an answer or push, bytes", Side::Client.body_bytes_max().into()),
        ("frames of an answer or push beyond the first, bytes", limits::READ_BYTES_MAX.into()),
        ("records in a Put", limits::FRAME_RECORDS_MAX.into()),
        ("records in a PutKeyed", limits::PUT_KEYED_RECORDS_MAX.into()),
        ("partition key, characters", limits::KEY_CHARS_MAX as u64),
        ("record (key and data) unless the stream says otherwise, bytes", limits::RECORD_BYTES_DEFAULT.into()),
        ("record (key and data) of any stream, bytes", limits::RECORD_BYTES_MAX.into()),
        ("stream name, bytes", limits::STREAM_NAME_BYTES_MAX as u64),
        ("client name and node version, bytes", limits::HELLO_TEXT_BYTES_MAX as u64),
        ("token, bytes", limits::AUTH_TOKEN_BYTES_MAX as u64),
        ("message of an error, bytes", limits::ERROR_MESSAGE_BYTES_MAX as u64),
        ("entries in a page of streams or consumers", limits::PAGE_MAX.into()),
        ("shards in a page", limits::SHARD_PAGE_MAX.into()),
        ("values in an answer to Stats", limits::STATS_MAX as u64),
        ("name of a value, bytes", limits::STAT_NAME_BYTES_MAX as u64),
        ("workers", limits::WORKERS_MAX as u64),
        ("unanswered requests of a connection", limits::IN_FLIGHT_PER_CONNECTION_MAX as u64),
        ("subscriptions of a connection", limits::SUBSCRIPTIONS_PER_CONNECTION_MAX as u64),
        ("credit of a subscription, bytes", limits::SUBSCRIBE_CREDIT_BYTES_MAX.into()),
        ("unacknowledged batches of a producer and shard", limits::PRODUCER_WINDOW as u64),
        ("steps in an answer to ScaleStream", limits::SCALE_STEPS_MAX as u64),
        ("registered consumers of a stream", limits::CONSUMERS_PER_STREAM_MAX as u64),
        ("consumer name, bytes", limits::CONSUMER_NAME_BYTES_MAX as u64),
        ("tags of a stream or consumer", limits::TAGS_MAX as u64),
        ("key of a tag, bytes", limits::TAG_KEY_BYTES_MAX as u64),
        ("value of a tag, bytes", limits::TAG_VALUE_BYTES_MAX as u64),
        ("encryption key, bytes", limits::ENCRYPTION_KEY_BYTES_MAX as u64),
        ("policy, bytes", limits::POLICY_BYTES_MAX as u64),
        ("name of a space, bytes", limits::STORE_SPACE_BYTES_MAX as u64),
        ("key of an item, bytes", limits::STORE_KEY_BYTES_MAX as u64),
        ("value of an item, bytes", limits::STORE_VALUE_BYTES_MAX as u64),
        ("owner of a lease, bytes", limits::STORE_OWNER_BYTES_MAX as u64),
        ("items in a page of the store", limits::STORE_PAGE_MAX.into()),
        ("leases in a LeaseRenew", limits::LEASE_RENEWALS_MAX as u64),
        ("time of a lease at least, ms", limits::LEASE_TTL_MS_MIN.into()),
        ("time of a lease at most, ms", limits::LEASE_TTL_MS_MAX.into()),
        ("wait of a Get, ms", limits::GET_WAIT_MS_MAX.into()),
        ("time for the handshake, ms", limits::HANDSHAKE_US_MAX / 1000),
        ("time for a request that began to arrive, ms", limits::REQUEST_ARRIVAL_US_MAX / 1000),
        ("time a client may take none of its answers, ms", limits::SEND_STALL_US_MAX / 1000),
    ] {
        writeln!(out, "| {what} | {value} |").unwrap();
    }
    out
}

fn hash_keys() -> String {
    let mut out = "| partition key | hash key |\n|---|--:|\n".to_owned();
    for key in ["a", "partitionKey-1", "schlüssel"] {
        writeln!(out, "| `{key}` | {} |", HashKey::of(key.as_bytes())).unwrap();
    }
    out
}

/// Heads with one thing wrong each and the checksum right, unless it is what is wrong.
fn refused_heads() -> String {
    let good = request(1, &Ping);
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let mut checksum = good.clone();
    checksum[4] ^= 1;
    let mut out = "```text\n".to_owned();
    for (what, bytes) in [
        ("magic", broken(&|bytes| bytes[0] = b'X')),
        ("version", broken(&|bytes| bytes[8] = 9)),
        ("flags", broken(&|bytes| bytes[10] = 2)),
        ("an answer to a node", broken(&|bytes| bytes[10] = 1)),
        ("args_len", broken(&|bytes| bytes[12..16].fill(0xff))),
        ("body_len", broken(&|bytes| bytes[16..20].fill(0xff))),
        ("correlation", broken(&|bytes| bytes[24..32].fill(0))),
        ("checksum", checksum),
    ] {
        let error = Head::decode(&bytes, Side::Server).and_then(|head| head.check(&[])).unwrap_err();
        writeln!(out, "{} {what}: {}", hex(&bytes), error.answer().known().unwrap()).unwrap();
    }
    out.push_str("```\n");
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dump(bytes: &[u8]) -> String {
    let mut out = "```text\n".to_owned();
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let pairs: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            chunk.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        writeln!(out, "{:04x}  {:<47}  {text}", row * 16, pairs.join(" ")).unwrap();
    }
    out.push_str("```\n");
    out
}

fn request<O: Operation>(correlation: u64, args: &O) -> Vec<u8> {
    let mut out = Vec::new();
    Envelope::request::<O>(correlation).encode(args, &mut out);
    out
}

fn answer(opcode: Opcode, correlation: u64, args: &impl Encode) -> Vec<u8> {
    enclosed(Envelope::answer(opcode, correlation), args, &[])
}

fn enclosed(envelope: Envelope, args: &impl Encode, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    envelope.encode(args, &mut out);
    assert!(out.len() >= HEAD_BYTES);
    out.extend_from_slice(body);
    out
}

/// Two records, as a put carries them and as a frame holds them.
fn records() -> Vec<u8> {
    let mut body = Vec::new();
    record::encode("user-1", b"hello", &mut body);
    record::encode("user-2", b"", &mut body);
    body
}

/// The frame that a node makes of the example put.
fn stored_frame() -> Vec<u8> {
    let body = records();
    let mut header = frame::FrameHeader {
        commit_hint: FrameIndex(0),
        durable_hint: FrameIndex(1),
        kind: frame::Kind::Data,
        flags: 0,
        body_len: body.len() as u32,
        body_crc: crc32fast::hash(&body),
        record_count: 2,
        group_id: GROUP,
        term: Term(1),
        index: FrameIndex(1),
        base_offset: Offset(0),
        arrival_us: ARRIVAL,
        chain: Chain(0),
        producer: Some(stamp()),
        log_bytes: 128,
    };
    header.chain = header.chain_after(Chain(0));
    let mut bytes = vec![0; frame::HEADER_BYTES];
    header.encode(&mut bytes);
    bytes.extend_from_slice(&body);
    bytes
}

const fn stamp() -> ProducerStamp {
    ProducerStamp { id: ProducerId(7), epoch: 1, seq: 0 }
}

/// Every message once, with the values the text of PROTOCOL.md speaks of.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    [
        vectors_of_records_and_streams(),
        vectors_of_reshards(),
        vectors_of_metadata(),
        vectors_of_consumers(),
        vectors_of_the_store(),
    ]
    .concat()
}

const SETTINGS: StreamSettings = StreamSettings {
    retention_hours: 24,
    record_bytes_max: 1_048_576,
    durability: Durability::Fsync,
    limits: StreamLimits::Custom(CustomLimits {
        write_records_s: 1_000,
        write_bytes_s: 1_048_576,
        read_calls_s: 5,
        read_bytes_s: 2_097_152,
        fanout_bytes_s: 0,
    }),
    mode: CapacityMode::Provisioned,
    distribution: Distribution::PartitionKey,
    warm_throughput_mib: 0,
    get_records_wait_ms: 200,
};

/// What the example stream's first shard is split into.
fn children() -> [ShardDescription; 2] {
    let child = |number: u32, hash_start, hash_end| ShardDescription {
        number: ShardNumber(number),
        group: GroupId(u64::from(number) + 17),
        hash_start: HashKey(hash_start),
        hash_end: HashKey(hash_end),
        worker: WorkerId(1),
        state: ShardState::Open,
        parent: Some(ShardNumber(0)),
        adjacent_parent: None,
        created: ARRIVAL.plus(3_600_000_000),
        closed: None,
    };
    [child(2, 0, (1 << 126) - 1), child(3, 1 << 126, (1 << 127) - 1)]
}

const fn child(shard: &ShardDescription) -> ChildShard {
    ChildShard {
        number: shard.number,
        group: shard.group,
        hash_start: shard.hash_start,
        hash_end: shard.hash_end,
        parent: shard.parent,
        adjacent_parent: shard.adjacent_parent,
    }
}

fn vectors_of_reshards() -> Vec<(&'static str, Vec<u8>)> {
    let stream = "orders";
    let split = |start, at, end| ScaleStep {
        round: 0,
        kind: ScaleKind::Split,
        start: HashKey(start),
        at: HashKey(at),
        end: HashKey(end),
    };
    let steps = vec![split(0, 1 << 126, (1 << 127) - 1), split(1 << 127, 3 << 126, u128::MAX)];
    vec![
        ("SplitShard", request(16, &SplitShard { stream, shard: ShardNumber(0), at: HashKey(1 << 126) })),
        (
            "SplitShard answer",
            answer(Opcode::SplitShard, 16, &ReshardAnswer { catalogue_version: 9, children: children().to_vec() }),
        ),
        ("MergeShards", request(17, &MergeShards { stream, shard: ShardNumber(2), adjacent: ShardNumber(3) })),
        (
            "MergeShards answer",
            answer(
                Opcode::MergeShards,
                17,
                &ReshardAnswer {
                    catalogue_version: 11,
                    children: vec![ShardDescription {
                        number: ShardNumber(4),
                        group: GroupId(21),
                        hash_start: HashKey(0),
                        hash_end: HashKey((1 << 127) - 1),
                        worker: WorkerId(0),
                        state: ShardState::Open,
                        parent: Some(ShardNumber(2)),
                        adjacent_parent: Some(ShardNumber(3)),
                        created: ARRIVAL.plus(7_200_000_000),
                        closed: None,
                    }],
                },
            ),
        ),
        ("ScaleStream", request(18, &ScaleStream { stream, target: 4, plan_only: true })),
        (
            "ScaleStream answer",
            answer(Opcode::ScaleStream, 18, &ScaleStreamAnswer { open_shards: 2, catalogue_version: 11, steps }),
        ),
        ("MoveShard", request(19, &MoveShard { stream, shard: ShardNumber(4), to: WorkerId(1) })),
        ("MoveShard answer", answer(Opcode::MoveShard, 19, &MoveShardAnswer { catalogue_version: 12 })),
    ]
}

fn vectors_of_metadata() -> Vec<(&'static str, Vec<u8>)> {
    let (stream, consumer) = ("orders", "");
    let tags = vec![Tag { key: "team", value: "billing" }];
    let change = |change| request(21, &SetMetadata { stream, consumer, change });
    vec![
        ("GetMetadata", request(20, &GetMetadata { stream, consumer })),
        (
            "GetMetadata answer",
            answer(
                Opcode::GetMetadata,
                20,
                &GetMetadataAnswer { tags: tags.clone(), encryption_key: "alias/orders", monitoring: 3, policy: "" },
            ),
        ),
        ("SetMetadata, tags", change(MetadataChange::Tags { set: tags, remove: vec!["owner"] })),
        ("SetMetadata, encryption", change(MetadataChange::Encryption("alias/orders"))),
        ("SetMetadata, monitoring", change(MetadataChange::Monitoring(3))),
        ("SetMetadata, policy", change(MetadataChange::Policy(""))),
        ("SetMetadata answer", answer(Opcode::SetMetadata, 21, &SetMetadataAnswer { catalogue_version: 13 })),
    ]
}

fn vectors_of_consumers() -> Vec<(&'static str, Vec<u8>)> {
    let (stream, name) = ("orders", "billing");
    let consumer = ConsumerDescription { id: 1, created: ARRIVAL, name };
    vec![
        ("RegisterConsumer", request(22, &RegisterConsumer { stream, name, tags: Vec::new() })),
        (
            "RegisterConsumer answer",
            answer(Opcode::RegisterConsumer, 22, &RegisterConsumerAnswer { catalogue_version: 14, consumer }),
        ),
        ("DeregisterConsumer", request(25, &DeregisterConsumer { stream, name })),
        (
            "DeregisterConsumer answer",
            answer(Opcode::DeregisterConsumer, 25, &DeregisterConsumerAnswer { catalogue_version: 15 }),
        ),
        ("ListConsumers", request(23, &ListConsumers { stream, after: "", limit: 0 })),
        (
            "ListConsumers answer",
            answer(Opcode::ListConsumers, 23, &ListConsumersAnswer { consumers: vec![consumer], more: false }),
        ),
        ("DescribeConsumer", request(24, &DescribeConsumer { stream, name })),
        ("DescribeConsumer answer", answer(Opcode::DescribeConsumer, 24, &consumer)),
    ]
}

fn vectors_of_the_store() -> Vec<(&'static str, Vec<u8>)> {
    let (space, key) = ("app/orders", "shard-0");
    let lease = Lease { token: 5, ttl_ms: 10_000, remaining_ms: 10_000, owner: "member-1" };
    let claimed = StoreItem { version: 0, key, value: b"", lease: Some(lease) };
    let stored = StoreItem { version: 1, value: b"2", lease: Some(Lease { remaining_ms: 7_250, ..lease }), ..claimed };
    let (expect, token) = (Expect::Version(0), Some(5));
    vec![
        ("LeaseClaim", request(26, &LeaseClaim { space, key, owner: "member-1", ttl_ms: 10_000, take_from: None })),
        ("LeaseClaim answer", answer(Opcode::LeaseClaim, 26, &LeaseClaimAnswer { token: 5, item: claimed })),
        ("StorePut", request(27, &StorePut { space, key, value: b"2", expect, token })),
        ("StorePut answer", answer(Opcode::StorePut, 27, &StorePutAnswer { version: 1 })),
        ("StoreGet", request(28, &StoreGet { space, key })),
        ("StoreGet answer", answer(Opcode::StoreGet, 28, &StoreGetAnswer { item: Some(stored) })),
        ("StoreList", request(29, &StoreList { space, prefix: "shard-", after: "", limit: 0 })),
        ("StoreList answer", answer(Opcode::StoreList, 29, &StoreListAnswer { items: vec![stored], more: false })),
        ("LeaseRenew", request(30, &LeaseRenew { space, renewals: vec![Renewal { key, token: 5 }] })),
        ("LeaseRenew answer", answer(Opcode::LeaseRenew, 30, &LeaseRenewAnswer { held: vec![true] })),
        ("LeaseRelease", request(31, &LeaseRelease { space, key, token: 5 })),
        ("LeaseRelease answer", answer(Opcode::LeaseRelease, 31, &LeaseReleaseAnswer)),
        ("StoreDelete", request(32, &StoreDelete { space, key, expect: Expect::Any, token: None })),
        ("StoreDelete answer", answer(Opcode::StoreDelete, 32, &StoreDeleteAnswer { existed: true })),
    ]
}

fn vectors_of_records_and_streams() -> Vec<(&'static str, Vec<u8>)> {
    let body = records();
    let (body_len, body_crc) = (body.len() as u32, crc32fast::hash(&body));
    let stored = stored_frame();
    let state = ReadState {
        next_offset: Offset(2),
        end_offset: Offset(2),
        horizon: Offset(0),
        last_arrival: ARRIVAL,
        wall: ARRIVAL.plus(250),
        end_of_shard: false,
    };
    let mut scratch = Vec::new();
    let hash_keys = HashKeys::collect([None, Some(HashKey(1 << 127))], &mut scratch);
    let error = |code| ErrorAnswer::new(code);
    vec![
        (
            "Hello",
            request(
                1,
                &Hello { version_min: VERSION_MIN, version_max: VERSION, features: 0, client: "example/1", token: b"" },
            ),
        ),
        (
            "Hello answer",
            answer(
                Opcode::Hello,
                1,
                &HelloAnswer {
                    version: VERSION,
                    features: 0,
                    node_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
                    node_version: "0.1.0",
                    worker: WorkerId(0),
                    direct_ports: vec![7001, 7002],
                    limits: Limits::default(),
                    wall: ARRIVAL,
                    catalogue_version: 4,
                },
            ),
        ),
        ("Ping", request(2, &Ping)),
        ("Ping answer", answer(Opcode::Ping, 2, &PingAnswer { wall: ARRIVAL })),
        ("Stats", request(3, &Stats::Shard(GROUP))),
        (
            "Stats answer",
            answer(Opcode::Stats, 3, &StatsAnswer { stats: vec![Stat { name: "put_records_total", value: 2 }] }),
        ),
        (
            "Put",
            enclosed(
                Envelope::request::<Put>(4).body(body_len, body_crc),
                &Put { group: GROUP, producer: Some(stamp()), record_count: 2 },
                &body,
            ),
        ),
        (
            "Put answer",
            answer(
                Opcode::Put,
                4,
                &PutAnswer {
                    base_offset: Offset(0),
                    record_count: 2,
                    arrival: ARRIVAL,
                    durability: Durability::Fsync,
                    duplicate: false,
                },
            ),
        ),
        (
            "PutKeyed",
            enclosed(
                Envelope::request::<PutKeyed<'_>>(5).body(body_len, body_crc),
                &PutKeyed { stream: "orders", record_count: 2, hash_keys },
                &body,
            ),
        ),
        (
            "PutKeyed answer",
            answer(
                Opcode::PutKeyed,
                5,
                &PutKeyedAnswer {
                    durability: Durability::Fsync,
                    results: vec![
                        RecordResult::stored(ShardNumber(0), Offset(2), ARRIVAL),
                        RecordResult::failed(ShardNumber(1), ErrorCode::ShardOverloaded),
                    ],
                },
            ),
        ),
        ("Get", request(6, &Get { group: GROUP, from: Offset(0), bytes_max: 1_048_576, wait_ms: 1_000 })),
        ("Get answer", enclosed(Envelope::answer(Opcode::Get, 6).body(stored.len() as u32, 0), &state, &stored)),
        ("Position", request(7, &Position { group: GROUP, start: Start::AtTime(ARRIVAL) })),
        (
            "Position answer",
            answer(
                Opcode::Position,
                7,
                &PositionAnswer { offset: Offset(0), horizon: Offset(0), end_offset: Offset(2) },
            ),
        ),
        (
            "Subscribe",
            request(8, &Subscribe { group: GROUP, start: Start::At(Offset(0)), consumer: 0, credit: 1_048_576 }),
        ),
        (
            "Subscribe answer",
            answer(
                Opcode::Subscribe,
                8,
                &SubscribeAnswer { from: Offset(0), horizon: Offset(0), end_offset: Offset(2) },
            ),
        ),
        ("push", enclosed(Envelope::push(8).body(stored.len() as u32, 0), &state, &stored)),
        (
            "last push",
            enclosed(
                Envelope::last_push(8),
                &SubscriptionEnd {
                    next_offset: Offset(2),
                    error: Some(error(ErrorCode::WrongShardMap).details(5, 0)),
                    children: Vec::new(),
                },
                &[],
            ),
        ),
        (
            "last push of a closed shard",
            enclosed(
                Envelope::last_push(8),
                &SubscriptionEnd {
                    next_offset: Offset(2),
                    error: None,
                    children: children().iter().map(child).collect(),
                },
                &[],
            ),
        ),
        ("Credit", enclosed(Envelope::credit(9), &Credit { subscription: 8, bytes: 161 }, &[])),
        ("Unsubscribe", request(10, &Unsubscribe { subscription: 8 })),
        ("Unsubscribe answer", answer(Opcode::Unsubscribe, 10, &UnsubscribeAnswer { existed: false })),
        (
            "CreateStream",
            request(
                11,
                &CreateStream {
                    name: "orders",
                    shards: 2,
                    settings: SettingsChange { retention_hours: Some(48), ..SettingsChange::default() },
                },
            ),
        ),
        (
            "CreateStream answer",
            answer(Opcode::CreateStream, 11, &CreateStreamAnswer { stream: StreamId(1), catalogue_version: 5 }),
        ),
        (
            "UpdateStream",
            request(
                12,
                &UpdateStream {
                    name: "orders",
                    settings: SettingsChange {
                        retention_hours: Some(24),
                        limits: Some(SETTINGS.limits),
                        ..SettingsChange::NONE
                    },
                },
            ),
        ),
        (
            "UpdateStream answer",
            answer(Opcode::UpdateStream, 12, &UpdateStreamAnswer { settings: SETTINGS, catalogue_version: 6 }),
        ),
        ("DeleteStream", request(13, &DeleteStream { name: "orders", enforce_consumer_deletion: false })),
        ("DeleteStream answer", answer(Opcode::DeleteStream, 13, &DeleteStreamAnswer { catalogue_version: 7 })),
        ("ListStreams", request(14, &ListStreams { after: "", limit: 0 })),
        (
            "ListStreams answer",
            answer(
                Opcode::ListStreams,
                14,
                &ListStreamsAnswer {
                    streams: vec![StreamSummary { name: "orders", status: StreamStatus::Active, open_shards: 2 }],
                    more: false,
                },
            ),
        ),
        (
            "DescribeStream",
            request(
                15,
                &DescribeStream { name: "orders", from_shard: ShardNumber(0), limit: 1, filter: ShardFilter::All },
            ),
        ),
        (
            "DescribeStream answer",
            answer(
                Opcode::DescribeStream,
                15,
                &DescribeStreamAnswer {
                    stream: StreamId(1),
                    name: "orders",
                    status: StreamStatus::Active,
                    created: ARRIVAL,
                    settings: SETTINGS,
                    catalogue_version: 9,
                    open_shards: 3,
                    scaling_target: 0,
                    consumers: 1,
                    expired_before: WallUs(0),
                    shards: vec![ShardDescription {
                        number: ShardNumber(0),
                        group: GROUP,
                        hash_start: HashKey(0),
                        hash_end: HashKey((1 << 127) - 1),
                        worker: WorkerId(0),
                        state: ShardState::Closed,
                        parent: None,
                        adjacent_parent: None,
                        created: ARRIVAL,
                        closed: Some(ShardEnd { at: ARRIVAL.plus(3_600_000_000), offset: Offset(2) }),
                    }],
                    more: true,
                },
            ),
        ),
        (
            "error answer",
            enclosed(
                Envelope::error(Opcode::Get as u8, 6),
                &error(ErrorCode::BeforeHorizon).details(4_000, 0).message("older than the retention"),
                &[],
            ),
        ),
        (
            "connection error",
            enclosed(
                Envelope::connection_error(),
                &error(ErrorCode::UnsupportedVersion)
                    .details(VERSION_MIN.into(), VERSION.into())
                    .message("protocol version 9"),
                &[],
            ),
        ),
    ]
}
