//! The settings of a stream as arguments: all of them for `create` and `update`, one by one for the commands named after
//! them.

use clap::{Args, ValueEnum};

use super::values::{get_records_wait, setting, size};
use super::{JsonArg, KeyValue, NodeArgs};
use crate::config::{Hours, RecordBytes};
use crate::limits::{SHARDS_PER_STREAM_MAX, WARM_THROUGHPUT_MIB_MAX};
use crate::types::Durability;

/// Who decides on the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModeKind {
    /// You do: split, merge, scale.
    Provisioned,
    /// The node does, by the traffic it sees.
    OnDemand,
}

/// How much goes in and out of each shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitKind {
    /// Whatever the node can do.
    None,
    /// What Kinesis allows: 1,000 records/s and 1 MiB/s in, 5 gets/s and 2 MiB/s out, 2 MiB/s per consumer.
    Aws,
    /// The numbers given beside it; what is not given keeps its value, and begins without a limit.
    Custom,
}

/// What decides on a record's shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SpreadKind {
    /// Its partition key.
    Key,
    /// The node, which spreads records evenly. On demand only.
    Auto,
}

/// What a stream can be set to; what is not given keeps its value, or starts with the node's default.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[group(id = "stream_settings", multiple = true)]
pub struct StreamSettings {
    /// How long records are kept: 24h to 8760h, or days like 7d.
    #[arg(long, value_name = "TIME", value_parser = setting::<Hours>)]
    pub retention: Option<Hours>,
    /// Largest record, key and data together: up to 10MiB.
    #[arg(long, value_name = "SIZE", value_parser = setting::<RecordBytes>)]
    pub record_max: Option<RecordBytes>,
    /// When puts are acknowledged: fsync (synced to disk) or interval (synced within 50 ms).
    #[arg(long, value_name = "LEVEL", value_parser = setting::<Durability>)]
    pub durability: Option<Durability>,
    /// Who decides on the number of shards.
    #[arg(long, value_name = "MODE")]
    pub mode: Option<ModeKind>,
    /// Between how many shards the node decides.
    #[command(flatten)]
    pub capacity: CapacityArgs,
    /// How much goes in and out of each shard.
    #[arg(long, value_name = "LIMITS")]
    pub limits: Option<LimitKind>,
    /// The limits one by one.
    #[command(flatten)]
    pub custom: LimitsArgs,
    /// What decides on a record's shard.
    #[arg(long, value_name = "BY")]
    pub distribution: Option<SpreadKind>,
    /// How long a GetRecords over HTTP that finds nothing waits for records: up to 20s; 0 for not at all, the default.
    #[arg(long, value_name = "TIME", value_parser = get_records_wait)]
    pub get_records_wait: Option<u32>,
}

/// Between how many shards the node decides.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapacityArgs {
    /// On demand: fewest shards. [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_PER_STREAM_MAX)))]
    pub min: Option<u32>,
    /// On demand: most shards. [default: 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(SHARDS_PER_STREAM_MAX)))]
    pub max: Option<u32>,
    /// On demand: MiB per second to be ready for at any time, a shard each; 0 for none.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(0..=i64::from(WARM_THROUGHPUT_MIB_MAX)))]
    pub warm: Option<u32>,
}

/// Limits per shard and second; 0 stands for no limit.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsArgs {
    /// Custom limits: records in, per second and shard; 0 for no limit, here and below.
    #[arg(long, value_name = "N")]
    pub write_records: Option<u64>,
    /// Custom limits: bytes in, keys included.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub write_bytes: Option<u64>,
    /// Custom limits: gets.
    #[arg(long, value_name = "N")]
    pub read_calls: Option<u64>,
    /// Custom limits: bytes out, without those to registered consumers.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub read_bytes: Option<u64>,
    /// Custom limits: bytes out to each registered consumer.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub fanout_bytes: Option<u64>,
}

impl LimitsArgs {
    /// Whether no number is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Arguments of `stream retention`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Records older than a shorter retention are gone at once, and do not come back\nwith a longer one.\n
Example:\n  millstream stream retention orders 7d"
)]
pub struct RetentionArgs {
    /// Name of the stream.
    pub name: String,
    /// How long records are kept: 24h to 8760h, or days like 7d.
    #[arg(value_name = "TIME", value_parser = setting::<Hours>)]
    pub retention: Hours,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

const MODE_EXAMPLES: &str = "\
Shards stay as they are; on demand the node goes on from there. What is not
given keeps its value.

Examples:
  millstream stream mode orders on-demand --min 8 --max 64
  millstream stream mode orders on-demand --warm 100
  millstream stream mode orders provisioned";

/// Arguments of `stream mode`.
#[derive(Args, Clone, Debug)]
#[command(after_help = MODE_EXAMPLES)]
pub struct ModeArgs {
    /// Name of the stream.
    pub name: String,
    /// Who decides on the number of shards.
    pub mode: ModeKind,
    /// Between how many shards the node decides.
    #[command(flatten)]
    pub capacity: CapacityArgs,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

const LIMITS_EXAMPLES: &str = "\
Examples:
  millstream stream limits orders aws
  millstream stream limits orders custom --write-records 5000 --write-bytes 4MiB
  millstream stream limits orders none";

/// Arguments of `stream limits`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LIMITS_EXAMPLES)]
pub struct LimitsCommandArgs {
    /// Name of the stream.
    pub name: String,
    /// How much goes in and out of each shard.
    pub limits: LimitKind,
    /// The limits one by one.
    #[command(flatten)]
    pub custom: LimitsArgs,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `stream distribution`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Spread by the node, records of one key are in no order.\n
Example:\n  millstream stream distribution clicks auto")]
pub struct DistributionArgs {
    /// Name of the stream.
    pub name: String,
    /// What decides on a record's shard.
    pub by: SpreadKind,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

const TAGS_EXAMPLES: &str = "\
Prints the tags as they are then.

Examples:
  millstream stream tags orders
  millstream stream tags orders --set team=billing --set env=prod --remove owner";

/// Arguments of `stream tags`.
#[derive(Args, Clone, Debug)]
#[command(after_help = TAGS_EXAMPLES)]
pub struct TagsArgs {
    /// Name of the stream.
    pub name: String,
    /// Set this tag; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<KeyValue>,
    /// Remove the tag with this key; may be given several times.
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<String>,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}
