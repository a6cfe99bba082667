//! The types of the settings that belong to the Kinesis API.

use std::fmt;
use std::net::SocketAddr;

use super::values::{Value, choice};

/// An AWS region as ARNs name it, like `us-east-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

/// Longest name of a region. The longest of AWS have 14 characters; names of one's own may be longer.
const REGION_BYTES_MAX: usize = 64;

impl Region {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Region {
    fn parse(text: &str) -> Result<Self, String> {
        let is_fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if text.is_empty() || text.len() > REGION_BYTES_MAX || !text.bytes().all(is_fine) {
            return Err("is not a region; write it like us-east-1 or eu-central-1".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// The number of an AWS account: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for Account {
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() != 12 || !text.bytes().all(|c| c.is_ascii_digit()) {
            return Err("is not an account; write its 12 digits, in quotes in a file, like \"000000000000\"".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Longest imitated transition: 10 minutes. AWS itself takes a minute or two.
const STATUS_DELAY_MS_MAX: u32 = 600_000;

/// How long a stream stays in a passing status, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusDelay(pub u32);

impl Value for StatusDelay {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(ms @ 0..=STATUS_DELAY_MS_MAX) => Ok(Self(ms)),
            _ => Err(format!("is not a number of milliseconds; use 0 to {STATUS_DELAY_MS_MAX}")),
        }
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

choice! {
    /// Where the certificate for HTTPS comes from when none is given.
    TlsMode {
        /// Made by the node, in the data directory.
        Auto = "auto",
        /// Nowhere: HTTP only.
        Off = "off"
    }
}

impl Value for Option<SocketAddr> {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(None),
            _ => SocketAddr::parse(text).map(Some).map_err(|problem| format!("{problem}, or none")),
        }
    }

    fn show(&self) -> String {
        self.map_or_else(|| "none".to_owned(), |addr| addr.to_string())
    }
}
