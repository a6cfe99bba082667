//! The shard of each key, looked up once per key: routing is the same for every record of a key, until its shard is split or
//! merged.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use millstream::client::ShardMap;
use millstream::types::HashKey;

/// Numbers of open shards, in the order of [`ShardMap::open`], by key.
#[derive(Debug)]
pub(super) struct Lanes {
    map: Rc<ShardMap>,
    by_key: RefCell<Vec<Option<u32>>>,
    /// The numbers of shards that keys are known to go to now.
    learned: RefCell<BTreeMap<u32, u32>>,
}

impl Lanes {
    pub(super) fn new(map: ShardMap) -> Self {
        Self { map: Rc::new(map), by_key: RefCell::default(), learned: RefCell::default() }
    }

    pub(super) fn map(&self) -> &ShardMap {
        &self.map
    }

    /// The shard of a key with this number.
    pub(super) fn of(&self, number: u32, key: &str) -> usize {
        let mut by_key = self.by_key.borrow_mut();
        let at = number as usize;
        if by_key.len() <= at {
            by_key.resize(at + 1, None);
        }
        let lane = by_key[at].get_or_insert_with(|| {
            let hash = HashKey::of(key.as_bytes());
            let after = self.map.open().partition_point(|shard| shard.hash_start <= hash);
            after.saturating_sub(1) as u32
        });
        *lane as usize
    }

    /// The number of the shard of a key with this number, as far as is known.
    pub(super) fn shard_of(&self, number: u32, key: &str) -> u32 {
        match self.learned.borrow().get(&number) {
            Some(shard) => *shard,
            None => self.map.open()[self.of(number, key)].number.0,
        }
    }

    /// A record of a key was stored in this shard.
    pub(super) fn learned(&self, number: u32, shard: u32) {
        self.learned.borrow_mut().insert(number, shard);
    }
}
