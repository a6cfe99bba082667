//! The `millstream` command. Everything it does is in the library, where it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream::cli::run(std::env::args_os())
}
