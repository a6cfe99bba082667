//! One case: what verify, the node and a repair make of it.

use std::ops::Range;
use std::path::Path;

use super::cases::used;
use super::image::{DATA, Running, Shard, data, describe, put, start};
use super::{Case, Image, Spoilt, Summary};
use crate::engine::inspect::{AtStart, Inspector, Severity, Verified, What};
use crate::format::frame::Frame;
use crate::format::names;
use crate::format::record::Records;
use crate::protocol::ErrorCode;
use crate::protocol::messages::{Get, StoreGet};
use crate::sim::workload::native::Connection;
use crate::sim::{HostId, Sim};
use crate::types::{GroupId, Offset};

/// One case under way.
struct Look<'a> {
    image: &'a Image,
    case: &'a Case,
    sim: Sim,
    host: HostId,
    peer: HostId,
}

/// What of a shard is served, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Served {
    /// Offsets that the node says are lost.
    lost: Vec<Range<u64>>,
    /// Where the shard ends.
    end: u64,
}

/// Tries one case.
pub(super) fn run(image: &Image, case: &Case, summary: &mut Summary) {
    let options = crate::sim::SimOptions {
        replay_hint: format!("the case was {case} ({:?})", image.ending),
        // A start that never ends must fail soon: a case takes thousands of polls.
        polls_max: 1_000_000,
        ..crate::sim::SimOptions::default()
    };
    let sim = Sim::new(5, options);
    let (host, peer) = (sim.host("node"), sim.host("client"));
    sim.copy_disk(&image.sim, image.host, host).expect("the disk is empty");
    case.spoil(&sim, host);
    let look = Look { image, case, sim: sim.clone(), host, peer };
    look.all(summary);
}

