//! Whether a put may be accepted: is the shard open for writing, and is there room before the disk catches up?
//!
//! ```text
//! gate            room for the bytes   verdict
//! open            yes                  Admit: the bytes count from now on
//! open            no                   Wait: try again after the next sync, first come first served
//! held            any                  Wait: somebody is about to decide whether the gate closes
//! closed to puts  any                  Err(PutRefusal)
//! ```

use thiserror::Error;

use crate::limits::SHARD_UNSYNCED_BYTES_MAX;

/// Why a shard takes no puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PutRefusal {
    /// The stream is being created; the shard's log does not exist yet.
    #[error("the shard is being created")]
    Creating,
    /// Recovery found damage among durable frames. What is intact stays readable until an operator repairs the shard.
    #[error("the shard is quarantined: recovery found damage among its durable frames")]
    Quarantined,
    /// The shard was split or merged; its children take the puts.
    #[error("the shard is closed, its children take over")]
    Closed,
    /// Another worker takes the shard over; the map says which.
    #[error("the shard is moving to another worker")]
    Moving,
    /// The stream is being deleted.
    #[error("the stream is being deleted")]
    Deleting,
    /// The disk has less free space than the node keeps in reserve. Reads and administration go on.
    #[error("the disk is full: {free_bytes} bytes are free, {reserve_bytes} are kept in reserve")]
    DiskFull {
        /// Bytes that could still be written.
        free_bytes: u64,
        /// Bytes that puts leave alone.
        reserve_bytes: u64,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// A write or a sync failed. What the disk holds is known again after recovery, not before.
    #[error("the shard's log failed and has to be recovered")]
    Dead,
}

/// What a client can do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// Send it again after a pause.
    RetryAfter,
    /// Fetch the shard map and send it where that points.
    RefreshMap,
    /// The stream is going away.
    Gone,
    /// Send it again once space was freed.
    Full,
    /// An operator has to act first.
    Operator,
}

impl PutRefusal {
    /// What a client can do about it.
    #[must_use]
    pub const fn class(self) -> RefusalClass {
        match self {
            // Creating files takes milliseconds.
            Self::Creating => RefusalClass::RetryAfter,
            // Puts would bury the damage; only a repair ends the quarantine.
            Self::Quarantined => RefusalClass::Operator,
            // The key range lives on in the children, under other shard numbers.
            Self::Closed => RefusalClass::RefreshMap,
            // The same shard, under the same number, on another worker: the map names it.
            Self::Moving => RefusalClass::RefreshMap,
            // A stream of this name may come back, but it will be another one.
            Self::Deleting => RefusalClass::Gone,
            // Retention frees space by itself.
            Self::DiskFull { .. } => RefusalClass::Full,
            // It comes back, or another one takes its place.
            Self::Stopping => RefusalClass::RetryAfter,
            // The node recovers a failed log when it is restarted. This put was not accepted, so sending it again is safe.
            Self::Dead => RefusalClass::RetryAfter,
        }
    }

    /// True if the same put can succeed later without anybody's help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self.class() {
            RefusalClass::RetryAfter | RefusalClass::RefreshMap | RefusalClass::Full => true,
            RefusalClass::Gone | RefusalClass::Operator => false,
        }
    }

    /// True if a resend of a batch that the shard has stored is still answered as what it is. Its producer would carry the
    /// batch to another shard, or to another worker, and there it would be new.
    #[must_use]
    pub const fn knows_duplicates(self) -> bool {
        match self {
            Self::Closed | Self::Moving => true,
            // Nobody is sent elsewhere: the batch comes back, and is known then. A dead log does not know what it has.
            Self::Creating
            | Self::Quarantined
            | Self::Deleting
            | Self::DiskFull { .. }
            | Self::Stopping
            | Self::Dead => false,
        }
    }
}

/// Answer to a put that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Accepted; its bytes count until they are synced.
    Now,
    /// No room until the next sync. Nothing was counted. The caller keeps waiters in a queue and lets nobody pass them:
    /// otherwise a stream of small puts would starve a large one.
    Wait,
}

/// Counts the bytes a shard has accepted and not yet synced, and holds its gate.
///
/// Invariant: `accepted_unsynced <= SHARD_UNSYNCED_BYTES_MAX`.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    accepted_unsynced: usize,
    held: bool,
    refusal: Option<PutRefusal>,
}

