//! The AWS SDK for Rust against the node.

mod expiry;
mod push;
mod report;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, ScalingType, ShardFilter, ShardFilterType, ShardIteratorType as Kind,
};
use aws_sdk_kinesis::types::{StreamMode, StreamModeDetails, StreamStatus};
use report::told;
use serde_json::json;
use session::{
    SHARD_ONE, SHARD_ZERO, active, client, client_of, create, fails, iterator, millstream, named, read, summary,
};

fn entry(key: &str, data: impl Into<Vec<u8>>) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build().expect("complete")
}

async fn life_of_a_stream() {
    let client = client();
    let name = create(&client, "life", 2).await;
    let answer = client.describe_stream().stream_name(&name).send().await.expect("described");
    let described = answer.stream_description.expect("a description");
    assert_eq!((described.stream_status(), described.shards().len()), (&StreamStatus::Active, 2));
    let created = SystemTime::try_from(*described.stream_creation_timestamp()).expect("a time");
    assert!(created > SystemTime::now() - Duration::from_secs(60), "{created:?}");
    let arn = described.stream_arn();
    assert!(
        arn.starts_with(&format!("arn:aws:kinesis:{}:", told("AWS_REGION")))
            && arn.ends_with(&format!(":stream/{name}")),
        "{arn}"
    );
    client
        .add_tags_to_stream()
        .stream_name(&name)
        .tags("team", "blue")
        .tags("größe", "groß")
        .send()
        .await
        .expect("tagged");
    client.remove_tags_from_stream().stream_arn(arn).tag_keys("team").send().await.expect("untagged");
    let tags = client.list_tags_for_stream().stream_name(&name).send().await.expect("tags").tags;
    assert_eq!(tags.iter().map(|t| (t.key(), t.value())).collect::<Vec<_>>(), [("größe", Some("groß"))]);
    client.tag_resource().resource_arn(arn).tags("a", "b").send().await.expect("tagged");
    client.untag_resource().resource_arn(arn).tag_keys("größe").send().await.expect("untagged");
    assert_eq!(client.list_tags_for_resource().resource_arn(arn).send().await.expect("tags").tags().len(), 1);
    client
        .increase_stream_retention_period()
        .stream_name(&name)
        .retention_period_hours(48)
        .send()
        .await
        .expect("longer");
    assert_eq!(summary(&client, &name).await.retention_period_hours(), 48);
    client
        .decrease_stream_retention_period()
        .stream_name(&name)
        .retention_period_hours(24)
        .send()
        .await
        .expect("shorter");
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().expect("complete");
    client.update_stream_mode().stream_arn(arn).stream_mode_details(mode.clone()).send().await.expect("on demand");
    assert_eq!(summary(&client, &name).await.stream_mode_details(), Some(&mode));
    client.delete_stream().stream_name(&name).send().await.expect("deleted");
    report::until("the stream is gone", 60, async || client.describe_stream().stream_name(&name).send().await.err())
        .await;
    let gone = client.describe_stream_summary().stream_name(&name).send().await;
    fails(gone, "ResourceNotFoundException", |e| e.is_resource_not_found_exception());
}

