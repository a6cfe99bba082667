//! The head of a request: whether it is for us, which operation it asks for, in which encoding, and who sent it.
//!
//! Checked in the order of the real service, which tests of clients depend on:
//!
//! ```text
//! method -> body there -> content type -> body parses -> target known -> signature complete [-> signature right]
//! ```
//!
//! What follows is not of the head: types (`SerializationException`), constraints (`ValidationException`), the operation. That
//! the body parses is found out by whoever decodes it; here it is looked at only to refuse for the right reason.
//!
//! While no access keys are configured, requests without any signature are taken too, which the real service never does:
//! it lets one try things out with nothing but an HTTP client. Incomplete signatures are refused all the same.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Encoding;
use super::access::{Access, Principal};
use super::error::{Code, Error};
use super::input;
use super::model::{self, Operation};
use super::sigv4::{self, Claim, Verified};
use crate::types::WallUs;

/// The name of the service in targets.
const TARGET: &str = "Kinesis_20131202";

/// Headers to look things up in. Names are given in lower case.
pub trait Headers {
    /// All values of a header, in their order.
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]>;
}

impl Headers for HeaderMap {
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// Pairs of lower-case names and values, for tests.
impl Headers for [(&str, &str)] {
    fn values<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        let wanted = name.to_owned();
        self.iter().filter(move |(name, _)| *name == wanted).map(|(_, value)| value.as_bytes())
    }
}

/// A view of a request's head.
#[derive(Debug)]
pub struct Head<'a, H: ?Sized = HeaderMap> {
    /// The method, like `POST`.
    pub method: &'a str,
    /// The path as it came, without the query.
    pub path: &'a str,
    /// The query as it came, without the question mark.
    pub query: Option<&'a str>,
    /// The authority of the request's target: HTTP/2 has the host there.
    pub authority: Option<&'a str>,
    /// The headers.
    pub headers: &'a H,
}

impl<'a> Head<'a> {
    /// The head of an HTTP request.
    #[must_use]
    pub fn of(parts: &'a http::request::Parts) -> Self {
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query(),
            authority: parts.uri.authority().map(http::uri::Authority::as_str),
            headers: &parts.headers,
        }
    }
}

impl<'a, H: Headers + ?Sized> Head<'a, H> {
    /// The first value of a header, its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        self.headers.values(name).next().map(String::from_utf8_lossy)
    }
}

/// A request that goes on to its operation.
#[derive(Debug)]
pub struct Accepted<'b> {
    /// What it asks for.
    pub operation: &'static Operation,
    /// How its body is written, and how the answer is.
    pub encoding: Encoding,
    /// The region of its credential scope, which the ARNs of its answer carry.
    pub region: Option<String>,
    /// Who sent it; `None` while access is open.
    pub principal: Option<Principal>,
    /// The body, without the encoding in signed pieces (`aws-chunked`) if it had one. A compression remains.
    pub body: Cow<'b, [u8]>,
}

/// A request that goes nowhere, and what is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// The `Content-Type`; the answers in XML have none.
    pub content_type: Option<&'static str>,
    /// The `x-amzn-ErrorType`.
    pub code: Code,
    /// The body.
    pub body: Vec<u8>,
}

impl Refused {
    /// An error as answered in an encoding.
    #[must_use]
    pub fn new(error: &Error, encoding: Encoding) -> Self {
        let (status, code, content_type) = (error.code.status(), error.code, Some(encoding.content_type()));
        Self { status, content_type, code, body: error.body(encoding) }
    }

    /// What is answered where neither a service nor an operation can be made out.
    fn undetermined() -> Self {
        let code = Code::AccessDeniedException;
        let message = "Unable to determine service/operation name to be authorized";
        let body = format!("<{0}>\n  <Message>{message}</Message>\n</{0}>\n", code.name());
        Self { status: 403, content_type: None, code, body: body.into_bytes() }
    }

    /// What is answered to a content type that we do not speak.
    fn foreign() -> Self {
        let code = Code::UnknownOperationException;
        Self { status: 404, content_type: None, code, body: format!("<{}/>\n", code.name()).into_bytes() }
    }

    /// What is answered to the content type of an older protocol, which gets no further than this.
    fn outdated(code: Code, status: u16) -> Self {
        let name = code.name();
        let body = format!("{{\"Output\":{{\"__type\":\"com.amazon.coral.service#{name}\"}},\"Version\":\"1.0\"}}");
        Self { status, content_type: Some("application/json"), code, body: body.into_bytes() }
    }
}

