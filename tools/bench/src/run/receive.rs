//! A thread that receives: one consumer per shard for each of its groups, everything verified. Shards that are split or merged
//! meanwhile are followed, parents before children.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result};

use super::control::{Between, Control};
use super::lineage::Lineage;
use super::recorder::{Recorder, cut_slices};
use super::{Message, Setup};
use crate::clock::now_ns;
use crate::driver::{Consumer, Driver, Failure, From};
use crate::payload;
use crate::result::CatchUp;
use crate::verify::Reader;
use crate::workload::Read;

/// Time from one look whether everything has come to the next.
const LOOK: Duration = Duration::from_millis(20);

/// A consumer that met an error waits this long before it goes on.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// What a group did.
#[derive(Debug)]
pub struct GroupEnd {
    /// Its number.
    pub group: u32,
    /// Records received within the measured time, whenever sent; the backlog's apart.
    pub received: u64,
    /// Bytes of these.
    pub received_bytes: u64,
    /// Errors by kind.
    pub errors: BTreeMap<String, u64>,
    /// What it received.
    pub reader: Reader,
    /// Shards it read.
    pub shards: u64,
    /// How it read the backlog.
    pub catch_up: CatchUp,
}

/// What the consumers of a group share.
struct Group<D: Driver> {
    number: u32,
    driver: Rc<D>,
    stream: String,
    read: Read,
    lineage: RefCell<Lineage>,
    control: Arc<Control>,
    recorder: Rc<RefCell<Recorder>>,
    reader: RefCell<Reader>,
    received: Cell<u64>,
    received_bytes: Cell<u64>,
    errors: RefCell<BTreeMap<String, u64>>,
    catch_up: RefCell<CatchUp>,
    run_id: u64,
    /// Number of the producer that wrote the backlog.
    backlog_producer: u32,
}

/// Runs a receiving thread to its end.
pub(super) async fn run<D: Driver>(
    setup: &Setup,
    groups: std::ops::Range<u32>,
    thread: usize,
    control: Arc<Control>,
    to: Sender<(usize, Message)>,
) -> Result<()> {
    let workload = &setup.workload;
    let driver = Rc::new(D::connect(&setup.target).await.context("a consumer cannot connect")?);
    let shards = driver.shards(&setup.stream).await.context("the shards are not to be learnt")?;
    let recorder = Recorder::new(Arc::clone(&control), workload.load.closed.is_some());
    let from = if setup.existing { From::End } else { From::Start };
    // The backlog has a producer of its own.
    let producers = workload.load.producers + u32::from(workload.backlog.is_some());
    let mut opened = Vec::new();
    for number in groups {
        let group = Rc::new(Group {
            number,
            driver: Rc::clone(&driver),
            stream: setup.stream.clone(),
            read: workload.read.clone(),
            lineage: RefCell::new(Lineage::new(&shards, from)),
            control: Arc::clone(&control),
            recorder: Rc::clone(&recorder),
            reader: RefCell::new(Reader::new(producers, workload.records.keys.count())),
            received: Cell::new(0),
            received_bytes: Cell::new(0),
            errors: RefCell::default(),
            catch_up: RefCell::new(CatchUp { group: number, ..CatchUp::default() }),
            run_id: setup.run_id,
            backlog_producer: workload.load.producers,
        });
        let mut consumers = Vec::new();
        let due = group.lineage.borrow_mut().due();
        for shard in due {
            let consumer = driver.consumer(&setup.stream, shard, from, &workload.read).await;
            consumers.push((shard, consumer.with_context(|| format!("shard {shard} cannot be read"))?));
        }
        opened.push((group, consumers));
    }
    to.send((thread, Message::Ready)).context("the run is over")?;
    let times = super::started(&control).await?;
    recorder.borrow_mut().begin(times);
    let slices = cut_slices(Rc::clone(&recorder), Arc::clone(&control), times, thread, to.clone());
    tokio::task::spawn_local(slices);
    let mut groups = Vec::new();
    for (group, consumers) in opened {
        for (shard, consumer) in consumers {
            tokio::task::spawn_local(Rc::clone(&group).consume(shard, consumer));
        }
        groups.push(group);
    }
    loop {
        let before = now_ns();
        let complete = control
            .ledgers()
            .is_some_and(|ledgers| groups.iter().all(|group| group.reader.borrow().is_complete(ledgers)));
        if complete || control.is_drained(before) {
            break;
        }
        // With very many keys looking takes its time: never more than a tenth of it.
        let took = Duration::from_nanos(now_ns() - before);
        tokio::time::sleep(LOOK.max(took * 10)).await;
    }
    let slice = recorder.borrow_mut().take(times);
    // The run may have been given up meanwhile.
    let _ = to.send((thread, Message::Slice(Box::new(slice))));
    let ends = groups.iter().map(|group| group.end()).collect();
    let _ = to.send((thread, Message::Received { groups: ends, cpu_ns: recorder.borrow().cpu_ns }));
    Ok(())
}

