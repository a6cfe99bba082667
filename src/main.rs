//! The `millstream` command. Everything it does is in the library, where it can be tested.

use std::process::ExitCode;

// Buffers for direct I/O are aligned to pages, which the system's allocator fragments: see ARCHITECTURE.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    millstream::cli::run(std::env::args_os())
}
