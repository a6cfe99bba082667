//! Registered consumers of a stream.

use super::{Client, check_length, check_name};
use crate::client::error::Result;
use crate::limits::CONSUMER_NAME_BYTES_MAX;
use crate::protocol::messages::{
    ConsumerDescription, DeregisterConsumer, DescribeConsumer, ListConsumers, RegisterConsumer, Tag,
};
use crate::runtime::Reactor;
use crate::types::WallUs;

/// A registered consumer: a name that has a pipe of its own in each shard of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its number: what [`crate::client::ConsumerOptions::consumer`] takes. Never 0, never reused.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// When it was registered.
    pub created: WallUs,
}

impl From<ConsumerDescription<'_>> for RegisteredConsumer {
    fn from(consumer: ConsumerDescription<'_>) -> Self {
        Self { id: consumer.id, name: consumer.name.to_owned(), created: consumer.created }
    }
}

impl<R: Reactor> Client<R> {
    /// Gives a stream a consumer. When this resolves it may subscribe.
    ///
    /// Not repeated when the outcome is unknown. Asking again does no harm: if it had happened, that fails with
    /// `ConsumerExists`, and [`Client::describe_consumer`] gives what there is.
    pub async fn register_consumer(&self, stream: &str, name: &str, tags: &[Tag<'_>]) -> Result<RegisteredConsumer> {
        check_consumer(stream, name)?;
        let operation = RegisterConsumer { stream, name, tags: tags.to_vec() };
        self.change(&operation, |answer| answer.consumer.into()).await
    }

    /// Takes a consumer from a stream, for good, and ends its subscriptions.
    ///
    /// Not repeated when the outcome is unknown: somebody may have registered another one of the name meanwhile.
    pub async fn deregister_consumer(&self, stream: &str, name: &str) -> Result<()> {
        check_consumer(stream, name)?;
        self.change(&DeregisterConsumer { stream, name }, |_| ()).await
    }

    /// The consumer of a stream with this name.
    pub async fn describe_consumer(&self, stream: &str, name: &str) -> Result<RegisteredConsumer> {
        check_consumer(stream, name)?;
        self.ask(&DescribeConsumer { stream, name }, |answer| answer.into()).await
    }

    /// All consumers of a stream in the byte order of their names, read page by page.
    pub async fn list_consumers(&self, stream: &str) -> Result<Vec<RegisteredConsumer>> {
        check_name(stream)?;
        let mut consumers: Vec<RegisteredConsumer> = Vec::new();
        loop {
            let after = consumers.last().map_or(String::new(), |consumer| consumer.name.clone());
            let page = ListConsumers { stream, after: &after, limit: 0 };
            let read = |answer: crate::protocol::messages::ListConsumersAnswer<'_>| {
                let page: Vec<_> = answer.consumers.into_iter().map(RegisteredConsumer::from).collect();
                (page, answer.more)
            };
            let (page, more) = self.ask(&page, read).await?;
            let last = !more || page.is_empty();
            consumers.extend(page);
            if last {
                return Ok(consumers);
            }
        }
    }
}

fn check_consumer(stream: &str, name: &str) -> Result<()> {
    check_name(stream)?;
    check_length(name, CONSUMER_NAME_BYTES_MAX, "a consumer's name has 1 to 128 bytes")
}
