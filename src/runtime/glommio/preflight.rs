//! What the machine must offer, checked before anything is started, with words that say what to do.
//!
//! glommio finds out about most of this by panicking, by `exit(1)` or in a log line.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::limits::BLOCK_BYTES;

/// What glommio insists on for the process (`MIN_MEMLOCK_LIMIT` in its reactor), however few executors there are.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// What the three rings of one executor cost on kernels before 5.12, which charge rings to memlock: 128 entries are
/// 16 KiB a ring, with the kernel's rounding to pages and powers of two.
const MEMLOCK_BYTES_PER_WORKER: u64 = 128 << 10;

/// Operations of io_uring that glommio uses. The youngest are in kernels from 5.6 on; 5.8 is what glommio asks for.
const OPERATIONS: [u8; 24] = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 26, 27];

/// Why a node cannot run here. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The kernel was built without io_uring, or a sandbox hides it.
    #[error(
        "io_uring is not available: this kernel ({release}) has none, or a sandbox hides it; Linux 5.8 or newer is needed"
    )]
    IoUringUnavailable {
        /// The kernel's release.
        release: String,
    },
    /// The administrator switched io_uring off.
    #[error(
        "io_uring is switched off on this machine (kernel.io_uring_disabled = {level}); \
         allow it with `sysctl kernel.io_uring_disabled=0`"
    )]
    IoUringDisabled {
        /// The setting: 1 for all but privileged processes, 2 for everybody.
        level: u8,
    },
    /// Something else forbids io_uring, as the default profiles of container engines do.
    #[error(
        "io_uring is forbidden for this process, most likely by a seccomp filter; in a container, start it with a \
         profile that allows io_uring_setup, io_uring_enter and io_uring_register (Docker: `--security-opt seccomp=unconfined`)"
    )]
    IoUringForbidden,
    /// io_uring is there and lacks operations.
    #[error(
        "this kernel ({release}) is too old: its io_uring lacks operation {operation}; Linux 5.8 or newer is needed"
    )]
    KernelTooOld {
        /// The kernel's release.
        release: String,
        /// The first missing operation's number.
        operation: u8,
    },
    /// io_uring fails in another way.
    #[error("io_uring does not work here: {source}")]
    IoUring {
        /// What the kernel answered.
        source: io::Error,
    },
    /// Too little memory may be locked.
    #[error(
        "the limit on locked memory (memlock) is {} KiB, {workers} workers need at least {} KiB; raise it with \
         `ulimit -l 8192` in the shell, `LimitMEMLOCK=8M` in a systemd unit or `--ulimit memlock=8388608` for a container",
        limit_bytes >> 10, need_bytes >> 10
    )]
    MemlockTooLow {
        /// The limit in force.
        limit_bytes: u64,
        /// What is needed.
        need_bytes: u64,
        /// For how many workers.
        workers: usize,
    },
    /// A CPU was asked for that is not there.
    #[error("CPU {cpu} does not exist or is not online; this machine has {}", list(online))]
    NoSuchCpu {
        /// The CPU asked for.
        cpu: usize,
        /// Those that exist.
        online: Vec<usize>,
    },
    /// A CPU was asked for that this process may not run on.
    #[error(
        "CPU {cpu} is not among those this process may run on ({}); see taskset or the container's cpuset",
        list(allowed)
    )]
    CpuNotAllowed {
        /// The CPU asked for.
        cpu: usize,
        /// Those that are allowed.
        allowed: Vec<usize>,
    },
    /// A CPU was asked for twice.
    #[error("CPU {cpu} is in the list twice; each worker needs one of its own")]
    CpuTwice {
        /// The CPU.
        cpu: usize,
    },
    /// The kernel's lists of CPUs cannot be read.
    #[error("cannot find out which CPUs there are ({path}): {source}")]
    CpuList {
        /// The file.
        path: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The path is something else than a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Files cannot be made in the directory.
    #[error("cannot write to {}: {source}", path.display())]
    NotWritable {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system has no direct I/O.
    #[error(
        "{} is on a file system without direct I/O (O_DIRECT) in blocks of 4,096 bytes; use a directory on ext4 or XFS",
        path.display()
    )]
    NoDirectIo {
        /// The path.
        path: PathBuf,
    },
}

