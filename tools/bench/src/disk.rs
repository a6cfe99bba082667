//! `millstream-bench disk DIR`: what the disk can do with the very pattern the log uses.
//!
//! A log appends to a preallocated segment: one or several direct writes, aligned to 4 KiB, then one fdatasync, and only
//! then the acknowledgements. The time from the first write to the end of the sync is the least a put can take, and bytes
//! per such round the most a shard can carry. Each row of the table is one size of write, one number of writes per sync,
//! and one state of the blocks:
//!
//! - `unwritten`: reserved by fallocate only, as in a segment that is new. The first write to a block makes the file
//!   system turn an extent from unwritten to written, and the sync has to commit that.
//! - `written`: written before, as in a segment that is reused or was written ahead.
//!
//! By default the writes go through the node's own file code (io_uring); `--engine plain` does the same with `pwrite` and
//! `fdatasync` from a thread. Under each row stands the fio command that does the same, to check this tool with.

mod engine;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use millstream::runtime::glommio::launch::{LaunchError, LaunchOptions, launch};
use serde::{Deserialize, Serialize};

use self::engine::{BLOCK_BYTES, Engine, Plain, Uring};
use crate::human;
use crate::stats::{Distribution, Histogram};
use crate::table::Table;
use crate::units::Size;

/// Version of [`DiskReport`] as JSON.
pub const DISK_SCHEMA: u32 = 1;

/// Largest size of one write: what the kernel accepts in one direct write everywhere.
const WRITE_BYTES_MAX: u64 = 64 << 20;

/// Most writes under way before one sync: the depth of the node's ring.
const WRITES_PER_SYNC_MAX: usize = 128;

/// Commits before a row is measured: the first ones allocate.
const WARM_UP_COMMITS: usize = 16;

/// The arguments of `disk`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct DiskArgs {
    /// Directory on the disk to measure; a scratch directory in it is made and removed.
    pub dir: PathBuf,

    /// Bytes per write, multiples of 4 KiB.
    #[arg(long, value_delimiter = ',', default_value = "4KiB,16KiB,64KiB,256KiB,1MiB", value_parser = write_size)]
    pub sizes: Vec<u64>,

    /// Writes before each sync; `1` is the log under light load, more is what gathers under heavy load.
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_parser = writes_per_sync)]
    pub writes_per_sync: Vec<usize>,

    /// Seconds per row.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,

    /// Bytes of the segment written to. Twice this much space must be free.
    #[arg(long, default_value = "256MiB")]
    pub segment: Size,

    /// How the writes reach the kernel.
    #[arg(long, value_enum, default_value_t = EngineKind::Uring)]
    pub engine: EngineKind,

    /// CPU that the writing thread is pinned to; the last one that this process may use unless given. `uring` only.
    #[arg(long)]
    pub cpu: Option<usize>,

    /// Also writes the figures to this file as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

const HELP: &str = "\
How to read it: `commit` is the time from the first write to the end of the sync, the least that a put waits for. \
`sync` is the fdatasync in it. A percentile is printed when at least 100 samples lie above it; run longer for more of \
them. The disk is measured together with the file system and everything else that uses it at the time.";

/// How the writes reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The node's own file code on io_uring; several writes are under way together.
    Uring,
    /// `pwrite` and `fdatasync` from one thread; several writes go one after the other.
    Plain,
}

/// Whether blocks were written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blocks {
    /// Reserved by fallocate only.
    Unwritten,
    /// Written and synced before.
    Written,
}

/// What one row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Bytes of one write.
    pub write_bytes: u64,
    /// Writes before each sync.
    pub writes_per_sync: usize,
    /// What is written to.
    pub blocks: Blocks,
}

impl Pattern {
    fn commit_bytes(self) -> u64 {
        self.write_bytes * self.writes_per_sync as u64
    }
}

/// The figures of one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskRow {
    /// What was measured.
    #[serde(flatten)]
    pub pattern: Pattern,
    /// Write-and-sync rounds.
    pub commits: u64,
    /// Rounds per second of measured time.
    pub commits_per_second: f64,
    /// Bytes per second of measured time.
    pub bytes_per_second: f64,
    /// From the first write to the end of the sync.
    pub commit: Distribution,
    /// The fdatasync alone.
    pub sync: Distribution,
    /// The equivalent fio command.
    pub fio: String,
}

