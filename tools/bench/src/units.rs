//! Times, sizes and rates as people write them: `250us`, `64KiB`, `10k`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time, in nanoseconds. Written like `500ns`, `250us`, `5ms`, `30s`, `10m`, `2h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

/// A number of bytes. Written as a number, or with `KiB`, `MiB`, `GiB` (powers of 1,024) or `kB`, `MB`, `GB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Records per second. Written as a number, or with `k` (a thousand) or `M` (a million).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

const TIMES: [(&str, f64); 6] = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];

const SIZES: [(&str, f64); 8] = [
    ("GiB", 1_073_741_824.0),
    ("MiB", 1_048_576.0),
    ("KiB", 1_024.0),
    ("GB", 1e9),
    ("MB", 1e6),
    ("kB", 1e3),
    ("B", 1.0),
    ("", 1.0),
];

const RATES: [(&str, f64); 3] = [("k", 1e3), ("M", 1e6), ("", 1.0)];

/// The number in `text` times its unit, if there is exactly a number that is not negative and a unit of the list.
fn parse(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor)?;
    let number: f64 = number.replace('_', "").parse().ok()?;
    (number.is_finite()).then_some(number * factor)
}

/// The shortest exact way to write `value` with one of the units, which go from small to large or back.
fn show(value: u64, units: &[(&'static str, u64)]) -> Option<String> {
    let fits = units.iter().filter(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    fits.max_by_key(|(_, factor)| *factor).map(|(unit, factor)| format!("{}{unit}", value / factor))
}

impl Time {
    /// Whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// As a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// In seconds.
    #[must_use]
    pub fn secs(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "0" {
            return Ok(Self(0));
        }
        let ns = parse(text, &TIMES).filter(|ns| *ns < 1e18);
        ns.map(|ns| Self(ns.round() as u64))
            .ok_or(format!("`{text}` is not a time; write it like 250us, 5ms, 30s or 10m"))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
        ];
        f.write_str(&show(self.0, &units).unwrap_or_else(|| "0s".to_owned()))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = parse(text, &SIZES).filter(|bytes| *bytes < 1e18);
        bytes
            .map(|bytes| Self(bytes.round() as u64))
            .ok_or(format!("`{text}` is not a size; write it like 512, 64KiB, 1MiB or 10MB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        f.write_str(&show(self.0, &units).unwrap_or_else(|| "0".to_owned()))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = parse(text, &RATES).filter(|rate| *rate <= 1e9);
        rate.map(Self).ok_or(format!("`{text}` is not a rate; write records per second like 500, 10k or 1.5M"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a file may hold in the place of a unit: the text, or a bare number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Whole(u64),
    Float(f64),
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = match Written::deserialize(deserializer)? {
                    Written::Text(text) => text,
                    Written::Whole(number) => number.to_string(),
                    Written::Float(number) => number.to_string(),
                };
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(Time);
as_text!(Size);
as_text!(Rate);

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what people write is understood, and what is shown can be read back.
    #[test]
    fn units_round_trip() {
        for (text, ns) in
            [("0", 0), ("250us", 250_000), ("1.5ms", 1_500_000), ("30s", 30_000_000_000), ("2h", 7_200_000_000_000)]
        {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.0, ns, "{text}");
            assert_eq!(time.to_string().parse(), Ok(time), "{text}");
        }
        for (text, bytes) in [("0", 0), ("100", 100), ("64KiB", 65_536), ("1.5MiB", 1_572_864), ("10MB", 10_000_000)] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text}");
        }
        for (text, rate) in [("500", 500.0), ("10k", 10_000.0), ("1.5M", 1_500_000.0), ("0.5", 0.5)] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
            assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
        }
    }

    /// Goal: a missing, wrong or negative quantity is refused, never guessed.
    #[test]
    fn nonsense_is_refused() {
        for text in ["", "5", "ms", "-5ms", "5 parsecs", "1e3s"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        for text in ["", "KiB", "-1", "5 kb"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "k", "-5k", "10G", "NaN"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
