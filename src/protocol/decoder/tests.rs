use super::super::messages::{Get, Ping, PingAnswer, Put, PutAnswer};
use super::super::{Envelope, Opcode, Request};
use super::*;
use crate::codec::Write;
use crate::limits::{ARGS_BYTES_MAX, FRAME_BODY_BYTES_MAX};
use crate::types::{GroupId, Offset, WallUs};

const BODY: &[u8] = b"\x03\0\0\0\x02\0\0\0abxyz";

fn put() -> Put {
    Put { group: GroupId(9), producer: None, record_count: 1 }
}

/// A get, a put with a body, and a ping, back to back.
fn three_requests() -> Vec<u8> {
    let mut out = Vec::new();
    let get = Get { group: GroupId(9), from: Offset(4), bytes_max: 1000, wait_ms: 0 };
    Envelope::request::<Get>(1).encode(&get, &mut out);
    Envelope::request::<Put>(2).body(BODY.len() as u32, crc32fast::hash(BODY)).encode(&put(), &mut out);
    out.extend_from_slice(BODY);
    Envelope::request::<Ping>(3).encode(&Ping, &mut out);
    out
}

fn drain(decoder: &mut Decoder, buffer: &mut BytesMut) -> (Vec<Message>, usize) {
    let mut messages = Vec::new();
    loop {
        match decoder.next(buffer).unwrap() {
            Next::Message(message) => messages.push(message),
            Next::Need(n) => return (messages, n),
        }
    }
}

/// Goal: the same messages come out however the bytes are cut into reads, and `Need` never asks beyond a message's end.
#[test]
fn any_split_gives_the_same_messages() {
    let bytes = three_requests();
    let (whole, _) = drain(&mut Decoder::new(Side::Server), &mut BytesMut::from(&bytes[..]));
    assert_eq!(whole.len(), 3);
    assert_eq!(whole[1].request(), Ok(Request::Put(put())));
    assert_eq!(whole[1].body, BODY);
    whole[1].check_body().unwrap();
    for step in 1..bytes.len() {
        let (mut decoder, mut buffer) = (Decoder::new(Side::Server), BytesMut::new());
        let mut messages = Vec::new();
        for part in bytes.chunks(step) {
            buffer.extend_from_slice(part);
            messages.append(&mut drain(&mut decoder, &mut buffer).0);
        }
        assert_eq!(messages, whole, "in steps of {step}");
    }
    // Exactly what is asked for is enough to go on, and never reaches into the next message.
    let (mut decoder, mut buffer, mut at, mut count) = (Decoder::new(Side::Server), BytesMut::new(), 0, 0);
    while at < bytes.len() {
        let (messages, need) = drain(&mut decoder, &mut buffer);
        count += messages.len();
        buffer.extend_from_slice(&bytes[at..at + need]);
        at += need;
    }
    assert_eq!(count + drain(&mut decoder, &mut buffer).0.len(), 3);
}

/// Goal: a message is a part of the receive buffer, not a copy.
#[test]
fn messages_are_not_copied() {
    let mut buffer = BytesMut::from(&three_requests()[..]);
    let (start, end) = (buffer.as_ptr() as usize, buffer.as_ptr() as usize + buffer.len());
    for message in drain(&mut Decoder::new(Side::Server), &mut buffer).0 {
        for part in [&message.args, &message.body] {
            let at = part.as_ptr() as usize;
            assert!(part.is_empty() || (at >= start && at < end));
        }
    }
}

/// Goal: every truncation waits for more, every flipped bit of head and args ends the connection, a flipped bit of the
/// body is found by the body's check alone.
#[test]
fn every_truncation_waits_and_every_flip_is_found() {
    let mut out = Vec::new();
    Envelope::request::<Put>(2).body(BODY.len() as u32, crc32fast::hash(BODY)).encode(&put(), &mut out);
    let args_end = out.len();
    out.extend_from_slice(BODY);
    for cut in 0..out.len() {
        let next = Decoder::new(Side::Server).next(&mut BytesMut::from(&out[..cut])).unwrap();
        assert!(matches!(next, Next::Need(n) if n > 0 && cut + n <= out.len()), "cut at {cut}: {next:?}");
    }
    for bit in 0..out.len() * 8 {
        let mut damaged = BytesMut::from(&out[..]);
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Room for what a longer claim would wait for: the checksum has to refuse it, not the missing bytes.
        damaged.resize(2 * ARGS_BYTES_MAX as usize, 0);
        match Decoder::new(Side::Server).next(&mut damaged) {
            Err(_) => assert!(bit / 8 < args_end, "bit {bit}"),
            Ok(Next::Message(message)) => {
                assert!(bit / 8 >= args_end, "bit {bit}");
                assert!(message.check_body().is_err(), "bit {bit}");
            }
            Ok(Next::Need(n)) => panic!("bit {bit}: waits for {n} bytes"),
        }
    }
}

