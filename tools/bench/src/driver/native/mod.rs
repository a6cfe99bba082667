//! The native protocol, through the client library of the node.

mod change;
mod client;
mod lanes;
mod poll;
mod raw;

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::client::{
    Client, ClientOptions, Consumer, ConsumerOptions, Error, Mode, ProducerOptions, SettingsChange, ShardState, Start,
};
use millstream::protocol::ErrorClass;
use millstream::runtime::tokio::TokioReactor;
use millstream::types::ShardNumber;

use super::{Done, Driver, Failure, From, Outgoing, Received, Sent, ServerInfo, ShardRef, StreamSpec, Target};
use crate::workload::{Batch, BatchMode, ChangeKind, Changes, Durability, Read, ReadMode};

/// How long a consumer tries again by itself before it reports an error.
const RETRY_FOR: Duration = Duration::from_secs(60);

/// The driver of the native protocol.
#[derive(Debug)]
pub struct NativeDriver {
    client: Client<TokioReactor>,
}

impl Driver for NativeDriver {
    type Producer = NativeProducer;
    type Consumer = NativeConsumer;

    const NAME: &'static str = "native";

    async fn connect(target: &Target) -> Result<Self, Failure> {
        let Target::Native { addr, token } = target else {
            return Err(Failure::new("argument", "the native driver takes an address, not a URL"));
        };
        let options = ClientOptions {
            name: concat!("millstream-bench/", env!("CARGO_PKG_VERSION")).to_owned(),
            token: token.clone(),
            ..ClientOptions::default()
        };
        let client = Client::connect(TokioReactor::current(), *addr, options).await.map_err(failure)?;
        Ok(Self { client })
    }

    async fn info(&self, stream: &str) -> Result<ServerInfo, Failure> {
        let node = self.client.node();
        let described = self.client.describe_stream(stream).await.map_err(failure)?;
        let settings = &described.settings;
        let workers = node.direct_ports.len();
        let settings = BTreeMap::from([
            ("workers".to_owned(), workers.to_string()),
            ("shards".to_owned(), described.shards.open().len().to_string()),
            ("retention_hours".to_owned(), settings.retention_hours.to_string()),
            ("record_bytes_max".to_owned(), settings.record_bytes_max.to_string()),
        ]);
        let server = format!("millstream {}", node.version);
        Ok(ServerInfo { server, durability: described.settings.durability.name().to_owned(), settings })
    }

    async fn create_stream(&self, spec: &StreamSpec) -> Result<(), Failure> {
        let durability = spec.durability.map(|level| match level {
            Durability::Fsync => millstream::types::Durability::Fsync,
            Durability::Interval => millstream::types::Durability::Interval,
        });
        let settings =
            SettingsChange { durability, record_bytes_max: spec.record_bytes_max, ..SettingsChange::default() };
        self.client.create_stream(&spec.name, spec.shards, settings).await.map(drop).map_err(failure)
    }

    async fn delete_stream(&self, name: &str) -> Result<(), Failure> {
        self.client.delete_stream(name, true).await.map_err(failure)
    }

    async fn shards(&self, stream: &str) -> Result<Vec<ShardRef>, Failure> {
        let described = self.client.describe_stream(stream).await.map_err(failure)?;
        let readable = described.shards.all().iter().filter(|shard| shard.state != ShardState::Pending);
        Ok(readable.map(|shard| shard_ref(shard.number, shard.parent, shard.adjacent_parent)).collect())
    }

    async fn change(&self, stream: &str, change: ChangeKind, limits: &Changes, dice: u64) -> Result<(), Failure> {
        change::make(&self.client, stream, change, limits, dice).await.map_err(failure)
    }

    async fn producer(&self, stream: &str, batch: &Batch, done: Done) -> Result<NativeProducer, Failure> {
        match batch.mode {
            BatchMode::Client => {
                let options = ProducerOptions {
                    batch_bytes_max: batch.bytes.0 as usize,
                    batch_records_max: batch.records,
                    linger: batch.linger.duration(),
                    buffer_bytes_max: batch.buffer.0 as usize,
                    delivery_timeout: batch.timeout.duration(),
                };
                let producer = client::ClientProducer::open(&self.client, stream, options, done);
                producer.await.map(NativeProducer::Client).map_err(failure)
            }
            BatchMode::Raw => {
                let producer = raw::RawProducer::open(&self.client, stream, batch, done);
                producer.await.map(NativeProducer::Raw).map_err(failure)
            }
        }
    }

