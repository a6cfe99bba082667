//! Signatures of requests: AWS Signature Version 4, in headers and in the query.
//!
//! 1. [`Claim::read`] takes from a request what it says of its signature, and refuses what is incomplete. That is done whether
//!    signatures are verified or not, because clients are tested against these answers.
//! 2. [`verify`] takes the key the claim names, derives the signing key of the day and the region, writes the request in its
//!    canonical form, and compares. The comparison takes the same time wherever the first difference is.
//!
//! Any region is accepted, the one of the credential scope is what ARNs carry. A security token is accepted and not looked at:
//! keys are static here. Signatures live for 5 minutes around the node's clock, those in a query for as long as they say.

mod canonical;
mod chunked;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::access::{Keyring, Principal};
use super::date::Moment;
use super::error::{Code, Error};
use super::request::{Head, Headers};
use crate::types::WallUs;
use canonical::Parts;
use chunked::{Chain, Form};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const SERVICE: &str = "kinesis";

const TERMINATOR: &str = "aws4_request";

/// How far a signature's date may be from the node's clock.
const SKEW_S: i64 = 300;

/// Longest life of a signature in a query: a week.
const EXPIRES_S_MAX: i64 = 604_800;

/// Longest name of a region that is passed on into ARNs.
const REGION_BYTES_MAX: usize = 64;

/// What a request says of its signature, complete but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    algorithm: Cow<'a, str>,
    /// Key, date, region, service and terminator, separated by slashes.
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    date: Cow<'a, str>,
    place: Place<'a>,
}

/// Where the signature stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place<'a> {
    Header,
    Query { expires: Option<Cow<'a, str>> },
}

impl<'a> Claim<'a> {
    /// What `head` says of its signature; `None` if it says nothing.
    ///
    /// `IncompleteSignatureException` lists everything that is missing, `InvalidSignatureException` refuses two signatures.
    pub fn read<H: Headers + ?Sized>(head: &Head<'a, H>) -> Result<Option<Self>, Error> {
        let header = head.header("authorization");
        let query = head.query.map(Query::of).unwrap_or_default();
        match (header, query.has_algorithm) {
            (None, false) => Ok(None),
            (Some(header), false) => Self::from_header(head, header).map(Some),
            (None, true) => Self::from_query(query).map(Some),
            (Some(_), true) => Err(Error::new(
                Code::InvalidSignatureException,
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
            )),
        }
    }

    fn from_header<H: Headers + ?Sized>(head: &Head<'a, H>, header: Cow<'a, str>) -> Result<Self, Error> {
        // One that is no text has none of the parts.
        let text = if let Cow::Borrowed(text) = header { text } else { "" };
        let mut words = text.split([',', ' ']);
        let algorithm = words.next().unwrap_or("");
        let (mut credential, mut signature, mut signed_headers) = ("", "", "");
        for word in words {
            match word.trim().split_once('=') {
                Some(("Credential", value)) => credential = value,
                Some(("Signature", value)) => signature = value,
                Some(("SignedHeaders", value)) => signed_headers = value,
                _ => {}
            }
        }
        let date = head.header("x-amz-date").or_else(|| head.header("date")).unwrap_or_default();
        let missing: String = [
            (credential, "'Credential' parameter"),
            (signature, "'Signature' parameter"),
            (signed_headers, "'SignedHeaders' parameter"),
            (&date, "existence of either a 'X-Amz-Date' or a 'Date' header"),
        ]
        .iter()
        .filter(|(value, _)| value.is_empty())
        .map(|(_, name)| format!("Authorization header requires {name}. "))
        .collect();
        if !missing.is_empty() {
            let message = format!("{missing}Authorization={header}");
            return Err(Error::new(Code::IncompleteSignatureException, message));
        }
        let [algorithm, credential, signed_headers, signature] =
            [algorithm, credential, signed_headers, signature].map(Cow::Borrowed);
        Ok(Self { algorithm, credential, signed_headers, signature, date, place: Place::Header })
    }

    fn from_query(query: Query<'a>) -> Result<Self, Error> {
        let missing: String = Query::REQUIRED
            .iter()
            .zip(&query.required)
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| format!("AWS query-string parameters must include '{name}'. "))
            .collect();
        let [Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(date)] = query.required
        else {
            let message = format!("{missing}Re-examine the query-string parameters.");
            return Err(Error::new(Code::IncompleteSignatureException, message));
        };
        let place = Place::Query { expires: query.expires };
        Ok(Self { algorithm, credential, signed_headers, signature, date, place })
    }

    /// The region of the credential scope, if it can be one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        let region = self.credential.split('/').nth(2)?;
        is_region(region).then_some(region)
    }
}

