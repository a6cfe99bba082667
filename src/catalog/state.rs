//! The state, and how commands change it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::catalog::command::{Command, CreateStream};
use crate::catalog::error::CatalogError;
use crate::catalog::event::{Event, Placed};
use crate::catalog::placement::Placement;
use crate::catalog::range::HashRange;
use crate::catalog::stream::{SettingsChange, Shard, Status, Stream, StreamHead};
use crate::limits::{SHARDS_MAX, STREAMS_MAX};
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
/// - Stream numbers and groups are below the next ones to be handed out, and never handed out twice.
/// - Each name, and each group, belongs to one stream.
/// - The indexes hold what the streams hold, no more and no less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    version: u64,
    applied: Applied,
    pub(super) next_stream: StreamId,
    pub(super) next_group: GroupId,
    streams: BTreeMap<StreamId, Stream>,
    // Indexes over the streams. Ordered maps, so that no copy of the state depends on an accident of hashing.
    by_name: BTreeMap<String, StreamId>,
    by_group: BTreeMap<GroupId, (StreamId, ShardNumber)>,
    placement: Placement,
}

/// The counters of a catalogue, for [`Catalog::with_counters`].
pub(super) struct Counters {
    pub version: u64,
    pub applied: Applied,
    pub next_stream: StreamId,
    pub next_group: GroupId,
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
        })
    }

    pub(super) fn with_counters(counters: Counters) -> Self {
        let Counters { version, applied, next_stream, next_group } = counters;
        Self {
            version,
            applied,
            next_stream,
            next_group,
            streams: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_group: BTreeMap::new(),
            placement: Placement::default(),
        }
    }

    /// Decides whether a command may enter the log: its values are within the limits and it fits the state, which must
    /// include all commands before it.
    pub fn check(&self, command: &Command) -> Result<(), CatalogError> {
        command.check_limits()?;
        self.fits(command)?;
        if let Command::CreateStream(create) = command {
            if self.streams.len() >= STREAMS_MAX {
                return Err(CatalogError::StreamsFull);
            }
            if self.by_group.len() + create.shard_count as usize > SHARDS_MAX {
                return Err(CatalogError::ShardsFull { have: self.by_group.len(), more: create.shard_count });
            }
        }
        Ok(())
    }

    /// Applies a committed command. Never fails for one that [`Catalog::check`] let pass on the state it is applied to;
    /// one that does not fit is refused and changes nothing, in the same way on every copy.
    pub fn apply(&mut self, command: &Command) -> Result<Vec<Event>, CatalogError> {
        self.fits(command)?;
        let event = match command {
            Command::CreateStream(create) => self.create(create),
            Command::ActivateStream { stream } => self.activate(*stream),
            Command::UpdateStream { stream, change } => self.update(*stream, change),
            Command::DeleteStream { stream } => self.delete(*stream),
            Command::ForgetStream { stream } => self.forget(*stream),
        };
        self.version += 1;
        Ok(vec![event])
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

    /// How much of the log is in the state.
    #[must_use]
    pub const fn applied(&self) -> Applied {
        self.applied
    }

    /// Grows by one with each command applied. Clients compare it to know whether their shard map is current.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The stream with this number.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id)
    }

    /// The stream with this name, in whatever status.
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

    /// Streams in the order of their names, from the one after `name` on (from the first one without).
    pub fn streams_after(&self, name: Option<&str>) -> impl Iterator<Item = &Stream> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name.range::<str, _>((from, Bound::Unbounded)).map(|(_, id)| &self.streams[id])
    }

    /// All streams, by number.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = &Stream> {
        self.streams.values()
    }

    /// All shards with their streams, by incarnation, that `worker` owns on a node with `workers` of them.
    pub fn shards_on(&self, worker: WorkerId, workers: u16) -> impl Iterator<Item = (&Stream, &Shard)> {
        let all = self.streams.values().flat_map(|stream| stream.shards().iter().map(move |shard| (stream, shard)));
        all.filter(move |(_, shard)| shard.worker(workers) == worker)
    }

    /// Number of shards of all streams.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.by_group.len()
    }

    /// Shards per worker on a node with `workers` of them; those of streams that are being deleted do not count.
    #[must_use]
    pub fn loads(&self, workers: u16) -> Vec<u32> {
        self.placement.loads(workers)
    }

    /// Checks a command against the state alone.
    fn fits(&self, command: &Command) -> Result<(), CatalogError> {
        match command {
            Command::CreateStream(create) => match self.stream_by_name(&create.name) {
                Some(Stream { status, .. }) => {
                    Err(CatalogError::NameTaken { name: create.name.clone(), status: *status })
                }
                None => Ok(()),
            },
            Command::ActivateStream { stream } => self.expect_status(*stream, &[Status::Creating]),
            Command::UpdateStream { stream, .. } => self.expect_status(*stream, &[Status::Active]),
            Command::DeleteStream { stream } => self.expect_status(*stream, &[Status::Creating, Status::Active]),
            Command::ForgetStream { stream } => self.expect_status(*stream, &[Status::Deleting]),
        }
    }

    fn expect_status(&self, id: StreamId, expected: &[Status]) -> Result<(), CatalogError> {
        let stream = self.streams.get(&id).ok_or(CatalogError::StreamUnknown { stream: id })?;
        if !expected.contains(&stream.status) {
            return Err(CatalogError::StatusWrong { name: stream.name.clone(), status: stream.status });
        }
        Ok(())
    }

    fn create(&mut self, create: &CreateStream) -> Event {
        let CreateStream { ref name, shard_count, settings, now, workers } = *create;
        let id = self.next_stream;
        let workers = self.placement.place(shard_count, workers);
        let places = (0..).zip(HashRange::uniform(shard_count)).zip(workers);
        let shards: Vec<_> = places.map(|((n, range), worker)| self.new_shard(n, range, worker, now)).collect();
        let placed = placed(&shards);
        let next_shard = ShardNumber(shard_count);
        let head = StreamHead { id, name: name.clone(), created: now, status: Status::Creating, settings, next_shard };
        let stream = Stream::new(head, shards).expect("uniform ranges cover the key space");

        self.next_stream = StreamId(id.0 + 1);
        self.next_group = self.next_group.plus(shard_count.into());
        self.insert(stream).expect("the name is free, and numbers are never handed out twice");
        Event::StreamCreating { stream: id, shards: placed }
    }

    /// Shard `number` of a new stream, in the group that many after the next.
    fn new_shard(&self, number: u32, range: HashRange, placed_on: WorkerId, created: WallUs) -> Shard {
        Shard {
            number: ShardNumber(number),
            group: self.next_group.plus(number.into()),
            range,
            placed_on,
            created,
            parent: None,
            adjacent_parent: None,
            closed: None,
        }
    }

    fn activate(&mut self, id: StreamId) -> Event {
        self.stream_mut(id).status = Status::Active;
        Event::StreamActive { stream: id }
    }

    fn update(&mut self, id: StreamId, change: &SettingsChange) -> Event {
        let stream = self.stream_mut(id);
        stream.settings = change.applied_to(stream.settings);
        Event::StreamUpdated { stream: id, settings: stream.settings }
    }

    fn delete(&mut self, id: StreamId) -> Event {
        let stream = self.stream_mut(id);
        stream.status = Status::Deleting;
        let shards = placed(stream.shards());
        for shard in &shards {
            self.placement.remove(shard.placed_on);
        }
        Event::StreamDeleting { stream: id, shards }
    }

    fn forget(&mut self, id: StreamId) -> Event {
        let stream = self.streams.remove(&id).expect("the command was found to fit");
        self.by_name.remove(&stream.name);
        let shards = placed(stream.shards());
        for shard in &shards {
            self.by_group.remove(&shard.group);
        }
        Event::StreamForgotten { stream: id, shards }
    }

    /// Adds a stream to the state and its indexes. An error names what is taken already; the state is then of no use.
    pub(super) fn insert(&mut self, stream: Stream) -> Result<(), &'static str> {
        let id = stream.id;
        if self.by_name.insert(stream.name.clone(), id).is_some() {
            return Err("stream name");
        }
        for shard in stream.shards() {
            if self.by_group.insert(shard.group, (id, shard.number)).is_some() {
                return Err("shard group");
            }
            if stream.status != Status::Deleting {
                self.placement.add(shard.placed_on);
            }
        }
        match self.streams.insert(id, stream) {
            Some(_) => Err("stream number"),
            None => Ok(()),
        }
    }

    fn stream_mut(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(&id).expect("the command was found to fit")
    }
}

fn placed(shards: &[Shard]) -> Vec<Placed> {
    let place = |s: &Shard| Placed { group: s.group, shard: s.number, placed_on: s.placed_on };
    shards.iter().map(place).collect()
}
