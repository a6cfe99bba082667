//! Logs as recovery finds them: flushes of intact frames over several segments, then some of it spoilt. Whatever was spoilt,
//! the log opens or says why not, hands out only records that were written, at their offsets, and opens the second time
//! as it did the first. What was not spoilt is there.
//!
//! The input is choices: first the flushes, then what is spoilt.

use std::collections::BTreeMap;
use std::path::Path;

use millstream::catalog::{HashRange, Settings};
use millstream::engine::env::{Env, Tuning};
use millstream::engine::read::ReadError;
use millstream::engine::recover::{Depth, Flow, Sight, examine};
use millstream::engine::shard::{Identity, Phase, Terms};
use millstream::engine::shards::{Known, Shards, Storage};
use millstream::format::frame::{Frame, FrameHeader, HEADER_BYTES, Kind};
use millstream::format::segment::SegmentHeader;
use millstream::format::{names, record};
use millstream::limits::BLOCK_BYTES;
use millstream::log::tip::{Draft, Tip};
use millstream::sim::{Sim, SimOptions};
use millstream::types::{FrameIndex, GroupId, Offset, ShardNumber, StreamId, Term, WallUs, WorkerId};

use super::cursor::Cursor;

const GROUP: GroupId = GroupId(16);
const DATA: &str = "/data";
const STEPS_MAX: usize = 48;
const SPOILT_MAX: usize = 6;
const CAPACITY: usize = 1 << 20;

/// A log being written.
struct Written {
    tip: Tip,
    term: Term,
    durable: FrameIndex,
    segments: Vec<Vec<u8>>,
    /// The bodies of data frames, by index, with their first offsets.
    bodies: BTreeMap<u64, (Offset, Vec<u8>)>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut cursor = Cursor(data);
    let mut log = Written {
        tip: Tip::genesis(GROUP),
        term: Term(1),
        durable: FrameIndex(0),
        segments: vec![head(0)],
        bodies: BTreeMap::new(),
    };
    for _ in 0..usize::from(cursor.byte()) % STEPS_MAX {
        log.step(&mut cursor);
    }
    log.flush();
    let mut segments: Vec<_> = log.segments.iter().cloned().map(Some).collect();
    let mut is_spoilt = false;
    for _ in 0..SPOILT_MAX {
        if cursor.is_empty() {
            break;
        }
        is_spoilt = true;
        spoil(&mut segments, &mut cursor);
    }
    look(&log, &segments, is_spoilt);
}

fn head(number: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    SegmentHeader { group: GROUP, number, created: WallUs(1), capacity: CAPACITY as u64 }.encode(&mut block);
    block
}

impl Written {
    fn step(&mut self, cursor: &mut Cursor<'_>) {
        match cursor.byte() % 8 {
            0..=3 => {
                let len = usize::from(cursor.byte());
                let fill = usize::from(cursor.byte()) * 32;
                let mut data = cursor.take(len).to_vec();
                data.resize(len + fill, 7);
                let mut body = Vec::new();
                record::encode("k", &data, &mut body);
                if len.is_multiple_of(2) {
                    record::encode("l", &data, &mut body);
                }
                self.bodies.insert(self.tip.index.0, (self.tip.offset, body.clone()));
                self.frame(Kind::Data, &body, 1 + u32::from(len.is_multiple_of(2)));
            }
            4 => self.flush(),
            5 => {
                self.flush();
                self.durable = self.tip.index;
                self.pad(BLOCK_BYTES - HEADER_BYTES);
            }
            6 => {
                self.flush();
                self.term = Term(self.term.0 + 1);
                self.frame(Kind::NoOp, &[], 0);
            }
            _ => {
                self.flush();
                self.segments.push(head(self.segments.len() as u64));
            }
        }
    }

    fn frame(&mut self, kind: Kind, body: &[u8], record_count: u32) {
        let body_len = u32::try_from(body.len()).expect("bodies are short");
        let body_crc = crc32fast::hash(body);
        let draft = Draft { kind, body_len, body_crc, record_count, producer: None, arrival: WallUs(1) };
        let header = self.tip.stamp(draft, self.term, self.durable);
        let file = self.segments.last_mut().expect("there is always one");
        let at = file.len();
        file.resize(at + HEADER_BYTES, 0);
        header.encode(&mut file[at..]);
        file.extend_from_slice(body);
        self.tip.advance(&header);
    }

    fn pad(&mut self, body_len: usize) {
        self.frame(Kind::Pad, &vec![0; body_len], 0);
    }

    /// Ends the flush on a block. What it holds counts as durable from the next one on.
    fn flush(&mut self) {
        let len = self.segments.last().expect("there is always one").len();
        if len.is_multiple_of(BLOCK_BYTES) {
            return;
        }
        let mut room = BLOCK_BYTES - len % BLOCK_BYTES;
        if room < HEADER_BYTES {
            room += BLOCK_BYTES;
        }
        self.pad(room - HEADER_BYTES);
        self.durable = self.tip.index;
    }
}

