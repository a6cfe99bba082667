//! What a simulation can be told: latencies, sizes, chances of faults, budgets.

use std::io;

use crate::types::WallUs;

/// A chance, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance {
    /// Parts per million; 1,000,000 and more is certain.
    pub per_million: u32,
}

impl Chance {
    /// Does not happen.
    pub const NEVER: Self = Self { per_million: 0 };
    /// Happens each time.
    pub const ALWAYS: Self = Self { per_million: 1_000_000 };

    /// So many times out of a hundred.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self { per_million: percent * 10_000 }
    }

    /// So many times out of a million.
    #[must_use]
    pub const fn per_million(per_million: u32) -> Self {
        Self { per_million }
    }
}

/// A range of durations in microseconds, both ends included, drawn from evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Shortest.
    pub min_us: u64,
    /// Longest.
    pub max_us: u64,
}

impl Span {
    /// From `min_us` to `max_us`.
    #[must_use]
    pub const fn us(min_us: u64, max_us: u64) -> Self {
        Self { min_us, max_us }
    }
}

/// Which of several ready tasks runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// Any, by seed.
    Random,
    /// The one that has been ready for longest.
    Fifo,
}

/// Everything a simulation can be told. `default()` is a quick, healthy machine with a random scheduler.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Which of several ready tasks runs next.
    pub scheduling: Scheduling,
    /// Wall-clock time at the start.
    pub wall_start: WallUs,
    /// A timer fires up to this much late, as timers do.
    pub timer_late_us_max: u64,
    /// Polls of a whole run; one more panics. Catches a workload that never ends.
    pub polls_max: u64,
    /// Polls without virtual time moving; one more panics. Catches tasks that wake each other for ever.
    pub polls_per_instant_max: u64,
    /// Events kept as text for [`super::Sim::trace_tail`] and for failure reports. 0 keeps none.
    pub trace_tail: usize,
    /// Printed with the seed when a run fails: how to run it again.
    pub replay_hint: String,
    /// Every host's disk at first.
    pub disk: DiskOptions,
    /// The network.
    pub net: NetOptions,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            scheduling: Scheduling::Random,
            wall_start: WallUs(1_700_000_000_000_000),
            timer_late_us_max: 50,
            polls_max: 50_000_000,
            polls_per_instant_max: 1_000_000,
            trace_tail: 200,
            replay_hint: "give this seed to Sim::new with the same options".to_owned(),
            disk: DiskOptions::default(),
            net: NetOptions::default(),
        }
    }
}

/// A host's disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskOptions {
    /// Bytes it holds in all; what goes beyond fails with [`io::ErrorKind::StorageFull`].
    pub capacity_bytes: u64,
    /// Time of a read or a map.
    pub read_us: Span,
    /// Time of a write.
    pub write_us: Span,
    /// Time of a sync of a file or directory.
    pub sync_us: Span,
    /// Time of everything else: open, rename, list, ...
    pub name_us: Span,
    /// What goes wrong by itself.
    pub faults: DiskFaults,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: 1 << 40,
            read_us: Span::us(20, 200),
            write_us: Span::us(20, 150),
            sync_us: Span::us(40, 500),
            name_us: Span::us(5, 100),
            faults: DiskFaults::default(),
        }
    }
}

/// Chances of disk faults, per operation. All zero by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// A read fails with EIO.
    pub read_error: Chance,
    /// A write fails with EIO; any of its sectors may have landed.
    pub write_error: Chance,
    /// A sync of a file fails with EIO; what it should have covered may be lost for good though it can still be read.
    pub sync_error: Chance,
    /// Any other operation fails with EIO and does nothing.
    pub name_error: Chance,
    /// A write lands at another block of the same file and reports success.
    pub misdirected_write: Chance,
    /// An operation takes `slow_us` longer.
    pub slow: Chance,
    /// How much longer slow operations take.
    pub slow_us: u64,
    /// An operation does not complete until [`super::Sim::release_hung`].
    pub hang: Chance,
}

impl DiskFaults {
    /// Nothing goes wrong by itself.
    pub const NONE: Self = Self {
        read_error: Chance::NEVER,
        write_error: Chance::NEVER,
        sync_error: Chance::NEVER,
        name_error: Chance::NEVER,
        misdirected_write: Chance::NEVER,
        slow: Chance::NEVER,
        slow_us: 0,
        hang: Chance::NEVER,
    };
}

