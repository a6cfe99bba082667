//! Listings: their pages, their tokens, the filters of shards.

use std::time::Duration;

use millstream::runtime::Reactor;
use serde_json::{Value, json};

use super::api::{Api, arn, list, text};
use super::both;

/// All pages of a listing, its items' names.
async fn pages(
    api: &mut Api,
    operation: &str,
    first: Value,
    size: (&str, usize),
    items: &str,
    name: &str,
) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut input = first;
    loop {
        input[size.0] = json!(size.1);
        let page = api.ok(operation, input).await;
        let of = |item: &Value| if name.is_empty() { text(item) } else { text(&item[name]) };
        pages.push(list(&page[items]).iter().map(of).collect());
        match page.get("NextToken") {
            Some(token) => input = json!({"NextToken": token}),
            None => return pages,
        }
    }
}

/// Goal: streams are listed by name, page by page, both by token and by the last name.
#[test]
fn streams() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        for name in ["c", "a", "e", "b", "d"] {
            api.create(name, 1).await;
        }
        let found = pages(&mut api, "ListStreams", json!({}), ("Limit", 2), "StreamNames", "").await;
        assert_eq!(found, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        let page = api.ok("ListStreams", json!({"ExclusiveStartStreamName": "b", "Limit": 2})).await;
        assert_eq!(page["StreamNames"], json!(["c", "d"]));
        assert_eq!(page["HasMoreStreams"], true);
        let summary = &page["StreamSummaries"][0];
        assert_eq!((&summary["StreamARN"], &summary["StreamStatus"]), (&json!(arn("c")), &json!("ACTIVE")));
        let last = api.ok("ListStreams", json!({"ExclusiveStartStreamName": "d"})).await;
        assert_eq!((&last["HasMoreStreams"], last.get("NextToken")), (&json!(false), None));
    });
}

/// Goal: shards page by page with their own operation and with DescribeStream; tokens stand alone and expire.
#[test]
fn shards() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 250).await;
        let found =
            pages(&mut api, "ListShards", json!({"StreamName": "s"}), ("MaxResults", 100), "Shards", "ShardId").await;
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(found[1][0], "shardId-000000000100");
        let rest = api.ok("ListShards", json!({"StreamARN": arn("s"), "ExclusiveStartShardId": "shardId-247"})).await;
        assert_eq!(list(&rest["Shards"]).len(), 2);
        let (mut described, mut after) = (Vec::new(), None);
        loop {
            let mut input = json!({"StreamName": "s", "Limit": 10_000});
            if let Some(after) = &after {
                input["ExclusiveStartShardId"] = json!(after);
            }
            let page = api.ok("DescribeStream", input).await;
            let shards = list(&page["StreamDescription"]["Shards"]);
            assert!(shards.len() <= 100);
            described.extend(shards.iter().map(|shard| text(&shard["ShardId"])));
            after = described.last().cloned();
            if page["StreamDescription"]["HasMoreShards"] == false {
                break;
            }
        }
        assert_eq!(described, found.concat());

        let first = api.ok("ListShards", json!({"StreamName": "s", "MaxResults": 1})).await;
        let token = text(&first["NextToken"]);
        let both = json!({"NextToken": token, "StreamName": "s"});
        let (code, message) = api.fails("ListShards", both).await;
        assert_eq!(code, "InvalidArgumentException");
        assert_eq!(message, "NextToken and StreamName cannot be provided together.");
        assert_eq!(api.code("ListShards", json!({})).await, "InvalidArgumentException");
        assert_eq!(api.code("ListShards", json!({"NextToken": "x"})).await, "InvalidArgumentException");
        let of_another = json!({"NextToken": token});
        assert_eq!(api.code("ListStreams", of_another).await, "InvalidArgumentException");
        world.rt().sleep(Duration::from_secs(301)).await;
        let mut api = Api::open(world, encoding).await;
        assert_eq!(api.code("ListShards", json!({"NextToken": token})).await, "ExpiredNextTokenException");
    });
}

