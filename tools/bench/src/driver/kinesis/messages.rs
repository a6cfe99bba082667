//! The shapes of the API that are used, in JSON 1.1. Members that are not used are ignored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::super::{Failure, ShardRef};

/// An answer without anything in it.
#[derive(Debug)]
pub struct Empty;

/// DescribeStreamSummary.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamName<'a> {
    /// The stream.
    pub stream_name: &'a str,
}

/// CreateStream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateStream<'a> {
    /// The stream.
    pub stream_name: &'a str,
    /// Its shards.
    pub shard_count: u32,
    /// The largest record, if larger than usual.
    #[serde(rename = "MaxRecordSizeInKiB", skip_serializing_if = "Option::is_none")]
    pub max_record_size_in_kib: Option<u32>,
}

/// DeleteStream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteStream<'a> {
    /// The stream.
    pub stream_name: &'a str,
    /// Its registered consumers go with it.
    pub enforce_consumer_deletion: bool,
}

/// ListShards.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListShards<'a> {
    /// The stream, for the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<&'a str>,
    /// What the page before gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<&'a str>,
}

/// GetShardIterator.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIterator<'a> {
    /// The stream.
    pub stream_name: &'a str,
    /// The shard.
    pub shard_id: &'a str,
    /// Where: `TRIM_HORIZON`, `LATEST`, `AFTER_SEQUENCE_NUMBER`.
    pub shard_iterator_type: &'a str,
    /// After which record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_sequence_number: Option<&'a str>,
}

/// GetRecords.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecords<'a> {
    /// From where.
    pub shard_iterator: &'a str,
    /// At most so many.
    pub limit: u32,
}

/// RegisterStreamConsumer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegisterStreamConsumer<'a> {
    /// The stream.
    #[serde(rename = "StreamARN")]
    pub stream_arn: &'a str,
    /// The consumer.
    pub consumer_name: &'a str,
}

/// DescribeStreamConsumer.
#[derive(Debug, Serialize)]
pub struct ConsumerArn<'a> {
    /// The consumer.
    #[serde(rename = "ConsumerARN")]
    pub consumer_arn: &'a str,
}

/// SubscribeToShard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SubscribeToShard<'a> {
    /// The consumer.
    #[serde(rename = "ConsumerARN")]
    pub consumer_arn: &'a str,
    /// The shard.
    pub shard_id: &'a str,
    /// Where.
    pub starting_position: &'a StartingPosition,
}

/// Where a subscription begins.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartingPosition {
    /// `TRIM_HORIZON`, `LATEST`, `AFTER_SEQUENCE_NUMBER`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// After which record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<String>,
}

/// What DescribeStreamSummary answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSummaryAnswer {
    /// All of it.
    pub stream_description_summary: StreamSummary,
}

/// A stream in brief.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSummary {
    /// Its full name.
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    /// `CREATING`, `ACTIVE`, ...
    pub stream_status: String,
    /// Shards that take records.
    pub open_shard_count: Option<u32>,
    /// How long records are kept.
    pub retention_period_hours: Option<u32>,
}

/// What ListShards answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListShardsAnswer {
    /// One page of them.
    pub shards: Vec<Shard>,
    /// Where the next page is.
    pub next_token: Option<String>,
}

/// A shard.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shard {
    /// Like `shardId-000000000007`.
    pub shard_id: String,
    /// The one it was split or merged from.
    pub parent_shard_id: Option<String>,
    /// The other one it was merged from.
    pub adjacent_parent_shard_id: Option<String>,
}

impl Shard {
    /// The same in numbers.
    pub fn named(&self) -> Result<ShardRef, Failure> {
        let parents = [&self.parent_shard_id, &self.adjacent_parent_shard_id].into_iter().flatten();
        let parents = parents.map(|id| shard_number(id)).collect::<Result<_, _>>()?;
        Ok(ShardRef { number: shard_number(&self.shard_id)?, parents })
    }
}

/// A shard that goes on with the keys of one that is over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChildShard {
    /// Its name.
    pub shard_id: String,
    /// Those it was split or merged from.
    pub parent_shards: Vec<String>,
}

