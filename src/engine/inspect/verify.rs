//! Reading everything in a data directory, and saying exactly what is wrong. Changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use super::finding::{Finding, Severity, ShardName, What};
use super::{Flow, InspectError, Inspector, LogDir, Scope, Sight};
use crate::catalog::{Catalog, Command};
use crate::engine::data_dir;
use crate::engine::recover::{self, Damage, Depth, Examined, ExaminedSegment};
use crate::engine::segments::SparseIndex;
use crate::engine::whole_file;
use crate::format::frame::{FrameHeader, Kind};
use crate::format::index::{self, Summary};
use crate::format::names::{self, SegmentNumber};
use crate::format::node::NodeFile;
use crate::format::record::Records;
use crate::log::recovery::Verdict;
use crate::runtime::Runtime;
use crate::types::{CATALOG_GROUP, GroupId, Offset};

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Who the data directory belongs to; `None` for a single log, or if the node file cannot be read.
    pub node: Option<NodeFile>,
    /// Every log that was read.
    pub logs: Vec<LogSummary>,
    /// Everything that is not as it should be, in the order of reading.
    pub findings: Vec<Finding>,
}

/// One log that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSummary {
    /// The log.
    pub log: LogDir,
    /// The shard, if the catalogue knows one of this group.
    pub shard: Option<ShardName>,
    /// Segments with frames.
    pub segments: usize,
    /// Intact frames, pads not counted.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Offset of the first record that is there.
    pub first: Offset,
    /// Offset after the last one.
    pub end: Offset,
    /// What would become of it at the next start.
    pub at_start: AtStart,
}

/// What would become of a log at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtStart {
    /// It opens.
    Opens,
    /// It opens, and leaves a write behind that never finished and was never acknowledged.
    Cuts,
    /// It is quarantined: what is intact can be read, puts are refused until the losses are accepted.
    Quarantined,
    /// It does not open.
    Refuses,
}

/// Sums over all logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Logs read.
    pub logs: usize,
    /// Segments with frames.
    pub segments: usize,
    /// Intact frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl Verified {
    /// Sums over all logs.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.logs.iter().fold(Totals::default(), |sum, log| Totals {
            logs: sum.logs + 1,
            segments: sum.segments + log.segments,
            frames: sum.frames + log.frames,
            records: sum.records + log.records,
            bytes: sum.bytes + log.bytes,
        })
    }

    /// The weight of the heaviest finding.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.what.severity()).max()
    }
}

/// What is known about a log before it is read.
struct About<'a> {
    log: &'a LogDir,
    shard: Option<ShardName>,
}

/// The commands of the catalogue's log, with their offsets.
type Commands = Vec<(Offset, Vec<u8>)>;

impl<R: Runtime> Inspector<R> {
    /// Reads everything: each segment in full, sealed ones included, checksums, the chain across segments, the indexes against
    /// the segments, and for a data directory the node file, the catalogue with its snapshots, and whether every shard of the
    /// catalogue has its directory and every directory its shard. `done` is told of each log that was read.
    ///
    /// Damage found is no error: it is in the findings. An error means that the directory cannot be looked at.
    pub async fn verify(&self, done: &mut dyn FnMut(&LogSummary)) -> Result<Verified, InspectError> {
        let mut out = Verified::default();
        let logs = self.logs().await?;
        if let Scope::Log(log) = &self.scope {
            let catalog = (log.group == CATALOG_GROUP).then_some(&log.path);
            let commands = self.verify_log(&About { log, shard: None }, &mut out, done).await?;
            if let Some(dir) = catalog {
                self.verify_catalog(dir, commands, &mut out).await?;
            }
            return Ok(out);
        }
        self.verify_top(&mut out).await?;
        let mut shards = BTreeMap::new();
        if let Some(log) = logs.first().filter(|log| log.group == CATALOG_GROUP) {
            let commands = self.verify_log(&About { log, shard: None }, &mut out, done).await?;
            let catalog = self.verify_catalog(&log.path, commands, &mut out).await?;
            shards = shard_names(&catalog);
            self.verify_directories(&catalog, &logs, &mut out);
        } else {
            let what = What::Unreadable("the directory is missing".to_owned());
            out.findings.push(Finding {
                group: Some(CATALOG_GROUP),
                shard: None,
                path: names::catalog_dir(&self.path),
                what,
            });
        }
        for log in logs.iter().filter(|log| log.group != CATALOG_GROUP) {
            let shard = shards.get(&log.group).cloned();
            self.verify_log(&About { log, shard }, &mut out, done).await?;
        }
        Ok(out)
    }

