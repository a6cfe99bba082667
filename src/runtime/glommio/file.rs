//! Files for direct I/O.

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ::glommio::GlommioError;
use ::glommio::io::{DmaFile, OpenOptions};

use super::blocking::Blocking;
use super::buffer::{Buf, BufMut, copy};
use super::relay::relay;
use crate::limits::BLOCK_BYTES;
use crate::runtime::{self, Open};
use crate::types::Slab;

/// How long [`runtime::File::settled`] waits: 10 s, far beyond the slowest write of a disk that is not broken.
const SETTLE_TRIES: u32 = 5_000;
const SETTLE_PAUSE: Duration = Duration::from_millis(2);

/// An open file.
///
/// Dropping it hands the descriptor to the ring, which closes it at the executor's next turn; glommio mentions that in
/// a debug line and does nothing else about it.
#[derive(Debug)]
pub struct File {
    file: DmaFile,
    blocking: Rc<Blocking>,
}

impl File {
    pub(super) async fn open(path: &Path, how: Open, blocking: Rc<Blocking>) -> io::Result<Self> {
        // Trap: glommio panics on such a name.
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file name with a zero byte"));
        }
        let mut options = OpenOptions::new();
        // Trap: without the flag glommio takes tmpfs for a disk and silently does buffered I/O there.
        options.read(true).custom_flags(libc::O_DIRECT).mode(0o644);
        match how {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        // Trap: after the open, glommio asks for the file system by name and panics if the name is gone by then. Nobody
        // renames or removes a file that is being opened.
        let file = relay(options.dma_open(path)).await.map_err(|error| match into_io(error) {
            error if error.raw_os_error() == Some(libc::EINVAL) => io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the file system that holds {} does not support direct I/O (O_DIRECT)", path.display()),
            ),
            error => error,
        })?;
        let file = Self { file, blocking };
        if how != Open::Read {
            // Shared by all who may write, and held until the last write through this handle has ended, also when the
            // process is gone by then: see `settled`.
            file.flock(libc::LOCK_SH)?;
        }
        Ok(file)
    }

    fn flock(&self, how: libc::c_int) -> io::Result<()> {
        // SAFETY: the descriptor is open, and the call takes no pointers.
        match unsafe { libc::flock(self.file.as_raw_fd(), how | libc::LOCK_NB) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Lends the descriptor to the standard library.
    fn with_std<T>(&self, call: impl FnOnce(&fs::File) -> T) -> T {
        // SAFETY: the descriptor stays open while `self.file` lives, which is longer than this call, and `ManuallyDrop`
        // keeps the lent handle from closing it.
        let file = ManuallyDrop::new(unsafe { fs::File::from_raw_fd(self.file.as_raw_fd()) });
        call(&file)
    }

    /// Trap: glommio's `file_size` asks by name, which is another file's size once this one was renamed.
    fn length(&self) -> io::Result<u64> {
        self.with_std(|file| Ok(file.metadata()?.len()))
    }
}

impl runtime::File for File {
    type Buf = Buf;

    async fn write_at(&self, buf: &Buf, pos: u64) -> io::Result<()> {
        check_blocks(pos, buf.len())?;
        let mut written = 0;
        let mut rest = buf.writable();
        while written < buf.len() {
            let at = pos + written as u64;
            let n = relay(self.file.write_rc_at(Rc::clone(&rest), at)).await.map_err(into_io)?;
            // A direct write ends short when the space does. What is left of a block is written again with the next.
            let whole = n.min(buf.len() - written) / BLOCK_BYTES * BLOCK_BYTES;
            if whole == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            written += whole;
            if written < buf.len() {
                rest = copy(&buf[written..]);
            }
        }
        Ok(())
    }

    async fn read_at(&self, pos: u64, len: usize) -> io::Result<Buf> {
        check_blocks(pos, len)?;
        if len == 0 {
            return Ok(Buf::empty());
        }
        let read = relay(self.file.read_at_aligned(pos, len)).await.map_err(into_io)?;
        if read.len() == len || pos + read.len() as u64 >= self.length()? {
            return Ok(read.into());
        }
        // Short though the file goes on: rare (a signal, a device that splits). Put the pieces together.
        let mut whole = BufMut::new(len);
        let mut filled = read.len() / BLOCK_BYTES * BLOCK_BYTES;
        whole.put(0, &read[..filled]);
        while filled < len {
            let at = pos + filled as u64;
            let more = relay(self.file.read_at_aligned(at, len - filled)).await.map_err(into_io)?;
            whole.put(filled, &more);
            filled += more.len();
            if !more.len().is_multiple_of(BLOCK_BYTES) || more.is_empty() {
                break;
            }
        }
        Ok(Buf::prefix(whole, filled))
    }

    async fn sync(&self) -> io::Result<()> {
        relay(self.file.fdatasync()).await.map_err(into_io)
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        relay(self.file.pre_allocate(len, false)).await.map_err(into_io)
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        // On a descriptor of its own. Trap: glommio's `truncate` hands the bare number to another thread; if the caller
        // gives up and the file is closed meanwhile, the number may mean another file.
        let file = self.with_std(fs::File::try_clone)?;
        self.blocking.run(move || file.set_len(len)).await
    }

    async fn len(&self) -> io::Result<u64> {
        self.length()
    }

    async fn data_from(&self, pos: u64) -> io::Result<Option<u64>> {
        let from = libc::off_t::try_from(pos).map_err(io::Error::other)?;
        // Nothing here uses the descriptor's own position, which this moves.
        // SAFETY: the descriptor is open, and the call takes no pointers.
        match unsafe { libc::lseek(self.file.as_raw_fd(), from, libc::SEEK_DATA) } {
            -1 => {}
            at => return Ok(Some(u64::try_from(at).map_err(io::Error::other)?)),
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Nothing but a hole, or behind the end.
            Some(libc::ENXIO) => Ok(None),
            // A file system that does not tell: all of it may be data.
            Some(libc::EINVAL | libc::EOPNOTSUPP) => Ok((pos < self.length()?).then_some(pos)),
            _ => Err(error),
        }
    }

    async fn settled(&self) -> io::Result<()> {
        for _ in 0..SETTLE_TRIES {
            match self.flock(libc::LOCK_EX) {
                // For a moment only: from here on others may open it, too.
                Ok(()) => return self.flock(libc::LOCK_SH),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            ::glommio::timer::sleep(SETTLE_PAUSE).await;
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "somebody else still has the file open for writing"))
    }
}

fn check_blocks(pos: u64, len: usize) -> io::Result<()> {
    if pos.is_multiple_of(BLOCK_BYTES as u64) && len.is_multiple_of(BLOCK_BYTES) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{len} bytes at {pos} are not whole blocks")))
}

/// The error with the system's code, which glommio's own conversion drops.
pub(super) fn into_io<T>(error: GlommioError<T>) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.into(),
    }
}
