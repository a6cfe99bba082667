//! Which worker runs on which CPU and listens on which port of its own, decided from the settings and the machine.

use thiserror::Error;

use super::{Config, Cpus, Workers};
use crate::types::WorkerId;

/// One worker's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The worker.
    pub worker: WorkerId,
    /// The CPU it is pinned to.
    pub cpu: u16,
    /// Its direct port, 0 for one of the kernel's choice.
    pub direct_port: u16,
}

/// Why the settings do not fit the machine.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// A CPU of the list does not exist or is closed to the process.
    #[error("cpus: CPU {cpu} does not exist here or this process may not run on it; it may run on {available:?}")]
    NoSuchCpu {
        /// The CPU.
        cpu: u16,
        /// Those that would do.
        available: Vec<u16>,
    },
    /// More workers than CPUs.
    #[error("workers: {workers} workers need as many CPUs, there are {cpus}; use at most {cpus}, or auto")]
    TooManyWorkers {
        /// Workers asked for.
        workers: u16,
        /// CPUs to choose from.
        cpus: usize,
    },
    /// The direct ports do not end at 65535, or one of them is a shared port.
    #[error(
        "direct_port: {workers} workers take the ports {first} to {last}, which must not pass 65535 nor contain {listen}, the port of {setting}"
    )]
    Ports {
        /// Number of workers.
        workers: usize,
        /// First direct port.
        first: u16,
        /// Last direct port.
        last: u32,
        /// The shared port.
        listen: u16,
        /// The setting it is from.
        setting: &'static str,
    },
}

impl Config {
    /// Places the workers on the CPUs in `available`: those this process may run on.
    pub fn placement(&self, available: &[u16]) -> Result<Vec<Placement>, PlacementError> {
        let cpus = match &self.cpus {
            Cpus::All => available,
            Cpus::List(list) => {
                if let Some(&cpu) = list.as_slice().iter().find(|cpu| !available.contains(cpu)) {
                    return Err(PlacementError::NoSuchCpu { cpu, available: available.to_vec() });
                }
                list.as_slice()
            }
        };
        let count = match self.workers {
            Workers::Auto => cpus.len(),
            Workers::Count(workers) if usize::from(workers) > cpus.len() => {
                return Err(PlacementError::TooManyWorkers { workers, cpus: cpus.len() });
            }
            Workers::Count(workers) => usize::from(workers),
        };
        let first = self.direct_port.0;
        let last = u32::from(first) + count.saturating_sub(1) as u32;
        let shared = [("listen", Some(self.listen)), ("kinesis_listen", self.kinesis_listen)];
        let shared = shared.into_iter().filter_map(|(setting, addr)| Some((setting, addr?.port())));
        let held = shared.clone().find(|(_, port)| *port != 0 && (u32::from(first)..=last).contains(&u32::from(*port)));
        if first != 0 && (last > u32::from(u16::MAX) || held.is_some()) {
            let (setting, listen) = held.unwrap_or(("listen", self.listen.port()));
            return Err(PlacementError::Ports { workers: count, first, last, listen, setting });
        }
        let direct_port = |worker: u16| if first == 0 { 0 } else { first + worker };
        let places = cpus[..count].iter().zip(0..);
        Ok(places
            .map(|(&cpu, worker)| Placement { worker: WorkerId(worker), cpu, direct_port: direct_port(worker) })
            .collect())
    }
}
