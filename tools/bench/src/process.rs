//! What a process of this machine uses, and what its hypervisor takes, from `/proc`.

use std::fs;

/// CPU time of a process so far, user and system, in seconds.
#[must_use]
pub fn cpu_s(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    cpu_ticks(&stat).map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory of a process, in bytes.
#[must_use]
pub fn rss_bytes(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Fields 14 and 15 of `stat`. The name in field 2 may hold spaces and parentheses: counted from the last of those.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// CPU time of this machine so far, in ticks: what its hypervisor gave to others, and all of it.
fn stolen_ticks(stat: &str) -> Option<(u64, u64)> {
    // user nice system idle iowait irq softirq steal; what guests used is in `user` already.
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let fields: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((*fields.get(7)?, fields.iter().sum()))
}

/// The share of a machine's CPU time that its hypervisor gave to others within the measured time: whoever wanted to run then
/// waited, node and generator alike, and no figure tells that wait from theirs.
#[derive(Clone, Debug, Default)]
pub struct Stolen {
    base: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
}

impl Stolen {
    /// To be called often; `measured` is when measuring starts and ends.
    pub fn look(&mut self, now_ns: u64, measured: (u64, u64)) {
        if (measured.0..=measured.1).contains(&now_ns) {
            self.see(&fs::read_to_string("/proc/stat").unwrap_or_default());
        }
    }

    fn see(&mut self, stat: &str) {
        self.last = stolen_ticks(stat).or(self.last);
        self.base = self.base.or(self.last);
    }

    /// The share, from 0 to 1; `None` if the kernel does not tell.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let ((stolen, all), (stolen_before, all_before)) = (self.last?, self.base?);
        (all > all_before).then(|| (stolen - stolen_before) as f64 / (all - all_before) as f64)
    }
}

/// The CPU time that a node uses in the measured time, also when another process takes its place.
#[derive(Clone, Debug)]
pub struct Meter {
    pid: u32,
    /// CPU time of this process when measuring started.
    base_s: Option<f64>,
    /// The last that was seen of this process within the measured time.
    last_s: Option<f64>,
    /// Of the processes before it.
    before_s: f64,
    rss_bytes: u64,
}

impl Meter {
    /// Of this process at first.
    #[must_use]
    pub const fn new(pid: u32) -> Self {
        Self { pid, base_s: None, last_s: None, before_s: 0.0, rss_bytes: 0 }
    }

    /// To be called often; `measured` is when measuring starts and ends.
    pub fn look(&mut self, now_ns: u64, measured: (u64, u64)) {
        if now_ns < measured.0 || now_ns > measured.1 {
            return;
        }
        if let Some(cpu) = cpu_s(self.pid) {
            self.base_s.get_or_insert(cpu);
            self.last_s = Some(cpu);
            self.rss_bytes = rss_bytes(self.pid).unwrap_or(self.rss_bytes);
        }
    }

    /// Another process goes on as the node. All its CPU time counts.
    pub fn switch(&mut self, pid: u32) {
        self.before_s = self.cpu_s().unwrap_or(self.before_s);
        *self = Self { pid, base_s: Some(0.0), last_s: None, ..*self };
    }

    /// The process looked at last.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// CPU time in the measured time; `None` if the process was never seen in it.
    #[must_use]
    pub fn cpu_s(&self) -> Option<f64> {
        match (self.last_s, self.base_s) {
            (Some(last), Some(base)) => Some(self.before_s + last - base),
            _ => (self.before_s > 0.0).then_some(self.before_s),
        }
    }

    /// Resident memory when it was last seen.
    #[must_use]
    pub const fn rss_bytes(&self) -> u64 {
        self.rss_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the name of a process, which may hold anything, does not shift the fields.
    #[test]
    fn stat_is_read_behind_the_name() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 700 50 13 14";
        assert_eq!(cpu_ticks(stat), Some(750));
        assert_eq!(cpu_ticks("7 (x) S 1"), None);
    }

    /// Goal: the share is that of the time between the first look and the last; a kernel without the field tells nothing.
    #[test]
    fn stolen_time_is_a_share() {
        let mut stolen = Stolen::default();
        assert_eq!(stolen.share(), None);
        stolen.see("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2 3\n");
        assert_eq!(stolen.share(), None, "no time has passed");
        stolen.see("cpu  150 0 75 850 10 0 5 60 9 0\ncpu0 1 2 3\n");
        assert_eq!(stolen.share(), Some(25.0 / 150.0));
        stolen.see("gone");
        assert_eq!(stolen.share(), Some(25.0 / 150.0));
        assert_eq!(stolen_ticks("cpu  1 2 3 4"), None);
        assert!(stolen_ticks(&fs::read_to_string("/proc/stat").unwrap()).is_some());
    }

    /// Goal: this process is there and uses memory; one that is not there gives nothing.
    #[test]
    fn this_process_is_seen() {
        assert!(cpu_s(std::process::id()).is_some());
        assert!(rss_bytes(std::process::id()).unwrap() > 1 << 20);
        assert_eq!((cpu_s(u32::MAX), rss_bytes(u32::MAX)), (None, None));
    }

    /// Goal: a node that is replaced counts with both processes, and what it used before measuring does not count.
    #[test]
    fn meters_go_on_with_the_next_process() {
        let mut meter = Meter { base_s: Some(2.0), last_s: Some(5.0), ..Meter::new(1) };
        assert_eq!(meter.cpu_s(), Some(3.0));
        meter.switch(2);
        assert_eq!((meter.pid(), meter.cpu_s()), (2, Some(3.0)));
        meter.last_s = Some(0.5);
        assert_eq!(meter.cpu_s(), Some(3.5));
        assert_eq!(Meter::new(1).cpu_s(), None);
    }
}
