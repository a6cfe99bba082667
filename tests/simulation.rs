//! The simulated workloads over many seeds. `MILLSTREAM_SIM_SEEDS=N` runs N seeds of each instead of a few, from 0 or from
//! `MILLSTREAM_SIM_FROM` on; `MILLSTREAM_SIM_SEED=S` runs one. `MILLSTREAM_SIM_SWEEP=all` ends the scenarios of the sweep, of
//! seed 1 or of `MILLSTREAM_SIM_SEED`, at every point instead of some, `MILLSTREAM_SIM_SWEEP=Node:Kill:17` at one.
#![cfg(feature = "sim")]

use millstream::sim::workload::rot::{Ending, Image};
use millstream::sim::workload::sweep::{self, How, Scenario};
use millstream::sim::workload::{damage, decay, live, logs, node, rot, values};

/// Points at which each scenario of the sweep is ended, unless the environment says otherwise.
const SWEEP_POINTS: u64 = 60;

#[expect(clippy::disallowed_methods, reason = "how many seeds to run is said to the test, not to the node")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|text| text.parse().expect("a number of seeds, or a seed"))
}

/// The seeds to run: `few` of them unless the environment says otherwise.
fn seeds(few: u64) -> std::ops::Range<u64> {
    if let Some(seed) = number("MILLSTREAM_SIM_SEED") {
        return seed..seed + 1;
    }
    let from = number("MILLSTREAM_SIM_FROM").unwrap_or(0);
    from..from + number("MILLSTREAM_SIM_SEEDS").unwrap_or(few)
}

/// Goal: logs keep their promises through kills, power failures and disk errors.
#[test]
fn logs() {
    for seed in seeds(60) {
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

/// Goal: the same for any file of a node and for writes that land elsewhere: damage is said, and stays where it is.
#[test]
fn decay() {
    for seed in seeds(40) {
        println!("decay, seed {seed}: {:?}", decay::run(seed));
    }
}

/// Goal: a whole node keeps its promises to its clients through crashes, stops, broken connections and troubles of all kinds.
#[test]
fn node() {
    for seed in seeds(40) {
        println!("node, seed {seed}: {:?}", node::Plan::draw(seed));
        println!("node, seed {seed}: {:?}", node::run(seed));
    }
}

/// Goal: nothing is lost, repeated or out of order while shards are split, merged, scaled and moved, through crashes.
#[test]
fn live() {
    for seed in seeds(8) {
        println!("live, seed {seed}: {:?}", live::Plan::draw(seed));
        println!("live, seed {seed}: {:?}", live::run(seed));
    }
}

/// Goal: leases have one holder at a time, fencing holds, and stored values that were acknowledged stay, through crashes.
#[test]
fn values() {
    for seed in seeds(30) {
        println!("values, seed {seed}: {:?}", values::Plan::draw(seed));
        println!("values, seed {seed}: {:?}", values::run(seed));
    }
}

/// Goal: wherever the process is killed or the power fails, at any await of the node or of a log, nothing acknowledged is lost
/// and the work goes on.
#[test]
fn sweep() {
    let seed = number("MILLSTREAM_SIM_SEED").unwrap_or(1);
    let which = variable("MILLSTREAM_SIM_SWEEP");
    for scenario in [Scenario::Node, Scenario::Log] {
        let points = sweep::points(scenario, seed);
        let stride = if which.as_deref() == Some("all") { 1 } else { points.div_ceil(SWEEP_POINTS) };
        for how in [How::Kill, How::PowerLoss] {
            println!("sweep, seed {seed}, {scenario:?}, {how:?}: every {stride}. of {points} points");
            let one = |poll: &u64| match which.as_deref() {
                None | Some("all") => true,
                Some(one) => one == format!("{scenario:?}:{how:?}:{poll}"),
            };
            let step = if which.is_none() { stride } else { 1 };
            for poll in (1..=points).step_by(usize::try_from(step).expect("few points")).filter(one) {
                println!("sweep, {scenario:?}:{how:?}:{poll}");
                sweep::run_at(scenario, seed, how, poll);
            }
        }
    }
}

/// Goal: whatever is spoilt of a data directory, one byte or a whole file, the node serves what is intact, hands out nothing wrong,
/// says what is lost and where, and after a repair it goes on. `MILLSTREAM_ROT=N` tries one case in N instead of a few; 1 is
/// every byte and every length.
#[test]
fn rot() {
    let every = variable("MILLSTREAM_ROT").map_or(1_501, |text| text.parse().expect("a number"));
    let mut failed = Vec::new();
    for ending in [Ending::Stopped, Ending::Killed] {
        let image = Image::new(ending);
        let cases = rot::cases(&image);
        let mut summary = rot::Summary::default();
        for case in cases.iter().skip(cases.len() % every).step_by(every) {
            println!("rot, {ending:?}, {case}");
            // All of them, whatever becomes of one.
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rot::run(&image, case, &mut summary)));
            failed.extend(tried.is_err().then(|| format!("{ending:?}, {case}")));
        }
        println!("rot, {ending:?}, of {} cases: {summary:?}", cases.len());
        assert!(summary.quarantined > 0 && summary.noticed > summary.cases / 2, "{summary:?}");
    }
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
}
