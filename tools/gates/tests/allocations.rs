//! Allocations per operation on the worker of a real node: io_uring, direct I/O, sockets.
//!
//! The node's own are bounded, one kind of load after the other. Those below the seam (the shell and glommio) and of glommio's
//! executor between tasks are printed beside them.
//!
//! `MILLSTREAM_ALLOCATIONS_OF=put cargo test -p millstream-gates --test allocations -- --nocapture` also prints where the node
//! allocates under that load.

#![cfg(feature = "glommio")]
#![allow(clippy::disallowed_methods, reason = "starts a node on the real machine")]
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; it hands everything on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use millstream::runtime::glommio::GlommioRuntime;
use millstream::runtime::glommio::launch::{LaunchOptions, launch, run_unpinned};
use millstream::runtime::glommio::preflight::online_cpus;
use millstream::runtime::glommio::signals::Termination;
use millstream::runtime::local::one_shot;
use millstream::runtime::{Reactor as _, TaskClass};
use millstream::server::node::{Report, Supervisor, seeds};
use millstream_gates::load::{Addresses, Client, IN_FLIGHT, Load, RECORDS, SUBSCRIBERS};
use millstream_gates::node;
use millstream_gates::sides::{Side, side};
use millstream_gates::watched::Watched;

/// Counts what the thread of the worker takes from the system's allocator, by side of the seam.
struct Counting;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

static COUNTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

fn count() {
    if IS_WORKER.get() {
        COUNTS[side() as usize].fetch_add(1, Ordering::Relaxed);
        if TRACED.load(Ordering::Relaxed) && side() == Side::Node && !IS_TRACING.replace(true) {
            let stack = Backtrace::force_capture().to_string();
            let ours = |line: &&str| line.contains("millstream::") || line.contains("at ./src");
            let ours: Vec<_> = stack.lines().filter(ours).take(8).collect();
            eprintln!("an allocation of the node\n{}", ours.join("\n"));
            IS_TRACING.set(false);
        }
    }
}

/// Print where the node allocates, of one load: `MILLSTREAM_ALLOCATIONS_OF=put`, with `--nocapture`.
static TRACED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_TRACING: Cell<bool> = const { Cell::new(false) };
}

/// Operations whose allocations are printed.
const TRACED_OPERATIONS: usize = 2 * IN_FLIGHT;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: what the caller promises is what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counts() -> [u64; 3] {
    [Side::Node, Side::Machine, Side::Elsewhere].map(|side| COUNTS[side as usize].load(Ordering::Relaxed))
}

struct Boss {
    ready: SyncSender<()>,
    stop: Termination,
}

impl Supervisor for Boss {
    fn ready(&self, _: &Report) {
        self.ready.send(()).expect("somebody waits for it");
    }

    async fn stop(&self) {
        self.stop.requested(1).await;
    }
}

/// Operations before any are counted: buffers and tables have grown to their size by then.
const WARM_UP: usize = 20 * IN_FLIGHT;

/// Operations that are counted.
const COUNTED: usize = 40 * IN_FLIGHT;

/// Allocations of one operation, by side.
fn measure(load: Load) -> [f64; 3] {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory beside the program");
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let addresses = Addresses { native: free(), kinesis: free() };
    let (ready, is_ready) = sync_channel(1);
    let stop = Termination::new();
    let options = node::options(dir.path().to_owned(), addresses, load);
    let workers = seeds::<Watched<GlommioRuntime>>(&options, 1).into_iter().map(|seed| {
        let boss = Boss { ready: ready.clone(), stop: stop.clone() };
        move |rt: GlommioRuntime| {
            IS_WORKER.set(true);
            let watched = Watched(rt);
            async move {
                // A task of its own, so that it is polled through the seam.
                let (fill, ended) = one_shot();
                let rt = watched.clone();
                watched.spawn(TaskClass::Latency, async move { fill.fill(seed.run(rt, boss).await) });
                ended.wait().await.expect("it fills").expect("the node runs");
            }
        }
    });
    let cpu = online_cpus().expect("a CPU")[0];
    let running = launch(&LaunchOptions { cpus: vec![cpu], ..LaunchOptions::default() }, workers.collect());
    let running = running.expect("a worker starts");
    // A node that fails lets go of its end.
    drop(ready);
    is_ready.recv().expect("the node starts");
    let (before, after) = run_unpinned(move |rt| async move {
        let mut client = Client::new(&rt, addresses, load).await;
        client.operate(WARM_UP).await;
        let before = counts();
        client.operate(COUNTED).await;
        let after = counts();
        if std::env::var("MILLSTREAM_ALLOCATIONS_OF").is_ok_and(|name| Load::named(&name) == Some(load)) {
            TRACED.store(true, Ordering::Relaxed);
            client.operate(TRACED_OPERATIONS).await;
            TRACED.store(false, Ordering::Relaxed);
        }
        (before, after)
    })
    .expect("a client");
    stop.request();
    for worker in running {
        worker.join().expect("a clean end");
    }
    [0, 1, 2].map(|side| (after[side] - before[side]) as f64 / COUNTED as f64)
}

/// What a kind of load may allocate in the node's code.
struct Bound {
    load: Load,
    /// How many of what is said an operation is.
    parts: usize,
    per: &'static str,
    /// One more than was measured fails, where one is one of a few. The fractions are tables that grow, indexes that are saved,
    /// zeros that are written ahead and what the node does by the clock.
    most: f64,
}

const BOUNDS: [Bound; 8] = [
    Bound { load: Load::Put, parts: 1, per: "put of one record, a commit of its own", most: 1.3 },
    Bound { load: Load::PutMany, parts: 1, per: "put of one record, 32 in flight", most: 0.1 },
    Bound { load: Load::PutBatch, parts: 1, per: "put of 100 records", most: 1.3 },
    Bound { load: Load::Get, parts: 1, per: "get of one frame from memory", most: 1.3 },
    Bound { load: Load::GetCold, parts: 1, per: "get of one frame from the disk", most: 1.3 },
    Bound { load: Load::Push, parts: SUBSCRIBERS, per: "frame pushed", most: 1.3 },
    Bound { load: Load::KinesisPut, parts: RECORDS as usize, per: "record of a PutRecords of 100", most: 0.45 },
    Bound { load: Load::KinesisGet, parts: RECORDS as usize, per: "record of a GetRecords of 100", most: 0.3 },
];

/// Goal: once a connection is warm, an operation takes no more memory from the allocator than it did when that was last looked
/// at, whatever the disk and the other programs of the machine do.
#[test]
fn operations_allocate_no_more_than_they_did() {
    println!("{:>7} {:>7} {:>7} {:>8}   allocations per", "node", "at most", "machine", "executor");
    let (mut of_put, mut over) = (None, Vec::new());
    for Bound { load, parts, per, most } in BOUNDS {
        let mut counts = measure(load);
        if load == Load::Put {
            of_put = Some(counts);
        }
        if let (Load::Push, Some(put)) = (load, of_put) {
            counts = std::array::from_fn(|side| counts[side] - put[side]);
        }
        let [node, machine, executor] = counts.map(|count| count / parts as f64);
        println!("{node:>7.2} {most:>7.2} {machine:>7.2} {executor:>8.2}   {per}");
        if node > most {
            over.push(format!("{per}: {node:.2}, at most {most}"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
