//! The driver for any endpoint that speaks the Kinesis API: JSON 1.1 over HTTP/1.1, with or without TLS, signed.
//!
//! - **Putting**: PutRecords, in batches of up to 500 records. A producer has a few lanes; a key always goes through the same
//!   one, and a lane has one request under way at a time, so the records of a key stay in order. What arrives meanwhile
//!   makes the next batch.
//! - **Nothing is sent twice.** A resend would hide what the endpoint refused, and could store records of a key out of order.
//!   A record that an answer refuses is reported as failed, by its own error code; all of a request that fails share its
//!   fate.
//! - **Getting**: GetShardIterator, then GetRecords at an interval. The API has no way to wait for records;
//!   SubscribeToShard is not driven.
//! - Connections are kept and used again: as many as there are requests at a time.
//!
//! Credentials come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; without them requests are
//! signed with made-up ones, which is what local endpoints want. The region is `AWS_REGION`, else that of the host's name.

mod api;
mod consumer;
mod messages;
mod producer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::api::Api;
pub use self::consumer::KinesisConsumer;
use self::messages::{
    CreateStream, DeleteStream, Empty, ListShards, ListShardsAnswer, StreamName, StreamSummaryAnswer,
};
pub use self::producer::KinesisProducer;
use super::{Done, Driver, Failure, From, ServerInfo, ShardRef, StreamSpec, Target};
use crate::workload::{Batch, Read};

/// How long a call about a stream may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a stream may take to come or to go. The real service takes half a minute.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(180);

/// Between two looks at a stream that comes or goes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The largest record that a stream takes without being asked.
const RECORD_BYTES_DEFAULT: u32 = 1 << 20;

/// Host and port of a URL, as `127.0.0.1:4567`.
///
/// # Errors
/// When it is no URL of an endpoint.
pub fn host_and_port(url: &str) -> Result<String, Failure> {
    let (scheme, uri) = api::parse(url)?;
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Ok(format!("{}:{port}", uri.host().unwrap_or_default()))
}

/// An endpoint.
pub struct Kinesis {
    api: Rc<Api>,
}

impl Kinesis {
    async fn summary(&self, name: &str) -> Result<StreamSummaryAnswer, Failure> {
        self.api.call("DescribeStreamSummary", &StreamName { stream_name: name }, CALL_TIMEOUT).await
    }

    /// Waits until `settled` says that the stream is as it should be.
    async fn until(
        &self,
        name: &str,
        settled: impl Fn(&Result<StreamSummaryAnswer, Failure>) -> bool,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let found = self.summary(name).await;
            if settled(&found) {
                return Ok(());
            }
            if start.elapsed() > CHANGE_TIMEOUT {
                let state = found.map(|answer| answer.stream_description_summary.stream_status)?;
                return Err(Failure::new("timeout", format!("the stream {name} is {state} for {CHANGE_TIMEOUT:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Driver for Kinesis {
    type Producer = KinesisProducer;
    type Consumer = KinesisConsumer;

    const NAME: &'static str = "kinesis";

    async fn connect(target: &Target) -> Result<Self, Failure> {
        match target {
            Target::Kinesis { url } => Ok(Self { api: Rc::new(Api::new(url)?) }),
            Target::Native { addr, .. } => {
                Err(Failure::new("unsupported", format!("{addr} is an address of the native protocol")))
            }
        }
    }

    async fn info(&self, stream: &str) -> Result<ServerInfo, Failure> {
        let summary = self.summary(stream).await?.stream_description_summary;
        let settings = [
            ("open_shards", summary.open_shard_count.map(|n| n.to_string())),
            ("retention_hours", summary.retention_period_hours.map(|n| n.to_string())),
            ("status", Some(summary.stream_status)),
        ];
        let settings = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(ServerInfo {
            server: self.api.server_name(),
            // The API does not say.
            durability: "unknown".to_owned(),
            settings: settings.collect::<BTreeMap<_, _>>(),
        })
    }

    async fn create_stream(&self, spec: &StreamSpec) -> Result<(), Failure> {
        if let Some(durability) = spec.durability {
            return Err(Failure::new(
                "unsupported",
                format!("durability {durability:?}: the Kinesis API has no such setting"),
            ));
        }
        let max_record_size_in_kib =
            spec.record_bytes_max.filter(|bytes| *bytes > RECORD_BYTES_DEFAULT).map(|bytes| bytes.div_ceil(1024));
        let create = CreateStream { stream_name: &spec.name, shard_count: spec.shards, max_record_size_in_kib };
        let _: Empty = self.api.call("CreateStream", &create, CALL_TIMEOUT).await?;
        let is_active = |answer: &StreamSummaryAnswer| answer.stream_description_summary.stream_status == "ACTIVE";
        self.until(&spec.name, |found| found.as_ref().is_ok_and(is_active)).await
    }

    async fn delete_stream(&self, name: &str) -> Result<(), Failure> {
        let delete = DeleteStream { stream_name: name, enforce_consumer_deletion: true };
        let _: Empty = self.api.call("DeleteStream", &delete, CALL_TIMEOUT).await?;
        self.until(name, |found| found.as_ref().is_err_and(|error| error.kind == "not_found")).await
    }

    async fn shards(&self, stream: &str) -> Result<Vec<ShardRef>, Failure> {
        let (mut shards, mut next) = (Vec::new(), None::<String>);
        loop {
            // A page's token stands for the stream too.
            let list = ListShards { stream_name: next.is_none().then_some(stream), next_token: next.as_deref() };
            let page: ListShardsAnswer = self.api.call("ListShards", &list, CALL_TIMEOUT).await?;
            for shard in &page.shards {
                shards.push(shard.named()?);
            }
            next = page.next_token;
            if next.is_none() {
                shards.sort_unstable_by_key(|shard| shard.number);
                return Ok(shards);
            }
        }
    }

    async fn producer(&self, stream: &str, batch: &Batch, done: Done) -> Result<KinesisProducer, Failure> {
        Ok(KinesisProducer::new(Rc::clone(&self.api), stream, batch, done))
    }

    async fn consumer(&self, stream: &str, shard: u32, from: From, read: &Read) -> Result<KinesisConsumer, Failure> {
        KinesisConsumer::open(Rc::clone(&self.api), stream, shard, from, read).await
    }
}
