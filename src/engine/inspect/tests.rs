use std::time::Duration;

use super::*;
use crate::engine::read::ReadError;
use crate::engine::recover::Depth;
use crate::engine::testing::{GROUP, Machine, Node, data, log_dir};
use crate::format::frame::{FrameHeader, Kind};
use crate::format::record::Records;
use crate::format::segment::FRAMES_AT;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{Reactor, Runtime};
use crate::shard::admission::PutRefusal;
use crate::sim::SimRuntime;
use crate::types::Offset;

const LEN: usize = 120_000;

fn put_all(machine: &Machine, node: &Node, numbers: std::ops::Range<u64>) {
    machine.sim.block_on(async {
        for number in numbers {
            let seq = Some(u32::try_from(number).unwrap());
            node.put_stamped(number, LEN, seq).await;
            // Slowly, so that segments stay at their smallest.
            node.rt.sleep(Duration::from_secs(20)).await;
        }
    });
}

/// Three segments or more with 30 records, stopped cleanly.
fn written(seed: u64) -> Machine {
    let machine = Machine::new(seed);
    let node = machine.start();
    put_all(&machine, &node, 0..30);
    machine.stop(node);
    machine
}

fn inspector(machine: &Machine) -> Inspector<SimRuntime> {
    let rt = machine.sim.runtime(machine.host);
    machine.sim.block_on(Inspector::open(rt, &log_dir())).expect("nobody else holds it")
}

fn verify(machine: &Machine) -> Verified {
    let before = files(machine);
    let verified = machine.sim.block_on(inspector(machine).verify(&mut |_| {})).expect("it can be looked at");
    assert_eq!(files(machine), before, "verifying changes nothing");
    verified
}

fn files(machine: &Machine) -> Vec<(String, u64, u32)> {
    let files = machine.sim.files(machine.host).into_iter();
    files
        .map(|(path, len)| {
            let crc = crc32fast::hash(&machine.sim.read_file(machine.host, &path).unwrap());
            (path, len, crc)
        })
        .collect()
}

fn frames(machine: &Machine, options: &DumpOptions) -> Vec<(u64, u64, FrameHeader)> {
    let mut out = Vec::new();
    let mut see = |_: &LogDir, sight: Sight<'_>| {
        if let Sight::Frame { segment, pos, header, .. } = sight {
            out.push((segment, pos.0, *header));
        }
        Flow::Continue(())
    };
    machine.sim.block_on(inspector(machine).dump(options, &mut see)).expect("it can be looked at");
    out
}

/// The data frame with this record.
fn frame_of(machine: &Machine, offset: u64) -> (u64, u64, FrameHeader) {
    let mut all = frames(machine, &DumpOptions::default()).into_iter();
    all.find(|(.., header)| header.kind == Kind::Data && header.base_offset == Offset(offset)).expect("it was put")
}

fn whats(verified: &Verified) -> Vec<String> {
    verified
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.path.file_name().unwrap().display(), finding.what))
        .collect()
}

/// Goal: a log that was stopped cleanly verifies without any finding, and the sums are right.
#[test]
fn a_clean_log_is_clean() {
    let machine = written(1);
    let verified = verify(&machine);
    // The segment prepared for the future is all there is to say.
    assert!(verified.findings.iter().all(|finding| matches!(finding.what, What::Unused)), "{:?}", whats(&verified));
    let totals = verified.totals();
    assert_eq!((totals.logs, totals.records), (1, 30));
    assert!(totals.segments >= 3, "{totals:?}");
    let log = &verified.logs[0];
    assert_eq!((log.first, log.end, log.at_start), (Offset(0), Offset(30), AtStart::Opens));
}

