use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{File, Open, Reactor, Runtime};

mod conformance;
mod crashes;
mod disks;
mod networks;
mod running;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A buffer of `blocks` blocks of `byte`.
fn filled(rt: &SimRuntime, blocks: usize, byte: u8) -> SimBuf {
    let mut buf = rt.alloc(blocks * BLOCK_BYTES);
    buf.as_mut().fill(byte);
    rt.freeze(buf, blocks * BLOCK_BYTES)
}

/// A simulation with one host that has a directory `/d`.
fn one_host(seed: u64) -> (Sim, HostId) {
    let sim = Sim::new(seed, SimOptions::default());
    let host = sim.host("node");
    sim.create_dir_all(host, "/d").expect("an empty disk");
    (sim, host)
}

/// A file `/d/<name>` whose name is durable.
async fn create(rt: &SimRuntime, name: &str) -> SimFile {
    let file = rt.open(&Path::new("/d").join(name), Open::CreateNew).await.expect("the name is free");
    rt.sync_dir(Path::new("/d")).await.expect("no faults");
    file
}
