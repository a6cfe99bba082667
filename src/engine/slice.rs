//! A piece of a shared buffer: how stored frames travel from the disk or the write buffer to the socket uncopied.

use std::ops::{Deref, Range};

/// Bytes `range` of a shared buffer. Keeps the whole buffer alive.
#[derive(Clone, Debug)]
pub struct Slice<B> {
    buffer: B,
    start: usize,
    end: usize,
}

impl<B: Deref<Target = [u8]>> Slice<B> {
    /// The piece `range` of `buffer`. Panics if it reaches beyond the buffer.
    pub fn new(buffer: B, range: Range<usize>) -> Self {
        assert!(range.start <= range.end, "{range:?} is backwards");
        assert!(range.end <= buffer.len(), "{range:?} reaches beyond {} bytes", buffer.len());
        Self { buffer, start: range.start, end: range.end }
    }

    /// Where the piece starts in its buffer.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Bytes of memory that the piece keeps alive: all of its buffer.
    pub fn pinned_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Where the piece ends in its buffer.
    pub const fn end(&self) -> usize {
        self.end
    }
}

impl<B: Deref<Target = [u8]>> Deref for Slice<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}
