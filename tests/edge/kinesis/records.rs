//! Putting and getting records.

use std::time::Duration;

use millstream::catalog::{Limits, Settings};
use millstream::runtime::Reactor;
use serde_json::{Value, json};

use super::api::{ACCOUNT, Api, arn, base64, data, list, text, world_with};
use super::both;
use millstream::kinesis::Encoding;

/// Goal: every type of iterator starts where it should, also with the numbers and times of records and of no records.
#[test]
fn iterators() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let mut numbers = Vec::new();
        let mut times = Vec::new();
        for n in 0..5 {
            let (shard, number) = api.put("s", "key", &format!("record {n}")).await;
            assert_eq!(shard, "shardId-000000000000");
            numbers.push(number);
            world.rt().sleep(Duration::from_millis(1_500)).await;
        }
        assert!(numbers.is_sorted());
        let iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
        let got = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
        assert_eq!(data(&got), ["record 0", "record 1", "record 2", "record 3", "record 4"]);
        for (record, number) in list(&got["Records"]).iter().zip(&numbers) {
            assert_eq!(text(&record["SequenceNumber"]), *number);
            assert_eq!(record["PartitionKey"], "key");
            assert!(record.get("EncryptionType").is_none());
            times.push(record["ApproximateArrivalTimestamp"].as_f64().unwrap());
        }
        assert_eq!(got["MillisBehindLatest"], 0);
        assert!(got.get("ChildShards").is_none());
        assert_ne!(text(&got["NextShardIterator"]), iterator);

        let from = async |api: &mut Api, more: Value| {
            let mut input = json!({"StreamName": "s", "ShardId": "shardId-000000000000"});
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let iterator = text(&api.ok("GetShardIterator", input).await["ShardIterator"]);
            // As some clients send it.
            let quoted = format!("\"{iterator}\"");
            data(&api.ok("GetRecords", json!({"ShardIterator": quoted, "StreamARN": arn("s")})).await)
        };
        let at = json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[3]});
        assert_eq!(from(&mut api, at).await, ["record 3", "record 4"]);
        let after = json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[3]});
        assert_eq!(from(&mut api, after).await, ["record 4"]);
        let last = json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": numbers[4]});
        assert_eq!(from(&mut api, last).await, [""; 0]);
        let described = api.ok("DescribeStream", json!({"StreamName": "s"})).await;
        let shard = &described["StreamDescription"]["Shards"][0];
        let start = &shard["SequenceNumberRange"]["StartingSequenceNumber"];
        for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
            let start = json!({"ShardIteratorType": kind, "StartingSequenceNumber": start});
            assert_eq!(from(&mut api, start).await.len(), 5, "{kind}");
        }
        let at = json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": times[2]});
        assert_eq!(from(&mut api, at).await, ["record 2", "record 3", "record 4"]);
        let later = json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": times[2] + 0.001});
        assert_eq!(from(&mut api, later).await, ["record 3", "record 4"]);
        let early = json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 0.0});
        assert_eq!(from(&mut api, early).await.len(), 5);

        let latest = api.iterator("s", "shardId-0", "LATEST").await;
        api.put("s", "key", "the next").await;
        let got = api.ok("GetRecords", json!({"ShardIterator": latest})).await;
        assert_eq!(data(&got), ["the next"]);
    });
}

/// Goal: a limit is exact, whatever lies together in frames; how far behind a reader is, is said.
#[test]
fn limits_of_a_get_are_exact() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        for batch in [7, 1, 12] {
            let records: Vec<_> =
                (0..batch).map(|n| json!({"PartitionKey": "k", "Data": base64(format!("{batch}.{n}"))})).collect();
            let put = api.ok("PutRecords", json!({"StreamName": "s", "Records": records})).await;
            assert_eq!(put["FailedRecordCount"], 0);
            world.rt().sleep(Duration::from_millis(2_000)).await;
        }
        for limit in [1, 3, 8, 20] {
            let mut iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
            let (mut seen, mut behind) = (Vec::new(), u64::MAX);
            while behind > 0 {
                let got = api.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": limit})).await;
                let count = list(&got["Records"]).len();
                assert_eq!(count, limit.min(20 - seen.len()), "limit {limit} after {}", seen.len());
                seen.extend(data(&got));
                behind = got["MillisBehindLatest"].as_u64().unwrap();
                assert_eq!(behind == 0, seen.len() == 20);
                assert!(seen.len() >= 8 || behind > 3_900, "{behind} ms behind after {}", seen.len());
                iterator = text(&got["NextShardIterator"]);
            }
            assert_eq!((seen.len(), seen[7].as_str(), seen[19].as_str()), (20, "1.0", "12.11"));
        }
    });
}

