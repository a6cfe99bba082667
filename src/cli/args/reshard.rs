//! The arguments of the commands that change the shards of a stream.

use clap::Args;

use super::values::{hash_key, shard, worker};
use super::{JsonArg, NodeArgs};
use crate::limits::SHARDS_PER_STREAM_MAX;
use crate::types::{HashKey, ShardNumber, WorkerId};

const SPLIT_EXAMPLES: &str = "\
The shard is closed and stays readable until its retention has passed; two
children take its place.

Examples:
  millstream stream split orders 3
  millstream stream split orders shardId-000000000003 --at 0x38000000000000000000000000000000";

/// Arguments of `stream split`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SPLIT_EXAMPLES)]
pub struct SplitArgs {
    /// Name of the stream.
    pub name: String,
    /// The shard: its number or its id.
    #[arg(value_parser = shard)]
    pub shard: ShardNumber,
    /// First hash key of the second child, decimal or hexadecimal after 0x. [default: the middle of the shard's range]
    #[arg(long, value_name = "KEY", value_parser = hash_key)]
    pub at: Option<HashKey>,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream merge`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Both are closed and stay readable until their retention has passed; one child\ntakes their place.\n
Example:\n  millstream stream merge orders 4 5"
)]
pub struct MergeArgs {
    /// Name of the stream.
    pub name: String,
    /// The one shard: its number or its id.
    #[arg(value_parser = shard)]
    pub shard: ShardNumber,
    /// The other shard, which begins where the one ends or ends where it begins.
    #[arg(value_parser = shard)]
    pub adjacent: ShardNumber,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

const SCALE_EXAMPLES: &str = "\
The shards are made even by the fewest splits and merges. Records go in and out
meanwhile. A scaling that is interrupted, even by the end of the node, goes on
by itself.

Examples:
  millstream stream scale orders 12 --plan
  millstream stream scale orders 12";

/// Arguments of `stream scale`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SCALE_EXAMPLES)]
pub struct ScaleArgs {
    /// Name of the stream.
    pub name: String,
    /// How many open shards there shall be.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_PER_STREAM_MAX)))]
    pub target: u32,
    /// Only say what would be done, and what it costs.
    #[arg(long)]
    pub plan: bool,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream move`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Number, offsets and records stay the same; whoever uses the shard follows it.\n
Example:\n  millstream stream move orders 3 --to 1")]
pub struct MoveArgs {
    /// Name of the stream.
    pub name: String,
    /// The shard: its number or its id.
    #[arg(value_parser = shard)]
    pub shard: ShardNumber,
    /// The worker that shall have it, counted from 0.
    #[arg(long, value_name = "WORKER", value_parser = worker)]
    pub to: WorkerId,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}
