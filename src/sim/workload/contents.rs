//! What a workload puts: records whose every byte follows from the put's number, so that a reader can tell which put it
//! has in hand and whether any byte of it is wrong.

use std::rc::Rc;

use crate::format::record;
use crate::sim::prng::Prng;

/// Bytes at the start of each record's data: the put's number and the record's number in it.
const MARK_BYTES: usize = 12;

/// Smallest data of a record.
pub const DATA_BYTES_MIN: u32 = MARK_BYTES as u32;

/// Bytes that records are cut from. Prime, so that pieces do not fall into step with blocks.
const PATTERN_BYTES: usize = 65_521;

/// A put of a workload.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Its number, never used twice in a run.
    pub id: u64,
    /// Bytes of data of each record.
    pub sizes: Rc<[u32]>,
}

/// Makes and checks contents.
#[derive(Debug)]
pub struct Pattern(Vec<u8>);

impl Default for Pattern {
    fn default() -> Self {
        let mut prng = Prng::new(0, "pattern", 0);
        Self((0..PATTERN_BYTES.div_ceil(8)).flat_map(|_| prng.next().to_le_bytes()).take(PATTERN_BYTES).collect())
    }
}

impl Contents {
    /// Records in it.
    #[must_use]
    pub fn records(&self) -> u32 {
        u32::try_from(self.sizes.len()).expect("a put has few records")
    }

    /// The key of record `n`.
    #[must_use]
    pub fn key(&self, n: u32) -> String {
        format!("key-{}", (self.id + u64::from(n)) % 10)
    }
}

impl Pattern {
    /// The put's body.
    #[must_use]
    pub fn body(&self, contents: &Contents) -> Vec<u8> {
        let mut body = Vec::new();
        for n in 0..contents.records() {
            record::encode(&contents.key(n), &self.data(contents, n), &mut body);
        }
        body
    }

    /// The data of record `n`.
    #[must_use]
    pub fn data(&self, contents: &Contents, n: u32) -> Vec<u8> {
        let len = contents.sizes[n as usize] as usize;
        let mut data = Vec::with_capacity(len);
        data.extend_from_slice(&contents.id.to_le_bytes());
        data.extend_from_slice(&n.to_le_bytes());
        let mut at = (contents.id as usize * 7_919 + n as usize * 104_729) % PATTERN_BYTES;
        while data.len() < len {
            let take = (len - data.len()).min(PATTERN_BYTES - at);
            data.extend_from_slice(&self.0[at..at + take]);
            at = 0;
        }
        data
    }
}

/// Which put, and which record of it, some data claims to be.
#[must_use]
pub fn mark(data: &[u8]) -> Option<(u64, u32)> {
    let (id, rest) = data.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*id), u32::from_le_bytes(*rest.first_chunk::<4>()?)))
}
