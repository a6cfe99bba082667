//! Putting to shards of this worker: for its own connections, and forwarded from other workers.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::future;

use super::Worker;
use crate::engine::log::{Ack, AckSink, OutcomeUnknown, Receipt};
use crate::engine::shard::{Admitted, Put, Shard};
use crate::format::record::{RECORD_HEADER_BYTES, Records};
use crate::runtime::local::Fill;
use crate::runtime::{Runtime, TaskClass};
use crate::server::failure::{Failure, PUT_WAIT_MS};
use crate::server::links::Link;
use crate::server::mail::{Answer, Mail};
use crate::types::{GroupId, ProducerStamp};

/// Forwarded puts that wait for room, by shard, in the order they came.
pub(super) type Lanes = RefCell<BTreeMap<GroupId, VecDeque<ForwardedPut>>>;

/// A forwarded put.
pub(super) struct ForwardedPut {
    pub(super) link: Rc<Link>,
    pub(super) id: u64,
    pub(super) producer: Option<ProducerStamp>,
    pub(super) record_count: u32,
    pub(super) body_crc: Option<u32>,
    pub(super) body: Bytes,
    /// Each record passes the limits, or does not, by itself.
    pub(super) each: bool,
}

/// What was taken of a row of records that pass the limits, or do not, each by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EachPut {
    /// Which passed; `None` if all did.
    pub admitted: Option<Admitted>,
}

impl EachPut {
    /// Whether anything passed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.admitted.as_ref().is_none_or(|admitted| admitted.passed.contains(&true))
    }
}

impl ForwardedPut {
    fn ack(&self, admitted: EachPut) -> Ack {
        let sink = ReplyWithReceipt { link: Rc::clone(&self.link), admitted: RefCell::new(admitted) };
        Ack { sink: Rc::new(sink), token: self.id }
    }

    fn reply(&self, answer: Answer) {
        self.link.post(Mail::Reply { id: self.id, answer });
    }

    fn refuse(&self, failure: Failure) {
        self.reply(Answer::Put(Err(failure)));
    }

    fn as_put(&self) -> Put<'_> {
        Put { body: &self.body, body_crc: self.body_crc, record_count: self.record_count, producer: self.producer }
    }
}

impl<R: Runtime> Worker<R> {
    /// Waits for room and stores a batch; `ack` is called once it is durable. An error means that nothing was taken.
    pub async fn put_here(&self, shard: &Shard<R>, put: &Put<'_>, ack: Ack) -> Result<(), Failure> {
        self.room(shard, put).await?;
        // Nothing is awaited between the room and the put.
        Ok(shard.put(put, ack)?)
    }

    /// As [`Worker::put_here`], for a row of records that pass the stream's limits, or do not, each by itself. Says which
    /// did; `ack` is called for these, if there are any.
    pub async fn put_each_here(
        &self,
        shard: &Shard<R>,
        put: &Put<'_>,
        ack: impl FnOnce(EachPut) -> Ack,
    ) -> Result<EachPut, Failure> {
        self.room(shard, put).await?;
        let Some(admitted) = admit(shard, put.body) else {
            shard.put(put, ack(EachPut::default()))?;
            return Ok(EachPut::default());
        };
        if !admitted.passed.contains(&false) {
            shard.put_admitted(put, ack(EachPut::default()))?;
            return Ok(EachPut::default());
        }
        let passed = admitted.passed.iter().filter(|passed| **passed).count();
        let body = of_those(put.body, &admitted.passed);
        let taken = EachPut { admitted: Some(admitted) };
        if passed > 0 {
            let record_count = u32::try_from(passed).expect("a request's records are bounded");
            let put = Put { body: &body, body_crc: None, record_count, producer: None };
            shard.put_admitted(&put, ack(taken.clone()))?;
        }
        Ok(taken)
    }

