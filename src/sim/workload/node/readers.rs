//! Readers of the workload on a whole node: by get and by subscription.

use std::io;
use std::time::Duration;

use super::{ShardSlot, World, answer_to_get};
use crate::format::frame::Frame;
use crate::format::record::Records;
use crate::protocol::messages::{Get, ReadState, Start, Subscribe, SubscriptionEnd};
use crate::protocol::{Decode, ErrorCode, Kind, Message};
use crate::runtime::Reactor;
use crate::sim::SimRuntime;
use crate::sim::workload::native::{Connection, owned};
use crate::types::Offset;

impl World {
    /// Whether readers have nothing left to wait for.
    fn is_read(&self, slot: &ShardSlot, at: Offset) -> bool {
        self.producers_left.get() == 0 && at >= slot.oracle.borrow().must()
    }

    pub(super) async fn get(&self, rt: &SimRuntime) {
        for slot in self.stream(rt).await {
            let mut at = Offset(0);
            while !self.is_read(&slot, at) {
                let mut connection = self.connect(rt).await;
                let _ = self.get_on(&mut connection, &slot, &mut at).await;
                rt.sleep(Duration::from_micros(self.draw(5_000))).await;
            }
        }
    }

    async fn get_on(&self, connection: &mut Connection, slot: &ShardSlot, at: &mut Offset) -> io::Result<()> {
        while !self.is_read(slot, *at) && self.draw(40) > 0 {
            let from = if self.draw(4) == 0 { Offset(self.draw(at.0 + 1)) } else { *at };
            let bytes_max = [1, 5_000, 1 << 20][self.draw(3) as usize];
            let get = Get { group: slot.group.get(), from, bytes_max, wait_ms: self.draw(100) as u32 };
            let number = connection.send(&get, &[]).await?;
            let message = connection.receive(number).await?;
            match answer_to_get(&message) {
                Ok(state) => {
                    let next = self.check_body(slot, &message, from);
                    assert_eq!(next, state.next_offset, "an answer says where to go on");
                    *at = (*at).max(next);
                }
                Err(refusal) => {
                    self.allow(&refusal, &[ErrorCode::Draining]);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
        }
        Ok(())
    }

    /// Checks the frames in a body that were asked for from `from` on; gives the offset after them.
    pub(super) fn check_body(&self, slot: &ShardSlot, message: &Message, from: Offset) -> Offset {
        let mut next = from;
        let mut is_first = true;
        let mut rest: &[u8] = &message.body;
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).expect("a reader gets whole, intact frames");
            rest = after;
            assert_eq!(frame.header.group_id, slot.group.get(), "frames of the shard that was asked for");
            let base = frame.header.base_offset;
            let follows = if is_first { base <= from && from < frame.header.end_offset() } else { base == next };
            assert!(follows, "a frame with offset {base} where {next} was due");
            let mut offset = base;
            for record in Records::new(frame.body) {
                let record = record.expect("records were checked when they were put");
                slot.oracle.borrow_mut().saw(&self.pattern, offset, record.key, record.data);
                offset = offset.plus(1);
                self.summary.borrow_mut().records_read += 1;
            }
            next = frame.header.end_offset();
            is_first = false;
        }
        next
    }

    pub(super) async fn subscribe(&self, rt: &SimRuntime) {
        let slots = self.stream(rt).await;
        let mut at = vec![Offset(0); slots.len()];
        while slots.iter().zip(&at).any(|(slot, at)| !self.is_read(slot, *at)) {
            let mut connection = self.connect(rt).await;
            for (slot, at) in slots.iter().zip(&mut at) {
                if !self.is_read(slot, *at) {
                    let _ = self.subscribe_on(rt, &mut connection, slot, at).await;
                }
            }
            rt.sleep(Duration::from_micros(self.draw(5_000))).await;
        }
    }

    async fn subscribe_on(
        &self,
        rt: &SimRuntime,
        connection: &mut Connection,
        slot: &ShardSlot,
        at: &mut Offset,
    ) -> io::Result<()> {
        let credit = 1 + self.draw(200_000) as u32;
        let number = connection
            .send(&Subscribe { group: slot.group.get(), start: Start::At(*at), consumer: 0, credit }, &[])
            .await?;
        let message = connection.receive(number).await?;
        if let Err(refusal) = message.answer::<Subscribe>().expect("well-formed") {
            self.allow(&owned(refusal), &[ErrorCode::Draining]);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        while !self.is_read(slot, *at) && self.draw(60) > 0 {
            let pushed = async { Some(connection.receive(number).await) };
            let quiet = async {
                rt.sleep(Duration::from_millis(200)).await;
                None
            };
            let Some(message) = futures_lite::future::or(pushed, quiet).await else { return Ok(()) };
            let message = message?;
            match message.head.kind {
                Kind::Push => {
                    let state = ReadState::decode(&message.args).expect("well-formed");
                    *at = self.check_body(slot, &message, *at);
                    assert_eq!(*at, state.next_offset, "a push says where it ends");
                    self.summary.borrow_mut().pushes += 1;
                    connection.grant(number, message.body.len() as u32).await?;
                }
                Kind::LastPush => {
                    let end = SubscriptionEnd::decode(&message.args).expect("well-formed");
                    self.allow(&owned(end.error.expect("nothing else ends it")), &[ErrorCode::Draining]);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                kind => panic!("{kind:?} on a subscription"),
            }
        }
        Ok(())
    }
}
