//! The pipes of registered consumers, on the worker that owns the shard: who reads through each, and how fast.
//!
//! A consumer has one pipe from each shard. A subscription on any worker takes it with [`Pipes::take`] and shows its ticket
//! with every read; a newer subscription makes the ticket worthless, which the older one learns from its next read, or at
//! once if it waits. A pipe belongs to the worker: when the shard moves, its subscriptions end and begin again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::catalog::ConsumerId;
use crate::runtime::local::Notify;
use crate::shard::fanout::{InUse, Manner, Pipe, Ticket};
use crate::shard::throttle::{FanoutLimiter, Pace, Rates};
use crate::types::{GroupId, MonoUs, WorkerId};

/// A new subscription that asks for a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The shard.
    pub group: GroupId,
    /// By whose rules.
    pub manner: Manner,
}

/// A subscription that was given a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The consumer.
    pub consumer: ConsumerId,
    /// The shard.
    pub group: GroupId,
    /// Shows that it is this subscription's.
    pub ticket: Ticket,
}

struct Entry {
    pipe: Pipe,
    limiter: FanoutLimiter,
    rates: Rates,
}

/// The pipes from one worker's shards.
///
/// Bounded: as many as there are consumers times shards, which the catalogue bounds; idle ones are forgotten.
pub struct Pipes {
    /// The highest ticket that was given out. Pipes that are made anew go on from it.
    tickets: Cell<u64>,
    // By shard first: one range holds what goes when a shard goes.
    pipes: RefCell<BTreeMap<(GroupId, ConsumerId), Entry>>,
    changed: Notify,
}

impl Pipes {
    /// No pipe yet on this worker. The tickets of two workers differ: a shard that moves there and back, or only there, meets
    /// no ticket again that somebody may still hold.
    pub fn new(worker: WorkerId) -> Self {
        let tickets = Cell::new(u64::from(worker.0) << 48);
        Self { tickets, pipes: RefCell::default(), changed: Notify::new() }
    }

    /// Gives a pipe to a subscription, taking it from another one if the rules allow that.
    pub fn take(&self, now: MonoUs, asked: Asked, rates: &Rates) -> Result<Ticket, InUse> {
        let mut pipes = self.pipes.borrow_mut();
        let entry = pipes.entry((asked.group, asked.consumer)).or_insert_with(|| Entry {
            pipe: Pipe::after(self.tickets.get()),
            limiter: FanoutLimiter::new(rates, now),
            rates: *rates,
        });
        let granted = entry.pipe.subscribe(now, asked.manner)?;
        self.tickets.set(self.tickets.get().max(granted.ticket.number()));
        drop(pipes);
        if granted.taken_over.is_some() {
            self.changed.notify();
        }
        Ok(granted.ticket)
    }

    /// The subscription has ended by itself.
    pub fn leave(&self, held: Held) {
        if let Some(entry) = self.pipes.borrow_mut().get_mut(&(held.group, held.consumer)) {
            entry.pipe.end(held.ticket);
        }
    }

    /// Whether the pipe is still this subscription's.
    pub fn is_held(&self, held: Held) -> bool {
        let pipes = self.pipes.borrow();
        pipes.get(&(held.group, held.consumer)).is_some_and(|entry| entry.pipe.holder() == Some(held.ticket))
    }

    /// Whether another subscription has the pipe.
    pub fn is_taken(&self, held: Held) -> bool {
        let pipes = self.pipes.borrow();
        let holder = pipes.get(&(held.group, held.consumer)).and_then(|entry| entry.pipe.holder());
        holder.is_some_and(|holder| holder != held.ticket)
    }

    /// Resolves once the pipe is no longer this subscription's.
    pub async fn lost(&self, held: Held) {
        self.changed.until(|| (!self.is_held(held)).then_some(())).await;
    }

    /// How much may go through the pipe now. `None` if it is no longer this subscription's.
    pub fn pace(&self, now: MonoUs, held: Held, rates: &Rates) -> Option<Pace> {
        let mut pipes = self.pipes.borrow_mut();
        let entry = pipes.get_mut(&(held.group, held.consumer))?;
        if entry.pipe.holder() != Some(held.ticket) {
            return None;
        }
        if entry.rates != *rates {
            entry.limiter.set(rates, now);
            entry.rates = *rates;
        }
        Some(entry.limiter.pace(now))
    }

    /// So many bytes went through the pipe.
    pub fn took(&self, now: MonoUs, held: Held, bytes: usize) {
        if let Some(entry) = self.pipes.borrow_mut().get_mut(&(held.group, held.consumer)) {
            entry.limiter.took(now, bytes as u64);
        }
    }

