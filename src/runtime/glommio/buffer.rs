//! Aligned buffers: one being filled, one shared.

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use ::glommio::io::{DmaBuffer, ReadResult};

use crate::limits::BLOCK_BYTES;
use crate::types::Slab;

/// An aligned buffer being filled.
///
/// Trap: glommio hands out memory as the allocator left it. Clearing all of it would cost as much as the copy that follows;
/// so what was written is kept account of, and a slice is only made of that.
///
/// Invariant: the first `written` bytes are initialised.
#[derive(Debug)]
pub struct BufMut {
    buffer: DmaBuffer,
    written: usize,
}

impl BufMut {
    /// A buffer of `len` bytes, a positive multiple of the block size.
    pub(super) fn new(len: usize) -> Self {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "a buffer of {len} bytes is not made of whole blocks");
        let buffer = ::glommio::allocate_dma_buffer(len);
        assert!(buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "glommio aligns its buffers to 4,096");
        Self { buffer, written: 0 }
    }

    /// Clears what lies between what was written and `end`.
    fn clear_to(&mut self, end: usize) {
        assert!(end <= self.buffer.len(), "{end} bytes of a buffer of {}", self.buffer.len());
        if let Some(more) = end.checked_sub(self.written) {
            // Through the pointer, because a `&mut [u8]` over uninitialised memory must not be made.
            // SAFETY: the range lies within the buffer, which `&mut self` lends to nobody else.
            unsafe { self.buffer.as_mut_ptr().add(self.written).write_bytes(0, more) };
            self.written = end;
        }
    }

    pub(super) fn freeze(self, len: usize) -> Buf {
        assert!(len.is_multiple_of(BLOCK_BYTES), "{len} bytes are not whole blocks");
        Buf::prefix(self, len)
    }
}

impl Slab for BufMut {
    fn capacity(&self) -> usize {
        self.buffer.len()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        assert!(end <= self.buffer.len(), "{} bytes at {at} of a buffer of {}", bytes.len(), self.buffer.len());
        self.clear_to(at.max(self.written));
        // SAFETY: the range lies within the buffer, and `bytes` cannot: `&mut self` lends it to nobody else.
        unsafe { self.buffer.as_mut_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.written = self.written.max(end);
    }

    fn put_zeros(&mut self, range: Range<usize>) {
        assert!(range.end <= self.buffer.len(), "{range:?} of a buffer of {}", self.buffer.len());
        let again = range.start..range.end.min(self.written);
        if !again.is_empty() {
            // SAFETY: the range lies within the buffer, which `&mut self` lends to nobody else.
            unsafe { self.buffer.as_mut_ptr().add(again.start).write_bytes(0, again.len()) };
        }
        self.clear_to(range.end.max(self.written));
    }
}

impl AsMut<[u8]> for BufMut {
    fn as_mut(&mut self) -> &mut [u8] {
        self.clear_to(self.buffer.len());
        self.buffer.as_bytes_mut()
    }
}

/// A shared read-only buffer; cloning counts references.
#[derive(Clone)]
pub struct Buf(Inner);

#[derive(Clone)]
enum Inner {
    /// Filled here; what is written to files.
    Filled(Rc<DmaBuffer>),
    /// Read from a file.
    Read(ReadResult),
}

impl Buf {
    pub(super) fn empty() -> Self {
        Self(Inner::Read(ReadResult::default()))
    }

    /// The first `len` bytes of `buffer`, which need not be whole blocks: the end of a file.
    pub(super) fn prefix(mut buffer: BufMut, len: usize) -> Self {
        buffer.clear_to(len.max(buffer.written));
        buffer.buffer.trim_to_size(len);
        Self(Inner::Filled(Rc::new(buffer.buffer)))
    }

    /// The buffer in the form a write takes; copied if it came from a read.
    pub(super) fn writable(&self) -> Rc<DmaBuffer> {
        match &self.0 {
            Inner::Filled(buffer) => Rc::clone(buffer),
            Inner::Read(bytes) => copy(bytes),
        }
    }
}

/// A copy of `bytes` that can be written to a file.
pub(super) fn copy(bytes: &[u8]) -> Rc<DmaBuffer> {
    let mut buffer = BufMut::new(bytes.len().next_multiple_of(BLOCK_BYTES));
    buffer.put(0, bytes);
    buffer.clear_to(buffer.capacity());
    Rc::new(buffer.buffer)
}

impl From<ReadResult> for Buf {
    fn from(bytes: ReadResult) -> Self {
        Self(Inner::Read(bytes))
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Filled(buffer) => buffer.as_bytes(),
            Inner::Read(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} bytes)", self.len())
    }
}
