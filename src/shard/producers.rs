//! Idempotent producers: each batch is stored once, however often it is sent.
//!
//! A producer numbers its batches per shard and epoch: 0, 1, 2, ... The table holds, per producer, the number expected
//! next and where the last [`PRODUCER_WINDOW`] batches were stored. The log itself is the durable form of the table: every
//! frame carries its stamp. Sealed segments keep a snapshot beside their index, and the frames after it are replayed
//! through [`Producers::note`].
//!
//! ```text
//! legend: e, s = epoch and number of the batch; E, n = epoch and next number in the table; k = batches remembered
//!
//! producer   batch               verdict
//! any        s = 2^32 - 1        NumbersUsedUp       start a new epoch
//! unknown    s > 0               UnknownProducer     start a new epoch
//! unknown    s = 0, no room      Full                the table is full of producers that wrote a moment ago
//! unknown    s = 0, room         Fresh
//! known      e < E               Fenced
//! known      e > E, s > 0        UnknownProducer     the epoch is not known
//! known      e > E, s = 0        Fresh
//! known      e = E, s > n        Gap
//! known      e = E, s = n        Fresh
//! known      e = E, n - k <= s   Duplicate
//! known      e = E, s < n - k    DuplicateForgotten
//! ```
//!
//! **Why an unknown producer is refused.** It was forgotten, or its last batches were lost with a disk. Whether batch 5
//! of it is stored already, nobody can tell any more. Accepting it might store it twice; so its producer is told, and
//! decides. **Why the table can be full.** A forgotten producer that resends its batch 0 looks like a new one. So nobody
//! is forgotten within [`PRODUCER_KEEP_US`] of writing, and a producer must not resend a batch for longer than that.
//!
//! Verdicts include what is accepted and not durable yet: batch 1 may arrive while batch 0 is on its way to the disk. The
//! answer to a [`Verdict::Duplicate`] has to wait until its records are durable, as the first answer has. When the log
//! dies, the table dies with it.

use std::collections::BTreeMap;

use crate::codec::{DecodeError, Reader, Write};
use crate::limits::{PRODUCER_KEEP_US, PRODUCER_WINDOW, PRODUCERS_PER_SHARD_MAX};
use crate::types::{Offset, ProducerId, ProducerStamp, WallUs};

/// Version of the snapshot's encoding.
const VERSION: u8 = 1;

/// Bytes of a producer in a snapshot, without its batches, and of a batch.
const PRODUCER_BYTES: usize = 8 + 4 + 4 + 8 + 1;
const BATCH_BYTES: usize = 8 + 4;

/// Marks the end of the list of slots.
const NONE: u32 = u32::MAX;

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the next one: store it, and [`Producers::note`] it.
    Fresh,
    /// It is stored already, at these offsets. Answer as the first time, once they are durable.
    Duplicate {
        /// Offset of its first record.
        base_offset: Offset,
        /// Number of its records.
        record_count: u32,
    },
    /// It was stored, but too long ago to say where.
    DuplicateForgotten,
    /// Batches before it are missing.
    Gap {
        /// The number that is expected.
        expected: u32,
    },
    /// A newer incarnation of the producer took over.
    Fenced {
        /// Its epoch.
        current_epoch: u32,
    },
    /// The producer, or its epoch, is not known, and this is not its first batch.
    UnknownProducer,
    /// The epoch has no number left; the last one is never used.
    NumbersUsedUp,
    /// No producer can be forgotten yet to make room for this one. Worth another try after
    /// [`PRODUCER_KEEP_US`].
    Full,
}

/// The table of one shard. 136 bytes per producer, at most `capacity` of them.
///
/// Deterministic: the same notes in the same order give the same table, and a snapshot of it the same bytes.
///
/// Invariants:
/// - `by_id` and the list through `slots` hold the same producers, each once; the list runs from the one that wrote
///   longest ago to the one that wrote last.
/// - A slot remembers at most [`PRODUCER_WINDOW`] batches, the ones just before its next number.
#[derive(Clone, Debug)]
pub struct Producers {
    // An ordered map: its order is no accident of hashing, and at 1,024 entries a lookup compares ten numbers.
    by_id: BTreeMap<ProducerId, u32>,
    slots: Vec<Slot>,
    oldest: u32,
    newest: u32,
    capacity: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    id: ProducerId,
    epoch: u32,
    /// Number of the next batch.
    next: u32,
    /// Arrival of the last batch.
    last_write: WallUs,
    /// Neighbours in the list: towards the oldest, towards the newest.
    older: u32,
    newer: u32,
    /// Batches remembered: those with numbers from `next - known` on.
    known: u8,
    /// Batch `s` sits at `s % PRODUCER_WINDOW` of both.
    counts: [u32; PRODUCER_WINDOW],
    offsets: [Offset; PRODUCER_WINDOW],
}

