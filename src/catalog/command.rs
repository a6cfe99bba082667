//! The commands: what the catalogue's log holds, one per record.
//!
//! ```text
//! 0 u8 version   1 u8 kind   2 u16 zero   then by kind, integers little-endian:
//! 1 CreateStream    str16 name   u32 shards   settings   u64 now, in us   u16 workers
//! 2 ActivateStream  u64 stream
//! 3 UpdateStream    u64 stream   u8 fields: 1 retention, 2 record size, 4 durability   those fields, in this order
//! 4 DeleteStream    u64 stream
//! 5 ForgetStream    u64 stream
//! 16.. reserved: 16 split, 17 merge, 18 move a shard; 32 consumers; 48 leases
//!
//! settings: u32 retention, in hours   u32 largest record, in bytes   u8 durability   3 bytes zero
//! ```
//! The frame around it carries the checksum. A kind this build does not know ends the replay with an error: a copy that
//! skipped it would not be a copy any more.

use crate::catalog::error::CatalogError;
use crate::catalog::stream::{Settings, SettingsChange};
use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{
    RECORD_BYTES_MAX, RECORD_BYTES_MIN, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN, SHARDS_PER_STREAM_MAX,
    STREAM_NAME_BYTES_MAX,
};
use crate::types::{Durability, StreamId, WallUs};

/// Version of the encoding.
const VERSION: u8 = 1;

const CREATE_STREAM: u8 = 1;
const ACTIVATE_STREAM: u8 = 2;
const UPDATE_STREAM: u8 = 3;
const DELETE_STREAM: u8 = 4;
const FORGET_STREAM: u8 = 5;

const HAS_RETENTION: u8 = 1;
const HAS_RECORD_BYTES: u8 = 2;
const HAS_DURABILITY: u8 = 4;

/// A change of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Adds a stream; see [`CreateStream`].
    CreateStream(CreateStream),
    /// Opens a stream, once the logs of all its shards exist on disk.
    ActivateStream {
        /// The stream; it is being created.
        stream: StreamId,
    },
    /// Changes settings of a stream.
    UpdateStream {
        /// The stream; it is active.
        stream: StreamId,
        /// At least one new value.
        change: SettingsChange,
    },
    /// Takes a stream out of service and starts the freeing of its storage.
    DeleteStream {
        /// The stream; it is active or being created.
        stream: StreamId,
    },
    /// Removes what is left of a stream, once the storage of all its shards is freed.
    ForgetStream {
        /// The stream; it is being deleted.
        stream: StreamId,
    },
}

/// Adds a stream with shards of equal ranges, placed on the least loaded workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateStream {
    /// Its name; no other stream has it.
    pub name: String,
    /// Number of its shards.
    pub shard_count: u32,
    /// Its settings.
    pub settings: Settings,
    /// When it is created.
    pub now: WallUs,
    /// Number of workers of the node.
    pub workers: u16,
}

impl Command {
    /// Checks the values against the limits of this build. For commands on their way into the log, not out of it.
    pub fn check_limits(&self) -> Result<(), CatalogError> {
        match self {
            Self::CreateStream(create) => {
                check_name(&create.name)?;
                if create.shard_count == 0 || create.shard_count > SHARDS_PER_STREAM_MAX {
                    return Err(CatalogError::ShardCount { count: create.shard_count });
                }
                if create.workers == 0 {
                    return Err(CatalogError::NoWorkers);
                }
                check_retention(create.settings.retention_hours)?;
                check_record_bytes(create.settings.record_bytes_max)
            }
            Self::UpdateStream { change, .. } => {
                if change.is_empty() {
                    return Err(CatalogError::NothingToChange);
                }
                change.retention_hours.map_or(Ok(()), check_retention)?;
                change.record_bytes_max.map_or(Ok(()), check_record_bytes)
            }
            Self::ActivateStream { .. } | Self::DeleteStream { .. } | Self::ForgetStream { .. } => Ok(()),
        }
    }

    /// The bytes of the command.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        self.encode_to(&mut out);
        out
    }

    /// Appends the bytes of the command. Panics when a name is longer than 65,535 bytes: limits were checked.
    pub fn encode_to(&self, out: &mut impl Write) {
        let (kind, stream) = match self {
            Self::CreateStream(create) => {
                put_head(out, CREATE_STREAM);
                out.put_bytes16(create.name.as_bytes());
                out.put_u32(create.shard_count);
                put_settings(out, &create.settings);
                out.put_u64(create.now.0);
                out.put_u16(create.workers);
                return;
            }
            Self::UpdateStream { stream, change } => {
                put_head(out, UPDATE_STREAM);
                out.put_u64(stream.0);
                put_change(out, change);
                return;
            }
            Self::ActivateStream { stream } => (ACTIVATE_STREAM, stream),
            Self::DeleteStream { stream } => (DELETE_STREAM, stream),
            Self::ForgetStream { stream } => (FORGET_STREAM, stream),
        };
        put_head(out, kind);
        out.put_u64(stream.0);
    }

    /// Reads a command. The input holds nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.u8("command version")?;
        if version != VERSION {
            return Err(DecodeError::Invalid { what: "command version", offset: 0, value: version.into() });
        }
        let kind = r.u8("command kind")?;
        zero(r.u16("command reserved")?.into(), "command reserved", 2)?;
        let command = match kind {
            CREATE_STREAM => Self::CreateStream(read_create(&mut r)?),
            ACTIVATE_STREAM => Self::ActivateStream { stream: read_stream(&mut r)? },
            UPDATE_STREAM => Self::UpdateStream { stream: read_stream(&mut r)?, change: read_change(&mut r)? },
            DELETE_STREAM => Self::DeleteStream { stream: read_stream(&mut r)? },
            FORGET_STREAM => Self::ForgetStream { stream: read_stream(&mut r)? },
            value => return Err(DecodeError::Invalid { what: "command kind", offset: 1, value: value.into() }),
        };
        r.end()?;
        Ok(command)
    }
}

