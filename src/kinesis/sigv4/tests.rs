use super::*;
use crate::kinesis::access::{Access, Key, Keys, Rule, Secret};

mod vectors;
use vectors::VECTORS;

/// A signed request.
pub struct Vector {
    name: &'static str,
    service: &'static str,
    method: &'static str,
    path: &'static str,
    query: Option<&'static str>,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// 2015-08-30 12:36:00 UTC.
const NOW: WallUs = WallUs(1_440_938_160_000_000);

impl Vector {
    fn head(&self) -> Head<'_, [(&'static str, &'static str)]> {
        Head { method: self.method, path: self.path, query: self.query, authority: None, headers: self.headers }
    }

    fn verify(&self, keys: &Keyring, now: WallUs) -> Result<String, Error> {
        verify_at(&self.head(), keys, now, self.body)
    }
}

fn verify_at(head: &Head<'_, [(&str, &str)]>, keys: &Keyring, now: WallUs, body: &[u8]) -> Result<String, Error> {
    let claim = Claim::read(head)?.expect("the request is signed");
    let verified = verify(&claim, head, keys, now, body)?;
    assert_eq!(verified.body, body);
    Ok(verified.principal.name().to_owned())
}

fn keys(secret: &str) -> Keyring {
    let key = |name: &str, id: &str, secret: &str| Key {
        name: name.to_owned(),
        access_key_id: id.to_owned(),
        secret: Secret::new(secret),
        allow: Some(vec![Rule { actions: vec!["*".to_owned()], streams: vec!["*".to_owned()] }]),
    };
    let keys = Keys::new(vec![key("other", "AKIDOTHER", "other"), key("example", "AKIDEXAMPLE", secret)]).unwrap();
    match Access::new(Some(&keys)) {
        Access::Keys(keys) => keys,
        Access::Open => unreachable!("keys were given"),
    }
}

fn ours() -> impl Iterator<Item = &'static Vector> {
    VECTORS.iter().filter(|vector| vector.service == SERVICE)
}

fn vector(name: &str) -> &'static Vector {
    ours().find(|vector| vector.name == name).unwrap()
}

fn later(seconds: i64) -> WallUs {
    WallUs(NOW.0.saturating_add_signed(seconds * 1_000_000))
}

/// Goal: every request of the test suite of AWS, and every one of botocore, has the signature that we calculate.
#[test]
fn vectors_are_right() {
    assert!(VECTORS.len() > 60);
    for vector in VECTORS {
        let head = vector.head();
        let claim = Claim::read(&head).unwrap().unwrap();
        let parts: Vec<_> = claim.credential.split('/').collect();
        let key = signing_key_for(SECRET.as_bytes(), parts[1], parts[2], vector.service);
        let payload = hex(&Sha256::digest(vector.body));
        assert!(is_right(&claim, &head, &payload, &parts[1..].join("/"), &key), "{}", vector.name);
    }
}

/// Goal: requests of botocore pass as they are, twice, and name who sent them and the region.
#[test]
fn requests_of_botocore_pass() {
    let keys = keys(SECRET);
    for vector in ours() {
        for _ in 0..2 {
            assert_eq!(vector.verify(&keys, NOW).as_deref(), Ok("example"), "{}", vector.name);
        }
    }
    assert_eq!(ours().count(), 6);
    let head = vector("boto3, PutRecords with a token").head();
    assert_eq!(Claim::read(&head).unwrap().unwrap().region(), Some("eu-central-1"));
}

/// Goal: anything that is signed and changed is seen: method, path, query, each signed header, body, secret, signature.
#[test]
fn changes_are_seen() {
    let right = keys(SECRET);
    for vector in ours() {
        let head = vector.head();
        let is_mismatch = |head: &Head<'_, [(&str, &str)]>, keys: &Keyring, body: &[u8]| {
            let result = verify_at(head, keys, NOW, body);
            assert_eq!(result, Err(mismatch()), "{}", vector.name);
        };
        is_mismatch(&head, &keys("another"), vector.body);
        is_mismatch(&head, &right, b"{ }");
        is_mismatch(&Head { method: "PUT", ..head }, &right, vector.body);
        is_mismatch(&Head { path: "/x", ..head }, &right, vector.body);
        let query = format!("{}&more=1", vector.query.unwrap_or(""));
        is_mismatch(&Head { query: Some(&query), ..head }, &right, vector.body);
        let claim = Claim::read(&head).unwrap().unwrap();
        for name in claim.signed_headers.split(';').filter(|name| *name != "x-amz-date") {
            let changed: Vec<_> = vector
                .headers
                .iter()
                .map(|(key, value)| if *key == name { (*key, "changed") } else { (*key, *value) })
                .collect();
            is_mismatch(&Head { headers: &changed[..], ..head }, &right, vector.body);
            let doubled: Vec<_> = vector.headers.iter().copied().chain([(name, "more")]).collect();
            is_mismatch(&Head { headers: &doubled[..], ..head }, &right, vector.body);
        }
        // Each digit of the signature matters, and so do its length and its case.
        let signature = claim.signature.to_string();
        let digit = if signature.ends_with('0') { '1' } else { '0' };
        let other = format!("{}{digit}", &signature[..63]);
        for wrong in
            [other, signature[..62].to_owned(), format!("{signature}00"), signature.to_uppercase(), "é".repeat(32)]
        {
            let claim = Claim { signature: Cow::Owned(wrong), ..claim.clone() };
            assert_eq!(verify(&claim, &head, &right, NOW, vector.body).unwrap_err(), mismatch());
        }
    }
}

