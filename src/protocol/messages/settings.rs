//! Settings of a stream, as part of other messages.

use super::{read_code, read_durability};
use crate::codec::{DecodeError, Reader, Write};
use crate::types::Durability;

const HAS_RETENTION: u8 = 1;
const HAS_RECORD_BYTES: u8 = 2;
const HAS_DURABILITY: u8 = 4;
const HAS_LIMITS: u8 = 8;
const HAS_MODE: u8 = 16;
const HAS_DISTRIBUTION: u8 = 32;
const HAS_WARM_THROUGHPUT: u8 = 64;
const HAS_GET_RECORDS_WAIT: u8 = 128;

/// The settings a stream has.
///
/// ```text
///  0 u32 retention_hours   4 u32 record_bytes_max   8 u8 durability
///  9 u8 limits   10 u64 write_records_s   18 u64 write_bytes_s   26 u64 read_calls_s   34 u64 read_bytes_s
/// 42 u64 fanout_bytes_s   50 u8 mode   51 u32 shards_min   55 u32 shards_max
/// 59 u8 distribution   60 u32 warm_throughput_mib   64 u32 get_records_wait_ms
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// How long records are kept.
    pub retention_hours: u32,
    /// Largest record, data and key together.
    pub record_bytes_max: u32,
    /// When a put is acknowledged.
    pub durability: Durability,
    /// How much goes in and out.
    pub limits: StreamLimits,
    /// Who decides on the number of shards.
    pub mode: CapacityMode,
    /// What decides on a record's shard.
    pub distribution: Distribution,
    /// Throughput the stream shall be ready for at any time, in MiB/s; 0 if none is asked for.
    pub warm_throughput_mib: u32,
    /// How long a GetRecords of the HTTP front end that finds nothing waits for a commit; 0 if it does not.
    pub get_records_wait_ms: u32,
}

/// Settings to be set: those not given take their default in a new stream and stay as they are in an existing one.
///
/// ```text
/// 0 u8 given (bit 0 retention, 1 record bytes, 2 durability, 3 limits, 4 mode, 5 distribution, 6 warm throughput,
///             7 get records wait)
/// 1 68 bytes settings
/// ```
/// Fields that are not given are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// How long records are kept.
    pub retention_hours: Option<u32>,
    /// Largest record, data and key together.
    pub record_bytes_max: Option<u32>,
    /// When a put is acknowledged.
    pub durability: Option<Durability>,
    /// How much goes in and out.
    pub limits: Option<StreamLimits>,
    /// Who decides on the number of shards.
    pub mode: Option<CapacityMode>,
    /// What decides on a record's shard.
    pub distribution: Option<Distribution>,
    /// Throughput the stream shall be ready for at any time, in MiB/s; 0 for none.
    pub warm_throughput_mib: Option<u32>,
    /// How long a GetRecords of the HTTP front end that finds nothing waits for a commit; 0 for not at all.
    pub get_records_wait_ms: Option<u32>,
}

/// How much goes into and out of each shard. On the wire a code and five numbers, 0 where the code stands for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamLimits {
    /// Code 0: whatever the node can do.
    #[default]
    None,
    /// Code 1: what Kinesis allows, its limits on administration included.
    Aws,
    /// Code 2: these.
    Custom(CustomLimits),
}

/// Limits per shard and second. 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CustomLimits {
    /// Records in.
    pub write_records_s: u64,
    /// Bytes in, keys included.
    pub write_bytes_s: u64,
    /// Gets.
    pub read_calls_s: u64,
    /// Bytes out by gets and by subscriptions without a consumer, together.
    pub read_bytes_s: u64,
    /// Bytes out to each consumer.
    pub fanout_bytes_s: u64,
}

