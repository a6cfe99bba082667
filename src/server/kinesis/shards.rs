//! ListShards, and how a shard is described.

use super::call::{Call, Reply, invalid, shard_number};
use super::streams::{count, is_created_at};
use crate::catalog::{HashRange, Shard, ShardState, Status, Stream};
use crate::kinesis::error::Error;
use crate::kinesis::input::Input;
use crate::kinesis::output::Fields;
use crate::kinesis::token::{Filter, Page};
use crate::runtime::Runtime;
use crate::shard::sequence::SequenceNumber;
use crate::types::{ShardNumber, StreamId, WallUs};

/// Shards on one page, whatever was asked for.
const LIST_SHARDS_MAX: usize = 1_000;

/// Describes a shard.
pub(super) fn write_shard(out: &mut Fields<'_>, shard: &Shard) {
    out.display("ShardId", shard.number);
    if let Some(parent) = shard.parent {
        out.display("ParentShardId", parent);
    }
    if let Some(parent) = shard.adjacent_parent {
        out.display("AdjacentParentShardId", parent);
    }
    write_range(out, shard.range);
    out.structure("SequenceNumberRange", |out| {
        out.display("StartingSequenceNumber", SequenceNumber::start(shard.created, shard.number));
        if let ShardState::Closed { at, .. } = shard.state {
            out.display("EndingSequenceNumber", SequenceNumber::end(shard.created, shard.number, at));
        }
    });
}

fn write_range(out: &mut Fields<'_>, range: HashRange) {
    out.structure("HashKeyRange", |out| {
        out.display("StartingHashKey", range.start);
        out.display("EndingHashKey", range.end);
    });
}

/// What a request asks for, or its token.
struct Wanted {
    after: Option<ShardNumber>,
    filter: Option<Filter>,
}

impl<R: Runtime> Call<'_, R> {
    pub(super) fn list_shards(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let limit = input.int("MaxResults").map_or(LIST_SHARDS_MAX, count).min(LIST_SHARDS_MAX);
        let Some(token) = input.str("NextToken") else {
            let name = match (input.str("StreamName"), input.str("StreamARN")) {
                (None, None) => return Err(invalid("Either NextToken or StreamName should be provided.")),
                (name, arn) => self.name_of(name, arn)?,
            };
            let after = match input.str("ExclusiveStartShardId") {
                None => None,
                Some(text) => Some(shard_number(text).ok_or_else(|| self.about(name).no_shard(text))?),
            };
            let wanted = Wanted { after, filter: filter(input)? };
            return self.see(name, |stream, status| {
                if let Some(ms) = input.time_ms("StreamCreationTimestamp")
                    && !is_created_at(stream.created, ms)
                {
                    return Err(self.about(name).no_stream());
                }
                self.write_page(stream, status, &wanted, limit)
            });
        };
        for other in ["StreamName", "StreamARN", "ExclusiveStartShardId", "StreamCreationTimestamp"] {
            if input.has(other) {
                return Err(invalid(format!("NextToken and {other} cannot be provided together.")));
            }
        }
        match self.front.sealer.open_page(token, self.now())? {
            Page::Shards { stream, after, filter } => {
                let name = self.name_by_id(stream)?;
                self.allow(&name)?;
                let wanted = Wanted { after: Some(after), filter };
                self.see(&name, |stream, status| self.write_page(stream, status, &wanted, limit))
            }
            _ => Err(invalid("Invalid NextToken.")),
        }
    }

    /// The name of a stream that a token names by its number.
    pub(super) fn name_by_id(&self, id: StreamId) -> Result<String, Error> {
        let catalog = self.worker.catalog.borrow();
        let stream = catalog.stream(id).filter(|stream| stream.status != Status::Deleting);
        stream.map(|stream| stream.name.clone()).ok_or_else(|| self.about(&format!("{id}")).no_stream())
    }

    fn write_page(&self, stream: &Stream, status: Status, wanted: &Wanted, limit: usize) -> Result<Reply, Error> {
        if !status.is_serving() {
            return Err(self.about(&stream.name).not_active(status));
        }
        let now = self.now();
        let from = wanted.after.map_or(ShardNumber(0), |after| ShardNumber(after.0.saturating_add(1)));
        let is_wanted = is_wanted(stream, wanted.filter, now);
        let listed = stream.readable_shards().filter(|shard| shard.number >= from && is_wanted(shard));
        let mut shards: Vec<_> = listed.take(limit + 1).collect();
        let more = shards.len() > limit;
        shards.truncate(limit);
        self.answer(|out| {
            out.structures("Shards", &shards, |out, shard| write_shard(out, shard));
            if let Some(last) = shards.last().filter(|_| more) {
                let page = Page::Shards { stream: stream.id, after: last.number, filter: wanted.filter };
                out.str("NextToken", &self.front.sealer.page(&page, now));
            }
        })
    }
}

