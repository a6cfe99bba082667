//! The `millstream-bench` binary. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_bench::cli::main()
}