/// Goal: a dump shows what was put, record by record, from any offset, up to a limit, pads only when asked for.
#[test]
fn dump_shows_what_was_put() {
    let machine = written(2);
    for from in [0, 1, 11, 29] {
        let mut seen = Vec::new();
        let options = DumpOptions { from: Offset(from), ..DumpOptions::default() };
        let mut see = |log: &LogDir, sight: Sight<'_>| {
            assert_eq!(log.group, GROUP);
            if let Sight::Frame { header, body, .. } = sight {
                assert_ne!(header.kind, Kind::Pad);
                for (at, record) in Records::new(body).enumerate() {
                    let number = header.base_offset.0 + at as u64;
                    assert_eq!(record.unwrap().data, data(number, LEN));
                    assert_eq!(header.producer.unwrap().seq, u32::try_from(number).unwrap());
                    seen.push(number);
                }
            }
            Flow::Continue(())
        };
        machine.sim.block_on(inspector(&machine).dump(&options, &mut see)).unwrap();
        assert_eq!(seen, (from..30).collect::<Vec<_>>());
    }
    let limited = DumpOptions { frames_max: 3, pads: true, ..DumpOptions::default() };
    let kinds: Vec<_> = frames(&machine, &limited).iter().map(|(.., header)| header.kind).collect();
    assert_eq!(kinds, [Kind::NoOp, Kind::Data, Kind::Pad]);
    let nobody = DumpOptions { group: Some(GroupId(99)), ..DumpOptions::default() };
    let missing = machine.sim.block_on(inspector(&machine).dump(&nobody, &mut |_, _| Flow::Continue(())));
    assert!(matches!(missing, Err(InspectError::NoSuchLog { group: GroupId(99), .. })));
}

/// Goal: a flipped bit in any part of a frame in the middle is named by file, position and offsets; a start without an
/// index quarantines the shard for it, and one with an index leaves it to the readers.
#[test]
fn damage_is_named_and_quarantined() {
    // Header of the frame, key, data.
    for (seed, flip_at) in [(3, 64), (4, 130), (5, 60_000)] {
        for indexed in [true, false] {
            let machine = written(seed);
            let (segment, pos, header) = frame_of(&machine, 5);
            let name = names::segment(segment);
            machine.flip(&name, pos + flip_at);
            if !indexed {
                machine.remove(&names::index(segment));
            }
            let verified = verify(&machine);
            let lost: Vec<_> = verified
                .findings
                .iter()
                .filter_map(|finding| match &finding.what {
                    What::Lost { gap, at_start, accepted: false, .. } => Some((finding.path.clone(), *gap, *at_start)),
                    _ => None,
                })
                .collect();
            assert_eq!(lost.len(), 1, "{:?}", whats(&verified));
            let (path, gap, at_start) = &lost[0];
            assert_eq!(*path, log_dir().join(&name));
            assert_eq!((gap.from_pos.0, gap.from_offset, gap.to_offset), (pos, Offset(5), Offset(6)));
            assert_eq!((gap.from_index, gap.to_index), (header.index, header.index.plus(1)));
            assert_eq!(*at_start, !indexed);
            assert_eq!(verified.worst(), Some(Severity::Loss));
            assert_eq!(verified.logs[0].records, 29, "all others were read");
            let expected = if indexed { AtStart::Opens } else { AtStart::Quarantined };
            assert_eq!(verified.logs[0].at_start, expected);

            let node = machine.start();
            assert_eq!(node.log.refusal(), (!indexed).then_some(PutRefusal::Quarantined));
            let error = machine.sim.block_on(node.read_all(Offset(5))).unwrap_err();
            assert!(
                matches!(error, ReadError::Damaged { from: Offset(5), resume: Offset(6), .. }),
                "indexed {indexed}, flipped at {flip_at}: {error:?}"
            );
            assert_eq!(machine.sim.block_on(node.read_all(Offset(6))).unwrap(), (6..30).collect::<Vec<_>>());
        }
    }
}

/// Goal: accepting a loss lets the shard take puts again, behind what is left, and for good; the loss stays visible.
#[test]
fn repair_lets_puts_go_on() {
    let machine = written(6);
    let (segment, pos, _) = frame_of(&machine, 5);
    machine.flip(&names::segment(segment), pos + 200);
    machine.remove(&names::index(segment));
    machine.sim.block_on(async {
        let inspector = Inspector::open(machine.sim.runtime(machine.host), &log_dir()).await.unwrap();
        let remedies = inspector.remedies().await.unwrap();
        let [Remedy::Accept(loss)] = &remedies[..] else { panic!("{remedies:?}") };
        assert_eq!(loss.damage.len(), 1);
        assert_eq!(loss.damage[0].gap.from_offset, Offset(5));
        inspector.apply(&remedies[0]).await.unwrap();
        assert!(inspector.remedies().await.unwrap().is_empty());
    });
    for start in 30..33 {
        let node = machine.start();
        assert_eq!(node.log.refusal(), None);
        let receipt = machine.sim.block_on(node.put(start, LEN));
        assert_eq!(receipt.base_offset, Offset(start), "offsets go on");
        assert_eq!(machine.sim.block_on(node.read_all(Offset(6))).unwrap(), (6..=start).collect::<Vec<_>>());
        assert!(machine.sim.block_on(node.read_all(Offset(5))).is_err());
        machine.stop(node);
    }
    let verified = verify(&machine);
    assert_eq!(verified.worst(), Some(Severity::Note), "{:?}", whats(&verified));
}

