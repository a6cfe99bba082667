//! Shard iterators: where a reader stands, as an opaque text that the reader carries. The node keeps nothing of them, so they
//! survive a restart.
//!
//! ```text
//!  0       8  9      16      24      32      40    44    48      56            72
//!  +-------+--+-------+-------+-------+-------+-----+-----+-------+-------------+
//!  | 0..01 |v |issued |stream | group |offset |shard|  0  | nonce |    seal     |   in base64: 96 characters
//!  +-------+--+-------+-------+-------+-------+-----+-----+-------+-------------+
//! ```
//!
//! Big-endian throughout. Beginning and length are those of AWS: the number 1 in 8 bytes, then a multiple of 16 bytes; so they
//! too begin with `AAAAAAAAAAE`. The version `v` is 1, `issued` are milliseconds since the epoch, the nonce makes each
//! iterator differ from the one before.

use super::date::Moment;
use super::error::{Code, Error};
use super::seal::{self, Age, SEAL_BYTES, Sealer, TOKEN_LIFE_MS};
use crate::types::{GroupId, Offset, ShardNumber, StreamId, WallUs};

const HEAD: [u8; 8] = 1u64.to_be_bytes();

const VERSION: u8 = 1;

const CONTENT_BYTES: usize = 56;

const TOKEN_BYTES: usize = CONTENT_BYTES + SEAL_BYTES;

/// Characters of an iterator. The model allows 512.
pub const ITERATOR_CHARS: usize = TOKEN_BYTES / 3 * 4;

const _: () = assert!(TOKEN_BYTES.is_multiple_of(3), "base64 without padding");
const _: () = assert!((TOKEN_BYTES - HEAD.len()).is_multiple_of(16), "the shape of AWS");
const _: () = assert!(ITERATOR_CHARS <= 512, "the bound of the model");

/// Largest time of issue: 48 bits of milliseconds, the year 10,889.
const ISSUED_MS_MAX: u64 = (1 << 48) - 1;

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stream. Its number, not its name: a stream made anew under the name is another one.
    pub stream: StreamId,
    /// The shard's number in the stream.
    pub shard: ShardNumber,
    /// The incarnation of the shard.
    pub group: GroupId,
    /// The next record to read.
    pub offset: Offset,
}

impl Sealer {
    /// An iterator that stands at `position`. `nonce` is not the one of the iterator that the reader had before.
    #[must_use]
    pub fn iterator(&self, position: &Position, now: WallUs, nonce: u64) -> String {
        let Position { stream, shard, group, offset } = *position;
        let mut token = [0; TOKEN_BYTES];
        token[..8].copy_from_slice(&HEAD);
        token[8..16].copy_from_slice(&now.millis().min(ISSUED_MS_MAX).to_be_bytes());
        token[8] = VERSION;
        token[16..24].copy_from_slice(&stream.0.to_be_bytes());
        token[24..32].copy_from_slice(&group.0.to_be_bytes());
        token[32..40].copy_from_slice(&offset.0.to_be_bytes());
        token[40..44].copy_from_slice(&shard.0.to_be_bytes());
        token[48..56].copy_from_slice(&nonce.to_be_bytes());
        let seal = self.seal(&token[..CONTENT_BYTES]);
        token[CONTENT_BYTES..].copy_from_slice(&seal);
        // Whole groups of three bytes need no padding.
        base64_simd::STANDARD.encode_to_string(token)
    }

    /// The position of an iterator. Quotes around it are ignored, as AWS ignores them.
    ///
    /// `InvalidArgumentException` for what we did not issue, `ExpiredIteratorException` for what we issued too long ago.
    pub fn open_iterator(&self, text: &str, now: WallUs) -> Result<Position, Error> {
        let invalid = || Error::new(Code::InvalidArgumentException, "Invalid ShardIterator.");
        let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        if bare.len() != ITERATOR_CHARS {
            return Err(invalid());
        }
        let mut token = [0; TOKEN_BYTES];
        let decoded = base64_simd::STANDARD.decode(bare.as_bytes(), base64_simd::Out::from_slice(&mut token));
        let decoded = decoded.map_err(|_| invalid())?;
        let content = self.open(decoded).ok_or_else(invalid)?;
        let number = |from: usize| {
            let bytes = content.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
            u64::from_be_bytes(bytes.expect("the content has its fixed length"))
        };
        let issued_ms = number(8) & ISSUED_MS_MAX;
        if content[..8] != HEAD || content[8] != VERSION {
            return Err(invalid());
        }
        match seal::age(issued_ms, now) {
            Age::Future => return Err(invalid()),
            Age::Expired => return Err(expired(issued_ms, now)),
            Age::Valid => {}
        }
        Ok(Position {
            stream: StreamId(number(16)),
            shard: ShardNumber((number(40) >> 32) as u32),
            group: GroupId(number(24)),
            offset: Offset(number(32)),
        })
    }
}

