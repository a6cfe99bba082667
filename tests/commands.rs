//! The commands that talk to a node or look at its files, as scripts use them: input, output, exit codes.

#![allow(clippy::disallowed_methods, reason = "starts the binary; runs in no node")]
#![cfg(feature = "cli")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Node, Process, free_port, run, scratch};
use serde_json::{Value, json};

/// A field of each line of JSON.
fn each<'a>(lines: &'a [Value], field: &str) -> Vec<&'a Value> {
    lines.iter().map(|line| &line[field]).collect()
}

/// Goal: streams are created, listed, described, changed and deleted; what is not there ends with 3, and nothing is
/// deleted without being asked for twice.
#[test]
fn streams_come_and_go() {
    let dir = scratch();
    let node = Node::small(dir.path(), &[]);
    let created = node.run(&["stream", "create", "orders", "--shards", "4", "--retention", "7d"]).code(0);
    assert_eq!(created.out, "created orders with 4 shards\n");
    node.run(&["stream", "create", "orders"]).code(1).complains(&["orders"]);
    node.run(&["stream", "create", "a/b"]).code(2).complains(&["name"]);
    node.run(&["stream", "create", "clicks"]).code(0);

    let mut list = node.run(&["stream", "list", "--json"]).code(0).json();
    list.sort_by_key(|stream| stream["name"].to_string());
    assert_eq!(
        list,
        [
            json!({"name": "clicks", "status": "active", "open_shards": 1}),
            json!({"name": "orders", "status": "active", "open_shards": 4}),
        ]
    );
    let table = node.run(&["stream", "list"]).code(0).out;
    assert!(table.starts_with("STREAM") && table.lines().count() == 3, "{table}");

    let described = &node.run(&["stream", "describe", "orders", "--json"]).code(0).json()[0];
    assert_eq!(described["retention_hours"], 168);
    assert_eq!(described["shards"].as_array().unwrap().len(), 4);
    assert_eq!(described["shards"][0]["hash_start"], "0");
    assert_eq!(described["shards"][3]["hash_end"], u128::MAX.to_string());
    assert!(node.run(&["stream", "describe", "orders"]).code(0).out.contains("retention     168 h"));

    let updated = node.run(&["stream", "update", "orders", "--retention", "48h", "--durability", "interval"]).code(0);
    assert_eq!(updated.out, "orders: retention 48 h\norders: durability interval\n");
    node.run(&["stream", "update", "orders"]).code(2);
    let updated = node.run(&["stream", "update", "orders", "--get-records-wait", "200ms"]).code(0);
    assert_eq!(updated.out, "orders: get wait 200 ms\n");
    node.run(&["stream", "update", "orders", "--get-records-wait", "21s"]).code(2).complains(&["20000ms"]);
    assert_eq!(node.run(&["stream", "describe", "orders", "--json"]).code(0).json()[0]["get_records_wait_ms"], 200);
    assert!(node.run(&["stream", "describe", "orders"]).code(0).out.contains("get wait      200 ms"));

    node.run(&["stream", "delete", "orders"]).code(2).complains(&["--yes"]);
    assert_eq!(node.run(&["stream", "delete", "orders", "--yes"]).code(0).out, "deleted orders\n");
    for args in [&["stream", "describe", "orders"][..], &["stream", "delete", "orders", "--yes"], &["get", "orders"]] {
        node.run(args).code(3).complains(&["orders"]);
    }
    node.run_with(&["put", "orders"], b"x\n").code(3);
    node.run(&["get", "clicks", "--shard", "1"]).code(3).complains(&["clicks has no"]);
    node.stop("TERM");
}

/// Goal: a node that is not there ends with 4, as does a name without an address.
#[test]
fn an_absent_node_is_4() {
    let nobody = format!("127.0.0.1:{}", free_port());
    for command in [&["stream", "list"][..], &["get", "s"], &["tail", "s"], &["put", "s"]] {
        let args = [command, &["--node", &nobody, "--retry-for", "1s"]].concat();
        run(args).code(4).complains(&[&nobody]);
    }
    run(["stream", "list", "--node", "no-such-host.invalid"]).code(4).complains(&["no-such-host.invalid"]);
}

