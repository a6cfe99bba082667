//! Time, order, repeatability, and how a run that cannot go on ends.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;

use super::*;
use crate::runtime::{ConnectedReceiver, ConnectedSender, Listener, ReadHalf, Receiver, Sender, TaskClass, WriteHalf};

/// A bit of everything: files, timers, a connection between hosts, a mailbox, random numbers, a crash.
fn workload(seed: u64) -> (u64, Vec<String>) {
    let sim = Sim::new(seed, SimOptions::default());
    let (server, client) = (sim.host("server"), sim.host("client"));
    sim.create_dir_all(server, "/d").expect("an empty disk");
    let rt = sim.runtime(server);
    let addr = (sim.ip(server), 700).into();
    let (tx, rx) = SimRuntime::mailbox::<Vec<u8>>(2);
    let listener = rt.listen(addr, false).expect("a free port");
    sim.spawn(server, async move {
        let tx = tx.connect().await;
        while let Ok((mut reader, _writer)) = listener.accept().await {
            let mut bytes = BytesMut::with_capacity(100);
            while let Ok(1..) = reader.read(&mut bytes).await {}
            if tx.send(bytes.to_vec()).await.is_err() {
                return;
            }
        }
    });
    let storing = sim.runtime(server);
    sim.spawn(server, async move {
        let rx = rx.connect().await;
        let file = create(&storing, "log").await;
        let mut at = 0;
        while let Some(message) = rx.recv().await {
            let mut buf = storing.alloc(BLOCK_BYTES);
            buf.as_mut()[..message.len()].copy_from_slice(&message);
            buf.as_mut()[100..108].copy_from_slice(&storing.random().to_le_bytes());
            file.write_at(&storing.freeze(buf, BLOCK_BYTES), at).await.expect("no faults");
            file.sync().await.expect("no faults");
            at += BLOCK;
        }
    });
    for worker in 0..3_u8 {
        let rt = sim.runtime(client);
        sim.spawn(client, async move {
            for round in 0..5_u8 {
                rt.sleep(Duration::from_micros(rt.random() % 500)).await;
                let (_reader, mut writer) = rt.connect(addr).await.expect("it listens");
                writer.write_all(&mut [IoSlice::new(&[worker, round]), IoSlice::new(&[7; 50])]).await.expect("open");
            }
        });
    }
    sim.run_for(Duration::from_millis(20));
    sim.power_loss(server);
    sim.run_until_idle();
    (sim.trace_hash(), sim.trace_tail())
}

/// Goal: the same seed gives the same trace, different seeds give different ones.
#[test]
fn the_seed_decides_everything() {
    let mut hashes = BTreeSet::new();
    for seed in 0..20 {
        let (hash, tail) = workload(seed);
        assert_eq!((hash, tail), workload(seed), "seed {seed}");
        hashes.insert(hash);
    }
    assert_eq!(hashes.len(), 20);
}

/// Goal: time jumps to the next timer, never further than the deadline, and a wall clock moves for itself.
#[test]
fn time_is_virtual() {
    let (sim, host) = one_host(1);
    let rt = sim.runtime(host);
    let (start, wall) = (sim.now(), rt.wall());
    let sleeping = sim.runtime(host);
    sim.spawn(host, async move { sleeping.sleep(Duration::from_secs(86_400)).await });
    sim.run_for(Duration::from_secs(10));
    assert_eq!(sim.now().since(start), 10_000_000);
    sim.run_until_idle();
    let slept = sim.now().since(start);
    assert!((86_400_000_000..86_400_001_000).contains(&slept), "{slept}");
    sim.jump_wall(host, -5_000_000);
    assert_eq!(rt.wall().0, wall.0 + slept - 5_000_000);
    assert_eq!(rt.now().since(start), slept);
}