fn is_region(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= REGION_BYTES_MAX && text.bytes().all(is_fine)
}

/// The parameters of a query that belong to its signature.
#[derive(Default)]
struct Query<'a> {
    has_algorithm: bool,
    required: [Option<Cow<'a, str>>; 5],
    expires: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    const REQUIRED: [&'static str; 5] =
        ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];

    fn of(query: &'a str) -> Self {
        let mut found = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (text(name), text(value));
            let value = Some(value).filter(|value| !value.is_empty());
            if let Some(at) = Self::REQUIRED.iter().position(|required| *required == name) {
                found.has_algorithm |= at == 0;
                found.required[at] = value;
            } else if name == "X-Amz-Expires" {
                found.expires = value;
            }
        }
        found
    }
}

/// A part of a query, decoded.
fn text(part: &str) -> Cow<'_, str> {
    if part.contains('%') {
        Cow::Owned(String::from_utf8_lossy(&canonical::decode(part)).into_owned())
    } else {
        Cow::Borrowed(part)
    }
}

/// A request whose signature is right.
#[derive(Debug)]
pub struct Verified<'b> {
    /// Who signed it.
    pub principal: Principal,
    /// Its body, without the encoding in signed pieces if it had one.
    pub body: Cow<'b, [u8]>,
}

/// Verifies the signature of a request.
pub fn verify<'b, H: Headers + ?Sized>(
    claim: &Claim<'_>,
    head: &Head<'_, H>,
    keys: &Keyring,
    now: WallUs,
    body: &'b [u8],
) -> Result<Verified<'b>, Error> {
    let incomplete = |message: String| Error::new(Code::IncompleteSignatureException, message);
    if claim.algorithm != ALGORITHM {
        return Err(incomplete(format!("Unsupported AWS 'algorithm': '{}'.", claim.algorithm)));
    }
    let parts: Vec<&str> = claim.credential.split('/').collect();
    let [access_key_id, date, region, service, terminator] = parts[..] else {
        return Err(incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{}'",
            claim.credential
        )));
    };
    let signed_at = Moment::parse_basic(&claim.date).ok_or_else(|| {
        incomplete(format!(
            "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
            claim.date
        ))
    })?;
    let principal = keys.find(access_key_id).ok_or_else(|| {
        Error::new(Code::UnrecognizedClientException, "The security token included in the request is invalid.")
    })?;
    check_scope(&claim.date, date, region, service, terminator)?;
    let signs_host = claim.signed_headers.split(';').any(|name| name == "host" || name == ":authority");
    if !signs_host {
        return Err(invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."));
    }
    check_time(signed_at, Moment::of(now), &claim.place)?;

    let content_sha256 = head.header("x-amz-content-sha256");
    let form = content_sha256.as_deref().and_then(Form::of);
    // What is signed in place of the body is only ever what the caller signed too, or the signature is wrong.
    let payload = match content_sha256.as_deref() {
        Some(literal) if form.is_some() || literal == "UNSIGNED-PAYLOAD" => literal.to_owned(),
        _ => hex(&Sha256::digest(body)),
    };
    let scope = format!("{date}/{region}/{service}/{terminator}");
    let key = keys.signing_key(&principal, date, region);
    if !is_right(claim, head, &payload, &scope, &key) {
        return Err(mismatch());
    }
    keys.remember(&principal, date, region, &key);
    let body = match form {
        None => Cow::Borrowed(body),
        Some(form) => {
            let chain = Chain { key: &key, date: &claim.date, scope: &scope, seed: &claim.signature };
            Cow::Owned(chunked::decode(form, body, Some(&chain))?)
        }
    };
    Ok(Verified { principal, body })
}

/// Whether the signature of a request is the one that the key makes.
fn is_right<H: Headers + ?Sized>(
    claim: &Claim<'_>,
    head: &Head<'_, H>,
    payload: &str,
    scope: &str,
    key: &Hmac<Sha256>,
) -> bool {
    let canonical = canonical::request(head, &Parts { signed_headers: &claim.signed_headers, payload });
    let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{}", claim.date, hex(&Sha256::digest(&canonical)));
    matches(key, to_sign.as_bytes(), &claim.signature)
}

