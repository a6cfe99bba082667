//! What can be set per stream and concerns its shards: small, copied to the owner of each.

use std::fmt;

use crate::catalog::error::CatalogError;
use crate::limits::{
    GET_RECORDS_WAIT_MS_MAX, ON_DEMAND_SHARDS, ON_DEMAND_SHARDS_MAX_DEFAULT, ON_DEMAND_SHARDS_MIN_DEFAULT,
    RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX, RECORD_BYTES_MIN, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN,
    SHARDS_PER_STREAM_MAX, WARM_THROUGHPUT_MIB_MAX,
};
use crate::types::Durability;

/// What can be set per stream.
///
/// Invariant: what belongs to on-demand streams alone is not set on a provisioned one; see [`Settings::conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Hours that records are kept.
    pub retention_hours: u32,
    /// Largest record, data and key together, in bytes.
    pub record_bytes_max: u32,
    /// When puts are acknowledged.
    pub durability: Durability,
    /// How much each shard takes and gives.
    pub limits: Limits,
    /// Who decides how many shards there are.
    pub mode: Mode,
    /// How records find their shard.
    pub distribution: Distribution,
    /// MiB per second that the stream is ready to take at once, 0 for none in particular. On-demand streams only.
    pub warm_throughput_mib: u32,
    /// How long a GetRecords of the HTTP front end that finds nothing waits for a commit, in milliseconds. 0: not at all.
    pub get_records_wait_ms: u32,
}

/// How much each shard of a stream takes and gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Limits {
    /// As much as the machine can.
    #[default]
    None,
    /// What a shard of Kinesis takes and gives; with it come the service's limits on changes of the stream.
    Aws,
    /// Limits of the operator's own.
    Custom(CustomLimits),
}

/// Limits of one shard, each 0 for unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CustomLimits {
    /// Records put, per second.
    pub write_records_s: u32,
    /// Bytes put, keys included, per second.
    pub write_bytes_s: u64,
    /// Gets, per second.
    pub read_calls_s: u32,
    /// Bytes that all gets hand out, per second.
    pub read_bytes_s: u64,
    /// Bytes that each registered consumer gets, per second.
    pub fanout_bytes_s: u64,
}

/// Who decides how many shards a stream has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The operator does.
    #[default]
    Provisioned,
    /// The node does, by the traffic it sees.
    OnDemand(Bounds),
}

/// Between how many shards the node may choose. Neither is 0, nor is the second below the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// It never merges below this.
    pub shards_min: u32,
    /// It never splits above this.
    pub shards_max: u32,
}

/// How records find their shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Distribution {
    /// By the hash of their partition key.
    #[default]
    PartitionKey = 0,
    /// Evenly, whatever their keys are. On-demand streams only.
    Auto = 1,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention_hours: RETENTION_HOURS_MIN,
            record_bytes_max: RECORD_BYTES_DEFAULT,
            durability: Durability::default(),
            limits: Limits::default(),
            mode: Mode::default(),
            distribution: Distribution::default(),
            warm_throughput_mib: 0,
            get_records_wait_ms: 0,
        }
    }
}

impl Settings {
    /// Hours that records are kept, in microseconds.
    #[must_use]
    pub const fn retention_us(&self) -> u64 {
        self.retention_hours as u64 * 3_600_000_000
    }

    /// Between how many shards the node may choose, or `None` for a provisioned stream. Warm throughput counts as one
    /// shard per MiB, whatever bounds were set.
    #[must_use]
    pub fn bounds(&self) -> Option<Bounds> {
        let Mode::OnDemand(Bounds { shards_min, shards_max }) = self.mode else { return None };
        let warm = self.warm_throughput_mib.min(SHARDS_PER_STREAM_MAX);
        Some(Bounds { shards_min: shards_min.max(warm), shards_max: shards_max.max(warm) })
    }

    /// Shards that a stream with these settings is created with when no number is given; `None` for a provisioned one.
    #[must_use]
    pub fn initial_shards(&self) -> Option<u32> {
        self.bounds().map(|bounds| ON_DEMAND_SHARDS.max(bounds.shards_min).min(bounds.shards_max))
    }

    /// What is set but makes no sense with the rest.
    #[must_use]
    pub fn conflict(&self) -> Option<&'static str> {
        match self.mode {
            Mode::OnDemand(_) => None,
            Mode::Provisioned if self.distribution == Distribution::Auto => {
                Some("records are distributed automatically in on-demand streams only")
            }
            Mode::Provisioned if self.warm_throughput_mib != 0 => {
                Some("warm throughput can be set for on-demand streams only")
            }
            Mode::Provisioned => None,
        }
    }

    /// Checks the values against the limits of this build.
    pub(super) fn check_limits(&self) -> Result<(), CatalogError> {
        let all = SettingsChange {
            retention_hours: Some(self.retention_hours),
            record_bytes_max: Some(self.record_bytes_max),
            mode: Some(self.mode),
            warm_throughput_mib: Some(self.warm_throughput_mib),
            get_records_wait_ms: Some(self.get_records_wait_ms),
            ..SettingsChange::default()
        };
        all.check_limits()?;
        self.conflict().map_or(Ok(()), |why| Err(CatalogError::Conflict { why }))
    }
}

