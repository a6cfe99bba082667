use proptest::prelude::*;

use super::*;

const ALL: (HashKey, HashKey) = (HashKey(0), HashKey(u128::MAX));
const MIB: u64 = 1 << 20;

fn recorder() -> Recorder {
    Recorder::new(ALL.0, ALL.1, 7, MonoUs(0))
}

fn at(seconds: u64) -> MonoUs {
    MonoUs(seconds * SECOND_US)
}

/// Goal: a steady rate is what the averages come to: the fast one within a minute, the slow one within an hour and a half.
#[test]
fn averages_reach_a_steady_rate() {
    let mut recorder = recorder();
    let mut seen = Vec::new();
    for tenth in 0..10 * 2 * 3_600_u64 {
        recorder.record(MonoUs(tenth * SECOND_US / 10), 100, MIB / 10);
        if [10, 150, 600, 9_000, 54_000].contains(&tenth) {
            let traffic = recorder.traffic(MonoUs(tenth * SECOND_US / 10));
            let percent = |rate: u64, of: u64| rate * 100 / of;
            assert_eq!(percent(traffic.bytes_s, MIB / 10 * 10), percent(traffic.records_s, 1_000));
            seen.push((percent(traffic.records_s, 1_000), percent(traffic.records_s_slow, 1_000)));
        }
    }
    // After 1 s, 15 s, 1 min, 15 min, 90 min.
    assert_eq!(seen[0], (6, 0));
    assert!((60..66).contains(&seen[1].0) && seen[1].1 == 1, "{seen:?}");
    assert!((97..=99).contains(&seen[2].0) && (5..7).contains(&seen[2].1), "{seen:?}");
    assert!(seen[3].0 == 100 && (57..61).contains(&seen[3].1), "{seen:?}");
    assert!(seen[4].0 == 100 && seen[4].1 >= 99, "{seen:?}");
}

/// Goal: a pause of any length is worth as much as its seconds one by one, and a long one forgets everything.
#[test]
fn a_pause_fades_as_its_seconds_do() {
    for pause in [1, 2, 3, 10, 59, 61, 1_000, 7_200] {
        let (mut once, mut often) = (recorder(), recorder());
        for second in 0..600 {
            once.record(at(second), 1_000_000, 1_000_000_000);
            often.record(at(second), 1_000_000, 1_000_000_000);
        }
        for second in 0..=pause {
            often.traffic(at(600 + second));
        }
        let (once, often) = (once.traffic(at(600 + pause)), often.traffic(at(600 + pause)));
        let close = |a: u64, b: u64| a.abs_diff(b) <= 2 + a / 100_000;
        assert!(close(once.bytes_s, often.bytes_s), "{pause}: {} {}", once.bytes_s, often.bytes_s);
        assert!(close(once.bytes_s_slow, often.bytes_s_slow), "{pause}: {} {}", once.bytes_s_slow, often.bytes_s_slow);
    }
    let mut recorder = recorder();
    for second in 0..6_000 {
        recorder.record(at(second), 1, MIB);
        recorder.sample(HashKey(0));
    }
    assert_eq!(recorder.traffic(MonoUs(u64::MAX)), Traffic::NONE);
}

/// Goal: a clock that stands still or jumps back neither loses bytes nor fades anything.
#[test]
fn a_clock_that_jumps_back() {
    let mut recorder = recorder();
    recorder.record(at(100), 1_600, 1_600);
    recorder.record(at(50), 1_600, 1_600);
    assert_eq!(recorder.traffic(at(10)).bytes_s, 0);
    assert_eq!(recorder.traffic(at(101)).bytes_s, 200);
}

/// Goal: absurd sizes break nothing.
#[test]
fn absurd_sizes() {
    let mut recorder = recorder();
    for second in 0..1_000 {
        recorder.record(at(second), u64::MAX, u64::MAX);
        recorder.record(at(second), u64::MAX, u64::MAX);
    }
    assert!(recorder.traffic(at(1_000)).bytes_s > 1 << 46);
    assert_eq!(recorder.samples(u64::MAX).next().map(|at| at < SAMPLE_BYTES), Some(true));
}

