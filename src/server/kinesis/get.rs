//! GetRecords.

use std::rc::Rc;

use super::call::{Call, Reply, invalid};
use super::notes::is_encrypted;
use super::put::dry_run;
use super::start::readable;
use crate::catalog::{HashRange, Shard, Status};
use crate::engine::read::ReadError;
use crate::kinesis::Encoding;
use crate::kinesis::error::Error;
use crate::kinesis::input::Input;
use crate::kinesis::iterator::Position;
use crate::kinesis::records::{self, After, ChildShard, GET_RECORDS_MAX, Page, Written, write_records};
use crate::limits::GET_RECORDS_BYTES_MAX;
use crate::protocol::messages::ReadState;
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::outbox::Body;
use crate::server::subscription;
use crate::server::waiting::Turn;
use crate::server::worker::{Got, Via, Worker};
use crate::types::{GroupId, Offset, ShardNumber, WallUs};

/// Frames that a get asks for first.
const FIRST_BYTES: u32 = 1 << 20;

/// What an answer has for each record besides its key and data: about so much, in either encoding.
const AROUND_RECORD_BYTES: usize = 192;

/// A shard to go on with, as an answer names it.
#[derive(Debug)]
pub(super) struct Child {
    shard: ShardNumber,
    parents: Vec<ShardNumber>,
    range: HashRange,
}

impl From<Shard> for Child {
    fn from(shard: Shard) -> Self {
        Self { shard: shard.number, parents: shard.parents().collect(), range: shard.range }
    }
}

impl Child {
    fn write(&self) -> ChildShard<'_> {
        let Self { shard, parents, range } = self;
        ChildShard { shard: *shard, parents, first: range.start, last: range.end }
    }
}

/// The shards that go on with the keys of a closed one.
pub(super) async fn children<R: Runtime>(worker: &Rc<Worker<R>>, group: GroupId) -> Vec<Child> {
    subscription::children(worker, group).await.into_iter().map(Child::from).collect()
}

/// Appends records as they were read.
pub(super) fn write_bodies<R: Runtime>(
    out: &mut Vec<u8>,
    encoding: Encoding,
    page: &Page,
    bodies: &[Body<R>],
) -> Written {
    let mut slices: Vec<&[u8]> = Vec::new();
    for body in bodies {
        match body {
            Body::Empty => {}
            Body::Copied(bytes) => slices.push(bytes),
            Body::Frames(frames) => slices.extend(frames.iter().map(|slice| &slice[..])),
        }
    }
    write_records(out, encoding, page, slices.into_iter())
}

/// Appends what stands behind the records; `children` at the end of the shard, else how to go on.
pub(super) fn write_end(
    out: &mut Vec<u8>,
    encoding: Encoding,
    behind_ms: u64,
    children: Option<&[Child]>,
    after: After<'_>,
) {
    match children {
        None => records::end(out, encoding, behind_ms, &after),
        Some(children) => {
            let children: Vec<_> = children.iter().map(Child::write).collect();
            records::end(out, encoding, behind_ms, &After::Children(&children));
        }
    }
}

/// How far behind the newest record a reader is that has come to `next`, in milliseconds.
pub(super) fn behind_ms(state: &ReadState, next: Offset, last_arrival: Option<WallUs>) -> u64 {
    match last_arrival {
        Some(arrival) if next < state.end_offset => state.wall.millis().saturating_sub(arrival.millis()),
        _ => 0,
    }
}

/// What was read, a piece after the other.
struct Read<R: Runtime> {
    bodies: Vec<Body<R>>,
    /// Where the reader stands after the last one.
    state: ReadState,
    /// Bytes of records that the answer may have.
    bytes_max: u32,
    /// The connection's turn to make an answer of it.
    _turn: Option<Turn>,
}

/// What is to be read.
struct Target {
    name: String,
    created: WallUs,
    is_encrypted: bool,
    wait_ms: u32,
}

