//! The life of a stream: made, changed, described, deleted; settings of the account.

use std::time::Duration;

use millstream::runtime::Reactor;
use serde_json::{Value, json};

use super::api::{ACCOUNT, Api, arn, list, text, world};
use super::both;

/// Goal: a stream is there as soon as it is made, on every worker, with what it was made with; and gone when it is deleted.
#[test]
fn life_of_a_stream() {
    both(async |world, encoding| {
        // Connections are spread over the workers.
        let mut apis = Vec::new();
        for _ in 0..6 {
            apis.push(Api::open(world, encoding).await);
        }
        let input = json!({
            "StreamName": "orders", "ShardCount": 3, "Tags": {"team": "a b", "cost": "1"}, "MaxRecordSizeInKiB": 2048,
            "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        });
        let made = apis[0].call("CreateStream", input).await;
        assert_eq!((made.status, made.body), (200, Value::Null));
        for api in &mut apis {
            let described = api.ok("DescribeStream", json!({"StreamName": "orders"})).await;
            let stream = &described["StreamDescription"];
            assert_eq!(stream["StreamARN"], arn("orders"));
            assert_eq!(stream["StreamStatus"], "ACTIVE");
            assert_eq!(stream["StreamModeDetails"], json!({"StreamMode": "PROVISIONED"}));
            assert_eq!(stream["RetentionPeriodHours"], 24);
            assert_eq!(stream["EncryptionType"], "NONE");
            assert_eq!(stream["EnhancedMonitoring"], json!([{"ShardLevelMetrics": []}]));
            assert_eq!(stream["HasMoreShards"], false);
            assert!(stream["StreamCreationTimestamp"].as_f64().unwrap() > 1e9);
            let shards = list(&stream["Shards"]);
            assert_eq!(shards.len(), 3);
            assert_eq!(shards[0]["ShardId"], "shardId-000000000000");
            assert_eq!(shards[0]["HashKeyRange"]["StartingHashKey"], "0");
            assert_eq!(shards[2]["HashKeyRange"]["EndingHashKey"], "340282366920938463463374607431768211455");
            assert!(shards[1].get("ParentShardId").is_none());
            let range = &shards[1]["SequenceNumberRange"];
            assert_eq!(text(&range["StartingSequenceNumber"]).len(), 56);
            assert!(range.get("EndingSequenceNumber").is_none());
            let by_arn = api.ok("DescribeStreamSummary", json!({"StreamARN": arn("orders")})).await;
            let summary = &by_arn["StreamDescriptionSummary"];
            assert_eq!(summary["OpenShardCount"], 3);
            assert_eq!(summary["ConsumerCount"], 0);
            assert_eq!(summary["MaxRecordSizeInKiB"], 2048);
            assert_eq!(summary["RecordDistributionStrategy"], "USER_PARTITION_KEY");
            assert!(summary.get("StreamId").is_none(), "SDKs would talk to AWS");
            assert!(summary.get("WarmThroughput").is_none());
        }
        let tags = apis[1].ok("ListTagsForStream", json!({"StreamName": "orders"})).await;
        assert_eq!(tags["Tags"], json!([{"Key": "cost", "Value": "1"}, {"Key": "team", "Value": "a b"}]));
        let again = apis[2].fails("CreateStream", json!({"StreamName": "orders", "ShardCount": 1})).await;
        let exists = format!("Stream orders under account {ACCOUNT} already exists.");
        assert_eq!(again, ("ResourceInUseException".to_owned(), exists));
        apis[3].ok("DeleteStream", json!({"StreamName": "orders"})).await;
        for api in &mut apis {
            let gone = api.fails("DescribeStream", json!({"StreamName": "orders"})).await;
            let not_found = format!("Stream orders under account {ACCOUNT} not found.");
            assert_eq!(gone, ("ResourceNotFoundException".to_owned(), not_found));
        }
        apis[4].create("orders", 1).await;
    });
}

/// Goal: settings change as asked for, are shown, and are refused where AWS refuses them.
#[test]
fn settings() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let both_names = json!({"StreamName": "s", "StreamARN": arn("s"), "RetentionPeriodHours": 48});
        api.ok("IncreaseStreamRetentionPeriod", both_names).await;
        let (code, message) =
            api.fails("IncreaseStreamRetentionPeriod", json!({"StreamName": "s", "RetentionPeriodHours": 36})).await;
        assert_eq!(code, "InvalidArgumentException");
        assert_eq!(
            message,
            "Requested retention period (36 hours) for stream s can not be shorter than existing retention period (48 hours). \
             Use DecreaseRetentionPeriod API."
        );
        for (operation, hours, word) in [
            ("IncreaseStreamRetentionPeriod", 8_761, "too long"),
            ("DecreaseStreamRetentionPeriod", 23, "too short"),
            ("DecreaseStreamRetentionPeriod", 49, "can not be longer"),
        ] {
            let (code, message) = api.fails(operation, json!({"StreamName": "s", "RetentionPeriodHours": hours})).await;
            assert_eq!(code, "InvalidArgumentException");
            assert!(message.contains(word), "{message}");
        }
        api.ok("DecreaseStreamRetentionPeriod", json!({"StreamName": "s", "RetentionPeriodHours": 24})).await;
        api.ok("UpdateMaxRecordSize", json!({"StreamARN": arn("s"), "MaxRecordSizeInKiB": 10_240})).await;
        let too_small = json!({"StreamARN": arn("s"), "MaxRecordSizeInKiB": 1_023});
        assert_eq!(api.code("UpdateMaxRecordSize", too_small).await, "ValidationException");
        let summary = api.ok("DescribeStreamSummary", json!({"StreamName": "s"})).await;
        assert_eq!(summary["StreamDescriptionSummary"]["MaxRecordSizeInKiB"], 10_240);

        let monitor = json!({"StreamName": "s", "ShardLevelMetrics": ["IncomingBytes", "OutgoingBytes"]});
        let enabled = api.ok("EnableEnhancedMonitoring", monitor).await;
        assert_eq!(enabled["CurrentShardLevelMetrics"], json!([]));
        assert_eq!(enabled["DesiredShardLevelMetrics"], json!(["IncomingBytes", "OutgoingBytes"]));
        let unwanted = json!({"StreamName": "s", "ShardLevelMetrics": ["OutgoingBytes", "IncomingRecords"]});
        let disabled = api.ok("DisableEnhancedMonitoring", unwanted).await;
        assert_eq!(disabled["CurrentShardLevelMetrics"], json!(["IncomingBytes", "OutgoingBytes"]));
        assert_eq!(disabled["DesiredShardLevelMetrics"], json!(["IncomingBytes"]));
        assert_eq!(disabled["StreamARN"], arn("s"));

        let encrypt = json!({"StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"});
        api.ok("StartStreamEncryption", encrypt.clone()).await;
        let described = api.ok("DescribeStream", json!({"StreamName": "s"})).await;
        assert_eq!(described["StreamDescription"]["EncryptionType"], "KMS");
        assert_eq!(described["StreamDescription"]["KeyId"], "alias/aws/kinesis");
        let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": ""});
        assert_eq!(api.ok("PutRecord", put).await["EncryptionType"], "KMS");
        let none = json!({"StreamName": "s", "EncryptionType": "NONE", "KeyId": "k"});
        assert_eq!(api.code("StopStreamEncryption", none).await, "InvalidArgumentException");
        api.ok("StopStreamEncryption", encrypt).await;
        let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": ""});
        assert!(api.ok("PutRecord", put).await.get("EncryptionType").is_none());
    });
}

