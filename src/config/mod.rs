//! Settings of `millstream serve`: as written, then validated.
//!
//! One table ([`SETTINGS`]) names every setting once, with its help, its default and its type. The flags (`--tail-cache`),
//! the variables (`MILLSTREAM_TAIL_CACHE`), the keys of the TOML file (`tail_cache`) and the printed documentation all
//! come from it. Sources in order of precedence: flags, variables, the file, defaults.
//!
//! Everything here is pure: [`Sources`] holds what somebody else read from the command line, the environment and the
//! file. All mistakes are reported together, each with the place it was made and the way out.
//!
//! ```
//! use millstream::config::{Config, Sources};
//! let sources = Sources { flags: vec![("workers".into(), "2".into())], ..Sources::default() };
//! let loaded = Config::load(&sources).unwrap();
//! assert_eq!(loaded.config.listen.port(), 4566);
//! ```

#![forbid(unsafe_code)]

mod descriptors;
mod kinesis;
mod load;
mod memory;
mod placement;
mod token;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use descriptors::{Descriptors, TooFew};
pub use kinesis::{Account, Region, StatusDelay, TlsMode};
pub use load::{ConfigError, Loaded, Origin, Sources, nearest};
pub use memory::{Memory, TooLittle, Wanted};
pub use placement::{Placement, PlacementError};
pub use token::{Token, TokenError};
pub use values::{
    Amount, Bytes, CpuList, Cpus, Hours, LogFormat, LogLevel, Port, RecordBytes, Reserve, SpinUs, Value, Workers,
};

use crate::types::Durability;

/// Begins the name of every environment variable that is ours.
pub const VARIABLE_PREFIX: &str = "MILLSTREAM_";

/// Variables that are ours and no settings of `serve`: where its file is, and where clients find the node.
pub const OTHER_VARIABLES: &[&str] = &["MILLSTREAM_CONFIG", "MILLSTREAM_NODE"];

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in the file, in snake case. Flag and variable are made from it.
    pub key: &'static str,
    /// What the value is called in help texts.
    pub value_name: &'static str,
    /// The default, as it would be written.
    pub default: &'static str,
    /// One or more sentences for the operator.
    pub help: &'static str,
}

impl Setting {
    /// The name of the flag, without the dashes before it.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The name of the environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.to_uppercase())
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $key:ident: $ty:ty, $value_name:literal, $default:literal;)+) => {
        /// The settings of a node, validated.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $key: $ty,)+
        }

        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            key: stringify!($key),
            value_name: $value_name,
            default: $default,
            help: concat!($($doc),+),
        }),+];

        impl Config {
            /// Reads each setting through `lookup`, which gives the text to parse and takes the complaint if it does
            /// not parse. `None` if there was any complaint.
            fn parse(lookup: &mut dyn load::Lookup) -> Option<Self> {
                // All are parsed before the first failure ends it, so that the operator sees every mistake at once.
                $(let $key = load::parse_one::<$ty>(lookup, stringify!($key));)+
                Some(Self { $($key: $key?,)+ })
            }

            /// The values as they would be written, in the order of [`SETTINGS`].
            #[must_use]
            pub fn show(&self) -> Vec<String> {
                vec![$(self.$key.show(),)+]
            }
        }
    };
}

