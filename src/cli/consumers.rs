//! `millstream consumer`: registered consumers of a stream, each with a pipe of its own in every shard.

use serde_json::{Value, json};

use crate::cli::args::{ConsumerCommand, ConsumerListArgs, ConsumerNameArgs, ConsumerRegisterArgs};
use crate::cli::exit::Failure;
use crate::cli::moment::Utc;
use crate::cli::output::{say, table};
use crate::cli::remote::{self, failure};
use crate::cli::streams::tags;
use crate::client::RegisteredConsumer;

/// Runs a `consumer` command.
pub fn run(command: &ConsumerCommand) -> Result<(), Failure> {
    match command {
        ConsumerCommand::Register(args) => register(args),
        ConsumerCommand::List(args) => list(args),
        ConsumerCommand::Describe(args) => describe(args),
        ConsumerCommand::Deregister(args) => deregister(args),
    }
}

fn as_json(consumer: &RegisteredConsumer) -> Value {
    json!({"name": consumer.name, "id": consumer.id, "created": Utc(consumer.created).to_string()})
}

fn register(args: &ConsumerRegisterArgs) -> Result<(), Failure> {
    let consumer = remote::with(&args.node, async |client| {
        let registered = client.register_consumer(&args.stream, &args.consumer, &tags(&args.tags)).await;
        registered.map_err(|error| failure(&error))
    })?;
    match args.output.json {
        true => say(&format!("{}\n", as_json(&consumer))),
        false => say(&format!("registered {} with {}\n", consumer.name, args.stream)),
    }
}

fn list(args: &ConsumerListArgs) -> Result<(), Failure> {
    let consumers = remote::with(&args.node, async |client| {
        client.list_consumers(&args.stream).await.map_err(|error| failure(&error))
    })?;
    if args.output.json {
        return say(&consumers.iter().map(|consumer| format!("{}\n", as_json(consumer))).collect::<String>());
    }
    let row = |consumer: &RegisteredConsumer| {
        [consumer.name.clone(), consumer.id.to_string(), Utc(consumer.created).to_string()]
    };
    let rows: Vec<_> = consumers.iter().map(row).collect();
    say(&table(["CONSUMER", "ID", "CREATED"], &rows))
}

fn describe(args: &ConsumerNameArgs) -> Result<(), Failure> {
    let (consumer, metadata) = remote::with(&args.node, async |client| {
        let described = async {
            let consumer = client.describe_consumer(&args.stream, &args.consumer).await?;
            Ok((consumer, client.metadata(&args.stream, Some(&args.consumer)).await?))
        };
        described.await.map_err(|error| failure(&error))
    })?;
    if args.output.json {
        let mut line = as_json(&consumer);
        line["stream"] = json!(args.stream);
        line["tags"] = json!(metadata.tags);
        return say(&format!("{line}\n"));
    }
    let mut lines = vec![
        ("consumer", consumer.name),
        ("stream", args.stream.clone()),
        ("id", consumer.id.to_string()),
        ("created", Utc(consumer.created).to_string()),
    ];
    lines.extend(metadata.tags.iter().map(|(key, value)| ("tag", format!("{key}={value}"))));
    say(&lines.iter().map(|(name, value)| format!("{name:<8}  {value}\n")).collect::<String>())
}

fn deregister(args: &ConsumerNameArgs) -> Result<(), Failure> {
    remote::with(&args.node, async |client| {
        client.deregister_consumer(&args.stream, &args.consumer).await.map_err(|error| failure(&error))
    })?;
    match args.output.json {
        true => say(&format!("{}\n", json!({"name": args.consumer, "deregistered": true}))),
        false => say(&format!("deregistered {} from {}\n", args.consumer, args.stream)),
    }
}
