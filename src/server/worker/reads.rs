//! Reading shards, here or on another worker.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_lite::future;

use super::{Home, Worker};
use crate::catalog::ConsumerId;
use crate::engine::read::ReadError;
use crate::engine::shard::{Shard, rates};
use crate::limits::{GET_WAIT_MS_MAX, READ_BYTES_MAX};
use crate::protocol::messages::ReadState;
use crate::runtime::Runtime;
use crate::runtime::local::Permit;
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op};
use crate::server::outbox::{Body, Outbox};
use crate::server::pipes::{Asked, Held};
use crate::shard::fanout::{Manner, Ticket};
use crate::shard::position::{Bounds, Start};
use crate::shard::throttle::{Pace, Throttled};
use crate::types::{GroupId, Offset};

/// Frames and where the reader stands after them.
pub struct Got<R: Runtime> {
    /// Whole data frames.
    pub body: Body<R>,
    /// Where the reader stands.
    pub state: ReadState,
    /// The connection's turn to read; to be held until the body was handed over.
    pub _turn: Option<Permit>,
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
    /// Reads frames for the client of `outbox`; if there are none, waits for them up to `wait_ms`. Through the pipe of a
    /// registered consumer, or else within what the stream allows all its readers together.
    pub async fn get(
        &self,
        group: GroupId,
        from: Offset,
        bytes_max: u32,
        wait_ms: u32,
        pipe: Option<Held>,
        outbox: &Outbox<R>,
    ) -> Result<Got<R>, Failure> {
        let (bytes_max, wait_ms) = (bytes_max.min(READ_BYTES_MAX), wait_ms.min(GET_WAIT_MS_MAX));
        match self.home(group)? {
            Home::Here(shard) => {
                self.wait_here(&shard, from, wait_ms, pipe).await;
                let turn = outbox.read_turn().await.ok_or(Failure::Draining)?;
                let got = self.read_here(&shard, from, bytes_max, pipe).await?;
                Ok(Got { _turn: Some(turn), ..got })
            }
            Home::There(link) => {
                if wait_ms > 0 {
                    let wait = Op::Wait { group, from, wait_ms, pipe };
                    let waited = async { link.call(wait).await.map(drop) };
                    let drained = async {
                        self.drained().await;
                        Ok(())
                    };
                    future::or(waited, drained).await?;
                }
                let turn = outbox.read_turn().await.ok_or(Failure::Draining)?;
                match link.call(Op::Get { group, from, bytes_max, pipe }).await? {
                    Answer::Get(got) => {
                        let (bytes, state) = got?;
                        Ok(Got { body: Body::Copied(bytes), state, _turn: Some(turn) })
                    }
                    _ => unreachable!("a get is answered as a get"),
                }
            }
        }
    }

    pub(super) async fn wait_here(&self, shard: &Shard<R>, from: Offset, wait_ms: u32, pipe: Option<Held>) {
        let wait = async {
            shard.wait_for(from, Duration::from_millis(wait_ms.into())).await;
        };
        // A stopping node lets nobody wait.
        let wait = future::or(wait, self.drained());
        match pipe {
            None => wait.await,
            Some(held) => future::or(wait, self.pipes.lost(held)).await,
        }
    }

    pub(super) async fn read_here(
        &self,
        shard: &Shard<R>,
        from: Offset,
        bytes_max: u32,
        pipe: Option<Held>,
    ) -> Result<Got<R>, Failure> {
        let frames = match pipe {
            None => shard.get(from, bytes_max as usize).await?,
            Some(held) => {
                let bytes_max = self.pace(shard, held, bytes_max)?;
                let frames = shard.read(from, bytes_max as usize).await?;
                self.pipes.took(self.rt.now(), held, frames.bytes);
                frames
            }
        };
        let Bounds { horizon, end } = shard.bounds().await?;
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
