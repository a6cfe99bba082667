//! The environment of a run: everything a reader needs to judge a figure or to repeat it.
//!
//! A fact that cannot be found out is the word "unknown", never left out: a missing line would read as "does not matter".
//! All facts come from text files of the kernel below one root, so that the tests have machines of their own.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::human;
use crate::result::Environment;

/// Stands for a fact that cannot be found out.
pub const UNKNOWN: &str = "unknown";

/// What holds the figures' machine together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Distribution.
    pub os: String,
    /// Processor.
    pub cpu: String,
    /// CPUs that are online, as the kernel lists them: `0-7`.
    pub cpus_online: String,
    /// CPUs this process may use.
    pub cpus_allowed: String,
    /// Frequency governors in use.
    pub governor: String,
    /// Memory.
    pub memory: String,
    /// Limit of locked memory of this process, which io_uring draws on.
    pub memlock: String,
    /// Source of the clock.
    pub clock_source: String,
    /// How TCP paces itself by default. `bbr` spaces packets out, on loopback too, where it may halve the bandwidth.
    pub tcp_congestion: String,
    /// Whether this is a virtual machine or a container, as far as it shows.
    pub virtualization: String,
    /// Work that was on the machine before the run: runnable tasks over 1, 5 and 15 minutes.
    pub load_average: String,
}

/// Where the data lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Device: `/dev/nvme0n1p2`.
    pub device: String,
    /// Model.
    pub model: String,
    /// `ssd`, or `rotating, says the kernel`, which it says of many virtual disks, too.
    pub kind: String,
    /// `write back` when the device has a volatile cache that a sync has to flush.
    pub write_cache: String,
    /// File system.
    pub file_system: String,
    /// Mount options.
    pub mount_options: String,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        Self::at(&Root::default())
    }

    fn at(root: &Root) -> Self {
        let cpuinfo = root.text("proc/cpuinfo");
        Self {
            kernel: known(root.line("proc/sys/kernel/osrelease")),
            os: known(root.text("etc/os-release").as_deref().and_then(|text| assigned(text, "PRETTY_NAME"))),
            cpu: known(cpuinfo.as_deref().and_then(|text| field(text, "model name"))),
            cpus_online: known(root.line("sys/devices/system/cpu/online")),
            cpus_allowed: known(root.allowed_cpus()),
            governor: known(root.governors()),
            memory: known(root.memory()),
            memlock: known(root.memlock()),
            clock_source: known(root.line("sys/devices/system/clocksource/clocksource0/current_clocksource")),
            tcp_congestion: known(root.line("proc/sys/net/ipv4/tcp_congestion_control")),
            virtualization: known(root.virtualization(cpuinfo.as_deref())),
            load_average: known(root.line("proc/loadavg").map(|line| first_words(&line, 3))),
        }
    }
}

impl Disk {
    /// The disk that holds this directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        Self::at(&Root::default(), &dir)
    }

    /// When nothing can be known, as of a server on another machine.
    #[must_use]
    pub fn unknown() -> Self {
        let unknown = || UNKNOWN.to_owned();
        Self {
            device: unknown(),
            model: unknown(),
            kind: unknown(),
            write_cache: unknown(),
            file_system: unknown(),
            mount_options: unknown(),
        }
    }

    fn at(root: &Root, dir: &Path) -> Self {
        let Some(mount) = root.text("proc/self/mountinfo").and_then(|text| Mount::of(&text, dir)) else {
            return Self::unknown();
        };
        // A partition has no queue of its own: its disk is the directory above.
        let block = root.path(&format!("sys/dev/block/{}", mount.number));
        let disk = fs::canonicalize(&block).ok().map(|block| match block.join("partition").exists() {
            true => block.parent().map_or(block.clone(), Path::to_owned),
            false => block,
        });
        let of_disk = |name: &str| disk.as_ref().and_then(|disk| line(&disk.join(name)));
        Self {
            device: mount.device,
            model: known(of_disk("device/model")),
            kind: known(
                of_disk("queue/rotational")
                    .map(|flag| if flag == "0" { "ssd" } else { "rotating, says the kernel" }.to_owned()),
            ),
            write_cache: known(of_disk("queue/write_cache")),
            file_system: mount.file_system,
            mount_options: mount.options,
        }
    }

    /// All of it on one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        let Self { device, model, kind, write_cache, file_system, mount_options } = self;
        format!("{device} (model {model}, {kind}, cache {write_cache}), {file_system} ({mount_options})")
    }
}

/// Everything that can be found out here for a run against this server. `data` is the node's data directory and `server_pid`
/// its process, if they are on this machine and known.
#[must_use]
pub fn detect(server: SocketAddr, data: Option<&Path>, server_pid: Option<u32>) -> Environment {
    let disk = data.map_or_else(Disk::unknown, Disk::of);
    let root = Root::default();
    let server_cpus = server_pid.and_then(|pid| field(&root.text(&format!("proc/{pid}/status"))?, "Cpus_allowed_list"));
    let placement = [
        ("server", placement(server)),
        ("client_cpus", known(root.allowed_cpus())),
        ("server_cpus", known(server_cpus)),
    ];
    Environment {
        facts: facts(&Machine::here(), ""),
        storage: facts(&disk, "disk_"),
        placement: placement.map(|(name, fact)| (name.to_owned(), fact)).into(),
    }
}

