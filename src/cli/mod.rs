//! The `millstream` command: arguments, input, output, exit codes. What a command does lies elsewhere; here it is asked
//! for, shown, and turned into an exit code.
//!
//! A command joins [`Command`] when the procedure behind it is bound. Its arguments ([`args`]) are tested before that.

pub mod args;
pub mod exit;
pub mod input;
pub mod moment;
pub mod node;
pub mod output;
pub mod put;
pub mod read;
pub mod remote;
pub mod serve;
pub mod streams;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use args::CompletionsArgs;
use exit::{Exit, Failure};

use crate::client::Mode;

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
    /// Create, list, describe, update and delete streams.
    #[command(subcommand)]
    Stream(args::StreamCommand),
    /// Put records from a file or standard input.
    Put(args::PutArgs),
    /// Read records by asking for them.
    Get(args::ReadArgs),
    /// Follow a stream: records are pushed as they are committed.
    Tail(args::ReadArgs),
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
        Command::Get(args) => read::run(&args, Mode::Get),
        Command::Tail(args) => read::run(&args, Mode::Push),
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
