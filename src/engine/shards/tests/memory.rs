//! What all shards of a worker together hold in memory.

use super::*;
use crate::limits::RECORD_BYTES_MAX;

const BUDGET: usize = 256 << 10;

fn group(number: u64) -> GroupId {
    GroupId(16 + number)
}

async fn shards_of(node: &Node, count: u64) -> Vec<Rc<Shard<SimRuntime>>> {
    let mut made = Vec::new();
    for number in 0..count {
        let settings = Settings { record_bytes_max: RECORD_BYTES_MAX, ..Settings::default() };
        let known = known(group(number), Storage::Open, settings);
        node.workers[0].create(&known).await.expect("the disk works");
        made.push(node.workers[0].get(group(number)).expect("it was made"));
    }
    made
}

/// Goal: puts to many shards, each of them small, never hold more together than the worker may; all are stored. The largest
/// one is stored as well, however little that is.
#[test]
fn puts_of_all_shards_stay_within_the_workers_memory() {
    const SHARDS: u64 = 12;
    for seed in 0..5 {
        let machine = machine(seed);
        let node = Rc::new(machine.start(1, Tuning { unsynced_bytes_max: BUDGET, ..Tuning::default() }));
        let shards = machine.sim.block_on(shards_of(&node, SHARDS));
        let left = Rc::new(Cell::new(2 * SHARDS));
        for (number, shard) in shards.iter().enumerate().flat_map(|of| [of, of]) {
            let (shard, left) = (Rc::clone(shard), Rc::clone(&left));
            machine.sim.spawn(machine.host, async move {
                for _ in 0..20 {
                    put(&shard, number as u64, 30_000, None).await.expect("it is open");
                }
                left.set(left.get() - 1);
            });
        }
        let mut most = 0;
        let ended = machine.sim.run_until(
            || {
                most = most.max(node.workers[0].env().unsynced.get());
                left.get() == 0
            },
            Duration::from_secs(60),
        );
        assert!(ended, "seed {seed}: somebody is stuck");
        assert!(most <= BUDGET, "seed {seed}: {most} bytes were held");
        assert!(most > BUDGET / 2, "seed {seed}: nothing was tried, {most} bytes");
        machine.sim.block_on(async { put(&shards[0], 0, 2 << 20, None).await.expect("it is open") });
    }
}

/// Goal: a put that needs much is not passed for ever by small ones to other shards.
#[test]
fn a_large_put_gets_its_turn() {
    const SMALL: u32 = 400;
    let machine = machine(7);
    let node = Rc::new(machine.start(1, Tuning { unsynced_bytes_max: BUDGET, ..Tuning::default() }));
    let shards = machine.sim.block_on(shards_of(&node, 9));
    let done = Rc::new(Cell::new(0));
    for shard in shards[1..].iter().flat_map(|shard| [shard, shard, shard]) {
        let (shard, done) = (Rc::clone(shard), Rc::clone(&done));
        machine.sim.spawn(machine.host, async move {
            for _ in 0..SMALL / 24 {
                put(&shard, 0, 30_000, None).await.expect("it is open");
                done.set(done.get() + 1);
            }
        });
    }
    machine.sim.block_on(async {
        while done.get() < 20 {
            node.rt.sleep(Duration::from_micros(100)).await;
        }
        put(&shards[0], 0, 230_000, None).await.expect("it is open");
        assert!(done.get() < SMALL / 4, "{} small ones went before it", done.get());
    });
}

/// Goal: readers of the disk take turns when memory for all of them is short; also the frame that is larger than that memory
/// is read.
#[test]
fn cold_reads_take_turns() {
    let machine = machine(3);
    let tuning = Tuning { tail_bytes_max: 0, cold_bytes_max: 1 << 20, ..Tuning::default() };
    let node = Rc::new(machine.start(1, tuning));
    let shards = machine.sim.block_on(shards_of(&node, 2));
    machine.sim.block_on(async {
        for shard in &shards {
            for (number, len) in [(0, 100), (1, 3 << 20), (2, 700_000), (3, 100)] {
                put(shard, number, len, None).await.expect("it is open");
            }
        }
    });
    let left = Rc::new(Cell::new(10));
    for number in 0..left.get() {
        let (shard, left) = (Rc::clone(&shards[number % 2]), Rc::clone(&left));
        machine.sim.spawn(machine.host, async move {
            assert_eq!(read_all(&shard).await, [0, 1, 2, 3]);
            left.set(left.get() - 1);
        });
    }
    let mut were_full = false;
    let ended = machine.sim.run_until(
        || {
            were_full |= node.workers[0].env().cold_room.free() == 0;
            left.get() == 0
        },
        Duration::from_secs(60),
    );
    assert!(ended, "somebody is stuck");
    assert!(were_full, "nobody had to wait");
    // So do those who look for a time there: in a segment with more than the index says, nobody finds it without reading.
    let arrival = shards[0].log().last_arrival();
    let left = Rc::new(Cell::new(5));
    for _ in 0..left.get() {
        let (shard, left) = (Rc::clone(&shards[0]), Rc::clone(&left));
        machine.sim.spawn(machine.host, async move {
            let found = shard.log().seek_time(arrival).await.expect("the disk works");
            assert_eq!(found, Offset(3));
            left.set(left.get() - 1);
        });
    }
    let mut least = 1 << 20;
    let ended = machine.sim.run_until(
        || {
            least = least.min(node.workers[0].env().cold_room.free());
            left.get() == 0
        },
        Duration::from_secs(60),
    );
    assert!(ended, "somebody is stuck");
    assert_eq!(least, 0, "they took no memory, or not all of them did");
    assert_eq!(node.workers[0].env().cold_room.free(), 1 << 20, "all was given back");
}
