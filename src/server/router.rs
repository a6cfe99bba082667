//! Records for a stream, each to the shard of its hash key: sorted, sent to where the shards live, and answered for one by
//! one.
//!
//! ```text
//! request ── record by record ──> Router ──> one share per shard ──> Routed ── send ──> Taken ── done ──> a fate per record
//! ```
//! Shards may be split, merged or moved at any moment. Records that a shard refused for that reason are routed once more by
//! the map of now; nothing of them was stored. Records of one request keep their order, and so do those of requests that
//! are sent one after the other is answered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::catalog::{Distribution, Shard, Stream};
use crate::engine::log::{Ack, OutcomeUnknown, Receipt};
use crate::engine::shard::{Put, PutError};
use crate::format::record::{self, Records};
use crate::runtime::Runtime;
use crate::runtime::local::{OneShot, one_shot};
use crate::server::failure::{Failure, PUT_WAIT_MS};
use crate::server::mail::{Answer, Op};
use crate::server::worker::{EachPut, Home, Waiter, Worker};
use crate::shard::admission::PutRefusal;
use crate::types::{Durability, GroupId, HashKey, Offset, ShardNumber, StreamId, WallUs};

/// Pause before records are routed once more: the catalogue of this worker may be a moment behind.
const REROUTE_PAUSE_MS: u64 = 2;

/// In streams that spread records evenly: bytes that go to one shard before the next one's turn. A shard gets batches that
/// are worth a write, and no shard gets more than another for long.
const SPREAD_BYTES: usize = 16 << 10;

/// Which shard took a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taker {
    /// Its number in the stream.
    pub number: ShardNumber,
    /// When it was created.
    pub created: WallUs,
}

impl From<&Shard> for Taker {
    fn from(shard: &Shard) -> Self {
        Self { number: shard.number, created: shard.created }
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug)]
pub enum Fate<'a> {
    /// It is stored.
    Stored {
        /// Its offset in the shard.
        offset: Offset,
        /// When it arrived.
        arrival: WallUs,
    },
    /// It is not: the stream's limits let it pass no more.
    Throttled,
    /// It is not, or nobody knows.
    Failed(&'a Failure),
}

/// The records of one shard, while they are sorted.
struct Draft {
    taker: Taker,
    body: Vec<u8>,
    places: Vec<u32>,
    hashes: Vec<Option<HashKey>>,
}

/// The records of one shard.
struct Share {
    group: GroupId,
    taker: Taker,
    /// Shared with the worker that owns the shard: nothing is copied on the way.
    body: Bytes,
    /// Places of its records in the request.
    places: Vec<u32>,
    /// The hash keys of its records, where they were given or computed: nobody computes one twice.
    hashes: Vec<Option<HashKey>>,
}

/// A share on its way.
enum Pending {
    Here(OneShot<Result<Receipt, OutcomeUnknown>>, EachPut),
    /// Nothing of it is within the stream's limits.
    Nothing(EachPut),
    There(OneShot<Answer>),
    Failed(Failure),
}

/// Where the records of one request go.
pub struct Router<'a, R: Runtime> {
    worker: &'a Worker<R>,
    stream: &'a Stream,
    drafts: BTreeMap<GroupId, Draft>,
    /// Records so far.
    count: u32,
    /// Room that a share begins with.
    room: usize,
    /// In streams that spread records evenly: bytes since the last turn.
    spread_bytes: usize,
}

/// Records that are sorted, and not sent yet.
pub struct Routed {
    /// Not its name: another stream may have that by now.
    stream: StreamId,
    name: String,
    shares: Vec<Share>,
    durability: Durability,
    count: u32,
}

/// A row of records that was taken: everything is on its way to the disk, in the order of the requests.
pub struct Taken {
    stream: StreamId,
    name: String,
    shares: Vec<(Share, Pending)>,
    /// How durable what is stored will be when it is answered.
    pub durability: Durability,
    /// Records in the request.
    pub count: u32,
}

impl<'a, R: Runtime> Router<'a, R> {
    /// For a request to a stream that serves, with about so many bytes of records.
    pub fn new(worker: &'a Worker<R>, stream: &'a Stream, bytes: usize) -> Self {
        // What comes to each shard, and a quarter more: hardly ever is a share moved because it grew.
        let fair = bytes / stream.open_shards().len().max(1);
        Self { worker, stream, drafts: BTreeMap::new(), count: 0, room: fair + fair / 4, spread_bytes: 0 }
    }

