//! The workload on damage: logs that were closed cleanly, one place of one file spoilt, and the logs opened again.
//!
//! The checker knows from a walk over the files which frames lie in the spoilt place, and asks:
//! - no reader is ever handed a wrong byte, and every record is either read or reported as damaged: nothing is cut off;
//! - what is reported contains the records of the spoilt frames, and ends at the latest where the next flush after them
//!   begins: with the first frame at a block boundary, or with the segment;
//!   Where the log itself begins nobody else knows: damage to its first header is reported from offset 0 on;
//! - where reading is said to resume, it does;
//! - a log that recovery found damaged takes no puts; one that lost nothing still holds everything.
//!
//! It does not check damage to the node file, to the catalogue or to several places at once, nor damage to the last
//! frames of a log before its quiet hint was written: that cannot be told from a write that never finished.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::engine::data_dir;
use crate::engine::env::{Env, Tuning};
use crate::engine::read::ReadError;
use crate::engine::shard::Shard;
use crate::engine::shards::Shards;
use crate::format::frame::{FrameHeader, Kind};
use crate::format::names;
use crate::format::segment::FRAMES_AT;
use crate::limits::BLOCK_BYTES;
use crate::shard::admission::PutRefusal;
use crate::sim::workload::logs::{Plan, Slot, World};
use crate::sim::{DiskFaults, Sim, SimRuntime};
use crate::types::{Durability, FrameIndex, GroupId, Offset, WorkerId};

/// Where the node keeps its data.
const DATA: &str = "/data";

/// What a run met.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Frames in the spoilt place.
    pub spoilt_frames: usize,
    /// Records reported as damaged.
    pub lost_records: u64,
    /// Recovery found it, rather than a reader.
    pub quarantined: bool,
}

/// A frame as it lies in a file.
#[derive(Clone, Copy, Debug)]
struct Lying {
    pos: u64,
    end_pos: u64,
    base: Offset,
    end: Offset,
    kind: Kind,
}

/// One log's file with the frames in it.
struct Lain {
    path: String,
    frames: Vec<Lying>,
}

/// Writes logs, spoils one place, looks at what is left.
pub fn run(seed: u64) -> Summary {
    let plan = Plan {
        logs: 1,
        generations: 1,
        durability: Durability::Fsync,
        faults: DiskFaults::default(),
        tuning: Tuning { tail_bytes_max: 0, ..Tuning::default() },
        ..Plan::draw(seed)
    };
    let sim = Sim::new(seed, super::options("damage", seed));
    let world = World::new(&sim, seed, plan);
    world.generation(false);
    let slot = world.slots().pop().expect("there is one log");
    let mut files = walk(&world, slot.id.group);
    files.retain(|file| !file.is_empty(&world));
    if files.is_empty() {
        // Nothing was put, or the last thing that happened to the log was that it was replaced.
        return Summary::default();
    }
    let (path, range) = spoil(&world, &files);
    let mut summary = Summary::default();
    let hit: Option<(&Lain, Vec<Lying>)> = files.iter().find(|file| file.path == path).map(|file| {
        let touched = |frame: &&Lying| frame.pos < range.end && range.start < frame.end_pos;
        (file, file.frames.iter().filter(touched).copied().collect())
    });
    let (must, may) = hit.map_or((Vec::new(), Offset(0)..Offset(0)), |(file, frames)| {
        summary.spoilt_frames = frames.len();
        let is_oldest =
            files.iter().find(|file| !file.frames.is_empty()).is_some_and(|oldest| oldest.path == file.path);
        (frames.iter().filter(|frame| frame.kind == Kind::Data).copied().collect(), bounds(file, &frames, is_oldest))
    });
    let rt = sim.runtime(world.host);
    let lost = sim.block_on(look(&world, &rt, &slot, &mut summary));
    for Lying { base, end, .. } in must {
        let reported = lost.iter().any(|lost| lost.start <= base && end <= lost.end);
        assert!(reported, "seed {seed}: {base}..{end} of {path} was spoilt at {range:?}, reported was {lost:?}");
    }
    for lost in &lost {
        let fits = may.start <= lost.start && lost.end <= may.end;
        assert!(fits, "seed {seed}: {path} was spoilt at {range:?}; reported {lost:?}, at most {may:?} is lost");
    }
    summary.lost_records = lost.iter().map(|lost| lost.end.0 - lost.start.0).sum();
    summary
}

impl Lain {
    /// Whether there is nothing in it to be spoilt: a segment that was prepared and not yet written to.
    fn is_empty(&self, world: &World) -> bool {
        let len = world.sim.read_file(world.host, &self.path).map_or(0, |bytes| bytes.len());
        len == 0 || (self.path.ends_with(".seg") && self.frames.is_empty())
    }
}