    /// The node file, and names at the top that do not belong there.
    async fn verify_top(&self, out: &mut Verified) -> Result<(), InspectError> {
        let mut find = |path, what| out.findings.push(Finding { group: None, shard: None, path, what });
        match data_dir::read_nodes(&self.rt, &self.path).await {
            Ok(found) => {
                let readable = found.iter().filter_map(|(_, node)| node.as_ref()?.as_ref().ok());
                out.node = readable.max_by_key(|node| node.term).copied();
                let other = out.node.is_some();
                for (name, node) in found {
                    let what = match node {
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => What::NodeFileDamaged { error, other },
                        // A directory of an older version has no copy yet.
                        None if name == names::NODE_COPY => continue,
                        None => What::NodeFileMissing { other },
                    };
                    find(self.path.join(name), what);
                }
            }
            Err(error) => find(names::node_file(&self.path), What::Unreadable(error.to_string())),
        }
        for name in self.list_if_there(&self.path).await?.unwrap_or_default() {
            let what = match name.as_str() {
                "LOCK" | names::NODE | names::NODE_COPY | "catalog" | "shards" | "spare" => continue,
                "quarantine" => What::SetAside,
                name if names::is_set_aside(name) => What::SetAside,
                name if names::is_temporary(name) => What::Temporary,
                _ => What::Stranger,
            };
            out.findings.push(Finding { group: None, shard: None, path: self.path.join(name), what });
        }
        let dir = names::shards_dir(&self.path);
        for name in self.list_if_there(&dir).await?.unwrap_or_default() {
            if names::parse_shard_dir(&name).is_none() {
                let path = dir.join(name);
                out.findings.push(Finding { group: None, shard: None, path, what: What::Stranger });
            }
        }
        Ok(())
    }

    /// The shards of the catalogue against the directories that are there.
    fn verify_directories(&self, catalog: &Catalog, logs: &[LogDir], out: &mut Verified) {
        let there = |group| logs.iter().any(|log| log.group == group);
        for stream in catalog.streams() {
            // Directories of what is being created or deleted may be missing: the next start makes or removes them.
            for shard in stream.readable_shards().filter(|_| stream.status.is_serving()) {
                if !there(shard.group) {
                    let shard_name = ShardName { stream: stream.name.clone(), number: shard.number };
                    out.findings.push(Finding {
                        group: Some(shard.group),
                        shard: Some(shard_name),
                        path: names::shard_dir(&self.path, shard.group),
                        what: What::ShardMissing,
                    });
                }
            }
        }
        for log in logs.iter().filter(|log| log.group != CATALOG_GROUP && catalog.shard(log.group).is_none()) {
            let path = log.path.clone();
            let what = if catalog.has_made(log.group) { What::ShardUnknown } else { What::ShardForgotten };
            out.findings.push(Finding { group: Some(log.group), shard: None, path, what });
        }
    }

