//! Put: records for one shard.

use super::{Decode, Encode, Operation, read_durability, whole};
use crate::codec::{DecodeError, Write};
use crate::protocol::Opcode;
use crate::types::{Durability, GroupId, Offset, ProducerId, ProducerStamp, WallUs};

/// Appends the records in the body to a shard, all or none, in one frame of its log or as part of one.
///
/// ```text
/// 0 u64 group   8 u64 producer_id   16 u32 producer_epoch   20 u32 producer_seq   24 u32 record_count
/// body: records (see `format::record`)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// The shard.
    pub group: GroupId,
    /// The stamp of an idempotent producer. Its three fields are 0 if there is none.
    pub producer: Option<ProducerStamp>,
    /// Records in the body.
    pub record_count: u32,
}

/// Answers a [`Put`]: the records are stored as the stream's durability says.
///
/// ```text
/// 0 u64 base_offset   8 u32 record_count   12 u64 arrival_us   20 u8 durability   21 u8 duplicate
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutAnswer {
    /// Offset of the first record; the others follow.
    pub base_offset: Offset,
    /// Records stored.
    pub record_count: u32,
    /// When they arrived.
    pub arrival: WallUs,
    /// What the acknowledgement stands for.
    pub durability: Durability,
    /// The batch had been stored before; offset and arrival are those of then.
    pub duplicate: bool,
}

impl Operation for Put {
    const OPCODE: Opcode = Opcode::Put;
    type Answer<'a> = PutAnswer;
}

impl Encode for Put {
    fn encode<W: Write>(&self, out: &mut W) {
        let stamp = self.producer.unwrap_or(ProducerStamp { id: ProducerId(0), epoch: 0, seq: 0 });
        out.put_u64(self.group.0);
        out.put_u64(stamp.id.0);
        out.put_u32(stamp.epoch);
        out.put_u32(stamp.seq);
        out.put_u32(self.record_count);
    }
}

impl Decode<'_> for Put {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            let group = GroupId(r.u64("group")?);
            let id = ProducerId(r.u64("producer_id")?);
            // Without a producer the other two fields are 0, as in a frame's header.
            let only_zero = |code| (id.0 != 0 || code == 0).then_some(code);
            let offset = r.offset();
            let invalid = |what, at, value: u32| DecodeError::Invalid { what, offset: at, value: value.into() };
            let epoch = r.u32("producer_epoch")?;
            let epoch = only_zero(epoch).ok_or(invalid("producer_epoch", offset, epoch))?;
            let seq = r.u32("producer_seq")?;
            let seq = only_zero(seq).ok_or(invalid("producer_seq", offset + 4, seq))?;
            let producer = (id.0 != 0).then_some(ProducerStamp { id, epoch, seq });
            Ok(Self { group, producer, record_count: r.u32("record_count")? })
        })
    }
}

impl Encode for PutAnswer {
    fn encode<W: Write>(&self, out: &mut W) {
        out.put_u64(self.base_offset.0);
        out.put_u32(self.record_count);
        out.put_u64(self.arrival.0);
        out.put_u8(self.durability as u8);
        out.put_bool(self.duplicate);
    }
}

impl Decode<'_> for PutAnswer {
    fn decode(args: &[u8]) -> Result<Self, DecodeError> {
        whole(args, |r| {
            Ok(Self {
                base_offset: Offset(r.u64("base_offset")?),
                record_count: r.u32("record_count")?,
                arrival: WallUs(r.u64("arrival_us")?),
                durability: read_durability(r)?,
                duplicate: r.bool("duplicate")?,
            })
        })
    }
}
