use super::*;
use crate::result::Point;

fn recorded(values: impl IntoIterator<Item = u64>) -> Histogram {
    let mut histogram = Histogram::new();
    values.into_iter().for_each(|ns| histogram.record(ns));
    histogram
}

/// Whether `value` is `expected` within three significant digits.
fn close(value: u64, expected: u64) -> bool {
    value.abs_diff(expected) * 1_000 <= expected
}

/// Goal: percentiles of a known sample are the known ones, by rank, within the histogram's three digits.
#[test]
fn percentiles_of_a_known_sample() {
    let distribution = recorded((1..=100_000).map(|n| n * 1_000)).distribution();
    assert_eq!(distribution.count, 100_000);
    for (percentile, expected) in [(0.0, 1), (50.0, 50_000), (90.0, 90_000), (99.0, 99_000), (99.9, 99_900)] {
        let ns = distribution.percentile(percentile).unwrap();
        assert!(close(ns, expected * 1_000), "p{percentile}: {ns}");
    }
    assert!(close(distribution.max_ns, 100_000_000) && close(distribution.min_ns, 1_000), "{distribution:?}");
    assert!((distribution.mean_ns - 50_000_500.0).abs() < 50_000.0);
}

/// Goal: a percentile is given with 100 samples above it and not with 99.
#[test]
fn no_percentile_without_a_hundred_samples_above() {
    // 99 % of 10,000 leave 100 above; of 9,999 they leave 99.
    for (samples, percentile, given) in [
        (10_000, 99.0, true),
        (9_999, 99.0, false),
        (200, 50.0, true),
        (199, 50.0, false),
        (100_000, 99.9, true),
        (99_999, 99.9, false),
        (1_000_000, 99.99, true),
        (100, 100.0, false),
    ] {
        let distribution = recorded(vec![5_000; samples]).distribution();
        assert_eq!(distribution.percentile(percentile).is_some(), given, "p{percentile} of {samples}");
        assert!(distribution.percentiles.iter().all(|p| distribution.percentile(p.percentile).is_some()));
    }
    assert_eq!(Histogram::new().distribution(), Distribution::default());
    assert_eq!(Distribution::default().percentile(50.0), None);
}

/// Goal: what is written of a distribution is enough to merge two as if all had been recorded in one.
#[test]
fn distributions_merge_as_histograms_do() {
    let (low, high) = (recorded((1..5_000).map(|n| n * 77)), recorded((1..9_000).map(|n| n * 1_313)));
    let mut both = low.clone();
    both.add(&high);
    let merged = low.distribution().merged(&high.distribution());
    assert_eq!((merged.count, merged.max_ns), (both.count(), both.distribution().max_ns));
    assert_eq!(merged.buckets, both.distribution().buckets);
}

/// Goal: longer than an hour counts as an hour and is not dropped.
#[test]
fn the_longest_latency_is_kept() {
    let distribution = recorded([u64::MAX]).distribution();
    assert_eq!(distribution.count, 1);
    assert!(distribution.max_ns >= NS_MAX);
}

/// Goal: coarse bins hold what they say, and their percentiles are at most one bin too high.
#[test]
fn bins_are_within_their_width() {
    for ns in [1, 2, 999, 1_000, 123_456_789, NS_MAX] {
        let bin = Bins::bin(ns);
        assert!(Bins::lower_ns(bin) <= ns as f64 * 1.000_001, "{ns}");
        assert!(Bins::lower_ns(bin + 1) > ns as f64, "{ns}");
    }
    let bins = Bins::of(&recorded((1..=100_000).map(|n| n * 1_000)));
    let p99 = bins.percentile(99.0).unwrap() as f64;
    assert!((99e6..99e6 * 1.05).contains(&p99), "{p99}");
    assert_eq!(Bins::of(&recorded(vec![5; 150])).percentile(50.0), None);
}

/// Goal: a run of any length has a bounded number of slices, and nothing gets lost when slices become longer.
#[test]
fn slices_are_bounded_and_lose_nothing() {
    let mut series = SeriesBuilder::new(1_000);
    for second in 0..10_000 {
        let bins = Bins(vec![((second % 7) as u16, 1)]);
        series.add(&Point { start_ms: second * 1_000 + 5, acked: 1, put_ack: bins, ..Point::default() });
    }
    let series = series.finish();
    assert!(series.points.len() <= series::POINTS_MAX, "{}", series.points.len());
    assert_eq!(series.interval_ms, 32_000);
    assert_eq!(series.points.iter().map(|point| point.acked).sum::<u64>(), 10_000);
    assert_eq!(series.points.iter().map(|point| point.put_ack.count()).sum::<u64>(), 10_000);
    for (at, point) in series.points.iter().enumerate() {
        assert_eq!(point.start_ms, at as u64 * series.interval_ms);
    }
    assert_eq!(series.points[0].acked, 32);
}