/// Whether io_uring is there, allowed and recent enough.
///
/// # Errors
/// One of the variants about io_uring and the kernel.
pub fn check_io_uring() -> Result<(), PreflightError> {
    // `struct io_uring_params` is 120 bytes; all zero asks for defaults.
    let mut params = [0_u32; 30];
    // SAFETY: the kernel reads and writes 120 bytes at the pointer, which is how large the array is.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(setup_error(io::Error::last_os_error()));
    }
    let fd = i32::try_from(fd).expect("descriptors are small");
    // SAFETY: the call above just opened the descriptor, and nobody else has it.
    let ring = unsafe { OwnedFd::from_raw_fd(fd) };

    // `struct io_uring_probe`: 16 bytes of which the first is the last known operation, then 8 bytes per operation
    // with a 16-bit word of flags at 2, of which bit 0 means "supported".
    const REGISTER_PROBE: libc::c_long = 8;
    let mut probe = [0_u64; 2 + 256];
    // SAFETY: the kernel writes at most 16 + 256 * 8 bytes at the pointer, which is how large the array is.
    let answer = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), REGISTER_PROBE, probe.as_mut_ptr(), 256_u32)
    };
    if answer < 0 {
        let source = io::Error::last_os_error();
        return Err(match source.raw_os_error() {
            // Probing came with 5.6.
            Some(libc::EINVAL) => PreflightError::KernelTooOld { release: kernel_release(), operation: OPERATIONS[23] },
            Some(libc::EPERM | libc::EACCES) => PreflightError::IoUringForbidden,
            _ => PreflightError::IoUring { source },
        });
    }
    let last = probe[0].to_ne_bytes()[0];
    let supported = |operation: u8| {
        let bytes = probe[2 + usize::from(operation)].to_ne_bytes();
        operation <= last && u16::from_ne_bytes([bytes[2], bytes[3]]) & 1 != 0
    };
    match OPERATIONS.into_iter().find(|operation| !supported(*operation)) {
        None => Ok(()),
        Some(operation) => Err(PreflightError::KernelTooOld { release: kernel_release(), operation }),
    }
}

fn setup_error(source: io::Error) -> PreflightError {
    match source.raw_os_error() {
        Some(libc::ENOSYS) => PreflightError::IoUringUnavailable { release: kernel_release() },
        Some(libc::EPERM | libc::EACCES) => match sysctl_disabled() {
            0 => PreflightError::IoUringForbidden,
            level => PreflightError::IoUringDisabled { level },
        },
        // Kernels before 5.12 charge rings to memlock.
        Some(libc::ENOMEM) => {
            PreflightError::MemlockTooLow { limit_bytes: memlock_limit(), need_bytes: MEMLOCK_BYTES_MIN, workers: 1 }
        }
        _ => PreflightError::IoUring { source },
    }
}

fn sysctl_disabled() -> u8 {
    let text = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Whether enough memory may be locked for `workers` executors.
///
/// glommio compares the soft limit with 512 KiB for the process and starts no executor below. Kernels before 5.12 also
/// charge the rings; later ones do not. Registered I/O memory is charged by all, three times (once per ring), and glommio
/// goes on without registering it when that fails: slower by a little, so it is no reason to refuse.
///
/// # Errors
/// [`PreflightError::MemlockTooLow`].
pub fn check_memlock(workers: usize) -> Result<(), PreflightError> {
    let limit_bytes = memlock_limit();
    let rings = if rings_are_charged(&kernel_release()) { MEMLOCK_BYTES_PER_WORKER * workers as u64 } else { 0 };
    let need_bytes = MEMLOCK_BYTES_MIN.max(rings);
    if limit_bytes >= need_bytes {
        return Ok(());
    }
    Err(PreflightError::MemlockTooLow { limit_bytes, need_bytes, workers })
}

fn rings_are_charged(release: &str) -> bool {
    let mut numbers = release.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < (5, 12),
        _ => true,
    }
}