impl ChildShard {
    /// The same in numbers.
    pub fn named(&self) -> Result<ShardRef, Failure> {
        let parents = self.parent_shards.iter().map(|id| shard_number(id)).collect::<Result<_, _>>()?;
        Ok(ShardRef { number: shard_number(&self.shard_id)?, parents })
    }
}

/// What GetShardIterator answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIteratorAnswer {
    /// The place in the shard.
    pub shard_iterator: String,
}

/// What PutRecords answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
pub struct PutRecordsAnswer<'a> {
    /// One per record, in their order.
    pub records: Vec<PutResult<'a>>,
}

/// What became of a record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutResult<'a> {
    /// Why it was not stored.
    #[serde(borrow)]
    pub error_code: Option<Cow<'a, str>>,
    /// The same for people.
    #[serde(borrow)]
    pub error_message: Option<Cow<'a, str>>,
}

/// What GetRecords answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
pub struct GetRecordsAnswer<'a> {
    /// In the order of the shard.
    pub records: Vec<GotRecord<'a>>,
    /// The place behind them; none when the shard is over.
    pub next_shard_iterator: Option<String>,
    /// How far behind its end the reader is.
    #[serde(default)]
    pub millis_behind_latest: Option<i64>,
    /// With the last records of a shard: those that go on with its keys.
    #[serde(default)]
    pub child_shards: Vec<ChildShard>,
}

/// What RegisterStreamConsumer answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegisterStreamConsumerAnswer {
    /// What was registered.
    pub consumer: RegisteredConsumer,
}

/// What DescribeStreamConsumer answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStreamConsumerAnswer {
    /// The consumer.
    pub consumer_description: RegisteredConsumer,
}

/// A registered consumer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegisteredConsumer {
    /// Its full name.
    #[serde(rename = "ConsumerARN")]
    pub consumer_arn: String,
    /// `CREATING`, `ACTIVE`, `DELETING`.
    pub consumer_status: String,
}

/// What is pushed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound(deserialize = "'de: 'a"))]
pub struct SubscribeToShardEvent<'a> {
    /// In the order of the shard.
    pub records: Vec<GotRecord<'a>>,
    /// Where the next subscription goes on; none when the shard is over.
    #[serde(borrow)]
    pub continuation_sequence_number: Option<Cow<'a, str>>,
    /// With the last records of a shard: those that go on with its keys.
    #[serde(default)]
    pub child_shards: Vec<ChildShard>,
}

/// A record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GotRecord<'a> {
    /// In base64.
    #[serde(borrow)]
    pub data: Cow<'a, str>,
    /// The key.
    #[serde(borrow)]
    pub partition_key: Cow<'a, str>,
    /// Its place.
    #[serde(borrow)]
    pub sequence_number: Cow<'a, str>,
}

/// An error.
#[derive(Debug, Deserialize)]
pub struct ErrorAnswer<'a> {
    /// Its name, perhaps with a namespace and `#` before it.
    #[serde(rename = "__type", borrow)]
    pub kind: Option<Cow<'a, str>>,
    /// The text.
    #[serde(alias = "Message", borrow)]
    pub message: Option<Cow<'a, str>>,
}

/// An answer that can be read from its JSON text.
pub trait Answer: Sized {
    /// Reads it.
    fn read(text: &[u8]) -> serde_json::Result<Self>;
}

impl Answer for Empty {
    /// Some endpoints send an empty object, the real one sends nothing.
    fn read(_: &[u8]) -> serde_json::Result<Self> {
        Ok(Self)
    }
}

macro_rules! answers {
    ($($name:ident),*) => {$(
        impl Answer for $name {
            fn read(text: &[u8]) -> serde_json::Result<Self> {
                serde_json::from_slice(text)
            }
        }
    )*};
}

answers!(
    StreamSummaryAnswer,
    ListShardsAnswer,
    GetShardIteratorAnswer,
    RegisterStreamConsumerAnswer,
    DescribeStreamConsumerAnswer
);

/// The number in a shard's name.
pub fn shard_number(id: &str) -> Result<u32, Failure> {
    let number = id.strip_prefix("shardId-").and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Failure::new("not_understood", format!("`{id}` is no name of a shard")))
}

/// The name of a shard.
pub fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}
