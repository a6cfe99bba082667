//! Tokens of the next page: what `ListShards`, `ListStreamConsumers` and `ListStreams` hand out as `NextToken`.
//!
//! ```text
//! +---+----+------------+-------------------+---------+
//! | 2 |kind| issued (6) | what the page is  | seal 16 |   in base64
//! +---+----+------------+-------------------+---------+
//! ```
//!
//! Big-endian. `issued` are milliseconds since the epoch; names go to the end of their field, which is the last.

use super::error::{Code, Error};
use super::seal::{self, Age, Sealer};
use crate::types::{ShardNumber, StreamId, WallUs};

/// Begins every content. Shard iterators begin with 0.
const VERSION: u8 = 2;

/// Bytes before what the page is.
const HEAD_BYTES: usize = 8;

/// Longest token that is looked at, in characters. Ours have names of 128 bytes at most.
const TOKEN_CHARS_MAX: usize = 512;

/// Where a listing goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// `ListShards`.
    Shards {
        /// Whose shards.
        stream: StreamId,
        /// The last shard of the page before.
        after: ShardNumber,
        /// Which shards are listed.
        filter: Option<Filter>,
    },
    /// `ListStreamConsumers`.
    Consumers {
        /// Whose consumers.
        stream: StreamId,
        /// The last consumer of the page before.
        after: String,
    },
    /// `ListStreams`.
    Streams {
        /// The last stream of the page before.
        after: String,
    },
}

/// A `ShardFilter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Shards with a greater number.
    AfterShardId(ShardNumber),
    /// Shards that were open at the trim horizon.
    AtTrimHorizon,
    /// Shards that hold records.
    FromTrimHorizon,
    /// Shards that are open.
    AtLatest,
    /// Shards that were open at this moment, in milliseconds since the epoch.
    AtTimestamp(u64),
    /// Shards that were open at this moment or later, in milliseconds since the epoch.
    FromTimestamp(u64),
}

impl Filter {
    const fn code(self) -> (u8, u64) {
        match self {
            Self::AfterShardId(shard) => (1, shard.0 as u64),
            Self::AtTrimHorizon => (2, 0),
            Self::FromTrimHorizon => (3, 0),
            Self::AtLatest => (4, 0),
            Self::AtTimestamp(ms) => (5, ms),
            Self::FromTimestamp(ms) => (6, ms),
        }
    }

    fn from_code(code: u8, value: u64) -> Option<Self> {
        match code {
            1 => u32::try_from(value).ok().map(|number| Self::AfterShardId(ShardNumber(number))),
            2 => Some(Self::AtTrimHorizon),
            3 => Some(Self::FromTrimHorizon),
            4 => Some(Self::AtLatest),
            5 => Some(Self::AtTimestamp(value)),
            6 => Some(Self::FromTimestamp(value)),
            _ => None,
        }
    }
}

impl Page {
    const fn kind(&self) -> u8 {
        match self {
            Self::Shards { .. } => 1,
            Self::Consumers { .. } => 2,
            Self::Streams { .. } => 3,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Shards { stream, after, filter } => {
                let (code, value) = filter.map_or((0, 0), Filter::code);
                out.extend_from_slice(&stream.0.to_be_bytes());
                out.extend_from_slice(&after.0.to_be_bytes());
                out.push(code);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::Consumers { stream, after } => {
                out.extend_from_slice(&stream.0.to_be_bytes());
                out.extend_from_slice(after.as_bytes());
            }
            Self::Streams { after } => out.extend_from_slice(after.as_bytes()),
        }
    }

    fn read(kind: u8, fields: &[u8]) -> Option<Self> {
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        match kind {
            1 => {
                let (stream, rest) = fields.split_first_chunk()?;
                let (after, rest) = rest.split_first_chunk()?;
                let ([code], rest) = rest.split_first_chunk()?;
                let value = u64::from_be_bytes(rest.try_into().ok()?);
                let filter = if *code == 0 { None } else { Some(Filter::from_code(*code, value)?) };
                let (stream, after) = (u64::from_be_bytes(*stream), u32::from_be_bytes(*after));
                Some(Self::Shards { stream: StreamId(stream), after: ShardNumber(after), filter })
            }
            2 => {
                let (stream, rest) = fields.split_first_chunk()?;
                Some(Self::Consumers { stream: StreamId(u64::from_be_bytes(*stream)), after: name(rest)? })
            }
            3 => Some(Self::Streams { after: name(fields)? }),
            _ => None,
        }
    }
}

impl Sealer {
    /// The token for `page`.
    #[must_use]
    pub fn page(&self, page: &Page, now: WallUs) -> String {
        let mut token = now.millis().to_be_bytes().to_vec();
        token[0] = VERSION;
        token[1] = page.kind();
        page.write(&mut token);
        let seal = self.seal(&token);
        token.extend_from_slice(&seal);
        base64_simd::STANDARD.encode_to_string(token)
    }