/// Goal: over seeds, ready tasks run in every order; in FIFO scheduling in one.
#[test]
fn order_is_up_to_the_seed() {
    let order = |seed, scheduling| {
        let sim = Sim::new(seed, SimOptions { scheduling, ..SimOptions::default() });
        let host = sim.host("node");
        let order = Rc::new(RefCell::new(Vec::new()));
        for task in 0..3 {
            let order = Rc::clone(&order);
            sim.runtime(host).spawn(TaskClass::Latency, async move { order.borrow_mut().push(task) });
        }
        sim.run_until_idle();
        order.take()
    };
    let seen: BTreeSet<_> = (0..60).map(|seed| order(seed, Scheduling::Random)).collect();
    assert_eq!(seen.len(), 6);
    let seen: BTreeSet<_> = (0..10).map(|seed| order(seed, Scheduling::Fifo)).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [[0, 1, 2]]);
}

fn panic_of(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it must panic");
    panic.downcast_ref::<String>().expect("a formatted message").clone()
}

/// Goal: a deadlock, a livelock and an endless run each panic with the seed, the tail of the trace and the hint.
#[test]
fn runs_that_cannot_end_say_so() {
    let options = || SimOptions {
        polls_max: 5_000,
        polls_per_instant_max: 1_000,
        replay_hint: "run it again".to_owned(),
        ..SimOptions::default()
    };
    let deadlock = panic_of(|| {
        let sim = Sim::new(77, options());
        let rt = sim.runtime(sim.host("node"));
        sim.block_on(async {
            rt.sleep(Duration::from_millis(1)).await;
            std::future::pending::<()>().await;
        });
    });
    assert!(deadlock.contains("deadlock"), "{deadlock}");
    assert!(deadlock.contains("seed 77"), "{deadlock}");
    assert!(deadlock.contains("poll main"), "{deadlock}");
    assert!(deadlock.contains("run it again"), "{deadlock}");

    let livelock = panic_of(|| {
        let sim = Sim::new(1, options());
        let host = sim.host("node");
        sim.spawn(host, async {
            loop {
                futures_lite::future::yield_now().await;
            }
        });
        sim.run_until_idle();
    });
    assert!(livelock.contains("without time moving"), "{livelock}");

    let endless = panic_of(|| {
        let sim = Sim::new(1, options());
        let rt = sim.runtime(sim.host("node"));
        sim.block_on(async {
            loop {
                rt.sleep(Duration::from_millis(1)).await;
            }
        });
    });
    assert!(endless.contains("budget of 5000 polls"), "{endless}");
}

/// Goal: waiting for a condition ends when it holds, at the deadline, or when nothing can happen any more.
#[test]
fn run_until_is_bounded() {
    let (sim, host) = one_host(1);
    let start = sim.now();
    let rt = sim.runtime(host);
    sim.spawn(host, async move { rt.sleep(Duration::from_secs(2)).await });
    let after = |us| move |sim: &Sim| sim.now().since(start) >= us;
    assert!(!sim.run_until(|| after(2_000_000)(&sim), Duration::from_secs(1)));
    assert!(sim.run_until(|| after(2_000_000)(&sim), Duration::from_secs(5)));
    assert!(sim.now().since(start) < 2_100_000);
    assert!(!sim.run_until(|| false, Duration::from_secs(5)));
}

/// Goal: dropping the simulation drops its tasks, though they hold handles to it.
#[test]
fn dropping_it_drops_the_tasks() {
    let (sim, host) = one_host(1);
    let (rt, witness) = (sim.runtime(host), Rc::new(()));
    let (held, driver) = (Rc::clone(&witness), sim.clone());
    sim.spawn(host, async move {
        let _file = create(&rt, "open").await;
        let _lock = rt.lock(Path::new("/d/lock")).await;
        let _listener = rt.listen(([0, 0, 0, 0], 0).into(), false);
        let _kept = (held, driver);
        std::future::pending::<()>().await;
    });
    sim.run_until_idle();
    assert_eq!(Rc::strong_count(&witness), 2);
    drop(sim);
    assert_eq!(Rc::strong_count(&witness), 1);
}