/// Goal: records go to the shard of their key or of their explicit hash key, results come in the order of the request, and
/// every shard has its records in that order.
#[test]
fn records_find_their_shards() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 5).await;
        let records: Vec<_> = (0..500)
            .map(|n| match n % 5 {
                4 => json!({"PartitionKey": "same", "Data": base64(n.to_string()), "ExplicitHashKey": "0"}),
                _ => json!({"PartitionKey": format!("key \u{e9}\\ {n}"), "Data": base64(n.to_string())}),
            })
            .collect();
        let put = api.ok("PutRecords", json!({"StreamARN": arn("s"), "Records": records})).await;
        assert_eq!(put["FailedRecordCount"], 0);
        let results = list(&put["Records"]);
        assert_eq!(results.len(), 500);
        assert!(results.iter().skip(4).step_by(5).all(|result| result["ShardId"] == "shardId-000000000000"));
        let mut all = 0;
        for shard in 0..5 {
            let id = format!("shardId-{shard:012}");
            let expected: Vec<String> =
                (0..500).filter(|n| results[*n]["ShardId"] == id.as_str()).map(|n| n.to_string()).collect();
            assert!(expected.len() > 50);
            assert_eq!(api.read_all("s", &id, 10_000).await, expected);
            all += expected.len();
        }
        assert_eq!(all, 500);
        let described = api.ok("ListShards", json!({"StreamName": "s"})).await;
        let start = &described["Shards"][3]["HashKeyRange"]["StartingHashKey"];
        let explicit = json!({
            "StreamName": "s", "PartitionKey": "x", "Data": "", "ExplicitHashKey": start, "SequenceNumberForOrdering": "0",
        });
        assert_eq!(api.ok("PutRecord", explicit).await["ShardId"], "shardId-000000000003");
    });
}

/// Goal: with the limits of AWS records are refused one by one, in their places, and single ones with an exception; reads too.
#[test]
fn partial_failures() {
    for encoding in Encoding::ALL {
        let world = world_with(|options| {
            options.stream_defaults = Settings { limits: Limits::Aws, ..options.stream_defaults };
        });
        world.sim.block_on(async {
            let mut api = Api::open(&world, encoding).await;
            api.create("s", 2).await;
            let big = base64(vec![b'x'; 100_000]);
            let records: Vec<_> = (0..16)
                .map(|n| {
                    let hash = if n == 7 { "340282366920938463463374607431768211455" } else { "0" };
                    json!({"PartitionKey": "k", "Data": big, "ExplicitHashKey": hash})
                })
                .collect();
            let put = api.ok("PutRecords", json!({"StreamName": "s", "Records": records})).await;
            let results = list(&put["Records"]);
            let failed: Vec<_> = results.iter().filter(|result| result.get("ErrorCode").is_some()).collect();
            assert_eq!(put["FailedRecordCount"], failed.len());
            assert!((4..=6).contains(&failed.len()), "{}", failed.len());
            assert_eq!(results[7]["ShardId"], "shardId-000000000001");
            assert!(results[15].get("SequenceNumber").is_none());
            let rate = format!("Rate exceeded for shard shardId-000000000000 in stream s under account {ACCOUNT}.");
            let refused = json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": rate});
            assert!(failed.iter().all(|failed| **failed == refused), "{failed:?}");
            let single = json!({"StreamName": "s", "PartitionKey": "k", "Data": big, "ExplicitHashKey": "0"});
            let throttled = ("ProvisionedThroughputExceededException".to_owned(), rate.clone());
            assert_eq!(api.fails("PutRecord", single).await, throttled);

            // Five calls a second, of which each takes what it hands out.
            let iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
            let one = json!({"ShardIterator": iterator, "Limit": 1});
            for _ in 0..5 {
                assert_eq!(list(&api.ok("GetRecords", one.clone()).await["Records"]).len(), 1);
            }
            assert_eq!(api.fails("GetRecords", one.clone()).await, throttled);
            world.rt().sleep(Duration::from_millis(250)).await;
            api.ok("GetRecords", one).await;
        });
    }
}

