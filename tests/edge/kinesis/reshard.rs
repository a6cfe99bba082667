//! Splits, merges and scalings, and reading across them.

use std::collections::{BTreeMap, BTreeSet};

use millstream::protocol::messages::{MoveShard, ShardState};
use millstream::types::WorkerId;
use serde_json::{Value, json};

use super::api::{ACCOUNT, Api, arn, data, list, text};
use super::both;

async fn shards(api: &mut Api, stream: &str) -> Vec<Value> {
    list(&api.ok("ListShards", json!({"StreamName": stream})).await["Shards"]).to_vec()
}

/// Reads a stream as a consumer does: shards without parents first, then the children that their ends name. Gives the data in
/// the order in which each shard's was met.
async fn read_lineage(api: &mut Api, stream: &str) -> Vec<String> {
    let roots = shards(api, stream).await.into_iter().filter(|shard| shard.get("ParentShardId").is_none());
    let mut waiting: Vec<String> = roots.map(|shard| text(&shard["ShardId"])).collect();
    let (mut done, mut all) = (BTreeSet::new(), Vec::new());
    let mut children: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(shard) = waiting.pop() {
        let mut iterator = api.iterator(stream, &shard, "TRIM_HORIZON").await;
        loop {
            let got = api.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 7})).await;
            all.extend(data(&got));
            assert_ne!(got.get("NextShardIterator").is_some(), got.get("ChildShards").is_some());
            if let Some(next) = got.get("NextShardIterator") {
                iterator = text(next);
                if got["MillisBehindLatest"] == 0 && list(&got["Records"]).is_empty() {
                    break;
                }
                continue;
            }
            done.insert(shard.clone());
            for child in list(&got["ChildShards"]) {
                let parents: Vec<_> = list(&child["ParentShards"]).iter().map(text).collect();
                assert!(parents.contains(&shard));
                assert!(child["HashKeyRange"]["StartingHashKey"].is_string());
                children.insert(text(&child["ShardId"]), parents);
            }
            break;
        }
        let ready: Vec<_> =
            children.iter().filter(|(_, parents)| parents.iter().all(|parent| done.contains(parent))).collect();
        let ready: Vec<String> = ready.into_iter().map(|(child, _)| child.clone()).collect();
        for child in ready {
            children.remove(&child);
            waiting.push(child);
        }
    }
    assert!(children.is_empty());
    all
}

/// Goal: a split and a merge: lineage, ranges, ends; no record is lost, doubled or out of its key's order across them.
#[test]
fn split_and_merge() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 2).await;
        let put = async |api: &mut Api, round: usize| {
            for n in 0..20 {
                api.put("s", &format!("key {}", n % 7), &format!("{round}.{n:02}")).await;
            }
        };
        put(&mut api, 1).await;
        let key = "42535295865117307932921825928971026432";
        api.ok("SplitShard", json!({"StreamName": "s", "ShardToSplit": "shardId-0", "NewStartingHashKey": key})).await;
        let all = shards(&mut api, "s").await;
        assert_eq!(all.len(), 4);
        assert_eq!(all[2]["ParentShardId"], "shardId-000000000000");
        assert_eq!(all[2]["HashKeyRange"]["StartingHashKey"], "0");
        assert_eq!(all[3]["HashKeyRange"]["StartingHashKey"], key);
        let end = text(&all[0]["SequenceNumberRange"]["EndingSequenceNumber"]);
        let begin = text(&all[2]["SequenceNumberRange"]["StartingSequenceNumber"]);
        assert!(end < begin, "children sort after parents");
        put(&mut api, 2).await;
        let merge = json!({
            "StreamARN": arn("s"), "ShardToMerge": "shardId-000000000003", "AdjacentShardToMerge": "shardId-000000000001",
        });
        api.ok("MergeShards", merge).await;
        let all = shards(&mut api, "s").await;
        assert_eq!(all[4]["ParentShardId"], "shardId-000000000003");
        assert_eq!(all[4]["AdjacentParentShardId"], "shardId-000000000001");
        put(&mut api, 3).await;

        let read = read_lineage(&mut api, "s").await;
        let mut sorted = read.clone();
        sorted.sort();
        let expected: Vec<_> = (1..=3).flat_map(|round| (0..20).map(move |n| format!("{round}.{n:02}"))).collect();
        assert_eq!(sorted, expected);
        for key in 0..7 {
            let of_key: Vec<_> = read.iter().filter(|data| data[2..].parse::<usize>().unwrap() % 7 == key).collect();
            assert!(of_key.is_sorted(), "{of_key:?}");
        }

        // A closed shard: its end can be read up to, and read after.
        let latest = api.iterator("s", "shardId-0", "LATEST").await;
        let got = api.ok("GetRecords", json!({"ShardIterator": latest})).await;
        assert_eq!((list(&got["Records"]).len(), list(&got["ChildShards"]).len()), (0, 2));
        for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
            let at_end = json!({
                "StreamName": "s", "ShardId": "0", "ShardIteratorType": kind, "StartingSequenceNumber": end,
            });
            let iterator = text(&api.ok("GetShardIterator", at_end).await["ShardIterator"]);
            let got = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
            assert!(list(&got["Records"]).is_empty() && got.get("NextShardIterator").is_none(), "{kind}");
        }
    });
}

