//! The bytes of one file as a sparse map of blocks. What was never written reads as zero.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::limits::BLOCK_BYTES;

/// What a disk writes as a whole or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// A file's bytes, length and reserved space. Cloning shares the blocks.
///
/// Invariants: no block lies wholly beyond `len`, nor outside the reserved space beyond it, once [`Image::cut`] ran; bytes
/// of the last block beyond `len` are zero; `used_blocks` counts written and reserved blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    blocks: BTreeMap<u64, Bytes>,
    len: u64,
    reserved_blocks: u64,
    used_blocks: u64,
}

impl Image {
    /// An image of `contents`.
    pub(crate) fn of(contents: &[u8]) -> Self {
        let mut image = Self::default();
        let mut padded = contents.to_vec();
        padded.resize(contents.len().next_multiple_of(BLOCK_BYTES), 0);
        image.write(0, &Bytes::from(padded));
        image.grow(contents.len() as u64);
        image
    }

    /// Length in bytes.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Blocks of disk that the file takes.
    pub(crate) const fn used_blocks(&self) -> u64 {
        self.used_blocks
    }

    /// Blocks of disk that a write or a reservation of this range would take in addition.
    pub(crate) fn blocks_needed(&self, pos: u64, len: u64) -> u64 {
        let (first, end) = ((pos / BLOCK).max(self.reserved_blocks), (pos + len).div_ceil(BLOCK));
        if first >= end {
            return 0;
        }
        (end - first) - self.blocks.range(first..end).count() as u64
    }

    /// Stores whole blocks at `pos`. The length stays: see [`Image::grow`].
    pub(crate) fn write(&mut self, pos: u64, data: &Bytes) {
        debug_assert!(pos.is_multiple_of(BLOCK));
        debug_assert!(data.len().is_multiple_of(BLOCK_BYTES));
        for (number, at) in (pos / BLOCK..).zip((0..data.len()).step_by(BLOCK_BYTES)) {
            self.put(number, data.slice(at..at + BLOCK_BYTES));
        }
    }

    /// Stores those sectors of a write that `keep` says. Returns how many it kept.
    pub(crate) fn write_sectors(&mut self, pos: u64, data: &Bytes, mut keep: impl FnMut() -> bool) -> usize {
        let mut kept = 0;
        for (number, at) in (pos / BLOCK..).zip((0..data.len()).step_by(BLOCK_BYTES)) {
            let mut block = self.block(number);
            let before = kept;
            for sector in (0..BLOCK_BYTES).step_by(SECTOR_BYTES) {
                if keep() {
                    let from = at + sector;
                    block[sector..sector + SECTOR_BYTES].copy_from_slice(&data[from..from + SECTOR_BYTES]);
                    kept += 1;
                }
            }
            if kept > before {
                self.put(number, Bytes::from(block));
            }
        }
        kept
    }

    /// Makes the file at least `len` long.
    pub(crate) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Reserves space for the first `len` bytes and makes the file at least that long.
    pub(crate) fn reserve(&mut self, len: u64) {
        self.used_blocks += self.blocks_needed(0, len);
        self.reserved_blocks = self.reserved_blocks.max(len.div_ceil(BLOCK));
        self.grow(len);
    }

    /// Sets the length. What lies beyond is forgotten.
    pub(crate) fn cut(&mut self, len: u64) {
        self.len = len;
        self.forget_beyond_end();
    }

    /// Forgets blocks and bytes beyond the length.
    pub(crate) fn forget_beyond_end(&mut self) {
        let end = self.len.div_ceil(BLOCK);
        self.blocks.split_off(&end);
        self.reserved_blocks = self.reserved_blocks.min(end);
        self.used_blocks = self.reserved_blocks + self.blocks.range(self.reserved_blocks..).count() as u64;
        let tail = (self.len % BLOCK) as usize;
        if tail > 0 && self.blocks.contains_key(&(end - 1)) {
            let mut last = self.block(end - 1);
            last[tail..].fill(0);
            self.put(end - 1, Bytes::from(last));
        }
    }