impl Default for Producers {
    fn default() -> Self {
        Self::new()
    }
}

impl Producers {
    /// An empty table for [`PRODUCERS_PER_SHARD_MAX`] producers. Takes no memory before the first one writes.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_capacity(PRODUCERS_PER_SHARD_MAX)
    }

    /// An empty table for `capacity` producers, at least one.
    #[must_use]
    pub const fn with_capacity(capacity: usize) -> Self {
        assert!(capacity > 0 && capacity < NONE as usize);
        Self { by_id: BTreeMap::new(), slots: Vec::new(), oldest: NONE, newest: NONE, capacity }
    }

    /// Number of producers in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True without producers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What to do with a batch that arrives at `now`, by the table above. Changes nothing.
    #[must_use]
    pub fn check(&self, stamp: ProducerStamp, now: WallUs) -> Verdict {
        if stamp.seq == u32::MAX {
            return Verdict::NumbersUsedUp;
        }
        let Some(&slot) = self.by_id.get(&stamp.id) else {
            return match stamp.seq {
                0 if self.has_room(now) => Verdict::Fresh,
                0 => Verdict::Full,
                _ => Verdict::UnknownProducer,
            };
        };
        let slot = &self.slots[slot as usize];
        if stamp.epoch < slot.epoch {
            return Verdict::Fenced { current_epoch: slot.epoch };
        }
        if stamp.epoch > slot.epoch {
            return if stamp.seq == 0 { Verdict::Fresh } else { Verdict::UnknownProducer };
        }
        if stamp.seq > slot.next {
            return Verdict::Gap { expected: slot.next };
        }
        match slot.next - stamp.seq {
            0 => Verdict::Fresh,
            back if back <= u32::from(slot.known) => {
                let at = stamp.seq as usize % PRODUCER_WINDOW;
                Verdict::Duplicate { base_offset: slot.offsets[at], record_count: slot.counts[at] }
            }
            _ => Verdict::DuplicateForgotten,
        }
    }

    /// Takes note of a batch that was accepted (or found in the log) at `base_offset`. If the table is full, the producer
    /// that wrote longest ago is forgotten.
    ///
    /// Total, for replay: batches that are in the table already change nothing, and a log that starts in the middle of a
    /// producer's batches is taken from there.
    pub fn note(&mut self, stamp: ProducerStamp, base_offset: Offset, record_count: u32, arrival: WallUs) {
        // Never handed out by `check`, so never in a log that this code wrote; and it has no successor.
        if stamp.seq == u32::MAX {
            return;
        }
        let found = self.by_id.get(&stamp.id).copied();
        if let Some(at) = found {
            let slot = &self.slots[at as usize];
            if (stamp.epoch, stamp.seq) < (slot.epoch, slot.next) {
                return;
            }
            self.unlink(at);
        }
        let at = found.unwrap_or_else(|| self.take_slot(stamp.id));
        self.slots[at as usize].note(stamp, base_offset, record_count, arrival);
        self.link_newest(at);
    }

    /// Bytes that [`Producers::encode`] appends.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.slots.iter().map(|slot| PRODUCER_BYTES + usize::from(slot.known) * BATCH_BYTES).sum::<usize>() + 8
    }

    /// Appends a snapshot. It may hold only what the segment it is stored beside holds: take it when the segment's last
    /// frame has been noted and the next segment's first has not. A snapshot ahead of the log would answer
    /// [`Verdict::Duplicate`] for batches that a crash took.
    ///
    /// ```text
    /// 0 u8 version   1 3 bytes zero   4 u32 producers, the one that wrote longest ago first; each:
    ///   u64 id   u32 epoch   u32 next number   u64 arrival of its last batch
    ///   u8 batches, oldest first; each: u64 base offset   u32 record count
    /// ```
    /// The checksum is that of the file around it.
    pub fn encode(&self, out: &mut impl Write) {
        out.put(&[VERSION, 0, 0, 0]);
        out.put_u32(u32::try_from(self.slots.len()).expect("the capacity fits 32 bits"));
        for slot in self.oldest_first() {
            out.put_u64(slot.id.0);
            out.put_u32(slot.epoch);
            out.put_u32(slot.next);
            out.put_u64(slot.last_write.0);
            out.put_u8(slot.known);
            for seq in slot.next - u32::from(slot.known)..slot.next {
                let at = seq as usize % PRODUCER_WINDOW;
                out.put_u64(slot.offsets[at].0);
                out.put_u32(slot.counts[at]);
            }
        }
    }

    /// Reads a snapshot off `r`, which may hold more after it. A snapshot of a build with a larger table or window is
    /// cut down to the newest producers and batches.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = r.offset();
        let version = r.u32("producers version")?;
        if version != u32::from(VERSION) {
            return Err(DecodeError::Invalid { what: "producers version", offset, value: version.into() });
        }
        let mut producers = Self::new();
        for _ in 0..r.count32(PRODUCER_BYTES, usize::MAX, "producers")? {
            producers.decode_producer(r)?;
        }
        Ok(producers)
    }

    fn decode_producer(&mut self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        let invalid = |what, offset, value| Err(DecodeError::Invalid { what, offset, value });
        let offset = r.offset();
        let id = ProducerId(r.u64("producer id")?);
        if id.0 == 0 || self.by_id.contains_key(&id) {
            return invalid("producer id", offset, id.0);
        }
        let epoch = r.u32("producer epoch")?;
        let next = r.u32("producer next number")?;
        let last_write = WallUs(r.u64("producer last write")?);
        let offset = r.offset();
        let known = r.u8("producer batches")?;
        if known == 0 || u32::from(known) > next {
            return invalid("producer batches", offset, known.into());
        }
        for seq in next - u32::from(known)..next {
            let base_offset = Offset(r.u64("batch base offset")?);
            let record_count = r.u32("batch record count")?;
            self.note(ProducerStamp { id, epoch, seq }, base_offset, record_count, last_write);
        }
        Ok(())
    }

    fn has_room(&self, now: WallUs) -> bool {
        if self.slots.len() < self.capacity {
            return true;
        }
        let oldest = &self.slots[self.oldest as usize];
        now.0.saturating_sub(oldest.last_write.0) >= PRODUCER_KEEP_US
    }

    /// A slot for a producer that is not in the table: a new one, or that of the oldest producer.
    fn take_slot(&mut self, id: ProducerId) -> u32 {
        let at = if self.slots.len() < self.capacity {
            self.slots.push(Slot::new(id));
            (self.slots.len() - 1) as u32
        } else {
            let at = self.oldest;
            self.unlink(at);
            let slot = &mut self.slots[at as usize];
            self.by_id.remove(&slot.id);
            *slot = Slot::new(id);
            at
        };
        self.by_id.insert(id, at);
        at
    }

    fn unlink(&mut self, at: u32) {
        let Slot { older, newer, .. } = self.slots[at as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let slot = &mut self.slots[at as usize];
        (slot.older, slot.newer) = (self.newest, NONE);
        match self.newest {
            NONE => self.oldest = at,
            newest => self.slots[newest as usize].newer = at,
        }
        self.newest = at;
    }

    fn oldest_first(&self) -> impl Iterator<Item = &Slot> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at as usize)?;
            at = slot.newer;
            Some(slot)
        })
    }
}

impl Slot {
    const fn new(id: ProducerId) -> Self {
        Self {
            id,
            epoch: 0,
            next: 0,
            last_write: WallUs(0),
            older: NONE,
            newer: NONE,
            known: 0,
            counts: [0; PRODUCER_WINDOW],
            offsets: [Offset(0); PRODUCER_WINDOW],
        }
    }

    fn note(&mut self, stamp: ProducerStamp, base_offset: Offset, record_count: u32, arrival: WallUs) {
        if (stamp.epoch, stamp.seq) != (self.epoch, self.next) {
            self.known = 0;
        }
        let at = stamp.seq as usize % PRODUCER_WINDOW;
        self.epoch = stamp.epoch;
        self.next = stamp.seq + 1;
        self.known = (self.known + 1).min(PRODUCER_WINDOW as u8);
        self.last_write = arrival;
        self.offsets[at] = base_offset;
        self.counts[at] = record_count;
    }
}

#[cfg(test)]
mod tests;
