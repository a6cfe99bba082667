//! Names, directories, maps, locks and space: calls of the standard library, made on the blocking threads.

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use crate::runtime::DiskSpace;

/// A sealed file mapped read-only.
#[derive(Debug)]
pub struct Map(Mmap);

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An exclusive hold on a path (`flock`), let go when the file closes.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

pub(super) fn create(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

pub(super) fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Names that are not UTF-8 come out with replacement characters: the node made none of them and ignores them.
pub(super) fn list(path: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Populated at once, so that the worker does not stop at page faults later.
pub(super) fn map(path: &Path) -> io::Result<Map> {
    let file = fs::File::open(path)?;
    // SAFETY: the bytes must not change while mapped. The caller maps sealed files only (a contract of the trait), the
    // node never writes to one again, and its lock on the data directory keeps other nodes away.
    let map = unsafe { MmapOptions::new().populate().map(&file)? };
    Ok(Map(map))
}

pub(super) fn lock(path: &Path) -> io::Result<Lock> {
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

pub(super) fn space(path: &Path) -> io::Result<DiskSpace> {
    use std::os::fd::AsRawFd;
    let file = fs::File::open(path)?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `stat` is valid for writes of its size, and the descriptor is open.
    if unsafe { libc::fstatvfs(file.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok(DiskSpace { free_bytes: stat.f_bavail * stat.f_frsize, total_bytes: stat.f_blocks * stat.f_frsize })
}
