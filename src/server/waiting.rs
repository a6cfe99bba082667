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
//! after some of them. Answers in the making count as if they waited ([`Leave`]): thousands that are asked for at once are
//! made before the first of them waits.
//!
//! Costs two additions per answer; only a connection for which much waits is on the list.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use crate::limits::SLOW_CLIENT_US;
use crate::runtime::local::Permit;
use crate::types::MonoUs;

/// A client that takes this much begins a new account of its slowness.
pub const PROGRESS_BYTES: usize = 256 << 10;

/// A connection for which less waits is not worth giving up.
const LISTED_BYTES: usize = 64 << 10;

/// What a client whose reading is in doubt gets at once while much waits. Several of them make a connection worth giving up.
const PORTION_BYTES: u32 = 64 << 10;

/// The least it gets, when there are very many connections or no more may wait: one frame, if that is larger.
const PORTION_BYTES_MIN: u32 = 4 << 10;

/// A client that has taken this much reads: more than the kernel takes in its place.
const PROVEN_BYTES: usize = 2 << 20;

/// Much waits when it is more than this part of what may.
const MUCH_PART: usize = 8;

/// What waits on one worker.
pub struct Waiting {
    held: Cell<usize>,
    /// Of it, with connections that were given up and have not let go of it yet.
    leaving: Cell<usize>,
    /// What may wait soon: answers in the making.
    making: Cell<usize>,
    most: usize,
    connections: Cell<usize>,
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
            making: Cell::new(0),
            most,
            connections: Cell::new(0),
            now: Box::new(now),
            listed: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// The share of a new connection.
    pub fn share(self: &Rc<Self>) -> Share {
        self.connections.set(self.connections.get() + 1);
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

    /// What a client whose reading is in doubt may have at once: all of them together so much that it matters little.
    fn portion(&self) -> u32 {
        let each = self.most / MUCH_PART / self.connections.get().max(1);
        u32::try_from(each).unwrap_or(u32::MAX).clamp(PORTION_BYTES_MIN, PORTION_BYTES)
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

    /// The leave to make an answer for which `asked` bytes were asked, or part of it.
    #[must_use]
    pub fn leave(&self, asked: u32) -> Leave {
        let mut leave = Leave { share: self.clone(), bytes: 0, counted: 0, is_cut: false };
        leave.extend(asked);
        leave
    }

    fn portion(&self, asked: u32) -> u32 {
        let State { waiting, proof_left, listed, .. } = &*self.0;
        let is_slow = || listed.get().is_some_and(|since| (waiting.now)().since(since) >= SLOW_CLIENT_US);
        let soon = waiting.held.get() + waiting.making.get();
        if soon <= waiting.most / MUCH_PART {
            return asked;
        }
        match (proof_left.get() > 0 || is_slow(), soon > waiting.most) {
            (false, false) => asked,
            (false, true) => asked.min(PORTION_BYTES),
            (true, false) => asked.min(waiting.portion()),
            (true, true) => asked.min(PORTION_BYTES_MIN),
        }
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
        self.waiting.connections.set(self.waiting.connections.get() - 1);
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

/// A connection's turn to read bulk bytes and make an answer of them: how much, and one of the few that it has at a time. To be
/// kept until the answer was handed over.
#[derive(Debug)]
pub struct Turn {
    /// How much.
    pub leave: Leave,
    /// One of the few.
    pub _permit: Permit,
}

/// The leave to make an answer of some size. To be kept until what was made waits: it counts by itself until then.
#[derive(Debug)]
pub struct Leave {
    share: Share,
    bytes: u32,
    counted: usize,
    is_cut: bool,
}

impl Leave {
    /// Bytes that may be made now.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether less may be made than was asked for.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The leave to go on, with so many bytes more. [`Leave::bytes`] says how many of them.
    pub fn extend(&mut self, asked: u32) {
        self.bytes = self.share.portion(asked);
        self.is_cut |= self.bytes < asked;
        self.counted += self.bytes as usize;
        let making = &self.share.0.waiting.making;
        making.set(making.get() + self.bytes as usize);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let making = &self.share.0.waiting.making;
        making.set(making.get() - self.counted);
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
        assert_eq!(reader.leave(asked).bytes(), asked, "nothing waits");
        crowd.hold(2 * MIB);
        assert_eq!(reader.leave(asked).bytes(), PORTION_BYTES);
        assert_eq!(reader.leave(7).bytes(), 7);
        let send = |bytes| {
            reader.hold(bytes);
            reader.took(bytes);
            reader.let_go(bytes);
        };
        let portion = PORTION_BYTES as usize;
        (0..PROVEN_BYTES / portion - 1).for_each(|_| send(portion));
        assert_eq!(reader.leave(asked).bytes(), PORTION_BYTES, "not yet");
        send(portion);
        assert_eq!(reader.leave(asked).bytes(), asked);
        reader.hold(MIB);
        world.pass(SLOW_CLIENT_US);
        assert_eq!(reader.leave(asked).bytes(), PORTION_BYTES, "it has stopped");
        reader.took(PROGRESS_BYTES);
        reader.let_go(PROGRESS_BYTES);
        assert_eq!(reader.leave(asked).bytes(), asked);
        crowd.let_go(2 * MIB);
        assert_eq!(world.connection(3).leave(asked).bytes(), asked, "little waits");
    }

    /// Goal: what is being made counts until it waits: of many that are asked for at once only the first are large. With very many
    /// connections portions get smaller, down to the least; beyond the limit everybody gets little, and who reads gets more of it.
    #[test]
    fn what_is_made_counts() {
        let world = World::new();
        let crowd: Vec<_> = (0..100).map(|number| world.connection(number)).collect();
        let leaves: Vec<_> = crowd.iter().map(|share| share.leave(MIB as u32)).collect();
        let bytes: Vec<_> = leaves.iter().map(Leave::bytes).collect();
        assert_eq!(bytes[..2], [MIB as u32; 2], "nothing was asked for before");
        let portion = (10 * MIB / MUCH_PART / 100) as u32;
        assert!(bytes[2..].iter().all(|bytes| *bytes == portion), "{bytes:?}");
        assert_eq!([leaves[0].is_cut(), leaves[2].is_cut()], [false, true]);
        assert_eq!(world.waiting.making.get(), 2 * MIB + 98 * portion as usize);
        let mut first = crowd[0].leave(7);
        assert_eq!(first.bytes(), 7);
        first.extend(MIB as u32);
        assert_eq!(first.bytes(), portion);
        drop(first);
        crowd[1].hold(10 * MIB);
        assert_eq!(crowd[0].leave(MIB as u32).bytes(), PORTION_BYTES_MIN);
        crowd[0].took(PROVEN_BYTES);
        assert_eq!(crowd[0].leave(MIB as u32).bytes(), PORTION_BYTES);
        drop(leaves);
        assert_eq!(world.waiting.making.get(), 0);
        crowd[1].let_go(10 * MIB);
        drop(crowd);
        assert_eq!(world.waiting.connections.get(), 0);
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
