//! What a run does, described once for every driver: as TOML, or as flags that change a preset.
//!
//! Every key has a default, unknown keys are refused, and [`Workload::check`] holds all values against each other before
//! anything is started.

pub mod keys;
pub mod presets;
pub mod schedule;
pub mod sizes;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

pub use keys::Keys;
pub use schedule::Schedule;
pub use sizes::Sizes;

use crate::payload::HEADER_BYTES;
use crate::units::{Size, Time};

/// Watermarks that all verifiers of a run together may hold: producers × keys × groups. At 8 bytes each, 64 MiB.
pub const WATERMARKS_MAX: u64 = 8 << 20;

/// A workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Its name, shown in every output.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// How long is measured, warm-up not counted.
    pub duration: Time,
    /// How long the same load runs before anything is counted. Records of this time are verified, not measured.
    pub warmup: Time,
    /// How long to wait, when the load has ended, for acknowledgements and for readers to get everything.
    pub drain: Time,
    /// Seed of all randomness: arrival times, keys, sizes.
    pub seed: u64,
    /// The stream that is used.
    pub stream: Stream,
    /// When records are sent.
    pub load: Load,
    /// What they are like.
    pub records: Records,
    /// How they are put together before they are sent.
    pub batch: Batch,
    /// Who reads them, and how.
    pub read: Read,
    /// What was written before the readers start.
    pub backlog: Option<Backlog>,
    /// What is done to the stream meanwhile.
    pub changes: Option<Changes>,
    /// What is done to the node meanwhile.
    #[serde(rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// When the generator's own lateness makes the run invalid.
    pub validity: Validity,
}

/// The stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// Shards it is created with.
    pub shards: u32,
    /// The durability it is created with; the server's default if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// The largest record it takes; as large as the records need if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_bytes_max: Option<Size>,
}

/// When a put is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// After the bytes were synced.
    Fsync,
    /// After the bytes were handed to the disk; a sync follows.
    Interval,
}

/// When records are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Logical producers, each with sequences of its own.
    pub producers: u32,
    /// Generator threads they are spread over.
    pub threads: u32,
    /// Open loop: a time for each record, kept whatever the server does. Ignored in closed loop.
    pub schedule: Schedule,
    /// Closed loop: the next record is sent when an earlier one is acknowledged. Never the default; marked in every output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// A closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Records unacknowledged at a time, all producers of a thread together.
    pub in_flight: u32,
}

/// What records are like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Records {
    /// Partition keys.
    pub keys: Keys,
    /// Bytes of data.
    pub size: Sizes,
}

/// How records are put together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// By whom.
    pub mode: BatchMode,
    /// A batch is closed at this size.
    pub bytes: Size,
    /// A batch is closed at this number of records.
    pub records: u32,
    /// How long a batch waits for more records.
    pub linger: Time,
    /// Bytes that may be queued or unacknowledged in a producer's client; beyond it the server holds the producer back.
    pub buffer: Size,
    /// How long a record may take to its acknowledgement before it counts as an error.
    pub timeout: Time,
}

/// Who makes batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchMode {
    /// The client library, with stamps, resends and its own batching: what applications use.
    #[default]
    Client,
    /// The generator, in requests without resends: what a server can take at most.
    Raw,
}

/// Who reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Read {
    /// Groups of consumers; each group reads the whole stream with one consumer per shard. 0 reads nothing and verifies nothing.
    pub groups: u32,
    /// Threads the groups are spread over.
    pub threads: u32,
    /// How they read.
    pub mode: ReadMode,
    /// Mode `poll`: time from one request to the next.
    pub interval: Time,
    /// Mode `long-poll`: how long the server may wait for records.
    pub wait: Time,
    /// Bytes of one answer, or the credit of a push.
    pub bytes: Size,
}

/// How a consumer reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadMode {
    /// Asks at an interval; the server answers at once.
    Poll,
    /// Asks; the server waits for records.
    LongPoll,
    /// Is sent records as they come.
    #[default]
    Push,
}

/// What is written, as fast as it goes, before measuring starts; the groups begin at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backlog {
    /// Bytes of data.
    pub bytes: Size,
}

/// Changes of the stream while it is in use, one after the other, each drawn from the kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// From the beginning of one to that of the next; later if it takes longer.
    pub every: Time,
    /// What is done. A kind that is named twice is drawn twice as often.
    pub kinds: Vec<ChangeKind>,
    /// Splits and scalings lead to so many open shards at most.
    pub shards_max: u32,
}

/// A change of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A shard is split in two.
    Split,
    /// Two adjacent shards are merged.
    Merge,
    /// The stream gets another number of shards.
    Scale,
    /// A shard goes to another worker.
    Move,
    /// Records are kept for another time: 24 to 48 hours.
    Retention,
    /// Limits come, with which everything is metered and nothing refused, or go.
    Limits,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Split, Self::Merge, Self::Scale, Self::Move, Self::Retention, Self::Limits];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Merge => "merge",
            Self::Scale => "scale",
            Self::Move => "move",
            Self::Retention => "retention",
            Self::Limits => "limits",
        }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self { every: Time::from_secs(1), kinds: ChangeKind::ALL.to_vec(), shards_max: 32 }
    }
}

/// Something done to a node that the run started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// SIGKILL, then a start with the same arguments on the same data.
    KillRestart {
        /// When, counted from the end of the warm-up.
        at: Time,
        /// How long it stays down.
        #[serde(default)]
        down: Time,
    },
}

impl Fault {
    /// When it happens, counted from the end of the warm-up.
    #[must_use]
    pub const fn at(&self) -> Time {
        match self {
            Self::KillRestart { at, .. } => *at,
        }
    }
}

