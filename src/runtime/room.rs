//! Memory to receive into: the part of a buffer that may not be initialised yet, and how much of it has been filled.

#![expect(unsafe_code, reason = "uninitialised memory; each block says why it is sound")]

use std::io;
use std::mem::MaybeUninit;
use std::task::Poll;

use bytes::buf::UninitSlice;
use bytes::{BufMut, BytesMut};

/// Where received bytes go. Zeroing a quarter of a megabyte before every read would cost more than the read, so the memory
/// need not be initialised; what says that it was filled has been.
///
/// Invariant: the first `filled` bytes are initialised, and no byte that was initialised becomes uninitialised.
#[derive(Debug)]
pub struct Room<'a> {
    bytes: &'a mut [MaybeUninit<u8>],
    filled: usize,
}

impl<'a> Room<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        let len = bytes.len();
        let start = bytes.as_mut_ptr().cast::<MaybeUninit<u8>>();
        // SAFETY: the same memory with the same lifetime; this type never uninitialises it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start, len) };
        Self { bytes, filled: 0 }
    }

    /// What has been filled in.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        // SAFETY: by the invariant, so much is initialised.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast::<u8>(), self.filled) }
    }
}

// SAFETY: `chunk_mut` is all that is not filled, and what it gives out cannot be uninitialised through `UninitSlice`.
unsafe impl BufMut for Room<'_> {
    fn remaining_mut(&self) -> usize {
        self.bytes.len() - self.filled
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.remaining_mut(), "{count} bytes into {} of room", self.remaining_mut());
        self.filled += count;
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::uninit(&mut self.bytes[self.filled..])
    }
}

/// Lets `read` fill the spare capacity of `into`, which grows by what was filled; resolves to how much that was.
pub fn fill_spare(
    into: &mut BytesMut,
    read: impl FnOnce(&mut Room<'_>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    let mut room = Room { bytes: into.spare_capacity_mut(), filled: 0 };
    if !room.has_remaining_mut() {
        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "no room to read into")));
    }
    let polled = read(&mut room);
    let filled = room.filled;
    // SAFETY: by the invariant of `Room`, so much of the spare capacity is initialised.
    unsafe { into.advance_mut(filled) };
    polled
}

/// Lets `read` fill the room that hyper offers.
#[cfg(feature = "kinesis")]
pub fn fill_cursor(
    cursor: &mut hyper::rt::ReadBufCursor<'_>,
    read: impl FnOnce(&mut Room<'_>) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    // SAFETY: a `Room` never uninitialises what it was given.
    let mut room = Room { bytes: unsafe { cursor.as_mut() }, filled: 0 };
    let polled = read(&mut room);
    let filled = room.filled;
    // SAFETY: by the invariant of `Room`, so much of it is initialised.
    unsafe { cursor.advance(filled) };
    polled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a buffer grows by what was filled, no more, also when nothing came or reading failed, and never moves.
    #[test]
    fn a_buffer_grows_by_what_was_filled() {
        let mut buffer = BytesMut::with_capacity(16);
        buffer.extend_from_slice(b"head");
        let start = buffer.as_ptr();
        let polled = fill_spare(&mut buffer, |room| {
            assert_eq!(room.remaining_mut(), 12);
            room.put_slice(b"body");
            Poll::Ready(Ok(room.filled().len()))
        });
        assert!(matches!(polled, Poll::Ready(Ok(4))));
        assert!(fill_spare(&mut buffer, |_| Poll::Pending).is_pending());
        assert_eq!((&buffer[..], buffer.as_ptr()), (&b"headbody"[..], start));
        buffer.resize(16, 0);
        assert!(matches!(fill_spare(&mut buffer, |_| Poll::Pending), Poll::Ready(Err(_))), "there is no room");
    }

    /// Goal: more than there is room for is a bug that shows.
    #[test]
    #[should_panic(expected = "advance out of bounds")]
    fn more_than_fits_panics() {
        Room::new(&mut [0; 3]).put_slice(b"four");
    }
}
