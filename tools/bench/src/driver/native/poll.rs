//! A consumer that polls: asks at an interval, and the node answers at once. The library's consumers have no use for that, so
//! it is done here, with the same checks: frames are verified, offsets are dense.

use std::time::Duration;

use millstream::client::connection::result;
use millstream::client::{Client, ConsumerOptions, Error, FramesError, ShardDescription, Start};
use millstream::format::frame::{Frame, Kind};
use millstream::format::record::Records;
use millstream::protocol::ErrorClass;
use millstream::protocol::messages::Get;
use millstream::runtime::Reactor;
use millstream::runtime::tokio::TokioReactor;
use millstream::types::{Offset, ShardNumber};

use super::{Received, ShardRef, shard_ref};
use crate::clock::now_ns;
use crate::pace::Pacer;

/// Time before another try after an error that passes.
const RETRY: Duration = Duration::from_millis(100);

/// A polling consumer.
#[derive(Debug)]
pub struct Poll {
    client: Client<TokioReactor>,
    stream: String,
    shard: ShardDescription,
    next: Offset,
    bytes_max: u32,
    interval_ns: u64,
    /// When to ask again.
    due_ns: u64,
    pacer: Pacer,
}

impl Poll {
    pub(super) async fn open(
        client: &Client<TokioReactor>,
        stream: &str,
        shard: ShardNumber,
        start: Start,
        bytes_max: u32,
        interval_ns: u64,
    ) -> Result<Self, Error> {
        let consumer = client.consumer(stream, shard, start, ConsumerOptions::default()).await?;
        let pacer = Pacer::new().map_err(|_| Error::Argument("no timer can be made"))?;
        Ok(Self {
            client: client.clone(),
            stream: stream.to_owned(),
            shard: *consumer.shard(),
            next: consumer.position(),
            bytes_max,
            interval_ns,
            due_ns: now_ns(),
            pacer,
        })
    }

    pub(super) async fn next(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Error> {
        // A wait that cannot be made is the next request at once: too early, never too late.
        let _ = self.pacer.until(self.due_ns).await;
        self.due_ns = (self.due_ns + self.interval_ns).max(now_ns());
        match self.ask(visit).await {
            Err(error) if error.is_retryable() && !matches!(error, Error::Frames(_)) => {
                self.client.reactor().sleep(RETRY).await;
                if error.class() == ErrorClass::RefreshMap {
                    let found = self.client.describe_shard(&self.stream, self.shard.number).await?;
                    self.shard = found.ok_or(error)?;
                }
                Ok(Received::default())
            }
            other => other,
        }
    }

    /// The shards that go on with the keys of this one.
    pub(super) async fn children(&mut self) -> Result<Vec<ShardRef>, Error> {
        let number = self.shard.number;
        loop {
            let family = self.client.describe_family(&self.stream, number).await?.shards;
            // The one who told of the end may be ahead of the one who describes.
            if family.shard(number).is_none_or(|shard| shard.closed.is_some()) {
                let children = family.children(number);
                return Ok(children.map(|c| shard_ref(c.number, c.parent, c.adjacent_parent)).collect());
            }
            self.client.reactor().sleep(RETRY).await;
        }
    }

    async fn ask(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Error> {
        let connection = self.client.connection_to(self.shard.worker).await?;
        let get = Get { group: self.shard.group, from: self.next, bytes_max: self.bytes_max, wait_ms: 0 };
        let message = connection.call(&get, self.client.options().request_timeout).await?;
        let state = result::<Get, _>(&message, |state| state)?;
        let mut rest = &message.body[..];
        let (mut due, mut records) = (self.next, 0);
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).map_err(FramesError::from)?;
            rest = after;
            if frame.header.kind != Kind::Data {
                continue;
            }
            let base = frame.header.base_offset;
            // Only the first frame may begin before what was asked for.
            if base > due || (base < due && records > 0) {
                return Err(FramesError::Offset { expected: due, have: base }.into());
            }
            for (at, record) in Records::new(frame.body).enumerate() {
                let record = record.map_err(FramesError::from)?;
                if base.plus(at as u64) >= due {
                    visit(record.key, record.data);
                    records += 1;
                }
            }
            due = frame.header.end_offset();
            self.next = due;
        }
        if due != state.next_offset {
            return Err(FramesError::Offset { expected: state.next_offset, have: due }.into());
        }
        Ok(Received { records, ended: state.end_of_shard })
    }
}
