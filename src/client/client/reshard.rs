//! Splitting, merging, scaling and moving of shards.

use std::time::Duration;

use futures_lite::future::or;

use super::{Client, check_name};
use crate::client::backoff::Backoff;
use crate::client::connection::result;
use crate::client::error::{Error, Result};
use crate::protocol::messages::{MergeShards, MoveShard, ReshardAnswer, ScaleStream, ScaleStreamAnswer, SplitShard};
use crate::runtime::Reactor;
use crate::types::{HashKey, ShardNumber, WorkerId};

/// The longest time that a scaling is waited for. It goes on at the node whether anybody waits or not.
const SCALING_MAX: Duration = Duration::from_secs(600);

impl<R: Reactor> Client<R> {
    /// Splits an open shard in two: the first child ends below `at`, the second begins with it. When this resolves the
    /// shard is closed and the children take records; they come with the answer, the lower range first.
    ///
    /// Not repeated when the outcome is unknown. [`Client::describe_stream`] tells: the shard is closed, or the stream is
    /// updating, or nothing happened. Asking again does no harm, as a shard is split once: it fails with `InvalidArgument`
    /// if it had happened.
    pub async fn split_shard(&self, stream: &str, shard: ShardNumber, at: HashKey) -> Result<ReshardAnswer> {
        check_name(stream)?;
        self.change(&SplitShard { stream, shard, at }, |answer| answer).await
    }

    /// Merges two open shards whose ranges touch, in whichever order. When this resolves both are closed and their child
    /// takes records; `shard` is its parent, `adjacent` its adjacent parent.
    ///
    /// Not repeated when the outcome is unknown; see [`Client::split_shard`].
    pub async fn merge_shards(&self, stream: &str, shard: ShardNumber, adjacent: ShardNumber) -> Result<ReshardAnswer> {
        check_name(stream)?;
        self.change(&MergeShards { stream, shard, adjacent }, |answer| answer).await
    }

    /// The steps that [`Client::scale_stream`] would take now. Nothing is changed.
    pub async fn plan_scaling(&self, stream: &str, target: u32) -> Result<ScaleStreamAnswer> {
        check_name(stream)?;
        self.ask(&ScaleStream { stream, target, plan_only: true }, |answer| answer).await
    }

    /// Splits and merges until the stream has `target` open shards of even ranges. Resolves when the last step is done,
    /// however long that takes, up to ten minutes; answers with the steps as they were planned. Dropping it stops nothing:
    /// the node finishes what it has begun.
    ///
    /// When the outcome is unknown (the connection was lost, the node restarted), this asks on until the stream is scaling
    /// no more, and succeeds if the shards are as wanted then. Only otherwise the error comes back; asking again is safe.
    pub async fn scale_stream(&self, stream: &str, target: u32) -> Result<ScaleStreamAnswer> {
        let plan = self.plan_scaling(stream, target).await?;
        let operation = ScaleStream { stream, target, plan_only: false };
        let asked = self.retry(false, async || {
            let connection = self.main().await?;
            let message = connection.call(&operation, SCALING_MAX).await?;
            result::<ScaleStream, _>(&message, |answer| answer)
        });
        // A node at work says nothing for long. One that does not answer a ping either is gone.
        let silent = async {
            loop {
                self.shared.rt.sleep(self.shared.options.request_timeout).await;
                self.ping().await?;
            }
        };
        match or(asked, silent).await {
            Err(error) if error.is_outcome_unknown() => self.scaled(&operation, plan, error).await,
            outcome => outcome,
        }
    }

    /// Follows a scaling whose answer was lost with `error`.
    async fn scaled(
        &self,
        operation: &ScaleStream<'_>,
        plan: ScaleStreamAnswer,
        error: Error,
    ) -> Result<ScaleStreamAnswer> {
        let rt = &self.shared.rt;
        let (since, mut backoff) = (rt.now(), Backoff::default());
        loop {
            let scaling = self.describe_stream(operation.stream).await?.scaling_target;
            if scaling != Some(operation.target) {
                break;
            }
            if rt.now().since(since) > SCALING_MAX.as_micros() as u64 {
                return Err(error);
            }
            rt.sleep(backoff.next(rt.random(), 0)).await;
        }
        let left = self.plan_scaling(operation.stream, operation.target).await?;
        match left.steps.is_empty() {
            true => Ok(ScaleStreamAnswer { catalogue_version: left.catalogue_version, ..plan }),
            false => Err(error),
        }
    }

    /// Gives a shard, open or closed, to another worker, while it is in use. Number, group, offsets and records stay the
    /// same. Gives the version of the catalogue with the shard at its new place.
    ///
    /// Repeated when the outcome is unknown: moving to where it is does nothing.
    pub async fn move_shard(&self, stream: &str, shard: ShardNumber, to: WorkerId) -> Result<u64> {
        check_name(stream)?;
        self.ask(&MoveShard { stream, shard, to }, |answer| answer.catalogue_version).await
    }
}
