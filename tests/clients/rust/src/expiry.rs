//! What lives for 5 minutes of the node's clock.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType as Kind;

use crate::report::told;
use crate::session::{SHARD_ZERO, client_of, create, fails, iterator, summary};

/// Moves the clock of the node that is there for this, to `+301s` ahead of the true time for example.
fn set_clock(ahead: &str) {
    let clock = told("MILLSTREAM_CLOCK_FILE");
    let new = format!("{clock}.new");
    std::fs::write(&new, ahead).expect("a file that says the time");
    // The node reads the file whenever it asks for the time: never half of it.
    std::fs::rename(new, clock).expect("a file that says the time");
}

/// An iterator and tokens grow older than that.
pub async fn expiry() {
    let client = client_of(&told("MILLSTREAM_CLOCKED_ENDPOINT"), "any", "any");
    let name = create(&client, "expiry", 2).await;
    let arn = summary(&client, &name).await.stream_arn;
    for consumer in ["one", "two"] {
        let register = client.register_stream_consumer().stream_arn(&arn).consumer_name(consumer);
        register.send().await.expect("registered");
    }
    let put = client.put_record().stream_name(&name).partition_key("k").explicit_hash_key("0");
    put.data(Blob::new("x")).send().await.expect("put");
    let position = iterator(&client, &name, SHARD_ZERO, Kind::TrimHorizon, None).await;
    let first = client.list_shards().stream_name(&name).max_results(1).send().await.expect("shards");
    let shards = first.next_token.expect("a second page");
    let first = client.list_stream_consumers().stream_arn(&arn).max_results(1).send().await.expect("consumers");
    let consumers = first.next_token.expect("a second page");

    let get = |position: &str| client.get_records().shard_iterator(position).send();
    let more_shards = || client.list_shards().next_token(&shards).send();
    let more_consumers = || client.list_stream_consumers().stream_arn(&arn).next_token(&consumers).send();
    set_clock("+240s");
    let page = get(&position).await.expect("records after 4 minutes");
    assert_eq!(page.records().len(), 1);
    assert_eq!(more_shards().await.expect("shards after 4 minutes").shards().len(), 1);
    assert_eq!(more_consumers().await.expect("consumers after 4 minutes").consumers().len(), 1);
    set_clock("+301s");
    fails(get(&position).await, "ExpiredIteratorException", |e| e.is_expired_iterator_exception());
    fails(more_shards().await, "ExpiredNextTokenException", |e| e.is_expired_next_token_exception());
    fails(more_consumers().await, "ExpiredNextTokenException", |e| e.is_expired_next_token_exception());
    // The iterator that the first one was traded for.
    let next = page.next_shard_iterator.expect("an open shard");
    assert_eq!(get(&next).await.expect("records").records(), []);
}
