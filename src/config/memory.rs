//! How the memory that a node may use is divided.
//!
//! ```text
//! each worker has its share, in 16 parts:
//!   2   tail_cache: the newest frames, for readers at the tail
//!   4   puts that are not durable yet
//!   4   answers_max: answers that wait for their clients
//!   4   requests that are still arriving, or being worked on
//!   1   cold reads under way
//!   1   what nobody counts: the program, the catalogue, indexes, and some KiB for each shard and each connection
//! ```
//! `tail_cache` and `answers_max` can be set by themselves. What is left then is divided among the others.

use thiserror::Error;

use super::values::{Bytes, Value};
use crate::limits::{MEMORY_PART_BYTES_MIN, MEMORY_PARTS, WORKER_MEMORY_BYTES};

/// Parts of a worker's share for the tail cache.
const TAIL_PARTS: u64 = 2;

/// Parts for answers.
const ANSWERS_PARTS: u64 = 4;

/// All parts, and the least one of them can be, as numbers of bytes are given here.
const PARTS: u64 = MEMORY_PARTS as u64;
const PART_MIN: u64 = MEMORY_PART_BYTES_MIN as u64;

/// What a worker may use, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The newest frames, for readers at the tail.
    pub tail: u64,
    /// Puts that are not durable yet.
    pub unsynced: u64,
    /// Answers that wait for their clients.
    pub answers: u64,
    /// Requests that are still arriving.
    pub arriving: u64,
    /// Cold reads under way.
    pub cold: u64,
    /// All of it, with what nobody counts.
    pub total: u64,
}

/// What the operator has said about memory; `None` where the node is to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of the whole node.
    pub memory: Option<u64>,
    /// Of each worker, for the newest frames.
    pub tail: Option<u64>,
    /// Of each worker, for answers.
    pub answers: Option<u64>,
}

/// What was asked for does not go into the memory that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "memory = {} is too little for {workers} worker{}{}: at least {} is needed; give more, start fewer workers (--workers), \
     or leave tail_cache and answers_max to the node",
    Bytes(*memory).show(), if *workers == 1 { "" } else { "s" }, if *is_set { " with this tail_cache and answers_max" } else { "" }, Bytes(*need).show()
)]
pub struct TooLittle {
    /// What was given.
    pub memory: u64,
    /// The least that would do.
    pub need: u64,
    /// For so many workers.
    pub workers: usize,
    /// Whether shares were set by themselves.
    pub is_set: bool,
}

