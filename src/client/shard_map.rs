//! Which shard a key belongs to: the map of one stream, as the node described it.

use crate::protocol::messages::{ShardDescription, ShardState};
use crate::types::{GroupId, HashKey, ShardNumber};

/// The shards of a stream. The open ones divide the hash keys among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardMap {
    /// Open shards by the start of their range.
    open: Vec<ShardDescription>,
    /// All shards by number.
    all: Vec<ShardDescription>,
}

/// Whether a shard has its range to itself.
fn takes_records(shard: &ShardDescription) -> bool {
    match shard.state {
        ShardState::Open => true,
        // A quarantined shard keeps its range: its puts fail by themselves, and wait for the repair.
        ShardState::Quarantined => shard.closed.is_none(),
        ShardState::Closed | ShardState::Pending => false,
    }
}

impl ShardMap {
    /// The map of these shards.
    #[must_use]
    pub fn new(mut shards: Vec<ShardDescription>) -> Self {
        shards.sort_by_key(|shard| shard.number);
        let mut open: Vec<_> = shards.iter().copied().filter(takes_records).collect();
        open.sort_by_key(|shard| shard.hash_start);
        Self { open, all: shards }
    }

    /// The shard that takes records with this hash key. `None` if the map has a hole there, which a node never sends.
    #[must_use]
    pub fn route(&self, key: HashKey) -> Option<&ShardDescription> {
        let after = self.open.partition_point(|shard| shard.hash_start <= key);
        self.open[..after].last().filter(|shard| key <= shard.hash_end)
    }

    /// The shard with this number, open or not.
    #[must_use]
    pub fn shard(&self, number: ShardNumber) -> Option<&ShardDescription> {
        self.all.binary_search_by_key(&number, |shard| shard.number).ok().map(|at| &self.all[at])
    }

    /// The shards that were split or merged from this one, those that take no records yet ([`ShardState::Pending`]) too.
    pub fn children(&self, number: ShardNumber) -> impl Iterator<Item = &ShardDescription> {
        let is_parent = move |of: &&ShardDescription| [of.parent, of.adjacent_parent].contains(&Some(number));
        self.all.iter().filter(is_parent)
    }

    /// The shards that this one was split or merged from, as far as they are still listed: the records of others have all
    /// expired.
    pub fn parents(&self, number: ShardNumber) -> impl Iterator<Item = &ShardDescription> {
        let parents = self.shard(number).map_or([None; 2], |shard| [shard.parent, shard.adjacent_parent]);
        parents.into_iter().flatten().filter_map(|parent| self.shard(parent))
    }

    /// Whether this incarnation of a shard still takes records.
    #[must_use]
    pub fn is_open(&self, group: GroupId) -> bool {
        self.open.iter().any(|shard| shard.group == group)
    }

    /// The shards that take records, by the start of their range.
    #[must_use]
    pub fn open(&self) -> &[ShardDescription] {
        &self.open
    }

    /// All shards by number.
    #[must_use]
    pub fn all(&self) -> &[ShardDescription] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{WallUs, WorkerId};

    fn shard(number: u32, start: u128, end: u128, state: ShardState) -> ShardDescription {
        ShardDescription {
            number: ShardNumber(number),
            group: GroupId(u64::from(number) + 100),
            hash_start: HashKey(start),
            hash_end: HashKey(end),
            worker: WorkerId(0),
            state,
            parent: None,
            adjacent_parent: None,
            created: WallUs(0),
            closed: None,
        }
    }

    /// Goal: every key goes to the open shard whose range holds it, at both ends of the range; closed shards get none.
    #[test]
    fn routes_by_range() {
        let map = ShardMap::new(vec![
            shard(2, 100, 199, ShardState::Quarantined),
            shard(0, 0, 99, ShardState::Closed),
            shard(3, 50, 99, ShardState::Open),
            shard(1, 200, u128::MAX, ShardState::Open),
            shard(4, 0, 49, ShardState::Open),
        ]);
        let route = |key| map.route(HashKey(key)).map(|shard| shard.number.0);
        for (key, number) in [(0, 4), (49, 4), (50, 3), (99, 3), (100, 2), (199, 2), (200, 1), (u128::MAX, 1)] {
            assert_eq!(route(key), Some(number), "{key}");
        }
        assert_eq!(map.shard(ShardNumber(0)).unwrap().state, ShardState::Closed);
        assert!(map.shard(ShardNumber(9)).is_none());
        assert!(map.is_open(GroupId(103)) && !map.is_open(GroupId(100)));
        assert_eq!((map.all().len(), map.open().len()), (5, 4));
    }

    /// Goal: pending children are known and routed past; children and parents are found, those that are gone are not.
    #[test]
    fn families() {
        let child = |number, start, end, state, parents: [Option<u32>; 2]| {
            let [parent, adjacent_parent] = parents.map(|parent| parent.map(ShardNumber));
            ShardDescription { parent, adjacent_parent, ..shard(number, start, end, state) }
        };
        let map = ShardMap::new(vec![
            shard(1, 0, 99, ShardState::Closed),
            shard(2, 100, u128::MAX, ShardState::Closed),
            child(3, 0, u128::MAX, ShardState::Open, [Some(2), Some(1)]),
            child(4, 0, 9, ShardState::Pending, [Some(3), None]),
            child(5, 10, u128::MAX, ShardState::Pending, [Some(3), None]),
            child(6, 0, 9, ShardState::Closed, [Some(0), None]),
        ]);
        let children = |number| map.children(ShardNumber(number)).map(|shard| shard.number.0).collect::<Vec<_>>();
        let parents = |number| map.parents(ShardNumber(number)).map(|shard| shard.number.0).collect::<Vec<_>>();
        assert_eq!([children(1), children(2), children(3), children(4)], [vec![3], vec![3], vec![4, 5], vec![]]);
        assert_eq!([parents(3), parents(4), parents(6), parents(9)], [vec![2, 1], vec![3], vec![], vec![]]);
        for key in [0, 9, 10, u128::MAX] {
            assert_eq!(map.route(HashKey(key)).unwrap().number, ShardNumber(3));
        }
    }

    /// Goal: a map with holes, or none at all, routes nowhere instead of to the wrong shard.
    #[test]
    fn holes_route_nowhere() {
        assert_eq!(ShardMap::default().route(HashKey(0)), None);
        let map = ShardMap::new(vec![shard(0, 10, 19, ShardState::Open), shard(1, 30, 39, ShardState::Open)]);
        for key in [0, 9, 20, 29, 40, u128::MAX] {
            assert_eq!(map.route(HashKey(key)), None, "{key}");
        }
    }
}