/// Operations on a disk, to aim faults at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// `Runtime::open`.
    Open,
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::sync`.
    Sync,
    /// `File::allocate`.
    Allocate,
    /// `File::truncate`.
    Truncate,
    /// `File::len`.
    Len,
    /// `Runtime::rename`.
    Rename,
    /// `Runtime::remove`.
    Remove,
    /// `Runtime::remove_dir`.
    RemoveDir,
    /// `Runtime::create_dir`.
    CreateDir,
    /// `Runtime::sync_dir`.
    SyncDir,
    /// `Runtime::list`.
    List,
    /// `Runtime::map`.
    Map,
    /// `Runtime::lock`.
    Lock,
    /// `Runtime::disk_space`.
    Space,
}

impl DiskOp {
    /// The operation's name in traces.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Allocate => "allocate",
            Self::Truncate => "truncate",
            Self::Len => "len",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::RemoveDir => "remove_dir",
            Self::CreateDir => "create_dir",
            Self::SyncDir => "sync_dir",
            Self::List => "list",
            Self::Map => "map",
            Self::Lock => "lock",
            Self::Space => "disk_space",
        }
    }
}

/// What an injected fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fails with EIO; writes and syncs with the side effects of [`DiskFaults`].
    Eio,
    /// Fails with ENOSPC, with no effect.
    NoSpace,
    /// Takes this much longer.
    SlowUs(u64),
    /// Does not complete until [`super::Sim::release_hung`].
    Hang,
    /// A write lands at another block of the same file and reports success.
    Misdirect,
    /// A write or a sync does nothing and reports success, as if the code had left it out: shows that a checker notices.
    Skip,
}

/// A fault aimed at chosen operations: the first `skip` that match pass, the next `times` are hit.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The operation.
    pub op: DiskOp,
    /// The path (as opened; of a rename, the old one) contains this. Empty matches all.
    pub path_contains: String,
    /// Matching operations that pass first.
    pub skip: u32,
    /// Operations that are hit then.
    pub times: u32,
    /// What happens to them.
    pub fault: Fault,
}

/// The network between hosts and within them.
#[derive(Clone, Copy, Debug)]
pub struct NetOptions {
    /// Time of one segment between hosts.
    pub latency_us: Span,
    /// Time of one segment within a host.
    pub loopback_us: Span,
    /// Bytes on their way or unread in one direction of a connection; a writer waits beyond it.
    pub buffer_bytes: usize,
    /// A write is delivered in several pieces.
    pub split: Chance,
    /// A read gets less than there is.
    pub short_read: Chance,
    /// A segment takes `delay_us` longer. What follows waits behind it.
    pub delay: Chance,
    /// How much longer delayed segments take.
    pub delay_us: Span,
    /// Accepting fails with a passing error.
    pub accept_error: Chance,
    /// Connections that wait to be accepted, per listener.
    pub backlog: usize,
    /// Connecting into a partition or a full backlog fails after this long.
    pub connect_timeout_us: u64,
    /// How long the peer of a host without power takes to see the connection reset.
    pub power_loss_reset_us: Span,
    /// Of a connection that is cut, the side that connected learns of it at once, the other one `late_us` later, and gets what
    /// was under way until then: the peer may have sent it again meanwhile.
    pub late_cut: Chance,
    /// How much later that is.
    pub late_us: Span,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            latency_us: Span::us(50, 300),
            loopback_us: Span::us(5, 40),
            buffer_bytes: 256 << 10,
            split: Chance::percent(30),
            short_read: Chance::percent(30),
            delay: Chance::per_million(1_000),
            delay_us: Span::us(1_000, 20_000),
            accept_error: Chance::NEVER,
            backlog: 128,
            connect_timeout_us: 10_000_000,
            power_loss_reset_us: Span::us(1_000, 2_000_000),
            late_cut: Chance::NEVER,
            late_us: Span::us(1_000, 300_000),
        }
    }
}

/// The error of a disk that could not.
pub(crate) fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

/// The error of a full disk.
pub(crate) fn enospc() -> io::Error {
    io::Error::from_raw_os_error(28)
}
