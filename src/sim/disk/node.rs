//! A file as the disk sees it: what can be read now, what would survive a power failure, and the changes between the two.
//!
//! A change enters the *visible* image when its operation completes. It reaches the *durable* image with a sync that
//! began later, or, at a power failure, by luck: data sector by sector and in any order, lengths only in the order in
//! which they changed (they are journalled).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use super::image::{Image, SECTOR_BYTES};
use super::{DiskStats, Space};
use crate::limits::BLOCK_BYTES;
use crate::sim::prng::Prng;

/// A file. Names in directories, open handles and unsynced name changes share it.
#[derive(Debug)]
pub(crate) struct FileNode {
    /// Number on its disk, never reused.
    pub(crate) id: u64,
    /// Contents.
    pub(crate) state: RefCell<FileState>,
    /// Visible names.
    pub(crate) links: Cell<u32>,
    /// Open handles of the living process.
    pub(crate) handles: Cell<u32>,
    /// Those of them that may write.
    pub(crate) writers: Cell<u32>,
}

/// A file's contents.
#[derive(Debug, Default)]
pub(crate) struct FileState {
    visible: Image,
    durable: Image,
    changes: VecDeque<Change>,
    next_seq: u64,
}

/// One completed operation that no sync has covered.
#[derive(Clone, Debug)]
struct Change {
    seq: u64,
    data: Option<(u64, Bytes)>,
    extent: Extent,
}

#[derive(Clone, Copy, Debug)]
enum Extent {
    Grow(u64),
    Cut(u64),
    Reserve(u64),
}

/// Which writes a power failure spares, drawn once per failure so that the clear-cut cases are not rare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing that was not synced.
    LoseAll,
    /// Everything.
    KeepAll,
    /// Each write is lost, kept or torn for itself.
    Mixed,
}

impl Mood {
    pub(crate) fn draw(rng: &mut Prng) -> Self {
        match rng.below(6) {
            0 => Self::LoseAll,
            1 => Self::KeepAll,
            _ => Self::Mixed,
        }
    }
}

impl Extent {
    fn apply(self, image: &mut Image) {
        match self {
            Self::Grow(len) => image.grow(len),
            Self::Cut(len) => image.cut(len),
            Self::Reserve(len) => image.reserve(len),
        }
    }
}

impl FileState {
    /// A file whose contents are durable.
    pub(crate) fn durable(contents: &[u8]) -> Self {
        Self::of(Image::of(contents))
    }

    /// A file with these durable contents.
    pub(crate) fn of(image: Image) -> Self {
        Self { visible: image.clone(), durable: image, ..Self::default() }
    }

    /// Changes what is stored, durably. Nothing may be under way.
    pub(crate) fn alter(&mut self, change: impl FnOnce(&mut Image)) {
        change(&mut self.visible);
        self.durable = self.visible.clone();
        self.changes.clear();
    }

    /// What can be read now.
    pub(crate) const fn visible(&self) -> &Image {
        &self.visible
    }

    /// A whole write.
    pub(crate) fn write(&mut self, pos: u64, data: Bytes) {
        let end = pos + data.len() as u64;
        self.visible.write(pos, &data);
        self.change(Some((pos, data)), Extent::Grow(end));
    }

    /// Those sectors of a write that `keep` says, as the write of each block that was touched.
    pub(crate) fn write_sectors(&mut self, pos: u64, data: &Bytes, mut keep: impl FnMut() -> bool) {
        for (number, at) in (0..data.len()).step_by(BLOCK_BYTES).enumerate() {
            let block_pos = pos + (number * BLOCK_BYTES) as u64;
            let block = data.slice(at..at + BLOCK_BYTES);
            if self.visible.write_sectors(block_pos, &block, &mut keep) == 0 {
                continue;
            }
            // Read back beyond the end of the file, where a length would cut it short.
            self.visible.grow(block_pos + BLOCK_BYTES as u64);
            let landed = Bytes::from(self.visible.read(block_pos, BLOCK_BYTES));
            self.change(Some((block_pos, landed)), Extent::Grow(block_pos + BLOCK_BYTES as u64));
        }
    }

