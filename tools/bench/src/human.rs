//! Numbers for people: durations, rates, sizes and counts as text, rounded as a table wants them.

use crate::stats::Distribution;

/// Stands where a percentile must not be given.
pub const ABSENT: &str = "-";

/// Explains [`ABSENT`].
pub const ABSENT_NOTE: &str = "-: fewer than 100 samples lie above this percentile";

/// A percentile, or [`ABSENT`].
#[must_use]
pub fn percentile(distribution: &Distribution, percentile: f64) -> String {
    distribution.percentile(percentile).map_or_else(|| ABSENT.to_owned(), duration)
}

/// A duration with three significant digits: `850 ns`, `152 us`, `4.01 ms`, `2.50 s`.
#[must_use]
pub fn duration(ns: u64) -> String {
    const STEPS: [(f64, &str); 3] = [(1e9, "s"), (1e6, "ms"), (1e3, "us")];
    let value = ns as f64;
    let step = STEPS.iter().find(|(unit, _)| value >= unit * 0.999_5);
    step.map_or_else(|| format!("{ns} ns"), |(unit, name)| format!("{} {name}", three_digits(value / unit)))
}

/// Bytes per second in decimal units, as disks and networks are sold: `1.32 GB/s`.
#[must_use]
pub fn byte_rate(per_second: f64) -> String {
    format!("{}/s", decimal_bytes(per_second))
}

/// Bytes in decimal units: `512 B`, `4.10 kB`, `1.32 GB`.
#[must_use]
pub fn decimal_bytes(bytes: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let step = STEPS.iter().find(|(unit, _)| bytes >= unit * 0.999_5);
    step.map_or_else(|| format!("{bytes:.0} B"), |(unit, name)| format!("{} {name}", three_digits(bytes / unit)))
}

/// A size that is counted in powers of two, exact: `4 KiB`, `1 MiB`, `1000 B`.
#[must_use]
pub fn binary_bytes(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let step = STEPS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    step.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// A count with its thousands apart: `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Events per second: whole and with its thousands apart from 100 up, one decimal below.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { count(per_second.round() as u64) } else { format!("{per_second:.1}") }
}

/// A percentage with a sign: `+3.2 %`.
#[must_use]
pub fn signed_percent(fraction: f64) -> String {
    format!("{:+.1} %", fraction * 100.0)
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every duration has three significant digits, also just below the next unit.
    #[test]
    fn durations() {
        let cases = [
            (0, "0 ns"),
            (850, "850 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (152_400, "152 us"),
            (999_400, "999 us"),
            (999_600, "1.00 ms"),
            (4_012_000, "4.01 ms"),
            (99_960_000, "100 ms"),
            (2_500_000_000, "2.50 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text, "{ns}");
        }
    }

    /// Goal: rates are decimal, sizes of blocks binary and exact, counts legible.
    #[test]
    fn sizes_and_counts() {
        assert_eq!(byte_rate(1_321_000_000.0), "1.32 GB/s");
        assert_eq!(byte_rate(812.0), "812 B/s");
        assert_eq!(binary_bytes(4096), "4 KiB");
        assert_eq!(binary_bytes(1 << 20), "1 MiB");
        assert_eq!(binary_bytes(1000), "1000 B");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(12_345_678), "12,345,678");
        assert_eq!(rate(12.34), "12.3");
        assert_eq!(rate(123_456.7), "123,457");
        assert_eq!(signed_percent(-0.0314), "-3.1 %");
    }
}
