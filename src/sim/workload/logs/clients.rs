//! Producers and readers of the workload on logs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::{Producer, Slot, World};
use crate::catalog::Status;
use crate::engine::log::{Ack, AckSink, OutcomeUnknown, Receipt};
use crate::engine::read::ReadError;
use crate::engine::shard::{Put, PutError, Shard};
use crate::engine::shards::Shards;
use crate::limits::PRODUCER_WINDOW;
use crate::runtime::{Reactor, local};
use crate::shard::admission::PutRefusal;
use crate::sim::workload::contents::{Contents, DATA_BYTES_MIN};
use crate::sim::workload::log_oracle::Expect;
use crate::sim::{Chance, Sim, SimRuntime};
use crate::types::{Offset, ProducerStamp, WallUs};

impl World {
    fn contents(&self) -> Contents {
        let id = self.next_put.replace(self.next_put.get() + 1);
        let below = match self.draw(100) {
            0..60 => 1 << 10,
            60..85 => 20 << 10,
            85..95 => 200 << 10,
            95..99 => 400 << 10,
            _ => 2 << 20,
        };
        let records = if self.draw(4) == 0 { 1 + self.draw(9) } else { 1 };
        let size = |_| DATA_BYTES_MIN + (self.draw(below) / records) as u32;
        Contents { id, sizes: (0..records).map(size).collect() }
    }

    pub(super) async fn pause(&self, rt: &SimRuntime) {
        let us = match self.draw(100) {
            0..50 => return,
            50..85 => self.draw(2_000),
            85..96 => self.draw(300_000),
            _ if self.plan.unhurried => self.draw(100_000_000),
            _ => self.draw(1_000_000),
        };
        rt.sleep(Duration::from_micros(us)).await;
    }

    pub(super) async fn client(self: Rc<Self>, shards: &Rc<Shards<SimRuntime>>, slot: &Rc<Slot>, number: usize) {
        let rt = shards.env().rt.clone();
        let stamped = self.draw(3) > 0;
        if stamped {
            // Whatever the last process did not acknowledge is sent again, in order.
            let again: Vec<_> = {
                let producers = slot.producers.borrow();
                let producer = &producers[number];
                producer.recent.iter().filter(|(seq, _)| *seq >= producer.unacked.get()).cloned().collect()
            };
            for (seq, contents) in again {
                if !self.send(shards, slot, number, Some(seq), contents).await {
                    return;
                }
            }
        }
        for _ in 0..self.plan.puts {
            if slot.status.get() != Status::Active {
                return;
            }
            let sent = if stamped {
                self.stamped_put(shards, slot, number).await
            } else {
                self.send(shards, slot, number, None, self.contents()).await
            };
            if !sent {
                return;
            }
            self.pause(&rt).await;
        }
    }

    /// A producer's next batch, or one of those sent before, or one whose stamp is wrong.
    async fn stamped_put(&self, shards: &Rc<Shards<SimRuntime>>, slot: &Rc<Slot>, number: usize) -> bool {
        let choice = self.draw(20);
        let (seq, contents) = {
            let mut producers = slot.producers.borrow_mut();
            let producer = &mut producers[number];
            match choice {
                0 => {
                    producer.begin_epoch();
                    (producer.next, self.contents())
                }
                // Too far ahead: a batch is missing.
                1 => (producer.next + 1 + self.draw(3) as u32, self.contents()),
                2..6 if !producer.recent.is_empty() => {
                    producer.recent[self.draw(producer.recent.len() as u64) as usize].clone()
                }
                _ => (producer.next, self.contents()),
            }
        };
        self.send(shards, slot, number, Some(seq), contents).await
    }

