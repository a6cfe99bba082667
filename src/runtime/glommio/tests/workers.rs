//! Workers on threads of their own: starting, ending, panicking, talking.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::{or, poll_once};

use super::{one_at_a_time, scratch};
use crate::limits::BLOCK_BYTES;
use crate::runtime::glommio::launch::{LaunchError, LaunchOptions, Worker, launch, run_unpinned};
use crate::runtime::glommio::preflight::{PreflightError, online_cpus};
use crate::runtime::glommio::signals::{Termination, on_termination};
use crate::runtime::glommio::{GlommioRuntime, port_is_free};
use crate::runtime::{
    ConnectedReceiver, ConnectedSender, File, Listener, Open, Reactor, Receiver, Runtime, Sender, TaskClass, WriteHalf,
};

fn options(workers: usize) -> LaunchOptions {
    let cpus: Vec<usize> = online_cpus().expect("the kernel lists them").into_iter().take(workers).collect();
    LaunchOptions { cpus, io_memory: 64 << 10, ring_depth: 32, ..LaunchOptions::default() }
}

fn join<T>(workers: Vec<Worker<T>>) -> Vec<T> {
    workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
}

/// Descriptors of this process whose target mentions `what`.
fn open_descriptors(what: &str) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").expect("procfs").flatten();
    links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .filter(|to| to.to_string_lossy().contains(what))
        .count()
}

/// Goal: messages between two threads arrive in order and wake whoever sleeps, in both directions, through a mailbox that
/// is full most of the time and one that is empty most of the time.
#[test]
fn mailboxes_wake_parked_workers() {
    const ROUNDS: u64 = 20_000;
    let _guard = one_at_a_time();
    let (to_echo, echo_in) = GlommioRuntime::mailbox::<u64>(2);
    let (from_echo, answers) = GlommioRuntime::mailbox::<u64>(2);
    let echo = std::thread::spawn(move || {
        run_unpinned(|_| async move {
            let (rx, tx) = (echo_in.connect().await, from_echo.connect().await);
            while let Some(n) = rx.recv().await {
                tx.send(n + 1).await.expect("the asker waits");
            }
        })
    });
    let asked = run_unpinned(|rt| async move {
        let (tx, rx) = (to_echo.connect().await, answers.connect().await);
        // One at a time: each side sleeps between two messages.
        for n in 0..ROUNDS / 10 {
            tx.send(n).await.expect("the echo is there");
            assert_eq!(rx.recv().await, Some(n + 1));
        }
        // As many as fit.
        rt.spawn(TaskClass::Latency, async move {
            for n in 0..ROUNDS {
                tx.send(n).await.expect("the echo is there");
            }
        });
        for n in 0..ROUNDS {
            assert_eq!(rx.recv().await, Some(n + 1));
        }
        assert_eq!(rx.recv().await, None);
    });
    asked.expect("an executor");
    echo.join().expect("no panic").expect("an executor");
}

/// Goal: when one worker panics the others are told at once, although it is not the one that is waited for first.
#[test]
fn one_end_is_told_to_all() {
    let _guard = one_at_a_time();
    let stop = Termination::new();
    let options = options(2);
    let workers = (0..options.cpus.len()).map(|nth| {
        let stop = stop.clone();
        move |_: GlommioRuntime| async move {
            assert!(nth == 0, "a broken invariant");
            stop.requested(1).await;
        }
    });
    let running = launch(&options, workers.collect()).expect("the machine is fit");
    if options.cpus.len() == 1 {
        stop.request();
    }
    let ended = crate::runtime::glommio::launch::join_all(running, || stop.request());
    assert!(ended[0].is_ok());
    for panicked in &ended[1..] {
        assert!(matches!(panicked, Err(LaunchError::Panicked { .. })), "{panicked:?}");
    }
}

