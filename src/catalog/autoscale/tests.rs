use std::collections::BTreeMap;

use proptest::prelude::*;

use super::cut::Mass;
use super::*;
use crate::shard::traffic::{Recorder, SAMPLE_BYTES};
use crate::types::HotKey;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const DAY_US: u64 = 24 * 60 * MINUTE_US;

fn at(seconds: u64) -> MonoUs {
    MonoUs(seconds * SECOND_US)
}

/// Even traffic: the same in each part, on both averages.
fn even(bytes_s: u64, records_s: u64) -> Traffic {
    let parts = [100; Traffic::PARTS];
    Traffic { bytes_s, records_s, bytes_s_slow: bytes_s, records_s_slow: records_s, parts, hot: None }
}

/// Old shards with uniform ranges.
fn shards(traffic: &[Traffic]) -> Vec<ShardLoad> {
    let ranges = HashRange::uniform(traffic.len() as u32);
    let shard = |((number, range), traffic): ((u32, HashRange), &Traffic)| ShardLoad {
        shard: ShardNumber(number),
        range,
        traffic: *traffic,
        age_us: DAY_US,
    };
    (0..).zip(ranges).zip(traffic).map(shard).collect()
}

/// What is decided when nothing changes for some time: the decisions with the second they came at.
fn watch(policy: Policy, loads: &[ShardLoad], seconds: u64) -> Vec<(u64, Decision)> {
    let mut scaler = Autoscaler::new(policy);
    (0..=seconds)
        .flat_map(|second| scaler.observe(at(second), loads).into_iter().map(move |made| (second, made)))
        .collect()
}

/// The first round of decisions, as text without reasons.
fn first_round(policy: Policy, loads: &[ShardLoad], seconds: u64) -> Vec<String> {
    let all = watch(policy, loads, seconds);
    let first = all.first().map(|(second, _)| *second);
    let round = all.into_iter().take_while(|(second, _)| Some(*second) == first);
    round
        .map(|(second, decision)| match decision {
            Decision::Split { shard, .. } => format!("{second} split {}", shard.0),
            Decision::Merge { left, right, .. } => format!("{second} merge {} {}", left.0, right.0),
            Decision::Keep { shard, .. } => format!("{second} keep {}", shard.0),
        })
        .collect()
}

/// Goal: the table of the module, row by row and at its edges: what is decided first within 20 min, and when.
#[test]
fn every_row_of_the_table() {
    let hot = even(MIB * 8 / 10 + KIB, 100);
    let warm = even(MIB / 2, 100);
    let cold = even(MIB / 10, 100);
    let policy = |min, max| Policy::new(min, max);
    let table: [(&str, Policy, Vec<ShardLoad>, &[&str]); 13] = [
        ("warm stays", policy(1, 100), shards(&[warm; 4]), &[]),
        ("hot by bytes", policy(1, 100), shards(&[warm, hot, warm]), &["15 split 1"]),
        ("hot by records", policy(1, 100), shards(&[warm, even(KIB, 800)]), &["15 split 1"]),
        ("just not hot", policy(1, 100), shards(&[warm, even(KIB, 799)]), &[]),
        ("all hot at once", policy(1, 100), shards(&[hot; 3]), &["15 split 0", "15 split 1", "15 split 2"]),
        ("hottest first", policy(1, 3), shards(&[hot, even(2 * MIB, 100)]), &["15 split 1", "15 keep 0"]),
        ("no room", policy(1, 2), shards(&[hot, warm]), &["15 keep 0"]),
        ("cold pair", policy(1, 100), shards(&[warm, cold, cold, warm]), &["600 merge 1 2"]),
        ("each in one pair", policy(1, 100), shards(&[cold; 5]), &["600 merge 0 1", "600 merge 2 3"]),
        ("cold one next to a warm one", policy(1, 100), shards(&[warm, cold, warm]), &[]),
        ("not below the minimum", policy(4, 100), shards(&[cold; 5]), &["600 merge 0 1"]),
        ("up to the minimum", policy(4, 100), shards(&[warm, cold]), &["0 split 0", "0 split 1"]),
        ("down to the maximum", policy(1, 3), shards(&[warm, cold, warm, cold, warm]), &["0 merge 0 1", "0 merge 2 3"]),
    ];
    for (name, policy, loads, expected) in table {
        assert_eq!(first_round(policy, &loads, 1_200), expected, "{name}");
    }
}

