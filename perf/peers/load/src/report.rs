//! The figures of a run, as one JSON object.

use std::fmt;

use hdrhistogram::Histogram;

use crate::Args;
use crate::meter::Meter;
use crate::pace::Pace;

/// Ticks of a second in /proc: the same on every Linux of today.
const TICKS_PER_S: f64 = 100.0;

/// CPU time used so far, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime {
    client: Option<f64>,
    server: Option<f64>,
    at: std::time::Instant,
}

/// CPU time used in a while: 1 is one whole CPU.
#[derive(Clone, Copy, Debug)]
pub struct CpuUse {
    /// Of this process.
    pub client: Option<f64>,
    /// Of the server.
    pub server: Option<f64>,
}

impl CpuTime {
    /// What this process and the server have used until now.
    pub fn now(server: Option<u32>) -> Self {
        let at = std::time::Instant::now();
        Self { client: used(std::process::id()), server: server.and_then(used), at }
    }

    /// What was used since `before`.
    pub fn since(&self, before: &Self) -> CpuUse {
        let seconds = (self.at - before.at).as_secs_f64();
        let share = |now: Option<f64>, then: Option<f64>| Some((now? - then?) / seconds);
        CpuUse { client: share(self.client, before.client), server: share(self.server, before.server) }
    }
}

fn used(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold spaces; user and system time are the 12th and 13th field behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let [user, system] = [fields.next()?, fields.next()?].map(|ticks| ticks.parse::<f64>().ok());
    Some((user? + system?) / TICKS_PER_S)
}

/// The figures.
pub struct Report(String);

impl Report {
    /// The report of a run; `settled` if everything sent was acknowledged and received in the end.
    pub fn new(args: &Args, meter: &Meter, cpu: Option<CpuUse>, settled: bool) -> Self {
        let (sent, acked, received) = meter.counts_of_records();
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.3}"));
        let pace = match args.pace {
            Pace::Rate(rate) => format!("\"rate\":{rate}"),
            Pace::InFlight(records) => format!("\"in_flight\":{records}"),
        };
        Self(format!(
            "{{\"target\":\"{}\",\"partitions\":{},\"size\":{},{pace},\"seconds\":{},\"sent\":{sent},\"settled\":{settled},\"acked_per_s\":{:.1},\
             \"received_per_s\":{:.1},\"late_share\":{:.4},\"client_cpu\":{},\"server_cpu\":{},\"put\":{},\"get\":{}}}",
            args.target,
            args.partitions,
            args.size,
            args.seconds,
            acked as f64 / args.seconds,
            received as f64 / args.seconds,
            meter.late_share(),
            number(cpu.and_then(|cpu| cpu.client)),
            number(cpu.and_then(|cpu| cpu.server)),
            quantiles(&meter.put()),
            quantiles(&meter.get()),
        ))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Percentiles in microseconds; those with fewer than 100 samples above them are `null`.
fn quantiles(histogram: &Histogram<u64>) -> String {
    let entry = |(name, quantile): (&str, f64)| {
        let above = histogram.len() as f64 * (1.0 - quantile);
        if above < 100.0 {
            return format!("\"{name}\":null");
        }
        format!("\"{name}\":{:.1}", histogram.value_at_quantile(quantile) as f64 / 1e3)
    };
    let entries = [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p999_us", 0.999)].map(entry);
    format!("{{\"samples\":{},{}}}", histogram.len(), entries.join(","))
}