/// All rows with where they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskReport {
    /// [`DISK_SCHEMA`].
    pub schema: u32,
    /// The directory measured.
    pub dir: PathBuf,
    /// How the writes reached the kernel.
    pub engine: EngineKind,
    /// Device, file system and mount options.
    pub disk: crate::env::Disk,
    /// Bytes of the segment.
    pub segment_bytes: u64,
    /// Seconds asked for per row.
    pub seconds_per_row: f64,
    /// The figures, in the order measured.
    pub rows: Vec<DiskRow>,
}

/// Why the disk could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The disk or the file system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// io_uring or a CPU is not to be had.
    #[error("{0}; `--engine plain` does without io_uring")]
    Launch(#[from] LaunchError),
    /// Two segments do not fit.
    #[error("{dir} has {free} free, two segments take {need}: make --segment smaller", dir = dir.display(), free = human::decimal_bytes(*free as f64), need = human::decimal_bytes(*need as f64))]
    Space {
        /// Where.
        dir: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        need: u64,
    },
    /// A commit is larger than the segment.
    #[error("a segment of {segment} bytes does not hold one commit of {commit} bytes: make --segment larger")]
    Segment {
        /// Bytes of the segment.
        segment: u64,
        /// Bytes of the largest commit.
        commit: u64,
    },
}

/// Measures and prints.
///
/// # Errors
/// What [`run`] says.
pub fn main(args: &DiskArgs) -> anyhow::Result<ExitCode> {
    let report = run(args)?;
    print!("{}", report.render());
    Ok(ExitCode::SUCCESS)
}

/// Measures, shows the rows as they come, and gives them back.
///
/// # Errors
/// [`DiskError`]. The scratch directory is removed in any case.
pub fn run(args: &DiskArgs) -> Result<DiskReport, DiskError> {
    let plan = Plan::new(args);
    plan.check_space(&args.dir)?;
    let scratch = tempfile::Builder::new()
        .prefix("millstream-bench-disk-")
        .tempdir_in(&args.dir)
        .map_err(|source| DiskError::Io { what: format!("a scratch directory in {}", args.dir.display()), source })?;
    let rows = match args.engine {
        EngineKind::Plain => block_on(measure_all(&Plain, &plan, scratch.path())),
        EngineKind::Uring => {
            let cpu = args.cpu.or_else(|| crate::env::allowed_cpus().last().copied()).unwrap_or(0);
            let options = LaunchOptions { cpus: vec![cpu], name: "bench-disk".to_owned(), ..LaunchOptions::default() };
            let (plan, dir) = (plan.clone(), scratch.path().to_owned());
            let work = async move |rt| measure_all(&Uring { rt }, &plan, &dir).await;
            let worker = launch(&options, vec![work])?.pop().expect("one was started");
            worker.join()?
        }
    }?;
    let report = DiskReport {
        schema: DISK_SCHEMA,
        dir: args.dir.clone(),
        engine: args.engine,
        disk: crate::env::Disk::of(&args.dir),
        segment_bytes: args.segment.0,
        seconds_per_row: args.seconds,
        rows,
    };
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("numbers and texts");
        fs::write(path, text).map_err(|source| DiskError::Io { what: path.display().to_string(), source })?;
    }
    Ok(report)
}

/// What is measured, in order.
#[derive(Clone, Debug)]
struct Plan {
    dir: PathBuf,
    patterns: Vec<Pattern>,
    segment_bytes: u64,
    row_time: Duration,
    engine: EngineKind,
}

impl Plan {
    fn new(args: &DiskArgs) -> Self {
        let mut patterns = Vec::new();
        for &writes_per_sync in &args.writes_per_sync {
            for &write_bytes in &args.sizes {
                for blocks in [Blocks::Unwritten, Blocks::Written] {
                    patterns.push(Pattern { write_bytes, writes_per_sync, blocks });
                }
            }
        }
        Self {
            dir: args.dir.clone(),
            patterns,
            segment_bytes: args.segment.0 / BLOCK_BYTES as u64 * BLOCK_BYTES as u64,
            row_time: Duration::from_secs_f64(args.seconds),
            engine: args.engine,
        }
    }