/// Goal: indexes that are missing or damaged are built again byte for byte as the node wrote them, with the table of
/// producers, also when retention has removed the beginning of the log.
#[test]
fn indexes_are_rebuilt_as_the_node_wrote_them() {
    for trimmed in [false, true] {
        let machine = written(7);
        if trimmed {
            machine.remove("0000000000.seg");
            machine.remove("0000000000.idx");
        }
        let first = u64::from(trimmed);
        let names: Vec<_> = machine.names().into_iter().filter(|name| name.ends_with(".idx")).collect();
        assert!(names.len() >= 2, "{names:?}");
        let original: Vec<_> = names.iter().map(|name| machine.bytes(name)).collect();
        let rebuild = || {
            let done = machine.sim.block_on(inspector(&machine).rebuild_index(&mut |_| {})).unwrap();
            done.into_iter().map(|rebuilt| (rebuilt.segment, rebuilt.outcome)).collect::<Vec<_>>()
        };
        assert!(rebuild().iter().all(|(_, outcome)| *outcome == Outcome::Unchanged));
        // The oldest one alone knows the producers of what retention removed.
        machine.remove(&names::index(first + 1));
        if !trimmed {
            let mut damaged = original[0].clone();
            damaged[100] ^= 1;
            machine.set_bytes(&names::index(first), &damaged);
        }
        let missing = verify(&machine);
        assert!(missing.findings.iter().any(|finding| matches!(finding.what, What::IndexMissing)));
        assert_eq!(missing.findings.iter().any(|finding| matches!(finding.what, What::IndexDamaged(_))), !trimmed);
        let outcomes = rebuild();
        assert!(outcomes.contains(&(first + 1, Outcome::Written)), "{outcomes:?}");
        for (name, original) in names.iter().zip(&original) {
            assert!(machine.bytes(name) == *original, "{name} differs, trimmed: {trimmed}");
        }
    }
}

/// Goal: an intact index that says something else than its segment is found, for every thing it says.
#[test]
fn wrong_indexes_are_found() {
    let machine = written(8);
    let original = machine.bytes("0000000001.idx");
    let (summary, entries) = crate::format::index::decode(&original).unwrap();
    let mut wrong = vec![(summary.clone(), entries.to_vec()); 6];
    wrong[0].0.chain.0 += 1;
    wrong[1].0.first_offset.0 += 1;
    wrong[2].1.pop();
    wrong[3].0.producers = vec![1, 0, 0, 0, 0, 0, 0, 0];
    wrong[4].0.number += 1;
    wrong[5].0.end_pos.0 += BLOCK_BYTES as u64;
    for (at, (summary, entries)) in wrong.iter().enumerate() {
        machine.set_bytes("0000000001.idx", &crate::format::index::encode(summary, entries));
        let verified = verify(&machine);
        assert!(
            verified.findings.iter().any(|finding| matches!(finding.what, What::IndexWrong(_))),
            "{at}: {:?}",
            whats(&verified)
        );
    }
}

/// Goal: a write that never finished is a note, not a loss: verified as such, cut by a start, and nothing acknowledged goes.
#[test]
fn an_unfinished_write_is_no_loss() {
    let machine = written(9);
    let (segment, pos, header) = frames(&machine, &DumpOptions::default()).pop().expect("there are frames");
    let name = names::segment(segment);
    // A frame that follows, and whose body never came.
    let mut bytes = machine.bytes(&name);
    let end = frames(&machine, &DumpOptions { pads: true, ..DumpOptions::default() })
        .iter()
        .filter(|(number, ..)| *number == segment)
        .map(|(_, pos, header)| *pos as usize + header.frame_bytes())
        .max()
        .unwrap();
    assert!(pos < end as u64);
    let draft = crate::log::tip::Draft {
        kind: Kind::Data,
        body_len: 5_000,
        body_crc: 1,
        record_count: 1,
        producer: None,
        arrival: header.arrival_us,
    };
    let tip = crate::log::tip::Tip::after(&header);
    tip.stamp(draft, header.term, tip.index).encode(&mut bytes[end..]);
    machine.set_bytes(&name, &bytes);
    let verified = verify(&machine);
    assert_eq!(verified.logs[0].at_start, AtStart::Cuts);
    assert_eq!(verified.worst(), Some(Severity::Note), "{:?}", whats(&verified));
    let unfinished = |finding: &&Finding| matches!(finding.what, What::Unfinished { pos } if pos.0 == end as u64);
    assert_eq!(verified.findings.iter().filter(unfinished).count(), 1);
    let node = machine.start();
    assert!(node.report.cut);
    assert_eq!(node.log.refusal(), None);
    assert_eq!(machine.sim.block_on(node.put(30, LEN)).base_offset, Offset(30));
    machine.kill(node);
    let node = machine.start();
    assert_eq!(machine.sim.block_on(node.read_all(Offset(0))).unwrap(), (0..31).collect::<Vec<_>>());
}

