//! Aligned buffers: one being filled, one shared.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use ::glommio::io::{DmaBuffer, ReadResult};

use crate::limits::BLOCK_BYTES;

/// An aligned buffer being filled, all zero at first.
#[derive(Debug)]
pub struct BufMut(DmaBuffer);

impl BufMut {
    /// A buffer of `len` bytes, a positive multiple of the block size.
    pub(super) fn zeroed(len: usize) -> Self {
        assert!(len > 0 && len.is_multiple_of(BLOCK_BYTES), "a buffer of {len} bytes is not made of whole blocks");
        let mut buffer = ::glommio::allocate_dma_buffer(len);
        assert!(buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES), "glommio aligns its buffers to 4,096");
        // Trap: glommio hands out memory as the allocator left it. Through the pointer, because a `&mut [u8]` over
        // uninitialised memory must not be made.
        // SAFETY: the pointer is valid for writes of `buffer.len()` bytes, and nobody else knows it yet.
        unsafe { buffer.as_mut_ptr().write_bytes(0, buffer.len()) };
        Self(buffer)
    }

    pub(super) fn freeze(self, len: usize) -> Buf {
        assert!(len.is_multiple_of(BLOCK_BYTES), "{len} bytes are not whole blocks");
        assert!(len <= self.0.len(), "{len} bytes of a buffer of {}", self.0.len());
        Buf::prefix(self, len)
    }
}

impl AsRef<[u8]> for BufMut {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsMut<[u8]> for BufMut {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_bytes_mut()
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
        buffer.0.trim_to_size(len);
        Self(Inner::Filled(Rc::new(buffer.0)))
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
    let mut buffer = BufMut::zeroed(bytes.len().next_multiple_of(BLOCK_BYTES));
    buffer.as_mut()[..bytes.len()].copy_from_slice(bytes);
    Rc::new(buffer.0)
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
