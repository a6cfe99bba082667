//! One connection's conversation, without the connection: handshake, correlation, in-flight limit, pushes and credit.
//!
//! Bytes to send are appended to a buffer of the caller's, received bytes are taken from another one. The session knows
//! no socket, no clock and no task. `A` stands for whoever waits for an answer, `S` for a subscription's reader.
//!
//! Invariants:
//! - Every request is handed out once: with its answer ([`Event::Answer`]) or when the session ends ([`Session::end`]).
//! - No more requests are unanswered than the node allows.
//! - A push comes after the answer to its subscribe, and the sum of the pushes stays within the credit given: the
//!   balance was positive before each.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::codec::DecodeError;
use crate::protocol::messages::{Credit, Hello, HelloAnswer, Limits, Subscribe, SubscriptionEnd, Unsubscribe};
use crate::protocol::{
    Decode, Decoder, Envelope, ErrorAnswer, FEATURES, HeadError, Kind, Message, Next, Opcode, Operation, Side, VERSION,
    VERSION_MIN,
};
use crate::types::WorkerId;

/// What the node sent that the protocol does not allow. The connection is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The bytes are not a message.
    #[error("{0}")]
    Head(#[from] HeadError),
    /// The fields of a message are not those of its operation.
    #[error("{0}")]
    Args(#[from] DecodeError),
    /// An answer to no request.
    #[error("an answer to no request, correlation {correlation}")]
    UnexpectedAnswer {
        /// What it answers.
        correlation: u64,
    },
    /// An answer to another operation than the one asked for.
    #[error("operation {have} answers a request of operation {expected}")]
    WrongOpcode {
        /// What was asked.
        expected: u8,
        /// What was answered.
        have: u8,
    },
    /// A push for no subscription, or before its answer.
    #[error("a push to no subscription, correlation {correlation}")]
    UnexpectedPush {
        /// The subscription it names.
        correlation: u64,
    },
    /// A push without credit.
    #[error("a push without credit, correlation {correlation}")]
    NoCredit {
        /// The subscription.
        correlation: u64,
    },
    /// A version this client did not offer.
    #[error("the node chose version {0}")]
    Version(u8),
    /// Fewer or more results than were asked for.
    #[error("the answer has another number of results than were asked for")]
    Count,
    /// A limit of 0: nothing could ever be sent.
    #[error("the node's limits allow nothing")]
    Limits,
}

/// What the node said of itself in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node, as its data directory names it.
    pub node_id: u128,
    /// The node's version, for humans.
    pub version: String,
    /// The worker that serves this connection.
    pub worker: WorkerId,
    /// Every worker's own port, by worker number. 0 where a worker has none.
    pub direct_ports: Vec<u16>,
    /// The bounds in force.
    pub limits: Limits,
    /// Version of the catalogue at the time.
    pub catalogue_version: u64,
}

impl NodeInfo {
    fn of(answer: &HelloAnswer<'_>) -> Self {
        Self {
            node_id: answer.node_id,
            version: answer.node_version.to_owned(),
            worker: answer.worker,
            direct_ports: answer.direct_ports.clone(),
            limits: answer.limits,
            catalogue_version: answer.catalogue_version,
        }
    }
}

/// What the received bytes amount to.
#[derive(Debug)]
pub enum Event<A, S> {
    /// At least this many more bytes are needed. Reserving them is safe: the claim was checked.
    Need(usize),
    /// The handshake succeeded: requests may be sent.
    Opened(NodeInfo),
    /// The answer to a request: of its operation, a result or an error.
    Answer(A, Message),
    /// Frames for a subscription.
    Push(S, Message),
    /// A subscription's end, from the node. The subscription is forgotten.
    PushEnd(S, Message),
    /// The node says why it is about to close the connection.
    Closing(ErrorAnswer<'static>),
}

/// Why a request cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection has all the unanswered requests, or subscriptions, the node allows")]
pub struct Full;

/// The client's side of one connection.
#[derive(Debug)]
pub struct Session<A, S> {
    decoder: Decoder,
    state: State,
    limits: Limits,
    next_correlation: u64,
    waiting: BTreeMap<u64, Waiting<A>>,
    subscriptions: BTreeMap<u64, Subscription<S>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Open,
}

#[derive(Debug)]
struct Waiting<A> {
    opcode: u8,
    /// The subscription that this request ends.
    ends: Option<u64>,
    waiter: A,
}

#[derive(Debug)]
struct Subscription<S> {
    reader: S,
    /// Its subscribe was answered.
    live: bool,
    /// Nobody wants its pushes any more; they may arrive until the unsubscribe is answered.
    dropped: bool,
    /// Bytes that may be pushed; negative after a frame larger than what was left.
    credit: i64,
}

impl<A, S: Clone> Session<A, S> {
    /// A session that has greeted the node: Hello is appended to `out`.
    pub fn open(client: &str, token: &[u8], out: &mut BytesMut) -> Self {
        let hello = Hello { version_min: VERSION_MIN, version_max: VERSION, features: FEATURES, client, token };
        Envelope::request::<Hello<'_>>(1).encode(&hello, out);
        Self {
            decoder: Decoder::new(Side::Client),
            state: State::Greeting,
            limits: Limits::default(),
            next_correlation: 2,
            waiting: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
        }
    }

