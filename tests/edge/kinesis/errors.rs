//! What is refused, and how.

use serde_json::{Value, json};

use super::api::{ACCOUNT, Api, arn, text};
use super::both;

/// Operation, an input that names no stream there is, a member that is then set to what breaks the model.
pub fn table() -> Vec<(&'static str, Value, Value)> {
    let kms = |stream: &str| json!({"StreamName": stream, "EncryptionType": "KMS", "KeyId": "k"});
    let metrics = |stream: &str| json!({"StreamName": stream, "ShardLevelMetrics": ["ALL"]});
    let by_arn = |more: Value| {
        let mut input = json!({"StreamARN": arn("none")});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let resource = || json!({"ResourceARN": arn("none")});
    let consumer = format!("{}/consumer/c:1", arn("none"));
    let mode = json!({"StreamMode": "ON_DEMAND"});
    vec![
        ("AddTagsToStream", json!({"StreamName": "none", "Tags": {"a": "b"}}), json!({"Tags": {}})),
        ("CreateStream", Value::Null, json!({"StreamName": "a b"})),
        (
            "DecreaseStreamRetentionPeriod",
            json!({"StreamName": "none", "RetentionPeriodHours": 24}),
            json!({"StreamName": ""}),
        ),
        ("DeleteResourcePolicy", resource(), json!({"ResourceARN": "x"})),
        ("DeleteStream", json!({"StreamName": "none"}), json!({"StreamName": "*"})),
        ("DeregisterStreamConsumer", json!({"ConsumerARN": consumer}), json!({"ConsumerARN": "x"})),
        ("DescribeStream", json!({"StreamName": "none"}), json!({"Limit": 0})),
        ("DescribeStreamConsumer", by_arn(json!({"ConsumerName": "c"})), json!({"ConsumerName": "*"})),
        ("DescribeStreamSummary", json!({"StreamName": "none"}), json!({"StreamARN": "x"})),
        ("DisableEnhancedMonitoring", metrics("none"), json!({"ShardLevelMetrics": ["x"]})),
        ("EnableEnhancedMonitoring", metrics("none"), json!({"ShardLevelMetrics": []})),
        ("GetRecords", Value::Null, json!({"ShardIterator": "x", "Limit": 10_001})),
        ("GetResourcePolicy", resource(), json!({"ResourceARN": ""})),
        (
            "GetShardIterator",
            json!({"StreamName": "none", "ShardId": "0", "ShardIteratorType": "LATEST"}),
            json!({"ShardIteratorType": "x"}),
        ),
        (
            "IncreaseStreamRetentionPeriod",
            json!({"StreamName": "none", "RetentionPeriodHours": 48}),
            json!({"StreamName": "*"}),
        ),
        ("ListShards", json!({"StreamName": "none"}), json!({"MaxResults": 0})),
        ("ListStreamConsumers", by_arn(json!({})), json!({"MaxResults": 10_001})),
        ("ListStreams", Value::Null, json!({"Limit": 0})),
        ("ListTagsForResource", resource(), json!({"ResourceARN": "x"})),
        ("ListTagsForStream", json!({"StreamName": "none"}), json!({"Limit": 51})),
        (
            "MergeShards",
            json!({"StreamName": "none", "ShardToMerge": "0", "AdjacentShardToMerge": "1"}),
            json!({"ShardToMerge": ""}),
        ),
        ("PutRecord", json!({"StreamName": "none", "PartitionKey": "k", "Data": ""}), json!({"PartitionKey": ""})),
        (
            "PutRecords",
            json!({"StreamName": "none", "Records": [{"PartitionKey": "k", "Data": ""}]}),
            json!({"Records": []}),
        ),
        ("PutResourcePolicy", json!({"ResourceARN": arn("none"), "Policy": "{}"}), json!({"ResourceARN": "x"})),
        ("RegisterStreamConsumer", by_arn(json!({"ConsumerName": "c"})), json!({"ConsumerName": "a b"})),
        ("RemoveTagsFromStream", json!({"StreamName": "none", "TagKeys": ["a"]}), json!({"TagKeys": []})),
        (
            "SplitShard",
            json!({"StreamName": "none", "ShardToSplit": "0", "NewStartingHashKey": "1"}),
            json!({"NewStartingHashKey": "01"}),
        ),
        ("StartStreamEncryption", kms("none"), json!({"EncryptionType": "x"})),
        ("StopStreamEncryption", kms("none"), json!({"KeyId": ""})),
        (
            "SubscribeToShard",
            json!({"ConsumerARN": consumer, "ShardId": "0", "StartingPosition": {"Type": "LATEST"}}),
            json!({"StartingPosition": {"Type": "x"}}),
        ),
        ("TagResource", json!({"ResourceARN": arn("none"), "Tags": {"a": "b"}}), json!({"Tags": {}})),
        ("UntagResource", json!({"ResourceARN": arn("none"), "TagKeys": ["a"]}), json!({"TagKeys": []})),
        ("UpdateAccountSettings", Value::Null, json!({"MinimumThroughputBillingCommitment": {"Status": "x"}})),
        ("UpdateMaxRecordSize", by_arn(json!({"MaxRecordSizeInKiB": 2048})), json!({"MaxRecordSizeInKiB": 1})),
        (
            "UpdateShardCount",
            json!({"StreamName": "none", "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"}),
            json!({"TargetShardCount": 0}),
        ),
        ("UpdateStreamMode", by_arn(json!({"StreamModeDetails": mode})), json!({"StreamARN": "x"})),
        (
            "UpdateStreamRecordDistributionStrategy",
            by_arn(json!({"RecordDistributionStrategy": "AUTO"})),
            json!({"RecordDistributionStrategy": "x"}),
        ),
        ("UpdateStreamWarmThroughput", by_arn(json!({"WarmThroughputMiBps": 1})), json!({"WarmThroughputMiBps": -1})),
    ]
}

/// Goal: every operation on a stream says that there is none, and refuses what breaks the model, in both encodings.
#[test]
fn every_operation_refuses() {
    let table = table();
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        for (operation, missing, broken) in &table {
            if !missing.is_null() {
                let (code, message) = api.fails(operation, missing.clone()).await;
                assert_eq!(code, "ResourceNotFoundException", "{operation}: {message}");
                assert!(message.contains("none"), "{operation}: {message}");
            }
            let mut input = if missing.is_null() { json!({}) } else { missing.clone() };
            input.as_object_mut().unwrap().extend(broken.as_object().unwrap().clone());
            let (code, message) = api.fails(operation, input).await;
            assert_eq!(code, "ValidationException", "{operation}: {message}");
            assert!(message.contains("validation error"), "{operation}: {message}");
        }
        // Those that need nothing cannot be called wrongly.
        api.ok("DescribeLimits", json!({})).await;
        api.ok("DescribeAccountSettings", json!({})).await;
        for unknown in ["CreateQueue", "ListChannels", "Nothing"] {
            assert_eq!(api.code(unknown, json!({})).await, "UnknownOperationException");
        }
    });
}