/// Checks a stream name: 1 to 128 of the characters a-z, A-Z, 0-9, `_`, `.`, `-`, as in Kinesis.
pub fn check_name(name: &str) -> Result<(), CatalogError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    if name.is_empty() || name.len() > STREAM_NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(CatalogError::NameInvalid);
    }
    Ok(())
}

fn check_retention(hours: u32) -> Result<(), CatalogError> {
    if !(RETENTION_HOURS_MIN..=RETENTION_HOURS_MAX).contains(&hours) {
        return Err(CatalogError::Retention { hours });
    }
    Ok(())
}

fn check_record_bytes(bytes: u32) -> Result<(), CatalogError> {
    if !(RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(&bytes) {
        return Err(CatalogError::RecordBytes { bytes });
    }
    Ok(())
}

fn put_head(out: &mut impl Write, kind: u8) {
    out.put(&[VERSION, kind, 0, 0]);
}

pub(super) fn put_settings(out: &mut impl Write, settings: &Settings) {
    out.put_u32(settings.retention_hours);
    out.put_u32(settings.record_bytes_max);
    out.put(&[settings.durability as u8, 0, 0, 0]);
}

pub(super) fn read_settings(r: &mut Reader<'_>) -> Result<Settings, DecodeError> {
    let retention_hours = r.u32("retention")?;
    let record_bytes_max = r.u32("record size")?;
    let durability = read_durability(r)?;
    let offset = r.offset();
    for byte in r.take(3, "settings reserved")? {
        zero((*byte).into(), "settings reserved", offset)?;
    }
    Ok(Settings { retention_hours, record_bytes_max, durability })
}

fn put_change(out: &mut impl Write, change: &SettingsChange) {
    let field = |present: bool, bit: u8| if present { bit } else { 0 };
    out.put_u8(
        field(change.retention_hours.is_some(), HAS_RETENTION)
            | field(change.record_bytes_max.is_some(), HAS_RECORD_BYTES)
            | field(change.durability.is_some(), HAS_DURABILITY),
    );
    if let Some(hours) = change.retention_hours {
        out.put_u32(hours);
    }
    if let Some(bytes) = change.record_bytes_max {
        out.put_u32(bytes);
    }
    if let Some(durability) = change.durability {
        out.put_u8(durability as u8);
    }
}

fn read_change(r: &mut Reader<'_>) -> Result<SettingsChange, DecodeError> {
    let offset = r.offset();
    let fields = r.u8("update fields")?;
    if fields == 0 || fields & !(HAS_RETENTION | HAS_RECORD_BYTES | HAS_DURABILITY) != 0 {
        return Err(DecodeError::Invalid { what: "update fields", offset, value: fields.into() });
    }
    let has = |bit| fields & bit != 0;
    Ok(SettingsChange {
        retention_hours: has(HAS_RETENTION).then(|| r.u32("retention")).transpose()?,
        record_bytes_max: has(HAS_RECORD_BYTES).then(|| r.u32("record size")).transpose()?,
        durability: has(HAS_DURABILITY).then(|| read_durability(r)).transpose()?,
    })
}

fn read_create(r: &mut Reader<'_>) -> Result<CreateStream, DecodeError> {
    let offset = r.offset();
    let name = r.str16(STREAM_NAME_BYTES_MAX, "stream name")?.to_owned();
    if check_name(&name).is_err() {
        return Err(DecodeError::Invalid { what: "stream name", offset, value: name.len() as u64 });
    }
    let shard_count = positive(r, "shard count", |r, what| r.u32(what))?;
    let settings = read_settings(r)?;
    let now = WallUs(r.u64("creation time")?);
    let workers = positive(r, "workers", |r, what| r.u16(what))?;
    Ok(CreateStream { name, shard_count, settings, now, workers })
}

fn read_stream(r: &mut Reader<'_>) -> Result<StreamId, DecodeError> {
    r.u64("stream").map(StreamId)
}

fn read_durability(r: &mut Reader<'_>) -> Result<Durability, DecodeError> {
    let offset = r.offset();
    let code = r.u8("durability")?;
    Durability::from_code(code).ok_or(DecodeError::Invalid { what: "durability", offset, value: code.into() })
}

fn positive<'a, T: Default + PartialEq>(
    r: &mut Reader<'a>,
    what: &'static str,
    read: impl FnOnce(&mut Reader<'a>, &'static str) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let offset = r.offset();
    let value = read(r, what)?;
    if value == T::default() {
        return Err(DecodeError::Invalid { what, offset, value: 0 });
    }
    Ok(value)
}

pub(super) const fn zero(value: u64, what: &'static str, offset: usize) -> Result<(), DecodeError> {
    match value {
        0 => Ok(()),
        value => Err(DecodeError::Invalid { what, offset, value }),
    }
}
