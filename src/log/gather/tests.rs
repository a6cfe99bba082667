use super::*;
use crate::format::frame::Frame;
use crate::format::record;
use crate::limits::BLOCK_BYTES;
use crate::log::recovery::{Step, step};
use crate::types::{GroupId, ProducerId};
use proptest::prelude::*;

fn body(seed: u8, data_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    record::encode("key", &vec![seed; data_len], &mut out);
    out
}

fn batch(body: &[u8], producer: Option<ProducerStamp>) -> Batch<'_> {
    Batch { body, body_crc: crc32fast::hash(body), record_count: 1, producer, arrival: WallUs(1_000) }
}

fn reign() -> Reign {
    Reign { term: Term(1), durable: FrameIndex(0) }
}

/// Reads a flush back as recovery would: every frame must follow the tip.
fn walk(mut tip: Tip, bytes: &[u8]) -> (Tip, Vec<FrameHeader>) {
    let (mut at, mut headers) = (0, Vec::new());
    while at < bytes.len() {
        match step(&tip, &bytes[at..]) {
            Step::Next(header) => {
                tip.advance(&header);
                at += header.frame_bytes();
                headers.push(header);
            }
            other => panic!("at {at}: {other:?}"),
        }
    }
    (tip, headers)
}

/// Goal: small puts share one frame whose checksum is right although no byte was summed twice.
#[test]
fn small_puts_share_a_frame() {
    let (mut tip, mut gather, mut buffer) = (Tip::genesis(GroupId(9)), Gather::new(), vec![0xee; 8192]);
    let bodies: Vec<_> = (0..5).map(|i| body(i, 100 + usize::from(i))).collect();
    let placed: Vec<_> =
        bodies.iter().map(|b| gather.place(&mut buffer[..], &mut tip, reign(), &batch(b, None))).collect();
    assert_eq!(placed.iter().map(|p| p.base_offset.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let flush = gather.seal(&mut buffer[..], &mut tip, reign());
    assert_eq!(flush.len, BLOCK_BYTES);
    assert_eq!(flush.frames.len(), 1);
    assert!(placed.iter().all(|p| p.end.index == FrameIndex(2)), "no-op and one data frame");
    assert_eq!(placed[4].end, flush.end);
    let place = flush.frames[0];
    let (frame, _) = Frame::split(&buffer[place.start as usize..place.end as usize]).unwrap();
    assert_eq!(frame.body, bodies.concat());
    assert_eq!(frame.header.record_count, 5);
    let (end, headers) = walk(Tip::genesis(GroupId(9)), &buffer[..flush.len]);
    assert_eq!(end, tip);
    assert_eq!(headers.iter().map(|h| h.kind).collect::<Vec<_>>(), [Kind::NoOp, Kind::Data, Kind::Pad]);
}

/// Goal: a stamped batch keeps its own frame, so that its stamp survives in the header.
#[test]
fn stamped_batches_are_never_merged() {
    let (mut tip, mut gather, mut buffer) = (Tip::genesis(GroupId(9)), Gather::new(), vec![0; 8192]);
    let stamp = Some(ProducerStamp { id: ProducerId(4), epoch: 0, seq: 0 });
    let small = body(1, 10);
    for producer in [None, stamp, None, None] {
        gather.place(&mut buffer[..], &mut tip, reign(), &batch(&small, producer));
    }
    let flush = gather.seal(&mut buffer[..], &mut tip, reign());
    let (_, headers) = walk(Tip::genesis(GroupId(9)), &buffer[..flush.len]);
    let data: Vec<_> = headers.iter().filter(|h| h.kind == Kind::Data).map(|h| (h.record_count, h.producer)).collect();
    assert_eq!(data, [(1, None), (1, stamp), (2, None)]);
}

/// Goal: a quiet block is accepted after the last frame and moves nothing.
#[test]
fn quiet_block_repeats_the_tip() {
    let (mut tip, mut gather, mut buffer) = (Tip::genesis(GroupId(9)), Gather::new(), vec![0; 8192]);
    gather.place(&mut buffer[..], &mut tip, reign(), &batch(&body(1, 10), None));
    gather.seal(&mut buffer[..], &mut tip, reign());
    let mut block = vec![0xee; BLOCK_BYTES];
    Gather::quiet(&mut block, &tip, tip.index);
    let (end, headers) = walk(tip, &block);
    assert_eq!(end, tip);
    assert_eq!((headers[0].kind, headers[0].durable_hint), (Kind::Pad, tip.index));
}

proptest! {
    /// Goal: whatever is placed, each flush ends on a block, reads back in order, and nothing is lost or changed, also
    /// at every distance from the block boundary (pads shorter than a header are impossible).
    #[test]
    fn any_row_of_puts_reads_back(
        puts in prop::collection::vec((0usize..6_000, any::<bool>(), any::<bool>()), 1..40),
    ) {
        let start = Tip::genesis(GroupId(9));
        let (mut tip, mut gather, mut buffer) = (start, Gather::new(), vec![0xee; 16 << 10]);
        let (mut log, mut expected, mut seq) = (Vec::new(), Vec::new(), 0);
        for (len, stamped, flush) in puts {
            let data = body(seq as u8, len);
            let producer = stamped.then_some(ProducerStamp { id: ProducerId(4), epoch: 0, seq });
            seq += 1;
            if !gather.fits(buffer.len(), data.len()) {
                let sealed = gather.seal(&mut buffer[..], &mut tip, reign());
                log.extend_from_slice(&buffer[..sealed.len]);
            }
            let placed = gather.place(&mut buffer[..], &mut tip, reign(), &batch(&data, producer));
            prop_assert_eq!(placed.base_offset.0, u64::from(seq - 1));
            expected.extend_from_slice(&data);
            if flush {
                let sealed = gather.seal(&mut buffer[..], &mut tip, reign());
                prop_assert_eq!(sealed.len % BLOCK_BYTES, 0);
                log.extend_from_slice(&buffer[..sealed.len]);
            }
        }
        let sealed = gather.seal(&mut buffer[..], &mut tip, reign());
        log.extend_from_slice(&buffer[..sealed.len]);
        let (end, _) = walk(start, &log);
        prop_assert_eq!(end, tip);
        let (mut rest, mut bodies) = (&log[..], Vec::new());
        while !rest.is_empty() {
            let (frame, after) = Frame::split(rest).unwrap();
            if frame.header.kind == Kind::Data {
                bodies.extend_from_slice(frame.body);
            }
            rest = after;
        }
        prop_assert_eq!(bodies, expected);
    }
}