    /// One log. Gives the commands in it, if it is the catalogue's.
    async fn verify_log(
        &self,
        about: &About<'_>,
        out: &mut Verified,
        done: &mut dyn FnMut(&LogSummary),
    ) -> Result<Commands, InspectError> {
        let LogDir { group, path } = about.log;
        let mut whats = Vec::new();
        let mut counts = (0, 0);
        let mut commands = Vec::new();
        let mut see = |sight: Sight<'_>| {
            look(*group, &sight, &mut whats);
            if let Sight::Frame { header, body, segment, pos } = &sight
                && header.kind != Kind::Pad
            {
                counts = (counts.0 + 1, counts.1 + u64::from(header.record_count));
                match take_records(header, body, *group == CATALOG_GROUP) {
                    Ok(taken) => commands.extend(taken),
                    Err(error) => {
                        whats.push((
                            names::segment(*segment),
                            What::Records { pos: *pos, header: Box::new(**header), error },
                        ));
                    }
                }
            }
            Flow::Continue(())
        };
        let everything = recover::examine(&self.rt, *group, path, Depth::Everything, None, &mut see).await;
        let mut quiet = |_: Sight<'_>| Flow::Continue(());
        let start = recover::examine(&self.rt, *group, path, Depth::Start, None, &mut quiet).await;
        let accepted = recover::read_losses(&self.rt, path).await;
        // What a snapshot of the catalogue covers is lost to nobody.
        let covered = if *group == CATALOG_GROUP { Some(self.newest_snapshot(path).await?.1) } else { None };
        let mut summary = LogSummary {
            log: about.log.clone(),
            shard: about.shard.clone(),
            segments: 0,
            frames: counts.0,
            records: counts.1,
            bytes: 0,
            first: Offset(0),
            end: Offset(0),
            at_start: AtStart::Refuses,
        };
        match (everything, start) {
            (Ok(everything), Ok(start)) => {
                summary.segments = everything.segments.len();
                summary.bytes = everything.report.scanned_bytes;
                summary.end = everything.tip.offset;
                summary.first = everything.segments.first().map_or(summary.end, |found| found.segment.first.offset);
                let known = accepted.as_deref().unwrap_or_default();
                summary.at_start = match (&accepted, covered) {
                    // The catalogue does not open with a part of its commands missing. It looks at no list of losses.
                    (_, Some(covered)) => {
                        let damage = &start.report.damage;
                        let opens =
                            start.tip.offset >= covered && damage.iter().all(|damage| damage.is_covered(covered));
                        if opens { AtStart::Opens } else { AtStart::Refuses }
                    }
                    (Err(_), None) => AtStart::Refuses,
                    (Ok(_), None) if start.report.damage.iter().any(|damage| !damage.is_among(known)) => {
                        AtStart::Quarantined
                    }
                    (Ok(_), None) if start.report.cut => AtStart::Cuts,
                    (Ok(_), None) => AtStart::Opens,
                };
                compare_losses(&everything, &start, known, covered, &mut whats);
                leftovers(&everything, &mut whats);
                // One whose segment is missing behind the end is told of as a loss.
                let is_told =
                    |number: &&SegmentNumber| everything.report.damage.iter().any(|damage| damage.segment == **number);
                let strays = everything.stray_indexes.iter().filter(|number| !is_told(number));
                whats.extend(strays.map(|number| (names::index(*number), What::IndexStray)));
                for found in &everything.segments {
                    self.verify_index(path, found, &mut whats).await;
                }
            }
            (Err(error), _) | (_, Err(error)) => whats.push((String::new(), What::Unreadable(error.to_string()))),
        }
        if let Err(error) = accepted {
            whats.push((names::LOSSES.to_owned(), What::LossesDamaged(error.to_string())));
        }
        out.findings.extend(whats.into_iter().map(|(name, what)| Finding {
            group: Some(*group),
            shard: about.shard.clone(),
            path: if name.is_empty() { path.clone() } else { path.join(name) },
            what,
        }));
        done(&summary);
        out.logs.push(summary);
        Ok(commands)
    }

    /// The index of a segment against what was found in the segment.
    async fn verify_index(&self, dir: &Path, found: &ExaminedSegment<R::Map>, whats: &mut Vec<(String, What)>) {
        let segment = &found.segment;
        let name = names::index(segment.number);
        let file = match whole_file::read(&self.rt, &dir.join(&name)).await {
            Ok(Some(file)) => file,
            Ok(None) => {
                if segment.sealed && segment.gaps.is_empty() {
                    whats.push((names::segment(segment.number), What::IndexMissing));
                }
                return;
            }
            Err(error) => return whats.push((name, What::Unreadable(error.to_string()))),
        };
        let (summary, entries) = match index::decode(&file) {
            Ok(decoded) => decoded,
            Err(error) => return whats.push((name, What::IndexDamaged(error))),
        };
        let SparseIndex::Memory(expected) = &segment.index else { return };
        if let Some(wrong) = difference(&summary, entries, found, expected) {
            whats.push((name, What::IndexWrong(wrong)));
        }
    }

    /// The newest readable snapshot, and the offset after the last command in it; the empty catalogue and 0 if there is none.
    pub(super) async fn newest_snapshot(&self, dir: &Path) -> Result<(Catalog, Offset), InspectError> {
        let names = self.list_if_there(dir).await?.unwrap_or_default();
        for next in names.iter().rev().filter_map(|name| names::parse_snapshot(name)) {
            if let Ok(Some(file)) = whole_file::read(&self.rt, &dir.join(names::snapshot(next))).await
                && let Ok(state) = Catalog::decode_snapshot(&file)
            {
                return Ok((state, Offset(next)));
            }
        }
        Ok((Catalog::new(), Offset(0)))
    }

    /// The snapshots, and the commands behind the newest readable one. Gives the state as far as it can be told.
    async fn verify_catalog(
        &self,
        dir: &Path,
        commands: Commands,
        out: &mut Verified,
    ) -> Result<Catalog, InspectError> {
        let mut find = |path: std::path::PathBuf, what| {
            out.findings.push(Finding { group: Some(CATALOG_GROUP), shard: None, path, what });
        };
        let end = out.logs.last().map_or(Offset(0), |log| log.end);
        let names = self.list_if_there(dir).await?.unwrap_or_default();
        if names.iter().any(|name| name == names::BEGUN_ANEW) {
            find(dir.join(names::BEGUN_ANEW), What::HalfRepaired);
        }
        for name in names.iter().filter(|name| names::is_set_aside(name)) {
            find(dir.join(name), What::SetAside);
        }
        let mut state = (Catalog::new(), Offset(0));
        for next in names.iter().filter_map(|name| names::parse_snapshot(name)) {
            let path = dir.join(names::snapshot(next));
            let decoded = match whole_file::read(&self.rt, &path).await {
                Ok(Some(file)) => Catalog::decode_snapshot(&file),
                Ok(None) => continue,
                Err(error) => {
                    find(path, What::Unreadable(error.to_string()));
                    continue;
                }
            };
            match decoded {
                Ok(catalog) => {
                    if Offset(next) > end {
                        find(path, What::SnapshotAhead { next: Offset(next), end });
                    }
                    // Names sort as offsets do: the last readable one is the newest.
                    state = (catalog, Offset(next));
                }
                Err(error) => find(path, What::Snapshot(error)),
            }
        }
        let (mut catalog, mut next) = state;
        for (offset, bytes) in commands {
            if offset < next {
                continue;
            }
            if offset > next {
                find(dir.to_path_buf(), What::CommandsMissing { from: next, to: offset });
            }
            next = offset.plus(1);
            match Command::decode(&bytes) {
                Ok(command) => {
                    if let Err(error) = catalog.apply(&command) {
                        find(dir.to_path_buf(), What::CommandUnfit { offset, error });
                    }
                }
                Err(error) => find(dir.to_path_buf(), What::CommandDamaged { offset, error }),
            }
        }
        Ok(catalog)
    }
}