/// Goal: a claimed body is waited for only after the checksum over the claim matched, and never beyond its limit.
#[test]
fn bodies_are_believed_after_the_checksum() {
    let mut out = Vec::new();
    Envelope::request::<Put>(2).body(FRAME_BODY_BYTES_MAX, 0).encode(&put(), &mut out);
    let mut decoder = Decoder::new(Side::Server);
    let mut buffer = BytesMut::from(&out[..]);
    assert_eq!(decoder.arriving(), None);
    assert_eq!(decoder.next(&mut buffer), Ok(Next::Need(FRAME_BODY_BYTES_MAX as usize)));
    assert_eq!(decoder.arriving().map(|head| head.opcode), Some(Opcode::Put as u8));

    out[HEAD_BYTES] ^= 1;
    let error = Decoder::new(Side::Server).next(&mut BytesMut::from(&out[..])).unwrap_err();
    assert!(matches!(error, HeadError::Checksum { .. }));
}

/// Goal: another protocol on the port is refused from its first four bytes on.
#[test]
fn garbage_is_refused_at_once() {
    let mut decoder = Decoder::new(Side::Server);
    assert_eq!(decoder.next(&mut BytesMut::from("GET")), Ok(Next::Need(HEAD_BYTES - 3)));
    assert!(matches!(decoder.next(&mut BytesMut::from("GET ")), Err(HeadError::Magic(_))));
}

/// Goal: an answer is read as the answer of its request only, and an error as an error.
#[test]
fn answers_are_typed() {
    let decode = |bytes: &[u8]| match Decoder::new(Side::Client).next(&mut BytesMut::from(bytes)).unwrap() {
        Next::Message(message) => message,
        Next::Need(n) => panic!("{n} bytes missing"),
    };
    let mut out = Vec::new();
    Envelope::answer(Opcode::Ping, 3).encode(&PingAnswer { wall: WallUs(5) }, &mut out);
    let message = decode(&out);
    assert_eq!(message.answer::<Ping>(), Ok(Ok(PingAnswer { wall: WallUs(5) })));
    assert!(message.answer::<Put>().is_err());

    out.clear();
    Envelope::error(Opcode::Put as u8, 3).encode(&ErrorAnswer::new(ErrorCode::DiskFull), &mut out);
    let error = decode(&out).answer::<Put>().unwrap().map(|_: PutAnswer| ()).unwrap_err().into_owned();
    assert_eq!(error.known(), Some(ErrorCode::DiskFull));
}

/// Goal: what is wrong inside an intact message is an error answer, with the connection left usable.
#[test]
fn wrong_requests_are_answered() {
    let answer = |build: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        build(&mut out);
        match Decoder::new(Side::Server).next(&mut BytesMut::from(&out[..])).unwrap() {
            Next::Message(message) => message.request().unwrap_err().answer().known().unwrap(),
            Next::Need(n) => panic!("{n} bytes missing"),
        }
    };
    struct Raw(&'static [u8]);
    impl super::super::Encode for Raw {
        fn encode<W: Write>(&self, out: &mut W) {
            out.put(self.0);
        }
    }
    for (code, expected) in [
        (answer(&|out| Envelope::request::<Ping>(1).encode(&Raw(b"x"), out)), ErrorCode::Malformed),
        (answer(&|out| Envelope::request::<Get>(1).encode(&Raw(b"x"), out)), ErrorCode::Malformed),
        (
            answer(&|out| {
                Envelope::request::<Ping>(1).body(1, 0).encode(&Ping, out);
                out.push(0);
            }),
            ErrorCode::Malformed,
        ),
        (
            answer(&|out| {
                Envelope::request::<Ping>(1).encode(&Ping, out);
                out[9] = 200;
                let crc = crc32fast::hash(&out[8..]);
                out[4..8].copy_from_slice(&crc.to_le_bytes());
            }),
            ErrorCode::UnsupportedOpcode,
        ),
    ] {
        assert_eq!(code, expected);
        assert!(!code.closes_connection());
    }
}