/// The fields as facts by name.
fn facts(of: &impl Serialize, prefix: &str) -> BTreeMap<String, String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(of) else { return BTreeMap::new() };
    let facts =
        fields.into_iter().filter_map(|(name, value)| Some((format!("{prefix}{name}"), value.as_str()?.to_owned())));
    facts.collect()
}

/// Where a server at this address runs, seen from here.
#[must_use]
pub fn placement(server: SocketAddr) -> String {
    let ip = server.ip();
    if ip.is_loopback() {
        "same machine, loopback".to_owned()
    } else if is_local(ip) {
        format!("same machine, by its address {ip}")
    } else {
        format!("another machine, {ip}")
    }
}

/// An address can be bound only where it is local.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// The CPUs this process may use; empty if the kernel does not say.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    Root::default().allowed_cpus().map(|list| parse_cpu_list(&list)).unwrap_or_default()
}

/// Reads `0-3,8`.
fn parse_cpu_list(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// Where the kernel's files are.
#[derive(Debug)]
struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self(PathBuf::from("/"))
    }
}

impl Root {
    fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    fn text(&self, below: &str) -> Option<String> {
        fs::read_to_string(self.path(below)).ok()
    }

    fn line(&self, below: &str) -> Option<String> {
        line(&self.path(below))
    }

    fn allowed_cpus(&self) -> Option<String> {
        field(&self.text("proc/self/status")?, "Cpus_allowed_list")
    }

    fn governors(&self) -> Option<String> {
        let cpus = fs::read_dir(self.path("sys/devices/system/cpu")).ok()?;
        let governor = |entry: fs::DirEntry| line(&entry.path().join("cpufreq/scaling_governor"));
        let found: BTreeSet<_> = cpus.flatten().filter_map(governor).collect();
        (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn memory(&self) -> Option<String> {
        let total = field(&self.text("proc/meminfo")?, "MemTotal")?;
        let kib: f64 = total.strip_suffix("kB")?.trim().parse().ok()?;
        Some(format!("{:.1} GiB", kib / f64::from(1 << 20)))
    }

    fn memlock(&self) -> Option<String> {
        let limits = self.text("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
        let soft = line.split_whitespace().next()?;
        Some(soft.parse().map_or_else(|_| soft.to_owned(), human::binary_bytes))
    }

    fn virtualization(&self, cpuinfo: Option<&str>) -> Option<String> {
        let mut hints = Vec::new();
        let flags = cpuinfo.and_then(|text| field(text, "flags"));
        match flags.as_deref().map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")) {
            Some(true) => hints.push("virtual machine (the CPU says so)".to_owned()),
            Some(false) => hints.push("no hypervisor seen".to_owned()),
            None => {}
        }
        let product: Vec<_> = ["sys_vendor", "product_name"]
            .iter()
            .filter_map(|name| self.line(&format!("sys/class/dmi/id/{name}")))
            .collect();
        if !product.is_empty() {
            hints.push(product.join(" "));
        }
        if [".dockerenv", "run/.containerenv"].iter().any(|mark| self.path(mark).exists()) {
            hints.push("in a container".to_owned());
        }
        (!hints.is_empty()).then(|| hints.join("; "))
    }
}

/// One line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// `259:2`.
    number: String,
    device: String,
    file_system: String,
    options: String,
}

impl Mount {
    /// The mount that holds this path: the longest mount point above it, the last of those that hide each other.
    fn of(mountinfo: &str, path: &Path) -> Option<Self> {
        let mounts = mountinfo.lines().filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let left: Vec<_> = left.split(' ').collect();
            let right: Vec<_> = right.split(' ').collect();
            let point = PathBuf::from(unescape(left.get(4)?));
            let mount = Self {
                number: (*left.get(2)?).to_owned(),
                device: unescape(right.get(1)?),
                file_system: (*right.first()?).to_owned(),
                options: join_options(left.get(5)?, right.get(2).unwrap_or(&"")),
            };
            path.starts_with(&point).then(|| (point.components().count(), mount))
        });
        mounts.max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
    }
}

/// The options of the mount and those of the file system, each once.
fn join_options(mount: &str, file_system: &str) -> String {
    let mut options: Vec<&str> = Vec::new();
    for option in mount.split(',').chain(file_system.split(',')) {
        if !option.is_empty() && !options.contains(&option) {
            options.push(option);
        }
    }
    options.join(",")
}

/// A blank in a path stands in mountinfo as `\040`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The value of `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

/// The value of `NAME="value"`.
fn assigned(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

fn first_words(line: &str, count: usize) -> String {
    line.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

fn known(fact: Option<String>) -> String {
    fact.unwrap_or_else(|| UNKNOWN.to_owned())
}
