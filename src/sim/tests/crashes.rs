//! Hosts that go down, and what their processes leave.

use std::collections::BTreeSet;

use bytes::BytesMut;

use super::*;
use crate::runtime::{Listener, ReadHalf};

/// Goal: a killed process loses nothing that completed, synced or not; what was in flight is there or not.
#[test]
fn a_kill_keeps_what_completed() {
    let mut in_flight = BTreeSet::new();
    for seed in 0..60 {
        let (sim, host) = one_host(seed);
        let rt = sim.runtime(host);
        let completed = Rc::new(RefCell::new(false));
        let flag = Rc::clone(&completed);
        sim.spawn(host, async move {
            let file = rt.open(Path::new("/d/f"), Open::CreateNew).await.expect("the name is free");
            file.write_at(&filled(&rt, 2, 1), 0).await.expect("no faults");
            flag.replace(true);
            file.write_at(&filled(&rt, 2, 2), 0).await.expect("no faults");
            unreachable!("killed before");
        });
        assert!(sim.run_until(|| *completed.borrow(), Duration::from_secs(1)));
        sim.kill(host);
        sim.run_until_idle();
        let after = sim.read_file(host, "/d/f").expect("created");
        assert_eq!(after.len(), 2 * BLOCK_BYTES);
        in_flight.insert([after[0], after[BLOCK_BYTES]]);
    }
    assert_eq!(in_flight.into_iter().collect::<Vec<_>>(), [[1, 1], [2, 1], [2, 2]], "not, in part, wholly");
}

/// Goal: what a dead process still holds does not act: no write lands, no lock is released, no timer fires, no task starts.
#[test]
fn the_dead_do_not_act() {
    let (sim, host) = one_host(5);
    let old = sim.runtime(host);
    let (file, lock) = sim
        .block_on(async { (create(&old, "f").await, old.lock(Path::new("/d/lock")).await.expect("nobody holds it")) });
    sim.kill(host);
    assert!(!old.is_alive());
    let new = sim.runtime(host);
    assert_eq!((old.incarnation(), new.incarnation()), (0, 1));
    let held = sim.block_on(new.lock(Path::new("/d/lock"))).expect("the kill released it");
    drop(lock);
    let again = sim.block_on(new.lock(Path::new("/d/lock")));
    assert!(again.is_err(), "the dead process's lock released the new one");
    drop(held);

    let acted = Rc::new(RefCell::new(Vec::new()));
    let note = |what: &'static str| {
        let acted = Rc::clone(&acted);
        move || acted.borrow_mut().push(what)
    };
    // Tasks of the new process that use what the old one left.
    let (done, rt) = (note("write"), old.clone());
    sim.spawn(host, async move {
        let _ = file.write_at(&filled(&rt, 1, 1), 0).await;
        done();
    });
    let (done, rt) = (note("sleep"), old.clone());
    sim.spawn(host, async move {
        rt.sleep(Duration::from_millis(1)).await;
        done();
    });
    let done = note("task");
    old.spawn(crate::runtime::TaskClass::Latency, async move { done() });
    assert!(old.listen(([0, 0, 0, 0], 9).into(), false).is_err());
    sim.run_until_idle();
    assert!(acted.borrow().is_empty(), "{acted:?}");
    assert_eq!(sim.files(host), [("/d/f".to_owned(), 0), ("/d/lock".to_owned(), 0)]);
}

/// Goal: a host can go down at every single poll of its tasks, by either way, from whoever says so; and what was synced
/// before is there afterwards.
#[test]
fn a_crash_at_every_await() {
    for power in [false, true] {
        let mut progress = BTreeSet::new();
        for polls in 1..60 {
            let (sim, host) = one_host(9);
            let rt = sim.runtime(host);
            let synced = Rc::new(RefCell::new(0_u64));
            let count = Rc::clone(&synced);
            sim.spawn(host, async move {
                let file = create(&rt, "f").await;
                for block in 0..8 {
                    file.write_at(&filled(&rt, 1, block + 1), u64::from(block) * BLOCK).await.expect("no faults");
                    file.sync().await.expect("no faults");
                    count.replace_with(|n| *n + 1);
                }
            });
            if power {
                sim.power_loss_after_polls(host, polls)
            } else {
                sim.kill_after_polls(host, polls)
            }
            sim.run_until_idle();
            assert!(sim.host_polls(host) <= polls);
            let synced = *synced.borrow();
            progress.insert(synced);
            let after = sim.read_file(host, "/d/f").unwrap_or_default();
            for block in 0..synced {
                let at = (block * BLOCK) as usize;
                assert!(after[at..at + BLOCK_BYTES].iter().all(|&byte| u64::from(byte) == block + 1), "after {polls}");
            }
        }
        assert_eq!(progress.len(), 9, "crashes between all steps: {progress:?}");
    }
}