/// Goal: every key of any range falls into the part that its distance says, none outside.
#[test]
fn parts_of_a_range() {
    let ranges = [
        ALL,
        (HashKey(5), HashKey(5)),
        (HashKey(10), HashKey(73)),
        (HashKey(10), HashKey(74)),
        (HashKey(1 << 127), ALL.1),
    ];
    for (first, last) in ranges {
        let width = Traffic::part_width(first, last);
        let part_of = |key: HashKey| {
            let mut recorder = Recorder::new(first, last, 0, MonoUs(0));
            recorder.sample(key);
            recorder.traffic(MonoUs(0)).parts.iter().position(|count| *count == 1)
        };
        assert_eq!(part_of(first), Some(0));
        assert_eq!(part_of(last), Some(((last.0 - first.0) / width) as usize));
        assert_eq!(part_of(HashKey(0)), Some(0), "below the range or its start");
        let beyond = part_of(ALL.1).unwrap();
        assert!(beyond == Traffic::PARTS - 1 || last == ALL.1, "beyond the range or its end");
    }
    assert_eq!(Traffic::part_width(ALL.0, ALL.1), 1 << 122);
    assert_eq!(Traffic::part_width(HashKey(10), HashKey(73)), 1);
}

/// Goal: a key with most of the bytes is found with its share, wherever the others fall; without one, nobody is blamed for
/// more than he holds; and what was hot is forgotten.
#[test]
fn the_hot_key_is_found() {
    for percent in [55, 80, 100] {
        let mut recorder = recorder();
        for n in 0..4_000_u64 {
            let hot = mix(n) % 100 < percent;
            recorder.sample(HashKey(if hot { 77 } else { u128::from(mix(n + 9_999)) << 64 }));
        }
        let hot = recorder.traffic(MonoUs(0)).hot.unwrap();
        assert_eq!(hot.key, HashKey(77));
        assert!(u64::from(hot.permille).abs_diff(percent * 10) < 30, "{percent} {hot:?}");
        // Others come, and it loses its lead.
        for n in 0..5_000_u64 {
            recorder.sample(HashKey(u128::from(mix(n)) << 64));
        }
        assert_ne!(recorder.traffic(MonoUs(0)).hot.map(|hot| hot.key), Some(HashKey(77)));
    }
    let mut recorder = recorder();
    (0..10_000_u64).for_each(|n| recorder.sample(HashKey(mix(n).into())));
    assert!(recorder.traffic(MonoUs(0)).hot.is_none_or(|hot| hot.permille < 200));
}

/// Goal: the counts of samples halve each minute, so that the picture is that of the last minutes.
#[test]
fn samples_fade() {
    let mut recorder = recorder();
    (0..1_000).for_each(|_| recorder.sample(HashKey(0)));
    assert_eq!(recorder.traffic(at(59)).parts[0], 1_000);
    assert_eq!(recorder.traffic(at(60)).parts[0], 500);
    assert_eq!(recorder.traffic(at(240)).parts[0], 62);
    assert_eq!(recorder.traffic(at(1_000_000)).parts[0], 0);
}

proptest! {
    /// Goal: however the bytes are framed the same ones are chosen, one of each stretch; the same seed chooses the same.
    #[test]
    fn samples_do_not_depend_on_framing(
        seed in any::<u64>(),
        frames in prop::collection::vec(prop_oneof![1..200_u64, 1..20_000_u64, 1..500_000_u64], 1..60),
    ) {
        let total: u64 = frames.iter().sum();
        let mut whole = Recorder::new(ALL.0, ALL.1, seed, MonoUs(0));
        let expected: Vec<u64> = whole.samples(total).collect();
        let mut framed = Recorder::new(ALL.0, ALL.1, seed, MonoUs(0));
        let mut chosen = Vec::new();
        let mut start = 0;
        for bytes in frames {
            for position in framed.samples(bytes) {
                prop_assert!(position < bytes);
                chosen.push(start + position);
            }
            start += bytes;
        }
        prop_assert_eq!(&chosen, &expected);
        let stretches: Vec<u64> = chosen.iter().map(|position| position / SAMPLE_BYTES).collect();
        prop_assert!((0..total / SAMPLE_BYTES).eq(stretches.iter().copied().take((total / SAMPLE_BYTES) as usize)));
        prop_assert!(chosen.len() as u64 <= total / SAMPLE_BYTES + 1);
    }
}

/// Goal: samples are unbiased by bytes: frames of one large and many small records give each its share of the samples.
#[test]
fn samples_follow_the_bytes() {
    let mut recorder = recorder();
    let (mut large, mut all) = (0, 0);
    for _ in 0..20_000 {
        // 6,000 bytes of one record, then 40 of 100 bytes.
        for position in recorder.samples(10_000) {
            all += 1;
            large += u64::from(position < 6_000);
        }
    }
    assert_eq!(all, 20_000 * 10_000 / SAMPLE_BYTES);
    assert!((590..=610).contains(&(large * 1_000 / all)), "{large} of {all}");
}
