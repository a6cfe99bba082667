//! Writes the backlog: as fast as it goes, in batches, before anything is measured. It has a producer of its own, numbered
//! after those of the load, so that its records are verified like all others and told apart from them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use millstream::runtime::local::Notify;

use super::Setup;
use super::control::Control;
use crate::clock::now_ns;
use crate::driver::{Done, Driver, Outgoing, Producer, Sent};
use crate::payload::{Tag, Writer, key_text};
use crate::rng::Rng;
use crate::verify::Ledger;
use crate::workload::{Batch, BatchMode};

/// Records handed over before the connection gets a turn.
const TURN_RECORDS: u32 = 256;

pub(super) async fn write<D: Driver>(setup: &Setup, control: &Control, interrupt: &AtomicBool) -> Result<Ledger> {
    let workload = &setup.workload;
    let bytes_wanted = workload.backlog.map_or(0, |backlog| backlog.bytes.0);
    let producer = workload.load.producers;
    let driver = D::connect(&setup.target).await.context("cannot connect")?;
    let (open, changed) = (Rc::new(Cell::new(0_u64)), Rc::new(Notify::new()));
    let failure = Rc::new(RefCell::new(None));
    let done: Done = {
        let (open, changed, failure) = (Rc::clone(&open), Rc::clone(&changed), Rc::clone(&failure));
        Rc::new(move |sents, outcome| {
            open.set(open.get() - sents.len() as u64);
            if let Err(error) = outcome {
                failure.borrow_mut().get_or_insert_with(|| error.clone());
            }
            changed.notify();
        })
    };
    let batch = Batch { mode: BatchMode::Raw, ..workload.batch };
    let sending = driver.producer(&setup.stream, &batch, done).await.context("a producer cannot be opened")?;
    let (keys, sizes) = (workload.records.keys.draw(), workload.records.size.draw());
    let texts: Vec<_> = (0..workload.records.keys.count()).map(key_text).collect();
    let mut rng = Rng::part(workload.seed, 3_000);
    let mut writer = Writer::new(setup.run_id, &mut Rng::part(workload.seed, 3_001));
    let mut ledger = Ledger::new(producer, 1, workload.records.keys.count());
    let (mut bytes_sent, mut records) = (0, 0);
    while bytes_sent < bytes_wanted {
        let (key, bytes, now) = (keys.next(&mut rng), sizes.next(&mut rng), now_ns());
        let seq = ledger.next(producer, key);
        let data = writer.write(&Tag { producer, key, seq, intended_ns: now, actual_ns: now }, bytes);
        let sent = Sent { producer, key, seq, intended_ns: now, actual_ns: now, bytes: bytes as u32 };
        open.set(open.get() + 1);
        sending.send(Outgoing { key: &texts[key as usize], data }, sent).await.context("the backlog is not taken")?;
        bytes_sent += bytes as u64;
        records += 1;
        if records % u64::from(TURN_RECORDS) == 0 {
            if interrupt.load(Ordering::Relaxed) {
                bail!("interrupted while the backlog was written");
            }
            tokio::task::yield_now().await;
        }
    }
    sending.flush();
    changed.until(|| (open.get() == 0).then_some(())).await;
    if let Some(failure) = failure.take() {
        return Err(anyhow::Error::from(failure).context("the backlog cannot be written"));
    }
    ledger.all_acked();
    control.backlog_records.store(records, Ordering::Relaxed);
    Ok(ledger)
}