    /// Sends one put; false when the client had better stop.
    async fn send(
        &self,
        shards: &Rc<Shards<SimRuntime>>,
        slot: &Rc<Slot>,
        number: usize,
        seq: Option<u32>,
        contents: Contents,
    ) -> bool {
        let Some(shard) = shards.get(slot.id.group) else { return false };
        let body = self.pattern.body(&contents);
        if let Err(refusal) = shard.room(body.len(), None).await {
            return self.refused(shards, slot, refusal).await;
        }
        if slot.reopening.get() {
            return self.refused(shards, slot, PutRefusal::Dead).await;
        }
        let stamp = seq.map(|seq| {
            let producers = slot.producers.borrow();
            ProducerStamp { id: producers[number].id, epoch: producers[number].epoch, seq }
        });
        let expect = slot.oracle.borrow().expect(stamp);
        let put = Put {
            body: &body,
            body_crc: Some(crc32fast::hash(&body)),
            record_count: contents.records(),
            producer: stamp,
        };
        let (fill, answer) = local::one_shot();
        let unacked = seq.map(|seq| (Rc::clone(&slot.producers.borrow()[number].unacked), seq));
        let sink = Sink {
            sim: self.sim.clone(),
            slot: Rc::clone(slot),
            contents: contents.clone(),
            fill: RefCell::new(Some(fill)),
            unacked,
        };
        let before = shard.log().marks().accepted().offset;
        let is_dead = shard.log().refusal().is_some();
        let result = shard.put(&put, Ack { sink: Rc::new(sink), token: 0 });
        let grew = shard.log().marks().accepted().offset > before;
        match (result, expect) {
            (Err(PutError::Refused(refusal)), _) => return self.refused(shards, slot, refusal).await,
            (Ok(()), Expect::Fresh(base)) => {
                assert!(grew, "a new put was not taken");
                assert_eq!(base, before, "the log goes on somewhere else");
                slot.took(contents, stamp, number);
            }
            (Ok(()), Expect::Duplicate(base)) => assert!(!grew, "the batch of {base} was stored again: {stamp:?}"),
            (Ok(()), Expect::Any) => {
                if grew {
                    slot.took(contents, stamp, number);
                }
            }
            (Err(PutError::Stamp(_)), Expect::Refused | Expect::Any) => {
                slot.producers.borrow_mut()[number].begin_epoch();
                return true;
            }
            (result, expect) => panic!("log {}: {stamp:?} got {result:?}, not {expect:?}", slot.id.group),
        }
        assert!(!is_dead, "a closed log took a put");
        if self.draw(3) > 0 {
            match answer.wait().await {
                Some(Ok(receipt)) => {
                    let mut summary = self.summary.borrow_mut();
                    summary.acked += 1;
                    summary.duplicates += u64::from(receipt.duplicate);
                }
                Some(Err(OutcomeUnknown)) => {}
                None => panic!("a put was never answered"),
            }
        }
        true
    }

    async fn refused(&self, shards: &Rc<Shards<SimRuntime>>, slot: &Rc<Slot>, refusal: PutRefusal) -> bool {
        match refusal {
            PutRefusal::Dead => {
                // The janitor opens it again.
                shards.env().rt.sleep(Duration::from_millis(10)).await;
                true
            }
            PutRefusal::Deleting if slot.status.get() != Status::Active => false,
            refusal => panic!("log {} refuses puts: {refusal}", slot.id.group),
        }
    }

    // ---- readers

    pub(super) async fn reader(self: Rc<Self>, shards: &Rc<Shards<SimRuntime>>, slot: &Rc<Slot>) {
        let rt = shards.env().rt.clone();
        let mut at = Offset(0);
        for _ in 0..self.plan.puts * 2 {
            let Some(shard) = shards.get(slot.id.group) else { return };
            if slot.reopening.get() {
                rt.sleep(Duration::from_millis(10)).await;
                continue;
            }
            let end = shard.log().marks().committed().offset;
            match self.draw(8) {
                0 => at = Offset(self.draw(end.0 + 1)),
                1 => self.seek(slot, &shard).await,
                _ => {}
            }
            if at == end {
                shard.wait_for(at, Duration::from_millis(self.draw(300))).await;
            }
            match self.read(slot, &shard, at).await {
                Ok(next) => at = next,
                // A log on its way out has nothing left to read.
                Err(ReadError::BeforeHorizon { .. } | ReadError::Away) if slot.status.get() != Status::Active => return,
                // The log died and is being opened again.
                Err(ReadError::Away) => rt.sleep(Duration::from_millis(10)).await,
                Err(ReadError::BeforeHorizon { horizon }) => {
                    slot.oracle.borrow_mut().starts_at(horizon);
                    assert!(at < horizon, "{at} is not before the horizon {horizon}");
                    at = horizon;
                }
                // The log died and came back without what nobody had seen.
                Err(ReadError::BeyondEnd { end }) if at <= slot.oracle.borrow().end() => at = end,
                Err(ReadError::Io(error)) if self.may_fail(slot, &error) => {}
                Err(error) => panic!("log {}, offset {at}: {error}", slot.id.group),
            }
            self.pause(&rt).await;
        }
    }

