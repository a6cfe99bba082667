//! Frames: a header that is accepted is written as the same bytes again; of an intact frame with a byte changed nothing is
//! accepted; the row goes on only with a frame that continues it.

use millstream::format::frame::{Frame, FrameHeader, HEADER_BYTES, Kind, MAGIC};
use millstream::log::recovery::{self, Step};
use millstream::log::tip::{Draft, Tip};
use millstream::types::{FrameIndex, GroupId, ProducerId, ProducerStamp, Term, WallUs};

use super::cursor::Cursor;

/// Runs one input.
pub fn run(data: &[u8]) {
    let [mode, rest @ ..] = data else { return };
    match mode % 2 {
        0 => raw(rest),
        _ => spoilt(&mut Cursor(rest)),
    }
}

/// Any header under a right checksum, with any body.
fn raw(data: &[u8]) {
    let mut bytes = data.to_vec();
    let _ = Frame::split(&bytes);
    bytes.resize(bytes.len().max(HEADER_BYTES), 0);
    bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
    let crc = crc32fast::hash(&bytes[8..HEADER_BYTES]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    let Ok(header) = FrameHeader::decode(&bytes) else { return };
    let mut again = vec![0; HEADER_BYTES];
    header.encode(&mut again);
    assert_eq!(again, &bytes[..HEADER_BYTES]);
    let tip = Tip::before(&header);
    if let Step::Next(next) = recovery::step(&tip, &bytes) {
        assert_eq!(next, header);
        assert!(Frame::split(&bytes).is_ok());
    }
    if let Step::Next(next) = recovery::adopt(&tip, &bytes) {
        assert_eq!(next, header);
    }
    if let Some(beyond) = recovery::beyond(&tip, &bytes) {
        let _ = recovery::proves_loss(&tip, &beyond);
    }
}

/// An intact frame, then the same with one byte changed.
fn spoilt(cursor: &mut Cursor<'_>) {
    let (at, with) = (usize::from(cursor.short()), cursor.byte());
    let stamp = cursor.byte();
    let records = u32::from(cursor.byte()) + 1;
    let body = cursor.0;
    let tip = Tip::genesis(GroupId(16));
    let draft = Draft {
        kind: Kind::Data,
        body_len: u32::try_from(body.len()).expect("inputs are short"),
        body_crc: crc32fast::hash(body),
        record_count: records,
        producer: (stamp > 0).then(|| ProducerStamp { id: ProducerId(stamp.into()), epoch: 1, seq: 2 }),
        arrival: WallUs(7),
    };
    let header = tip.stamp(draft, Term(1), FrameIndex(0));
    let mut bytes = vec![0; HEADER_BYTES];
    header.encode(&mut bytes);
    bytes.extend_from_slice(body);
    assert_eq!(recovery::step(&tip, &bytes), Step::Next(header));
    let at = at % bytes.len();
    if bytes[at] == with {
        return;
    }
    bytes[at] = with;
    assert!(Frame::split(&bytes).is_err(), "byte {at} is {with}");
    assert!(!matches!(recovery::step(&tip, &bytes), Step::Next(_)), "byte {at} is {with}");
}
