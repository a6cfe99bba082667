//! Reading shards, here or on another worker.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_lite::future;

use super::{Home, Worker};
use crate::catalog::ConsumerId;
use crate::engine::read::ReadError;
use crate::engine::shard::{Phase, Shard, rates};
use crate::limits::{GET_RECORDS_BYTES_MAX, GET_WAIT_MS_MAX, READ_BYTES_MAX};
use crate::protocol::messages::ReadState;
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op};
use crate::server::outbox::Body;
use crate::server::pipes::{Asked, Held};
use crate::server::waiting::Turn;
use crate::shard::admission::PutRefusal;
use crate::shard::fanout::{Manner, Ticket};
use crate::shard::position::{Bounds, Start};
use crate::shard::throttle::{Pace, Throttled};
use crate::types::{GroupId, Offset};

/// Pause between two looks at a shard that is neither here nor gone.
const AWAY_PAUSE_MS: u64 = 50;

/// On whose account something is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A call of its own.
    Call,
    /// A call of Kinesis: exactly so many records, if there are as many.
    Records {
        /// How many.
        limit: u32,
        /// Whether this goes on with a call that was let through.
        is_more: bool,
    },
    /// A push that shares the bytes of those who call.
    Shared,
    /// The pipe of a registered consumer.
    Pipe(Held),
}

/// Frames and where the reader stands after them.
pub struct Got<R: Runtime> {
    /// Whole data frames.
    pub body: Body<R>,
    /// Where the reader stands.
    pub state: ReadState,
    /// The connection's turn to read; to be held until the body was handed over.
    pub _turn: Option<Turn>,
}

impl<R: Runtime> Got<R> {
    /// As it crosses threads.
    pub(super) fn copied(self) -> (Bytes, ReadState) {
        let bytes = match &self.body {
            Body::Empty => Bytes::new(),
            Body::Copied(bytes) => bytes.clone(),
            Body::Frames(slices) => {
                let mut bytes = BytesMut::with_capacity(self.body.len());
                slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
                bytes.freeze()
            }
        };
        (bytes, self.state)
    }
}

impl<R: Runtime> Worker<R> {
    /// Reads frames; if there are none, waits for them up to `wait_ms`. Within what the stream allows on that account.
    ///
    /// `turn` is asked for the bytes and awaited before they are read: it bounds how much the client that asks may have in memory.
    /// Without a turn the client is gone.
    pub async fn get(
        &self,
        group: GroupId,
        from: Offset,
        bytes_max: u32,
        wait_ms: u32,
        via: Via,
        turn: impl AsyncFnOnce(u32) -> Option<Turn>,
    ) -> Result<Got<R>, Failure> {
        let most = match via {
            Via::Records { .. } => GET_RECORDS_BYTES_MAX,
            Via::Call | Via::Shared | Via::Pipe(_) => READ_BYTES_MAX,
        };
        let (bytes_max, wait_ms) = (bytes_max.min(most), wait_ms.min(GET_WAIT_MS_MAX));
        match self.home(group)? {
            Home::Here(shard) => {
                self.wait_here(&shard, from, wait_ms, via).await;
                let turn = turn(bytes_max).await.ok_or(Failure::Draining)?;
                let got = self.read_here(&shard, from, turn.leave.bytes(), via).await?;
                Ok(Got { _turn: Some(turn), ..got })
            }
            Home::There(link) => {
                if wait_ms > 0 {
                    let wait = Op::Wait { group, from, wait_ms, via };
                    let waited = async { link.call(wait).await.map(drop) };
                    let drained = async {
                        self.drained().await;
                        Ok(())
                    };
                    future::or(waited, drained).await?;
                }
                let turn = turn(bytes_max).await.ok_or(Failure::Draining)?;
                let bytes_max = turn.leave.bytes();
                match link.call(Op::Get { group, from, bytes_max, via }).await? {
                    Answer::Get(got) => {
                        let (bytes, state) = got?;
                        Ok(Got { body: Body::Copied(bytes), state, _turn: Some(turn) })
                    }
                    _ => unreachable!("a get is answered as a get"),
                }
            }
        }
    }

