//! The header `Date`, by which clients judge how far their clocks are off.

use std::fmt::Write as _;

use http::HeaderValue;

use crate::types::WallUs;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The value for this second; made once a second.
#[derive(Default)]
pub(super) struct DateHeader(Option<(u64, HeaderValue)>);

impl DateHeader {
    pub(super) fn at(&mut self, wall: WallUs) -> HeaderValue {
        let second = wall.0 / 1_000_000;
        match &self.0 {
            Some((of, value)) if *of == second => value.clone(),
            _ => {
                let value = HeaderValue::from_str(&text(second)).expect("plain ASCII");
                self.0 = Some((second, value.clone()));
                value
            }
        }
    }
}

/// As `Sun, 06 Nov 1994 08:49:37 GMT`, from seconds since 1970.
fn text(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days: eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let mut text = String::with_capacity(29);
    let (weekday, month) = (DAYS[days as usize % 7], MONTHS[month as usize]);
    write!(text, "{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT").expect("a string");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: known dates, leap days and the turn of a year among them, and one value per second.
    #[test]
    fn known_dates() {
        let known = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (1_735_689_600, "Wed, 01 Jan 2025 00:00:00 GMT"),
        ];
        for (seconds, expected) in known {
            assert_eq!(text(seconds), expected);
        }
        let mut header = DateHeader::default();
        let at = |header: &mut DateHeader, us| header.at(WallUs(us)).to_str().unwrap().to_owned();
        assert_eq!(at(&mut header, 784_111_777_999_999), known[1].1);
        assert_eq!(at(&mut header, 784_111_777_000_000), known[1].1);
        assert_eq!(at(&mut header, 784_111_778_000_000), "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