impl Memory {
    /// Divides what is wanted among `workers`. What the operator leaves open is taken from [`WORKER_MEMORY_BYTES`] each,
    /// from half of what there is (`available`, if it is known) if that is less, and never from less than a node can work with.
    ///
    /// # Errors
    /// When the memory that was asked for is too little.
    pub fn divide(wanted: &Wanted, available: Option<u64>, workers: usize) -> Result<Self, TooLittle> {
        let count = workers as u64;
        let set = wanted.tail.unwrap_or(0).saturating_add(wanted.answers.unwrap_or(0));
        let tail_parts = if wanted.tail.is_some() { 0 } else { TAIL_PARTS };
        let answers_parts = if wanted.answers.is_some() { 0 } else { ANSWERS_PARTS };
        let parts = PARTS - TAIL_PARTS - ANSWERS_PARTS + tail_parts + answers_parts;
        let part = match wanted.memory {
            Some(memory) => {
                let part = (memory / count).saturating_sub(set) / parts;
                if part < PART_MIN {
                    let need = (parts * PART_MIN).saturating_add(set).saturating_mul(count);
                    return Err(TooLittle { memory, need, workers, is_set: set > 0 });
                }
                part
            }
            None => {
                let each = available.map_or(u64::MAX, |available| available / 2 / count);
                (each.min(WORKER_MEMORY_BYTES as u64) / PARTS).max(PART_MIN)
            }
        };
        let tail = wanted.tail.unwrap_or(TAIL_PARTS * part);
        let answers = wanted.answers.unwrap_or(ANSWERS_PARTS * part);
        let others = (PARTS - TAIL_PARTS - ANSWERS_PARTS) * part;
        let total = tail.saturating_add(answers).saturating_add(others);
        Ok(Self { tail, unsynced: 4 * part, answers, arriving: 4 * part, cold: part, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        COLD_READS_BYTES_MAX, RECEIVE_BUDGET_BYTES, TAIL_CACHE_BYTES, WORKER_ANSWERS_BYTES_MAX,
        WORKER_UNSYNCED_BYTES_MAX,
    };

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn of(memory: u64) -> Wanted {
        Wanted { memory: Some(memory), ..Wanted::default() }
    }

    fn counted(memory: &Memory) -> u64 {
        memory.tail + memory.unsynced + memory.answers + memory.arriving + memory.cold
    }

    /// Goal: what is given out fits what was given, leaves something for what nobody counts, and is of use from the least on.
    #[test]
    fn shares_fit_what_was_given() {
        for workers in [1, 2, 7, 64] {
            for (tail, answers) in [(None, None), (Some(GIB), None), (None, Some(0)), (Some(0), Some(3 * GIB))] {
                let wanted = Wanted { memory: Some(0), tail, answers };
                let need = Memory::divide(&wanted, None, workers).unwrap_err().need;
                assert!(Memory::divide(&Wanted { memory: Some(need - 1), ..wanted }, None, workers).is_err());
                for memory in [need, need + 1, need + 777 * MIB, 100 * need] {
                    let each = Memory::divide(&Wanted { memory: Some(memory), ..wanted }, None, workers).unwrap();
                    assert!(each.total * workers as u64 <= memory, "{memory}: {each:?}");
                    assert!(counted(&each) + PART_MIN <= each.total, "{memory}: {each:?}");
                    assert!(each.unsynced.min(each.arriving) >= 4 * PART_MIN && each.cold >= PART_MIN, "{each:?}");
                    assert!(tail.is_none_or(|tail| tail == each.tail));
                    assert!(answers.is_none_or(|answers| answers == each.answers));
                    // Nothing is left lying about but for rounding.
                    assert!(memory - each.total * (workers as u64) < 16 * workers as u64 + 16, "{memory}: {each:?}");
                }
            }
        }
    }

    /// Goal: left alone, a node takes a fixed amount for each worker, no more than half of the machine, and enough to work with.
    #[test]
    fn left_alone() {
        let alone = |available, workers| Memory::divide(&Wanted::default(), available, workers).unwrap();
        let usual = alone(None, 1);
        assert_eq!(usual.total, WORKER_MEMORY_BYTES as u64);
        assert_eq!((usual.tail, usual.answers, usual.cold), (192 * MIB, 384 * MIB, 96 * MIB));
        // As a worker has it that was told nothing.
        let given = [usual.tail, usual.unsynced, usual.answers, usual.arriving, usual.cold];
        let defaults = [
            TAIL_CACHE_BYTES,
            WORKER_UNSYNCED_BYTES_MAX,
            WORKER_ANSWERS_BYTES_MAX,
            RECEIVE_BUDGET_BYTES,
            COLD_READS_BYTES_MAX,
        ];
        assert_eq!(given, defaults.map(|bytes| bytes as u64));
        assert_eq!(alone(Some(64 * GIB), 8), usual);
        assert_eq!(alone(Some(8 * GIB), 8).total, 512 * MIB);
        assert_eq!(alone(Some(GIB), 64).total, 256 * MIB);
        // What is set by itself is taken as it is, and takes nothing from the others.
        let wanted = Wanted { tail: Some(10 * GIB), ..Wanted::default() };
        let each = Memory::divide(&wanted, Some(8 * GIB), 1).unwrap();
        assert_eq!((each.tail, each.answers), (10 * GIB, usual.answers));
    }

    /// Goal: who gave too little is told how much it takes.
    #[test]
    fn too_little_says_what_it_takes() {
        let text = Memory::divide(&of(300 * MIB), None, 2).unwrap_err().to_string();
        assert!(text.starts_with("memory = 300MiB is too little for 2 workers: at least 512MiB is needed;"), "{text}");
        let wanted = Wanted { tail: Some(GIB), ..of(GIB) };
        let text = Memory::divide(&wanted, None, 1).unwrap_err().to_string();
        assert!(text.contains("with this tail_cache") && text.contains("at least 1248MiB is needed"), "{text}");
    }
}
