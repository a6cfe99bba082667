//! Allocations per operation on the worker of a real node: io_uring, direct I/O, sockets.
//!
//! The node's own are bounded, one kind of load after the other. Those below the seam (glommio takes memory for each operation
//! of a ring, the shell for the state of some) and of the executor between tasks are printed beside them.

#![cfg(feature = "glommio")]
#![allow(clippy::disallowed_methods, reason = "starts a node on the real machine")]
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; it hands everything on to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millstream::runtime::Reactor;
use millstream::runtime::glommio::GlommioRuntime;
use millstream::runtime::glommio::launch::{LaunchOptions, launch, run_unpinned};
use millstream::runtime::glommio::preflight::online_cpus;
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

static COUNTS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

fn count() {
    if IS_WORKER.get() {
        COUNTS[side() as usize].fetch_add(1, Ordering::Relaxed);
    }
}

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

static READY: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);

/// How often the worker looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

struct Boss(GlommioRuntime);

impl Supervisor for Boss {
    fn ready(&self, _: &Report) {
        READY.store(true, Ordering::Release);
    }

    async fn stop(&self) {
        while !STOP.load(Ordering::Acquire) {
            self.0.sleep(LOOK).await;
        }
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
    READY.store(false, Ordering::Release);
    STOP.store(false, Ordering::Release);
    let options = node::options(dir.path().to_owned(), addresses, load);
    let workers = seeds::<Watched<GlommioRuntime>>(&options, 1).into_iter().map(|seed| {
        move |rt: GlommioRuntime| {
            IS_WORKER.set(true);
            let watched = Watched(rt.clone());
            async move {
                // A task of its own, so that it is polled through the seam.
                let (fill, ended) = millstream::runtime::local::one_shot();
                let running = watched.clone();
                watched.spawn(millstream::runtime::TaskClass::Latency, async move {
                    fill.fill(seed.run(running, Boss(rt)).await);
                });
                ended.wait().await.expect("it fills").expect("the node runs");
            }
        }
    });
    let cpu = online_cpus().expect("a CPU")[0];
    let running = launch(&LaunchOptions { cpus: vec![cpu], ..LaunchOptions::default() }, workers.collect());
    let running = running.expect("a worker starts");
    while !READY.load(Ordering::Acquire) {
        assert!(!running[0].is_finished(), "the node did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (before, after) = run_unpinned(move |rt| async move {
        let mut client = Client::new(&rt, addresses, load).await;
        client.operate(WARM_UP).await;
        let before = counts();
        client.operate(COUNTED).await;
        (before, counts())
    })
    .expect("a client");
    STOP.store(true, Ordering::Release);
    for worker in running {
        worker.join().expect("a clean end");
    }
    [0, 1, 2].map(|side| (after[side] - before[side]) as f64 / COUNTED as f64)
}

/// Goal: once a connection is warm, an operation takes no more memory from the allocator than it did when that was last looked
/// at. Two places after the point and no more: the timers of the node beat on meanwhile, and how many puts share a commit is up
/// to the disk.
#[test]
fn operations_allocate_no_more_than_they_did() {
    // The load, how many of what an operation is, and what each may allocate in the node's code.
    let bounds = [
        (Load::Put, 1, "put of one record, a commit of its own", 0.0),
        (Load::PutMany, 1, "put of one record, 32 in flight", 0.0),
        (Load::PutBatch, 1, "put of 100 records", 0.0),
        (Load::Get, 1, "get from memory", 0.0),
        (Load::GetCold, 1, "get from the disk", 0.0),
        (Load::Push, SUBSCRIBERS, "put, and its push to each of 4", 0.0),
        (Load::KinesisPut, RECORDS as usize, "record of a PutRecords of 100", 0.0),
        (Load::KinesisGet, RECORDS as usize, "record of a GetRecords of 100", 0.0),
    ];
    println!("{:>7} {:>7} {:>8}   allocations per", "node", "machine", "executor");
    let mut over = Vec::new();
    for (load, parts, per, bound) in bounds {
        let counts = measure(load).map(|count| count / parts as f64);
        println!("{:>7.2} {:>7.2} {:>8.2}   {per}", counts[0], counts[1], counts[2]);
        if counts[0] > bound {
            over.push(format!("{per}: {:.2}, at most {bound}", counts[0]));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}