/// Goal: a driver on another host can bring a host down while it works, a task can bring down its own host, and futures
/// that call into the simulation when they are dropped do no harm.
#[test]
fn crashes_from_inside() {
    struct CallsBack(SimRuntime, Rc<RefCell<u32>>);
    impl Drop for CallsBack {
        fn drop(&mut self) {
            let rt = self.0.clone();
            self.0.spawn(crate::runtime::TaskClass::Background, async move { rt.yield_now().await });
            let _ = self.0.listen(([0, 0, 0, 0], 0).into(), false);
            let _ = self.0.random();
            *self.1.borrow_mut() += 1;
        }
    }
    let (sim, host) = one_host(2);
    let driver = sim.host("driver");
    let drops = Rc::new(RefCell::new(0));
    let start = |sim: &Sim| {
        let (rt, drops) = (sim.runtime(host), Rc::clone(&drops));
        sim.spawn(host, async move {
            let _guard = CallsBack(rt.clone(), drops);
            loop {
                rt.sleep(Duration::from_millis(1)).await;
            }
        });
    };
    start(&sim);
    let (handle, rt) = (sim.clone(), sim.runtime(driver));
    sim.spawn(driver, async move {
        rt.sleep(Duration::from_millis(50)).await;
        handle.power_loss(host);
    });
    sim.run_until_idle();
    assert_eq!(*drops.borrow(), 1);
    start(&sim);
    let (handle, rt) = (sim.clone(), sim.runtime(host));
    sim.spawn(host, async move {
        rt.sleep(Duration::from_millis(5)).await;
        handle.kill(host);
        rt.sleep(Duration::from_millis(5)).await;
        unreachable!("it killed itself");
    });
    sim.run_until_idle();
    assert_eq!(*drops.borrow(), 2);
    start(&sim);
    sim.kill_after(host, Duration::from_secs(1));
    sim.run_until_idle();
    assert_eq!(*drops.borrow(), 3);
}

/// Goal: a peer learns of the other host's end: at once after a kill, by the end of the stream or by a reset; much later
/// after a power failure. The port is free for the next process.
#[test]
fn peers_learn_of_a_crash() {
    let mut ends = BTreeSet::new();
    for seed in 0..40 {
        let power = seed % 2 == 1;
        let sim = Sim::new(seed, SimOptions::default());
        let (server, client) = (sim.host("server"), sim.host("client"));
        let (rt, peer) = (sim.runtime(server), sim.runtime(client));
        let addr = (sim.ip(server), 7).into();
        sim.spawn(server, async move {
            let listener = rt.listen(addr, false).expect("a free port");
            let mut ends = Vec::new();
            while let Ok(end) = listener.accept().await {
                ends.push(end);
            }
        });
        sim.run_for(Duration::from_millis(1));
        let (mut reader, _writer) = sim.block_on(peer.connect(addr)).expect("it listens");
        sim.run_for(Duration::from_millis(100));
        let down = sim.now();
        if power {
            sim.power_loss(server)
        } else {
            sim.kill(server)
        }
        let mut bytes = BytesMut::with_capacity(1);
        let end = sim.block_on(reader.read(&mut bytes)).map_err(|error| error.kind());
        assert!(power || sim.now().since(down) < 50_000);
        ends.insert((power, end.is_ok()));
        sim.runtime(server).listen(addr, false).expect("the port is free again");
        let refused = sim.block_on(peer.connect(addr)).err().map(|error| error.kind());
        assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    }
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(false, false), (false, true), (true, false)]);
}
