//! The checker of one shard as clients see it: they do not know in which order the node took what several of them sent.
//!
//! It pins what an offset holds as soon as an acknowledgement or a reader says so, and then holds every later
//! acknowledgement and reader to it, across any number of crashes. That covers:
//! - what was acknowledged or seen is there, byte for byte, and stays where it is;
//! - a put is stored once, as a whole, however often it was sent;
//! - the batches of a producer stand in the order of their numbers;
//! - offsets are dense, and nothing is there that nobody sent.
//!
//! It is for `durability = fsync`, and for streams that neither expire nor are deleted under it. It does not check arrival
//! times, nor the order of puts without a stamp.

use std::collections::BTreeMap;

use crate::sim::workload::contents::{Contents, Pattern, mark};
use crate::types::{Offset, ProducerId, ProducerStamp};

/// What one shard must hold. Methods panic where a promise is broken.
#[derive(Debug)]
pub struct ShardOracle {
    name: String,
    sent: BTreeMap<u64, Sent>,
    pinned: BTreeMap<Offset, (u64, u32)>,
    by_stamp: BTreeMap<ProducerStamp, Offset>,
    /// One past the last offset that was acknowledged or seen.
    must: Offset,
}

#[derive(Debug)]
struct Sent {
    contents: Contents,
    stamp: Option<ProducerStamp>,
    base: Option<Offset>,
}

impl ShardOracle {
    /// An empty shard. `name` is for people.
    #[must_use]
    pub const fn new(name: String) -> Self {
        Self { name, sent: BTreeMap::new(), pinned: BTreeMap::new(), by_stamp: BTreeMap::new(), must: Offset(0) }
    }

    /// One past the last offset that was acknowledged or seen.
    #[must_use]
    pub const fn must(&self) -> Offset {
        self.must
    }

    /// Whether a batch of this producer was acknowledged or seen.
    #[must_use]
    pub fn knows(&self, producer: ProducerId) -> bool {
        self.by_stamp.keys().any(|stamp| stamp.id == producer)
    }

    /// A put is about to be sent, for the first time or again.
    pub fn sends(&mut self, contents: &Contents, stamp: Option<ProducerStamp>) {
        let sent = || Sent { contents: contents.clone(), stamp, base: None };
        self.sent.entry(contents.id).or_insert_with(sent);
    }

    /// A put was acknowledged.
    pub fn acked(&mut self, contents: &Contents, base: Offset) {
        for n in 0..contents.records() {
            self.pin(base.plus(n.into()), contents.id, n);
        }
    }

    /// A reader was handed the record at `offset`.
    pub fn saw(&mut self, pattern: &Pattern, offset: Offset, key: &str, data: &[u8]) {
        let known = mark(data).and_then(|(id, n)| Some((id, n, self.sent.get(&id)?)));
        let Some((id, n, Sent { contents, .. })) = known.filter(|(_, n, sent)| *n < sent.contents.records()) else {
            self.broken(&format!("offset {offset} holds {} bytes that nobody sent", data.len()));
        };
        if key != contents.key(n) || data != pattern.data(contents, n) {
            self.broken(&format!("offset {offset}: record {n} of put {id} was changed"));
        }
        self.pin(offset, id, n);
    }

    fn pin(&mut self, offset: Offset, id: u64, n: u32) {
        if let Some(before) = self.pinned.insert(offset, (id, n))
            && before != (id, n)
        {
            self.broken(&format!("offset {offset} held {before:?}, now it holds {:?}", (id, n)));
        }
        self.must = self.must.max(offset.plus(1));
        let base =
            Offset(offset.0.checked_sub(n.into()).unwrap_or_else(|| self.broken("a put begins before offset 0")));
        let sent = self.sent.get_mut(&id).expect("the caller knows it");
        let (stamp, before) = (sent.stamp, sent.base.replace(base));
        if before.is_some_and(|before| before != base) {
            self.broken(&format!("put {id} is stored at {base} and at {before:?}"));
        }
        if let Some(stamp) = stamp {
            self.by_stamp.insert(stamp, base);
            let same = |other: &ProducerStamp| (other.id, other.epoch) == (stamp.id, stamp.epoch);
            let before = self.by_stamp.range(..stamp).next_back().filter(|(other, at)| same(other) && **at >= base);
            let mut behind = self.by_stamp.range(stamp..).skip(1);
            let after = behind.next().filter(|(other, at)| same(other) && **at <= base);
            if let Some((other, at)) = before.or(after) {
                self.broken(&format!("{stamp:?} stands at {base}, {other:?} at {at}"));
            }
        }
    }

