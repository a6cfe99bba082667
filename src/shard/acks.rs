//! Who waits for an answer, in the order of the log: the machine that turns a durable watermark into acknowledgements.
//!
//! A put is answered once everything up to its end is durable. The log only grows, so the waiters form a queue and a
//! new watermark releases a prefix of it. The caller bounds the queue: every waiter stands for accepted bytes, which
//! [`Admission`](super::admission::Admission) counts, or for a request in flight on a connection.
//!
//! Invariants:
//! - The ends in the queue never decrease.
//! - A waiter leaves exactly once: released, or failed.

use std::collections::VecDeque;

/// Waiters `T` for a watermark `W` ([`FrameIndex`](crate::types::FrameIndex) or [`Offset`](crate::types::Offset)).
///
/// Allocates only while the queue grows to a length it never had.
#[derive(Debug)]
pub struct PendingAcks<W, T> {
    queue: VecDeque<(W, T)>,
}

impl<W, T> Default for PendingAcks<W, T> {
    fn default() -> Self {
        Self { queue: VecDeque::new() }
    }
}

impl<W: Copy + Ord, T> PendingAcks<W, T> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues `waiter` until everything *below* `end` is durable.
    ///
    /// An end below that of the waiter before it is raised to it. This happens to the resend of a batch that is accepted
    /// but not durable yet: it waits for a little more than it needs, and answers keep their order.
    pub fn push(&mut self, end: W, waiter: T) {
        let end = self.queue.back().map_or(end, |(last, _)| end.max(*last));
        self.queue.push_back((end, waiter));
    }

    /// Takes out, in order, the waiters whose end is at or below `durable`. What the iterator has not yielded when it is
    /// dropped stays in the queue.
    pub fn release(&mut self, durable: W) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(move || {
            let (end, _) = self.queue.front()?;
            if *end > durable {
                return None;
            }
            self.queue.pop_front().map(|(_, waiter)| waiter)
        })
    }

    /// Takes out all waiters, in order: their log died, and whether their bytes are stored is not known.
    pub fn fail_all(&mut self) -> impl Iterator<Item = T> + '_ {
        self.queue.drain(..).map(|(_, waiter)| waiter)
    }

    /// The watermark at which the next waiter is released.
    #[must_use]
    pub fn next_end(&self) -> Option<W> {
        self.queue.front().map(|(end, _)| *end)
    }

    /// Number of waiters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// True without waiters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Offset;

    fn released(acks: &mut PendingAcks<Offset, char>, durable: u64) -> String {
        acks.release(Offset(durable)).collect()
    }

    /// Goal: a watermark releases exactly the waiters it covers, in order, each once.
    #[test]
    fn releases_a_prefix_in_order() {
        let mut acks = PendingAcks::new();
        for (end, waiter) in [(3, 'a'), (5, 'b'), (5, 'c'), (9, 'd')] {
            acks.push(Offset(end), waiter);
        }
        assert_eq!(released(&mut acks, 2), "");
        assert_eq!(acks.next_end(), Some(Offset(3)));
        assert_eq!(released(&mut acks, 5), "abc");
        assert_eq!(released(&mut acks, 5), "");
        assert_eq!(released(&mut acks, 100), "d");
        assert!(acks.is_empty());
    }

    /// Goal: a resend of an older, not yet durable batch waits behind the puts before it instead of breaking the order.
    #[test]
    fn an_older_end_keeps_its_place() {
        let mut acks = PendingAcks::new();
        acks.push(Offset(10), 'a');
        acks.push(Offset(4), 'b');
        acks.push(Offset(11), 'c');
        assert_eq!(released(&mut acks, 9), "");
        assert_eq!(released(&mut acks, 10), "ab");
        assert_eq!(acks.len(), 1);
    }

    /// Goal: dropping the iterator half-way loses nobody, and a dead log fails all that are left.
    #[test]
    fn nobody_is_lost() {
        let mut acks = PendingAcks::new();
        for end in 1..=4 {
            acks.push(Offset(end), end);
        }
        assert_eq!(acks.release(Offset(4)).next(), Some(1));
        assert_eq!(acks.release(Offset(2)).collect::<Vec<_>>(), [2]);
        assert_eq!(acks.fail_all().collect::<Vec<_>>(), [3, 4]);
        assert!(acks.is_empty());
        assert_eq!(acks.next_end(), None);
    }

    /// Goal: once it has been as long as it gets, the queue allocates nothing.
    #[test]
    fn no_allocation_once_warm() {
        let mut acks = PendingAcks::new();
        (1..=64).for_each(|end| acks.push(Offset(end), ()));
        assert_eq!(acks.release(Offset(64)).count(), 64);
        let capacity = acks.queue.capacity();
        for round in 0..10 {
            (1..=64).for_each(|n| acks.push(Offset(100 * round + n), ()));
            assert_eq!(acks.release(Offset(100 * round + 64)).count(), 64);
        }
        assert_eq!(acks.queue.capacity(), capacity);
    }
}