/// Goal: HTTP/2 has the host in its target; the same signature is right.
#[test]
fn the_host_may_stand_in_the_target() {
    let vector = vector("boto3, ListStreams");
    let headers: Vec<_> = vector.headers.iter().copied().filter(|(name, _)| *name != "host").collect();
    let head = Head { authority: Some("localhost:4567"), headers: &headers[..], ..vector.head() };
    assert!(verify_at(&head, &keys(SECRET), NOW, vector.body).is_ok());
    let head = Head { authority: Some("localhost:4568"), ..head };
    assert!(verify_at(&head, &keys(SECRET), NOW, vector.body).is_err());
}

/// Goal: a signature lives for 5 minutes on either side, to the second, one in the query for as long as it says; the messages
/// are those of AWS.
#[test]
fn signatures_expire() {
    let keys = keys(SECRET);
    let header = vector("boto3, ListStreams");
    let at = |vector: &Vector, seconds: i64| vector.verify(&keys, later(seconds)).map_err(|error| error.message);
    assert!(at(header, 300).is_ok());
    assert_eq!(
        at(header, 301).unwrap_err(),
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    );
    assert!(at(header, -300).is_ok());
    assert_eq!(
        at(header, -301).unwrap_err(),
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    );
    let query = vector("botocore, in the query");
    assert!(at(query, 900).is_ok());
    assert_eq!(
        at(query, 901).unwrap_err(),
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T125101Z - 15 min.)"
    );
    assert!(at(query, -301).is_err());
    let expiring = |text: &str| {
        let place = Place::Query { expires: Some(Cow::Borrowed(text)) };
        check_time(Moment::of(NOW), Moment::of(NOW), &place).map_err(|error| error.message)
    };
    assert!(expiring("604800").is_ok());
    for text in ["604801", "0", "-1", "x", ""] {
        assert!(expiring(text).unwrap_err().starts_with("X-Amz-Expires must be"), "{text}");
    }
    assert!(check_time(Moment::of(NOW), Moment::of(later(301)), &Place::Query { expires: None }).is_err());
}

/// Changes the claim of a good request and gives what is said about it.
fn said(change: impl FnOnce(&mut Claim<'_>)) -> (Code, String) {
    let vector = vector("boto3, ListStreams");
    let head = vector.head();
    let mut claim = Claim::read(&head).unwrap().unwrap();
    change(&mut claim);
    let error = verify(&claim, &head, &keys(SECRET), NOW, vector.body).unwrap_err();
    (error.code, error.message)
}

/// Goal: claims that cannot be right are refused with the code and the words of AWS.
#[test]
fn odd_claims_have_their_messages() {
    use Code::{IncompleteSignatureException, InvalidSignatureException, UnrecognizedClientException};
    let credential = |text: &'static str| said(|claim| claim.credential = Cow::Borrowed(text));
    let incomplete = |message: &str| (IncompleteSignatureException, message.to_owned());
    let invalid = |message: &str| (InvalidSignatureException, message.to_owned());
    assert_eq!(
        credential("AKIDEXAMPLE/20150830/us-east-1/aws4_request"),
        incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             'AKIDEXAMPLE/20150830/us-east-1/aws4_request'"
        )
    );
    assert_eq!(
        credential("AKIDNOBODY/20150830/us-east-1/kinesis/aws4_request"),
        (UnrecognizedClientException, "The security token included in the request is invalid.".to_owned())
    );
    assert_eq!(
        credential("AKIDEXAMPLE/20150830/us east/dynamodb/aws4"),
        invalid(
            "Credential should be scoped to a valid region, not 'us east'. Credential should be scoped to correct service: \
             'kinesis'. Credential should be scoped with a valid terminator: 'aws4_request', not 'aws4'."
        )
    );
    assert_eq!(
        credential("AKIDEXAMPLE/20150831/us-east-1/kinesis/aws4_request"),
        invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150831' != \
             '20150830', from '20150830T123600Z'."
        )
    );
    assert_eq!(credential("AKIDEXAMPLE//us-east-1/kinesis/aws4_request").0, InvalidSignatureException);
    assert_eq!(
        said(|claim| claim.algorithm = Cow::Borrowed("AWS4-HMAC-SHA1")),
        incomplete("Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.")
    );
    assert_eq!(
        said(|claim| claim.date = Cow::Borrowed("Sun, 30 Aug 2015 12:36:00 GMT")),
        incomplete(
            "Date must be in ISO-8601 'basic format'. Got 'Sun, 30 Aug 2015 12:36:00 GMT'. See \
             http://en.wikipedia.org/wiki/ISO_8601"
        )
    );
    assert_eq!(
        said(|claim| claim.signed_headers = Cow::Borrowed("x-amz-date")),
        invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    );
    // This is the host of HTTP/2; it is just not what was signed here.
    assert_eq!(
        said(|claim| claim.signed_headers = Cow::Borrowed(":authority;x-amz-date")),
        invalid(&mismatch().message)
    );
    let other_key = said(|claim| {
        claim.credential = Cow::Borrowed("AKIDOTHER/20150830/us-east-1/kinesis/aws4_request");
    });
    assert_eq!(other_key.0, InvalidSignatureException);
}

