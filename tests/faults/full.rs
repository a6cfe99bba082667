//! The disk fills up, to the last block, and space comes back.
//!
//! The ladder of the default settings on a small ext4: below 10 % the node warns, below 5 % it slows puts down, below 2 % it
//! refuses them with an error of their own, on either protocol; reads and administration go on. A node starts where not a
//! block is free. Space that comes back, whether somebody else freed it or the node did, is taken up without anybody's help.

use std::time::{Duration, Instant};

use millstream_disk::{Filler, Kind};
use serde_json::{Value, json};

use crate::common::{Node, Process, run, scratch};
use crate::http::{ask, kinesis_addr};
use crate::{Home, all_is_well, mounted, until};

/// So that a percent is about a megabyte.
const DISK_MIB: u64 = 100;

const MIB: u64 = 1 << 20;

/// What a put of one record by the Kinesis API comes to.
fn put_by_http(node: &Node, data: &str) -> (u16, Value) {
    // The node decodes base64; so that the test need not encode it, the data is some already.
    ask(kinesis_addr(node), "PutRecord", &json!({"StreamName": "orders", "PartitionKey": "k", "Data": data}))
}

/// The records of `orders` by the native protocol, one a line.
fn lines(node: &Node) -> Vec<String> {
    node.run(&["get", "orders", "--raw"]).code(0).out.lines().map(str::to_owned).collect()
}

/// Puts one record, which has to be stored.
fn put(node: &Node, stored: &mut Vec<String>) {
    let line = format!("record-{}", stored.len());
    node.run_with(&["put", "orders", "--key", "k", "--quiet"], line.as_bytes()).code(0);
    stored.push(line);
}

/// Whether puts are refused because the disk is full, by either protocol, and nothing is stored by that.
fn refuses(node: &Node) -> bool {
    let native = node.run_with(&["put", "orders", "--key", "k", "--retry-for", "1s"], b"refused\n");
    if native.status.success() {
        return false;
    }
    native.code(6).complains(&["DiskFull", "reserve"]);
    let (status, answer) = put_by_http(node, "cmVmdXNlZA==");
    // The SDKs try a 5xx again; PutRecords says the same of each record.
    assert_eq!((status, answer["__type"].as_str()), (500, Some("InternalFailureException")), "{answer}");
    assert!(answer["message"].as_str().is_some_and(|text| text.contains("disk is full")), "{answer}");
    let records = json!({"StreamName": "orders", "Records": [{"PartitionKey": "k", "Data": "cmVmdXNlZA=="}]});
    let (status, answer) = ask(kinesis_addr(node), "PutRecords", &records);
    assert_eq!((status, &answer["FailedRecordCount"]), (200, &json!(1)), "{answer}");
    assert_eq!(answer["Records"][0]["ErrorCode"], "InternalFailure", "{answer}");
    true
}

/// Reads go on by either protocol, and administration does.
fn serves_all_else(node: &Node, stored: &[String]) {
    assert_eq!(lines(node), stored);
    let addr = kinesis_addr(node);
    let shard = json!({
        "StreamName": "orders", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"
    });
    let (status, answer) = ask(addr, "GetShardIterator", &shard);
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = ask(addr, "GetRecords", &json!({"ShardIterator": answer["ShardIterator"]}));
    assert_eq!((status, answer["Records"].as_array().map(Vec::len)), (200, Some(stored.len())), "{answer}");
    node.run(&["stream", "describe", "orders"]).code(0);
    node.run(&["stream", "update", "orders", "--retention", "48h"]).code(0);
    node.run(&["stream", "update", "orders", "--retention", "24h"]).code(0);
}

/// Goal: a disk that fills up is met step by step: a warning, slower puts, refusals that say why; everything else goes on,
/// also through restarts, to the last block. With room again puts go on by themselves, and nothing acknowledged is lost.
#[test]
fn a_disk_that_fills_up_is_met_step_by_step() {
    let dir = scratch();
    let Some(mounted) = mounted(Kind::Ext4, DISK_MIB, dir.path()) else { return };
    let filler = Filler::new(mounted.path());
    let home = Home::new(&["--workers", "1", "--kinesis-listen", "127.0.0.1:0", "--kinesis-tls", "off"]);
    let node = home.start(&mounted);
    node.run(&["stream", "create", "orders"]).code(0);
    let mut stored = Vec::new();
    put(&node, &mut stored);

    filler.leave(8 * MIB).expect("there is room");
    node.process.says(&["state changed", "Low"]);
    put(&node, &mut stored);
    filler.leave(4 * MIB).expect("there is room");
    node.process.says(&["state changed", "Scarce"]);
    let begun = Instant::now();
    for _ in 0..5 {
        put(&node, &mut stored);
    }
    assert!(begun.elapsed() >= Duration::from_millis(5 * 20), "puts are as fast as ever");
    filler.leave(MIB).expect("there is room");
    node.process.says(&["state changed", "Full"]);
    until(&node, "puts are refused", || refuses(&node));
    serves_all_else(&node, &stored);

    // Restarts below the reserve, and without a block: stopped well, and killed.
    let mut ended = vec![node.stop("TERM")];
    let node = home.start(&mounted);
    until(&node, "puts are refused", || refuses(&node));
    serves_all_else(&node, &stored);
    filler.leave_nothing().expect("only space runs out");
    println!("{} bytes are free", filler.free_bytes().expect("it is mounted"));
    assert_eq!(filler.free_bytes().expect("it is mounted"), 0);
    until(&node, "puts are refused", || refuses(&node));
    serves_all_else(&node, &stored);
    ended.push(node.stop("TERM"));
    let node = home.start(&mounted);
    until(&node, "puts are refused", || refuses(&node));
    serves_all_else(&node, &stored);
    ended.push(node.kill());
    for _ in 0..3 {
        // More than once: a start must not live on what it cannot get back.
        let node = home.start(&mounted);
        until(&node, "puts are refused", || refuses(&node));
        ended.push(node.kill());
    }
    let node = home.start(&mounted);
    serves_all_else(&node, &stored);

    filler.give_back().expect("it can be removed");
    until(&node, "puts go on", || {
        let (status, _) = put_by_http(&node, "YWZ0ZXI=");
        status == 200
    });
    stored.push("after".to_owned());
    put(&node, &mut stored);
    assert_eq!(lines(&node), stored);
    ended.push(node.stop("TERM"));
    all_is_well(&ended);
    run(["log", "verify", mounted.path().join("data").to_str().expect("UTF-8")]).code(0);
}

