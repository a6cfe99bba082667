//! Sequence numbers in a row: each digit text from the one before it by an addition instead of a division.
//!
//! The numbers of a shard that arrived in one second differ in their index only, which begins at bit 80: the next number is
//! 2^80 more. Added in decimal, in pieces of 8 digits, that takes some nanoseconds; dividing 186 bits by powers of ten takes
//! more than a hundred.

use super::{PIECE, SEQUENCE_DIGITS, SequenceNumber, divide};

/// Digits in one piece.
const DIGITS: usize = 8;
const BASE: u32 = 100_000_000;
const PIECES: usize = SEQUENCE_DIGITS / DIGITS;

const _: () = assert!(PIECES * DIGITS == SEQUENCE_DIGITS);

/// 2^80 = 1_20892581_96146291_74706176, the least significant piece first.
const STEP: [u32; 4] = [74_706_176, 96_146_291, 20_892_581, 1];

/// The 56 digits of a sequence number, ready to go to the next one.
#[derive(Clone, Debug)]
pub struct SequenceDigits {
    number: SequenceNumber,
    /// The number in base 10^8, the least significant piece first. Always that of `number`, and so is `text`.
    pieces: [u32; PIECES],
    text: [u8; SEQUENCE_DIGITS],
}

impl SequenceDigits {
    /// The digits of `number`.
    #[must_use]
    pub fn new(number: SequenceNumber) -> Self {
        let mut digits = Self { number, pieces: [0; PIECES], text: [0; SEQUENCE_DIGITS] };
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

    /// The digits, ASCII.
    #[must_use]
    pub const fn text(&self) -> &[u8; SEQUENCE_DIGITS] {
        &self.text
    }

    fn set(&mut self, number: SequenceNumber) {
        self.number = number;
        let mut limbs = number.limbs();
        let [low, middle, high] = [(); 3].map(|()| divide(&mut limbs, PIECE));
        let cut = |n: u64, from: u32, digits: u32| n / 10_u64.pow(from) % 10_u64.pow(digits);
        // From 18, 19 and 19 digits to seven times 8.
        let pieces = [
            cut(low, 0, 8),
            cut(low, 8, 8),
            cut(low, 16, 3) + cut(middle, 0, 5) * 1_000,
            cut(middle, 5, 8),
            cut(middle, 13, 6) + cut(high, 0, 2) * 1_000_000,
            cut(high, 2, 8),
            cut(high, 10, 8),
        ];
        self.pieces = pieces.map(|piece| piece as u32);
        for piece in 0..PIECES {
            self.write(piece);
        }
    }

    #[inline]
    fn step(&mut self) {
        let mut carry = 0;
        for (piece, step) in STEP.into_iter().enumerate() {
            carry = self.add(piece, step + carry);
        }
        for piece in STEP.len()..PIECES {
            if carry == 0 {
                break;
            }
            carry = self.add(piece, carry);
        }
        assert_eq!(carry, 0, "a sequence number is below 10^56");
    }

    /// Adds to a piece and says what is carried to the next one.
    #[inline]
    fn add(&mut self, piece: usize, n: u32) -> u32 {
        let sum = self.pieces[piece] + n;
        let (sum, carry) = if sum >= BASE { (sum - BASE, 1) } else { (sum, 0) };
        self.pieces[piece] = sum;
        self.write(piece);
        carry
    }

    #[inline]
    fn write(&mut self, piece: usize) {
        let end = SEQUENCE_DIGITS - piece * DIGITS;
        self.text[end - DIGITS..end].copy_from_slice(&eight_digits(self.pieces[piece]));
    }
}

/// A number below 10^8 as text, with leading zeros. Halves it thrice, all parts side by side in one register.
#[inline]
fn eight_digits(n: u32) -> [u8; DIGITS] {
    // Two lanes of 32 bits below 10^4; 10486 / 2^20 is 1/100, exact there.
    let fours = u64::from(n / 10_000) | u64::from(n % 10_000) << 32;
    let hundreds = (fours * 10_486 >> 20) & 0x0000_007f_0000_007f;
    // Four lanes of 16 bits below 100; 103 / 2^10 is 1/10, exact there.
    let twos = hundreds | (fours - hundreds * 100) << 16;
    let tens = (twos * 103 >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | (twos - tens * 10) << 8;
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Offset, ShardNumber, WallUs};

    fn text(digits: &SequenceDigits) -> &str {
        std::str::from_utf8(digits.text()).unwrap()
    }

    /// Goal: all numbers of four digits, in both halves, come out as they are printed.
    #[test]
    fn eight_digits_are_exact() {
        for n in 0..10_000 {
            for n in [n, n * 10_000, n * 10_000 + n] {
                assert_eq!(std::str::from_utf8(&eight_digits(n)).unwrap(), format!("{n:08}"));
            }
        }
        assert_eq!(&eight_digits(BASE - 1), b"99999999");
    }

    /// Goal: the step is two to the power of eighty.
    #[test]
    fn the_step_is_one_index() {
        let step = STEP.iter().rev().fold(0_u128, |sum, piece| sum * u128::from(BASE) + u128::from(*piece));
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