    pub(super) async fn wait_here(&self, shard: &Shard<R>, from: Offset, wait_ms: u32, via: Via) {
        let wait = async {
            shard.wait_for(from, Duration::from_millis(wait_ms.into())).await;
        };
        // A stopping node lets nobody wait.
        let wait = future::or(wait, self.drained());
        match via {
            Via::Call | Via::Records { .. } | Via::Shared => wait.await,
            Via::Pipe(held) => future::or(wait, self.pipes.lost(held)).await,
        }
    }

    /// Watches over a subscription that may not be sent records now: resolves to the end of the shard once it is closed,
    /// unless the subscription knows that, and to why there is nothing to go on with once the shard or the pipe is gone.
    /// In any case after the time of a long poll.
    pub async fn watch(
        &self,
        group: GroupId,
        pipe: Option<Held>,
        end: Option<Offset>,
    ) -> Result<Option<Offset>, Failure> {
        match self.home(group)? {
            Home::Here(_) => self.watch_here(group, pipe, end).await,
            Home::There(link) => match link.call(Op::Watch { group, pipe, end }).await? {
                Answer::Watched(watched) => watched,
                _ => unreachable!("a watch is answered as a watch"),
            },
        }
    }

    pub(super) async fn watch_here(
        &self,
        group: GroupId,
        pipe: Option<Held>,
        end: Option<Offset>,
    ) -> Result<Option<Offset>, Failure> {
        let deadline = self.rt.now().plus(u64::from(GET_WAIT_MS_MAX) * 1_000);
        while self.rt.now() < deadline && !self.is_draining() {
            let shard = self.shards.get(group).ok_or_else(|| self.not_here(group))?;
            let is_new = || match shard.phase() {
                Phase::Closed(_) => end.is_none() || shard.log().refusal() != Some(PutRefusal::Closed),
                _ => shard.is_closed(),
            };
            let changed = shard.log().until(|| is_new().then_some(()));
            let changed = future::or(changed, self.drained());
            let changed = future::or(changed, self.rt.sleep(Duration::from_micros(deadline.since(self.rt.now()))));
            match pipe {
                None => changed.await,
                Some(held) => future::or(changed, self.pipes.lost(held)).await,
            }
            if let Some(held) = pipe.filter(|held| !self.pipes.is_held(*held)) {
                return Err(self.pipe_gone(&shard, held));
            }
            if let (Phase::Closed(at), None) = (shard.phase(), end) {
                return Ok(Some(at));
            }
            if is_new() {
                // On its way to another worker, or its log died and is opened again.
                self.rt.sleep(Duration::from_millis(AWAY_PAUSE_MS)).await;
            }
        }
        Ok(end)
    }

    pub(super) async fn read_here(
        &self,
        shard: &Shard<R>,
        from: Offset,
        bytes_max: u32,
        via: Via,
    ) -> Result<Got<R>, Failure> {
        let failed = |error| match error {
            // It has left for another worker, or for good.
            ReadError::Away if self.shards.get(shard.id.group).is_none() => self.not_here(shard.id.group),
            error => Failure::Read(error),
        };
        let frames = match via {
            Via::Call => shard.get(from, bytes_max as usize).await.map_err(failed)?,
            Via::Records { limit, is_more } => {
                shard.get_records(from, bytes_max as usize, limit.into(), is_more).await.map_err(failed)?
            }
            Via::Shared => shard.push(from, bytes_max as usize).await.map_err(failed)?,
            Via::Pipe(held) => {
                let bytes_max = self.pace(shard, held, bytes_max)?;
                let frames = shard.read(from, bytes_max as usize).await.map_err(failed)?;
                self.pipes.took(self.rt.now(), held, frames.bytes);
                frames
            }
        };
        let Bounds { horizon, end } = shard.bounds().await.map_err(failed)?;
        let state = ReadState {
            next_offset: frames.next,
            end_offset: end,
            horizon,
            last_arrival: frames.last_arrival,
            wall: self.rt.wall(),
            end_of_shard: shard.is_end(frames.next),
        };
        let body = if frames.slices.is_empty() { Body::Empty } else { Body::Frames(frames.slices) };
        Ok(Got { body, state, _turn: None })
    }

