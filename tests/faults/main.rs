//! Faults of the machine under the real binary: loss of power, a full disk, a disk that fails, too few descriptors, too
//! little memory that may be locked.
//!
//! The data directory is on a real ext4 or XFS, on a loop device, on a disk of the test's own (`tools/disk`). That takes
//! root and a kernel with FUSE, loop devices and the file system; where something is missing, the test says `NOT TESTED` and
//! what was tried; with `MILLSTREAM_FAULTS_REQUIRED=1` that is a failure. `just faults` runs everything and shows what it says;
//! `MILLSTREAM_CUTS=N` loses power N times on each file system, `MILLSTREAM_SEED=S` chooses the moments.
//!
//! Whatever a test mounts and starts goes with it: see `millstream_disk::mounted`.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "starts the binary; runs in no node")]
#![cfg(all(feature = "cli", target_os = "linux"))]

#[path = "../common/mod.rs"]
mod common;

mod full;
mod http;
mod limits;
mod power;
mod readonly;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Ended, Node, PATIENCE, free_port};
use millstream_disk::{Kind, Mounted};

/// A file system of `mib` MiB on a disk of the test's own, or, loudly, why there is none.
fn mounted(kind: Kind, mib: u64, scratch: &Path) -> Option<Mounted> {
    match Mounted::new(kind, mib << 20, scratch) {
        Ok(mounted) => Some(mounted),
        Err(why) => {
            // Past the capture of the test harness: a machine that cannot test this must not look like one that did.
            let text = format!("NOT TESTED: {kind:?} on a disk of the test's own. {why}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            assert!(std::env::var_os("MILLSTREAM_FAULTS_REQUIRED").is_none(), "{text}");
            None
        }
    }
}

/// A node on the file system, on an address that stays.
struct Home {
    listen: String,
    more: Vec<&'static str>,
}

impl Home {
    fn new(more: &[&'static str]) -> Self {
        Self { listen: format!("127.0.0.1:{}", free_port()), more: more.to_vec() }
    }

    #[track_caller]
    fn start(&self, mounted: &Mounted) -> Node {
        Node::start(&mounted.path().join("data"), &self.listen, &self.more)
    }
}

/// Waits until it is so, and shows what the node said if it never is.
#[track_caller]
fn until(node: &Node, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}\n{}", node.process.said());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nobody found damage, and nobody panicked.
#[track_caller]
fn all_is_well(ended: &[Ended]) {
    for Ended { out, err, .. } in ended {
        assert!(!out.contains("DAMAGED") && !out.contains("FAILED"), "{out}");
        assert!(!err.contains("panicked at"), "{err}");
    }
}