/// Goal: records that are put while shards split, merge and move are stored once each, and keep the order of their keys; who
/// reads follows them.
#[test]
fn puts_go_on_meanwhile() {
    both(async |world, encoding| {
        let mut admin = Api::open(world, encoding).await;
        admin.create("s", 2).await;
        let done = std::cell::Cell::new(false);
        let putting = async |writer: usize| {
            let mut api = Api::open(world, encoding).await;
            let mut round = 0;
            while !done.get() || round < 5 {
                let record = |n: usize| {
                    let data = super::api::base64(format!("{writer}.{n}.{round:04}"));
                    json!({"PartitionKey": format!("{writer}.{n}"), "Data": data})
                };
                let records: Vec<_> = (0..25).map(record).collect();
                let put = api.ok("PutRecords", json!({"StreamName": "s", "Records": records})).await;
                assert_eq!(put["FailedRecordCount"], 0, "{put}");
                round += 1;
            }
            round
        };
        let changing = async {
            let mut native = world.worker(0).await;
            for target in [4, 2, 3] {
                let scale = json!({"StreamName": "s", "TargetShardCount": target, "ScalingType": "UNIFORM_SCALING"});
                admin.ok("UpdateShardCount", scale).await;
                for (number, to) in [(0, 2), (1, 0), (0, 1)] {
                    let mut open =
                        native.describe("s").await.into_iter().filter(|shard| shard.state == ShardState::Open);
                    let shard = open.nth(number).expect("there are two at least");
                    if shard.worker != WorkerId(to) {
                        let change = MoveShard { stream: "s", shard: shard.number, to: WorkerId(to) };
                        native.call(&change, &[]).await.answer::<MoveShard<'_>>().unwrap().unwrap();
                    }
                }
            }
            done.set(true);
        };
        let writers = futures_lite::future::zip(putting(0), putting(1));
        let ((first, second), ()) = futures_lite::future::zip(writers, changing).await;
        let read = read_lineage(&mut Api::open(world, encoding).await, "s").await;
        assert_eq!(read.len(), 25 * (first + second));
        for writer in 0..2 {
            for n in 0..25 {
                let prefix = format!("{writer}.{n}.");
                let of_key: Vec<_> = read.iter().filter(|data| data.starts_with(&prefix)).collect();
                assert_eq!(of_key.len(), if writer == 0 { first } else { second });
                assert!(of_key.is_sorted(), "{of_key:?}");
            }
        }
    });
}

/// Goal: scaling names what it does, and what cannot be split or merged is refused in the words of AWS.
#[test]
fn scaling_and_refusals() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 2).await;
        let scale = json!({"StreamName": "s", "TargetShardCount": 4, "ScalingType": "UNIFORM_SCALING"});
        let scaled = api.ok("UpdateShardCount", scale).await;
        let expected = json!({"StreamName": "s", "CurrentShardCount": 2, "TargetShardCount": 4, "StreamARN": arn("s")});
        assert_eq!(scaled, expected);
        let summary = api.ok("DescribeStreamSummary", json!({"StreamName": "s"})).await;
        assert_eq!(summary["StreamDescriptionSummary"]["OpenShardCount"], 4);
        assert_eq!(summary["StreamDescriptionSummary"]["StreamStatus"], "ACTIVE");
        let split =
            |shard: &str, key: &str| json!({"StreamName": "s", "ShardToSplit": shard, "NewStartingHashKey": key});
        let all = format!("in stream s under account {ACCOUNT}");
        assert_eq!(
            api.fails("SplitShard", split("shardId-0", "7")).await,
            (
                "InvalidArgumentException".to_owned(),
                format!(
                    "Shard shardId-000000000000 {all} has already been merged or split, and thus is not eligible for merging \
                     or splitting."
                )
            )
        );
        assert_eq!(
            api.fails("SplitShard", split("5000", "7")).await,
            ("ResourceNotFoundException".to_owned(), format!("Could not find shard shardId-000000005000 {all}."))
        );
        let open = list(
            &api.ok("ListShards", json!({"StreamName": "s", "ShardFilter": {"Type": "AT_LATEST"}})).await["Shards"],
        )
        .to_vec();
        let (id, range) = (text(&open[0]["ShardId"]), &open[0]["HashKeyRange"]);
        let (start, end) = (text(&range["StartingHashKey"]), text(&range["EndingHashKey"]));
        for key in [start.as_str(), "1", end.as_str(), "340282366920938463463374607431768211455"] {
            let (code, message) = api.fails("SplitShard", split(&id, key)).await;
            assert_eq!(code, "InvalidArgumentException", "{key}");
            assert!(
                message.starts_with(&format!("NewStartingHashKey {key} used in SplitShard() on shard {id}")),
                "{message}"
            );
        }
        let beyond = "999999999999999999999999999999999999999";
        assert_eq!(api.code("SplitShard", split(&id, beyond)).await, "InvalidArgumentException");
        let merge = json!({"StreamName": "s", "ShardToMerge": id, "AdjacentShardToMerge": text(&open[2]["ShardId"])});
        let (code, message) = api.fails("MergeShards", merge).await;
        assert_eq!(code, "InvalidArgumentException");
        assert!(message.ends_with("are not an adjacent pair of shards eligible for merging"), "{message}");
        let far = json!({"StreamName": "s", "TargetShardCount": 10_001, "ScalingType": "UNIFORM_SCALING"});
        assert_eq!(api.code("UpdateShardCount", far).await, "LimitExceededException");
    });
}