/// Goal: young shards are left alone until their averages know them: 30 s for a split, 15 min for a merge.
#[test]
fn young_shards_are_left_alone() {
    // (traffic, age in us, first decision)
    let hot = even(2 * MIB, 100);
    let table: [(Traffic, u64, &[&str]); 4] = [
        (hot, SPLIT_AGE_US - 1, &[]),
        (hot, SPLIT_AGE_US, &["15 split 0", "15 split 1"]),
        (even(0, 0), MERGE_AGE_US - 1, &[]),
        (even(0, 0), MERGE_AGE_US, &["600 merge 0 1"]),
    ];
    for (traffic, age_us, expected) in table {
        let mut loads = shards(&[traffic; 2]);
        loads.iter_mut().for_each(|shard| shard.age_us = age_us);
        assert_eq!(first_round(Policy::new(1, 10), &loads, 1_200), expected, "{age_us}");
    }
}

/// Goal: hysteresis: one quiet moment starts the time anew, and so does a new neighbour; the fast average alone makes no merge.
#[test]
fn what_is_not_sustained_does_not_count() {
    let mut scaler = Autoscaler::new(Policy::new(1, 10));
    let (hot, warm) = (shards(&[even(MIB, 1)]), shards(&[even(MIB / 2, 1)]));
    for second in 0..100 {
        let loads = if second % 15 == 0 { &warm } else { &hot };
        assert_eq!(scaler.observe(at(second), loads), [], "{second}");
    }

    let mut scaler = Autoscaler::new(Policy::new(1, 10));
    let mut loads = shards(&[even(0, 0); 2]);
    for second in 0..3_000 {
        if second % 600 == 0 {
            loads[1].shard = ShardNumber(second as u32 + 2);
        }
        assert_eq!(scaler.observe(at(second), &loads), [], "{second}");
    }

    let fell = Traffic { bytes_s: 0, ..even(MIB / 2, 0) };
    assert_eq!(watch(Policy::new(1, 10), &shards(&[fell; 2]), 3_000), []);
}

/// Goal: a decision that could not be carried out comes again, but not at once; of a kept shard it is spoken every 15 min.
#[test]
fn decisions_come_again() {
    let seconds = |loads: &[ShardLoad], max| -> Vec<u64> {
        watch(Policy::new(1, max), loads, 2_000).into_iter().map(|(second, _)| second).take(3).collect()
    };
    let hot = shards(&[even(2 * MIB, 1)]);
    assert_eq!(seconds(&hot, 10), [15, 31, 47]);
    assert_eq!(seconds(&hot, 1), [15, 915, 1_815]);
    assert_eq!(seconds(&shards(&[even(0, 0); 2]), 10), [600, 1_201, 1_802]);
}

/// The cut of one shard with these samples.
fn cut(range: HashRange, parts: [u32; Traffic::PARTS], hot: Option<HotKey>) -> Option<Cut> {
    let traffic = Traffic { parts, hot, ..Traffic::NONE };
    Cut::of(&ShardLoad { shard: ShardNumber(0), range, traffic, age_us: 0 })
}

/// Goal: the cut falls where the traffic halves: between parts, within one, next to a key that weighs.
#[test]
fn cuts_halve_the_traffic() {
    let range = HashRange { start: HashKey(1_000), end: HashKey(1_000 + 6_400 - 1) };
    let hot = |key, permille| Some(HotKey { key: HashKey(key), permille });
    let parts = |given: &[(usize, u32)]| {
        let mut parts = [0; Traffic::PARTS];
        given.iter().for_each(|(part, count)| parts[*part] = *count);
        parts
    };
    // (samples, key that stands out, cut, thousandths below it, is it a gain)
    let table = [
        ([10; Traffic::PARTS], None, 1_000 + 3_200, Some(500), true),
        (parts(&[(0, 500), (63, 500)]), None, 1_000 + 100, Some(500), true),
        (parts(&[(10, 100), (20, 300)]), None, 1_000 + 2_000 + 33, Some(497), true),
        (parts(&[(5, 1_000)]), None, 1_000 + 550, Some(500), true),
        // The key 1,520 alone has 40 %: the rest of its part is even around it.
        (parts(&[(5, 1_000)]), hot(1_520, 400), 1_000 + 521, Some(526), true),
        // Nine tenths belong to one key. Wherever the cut is, one side keeps nearly everything.
        (parts(&[(5, 1_000)]), hot(1_550, 900), 1_000 + 550, Some(50), false),
        (parts(&[(5, 1_000)]), hot(1_599, 1_000), 1_000 + 600, Some(1_000), false),
        // Two thirds belong to the first key of the range.
        (parts(&[(0, 900), (40, 450)]), hot(1_000, 667), 1_001, Some(666), true),
        // Not enough samples: the middle.
        (parts(&[(5, 31)]), None, 1_000 + 3_200, None, true),
        ([0; Traffic::PARTS], None, 1_000 + 3_200, None, true),
    ];
    for (n, (parts, hot, at, below, is_gain)) in table.into_iter().enumerate() {
        let cut = cut(range, parts, hot).unwrap();
        assert_eq!((cut.at.0, cut.below_permille, cut.is_gain()), (at, below, is_gain), "row {n}");
    }
    let one = HashRange { start: HashKey(9), end: HashKey(9) };
    assert!(cut(one, [10; Traffic::PARTS], None).is_none());
    assert_eq!(cut(HashRange::ALL, [10; Traffic::PARTS], None).unwrap().at.0, 1 << 127);
}