    fn check_space(&self, dir: &Path) -> Result<(), DiskError> {
        let commit = self.patterns.iter().map(|pattern| pattern.commit_bytes()).max().unwrap_or(0);
        if commit > self.segment_bytes {
            return Err(DiskError::Segment { segment: self.segment_bytes, commit });
        }
        let space = rustix::fs::statvfs(dir)
            .map_err(|source| DiskError::Io { what: dir.display().to_string(), source: source.into() })?;
        let (free, need) = (space.f_bavail * space.f_frsize, self.segment_bytes * 2);
        if free < need {
            return Err(DiskError::Space { dir: dir.to_owned(), free, need });
        }
        Ok(())
    }
}

async fn measure_all<E: Engine>(engine: &E, plan: &Plan, scratch: &Path) -> Result<Vec<DiskRow>, DiskError> {
    let mut rows = Vec::with_capacity(plan.patterns.len());
    for (nth, &pattern) in plan.patterns.iter().enumerate() {
        if io::stderr().is_terminal() {
            eprint!("\r{}/{} {}\x1b[K", nth + 1, plan.patterns.len(), describe(pattern));
        }
        let what = || format!("{} in {}", describe(pattern), plan.dir.display());
        let row = Row { engine, plan, scratch, pattern };
        rows.push(row.measure().await.map_err(|source| DiskError::Io { what: what(), source })?);
    }
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    Ok(rows)
}

fn describe(pattern: Pattern) -> String {
    let Pattern { write_bytes, writes_per_sync, blocks } = pattern;
    let blocks = if blocks == Blocks::Written { "written" } else { "unwritten" };
    format!("{writes_per_sync} x {} per sync, {blocks} blocks", human::binary_bytes(write_bytes))
}

/// One row being measured.
struct Row<'a, E> {
    engine: &'a E,
    plan: &'a Plan,
    scratch: &'a Path,
    pattern: Pattern,
}

