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
    // A member of an application goes on where it left off, and another application begins anew.
    let member = |app: &str, count: &str| {
        let out = example("group", &[&addr, app, "orders", count]).code(0).out;
        out.lines().map(|line| line.split_once('\t').expect("a place, then data").1.to_owned()).collect::<Vec<_>>()
    };
    let (first, second) = (member("billing", "600"), member("billing", "400"));
    let both: BTreeSet<_> = first.iter().chain(&second).collect();
    assert_eq!((first.len(), second.len(), both.len()), (600, 400, 1000), "a record was skipped or given twice");
    assert_eq!(member("audit", "1000").len(), 1000);
    for name in ["producer", "consumer_get", "consumer_push", "group"] {
        example(name, &[]).code(1).complains(&["usage: ", name]);
        let app: &[&str] = if name == "group" { &["billing"] } else { &[] };
        let args: Vec<_> = [&*addr].iter().chain(app).chain(&["nothing", "1"]).copied().collect();
        example(name, &args).code(1).complains(&["nothing"]);
    }
    node.stop("TERM");
}
