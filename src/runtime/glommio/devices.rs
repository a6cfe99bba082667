//! Shows each disk to glommio before it opens a file there.
//!
//! Trap: glommio 0.9 finds out whether a disk can be polled for completions (`IORING_SETUP_IOPOLL`) by one read from the
//! *first file* each thread opens on it. If that file is new, or starts with a hole or with preallocated blocks, the read
//! never reaches the disk and succeeds, polling is taken for granted for the thread's life, and on a disk without poll queues
//! every read then fails with "operation not supported". So the first file is one of ours, with a block really written.

use std::cell::RefCell;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::blocking::Blocking;
use super::file::into_io;
use super::preflight::aligned_block;
use super::relay::relay;

/// The disks that this thread's glommio knows, by device number.
#[derive(Debug, Default)]
pub(super) struct Devices(RefCell<Vec<u64>>);

impl Devices {
    /// Before a file at `path` is opened for the first time. Where no file can be made (a read-only mount, an old network
    /// file system) glommio is left to its own guess.
    pub(super) async fn introduce(&self, path: &Path, blocking: &Blocking) {
        let dir = match path.parent() {
            Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
            Some(dir) => dir,
            None => return,
        };
        // Not on a blocking thread: opening looks at the directory anyhow, and mostly it has just been listed.
        let Ok(metadata) = fs::metadata(dir) else { return };
        if self.0.borrow().contains(&metadata.dev()) {
            return;
        }
        if let Err(error) = show(dir.to_owned(), blocking).await {
            tracing::debug!(dir = %dir.display(), %error, "cannot probe the disk for polled completions");
        }
        self.0.borrow_mut().push(metadata.dev());
    }
}

async fn show(dir: PathBuf, blocking: &Blocking) -> io::Result<()> {
    // A file without a name: nobody sees it, and it is gone when it closes, however the process ends.
    let file = blocking
        .run(move || {
            let flags = libc::O_TMPFILE | libc::O_DIRECT;
            let file = OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(flags).open(dir)?;
            file.write_all_at(aligned_block(&mut Vec::new()), 0)?;
            io::Result::Ok(file)
        })
        .await?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut options = ::glommio::io::OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    let shown = relay(options.dma_open(&path)).await.map_err(into_io)?;
    relay(shown.close()).await.map_err(into_io)
}
