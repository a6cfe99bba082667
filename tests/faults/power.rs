//! Power fails on a real file system: the disk keeps what was flushed, and of the rest what the dice say, torn and
//! reordered at sectors. The kernel replays its journal, the node recovers, and every acknowledged record is there.
//!
//! The strike and the loss are one moment: from then on the disk answers nobody who had it open, so a node that
//! acknowledged anything after that would be found out.
//!
//! Not checked here: an acknowledgement that was on its way when power failed (its producer never got it, and sends again),
//! and levels below `fsync`, of which only the proof below makes use.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_lite::future::or;
use millstream::client::{Client, ClientOptions, ProducerOptions, SettingsChange};
use millstream::runtime::Reactor;
use millstream::runtime::tokio::{TokioReactor, block_on};
use millstream::types::Durability;
use millstream_disk::{Cut, Dice, Kind, Mounted, Survival};

use crate::common::load::{Moments, Name, Place, STREAM, Striker, data_of, fresh_seed, read_all, ride};
use crate::common::{Ended, Node, PATIENCE, number_from, run, scratch};
use crate::{Home, all_is_well, mounted};

/// Losses of power on each file system, unless MILLSTREAM_CUTS says otherwise.
const CUTS: u32 = 12;

/// Large enough for the smallest XFS; what is not written takes no memory.
const DISK_MIB: u64 = 768;

const FLUSH_TAKES: Duration = Duration::from_millis(5);

/// What the cuts of a run did.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    writes: usize,
    kept: usize,
    lost: usize,
    torn: usize,
}

impl Tally {
    fn add(&mut self, cut: &Cut) {
        self.cuts += 1;
        self.writes += cut.writes;
        self.kept += cut.kept;
        self.lost += cut.lost;
        self.torn += cut.torn;
    }
}

struct Breaker {
    mounted: Mounted,
    home: Home,
    tally: Tally,
}

impl Breaker {
    /// Power fails under the node and comes back; the file system is mounted again.
    fn cut(&mut self, node: Node, dice: &mut Dice) -> Ended {
        let survival = Survival::draw(dice);
        let cut = self.mounted.disk.cut(survival, dice);
        let ended = node.kill();
        self.tally.add(&cut);
        self.mounted.unmount().expect("nobody has it open any more");
        self.mounted.mount().unwrap_or_else(|error| panic!("after {cut:?}: {error}"));
        ended
    }
}

impl Striker for Breaker {
    fn strike(&mut self, node: Node, moments: &mut Moments, ended: &mut Vec<Ended>) -> Node {
        ended.push(self.cut(node, &mut moments.dice));
        if moments.dice.roll(4) == 0 {
            // Once more, early in the life of the next one: what recovery writes is lost and torn as well.
            let node = self.home.start(&self.mounted);
            let life_us = moments.dice.roll(20_000);
            moments.pass(Duration::from_micros(life_us));
            ended.push(self.cut(node, &mut moments.dice));
        }
        self.home.start(&self.mounted)
    }
}

fn survives_on(kind: Kind) {
    let dir = scratch();
    let Some(mounted) = mounted(kind, DISK_MIB, dir.path()) else { return };
    let cuts = number_from("MILLSTREAM_CUTS", CUTS);
    let seed = std::env::var("MILLSTREAM_SEED").map_or_else(|_| fresh_seed(), |text| text.parse().expect("a seed"));
    // As a disk without a power-safe cache has it: most moments find writes that nothing covers yet.
    mounted.disk.slow_flushes(FLUSH_TAKES);
    println!("{kind:?}, {cuts} cuts, MILLSTREAM_SEED={seed}");
    let home = Home::new(&[]);
    let node = home.start(&mounted);
    let (addr, breaker) = (node.addr, Breaker { mounted, home, tally: Tally::default() });
    let (node, mut ridden) = ride(node, cuts, Duration::from_secs(12), seed, breaker);

    let last = ridden.striker.cut(node, &mut Dice::new(seed));
    ridden.ended.push(last);
    let node = ridden.striker.home.start(&ridden.striker.mounted);
    assert!(ridden.check(addr) >= cuts as usize, "there was no load");
    ridden.ended.push(node.stop("TERM"));
    all_is_well(&ridden.ended);
    run(["log", "verify", ridden.striker.mounted.path().join("data").to_str().expect("UTF-8")]).code(0);
    let (tally, counts) = (&ridden.striker.tally, ridden.striker.mounted.disk.counts());
    println!("{kind:?}: {tally:?}, {counts:?}");
    assert!(tally.lost > 0, "no cut lost anything: {tally:?}");
    assert!(tally.kept > 0, "no cut kept anything: {tally:?}");
}