/// The frames of a log's files, found without the engine.
fn walk(world: &World, group: GroupId) -> Vec<Lain> {
    let dir = names::shard_dir(Path::new(DATA), group);
    let mut expected: Option<(FrameIndex, Offset)> = None;
    let mut out = Vec::new();
    for (path, _) in world.sim.files(world.host) {
        let name = Path::new(&path).strip_prefix(&dir).ok().and_then(Path::to_str).map(str::to_owned);
        let Some(name) = name else { continue };
        let mut file = Lain { path, frames: Vec::new() };
        if names::parse_segment(&name).is_some() {
            let bytes = world.sim.read_file(world.host, &file.path).expect("it is listed");
            let mut pos = FRAMES_AT as usize;
            while let Some(Ok(header)) = bytes.get(pos..).map(FrameHeader::decode) {
                let here = (header.index, header.base_offset);
                if header.group_id != group || expected.is_some_and(|expected| expected != here) {
                    break;
                }
                let end_pos = pos + header.frame_bytes();
                let next = if header.kind == Kind::Pad { header.index } else { header.index.plus(1) };
                expected = Some((next, header.end_offset()));
                file.frames.push(Lying {
                    pos: pos as u64,
                    end_pos: end_pos as u64,
                    base: header.base_offset,
                    end: header.end_offset(),
                    kind: header.kind,
                });
                pos = end_pos;
            }
        } else if names::parse_index(&name).is_none() {
            continue;
        }
        out.push(file);
    }
    out
}

/// Inverts a bit or zeroes a block of a file; gives the file and the bytes that changed.
fn spoil(world: &World, files: &[Lain]) -> (String, Range<u64>) {
    let mut file = &files[world.draw(files.len() as u64) as usize];
    if file.frames.is_empty() && world.draw(4) > 0 {
        // An index, which nothing depends on: once in a while is enough.
        file = files.iter().rev().find(|file| !file.frames.is_empty()).unwrap_or(file);
    }
    let mut bytes = world.sim.read_file(world.host, &file.path).expect("it is listed");
    let used = file.frames.last().map_or(bytes.len() as u64, |last| last.end_pos);
    let at = if world.draw(3) == 0 && !file.frames.is_empty() {
        // A header: rarer than bodies, and worth more.
        let frame = file.frames[world.draw(file.frames.len() as u64) as usize];
        frame.pos + world.draw(128)
    } else {
        world.draw(used)
    };
    let range = if world.draw(2) == 0 {
        bytes[at as usize] ^= 1 << world.draw(8);
        at..at + 1
    } else {
        let block = at as usize / BLOCK_BYTES * BLOCK_BYTES;
        bytes[block..block + BLOCK_BYTES].fill(0);
        block as u64..(block + BLOCK_BYTES) as u64
    };
    world.sim.write_file(world.host, &file.path, &bytes).expect("it was there before");
    (file.path.clone(), range)
}

/// What may be reported as lost at most.
fn bounds(file: &Lain, spoilt: &[Lying], is_oldest: bool) -> Range<Offset> {
    let Some((first, last)) = spoilt.first().zip(spoilt.last()) else { return Offset(0)..Offset(0) };
    let after = file.frames.iter().find(|frame| {
        frame.pos >= last.end_pos && frame.pos.is_multiple_of(BLOCK_BYTES as u64) && frame.kind != Kind::Pad
    });
    let end_of_file = file.frames.last().map_or(last.end, |frame| frame.end);
    let is_first = is_oldest && file.frames.first().is_some_and(|frame| frame.pos == first.pos);
    let from = if is_first { Offset(0) } else { first.base };
    from..after.map_or(end_of_file, |frame| frame.base)
}

/// Opens the spoilt log and reads all of it; gives what was reported as lost.
async fn look(world: &World, rt: &SimRuntime, slot: &Slot, summary: &mut Summary) -> Vec<Range<Offset>> {
    let rt = rt.clone();
    let dir = data_dir::open(&rt, Path::new(DATA)).await.expect("the data directory is intact");
    let env = Env::new(rt.clone(), WorkerId(0), PathBuf::from(DATA), dir.node.term, world.plan.tuning);
    let shards = Shards::new(env);
    let opened = shards.open(world.known()).await;
    assert!(opened.failed.is_empty(), "a damaged log still opens: {:?}", opened.failed);
    summary.quarantined = !opened.quarantined.is_empty();
    let shard = shards.get(slot.id.group).expect("it was opened");
    let refused = shard.log().refusal() == Some(PutRefusal::Quarantined);
    assert_eq!(refused, summary.quarantined, "a damaged log, and only such a one, takes no puts");
    let (first, end) = (shard.log().first_offset(), shard.log().marks().committed().offset);
    assert_eq!(end, slot.oracle.borrow().end(), "the log was cut, or grew");
    slot.oracle.borrow_mut().starts_at(first);
    let mut lost: Vec<Range<Offset>> = Vec::new();
    let mut at = first;
    while at < end {
        let asked = at;
        at = step(world, slot, &shard, at, &mut lost).await;
        assert!(at > asked, "reading at {asked} comes to nothing");
    }
    lost
}

/// One read; damage is noted and jumped over.
async fn step(
    world: &World,
    slot: &Slot,
    shard: &Rc<Shard<SimRuntime>>,
    at: Offset,
    lost: &mut Vec<Range<Offset>>,
) -> Offset {
    match world.read(slot, shard, at).await {
        Ok(next) => next,
        Err(ReadError::Damaged { from, resume, .. }) => {
            assert_eq!(from, at, "damage starts at what was asked for");
            lost.push(from..resume);
            resume
        }
        Err(error) => panic!("offset {at}: {error}"),
    }
}
