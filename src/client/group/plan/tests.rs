use proptest::prelude::*;

use super::*;

fn shard(number: u32, checkpoint: Checkpoint, lease: Lease<u32>) -> Shard<u32> {
    Shard { number: ShardNumber(number), parents: [None; 2], checkpoint, lease }
}

fn child(number: u32, parents: [Option<u32>; 2]) -> Shard<u32> {
    let parents = parents.map(|parent| parent.map(ShardNumber));
    Shard { number: ShardNumber(number), parents, checkpoint: Checkpoint::None, lease: Lease::None }
}

/// Shards with these owners, 0 for none, numbered from 0.
fn owned(owners: &[u32]) -> Vec<Shard<u32>> {
    let lease = |owner: u32| if owner == 0 { Lease::None } else { Lease::Held(owner) };
    (0..).zip(owners).map(|(number, owner)| shard(number, Checkpoint::At, lease(*owner))).collect()
}

fn numbers(shards: &[ShardNumber]) -> Vec<u32> {
    shards.iter().map(|shard| shard.0).collect()
}

/// Goal: every row of the table, for member 1.
#[test]
fn every_row_of_the_table() {
    use Checkpoint::{At, Ended, None as Never};
    let steal = |number: u32, from: u32| Some((ShardNumber(number), from));
    // What, members alive, shards, claims, steal.
    type Row = (&'static str, &'static [u32], Vec<Shard<u32>>, &'static [u32], Option<(ShardNumber, u32)>);
    let table: [Row; 14] = [
        ("nothing there", &[1], vec![], &[], None),
        ("read to its end", &[1], vec![shard(0, Ended, Lease::None), shard(1, Ended, Lease::Expired)], &[], None),
        ("free", &[1], vec![shard(0, Never, Lease::None)], &[0], None),
        ("run out, even if it was mine", &[1], vec![shard(0, At, Lease::Expired)], &[0], None),
        ("mine", &[1], owned(&[1, 1]), &[], None),
        ("of one who seems dead", &[1], owned(&[2, 2, 2]), &[], None),
        ("parent not read", &[1], vec![shard(0, At, Lease::Held(1)), child(1, [Some(0), None])], &[], None),
        (
            "one of two parents not read",
            &[1],
            vec![shard(0, Ended, Lease::None), shard(1, At, Lease::Held(1)), child(2, [Some(0), Some(1)])],
            &[],
            None,
        ),
        ("parent read", &[1], vec![shard(0, Ended, Lease::None), child(1, [Some(0), None])], &[1], None),
        ("parent gone", &[1], vec![child(7, [Some(0), Some(1)])], &[7], None),
        ("free ones are dealt out", &[1, 2], owned(&[0, 0, 0, 2, 0]), &[0, 1, 4], None),
        ("one with two more", &[1, 2], owned(&[1, 2, 2, 2]), &[], steal(3, 2)),
        ("one with one more", &[1, 2], owned(&[1, 2, 2]), &[], None),
        ("the richest", &[3, 2, 1], owned(&[2, 2, 3, 3, 3]), &[], steal(4, 3)),
    ];
    for (what, alive, shards, claims, steal) in table {
        let turn = turn(1, alive, &shards);
        assert_eq!((numbers(&turn.claim), turn.steal.first().copied()), (claims.to_vec(), steal), "{what}");
        assert!(turn.steal.len() <= STEALS_PER_ROUND_MAX, "{what}");
    }
}

/// Goal: with the same view no two members reach for the same shard, and all free ones are taken at once.
#[test]
fn equal_views_do_not_collide() {
    let alive: Vec<u32> = (1..=7).collect();
    for owners in [vec![0; 40], [vec![1; 30], vec![2; 20], vec![0; 3]].concat()] {
        let shards = owned(&owners);
        let turns: Vec<_> = alive.iter().map(|me| turn(*me, &alive, &shards)).collect();
        let mut taken = BTreeSet::new();
        for turn in &turns {
            assert!(turn.claim.iter().all(|shard| taken.insert(*shard)));
            assert!(turn.steal.iter().all(|(shard, _)| taken.insert(*shard)));
        }
        let free = owners.iter().filter(|owner| **owner == 0).count();
        assert_eq!(turns.iter().map(|turn| turn.claim.len()).sum::<usize>(), free);
    }
}

/// What happens to an application.
#[derive(Clone, Copy, Debug)]
enum Change {
    Join,
    Death(usize),
    /// A shard is closed for two children; its owner reads it to its end.
    Split(usize),
    /// As many rounds pass.
    Rounds(u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => Just(Change::Join),
        1 => any::<usize>().prop_map(Change::Death),
        2 => any::<usize>().prop_map(Change::Split),
        3 => (0..4_u32).prop_map(Change::Rounds),
    ]
}

/// Rounds after which the lease of a dead member has run out.
const LEASE_ROUNDS: u32 = 3;

struct World {
    shards: Vec<Shard<u32>>,
    /// Those that are closed: who has one reads it to its end in the next round.
    closed: BTreeSet<ShardNumber>,
    members: Vec<u32>,
    members_made: u32,
    /// The dead, and in how many rounds their leases run out.
    dead: Vec<(u32, u32)>,
    /// What members see who look late.
    before: (Vec<u32>, Vec<Shard<u32>>),
    steals: usize,
}

impl World {
    fn new(shards: u32) -> Self {
        let shards = owned(&vec![0; shards as usize]);
        let before = (vec![1], shards.clone());
        let (closed, members) = (BTreeSet::new(), vec![1]);
        Self { shards, closed, members, members_made: 1, dead: Vec::new(), before, steals: 0 }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Join => {
                self.members_made += 1;
                self.members.push(self.members_made);
            }
            Change::Death(n) if self.members.len() > 1 => {
                let member = self.members.remove(n % self.members.len());
                self.dead.push((member, LEASE_ROUNDS));
            }
            Change::Death(_) => {}
            Change::Split(n) => {
                let parent = self.shards[n % self.shards.len()].number;
                if self.closed.insert(parent) {
                    let next = self.shards.len() as u32;
                    self.shards.extend([next, next + 1].map(|number| child(number, [Some(parent.0), None])));
                }
            }
            Change::Rounds(rounds) => {
                for round in 0..rounds {
                    self.round(round % 2 == 0);
                }
            }
        }
    }

    /// Everybody takes a turn; with `is_stale` every other member by the view of the round before. True if nobody did anything.
    fn round(&mut self, is_stale: bool) -> bool {
        let mut is_quiet = self.dead.is_empty();
        for (member, rounds) in &mut self.dead {
            *rounds -= 1;
            for shard in self.shards.iter_mut().filter(|shard| *rounds == 0 && shard.lease == Lease::Held(*member)) {
                shard.lease = Lease::Expired;
            }
        }
        self.dead.retain(|(_, rounds)| *rounds > 0);

        let now = (self.members.clone(), self.shards.clone());
        for (n, me) in self.members.clone().into_iter().enumerate() {
            let (alive, seen) = if is_stale && n % 2 == 1 { &self.before } else { &now };
            let turn = turn(me, alive, seen);
            let claims = turn.claim.into_iter().map(|number| (number, None));
            let steals = turn.steal.into_iter().map(|(number, from)| (number, Some(from)));
            for (number, from) in claims.chain(steals) {
                is_quiet = false;
                let known = seen.iter().find(|shard| shard.number == number).unwrap();
                assert!(from.is_none_or(|from| known.lease == Lease::Held(from)));
                assert!(known.checkpoint != Checkpoint::Ended);
                for parent in known.parents.iter().flatten() {
                    assert_eq!(
                        self.shards[parent.0 as usize].checkpoint,
                        Checkpoint::Ended,
                        "{number} before {parent}"
                    );
                }
                // Compare and set: whoever comes second finds another lease.
                let shard = &mut self.shards[number.0 as usize];
                if shard.lease == known.lease && shard.checkpoint == known.checkpoint {
                    shard.lease = Lease::Held(me);
                    self.steals += usize::from(from.is_some());
                }
            }
        }
        self.before = now;

        for shard in &mut self.shards {
            let Lease::Held(owner) = shard.lease else { continue };
            if self.members.contains(&owner) && self.closed.contains(&shard.number) {
                is_quiet = false;
                shard.checkpoint = Checkpoint::Ended;
                shard.lease = Lease::None;
            }
        }
        is_quiet
    }

    /// Workable shards of each member.
    fn held(&self) -> Vec<usize> {
        let of = |member: &u32| self.shards.iter().filter(|shard| shard.lease == Lease::Held(*member)).count();
        self.members.iter().map(of).collect()
    }
}