    /// The page of a token.
    ///
    /// `InvalidArgumentException` for what we did not issue, `ExpiredNextTokenException` for what we issued too long ago. The
    /// caller checks that the page is of its listing.
    pub fn open_page(&self, text: &str, now: WallUs) -> Result<Page, Error> {
        let invalid = || Error::new(Code::InvalidArgumentException, "Invalid NextToken.");
        if text.len() > TOKEN_CHARS_MAX {
            return Err(invalid());
        }
        let token = base64_simd::STANDARD.decode_to_vec(text.as_bytes()).map_err(|_| invalid())?;
        let content = self.open(&token).ok_or_else(invalid)?;
        let (head, fields) = content.split_first_chunk::<HEAD_BYTES>().ok_or_else(invalid)?;
        let [version, kind, issued @ ..] = head;
        if *version != VERSION {
            return Err(invalid());
        }
        let issued_ms = issued.iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte));
        match seal::age(issued_ms, now) {
            Age::Future => return Err(invalid()),
            Age::Expired => {
                let message = "The pagination token passed to the operation is expired.";
                return Err(Error::new(Code::ExpiredNextTokenException, message));
            }
            Age::Valid => {}
        }
        Page::read(*kind, fields).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: WallUs = WallUs(1_795_780_522_345_678);

    fn pages() -> impl Strategy<Value = Page> {
        let filter = prop_oneof![
            Just(None),
            any::<u32>().prop_map(|number| Some(Filter::AfterShardId(ShardNumber(number)))),
            Just(Some(Filter::AtTrimHorizon)),
            Just(Some(Filter::FromTrimHorizon)),
            Just(Some(Filter::AtLatest)),
            any::<u64>().prop_map(|ms| Some(Filter::AtTimestamp(ms))),
            any::<u64>().prop_map(|ms| Some(Filter::FromTimestamp(ms))),
        ];
        let name = "[a-zA-Z0-9_.-]{1,128}";
        prop_oneof![
            (any::<u64>(), any::<u32>(), filter).prop_map(|(stream, after, filter)| Page::Shards {
                stream: StreamId(stream),
                after: ShardNumber(after),
                filter
            }),
            (any::<u64>(), name).prop_map(|(stream, after)| Page::Consumers { stream: StreamId(stream), after }),
            name.prop_map(|after| Page::Streams { after }),
        ]
    }

    proptest! {
        /// Goal: every page comes back until its token has expired, from this node's sealer alone, and fits the model.
        #[test]
        fn pages_round_trip(page in pages(), node: u128) {
            let sealer = Sealer::new(node);
            let text = sealer.page(&page, NOW);
            prop_assert!(text.len() <= TOKEN_CHARS_MAX);
            let at = |ms: i64| WallUs(NOW.0.saturating_add_signed(ms * 1_000));
            prop_assert_eq!(sealer.open_page(&text, at(300_000)), Ok(page));
            let code = |result: Result<Page, Error>| result.map_err(|error| error.code);
            prop_assert_eq!(code(sealer.open_page(&text, at(300_001))), Err(Code::ExpiredNextTokenException));
            prop_assert_eq!(code(sealer.open_page(&text, at(-5_001))), Err(Code::InvalidArgumentException));
            prop_assert_eq!(code(Sealer::new(!node).open_page(&text, NOW)), Err(Code::InvalidArgumentException));
        }

        /// Goal: no text is taken for a token, nor does it panic.
        #[test]
        fn other_texts_are_refused(text in "[A-Za-z0-9+/=\"é]{0,100}") {
            prop_assert!(Sealer::new(1).open_page(&text, NOW).is_err());
        }
    }

    /// Goal: iterators and page tokens are never taken for each other.
    #[test]
    fn kinds_do_not_mix() {
        let sealer = Sealer::new(1);
        let position = crate::kinesis::iterator::Position {
            stream: StreamId(1),
            shard: ShardNumber(0),
            group: crate::types::GroupId(2),
            offset: crate::types::Offset(0),
        };
        assert!(sealer.open_page(&sealer.iterator(&position, NOW, 1), NOW).is_err());
        let page = Page::Streams { after: "x".repeat(48) };
        assert_eq!(sealer.page(&page, NOW).len(), crate::kinesis::iterator::ITERATOR_CHARS);
        assert!(sealer.open_iterator(&sealer.page(&page, NOW), NOW).is_err());
    }
}