/// Goal: streams on demand start with four shards, are not resharded by hand, and have what only they have.
#[test]
fn on_demand() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        let on_demand = json!({"StreamMode": "ON_DEMAND"});
        let auto = json!({
            "StreamName": "s", "StreamModeDetails": on_demand, "RecordDistributionStrategy": "AUTO",
        });
        api.ok("CreateStream", auto).await;
        let summary = api.ok("DescribeStreamSummary", json!({"StreamName": "s"})).await;
        let summary = &summary["StreamDescriptionSummary"];
        assert_eq!(summary["StreamModeDetails"], on_demand);
        assert_eq!(summary["OpenShardCount"], 4);
        assert_eq!(summary["RecordDistributionStrategy"], "AUTO");
        assert_eq!(summary["WarmThroughput"], json!({"TargetMiBps": 0, "CurrentMiBps": 0}));
        // A record needs no key where it is not looked at.
        let put = api.ok("PutRecord", json!({"StreamName": "s", "Data": ""})).await;
        let shard = text(&put["ShardId"]);
        let iterator = api.iterator("s", &shard, "TRIM_HORIZON").await;
        let got = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
        assert_eq!((&got["Records"][0]["Data"], got["Records"][0].get("PartitionKey")), (&json!(""), None));
        let scale = json!({"StreamName": "s", "TargetShardCount": 8, "ScalingType": "UNIFORM_SCALING"});
        let (code, message) = api.fails("UpdateShardCount", scale).await;
        assert_eq!(code, "ValidationException");
        assert_eq!(message, format!("Request is invalid. Stream s under account {ACCOUNT} is in On-Demand mode."));
        let split = json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "100"});
        assert_eq!(api.code("SplitShard", split).await, "ValidationException");
        let warm = json!({"StreamARN": arn("s"), "WarmThroughputMiBps": 5});
        assert_eq!(api.code("UpdateStreamWarmThroughput", warm.clone()).await, "InvalidArgumentException");
        let commit = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
        api.ok("UpdateAccountSettings", commit).await;
        let warmed = api.ok("UpdateStreamWarmThroughput", warm).await;
        assert_eq!(warmed["WarmThroughput"], json!({"TargetMiBps": 5, "CurrentMiBps": 5}));
        assert_eq!(warmed["StreamName"], "s");
        let by_key = json!({"StreamARN": arn("s"), "RecordDistributionStrategy": "USER_PARTITION_KEY"});
        api.ok("UpdateStreamRecordDistributionStrategy", by_key).await;
        let (code, message) = api.fails("PutRecord", json!({"StreamName": "s", "Data": ""})).await;
        assert_eq!(code, "ValidationException");
        assert!(message.contains("Value null at 'partitionKey'"), "{message}");
        let provisioned = json!({"StreamARN": arn("s"), "StreamModeDetails": {"StreamMode": "PROVISIONED"}});
        api.ok("UpdateStreamMode", provisioned).await;
        let auto = json!({"StreamARN": arn("s"), "RecordDistributionStrategy": "AUTO"});
        assert_eq!(api.code("UpdateStreamRecordDistributionStrategy", auto).await, "InvalidArgumentException");
        let warm = json!({"StreamName": "s", "WarmThroughputMiBps": 1});
        assert_eq!(api.code("UpdateStreamWarmThroughput", warm).await, "ValidationException");
        let limits = api.ok("DescribeLimits", json!({})).await;
        assert_eq!((&limits["OnDemandStreamCount"], limits["ShardLimit"].as_u64() > Some(1)), (&json!(0), true));
    });
}