/// Goal: names and ARNs must agree, be ours, and be there; types are looked at before constraints, constraints before streams.
#[test]
fn names_and_types() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let other = json!({"StreamName": "t", "StreamARN": arn("s")});
        assert_eq!(api.code("DescribeStream", other).await, "InvalidArgumentException");
        assert_eq!(api.code("DescribeStream", json!({})).await, "InvalidArgumentException");
        let elsewhere = "arn:aws-cn:kinesis:cn-north-1:000000000000:stream/s";
        let described = api.ok("DescribeStream", json!({"StreamARN": elsewhere})).await;
        assert_eq!(described["StreamDescription"]["StreamARN"], arn("s"));
        let foreign = json!({"StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/s"});
        assert_eq!(
            api.fails("DescribeStream", foreign).await,
            ("ResourceNotFoundException".to_owned(), "Stream s under account 123456789012 not found.".to_owned())
        );
        let (code, _) = api.fails("DescribeStream", json!({"StreamName": 7})).await;
        assert_eq!(code, "SerializationException");
        let consumer = format!("{}/consumer/c:1", arn("s"));
        let input = json!({"ConsumerARN": consumer});
        assert_eq!(api.code("DescribeStreamConsumer", input).await, "ResourceNotFoundException");
        assert_eq!(api.code("DescribeStreamConsumer", json!({"ConsumerName": "c"})).await, "InvalidArgumentException");
        let no_count = json!({"StreamName": "t", "StreamModeDetails": {"StreamMode": "PROVISIONED"}});
        assert_eq!(api.code("CreateStream", no_count).await, "InvalidArgumentException");
        let auto = json!({"StreamName": "t", "ShardCount": 1, "RecordDistributionStrategy": "AUTO"});
        assert_eq!(api.code("CreateStream", auto).await, "InvalidArgumentException");
        let many = json!({"StreamName": "t", "ShardCount": 1_000_000});
        assert_eq!(api.code("CreateStream", many).await, "LimitExceededException");
        api.ok("RegisterStreamConsumer", json!({"StreamARN": arn("s"), "ConsumerName": "c"})).await;
        let again = json!({"StreamARN": arn("s"), "ConsumerName": "c"});
        assert_eq!(api.code("RegisterStreamConsumer", again).await, "ResourceInUseException");
        assert_eq!(api.code("DeleteStream", json!({"StreamName": "s"})).await, "ResourceInUseException");
        api.ok("DeleteStream", json!({"StreamName": "s", "EnforceConsumerDeletion": true})).await;
    });
}

