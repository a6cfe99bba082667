//! What the generator can do, and costs, when the server does nothing: the same records in the same batches, in a closed
//! loop from one thread, against the null server in this process.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::Setup;
use crate::driver::Target;
use crate::driver::native::NativeDriver;
use crate::null::{NullServer, Options};
use crate::result::Calibration;
use crate::units::Time;
use crate::workload::{Closed, Load, Read, Workload};

/// Data in flight: enough to keep the connection busy.
const IN_FLIGHT_BYTES: u64 = 16 << 20;

pub(super) fn calibrate(workload: &Workload, interrupt: &AtomicBool) -> Result<Calibration> {
    let server = NullServer::start(Options::default())?;
    let middle = (workload.records.size.smallest() + workload.records.size.largest()) / 2;
    let in_flight = (IN_FLIGHT_BYTES / middle.max(1)).clamp(16, 65_536) as u32;
    let workload = Workload {
        duration: Time::from_secs(1),
        warmup: Time::from_millis(300),
        load: Load { threads: 1, closed: Some(Closed { in_flight }), ..workload.load.clone() },
        read: Read { groups: 0, ..workload.read.clone() },
        backlog: None,
        faults: Vec::new(),
        ..workload.clone()
    };
    let setup = Setup::new(workload, Target::Native { addr: server.addr(), token: Vec::new() });
    let result = super::run::<NativeDriver>(&setup, None, interrupt, &mut [])?;
    ensure!(result.put.failed + result.put.unknown == 0, "the null server failed: {:?}", result.put.errors);
    let records = result.put.records_per_s * result.measured_s;
    Ok(Calibration {
        records_per_s: result.put.records_per_s,
        bytes_per_s: result.put.bytes_per_s,
        cpu_ns_per_record: if records > 0.0 { result.generator.cpu_send_s * 1e9 / records } else { 0.0 },
    })
}
