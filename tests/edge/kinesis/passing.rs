//! Statuses that pass, for tests of clients.

use std::time::Duration;

use millstream::kinesis::Encoding;
use millstream::runtime::Reactor;
use serde_json::{Value, json};

use super::api::{Api, arn, list, text, world_with};

/// Goal: with a delay, streams and consumers pass through the statuses of the real service, on every worker alike, and are
/// refused what it refuses meanwhile.
#[test]
fn statuses_pass() {
    let world = world_with(|options| options.kinesis.as_mut().unwrap().status_delay_ms = 1_000);
    world.sim.block_on(async {
        let mut apis = Vec::new();
        for _ in 0..6 {
            apis.push(Api::open(&world, Encoding::Json).await);
        }
        let later = async || world.rt().sleep(Duration::from_millis(1_100)).await;
        let status = async |apis: &mut Vec<Api>| {
            let mut seen = Vec::new();
            for api in apis {
                let described = api.ok("DescribeStream", json!({"StreamName": "s"})).await;
                let stream = &described["StreamDescription"];
                seen.push((text(&stream["StreamStatus"]), list(&stream["Shards"]).len()));
            }
            assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
            seen.swap_remove(0)
        };
        let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": ""});
        let split = json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"});
        apis[0].create("s", 1).await;
        assert_eq!(status(&mut apis).await, ("CREATING".to_owned(), 0));
        assert_eq!(apis[1].code("PutRecord", put.clone()).await, "ResourceNotFoundException");
        assert_eq!(apis[1].code("ListShards", json!({"StreamName": "s"})).await, "ResourceInUseException");
        assert_eq!(apis[1].code("SplitShard", split.clone()).await, "ResourceInUseException");
        assert_eq!(
            apis[1].code("CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await,
            "ResourceInUseException"
        );
        later().await;
        assert_eq!(status(&mut apis).await, ("ACTIVE".to_owned(), 1));
        apis[1].ok("PutRecord", put.clone()).await;

        apis[2].ok("SplitShard", split).await;
        assert_eq!(status(&mut apis).await, ("UPDATING".to_owned(), 3));
        apis[0].ok("PutRecord", put.clone()).await;
        let again = json!({"StreamName": "s", "ShardToSplit": "2", "NewStartingHashKey": "10000"});
        assert_eq!(apis[2].code("SplitShard", again).await, "ResourceInUseException");
        later().await;
        assert_eq!(status(&mut apis).await.0, "ACTIVE");
        apis[3].ok("AddTagsToStream", json!({"StreamName": "s", "Tags": {"a": "b"}})).await;
        assert_eq!(status(&mut apis).await.0, "ACTIVE");
        apis[3].ok("IncreaseStreamRetentionPeriod", json!({"StreamName": "s", "RetentionPeriodHours": 48})).await;
        assert_eq!(status(&mut apis).await.0, "UPDATING");
        later().await;

        let register = json!({"StreamARN": arn("s"), "ConsumerName": "c"});
        let consumer = apis[0].ok("RegisterStreamConsumer", register.clone()).await;
        assert_eq!(consumer["Consumer"]["ConsumerStatus"], "CREATING");
        let named = json!({"ConsumerARN": consumer["Consumer"]["ConsumerARN"]});
        let shown = async |apis: &mut Vec<Api>| {
            let mut seen = Vec::new();
            for api in apis {
                let described = api.call("DescribeStreamConsumer", named.clone()).await;
                seen.push(described.body["ConsumerDescription"]["ConsumerStatus"].clone());
            }
            assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
            seen.swap_remove(0)
        };
        assert_eq!(shown(&mut apis).await, "CREATING");
        later().await;
        assert_eq!(shown(&mut apis).await, "ACTIVE");
        apis[1].ok("DeregisterStreamConsumer", named.clone()).await;
        assert_eq!(shown(&mut apis).await, "DELETING");
        let listed = apis[4].ok("ListStreamConsumers", json!({"StreamARN": arn("s")})).await;
        assert_eq!(listed["Consumers"][0]["ConsumerStatus"], "DELETING");
        assert_eq!(apis[2].code("RegisterStreamConsumer", register.clone()).await, "ResourceInUseException");
        later().await;
        assert_eq!(shown(&mut apis).await, Value::Null);
        apis[2].ok("RegisterStreamConsumer", register).await;

        apis[5].ok("DeleteStream", json!({"StreamName": "s", "EnforceConsumerDeletion": true})).await;
        assert_eq!(status(&mut apis).await.0, "DELETING");
        let create = json!({"StreamName": "s", "ShardCount": 1});
        for api in &mut apis {
            assert_eq!(api.code("CreateStream", create.clone()).await, "ResourceInUseException");
            assert_eq!(api.code("PutRecord", put.clone()).await, "ResourceNotFoundException");
            let listed = api.ok("ListStreams", json!({})).await;
            assert_eq!(listed["StreamSummaries"][0]["StreamStatus"], "DELETING");
        }
        later().await;
        assert_eq!(apis[0].ok("ListStreams", json!({})).await["StreamNames"], json!([]));
        assert_eq!(apis[1].code("DescribeStream", json!({"StreamName": "s"})).await, "ResourceNotFoundException");
        apis[2].create("s", 1).await;
    });
}