    /// How much of `bytes_max` may go through a pipe now.
    fn pace(&self, shard: &Shard<R>, held: Held, bytes_max: u32) -> Result<u32, Failure> {
        match self.pipes.pace(self.rt.now(), held, &rates(&shard.settings().limits)) {
            Some(Pace::Now { bytes }) => Ok(u32::try_from(bytes).unwrap_or(u32::MAX).min(bytes_max)),
            Some(Pace::Later { after_us: retry_after_us }) => {
                Err(Failure::Read(ReadError::Throttled(Throttled { retry_after_us })))
            }
            None => Err(self.pipe_gone(shard, held)),
        }
    }

    /// Why a subscription has lost its pipe.
    fn pipe_gone(&self, shard: &Shard<R>, held: Held) -> Failure {
        if self.shards.get(held.group).is_none() {
            // It went with the shard.
            return self.not_here(held.group);
        }
        let catalog = self.catalog.borrow();
        match catalog.stream(shard.id.stream).and_then(|stream| stream.consumer(held.consumer)) {
            Some(_) if self.pipes.is_taken(held) => Failure::TakenOver,
            // The shard has moved, and the pipe stayed behind: the reader begins again at the new owner.
            Some(_) => Failure::ShardMoving(held.group),
            None => Failure::ConsumerUnknown(held.consumer.to_string()),
        }
    }

    /// Takes the pipe of a registered consumer from a shard, wherever that is.
    pub async fn take_pipe(&self, group: GroupId, consumer: ConsumerId, manner: Manner) -> Result<Held, Failure> {
        {
            let catalog = self.catalog.borrow();
            let (stream, _) = catalog.shard(group).ok_or(Failure::ShardUnknown(group))?;
            stream.consumer(consumer).ok_or_else(|| Failure::ConsumerUnknown(consumer.to_string()))?;
        }
        let asked = Asked { consumer, group, manner };
        let ticket = match self.home(group)? {
            Home::Here(_) => self.take_pipe_here(asked)?,
            Home::There(link) => match link.call(Op::TakePipe(asked)).await? {
                Answer::Pipe(ticket) => ticket?,
                _ => unreachable!("a pipe is answered as a pipe"),
            },
        };
        Ok(Held { consumer, group, ticket })
    }

    pub(super) fn take_pipe_here(&self, asked: Asked) -> Result<Ticket, Failure> {
        let shard = self.shards.get(asked.group).ok_or_else(|| self.not_here(asked.group))?;
        {
            // By this worker's copy: one that is behind may have sent it, and the consumer's pipes are gone from here.
            let catalog = self.catalog.borrow();
            let stream = catalog.stream(shard.id.stream).ok_or(Failure::ShardUnknown(asked.group))?;
            stream.consumer(asked.consumer).ok_or_else(|| Failure::ConsumerUnknown(asked.consumer.to_string()))?;
        }
        Ok(self.pipes.take(self.rt.now(), asked, &rates(&shard.settings().limits))?)
    }

    /// Gives a pipe back, wherever it is.
    pub fn leave_pipe(&self, held: Held) {
        match self.home(held.group) {
            Ok(Home::Here(_)) => self.pipes.leave(held),
            // Nobody waits for the answer.
            Ok(Home::There(link)) => drop(link.send(Op::LeavePipe(held), None)),
            // The pipe went with its shard.
            Err(_) => {}
        }
    }

    /// Resolves a position.
    pub async fn position(&self, group: GroupId, start: Start) -> Result<(Offset, Bounds), Failure> {
        match self.home(group)? {
            Home::Here(shard) => Ok(shard.position(start).await?),
            Home::There(link) => match link.call(Op::Position { group, start }).await? {
                Answer::Position(position) => position,
                _ => unreachable!("a position is answered as a position"),
            },
        }
    }
}

/// Waits as a reader that met a limit has to; gives any other failure back. On a node that stops nobody waits: it would try
/// again at once, and again.
pub async fn wait_out<R: Runtime>(worker: &Rc<Worker<R>>, failure: Failure) -> Result<(), Failure> {
    let Failure::Read(ReadError::Throttled(Throttled { retry_after_us })) = failure else { return Err(failure) };
    future::or(worker.rt.sleep(Duration::from_micros(retry_after_us)), worker.drained()).await;
    if worker.is_draining() { Err(Failure::Draining) } else { Ok(()) }
}
