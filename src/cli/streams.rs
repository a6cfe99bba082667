//! `millstream stream`: what it takes to look after streams. Here they are created, listed and deleted; their settings,
//! shards and counters have modules of their own.

mod describe;
mod reshard;
mod settings;
mod stats;

use std::io::{self, BufRead, IsTerminal};

use serde_json::json;

use crate::cli::args::{KeyValue, StreamCommand, StreamCreateArgs, StreamDeleteArgs, StreamListArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{say, table};
use crate::cli::remote::{self, failure};
use crate::client::{CapacityMode, MetadataChange, StreamStatus, Tag};

/// Runs a `stream` command.
pub fn run(command: &StreamCommand) -> Result<(), Failure> {
    match command {
        StreamCommand::Create(args) => create(args),
        StreamCommand::List(args) => list(args),
        StreamCommand::Describe(args) => describe::run(args),
        StreamCommand::Update(args) => settings::update(args),
        StreamCommand::Delete(args) => delete(args),
        StreamCommand::Split(args) => reshard::split(args),
        StreamCommand::Merge(args) => reshard::merge(args),
        StreamCommand::Scale(args) => reshard::scale(args),
        StreamCommand::Move(args) => reshard::migrate(args),
        StreamCommand::Retention(args) => settings::retention(args),
        StreamCommand::Mode(args) => settings::capacity(args),
        StreamCommand::Limits(args) => settings::throughput(args),
        StreamCommand::Distribution(args) => settings::distribution(args),
        StreamCommand::Tags(args) => settings::tags(args),
        StreamCommand::Stats(args) => stats::run(args),
    }
}

/// Tags as the client takes them.
#[must_use]
pub fn tags(given: &[KeyValue]) -> Vec<Tag<'_>> {
    given.iter().map(|tag| Tag { key: &tag.key, value: &tag.value }).collect()
}

fn create(args: &StreamCreateArgs) -> Result<(), Failure> {
    let change = settings::change(&args.settings, None)?;
    let shards = match (args.shards, change.mode) {
        (Some(shards), _) => shards,
        // As many as its bounds say.
        (None, Some(CapacityMode::OnDemand { .. })) => 0,
        (None, _) => 1,
    };
    remote::with(&args.node, async |client| {
        let created = async {
            client.create_stream(&args.name, shards, change).await?;
            if !args.tags.is_empty() {
                let change = MetadataChange::Tags { set: tags(&args.tags), remove: Vec::new() };
                client.set_metadata(&args.name, None, change).await?;
            }
            match shards {
                0 => Ok(client.describe_stream(&args.name).await?.shards.open().len()),
                shards => Ok(shards as usize),
            }
        };
        let shards = created.await.map_err(|error| failure(&error))?;
        say(&format!("created {} with {}\n", args.name, reshard::count(shards, "shard")))
    })
}

fn list(args: &StreamListArgs) -> Result<(), Failure> {
    let streams =
        remote::with(&args.node, async |client| client.list_streams().await.map_err(|error| failure(&error)))?;
    if args.output.json {
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

fn delete(args: &StreamDeleteArgs) -> Result<(), Failure> {
    if !args.yes {
        confirm(&args.name)?;
    }
    remote::with(&args.node, async |client| {
        client.delete_stream(&args.name, args.with_consumers).await.map_err(|error| failure(&error))
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