fn shard_names(catalog: &Catalog) -> BTreeMap<GroupId, ShardName> {
    let shards = catalog.streams().flat_map(|stream| stream.shards().iter().map(move |shard| (stream, shard)));
    shards
        .map(|(stream, shard)| (shard.group, ShardName { stream: stream.name.clone(), number: shard.number }))
        .collect()
}

/// What a sight alone tells.
fn look(group: GroupId, sight: &Sight<'_>, whats: &mut Vec<(String, What)>) {
    match sight {
        Sight::Segment { number, header, .. } => {
            let wrong = match header {
                Ok(header) if header.group == group && header.number == *number => return,
                Ok(header) => format!("it is segment {} of group {}", header.number, header.group),
                Err(error) => error.to_string(),
            };
            whats.push((names::segment(*number), What::SegmentHeader(wrong)));
        }
        Sight::Stop { segment, pos, verdict: Verdict::Cut, .. } => {
            whats.push((names::segment(*segment), What::Unfinished { pos: *pos }));
        }
        Sight::Padding { segment, pos } => whats.push((names::segment(*segment), What::Padding { pos: *pos })),
        // Losses are told of once they are compared with those a start finds.
        Sight::Stop { .. } | Sight::Frame { .. } => {}
    }
}

/// Checks that a body holds the records its header promises. Gives them with their offsets if they are wanted.
fn take_records(
    header: &FrameHeader,
    body: &[u8],
    wanted: bool,
) -> Result<Commands, crate::format::record::RecordError> {
    let mut taken = Vec::new();
    let mut have = 0;
    if header.kind == Kind::Data {
        for record in Records::new(body) {
            let record = record?;
            if wanted {
                taken.push((header.base_offset.plus(u64::from(have)), record.data.to_vec()));
            }
            have += 1;
        }
    }
    if have != header.record_count {
        return Err(crate::format::record::RecordError::Count { expected: header.record_count, have });
    }
    Ok(taken)
}

