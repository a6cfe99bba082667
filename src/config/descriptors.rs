//! How the descriptors that a process may have are divided.
//!
//! ```text
//! the process     32   standard streams, the lock, signals, certificates
//! each worker     24   rings, event descriptors, listeners
//! the rest, by worker:
//!   segment files kept open   a quarter, no more than 1,024
//!   files in passing          a quarter, no more than 256: recovery, new segments, indexes, reads that hold a file
//!   connections               what is left, no more than 10,000
//! ```
//! Connections come last because they can be turned away; a log that cannot open its next segment fails.

use thiserror::Error;

use crate::limits::{CONNECTIONS_PER_WORKER_MAX, OPEN_FILES_PER_WORKER_MAX};

/// What the process has open whatever it does.
const PROCESS: usize = 32;

/// What a worker has open whatever it does: three rings, event descriptors of its own and of its blocking thread, three
/// listeners.
const WORKER: usize = 24;

/// Files that are open for a moment.
const PASSING_MAX: usize = 256;

/// What a worker needs beyond that to be of use.
const USEFUL: usize = 32;

/// What each worker may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Segment files kept at hand.
    pub files: usize,
    /// Connections of clients.
    pub connections: usize,
}

/// The limit leaves too little to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the limit on open files is {limit}, {workers} workers need at least {need}; raise it with `ulimit -n 65536` in the \
     shell, `LimitNOFILE=65536` in a systemd unit or `--ulimit nofile=65536` for a container"
)]
pub struct TooFew {
    /// What the process may have open.
    pub limit: usize,
    /// What it needs.
    pub need: usize,
    /// For so many workers.
    pub workers: usize,
}

impl Descriptors {
    /// Divides `limit` among `workers`.
    ///
    /// # Errors
    /// When that is too little.
    pub fn divide(limit: usize, workers: usize) -> Result<Self, TooFew> {
        let need = PROCESS + workers * (WORKER + USEFUL);
        if limit < need {
            return Err(TooFew { limit, need, workers });
        }
        let each = (limit - PROCESS) / workers - WORKER;
        let (files, passing) = ((each / 4).min(OPEN_FILES_PER_WORKER_MAX), (each / 4).min(PASSING_MAX));
        Ok(Self { files, connections: (each - files - passing).min(CONNECTIONS_PER_WORKER_MAX) })
    }

    /// Whether nobody needs to be told: a worker has thousand connections to give, or more.
    #[must_use]
    pub const fn is_ample(&self) -> bool {
        self.connections >= 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is given out is never more than there is, is of use from the least limit on, and grows with the limit.
    #[test]
    fn shares_fit_the_limit() {
        for workers in [1, 2, 7, 64] {
            let need = Descriptors::divide(0, workers).unwrap_err().need;
            assert!(Descriptors::divide(need - 1, workers).is_err());
            let mut last = Descriptors { files: 0, connections: 0 };
            for limit in (need..need + 2_000).chain([100_000, 1_048_576, usize::MAX]) {
                let shares = Descriptors::divide(limit, workers).unwrap();
                assert!(PROCESS + workers * (WORKER + shares.files + shares.connections) <= limit);
                assert!(shares.files >= 8 && shares.connections >= 16, "{limit}: {shares:?}");
                // But for rounding: four more descriptors are two connections more.
                assert!(
                    shares.files >= last.files && shares.connections + 1 >= last.connections,
                    "{limit}: {shares:?}"
                );
                last = shares;
            }
            assert!(last.is_ample() && last.files == OPEN_FILES_PER_WORKER_MAX);
        }
    }

    /// Goal: usual limits, in numbers.
    #[test]
    fn usual_limits() {
        let divide =
            |limit, workers| Descriptors::divide(limit, workers).map(|shares| (shares.files, shares.connections));
        assert_eq!(divide(1_024, 1), Ok((242, 484)));
        assert_eq!(divide(4_096, 2), Ok((502, 1_250)));
        assert_eq!(divide(65_536, 4), Ok((1_024, 10_000)));
    }
}
