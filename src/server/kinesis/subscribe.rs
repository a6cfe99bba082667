//! SubscribeToShard: records of a shard pushed to a registered consumer as they are committed.
//!
//! What is wrong with the request is answered as with any other; once the stream of events has begun, it says so itself. A
//! subscription lives for five minutes. Before that it ends when the client goes, another one takes over, the shard ends, or
//! the shard moves to another worker, where the client finds it when it subscribes again.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future;

use super::call::{Call, Reply, shard_number};
use super::failure::{self, About};
use super::get::{Child, behind_ms, children, write_bodies, write_end};
use super::notes::is_encrypted;
use super::put::dry_run;
use super::start::{Wish, readable};
use crate::engine::read::ReadError;
use crate::kinesis::Encoding;
use crate::kinesis::error::{Code, Error};
use crate::kinesis::event_stream::{event, exception, initial_response};
use crate::kinesis::input::Input;
use crate::kinesis::output::Output;
use crate::kinesis::records::{self, After, Page, Written};
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::Failure;
use crate::server::http::{Sender, Turns, stream as body_stream};
use crate::server::pipes::Held;
use crate::server::worker::{Got, Via, Worker, wait_out};
use crate::shard::fanout::Manner;
use crate::shard::sequence::SequenceNumber;
use crate::types::{MonoUs, Offset};

/// How long a subscription lives, as in Kinesis.
const LIFE_MS: u64 = 300_000;

/// With nothing to push, this long after the last event the client is told so.
const IDLE_MS: u64 = 5_000;

/// How long a shard is left alone that lets nobody wait.
const REOPEN_PAUSE_MS: u64 = 50;

/// Frames in one event. Enough for full speed, and little enough that a slow client holds little.
const EVENT_BYTES: u32 = 1 << 20;

impl<R: Runtime> Call<'_, R> {
    pub(super) async fn subscribe_to_shard(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let named = self.named_consumer(input.str("ConsumerARN").unwrap_or_default())?;
        let text = input.str("ShardId").unwrap_or_default();
        let about = self.about(named.stream).consumer(named.name);
        let number = shard_number(text).ok_or_else(|| about.no_shard(text))?;
        let about = about.shard(number);
        let position = input.structure("StartingPosition");
        let wish = Wish {
            kind: position.and_then(|position| position.str("Type")).unwrap_or_default(),
            number: position.and_then(|position| position.str("SequenceNumber")),
            time_ms: position.and_then(|position| position.time_ms("Timestamp")),
        };
        let (group, consumer, wanted, page) = self.see_consumer(&named, |stream, consumer, shown| {
            if !shown.is_active() {
                return Err(about.consumer_not_active());
            }
            let shard = readable(stream, number).ok_or_else(|| about.no_shard(number))?;
            let page = Page {
                created: shard.created,
                shard: number,
                from: Offset(0),
                records_max: usize::MAX,
                bytes_max: usize::MAX,
                is_encrypted: is_encrypted(stream),
            };
            Ok((shard.group, consumer.id, self.wanted(shard, &wish, &about)?, page))
        })?;
        if input.bool("DryRun").unwrap_or(false) {
            return Err(dry_run());
        }
        let from = self.resolve(group, wanted, &wish, &about).await?;
        let pipe = async || self.worker.take_pipe(group, consumer, Manner::Aws).await;
        let held = self.patiently(pipe).await.map_err(|failure| self.error(&failure, &about))?;
        let (sender, body) = body_stream(self.turns);
        let pushing = Pushing {
            worker: Rc::clone(self.worker),
            turns: self.turns.clone(),
            sender,
            encoding: self.encoding,
            held,
            page: Page { from, ..page },
            last: None,
            names: [self.account(), named.stream, named.name].map(ToOwned::to_owned),
        };
        self.worker.rt.spawn(TaskClass::Latency, pushing.run());
        Ok(Reply::Events(body))
    }
}

/// A subscription.
struct Pushing<R: Runtime> {
    worker: Rc<Worker<R>>,
    turns: Turns,
    sender: Sender,
    encoding: Encoding,
    held: Held,
    /// What the next event is made of.
    page: Page,
    /// The last record that was pushed.
    last: Option<SequenceNumber>,
    /// Account, stream and consumer, for messages.
    names: [String; 3],
}

/// What comes after an event.
enum Next {
    More,
    End,
}

impl<R: Runtime> Pushing<R> {
    async fn run(mut self) {
        let mut out = Vec::new();
        initial_response(&mut out, self.encoding);
        if self.sender.send(Bytes::from(out)).await
            && let Err(failure) = self.push_all().await
        {
            self.fail(&failure).await;
        }
        self.worker.leave_pipe(self.held);
    }

