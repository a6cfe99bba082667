//! The engine of a run: threads that send, threads that receive, and this one, which listens to them.
//!
//! Operation:
//! 1. The stream is made, and the backlog written if there is one. Timer and generator are measured.
//! 2. Threads connect and open what they need. When all are ready the start is set, a little ahead.
//! 3. Slices come in and are merged; faults are carried out; an interrupt moves the end to now.
//! 4. Producers end when every record has an outcome. Consumers then learn what was sent, and end when they have it.
//!    [`Workload::drain`] bounds both.
//! 5. What everybody knows becomes the result.

mod backlog;
mod calibrate;
mod changes;
pub mod control;
mod finish;
mod lineage;
mod merge;
pub mod receive;
pub mod recorder;
pub mod send;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use millstream::runtime::tokio::block_on;

use crate::clock::{now_ns, unix_ms};
use crate::driver::{Driver, ServerInfo, StreamSpec, Target};
use crate::node::Node;
use crate::pace::Pacer;
use crate::process::{Meter, Stolen};
use crate::result::{Environment, FaultOutcome, RunResult};
use crate::stats::Histogram;
use crate::verify::Ledger;
use crate::workload::{Fault, Workload};
use control::{Between, Control, Times};
use merge::Merge;
use receive::GroupEnd;
use send::SendEnd;

/// Length of a slice.
pub const INTERVAL_MS: u64 = 1_000;

/// From "everybody is ready" to the start: enough for all threads to see it.
const LEAD_NS: u64 = 50_000_000;

/// How often this thread looks after faults, interrupts and the node.
const LOOK: Duration = Duration::from_millis(20);

/// Longest time for all threads to become ready.
const READY_NS_MAX: u64 = 120_000_000_000;

/// A run to be made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The workload, checked.
    pub workload: Workload,
    /// The server.
    pub target: Target,
    /// The stream's name.
    pub stream: String,
    /// It exists, and has other records: readers begin at its end, and it is not deleted.
    pub existing: bool,
    /// The stream is left as it is in the end.
    pub keep_stream: bool,
    /// Names the run; in every record.
    pub run_id: u64,
    /// What the person running it called it.
    pub label: Option<String>,
    /// The command line.
    pub command: Vec<String>,
    /// The machine.
    pub environment: Environment,
    /// The node's process, if it is on this machine and was not started by the run.
    pub node_pid: Option<u32>,
    /// Measure what the generator can do against the null server first.
    pub calibrate: bool,
}

impl Setup {
    /// A run with a number, and a stream, of its own.
    #[must_use]
    pub fn new(workload: Workload, target: Target) -> Self {
        let run_id = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
        Self {
            workload,
            target,
            stream: format!("bench-{run_id:016x}"),
            existing: false,
            keep_stream: false,
            run_id,
            label: None,
            command: Vec::new(),
            environment: Environment::default(),
            node_pid: None,
            calibrate: false,
        }
    }
}

/// What a thread tells this one.
#[derive(Debug)]
pub enum Message {
    /// It can start.
    Ready,
    /// A slice is over.
    Slice(Box<Slice>),
    /// A sending thread is done.
    Sent(Box<SendEnd>),
    /// A receiving thread is done.
    Received {
        /// Its groups.
        groups: Vec<GroupEnd>,
        /// CPU time in the measured time.
        cpu_ns: f64,
    },
    /// Something was done to the node; or could not be.
    Fault(Result<FaultOutcome, String>),
    /// It cannot go on.
    Failed(String),
}

/// Watches a run: the live view, the files that are written along the way. Called on one thread, not on those that measure.
pub trait Observer {
    /// The load begins.
    fn started(&mut self, plan: &Plan<'_>) {
        let _ = plan;
    }

    /// A slice of the run is over. Slices come in order, about once per [`Plan::interval_ms`].
    fn slice(&mut self, slice: &Slice) {
        let _ = slice;
    }

    /// Something happened that people should know: a phase, a fault, a warning.
    fn note(&mut self, text: &str) {
        let _ = text;
    }

    /// The run is over.
    fn finished(&mut self, result: &RunResult) {
        let _ = result;
    }
}

/// What is about to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The workload.
    pub workload: &'a Workload,
    /// Length of a slice.
    pub interval_ms: u64,
    /// The driver and address.
    pub target: &'a str,
    /// What the server calls itself.
    pub server: &'a str,
    /// When the load begins: CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// The same moment on the wall clock: milliseconds since the Unix epoch.
    pub start_unix_ms: u64,
}