async fn put_and_get() {
    let client = client();
    let name = create(&client, "records", 2).await;
    let blob: Vec<u8> = (0..=255).collect();
    let put = client.put_record().stream_name(&name).partition_key("ключ-🔑").explicit_hash_key("0");
    let one = put.data(Blob::new(blob.clone())).send().await.expect("put");
    let mut sent = BTreeMap::from([((one.shard_id().to_owned(), one.sequence_number().to_owned()), blob)]);
    let entries: Vec<_> = (0..500).map(|i| entry(&format!("key-{i}"), format!("data {i}"))).collect();
    let answer = client.put_records().stream_name(&name).set_records(Some(entries.clone())).send().await.expect("put");
    assert_eq!((answer.failed_record_count(), answer.records().len()), (Some(0), 500));
    for (result, entry) in answer.records().iter().zip(entries) {
        let place =
            (result.shard_id().expect("a shard").to_owned(), result.sequence_number().expect("a number").to_owned());
        sent.insert(place, entry.data.into_inner());
    }
    let mut got = BTreeMap::new();
    for shard in [SHARD_ZERO, SHARD_ONE] {
        let (records, last) = read(&client, iterator(&client, &name, shard, Kind::TrimHorizon, None).await).await;
        assert_eq!(last.millis_behind_latest(), Some(0));
        // All have 56 digits, so that their texts have the order of the numbers.
        assert!(records.is_sorted_by(|a, b| a.sequence_number() < b.sequence_number()), "sequence numbers rise");
        for record in records {
            got.insert((shard.to_owned(), record.sequence_number), record.data.into_inner());
        }
    }
    assert!(got == sent, "{} records of {} came back", got.len(), sent.len());

    let (records, _) = read(&client, iterator(&client, &name, SHARD_ZERO, Kind::TrimHorizon, None).await).await;
    let numbers: Vec<_> = records.iter().map(|r| r.sequence_number()).collect();
    for (kind, expected) in [(Kind::AtSequenceNumber, 2), (Kind::AfterSequenceNumber, 3)] {
        let (found, _) = read(&client, iterator(&client, &name, SHARD_ZERO, kind, Some(numbers[2])).await).await;
        assert_eq!(found[0].sequence_number(), numbers[expected]);
    }
    let latest = iterator(&client, &name, SHARD_ZERO, Kind::Latest, None).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let late = client.put_record().stream_name(&name).partition_key("k").explicit_hash_key("0").data(Blob::new("late"));
    let late = late.send().await.expect("put");
    let (after, _) = read(&client, latest).await;
    assert_eq!((after.len(), after[0].sequence_number()), (1, late.sequence_number()));
    let arrival = *after[0].approximate_arrival_timestamp().expect("a time");
    for (moment, expected) in [(arrival, late.sequence_number()), (DateTime::from_secs(1_600_000_000), numbers[0])] {
        let at =
            client.get_shard_iterator().stream_name(&name).shard_id(SHARD_ZERO).shard_iterator_type(Kind::AtTimestamp);
        let position = at.timestamp(moment).send().await.expect("an iterator").shard_iterator.expect("an iterator");
        assert_eq!(read(&client, position).await.0[0].sequence_number(), expected);
    }
}

async fn partial_failures() {
    let client = client();
    let name = create(&client, "limits", 1).await;
    millstream(&["stream", "limits", &name, "aws"]);
    let entries = (0..200).map(|i| entry(&i.to_string(), vec![0; 16384])).collect();
    let answer = client.put_records().stream_name(&name).set_records(Some(entries)).send().await.expect("put");
    let failed: Vec<_> = answer.records().iter().filter(|r| r.error_code().is_some()).collect();
    assert!(!failed.is_empty() && failed.len() < 200, "{} failed", failed.len());
    assert_eq!(answer.failed_record_count(), i32::try_from(failed.len()).ok());
    for result in failed {
        assert_eq!(
            (result.error_code(), result.sequence_number()),
            (Some("ProvisionedThroughputExceededException"), None)
        );
    }
}

async fn resharding() {
    let client = client();
    let name = create(&client, "reshard", 2).await;
    let mut numbers = BTreeMap::<String, u64>::new();
    let mut put = async || {
        let mut entries = Vec::new();
        for i in 0..200 {
            let key = format!("key-{}", i % 20);
            let number = numbers.entry(key.clone()).or_default();
            entries.push(entry(&key, json!({"key": key, "number": *number}).to_string()));
            *number += 1;
        }
        active(&client, &name).await;
        let answer = client.put_records().stream_name(&name).set_records(Some(entries)).send().await.expect("put");
        assert_eq!(answer.failed_record_count(), Some(0));
    };
    put().await;
    let quarter = (1_u128 << 126).to_string();
    client
        .split_shard()
        .stream_name(&name)
        .shard_to_split(SHARD_ZERO)
        .new_starting_hash_key(quarter)
        .send()
        .await
        .expect("split");
    put().await;
    let merge = client
        .merge_shards()
        .stream_name(&name)
        .shard_to_merge("shardId-000000000003")
        .adjacent_shard_to_merge(SHARD_ONE);
    merge.send().await.expect("merged");
    put().await;
    let scale =
        client.update_shard_count().stream_name(&name).target_shard_count(4).scaling_type(ScalingType::UniformScaling);
    assert_eq!(scale.send().await.expect("scaled").target_shard_count(), Some(4));
    put().await;

    // Parents before children, following ChildShards from the roots.
    let filter = ShardFilter::builder().r#type(ShardFilterType::AtTrimHorizon).build().expect("complete");
    let roots = client.list_shards().stream_name(&name).shard_filter(filter).send().await.expect("shards");
    let mut waiting: BTreeMap<String, Vec<String>> =
        roots.shards().iter().map(|s| (s.shard_id().to_owned(), vec![])).collect();
    let (mut done, mut next) = (BTreeSet::new(), BTreeMap::<String, u64>::new());
    while !waiting.is_empty() {
        let ready = waiting.iter().find(|(_, parents)| parents.iter().all(|parent| done.contains(parent)));
        let shard = ready.expect("a shard whose parents are read").0.clone();
        waiting.remove(&shard);
        let (records, last) = read(&client, iterator(&client, &name, &shard, Kind::TrimHorizon, None).await).await;
        for record in records {
            let got: serde_json::Value = serde_json::from_slice(record.data().as_ref()).expect("JSON");
            let expected = next.entry(got["key"].as_str().expect("a key").to_owned()).or_default();
            assert_eq!(got["number"].as_u64(), Some(*expected), "the next number of {}", got["key"]);
            *expected += 1;
        }
        for child in last.child_shards() {
            waiting.insert(child.shard_id().to_owned(), child.parent_shards().to_vec());
        }
        done.insert(shard);
    }
    assert_eq!(next, numbers);
}

