//! Splits and merges: which children a reshard makes of which parents.

use std::collections::BTreeSet;

use crate::catalog::error::CatalogError;
use crate::catalog::range::HashRange;
use crate::catalog::shard::Shard;
use crate::catalog::stream::Stream;
use crate::types::{HashKey, ShardNumber, WallUs};

/// A child is created at least this long after its parents: sequence numbers begin with the second of the shard's
/// creation, so that children sort after parents, whatever the clock does.
const GENERATION_US: u64 = 1_000_000;

/// One change of a reshard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReshardOp {
    /// Makes two shards of one.
    Split {
        /// The parent.
        shard: ShardNumber,
        /// The first key of the second child. Above the parent's first key and not above its last.
        at: HashKey,
    },
    /// Makes one shard of two.
    Merge {
        /// The parent.
        shard: ShardNumber,
        /// The adjacent parent: its range ends where the other's begins, or begins where the other's ends.
        adjacent: ShardNumber,
    },
}

/// A shard to be created by a reshard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub range: HashRange,
    pub parent: ShardNumber,
    pub adjacent_parent: Option<ShardNumber>,
    pub created: WallUs,
}

/// The children of a reshard, in the order they are numbered: that of the operations, the lower keys of a split first.
pub(super) fn children(stream: &Stream, ops: &[ReshardOp], now: WallUs) -> Result<Vec<Child>, CatalogError> {
    let mut parents = BTreeSet::new();
    let mut parent = |number| {
        let shard = stream.shard(number).filter(|shard| shard.is_readable());
        let shard = shard.ok_or_else(|| CatalogError::ShardUnknown { name: stream.name.clone(), shard: number })?;
        if !shard.is_open() {
            return Err(CatalogError::ShardNotOpen { shard: number, state: shard.state });
        }
        if !parents.insert(number) {
            return Err(CatalogError::ShardTwice { shard: number });
        }
        Ok(shard)
    };
    let mut children = Vec::with_capacity(ops.len());
    for op in ops {
        match *op {
            ReshardOp::Split { shard, at } => {
                let parent = parent(shard)?;
                let (first, second) =
                    parent.range.split(at).ok_or(CatalogError::SplitKey { shard, at, range: parent.range })?;
                let created = created(now, parent.created)?;
                let child = |range| Child { range, parent: shard, adjacent_parent: None, created };
                children.extend([first, second].map(child));
            }
            ReshardOp::Merge { shard, adjacent } => {
                if shard == adjacent {
                    return Err(CatalogError::NotAdjacent { shard, adjacent });
                }
                let (one, other): (&Shard, &Shard) = (parent(shard)?, parent(adjacent)?);
                let range = one.range.joined(other.range).ok_or(CatalogError::NotAdjacent { shard, adjacent })?;
                let created = created(now, one.created.max(other.created))?;
                children.push(Child { range, parent: shard, adjacent_parent: Some(adjacent), created });
            }
        }
    }
    Ok(children)
}

/// How many parents the operations have, each of them others.
pub(super) fn parents(ops: &[ReshardOp]) -> usize {
    let parents = |op: &ReshardOp| match op {
        ReshardOp::Split { .. } => 1,
        ReshardOp::Merge { .. } => 2,
    };
    ops.iter().map(parents).sum()
}

fn created(now: WallUs, parents: WallUs) -> Result<WallUs, CatalogError> {
    let after = parents.0.checked_add(GENERATION_US).ok_or(CatalogError::Clock { now: parents })?;
    Ok(now.max(WallUs(after)))
}
