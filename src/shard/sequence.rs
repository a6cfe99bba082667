//! Sequence numbers as Kinesis clients see them: 56 decimal digits in the "version 2" layout of the real service.
//!
//! ```text
//! 47 hexadecimal digits, from the most significant one:
//! 2 | second the shard was created, 9 | low digit of the shard number, 1 | index, 16 | 00 | second of arrival, 9
//!   | shard number, 8 | 2
//! ```
//! - The index is the record's offset plus one: index 0 is the start of the shard, which is no record. A reader that
//!   starts *after* the shard's starting sequence number gets its first record.
//! - Within a shard the numbers grow with the offset whatever the clock does, because the index stands before the time.
//! - A child is created in a later second than its parents, so its numbers are larger than all of theirs.
//! - The first digit being 2 makes every number 56 decimal digits long, so comparing texts compares numbers.
//! - All is in the number: no table is needed to get from one to (shard, offset).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::types::{Offset, ShardNumber, WallUs};

mod digits;

pub use digits::SequenceDigits;

/// Decimal digits of every sequence number.
pub const SEQUENCE_DIGITS: usize = 56;

/// Largest index: the mark of the end of a closed shard.
const INDEX_END: u64 = i64::MAX as u64;

/// The real service refuses numbers with seconds from here on (in the year 2477), as out of range.
const SECONDS_END: u64 = 16_025_175_000;

/// Largest power of ten in a `u64`: texts are converted in pieces of 19 digits.
const PIECE_DIGITS: usize = 19;
const PIECE: u64 = 10_u64.pow(PIECE_DIGITS as u32);

/// A place in a shard: its start, a record, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceNumber {
    created_s: u64,
    index: u64,
    arrival_s: u64,
    shard: ShardNumber,
}

/// Why a text is no sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SequenceError {
    /// Not 56 decimal digits.
    #[error("a sequence number has {SEQUENCE_DIGITS} decimal digits")]
    Digits,
    /// The first or the last hexadecimal digit is not 2, or the byte between index and time is not 0.
    #[error("not a sequence number of version 2")]
    Version,
    /// The low digit of the shard number is not that of the shard number.
    #[error("the sequence number contradicts itself about its shard")]
    Shard,
    /// The index has its top bit set.
    #[error("the index of the sequence number is out of range")]
    Index,
    /// A time is beyond the year 2477.
    #[error("a time in the sequence number is out of range")]
    Time,
}

impl SequenceNumber {
    /// The number of a record.
    ///
    /// Times beyond the year 2477 are shown as its last second. Panics at an offset of 2^63: at a billion records a
    /// second that takes 292 years.
    #[must_use]
    pub fn of(created: WallUs, shard: ShardNumber, offset: Offset, arrival: WallUs) -> Self {
        let index = offset.plus(1).0;
        assert!(index < INDEX_END, "offset {offset} has no sequence number");
        Self { created_s: seconds(created), index, arrival_s: seconds(arrival), shard }
    }

    /// The number a shard starts with; smaller than those of all its records.
    #[must_use]
    pub fn start(created: WallUs, shard: ShardNumber) -> Self {
        Self { created_s: seconds(created), index: 0, arrival_s: seconds(created), shard }
    }

    /// The number a closed shard ends with; larger than those of all its records.
    #[must_use]
    pub fn end(created: WallUs, shard: ShardNumber, closed: WallUs) -> Self {
        Self { created_s: seconds(created), index: INDEX_END, arrival_s: seconds(closed), shard }
    }

    /// The shard's number.
    #[must_use]
    pub const fn shard(self) -> ShardNumber {
        self.shard
    }

    /// The second in which the shard was created, since the Unix epoch.
    #[must_use]
    pub const fn created_s(self) -> u64 {
        self.created_s
    }

    /// The second in which the record arrived, since the Unix epoch.
    #[must_use]
    pub const fn arrival_s(self) -> u64 {
        self.arrival_s
    }

    /// The record's offset; `None` for the start and the end of a shard.
    #[must_use]
    pub const fn offset(self) -> Option<Offset> {
        match self.index {
            0 | INDEX_END => None,
            index => Some(Offset(index - 1)),
        }
    }

    /// True for the number a closed shard ends with.
    #[must_use]
    pub const fn is_end(self) -> bool {
        self.index == INDEX_END
    }

    /// The offset of a reader that starts *at* this number: that of the record, and the first for the shard's start.
    #[must_use]
    pub const fn at(self) -> Offset {
        Offset(self.index.saturating_sub(1))
    }

    /// The offset of a reader that starts *after* this number.
    #[must_use]
    pub const fn after(self) -> Offset {
        Offset(self.index)
    }

    /// True if the number is one of the shard with this number that was created then.
    #[must_use]
    pub fn is_of(self, created: WallUs, shard: ShardNumber) -> bool {
        self.created_s == seconds(created) && self.shard == shard
    }

