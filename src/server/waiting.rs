//! The memory of answers that wait for the clients of one worker, of all of them together. What one connection may hold is bounded
//! where it sends; with thousands of connections whose clients read a few bytes now and then, that is no bound worth the name.
//!
//! Beyond a limit ([`WORKER_ANSWERS_BYTES_MAX`](crate::limits::WORKER_ANSWERS_BYTES_MAX) unless the operator sets another) the connection whose client has been slow for longest is given up, then the next. *Slow* is who
//! takes less than [`PROGRESS_BYTES`] in [`SLOW_CLIENT_US`] while 64 KiB and more wait for it: whoever reads at all
//! like a client of today is never among them. So what is held is bounded by the limit and what a worker can produce in that time.
//!
//! That bounds memory, not time: whoever is thrown out can come back and ask again, and a crowd that does keeps a worker busy with making
//! large answers that nobody takes. So while much waits, a client that has not yet taken much, or does not at the moment, gets its bulk
//! answers in small portions. All reads may answer with less than was asked for, and who reads is at full size again
//! after some of them.
//!
//! Costs two additions per answer; only a connection for which much waits is on the list.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use crate::limits::SLOW_CLIENT_US;
use crate::types::MonoUs;

/// A client that takes this much begins a new account of its slowness.
pub const PROGRESS_BYTES: usize = 256 << 10;

/// A connection for which less waits is not worth giving up.
const LISTED_BYTES: usize = 64 << 10;

/// What a client whose reading is in doubt gets at once while much waits. Several of them make a connection worth giving up.
const PORTION_BYTES: u32 = 64 << 10;

/// A client that has taken this much reads: more than the kernel takes in its place.
const PROVEN_BYTES: usize = 2 << 20;

/// Much waits when it is more than this part of what may.
const MUCH_PART: usize = 8;

/// What waits on one worker.
pub struct Waiting {
    held: Cell<usize>,
    /// Of it, with connections that were given up and have not let go of it yet.
    leaving: Cell<usize>,
    most: usize,
    now: Box<dyn Fn() -> MonoUs>,
    /// Connections for which much waits, by the time since when they made no progress.
    listed: RefCell<BTreeMap<(MonoUs, u64), Weak<State>>>,
    next: Cell<u64>,
}

/// One connection's share of it. A handle; clones are the same.
#[derive(Clone)]
pub struct Share(Rc<State>);

struct State {
    waiting: Rc<Waiting>,
    key: u64,
    held: Cell<usize>,
    /// Taken by the client since it was listed or last made progress.
    taken: Cell<usize>,
    /// What the client still has to take before it counts as one that reads.
    proof_left: Cell<usize>,
    listed: Cell<Option<MonoUs>>,
    is_leaving: Cell<bool>,
    give_up: RefCell<Option<Box<dyn Fn()>>>,
}

