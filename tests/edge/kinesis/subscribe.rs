//! SubscribeToShard.

use std::time::Duration;

use millstream::kinesis::Encoding;
use millstream::protocol::messages::MoveShard;
use millstream::runtime::Reactor;
use millstream::types::{ShardNumber, WorkerId};
use serde_json::{Value, json};

use super::api::{Answer, Api, Event, Events, arn, data, error, list, text};
use super::both;
use crate::world::World;

async fn consumer(api: &mut Api, stream: &str, name: &str) -> String {
    let register = json!({"StreamARN": arn(stream), "ConsumerName": name});
    text(&api.ok("RegisterStreamConsumer", register).await["Consumer"]["ConsumerARN"])
}

async fn subscribe(world: &World, encoding: Encoding, consumer: &str, position: Value) -> Result<Events, Answer> {
    let input = json!({"ConsumerARN": consumer, "ShardId": "shardId-000000000000", "StartingPosition": position});
    Api::open(world, encoding).await.subscribe(input).await
}

fn seconds(world: &World) -> f64 {
    world.rt().now().0 as f64 / 1e6
}

/// The next event that carries records, past idle ones.
async fn records(events: &mut Events) -> Event {
    loop {
        let event = events.next().await.expect("it goes on");
        assert!(!event.is_exception, "{event:?}");
        if !list(&event.body["Records"]).is_empty() {
            return event;
        }
    }
}

/// Goal: records are pushed as they are committed, whatever worker the subscription is on; an idle one hears every five
/// seconds; after five minutes it ends, and its last continuation goes on where it left off.
#[test]
fn pushes_and_lives() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        api.put("s", "k", "first").await;
        let arns = [
            consumer(&mut api, "s", "a").await,
            consumer(&mut api, "s", "b").await,
            consumer(&mut api, "s", "c").await,
        ];
        let mut subscriptions = Vec::new();
        for arn in &arns {
            subscriptions.push(subscribe(world, encoding, arn, json!({"Type": "TRIM_HORIZON"})).await.unwrap());
        }
        for events in &mut subscriptions {
            let event = records(events).await;
            assert_eq!((event.kind.as_str(), data(&event.body)), ("SubscribeToShardEvent", vec!["first".to_owned()]));
            assert_eq!(event.body["MillisBehindLatest"], 0);
            let record = &event.body["Records"][0];
            assert_eq!(event.body["ContinuationSequenceNumber"], record["SequenceNumber"]);
        }
        let began = seconds(world);
        api.put("s", "k", "second").await;
        for events in &mut subscriptions {
            assert_eq!(data(&records(events).await.body), ["second"]);
        }
        assert!(seconds(world) - began < 0.2, "pushed at once");

        let mut events = subscriptions.swap_remove(0);
        let (mut idle, mut last, mut told) = (0, Value::Null, seconds(world));
        while let Some(event) = events.next().await {
            assert!(!event.is_exception, "{event:?}");
            let pause = seconds(world) - told;
            assert!((4.5..5.5).contains(&pause), "{pause} s between events");
            told = seconds(world);
            assert_eq!(list(&event.body["Records"]).len(), 0);
            assert_eq!(event.body["MillisBehindLatest"], 0);
            last = event.body["ContinuationSequenceNumber"].clone();
            idle += 1;
        }
        assert!((55..=60).contains(&idle), "{idle} idle events in five minutes");
        let life = seconds(world) - began;
        assert!((295.0..301.0).contains(&life), "it lived {life} s");
        let mut api = Api::open(world, encoding).await;
        api.put("s", "k", "third").await;
        let after = json!({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": last});
        let mut events = subscribe(world, encoding, &arns[0], after).await.unwrap();
        assert_eq!(data(&records(&mut events).await.body), ["third"]);
    });
}

/// Goal: an empty shard too has a number to go on from.
#[test]
fn continues_from_nothing() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let arn = consumer(&mut api, "s", "a").await;
        let mut events = subscribe(world, encoding, &arn, json!({"Type": "LATEST"})).await.unwrap();
        let idle = events.next().await.unwrap();
        let number = idle.body["ContinuationSequenceNumber"].clone();
        drop(events);
        world.rt().sleep(Duration::from_secs(6)).await;
        api.put("s", "k", "x").await;
        for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
            let position = json!({"Type": kind, "SequenceNumber": number});
            let mut events = subscribe(world, encoding, &arn, position).await.unwrap();
            assert_eq!(data(&records(&mut events).await.body), ["x"], "{kind}");
            drop(events);
            world.rt().sleep(Duration::from_secs(6)).await;
        }
    });
}

