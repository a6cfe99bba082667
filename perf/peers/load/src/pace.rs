//! The run: when records are sent, and when it is over.

use std::rc::Rc;
use std::time::Duration;

use crate::meter::Meter;
use crate::report::{CpuTime, Report};
use crate::{Args, Error};

/// How records are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many per second, evenly spaced, whatever the server does.
    Rate(f64),
    /// As many as keep this many unacknowledged.
    InFlight(usize),
}

/// How long after the last record everything may take to arrive.
const SETTLE: Duration = Duration::from_secs(20);

/// Between two looks at other tasks while the sender is behind: as many records may be sent in a row.
const ROW: u64 = 64;

/// A server under test.
pub trait Target {
    /// Starts the tasks that take acknowledgements and records to the meter, from the start of empty logs.
    async fn start(&self, meter: Rc<Meter>) -> Result<(), Error>;
    /// Hands a record over. May wait for room in the client.
    async fn send(&self, partition: usize, record: &[u8]) -> Result<(), Error>;
}

/// Runs the load against `target`.
pub async fn run(args: &Args, target: impl Target) -> Result<Report, Error> {
    let meter = Rc::new(Meter::new(args.partitions, args.warm_up, args.seconds));
    target.start(Rc::clone(&meter)).await?;
    let (begin, end) = meter.window();
    let mut record = vec![0x5a; args.size];
    let mut cpu = None;
    for number in 0.. {
        let due = match args.pace {
            Pace::Rate(rate) => (number as f64 * 1e9 / rate) as u64,
            Pace::InFlight(_) => meter.now(),
        };
        if due >= end {
            break;
        }
        if due >= begin && cpu.is_none() {
            cpu = Some(CpuTime::now(args.server_pid));
        }
        match args.pace {
            Pace::Rate(_) => {
                let mut looked = number % ROW != 0;
                while meter.now() < due || !looked {
                    looked = true;
                    tokio::task::yield_now().await;
                }
            }
            Pace::InFlight(max) => {
                while meter.in_flight() >= max && meter.failure().is_none() {
                    meter.changed.notified().await;
                }
            }
        }
        if let Some(reason) = meter.failure() {
            return Err(reason.into());
        }
        // In a closed loop a record is due when there is room for it.
        let due = if matches!(args.pace, Pace::Rate(_)) { due } else { meter.now() };
        let partition = (number % args.partitions as u64) as usize;
        meter.send(partition, due, &mut record);
        target.send(partition, &record).await?;
    }
    let cpu = cpu.map(|before| CpuTime::now(args.server_pid).since(&before));
    let settle = async {
        while !meter.is_settled() && meter.failure().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let settled = tokio::time::timeout(SETTLE, settle).await.is_ok();
    match meter.failure() {
        Some(reason) => Err(reason.into()),
        // A server that is far behind is no news of a loss; one that said it had everything is.
        None if !settled && meter.in_flight() == 0 => Err("acknowledged records are missing at the end".into()),
        None => Ok(Report::new(args, &meter, cpu, settled)),
    }
}
