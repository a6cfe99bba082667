//! The `millstream` command: arguments, input, output, exit codes. What a command does lies elsewhere; here it is asked
//! for, shown, and turned into an exit code.
//!
//! Each command's arguments are types in [`args`]; its work is in a module of its own.

pub mod access_keys;
pub mod args;
pub mod consumers;
pub mod exit;
pub mod groups;
pub mod input;
pub mod kinesis;
pub mod logs;
pub mod moment;
pub mod node;
pub mod output;
pub mod put;
pub mod ranges;
pub mod read;
pub mod remote;
pub mod serve;
pub mod streams;
pub mod tls;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use args::CompletionsArgs;
use exit::{Exit, Failure};

/// A streaming storage node for bare-metal Linux with the data model of Amazon Kinesis Data Streams.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, arg_required_else_help = true, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node.
    Serve(serve::ServeArgs),
    /// Create, describe, change and delete streams; split, merge and scale their shards.
    #[command(subcommand)]
    Stream(args::StreamCommand),
    /// Give consumers pipes of their own.
    #[command(subcommand)]
    Consumer(args::ConsumerCommand),
    /// Look after applications whose members share the shards of a stream.
    #[command(subcommand)]
    Group(args::GroupCommand),
    /// Put records from a file or standard input.
    Put(args::PutArgs),
    /// Read records by asking for them.
    Get(args::ReadArgs),
    /// Follow a stream: records are pushed as they are committed.
    Tail(args::TailArgs),
    /// Look at the files of a stopped node, check and mend them.
    #[command(subcommand)]
    Log(args::LogCommand),
    /// Say how clients come to trust the node's certificate.
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// Runs the command line `args`, the program's name first, and says how it went.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no errors. If the terminal is gone, nobody reads either.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match dispatch(cli.command) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => failure.report(&mut io::stderr()).into(),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => node::serve(&args),
        Command::Stream(command) => streams::run(&command),
        Command::Put(args) => put::run(&args),
        Command::Consumer(command) => consumers::run(&command),
        Command::Group(command) => groups::run(&command),
        Command::Get(args) => read::get(&args),
        Command::Tail(args) => read::tail(&args),
        Command::Log(command) => logs::run(&command),
        Command::Tls(command) => tls::run(&command),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "millstream", &mut script);
            io::stdout().write_all(&script).map_err(Failure::from_output)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the parser is consistent: no flag twice, no impossible combination (clap asserts this on use).
    #[test]
    fn parser_is_consistent() {
        Cli::command().debug_assert();
    }
}