async fn pages() {
    let client = client();
    let names: Vec<_> = (0..5).map(|i| named(&format!("page-{i}"))).collect();
    for name in &names {
        client.create_stream().stream_name(name).shard_count(5).send().await.expect("created");
        active(&client, name).await;
    }
    let mut pages = client.list_streams().limit(2).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        found.extend(page.expect("a page").stream_names);
    }
    found.retain(|name| name.starts_with(&named("page-")));
    assert_eq!(found, names);
    let arn = summary(&client, &names[0]).await.stream_arn;
    for i in 0..5 {
        client
            .register_stream_consumer()
            .stream_arn(&arn)
            .consumer_name(format!("c{i}"))
            .send()
            .await
            .expect("registered");
    }
    let mut pages = client.list_stream_consumers().stream_arn(&arn).max_results(2).into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += page.expect("a page").consumers().len();
    }
    assert_eq!(count, 5);
    let mut page = client.list_shards().stream_name(&names[0]).max_results(2).send().await.expect("shards");
    let mut count = page.shards().len();
    while let Some(token) = page.next_token {
        page = client.list_shards().next_token(token).max_results(2).send().await.expect("shards");
        count += page.shards().len();
    }
    assert_eq!(count, 5);
}

async fn errors() {
    let client = client();
    let name = create(&client, "errors", 1).await;
    let missing = client.describe_stream().stream_name(named("missing")).send().await;
    fails(missing, "ResourceNotFoundException", |e| e.is_resource_not_found_exception());
    let twice = client.create_stream().stream_name(&name).shard_count(1).send().await;
    fails(twice, "ResourceInUseException", |e| e.is_resource_in_use_exception());
    let split =
        client.split_shard().stream_name(&name).shard_to_split(SHARD_ZERO).new_starting_hash_key("0").send().await;
    fails(split, "InvalidArgumentException", |e| e.is_invalid_argument_exception());
    let garbage = client.get_records().shard_iterator("garbage").send().await;
    fails(garbage, "InvalidArgumentException", |e| e.is_invalid_argument_exception());
    fails(client.describe_stream().stream_name("bad name!").send().await, "ValidationException", |_| true);

    let signed = |key: &str, secret: &str| client_of(&told("MILLSTREAM_KEYED_ENDPOINT"), key, secret);
    let (key, secret) = (told("MILLSTREAM_KEY"), told("MILLSTREAM_SECRET"));
    let good = signed(&key, &secret);
    let name = create(&good, "signed", 1).await;
    let put = |client: &aws_sdk_kinesis::Client| {
        client.put_record().stream_name(&name).partition_key("ключ").data(Blob::new("größe")).send()
    };
    put(&good).await.expect("put");
    fails(signed(&key, "wrong").list_streams().send().await, "InvalidSignatureException", |_| true);
    fails(signed("AKIDNONE", &secret).list_streams().send().await, "UnrecognizedClientException", |_| true);
    let reader = signed(&told("MILLSTREAM_READER_KEY"), &told("MILLSTREAM_READER_SECRET"));
    fails(put(&reader).await, "AccessDeniedException", |e| e.is_access_denied_exception());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    report::line(json!({"version": aws_sdk_kinesis::meta::PKG_VERSION}));
    report::run(&[
        ("life of a stream", || Box::pin(life_of_a_stream())),
        ("put and get", || Box::pin(put_and_get())),
        ("partial failures", || Box::pin(partial_failures())),
        ("resharding", || Box::pin(resharding())),
        ("fan out", || Box::pin(push::fan_out())),
        ("pages", || Box::pin(pages())),
        ("errors", || Box::pin(errors())),
        ("expiry", || Box::pin(expiry::expiry())),
    ])
    .await;
}
