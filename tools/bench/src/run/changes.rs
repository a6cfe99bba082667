//! Who changes the stream while it is in use: one after the other, at a pace, on a thread of its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use millstream::runtime::tokio::block_on;

use super::Setup;
use super::control::Control;
use crate::clock::now_ns;
use crate::driver::Driver;
use crate::result::ChangeTotals;
use crate::rng::Rng;
use crate::workload::Changes;

/// The part of the workload's randomness that is used here: producers have the parts from 0 on.
const PART: u64 = u64::MAX / 2;

/// Longest nap between two looks whether the load has ended.
const NAP_NS_MAX: u64 = 20_000_000;

/// Makes the changes of a run until its load ends; gives what became of them.
pub(super) fn start<D: Driver>(
    setup: &Setup,
    changes: &Changes,
    control: &Arc<Control>,
) -> Result<JoinHandle<Result<ChangeTotals>>> {
    let (setup, changes, control) = (setup.clone(), changes.clone(), Arc::clone(control));
    let work = async move || {
        let driver = D::connect(&setup.target).await.context("who changes the stream cannot connect")?;
        let times = super::started(&control).await?;
        let mut rng = Rng::part(setup.workload.seed, PART);
        let mut totals = ChangeTotals::default();
        let mut due_ns = times.start_ns + changes.every.0;
        loop {
            let now = now_ns();
            if now >= control.end_ns() || control.is_drained(now) {
                return Ok(totals);
            }
            if now < due_ns {
                tokio::time::sleep(Duration::from_nanos((due_ns - now).min(NAP_NS_MAX))).await;
                continue;
            }
            due_ns = (due_ns + changes.every.0).max(now);
            let kind = changes.kinds[rng.below(changes.kinds.len() as u64) as usize];
            let dice = rng.number();
            let began = Instant::now();
            let made = driver.change(&setup.stream, kind, &changes, dice).await;
            totals.longest_ms = totals.longest_ms.max(began.elapsed().as_millis() as u64);
            match made {
                Ok(()) => *totals.made.entry(kind.name().to_owned()).or_default() += 1,
                Err(failure) => *totals.refused.entry(format!("{}: {}", kind.name(), failure.kind)).or_default() += 1,
            }
        }
    };
    let run = move || block_on(async move |_| work().await).map_err(anyhow::Error::from).and_then(|done| done);
    Ok(std::thread::Builder::new().name("changes".to_owned()).spawn(run)?)
}
