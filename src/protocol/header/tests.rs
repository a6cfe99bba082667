use super::super::messages::{Ping, Put, testing};
use super::*;
use crate::types::GroupId;

/// A put's head and args, with its fields changed by `change` and the checksum made good again.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let put = Put { group: GroupId(9), producer: None, record_count: 1 };
    Envelope::request::<Put>(0x1122_3344_5566_7788).body(13, 0xaabb_ccdd).encode(&put, &mut out);
    change(&mut out);
    let crc = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Goal: the committed bytes of a head, and every field at its place.
#[test]
fn committed_sample() {
    let bytes = changed(|_| ());
    assert_eq!(
        testing::hex(&bytes[..HEAD_BYTES]),
        "4d534e31".to_owned() + &testing::hex(&bytes[4..8]) + "021000001c0000000d000000ddccbbaa8877665544332211"
    );
    let head = Head::decode(&bytes, Side::Server).unwrap();
    assert_eq!(head.kind, Kind::Request);
    assert_eq!((head.opcode, head.args_len, head.body_len), (Opcode::Put as u8, 28, 13));
    assert_eq!((head.body_crc, head.correlation), (0xaabb_ccdd, 0x1122_3344_5566_7788));
    assert_eq!(head.message_bytes(), HEAD_BYTES + 28 + 13);
    head.check(&bytes[HEAD_BYTES..]).unwrap();
    for cut in 0..HEAD_BYTES {
        assert_eq!(Head::decode(&bytes[..cut], Side::Server), Err(HeadError::Truncated { have: cut }));
    }
}

/// Goal: each impossible field is refused by name before any checksum, and each refusal is an error that closes.
#[test]
fn impossible_heads_are_refused() {
    let refuse = |bytes: Vec<u8>, code: ErrorCode| {
        let error = Head::decode(&bytes, Side::Server).unwrap_err();
        assert_eq!(error.answer().known(), Some(code), "{error}");
        assert!(code.closes_connection());
    };
    refuse(changed(|out| out[0] = b'X'), ErrorCode::BadHead);
    refuse(changed(|out| out[8] = VERSION_MIN - 1), ErrorCode::UnsupportedVersion);
    refuse(changed(|out| out[8] = VERSION + 1), ErrorCode::UnsupportedVersion);
    refuse(changed(|out| out[24..32].fill(0)), ErrorCode::BadHead);
    refuse(changed(|out| out[12..16].copy_from_slice(&(ARGS_BYTES_MAX + 1).to_le_bytes())), ErrorCode::TooLarge);
    refuse(changed(|out| out[16..20].copy_from_slice(&(FRAME_BODY_BYTES_MAX + 1).to_le_bytes())), ErrorCode::TooLarge);
    refuse(changed(|out| out[12..20].fill(0xff)), ErrorCode::TooLarge);
}

/// Goal: exactly five combinations of flags mean something, each arrives at one side only.
#[test]
fn flags_have_five_meanings() {
    let mut meanings = 0;
    for flags in 0..=u16::MAX {
        let bytes = changed(|out| out[10..12].copy_from_slice(&flags.to_le_bytes()));
        let sides = [Side::Server, Side::Client].map(|side| Head::decode(&bytes, side));
        match Kind::from_flags(flags) {
            Some(kind) => {
                assert_eq!(kind.flags(), flags);
                assert_eq!(sides.iter().filter(|head| head.is_ok()).count(), 1, "{kind:?}");
                meanings += 1;
            }
            None => assert_eq!(sides, [Err(HeadError::Flags(flags)), Err(HeadError::Flags(flags))]),
        }
    }
    assert_eq!(meanings, 5);
}

/// Goal: the checksum covers the head from byte 8 on and all args.
#[test]
fn checksum_covers_head_and_args() {
    let bytes = changed(|_| ());
    for at in 8..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        if let Ok(head) = Head::decode(&damaged, Side::Server) {
            // A damaged length is found by the same checksum, over as many bytes as it claims.
            damaged.resize(HEAD_BYTES + head.args_len as usize, 0);
            assert!(matches!(head.check(&damaged[HEAD_BYTES..]), Err(HeadError::Checksum { .. })), "byte {at}");
        }
    }
}

/// Goal: messages are appended, so that several travel in one buffer.
#[test]
fn encoding_appends() {
    let mut out = b"before".to_vec();
    Envelope::request::<Ping>(7).encode(&Ping, &mut out);
    let mut buffer = bytes::BytesMut::from(&b"before"[..]);
    Envelope::request::<Ping>(7).encode(&Ping, &mut buffer);
    assert_eq!(out, buffer);
    let head = Head::decode(&out[6..], Side::Server).unwrap();
    head.check(&[]).unwrap();
}

/// Goal: a message over a limit is never built.
#[test]
#[should_panic(expected = "exceeds the limit")]
fn oversized_bodies_are_not_announced() {
    Envelope::request::<Put>(1)
        .body(FRAME_BODY_BYTES_MAX + 1, 0)
        .encode(&Put { group: GroupId(1), producer: None, record_count: 1 }, &mut Vec::new());
}