proptest! {
    /// Goal: for any samples of any range a cut leaves at least one key on each side, and no other cut between two parts would
    /// halve the traffic better.
    #[test]
    fn cuts_are_inside_and_best(
        start in any::<u128>(),
        width in prop_oneof![1..200_u128, any::<u128>()],
        parts in prop::collection::vec(prop_oneof![Just(0), 0..10_u32, 0..100_000_u32], Traffic::PARTS),
        hot in prop::option::of((0.0..1.0_f64, 1..=1_000_u16)),
    ) {
        let range = HashRange { start: HashKey(start), end: HashKey(start.saturating_add(width)) };
        prop_assume!(range.start < range.end);
        let hot = hot.map(|(place, permille)| {
            let offset = ((range.end.0 - range.start.0) as f64 * place) as u128;
            HotKey { key: HashKey(range.start.0 + offset.min(range.end.0 - range.start.0)), permille }
        });
        let mut counts = [0; Traffic::PARTS];
        counts.copy_from_slice(&parts);
        let traffic = Traffic { parts: counts, hot, ..Traffic::NONE };
        let shard = ShardLoad { shard: ShardNumber(0), range, traffic, age_us: 0 };
        let cut = Cut::of(&shard).unwrap();
        prop_assert!(range.start < cut.at && cut.at <= range.end);
        if cut.below_permille.is_some() {
            let mass = Mass::of(&shard);
            let off = |at: u128| (mass.below(at) * 2).abs_diff(mass.total);
            let part_width = Traffic::part_width(range.start, range.end);
            for part in 1..Traffic::PARTS as u128 {
                let Some(edge) = part.checked_mul(part_width).filter(|edge| *edge <= range.end.0 - range.start.0) else { break };
                prop_assert!(off(cut.at.0) <= off(range.start.0 + edge));
            }
        }
    }
}

/// Goal: reasons read well and carry their numbers.
#[test]
fn reasons_as_text() {
    let loads = shards(&[even(MIB * 9 / 10, 700), even(0, 10), even(20 * KIB, 0)]);
    let lines = watch(Policy::new(1, 10), &loads, 605).into_iter();
    let mut lines: Vec<_> = lines.map(|(_, decision)| decision.to_string()).collect();
    lines.dedup();
    assert_eq!(
        lines,
        [
            "split shardId-000000000000 at 56713727820156410577133024446577464682: takes 921 KiB/s and 700 records/s, 89 % of a \
             shard's share, hot for 15 s; 50.0 % of its bytes lie below",
            "merge shardId-000000000001 with shardId-000000000002: take together 20 KiB/s and 10 records/s, 1 % of a shard's \
             share, cold for 600 s",
        ]
    );
    let mut one_key = Traffic { hot: Some(HotKey { key: HashKey(77), permille: 973 }), ..even(3 * MIB, 5) };
    one_key.parts[0] = 1_000_000;
    let kept = watch(Policy::new(1, 10), &shards(&[one_key]), 15);
    assert_eq!(
        kept[0].1.to_string(),
        "keep shardId-000000000000: takes 3072 KiB/s and 5 records/s, 300 % of a shard's share, but 97.3 % of its bytes belong \
         to the hash key 77: a split would not help"
    );
}

