//! FORMAT.md is what somebody trusts who looks at a disk with a hex editor, so its examples come from the code. This test
//! compares them; with `MILLSTREAM_BLESS=1` it writes them.

#![allow(clippy::disallowed_methods, reason = "a test of a file beside the sources, not of the node")]

mod generated;

use std::fmt::Write as _;
use std::path::Path;

use millstream::catalog::{
    Catalog, Command, ConsumerId, CreateStream, Expect, Mode, Name, Reshard, ReshardOp, Settings, SettingsChange,
    ShardMetrics, StoreCommand, Tags,
};
use millstream::codec::Write as _;
use millstream::engine::recover::{Damage, decode_losses, encode_losses};
use millstream::format::frame::{Frame, FrameError, Kind};
use millstream::format::index::{self, Entry, Gap, Summary};
use millstream::format::node::NodeFile;
use millstream::format::segment::{FRAMES_AT, SegmentHeader};
use millstream::format::{names, record};
use millstream::limits::BLOCK_BYTES;
use millstream::log::gather::{Batch, Gather, Reign};
use millstream::log::recovery::{self, Beyond, Step, Stop, Verdict};
use millstream::log::tip::{Mismatch, Tip};
use millstream::shard::producers::Producers;
use millstream::types::{
    FilePos, FrameIndex, GroupId, HashKey, Offset, ProducerId, ProducerStamp, ShardNumber, StreamId, Term, WallUs,
    WorkerId,
};

const GROUP: GroupId = GroupId(16);
const ARRIVAL: WallUs = WallUs(1_767_225_600_000_000);

/// Goal: every table and example of FORMAT.md is what the code produces, and nothing generated is missing from it.
#[test]
fn the_document_is_what_the_code_does() {
    generated::check("FORMAT.md", parts().into_iter().map(|(name, text)| (name.to_owned(), text)).collect());
}

/// Goal: the example log is one that recovery accepts frame by frame, and the other examples decode to what the text says.
#[test]
fn the_examples_decode() {
    let (flush, end) = flush();
    let mut tip = Tip::genesis(GROUP);
    let mut rest = &flush[..];
    let mut kinds = Vec::new();
    for bytes in [&mut rest, &mut &quiet_block(&end)[..]] {
        while !bytes.is_empty() {
            let Step::Next(header) = recovery::step(&tip, bytes) else { panic!("a frame is refused") };
            kinds.push(header.kind);
            tip.advance(&header);
            *bytes = Frame::split(bytes).unwrap().1;
        }
    }
    assert_eq!(kinds, [Kind::NoOp, Kind::Data, Kind::Pad, Kind::Pad]);
    assert_eq!(tip, end);
    index::decode(&index_file()).unwrap();
    assert_eq!(decode_losses(&losses()).unwrap().len(), 1);
    assert_eq!(Catalog::decode_snapshot(&snapshot()).unwrap().streams().len(), 1);
    for (_, command) in commands() {
        assert_eq!(Command::decode(&command.encode()).unwrap(), command);
    }
}

fn parts() -> Vec<(&'static str, String)> {
    let (flush, end) = flush();
    vec![
        ("names", names_table()),
        ("node", dump(&node().encode())),
        ("segment", dump(&segment())),
        ("flush", dump(&flush)),
        ("quiet block", dump(&quiet_block(&end))),
        ("record", dump(&records()[..20])),
        ("index", dump(&index_file())),
        ("losses", dump(&losses())),
        ("commands", commands_dump()),
        ("snapshot", dump(&snapshot())),
        ("verdicts", verdicts()),
    ]
}

fn names_table() -> String {
    let data = Path::new("DATA");
    let mut out = "| what | name |\n|---|---|\n".to_owned();
    let shard = names::shard_dir(data, GroupId(255));
    for (what, path) in [
        ("lock", names::lock_file(data)),
        ("node file", names::node_file(data)),
        ("its copy", data.join(names::NODE_COPY)),
        ("segment 0 of the catalogue", names::catalog_dir(data).join(names::segment(0))),
        ("snapshot before the command at offset 4,096", names::catalog_dir(data).join(names::snapshot(4_096))),
        ("segment 12 of group 255", shard.join(names::segment(12))),
        ("its index", shard.join(names::index(12))),
        ("accepted losses of group 255", shard.join(names::LOSSES)),
        ("spare segments", names::spare_dir(data)),
        ("taken out of use by a repair", names::quarantine_dir(data)),
    ] {
        writeln!(out, "| {what} | `{}` |", path.display()).unwrap();
    }
    out
}

