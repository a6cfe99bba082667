//! Settings of a stream, as part of other messages.

use super::{read_code, read_durability};
use crate::codec::{DecodeError, Reader, Write};
use crate::types::Durability;

const HAS_RETENTION: u8 = 1;
const HAS_RECORD_BYTES: u8 = 2;
const HAS_DURABILITY: u8 = 4;

/// The settings a stream has.
///
/// ```text
/// 0 u32 retention_hours   4 u32 record_bytes_max   8 u8 durability
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// How long records are kept.
    pub retention_hours: u32,
    /// Largest record, data and key together.
    pub record_bytes_max: u32,
    /// When a put is acknowledged.
    pub durability: Durability,
}

/// Settings to be set: those not given take their default in a new stream and stay as they are in an existing one.
///
/// ```text
/// 0 u8 given (bit 0 retention, 1 record bytes, 2 durability)   1 u32 retention_hours   5 u32 record_bytes_max   9 u8 durability
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
}

impl StreamSettings {
    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        out.put_u32(self.retention_hours);
        out.put_u32(self.record_bytes_max);
        out.put_u8(self.durability as u8);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            retention_hours: r.u32("retention_hours")?,
            record_bytes_max: r.u32("record_bytes_max")?,
            durability: read_durability(r)?,
        })
    }
}

impl SettingsChange {
    pub(super) fn encode<W: Write>(&self, out: &mut W) {
        let bit = |given: bool, bit: u8| if given { bit } else { 0 };
        out.put_u8(
            bit(self.retention_hours.is_some(), HAS_RETENTION)
                | bit(self.record_bytes_max.is_some(), HAS_RECORD_BYTES)
                | bit(self.durability.is_some(), HAS_DURABILITY),
        );
        out.put_u32(self.retention_hours.unwrap_or(0));
        out.put_u32(self.record_bytes_max.unwrap_or(0));
        out.put_u8(self.durability.map_or(0, |level| level as u8));
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let given = read_code(r, "given", |bits| (bits <= 7).then_some(bits))?;
        let number = |r: &mut Reader<'_>, what, bit: u8| {
            let offset = r.offset();
            let value = r.u32(what)?;
            match given & bit != 0 {
                true => Ok(Some(value)),
                false if value == 0 => Ok(None),
                false => Err(DecodeError::Invalid { what, offset, value: value.into() }),
            }
        };
        let retention_hours = number(r, "retention_hours", HAS_RETENTION)?;
        let record_bytes_max = number(r, "record_bytes_max", HAS_RECORD_BYTES)?;
        let durability = read_code(r, "durability", |code| match given & HAS_DURABILITY != 0 {
            true => Durability::from_code(code).map(Some),
            false => (code == 0).then_some(None),
        })?;
        Ok(Self { retention_hours, record_bytes_max, durability })
    }
}
