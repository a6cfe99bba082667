//! Points in time and in a shard, as people write them: `latest`, `-10m`, `@2026-01-31T12:00:00Z`, `1234`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::shard::sequence::SequenceNumber;
use crate::types::{Offset, WallUs};

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// After the newest record.
    Latest,
    /// At the oldest record that is kept.
    Horizon,
    /// At the first record that arrived this long ago or later.
    Ago(Duration),
    /// At the first record that arrived at this time or later.
    At(WallUs),
    /// At the record with this offset. Every shard counts its own, so a shard has to be named unless there is only one.
    Offset(Offset),
    /// At the record with this Kinesis sequence number, which names its shard too.
    Sequence(SequenceNumber),
}

impl From {
    /// Whether it means something in one shard only.
    #[must_use]
    pub const fn needs_shard(self) -> bool {
        matches!(self, Self::Offset(_))
    }

    /// The same with `Ago` resolved against the clock.
    #[must_use]
    pub fn resolve(self, now: WallUs) -> Self {
        match self {
            Self::Ago(ago) => {
                Self::At(WallUs(now.0.saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX))))
            }
            other => other,
        }
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => return Ok(Self::Latest),
            "horizon" => return Ok(Self::Horizon),
            _ => {}
        }
        if let Some(ago) = text.strip_prefix('-') {
            return duration(ago).map(Self::Ago);
        }
        if let Some(time) = text.strip_prefix('@') {
            return instant(time).map(Self::At);
        }
        if let Some(offset) = digits(text) {
            return Ok(Self::Offset(Offset(offset)));
        }
        text.parse().map(Self::Sequence).map_err(|_| {
            "use latest, horizon, a time ago like -10m, a time like @2026-01-31T12:00:00Z or @1769860800, an offset or a sequence number"
                .to_owned()
        })
    }
}

/// Parses a length of time: `500ms`, `30s`, `10m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    UNITS
        .iter()
        .find_map(|(name, ms)| digits(text.strip_suffix(name)?)?.checked_mul(*ms))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a length of time; write it like 500ms, 30s, 10m, 2h or 7d"))
}

/// Parses a point in time: seconds since the Unix epoch, or RFC 3339 with `Z` or an offset.
fn instant(text: &str) -> Result<WallUs, String> {
    let time = seconds(text).or_else(|| rfc3339(text));
    time.ok_or_else(|| format!("`{text}` is not a time; write it like 2026-01-31T12:00:00Z or 1769860800"))
}

/// `1769860800` or `1769860800.25`, to microseconds.
fn seconds(text: &str) -> Option<WallUs> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = digits(whole)?;
    whole.checked_mul(1_000_000)?.checked_add(micros(fraction)?).map(WallUs)
}

/// The microseconds in the digits after a decimal point. Further digits are cut off.
fn micros(fraction: &str) -> Option<u64> {
    let all_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits && !fraction.is_empty() { digits(&format!("{fraction:0<6}")[..6]) } else { None }
}

/// A number of decimal digits only: no sign, not empty.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `2026-01-31T12:00:00Z`, `2026-01-31T12:00:00.5+01:00`.
fn rfc3339(text: &str) -> Option<WallUs> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let &[year, month, day] = numbers(date, '-', [4, 2, 2])?.as_slice() else { return None };
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let (clock, ahead_minutes) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let sign = time.rfind(['+', '-'])?;
            let &[hours, minutes] = numbers(&time[sign + 1..], ':', [2, 2])?.as_slice() else { return None };
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead = hours * 60 + minutes;
            (&time[..sign], if time[sign..].starts_with('-') { -ahead } else { ahead })
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let &[hour, minute, second] = numbers(clock, ':', [2, 2, 2])?.as_slice() else { return None };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + (minute - ahead_minutes) * 60 + second;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(micros(fraction)?).map(WallUs)
}