fn verdicts() -> String {
    let mut out = "| at the stop | beyond: nothing of this log | beyond: frames, none proves a loss | beyond: a frame \
                   proves a loss |\n|---|---|---|---|\n"
        .to_owned();
    let torn = {
        let flush = flush().0;
        Frame::split(&flush).unwrap().0.header
    };
    for (what, stop) in [
        ("zeros, garbage, end of file", Stop::NoFrame(FrameError::Magic(0))),
        ("an intact frame that does not follow", Stop::Stranger(Mismatch::Chain)),
        ("the header of the next frame, its body torn", Stop::TornBody(torn)),
    ] {
        let [nothing, unproven, proven] =
            [Beyond::Nothing, Beyond::Unproven, Beyond::Proven].map(|beyond| match recovery::verdict(&stop, beyond) {
                Verdict::End => "End",
                Verdict::Cut => "Cut",
                Verdict::Damage => "Damage",
            });
        writeln!(out, "| {what} | {nothing} | {unproven} | {proven} |").unwrap();
    }
    out
}

/// Rows of 16 bytes; rows of zeros between others become one `*`.
fn dump(bytes: &[u8]) -> String {
    let mut out = "```text\n".to_owned();
    let mut skipping = false;
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let last = (row + 1) * 16 >= bytes.len();
        if row > 0 && !last && chunk.iter().all(|byte| *byte == 0) {
            if !skipping {
                out.push_str("*\n");
            }
            skipping = true;
            continue;
        }
        skipping = false;
        let pairs: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            chunk.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        writeln!(out, "{:04x}  {:<47}  {text}", row * 16, pairs.join(" ")).unwrap();
    }
    out.push_str("```\n");
    out
}

const fn node() -> NodeFile {
    NodeFile { node_id: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, term: Term(1), created: ARRIVAL }
}

fn segment() -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    SegmentHeader { group: GROUP, number: 0, created: ARRIVAL, capacity: 1 << 20 }.encode(&mut block);
    block
}

fn records() -> Vec<u8> {
    let mut body = Vec::new();
    record::encode("user-1", b"hello", &mut body);
    record::encode("user-2", b"", &mut body);
    body
}

const fn stamp() -> ProducerStamp {
    ProducerStamp { id: ProducerId(7), epoch: 1, seq: 0 }
}

/// The first flush of a log, and the tip after it.
fn flush() -> (Vec<u8>, Tip) {
    let body = records();
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut tip = Tip::genesis(GROUP);
    let reign = Reign { term: Term(1), durable: FrameIndex(0) };
    let mut gather = Gather::new();
    let batch = Batch {
        body: &body,
        body_crc: crc32fast::hash(&body),
        record_count: 2,
        producer: Some(stamp()),
        arrival: ARRIVAL,
    };
    gather.place(&mut buffer[..], &mut tip, reign, &batch);
    let flush = gather.seal(&mut buffer[..], &mut tip, reign);
    buffer.truncate(flush.len);
    (buffer, flush.tip)
}

fn quiet_block(tip: &Tip) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    Gather::quiet(&mut block, tip, tip.index);
    block
}

fn index_file() -> Vec<u8> {
    let (_, tip) = flush();
    let mut table = Producers::new();
    table.note(stamp(), Offset(0), 2, ARRIVAL);
    let mut producers = Vec::new();
    table.encode(&mut producers);
    let summary = Summary {
        group: GROUP,
        number: 0,
        complete: true,
        first_index: FrameIndex(0),
        first_offset: Offset(0),
        first_arrival: ARRIVAL,
        term: tip.term,
        index: tip.index,
        offset: tip.offset,
        chain: tip.chain,
        arrival: tip.arrival,
        log_bytes: tip.log_bytes,
        end_pos: FilePos(FRAMES_AT + 2 * BLOCK_BYTES as u64),
        gaps: Vec::new(),
        producers,
    };
    let entry = Entry::new(Offset(0), ARRIVAL, FrameIndex(1), FilePos(FRAMES_AT + 128));
    index::encode(&summary, &[entry])
}

