//! Records for a stream, each to the shard of its hash key: the node routes.
//!
//! Shards may be split, merged or moved at any moment. Records that a shard refused for that reason are routed once more by
//! the map of now; nothing of them was stored. Records of one request keep their order, and so do those of requests that
//! are sent one after the other is answered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::{Distribution, Stream};
use crate::engine::log::{Ack, OutcomeUnknown, Receipt};
use crate::engine::shard::{Put, PutError};
use crate::format::record::{self, Records};
use crate::protocol::messages::{PutKeyed, PutKeyedAnswer, RecordResult};
use crate::protocol::{BodyChecksumMismatch, ErrorAnswer, ErrorCode};
use crate::runtime::Runtime;
use crate::runtime::local::{OneShot, one_shot};
use crate::server::failure::Failure;
use crate::server::mail::{Answer, Op};
use crate::server::worker::{EachPut, Home, Waiter, Worker};
use crate::shard::admission::PutRefusal;
use crate::types::{Durability, GroupId, HashKey, ShardNumber};

/// How often records are routed again that a shard refused because it was closed or moved.
const REROUTES_MAX: u32 = 10;

/// Pause before they are: the catalogue of this worker may be a moment behind.
const REROUTE_PAUSE_MS: u64 = 2;

/// In streams that spread records evenly: bytes that go to one shard before the next one's turn. A shard gets batches that
/// are worth a write, and no shard gets more than another for long.
const SPREAD_BYTES: usize = 16 << 10;

/// The records of one shard.
struct Share {
    number: ShardNumber,
    body: Vec<u8>,
    /// Places of its records in the request.
    records: Vec<u32>,
    /// The explicit hash keys of its records.
    explicit: Vec<Option<HashKey>>,
}

/// A share on its way.
enum Pending {
    Here(OneShot<Result<Receipt, OutcomeUnknown>>, EachPut),
    /// Nothing of it is within the stream's limits.
    Nothing(EachPut),
    There(OneShot<Answer>),
    Failed(Failure),
}

/// A keyed put that was taken: everything is on its way to the disk, in the order of the requests.
pub struct Taken {
    stream: String,
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
    let stream = put.stream.to_owned();
    let shares = send_all(worker, &stream, shares).await;
    Ok(Taken { stream, shares, durability, record_count: put.record_count })
}

impl Taken {
    /// Resolves when every share is durable or has failed.
    pub async fn done<R: Runtime>(self, worker: &Rc<Worker<R>>) -> PutKeyedAnswer {
        let nothing = RecordResult::failed(ShardNumber(0), ErrorCode::Internal);
        let mut results = vec![nothing; self.record_count as usize];
        let mut shares = self.shares;
        for round in 0.. {
            let mut again = Vec::new();
            for (share, pending) in shares {
                match pending.outcome().await {
                    Err(failure) if round < REROUTES_MAX && is_elsewhere(&failure) => again.push(share),
                    outcome => share.settle(&outcome, &mut results),
                }
            }
            if again.is_empty() {
                break;
            }
            worker.rt.sleep(Duration::from_millis(REROUTE_PAUSE_MS)).await;
            shares = match reroute(worker, &self.stream, &again) {
                Ok(rerouted) => send_all(worker, &self.stream, rerouted).await,
                // The stream is gone.
                Err(failure) => {
                    let outcome = Err(failure);
                    again.iter().for_each(|share| share.settle(&outcome, &mut results));
                    break;
                }
            };
        }
        PutKeyedAnswer { durability: self.durability, results }
    }
}

/// Whether nothing was stored because the shard's keys, or the shard itself, are elsewhere now.
fn is_elsewhere(failure: &Failure) -> bool {
    match failure {
        Failure::Put(PutError::Refused(PutRefusal::Closed | PutRefusal::Moving)) => true,
        Failure::ShardMoving(_) | Failure::ShardUnknown(_) => true,
        _ => false,
    }
}

impl Pending {
    async fn outcome(self) -> Result<(Option<Receipt>, EachPut), Failure> {
        match self {
            Self::Here(answer, taken) => match answer.wait().await {
                Some(Ok(receipt)) => Ok((Some(receipt), taken)),
                Some(Err(OutcomeUnknown)) | None => Err(Failure::OutcomeUnknown),
            },
            Self::Nothing(taken) => Ok((None, taken)),
            Self::There(answer) => match answer.wait().await {
                Some(Answer::Put(outcome)) => outcome,
                Some(_) => unreachable!("a put is answered as a put"),
                None => Err(Failure::OutcomeUnknown),
            },
            Self::Failed(failure) => Err(failure),
        }
    }
}

impl Share {
    fn new(number: ShardNumber) -> Self {
        Self { number, body: Vec::new(), records: Vec::new(), explicit: Vec::new() }
    }

    fn add(&mut self, record: &[u8], place: u32, explicit: Option<HashKey>) {
        self.body.extend_from_slice(record);
        self.records.push(place);
        self.explicit.push(explicit);
    }