    /// The number as three limbs of 64 bits, least significant first: 186 bits.
    fn limbs(self) -> [u64; 3] {
        let low_digit = u64::from(self.shard.0 & 0xf);
        // Digits from the right: 1 + 8 + 9 + 2 = 20 below the index, which is 16 wide.
        let tail = 2 | u128::from(self.shard.0) << 4 | u128::from(self.arrival_s) << 36;
        let low = tail | u128::from(self.index) << 80;
        // The index spans bits 80 to 144, of which 48 fit below bit 128. Then 1 + 9 digits and the leading 2.
        let high = self.index >> 48 | low_digit << 16 | self.created_s << 20 | 2 << 56;
        [low as u64, (low >> 64) as u64, high]
    }

    fn from_limbs([low, middle, high]: [u64; 3]) -> Result<Self, SequenceError> {
        if high >> 56 != 2 || low & 0xf != 2 || (middle >> 8) & 0xff != 0 {
            return Err(SequenceError::Version);
        }
        let tail = u128::from(low) | u128::from(middle) << 64;
        let (shard, low_digit) = ((tail >> 4) as u32, high >> 16 & 0xf);
        if u64::from(shard & 0xf) != low_digit {
            return Err(SequenceError::Shard);
        }
        let index = (middle >> 16) | (high & 0xffff) << 48;
        if index > INDEX_END {
            return Err(SequenceError::Index);
        }
        let nine_digits = (1 << 36) - 1;
        let (created_s, arrival_s) = (high >> 20 & nine_digits, (tail >> 36) as u64 & nine_digits);
        if created_s >= SECONDS_END || arrival_s >= SECONDS_END {
            return Err(SequenceError::Time);
        }
        Ok(Self { created_s, index, arrival_s, shard: ShardNumber(shard) })
    }
}

fn seconds(time: WallUs) -> u64 {
    (time.0 / 1_000_000).min(SECONDS_END - 1)
}

impl Ord for SequenceNumber {
    /// The order of the numbers.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |n: &Self| (n.created_s, n.shard.0 & 0xf, n.index, n.arrival_s, n.shard);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        // 186 bits leave two pieces of 19 digits and one of 18.
        let pieces = [(); 3].map(|()| divide(&mut limbs, PIECE));
        assert_eq!(limbs, [0; 3], "a sequence number is below 10^57");
        write!(f, "{}{:019}{:019}", pieces[2], pieces[1], pieces[0])
    }
}

impl FromStr for SequenceNumber {
    type Err = SequenceError;

    fn from_str(text: &str) -> Result<Self, SequenceError> {
        if text.len() != SEQUENCE_DIGITS || !text.bytes().all(|c| c.is_ascii_digit()) {
            return Err(SequenceError::Digits);
        }
        let mut limbs = [0; 3];
        let (first, rest) = text.split_at(SEQUENCE_DIGITS - 2 * PIECE_DIGITS);
        let (second, third) = rest.split_at(PIECE_DIGITS);
        for piece in [first, second, third] {
            multiply_add(&mut limbs, PIECE, piece.parse().expect("19 decimal digits fit 64 bits"));
        }
        Self::from_limbs(limbs)
    }
}

/// Divides a number by `by` and returns the remainder.
fn divide(limbs: &mut [u64; 3], by: u64) -> u64 {
    let mut rest = 0_u128;
    for limb in limbs.iter_mut().rev() {
        let part = rest << 64 | u128::from(*limb);
        *limb = (part / u128::from(by)) as u64;
        rest = part % u128::from(by);
    }
    rest as u64
}

