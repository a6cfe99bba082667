//! Two ways to write a segment: the node's own file code on io_uring, and plain system calls from a thread.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use millstream::runtime::glommio::{self, GlommioRuntime};
use millstream::runtime::{self, File as _, Open, Runtime as _, local};
use rustix::fs::{FallocateFlags, Mode, OFlags};

/// Alignment of positions, lengths and memory of direct I/O.
pub const BLOCK_BYTES: usize = 4096;

/// Creates and writes segments. The calls of a measured commit are `write` and `sync`; the others prepare.
pub trait Engine {
    /// An open segment.
    type Segment;
    /// What a commit writes: memory that direct I/O accepts, filled.
    type Buffer;

    /// Memory of `len` bytes, a multiple of [`BLOCK_BYTES`], that does not compress.
    fn buffer(&self, len: usize) -> Self::Buffer;

    /// Creates a file of `len` bytes whose blocks are reserved and not written, and makes it durable.
    async fn create(&self, path: &Path, len: u64) -> io::Result<Self::Segment>;

    /// Writes `buffer` `writes` times from `pos` on, one behind the other, all under way together if the engine can.
    async fn write(&self, segment: &Self::Segment, buffer: &Self::Buffer, pos: u64, writes: usize) -> io::Result<()>;

    /// fdatasync.
    async fn sync(&self, segment: &Self::Segment) -> io::Result<()>;
}

/// The node's own shell: the very code the log runs on.
#[derive(Debug)]
pub struct Uring {
    pub rt: GlommioRuntime,
}

/// A segment with the length of what is written to it at a time.
#[derive(Debug)]
pub struct UringBuffer {
    bytes: glommio::Buf,
    len: usize,
}

impl Engine for Uring {
    type Segment = glommio::File;
    type Buffer = UringBuffer;

    fn buffer(&self, len: usize) -> UringBuffer {
        let mut bytes = self.rt.alloc(len);
        fill(bytes.as_mut());
        UringBuffer { bytes: self.rt.freeze(bytes, len), len }
    }

    async fn create(&self, path: &Path, len: u64) -> io::Result<glommio::File> {
        let file = self.rt.open(path, Open::CreateNew).await?;
        file.allocate(len).await?;
        file.sync().await?;
        self.rt.sync_dir(parent(path)).await?;
        Ok(file)
    }

    async fn write(&self, segment: &glommio::File, buffer: &UringBuffer, pos: u64, writes: usize) -> io::Result<()> {
        let positions = (0..writes).map(|nth| pos + (nth * buffer.len) as u64);
        let writes = positions.map(|pos| segment.write_at(&buffer.bytes, pos));
        local::join_all(writes).await.into_iter().collect()
    }

    async fn sync(&self, segment: &glommio::File) -> io::Result<()> {
        runtime::File::sync(segment).await
    }
}

/// `pwrite` and `fdatasync` from the calling thread. Several writes go one after the other.
#[derive(Debug)]
pub struct Plain;

/// Memory with an aligned part of the length asked for.
#[derive(Debug)]
pub struct PlainBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl PlainBuffer {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl Engine for Plain {
    type Segment = OwnedFd;
    type Buffer = PlainBuffer;

    fn buffer(&self, len: usize) -> PlainBuffer {
        let mut memory = vec![0; len + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        fill(&mut memory[start..start + len]);
        PlainBuffer { memory, start, len }
    }

    async fn create(&self, path: &Path, len: u64) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?;
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len)?;
        rustix::fs::fsync(&file)?;
        fs::File::open(parent(path))?.sync_all()?;
        Ok(file)
    }

    async fn write(&self, segment: &OwnedFd, buffer: &PlainBuffer, pos: u64, writes: usize) -> io::Result<()> {
        for nth in 0..writes {
            let mut rest = buffer.bytes();
            let mut at = pos + (nth * buffer.len) as u64;
            while !rest.is_empty() {
                let written = rustix::io::pwrite(segment, rest, at)?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                rest = &rest[written..];
                at += written as u64;
            }
        }
        Ok(())
    }

    async fn sync(&self, segment: &OwnedFd) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(segment)?)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a segment lies in a directory")
}

/// Bytes that no disk compresses or deduplicates within a segment's block: a xorshift sequence.
fn fill(bytes: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}
