//! Records for a stream, each to the shard of its hash key: the node routes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;

use crate::engine::log::{Ack, Receipt};
use crate::engine::shard::Put;
use crate::format::record::{self, Records};
use crate::protocol::messages::{PutKeyed, PutKeyedAnswer, RecordResult};
use crate::protocol::{BodyChecksumMismatch, ErrorAnswer, ErrorCode};
use crate::runtime::Runtime;
use crate::runtime::local::{OneShot, one_shot};
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op};
use crate::server::worker::{Home, Waiter, Worker};
use crate::types::{Durability, GroupId, HashKey, ShardNumber};

/// The records of one shard.
struct Share {
    number: ShardNumber,
    body: Vec<u8>,
    /// Places of its records in the request.
    records: Vec<u32>,
}

/// A share on its way.
enum Pending {
    Here(OneShot<Result<Receipt, crate::engine::log::OutcomeUnknown>>),
    There(OneShot<Answer>),
    Failed(Failure),
}

/// A keyed put that was taken: everything is on its way to the disk, in the order of the requests.
pub struct Taken {
    shares: Vec<(Share, Pending)>,
    durability: Durability,
    record_count: u32,
}

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
    let (shares, durability) = route(worker, put, body)?;
    let mut taken = Vec::with_capacity(shares.len());
    for (group, share) in shares {
        let pending = send(worker, group, &share).await.unwrap_or_else(Pending::Failed);
        taken.push((share, pending));
    }
    Ok(Taken { shares: taken, durability, record_count: put.record_count })
}

impl Taken {
    /// Resolves when every share is durable or has failed.
    pub async fn done(self) -> PutKeyedAnswer {
        let nothing = RecordResult::failed(ShardNumber(0), ErrorCode::Internal);
        let mut results = vec![nothing; self.record_count as usize];
        for (share, pending) in self.shares {
            let outcome = match pending {
                Pending::Here(answer) => match answer.wait().await {
                    Some(Ok(receipt)) => Ok(receipt),
                    Some(Err(_)) | None => Err(Failure::OutcomeUnknown),
                },
                Pending::There(answer) => match answer.wait().await {
                    Some(Answer::Put(outcome)) => outcome,
                    Some(_) => unreachable!("a put is answered as a put"),
                    None => Err(Failure::OutcomeUnknown),
                },
                Pending::Failed(failure) => Err(failure),
            };
            for (nth, record) in share.records.iter().enumerate() {
                results[*record as usize] = match &outcome {
                    Ok(receipt) => {
                        RecordResult::stored(share.number, receipt.base_offset.plus(nth as u64), receipt.arrival)
                    }
                    Err(failure) => {
                        let code = failure.answer().known().unwrap_or(ErrorCode::Internal);
                        RecordResult::failed(share.number, code)
                    }
                };
            }
        }
        PutKeyedAnswer { durability: self.durability, results }
    }
}

/// Checks every record and sorts them by shard, keeping their order within each.
fn route<R: Runtime>(
    worker: &Worker<R>,
    put: &PutKeyed<'_>,
    body: &[u8],
) -> Result<(BTreeMap<GroupId, Share>, Durability), ErrorAnswer<'static>> {
    let catalog = worker.catalog.borrow();
    let stream =
        catalog.stream_by_name(put.stream).ok_or_else(|| Failure::StreamUnknown(put.stream.to_owned()).answer())?;
    if !stream.status.is_serving() {
        return Err(Failure::StreamNotActive(stream.status).answer());
    }
    record::check_body(body, put.record_count, stream.settings.record_bytes_max).map_err(ErrorAnswer::from)?;
    let mut shares: BTreeMap<GroupId, Share> = BTreeMap::new();
    let (mut records, mut number) = (Records::new(body), 0);
    let mut start = 0;
    while let Some(record) = records.next() {
        let record = record.map_err(ErrorAnswer::from)?;
        let end = records.offset();
        let key = put.hash_keys.get(number).unwrap_or_else(|| HashKey::of(record.key.as_bytes()));
        let shard = stream.route(key);
        let share = shares.entry(shard.group).or_insert_with(|| Share {
            number: shard.number,
            body: Vec::new(),
            records: Vec::new(),
        });
        share.body.extend_from_slice(&body[start..end]);
        share.records.push(number);
        (start, number) = (end, number + 1);
    }
    Ok((shares, stream.settings.durability))
}

async fn send<R: Runtime>(worker: &Rc<Worker<R>>, group: GroupId, share: &Share) -> Result<Pending, Failure> {
    let body_crc = crc32fast::hash(&share.body);
    let record_count = u32::try_from(share.records.len()).expect("a request's records are bounded");
    match worker.home(group)? {
        Home::Here(shard) => {
            let (fill, answer) = one_shot();
            let ack = Ack { sink: Rc::new(Waiter(RefCell::new(Some(fill)))), token: 0 };
            let put = Put { body: &share.body, body_crc, record_count, producer: None };
            worker.put_here(&shard, &put, ack).await?;
            Ok(Pending::Here(answer))
        }
        Home::There(link) => {
            let room = link.room(share.body.len(), false).await;
            let body = Bytes::copy_from_slice(&share.body);
            let put = Op::Put { group, producer: None, record_count, body_crc, body };
            Ok(Pending::There(link.send(put, Some(room))))
        }
    }
}
