//! Splits, merges, and numbers of shards. The real service answers as soon as they have begun; so does this one, if they take
//! their time.

use std::time::Duration;

use futures_lite::future;

use super::call::{Call, Reply, invalid, shard_number};
use super::failure::About;
use super::streams::int;
use crate::catalog::{CatalogError, ReshardOp, Stream};
use crate::kinesis::error::Error;
use crate::kinesis::input::Input;
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::mail::AdminOp;
use crate::types::{HashKey, ShardNumber};

/// How long a client waits for its shards. Mostly they are there, and clients that look at once find what they expect; long
/// before a client gives up, it is told that they will be.
const BEGUN_MS: u64 = 2_000;

impl<R: Runtime> Call<'_, R> {
    /// Begins a change of shards, and waits for it a little.
    async fn begin(&self, op: AdminOp, about: &About<'_>) -> Result<Reply, Error> {
        let done = async { Some(self.worker.admin(op).await) };
        let late = async {
            self.worker.rt.sleep(Duration::from_millis(BEGUN_MS)).await;
            None
        };
        match future::or(done, late).await {
            None | Some(Ok(_) | Err(Failure::StillUnderWay)) => Ok(Reply::Void),
            Some(Err(failure)) => Err(self.error(&failure, about)),
        }
    }

    /// The shard that a member names, if the stream has it.
    fn known_shard(&self, stream: &Stream, text: &str) -> Result<ShardNumber, Error> {
        let about = self.about(&stream.name);
        let number = shard_number(text).ok_or_else(|| about.no_shard(text))?;
        let shard = stream.shard(number).filter(|shard| shard.is_readable());
        shard.map(|shard| shard.number).ok_or_else(|| about.no_shard(number))
    }

    pub(super) async fn split_shard(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let text = input.str("ShardToSplit").unwrap_or_default();
        let key = input.str("NewStartingHashKey").unwrap_or_default();
        let at = hash_key(key).ok_or_else(|| {
            invalid(format!(
                "Invalid NewStartingHashKey. NewStartingHashKey must be in the range: [0, 2^128-1]. Specified value was {key}"
            ))
        });
        let op = self.see(name, |stream, status| {
            let (shard, at) = (self.known_shard(stream, text)?, at?);
            // AWS leaves no shard with a single key.
            if let Some(open) = stream.shard(shard).filter(|shard| shard.is_open())
                && (at.0 <= open.range.start.0.saturating_add(1) || at >= open.range.end)
            {
                let error = CatalogError::SplitKey { shard, at, range: open.range };
                return Err(self.error(&error.into(), &self.about(name)));
            }
            self.check_active(name, status)?;
            Ok(ReshardOp::Split { shard, at })
        })?;
        self.begin(AdminOp::Reshard { name: name.to_owned(), op }, &self.about(name)).await
    }

    pub(super) async fn merge_shards(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let one = input.str("ShardToMerge").unwrap_or_default();
        let other = input.str("AdjacentShardToMerge").unwrap_or_default();
        let op = self.see(name, |stream, status| {
            let (shard, adjacent) = (self.known_shard(stream, one)?, self.known_shard(stream, other)?);
            self.check_active(name, status)?;
            Ok(ReshardOp::Merge { shard, adjacent })
        })?;
        self.begin(AdminOp::Reshard { name: name.to_owned(), op }, &self.about(name)).await
    }

    pub(super) async fn update_shard_count(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let target = input.int("TargetShardCount").unwrap_or_default();
        let target = u32::try_from(target).unwrap_or(u32::MAX);
        let open = self.see_active(name, |stream| Ok(stream.open_shards().len()))?;
        self.begin(AdminOp::Scale { name: name.to_owned(), target }, &self.about(name)).await?;
        self.answer(|out| {
            out.str("StreamName", name);
            out.int("CurrentShardCount", int(open));
            out.int("TargetShardCount", target.into());
            out.display("StreamARN", self.arn(name));
        })
    }
}

/// A hash key, if it is one: the model allows any number of 39 digits.
pub(super) fn hash_key(text: &str) -> Option<HashKey> {
    text.parse().ok().map(HashKey)
}