/// Goal: within five seconds a second subscription is refused; later it takes over, and the first one is told.
#[test]
fn takes_over() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let consumer_arn = consumer(&mut api, "s", "a").await;
        let latest = json!({"Type": "LATEST"});
        let mut first = subscribe(world, encoding, &consumer_arn, latest.clone()).await.unwrap();
        let refused = subscribe(world, encoding, &consumer_arn, latest.clone()).await.err().unwrap();
        assert_eq!(refused.status, 400);
        let (code, message) = error(&refused);
        assert_eq!(code, "ResourceInUseException");
        assert!(
            message.starts_with("Another active subscription exists for this consumer: 000000000000:s:"),
            "{message}"
        );
        world.rt().sleep(Duration::from_secs(6)).await;
        let mut second = subscribe(world, encoding, &consumer_arn, latest).await.unwrap();
        let last = loop {
            let event = first.next().await.expect("it is told");
            if event.is_exception {
                break event;
            }
        };
        assert_eq!(last.kind, "ResourceInUseException");
        assert!(text(&last.body["message"]).starts_with("Another active subscription"), "{last:?}");
        assert!(first.next().await.is_none());
        api.put("s", "k", "x").await;
        assert_eq!(data(&records(&mut second).await.body), ["x"]);
        // With its consumer a subscription goes.
        api.ok("DeregisterStreamConsumer", json!({"ConsumerARN": consumer_arn})).await;
        let last = loop {
            let event = second.next().await.expect("it is told");
            if event.is_exception {
                break event;
            }
        };
        assert_eq!(last.kind, "ResourceNotFoundException");
        let gone = subscribe(world, encoding, &consumer_arn, json!({"Type": "LATEST"})).await.err().unwrap();
        assert_eq!(error(&gone).0, "ResourceNotFoundException");
        assert!(arn("s").contains(":stream/s"));
    });
}

/// Goal: at the end of a shard the last event names the children, has no continuation, and the stream ends in good order.
#[test]
fn shard_ends() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let arn = consumer(&mut api, "s", "a").await;
        let mut events = subscribe(world, encoding, &arn, json!({"Type": "LATEST"})).await.unwrap();
        api.put("s", "k", "last").await;
        assert_eq!(data(&records(&mut events).await.body), ["last"]);
        api.ok("SplitShard", json!({"StreamName": "s", "ShardToSplit": "0", "NewStartingHashKey": "1000"})).await;
        let end = loop {
            let event = events.next().await.unwrap();
            assert_ne!(event.body.get("ChildShards").is_some(), event.body.get("ContinuationSequenceNumber").is_some());
            if event.body.get("ChildShards").is_some() {
                break event;
            }
        };
        let children = list(&end.body["ChildShards"]);
        assert_eq!(children.len(), 2);
        assert_eq!(children[1]["ShardId"], "shardId-000000000002");
        assert_eq!(children[1]["ParentShards"], json!(["shardId-000000000000"]));
        assert_eq!(children[1]["HashKeyRange"]["StartingHashKey"], "1000");
        assert!(events.next().await.is_none());
    });
}

/// Goal: when its shard moves to another worker a subscription ends in good order, and begins again at once; iterators go on.
#[test]
fn shards_move() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        api.put("s", "k", "first").await;
        let arn = consumer(&mut api, "s", "a").await;
        let mut native = world.worker(0).await;
        let iterator = api.iterator("s", "0", "TRIM_HORIZON").await;
        for to in [1, 2, 0] {
            let home = native.describe("s").await[0].worker;
            let to = WorkerId((home.0 + to) % 3);
            if to == home {
                continue;
            }
            let mut events = subscribe(world, encoding, &arn, json!({"Type": "TRIM_HORIZON"})).await.unwrap();
            let event = records(&mut events).await;
            let change = MoveShard { stream: "s", shard: ShardNumber(0), to };
            native.call(&change, &[]).await.answer::<MoveShard<'_>>().unwrap().unwrap();
            while let Some(event) = events.next().await {
                assert!(!event.is_exception, "{event:?}");
            }
            let after = json!({
                "Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": event.body["ContinuationSequenceNumber"],
            });
            let mut events = subscribe(world, encoding, &arn, after).await.unwrap();
            api.put("s", "k", "next").await;
            assert_eq!(data(&records(&mut events).await.body), ["next"]);
            assert_eq!(data(&api.ok("GetRecords", json!({"ShardIterator": iterator})).await)[0], "first");
            drop(events);
            world.rt().sleep(Duration::from_secs(6)).await;
        }
    });
}

/// Goal: what is wrong before the events begin is answered as with any other operation; a dry run begins none.
#[test]
fn refused_in_time() {
    both(async |world, encoding| {
        let mut api = Api::open(world, encoding).await;
        api.create("s", 1).await;
        let consumer = consumer(&mut api, "s", "a").await;
        let input = |shard: &str, position: Value| json!({"ConsumerARN": consumer, "ShardId": shard, "StartingPosition": position});
        for (input, code) in [
            (input("5", json!({"Type": "LATEST"})), "ResourceNotFoundException"),
            (input("0", json!({"Type": "AT_SEQUENCE_NUMBER"})), "InvalidArgumentException"),
            (input("0", json!({"Type": "AT_TIMESTAMP", "Timestamp": 99_999_999_999.0})), "InvalidArgumentException"),
        ] {
            let answer = Api::open(world, encoding).await.subscribe(input).await.err().unwrap();
            assert_eq!((answer.status, error(&answer).0.as_str()), (400, code));
        }
        let mut dry = input("0", json!({"Type": "LATEST"}));
        dry["DryRun"] = json!(true);
        let answer = Api::open(world, encoding).await.subscribe(dry).await.err().unwrap();
        assert_eq!(error(&answer).0, "DryRunOperationException");
        // It took nobody's place.
        subscribe(world, encoding, &consumer, json!({"Type": "LATEST"})).await.unwrap();
    });
}
