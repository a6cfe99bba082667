//! The arguments of every command, as types.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::Shell;

mod consumers;
mod groups;
mod reshard;
mod settings;
mod streams;
mod values;

pub use consumers::{ConsumerCommand, ConsumerListArgs, ConsumerNameArgs, ConsumerRegisterArgs};
pub use groups::{GroupArgs, GroupCommand, GroupListArgs, GroupResetArgs};
pub use reshard::{MergeArgs, MoveArgs, ScaleArgs, SplitArgs};
pub use settings::{
    CapacityArgs, DistributionArgs, LimitKind, LimitsArgs, LimitsCommandArgs, ModeArgs, ModeKind, RetentionArgs,
    SpreadKind, StreamSettings, TagsArgs,
};
pub use streams::{
    StatsArgs, StreamCommand, StreamCreateArgs, StreamDeleteArgs, StreamListArgs, StreamNameArgs, StreamUpdateArgs,
};
pub use values::KeyValue;

use super::moment::{From, duration};
use crate::limits::FRAME_RECORDS_MAX;
use crate::types::ShardNumber;
use values::shard;

/// The native port that a node has unless told otherwise.
pub const PORT_DEFAULT: u16 = 4566;

/// A node's address as given: a host name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddr {
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for NodeAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is not an address; write it like 127.0.0.1:4566, node.example:4566 or [::1]:4566".to_owned();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
                match after.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if after.is_empty() => (host, None),
                    None => return Err(wrong()),
                }
            }
            // More than one colon: an IPv6 address without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT_DEFAULT), |port| port.parse().map_err(|_| wrong()))?;
        if host.is_empty() || port == 0 || host.chars().any(char::is_whitespace) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How to reach the node; part of every command that talks to one.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// Address of the node.
    #[arg(long, value_name = "ADDRESS", env = "MILLSTREAM_NODE", default_value = "127.0.0.1:4566")]
    pub node: NodeAddr,
    /// File with the token that the node wants to see.
    #[arg(long, value_name = "FILE", env = "MILLSTREAM_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// How long to go on trying when the node does not answer, is restarting or refuses for now.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub retry_for: Duration,
}

/// Whether output is for people or for programs; part of every command whose outcome has a table.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct JsonArg {
    /// Print JSON, one object per line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  millstream completions bash > /etc/bash_completion.d/millstream")]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

const PUT_EXAMPLES: &str = "\
Examples:
  tail -f access.log | millstream put logs --key web1
  millstream put orders orders.jsonl --key-field customer.id
  millstream get orders --json | millstream put copy --json-records";

