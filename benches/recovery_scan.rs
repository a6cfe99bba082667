//! Recovery: how fast a log is scanned that has no index to spare it. `memory` is the work on the bytes alone; `disk` is the
//! procedure on a log that the engine wrote below the build directory, read back without the page cache. A GiB
//! takes 1.07 s at 1 GB/s.

#![expect(clippy::disallowed_methods, reason = "measures time; runs in no node")]

use std::cell::Cell;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use millstream::engine::env::{Env, Tuning};
use millstream::engine::log::{Ack, AckSink, Log, OutcomeUnknown, Receipt};
use millstream::engine::recover::{self, Depth};
use millstream::engine::{data_dir, whole_file};
use millstream::format::frame::{HEADER_BYTES, Kind};
use millstream::format::{names, record};
use millstream::log::gather::Batch;
use millstream::log::recovery::{Step, step};
use millstream::log::tip::{Draft, Tip};
use millstream::runtime::Reactor;
use millstream::runtime::glommio::GlommioRuntime;
use millstream::runtime::glommio::launch::run_unpinned;
use millstream::types::{Durability, FrameIndex, GroupId, Term, WallUs, WorkerId};

const GROUP: GroupId = GroupId(16);

/// Bytes of bodies in a log that is scanned.
const MEMORY_BYTES: usize = 32 << 20;
const DISK_BYTES: usize = 128 << 20;

/// The body of a batch: 16 records of a little less than 1 KiB.
fn body() -> Vec<u8> {
    let mut body = Vec::new();
    for number in 0..16 {
        record::encode(&format!("key-{number:06}"), &[0x5a; 1000], &mut body);
    }
    body
}

/// Frames one after the other as they lie in a segment, and the tip before them.
fn frames() -> (Tip, Vec<u8>) {
    let (first, body) = (Tip::genesis(GROUP), body());
    let (mut tip, mut out) = (first, Vec::with_capacity(MEMORY_BYTES + (1 << 20)));
    while out.len() < MEMORY_BYTES {
        let draft = Draft {
            kind: Kind::Data,
            body_len: u32::try_from(body.len()).expect("a small body"),
            body_crc: crc32fast::hash(&body),
            record_count: 16,
            producer: None,
            arrival: WallUs(1),
        };
        let header = tip.stamp(draft, Term(1), FrameIndex(0));
        let at = out.len();
        out.resize(at + HEADER_BYTES, 0);
        header.encode(&mut out[at..]);
        out.extend_from_slice(&body);
        tip.advance(&header);
    }
    (first, out)
}

/// Judges every frame; gives the tip after the last one.
fn scan(mut tip: Tip, mut bytes: &[u8]) -> Tip {
    while let Step::Next(header) = step(&tip, bytes) {
        tip.advance(&header);
        bytes = &bytes[header.frame_bytes()..];
    }
    assert!(bytes.is_empty(), "every frame follows the one before it");
    tip
}

/// Counts the puts that are not acknowledged yet.
#[derive(Default)]
struct Open(Cell<usize>);

impl AckSink for Open {
    fn acked(&self, _token: u64, outcome: Result<Receipt, OutcomeUnknown>) {
        outcome.expect("the disk works");
        self.0.set(self.0.get() - 1);
    }
}

/// Writes a log below `dir` with the engine; gives its directory.
async fn write(rt: GlommioRuntime, dir: &Path) -> PathBuf {
    let data = data_dir::open(&rt, &dir.join("data")).await.expect("the directory opens");
    let log_dir = names::shard_dir(&data.path, GROUP);
    whole_file::create_dir(&rt, &log_dir).await.expect("the disk works");
    let env = Env::new(rt.clone(), WorkerId(0), data.path.clone(), data.node.term, Tuning::default());
    let (found, _) = recover::recover(&env, GROUP, &log_dir).await.expect("the log opens");
    let log = Log::new(Rc::clone(&env), log_dir.clone(), found, Durability::Interval);
    let (body, open) = (body(), Rc::new(Open::default()));
    let body_crc = crc32fast::hash(&body);
    for token in 0..(DISK_BYTES / body.len()) as u64 {
        log.room(body.len()).await.expect("the log takes puts");
        let batch = Batch { body: &body, body_crc, record_count: 16, producer: None, arrival: rt.wall() };
        open.0.set(open.0.get() + 1);
        let sink: Rc<dyn AckSink> = open.clone();
        log.append(&batch, Ack { sink, token }).expect("the log takes puts");
    }
    log.until(|| (open.0.get() == 0).then_some(())).await;
    log.stop().await;
    log_dir
}

/// Scans the log in `dir` so many times; gives the bytes of a scan and the time of all.
async fn scan_disk(rt: GlommioRuntime, dir: PathBuf, times: u64) -> (u64, Duration) {
    let (start, mut bytes) = (Instant::now(), 0);
    for _ in 0..times {
        let mut see = |_: recover::Sight<'_>| ControlFlow::Continue(());
        let examined = recover::examine(&rt, GROUP, &dir, Depth::Everything, None, &mut see).await;
        bytes = black_box(examined.expect("the disk works")).report.scanned_bytes;
    }
    (bytes, start.elapsed())
}

fn recovery_scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("recovery_scan");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);

    let (tip, bytes) = frames();
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("memory", |b| b.iter(|| scan(black_box(tip), black_box(&bytes))));

    // Beside the build: the directory for temporary files may be in memory, where there is no direct I/O.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("writable");
    let at = scratch.path().to_owned();
    let dir = run_unpinned(|rt| async move { write(rt, &at).await }).expect("an executor");
    let scan = |times| {
        let dir = dir.clone();
        run_unpinned(move |rt| scan_disk(rt, dir, times)).expect("an executor")
    };
    let (bytes, _) = scan(1);
    assert!(bytes > DISK_BYTES as u64, "{bytes} bytes were scanned: the whole log, and not from its index");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("disk", |b| b.iter_custom(|times| scan(times).1));
    group.finish();
}

criterion_group!(benches, recovery_scan);
criterion_main!(benches);
