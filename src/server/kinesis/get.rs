//! GetRecords.

use std::rc::Rc;

use super::call::{Call, Reply, invalid};
use super::notes::is_encrypted;
use super::put::dry_run;
use super::start::readable;
use crate::catalog::{Shard, Status};
use crate::engine::read::ReadError;
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
use crate::server::worker::{Got, Via, Worker};
use crate::types::{GroupId, Offset, ShardNumber, WallUs};

/// A shard to go on with, as an answer names it.
#[derive(Debug)]
pub(super) struct Child {
    shard: ShardNumber,
    parents: Vec<ShardNumber>,
    range: crate::catalog::HashRange,
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
pub(super) fn write_body<R: Runtime>(
    out: &mut Vec<u8>,
    encoding: crate::kinesis::Encoding,
    page: &Page,
    body: &Body<R>,
) -> Written {
    match body {
        Body::Empty => write_records(out, encoding, page, std::iter::empty()),
        Body::Copied(bytes) => write_records(out, encoding, page, std::iter::once(&bytes[..])),
        Body::Frames(slices) => write_records(out, encoding, page, slices.iter().map(|slice| &slice[..])),
    }
}

/// Appends what stands behind the records; `children` at the end of the shard, else how to go on.
pub(super) fn write_end(
    out: &mut Vec<u8>,
    encoding: crate::kinesis::Encoding,
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
        let Got { body, state, _turn } = got;
        let page = Page {
            created,
            shard: position.shard,
            from,
            records_max: limit as usize,
            bytes_max: GET_RECORDS_BYTES_MAX as usize,
            is_encrypted,
        };
        let mut out = Vec::new();
        records::begin(&mut out, self.encoding);
        let written = write_body(&mut out, self.encoding, &page, &body);
        drop(body);
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

    async fn read(&self, position: &Position, from: Offset, limit: u32, wait_ms: u32) -> Result<Got<R>, Failure> {
        let turn = async || self.turns.take().await;
        self.worker.get(position.group, from, GET_RECORDS_BYTES_MAX, wait_ms, Via::Records { limit }, turn).await
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