    /// Sets the length.
    pub(crate) fn truncate(&mut self, len: u64) {
        self.change(None, Extent::Cut(len));
    }

    /// Reserves space.
    pub(crate) fn reserve(&mut self, len: u64) {
        self.change(None, Extent::Reserve(len));
    }

    fn change(&mut self, data: Option<(u64, Bytes)>, extent: Extent) {
        extent.apply(&mut self.visible);
        self.changes.push_back(Change { seq: self.next_seq, data, extent });
        self.next_seq += 1;
    }

    /// What a sync that begins now covers.
    pub(crate) const fn mark(&self) -> u64 {
        self.next_seq
    }

    /// A sync that began at `mark` succeeded.
    pub(crate) fn sync(&mut self, mark: u64) {
        let covered = self.changes.partition_point(|change| change.seq < mark);
        for change in self.changes.drain(..covered) {
            if let Some((pos, data)) = &change.data {
                self.durable.write(*pos, data);
            }
            change.extent.apply(&mut self.durable);
        }
    }

    /// A sync that began at `mark` failed: each write it should have covered stays readable, but half of them will never
    /// reach the medium, whatever is synced later.
    pub(crate) fn fail_sync(&mut self, mark: u64, rng: &mut Prng) {
        for change in self.changes.iter_mut().take_while(|change| change.seq < mark) {
            if rng.coin() {
                change.data = None;
            }
        }
    }

    /// The power fails.
    pub(crate) fn lose_power(&mut self, mood: Mood, rng: &mut Prng, stats: &mut DiskStats) {
        let count = self.changes.len() as u64;
        let lengths_kept = match mood {
            Mood::LoseAll => 0,
            Mood::KeepAll => count,
            Mood::Mixed => rng.below(count + 1),
        };
        for (number, change) in (0..).zip(std::mem::take(&mut self.changes)) {
            if let Some((pos, data)) = &change.data {
                let sectors = data.len() / SECTOR_BYTES;
                let kept = match (mood, rng.below(3)) {
                    (Mood::LoseAll, _) | (Mood::Mixed, 0) => 0,
                    (Mood::KeepAll, _) | (Mood::Mixed, 1) => self.durable.write_sectors(*pos, data, || true),
                    (Mood::Mixed, _) => self.durable.write_sectors(*pos, data, || rng.coin()),
                };
                match kept {
                    0 => stats.writes_lost += 1,
                    kept if kept == sectors => stats.writes_kept += 1,
                    _ => stats.writes_torn += 1,
                }
            }
            if number < lengths_kept {
                change.extent.apply(&mut self.durable);
            }
        }
        self.durable.forget_beyond_end();
        self.visible = self.durable.clone();
    }

    /// Inverts one bit wherever it is stored.
    pub(crate) fn flip(&mut self, byte: u64, bit: u8) {
        self.visible.flip(byte, bit);
        self.durable.flip(byte, bit);
        for (pos, data) in self.changes.iter_mut().filter_map(|change| change.data.as_mut()) {
            if (*pos..*pos + data.len() as u64).contains(&byte) {
                let mut bytes = data.to_vec();
                bytes[(byte - *pos) as usize] ^= 1 << bit;
                *data = Bytes::from(bytes);
            }
        }
    }
}

impl FileNode {
    pub(crate) fn new(id: u64, state: FileState) -> Rc<Self> {
        Rc::new(Self {
            id,
            state: RefCell::new(state),
            links: Cell::new(0),
            handles: Cell::new(0),
            writers: Cell::new(0),
        })
    }

    /// Runs `change` on the contents and books the space that it takes or frees.
    pub(crate) fn change<T>(&self, space: &Space, change: impl FnOnce(&mut FileState) -> T) -> T {
        let mut state = self.state.borrow_mut();
        let before = state.visible.used_blocks();
        let result = change(&mut state);
        space.book(before, state.visible.used_blocks());
        result
    }

    /// One visible name or handle less; the last one frees the space.
    pub(crate) fn release(&self, count: &Cell<u32>, space: &Space) {
        count.set(count.get().checked_sub(1).expect("released more often than taken"));
        if self.links.get() == 0 && self.handles.get() == 0 {
            space.book(self.state.borrow().visible.used_blocks(), 0);
        }
    }
}
