//! A batch of records on its way to one shard, and what became of it.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::error::{Error, Result};
use super::Ack;
use crate::format::record::{Records, encode_header, encoded_bytes};
use crate::protocol::messages::PutAnswer;
use crate::runtime::local::{Notify, Permit};
use crate::types::{HashKey, MonoUs, ShardNumber};

/// Records for one shard, in the encoding that is sent and stored: each is written once, straight into the body.
#[derive(Debug)]
pub(super) struct Batch {
    body: BytesMut,
    records: u32,
    /// Records routed by a hash key that is not that of their partition key. The body does not say so.
    explicit: Vec<(u32, HashKey)>,
    /// When its first record was put.
    pub(super) created: MonoUs,
    pub(super) outcome: Rc<Outcome>,
    /// Nobody holds tickets of some records: their failure is reported by a flush.
    pub(super) detached: bool,
    /// The share of the producer's buffer that it takes.
    permit: Option<Permit>,
}

/// A record to be appended, its key and size checked.
#[derive(Debug)]
pub(super) struct NewRecord<'a> {
    pub(super) key: &'a str,
    pub(super) data: &'a [u8],
    pub(super) explicit: Option<HashKey>,
    pub(super) detached: bool,
}

impl NewRecord<'_> {
    pub(super) fn encoded_bytes(&self) -> usize {
        encoded_bytes(self.key.len(), self.data.len())
    }

    pub(super) fn hash_key(&self) -> HashKey {
        self.explicit.unwrap_or_else(|| HashKey::of(self.key.as_bytes()))
    }
}

impl Batch {
    pub(super) fn new(created: MonoUs, capacity: usize) -> Self {
        Self {
            body: BytesMut::with_capacity(capacity),
            records: 0,
            explicit: Vec::new(),
            created,
            outcome: Rc::default(),
            detached: false,
            permit: None,
        }
    }

    /// Appends a record; gives its number in the batch.
    pub(super) fn push(&mut self, record: &NewRecord<'_>, permit: Option<Permit>) -> u32 {
        self.body.put_slice(&encode_header(record.key.len(), record.data.len()));
        self.body.put_slice(record.key.as_bytes());
        self.body.put_slice(record.data);
        match (&mut self.permit, permit) {
            (Some(held), Some(more)) => held.merge(more),
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
        if let Some(key) = record.explicit {
            self.explicit.push((self.records, key));
        }
        self.detached |= record.detached;
        self.records += 1;
        self.records - 1
    }

    pub(super) fn bytes(&self) -> usize {
        self.body.len()
    }

    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Takes the batch apart again, to be put into others: `append` is called per record, in order, and says where it
    /// went. Whoever waits for a record waits there from now on.
    pub(super) fn scatter(self, mut append: impl FnMut(&NewRecord<'_>, Option<Permit>) -> Result<Place>) {
        let Self { body, explicit, outcome, detached, mut permit, .. } = self;
        let mut explicit = explicit.into_iter().peekable();
        let mut places = Vec::with_capacity(self.records as usize);
        for (number, record) in Records::new(&body).enumerate() {
            let record = record.expect("a body that this producer wrote");
            let key = explicit.next_if(|(at, _)| *at as usize == number).map(|(_, key)| key);
            let record = NewRecord { key: record.key, data: record.data, explicit: key, detached };
            // The whole share goes with the first record: it is given back a little later than it could be.
            places.push(append(&record, permit.take()));
        }
        outcome.resolve(Fate::Moved(places));
    }

    /// The bytes to send. Shared with the batch, not copied.
    pub(super) fn seal(self) -> SealedBatch {
        let Self { body, records, explicit, created, outcome, detached, permit } = self;
        SealedBatch { body: body.freeze(), records, explicit, created, outcome, detached, permit }
    }
}

/// The body of one batch, built from `records` as a producer builds it, with room for `capacity` bytes from the start. For
/// measuring that step alone; a producer does it by itself.
#[doc(hidden)]
pub fn build_body<'a>(records: impl IntoIterator<Item = (&'a str, &'a [u8])>, capacity: usize) -> Bytes {
    let mut batch = Batch::new(MonoUs(0), capacity);
    for (key, data) in records {
        batch.push(&NewRecord { key, data, explicit: None, detached: false }, None);
    }
    batch.seal().body
}

/// A batch that takes no more records.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) body: Bytes,
    pub(super) records: u32,
    explicit: Vec<(u32, HashKey)>,
    pub(super) created: MonoUs,
    pub(super) outcome: Rc<Outcome>,
    pub(super) detached: bool,
    permit: Option<Permit>,
}

