//! Tokens that we hand out and get back: closed so that nobody reads a meaning into them that we did not write.
//!
//! A token is its content and the first 16 bytes of an HMAC-SHA256 over it, keyed by the node, in base64. One that was garbled
//! on its way, made up, or issued by another node is told from one of ours that has merely expired. The content is not
//! secret.
//!
//! Contents of different kinds begin with different bytes, so one is never taken for the other.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::types::WallUs;

/// How long a shard iterator or the token of a next page can be used, as in Kinesis: 300 s.
pub const TOKEN_LIFE_MS: u64 = 300_000;

/// How far in the future a token may have been issued: clocks are set back by a little when they are corrected.
const TOKEN_SKEW_MS: u64 = 5_000;

/// Bytes of the seal.
pub(super) const SEAL_BYTES: usize = 16;

/// Closes tokens and opens them again.
#[derive(Clone)]
pub struct Sealer {
    /// Keyed already: what remains is one block for a small token, and one to finish.
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// How a token stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It can be used.
    Valid,
    /// It could be used once.
    Expired,
    /// It was not issued yet, so it is none of ours.
    Future,
}

impl Sealer {
    /// The sealer of the node with this id.
    #[must_use]
    pub fn new(node_id: u128) -> Self {
        let mut key = *b"millstream token................";
        key[16..].copy_from_slice(&node_id.to_be_bytes());
        Self { mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of every length") }
    }

    /// The seal of a content.
    pub(super) fn seal(&self, content: &[u8]) -> [u8; SEAL_BYTES] {
        let mut mac = self.mac.clone();
        mac.update(content);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        *tag.first_chunk().expect("a tag is longer than a seal")
    }

    /// The content of a token, if the seal is its own.
    pub(super) fn open<'a>(&self, token: &'a [u8]) -> Option<&'a [u8]> {
        let (content, seal) = token.split_last_chunk::<SEAL_BYTES>()?;
        let mut mac = self.mac.clone();
        mac.update(content);
        mac.verify_truncated_left(seal).ok()?;
        Some(content)
    }
}

/// How old a token is that was issued at `issued_ms`.
pub(super) const fn age(issued_ms: u64, now: WallUs) -> Age {
    let now_ms = now.millis();
    if issued_ms > now_ms + TOKEN_SKEW_MS {
        Age::Future
    } else if now_ms.saturating_sub(issued_ms) > TOKEN_LIFE_MS {
        Age::Expired
    } else {
        Age::Valid
    }
}