impl Waiting {
    /// Nothing waits yet, and no more than `most` bytes should. `now` tells monotonic time.
    pub fn new(most: usize, now: impl Fn() -> MonoUs + 'static) -> Rc<Self> {
        Rc::new(Self {
            held: Cell::new(0),
            leaving: Cell::new(0),
            most,
            now: Box::new(now),
            listed: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// The share of a new connection.
    pub fn share(self: &Rc<Self>) -> Share {
        Share(Rc::new(State {
            waiting: Rc::clone(self),
            key: self.next.replace(self.next.get() + 1),
            held: Cell::new(0),
            taken: Cell::new(0),
            proof_left: Cell::new(PROVEN_BYTES),
            listed: Cell::new(None),
            is_leaving: Cell::new(false),
            give_up: RefCell::new(None),
        }))
    }

    /// Gives up slow connections until little enough waits, or nobody else is slow. Called when more is to wait; to be called once in
    /// a while, too, for when nothing more comes and time makes slow clients of those there are.
    pub fn make_room(&self) {
        let now = (self.now)();
        while self.held.get() - self.leaving.get() > self.most {
            let slowest = self.listed.borrow().first_key_value().map(|(place, state)| (*place, state.upgrade()));
            let Some(((since, key), state)) = slowest.filter(|((since, _), _)| now.since(*since) >= SLOW_CLIENT_US)
            else {
                return;
            };
            self.listed.borrow_mut().remove(&(since, key));
            if let Some(state) = state {
                state.listed.set(None);
                state.is_leaving.set(true);
                self.leaving.set(self.leaving.get() + state.held.get());
                tracing::debug!(
                    bytes = state.held.get(),
                    "memory is short: a client that reads slowly is disconnected"
                );
                if let Some(give_up) = &*state.give_up.borrow() {
                    give_up();
                }
            }
        }
    }
}

impl Share {
    /// What ends the connection. It is called at most once, from within [`Share::hold`] of any connection of the worker, and lets go of
    /// what is held soon afterwards, not at once.
    pub fn on_give_up(&self, give_up: impl Fn() + 'static) {
        *self.0.give_up.borrow_mut() = Some(Box::new(give_up));
    }

    /// Bytes that wait to be sent.
    pub fn held(&self) -> usize {
        self.0.held.get()
    }

    /// How many bytes of an answer for which `asked` were asked to make now.
    pub fn portion(&self, asked: u32) -> u32 {
        let State { waiting, proof_left, listed, .. } = &*self.0;
        let is_slow = || listed.get().is_some_and(|since| (waiting.now)().since(since) >= SLOW_CLIENT_US);
        let much_waits = waiting.held.get() > waiting.most / MUCH_PART;
        if much_waits && (proof_left.get() > 0 || is_slow()) { asked.min(PORTION_BYTES) } else { asked }
    }

    /// So many bytes wait to be sent.
    pub fn hold(&self, bytes: usize) {
        let State { waiting, held, listed, is_leaving, .. } = &*self.0;
        held.set(held.get() + bytes);
        waiting.held.set(waiting.held.get() + bytes);
        if is_leaving.get() {
            waiting.leaving.set(waiting.leaving.get() + bytes);
        } else if held.get() >= LISTED_BYTES && listed.get().is_none() {
            self.list();
        }
        if waiting.held.get() - waiting.leaving.get() > waiting.most {
            waiting.make_room();
        }
    }

    /// The client took so many bytes. What holds them may be let go of later.
    pub fn took(&self, bytes: usize) {
        let State { taken, proof_left, listed, .. } = &*self.0;
        proof_left.set(proof_left.get().saturating_sub(bytes));
        if listed.get().is_some() {
            taken.set(taken.get() + bytes);
            if taken.get() >= PROGRESS_BYTES {
                self.unlist();
                self.list();
            }
        }
    }

    /// So many bytes wait no more.
    pub fn let_go(&self, bytes: usize) {
        let State { waiting, held, is_leaving, .. } = &*self.0;
        held.set(held.get() - bytes);
        waiting.held.set(waiting.held.get() - bytes);
        if is_leaving.get() {
            waiting.leaving.set(waiting.leaving.get() - bytes);
        }
        if held.get() < LISTED_BYTES {
            self.unlist();
        }
    }

    fn list(&self) {
        let since = (self.0.waiting.now)();
        self.0.taken.set(0);
        self.0.listed.set(Some(since));
        self.0.waiting.listed.borrow_mut().insert((since, self.0.key), Rc::downgrade(&self.0));
    }

    fn unlist(&self) {
        if let Some(since) = self.0.listed.take() {
            self.0.waiting.listed.borrow_mut().remove(&(since, self.0.key));
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let held = self.held.get();
        self.waiting.held.set(self.waiting.held.get() - held);
        if self.is_leaving.get() {
            self.waiting.leaving.set(self.waiting.leaving.get() - held);
        }
        if let Some(since) = self.listed.take() {
            self.waiting.listed.borrow_mut().remove(&(since, self.key));
        }
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").field("held", &self.0.held.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// A worker of which 10 MiB may wait, its clock, and what became of its connections.
    struct World {
        waiting: Rc<Waiting>,
        clock: Rc<Cell<MonoUs>>,
        given_up: Rc<RefCell<Vec<u32>>>,
    }

    impl World {
        fn new() -> Self {
            let clock = Rc::new(Cell::new(MonoUs(1)));
            let now = Rc::clone(&clock);
            Self { waiting: Waiting::new(10 * MIB, move || now.get()), clock, given_up: Rc::default() }
        }

        fn connection(&self, number: u32) -> Share {
            let share = self.waiting.share();
            let given_up = Rc::clone(&self.given_up);
            share.on_give_up(move || given_up.borrow_mut().push(number));
            share
        }

        fn pass(&self, us: u64) {
            self.clock.set(MonoUs(self.clock.get().0 + us));
        }
    }

    /// Goal: when too much waits, those who have been slow for longest are given up, no more of them than need be, and nobody
    /// before the time.
    #[test]
    fn the_slowest_go_first() {
        let world = World::new();
        let slow: Vec<_> = (0..5).map(|number| world.connection(number)).collect();
        for share in &slow {
            share.hold(2 * MIB);
            world.pass(1_000);
        }
        let quick = world.connection(9);
        quick.hold(3 * MIB);
        assert!(world.given_up.borrow().is_empty(), "too early");
        world.pass(SLOW_CLIENT_US);
        quick.hold(MIB);
        assert_eq!(*world.given_up.borrow(), [0, 1], "four too many waited");
        // They have not let go yet: that is no reason to give up more.
        quick.let_go(1);
        quick.hold(1);
        assert_eq!(*world.given_up.borrow(), [0, 1]);
        drop(slow);
        assert_eq!((world.waiting.held.get(), world.waiting.leaving.get()), (4 * MIB, 0));
    }

    /// Goal: what came too fast for anybody to be slow yet is looked at again when it is time, without another answer.
    #[test]
    fn time_makes_room() {
        let world = World::new();
        let crowd: Vec<_> = (0..20).map(|number| world.connection(number)).collect();
        crowd.iter().for_each(|share| share.hold(MIB));
        world.waiting.make_room();
        assert!(world.given_up.borrow().is_empty());
        world.pass(SLOW_CLIENT_US);
        world.waiting.make_room();
        assert_eq!(*world.given_up.borrow(), (0..10).collect::<Vec<_>>());
    }

    /// Goal: who takes what it is sent is not slow, however long there is always something for it.
    #[test]
    fn progress_counts() {
        let world = World::new();
        let (reader, sleeper) = (world.connection(1), world.connection(2));
        reader.hold(6 * MIB);
        world.pass(1);
        sleeper.hold(4 * MIB);
        for _ in 0..20 {
            world.pass(SLOW_CLIENT_US / 2);
            reader.took(PROGRESS_BYTES);
            reader.let_go(PROGRESS_BYTES);
            reader.hold(PROGRESS_BYTES);
        }
        reader.hold(1);
        assert_eq!(*world.given_up.borrow(), [2]);
        reader.hold(20 * MIB);
        assert_eq!(*world.given_up.borrow(), [2], "nobody else is slow");
    }

    /// Goal: while much waits, large answers are for those who read; who begins to, or goes on to, gets them again.
    #[test]
    fn those_in_doubt_get_portions() {
        let world = World::new();
        let (reader, crowd) = (world.connection(1), world.connection(2));
        let asked = 5 << 20;
        assert_eq!(reader.portion(asked), asked, "nothing waits");
        crowd.hold(2 * MIB);
        assert_eq!(reader.portion(asked), PORTION_BYTES);
        assert_eq!(reader.portion(7), 7);
        let send = |bytes| {
            reader.hold(bytes);
            reader.took(bytes);
            reader.let_go(bytes);
        };
        let portion = PORTION_BYTES as usize;
        (0..PROVEN_BYTES / portion - 1).for_each(|_| send(portion));
        assert_eq!(reader.portion(asked), PORTION_BYTES, "not yet");
        send(portion);
        assert_eq!(reader.portion(asked), asked);
        reader.hold(MIB);
        world.pass(SLOW_CLIENT_US);
        assert_eq!(reader.portion(asked), PORTION_BYTES, "it has stopped");
        reader.took(PROGRESS_BYTES);
        reader.let_go(PROGRESS_BYTES);
        assert_eq!(reader.portion(asked), asked);
        crowd.let_go(2 * MIB);
        assert_eq!(world.connection(3).portion(asked), asked, "little waits");
    }

    /// Goal: connections with little are left alone, and what was let go of is not counted any more.
    #[test]
    fn little_is_left_alone() {
        let world = World::new();
        let small: Vec<_> = (0..100).map(|number| world.connection(number)).collect();
        small.iter().for_each(|share| share.hold(LISTED_BYTES - 1));
        world.pass(10 * SLOW_CLIENT_US);
        let large = world.connection(200);
        large.hold(10 * MIB);
        assert!(world.given_up.borrow().is_empty());
        large.let_go(10 * MIB);
        small.iter().for_each(|share| share.let_go(LISTED_BYTES - 1));
        assert_eq!(world.waiting.held.get(), 0);
        assert!(world.waiting.listed.borrow().is_empty());
    }
}