/// Goal: a commitment survives a restart, binds for a day, and ends after that.
#[test]
fn account_settings() {
    both(async |world, encoding| {
        let status = |body: &Value| text(&body["MinimumThroughputBillingCommitment"]["Status"]);
        let enable = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
        let disable = json!({"MinimumThroughputBillingCommitment": {"Status": "DISABLED"}});
        let mut api = Api::open(world, encoding).await;
        assert_eq!(status(&api.ok("DescribeAccountSettings", json!({})).await), "DISABLED");
        let enabled = api.ok("UpdateAccountSettings", enable.clone()).await;
        assert_eq!(status(&enabled), "ENABLED");
        let commitment = &enabled["MinimumThroughputBillingCommitment"];
        let day = commitment["EarliestAllowedEndAt"].as_f64().unwrap() - commitment["StartedAt"].as_f64().unwrap();
        assert_eq!(day.round(), 86_400.0);
        let mut other = Api::open(world, encoding).await;
        assert_eq!(other.ok("DescribeAccountSettings", json!({})).await, enabled);
        assert_eq!(
            status(&other.ok("UpdateAccountSettings", disable.clone()).await),
            "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
        );
        assert_eq!(status(&api.ok("UpdateAccountSettings", enable).await), "ENABLED");
        api.ok("UpdateAccountSettings", disable).await;
        world.rt().sleep(Duration::from_secs(86_400)).await;
        let mut api = Api::open(world, encoding).await;
        let ended = api.ok("DescribeAccountSettings", json!({})).await;
        assert_eq!(status(&ended), "DISABLED");
        assert!(ended["MinimumThroughputBillingCommitment"]["EndedAt"].as_f64().is_some());
    });
}

