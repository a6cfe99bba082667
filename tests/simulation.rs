//! The simulated workloads over many seeds. `MILLSTREAM_SIM_SEEDS=N` runs N seeds of each instead of a few,
//! `MILLSTREAM_SIM_SEED=S` runs one.
#![cfg(feature = "sim")]

use millstream::sim::workload::{damage, live, logs, node, values};

/// The seeds to run: `few` of them unless the environment says otherwise.
fn seeds(few: u64) -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "how many seeds to run is said to the test, not to the node")]
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number of seeds, or a seed"));
    match (number("MILLSTREAM_SIM_SEED"), number("MILLSTREAM_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(few),
    }
}

/// Goal: logs keep their promises through kills, power failures and disk errors.
#[test]
fn logs() {
    for seed in seeds(25) {
        println!("logs, seed {seed}: {:?}", logs::Plan::draw(seed));
        let summary = logs::run(seed);
        println!("logs, seed {seed}: {summary:?}");
    }
}

/// Goal: a bit that flipped or a block that went never gives a reader a wrong byte, and nothing is cut off in silence.
#[test]
fn damage() {
    for seed in seeds(60) {
        println!("damage, seed {seed}: {:?}", damage::run(seed));
    }
}

/// Goal: a whole node keeps its promises to its clients through crashes, stops and broken connections.
#[test]
fn node() {
    for seed in seeds(20) {
        println!("node, seed {seed}: {:?}", node::Plan::draw(seed));
        println!("node, seed {seed}: {:?}", node::run(seed));
    }
}

/// Goal: nothing is lost, repeated or out of order while shards are split, merged, scaled and moved, through crashes.
#[test]
fn live() {
    for seed in seeds(4) {
        println!("live, seed {seed}: {:?}", live::Plan::draw(seed));
        println!("live, seed {seed}: {:?}", live::run(seed));
    }
}

/// Goal: leases have one holder at a time, fencing holds, and stored values that were acknowledged stay, through crashes.
#[test]
fn values() {
    for seed in seeds(15) {
        println!("values, seed {seed}: {:?}", values::Plan::draw(seed));
        println!("values, seed {seed}: {:?}", values::run(seed));
    }
}