/// Goal: a damaged first block of a segment is told of and costs no record.
#[test]
fn a_damaged_first_block_costs_nothing() {
    let machine = written(10);
    machine.flip("0000000001.seg", 20);
    let verified = verify(&machine);
    assert!(verified.findings.iter().any(|finding| matches!(finding.what, What::SegmentHeader(_))));
    assert_eq!((verified.logs[0].records, verified.worst()), (30, Some(Severity::Warning)));
    let node = machine.start();
    assert_eq!(machine.sim.block_on(node.read_all(Offset(0))).unwrap(), (0..30).collect::<Vec<_>>());
}

/// Goal: a missing segment in the middle is a loss of exactly its records.
#[test]
fn a_missing_segment_is_a_loss_of_its_records() {
    let machine = written(11);
    let all = frames(&machine, &DumpOptions::default());
    let of = |segment| all.iter().filter(move |(number, ..)| *number == segment).map(|(.., header)| header);
    let (first, last) = (of(1).next().unwrap().base_offset, of(1).next_back().unwrap().end_offset());
    machine.remove("0000000001.seg");
    let verified = verify(&machine);
    let lost = verified.findings.iter().find_map(|finding| match &finding.what {
        What::Lost { gap, at_start: true, .. } => Some((gap.from_offset, gap.to_offset)),
        _ => None,
    });
    assert_eq!(lost, Some((first, last)), "{:?}", whats(&verified));
    assert!(verified.findings.iter().any(|finding| matches!(finding.what, What::IndexStray)));
    assert_eq!(verified.logs[0].at_start, AtStart::Quarantined);
}

/// Goal: a missing last segment is a loss if it has left its index: the shard is quarantined, and no offset of it is given out
/// again, not even once the loss is accepted.
#[test]
fn a_missing_last_segment_shows_by_its_index() {
    let machine = written(14);
    let last = frames(&machine, &DumpOptions::default()).last().unwrap().0;
    let of_last = |(number, .., header): &(u64, u64, FrameHeader)| (*number == last - 1).then_some(*header);
    let first = frames(&machine, &DumpOptions::default()).iter().find_map(of_last).unwrap().base_offset;
    for number in last - 1..last + 2 {
        if machine.names().contains(&names::segment(number)) {
            machine.remove(&names::segment(number));
        }
    }
    let verified = verify(&machine);
    let lost = verified.findings.iter().find_map(|finding| match &finding.what {
        What::Lost { gap, at_start: true, .. } => Some((gap.from_offset, gap.to_offset)),
        _ => None,
    });
    let (from, to) = lost.unwrap_or_else(|| panic!("{:?}", whats(&verified)));
    assert_eq!(from, first);
    assert!(to > Offset(20), "{to}");
    assert_eq!((verified.worst(), verified.logs[0].at_start), (Some(Severity::Loss), AtStart::Quarantined));
    let node = machine.start();
    assert_eq!(node.log.refusal(), Some(PutRefusal::Quarantined));
    machine.stop(node);
    accept_all(&machine);
    for number in 0..3 {
        let node = machine.start();
        assert_eq!(machine.sim.block_on(node.put(100 + number, LEN)).base_offset, to.plus(number));
        let error = machine.sim.block_on(node.read_all(from)).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { resume, .. } if resume == to), "{error:?}");
        machine.stop(node);
    }
}

