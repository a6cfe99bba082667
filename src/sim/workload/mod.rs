//! Workloads: the real code on simulated machines that crash, and the checkers that hold it to its promises.
//!
//! | workload | what runs | what goes wrong | checker |
//! |---|---|---|---|
//! | [`logs`] | shards and logs of one worker | kills, power failures, disk errors | [`log_oracle`]: strict, it knows the order |
//! | [`damage`] | the same, closed | flipped bits and zeroed blocks in durable bytes | [`damage`] |
//! | [`rot`] | a whole node that was stopped or killed | one file spoilt in one place: every byte, every length | [`rot`] |
//! | [`node`] | a whole node with clients | kills, power failures, stops, broken connections, [`troubles`] | [`shard_oracle`] |
//! | [`live`] | a whole node whose streams are resharded, moved, deleted | the same | [`live`] |
//! | [`values`] | a whole node whose stored values and leases are fought for | the same, holders that pause | [`values`] |
//! | [`decay`] | a whole node, closed and opened again | bits, blocks and writes astray in any of its files | [`decay`] |
//! | [`sweep`] | a small scenario | one crash, at each poll of a task in turn | [`sweep`], [`log_oracle`] |
//!
//! Each workload is a function of a seed. What it finds wrong is a panic, printed with the seed, the last events of the
//! trace and the command that runs the seed again. `tests/simulation.rs` runs them.

pub mod contents;
pub mod damage;
pub mod decay;
pub mod live;
pub mod log_oracle;
pub mod logs;
mod machine;
pub mod native;
pub mod node;
pub mod rot;
pub mod shard_oracle;
pub mod sweep;
pub mod troubles;
pub mod values;

#[cfg(test)]
mod tests;

use crate::sim::SimOptions;

/// Options for a workload's simulation: when it fails, `command` runs it again.
fn options(command: &str, seed: u64) -> SimOptions {
    SimOptions {
        trace_tail: 60,
        replay_hint: format!("MILLSTREAM_SIM_SEED={seed} cargo test --test simulation {command}"),
        ..SimOptions::default()
    }
}