/// Signs a request for `POST /` with a literal in place of the body's hash.
fn signed_with(content_sha256: &'static str, body: &[u8]) -> Result<Vec<u8>, Error> {
    let keys = keys(SECRET);
    let (date, scope) = ("20150830T123600Z", "20150830/us-east-1/kinesis/aws4_request");
    let headers = [("host", "localhost"), ("x-amz-date", date), ("x-amz-content-sha256", content_sha256)];
    let head = Head { method: "POST", path: "/", query: None, authority: None, headers: &headers[..] };
    let signed_headers = "host;x-amz-content-sha256;x-amz-date";
    let canonical = canonical::request(&head, &Parts { signed_headers, payload: content_sha256 });
    let mut mac = signing_key(SECRET.as_bytes(), "20150830", "us-east-1");
    mac.update(format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(&canonical))).as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    let authorization =
        format!("{ALGORITHM} Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed_headers}, Signature={signature}");
    let headers: Vec<_> = headers.into_iter().chain([("authorization", authorization.as_str())]).collect();
    let head = Head { headers: &headers[..], ..head };
    let claim = Claim::read(&head).unwrap().unwrap();
    verify(&claim, &head, &keys, NOW, body).map(|verified| verified.body.into_owned())
}

/// Goal: a body that is not signed passes only where the request says so under its signature, and one in pieces is joined.
#[test]
fn bodies_may_be_unsigned_or_in_pieces() {
    assert_eq!(signed_with("UNSIGNED-PAYLOAD", b"anything").as_deref(), Ok(&b"anything"[..]));
    let pieces = b"5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(signed_with("STREAMING-UNSIGNED-PAYLOAD-TRAILER", pieces).as_deref(), Ok(&b"hello"[..]));
    // Pieces that should be signed and are not.
    let unsigned = signed_with("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", pieces).unwrap_err();
    assert_eq!(unsigned, mismatch());
    // A literal that means nothing is no way around the hash, nor is a hash of another body.
    assert_eq!(signed_with("NOTHING", b"anything").unwrap_err(), mismatch());
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(signed_with(of_nothing, b"").as_deref(), Ok(&b""[..]));
    assert_eq!(signed_with(of_nothing, b"anything").unwrap_err(), mismatch());
    // One that is added to a request on its way changes what is signed.
    let vector = vector("boto3, ListStreams");
    let headers: Vec<_> =
        vector.headers.iter().copied().chain([("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]).collect();
    let head = Head { headers: &headers[..], ..vector.head() };
    let claim = Claim::read(&head).unwrap().unwrap();
    assert_eq!(verify(&claim, &head, &keys(SECRET), NOW, b"other").unwrap_err(), mismatch());
}

proptest::proptest! {
    /// Goal: nothing in a request makes reading or verifying its signature panic.
    #[test]
    fn odd_requests_are_refused(
        path in "[/.%a-zé]{0,20}",
        query in "(X-Amz-(Algorithm|Credential|Signature|SignedHeaders|Date|Expires)=[a-zA-Z0-9/%é;-]{0,20}&?){0,6}",
        authorization in "(AWS4-HMAC-SHA256 )?((Credential|Signature|SignedHeaders)=[a-zA-Z0-9/;é=]{0,40}[, ]{0,2}){0,4}",
        date in "[0-9TZé]{0,16}",
    ) {
        let headers = [("authorization", authorization.as_str()), ("x-amz-date", date.as_str())];
        for headers in [&headers[..], &headers[1..]] {
            let head = Head { method: "POST", path: &path, query: Some(&query), authority: None, headers };
            if let Ok(Some(claim)) = Claim::read(&head) {
                let _ = claim.region();
                let is_refused = verify(&claim, &head, &keys(SECRET), NOW, b"{}").is_err();
                proptest::prop_assert!(is_refused);
            }
        }
    }
}