/// Checks the head of a request. `body` is the whole body as it came, compressed or in pieces.
///
/// The body is hashed only if access keys are configured; all else is independent of its length, unless the request is refused.
pub fn check<'b, H: Headers + ?Sized>(
    head: &Head<'_, H>,
    access: &Access,
    now: WallUs,
    body: &'b [u8],
) -> Result<Accepted<'b>, Refused> {
    if head.method != "POST" {
        return Err(Refused::undetermined());
    }
    let content_type = head.header("content-type").unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    let target = head.header("x-amz-target").unwrap_or_default();
    let (service, name) = target.split_once('.').unwrap_or((&target, ""));
    let operation = if service == TARGET { model::operation(name) } else { None };
    let unknown = Error::bare(Code::UnknownOperationException);
    let malformed = Error::bare(Code::SerializationException);
    let encoding = Encoding::of_content_type(content_type);
    if body.is_empty() {
        let error = if operation.is_some() { malformed } else { unknown };
        return Err(Refused::new(&error, encoding.unwrap_or(Encoding::Cbor)));
    }
    let Some(encoding) = encoding else {
        return Err(if content_type.eq_ignore_ascii_case("application/json") {
            if input::is_well_formed(Encoding::Json, body) {
                Refused::outdated(Code::UnknownOperationException, 404)
            } else {
                Refused::outdated(Code::SerializationException, 400)
            }
        } else if service.is_empty() || name.is_empty() {
            Refused::undetermined()
        } else {
            Refused::foreign()
        });
    };
    let refused = |error: Error| {
        // What cannot be parsed is refused for that first. Of a body that is compressed or in pieces it cannot be told.
        let is_plain = head.header("content-encoding").is_none() && !sigv4::is_in_pieces(head);
        let is_malformed = is_plain && !input::is_well_formed(encoding, body);
        Refused::new(if is_malformed { &malformed } else { &error }, encoding)
    };
    let Some(operation) = operation else { return Err(refused(unknown)) };
    let authenticated = authenticate(head, access, now, body);
    let Authenticated { region, principal, body } = authenticated.map_err(refused)?;
    Ok(Accepted { operation, encoding, region, principal, body })
}

struct Authenticated<'b> {
    region: Option<String>,
    principal: Option<Principal>,
    body: Cow<'b, [u8]>,
}

fn authenticate<'b, H: Headers + ?Sized>(
    head: &Head<'_, H>,
    access: &Access,
    now: WallUs,
    body: &'b [u8],
) -> Result<Authenticated<'b>, Error> {
    let claim = Claim::read(head)?;
    let region = claim.as_ref().and_then(Claim::region).map(str::to_owned);
    match (access, claim) {
        (Access::Open, _) => Ok(Authenticated { region, principal: None, body: sigv4::plain_body(head, body)? }),
        (Access::Keys(_), None) => {
            Err(Error::new(Code::MissingAuthenticationTokenException, "Missing Authentication Token"))
        }
        (Access::Keys(keys), Some(claim)) => {
            let Verified { principal, body } = sigv4::verify(&claim, head, keys, now, body)?;
            Ok(Authenticated { region, principal: Some(principal), body })
        }
    }
}

/// What pages of other origins may see of an answer.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date");

/// What an answer says to browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// Nothing: no browser asked.
    Absent,
    /// Pages of every origin may read it.
    Simple,
    /// The answer to the question that a browser asks first: status 200, no body.
    Preflight {
        /// The headers the browser asks about.
        headers: Option<HeaderValue>,
        /// The method the browser asks about.
        method: Option<HeaderValue>,
    },
}

impl Cors {
    /// What the answer to this request says. After [`Cors::Preflight`] nothing else is checked.
    #[must_use]
    pub fn of(method: &str, headers: &HeaderMap) -> Self {
        match (headers.contains_key(header::ORIGIN), method) {
            (false, _) => Self::Absent,
            (true, "OPTIONS") => Self::Preflight {
                headers: headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
                method: headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned(),
            },
            (true, _) => Self::Simple,
        }
    }
}

/// Adds to an answer what every answer has: ids made from `random`, and what browsers want to know.
pub fn stamp(headers: &mut HeaderMap, random: u128, cors: &Cors) {
    headers.insert(HeaderName::from_static("x-amzn-requestid"), request_id(random));
    match cors {
        Cors::Absent => {}
        Cors::Simple => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        Cors::Preflight { headers: asked, method } => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            if let Some(asked) = asked {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
            if let Some(method) = method {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            }
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
            return;
        }
    }
    headers.insert(HeaderName::from_static("x-amz-id-2"), extended_id(random));
}

/// A UUID of version 4.
fn request_id(random: u128) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let id = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    // Written by hand: formatting would cost more than all else that an answer is given here.
    let mut text = *b"........-....-....-....-............";
    let mut digits = (0..32).rev().map(|at| DIGITS[(id >> (4 * at)) as usize & 15]);
    for place in text.iter_mut().filter(|byte| **byte == b'.') {
        *place = digits.next().expect("a number of 128 bits has 32 digits");
    }
    HeaderValue::from_bytes(&text).expect("digits and dashes")
}

/// 72 bytes in base64. They identify, and keep no secret, so they are all made from one random number.
fn extended_id(random: u128) -> HeaderValue {
    let mut bytes = [0; 72];
    let mut state = (random >> 64) as u64 ^ random as u64;
    for eight in bytes.chunks_exact_mut(8) {
        // SplitMix64: each step is a bijection, so no two states give the same row.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        eight.copy_from_slice(&(mixed ^ mixed >> 31).to_be_bytes());
    }
    let mut text = [0; 96];
    let text = base64_simd::STANDARD.encode(&bytes, base64_simd::Out::from_slice(&mut text));
    HeaderValue::from_bytes(text).expect("base64 is visible ASCII")
}

#[cfg(test)]
mod tests;
