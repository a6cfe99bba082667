//! The native keyed put: records in one body, each to the shard of its hash key.

use std::rc::Rc;

use bytes::Bytes;

use crate::engine::shard::record_terms;
use crate::format::record::{self, Records};
use crate::protocol::messages::{PutKeyed, PutKeyedAnswer, RecordResult};
use crate::protocol::{BodyChecksumMismatch, ErrorAnswer, ErrorCode};
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::router::{Fate, Routed, Router, Taken, Taker};
use crate::server::worker::Worker;
use crate::types::ShardNumber;

/// Checks, routes and takes a keyed put. Resolves when every share has been taken or refused.
pub async fn take<R: Runtime>(
    worker: &Rc<Worker<R>>,
    put: &PutKeyed<'_>,
    body: &Bytes,
    body_crc: u32,
) -> Result<Taken, ErrorAnswer<'static>> {
    let computed = crc32fast::hash(body);
    if computed != body_crc {
        return Err(BodyChecksumMismatch { stored: body_crc, computed }.answer());
    }
    Ok(route(worker, put, body)?.send(worker).await)
}

/// The answer, once every share is durable or has failed.
pub async fn answer<R: Runtime>(worker: &Rc<Worker<R>>, taken: Taken) -> PutKeyedAnswer {
    let nothing = RecordResult::failed(ShardNumber(0), ErrorCode::Internal);
    let mut results = vec![nothing; taken.count as usize];
    let durability = taken.durability;
    let note = |place: u32, taker: Taker, fate: Fate<'_>| {
        results[place as usize] = match fate {
            Fate::Stored { offset, arrival } => RecordResult::stored(taker.number, offset, arrival),
            Fate::Throttled => RecordResult::failed(taker.number, ErrorCode::Throttled),
            Fate::Failed(failure) => {
                RecordResult::failed(taker.number, failure.answer().known().unwrap_or(ErrorCode::Internal))
            }
        };
    };
    taken.done(worker, note).await;
    PutKeyedAnswer { durability, results }
}

/// Checks every record and sorts them by shard, keeping their order within each.
fn route<R: Runtime>(worker: &Worker<R>, put: &PutKeyed<'_>, body: &[u8]) -> Result<Routed, ErrorAnswer<'static>> {
    let catalog = worker.catalog.borrow();
    let stream =
        catalog.stream_by_name(put.stream).ok_or_else(|| Failure::StreamUnknown(put.stream.to_owned()).answer())?;
    if !stream.status.is_serving() {
        return Err(Failure::StreamNotActive(stream.status).answer());
    }
    record::check_body(body, put.record_count, record_terms(&stream.settings)).map_err(ErrorAnswer::from)?;
    let mut router = Router::new(worker, stream, body.len());
    let mut records = Records::new(body);
    let (mut start, mut place) = (0, 0);
    while let Some(record) = records.next() {
        let record = record.map_err(ErrorAnswer::from)?;
        let end = records.offset();
        router.encoded(&body[start..end], record.key, put.hash_keys.get(place));
        (start, place) = (end, place + 1);
    }
    Ok(router.end())
}
