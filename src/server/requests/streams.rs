//! Streams and their shards.

use super::{Requests, page, translate};
use crate::catalog::plan::{Plan, Step};
use crate::catalog::{self, CatalogError, ReshardOp, Tags};
use crate::limits::{PAGE_MAX, SHARD_PAGE_MAX, SHARDS_PER_STREAM_MAX};
use crate::protocol::Opcode;
use crate::protocol::messages::{
    CreateStream, CreateStreamAnswer, DeleteStream, DeleteStreamAnswer, DescribeStream, DescribeStreamAnswer,
    ListStreams, ListStreamsAnswer, MergeShards, MoveShard, MoveShardAnswer, ReshardAnswer, ScaleKind, ScaleStep,
    ScaleStream, ScaleStreamAnswer, ShardFilter, SplitShard, StreamSummary, UpdateStream, UpdateStreamAnswer,
};
use crate::runtime::Runtime;
use crate::server::admin::plan_of;
use crate::server::failure::Failure;
use crate::server::mail::{AdminDone, AdminOp};

/// As many as fit the protocol's counts.
fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl<R: Runtime> Requests<R> {
    pub(super) fn list_streams(&self, list: &ListStreams<'_>, correlation: u64) {
        let catalog = self.worker.catalog.borrow();
        let limit = page(list.limit, PAGE_MAX);
        let after = (!list.after.is_empty()).then_some(list.after);
        let mut streams: Vec<_> = catalog
            .streams_after(after)
            .take(limit + 1)
            .map(|stream| StreamSummary {
                name: &stream.name,
                status: translate::status(stream.status),
                open_shards: count(stream.open_shards().len()),
            })
            .collect();
        let more = streams.len() > limit;
        streams.truncate(limit);
        self.outbox.answer(Opcode::ListStreams, correlation, &ListStreamsAnswer { streams, more });
    }

    pub(super) fn describe_stream(&self, describe: &DescribeStream<'_>, correlation: u64) {
        let catalog = self.worker.catalog.borrow();
        let Some(stream) = catalog.stream_by_name(describe.name) else {
            drop(catalog);
            let failure = Failure::StreamUnknown(describe.name.to_owned());
            return self.fail(Opcode::DescribeStream, correlation, &failure);
        };
        let limit = page(describe.limit, SHARD_PAGE_MAX);
        let from = describe.from_shard;
        let first = stream.shards().partition_point(|shard| shard.number < from);
        let known = stream.shards()[first..].iter().filter(|shard| shard.is_readable() || shard.is_pending());
        let mut listed: Vec<_> = match describe.filter {
            ShardFilter::All => known.take(limit + 1).collect(),
            ShardFilter::Family => {
                let is_family = |shard: &&catalog::Shard| shard.number == from || shard.parents().any(|p| p == from);
                known.filter(is_family).take(limit + 1).collect()
            }
            // Closed ones are not even looked at: there may be many.
            ShardFilter::Open => {
                let open = stream.open_shards().filter(|shard| shard.number >= from);
                let mut open: Vec<_> = open.collect();
                open.sort_unstable_by_key(|shard| shard.number);
                open
            }
        };
        let more = listed.len() > limit;
        listed.truncate(limit);
        let shards = listed.into_iter().map(|shard| translate::shard(&self.worker, shard)).collect();
        let answer = DescribeStreamAnswer {
            stream: stream.id,
            name: &stream.name,
            status: translate::status(stream.status),
            created: stream.created,
            settings: translate::settings(&stream.settings),
            catalogue_version: catalog.version(),
            open_shards: count(stream.open_shards().len()),
            scaling_target: stream.scaling().unwrap_or(0),
            consumers: count(stream.consumers().len()),
            expired_before: stream.expired_before(),
            shards,
            more,
        };
        self.outbox.answer(Opcode::DescribeStream, correlation, &answer);
    }

    pub(super) fn create_stream(&self, create: &CreateStream<'_>, correlation: u64) {
        let settings = translate::change(&create.settings);
        let tags = Tags::new();
        let op = AdminOp::Create { name: create.name.to_owned(), shards: create.shards, settings, tags };
        self.admin(op, Opcode::CreateStream, correlation, move |_, outbox, done| {
            let AdminDone::Stream { stream, version: catalogue_version, .. } = done else { wrong(&done) };
            outbox.answer(Opcode::CreateStream, correlation, &CreateStreamAnswer { stream, catalogue_version });
        });
    }

    pub(super) fn update_stream(&self, update: &UpdateStream<'_>, correlation: u64) {
        let op = AdminOp::Update { name: update.name.to_owned(), change: translate::change(&update.settings) };
        self.admin(op, Opcode::UpdateStream, correlation, move |_, outbox, done| {
            let AdminDone::Stream { settings, version: catalogue_version, .. } = done else { wrong(&done) };
            let settings = translate::settings(&settings);
            outbox.answer(Opcode::UpdateStream, correlation, &UpdateStreamAnswer { settings, catalogue_version });
        });
    }

    pub(super) fn delete_stream(&self, delete: &DeleteStream<'_>, correlation: u64) {
        let op = AdminOp::Delete { name: delete.name.to_owned(), enforce: delete.enforce_consumer_deletion };
        self.admin(op, Opcode::DeleteStream, correlation, move |_, outbox, done| {
            let answer = DeleteStreamAnswer { catalogue_version: version(&done) };
            outbox.answer(Opcode::DeleteStream, correlation, &answer);
        });
    }

    pub(super) fn split_shard(&self, split: &SplitShard<'_>, correlation: u64) {
        let op = ReshardOp::Split { shard: split.shard, at: split.at };
        self.reshard(split.stream, op, Opcode::SplitShard, correlation);
    }

    pub(super) fn merge_shards(&self, merge: &MergeShards<'_>, correlation: u64) {
        let op = ReshardOp::Merge { shard: merge.shard, adjacent: merge.adjacent };
        self.reshard(merge.stream, op, Opcode::MergeShards, correlation);
    }

    fn reshard(&self, stream: &str, op: ReshardOp, opcode: Opcode, correlation: u64) {
        let op = AdminOp::Reshard { name: stream.to_owned(), op };
        self.admin(op, opcode, correlation, move |worker, outbox, done| {
            let AdminDone::Resharded { version: catalogue_version, children } = &done else { wrong(&done) };
            let children = children.iter().map(|shard| translate::shard(worker, shard)).collect();
            let answer = ReshardAnswer { catalogue_version: *catalogue_version, children };
            outbox.answer(opcode, correlation, &answer);
        });
    }

    pub(super) fn scale_stream(&self, scale: &ScaleStream<'_>, correlation: u64) {
        if scale.plan_only {
            return match self.plan(scale) {
                Ok((plan, version)) => {
                    self.outbox.answer(Opcode::ScaleStream, correlation, &scaled(&plan, version));
                }
                Err(failure) => self.fail(Opcode::ScaleStream, correlation, &failure),
            };
        }
        let op = AdminOp::Scale { name: scale.stream.to_owned(), target: scale.target };
        self.admin(op, Opcode::ScaleStream, correlation, move |_, outbox, done| {
            let AdminDone::Scaled { version, plan } = &done else { wrong(&done) };
            outbox.answer(Opcode::ScaleStream, correlation, &scaled(plan, *version));
        });
    }

    fn plan(&self, scale: &ScaleStream<'_>) -> Result<(Plan, u64), Failure> {
        let catalog = self.worker.catalog.borrow();
        let stream = catalog.stream_by_name(scale.stream);
        let stream = stream.ok_or_else(|| Failure::StreamUnknown(scale.stream.to_owned()))?;
        if !stream.status.is_serving() {
            return Err(Failure::StreamNotActive(stream.status));
        }
        if scale.target == 0 || scale.target > SHARDS_PER_STREAM_MAX {
            return Err(Failure::Catalog(CatalogError::ShardCount { count: scale.target }));
        }
        Ok((plan_of(stream, scale.target), catalog.version()))
    }

    pub(super) fn move_shard(&self, change: &MoveShard<'_>, correlation: u64) {
        let op = AdminOp::Move { name: change.stream.to_owned(), shard: change.shard, to: change.to };
        self.admin(op, Opcode::MoveShard, correlation, move |_, outbox, done| {
            let answer = MoveShardAnswer { catalogue_version: version(&done) };
            outbox.answer(Opcode::MoveShard, correlation, &answer);
        });
    }
}

fn scaled(plan: &Plan, catalogue_version: u64) -> ScaleStreamAnswer {
    let steps = plan.rounds.iter().enumerate().flat_map(|(round, steps)| {
        let round = u16::try_from(round).expect("a plan has as many rounds as a number has bits");
        steps.steps.iter().map(move |step| match *step {
            Step::Split { range, at } => {
                ScaleStep { round, kind: ScaleKind::Split, start: range.start, at, end: range.end }
            }
            Step::Merge { left, right } => {
                ScaleStep { round, kind: ScaleKind::Merge, start: left.start, at: right.start, end: right.end }
            }
        })
    });
    ScaleStreamAnswer { open_shards: plan.from, catalogue_version, steps: steps.collect() }
}

/// The catalogue's version after a change.
pub(super) fn version(done: &AdminDone) -> u64 {
    match done {
        AdminDone::Version(version) => *version,
        done => wrong(done),
    }
}

/// A change was answered as another one is.
pub(super) fn wrong(done: &AdminDone) -> ! {
    unreachable!("worker 0 answers what was asked, not with {done:?}")
}
