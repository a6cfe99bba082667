//! Which worker gets a new shard: the least loaded one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::types::WorkerId;

/// Shards per worker as recorded; those of streams that are being deleted do not count, they carry no load.
///
/// Invariant: the last count is not 0, so that equal loads are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placement {
    shards: Vec<u32>,
}

impl Placement {
    /// Counts a shard.
    pub(super) fn add(&mut self, worker: WorkerId) {
        let at = usize::from(worker.0);
        if at >= self.shards.len() {
            self.shards.resize(at + 1, 0);
        }
        self.shards[at] += 1;
    }

    /// No longer counts a shard that was counted before.
    pub(super) fn remove(&mut self, worker: WorkerId) {
        self.shards[usize::from(worker.0)] -= 1;
        while self.shards.last() == Some(&0) {
            self.shards.pop();
        }
    }

    /// Shards per worker on a node with `workers` of them: those placed beyond are wrapped around, as they are served.
    pub(super) fn loads(&self, workers: u16) -> Vec<u32> {
        let mut loads = vec![0; usize::from(workers)];
        for (recorded, shards) in self.shards.iter().enumerate() {
            loads[recorded % usize::from(workers)] += shards;
        }
        loads
    }

    /// Workers for `count` new shards on a node with `workers` of them: each goes to the worker with the fewest shards,
    /// those before it included; among equals to the lowest. Counts nothing.
    pub(super) fn place(&self, count: u32, workers: u16) -> Vec<WorkerId> {
        let loads = self.loads(workers);
        let mut least: BinaryHeap<_> = loads.into_iter().zip(0..workers).map(Reverse).collect();
        let mut placed = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let Reverse((load, worker)) = least.pop().expect("there is at least one worker");
            placed.push(WorkerId(worker));
            least.push(Reverse((load + 1, worker)));
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(counts: &[u32]) -> Placement {
        let mut placement = Placement::default();
        for (worker, count) in (0..).zip(counts) {
            (0..*count).for_each(|_| placement.add(WorkerId(worker)));
        }
        placement
    }

    fn place(counts: &[u32], count: u32, workers: u16) -> Vec<u16> {
        placement(counts).place(count, workers).into_iter().map(|worker| worker.0).collect()
    }

    /// Goal: new shards fill up the least loaded workers first; ties go to the lowest.
    #[test]
    fn the_least_loaded_worker_wins() {
        assert_eq!(place(&[], 5, 2), [0, 1, 0, 1, 0]);
        assert_eq!(place(&[3, 1, 2], 6, 3), [1, 1, 2, 0, 1, 2]);
        assert_eq!(place(&[4, 4], 2, 3), [2, 2]);
    }

    /// Goal: on a node with fewer workers the load counts where it is served.
    #[test]
    fn load_of_missing_workers_wraps_around() {
        let placement = placement(&[1, 1, 1, 0, 5]);
        assert_eq!(placement.loads(2), [7, 1]);
        assert_eq!(placement.place(2, 2), [WorkerId(1), WorkerId(1)]);
        assert_eq!(placement.loads(8), [1, 1, 1, 0, 5, 0, 0, 0]);
    }

    /// Goal: counting a shard and no longer counting it leaves no trace, so that copies of the state stay equal.
    #[test]
    fn removal_leaves_no_trace() {
        let mut a = placement(&[1, 2]);
        a.add(WorkerId(9));
        a.remove(WorkerId(9));
        assert_eq!(a, placement(&[1, 2]));
    }
}
