//! Getting what is pushed: a registered consumer, and SubscribeToShard over and over.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::super::{Failure, From, Received, ShardRef};
use super::CALL_TIMEOUT;
use super::api::{Api, kind, not_understood};
use super::consumer::hand_over;
use super::events::{self, Event};
use super::messages::{ChildShard, ErrorAnswer, StartingPosition, SubscribeToShard, SubscribeToShardEvent, shard_id};

/// After a subscription that was refused: the API takes one a second.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// The first message of each subscription.
const FIRST: &str = "initial-response";

/// Is pushed the records of one shard.
pub struct PushConsumer {
    api: Rc<Api>,
    arn: String,
    shard: String,
    /// Where a subscription begins that follows the one under way.
    position: StartingPosition,
    open: Option<Open>,
    /// Not to subscribe before this.
    due: Instant,
    ended: bool,
    data: Vec<u8>,
    /// The shards that go on with the keys of this one, once it is over.
    pub(super) children: Vec<ShardRef>,
}

/// A subscription under way.
struct Open {
    body: Incoming,
    buffer: BytesMut,
}

impl PushConsumer {
    /// A consumer of a shard for the registered consumer of this ARN. When it resolves the subscription stands.
    pub(super) async fn open(api: Rc<Api>, arn: String, shard: u32, from: From) -> Result<Self, Failure> {
        let position = match from {
            From::Start => StartingPosition { kind: "TRIM_HORIZON", sequence_number: None },
            From::End => StartingPosition { kind: "LATEST", sequence_number: None },
        };
        let (due, shard) = (Instant::now(), shard_id(shard));
        let (open, ended, data, children) = (None, false, Vec::new(), Vec::new());
        let mut consumer = Self { api, arn, shard, position, open, due, ended, data, children };
        consumer.subscribe().await?;
        Ok(consumer)
    }

    async fn subscribe(&mut self) -> Result<(), Failure> {
        let request =
            SubscribeToShard { consumer_arn: &self.arn, shard_id: &self.shard, starting_position: &self.position };
        let body = serde_json::to_vec(&request).expect("requests are plain structs");
        let body = self.api.subscribe("SubscribeToShard", body.into(), CALL_TIMEOUT).await?;
        let mut open = Open { body, buffer: BytesMut::new() };
        match open.next().await? {
            Some(event) if event.name == FIRST => {}
            other => return Err(not_understood("SubscribeToShard", &format!("it begins with {other:?}"))),
        }
        self.open = Some(open);
        Ok(())
    }

    /// Waits for the next event and hands its records over. Nothing is lost if it is dropped before.
    pub(super) async fn next(&mut self, visit: &mut dyn FnMut(&str, &[u8])) -> Result<Received, Failure> {
        if self.ended {
            return Ok(Received { records: 0, ended: true });
        }
        let Some(open) = &mut self.open else {
            sleep_until(self.due).await;
            self.due = Instant::now() + REFUSED_PAUSE;
            self.subscribe().await?;
            return Ok(Received::default());
        };
        let event = match open.next().await {
            Ok(Some(event)) => event,
            // Its time is over: the next one goes on where it ended.
            Ok(None) => {
                self.open = None;
                return Ok(Received::default());
            }
            Err(failure) => {
                self.open = None;
                return Err(failure);
            }
        };
        if event.kind == "exception" {
            self.open = None;
            let text = serde_json::from_slice::<ErrorAnswer<'_>>(&event.payload).ok();
            let text = text.as_ref().and_then(|text| text.message.as_deref()).unwrap_or_default();
            return Err(Failure::new(kind(&event.name), format!("SubscribeToShard: {} {text}", event.name)));
        }
        let pushed: SubscribeToShardEvent<'_> =
            serde_json::from_slice(&event.payload).map_err(|error| not_understood("SubscribeToShard", &error))?;
        self.children = pushed.child_shards.iter().map(ChildShard::named).collect::<Result<_, _>>()?;
        hand_over(&pushed.records, &mut self.data, visit);
        match pushed.continuation_sequence_number {
            Some(number) => {
                let sequence_number = Some(number.into_owned());
                self.position = StartingPosition { kind: "AFTER_SEQUENCE_NUMBER", sequence_number };
            }
            None => self.ended = true,
        }
        Ok(Received { records: pushed.records.len() as u64, ended: self.ended })
    }
}

impl Open {
    /// The next message; none at the end of the subscription.
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            let taken = events::next(&mut self.buffer);
            if let Some(event) = taken.map_err(|error| not_understood("SubscribeToShard", &error))? {
                return Ok(Some(event));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    return Err(Failure::new("lost_connection", format!("SubscribeToShard: {error}")));
                }
            }
        }
    }
}