/// The body of a request that is taken unverified: without the encoding in pieces, if it has one.
pub fn plain_body<'b, H: Headers + ?Sized>(head: &Head<'_, H>, body: &'b [u8]) -> Result<Cow<'b, [u8]>, Error> {
    match form(head) {
        None => Ok(Cow::Borrowed(body)),
        Some(form) => chunked::decode(form, body, None).map(Cow::Owned),
    }
}

/// Whether the body is in signed pieces (`aws-chunked`).
pub fn is_in_pieces<H: Headers + ?Sized>(head: &Head<'_, H>) -> bool {
    form(head).is_some()
}

fn form<H: Headers + ?Sized>(head: &Head<'_, H>) -> Option<Form> {
    head.header("x-amz-content-sha256").as_deref().and_then(Form::of)
}

fn check_scope(date_time: &str, date: &str, region: &str, service: &str, terminator: &str) -> Result<(), Error> {
    let mut problems: Vec<String> = Vec::new();
    if !is_region(region) {
        problems.push(format!("Credential should be scoped to a valid region, not '{region}'."));
    }
    if service != SERVICE {
        problems.push(format!("Credential should be scoped to correct service: '{SERVICE}'."));
    }
    if terminator != TERMINATOR {
        problems
            .push(format!("Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'."));
    }
    if !date_time.starts_with(date) || date.len() != 8 {
        problems.push(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{}', \
             from '{date_time}'.",
            date_time.get(..8).unwrap_or_default()
        ));
    }
    if problems.is_empty() { Ok(()) } else { Err(invalid(problems.join(" "))) }
}

fn check_time(signed_at: Moment, now: Moment, place: &Place<'_>) -> Result<(), Error> {
    let life_s = match place {
        Place::Header | Place::Query { expires: None } => SKEW_S,
        Place::Query { expires: Some(text) } => match text.parse() {
            Ok(seconds @ 1..=EXPIRES_S_MAX) => seconds,
            Ok(0) | Err(_) => return Err(invalid("X-Amz-Expires must be a number of seconds.")),
            Ok(..0) => return Err(invalid("X-Amz-Expires must be non-negative.")),
            Ok(_) => {
                let message =
                    format!("X-Amz-Expires must be less than a week (in seconds); that is, less than {EXPIRES_S_MAX}.");
                return Err(invalid(message));
            }
        },
    };
    let basic = |moment: Moment| moment.basic();
    let duration =
        |seconds: i64| if seconds % 60 == 0 { format!("{} min.", seconds / 60) } else { format!("{seconds} sec.") };
    let earliest = Moment::at(now.second - life_s);
    if signed_at.second < earliest.second {
        let (signed_at, earliest, now, life) = (basic(signed_at), basic(earliest), basic(now), duration(life_s));
        return Err(invalid(format!("Signature expired: {signed_at} is now earlier than {earliest} ({now} - {life})")));
    }
    let latest = Moment::at(now.second + SKEW_S);
    if signed_at.second > latest.second {
        let (signed_at, latest, now, skew) = (basic(signed_at), basic(latest), basic(now), duration(SKEW_S));
        return Err(invalid(format!(
            "Signature not yet current: {signed_at} is still later than {latest} ({now} + {skew})"
        )));
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidSignatureException, message)
}

fn mismatch() -> Error {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
         signing method. Consult the service documentation for details.",
    )
}

/// The signing key of a secret for a day and a region.
pub(super) fn signing_key(secret: &[u8], date: &str, region: &str) -> Hmac<Sha256> {
    signing_key_for(secret, date, region, SERVICE)
}

fn signing_key_for(secret: &[u8], date: &str, region: &str, service: &str) -> Hmac<Sha256> {
    let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    let mut key = keyed(&[b"AWS4", secret].concat());
    for part in [date, region, service, TERMINATOR] {
        key.update(part.as_bytes());
        key = keyed(&key.finalize().into_bytes());
    }
    key
}

/// Whether `signature`, in lower-case hexadecimal digits, is that of `text`. Takes the same time wherever they differ.
fn matches(key: &Hmac<Sha256>, text: &[u8], signature: &str) -> bool {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if signature.len() != 2 * bytes.len() {
        return false;
    }
    for (byte, pair) in bytes.iter_mut().zip(signature.as_bytes().chunks_exact(2)) {
        match (digit(&pair[0]), digit(&pair[1])) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => return false,
        }
    }
    let mut mac = key.clone();
    mac.update(text);
    mac.verify_slice(&bytes).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