    pub(super) fn may_fail(&self, slot: &Slot, error: &std::io::Error) -> bool {
        self.plan.faults.read_error != Chance::NEVER && error.raw_os_error() == Some(5)
            || slot.status.get() != Status::Active
    }

    /// Looks for the first record of a moment that was noted.
    async fn seek(&self, slot: &Slot, shard: &Shard<SimRuntime>) {
        let moment = {
            let moments = slot.moments.borrow();
            if moments.is_empty() {
                return;
            }
            moments[self.draw(moments.len() as u64) as usize]
        };
        let (time, ended) = moment;
        let committed = shard.log().marks().committed().offset;
        let found = match shard.log().seek_time(time).await {
            Ok(found) => found,
            Err(ReadError::Away) => return,
            Err(ReadError::Io(error)) if self.may_fail(slot, &error) => return,
            Err(error) => panic!("log {}: looking for {time}: {error}", slot.id.group),
        };
        // What the log took after the moment arrived after it; what it took before arrived at it at the latest.
        let bound = ended.max(shard.log().first_offset());
        assert!(found <= bound || found <= committed, "{time}: found {found}, the log ended at {ended} then");
        if slot.status.get() != Status::Active || found >= shard.log().marks().committed().offset {
            return;
        }
        match shard.log().read(found, 1, WallUs(0)).await {
            Ok(frames) => assert!(frames.last_arrival >= time, "offset {found} arrived before {time}"),
            Err(ReadError::BeforeHorizon { .. } | ReadError::BeyondEnd { .. } | ReadError::Away) => {}
            Err(ReadError::Io(error)) if self.may_fail(slot, &error) => {}
            Err(error) => panic!("log {}, offset {found}: {error}", slot.id.group),
        }
        let Some(previous) = found.0.checked_sub(1).map(Offset) else { return };
        if let Ok(frames) = shard.log().read(previous, 1, WallUs(0)).await {
            assert!(frames.last_arrival < time, "offset {previous} arrived at {time} or later too");
        }
    }
}

impl Slot {
    /// The log took a put of producer `number`.
    fn took(&self, contents: Contents, stamp: Option<ProducerStamp>, number: usize) {
        self.oracle.borrow_mut().took(contents.clone(), stamp);
        let Some(stamp) = stamp else { return };
        let producer = &mut self.producers.borrow_mut()[number];
        if producer.recent.iter().all(|(seq, _)| *seq != stamp.seq) {
            producer.recent.push_back((stamp.seq, contents));
        }
        if producer.recent.len() > PRODUCER_WINDOW {
            producer.recent.pop_front();
        }
        producer.next = producer.next.max(stamp.seq + 1);
    }
}

impl Producer {
    fn begin_epoch(&mut self) {
        self.epoch += 1;
        self.next = 0;
        self.recent.clear();
        self.unacked = Rc::default();
    }
}

/// Takes the answer to a put to the checker at once, whether or not the client waits for it.
struct Sink {
    sim: Sim,
    slot: Rc<Slot>,
    contents: Contents,
    fill: RefCell<Option<local::Fill<Result<Receipt, OutcomeUnknown>>>>,
    unacked: Option<(Rc<Cell<u32>>, u32)>,
}

impl AckSink for Sink {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        if let Ok(receipt) = outcome {
            assert_eq!(receipt.record_count, self.contents.records(), "the answer counts the records");
            self.slot.oracle.borrow_mut().acked(&self.contents, receipt.base_offset, self.sim.now());
            if let Some((unacked, seq)) = &self.unacked {
                unacked.set(unacked.get().max(seq + 1));
            }
        }
        if let Some(fill) = self.fill.take() {
            fill.fill(outcome);
        }
    }
}
