//! What goes wrong with a machine and around it while a node runs, besides its end. Drawn from the seed, apart from everything
//! else, so that a plan with [`Troubles::NONE`] runs as if there were none of this.
//!
//! | trouble | what happens |
//! |---|---|
//! | disk errors | EIO on reads, writes, syncs (what they should have covered may be lost for good) and names |
//! | a slow disk | single operations take long, or hang until the troubles end |
//! | a full disk | nothing more fits, now and then, for a while |
//! | clocks | the wall clock jumps, either way |
//! | stalls | one worker's thread stands still, while its disk and network go on |
//! | network | partitions; cut connections whose last bytes arrive late, when they were sent again already |
//!
//! They begin when the node is ready, or with its start; they end before it is asked whether it goes on.
//!
//! Misdirected writes and decaying bits are not among them: they take back what was acknowledged, which a checker of
//! promises must not excuse. They are the matter of [`super::decay`].

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::sim::prng::Prng;
use crate::sim::{Chance, DiskFaults, DiskOptions, HostId, NetOptions, Sim};

/// A step of a clock, in microseconds: half an hour.
const JUMP_US_MAX: u64 = 1_800_000_000;

/// A stall lasts this long at most, in microseconds: longer than a lease, shorter than clients wait.
const STALL_US_MAX: u64 = 2_500_000;

/// A partition lasts this long at most, in microseconds.
const PARTITION_US_MAX: u64 = 1_500_000;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Troubles {
    /// Chances of disk errors and slow operations.
    pub disk: DiskFaults,
    /// Whether the disk is full at times.
    pub full: bool,
    /// Whether the wall clock jumps while the node runs.
    pub jumps: bool,
    /// Whether workers stand still at times.
    pub stalls: bool,
    /// Whether hosts lose each other at times, and cut connections deliver late.
    pub net: bool,
    /// Whether the disk errs while the node starts, too; then it may give up, and is started again.
    pub from_start: bool,
}

impl Troubles {
    /// Nothing goes wrong.
    pub const NONE: Self =
        Self { disk: DiskFaults::NONE, full: false, jumps: false, stalls: false, net: false, from_start: false };

    /// The troubles of a seed. Each kind comes in some runs, so that what one kind finds is not hidden by another.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let prng = &mut Prng::new(seed, "troubles", 0);
        let mut some = |one_in| prng.below(one_in) == 0;
        let (errors, syncs, slow, hangs) = (some(2), some(2), some(4), some(6));
        let chance = |on, parts| if on { Chance::per_million(parts) } else { Chance::NEVER };
        Self {
            disk: DiskFaults {
                read_error: chance(errors, 10_000),
                write_error: chance(errors, 10_000),
                sync_error: chance(errors && syncs, 15_000),
                name_error: chance(errors, 10_000),
                slow: chance(slow, 50_000),
                slow_us: 30_000,
                hang: chance(hangs, 1_000),
                ..DiskFaults::NONE
            },
            full: some(5),
            jumps: some(3),
            stalls: some(3),
            net: some(3),
            from_start: some(3),
        }
    }

    /// Whether a disk operation may fail.
    #[must_use]
    pub fn is_disk_bad(&self) -> bool {
        self.full
            || [self.disk.read_error, self.disk.write_error, self.disk.name_error]
                .iter()
                .any(|chance| *chance != Chance::NEVER)
    }
}

/// What a run met of it, to show that it met anything. Faults of the disk are counted in
/// [`DiskStats`](crate::sim::DiskStats).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jumps of the wall clock.
    pub jumps: u64,
    /// Threads that stood still.
    pub stalls: u64,
    /// Partitions.
    pub partitions: u64,
    /// Times that the disk became full.
    pub full: u64,
    /// Starts that were given up because the disk erred.
    pub failed_starts: u64,
}

/// The troubles of one machine.
pub(super) struct Stirrer {
    troubles: Troubles,
    tally: Cell<Tally>,
    sim: Sim,
    host: HostId,
    prng: RefCell<Prng>,
}

impl Stirrer {
    pub(super) fn new(sim: &Sim, host: HostId, troubles: Troubles) -> Self {
        if troubles.net {
            sim.set_net(NetOptions { late_cut: Chance::percent(50), ..NetOptions::default() });
        }
        let prng = RefCell::new(Prng::new(sim.seed(), "stirrer", u64::from(host.0)));
        Self { troubles, tally: Cell::default(), sim: sim.clone(), host, prng }
    }

    fn one_in(&self, parts: u64) -> bool {
        self.prng.borrow_mut().below(parts) == 0
    }

    fn us(&self, below: u64) -> u64 {
        self.prng.borrow_mut().below(below)
    }

    /// The disk begins to err.
    pub(super) fn begin(&self) {
        self.sim.set_disk_faults(self.host, self.troubles.disk);
    }

    /// Something may happen now, to a node with so many workers and its clients' hosts.
    pub(super) fn stir(&self, workers: u16, clients: &[HostId]) {
        let Troubles { full, jumps, stalls, net, .. } = self.troubles;
        let mut tally = self.tally.get();
        if jumps && self.one_in(3) {
            tally.jumps += 1;
            let delta = self.us(2 * JUMP_US_MAX).cast_signed() - JUMP_US_MAX.cast_signed();
            // Small ones as well: they meet other code.
            self.sim.jump_wall(self.host, if self.one_in(2) { delta } else { delta / 100_000 });
        }
        if stalls && self.one_in(3) {
            tally.stalls += 1;
            let worker = u16::try_from(self.us(workers.into())).expect("a worker's number");
            self.sim.stall(self.host, worker, Duration::from_micros(1 + self.us(STALL_US_MAX)));
        }
        if net && self.one_in(3) && !clients.is_empty() {
            tally.partitions += 1;
            let (client, lasts_us) = (clients[self.us(clients.len() as u64) as usize], self.us(PARTITION_US_MAX));
            self.sim.partition_for(self.host, client, Duration::from_micros(1 + lasts_us));
        }
        if full && self.one_in(3) {
            tally.full += 1;
            let room = self.us(3 << 20);
            self.sim.set_disk_capacity(self.host, self.sim.disk_used(self.host) + room);
        } else if full {
            self.sim.set_disk_capacity(self.host, DiskOptions::default().capacity_bytes);
        }
        self.tally.set(tally);
    }

    /// What there was of it so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally.get()
    }

    /// The disk kept the node from starting.
    pub(super) fn note_failed_start(&self) {
        let tally = self.tally.get();
        self.tally.set(Tally { failed_starts: tally.failed_starts + 1, ..tally });
    }

    /// Everything works again: no error, no full disk; what hangs goes on. Stalls and partitions end by themselves.
    pub(super) fn end(&self) {
        self.sim.set_disk_faults(self.host, DiskFaults::NONE);
        self.sim.set_disk_capacity(self.host, DiskOptions::default().capacity_bytes);
        self.sim.release_hung(self.host);
    }

    /// Whether the disk errs from the start of a process on.
    pub(super) fn begins_with_start(&self) -> bool {
        self.troubles.from_start && self.troubles.is_disk_bad() && self.one_in(2)
    }

    /// Whether a disk operation may fail.
    pub(super) fn is_disk_bad(&self) -> bool {
        self.troubles.is_disk_bad()
    }
}