settings! {
    /// Directory of the node's data. Created if it does not exist; its parent must exist.
    data: PathBuf, "DIR", "data";
    /// Address of the native protocol, shared by all workers. Port 0 picks a free one.
    listen: SocketAddr, "ADDRESS", "127.0.0.1:4566";
    /// First of the workers' own ports: worker N listens on this port + N, at the address of `listen`.
    /// With 0 the kernel picks them; clients learn them from the node. Set it where a firewall must know them.
    direct_port: Port, "PORT", "0";
    /// Number of workers, each a pinned thread that owns its shards; `auto` starts one per CPU of `cpus`.
    workers: Workers, "N", "auto";
    /// CPUs to pin workers to, like `0-3,6`, in this order; `all` takes every CPU the process may run on.
    cpus: Cpus, "LIST", "all";
    /// File with the token that clients must present; `none` lets everybody in who reaches the port.
    auth_token_file: Option<PathBuf>, "FILE", "none";
    /// Memory that the node may use, all workers together: at least 256MiB for each. `auto` takes 1.5GiB for each, but no
    /// more than half of what there is, unless that is less than the least.
    memory: Amount, "SIZE", "auto";
    /// Memory per worker for the newest frames, from which readers at the tail are served; `auto` takes an eighth of its
    /// share of `memory`.
    tail_cache: Amount, "SIZE", "auto";
    /// Memory per worker for answers that wait for their clients. Beyond it those who read slowest are disconnected. `auto`
    /// takes a quarter of its share of `memory`.
    answers_max: Amount, "SIZE", "auto";
    /// Retention of new streams that do not ask for another: 24h to 8760h, or days like `7d`.
    stream_retention: Hours, "TIME", "24h";
    /// Largest record (key and data) of new streams that do not ask for another: up to 10MiB.
    stream_record_max: RecordBytes, "SIZE", "1MiB";
    /// When puts to new streams are acknowledged, unless they ask for another level: `fsync` (synced to the disk) or
    /// `interval` (synced within 50 ms, which a power failure can lose).
    stream_durability: Durability, "LEVEL", "fsync";
    /// Microseconds that an idle worker polls before it sleeps. More lowers latency and burns CPU; 0 sleeps at once.
    spin_us: SpinUs, "MICROSECONDS", "0";
    /// Free disk space below which the node warns: a share like `10%` or a size like `50GiB`.
    disk_warn: Reserve, "SPACE", "10%";
    /// Free disk space below which the node slows puts down.
    disk_slow: Reserve, "SPACE", "5%";
    /// Free disk space below which the node refuses puts; reads and administration go on.
    disk_refuse: Reserve, "SPACE", "2%";
    /// Address of the Kinesis API, shared by all workers, for HTTP and HTTPS alike; `none` turns it off. Port 0 picks a
    /// free one.
    kinesis_listen: Option<SocketAddr>, "ADDRESS", "127.0.0.1:4567";
    /// Region in the ARNs of the Kinesis API, for requests whose signature names none.
    kinesis_region: Region, "REGION", "us-east-1";
    /// Account in the ARNs of the Kinesis API: 12 digits.
    kinesis_account: Account, "DIGITS", "000000000000";
    /// Milliseconds that streams stay in CREATING, UPDATING and DELETING, as seen through the Kinesis API, to test
    /// programs against what AWS takes its time for. With 0 every change is done when it is answered.
    kinesis_status_delay: StatusDelay, "MILLISECONDS", "0";
    /// TOML file with the access keys whose signatures are verified, and with what each may do; `none` lets everybody in
    /// who reaches the port, however the requests are signed.
    kinesis_keys_file: Option<PathBuf>, "FILE", "none";
    /// Certificate for HTTPS when none is given: `auto` makes a CA and a certificate in the data directory (see
    /// `millstream tls trust`), `off` serves HTTP only.
    kinesis_tls: TlsMode, "MODE", "auto";
    /// PEM file with the certificate chain to show instead, the server's own certificate first; `none` for none.
    kinesis_tls_certificate: Option<PathBuf>, "FILE", "none";
    /// PEM file with the private key of that certificate; `none` for none.
    kinesis_tls_key: Option<PathBuf>, "FILE", "none";
    /// Least severe messages that are logged: `error`, `warn`, `info`, `debug` or `trace`.
    log_level: LogLevel, "LEVEL", "info";
    /// Form of the log on standard error: `text` or `json`.
    log_format: LogFormat, "FORMAT", "text";
}

impl Config {
    /// Combinations that are allowed and that an operator should know about, as sentences for the log.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.listen.ip().is_loopback() && self.auth_token_file.is_none() {
            warnings.push(format!(
                "{} is reachable from other machines and no auth_token_file is set: whoever reaches it can read and write.",
                self.listen
            ));
        }
        if let Some(listen) = self.kinesis_listen.filter(|listen| !listen.ip().is_loopback())
            && self.kinesis_keys_file.is_none()
        {
            warnings.push(format!(
                "{listen} is reachable from other machines and no kinesis_keys_file is set: whoever reaches it can read and write."
            ));
        }
        if self.stream_durability == Durability::Interval {
            warnings.push("stream_durability is interval: a power failure can lose acknowledged records.".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
