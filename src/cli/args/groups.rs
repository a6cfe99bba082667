//! The arguments of `millstream group`.

use clap::{Args, Subcommand};

use super::{JsonArg, NodeArgs};
use crate::cli::moment::From;

/// The `group` commands. A group is an application whose members share the shards of a stream.
#[derive(Clone, Debug, Subcommand)]
pub enum GroupCommand {
    /// List the applications that read a stream.
    List(GroupListArgs),
    /// Show the members of an application, the shards each of them reads, and how far behind it is.
    Describe(GroupArgs),
    /// Make an application go on from another place, while none of its members runs.
    Reset(GroupResetArgs),
}

/// Arguments of `group list`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  millstream group list orders")]
pub struct GroupListArgs {
    /// Name of the stream.
    pub stream: String,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `group describe`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  millstream group describe orders billing")]
pub struct GroupArgs {
    /// Name of the stream.
    pub stream: String,
    /// Name of the application.
    pub group: String,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

const RESET_EXAMPLES: &str = "\
--to takes horizon, latest, a time ago like -1h or a time like @2026-01-31T12:00:00Z.

Examples:
  millstream group reset orders billing --to horizon
  millstream group reset orders billing --to -1h";

/// Arguments of `group reset`.
#[derive(Args, Clone, Debug)]
#[command(after_help = RESET_EXAMPLES)]
pub struct GroupResetArgs {
    /// Name of the stream.
    pub stream: String,
    /// Name of the application.
    pub group: String,
    /// Where it shall go on.
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub to: From,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}