    /// Requests that are not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// Appends a request, and its announcement of a body of `body` (length and CRC), to `out`. The body itself follows it.
    pub fn request<O: Operation>(
        &mut self,
        operation: &O,
        body: Option<(u32, u32)>,
        waiter: A,
        out: &mut BytesMut,
    ) -> Result<(), (Full, A)> {
        self.send(operation, body, None, waiter, out).map(drop)
    }

    /// Appends a subscribe to `out` and returns its correlation: the subscription's name.
    pub fn subscribe(
        &mut self,
        operation: &Subscribe,
        waiter: A,
        reader: S,
        out: &mut BytesMut,
    ) -> Result<u64, (Full, A)> {
        if self.subscriptions.len() >= self.limits.subscriptions_max as usize {
            return Err((Full, waiter));
        }
        let id = self.send(operation, None, None, waiter, out)?;
        let credit = operation.credit.into();
        self.subscriptions.insert(id, Subscription { reader, live: false, dropped: false, credit });
        Ok(id)
    }

    /// Appends credit for a subscription to `out`. Nothing happens if it is over.
    pub fn credit(&mut self, subscription: u64, bytes: u32, out: &mut BytesMut) {
        let Some(entry) = self.subscriptions.get_mut(&subscription) else { return };
        if entry.dropped || bytes == 0 {
            return;
        }
        // Not capped as the node caps it: what is on its way is off the node's balance already and not off this one, and
        // a balance here that is too high accuses nobody wrongly.
        entry.credit += i64::from(bytes);
        let correlation = self.correlation();
        Envelope::credit(correlation).encode(&Credit { subscription, bytes }, out);
    }

    /// Appends the end of a subscription to `out`, unless it is over already: then `waiter` comes back. Pushes that are
    /// on their way are swallowed.
    pub fn unsubscribe(&mut self, subscription: u64, waiter: A, out: &mut BytesMut) -> Result<(), A> {
        let Some(entry) = self.subscriptions.get_mut(&subscription) else { return Err(waiter) };
        if entry.dropped {
            return Err(waiter);
        }
        entry.dropped = true;
        self.send(&Unsubscribe { subscription }, None, Some(subscription), waiter, out).map(drop).map_err(|full| full.1)
    }

