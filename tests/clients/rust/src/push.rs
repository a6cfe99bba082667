//! Enhanced fan-out: a consumer of its own, and records pushed to it.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::SubscribeToShardEventStream::SubscribeToShardEvent as Pushed;
use aws_sdk_kinesis::types::{ConsumerStatus, ShardIteratorType as Kind, StartingPosition, SubscribeToShardEvent};
use serde_json::json;

use crate::report::{line, until};
use crate::session::{SHARD_ZERO, client, create, fails, summary};

fn position(kind: Kind, number: Option<&str>) -> StartingPosition {
    let position = StartingPosition::builder().r#type(kind).set_sequence_number(number.map(str::to_owned));
    position.build().expect("complete")
}

/// Subscribes; waits out the 5 seconds for which the shard still belongs to an earlier call of the consumer.
async fn subscribe(client: &Client, consumer: &str, from: StartingPosition) -> SubscribeToShardOutput {
    until("a subscription", 15, async || {
        let call = client.subscribe_to_shard().consumer_arn(consumer).shard_id(SHARD_ZERO);
        match call.starting_position(from.clone()).send().await {
            Ok(answer) => Some(answer),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => None,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await
}

/// The next event; `None` at the end of the subscription.
async fn next(from: &mut SubscribeToShardOutput) -> Option<SubscribeToShardEvent> {
    match tokio::time::timeout(Duration::from_secs(30), from.event_stream.recv())
        .await
        .expect("an event in 30 s")
        .expect("a good event")
    {
        None => None,
        Some(Pushed(event)) => Some(event),
        Some(other) => panic!("an event of another kind: {other:?}"),
    }
}

async fn next_records(from: &mut SubscribeToShardOutput) -> SubscribeToShardEvent {
    loop {
        let event = next(from).await.expect("the subscription goes on");
        if !event.records().is_empty() {
            return event;
        }
    }
}

pub async fn fan_out() {
    let client = client();
    let name = create(&client, "push", 1).await;
    let arn = summary(&client, &name).await.stream_arn;
    let register = || client.register_stream_consumer().stream_arn(&arn).consumer_name("app").send();
    let consumer = register().await.expect("registered").consumer.expect("a consumer").consumer_arn;
    until("the consumer is active", 30, async || {
        let answer = client.describe_stream_consumer().consumer_arn(&consumer).send().await.expect("described");
        (answer.consumer_description()?.consumer_status() == &ConsumerStatus::Active).then_some(())
    })
    .await;
    fails(register().await, "ResourceInUseException", |e| e.is_resource_in_use_exception());

    let put = |data: String| client.put_record().stream_name(&name).partition_key("k").data(Blob::new(data)).send();
    let mut subscription = subscribe(&client, &consumer, position(Kind::Latest, None)).await;
    let (mut times, mut last) = (Vec::new(), None);
    for i in 0..20 {
        let before = Instant::now();
        let (event, answer) = tokio::join!(next_records(&mut subscription), put(format!("push {i}")));
        answer.expect("put");
        times.push(before.elapsed());
        assert_eq!(event.records()[0].data().as_ref(), format!("push {i}").as_bytes());
        last = Some(event.continuation_sequence_number);
    }
    times.sort();
    line(json!({"measure": "put_to_push_ms", "value": (times[10].as_secs_f64() * 1e6).round() / 1e3}));
    drop(subscription);

    put("between".to_owned()).await.expect("put");
    let from = position(Kind::AfterSequenceNumber, last.as_deref());
    let mut subscription = subscribe(&client, &consumer, from).await;
    assert_eq!(next_records(&mut subscription).await.records()[0].data().as_ref(), b"between");
    let half = (1_u128 << 127).to_string();
    client
        .split_shard()
        .stream_name(&name)
        .shard_to_split(SHARD_ZERO)
        .new_starting_hash_key(half)
        .send()
        .await
        .expect("split");
    let mut children = Vec::new();
    while let Some(event) = next(&mut subscription).await {
        // The SDK makes an empty text of a continuation that is absent.
        assert_eq!(event.continuation_sequence_number().is_empty(), event.child_shards.is_some());
        children = event.child_shards.unwrap_or_default();
    }
    assert_eq!(children.iter().map(|c| c.parent_shards()).collect::<Vec<_>>(), [[SHARD_ZERO], [SHARD_ZERO]]);
    client.deregister_stream_consumer().consumer_arn(&consumer).send().await.expect("deregistered");
    let gone = client.subscribe_to_shard().consumer_arn(&consumer).shard_id(SHARD_ZERO);
    let gone = gone.starting_position(position(Kind::Latest, None)).send().await;
    fails(gone.map(drop), "ResourceNotFoundException", |e| e.is_resource_not_found_exception());
}