/// Goal: each filter gives the shards that AWS means by it, before, between and after a split.
#[test]
fn filters() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        let now = || world.rt().wall().0 as f64 / 1e6;
        api.create("s", 2).await;
        world.rt().sleep(Duration::from_secs(60)).await;
        let before = now();
        world.rt().sleep(Duration::from_secs(60)).await;
        let split = json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"});
        api.ok("SplitShard", split).await;
        let right_after = now();
        world.rt().sleep(Duration::from_secs(60)).await;
        let filtered = async |api: &mut Api, filter: Value| {
            let input = json!({"StreamName": "s", "ShardFilter": filter});
            let shards = api.ok("ListShards", input).await;
            let number = |shard: &Value| text(&shard["ShardId"])[8..].parse::<u32>().unwrap();
            list(&shards["Shards"]).iter().map(number).collect::<Vec<_>>()
        };
        for (filter, expected) in [
            (json!({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-1"}), vec![2, 3]),
            (json!({"Type": "AT_TRIM_HORIZON"}), vec![0, 1]),
            (json!({"Type": "FROM_TRIM_HORIZON"}), vec![0, 1, 2, 3]),
            (json!({"Type": "AT_LATEST"}), vec![1, 2, 3]),
            (json!({"Type": "AT_TIMESTAMP", "Timestamp": 0.0}), vec![0, 1]),
            (json!({"Type": "AT_TIMESTAMP", "Timestamp": before}), vec![0, 1]),
            (json!({"Type": "AT_TIMESTAMP", "Timestamp": right_after}), vec![1, 2, 3]),
            (json!({"Type": "AT_TIMESTAMP", "Timestamp": right_after + 3_600.0}), vec![1, 2, 3]),
            (json!({"Type": "FROM_TIMESTAMP", "Timestamp": before}), vec![0, 1, 2, 3]),
            (json!({"Type": "FROM_TIMESTAMP", "Timestamp": right_after + 1.0}), vec![1, 2, 3]),
        ] {
            assert_eq!(filtered(&mut api, filter.clone()).await, expected, "{filter}");
        }
        // Of a filtered listing the token goes on with the filter.
        let latest = json!({"StreamName": "s", "ShardFilter": {"Type": "AT_LATEST"}});
        let found = pages(&mut api, "ListShards", latest, ("MaxResults", 2), "Shards", "ShardId").await;
        assert_eq!(found, [vec!["shardId-000000000001", "shardId-000000000002"], vec!["shardId-000000000003"]]);
        for filter in [json!({"Type": "AFTER_SHARD_ID"}), json!({"Type": "AT_TIMESTAMP"})] {
            let input = json!({"StreamName": "s", "ShardFilter": filter});
            assert_eq!(api.code("ListShards", input).await, "InvalidArgumentException");
        }
        // The parent goes with the retention.
        world.rt().sleep(Duration::from_secs(25 * 3_600)).await;
        let mut api = Api::open(world, encoding).await;
        for kind in ["AT_TRIM_HORIZON", "FROM_TRIM_HORIZON"] {
            assert_eq!(filtered(&mut api, json!({"Type": kind})).await, [1, 2, 3], "{kind}");
        }
        let described = api.ok("DescribeStream", json!({"StreamName": "s"})).await;
        assert_eq!(list(&described["StreamDescription"]["Shards"]).len(), 3);
    });
}

/// Goal: consumers and tags page by page; a stream can be told by its creation.
#[test]
fn consumers_and_tags() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        for name in ["c", "a", "b"] {
            api.ok("RegisterStreamConsumer", json!({"StreamARN": arn("s"), "ConsumerName": name})).await;
        }
        let first = api.ok("ListStreamConsumers", json!({"StreamARN": arn("s"), "MaxResults": 2})).await;
        assert_eq!(list(&first["Consumers"]).len(), 2);
        let consumer = &first["Consumers"][0];
        assert_eq!((&consumer["ConsumerName"], &consumer["ConsumerStatus"]), (&json!("a"), &json!("ACTIVE")));
        let created = consumer["ConsumerCreationTimestamp"].as_f64().unwrap().floor();
        assert_eq!(text(&consumer["ConsumerARN"]), format!("{}/consumer/a:{created}", arn("s")));
        let rest = json!({"StreamARN": arn("s"), "NextToken": first["NextToken"]});
        let rest = api.ok("ListStreamConsumers", rest).await;
        assert_eq!(rest["Consumers"][0]["ConsumerName"], "c");
        assert!(rest.get("NextToken").is_none());

        let tags: serde_json::Map<_, _> = (0..5).map(|n| (format!("t{n}"), json!("v"))).collect();
        api.ok("AddTagsToStream", json!({"StreamName": "s", "Tags": tags})).await;
        let page = api.ok("ListTagsForStream", json!({"StreamName": "s", "Limit": 3})).await;
        assert_eq!((list(&page["Tags"]).len(), &page["HasMoreTags"]), (3, &json!(true)));
        let rest = json!({"StreamName": "s", "ExclusiveStartTagKey": "t2"});
        let rest = api.ok("ListTagsForStream", rest).await;
        assert_eq!((rest["Tags"][0]["Key"].as_str(), &rest["HasMoreTags"]), (Some("t3"), &json!(false)));

        let described = api.ok("DescribeStream", json!({"StreamName": "s"})).await;
        let created = described["StreamDescription"]["StreamCreationTimestamp"].as_f64().unwrap();
        let same = json!({"StreamName": "s", "StreamCreationTimestamp": created});
        api.ok("ListShards", same).await;
        let other = json!({"StreamName": "s", "StreamCreationTimestamp": created - 10.0});
        assert_eq!(api.code("ListShards", other).await, "ResourceNotFoundException");
    });
}
