use super::Reader;
use super::write;
use crate::kinesis::input::reader::{Malformed, Reader as _, Token};
use crate::kinesis::{Encoding, input::is_well_formed};

fn token(text: &str) -> Result<Token<'_>, Malformed> {
    let mut reader = Reader::new(text.as_bytes())?;
    let token = reader.token()?;
    reader.end()?;
    Ok(token)
}

/// Goal: texts are decoded, and borrowed where they have no escapes.
#[test]
fn texts() {
    let cases = [
        (r#""""#, ""),
        (r#"  "a b" "#, "a b"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u0041\u00e9\u20AC\uD834\uDD1E!""#, "Aé€𝄞!"),
        (r#""é€𝄞\u0000""#, "é€𝄞\0"),
    ];
    for (text, expected) in cases {
        assert_eq!(token(text), Ok(Token::Text(expected.into())), "{text}");
    }
    assert!(matches!(token(r#""plain""#), Ok(Token::Text(std::borrow::Cow::Borrowed(_)))));
}

/// Goal: what is no JSON is refused.
#[test]
fn malformed() {
    let cases = [
        "",
        " ",
        "\"",
        "\"a",
        "\"\\",
        "\"\\u",
        "\"\\u12",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\x\"",
        "\"\\ud834\"",
        "\"\\udd1e\"",
        "\"\\ud834\\u0041\"",
        "\"\\ud834x\"",
        "\"\\ud834\\n\"",
        "\"\u{1f}\"",
        "\"a\nb\"",
        "tru",
        "truex",
        "nul",
        "True",
        "nan",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-x",
        "0x1",
        "1 2",
        "{",
        "{}}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "[",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1}",
        "]",
        "'a'",
        "// a",
        "\u{feff}{}",
    ];
    for text in cases {
        assert!(!is_well_formed(Encoding::Json, text.as_bytes()), "{text:?}");
        assert!(token_is_refused(text), "{text:?}");
    }
    assert!(!is_well_formed(Encoding::Json, b"\"\xff\""));
}

/// The token by itself is refused too, or it is a container.
fn token_is_refused(text: &str) -> bool {
    match token(text) {
        Err(Malformed) => true,
        Ok(token) => matches!(token, Token::Map(_) | Token::List(_)),
    }
}

/// Goal: what is JSON is taken, with blanks wherever they may stand.
#[test]
fn well_formed() {
    let cases = [
        "{}",
        " { } ",
        "[]",
        "[ ]",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12.5e-3",
        "1E9",
        "{\"a\":1}",
        "[1,2 , 3]",
        "\t{\r\n\"a\" : [ { \"b\" : null } , \"c\" ] , \"a\" : -1.0e+2 }\n",
    ];
    for text in cases {
        assert!(is_well_formed(Encoding::Json, text.as_bytes()), "{text:?}");
    }
}

/// Goal: numbers keep their kind, and are cut to what fits.
#[test]
fn numbers() {
    let cases = [
        ("0", Token::Int(0)),
        ("-0", Token::Int(0)),
        ("-17", Token::Int(-17)),
        ("9223372036854775807", Token::Int(i64::MAX)),
        ("9223372036854775808", Token::Int(i64::MAX)),
        ("-9999999999999999999999", Token::Int(i64::MIN)),
        ("1.5", Token::Float(1.5)),
        ("1e3", Token::Float(1000.0)),
        ("-2.5E-1", Token::Float(-0.25)),
        ("1e999", Token::Float(f64::INFINITY)),
    ];
    for (text, expected) in cases {
        assert_eq!(token(text), Ok(expected), "{text}");
    }
}

/// Goal: nesting is bounded, at the same depth for lists and maps.
#[test]
fn depth() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(is_well_formed(Encoding::Json, nested(64).as_bytes()));
        assert!(!is_well_formed(Encoding::Json, nested(65).as_bytes()));
        assert!(!is_well_formed(Encoding::Json, open.repeat(1_000_000).as_bytes()));
    }
}

/// Goal: texts are escaped where they must be and nowhere else, at every place of a block.
#[test]
fn escapes() {
    let written = |text: &str| {
        let mut out = Vec::new();
        write::text(&mut out, text);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(written(""), "\"\"");
    assert_eq!(written("é/\u{7f}€"), "\"é/\u{7f}€\"");
    assert_eq!(written("\"\\\u{8}\u{c}\n\r\t\0\u{1f}"), r#""\"\\\b\f\n\r\t\u0000\u001f""#);
    for at in 0..70 {
        let (before, after) = ("x".repeat(at), "y".repeat(70 - at));
        assert_eq!(written(&format!("{before}\"{after}")), format!("\"{before}\\\"{after}\""));
    }
}

/// Goal: times have exactly three decimals.
#[test]
fn times() {
    for (millis, expected) in [(0, "0.000"), (7, "0.007"), (1_700_000_000_123, "1700000000.123"), (1_000, "1.000")] {
        let mut out = Vec::new();
        write::time(&mut out, millis);
        assert_eq!(out, expected.as_bytes());
    }
}
