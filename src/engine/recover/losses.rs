//! The file `losses`: damage that the operator has accepted, so that the log is used as it is.
//!
//! Payload of the envelope (see [`crate::format::sealed`]), magic "MSL1":
//!
//! ```text
//! u32 losses, each: u64 segment   u64 from_index  u64 from_offset  u64 to_index  u64 to_offset  u64 from_pos  u64 to_pos
//! ```

use std::io;
use std::path::Path;

use super::Damage;
use crate::codec::{DecodeError, Reader, Write};
use crate::engine::whole_file;
use crate::format::index::Gap;
use crate::format::{names, sealed};
use crate::runtime::Runtime;

const MAGIC: u32 = u32::from_le_bytes(*b"MSL1");
const VERSION: u32 = 1;

/// Most losses that are read back.
const LOSSES_MAX: usize = 65_536;

/// Bytes of one loss.
const LOSS_BYTES: usize = 7 * 8;

/// Losses that the operator has accepted (`millstream log repair`): the log is used as it is.
pub async fn read_losses<R: Runtime>(rt: &R, dir: &Path) -> io::Result<Vec<Damage>> {
    let Some(file) = whole_file::read(rt, &dir.join(names::LOSSES)).await? else { return Ok(Vec::new()) };
    decode_losses(&file).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("the file {} is damaged: {error}", names::LOSSES))
    })
}

/// Accepts losses: from the next start on, the log is used as it is. Changes no segment.
pub async fn accept_losses<R: Runtime>(rt: &R, dir: &Path, losses: &[Damage]) -> io::Result<()> {
    let mut all = read_losses(rt, dir).await?;
    for loss in losses {
        if !all.contains(loss) {
            all.push(*loss);
        }
    }
    whole_file::replace(rt, dir, names::LOSSES, &encode_losses(&all)).await
}

/// The bytes of the file.
#[must_use]
pub fn encode_losses(losses: &[Damage]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(4 + losses.len() * LOSS_BYTES);
    payload.put_u32(u32::try_from(losses.len()).expect("losses are bounded"));
    for Damage { segment, gap } in losses {
        payload.put_u64(*segment);
        gap.encode(&mut payload);
    }
    sealed::seal(MAGIC, VERSION, &payload)
}

/// The losses in a file.
pub fn decode_losses(file: &[u8]) -> Result<Vec<Damage>, crate::format::index::IndexError> {
    let (_, payload) = sealed::open(MAGIC, VERSION, file)?;
    Ok(decode_payload(payload)?)
}

fn decode_payload(payload: &[u8]) -> Result<Vec<Damage>, DecodeError> {
    let mut r = Reader::new(payload);
    let count = r.count32(LOSS_BYTES, LOSSES_MAX, "losses")?;
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        out.push(Damage { segment: r.u64("segment")?, gap: Gap::read(&mut r)? });
    }
    r.end()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FilePos, FrameIndex, Offset};

    /// Goal: losses come back; every truncation and every flipped bit is refused.
    #[test]
    fn losses_round_trip() {
        let gap = Gap {
            from_index: FrameIndex(1),
            from_offset: Offset(2),
            to_index: FrameIndex(3),
            to_offset: Offset(4),
            from_pos: FilePos(5),
            to_pos: FilePos(6),
        };
        let losses = [Damage { segment: 7, gap }, Damage { segment: 8, gap: Gap { to_pos: FilePos(0), ..gap } }];
        let file = encode_losses(&losses);
        assert_eq!(decode_losses(&file), Ok(losses.to_vec()));
        for cut in 0..file.len() {
            assert!(decode_losses(&file[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..file.len() * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_losses(&damaged).is_err(), "bit {bit}");
        }
    }
}