/// The filter in a request.
fn filter(input: &Input<'_>) -> Result<Option<Filter>, Error> {
    let Some(filter) = input.structure("ShardFilter") else { return Ok(None) };
    let kind = filter.str("Type").unwrap_or_default();
    let shard = || match filter.str("ShardId") {
        Some(text) => shard_number(text).ok_or_else(|| invalid(format!("Invalid ShardId {text} in ShardFilter."))),
        None => Err(invalid(format!("ShardId must be specified for ShardFilter of type {kind}."))),
    };
    let moment = || match filter.time_ms("Timestamp") {
        Some(ms) => Ok(u64::try_from(ms).unwrap_or(0)),
        None => Err(invalid(format!("Timestamp must be specified for ShardFilter of type {kind}."))),
    };
    Ok(Some(match kind {
        "AFTER_SHARD_ID" => Filter::AfterShardId(shard()?),
        "AT_TRIM_HORIZON" => Filter::AtTrimHorizon,
        "FROM_TRIM_HORIZON" => Filter::FromTrimHorizon,
        "AT_LATEST" => Filter::AtLatest,
        "AT_TIMESTAMP" => Filter::AtTimestamp(moment()?),
        _ => Filter::FromTimestamp(moment()?),
    }))
}

/// When a shard began to take puts: a child as its parents ended, although it is created in the second after. A moment without
/// open shards would look like a stream without any.
fn opened(stream: &Stream, shard: &Shard) -> WallUs {
    let closed = |number| match stream.shard(number)?.state {
        ShardState::Closed { at, .. } => Some(at),
        _ => None,
    };
    shard.parents().filter_map(closed).max().map_or(shard.created, |closed| closed.min(shard.created))
}

fn is_wanted(stream: &Stream, filter: Option<Filter>, now: WallUs) -> impl Fn(&Shard) -> bool {
    // Nothing is older than the trim horizon, nor is the stream younger than itself.
    let horizon = WallUs(now.0.saturating_sub(stream.settings.retention_us()));
    let horizon = horizon.max(stream.expired_before()).max(stream.created);
    let moment = move |ms: u64| WallUs(ms.saturating_mul(1_000).saturating_add(999)).max(horizon);
    let is_open_at = move |shard: &Shard, at: WallUs| {
        let is_open = match shard.state {
            ShardState::Open => true,
            ShardState::Closed { at: closed, .. } => closed > at,
            ShardState::Pending | ShardState::Expired => false,
        };
        is_open && opened(stream, shard) <= at
    };
    let is_open_from = |shard: &Shard, at: WallUs| match shard.state {
        ShardState::Open => true,
        ShardState::Closed { at: closed, .. } => closed >= at,
        ShardState::Pending | ShardState::Expired => false,
    };
    move |shard| match filter {
        None => true,
        Some(Filter::AfterShardId(after)) => shard.number > after,
        Some(Filter::AtTrimHorizon) => is_open_at(shard, horizon),
        Some(Filter::FromTrimHorizon) => is_open_from(shard, horizon),
        Some(Filter::AtLatest) => shard.is_open(),
        Some(Filter::AtTimestamp(ms)) => is_open_at(shard, moment(ms).min(now)),
        Some(Filter::FromTimestamp(ms)) => is_open_from(shard, moment(ms)),
    }
}
