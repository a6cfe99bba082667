//! SIGKILL of the real binary under load: what was acknowledged is there afterwards, once, in order, byte for byte, and
//! nothing that a reader saw disappears. `MILLSTREAM_KILLS=N` kills N times.
//!
//! Not checked here: loss of power. A killed process leaves its writes to the kernel; `tests/faults` drops them, as the
//! simulator does.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::load::{Moments, Striker, fresh_seed, ride};
use common::{Ended, Node, Process, free_port, number_from, run, scratch, serve};

/// Kills, unless MILLSTREAM_KILLS says otherwise.
const KILLS: u32 = 40;

struct Killer {
    data: PathBuf,
    listen: String,
}

impl Striker for Killer {
    fn strike(&mut self, node: Node, moments: &mut Moments, ended: &mut Vec<Ended>) -> Node {
        ended.push(node.kill());
        if moments.dice.roll(4) == 0 {
            // Another one, which mostly comes to die while it recovers.
            let process = Process::start(serve(&self.data, &self.listen, &[]), b"");
            let life_us = moments.dice.roll(300_000);
            moments.pass(Duration::from_micros(life_us));
            ended.push(process.kill());
        }
        Node::start(&self.data, &self.listen, &[])
    }
}

/// Goal: killed at any moment, the node keeps every acknowledged record once, in order and byte for byte, shows no reader
/// what it then loses, and opens again without damage.
#[test]
fn acknowledged_records_survive_sigkill() {
    let (kills, seed) = (number_from("MILLSTREAM_KILLS", KILLS), fresh_seed());
    println!("{kills} kills, seed {seed:#x}");
    let dir = scratch();
    let data = dir.path().join("data");
    let node = Node::start(&data, &format!("127.0.0.1:{}", free_port()), &[]);
    let listen = node.addr.to_string();
    let killer = Killer { data: data.clone(), listen: listen.clone() };
    let (node, mut ridden) = ride(node, kills, Duration::from_secs(4), seed, killer);
    ridden.ended.push(node.kill());

    // What is there, as the next node reads it from its disk.
    let node = Node::start(&data, &listen, &[]);
    assert!(ridden.check(node.addr) >= kills as usize, "there was no load");
    ridden.ended.push(node.stop("TERM"));
    for Ended { out, err, .. } in &ridden.ended {
        assert!(!out.contains("DAMAGED") && !out.contains("FAILED"), "{out}");
        assert!(!err.contains("panicked at"), "{err}");
    }
    run(["log", "verify", data.to_str().expect("a path in UTF-8")]).code(0);
}