proptest! {
    /// Goal: whatever joins, dies and splits, and however old some views are: once it stops, every shard gets read by
    /// somebody, balanced within one, children after their parents, and then nobody moves any more; with few steals.
    #[test]
    fn every_application_settles(shards in 1..30_u32, changes in prop::collection::vec(change(), 0..25)) {
        let mut world = World::new(shards);
        for change in changes {
            world.apply(change);
            world.steals = 0;
        }
        let mut rounds = 0;
        loop {
            // Who does nothing by an old view has said nothing about the present.
            let is_stale = rounds < 10 && rounds % 2 == 0;
            if world.round(is_stale) && !is_stale {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 200, "does not settle: {:?}", world.held());
        }
        prop_assert!(world.round(false), "settled, and yet somebody moves");
        for shard in &world.shards {
            if shard.checkpoint == Checkpoint::Ended {
                prop_assert!(world.closed.contains(&shard.number));
            } else {
                prop_assert!(matches!(shard.lease, Lease::Held(owner) if world.members.contains(&owner)), "{shard:?}");
                prop_assert!(!world.closed.contains(&shard.number), "a closed shard is left unread");
            }
        }
        let held = world.held();
        let (most, least) = (held.iter().max().unwrap(), held.iter().min().unwrap());
        prop_assert!(most - least <= 1, "{held:?}");
        prop_assert!(world.steals <= world.shards.len(), "{} steals", world.steals);
    }
}

/// Goal: a member that joins gets its share by as many steals as that has shards; one that leaves costs no steal at all.
#[test]
fn no_more_steals_than_needed() {
    let mut world = World::new(60);
    while !world.round(false) {}
    world.apply(Change::Join);
    world.apply(Change::Join);
    world.apply(Change::Join);
    while !world.round(false) {}
    assert_eq!(world.held(), [15; 4]);
    assert_eq!(world.steals, 45);
    world.apply(Change::Death(2));
    while !world.round(false) {}
    assert_eq!(world.held(), [20; 3]);
    assert_eq!(world.steals, 45);
}
