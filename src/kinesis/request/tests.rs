use super::*;
use crate::kinesis::access::{Key, Keys, Secret};

const NOW: WallUs = WallUs(1_440_938_160_000_000);

const JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");

const CBOR: (&str, &str) = ("content-type", "application/x-amz-cbor-1.1");

const LIST: (&str, &str) = ("x-amz-target", "Kinesis_20131202.ListStreams");

fn verifying() -> Access {
    let key = Key {
        name: "example".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        allow: None,
    };
    Access::new(Some(&Keys::new(vec![key]).unwrap()))
}

struct Asked {
    method: &'static str,
    query: Option<&'static str>,
    body: &'static [u8],
}

const POST: Asked = Asked { method: "POST", query: None, body: b"{}" };

fn ask<'b>(asked: &Asked, headers: &[(&str, &str)], access: &Access) -> Result<Accepted<'b>, Refused> {
    let Asked { method, query, body } = *asked;
    check(&Head { method, path: "/", query, authority: None, headers }, access, NOW, body)
}

/// What is answered: status, content type, body.
fn refusal(asked: &Asked, headers: &[(&str, &str)], access: &Access) -> (u16, Option<&'static str>, String) {
    let Refused { status, content_type, body, .. } = ask(asked, headers, access).unwrap_err();
    (status, content_type, String::from_utf8_lossy(&body).into_owned())
}

/// Goal: what the service answers, as recorded by others, to requests that are not quite for it, in its order of checks.
#[test]
fn odd_heads_have_their_answers() {
    let (json, cbor) = (Some("application/x-amz-json-1.1"), Some("application/x-amz-cbor-1.1"));
    let undetermined = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized\
                        </Message>\n</AccessDeniedException>\n";
    let answer = |asked: &Asked, headers: &[(&str, &str)]| refusal(asked, headers, &verifying());
    let xml = |status: u16, body: &str| (status, None, body.to_owned());
    let with = |status: u16, content_type: Option<&'static str>, body: &str| (status, content_type, body.to_owned());
    let unknown = with(400, json, "{\"__type\":\"UnknownOperationException\"}");
    let malformed = with(400, json, "{\"__type\":\"SerializationException\"}");
    let missing = with(
        400,
        json,
        "{\"__type\":\"MissingAuthenticationTokenException\",\"message\":\"Missing Authentication Token\"}",
    );
    let empty = Asked { body: b"", ..POST };
    let garbage = Asked { body: b"hello", ..POST };

    // The method.
    for method in ["GET", "PUT", "OPTIONS", "post"] {
        assert_eq!(answer(&Asked { method, ..POST }, &[JSON, LIST]), xml(403, undetermined));
    }
    // Whether there is a body.
    assert_eq!(answer(&empty, &[JSON]), unknown);
    assert_eq!(answer(&empty, &[JSON, LIST]), malformed);
    assert_eq!(answer(&empty, &[LIST]).1, cbor);
    assert_eq!(answer(&empty, &[]).0, 400);
    // The content type.
    assert_eq!(answer(&POST, &[]), xml(403, undetermined));
    assert_eq!(answer(&POST, &[LIST]), xml(404, "<UnknownOperationException/>\n"));
    let old = ("content-type", "application/x-amz-json-1.0");
    assert_eq!(answer(&POST, &[old, LIST]), xml(404, "<UnknownOperationException/>\n"));
    assert_eq!(answer(&POST, &[old, ("x-amz-target", "Kinesis_20131202")]), xml(403, undetermined));
    let plain = ("content-type", "application/json; charset=utf-8");
    let outdated =
        "{\"Output\":{\"__type\":\"com.amazon.coral.service#UnknownOperationException\"},\"Version\":\"1.0\"}";
    assert_eq!(answer(&POST, &[plain, LIST]), with(404, Some("application/json"), outdated));
    let outdated = outdated.replace("UnknownOperation", "Serialization");
    assert_eq!(answer(&garbage, &[plain, LIST]), with(400, Some("application/json"), &outdated));
    // Whether the body parses.
    assert_eq!(answer(&garbage, &[JSON]), malformed);
    assert_eq!(answer(&garbage, &[JSON, LIST]), malformed);
    // Compressed, it cannot be told yet.
    assert_eq!(answer(&garbage, &[JSON, LIST, ("content-encoding", "gzip")]), missing);
    // The target.
    for target in [
        "",
        "Kinesis_20131202",
        "Kinesis_20131202.",
        "Kinesis_20131202.ListStream",
        "Kinesis_20131203.ListStreams",
        "kinesis_20131202.ListStreams",
        "Kinesis_20131202.ListStreams.x",
        "ListStreams",
    ] {
        assert_eq!(answer(&POST, &[JSON, ("x-amz-target", target)]), unknown, "{target}");
    }
    // The signature.
    assert_eq!(answer(&POST, &[JSON, LIST]), missing);
    let in_cbor = answer(&Asked { body: b"\xa0", ..POST }, &[CBOR, LIST]);
    assert_eq!((in_cbor.0, in_cbor.1), (400, cbor));
}

