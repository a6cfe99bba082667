//! What the shell lends to the decisions to lay out bytes in.

use std::ops::Range;

/// A buffer being filled, from front to back as a rule. Memory that is overwritten anyway is not cleared first; what was not
/// written reads as zero nevertheless.
pub trait Slab {
    /// Bytes it takes.
    fn capacity(&self) -> usize;

    /// Writes `bytes` at `at`.
    ///
    /// Panics if they do not fit.
    fn put(&mut self, at: usize, bytes: &[u8]);

    /// Writes zeros.
    ///
    /// Panics if they do not fit.
    fn put_zeros(&mut self, range: Range<usize>);
}

impl Slab for [u8] {
    fn capacity(&self) -> usize {
        self.len()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put_zeros(&mut self, range: Range<usize>) {
        self[range].fill(0);
    }
}