    /// Pushes until the subscription ends in good order, or to why it ends otherwise.
    async fn push_all(&mut self) -> Result<(), Failure> {
        let now = self.worker.rt.now();
        let (deadline, mut told) = (now.plus(LIFE_MS * 1_000), now);
        loop {
            let pushed = match self.sender.room().await {
                true => self.push(deadline, &mut told).await,
                false => return Ok(()),
            };
            match pushed {
                Ok(Next::More) => {}
                Ok(Next::End) => return Ok(()),
                Err(Failure::Read(ReadError::BeforeHorizon { horizon })) if horizon > self.page.from => {
                    self.page.from = horizon;
                }
                Err(Failure::Read(ReadError::Damaged { resume, .. }))
                    if resume > self.page.from && !self.worker.quarantined.borrow().contains(&self.held.group) =>
                {
                    self.page.from = resume;
                }
                Err(Failure::Read(ReadError::Away)) => self.pause().await,
                // It is served elsewhere from now on, or not for the moment: clients subscribe again where they left off.
                Err(Failure::ShardMoving(_) | Failure::WorkerGone(_) | Failure::Draining) => return Ok(()),
                Err(failure) => wait_out(&self.worker, failure).await?,
            }
        }
    }

    /// One event, as soon as there is something to tell.
    async fn push(&mut self, deadline: MonoUs, told: &mut MonoUs) -> Result<Next, Failure> {
        let began = self.worker.rt.now();
        let until = deadline.min(told.plus(IDLE_MS * 1_000));
        if began >= deadline {
            return Ok(Next::End);
        }
        let wait_ms = u32::try_from(until.since(began).div_ceil(1_000)).unwrap_or(u32::MAX);
        let Held { group, .. } = self.held;
        let got = {
            let turn = async |asked| self.turns.take(asked).await;
            let via = Via::Pipe(self.held);
            let read = async { Some(self.worker.get(group, self.page.from, EVENT_BYTES, wait_ms, via, turn).await) };
            let gone = async {
                self.sender.gone().await;
                None
            };
            match future::or(gone, read).await {
                Some(got) => got?,
                None => return Ok(Next::End),
            }
        };
        if got.body.is_empty() && !got.state.end_of_shard {
            let now = self.worker.rt.now();
            if self.worker.is_draining() || now >= deadline {
                return Ok(Next::End);
            }
            if now < until {
                // Nothing to read and no wait: the log is dead and about to be opened again.
                self.pause().await;
                return Ok(Next::More);
            }
        }
        let is_end = got.state.end_of_shard;
        let children = if is_end { Some(children(&self.worker, group).await) } else { None };
        if children.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::Draining);
        }
        let event = self.event(&got, children.as_deref());
        *told = self.worker.rt.now();
        let is_taken = self.sender.send(Bytes::from(event)).await;
        Ok(if is_end || !is_taken { Next::End } else { Next::More })
    }

    fn event(&mut self, got: &Got<R>, children: Option<&[Child]>) -> Vec<u8> {
        let mut out = Vec::new();
        event(&mut out, self.encoding, "SubscribeToShardEvent", |out| {
            records::begin(out, self.encoding);
            let Written { next, last, last_arrival, .. } =
                write_bodies(out, self.encoding, &self.page, std::slice::from_ref(&got.body));
            self.last = last.or(self.last);
            self.page.from = next;
            let behind = behind_ms(&got.state, next, last_arrival);
            write_end(out, self.encoding, behind, children, After::Continuation(self.continuation(got)));
        });
        out
    }

    /// The number after which to go on. It need not be that of a record that was ever read: what counts is its offset.
    fn continuation(&self, got: &Got<R>) -> SequenceNumber {
        let Page { created, shard, from, .. } = self.page;
        match (self.last, from.0.checked_sub(1)) {
            (Some(last), _) if last.after() == from => last,
            (_, None) => SequenceNumber::start(created, shard),
            (_, Some(before)) => SequenceNumber::of(created, shard, Offset(before), got.state.wall),
        }
    }

    async fn pause(&self) {
        self.worker.rt.sleep(Duration::from_millis(REOPEN_PAUSE_MS)).await;
    }

    /// Says why it ends.
    async fn fail(&self, failure: &Failure) {
        let [account, stream, consumer] = &self.names;
        let about = About::stream(account, stream).shard(self.page.shard).consumer(consumer);
        let Error { code, message } = failure::error(failure, &about);
        // No others are known to the stream of events.
        let code = match code {
            Code::ResourceNotFoundException | Code::ResourceInUseException => code,
            _ => Code::InternalFailureException,
        };
        let mut out = Vec::new();
        exception(&mut out, self.encoding, code.name(), |out| {
            Output::append(out, self.encoding, None, |fields| fields.str("message", &message));
        });
        self.sender.send(Bytes::from(out)).await;
    }
}
