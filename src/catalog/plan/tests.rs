use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn uniform(count: u32) -> Vec<HashRange> {
    HashRange::uniform(count).collect()
}

/// The ranges with these inner boundaries.
fn ranges(boundaries: &BTreeSet<u128>) -> Vec<HashRange> {
    let starts = std::iter::once(0).chain(boundaries.iter().copied());
    let ends = boundaries.iter().map(|start| start - 1).chain([u128::MAX]);
    starts.zip(ends).map(|(start, end)| HashRange { start: HashKey(start), end: HashKey(end) }).collect()
}

fn boundaries(open: &[HashRange]) -> BTreeSet<u128> {
    open[1..].iter().map(|range| range.start.0).collect()
}

fn rounds_to_halve(pieces: usize) -> u32 {
    pieces.next_power_of_two().ilog2()
}

/// Goal: well-known scalings take the steps that a person would take.
#[test]
fn known_scalings() {
    // (splits, merges) of each round
    type Rounds = &'static [(usize, usize)];
    let table: [(u32, u32, Rounds); 10] = [
        (1, 1, &[]),
        (4, 4, &[]),
        (4, 8, &[(4, 0)]),
        (8, 4, &[(0, 4)]),
        (1, 8, &[(1, 0), (2, 0), (4, 0)]),
        (8, 1, &[(0, 4), (0, 2), (0, 1)]),
        (2, 3, &[(2, 0), (0, 1)]),
        (3, 2, &[(1, 0), (0, 2)]),
        // Three sixths are two keys short of two quarters: widths are rounded down. Exact is exact.
        (4, 6, &[(4, 0), (1, 2), (0, 1)]),
        (6, 4, &[(3, 0), (0, 4), (0, 1)]),
    ];
    for (from, to, expected) in table {
        let steps: Vec<_> = rounds(&uniform(from), to).iter().map(|round| (round.splits(), round.merges())).collect();
        assert_eq!(steps, expected, "{from} to {to}");
    }
}

/// Goal: a merge need not wait for splits elsewhere.
#[test]
fn merges_go_with_splits_of_others() {
    let quarter = 1_u128 << 126;
    // The first quarter is in two, the rest in one: to four shards.
    let open = ranges(&[quarter / 2, quarter].into());
    let steps: Vec<_> = rounds(&open, 4).iter().map(|round| (round.splits(), round.merges())).collect();
    assert_eq!(steps, [(1, 1), (1, 0)]);
}

/// Goal: the plan as an operator reads it, to the letter.
#[test]
fn plan_as_text() {
    let expected = "\
from 2 shards to 3: 2 splits and 1 merge in 2 rounds
round 1, then 4 shards open
  split [0, 170141183460469231731687303715884105727] at 113427455640312821154458202477256070485
  split [170141183460469231731687303715884105728, 340282366920938463463374607431768211455] at 226854911280625642308916404954512140970
round 2, then 3 shards open
  merge [113427455640312821154458202477256070485, 170141183460469231731687303715884105727] with [170141183460469231731687303715884105728, 226854911280625642308916404954512140969]
";
    assert_eq!(Plan::new(&uniform(2), 3).to_string(), expected);
    assert_eq!(Plan::new(&uniform(1), 1).to_string(), "from 1 shard to 1: 0 splits and 0 merges in 0 rounds\n");
}

/// Goal: the largest plan stays cheap in rounds: all boundaries of 10,000 shards move.
#[test]
fn the_largest_plan() {
    let rounds = rounds(&uniform(10_000), 9_999);
    let steps: usize = rounds.iter().map(|round| round.steps.len()).sum();
    assert_eq!(steps, 9_998 + 9_999);
    assert!(rounds.len() <= 3, "{}", rounds.len());
}

/// Goal: ranges with a gap are refused before anything is planned on them.
#[test]
#[should_panic(expected = "does not begin where the one before it ends")]
fn gaps_are_refused() {
    let mut open = uniform(3);
    open.remove(1);
    let _ = next_round(&open, 2);
}

/// Boundaries of any shape: uniform ones, some of them missing, some anywhere, the smallest ranges among them.
fn open() -> impl Strategy<Value = Vec<HashRange>> {
    let some = (1..50_u32, any::<u64>()).prop_map(|(count, keep)| {
        let all = uniform(count).into_iter().skip(1).enumerate();
        all.filter(|(n, _)| keep >> (n % 64) & 1 == 1).map(|(_, range)| range.start.0).collect::<Vec<_>>()
    });
    let any = prop::collection::vec(prop_oneof![1..=u128::MAX, 1..10_u128, (u128::MAX - 9)..=u128::MAX], 0..20);
    (some, any).prop_map(|(some, any)| ranges(&some.into_iter().chain(any).collect()))
}

proptest! {
    /// Goal: from any ranges to any target: the uniform ranges in the end, the fewest steps, no shard twice in a round, never
    /// more shards than both sets of boundaries make, none larger than it was or will be, few rounds; and the first round of
    /// the state in between is the next round of the plan.
    #[test]
    fn every_plan_arrives(start in open(), target in 1..70_u32) {
        let wanted = boundaries(&uniform(target));
        let before = boundaries(&start);
        let union: BTreeSet<_> = before.union(&wanted).copied().collect();
        let plan = rounds(&start, target);

        let mut open = start.clone();
        for (n, round) in plan.iter().enumerate() {
            prop_assert!(!round.steps.is_empty());
            let rest = rounds(&open, target);
            prop_assert_eq!(&rest[..], &plan[n..]);

            let mut parents = BTreeSet::new();
            for step in &round.steps {
                let taken = match *step {
                    Step::Split { range, at } => {
                        prop_assert!(range.start < at && at <= range.end);
                        vec![range]
                    }
                    Step::Merge { left, right } => {
                        prop_assert_eq!(left.end.0.checked_add(1), Some(right.start.0));
                        let merged = step.results().0;
                        let is_around = |range: &HashRange| range.contains(merged.start) && range.contains(merged.end);
                        prop_assert!(uniform(target).iter().any(is_around));
                        vec![left, right]
                    }
                };
                for range in taken {
                    prop_assert!(open.contains(&range));
                    prop_assert!(parents.insert(range), "{} twice", range);
                }
            }
            open = round.apply(&open);
            assert_covering(&open);
            prop_assert!(boundaries(&open).is_subset(&union));
            prop_assert!(open.len() <= union.len() + 1);
        }
        prop_assert_eq!(open, uniform(target));

        let splits: usize = plan.iter().map(Round::splits).sum();
        let merges: usize = plan.iter().map(Round::merges).sum();
        prop_assert_eq!(splits, wanted.difference(&before).count());
        prop_assert_eq!(merges, before.difference(&wanted).count());

        let most = |outer: &[HashRange], inner: &BTreeSet<u128>| {
            let pieces = |range: &HashRange| inner.iter().filter(|key| range.start.0 < **key && **key <= range.end.0).count() + 1;
            outer.iter().map(pieces).max().unwrap_or(1)
        };
        let rounds_max = rounds_to_halve(most(&start, &wanted)) + rounds_to_halve(most(&uniform(target), &before));
        prop_assert!(plan.len() <= rounds_max as usize, "{} rounds, {} expected", plan.len(), rounds_max);
    }
}