impl Admission {
    /// An open shard without unsynced bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self { accepted_unsynced: 0, held: false, refusal: None }
    }

    /// Decides about a put of `bytes`, as they will lie in the log (headers and padding included), and counts them if
    /// it is accepted.
    ///
    /// Panics when `bytes` alone exceed the bound: the largest frame is far below it, and such a put would wait for ever.
    pub fn admit(&mut self, bytes: usize) -> Result<Admit, PutRefusal> {
        assert!(bytes <= SHARD_UNSYNCED_BYTES_MAX, "a put of {bytes} bytes got past the limit of a frame");
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        if self.held || bytes > SHARD_UNSYNCED_BYTES_MAX - self.accepted_unsynced {
            return Ok(Admit::Wait);
        }
        self.accepted_unsynced += bytes;
        Ok(Admit::Now)
    }

    /// Takes note that `bytes` of those accepted are durable now.
    pub fn synced(&mut self, bytes: usize) {
        let left = self.accepted_unsynced.checked_sub(bytes);
        self.accepted_unsynced = left.unwrap_or_else(|| {
            panic!("{bytes} bytes were synced, only {} had been accepted", self.accepted_unsynced);
        });
    }

    /// Closes the gate. Bytes accepted before still count until they are synced. A dead log stays dead: no later reason
    /// replaces it.
    pub fn refuse(&mut self, refusal: PutRefusal) {
        if self.refusal != Some(PutRefusal::Dead) {
            self.refusal = Some(refusal);
        }
    }

    /// Opens the gate again: the disk has room, the stream is active. A dead log stays dead.
    pub fn reopen(&mut self) {
        if self.refusal != Some(PutRefusal::Dead) {
            self.refusal = None;
        }
    }

    /// Holds puts back, or lets them in again. Nothing is refused meanwhile: they wait.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether puts are held back.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// Why puts are refused, if they are.
    #[must_use]
    pub const fn refusal(&self) -> Option<PutRefusal> {
        self.refusal
    }

    /// Bytes accepted and not yet synced.
    #[must_use]
    pub const fn accepted_unsynced(&self) -> usize {
        self.accepted_unsynced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [PutRefusal; 8] = [
        PutRefusal::Creating,
        PutRefusal::Quarantined,
        PutRefusal::Closed,
        PutRefusal::Moving,
        PutRefusal::Deleting,
        PutRefusal::DiskFull { free_bytes: 1, reserve_bytes: 2 },
        PutRefusal::Stopping,
        PutRefusal::Dead,
    ];

    /// Goal: bytes are admitted up to the bound exactly, wait above it, and are admitted again after a sync.
    #[test]
    fn the_bound_is_exact() {
        let mut shard = Admission::new();
        assert_eq!(shard.admit(SHARD_UNSYNCED_BYTES_MAX - 10), Ok(Admit::Now));
        assert_eq!(shard.admit(11), Ok(Admit::Wait));
        assert_eq!(shard.accepted_unsynced(), SHARD_UNSYNCED_BYTES_MAX - 10);
        assert_eq!(shard.admit(10), Ok(Admit::Now));
        assert_eq!(shard.admit(1), Ok(Admit::Wait));
        shard.synced(11);
        assert_eq!(shard.admit(11), Ok(Admit::Now));
        assert_eq!(shard.accepted_unsynced(), SHARD_UNSYNCED_BYTES_MAX);
    }

    /// Goal: a closed gate refuses with its reason and counts nothing; all but a dead log can be reopened.
    #[test]
    fn gates_refuse_with_their_reason() {
        for refusal in ALL {
            let mut shard = Admission::new();
            assert_eq!(shard.admit(7), Ok(Admit::Now));
            shard.refuse(refusal);
            assert_eq!(shard.admit(1), Err(refusal));
            assert_eq!(shard.accepted_unsynced(), 7);
            shard.synced(7);
            shard.reopen();
            assert_eq!(shard.admit(1).is_ok(), refusal != PutRefusal::Dead, "{refusal:?}");
        }
    }

    /// Goal: a held gate lets everybody wait, counts nothing, and does not hide a refusal.
    #[test]
    fn a_held_gate_lets_wait() {
        let mut shard = Admission::new();
        assert_eq!(shard.admit(3), Ok(Admit::Now));
        shard.hold(true);
        assert_eq!(shard.admit(1), Ok(Admit::Wait));
        assert_eq!(shard.accepted_unsynced(), 3);
        shard.refuse(PutRefusal::Closed);
        assert_eq!(shard.admit(1), Err(PutRefusal::Closed));
        shard.reopen();
        shard.hold(false);
        assert_eq!(shard.admit(1), Ok(Admit::Now));
    }

    /// Goal: a producer that a refusal sends elsewhere learns first what is stored already; no other refusal lets a stamp
    /// be looked up in a table that may be wrong.
    #[test]
    fn who_is_sent_elsewhere_learns_of_duplicates() {
        for refusal in ALL {
            assert_eq!(refusal.knows_duplicates(), refusal.class() == RefusalClass::RefreshMap, "{refusal:?}");
        }
    }

    /// Goal: nothing hides that a log is dead.
    #[test]
    fn dead_stays_dead() {
        let mut shard = Admission::new();
        shard.refuse(PutRefusal::Dead);
        shard.refuse(PutRefusal::Deleting);
        assert_eq!(shard.refusal(), Some(PutRefusal::Dead));
    }

    /// Goal: the class of each refusal, as a table: a wrong class makes clients lose data or hammer the node.
    #[test]
    fn classes() {
        let classes = ALL.map(|refusal| (refusal.class(), refusal.is_retryable()));
        assert_eq!(
            classes,
            [
                (RefusalClass::RetryAfter, true),
                (RefusalClass::Operator, false),
                (RefusalClass::RefreshMap, true),
                (RefusalClass::RefreshMap, true),
                (RefusalClass::Gone, false),
                (RefusalClass::Full, true),
                (RefusalClass::RetryAfter, true),
                (RefusalClass::RetryAfter, true),
            ]
        );
    }

    /// Goal: syncing more than was accepted is a broken invariant, not a wrapped counter.
    #[test]
    #[should_panic(expected = "only 3 had been accepted")]
    fn synced_never_exceeds_accepted() {
        let mut shard = Admission::new();
        shard.admit(3).unwrap();
        shard.synced(4);
    }
}
