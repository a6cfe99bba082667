//! MD5 of many short messages at a time, side by side.
//!
//! MD5 is a chain of 64 steps that each wait for the one before, so one message leaves most of a core idle: about 160 ns for
//! a partition key, as much as decoding a kilobyte of base64 takes. Sixteen at a time, one in each lane of the vectors, take
//! about 40 ns each. No intrinsics: each step is a loop over the lanes that the compiler turns into vector code, on any
//! machine.

use md5::{Digest, Md5};

/// Messages that are hashed side by side.
pub(super) const LANES: usize = 16;

/// Longest message that is one block of 64 bytes, with the mark of its end and its length behind it.
const ONE_BLOCK: usize = 55;

/// Fewer messages than this are hashed one by one.
const WORTH_IT: usize = 4;

const BLOCK_BYTES: usize = 64;
const BLOCK_WORDS: usize = 16;

type Lanes = [u32; LANES];

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The integer parts of 2^32 * abs(sin(i + 1)), from RFC 1321.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// The hash of one message as a big-endian number.
pub(super) fn one(message: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(message).into())
}

/// The hashes of up to [`LANES`] messages, in their order; what is behind them means nothing.
pub(super) fn each(messages: &[&[u8]]) -> [u128; LANES] {
    assert!(messages.len() <= LANES, "{} messages for {LANES} lanes", messages.len());
    let mut hashes = [0; LANES];
    if messages.len() >= WORTH_IT {
        let mut blocks = [[0; LANES]; BLOCK_WORDS];
        for (lane, message) in messages.iter().enumerate().filter(|(_, message)| message.len() <= ONE_BLOCK) {
            let words = block(message);
            for (word, lanes) in words.as_chunks().0.iter().zip(&mut blocks) {
                lanes[lane] = u32::from_le_bytes(*word);
            }
        }
        hashes = digests(&blocks);
    }
    for (message, hash) in messages.iter().zip(&mut hashes) {
        if message.len() > ONE_BLOCK || messages.len() < WORTH_IT {
            *hash = one(message);
        }
    }
    hashes
}

/// A message, the mark of its end, zeros, and its length in bits.
fn block(message: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..message.len()].copy_from_slice(message);
    block[message.len()] = 0x80;
    block[BLOCK_BYTES - 8..].copy_from_slice(&(message.len() as u64 * 8).to_le_bytes());
    block
}

/// The hashes of one block in each lane.
fn digests(blocks: &[Lanes; BLOCK_WORDS]) -> [u128; LANES] {
    let [mut a, mut b, mut c, mut d] = START.map(|word| [word; LANES]);
    macro_rules! round {
        ($round:literal, $word:expr, $w:literal $x:literal $y:literal $z:literal) => {
            for i in (0..16).step_by(4) {
                let block = |step: usize| &blocks[$word(i + step) % 16];
                let sine = |step: usize| SINES[$round * 16 + i + step];
                step::<$round, $w>(&mut a, [&b, &c, &d], block(0), sine(0));
                step::<$round, $x>(&mut d, [&a, &b, &c], block(1), sine(1));
                step::<$round, $y>(&mut c, [&d, &a, &b], block(2), sine(2));
                step::<$round, $z>(&mut b, [&c, &d, &a], block(3), sine(3));
            }
        };
    }
    round!(0, |i| i, 7 12 17 22);
    round!(1, |i| 5 * i + 1, 5 9 14 20);
    round!(2, |i| 3 * i + 5, 4 11 16 23);
    round!(3, |i| 7 * i, 6 10 15 21);
    std::array::from_fn(|lane| {
        let word = |lanes: &Lanes, start: u32| u128::from(lanes[lane].wrapping_add(start).swap_bytes());
        let [high, second, third, low] =
            [word(&a, START[0]), word(&b, START[1]), word(&c, START[2]), word(&d, START[3])];
        high << 96 | second << 64 | third << 32 | low
    })
}

/// One step in all lanes. Never inlined: on its own it is vectorised; with its neighbours around it the compiler takes the
/// lanes apart, and it takes four times as long.
#[inline(never)]
fn step<const ROUND: usize, const TURN: u32>(a: &mut Lanes, [b, c, d]: [&Lanes; 3], block: &Lanes, sine: u32) {
    for lane in 0..LANES {
        let (b, c, d) = (b[lane], c[lane], d[lane]);
        let mixed = match ROUND {
            0 => d ^ (b & (c ^ d)),
            1 => c ^ (d & (b ^ c)),
            2 => b ^ c ^ d,
            _ => c ^ (b | !d),
        };
        let sum = a[lane].wrapping_add(mixed).wrapping_add(sine).wrapping_add(block[lane]);
        a[lane] = b.wrapping_add(sum.rotate_left(TURN));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Goal: messages of every length, alone and in any company, have the hash of the well-known implementation.
    #[test]
    fn every_length() {
        let bytes: Vec<u8> = (0..200).map(|i| (i * 7) as u8).collect();
        let messages: Vec<&[u8]> = (0..=bytes.len()).map(|len| &bytes[..len]).collect();
        for count in 0..=LANES {
            for company in messages.windows(count.max(1)) {
                let hashes = each(&company[..count]);
                for (message, hash) in company[..count].iter().zip(hashes) {
                    assert_eq!(hash, one(message), "{} bytes in company of {count}", message.len());
                }
            }
        }
    }

    proptest! {
        /// Goal: the same for random messages.
        #[test]
        fn random_messages(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..70), LANES)) {
            let messages: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
            prop_assert_eq!(each(&messages).to_vec(), messages.iter().map(|message| one(message)).collect::<Vec<_>>());
        }
    }
}