/// Goal: a worker that ends with messages unread drops them, and its peer learns that it is gone.
#[test]
fn an_ended_worker_closes_its_mailboxes() {
    let _guard = one_at_a_time();
    let (tx, rx) = GlommioRuntime::mailbox::<Arc<()>>(8);
    let token = Arc::new(());
    let reader = std::thread::spawn(move || {
        run_unpinned(|rt| async move {
            // Left waiting in a task when the worker ends.
            rt.spawn(TaskClass::Background, async move {
                let rx = rx.connect().await;
                let _first = rx.recv().await;
                std::future::pending::<()>().await;
            });
            rt.sleep(Duration::from_millis(20)).await;
        })
    });
    let ours = Arc::clone(&token);
    run_unpinned(|rt| async move {
        let tx = tx.connect().await;
        while tx.send(Arc::clone(&ours)).await.is_ok() {}
        // Though this end is still there. The other thread may be at it just now.
        for _ in 0..1_000 {
            if Arc::strong_count(&ours) <= 2 {
                break;
            }
            rt.sleep(Duration::from_millis(1)).await;
        }
        assert!(Arc::strong_count(&ours) <= 2, "unread messages live on");
    })
    .expect("an executor");
    reader.join().expect("no panic").expect("an executor");
    assert_eq!(Arc::strong_count(&token), 1, "messages were leaked");
}

/// Goal: what tasks hold is let go when their worker ends: files closed, locks released, destructors run.
#[test]
fn an_ended_worker_leaves_nothing_open() {
    let _guard = one_at_a_time();
    let scratch = scratch();
    let dir: PathBuf = scratch.path().to_owned();
    let token = Arc::new(());
    for _ in 0..3 {
        let (dir, token) = (dir.clone(), Arc::clone(&token));
        run_unpinned(|rt| async move {
            let lock = rt.lock(&dir.join("lock")).await.expect("the last worker let it go");
            let file = match rt.open(&dir.join("file"), Open::Write).await {
                Ok(file) => file,
                Err(_) => rt.open(&dir.join("file"), Open::CreateNew).await.expect("writable"),
            };
            let listener = rt.listen(([127, 0, 0, 1], 0).into(), false).expect("a free port");
            let task = rt.clone();
            rt.spawn(TaskClass::Throughput, async move {
                let _held = (lock, token);
                file.allocate(BLOCK_BYTES as u64).await.expect("there is space");
                let _ = or(async { drop(listener.accept().await) }, task.sleep(Duration::from_secs(3_600))).await;
            });
            rt.sleep(Duration::from_millis(2)).await;
        })
        .expect("an executor");
    }
    assert_eq!(Arc::strong_count(&token), 1);
    assert_eq!(open_descriptors(&dir.to_string_lossy()), 0);
}

/// Goal: a panic in any task ends that worker, with its message and without running its other tasks any further; the
/// process and the other workers go on.
#[test]
fn a_panic_ends_one_worker() {
    let _guard = one_at_a_time();
    type Work = Box<dyn FnOnce(GlommioRuntime) -> std::pin::Pin<Box<dyn Future<Output = u8>>> + Send>;
    let (tx, rx) = GlommioRuntime::mailbox::<()>(1);
    let failing: Work = Box::new(|rt| {
        Box::pin(async move {
            let held = tx.connect().await;
            let task = rt.clone();
            rt.spawn(TaskClass::Background, async move {
                task.yield_now().await;
                panic!("the invariant of {} is broken", "this test");
            });
            held.send(()).await.expect("the other worker waits");
            rt.sleep(Duration::from_secs(3_600)).await;
            0
        })
    });
    let surviving: Work = Box::new(|_| {
        Box::pin(async move {
            let rx = rx.connect().await;
            let mut messages = 0;
            while rx.recv().await.is_some() {
                messages += 1;
            }
            messages
        })
    });
    let options = options(2);
    if options.cpus.len() < 2 {
        return;
    }
    let mut workers = launch(&options, vec![failing, surviving]).expect("two CPUs");
    let survivor = workers.pop().expect("two").join().expect("no panic");
    assert_eq!(survivor, 1);
    match workers.pop().expect("two").join() {
        Err(LaunchError::Panicked { worker: 0, message }) => {
            assert_eq!(message, "the invariant of this test is broken")
        }
        other => panic!("{other:?}"),
    }
}