/// Goal: each form of input arrives as meant: lines, a file, one key, keys from a field, NUL, JSON records; and what
/// `get --json` prints can be put again.
#[test]
fn put_takes_every_form_of_input() {
    let dir = scratch();
    let node = Node::small(&dir.path().join("data"), &[]);
    let put = |stream: &str, args: &[&str], input: &[u8]| {
        node.run(&["stream", "create", stream]).code(0);
        let done = node.run_with(&[&["put", stream], args].concat(), input).code(0);
        assert_eq!(done.out, "");
        let records = node.run(&["get", stream, "--json"]).code(0).json();
        (done.err, records)
    };
    let (err, lines) = put("lines", &[], b"one\n\ntwo\r\n");
    assert_eq!(err, "3 records, 7 bytes of data\n");
    assert_eq!(each(&lines, "data"), ["one", "", "two\r"]);
    assert_eq!(each(&lines, "key"), ["1", "2", "3"]);
    assert_eq!(each(&lines, "offset"), [0, 1, 2]);

    let file = dir.path().join("input");
    fs::write(&file, "a\nb").unwrap();
    let (err, from_file) = put("file", &[file.to_str().unwrap(), "--quiet", "--key", "k", "--batch", "1"], b"");
    assert_eq!(err, "");
    assert_eq!(each(&from_file, "data"), ["a", "b"]);
    assert_eq!(each(&from_file, "key"), ["k", "k"]);

    let (_, fields) = put("fields", &["--key-field", "user.id"], b"{\"user\":{\"id\":7}}\n{\"user\":{\"id\":\"x\"}}\n");
    assert_eq!(each(&fields, "key"), ["7", "x"]);
    let (_, null) = put("null", &["--null"], b"a\nb\0\xff\0");
    assert_eq!(each(&null, "data"), [&json!("a\nb"), &Value::Null]);
    assert_eq!(null[1]["base64"], "/w==");
    let json = node.run(&["get", "null", "--json"]).code(0).out;
    let (_, again) = put("again", &["--json-records"], json.as_bytes());
    for field in ["key", "data", "base64"] {
        assert_eq!(each(&again, field), each(&null, field));
    }

    // What comes before a mistake is stored, and the mistake has its line.
    node.run_with(&["put", "fields", "--key-field", "id"], b"{\"id\":1}\n{}\n")
        .code(2)
        .complains(&["record 2", "`id`"]);
    assert_eq!(node.run(&["get", "fields", "--raw"]).code(0).out.lines().count(), 3);
    node.run(&["put", "lines", "no-such-file"]).code(2).complains(&["no-such-file"]);
    node.run_with(&["put", "lines"], &vec![b'x'; 2 << 20]).code(2);
    node.stop("TERM");
}

/// Goal: every place to begin at, and every form of output, for reading by get and by push.
#[test]
fn get_and_tail_read_from_every_place() {
    let dir = scratch();
    let node = Node::small(dir.path(), &[]);
    node.run(&["stream", "create", "one"]).code(0);
    node.run_with(&["put", "one", "--key", "k"], b"a\nb\tc\nd\n").code(0);
    for command in ["get", "tail"] {
        let raw = |args: &[&str]| node.run(&[&[command, "one", "--raw"], args].concat()).code(0).out;
        assert_eq!(raw(&["--from", "horizon"]), "a\nb\tc\nd\n", "{command}");
        assert_eq!(raw(&["--from", "-10m"]), "a\nb\tc\nd\n", "{command}");
        assert_eq!(raw(&["--from", "@0"]), "a\nb\tc\nd\n", "{command}");
        assert_eq!(raw(&["--from", "@2020-01-31T12:00:00Z", "--limit", "1"]), "a\n", "{command}");
        assert_eq!(raw(&["--from", "1", "--shard", "0"]), "b\tc\nd\n", "{command}");
        assert_eq!(raw(&["--from", "2", "--null"]), "d\0", "{command}");
        let lines = node.run(&[command, "one", "--from", "horizon"]).code(0).out;
        assert!(lines.lines().nth(1).unwrap().ends_with(" k b\\tc"), "{command}: {lines}");
        let json = node.run(&[command, "one", "--from", "1", "--json"]).code(0).json();
        assert_eq!(each(&json, "data"), ["b\tc", "d"], "{command}");
        assert_eq!(each(&json, "offset"), [1, 2], "{command}");
        node.run(&[command, "one", "--from", "yesterday"]).code(2).complains(&["yesterday"]);
    }
    assert_eq!(node.run(&["get", "one", "--raw"]).code(0).out, "a\nb\tc\nd\n");
    node.run(&["stream", "create", "two", "--shards", "2"]).code(0);
    node.run(&["get", "two", "--from", "7"]).code(2).complains(&["--shard"]);
    node.stop("TERM");
}