/// When the generator's own lateness makes a run invalid: see README.md, "INVALID".
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Validity {
    /// A record sent this much after its time, with nobody holding the generator back, is late.
    pub late_after: Time,
    /// The run is invalid if a larger share of the records is late.
    pub late_share: f64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            name: "custom".to_owned(),
            description: String::new(),
            duration: Time::from_secs(10),
            warmup: Time::from_secs(2),
            drain: Time::from_secs(15),
            seed: 1,
            stream: Stream::default(),
            load: Load::default(),
            records: Records::default(),
            batch: Batch::default(),
            read: Read::default(),
            backlog: None,
            changes: None,
            faults: Vec::new(),
            validity: Validity::default(),
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { shards: 4, durability: None, record_bytes_max: None }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self { producers: 4, threads: 1, schedule: Schedule::default(), closed: None }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            mode: BatchMode::Client,
            bytes: Size(512 << 10),
            records: 65_536,
            linger: Time(0),
            buffer: Size(32 << 20),
            timeout: Time::from_secs(45),
        }
    }
}

impl Default for Read {
    fn default() -> Self {
        Self {
            groups: 1,
            threads: 1,
            mode: ReadMode::Push,
            interval: Time::from_millis(200),
            wait: Time::from_secs(10),
            bytes: Size(4 << 20),
        }
    }
}

impl Default for Validity {
    fn default() -> Self {
        Self { late_after: Time::from_millis(1), late_share: 0.01 }
    }
}

impl Workload {
    /// Parses a workload from TOML and checks it.
    pub fn from_toml(text: &str) -> Result<Self> {
        let workload: Self = toml::from_str(text)?;
        workload.check()?;
        Ok(workload)
    }

    /// The same workload with values set by path, as `load.schedule.rate=5k`. Checked as a whole.
    pub fn with(&self, changes: &[String]) -> Result<Self> {
        let mut table = toml::Table::try_from(self)?;
        for change in changes {
            let (path, value) = change.split_once('=').with_context(|| format!("`{change}` is not PATH=VALUE"))?;
            set(&mut table, path.trim(), value.trim()).with_context(|| format!("`{change}`"))?;
        }
        let workload: Self = toml::Value::Table(table).try_into()?;
        workload.check()?;
        Ok(workload)
    }

    /// Whether the load is a closed loop.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.load.closed.is_some()
    }

    /// Warm-up and measured time together.
    #[must_use]
    pub const fn load_time(&self) -> Time {
        Time(self.warmup.0 + self.duration.0)
    }

    /// Holds the values against each other.
    pub fn check(&self) -> Result<()> {
        let load = &self.load;
        ensure!(self.duration.0 > 0, "duration: nothing is measured in no time");
        ensure!(self.stream.shards > 0, "stream.shards: a stream has at least one shard");
        ensure!(load.producers > 0, "load.producers: nobody sends");
        ensure!(
            (1..=load.producers).contains(&load.threads),
            "load.threads: {} threads for {} producers; use 1 to one per producer",
            load.threads,
            load.producers
        );
        ensure!(load.producers <= 10_000, "load.producers: at most 10,000");
        match load.closed {
            Some(closed) => ensure!(closed.in_flight > 0, "load.closed.in_flight: nothing would ever be sent"),
            None => load.schedule.check().context("load.schedule")?,
        }
        self.records.keys.check().context("records.keys")?;
        self.records.size.check().context("records.size")?;
        let smallest = self.records.size.smallest();
        ensure!(
            smallest >= HEADER_BYTES as u64,
            "records.size: {smallest} bytes are too few: what makes a record verifiable takes {HEADER_BYTES}"
        );
        ensure!(self.batch.bytes.0 > 0 && self.batch.records > 0, "batch: an empty batch is never sent");
        ensure!(self.batch.buffer.0 > 0 && self.batch.timeout.0 > 0, "batch: buffer and timeout are more than nothing");
        ensure!(
            self.read.groups == 0 || (1..=self.read.groups).contains(&self.read.threads),
            "read.threads: {} threads for {} groups; use 1 to one per group",
            self.read.threads,
            self.read.groups
        );
        ensure!(self.read.mode != ReadMode::Poll || self.read.interval.0 > 0, "read.interval: polling without a pause");
        ensure!(self.read.bytes.0 > 0, "read.bytes: more than nothing");
        ensure!(self.backlog.is_none() || self.read.groups > 0, "backlog: nobody reads it");
        let producers = u64::from(load.producers) + u64::from(self.backlog.is_some());
        let watermarks = producers * u64::from(self.records.keys.count()) * u64::from(self.read.groups + 1);
        ensure!(
            watermarks <= WATERMARKS_MAX,
            "producers × keys × (groups + 1) is {watermarks}, more than {WATERMARKS_MAX}: verifying would take too much memory"
        );
        if let Some(changes) = &self.changes {
            ensure!(!changes.kinds.is_empty(), "changes.kinds: nothing would be changed");
            ensure!(changes.every.0 > 0, "changes.every: changes without a pause");
            ensure!(changes.shards_max > 0, "changes.shards_max: a stream has at least one shard");
        }
        for fault in &self.faults {
            ensure!(fault.at() < self.duration, "fault: {} is after the end", fault.at());
        }
        let share = self.validity.late_share;
        ensure!((0.0..1.0).contains(&share), "validity.late_share: {share} is not a share from 0 to below 1");
        Ok(())
    }
}

/// Sets the value at a dotted path. Tables on the way are made; values are TOML if they parse as such, else text.
fn set(table: &mut toml::Table, path: &str, value: &str) -> Result<()> {
    let mut at = table;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
            at.insert(part.to_owned(), parsed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
            break;
        }
        let next = at.entry(part).or_insert_with(|| toml::Table::new().into());
        at = next.as_table_mut().with_context(|| format!("`{part}` has nothing below it"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
