//! `millstream stream`: create, list, describe, update, delete.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::json;

use crate::cli::args::{
    StreamCommand, StreamCreateArgs, StreamDeleteArgs, StreamListArgs, StreamNameArgs, StreamSettings, StreamUpdateArgs,
};
use crate::cli::exit::{Exit, Failure};
use crate::cli::moment::Utc;
use crate::cli::output::table;
use crate::cli::remote::{self, failure};
use crate::client::{SettingsChange, ShardDescription, Start, StreamDescription};
use crate::protocol::messages::{PositionAnswer, ShardState, StreamStatus};
use crate::runtime::local::join_all;

/// Runs a `stream` command.
pub fn run(command: &StreamCommand) -> Result<(), Failure> {
    match command {
        StreamCommand::Create(args) => create(args),
        StreamCommand::List(args) => list(args),
        StreamCommand::Describe(args) => describe(args),
        StreamCommand::Update(args) => update(args),
        StreamCommand::Delete(args) => delete(args),
    }
}

fn change(settings: &StreamSettings) -> SettingsChange {
    SettingsChange {
        retention_hours: settings.retention.map(|hours| hours.0),
        record_bytes_max: settings.record_max.map(|bytes| bytes.0),
        durability: settings.durability,
        ..SettingsChange::NONE
    }
}

fn create(args: &StreamCreateArgs) -> Result<(), Failure> {
    remote::with(&args.node, async |client| {
        let change = change(&args.settings);
        client.create_stream(&args.name, args.shards, change).await.map_err(|error| failure(&error))?;
        say(&format!("created {} with {} shards\n", args.name, args.shards))
    })
}

fn list(args: &StreamListArgs) -> Result<(), Failure> {
    let streams =
        remote::with(&args.node, async |client| client.list_streams().await.map_err(|error| failure(&error)))?;
    if args.json {
        let lines = streams.iter().map(|stream| {
            json!({"name": stream.name, "status": status(stream.status), "open_shards": stream.open_shards}).to_string()
        });
        return say(&lines.map(|line| line + "\n").collect::<String>());
    }
    let rows: Vec<_> = streams
        .iter()
        .map(|stream| [stream.name.clone(), status(stream.status).to_owned(), stream.open_shards.to_string()])
        .collect();
    say(&table(["STREAM", "STATUS", "SHARDS"], &rows))
}

fn describe(args: &StreamNameArgs) -> Result<(), Failure> {
    let (stream, bounds) = remote::with(&args.node, async |client| {
        let stream = client.describe_stream(&args.name).await.map_err(|error| failure(&error))?;
        // A shard that cannot be asked (damaged, about to go) is shown all the same.
        let asked = stream.shards.all().iter().map(async |shard| client.position(shard, Start::Latest).await.ok());
        let bounds = join_all(asked).await;
        Ok((stream, bounds))
    })?;
    if args.json { say(&(as_json(&stream, &bounds) + "\n")) } else { say(&as_text(&stream, &bounds)) }
}

fn as_json(stream: &StreamDescription, bounds: &[Option<PositionAnswer>]) -> String {
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
        })
    });
    json!({
        "name": stream.name,
        "status": status(stream.status),
        "created": Utc(stream.created).to_string(),
        "retention_hours": stream.settings.retention_hours,
        "record_bytes_max": stream.settings.record_bytes_max,
        "durability": stream.settings.durability.name(),
        "shards": shards.collect::<Vec<_>>(),
    })
    .to_string()
}

fn as_text(stream: &StreamDescription, bounds: &[Option<PositionAnswer>]) -> String {
    let settings = &stream.settings;
    let offset = |bounds: Option<&PositionAnswer>, of: fn(&PositionAnswer) -> u64| {
        bounds.map_or_else(|| "?".to_owned(), |bounds| of(bounds).to_string())
    };
    let row = |(shard, bounds): (&ShardDescription, &Option<PositionAnswer>)| {
        [
            shard.number.to_string(),
            state(shard.state).to_owned(),
            shard.worker.to_string(),
            offset(bounds.as_ref(), |bounds| bounds.horizon.0),
            offset(bounds.as_ref(), |bounds| bounds.end_offset.0),
            format!("{:032x}-{:032x}", shard.hash_start.0, shard.hash_end.0),
        ]
    };
    let rows: Vec<_> = stream.shards.all().iter().zip(bounds).map(row).collect();
    format!(
        "stream      {}\nstatus      {}\ncreated     {}\nretention   {} h\nrecord max  {} bytes\ndurability  {}\n\n{}",
        stream.name,
        status(stream.status),
        Utc(stream.created),
        settings.retention_hours,
        settings.record_bytes_max,
        settings.durability,
        table(["SHARD", "STATE", "WORKER", "HORIZON", "NEXT", "HASH KEYS"], &rows)
    )
}

fn update(args: &StreamUpdateArgs) -> Result<(), Failure> {
    let settings = remote::with(&args.node, async |client| {
        client.update_stream(&args.name, change(&args.settings)).await.map_err(|error| failure(&error))
    })?;
    say(&format!(
        "{}: retention {} h, record max {} bytes, durability {}\n",
        args.name, settings.retention_hours, settings.record_bytes_max, settings.durability
    ))
}

fn delete(args: &StreamDeleteArgs) -> Result<(), Failure> {
    if !args.yes {
        confirm(&args.name)?;
    }
    remote::with(&args.node, async |client| {
        client.delete_stream(&args.name, false).await.map_err(|error| failure(&error))
    })?;
    say(&format!("deleted {}\n", args.name))
}

fn confirm(name: &str) -> Result<(), Failure> {
    let refused = |message: &str| Err(Failure::new(Exit::Usage, message));
    if !io::stdin().is_terminal() {
        return refused("deleting a stream deletes all its records; say --yes");
    }
    eprint!("This deletes {name} and all its records. Type its name to go on: ");
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).map_err(|error| Failure::new(Exit::Failure, error))?;
    if typed.trim() == name { Ok(()) } else { refused("nothing was deleted") }
}

const fn status(status: StreamStatus) -> &'static str {
    match status {
        StreamStatus::Creating => "creating",
        StreamStatus::Active => "active",
        StreamStatus::Updating => "updating",
        StreamStatus::Deleting => "deleting",
    }
}

const fn state(state: ShardState) -> &'static str {
    match state {
        ShardState::Open => "open",
        ShardState::Closed => "closed",
        ShardState::Quarantined => "quarantined",
        ShardState::Pending => "pending",
    }
}

fn say(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(Failure::from_output)
}
