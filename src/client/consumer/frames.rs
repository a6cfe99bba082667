//! From received bytes to records: frames are verified one after the other, records are slices of what was received.

use bytes::Bytes;

use crate::client::error::FramesError;
use crate::format::frame::{FrameHeader, HEADER_BYTES, Kind};
use crate::format::record::{RECORD_HEADER_BYTES, RecordError, Records};
use crate::types::{GroupId, Offset, ShardNumber, WallUs};

/// A record, as a slice of what was received. Keeps that whole buffer alive: whoever stores one for long copies it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The shard it comes from.
    pub shard: ShardNumber,
    /// Its offset there.
    pub offset: Offset,
    /// When it arrived.
    pub arrival: WallUs,
    key_len: usize,
    /// Key and data.
    bytes: Bytes,
}

impl Record {
    /// The partition key.
    #[must_use]
    pub fn key(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.key_len]).expect("checked when the record was cut")
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.key_len..]
    }

    /// The data, without a copy.
    #[must_use]
    pub fn into_data(mut self) -> Bytes {
        self.bytes.split_off(self.key_len)
    }
}

/// Records of one verified frame, from the first one wanted on.
#[derive(Clone, Debug)]
pub struct FrameBatch {
    /// The shard they come from.
    pub shard: ShardNumber,
    /// When they arrived: a frame arrives as a whole.
    pub arrival: WallUs,
    next: Offset,
    end: Offset,
    /// The rest of the frame's body.
    rest: Bytes,
}

impl FrameBatch {
    /// Offset of the next record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next
    }

    /// Offset after the last record.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end
    }

    /// Records that are left.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end.0 - self.next.0) as usize
    }

    /// Whether no record is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.end
    }

    /// The next record, sharing the received bytes. After an error the batch is empty.
    pub fn next_record(&mut self) -> Option<Result<Record, FramesError>> {
        if self.is_empty() {
            return None;
        }
        let (shard, offset, arrival) = (self.shard, self.next, self.arrival);
        Some(self.cut().map(|(bytes, key_len)| Record { shard, offset, arrival, key_len, bytes }))
    }

    /// The records that are left, borrowed: cheaper than [`FrameBatch::next_record`] by one reference count each.
    pub fn records(&self) -> impl Iterator<Item = Result<(Offset, crate::format::record::Record<'_>), FramesError>> {
        let mut records = Records::new(&self.rest);
        let mut offset = self.next;
        std::iter::from_fn(move || {
            if offset == self.end {
                return None;
            }
            let record = records.next().unwrap_or(Err(self.too_few(offset)));
            let item = record.map(|record| (offset, record)).map_err(FramesError::from);
            offset = if item.is_ok() { offset.plus(1) } else { self.end };
            Some(item)
        })
    }

    /// Cuts the next record off: key and data, and the key's length.
    fn cut(&mut self) -> Result<(Bytes, usize), FramesError> {
        let mut records = Records::new(&self.rest);
        let key_len = match records.next().unwrap_or(Err(self.too_few(self.next))) {
            Ok(record) => record.key.len(),
            Err(error) => {
                self.next = self.end;
                return Err(error.into());
            }
        };
        let mut bytes = self.rest.split_to(records.offset());
        self.next = self.next.plus(1);
        Ok((bytes.split_off(RECORD_HEADER_BYTES), key_len))
    }

    fn too_few(&self, at: Offset) -> RecordError {
        let expected = self.len() as u32;
        RecordError::Count { expected, have: (at.0 - self.next.0) as u32 }
    }
}

/// The frames of one answer or push, verified one by one as they are asked for.
#[derive(Debug)]
pub(super) struct Frames {
    shard: ShardNumber,
    group: GroupId,
    rest: Bytes,
    /// The offset that comes next.
    due: Offset,
    /// The offset after the last frame, as the node said.
    end: Offset,
    first: bool,
}

impl Frames {
    /// Frames that shall bring the records from `from` up to `end`.
    pub(super) fn new(shard: ShardNumber, group: GroupId, body: Bytes, from: Offset, end: Offset) -> Self {
        Self { shard, group, rest: body, due: from, end, first: true }
    }

    /// The next frame with records, header and body verified; `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<FrameBatch>, FramesError> {
        while !self.rest.is_empty() {
            let header = FrameHeader::decode(&self.rest)?;
            let need = header.frame_bytes();
            if self.rest.len() < need {
                return Err(crate::format::frame::FrameError::Truncated { need, have: self.rest.len() }.into());
            }
            let body = self.rest.split_to(need).split_off(HEADER_BYTES);
            header.check_body(&body)?;
            if header.group_id != self.group {
                return Err(FramesError::Group { expected: self.group, have: header.group_id });
            }
            if header.kind == Kind::Data {
                return self.batch(&header, body).map(Some);
            }
        }
        if self.due != self.end {
            return Err(FramesError::Offset { expected: self.end, have: self.due });
        }
        Ok(None)
    }

    fn batch(&mut self, header: &FrameHeader, body: Bytes) -> Result<FrameBatch, FramesError> {
        let (base, due, end) =
            (header.base_offset, self.due, header.base_offset.0.checked_add(header.record_count.into()));
        let first = std::mem::replace(&mut self.first, false);
        // Only the first frame may begin before what was asked for, and it must hold it.
        let fits = if first { base <= due } else { base == due };
        let end = match end.map(Offset) {
            Some(end) if fits && due < end => end,
            _ => return Err(FramesError::Offset { expected: due, have: base }),
        };
        let mut batch = FrameBatch { shard: self.shard, arrival: header.arrival_us, next: base, end, rest: body };
        while batch.next < due {
            batch.cut()?;
        }
        self.due = end;
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