impl<R: Runtime> Call<'_, R> {
    pub(super) async fn get_records(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let iterator = input.str("ShardIterator").unwrap_or_default();
        let position = self.front.sealer.open_iterator(iterator, self.now())?;
        let Target { name, created, is_encrypted, wait_ms } = self.target(&position, input.str("StreamARN"))?;
        let about = self.about(&name).shard(position.shard);
        if input.bool("DryRun").unwrap_or(false) {
            return Err(dry_run());
        }
        let limit = input.int("Limit").and_then(|limit| u32::try_from(limit).ok()).unwrap_or(GET_RECORDS_MAX as u32);
        let mut from = position.offset;
        let got = loop {
            let attempt = async || self.read(&position, from, limit, wait_ms).await;
            match self.patiently(attempt).await {
                Ok(got) => break got,
                Err(Failure::Read(ReadError::BeforeHorizon { horizon })) if horizon > from => from = horizon,
                Err(Failure::Read(ReadError::Damaged { resume, .. }))
                    if resume > from && !self.worker.quarantined.borrow().contains(&position.group) =>
                {
                    // The operator has accepted the loss.
                    from = resume;
                }
                Err(Failure::ShardUnknown(_)) => return Err(about.nothing_to_read(position.shard)),
                Err(failure) => return Err(self.error(&failure, &about)),
            }
        };
        let Read { bodies, state, bytes_max, _turn } = got;
        let page = Page {
            created,
            shard: position.shard,
            from,
            records_max: limit as usize,
            bytes_max: bytes_max as usize,
            is_encrypted,
        };
        let bytes = bodies.iter().map(Body::len).sum::<usize>().min(page.bytes_max);
        let count = state.next_offset.0.saturating_sub(from.0);
        // What it comes to in either encoding, or a little more: grown by doubling it would be copied, and be twice as much.
        let mut out = Vec::with_capacity(bytes / 3 * 4 + AROUND_RECORD_BYTES * count.min(limit.into()) as usize + 1024);
        records::begin(&mut out, self.encoding);
        let written = write_bodies(&mut out, self.encoding, &page, &bodies);
        drop(bodies);
        let is_end = state.end_of_shard && written.next == state.next_offset;
        let children = if is_end { Some(children(self.worker, position.group).await) } else { None };
        if children.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.error(&Failure::Draining, &about));
        }
        let next = Position { offset: written.next, ..position };
        let next = self.front.sealer.iterator(&next, self.now(), self.worker.rt.random());
        let behind = behind_ms(&state, written.next, written.last_arrival);
        write_end(&mut out, self.encoding, behind, children.as_deref(), After::Iterator(&next));
        Ok(Reply::Body(out))
    }

    /// Reads as much as one answer takes: first what there is for a reader who keeps up, then, if there is more, the rest. So
    /// little room is taken for those who keep up, which is nearly always nearly all.
    async fn read(&self, position: &Position, from: Offset, limit: u32, wait_ms: u32) -> Result<Read<R>, Failure> {
        let group = position.group;
        let turn = async |asked| self.turns.take(asked).await;
        let via = Via::Records { limit, is_more: false };
        let Got { body, mut state, _turn: mut turn } =
            self.worker.get(group, from, FIRST_BYTES, wait_ms, via, turn).await?;
        let (next, count) = (state.next_offset, state.next_offset.0 - from.0);
        let cut = turn.as_ref().filter(|turn| turn.leave.is_cut()).map(|turn| turn.leave.bytes());
        let bytes_max = cut.unwrap_or(GET_RECORDS_BYTES_MAX);
        let left_bytes = bytes_max.saturating_sub(u32::try_from(body.len()).unwrap_or(u32::MAX));
        let left = u32::try_from(u64::from(limit).saturating_sub(count)).unwrap_or(0);
        let is_all = body.is_empty() || next >= state.end_offset;
        let mut bodies = vec![body];
        if !is_all && left > 0 && left_bytes > 0 {
            let via = Via::Records { limit: left, is_more: true };
            let same_turn = async |asked| {
                let mut turn = turn.take()?;
                turn.leave.extend(asked);
                Some(turn)
            };
            // What was read is good; an error meets the next call.
            if let Ok(more) = self.worker.get(group, next, left_bytes, 0, via, same_turn).await {
                bodies.push(more.body);
                (state, turn) = (more.state, more._turn);
            }
        }
        Ok(Read { bodies, state, bytes_max, _turn: turn })
    }

    /// The shard that an iterator stands in, as it is now.
    fn target(&self, position: &Position, arn: Option<&str>) -> Result<Target, Error> {
        let catalog = self.worker.catalog.borrow();
        let stream = catalog.stream(position.stream);
        let name = stream.map_or_else(String::new, |stream| stream.name.clone());
        let gone = || self.about(&name).nothing_to_read(position.shard);
        let stream = stream.filter(|stream| stream.status != Status::Deleting).ok_or_else(gone)?;
        if let Some(arn) = arn
            && self.name_of(None, Some(arn))? != stream.name
        {
            return Err(invalid(format!("The ShardIterator is not one of stream {arn}.")));
        }
        self.allow(&stream.name)?;
        let is_meant = |shard: &&Shard| shard.group == position.group;
        let shard = readable(stream, position.shard).filter(is_meant).ok_or_else(gone)?;
        let (created, wait_ms) = (shard.created, stream.settings.get_records_wait_ms);
        Ok(Target { is_encrypted: is_encrypted(stream), created, wait_ms, name })
    }
}
