//! Somebody else's file, which takes the space of a file system and gives it back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

/// The file. Removed by [`Filler::give_back`], or with its file system.
#[derive(Clone, Debug)]
pub struct Filler {
    dir: PathBuf,
}

impl Filler {
    /// It takes space in `dir`, once it is told to.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("filler")
    }

    /// Bytes that are free.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let space = statvfs(&self.dir)?;
        Ok(space.blocks_available() * space.fragment_size())
    }

    /// Leaves about this many bytes free, and gives back what it had before.
    ///
    /// # Errors
    /// When fewer than these are free.
    pub fn leave(&self, bytes: u64) -> io::Result<()> {
        self.give_back()?;
        let file = File::create(self.path())?;
        let taken = self.free_bytes()?.checked_sub(bytes).ok_or(io::ErrorKind::StorageFull)?;
        Ok(fallocate(&file, FallocateFlags::empty(), 0, i64::try_from(taken).expect("no disk is that large"))?)
    }

    /// Leaves not a block.
    ///
    /// # Errors
    /// Other than that the space is used up.
    pub fn leave_nothing(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path())?;
        for piece in [1 << 20, 4096] {
            loop {
                match file.write_all(&vec![1; piece]).and_then(|()| file.sync_data()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Takes nothing.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn give_back(&self) -> io::Result<()> {
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