/// Arguments of `put`.
#[derive(Args, Clone, Debug)]
#[command(after_help = PUT_EXAMPLES)]
pub struct PutArgs {
    /// Name of the stream.
    pub stream: String,
    /// File with the records; `-` is standard input.
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// How the input is made of records.
    #[command(flatten)]
    pub input: InputArgs,
    /// Put to this shard, whatever the keys say: its number or its id.
    #[arg(long, value_name = "SHARD", value_parser = shard)]
    pub shard: Option<ShardNumber>,
    /// Most records that are sent to a shard together.
    #[arg(long, value_name = "RECORDS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=i64::from(FRAME_RECORDS_MAX)))]
    pub batch: u32,
    /// Print nothing but errors: no progress, no summary.
    #[arg(long, short)]
    pub quiet: bool,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// How input is cut into records and where their keys come from.
#[derive(Args, Clone, Debug, Default)]
pub struct InputArgs {
    /// Partition key of all records. Without it and --key-field each record's number is its key, which spreads
    /// them over all shards.
    #[arg(long, conflicts_with_all = ["key_field", "json_records"])]
    pub key: Option<String>,
    /// Records are JSON objects, and this field is the partition key; `a.b` is field b of the object in field a.
    #[arg(long, value_name = "FIELD", conflicts_with = "json_records")]
    pub key_field: Option<String>,
    /// Records end with a NUL byte instead of a newline.
    #[arg(long, short = '0', conflicts_with = "json_records")]
    pub null: bool,
    /// Each line is {"key": "...", "data": "..."}, or "base64" instead of "data": what `get --json` prints.
    #[arg(long)]
    pub json_records: bool,
}

const READ_EXAMPLES: &str = "\
--from takes:
  latest     after the newest record (and waits for new ones)
  horizon    the oldest record that is kept
  -10m       records of the last ten minutes; ms, s, m, h, d
  @TIME      records from a time on: @2026-01-31T12:00:00Z or seconds since 1970
  NUMBER     the record with this offset in its shard, or with this Kinesis sequence number (56 digits)

Shards that are split or merged are followed: parents before children, so that
each key's records come in order.

Examples:
  millstream get orders --from -10m
  millstream get orders --shard 2 --from 1000 --limit 10 --json
  millstream tail orders
  millstream tail orders --consumer dashboard
  millstream tail orders --group billing --from horizon";

/// Arguments of `get`, and what `tail` has in common with it. `get` asks for records and begins at the horizon; `tail` is
/// pushed records and begins at the latest.
#[derive(Args, Clone, Debug)]
#[command(after_help = READ_EXAMPLES)]
pub struct ReadArgs {
    /// Name of the stream.
    pub stream: String,
    /// Where to begin. [default: horizon for get, latest for tail]
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub from: Option<From>,
    /// Read this shard only: its number or its id. A closed shard is read to its end, and its children are named.
    #[arg(long, value_name = "SHARD", value_parser = shard)]
    pub shard: Option<ShardNumber>,
    /// Wait for new records at the end, until interrupted. Without it reading stops where the shards ended at the start.
    #[arg(long, short)]
    pub follow: bool,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// How records are printed.
    #[command(flatten)]
    pub format: FormatArgs,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

impl ReadArgs {
    /// Whether to wait for new records: when asked to, and from `latest`, where there is nothing else to read.
    #[must_use]
    pub fn follows(&self, default_from: From) -> bool {
        self.follow || self.from.unwrap_or(default_from) == From::Latest
    }
}

/// Arguments of `tail`.
#[derive(Args, Clone, Debug)]
#[command(after_help = READ_EXAMPLES)]
pub struct TailArgs {
    /// What it has in common with `get`.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Read through the pipe of this registered consumer: see `millstream consumer register`.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Read as a member of this application: the processes with the same name share the shards, and go on where the
    /// application was. --from says where an application begins that is new.
    #[arg(long, value_name = "APPLICATION", conflicts_with_all = ["shard", "follow"])]
    pub group: Option<String>,
}

/// How records are printed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct FormatArgs {
    /// One JSON object per record; data that is not UTF-8 appears as "base64".
    #[arg(long, conflicts_with_all = ["raw", "null"])]
    pub json: bool,
    /// The data alone, as it is, each record followed by a newline.
    #[arg(long)]
    pub raw: bool,
    /// With --raw: each record followed by a NUL byte instead.
    #[arg(long, short = '0', requires = "raw")]
    pub null: bool,
}

/// The `log` commands. They work on files, while no node runs.
#[derive(Clone, Debug, Subcommand)]
pub enum LogCommand {
    /// Print the frames of a log.
    Dump(LogDumpArgs),
    /// Check every frame of a log; the exit code tells whether it is intact.
    Verify(LogDirArgs),
    /// Write the index files of a log anew.
    RebuildIndex(LogDirArgs),
    /// Accept the losses of quarantined shards, so that they take puts again; make a node start again whose node file or catalogue
    /// is damaged. Nothing is deleted: what cannot be used any more is set aside.
    Repair(LogRepairArgs),
}

/// Arguments of `log verify` and `log rebuild-index`.
#[derive(Args, Clone, Debug)]
pub struct LogDirArgs {
    /// Directory of one shard's log, or a node's data directory for all of them.
    pub dir: PathBuf,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `log dump`.
#[derive(Args, Clone, Debug)]
pub struct LogDumpArgs {
    /// Directory of one shard's log, or a node's data directory for all of them.
    pub dir: PathBuf,
    /// Print the records of each frame too.
    #[arg(long)]
    pub records: bool,
    /// Begin at the frame that holds this offset.
    #[arg(long, value_name = "OFFSET")]
    pub from: Option<u64>,
    /// Stop after this many frames.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Print pads too.
    #[arg(long)]
    pub pads: bool,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `log repair`.
#[derive(Args, Clone, Debug)]
pub struct LogRepairArgs {
    /// Directory of one shard's log, or a node's data directory for all of them.
    pub dir: PathBuf,
    /// Do it. Without it the command only says what would be lost.
    #[arg(long)]
    pub yes: bool,
}

#[cfg(test)]
mod tests;
