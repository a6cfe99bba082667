//! Streams on demand: what their shards take in is looked at every few seconds, and shards are split and merged as the
//! decisions in [`catalog::autoscale`](crate::catalog::autoscale) have it. Each decision is logged with its reason.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Admin;
use crate::catalog::autoscale::{Autoscaler, Decision, Policy, ShardLoad};
use crate::catalog::{Limits, ReshardOp, Settings, Stream};
use crate::runtime::Runtime;
use crate::runtime::local::join_all;
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op};
use crate::server::worker::Worker;
use crate::types::{ShardNumber, StreamId, Traffic};

/// What has been seen of each stream on demand.
#[derive(Default)]
pub(super) struct Autoscalers {
    by_stream: BTreeMap<StreamId, Autoscaler>,
}

/// What a stream is scaled by; `None` if it is not on demand. Shards with a limit of their own are meant to take that much.
fn policy(settings: &Settings) -> Option<Policy> {
    let bounds = settings.bounds()?;
    let mut policy = Policy::new(bounds.shards_min, bounds.shards_max);
    if let Limits::Custom(limits) = settings.limits {
        if limits.write_bytes_s > 0 {
            policy.shard_bytes_s = limits.write_bytes_s;
        }
        if limits.write_records_s > 0 {
            policy.shard_records_s = limits.write_records_s.into();
        }
    }
    Some(policy)
}

impl<R: Runtime> Admin<R> {
    /// Looks at all streams on demand once.
    pub(super) async fn autoscale(self: &Rc<Self>, worker: &Rc<Worker<R>>, scalers: &mut Autoscalers) {
        let on_demand: BTreeMap<StreamId, (String, Policy)> = self.log.with(|catalog| {
            let serving = catalog.streams().filter(|stream| stream.status.is_serving());
            serving.filter_map(|s| policy(&s.settings).map(|policy| (s.id, (s.name.clone(), policy)))).collect()
        });
        scalers.by_stream.retain(|stream, _| on_demand.contains_key(stream));
        for (stream, (name, policy)) in on_demand {
            let scaler = scalers.by_stream.entry(stream).or_insert_with(|| Autoscaler::new(policy));
            scaler.set(policy);
            if let Err(error) = self.autoscale_one(worker, stream, &name, scaler).await {
                tracing::warn!(stream = name, %error, "a stream on demand is not scaled");
            }
        }
    }

    async fn autoscale_one(
        self: &Rc<Self>,
        worker: &Rc<Worker<R>>,
        stream: StreamId,
        name: &str,
        scaler: &mut Autoscaler,
    ) -> Result<(), Failure> {
        let traffic = self.traffic(worker, stream).await?;
        let wall = worker.rt.wall();
        let loads: Option<Vec<ShardLoad>> = self.log.with(|catalog| {
            let is_changing = |s: &Stream| s.reshard_in_progress().is_some() || s.scaling().is_some();
            let stream = catalog.stream(stream).filter(|stream| !is_changing(stream))?;
            let load = |shard: &crate::catalog::Shard| ShardLoad {
                shard: shard.number,
                range: shard.range,
                traffic: traffic.get(&shard.number).copied().unwrap_or(Traffic::NONE),
                age_us: wall.0.saturating_sub(shard.created.0),
            };
            Some(stream.open_shards().map(load).collect())
        });
        // A reshard is under way: its shards are looked at when it is done.
        let Some(loads) = loads else { return Ok(()) };
        let mut ops = Vec::new();
        for decision in scaler.observe(worker.rt.now(), &loads) {
            tracing::info!(stream = name, "on demand: {decision}");
            match decision {
                Decision::Split { shard, at, .. } => ops.push(ReshardOp::Split { shard, at }),
                Decision::Merge { left, right, .. } => ops.push(ReshardOp::Merge { shard: left, adjacent: right }),
                Decision::Keep { .. } => {}
            }
        }
        if ops.is_empty() {
            return Ok(());
        }
        self.begin(worker, name, ops, true).await?;
        self.settle(worker, stream).await
    }

    /// What the open shards of a stream take in, wherever they are.
    async fn traffic(
        &self,
        worker: &Rc<Worker<R>>,
        stream: StreamId,
    ) -> Result<BTreeMap<ShardNumber, Traffic>, Failure> {
        let mut all: BTreeMap<_, _> = worker.traffic(stream).into_iter().collect();
        let elsewhere = worker.links.iter().flatten().map(async |link| match link.call(Op::Traffic(stream)).await? {
            Answer::Traffic(traffic) => Ok::<_, Failure>(traffic),
            _ => unreachable!("traffic is answered as traffic"),
        });
        for traffic in join_all(elsewhere).await {
            all.extend(traffic?);
        }
        Ok(all)
    }
}