/// Who decides on the number of shards. On the wire a code and two numbers, 0 where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapacityMode {
    /// Code 0: the client splits, merges and scales.
    #[default]
    Provisioned,
    /// Code 1: the node does, by the traffic it sees.
    OnDemand {
        /// Fewest open shards; 0 for the node's default.
        shards_min: u32,
        /// Most open shards; 0 for the node's default.
        shards_max: u32,
    },
}

/// What decides on the shard of a record that is put by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Distribution {
    /// Its partition key, or its explicit hash key.
    #[default]
    PartitionKey = 0,
    /// The node, which spreads records evenly. Only on demand.
    Auto = 1,
}

impl Distribution {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::PartitionKey),
            1 => Some(Self::Auto),
            _ => None,
        }
    }
}

impl StreamSettings {
    /// What stands on the wire for settings that are not given.
    const ZERO: Self = Self {
        retention_hours: 0,
        record_bytes_max: 0,
        durability: Durability::Fsync,
        limits: StreamLimits::None,
        mode: CapacityMode::Provisioned,
        distribution: Distribution::PartitionKey,
        warm_throughput_mib: 0,
        get_records_wait_ms: 0,
    };

    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.retention_hours);
        out.put_u32(self.record_bytes_max);
        out.put_u8(self.durability as u8);
        self.limits.encode(out);
        self.mode.encode(out);
        out.put_u8(self.distribution as u8);
        out.put_u32(self.warm_throughput_mib);
        out.put_u32(self.get_records_wait_ms);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            retention_hours: r.u32("retention_hours")?,
            record_bytes_max: r.u32("record_bytes_max")?,
            durability: read_durability(r)?,
            limits: StreamLimits::read(r)?,
            mode: CapacityMode::read(r)?,
            distribution: read_code(r, "distribution", Distribution::from_code)?,
            warm_throughput_mib: r.u32("warm_throughput_mib")?,
            get_records_wait_ms: r.u32("get_records_wait_ms")?,
        })
    }
}

impl SettingsChange {
    /// Nothing given.
    pub const NONE: Self = Self {
        retention_hours: None,
        record_bytes_max: None,
        durability: None,
        limits: None,
        mode: None,
        distribution: None,
        warm_throughput_mib: None,
        get_records_wait_ms: None,
    };

    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        let bit = |given: bool, bit: u8| if given { bit } else { 0 };
        out.put_u8(
            bit(self.retention_hours.is_some(), HAS_RETENTION)
                | bit(self.record_bytes_max.is_some(), HAS_RECORD_BYTES)
                | bit(self.durability.is_some(), HAS_DURABILITY)
                | bit(self.limits.is_some(), HAS_LIMITS)
                | bit(self.mode.is_some(), HAS_MODE)
                | bit(self.distribution.is_some(), HAS_DISTRIBUTION)
                | bit(self.warm_throughput_mib.is_some(), HAS_WARM_THROUGHPUT)
                | bit(self.get_records_wait_ms.is_some(), HAS_GET_RECORDS_WAIT),
        );
        let zero = StreamSettings::ZERO;
        StreamSettings {
            retention_hours: self.retention_hours.unwrap_or(zero.retention_hours),
            record_bytes_max: self.record_bytes_max.unwrap_or(zero.record_bytes_max),
            durability: self.durability.unwrap_or(zero.durability),
            limits: self.limits.unwrap_or(zero.limits),
            mode: self.mode.unwrap_or(zero.mode),
            distribution: self.distribution.unwrap_or(zero.distribution),
            warm_throughput_mib: self.warm_throughput_mib.unwrap_or(zero.warm_throughput_mib),
            get_records_wait_ms: self.get_records_wait_ms.unwrap_or(zero.get_records_wait_ms),
        }
        .encode(out);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let given = r.u8("given")?;
        let offset = r.offset();
        let StreamSettings {
            retention_hours,
            record_bytes_max,
            durability,
            limits,
            mode,
            distribution,
            warm_throughput_mib,
            get_records_wait_ms,
        } = StreamSettings::read(r)?;
        let zero = StreamSettings::ZERO;
        let field = Given { bits: given, offset };
        Ok(Self {
            retention_hours: field.read(HAS_RETENTION, retention_hours, zero.retention_hours, "retention_hours")?,
            record_bytes_max: field.read(
                HAS_RECORD_BYTES,
                record_bytes_max,
                zero.record_bytes_max,
                "record_bytes_max",
            )?,
            durability: field.read(HAS_DURABILITY, durability, zero.durability, "durability")?,
            limits: field.read(HAS_LIMITS, limits, zero.limits, "limits")?,
            mode: field.read(HAS_MODE, mode, zero.mode, "mode")?,
            distribution: field.read(HAS_DISTRIBUTION, distribution, zero.distribution, "distribution")?,
            warm_throughput_mib: field.read(
                HAS_WARM_THROUGHPUT,
                warm_throughput_mib,
                zero.warm_throughput_mib,
                "warm_throughput_mib",
            )?,
            get_records_wait_ms: field.read(
                HAS_GET_RECORDS_WAIT,
                get_records_wait_ms,
                zero.get_records_wait_ms,
                "get_records_wait_ms",
            )?,
        })
    }
}

