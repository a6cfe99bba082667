//! Fields that commands and snapshots share, as bytes.
//!
//! ```text
//! settings: u32 retention, in hours   u32 largest record, in bytes   u8 durability
//!           u8 limits: 0 none, 1 aws, 2 custom   u8 mode: 0 provisioned, 1 on-demand   u8 distribution: 0 keys, 1 auto
//!           if custom:    u32 records/s in   u64 bytes/s in   u32 gets/s   u64 bytes/s out   u64 bytes/s per consumer
//!           if on-demand: u32 fewest shards  u32 most shards  u32 warm throughput, in MiB/s
//!           u32 wait of an empty GetRecords, in ms
//! tags:     u16 count, by key; each: str16 key   str16 value
//! option:   u8 0 or 1   the field, if 1
//! list:     u32 count   that many fields
//! ```

use crate::catalog::metadata::Tags;
use crate::catalog::settings::{Bounds, CustomLimits, Distribution, Limits, Mode, Settings, SettingsChange};
use crate::codec::{DecodeError, Reader, Write};
use crate::types::Durability;

/// Longest text: what a length of two bytes can say. Limits are for what enters the log, not for what comes out.
pub(super) const TEXT_MAX: usize = u16::MAX as usize;

const LIMITS_NONE: u8 = 0;
const LIMITS_AWS: u8 = 1;
const LIMITS_CUSTOM: u8 = 2;

const PROVISIONED: u8 = 0;
const ON_DEMAND: u8 = 1;

const HAS_RETENTION: u8 = 1;
const HAS_RECORD_BYTES: u8 = 2;
const HAS_DURABILITY: u8 = 4;
const HAS_LIMITS: u8 = 8;
const HAS_MODE: u8 = 16;
const HAS_DISTRIBUTION: u8 = 32;
const HAS_WARM_THROUGHPUT: u8 = 64;
const HAS_GET_RECORDS_WAIT: u8 = 128;

pub(super) fn put_settings(out: &mut impl Write, settings: &Settings) {
    out.put_u32(settings.retention_hours);
    out.put_u32(settings.record_bytes_max);
    out.put_u8(settings.durability as u8);
    out.put_u8(limits_code(&settings.limits));
    out.put_u8(mode_code(settings.mode));
    out.put_u8(settings.distribution as u8);
    put_custom_limits(out, &settings.limits);
    put_bounds(out, settings.mode);
    if settings.mode.is_on_demand() {
        out.put_u32(settings.warm_throughput_mib);
    }
    out.put_u32(settings.get_records_wait_ms);
}

/// Settings of any version: those of version 1 end with three bytes of zeros, which mean the same; those of version 2 have
/// no wait.
pub(super) fn read_settings(r: &mut Reader<'_>, version: u16) -> Result<Settings, DecodeError> {
    let retention_hours = r.u32("retention")?;
    let record_bytes_max = r.u32("record size")?;
    let durability = read_durability(r)?;
    if version == 1 {
        read_zeros(r, 3, "settings reserved")?;
        return Ok(Settings { retention_hours, record_bytes_max, durability, ..Settings::default() });
    }
    let limits_at = r.offset();
    let limits = r.u8("limits")?;
    let mode_at = r.offset();
    let mode = r.u8("mode")?;
    let distribution_at = r.offset();
    let distribution = read_distribution(r)?;
    let limits = read_custom_limits(r, limits, limits_at)?;
    let mode = read_bounds(r, mode, mode_at)?;
    let warm_throughput_mib = if mode.is_on_demand() { r.u32("warm throughput")? } else { 0 };
    let get_records_wait_ms = if version < 3 { 0 } else { r.u32("get records wait")? };
    let settings = Settings {
        retention_hours,
        record_bytes_max,
        durability,
        limits,
        mode,
        distribution,
        warm_throughput_mib,
        get_records_wait_ms,
    };
    match settings.conflict() {
        None => Ok(settings),
        Some(_) => Err(DecodeError::Invalid { what: "distribution", offset: distribution_at, value: 1 }),
    }
}