    /// Says what became of each record.
    fn settle(&self, outcome: &Result<(Option<Receipt>, EachPut), Failure>, results: &mut [RecordResult]) {
        let mut stored = 0;
        for (nth, record) in self.records.iter().enumerate() {
            results[*record as usize] = match outcome {
                Ok((receipt, taken)) => {
                    let passed = taken.admitted.as_ref().is_none_or(|admitted| admitted.passed[nth]);
                    match receipt.filter(|_| passed) {
                        Some(receipt) => {
                            stored += 1;
                            RecordResult::stored(self.number, receipt.base_offset.plus(stored - 1), receipt.arrival)
                        }
                        None => RecordResult::failed(self.number, ErrorCode::Throttled),
                    }
                }
                Err(failure) => {
                    let code = failure.answer().known().unwrap_or(ErrorCode::Internal);
                    RecordResult::failed(self.number, code)
                }
            };
        }
    }
}

/// Where the records of one request go.
struct Router<'a, R: Runtime> {
    worker: &'a Worker<R>,
    stream: &'a Stream,
    shares: BTreeMap<GroupId, Share>,
    /// In streams that spread records evenly: bytes since the last turn.
    spread_bytes: usize,
}

impl<'a, R: Runtime> Router<'a, R> {
    fn new(worker: &'a Worker<R>, stream: &'a Stream) -> Self {
        Self { worker, stream, shares: BTreeMap::new(), spread_bytes: 0 }
    }

    fn add(&mut self, record: &[u8], key: &str, place: u32, explicit: Option<HashKey>) {
        let shard = match self.stream.settings.distribution {
            Distribution::PartitionKey => self.stream.route(explicit.unwrap_or_else(|| HashKey::of(key.as_bytes()))),
            Distribution::Auto => {
                self.spread_bytes += record.len();
                if self.spread_bytes >= SPREAD_BYTES {
                    self.spread_bytes = 0;
                    self.worker.spread.set(self.worker.spread.get().wrapping_add(1));
                }
                let open = self.stream.open_shards();
                let turn = self.worker.spread.get() as usize % open.len();
                self.stream.open_shards().nth(turn).expect("a stream has an open shard")
            }
        };
        self.shares.entry(shard.group).or_insert_with(|| Share::new(shard.number)).add(record, place, explicit);
    }

    /// The shares; the next request begins with another shard.
    fn end(self) -> BTreeMap<GroupId, Share> {
        if self.spread_bytes > 0 {
            self.worker.spread.set(self.worker.spread.get().wrapping_add(1));
        }
        self.shares
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
    let mut router = Router::new(worker, stream);
    let mut records = Records::new(body);
    let (mut start, mut place) = (0, 0);
    while let Some(record) = records.next() {
        let record = record.map_err(ErrorAnswer::from)?;
        let end = records.offset();
        router.add(&body[start..end], record.key, place, put.hash_keys.get(place));
        (start, place) = (end, place + 1);
    }
    Ok((router.end(), stream.settings.durability))
}

/// Sorts the records of refused shares by the shards of now.
fn reroute<R: Runtime>(
    worker: &Worker<R>,
    stream: &str,
    refused: &[Share],
) -> Result<BTreeMap<GroupId, Share>, Failure> {
    let catalog = worker.catalog.borrow();
    let stream = catalog.stream_by_name(stream).ok_or_else(|| Failure::StreamUnknown(stream.to_owned()))?;
    let mut router = Router::new(worker, stream);
    for share in refused {
        let mut records = Records::new(&share.body);
        let mut start = 0;
        for (place, explicit) in share.records.iter().zip(&share.explicit) {
            let record = records.next().and_then(Result::ok).expect("records were checked when they were routed first");
            let end = records.offset();
            router.add(&share.body[start..end], record.key, *place, *explicit);
            start = end;
        }
    }
    Ok(router.end())
}

async fn send_all<R: Runtime>(
    worker: &Rc<Worker<R>>,
    stream: &str,
    shares: BTreeMap<GroupId, Share>,
) -> Vec<(Share, Pending)> {
    let mut sent = Vec::with_capacity(shares.len());
    for (group, share) in shares {
        let pending = send(worker, group, &share).await.unwrap_or_else(Pending::Failed);
        if let Pending::Failed(failure) = &pending {
            tracing::debug!(stream, %group, %failure, "a share of a put is not stored");
        }
        sent.push((share, pending));
    }
    sent
}

async fn send<R: Runtime>(worker: &Rc<Worker<R>>, group: GroupId, share: &Share) -> Result<Pending, Failure> {
    let body_crc = crc32fast::hash(&share.body);
    let record_count = u32::try_from(share.records.len()).expect("a request's records are bounded");
    match worker.home(group)? {
        Home::Here(shard) => {
            let (fill, answer) = one_shot();
            let ack = |_| Ack { sink: Rc::new(Waiter(RefCell::new(Some(fill)))), token: 0 };
            let put = Put { body: &share.body, body_crc, record_count, producer: None };
            let taken = worker.put_each_here(&shard, &put, ack).await?;
            Ok(if taken.is_any() { Pending::Here(answer, taken) } else { Pending::Nothing(taken) })
        }
        Home::There(link) => {
            let room = link.room(share.body.len(), false).await;
            let body = Bytes::copy_from_slice(&share.body);
            let put = Op::Put { group, producer: None, record_count, body_crc, body, each: true };
            Ok(Pending::There(link.send(put, Some(room))))
        }
    }
}
