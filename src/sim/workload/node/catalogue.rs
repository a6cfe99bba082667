//! Who creates the stream of the workload on a whole node, and who creates, lists and deletes others beside it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::{STREAM, ShardSlot, World};
use crate::protocol::ErrorCode;
use crate::protocol::messages::{
    CreateStream, DeleteStream, DescribeStream, ListStreams, SettingsChange, ShardDescription, ShardFilter,
    StreamStatus,
};
use crate::runtime::Reactor;
use crate::sim::SimRuntime;
use crate::sim::workload::native::{Connection, Refusal, owned};
use crate::sim::workload::shard_oracle::ShardOracle;
use crate::sim::workload::troubles::Troubles;
use crate::types::ShardNumber;

/// Names of streams that come and go.
const PASSING: [&str; 3] = ["a", "b", "c"];

/// A change that was not answered comes into force within this time, or never: see [`Troubles`].
const LATE: Duration = Duration::from_secs(6);

/// What is known about a stream that comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    There,
    /// It was created, and perhaps is not active yet.
    Coming,
    Gone,
    /// A change was asked for and not answered.
    Unknown,
}

impl World {
    pub(super) async fn set_up(&self, rt: &SimRuntime) {
        loop {
            let mut connection = self.connect(rt).await;
            if self.try_set_up(&mut connection).await.is_ok_and(|done| done) {
                return;
            }
            rt.sleep(Duration::from_millis(2)).await;
        }
    }

    async fn try_set_up(&self, connection: &mut Connection) -> io::Result<bool> {
        let create = CreateStream { name: STREAM, shards: self.plan.shards, settings: SettingsChange::default() };
        let number = connection.send(&create, &[]).await?;
        let message = connection.receive(number).await?;
        if let Err(refusal) = message.answer::<CreateStream<'_>>().expect("well-formed") {
            self.allow_of_change(&owned(refusal), &[ErrorCode::StreamExists]);
        }
        let describe =
            DescribeStream { name: STREAM, from_shard: ShardNumber(0), limit: 100, filter: ShardFilter::All };
        let number = connection.send(&describe, &[]).await?;
        let message = connection.receive(number).await?;
        let Ok(stream) = message.answer::<DescribeStream<'_>>().expect("well-formed") else { return Ok(false) };
        if stream.status != StreamStatus::Active {
            return Ok(false);
        }
        assert_eq!(stream.shards.len(), self.plan.shards as usize);
        let slot = |shard: &ShardDescription| {
            let name = format!("seed {}, {}", self.sim.seed(), shard.number);
            let oracle = RefCell::new(ShardOracle::new(name));
            Rc::new(ShardSlot { number: shard.number, group: Cell::new(shard.group), oracle })
        };
        self.shards.replace(stream.shards.iter().map(slot).collect());
        Ok(true)
    }

    pub(super) async fn administer(&self, rt: &SimRuntime) {
        let mut streams: BTreeMap<&str, Presence> = PASSING.iter().map(|name| (*name, Presence::Gone)).collect();
        for _ in 0..self.plan.puts / 4 {
            let mut connection = self.connect(rt).await;
            let is_broken = self.administer_on(&mut connection, &mut streams).await.is_err();
            rt.sleep(Duration::from_micros(self.draw(20_000))).await;
            if is_broken && self.plan.troubles != Troubles::NONE {
                // What was sent may arrive late, at a node that stands still: longer than both, and nothing comes any more.
                drop(connection);
                rt.sleep(LATE).await;
            }
        }
    }

    async fn administer_on(
        &self,
        connection: &mut Connection,
        streams: &mut BTreeMap<&str, Presence>,
    ) -> io::Result<()> {
        while self.draw(5) > 0 {
            let name = PASSING[self.draw(PASSING.len() as u64) as usize];
            let before = streams[name];
            let after = match self.draw(3) {
                0 => {
                    streams.insert(name, Presence::Unknown);
                    let create =
                        CreateStream { name, shards: 1 + self.draw(5) as u32, settings: SettingsChange::default() };
                    let number = connection.send(&create, &[]).await?;
                    let message = connection.receive(number).await?;
                    let refusal = message.answer::<CreateStream<'_>>().expect("well-formed").err().map(owned);
                    self.settle(before, refusal, ErrorCode::StreamExists, Presence::Gone, Presence::There)
                }
                1 => {
                    streams.insert(name, Presence::Unknown);
                    let number = connection.send(&DeleteStream { name, enforce_consumer_deletion: false }, &[]).await?;
                    let message = connection.receive(number).await?;
                    let refusal = message.answer::<DeleteStream<'_>>().expect("well-formed").err().map(owned);
                    self.settle(before, refusal, ErrorCode::StreamNotFound, Presence::There, Presence::Gone)
                }
                _ => {
                    self.list(connection, streams).await?;
                    continue;
                }
            };
            self.summary.borrow_mut().catalogue_changes += 1;
            streams.insert(name, after);
        }
        Ok(())
    }

    async fn list(&self, connection: &mut Connection, streams: &BTreeMap<&str, Presence>) -> io::Result<()> {
        let number = connection.send(&ListStreams { after: "", limit: 100 }, &[]).await?;
        let message = connection.receive(number).await?;
        let Ok(list) = message.answer::<ListStreams<'_>>().expect("well-formed") else { return Ok(()) };
        for (name, presence) in streams {
            let listed = list.streams.iter().find(|stream| stream.name == *name);
            match presence {
                Presence::Unknown => {}
                Presence::Gone => assert_eq!(listed, None, "stream {name} was deleted"),
                Presence::Coming => assert!(listed.is_some(), "stream {name} was said to be in force"),
                Presence::There => {
                    let active = listed.is_some_and(|stream| stream.status == StreamStatus::Active);
                    assert!(active, "stream {name} was created; it is listed as {listed:?}");
                }
            }
        }
        Ok(())
    }

    /// What is known after a change was answered: it leads to `result`, and `needs` the stream to be there, or not.
    fn settle(
        &self,
        before: Presence,
        refusal: Option<Refusal>,
        not_possible: ErrorCode,
        needs: Presence,
        result: Presence,
    ) -> Presence {
        let is_coming = before == Presence::Coming;
        let could_be = before == needs || before == Presence::Unknown || is_coming && needs == Presence::There;
        let Some(refusal) = refusal else {
            assert!(could_be, "it was {before:?}, and a change to {result:?} succeeded");
            return result;
        };
        if refusal.code == not_possible as u16 {
            assert!(!could_be || before == Presence::Unknown, "it was {before:?}: {refusal:?}");
            // An unanswered change may still be under way.
            return before;
        }
        let codes: &[ErrorCode] = if before == Presence::Unknown { &[ErrorCode::StreamNotActive] } else { &[] };
        self.allow_of_change(&refusal, codes);
        if refusal.code == ErrorCode::Timeout as u16 {
            // In force, for good, and not carried out.
            assert!(could_be, "it was {before:?}, and a change to {result:?} is in force");
            return if result == Presence::There { Presence::Coming } else { result };
        }
        Presence::Unknown
    }

    /// As [`World::allow`], for changes of streams. The end of the node may come while one is being decided or carried out: nobody
    /// can tell then whether it counts, or it does and is not done.
    fn allow_of_change(&self, refusal: &Refusal, codes: &[ErrorCode]) {
        let is_cut_short = [ErrorCode::LogFailed, ErrorCode::Timeout].iter().any(|code| *code as u16 == refusal.code);
        if !(is_cut_short && self.machine.is_stopping()) {
            self.allow(refusal, &[codes, &[ErrorCode::Draining]].concat());
        }
    }
}