impl SealedBatch {
    /// As [`Batch::scatter`].
    pub(super) fn scatter(self, append: impl FnMut(&NewRecord<'_>, Option<Permit>) -> Result<Place>) {
        let Self { body, records, explicit, created, outcome, detached, permit } = self;
        // Nobody else holds the body unless a send of it still is in the outbox of a connection.
        let body = body.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        Batch { body, records, explicit, created, outcome, detached, permit }.scatter(append);
    }
}

/// Where a record is: in which batch, as which number.
pub(super) type Place = (Rc<Outcome>, u32);

/// What became of a batch. Shared by the batch and everybody who waits for one of its records.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    fate: RefCell<Option<Fate>>,
    changed: Notify,
}

#[derive(Debug)]
pub(super) enum Fate {
    /// Stored in this shard; the answer is missing where the node has forgotten it.
    Stored(ShardNumber, Option<PutAnswer>),
    Failed(Error),
    /// Its records went to other batches.
    Moved(Vec<Result<Place>>),
}

impl Outcome {
    pub(super) fn resolve(&self, fate: Fate) {
        let before = self.fate.borrow_mut().replace(fate);
        assert!(before.is_none(), "a batch has one fate, this one had {before:?}");
        self.changed.notify();
    }

    /// Waits for the fate of one record.
    pub(super) async fn of_record(self: &Rc<Self>, record: u32) -> Result<Ack> {
        let mut place = (Rc::clone(self), record);
        loop {
            let (outcome, record) = &place;
            let next = outcome.changed.until(|| {
                outcome.fate.borrow().as_ref().map(|fate| match fate {
                    Fate::Stored(shard, answer) => Ok(Err(Ack::of(*shard, *answer, *record))),
                    Fate::Failed(error) => Err(error.clone()),
                    Fate::Moved(places) => places[*record as usize].clone().map(Ok),
                })
            });
            match next.await? {
                Err(ack) => return Ok(ack),
                Ok(moved) => place = moved,
            }
        }
    }

    /// Waits until the fate of all its records is known, whatever it is.
    pub(super) async fn settled(self: &Rc<Self>) {
        let mut open = vec![Rc::clone(self)];
        while let Some(outcome) = open.pop() {
            let moved = outcome.changed.until(|| {
                outcome.fate.borrow().as_ref().map(|fate| match fate {
                    Fate::Moved(places) => places.iter().flatten().map(|(outcome, _)| Rc::clone(outcome)).collect(),
                    Fate::Stored(..) | Fate::Failed(_) => Vec::new(),
                })
            });
            for outcome in moved.await {
                if !open.iter().any(|other| Rc::ptr_eq(other, &outcome)) {
                    open.push(outcome);
                }
            }
        }
    }
}

/// Waits for one record's acknowledgement.
#[derive(Clone, Debug)]
pub struct Ticket {
    outcome: Rc<Outcome>,
    record: u32,
}

impl Ticket {
    pub(super) fn new((outcome, record): Place) -> Self {
        Self { outcome, record }
    }

    /// Resolves once the record is stored, or certainly not, or nobody can tell any more. Dropping it takes nothing
    /// back; it may be called again.
    pub async fn wait(&self) -> Result<Ack> {
        self.outcome.of_record(self.record).await
    }
}
