//! Inputs made of what the code itself writes, so that fuzzing starts where the interesting part begins.

use millstream::catalog::{Catalog, Command, CreateStream, Reshard, ReshardOp, Settings, SettingsChange, Tags};
use millstream::engine::recover::{Damage, encode_losses};
use millstream::format::frame::{HEADER_BYTES, Kind};
use millstream::format::index::{self, Entry, Gap, Summary};
use millstream::format::node::NodeFile;
use millstream::format::record;
use millstream::format::segment::SegmentHeader;
use millstream::limits::BLOCK_BYTES;
use millstream::log::tip::{Draft, Tip};
use millstream::protocol::messages::{
    CreateStream as CreateStreamRequest, DescribeStream, Get, ListStreams, Ping, PingAnswer, Put, PutAnswer,
    SettingsChange as RequestedChange, ShardFilter, Start, StoreGet, Subscribe,
};
use millstream::protocol::{Encode, ErrorAnswer, ErrorCode, Operation};
use millstream::shard::producers::Producers;
use millstream::types::{
    Chain, Durability, FilePos, FrameIndex, GroupId, HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, StreamId,
    Term, WallUs,
};

const GROUP: GroupId = GroupId(16);
const TIME: WallUs = WallUs(1_767_225_600_000_000);
const STAMP: ProducerStamp = ProducerStamp { id: ProducerId(7), epoch: 1, seq: 0 };

/// The seeds of each target that has some made here.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![
        ("catalog_command", vec![behind_lengths(commands().iter().map(Command::encode))]),
        ("catalog_snapshot", vec![with(&[9, 0, 1], &snapshot())]),
        ("config", config()),
        ("frame", frames()),
        ("http_port", http()),
        ("index", vec![with(&[40, 0, 7], &index_payload())]),
        ("native_answer", answers()),
        ("native_port", native()),
        ("native_request", requests().into_iter().map(|(opcode, args, body)| request(opcode, &args, &body)).collect()),
        ("record", vec![with(&[2, 0xf1], &body())]),
        ("recovery", recovery()),
        ("small_files", small_files()),
    ]
}

fn with(before: &[u8], bytes: &[u8]) -> Vec<u8> {
    [before, bytes].concat()
}

fn behind_lengths(all: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    all.flat_map(|one| with(&u16::try_from(one.len()).expect("short").to_le_bytes(), &one)).collect()
}

fn body() -> Vec<u8> {
    let mut body = Vec::new();
    record::encode("user-1", b"hello", &mut body);
    record::encode("user-2", b"", &mut body);
    body
}

fn frames() -> Vec<Vec<u8>> {
    let body = body();
    let draft = Draft {
        kind: Kind::Data,
        body_len: u32::try_from(body.len()).expect("short"),
        body_crc: crc32fast::hash(&body),
        record_count: 2,
        producer: Some(STAMP),
        arrival: TIME,
    };
    let mut header = vec![0; HEADER_BYTES];
    Tip::genesis(GROUP).stamp(draft, Term(1), FrameIndex(0)).encode(&mut header);
    vec![[&[0], &header[..], &body].concat(), [&[1, 30, 0, 9, 7, 1], &body[..]].concat()]
}

fn index_payload() -> Vec<u8> {
    let mut table = Producers::new();
    table.note(STAMP, Offset(0), 2, TIME);
    let mut producers = Vec::new();
    table.encode(&mut producers);
    let summary = Summary {
        group: GROUP,
        number: 0,
        complete: true,
        first_index: FrameIndex(0),
        first_offset: Offset(0),
        first_arrival: TIME,
        term: Term(1),
        index: FrameIndex(2),
        offset: Offset(2),
        chain: Chain(5),
        arrival: TIME,
        log_bytes: 300,
        end_pos: FilePos(8_192),
        gaps: vec![gap()],
        producers,
    };
    let entry = Entry::new(Offset(0), TIME, FrameIndex(1), FilePos(4_224));
    index::encode(&summary, &[entry])[20..].to_vec()
}

const fn gap() -> Gap {
    Gap {
        from_index: FrameIndex(7),
        from_offset: Offset(40),
        to_index: FrameIndex(8),
        to_offset: Offset(44),
        from_pos: FilePos(12_288),
        to_pos: FilePos(16_384),
    }
}

fn small_files() -> Vec<Vec<u8>> {
    let node = NodeFile { node_id: 7 << 64, term: Term(3), created: TIME };
    let mut block = vec![0; BLOCK_BYTES];
    SegmentHeader { group: GROUP, number: 1, created: TIME, capacity: 1 << 20 }.encode(&mut block);
    vec![
        with(&[0, 12, 0, 1], &node.encode()[20..]),
        with(&[1, 12, 0, 1], &encode_losses(&[Damage { segment: 3, gap: gap() }])[20..]),
        with(&[2, 12, 0, 1], &block[..48]),
        with(&[3, 0, 0, 0], b"0000000012.seg"),
        with(&[3, 0, 0, 0], b"snapshot-00000000000000004096"),
    ]
}

