//! The state, and what can be asked of it. How commands change it is in `apply`.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::catalog::consumer::ConsumerId;
use crate::catalog::placement::Placement;
use crate::catalog::shard::Shard;
use crate::catalog::store::Store;
use crate::catalog::stream::{Status, Stream};
use crate::types::{FrameIndex, GroupId, HashKey, ShardNumber, StreamId, Term, WallUs, WorkerId};

/// The group of the first shard. Those below are the node's own: 1 is the catalogue.
pub const FIRST_SHARD_GROUP: GroupId = GroupId(16);

/// How much of the catalogue's log is in the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Every frame with an index *below* this is applied; the next one to apply has this index.
    pub end: FrameIndex,
    /// Term of the last frame applied.
    pub term: Term,
}

/// All streams and shards of the node.
///
/// Invariants:
/// - Numbers of streams and consumers, and groups, are below the next ones to be handed out, and never handed out twice.
/// - Each name belongs to one stream that is not being deleted, each group to one stream.
/// - The indexes hold what the streams hold, no more and no less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub(super) version: u64,
    applied: Applied,
    pub(super) next_stream: StreamId,
    pub(super) next_group: GroupId,
    pub(super) next_consumer: ConsumerId,
    /// The latest creation of a consumer that is gone: a new one of the same name has a later second.
    pub(super) consumers_gone: WallUs,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) store: Store,
    // Indexes over the streams. Ordered maps, so that no copy of the state depends on an accident of hashing.
    pub(super) by_name: BTreeMap<String, StreamId>,
    pub(super) by_group: BTreeMap<GroupId, (StreamId, ShardNumber)>,
    pub(super) placement: Placement,
}

/// The counters of a catalogue, for [`Catalog::with_counters`].
pub(super) struct Counters {
    pub version: u64,
    pub applied: Applied,
    pub next_stream: StreamId,
    pub next_group: GroupId,
    pub next_consumer: ConsumerId,
    pub consumers_gone: WallUs,
    /// The last version or token of a stored value.
    pub stored: u64,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    /// A catalogue without streams, before the first frame of its log.
    #[must_use]
    pub fn new() -> Self {
        Self::with_counters(Counters {
            version: 0,
            applied: Applied::default(),
            next_stream: StreamId(1),
            next_group: FIRST_SHARD_GROUP,
            next_consumer: ConsumerId(1),
            consumers_gone: WallUs(0),
            stored: 0,
        })
    }

    pub(super) fn with_counters(counters: Counters) -> Self {
        let Counters { version, applied, next_stream, next_group, next_consumer, consumers_gone, stored } = counters;
        Self {
            version,
            applied,
            next_stream,
            next_group,
            next_consumer,
            consumers_gone,
            streams: BTreeMap::new(),
            store: Store::after(stored),
            by_name: BTreeMap::new(),
            by_group: BTreeMap::new(),
            placement: Placement::default(),
        }
    }

    /// Takes note that the frame with this index is applied with all its commands, and so are all before it. Frames
    /// without commands need no note of their own.
    ///
    /// Panics when a frame is applied twice, or the term goes back.
    pub fn advance(&mut self, index: FrameIndex, term: Term) {
        assert!(index >= self.applied.end, "frame {index} of the catalogue was applied before {}", self.applied.end);
        assert!(term >= self.applied.term, "term {term} after term {}", self.applied.term);
        self.applied = Applied { end: index.plus(1), term };
    }

    /// Whether the group belongs to a shard that was made, be it long gone.
    #[must_use]
    pub fn has_made(&self, group: GroupId) -> bool {
        group < self.next_group
    }

    /// The same state, as that of a log without frames: for a catalogue whose log is begun anew.
    #[must_use]
    pub fn begun_anew(mut self) -> Self {
        self.applied = Applied::default();
        self
    }

    /// How much of the log is in the state.
    #[must_use]
    pub const fn applied(&self) -> Applied {
        self.applied
    }

    /// Grows by one with each command applied, except for those that change stored values. Clients compare it to know
    /// whether their shard map is current.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The stream with this number.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id)
    }

    /// The stream with this name, in whatever status except that it is not being deleted.
    #[must_use]
    pub fn stream_by_name(&self, name: &str) -> Option<&Stream> {
        self.by_name.get(name).map(|id| &self.streams[id])
    }

    /// The shard of this incarnation and its stream.
    #[must_use]
    pub fn shard(&self, group: GroupId) -> Option<(&Stream, &Shard)> {
        let (id, number) = self.by_group.get(&group)?;
        let stream = &self.streams[id];
        Some((stream, stream.shard(*number).expect("the index holds what the streams hold")))
    }

    /// The open shard of a stream that takes this key.
    #[must_use]
    pub fn route(&self, stream: StreamId, key: HashKey) -> Option<&Shard> {
        self.streams.get(&stream).map(|stream| stream.route(key))
    }

    /// Streams in the order of their names, from the one after `name` on (from the first one without). Those that are being
    /// deleted have lost their names.
    pub fn streams_after(&self, name: Option<&str>) -> impl Iterator<Item = &Stream> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name.range::<str, _>((from, Bound::Unbounded)).map(|(_, id)| &self.streams[id])
    }

    /// All streams, by number, those that are being deleted too.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = &Stream> {
        self.streams.values()
    }

    /// All shards with their streams, in whatever state, that `worker` owns on a node with `workers` of them.
    pub fn shards_on(&self, worker: WorkerId, workers: u16) -> impl Iterator<Item = (&Stream, &Shard)> {
        let all = self.streams.values().flat_map(|stream| stream.shards().iter().map(move |shard| (stream, shard)));
        all.filter(move |(_, shard)| shard.worker(workers) == worker)
    }

    /// The stored values: checkpoints and leases.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The same without the stored values: what workers need that answer no questions about these.
    #[must_use]
    pub fn without_store(mut self) -> Self {
        self.store = Store::default();
        self
    }

    /// Number of shards of all streams, in whatever state.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.by_group.len()
    }

    /// Shards per worker on a node with `workers` of them. Those count that take puts or will soon, and those of streams
    /// that are being deleted do not.
    #[must_use]
    pub fn loads(&self, workers: u16) -> Vec<u32> {
        self.placement.loads(workers)
    }

    /// Adds a stream to the state and its indexes. An error names what is taken already; the state is then of no use.
    pub(super) fn insert(&mut self, stream: Stream) -> Result<(), &'static str> {
        let id = stream.id;
        let lives = stream.status != Status::Deleting;
        if lives && self.by_name.insert(stream.name.clone(), id).is_some() {
            return Err("stream name");
        }
        for shard in stream.shards() {
            if self.by_group.insert(shard.group, (id, shard.number)).is_some() {
                return Err("shard group");
            }
            if lives && shard.is_load() {
                self.placement.add(shard.placed_on);
            }
        }
        match self.streams.insert(id, stream) {
            Some(_) => Err("stream number"),
            None => Ok(()),
        }
    }
}
