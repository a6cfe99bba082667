//! A real file system on the disk, mounted where only this thread and the processes it starts see it.
//!
//! Nothing is left behind, whatever becomes of the test: the mounts live in a mount namespace of the thread's own and go
//! with it; the loop device is told to go with its last user; the file it stands on is served by this very process.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fuser::BackgroundSession;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use thiserror::Error;

use crate::served::{Disk, NAME};

/// What a busy machine may take to let go of a file system whose last process was just killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file system of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4, with the defaults of mkfs.ext4.
    Ext4,
    /// XFS, with the defaults of mkfs.xfs.
    Xfs,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// As a careful operator mounts it: ext4 alone would go on after an error in its metadata.
    const fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "errors=remount-ro",
            Self::Xfs => "defaults",
        }
    }

    fn make(self, device: &Path) -> Command {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            // Everything is written now: nothing happens in the background of the test. Nothing is kept for root: a node that
            // runs as root would not see a full disk.
            Self::Ext4 => {
                command.args(["-q", "-F", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            }
            Self::Xfs => command.args(["-q", "-f", "-K"]),
        };
        command.arg(device);
        command
    }
}

/// This machine cannot do it: what was tried, and what it said.
#[derive(Debug, Error)]
#[error("{what}: {why}")]
pub struct Unavailable {
    what: String,
    why: String,
}

impl Unavailable {
    fn new(what: impl Into<String>, why: impl ToString) -> Self {
        Self { what: what.into(), why: why.to_string().trim().to_owned() }
    }
}

/// A file system on a disk. Unmounted when it is dropped.
pub struct Mounted {
    /// The disk.
    pub disk: Disk,
    /// The file system on it.
    pub kind: Kind,
    is_up: bool,
    place: PathBuf,
    device: PathBuf,
    // Dropped in this order.
    _served: BackgroundSession,
    scratch: TempDir,
}

impl Mounted {
    /// Makes a disk of `bytes` bytes with a file system on it, below `scratch`.
    ///
    /// The calling thread has its own view of mounts afterwards, and so have processes that it starts. Others do not see
    /// the file system.
    pub fn new(kind: Kind, bytes: u64, scratch: &Path) -> Result<Self, Unavailable> {
        alone()?;
        let scratch = tempfile::Builder::new()
            .prefix("disk-")
            .tempdir_in(scratch)
            .map_err(|error| Unavailable::new("a directory to mount in", error))?;
        let (served_at, place) = (scratch.path().join("served"), scratch.path().join("mounted"));
        for dir in [&served_at, &place] {
            std::fs::create_dir(dir).map_err(|error| Unavailable::new("a directory to mount in", error))?;
        }
        let disk = Disk::new(bytes);
        let served = disk.serve(&served_at).map_err(|error| Unavailable::new("mount of a FUSE file system", error))?;
        let device = served_at.join(NAME);
        run(&mut kind.make(&device)).map_err(|why| Unavailable::new(format!("mkfs.{}", kind.name()), why))?;
        let mut mounted = Self { disk, kind, is_up: false, place, device, _served: served, scratch };
        mounted.mount().map_err(|why| Unavailable::new(format!("mount of {} on a loop device", kind.name()), why))?;
        Ok(mounted)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place
    }

    /// Mounts what is on the disk; after a loss of power, the kernel replays the journal here.
    pub fn mount(&mut self) -> Result<(), String> {
        assert!(!self.is_up, "it is mounted");
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(&self.device))?;
        let device = device.trim();
        let mut command = Command::new("mount");
        let mounted = run(command.args(["-t", self.kind.name(), "-o", self.kind.options(), device]).arg(&self.place));
        // From here on it goes with its last user: the file system, if it is mounted.
        let detached = run(Command::new("losetup").args(["--detach", device]));
        mounted?;
        self.is_up = true;
        detached.map(drop)
    }

    /// Unmounts it. A killed process may still hold a file for a moment; whoever does so for long makes this fail.
    pub fn unmount(&mut self) -> io::Result<()> {
        assert!(self.is_up, "it is not mounted");
        let begun = Instant::now();
        // As a process: a thread that sleeps in the kernel cannot be killed, and this process serves the disk.
        while let Err(error) = run(Command::new("umount").arg(&self.place)) {
            if begun.elapsed() > PATIENCE {
                return Err(io::Error::other(error));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.is_up = false;
        Ok(())
    }

    /// Mounts it anew where it is, with other options, under whoever uses it.
    ///
    /// # Errors
    /// What the kernel has against it.
    pub fn remount(&self, options: &str) -> Result<(), String> {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.place)).map(drop)
    }

    /// Lets the file system find an error in itself, upon which it goes read-only, as after damage to its metadata.
    pub fn break_down(&self) -> Result<(), String> {
        assert_eq!(self.kind, Kind::Ext4, "only ext4 can be told to");
        let source = run(Command::new("findmnt").args(["--noheadings", "--output", "SOURCE"]).arg(&self.place))?;
        let device = Path::new(source.trim()).file_name().ok_or("a device has a name")?;
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        std::fs::write(&trigger, "the test wants it\n").map_err(|error| format!("{}: {error}", trigger.display()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.is_up {
            let _ = umount2(&self.place, MntFlags::MNT_DETACH);
        }
        let _ = umount2(&self.scratch.path().join("served"), MntFlags::MNT_DETACH);
    }
}

/// Gives the calling thread its own view of mounts.
fn alone() -> Result<(), Unavailable> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| Unavailable::new("a mount namespace", error))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|error| Unavailable::new("private mounts", error))
}

/// Runs a command to its end: what it says, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
    }
}
