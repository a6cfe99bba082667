//! `.hlog` files: the HdrHistogram interval log, which the standard tools read (HistogramLogProcessor, the HdrHistogram
//! plotter, hdr-plot). One file per latency, one interval per slice of the measured time, values in nanoseconds.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::result::RunResult;
use crate::run::{Observer, Plan, Slice};
use crate::stats::Histogram;

/// The column of maxima is in milliseconds, as the Java tools write it.
const MAX_DIVISOR: f64 = 1e6;

/// What the Java tools write above the first interval.
const LEGEND: &str = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// A latency of a slice.
type LatencyOf = fn(&Slice) -> &Histogram;

/// The latencies, as they are called in the names of the files.
const LATENCIES: [(&str, LatencyOf); 5] = [
    ("put-ack", |slice| &slice.put_ack),
    ("put-ack-actual", |slice| &slice.put_ack_actual),
    ("put-to-get", |slice| &slice.put_to_get),
    ("put-to-get-actual", |slice| &slice.put_to_get_actual),
    ("send-lag", |slice| &slice.send_lag),
];

/// Writes the logs of a run while it runs; memory does not grow with its length. An observer cannot fail: the first error
/// ends the writing and is kept for [`Writer::finish`].
pub struct Writer {
    stem: PathBuf,
    logs: Vec<Log>,
    error: Option<anyhow::Error>,
}

struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    latency: LatencyOf,
    serializer: V2DeflateSerializer,
}

impl Writer {
    /// Logs named `<stem>.put-ack.hlog` and so on. Nothing is created before the run starts.
    #[must_use]
    pub fn new(stem: &Path) -> Self {
        Self { stem: stem.to_owned(), logs: Vec::new(), error: None }
    }

    /// Completes the files and gives their names.
    ///
    /// # Errors
    /// The first thing that could not be written.
    pub fn finish(mut self) -> Result<Vec<PathBuf>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for log in &mut self.logs {
            log.file.flush().with_context(|| format!("writing {}", log.path.display()))?;
        }
        Ok(self.logs.into_iter().map(|log| log.path).collect())
    }

    fn create(&mut self, plan: &Plan<'_>) -> Result<()> {
        for (name, latency) in LATENCIES {
            let mut path = self.stem.clone().into_os_string();
            path.push(format!(".{name}.hlog"));
            let path = PathBuf::from(path);
            let log = Log::create(path.clone(), name, latency, plan)
                .with_context(|| format!("writing {}", path.display()))?;
            self.logs.push(log);
        }
        Ok(())
    }

    fn note(&mut self, result: Result<()>) {
        if let Err(error) = result
            && self.error.is_none()
        {
            self.error = Some(error);
        }
    }
}

impl Log {
    fn create(path: PathBuf, name: &str, latency: LatencyOf, plan: &Plan<'_>) -> io::Result<Self> {
        let start = UNIX_EPOCH + Duration::from_millis(plan.start_unix_ms);
        let mut file = BufWriter::new(File::create(&path)?);
        let mut serializer = V2DeflateSerializer::new();
        header(name, plan, start).begin_log_with(&mut file, &mut serializer)?;
        file.write_all(LEGEND.as_bytes())?;
        Ok(Self { path, file, latency, serializer })
    }

    fn write(&mut self, slice: &Slice) -> Result<()> {
        let histogram = (self.latency)(slice).hdr();
        let start = Duration::from_nanos(slice.start_ns);
        let length = Duration::from_nanos(slice.end_ns.saturating_sub(slice.start_ns));
        // A builder without a head writes none, so that the log need not borrow its own file.
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(1.0);
        let mut line = Vec::new();
        let mut log = builder.begin_log_with(&mut line, &mut self.serializer)?;
        let written = log.write_histogram(histogram, start, length, None);
        written.map_err(|error| anyhow!("{}: {error}", self.path.display()))?;
        self.file.write_all(&in_millis(&line)).with_context(|| format!("writing {}", self.path.display()))
    }
}

fn header(name: &str, plan: &Plan<'_>, start: SystemTime) -> IntervalLogWriterBuilder {
    let mut header = IntervalLogWriterBuilder::new();
    header
        .add_comment(&format!("[Logged with millstream-bench {}]", env!("CARGO_PKG_VERSION")))
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!(
            "{name} of workload {} on {} ({}), nanoseconds; Interval_Max in milliseconds",
            plan.workload.name, plan.target, plan.server
        ))
        .with_start_time(start)
        .with_base_time(start);
    if plan.workload.load.closed.is_some() {
        header.add_comment(crate::summary::CLOSED);
    }
    header
}

/// The line with its maximum in milliseconds. The crate's own divisor would write a head line before each interval.
fn in_millis(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let mut fields: Vec<_> = text.splitn(4, ',').map(str::to_owned).collect();
    if let Some(max) = fields.get_mut(2)
        && let Ok(ns) = max.parse::<f64>()
    {
        *max = format!("{:.3}", ns / MAX_DIVISOR);
    }
    fields.join(",").into_bytes()
}

impl Observer for Writer {
    fn started(&mut self, plan: &Plan<'_>) {
        let created = self.create(plan);
        self.note(created);
    }

    fn slice(&mut self, slice: &Slice) {
        if slice.warmup || self.error.is_some() {
            return;
        }
        for at in 0..self.logs.len() {
            let written = self.logs[at].write(slice);
            self.note(written);
        }
    }

    fn finished(&mut self, _result: &RunResult) {
        for at in 0..self.logs.len() {
            let log = &mut self.logs[at];
            let flushed = log.file.flush().with_context(|| format!("writing {}", log.path.display()));
            self.note(flushed);
        }
    }
}
