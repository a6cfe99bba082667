//! The library's producer, as applications use it: a record is sent, a ticket waited for.
//!
//! A task per shard waits for the oldest ticket and then takes every one behind it that is ready too: a batch of a thousand
//! records wakes one task, not a thousand. The library acknowledges the batches of a shard in order, so that no ticket is
//! ready before the oldest one; only a batch that fails for good may hold up the notice of those behind it.
//!
//! When a shard is split or merged, acknowledgements name other shards than the one that was expected. Later records of these
//! keys wait in the line of the shard that took the last one, so that no line is held up by a shard that is not its own for
//! longer than the reshard takes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use millstream::client::{Ack, Client, Error, Producer, ProducerOptions, Ticket};
use millstream::runtime::local::Notify;
use millstream::runtime::tokio::TokioReactor;
use millstream::runtime::{Reactor, TaskClass};

use super::lanes::Lanes;
use super::{Done, Failure, Outgoing, Sent, failure};

/// A producer of the library.
pub struct ClientProducer {
    producer: Producer<TokioReactor>,
    client: Client<TokioReactor>,
    lines: Rc<Lines>,
    done: Done,
}

impl std::fmt::Debug for ClientProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}

/// The lines of records that wait for their outcome.
struct Lines {
    lanes: Lanes,
    /// By shard. A line that turned out to be that of a shard that is over is not among them.
    open: RefCell<BTreeMap<u32, Rc<Waiting>>>,
}

/// Records of one shard without an outcome yet, oldest first. The library's buffer bounds them.
#[derive(Debug, Default)]
struct Waiting {
    tickets: RefCell<VecDeque<(Ticket, Sent)>>,
    changed: Notify,
    /// Nothing will be added.
    is_over: Cell<bool>,
}

impl ClientProducer {
    pub(super) async fn open(
        client: &Client<TokioReactor>,
        stream: &str,
        options: ProducerOptions,
        done: Done,
    ) -> Result<Self, Error> {
        let producer = client.producer(stream, options).await?;
        let lanes = Lanes::new(client.describe_open_shards(stream).await?.shards);
        let lines = Rc::new(Lines { lanes, open: RefCell::default() });
        Ok(Self { producer, client: client.clone(), lines, done })
    }

    pub(super) async fn send(&self, record: Outgoing<'_>, sent: Sent) -> Result<(), Failure> {
        let ticket = self.producer.send(record.key, record.data).await.map_err(failure)?;
        let waiting = self.line(self.lines.lanes.shard_of(sent.key, record.key));
        waiting.tickets.borrow_mut().push_back((ticket, sent));
        waiting.changed.notify();
        Ok(())
    }

    fn line(&self, shard: u32) -> Rc<Waiting> {
        let mut open = self.lines.open.borrow_mut();
        let line = open.entry(shard).or_insert_with(|| {
            let waiting = Rc::new(Waiting::default());
            let task = settle(Rc::clone(&self.lines), shard, Rc::clone(&waiting), Rc::clone(&self.done));
            self.client.reactor().spawn(TaskClass::Latency, task);
            waiting
        });
        Rc::clone(line)
    }
}

impl Lines {
    /// A record that waited in this shard's line was stored, perhaps in another shard: its key's later ones wait there.
    fn stored(&self, shard: u32, waiting: &Waiting, sent: &Sent, ack: &Ack) {
        if ack.shard.0 != shard {
            self.lanes.learned(sent.key, ack.shard.0);
            if !waiting.is_over.replace(true) {
                self.open.borrow_mut().remove(&shard);
            }
        }
    }
}

async fn settle(lines: Rc<Lines>, shard: u32, waiting: Rc<Waiting>, done: Done) {
    let mut stored = Vec::new();
    loop {
        let oldest = || match waiting.tickets.borrow().front() {
            Some((ticket, _)) => Some(Some(ticket.clone())),
            None => waiting.is_over.get().then_some(None),
        };
        let Some(oldest) = waiting.changed.until(oldest).await else { return };
        let mut outcome = oldest.wait().await;
        loop {
            let Some((_, sent)) = waiting.tickets.borrow_mut().pop_front() else { break };
            match outcome {
                Ok(ack) => {
                    lines.stored(shard, &waiting, &sent, &ack);
                    stored.push(sent);
                }
                Err(error) => {
                    tell(&done, &mut stored);
                    done(&[sent], Err(&failure(error)));
                }
            }
            let next = waiting.tickets.borrow().front().and_then(|(ticket, _)| ready(ticket));
            match next {
                Some(next) => outcome = next,
                None => break,
            }
        }
        tell(&done, &mut stored);
    }
}

fn tell(done: &Done, stored: &mut Vec<Sent>) {
    if !stored.is_empty() {
        done(stored, Ok(()));
        stored.clear();
    }
}

/// The outcome of a record, if it is known already.
fn ready(ticket: &Ticket) -> Option<Result<Ack, Error>> {
    match pin!(ticket.wait()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}
