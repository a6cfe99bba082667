//! The library's producer, as applications use it: a record is sent, a ticket waited for.
//!
//! A task per shard waits for the oldest ticket and then takes every one behind it that is ready too: a batch of a thousand
//! records wakes one task, not a thousand. The library acknowledges the batches of a shard in order, so that no ticket is
//! ready before the oldest one; only a batch that fails for good may hold up the notice of those behind it.

use std::cell::RefCell;
use std::collections::VecDeque;
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
    lanes: Lanes,
    waiting: Vec<Rc<Waiting>>,
}

impl std::fmt::Debug for ClientProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}

/// Records of one shard without an outcome yet, oldest first. The library's buffer bounds them.
#[derive(Debug, Default)]
struct Waiting {
    tickets: RefCell<VecDeque<(Ticket, Sent)>>,
    changed: Notify,
}

impl ClientProducer {
    pub(super) async fn open(
        client: &Client<TokioReactor>,
        stream: &str,
        options: ProducerOptions,
        done: Done,
    ) -> Result<Self, Error> {
        let producer = client.producer(stream, options).await?;
        let lanes = Lanes::new(client.describe_stream(stream).await?.shards);
        let waiting: Vec<_> = lanes.map().open().iter().map(|_| Rc::new(Waiting::default())).collect();
        for waiting in &waiting {
            let task = settle(Rc::clone(waiting), Rc::clone(&done));
            client.reactor().spawn(TaskClass::Latency, task);
        }
        Ok(Self { producer, lanes, waiting })
    }

    pub(super) async fn send(&self, record: Outgoing<'_>, sent: Sent) -> Result<(), Failure> {
        let ticket = self.producer.send(record.key, record.data).await.map_err(failure)?;
        let waiting = &self.waiting[self.lanes.of(sent.key, record.key)];
        waiting.tickets.borrow_mut().push_back((ticket, sent));
        waiting.changed.notify();
        Ok(())
    }
}

async fn settle(waiting: Rc<Waiting>, done: Done) {
    let mut stored = Vec::new();
    loop {
        let oldest = || waiting.tickets.borrow().front().map(|(ticket, _)| ticket.clone());
        let oldest = waiting.changed.until(oldest).await;
        let mut outcome = oldest.wait().await;
        loop {
            let Some((_, sent)) = waiting.tickets.borrow_mut().pop_front() else { break };
            match outcome {
                Ok(_) => stored.push(sent),
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