    /// The next record of the request: gives the buffer to which its `data_len` bytes of data are to be appended.
    ///
    /// The caller has checked the key and the sizes.
    pub fn record(&mut self, key: &str, explicit: Option<HashKey>, data_len: usize) -> &mut Vec<u8> {
        let place = self.next_place();
        let len = record::encoded_bytes(key.len(), data_len);
        let body = self.add(len, key, place, explicit);
        body.extend_from_slice(&record::encode_header(key.len(), data_len));
        body.extend_from_slice(key.as_bytes());
        body
    }

    /// The next record of the request, in the form in which it is stored.
    pub fn encoded(&mut self, record: &[u8], key: &str, explicit: Option<HashKey>) {
        let place = self.next_place();
        self.add(record.len(), key, place, explicit).extend_from_slice(record);
    }

    fn next_place(&mut self) -> u32 {
        self.count += 1;
        self.count - 1
    }

    /// Notes a record and gives the body it belongs to.
    fn add(&mut self, len: usize, key: &str, place: u32, hash: Option<HashKey>) -> &mut Vec<u8> {
        let (shard, hash) = match self.stream.settings.distribution {
            Distribution::PartitionKey => {
                let hash = hash.unwrap_or_else(|| HashKey::of(key.as_bytes()));
                (self.stream.route(hash), Some(hash))
            }
            Distribution::Auto => {
                self.spread_bytes += len;
                if self.spread_bytes >= SPREAD_BYTES {
                    self.spread_bytes = 0;
                    self.worker.spread.set(self.worker.spread.get().wrapping_add(1));
                }
                let open = self.stream.open_shards();
                let turn = self.worker.spread.get() as usize % open.len();
                (self.stream.open_shards().nth(turn).expect("a stream has an open shard"), hash)
            }
        };
        let draft = self.drafts.entry(shard.group).or_insert_with(|| Draft {
            taker: shard.into(),
            body: Vec::with_capacity(self.room.max(len)),
            places: Vec::new(),
            hashes: Vec::new(),
        });
        draft.places.push(place);
        draft.hashes.push(hash);
        &mut draft.body
    }

    /// Everything was added. The next request begins with another shard.
    pub fn end(self) -> Routed {
        if self.spread_bytes > 0 {
            self.worker.spread.set(self.worker.spread.get().wrapping_add(1));
        }
        let share = |(group, Draft { taker, body, places, hashes })| Share {
            group,
            taker,
            body: Bytes::from(body),
            places,
            hashes,
        };
        Routed {
            stream: self.stream.id,
            name: self.stream.name.clone(),
            shares: self.drafts.into_iter().map(share).collect(),
            durability: self.stream.settings.durability,
            count: self.count,
        }
    }
}

impl Routed {
    /// Sends every share to its shard. Resolves when each has been taken or refused.
    pub async fn send<R: Runtime>(self, worker: &Rc<Worker<R>>) -> Taken {
        let Self { stream, name, shares, durability, count } = self;
        let shares = send_all(worker, &name, shares).await;
        Taken { stream, name, shares, durability, count }
    }
}