    /// The bytes from `pos`, at most `len` and not beyond the end.
    pub(crate) fn read(&self, pos: u64, len: usize) -> Vec<u8> {
        let end = self.len.min(pos.saturating_add(len as u64));
        if pos >= end {
            return Vec::new();
        }
        let mut out = vec![0; (end - pos) as usize];
        for (&number, block) in self.blocks.range(pos / BLOCK..end.div_ceil(BLOCK)) {
            let start = number * BLOCK;
            let (from, to) = (start.max(pos), (start + BLOCK).min(end));
            out[(from - pos) as usize..(to - pos) as usize]
                .copy_from_slice(&block[(from - start) as usize..(to - start) as usize]);
        }
        out
    }

    /// Inverts one stored bit. Does nothing where nothing was ever written.
    pub(crate) fn flip(&mut self, byte: u64, bit: u8) {
        let number = byte / BLOCK;
        if self.blocks.contains_key(&number) {
            let mut block = self.block(number);
            block[(byte % BLOCK) as usize] ^= 1 << bit;
            self.put(number, Bytes::from(block));
        }
    }

    fn block(&self, number: u64) -> Vec<u8> {
        self.blocks.get(&number).map_or_else(|| vec![0; BLOCK_BYTES], |block| block.to_vec())
    }

    fn put(&mut self, number: u64, block: Bytes) {
        if self.blocks.insert(number, block).is_none() && number >= self.reserved_blocks {
            self.used_blocks += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(fill: u8, count: usize) -> Bytes {
        Bytes::from(vec![fill; count * BLOCK_BYTES])
    }

    /// Goal: holes read as zero, reads stop at the end, a cut forgets what it cut even if the file grows again.
    #[test]
    fn reads_like_a_file() {
        let mut image = Image::default();
        image.write(BLOCK, &blocks(7, 1));
        image.grow(2 * BLOCK);
        assert_eq!(image.read(0, 3 * BLOCK_BYTES), [vec![0; BLOCK_BYTES], vec![7; BLOCK_BYTES]].concat());
        assert!(image.read(2 * BLOCK, BLOCK_BYTES).is_empty());
        image.cut(BLOCK + 100);
        assert_eq!(image.read(BLOCK, BLOCK_BYTES), [7; 100]);
        image.grow(2 * BLOCK);
        assert_eq!(image.read(BLOCK, BLOCK_BYTES), [vec![7; 100], vec![0; BLOCK_BYTES - 100]].concat());
    }

    /// Goal: space is counted once for reserved and written blocks alike, and comes back with a cut.
    #[test]
    fn counts_space() {
        let mut image = Image::default();
        image.write(3 * BLOCK, &blocks(1, 2));
        image.grow(5 * BLOCK);
        assert_eq!(image.used_blocks(), 2);
        assert_eq!(image.blocks_needed(0, 4 * BLOCK), 3);
        image.reserve(4 * BLOCK);
        assert_eq!(image.used_blocks(), 5);
        image.write(0, &blocks(1, 1));
        assert_eq!((image.used_blocks(), image.blocks_needed(0, 6 * BLOCK)), (5, 1));
        image.cut(BLOCK);
        assert_eq!(image.used_blocks(), 1);
    }

    /// Goal: a torn write changes exactly the kept sectors.
    #[test]
    fn tears_at_sectors() {
        let mut image = Image::of(&[1; BLOCK_BYTES]);
        let mut turn = false;
        let kept = image.write_sectors(0, &blocks(2, 1), || {
            turn = !turn;
            turn
        });
        assert_eq!(kept, 4);
        let read = image.read(0, BLOCK_BYTES);
        for (number, sector) in read.chunks(SECTOR_BYTES).enumerate() {
            assert_eq!(sector, [if number % 2 == 0 { 2 } else { 1 }; SECTOR_BYTES], "sector {number}");
        }
    }
}