/// Goal: what is wrong with the start of a reader is said in the words of AWS.
#[test]
fn wrong_starts() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 2).await;
        let (_, number) = api.put("s", "k", "x").await;
        let (mine, other) = if api.read_all("s", "0", 1).await.is_empty() { ("1", "0") } else { ("0", "1") };
        let id = |shard: &str| format!("shardId-00000000000{shard}");
        let start = |shard: &str, kind: &str, more: Value| {
            let mut input = json!({"StreamName": "s", "ShardId": shard, "ShardIteratorType": kind});
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        let with = |number: &str| json!({"StartingSequenceNumber": number});
        let must = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
                    TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified";
        let used =
            format!("used in GetShardIterator on shard {} in stream s under account {ACCOUNT} is invalid", id(mine));
        let encodes = |encoded: &str, shard: &str| {
            format!(
                "Invalid StartingSequenceNumber. It encodes {encoded}, while it was used in a call to a shard with {}",
                id(shard)
            )
        };
        let beyond = "9".repeat(56);
        let table = [
            (start(mine, "LATEST", with(&number)), format!("{must} LATEST and also a StartingSequenceNumber.")),
            (start(mine, "AT_SEQUENCE_NUMBER", json!({})), format!("{must} AT_SEQUENCE_NUMBER and no StartingSequenceNumber.")),
            (start(other, "AT_SEQUENCE_NUMBER", with(&number)), encodes(&id(mine), other)),
            (start(mine, "AT_SEQUENCE_NUMBER", with("5")), encodes("shardId-000000000005", mine)),
            (start(mine, "AFTER_SEQUENCE_NUMBER", with(&beyond)), format!("StartingSequenceNumber {beyond} {used}.")),
            (
                start(mine, "AT_TIMESTAMP", json!({})),
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp \
                 parameter."
                    .to_owned(),
            ),
        ];
        for (input, expected) in table {
            let (code, message) = api.fails("GetShardIterator", input).await;
            assert_eq!((code.as_str(), message), ("InvalidArgumentException", expected));
        }
        let future = start(mine, "AT_TIMESTAMP", json!({"Timestamp": 99_999_999_999.0}));
        let (code, message) = api.fails("GetShardIterator", future).await;
        assert_eq!(code, "InvalidArgumentException");
        assert!(message.starts_with("The timestampInMillis parameter cannot be greater than"), "{message}");
        // Of a stream made anew under the name.
        api.ok("DeleteStream", json!({"StreamName": "s"})).await;
        world_later(world).await;
        api.create("s", 2).await;
        let (code, message) = api.fails("GetShardIterator", start(mine, "AT_SEQUENCE_NUMBER", with(&number))).await;
        assert_eq!(code, "InvalidArgumentException");
        assert_eq!(
            message,
            format!("StartingSequenceNumber {number} {used} because it did not come from this stream.")
        );
        let missing = json!({"StreamName": "s", "ShardId": "9", "ShardIteratorType": "LATEST"});
        let (_, message) = api.fails("GetShardIterator", missing).await;
        assert_eq!(message, format!("Shard {} in stream s under account {ACCOUNT} does not exist", id("9")));
        let nameless = json!({"StreamName": "s", "ShardId": "shard-x", "ShardIteratorType": "LATEST"});
        let (_, message) = api.fails("GetShardIterator", nameless).await;
        assert_eq!(message, format!("Could not find shard shard-x in stream s under account {ACCOUNT}."));
    });
}

async fn world_later(world: &crate::world::World) {
    use millstream::runtime::Reactor;
    world.rt().sleep(std::time::Duration::from_secs(2)).await;
}

/// Goal: what is wrong with records is found on the general way as on the fast one, and named exactly.
#[test]
fn wrong_records() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let hash = "340282366920938463463374607431768211456";
        let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": "", "ExplicitHashKey": hash});
        let (code, message) = api.fails("PutRecord", put).await;
        assert_eq!(code, "InvalidArgumentException");
        assert_eq!(
            message,
            format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {hash}"
            )
        );
        let records = json!([{"PartitionKey": "k", "Data": ""}, {"Data": ""}]);
        let (code, message) = api.fails("PutRecords", json!({"StreamName": "s", "Records": records})).await;
        assert_eq!(code, "ValidationException");
        assert_eq!(
            message,
            "1 validation error detected: Value null at 'records.2.member.partitionKey' failed to satisfy constraint: Member \
             must not be null"
        );
        let ordering = json!({
            "StreamName": "s", "PartitionKey": "k", "Data": "", "SequenceNumberForOrdering": "9".repeat(56),
        });
        let (code, message) = api.fails("PutRecord", ordering).await;
        assert_eq!(code, "InvalidArgumentException");
        assert!(message.starts_with("ExclusiveMinimumSequenceNumber 999"), "{message}");
        // Escapes, unknown members and duplicates go the general way, and get there.
        let escaped = json!({"StreamName": "s", "PartitionKey": "a\"b\n\u{1}", "Data": "YQ==", "Unknown": [1, {}]});
        let put = api.ok("PutRecord", escaped).await;
        let iterator = api.iterator("s", &text(&put["ShardId"]), "TRIM_HORIZON").await;
        let got = api.ok("GetRecords", json!({"ShardIterator": iterator})).await;
        assert_eq!(got["Records"][0]["PartitionKey"], "a\"b\n\u{1}");
        assert_eq!(got["Records"][0]["Data"], "YQ==");
    });
}
