//! What a disk holds, and what of it survives a loss of power.
//!
//! Invariant: `bytes` is what readers see; undoing `unsynced` from its end gives what is certain to survive.

use std::collections::{HashMap, VecDeque};

use crate::dice::Dice;

/// What is written in one piece or not at all.
pub const SECTOR_BYTES: usize = 512;

const PAGE_BYTES: usize = 4096;

/// Unflushed bytes that are remembered. Beyond that the oldest reach the platter by themselves, as on any disk.
const UNSYNCED_BYTES_MAX: usize = 256 << 20;

/// What becomes of the writes after the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// None of them survives.
    Nothing,
    /// All of them survive.
    Everything,
    /// They reached the platter in their order, up to one that is torn.
    Prefix,
    /// Each write survives whole or not at all, whatever came before it.
    Writes,
    /// Each sector of each write survives or not, with this many chances in 16.
    Sectors(u64),
}

impl Survival {
    /// Any of them.
    pub const fn draw(dice: &mut Dice) -> Self {
        match dice.roll(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 | 3 => Self::Prefix,
            4 => Self::Writes,
            _ => Self::Sectors(1 + dice.roll(15)),
        }
    }
}

/// What a cut did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How survivors were chosen.
    pub survival: Survival,
    /// Writes that no flush had covered.
    pub writes: usize,
    /// Sectors of these writes that survived.
    pub kept: usize,
    /// Sectors of these writes that were lost.
    pub lost: usize,
    /// Writes of which a part survived and a part was lost.
    pub torn: usize,
}

/// The writes of a disk up to some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written(u64);

struct Write {
    at: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// The bytes of a disk. Those never written are zero and take no memory.
#[derive(Default)]
pub struct Platter {
    bytes: HashMap<u64, Box<[u8]>>,
    unsynced: VecDeque<Write>,
    unsynced_bytes: usize,
    /// Writes so far.
    written: u64,
}

impl Platter {
    /// Fills `into` with what was written last.
    pub fn read(&self, at: u64, into: &mut [u8]) {
        each_page(at, into.len(), |page, within, range| match self.bytes.get(&page) {
            Some(bytes) => into[range.clone()].copy_from_slice(&bytes[within..within + range.len()]),
            None => into[range].fill(0),
        });
    }

    /// Writes. It survives for certain once [`Platter::flush`] was called.
    pub fn write(&mut self, at: u64, data: &[u8]) {
        let mut before = vec![0; data.len()];
        self.read(at, &mut before);
        self.put(at, data);
        self.unsynced_bytes += data.len();
        self.unsynced.push_back(Write { at, before, after: data.to_vec() });
        self.written += 1;
        while self.unsynced_bytes > UNSYNCED_BYTES_MAX {
            self.settle_oldest();
        }
    }

    /// What a flush that is asked for now has to cover.
    #[must_use]
    pub const fn written(&self) -> Written {
        Written(self.written)
    }

    /// What was written by then survives from now on.
    pub fn flush(&mut self, to: Written) {
        while self.written - (self.unsynced.len() as u64) < to.0 {
            self.settle_oldest();
        }
    }

    fn settle_oldest(&mut self) {
        let oldest = self.unsynced.pop_front().expect("there are unsynced writes");
        self.unsynced_bytes -= oldest.after.len();
    }

    /// Loses power: of the writes since the last flush, what `survival` and the dice say is kept.
    pub fn cut(&mut self, survival: Survival, dice: &mut Dice) -> Cut {
        let writes = std::mem::take(&mut self.unsynced);
        self.unsynced_bytes = 0;
        for write in writes.iter().rev() {
            self.put(write.at, &write.before);
        }
        let mut cut = Cut { survival, writes: writes.len(), kept: 0, lost: 0, torn: 0 };
        let prefix_len = dice.roll(writes.len() as u64 + 1) as usize;
        for (number, Write { at, after, .. }) in writes.iter().enumerate() {
            let whole = dice.roll(2) == 0;
            let mut kept = 0;
            let sectors = after.chunks(SECTOR_BYTES);
            let count = sectors.len();
            for (sector, data) in sectors.enumerate() {
                let survives = match survival {
                    Survival::Nothing => false,
                    Survival::Everything => true,
                    Survival::Prefix => number < prefix_len || (number == prefix_len && dice.roll(2) == 0),
                    Survival::Writes => whole,
                    Survival::Sectors(chances) => dice.roll(16) < chances,
                };
                if survives {
                    self.put(at + (sector * SECTOR_BYTES) as u64, data);
                    kept += 1;
                }
            }
            cut.kept += kept;
            cut.lost += count - kept;
            cut.torn += usize::from(0 < kept && kept < count);
        }
        cut
    }

    fn put(&mut self, at: u64, data: &[u8]) {
        each_page(at, data.len(), |page, within, range| {
            let data = &data[range];
            if let Some(bytes) = self.bytes.get_mut(&page) {
                bytes[within..within + data.len()].copy_from_slice(data);
            } else if data.iter().any(|byte| *byte != 0) {
                let mut bytes = vec![0; PAGE_BYTES].into_boxed_slice();
                bytes[within..within + data.len()].copy_from_slice(data);
                self.bytes.insert(page, bytes);
            }
        });
    }
}

/// Calls `with` for each page that `len` bytes from `at` touch: its number, where in it they begin, which of the bytes they are.
fn each_page(at: u64, len: usize, mut with: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let position = at + done as u64;
        let within = (position % PAGE_BYTES as u64) as usize;
        let part = (PAGE_BYTES - within).min(len - done);
        with(position / PAGE_BYTES as u64, within, done..done + part);
        done += part;
    }
}

#[cfg(test)]
mod tests;