/// Goal: on ext4, power that fails at any moment takes nothing that was acknowledged and nothing that was read.
#[test]
fn ext4_survives() {
    survives_on(Kind::Ext4);
}

/// Goal: on XFS, power that fails at any moment takes nothing that was acknowledged and nothing that was read.
#[test]
fn xfs_survives() {
    survives_on(Kind::Xfs);
}

/// A way to lose what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// None.
    Honest,
    /// The disk answers flushes and does nothing.
    LyingDisk,
    /// Puts are acknowledged before the sync that covers them.
    IntervalLevel,
}

/// How many of the records acknowledged in one life are gone after a loss of power that nothing unflushed survives.
fn lost_in_one_life(mounted: &mut Mounted, way: Way) -> usize {
    let home = Home::new(&["--workers", "1"]);
    let node = home.start(mounted);
    let level = if way == Way::IntervalLevel { Durability::Interval } else { Durability::Fsync };
    let disk = mounted.disk.clone();
    let put = async |rt: TokioReactor| {
        let client = Client::connect(rt, node.addr, ClientOptions::default()).await.expect("the node is there");
        let settings = SettingsChange { durability: Some(level), ..SettingsChange::default() };
        client.create_stream(STREAM, 1, settings).await.expect("a new stream");
        let producer = client.producer(STREAM, ProducerOptions::default()).await.expect("a producer");
        let mut acked: BTreeMap<Place, Name> = BTreeMap::new();
        for number in 0..100 {
            // What was there before the disk begins to lie is flushed, file system and all.
            disk.lie_about_flushes(way == Way::LyingDisk && number >= 50);
            let name = ("k".to_owned(), number);
            let ticket = producer.send(&name.0, &data_of(&name)).await.expect("a put is taken");
            let limit = async {
                rt.sleep(PATIENCE).await;
                panic!("no acknowledgement");
            };
            let ack = or(ticket.wait(), limit).await.expect("it is stored");
            acked.insert((ack.shard.0, ack.offset.expect("it was stored just now").0), name);
        }
        disk.cut(Survival::Nothing, &mut Dice::new(0));
        acked
    };
    let acked = block_on(put).expect("a reactor");
    let addr = node.addr;
    node.kill();
    disk.lie_about_flushes(false);
    mounted.unmount().expect("nobody has it open any more");
    mounted.mount().expect("the journal is whole");
    let node = home.start(mounted);
    let stored: BTreeMap<_, _> = read_all(addr).into_iter().collect();
    let lost = acked.iter().filter(|(place, name)| stored.get(place) != Some(name)).count();
    println!("{way:?}: {lost} of {} acknowledged records are gone", acked.len());
    node.run(&["stream", "delete", STREAM, "--yes"]).code(0);
    node.stop("TERM");
    lost
}

/// Goal: the checker can fail. The same life and the same cut lose records where the disk lies about flushes, and where puts
/// are acknowledged before they are synced; and lose none where neither is so.
#[test]
fn losses_are_seen() {
    let dir = scratch();
    let Some(mut mounted) = mounted(Kind::Ext4, DISK_MIB, dir.path()) else { return };
    assert_eq!(lost_in_one_life(&mut mounted, Way::Honest), 0);
    assert_eq!(lost_in_one_life(&mut mounted, Way::LyingDisk), 50);
    // The cut may come right after a sync, when there is nothing to lose.
    assert!((0..20).any(|_| lost_in_one_life(&mut mounted, Way::IntervalLevel) > 0), "nothing is ever lost");
    assert_eq!(lost_in_one_life(&mut mounted, Way::Honest), 0);
}