/// Goal: with --follow records are shown as they come, across all shards, until an interrupt.
#[test]
fn following_shows_records_as_they_come() {
    let dir = scratch();
    let node = Node::small(dir.path(), &[]);
    node.run(&["stream", "create", "live", "--shards", "3"]).code(0);
    node.run_with(&["put", "live", "--quiet"], b"first\n").code(0);
    for command in ["get", "tail"] {
        let args = [command, "live", "--follow", "--from", "horizon", "--raw"];
        let mut reader = Process::start(node.command(&args), b"");
        reader.line_with("first");
        for number in 0..5 {
            let text = format!("{command} {number}\n");
            node.run_with(&["put", "live", "--quiet", "--key", &text], text.as_bytes()).code(0);
            assert_eq!(reader.line_with(command), text);
        }
        reader.signal("INT");
        let ended = reader.wait();
        assert!(ended.err.is_empty(), "{ended:?}");
    }
    // By itself, tail begins after what is there: it ends after the first record that comes.
    let mut reader = Process::start(node.command(&["tail", "live", "--raw", "--limit", "1"]), b"");
    let line = put_until_seen(&node, &mut reader);
    assert!(line.starts_with("late "), "{line}");
    assert_eq!(reader.wait().code(0).out, line);
    node.stop("TERM");
}

/// Puts until the reader, which begins at a moment nobody knows, has shown a record.
fn put_until_seen(node: &Node, reader: &mut Process) -> String {
    for number in 0..1_000 {
        node.run_with(&["put", "live", "--quiet"], format!("late {number}\n").as_bytes()).code(0);
        if let Some(line) = reader.line_now() {
            return line;
        }
    }
    panic!("tail shows nothing");
}

/// The largest file below `dir` whose name ends in `suffix`.
fn largest(dir: &Path, suffix: &str) -> PathBuf {
    let mut dirs = vec![dir.to_owned()];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => files.push((entry.metadata().unwrap().len(), entry.path())),
            }
        }
    }
    files.retain(|(_, path)| path.to_string_lossy().ends_with(suffix));
    files.into_iter().max().expect("there is one").1
}