impl<E: Engine> Row<'_, E> {
    async fn measure(&self) -> io::Result<DiskRow> {
        let Pattern { write_bytes, writes_per_sync, blocks } = self.pattern;
        let commit_bytes = self.pattern.commit_bytes();
        let buffer = self.engine.buffer(usize::try_from(write_bytes).expect("bounded by WRITE_BYTES_MAX"));
        let (mut commits, mut syncs) = (Histogram::new(), Histogram::new());
        let mut measured = Duration::ZERO;
        let mut warm_up = WARM_UP_COMMITS;
        let mut segment = self.new_segment().await?;
        let mut pos = 0;
        while measured < self.plan.row_time {
            if pos + commit_bytes > self.plan.segment_bytes {
                pos = 0;
                if blocks == Blocks::Unwritten {
                    drop(segment);
                    segment = self.new_segment().await?;
                }
            }
            let start = Instant::now();
            self.engine.write(&segment, &buffer, pos, writes_per_sync).await?;
            let written = Instant::now();
            self.engine.sync(&segment).await?;
            let end = Instant::now();
            pos += commit_bytes;
            if warm_up > 0 {
                warm_up -= 1;
                continue;
            }
            measured += end - start;
            commits.record(nanos(end - start));
            syncs.record(nanos(end - written));
        }
        drop(segment);
        fs::remove_file(self.path())?;
        let seconds = measured.as_secs_f64();
        Ok(DiskRow {
            pattern: self.pattern,
            commits: commits.count(),
            commits_per_second: commits.count() as f64 / seconds,
            bytes_per_second: (commits.count() * commit_bytes) as f64 / seconds,
            commit: commits.distribution(),
            sync: syncs.distribution(),
            fio: fio(self.pattern, self.plan),
        })
    }

    fn path(&self) -> PathBuf {
        self.scratch.join("segment")
    }

    /// A segment whose blocks are as the pattern says. Nothing of this is measured.
    async fn new_segment(&self) -> io::Result<E::Segment> {
        const FILL_BYTES: u64 = 1 << 20;
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let bytes = self.plan.segment_bytes;
        let segment = self.engine.create(&self.path(), bytes).await?;
        if self.pattern.blocks == Blocks::Written {
            let mut pos = 0;
            while pos < bytes {
                let len = FILL_BYTES.min(bytes - pos);
                let buffer = self.engine.buffer(usize::try_from(len).expect("1 MiB"));
                self.engine.write(&segment, &buffer, pos, 1).await?;
                pos += len;
            }
            self.engine.sync(&segment).await?;
        }
        Ok(segment)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The fio command that does the same. fio counts the bandwidth over the whole time, this tool over the commits alone.
fn fio(pattern: Pattern, plan: &Plan) -> String {
    let Pattern { write_bytes, writes_per_sync, blocks } = pattern;
    let (engine, depth) = match plan.engine {
        EngineKind::Plain => ("psync", 1),
        EngineKind::Uring => ("io_uring", writes_per_sync),
    };
    let batch = if depth > 1 { format!(" --iodepth_batch_submit={depth}") } else { String::new() };
    // A segment that exists is overwritten; else it is only reserved, and ends when it is full.
    let (fallocate, time) = match blocks {
        Blocks::Written => {
            ("none --overwrite=1", format!(" --time_based --runtime={}", plan.row_time.as_secs_f64().ceil()))
        }
        Blocks::Unwritten => ("native", String::new()),
    };
    format!(
        "fio --name=log --directory={} --unlink=1 --rw=write --direct=1 --ioengine={engine} --iodepth={depth}{batch} \
         --bs={write_bytes} --size={} --fallocate={fallocate} --fdatasync={writes_per_sync}{time}",
        plan.dir.display(),
        plan.segment_bytes,
    )
}

impl DiskReport {
    /// The table and under it the fio commands, as printed.
    #[must_use]
    pub fn render(&self) -> String {
        let mut table = Table::new(&[
            "write",
            "per sync",
            "blocks",
            "rate",
            "syncs/s",
            "commit p50",
            "p90",
            "p99",
            "p99.9",
            "max",
            "sync p50",
        ]);
        for row in &self.rows {
            let commit = |p: f64| human::percentile(&row.commit, p);
            table.row(vec![
                human::binary_bytes(row.pattern.write_bytes),
                row.pattern.writes_per_sync.to_string(),
                if row.pattern.blocks == Blocks::Written { "written" } else { "unwritten" }.to_owned(),
                human::byte_rate(row.bytes_per_second),
                human::rate(row.commits_per_second),
                commit(50.0),
                commit(90.0),
                commit(99.0),
                commit(99.9),
                human::duration(row.commit.max_ns),
                human::percentile(&row.sync, 50.0),
            ]);
        }
        let engine = match self.engine {
            EngineKind::Uring => "the node's own file code (io_uring)",
            EngineKind::Plain => "pwrite and fdatasync from one thread",
        };
        let mut out = format!(
            "The log's pattern on {}: O_DIRECT appends to a preallocated segment, then fdatasync\n{}\nthrough {engine}, {} s per row\n\n{}",
            self.dir.display(),
            self.disk.one_line(),
            self.seconds_per_row,
            table.render(),
        );
        out.push_str(human::ABSENT_NOTE);
        out.push_str("\n\nThe same with fio:\n");
        for row in &self.rows {
            out.push_str(&format!("# {}\n{}\n", describe(row.pattern), row.fio));
        }
        out
    }
}

fn write_size(text: &str) -> Result<u64, String> {
    let Size(bytes) = text.parse()?;
    if bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES as u64) || bytes > WRITE_BYTES_MAX {
        return Err(format!("a write is a multiple of 4 KiB up to {}", human::binary_bytes(WRITE_BYTES_MAX)));
    }
    Ok(bytes)
}

fn writes_per_sync(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(writes) if (1..=WRITES_PER_SYNC_MAX).contains(&writes) => Ok(writes),
        _ => Err(format!("a number from 1 to {WRITES_PER_SYNC_MAX}")),
    }
}

pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 86400".to_owned()),
    }
}