impl<D: Driver> Group<D> {
    /// Reads a shard to its end, and begins with those that are due then.
    async fn consume(self: Rc<Self>, shard: u32, mut consumer: D::Consumer) {
        self.read_all(&mut consumer).await;
        let children = loop {
            match consumer.children().await {
                Ok(children) => break children,
                Err(failure) => self.failed(&failure).await,
            }
        };
        drop(consumer);
        self.lineage.borrow_mut().ended(shard, children);
        let due = self.lineage.borrow_mut().due();
        for shard in due {
            tokio::task::spawn_local(Rc::clone(&self).follow(shard));
        }
    }

    /// Reads a shard that was not there in the beginning.
    fn follow(self: Rc<Self>, shard: u32) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            let consumer = loop {
                match self.driver.consumer(&self.stream, shard, From::Start, &self.read).await {
                    Ok(consumer) => break consumer,
                    Err(failure) => self.failed(&failure).await,
                }
            };
            self.consume(shard, consumer).await;
        })
    }

    /// Counts an error, and waits before the next try.
    async fn failed(&self, failure: &Failure) {
        *self.errors.borrow_mut().entry(failure.kind.clone().into_owned()).or_default() += 1;
        tokio::time::sleep(AFTER_ERROR).await;
    }

    async fn read_all(&self, consumer: &mut D::Consumer) {
        loop {
            let mut arrived = None;
            let received = consumer
                .next(&mut |key, data| {
                    // One look at the clock for all that came together, before anything is checked.
                    let now = *arrived.get_or_insert_with(now_ns);
                    self.record(now, key, data);
                })
                .await;
            if let Some(now) = arrived {
                self.control.event(Between::Records, now);
            }
            match received {
                Ok(received) if received.ended => return,
                Ok(_) => {}
                Err(failure) => self.failed(&failure).await,
            }
        }
    }

    fn record(&self, now: u64, key: &str, data: &[u8]) {
        let recorder = &mut *self.recorder.borrow_mut();
        let mut reader = self.reader.borrow_mut();
        let tag = match payload::read(self.run_id, key, data) {
            Ok(tag) => tag,
            Err(error) => return reader.damaged(key, &error),
        };
        reader.received(&tag);
        recorder.slice.received += 1;
        recorder.slice.received_bytes += data.len() as u64;
        if tag.producer == self.backlog_producer {
            return self.caught_up(now, data.len() as u64);
        }
        if self.control.is_measured(now) {
            self.received.set(self.received.get() + 1);
            self.received_bytes.set(self.received_bytes.get() + data.len() as u64);
        }
        if self.control.is_measured(tag.intended_ns) {
            recorder.slice.put_to_get.record(now.saturating_sub(tag.intended_ns));
            if !recorder.is_closed {
                recorder.slice.put_to_get_actual.record(now.saturating_sub(tag.actual_ns));
            }
        }
    }

    fn caught_up(&self, now: u64, bytes: u64) {
        let catch_up = &mut *self.catch_up.borrow_mut();
        catch_up.records += 1;
        catch_up.bytes += bytes;
        if catch_up.records == self.control.backlog_records.load(Ordering::Relaxed) {
            let start = self.control.times().expect("the load runs").start_ns;
            let seconds = now.saturating_sub(start).max(1) as f64 / 1e9;
            catch_up.seconds = Some(seconds);
            catch_up.bytes_per_s = catch_up.bytes as f64 / seconds;
        }
    }

    fn end(&self) -> GroupEnd {
        GroupEnd {
            group: self.number,
            received: self.received.get(),
            received_bytes: self.received_bytes.get(),
            errors: self.errors.borrow().clone(),
            reader: self.reader.borrow().clone(),
            shards: self.lineage.borrow().found() as u64,
            catch_up: self.catch_up.borrow().clone(),
        }
    }
}
