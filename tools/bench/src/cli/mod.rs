//! The commands.

mod null;
mod run;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workload::presets::{PRESETS, preset};
use crate::{compare, disk, net, report};

/// Exit codes, the same for every command.
pub mod exit {
    /// Everything held.
    pub const GOOD: u8 = 0;
    /// It could not be done.
    pub const ERROR: u8 = 1;
    /// Wrong arguments.
    pub const USAGE: u8 = 2;
    /// Records were lost, doubled, out of order or damaged.
    pub const FAILED: u8 = 3;
    /// The figures must not be used: the generator fell behind.
    pub const INVALID: u8 = 4;
    /// An objective was missed.
    pub const MISSED: u8 = 5;
}

const EXIT_CODES: &str = "\
Exit codes:
  0  everything held
  1  it could not be done
  2  wrong arguments
  3  FAILED: records were lost, doubled, out of order or damaged
  4  INVALID: the generator fell behind its own schedule
  5  an objective was missed";

#[derive(Debug, Parser)]
#[command(name = "millstream-bench", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Drive a node and measure.
    Run(Box<run::RunArgs>),
    /// Serve the native protocol and do nothing: what a run costs by itself.
    Null(null::NullArgs),
    /// Show two runs, or two sets of runs, side by side, and whether a difference is more than noise.
    Compare(compare::Args),
    /// Write the HTML report of results that were measured before.
    Report(report::Args),
    /// Measure what the disk can do with the pattern of the log.
    Disk(disk::DiskArgs),
    /// Measure what the network can do without a node.
    Net(net::NetArgs),
    /// List the presets, or print one.
    Presets {
        /// Print this one as TOML.
        name: Option<String>,
    },
}

/// Runs the command of this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::main(*args),
        Command::Null(args) => null::main(&args),
        Command::Compare(args) => compare::main(&args),
        Command::Report(args) => report::main(&args),
        Command::Disk(args) => disk::main(&args),
        Command::Net(args) => net::main(&args),
        Command::Presets { name } => presets(name.as_deref()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("millstream-bench: {error:#}");
        ExitCode::from(exit::ERROR)
    })
}

fn presets(name: Option<&str>) -> Result<ExitCode> {
    match name {
        Some(name) => {
            preset(name)?;
            let text = PRESETS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text);
            print!("{text}");
        }
        None => {
            for (name, _) in PRESETS {
                println!("{name:14} {}", preset(name)?.description);
            }
        }
    }
    Ok(ExitCode::from(exit::GOOD))
}
