//! The suite of the seam, each check over several seeds, since each seed is another order of things.

use super::*;
use crate::runtime::conformance::{Place, runtime_tests};

const SEEDS: u64 = 4;

fn run<C>(check: C)
where
    C: AsyncFn(SimRuntime, Place),
{
    for seed in 0..SEEDS {
        let sim = Sim::new(seed, SimOptions::default());
        let host = sim.host("node");
        sim.create_dir_all(host, "/place").expect("an empty disk");
        let place = Place { dir: PathBuf::from("/place"), listen: ([127, 0, 0, 1], 0).into() };
        sim.block_on(check(sim.runtime(host), place));
    }
}

runtime_tests!(run);