pub(super) fn put_change(out: &mut impl Write, change: &SettingsChange) {
    let field = |present: bool, bit: u8| if present { bit } else { 0 };
    out.put_u8(
        field(change.retention_hours.is_some(), HAS_RETENTION)
            | field(change.record_bytes_max.is_some(), HAS_RECORD_BYTES)
            | field(change.durability.is_some(), HAS_DURABILITY)
            | field(change.limits.is_some(), HAS_LIMITS)
            | field(change.mode.is_some(), HAS_MODE)
            | field(change.distribution.is_some(), HAS_DISTRIBUTION)
            | field(change.warm_throughput_mib.is_some(), HAS_WARM_THROUGHPUT)
            | field(change.get_records_wait_ms.is_some(), HAS_GET_RECORDS_WAIT),
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
    if let Some(limits) = change.limits {
        out.put_u8(limits_code(&limits));
        put_custom_limits(out, &limits);
    }
    if let Some(mode) = change.mode {
        out.put_u8(mode_code(mode));
        put_bounds(out, mode);
    }
    if let Some(distribution) = change.distribution {
        out.put_u8(distribution as u8);
    }
    if let Some(mib) = change.warm_throughput_mib {
        out.put_u32(mib);
    }
    if let Some(ms) = change.get_records_wait_ms {
        out.put_u32(ms);
    }
}

pub(super) fn read_change(r: &mut Reader<'_>, version: u16) -> Result<SettingsChange, DecodeError> {
    let known = match version {
        1 => HAS_RETENTION | HAS_RECORD_BYTES | HAS_DURABILITY,
        2 => HAS_GET_RECORDS_WAIT - 1,
        _ => u8::MAX,
    };
    let offset = r.offset();
    let fields = r.u8("update fields")?;
    if fields == 0 || fields & !known != 0 {
        return Err(DecodeError::Invalid { what: "update fields", offset, value: fields.into() });
    }
    let has = |bit| fields & bit != 0;
    Ok(SettingsChange {
        retention_hours: has(HAS_RETENTION).then(|| r.u32("retention")).transpose()?,
        record_bytes_max: has(HAS_RECORD_BYTES).then(|| r.u32("record size")).transpose()?,
        durability: has(HAS_DURABILITY).then(|| read_durability(r)).transpose()?,
        limits: has(HAS_LIMITS)
            .then(|| {
                let offset = r.offset();
                let code = r.u8("limits")?;
                read_custom_limits(r, code, offset)
            })
            .transpose()?,
        mode: has(HAS_MODE)
            .then(|| {
                let offset = r.offset();
                let code = r.u8("mode")?;
                read_bounds(r, code, offset)
            })
            .transpose()?,
        distribution: has(HAS_DISTRIBUTION).then(|| read_distribution(r)).transpose()?,
        warm_throughput_mib: has(HAS_WARM_THROUGHPUT).then(|| r.u32("warm throughput")).transpose()?,
        get_records_wait_ms: has(HAS_GET_RECORDS_WAIT).then(|| r.u32("get records wait")).transpose()?,
    })
}

const fn limits_code(limits: &Limits) -> u8 {
    match limits {
        Limits::None => LIMITS_NONE,
        Limits::Aws => LIMITS_AWS,
        Limits::Custom(_) => LIMITS_CUSTOM,
    }
}

fn put_custom_limits(out: &mut impl Write, limits: &Limits) {
    if let Limits::Custom(limits) = limits {
        out.put_u32(limits.write_records_s);
        out.put_u64(limits.write_bytes_s);
        out.put_u32(limits.read_calls_s);
        out.put_u64(limits.read_bytes_s);
        out.put_u64(limits.fanout_bytes_s);
    }
}

fn read_custom_limits(r: &mut Reader<'_>, code: u8, offset: usize) -> Result<Limits, DecodeError> {
    match code {
        LIMITS_NONE => Ok(Limits::None),
        LIMITS_AWS => Ok(Limits::Aws),
        LIMITS_CUSTOM => Ok(Limits::Custom(CustomLimits {
            write_records_s: r.u32("records in")?,
            write_bytes_s: r.u64("bytes in")?,
            read_calls_s: r.u32("gets")?,
            read_bytes_s: r.u64("bytes out")?,
            fanout_bytes_s: r.u64("bytes per consumer")?,
        })),
        value => Err(DecodeError::Invalid { what: "limits", offset, value: value.into() }),
    }
}

const fn mode_code(mode: Mode) -> u8 {
    match mode {
        Mode::Provisioned => PROVISIONED,
        Mode::OnDemand(_) => ON_DEMAND,
    }
}

fn put_bounds(out: &mut impl Write, mode: Mode) {
    if let Mode::OnDemand(bounds) = mode {
        out.put_u32(bounds.shards_min);
        out.put_u32(bounds.shards_max);
    }
}

fn read_bounds(r: &mut Reader<'_>, code: u8, offset: usize) -> Result<Mode, DecodeError> {
    match code {
        PROVISIONED => Ok(Mode::Provisioned),
        ON_DEMAND => {
            let offset = r.offset();
            let bounds = Bounds { shards_min: r.u32("fewest shards")?, shards_max: r.u32("most shards")? };
            if !bounds.is_valid() {
                return Err(DecodeError::Invalid { what: "bounds", offset, value: bounds.shards_min.into() });
            }
            Ok(Mode::OnDemand(bounds))
        }
        value => Err(DecodeError::Invalid { what: "mode", offset, value: value.into() }),
    }
}

fn read_distribution(r: &mut Reader<'_>) -> Result<Distribution, DecodeError> {
    let offset = r.offset();
    let code = r.u8("distribution")?;
    Distribution::from_code(code).ok_or(DecodeError::Invalid { what: "distribution", offset, value: code.into() })
}

fn read_durability(r: &mut Reader<'_>) -> Result<Durability, DecodeError> {
    let offset = r.offset();
    let code = r.u8("durability")?;
    Durability::from_code(code).ok_or(DecodeError::Invalid { what: "durability", offset, value: code.into() })
}

pub(super) fn put_tags(out: &mut impl Write, tags: &Tags) {
    out.put_u16(u16::try_from(tags.len()).expect("the number of tags is limited"));
    for (key, value) in tags {
        out.put_bytes16(key.as_bytes());
        out.put_bytes16(value.as_bytes());
    }
}

pub(super) fn read_tags(r: &mut Reader<'_>) -> Result<Tags, DecodeError> {
    let mut tags = Tags::new();
    for n in 0..r.u16("tags")? {
        let offset = r.offset();
        let key = read_text(r, "tag key")?;
        if tags.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(DecodeError::Invalid { what: "tag key", offset, value: n.into() });
        }
        tags.insert(key, read_text(r, "tag value")?);
    }
    Ok(tags)
}

