//! Bodies in `aws-chunked` encoding: the body in pieces inside the body, each signed over the signature before it.
//!
//! ```text
//! 400;chunk-signature=ad80c7...\r\n     size in hexadecimal
//! <1024 bytes>\r\n
//! 0;chunk-signature=b6c6ea...\r\n
//! x-amz-checksum-crc32:...\r\n          trailing headers, where the first line of the request says so
//! x-amz-trailer-signature:...\r\n
//! \r\n
//! ```

use hmac::Hmac;
use sha2::{Digest, Sha256};

use super::{hex, matches};
use crate::kinesis::error::{Code, Error};

/// What the header `x-amz-content-sha256` says about a body in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: every piece is signed.
    Signed,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`: and so are headers behind them.
    SignedTrailer,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: nothing is.
    UnsignedTrailer,
}

impl Form {
    pub(super) fn of(content_sha256: &str) -> Option<Self> {
        match content_sha256 {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Some(Self::Signed),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Some(Self::SignedTrailer),
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Self::UnsignedTrailer),
            _ => None,
        }
    }

    const fn is_signed(self) -> bool {
        matches!(self, Self::Signed | Self::SignedTrailer)
    }
}

/// What the chain of signatures starts from.
pub(super) struct Chain<'a> {
    /// The signing key.
    pub key: &'a Hmac<Sha256>,
    /// The date of the request, in the basic form.
    pub date: &'a str,
    /// The scope of its credential.
    pub scope: &'a str,
    /// The signature of the request.
    pub seed: &'a str,
}

impl Chain<'_> {
    /// Checks one signature of the chain.
    fn verify(&self, kind: &str, before: &str, hashed: &str, signature: &str) -> Result<(), Error> {
        let text = format!("{kind}\n{}\n{}\n{before}\n{hashed}", self.date, self.scope);
        if matches(self.key, text.as_bytes(), signature) { Ok(()) } else { Err(super::mismatch()) }
    }
}

/// The body itself. With a chain every signature is checked; without one, as in open access, the pieces are merely joined.
pub(super) fn decode(form: Form, body: &[u8], chain: Option<&Chain<'_>>) -> Result<Vec<u8>, Error> {
    let malformed = || Error::bare(Code::SerializationException);
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut before = chain.map_or("", |chain| chain.seed);
    let chain = chain.filter(|_| form.is_signed());
    loop {
        let (line, after) = line(rest).ok_or_else(malformed)?;
        let (size, extensions) = line.split_once(';').unwrap_or((line, ""));
        // Eight digits are more than any body has; and no signs, which the parser would take.
        if size.is_empty() || size.len() > 8 || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed())?;
        let (data, after) = after.split_at_checked(size).ok_or_else(malformed)?;
        if let Some(chain) = chain {
            let signature = extensions.strip_prefix("chunk-signature=").ok_or_else(super::mismatch)?;
            let hashed = format!("{}\n{}", hex(&Sha256::digest(b"")), hex(&Sha256::digest(data)));
            chain.verify("AWS4-HMAC-SHA256-PAYLOAD", before, &hashed, signature)?;
            before = signature;
        }
        if size == 0 {
            rest = after;
            break;
        }
        out.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n").ok_or_else(malformed)?;
    }
    let trailer = trailer(rest).ok_or_else(malformed)?;
    if let Some(chain) = chain.filter(|_| form == Form::SignedTrailer) {
        let signature = trailer.signature.ok_or_else(super::mismatch)?;
        let hashed = hex(&Sha256::digest(trailer.headers.as_bytes()));
        chain.verify("AWS4-HMAC-SHA256-TRAILER", before, &hashed, signature)?;
    }
    Ok(out)
}

struct Trailer<'a> {
    /// The headers in canonical form.
    headers: String,
    signature: Option<&'a str>,
}

/// What stands behind the last piece. Some clients leave out the empty line at the very end.
fn trailer(mut rest: &[u8]) -> Option<Trailer<'_>> {
    let mut trailer = Trailer { headers: String::new(), signature: None };
    while !rest.is_empty() {
        let (line, after) = line(rest)?;
        rest = after;
        if line.is_empty() {
            return rest.is_empty().then_some(trailer);
        }
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("x-amz-trailer-signature") {
            trailer.signature = Some(value.trim());
        } else {
            trailer.headers.push_str(&format!("{}:{}\n", name.trim().to_lowercase(), value.trim()));
        }
    }
    Some(trailer)
}

/// The text up to the next line break, and what follows it.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memmem::find(bytes, b"\r\n")?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use hmac::Mac;

    use super::*;

    /// Goal: the worked example of the documentation of AWS (65 KiB of the letter a in pieces) verifies, and any change of a
    /// piece, of its order or of the end does not.
    #[test]
    fn the_documented_example_verifies() {
        let key =
            super::super::signing_key_for(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3");
        let chain = Chain {
            key: &key,
            date: "20130524T000000Z",
            scope: "20130524/us-east-1/s3/aws4_request",
            seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        };
        let signatures = [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ];
        let piece = |size: usize, signature: &str| {
            [format!("{size:x};chunk-signature={signature}\r\n").as_bytes(), &b"a".repeat(size), b"\r\n"].concat()
        };
        let pieces = [piece(65_536, signatures[0]), piece(1_024, signatures[1]), piece(0, signatures[2])];
        let body = pieces.concat();
        assert_eq!(decode(Form::Signed, &body, Some(&chain)).unwrap(), b"a".repeat(66_560));
        assert_eq!(decode(Form::Signed, &body, None).unwrap().len(), 66_560);
        let code = |body: &[u8]| decode(Form::Signed, body, Some(&chain)).unwrap_err().code;
        let mut changed = body.clone();
        changed[1_000] = b'b';
        assert_eq!(code(&changed), Code::InvalidSignatureException);
        let swapped = [&pieces[1][..], &pieces[0], &pieces[2]].concat();
        assert_eq!(code(&swapped), Code::InvalidSignatureException);
        let shortened = [&pieces[0][..], &pieces[2]].concat();
        assert_eq!(code(&shortened), Code::InvalidSignatureException);
        assert_eq!(code(&pieces[0]), Code::SerializationException);
    }

    /// Goal: pieces without signatures, with headers behind them, are joined; a signed trailer is part of the chain.
    #[test]
    fn trailers_are_read() {
        let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        assert_eq!(decode(Form::UnsignedTrailer, body, None).unwrap(), b"hello world");
        let without_end = &body[..body.len() - 2];
        assert_eq!(decode(Form::UnsignedTrailer, without_end, None).unwrap(), b"hello world");
        let key = super::super::signing_key(b"secret", "20150830", "us-east-1");
        let chain = Chain { key: &key, date: "20150830T123600Z", scope: "scope", seed: "seed" };
        let sign = |text: String| {
            let mut mac = key.clone();
            mac.update(text.as_bytes());
            hex(&mac.finalize().into_bytes())
        };
        let hash = |bytes: &[u8]| hex(&Sha256::digest(bytes));
        let of_piece = |before: &str, data: &[u8]| {
            let (empty, data) = (hash(b""), hash(data));
            sign(format!("AWS4-HMAC-SHA256-PAYLOAD\n20150830T123600Z\nscope\n{before}\n{empty}\n{data}"))
        };
        let first = of_piece("seed", b"hello");
        let last = of_piece(&first, b"");
        let headers = hash(b"x-amz-checksum-crc32:AAAAAA==\n");
        let end = sign(format!("AWS4-HMAC-SHA256-TRAILER\n20150830T123600Z\nscope\n{last}\n{headers}"));
        let body = |checksum: &str| {
            format!(
                "5;chunk-signature={first}\r\nhello\r\n0;chunk-signature={last}\r\n\
                 x-amz-checksum-crc32:{checksum}\r\nx-amz-trailer-signature:{end}\r\n\r\n"
            )
        };
        let decode =
            |body: &str| decode(Form::SignedTrailer, body.as_bytes(), Some(&chain)).map_err(|error| error.code);
        assert_eq!(decode(&body("AAAAAA==")), Ok(b"hello".to_vec()));
        assert_eq!(decode(&body("AAAAAB==")), Err(Code::InvalidSignatureException));
        let unsigned = body("AAAAAA==").replace("x-amz-trailer-signature", "x-amz-other");
        assert_eq!(decode(&unsigned), Err(Code::InvalidSignatureException));
    }

    /// Goal: what is not in pieces is refused wherever it is broken off or spoilt, without reading past its end.
    #[test]
    fn broken_pieces_are_refused() {
        let good = b"5\r\nhello\r\n0\r\n\r\n";
        // Without the last line break it is whole.
        for end in 0..good.len() - 2 {
            assert!(decode(Form::UnsignedTrailer, &good[..end], None).is_err(), "{end}");
        }
        for body in [
            "",
            "hello",
            "+5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloo\r\n0\r\n\r\n",
            "fffffffff\r\n",
            "ffffffff\r\nx",
            "0\r\nx\r\n\r\n",
            "0\r\n\r\nmore",
        ] {
            assert!(decode(Form::UnsignedTrailer, body.as_bytes(), None).is_err(), "{body:?}");
        }
    }
}