    async fn room(&self, shard: &Shard<R>, put: &Put<'_>) -> Result<(), Failure> {
        if let Some(Ok(())) = shard.try_room(put.body.len()) {
            return Ok(());
        }
        let room = async { Some(shard.room(put.body.len(), put.producer).await) };
        let late = async {
            self.rt.sleep(Duration::from_millis(PUT_WAIT_MS)).await;
            None
        };
        match future::or(room, late).await {
            Some(room) => Ok(room?),
            None => Err(Failure::Overloaded),
        }
    }

    /// Stores a forwarded batch behind those of its shard that came before it. Never waits: what has no room is queued,
    /// in an amount that the link bounds.
    pub(super) fn put_in_order(self: &Rc<Self>, group: GroupId, put: ForwardedPut) {
        let mut lanes = self.lanes.borrow_mut();
        if let Some(lane) = lanes.get_mut(&group) {
            lane.push_back(put);
            return;
        }
        if let Some(shard) = self.shards.get(group)
            && !(put.each && shard.is_metered())
            && let Some(Ok(())) = shard.try_room(put.body.len())
        {
            drop(lanes);
            if let Err(error) = shard.put(&put.as_put(), put.ack(EachPut::default())) {
                put.refuse(error.into());
            }
            return;
        }
        lanes.insert(group, VecDeque::from([put]));
        let worker = Rc::clone(self);
        self.rt.spawn(TaskClass::Latency, async move { worker.run_lane(group).await });
    }

    async fn run_lane(&self, group: GroupId) {
        loop {
            let next = {
                let mut lanes = self.lanes.borrow_mut();
                let next = lanes.get_mut(&group).and_then(VecDeque::pop_front);
                if next.is_none() {
                    lanes.remove(&group);
                }
                next
            };
            let Some(put) = next else { return };
            let result = match self.shards.get(group) {
                Some(shard) if put.each => self.forwarded_each(&shard, &put).await,
                Some(shard) => self.put_here(&shard, &put.as_put(), put.ack(EachPut::default())).await,
                None => Err(self.not_here(group)),
            };
            if let Err(failure) = result {
                put.refuse(failure);
            }
        }
    }

    async fn forwarded_each(&self, shard: &Shard<R>, put: &ForwardedPut) -> Result<(), Failure> {
        let taken = self.put_each_here(shard, &put.as_put(), |taken| put.ack(taken)).await?;
        if !taken.is_any() {
            put.reply(Answer::Put(Ok((None, taken))));
        }
        Ok(())
    }
}

/// Which records of a body the stream's limits let through; `None` if nothing is counted.
fn admit<R: Runtime>(shard: &Shard<R>, body: &[u8]) -> Option<Admitted> {
    if !shard.is_metered() {
        return None;
    }
    let (mut sizes, mut start) = (Vec::new(), 0);
    let mut records = Records::new(body);
    while let Some(Ok(_)) = records.next() {
        let end = records.offset();
        sizes.push((end - start - RECORD_HEADER_BYTES) as u64);
        start = end;
    }
    shard.admit_records(&sizes)
}

/// The body with those records alone that passed.
fn of_those(body: &[u8], passed: &[bool]) -> Vec<u8> {
    let (mut kept, mut start) = (Vec::with_capacity(body.len()), 0);
    let mut records = Records::new(body);
    for passed in passed {
        records.next();
        let end = records.offset();
        if *passed {
            kept.extend_from_slice(&body[start..end]);
        }
        start = end;
    }
    kept
}

/// Replies to a forwarded put.
struct ReplyWithReceipt {
    link: Rc<Link>,
    admitted: RefCell<EachPut>,
}

impl AckSink for ReplyWithReceipt {
    fn acked(&self, id: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        let answer = match outcome {
            Ok(receipt) => Ok((Some(receipt), self.admitted.take())),
            Err(OutcomeUnknown) => Err(Failure::OutcomeUnknown),
        };
        self.link.post(Mail::Reply { id, answer: Answer::Put(answer) });
    }
}

/// Hands a receipt to a waiting task.
pub struct Waiter(pub RefCell<Option<Fill<Result<Receipt, OutcomeUnknown>>>>);

impl AckSink for Waiter {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        if let Some(fill) = self.0.take() {
            fill.fill(outcome);
        }
    }
}
