//! Producers of the workload on a whole node.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::{ShardSlot, World, answer_to_get};
use crate::limits::PRODUCER_WINDOW;
use crate::protocol::ErrorCode;
use crate::protocol::messages::{Get, Put};
use crate::runtime::Reactor;
use crate::sim::SimRuntime;
use crate::sim::workload::contents::{Contents, DATA_BYTES_MIN};
use crate::sim::workload::native::{Connection, owned};
use crate::types::{Offset, ProducerId, ProducerStamp};

/// A producer's batches for one shard.
struct Lane {
    slot: Rc<ShardSlot>,
    id: ProducerId,
    next: u32,
    unacked: VecDeque<(u32, Contents)>,
}

impl World {
    fn contents(&self) -> Contents {
        let id = self.next_put.replace(self.next_put.get() + 1);
        let below = [200, 5_000, 60_000, 400_000][[0, 0, 0, 1, 1, 2, 2, 3][self.draw(8) as usize]];
        let records = 1 + self.draw(3);
        Contents { id, sizes: (0..records).map(|_| DATA_BYTES_MIN + (self.draw(below) / records) as u32).collect() }
    }

    pub(super) async fn produce(&self, rt: &SimRuntime, number: u64) {
        let slots = self.stream(rt).await;
        let mut lanes: Vec<Lane> = slots
            .into_iter()
            .map(|slot| Lane {
                id: ProducerId(1_000 * (number + 1) + u64::from(slot.number.0) + 1),
                slot,
                next: 0,
                unacked: VecDeque::new(),
            })
            .collect();
        let mut left = self.plan.puts;
        while left > 0 || lanes.iter().any(|lane| !lane.unacked.is_empty()) {
            let mut connection = self.connect(rt).await;
            // An error ends the connection, and the next one begins with what was not acknowledged.
            let _ = self.produce_on(rt, &mut connection, &mut lanes, &mut left).await;
            rt.sleep(Duration::from_micros(self.draw(5_000))).await;
        }
        self.producers_left.set(self.producers_left.get() - 1);
    }

    async fn produce_on(
        &self,
        rt: &SimRuntime,
        connection: &mut Connection,
        lanes: &mut [Lane],
        left: &mut u64,
    ) -> io::Result<()> {
        for lane in lanes.iter_mut() {
            let again = lane.unacked.len();
            self.put_row(connection, lane, again).await?;
        }
        while *left > 0 && self.draw(30) > 0 {
            let lane = &mut lanes[self.draw(self.plan.shards.into()) as usize];
            if self.draw(5) == 0 {
                *left -= 1;
                self.put_plain(connection, &lane.slot).await?;
                continue;
            }
            let row = (1 + self.draw(PRODUCER_WINDOW as u64)).min(*left);
            for _ in 0..row {
                *left -= 1;
                lane.unacked.push_back((lane.next, self.contents()));
                lane.next += 1;
            }
            self.put_row(connection, lane, row as usize).await?;
            rt.sleep(Duration::from_micros(self.draw(3_000))).await;
        }
        Ok(())
    }

    /// Sends the first `count` unacknowledged batches of a lane one behind the other, and takes their answers.
    async fn put_row(&self, connection: &mut Connection, lane: &mut Lane, count: usize) -> io::Result<()> {
        // Taken before: a copy that was under way may be stored while the answers are.
        let is_known = lane.slot.oracle.borrow().knows(lane.id);
        let mut row = Vec::new();
        for (seq, contents) in lane.unacked.iter().take(count).cloned() {
            let stamp = ProducerStamp { id: lane.id, epoch: 0, seq };
            lane.slot.oracle.borrow_mut().sends(&contents, Some(stamp));
            let put = Put { group: lane.slot.group.get(), producer: Some(stamp), record_count: contents.records() };
            row.push((connection.send(&put, &self.pattern.body(&contents)).await?, seq, contents));
        }
        let mut turned_away = false;
        for (number, seq, contents) in row {
            let message = connection.receive(number).await?;
            match message.answer::<Put>().expect("well-formed") {
                Ok(receipt) => {
                    lane.slot.oracle.borrow_mut().acked(&contents, receipt.base_offset);
                    assert_eq!(receipt.record_count, contents.records(), "the answer counts the records");
                    lane.unacked.retain(|(other, _)| *other != seq);
                    let mut summary = self.summary.borrow_mut();
                    summary.acked += 1;
                    summary.duplicates += u64::from(receipt.duplicate);
                }
                Err(refusal) => {
                    let is = |code: ErrorCode| refusal.code == code as u16;
                    // A shard that never stored a batch of this producer does not know it: the first one was turned away.
                    let is_unheard_of = !is_known && lane.unacked.front().is_some_and(|(seq, _)| *seq == 0);
                    let gap = is(ErrorCode::ProducerGap) || is(ErrorCode::ProducerUnknown) && is_unheard_of;
                    if !gap || !turned_away {
                        self.allow(&owned(refusal), &[ErrorCode::Draining, ErrorCode::ShardOverloaded]);
                    }
                    turned_away = true;
                }
            }
        }
        if turned_away { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// A batch without a stamp: never sent again. Gives its offset if it was stored.
    pub(super) async fn put_plain(&self, connection: &mut Connection, slot: &ShardSlot) -> io::Result<Option<Offset>> {
        let contents = self.contents();
        slot.oracle.borrow_mut().sends(&contents, None);
        let put = Put { group: slot.group.get(), producer: None, record_count: contents.records() };
        let number = connection.send(&put, &self.pattern.body(&contents)).await?;
        let message = connection.receive(number).await?;
        match message.answer::<Put>().expect("well-formed") {
            Ok(receipt) => {
                slot.oracle.borrow_mut().acked(&contents, receipt.base_offset);
                self.summary.borrow_mut().acked += 1;
                return Ok(Some(receipt.base_offset));
            }
            Err(refusal) => self.allow(&owned(refusal), &[ErrorCode::Draining, ErrorCode::ShardOverloaded]),
        }
        Ok(None)
    }

    /// One put to and one get from each shard, however often it takes.
    pub(super) async fn probe(&self, rt: &SimRuntime) {
        for slot in self.slots() {
            while !self.probe_on(rt, &slot).await.is_ok_and(|done| done) {
                rt.sleep(Duration::from_millis(10)).await;
            }
        }
    }

    async fn probe_on(&self, rt: &SimRuntime, slot: &ShardSlot) -> io::Result<bool> {
        let mut connection = self.connect(rt).await;
        let Some(base) = self.put_plain(&mut connection, slot).await? else { return Ok(false) };
        let get = Get { group: slot.group.get(), from: base, bytes_max: 1 << 20, wait_ms: 0 };
        let number = connection.send(&get, &[]).await?;
        let message = connection.receive(number).await?;
        match answer_to_get(&message) {
            Ok(_) => Ok(self.check_body(slot, &message, base) > base),
            Err(refusal) => {
                self.allow(&refusal, &[ErrorCode::Draining]);
                Ok(false)
            }
        }
    }
}
