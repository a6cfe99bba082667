//! `null`: the null server as a process.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use millstream::runtime::tokio::block_on;

use crate::null::{self, Options, Tamper};
use crate::units::Size;

/// Arguments of `null`.
#[derive(Args, Debug)]
pub(super) struct NullArgs {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4567")]
    listen: SocketAddr,
    /// Keep the newest records of each shard in memory, so that there is something to read.
    #[arg(long, value_name = "SIZE", default_value = "0")]
    keep: Size,
    /// Damage records on purpose, to see that a run notices: lose:N, duplicate:N, reorder:N or corrupt:N, every Nth record.
    #[arg(long, value_name = "KIND:N", requires = "keep")]
    tamper: Option<Tamper>,
}

pub(super) fn main(args: &NullArgs) -> Result<ExitCode> {
    let listener = TcpListener::bind(args.listen).with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("null server on {}", listener.local_addr()?);
    let options = Options { keep_bytes: args.keep.0 as usize, tamper: args.tamper.unwrap_or_default(), stall: None };
    block_on(async |_| null::serve(listener, options).await)??;
    Ok(ExitCode::SUCCESS)
}
