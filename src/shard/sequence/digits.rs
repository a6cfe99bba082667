//! Sequence numbers in a row: the digits of each from those of the one before it by an addition instead of a division.
//!
//! The numbers of a shard that arrived in one second differ in their index only, which begins at bit 80: the next number is
//! 2^80 more. Added in decimal, eight digits at a time, that takes some nanoseconds; dividing 186 bits by powers of ten takes
//! more than a hundred.

use super::{PIECE, SEQUENCE_DIGITS, SequenceNumber, divide};

/// Digits in one word: each in a byte of its own, the last digit in the lowest byte.
const DIGITS: usize = 8;
const WORDS: usize = SEQUENCE_DIGITS / DIGITS;

const _: () = assert!(WORDS * DIGITS == SEQUENCE_DIGITS);

/// 2^80 = 1_20892581_96146291_74706176, the least significant word first.
const STEP: [u64; WORDS] = [decimal(74_706_176), decimal(96_146_291), decimal(20_892_581), 1, 0, 0, 0];

/// The same byte eight times.
const fn bytes(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; DIGITS])
}

/// A sequence number in decimal, ready to be written and to go to the next one.
#[derive(Clone, Debug)]
pub struct SequenceDigits {
    number: SequenceNumber,
    /// The digits of `number`, always; the least significant word first.
    words: [u64; WORDS],
}

impl SequenceDigits {
    /// The digits of `number`.
    #[must_use]
    pub fn new(number: SequenceNumber) -> Self {
        let mut digits = Self { number, words: [0; WORDS] };
        digits.set(number);
        digits
    }

    /// Goes on to `number`: quickly if it is the next one of the shard within the same second, in any case correctly.
    #[inline]
    pub fn go_to(&mut self, number: SequenceNumber) {
        let next = SequenceNumber { index: self.number.index + 1, ..self.number };
        if number == next {
            self.number = number;
            self.step();
        } else if number != self.number {
            self.set(number);
        }
    }

    /// The number whose digits these are.
    #[must_use]
    pub const fn number(&self) -> SequenceNumber {
        self.number
    }

    /// Appends the 56 digits, as [`SequenceNumber`] displays them.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; SEQUENCE_DIGITS]);
        for (place, word) in out[at..].as_chunks_mut().0.iter_mut().zip(self.words.iter().rev()) {
            *place = (word | bytes(b'0')).to_be_bytes();
        }
    }

    fn set(&mut self, number: SequenceNumber) {
        self.number = number;
        let mut limbs = number.limbs();
        let [low, middle, high] = [(); 3].map(|()| divide(&mut limbs, PIECE));
        let cut = |n: u64, from: u32, digits: u32| n / 10_u64.pow(from) % 10_u64.pow(digits);
        // From 18, 19 and 19 digits to seven times 8.
        let words = [
            cut(low, 0, 8),
            cut(low, 8, 8),
            cut(low, 16, 3) + cut(middle, 0, 5) * 1_000,
            cut(middle, 5, 8),
            cut(middle, 13, 6) + cut(high, 0, 2) * 1_000_000,
            cut(high, 2, 8),
            cut(high, 10, 8),
        ];
        self.words = words.map(|word| decimal(word as u32));
    }

    /// Adds 2^80, eight digits at a time. With 0xf6 on top of it, a byte runs over exactly if its digits add up to ten or
    /// more: it carries one to its neighbour and has the right digit left. The others have 0xf6 too much.
    #[inline]
    fn step(&mut self) {
        let mut carry = false;
        for (word, step) in self.words.iter_mut().zip(STEP) {
            let (sum, over) = word.carrying_add(step + bytes(0xf6), carry);
            carry = over;
            *word = sum - (sum >> 7 & bytes(1)) * 0xf6;
        }
        debug_assert!(!carry, "a sequence number is below 10^56");
    }
}

/// The digits of a number below 10^8. Halves it thrice, all parts side by side in one register.
const fn decimal(n: u32) -> u64 {
    // Two lanes of 32 bits below 10^4; 10486 / 2^20 is 1/100, exact there.
    let fours = (n / 10_000) as u64 | ((n % 10_000) as u64) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    // Four lanes of 16 bits below 100; 103 / 2^10 is 1/10, exact there.
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (twos - tens * 10) << 8).swap_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Offset, ShardNumber, WallUs};

    fn text(digits: &SequenceDigits) -> String {
        let mut out = Vec::new();
        digits.append_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn value(word: u64) -> u128 {
        word.to_be_bytes().iter().fold(0, |sum, digit| sum * 10 + u128::from(*digit))
    }

    /// Goal: all numbers of four digits, in both halves, come out as they are printed.
    #[test]
    fn eight_digits_are_exact() {
        for n in 0..10_000 {
            for n in [n, n * 10_000, n * 10_000 + n] {
                let text = (decimal(n) | bytes(b'0')).to_be_bytes();
                assert_eq!(std::str::from_utf8(&text).unwrap(), format!("{n:08}"));
            }
        }
        assert_eq!(value(decimal(99_999_999)), 99_999_999);
    }

    /// Goal: the step is two to the power of eighty.
    #[test]
    fn the_step_is_one_index() {
        let step = STEP.iter().rev().fold(0_u128, |sum, word| sum * 100_000_000 + value(*word));
        assert_eq!(step, 1 << 80);
    }

    /// Goal: carries run through all pieces that can carry.
    #[test]
    fn a_long_row_stays_right() {
        let (created, arrival) = (WallUs(1_700_000_000_000_000), WallUs(1_700_000_123_456_789));
        let number = |offset| SequenceNumber::of(created, ShardNumber(7), Offset(offset), arrival);
        let mut digits = SequenceDigits::new(number(0));
        for offset in 0..20_000 {
            digits.go_to(number(offset));
            assert_eq!(text(&digits), number(offset).to_string());
        }
    }

    proptest! {
        /// Goal: the digits are those of the number, wherever one starts and wherever one goes.
        #[test]
        fn digits_are_those_of_the_number(
            created in 0..20_000_000_000_u64,
            arrival in 0..20_000_000_000_u64,
            shard: u32,
            start in 0..u64::from(u32::MAX) << 30,
            moves in proptest::collection::vec((0..4_u64, 0..2_u64), 1..50),
        ) {
            let (created, mut arrival) = (WallUs(created * 1_000_000), WallUs(arrival * 1_000_000));
            let mut offset = Offset(start);
            let number = |offset, arrival| SequenceNumber::of(created, ShardNumber(shard), offset, arrival);
            let mut digits = SequenceDigits::new(number(offset, arrival));
            prop_assert_eq!(text(&digits), number(offset, arrival).to_string());
            for (records, us) in moves {
                (offset, arrival) = (offset.plus(records), arrival.plus(us * 600_000));
                digits.go_to(number(offset, arrival));
                prop_assert_eq!(digits.number(), number(offset, arrival));
                prop_assert_eq!(text(&digits), number(offset, arrival).to_string());
            }
        }
    }
}
