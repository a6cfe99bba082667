//! Millstream through its own Rust client: a partition is a shard, records are pushed.

use std::rc::Rc;

use millstream::client::{
    Client, ClientOptions, ConsumerOptions, Producer, ProducerOptions, SettingsChange, Start, Ticket,
};
use millstream::runtime::tokio::TokioReactor;
use millstream::types::{HashKey, ShardNumber};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

use crate::meter::Meter;
use crate::{Args, Error, pace};

const STREAM: &str = "peers";

/// A node with an empty stream.
pub struct Target {
    client: Client<TokioReactor>,
    producer: Producer<TokioReactor>,
    shards: Vec<Shard>,
}

struct Shard {
    number: ShardNumber,
    hash_start: HashKey,
    tickets: std::cell::OnceCell<UnboundedSender<Ticket>>,
}

impl Target {
    /// Connects and creates the stream.
    pub async fn connect(rt: TokioReactor, args: &Args) -> Result<Self, Error> {
        let client = Client::connect(rt, args.address, ClientOptions::default()).await?;
        if client.list_streams().await?.iter().any(|stream| stream.name == STREAM) {
            client.delete_stream(STREAM, true).await?;
        }
        client.create_stream(STREAM, u32::try_from(args.partitions)?, SettingsChange::default()).await?;
        let shards = client.describe_stream(STREAM).await?.shards;
        let shard = |shard: &millstream::client::ShardDescription| Shard {
            number: shard.number,
            hash_start: shard.hash_start,
            tickets: std::cell::OnceCell::new(),
        };
        let producer = client.producer(STREAM, ProducerOptions::default()).await?;
        Ok(Self { client, producer, shards: shards.open().iter().map(shard).collect() })
    }
}

impl pace::Target for Target {
    async fn start(&self, meter: Rc<Meter>) -> Result<(), Error> {
        for (partition, shard) in self.shards.iter().enumerate() {
            let options = ConsumerOptions::default();
            let mut consumer = self.client.consumer(STREAM, shard.number, Start::Horizon, options).await?;
            let at = Rc::clone(&meter);
            spawn_local(async move {
                while let Some(record) = consumer.next().await {
                    match record {
                        Ok(record) => at.received(partition, record.data()),
                        Err(error) => return at.fail(error.to_string()),
                    }
                }
            });
            // Not bounded here: the producer's buffer bounds what is unacknowledged.
            let (tickets, mut waiting) = unbounded_channel::<Ticket>();
            shard.tickets.set(tickets).map_err(|_| "started twice")?;
            let at = Rc::clone(&meter);
            spawn_local(async move {
                while let Some(ticket) = waiting.recv().await {
                    match ticket.wait().await {
                        Ok(_) => at.acked(partition),
                        Err(error) => return at.fail(error.to_string()),
                    }
                }
            });
        }
        Ok(())
    }

    async fn send(&self, partition: usize, record: &[u8]) -> Result<(), Error> {
        let shard = &self.shards[partition];
        let ticket = self.producer.send_explicit("key", shard.hash_start, record).await?;
        Ok(shard.tickets.get().ok_or("not started")?.send(ticket)?)
    }
}