/// Goal: where a stream has it, a get that finds nothing waits for records, and gets them at once.
#[test]
fn an_empty_get_can_wait() {
    for encoding in Encoding::ALL {
        let world = world_with(|options| {
            options.stream_defaults = Settings { get_records_wait_ms: 2_000, ..options.stream_defaults };
        });
        world.sim.block_on(async {
            let (mut reader, mut writer) = (Api::open(&world, encoding).await, Api::open(&world, encoding).await);
            writer.create("s", 1).await;
            let latest = reader.iterator("s", "0", "LATEST").await;
            let began = world.rt().now();
            let waiting = reader.ok("GetRecords", json!({"ShardIterator": latest}));
            let putting = async {
                world.rt().sleep(Duration::from_millis(500)).await;
                writer.put("s", "k", "soon").await
            };
            let (got, _) = futures_lite::future::zip(waiting, putting).await;
            assert_eq!(data(&got), ["soon"]);
            assert!((500_000..700_000).contains(&world.rt().now().since(began)));
            let began = world.rt().now();
            let got = reader.ok("GetRecords", json!({"ShardIterator": text(&got["NextShardIterator"])})).await;
            assert_eq!((data(&got).len(), &got["MillisBehindLatest"]), (0, &json!(0)));
            assert!((2_000_000..2_300_000).contains(&world.rt().now().since(began)));
        });
    }
}

/// Goal: large records and large answers: 10 MiB in one record, and no more than that in one answer.
#[test]
fn large_records() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.ok("CreateStream", json!({"StreamName": "s", "ShardCount": 1, "MaxRecordSizeInKiB": 10_240})).await;
        let put = |bytes: usize| json!({"StreamName": "s", "PartitionKey": "k", "Data": base64(vec![7; bytes])});
        api.ok("PutRecord", put((10 << 20) - 1)).await;
        assert_eq!(api.code("PutRecord", put(10 << 20)).await, "InvalidArgumentException");
        assert_eq!(api.code("PutRecord", put((10 << 20) + 1)).await, "ValidationException");
        for _ in 0..3 {
            api.ok("PutRecord", put(4 << 20)).await;
        }
        let mut iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
        let mut counts = Vec::new();
        while counts.iter().sum::<usize>() < 4 {
            let got = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
            counts.push(list(&got["Records"]).len());
            iterator = text(&got["NextShardIterator"]);
        }
        assert_eq!(counts, [1, 2, 1]);
        let half = json!({"PartitionKey": "k", "Data": base64(vec![7; 5 << 20])});
        let too_much = json!({"StreamName": "s", "Records": [half, half]});
        let (code, message) = api.fails("PutRecords", too_much).await;
        assert_eq!((code.as_str(), message.as_str()), ("InvalidArgumentException", "Records size exceeds 10 MB limit"));
    });
}

/// Goal: a dry run checks everything and does nothing.
#[test]
fn dry_runs() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let dry = "DryRunOperationException";
        let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": "", "DryRun": true});
        assert_eq!(api.code("PutRecord", put).await, dry);
        let puts = json!({"StreamName": "s", "Records": [{"PartitionKey": "k", "Data": ""}], "DryRun": true});
        assert_eq!(api.code("PutRecords", puts).await, dry);
        let position = json!({"StreamName": "s", "ShardId": "0", "ShardIteratorType": "LATEST", "DryRun": true});
        assert_eq!(api.code("GetShardIterator", position).await, dry);
        let iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
        assert_eq!(api.code("GetRecords", json!({"ShardIterator": iterator, "DryRun": true})).await, dry);
        let missing = json!({"StreamName": "t", "PartitionKey": "k", "Data": "", "DryRun": true});
        assert_eq!(api.code("PutRecord", missing).await, "ResourceNotFoundException");
        assert_eq!(api.read_all("s", "0", 10).await, [""; 0]);
    });
}

/// Goal: iterators expire, are refused when they are not ours, and go with their stream, also when there is one of its name.
#[test]
fn iterators_end() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
        let input = json!({"ShardIterator": iterator});
        world.rt().sleep(Duration::from_secs(299)).await;
        let mut api = Api::open(world, encoding).await;
        let next = text(&api.ok("GetRecords", input.clone()).await["NextShardIterator"]);
        world.rt().sleep(Duration::from_secs(2)).await;
        let (code, message) = api.fails("GetRecords", input).await;
        assert_eq!(code, "ExpiredIteratorException");
        assert!(message.starts_with("Iterator expired. The iterator was created at time "), "{message}");
        api.ok("GetRecords", json!({"ShardIterator": next})).await;
        for text in ["x", "AAAAAAAAAAE=", &next[1..]] {
            let (code, message) = api.fails("GetRecords", json!({"ShardIterator": text})).await;
            assert_eq!((code.as_str(), message.as_str()), ("InvalidArgumentException", "Invalid ShardIterator."));
        }
        api.ok("DeleteStream", json!({"StreamName": "s"})).await;
        api.create("s", 1).await;
        assert_eq!(api.code("GetRecords", json!({"ShardIterator": next})).await, "ResourceNotFoundException");
    });
}
