//! Streams that live, with the real binary: shards that are split, merged, scaled and moved, settings that change,
//! consumers and groups, while records go in and out and processes are killed.

#![allow(clippy::disallowed_methods, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Ended, Node, Process, free_port, scratch};
use serde_json::{Value, json};

/// Looks that a test takes at something that comes by itself. Each is a process of its own, so this is many seconds.
const LOOKS: usize = 2_000;

/// A node with two workers.
fn node(data: &Path) -> Node {
    Node::start(data, &format!("127.0.0.1:{}", free_port()), &["--workers", "2"])
}

/// The one JSON object that a command prints.
#[track_caller]
fn object(node: &Node, args: &[&str]) -> Value {
    let mut lines = node.run(&[args, &["--json"]].concat()).code(0).json();
    assert_eq!(lines.len(), 1, "{args:?}");
    lines.remove(0)
}

#[track_caller]
fn ok(node: &Node, args: &[&str]) -> String {
    node.run(args).code(0).out
}

/// Numbers in a field of each of the objects in an array.
fn numbers(array: &Value, field: &str) -> Vec<u64> {
    array.as_array().unwrap().iter().map(|object| object[field].as_u64().unwrap()).collect()
}

/// Goal: a shard is split at the middle or at a key, by number or id; neighbours are merged; the table, the JSON and the
/// description tell the children; what cannot be is refused with a code and the reason.
#[test]
fn shards_are_split_and_merged() {
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s", "--shards", "2"]);
    let split = ok(&node, &["stream", "split", "s", "shardId-000000000000"]);
    let lines: Vec<_> = split.lines().collect();
    assert_eq!(lines[0], "split shardId-000000000000 at 0x40000000000000000000000000000000");
    assert!(lines[2].starts_with("CHILD ") && lines.len() == 5, "{split}");
    assert!(
        lines[3].starts_with("shardId-000000000002") && lines[3].ends_with("25.0%  00000000..-3fffffff.."),
        "{split}"
    );
    assert!(
        lines[4].starts_with("shardId-000000000003") && lines[4].ends_with("25.0%  40000000..-7fffffff.."),
        "{split}"
    );

    let key = "0xc0000000000000000000000000000000";
    let split = object(&node, &["stream", "split", "s", "1", "--at", key]);
    assert_eq!(split["closed"], json!([1]));
    assert_eq!(numbers(&split["children"], "number"), [4, 5]);
    assert_eq!(split["children"][1]["hash_start"], (0xcu128 << 124).to_string());
    let merged = object(&node, &["stream", "merge", "s", "4", "3"]);
    assert_eq!(merged["closed"], json!([4, 3]));
    assert_eq!(merged["children"][0]["hash_end"], ((0xcu128 << 124) - 1).to_string());
    assert!(
        ok(&node, &["stream", "merge", "s", "2", "6"])
            .starts_with("merged shardId-000000000002 and shardId-000000000006\n")
    );

    node.run(&["stream", "split", "s", "0"])
        .code(2)
        .complains(&["is closed", "shardId-000000000002, shardId-000000000003"]);
    node.run(&["stream", "split", "s", "5", "--at", "7"]).code(2).complains(&["0xc0000000", "--at"]);
    node.run(&["stream", "split", "s", "99"]).code(3).complains(&["s has no shardId-000000000099"]);
    node.run(&["stream", "split", "nothing", "0"]).code(3);
    node.run(&["stream", "split", "s", "five"]).code(2).complains(&["shardId-000000000007"]);
    node.run(&["stream", "split", "s", "5", "--at", "c0"]).code(2).complains(&["0x"]);
    node.run(&["stream", "merge", "s", "5", "5"]).code(2).complains(&["twice"]);
    ok(&node, &["stream", "split", "s", "7"]);
    node.run(&["stream", "merge", "s", "5", "8"]).code(2).complains(&["not adjacent"]);

    let described = object(&node, &["stream", "describe", "s"]);
    let shard = |number: usize| &described["shards"][number];
    assert_eq!((&shard(0)["children"], &shard(0)["state"]), (&json!([2, 3]), &json!("closed")));
    assert_eq!((&shard(6)["parent"], &shard(6)["adjacent_parent"]), (&json!(4), &json!(3)));
    assert_eq!((&shard(8)["closed"], &shard(8)["parent"]), (&Value::Null, &json!(7)));
    assert!(shard(7)["closed"].is_string() && shard(7)["end_offset"] == 0);
    assert_eq!(described["open_shards"], 3);
    let text = ok(&node, &["stream", "describe", "s"]);
    let lineage = text.lines().find(|line| line.trim_start().starts_with("6  4 3 "));
    assert!(lineage.is_some_and(|line| line.split_whitespace().nth(3) == Some("7")), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    node.stop("TERM");
}

/// Goal: a plan says what a scaling will do and costs without doing it; the scaling does exactly that; a second one finds
/// nothing to do. Shards move between workers and keep their records.
#[test]
fn streams_are_scaled_and_shards_moved() {
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s", "--shards", "2"]);
    let plan = ok(&node, &["stream", "scale", "s", "3", "--plan"]);
    assert!(plan.starts_with("s: from 2 to 3 shards: 2 splits and 1 merge in 2 rounds\n\nROUND  STEP"), "{plan}");
    assert!(plan.contains("\n    1  split  00000000..-7fffffff..  55555555..  50.0%\n"), "{plan}");
    assert!(plan.contains("\nCosts: 4 shards closed,") && plan.contains(" 5 created.\n"), "{plan}");
    assert!(plan.lines().all(|line| line.chars().count() <= 96), "{plan}");
    let plan = object(&node, &["stream", "scale", "s", "3", "--plan"]);
    assert_eq!(
        (&plan["done"], &plan["steps"][2]["round"], &plan["steps"][2]["step"]),
        (&json!(false), &json!(2), &json!("merge"))
    );
    assert_eq!(plan["steps"][0]["at"], (u128::MAX / 3).to_string());
    assert_eq!(object(&node, &["stream", "describe", "s"])["open_shards"], 2);

    let scaled = "scaled s from 2 to 3 shards: 2 splits and 1 merge in 2 rounds, 4 shards closed, 5 created\n";
    assert_eq!(ok(&node, &["stream", "scale", "s", "3"]), scaled);
    assert_eq!(object(&node, &["stream", "describe", "s"])["open_shards"], 3);
    assert!(ok(&node, &["stream", "scale", "s", "3"]).contains("nothing to do"));
    node.run(&["stream", "scale", "s", "0"]).code(2);
    node.run(&["stream", "scale", "nothing", "3"]).code(3);

    ok(&node, &["stream", "create", "m"]);
    node.run_with(&["put", "m", "--key", "k"], b"a\nb\n").code(0);
    let worker = object(&node, &["stream", "describe", "m"])["shards"][0]["worker"].as_u64().unwrap();
    let (from, to) = (worker.to_string(), (1 - worker).to_string());
    let moved = ok(&node, &["stream", "move", "m", "0", "--to", &to]);
    assert_eq!(moved, format!("moved shardId-000000000000 from worker {from} to worker {to}\n"));
    assert!(ok(&node, &["stream", "move", "m", "0", "--to", &to]).contains("already"));
    let back = object(&node, &["stream", "move", "m", "shardId-000000000000", "--to", &from]);
    assert_eq!(back, json!({"shard": 0, "from": 1 - worker, "to": worker}));
    assert_eq!(ok(&node, &["get", "m", "--raw"]), "a\nb\n");
    node.run(&["stream", "move", "m", "0", "--to", "9"]).code(2).complains(&["worker"]);
    node.stop("TERM");
}

/// Goal: every setting is changed by a command of its own, at creation and by update; numbers not given stay; what does
/// not go together is refused.
#[test]
fn settings_change_one_by_one() {
    let dir = scratch();
    let node = node(dir.path());
    let create = ["stream", "create", "d", "--mode", "on-demand", "--min", "2", "--max", "9", "--tag", "team=a"];
    assert_eq!(ok(&node, &create), "created d with 4 shards\n");
    let described = object(&node, &["stream", "describe", "d"]);
    assert_eq!((&described["mode"], &described["bounds"]), (&json!("on-demand"), &json!({"min": 2, "max": 9})));
    assert_eq!((&described["tags"], &described["distribution"]), (&json!({"team": "a"}), &json!("key")));
    assert_eq!(ok(&node, &["stream", "mode", "d", "on-demand", "--max", "8"]), "d: mode on-demand, 2 to 8 shards\n");
    let warm = ok(&node, &["stream", "update", "d", "--warm", "6"]);
    assert_eq!(warm, "d: mode on-demand, 2 to 8 shards, ready for 6 MiB/s\n");
    assert_eq!(ok(&node, &["stream", "distribution", "d", "auto"]), "d: distribution auto\n");
    node.run(&["stream", "scale", "d", "8"]).code(1).complains(&["WrongMode", "millstream stream mode"]);
    node.run(&["stream", "mode", "d", "provisioned", "--min", "1"]).code(2).complains(&["on demand"]);
    assert_eq!(ok(&node, &["stream", "mode", "d", "provisioned"]), "d: mode provisioned\n");
    assert_eq!(object(&node, &["stream", "describe", "d"])["distribution"], "key");
    node.run(&["stream", "distribution", "d", "auto"]).code(2).complains(&["on-demand"]);
    node.run(&["stream", "update", "d", "--max", "3"]).code(2).complains(&["--mode on-demand"]);

    assert_eq!(ok(&node, &["stream", "retention", "d", "7d"]), "d: retention 168 h\n");
    node.run(&["stream", "retention", "d", "1h"]).code(2).complains(&["24h to 8760h"]);
    let limits = ok(&node, &["stream", "limits", "d", "custom", "--write-records", "50", "--read-bytes", "3MiB"]);
    assert_eq!(limits, "d: limits custom, per shard 50 records/s in, 3MiB/s out\n");
    let limits = object(&node, &["stream", "limits", "d", "custom", "--read-calls", "7"]);
    let expected = [("write_records_s", 50), ("read_bytes_s", 3 << 20), ("read_calls_s", 7), ("write_bytes_s", 0)];
    for (name, number) in expected {
        assert_eq!(limits["limits"][name], number, "{name}");
    }
    assert_eq!(ok(&node, &["stream", "limits", "d", "aws"]), "d: limits aws\n");
    node.run(&["stream", "limits", "d", "aws", "--write-records", "5"]).code(2).complains(&["custom"]);
    node.run(&["stream", "limits", "d", "custom"]).code(2).complains(&["--write-records"]);
    assert_eq!(ok(&node, &["stream", "limits", "d", "none"]), "d: limits none\n");
    node.run(&["stream", "limits", "nothing", "none"]).code(3);

    let tags = ok(&node, &["stream", "tags", "d", "--set", "env=prod", "--set", "a=b=c", "--remove", "team"]);
    assert_eq!(tags, "TAG  VALUE\na    b=c\nenv  prod\n");
    assert_eq!(object(&node, &["stream", "tags", "d"]), json!({"name": "d", "tags": {"a": "b=c", "env": "prod"}}));
    node.run(&["stream", "tags", "d", "--set", "x"]).code(2).complains(&["team=billing"]);
    node.stop("TERM");
}

/// Goal: counters tell what went in, what was throttled and what went out, of the stream and of each shard; a put that is
/// throttled for too long says so, with the code of a refusal.
#[test]
fn counters_and_limits_show() {
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s", "--shards", "2"]);
    node.run_with(&["put", "s", "--shard", "shardId-000000000001"], b"one\ntwo\n").code(0);
    ok(&node, &["get", "s"]);
    let whole = object(&node, &["stream", "stats", "s"]);
    assert_eq!((&whole["stats"]["put_records_total"], &whole["stats"]["shards"]), (&json!(2), &json!(2)));
    let shards = node.run(&["stream", "stats", "s", "--shards", "--json"]).code(0).json();
    let of = |name: &str| shards.iter().map(|shard| shard["stats"][name].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((of("put_records_total"), of("put_records_throttled_total")), (vec![0, 2], vec![0, 0]));
    assert!(of("read_bytes_total")[1] > 0);
    assert!(ok(&node, &["stream", "stats", "s"]).lines().any(|line| line.starts_with("iterator_age_ms_max ")));
    let table = ok(&node, &["stream", "stats", "s", "--shards"]);
    assert!(table.starts_with("SHARD ") && table.lines().count() == 3, "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");

    ok(&node, &["stream", "limits", "s", "custom", "--write-records", "1"]);
    let many: String = (0..50).map(|n| format!("{n}\n")).collect();
    let put = ["put", "s", "--shard", "1", "--batch", "1", "--retry-for", "1s"];
    node.run_with(&put, many.as_bytes()).code(6).complains(&["not stored in time", "millstream stream limits"]);
    let shards = node.run(&["stream", "stats", "s", "--shards", "--json"]).code(0).json();
    assert!(shards[1]["stats"]["put_records_throttled_total"].as_u64().unwrap() > 0, "{shards:?}");
    node.run(&["stream", "stats", "nothing"]).code(3);
    node.stop("TERM");
}

/// Goal: consumers are registered, shown and removed; one reads through its pipe; a stream with consumers is deleted only
/// when asked for.
#[test]
fn consumers_come_and_go() {
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s", "--shards", "2"]);
    assert_eq!(ok(&node, &["consumer", "register", "s", "b", "--tag", "x=y"]), "registered b with s\n");
    let a = object(&node, &["consumer", "register", "s", "a"]);
    assert_eq!(a["name"], "a");
    node.run(&["consumer", "register", "s", "a"]).code(1).complains(&["ConsumerExists"]);
    node.run(&["consumer", "register", "nothing", "a"]).code(3);
    let table = ok(&node, &["consumer", "list", "s"]);
    let first: Vec<_> = table.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(first, ["CONSUMER", "a", "b"]);
    let listed = node.run(&["consumer", "list", "s", "--json"]).code(0).json();
    assert_eq!((listed.len(), &listed[0]["id"]), (2, &a["id"]));
    let b = object(&node, &["consumer", "describe", "s", "b"]);
    assert_eq!((&b["tags"], &b["stream"]), (&json!({"x": "y"}), &json!("s")));
    assert!(ok(&node, &["consumer", "describe", "s", "b"]).contains("tag       x=y\n"));
    assert_eq!(object(&node, &["stream", "describe", "s"])["consumers"], 2);

    node.run_with(&["put", "s", "--key", "k"], b"one\ntwo\n").code(0);
    ok(&node, &["stream", "scale", "s", "1"]);
    node.run_with(&["put", "s", "--key", "k"], b"three\n").code(0);
    let mut tail =
        Process::start(node.command(&["tail", "s", "--consumer", "a", "--from", "horizon", "--follow", "--raw"]), b"");
    for expected in ["one\n", "two\n", "three\n"] {
        assert_eq!(tail.line().as_deref(), Some(expected));
    }
    tail.signal("INT");
    tail.wait();
    node.run(&["tail", "s", "--consumer", "nobody"]).code(3).complains(&["ConsumerNotFound"]);

    assert_eq!(ok(&node, &["consumer", "deregister", "s", "a"]), "deregistered a from s\n");
    node.run(&["consumer", "deregister", "s", "a"]).code(3);
    node.run(&["stream", "delete", "s", "--yes"]).code(1).complains(&["HasConsumers", "--with-consumers"]);
    assert_eq!(ok(&node, &["stream", "delete", "s", "--yes", "--with-consumers"]), "deleted s\n");
    node.stop("TERM");
}

/// Goal: all shards are read across a reshard, each key's records in order; one shard is read to its end, and the reader is
/// told where it goes on; nothing is put to a closed shard by name.
#[test]
fn readers_follow_reshards() {
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s"]);
    node.run_with(&["put", "s", "--key", "k"], b"1\n2\n").code(0);
    ok(&node, &["stream", "split", "s", "0"]);
    node.run_with(&["put", "s", "--key", "k"], b"3\n").code(0);
    ok(&node, &["stream", "merge", "s", "1", "2"]);
    node.run_with(&["put", "s", "--key", "k"], b"4\n5\n").code(0);
    for command in ["get", "tail"] {
        let read = |more: &[&str]| node.run(&[&[command, "s", "--from", "horizon", "--raw"], more].concat()).code(0);
        let all = read(&[]);
        assert_eq!((all.out.as_str(), all.err.as_str()), ("1\n2\n3\n4\n5\n", ""), "{command}");
        for shard in ["0", "shardId-000000000000"] {
            let one = read(&["--shard", shard, "--follow"]);
            assert_eq!(one.out, "1\n2\n");
            one.complains(&[
                "shardId-000000000000 is closed",
                "goes on in shardId-000000000001 and shardId-000000000002",
            ]);
        }
        let last = read(&["--shard", "3"]);
        assert_eq!((last.out.as_str(), last.err.as_str()), ("4\n5\n", ""), "{command}");
    }
    node.run_with(&["put", "s", "--shard", "0"], b"x\n").code(2).complains(&["is closed", "shardId-000000000001"]);
    node.stop("TERM");
}

/// Which records a reader showed, by key: each record's data is its number within the key.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<u64>>);

impl Seen {
    fn add(&mut self, line: &str) {
        let record: Value = serde_json::from_str(line).expect("a line of JSON");
        let number = record["data"].as_str().unwrap().parse().unwrap();
        self.0.entry(record["key"].as_str().unwrap().to_owned()).or_default().push(number);
    }
}

/// Records of many keys, numbered within each, as `put --json-records` takes them.
fn round(number: u64, keys: u64) -> String {
    (0..keys).map(|key| format!("{}\n", json!({"key": format!("key-{key}"), "data": number.to_string()}))).collect()
}

/// Goal: while a stream is scaled up and down, a put and a tail that run all the time notice nothing: every record comes
/// once, and those of a key in order.
#[test]
fn scaling_under_load_loses_nothing() {
    const KEYS: u64 = 20;
    /// Rounds that may be on their way from the put to the tail.
    const AHEAD: u64 = 20;
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s", "--shards", "2"]);
    let (put, mut input) =
        Process::start_fed(node.command(&["put", "s", "--json-records", "--quiet", "--batch", "50"]));
    let follow = ["tail", "s", "--from", "horizon", "--follow", "--json"];
    let mut tail = Process::start(node.command(&follow), b"");
    let scales: Vec<_> = ["6", "1", "5", "3"].map(|target| node.command(&["stream", "scale", "s", target])).into();
    let done = AtomicBool::new(false);
    let (mut seen, mut sent, mut came) = (Seen::default(), 0, 0);
    std::thread::scope(|scope| {
        let scaling = scope.spawn(|| {
            let ended: Vec<_> = scales.into_iter().map(|scale| Process::start(scale, b"").wait()).collect();
            done.store(true, Ordering::Release);
            ended
        });
        // A few rounds more go to the shards that are there in the end.
        let mut left = 2 * AHEAD;
        while left > 0 {
            input.write_all(round(sent, KEYS).as_bytes()).unwrap();
            sent += 1;
            left -= u64::from(done.load(Ordering::Acquire));
            assert!(sent < 1_000_000, "the scalings do not end");
            while came + AHEAD * KEYS < sent * KEYS {
                seen.add(&tail.line().expect("the tail goes on"));
                came += 1;
            }
        }
        for ended in scaling.join().unwrap() {
            assert!(ended.code(0).out.starts_with("scaled s from "));
        }
    });
    drop(input);
    put.wait().code(0);
    while came < sent * KEYS {
        seen.add(&tail.line().expect("the tail goes on"));
        came += 1;
    }
    assert_eq!(seen.0.len() as u64, KEYS);
    for (key, numbers) in &seen.0 {
        assert!(numbers.iter().copied().eq(0..sent), "{key}: {numbers:?}");
    }
    // The load met the reshards: there are records on both sides of them.
    let described = object(&node, &["stream", "describe", "s"]);
    let shards = described["shards"].as_array().unwrap();
    let with_records = |state: &str| {
        shards.iter().filter(|shard| shard["state"] == state && shard["next_offset"].as_u64() > Some(0)).count()
    };
    assert!(with_records("closed") > 2 && with_records("open") == 3, "{described}");
    tail.signal("INT");
    tail.wait();
    node.stop("TERM");
}

/// Looks until `is_there` says so.
#[track_caller]
fn until(mut look: impl FnMut() -> Value, is_there: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..LOOKS {
        last = look();
        if is_there(&last) {
            return last;
        }
    }
    panic!("it does not come: {last}");
}

/// Goal: a node that is killed in the middle of a scaling finishes it after its restart by itself, and so does the command
/// that asked for it; every record is still there, once and in order.
#[test]
fn a_killed_scaling_is_finished() {
    const KEYS: u64 = 10;
    let dir = scratch();
    let mut node = node(dir.path());
    ok(&node, &["stream", "create", "s"]);
    let mut sent = 0;
    let mut caught = None;
    // A scaling may be over before anybody looks; then there is another one.
    for target in [64, 3, 96, 2, 128, 5] {
        node.run_with(&["put", "s", "--json-records", "--quiet"], round(sent, KEYS).as_bytes()).code(0);
        sent += 1;
        let scale = Process::start(node.command(&["stream", "scale", "s", &target.to_string()]), b"");
        let looked = until(
            || object(&node, &["stream", "describe", "s"]),
            |described| described["scaling_target"] == target || described["open_shards"] == target,
        );
        if looked["scaling_target"] == target {
            caught = Some((target, scale));
            break;
        }
        scale.wait().code(0);
    }
    let (target, scale) = caught.expect("one of them was caught in the middle");
    let addr = node.addr.to_string();
    node.kill();
    node = Node::start(dir.path(), &addr, &["--workers", "2"]);
    node.run_with(&["put", "s", "--json-records", "--quiet"], round(sent, KEYS).as_bytes()).code(0);
    sent += 1;
    until(
        || object(&node, &["stream", "describe", "s"]),
        |described| described["status"] == "active" && described["open_shards"] == target,
    );
    let said = scale.wait().code(0).out;
    assert!(said.starts_with("scaled s from ") && said.contains(&format!(" to {target} shards: ")), "{said}");
    assert!(ok(&node, &["stream", "scale", "s", &target.to_string()]).contains("nothing to do"));
    let mut seen = Seen::default();
    ok(&node, &["get", "s", "--json"]).lines().for_each(|line| seen.add(line));
    assert_eq!(seen.0.len() as u64, KEYS);
    for (key, numbers) in &seen.0 {
        assert!(numbers.iter().copied().eq(0..sent), "{key}: {numbers:?}");
    }
    node.stop("TERM");
}

/// Goal: two members of an application share the shards of a stream; across a split and the death of one of them no record
/// is missed, and what one process shows of a key comes in order; a member that is interrupted leaves at once.
#[test]
fn members_of_a_group_take_over() {
    const KEYS: u64 = 12;
    let dir = scratch();
    let node = node(dir.path());
    ok(&node, &["stream", "create", "s", "--shards", "4"]);
    node.run(&["group", "describe", "s", "app"]).code(3).complains(&["no application app"]);
    let join = || Process::start(node.command(&["tail", "s", "--group", "app", "--from", "horizon", "--json"]), b"");
    let (mut first, mut second) = (join(), join());
    let status = || object(&node, &["group", "describe", "s", "app"]);
    let joined = || match node.run(&["group", "describe", "s", "app", "--json"]) {
        // Nobody has begun yet.
        ended if ended.status.code() == Some(3) => json!({"members": []}),
        ended => ended.code(0).json().remove(0),
    };
    until(joined, |status| numbers(&status["members"], "shards") == [2, 2]);
    let table = ok(&node, &["group", "describe", "s", "app"]);
    assert!(table.starts_with("MEMBER ") && table.contains("\nSHARD "), "{table}");
    let list = object(&node, &["group", "list", "s"]);
    assert_eq!(
        (&list["group"], &list["members"], &list["shards_without_a_member"]),
        (&json!("app"), &json!(2), &json!(0))
    );
    assert!(ok(&node, &["group", "list", "s"]).starts_with("GROUP "));
    node.run(&["group", "reset", "s", "app", "--to", "horizon"]).code(6).complains(&["alive", "group describe"]);

    let mut sent = 0;
    let mut put = || {
        for _ in 0..5 {
            node.run_with(&["put", "s", "--json-records", "--quiet"], round(sent, KEYS).as_bytes()).code(0);
            sent += 1;
        }
        sent
    };
    let record = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a line of JSON");
        (record["key"].as_str().unwrap().to_owned(), record["data"].as_str().unwrap().parse::<u64>().unwrap())
    };
    put();
    ok(&node, &["stream", "split", "s", "0"]);
    let after = put();
    // Before one of them dies, the end of the parent was noted, and said: who shows a record that was put after that has said
    // all it had to say before. Killed between the two, nobody would say it.
    until(status, |status| status["shards"][0]["checkpoint"] == "ended");
    put();
    let shown_by = |member: &mut Process| {
        let mut shown: Vec<(String, u64)> = Vec::new();
        while shown.last().is_none_or(|(_, number)| *number < after) {
            shown.push(record(&member.line().expect("each has shards with records")));
        }
        shown
    };
    shown_by(&mut first);
    let mut shown_by_second = shown_by(&mut second);
    let dead = first.kill();
    let sent = put();

    let wanted: BTreeSet<_> = (0..KEYS).flat_map(|key| (0..sent).map(move |n| (format!("key-{key}"), n))).collect();
    let mut missing = wanted;
    // It may have died in the middle of a line.
    let whole = dead.out.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let shown: Vec<_> = whole.map(record).collect();
    in_order(&shown);
    shown.iter().for_each(|record| {
        missing.remove(record);
    });
    shown_by_second.iter().for_each(|record| {
        missing.remove(record);
    });
    while !missing.is_empty() {
        let line = second.line().expect("the member goes on");
        shown_by_second.push(record(&line));
        missing.remove(shown_by_second.last().unwrap());
    }
    in_order(&shown_by_second);
    let all = until(status, |status| status["behind"] == 0 && status["members"].as_array().unwrap().len() == 1);
    let split = &all["shards"][0];
    assert_eq!((&split["checkpoint"], &split["member"]), (&json!("ended"), &Value::Null), "{all}");
    second.signal("INT");
    let ended: Ended = second.wait().code(0);
    // Either of them read the parent to its end; who it was, is chance.
    let said = dead.err + &ended.err;
    for text in ["reads shardId-000000000004 from its oldest record on", "shardId-000000000000 is read to its end"] {
        assert!(said.contains(text), "{said}");
    }
    assert_eq!(status()["members"], json!([]));

    assert_eq!(
        ok(&node, &["group", "reset", "s", "app", "--to", "horizon"]),
        "app goes on in s from the oldest records\n"
    );
    assert_eq!(status()["behind"], sent * KEYS);
    node.run(&["group", "reset", "s", "app", "--to", "7"]).code(2).complains(&["horizon, latest or a time"]);
    // The limit is noted to the record: the next member goes on behind it.
    let limit = (sent * KEYS - 7).to_string();
    let some = ok(&node, &["tail", "s", "--group", "app", "--raw", "--limit", &limit]);
    assert_eq!(some.lines().count() as u64, sent * KEYS - 7);
    assert_eq!(status()["behind"], 7);
    node.stop("TERM");
}

/// Asserts that the records of each key come in order. A shard that comes back to a member may be shown again from its
/// checkpoint on.
#[track_caller]
fn in_order(shown: &[(String, u64)]) {
    let (mut last, mut before) = (BTreeMap::new(), BTreeSet::new());
    for (key, number) in shown {
        let goes_on = last.insert(key, *number).is_none_or(|last| last < *number);
        let is_new = before.insert((key, *number));
        assert!(goes_on || !is_new, "{key}: {number} is late");
    }
}