impl Look<'_> {
    fn all(&self, summary: &mut Summary) {
        let file = self.image.sim.read_file(self.image.host, &self.case.path).expect("it is listed");
        let used = used(&self.case.path, &file);
        let is_harmless = self.case.is_harmless(used, &file);
        let spoilt = self.sim.read_file(self.host, &self.case.path).ok();
        let verified = self.verify();
        let is_noticed = verified.findings.iter().any(|finding| {
            // These two the intact directory has, too.
            !matches!(finding.what, What::Unused | What::Lost { accepted: true, .. })
        });
        summary.noticed += usize::from(is_noticed);
        assert!(is_noticed || is_harmless || self.may_go_unnoticed(), "{}: verify notices nothing", self.case);
        match start(&self.sim, self.host) {
            Ok(running) => self.check_started(running, &verified, summary),
            Err(error) => {
                summary.refused += 1;
                assert_eq!(verified.worst(), Some(Severity::Fatal), "{}: {error}", self.case);
                let helps = error.contains(DATA) && error.contains("log repair");
                assert!(helps, "{}: the node says too little: {error}", self.case);
            }
        }
        self.is_kept(spoilt.as_deref(), is_harmless);
        self.repair();
        self.is_kept(spoilt.as_deref(), is_harmless);
        let after = self.verify();
        let worst = after.worst();
        assert!(worst < Some(Severity::Loss), "{}: after the repair: {:?}", self.case, after.findings);
        self.check_repaired();
    }

    /// Missing files that nobody can miss, and bytes of a batch that was lost before.
    fn may_go_unnoticed(&self) -> bool {
        let is_lost = |(start, end)| {
            let lost_at = self.image.lost_at.as_ref().filter(|(path, _)| *path == self.case.path);
            lost_at.is_some_and(|(_, lost)| lost.start <= start && end <= lost.end)
        };
        if self.case.bytes().is_some_and(is_lost) {
            return true;
        }
        let name = self.name();
        let is_index = names::parse_index(&name).is_some();
        let is_file_gone = self.case.how == Spoilt::Gone;
        // A list of accepted losses that is gone is noticed by the losses; a snapshot or the copy of the node file by nobody: the log,
        // or the other one, has it all.
        is_file_gone
            && (is_index || names::parse_snapshot(&name).is_some() || name == names::NODE_COPY || self.is_newest())
    }

    /// Whether the case takes away the newest segment of a log, which has no index.
    fn is_newest(&self) -> bool {
        let Some(number) = names::parse_segment(&self.name()) else { return false };
        let dir = Path::new(&self.case.path).parent().expect("it is in a directory");
        let path = |number| dir.join(names::segment(number));
        let has = |path| self.image.sim.read_file(self.image.host, path).is_ok();
        self.case.how == Spoilt::Gone && !has(path(number + 1)) && !has(dir.join(names::index(number)))
    }

    fn name(&self) -> String {
        let name = Path::new(&self.case.path).file_name().expect("it is a file");
        name.to_str().expect("names are UTF-8").to_owned()
    }

    fn inspect<T>(&self, work: impl AsyncFnOnce(Inspector<crate::sim::SimRuntime>) -> T) -> T {
        let rt = self.sim.runtime(self.host);
        let result = self
            .sim
            .block_on(async { work(Inspector::open(rt, Path::new(DATA)).await.expect("nobody holds it")).await });
        self.sim.kill(self.host);
        result
    }

    fn verify(&self) -> Verified {
        let before = self.files();
        let verified =
            self.inspect(async |inspector| inspector.verify(&mut |_| {}).await.expect("it can be looked at"));
        assert_eq!(self.files(), before, "{}: verifying changes something", self.case);
        verified
    }

    fn files(&self) -> Vec<(String, u64)> {
        self.sim.files(self.host)
    }

    /// A node that has started before anything was repaired.
    fn check_started(&self, running: Running, verified: &Verified, summary: &mut Summary) {
        let refuses = |log: &crate::engine::inspect::LogSummary| log.at_start == AtStart::Refuses;
        for finding in &verified.findings {
            // One shard that does not open keeps no other from it.
            let of_shard =
                finding.group.is_some_and(|group| group.0 >= 16 && !matches!(finding.what, What::ShardForgotten));
            let is_fatal = finding.what.severity() == Severity::Fatal && !of_shard;
            assert!(!is_fatal, "{}: it starts in spite of {finding:?}", self.case);
        }
        let opened = &running.report.opened;
        let mut node: Vec<u64> = opened.quarantined.iter().map(|(id, _)| id.group.0).collect();
        let mut said: Vec<u64> = Vec::new();
        for log in verified.logs.iter().filter(|log| log.at_start == AtStart::Quarantined) {
            said.push(log.log.group.0);
        }
        node.sort_unstable();
        said.sort_unstable();
        assert_eq!(node, said, "{}: quarantined by the node, and as verify said", self.case);
        let failed: Vec<u64> = opened.failed.iter().map(|(id, _)| id.group.0).collect();
        let said: Vec<u64> = verified.logs.iter().filter(|log| refuses(log)).map(|log| log.log.group.0).collect();
        assert_eq!(failed, said, "{}: not opened by the node, and as verify said", self.case);
        summary.quarantined += usize::from(!node.is_empty());
        let served = self.read(&running, &failed);
        for (shard, served) in self.image.shards.iter().zip(&served) {
            let lost = self.check_lost(shard, served, verified);
            summary.lost_records += lost;
            summary.read += usize::from(lost > 0 && !node.contains(&shard.group.0));
        }
        running.stop();
        self.sim.kill(self.host);
    }

    /// Reads everything: each record is right or said to be lost. Shards that did not open give errors.
    fn read(&self, running: &Running, failed: &[u64]) -> Vec<Served> {
        let rt = self.sim.runtime(self.peer);
        self.sim.block_on(async {
            let mut connection = Connection::open(&rt, running.addr).await.expect("the node listens");
            for (key, value) in &self.image.values {
                let number = connection.send(&StoreGet { space: "app", key }, &[]).await.expect("it is connected");
                let message = connection.receive(number).await.expect("it is connected");
                let answer = message.answer::<StoreGet<'_>>().expect("well-formed").expect("it is answered");
                assert_eq!(answer.item.map(|item| item.value), Some(&value[..]), "{}: value {key}", self.case);
            }
            let mut all = Vec::new();
            for shard in &self.image.shards {
                let shards = describe(&mut connection, shard.stream).await;
                let shards = shards.unwrap_or_else(|error| panic!("{}: stream {}: {error}", self.case, shard.stream));
                assert!(shards.contains(&(shard.number, shard.group)), "{}: {shards:?}", self.case);
                let served = if failed.contains(&shard.group.0) {
                    Served {
                        lost: std::iter::once(0..shard.records.len() as u64).collect(),
                        end: shard.records.len() as u64,
                    }
                } else {
                    self.read_shard(&mut connection, shard).await
                };
                all.push(served);
            }
            all
        })
    }

    async fn read_shard(&self, connection: &mut Connection, shard: &Shard) -> Served {
        let mut served = Served::default();
        let mut at = 0;
        loop {
            let get = Get { group: shard.group, from: Offset(at), bytes_max: 1 << 20, wait_ms: 0 };
            let number = connection.send(&get, &[]).await.expect("it is connected");
            let message = connection.receive(number).await.expect("it is connected");
            match message.answer::<Get>().expect("well-formed") {
                Ok(state) => {
                    self.check_frames(shard, &message.body, at);
                    let next = state.next_offset.0;
                    if next == at {
                        served.end = at;
                        return served;
                    }
                    at = next;
                }
                Err(error) => {
                    let lost = error.known() == Some(ErrorCode::DataLost);
                    let expired = error.known() == Some(ErrorCode::BeforeHorizon);
                    assert!(
                        (lost || expired) && error.detail_a > at,
                        "{}: {}/{} at {at}: {error:?}",
                        self.case,
                        shard.stream,
                        shard.number
                    );
                    served.lost.push(at..error.detail_a);
                    at = error.detail_a;
                }
            }
        }
    }

    /// What a reader got is what was put, at its offsets.
    fn check_frames(&self, shard: &Shard, body: &[u8], from: u64) {
        let mut rest = body;
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).expect("a reader gets whole, intact frames");
            rest = after;
            for (record, offset) in Records::new(frame.body).zip(frame.header.base_offset.0..) {
                let record = record.expect("records were checked when they were put");
                let (key, data) = shard.records.get(offset as usize).unwrap_or_else(|| {
                    panic!("{}: {}/{} hands out offset {offset} (from {from})", self.case, shard.stream, shard.number)
                });
                let right = (record.key, record.data) == (&key[..], &data[..]);
                assert!(right, "{}: {}/{} hands out a wrong record at {offset}", self.case, shard.stream, shard.number);
            }
        }
    }

    /// Everything that a shard does not serve is reported by verify, with its place. Gives how many records that are.
    fn check_lost(&self, shard: &Shard, served: &Served, verified: &Verified) -> u64 {
        let all = shard.records.len() as u64;
        let mut lost = served.lost.clone();
        if served.end < all && !self.is_newest() {
            lost.push(served.end..all);
        }
        let mut count = 0;
        for offset in lost.into_iter().flatten().filter(|offset| *offset < all) {
            if shard.lost.iter().any(|known| known.contains(&offset)) {
                continue;
            }
            count += 1;
            let told = verified.findings.iter().any(|finding| {
                let place = finding
                    .shard
                    .as_ref()
                    .is_some_and(|name| name.stream == shard.stream && name.number == shard.number);
                let here = match &finding.what {
                    What::Lost { gap, .. } => {
                        gap.from_offset.0 <= offset && (offset < gap.to_offset.0 || gap.is_open_ended())
                    }
                    What::LossesDamaged(_) => true,
                    _ => false,
                };
                here && place && finding.group == Some(shard.group)
            });
            assert!(
                told,
                "{}: {}/{} offset {offset} is lost, and verify finds {:?}",
                self.case, shard.stream, shard.number, verified.findings
            );
        }
        count
    }

    /// The spoilt file is still there, under whatever name.
    fn is_kept(&self, spoilt: Option<&[u8]>, is_harmless: bool) {
        let name = self.name();
        let is_derived = names::parse_index(&name).is_some() || is_harmless;
        let Some(spoilt) = spoilt.filter(|_| !is_derived) else { return };
        let there = self.files().into_iter().any(|(path, len)| {
            len >= spoilt.len() as u64
                && self.sim.read_file(self.host, &path).is_ok_and(|bytes| bytes.starts_with(spoilt))
        });
        assert!(there, "{}: the damaged file is nowhere to be found", self.case);
    }

    fn repair(&self) {
        self.inspect(async |inspector| {
            let remedies = inspector.remedies().await.expect("it can be looked at");
            for remedy in &remedies {
                assert!(!remedy.to_string().is_empty());
                inspector.apply(remedy).await.expect("the disk works");
            }
            let left = inspector.remedies().await.expect("it can be looked at");
            assert!(left.is_empty(), "{}: left to be repaired after {remedies:?}: {left:?}", self.case);
        });
    }

    /// After a repair everything opens and takes puts, twice.
    fn check_repaired(&self) {
        let mut ends: Vec<Option<u64>> = vec![None; self.image.shards.len()];
        for round in 0..2 {
            let running = start(&self.sim, self.host);
            let running = running.unwrap_or_else(|error| panic!("{}: after the repair: {error}", self.case));
            let opened = &running.report.opened;
            assert!(
                opened.failed.is_empty() && opened.quarantined.is_empty(),
                "{}: after the repair: {opened:?}",
                self.case
            );
            let rt = self.sim.runtime(self.peer);
            self.sim.block_on(async {
                let mut connection = Connection::open(&rt, running.addr).await.expect("the node listens");
                for (shard, end) in self.image.shards.iter().zip(&mut ends) {
                    let at = self.put_and_read(&mut connection, shard.group, round).await;
                    assert!(end.is_none_or(|end| at == end), "{}: offset {at} after {end:?}", self.case);
                    *end = Some(at + 1);
                }
            });
            running.stop();
            self.sim.kill(self.host);
        }
    }

    async fn put_and_read(&self, connection: &mut Connection, group: GroupId, round: u64) -> u64 {
        let record = ("after".to_owned(), data(1_000 + round, 33));
        let at = put(connection, group, std::slice::from_ref(&record)).await;
        let at = at.unwrap_or_else(|error| panic!("{}: after the repair a put is refused: {error}", self.case));
        let get = Get { group, from: Offset(at), bytes_max: 1 << 20, wait_ms: 0 };
        let number = connection.send(&get, &[]).await.expect("it is connected");
        let message = connection.receive(number).await.expect("it is connected");
        message.answer::<Get>().expect("well-formed").expect("it was just put");
        let (frame, _) = Frame::split(&message.body).expect("a reader gets whole, intact frames");
        let read = Records::new(frame.body).next().expect("it was just put").expect("it is intact");
        assert_eq!((frame.header.base_offset, read.key, read.data), (Offset(at), &record.0[..], &record.1[..]));
        at
    }
}