/// Goal: incomplete signatures are refused with the list of what is missing, also while access is open.
#[test]
fn incomplete_signatures_are_refused() {
    let message = |asked: &Asked, authorization: Option<&str>, more: &[(&str, &str)]| {
        let headers: Vec<_> = [JSON, LIST]
            .into_iter()
            .chain(authorization.map(|value| ("authorization", value)))
            .chain(more.iter().copied())
            .collect();
        let answers = [refusal(asked, &headers, &Access::Open), refusal(asked, &headers, &verifying())];
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0].0, 400);
        answers[0].2.clone()
    };
    let incomplete =
        |message: &str| format!("{{\"__type\":\"IncompleteSignatureException\",\"message\":\"{message}\"}}");
    let requires = |names: &[&str]| {
        names.iter().map(|name| format!("Authorization header requires '{name}' parameter. ")).collect::<String>()
    };
    let date = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    let all = requires(&["Credential", "Signature", "SignedHeaders"]);
    assert_eq!(message(&POST, Some("X"), &[]), incomplete(&format!("{all}{date}Authorization=X")));
    for header in
        ["AWS4- Signature=b Credential=a", "AWS4- Signature=b,Credential=a", "AWS4- Signature=b, Credential=a"]
    {
        let expected = incomplete(&format!("{}Authorization={header}", requires(&["SignedHeaders"])));
        assert_eq!(message(&POST, Some(header), &[("date", "a")]), expected);
    }
    let in_query = |query: &'static str| message(&Asked { query: Some(query), ..POST }, None, &[]);
    let must = |names: &[&str]| {
        let each = names.iter().map(|name| format!("AWS query-string parameters must include '{name}'. "));
        incomplete(&format!("{}Re-examine the query-string parameters.", each.collect::<String>()))
    };
    let names = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];
    assert_eq!(in_query("X-Amz-Algorithm"), must(&names));
    assert_eq!(in_query("X-Amz-Algorithm=x"), must(&names[1..]));
    assert_eq!(in_query("X-Amz-Algorithm=x&X-Amz-Date=d&X-Amz-Credential=c"), must(&names[2..4]));
    let both = message(&Asked { query: Some("X-Amz-Algorithm"), ..POST }, Some("X"), &[]);
    let expected = "{\"__type\":\"InvalidSignatureException\",\"message\":\"Found both 'X-Amz-Algorithm' as a query-string \
                    param and 'Authorization' as HTTP header.\"}";
    assert_eq!(both, expected);
}