pub(super) fn read_text(r: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    r.str16(TEXT_MAX, what).map(str::to_owned)
}

pub(super) fn put_option<W: Write, T>(out: &mut W, field: Option<T>, put: impl FnOnce(&mut W, T)) {
    out.put_bool(field.is_some());
    if let Some(field) = field {
        put(out, field);
    }
}

pub(super) fn put_text_option(out: &mut impl Write, text: Option<&str>) {
    put_option(out, text, |out, text| out.put_bytes16(text.as_bytes()));
}

pub(super) fn read_option<'a, T>(
    r: &mut Reader<'a>,
    what: &'static str,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    r.bool(what)?.then(|| read(r)).transpose()
}

pub(super) fn read_text_option(r: &mut Reader<'_>, what: &'static str) -> Result<Option<String>, DecodeError> {
    read_option(r, what, |r| read_text(r, what))
}

pub(super) fn put_list<W: Write, T>(out: &mut W, list: &[T], put: impl Fn(&mut W, &T)) {
    out.put_u32(u32::try_from(list.len()).expect("the length of lists is limited"));
    list.iter().for_each(|field| put(out, field));
}

/// A list of fields that take at least `each` bytes.
pub(super) fn read_list<'a, T>(
    r: &mut Reader<'a>,
    each: usize,
    what: &'static str,
    read: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = r.count32(each, usize::MAX, what)?;
    (0..count).map(|_| read(r)).collect()
}

pub(super) fn read_zeros(r: &mut Reader<'_>, n: usize, what: &'static str) -> Result<(), DecodeError> {
    let offset = r.offset();
    r.take(n, what)?.iter().try_for_each(|byte| zero((*byte).into(), what, offset))
}

pub(super) const fn zero(value: u64, what: &'static str, offset: usize) -> Result<(), DecodeError> {
    match value {
        0 => Ok(()),
        value => Err(DecodeError::Invalid { what, offset, value }),
    }
}
