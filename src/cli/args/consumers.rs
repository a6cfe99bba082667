//! The arguments of `millstream consumer`.

use clap::{Args, Subcommand};

use super::{JsonArg, KeyValue, NodeArgs};

/// The `consumer` commands.
#[derive(Clone, Debug, Subcommand)]
pub enum ConsumerCommand {
    /// Register a consumer: it gets a pipe of its own in each shard, whatever others read.
    Register(ConsumerRegisterArgs),
    /// List the consumers of a stream.
    List(ConsumerListArgs),
    /// Show a consumer.
    Describe(ConsumerNameArgs),
    /// Remove a consumer and end what it reads.
    Deregister(ConsumerNameArgs),
}

/// Arguments of `consumer register`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  millstream consumer register orders dashboard")]
pub struct ConsumerRegisterArgs {
    /// Name of the stream.
    pub stream: String,
    /// Name of the consumer.
    pub consumer: String,
    /// A tag it carries; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    pub tags: Vec<KeyValue>,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `consumer list`.
#[derive(Args, Clone, Debug)]
pub struct ConsumerListArgs {
    /// Name of the stream.
    pub stream: String,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Arguments of `consumer describe` and `consumer deregister`.
#[derive(Args, Clone, Debug)]
pub struct ConsumerNameArgs {
    /// Name of the stream.
    pub stream: String,
    /// Name of the consumer.
    pub consumer: String,
    /// For people or for programs.
    #[command(flatten)]
    pub output: JsonArg,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
}