    async fn consumer(&self, stream: &str, shard: u32, from: From, read: &Read) -> Result<NativeConsumer, Failure> {
        let start = match from {
            From::Start => Start::Horizon,
            From::End => Start::Latest,
        };
        let shard = ShardNumber(shard);
        let bytes_max = u32::try_from(read.bytes.0).unwrap_or(u32::MAX);
        let mode = match read.mode {
            ReadMode::Poll => {
                let poll = poll::Poll::open(&self.client, stream, shard, start, bytes_max, read.interval.0);
                return poll.await.map(NativeConsumer::Poll).map_err(failure);
            }
            ReadMode::LongPoll => Mode::Get,
            ReadMode::Push => Mode::Push,
        };
        let options =
            ConsumerOptions { mode, bytes_max, wait: read.wait.duration(), retry_for: RETRY_FOR, ..Default::default() };
        let consumer = self.client.consumer(stream, shard, start, options).await.map_err(failure)?;
        Ok(NativeConsumer::Library(Box::new(consumer)))
    }
}

/// A producer.
#[derive(Debug)]
pub enum NativeProducer {
    /// The library's.
    Client(client::ClientProducer),
    /// Batches made here.
    Raw(raw::RawProducer),
}

impl super::Producer for NativeProducer {
    async fn send(&self, record: Outgoing<'_>, sent: Sent) -> Result<(), Failure> {
        match self {
            Self::Client(producer) => producer.send(record, sent).await,
            Self::Raw(producer) => producer.send(record, sent).await,
        }
    }

    fn send_now(&self, record: &Outgoing<'_>, sent: &Sent) -> bool {
        match self {
            Self::Client(_) => false,
            Self::Raw(producer) => producer.send_now(record, sent),
        }
    }

    fn flush(&self) {
        match self {
            // It sends as soon as it can, and lingers only if the workload says so.
            Self::Client(_) => {}
            Self::Raw(producer) => producer.flush(),
        }
    }
}

/// A consumer of one shard.
#[derive(Debug)]
pub enum NativeConsumer {
    /// The library's, by long poll or push.
    Library(Box<Consumer<TokioReactor>>),
    /// Polls.
    Poll(poll::Poll),
}

impl super::Consumer for NativeConsumer {
    async fn next(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Failure> {
        match self {
            Self::Library(consumer) => {
                let Some(batch) = consumer.next_batch().await.transpose().map_err(failure)? else {
                    return Ok(Received { records: 0, ended: true });
                };
                let mut records = 0;
                for record in batch.records() {
                    let (_, record) = record.map_err(|error| failure(error.into()))?;
                    visit(record.key, record.data);
                    records += 1;
                }
                Ok(Received { records, ended: false })
            }
            Self::Poll(poll) => poll.next(visit).await.map_err(failure),
        }
    }

    async fn children(&mut self) -> Result<Vec<ShardRef>, Failure> {
        match self {
            Self::Library(consumer) => {
                let children = consumer.children().await.map_err(failure)?;
                Ok(children.iter().map(|child| shard_ref(child.number, child.parent, child.adjacent_parent)).collect())
            }
            Self::Poll(poll) => poll.children().await.map_err(failure),
        }
    }
}

fn shard_ref(number: ShardNumber, parent: Option<ShardNumber>, adjacent: Option<ShardNumber>) -> ShardRef {
    ShardRef { number: number.0, parents: [parent, adjacent].into_iter().flatten().map(|parent| parent.0).collect() }
}

/// The library's error, with a name to count it by.
fn failure(error: Error) -> Failure {
    let kind = match &error {
        Error::Connect { .. } => "connect",
        Error::Lost(_) => "lost_connection",
        Error::Timeout { .. } => "timeout",
        Error::Protocol(_) => "protocol",
        Error::Node(answer) => match answer.known() {
            Some(code) => return Failure { outcome_unknown: error.is_outcome_unknown(), ..named(code.name(), &error) },
            None => "node",
        },
        Error::Record(_) | Error::Argument(_) => "argument",
        Error::OutcomeUnknown(_) => "outcome_unknown",
        Error::Expired(_) => "expired",
        Error::BeforeHorizon { .. } => "before_horizon",
        Error::Damaged { .. } => "damaged",
        Error::StreamGone(_) => "stream_gone",
        Error::Frames(_) => "frames",
        Error::TakenOver => "taken_over",
        Error::LeaseLost => "lease_lost",
        Error::Closed => "closed",
    };
    Failure { outcome_unknown: error.class() == ErrorClass::OutcomeUnknown, ..named(kind, &error) }
}

fn named(kind: &'static str, error: &Error) -> Failure {
    Failure::new(kind, error.to_string())
}
