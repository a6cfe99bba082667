use super::{Reader, write};
use crate::kinesis::input::reader::{Malformed, Reader as _, Token};
use crate::kinesis::{Encoding, input::is_well_formed};

fn token(bytes: &[u8]) -> Result<Token<'_>, Malformed> {
    let mut reader = Reader::new(bytes)?;
    let token = reader.token()?;
    reader.end()?;
    Ok(token)
}

/// Goal: single values of every form are read (samples of RFC 8949, appendix A).
#[test]
fn values() {
    #[rustfmt::skip]
    let cases: &[(&[u8], Token<'_>)] = &[
        (b"\x00", Token::Int(0)),
        (b"\x17", Token::Int(23)),
        (b"\x18\x18", Token::Int(24)),
        (b"\x19\x03\xe8", Token::Int(1_000)),
        (b"\x1a\x00\x0f\x42\x40", Token::Int(1_000_000)),
        (b"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00", Token::Int(1_000_000_000_000)),
        (b"\x1b\x00\x00\x00\x00\x00\x00\x00\x01", Token::Int(1)),
        (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", Token::Int(i64::MAX)),
        (b"\x20", Token::Int(-1)),
        (b"\x38\x63", Token::Int(-100)),
        (b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff", Token::Int(i64::MIN)),
        (b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", Token::Int(i64::MIN)),
        (b"\xf9\x00\x00", Token::Float(0.0)),
        (b"\xf9\x3e\x00", Token::Float(1.5)),
        (b"\xf9\x7b\xff", Token::Float(65_504.0)),
        (b"\xf9\x00\x01", Token::Float(5.960_464_477_539_063e-8)),
        (b"\xf9\x04\x00", Token::Float(0.000_061_035_156_25)),
        (b"\xf9\xc4\x00", Token::Float(-4.0)),
        (b"\xf9\x7c\x00", Token::Float(f64::INFINITY)),
        (b"\xfa\x47\xc3\x50\x00", Token::Float(100_000.0)),
        (b"\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a", Token::Float(1.1)),
        (b"\xf4", Token::Bool(false)),
        (b"\xf5", Token::Bool(true)),
        (b"\xf6", Token::Null),
        (b"\xf7", Token::Null),
        (b"\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b", Token::Int(1_700_000_000_123)),
        (b"\xd9\xd9\xf7\xc1\x01", Token::Int(1)),
        (b"\x40", Token::Bytes((&b""[..]).into())),
        (b"\x45hello", Token::Bytes((&b"hello"[..]).into())),
        (b"\x5f\x42\x01\x02\x40\x41\x03\xff", Token::Bytes((&b"\x01\x02\x03"[..]).into())),
        (b"\x62\xc3\xa9", Token::Text("é".into())),
        (b"\x78\x01a", Token::Text("a".into())),
        (b"\x7f\x65strea\x64ming\xff", Token::Text("streaming".into())),
        (b"\x7f\xff", Token::Text("".into())),
    ];
    for (bytes, expected) in cases {
        assert_eq!(token(bytes).as_ref(), Ok(expected), "{bytes:x?}");
    }
    assert!(matches!(token(b"\xf9\x7e\x00"), Ok(Token::Float(value)) if value.is_nan()));
}

/// Goal: what is no CBOR, or has lengths beyond its end, is refused before anything is allocated for it.
#[test]
fn malformed() {
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        b"", b"\x18", b"\x19\x00", b"\x1a\x00\x00\x00", b"\x1b\x00", b"\x1c", b"\x1f", b"\x3f", b"\x41", b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7b\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x62\xc3\x28", b"\x61\xff", b"\x5f\x41", b"\x5f\x61a\xff", b"\x7f\x41a\xff", b"\x7f\x7f\xff\xff",
        b"\x7f\x62\xc3\x28\xff", b"\x7f\x61\xc3\x61\xa9\xff", b"\x81", b"\x9f", b"\x9f\x01", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xa1", b"\xa1\x61a", b"\xbf\x61a\xff", b"\xbf\x01\x01\xff", b"\xa1\x41a\x01", b"\xbf", b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff", b"\x81\xff", b"\xa1\xff\x01", b"\xc1", b"\xdf", b"\xe0", b"\xf8\x20", b"\xf8\x14", b"\xfc", b"\x01\x01", b"\xf9\x00", b"\xfb\x00",
    ];
    for bytes in cases {
        assert!(!is_well_formed(Encoding::Cbor, bytes), "{bytes:x?}");
    }
}

/// Goal: lists and maps of both kinds of length are passed over whole.
#[test]
fn well_formed() {
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        b"\x80", b"\xa0", b"\x9f\xff", b"\xbf\xff", b"\x82\x01\x82\x02\x03", b"\x9f\x01\x82\x02\x03\x9f\x04\xff\xff",
        b"\xa2\x61a\x01\x61b\xbf\x61c\xf6\xff", b"\xbf\x7f\x61a\xff\x5f\x41x\xff\xff", b"\xc1\xf9\x3e\x00", b"\xa1\xc1\x61a\x01",
    ];
    for bytes in cases {
        assert!(is_well_formed(Encoding::Cbor, bytes), "{bytes:x?}");
    }
}

/// Goal: nesting is bounded, at the same depth for lists and maps, and tags are no nesting.
#[test]
fn depth() {
    for (open, close) in [(&b"\x81"[..], &b""[..]), (b"\x9f", b"\xff"), (b"\xa1\x61a", b""), (b"\xbf\x61a", b"\xff")] {
        let nested = |depth: usize| [open.repeat(depth), vec![1], close.repeat(depth)].concat();
        assert!(is_well_formed(Encoding::Cbor, &nested(64)), "{open:x?}");
        assert!(!is_well_formed(Encoding::Cbor, &nested(65)), "{open:x?}");
        assert!(!is_well_formed(Encoding::Cbor, &open.repeat(1_000_000)), "{open:x?}");
    }
    assert!(is_well_formed(Encoding::Cbor, &[vec![0xc1; 1_000_000], vec![1]].concat()));
}

/// Goal: what is written is the shortest form, and times are the bytes the Java SDK expects.
#[test]
fn written() {
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = vec![0xaa];
        write(&mut out);
        out.split_off(1)
    };
    for value in [0, 23, 24, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, i64::MAX, -1, -24, -25, i64::MIN] {
        let bytes = write(&|out| write::int(out, value));
        assert_eq!(token(&bytes), Ok(Token::Int(value)));
        let longer = [0, 23, 0xff, 0xffff, 0xffff_ffff].iter().filter(|bound| (value ^ value >> 63) > **bound).count();
        assert_eq!(bytes.len(), [1, 1, 2, 3, 5, 9][longer], "{value}");
    }
    assert_eq!(write(&|out| write::time(out, 1_700_000_000_123)), b"\xc1\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x7b");
    assert_eq!(write(&|out| write::text(out, "é")), b"\x62\xc3\xa9");
    assert_eq!(write(&|out| write::blob(out, b"hello")), b"\x45hello");
    assert_eq!(write(&|out| write::bool(out, true)), b"\xf5");
    for length in [0, 1, 23, 24, 255, 256, 70_000] {
        let text = "x".repeat(length);
        let since = |out: &mut Vec<u8>| {
            let from = out.len();
            out.extend_from_slice(text.as_bytes());
            write::text_since(out, from);
        };
        assert_eq!(write(&since), write(&|out| write::text(out, &text)), "{length}");
    }
}