/// Goal: a node that has filled the disk itself says so, takes the space of a deleted stream, and goes on by itself.
#[test]
fn space_that_the_node_frees_is_used_again() {
    let dir = scratch();
    let Some(mounted) = mounted(Kind::Ext4, DISK_MIB, dir.path()) else { return };
    let home = Home::new(&["--workers", "1"]);
    let node = home.start(&mounted);
    for stream in ["orders", "bulk"] {
        node.run(&["stream", "create", stream]).code(0);
    }
    let mut stored = Vec::new();
    put(&node, &mut stored);
    // Until it refuses; what it acknowledged before that is there.
    let chunk = "x".repeat(100_000) + "\n";
    let refused =
        (0..100).map(|_| node.run_with(&["put", "bulk", "--quiet", "--retry-for", "1s"], chunk.repeat(20).as_bytes()));
    let mut whole = 0;
    let refused = refused.inspect(|put| whole += usize::from(put.status.success())).find(|put| !put.status.success());
    refused.expect("it gets full").code(6).complains(&["DiskFull"]);
    node.process.says(&["state changed", "Full"]);
    let bulk = node.run(&["get", "bulk", "--raw"]).code(0).out.lines().count();
    assert!(whole * 20 <= bulk && bulk < (whole + 1) * 20, "{whole} puts of 20 records, {bulk} records");
    assert_eq!(lines(&node), stored);

    node.run(&["stream", "delete", "bulk", "--yes"]).code(0);
    node.process.says(&["state changed", "Plenty"]);
    put(&node, &mut stored);
    assert_eq!(lines(&node), stored);
    all_is_well(&[node.stop("TERM")]);
}

/// Goal: a disk that is full from one moment to the next, under puts and before the node has looked, costs nothing that was
/// acknowledged, keeps the order, and once there is room again the node goes on by itself.
#[test]
fn a_disk_that_is_full_at_once_costs_nothing() {
    let dir = scratch();
    let Some(mounted) = mounted(Kind::Ext4, DISK_MIB, dir.path()) else { return };
    let filler = Filler::new(mounted.path());
    let home = Home::new(&["--workers", "1"]);
    let node = home.start(&mounted);
    node.run(&["stream", "create", "orders"]).code(0);
    let mut acknowledged = 0;
    for round in 0..3 {
        // Enough for several segments, so that one has to be made while there is no room for it.
        let records: String = (0..2_000).map(|n| format!("{round}-{n} {}\n", "x".repeat(4_000))).collect();
        let args = ["put", "orders", "--key", "k", "--quiet", "--batch", "1", "--retry-for", "2s"];
        let putting = Process::start(node.command(&args), records.as_bytes());
        until(&node, "the load has begun", || lines(&node).iter().any(|line| line.starts_with(&format!("{round}-"))));
        filler.leave_nothing().expect("only space runs out");
        let ended = putting.wait();
        let found = lines(&node);
        filler.give_back().expect("it can be removed");
        println!("round {round}: {:?}, {} records, {}", ended.status.code(), found.len(), ended.err.trim());
        assert!([0, 6, 7].contains(&ended.status.code().expect("it was not killed")), "{ended:?}");
        until(&node, "puts go on", || {
            node.run_with(&["put", "orders", "--key", "k", "--retry-for", "1s"], b"on\n").status.success()
        });
        // The reader never loses what it saw.
        let later = lines(&node);
        assert_eq!(later[..found.len()], found, "round {round}");
        acknowledged = later.len();
    }
    node.kill();
    let node = home.start(&mounted);
    let stored = lines(&node);
    assert_eq!(stored.len(), acknowledged);
    for round in 0..3 {
        let prefix = format!("{round}-");
        let numbers: Vec<usize> =
            stored.iter().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()?.parse().ok()).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len()), "round {round}: {numbers:?}");
    }
    all_is_well(&[node.stop("TERM")]);
    run(["log", "verify", mounted.path().join("data").to_str().expect("UTF-8")]).code(0);
}
