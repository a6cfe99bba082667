//! Whose turn it is with the files of a log: opening, handing over and freeing exclude each other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::runtime::local::Notify;
use crate::types::GroupId;

/// The turns of one worker's logs. Shared by `Rc`.
#[derive(Debug, Default)]
pub struct Turns {
    taken: RefCell<BTreeSet<GroupId>>,
    changed: Notify,
}

/// A turn with one log; given back on drop.
#[derive(Debug)]
pub struct Turn {
    turns: Rc<Turns>,
    group: GroupId,
}

impl Turns {
    /// Waits until nobody else has a turn with this log, and takes it. Dropping it leaves the queue.
    pub async fn take(self: &Rc<Self>, group: GroupId) -> Turn {
        self.changed.until(|| self.taken.borrow_mut().insert(group).then_some(())).await;
        Turn { turns: Rc::clone(self), group }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.taken.borrow_mut().remove(&self.group);
        self.turns.changed.notify();
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    /// Goal: one turn per log at a time, logs do not wait for each other, and a waiter that gives up blocks nobody.
    #[test]
    fn one_turn_per_log() {
        block_on(async {
            let turns = Rc::new(Turns::default());
            let first = turns.take(GroupId(1)).await;
            let other = poll_once(turns.take(GroupId(2))).await;
            assert!(other.is_some());
            let mut waiting = Box::pin(turns.take(GroupId(1)));
            let mut abandoned = Box::pin(turns.take(GroupId(1)));
            assert!(poll_once(&mut waiting).await.is_none());
            assert!(poll_once(&mut abandoned).await.is_none());
            drop(abandoned);
            drop(first);
            assert!(poll_once(&mut waiting).await.is_some());
        });
    }
}