/// Multiplies a number by `by` and adds `add`. The result must stay below 2^192, as 56 decimal digits do.
fn multiply_add(limbs: &mut [u64; 3], by: u64, add: u64) {
    let mut carry = u128::from(add);
    for limb in limbs.iter_mut() {
        let part = u128::from(*limb) * u128::from(by) + carry;
        *limb = part as u64;
        carry = part >> 64;
    }
    assert_eq!(carry, 0, "56 decimal digits need 186 bits");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A number that the real service handed out, and its hexadecimal digits, field by field:
    /// `2 06b03968c 0 0000000000000001 00 06b03968d 00000000 2`.
    const REAL: &str = "49680476456914844056497598001272619744059254248218558466";

    fn wall(seconds: u64) -> WallUs {
        WallUs(seconds * 1_000_000 + 999_999)
    }

    /// Goal: the layout is that of the real service, bit by bit.
    #[test]
    fn the_documented_example() {
        let number = SequenceNumber::of(wall(0x6b03968c), ShardNumber(0), Offset(0), wall(0x6b03968d));
        assert_eq!(number.to_string(), REAL);
        let parsed: SequenceNumber = REAL.parse().unwrap();
        assert_eq!(parsed, number);
        assert_eq!(parsed.offset(), Some(Offset(0)));
        assert_eq!((parsed.created_s(), parsed.arrival_s()), (0x6b03968c, 0x6b03968d));
        assert!(parsed.is_of(wall(0x6b03968c), ShardNumber(0)));
        assert!(!parsed.is_of(wall(0x6b03968c), ShardNumber(16)));
    }

    /// Goal: every field sits in the digits that the module's drawing gives it.
    #[test]
    fn fields_sit_where_drawn() {
        let number = SequenceNumber {
            created_s: 0x1_2345_6789,
            index: 0x7edc_ba98_7654_3210,
            arrival_s: 0x3_1415_9265,
            shard: ShardNumber(0xdead_beef),
        };
        let [low, middle, high] = number.limbs();
        assert_eq!(
            format!("{high:x}{middle:016x}{low:016x}"),
            "2123456789f7edcba98765432100031415 9265deadbeef2".replace(' ', "")
        );
    }

    /// Goal: start and end of a shard enclose its records, and readers start where they should.
    #[test]
    fn start_and_end_enclose_the_records() {
        let (created, shard) = (wall(1_700_000_000), ShardNumber(3));
        let start = SequenceNumber::start(created, shard);
        let first = SequenceNumber::of(created, shard, Offset(0), created);
        let end = SequenceNumber::end(created, shard, wall(1_700_000_000));
        assert!(start < first);
        assert!(first < end);
        assert_eq!((start.offset(), end.offset()), (None, None));
        assert_eq!((start.at(), start.after()), (Offset(0), Offset(0)));
        assert_eq!((first.at(), first.after()), (Offset(0), Offset(1)));
        assert!(end.is_end());
        assert!(!first.is_end());
        for number in [start, first, end] {
            assert_eq!(number.to_string().parse(), Ok(number));
        }
    }

    /// Goal: the order of a shard holds when the clock goes back, and a child's numbers follow its parent's.
    #[test]
    fn order_does_not_depend_on_arrival() {
        let shard = ShardNumber(1);
        let early = SequenceNumber::of(wall(100), shard, Offset(5), wall(900));
        let late = SequenceNumber::of(wall(100), shard, Offset(6), wall(200));
        let child = SequenceNumber::of(wall(901), ShardNumber(2), Offset(0), wall(901));
        assert!(early < late);
        assert!(SequenceNumber::end(wall(100), shard, wall(900)) < child);
    }

    /// Goal: what is not a sequence number is refused with the right reason, and never a panic.
    #[test]
    fn bad_texts_are_refused() {
        let parse = |text: &str| text.parse::<SequenceNumber>().unwrap_err();
        for text in
            ["", "0", "+9680476456914844056497598001272619744059254248218558466", &REAL[1..], &format!("0{REAL}")]
        {
            assert_eq!(parse(text), SequenceError::Digits, "{text}");
        }
        assert_eq!(parse(&"9".repeat(56)), SequenceError::Version);
        assert_eq!(parse(&"0".repeat(56)), SequenceError::Version);
        let decimal = |mut limbs: [u64; 3]| {
            let pieces = [(); 3].map(|()| divide(&mut limbs, PIECE));
            format!("{}{:019}{:019}", pieces[2], pieces[1], pieces[0])
        };
        let [low, middle, high] = REAL.parse::<SequenceNumber>().unwrap().limbs();
        assert_eq!(parse(&decimal([low + 1, middle, high])), SequenceError::Version);
        assert_eq!(parse(&decimal([low, middle | 1 << 8, high])), SequenceError::Version);
        assert_eq!(parse(&decimal([low, middle, high | 1 << 16])), SequenceError::Shard);
        assert_eq!(parse(&decimal([low, middle, high | 0x8000])), SequenceError::Index);
        assert_eq!(parse(&decimal([low, middle, high | 0xf << 52])), SequenceError::Time);
        for cut in 0..REAL.len() {
            assert!(REAL[..cut].parse::<SequenceNumber>().is_err());
        }
    }

    fn numbers() -> impl Strategy<Value = SequenceNumber> {
        // Narrow ranges beside the full ones, so that ties in the leading fields happen.
        let seconds = || prop_oneof![0..SECONDS_END, 0..3_u64];
        let index = prop_oneof![0..=INDEX_END, 0..3_u64];
        (seconds(), index, seconds(), prop_oneof![any::<u32>(), 0..40_u32]).prop_map(
            |(created_s, index, arrival_s, shard)| SequenceNumber {
                created_s,
                index,
                arrival_s,
                shard: ShardNumber(shard),
            },
        )
    }

    proptest! {
        /// Goal: every number comes back from its 56 digits, and the order of numbers is the order of their texts.
        #[test]
        fn texts_round_trip_and_keep_the_order(a in numbers(), b in numbers()) {
            let (text_a, text_b) = (a.to_string(), b.to_string());
            prop_assert_eq!(text_a.len(), SEQUENCE_DIGITS);
            prop_assert_eq!(text_a.parse(), Ok(a));
            prop_assert_eq!(text_a.cmp(&text_b), a.cmp(&b));
        }
    }
}