fn losses() -> Vec<u8> {
    let gap = Gap {
        from_index: FrameIndex(7),
        from_offset: Offset(40),
        to_index: FrameIndex(8),
        to_offset: Offset(44),
        from_pos: FilePos(12_288),
        to_pos: FilePos(16_384),
    };
    encode_losses(&[Damage { segment: 3, gap }])
}

fn commands() -> Vec<(&'static str, Command)> {
    let create = CreateStream {
        name: "orders".to_owned(),
        shard_count: 2,
        settings: Settings::default(),
        tags: Tags::new(),
        now: ARRIVAL,
        workers: 2,
    };
    let change = SettingsChange { retention_hours: Some(48), mode: Some(Mode::ON_DEMAND), ..SettingsChange::default() };
    let stream = StreamId(1);
    let ops = vec![
        ReshardOp::Split { shard: ShardNumber(0), at: HashKey(1 << 126) },
        ReshardOp::Merge { shard: ShardNumber(1), adjacent: ShardNumber(2) },
    ];
    let ends = vec![(ShardNumber(0), Offset(4_096))];
    let shards = || vec![ShardNumber(0)];
    let consumer = ConsumerId(1);
    let team = || Tags::from([("team".to_owned(), "a".to_owned())]);
    let name = || Name { space: "app".to_owned(), key: "shard-0".to_owned() };
    let store = |name, command| (name, Command::Store(command));
    vec![
        ("CreateStream", Command::CreateStream(create)),
        ("ActivateStream", Command::ActivateStream { stream }),
        ("UpdateStream", Command::UpdateStream { stream, change, now: ARRIVAL }),
        ("DeleteStream", Command::DeleteStream { stream, enforce: true }),
        ("ForgetStream", Command::ForgetStream { stream }),
        ("Reshard", Command::Reshard(Reshard { stream, ops, by_node: false, now: ARRIVAL, workers: 2 })),
        ("FinishReshard", Command::FinishReshard { stream, ends, now: ARRIVAL }),
        ("MoveShard", Command::MoveShard { stream, shard: ShardNumber(0), to: WorkerId(1) }),
        ("ScaleStream", Command::ScaleStream { stream, target: 8, now: ARRIVAL }),
        ("ExpireShards", Command::ExpireShards { stream, shards: shards() }),
        ("ForgetShards", Command::ForgetShards { stream, shards: shards() }),
        ("ScaleDone", Command::ScaleDone { stream }),
        ("TagStream", Command::TagStream { stream, consumer: None, set: team(), remove: vec!["old".to_owned()] }),
        ("SetEncryption", Command::SetEncryption { stream, key_id: Some("alias/a".to_owned()), now: ARRIVAL }),
        ("SetMonitoring", Command::SetMonitoring { stream, metrics: ShardMetrics::ALL }),
        ("SetPolicy", Command::SetPolicy { stream, consumer: Some(consumer), policy: Some("{}".to_owned()) }),
        (
            "RegisterConsumer",
            Command::RegisterConsumer { stream, name: "audit".to_owned(), tags: team(), now: ARRIVAL },
        ),
        ("DeregisterConsumer", Command::DeregisterConsumer { stream, consumer }),
        store(
            "Put",
            StoreCommand::Put { name: name(), value: "4096".into(), expect: Expect::Version(3), token: Some(2) },
        ),
        store("Delete", StoreCommand::Delete { name: name(), expect: Expect::Any, token: None }),
        store(
            "Claim",
            StoreCommand::Claim { name: name(), owner: "host-1".to_owned(), ttl_ms: 10_000, take_from: Some(2) },
        ),
        store("Release", StoreCommand::Release { name: name(), token: 2 }),
    ]
}

fn commands_dump() -> String {
    let mut out = String::new();
    for (name, command) in commands() {
        write!(out, "{name}:\n\n{}\n", dump(&command.encode())).unwrap();
    }
    out.pop();
    out
}

fn snapshot() -> Vec<u8> {
    let mut catalog = Catalog::new();
    for (index, (_, command)) in (1..).zip(commands()).take(2) {
        catalog.apply(&command).expect("the commands follow each other");
        catalog.advance(FrameIndex(index), Term(1));
    }
    let mut out = Vec::new();
    out.put(&catalog.encode_snapshot());
    out
}