fn commands() -> Vec<Command> {
    let stream = StreamId(1);
    let create = CreateStream {
        name: "orders".to_owned(),
        shard_count: 2,
        settings: Settings::default(),
        tags: Tags::new(),
        now: TIME,
        workers: 2,
    };
    let ops = vec![ReshardOp::Split { shard: ShardNumber(0), at: HashKey(1 << 100) }];
    vec![
        Command::CreateStream(create),
        Command::ActivateStream { stream },
        Command::UpdateStream {
            stream,
            change: SettingsChange { retention_hours: Some(48), ..SettingsChange::default() },
            now: TIME,
        },
        Command::Reshard(Reshard { stream, ops, by_node: false, now: WallUs(TIME.0 + 2_000_000), workers: 2 }),
        Command::FinishReshard { stream, ends: vec![(ShardNumber(0), Offset(9))], now: WallUs(TIME.0 + 3_000_000) },
        Command::DeleteStream { stream, enforce: true },
    ]
}

fn snapshot() -> Vec<u8> {
    let mut catalog = Catalog::new();
    for command in &commands()[..5] {
        catalog.apply(command).expect("they fit");
    }
    catalog.encode_snapshot()
}

fn config() -> Vec<Vec<u8>> {
    vec![
        b"MILLSTREAM_WORKERS=2\n--spin_us 9\n\ndata = \"d\"\nlisten = \"127.0.0.1:7000\"\n".to_vec(),
        b"A=b\n\nstream_retention = \"48\"\nno_such = 1\ndisk_refuse = \"3%\"\n".to_vec(),
    ]
}

fn encoded<O: Operation>(args: &O) -> (u8, Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    args.encode(&mut bytes);
    (O::OPCODE as u8, bytes, Vec::new())
}

/// Requests that follow each other on a new node: opcode, args, body.
fn requests() -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let create = CreateStreamRequest { name: "orders", shards: 1, settings: RequestedChange::default() };
    let describe = DescribeStream { name: "orders", from_shard: ShardNumber(0), limit: 10, filter: ShardFilter::All };
    let (opcode, args, _) = encoded(&Put { group: GROUP, producer: Some(STAMP), record_count: 2 });
    vec![
        encoded(&create),
        encoded(&describe),
        (opcode, args, body()),
        encoded(&Get { group: GROUP, from: Offset(0), bytes_max: 1 << 20, wait_ms: 5 }),
        encoded(&Subscribe { group: GROUP, start: Start::At(Offset(0)), consumer: 0, credit: 1 << 16 }),
        encoded(&StoreGet { space: "app", key: "k" }),
        encoded(&ListStreams { after: "", limit: 10 }),
        encoded(&Ping),
    ]
}

fn request(opcode: u8, args: &[u8], body: &[u8]) -> Vec<u8> {
    [&[1, opcode, 40, 0, 3, u8::try_from(body.len()).expect("short")], body, args].concat()
}

fn native() -> Vec<Vec<u8>> {
    let mut session = vec![0];
    for (opcode, args, body) in requests() {
        let len = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_le_bytes();
        session.extend([&[0, opcode], &len(&args)[..], &len(&body), &args, &body].concat());
    }
    let mut garbage = vec![7, 1, 0, 5, 0, 0, 0];
    garbage.extend(b"MSN1?");
    vec![session, garbage]
}

fn answers() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut add = |which: u8, write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = vec![which];
        write(&mut bytes);
        all.push(bytes);
    };
    add(12, &|out| PingAnswer { wall: TIME }.encode(out));
    add(14, &|out| {
        PutAnswer {
            base_offset: Offset(3),
            record_count: 2,
            arrival: TIME,
            durability: Durability::Fsync,
            duplicate: false,
        }
        .encode(out)
    });
    add(30, &|out| ErrorAnswer::new(ErrorCode::DataLost).message("gone").encode(out));
    all
}

fn http() -> Vec<Vec<u8>> {
    let call = |operation: &str, body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: n\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let put = r#"{"StreamName":"a","Records":[{"PartitionKey":"k","Data":"aGVsbG8="}]}"#;
    let session = [
        call("CreateStream", r#"{"StreamName":"a","ShardCount":1}"#),
        call("PutRecords", put),
        call("DescribeStreamSummary", r#"{"StreamName":"a"}"#),
    ];
    let chunked = b"POST / HTTP/1.1\r\nHost: n\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\nContent-Type: application/x-amz-json-1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x08\x06\0\0\0\0\0abcdefgh";
    vec![
        behind_lengths(session.into_iter()),
        behind_lengths([chunked.to_vec()].into_iter()),
        behind_lengths([http2.to_vec()].into_iter()),
        behind_lengths([b"GET /health HTTP/1.0\r\n\r\n".to_vec(), b"\0\xff".to_vec()].into_iter()),
    ]
}

fn recovery() -> Vec<Vec<u8>> {
    // Two flushes, a quiet block, a new term in a new segment; then a byte, a block, a stale copy, a cut, a missing segment.
    let log = [12, 6, 0, 3, 1, 1, 2, 3, 4, 1, 2, 0, 9, 9, 4, 5, 7, 6, 0, 2, 1, 5, 5, 4];
    let spoilt = [
        [0, 0, 90, 4, 0, 0, 5],
        [4, 0, 100, 4, 0, 0, 0],
        [5, 0, 160, 8, 0, 16, 0],
        [6, 1, 200, 4, 0, 0, 0],
        [7, 0, 0, 0, 0, 0, 0],
    ];
    let mut all = vec![log.to_vec()];
    all.extend(spoilt.iter().map(|how| [&log[..], how].concat()));
    all
}