impl Taken {
    /// Resolves when every share is durable or has failed. `note` learns what became of each record, by its place in the
    /// request, in no particular order.
    pub async fn done<R: Runtime>(self, worker: &Rc<Worker<R>>, mut note: impl FnMut(u32, Taker, Fate<'_>)) {
        let mut shares = self.shares;
        // Rounds of a scaling, each with shards that close, may follow each other: as long as any put waits for its shard.
        let deadline = worker.rt.now().plus(PUT_WAIT_MS * 1_000);
        loop {
            let mut again = Vec::new();
            for (share, pending) in shares {
                match pending.outcome().await {
                    Err(failure) if is_elsewhere(&failure) && worker.rt.now() < deadline => again.push(share),
                    outcome => share.settle(&outcome, &mut note),
                }
            }
            if again.is_empty() {
                break;
            }
            worker.rt.sleep(Duration::from_millis(REROUTE_PAUSE_MS)).await;
            shares = match reroute(worker, self.stream, &self.name, &again) {
                Ok(rerouted) => send_all(worker, &self.name, rerouted).await,
                // The stream is gone.
                Err(failure) => {
                    let outcome = Err(failure);
                    again.iter().for_each(|share| share.settle(&outcome, &mut note));
                    break;
                }
            };
        }
    }
}

/// Whether nothing was stored because the shard's keys, or the shard itself, are elsewhere now.
fn is_elsewhere(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Put(PutError::Refused(PutRefusal::Closed | PutRefusal::Moving))
            | Failure::ShardMoving(_)
            | Failure::ShardUnknown(_)
    )
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
    /// Says what became of each record.
    fn settle(
        &self,
        outcome: &Result<(Option<Receipt>, EachPut), Failure>,
        note: &mut impl FnMut(u32, Taker, Fate<'_>),
    ) {
        let mut stored = 0;
        for (nth, place) in self.places.iter().enumerate() {
            let fate = match outcome {
                Ok((receipt, taken)) => {
                    let passed = taken.admitted.as_ref().is_none_or(|admitted| admitted.passed[nth]);
                    match receipt.filter(|_| passed) {
                        Some(receipt) => {
                            stored += 1;
                            Fate::Stored { offset: receipt.base_offset.plus(stored - 1), arrival: receipt.arrival }
                        }
                        None => Fate::Throttled,
                    }
                }
                Err(failure) => Fate::Failed(failure),
            };
            note(*place, self.taker, fate);
        }
    }
}

/// Sorts the records of refused shares by the shards of now.
fn reroute<R: Runtime>(
    worker: &Worker<R>,
    stream: StreamId,
    name: &str,
    refused: &[Share],
) -> Result<Vec<Share>, Failure> {
    let catalog = worker.catalog.borrow();
    let stream = catalog.stream(stream).filter(|stream| stream.status.is_serving());
    let stream = stream.ok_or_else(|| Failure::StreamUnknown(name.to_owned()))?;
    // In the order of the request: those of two parents meet in the child of a merge.
    let mut all = Vec::new();
    for share in refused {
        let mut records = Records::new(&share.body);
        let mut start = 0;
        for (place, hash) in share.places.iter().zip(&share.hashes) {
            let record = records.next().and_then(Result::ok).expect("records were checked when they were routed first");
            let end = records.offset();
            all.push((*place, &share.body[start..end], record.key, *hash));
            start = end;
        }
    }
    all.sort_unstable_by_key(|(place, ..)| *place);
    let mut router = Router::new(worker, stream, refused.iter().map(|share| share.body.len()).sum());
    for (place, record, key, hash) in all {
        router.add(record.len(), key, place, hash).extend_from_slice(record);
    }
    Ok(router.end().shares)
}

async fn send_all<R: Runtime>(worker: &Rc<Worker<R>>, stream: &str, shares: Vec<Share>) -> Vec<(Share, Pending)> {
    let mut sent = Vec::with_capacity(shares.len());
    for share in shares {
        let pending = send(worker, &share).await.unwrap_or_else(Pending::Failed);
        if let Pending::Failed(failure) = &pending {
            tracing::debug!(stream, group = %share.group, %failure, "a share of a put is not stored");
        }
        sent.push((share, pending));
    }
    sent
}

async fn send<R: Runtime>(worker: &Rc<Worker<R>>, share: &Share) -> Result<Pending, Failure> {
    let (group, body) = (share.group, &share.body);
    let record_count = u32::try_from(share.places.len()).expect("a request's records are bounded");
    match worker.home(group)? {
        Home::Here(shard) => {
            let (fill, answer) = one_shot();
            let ack = |_| Ack { sink: Rc::new(Waiter(RefCell::new(Some(fill)))), token: 0 };
            let put = Put { body, body_crc: None, record_count, producer: None };
            let taken = worker.put_each_here(&shard, &put, ack).await?;
            Ok(if taken.is_any() { Pending::Here(answer, taken) } else { Pending::Nothing(taken) })
        }
        Home::There(link) => {
            let room = link.room(body.len(), false).await;
            let put = Op::Put { group, producer: None, record_count, body_crc: None, body: body.clone(), each: true };
            Ok(Pending::There(link.send(put, Some(room))))
        }
    }
}