/// What happened in a slice of the run, all threads together. Histograms are of this slice alone.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// When it began: nanoseconds from [`Plan::start_ns`].
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// It lies in the warm-up, and does not count.
    pub warmup: bool,
    /// Records the schedule had.
    pub scheduled: u64,
    /// Records handed to the driver.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Bytes of data acknowledged.
    pub acked_bytes: u64,
    /// Records that failed or whose outcome is unknown.
    pub failed: u64,
    /// Records received, all groups together.
    pub received: u64,
    /// Bytes of data received, all groups together.
    pub received_bytes: u64,
    /// From the intended time to the acknowledgement.
    pub put_ack: Histogram,
    /// From the actual time to the acknowledgement.
    pub put_ack_actual: Histogram,
    /// From the intended time until a consumer has the record.
    pub put_to_get: Histogram,
    /// From the actual time until a consumer has the record.
    pub put_to_get_actual: Histogram,
    /// From the intended to the actual time.
    pub send_lag: Histogram,
}

/// Waits for the start. An error says that there will be none.
async fn started(control: &Control) -> Result<Times> {
    loop {
        if let Some(times) = control.times() {
            return Ok(times);
        }
        if control.is_drained(now_ns()) {
            bail!("the run was given up before it began");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Makes a run. `node` is the node that the run started, if it did; `interrupt` ends the load early, and the result is that
/// of the time until then.
///
/// # Errors
/// When it cannot be made at all. Whatever goes wrong once the load runs is in the result.
pub fn run<D: Driver>(
    setup: &Setup,
    node: Option<&Arc<Mutex<Node>>>,
    interrupt: &AtomicBool,
    observers: &mut [&mut dyn Observer],
) -> Result<RunResult> {
    let workload = &setup.workload;
    workload.check()?;
    if node.is_none() && !workload.faults.is_empty() {
        bail!("the workload kills the node: that is done only to a node the run started itself (--start-node)");
    }
    let started_unix_ms = unix_ms();
    let note = |observers: &mut [&mut dyn Observer], text: &str| observers.iter_mut().for_each(|o| o.note(text));
    let timer = block_on(async |_| Pacer::new()?.measure(200, 1_000_000).await)??;
    let calibration = match setup.calibrate {
        true => {
            note(observers, "measuring the generator against the null server");
            Some(calibrate::calibrate(workload, interrupt).context("the generator cannot be measured")?)
        }
        false => None,
    };
    let info = prepare::<D>(setup)?;
    let control = Arc::new(Control::new(!workload.faults.is_empty()));
    let mut ledgers: Vec<Ledger> = Vec::new();
    if let Some(backlog) = workload.backlog {
        note(observers, &format!("writing a backlog of {}", backlog.bytes));
        let ledger = block_on(async |_| backlog::write::<D>(setup, &control, interrupt).await)??;
        ledgers.push(ledger);
    }
    let (to, from) = channel();
    let threads = Threads::start::<D>(setup, &control, &to)?;
    let changer = workload.changes.as_ref().map(|changes| changes::start::<D>(setup, changes, &control)).transpose()?;
    let ran = listen(setup, &control, &threads, (&to, &from), node, (interrupt, &info), ledgers, observers);
    if ran.is_err() {
        control.stop();
    }
    threads.join();
    let changes = match changer.map(JoinHandle::join) {
        None => None,
        Some(Ok(made)) => Some(made.context("the stream cannot be changed")),
        Some(Err(_)) => Some(Err(anyhow::anyhow!("the thread that changes the stream panicked"))),
    };
    if !setup.existing && !setup.keep_stream {
        // Its figures are taken; a stream that stays behind is no error.
        let _ = block_on(async |_| D::connect(&setup.target).await?.delete_stream(&setup.stream).await);
    }
    let mut result =
        finish::result::<D>(setup, ran?, finish::Before { started_unix_ms, info, timer, calibration, node });
    result.changes = changes.transpose()?;
    observers.iter_mut().for_each(|observer| observer.finished(&result));
    Ok(result)
}

/// Makes the stream and asks the server what it is.
fn prepare<D: Driver>(setup: &Setup) -> Result<ServerInfo> {
    let workload = &setup.workload;
    let largest = workload.records.size.largest() + millstream::limits::KEY_BYTES_MAX as u64;
    let wanted = workload.stream.record_bytes_max.map(|size| size.0);
    // Records that the default would refuse need a stream that takes them.
    let needed = (largest > u64::from(millstream::limits::RECORD_BYTES_DEFAULT)).then_some(largest);
    let record_bytes_max = wanted.or(needed).map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
    let spec = StreamSpec {
        name: setup.stream.clone(),
        shards: workload.stream.shards,
        durability: workload.stream.durability,
        record_bytes_max,
    };
    block_on(async |_| {
        let driver = D::connect(&setup.target).await.context("cannot connect")?;
        if !setup.existing {
            driver.create_stream(&spec).await.context("the stream cannot be created")?;
        }
        driver.info(&setup.stream).await.context("the stream cannot be described")
    })?
}

/// The threads of a run: first those that send, then those that receive.
struct Threads {
    handles: Vec<JoinHandle<()>>,
    senders: usize,
}

impl Threads {
    fn start<D: Driver>(setup: &Setup, control: &Arc<Control>, to: &Sender<(usize, Message)>) -> Result<Self> {
        let (load, read) = (&setup.workload.load, &setup.workload.read);
        let mut threads = Self { handles: Vec::new(), senders: load.threads as usize };
        for number in 0..load.threads {
            let (setup, control) = (setup.clone(), Arc::clone(control));
            threads.spawn(format!("send-{number}"), to, async move |thread, to| {
                send::run::<D>(&setup, number, thread, control, to).await
            })?;
        }
        for number in 0..if read.groups > 0 { read.threads } else { 0 } {
            let at = |n: u32| n * read.groups / read.threads;
            let (setup, control, groups) = (setup.clone(), Arc::clone(control), at(number)..at(number + 1));
            threads.spawn(format!("receive-{number}"), to, async move |thread, to| {
                receive::run::<D>(&setup, groups, thread, control, to).await
            })?;
        }
        Ok(threads)
    }

    fn spawn(
        &mut self,
        name: String,
        to: &Sender<(usize, Message)>,
        work: impl AsyncFnOnce(usize, Sender<(usize, Message)>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (thread, to) = (self.handles.len(), to.clone());
        let run = move || {
            let own = to.clone();
            let ran = block_on(async move |_| work(thread, own).await);
            if let Err(error) = ran.map_err(anyhow::Error::from).and_then(|ran| ran) {
                // Nobody listens any more: then nobody needs to know.
                let _ = to.send((thread, Message::Failed(format!("{error:#}"))));
            }
        };
        self.handles.push(std::thread::Builder::new().name(name).spawn(run)?);
        Ok(())
    }

    fn join(self) {
        for handle in self.handles {
            // A panic was told of already, by the thread itself and by whoever missed its end.
            let _ = handle.join();
        }
    }
}

/// A message and the number of the thread that sent it.
type Told = (usize, Message);

/// What the threads told.
struct Ran {
    times: Times,
    end_ns: u64,
    interrupted: bool,
    merge: Merge,
    sends: Vec<send::SendTotals>,
    ledgers: Vec<Ledger>,
    groups: Vec<GroupEnd>,
    receive_cpu_ns: f64,
    faults: Vec<FaultOutcome>,
    meter: Option<Meter>,
    stolen: Stolen,
    notes: Vec<String>,
}

/// From the first thread to be ready to the last one to end. `ledgers` is what is known of the backlog.
#[expect(clippy::too_many_arguments, reason = "called once; each is another thing")]
fn listen(
    setup: &Setup,
    control: &Arc<Control>,
    threads: &Threads,
    (to, from): (&Sender<Told>, &Receiver<Told>),
    node: Option<&Arc<Mutex<Node>>>,
    (interrupt, info): (&AtomicBool, &ServerInfo),
    ledgers: Vec<Ledger>,
    observers: &mut [&mut dyn Observer],
) -> Result<Ran> {
    let workload = &setup.workload;
    let count = threads.handles.len();
    ready(from, count, interrupt)?;
    let start_ns = now_ns() + LEAD_NS;
    let measure_ns = start_ns + workload.warmup.0;
    let times = Times { start_ns, measure_ns, interval_ns: INTERVAL_MS * 1_000_000 };
    control.begin(times, start_ns + workload.load_time().0);
    let target = describe(&setup.target);
    let plan = Plan {
        workload,
        interval_ms: INTERVAL_MS,
        target: &target,
        server: &info.server,
        start_ns,
        start_unix_ms: unix_ms() + LEAD_NS / 1_000_000,
    };
    observers.iter_mut().for_each(|observer| observer.started(&plan));
    let pid = node.map(|node| lock(node).pid()).or(setup.node_pid);
    let mut ran = Ran {
        times,
        end_ns: control.end_ns(),
        interrupted: false,
        merge: Merge::new(times, count),
        sends: Vec::new(),
        ledgers,
        groups: Vec::new(),
        receive_cpu_ns: 0.0,
        faults: Vec::new(),
        meter: pid.map(Meter::new),
        stolen: Stolen::default(),
        notes: Vec::new(),
    };
    let mut faults: std::collections::VecDeque<Fault> = workload.faults.iter().copied().collect();
    faults.make_contiguous().sort_by_key(Fault::at);
    let (mut drain_set, mut running, mut fault_under_way) = (false, count, false);
    // Whether the last look brought nothing: what was on its way then has arrived by the next.
    let mut silent = false;
    while running > 0 || fault_under_way {
        let now = now_ns();
        if interrupt.load(Ordering::Relaxed) && !ran.interrupted && now < control.end_ns() {
            ran.interrupted = true;
            faults.clear();
            control.end_by(now);
        }
        let measured = (times.measure_ns, control.end_ns());
        ran.stolen.look(now, measured);
        if let Some(meter) = &mut ran.meter {
            meter.look(now, measured);
        }
        if !drain_set && now >= control.end_ns() {
            drain_set = true;
            control.drain_by(now + workload.drain.0);
        }
        if !fault_under_way && faults.front().is_some_and(|fault| now >= measure_ns + fault.at().0) {
            let (fault, node) = (faults.pop_front().expect("looked at"), node.expect("checked at the start"));
            observers.iter_mut().for_each(|observer| observer.note(&format!("{fault:?}")));
            fault_under_way = true;
            inflict(fault, Arc::clone(node), Arc::clone(control), times, to.clone());
        }
        let (thread, message) = match from.recv_timeout(LOOK) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                // What a thread has to say comes before its end; one that ended without has panicked.
                let panicked = |thread: &usize| threads.handles[*thread].is_finished() && !ran.merge.has_ended(*thread);
                if let Some(thread) = (0..count).find(panicked).filter(|_| silent) {
                    bail!("thread {:?} of the run panicked", threads.handles[thread].thread().name());
                }
                silent = true;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the threads of the run are gone"),
        };
        silent = false;
        match message {
            Message::Ready => {}
            Message::Slice(slice) => ran.merge.add(thread, *slice, observers),
            Message::Sent(end) => {
                ran.sends.push(end.totals);
                ran.ledgers.push(end.ledger);
                running -= 1;
                ran.merge.ended(thread, observers);
                if ran.sends.len() == threads.senders {
                    control.sent(ran.ledgers.clone());
                }
            }
            Message::Received { groups, cpu_ns } => {
                ran.groups.extend(groups);
                ran.receive_cpu_ns += cpu_ns;
                running -= 1;
                ran.merge.ended(thread, observers);
            }
            Message::Fault(outcome) => {
                fault_under_way = false;
                let outcome = outcome.map_err(|error| anyhow::anyhow!("the node did not come back: {error}"))?;
                if let (Some(meter), Some(node)) = (&mut ran.meter, node) {
                    meter.switch(lock(node).pid());
                }
                ran.faults.push(outcome);
            }
            Message::Failed(error) => bail!("{error}"),
        }
    }
    ran.end_ns = control.end_ns();
    if let Some(last) = ran.faults.last_mut() {
        last.ack_gap_ms = control.take_gap(Between::Acks).map(|ns| ns / 1_000_000);
        last.receive_gap_ms = control.take_gap(Between::Records).map(|ns| ns / 1_000_000);
    }
    ran.groups.sort_by_key(|group| group.group);
    Ok(ran)
}

/// Waits until every thread is ready.
fn ready(from: &Receiver<(usize, Message)>, mut count: usize, interrupt: &AtomicBool) -> Result<()> {
    let deadline = now_ns() + READY_NS_MAX;
    while count > 0 {
        if interrupt.load(Ordering::Relaxed) {
            bail!("interrupted before the load began");
        }
        if now_ns() > deadline {
            bail!("producers and consumers were not ready in time");
        }
        match from.recv_timeout(LOOK) {
            Ok((_, Message::Ready)) => count -= 1,
            Ok((_, Message::Failed(error))) => bail!("{error}"),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the threads of the run are gone"),
        }
    }
    Ok(())
}

/// Carries out a fault on a thread of its own: starting a node takes time.
fn inflict(fault: Fault, node: Arc<Mutex<Node>>, control: Arc<Control>, times: Times, to: Sender<(usize, Message)>) {
    let inflict = move || {
        let at_ns = now_ns();
        // Gaps that ended before are not this fault's doing.
        let _ = (control.take_gap(Between::Acks), control.take_gap(Between::Records));
        let Fault::KillRestart { down, .. } = fault;
        let mut node = lock(&node);
        let outcome = node.kill().and_then(|()| {
            std::thread::sleep(down.duration());
            node.restart()
        });
        drop(node);
        let outcome = outcome.map(|()| FaultOutcome {
            kind: "kill-restart".to_owned(),
            at_ms: at_ns.saturating_sub(times.measure_ns) / 1_000_000,
            ready_after_ms: Some((now_ns() - at_ns) / 1_000_000),
            ..FaultOutcome::default()
        });
        // The run may have been given up meanwhile.
        let _ = to.send((usize::MAX, Message::Fault(outcome.map_err(|error| format!("{error:#}")))));
    };
    // Not joined: its message is waited for.
    drop(std::thread::spawn(inflict));
}

/// Where a server is, in one word.
#[must_use]
pub fn describe(target: &Target) -> String {
    match target {
        Target::Native { addr, .. } => addr.to_string(),
        Target::Kinesis { url } => url.clone(),
    }
}

fn lock(node: &Mutex<Node>) -> std::sync::MutexGuard<'_, Node> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}
