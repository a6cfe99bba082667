//! The driver for any endpoint that speaks the Kinesis API: JSON 1.1 over HTTP/1.1, with or without TLS, signed.
//!
//! - **Putting**: PutRecords, in batches of up to 500 records. A producer has a few lanes; a key always goes through the same
//!   one, and a lane has one request under way at a time, so the records of a key stay in order. What arrives meanwhile
//!   makes the next batch.
//! - **Nothing is sent twice.** A resend would hide what the endpoint refused, and could store records of a key out of order.
//!   A record that an answer refuses is reported as failed, by its own error code; all of a request that fails share its
//!   fate.
//! - **Getting**: GetShardIterator, then GetRecords at an interval; or pushed: SubscribeToShard, again and again, each
//!   subscription going on where the one before it ended. The API has no way to wait for records.
//! - **Consumers that are pushed to** are registered: the n-th consumer of each shard shares one of the run's own, which goes
//!   with the stream.
//! - Connections are kept and used again: as many as there are requests at a time.
//!
//! Credentials come from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; without them requests are
//! signed with made-up ones, which is what local endpoints want. The region is `AWS_REGION`, else that of the host's name.

mod api;
mod consumer;
mod events;
mod messages;
mod producer;
mod push;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::api::Api;
pub use self::consumer::KinesisConsumer;
use self::consumer::PollConsumer;
use self::messages::{
    ConsumerArn, CreateStream, DeleteStream, DescribeStreamConsumerAnswer, Empty, ListShards, ListShardsAnswer,
    RegisterStreamConsumer, RegisterStreamConsumerAnswer, StreamName, StreamSummaryAnswer,
};
pub use self::producer::KinesisProducer;
use self::push::PushConsumer;
use super::{Done, Driver, Failure, From, ServerInfo, ShardRef, StreamSpec, Target};
use crate::workload::{Batch, Read, ReadMode};

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
    /// Begins the names of its registered consumers.
    name: String,
    /// By stream: the consumers registered so far, and how many of them each shard uses.
    registered: RefCell<BTreeMap<String, Registered>>,
}

#[derive(Default)]
struct Registered {
    arns: Vec<String>,
    used: BTreeMap<u32, usize>,
}

impl Kinesis {
    async fn summary(&self, name: &str) -> Result<StreamSummaryAnswer, Failure> {
        self.api.call("DescribeStreamSummary", &StreamName { stream_name: name }, CALL_TIMEOUT).await
    }

    /// The consumer that reads `shard` next: one that does not read it yet, else a new one.
    async fn registered(&self, stream: &str, shard: u32) -> Result<String, Failure> {
        let place = {
            let mut registered = self.registered.borrow_mut();
            let used = registered.entry(stream.to_owned()).or_default().used.entry(shard).or_default();
            *used += 1;
            *used - 1
        };
        let known = |place: usize| self.registered.borrow().get(stream)?.arns.get(place).cloned();
        if let Some(arn) = known(place) {
            return Ok(arn);
        }
        let stream_arn = self.summary(stream).await?.stream_description_summary.stream_arn;
        let stream_arn = stream_arn.ok_or_else(|| Failure::new("not_understood", "a stream without an ARN"))?;
        let consumer_name = format!("{}-{place}", self.name);
        let register = RegisterStreamConsumer { stream_arn: &stream_arn, consumer_name: &consumer_name };
        let answer: RegisterStreamConsumerAnswer =
            self.api.call("RegisterStreamConsumer", &register, CALL_TIMEOUT).await?;
        let mut consumer = answer.consumer;
        let start = Instant::now();
        while consumer.consumer_status != "ACTIVE" {
            if start.elapsed() > CHANGE_TIMEOUT {
                let text = format!("the consumer {consumer_name} is {} all the time", consumer.consumer_status);
                return Err(Failure::new("timeout", text));
            }
            tokio::time::sleep(LOOK_EVERY).await;
            let describe = ConsumerArn { consumer_arn: &consumer.consumer_arn };
            let answer: DescribeStreamConsumerAnswer =
                self.api.call("DescribeStreamConsumer", &describe, CALL_TIMEOUT).await?;
            consumer = answer.consumer_description;
        }
        let mut registered = self.registered.borrow_mut();
        registered.entry(stream.to_owned()).or_default().arns.push(consumer.consumer_arn.clone());
        Ok(consumer.consumer_arn)
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
            Target::Kinesis { url } => Ok(Self {
                api: Rc::new(Api::new(url)?),
                name: format!("bench-{:016x}", RandomState::new().hash_one(url)),
                registered: RefCell::default(),
            }),
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
        let api = Rc::clone(&self.api);
        match read.mode {
            ReadMode::Poll => Ok(KinesisConsumer::Poll(PollConsumer::open(api, stream, shard, from, read).await?)),
            ReadMode::Push => {
                let arn = self.registered(stream, shard).await?;
                Ok(KinesisConsumer::Push(PushConsumer::open(api, arn, shard, from).await?))
            }
            ReadMode::LongPoll => {
                let text = "long-poll: the Kinesis API has none; set read.mode to poll or push";
                Err(Failure::new("unsupported", text))
            }
        }
    }
}