/// Goal: what is noted about streams and consumers outlives the process: tags, policies, the commitment.
#[test]
fn notes_survive_a_restart() {
    let world = world();
    let encoding = millstream::kinesis::Encoding::Json;
    world.sim.block_on(async {
        let mut api = Api::open(&world, encoding).await;
        api.create("s", 1).await;
        api.ok("AddTagsToStream", json!({"StreamName": "s", "Tags": {"k": "v"}})).await;
        api.ok("PutResourcePolicy", json!({"ResourceARN": arn("s"), "Policy": "{\"a\":1}"})).await;
        let commit = json!({"MinimumThroughputBillingCommitment": {"Status": "ENABLED"}});
        api.ok("UpdateAccountSettings", commit).await;
        world.stop();
        world.stopped().await;
    });
    world.start();
    world.sim.block_on(async {
        let mut api = Api::open(&world, encoding).await;
        let tags = api.ok("ListTagsForResource", json!({"ResourceARN": arn("s")})).await;
        assert_eq!(tags["Tags"], json!([{"Key": "k", "Value": "v"}]));
        let policy = api.ok("GetResourcePolicy", json!({"ResourceARN": arn("s")})).await;
        assert_eq!(policy["Policy"], "{\"a\":1}");
        let settings = api.ok("DescribeAccountSettings", json!({})).await;
        assert_eq!(settings["MinimumThroughputBillingCommitment"]["Status"], "ENABLED");
    });
}

/// Goal: tags and policies of streams and of consumers, in both families of operations.
#[test]
fn tags_and_policies() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let register = json!({"StreamARN": arn("s"), "ConsumerName": "c", "Tags": {"of": "consumer"}});
        let consumer = text(&api.ok("RegisterStreamConsumer", register).await["Consumer"]["ConsumerARN"]);
        api.ok("AddTagsToStream", json!({"StreamName": "s", "Tags": {"a": "1", "b": "2"}})).await;
        api.ok("TagResource", json!({"ResourceARN": arn("s"), "Tags": {"c": "3"}})).await;
        api.ok("RemoveTagsFromStream", json!({"StreamName": "s", "TagKeys": ["a", "unknown"]})).await;
        let tags = api.ok("ListTagsForResource", json!({"ResourceARN": arn("s")})).await;
        assert_eq!(tags["Tags"], json!([{"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]));
        api.ok("TagResource", json!({"ResourceARN": consumer, "Tags": {"x": "y"}})).await;
        api.ok("UntagResource", json!({"ResourceARN": consumer, "TagKeys": ["of"]})).await;
        let tags = api.ok("ListTagsForResource", json!({"ResourceARN": consumer})).await;
        assert_eq!(tags["Tags"], json!([{"Key": "x", "Value": "y"}]));
        let invalid = json!({"StreamName": "s", "Tags": {"a%": "1"}});
        assert_eq!(api.code("AddTagsToStream", invalid).await, "InvalidArgumentException");
        let reserved = json!({"StreamName": "s", "Tags": {"aws:x": "1"}});
        assert_eq!(api.code("AddTagsToStream", reserved).await, "InvalidArgumentException");
        let many: serde_json::Map<_, _> = (0..49).map(|n| (format!("t{n}"), json!(""))).collect();
        let (code, message) = api.fails("AddTagsToStream", json!({"StreamName": "s", "Tags": many})).await;
        assert_eq!(code, "InvalidArgumentException");
        assert!(message.contains("more than 50 tags"), "{message}");

        for resource in [&arn("s"), &consumer] {
            let named = json!({"ResourceARN": resource});
            assert_eq!(api.ok("GetResourcePolicy", named.clone()).await["Policy"], "{}");
            assert_eq!(api.code("DeleteResourcePolicy", named.clone()).await, "ResourceNotFoundException");
            let policy = "{\"Version\": \"2012-10-17\"}";
            api.ok("PutResourcePolicy", json!({"ResourceARN": resource, "Policy": policy})).await;
            assert_eq!(api.ok("GetResourcePolicy", named.clone()).await["Policy"], policy);
            api.ok("DeleteResourcePolicy", named).await;
        }
        let bad = json!({"ResourceARN": arn("s"), "Policy": "not json"});
        assert_eq!(api.code("PutResourcePolicy", bad).await, "InvalidArgumentException");
        let queue = format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:queue/q");
        assert_eq!(api.code("ListTagsForResource", json!({"ResourceARN": queue})).await, "ResourceNotFoundException");
    });
}