/// Goal: a flipped byte in the middle of a log is found, quarantines its shard with a word to the operator, costs no
/// intact record, and a repair makes the shard take puts again.
#[test]
fn damage_is_found_contained_and_repaired() {
    let dir = scratch();
    let data = dir.path().to_str().unwrap();
    let node = Node::small(dir.path(), &[]);
    node.run(&["stream", "create", "orders"]).code(0);
    let records: Vec<String> = (0..30).map(|n| format!("record-{n:02}-{}", "x".repeat(200))).collect();
    for record in &records {
        node.run_with(&["put", "orders", "--quiet", "--key", "k"], record.as_bytes()).code(0);
    }
    node.stop("TERM");

    let verified = run(["log", "verify", data, "--json"]).code(0).json();
    assert!(verified.iter().any(|log| log["records"] == 30 && log["at_start"] == "opens"), "{verified:?}");
    let log = largest(&dir.path().join("shards"), ".seg").parent().unwrap().to_owned();
    let log = log.to_str().unwrap();
    let dumped = run(["log", "dump", log, "--records", "--json"]).code(0).json();
    let frames: Vec<_> = dumped.iter().filter(|line| line["frame"] == "data").collect();
    let shown: Vec<_> = frames.iter().flat_map(|frame| frame["records"].as_array().unwrap()).collect();
    assert!(shown.iter().map(|record| record["data"].as_str().unwrap()).eq(records.iter().map(String::as_str)));
    assert!(run(["log", "dump", log, "--limit", "2"]).code(0).out.lines().count() < 30);
    assert!(run(["log", "dump", log, "--from", "29", "--records"]).code(0).out.contains("record-29"));
    assert!(run(["log", "rebuild-index", data]).code(0).out.starts_with("GROUP"));
    run(["log", "verify", data]).code(0);
    run(["log", "verify", dir.path().join("nothing").to_str().unwrap()]).code(3);
    assert!(run(["log", "repair", data]).code(0).out.contains("nothing has to be repaired"));

    // One bit of the tenth record.
    let segment = largest(&dir.path().join("shards"), ".seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(9).position(|window| window == b"record-10").expect("it is stored as it is");
    bytes[at + 20] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let lost = run(["log", "verify", data]).code(5).complains(&["damaged"]);
    assert!(lost.out.contains("QUARANTINED") && lost.out.contains("LOSS: "), "{}", lost.out);
    let lost = run(["log", "verify", data, "--json"]).code(5).json();
    assert!(lost.iter().any(|line| line["finding"] == "LOSS"), "{lost:?}");

    let mut node = Node::small(dir.path(), &[]);
    let line = node.process.line_with("DAMAGED");
    assert!(line.contains("offsets 10 to 1") && line.contains("millstream log repair"), "{line}");
    let kept = |out: &str| {
        let all: Vec<String> = out.lines().map(ToOwned::to_owned).collect();
        let kept: Vec<_> = records.iter().filter(|record| !record.starts_with("record-10")).cloned().collect();
        assert_eq!(all, kept);
    };
    for command in ["get", "tail"] {
        let read = node.run(&[command, "orders", "--from", "horizon", "--raw"]).code(5);
        kept(&read.out);
    }
    node.run_with(&["put", "orders", "--retry-for", "1s"], b"no\n").code(5);
    let described = &node.run(&["stream", "describe", "orders", "--json"]).code(0).json()[0];
    assert_eq!(described["shards"][0]["state"], "quarantined");
    run(["log", "repair", data]).code(4).complains(&["in use by a running node"]);
    node.stop("TERM");

    let told = run(["log", "repair", data]).code(0).out;
    assert!(told.contains("offsets 10 to 1") && told.contains("say --yes"), "{told}");
    run(["log", "verify", data]).code(5);
    assert!(run(["log", "repair", data, "--yes"]).code(0).out.contains("accepted"));
    assert!(run(["log", "repair", data]).code(0).out.contains("nothing has to be repaired"));
    let node = Node::small(dir.path(), &[]);
    node.run_with(&["put", "orders", "--key", "k"], b"after\n").code(0);
    let read = node.run(&["get", "orders", "--raw"]);
    let (before, after) = read.out.split_at(read.out.len() - "after\n".len());
    assert_eq!(after, "after\n");
    kept(before);
    let ended = node.stop("TERM");
    assert!(!ended.out.contains("DAMAGED"), "{}", ended.out);
}

/// Goal: below the reserve puts are refused with a code and words of their own, while reads and administration go on; with
/// room again, puts go on.
#[test]
fn a_full_disk_refuses_puts_only() {
    let dir = scratch();
    let node = Node::small(dir.path(), &[]);
    node.run(&["stream", "create", "orders"]).code(0);
    node.run_with(&["put", "orders"], b"before\n").code(0);
    node.stop("TERM").code(0);

    let all = ["--disk-warn", "100%", "--disk-slow", "100%", "--disk-refuse", "100%"];
    let node = Node::small(dir.path(), &all);
    // The node looks at the disk as soon as it runs; a put may come before that.
    let refused = (0..100).map(|_| node.run_with(&["put", "orders", "--retry-for", "1s"], b"late\n"));
    let refused = refused.into_iter().find(|put| !put.status.success()).expect("puts are refused");
    refused.code(6).complains(&["DiskFull", "reserve"]);
    assert!(node.run(&["get", "orders", "--raw"]).code(0).out.starts_with("before\n"));
    node.run(&["stream", "create", "more"]).code(0);
    node.stop("TERM").code(0);

    let node = Node::small(dir.path(), &[]);
    node.run_with(&["put", "orders"], b"after\n").code(0);
    assert!(node.run(&["get", "orders", "--raw"]).code(0).out.ends_with("after\n"));
}

/// Goal: every shell's completions know the commands.
#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).code(0).out;
        for word in
            ["serve", "rebuild-index", "key-field", "tail-cache", "deregister", "write-records", "with-consumers"]
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run(["completions", "cmd"]).code(2).complains(&["bash"]);
}