    /// The consumer is gone: all its subscriptions end.
    pub fn drop_consumer(&self, consumer: ConsumerId) {
        self.pipes.borrow_mut().retain(|(_, owner), _| *owner != consumer);
        self.changed.notify();
    }

    /// The shard is no longer here: the subscriptions to it end.
    pub fn drop_shard(&self, group: GroupId) {
        self.pipes.borrow_mut().retain(|(from, _), _| *from != group);
        self.changed.notify();
    }

    /// Forgets pipes that nobody uses and whose past does not matter any more.
    pub fn forget_idle(&self, now: MonoUs) {
        self.pipes.borrow_mut().retain(|_, entry| !entry.pipe.is_forgettable(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(20);

    fn asked(consumer: u64, manner: Manner) -> Asked {
        Asked { consumer: ConsumerId(consumer), group: GROUP, manner }
    }

    fn held(consumer: u64, ticket: Ticket) -> Held {
        Held { consumer: ConsumerId(consumer), group: GROUP, ticket }
    }

    /// Goal: a newer subscription takes the pipe from the older one of the same consumer, and from nobody else.
    #[test]
    fn a_pipe_has_one_holder() {
        let pipes = Pipes::new(WorkerId(0));
        let first = pipes.take(MonoUs(0), asked(1, Manner::Native), &Rates::NONE).unwrap();
        let other = pipes.take(MonoUs(0), asked(2, Manner::Native), &Rates::NONE).unwrap();
        assert!(pipes.take(MonoUs(1), asked(1, Manner::Aws), &Rates::NONE).is_err());
        let second = pipes.take(MonoUs(1), asked(1, Manner::Native), &Rates::NONE).unwrap();
        assert!(!pipes.is_held(held(1, first)));
        assert!(pipes.is_held(held(1, second)));
        assert!(pipes.is_held(held(2, other)));
        assert_eq!(pipes.pace(MonoUs(1), held(1, first), &Rates::NONE), None);
        pipes.leave(held(1, first));
        assert!(pipes.is_held(held(1, second)), "who was taken over has nothing to leave");
    }

    /// Goal: what goes through one consumer's pipe does not count for another one, and new rates are in force at once.
    #[test]
    fn each_pipe_has_its_own_pace() {
        let pipes = Pipes::new(WorkerId(0));
        let slow = Rates { fanout_bytes_s: 1_000, ..Rates::NONE };
        let one = held(1, pipes.take(MonoUs(0), asked(1, Manner::Native), &slow).unwrap());
        let two = held(2, pipes.take(MonoUs(0), asked(2, Manner::Native), &slow).unwrap());
        pipes.took(MonoUs(0), one, 1_000);
        assert_eq!(pipes.pace(MonoUs(0), one, &slow), Some(Pace::Later { after_us: 100_000 }));
        assert_eq!(pipes.pace(MonoUs(0), two, &slow), Some(Pace::Now { bytes: 1_000 }));
        assert_eq!(pipes.pace(MonoUs(0), one, &Rates::NONE), Some(Pace::Now { bytes: u64::MAX }));
    }

    /// Goal: a ticket from before the shard moved away opens nothing when it is back, or at the worker it moved to.
    #[test]
    fn tickets_are_of_one_pipe() {
        let (here, there) = (Pipes::new(WorkerId(0)), Pipes::new(WorkerId(1)));
        let take = |pipes: &Pipes| held(1, pipes.take(MonoUs(0), asked(1, Manner::Native), &Rates::NONE).unwrap());
        let first = take(&here);
        here.drop_shard(GROUP);
        take(&there);
        assert!(!there.is_held(first));
        there.drop_shard(GROUP);
        let second = take(&here);
        assert!(here.is_held(second) && !here.is_held(first));
    }

    /// Goal: with the consumer or the shard its pipes go, and nothing is left of idle ones.
    #[test]
    fn what_is_gone_is_forgotten() {
        let pipes = Pipes::new(WorkerId(0));
        let one = held(1, pipes.take(MonoUs(0), asked(1, Manner::Native), &Rates::NONE).unwrap());
        let two = held(2, pipes.take(MonoUs(0), asked(2, Manner::Native), &Rates::NONE).unwrap());
        pipes.drop_consumer(ConsumerId(1));
        assert!(!pipes.is_held(one));
        assert!(pipes.is_held(two));
        pipes.forget_idle(MonoUs(60_000_000));
        assert!(pipes.is_held(two), "it is not idle");
        pipes.drop_shard(GROUP);
        assert!(!pipes.is_held(two));
        let three = held(3, pipes.take(MonoUs(0), asked(3, Manner::Native), &Rates::NONE).unwrap());
        pipes.leave(three);
        pipes.forget_idle(MonoUs(60_000_000));
        assert!(pipes.pipes.borrow().is_empty());
    }
}
