//! The arguments of `millstream stream`.

use clap::{Args, Subcommand};

use super::reshard::{MergeArgs, MoveArgs, ScaleArgs, SplitArgs};
use super::settings::{DistributionArgs, LimitsCommandArgs, ModeArgs, RetentionArgs, StreamSettings, TagsArgs};
use super::{JsonArg, KeyValue, NodeArgs};
use crate::limits::SHARDS_PER_STREAM_MAX;

/// The `stream` commands.
#[derive(Clone, Debug, Subcommand)]
pub enum StreamCommand {
    /// Create a stream.
    Create(StreamCreateArgs),
    /// List the streams.
    List(StreamListArgs),
    /// Show a stream, its settings, its shards and where they come from.
    Describe(StreamNameArgs),
    /// Change several settings of a stream at once.
    Update(StreamUpdateArgs),
    /// Delete a stream and all its records.
    Delete(StreamDeleteArgs),
    /// Split a shard in two, while it is in use.
    Split(SplitArgs),
    /// Merge two shards whose hash keys are next to each other, while they are in use.
    Merge(MergeArgs),
    /// Give a stream another number of shards, while it is in use.
    Scale(ScaleArgs),
    /// Give a shard to another worker, while it is in use.
    Move(MoveArgs),
    /// Change how long records are kept.
    Retention(RetentionArgs),
    /// Change who decides on the number of shards: you or the node.
    Mode(ModeArgs),
    /// Change how much goes in and out.
    Limits(LimitsCommandArgs),
    /// Change what decides on a record's shard: its key or the node.
    Distribution(DistributionArgs),
    /// Show and change the tags of a stream.
    Tags(TagsArgs),
    /// Show the counters of a stream.
    Stats(StatsArgs),
}

const CREATE_EXAMPLES: &str = "\
Examples:
  millstream stream create orders --shards 4 --retention 7d
  millstream stream create clicks --mode on-demand --max 32
  millstream stream create test --limits aws";

/// Arguments of `stream create`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CREATE_EXAMPLES)]
pub struct StreamCreateArgs {
    /// Name of the stream: 1 to 128 of a-z, A-Z, 0-9, _, . and -.
    pub name: String,
    /// Number of shards. [default: 1; on demand what the bounds allow, 4 as a rule]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_PER_STREAM_MAX)))]
    pub shards: Option<u32>,
    /// Its settings.
    #[command(flatten)]
    pub settings: StreamSettings,
    /// A tag it carries; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tags: Vec<KeyValue>,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream list`.
#[derive(Args, Clone, Debug)]
pub struct StreamListArgs {
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream describe`.
#[derive(Args, Clone, Debug)]
pub struct StreamNameArgs {
    /// Name of the stream.
    pub name: String,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream update`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  millstream stream update orders --retention 30d --limits aws",
    group = clap::ArgGroup::new("changes").args([
        "retention", "record_max", "durability", "mode", "min", "max", "warm", "limits", "write_records", "write_bytes",
        "read_calls", "read_bytes", "fanout_bytes", "distribution", "get_records_wait",
    ]).required(true).multiple(true)
)]
pub struct StreamUpdateArgs {
    /// Name of the stream.
    pub name: String,
    /// What to change.
    #[command(flatten)]
    pub settings: StreamSettings,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream delete`.
#[derive(Args, Clone, Debug)]
pub struct StreamDeleteArgs {
    /// Name of the stream.
    pub name: String,
    /// Do not ask. Without it the name has to be typed once more, and input that is not a terminal is refused.
    #[arg(long)]
    pub yes: bool,
    /// Also if it has registered consumers, which go with it.
    #[arg(long)]
    pub with_consumers: bool,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

const STATS_EXAMPLES: &str = "\
Everything is counted from the start of the node on. Latencies are in microseconds.

Examples:
  millstream stream stats orders
  millstream stream stats orders --shards
  millstream stream stats orders --shards --json";

/// Arguments of `stream stats`.
#[derive(Args, Clone, Debug)]
#[command(after_help = STATS_EXAMPLES)]
pub struct StatsArgs {
    /// Name of the stream.
    pub name: String,
    /// One line per shard. Without it all of them together.
    #[arg(long)]
    pub shards: bool,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}