/// Keys with weights, their puts, and the shards that take them: what a node does, in steps of a second.
struct Stream {
    /// By hash key: the key, and the weight of all keys up to and including it.
    keys: Vec<(HashKey, f64)>,
    shards: BTreeMap<HashKey, (ShardLoad, Recorder)>,
    shards_made: u32,
    now_s: u64,
    random: u64,
}

impl Stream {
    fn new(mut weights: Vec<(HashKey, f64)>, shards: u32) -> Self {
        weights.sort_by_key(|(key, _)| *key);
        let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        for (_, weight) in &mut weights {
            sum += *weight / total;
            *weight = sum;
        }
        let mut stream = Self { keys: weights, shards: BTreeMap::new(), shards_made: 0, now_s: 0, random: 1 };
        HashRange::uniform(shards).for_each(|range| stream.open(range));
        stream
    }

    fn open(&mut self, range: HashRange) {
        let shard = ShardNumber(self.shards_made);
        self.shards_made += 1;
        let recorder = Recorder::new(range.start, range.end, shard.0.into(), at(self.now_s));
        self.shards.insert(range.start, (ShardLoad { shard, range, traffic: Traffic::NONE, age_us: 0 }, recorder));
    }

    /// The share of all traffic that belongs to keys below this one.
    fn below(&self, key: HashKey) -> f64 {
        let keys = self.keys.partition_point(|(known, _)| *known < key);
        if keys == 0 { 0.0 } else { self.keys[keys - 1].1 }
    }

    fn share(&self, range: HashRange) -> f64 {
        let end = range.end.0.checked_add(1).map_or(1.0, |end| self.below(HashKey(end)));
        end - self.below(range.start)
    }

    /// A second of traffic.
    fn second(&mut self, bytes_s: u64) {
        let mut shards = std::mem::take(&mut self.shards);
        for (load, recorder) in shards.values_mut() {
            let low = self.below(load.range.start);
            let share = self.share(load.range);
            let bytes = (bytes_s as f64 * share) as u64;
            recorder.record(at(self.now_s), bytes / 4_096, bytes);
            for _ in recorder.samples(bytes) {
                self.random =
                    self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let point = low + share * ((self.random >> 11) as f64 / (1_u64 << 53) as f64);
                let key = self.keys.partition_point(|(_, sum)| *sum <= point).min(self.keys.len() - 1);
                recorder.sample(self.keys[key].0);
            }
            load.age_us += SECOND_US;
        }
        self.shards = shards;
        self.now_s += 1;
    }

    fn loads(&mut self) -> Vec<ShardLoad> {
        let now = at(self.now_s);
        for (load, recorder) in self.shards.values_mut() {
            load.traffic = recorder.traffic(now);
        }
        self.shards.values().map(|(load, _)| *load).collect()
    }

    fn range(&self, shard: ShardNumber) -> HashRange {
        self.shards.values().find(|(load, _)| load.shard == shard).expect("decided about an open shard").0.range
    }

    fn carry_out(&mut self, decision: Decision) {
        match decision {
            Decision::Split { shard, at, .. } => {
                let HashRange { start, end } = self.range(shard);
                self.open(HashRange { start, end: HashKey(at.0 - 1) });
                self.open(HashRange { start: at, end });
            }
            Decision::Merge { left, right, .. } => {
                let (left, right) = (self.range(left), self.range(right));
                assert_eq!(left.end.0 + 1, right.start.0);
                self.shards.remove(&right.start);
                self.open(HashRange { start: left.start, end: right.end });
            }
            Decision::Keep { .. } => {}
        }
    }
}