/// Goal: workers run on the CPUs they were given, and a list that does not fit is refused before anything starts.
#[test]
fn workers_are_pinned() {
    let _guard = one_at_a_time();
    let options = options(2);
    let work = || {
        async |_: GlommioRuntime| {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
            let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("listed");
            list.trim().to_owned()
        }
    };
    let seen = join(launch(&options, options.cpus.iter().map(|_| work()).collect()).expect("free CPUs"));
    assert_eq!(seen, options.cpus.iter().map(usize::to_string).collect::<Vec<_>>());

    let wrong = launch(&options, vec![work(); options.cpus.len() + 1]);
    assert!(matches!(wrong, Err(LaunchError::CpuCount { .. })), "{wrong:?}");
    let missing = LaunchOptions { cpus: vec![options.cpus[0], 100_000], ..options.clone() };
    let wrong = launch(&missing, vec![work(), work()]);
    assert!(matches!(wrong, Err(LaunchError::Preflight(PreflightError::NoSuchCpu { cpu: 100_000, .. }))), "{wrong:?}");
}

/// Goal: with workers sharing a port, each connection reaches one; nobody else can take the port meanwhile, and the check
/// for that says so.
#[test]
fn workers_share_a_port() {
    const CONNECTIONS: u32 = 64;
    let _guard = one_at_a_time();
    let reserved = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let addr = reserved.local_addr().expect("it listens");
    assert_eq!(port_is_free(addr).expect_err("taken").kind(), std::io::ErrorKind::AddrInUse);
    drop(reserved);
    port_is_free(addr).expect("free again");

    let options = options(2);
    let done = Termination::new();
    let work = |done: Termination| {
        async move |rt: GlommioRuntime| {
            let listener = rt.listen(addr, true).expect("shared");
            let accepting = async {
                let mut ends = Vec::new();
                loop {
                    ends.push(listener.accept().await.expect("somebody connects"));
                    ends.last_mut()
                        .expect("just pushed")
                        .1
                        .write_all(&mut [std::io::IoSlice::new(b"!")])
                        .await
                        .expect("there");
                }
            };
            or(accepting, done.requested(1)).await;
        }
    };
    let workers = launch(&options, options.cpus.iter().map(|_| work(done.clone())).collect()).expect("free CPUs");
    let mut connections = Vec::new();
    while connections.len() < CONNECTIONS as usize {
        // The workers may not listen yet.
        if let Ok(mut connection) = std::net::TcpStream::connect(addr) {
            std::io::Read::read_exact(&mut connection, &mut [0; 1]).expect("accepted and greeted");
            connections.push(connection);
        }
    }
    assert_eq!(port_is_free(addr).expect_err("the workers listen").kind(), std::io::ErrorKind::AddrInUse);
    done.request();
    join(workers);
    drop(connections);
    port_is_free(addr).expect("lingering connections do not keep the port");
}

/// Goal: SIGTERM and SIGINT reach a worker that sleeps, and are counted.
#[test]
fn signals_wake_a_worker() {
    let _guard = one_at_a_time();
    let termination = on_termination().expect("handlers");
    let waiting = termination.clone();
    run_unpinned(|rt| async move {
        assert!(poll_once(waiting.requested(1)).await.is_none());
        rt.spawn(TaskClass::Background, async {
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM).expect("a signal to ourselves");
        });
        waiting.requested(1).await;
        signal_hook::low_level::raise(signal_hook::consts::SIGINT).expect("a signal to ourselves");
        waiting.requested(2).await;
    })
    .expect("an executor");
    assert_eq!(termination.requests(), 2);
}

/// Goal: an operation that waits may be polled far more often than glommio's counters bear.
#[test]
fn waiting_operations_bear_many_polls() {
    let _guard = one_at_a_time();
    run_unpinned(|rt| async move {
        let listener = rt.listen(([127, 0, 0, 1], 0).into(), false).expect("a free port");
        let mut accepting = Box::pin(listener.accept());
        for _ in 0..70_000 {
            assert!(poll_once(&mut accepting).await.is_none());
        }
        let addr = listener.local_addr().expect("it listens");
        let (here, there) = futures_lite::future::zip(rt.connect(addr), accepting).await;
        drop((here.expect("somebody listens"), there.expect("somebody connects")));
    })
    .expect("an executor");
}