/// Which settings of a change are given, and where they begin.
struct Given {
    bits: u8,
    offset: usize,
}

impl Given {
    /// The value of a setting if it is given; one that is not given and not 0 either is an error.
    fn read<T: PartialEq>(&self, bit: u8, value: T, zero: T, what: &'static str) -> Result<Option<T>, DecodeError> {
        if self.bits & bit != 0 {
            return Ok(Some(value));
        }
        if value == zero { Ok(None) } else { Err(self.refuse(what)) }
    }

    const fn refuse(&self, what: &'static str) -> DecodeError {
        DecodeError::Invalid { what, offset: self.offset, value: self.bits as u64 }
    }
}

impl StreamLimits {
    fn encode<W: Write>(&self, out: &mut W) {
        let (code, limits) = match *self {
            Self::None => (0, CustomLimits::default()),
            Self::Aws => (1, CustomLimits::default()),
            Self::Custom(limits) => (2, limits),
        };
        out.put_u8(code);
        out.put_u64(limits.write_records_s);
        out.put_u64(limits.write_bytes_s);
        out.put_u64(limits.read_calls_s);
        out.put_u64(limits.read_bytes_s);
        out.put_u64(limits.fanout_bytes_s);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.offset();
        let code = r.u8("limits")?;
        let limits = CustomLimits {
            write_records_s: r.u64("write_records_s")?,
            write_bytes_s: r.u64("write_bytes_s")?,
            read_calls_s: r.u64("read_calls_s")?,
            read_bytes_s: r.u64("read_bytes_s")?,
            fanout_bytes_s: r.u64("fanout_bytes_s")?,
        };
        match code {
            0 if limits == CustomLimits::default() => Ok(Self::None),
            1 if limits == CustomLimits::default() => Ok(Self::Aws),
            2 => Ok(Self::Custom(limits)),
            _ => Err(DecodeError::Invalid { what: "limits", offset, value: code.into() }),
        }
    }
}

impl CapacityMode {
    fn encode<W: Write>(&self, out: &mut W) {
        let (code, shards_min, shards_max) = match *self {
            Self::Provisioned => (0, 0, 0),
            Self::OnDemand { shards_min, shards_max } => (1, shards_min, shards_max),
        };
        out.put_u8(code);
        out.put_u32(shards_min);
        out.put_u32(shards_max);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.offset();
        match (r.u8("mode")?, r.u32("shards_min")?, r.u32("shards_max")?) {
            (0, 0, 0) => Ok(Self::Provisioned),
            (1, shards_min, shards_max) => Ok(Self::OnDemand { shards_min, shards_max }),
            (code, ..) => Err(DecodeError::Invalid { what: "mode", offset, value: code.into() }),
        }
    }
}
