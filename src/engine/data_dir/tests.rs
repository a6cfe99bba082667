use super::*;
use crate::limits::BLOCK_BYTES;
use crate::sim::{DiskOptions, HostId, Sim, SimOptions};

const DATA: &str = "/data";

const CAPACITY_BYTES: u64 = 1 << 20;

fn machine(seed: u64) -> (Sim, HostId) {
    let disk = DiskOptions { capacity_bytes: CAPACITY_BYTES, ..DiskOptions::default() };
    let sim = Sim::new(seed, SimOptions { disk, ..SimOptions::default() });
    let host = sim.host("node");
    (sim, host)
}

/// Opens the directory: the term that began.
fn begin(sim: &Sim, host: HostId) -> Result<Term, OpenError> {
    let rt = sim.runtime(host);
    sim.block_on(async { open(&rt, Path::new(DATA)).await.map(|dir| dir.node.term) })
}

/// Somebody else takes every block that is left.
fn fill(sim: &Sim, host: HostId) {
    let rt = sim.runtime(host);
    let free = sim.block_on(async { rt.disk_space(Path::new(DATA)).await }).expect("no faults").free_bytes;
    let blocks = usize::try_from(free).expect("a small disk") / BLOCK_BYTES;
    sim.write_file(host, "/data/filler", &vec![1; blocks * BLOCK_BYTES]).expect("it fits exactly");
}

/// Goal: a start needs no space that is not there, again and again, whether the one before ended by a kill or with the power.
#[test]
fn a_start_on_a_full_disk_succeeds() {
    for seed in 0..30 {
        let (sim, host) = machine(seed);
        assert_eq!(begin(&sim, host).expect("an empty disk"), Term(1), "seed {seed}");
        sim.kill(host);
        fill(&sim, host);
        for term in 2..8 {
            let began = begin(&sim, host).unwrap_or_else(|error| panic!("seed {seed}, term {term}: {error}"));
            assert_eq!(began, Term(term), "seed {seed}");
            if seed % 2 == 0 { sim.kill(host) } else { sim.power_loss(host) }
        }
    }
}

/// Goal: without the space that is kept, a full disk is the reason given.
#[test]
fn a_full_disk_without_a_reserve_is_the_reason() {
    let (sim, host) = machine(1);
    begin(&sim, host).expect("an empty disk");
    let rt = sim.runtime(host);
    sim.block_on(async { rt.remove(&names::reserve_file(Path::new(DATA))).await }).expect("it is there");
    sim.kill(host);
    fill(&sim, host);
    match begin(&sim, host) {
        Err(OpenError::Io { what: "write the node file in", error, .. }) => {
            assert_eq!(error.kind(), io::ErrorKind::StorageFull)
        }
        other => panic!("{other:?}"),
    }
}