fn expired(issued_ms: u64, now: WallUs) -> Error {
    let (issued, now) = (Moment::of(WallUs(issued_ms * 1_000)), Moment::of(now));
    Error::new(
        Code::ExpiredIteratorException,
        format!(
            "Iterator expired. The iterator was created at time {issued} while right now it is {now} which is further in \
             the future than the tolerated delay of {TOKEN_LIFE_MS} milliseconds."
        ),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: WallUs = WallUs(1_795_780_522_345_678);

    const POSITION: Position =
        Position { stream: StreamId(7), shard: ShardNumber(3), group: GroupId(1 << 40), offset: Offset(123_456) };

    fn later(ms: i64) -> WallUs {
        WallUs(NOW.0.saturating_add_signed(ms * 1_000))
    }

    fn invalid() -> Error {
        Error::new(Code::InvalidArgumentException, "Invalid ShardIterator.")
    }

    /// Goal: an iterator looks like those of AWS, differs from the one before, and is the same after a restart.
    #[test]
    fn iterators_look_as_they_should() {
        let sealer = Sealer::new(42);
        let text = sealer.iterator(&POSITION, NOW, 1);
        assert!(text.starts_with("AAAAAAAAAAE"), "{text}");
        assert_eq!(text.len(), ITERATOR_CHARS);
        assert_ne!(sealer.iterator(&POSITION, NOW, 2), text);
        let restarted = Sealer::new(42);
        assert_eq!(restarted.open_iterator(&text, later(1_000)), Ok(POSITION));
        assert_eq!(restarted.open_iterator(&format!("\"{text}\""), later(1_000)), Ok(POSITION));
        // A committed sample: iterators of a running node stay valid over an upgrade.
        let sample = "AAAAAAAAAAEBAAGiHNwxaQAAAAAAAAAHAAABAAAAAAAAAAAAAAHiQAAAAAMAAAAAAAAAAAAAAAEvr1+5G8nfZI0Kjs6zfeSO";
        assert_eq!(text, sample);
    }

    /// Goal: an iterator lives for 300 s to the millisecond, then says so in the words of AWS; one from the future is none.
    #[test]
    fn iterators_expire() {
        let sealer = Sealer::new(42);
        let text = sealer.iterator(&POSITION, NOW, 1);
        assert_eq!(sealer.open_iterator(&text, later(300_000)), Ok(POSITION));
        let error = sealer.open_iterator(&text, later(300_001)).unwrap_err();
        assert_eq!(error.code, Code::ExpiredIteratorException);
        assert_eq!(
            error.message,
            "Iterator expired. The iterator was created at time Fri Nov 27 11:55:22 UTC 2026 while right now it is Fri Nov \
             27 12:00:22 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds."
        );
        assert_eq!(sealer.open_iterator(&text, later(-5_000)), Ok(POSITION));
        assert_eq!(sealer.open_iterator(&text, later(-5_001)), Err(invalid()));
    }

    /// Goal: iterators of another node, of another kind or shape, and no iterators at all are refused alike.
    #[test]
    fn foreign_texts_are_refused() {
        let sealer = Sealer::new(42);
        let text = sealer.iterator(&POSITION, NOW, 1);
        assert_eq!(Sealer::new(43).open_iterator(&text, NOW), Err(invalid()));
        let half_quoted = format!("\"{text}");
        let aws = format!("AAAAAAAAAAE{}", "x".repeat(ITERATOR_CHARS - 11));
        for text in ["", "\"", "\"\"", "a", &text[..92], &half_quoted, &aws, &"é".repeat(48), &text.replace('A', "-")]
        {
            assert_eq!(sealer.open_iterator(text, NOW), Err(invalid()), "{text}");
        }
    }

    proptest! {
        /// Goal: every position comes back, and one changed character makes it none.
        #[test]
        fn positions_round_trip(
            stream: u64, shard: u32, group: u64, offset: u64, nonce: u64, node: u128,
            now in 0u64..=crate::limits::WALL_US_MAX, at in 0..ITERATOR_CHARS, other in "[A-Za-z0-9+/]",
        ) {
            let (now, sealer) = (WallUs(now), Sealer::new(node));
            let position = Position {
                stream: StreamId(stream),
                shard: ShardNumber(shard),
                group: GroupId(group),
                offset: Offset(offset),
            };
            let text = sealer.iterator(&position, now, nonce);
            prop_assert_eq!(sealer.open_iterator(&text, now), Ok(position));
            let mut garbled = text.clone();
            garbled.replace_range(at..=at, &other);
            if garbled != text {
                prop_assert_eq!(sealer.open_iterator(&garbled, now), Err(invalid()));
            }
        }
    }
}
