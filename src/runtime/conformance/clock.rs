//! Time, timers and randomness.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use super::{Link, eventually, soon};
use crate::runtime::{Reactor, TaskClass};

/// Monotonic time never goes back and counts what sleeping takes.
pub async fn time_goes_on<R: Reactor>(rt: &R, _: &impl Link<R>) {
    let start = rt.now();
    let mut last = start;
    for _ in 0..1_000 {
        let now = rt.now();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
    rt.sleep(Duration::from_millis(20)).await;
    let slept = rt.now().since(start);
    assert!(slept >= 20_000, "20 ms of sleep took {slept} us");
    rt.sleep(Duration::ZERO).await;
    assert!(rt.wall().0 > 0);
}

/// The shorter sleep ends first, whichever started first.
pub async fn sleeps_end_in_order<R: Reactor>(rt: &R, _: &impl Link<R>) {
    let ended = Rc::new(RefCell::new(Vec::new()));
    for ms in [60, 20, 40] {
        let (sleeper, ended) = (rt.clone(), Rc::clone(&ended));
        rt.spawn(TaskClass::Latency, async move {
            sleeper.sleep(Duration::from_millis(ms)).await;
            ended.borrow_mut().push(ms);
        });
    }
    eventually(rt, "three sleeps end", async || (ended.borrow().len() == 3).then_some(())).await;
    assert_eq!(*ended.borrow(), [20, 40, 60]);
}

/// A sleep that is dropped neither holds up nor wakes anybody.
pub async fn sleeps_can_be_dropped<R: Reactor>(rt: &R, _: &impl Link<R>) {
    let long = async {
        rt.sleep(Duration::from_secs(3_600)).await;
        "long"
    };
    let short = async {
        rt.sleep(Duration::from_millis(1)).await;
        "short"
    };
    assert_eq!(soon(rt, "the shorter of two sleeps", or(long, short)).await, "short");
}

/// Random numbers do not repeat (64 of 64 bits: twice the same among 256 happens once in 10^14 runs).
pub async fn random_numbers_differ<R: Reactor>(rt: &R, _: &impl Link<R>) {
    let drawn: BTreeSet<u64> = (0..256).map(|_| rt.random()).collect();
    assert_eq!(drawn.len(), 256);
}
