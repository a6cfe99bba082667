//! The types of settings: how each is written, and which values it can have.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::{RECORD_BYTES_MAX, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN};
use crate::types::Durability;

/// A setting's type.
pub trait Value: Sized {
    /// Parses what was written. The error is the end of a sentence that begins with the value: `is not a number; ...`.
    fn parse(text: &str) -> Result<Self, String>;
    /// Writes the value so that [`Value::parse`] gives it back.
    fn show(&self) -> String;
}

/// Number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per CPU of the list.
    Auto,
    /// This many, at least 1.
    Count(u16),
}

impl Value for Workers {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => match text.parse() {
                Ok(count @ 1..=1024) => Ok(Self::Count(count)),
                _ => Err("is not a number of workers; use 1 to 1024, or auto for one per CPU".to_owned()),
            },
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// CPU numbers without repetitions, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<u16>);

/// Highest CPU number that is understood, as in the kernel's largest configurations.
const CPU_MAX: u16 = 8191;

impl CpuList {
    /// The numbers, in the order given.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, String> {
        let number = |part: &str| match part.trim().parse() {
            Ok(cpu @ 0..=CPU_MAX) => Ok(cpu),
            _ => Err("is not a list of CPUs; write it like 0-3,6, or all".to_owned()),
        };
        let mut cpus: Vec<u16> = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if first > last {
                return Err(format!("has the range {first}-{last}, which runs backwards; write {last}-{first}"));
            }
            for cpu in first..=last {
                if cpus.contains(&cpu) {
                    return Err(format!("names CPU {cpu} twice; name each once"));
                }
                cpus.push(cpu);
            }
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut comma = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|&(&cpu, expected)| cpu == expected).count();
            let last = rest[run - 1];
            if run == 1 {
                write!(f, "{comma}{first}")?
            } else {
                write!(f, "{comma}{first}-{last}")?
            }
            comma = ",";
            rest = &rest[run..];
        }
        Ok(())
    }
}

/// CPUs that workers may be pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// Every CPU the process may run on.
    All,
    /// These.
    List(CpuList),
}

impl Value for Cpus {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(Self::All) } else { CpuList::parse(text).map(Self::List) }
    }

    fn show(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::List(list) => list.to_string(),
        }
    }
}

/// A size in bytes: written as a number, or with KiB, MiB, GiB, TiB (powers of 1,024) or kB, MB, GB, TB (powers of 1,000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Value for Bytes {
    fn parse(text: &str) -> Result<Self, String> {
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits.trim_end(), *unit)))
            .unwrap_or((text, 1));
        let number: Option<u64> = digits.parse().ok();
        number
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| "is not a size; write it like 4096, 64KiB, 128MiB or 2GiB".to_owned())
    }

    fn show(&self) -> String {
        UNITS
            .iter()
            .take(4)
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit))
            .map_or_else(|| self.0.to_string(), |(name, unit)| format!("{}{name}", self.0 / unit))
    }
}

/// A size in bytes, or one that the node chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The node chooses.
    Auto,
    /// This much.
    Bytes(u64),
}

impl Amount {
    /// The size, if one was given.
    #[must_use]
    pub const fn given(self) -> Option<u64> {
        match self {
            Self::Auto => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl Value for Amount {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => Bytes::parse(text)
                .map(|Bytes(bytes)| Self::Bytes(bytes))
                .map_err(|_| "is not a size; write it like 64KiB, 128MiB or 2GiB, or auto".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.given().map_or_else(|| "auto".to_owned(), |bytes| Bytes(bytes).show())
    }
}

/// The largest record of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBytes(pub u32);

impl Value for RecordBytes {
    fn parse(text: &str) -> Result<Self, String> {
        let Bytes(bytes) = Bytes::parse(text)?;
        match u32::try_from(bytes) {
            Ok(bytes @ 1..=RECORD_BYTES_MAX) => Ok(Self(bytes)),
            _ => Err(format!("is out of range; a record has 1 byte to {}", Bytes(u64::from(RECORD_BYTES_MAX)).show())),
        }
    }

    fn show(&self) -> String {
        Bytes(u64::from(self.0)).show()
    }
}

/// A retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hours(pub u32);

impl Value for Hours {
    fn parse(text: &str) -> Result<Self, String> {
        let (digits, unit) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
            (Some(days), _) => (days, 24),
            (None, hours) => (hours.unwrap_or(text), 1),
        };
        let Ok(number) = digits.parse::<u32>() else {
            return Err("is not a time; write hours like 24h or days like 7d".to_owned());
        };
        match number.saturating_mul(unit) {
            hours @ RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX => Ok(Self(hours)),
            _ => Err(format!("is out of range; a retention is {RETENTION_HOURS_MIN}h to {RETENTION_HOURS_MAX}h")),
        }
    }

    fn show(&self) -> String {
        format!("{}h", self.0)
    }
}

/// A threshold of free disk space.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reserve {
    /// A share of the file system's size, in percent, 0 to 100.
    Percent(u8),
    /// A number of bytes.
    Bytes(Bytes),
}

impl Reserve {
    /// The threshold on a file system of `total_bytes`.
    #[must_use]
    pub fn free_bytes(self, total_bytes: u64) -> u64 {
        match self {
            Self::Percent(percent) => (u128::from(total_bytes) * u128::from(percent) / 100) as u64,
            Self::Bytes(Bytes(bytes)) => bytes,
        }
    }
}

impl Value for Reserve {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim_end().parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err("is not a share; write a whole number like 5%".to_owned()),
            };
        }
        match Bytes::parse(text) {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(_) => Err("is neither a share like 5% nor a size like 50GiB".to_owned()),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Percent(percent) => format!("{percent}%"),
            Self::Bytes(bytes) => bytes.show(),
        }
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl Value for $name {
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("is not one of {}", [$($text),+].join(", "))),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$variant => $text),+ }.to_owned()
            }
        }
    };
}

pub(super) use choice;

choice! {
    /// The least severe messages that are logged.
    LogLevel {
        /// What went wrong and needs somebody.
        Error = "error",
        /// What may need somebody.
        Warn = "warn",
        /// What the node does.
        Info = "info",
        /// How it does it.
        Debug = "debug",
        /// Everything.
        Trace = "trace"
    }
}

choice! {
    /// The form of the log.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object per line.
        Json = "json"
    }
}

impl Value for Durability {
    fn parse(text: &str) -> Result<Self, String> {
        [Self::Fsync, Self::Interval]
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| "is not one of fsync, interval".to_owned())
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("is empty; name a path".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for Option<PathBuf> {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(None),
            _ => PathBuf::parse(text).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Value::show)
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            "is not an address with a port; write it like 127.0.0.1:4566, 0.0.0.0:4566 or [::1]:4566".to_owned()
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A TCP port, 0 for one of the kernel's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl Value for Port {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| "is not a port; use 0 to 65535".to_owned())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// Longest polling before sleep: beyond 100 ms a worker never sleeps in practice, which is better said with more of it.
const SPIN_US_MAX: u32 = 100_000;

/// How long an idle worker polls before it sleeps, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpinUs(pub u32);

impl Value for SpinUs {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(us @ 0..=SPIN_US_MAX) => Ok(Self(us)),
            _ => Err(format!("is not a number of microseconds; use 0 to {SPIN_US_MAX}")),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}
