//! Moments as the API writes them: `20261127T115522Z` in signatures, `Fri Nov 27 11:55:22 UTC 2026` in messages.

use std::fmt;

use crate::types::WallUs;

/// A moment of the calendar in UTC, to the second. Its years are those of four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since the Unix epoch.
    pub second: i64,
}

/// The last second that is written with four digits of a year: 9999-12-31T23:59:59.
const SECOND_MAX: i64 = 253_402_300_799;

/// The first one: 0000-01-01T00:00:00.
const SECOND_MIN: i64 = -62_167_219_200;

const DAY_S: i64 = 86_400;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Fields {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    weekday: usize,
}

impl Moment {
    /// The moment of this clock, rounded down.
    #[must_use]
    pub fn of(wall: WallUs) -> Self {
        Self::at(i64::try_from(wall.second()).unwrap_or(SECOND_MAX))
    }

    /// The moment this many seconds after the epoch, or the nearest that has four digits of a year.
    #[must_use]
    pub fn at(second: i64) -> Self {
        Self { second: second.clamp(SECOND_MIN, SECOND_MAX) }
    }

    /// Reads `20150830T123600Z`, nothing else.
    #[must_use]
    pub fn parse_basic(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = &bytes[from..to];
            digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
        let days = days_since_epoch(year, month, day)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self { second: days * DAY_S + hour * 3_600 + minute * 60 + second })
    }

    fn fields(self) -> Fields {
        let (days, rest) = (self.second.div_euclid(DAY_S), self.second.rem_euclid(DAY_S));
        // Counted from 0000-03-01, so that the odd day of a leap year is the last one: eras of 400 years, 146,097 days each.
        let from_march = days + 719_468;
        let (era, day_of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Fields {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as usize,
            day,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: days.rem_euclid(7) as usize,
        }
    }

    /// The moment in the basic form of ISO 8601: `20150830T123600Z`.
    #[must_use]
    pub fn basic(self) -> impl fmt::Display {
        let Fields { year, month, day, hour, minute, second, .. } = self.fields();
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
    }
}

/// As in the messages of the service: `Fri Nov 27 11:55:22 UTC 2026`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fields { year, month, day, hour, minute, second, weekday } = self.fields();
        let (weekday, month) = (WEEKDAYS[weekday], MONTHS[month - 1]);
        write!(f, "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year:04}")
    }
}

/// Days from the epoch to a date; `None` if there is no such date.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) {
        return None;
    }
    let (year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: known moments in both forms, around leap days, the epoch and the ends of what can be written.
    #[test]
    fn known_moments() {
        let table = [
            (0, "19700101T000000Z", "Thu Jan 01 00:00:00 UTC 1970"),
            (1_440_938_160, "20150830T123600Z", "Sun Aug 30 12:36:00 UTC 2015"),
            (1_795_780_522, "20261127T115522Z", "Fri Nov 27 11:55:22 UTC 2026"),
            (951_782_399, "20000228T235959Z", "Mon Feb 28 23:59:59 UTC 2000"),
            (951_782_400, "20000229T000000Z", "Tue Feb 29 00:00:00 UTC 2000"),
            (4_107_542_400, "21000301T000000Z", "Mon Mar 01 00:00:00 UTC 2100"),
            (-1, "19691231T235959Z", "Wed Dec 31 23:59:59 UTC 1969"),
            (SECOND_MAX, "99991231T235959Z", "Fri Dec 31 23:59:59 UTC 9999"),
            (SECOND_MIN, "00000101T000000Z", "Sat Jan 01 00:00:00 UTC 0000"),
        ];
        for (second, basic, text) in table {
            let moment = Moment::at(second);
            assert_eq!(moment.basic().to_string(), basic);
            assert_eq!(moment.to_string(), text);
            assert_eq!(Moment::parse_basic(basic), Some(moment));
        }
        assert_eq!(Moment::of(WallUs(u64::MAX)), Moment::at(SECOND_MAX));
        assert_eq!(Moment::of(WallUs(1_999_999)), Moment::at(1));
    }

    /// Goal: what is not exactly the basic form, or no date at all, is refused.
    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "a",
            "20150830T123600",
            "20150830T123600z",
            "20150830 123600Z",
            "2015-08-30T12:36:00Z",
            "20150230T123600Z",
            "20150001T123600Z",
            "20151301T123600Z",
            "20150830T243600Z",
            "20150830T126000Z",
            "+0150830T123600Z",
            "2015é830T12360Z",
        ] {
            assert_eq!(Moment::parse_basic(text), None, "{text}");
        }
    }

    proptest::proptest! {
        /// Goal: every second that can be written is read back.
        #[test]
        fn seconds_round_trip(second in SECOND_MIN..=SECOND_MAX) {
            let moment = Moment::at(second);
            proptest::prop_assert_eq!(Moment::parse_basic(&moment.basic().to_string()), Some(moment));
        }
    }
}