/// Goal: a segment that was cut short where its records are is told from one that was never written further: the shard takes no
/// puts, which would give lost offsets out again, until the operator has accepted that.
#[test]
fn a_segment_cut_short_is_a_loss() {
    for seed in 20..23 {
        let machine = written(seed);
        let (segment, pos, header) = frames(&machine, &DumpOptions::default())
            .into_iter()
            .rfind(|(.., header)| header.kind == Kind::Data)
            .expect("records were put");
        // In the frame, at its start, and before it.
        let cut = [pos + 200, pos, pos - 5_000][(seed - 20) as usize];
        let name = names::segment(segment);
        machine.cut(&name, cut);
        let verified = verify(&machine);
        let lost = verified.findings.iter().find_map(|finding| match &finding.what {
            What::Lost { gap, at_start: true, .. } => Some((finding.path.clone(), *gap)),
            _ => None,
        });
        let (path, gap) = lost.unwrap_or_else(|| panic!("cut at {cut}: {:?}", whats(&verified)));
        assert_eq!(path, log_dir().join(&name));
        assert!(gap.is_open_ended() && gap.from_offset <= header.base_offset, "{gap:?}");
        let node = machine.start();
        assert_eq!(node.log.refusal(), Some(PutRefusal::Quarantined));
        machine.stop(node);
        accept_all(&machine);
        let node = machine.start();
        assert_eq!(machine.sim.block_on(node.put(100, LEN)).base_offset, gap.from_offset);
        machine.stop(node);
        assert_eq!(machine.sim.block_on(machine.start().read_all(gap.from_offset)).unwrap(), [100]);
    }
}

fn accept_all(machine: &Machine) {
    machine.sim.block_on(async {
        let inspector = Inspector::open(machine.sim.runtime(machine.host), &log_dir()).await.unwrap();
        for remedy in inspector.remedies().await.unwrap() {
            inspector.apply(&remedy).await.unwrap();
        }
        assert!(inspector.remedies().await.unwrap().is_empty());
    });
}

/// Goal: while a node runs nothing is inspected, and a verification creates no lock file.
#[test]
fn a_running_node_keeps_inspectors_out() {
    let machine = Machine::new(12);
    let node = machine.start();
    let rt = machine.sim.runtime(machine.host);
    for path in ["/data".into(), log_dir()] {
        let opened = machine.sim.block_on(Inspector::open(rt.clone(), &path));
        assert!(matches!(opened, Err(InspectError::Locked(held)) if held == Path::new("/data")), "{}", path.display());
    }
    machine.kill(node);
    machine.sim.create_dir_all(machine.host, "/other").unwrap();
    let rt = machine.sim.runtime(machine.host);
    let opened = machine.sim.block_on(Inspector::open(rt, Path::new("/other")));
    assert!(matches!(opened, Err(InspectError::NotOurs(_))));
    assert!(!machine.sim.files(machine.host).iter().any(|(path, _)| path.starts_with("/other")));
}