fn compare_losses<M>(
    everything: &Examined<M>,
    start: &Examined<M>,
    accepted: &[Damage],
    covered: Option<Offset>,
    whats: &mut Vec<(String, What)>,
) {
    for (damage, reason) in everything.report.damage.iter().zip(&everything.reasons) {
        if let Some(covered) = covered {
            let is_covered = damage.is_covered(covered);
            let what = if is_covered { What::Covered(*damage) } else { What::Uncovered(*damage) };
            whats.push((names::segment(damage.segment), what));
            continue;
        }
        let what = What::Lost {
            segment: damage.segment,
            gap: damage.gap,
            reason: reason.clone(),
            accepted: damage.is_among(accepted),
            at_start: damage.is_among(&start.report.damage),
        };
        whats.push((names::segment(damage.segment), what));
    }
    for damage in start.report.damage.iter().filter(|damage| !damage.is_among(&everything.report.damage)) {
        whats.push((names::index(damage.segment), What::LossHealed { gap: damage.gap }));
    }
}

fn leftovers<M>(examined: &Examined<M>, whats: &mut Vec<(String, What)>) {
    whats.extend(examined.unused.iter().map(|number| (names::segment(*number), What::Unused)));
    whats.extend(examined.temporary.iter().map(|name| (name.clone(), What::Temporary)));
    whats.extend(examined.strangers.iter().map(|name| (name.clone(), What::Stranger)));
}

/// In what an index differs from what it should be, if it does.
fn difference<M>(
    summary: &Summary,
    entries: &[index::Entry],
    found: &ExaminedSegment<M>,
    expected: &[index::Entry],
) -> Option<&'static str> {
    let segment = &found.segment;
    if (summary.group, summary.number) != (segment.tip.group, segment.number) {
        return Some("it is another segment's");
    }
    if !segment.gaps.is_empty() {
        // The segment is damaged, so the index is the better witness; the damage is told of by itself.
        return None;
    }
    if summary.first_index != segment.first.index || summary.first_offset != segment.first.offset {
        return Some("the first frame");
    }
    if !summary.gaps.is_empty() {
        return Some("losses");
    }
    if !summary.complete {
        // A checkpoint of a segment that grew on: everything in it must be there.
        let within = summary.end_pos.0 <= segment.end_pos && summary.index <= segment.tip.index;
        return (!within || !expected.starts_with(entries)).then_some("a checkpoint of more than there is");
    }
    if entries != expected {
        return Some("the entries");
    }
    let should = segment.summary(summary.producers.clone());
    if *summary != (Summary { complete: true, ..should }) {
        return Some("the summary");
    }
    (found.producers_known && summary.producers != found.producers).then_some("the table of producers")
}