/// Goal: while access is open everything complete passes, and so does what is not signed at all; the region is that of the
/// scope if it can be one.
#[test]
fn open_access_takes_complete_and_absent_signatures() {
    let accepted = ask(&POST, &[JSON, LIST], &Access::Open).unwrap();
    assert_eq!((accepted.operation.name, accepted.encoding, accepted.region), ("ListStreams", Encoding::Json, None));
    assert!(accepted.principal.is_none());
    let region = |credential: &str| {
        let value = format!("X Credential={credential}, Signature=b, SignedHeaders=c");
        let headers =
            [("content-type", "application/x-amz-cbor-1.1;x"), LIST, ("authorization", &value), ("date", "a")];
        let accepted = ask(&POST, &headers, &Access::Open).unwrap();
        assert_eq!(accepted.encoding, Encoding::Cbor);
        accepted.region
    };
    assert_eq!(region("a"), None);
    assert_eq!(region("AK/20150830/eu-west-1/kinesis/aws4_request").as_deref(), Some("eu-west-1"));
    assert_eq!(region("AK/20150830/EU\"/kinesis/aws4_request"), None);
    // A presigned request without its algorithm is not signed.
    let query = Some("X-Amz-Credential=a&X-Amz-Signature=b");
    assert!(ask(&Asked { query, ..POST }, &[JSON, LIST], &Access::Open).is_ok());
}

/// Goal: a body in pieces arrives as a whole, verified or not.
#[test]
fn bodies_in_pieces_are_joined() {
    let pieces = Asked { body: b"2\r\n{}\r\n0\r\n\r\n", ..POST };
    let form = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_eq!(ask(&pieces, &[JSON, LIST, form], &Access::Open).unwrap().body, &b"{}"[..]);
    // Refused for the signature, not for a body that is no JSON.
    assert_eq!(
        ask(&pieces, &[JSON, LIST, form], &verifying()).unwrap_err().code,
        Code::MissingAuthenticationTokenException
    );
    let broken = Asked { body: b"3\r\n{}\r\n0\r\n\r\n", ..POST };
    assert_eq!(ask(&broken, &[JSON, LIST, form], &Access::Open).unwrap_err().code, Code::SerializationException);
}

/// Goal: ids look like those of AWS and differ from answer to answer; browsers get what they ask for, others nothing.
#[test]
fn answers_are_stamped() {
    let stamped = |random: u128, cors: &Cors| {
        let mut headers = HeaderMap::new();
        stamp(&mut headers, random, cors);
        headers
    };
    let text = |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let first = stamped(u128::MAX, &Cors::Absent);
    assert_eq!(text(&first, "x-amzn-RequestId").unwrap(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(base64_simd::STANDARD.decode_to_vec(text(&first, "x-amz-id-2").unwrap()).unwrap().len(), 72);
    assert_eq!(first.len(), 2);
    let second = stamped(1, &Cors::Absent);
    assert_eq!(text(&second, "x-amzn-RequestId").unwrap(), "00000000-0000-4000-8000-000000000001");
    assert_ne!(first.get("x-amz-id-2"), second.get("x-amz-id-2"));

    let mut asked = HeaderMap::new();
    assert_eq!(Cors::of("OPTIONS", &asked), Cors::Absent);
    asked.insert(header::ORIGIN, HeaderValue::from_static("https://example.com"));
    let simple = stamped(1, &Cors::of("POST", &asked));
    assert_eq!(text(&simple, "access-control-allow-origin").unwrap(), "*");
    assert_eq!(
        text(&simple, "access-control-expose-headers").unwrap(),
        "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date"
    );
    assert!(simple.contains_key("x-amz-id-2"));
    asked.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("a, b"));
    asked.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
    let preflight = stamped(1, &Cors::of("OPTIONS", &asked));
    assert_eq!(text(&preflight, "access-control-allow-headers").unwrap(), "a, b");
    assert_eq!(text(&preflight, "access-control-allow-methods").unwrap(), "POST");
    assert_eq!(text(&preflight, "access-control-max-age").unwrap(), "172800");
    assert!(preflight.contains_key("x-amzn-requestid"));
    assert!(!preflight.contains_key("x-amz-id-2"));
    assert!(!preflight.contains_key("access-control-expose-headers"));
}