/// Changes a byte, clears a block, copies one over another, cuts a file short, or takes it away.
fn spoil(segments: &mut [Option<Vec<u8>>], cursor: &mut Cursor<'_>) {
    let (how, which) = (cursor.byte(), usize::from(cursor.byte()) % segments.len());
    let (at, other) = (usize::from(cursor.short()), usize::from(cursor.short()));
    let source = segments[other % segments.len()].clone();
    if how % 8 == 7 {
        segments[which] = None;
        return;
    }
    let Some(file) = &mut segments[which] else { return };
    if file.is_empty() {
        return;
    }
    let at = (at * 7) % file.len();
    let block = at / BLOCK_BYTES * BLOCK_BYTES;
    match how % 8 {
        0..=3 => file[at] ^= cursor.byte().max(1),
        4 => {
            let end = (block + BLOCK_BYTES).min(file.len());
            file[block..end].fill(0);
        }
        5 => {
            let from = other / BLOCK_BYTES * BLOCK_BYTES;
            if let Some(bytes) = source.as_deref().and_then(|source| source.get(from..from + BLOCK_BYTES))
                && let Some(target) = file.get_mut(block..block + BLOCK_BYTES)
            {
                target.copy_from_slice(bytes);
            }
        }
        _ => file.truncate(at),
    }
}

fn look(log: &Written, segments: &[Option<Vec<u8>>], is_spoilt: bool) {
    let sim = Sim::new(7, SimOptions::default());
    let host = sim.host("node");
    let dir = names::shard_dir(Path::new(DATA), GROUP);
    sim.create_dir_all(host, &dir).expect("the disk is empty");
    sim.create_dir_all(host, names::spare_dir(Path::new(DATA))).expect("the disk is empty");
    for (number, bytes) in segments.iter().enumerate() {
        let Some(bytes) = bytes else { continue };
        let mut bytes = bytes.clone();
        if bytes.len() == log.segments[number].len() {
            // Not cut short: the space reserved behind it is there.
            bytes.resize(bytes.len() + 4 * BLOCK_BYTES, 0);
        }
        sim.write_file(host, dir.join(names::segment(number as u64)), &bytes).expect("there is room");
    }
    let rt = sim.runtime(host);
    let mut see = |sight: Sight<'_>| {
        if let Sight::Frame { header, body, .. } = sight {
            check(log, header, body);
        }
        Flow::Continue(())
    };
    let examined = sim.block_on(examine(&rt, GROUP, &dir, Depth::Everything, None, &mut see)).expect("it can be read");
    if !is_spoilt {
        assert!(examined.report.damage.is_empty());
        assert_eq!(examined.tip.offset, log.tip.offset);
    }
    let first = open(log, &sim, host);
    let again = open(log, &sim, host);
    assert_eq!(first, again, "the second start finds something else");
    if !is_spoilt {
        assert_eq!(first, (Offset(0), log.tip.offset, false, Vec::new()));
    }
}

/// Opens the log as a start does and reads all of it; gives its bounds, whether it is quarantined, and what is damaged.
fn open(log: &Written, sim: &Sim, host: millstream::sim::HostId) -> (Offset, Offset, bool, Vec<(Offset, Offset)>) {
    let rt = sim.runtime(host);
    sim.block_on(async {
        let env = Env::new(rt, WorkerId(0), DATA.into(), Term(log.term.0 + 1), Tuning::default());
        let shards = Shards::new(env);
        let id = Identity { stream: StreamId(1), number: ShardNumber(0), group: GROUP };
        let terms = Terms {
            settings: Settings::default(),
            expired_before: WallUs(0),
            range: HashRange::ALL,
            phase: Phase::Open,
        };
        let opened = shards.open(vec![Known { id, storage: Storage::Open, terms }]).await;
        assert!(opened.failed.is_empty(), "{:?}", opened.failed);
        let shard = shards.get(GROUP).expect("it was opened");
        let (first, end) = (shard.log().first_offset(), shard.log().marks().committed().offset);
        let mut damaged = Vec::new();
        let mut at = first;
        while at < end {
            let next = match shard.log().read(at, 64 << 10, WallUs(0)).await {
                Ok(frames) => {
                    for slice in &frames.slices {
                        let mut rest: &[u8] = slice;
                        while !rest.is_empty() {
                            let (frame, after) = Frame::split(rest).expect("readers get intact frames");
                            check(log, &frame.header, frame.body);
                            rest = after;
                        }
                    }
                    frames.next
                }
                Err(ReadError::Damaged { from, resume, .. }) => {
                    damaged.push((from, resume));
                    resume
                }
                Err(error) => panic!("reading at {at}: {error}"),
            };
            assert!(next > at, "reading at {at} comes to nothing");
            at = next;
        }
        shards.stop().await;
        (first, end, !opened.quarantined.is_empty(), damaged)
    })
}

/// A data frame is one that was written.
fn check(log: &Written, header: &FrameHeader, body: &[u8]) {
    if header.kind == Kind::Data {
        let (base, written) = &log.bodies[&header.index.0];
        assert_eq!((header.base_offset, body), (*base, &written[..]));
    }
}