/// Goal: of a whole data directory, everything that does not belong or is missing is named: node file, shard directories,
/// files nobody knows; and the catalogue's shards get their names.
#[test]
fn a_data_directory_is_verified_as_a_whole() {
    use crate::catalog::{Command, CreateStream, Settings};
    use crate::engine::catalog::CatalogLog;
    use crate::types::{StreamId, WallUs};
    let machine = Machine::new(13);
    let node = machine.start();
    machine.sim.block_on(async {
        // A shard's directory comes after the command that makes it.
        node.rt.remove_dir(&log_dir()).await.unwrap();
        let (catalog, _) = CatalogLog::open(std::rc::Rc::clone(&node.env)).await.unwrap();
        let create = CreateStream {
            name: "orders".to_owned(),
            shard_count: 2,
            settings: Settings::default(),
            tags: Default::default(),
            now: WallUs(5),
            workers: 1,
        };
        catalog.propose(&Command::CreateStream(create)).await.unwrap();
        catalog.propose(&Command::ActivateStream { stream: StreamId(1) }).await.unwrap();
        catalog.stop().await;
        catalog.propose(&Command::DeleteStream { stream: StreamId(1), enforce: false }).await.unwrap_err();
        node.rt.create_dir(&log_dir()).await.unwrap();
        node.rt.sync_dir("/data/shards".as_ref()).await.unwrap();
    });
    put_all(&machine, &node, 0..3);
    machine.stop(node);
    let (sim, host) = (&machine.sim, machine.host);
    sim.create_dir_all(host, "/data/shards/0000000000000063").unwrap();
    sim.write_file(host, "/data/notes.txt", b"mine").unwrap();
    sim.write_file(host, "/data/node.tmp", b"").unwrap();
    let verify = || {
        let rt = sim.runtime(host);
        sim.block_on(async {
            Inspector::open(rt, Path::new("/data")).await.unwrap().verify(&mut |_| {}).await.unwrap()
        })
    };
    let verified = verify();
    let mut found = whats(&verified);
    found.sort();
    let orders = |number| Some(ShardName { stream: "orders".to_owned(), number: crate::types::ShardNumber(number) });
    let missing = verified.findings.iter().find(|finding| matches!(finding.what, What::ShardMissing)).unwrap();
    assert_eq!((missing.group, missing.shard.clone()), (Some(GroupId(17)), orders(1)));
    assert!(verified.findings.iter().any(|f| matches!(f.what, What::ShardForgotten) && f.group == Some(GroupId(0x63))));
    assert!(found.contains(&format!("notes.txt: {}", What::Stranger)), "{found:?}");
    assert!(found.contains(&format!("node.tmp: {}", What::Temporary)), "{found:?}");
    assert_eq!(verified.node.unwrap().term.0, 1);
    assert_eq!(verified.logs.iter().find(|log| log.log.group == GROUP).unwrap().shard, orders(0));
    assert_eq!(verified.worst(), Some(Severity::Fatal));

    sim.flip_bit(host, "/data/node", 30, 1).unwrap();
    let snapshot = sim.files(host).into_iter().map(|(path, _)| path).find(|path| path.contains("snapshot-")).unwrap();
    sim.flip_bit(host, &snapshot, 30, 1).unwrap();
    let verified = verify();
    assert_eq!(verified.worst(), Some(Severity::Fatal));
    assert!(verified.findings.iter().any(|finding| matches!(finding.what, What::NodeFileDamaged { other: true, .. })));
    assert!(verified.findings.iter().any(|finding| matches!(finding.what, What::Snapshot(_))));
    let shard = verified.logs.iter().find(|log| log.log.group == GROUP).unwrap();
    assert_eq!(shard.shard, orders(0), "the commands still tell");
}

/// Goal: the rehearsal of a start and the start itself come to the same result, wherever a bit is flipped, and what
/// verification calls lost is what readers miss: no record more, none less.
#[test]
fn the_rehearsal_is_the_start() {
    for seed in 0..16 {
        let machine = written(100 + seed);
        let names: Vec<_> = machine.names().into_iter().filter(|name| name.ends_with(".seg")).collect();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for _ in 0..=draw(2) {
            let name = &names[draw(names.len() as u64) as usize];
            let len = machine.bytes(name).len() as u64;
            machine.flip(name, FRAMES_AT + draw(len - FRAMES_AT));
        }
        if draw(2) == 0 {
            for name in machine.names().into_iter().filter(|name| name.ends_with(".idx")) {
                machine.remove(&name);
            }
        }
        let verified = verify(&machine);
        let rt = machine.sim.runtime(machine.host);
        let rehearsal = machine
            .sim
            .block_on(super::super::recover::examine(&rt, GROUP, &log_dir(), Depth::Start, None, &mut |_| {
                Flow::Continue(())
            }))
            .unwrap();
        let node = machine.start();
        assert_eq!(node.report, rehearsal.report, "seed {seed}");
        let refused = node.log.refusal().is_some();
        assert_eq!(refused, verified.logs[0].at_start == AtStart::Quarantined, "seed {seed}");
        let mut got = Vec::new();
        let mut at = Offset(0);
        let end = node.log.marks().committed().offset;
        while at < end {
            match machine.sim.block_on(node.log.read(at, 1, crate::types::WallUs(0))) {
                Ok(frames) => {
                    got.extend(at.0..frames.next.0);
                    at = frames.next;
                }
                Err(ReadError::Damaged { resume, .. }) => {
                    assert!(resume > at, "seed {seed}: reading goes on");
                    at = resume;
                }
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        let lost = |offset: &u64| {
            verified.findings.iter().any(|finding| match &finding.what {
                What::Lost { gap, .. } => gap.from_offset.0 <= *offset && *offset < gap.to_offset.0,
                _ => false,
            })
        };
        assert_eq!(
            got,
            (0..30).filter(|offset| !lost(offset)).collect::<Vec<_>>(),
            "seed {seed}: {:?}",
            whats(&verified)
        );
    }
}