impl Mode {
    /// On-demand, with the bounds of a stream for which none were given.
    pub const ON_DEMAND: Self =
        Self::OnDemand(Bounds { shards_min: ON_DEMAND_SHARDS_MIN_DEFAULT, shards_max: ON_DEMAND_SHARDS_MAX_DEFAULT });

    /// True for streams whose number of shards the node decides.
    #[must_use]
    pub const fn is_on_demand(self) -> bool {
        matches!(self, Self::OnDemand(_))
    }

    /// The name that Kinesis gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand(_) => "ON_DEMAND",
        }
    }
}

impl Distribution {
    /// The strategy with this code, as stored.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::PartitionKey),
            1 => Some(Self::Auto),
            _ => None,
        }
    }

    /// The name that Kinesis gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PartitionKey => "USER_PARTITION_KEY",
            Self::Auto => "AUTO",
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Aws => f.write_str("aws"),
            Self::Custom(limits) => limits.fmt(f),
        }
    }
}

impl fmt::Display for CustomLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { write_records_s, write_bytes_s, read_calls_s, read_bytes_s, fanout_bytes_s } = self;
        write!(f, "{write_records_s} records/s and {write_bytes_s} B/s in, ")?;
        write!(f, "{read_calls_s} gets/s and {read_bytes_s} B/s out, {fanout_bytes_s} B/s per consumer")
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// New values for some of the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SettingsChange {
    /// Hours that records are kept.
    pub retention_hours: Option<u32>,
    /// Largest record, data and key together, in bytes.
    pub record_bytes_max: Option<u32>,
    /// When puts are acknowledged.
    pub durability: Option<Durability>,
    /// How much each shard takes and gives.
    pub limits: Option<Limits>,
    /// Who decides how many shards there are.
    pub mode: Option<Mode>,
    /// How records find their shard.
    pub distribution: Option<Distribution>,
    /// MiB per second that the stream is ready to take at once.
    pub warm_throughput_mib: Option<u32>,
    /// How long an empty GetRecords waits for a commit, in milliseconds.
    pub get_records_wait_ms: Option<u32>,
}

impl SettingsChange {
    /// True if it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `settings` with the new values. A stream that becomes provisioned loses what only on-demand streams have.
    #[must_use]
    pub fn applied_to(&self, settings: Settings) -> Settings {
        let mode = self.mode.unwrap_or(settings.mode);
        let (distribution, warm_throughput_mib) = if self.switches(settings.mode) && mode == Mode::Provisioned {
            (Distribution::PartitionKey, 0)
        } else {
            (settings.distribution, settings.warm_throughput_mib)
        };
        Settings {
            retention_hours: self.retention_hours.unwrap_or(settings.retention_hours),
            record_bytes_max: self.record_bytes_max.unwrap_or(settings.record_bytes_max),
            durability: self.durability.unwrap_or(settings.durability),
            limits: self.limits.unwrap_or(settings.limits),
            mode,
            distribution: self.distribution.unwrap_or(distribution),
            warm_throughput_mib: self.warm_throughput_mib.unwrap_or(warm_throughput_mib),
            get_records_wait_ms: self.get_records_wait_ms.unwrap_or(settings.get_records_wait_ms),
        }
    }

    /// True if it makes a provisioned stream on-demand or the other way round. Other bounds are no switch.
    #[must_use]
    pub fn switches(&self, mode: Mode) -> bool {
        self.mode.is_some_and(|new| new.is_on_demand() != mode.is_on_demand())
    }

    /// Checks the values against the limits of this build.
    pub(super) fn check_limits(&self) -> Result<(), CatalogError> {
        if let Some(hours) = self.retention_hours
            && !(RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX).contains(&hours)
        {
            return Err(CatalogError::Retention { hours });
        }
        if let Some(bytes) = self.record_bytes_max
            && !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes)
        {
            return Err(CatalogError::RecordBytes { bytes });
        }
        if let Some(Mode::OnDemand(bounds)) = self.mode
            && (!bounds.is_valid() || bounds.shards_max > SHARDS_PER_STREAM_MAX)
        {
            return Err(CatalogError::Bounds { bounds });
        }
        if let Some(mib) = self.warm_throughput_mib
            && mib > WARM_THROUGHPUT_MIB_MAX
        {
            return Err(CatalogError::WarmThroughput { mib });
        }
        if let Some(wait_ms) = self.get_records_wait_ms
            && wait_ms > GET_RECORDS_WAIT_MS_MAX
        {
            return Err(CatalogError::GetRecordsWait { wait_ms });
        }
        Ok(())
    }
}

impl Bounds {
    /// True if there is a number of shards within them, and 0 is not.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.shards_min > 0 && self.shards_min <= self.shards_max
    }
}
