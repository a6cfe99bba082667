use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::*;
use crate::workload::Workload;

fn slice(second: u64, warmup: bool) -> Slice {
    let mut slice =
        Slice { start_ns: second * 1_000_000_000, end_ns: (second + 1) * 1_000_000_000, warmup, ..Slice::default() };
    for nth in 1..=1_000 {
        slice.put_ack.record(second * 1_000_000 + nth * 1_000);
    }
    slice.put_to_get.record(7_000_000);
    slice
}

fn plan(workload: &Workload) -> Plan<'_> {
    Plan {
        workload,
        interval_ms: 1_000,
        target: "native 127.0.0.1:7001",
        server: "millstream 0.1.0",
        start_ns: 5,
        start_unix_ms: 1_790_000_000_500,
    }
}

/// Goal: what is read back from the log by the crate's reader is what was recorded: values, times, without the warm-up.
#[test]
fn logs_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(&dir.path().join("run"));
    let workload = Workload::default();
    writer.started(&plan(&workload));
    let slices: Vec<_> = (0..4).map(|second| slice(second, second == 0)).collect();
    slices.iter().for_each(|each| writer.slice(each));
    let paths = writer.finish().unwrap();
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names[0], "run.put-ack.hlog");
    assert_eq!(names.len(), LATENCIES.len());

    let text = std::fs::read_to_string(&paths[0]).unwrap();
    assert!(text.contains("#[StartTime: 1790000000.500 (seconds since epoch)]"), "{text}");
    assert!(text.contains("#[BaseTime: 1790000000.500 (seconds since epoch)]"), "{text}");
    assert_eq!(text.matches(LEGEND).count(), 1);
    let mut deserializer = Deserializer::new();
    let mut read = Vec::new();
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = base64(interval.encoded_histogram());
            let histogram: Hdr<u64> = deserializer.deserialize(&mut bytes.as_slice()).unwrap();
            read.push((interval.start_timestamp(), interval.duration(), interval.max(), histogram));
        }
    }
    assert_eq!(read.len(), 3, "the warm-up is not in the log");
    for ((start, length, max, histogram), written) in read.iter().zip(&slices[1..]) {
        assert_eq!(start.as_nanos() as u64, written.start_ns);
        assert_eq!(*length, Duration::from_secs(1));
        assert!((max - histogram.max() as f64 / 1e6).abs() < 0.001, "{max}");
        assert_eq!(histogram, written.put_ack.hdr());
    }
}

/// Goal: a log that cannot be written ends the writing, not the run, and the reason comes out in the end.
#[test]
fn an_error_is_kept() {
    let mut writer = Writer::new(Path::new("/nowhere/at/all/run"));
    writer.started(&plan(&Workload::default()));
    writer.slice(&slice(1, false));
    let error = format!("{:#}", writer.finish().unwrap_err());
    assert!(error.contains("/nowhere/at/all/run.put-ack.hlog"), "{error}");
}

/// The standard alphabet, decoded.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        bits = bits << 6 | u32::from(value(c));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