/// Goal: traffic of many keys, some far busier than others, doubles every five minutes, stays, and falls again: the shards
/// follow within a doubling, splits cut at 40 to 60 % of the real traffic, steady traffic makes no decision, nothing flaps.
#[test]
fn shards_follow_the_traffic() {
    const SHARD_BYTES_S: u64 = 256 * KIB;
    let key = |n: u32| HashKey::of(n.to_string().as_bytes());
    let weights = (0..5_000).map(|n| (key(n), 1.0 / f64::from(n + 60))).collect();
    let mut stream = Stream::new(weights, 4);
    let policy = Policy { shard_bytes_s: SHARD_BYTES_S, ..Policy::new(4, 200) };
    let mut scaler = Autoscaler::new(policy);
    let (mut splits, mut merges, mut most) = (0_u32, 0_u32, 0);
    for minute in 0..180_u64 {
        // In shards: 1, 2, 4, ... 32 from minute 25 to 45, then halved until 1.
        let doublings = if minute < 45 { (minute / 5).min(5) } else { 5 - ((minute - 40) / 5).min(5) };
        for second in 0..60 {
            stream.second(SHARD_BYTES_S << doublings);
            if second % 5 > 0 {
                continue;
            }
            let loads = stream.loads();
            for decision in scaler.observe(at(stream.now_s), &loads) {
                assert!(!(32..45).contains(&minute), "steady for minutes, and yet: {decision}");
                match decision {
                    Decision::Split { shard, at, .. } => {
                        splits += 1;
                        assert!(minute < 32, "{decision}");
                        let range = stream.range(shard);
                        let below = (stream.below(at) - stream.below(range.start)) / stream.share(range);
                        assert!((0.4..=0.6).contains(&below), "{below} of {decision}");
                    }
                    Decision::Merge { .. } => {
                        merges += 1;
                        assert!(!(15..45).contains(&minute), "{decision}");
                    }
                    Decision::Keep { .. } => panic!("{decision}"),
                }
                stream.carry_out(decision);
            }
            let open = stream.shards.len();
            assert!((4..=200).contains(&open));
            most = most.max(open);
        }
        if minute % 5 == 4 && minute < 45 {
            let busiest = stream.shards.values().map(|(load, _)| stream.share(load.range)).fold(0.0, f64::max);
            let load = busiest * f64::from(1 << doublings);
            assert!(load < 0.85, "minute {minute}: the busiest shard takes {load} of its share");
        }
    }
    assert!((40..=80).contains(&most), "{most} shards for the traffic of 32");
    assert_eq!(stream.shards.len(), (4 + splits - merges) as usize);
    assert!(stream.shards.len() <= 10, "{} shards are left for the traffic of 1", stream.shards.len());
    // No more splits than the growth needed: none of them was undone and made again.
    assert!(splits as usize <= most + 4, "{splits} splits for at most {most} shards");
}

/// Goal: one key with nearly all traffic is not split for ever: its neighbours are cut off and then the shard is left alone,
/// which is said now and then.
#[test]
fn one_hot_key_is_not_split_for_ever() {
    let key = |n: u32| HashKey::of(n.to_string().as_bytes());
    for hot_share in [0.6, 0.95] {
        let rest = (1..500).map(|n| (key(n), (1.0 - hot_share) / 499.0));
        let mut stream = Stream::new([(key(0), hot_share)].into_iter().chain(rest).collect(), 1);
        let mut scaler = Autoscaler::new(Policy { shard_bytes_s: 128 * KIB, ..Policy::new(1, 100) });
        let (mut splits, mut last, mut kept) = (0, 0, 0);
        for second in 0..5_400 {
            stream.second(MIB);
            let loads = stream.loads();
            for decision in scaler.observe(at(stream.now_s), &loads) {
                match decision {
                    Decision::Split { .. } => (splits, last) = (splits + 1, second),
                    Decision::Keep { .. } => kept += 1,
                    Decision::Merge { .. } => {}
                }
                stream.carry_out(decision);
            }
        }
        assert!(splits <= 12, "{splits} splits");
        assert!(last < 1_200, "split after {last} s");
        assert!((4..=6).contains(&kept), "spoken of {kept} times in 90 min");
    }
    assert_eq!(SAMPLE_BYTES, 16 * KIB, "the simulated hours above are sized for it");
}

/// Goal: bounds hold whatever the traffic and whatever they are changed to, online.
#[test]
fn bounds_are_kept() {
    let key = |n: u32| HashKey::of(n.to_string().as_bytes());
    let mut stream = Stream::new((0..1_000).map(|n| (key(n), 1.0)).collect(), 4);
    let mut scaler = Autoscaler::new(Policy::new(4, 6));
    let mut settle = |policy: Policy, bytes_s: u64| {
        scaler.set(policy);
        for _ in 0..600 {
            stream.second(bytes_s);
            let loads = stream.loads();
            for decision in scaler.observe(at(stream.now_s), &loads) {
                stream.carry_out(decision);
            }
        }
        stream.shards.len()
    };
    assert_eq!(settle(Policy::new(4, 6), 20 * MIB), 6, "no more than the maximum");
    assert_eq!(settle(Policy::new(1, 3), 20 * MIB), 3, "lowered below what is open");
    assert_eq!(settle(Policy::new(13, 100), 0), 13, "raised above what is open");
    assert_eq!(settle(Policy::new(13, 13), 0), 13, "fixed");
}
