//! `millstream stream describe`: a stream, its settings, its shards and where they come from.

use serde_json::{Value, json};

use super::{settings, status};
use crate::cli::args::StreamNameArgs;
use crate::cli::exit::Failure;
use crate::cli::moment::Utc;
use crate::cli::output::{say, table};
use crate::cli::ranges::{range, share};
use crate::cli::remote::{self, failure};
use crate::client::{Metadata, ShardDescription, ShardState, Start, StreamDescription};
use crate::protocol::messages::PositionAnswer;
use crate::runtime::local::join_all;
use crate::types::{ShardNumber, WallUs};

/// Shards that are asked for their bounds at the same time.
const ASKED_TOGETHER: usize = 256;

/// Runs it.
pub fn run(args: &StreamNameArgs) -> Result<(), Failure> {
    let (stream, metadata, bounds) = remote::with(&args.node, async |client| {
        let described = async {
            let stream = client.describe_stream(&args.name).await?;
            let metadata = client.metadata(&args.name, None).await?;
            Ok((stream, metadata))
        };
        let (stream, metadata) = described.await.map_err(|error| failure(&error))?;
        let mut bounds = Vec::new();
        for shards in stream.shards.all().chunks(ASKED_TOGETHER) {
            // A shard that cannot be asked (damaged, about to go) is shown all the same.
            let asked = shards.iter().map(async |shard| client.position(shard, Start::Latest).await.ok());
            bounds.extend(join_all(asked).await);
        }
        Ok((stream, metadata, bounds))
    })?;
    if args.output.json {
        say(&format!("{}\n", as_json(&stream, &metadata, &bounds)))
    } else {
        say(&as_text(&stream, &metadata, &bounds))
    }
}

fn as_json(stream: &StreamDescription, metadata: &Metadata, bounds: &[Option<PositionAnswer>]) -> Value {
    let number = |shard: Option<ShardNumber>| shard.map(|shard| shard.0);
    let shards = stream.shards.all().iter().zip(bounds).map(|(shard, bounds)| {
        json!({
            "number": shard.number.0,
            "shard_id": shard.number.to_string(),
            "state": state(shard.state),
            "worker": shard.worker.0,
            // As texts: these numbers have more digits than JSON readers keep.
            "hash_start": shard.hash_start.to_string(),
            "hash_end": shard.hash_end.to_string(),
            "horizon": bounds.map(|bounds| bounds.horizon.0),
            "next_offset": bounds.map(|bounds| bounds.end_offset.0),
            "parent": number(shard.parent),
            "adjacent_parent": number(shard.adjacent_parent),
            "children": stream.shards.children(shard.number).map(|child| child.number.0).collect::<Vec<_>>(),
            "created": Utc(shard.created).to_string(),
            "closed": shard.closed.map(|end| Utc(end.at).to_string()),
            "end_offset": shard.closed.map(|end| end.offset.0),
        })
    });
    let mut whole = settings::as_json(&stream.settings);
    let rest = json!({
        "name": stream.name,
        "status": status(stream.status),
        "created": Utc(stream.created).to_string(),
        "open_shards": stream.shards.open().len(),
        "scaling_target": stream.scaling_target,
        "consumers": stream.consumers,
        "tags": metadata.tags,
        "shards": shards.collect::<Vec<_>>(),
    });
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        whole.extend(rest);
    }
    whole
}

fn as_text(stream: &StreamDescription, metadata: &Metadata, bounds: &[Option<PositionAnswer>]) -> String {
    let status = match stream.scaling_target {
        Some(target) => format!("{}, from {} to {target} shards", status(stream.status), stream.shards.open().len()),
        None => status(stream.status).to_owned(),
    };
    let mut lines =
        vec![("stream", stream.name.clone()), ("status", status), ("created", Utc(stream.created).to_string())];
    lines.extend(settings::as_lines(&stream.settings));
    lines.push(("consumers", stream.consumers.to_string()));
    lines.extend(metadata.tags.iter().map(|(key, value)| ("tag", format!("{key}={value}"))));
    let head: String = lines.iter().map(|(name, value)| format!("{name:<12}  {value}\n")).collect();

    let is_closed = |shard: &ShardDescription| shard.closed.is_some();
    let shards = stream.shards.all().iter().zip(bounds);
    let (closed, open): (Vec<_>, Vec<_>) = shards.partition(|(shard, _)| is_closed(shard));
    let mut text = head + "\n" + &shard_table(&open);
    if !closed.is_empty() {
        text += "\nClosed, readable until their retention has passed:\n";
        text += &shard_table(&closed);
    }
    if stream.shards.all().iter().any(|shard| shard.parent.is_some() || is_closed(shard)) {
        text += "\nWhere shards come from and went:\n";
        text += &lineage(stream);
    }
    text
}

fn shard_table(shards: &[(&ShardDescription, &Option<PositionAnswer>)]) -> String {
    let offset = |bounds: &Option<PositionAnswer>, of: fn(&PositionAnswer) -> u64| {
        bounds.as_ref().map_or_else(|| "?".to_owned(), |bounds| of(bounds).to_string())
    };
    let mut by_range = shards.to_vec();
    by_range.sort_by_key(|(shard, _)| (shard.hash_start, shard.number));
    let row = |(shard, bounds): &(&ShardDescription, &Option<PositionAnswer>)| {
        [
            shard.number.to_string(),
            state(shard.state).to_owned(),
            shard.worker.to_string(),
            offset(bounds, |bounds| bounds.horizon.0),
            offset(bounds, |bounds| bounds.end_offset.0),
            share(shard.hash_start, shard.hash_end),
            range(shard.hash_start, shard.hash_end),
        ]
    };
    let rows: Vec<_> = by_range.iter().map(row).collect();
    table(["SHARD", "STATE", "WORKER", "FROM", "NEXT", "SHARE", "HASH KEYS"], &rows)
}

fn lineage(stream: &StreamDescription) -> String {
    let numbers = |shards: Vec<ShardNumber>| {
        let texts: Vec<_> = shards.iter().map(|shard| shard.0.to_string()).collect();
        if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
    };
    let row = |shard: &ShardDescription| {
        [
            shard.number.0.to_string(),
            numbers([shard.parent, shard.adjacent_parent].into_iter().flatten().collect()),
            numbers(stream.shards.children(shard.number).map(|child| child.number).collect()),
            seconds(shard.created),
            shard.closed.map_or_else(|| "-".to_owned(), |end| seconds(end.at)),
        ]
    };
    let rows: Vec<_> = stream.shards.all().iter().map(row).collect();
    table(["SHARD", "PARENTS", "CHILDREN", "CREATED", "CLOSED"], &rows)
}

/// A time to the second: tables are narrow.
fn seconds(time: WallUs) -> String {
    let text = Utc(time).to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

const fn state(state: ShardState) -> &'static str {
    match state {
        ShardState::Open => "open",
        ShardState::Closed => "closed",
        ShardState::Quarantined => "quarantined",
        ShardState::Pending => "pending",
    }
}