    /// Takes the next event off `received`. After an error the session is over.
    pub fn receive(&mut self, received: &mut BytesMut) -> Result<Event<A, S>, ProtocolError> {
        loop {
            let message = match self.decoder.next(received)? {
                Next::Need(bytes) => return Ok(Event::Need(bytes)),
                Next::Message(message) => message,
            };
            let event = match message.head.kind {
                Kind::Error if message.head.correlation == 0 => {
                    return Ok(Event::Closing(ErrorAnswer::decode(&message.args)?.into_owned()));
                }
                Kind::Answer | Kind::Error if self.state == State::Greeting => Some(self.greeted(&message)?),
                Kind::Answer | Kind::Error => Some(self.answered(message)?),
                Kind::Push => self.pushed(message)?,
                Kind::LastPush => self.push_ended(message)?,
                Kind::Request => unreachable!("the decoder refuses requests on the client's side"),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// Ends the session: everybody who still waits for an answer, and the readers of the subscriptions, in the order they
    /// came.
    pub fn end(&mut self) -> (Vec<A>, Vec<S>) {
        let waiting = std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.waiter).collect();
        let subscriptions = std::mem::take(&mut self.subscriptions);
        (waiting, subscriptions.into_values().map(|subscription| subscription.reader).collect())
    }

    fn send<O: Operation>(
        &mut self,
        operation: &O,
        body: Option<(u32, u32)>,
        ends: Option<u64>,
        waiter: A,
        out: &mut BytesMut,
    ) -> Result<u64, (Full, A)> {
        if self.waiting.len() >= self.limits.in_flight_max as usize {
            return Err((Full, waiter));
        }
        let correlation = self.correlation();
        let mut envelope = Envelope::request::<O>(correlation);
        if let Some((len, crc)) = body {
            envelope = envelope.body(len, crc);
        }
        envelope.encode(operation, out);
        self.waiting.insert(correlation, Waiting { opcode: O::OPCODE as u8, ends, waiter });
        Ok(correlation)
    }

    /// The next name for a request: 2^64 of them do not run out.
    fn correlation(&mut self) -> u64 {
        let correlation = self.next_correlation;
        self.next_correlation += 1;
        correlation
    }

    fn greeted(&mut self, message: &Message) -> Result<Event<A, S>, ProtocolError> {
        if message.head.correlation != 1 {
            return Err(ProtocolError::UnexpectedAnswer { correlation: message.head.correlation });
        }
        match message.answer::<Hello<'_>>()? {
            Err(error) => Ok(Event::Closing(error.into_owned())),
            Ok(answer) => {
                if !(VERSION_MIN..=VERSION).contains(&answer.version) {
                    return Err(ProtocolError::Version(answer.version));
                }
                if answer.limits.in_flight_max == 0 || answer.limits.producer_window == 0 {
                    return Err(ProtocolError::Limits);
                }
                self.limits = answer.limits;
                self.state = State::Open;
                Ok(Event::Opened(NodeInfo::of(&answer)))
            }
        }
    }

    fn answered(&mut self, message: Message) -> Result<Event<A, S>, ProtocolError> {
        let correlation = message.head.correlation;
        let Some(waiting) = self.waiting.remove(&correlation) else {
            return Err(ProtocolError::UnexpectedAnswer { correlation });
        };
        if waiting.opcode != message.head.opcode {
            return Err(ProtocolError::WrongOpcode { expected: waiting.opcode, have: message.head.opcode });
        }
        if let Some(subscription) = waiting.ends {
            self.subscriptions.remove(&subscription);
        }
        if waiting.opcode == Opcode::Subscribe as u8 {
            match (message.head.kind, self.subscriptions.get_mut(&correlation)) {
                (Kind::Answer, Some(subscription)) => subscription.live = true,
                _ => drop(self.subscriptions.remove(&correlation)),
            }
        }
        Ok(Event::Answer(waiting.waiter, message))
    }

    fn pushed(&mut self, message: Message) -> Result<Option<Event<A, S>>, ProtocolError> {
        let correlation = message.head.correlation;
        match self.subscriptions.get_mut(&correlation) {
            Some(subscription) if subscription.live => {
                if subscription.credit <= 0 {
                    return Err(ProtocolError::NoCredit { correlation });
                }
                subscription.credit -= i64::from(message.head.body_len);
                Ok((!subscription.dropped).then(|| Event::Push(subscription.reader.clone(), message)))
            }
            _ => Err(ProtocolError::UnexpectedPush { correlation }),
        }
    }

    fn push_ended(&mut self, message: Message) -> Result<Option<Event<A, S>>, ProtocolError> {
        let correlation = message.head.correlation;
        SubscriptionEnd::decode(&message.args)?;
        match self.subscriptions.remove(&correlation) {
            Some(subscription) if subscription.live => {
                Ok((!subscription.dropped).then(|| Event::PushEnd(subscription.reader, message)))
            }
            _ => Err(ProtocolError::UnexpectedPush { correlation }),
        }
    }
}

/// The length and CRC of a body, as its request announces them.
#[must_use]
pub fn announce(body: &Bytes) -> (u32, u32) {
    (u32::try_from(body.len()).expect("a body is below 4 GiB"), crc32fast::hash(body))
}

#[cfg(test)]
mod tests;