fn memlock_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` at the pointer.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    assert_eq!(answer, 0, "getrlimit fails only for a bad pointer or a limit that does not exist");
    limit.rlim_cur
}

/// The CPUs that are online and that this process may run on, in ascending order.
///
/// # Errors
/// [`PreflightError::CpuList`].
pub fn online_cpus() -> Result<Vec<usize>, PreflightError> {
    let allowed = allowed_cpus()?;
    Ok(existing_cpus()?.into_iter().filter(|cpu| allowed.contains(cpu)).collect())
}

/// Whether one worker can be pinned to each of `cpus`.
///
/// # Errors
/// The first CPU that cannot be used, and why.
pub fn check_cpus(cpus: &[usize]) -> Result<(), PreflightError> {
    let (online, allowed) = (existing_cpus()?, allowed_cpus()?);
    for (i, &cpu) in cpus.iter().enumerate() {
        if !online.contains(&cpu) {
            return Err(PreflightError::NoSuchCpu { cpu, online });
        }
        if !allowed.contains(&cpu) {
            return Err(PreflightError::CpuNotAllowed { cpu, allowed });
        }
        if cpus[..i].contains(&cpu) {
            return Err(PreflightError::CpuTwice { cpu });
        }
    }
    Ok(())
}

fn existing_cpus() -> Result<Vec<usize>, PreflightError> {
    const PATH: &str = "/sys/devices/system/cpu/online";
    let text = fs::read_to_string(PATH).map_err(|source| PreflightError::CpuList { path: PATH, source })?;
    parse_cpus(text.trim())
        .ok_or_else(|| PreflightError::CpuList { path: PATH, source: io::ErrorKind::InvalidData.into() })
}

fn allowed_cpus() -> Result<Vec<usize>, PreflightError> {
    const PATH: &str = "/proc/self/status";
    let text = fs::read_to_string(PATH).map_err(|source| PreflightError::CpuList { path: PATH, source })?;
    text.lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .and_then(|cpus| parse_cpus(cpus.trim()))
        .ok_or_else(|| PreflightError::CpuList { path: PATH, source: io::ErrorKind::InvalidData.into() })
}

/// A list as the kernel writes it: `0-3,6,8-9`.
fn parse_cpus(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

fn list(cpus: &[usize]) -> String {
    let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
    cpus.join(",")
}

/// Raises the number of files this process may have open to what it is allowed to: many systems start programs with 1,024,
/// fewer than a node with some hundred shards and clients needs. Gives that number.
///
/// # Errors
/// When the limit cannot be read or set.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer and outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is initialised and outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// How much memory this process may use at most, in bytes: what the machine has, or what its control groups allow if that is
/// less. `None` when neither is known.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| parse_mem_total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = group_limits(&groups).into_iter().filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(machine).min()
}

/// The line of `/proc/meminfo` that says what the machine has, in bytes.
fn parse_mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// Files that may hold a limit of the control groups that `/proc/self/cgroup` names: of each group and of those it is in. What is
/// not limited says `max`, or a number larger than any machine.
fn group_limits(groups: &str) -> Vec<PathBuf> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        // Inside a container the path is often that of the host: its own limit is at the root then.
        let path = Path::new(path.trim_start_matches('/'));
        limits.extend(path.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    limits
}

/// Keeps the kernel from giving this process huge pages unasked. The first touch of one clears 2 MiB, a fifth of a millisecond in
/// which a worker does nothing else, and the memory of a node comes back in pieces of some kilobytes, which then hold on to it.
///
/// # Errors
/// When the kernel does not know it; nothing depends on it.
pub fn refuse_huge_pages() -> io::Result<()> {
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: the call takes no pointers.
    match unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, yes, none, none, none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether `path` is a directory in which files can be made, written and read with direct I/O.
///
/// # Errors
/// One of the variants about directories.
pub fn check_directory(path: &Path) -> Result<(), PreflightError> {
    let not_writable = |source| PreflightError::NotWritable { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(not_writable)?.is_dir() {
        return Err(PreflightError::NotADirectory { path: path.to_owned() });
    }
    // First without direct I/O: what fails here is permission or space, what fails below is the file system.
    let probe = path.join(format!(".probe-{}", std::process::id()));
    let made = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&probe);
    let result = made.map(|_| direct_round_trip(&probe));
    if result.is_ok() {
        fs::remove_file(&probe).map_err(not_writable)?;
    }
    match result.map_err(not_writable)? {
        Ok(()) => Ok(()),
        // A full disk is no reason not to start: readers are served, and space is freed. The node keeps some for itself.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            Err(PreflightError::NoDirectIo { path: path.to_owned() })
        }
        Err(source) => Err(not_writable(source)),
    }
}

fn direct_round_trip(path: &Path) -> io::Result<()> {
    let mut memory = Vec::new();
    let block = aligned_block(&mut memory);
    let file = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)?;
    file.write_all_at(block, 0)?;
    block.fill(0);
    file.read_exact_at(block, 0)?;
    if block.iter().any(|byte| *byte != PROBE_BYTE) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what was written is not what was read"));
    }
    Ok(())
}

const PROBE_BYTE: u8 = 0x5A;

/// One block of `memory`, aligned as direct I/O wants it, filled with [`PROBE_BYTE`].
pub(super) fn aligned_block(memory: &mut Vec<u8>) -> &mut [u8] {
    memory.resize(2 * BLOCK_BYTES, PROBE_BYTE);
    let start = memory.as_ptr().align_offset(BLOCK_BYTES);
    &mut memory[start..start + BLOCK_BYTES]
}

#[cfg(test)]
mod tests;
