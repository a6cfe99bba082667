//! Spawning and yielding.

use std::cell::Cell;
use std::rc::Rc;

use super::{Link, eventually};
use crate::runtime::{Reactor, TaskClass};

const CLASSES: [TaskClass; 3] = [TaskClass::Latency, TaskClass::Throughput, TaskClass::Background];

/// Tasks of every class run to their end.
pub async fn every_class_runs<R: Reactor>(rt: &R, _: &impl Link<R>) {
    let ended = Rc::new(Cell::new(0));
    for class in CLASSES {
        for _ in 0..100 {
            let (task, ended) = (rt.clone(), Rc::clone(&ended));
            rt.spawn(class, async move {
                task.yield_now().await;
                ended.set(ended.get() + 1);
            });
        }
    }
    eventually(rt, "300 tasks end", async || (ended.get() == 300).then_some(())).await;
}

/// A task that only yields does not keep tasks of any class from running.
pub async fn yielding_lets_others_run<R: Reactor>(rt: &R, _: &impl Link<R>) {
    for class in CLASSES {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        rt.spawn(class, async move { flag.set(true) });
        for _ in 0..100_000 {
            if ran.get() {
                break;
            }
            rt.yield_now().await;
        }
        assert!(ran.get(), "{class:?} did not run in 100,000 yields");
    }
}

/// A task can start others, and they outlive it.
pub async fn tasks_start_tasks<R: Reactor>(rt: &R, _: &impl Link<R>) {
    let (ended, outer) = (Rc::new(Cell::new(false)), rt.clone());
    let flag = Rc::clone(&ended);
    rt.spawn(TaskClass::Latency, async move {
        let inner = outer.clone();
        outer.spawn(TaskClass::Throughput, async move {
            inner.yield_now().await;
            flag.set(true);
        });
    });
    eventually(rt, "the task of a task ends", async || ended.get().then_some(())).await;
}