    /// All of the shard was read, up to `end`.
    pub fn read_whole(&self, end: Offset) {
        if end < self.must {
            self.broken(&format!("the shard ends at {end}; up to {} was promised", self.must));
        }
        if self.pinned.len() as u64 != end.0 {
            self.broken(&format!("{} of {end} offsets hold something", self.pinned.len()));
        }
        for (id, Sent { contents, base, .. }) in &self.sent {
            let Some(base) = base else { continue };
            let last = contents.records() - 1;
            if self.pinned.get(&base.plus(last.into())) != Some(&(*id, last)) {
                self.broken(&format!("put {id} is stored in part"));
            }
        }
    }

    fn broken(&self, what: &str) -> ! {
        panic!("{}: a promise is broken: {what}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn put(id: u64) -> Contents {
        Contents { id, sizes: Rc::from([20, 30]) }
    }

    fn stamp(seq: u32) -> Option<ProducerStamp> {
        Some(ProducerStamp { id: ProducerId(9), epoch: 0, seq })
    }

    /// Whether `check` passes on a shard that two puts were sent to, the first one acknowledged at 0.
    fn passes(check: impl FnOnce(&mut ShardOracle, &Pattern)) -> bool {
        let (mut shard, pattern) = (ShardOracle::new("shard".to_owned()), Pattern::default());
        shard.sends(&put(1), stamp(0));
        shard.sends(&put(2), stamp(1));
        shard.acked(&put(1), Offset(0));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&mut shard, &pattern))).is_ok()
    }

    fn see(shard: &mut ShardOracle, pattern: &Pattern, offset: u64, id: u64, n: u32) {
        shard.saw(pattern, Offset(offset), &put(id).key(n), &pattern.data(&put(id), n));
    }

    /// Goal: what a good node does passes; each kind of lie is noticed: a changed record, a moved one, a put stored
    /// twice, in part, or before its predecessor, one that nobody sent, and a shard that is too short.
    #[test]
    fn lies_are_noticed() {
        assert!(passes(|shard, pattern| {
            for (offset, id, n) in [(0, 1, 0), (1, 1, 1), (2, 2, 0), (3, 2, 1)] {
                see(shard, pattern, offset, id, n);
            }
            shard.read_whole(Offset(4));
        }));
        assert!(!passes(|shard, pattern| see(shard, pattern, 0, 2, 0)));
        assert!(!passes(|shard, pattern| see(shard, pattern, 4, 1, 0)));
        assert!(!passes(|shard, pattern| see(shard, pattern, 2, 3, 0)));
        assert!(!passes(|shard, pattern| shard.saw(pattern, Offset(0), "key-1", &pattern.data(&put(1), 0)[..19])));
        assert!(!passes(|shard, _| shard.read_whole(Offset(1))));
        assert!(!passes(|shard, pattern| {
            see(shard, pattern, 2, 2, 0);
            shard.read_whole(Offset(3));
        }));
        let mut shard = ShardOracle::new("shard".to_owned());
        shard.sends(&put(1), stamp(0));
        shard.sends(&put(2), stamp(1));
        shard.acked(&put(2), Offset(0));
        let disordered = std::panic::AssertUnwindSafe(|| shard.acked(&put(1), Offset(2)));
        assert!(std::panic::catch_unwind(disordered).is_err());
    }
}
