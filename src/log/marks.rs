//! The watermarks of a log. Each is the tip's (index, offset) at some moment: everything below it has been reached.

use crate::types::{FrameIndex, Offset};

/// A place between two frames: the next frame's index and the next record's offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Frames below this index are covered.
    pub index: FrameIndex,
    /// Records below this offset are covered.
    pub offset: Offset,
}

/// How far a log has come.
///
/// Invariants: `accepted >= written >= durable`, `accepted >= committed`, and none of them goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    accepted: Mark,
    written: Mark,
    durable: Mark,
    committed: Mark,
}

impl Marks {
    /// All marks at the end of a recovered log: everything found was synced before it is served.
    #[must_use]
    pub const fn recovered(end: Mark) -> Self {
        Self { accepted: end, written: end, durable: end, committed: end }
    }

    /// In memory, promised to nobody.
    #[must_use]
    pub const fn accepted(&self) -> Mark {
        self.accepted
    }

    /// Handed to the disk.
    #[must_use]
    pub const fn written(&self) -> Mark {
        self.written
    }

    /// Synced.
    #[must_use]
    pub const fn durable(&self) -> Mark {
        self.durable
    }

    /// Visible to readers and acknowledged to producers.
    #[must_use]
    pub const fn committed(&self) -> Mark {
        self.committed
    }

    /// More was taken in.
    pub fn accept(&mut self, to: Mark) {
        assert!(to >= self.accepted, "accepted goes back from {:?} to {to:?}", self.accepted);
        self.accepted = to;
    }

    /// More was handed to the disk.
    pub fn write(&mut self, to: Mark) {
        assert!(to >= self.written, "written goes back from {:?} to {to:?}", self.written);
        assert!(to <= self.accepted, "written {to:?} overtakes accepted {:?}", self.accepted);
        self.written = to;
    }

    /// More was synced.
    pub fn sync(&mut self, to: Mark) {
        assert!(to >= self.durable, "durable goes back from {:?} to {to:?}", self.durable);
        assert!(to <= self.written, "durable {to:?} overtakes written {:?}", self.written);
        self.durable = to;
    }

    /// More became visible.
    pub fn commit(&mut self, to: Mark) {
        assert!(to >= self.committed, "committed goes back from {:?} to {to:?}", self.committed);
        assert!(to <= self.written, "committed {to:?} overtakes written {:?}", self.written);
        self.committed = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(n: u64) -> Mark {
        Mark { index: FrameIndex(n), offset: Offset(n) }
    }

    /// Goal: the marks move in their order.
    #[test]
    fn marks_move_in_order() {
        let mut marks = Marks::recovered(mark(3));
        marks.accept(mark(9));
        marks.write(mark(7));
        marks.sync(mark(5));
        marks.commit(mark(5));
        assert_eq!((marks.accepted(), marks.written(), marks.durable()), (mark(9), mark(7), mark(5)));
    }

    /// Goal: acknowledging what was not written stops the node before it lies.
    #[test]
    #[should_panic(expected = "overtakes written")]
    fn durable_cannot_overtake_written() {
        let mut marks = Marks::default();
        marks.accept(mark(2));
        marks.sync(mark(1));
    }
}
