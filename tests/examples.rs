//! The example programs, against a real node: they are what newcomers paste, so they must run.

#![allow(clippy::disallowed_methods, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{Ended, Node, Process, scratch};

/// Runs an example to its end. `cargo test` builds them all, beside the directory of the test programs.
fn example(name: &str, args: &[&str]) -> Ended {
    let tests = std::env::current_exe().expect("the path of this program");
    let path = tests.ancestors().nth(2).expect("target/PROFILE/deps/NAME").join("examples").join(name);
    assert!(path.exists(), "{} is not built; `cargo build --examples` does it", path.display());
    let mut command = Command::new(path);
    command.args(args);
    Process::start(command, b"").wait()
}

/// Goal: what the producer stores both consumers print, each record once, in order per key.
#[test]
fn examples_put_and_read_records() {
    let dir = scratch();
    let node = Node::small(dir.path(), &[]);
    node.run(&["stream", "create", "orders", "--shards", "2"]).code(0);
    let addr = node.addr.to_string();
    let args = [&*addr, "orders", "1000"];
    assert_eq!(example("producer", &args).code(0).out, "1000 records stored\n");
    for name in ["consumer_get", "consumer_push"] {
        let out = example(name, &args).code(0).out;
        let records: BTreeSet<&str> =
            out.lines().map(|line| line.split_once('\t').expect("key, then data").1).collect();
        assert_eq!(out.lines().count(), 1000, "{name}");
        assert_eq!(records.len(), 1000, "{name} shows a record twice");
        let of_a_key: Vec<_> = out.lines().filter(|line| line.contains(" key-7\t")).collect();
        let numbers = of_a_key.iter().map(|line| line.rsplit(' ').next().expect("a number"));
        assert!(numbers.eq((0..10).map(|n| (n * 100 + 7).to_string())), "{name}: {of_a_key:?}");
    }
    for name in ["producer", "consumer_get", "consumer_push"] {
        example(name, &[]).code(1).complains(&["usage: ", name]);
        example(name, &[&*addr, "nothing", "1"]).code(1).complains(&["nothing"]);
    }
    node.stop("TERM");
}
