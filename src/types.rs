//! The nouns every module shares, as types that cannot be mixed up.
//!
//! An offset, a frame index, a file position and a byte size are all `u64` to the machine and four different things to
//! a log. Each is a newtype here; conversions are written out where they happen.

#![forbid(unsafe_code)]

use std::fmt;

mod md5;
mod slab;

pub use self::slab::Slab;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The value `n` steps further on.
            ///
            /// Panics when the sum leaves `u64`: at a billion steps a second that takes 584 years.
            #[must_use]
            pub const fn plus(self, n: u64) -> Self {
                match self.0.checked_add(n) {
                    Some(sum) => Self(sum),
                    None => panic!("a 64-bit counter ran over"),
                }
            }
        }
    };
}

number! {
    /// Position of a record in its shard: 0, 1, 2, ... dense.
    Offset
}
number! {
    /// Position of a frame in its shard's log: +1 per frame, frames without records included.
    FrameIndex
}
number! {
    /// One incarnation of a shard (or of the catalogue). Never reused, so that a stale frame is never taken for a live one.
    GroupId
}
number! {
    /// The reign a frame was written in. Grows by one each time a node opens its data directory.
    Term
}
number! {
    /// The running hash that ties a frame to its predecessor.
    Chain
}
number! {
    /// A position in a file, in bytes.
    FilePos
}
number! {
    /// Wall-clock time: microseconds since the Unix epoch.
    WallUs
}
number! {
    /// Monotonic time: microseconds since an arbitrary point. Only differences mean something.
    MonoUs
}
number! {
    /// An idempotent producer, as chosen by itself. 0 means none.
    ProducerId
}

/// The group of the catalogue's own log.
pub const CATALOG_GROUP: GroupId = GroupId(1);

impl WallUs {
    /// Milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn second(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl MonoUs {
    /// Microseconds from `earlier` to `self`, 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: MonoUs) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A worker: one pinned thread with one executor. Counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A shard's number in its stream, shown as `shardId-000000000007`. Numbered by creation, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNumber(pub u32);

impl fmt::Display for ShardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shardId-{:012}", self.0)
    }
}

/// A stream, as the catalogue numbers them. Never reused; names are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a partition key lands: MD5 of the key as a big-endian 128-bit number, as in Kinesis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

impl HashKey {
    /// The hash key of a partition key.
    #[must_use]
    pub fn of(partition_key: &[u8]) -> Self {
        Self(md5::one(partition_key))
    }

    /// Appends the hash keys of many partition keys, in their order: several times faster than one by one, and the more so
    /// the fewer are longer than 55 bytes.
    pub fn of_each<'a>(partition_keys: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<Self>) {
        let mut keys = partition_keys.into_iter();
        let mut group: [&[u8]; md5::LANES] = [&[]; md5::LANES];
        loop {
            let mut count = 0;
            for (place, key) in group.iter_mut().zip(&mut keys) {
                *place = key;
                count += 1;
            }
            out.extend(md5::each(&group[..count])[..count].iter().copied().map(Self));
            if count < group.len() {
                return;
            }
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a put is acknowledged, relative to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Durability {
    /// After the bytes were synced to the disk. Nothing acknowledged is lost by a crash or a power failure.
    #[default]
    Fsync = 0,
    /// After the bytes were handed to the disk; a sync follows within [`crate::limits::SYNC_INTERVAL_US`]. A killed
    /// process loses nothing, a power failure may lose the last interval.
    Interval = 1,
}

impl Durability {
    /// The level with this code, as stored and sent.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Fsync),
            1 => Some(Self::Interval),
            _ => None,
        }
    }

    /// The level's name in settings, answers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Interval => "interval",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The stamp an idempotent producer puts on a batch: stored once, however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerStamp {
    /// Who sends; never 0.
    pub id: ProducerId,
    /// The producer's incarnation. A higher epoch fences off all lower ones.
    pub epoch: u32,
    /// Number of the batch in this shard and epoch: 0, 1, 2, ...
    pub seq: u32,
}

/// What a shard takes in, as averages that fade, and where in its range of hash keys the bytes fall. Goes from the shard's
/// worker to whoever decides about splits and merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes a second over about the last 15 seconds.
    pub bytes_s: u64,
    /// Records a second over about the last 15 seconds.
    pub records_s: u64,
    /// Bytes a second over about the last 15 minutes; starts at 0 and gets there as slowly.
    pub bytes_s_slow: u64,
    /// Records a second over about the last 15 minutes; starts at 0 and gets there as slowly.
    pub records_s_slow: u64,
    /// Samples by bytes over about the last minute and a half, in equal parts of the shard's range.
    pub parts: [u32; Traffic::PARTS],
    /// A key that holds much of the traffic. A key with more than half of it is always found.
    pub hot: Option<HotKey>,
}

/// A hash key that stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotKey {
    /// The key.
    pub key: HashKey,
    /// Its share of the shard's bytes, in thousandths.
    pub permille: u16,
}

impl Traffic {
    /// Parts that a shard's range is divided into.
    pub const PARTS: usize = 64;

    /// No traffic at all.
    pub const NONE: Self =
        Self { bytes_s: 0, records_s: 0, bytes_s_slow: 0, records_s_slow: 0, parts: [0; Self::PARTS], hot: None };

    /// Hash keys in one part of the range from `first` to `last`, both included; the last part has what is left, and a
    /// range of fewer keys than there are parts leaves the last ones empty.
    #[must_use]
    pub const fn part_width(first: HashKey, last: HashKey) -> u128 {
        // One more than the exact quotient of the distance, so that the last key falls into part 63 and not into part 64.
        (last.0 - first.0) / Self::PARTS as u128 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the hash key is the one Kinesis computes (MD5, big-endian), so that keys land on the same shards.
    #[test]
    fn hash_key_is_big_endian_md5() {
        // RFC 1321, appendix A.5: MD5("a").
        assert_eq!(HashKey::of(b"a").0, 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }

    /// Goal: many hash keys at a time are those of each, in order, whatever their number.
    #[test]
    fn many_hash_keys_are_those_of_each() {
        let keys: Vec<_> = (0..100).map(|n| "k".repeat(n)).collect();
        for count in 0..keys.len() {
            let mut hashes = vec![HashKey(7)];
            HashKey::of_each(keys[..count].iter().map(|key| key.as_bytes()), &mut hashes);
            let each: Vec<_> = keys[..count].iter().map(|key| HashKey::of(key.as_bytes())).collect();
            assert_eq!(hashes[0], HashKey(7));
            assert_eq!(hashes[1..], each);
        }
    }

    /// Goal: names and codes of durability levels agree in both directions.
    #[test]
    fn durability_codes_round_trip() {
        for level in [Durability::Fsync, Durability::Interval] {
            assert_eq!(Durability::from_code(level as u8), Some(level));
        }
        assert_eq!(Durability::from_code(2), None);
    }
}