/// The numbers in `text` between `separator`s, each with exactly as many digits as `widths` says.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<Vec<i64>> {
    let parts: Vec<_> = text.split(separator).collect();
    let fits = parts.len() == N && parts.iter().zip(widths).all(|(part, width)| part.len() == width);
    if !fits {
        return None;
    }
    parts.into_iter().map(|part| digits(part)?.try_into().ok()).collect()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_from_civil(next_year, next_month, 1) - days_from_civil(year, month, 1)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year, and in eras of 400 years, which all have 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// A time as RFC 3339 in UTC with microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Utc(pub WallUs);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.0.0 / 1_000_000, self.0.0 % 1_000_000);
        let (year, month, day) = civil_from_days((seconds / 86_400) as i64);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ShardNumber;

    /// Goal: each way to write a starting point means what the help says.
    #[test]
    fn starting_points() {
        let from = |text: &str| text.parse::<From>();
        assert_eq!(from("latest"), Ok(From::Latest));
        assert_eq!(from("horizon"), Ok(From::Horizon));
        assert_eq!(from("-10m"), Ok(From::Ago(Duration::from_secs(600))));
        assert_eq!(from("-250ms"), Ok(From::Ago(Duration::from_millis(250))));
        assert_eq!(from("1234"), Ok(From::Offset(Offset(1234))));
        let sequence = SequenceNumber::of(WallUs(9_000_000), ShardNumber(3), Offset(41), WallUs(9_500_000));
        assert_eq!(from(&sequence.to_string()), Ok(From::Sequence(sequence)));
        assert_eq!((sequence.shard(), sequence.at()), (ShardNumber(3), Offset(41)));
        assert_eq!(from("@1769860800"), Ok(From::At(WallUs(1_769_860_800_000_000))));
        assert_eq!(from("@1769860800.25"), Ok(From::At(WallUs(1_769_860_800_250_000))));
        assert_eq!(from("@2026-01-31T12:00:00Z"), Ok(From::At(WallUs(1_769_860_800_000_000))));
        assert_eq!(from("@2026-01-31T13:00:00.5+01:00"), Ok(From::At(WallUs(1_769_860_800_500_000))));
        assert_eq!(from("@2026-01-31T10:30:00-01:30"), Ok(From::At(WallUs(1_769_860_800_000_000))));
    }

    /// Goal: what is no starting point is refused, never taken for another.
    #[test]
    fn wrong_starting_points_are_refused() {
        for text in [
            "",
            "now",
            "-",
            "-10",
            "-10w",
            "--10m",
            "-99999999999999999999d",
            "@",
            "@-1",
            "@1.",
            "@1.x",
            "@1970-1-1T00:00:00Z",
            "@2026-02-29T00:00:00Z",
            "@2026-13-01T00:00:00Z",
            "@2026-00-01T00:00:00Z",
            "@2026-01-01T24:00:00Z",
            "@2026-01-01T00:60:00Z",
            "@2026-01-01T00:00:00",
            "@2026-01-01T00:00:00+24:00",
            "@1969-12-31T23:59:59Z",
            "@2026-01-01T00:00:+1Z",
            "+5",
            "1.5",
            "4959033827149025660855969253836157109592157598913658889",
        ] {
            assert!(text.parse::<From>().is_err(), "{text}");
        }
    }

    /// Goal: times print so that they parse back, over leap years, century years and month ends.
    #[test]
    fn times_round_trip() {
        for days in (0..200_000).step_by(13).chain([59, 789, 11_016, 11_017, 19_782, 47_540, 47_541]) {
            let time = WallUs((days * 86_400 + days % 86_400) * 1_000_000 + days % 1_000_000);
            assert_eq!(instant(&Utc(time).to_string()), Ok(time));
        }
        assert_eq!(Utc(WallUs(951_782_400_000_001)).to_string(), "2000-02-29T00:00:00.000001Z");
    }

    /// Goal: a time ago is counted from the clock, and never before the epoch.
    #[test]
    fn ago_is_resolved() {
        let ago = From::Ago(Duration::from_secs(2));
        assert_eq!(ago.resolve(WallUs(5_000_000)), From::At(WallUs(3_000_000)));
        assert_eq!(ago.resolve(WallUs(1)), From::At(WallUs(0)));
        assert_eq!(From::Latest.resolve(WallUs(1)), From::Latest);
    }
}
